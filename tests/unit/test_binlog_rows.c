/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counting rows: images of known lengths, and what must not be counted. That the lengths of all
 * column types are right is shown against mysqlbinlog in the lab.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>
#include "binlog_rows.h"
#include "str.h"

/* INT, VARCHAR(10), DECIMAL(10,2), CHAR(300), ENUM, BIT(13), DATETIME(3), TEXT, JSON */
#define TYPES    "\3\17\366\376\376\20\22\374\365"
#define COLUMNS  9
#define METADATA "\12\0\12\2\336\54\367\1\5\1\3\2\4"

static struct binlog_table_map map_of(uint64_t id, const char *table)
{
	return (struct binlog_table_map){ .table_id = id,
		.db = { "shop", 4 },
		.table = { table, strlen(table) },
		.columns = COLUMNS,
		.types = (const uint8_t *)TYPES,
		.metadata = { METADATA, sizeof(METADATA) - 1 } };
}

static const uint8_t all_columns[] = { 0xff, 0x01 }, two_columns[] = { 0x03, 0x00 };

static struct binlog_rows rows_of(uint64_t id, const struct str *images)
{
	return (struct binlog_rows){ .change = BINLOG_ROWS_WRITE,
		.table_id = id,
		.columns = COLUMNS,
		.before = all_columns,
		.images = { images->p, images->len },
		.images_size = images->len };
}

static void add_full(struct str *to)
{
	str_addn(to, "\0\0", 2);       /* nothing is NULL */
	str_addn(to, "1234", 4);       /* INT */
	str_addn(to, "\3abc", 4);      /* VARCHAR(10) */
	str_addn(to, "12345", 5);      /* DECIMAL(10,2): eight digits and two */
	str_addn(to, "\2\0xy", 4);     /* CHAR(300): two bytes of length */
	str_addn(to, "1", 1);          /* ENUM */
	str_addn(to, "12", 2);         /* BIT(13) */
	str_addn(to, "1234567", 7);    /* DATETIME(3) */
	str_addn(to, "\5\0hello", 7);  /* TEXT */
	str_addn(to, "\2\0\0\0{}", 6); /* JSON */
}

static void add_nulls(struct str *to)
{
	str_addn(to,
	        "\376\1"
	        "1234",
	        6); /* all but the INT */
}

static void assert_count(
        struct binlog_counter *c, const struct binlog_rows *r, bool known, uint64_t want)
{
	struct binlog_bytes db, table;
	uint64_t n = 0;

	assert_int_equal(binlog_rows_count(c, r, &n, &db, &table), known);
	if (known) {
		assert_int_equal(n, want);
		assert_memory_equal(db.p, "shop", 4);
	}
}

static void test_inserts(void **state)
{
	(void)state;
	AUTO(binlog_counter) struct binlog_counter *c = binlog_rows_new();
	AUTO_STR struct str images = STR_INIT;
	struct binlog_table_map t = map_of(7, "t");
	struct binlog_rows r;

	binlog_rows_map(c, &t);
	for (unsigned i = 1; i <= 5; i++) {
		if (i % 2)
			add_full(&images);
		else
			add_nulls(&images);
		r = rows_of(7, &images);
		assert_count(c, &r, true, i);
		r.images.len--;
		r.images_size--;
		assert_count(c, &r, false, 0);
	}
}

static void test_updates_with_other_columns_after(void **state)
{
	(void)state;
	AUTO(binlog_counter) struct binlog_counter *c = binlog_rows_new();
	AUTO_STR struct str images = STR_INIT;
	struct binlog_table_map t = map_of(7, "t");
	struct binlog_rows r;

	binlog_rows_map(c, &t);
	for (int i = 0; i < 2; i++) {
		add_full(&images);
		str_addn(&images,
		        "\2"
		        "1234",
		        5); /* two columns, the second NULL */
	}
	r = rows_of(7, &images);
	r.change = BINLOG_ROWS_UPDATE;
	r.after = two_columns;
	assert_count(c, &r, true, 2);
}

static void test_partial_json(void **state)
{
	(void)state;
	AUTO(binlog_counter) struct binlog_counter *c = binlog_rows_new();
	AUTO_STR struct str images = STR_INIT;
	struct binlog_table_map t = map_of(7, "t");
	struct binlog_rows r;

	binlog_rows_map(c, &t);
	add_full(&images);
	str_addn(&images, "\1\1", 2); /* some are partial: the one JSON column is */
	add_full(&images);
	add_full(&images);
	str_addn(&images, "\0", 1);
	add_nulls(&images);
	r = rows_of(7, &images);
	r.change = BINLOG_ROWS_UPDATE;
	r.after = all_columns;
	r.partial = true;
	assert_count(c, &r, true, 2);
}

static void test_compressed(void **state)
{
	(void)state;
	AUTO(binlog_counter) struct binlog_counter *c = binlog_rows_new();
	AUTO_STR struct str images = STR_INIT, packed = STR_INIT;
	struct binlog_table_map t = map_of(7, "t");
	struct binlog_rows r;
	uint8_t buf[4096];
	uLongf n = sizeof(buf);

	binlog_rows_map(c, &t);
	for (int i = 0; i < 1000; i++)
		add_full(&images);
	assert_int_equal(compress(buf, &n, (const Bytef *)images.p, images.len), Z_OK);
	str_addn(&packed, "\202\0\0", 3); /* zlib, a length of two bytes */
	str_addn(&packed, buf, n);
	r = rows_of(7, &packed);
	r.compressed = true;
	assert_count(c, &r, true, 1000);
	r.images.len -= 5;
	r.images_size -= 5;
	assert_count(c, &r, false, 0);
}

static void test_what_is_not_known(void **state)
{
	(void)state;
	AUTO(binlog_counter) struct binlog_counter *c = binlog_rows_new();
	AUTO_STR struct str images = STR_INIT;
	struct binlog_table_map t = map_of(7, "t");
	struct binlog_bytes db, table;
	struct binlog_rows r;
	uint64_t n;

	add_full(&images);
	r = rows_of(7, &images);
	assert_false(binlog_rows_count(c, &r, &n, &db, &table)); /* no map */
	assert_int_equal(table.len, 0);
	binlog_rows_map(c, &t);
	assert_count(c, &r, true, 1);
	r.images_size++; /* beyond the window */
	assert_false(binlog_rows_count(c, &r, &n, &db, &table));
	assert_int_equal(table.len, 1);
	r.images_size--;
	r.columns++;
	assert_count(c, &r, false, 0);
	t.types = (const uint8_t *)"\3\17\366\376\376\20\22\374\210"; /* a type of the future */
	binlog_rows_map(c, &t);
	r.columns--;
	assert_count(c, &r, false, 0);
	t.columns = r.columns = 0; /* no end would come */
	binlog_rows_map(c, &t);
	assert_count(c, &r, false, 0);
}

static void test_many_tables(void **state)
{
	(void)state;
	AUTO(binlog_counter) struct binlog_counter *c = binlog_rows_new();
	AUTO_STR struct str images = STR_INIT;
	struct binlog_rows r;

	add_full(&images);
	for (uint64_t id = 1; id <= 3 * BINLOG_ROWS_TABLES; id++) {
		struct binlog_table_map t = map_of(id, "t");

		binlog_rows_map(c, &t);
	}
	r = rows_of(3 * BINLOG_ROWS_TABLES, &images);
	assert_count(c, &r, true, 1);
	r.table_id -= BINLOG_ROWS_TABLES - 1;
	assert_count(c, &r, true, 1);
	r.table_id--;
	assert_count(c, &r, false, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inserts),
		cmocka_unit_test(test_updates_with_other_columns_after),
		cmocka_unit_test(test_partial_json),
		cmocka_unit_test(test_compressed),
		cmocka_unit_test(test_what_is_not_known),
		cmocka_unit_test(test_many_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
