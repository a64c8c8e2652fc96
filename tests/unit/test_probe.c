/* SPDX-License-Identifier: BSD-2-Clause */
/* probe: what runs aside, what a folder says, and the JSON it is told in. */
#include "probe_disk.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "aside.h"
#include "clock.h"
#include "json.h"

static void double_it(const void *arg, void *ret)
{
	*(int *)ret = *(const int *)arg * 2;
}

static void sleep_long(const void *arg, void *ret)
{
	(void)arg;
	(void)ret;
	usleep(1500 * 1000);
}

static void die(const void *arg, void *ret)
{
	(void)arg;
	*(int *)ret = 1;
	_exit(7);
}

static void descriptors(const void *arg, void *ret)
{
	*(int *)ret = fcntl(*(const int *)arg, F_GETFD) >= 0;
}

static void aside(void **state)
{
	int n = 21, ret = 0, fd = open("/dev/null", O_RDONLY);
	struct err e = { 0 };
	int64_t since;

	(void)state;
	assert_true(aside_run(double_it, &n, &ret, sizeof(ret), clock_in(5000), &e));
	assert_int_equal(ret, 42);
	assert_false(aside_run(die, &n, &ret, sizeof(ret), clock_in(5000), &e));
	assert_int_equal(e.kind, ERR_SYSTEM);
	assert_int_equal(ret, 0);
	since = clock_ms();
	assert_false(aside_run(sleep_long, &n, &ret, sizeof(ret), clock_in(50), &e));
	assert_int_equal(e.kind, ERR_LOST);
	assert_true(clock_ms() - since < 1000);
	assert_true(aside_run(descriptors, &fd, &ret, sizeof(ret), clock_in(5000), &e));
	assert_false(ret);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing is left to reap */
	close(fd);
}

static void folders(void **state)
{
	char dir[] = "/tmp/test_probe.XXXXXX";
	struct probe_space s;
	struct probe_written w;
	struct err e = { 0 };

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_true(probe_space(dir, clock_in(5000), &s, &e));
	assert_true(s.total > 0 && s.available <= s.total);
	probe_write(dir, clock_in(5000), &w);
	assert_string_equal(probe_write_name(w.result), "ok");
	assert_int_equal(rmdir(dir), 0); /* it is empty: nothing was left */
	assert_false(probe_space(dir, clock_in(5000), &s, &e));
	probe_write(dir, clock_in(5000), &w);
	assert_string_equal(probe_write_name(w.result), "error");
	assert_string_equal(w.what, "open folder");
}

static void devices(void **state)
{
	struct probe_written w;

	(void)state;
	probe_write("/proc/self", clock_in(5000), &w);
	assert_int_not_equal(w.result, PROBE_WRITE_OK);
	assert_int_not_equal(w.error, 0);
}

static void json(void **state)
{
	AUTO_JSON struct json j = JSON_INIT;

	(void)state;
	json_open(&j, NULL, '{');
	json_str(&j, "a\"b", "x\ny");
	json_str(&j, "none", NULL);
	json_open(&j, "list", '[');
	json_int(&j, NULL, -1);
	json_open(&j, NULL, '{');
	json_close(&j, '}');
	json_num(&j, NULL, 1.005, 1);
	json_close(&j, ']');
	json_bool(&j, "yes", true);
	json_close(&j, '}');
	assert_string_equal(j.text.p,
	        "{\"a\\\"b\":\"x\\u000ay\",\"none\":null,\"list\":[-1,{},1.0],\"yes\":true}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aside),
		cmocka_unit_test(folders),
		cmocka_unit_test(devices),
		cmocka_unit_test(json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
