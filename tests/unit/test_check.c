/* SPDX-License-Identifier: BSD-2-Clause */
/* check: what node tools answer, the order of findings, command lines in MHA's order. */
#include "check.h"
#include "log.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static bool version(
        const char *out, int status, struct check_node *n, enum check_code *code, struct err *e)
{
	struct host_answer a = { .status = status, .out = out, .err_out = "" };

	memset(n, 0, sizeof(*n));
	memset(e, 0, sizeof(*e));
	return check_node_version(&a, n, code, e);
}

static void versions_of_both_generations(void **state)
{
	struct check_node n;
	enum check_code code;
	struct err e;

	(void)state;
	assert_true(version("apply_diff_relay_logs version 0.58.", 0, &n, &code, &e));
	assert_string_equal(n.version, "0.58");
	assert_false(n.is_ours);
	assert_true(version(
	        "mha-node 0.1.0, compatible with MHA node version 0.58.", 0, &n, &code, &e));
	assert_true(n.is_ours);
	assert_true(version("apply_diff_relay_logs version 0.54.", 0, &n, &code, &e));
	assert_true(version("apply_diff_relay_logs version 1.0.", 0, &n, &code, &e));
}

static void versions_that_do_not_do(void **state)
{
	struct check_node n;
	enum check_code code;
	struct err e;

	(void)state;
	assert_false(version("apply_diff_relay_logs version 0.53.", 0, &n, &code, &e));
	assert_int_equal(code, CHECK_NODE_TOO_OLD);
	assert_non_null(strstr(e.text, "0.53"));
	assert_false(version("", 127, &n, &code, &e));
	assert_int_equal(code, CHECK_NODE_MISSING);
	assert_false(version("Welcome to db1!", 0, &n, &code, &e));
	assert_int_equal(code, CHECK_NODE_UNKNOWN);
	assert_non_null(strstr(e.text, "Welcome to db1!"));
}

static void findings_in_the_order_of_the_checks(void **state)
{
	struct check_findings f = { 0 };

	(void)state;
	check_add(&f, TOPOLOGY_ERROR, CHECK_HOOK_FAILED, NULL, "", "hook");
	check_add(&f, TOPOLOGY_WARNING, CHECK_SSH_LOST, "db1", "hint", "ssh %d", 1);
	check_add(&f, TOPOLOGY_ERROR, CHECK_RELAY_TEST, "db2", NULL, "relay");
	check_add(&f, TOPOLOGY_INFO, CHECK_SSH_PAIR, NULL, NULL, "ssh 2");
	f.items[2].check = 0; /* mhad's own: last */
	check_sort(&f);
	assert_string_equal(f.items[0].text, "ssh 1");
	assert_string_equal(f.items[0].hint, "hint");
	assert_string_equal(f.items[1].text, "ssh 2");
	assert_string_equal(f.items[2].text, "hook");
	assert_null(f.items[2].hint);
	assert_string_equal(f.items[3].text, "relay");
	assert_int_equal(check_count_stops(&f), 2);
	check_findings_done(&f);
}

static const struct conf_server server = { .hostname = "db2",
	.ip = "10.0.0.2",
	.port = 3307,
	.user = "mha",
	.password = "p$s'w",
	.remote_workdir = "/var/tmp",
	.master_binlog_dir = "/data/a,/data/b",
	.client_bindir = "/opt/my sql",
	.log_level = LOG_LV_INFO };

static void command_lines_are_mhas(void **state)
{
	struct snapshot_server s = {
		.conf = &server, .version = "5.6.24-log", .relay_dir = "/data", .datadir = "/data"
	};
	AUTO(free) char *binlog = check_binlog_test_cmd(&server, "mysql-bin.000007", NULL);
	AUTO(free) char *prefix = check_binlog_test_cmd(&server, NULL, "mysql-bin");
	AUTO(free) char *table = check_relay_test_cmd(&s, "relay-bin.000002", true);
	AUTO(free) char *file = NULL;

	(void)state;
	assert_string_equal(binlog,
	        "save_binary_logs --command=test --start_pos=4 --binlog_dir='/data/a,/data/b' "
	        "--output_file='/var/tmp/save_binary_logs_test' --manager_version=0.58 "
	        "--start_file='mysql-bin.000007'");
	assert_true(str_ends(prefix, " --binlog_prefix='mysql-bin'"));
	assert_string_equal(table,
	        "apply_diff_relay_logs --command=test --slave_user='mha' --slave_host='db2' "
	        "--slave_ip='10.0.0.2' --slave_port=3307 --workdir='/var/tmp' "
	        "--target_version='5.6.24-log' "
	        "--manager_version=0.58 --client_bindir='/opt/my sql' --relay_dir='/data' "
	        "--current_relay_log='relay-bin.000002' --slave_pass='p\\$s'\\''w'");
	s.relay_info_file = "/data/relay-log.info";
	file = check_relay_test_cmd(&s, "relay-bin.000002", false);
	assert_non_null(
	        strstr(file, " --relay_log_info='/data/relay-log.info' --relay_dir='/data'"));
	assert_null(strstr(file, "slave_pass"));
}

static void the_shell_of_the_host_may_be_any(void **state)
{
	struct conf_server s = server;
	AUTO(free) char *line = NULL;

	(void)state;
	s.node_bindir = "/opt/mha";
	line = check_node_version_cmd(&s);
	assert_true(str_starts(line, "sh -c '"));
	assert_non_null(strstr(line, "/mha-node version"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_of_both_generations),
		cmocka_unit_test(versions_that_do_not_do),
		cmocka_unit_test(findings_in_the_order_of_the_checks),
		cmocka_unit_test(command_lines_are_mhas),
		cmocka_unit_test(the_shell_of_the_host_may_be_any),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
