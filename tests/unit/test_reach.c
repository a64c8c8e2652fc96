/* SPDX-License-Identifier: BSD-2-Clause */
/* reach: a server's first bytes, what errors mean, and what a gate lets through. */
#include "reach.h"
#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "gate.h"

static enum reach_result result;
static int code;
static char text[64];

static bool parse(const void *p, size_t n)
{
	return reach_parse(p, n, &result, &code, text, sizeof(text));
}

static void greeting(void **state)
{
	static const char g[] = "\x4a\0\0\0\x0a"
	                        "5.5.5-10.11\0rest of it, which nobody looks at, but which is "
	                        "counted here.......";

	(void)state;
	for (size_t n = 0; n < 4 + 0x4a; n++)
		assert_false(parse(g, n));
	assert_true(parse(g, 4 + 0x4a));
	assert_int_equal(result, REACH_GREETING);
	assert_string_equal(text, "5.5.5-10.11");
	assert_int_equal(code, 0);
}

static void error_packets(void **state)
{
	(void)state;
	assert_true(parse("\x17\0\0\0\xff\x10\x04Too many connections", 27));
	assert_int_equal(result, REACH_ERROR);
	assert_int_equal(code, 1040);
	assert_string_equal(text, "Too many connections");
	assert_true(parse("\x0c\0\0\0\xff\x69\x04#HY000no\n", 16));
	assert_int_equal(code, 1129);
	assert_string_equal(text, "no?");
	assert_false(parse("\x17\0\0\0\xff\x10\x04Too many", 15));
}

static void strangers(void **state)
{
	(void)state;
	assert_true(parse("SSH-2.0-OpenSSH_9.2\r\n", 21));
	assert_int_equal(result, REACH_OPEN);
	assert_non_null(strstr(text, "no MySQL"));
	assert_true(parse("\xff\xff\xff\0\x0a", 5));
	assert_int_equal(result, REACH_OPEN);
	assert_true(parse("\x01\0\0\0\x0a", 5));
	assert_int_equal(result, REACH_OPEN);
	assert_true(parse("\x02\0\0\0\xff\x01", 6));
	assert_int_equal(result, REACH_OPEN);
}

static void errors(void **state)
{
	enum reach_result r;

	(void)state;
	assert_true(reach_of_errno(ECONNREFUSED, &r));
	assert_int_equal(r, REACH_REFUSED);
	assert_true(reach_of_errno(ETIMEDOUT, &r));
	assert_int_equal(r, REACH_TIMEOUT);
	assert_true(reach_of_errno(EHOSTUNREACH, &r));
	assert_int_equal(r, REACH_UNREACHABLE);
	assert_string_equal(reach_name(r), "unreachable");
	/* Ours: no evidence against anybody. */
	assert_false(reach_of_errno(EMFILE, &r));
	assert_false(reach_of_errno(EADDRNOTAVAIL, &r));
}

static void hosts(void **state)
{
	(void)state;
	assert_true(reach_is_host("db1.example.org"));
	assert_true(reach_is_host("fe80::1%eth0"));
	assert_false(reach_is_host(""));
	assert_false(reach_is_host("-oX"));
	assert_false(reach_is_host("a b"));
	assert_false(reach_is_host("$(id)"));
}

static bool admits(bool mysql, const char *host, const char *from)
{
	AUTO(gate) struct gate *g = gate_parse("port = 3306\n", NULL);
	struct args a = { .mysql = mysql, .host = host, .from = from, .port = 3399 };

	return gate_admits(g, verb_by_name("reach"), &a, NULL);
}

static void gate(void **state)
{
	(void)state;
	assert_true(admits(true, "db1", NULL));
	assert_true(admits(true, "10.0.0.1", "10.0.0.2"));
	assert_false(admits(false, "db1", NULL));
	assert_false(admits(true, "db1;id", NULL));
	assert_false(admits(true, "db1", "eth0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(greeting),
		cmocka_unit_test(error_packets),
		cmocka_unit_test(strangers),
		cmocka_unit_test(errors),
		cmocka_unit_test(hosts),
		cmocka_unit_test(gate),
	};

	return cmocka_run_group_tests_name("reach", tests, NULL, NULL);
}
