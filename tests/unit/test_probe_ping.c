/* SPDX-License-Identifier: BSD-2-Clause */
/* probe of the daemon: what is asked in which order, and what each outcome is called. */
#include "probe_impl.h"
#include "mysql_peer.h"
#include <errno.h>
#include "clock.h"
#include "dialect.h"
#include "job.h"
#include "loop.h"
#include "str.h"

enum { SLACK = 250, INTERVAL = 400 };

static struct loop *loop;
static struct job_pool *pool;
static struct probe *p;
static struct conf_server server;
static struct peer peer;
static struct probe_opts opts;

static struct probe_report last;
static struct probe_server last_server;
static int reports, cuts, facts_calls;
static struct err cut_err, facts_err;
static struct probe_facts facts;

/* What the server does with statements that begin with a text; the first row that fits. */
struct rule {
	const char *sql;
	const char *rows; /* NULL: OK */
	int error;
	enum { ANSWER, SILENCE, HANG_UP } how;
};
static const struct rule *_Atomic rules;
static char asked[8000]; /* all statements, with ; behind each */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void serve(struct peer *s, int fd)
{
	char sql[4000];

	if (!peer_log_in(fd))
		return;
	while (peer_take(fd, sql, sizeof(sql)) && sql[0] == 3) {
		const struct rule *r = rules;

		pthread_mutex_lock(&lock);
		snprintf(asked + strlen(asked), sizeof(asked) - strlen(asked), "%.40s;", sql + 1);
		pthread_mutex_unlock(&lock);
		while (r->sql && !str_starts(sql + 1, r->sql))
			r++;
		if (r->how == HANG_UP)
			return;
		if (r->how == SILENCE)
			peer_rest(s, fd);
		else if (r->error)
			peer_error(fd, 1, r->error, "so it is");
		else if (r->rows)
			peer_rows(fd, r->rows);
		else
			peer_ok(fd, 1);
	}
}

#define BASE                                                                                       \
	{ .sql = "SELECT 1", .rows = "1|1" }, { .sql = "SELECT GET_LOCK", .rows = "v|1" },         \
	        { .sql = "SELECT @@", .rows = "server_id,read_only,is_super|7,0,1" },              \
	        { .sql = "SHOW GLOBAL STATUS LIKE", .rows = "Variable_name,Value|Uptime,100" },    \
	{                                                                                          \
		.sql = NULL                                                                        \
	}

static const struct rule good[] = { BASE };

static void on_report(void *arg, const struct probe_report *r)
{
	(void)arg;
	reports++;
	last = *r;
	if (r->server)
		last_server = *r->server;
	loop_stop(loop);
}

static void on_cut(void *arg, const struct err *e, int64_t at)
{
	(void)arg;
	cuts++;
	cut_err = *e;
	assert_true(at > 0);
	loop_stop(loop);
}

static void on_facts(void *arg, const struct probe_facts *f, const struct err *e)
{
	(void)arg;
	assert_true(!f == !!e);
	facts_calls++;
	if (f)
		facts = *f;
	else
		facts_err = *e;
	loop_stop(loop);
}

static int setup(void **state)
{
	(void)state;
	loop = loop_new();
	pool = job_pool_new(loop, 2);
	rules = good;
	asked[0] = '\0';
	reports = cuts = facts_calls = 0;
	peer_start(&peer, serve, NULL);
	server = (struct conf_server){ .hostname = "db1",
		.ip = "127.0.0.1",
		.hostinfo = "db1(127.0.0.1)",
		.port = peer.port,
		.user = "mha" };
	opts = (struct probe_opts){ .ping_type = CONF_PING_SELECT,
		.interval_ms = INTERVAL,
		.take_lock = true,
		.report = on_report,
		.cut = on_cut };
	p = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	probe_free(p);
	job_pool_free(pool);
	peer_stop(&peer);
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

static void start(enum conf_ping_type type, const struct rule *r)
{
	opts.ping_type = type;
	rules = r;
	p = probe_new(loop, pool, &server, &opts);
}

static void ping_within(int64_t ms)
{
	int before = reports;

	pthread_mutex_lock(&lock);
	asked[0] = '\0';
	pthread_mutex_unlock(&lock);
	probe_ping(p, clock_in(ms));
	assert_int_equal(reports, before);
	assert_true(probe_is_busy(p));
	run_for(ms + 2000);
	assert_int_equal(reports, before + 1);
	assert_false(probe_is_busy(p));
}

static void ended(enum probe_how how, enum probe_layer layer, int code)
{
	if (last.how != how)
		print_message("how %s, %s\n", probe_how_name(last.how), last.err.text);
	assert_int_equal(last.how, how);
	assert_int_equal(last.layer, layer);
	assert_int_equal(last.ok, how == PROBE_FINE);
	assert_int_equal(last.err.kind == ERR_NONE, how == PROBE_FINE);
	assert_int_equal(last.err.code, code);
	assert_true(last.begun <= last.ended);
}

static void test_select(void **state)
{
	(void)state;
	start(CONF_PING_SELECT, good);
	ping_within(2000);
	ended(PROBE_FINE, PROBE_READ, 0);
	assert_string_equal(asked, "SET SESSION wait_timeout=5;"
	                           "SELECT GET_LOCK('MHA_Master_High_Availab;"
	                           "SELECT 1;"
	                           "SELECT @@GLOBAL.server_id AS server_id, ;"
	                           "SHOW GLOBAL STATUS LIKE 'Uptime';");
	assert_true(last.connected && last.lock_held && last.new_server);
	assert_int_equal(last.connection_id, 7);
	assert_int_equal(last_server.server_id, 7);
	assert_string_equal(last_server.version, "10.11.6-MariaDB");
	assert_string_equal(last_server.uuid, "");
	assert_int_equal(last_server.read_only, PROBE_NO);
	assert_int_equal(last_server.super_read_only, PROBE_UNKNOWN);
	assert_int_equal(last_server.is_super, PROBE_YES);
	assert_in_range(last_server.started, clock_ms() - 102000, clock_ms() - 100000);
	ping_within(2000);
	ended(PROBE_FINE, PROBE_READ, 0);
	assert_string_equal(asked, "SELECT 1;");
	assert_false(last.connected || last.new_server);
	assert_true(last.lock_held && last.server);
	assert_int_equal(peer.connections, 1);
	assert_in_range(last.heard, last.begun, clock_ms());
}

static void test_wait_timeout_is_twice_the_interval(void **state)
{
	(void)state;
	opts.interval_ms = 10100;
	start(CONF_PING_SELECT, good);
	ping_within(2000);
	assert_true(str_starts(asked, "SET SESSION wait_timeout=21;"));
}

static void test_lock_is_given_back_and_taken_again(void **state)
{
	(void)state;
	start(CONF_PING_SELECT, good);
	ping_within(2000);
	probe_want_lock(p, false);
	ping_within(2000);
	assert_string_equal(asked, "DO RELEASE_LOCK('MHA_Master_High_Availab;SELECT 1;");
	assert_false(last.lock_held || probe_has_lock(p));
	probe_want_lock(p, true);
	ping_within(2000);
	assert_string_equal(asked, "SELECT GET_LOCK('MHA_Master_High_Availab;SELECT 1;");
	assert_true(last.lock_held && probe_has_lock(p));
}

static const struct rule locked[] = {
	{ .sql = "SELECT GET_LOCK", .rows = "v|0" },
	{ .sql = "SELECT IS_USED_LOCK", .rows = "id,who|55,root@10.0.0.9:41234" },
	BASE,
};
static const struct rule locked_by_us[] = {
	{ .sql = "SELECT GET_LOCK", .rows = "v|0" },
	{ .sql = "SELECT IS_USED_LOCK", .rows = "id,who|7,NULL" },
	BASE,
};
static const struct rule lock_fails[] = { { .sql = "SELECT GET_LOCK", .rows = "v|NULL" }, BASE };
static const struct rule holder_is_secret[] = {
	{ .sql = "SELECT GET_LOCK", .rows = "v|0" },
	{ .sql = "SELECT IS_USED_LOCK", .error = 1227 },
	BASE,
};

static void test_locked(void **state)
{
	(void)state;
	start(CONF_PING_SELECT, locked);
	ping_within(2000);
	ended(PROBE_LOCKED, PROBE_READ, 0);
	assert_string_equal(last.holder, "root@10.0.0.9 connection 55");
	assert_false(last.lock_is_ours || last.lock_held);
	assert_non_null(strstr(last.err.text, last.holder));
	assert_true(last.new_server);
	rules = locked_by_us;
	ping_within(2000);
	ended(PROBE_LOCKED, PROBE_READ, 0);
	assert_string_equal(last.holder, "connection 7");
	assert_true(last.lock_is_ours);
	rules = holder_is_secret;
	ping_within(2000);
	ended(PROBE_LOCKED, PROBE_READ, 0);
	rules = lock_fails;
	ping_within(2000);
	ended(PROBE_ERROR, PROBE_READ, 0);
	rules = good;
	ping_within(2000);
	ended(PROBE_FINE, PROBE_READ, 0);
	assert_true(last.lock_held);
	assert_int_equal(peer.connections, 1);
}

static _Atomic int inserts;

static void serve_missing_table(struct peer *s, int fd)
{
	char sql[4000];

	(void)s;
	if (!peer_log_in(fd))
		return;
	while (peer_take(fd, sql, sizeof(sql)) && sql[0] == 3) {
		if (str_is(sql + 1, "SELECT 1"))
			peer_rows(fd, "1|1");
		else if (str_starts(sql + 1, "INSERT INTO infra.chk_masterha") && !inserts++)
			peer_error(fd, 1, 1146, "no such table");
		else
			peer_ok(fd, 1);
		pthread_mutex_lock(&lock);
		snprintf(asked + strlen(asked), sizeof(asked) - strlen(asked), "%.30s;", sql + 1);
		pthread_mutex_unlock(&lock);
	}
}

static void test_insert_makes_its_table(void **state)
{
	struct peer other;

	(void)state;
	inserts = 0;
	peer_start(&other, serve_missing_table, NULL);
	server.port = other.port;
	opts.take_lock = false;
	start(CONF_PING_INSERT, good);
	ping_within(2000);
	ended(PROBE_FINE, PROBE_WRITE, 0);
	assert_non_null(strstr(asked, "SELECT 1;INSERT INTO infra.chk_masterha;"
	                              "CREATE DATABASE IF NOT EXISTS ;"
	                              "CREATE TABLE IF NOT EXISTS inf;"
	                              "INSERT INTO infra.chk_masterha;"));
	probe_close(p);
	peer_stop(&other);
}

static const struct rule read_only[] = { { .sql = "INSERT", .error = 1290 }, BASE };
static const struct rule disk_full[] = { { .sql = "INSERT", .error = 1021 }, BASE };
static const struct rule no_table_ever[] = { { .sql = "INSERT", .error = 1146 },
	{ .sql = "CREATE", .error = 1044 }, BASE };
static const struct rule stuck[] = { { .sql = "INSERT", .how = SILENCE }, BASE };
static const struct rule hung[] = { { .sql = "SELECT 1", .how = SILENCE }, BASE };
static const struct rule full[] = { { .sql = "SELECT 1", .error = 1203 }, BASE };

static void test_failing_statements(void **state)
{
	static const struct {
		const struct rule *rules;
		enum probe_how how;
		enum probe_layer layer;
		int code;
		bool stays;
	} cases[] = {
		{ read_only, PROBE_ERROR, PROBE_READ, 1290, true },
		{ disk_full, PROBE_ERROR, PROBE_READ, 1021, true },
		{ no_table_ever, PROBE_ALIVE, PROBE_READ, 1044, true },
		{ full, PROBE_ALIVE, PROBE_LOGIN, 1203, true },
		{ stuck, PROBE_LATE, PROBE_READ, 2013, false },
		{ hung, PROBE_LATE, PROBE_LOGIN, 2013, false },
	};

	(void)state;
	opts.take_lock = false;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t from = clock_ms();

		start(CONF_PING_INSERT, cases[i].rules);
		ping_within(200);
		ended(cases[i].how, cases[i].layer, cases[i].code);
		assert_int_equal(probe_is_connected(p), cases[i].stays);
		assert_int_equal(last.connection_id, cases[i].stays ? 7 : 0);
		if (last.how == PROBE_LATE)
			assert_in_range(last.ended - from, 200, 200 + SLACK);
		assert_int_equal(cuts, 0);
		probe_free(TAKE(p));
	}
}

static void test_connect(void **state)
{
	(void)state;
	start(CONF_PING_CONNECT, good);
	ping_within(2000);
	ended(PROBE_FINE, PROBE_READ, 0);
	assert_true(last.lock_held && probe_is_connected(p));
	run_for(INTERVAL / 2 + 100); /* short intervals: half of it */
	assert_false(probe_is_connected(p) || probe_has_lock(p));
	ping_within(2000);
	ended(PROBE_FINE, PROBE_READ, 0);
	assert_true(last.connected && last.lock_held);
	ping_within(2000);
	assert_true(last.connected);
	assert_int_equal(peer.connections, 3);
	assert_int_equal(cuts, 0);
}

static void test_connect_is_held_as_mha_does(void **state)
{
	(void)state;
	opts.interval_ms = 3000;
	start(CONF_PING_CONNECT, good);
	ping_within(2000);
	run_for(1300);
	assert_true(probe_is_connected(p));
	run_for(350);
	assert_false(probe_is_connected(p));
}

static void test_nobody_listens(void **state)
{
	int fd = peer_door(&server.port);

	(void)state;
	close(fd);
	start(CONF_PING_SELECT, good);
	ping_within(500);
	ended(PROBE_REFUSED, PROBE_NOTHING, 2002);
	assert_int_equal(last.heard, 0);
	assert_null(last.server);
}

static const struct rule hangs_up[] = { { .sql = "SELECT 1", .how = HANG_UP }, BASE };

static void test_cut(void **state)
{
	(void)state;
	start(CONF_PING_SELECT, hangs_up);
	ping_within(1000);
	ended(PROBE_CUT, PROBE_LOGIN, 2013);
	assert_false(last.lock_held);
	rules = good;
	ping_within(1000);
	ended(PROBE_FINE, PROBE_READ, 0);
	assert_true(last.connected);
	assert_int_equal(cuts, 0);
	shutdown(peer.open_fd, SHUT_RDWR);
	run_for(1000);
	assert_int_equal(cuts, 1);
	assert_int_equal(cut_err.kind, ERR_LOST);
	assert_false(probe_is_connected(p) || probe_has_lock(p));
	ping_within(1000);
	ended(PROBE_FINE, PROBE_READ, 0);
	assert_true(last.connected && last.lock_held && last.new_server);
}

static const struct rule no_identity[] = { { .sql = "SELECT @@", .error = 1142 }, BASE };
static const struct rule identity_cut[] = { { .sql = "SHOW GLOBAL STATUS", .how = HANG_UP }, BASE };
static const struct rule identity_late[] = { { .sql = "SELECT @@", .how = SILENCE }, BASE };

/* Who the server is costs no ping. */
static void test_identity_fails(void **state)
{
	(void)state;
	start(CONF_PING_SELECT, no_identity);
	ping_within(1000);
	ended(PROBE_FINE, PROBE_READ, 0);
	assert_false(last.new_server);
	assert_true(probe_is_connected(p));
	probe_close(p);
	rules = identity_cut;
	ping_within(1000);
	ended(PROBE_FINE, PROBE_READ, 0);
	assert_int_equal(last.connection_id, 0);
	assert_int_equal(cuts, 0);
	run_for(1000);
	assert_int_equal(cuts, 1);
	rules = identity_late;
	ping_within(200);
	ended(PROBE_FINE, PROBE_READ, 0);
	assert_in_range(last.ended - last.begun, 0, 100 + SLACK);
	run_for(100);
	assert_int_equal(cuts, 1);
}

static const struct rule semisync[] = {
	{ .sql = "SHOW GLOBAL STATUS WHERE",
	        .rows = "Variable_name,Value|Rpl_semi_sync_master_status,ON|"
	                "Rpl_semi_sync_master_clients,2|Rpl_semi_sync_master_wait_sessions,3" },
	{ .sql = "SHOW GLOBAL VARIABLES WHERE",
	        .rows = "Variable_name,Value|rpl_semi_sync_master_enabled,ON|"
	                "rpl_semi_sync_master_timeout,10000" },
	{ .sql = "SELECT COUNT(*)", .rows = "v|4" },
	BASE,
};
static const struct rule no_semisync[] = {
	{ .sql = "SHOW GLOBAL STATUS WHERE", .rows = "Variable_name,Value" },
	{ .sql = "SHOW GLOBAL VARIABLES WHERE", .rows = "Variable_name,Value" },
	BASE,
};

static void test_facts(void **state)
{
	(void)state;
	start(CONF_PING_SELECT, semisync);
	assert_false(probe_facts(p, clock_in(1000), on_facts));
	ping_within(1000);
	assert_true(probe_facts(p, clock_in(1000), on_facts));
	assert_false(probe_facts(p, clock_in(1000), on_facts));
	run_for(1000);
	assert_int_equal(facts_calls, 1);
	assert_int_equal(facts.semisync_enabled, PROBE_YES);
	assert_int_equal(facts.semisync_on, PROBE_YES);
	assert_int_equal(facts.semisync_clients, 2);
	assert_int_equal(facts.semisync_wait_sessions, 3);
	assert_int_equal(facts.semisync_waiting_threads, 4);
	assert_int_equal(facts.semisync_wait_count, 1);
	assert_int_equal(facts.semisync_timeout_ms, 10000);
	rules = no_semisync;
	assert_true(probe_facts(p, clock_in(1000), on_facts));
	run_for(1000);
	assert_int_equal(facts_calls, 2);
	assert_int_equal(facts.semisync_enabled, PROBE_UNKNOWN);
	assert_int_equal(facts.semisync_waiting_threads, -1);
	assert_int_equal(facts.semisync_clients, -1);
	assert_int_equal(facts.semisync_wait_count, -1);
}

static const struct rule slow_facts[] = { { .sql = "SHOW GLOBAL STATUS WHERE", .how = SILENCE },
	BASE };

static void test_facts_that_do_not_come(void **state)
{
	int64_t from;

	(void)state;
	start(CONF_PING_SELECT, slow_facts);
	ping_within(1000);
	assert_true(probe_facts(p, clock_in(150), on_facts));
	run_for(1000);
	assert_int_equal(facts_calls, 1);
	assert_int_equal(facts_err.kind, ERR_LOST);
	assert_false(probe_is_connected(p));
	/* A ping does not wait longer for them than it may itself. */
	ping_within(1000);
	assert_true(probe_facts(p, clock_in(5000), on_facts));
	from = clock_ms();
	ping_within(150);
	ended(PROBE_LATE, PROBE_LOGIN, 2013);
	assert_in_range(last.ended - from, 150, 150 + SLACK);
	assert_int_equal(facts_calls, 1);
}

static void test_ping_behind_facts(void **state)
{
	(void)state;
	start(CONF_PING_SELECT, semisync);
	ping_within(1000);
	assert_true(probe_facts(p, clock_in(1000), on_facts));
	ping_within(1000);
	ended(PROBE_FINE, PROBE_READ, 0);
	assert_false(last.connected);
	assert_int_equal(facts_calls, 0);
	run_for(50);
	assert_int_equal(facts_calls, 0);
	assert_int_equal(peer.connections, 1);
}

static void free_in_report(void *arg, const struct probe_report *r)
{
	(void)arg;
	assert_true(r->ok);
	reports++;
	probe_free(TAKE(p));
	loop_stop(loop);
}

static void test_freed_in_the_middle(void **state)
{
	(void)state;
	opts.report = free_in_report;
	start(CONF_PING_SELECT, identity_cut);
	probe_ping(p, clock_in(1000));
	run_for(1000);
	assert_int_equal(reports, 1);
	run_for(50);
	assert_int_equal(cuts, 0);
	start(CONF_PING_CONNECT, hung);
	probe_ping(p, clock_in(1000));
	run_for(50);
	probe_close(p);
	assert_false(probe_is_busy(p));
	run_for(50);
	assert_int_equal(reports, 1);
}

static void test_how(void **state)
{
	static const struct {
		enum err_kind kind;
		int code;
		bool late;
		int sys;
		enum db_layer layer;
		enum probe_how how;
	} cases[] = {
		{ ERR_NONE, 0, false, 0, DB_LAYER_LOGIN, PROBE_FINE },
		{ ERR_UNREACHABLE, 2002, false, ECONNREFUSED, DB_LAYER_NOTHING, PROBE_REFUSED },
		{ ERR_UNREACHABLE, 2002, false, EHOSTUNREACH, DB_LAYER_NOTHING, PROBE_UNREACHABLE },
		{ ERR_UNREACHABLE, 2002, false, ENETUNREACH, DB_LAYER_NOTHING, PROBE_UNREACHABLE },
		{ ERR_UNREACHABLE, 2002, false, ETIMEDOUT, DB_LAYER_NOTHING, PROBE_LATE },
		{ ERR_UNREACHABLE, 2013, true, 0, DB_LAYER_TCP, PROBE_LATE },
		{ ERR_UNREACHABLE, 2013, false, 0, DB_LAYER_TCP, PROBE_CUT },
		{ ERR_LOST, 2013, false, ECONNRESET, DB_LAYER_LOGIN, PROBE_CUT },
		{ ERR_LOST, 2013, true, 0, DB_LAYER_LOGIN, PROBE_LATE },
		{ ERR_REFUSED, 1045, false, 0, DB_LAYER_GREETING, PROBE_ALIVE },
		{ ERR_REFUSED, 1053, false, 0, DB_LAYER_GREETING, PROBE_ERROR },
		{ ERR_SQL, 1836, false, 0, DB_LAYER_LOGIN, PROBE_ERROR },
		{ ERR_PRECOND, 2026, false, 0, DB_LAYER_GREETING, PROBE_ERROR },
		{ ERR_PARSE, 2012, false, 0, DB_LAYER_TCP, PROBE_ERROR },
		{ ERR_SYSTEM, EMFILE, false, EMFILE, DB_LAYER_NOTHING, PROBE_OURS },
		{ ERR_SYSTEM, EAGAIN, false, 0, DB_LAYER_GREETING, PROBE_OURS },
		{ ERR_CONFIG, 0, false, 0, DB_LAYER_NOTHING, PROBE_OURS },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = { .kind = cases[i].kind, .code = cases[i].code };

		assert_int_equal(probe_how_of(&e, cases[i].late, cases[i].sys, cases[i].layer),
		        cases[i].how);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_select),
		T(test_wait_timeout_is_twice_the_interval),
		T(test_lock_is_given_back_and_taken_again),
		T(test_locked),
		T(test_insert_makes_its_table),
		T(test_failing_statements),
		T(test_connect),
		T(test_connect_is_held_as_mha_does),
		T(test_nobody_listens),
		T(test_cut),
		T(test_identity_fails),
		T(test_facts),
		T(test_facts_that_do_not_come),
		T(test_ping_behind_facts),
		T(test_freed_in_the_middle),
#undef T
		cmocka_unit_test(test_how),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
