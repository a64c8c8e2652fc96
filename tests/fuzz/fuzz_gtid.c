/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_gtid - "set|set" in both dialects: what parses is printed and read back unchanged, what does
 * not has an offset within the text, and the operations agree with each other.
 */
#include "gtid.h"
#include "str.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "violated: %s\n", what);
	abort();
}

static struct gtid_set *parse(enum gtid_dialect d, const char *text)
{
	struct err e = { 0 };
	struct gtid_set *s = gtid_set_parse(d, text, &e);
	const char *at = strstr(e.text, " at offset ");

	if (!s)
		must(e.kind == ERR_PARSE && at && strtoul(at + 11, NULL, 10) <= strlen(text),
		        "errors name an offset");
	return s;
}

static void round_trip(const struct gtid_set *s)
{
	AUTO(free) char *text = gtid_set_format(s);
	AUTO(gtid) struct gtid_set *again = parse(gtid_set_dialect(s), text);
	AUTO(free) char *text2 = again ? gtid_set_format(again) : NULL;

	must(again != NULL, "own text parses");
	must(str_is(text, text2), "own text is canonical");
	must(gtid_set_cmp(s, again) == GTID_EQUAL, "own text means the same");
	must(gtid_set_count(s) == gtid_set_count(again), "own text counts the same");
}

static void laws(const struct gtid_set *a, const struct gtid_set *b)
{
	AUTO(gtid) struct gtid_set *sum = gtid_set_union(a, b);
	AUTO(gtid) struct gtid_set *diff = gtid_set_subtract(a, b);
	AUTO(gtid) struct gtid_set *both = gtid_set_intersect(a, b);
	AUTO(gtid) struct gtid_set *rest = gtid_set_union(diff, both);
	AUTO(gtid) struct gtid_set *none = gtid_set_intersect(diff, b);

	round_trip(sum);
	round_trip(diff);
	round_trip(both);
	must(gtid_set_cmp(rest, a) == GTID_EQUAL, "(a - b) + (a * b) = a");
	must(gtid_set_contains(sum, a) && gtid_set_contains(sum, b), "a + b has both");
	must(gtid_set_contains(a, both) && gtid_set_contains(b, both), "both have a * b");
	must(gtid_set_contains(b, a) == gtid_set_is_empty(diff), "b has a if a - b is empty");
	must(gtid_set_dialect(a) == GTID_MARIADB || gtid_set_is_empty(none),
	        "a - b has nothing of b");
}

static void both_dialects(const char *ta, const char *tb)
{
	for (int d = GTID_MYSQL; d <= GTID_MARIADB; d++) {
		AUTO(gtid) struct gtid_set *a = parse((enum gtid_dialect)d, ta);
		AUTO(gtid) struct gtid_set *b = parse((enum gtid_dialect)d, tb);

		if (a)
			round_trip(a);
		if (a && b)
			laws(a, b);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(free) char *text = xstrndup((const char *)data, size);
	char *bar = strchr(text, '|');

	if (bar)
		*bar++ = '\0';
	both_dialects(text, bar ? bar : "");
	if (bar)
		both_dialects(bar, text);
	return 0;
}
