/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Streams put together from parts: the reader must find them right.
 */
#include "test_logs.h"
#include <errno.h>
#include <fcntl.h>
#include "binlog_write.h"

static bool put_str(void *ctx, const void *bytes, size_t n, struct err *e)
{
	(void)e;
	str_addn(ctx, bytes, n);
	return true;
}

/* The first event of a log in the making. */
static const uint8_t *format_of(const struct log *l, size_t *n)
{
	const uint8_t *ev = (const uint8_t *)l->s.p + BINLOG_MAGIC_SIZE;

	*n = ev[9] | (size_t)ev[10] << 8;
	return ev;
}

static struct binlog_event read_one(struct binlog *b)
{
	struct binlog_event ev;

	assert_int_equal(binlog_next(b, &ev, NULL), BINLOG_EVENT);
	return ev;
}

static void test_format_is_made_neutral(void **state)
{
	static const char *const seeds[] = { "my56-pos", "my97-gtid", "my97-nocrc", "ma118-gtid" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(seeds); i++) {
		struct log l = LOG_INIT;
		AUTO_STR struct str out = STR_INIT;
		struct binlog_sink sink = { .put = put_str, .ctx = &out };
		struct binlog_writer w = { .sink = &sink };
		struct binlog_event ev;
		size_t n;

		add_format(&l, seeds[i], 1700000000, BINLOG_F_IN_USE | BINLOG_F_RELAY_LOG);

		const uint8_t *format = format_of(&l, &n);

		assert_true(binlog_write_format(&w, format, n, BINLOG_CREATED_AS_IS, NULL));
		assert_true(binlog_write_format(&w, format, n, BINLOG_CREATED_NO, NULL));
		assert_true(binlog_write_flush(&w, NULL));
		assert_int_equal(out.len, BINLOG_MAGIC_SIZE + 2 * n);
		assert_int_equal(w.bytes, out.len);

		AUTO(binlog) struct binlog *b = binlog_new_mem(out.p, out.len);

		ev = read_one(b);
		assert_int_equal(ev.flags, 0);
		assert_int_equal(ev.log_pos, 0);
		assert_int_equal(binlog_format(b)->created, 1700000000);
		assert_int_equal(binlog_format(b)->crc, l.crc);
		ev = read_one(b);
		assert_int_equal(binlog_format(b)->created, 0);
		binlog_writer_done(&w);
		str_done(&l.s);
	}
}

static void test_formats_compared(void **state)
{
	struct log a = LOG_INIT, b = LOG_INIT, c = LOG_INIT, d = LOG_INIT;
	size_t an, bn, cn, dn;

	(void)state;
	add_format(&a, "my97-gtid", 1, BINLOG_F_IN_USE);
	add_format(&b, "my97-gtid", 0, 0);
	add_format(&c, "my97-nocrc", 0, 0);
	add_format(&d, "ma118-gtid", 0, 0);

	const uint8_t *ap = format_of(&a, &an), *bp = format_of(&b, &bn), *cp = format_of(&c, &cn),
	              *dp = format_of(&d, &dn);

	assert_true(binlog_same_format(ap, an, bp, bn));
	assert_false(binlog_same_format(bp, bn, cp, cn));
	assert_false(binlog_same_format(bp, bn, dp, dn));
	str_done(&a.s);
	str_done(&b.s);
	str_done(&c.s);
	str_done(&d.s);
}

static void rotate_with(const char *seed)
{
	struct log l = LOG_INIT;
	AUTO_STR struct str out = STR_INIT;
	struct binlog_sink sink = { .put = put_str, .ctx = &out };
	struct binlog_writer w = { .sink = &sink };
	struct binlog_rotate rot;
	struct binlog_event ev;
	size_t n;

	add_format(&l, seed, 0, 0);

	const uint8_t *format = format_of(&l, &n);

	assert_true(binlog_write_format(&w, format, n, BINLOG_CREATED_NO, NULL));
	assert_true(binlog_write_rotate(&w, "mysql-bin.1000000", (uint64_t)5 << 30, NULL));
	assert_true(binlog_write_flush(&w, NULL));

	AUTO(binlog) struct binlog *b = binlog_new_mem(out.p, out.len);

	read_one(b);
	ev = read_one(b);
	assert_int_equal(ev.flags, BINLOG_F_ARTIFICIAL);
	assert_int_equal(ev.server_id, format[5] | format[6] << 8);
	assert_true(binlog_view_rotate(&ev, &rot));
	assert_int_equal(rot.pos, (uint64_t)5 << 30);
	assert_int_equal(rot.file.len, strlen("mysql-bin.1000000"));
	assert_int_equal(binlog_next(b, &ev, NULL), BINLOG_END);
	binlog_writer_done(&w);
	str_done(&l.s);
}

static void test_rotate(void **state)
{
	(void)state;
	rotate_with("my97-gtid");
	rotate_with("my97-nocrc");
	rotate_with("ma1011-gtid");
}

/* Larger than what is handed on at a time, in odd portions. */
static void test_ranges(void **state)
{
	AUTO(free) char *path = xasprintf("%s/file", (char *)*state);
	AUTO_STR struct str content = STR_INIT, out = STR_INIT;
	struct binlog_sink sink = { .put = put_str, .ctx = &out };
	struct binlog_writer w = { .sink = &sink, .sum = true };
	struct err e = { 0 };
	AUTO_FD int fd = -1;

	for (size_t i = 0; i < 1000000; i++)
		str_addc(&content, (char)(i * i >> 7));
	put_file(*state, "file", content.p, content.len);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(binlog_write_events(&w, content.p, 100, &e));
	assert_true(binlog_write_range(&w, fd, 100, 999000, &e));
	assert_true(binlog_write_events(&w, content.p + 999100, 900, &e));
	assert_true(binlog_write_flush(&w, &e));
	assert_int_equal(out.len, content.len);
	assert_memory_equal(out.p, content.p, content.len);
	assert_int_equal(w.crc, crc_add(0, content.p, content.len));
	assert_int_equal(w.bytes, content.len);
	/* The file is shorter than it was. */
	assert_false(binlog_write_range(&w, fd, 999999, 2, &e));
	assert_int_equal(e.code, ENODATA);
	binlog_writer_done(&w);
}

static void test_only_counted(void **state)
{
	struct log l = LOG_INIT;
	struct binlog_writer w = { .sink = NULL };
	size_t n;

	(void)state;
	add_format(&l, "my97-gtid", 0, 0);

	const uint8_t *format = format_of(&l, &n);

	assert_true(binlog_write_format(&w, format, n, BINLOG_CREATED_NO, NULL));
	assert_true(binlog_write_events(&w, "", 1000000, NULL));
	assert_true(binlog_write_range(&w, -1, 0, (uint64_t)1 << 40, NULL));
	assert_true(binlog_write_flush(&w, NULL));
	assert_int_equal(w.bytes, BINLOG_MAGIC_SIZE + n + 1000000 + ((uint64_t)1 << 40));
	binlog_writer_done(&w);
	str_done(&l.s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format_is_made_neutral),
		cmocka_unit_test(test_formats_compared),
		cmocka_unit_test(test_rotate),
		cmocka_unit_test_setup_teardown(test_ranges, new_dir, remove_dir),
		cmocka_unit_test(test_only_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
