/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Positions of a master in relay logs, as replicas write them: begun by the master's rotation, by a
 * reconnect, or by the replica itself.
 */
#include "test_logs.h"
#include "find.h"
#include "vec.h"

/* Where each event of the master ended: in its binlog and in the relay log. */
struct place {
	char file[32];
	uint64_t pos;
	size_t index;
	uint64_t offset;
};

struct relay_logs {
	const char *dir;
	struct log l;
	char file[32]; /* the master's */
	size_t index;
	VEC(struct place) places;
};

static void note(struct relay_logs *r)
{
	struct place p = { .pos = r->l.pos, .index = r->index, .offset = r->l.s.len };

	memcpy(p.file, r->file, sizeof(p.file));
	vec_push(&r->places, p);
}

static void head(struct relay_logs *r)
{
	r->l.relay = true;
	add_format(&r->l, "my97-gtid", 1, BINLOG_F_RELAY_LOG);
}

/* As sent by the master when a replica connects. */
static void connected(struct relay_logs *r, const char *file, uint64_t pos)
{
	add_rotate(&r->l, file, pos, BINLOG_F_ARTIFICIAL);
	snprintf(r->file, sizeof(r->file), "%s", file);
	add_format(&r->l, "my97-gtid", 0, BINLOG_F_ARTIFICIAL);
}

static void transaction(struct relay_logs *r, uint64_t gno)
{
	add_gtid(&r->l, gno);
	note(r);
	add_query(&r->l, "BEGIN");
	note(r);
	add_rows(&r->l, 10);
	note(r);
	add_xid(&r->l);
	note(r);
}

/* The replica goes on in the next relay log. */
static void next(struct relay_logs *r)
{
	AUTO(free) char *name = xasprintf("relay.%06zu", 999998 + r->index);
	AUTO(free) char *following = xasprintf("relay.%06zu", 999999 + r->index);

	add_rotate(&r->l, following, 4, BINLOG_F_RELAY_LOG);
	put_log(r->dir, name, &r->l);
	r->index++;
	head(r);
}

/* FLUSH RELAY LOGS: no word of where the master is. */
static void flushed(struct relay_logs *r)
{
	next(r);
	add_format(&r->l, "my97-gtid", 0, BINLOG_F_ARTIFICIAL);
}

static void rotated(struct relay_logs *r, const char *file)
{
	add_rotate(&r->l, file, 4, 0);
	snprintf(r->file, sizeof(r->file), "%s", file);
	next(r);
	connected(r, file, 4);
}

static void end(struct relay_logs *r)
{
	AUTO(free) char *name = xasprintf("relay.%06zu", 999998 + r->index);

	put_log(r->dir, name, &r->l);
	str_done(&r->l.s);
}

static void make(struct relay_logs *r, const char *dir)
{
	*r = (struct relay_logs){ .dir = dir, .l = LOG_INIT };
	head(r);
	connected(r, "master.999999", 500);
	transaction(r, 1);
	flushed(r);
	transaction(r, 2);
	flushed(r);
	transaction(r, 3);
	rotated(r, "master.1000000");
	transaction(r, 4);
	flushed(r);
	flushed(r);
	transaction(r, 5);
	next(r);
	connected(r, "master.1000000", r->l.pos);
	transaction(r, 6);
	end(r);
}

static bool find(
        const char *dir, const char *file, uint64_t pos, struct find_place *ret, struct err *e)
{
	struct find_spec spec = {
		.file = file, .pos = pos, .newest = "master.1000000", .server_id = 7
	};
	struct logs logs;
	bool ok;

	assert_true(logs_in_folder(dir, "relay", &logs, e));
	spec.logs = &logs;
	ok = find_place(&spec, ret, e);
	logs_done(&logs);
	return ok;
}

/* `gone`: so many relay logs have been removed in front. */
static void assert_found(
        const char *dir, const struct relay_logs *r, const struct place *p, size_t gone)
{
	struct find_place got;
	struct err e = { 0 };
	bool ok = find(dir, p->file, p->pos, &got, &e);

	if (!ok)
		print_error("%s:%llu: %s\n", p->file, (unsigned long long)p->pos, e.text);
	assert_true(ok);
	/* Where the next one begins is as good as where this one ends. */
	if (got.index + gone == p->index)
		assert_true(got.offset >= p->offset);
	else
		assert_true(got.index + gone > p->index);
	assert_int_equal(got.nothing_follows, p == &r->places.items[r->places.len - 1]);
}

static void assert_not(const char *dir, const char *file, uint64_t pos, int code)
{
	struct find_place got;
	struct err e = { 0 };

	assert_false(find(dir, file, pos, &got, &e));
	assert_int_equal(e.kind, ERR_PRECOND);
	assert_int_equal(e.code, code);
}

static void test_every_event(void **state)
{
	struct relay_logs r;

	make(&r, *state);
	vec_each (struct place, p, &r.places)
		assert_found(*state, &r, p, 0);
	vec_done(&r.places);
}

/* The same for each, with what is behind: the events up to the end, byte for byte as many. */
static void test_what_is_behind_each_event(void **state)
{
	struct relay_logs r;

	make(&r, *state);
	for (size_t i = 0; i < r.places.len; i++) {
		struct find_place got;
		struct save_report report;
		struct err e = { 0 };
		struct logs logs;
		uint64_t left = (r.places.len - 1 - i) / 4 + (i % 4 != 3);

		assert_true(find(*state, r.places.items[i].file, r.places.items[i].pos, &got, &e));
		assert_true(logs_in_folder(*state, "relay", &logs, &e));

		struct save_spec spec = { .logs = &logs,
			.first = got.index,
			.start_pos = got.offset,
			.look_from = got.from,
			.source_file = got.source_file };

		assert_true(save_run(&spec, NULL, &report, &e));
		assert_int_equal(report.transactions, left);
		assert_int_equal(report.starts_inside, i % 4 != 3);
		if (left) {
			assert_int_equal(report.last.gno, 6);
			assert_string_equal(report.end.file, "master.1000000");
		}
		if (left && report.starts_inside) {
			assert_string_equal(report.start.file, r.places.items[i].file);
			assert_int_equal(report.start.pos, r.places.items[i].pos);
		}
		logs_done(&logs);
	}
	vec_done(&r.places);
}

static void test_what_is_not_there(void **state)
{
	struct relay_logs r;
	const struct place *last;

	make(&r, *state);
	last = &r.places.items[r.places.len - 1];
	assert_not(*state, "master.999999", 499, FIND_PURGED);
	assert_not(*state, "master.999998", 5000, FIND_PURGED);
	assert_not(*state, "other.999999", 500, FIND_PURGED);
	assert_not(*state, "master.999999", r.places.items[0].pos + 1, FIND_NO_EVENT);
	assert_not(*state, "master.1000000", last->pos + 1, FIND_NOT_YET);
	assert_not(*state, "master.1000001", 4, FIND_NOT_YET);
	vec_done(&r.places);
}

static void test_beginnings_of_files(void **state)
{
	struct relay_logs r;
	struct find_place got;
	struct err e = { 0 };

	make(&r, *state);
	assert_true(find(*state, "master.999999", 500, &got, &e));
	assert_int_equal(got.index, 0);
	assert_true(find(*state, "master.1000000", 4, &got, &e));
	assert_int_equal(got.index, 3);
	vec_done(&r.places);
}

static void remove_log(const char *dir, int number)
{
	AUTO(free) char *path = xasprintf("%s/relay.%06d", dir, number);

	assert_int_equal(unlink(path), 0);
}

/* Those in front are purged, and the oldest does not name the master's file. */
static void test_oldest_does_not_tell(void **state)
{
	struct relay_logs r;

	make(&r, *state);
	remove_log(*state, 999998);
	vec_each (struct place, p, &r.places)
		if (p->index > 0)
			assert_found(*state, &r, p, 1);
	assert_not(*state, "master.999998", 4, FIND_PURGED);
	assert_not(*state, "master.999999", r.places.items[0].pos, FIND_PURGED);
	remove_log(*state, 999999);
	remove_log(*state, 1000000);
	remove_log(*state, 1000001);
	/* The next Rotate goes on in the same file: it is a reconnect's. */
	vec_each (struct place, p, &r.places)
		if (p->index > 3)
			assert_found(*state, &r, p, 4);
	vec_done(&r.places);
}

static void test_gap(void **state)
{
	struct relay_logs r;
	struct find_place got;
	struct err e = { 0 };

	make(&r, *state);
	remove_log(*state, 1000000);
	assert_false(find(*state, "master.999999", r.places.items[0].pos, &got, &e));
	assert_non_null(strstr(e.text, "relay.1000000 is missing"));
	vec_done(&r.places);
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, new_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DIR(test_every_event),
		IN_DIR(test_what_is_behind_each_event),
		IN_DIR(test_what_is_not_there),
		IN_DIR(test_beginnings_of_files),
		IN_DIR(test_oldest_does_not_tell),
		IN_DIR(test_gap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
