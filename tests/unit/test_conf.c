/* SPDX-License-Identifier: BSD-2-Clause */
/* conf: names, secrets, init_conf_load_script, files; what does not depend on the format. */
#include "test_conf.h"
#include <dlfcn.h>
#include <netdb.h>

#define ONE "[server1]\nhostname=db1.test\n"

/* Stands in for the system's resolver: no test asks a real one. */
int getaddrinfo(
        const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
	static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	char address[32];
	int n;

	if (!real)
		real = (__typeof__(real))(uintptr_t)dlsym(RTLD_NEXT, "getaddrinfo");
	if (str_is(name, "slow.test"))
		usleep(1500000);
	if (str_is(name, "six.test"))
		return real("2001:db8::6", service, hints, ret);
	if (sscanf(name, "db%d.test", &n) != 1)
		return EAI_NONAME;
	snprintf(address, sizeof(address), "192.0.2.%d", n);
	return real(address, service, hints, ret);
}

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

static void names_are_looked_up(void **state)
{
	const struct conf_server *s;

	(void)state;
	opts.no_resolve = false;
	loads(ONE
	        "[server2]\nhostname=db2.test\nssh_host=db3.test\nport=3307\n"
	        "[server3]\nhostname=six.test\nssh_host=six.test\n[binlog1]\nhostname=db9.test\n");
	s = server("server1");
	assert_string_equal(s->ip, "192.0.2.1");
	assert_string_equal(s->ssh_address, "192.0.2.1");
	assert_string_equal(s->ssh_ip, "192.0.2.1");
	assert_string_equal(s->ssh_host, "db1.test");
	assert_string_equal(s->hostinfo, "db1.test(192.0.2.1:3306)");
	assert_null(s->origin[CONF_ip].file);
	s = server("server2");
	assert_string_equal(s->ip, "192.0.2.2");
	assert_string_equal(s->ssh_address, "192.0.2.3");
	assert_string_equal(s->hostinfo, "db2.test(192.0.2.2:3307)");
	assert_string_equal(server("server3")->ip, "2001:db8::6");
	assert_string_equal(c->binlogs[0]->ip, "192.0.2.9");
}

static void given_addresses_are_used(void **state)
{
	const struct conf_server *s;

	(void)state;
	opts.no_resolve = false;
	opts.deadline = clock_ms() - 1; /* numeric ones need no time */
	loads("[server1]\nhostname=unknown.test\nip=10.0.0.1\n"
	      "[server2]\nhostname=unknown.test\nip=10.0.0.2\nssh_host=also-unknown.test\nssh_ip="
	      "10.9.9.9\n"
	      "[server3]\nhostname=10.0.0.3\n[server4]\nhostname=::1\n");
	assert_string_equal(server("server1")->ssh_address, "10.0.0.1");
	s = server("server2");
	assert_string_equal(s->ip, "10.0.0.2");
	assert_string_equal(s->ssh_address, "10.9.9.9");
	assert_string_equal(s->ssh_ip, "10.9.9.9");
	assert_string_equal(s->ssh_host, "also-unknown.test");
	assert_string_equal(server("server3")->ip, "10.0.0.3");
	assert_string_equal(server("server4")->hostinfo, "::1(::1:3306)");
}

static void all_unknown_names_are_told(void **state)
{
	(void)state;
	opts.no_resolve = false;
	assert_false(load_text(ONE "[server2]\nhostname=nowhere.test\n"
	                           "[server3]\nhostname=db3.test\nssh_host=nobody.test\nport=x\n"
	                           "[server4]\nhostname=a\nip=no-address.test\n"));
	assert_int_equal(problem_line(true, "app1.cnf", "nowhere.test"), 4);
	assert_int_equal(problem_line(true, "app1.cnf", "nobody.test"), 7);
	assert_int_equal(problem_line(true, "app1.cnf", "port"), 8);
	assert_int_equal(problem_line(true, "app1.cnf", "no-address.test"), 11);
}

static void names_of_one_address_are_duplicates(void **state)
{
	(void)state;
	opts.no_resolve = false;
	assert_false(load_text(ONE "[server2]\nhostname=other\nip=192.0.2.1\n"));
	assert_int_equal(problem_line(true, "app1.cnf", "duplicate ip:port(192.0.2.1:3306)!"), 3);
}

static void a_dead_resolver_holds_nobody(void **state)
{
	int64_t before = clock_ms(), took;

	(void)state;
	opts.no_resolve = false;
	opts.deadline = clock_in(200);
	assert_false(load_text(ONE "[server2]\nhostname=slow.test\n"));
	took = clock_ms() - before;
	assert_true(took >= 190 && took < 1200);
	assert_int_equal(
	        problem_line(true, "app1.cnf", "slow.test: no answer from the resolver in time"),
	        4);
	assert_int_equal(problem_line(true, "app1.cnf", "db1.test"), -1);
}

static void many_names(void **state)
{
	AUTO_STR struct str text = STR_INIT;

	(void)state;
	for (int i = 1; i <= 100; i++)
		str_addf(&text, "[server%d]\nhostname=db%d.test\n", i, i);
	opts.no_resolve = false;
	loads(text.p);
	assert_string_equal(value("server77", CONF_ip), "192.0.2.77");
}

static void secrets_from_files(void **state)
{
	const struct conf_server *s;

	(void)state;
	write_text("secret", "s3cret word \r\nsecond line\n");
	{
		AUTO(free)
		char *text =
		        xasprintf("[server default]\npassword_file=%s\nrepl_password_file=%s\n" ONE
		                  "[server2]\nhostname=b\npassword=own\nrepl_password=\n",
		                path_of("secret"), path_of("secret"));

		loads(text);
	}
	s = server("server1");
	assert_string_equal(s->password, "s3cret word ");
	assert_string_equal(s->repl_password, "s3cret word ");
	assert_string_equal(s->origin[CONF_password].file, path_of("secret"));
	assert_string_equal(value("server1", CONF_password), "***");
	s = server("server2");
	assert_string_equal(s->password, "own");
	assert_null(s->password_file);
	assert_null(s->repl_password);
	assert_null(s->repl_password_file);
}

static void secret_fails(const char *setting, const char *problem)
{
	AUTO(free) char *text = xasprintf(ONE "%s\n", setting);

	assert_false(load_text(text));
	if (problem_line(true, "app1.cnf", problem) != 3) {
		print_report();
		fail_msg("no \"%s\"", problem);
	}
}

static void secrets_that_cannot_be(void **state)
{
	AUTO(free) char *open_file = xasprintf("password_file=%s", path_of("open"));
	AUTO(free) char *empty = xasprintf("password_file=%s", path_of("empty"));
	AUTO(free) char *folder = xasprintf("password_file=%s", dir);
	AUTO(free) char *twice = xasprintf("password_file=%s\npassword=x", path_of("ok"));
	AUTO(free) char *large = xasprintf("password_file=%s", path_of("large"));
	static char many[5000];

	(void)state;
	write_bytes("open", "x\n", 2, 0604);
	write_text("empty", "\nx\n");
	write_text("ok", "x\n");
	memset(many, 'x', sizeof(many));
	write_bytes("large", many, sizeof(many), 0600);
	secret_fails(open_file, "can be read by others (mode 0604)");
	assert_int_equal(problem_line(true, "", "chmod o= "), 3);
	secret_fails(empty, "is empty");
	secret_fails(folder, "not a regular file");
	secret_fails(large, "is longer than 4096 bytes");
	secret_fails(twice, "password and password_file are both set");
	secret_fails("password_file=/nonexistent/x", "No such file");
	secret_fails("password_file=relative", "neither an absolute path nor credential:NAME");
	secret_fails("repl_password_file=relative", "repl_password_file: ");
}

static void credentials(void **state)
{
	(void)state;
	unsetenv("CREDENTIALS_DIRECTORY");
	secret_fails("password_file=credential:shop", "gave this process no credentials");
	assert_int_equal(problem_line(true, "", "LoadCredential=shop:"), 3);
	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	write_bytes("shop", "from systemd", 12, 0440);
	secret_fails("password_file=credential:../shop", "is no name of a credential");
	secret_fails("password_file=credential:", "is no name of a credential");
	secret_fails("password_file=credential:other", "No such file");
	loads(ONE "password_file=credential:shop\n");
	assert_string_equal(server("server1")->password, "from systemd");
	unsetenv("CREDENTIALS_DIRECTORY");
}

/* The script prints `output`, as printf(1) knows it, and ends with `status`. */
static bool load_with_script(const char *output, int status)
{
	AUTO(free)
	char *text = xasprintf("[server default]\nuser=app\nrepl_user=app\n"
	                       "init_conf_load_script=printf '%s'; echo oops >&2; exit %d\n" ONE
	                       "[server2]\nhostname=b\nuser=own\n",
	        output, status);

	return load_text(text);
}

static void the_script_is_a_level(void **state)
{
	(void)state;
	write_text("global.cnf", "[server default]\nport=1\n");
	assert_true(load_with_script("user=s\\npassword=\"quoted\"\\nport=2\\n", 0));
	assert_string_equal(server("server1")->user, "s");
	assert_string_equal(server("server1")->password, "quoted");
	assert_int_equal(server("server1")->port, 2);
	assert_string_equal(server("server2")->user, "own");
	assert_string_equal(server("server1")->repl_user, "app");
	assert_int_equal(strncmp(server("server1")->origin[CONF_port].file,
	                         "init_conf_load_script printf", 28),
	        0);
	assert_int_equal(server("server1")->origin[CONF_port].line, 3);
	opts.no_script = true;
	assert_true(load_with_script("user=s", 0));
	assert_string_equal(server("server1")->user, "app");
}

static void the_script_may_be_global(void **state)
{
	(void)state;
	write_text("global.cnf", "[server default]\ninit_conf_load_script=echo user=g\n");
	loads(ONE);
	assert_string_equal(server("server1")->user, "g");
	loads("[server default]\ninit_conf_load_script=\n" ONE);
	assert_string_equal(server("server1")->user, "root");
}

static void script_fails(const char *output, int status, int line, const char *problem)
{
	assert_false(load_with_script(output, status));
	if (problem_line(true, "init_conf_load_script printf", problem) != line) {
		print_report();
		fail_msg("no \"%s\" in line %d", problem, line);
	}
}

static void scripts_that_go_wrong(void **state)
{
	(void)state;
	script_fails("user=s\\n", 3, 0, "exit status 3: oops");
	script_fails("user=s\\n\\nport=1\\n", 0, 2, "not name=value");
	script_fails("hello\\n", 0, 1, "not name=value");
	script_fails("usr=s\\n", 0, 1, "did you mean user?");
	script_fails("user=s\\nport=99999\\n", 0, 2, "port: \"99999\" is not allowed");
	assert_false(
	        load_text("[server default]\ninit_conf_load_script=/nonexistent/script\n" ONE));
	assert_int_equal(
	        problem_line(true, "init_conf_load_script /nonexistent/script", "exit status 127"),
	        0);
	assert_true(load_with_script("password=ab=cd\\n", 0));
	assert_string_equal(server("server1")->password, "ab");
	assert_int_equal(problem_line(false, "init_conf_load_script", "cut"), 1);
	assert_true(load_with_script("candidate_master=1\\n", 0));
	assert_int_equal(problem_line(false, "init_conf_load_script", "no effect"), 1);
}

static void a_hanging_script_is_ended(void **state)
{
	int64_t before = clock_ms();

	(void)state;
	opts.deadline = clock_in(200);
	assert_false(load_text("[server default]\ninit_conf_load_script=sleep 20\n" ONE));
	assert_int_equal(
	        problem_line(true, "init_conf_load_script sleep 20", "did not end in time"), 0);
	assert_true(clock_ms() - before < 5000);
}

static void files_that_cannot_be_read(void **state)
{
	(void)state;
	assert_false(load("missing.cnf"));
	assert_int_equal(problem_line(true, "missing.cnf", "No such file"), 0);
	assert_int_equal(mkdir(path_of("folder.cnf"), 0700), 0);
	assert_false(load("folder.cnf"));
	assert_int_equal(problem_line(true, "folder.cnf", "not a regular file"), 0);
	assert_int_equal(mkfifo(path_of("pipe.cnf"), 0600), 0);
	assert_false(load("pipe.cnf"));
	assert_int_equal(problem_line(true, "pipe.cnf", "not a regular file"), 0);
	write_text("app1.cnf", ONE);
	opts.global_path = dir;
	assert_false(load("app1.cnf"));
	assert_int_equal(problem_line(true, dir, "not a regular file"), 0);
}

static void names_and_formats(void **state)
{
	(void)state;
	write_text("a.b.cnf", ONE);
	write_text("plain", "servers = ( { hostname = \"db1\"; } );");
	assert_true(load("a.b.cnf"));
	assert_string_equal(c->name, "a.b");
	assert_int_equal(c->format, CONF_MHA);
	assert_string_equal(c->path, path_of("a.b.cnf"));
	assert_int_equal(symlink(path_of("a.b.cnf"), path_of("link")), 0);
	opts.force_format = CONF_MHA;
	assert_true(load("link"));
	assert_string_equal(c->name, "link");
	assert_string_equal(c->real_path, path_of("a.b.cnf"));
	opts.force_format = CONF_BY_NAME;
	assert_true(load("plain"));
	assert_string_equal(c->name, "plain");
	assert_int_equal(c->format, CONF_NATIVE);
	assert_string_equal(c->servers[0]->hostinfo, "db1:3306");
}

static void the_report_is_optional(void **state)
{
	(void)state;
	write_text("app1.cnf", "[server1]\n");
	opts.path = path_of("app1.cnf");
	assert_null(conf_load(&opts, NULL, NULL));
	assert_null(conf_load(&opts, NULL, &err));
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_non_null(strstr(err.text, "app1.cnf:1: Server server1 does not have hostname!"));
	conf_free(NULL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		T(names_are_looked_up),
		T(given_addresses_are_used),
		T(all_unknown_names_are_told),
		T(names_of_one_address_are_duplicates),
		T(a_dead_resolver_holds_nobody),
		T(many_names),
		T(secrets_from_files),
		T(secrets_that_cannot_be),
		T(credentials),
		T(the_script_is_a_level),
		T(the_script_may_be_global),
		T(scripts_that_go_wrong),
		T(a_hanging_script_is_ended),
		T(files_that_cannot_be_read),
		T(names_and_formats),
		T(the_report_is_optional),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
