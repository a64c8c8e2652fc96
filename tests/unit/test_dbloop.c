/* SPDX-License-Identifier: BSD-2-Clause */
/* dbloop: how far each kind of server lets it come, how it ends, and when it is told. */
#include "dbloop.h"
#include "mysql_peer.h"
#include <errno.h>
#include <sys/resource.h>
#include <time.h>
#include "clock.h"
#include "job.h"
#include "loop.h"
#include "str.h"

enum { SLACK = 250 }; /* ms; generous, the machine may be busy */

static struct loop *loop;
static struct job_pool *pool;
static struct dbloop *d;
static struct conf_server server;
static struct peer peer;

static int opened, answered, lost; /* calls */
static struct err err;             /* of the last one */
static char value[64];             /* first column "v" of the last answer */
static int64_t told_at;

static void note(const struct err *e)
{
	told_at = clock_ms();
	err = e ? *e : (struct err){ .kind = ERR_NONE };
	loop_stop(loop);
}

static void on_open(void *arg, const struct err *e)
{
	(void)arg;
	opened++;
	note(e);
}

static void on_answer(void *arg, const struct db_result *r, const struct err *e)
{
	(void)arg;
	answered++;
	assert_true(!r == !!e);
	snprintf(value, sizeof(value), "%s", r && db_get(r, 0, "v") ? db_get(r, 0, "v") : "");
	note(e);
}

static void on_lost(void *arg, const struct err *e)
{
	(void)arg;
	lost++;
	note(e);
}

static int setup(void **state)
{
	(void)state;
	loop = loop_new();
	pool = job_pool_new(loop, 2);
	d = dbloop_new(loop, pool, on_lost, NULL);
	server = (struct conf_server){ .hostname = "db1",
		.ip = "127.0.0.1",
		.hostinfo = "db1(127.0.0.1)",
		.user = "mha",
		.password = "s3cret-pw" };
	opened = answered = lost = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dbloop_free(d);
	job_pool_free(pool);
	loop_free(loop);
	return 0;
}

static void stop(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

static void run_for(int64_t ms)
{
	struct loop_timer *t = loop_timer_new(loop, clock_in(ms), stop, NULL);

	loop_run(loop);
	loop_timer_free(t);
}

static void serve(peer_serve_fn fn)
{
	peer_start(&peer, fn, NULL);
	server.port = peer.port;
}

/* Log in within so many ms, and wait for what comes of it. */
static void open_within(int64_t ms)
{
	dbloop_open(d, &server, clock_in(ms), on_open);
	assert_int_equal(opened, 0);
	assert_true(dbloop_is_busy(d));
	run_for(ms + 2000);
	assert_int_equal(opened, 1);
	assert_false(dbloop_is_busy(d));
	opened = 0;
}

static void log_in(void)
{
	open_within(3000);
	assert_int_equal(err.kind, ERR_NONE);
	assert_true(dbloop_is_open(d));
}

static void ask(const char *sql, int64_t ms)
{
	dbloop_query(d, sql, clock_in(ms), on_answer);
	assert_int_equal(answered, 0);
	run_for(ms + 2000);
	assert_int_equal(answered, 1);
	answered = 0;
}

static void failed(enum err_kind kind, enum db_layer layer, int sys, bool late)
{
	assert_int_equal(err.kind, kind);
	assert_string_equal(err.host, "db1(127.0.0.1)");
	assert_int_equal(dbloop_layer(d), layer);
	assert_int_equal(dbloop_errno(d), sys);
	assert_int_equal(dbloop_was_late(d), late);
	assert_false(dbloop_is_open(d));
}

static void test_nobody_listens(void **state)
{
	int fd = peer_door(&server.port);

	(void)state;
	close(fd);
	open_within(500);
	failed(ERR_UNREACHABLE, DB_LAYER_NOTHING, ECONNREFUSED, false);
	assert_int_equal(dbloop_heard(d), 0);
}

/* That says nothing about the server. */
static void test_no_descriptors_left(void **state)
{
	struct rlimit was, none;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	none.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &none);
	server.port = 1;
	open_within(500);
	setrlimit(RLIMIT_NOFILE, &was);
	failed(ERR_SYSTEM, DB_LAYER_NOTHING, EMFILE, false);
	assert_int_equal(err.code, EMFILE);
}

static void say_nothing(struct peer *p, int fd)
{
	peer_rest(p, fd);
}

static void late_at(int64_t ms, enum db_layer layer)
{
	int64_t from = clock_ms();

	open_within(ms);
	failed(ERR_UNREACHABLE, layer, 0, true);
	assert_in_range(told_at - from, ms, ms + SLACK);
	peer_stop(&peer);
}

static void test_silent(void **state)
{
	(void)state;
	serve(say_nothing);
	late_at(200, DB_LAYER_TCP);
	assert_int_equal(peer.connections, 1);
	assert_int_equal(peer.got_len, 0);
	assert_int_equal(dbloop_heard(d), 0);
}

static void drip(struct peer *p, int fd)
{
	unsigned char b[300];
	size_t n = peer_greeting(b, "10.11.6-MariaDB", 0, PEER_AUTOCOMMIT);

	for (size_t i = 0; i < n && !p->stop; i++) {
		peer_send(fd, b + i, 1);
		usleep(p->arg ? 300 : 30000);
	}
	if (p->arg) {
		char login[2000];

		peer_take(fd, login, sizeof(login));
		peer_ok(fd, 2);
	}
	peer_rest(p, fd);
}

/* Bytes that come one by one do not make the loop spin. */
static void test_drip(void **state)
{
	clock_t cpu = clock();

	(void)state;
	serve(drip);
	late_at(600, DB_LAYER_GREETING);
	assert_true(clock() - cpu < CLOCKS_PER_SEC / 4);
	assert_true(dbloop_heard(d) > 0);
}

static void test_slow_drip_is_a_login(void **state)
{
	(void)state;
	peer_start(&peer, drip, "whole");
	server.port = peer.port;
	log_in();
	assert_string_equal(dbloop_server_version(d), "10.11.6-MariaDB");
	dbloop_close(d);
	peer_stop(&peer);
}

static void garbage(struct peer *p, int fd)
{
	peer_send(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
	peer_rest(p, fd);
}

static void test_garbage(void **state)
{
	(void)state;
	serve(garbage);
	open_within(500);
	peer_stop(&peer);
	assert_true(err.kind == ERR_PARSE || err.kind == ERR_UNREACHABLE);
	assert_int_equal(dbloop_layer(d), DB_LAYER_TCP);
}

static void greet_and_wait(struct peer *p, int fd)
{
	peer_greet(fd);
	peer_rest(p, fd);
}

static void test_silent_after_the_greeting(void **state)
{
	(void)state;
	serve(greet_and_wait);
	late_at(200, DB_LAYER_GREETING);
	assert_true(peer.got_len > 30);
}

static void too_many(struct peer *p, int fd)
{
	peer_error(fd, 0, 1040, "Too many connections");
	peer_rest(p, fd);
}

static void wrong_password(struct peer *p, int fd)
{
	char login[2000];

	peer_greet(fd);
	peer_take(fd, login, sizeof(login));
	peer_error(fd, 2, 1045, "Access denied");
	peer_rest(p, fd);
}

static void test_turned_away(void **state)
{
	(void)state;
	for (int tls = DB_TLS_OFF; tls <= DB_TLS_REQUIRED; tls++) {
		server.tls = tls;
		serve(too_many);
		open_within(500);
		peer_stop(&peer);
		failed(ERR_REFUSED, DB_LAYER_GREETING, 0, false);
		assert_int_equal(err.code, 1040);
	}
	server.tls = DB_TLS_OFF;
	serve(wrong_password);
	open_within(500);
	peer_stop(&peer);
	failed(ERR_REFUSED, DB_LAYER_GREETING, 0, false);
	assert_int_equal(err.code, 1045);
}

/* What a server does before it ends the connection; `arg` says whether it resets it. */
static void hang_up(struct peer *p, int fd)
{
	if (p->arg)
		peer_reset(fd);
}

static void hang_up_in_greeting(struct peer *p, int fd)
{
	unsigned char b[300];

	peer_greeting(b, "10.11.6-MariaDB", 0, PEER_AUTOCOMMIT);
	peer_send(fd, b, 12);
	usleep(20000);
	hang_up(p, fd);
}

static void hang_up_after_greeting(struct peer *p, int fd)
{
	char login[2000];

	peer_greet(fd);
	peer_take(fd, login, sizeof(login));
	hang_up(p, fd);
}

static void test_cut_logins(void **state)
{
	static const struct {
		peer_serve_fn fn;
		enum db_layer layer;
	} cases[] = {
		{ hang_up, DB_LAYER_TCP },
		{ hang_up_in_greeting, DB_LAYER_GREETING },
		{ hang_up_after_greeting, DB_LAYER_GREETING },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases) * 2; i++) {
		const bool reset = i % 2;

		peer_start(&peer, cases[i / 2].fn, reset ? "reset" : NULL);
		server.port = peer.port;
		open_within(1000);
		peer_stop(&peer);
		assert_int_equal(err.kind, ERR_UNREACHABLE);
		assert_false(dbloop_was_late(d));
		assert_true(dbloop_errno(d) == 0 || dbloop_errno(d) == ECONNRESET);
		assert_int_equal(dbloop_layer(d), cases[i / 2].layer);
		assert_int_equal(peer.connections, 1);
	}
}

static void test_name_is_not_looked_up(void **state)
{
	(void)state;
	server.ip = "db1.example.org";
	open_within(500);
	assert_int_equal(err.kind, ERR_CONFIG);
}

static void test_no_tls_to_be_had(void **state)
{
	(void)state;
	server.tls = DB_TLS_REQUIRED;
	serve(greet_and_wait);
	open_within(500);
	peer_stop(&peer);
	failed(ERR_PRECOND, DB_LAYER_GREETING, 0, false);
	assert_int_equal(peer.got_len, 0); /* not a byte */
}

static void sha2_without_tls(struct peer *p, int fd)
{
	char login[2000];

	peer_greet(fd);
	peer_take(fd, login, sizeof(login));
	peer_send_packet(fd, 2,
	        "\xfe"
	        "caching_sha2_password\0abcdefghijklmnopqrst",
	        44);
	peer_take(fd, login, sizeof(login));
	peer_send_packet(fd, 4, "\1\4", 2); /* all of it, please */
	peer_rest(p, fd);
}

static void test_password_stays_secret_without_tls(void **state)
{
	(void)state;
	server.tls = DB_TLS_PREFERRED;
	serve(sha2_without_tls);
	late_at(300, DB_LAYER_GREETING);
	assert_int_equal(peer.got_len, 5); /* it wants the server's key first */
	assert_memory_equal(peer.got, "\1\0\0\5\2", 5);
}

static void offer_tls_and_stall(struct peer *p, int fd)
{
	unsigned char b[300];

	peer_send(fd, b, peer_greeting(b, "10.11.6-MariaDB", PEER_TLS, PEER_AUTOCOMMIT));
	peer_rest(p, fd);
}

static int turns;
static struct loop_timer *ticker;

static void tick(void *arg)
{
	(void)arg;
	turns++;
	loop_timer_move(ticker, clock_in(5));
}

/* The handshake is a worker's; the loop goes on, and the deadline is exact. */
static void test_tls_that_stalls(void **state)
{
	(void)state;
	server.tls = DB_TLS_PREFERRED;
	turns = 0;
	ticker = loop_timer_new(loop, clock_in(5), tick, NULL);
	serve(offer_tls_and_stall);
	late_at(300, DB_LAYER_GREETING);
	loop_timer_free(ticker);
	assert_true(turns > 20);
	assert_true(peer.got_len > 36); /* SSL request, and a hello */
}

static void test_close_while_a_worker_has_it(void **state)
{
	(void)state;
	server.tls = DB_TLS_REQUIRED;
	serve(offer_tls_and_stall);
	dbloop_open(d, &server, clock_in(400), on_open);
	run_for(100);
	dbloop_close(d);
	run_for(600);
	assert_int_equal(opened, 0);
	peer_stop(&peer);
}

static bool sleep_long(struct job *j, void *arg, struct err *e)
{
	(void)arg;
	(void)e;
	while (!job_is_abandoned(j))
		usleep(5000);
	return true;
}

/* That says nothing about the server. */
static void test_no_worker_is_free(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++)
		job_start(pool, job_new("busy", clock_in(700), sleep_long, NULL, NULL, NULL));
	server.tls = DB_TLS_PREFERRED;
	serve(offer_tls_and_stall);
	open_within(200);
	peer_stop(&peer);
	assert_int_equal(err.kind, ERR_SYSTEM);
	assert_int_equal(err.code, EAGAIN);
	run_for(700);
}

static void answer_all(struct peer *p, int fd)
{
	char sql[2000];

	if (!peer_log_in(fd))
		return;
	while (peer_take(fd, sql, sizeof(sql)) && sql[0] == 3) {
		if (str_is(sql + 1, "one"))
			peer_rows(fd, "v|1");
		else if (str_is(sql + 1, "bad"))
			peer_error(fd, 1, 1064, "no such word");
		else if (str_is(sql + 1, "silence"))
			peer_rest(p, fd);
		else if (str_is(sql + 1, "half"))
			peer_send(fd, "\1\0\0\1\1\x16\0\0\2\3def", 13);
		else if (str_is(sql + 1, "end"))
			return;
		else if (str_is(sql + 1, "reset")) {
			peer_reset(fd);
			return;
		} else if (str_is(sql + 1, "leave soon")) {
			peer_ok(fd, 1);
			usleep(50000);
			return;
		} else if (str_is(sql + 1, "say goodbye")) {
			peer_ok(fd, 1);
			usleep(50000);
			peer_error(fd, 0, 1927, "Connection was killed");
			return;
		} else
			peer_ok(fd, 1);
	}
}

static void test_statements(void **state)
{
	int64_t before = clock_ms();

	(void)state;
	serve(answer_all);
	log_in();
	assert_int_equal(dbloop_connection_id(d), 7);
	assert_int_equal(dbloop_layer(d), DB_LAYER_LOGIN);
	for (int i = 0; i < 3; i++) {
		ask("one", 1000);
		assert_int_equal(err.kind, ERR_NONE);
		assert_string_equal(value, "1");
		ask("bad", 1000);
		assert_int_equal(err.kind, ERR_SQL);
		assert_int_equal(err.code, 1064);
		ask("nothing", 1000);
		assert_int_equal(err.kind, ERR_NONE);
		assert_string_equal(value, "");
		assert_true(dbloop_is_open(d));
	}
	assert_in_range(dbloop_heard(d), before, clock_ms());
	dbloop_close(d);
	peer_stop(&peer);
}

static void test_late_statements(void **state)
{
	static const char *const sqls[] = { "silence", "half" };

	(void)state;
	serve(answer_all);
	for (size_t i = 0; i < ARRAY_LEN(sqls); i++) {
		int64_t from;

		log_in();
		from = clock_ms();
		ask(sqls[i], 150);
		failed(ERR_LOST, DB_LAYER_LOGIN, 0, true);
		assert_in_range(told_at - from, 150, 150 + SLACK);
		assert_in_range(dbloop_heard(d), from - 1000, from + 100);
		ask("one", 150);
		failed(ERR_UNREACHABLE, DB_LAYER_LOGIN, 0, false);
	}
	peer_stop(&peer);
}

static void test_hurried_statement(void **state)
{
	int64_t from;

	(void)state;
	serve(answer_all);
	log_in();
	from = clock_ms();
	dbloop_query(d, "silence", clock_in(5000), on_answer);
	dbloop_hurry(d, clock_in(100));
	dbloop_hurry(d, clock_in(3000));
	run_for(2000);
	failed(ERR_LOST, DB_LAYER_LOGIN, 0, true);
	assert_in_range(told_at - from, 100, 100 + SLACK);
	peer_stop(&peer);
}

static void test_cut_statements(void **state)
{
	(void)state;
	serve(answer_all);
	log_in();
	ask("end", 1000);
	failed(ERR_LOST, DB_LAYER_LOGIN, 0, false);
	log_in();
	ask("reset", 1000);
	failed(ERR_LOST, DB_LAYER_LOGIN, ECONNRESET, false);
	assert_int_equal(lost, 0);
	peer_stop(&peer);
}

static void unsettled(struct peer *p, int fd)
{
	unsigned char b[300];
	char text[2000];

	peer_send(fd, b, peer_greeting(b, "10.11.6-MariaDB", 0, 0));
	peer_take(fd, text, sizeof(text));
	peer_send_packet(fd, 2, "\0\0\0\0\0\0\0", 7); /* autocommit is off */
	peer_take(fd, text, sizeof(text));
	snprintf(p->got, sizeof(p->got), "%s", text + 1);
	if (p->arg)
		peer_error(fd, 1, 1193, "Unknown system variable");
	else
		peer_ok(fd, 1);
	while (peer_take(fd, text, sizeof(text)) && text[0] == 3)
		peer_ok(fd, 1);
}

/* Sessions have the settings that db_open() gives them. */
static void test_settings(void **state)
{
	(void)state;
	serve(unsettled);
	log_in();
	assert_string_equal(peer.got, "SET SESSION autocommit=1, sql_mode=''");
	ask("nothing", 1000);
	assert_int_equal(err.kind, ERR_NONE);
	dbloop_close(d);
	peer_stop(&peer);
	peer_start(&peer, unsettled, "refuse");
	server.port = peer.port;
	open_within(1000);
	assert_int_equal(err.kind, ERR_REFUSED);
	assert_int_equal(err.code, 1193);
	peer_stop(&peer);
}

static void test_lost_when_idle(void **state)
{
	static const struct {
		const char *sql;
		int code;
	} cases[] = { { "leave soon", 2013 }, { "say goodbye", 1927 } };

	(void)state;
	serve(answer_all);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t from;

		log_in();
		ask(cases[i].sql, 1000);
		assert_int_equal(err.kind, ERR_NONE);
		from = clock_ms();
		run_for(2000);
		assert_int_equal(lost, (int)i + 1);
		assert_in_range(told_at - from, 0, 50 + SLACK);
		failed(ERR_LOST, DB_LAYER_LOGIN, 0, false);
		assert_int_equal(err.code, cases[i].code);
	}
	peer_stop(&peer);
}

static void open_again(void *arg, const struct err *e)
{
	(void)arg;
	assert_int_equal(e->kind, ERR_LOST);
	lost++;
	dbloop_open(d, &server, clock_in(1000), on_open);
}

static void close_it(void *arg, const struct db_result *r, const struct err *e)
{
	(void)arg;
	assert_null(e);
	assert_int_equal(db_rows(r), 1);
	dbloop_close(d);
	assert_string_equal(db_get(r, 0, "v"), "1");
	answered++;
	loop_stop(loop);
}

static void free_it(void *arg, const struct err *e)
{
	(void)arg;
	(void)e;
	opened++;
	dbloop_free(TAKE(d));
	loop_stop(loop);
}

static void test_calls_from_callbacks(void **state)
{
	(void)state;
	serve(answer_all);
	dbloop_free(d);
	d = dbloop_new(loop, pool, open_again, NULL);
	log_in();
	ask("leave soon", 1000);
	run_for(2000);
	assert_int_equal(lost, 1);
	assert_int_equal(opened, 1);
	assert_true(dbloop_is_open(d));
	dbloop_query(d, "one", clock_in(1000), close_it);
	run_for(2000);
	assert_int_equal(answered, 1);
	assert_false(dbloop_is_open(d));
	dbloop_open(d, &server, clock_in(1000), free_it);
	run_for(2000);
	assert_int_equal(opened, 2);
	assert_null(d);
	d = dbloop_new(loop, pool, NULL, NULL);
	server.ip = "not an address";
	dbloop_open(d, &server, clock_in(1000), free_it);
	run_for(2000);
	assert_null(d);
	peer_stop(&peer);
}

static void test_closed_in_the_middle(void **state)
{
	(void)state;
	serve(answer_all);
	dbloop_open(d, &server, clock_in(1000), on_open);
	dbloop_close(d);
	log_in();
	dbloop_query(d, "silence", clock_in(300), on_answer);
	dbloop_close(d);
	log_in();
	dbloop_query(d, "half", clock_in(300), on_answer);
	run_for(50);
	dbloop_free(d);
	d = dbloop_new(loop, pool, NULL, NULL);
	run_for(500);
	assert_int_equal(opened + answered + lost, 0);
	peer_stop(&peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_nobody_listens),
		T(test_no_descriptors_left),
		T(test_silent),
		T(test_drip),
		T(test_slow_drip_is_a_login),
		T(test_garbage),
		T(test_silent_after_the_greeting),
		T(test_turned_away),
		T(test_cut_logins),
		T(test_name_is_not_looked_up),
		T(test_no_tls_to_be_had),
		T(test_password_stays_secret_without_tls),
		T(test_tls_that_stalls),
		T(test_close_while_a_worker_has_it),
		T(test_no_worker_is_free),
		T(test_statements),
		T(test_late_statements),
		T(test_hurried_statement),
		T(test_cut_statements),
		T(test_settings),
		T(test_lost_when_idle),
		T(test_calls_from_callbacks),
		T(test_closed_in_the_middle),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
