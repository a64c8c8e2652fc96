/* SPDX-License-Identifier: BSD-2-Clause */
/* hookd: a hook run by the helper is the same as one run here, and only what root's files name runs. */
#include "hookd.h"
#include "clock.h"
#include "hook.h"
#include "hookd_wire.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[32], conf[64], sock[64];
static pid_t helper = -1;

static void write_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

/* As systemd does with Accept=yes: one process for each connection. */
static void accept_all(int listener)
{
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0 && !fork()) {
			struct err e = { 0 };

			close(listener);
			dup2(fd, 0);
			_exit(hookd_serve(0, NULL, &e) ? 0 : 1);
		}
		close(fd);
	}
}

static int setup(void **state)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd;

	(void)state;
	strcpy(dir, "/tmp/test-hookd-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(conf, sizeof(conf), "%s/app1.cnf", dir);
	snprintf(sock, sizeof(sock), "%s/hook", dir);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", sock);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 5), 0);
	fflush(NULL);
	helper = fork();
	if (!helper)
		accept_all(fd);
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	kill(helper, SIGKILL);
	waitpid(helper, NULL, 0);
	unlink(conf);
	unlink(sock);
	rmdir(dir);
	return 0;
}

static void configure(const char *script)
{
	AUTO(free)
	char *text = xasprintf("[server default]\nssh_options=-o Port=23\n"
	                       "[server1]\nhostname=db1\n"
	                       "master_ip_failover_script=%s\n"
	                       "[server2]\nhostname=db2\n",
	        script);

	write_file(conf, text, 0640);
}

static const char *const no_args[] = { "--command=status", NULL };

static struct hookd_call call_of(const char *const *args)
{
	return (struct hookd_call){ .conf = conf,
		.server = "server1",
		.setting = "master_ip_failover_script",
		.args = args,
		.deadline = clock_in(10000) };
}

static struct proc_result called(const struct hookd_call *c)
{
	struct proc_result r;
	struct err e = { 0 };

	if (!hookd_call(sock, c, &r, &e))
		fail_msg("%s", e.text);
	return r;
}

/* Returns what was said. */
static const char *refused(const struct hookd_call *c, enum err_kind kind)
{
	static struct err e;
	struct proc_result r;

	memset(&e, 0, sizeof(e));
	assert_false(hookd_call(sock, c, &r, &e));
	assert_int_equal(e.kind, kind);
	return e.text;
}

static void assert_refused(const struct hookd_call *c, enum err_kind kind, const char *why)
{
	const char *text = refused(c, kind);

	if (!strstr(text, why))
		fail_msg("\"%s\" is not in \"%s\"", why, text);
}

static void status_and_output_come_back(void **state)
{
	struct hookd_call c = call_of(no_args);
	struct proc_result r;

	(void)state;
	configure("echo out; echo err >&2; pwd; exit 10;");
	r = called(&c);
	assert_int_equal(r.status, 10);
	assert_false(r.late || r.cut || r.signal);
	assert_memory_equal(r.out.p, "out\nerr\n", 8);
	assert_memory_equal(r.out.p + 8, dir, strlen(dir)); /* the folder of the file */
	proc_done(&r);
	configure("kill -9 $$;");
	c = call_of(no_args);
	r = called(&c);
	assert_int_equal(r.signal, SIGKILL);
	proc_done(&r);
}

static void arguments_arrive_byte_for_byte(void **state)
{
	static const char nasty[] =
	        "--orig_master_password= a'b\"$HOME`id`\\\x01\x7f\x80\xc3\xff\xe2\n&|";
	static const char *const args[] = { nasty, "--new_master_host=db2", "--x", NULL };
	static const char *const env[] = { "MHAD_TOKEN=7=\xff", NULL };
	AUTO(free) char *expected = xasprintf("[%s][--new_master_host=db2][--x][7=\xff]", nasty);
	struct hookd_call c = call_of(args);
	struct proc_result r;

	(void)state;
	configure("f() { printf '[%s]' \"$@\" \"$MHAD_TOKEN\"; }; f");
	c.env = env;
	r = called(&c);
	assert_string_equal(r.out.p, expected);
	proc_done(&r);
}

static void output_is_capped(void **state)
{
	struct hookd_call c = call_of(no_args);
	struct proc_result r;

	(void)state;
	configure("head -c 300000 /dev/zero; exit 3;");
	r = called(&c);
	assert_int_equal(r.status, 3);
	assert_true(r.cut);
	assert_int_equal(r.out.len, HOOKD_OUTPUT_MAX);
	proc_done(&r);
}

static bool is_gone(const char *pid_file)
{
	AUTO(free) char *path = xasprintf("%s/%s", dir, pid_file);
	char text[32] = "";
	FILE *f = fopen(path, "r");
	bool ok;

	if (!f)
		return false;
	ok = fgets(text, sizeof(text), f) && atoi(text) > 1 && kill(atoi(text), 0) < 0;
	fclose(f);
	return ok;
}

static bool soon_gone(const char *pid_file)
{
	int64_t until = clock_in(5000);

	while (!is_gone(pid_file) && clock_left(until))
		usleep(10000);
	return is_gone(pid_file);
}

static void remove_file(const char *name)
{
	AUTO(free) char *path = xasprintf("%s/%s", dir, name);

	unlink(path);
}

static void a_late_hook_ends_with_its_children(void **state)
{
	struct hookd_call c = call_of(no_args);
	struct proc_result r;

	(void)state;
	configure("trap '' TERM; echo begun; (trap '' TERM; sleep 60) & echo $! >child; sleep 60;");
	c.deadline = clock_in(400);
	r = called(&c);
	assert_true(r.late);
	assert_string_equal(r.out.p, "begun\n");
	assert_true(r.took_ms >= 400 && r.took_ms < 4000);
	proc_done(&r);
	assert_true(soon_gone("child"));
	remove_file("child");
}

static int connect_raw(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", sock);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static char *request_text(const char *deadline)
{
	return xasprintf(
	        "{\"protocol\":1,\"conf\":\"%s\",\"server\":\"server1\",\"setting\":"
	        "\"master_ip_failover_script\",\"args\":[],\"env\":[],\"deadline_ms\":%s}\n",
	        conf, deadline);
}

/* The hook gets TERM and may clean up. */
static void it_ends_when_mhad_hangs_up(void **state)
{
	AUTO(free)
	char *text = request_text("60000"), *cleaned = xasprintf("%s/cleaned", dir),
	     *started = xasprintf("%s/started", dir);
	int64_t until = clock_in(5000);
	int fd = connect_raw();

	(void)state;
	configure("trap 'echo $$ >cleaned; exit' TERM; echo $$ >started; sleep 60 & wait; :");
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	while (access(started, F_OK) && clock_left(until))
		usleep(10000);
	assert_false(access(cleaned, F_OK) == 0);
	close(fd);
	assert_true(soon_gone("started"));
	assert_int_equal(access(cleaned, F_OK), 0);
	remove_file("started");
	remove_file("cleaned");
}

static void only_hooks_of_the_configuration_run(void **state)
{
	struct hookd_call c = call_of(no_args);

	(void)state;
	configure("true");
	c.setting = "shutdown_script";
	assert_refused(&c, ERR_PRECOND, "has no shutdown_script now");
	c.setting = "init_conf_load_script";
	assert_refused(&c, ERR_PRECOND, "is no setting of a hook");
	c.setting = "ssh_user";
	assert_refused(&c, ERR_PRECOND, "is no setting of a hook");
	c.setting = "/bin/sh";
	assert_refused(&c, ERR_PRECOND, "is no setting of a hook");
	c = call_of(no_args);
	c.server = "server2";
	assert_refused(&c, ERR_PRECOND, "has no master_ip_failover_script now");
	c.server = "server9";
	assert_refused(&c, ERR_PRECOND, "\"server9\"");
	c = call_of(no_args);
	c.conf = "/nonexistent/app1.cnf";
	assert_refused(&c, ERR_PRECOND, "there is no such file");
	c.conf = "app1.cnf";
	assert_refused(&c, ERR_PRECOND, "there is no such file");
	write_file(conf, "[server1]\nhostname=db1\nnonsense=1\n", 0600);
	c = call_of(no_args);
	assert_refused(&c, ERR_CONFIG, "nonsense");
}

/* Whoever can write the file could have anything run. */
static void only_files_that_nobody_else_can_change(void **state)
{
	struct hookd_call c = call_of(no_args);
	AUTO(free) char *target = xasprintf("%s/real.cnf", dir);

	(void)state;
	configure("true");
	chmod(conf, 0660);
	assert_refused(&c, ERR_PRECOND, "can be changed by others");
	chmod(conf, 0602);
	assert_refused(&c, ERR_PRECOND, "can be changed by others");
	chmod(conf, 0640);
	chmod(dir, 0777);
	assert_refused(&c, ERR_PRECOND, "can be changed by others");
	chmod(dir, 01777); /* as /tmp: only the owner can move his file away */
	assert_int_equal(called(&c).status, 0);
	chmod(dir, 0700);
	/* A link is as good as what it points to. */
	assert_int_equal(rename(conf, target), 0);
	assert_int_equal(symlink(target, conf), 0);
	assert_int_equal(called(&c).status, 0);
	chmod(target, 0606);
	assert_refused(&c, ERR_PRECOND, "can be changed by others");
	unlink(target);
}

static void somebody_elses_file_is_refused(void **state)
{
	struct hookd_call c = call_of(no_args);

	(void)state;
	if (geteuid()) /* only root can give a file away */
		skip();
	configure("true");
	assert_int_equal(chown(conf, 12345, 0), 0);
	assert_refused(&c, ERR_PRECOND, "belongs to uid 12345");
}

static void options_in_the_place_of_hosts_are_refused(void **state)
{
	static const char *const bad[] = {
		"--orig_master_host=-oProxyCommand=id",
		"--new_master_ssh_ip=10.0.0.1 -oProxyCommand=id",
		"--orig_master_port=22;id",
		"--ssh_user=root@x -oProxyCommand=id",
		"--orig_master_ssh_user=-x",
		"--new_slave_hosts=a,b c",
		"--user=-x",
		"--ssh_options=-o ProxyCommand=id",
		"--ssh_options=-o Port=23",
		"-x",
		"id",
	};
	const char *args[] = { NULL, NULL };
	struct hookd_call c = call_of(args);

	(void)state;
	configure("true");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		args[0] = bad[i];
		assert_refused(&c, ERR_PRECOND, "is refused");
		assert_null(strstr(refused(&c, ERR_PRECOND), "ProxyCommand"));
	}
}

static void ordinary_arguments_are_taken(void **state)
{
	static const char *const good[] = { "--command=stopssh",
		"--orig_master_host=db1.example.org", "--orig_master_ip=fe80::1%eth0",
		"--orig_master_port=3306", "--orig_master_ssh_user=root",
		"--new_slave_hosts=db2,db-3", "--dead_master_host=", "--subject=x; y -z",
		"--body=two\nlines", "--orig_master_is_new_slave",
		"--orig_master_password=-x $(id)",
		"--ssh_options=-o ServerAliveInterval=60 -o ServerAliveCountMax=20 -o "
		"StrictHostKeyChecking=no -o ConnectionAttempts=5 -o PasswordAuthentication=no -o "
		"BatchMode=yes -o Port=23",
		NULL };
	struct hookd_call c = call_of(good);
	struct proc_result r;

	(void)state;
	configure("n() { echo $#; }; n");
	r = called(&c);
	assert_string_equal(r.out.p, "12\n");
	proc_done(&r);
}

static void only_our_variables(void **state)
{
	static const char *const bad[] = { "LD_PRELOAD=/tmp/x.so", "PATH=/tmp", "MHAD_X",
		"MHAD_x=1", "MHAD_() { :; }=1", "=", "" };
	const char *env[] = { NULL, NULL };
	struct hookd_call c = call_of(no_args);

	(void)state;
	configure("true");
	c.env = env;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		env[0] = bad[i];
		assert_refused(&c, ERR_PRECOND, "MHAD_NAME=value");
	}
}

/* Whatever is sent, the answer is an error and nothing runs. */
static void nonsense_is_refused(void **state)
{
	AUTO(free)
	char *negative = request_text("-1"), *long_time = request_text("99999999999"),
	     *a_text = request_text("\"5\""), *more = request_text("5000,\"more\":1");
	AUTO(free) char *ran = xasprintf("%s/ran", dir);
	const char *bad[] = { "\n", "{}\n", "[]\n", "nonsense\n", "{\"protocol\":1}\n", negative,
		long_time, a_text, more };

	(void)state;
	configure("touch ran;");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int fd = connect_raw();
		char answer[1024] = "";

		assert_int_equal(send(fd, bad[i], strlen(bad[i]), 0), (ssize_t)strlen(bad[i]));
		assert_true(recv(fd, answer, sizeof(answer) - 1, 0) > 0);
		assert_true(str_starts(answer, "{\"error\":{\"kind\":"));
		close(fd);
	}
	assert_int_equal(access(ran, F_OK), -1);
}

static void a_request_without_end_is_cut_off(void **state)
{
	AUTO(free) char *much = xzalloc(HOOKD_REQUEST_MAX + 1);
	int fd = connect_raw();
	char answer[1024] = "";

	(void)state;
	memset(much, 'x', HOOKD_REQUEST_MAX);
	for (size_t n = 0; n < HOOKD_REQUEST_MAX;) {
		ssize_t w = send(fd, much + n, HOOKD_REQUEST_MAX - n, MSG_NOSIGNAL);

		assert_true(w > 0);
		n += (size_t)w;
	}
	assert_true(recv(fd, answer, sizeof(answer) - 1, 0) > 0);
	assert_non_null(strstr(answer, "bytes were sent"));
	close(fd);
}

/* Nothing ran, or nobody knows: two kinds. */
static void a_missing_or_dying_helper(void **state)
{
	struct hookd_call c = call_of(no_args);
	struct proc_result r;
	struct err e = { 0 };

	(void)state;
	configure("kill -9 $PPID; sleep 60;");
	assert_refused(&c, ERR_LOST, "connection was closed");
	assert_false(hookd_call("/nonexistent/hook", &c, &r, &e));
	assert_int_equal(e.kind, ERR_UNREACHABLE);
	assert_non_null(strstr(e.hint, "mhad-hook.socket"));
}

static void other_users_are_refused(void **state)
{
	struct err e = { 0 };
	int fd[2], status;
	pid_t pid;

	(void)state;
	if (geteuid()) /* only root can become somebody else */
		skip();
	/* Credentials of a pair are those of its maker. */
	pid = fork();
	if (!pid) {
		if (setresuid(12345, 12345, 0) || socketpair(AF_UNIX, SOCK_STREAM, 0, fd) ||
		        setresuid(0, 0, 0))
			_exit(9);
		_exit(hookd_serve(fd[0], "nobody-of-this-name", &e) ? 1
		        : e.kind == ERR_REFUSED                     ? 0
		                                                    : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* The face that everybody uses, with and without the helper. */
static void hook_run_goes_by_the_helper(void **state)
{
	struct conf_server s = { .id = "server1",
		.block_file = conf,
		.hostname = "db1",
		.ip = "10.0.0.1",
		.ssh_host = "db1",
		.ssh_address = "10.0.0.1",
		.ssh_port = 22,
		.ssh_user = "root",
		.master_ip_failover_script = "echo from mhad; exit 1;" };
	AUTO_STR struct str out = STR_INIT;
	AUTO(hook) struct hook *h = hook_ip_failover_status(&s);
	struct err e = { 0 };

	(void)state;
	configure("pwd; echo by $MHAD_WHO; exit 7;");
	hook_set_env(h, "MHAD_WHO", "helper");
	hook_use_helper(sock);
	assert_false(hook_run(h, clock_in(5000), &out, &e));
	assert_int_equal(e.kind, ERR_REMOTE);
	assert_int_equal(e.code, 7);
	assert_string_equal(e.text, "master_ip_failover_script returned exit status 7");
	assert_memory_equal(out.p, dir, strlen(dir));
	assert_string_equal(out.p + strlen(dir), "\nby helper\n");
	str_clear(&out);
	hook_use_helper("/nonexistent/hook");
	assert_false(hook_run(h, clock_in(5000), &out, &e));
	assert_int_equal(e.kind, ERR_UNREACHABLE);
	hook_use_helper(NULL); /* mhad as root: here, but in the same folder */
	s.master_ip_failover_script = "pwd; echo by $MHAD_WHO; true";
	hook_free(h);
	h = hook_ip_failover_status(&s);
	hook_set_env(h, "MHAD_WHO", "mhad");
	assert_true(hook_run(h, clock_in(5000), &out, &e));
	assert_memory_equal(out.p, dir, strlen(dir));
	assert_string_equal(out.p + strlen(dir), "\nby mhad\n");
}

static void texts_hold_any_bytes(void **state)
{
	char all[256];
	json_t *text, *odd = json_string("\xe2\x82\xac");
	AUTO(free) char *back = NULL;

	(void)state;
	for (int i = 0; i < 255; i++)
		all[i] = (char)(i + 1);
	all[255] = '\0';
	text = hookd_text(all);
	back = hookd_bytes(text);
	assert_string_equal(back, all);
	assert_null(hookd_bytes(odd));
	assert_null(hookd_bytes(NULL));
	json_decref(text);
	json_decref(odd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(status_and_output_come_back),
		TEST(arguments_arrive_byte_for_byte),
		TEST(output_is_capped),
		TEST(a_late_hook_ends_with_its_children),
		TEST(it_ends_when_mhad_hangs_up),
		TEST(only_hooks_of_the_configuration_run),
		TEST(only_files_that_nobody_else_can_change),
		TEST(somebody_elses_file_is_refused),
		TEST(options_in_the_place_of_hosts_are_refused),
		TEST(ordinary_arguments_are_taken),
		TEST(only_our_variables),
		TEST(nonsense_is_refused),
		TEST(a_request_without_end_is_cut_off),
		TEST(a_missing_or_dying_helper),
		TEST(other_users_are_refused),
		TEST(hook_run_goes_by_the_helper),
		TEST(texts_hold_any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
