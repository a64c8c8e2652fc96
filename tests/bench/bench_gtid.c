/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_gtid - medians of the operations on sets of 10,000 intervals (or as many as the
 * arguments say), in microseconds.  Run without load on the machine to compare.
 */
#include "clock.h"
#include "gtid.h"
#include "str.h"
#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 101, SOURCES = 10 };

struct sets {
	struct gtid_set *a, *b;
	const char *text;
};

/* `n` intervals over ten sources; sets with different offsets overlap in part of each interval. */
static char *make_text(unsigned n, unsigned offset)
{
	struct str text = STR_INIT;

	for (unsigned k = 0; k < SOURCES; k++) {
		str_addf(&text, "%s%08x-0000-0000-0000-000000000000", k ? ",\n" : "", k);
		for (unsigned i = 0; i < n / SOURCES; i++)
			str_addf(&text, ":%u-%u", 20 * i + offset, 20 * i + offset + 9);
	}
	return str_take(&text);
}

static struct gtid_set *must_parse(const char *text)
{
	struct err e = { 0 };
	struct gtid_set *s = gtid_set_parse(GTID_MYSQL, text, &e);

	if (!s) {
		fprintf(stderr, "%s\n", e.text);
		exit(1);
	}
	return s;
}

static void run_parse(const struct sets *s)
{
	gtid_set_free(must_parse(s->text));
}

static void run_format(const struct sets *s)
{
	free(gtid_set_format(s->a));
}

static void run_subtract(const struct sets *s)
{
	gtid_set_free(gtid_set_subtract(s->a, s->b));
}

static void run_union(const struct sets *s)
{
	gtid_set_free(gtid_set_union(s->a, s->b));
}

static void run_intersect(const struct sets *s)
{
	gtid_set_free(gtid_set_intersect(s->a, s->b));
}

static void run_cmp(const struct sets *s)
{
	if (gtid_set_cmp(s->a, s->b) != GTID_DIVERGED)
		abort();
}

/* 1,000 transactions behind the last one, as a reader of a binlog adds them. */
static void run_add(const struct sets *s)
{
	static uint64_t gno = 1 << 30;
	static const uint8_t uuid[16];

	for (int i = 0; i < 1000; i++, gno++)
		gtid_set_add_mysql(s->a, uuid, "", gno, gno);
}

static int by_value(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void measure(const char *what, void (*run)(const struct sets *), const struct sets *s)
{
	int64_t us[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		int64_t start = clock_us();

		run(s);
		us[i] = clock_us() - start;
	}
	qsort(us, ROUNDS, sizeof(us[0]), by_value);
	printf("  %-10s median %6lld us   worst %6lld us\n", what, (long long)us[ROUNDS / 2],
	        (long long)us[ROUNDS - 1]);
}

static void bench(unsigned n)
{
	AUTO(free) char *ta = make_text(n, 1), *tb = make_text(n, 6);
	AUTO(gtid) struct gtid_set *a = must_parse(ta), *b = must_parse(tb);
	const struct sets s = { a, b, ta };

	printf("gtid: two sets of %u intervals, %d rounds\n", n, ROUNDS);
	measure("parse", run_parse, &s);
	measure("format", run_format, &s);
	measure("subtract", run_subtract, &s);
	measure("union", run_union, &s);
	measure("intersect", run_intersect, &s);
	measure("cmp", run_cmp, &s);
	measure("1000 adds", run_add, &s);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		bench(10000);
	for (int i = 1; i < argc; i++) {
		long long n;

		if (!str_to_int(argv[i], SOURCES, 10000000, &n)) {
			fprintf(stderr, "usage: bench_gtid [INTERVALS...]\n");
			return 2;
		}
		bench((unsigned)n);
	}
	return 0;
}
