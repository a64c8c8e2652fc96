/* SPDX-License-Identifier: BSD-2-Clause */
/* hook: MHA's argument lists, bytes that arrive as they are, and ends that are forced. */
#include "hook.h"
#include "clock.h"
#include "job.h"
#include "loop.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static struct conf_server plain(void)
{
	struct conf_server s = {
		.id = "server1",
		.hostname = "db1",
		.ip = "10.0.0.1",
		.port = 3306,
		.ssh_host = "db1",
		.ssh_address = "10.0.0.1",
		.ssh_port = 22,
		.ssh_user = "root",
		.ssh_connection_timeout = 5000,
		.user = "mha",
		.password = "p1",
		.hook_passwords = true,
		.ping_type = CONF_PING_SELECT,
		.master_ip_failover_script = "/usr/local/bin/failover",
		.master_ip_online_change_script = "/usr/local/bin/online",
		.shutdown_script = "/usr/local/bin/power",
		.report_script = "/usr/local/bin/report",
		.secondary_check_script = "/usr/local/bin/second",
	};

	return s;
}

static struct conf_server second(void)
{
	struct conf_server s = plain();

	s.id = "server2";
	s.hostname = "db2";
	s.ip = "10.0.0.2";
	s.port = 3307;
	s.ssh_host = "db2";
	s.ssh_address = "10.0.0.2";
	s.ssh_user = "mysql";
	s.password = "p2";
	return s;
}

/* Both with all that can be said about SSH. */
static void far(struct conf_server *a, struct conf_server *b)
{
	a->ssh_host = "db1-adm";
	a->ssh_address = "192.168.9.1";
	a->ssh_port = 2201;
	a->ssh_options = "-o ProxyJump=gate";
	b->ssh_host = "db2-adm";
	b->ssh_address = "192.168.9.2";
	b->ssh_port = 2202;
	b->ssh_options = "-o ProxyJump=gate";
}

#define LONG_SET                                                                                   \
	"--ssh_options=-o ServerAliveInterval=60 -o ServerAliveCountMax=20 -o "                    \
	"StrictHostKeyChecking=no -o ConnectionAttempts=5 -o PasswordAuthentication=no "           \
	"-o BatchMode=yes -o ProxyJump=gate"
#define CHECK_SET                                                                                  \
	"--ssh_options=-o StrictHostKeyChecking=no -o PasswordAuthentication=no -o "               \
	"BatchMode=yes -o ConnectTimeout=5 -o ProxyJump=gate"

/* Each argument as it is, in this order, and no more.  Frees the hook. */
static void assert_args_of(struct hook *h, const char *const *expected)
{
	const char *const *a;

	assert_non_null(h);
	for (a = hook_args(h); *a && *expected; a++, expected++)
		assert_string_equal(*a, *expected);
	assert_null(*a);
	assert_null(*expected);
	hook_free(h);
}
#define assert_args(h, ...) assert_args_of((h), (const char *const[]){ __VA_ARGS__, NULL })

static void assert_text(struct hook *h, const char *expected)
{
	AUTO(free) char *text = hook_text(h);

	assert_string_equal(text, expected);
	hook_free(h);
}

static void status_of_a_plain_master(void **state)
{
	struct conf_server s = plain();

	(void)state;
	assert_text(hook_ip_failover_status(&s),
	        "/usr/local/bin/failover --command=status --ssh_user=root "
	        "--orig_master_host=db1 --orig_master_ip=10.0.0.1 --orig_master_port=3306");
	assert_text(hook_shutdown_status(&s),
	        "/usr/local/bin/power --command=status --ssh_user=root --host=db1 --ip=10.0.0.1");
}

static void ssh_arguments_only_where_ssh_differs(void **state)
{
	struct conf_server s = plain();

	(void)state;
	s.ssh_host = "db1-adm";
	s.ssh_address = "192.168.9.1";
	s.ssh_port = 2222;
	assert_text(hook_ip_failover_status(&s),
	        "/usr/local/bin/failover --command=status --ssh_user=root "
	        "--orig_master_host=db1 --orig_master_ip=10.0.0.1 --orig_master_port=3306 "
	        "--orig_master_ssh_host=db1-adm --orig_master_ssh_ip=192.168.9.1 "
	        "--orig_master_ssh_port=2222");
	assert_text(hook_shutdown_status(&s),
	        "/usr/local/bin/power --command=status --ssh_user=root --host=db1 "
	        "--ip=10.0.0.1 --ssh_host=db1-adm --ssh_ip=192.168.9.1 --ssh_port=2222");
	s = plain();
	s.ssh_port = 2222;
	assert_text(hook_shutdown_status(&s),
	        "/usr/local/bin/power --command=status --ssh_user=root --host=db1 "
	        "--ip=10.0.0.1 --ssh_port=2222");
}

static void ssh_options_are_one_argument_and_last(void **state)
{
	struct conf_server s = plain();
	struct hook *h;
	size_t n = 0;

	(void)state;
	s.ssh_options = "-o ProxyJump=gate";
	s.ssh_connection_timeout = 2500;
	h = hook_shutdown_status(&s);
	while (hook_args(h)[n])
		n++;
	assert_int_equal(n, 5);
	assert_string_equal(hook_args(h)[4],
	        "--ssh_options=-o StrictHostKeyChecking=no -o PasswordAuthentication=no "
	        "-o BatchMode=yes -o ConnectTimeout=3 -o ProxyJump=gate");
	hook_free(h);
}

static void no_script_no_hook(void **state)
{
	struct conf_server s = plain(), t = second();

	(void)state;
	s.master_ip_failover_script = s.master_ip_online_change_script = NULL;
	s.shutdown_script = s.report_script = s.secondary_check_script = "";
	assert_null(hook_ip_failover_status(&s));
	assert_null(hook_ip_failover_stop(&s, true));
	assert_null(hook_ip_failover_start(&t, &s));
	assert_null(hook_shutdown_status(&s));
	assert_null(hook_shutdown(&s, false));
	assert_null(hook_secondary_check(&s));
	assert_null(hook_report(&s, "/etc/a.cnf", "s", "b"));
	assert_null(hook_report_failover(&s, &t, "", "/etc/a.cnf", "s", "b"));
	assert_null(hook_online_change(true, &s, &t, false));
	assert_null(hook_online_change(false, &t, &s, false));
	/* The new master's setting decides, the old one's stops. */
	assert_null(hook_online_change(true, &t, &s, false));
}

static void a_dead_master_loses_its_address(void **state)
{
	struct conf_server a = plain(), b = second();

	(void)state;
	assert_args(hook_ip_failover_stop(&a, true), "--orig_master_host=db1",
	        "--orig_master_ip=10.0.0.1", "--orig_master_port=3306", "--command=stopssh",
	        "--ssh_user=root");
	assert_args(hook_ip_failover_stop(&a, false), "--orig_master_host=db1",
	        "--orig_master_ip=10.0.0.1", "--orig_master_port=3306", "--command=stop");
	far(&a, &b);
	assert_args(hook_ip_failover_stop(&a, true), "--orig_master_host=db1",
	        "--orig_master_ip=10.0.0.1", "--orig_master_port=3306", "--command=stopssh",
	        "--ssh_user=root", "--orig_master_ssh_host=db1-adm",
	        "--orig_master_ssh_ip=192.168.9.1", "--orig_master_ssh_port=2201", LONG_SET);
	assert_args(hook_ip_failover_stop(&a, false), "--orig_master_host=db1",
	        "--orig_master_ip=10.0.0.1", "--orig_master_port=3306", "--command=stop",
	        "--orig_master_ssh_host=db1-adm", "--orig_master_ssh_ip=192.168.9.1",
	        "--orig_master_ssh_port=2201", CHECK_SET);
}

static void the_new_master_gets_it(void **state)
{
	struct conf_server a = plain(), b = second();

	(void)state;
	b.master_ip_failover_script = "/usr/local/bin/other";
	assert_text(hook_ip_failover_start(&a, &b),
	        "/usr/local/bin/other --command=start --ssh_user=mysql --orig_master_host=db1 "
	        "--orig_master_ip=10.0.0.1 --orig_master_port=3306 --new_master_host=db2 "
	        "--new_master_ip=10.0.0.2 --new_master_port=3307 --new_master_user=mha "
	        "--new_master_password=xxx");
	b.user = "m h'a";
	b.password = "p\\$ \"'!";
	far(&a, &b);
	assert_args(hook_ip_failover_start(&a, &b), "--command=start", "--ssh_user=mysql",
	        "--orig_master_host=db1", "--orig_master_ip=10.0.0.1", "--orig_master_port=3306",
	        "--new_master_host=db2", "--new_master_ip=10.0.0.2", "--new_master_port=3307",
	        "--new_master_user=m h'a", "--orig_master_ssh_host=db1-adm",
	        "--orig_master_ssh_ip=192.168.9.1", "--orig_master_ssh_port=2201", LONG_SET,
	        "--new_master_ssh_host=db2-adm", "--new_master_ssh_ip=192.168.9.2",
	        "--new_master_ssh_port=2202", "--new_master_password=p\\$ \"'!");
	b.password = NULL;
	b.ssh_options = NULL;
	b.ssh_port = 22;
	assert_args(hook_ip_failover_start(&b, &b), "--command=start", "--ssh_user=mysql",
	        "--orig_master_host=db2", "--orig_master_ip=10.0.0.2", "--orig_master_port=3307",
	        "--new_master_host=db2", "--new_master_ip=10.0.0.2", "--new_master_port=3307",
	        "--new_master_user=m h'a", "--orig_master_ssh_host=db2-adm",
	        "--orig_master_ssh_ip=192.168.9.2", "--new_master_ssh_host=db2-adm",
	        "--new_master_ssh_ip=192.168.9.2", "--new_master_password=");
}

static void a_planned_switch(void **state)
{
	struct conf_server a = plain(), b = second();

	(void)state;
	b.master_ip_online_change_script = "/usr/local/bin/new";
	assert_text(hook_online_change(true, &a, &b, false),
	        "/usr/local/bin/online --command=stop --orig_master_host=db1 "
	        "--orig_master_ip=10.0.0.1 --orig_master_port=3306 --orig_master_user=mha "
	        "--new_master_host=db2 --new_master_ip=10.0.0.2 --new_master_port=3307 "
	        "--new_master_user=mha --orig_master_ssh_user=root --new_master_ssh_user=mysql "
	        "--orig_master_password=xxx --new_master_password=xxx");
	far(&a, &b);
	assert_args(hook_online_change(false, &a, &b, true), "--command=start",
	        "--orig_master_host=db1", "--orig_master_ip=10.0.0.1", "--orig_master_port=3306",
	        "--orig_master_user=mha", "--new_master_host=db2", "--new_master_ip=10.0.0.2",
	        "--new_master_port=3307", "--new_master_user=mha", "--orig_master_ssh_user=root",
	        "--new_master_ssh_user=mysql", "--orig_master_ssh_host=db1-adm",
	        "--orig_master_ssh_ip=192.168.9.1", "--orig_master_ssh_port=2201", LONG_SET,
	        "--new_master_ssh_host=db2-adm", "--new_master_ssh_ip=192.168.9.2",
	        "--new_master_ssh_port=2202", "--orig_master_is_new_slave",
	        "--orig_master_password=p1", "--new_master_password=p2");
}

static void passwords_can_be_left_out(void **state)
{
	struct conf_server a = plain(), b = second();

	(void)state;
	a.hook_passwords = b.hook_passwords = false;
	assert_args(hook_ip_failover_start(&a, &b), "--command=start", "--ssh_user=mysql",
	        "--orig_master_host=db1", "--orig_master_ip=10.0.0.1", "--orig_master_port=3306",
	        "--new_master_host=db2", "--new_master_ip=10.0.0.2", "--new_master_port=3307",
	        "--new_master_user=mha");
	assert_args(hook_online_change(true, &a, &b, false), "--command=stop",
	        "--orig_master_host=db1", "--orig_master_ip=10.0.0.1", "--orig_master_port=3306",
	        "--orig_master_user=mha", "--new_master_host=db2", "--new_master_ip=10.0.0.2",
	        "--new_master_port=3307", "--new_master_user=mha", "--orig_master_ssh_user=root",
	        "--new_master_ssh_user=mysql");
	assert_args(hook_secondary_check(&a), "--user=root", "--master_host=db1",
	        "--master_ip=10.0.0.1", "--master_port=3306", "--master_user=mha",
	        "--ping_type=SELECT");
}

static void power_off(void **state)
{
	struct conf_server a = plain(), b = second();

	(void)state;
	assert_args(hook_shutdown(&a, true), "--command=stopssh", "--ssh_user=root", "--host=db1",
	        "--ip=10.0.0.1", "--port=3306");
	assert_args(hook_shutdown(&a, false), "--command=stop", "--host=db1", "--ip=10.0.0.1",
	        "--port=3306");
	far(&a, &b);
	a.master_pid_file = "/run/my sqld.pid";
	assert_args(hook_shutdown(&a, true), "--command=stopssh", "--ssh_user=root", "--host=db1",
	        "--ip=10.0.0.1", "--port=3306", "--pid_file=/run/my sqld.pid", "--ssh_host=db1-adm",
	        "--ssh_ip=192.168.9.1", "--ssh_port=2201", LONG_SET);
	assert_args(hook_shutdown(&a, false), "--command=stop", "--host=db1", "--ip=10.0.0.1",
	        "--port=3306", "--pid_file=/run/my sqld.pid", "--ssh_host=db1-adm",
	        "--ssh_ip=192.168.9.1", "--ssh_port=2201", CHECK_SET);
}

static void reports(void **state)
{
	struct conf_server a = plain(), b = second();

	(void)state;
	assert_args(
	        hook_report_failover(&a, &b, "db3,db4", "/etc/app1.cnf", "it's done", "a\n\nb\n"),
	        "--orig_master_host=db1", "--new_master_host=db2", "--new_slave_hosts=db3,db4",
	        "--conf=/etc/app1.cnf", "--subject=it's done", "--body=a\n\nb\n");
	assert_args(hook_report_failover(&a, &b, "", "c", "s", "b"), "--orig_master_host=db1",
	        "--new_master_host=db2", "--new_slave_hosts=", "--conf=c", "--subject=s",
	        "--body=b");
	assert_args(hook_report_failover(&a, NULL, "db3", "c", "s", "b"), "--orig_master_host=db1",
	        "--conf=c", "--subject=s", "--body=b");
	assert_args(hook_report(&a, "c", "s", "b"), "--orig_master_host=db1", "--conf=c",
	        "--subject=s", "--body=b");
}

static void another_look(void **state)
{
	struct conf_server a = plain(), b = second();

	(void)state;
	a.ping_type = CONF_PING_INSERT;
	assert_args(hook_secondary_check(&a), "--user=root", "--master_host=db1",
	        "--master_ip=10.0.0.1", "--master_port=3306", "--master_user=mha",
	        "--master_password=p1", "--ping_type=INSERT");
	far(&a, &b);
	assert_args(hook_secondary_check(&a), "--user=root", "--master_host=db1",
	        "--master_ip=10.0.0.1", "--master_port=3306", "--master_user=mha",
	        "--master_password=p1", "--ping_type=INSERT",
	        "--options=-o StrictHostKeyChecking=no -o PasswordAuthentication=no -o "
	        "BatchMode=yes -o ConnectTimeout=5 -o ProxyJump=gate");
}

/* Run the failover hook with this prefix; what it wrote goes to `out`. */
static bool run(const char *prefix, const char *user, int64_t ms, struct str *out, struct err *e)
{
	struct conf_server s = plain();
	AUTO(hook) struct hook *h = NULL;

	s.master_ip_failover_script = prefix;
	s.ssh_user = user;
	h = hook_ip_failover_status(&s);
	return hook_run(h, clock_in(ms), out, e);
}

static void arguments_arrive_byte_for_byte(void **state)
{
	static const char nasty[] = "a b'c\"d$HOME`id`\\e;f*?\n&|<>(){}[]!#~^";
	AUTO_STR struct str out = STR_INIT;
	AUTO(free) char *expected = xasprintf("[first][--command=status][--ssh_user=%s]", nasty);
	struct err e = { 0 };

	(void)state;
	assert_true(run("printf '[%s]' first", nasty, 5000, &out, &e));
	assert_memory_equal(out.p, expected, strlen(expected));
}

static void it_runs_where_the_command_was_started_without_input(void **state)
{
	AUTO_STR struct str out = STR_INIT;
	char here[4096];
	struct err e = { 0 };

	(void)state;
	assert_non_null(getcwd(here, sizeof(here)));
	assert_true(run("pwd; cat; echo to-stderr >&2; true", "root", 5000, &out, &e));
	assert_memory_equal(out.p, here, strlen(here));
	assert_non_null(strstr(out.p, "to-stderr"));
}

static void failures_tell_what_happened(void **state)
{
	AUTO_STR struct str out = STR_INIT;
	struct err e = { 0 };
	char code[HOOK_CODE_MAX];

	(void)state;
	assert_false(run("echo says why; exit 7;", "root", 5000, &out, &e));
	assert_int_equal(e.kind, ERR_REMOTE);
	assert_int_equal(e.code, 7);
	assert_string_equal(e.text, "master_ip_failover_script returned exit status 7");
	assert_string_equal(out.p, "says why\n");
	assert_int_equal(hook_status(&e), 7);
	assert_string_equal(hook_code(&e, code), "7:0");
	assert_string_equal(hook_code(NULL, code), "0:0");
	assert_false(run("kill -9 $$;", "root", 5000, NULL, &e));
	assert_non_null(strstr(e.text, "ended by signal 9"));
	assert_int_equal(hook_status(&e), -1);
	assert_string_equal(hook_code(&e, code), "0:9");
	assert_false(run("/nonexistent/hook", "root", 5000, NULL, &e));
	assert_int_equal(e.code, 127);
	err_set(&e, ERR_SYSTEM, 10, "it was not started");
	assert_int_equal(hook_status(&e), -1);
	assert_string_equal(hook_code(&e, code), "none");
}

/* Exit status 10 lets a failover go on: a hook that was stopped by us never has it. */
static void what_was_stopped_has_no_status(void **state)
{
	struct err e = { 0 };
	char code[HOOK_CODE_MAX];

	(void)state;
	assert_false(
	        run("trap 'exit 10' TERM; while :; do sleep 0.05; done;", "root", 200, NULL, &e));
	assert_int_equal(hook_status(&e), -1);
	assert_string_equal(hook_code(&e, code), "0:15");
	assert_false(run("exit 10;", "root", 5000, NULL, &e));
	assert_int_equal(hook_status(&e), 10);
}

static void facts_come_by_environment_only(void **state)
{
	struct conf_server s = plain();
	AUTO(hook) struct hook *h = NULL;
	AUTO_STR struct str out = STR_INIT;
	struct err e = { 0 };

	(void)state;
	s.master_ip_failover_script = "printf '%s|' \"$MHAD_RUN\" \"$MHAD_TOKEN\" $#; :";
	h = hook_ip_failover_stop(&s, false);
	hook_set_env(h, "MHAD_RUN", "no");
	hook_set_env(h, "MHAD_TOKEN", "6");
	hook_set_env(h, "MHAD_RUN", "a b");
	hook_set_env(h, "MHAD_TOKEN", "7");
	assert_true(hook_run(h, clock_in(5000), &out, &e));
	assert_string_equal(out.p, "a b|7|4|");
}

static void a_hanging_hook_is_ended_with_its_children(void **state)
{
	AUTO_STR struct str out = STR_INIT;
	struct err e = { 0 };
	int64_t began = clock_ms();

	(void)state;
	assert_false(
	        run("trap '' TERM; echo started; sleep 60 & sleep 60;", "root", 300, &out, &e));
	assert_non_null(strstr(e.text, "did not end within"));
	assert_string_equal(out.p, "started\n");
	assert_true(clock_ms() - began < 5000);
}

struct ended {
	int calls;
	struct err e;
	char output[64];
};

static void on_end(void *arg, const struct hook *h, const struct str *output, const struct err *e)
{
	struct ended *end = arg;

	assert_string_equal(hook_setting(h), "shutdown_script");
	end->calls++;
	if (e)
		end->e = *e;
	strncpy(end->output, output->p, sizeof(end->output) - 1);
}

static void as_a_job_it_reports_once(void **state)
{
	struct conf_server s = plain();
	struct loop *l = loop_new();
	struct job_pool *p = job_pool_new(l, 2);
	struct ended end = { 0 };

	(void)state;
	s.shutdown_script = "echo no power; exit 4;";
	hook_start(p, hook_shutdown_status(&s), 5000, on_end, &end);
	job_wait_all(p);
	assert_int_equal(end.calls, 1);
	assert_int_equal(end.e.code, 4);
	assert_string_equal(end.output, "no power\n");
	job_pool_free(p);
	loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_of_a_plain_master),
		cmocka_unit_test(ssh_arguments_only_where_ssh_differs),
		cmocka_unit_test(ssh_options_are_one_argument_and_last),
		cmocka_unit_test(no_script_no_hook),
		cmocka_unit_test(a_dead_master_loses_its_address),
		cmocka_unit_test(the_new_master_gets_it),
		cmocka_unit_test(a_planned_switch),
		cmocka_unit_test(passwords_can_be_left_out),
		cmocka_unit_test(power_off),
		cmocka_unit_test(reports),
		cmocka_unit_test(another_look),
		cmocka_unit_test(what_was_stopped_has_no_status),
		cmocka_unit_test(facts_come_by_environment_only),
		cmocka_unit_test(arguments_arrive_byte_for_byte),
		cmocka_unit_test(it_runs_where_the_command_was_started_without_input),
		cmocka_unit_test(failures_tell_what_happened),
		cmocka_unit_test(a_hanging_hook_is_ended_with_its_children),
		cmocka_unit_test(as_a_job_it_reports_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
