/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which events make a transaction, on logs put together from words; and single events decoded from
 * bytes put together by hand.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>
#include "binlog_payload.h"
#include "binlog_txn.h"
#include "str.h"

#define SEEDS "tests/fuzz/corpus/binlog/"

static void put_le(void *to, uint64_t v, size_t n)
{
	uint8_t *p = to;

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static void add_le(struct str *to, uint64_t v, size_t n)
{
	uint8_t p[8];

	put_le(p, v, n);
	str_addn(to, p, n);
}

static void add_event(struct str *to, uint8_t type, uint16_t flags, const struct str *body)
{
	size_t size = BINLOG_HEADER_SIZE + body->len;

	add_le(to, 1700000000, 4);
	add_le(to, type, 1);
	add_le(to, 42, 4);
	add_le(to, size, 4);
	add_le(to, to->len + size - 13, 4);
	add_le(to, flags, 2);
	str_addn(to, body->p, body->len);
}

static void add_query(struct str *to, const char *text)
{
	AUTO_STR struct str body = STR_INIT;

	add_le(&body, 7, 4);
	add_le(&body, 0, 4);
	add_le(&body, 4, 1);
	add_le(&body, 0, 2);
	add_le(&body, 5, 2);
	add_le(&body, 0, 1); /* status: flags2 */
	add_le(&body, 0x04000000, 4);
	str_addn(&body, "shop", 5);
	str_add(&body, text);
	add_event(to, BINLOG_QUERY, 0, &body);
}

static void add_rows(struct str *to, uint16_t flags)
{
	AUTO_STR struct str body = STR_INIT;

	add_le(&body, 99, 6);
	add_le(&body, flags, 2);
	add_le(&body, 2, 2);
	add_le(&body, 3, 1);
	add_le(&body, 7, 1);
	str_add(&body, "images");
	add_event(to, BINLOG_WRITE_ROWS, 0, &body);
}

static void add_gtid(struct str *to, const char *word)
{
	static const char uuid[] = "0123456789abcdef";
	AUTO_STR struct str body = STR_INIT;

	if (str_starts(word, "maria")) {
		add_le(&body, 100, 8);
		add_le(&body, 3, 4);
		add_le(&body,
		        str_is(word, "maria_ddl") ? BINLOG_GTID_STANDALONE
		                                  : BINLOG_GTID_TRANSACTIONAL,
		        1);
		add_le(&body, 0, 6);
		add_event(to, BINLOG_MARIADB_GTID, 0, &body);
		return;
	}
	add_le(&body, 1, 1);
	str_addn(&body, uuid, 16);
	add_le(&body, 5, 8);
	add_event(to, str_is(word, "gtid") ? BINLOG_GTID : BINLOG_ANONYMOUS_GTID, 0, &body);
}

/* A format description as in the seed, with this `created` and these flags, without checksums. */
static void add_format(struct str *to, const char *seed, uint32_t created, uint16_t flags)
{
	AUTO(free) char *path = xasprintf(SEEDS "%s", seed);
	FILE *f = fopen(path, "re");
	uint8_t ev[1024];
	uint32_t size;

	assert_non_null(f);
	assert_true(fread(ev, 1, sizeof(ev), f) > 300);
	fclose(f);
	size = ev[13] | (uint32_t)ev[14] << 8;
	put_le(ev + 4 + 17, flags, 2);
	put_le(ev + 4 + 19 + 52, created, 4);
	put_le(ev + size, crc32(0, ev + 4, size - 4), 4);
	str_addn(to, ev + 4, size);
}

static const struct {
	const char *word, *text;
} queries[] = {
	{ "begin", "BEGIN" },
	{ "commit", "COMMIT" },
	{ "rollback", "ROLLBACK" },
	{ "rollback_to", "ROLLBACK TO `s`" },
	{ "savepoint", "SAVEPOINT `s`" },
	{ "beginner", "BEGINNER" },
	{ "ddl", "CREATE TABLE t (i INT)" },
	{ "dml", "INSERT INTO t VALUES (1)" },
	{ "xa_start", "XA START X'78',X'',1" },
	{ "xa_end", "XA END X'78',X'',1" },
	{ "xa_commit", "XA COMMIT X'78',X'',1" },
	{ "xa_rollback", "XA ROLLBACK X'78',X'',1" },
};

static const struct {
	const char *word;
	uint8_t type;
} plain[] = {
	{ "xid", BINLOG_XID },
	{ "xa_prepare", BINLOG_XA_PREPARE },
	{ "intvar", BINLOG_INTVAR },
	{ "rand", BINLOG_RAND },
	{ "user_var", BINLOG_USER_VAR },
	{ "load", BINLOG_BEGIN_LOAD_QUERY },
	{ "append", BINLOG_APPEND_BLOCK },
	{ "exec_load", BINLOG_EXECUTE_LOAD_QUERY },
	{ "delete_file", BINLOG_DELETE_FILE },
	{ "map", BINLOG_TABLE_MAP },
	{ "annotate", BINLOG_ANNOTATE_ROWS },
	{ "rows_query", BINLOG_ROWS_QUERY },
	{ "payload", BINLOG_TRANSACTION_PAYLOAD },
	{ "incident", BINLOG_INCIDENT },
	{ "rotate", BINLOG_ROTATE },
	{ "stop", BINLOG_STOP },
	{ "heartbeat", BINLOG_HEARTBEAT },
	{ "checkpoint", BINLOG_CHECKPOINT },
	{ "list", BINLOG_GTID_LIST },
	{ "large", BINLOG_LARGE_TRANSACTION_HEADER },
	{ "unknown", 99 },
};

static void add_word(struct str *to, const char *seed, const char *word)
{
	AUTO_STR struct str body = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(queries); i++)
		if (str_is(queries[i].word, word)) {
			add_query(to, queries[i].text);
			return;
		}
	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		if (str_is(plain[i].word, word)) {
			str_add(&body, "whatever is in it");
			add_event(to, plain[i].type, 0, &body);
			return;
		}
	if (str_is(word, "rows") || str_is(word, "rows_end"))
		add_rows(to, str_is(word, "rows_end"));
	else if (str_is(word, "start"))
		add_format(to, seed, 1700000000, 0);
	else if (str_is(word, "again"))
		add_format(to, seed, 0, 0);
	else if (str_is(word, "relay"))
		add_format(to, seed, 1700000000, BINLOG_F_RELAY_LOG);
	else
		add_gtid(to, word);
}

static void make_log(struct str *to, const char *seed, const char *words)
{
	AUTO(free) char *copy = xstrdup(words);
	char *rest = copy, *word;

	str_addn(to,
	        "\xfe"
	        "bin",
	        4);
	while ((word = strsep(&rest, " ")))
		add_word(to, seed, word);
}

static const char places[] = { [BINLOG_APART] = '-',
	[BINLOG_FIRST] = 'F',
	[BINLOG_INSIDE] = 'i',
	[BINLOG_LAST] = 'L',
	[BINLOG_ONLY] = 'O' };

/* The places of the events of such a log, and how many transactions became void. */
static void assert_places(const char *seed, const char *words, const char *want, uint64_t voided)
{
	AUTO_STR struct str log = STR_INIT, got = STR_INIT;
	struct binlog_txn t = BINLOG_TXN_INIT;
	struct binlog_event ev;
	enum binlog_place place;

	make_log(&log, seed, words);
	AUTO(binlog) struct binlog *b = binlog_new_mem(log.p, log.len);

	while (binlog_next(b, &ev, NULL) == BINLOG_EVENT) {
		assert_true(binlog_txn_feed(&t, binlog_format(b), &ev, &place, NULL));
		str_addc(&got, places[place]);
	}
	assert_int_equal(binlog_next(b, &ev, NULL), BINLOG_END);
	if (!str_is(got.p, want))
		print_error("%s\n", words);
	assert_string_equal(got.p, want);
	assert_int_equal(t.voided, voided);
}

#define MYSQL(words, want)   assert_places("my97-nocrc", words, want, 0)
#define MARIADB(words, want) assert_places("ma1011-nocrc", words, want, 0)
#define VOID(words, want)    assert_places("my97-nocrc", words, want, 1)

static void test_mysql_with_gtids(void **state)
{
	(void)state;
	MYSQL("start gtid begin map rows_end xid", "-FiiiL");
	MYSQL("start gtid begin map rows rows_end map rows_end commit", "-FiiiiiiL");
	MYSQL("start gtid ddl gtid ddl", "-FLFL");
	MYSQL("start gtid user_var ddl", "-FiL");
	MYSQL("start gtid payload anonymous payload", "-FLFL");
	MYSQL("start gtid begin savepoint map rows_end rollback_to dml rollback", "-FiiiiiiL");
	MYSQL("start gtid begin rows_query ddl map rows_end xid", "-FiiiiiL");
	MYSQL("start gtid incident gtid beginner", "-FLFL");
	MYSQL("start large gtid begin unknown xid", "--FiiL");
}

static void test_mysql_without_gtids(void **state)
{
	(void)state;
	MYSQL("start begin dml dml xid", "-FiiL");
	MYSQL("start begin intvar dml commit ddl", "-FiiLO");
	MYSQL("start ddl user_var rand ddl", "-OFiL");
	MYSQL("start intvar dml", "-FL");
	MYSQL("start map rows rows_end", "-FiL");
	MYSQL("start begin load append intvar exec_load xid", "-FiiiiL");
	MYSQL("start load append append exec_load", "-FiiL");
	MYSQL("start load append delete_file", "-FiL");
	MYSQL("start incident stop", "-O-");
	MYSQL("start xid commit", "-OO");
}

static void test_xa(void **state)
{
	(void)state;
	MYSQL("start gtid xa_start map rows_end xa_end xa_prepare gtid xa_commit", "-FiiiiLFL");
	MYSQL("start xa_start map rows_end xa_end xa_prepare xa_rollback", "-FiiiLO");
	MARIADB("start maria xa_start map rows_end xa_end xa_prepare maria_ddl xa_commit",
	        "-FiiiiLFL");
	MARIADB("start maria map rows_end xa_commit", "-FiiL");
}

static void test_mariadb(void **state)
{
	(void)state;
	MARIADB("start list checkpoint maria annotate map rows_end xid", "---FiiiL");
	MARIADB("start maria_ddl ddl maria_ddl intvar dml", "-FLFiL");
	MARIADB("start maria dml dml commit maria dml rollback", "-FiiLFiL");
	MARIADB("start maria_ddl annotate map rows rows_end", "-FiiiL");
	MARIADB("start maria begin dml commit", "-FiiL");
	MARIADB("start maria load append exec_load xid", "-FiiiL");
}

/*
 * Files end and begin, connections break: none of that ends a transaction, and some of it makes it
 * void.
 */
static void test_what_stands_between(void **state)
{
	(void)state;
	MYSQL("relay rotate start gtid begin map rotate relay rotate again rows_end xid",
	        "---Fii----iL");
	MYSQL("start heartbeat gtid heartbeat begin heartbeat xid stop", "--F-i-L-");
	VOID("start gtid begin map start gtid ddl", "-Fii-FL");
	VOID("start begin map begin map xid", "-FiFiL");
	VOID("start gtid begin map gtid begin map xid", "-FiiFiiL");
	VOID("start gtid start", "-F-");
	MYSQL("start gtid begin map again rows_end xid", "-Fii-iL");
	MYSQL("start unknown ddl unknown", "--O-");
}

static void test_the_tail_of_several_files(void **state)
{
	(void)state;
	AUTO_STR struct str one = STR_INIT, two = STR_INIT;
	struct binlog_txn t = BINLOG_TXN_INIT;
	struct binlog_tail tail;
	char text[BINLOG_GTID_TEXT];

	make_log(&one, "my97-nocrc", "relay start gtid ddl gtid begin map rows rotate");
	make_log(&two, "my97-nocrc", "relay again rows_end xid gtid begin");
	AUTO(binlog)
	struct binlog *a = binlog_new_mem(one.p, one.len), *b = binlog_new_mem(two.p, two.len);

	assert_true(binlog_txn_find_tail(a, &t, &tail, NULL));
	assert_int_equal(tail.why, BINLOG_END);
	assert_int_equal(tail.transactions, 1);
	assert_true(tail.open);
	assert_int_equal(tail.whole_end, t.offset);
	assert_int_equal(tail.seen_end, one.len);

	assert_true(binlog_txn_find_tail(b, &t, &tail, NULL));
	assert_int_equal(tail.transactions, 1);
	assert_true(tail.open);
	assert_int_equal(tail.whole_end, t.offset);
	assert_int_equal(t.events, 2);
	assert_string_equal(
	        binlog_view_gtid_text(&tail.last, text), "30313233-3435-3637-3839-616263646566:5");
}

static void test_rollback_is_told(void **state)
{
	(void)state;
	AUTO_STR struct str log = STR_INIT;
	struct binlog_txn t = BINLOG_TXN_INIT;
	struct binlog_tail tail;

	make_log(&log, "my97-nocrc", "start begin dml rollback");
	AUTO(binlog) struct binlog *b = binlog_new_mem(log.p, log.len);

	assert_true(binlog_txn_find_tail(b, &t, &tail, NULL));
	assert_true(t.rolled_back);
	assert_false(tail.open);
	assert_int_equal(tail.first.kind, BINLOG_GTID_NONE);
}

static void test_a_malformed_event_stops_all(void **state)
{
	(void)state;
	static const uint8_t types[] = { BINLOG_QUERY, BINLOG_GTID, BINLOG_GTID_TAGGED,
		BINLOG_WRITE_ROWS };

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		AUTO_STR struct str log = STR_INIT, body = STR_INIT;
		struct binlog_txn t = BINLOG_TXN_INIT;
		struct binlog_tail tail;
		struct err e = { 0 };

		make_log(&log, "my97-nocrc", "start gtid ddl");
		str_add(&body, "short");
		add_event(&log, types[i], 0, &body);
		AUTO(binlog) struct binlog *b = binlog_new_mem(log.p, log.len);

		assert_false(binlog_txn_find_tail(b, &t, &tail, &e));
		assert_int_equal(e.kind, ERR_PARSE);
		assert_non_null(strstr(e.text, binlog_type_name(types[i])));
	}
}

static struct binlog_format any_format(void)
{
	struct binlog_format f = { .server_version = "9.7.4" };

	f.post_header[BINLOG_QUERY] = f.post_header[BINLOG_QUERY_COMPRESSED] = 13;
	f.post_header[BINLOG_TABLE_MAP] = f.post_header[BINLOG_WRITE_ROWS_V1] = 8;
	f.post_header[BINLOG_UPDATE_ROWS] = 10;
	return f;
}

static struct binlog_event event_of(uint8_t type, const struct str *body)
{
	struct binlog_event ev = { .type = type, .server_id = 42 };

	ev.body = (const uint8_t *)body->p;
	ev.body_have = ev.body_size = body->len;
	return ev;
}

static void test_view_query(void **state)
{
	(void)state;
	AUTO_STR struct str log = STR_INIT;
	struct binlog_format f = any_format();
	struct binlog_query q;

	add_query(&log, "Rollback");
	AUTO_STR struct str body = STR_INIT;

	str_addn(&body, log.p + BINLOG_HEADER_SIZE, log.len - BINLOG_HEADER_SIZE);
	struct binlog_event ev = event_of(BINLOG_QUERY, &body);

	assert_true(binlog_view_query(&f, &ev, &q));
	assert_int_equal(q.thread_id, 7);
	assert_int_equal(q.flags2, 0x04000000);
	assert_int_equal(q.db.len, 4);
	assert_memory_equal(q.db.p, "shop", 4);
	assert_int_equal(q.text_size, 8);
	assert_true(binlog_view_query_is(&q, "ROLLBACK", true));
	assert_false(binlog_view_query_is(&q, "ROLL", true));
	assert_false(binlog_view_query_is(&q, "ROLL", false));
	assert_false(binlog_view_query_is(&q, "ROLLBACK TO", false));
	for (size_t n = 0; n < body.len - 8; n++) {
		ev.body_have = ev.body_size = n;
		assert_false(binlog_view_query(&f, &ev, &q));
	}
}

static void test_view_compressed_query(void **state)
{
	(void)state;
	static const char text[] =
	        "INSERT INTO t VALUES ('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')";
	static const uint8_t zeros[14];
	AUTO_STR struct str body = STR_INIT;
	struct binlog_format f = any_format();
	struct binlog_query q;
	uint8_t packed[200];
	uLongf n = sizeof(packed);
	char buf[32];

	assert_int_equal(compress(packed, &n, (const Bytef *)text, sizeof(text) - 1), Z_OK);
	str_addn(&body, zeros, sizeof(zeros)); /* fixed part, empty database name */
	add_le(&body, 0x81, 1);
	add_le(&body, sizeof(text) - 1, 1);
	str_addn(&body, packed, n);
	struct binlog_event ev = event_of(BINLOG_QUERY_COMPRESSED, &body);

	assert_true(binlog_view_query(&f, &ev, &q));
	assert_true(q.compressed);
	assert_int_equal(binlog_payload_query(&q, buf, sizeof(buf)), sizeof(buf));
	assert_memory_equal(buf, text, sizeof(buf));
	body.p[16] ^= 0x55;
	assert_int_equal(binlog_payload_query(&q, buf, sizeof(buf)), 0);
}

static void test_view_table_map_and_rows(void **state)
{
	(void)state;
	AUTO_STR struct str body = STR_INIT, rows = STR_INIT;
	struct binlog_format f = any_format();
	struct binlog_table_map t;
	struct binlog_rows r;

	add_le(&body, 0x123456789a, 6);
	add_le(&body, 1, 2);
	str_addn(&body, "\4shop\0\1t\0", 9);
	add_le(&body, 3, 1);
	str_addn(&body, "\3\17\374", 3);
	str_addn(&body, "\3\144\0\2", 4);
	struct binlog_event ev = event_of(BINLOG_TABLE_MAP, &body);

	assert_true(binlog_view_table_map(&f, &ev, &t));
	assert_true(t.table_id == 0x123456789a);
	assert_memory_equal(t.db.p, "shop", 4);
	assert_memory_equal(t.table.p, "t", 1);
	assert_int_equal(t.columns, 3);
	assert_int_equal(t.types[1], 15);
	assert_int_equal(t.metadata.len, 3);
	for (size_t n = 0; n < body.len; n++) {
		ev.body_have = n;
		assert_false(binlog_view_table_map(&f, &ev, &t));
	}

	add_le(&rows, 7, 6);
	add_le(&rows, 1, 2);
	add_le(&rows, 5, 2);
	str_add(&rows, "xxx");
	add_le(&rows, 9, 1);
	add_le(&rows, 0x01ff, 2);
	add_le(&rows, 0x0003, 2);
	str_add(&rows, "images");
	ev = event_of(BINLOG_UPDATE_ROWS, &rows);
	assert_true(binlog_view_rows(&f, &ev, &r));
	assert_int_equal(r.change, BINLOG_ROWS_UPDATE);
	assert_true(r.ends_statement);
	assert_int_equal(r.columns, 9);
	assert_int_equal(r.before[1], 1);
	assert_int_equal(r.after[0], 3);
	assert_int_equal(r.images_size, 6);
	assert_memory_equal(r.images.p, "images", 6);
	ev.body_size += 1000; /* beyond the window */
	assert_true(binlog_view_rows(&f, &ev, &r));
	assert_int_equal(r.images_size, 1006);
	assert_int_equal(r.images.len, 6);
}

static void test_view_gtid_lists(void **state)
{
	(void)state;
	AUTO_STR struct str body = STR_INIT;

	/* two sources, the second first, intervals in disorder */
	add_le(&body, 2, 8);
	for (unsigned source = 2; source-- > 0;) {
		for (unsigned i = 0; i < 16; i++)
			add_le(&body, source, 1);
		add_le(&body, 2, 8);
		add_le(&body, 10, 8);
		add_le(&body, 11, 8);
		add_le(&body, 1, 8);
		add_le(&body, 6, 8);
	}
	struct binlog_event ev = event_of(BINLOG_PREVIOUS_GTIDS, &body);
	AUTO(gtid) struct gtid_set *s = binlog_view_gtid_list(&ev);

	assert_non_null(s);
	AUTO(free) char *text = gtid_set_format(s);

	assert_string_equal(text, "00000000-0000-0000-0000-000000000000:1-5:10,"
	                          "01010101-0101-0101-0101-010101010101:1-5:10");
	ev.body_have--;
	assert_null(binlog_view_gtid_list(&ev));

	AUTO_STR struct str list = STR_INIT;

	add_le(&list, 2 | 0x10000000, 4); /* with a flag */
	add_le(&list, 7, 4);
	add_le(&list, 1, 4);
	add_le(&list, 1000, 8);
	add_le(&list, 0, 4);
	add_le(&list, 2, 4);
	add_le(&list, 5, 8);
	ev = event_of(BINLOG_GTID_LIST, &list);
	AUTO(gtid) struct gtid_set *m = binlog_view_gtid_list(&ev);

	assert_non_null(m);
	AUTO(free) char *maria = gtid_set_format(m);

	assert_string_equal(maria, "0-2-5,7-1-1000");
}

static void test_view_gtid_sets(void **state)
{
	(void)state;
	struct binlog_gtid my = { .kind = BINLOG_GTID_MYSQL, .tag = "t", .gno = 9 };
	struct binlog_gtid maria = {
		.kind = BINLOG_GTID_MARIADB, .domain = 3, .server = 2, .seq = 9
	};
	struct binlog_gtid none = { .kind = BINLOG_GTID_ANONYMOUS };
	AUTO(gtid) struct gtid_set *s = gtid_set_new(GTID_MYSQL), *m = gtid_set_new(GTID_MARIADB);
	char buf[BINLOG_GTID_TEXT];

	assert_false(binlog_view_gtid_in(&my, s));
	assert_true(binlog_view_gtid_add(&my, s));
	assert_true(binlog_view_gtid_in(&my, s));
	assert_true(binlog_view_gtid_add(&maria, m));
	assert_true(binlog_view_gtid_in(&maria, m));
	assert_true(binlog_view_gtid_add(&none, s));
	assert_false(binlog_view_gtid_in(&none, s));
	my.gno = 0;
	assert_false(binlog_view_gtid_add(&my, s));
	assert_string_equal(binlog_view_gtid_text(&maria, buf), "3-2-9");
	assert_string_equal(binlog_view_gtid_text(&none, buf), "ANONYMOUS");
}

static void test_view_others(void **state)
{
	(void)state;
	AUTO_STR struct str xa = STR_INIT, rotate = STR_INIT, incident = STR_INIT;
	struct binlog_xa x;
	struct binlog_rotate r;
	struct binlog_incident i;
	struct binlog_event ev;

	add_le(&xa, 1, 1);
	add_le(&xa, 7, 4);
	add_le(&xa, 2, 4);
	add_le(&xa, 3, 4);
	str_add(&xa, "ggbbb");
	ev = event_of(BINLOG_XA_PREPARE, &xa);
	assert_true(binlog_view_xa_prepare(&ev, &x));
	assert_true(x.one_phase && x.format_id == 7 && x.gtrid.len == 2 && x.bqual.len == 3);
	ev.body_have--;
	assert_false(binlog_view_xa_prepare(&ev, &x));

	add_le(&rotate, 0x123456789, 8);
	ev = event_of(BINLOG_ROTATE, &rotate);
	assert_false(binlog_view_rotate(&ev, &r));
	str_add(&rotate, "bin.000002");
	ev = event_of(BINLOG_ROTATE, &rotate);
	assert_true(binlog_view_rotate(&ev, &r));
	assert_true(r.pos == 0x123456789 && r.file.len == 10);

	add_le(&incident, 1, 2);
	str_addn(&incident, "\4lost", 5);
	ev = event_of(BINLOG_INCIDENT, &incident);
	assert_true(binlog_view_incident(&ev, &i));
	assert_true(i.number == 1 && i.message.len == 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mysql_with_gtids),
		cmocka_unit_test(test_mysql_without_gtids),
		cmocka_unit_test(test_xa),
		cmocka_unit_test(test_mariadb),
		cmocka_unit_test(test_what_stands_between),
		cmocka_unit_test(test_the_tail_of_several_files),
		cmocka_unit_test(test_rollback_is_told),
		cmocka_unit_test(test_a_malformed_event_stops_all),
		cmocka_unit_test(test_view_query),
		cmocka_unit_test(test_view_compressed_query),
		cmocka_unit_test(test_view_table_map_and_rows),
		cmocka_unit_test(test_view_gtid_lists),
		cmocka_unit_test(test_view_gtid_sets),
		cmocka_unit_test(test_view_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
