/* SPDX-License-Identifier: BSD-2-Clause */
/* test_clock - deadlines at their edges, and the two ways of writing the wall time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <regex.h>
#include <string.h>
#include <time.h>
#include "clock.h"

static void goes_on(void **state)
{
	int64_t us = clock_us(), ms = clock_ms();
	struct timespec nap = { 0, 5 * 1000 * 1000 };

	(void)state;
	assert_true(ms >= us / 1000);
	assert_true(ms - us / 1000 < 10000);
	nanosleep(&nap, NULL);
	assert_true(clock_us() - us >= 5000);
	assert_true(clock_ms() - ms >= 4);
}

static void deadlines(void **state)
{
	int64_t now = clock_ms(), in = clock_in(5000), left = clock_left(in);

	(void)state;
	assert_true(in >= now + 5000);
	assert_true(left > 0 && left <= 5000);
	assert_int_equal(clock_left(now - 1), 0);
	assert_int_equal(clock_left(0), 0);
	assert_int_equal(clock_left(INT64_MIN), 0);
	assert_int_equal(clock_left(clock_in(0)), 0);
	assert_int_equal(clock_left(clock_in(-50)), 0);
}

static void never(void **state)
{
	(void)state;
	assert_true(clock_in(CLOCK_NEVER) == CLOCK_NEVER);
	assert_true(clock_in(CLOCK_NEVER - 1) == CLOCK_NEVER);
	assert_true(clock_left(CLOCK_NEVER) == CLOCK_NEVER);
	assert_true(clock_sooner(5, CLOCK_NEVER) == 5);
	assert_true(clock_sooner(CLOCK_NEVER, 5) == 5);
	assert_true(clock_sooner(CLOCK_NEVER, CLOCK_NEVER) == CLOCK_NEVER);
}

static void for_poll(void **state)
{
	int left = clock_left_poll(clock_in(5000));

	(void)state;
	assert_int_equal(clock_left_poll(CLOCK_NEVER), -1);
	assert_int_equal(clock_left_poll(0), 0);
	assert_int_equal(clock_left_poll(CLOCK_NEVER - 1), 3600 * 1000);
	assert_true(left > 0 && left <= 5000);
}

static void wall_time(void **state)
{
	char buf[32], tiny[4];
	regex_t re;

	(void)state;
	assert_int_equal(regcomp(&re,
	                         "^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) "
	                         "(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "
	                         "([ 1-2][0-9]|3[01]) [0-2][0-9]:[0-5][0-9]:[0-6][0-9] 20[0-9]{2}$",
	                         REG_EXTENDED | REG_NOSUB),
	        0);
	assert_ptr_equal(clock_log_time(buf, sizeof(buf)), buf);
	assert_int_equal(regexec(&re, buf, 0, NULL, 0), 0);
	regfree(&re);
	assert_ptr_equal(clock_file_time(buf, sizeof(buf)), buf);
	assert_int_equal(strlen(buf), 14);
	assert_int_equal(strspn(buf, "0123456789"), 14);
	assert_string_equal(clock_log_time(tiny, sizeof(tiny)), "");
	assert_string_equal(clock_file_time(tiny, sizeof(tiny)), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_on),
		cmocka_unit_test(deadlines),
		cmocka_unit_test(never),
		cmocka_unit_test(for_poll),
		cmocka_unit_test(wall_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
