/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gtid - GTID arithmetic on request, for tests that compare it with a server's.  Reads records that
 *end in NUL, with fields between unit separators (0x1f), so that sets may have blanks and line
 *ends:
 *
 *	mysql|mariadb  canon|union|subtract|intersect|contains|cmp|count|missing  SET  [SET]
 *
 * and answers each with one line: the result, or "error: " and why.
 */
#include "gtid.h"
#include "str.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_set(struct gtid_set *owned)
{
	AUTO(gtid) struct gtid_set *s = owned;
	AUTO(free) char *text = gtid_set_format(s);

	puts(text);
}

static void answer(const char *op, const struct gtid_set *a, const struct gtid_set *b)
{
	static const char *const orders[] = { "equal", "ahead", "behind", "diverged" };

	if (str_is(op, "canon"))
		print_set(gtid_set_dup(a));
	else if (str_is(op, "union"))
		print_set(gtid_set_union(a, b));
	else if (str_is(op, "subtract"))
		print_set(gtid_set_subtract(a, b));
	else if (str_is(op, "intersect"))
		print_set(gtid_set_intersect(a, b));
	else if (str_is(op, "contains"))
		puts(gtid_set_contains(a, b) ? "1" : "0");
	else if (str_is(op, "cmp"))
		puts(orders[gtid_set_cmp(a, b)]);
	else if (str_is(op, "count"))
		printf("%llu\n", (unsigned long long)gtid_set_count(a));
	else if (str_is(op, "missing"))
		printf("%llu\n", (unsigned long long)gtid_set_count_missing(a, b));
	else
		puts("error: unknown operation");
}

static void serve(char *record)
{
	enum gtid_dialect d = str_is(strsep(&record, "\x1f"), "mysql") ? GTID_MYSQL : GTID_MARIADB;
	const char *op = strsep(&record, "\x1f"), *ta = strsep(&record, "\x1f"), *tb = record;
	struct err e = { 0 };
	AUTO(gtid) struct gtid_set *a = gtid_set_parse(d, ta ? ta : "", &e);
	AUTO(gtid) struct gtid_set *b = gtid_set_parse(d, tb ? tb : "", &e);

	if (!op || !a || !b)
		printf("error: %s\n", op ? e.text : "no operation");
	else
		answer(op, a, b);
	fflush(stdout);
}

int main(void)
{
	AUTO(free) char *record = NULL;
	size_t cap = 0;

	while (getdelim(&record, &cap, '\0', stdin) > 0)
		serve(record);
	return 0;
}
