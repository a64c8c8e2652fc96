/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_repl - what repl says without a server, a server that is not there, and the fan.
 */
#include "repl.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "clock.h"
#include "fan.h"

/* ---- the statement for logs ---- */

static void check_text(
        const char *version, const char *channel, const struct repl_source *s, const char *want)
{
	AUTO(free) char *got = repl_change_text(dialect_of(version, NULL), channel, s);

	assert_string_equal(got, want);
}

static void test_text_of_positions(void **state)
{
	struct repl_source s = { .host = "db2",
		.port = 3307,
		.user = "repl",
		.password = "s3cret",
		.file = "mysql-bin.000007",
		.pos = 4 };

	(void)state;
	check_text("5.6.24-log", NULL, &s,
	        "CHANGE MASTER TO MASTER_HOST='db2', MASTER_PORT=3307, "
	        "MASTER_LOG_FILE='mysql-bin.000007', MASTER_LOG_POS=4, MASTER_USER='repl', "
	        "MASTER_PASSWORD='xxx';");
	check_text("8.0.20", "", &s,
	        "CHANGE MASTER TO MASTER_HOST='db2', MASTER_PORT=3307, "
	        "MASTER_LOG_FILE='mysql-bin.000007', MASTER_LOG_POS=4, MASTER_USER='repl', "
	        "MASTER_PASSWORD='xxx' FOR CHANNEL '';");
	check_text("9.7.4", "a'b", &s,
	        "CHANGE REPLICATION SOURCE TO SOURCE_HOST='db2', SOURCE_PORT=3307, "
	        "SOURCE_LOG_FILE='mysql-bin.000007', SOURCE_LOG_POS=4, SOURCE_USER='repl', "
	        "SOURCE_PASSWORD='xxx' FOR CHANNEL 'a''b';");
	check_text("10.11.19-MariaDB", "east", &s,
	        "CHANGE MASTER 'east' TO MASTER_HOST='db2', MASTER_PORT=3307, "
	        "MASTER_LOG_FILE='mysql-bin.000007', MASTER_LOG_POS=4, MASTER_USER='repl', "
	        "MASTER_PASSWORD='xxx';");
}

static void test_text_of_gtids(void **state)
{
	struct repl_source s = { .host = "10.0.0.2", .port = 3306, .by = REPL_BY_AUTO };

	(void)state;
	check_text("5.6.24", NULL, &s,
	        "CHANGE MASTER TO MASTER_HOST='10.0.0.2', MASTER_PORT=3306, "
	        "MASTER_AUTO_POSITION=1;");
	s.by = REPL_BY_SLAVE_POS;
	s.user = "repl";
	check_text("11.8.6-MariaDB", NULL, &s,
	        "CHANGE MASTER TO MASTER_HOST='10.0.0.2', MASTER_PORT=3306, "
	        "MASTER_USE_GTID=slave_pos, MASTER_USER='repl';");
	s.by = REPL_BY_CURRENT_POS;
	check_text("11.8.6-MariaDB", NULL, &s,
	        "CHANGE MASTER TO MASTER_HOST='10.0.0.2', MASTER_PORT=3306, "
	        "MASTER_USE_GTID=current_pos, MASTER_USER='repl';");
}

static void test_what_a_row_says(void **state)
{
	struct repl_now n = {
		.read_file = "bin.000010", .read_pos = 100, .exec_file = "bin.000009"
	};

	(void)state;
	assert_int_equal(repl_by_of(&n), REPL_BY_POSITION);
	assert_true(repl_has_half(&n));
	strcpy(n.exec_file, "bin.000010");
	n.exec_pos = 100;
	assert_false(repl_has_half(&n));
	n.auto_position = true;
	assert_int_equal(repl_by_of(&n), REPL_BY_AUTO);
	n = (struct repl_now){ .using_gtid = USING_GTID_CURRENT_POS };
	assert_int_equal(repl_by_of(&n), REPL_BY_CURRENT_POS);
	assert_false(repl_has_half(&n)); /* nothing received, nothing executed */
}

/* ---- nobody there ---- */

static struct conf_server nobody = { .hostname = "db9",
	.hostinfo = "db9(127.0.0.1:1)",
	.ip = "127.0.0.1",
	.port = 1,
	.user = "mha",
	.connect_timeout = 500,
	.query_timeout = 500 };

static void test_nobody_there(void **state)
{
	struct err e = { .kind = ERR_NONE };

	(void)state;
	assert_null(repl_open(&nobody, NULL, clock_in(500), &e));
	assert_int_equal(e.kind, ERR_UNREACHABLE);
	assert_string_equal(e.host, "db9(127.0.0.1:1)");
	e = (struct err){ .kind = ERR_NONE };
	assert_null(repl_lock(&nobody, REPL_FAILOVER_LOCK, 0, clock_in(500), &e));
	assert_int_equal(e.kind, ERR_UNREACHABLE);
	e = (struct err){ .kind = ERR_NONE };
	assert_null(repl_open(&nobody, NULL, clock_ms() - 1, &e)); /* no time: nothing is tried */
	assert_int_equal(e.kind, ERR_PRECOND);
	assert_string_equal(e.host, "db9(127.0.0.1:1)");
	repl_close(NULL);
	repl_unlock(NULL);
}

/* ---- the fan ---- */

struct together {
	pthread_barrier_t all;
	atomic_int now, most, open; /* open: threads of the fan's that take signals */
	pthread_t caller;
	int calls[64];
};

static void together_init(struct together *t, unsigned n)
{
	memset(t, 0, sizeof(*t));
	t->caller = pthread_self();
	pthread_barrier_init(&t->all, NULL, n);
}

/* Ends only if all run at the same time. */
static bool meet(void *arg, size_t i, struct err *e)
{
	struct together *t = arg;

	t->calls[i]++;
	pthread_barrier_wait(&t->all);
	return i % 3 || err_set(e, ERR_PRECOND, (int)i, "item %zu", i);
}

static void test_all_at_once(void **state)
{
	struct together t;
	struct err errs[6];

	(void)state;
	together_init(&t, 6);
	memset(errs, 0xff, sizeof(errs));
	assert_int_equal(fan_run(6, 0, meet, &t, errs), 2);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(t.calls[i], 1);
		assert_int_equal(errs[i].kind, i % 3 ? ERR_NONE : ERR_PRECOND);
	}
	assert_int_equal(errs[3].code, 3);
	assert_string_equal(errs[3].text, "item 3");
	pthread_barrier_destroy(&t.all);
}

static bool count(void *arg, size_t i, struct err *e)
{
	struct together *t = arg;
	int now = atomic_fetch_add(&t->now, 1) + 1, most = t->most;
	sigset_t set;

	while (now > most && !atomic_compare_exchange_weak(&t->most, &most, now))
		;
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	if (!pthread_equal(pthread_self(), t->caller) && !sigismember(&set, SIGTERM))
		t->open++;
	t->calls[i]++;
	usleep(2000);
	atomic_fetch_sub(&t->now, 1);
	return err_set(e, ERR_LOST, 0, "lost");
}

static void test_no_more_than_wanted(void **state)
{
	struct together t;

	(void)state;
	together_init(&t, 1);
	assert_int_equal(fan_run(40, 4, count, &t, NULL), 40);
	assert_in_range(t.most, 1, 4);
	for (int i = 0; i < 40; i++)
		assert_int_equal(t.calls[i], 1);
	assert_int_equal(t.open, 0);
	memset(t.calls, 0, sizeof(t.calls));
	t.most = 0;
	assert_int_equal(fan_run(5, 1, count, &t, NULL), 5);
	assert_int_equal(t.most, 1);
	assert_int_equal(fan_run(0, 0, count, &t, NULL), 0);
	pthread_barrier_destroy(&t.all);
}

static bool log_in(void *arg, size_t i, struct err *e)
{
	AUTO(repl) struct repl *r = repl_open(&nobody, NULL, clock_in(500), e);

	(void)arg;
	(void)i;
	return r != NULL;
}

static void test_sessions_in_parallel(void **state)
{
	struct err errs[8];

	(void)state;
	assert_int_equal(fan_run(8, 0, log_in, NULL, errs), 8);
	for (int i = 0; i < 8; i++)
		assert_int_equal(errs[i].kind, ERR_UNREACHABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_of_positions),
		cmocka_unit_test(test_text_of_gtids),
		cmocka_unit_test(test_what_a_row_says),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_no_more_than_wanted),
		cmocka_unit_test(test_sessions_in_parallel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
