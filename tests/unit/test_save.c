/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Saving: from real servers' files cut at every byte, and from rows of files made for the purpose.
 */
#include "test_logs.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "out.h"
#include "save.h"

#define AA "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"

static bool put_str(void *ctx, const void *bytes, size_t n, struct err *e)
{
	(void)e;
	str_addn(ctx, bytes, n);
	return true;
}

/* The logs "bin.*" of the folder, saved into memory. */
static bool save_logs(const char *dir, struct save_spec spec, struct str *to, struct save_report *r,
        struct err *e)
{
	AUTO_STR struct str piecemeal = STR_INIT;
	struct binlog_sink sink = { .put = put_str, .ctx = to },
	                   gathers = { .put = put_str, .ctx = &piecemeal, .gathers = true };
	struct save_report same;
	struct logs logs;
	bool ok;

	assert_true(logs_in_folder(dir, "bin", &logs, e));
	spec.logs = &logs;
	spec.sum = true;
	spec.look_from = spec.look_from ? spec.look_from : spec.first;
	str_clear(to);
	ok = save_run(&spec, &sink, r, e);
	assert_int_equal(save_run(&spec, &gathers, &same, NULL), ok);
	logs_done(&logs);
	if (ok) {
		assert_int_equal(r->bytes, to->len);
		assert_int_equal(r->crc, crc_add(0, to->p, to->len));
		assert_int_equal(same.crc, r->crc);
		assert_int_equal(piecemeal.len, to->len);
		assert_memory_equal(piecemeal.p, to->p, to->len);
	}
	return ok;
}

static void assert_saves(
        const char *dir, struct save_spec spec, struct str *to, struct save_report *r)
{
	struct err e = { 0 };
	bool ok = save_logs(dir, spec, to, r, &e);

	if (!ok)
		print_error("%s\n", e.text);
	assert_true(ok);
}

static void assert_refuses(const char *dir, struct save_spec spec, int code, const char *words)
{
	AUTO_STR struct str to = STR_INIT;
	struct save_report r;
	struct err e = { 0 };

	assert_false(save_logs(dir, spec, &to, &r, &e));
	assert_int_equal(e.kind, ERR_PRECOND);
	assert_int_equal(e.code, code);
	if (!strstr(e.text, words))
		print_error("%s\n", e.text);
	assert_non_null(strstr(e.text, words));
}

/* What the stream holds: "F" format, "R" Rotate, "P" Previous_gtids, and its transactions' events. */
static struct binlog_tail read_stream(const struct str *s, struct str *shape, struct str *events)
{
	AUTO(binlog)
	struct binlog *b = binlog_new_mem(s->p, s->len), *again = binlog_new_mem(s->p, s->len);
	struct binlog_txn t = BINLOG_TXN_INIT;
	struct binlog_tail tail;
	struct binlog_event ev;

	while (binlog_next(b, &ev, NULL) == BINLOG_EVENT) {
		char c = ev.type == BINLOG_FORMAT           ? 'F'
		         : ev.type == BINLOG_ROTATE         ? 'R'
		         : ev.type == BINLOG_PREVIOUS_GTIDS ? 'P'
		                                            : '.';

		if (c == '.')
			str_addn(events, ev.bytes, ev.size);
		if (c != '.' || !str_ends(shape->p, "."))
			str_addc(shape, c);
	}
	assert_true(binlog_txn_find_tail(again, &t, &tail, NULL));
	assert_int_equal(tail.why, BINLOG_END);
	return tail;
}

static void assert_stream(const struct str *s, const char *want_shape, uint64_t transactions)
{
	AUTO_STR struct str shape = STR_INIT, events = STR_INIT;
	struct binlog_tail tail = read_stream(s, &shape, &events);

	assert_string_equal(shape.p, want_shape);
	assert_int_equal(tail.transactions, transactions);
	assert_false(tail.open);
}

/* ---- real files, cut --------------------------------------------------------------------------- */

static const char *const seeds[] = { "my56-pos", "my97-gtid", "my97-nocrc", "ma1011-nocrc",
	"ma118-gtid" };

/* A whole transaction: the offset behind it, and how many bytes of transactions there are up to it. */
struct end {
	uint64_t offset;
	size_t bytes;
};

/* What a whole file holds: its transactions' events, and where they end. */
struct content {
	struct str events;
	VEC(struct end) ends;
	uint64_t first; /* offset of the first one */
};

static void read_content(const struct str *file, struct content *ret)
{
	AUTO(binlog) struct binlog *b = binlog_new_mem(file->p, file->len);
	struct binlog_txn t = BINLOG_TXN_INIT;
	struct binlog_event ev;
	enum binlog_place place;

	while (binlog_next(b, &ev, NULL) == BINLOG_EVENT) {
		assert_true(binlog_txn_feed(&t, binlog_format(b), &ev, &place, NULL));
		if (place == BINLOG_APART)
			continue;
		if (!ret->events.len)
			ret->first = ev.offset;
		str_addn(&ret->events, ev.bytes, ev.size);
		if (place == BINLOG_LAST || place == BINLOG_ONLY)
			vec_push(&ret->ends, (struct end){ ev.offset + ev.size, ret->events.len });
	}
}

/* The file was cut; up to k transactions are whole. */
static void check_cut(const char *dir, const struct content *c, size_t k)
{
	AUTO_STR struct str out = STR_INIT, shape = STR_INIT, events = STR_INIT;
	struct save_report r;

	assert_saves(dir, (struct save_spec){ 0 }, &out, &r);
	assert_int_equal(r.transactions, k);
	if (!k) {
		assert_int_equal(out.len, 0);
		return;
	}
	read_stream(&out, &shape, &events);
	assert_true(str_starts(shape.p, "FR."));
	assert_int_equal(r.start.pos, c->first);
	assert_int_equal(r.end.pos, c->ends.items[k - 1].offset);
	assert_int_equal(events.len, c->ends.items[k - 1].bytes);
	assert_memory_equal(events.p, c->events.p, events.len);
}

static void cut_seed(const char *dir, const char *seed)
{
	AUTO_STR struct str file = STR_INIT;
	AUTO(free) char *path = xasprintf("%s/bin.000001", dir);
	struct content c = { STR_INIT, VEC_INIT, 0 };

	load_seed(seed, &file);
	read_content(&file, &c);
	put_file(dir, "bin.000001", file.p, file.len);
	for (size_t n = file.len + 1, k = c.ends.len; n-- > 0;) {
		assert_int_equal(truncate(path, (off_t)n), 0);
		while (k && c.ends.items[k - 1].offset > n)
			k--;
		check_cut(dir, &c, k);
	}
	str_done(&c.events);
	vec_done(&c.ends);
}

static void test_cut_at_every_byte(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(seeds); i++)
		cut_seed(*state, seeds[i]);
}

/* From each place where an event begins there is something; from all others nothing. */
static void test_start_at_every_byte(void **state)
{
	AUTO_STR struct str file = STR_INIT, out = STR_INIT;
	bool begins[65536] = { false };
	uint64_t last = 0;

	load_seed("my56-pos", &file);
	put_file(*state, "bin.000001", file.p, file.len);
	{
		AUTO(binlog) struct binlog *b = binlog_new_mem(file.p, file.len);
		struct binlog_event ev;

		while (binlog_next(b, &ev, NULL) == BINLOG_EVENT && ev.offset < ARRAY_LEN(begins)) {
			begins[ev.offset] = true;
			last = ev.offset;
		}
	}
	for (size_t i = 5; i < last; i++) {
		struct save_report r;
		struct err e = { 0 };

		assert_int_equal(
		        save_logs(*state, (struct save_spec){ .start_pos = i }, &out, &r, &e),
		        begins[i]);
		if (!begins[i])
			assert_int_equal(e.code, SAVE_NO_EVENT);
	}
}

/* ---- rows of files ----------------------------------------------------------------------------- */

/* bin.999998 to bin.1000000, with three transactions each; the last one has no checksums. */
static void three_files(const char *dir)
{
	struct log l = LOG_INIT;

	add_format(&l, "my97-gtid", 1, 0);
	add_previous(&l, 0);
	for (int i = 1; i <= 3; i++)
		add_transaction(&l, (uint64_t)i, 10);
	add_rotate(&l, "bin.999999", 4, 0);
	put_log(dir, "bin.999998", &l);
	add_format(&l, "my97-gtid", 0, 0);
	add_previous(&l, 3);
	for (int i = 4; i <= 6; i++)
		add_transaction(&l, (uint64_t)i, 10);
	add_rotate(&l, "bin.1000000", 4, 0);
	put_log(dir, "bin.999999", &l);
	add_format(&l, "my97-nocrc", 0, BINLOG_F_IN_USE);
	add_previous(&l, 6);
	for (int i = 7; i <= 9; i++)
		add_transaction(&l, (uint64_t)i, 10);
	put_log(dir, "bin.1000000", &l);
	str_done(&l.s);
}

static void test_over_files_and_roll_over(void **state)
{
	AUTO_STR struct str out = STR_INIT;
	struct save_report r;

	three_files(*state);
	assert_saves(*state, (struct save_spec){ 0 }, &out, &r);
	/* The second file has the same format, the third one another. */
	assert_stream(&out, "FR.R.FR.", 9);
	assert_int_equal(r.transactions, 9);
	assert_int_equal(r.first.gno, 1);
	assert_int_equal(r.last.gno, 9);
	assert_string_equal(r.start.file, "bin.999998");
	assert_string_equal(r.end.file, "bin.1000000");
	assert_int_equal(r.why, BINLOG_END);
	assert_int_equal(r.cut_bytes, 0);
}

static void test_gap_names_the_missing_file(void **state)
{
	AUTO(free) char *path = xasprintf("%s/bin.999999", (char *)*state);

	three_files(*state);
	assert_int_equal(unlink(path), 0);
	assert_refuses(*state, (struct save_spec){ 0 }, ENOENT, "bin.999999 is missing");
	/* In front of the start it is nobody's affair. */
	{
		AUTO_STR struct str out = STR_INIT;
		struct save_report r;

		assert_saves(*state, (struct save_spec){ .first = 1 }, &out, &r);
		assert_int_equal(r.transactions, 3);
	}
}

static uint64_t size_of(const char *dir, const char *name)
{
	AUTO(free) char *path = xasprintf("%s/%s", dir, name);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

static void test_start_at_ends(void **state)
{
	AUTO_STR struct str out = STR_INIT;
	struct save_report r;

	three_files(*state);
	/* At the end of a file: the next one follows, and both places are named. */
	assert_saves(*state,
	        (struct save_spec){ .first = 1, .start_pos = size_of(*state, "bin.999999") }, &out,
	        &r);
	assert_stream(&out, "FRR.", 3);
	assert_string_equal(r.start.file, "bin.1000000");
	/* At the end of all: nothing, and nothing is wrong. */
	assert_saves(*state,
	        (struct save_spec){ .first = 2, .start_pos = size_of(*state, "bin.1000000") }, &out,
	        &r);
	assert_int_equal(r.bytes, 0);
	assert_int_equal(r.transactions, 0);
	/* Behind it: the log lost its end. */
	assert_refuses(*state,
	        (struct save_spec){ .first = 2, .start_pos = size_of(*state, "bin.1000000") + 1 },
	        SAVE_SHORTER, "the log is shorter than what was received from it");
}

/* The part behind the start position is not there any more, in whatever way. */
static void test_lost_end(void **state)
{
	AUTO(free) char *path = xasprintf("%s/bin.1000000", (char *)*state);
	uint64_t size;

	three_files(*state);
	size = size_of(*state, "bin.1000000");
	assert_int_equal(truncate(path, (off_t)size - 100), 0);
	assert_refuses(
	        *state, (struct save_spec){ .first = 2, .start_pos = size }, SAVE_SHORTER, "torn");
	assert_int_equal(truncate(path, (off_t)size + 1000), 0); /* zeros */
	assert_refuses(
	        *state, (struct save_spec){ .first = 2, .start_pos = size }, SAVE_SHORTER, "zeros");
}

static void test_by_gtid(void **state)
{
	static const struct {
		const char *have;
		uint64_t transactions, had;
		const char *shape;
	} cases[] = {
		{ "", 9, 0, "FR.R.FR." },
		{ AA ":1-2", 7, 2, "FR.R.FR." },
		{ AA ":1-3", 6, 0, "FR.FR." },
		{ AA ":1-4", 5, 1, "FR.FR." },
		{ AA ":1-6", 3, 0, "FR." },
		{ AA ":1-4:6-7", 3, 3, "FR.FR." },
		{ AA ":1-3:5", 5, 1, "FR.FR." },
		{ AA ":1-9", 0, 3, "" },
		{ AA ":1-20,bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb:1", 0, 3, "" },
	};
	AUTO_STR struct str out = STR_INIT;
	struct save_report r;

	three_files(*state);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_saves(*state, (struct save_spec){ .have = cases[i].have }, &out, &r);
		assert_int_equal(r.transactions, cases[i].transactions);
		assert_int_equal(r.had, cases[i].had);
		if (r.transactions)
			assert_stream(&out, cases[i].shape, cases[i].transactions);
		else
			assert_int_equal(out.len, 0);
	}
}

static void test_by_gtid_what_is_gone(void **state)
{
	AUTO(free) char *path = xasprintf("%s/bin.999998", (char *)*state);
	AUTO_STR struct str out = STR_INIT;
	struct save_report r;

	three_files(*state);
	assert_int_equal(unlink(path), 0);
	assert_refuses(*state, (struct save_spec){ .have = AA ":1-2:4" }, SAVE_PURGED, AA ":3");
	assert_saves(*state, (struct save_spec){ .have = AA ":1-4" }, &out, &r);
	assert_int_equal(r.transactions, 5);
}

static void test_without_gtids_among_others(void **state)
{
	struct log l = LOG_INIT;
	AUTO_STR struct str out = STR_INIT;
	struct save_report r;

	add_format(&l, "my97-gtid", 0, 0);
	add_previous(&l, 0);
	add_transaction(&l, 0, 10);
	add_transaction(&l, 1, 10);
	add_transaction(&l, 2, 10);
	put_log(*state, "bin.000001", &l);
	/* What was before one that the receiver has, it has as well. */
	assert_saves(*state, (struct save_spec){ .have = AA ":1" }, &out, &r);
	assert_int_equal(r.transactions, 1);
	assert_refuses(*state, (struct save_spec){ .have = "" }, SAVE_ANONYMOUS, "without GTID");
	add_format(&l, "my97-gtid", 0, 0);
	add_previous(&l, 2);
	add_transaction(&l, 3, 10);
	add_transaction(&l, 0, 10);
	put_log(*state, "bin.000002", &l);
	assert_refuses(
	        *state, (struct save_spec){ .have = AA ":1-2" }, SAVE_ANONYMOUS, "without GTID");
	assert_refuses(
	        *state, (struct save_spec){ .have = AA ":1-3" }, SAVE_ANONYMOUS, "without GTID");
	str_done(&l.s);
}

static void test_mariadb_positions(void **state)
{
	struct log l = LOG_INIT;
	AUTO_STR struct str out = STR_INIT;
	struct save_report r;

	add_format(&l, "ma1011-gtid", 1, 0);
	for (uint64_t i = 1; i <= 3; i++)
		add_mariadb_transaction(&l, 0, i);
	add_rotate(&l, "bin.000002", 4, 0);
	put_log(*state, "bin.000001", &l);
	add_format(&l, "ma1011-gtid", 0, 0);
	add_list(&l, 0, 3);
	add_mariadb_transaction(&l, 0, 4);
	add_mariadb_transaction(&l, 7, 1);
	add_mariadb_transaction(&l, 0, 5);
	put_log(*state, "bin.000002", &l);
	str_done(&l.s);

	assert_saves(*state, (struct save_spec){ .have = "0-42-3" }, &out, &r);
	assert_int_equal(r.transactions, 3);
	assert_int_equal(r.had, 0);
	assert_saves(*state, (struct save_spec){ .have = "0-42-4,7-42-1" }, &out, &r);
	assert_int_equal(r.transactions, 1);
	assert_int_equal(r.last.seq, 5);
	assert_stream(&out, "FR.", 1);
	assert_saves(*state, (struct save_spec){ .have = "0-42-2" }, &out, &r);
	assert_int_equal(r.transactions, 4);
	assert_saves(*state, (struct save_spec){ .have = "" }, &out, &r);
	assert_int_equal(r.transactions, 6);
	assert_refuses(*state, (struct save_spec){ .have = "0-99-4" }, SAVE_DIVERGED, "0-42-4");
	assert_refuses(*state, (struct save_spec){ .have = "0-99-1" }, SAVE_DIVERGED, "0-42-1");

	/* The first file is gone: it has no list, so only numbers that follow prove anything. */
	{
		AUTO(free) char *path = xasprintf("%s/bin.000001", (char *)*state);

		assert_int_equal(unlink(path), 0);
	}
	assert_refuses(*state, (struct save_spec){ .have = "0-42-1" }, SAVE_PURGED, "0-42-3");
}

static void test_no_list_at_all(void **state)
{
	struct log l = LOG_INIT;
	AUTO_STR struct str out = STR_INIT;
	struct save_report r;

	add_format(&l, "ma1011-gtid", 0, 0);
	add_mariadb_transaction(&l, 0, 7);
	add_mariadb_transaction(&l, 0, 8);
	put_log(*state, "bin.000001", &l);
	str_done(&l.s);
	assert_saves(*state, (struct save_spec){ .have = "0-42-6" }, &out, &r);
	assert_int_equal(r.transactions, 2);
	assert_refuses(*state, (struct save_spec){ .have = "0-42-5" }, SAVE_PURGED, "0-42-7");
	assert_refuses(*state, (struct save_spec){ .have = "" }, SAVE_PURGED, "0-42-7");
}

/* ---- damage in the middle ---------------------------------------------------------------------- */

static void two_files(const char *dir, uint32_t created)
{
	struct log l = LOG_INIT;

	add_format(&l, "my97-gtid", 1, BINLOG_F_IN_USE);
	add_transaction(&l, 1, 10);
	add_transaction(&l, 2, 10);
	str_cut(&l.s, l.s.len - 7);
	put_log(dir, "bin.000001", &l);
	add_format(&l, "my97-gtid", created, 0);
	add_transaction(&l, 3, 10);
	put_log(dir, "bin.000002", &l);
	str_done(&l.s);
}

static void test_server_came_back_behind_a_torn_file(void **state)
{
	AUTO_STR struct str out = STR_INIT;
	struct save_report r;

	two_files(*state, 1700000000);
	assert_saves(*state, (struct save_spec){ 0 }, &out, &r);
	assert_int_equal(r.transactions, 2);
	assert_int_equal(r.last.gno, 3);
	assert_stream(&out, "FR.FR.", 2);
	assert_int_equal(r.why, BINLOG_END);
	assert_false(r.open);
}

static void test_nothing_is_taken_from_behind_a_hole(void **state)
{
	AUTO_STR struct str out = STR_INIT;
	struct save_report r;

	two_files(*state, 0);
	assert_saves(*state, (struct save_spec){ 0 }, &out, &r);
	assert_int_equal(r.transactions, 1);
	assert_int_equal(r.why, BINLOG_TORN);
	assert_int_equal(r.files_left, 1);
	assert_true(r.open);
	assert_int_equal(r.open_gtid.gno, 2);
	assert_string_equal(r.cut.file, "bin.000001");
	assert_int_equal(r.cut.pos, r.end.pos);
	assert_int_equal(r.cut.pos + r.cut_bytes, size_of(*state, "bin.000001"));
}

static void test_flipped_bit(void **state)
{
	struct log l = LOG_INIT;
	AUTO_STR struct str out = STR_INIT;
	struct save_report r;
	size_t at;

	add_format(&l, "my97-gtid", 0, 0);
	add_transaction(&l, 1, 10);
	add_transaction(&l, 2, 10);
	at = l.s.len - 50;
	add_transaction(&l, 3, 10);
	l.s.p[at] ^= 4;
	put_log(*state, "bin.000001", &l);
	str_done(&l.s);
	assert_saves(*state, (struct save_spec){ 0 }, &out, &r);
	assert_int_equal(r.transactions, 1);
	assert_int_equal(r.why, BINLOG_BAD_CRC);
	assert_stream(&out, "FR.", 1);
}

/* ---- sizes ------------------------------------------------------------------------------------- */

static void test_larger_than_memory_for_it(void **state)
{
	struct log l = LOG_INIT;
	AUTO_STR struct str out = STR_INIT;
	struct save_report r;
	size_t first;

	add_format(&l, "my97-gtid", 0, 0);
	first = l.s.len;
	add_gtid(&l, 1);
	add_query(&l, "BEGIN");
	for (int i = 0; i < 20; i++)
		add_rows(&l, i % 3 ? 30000 : 700000);
	add_xid(&l);
	add_transaction(&l, 2, 200000);
	add_transaction(&l, 3, 10);
	put_file(*state, "bin.000001", l.s.p, l.s.len);
	assert_saves(*state, (struct save_spec){ 0 }, &out, &r);
	assert_int_equal(r.transactions, 3);
	assert_stream(&out, "FR.", 3);
	assert_memory_equal(out.p + out.len - (l.s.len - first), l.s.p + first, l.s.len - first);
	str_done(&l.s);
}

/* Behind 4 GiB of nothing: by position, which needs no look at what is before. */
static void test_beyond_4_gib(void **state)
{
	AUTO(free) char *path = xasprintf("%s/bin.000001", (char *)*state);
	const uint64_t far = (uint64_t)9 << 29;
	struct log l = LOG_INIT;
	AUTO_STR struct str out = STR_INIT;
	struct save_report r;
	size_t head;
	int fd;

	add_format(&l, "my97-gtid", 0, 0);
	head = l.s.len;
	put_file(*state, "bin.000001", l.s.p, head);
	add_transaction(&l, 1, 10);
	add_transaction(&l, 2, 10);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, l.s.p + head, l.s.len - head, (off_t)far), l.s.len - head);
	close(fd);
	assert_saves(*state, (struct save_spec){ .start_pos = far }, &out, &r);
	assert_int_equal(r.transactions, 2);
	assert_int_equal(r.start.pos, far);
	assert_int_equal(r.end.pos, far + l.s.len - head);
	assert_stream(&out, "FR.", 2);
	str_done(&l.s);
}

/* ---- relay logs -------------------------------------------------------------------------------- */

/* A transaction that begins in one relay log and goes on in the next, without its end. */
static void half_received(const char *dir, bool end)
{
	struct log l = LOG_INIT;

	l.relay = true;
	add_format(&l, "my97-gtid", 1, BINLOG_F_RELAY_LOG);
	add_rotate(&l, "master-bin.000007", 500, BINLOG_F_ARTIFICIAL);
	add_format(&l, "my97-gtid", 0, BINLOG_F_ARTIFICIAL);
	add_transaction(&l, 1, 10);
	add_gtid(&l, 2);
	add_query(&l, "BEGIN");
	add_rotate(&l, "bin.000002", 4, BINLOG_F_RELAY_LOG);
	put_log(dir, "bin.000001", &l);
	add_format(&l, "my97-gtid", 0, BINLOG_F_RELAY_LOG);
	add_format(&l, "my97-gtid", 0, BINLOG_F_ARTIFICIAL);
	add_rows(&l, 10);
	if (end)
		add_xid(&l);
	put_log(dir, "bin.000002", &l);
	str_done(&l.s);
}

static void test_relay_logs(void **state)
{
	AUTO_STR struct str out = STR_INIT, shape = STR_INIT, events = STR_INIT;
	struct save_report r;

	half_received(*state, true);
	assert_saves(*state, (struct save_spec){ 0 }, &out, &r);
	assert_stream(&out, "FR.", 2);
	assert_true(r.relay);
	assert_string_equal(r.start.file, "master-bin.000007");
	assert_int_equal(r.start.pos, 500);
	assert_string_equal(r.end.file, "master-bin.000007");

	half_received(*state, false);
	assert_saves(*state, (struct save_spec){ 0 }, &out, &r);
	assert_stream(&out, "FR.", 1);
	assert_true(r.open);
	assert_false(r.ends_inside);
	assert_int_equal(r.open_gtid.gno, 2);

	assert_saves(*state, (struct save_spec){ .open = SAVE_OPEN_KEEP_RELAY }, &out, &r);
	assert_true(read_stream(&out, &shape, &events).open);
	assert_true(r.ends_inside);
	assert_int_equal(r.transactions, 1);
}

static void test_a_replicas_restart_is_not_the_sources(void **state)
{
	AUTO_STR struct str out = STR_INIT;
	struct save_report r;

	half_received(*state, true);
	assert_saves(*state, (struct save_spec){ 0 }, &out, &r);
	{
		AUTO(binlog) struct binlog *b = binlog_new_mem(out.p, out.len);
		struct binlog_event ev;

		assert_int_equal(binlog_next(b, &ev, NULL), BINLOG_EVENT);
		assert_int_equal(binlog_format(b)->created, 0);
		assert_int_equal(ev.flags, 0);
		assert_int_equal(ev.log_pos, 0);
	}
}

/* Two parts of one transaction make a whole when they are put together. */
static void test_start_inside_of_a_transaction(void **state)
{
	struct log l = LOG_INIT;
	AUTO_STR struct str out = STR_INIT;
	struct save_report r;
	uint64_t middle;

	add_format(&l, "my97-gtid", 0, 0);
	add_gtid(&l, 1);
	add_query(&l, "BEGIN");
	add_rows(&l, 10);
	middle = l.s.len;
	add_rows(&l, 10);
	add_xid(&l);
	add_transaction(&l, 2, 10);
	add_gtid(&l, 3);
	add_query(&l, "BEGIN");
	add_rows(&l, 10);
	put_log(*state, "bin.000001", &l);
	str_done(&l.s);
	assert_saves(*state, (struct save_spec){ .start_pos = middle }, &out, &r);
	assert_true(r.starts_inside);
	assert_int_equal(r.transactions, 2);
	assert_int_equal(r.start.pos, middle);
	assert_true(r.open); /* the rows of the third are not taken for a whole */
	assert_int_equal(r.open_gtid.gno, 3);
}

/* ---- the stream's own events -------------------------------------------------------------------- */

static void test_previous_gtids(void **state)
{
	static const char *const sets[] = { "", AA ":1-3", AA ":1-3:7:9-12",
		AA ":1-3,bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb:5",
		AA ":1-3:tag:1-9:11,bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb:other:5" };
	AUTO_STR struct str out = STR_INIT;
	struct save_report r;

	three_files(*state);
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		AUTO(gtid) struct gtid_set *want = gtid_set_parse(GTID_MYSQL, sets[i], NULL);

		assert_saves(*state, (struct save_spec){ .previous_gtids = sets[i] }, &out, &r);
		assert_stream(&out, "FPR.R.FR.", 9);

		AUTO(binlog) struct binlog *b = binlog_new_mem(out.p, out.len);
		struct binlog_event ev;

		assert_int_equal(binlog_next(b, &ev, NULL), BINLOG_EVENT);
		assert_int_equal(binlog_next(b, &ev, NULL), BINLOG_EVENT);

		AUTO(gtid) struct gtid_set *got = binlog_view_gtid_list(&ev);

		assert_non_null(got);
		assert_int_equal(gtid_set_cmp(got, want), GTID_EQUAL);
	}
}

static bool refuse_all(void *ctx, const void *bytes, size_t n, struct err *e)
{
	(void)ctx, (void)bytes, (void)n;
	errno = ENOSPC;
	return err_sys(e, "write");
}

static void test_full_disk(void **state)
{
	struct binlog_sink sink = { .put = refuse_all };
	struct save_spec spec = { 0 };
	struct logs logs;
	struct save_report r;
	struct err e = { 0 };

	three_files(*state);
	assert_true(logs_in_folder(*state, "bin", &logs, &e));
	spec.logs = &logs;
	assert_false(save_run(&spec, &sink, &r, &e));
	assert_int_equal(e.code, ENOSPC);
	/* To count, nothing is written. */
	assert_true(save_run(&spec, NULL, &r, &e));
	assert_int_equal(r.transactions, 9);
	logs_done(&logs);
}

static void test_index_file(void **state)
{
	AUTO(free) char *index = xasprintf("%s/any.index", (char *)*state);
	struct logs logs;
	struct err e = { 0 };
	static const char text[] = "./bin.999998\nbin.999999\n./bin.1000000\n";

	three_files(*state);
	put_file(*state, "any.index", text, sizeof(text) - 1);
	assert_true(logs_of_index(index, NULL, &logs, &e));
	assert_int_equal(logs.files.len, 3);
	assert_string_equal(logs.files.items[2].name, "bin.1000000");
	assert_true(logs_have_no_gap(&logs, 0, &e));
	assert_int_equal(access(logs.files.items[1].path, R_OK), 0);
	logs_done(&logs);
	put_file(*state, "any.index", "garbage\n", 8);
	assert_false(logs_of_index(index, NULL, &logs, &e));
	assert_int_equal(e.kind, ERR_PARSE);
}

static void test_out_files(void **state)
{
	AUTO(free) char *path = xasprintf("%s/new/file", (char *)*state);
	AUTO(free) char *other = xasprintf("%s/other", (char *)*state);
	struct out *o;
	struct err e = { 0 };
	struct stat st;

	o = out_open(path, &e);
	assert_non_null(o);
	assert_true(out_write(o, "abc", 3, &e));
	assert_true(out_keep(o, &e));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 3);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* A link is replaced, not followed. */
	put_file(*state, "other", "x", 1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(other, path), 0);
	o = out_open(path, &e);
	assert_true(out_write(o, "abc", 3, &e));
	assert_true(out_keep(o, &e));
	assert_int_equal(stat(other, &st), 0);
	assert_int_equal(st.st_size, 1);
	o = out_open(path, &e);
	assert_true(out_write(o, "abc", 3, &e));
	out_drop(o);
	assert_int_equal(access(path, F_OK), -1);
	assert_null(out_open("/proc/no/such/folder", &e));
}

/* Sizes around what is written at a time, and around what is written past the cache. */
static void test_out_files_of_any_size(void **state)
{
	static const size_t sizes[] = { 0, 4096, (2 << 20) - 1, 2 << 20, (2 << 20) + 4096,
		(4 << 20) + 1 };
	AUTO(free) char *path = xasprintf("%s/file", (char *)*state);
	AUTO(free) char *want = xmalloc(5 << 20), *got = xmalloc(5 << 20);
	struct err e = { 0 };

	for (size_t i = 0; i < 5 << 20; i++)
		want[i] = (char)(i * 2654435761u >> 13);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct out *o = out_open(path, &e);
		FILE *f;

		assert_true(out_write(o, want, sizes[i], &e));
		assert_true(out_keep(o, &e));
		f = fopen(path, "re");
		assert_int_equal(fread(got, 1, 5 << 20, f), sizes[i]);
		fclose(f);
		assert_memory_equal(got, want, sizes[i]);
	}
}

/* More than the ring holds, in portions of all sizes. */
static void test_large_out_file(void **state)
{
	AUTO(free) char *path = xasprintf("%s/file", (char *)*state);
	AUTO_STR struct str want = STR_INIT, got = STR_INIT;
	struct err e = { 0 };
	struct out *o = out_open(path, &e);
	FILE *f;

	for (unsigned i = 0; i < 3000; i++) {
		size_t n = i * 7919 % 5000;

		for (size_t k = 0; k < n; k++)
			str_addc(&want, (char)(k * i));
		assert_true(out_write(o, want.p + want.len - n, n, &e));
	}
	assert_true(out_write(o, want.p, want.len, &e));
	str_grow(&want, want.len);
	str_addn(&want, want.p, want.len);
	assert_true(out_keep(o, &e));
	f = fopen(path, "re");
	assert_non_null(f);
	str_grow(&got, want.len + 1);
	assert_int_equal(fread(got.p, 1, want.len + 1, f), want.len);
	fclose(f);
	assert_memory_equal(got.p, want.p, want.len);
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, new_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DIR(test_cut_at_every_byte),
		IN_DIR(test_start_at_every_byte),
		IN_DIR(test_over_files_and_roll_over),
		IN_DIR(test_gap_names_the_missing_file),
		IN_DIR(test_start_at_ends),
		IN_DIR(test_lost_end),
		IN_DIR(test_by_gtid),
		IN_DIR(test_by_gtid_what_is_gone),
		IN_DIR(test_without_gtids_among_others),
		IN_DIR(test_mariadb_positions),
		IN_DIR(test_no_list_at_all),
		IN_DIR(test_server_came_back_behind_a_torn_file),
		IN_DIR(test_nothing_is_taken_from_behind_a_hole),
		IN_DIR(test_flipped_bit),
		IN_DIR(test_larger_than_memory_for_it),
		IN_DIR(test_beyond_4_gib),
		IN_DIR(test_relay_logs),
		IN_DIR(test_a_replicas_restart_is_not_the_sources),
		IN_DIR(test_start_inside_of_a_transaction),
		IN_DIR(test_previous_gtids),
		IN_DIR(test_full_disk),
		IN_DIR(test_index_file),
		IN_DIR(test_out_files),
		IN_DIR(test_out_files_of_any_size),
		IN_DIR(test_large_out_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
