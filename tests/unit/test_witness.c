/* SPDX-License-Identifier: BSD-2-Clause */
/* witness: the answers of hosts with and without mha-node, the shell line, the setting. */
#include "witness.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "clock.h"
#include "proc.h"
#include "str.h"

static struct witness_answer a;

static enum witness_reach read_it(const char *out)
{
	a = (struct witness_answer){ 0 };
	assert_true(witness_read(out, &a));
	return a.reach;
}

static void by_node(void **state)
{
	(void)state;
	assert_int_equal(
	        read_it("noise\nmhad-reach mha-node 0 {\"address\":\"10.0.0.1\",\"port\":3306,"
	                "\"result\":\"greeting\",\"ms\":1.5,\"text\":\"8.0\"}\n"),
	        WITNESS_GREETING);
	assert_int_equal(a.word, WITNESS_SEES);
	assert_string_equal(a.how, "mha-node");
	assert_string_equal(a.detail, "10.0.0.1:3306: greeting: 8.0");
	assert_int_equal(
	        read_it("mhad-reach mha-node 0 {\"result\":\"error\",\"code\":1040,\"text\":"
	                "\"Too many connections\"}"),
	        WITNESS_ERROR);
	assert_int_equal(a.word, WITNESS_SEES);
	assert_int_equal(read_it("mhad-reach mha-node 0 {\"result\":\"open\"}"), WITNESS_OPEN);
	assert_int_equal(a.word, WITNESS_CANNOT);
	assert_false(witness_read("mhad-reach mha-node 0 {\"result\":\"splendid\"}", &a));
	assert_false(witness_read("mhad-reach mha-node 0 {", &a));
	assert_false(witness_read("bash: sh: command not found", &a));
}

static void by_words(void **state)
{
	static const struct {
		const char *out;
		enum witness_reach reach;
		enum witness_word word;
	} rows[] = {
		{ "bash 0 =open= 4a 00 00 00 0a 35 2e", WITNESS_GREETING, WITNESS_SEES },
		{ "perl 0 =open= 4a0000000a352e", WITNESS_GREETING, WITNESS_SEES },
		{ "bash 0 =open= 17 00 00 00 ff 10 04", WITNESS_ERROR, WITNESS_SEES },
		{ "bash 124 =open=", WITNESS_OPEN, WITNESS_CANNOT },
		{ "bash 0 =open=", WITNESS_OPEN, WITNESS_CANNOT },
		{ "bash 0 =open= 53 53 48 2d 32 2e 30", WITNESS_OPEN, WITNESS_CANNOT },
		{ "bash 124", WITNESS_TIMEOUT, WITNESS_CANNOT },
		{ "bash 1 bash: connect: Connection refused", WITNESS_REFUSED, WITNESS_CANNOT },
		{ "perl 9 connect: No route to host", WITNESS_UNREACHABLE, WITNESS_CANNOT },
		{ "nc 1 nc: connect to x port 1 (tcp) timed out", WITNESS_TIMEOUT, WITNESS_CANNOT },
		{ "bash 1 bash: db1: Name or service not known", WITNESS_NO_NAME, WITNESS_ILL },
		{ "bash 1 something new", WITNESS_REACH_NONE, WITNESS_ILL },
		{ "none 1 no mha-node, bash, perl or nc that could look", WITNESS_REACH_NONE,
		        WITNESS_ILL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(free) char *out = xasprintf("mhad-reach %s\n", rows[i].out);

		assert_int_equal(read_it(out), rows[i].reach);
		assert_int_equal(a.word, rows[i].word);
	}
	assert_int_equal(read_it("mhad-reach bash 0 =open= 17 00 00 00 ff 10 04\n"), WITNESS_ERROR);
	assert_string_equal(a.detail, "error 1040");
}

/* The line is one line for any shell, and its host cannot get out of its quotes. */
static void line(void **state)
{
	AUTO(free) char *text = witness_line("db1; touch /tmp/x", 3306, 2500, "/opt/it's");
	struct proc_opts o = { .argv = (const char *const[]){ "sh", "-n", "-c", text, NULL },
		.deadline = clock_in(10000) };
	struct proc_result r;

	(void)state;
	assert_null(strchr(text, '\n'));
	assert_null(strchr(text, '!'));
	assert_null(strstr(text, "touch"));
	assert_non_null(strstr(text, " 3306 2 2500 "));
	assert_true(proc_run(&o, &r, NULL));
	assert_int_equal(r.status, 0);
	proc_done(&r);
}

static const struct conf_server defaults = { .id = "default",
	.ssh_user = "mha",
	.ssh_port = 2200,
	.ssh_key = "/key",
	.ssh_connection_timeout = 5000 };

static void setting(void **state)
{
	struct witness_hosts h;
	struct err e = { 0 };

	(void)state;
	assert_true(witness_parse(" root@10.0.0.1:22, 10.0.0.2 ,[2001:db8::1]:2222,me@::1, ",
	        &defaults, clock_in(5000), &h, &e));
	assert_int_equal(h.len, 4);
	assert_string_equal(h.items[0]->ssh_user, "root");
	assert_string_equal(h.items[0]->ssh_address, "10.0.0.1");
	assert_int_equal(h.items[0]->ssh_port, 22);
	assert_string_equal(h.items[0]->ssh_key, "/key");
	assert_string_equal(h.items[1]->ssh_user, "mha");
	assert_int_equal(h.items[1]->ssh_port, 2200);
	assert_string_equal(h.items[1]->hostinfo, "10.0.0.2(10.0.0.2:2200)");
	assert_string_equal(h.items[2]->ssh_address, "2001:db8::1");
	assert_int_equal(h.items[2]->ssh_port, 2222);
	assert_string_equal(h.items[3]->ssh_address, "::1");
	assert_string_equal(h.items[3]->ssh_user, "me");
	witness_hosts_done(&h);
	assert_true(witness_parse("", &defaults, clock_in(5000), &h, &e));
	assert_int_equal(h.len, 0);
	witness_hosts_done(&h);
	assert_true(witness_parse(NULL, &defaults, clock_in(5000), &h, &e));
	witness_hosts_done(&h);
}

static void wrong_settings(void **state)
{
	static const char *const wrong[] = { "@10.0.0.1", "root@", "10.0.0.1:0", "10.0.0.1:x",
		"10.0.0.1:70000", "a b", "[::1", "[::1]x", "no-such-host.invalid",
		"10.0.0.1,10.0.0.2:99999" };
	struct witness_hosts h = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct err e = { 0 };

		if (witness_parse(wrong[i], &defaults, clock_in(5000), &h, &e))
			fail_msg("\"%s\" was taken", wrong[i]);
		assert_int_equal(e.kind, ERR_CONFIG);
		assert_non_null(strstr(e.text, "witnesses: "));
		assert_int_equal(h.len, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_node),
		cmocka_unit_test(by_words),
		cmocka_unit_test(line),
		cmocka_unit_test(setting),
		cmocka_unit_test(wrong_settings),
	};

	return cmocka_run_group_tests_name("witness", tests, NULL, NULL);
}
