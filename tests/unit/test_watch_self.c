/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_watch_self - the wall clock is set by an hour and more under a running loop: it is noted, and
 * nothing is decided by it.
 *
 * The wall clock of a machine is not for tests to set, and no namespace has one of its own: clock_gettime()
 * of this program is the one below.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "clock.h"
#include "log.h"
#include "loop.h"
#include "str.h"
#include "watch_self.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define HOUR_MS 3600000LL

static _Atomic int64_t stepped_ms;

int clock_gettime(clockid_t id, struct timespec *ts)
{
	long rc = syscall(SYS_clock_gettime, id, ts);

	if (rc == 0 && id == CLOCK_REALTIME) {
		int64_t ns = ts->tv_nsec + stepped_ms % 1000 * 1000000 + 1000000000;

		ts->tv_sec += stepped_ms / 1000 - 1 + ns / 1000000000;
		ts->tv_nsec = ns % 1000000000;
	}
	return (int)rc;
}

struct world {
	char file[40];
	struct loop *loop;
	struct watch_self *self;
	int stood_still;
};

static void stood_still(void *arg, int64_t gap_ms)
{
	struct world *x = arg;

	(void)gap_ms;
	x->stood_still++;
}

static int setup(void **state)
{
	struct world *x = xzalloc(sizeof(*x));
	struct err e = { 0 };
	int fd;

	snprintf(x->file, sizeof(x->file), "/tmp/test_watch_self.XXXXXX");
	fd = mkostemp(x->file, O_CLOEXEC);
	assert_true(fd >= 0);
	close(fd);
	assert_true(log_open_file(x->file, &e));
	x->loop = loop_new();
	x->self = watch_self_new(x->loop, stood_still, x);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct world *x = *state;

	watch_self_free(x->self);
	loop_free(x->loop);
	log_open_file(NULL, NULL);
	unlink(x->file);
	free(x);
	stepped_ms = 0;
	return 0;
}

static void stop(void *arg)
{
	loop_stop(arg);
}

/* How long it took by the clock that cannot be set. */
static int64_t run_for(const struct world *x, int64_t ms)
{
	int64_t began = clock_ms();
	struct loop_timer *t = loop_timer_new(x->loop, clock_in(ms), stop, x->loop);

	loop_run(x->loop);
	loop_timer_free(t);
	return clock_ms() - began;
}

static bool has_said(const struct world *x, const char *text)
{
	char buf[4096];
	FILE *f = fopen(x->file, "re");
	size_t n;

	assert_non_null(f);
	n = fread(buf, 1, sizeof(buf) - 1, f);
	fclose(f);
	buf[n] = '\0';
	return strstr(buf, text) != NULL;
}

static void test_steps(void **state)
{
	static const struct {
		int64_t to_ms;
		const char *said;
	} steps[] = { { HOUR_MS, "was set by +3600.0 s" }, { -HOUR_MS, "was set by -7200.0 s" },
		{ 900 - HOUR_MS, "was set by +0.9 s" },
		{ 400 * 24 * HOUR_MS, "was set by +3456" } };
	struct world *x = *state;

	run_for(x, 250);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		int64_t before = clock_ms(), took;

		assert_false(has_said(x, steps[i].said));
		stepped_ms = steps[i].to_ms;
		took = run_for(x, 250);
		assert_true(took >= 250 && took < 900);
		assert_true(clock_ms() - before < 1000);
		assert_true(has_said(x, steps[i].said));
		assert_false(watch_self_check(x->self));
		assert_null(watch_self_why(x->self, 3600000));
	}
	assert_int_equal(x->stood_still, 0);
}

/* A clock that is slewed, however quickly, is not set. */
static void test_drift(void **state)
{
	struct world *x = *state;

	for (int i = 0; i < 10; i++) {
		stepped_ms += 150;
		run_for(x, 110);
	}
	assert_false(has_said(x, "was set by"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_steps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drift, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
