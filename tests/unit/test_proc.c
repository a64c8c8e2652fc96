/* SPDX-License-Identifier: BSD-2-Clause */
/* proc: children that behave, and children that do not. */
#include "proc.h"
#include "clock.h"
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static struct proc_result run_with(struct proc_opts o, const char *script)
{
	const char *argv[] = { "sh", "-c", script, "sh", NULL };
	struct proc_result r;
	struct err e = { 0 };

	o.argv = argv;
	if (!o.deadline)
		o.deadline = clock_in(10000);
	if (!proc_run(&o, &r, &e))
		fail_msg("%s", e.text);
	return r;
}

static struct proc_result run(const char *script)
{
	return run_with((struct proc_opts){ 0 }, script);
}

static void status_and_streams(void **state)
{
	struct proc_result r = run("echo out; echo err >&2; exit 7");

	(void)state;
	assert_int_equal(r.status, 7);
	assert_int_equal(r.signal, 0);
	assert_false(r.late || r.cut);
	assert_string_equal(r.out.p, "out\n");
	assert_string_equal(r.err.p, "err\n");
	proc_done(&r);
	r = run_with((struct proc_opts){ .merge = true }, "echo one; echo two >&2");
	assert_string_equal(r.out.p, "one\ntwo\n");
	proc_done(&r);
	r = run("kill -9 $$");
	assert_int_equal(r.status, -1);
	assert_int_equal(r.signal, SIGKILL);
	assert_false(r.late);
	proc_done(&r);
}

static void no_such_program(void **state)
{
	const char *argv[] = { "no-such-program-at-all", "secret", NULL };
	struct proc_opts o = { .argv = argv, .deadline = clock_in(1000) };
	struct proc_result r;
	struct err e = { 0 };

	(void)state;
	assert_false(proc_run(&o, &r, &e));
	assert_int_equal(e.kind, ERR_SYSTEM);
	assert_int_equal(e.code, ENOENT);
	assert_non_null(strstr(e.text, "no-such-program-at-all"));
	assert_null(strstr(e.text, "secret"));
}

static void environment_and_folder(void **state)
{
	const char *env[] = { "PROC_NEW=a b", "HOME=/elsewhere", NULL };
	struct proc_result r = run_with((struct proc_opts){ .env_add = env, .cwd = "/usr" },
	        "pwd; echo \"$PROC_NEW $HOME\"; env | grep -c ^HOME=; test -n \"$PATH\"");

	(void)state;
	assert_int_equal(r.status, 0);
	assert_string_equal(r.out.p, "/usr\na b /elsewhere\n1\n");
	proc_done(&r);
}

static void clean_surroundings(void **state)
{
	int fd = open("/dev/null", O_RDONLY), high = fcntl(fd, F_DUPFD, 200);
	sigset_t set, old;
	struct proc_result r;

	(void)state;
	sigfillset(&set);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	/* Signals 32 and 33 are the C library's own.  Only the shell's builtins look: while it starts
	 * programs, it blocks signals and holds pipes itself. */
	r = run("for f in /proc/$$/fd/*; do [ -e $f ] && printf '%s ' ${f##*/}; done; while read "
	        "-r k v; do "
	        "case $v in 0000000180000000) v=0000000000000000;; esac; "
	        "case $k in SigBlk:|SigIgn:) printf '%s\\t%s\\n' $k $v;; esac; done "
	        "</proc/$$/status; "
	        "ps -o pgid= -p $$ | tr -d ' ' | grep -qx $$");
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	assert_string_equal(
	        r.out.p, "0 1 2 SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
	assert_int_equal(r.status, 0);
	proc_done(&r);
	close(fd);
	close(high);
}

static void input_larger_than_pipes(void **state)
{
	enum { N = 3000000 };
	AUTO(free) char *big = xmalloc(N);
	struct proc_result r;

	(void)state;
	for (size_t i = 0; i < N; i++)
		big[i] = (char)(i * 7 % 251);
	r = run_with(
	        (struct proc_opts){ .input = big, .input_len = N, .output_max = N + 1 }, "cat");
	assert_false(r.cut);
	assert_int_equal(r.out.len, N);
	assert_memory_equal(r.out.p, big, N);
	proc_done(&r);
	r = run_with(
	        (struct proc_opts){ .input = big, .input_len = N }, "head -c 5 >/dev/null; exit 3");
	assert_int_equal(r.status, 3);
	proc_done(&r);
	r = run_with((struct proc_opts){ .input = "", .input_len = 0 }, "wc -c");
	assert_string_equal(r.out.p, "0\n");
	proc_done(&r);
}

static void output_is_capped(void **state)
{
	struct proc_result r =
	        run("head -c 1000000 /dev/zero; head -c 70000 /dev/zero >&2; echo $?");

	(void)state;
	assert_true(r.cut);
	assert_int_equal(r.status, 0);
	assert_int_equal(r.out.len, 64 * 1024);
	assert_int_equal(r.err.len, 64 * 1024);
	proc_done(&r);
	r = run_with((struct proc_opts){ .output_max = 3 }, "printf abc");
	assert_false(r.cut);
	assert_string_equal(r.out.p, "abc");
	proc_done(&r);
}

static void late_with_term(void **state)
{
	struct proc_result r = run_with((struct proc_opts){ .deadline = clock_in(100) },
	        "trap 'echo cleaned; exit 4' TERM; while :; do sleep 0.05; done");

	(void)state;
	assert_true(r.late);
	assert_int_equal(r.status, 4);
	assert_string_equal(r.out.p, "cleaned\n");
	assert_in_range(r.took_ms, 100, 900);
	proc_done(&r);
}

/* Nobody alive in it; the dead may still wait for a slow init. */
static bool group_is_gone(const char *pid_text)
{
	char script[160];
	bool gone = false;

	snprintf(script, sizeof(script),
	        "ps -eo pgid=,stat= | awk '$1 == %d && $2 !~ /^Z/ { n = 1 } END { exit n }'",
	        atoi(pid_text));
	for (int i = 0; i < 100 && !gone; i++) {
		struct proc_result r = run(script);

		gone = r.status == 0;
		proc_done(&r);
		usleep(10000);
	}
	return gone;
}

static void late_with_kill(void **state)
{
	struct proc_result r =
	        run_with((struct proc_opts){ .deadline = clock_in(100), .grace_ms = 150 },
	                "trap '' TERM; echo $$; sleep 60 & sleep 60");

	(void)state;
	assert_true(r.late);
	assert_int_equal(r.signal, SIGKILL);
	assert_in_range(r.took_ms, 250, 1000);
	assert_true(group_is_gone(r.out.p));
	proc_done(&r);
}

/* The leader dies of TERM at once; what it started ignores TERM and must not survive. */
static void late_leaves_no_group(void **state)
{
	struct proc_result r =
	        run_with((struct proc_opts){ .deadline = clock_in(100), .grace_ms = 150 },
	                "echo $$; (trap '' TERM; sleep 60; sleep 60) & wait");

	(void)state;
	assert_true(r.late);
	assert_int_equal(r.signal, SIGTERM);
	assert_true(group_is_gone(r.out.p));
	proc_done(&r);
}

static void grandchild_holds_the_pipe(void **state)
{
	struct proc_result r = run("sleep 2 & echo started");

	(void)state;
	assert_int_equal(r.status, 0);
	assert_string_equal(r.out.p, "started\n");
	assert_in_range(r.took_ms, 0, 1500);
	proc_done(&r);
	/* Out of the group, so that no signal reaches it: still no reason to wait. */
	r = run_with((struct proc_opts){ .deadline = clock_in(100), .grace_ms = 100 },
	        "setsid sleep 3 & sleep 60");
	assert_true(r.late);
	assert_in_range(r.took_ms, 100, 1500);
	proc_done(&r);
}

static void *run_many(void *arg)
{
	for (int i = 0; i < 20; i++) {
		struct proc_result r = run("exit 5");

		if (r.status != 5)
			*(int *)arg += 1;
		proc_done(&r);
	}
	return NULL;
}

static void beside_other_threads_and_children(void **state)
{
	pthread_t t[4];
	int wrong[4] = { 0 }, status;
	pid_t other = fork();

	(void)state;
	if (!other)
		_exit(9);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, run_many, &wrong[i]), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(wrong[i], 0);
	}
	assert_int_equal(waitpid(other, &status, 0), other);
	assert_int_equal(WEXITSTATUS(status), 9);
}

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void talking_to_a_child(void **state)
{
	const char *argv[] = { "sh", "-c", "read x; echo got $x; exit 6", NULL };
	struct proc_opts o = { .argv = argv, .input = "" };
	int before = open_fds(), status = 0, signo = 0;
	struct proc_child c;
	struct err e = { 0 };
	char buf[64];
	ssize_t n;

	(void)state;
	assert_true(proc_start(&o, &c, &e));
	assert_false(proc_reap(&c, clock_in(20), &status, &signo));
	assert_int_equal(write(c.in, "it\n", 3), 3);
	assert_true(proc_reap(&c, clock_in(5000), &status, &signo));
	assert_int_equal(status, 6);
	n = read(c.out, buf, sizeof(buf));
	assert_int_equal(n, 7);
	assert_memory_equal(buf, "got it\n", 7);
	proc_child_done(&c);
	assert_true(proc_start(&o, &c, &e));
	proc_child_done(&c);
	assert_int_equal(open_fds(), before);
	assert_true(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

/* Hanging up is as good as the deadline, and the child may clean up. */
static void a_cancel_ends_it(void **state)
{
	struct proc_opts o = { .deadline = clock_in(20000) };
	struct proc_result r;
	pid_t holder;
	int fd[2];

	(void)state;
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	o.cancel_fd = fd[0];
	r = run_with(o, "echo whole");
	assert_false(r.late);
	assert_string_equal(r.out.p, "whole\n");
	proc_done(&r);
	holder = fork();
	if (!holder) {
		usleep(300000);
		_exit(0);
	}
	close(fd[1]);
	r = run_with(o, "trap 'echo bye; exit 3' TERM; sleep 60 & wait");
	waitpid(holder, NULL, 0);
	assert_true(r.late);
	assert_int_equal(r.status, 3);
	assert_string_equal(r.out.p, "bye\n");
	assert_true(r.took_ms < 5000);
	proc_done(&r);
	close(fd[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_and_streams),
		cmocka_unit_test(no_such_program),
		cmocka_unit_test(environment_and_folder),
		cmocka_unit_test(clean_surroundings),
		cmocka_unit_test(input_larger_than_pipes),
		cmocka_unit_test(output_is_capped),
		cmocka_unit_test(late_with_term),
		cmocka_unit_test(late_with_kill),
		cmocka_unit_test(late_leaves_no_group),
		cmocka_unit_test(grandchild_holds_the_pipe),
		cmocka_unit_test(beside_other_threads_and_children),
		cmocka_unit_test(talking_to_a_child),
		cmocka_unit_test(a_cancel_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
