/* SPDX-License-Identifier: BSD-2-Clause */
/* job: done exactly once, late or not, and everything freed by whoever is last. */
#include "job.h"
#include "clock.h"
#include "loop.h"
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static struct loop *l;
static struct job_pool *pool;
static _Atomic int n_freed, n_running, most_running;

struct task {
	struct job_pool *pool;
	int sleep_ms, value, dones, restarts;
	bool fail, stubborn, late;
	enum err_kind kind;
	char text[800];
	int64_t done_at;
	_Atomic bool saw_abandoned, returned;
};

static int setup(void **state)
{
	(void)state;
	l = loop_new();
	pool = job_pool_new(l, 4);
	n_freed = 0;
	most_running = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	job_pool_free(pool);
	loop_free(l);
	return 0;
}

static bool run(struct job *j, void *arg, struct err *e)
{
	struct task *t = arg;
	int now = ++n_running;

	if (now > most_running)
		most_running = now;
	for (int64_t until = clock_in(t->sleep_ms); clock_left(until);) {
		if (job_is_abandoned(j) && !t->stubborn)
			break;
		usleep(1000);
	}
	t->saw_abandoned = job_is_abandoned(j);
	if (!t->saw_abandoned)
		t->value++;
	n_running--;
	t->returned = true;
	return t->fail ? err_set(e, ERR_REFUSED, 7, "%s said no", job_name(j)) : true;
}

static void free_task(void *arg)
{
	(void)arg;
	n_freed++;
}

static void done(struct job *j, void *arg, const struct err *e)
{
	struct task *t = arg;

	t->dones++;
	t->done_at = clock_ms();
	t->late = job_is_late(j);
	t->kind = e ? e->kind : ERR_NONE;
	snprintf(t->text, sizeof(t->text), "%s", e ? e->text : "");
	if (t->restarts-- > 0)
		job_start(t->pool, job_new("again", CLOCK_NEVER, run, done, free_task, t));
}

static void start(struct task *t, int64_t deadline)
{
	t->pool = pool;
	job_start(pool, job_new("task", deadline, run, done, free_task, t));
}

static void wait_returned(struct task *t)
{
	for (int i = 0; i < 5000 && !t->returned; i++)
		usleep(1000);
	assert_true(t->returned);
}

static void success_and_failure(void **state)
{
	struct task a = { 0 }, b = { .fail = true };

	(void)state;
	start(&a, clock_in(5000));
	start(&b, CLOCK_NEVER);
	job_wait_all(pool);
	assert_int_equal(a.dones, 1);
	assert_int_equal(a.value, 1);
	assert_int_equal(a.kind, ERR_NONE);
	assert_false(a.late);
	assert_int_equal(b.dones, 1);
	assert_int_equal(b.kind, ERR_REFUSED);
	assert_string_equal(b.text, "task said no");
	assert_int_equal(n_freed, 2);
	job_wait_all(pool);
}

static void no_callbacks(void **state)
{
	struct task t = { 0 };

	(void)state;
	job_start(pool, job_new("plain", CLOCK_NEVER, run, NULL, NULL, &t));
	job_wait_all(pool);
	assert_int_equal(t.value, 1);
}

static void late_job_ends_at_its_deadline(void **state)
{
	static struct task t = { .sleep_ms = 2000 };
	int64_t at = clock_in(200);

	(void)state;
	start(&t, at);
	job_wait_all(pool);
	assert_int_equal(t.dones, 1);
	assert_int_equal(t.kind, ERR_LOST);
	assert_true(t.late);
	assert_non_null(strstr(t.text, "task: no answer within "));
	assert_in_range(t.done_at, at, at + 1500);
	wait_returned(&t);
	assert_true(t.saw_abandoned);
	for (int i = 0; i < 1000 && !n_freed; i++)
		usleep(1000);
	assert_int_equal(n_freed, 1);
	assert_int_equal(t.dones, 1);
}

static void hung_workers_are_replaced(void **state)
{
	static struct task hung[4], quick;

	(void)state;
	for (int i = 0; i < 4; i++) {
		hung[i] = (struct task){ .sleep_ms = 2500, .stubborn = true };
		start(&hung[i], clock_in(300));
	}
	start(&quick, clock_in(2300));
	job_wait_all(pool);
	assert_int_equal(quick.value, 1);
	assert_int_equal(quick.kind, ERR_NONE);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(hung[i].kind, ERR_LOST);
		assert_int_equal(hung[i].dones, 1);
		wait_returned(&hung[i]);
	}
}

static void not_begun_is_not_lost(void **state)
{
	struct task busy[4], t = { 0 };

	(void)state;
	for (int i = 0; i < 4; i++) {
		busy[i] = (struct task){ .sleep_ms = 600 };
		start(&busy[i], clock_in(5000));
	}
	start(&t, clock_in(100));
	job_wait_all(pool);
	assert_int_equal(t.dones, 1);
	assert_int_equal(t.kind, ERR_SYSTEM);
	assert_int_equal(t.value, 0);
	assert_int_equal(busy[3].value, 1);
	assert_int_equal(n_freed, 5);
}

static void more_jobs_than_threads(void **state)
{
	static struct task t[40];

	(void)state;
	for (int i = 0; i < 40; i++) {
		t[i] = (struct task){ .sleep_ms = 4 };
		start(&t[i], clock_in(10000));
	}
	job_wait_all(pool);
	for (int i = 0; i < 40; i++)
		assert_int_equal(t[i].value, 1);
	assert_int_equal(most_running, 4);
}

static void a_thousand(void **state)
{
	struct task *t = xzalloc(1000 * sizeof(*t));
	int lost = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		t[i].sleep_ms = i % 100 == 0 ? 30 : 0;
		start(&t[i], clock_in(i % 100 == 0 ? 15 : 20000));
	}
	job_wait_all(pool);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(t[i].dones, 1);
		lost += t[i].kind != ERR_NONE;
	}
	assert_in_range(lost, 1, 10);
	for (int i = 0; i < 2000 && n_freed < 1000; i++)
		usleep(1000);
	assert_int_equal(n_freed, 1000);
	free(t);
}

static void started_from_done(void **state)
{
	struct task t = { .restarts = 50 };

	(void)state;
	start(&t, CLOCK_NEVER);
	job_wait_all(pool);
	assert_int_equal(t.value, 51);
	assert_int_equal(t.dones, 51);
	assert_int_equal(n_freed, 51);
}

static bool run_and_forget(struct job *j, void *arg, struct err *e)
{
	(void)arg;
	(void)e;
	while (!job_is_abandoned(j))
		usleep(500);
	return true;
}

/* Deadlines and results that meet: whoever wins, done() is called once and nothing is freed twice.
 */
static void deadline_races(void **state)
{
	static struct task t[200];

	(void)state;
	for (int i = 0; i < 200; i++) {
		t[i] = (struct task){ .sleep_ms = i % 5 };
		start(&t[i], clock_in(i % 7));
	}
	job_wait_all(pool);
	for (int i = 0; i < 2000 && n_freed < 200; i++)
		usleep(1000);
	assert_int_equal(n_freed, 200);
	for (int i = 0; i < 200; i++)
		assert_int_equal(t[i].dones, 1);
}

static void pool_freed_with_jobs(void **state)
{
	static struct task running = { .sleep_ms = 300 }, queued = { .restarts = 1 };
	struct job_pool *small = job_pool_new(l, 1);
	struct job *j = job_new("forever", CLOCK_NEVER, run_and_forget, NULL, free_task, NULL);

	(void)state;
	running.pool = queued.pool = small;
	job_start(small, job_new("running", clock_in(5000), run, done, free_task, &running));
	job_start(small, j);
	job_start(small, job_new("queued", clock_in(5000), run, done, free_task, &queued));
	usleep(30000);
	job_pool_free(small);
	assert_int_equal(running.dones, 1);
	assert_int_equal(running.kind, ERR_CANCELED);
	assert_int_equal(queued.dones, 1);
	assert_int_equal(queued.kind, ERR_CANCELED);
	assert_int_equal(queued.value, 0);
	wait_returned(&running);
	for (int i = 0; i < 2000 && n_freed < 4; i++)
		usleep(1000);
	assert_int_equal(n_freed, 4);
	job_pool_free(NULL);
}

static void stop_early(void *arg)
{
	(void)arg;
	loop_stop(l);
}

static void wait_can_be_stopped(void **state)
{
	static struct task t = { .sleep_ms = 100 };
	struct loop_timer *s = loop_timer_new(l, clock_in(10), stop_early, NULL);

	(void)state;
	start(&t, CLOCK_NEVER);
	job_wait_all(pool);
	assert_int_equal(t.dones, 0);
	job_wait_all(pool);
	assert_int_equal(t.dones, 1);
	loop_timer_free(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(success_and_failure),
		TEST(no_callbacks),
		TEST(late_job_ends_at_its_deadline),
		TEST(hung_workers_are_replaced),
		TEST(not_begun_is_not_lost),
		TEST(more_jobs_than_threads),
		TEST(a_thousand),
		TEST(started_from_done),
		TEST(deadline_races),
		TEST(pool_freed_with_jobs),
		TEST(wait_can_be_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
