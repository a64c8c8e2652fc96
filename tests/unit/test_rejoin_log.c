/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_rejoin_log - where two histories part: proven, or refused.
 */
#include "rejoin_log.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "mem.h"

/*
 * A letter is a transaction: its mark, at the offset of its place.  An upper-case letter is a statement, a
 * digit one that changes no rows, "~x" the rows of statement "X" with another mark; m and n are another server's.
 */
static struct rejoin_log log_of(const char *text)
{
	struct rejoin_log l = { .before = NULL };
	char file[] = "F mysql-bin.000001", line[100];
	uint64_t at = 0;

	assert_true(rejoin_log_line(&l, file));
	for (const char *p = text; *p; p++) {
		bool other = *p == '~';
		char c = *(p += other);

		snprintf(line, sizeof(line), "T %x %llu 100 %d %c -", other ? c + 1000 : c,
		        (unsigned long long)++at, c == 'm' || c == 'n' ? 8 : 7,
		        c >= '0' && c <= '9'   ? '-'
		        : c >= 'A' && c <= 'Z' ? (other ? 'r' : 's')
		                               : 'r');
		assert_true(rejoin_log_line(&l, line));
	}
	return l;
}

/* "3=4": our first three are theirs, of which the last is the fourth there; "apart", "unclear". */
static const char *match(const char *ours, const char *theirs)
{
	static char text[40];
	struct rejoin_log a = log_of(ours), b = log_of(theirs);
	struct rejoin_match m;
	struct err e = { 0 };

	if (rejoin_log_match(&a, &b, &m, &e))
		snprintf(text, sizeof(text), "%zu=%zu", m.ours + 1, m.theirs + 1);
	else
		snprintf(text, sizeof(text), "%s", e.code == REJOIN_APART ? "apart" : "unclear");
	rejoin_log_done(&a);
	rejoin_log_done(&b);
	return text;
}

static void test_parts(void **state)
{
	(void)state;
	assert_string_equal(match("abcd", "abcd"), "4=4");
	assert_string_equal(match("abcd", "abcdxyz"), "4=4");
	assert_string_equal(match("abcdxy", "abcdmn"), "4=4");
	assert_string_equal(match("cdxy", "abcdmn"), "2=4"); /* ours begins later: purged */
	assert_string_equal(match("abcd", "cdmn"), "4=2");   /* theirs does */
	assert_string_equal(match("abc12", "abcmn"), "3=3");
	assert_string_equal(match("abc1", "abc1mn"), "4=4");
}

static void test_refuses(void **state)
{
	(void)state;
	assert_string_equal(match("", "abc"), "apart");
	assert_string_equal(match("abc", ""), "apart");
	assert_string_equal(match("xyz", "abc"), "apart");
	assert_string_equal(match("12", "12"), "apart"); /* nothing in common that says anything */
	assert_string_equal(match("abxc", "abc"), "unclear");
	assert_string_equal(match("abc", "abxc"), "unclear");
	assert_string_equal(match("bac", "abc"), "unclear");
	assert_string_equal(match("aaaa", "aaa"), "unclear"); /* which of them? */
	assert_string_equal(match("yaaaa", "yaaa"), "unclear");
}

static void test_statements_as_rows(void **state)
{
	(void)state;
	assert_string_equal(match("aBc", "a~Bc"), "3=3");
	assert_string_equal(match("abC", "ab~Cmn"), "3=3");
	assert_string_equal(match("abCD", "ab~Cmn"), "3=3");
}

static void test_lines(void **state)
{
	struct rejoin_log l = { .before = NULL };
	char early[] = "T 1 2 3 4 r -", file[] = "F b.000002",
	     txn[] = "T 00ff 120 1700000000 1101 s 0-1-5\t[{\"db\":\"a b\"}]", bad[] = "T 1 2 3",
	     other[] = "X";

	(void)state;
	assert_false(rejoin_log_line(&l, early));
	assert_true(rejoin_log_line(&l, file));
	assert_true(rejoin_log_line(&l, txn));
	assert_false(rejoin_log_line(&l, bad));
	assert_false(rejoin_log_line(&l, other));
	assert_int_equal(l.all.len, 1);
	assert_int_equal(l.all.items[0].mark, 255);
	assert_int_equal(l.all.items[0].end, 120);
	assert_string_equal(l.all.items[0].gtid, "0-1-5");
	assert_string_equal(l.all.items[0].details, "[{\"db\":\"a b\"}]");
	assert_false(rejoin_txn_is_empty(&l.all.items[0]));
	rejoin_log_done(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_statements_as_rows),
		cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
