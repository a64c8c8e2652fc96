/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gate_line - command lines of the manager, split without a shell.  Pure.
 * Runs on: any thread.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "gate.h"
#include "str.h"

enum { LINE_MAX_BYTES = 64 << 10, WORDS_MAX = 256 };

/* How the manager asks for the version, whichever generation of node tools is there. */
#define EITHER " 2>/dev/null || "

static bool is_plain(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("@%+=:,./-_^", c));
}

/* One word from *p on, its quotes removed, to `to`; returns behind it, NULL if it is refused. */
static const char *take_word(const char *p, char **to, struct err *e)
{
	while (*p && *p != ' ') {
		const char *end = *p == '\'' ? strchr(p + 1, '\'') : NULL;

		if (end) {
			memcpy(*to, p + 1, (size_t)(end - p - 1));
			*to += end - p - 1;
			p = end + 1;
		} else if (*p == '\\' && p[1]) {
			*(*to)++ = p[1];
			p += 2;
		} else if (is_plain(*p)) {
			*(*to)++ = *p++;
		} else if (*p == '\'' || *p == '\\') {
			err_set(e, ERR_REFUSED, 0, "the command line ends inside quotes");
			return NULL;
		} else {
			err_set(e, ERR_REFUSED, 0, "a shell is needed for '%c', and there is none",
			        *p);
			return NULL;
		}
	}
	*(*to)++ = '\0';
	return p;
}

static bool check_bytes(const char *line, struct err *e)
{
	size_t n = strlen(line);

	if (n > LINE_MAX_BYTES)
		return err_set(e, ERR_REFUSED, 0, "the command line is too long");
	for (size_t i = 0; i < n; i++)
		if (iscntrl((unsigned char)line[i]))
			return err_set(
			        e, ERR_REFUSED, 0, "a control character in the command line");
	return true;
}

static bool split(const char *line, struct gate_line *ret, struct err *e)
{
	struct gate_line l = { .argv = xzalloc((WORDS_MAX + 1) * sizeof(*l.argv)),
		.size = strlen(line) + 1,
		.text = xzalloc(strlen(line) + 1) };
	const char *p = line;
	char *to = l.text;

	while (p && *(p += strspn(p, " "))) {
		if (l.argc == WORDS_MAX) {
			err_set(e, ERR_REFUSED, 0, "too many words in the command line");
			p = NULL;
			break;
		}
		l.argv[l.argc++] = to;
		p = take_word(p, &to, e);
	}
	if (p && !l.argc) {
		err_set(e, ERR_REFUSED, 0, "an empty command line");
		p = NULL;
	}
	if (p)
		*ret = l;
	else
		gate_line_done(&l);
	return p;
}

void gate_line_done(struct gate_line *l)
{
	free(l->argv);
	if (l->text)
		mem_wipe(l->text, l->size);
	free(l->text);
	*l = (struct gate_line){ 0 };
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Whether the text is one tool and one word behind it. */
static bool asks(const char *text, const char *tool, const char *word)
{
	struct gate_line l;
	bool ok;

	if (!split(text, &l, NULL))
		return false;
	ok = l.argc == 2 && str_is(base_name(l.argv[0]), tool) && str_is(l.argv[1], word);
	gate_line_done(&l);
	return ok;
}

static bool is_version_script(const char *script)
{
	const char *either = strstr(script, EITHER);
	AUTO(free) char *first = either ? xstrndup(script, (size_t)(either - script)) : NULL;

	return first && asks(first, "mha-node", "version") &&
	       asks(either + strlen(EITHER), "apply_diff_relay_logs", "--version");
}

static bool known_program(const char *name)
{
	return str_is(name, "mha-node") || verb_program_of(name);
}

static bool read_words(struct gate_line *l, struct err *e)
{
	static const char version[] = "mha-node\0version";

	if (l->argc == 2 && str_is(l->argv[0], "exit") && str_is(l->argv[1], "0")) {
		l->argc = 0;
	} else if (l->argc == 3 && str_is(l->argv[0], "sh") && str_is(l->argv[1], "-c") &&
	           is_version_script(l->argv[2])) {
		memcpy(l->text, version, sizeof(version));
		l->argc = 2;
		l->argv[0] = l->text;
		l->argv[1] = l->text + sizeof("mha-node");
		l->argv[2] = NULL;
	} else {
		l->argv[0] = (char *)(uintptr_t)base_name(l->argv[0]);
		if (!known_program(l->argv[0]))
			return err_set(
			        e, ERR_REFUSED, 0, "%.80s is not a program of mhad", l->argv[0]);
	}
	return true;
}

bool gate_line_read(const char *line, struct gate_line *ret, struct err *e)
{
	struct gate_line l;

	if (!check_bytes(line, e) || !split(line, &l, e))
		return false;
	if (!read_words(&l, e)) {
		gate_line_done(&l);
		return false;
	}
	*ret = l;
	return true;
}
