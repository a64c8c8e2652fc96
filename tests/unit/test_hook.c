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
		.master_ip_failover_script = "/usr/local/bin/failover",
		.shutdown_script = "/usr/local/bin/power",
	};

	return s;
}

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
	struct conf_server s = plain();

	(void)state;
	s.master_ip_failover_script = NULL;
	s.shutdown_script = "";
	assert_null(hook_ip_failover_status(&s));
	assert_null(hook_shutdown_status(&s));
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

	(void)state;
	assert_false(run("echo says why; exit 7;", "root", 5000, &out, &e));
	assert_int_equal(e.kind, ERR_REMOTE);
	assert_int_equal(e.code, 7);
	assert_string_equal(e.text, "master_ip_failover_script returned exit status 7");
	assert_string_equal(out.p, "says why\n");
	assert_false(run("kill -9 $$;", "root", 5000, NULL, &e));
	assert_non_null(strstr(e.text, "ended by signal 9"));
	assert_false(run("/nonexistent/hook", "root", 5000, NULL, &e));
	assert_int_equal(e.code, 127);
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
		cmocka_unit_test(arguments_arrive_byte_for_byte),
		cmocka_unit_test(it_runs_where_the_command_was_started_without_input),
		cmocka_unit_test(failures_tell_what_happened),
		cmocka_unit_test(a_hanging_hook_is_ended_with_its_children),
		cmocka_unit_test(as_a_job_it_reports_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
