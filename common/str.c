/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * str - growable strings.  Growth doubles, so building a text is linear.
 * Runs on: any thread.
 */
#include "str.h"
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char str_empty_[1];

void str_init(struct str *s)
{
	*s = (struct str)STR_INIT;
}

void str_done(struct str *s)
{
	if (s->cap)
		free(s->p);
	str_init(s);
}

void str_clear(struct str *s)
{
	str_cut(s, 0);
}

void str_grow(struct str *s, size_t more)
{
	size_t want = s->len + more + 1, cap = s->cap ? s->cap : 32;

	if (want <= s->cap)
		return;
	while (cap < want)
		cap *= 2;
	s->p = xrealloc(s->cap ? s->p : NULL, cap);
	s->cap = cap;
	s->p[s->len] = '\0';
}

void str_addn(struct str *s, const void *bytes, size_t n)
{
	if (!n)
		return;
	str_grow(s, n);
	memcpy(s->p + s->len, bytes, n);
	s->len += n;
	s->p[s->len] = '\0';
}

void str_add(struct str *s, const char *text)
{
	str_addn(s, text, strlen(text));
}

void str_addc(struct str *s, char c)
{
	str_addn(s, &c, 1);
}

void str_vaddf(struct str *s, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n <= 0)
		return;
	str_grow(s, (size_t)n);
	vsnprintf(s->p + s->len, (size_t)n + 1, fmt, ap);
	s->len += (size_t)n;
}

void str_addf(struct str *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(s, fmt, ap);
	va_end(ap);
}

void str_cut(struct str *s, size_t len)
{
	if (len >= s->len)
		return;
	s->len = len;
	s->p[len] = '\0';
}

char *str_take(struct str *s)
{
	char *p = s->cap ? s->p : xstrdup("");

	str_init(s);
	return p;
}

void str_add_shell(struct str *s, const char *text)
{
	str_addc(s, '\'');
	for (; *text; text++) {
		if (*text == '\'')
			str_add(s, "'\\''");
		else
			str_addc(s, *text);
	}
	str_addc(s, '\'');
}

/* Length of the valid UTF-8 sequence at p, 0 when it is none (overlong, surrogate, cut). */
static size_t utf8_len(const unsigned char *p)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = p[0] < 0x80                   ? 1
	           : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
	           : p[0] >= 0xe0                ? 3
	           : p[0] >= 0xc2                ? 2
	                                         : 0;
	uint32_t c = n == 1 ? p[0] : n ? p[0] & (0x7fu >> n) : 0;

	if (n == 3 && p[0] >= 0xf0)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (n > 1 && (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)))
		return 0;
	return n;
}

void str_add_json(struct str *s, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	while (*p) {
		size_t n = utf8_len(p);

		if (!n) {
			str_add(s, "\\ufffd");
			n = 1;
		} else if (*p == '"' || *p == '\\') {
			str_addf(s, "\\%c", *p);
		} else if (*p < 0x20 || *p == 0x7f) {
			str_addf(s, "\\u%04x", *p);
		} else {
			str_addn(s, p, n);
		}
		p += n;
	}
}

bool str_is(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

bool str_starts(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

bool str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && !strcmp(s + n - m, suffix);
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

char *str_trim(char *s)
{
	size_t n;

	while (blank(*s))
		s++;
	n = strlen(s);
	while (n && blank(s[n - 1]))
		s[--n] = '\0';
	return s;
}

bool str_to_int(const char *s, long long min, long long max, long long *ret)
{
	char *end;
	long long v;

	if (!s || !((*s >= '0' && *s <= '9') || (*s == '-' && s[1] >= '0' && s[1] <= '9')))
		return false;
	errno = 0;
	v = strtoll(s, &end, 10);
	if (errno || *end || v < min || v > max)
		return false;
	*ret = v;
	return true;
}

bool str_to_u64(const char *s, unsigned long long *ret)
{
	char *end;
	unsigned long long v;

	if (!s || *s < '0' || *s > '9')
		return false;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno || *end)
		return false;
	*ret = v;
	return true;
}

static int least(int a, int b)
{
	return a < b ? a : b;
}

int str_distance(const char *a, const char *b)
{
	enum { MOST = 63 };
	int d[MOST + 1][MOST + 1];
	int n = (int)strlen(a), m = (int)strlen(b);

	if (n > MOST || m > MOST)
		return n > m ? n : m;
	for (int i = 0; i <= n; i++)
		d[i][0] = i;
	for (int j = 0; j <= m; j++)
		d[0][j] = j;
	for (int i = 1; i <= n; i++) {
		for (int j = 1; j <= m; j++) {
			int same = a[i - 1] == b[j - 1] ? 0 : 1;

			d[i][j] = least(
			        least(d[i - 1][j] + 1, d[i][j - 1] + 1), d[i - 1][j - 1] + same);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[n][m];
}
