/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * str - a growable, always NUL-terminated byte string, and small text helpers.  Runs on: any thread.
 *
 * `struct str s = STR_INIT;` is valid and empty without allocation; `s.p` is never NULL.  Release with
 * str_done(), or declare `AUTO_STR struct str s = STR_INIT;`.
 */
#pragma once
#include <stddef.h>
#include "mem.h"

struct str {
	char *p;    /* NUL-terminated */
	size_t len; /* without the NUL */
	size_t cap; /* 0: p points to shared empty storage */
};

extern char str_empty_[1];
#define STR_INIT                                                                                   \
	{                                                                                          \
		str_empty_, 0, 0                                                                   \
	}
#define AUTO_STR __attribute__((cleanup(str_done)))

void str_init(struct str *s);
void str_done(struct str *s);              /* frees; the string is empty and usable again */
void str_clear(struct str *s);             /* keeps the memory */
void str_grow(struct str *s, size_t more); /* room for `more` bytes behind len */
void str_add(struct str *s, const char *text);
void str_addn(struct str *s, const void *bytes, size_t n);
void str_addc(struct str *s, char c);
void str_addf(struct str *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void str_vaddf(struct str *s, const char *fmt, va_list ap);
void str_cut(struct str *s, size_t len); /* shorten to len */
char *str_take(struct str *s);           /* returns owned; the string is empty again */

/* Append `text` quoted for /bin/sh ('...' with '\'' inside), so that it arrives as exactly one word. */
void str_add_shell(struct str *s, const char *text);

/* Append `text` as the inside of a JSON string (escapes, no quotes); invalid UTF-8 becomes U+FFFD. */
void str_add_json(struct str *s, const char *text);

bool str_is(const char *a, const char *b); /* equal; NULL equals only NULL */
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
char *str_trim(char *s); /* in place; returns the first non-blank */

/* Decimal text to number, whole string, no sign for the unsigned one; false when it is anything else. */
bool str_to_int(const char *s, long long min, long long max, long long *ret) MUST_USE;
bool str_to_u64(const char *s, unsigned long long *ret) MUST_USE;

/* Edit distance for "did you mean": insertions, deletions, replacements, swaps of neighbours. */
int str_distance(const char *a, const char *b);
