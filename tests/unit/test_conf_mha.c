/* SPDX-License-Identifier: BSD-2-Clause */
/* conf_mha: MHA's files, rule by rule as MHA reads them. */
#include "test_conf.h"

#define ONE "[server1]\nhostname=db1\n"

static bool load_text(const char *text)
{
	write_text("app1.cnf", text);
	return load("app1.cnf");
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
	if (problem_line(true, "app1.cnf", problem) != line) {
		print_report();
		fail_msg("no \"%s\" in line %d of: %s", problem, line, text);
	}
}

/* The value that user gets when the line is written in the server's block. */
static void user_is(const char *line, const char *want)
{
	AUTO(free) char *text = xasprintf(ONE "%s\n", line);

	loads(text);
	assert_string_equal(server("server1")->user, want);
}

static void line_ends(void **state)
{
	(void)state;
	loads("[server1]\r\nhostname=db1\r\nuser=a\r\n");
	assert_string_equal(value("server1", CONF_user), "a");
	loads("[server1]\rhostname=db1\ruser=a\r");
	assert_string_equal(value("server1", CONF_user), "a");
	loads("[server1]\r\r\nhostname=db1\n\ruser=a");
	assert_string_equal(value("server1", CONF_user), "a");
	fails("[server1]\r\nhostname=db1\r\n\r\nnonsense\r\n", 4,
	        "neither a section nor name=value");
	fails("[server1]\r\r\nhostname=db1\r\rnonsense\r", 4, "neither a section");
}

static void comments(void **state)
{
	(void)state;
	loads("# a\n  ; b\n \t # user=x\n" ONE "\n#user=y\n");
	assert_string_equal(value("server1", CONF_user), "root");
	user_is("user=a ; b", "a");
	user_is("user=a\t;\tb ; c", "a");
	user_is("user=a # b", "a # b");
	user_is("user=a;b", "a;b");
	user_is("user=a ;b", "a ;b");
	user_is("user=a; b", "a; b");
	user_is("user=a ;", "a ;");
	user_is("user=a ; ", "a ;");
	user_is("user=a ;  ", "a");
	loads("[server1] ; first\nhostname=db1\n");
	fails("[server1] # first\nhostname=db1\n", 1, "neither a section nor name=value");
}

static void sections_and_properties(void **state)
{
	(void)state;
	loads("  [  server1  ]  \n  hostname  =  db1  \n user\t=\ta b\n");
	assert_string_equal(value("server1", CONF_user), "a b");
	user_is("user=a=b=c", "a=b=c");
	user_is("user==", "=");
	fails(ONE "User=a\n", 3, "did you mean user?");
	fails(ONE "just text\n" ONE, 3, "neither a section nor name=value");
	fails(ONE "=a\n", 3, "neither a section nor name=value");
	fails("user=a\n" ONE, 1, "Block name \"_\" is invalid.");
	loads(ONE "user=a\nuser=b\n[server2]\nhostname=db2\n[server1]\nport=3307\n");
	assert_string_equal(value("server1", CONF_user), "b");
	assert_string_equal(value("server1", CONF_port), "3307");
	assert_int_equal(c->n_servers, 2);
	loads("[server1]\nhostname=db1\nuser=first\n[server1]\nuser=last\n");
	assert_string_equal(value("server1", CONF_user), "last");
	fails("[server1]\nhostname=db1\nuser=a\\\nb\n", 4, "neither");
}

static void nul_bytes_are_told(void **state)
{
	static const char text[] = "[server1]\nhostname=db1\nuser=a\0b\n";

	(void)state;
	write_bytes("app1.cnf", text, sizeof(text) - 1, 0600);
	assert_false(load("app1.cnf"));
	assert_int_equal(problem_line(true, "app1.cnf", "NUL byte"), 3);
}

static void block_names(void **state)
{
	static const char *const wrong[] = { "server", "binlog", "Server1", "server default2x",
		"db1", "server default ]", "xserver1", "manager", "Server Default" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		AUTO(free) char *text = xasprintf(ONE "[%s]\n", wrong[i]);

		fails(text, 3, "is invalid.");
	}
	loads("[server_a]\nhostname=db1\n[server-1]\nhostname=db2\n[binlog_x]\nhostname=db3\n");
	assert_int_equal(c->n_servers, 2);
	assert_int_equal(c->n_binlogs, 1);
	assert_true(c->binlogs[0]->is_binlog_server);
	assert_string_equal(c->binlogs[0]->id, "binlog_x");
}

static void servers_are_needed(void **state)
{
	(void)state;
	fails("[server default]\nuser=a\n", 0, "There is no server");
	fails("[binlog1]\nhostname=db1\n", 0, "There is no server");
	fails("", 0, "There is no server");
}

static void hostnames_are_needed(void **state)
{
	(void)state;
	fails(ONE "[server2]\nport=1\n", 3, "Server server2 does not have hostname!");
	fails(ONE "[server2]\nhostname=\n", 3, "Server server2 does not have hostname!");
	fails(ONE "[server2]\nhostname=0\n", 3, "Server server2 does not have hostname!");
	fails("[server default]\nhostname=db1\n[server1]\n", 3, "does not have hostname!");
	loads(ONE "[binlog1]\nport=1\n");
	assert_int_equal(c->n_binlogs, 0);
	assert_int_equal(problem_line(false, "app1.cnf", "left out"), 3);
}

static void unknown_names_are_all_told(void **state)
{
	(void)state;
	fails("[server default]\nping_intervall=3\nshutdown_skript=x\nqqqqqqqqqqq=1\n" ONE
	      "candidate=1\n",
	        2, "Parameter name ping_intervall is invalid!");
	assert_int_equal(problem_line(true, "app1.cnf", "did you mean ping_interval?"), 2);
	assert_int_equal(problem_line(true, "app1.cnf", "did you mean shutdown_script?"), 3);
	assert_int_equal(problem_line(true, "app1.cnf", "qqqqqqqqqqq"), 4);
	assert_int_equal(problem_line(true, "app1.cnf", "candidate is invalid"), 7);
	assert_non_null(strstr(err.text, "app1.cnf:2: Parameter name ping_intervall"));
	assert_string_equal(err.hint, "did you mean ping_interval?");
	assert_string_equal(report.items[3].hint, "");
}

static void order_is(const char *names, ...)
{
	AUTO_STR struct str text = STR_INIT;
	const char *want;
	size_t i = 0;
	va_list ap;

	for (const char *p = names; *p; p += strcspn(p, " "), p += strspn(p, " "))
		str_addf(&text, "[%.*s]\nhostname=h%zu\n", (int)strcspn(p, " "), p,
		        (size_t)(p - names));
	loads(text.p);
	va_start(ap, names);
	while ((want = va_arg(ap, const char *)))
		assert_string_equal(c->servers[i++]->id, want);
	va_end(ap);
	assert_int_equal(i, c->n_servers);
}

static void servers_are_ordered_as_mha_does(void **state)
{
	(void)state;
	order_is("server10 server2 server1", "server1", "server2", "server10", NULL);
	order_is("server_db10 server_db9 server1", "server1", "server_db9", "server_db10", NULL);
	order_is("server_a server2 server10", "server10", "server2", "server_a", NULL);
	order_is("server2x9 server1x10", "server1x10", "server2x9", NULL);
	order_is("server007 server6 server08", "server6", "server007", "server08", NULL);
	order_is("server99999999999999999999999 server3", "server3",
	        "server99999999999999999999999", NULL);
	loads(ONE "[binlog10]\nhostname=a\n[binlog2]\nhostname=b\n");
	assert_string_equal(c->binlogs[0]->id, "binlog10");
}

static void duplicates(void **state)
{
	(void)state;
	fails(ONE "[server2]\nhostname=db1\n", 3, "duplicate ip:port(db1:3306)!");
	loads(ONE "[server2]\nhostname=db1\nport=3307\n");
	loads(ONE "[binlog1]\nhostname=db1\n");
	fails("[server1]\nhostname=a\nip=10.0.0.1\n[server2]\nhostname=b\nip=10.0.0.1\n", 4,
	        "server1 and server2 have duplicate ip:port(10.0.0.1:3306)!");
}

static void ping_type(void **state)
{
	(void)state;
	loads(ONE "ping_type=insert\n");
	assert_int_equal(server("server1")->ping_type, CONF_PING_INSERT);
	loads(ONE "ping_type=Connect\n");
	assert_int_equal(server("server1")->ping_type, CONF_PING_CONNECT);
	loads(ONE);
	assert_int_equal(server("server1")->ping_type, CONF_PING_SELECT);
	fails(ONE "ping_type=PING\n", 3, "\"PING\" is not allowed");
	assert_int_equal(problem_line(true, "", "allowed: CONNECT, SELECT, INSERT"), 3);
	fails(ONE "ping_type=\"SELECT\"\n", 3, "is not allowed");
	fails(ONE "ping_type=\n", 3, "is not allowed");
}

static void durations(void **state)
{
	static const char *const wrong[] = { "0", "1.5", "", "\"3\"", "'3'", "-1", "3 s", "99ms",
		"25h", "3d", "ms", "99999999999999999999", "+3", "3S" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		AUTO(free) char *a = xasprintf(ONE "ping_interval=%s\n", wrong[i]);
		AUTO(free)
		char *b = xasprintf(ONE "[server default]\nssh_connection_timeout=%s\n", wrong[i]);

		fails(a, 3, "ping_interval: ");
		fails(b, 4, "ssh_connection_timeout: ");
		assert_int_equal(problem_line(true, "", "allowed: 100ms to 24h"), 4);
	}
	loads(ONE "ping_interval=1\nssh_connection_timeout=250ms\n");
	assert_int_equal(server("server1")->ping_interval, 1000);
	assert_int_equal(server("server1")->ssh_connection_timeout, 250);
	loads(ONE "ping_interval=2m\nssh_connection_timeout=3s\n");
	assert_int_equal(server("server1")->ping_interval, 120000);
	assert_string_equal(value("server1", CONF_ping_interval), "2m");
	assert_string_equal(value("server1", CONF_ssh_connection_timeout), "3s");
}

/* MHA checks each level on its own: a bad value that is overridden is fatal too. */
static void overridden_values_are_checked(void **state)
{
	(void)state;
	fails("[server default]\nping_interval=0\n" ONE "ping_interval=3\n", 2, "ping_interval");
	write_text("global.cnf", "[server default]\nping_interval=x\n");
	assert_false(load_text("[server default]\nping_interval=3\n" ONE));
	assert_int_equal(problem_line(true, "global.cnf", "ping_interval"), 2);
}

static void a_bad_default_is_told_once(void **state)
{
	(void)state;
	fails("[server default]\nport=x\n" ONE "[server2]\nhostname=db2\n", 2,
	        "port: \"x\" is not allowed");
	assert_int_equal(problem_line(true, "", "allowed: 1 to 65535"), 2);
	assert_int_equal(report.len, 2); /* and the missing global file */
}

static void quotes(void **state)
{
	(void)state;
	user_is("user=\"a b\"", "a b");
	user_is("user='x'y'", "x'y");
	user_is("user=abc'", "abc");
	user_is("user='abc", "'abc");
	user_is("user=\"abc'", "abc");
	user_is("user=\"\"", "");
	user_is("user=\"", "");
	user_is("user='a;b'", "a;b");
	fails("[server1]\nhostname=\"db1\"\n", 2, "remove the quotes");
	loads("[server1]\nhostname=db1\nip='10.0.0.1'\nport=\"3307\"\n");
	assert_string_equal(value("server1", CONF_ip), "10.0.0.1");
	assert_int_equal(server("server1")->port, 3307);
}

static void each_level_takes_a_layer_of_quotes(void **state)
{
	(void)state;
	loads("[server default]\nuser='\"a\"'\n" ONE);
	assert_string_equal(value("server1", CONF_user), "a");
	loads(ONE "user='\"a\"'\n");
	assert_string_equal(value("server1", CONF_user), "\"a\"");
	write_text("global.cnf", "[server default]\nuser='''a'''\nrepl_user=''''b''''\n");
	loads(ONE);
	assert_string_equal(value("server1", CONF_user), "a");
	assert_string_equal(value("server1", CONF_repl_user), "'b'");
	assert_string_equal(c->defaults->user, "a");
}

static void binlog_dir_and_ssh_options(void **state)
{
	(void)state;
	loads(ONE "master_binlog_dir=/a b/c , \t/d\nssh_options=-o \"A=b c\" -i '/x'\n");
	assert_string_equal(value("server1", CONF_master_binlog_dir), "/ab/c,/d");
	assert_string_equal(value("server1", CONF_ssh_options), "-o A=b c -i /x");
}

static void booleans_are_perls(void **state)
{
	static const struct {
		const char *text;
		bool want;
	} cases[] = { { "1", true }, { "0", false }, { "", false }, { "no", true }, { "off", true },
		{ "00", true }, { "'0'", false }, { "2", true }, { "-1", true },
		{ "\"\"", false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(free)
		char *text = xasprintf(
		        ONE "ignore_fail=%s\nlatest_priority=%s\n", cases[i].text, cases[i].text);

		loads(text);
		assert_int_equal(server("server1")->ignore_fail, cases[i].want);
		assert_int_equal(server("server1")->latest_priority, cases[i].want);
	}
	loads(ONE "disable_log_bin=No\n");
	assert_int_equal(problem_line(false, "app1.cnf", "means yes in this format"), 3);
	loads(ONE "disable_log_bin=yes\n");
	assert_int_equal(problem_line(false, "app1.cnf", "means yes in this format"), -1);
}

static void counts_are_numbers(void **state)
{
	(void)state;
	loads(ONE "candidate_master=2\nno_master=-1\n[server2]\nhostname=db2\ncandidate_master="
	          "\nno_master=1\n");
	assert_true(server("server1")->candidate_master);
	assert_false(server("server1")->no_master);
	assert_false(server("server2")->candidate_master);
	assert_true(server("server2")->no_master);
	fails(ONE "candidate_master=yes\n", 3, "candidate_master: \"yes\" is not allowed");
}

static void reach(void **state)
{
	(void)state;
	loads("[server "
	      "default]\ncandidate_master=1\nno_master=1\nignore_fail=1\nskip_init_ssh_check=1\nip="
	      "1.2.3.4\n"
	      "node_label=x\nssh_host=y\n" ONE "init_conf_load_script=false\n");
	assert_false(server("server1")->candidate_master);
	assert_false(server("server1")->no_master);
	assert_false(server("server1")->ignore_fail);
	assert_false(server("server1")->skip_init_ssh_check);
	assert_null(server("server1")->ip);
	assert_null(server("server1")->node_label);
	assert_string_equal(server("server1")->ssh_host, "db1");
	assert_null(server("server1")->init_conf_load_script);
	assert_int_equal(problem_line(false, "app1.cnf", "candidate_master has no effect here"), 2);
	assert_int_equal(
	        problem_line(false, "app1.cnf", "init_conf_load_script has no effect here"), 11);
}

static void precedence(void **state)
{
	(void)state;
	write_text("global.cnf", "[server default]\nuser=g\nport=1\nrepl_user=g\nssh_user=g\n");
	loads("[server "
	      "default]\nuser=a\nport=2\nrepl_user=a\n[server1]\nhostname=db1\nuser=s\n[server2]"
	      "\nhostname=db2\n"
	      "port=3\n");
	assert_string_equal(value("server1", CONF_user), "s");
	assert_string_equal(value("server1", CONF_port), "2");
	assert_string_equal(value("server1", CONF_repl_user), "a");
	assert_string_equal(value("server2", CONF_user), "a");
	assert_string_equal(value("server2", CONF_port), "3");
	assert_string_equal(value("server2", CONF_ssh_user), "g");
	assert_string_equal(server("server2")->origin[CONF_ssh_user].file, path_of("global.cnf"));
	assert_int_equal(server("server2")->origin[CONF_ssh_user].line, 5);
	assert_string_equal(server("server1")->origin[CONF_user].file, path_of("app1.cnf"));
	assert_int_equal(server("server1")->origin[CONF_user].line, 7);
	assert_null(server("server1")->origin[CONF_log_level].file);
	assert_string_equal(c->defaults->user, "a");
	assert_int_equal(server("server2")->block_line, 8);
}

static void empty_values_hide(void **state)
{
	(void)state;
	write_text("global.cnf",
	        "[server "
	        "default]\nreport_script=/r\nshutdown_script=/s\nmanager_log=/l\nuser=g\nport=1\n"
	        "ssh_user=g\nssh_port=1\nlog_level=debug\nremote_workdir=/g\nmanager_workdir=/g\n"
	        "master_binlog_dir=/g\ncheck_repl_delay=1\npassword=g\n");
	loads("[server "
	      "default]\nreport_script=\nmanager_log=''\nuser=\nport=\nssh_user=\nssh_port=0\nlog_"
	      "level=\n"
	      "remote_workdir=\nmanager_workdir=\"\"\nmaster_binlog_dir=\ncheck_repl_delay=\n" ONE
	      "[server2]\nhostname=db2\nuser=\nssh_user=''\npassword=\nport=\nshutdown_script=\n");
	assert_null(server("server1")->report_script);
	assert_null(server("server1")->manager_log);
	assert_string_equal(server("server1")->shutdown_script, "/s");
	assert_string_equal(server("server1")->user, "root");
	assert_int_equal(server("server1")->port, 3306);
	assert_string_not_equal(server("server1")->ssh_user, "");
	assert_string_not_equal(server("server1")->ssh_user, "g");
	assert_int_equal(server("server1")->ssh_port, 22);
	assert_string_equal(value("server1", CONF_log_level), "info");
	assert_string_equal(server("server1")->remote_workdir, "/var/tmp");
	assert_string_equal(server("server1")->manager_workdir, "/var/tmp");
	assert_string_equal(server("server1")->master_binlog_dir, "/var/lib/mysql,/var/log/mysql");
	assert_false(server("server1")->check_repl_delay);
	assert_string_equal(server("server1")->password, "g");
	assert_string_equal(server("server2")->user, "");
	assert_string_equal(server("server2")->ssh_user, "");
	assert_null(server("server2")->password);
	assert_int_equal(server("server2")->port, 3306);
	assert_null(server("server2")->shutdown_script);
}

static void ssh_options_are_per_server(void **state)
{
	(void)state;
	loads("[server default]\nssh_options=-o "
	      "A=1\nssh_connection_timeout=7\n[server1]\nhostname=db1\nssh_options=-o B=2\n"
	      "[server2]\nhostname=db2\n[server3]\nhostname=db3\nssh_options=\nssh_connection_"
	      "timeout=9\n");
	assert_string_equal(value("server1", CONF_ssh_options), "-o B=2");
	assert_string_equal(value("server2", CONF_ssh_options), "-o A=1");
	assert_null(server("server3")->ssh_options);
	assert_int_equal(server("server2")->ssh_connection_timeout, 7000);
	assert_int_equal(server("server3")->ssh_connection_timeout, 9000);
}

static void the_global_file(void **state)
{
	(void)state;
	loads(ONE);
	assert_int_equal(problem_line(false, "global.cnf", "not found. Skipping."), 0);
	write_text("global.cnf", "user=x\n[server1]\nhostname=g\nnonsense_name=1\n[whatever]\na="
	                         "b\n[server default]\nport=5\n");
	loads(ONE);
	assert_int_equal(c->n_servers, 1);
	assert_string_equal(value("server1", CONF_hostname), "db1");
	assert_string_equal(value("server1", CONF_port), "5");
	assert_int_equal(problem_line(false, "global.cnf", "[whatever] has no effect"), 5);
	write_text("global.cnf", "[server default]\nnonsense_name=1\n");
	assert_false(load_text(ONE));
	assert_int_equal(problem_line(true, "global.cnf", "nonsense_name"), 2);
	write_text("global.cnf", "[server default]\nnonsense\n");
	assert_false(load_text(ONE));
	assert_int_equal(problem_line(true, "global.cnf", "neither a section"), 2);
}

static void passwords_in_open_files_only_warn(void **state)
{
	static const char text[] = ONE "password=secret\n";

	(void)state;
	write_bytes("app1.cnf", text, strlen(text), 0644);
	assert_true(load("app1.cnf"));
	assert_int_equal(problem_line(false, "app1.cnf", "chmod 600"), 0);
	assert_string_equal(value("server1", CONF_password), "***");
	assert_string_equal(server("server1")->password, "secret");
	assert_int_equal(chmod(path_of("app1.cnf"), 0600), 0);
	assert_true(load("app1.cnf"));
	assert_int_equal(problem_line(false, "app1.cnf", "chmod 600"), -1);
}

static void own_settings_and_defaults(void **state)
{
	(void)state;
	loads(ONE);
	assert_string_equal(value("server1", CONF_tls), "off");
	assert_string_equal(value("server1", CONF_ssh_host_keys), "accept-new");
	assert_string_equal(value("server1", CONF_ssh_known_hosts), "/var/lib/mhad/known_hosts");
	assert_int_equal(server("server1")->connect_timeout, 4000);
	assert_int_equal(server("server1")->query_timeout, 10000);
	assert_int_equal(server("server1")->hook_timeout, 60000);
	loads("[server default]\ntls=verify-ca\ntls_ca=/ca\nhook_timeout=5m\n" ONE
	      "ssh_transport=openssh\n");
	assert_string_equal(value("server1", CONF_tls), "verify-ca");
	assert_string_equal(value("server1", CONF_tls_ca), "/ca");
	assert_int_equal(server("server1")->hook_timeout, 300000);
	assert_string_equal(value("server1", CONF_ssh_transport), "openssh");
	fails(ONE "tls=yes\n", 3, "allowed: off, preferred, required, verify-ca, verify-identity");
}

static void log_levels(void **state)
{
	(void)state;
	loads(ONE "log_level=DEBUG\n");
	assert_string_equal(value("server1", CONF_log_level), "debug");
	loads(ONE "log_level=crit\n");
	assert_string_equal(value("server1", CONF_log_level), "error");
	fails(ONE "log_level=loud\n", 3, "\"loud\" is not allowed");
}

static void problems_hold_no_control_bytes_and_no_secrets(void **state)
{
	(void)state;
	fails(ONE "\x1b[31mname=1\n", 3, "?[31mname");
	fails(ONE "password secret\n", 3, "neither");
	assert_int_equal(problem_line(true, "", "secret"), -1);
}

static void problems_and_sections_are_bounded(void **state)
{
	AUTO_STR struct str text = STR_INIT;

	(void)state;
	for (int i = 0; i < 3000; i++)
		str_addf(&text, "[server%d]\nhostname=h%d\nwrong%d=1\n", i, i, i);
	assert_false(load_text(text.p));
	assert_int_equal(report.len, 200);
	str_clear(&text);
	for (int i = 0; i < 1001; i++)
		str_addf(&text, "[server%d]\nhostname=h%d\n", i, i);
	fails(text.p, 2001, "More than 1000 sections");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		T(line_ends),
		T(comments),
		T(sections_and_properties),
		T(nul_bytes_are_told),
		T(block_names),
		T(servers_are_needed),
		T(hostnames_are_needed),
		T(unknown_names_are_all_told),
		T(servers_are_ordered_as_mha_does),
		T(duplicates),
		T(ping_type),
		T(durations),
		T(overridden_values_are_checked),
		T(a_bad_default_is_told_once),
		T(quotes),
		T(each_level_takes_a_layer_of_quotes),
		T(binlog_dir_and_ssh_options),
		T(booleans_are_perls),
		T(counts_are_numbers),
		T(reach),
		T(precedence),
		T(empty_values_hide),
		T(ssh_options_are_per_server),
		T(the_global_file),
		T(passwords_in_open_files_only_warn),
		T(own_settings_and_defaults),
		T(log_levels),
		T(problems_hold_no_control_bytes_and_no_secrets),
		T(problems_and_sections_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
