/* SPDX-License-Identifier: BSD-2-Clause */
/* migrate: a converted file is proven, what changes is told, hooks are looked for. */
#include "migrate.h"
#include "test_conf.h"

static const char mha[] = "[server default]\n"
                          "user=mha\n"
                          "password=p'\"\\\n"
                          "ssh_user=root\n"
                          "ping_interval=2\n"
                          "[server1]\nhostname=db1\ncandidate_master=1\n"
                          "[server2]\nhostname=db2\nno_master=1\nport=3307\n"
                          "[binlog1]\nhostname=db3\n";

static bool has(const struct check_findings *f, enum topology_severity severity, const char *text)
{
	for (size_t i = 0; i < f->len; i++)
		if (f->items[i].severity == severity && strstr(f->items[i].text, text))
			return true;
	return false;
}

static void reads_back(void **state)
{
	struct check_findings f = { 0 };
	char *text;

	(void)state;
	write_text("app1.cnf", mha);
	assert_true(load("app1.cnf"));
	text = conf_to_native(c);
	assert_non_null(strstr(text, "ssh_user = \"root\"")); /* whoever converts may be root */
	assert_true(migrate_read_back(c, text, path_of("none"), &f, &err));
	assert_int_equal(f.len, 0);
	mem_free_secret(text);
}

static char *changed(const char *from, const char *to)
{
	char *text = conf_to_native(c), *at = strstr(text, from), *other;

	assert_non_null(at);
	other = xasprintf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	mem_free_secret(text);
	return other;
}

static void tells_a_difference(void **state)
{
	static const char *const cases[][3] = {
		{ "ping_interval = \"2s\"", "ping_interval = \"3s\"", "ping_interval" },
		{ "no_master = true", "no_master = false", "no_master" },
		{ "password = \"p", "password = \"q", "password" },
	};

	(void)state;
	write_text("app1.cnf", mha);
	assert_true(load("app1.cnf"));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(free) char *text = changed(cases[i][0], cases[i][1]);
		struct check_findings f = { 0 };
		struct err e = { 0 };

		assert_false(migrate_read_back(c, text, path_of("none"), &f, &e));
		assert_int_equal(e.kind, ERR_PRECOND);
		assert_non_null(strstr(e.text, cases[i][2]));
		assert_null(strstr(e.text, "p'"));
		assert_int_equal(f.len, 0);
	}
}

static void tells_what_the_global_file_would_change(void **state)
{
	struct check_findings f = { 0 };
	char *text;

	(void)state;
	write_text("app1.cnf", mha);
	write_text("mhad.conf", "defaults = { hook_timeout = \"5s\"; ping_interval = \"9s\"; };\n");
	assert_true(load("app1.cnf"));
	text = conf_to_native(c);
	assert_true(migrate_read_back(c, text, path_of("mhad.conf"), &f, &err));
	assert_true(has(&f, TOPOLOGY_WARNING, "hook_timeout of server1 is \"1m\""));
	assert_false(has(&f, TOPOLOGY_WARNING, "ping_interval")); /* the file says it itself */
	check_findings_done(&f);
	mem_free_secret(text);
}

static void says_what_changes(void **state)
{
	struct check_findings f = { 0 };

	(void)state;
	write_text("app1.cnf",
	        "[server default]\nuser=mha\nmanager_workdir=/var/tmpx\n"
	        "ssh_options=-4\nreport_script=bin/report\n[server1]\nhostname=db1\n");
	assert_true(load("app1.cnf"));
	migrate_changes(c, &f);
	assert_true(has(&f, TOPOLOGY_WARNING, "ssh_user is not set"));
	assert_true(has(&f, TOPOLOGY_WARNING, "manager_workdir=/var/tmpx"));
	assert_true(has(&f, TOPOLOGY_WARNING, "relative path"));
	assert_true(has(&f, TOPOLOGY_INFO, "ssh_options"));
	assert_false(has(&f, TOPOLOGY_INFO, "shutdown_script"));
	assert_int_equal(check_count_stops(&f), 0);
	check_findings_done(&f);
}

static void finds_hooks(void **state)
{
	struct check_findings f = { 0 };
	AUTO(free) char *text = NULL;

	(void)state;
	write_bytes("fine", "#!/bin/sh\n", 10, 0700);
	write_bytes("module", "#!/usr/bin/perl\nuse MHA::SlaveUtil;\n", 36, 0700);
	write_bytes("closed", "#!/bin/sh\n", 10, 0600);
	text = xasprintf("[server default]\nuser=mha\nmaster_ip_failover_script=./fine --x\n"
	                 "shutdown_script=%s/module\nreport_script=%s/none\n"
	                 "master_ip_online_change_script=A=b ./none\n"
	                 "secondary_check_script=sh -c x\n[server1]\nhostname=db1\n",
	        dir, dir);
	write_text("app1.cnf", text);
	assert_true(load("app1.cnf"));
	migrate_hooks(c, &f);
	assert_int_equal(f.len, 2);
	assert_true(has(&f, TOPOLOGY_WARNING, "MHA's Perl modules"));
	assert_true(has(&f, TOPOLOGY_ERROR, "/none cannot be run"));
	check_findings_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_back, start, stop),
		cmocka_unit_test_setup_teardown(tells_a_difference, start, stop),
		cmocka_unit_test_setup_teardown(
		        tells_what_the_global_file_would_change, start, stop),
		cmocka_unit_test_setup_teardown(says_what_changes, start, stop),
		cmocka_unit_test_setup_teardown(finds_hooks, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
