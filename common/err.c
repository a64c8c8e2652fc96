/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * err - formatting and layering of error values.  Overlong texts are cut, never refused: the beginning
 * names the action, so it is worth more than the end.
 * Runs on: any thread.
 */
#include "err.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
	[ERR_NONE] = "none",
	[ERR_UNREACHABLE] = "unreachable",
	[ERR_LOST] = "lost",
	[ERR_REFUSED] = "refused",
	[ERR_SQL] = "sql",
	[ERR_REMOTE] = "remote",
	[ERR_PRECOND] = "precondition",
	[ERR_PARSE] = "parse",
	[ERR_CONFIG] = "config",
	[ERR_SYSTEM] = "system",
	[ERR_CANCELED] = "canceled",
};

const char *err_kind_name(enum err_kind kind)
{
	return names[kind];
}

/* Errors travel in one-line logs; server texts and stderr tails bring line ends along. */
static void one_line(char *s)
{
	for (; *s; s++)
		if (*s == '\n' || *s == '\r' || *s == '\t')
			*s = ' ';
}

static void begin(struct err *e, enum err_kind kind, int code, const char *fmt, va_list ap)
{
	struct err made = { .kind = kind, .code = code };

	/* The arguments may be parts of what *e says now. */
	vsnprintf(made.text, sizeof(made.text), fmt, ap);
	one_line(made.text);
	*e = made;
}

bool err_set(struct err *e, enum err_kind kind, int code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return false;
	va_start(ap, fmt);
	begin(e, kind, code, fmt, ap);
	va_end(ap);
	return false;
}

bool err_sys(struct err *e, const char *fmt, ...)
{
	int saved = errno;
	char why[128];
	size_t n;
	va_list ap;

	if (!e)
		return false;
	va_start(ap, fmt);
	begin(e, ERR_SYSTEM, saved, fmt, ap);
	va_end(ap);
	n = strlen(e->text);
	snprintf(e->text + n, sizeof(e->text) - n, ": %s", strerror_r(saved, why, sizeof(why)));
	return false;
}

bool err_ctx(struct err *e, const char *fmt, ...)
{
	char inner[sizeof(((struct err *)NULL)->text)];
	size_t n;
	va_list ap;

	if (!e)
		return false;
	memcpy(inner, e->text, sizeof(inner));
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	n = strlen(e->text);
	snprintf(e->text + n, sizeof(e->text) - n, ": %s", inner);
	one_line(e->text);
	return false;
}

bool err_at(struct err *e, const char *host)
{
	if (e && !e->host[0])
		snprintf(e->host, sizeof(e->host), "%s", host);
	return false;
}

bool err_hint(struct err *e, const char *fmt, ...)
{
	va_list ap;

	if (!e || e->hint[0])
		return false;
	va_start(ap, fmt);
	vsnprintf(e->hint, sizeof(e->hint), fmt, ap);
	va_end(ap);
	one_line(e->hint);
	return false;
}
