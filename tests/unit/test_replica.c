/* SPDX-License-Identifier: BSD-2-Clause */
/* replica: what a poll reads on each family, and when something of the source is known to have arrived. */
#include "replica.h"
#include "mysql_peer.h"
#include "clock.h"
#include "job.h"
#include "loop.h"
#include "str.h"

enum { POLL = 60000 };

static struct loop *loop;
static struct job_pool *pool;
static struct replica *r;
static struct conf_server server;
static struct peer peer;
static int changes;

/* The server answers with these; NULL: silence. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *version, *status, *heartbeats;
static _Atomic int status_error;
static _Atomic bool hangs_up;

static void serve(struct peer *p, int fd)
{
	unsigned char b[300];
	char sql[4000];

	peer_send(fd, b, peer_greeting(b, version, 0, PEER_AUTOCOMMIT));
	if (!peer_take(fd, sql, sizeof(sql)))
		return;
	peer_ok(fd, 2);
	while (peer_take(fd, sql, sizeof(sql)) && sql[0] == 3) {
		const char *rows;

		pthread_mutex_lock(&lock);
		rows = strstr(sql, "HEARTBEATS") || strstr(sql, "heartbeats") ? heartbeats : status;
		pthread_mutex_unlock(&lock);
		if (status_error)
			peer_error(fd, 1, status_error, "no");
		else if (!rows)
			peer_rest(p, fd);
		else
			peer_rows(fd, rows);
		if (hangs_up)
			return;
	}
}

static void on_change(void *arg, const struct replica *which)
{
	(void)arg;
	assert_ptr_equal(which, r);
	changes++;
	loop_stop(loop);
}

static int setup(void **state)
{
	(void)state;
	loop = loop_new();
	pool = job_pool_new(loop, 2);
	changes = 0;
	status_error = 0;
	hangs_up = false;
	peer_start(&peer, serve, NULL);
	server = (struct conf_server){ .hostname = "db2",
		.ip = "127.0.0.1",
		.hostinfo = "db2(127.0.0.1)",
		.port = peer.port,
		.user = "mha" };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	replica_free(r);
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

static void start(const char *v, int64_t poll_ms)
{
	struct replica_opts o = { .poll_ms = poll_ms, .timeout_ms = 300, .changed = on_change };

	version = v;
	r = replica_new(loop, pool, &server, &o);
}

static void answer(const char *rows, const char *more)
{
	pthread_mutex_lock(&lock);
	status = rows;
	heartbeats = more;
	pthread_mutex_unlock(&lock);
}

static const struct replica_view *poll(void)
{
	int before = changes;

	replica_poll_now(r);
	run_for(3000);
	assert_int_equal(changes, before + 1);
	return replica_view(r);
}

#define MARIADB                                                                                    \
	"Connection_name,Master_Host,Master_Port,Slave_IO_Running,Slave_SQL_Running,"              \
	"Master_Log_File,Read_Master_Log_Pos,Relay_Master_Log_File,Exec_Master_Log_Pos,"           \
	"Last_IO_Errno,Last_IO_Error,Seconds_Behind_Master,Gtid_IO_Pos,Gtid_Slave_Pos,"            \
	"Slave_heartbeat_period,Slave_received_heartbeats"

static const char *mariadb(const char *host, const char *io, const char *file, int pos, int beats)
{
	static char row[4000];

	snprintf(row, sizeof(row),
	        MARIADB "|'',%s,3306,%s,Yes,%s,%d,%s,4,0,'',NULL,0-1-9,0-1-8,1.500,%d", host, io,
	        file, pos, file, beats);
	return row;
}

static void test_mariadb(void **state)
{
	const struct replica_view *v;

	(void)state;
	answer(mariadb("10.0.0.1", "Yes", "bin.000009", 500, 3), NULL);
	start("10.11.6-MariaDB", POLL);
	v = replica_view(r);
	assert_false(v->up);
	assert_int_equal(v->polls + v->asked + v->silent_since, 0);
	v = poll();
	assert_true(v->up);
	assert_string_equal(v->version, "10.11.6-MariaDB");
	assert_int_equal(v->n_channels, 1);
	assert_string_equal(v->channels[0].name, "");
	assert_string_equal(v->channels[0].source_host, "10.0.0.1");
	assert_int_equal(v->channels[0].source_port, 3306);
	assert_string_equal(v->channels[0].source_uuid, "");
	assert_int_equal(v->channels[0].io_running, REPLICA_IO_YES);
	assert_true(v->channels[0].sql_running);
	assert_string_equal(v->channels[0].read_file, "bin.000009");
	assert_int_equal(v->channels[0].read_pos, 500);
	assert_string_equal(v->channels[0].received_gtids, "0-1-9");
	assert_string_equal(v->channels[0].executed_gtids, "0-1-8");
	assert_int_equal(v->channels[0].seconds_behind, -1);
	assert_int_equal(v->channels[0].heartbeat_ms, 1500);
	assert_int_equal(v->channels[0].heartbeats, 3);
	assert_int_equal(v->channels[0].heard_at, 0);
	assert_true(v->asked > 0 && v->answered >= v->asked);
	assert_int_equal(peer.connections, 1);
}

/* Only what moves forward, from the same source, to a running receiver. */
static void test_what_counts_as_heard(void **state)
{
	static const struct {
		const char *host, *io, *file;
		int pos, beats;
		bool heard;
	} steps[] = {
		{ "10.0.0.1", "Yes", "bin.000009", 500, 3, false }, /* the first poll */
		{ "10.0.0.1", "Yes", "bin.000009", 500, 3, false },
		{ "10.0.0.1", "Yes", "bin.000009", 501, 3, true },
		{ "10.0.0.1", "Yes", "bin.000009", 501, 3, false },
		{ "10.0.0.1", "Yes", "bin.000009", 501, 4, true },
		{ "10.0.0.1", "Yes", "bin.000010", 4, 4, true },
		{ "10.0.0.1", "Yes", "bin.000009", 900, 4, false }, /* backwards */
		{ "10.0.0.1", "Yes", "bin.100000", 4, 4, true },
		{ "10.0.0.1", "Connecting", "bin.100000", 4, 4, false },
		{ "10.0.0.1", "Connecting", "bin.100000", 900, 4, false }, /* a person did that */
		{ "10.0.0.1", "Yes", "bin.100000", 900, 0, false },        /* counted anew */
		{ "10.0.0.1", "Yes", "bin.100000", 900, 1, true },
		{ "10.0.0.2", "Yes", "bin.100000", 999, 9, false }, /* another source */
		{ "10.0.0.2", "Yes", "bin.100000", 999, 10, true },
		{ "10.0.0.2", "Yes", "other.200000", 999, 10, false },
	};
	int64_t asked = 0;

	(void)state;
	start("10.11.6-MariaDB", POLL);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		const struct replica_channel *c;
		int64_t before = i ? replica_view(r)->channels[0].heard_at : 0;

		usleep(3000);
		answer(mariadb(steps[i].host, steps[i].io, steps[i].file, steps[i].pos,
		               steps[i].beats),
		        NULL);
		c = &poll()->channels[0];
		if (steps[i].heard) {
			assert_true(c->heard_at > before);
			assert_in_range(c->between, asked, asked + 100);
			assert_true(c->between < replica_view(r)->asked);
			assert_in_range(c->heard_at, replica_view(r)->asked, clock_ms());
		} else {
			assert_true(c->heard_at == before || c->heard_at == 0);
		}
		asked = replica_view(r)->asked;
	}
}

#define MYSQL97                                                                                    \
	"Channel_Name,Source_Host,Source_Port,Source_UUID,Replica_IO_Running,"                     \
	"Replica_SQL_Running,Source_Log_File,Read_Source_Log_Pos,Relay_Source_Log_File,"           \
	"Exec_Source_Log_Pos,Last_IO_Errno,Last_IO_Error,Seconds_Behind_Source,"                   \
	"Retrieved_Gtid_Set,Executed_Gtid_Set"

static void test_channels(void **state)
{
	const char *two = MYSQL97
	        "|'',10.0.0.1,3306,uuid-1,Yes,Yes,b.1,4,b.1,4,0,'',0,u:1,u:1-2"
	        "|ch2,10.0.0.2,3307,uuid-2,Connecting,No,b.7,9,b.7,9,2003,refused,NULL,'',u:1-2";
	const struct replica_view *v;

	(void)state;
	start("9.7.1", POLL);
	answer(two,
	        "CHANNEL_NAME,COUNT_RECEIVED_HEARTBEATS,HEARTBEAT_INTERVAL|'',5,30.000|ch2,0,2.5");
	v = poll();
	assert_true(v->up);
	assert_int_equal(v->n_channels, 2);
	assert_int_equal(v->channels[0].heartbeats, 5);
	assert_int_equal(v->channels[0].heartbeat_ms, 30000);
	assert_string_equal(v->channels[0].executed_gtids, "u:1-2");
	assert_string_equal(v->channels[1].name, "ch2");
	assert_string_equal(v->channels[1].source_uuid, "uuid-2");
	assert_int_equal(v->channels[1].io_errno, 2003);
	assert_string_equal(v->channels[1].io_error, "refused");
	assert_in_range(v->channels[1].io_error_seen, v->asked, clock_ms());
	assert_int_equal(v->channels[0].io_error_seen, 0);
	assert_int_equal(v->channels[1].heartbeat_ms, 2500);
	answer(two,
	        "CHANNEL_NAME,COUNT_RECEIVED_HEARTBEATS,HEARTBEAT_INTERVAL|'',5,30.000|ch2,1,2.5");
	v = poll();
	assert_int_equal(v->channels[0].heard_at, 0);
	assert_true(v->channels[1].heard_at > 0);
	answer(MYSQL97 "|'',10.0.0.1,3306,uuid-1,Yes,Yes,b.1,4,b.1,4,0,'',0,u:1,u:1-2",
	        "CHANNEL_NAME,COUNT_RECEIVED_HEARTBEATS,HEARTBEAT_INTERVAL|'',9,30.000");
	v = poll();
	assert_int_equal(v->n_channels, 1);
	assert_int_equal(v->channels[0].heard_at, 0);
	answer(MYSQL97, "CHANNEL_NAME,COUNT_RECEIVED_HEARTBEATS,HEARTBEAT_INTERVAL");
	v = poll();
	assert_true(v->up);
	assert_int_equal(v->n_channels, 0);
}

#define MYSQL56                                                                                    \
	"Master_Host,Master_Port,Slave_IO_Running,Slave_SQL_Running,Master_Log_File,"              \
	"Read_Master_Log_Pos,Relay_Master_Log_File,Exec_Master_Log_Pos"                            \
	"|10.0.0.1,3306,Yes,Yes,b.1,4,b.1,4"

static void test_mysql56(void **state)
{
	const struct replica_view *v;

	(void)state;
	start("5.6.24-log", POLL);
	answer(MYSQL56, "Variable_name,Value|Slave_heartbeat_period,1.250|"
	                "Slave_received_heartbeats,7");
	v = poll();
	assert_int_equal(v->channels[0].heartbeats, 7);
	assert_int_equal(v->channels[0].heartbeat_ms, 1250);
	answer(MYSQL56, "Variable_name,Value");
	v = poll();
	assert_true(v->up);
	assert_int_equal(v->channels[0].heartbeats, -1);
	assert_int_equal(v->channels[0].heard_at, 0);
}

static void test_silence(void **state)
{
	const struct replica_view *v;
	int64_t since;

	(void)state;
	start("10.11.6-MariaDB", POLL);
	answer(mariadb("10.0.0.1", "Yes", "bin.000009", 500, 3), NULL);
	poll();
	answer(NULL, NULL);
	since = clock_ms();
	v = poll();
	assert_false(v->up || v->refuses);
	assert_int_equal(v->err.kind, ERR_LOST);
	assert_in_range(v->silent_since, since, since + 100);
	assert_int_equal(v->n_channels, 1); /* as it was */
	assert_true(v->answered <= since);
	since = v->silent_since;
	v = poll();
	assert_int_equal(v->silent_since, since);
	answer(mariadb("10.0.0.1", "Yes", "bin.000009", 500, 3), NULL);
	v = poll();
	assert_true(v->up);
	assert_int_equal(v->silent_since, 0);
	assert_int_equal(v->err.kind, ERR_NONE);
}

static void test_refusals(void **state)
{
	const struct replica_view *v;

	(void)state;
	start("10.11.6-MariaDB", POLL);
	status_error = 1227;
	v = poll();
	assert_false(v->up);
	assert_true(v->refuses);
	assert_int_equal(v->err.code, 1227);
	assert_int_equal(v->silent_since, 0);
}

static void test_schedule(void **state)
{
	(void)state;
	start("10.11.6-MariaDB", 100);
	answer(mariadb("10.0.0.1", "Yes", "bin.000009", 500, 3), NULL);
	for (int i = 0; i < 4; i++)
		run_for(1000);
	assert_int_equal(changes, 4);
	assert_int_equal(replica_view(r)->polls, 4);
	replica_set_poll(r, POLL);
	run_for(250);
	assert_int_equal(changes, 4);
	/* Asked for in the middle of one: another one follows it. */
	replica_poll_now(r);
	replica_poll_now(r);
	run_for(1000);
	assert_int_equal(changes, 5);
	assert_int_equal(peer.connections, 1);
}

/* A session that ends is asked about at once, but not for ever. */
static void test_session_ends(void **state)
{
	int64_t from = clock_ms();

	(void)state;
	hangs_up = true;
	start("10.11.6-MariaDB", POLL);
	answer(mariadb("10.0.0.1", "Yes", "bin.000009", 500, 3), NULL);
	run_for(1000);
	assert_true(replica_view(r)->up);
	run_for(100);
	assert_true(replica_view(r)->silent_since >= from);
	assert_int_equal(changes, 1);
	run_for(2000);
	assert_int_equal(changes, 2);
	assert_true(clock_ms() - from >= 1000);
	assert_true(replica_view(r)->up);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_mariadb),
		T(test_what_counts_as_heard),
		T(test_channels),
		T(test_mysql56),
		T(test_silence),
		T(test_refusals),
		T(test_schedule),
		T(test_session_ends),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
