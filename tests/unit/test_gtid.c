/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_gtid - tables of cases, then random sets against a plain model of bits.  The seed is
 * printed; MHAD_SEED=n replays one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "gtid.h"
#include "str.h"

#define U1       "11111111-aaaa-1111-1111-111111111111"
#define U2       "22222222-bbbb-2222-2222-222222222222"
#define U3       "33333333-cccc-3333-3333-333333333333"
#define MAX_TEXT "9223372036854775806"
#define TAG32    "abcdefghijabcdefghijabcdefghij12"

static struct gtid_set *parse(enum gtid_dialect d, const char *text)
{
	struct err e = { 0 };
	struct gtid_set *s = gtid_set_parse(d, text, &e);

	if (!s)
		fail_msg("\"%s\": %s", text, e.text);
	return s;
}

static void expect_text(const struct gtid_set *s, const char *want)
{
	AUTO(free) char *got = gtid_set_format(s);

	assert_string_equal(got, want);
}

static void expect_owned(struct gtid_set *owned, const char *want)
{
	AUTO(gtid) struct gtid_set *s = owned;

	expect_text(s, want);
}

struct text_case {
	const char *in, *out;
};

static void check_texts(enum gtid_dialect d, const struct text_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		AUTO(gtid) struct gtid_set *s = parse(d, cases[i].in);
		AUTO(gtid) struct gtid_set *again = parse(d, cases[i].out);

		expect_text(s, cases[i].out);
		assert_int_equal(gtid_set_cmp(s, again), GTID_EQUAL);
		assert_int_equal(gtid_set_dialect(s), d);
		assert_int_equal(gtid_set_is_empty(s), !cases[i].out[0]);
	}
}

static void mysql_texts(void **state)
{
	static const struct text_case cases[] = {
		{ "", "" },
		{ " \t\r\n", "" },
		{ ",", "" },
		{ " , ,\n", "" },
		{ U1 ":1", U1 ":1" },
		{ U1 ":1-1", U1 ":1" },
		{ U1 ":1-5", U1 ":1-5" },
		{ U1 ":1-5:7:9-10", U1 ":1-5:7:9-10" },
		{ " " U1 " : 1 - 5 : 7 ", U1 ":1-5:7" },
		{ U1 "\n:\n1\n-\n2\n,\n" U1 ":7\n", U1 ":1-2:7" },
		{ "," U1 ":1,,", U1 ":1" },
		{ U2 ":1,\n" U1 ":2", U1 ":2," U2 ":1" },
		{ "11111111-AAAA-1111-1111-111111111111:1", U1 ":1" },
		{ U1 ":010-011", U1 ":10-11" },
		{ U1 ":9:5-7:1", U1 ":1:5-7:9" },
		{ U1 ":1-3:2-9", U1 ":1-9" },
		{ U1 ":1-3:4-9", U1 ":1-9" },
		{ U1 ":1-30:4-9:2", U1 ":1-30" },
		{ U1 ":3:2:1:3:2:1", U1 ":1-3" },
		{ U1 ":1," U2 ":1," U1 ":2", U1 ":1-2," U2 ":1" },
		{ U1 ":" MAX_TEXT, U1 ":" MAX_TEXT },
		{ U1 ":1-" MAX_TEXT ":" MAX_TEXT, U1 ":1-" MAX_TEXT },
		{ U1 ":tag:1-3:7:other:2", U1 ":other:2:tag:1-3:7" },
		{ U1 ":Tag_1:1", U1 ":tag_1:1" },
		{ U1 ":z:1," U1 ":3", U1 ":3:z:1" },
		{ U1 ":1:tag:3:_x:9", U1 ":1:_x:9:tag:3" },
		{ U1 ": 1 : t : 3", U1 ":1:t:3" },
		{ U1 ":" TAG32 ":1", U1 ":" TAG32 ":1" },
		{ U1 ":1-5:T:1:t:2:10", U1 ":1-5:t:1-2:10" },
		{ U1 ":a:1:b:1:a:2", U1 ":a:1-2:b:1" },
		{ U1 ":a:1-3:b:1," U1 ":a:4", U1 ":a:1-4:b:1" },
		{ U1 ":a1:1:a_:1:a:1:aa:1:_:1", U1 ":_:1:a:1:a1:1:a_:1:aa:1" },
		{ U2 ":a:1," U1 ":b:1", U1 ":b:1," U2 ":a:1" },
	};

	(void)state;
	check_texts(GTID_MYSQL, cases, sizeof(cases) / sizeof(cases[0]));
}

static void mariadb_texts(void **state)
{
	static const struct text_case cases[] = {
		{ "", "" },
		{ " \n", "" },
		{ "0-1-100", "0-1-100" },
		{ "0-1-100,1-2-7", "0-1-100,1-2-7" },
		{ "30-1-5,10-1-5,\n20-7-5, 0-3-3\n", "0-3-3,10-1-5,20-7-5,30-1-5" },
		{ " 0-1-05", "0-1-5" },
		{ "0-0-5", "0-0-5" },
		{ "4294967295-4294967295-18446744073709551615",
		        "4294967295-4294967295-18446744073709551615" },
		{ "0-1-0", "" },
		{ "0-1-0,1-1-1", "1-1-1" },
		{ "0-1-5,0-2-6,0-3-2,1-1-1", "0-2-6,1-1-1" },
		{ "0-1-5,0-1-5", "0-1-5" },
		{ "0-2-6,0-1-6,0-1-5", "0-1-6,0-2-6" },
	};

	(void)state;
	check_texts(GTID_MARIADB, cases, sizeof(cases) / sizeof(cases[0]));
}

struct bad_case {
	const char *in;
	int offset;
	const char *expected;
};

static void check_bad(enum gtid_dialect d, const struct bad_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct err e = { 0 };
		char at[40];

		assert_null(gtid_set_parse(d, cases[i].in, &e));
		assert_null(gtid_set_parse(d, cases[i].in, NULL));
		assert_int_equal(e.kind, ERR_PARSE);
		snprintf(at, sizeof(at), " at offset %d, ", cases[i].offset);
		if (!strstr(e.text, at) || !strstr(e.text, cases[i].expected))
			fail_msg("\"%s\": wanted \"%s\" and \"%s\", got: %s", cases[i].in, at,
			        cases[i].expected, e.text);
	}
}

static void mysql_malformed(void **state)
{
	static const struct bad_case cases[] = {
		{ "x", 0, "UUID" },
		{ U1, 36, "\":\"" },
		{ U1 ",", 36, "\":\"" },
		{ U1 ":", 37, "number from 1 to " MAX_TEXT },
		{ U1 ":,", 37, "number" },
		{ U1 "::1", 37, "found \":1\"" },
		{ U1 ":0", 37, "number" },
		{ U1 ":0x10", 37, "number" },
		{ U1 ":+1", 37, "number" },
		{ U1 ":-1", 37, "number" },
		{ U1 ":1-", 39, "number" },
		{ U1 ":1--1", 39, "number" },
		{ U1 ":1-3-4", 40, "end" },
		{ U1 ":1 2", 39, "end" },
		{ U1 ":1;", 38, "end" },
		{ U1 ":1a", 38, "end" },
		{ U1 ":5-3", 39, "number from 5 to" },
		{ U1 ":1-0", 39, "number" },
		{ U1 ":9223372036854775807", 37, "number" },
		{ U1 ":99999999999999999999999", 37, "number" },
		{ U1 ":1-9223372036854775807", 39, "number" },
		{ U1 ":tag", 40, "tag" },
		{ U1 ":1:tag", 42, "tag" },
		{ U1 ":tag,", 40, "tag" },
		{ U1 ":a:b:1", 39, "number" },
		{ U1 ":a::1", 39, "number" },
		{ U1 ":a:1:", 41, "its end" },
		{ U1 ":a-1", 38, "\":\"" },
		{ U1 ":" TAG32 "3:1", 69, "32" },
		{ U1 ":\xc3\xa9:1", 37, "found \"??:1\"" },
		{ U1 ":1,tag:2", 39, "UUID" },
		{ U1 ":1\n,\n" U2, 77, "\":\"" },
		{ "11111111-aaaa-1111-1111-11111111111:1", 35, "UUID" },
		{ "11111111-aaaa-1111-1111-1111111111111:1", 36, "\":\"" },
		{ "11111111-aaaa-1111-1111-11111111111g:1", 35, "UUID" },
		{ "11111111aaaa11111111111111111111:1", 8, "UUID" },
		{ "{" U1 "}:1", 0, "UUID" },
		{ "+" U1 ":1", 0, "UUID" },
		{ "0-1-100", 1, "UUID" },
	};

	(void)state;
	check_bad(GTID_MYSQL, cases, sizeof(cases) / sizeof(cases[0]));
}

static void mariadb_malformed(void **state)
{
	static const struct bad_case cases[] = {
		{ ",", 0, "number" },
		{ "0", 1, "\"-\"" },
		{ "0-1", 3, "\"-\"" },
		{ "0-1-", 4, "number" },
		{ "0-1-5,", 6, "position" },
		{ "0-1-5,,1-1-1", 6, "number" },
		{ ",0-1-5", 0, "number" },
		{ "0-1-5-6", 5, "end" },
		{ "0-1-5 1-1-1", 6, "end" },
		{ "-1-1-1", 0, "number" },
		{ "+0-1-1", 0, "number" },
		{ "4294967296-1-1", 0, "to 4294967295" },
		{ "0-4294967296-1", 2, "to 4294967295" },
		{ "0-1-18446744073709551616", 4, "to 18446744073709551615" },
		{ "0-1-0x5", 5, "end" },
		{ U1 ":1", 9, "number" },
	};

	(void)state;
	check_bad(GTID_MARIADB, cases, sizeof(cases) / sizeof(cases[0]));
}

struct op_case {
	const char *a, *b, *sum, *diff, *both;
	enum gtid_order order;
	uint64_t missing;
};

static void check_ops(enum gtid_dialect d, const struct op_case *cases, size_t n)
{
	for (const struct op_case *c = cases; c < cases + n; c++) {
		AUTO(gtid) struct gtid_set *a = parse(d, c->a);
		AUTO(gtid) struct gtid_set *b = parse(d, c->b);

		expect_owned(gtid_set_union(a, b), c->sum);
		expect_owned(gtid_set_subtract(a, b), c->diff);
		expect_owned(gtid_set_intersect(a, b), c->both);
		assert_int_equal(gtid_set_cmp(a, b), c->order);
		assert_int_equal(
		        gtid_set_contains(a, b), c->order == GTID_EQUAL || c->order == GTID_AHEAD);
		assert_int_equal(gtid_set_count_missing(a, b), c->missing);
		expect_text(a, c->a);
		expect_text(b, c->b);
	}
}

static void mysql_ops(void **state)
{
	static const struct op_case cases[] = {
		{ "", "", "", "", "", GTID_EQUAL, 0 },
		{ U1 ":1-5", "", U1 ":1-5", U1 ":1-5", "", GTID_AHEAD, 5 },
		{ "", U1 ":1-5", U1 ":1-5", "", "", GTID_BEHIND, 0 },
		{ U1 ":1-5", U1 ":1-5", U1 ":1-5", "", U1 ":1-5", GTID_EQUAL, 0 },
		{ U1 ":1-5", U1 ":3", U1 ":1-5", U1 ":1-2:4-5", U1 ":3", GTID_AHEAD, 4 },
		{ U1 ":1-5", U1 ":6-9", U1 ":1-9", U1 ":1-5", "", GTID_DIVERGED, 5 },
		{ U1 ":1-5", U1 ":4-9", U1 ":1-9", U1 ":1-3", U1 ":4-5", GTID_DIVERGED, 3 },
		{ U1 ":1-3:7-9", U1 ":2-8", U1 ":1-9", U1 ":1:9", U1 ":2-3:7-8", GTID_DIVERGED, 2 },
		{ U1 ":1-5", U2 ":1-5", U1 ":1-5," U2 ":1-5", U1 ":1-5", "", GTID_DIVERGED, 5 },
		{ U1 ":1-5", U1 ":t:1-5", U1 ":1-5:t:1-5", U1 ":1-5", "", GTID_DIVERGED, 5 },
		{ U1 ":1-9:t:1-5", U1 ":t:2", U1 ":1-9:t:1-5", U1 ":1-9:t:1:3-5", U1 ":t:2",
		        GTID_AHEAD, 13 },
		{ U1 ":1-" MAX_TEXT, U1 ":" MAX_TEXT, U1 ":1-" MAX_TEXT,
		        U1 ":1-9223372036854775805", U1 ":" MAX_TEXT, GTID_AHEAD,
		        GTID_GNO_MAX - 1 },
	};

	(void)state;
	check_ops(GTID_MYSQL, cases, sizeof(cases) / sizeof(cases[0]));
}

static void mariadb_ops(void **state)
{
	static const struct op_case cases[] = {
		{ "", "", "", "", "", GTID_EQUAL, 0 },
		{ "0-1-5", "", "0-1-5", "0-1-5", "", GTID_AHEAD, 5 },
		{ "0-1-5", "0-1-5", "0-1-5", "", "0-1-5", GTID_EQUAL, 0 },
		{ "0-1-7", "0-2-5", "0-1-7", "0-1-7", "0-2-5", GTID_AHEAD, 2 },
		{ "0-1-7,1-1-1", "0-2-5,1-1-4", "0-1-7,1-1-4", "0-1-7", "0-2-5,1-1-1",
		        GTID_DIVERGED, 2 },
		{ "0-1-7", "1-1-4", "0-1-7,1-1-4", "0-1-7", "", GTID_DIVERGED, 7 },
		{ "0-1-9", "0-2-9", "0-1-9,0-2-9", "0-1-9", "", GTID_DIVERGED, 1 },
		{ "0-1-9,0-2-9", "0-2-9", "0-1-9,0-2-9", "0-1-9", "0-2-9", GTID_AHEAD, 1 },
		{ "0-1-9,0-2-9", "0-2-9,0-3-9", "0-1-9,0-2-9,0-3-9", "0-1-9", "0-2-9",
		        GTID_DIVERGED, 1 },
		{ "0-1-9,0-2-9", "0-5-4", "0-1-9,0-2-9", "0-1-9,0-2-9", "0-5-4", GTID_AHEAD, 6 },
	};

	(void)state;
	check_ops(GTID_MARIADB, cases, sizeof(cases) / sizeof(cases[0]));
}

static void counts_saturate(void **state)
{
	AUTO(gtid)
	struct gtid_set *my =
	        parse(GTID_MYSQL, U1 ":1-" MAX_TEXT "," U2 ":1-" MAX_TEXT "," U3 ":1-" MAX_TEXT);
	AUTO(gtid) struct gtid_set *ma = parse(GTID_MARIADB, "0-1-18446744073709551615,1-1-3");

	(void)state;
	assert_true(gtid_set_count(my) == UINT64_MAX);
	assert_true(gtid_set_count(ma) == UINT64_MAX);
	assert_true(gtid_set_count_missing(ma, NULL) == UINT64_MAX);
	assert_true(gtid_set_count_missing(ma, ma) == 0);
}

static void uuids(void **state)
{
	static const uint8_t want[16] = { 0x3e, 0x11, 0xfa, 0x47, 0x71, 0xca, 0x11, 0xe1, 0x9e,
		0x33, 0xc8, 0x0a, 0xa9, 0x42, 0x95, 0x62 };
	static const char *const bad[] = { "", "3", "3E11FA47-71CA-11E1-9E33-C80AA942956",
		"3E11FA47-71CA-11E1-9E33-C80AA94295621", "3E11FA47-71CA-11E1-9E33-C80AA942956g",
		"3E11FA4771CA-11E1-9E33-C80AA94295620", "3E11FA47-71CA-11E1-9E33-C80AA942956 ",
		"3E11FA47_71CA-11E1-9E33-C80AA9429562" };
	uint8_t uuid[16] = { 1, 2, 3 }, before[16] = { 1, 2, 3 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(gtid_uuid_parse(bad[i], uuid));
		assert_memory_equal(uuid, before, 16);
	}
	assert_true(gtid_uuid_parse("3E11FA47-71ca-11E1-9e33-C80AA9429562", uuid));
	assert_memory_equal(uuid, want, 16);
}

static void one_source(void **state)
{
	AUTO(gtid) struct gtid_set *s = parse(GTID_MYSQL, U1 ":1-3," U2 ":5:t:1-2:8," U3 ":9");
	uint8_t uuid[16];

	(void)state;
	assert_true(gtid_uuid_parse(U2, uuid));
	expect_owned(gtid_set_only_source(s, uuid), U2 ":5:t:1-2:8");
	uuid[0]++;
	expect_owned(gtid_set_only_source(s, uuid), "");
}

static void single_mysql(void **state)
{
	AUTO(gtid) struct gtid_set *s = gtid_set_new(GTID_MYSQL);
	uint8_t u1[16], u2[16];

	(void)state;
	assert_true(gtid_uuid_parse(U1, u1) && gtid_uuid_parse(U2, u2));
	assert_false(gtid_set_has_mysql(s, u1, "", 1));
	assert_true(gtid_set_add_mysql(s, u1, "", 1, 1));
	assert_true(gtid_set_add_mysql(s, u1, "", 2, 3));
	expect_text(s, U1 ":1-3");
	assert_true(gtid_set_add_mysql(s, u1, "", 7, 9));
	assert_true(gtid_set_add_mysql(s, u1, "", 11, 12));
	assert_true(gtid_set_add_mysql(s, u1, "", 5, 5));
	expect_text(s, U1 ":1-3:5:7-9:11-12");
	assert_true(gtid_set_add_mysql(s, u1, "", 6, 6));
	expect_text(s, U1 ":1-3:5-9:11-12");
	assert_true(gtid_set_add_mysql(s, u1, "", 2, 30));
	expect_text(s, U1 ":1-30");
	assert_true(gtid_set_add_mysql(s, u1, "Tag", 4, 5));
	assert_true(gtid_set_add_mysql(s, u2, "", GTID_GNO_MAX, GTID_GNO_MAX));
	expect_text(s, U1 ":1-30:tag:4-5," U2 ":" MAX_TEXT);
	assert_true(gtid_set_has_mysql(s, u1, "", 30));
	assert_true(gtid_set_has_mysql(s, u1, "tag", 4));
	assert_true(gtid_set_has_mysql(s, u2, "", GTID_GNO_MAX));
	assert_false(gtid_set_has_mysql(s, u1, "", 31));
	assert_false(gtid_set_has_mysql(s, u1, "tag", 3));
	assert_false(gtid_set_has_mysql(s, u1, "tagx", 4));
	assert_false(gtid_set_has_mysql(s, u2, "tag", 4));
	assert_false(gtid_set_has_mysql(s, u1, "no tag", 4));
}

static void what_cannot_be_added(void **state)
{
	AUTO(gtid) struct gtid_set *s = parse(GTID_MYSQL, U1 ":1-3");
	uint8_t u1[16];

	(void)state;
	assert_true(gtid_uuid_parse(U1, u1));
	assert_false(gtid_set_add_mysql(s, u1, "", 0, 5));
	assert_false(gtid_set_add_mysql(s, u1, "", 5, 4));
	assert_false(gtid_set_add_mysql(s, u1, "", 5, GTID_GNO_MAX + 1));
	assert_false(gtid_set_add_mysql(s, u1, "1a", 5, 5));
	assert_false(gtid_set_add_mysql(s, u1, "a b", 5, 5));
	assert_false(gtid_set_add_mysql(s, u1, TAG32 "3", 5, 5));
	expect_text(s, U1 ":1-3");
}

static void single_mariadb(void **state)
{
	AUTO(gtid) struct gtid_set *s = gtid_set_new(GTID_MARIADB);

	(void)state;
	gtid_set_add_mariadb(s, 1, 7, 0);
	assert_true(gtid_set_is_empty(s));
	gtid_set_add_mariadb(s, 1, 7, 3);
	gtid_set_add_mariadb(s, 0, 7, 5);
	gtid_set_add_mariadb(s, 0, 8, 6);
	gtid_set_add_mariadb(s, 0, 7, 4);
	expect_text(s, "0-8-6,1-7-3");
	assert_true(gtid_set_has_mariadb(s, 0, 8, 6));
	assert_true(gtid_set_has_mariadb(s, 0, 9, 5));
	assert_false(gtid_set_has_mariadb(s, 0, 9, 6));
	assert_false(gtid_set_has_mariadb(s, 0, 8, 7));
	assert_false(gtid_set_has_mariadb(s, 2, 8, 1));
	gtid_set_add_mariadb(s, 0, 9, 6);
	expect_text(s, "0-8-6,0-9-6,1-7-3");
	gtid_set_add_mariadb(s, 0, 9, 7);
	expect_text(s, "0-9-7,1-7-3");
}

/* xorshift: the same numbers on every machine. */
static uint64_t seed;
static uint64_t rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

/* The MySQL model: one bit per transaction of three sources with three tags each. */
enum { KEYS = 9, GNOS = 24 };
static const char *const key_text[KEYS] = { U1, U1 ":a", U1 ":a_1", U2, U2 ":a", U2 ":b", U3,
	U3 ":_", U3 ":zz" };

struct model {
	bool bit[KEYS][GNOS];
};

/* A random set as text: pieces in any order, overlapping, blanks strewn in. */
static struct gtid_set *random_mysql(struct model *ret)
{
	static const char *const blanks[] = { "", "", "", " ", "\n", "\t " };
	AUTO_STR struct str text = STR_INIT;
	int pieces = (int)rnd(12);

	memset(ret, 0, sizeof(*ret));
	while (pieces-- > 0) {
		size_t key = rnd(KEYS), runs = 1 + rnd(4);

		str_addf(&text, "%s%s", blanks[rnd(6)], key_text[key]);
		while (runs--) {
			size_t first = rnd(GNOS), last = first + rnd(GNOS - first);

			last = rnd(2) ? first : last;
			for (size_t i = first; i <= last; i++)
				ret->bit[key][i] = true;
			str_addf(&text, "%s:%s%zu", blanks[rnd(6)], blanks[rnd(6)], first + 1);
			if (last > first || !rnd(4))
				str_addf(&text, "%s-%zu", blanks[rnd(6)], last + 1);
		}
		str_addf(&text, "%s,%s", blanks[rnd(6)], blanks[rnd(6)]);
	}
	return parse(GTID_MYSQL, text.p);
}

/* What the model's canonical text is, from the bits alone. */
static void expect_model(struct gtid_set *owned, const struct model *m)
{
	AUTO_STR struct str text = STR_INIT;
	const char *uuid = "";

	for (size_t key = 0; key < KEYS; key++) {
		bool named = false;

		for (size_t i = 0, run; i < GNOS; i += run) {
			for (run = 0; i + run < GNOS && m->bit[key][i + run]; run++)
				;
			if (!run && (run = 1))
				continue;
			if (!named && strncmp(uuid, key_text[key], 36) != 0)
				str_addf(&text, "%s%s", text.len ? "," : "", key_text[key]);
			else if (!named)
				str_add(&text, key_text[key] + 36);
			named = true;
			uuid = key_text[key];
			str_addf(&text, ":%zu", i + 1);
			if (run > 1)
				str_addf(&text, "-%zu", i + run);
		}
	}
	expect_owned(owned, text.p);
}

static void model_ops(const struct model *a, const struct model *b, struct model *sum,
        struct model *diff, struct model *both, uint64_t *a_only, uint64_t *b_only)
{
	*a_only = *b_only = 0;
	for (size_t k = 0; k < KEYS; k++) {
		for (size_t i = 0; i < GNOS; i++) {
			bool x = a->bit[k][i], y = b->bit[k][i];

			sum->bit[k][i] = x || y;
			diff->bit[k][i] = x && !y;
			both->bit[k][i] = x && y;
			*a_only += x && !y;
			*b_only += y && !x;
		}
	}
}

/* The laws that hold for any two sets of either dialect. */
static void check_laws(const struct gtid_set *a, const struct gtid_set *b)
{
	static const enum gtid_order mirrored[] = { GTID_EQUAL, GTID_BEHIND, GTID_AHEAD,
		GTID_DIVERGED };
	AUTO(gtid) struct gtid_set *diff = gtid_set_subtract(a, b);
	AUTO(gtid) struct gtid_set *both = gtid_set_intersect(a, b);
	AUTO(gtid) struct gtid_set *sum = gtid_set_union(a, b);
	AUTO(gtid) struct gtid_set *mus = gtid_set_union(b, a);
	AUTO(gtid) struct gtid_set *rest = gtid_set_union(diff, both);
	AUTO(gtid) struct gtid_set *copy = gtid_set_dup(a);
	AUTO(free) char *text = gtid_set_format(a);
	AUTO(gtid) struct gtid_set *again = parse(gtid_set_dialect(a), text);

	expect_text(rest, text);
	expect_text(again, text);
	expect_text(copy, text);
	assert_int_equal(gtid_set_contains(b, a), gtid_set_is_empty(diff));
	assert_int_equal(gtid_set_cmp(b, a), mirrored[gtid_set_cmp(a, b)]);
	assert_int_equal(gtid_set_cmp(sum, mus), GTID_EQUAL);
	assert_true(gtid_set_contains(sum, a) && gtid_set_contains(sum, b));
	assert_true(gtid_set_contains(a, both) && gtid_set_contains(b, both));
	assert_int_equal(gtid_set_count_missing(a, b) == 0, gtid_set_contains(b, a));
}

static void random_mysql_sets(void **state)
{
	(void)state;
	for (int round = 0; round < 1500; round++) {
		struct model ma, mb, sum, diff, both;
		AUTO(gtid) struct gtid_set *a = random_mysql(&ma);
		AUTO(gtid) struct gtid_set *b = random_mysql(&mb);
		AUTO(gtid) struct gtid_set *a_b = gtid_set_subtract(a, b);
		AUTO(gtid) struct gtid_set *b_a = gtid_set_subtract(b, a);
		uint64_t a_only, b_only;

		model_ops(&ma, &mb, &sum, &diff, &both, &a_only, &b_only);
		expect_model(gtid_set_dup(a), &ma);
		expect_model(gtid_set_union(a, b), &sum);
		expect_model(gtid_set_subtract(a, b), &diff);
		expect_model(gtid_set_intersect(a, b), &both);
		expect_owned(gtid_set_intersect(a_b, b), "");
		expect_owned(gtid_set_intersect(a_b, b_a), "");
		assert_int_equal(gtid_set_count_missing(a, b), a_only);
		assert_int_equal(gtid_set_cmp(a, b), a_only ? (b_only ? GTID_DIVERGED : GTID_AHEAD)
		                                            : (b_only ? GTID_BEHIND : GTID_EQUAL));
		check_laws(a, b);
		check_laws(b, a);
	}
}

static void random_mysql_adds(void **state)
{
	(void)state;
	for (int round = 0; round < 300; round++) {
		AUTO(gtid) struct gtid_set *s = gtid_set_new(GTID_MYSQL);
		struct model m = { 0 };

		for (int n = 0; n < 40; n++) {
			size_t key = rnd(KEYS), first = rnd(GNOS),
			       last = first + rnd(GNOS - first) / 4;
			const char *tag = key_text[key][36] ? key_text[key] + 37 : "";
			char text[37];
			uint8_t uuid[16];

			snprintf(text, sizeof(text), "%s", key_text[key]);
			assert_true(gtid_uuid_parse(text, uuid));
			assert_int_equal(
			        gtid_set_has_mysql(s, uuid, tag, first + 1), m.bit[key][first]);
			assert_true(gtid_set_add_mysql(s, uuid, tag, first + 1, last + 1));
			for (size_t i = first; i <= last; i++)
				m.bit[key][i] = true;
		}
		expect_model(gtid_set_dup(s), &m);
	}
}

/* The MariaDB model: which transactions a position stands for. */
enum { DOMAINS = 3, SERVERS = 3, SEQS = 5 };

struct ma_model {
	bool bit[DOMAINS][SERVERS][SEQS];
};

static struct gtid_set *random_mariadb(struct ma_model *ret)
{
	AUTO_STR struct str text = STR_INIT;
	int pieces = (int)rnd(5);

	memset(ret, 0, sizeof(*ret));
	while (pieces-- > 0) {
		size_t d = rnd(DOMAINS), s = rnd(SERVERS), q = rnd(SEQS);

		ret->bit[d][s][q] = true;
		for (size_t i = 0; i < SERVERS; i++)
			for (size_t k = 0; k < q; k++)
				ret->bit[d][i][k] = true;
		str_addf(&text, "%s%zu-%zu-%zu", text.len ? ", " : " ", d, s, q + 1);
	}
	return parse(GTID_MARIADB, text.p);
}

static void random_mariadb_sets(void **state)
{
	(void)state;
	for (int round = 0; round < 3000; round++) {
		struct ma_model ma, mb;
		AUTO(gtid) struct gtid_set *a = random_mariadb(&ma);
		AUTO(gtid) struct gtid_set *b = random_mariadb(&mb);
		AUTO(gtid) struct gtid_set *sum = gtid_set_union(a, b);
		bool a_lacks = false, b_lacks = false;

		for (uint32_t d = 0; d < DOMAINS; d++) {
			for (uint32_t s = 0; s < SERVERS; s++) {
				for (uint32_t q = 0; q < SEQS; q++) {
					bool x = ma.bit[d][s][q], y = mb.bit[d][s][q];

					a_lacks |= y && !x;
					b_lacks |= x && !y;
					assert_int_equal(gtid_set_has_mariadb(a, d, s, q + 1), x);
					assert_int_equal(
					        gtid_set_has_mariadb(sum, d, s, q + 1), x || y);
				}
			}
		}
		assert_int_equal(
		        gtid_set_cmp(a, b), b_lacks ? (a_lacks ? GTID_DIVERGED : GTID_AHEAD)
		                                    : (a_lacks ? GTID_BEHIND : GTID_EQUAL));
		check_laws(a, b);
		check_laws(b, a);
	}
}

/* Anything worse than n log n takes minutes here, and the run's time limit says so. */
static void large_texts(void **state)
{
	enum { SOURCES = 65536, IVALS = 500000 };
	AUTO_STR struct str text = STR_INIT;
	struct err e = { 0 };

	(void)state;
	for (unsigned i = SOURCES; i > 0; i--)
		str_addf(&text, "%08x-0000-0000-0000-000000000000:2:1,", i);
	{
		AUTO(gtid) struct gtid_set *s = parse(GTID_MYSQL, text.p);

		assert_int_equal(gtid_set_count(s), 2 * SOURCES);
	}
	str_add(&text, U1 ":1");
	assert_null(gtid_set_parse(GTID_MYSQL, text.p, &e));
	assert_non_null(strstr(e.text, "65536"));
	str_clear(&text);
	str_add(&text, U1);
	for (unsigned i = IVALS; i > 0; i--)
		str_addf(&text, ":%u", 2 * i);
	{
		AUTO(gtid) struct gtid_set *s = parse(GTID_MYSQL, text.p);

		assert_int_equal(gtid_set_count(s), IVALS);
	}
	while (text.len <= 16 << 20)
		str_addf(&text, "%*s", 4096, "");
	assert_null(gtid_set_parse(GTID_MYSQL, text.p, &e));
	assert_non_null(strstr(e.text, "16 MiB"));
	assert_null(gtid_set_parse(GTID_MARIADB, text.p, &e));
}

static void large_mariadb_text(void **state)
{
	AUTO_STR struct str text = STR_INIT;
	AUTO(gtid) struct gtid_set *s = NULL;

	(void)state;
	for (unsigned i = 200000; i > 0; i--)
		str_addf(&text, "%s%u-1-%u", text.len ? "," : "", i / 2, i);
	s = parse(GTID_MARIADB, text.p);
	check_laws(s, s);
	assert_int_equal(gtid_set_cmp(s, s), GTID_EQUAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mysql_texts),
		cmocka_unit_test(mariadb_texts),
		cmocka_unit_test(mysql_malformed),
		cmocka_unit_test(mariadb_malformed),
		cmocka_unit_test(mysql_ops),
		cmocka_unit_test(mariadb_ops),
		cmocka_unit_test(counts_saturate),
		cmocka_unit_test(uuids),
		cmocka_unit_test(one_source),
		cmocka_unit_test(single_mysql),
		cmocka_unit_test(what_cannot_be_added),
		cmocka_unit_test(single_mariadb),
		cmocka_unit_test(random_mysql_sets),
		cmocka_unit_test(random_mysql_adds),
		cmocka_unit_test(random_mariadb_sets),
		cmocka_unit_test(large_texts),
		cmocka_unit_test(large_mariadb_text),
	};
	const char *env = getenv("MHAD_SEED");

	seed = env ? strtoull(env, NULL, 10) : 20261120;
	seed = seed ? seed : 1;
	print_message("MHAD_SEED=%llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
