/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * screen_key - bytes of a terminal to keys.  Runs on: any thread.
 */
#include "screen.h"
#include <string.h>

static const struct {
	const char *bytes;
	enum screen_key key;
} keys[] = {
	{ "\033[A", SCREEN_UP },
	{ "\033OA", SCREEN_UP },
	{ "k", SCREEN_UP },
	{ "\033[B", SCREEN_DOWN },
	{ "\033OB", SCREEN_DOWN },
	{ "j", SCREEN_DOWN },
	{ "\033[5~", SCREEN_PAGE_UP },
	{ "\033[6~", SCREEN_PAGE_DOWN },
	{ " ", SCREEN_PAGE_DOWN },
	{ "\033[H", SCREEN_HOME },
	{ "\033[1~", SCREEN_HOME },
	{ "\033OH", SCREEN_HOME },
	{ "g", SCREEN_HOME },
	{ "\033[F", SCREEN_END },
	{ "\033[4~", SCREEN_END },
	{ "\033OF", SCREEN_END },
	{ "G", SCREEN_END },
	{ "\r", SCREEN_ENTER },
	{ "\n", SCREEN_ENTER },
	{ "\033[C", SCREEN_ENTER },
	{ "\033OC", SCREEN_ENTER },
	{ "l", SCREEN_ENTER },
	{ "\033[D", SCREEN_BACK },
	{ "\033OD", SCREEN_BACK },
	{ "h", SCREEN_BACK },
	{ "\x7f", SCREEN_BACK },
	{ "\b", SCREEN_BACK },
	{ "q", SCREEN_QUIT },
	{ "Q", SCREEN_QUIT },
	{ "\x03", SCREEN_QUIT },
};

/* An escape sequence that means nothing here is passed over whole. */
static size_t unknown_length(const char *bytes, size_t n)
{
	size_t i = 2;

	if (n < 2 || bytes[0] != '\033' || (bytes[1] != '[' && bytes[1] != 'O'))
		return 1;
	while (i < n && !(bytes[i] >= '@' && bytes[i] <= '~'))
		i++;
	return i < n ? i + 1 : n;
}

size_t screen_key_parse(const char *bytes, size_t n, enum screen_key *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		size_t len = strlen(keys[i].bytes);

		if (n < len || memcmp(bytes, keys[i].bytes, len) != 0)
			continue;
		*ret = keys[i].key;
		return len;
	}
	*ret = n && bytes[0] == '\033' && unknown_length(bytes, n) == 1 ? SCREEN_BACK : SCREEN_NONE;
	return n ? unknown_length(bytes, n) : 0;
}
