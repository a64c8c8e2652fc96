/* SPDX-License-Identifier: BSD-2-Clause */
/* test_str - growing strings, quoting for shells and JSON, numbers, edit distance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "str.h"

static void empty_needs_nothing(void **state)
{
	struct str s = STR_INIT, t;

	(void)state;
	assert_string_equal(s.p, "");
	str_clear(&s);
	str_cut(&s, 5);
	str_add(&s, "");
	str_addn(&s, "x", 0);
	str_addf(&s, "%s", "");
	assert_int_equal(s.cap, 0);
	str_done(&s);
	str_done(&s);
	str_init(&t);
	assert_ptr_equal(t.p, s.p);
}

static void grows(void **state)
{
	AUTO_STR struct str s = STR_INIT;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		str_addc(&s, (char)('a' + i % 26));
		assert_int_equal(s.len, i + 1);
		assert_true(s.cap > s.len);
		assert_int_equal(s.p[s.len], '\0');
	}
	assert_memory_equal(s.p, "abcdefghijklmnopqrstuvwxyzab", 28);
	str_cut(&s, 3);
	assert_string_equal(s.p, "abc");
	str_cut(&s, 4);
	assert_int_equal(s.len, 3);
	str_addf(&s, "-%d-%s", 7, "x");
	str_addn(&s, "\0y", 2);
	assert_int_equal(s.len, 9);
	assert_memory_equal(s.p, "abc-7-x\0y", 10);
	str_clear(&s);
	assert_string_equal(s.p, "");
	assert_true(s.cap > 0);
}

/* Each length around the powers of two, so that the NUL never lands behind the memory. */
static void formats_any_length(void **state)
{
	(void)state;
	for (int n = 0; n < 300; n++) {
		AUTO_STR struct str s = STR_INIT;

		str_addf(&s, "%*s", n, "");
		str_addf(&s, "%s", "end");
		assert_int_equal(s.len, n + 3);
		assert_string_equal(s.p + n, "end");
	}
}

static void reserves(void **state)
{
	AUTO_STR struct str s = STR_INIT;
	char *before;

	(void)state;
	str_grow(&s, 1000);
	assert_string_equal(s.p, "");
	before = s.p;
	for (int i = 0; i < 1000; i++)
		str_addc(&s, 'x');
	assert_ptr_equal(s.p, before);
}

static void gives_away(void **state)
{
	AUTO_STR struct str s = STR_INIT;
	AUTO(free) char *none = str_take(&s), *text = NULL, *again = NULL;

	(void)state;
	assert_string_equal(none, "");
	none[0] = '\0'; /* owned, so it may be written to */
	str_add(&s, "one");
	text = str_take(&s);
	assert_string_equal(text, "one");
	assert_string_equal(s.p, "");
	str_add(&s, "two");
	again = str_take(&s);
	assert_string_equal(again, "two");
}

static void shell_words(void **state)
{
	static const char *const cases[][2] = {
		{ "", "''" },
		{ "plain", "'plain'" },
		{ "two words", "'two words'" },
		{ "it's", "'it'\\''s'" },
		{ "'", "''\\'''" },
		{ "''", "''\\'''\\'''" },
		{ "$HOME `id` \"x\" \\ !", "'$HOME `id` \"x\" \\ !'" },
		{ "a\nb", "'a\nb'" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_STR struct str s = STR_INIT;

		str_add_shell(&s, cases[i][0]);
		assert_string_equal(s.p, cases[i][1]);
	}
}

/* What counts: a real shell sees exactly the word. */
static void shell_agrees(void **state)
{
	static const char *const words[] = { "", "-n", "'", "a'b''c'", "$(id) `id` $x ${x} \\ \"",
		"*?[a]~", "line\nline\n", " lead and trail ", "\\'", "\t;|&<>()#!",
		"\xc3\xa4\xff\x01" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		AUTO_STR struct str cmd = STR_INIT, got = STR_INIT;
		FILE *pipe;
		int c;

		str_add(&cmd, "printf '<%s>' ");
		str_add_shell(&cmd, words[i]);
		pipe = popen(cmd.p, "r");
		assert_non_null(pipe);
		while ((c = getc(pipe)) != EOF)
			str_addc(&got, (char)c);
		assert_int_equal(pclose(pipe), 0);
		assert_int_equal(got.len, strlen(words[i]) + 2);
		assert_memory_equal(got.p + 1, words[i], strlen(words[i]));
	}
}

static void json_text(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "plain / text", "plain / text" },
		{ "\"\\", "\\\"\\\\" },
		{ "\n\r\t\b\f\x01\x1f\x7f",
		        "\\u000a\\u000d\\u0009\\u0008\\u000c\\u0001\\u001f\\u007f" },
		{ "\xc2\x80\xdf\xbf", "\xc2\x80\xdf\xbf" },
		{ "\xe0\xa0\x80\xef\xbf\xbf", "\xe0\xa0\x80\xef\xbf\xbf" },
		{ "\xed\x9f\xbf\xee\x80\x80", "\xed\x9f\xbf\xee\x80\x80" },
		{ "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf" },
		/* cut short, at the end and in the middle */
		{ "\xc3", "\\ufffd" },
		{ "\xc3x", "\\ufffdx" },
		{ "\xe2\x82", "\\ufffd\\ufffd" },
		{ "\xe2\x82x", "\\ufffd\\ufffdx" },
		{ "\xf0\x9f\x98", "\\ufffd\\ufffd\\ufffd" },
		/* continuation without a beginning, overlong, surrogates, beyond the last code
		   point */
		{ "\x80\xbf", "\\ufffd\\ufffd" },
		{ "\xc0\xaf", "\\ufffd\\ufffd" },
		{ "\xc1\xbf", "\\ufffd\\ufffd" },
		{ "\xe0\x80\xaf", "\\ufffd\\ufffd\\ufffd" },
		{ "\xe0\x9f\xbf", "\\ufffd\\ufffd\\ufffd" },
		{ "\xf0\x8f\xbf\xbf", "\\ufffd\\ufffd\\ufffd\\ufffd" },
		{ "\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd" },
		{ "\xed\xbf\xbf", "\\ufffd\\ufffd\\ufffd" },
		{ "\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd" },
		{ "\xf5\x80\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd" },
		{ "\xfe\xff", "\\ufffd\\ufffd" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_STR struct str s = STR_INIT;
		/* exactly as long as the text, so that a sanitizer sees a look behind its end */
		AUTO(free) char *in = xstrdup(cases[i][0]);

		str_add_json(&s, in);
		assert_string_equal(s.p, cases[i][1]);
	}
}

static void comparisons(void **state)
{
	(void)state;
	assert_true(str_is("a", "a") && str_is("", "") && str_is(NULL, NULL));
	assert_false(str_is("a", "b") || str_is("a", NULL) || str_is(NULL, ""));
	assert_true(str_starts("abc", "ab") && str_starts("abc", "") && str_starts("abc", "abc"));
	assert_false(str_starts("ab", "abc") || str_starts("abc", "b"));
	assert_true(str_ends("abc", "bc") && str_ends("abc", "") && str_ends("abc", "abc"));
	assert_false(str_ends("bc", "abc") || str_ends("abc", "b"));
}

static void trims(void **state)
{
	static const char *const cases[][2] = { { "", "" }, { " \t\r\n\f\v", "" }, { "x", "x" },
		{ " x", "x" }, { "x \n", "x" }, { "\t a b \r\n", "a b" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(free) char *in = xstrdup(cases[i][0]);

		assert_string_equal(str_trim(in), cases[i][1]);
	}
}

static void signed_numbers(void **state)
{
	static const char *const bad[] = { "", " ", "-", "+1", " 1", "1 ", "1x", "x", "0x10", "--1",
		"1.0", "1e3", "9223372036854775808", "-9223372036854775809",
		"99999999999999999999999" };
	long long v = 42;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(str_to_int(bad[i], LLONG_MIN, LLONG_MAX, &v));
	assert_false(str_to_int(NULL, 0, 9, &v));
	assert_false(str_to_int("10", 0, 9, &v));
	assert_false(str_to_int("-1", 0, 9, &v));
	assert_true(v == 42);
	assert_true(str_to_int("9", 0, 9, &v) && v == 9);
	assert_true(str_to_int("-0", 0, 9, &v) && v == 0);
	assert_true(str_to_int("007", 0, 9, &v) && v == 7);
	assert_true(str_to_int("9223372036854775807", LLONG_MIN, LLONG_MAX, &v) && v == LLONG_MAX);
	assert_true(str_to_int("-9223372036854775808", LLONG_MIN, LLONG_MAX, &v) && v == LLONG_MIN);
}

static void unsigned_numbers(void **state)
{
	static const char *const bad[] = { "", "-", "-1", "+1", " 1", "1 ", "1x", "0x1",
		"18446744073709551616" };
	unsigned long long v = 42;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(str_to_u64(bad[i], &v));
	assert_false(str_to_u64(NULL, &v));
	assert_true(v == 42);
	assert_true(str_to_u64("0", &v) && v == 0);
	assert_true(str_to_u64("18446744073709551615", &v) && v == ULLONG_MAX);
}

static void distances(void **state)
{
	char a[64], b[80];

	(void)state;
	assert_int_equal(str_distance("", ""), 0);
	assert_int_equal(str_distance("", "abc"), 3);
	assert_int_equal(str_distance("abc", "abc"), 0);
	assert_int_equal(str_distance("ping_interval", "ping_intervall"), 1);
	assert_int_equal(str_distance("ping_interval", "pnig_interval"), 1);
	assert_int_equal(str_distance("ping_interval", "pong_interval"), 1);
	assert_int_equal(str_distance("kitten", "sitting"), 3);
	assert_int_equal(str_distance("ab", "ba"), 1);
	memset(a, 'x', sizeof(a));
	memset(b, 'x', sizeof(b));
	a[63] = b[79] = '\0';
	assert_int_equal(str_distance(a, a), 0);
	assert_int_equal(str_distance(a, b), 79);
	assert_int_equal(str_distance(b, a), 79);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_needs_nothing),
		cmocka_unit_test(grows),
		cmocka_unit_test(formats_any_length),
		cmocka_unit_test(reserves),
		cmocka_unit_test(gives_away),
		cmocka_unit_test(shell_words),
		cmocka_unit_test(shell_agrees),
		cmocka_unit_test(json_text),
		cmocka_unit_test(comparisons),
		cmocka_unit_test(trims),
		cmocka_unit_test(signed_numbers),
		cmocka_unit_test(unsigned_numbers),
		cmocka_unit_test(distances),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
