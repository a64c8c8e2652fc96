/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts of apply that need no server: the index of relay logs, the state of an apply, the row
 * that parts are joined to and what a server lacks of it, statements made of events.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "apply.h"
#include "apply_impl.h"
#include "apply_join.h"
#include "apply_state.h"
#include "binlog_sql.h"
#include "binlog_write.h"
#include "relay_index.h"
#include "str.h"

/*
 * ---- a folder for each test
 * ----------------------------------------------------------------------
 */

static int make_folder(void **state)
{
	char *dir = xstrdup("/tmp/test_apply-XXXXXX");

	*state = mkdtemp(dir);
	return *state ? 0 : -1;
}

static int remove_folder(void **state)
{
	AUTO(free) char *dir = *state;
	AUTO(free) char *sh = xasprintf("rm -rf '%s'", dir);

	return system(sh);
}

static char *write_file(const char *dir, const char *name, const void *bytes, size_t n)
{
	char *path = xasprintf("%s/%s", dir, name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	fclose(f);
	return path;
}

static char *write_text(const char *dir, const char *name, const char *text)
{
	return write_file(dir, name, text, strlen(text));
}

/*
 * ---- the index
 * -----------------------------------------------------------------------------------
 */

static void test_index_gets_a_line_like_the_others(void **state)
{
	AUTO(free) char *path = write_text(*state, "relay.index", "./r.000001\n./r.000009");
	AUTO(free) char *next = NULL, *file = NULL;
	struct relay_index x;
	struct err e = { 0 };
	char text[100] = "";
	FILE *f;

	free(write_text(*state, "r.000012", ""));
	assert_true(relay_index_read(path, &x, &e));
	assert_int_equal(x.lines.len, 2);
	assert_true(x.torn);
	assert_true(relay_index_has(&x, "r.000009"));
	assert_false(relay_index_has(&x, "r.00000"));
	next = relay_index_next(&x, &e);
	assert_string_equal(next, "r.000013");
	assert_true(relay_index_add(&x, next, &e));
	file = relay_index_file(&x, 0);
	assert_true(str_ends(file, "/r.000001") && str_starts(file, *state));
	relay_index_done(&x);
	f = fopen(path, "r");
	assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
	fclose(f);
	assert_string_equal(text, "./r.000001\n./r.000009\n./r.000013\n");
}

/* Lines in another order, and without their files. */
static void test_index_next_is_behind_all(void **state)
{
	AUTO(free)
	char *path = write_text(*state, "r.index", "./r.000014\n./q.000020\n./r.000003\n");
	AUTO(free) char *next = NULL;
	struct relay_index x;
	struct err e = { 0 };

	free(write_text(*state, "r.000012", ""));
	assert_true(relay_index_read(path, &x, &e));
	next = relay_index_next(&x, &e);
	assert_string_equal(next, "r.000015");
	relay_index_done(&x);
}

static void test_index_that_is_none(void **state)
{
	AUTO(free) char *empty = write_text(*state, "empty.index", "");
	AUTO(free) char *binary = write_file(*state, "binary.index", "./r.000001\n\0x", 13);
	AUTO(free) char *next = NULL;
	struct relay_index x;
	struct err e = { 0 };

	assert_true(relay_index_read(empty, &x, &e));
	next = relay_index_next(&x, &e);
	assert_null(next);
	assert_int_equal(e.kind, ERR_PRECOND);
	relay_index_done(&x);
	assert_false(relay_index_read(binary, &x, &e));
	assert_false(relay_index_read("/nowhere/x.index", &x, &e));
}

/*
 * ---- the state
 * -----------------------------------------------------------------------------------
 */

static void test_state_is_found_again(void **state)
{
	struct apply_state s, other;
	struct err e = { 0 };
	AUTO(free) char *got = NULL, *none = NULL;

	assert_true(apply_state_open(&s, *state, "3306", &e));
	assert_false(s.found);
	assert_true(apply_state_set(&s, "gtid", "1", &e));
	assert_true(apply_state_set(&s, "delay", "17", &e));
	assert_true(apply_state_set(&s, "gtid", "2", &e));
	assert_false(apply_state_open(&other, *state, "3306", &e)); /* in use */
	assert_int_equal(e.kind, ERR_PRECOND);
	apply_state_close(&other);
	apply_state_close(&s);

	assert_true(apply_state_open(&s, *state, "3306", &e));
	assert_true(s.found);
	got = apply_state_get(&s, "gtid");
	assert_string_equal(got, "2");
	none = apply_state_get(&s, "del");
	assert_null(none);
	assert_true(apply_state_forget(&s, &e));
	apply_state_close(&s);
	assert_true(apply_state_open(&s, *state, "3306", &e));
	assert_false(s.found);
	apply_state_close(&s);
}

static void test_state_of_somebody_else(void **state)
{
	AUTO(free) char *dir = xasprintf("%s/mha-node-apply-1", (char *)*state);
	AUTO(free) char *link = xasprintf("%s/mha-node-apply-2", (char *)*state);
	struct apply_state s;
	struct err e = { 0 };

	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(chmod(dir, 0777), 0);
	assert_false(apply_state_open(&s, *state, "1", &e));
	assert_int_equal(e.kind, ERR_PRECOND);
	apply_state_close(&s);
	assert_int_equal(symlink("/tmp", link), 0);
	assert_false(apply_state_open(&s, *state, "2", &e));
	apply_state_close(&s);
}

/*
 * ---- binlogs made up
 * -----------------------------------------------------------------------------
 */

struct made {
	struct str bytes;
	uint64_t pos; /* in the source's file */
};

static void add_event(struct made *m, uint8_t type, uint16_t flags, const void *body, size_t n)
{
	uint8_t head[BINLOG_HEADER_SIZE] = { 1, 0, 0, 0, type, 7, 0, 0, 0 };
	size_t size = sizeof(head) + n;
	uint64_t end = m->pos + size;

	for (size_t i = 0; i < 4; i++) {
		head[9 + i] = (uint8_t)(size >> 8 * i);
		head[13 + i] = flags & BINLOG_F_ARTIFICIAL ? 0 : (uint8_t)(end >> 8 * i);
	}
	head[17] = (uint8_t)flags;
	str_addn(&m->bytes, head, sizeof(head));
	str_addn(&m->bytes, body, n);
	if (!(flags & BINLOG_F_ARTIFICIAL))
		m->pos = end;
}

/* Of 5.5, which has neither GTIDs nor checksums. */
static void begin_file(struct made *m)
{
	static const uint8_t lengths[27] = { 56, 13, 0, 8, 0, 18, 0, 4, 4, 4, 4, 18, 0, 0, 84, 0, 4,
		26, 8, 0, 0, 0, 8, 8, 8, 2, 0 };
	uint8_t body[2 + 50 + 4 + 1 + sizeof(lengths)] = { 4, 0 };

	memcpy(body + 2, "5.5.60", 6);
	body[56] = BINLOG_HEADER_SIZE;
	memcpy(body + 57, lengths, sizeof(lengths));
	str_addn(&m->bytes,
	        "\xfe"
	        "bin",
	        4);
	m->pos = 4;
	add_event(m, BINLOG_FORMAT, 0, body, sizeof(body));
}

static void add_query(struct made *m, const char *text)
{
	uint8_t body[200] = { 1, 0, 0, 0, 0, 0, 0, 0, 1 };
	size_t n = strlen(text);

	memcpy(body + 13, "d\0", 2);
	memcpy(body + 15, text, n);
	add_event(m, BINLOG_QUERY, 0, body, 15 + n);
}

static void add_xid(struct made *m)
{
	add_event(m, BINLOG_XID, 0, "\0\0\0\0\0\0\0\0", 8);
}

static void add_transaction(struct made *m, const char *text)
{
	add_query(m, "BEGIN");
	add_query(m, text);
	add_xid(m);
}

static void add_rotate(struct made *m, uint16_t flags, const char *file, uint64_t pos)
{
	uint8_t body[100];
	size_t n = strlen(file);

	for (size_t i = 0; i < 8; i++)
		body[i] = (uint8_t)(pos >> 8 * i);
	memcpy(body + 8, file, n);
	add_event(m, BINLOG_ROTATE, flags, body, 8 + n);
}

static char *finish(const char *dir, const char *name, struct made *m)
{
	char *path = write_file(dir, name, m->bytes.p, m->bytes.len);

	str_done(&m->bytes);
	return path;
}

/*
 * ---- joining
 * -------------------------------------------------------------------------------------
 */

static void look(char **paths, size_t count, const char *file, uint64_t pos, struct join_missing *m,
        struct err *e, bool ok)
{
	struct join_parts p = { .paths = paths, .count = count };
	struct join_facts f;
	struct join_have have = { .file = file, .pos = pos };

	*e = (struct err){ 0 };
	assert_true(join_scan(&p, &f, e));
	p.begin = f.begin[0] ? f.begin : NULL;
	assert_int_equal(join_write(&p, &have, -1, false, m, e), ok);
	join_facts_done(&f);
}

/*
 * Three transactions; the second goes over the seam of two parts, the file ends in the second part.
 */
static void make_two_parts(const char *dir, char **paths, uint64_t ends[3])
{
	struct made a = { .bytes = STR_INIT }, b = { .bytes = STR_INIT };

	begin_file(&a);
	add_rotate(&a, BINLOG_F_ARTIFICIAL, "m.000001", 1000);
	a.pos = 1000;
	add_transaction(&a, "one");
	ends[0] = a.pos;
	add_query(&a, "BEGIN");
	add_query(&a, "two");
	begin_file(&b);
	b.pos = a.pos;
	add_query(&b, "two again");
	add_xid(&b);
	ends[1] = b.pos;
	add_rotate(&b, 0, "m.000002", 4);
	b.pos = 107;
	add_transaction(&b, "three");
	ends[2] = b.pos;
	paths[0] = finish(dir, "a", &a);
	paths[1] = finish(dir, "b", &b);
}

static void test_what_is_missing_by_position(void **state)
{
	char *paths[2];
	uint64_t ends[3];
	struct join_missing m;
	struct err e;

	make_two_parts(*state, paths, ends);
	look(paths, 2, "m.000001", 1000, &m, &e, true);
	assert_int_equal(m.transactions, 3);
	look(paths, 2, "m.000001", ends[0], &m, &e, true);
	assert_int_equal(m.transactions, 2);
	assert_int_equal(m.had, 1);
	assert_string_equal(m.file, "m.000001");
	assert_int_equal(m.start, ends[0]);
	look(paths, 2, "m.000001", ends[1], &m, &e, true);
	assert_int_equal(m.transactions, 1);
	look(paths, 2, "m.000002", 4, &m, &e, true);
	assert_int_equal(m.transactions, 1);
	look(paths, 2, "m.000002", ends[2], &m, &e, true);
	assert_int_equal(m.transactions, 0);
	look(paths, 2, "m.000003", 4, &m, &e, true);
	assert_int_equal(m.transactions, 0);
	free(paths[0]);
	free(paths[1]);
}

static void test_gaps_are_refused(void **state)
{
	char *paths[2];
	uint64_t ends[3];
	struct join_missing m;
	struct err e;

	make_two_parts(*state, paths, ends);
	look(paths, 2, "m.000001", 900, &m, &e, false); /* before all */
	assert_int_equal(e.kind, ERR_PRECOND);
	look(paths, 2, "m.000001", ends[0] + 30, &m, &e, false); /* inside of one */
	look(paths, 1, "m.000001", 1000, &m, &e, true);          /* the half is cut off */
	assert_int_equal(m.transactions, 1);
	look(paths + 1, 1, "m.000001", ends[0], &m, &e, false); /* begins inside */
	free(paths[0]);
	free(paths[1]);
}

static void test_what_is_written_can_be_read(void **state)
{
	char *paths[2];
	uint64_t ends[3];
	struct join_parts p = { .paths = paths, .count = 2, .begin = "m.000001" };
	struct join_missing m;
	struct join_facts f;
	struct err e = { 0 };
	char *out;
	AUTO_FD int fd = -1;

	make_two_parts(*state, paths, ends);
	out = xasprintf("%s/out", (char *)*state);
	fd = open(out, O_RDWR | O_CREAT | O_EXCL, 0600);
	struct join_have have = { .file = "m.000001", .pos = ends[0] };

	assert_true(join_write(&p, &have, fd, false, &m, &e));
	free(paths[0]);
	free(paths[1]);
	paths[0] = out;
	p.count = 1;
	p.begin = NULL;
	assert_true(join_scan(&p, &f, &e));
	assert_int_equal(f.transactions, 2);
	assert_string_equal(f.begin, "m.000001");
	assert_string_equal(f.file, "m.000002");
	assert_int_equal(f.end_pos, ends[2]);
	assert_int_equal(f.cut, 0);
	join_facts_done(&f);
	free(out);
}

/*
 * A file that says nowhere of which it is must fit exactly: numbers alone may be those of another
 * file.
 */
static void test_files_without_a_name(void **state)
{
	struct made a = { .bytes = STR_INIT };
	char *path;
	uint64_t end;
	struct join_missing m;
	struct err e;

	begin_file(&a);
	a.pos = 500;
	add_transaction(&a, "one");
	end = a.pos;
	path = finish(*state, "a", &a);
	look(&path, 1, "m.000001", 500, &m, &e, true);
	assert_int_equal(m.transactions, 1);
	look(&path, 1, "m.000001", end, &m, &e, true);
	assert_int_equal(m.transactions, 0);
	look(&path, 1, "m.000001", end + 1000, &m, &e, false);
	look(&path, 1, "m.000001", 400, &m, &e, false);
	free(path);
}

static void test_order_of_files(void **state)
{
	(void)state;
	assert_true(join_cmp_files("m.000002", "m.000010") < 0);
	assert_true(join_cmp_files("m.999999", "m.1000000") < 0);
	assert_int_equal(join_cmp_files("m.000002", "m.2"), 0);
}

/*
 * ---- statements
 * ----------------------------------------------------------------------------------
 */

static bool collect(void *ctx, const struct binlog_sql_out *o, struct err *e)
{
	struct str *to = ctx;

	(void)e;
	str_addn(to, o->sql, o->len);
	str_add(to, o->kind == BINLOG_SQL_STATEMENT ? "\n" : " .\n");
	return true;
}

static const char *latin(void *ctx, unsigned id, const char **ret_charset)
{
	(void)ctx;
	*ret_charset = "latin1";
	return id == 8 ? "latin1_swedish_ci" : NULL;
}

/* The statements of a binlog of 5.5, without the SETs of times and modes. */
static bool statements_of(struct made *m, struct str *to, struct err *e)
{
	struct binlog_sql_target t = { .version = 50600, .longest = 1 << 20, .collation = latin };
	AUTO(binlog) struct binlog *b = binlog_new_mem(m->bytes.p, m->bytes.len);
	AUTO(binlog_sql) struct binlog_sql *s = binlog_sql_new(&t, collect, to);
	struct binlog_event ev;
	bool ok = true;

	while (ok && binlog_next(b, &ev, e) == BINLOG_EVENT)
		ok = binlog_sql_event(s, b, &ev, e);
	return ok;
}

static void test_statements_of_a_transaction(void **state)
{
	(void)state;
	struct made m = { .bytes = STR_INIT };
	AUTO_STR struct str got = STR_INIT;
	struct err e = { 0 };

	begin_file(&m);
	add_query(&m, "BEGIN");
	add_event(&m, BINLOG_INTVAR, 0, "\2\5\0\0\0\0\0\0\0", 9);
	add_event(&m, BINLOG_USER_VAR, 0, "\1\0\0\0a\0\0\10\0\0\0\2\0\0\0hi", 17);
	add_event(&m, BINLOG_USER_VAR, 0, "\1\0\0\0n\1", 6);
	add_event(&m, BINLOG_USER_VAR, 0,
	        "\1\0\0\0i\0\2\10\0\0\0\10\0\0\0\xfb\xff\xff\xff\xff\xff\xff\xff\0", 24);
	add_query(&m, "INSERT");
	add_xid(&m);
	add_query(&m, "CREATE");
	assert_true(statements_of(&m, &got, &e));
	assert_string_equal(got.p,
	        "BEGIN\nUSE `d`\nSET TIMESTAMP=1.000000,@@session.pseudo_thread_id=1\n"
	        "SET INSERT_ID=5,@`a`:=_latin1 X'6869' COLLATE `latin1_swedish_ci`,"
	        "@`n`:=NULL,@`i`:=-5\nINSERT\nCOMMIT .\nSET TIMESTAMP=1.000000\nCREATE .\n");
	str_done(&m.bytes);
}

static void test_decimals(void **state)
{
	(void)state;
	/* precision, scale, bytes as servers pack them */
	static const struct {
		const char *bytes;
		size_t n;
		const char *text;
	} cases[] = {
		{ "\4\2\x8c\x22", 4, "12.34" },
		{ "\4\2\x73\xdd", 4, "-12.34" },
		{ "\3\3\x81\xf4", 4, "0.500" },
		{ "\12\0\x81\x0d\xfb\x38\xd2", 7, "1234567890" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct made m = { .bytes = STR_INIT };
		AUTO_STR struct str got = STR_INIT, body = STR_INIT;
		struct err e = { 0 };

		str_addn(&body, "\1\0\0\0d\0\4\10\0\0\0", 11);
		str_addc(&body, (char)cases[i].n);
		str_addn(&body, "\0\0\0", 3);
		str_addn(&body, cases[i].bytes, cases[i].n);
		begin_file(&m);
		add_event(&m, BINLOG_USER_VAR, 0, body.p, body.len);
		add_query(&m, "X");
		assert_true(statements_of(&m, &got, &e));
		AUTO(free) char *want = xasprintf("@`d`:=%s\n", cases[i].text);

		assert_non_null(strstr(got.p, want));
		str_done(&m.bytes);
	}
}

static void test_what_no_statement_can_say(void **state)
{
	(void)state;
	struct made m = { .bytes = STR_INIT }, n = { .bytes = STR_INIT };
	AUTO_STR struct str got = STR_INIT;
	struct err e = { 0 };

	begin_file(&m);
	add_event(&m, BINLOG_BEGIN_LOAD_QUERY, 0, "\1\0\0\0data", 8);
	assert_false(statements_of(&m, &got, &e));
	assert_int_equal(e.kind, ERR_PRECOND);
	assert_non_null(strstr(e.text, "LOAD DATA"));
	begin_file(&n);
	add_event(&n, 99, 0, "", 0);
	assert_false(statements_of(&n, &got, &e));
	str_done(&m.bytes);
	str_done(&n.bytes);
}

static void test_base64(void **state)
{
	(void)state;
	static const char *const want[] = { "", "Zg==", "Zm8=", "Zm9v",
		"Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy" };

	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		AUTO_STR struct str s = STR_INIT;

		binlog_sql_base64(&s, (const uint8_t *)"foobar", i);
		assert_string_equal(s.p, want[i]);
	}
}

/*
 * ---- words
 * ---------------------------------------------------------------------------------------
 */

static void test_passwords_lose_the_managers_backslashes(void **state)
{
	(void)state;
	char a[] = "pa\\ ss\\$w\\\\ord", b[] = "plain\\d", c[] = "\\'q\\'";

	apply_unescape(a);
	assert_string_equal(a, "pa ss$w\\ord");
	apply_unescape(b);
	assert_string_equal(b, "plain\\d");
	apply_unescape(c);
	assert_string_equal(c, "'q'");
}

static void test_places(void **state)
{
	(void)state;
	char file[20];
	uint64_t pos = 0;

	assert_true(apply_place("mysql-bin.000001:4711", file, sizeof(file), &pos));
	assert_string_equal(file, "mysql-bin.000001");
	assert_int_equal(pos, 4711);
	assert_false(apply_place("mysql-bin.000001", file, sizeof(file), &pos));
	assert_false(apply_place("a-name-that-is-too-long:4", file, sizeof(file), &pos));
	assert_false(apply_place("x:", file, sizeof(file), &pos));
}

int main(void)
{
#define IN_FOLDER(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)
	const struct CMUnitTest tests[] = {
		IN_FOLDER(test_index_gets_a_line_like_the_others),
		IN_FOLDER(test_index_next_is_behind_all),
		IN_FOLDER(test_index_that_is_none),
		IN_FOLDER(test_state_is_found_again),
		IN_FOLDER(test_state_of_somebody_else),
		IN_FOLDER(test_what_is_missing_by_position),
		IN_FOLDER(test_gaps_are_refused),
		IN_FOLDER(test_what_is_written_can_be_read),
		IN_FOLDER(test_files_without_a_name),
		cmocka_unit_test(test_order_of_files),
		cmocka_unit_test(test_statements_of_a_transaction),
		cmocka_unit_test(test_decimals),
		cmocka_unit_test(test_what_no_statement_can_say),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_passwords_lose_the_managers_backslashes),
		cmocka_unit_test(test_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
