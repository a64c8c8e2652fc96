/* SPDX-License-Identifier: BSD-2-Clause */
/* conf_native: mhad's own files. */
#include "test_conf.h"

#define SERVERS "servers = ( { hostname = \"db1\"; } );\n"

static bool load_text(const char *text)
{
	write_text("shop.conf", text);
	return load("shop.conf");
}

static void loads(const char *text)
{
	if (!load_text(text)) {
		print_report();
		fail_msg("does not load: %s", text);
	}
}

static void fails(const char *text, int line, const char *problem)
{
	if (load_text(text))
		fail_msg("loads: %s", text);
	if (problem_line(true, "shop.conf", problem) != line) {
		print_report();
		fail_msg("no \"%s\" in line %d of: %s", problem, line, text);
	}
}

static void fails_in_defaults(const char *setting, const char *problem)
{
	AUTO(free) char *text = xasprintf("defaults = {\n%s\n};\n" SERVERS, setting);

	fails(text, 2, problem);
}

static void a_whole_file(void **state)
{
	(void)state;
	loads("# comment\ndefaults : {\n\tuser = \"mhad\"; password = \"a;b#c\";\n\tping_interval "
	      "= \"250ms\";\n"
	      "\tport = 3307; check_repl_filter = false; };\n"
	      "servers = (\n\t{ name = \"one\"; hostname = \"db1\"; candidate_master = true; },\n"
	      "\t{ hostname = \"db2\"; ping_interval = 2; port = 1; check_repl_filter = 1; }\n);\n"
	      "binlog_servers = ( { hostname = \"log1\"; } );\n");
	assert_int_equal(c->format, CONF_NATIVE);
	assert_string_equal(c->name, "shop");
	assert_int_equal(c->n_servers, 2);
	assert_string_equal(c->servers[0]->id, "one");
	assert_string_equal(c->servers[1]->id, "db2");
	assert_true(c->servers[0]->candidate_master);
	assert_string_equal(c->servers[0]->password, "a;b#c");
	assert_int_equal(c->servers[0]->ping_interval, 250);
	assert_int_equal(c->servers[1]->ping_interval, 2000);
	assert_int_equal(c->servers[0]->port, 3307);
	assert_int_equal(c->servers[1]->port, 1);
	assert_false(c->servers[0]->check_repl_filter);
	assert_true(c->servers[1]->check_repl_filter);
	assert_int_equal(c->servers[1]->block_line, 8);
	assert_int_equal(c->servers[0]->origin[CONF_user].line, 3);
	assert_int_equal(c->n_binlogs, 1);
	assert_true(c->binlogs[0]->is_binlog_server);
	assert_int_equal(c->binlogs[0]->port, 3307);
	assert_int_equal(report.len, 0);
}

static void built_in_defaults(void **state)
{
	(void)state;
	loads(SERVERS);
	assert_string_equal(value("db1", CONF_tls), "preferred");
	assert_string_equal(value("db1", CONF_ssh_host_keys), "strict");
	assert_null(c->servers[0]->ssh_known_hosts);
	assert_int_equal(c->servers[0]->ping_interval, 3000);
	assert_string_equal(c->servers[0]->user, "root");
}

static void the_order_is_the_files(void **state)
{
	(void)state;
	loads("servers = ( { hostname = \"server3\"; }, { hostname = \"server1\"; }, { hostname = "
	      "\"server2\"; } );");
	assert_string_equal(c->servers[0]->id, "server3");
	assert_string_equal(c->servers[1]->id, "server1");
	assert_string_equal(c->servers[2]->id, "server2");
}

static void values_are_taken_as_they_are(void **state)
{
	(void)state;
	loads("servers = ( { hostname = \"db1\"; user = \"'a\\\"b\\\\'\"; master_binlog_dir = \"/a "
	      "b,/c\";\n"
	      "ssh_options = \"-o 'A b'\"; } );");
	assert_string_equal(c->servers[0]->user, "'a\"b\\'");
	assert_string_equal(c->servers[0]->master_binlog_dir, "/a b,/c");
	assert_string_equal(c->servers[0]->ssh_options, "-o 'A b'");
}

static void types_are_checked(void **state)
{
	(void)state;
	fails_in_defaults("password = 0123;", "password: a text in quotes is wanted");
	fails_in_defaults("user = true;", "user: a text in quotes is wanted");
	fails_in_defaults("user = ( \"a\" );", "user: a text in quotes is wanted");
	fails_in_defaults("user = { a = 1; };", "user: a text in quotes is wanted");
	fails_in_defaults("user = [ \"a\" ];", "user: a text in quotes is wanted");
	fails_in_defaults("port = \"3306\";", "port: a number without quotes is wanted");
	fails_in_defaults("port = 3306.0;", "port: a number without quotes is wanted");
	fails_in_defaults(
	        "check_repl_delay = \"false\";", "check_repl_delay: true or false is wanted");
	fails_in_defaults("check_repl_delay = 2;", "check_repl_delay: true or false is wanted");
	fails_in_defaults("ping_interval = 0.5;", "a duration like \"250ms\" is wanted");
	fails_in_defaults("tls = off;", "syntax error");
	fails_in_defaults("tls = false;", "tls: a text in quotes is wanted");
}

static void values_are_checked(void **state)
{
	(void)state;
	fails_in_defaults("port = 65536;", "port: \"65536\" is not allowed");
	fails_in_defaults("port = 4294970602L;", "\"4294970602\" is not allowed");
	fails_in_defaults("ping_interval = 0;", "allowed: 100ms to 24h");
	fails_in_defaults("query_timeout = \"11m\";", "allowed: 100ms to 10m");
	fails_in_defaults("connect_timeout = \"61s\";", "allowed: 100ms to 1m");
	fails_in_defaults("hook_timeout = \"999ms\";", "allowed: 1s to 1h");
	fails_in_defaults("tls = \"always\";", "allowed: off, preferred, required, verify");
	fails_in_defaults("tls = \"\";", "tls: \"\" is not allowed");
}

static void unknown_names(void **state)
{
	(void)state;
	fails_in_defaults("ping_intervall = 3;", "did you mean ping_interval?");
	fails_in_defaults("name = \"x\";", "Parameter name name is invalid!");
	fails("port = 3306;\n" SERVERS, 1, "write it inside defaults = { ... };");
	fails("\nserver = ( { hostname = \"db1\"; } );\n", 2, "did you mean servers?");
	fails("binlog_server = ();\nzzzzzzzzzz = 1;\nport = 1;\n", 1,
	        "did you mean binlog_servers?");
	assert_int_equal(problem_line(true, "shop.conf", "zzzzzzzzzz is invalid"), 2);
	assert_int_equal(problem_line(true, "shop.conf", "port is invalid"), 3);
	assert_int_equal(problem_line(true, "shop.conf", "There is no server"), 0);
	fails("servers = ( {\n hostname = \"db1\";\n usr = \"x\"; } );", 3, "did you mean user?");
}

static void shapes(void **state)
{
	(void)state;
	fails("defaults = 1;\n" SERVERS, 1, "defaults is written { ... }");
	fails("servers = { hostname = \"db1\"; };\n", 1, "servers is written ( { ... }, { ... } )");
	fails("servers = ( \"db1\" );\n", 1, "a server is written {");
	fails("servers = (\n{ hostname = \"a\"; },\n{ hostname = \"a\"; port = 1; } );\n", 3,
	        "Two servers are called \"a\"");
	loads("servers = (\n{ hostname = \"a\"; },\n{ name = \"b\"; hostname = \"a\"; port = 1; } "
	      ");\n");
	fails("servers = (\n{ name = \"\"; hostname = \"a\"; } );\n", 2,
	        "name: a text in quotes is wanted");
	fails("servers = (\n{ name = 5; hostname = \"a\"; } );\n", 2,
	        "name: a text in quotes is wanted");
	fails("servers = (\n{ port = 1; },\n { name = \"x\"; } );\n", 2, "does not have hostname!");
	assert_int_equal(problem_line(true, "shop.conf", "Server x does not have hostname!"), 3);
	fails("binlog_servers = ( { port = 1; } );\n" SERVERS, 1, "does not have hostname!");
	fails("servers = (\n{ hostname = \"a\"; },\n{ name = \"b\"; hostname = \"a\"; } );\n", 3,
	        "duplicate ip:port(a:3306)!");
	fails("servers = ( { hostname = \"a\"\n hostname = \"b\"; } );\n", 2,
	        "duplicate setting name");
	fails("servers = (\n\n{ hostname = ; } );\n", 3, "syntax error");
	fails("", 0, "There is no server");
}

static void reach_is_enforced(void **state)
{
	(void)state;
	fails_in_defaults("candidate_master = true;", "candidate_master has no effect here");
	assert_int_equal(problem_line(true, "shop.conf", "move it into the blocks of servers"), 2);
	fails("servers = ( { hostname = \"a\"; init_conf_load_script = \"x\"; } );", 1,
	        "move it into the defaults");
	fails_in_defaults("http_listen = \"off\";", "http_listen has no effect here");
	assert_int_equal(problem_line(true, "shop.conf", "move it into mhad.conf"), 2);
}

static void includes_are_refused(void **state)
{
	(void)state;
	fails(SERVERS "@include \"/etc/passwd\"\n", 2, "@include is not supported");
	fails(" \t@include \"x\"\n" SERVERS, 1, "@include is not supported");
	loads("# @include \"x\"\n" SERVERS "defaults = { user = \"@include\"; };\n");
}

static void the_global_file(void **state)
{
	(void)state;
	write_text("global.cnf", "defaults = { user = \"g\"; port = 1; report_script = \"/g\"; };");
	loads("defaults = { port = 2; report_script = \"\"; };\n" SERVERS);
	assert_string_equal(c->servers[0]->user, "g");
	assert_int_equal(c->servers[0]->port, 2);
	assert_null(c->servers[0]->report_script);
	assert_string_equal(c->servers[0]->origin[CONF_user].file, global_file);
	write_text("global.cnf", "defaults = { };\n" SERVERS);
	assert_false(load_text(SERVERS));
	assert_int_equal(
	        problem_line(true, "global.cnf", "the global file holds only defaults"), 2);
	write_text("global.cnf", "defaults = {\n");
	assert_false(load_text(SERVERS));
	assert_int_equal(problem_line(true, "global.cnf", "syntax error"), 2);
}

static void empty_values_hide(void **state)
{
	(void)state;
	loads("defaults = { user = \"d\"; password = \"p\"; remote_workdir = \"/d\"; "
	      "shutdown_script = \"/s\"; };\n"
	      "servers = ( { hostname = \"a\"; user = \"\"; password = \"\"; remote_workdir = "
	      "\"\"; shutdown_script = \"\"; } );");
	assert_string_equal(c->servers[0]->user, "");
	assert_null(c->servers[0]->password);
	assert_string_equal(c->servers[0]->remote_workdir, "/var/tmp");
	assert_null(c->servers[0]->shutdown_script);
	assert_string_equal(c->defaults->shutdown_script, "/s");
}

static void passwords_need_a_closed_file(void **state)
{
	static const char text[] = "defaults = { repl_password = \"secret\"; };\n" SERVERS;
	static const mode_t open_modes[] = { 0644, 0660, 0620, 0602 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(open_modes); i++) {
		write_bytes("shop.conf", text, strlen(text), open_modes[i]);
		assert_false(load("shop.conf"));
		assert_int_equal(problem_line(true, "shop.conf", "holds a password"), 0);
		assert_int_equal(problem_line(true, "shop.conf", path_of("shop.conf")), 0);
		assert_int_equal(problem_line(true, "shop.conf", "chmod 600 "), 0);
	}
	write_bytes("shop.conf", text, strlen(text), 0400);
	assert_true(load("shop.conf"));
	write_bytes("shop.conf", text, strlen(text), 0640); /* the service's group */
	assert_true(load("shop.conf"));
	write_bytes("shop.conf", SERVERS, strlen(SERVERS), 0644);
	assert_true(load("shop.conf"));
}

static void nul_bytes_are_told(void **state)
{
	static const char text[] = SERVERS "\0" SERVERS;

	(void)state;
	write_bytes("shop.conf", text, sizeof(text) - 1, 0600);
	assert_false(load("shop.conf"));
	assert_int_equal(problem_line(true, "shop.conf", "NUL byte"), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		T(a_whole_file),
		T(built_in_defaults),
		T(the_order_is_the_files),
		T(values_are_taken_as_they_are),
		T(types_are_checked),
		T(values_are_checked),
		T(unknown_names),
		T(shapes),
		T(reach_is_enforced),
		T(includes_are_refused),
		T(the_global_file),
		T(empty_values_hide),
		T(passwords_need_a_closed_file),
		T(nul_bytes_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
