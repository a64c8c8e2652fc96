/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of status_file: MHA's line, whose file it is, and what strangers can put in its place.
 */
#include "status_file.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[64], path[128];
static struct err err;

static int start(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/mhad-test-status-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/app1.master_status.health", dir);
	memset(&err, 0, sizeof(err));
	return 0;
}

static int stop(void **state)
{
	AUTO(free) char *command = xasprintf("rm -rf %s", dir);

	(void)state;
	return system(command);
}

static void put(const char *text)
{
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static const char *text_of(const char *file)
{
	static char buf[600];
	AUTO_FD int fd = open(file, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

	if (n < 0)
		return NULL;
	buf[n] = '\0';
	return buf;
}

static void assert_says(const char *fmt, int pid)
{
	AUTO(free) char *want = xasprintf("%d\t%s", pid, fmt);

	assert_string_equal(text_of(path), want);
}

/* A process that only waits, under this command line: this program, see main(). */
static pid_t stand_in(const char *word, const char *arg)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, 0);
		setenv("MHAD_TEST_WAITS", "1", 1);
		execl("/proc/self/exe", word, arg, (char *)NULL);
		_exit(127);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 0); /* closed by exec */
	close(ready[0]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static enum status_file_verdict judge(struct status_file_judgement *ret)
{
	struct status_file_judgement j;
	struct status_file_reading r;

	assert_true(status_file_read(path, &r, &err));
	status_file_judge(&r, "app1", ret ? ret : &j);
	return ret ? ret->verdict : j.verdict;
}

/* ---- the line */

static void test_lines_that_mha_writes(void **state)
{
	struct status_file_line l;
	AUTO_STR struct str out = STR_INIT;
	static const char *const good[] = { "1719\t0:PING_OK\tmaster:192.168.188.202",
		"1\t10:INITIALIZING_MONITOR", "7\t20:PING_FAILING\tmaster:db1",
		"7\t21:PING_FAILED\tmaster:db1", "7\t30:RETRYING_MONITOR\tmaster:db1",
		"7\t31:CONFIG_ERROR\tmaster:db1", "7\t50:FAILOVER_RUNNING\tmaster:db1",
		"2147483647\t51:FAILOVER_ERROR\tmaster:db1.example.org" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		str_clear(&out);
		assert_true(status_file_parse(good[i], strlen(good[i]), &l, &err));
		status_file_format(&l, &out);
		assert_string_equal(out.p, good[i]);
	}
	assert_true(status_file_parse("7\t0:PING_OK\tmaster:db1\n", 23, &l, &err));
	assert_string_equal(l.master, "db1");
	assert_null(status_file_state_name(2));
	assert_string_equal(status_file_state_name(50), "FAILOVER_RUNNING");
}

static void test_lines_that_are_none(void **state)
{
	struct status_file_line l;
	static const char *const bad[] = { "", "\n", "x", "7", "7\t", "0\t0:PING_OK",
		"-7\t0:PING_OK", "7\t0:PING_OKAY", "7\t2:NOT_RUNNING", "7\tPING_OK",
		"7\t20:PING_OK", "4294967303\t0:PING_OK", "7\t0:PING_OK\tdb1",
		"7\t0:PING_OK\tmaster:db1\tmore", "7\t0:PING_OK\tmaster:db1\x1b[31m",
		"7 0:PING_OK" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		memset(&err, 0, sizeof(err));
		if (status_file_parse(bad[i], strlen(bad[i]), &l, &err))
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(err.kind, ERR_PARSE);
	}
	assert_false(status_file_parse("7\t0:PING_OK\0x", 13, &l, &err));
}

/* ---- the manager's side */

static void test_life_of_a_file(void **state)
{
	struct status_file *f = status_file_claim(dir, "app1", getpid(), &err);
	struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	struct stat st;

	(void)state;
	assert_non_null(f);
	assert_says("10:INITIALIZING_MONITOR", getpid());
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_true(status_file_set(f, STATUS_FILE_PING_OK, "db1", &err));
	assert_says("0:PING_OK\tmaster:db1", getpid());
	assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
	assert_true(status_file_touch(f, &err));
	assert_int_equal(stat(path, &st), 0);
	assert_true(time(NULL) - st.st_mtim.tv_sec < 10);
	assert_true(status_file_set(f, STATUS_FILE_PING_FAILING, NULL, &err));
	assert_says("20:PING_FAILING\tmaster:db1", getpid());
	status_file_set_pid(f, 4711);
	assert_true(
	        status_file_set(f, STATUS_FILE_PING_OK, "a-much-longer-name.example.org", &err));
	assert_says("0:PING_OK\tmaster:a-much-longer-name.example.org", 4711);
	assert_true(status_file_set(f, STATUS_FILE_PING_OK, "d", &err));
	assert_says("0:PING_OK\tmaster:d", 4711);
	assert_null(status_file_release(f));
	assert_int_equal(access(path, F_OK), -1);
}

static void test_the_directory_is_made(void **state)
{
	AUTO(free) char *sub = xasprintf("%s/work", dir), *deep = xasprintf("%s/no/work", dir);
	AUTO(status_file) struct status_file *f = status_file_claim(sub, "app1", getpid(), &err);

	(void)state;
	assert_non_null(f);
	assert_null(status_file_claim(deep, "app1", getpid(), &err));
	assert_int_equal(err.kind, ERR_SYSTEM);
}

static void test_the_second_is_refused_and_told(void **state)
{
	AUTO(status_file) struct status_file *f = status_file_claim(dir, "app1", getpid(), &err);
	AUTO(free) char *who = xasprintf("process %d (PING_OK", getpid());
	AUTO(status_file) struct status_file *other = NULL;

	(void)state;
	assert_true(status_file_set(f, STATUS_FILE_PING_OK, "db1", &err));
	assert_null(status_file_claim(dir, "app1", getppid(), &err));
	assert_int_equal(err.kind, ERR_PRECOND);
	assert_non_null(strstr(err.text, who));
	assert_null(status_file_claim(dir, "app1", getpid(), &err)); /* nor to the same */
	assert_says("0:PING_OK\tmaster:db1", getpid());
	other = status_file_claim(dir, "app2", getpid(), &err);
	assert_non_null(other);
	f = status_file_release(f);
	f = status_file_claim(dir, "app1", getppid(), &err);
	assert_non_null(f);
}

static void test_a_dead_managers_file_is_taken_over(void **state)
{
	AUTO(status_file) struct status_file *f = NULL;
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		f = status_file_claim(dir, "app1", getpid(), &err);
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, NULL, 0);
	assert_says("10:INITIALIZING_MONITOR", pid);
	assert_int_equal(judge(NULL), STATUS_FILE_GONE);
	f = status_file_claim(dir, "app1", getpid(), &err);
	assert_non_null(f);
	assert_says("10:INITIALIZING_MONITOR", getpid());
}

/* MHA's own manager knows no claim: its pid and command line count. */
static void test_mhas_own_manager_is_respected(void **state)
{
	pid_t pid = stand_in("masterha_manager", "--conf=/etc/app1.cnf");
	AUTO(free) char *line = xasprintf("%d\t0:PING_OK\tmaster:db1", (int)pid);
	AUTO(status_file) struct status_file *f = NULL;

	(void)state;
	put(line);
	assert_int_equal(judge(NULL), STATUS_FILE_RUNNING);
	assert_null(status_file_claim(dir, "app1", getpid(), &err));
	assert_int_equal(err.kind, ERR_PRECOND);
	assert_string_equal(text_of(path), line);
	end(pid);
	f = status_file_claim(dir, "app1", getpid(), &err);
	assert_non_null(f);
}

static void test_a_removed_file_comes_back(void **state)
{
	AUTO(status_file) struct status_file *f = status_file_claim(dir, "app1", getpid(), &err);

	(void)state;
	assert_true(status_file_set(f, STATUS_FILE_PING_OK, "db1", &err));
	assert_int_equal(unlink(path), 0);
	assert_true(status_file_touch(f, &err));
	assert_says("0:PING_OK\tmaster:db1", getpid());
	assert_true(status_file_is_held(path));
	put("999999999\t0:PING_OK\tmaster:x"); /* written into: the next state mends it */
	assert_true(status_file_set(f, STATUS_FILE_PING_FAILING, NULL, &err));
	assert_says("20:PING_FAILING\tmaster:db1", getpid());
}

static void test_a_file_that_is_not_ours_any_more_stays(void **state)
{
	struct status_file *f = status_file_claim(dir, "app1", getpid(), &err);

	(void)state;
	assert_int_equal(unlink(path), 0);
	put("4711\t0:PING_OK\tmaster:db1");
	status_file_release(f);
	assert_string_equal(text_of(path), "4711\t0:PING_OK\tmaster:db1");
}

static void test_somebody_elses_manager_in_our_place(void **state)
{
	struct status_file *f = status_file_claim(dir, "app1", getpid(), &err);
	pid_t pid = stand_in("masterha_manager", "--conf=/etc/app1.cnf");
	AUTO(free) char *line = xasprintf("%d\t0:PING_OK\tmaster:db1", (int)pid);

	(void)state;
	assert_int_equal(unlink(path), 0);
	put(line);
	assert_false(status_file_touch(f, &err));
	assert_int_equal(err.kind, ERR_PRECOND);
	assert_string_equal(text_of(path), line);
	end(pid);
	assert_true(status_file_touch(f, &err)); /* as soon as it is gone */
	assert_says("10:INITIALIZING_MONITOR", getpid());
	status_file_release(f);
}

static void test_a_forked_child_lets_go(void **state)
{
	AUTO(status_file) struct status_file *f = status_file_claim(dir, "app1", getpid(), &err);
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		status_file_abandon(TAKE(f));
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	assert_true(status_file_is_held(path));
	assert_says("10:INITIALIZING_MONITOR", getpid());
}

/* ---- what others put there */

static void test_links_are_not_followed(void **state)
{
	AUTO(free) char *target = xasprintf("%s/precious", dir);
	AUTO(status_file) struct status_file *f = NULL;
	struct status_file_reading r;
	struct stat st;

	(void)state;
	put("precious");
	assert_int_equal(rename(path, target), 0);
	assert_int_equal(symlink(target, path), 0);
	assert_false(status_file_read(path, &r, &err));
	assert_non_null(strstr(err.text, "symbolic link"));
	f = status_file_claim(dir, "app1", getpid(), &err);
	assert_non_null(f);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_string_equal(text_of(target), "precious");
	assert_int_equal(unlink(path), 0); /* and while it is held */
	assert_int_equal(symlink(target, path), 0);
	assert_true(status_file_set(f, STATUS_FILE_PING_OK, "db1", &err));
	assert_string_equal(text_of(target), "precious");
	assert_int_equal(unlink(path), 0); /* a second name of another file */
	assert_int_equal(link(target, path), 0);
	assert_true(status_file_set(f, STATUS_FILE_PING_OK, "db1", &err));
	assert_string_equal(text_of(target), "precious");
	assert_says("0:PING_OK\tmaster:db1", getpid());
}

static void test_pipes_and_directories(void **state)
{
	AUTO(status_file) struct status_file *f = NULL;
	struct status_file_reading r;

	(void)state;
	assert_int_equal(mkfifo(path, 0644), 0);
	assert_false(status_file_read(path, &r, &err));
	assert_int_equal(err.kind, ERR_PARSE);
	f = status_file_claim(dir, "app1", getpid(), &err);
	assert_non_null(f);
	f = status_file_release(f);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_false(status_file_read(path, &r, &err));
	assert_null(status_file_claim(dir, "app1", getpid(), &err));
	assert_int_equal(err.kind, ERR_SYSTEM);
	assert_int_equal(rmdir(path), 0);
}

/* Everybody may read the file, hence lock it for reading; flock() even exclusively. */
static void test_locks_of_readers_hold_nobody_up(void **state)
{
	AUTO_FD int fd = -1;
	struct flock l = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	AUTO(status_file) struct status_file *f = NULL;

	(void)state;
	put("999999999\t0:PING_OK\tmaster:x");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &l), 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	f = status_file_claim(dir, "app1", getpid(), &err);
	assert_non_null(f);
	close(fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &l), -1);
	assert_true(status_file_set(f, STATUS_FILE_PING_OK, "db1", &err));
	assert_says("0:PING_OK\tmaster:db1", getpid());
}

/* Strangers' files; only root can make them. */
static void test_files_of_other_users(void **state)
{
	AUTO(status_file) struct status_file *f = NULL;
	struct status_file_judgement j;
	struct stat st;
	pid_t pid;

	(void)state;
	if (geteuid())
		skip();
	assert_int_equal(chmod(dir, 01777), 0);
	pid = stand_in("masterha_manager", "--conf=/etc/app1.cnf");
	AUTO(free) char *line = xasprintf("%d\t0:PING_OK\tmaster:db1", (int)pid);
	put(line);
	assert_int_equal(judge(NULL), STATUS_FILE_RUNNING);
	assert_int_equal(chown(path, 12345, 12345), 0);
	assert_int_equal(judge(&j), STATUS_FILE_FOREIGN);
	assert_non_null(strstr(j.text, "uid 12345"));
	f = status_file_claim(dir, "app1", getpid(), &err);
	assert_non_null(f);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 0);
	end(pid);
}

/* ---- judging */

static void test_judging(void **state)
{
	static const struct {
		const char *word, *arg;
		enum status_file_verdict want;
	} rows[] = {
		{ "masterha_manager", "--conf=/etc/app1.cnf", STATUS_FILE_RUNNING },
		{ "/usr/bin/masterha_manager", "/etc/app1.cnf", STATUS_FILE_RUNNING },
		{ "masterha_master_monitor", "--conf=app1.cnf", STATUS_FILE_RUNNING },
		{ "mhad", "--conf=/etc/mhad/clusters.d/app1.conf", STATUS_FILE_RUNNING },
		{ "mhactl", "app1", STATUS_FILE_RUNNING },
		{ "masterha_manager --conf=/etc/app1.cnf", "", STATUS_FILE_RUNNING },
		{ "masterha_manager --conf=/etc/app2.cnf", "", STATUS_FILE_FOREIGN },
		{ "masterha_manager", "--conf=/etc/app2.cnf", STATUS_FILE_FOREIGN },
		{ "masterha_manager", "--conf=/etc/app11.cnf", STATUS_FILE_FOREIGN },
		{ "watcher", "--conf=/etc/app1.cnf", STATUS_FILE_FOREIGN },
		{ "vi", "/etc/app1.cnf", STATUS_FILE_FOREIGN },
		{ "mhad", "", STATUS_FILE_FOREIGN },
	};
	struct status_file_judgement j;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		pid_t pid = stand_in(rows[i].word, rows[i].arg);
		AUTO(free) char *line = xasprintf("%d\t0:PING_OK\tmaster:db1", (int)pid);

		put(line);
		if (judge(&j) != rows[i].want)
			fail_msg("%s %s: %d", rows[i].word, rows[i].arg, (int)j.verdict);
		assert_true(j.verdict == STATUS_FILE_FOREIGN || (j.group == pid && !*j.text));
		assert_true(status_file_lives(pid, j.started));
		assert_false(status_file_lives(pid, j.started + 1));
		kill(pid, SIGKILL);
		while (status_file_lives(pid, j.started)) /* dead before its parent asks */
			usleep(1000);
		assert_int_equal(judge(&j), STATUS_FILE_GONE);
		waitpid(pid, NULL, 0);
	}
}

static void test_held_is_enough(void **state)
{
	pid_t pid = stand_in("something", "else");
	AUTO(status_file) struct status_file *f = status_file_claim(dir, "app1", pid, &err);

	(void)state;
	assert_int_equal(judge(NULL), STATUS_FILE_RUNNING);
	f = status_file_abandon(f);
	assert_int_equal(judge(NULL), STATUS_FILE_FOREIGN);
	end(pid);
}

static void test_never_init(void **state)
{
	(void)state;
	put("1\t0:PING_OK\tmaster:db1");
	assert_int_equal(judge(NULL), STATUS_FILE_FOREIGN);
}

static void test_children_left_over(void **state)
{
	struct status_file_judgement j;
	pid_t leader, child = 0;
	int told[2];

	(void)state;
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	assert_int_equal(pipe2(told, O_CLOEXEC), 0);
	leader = fork();
	if (!leader) {
		setpgid(0, 0);
		child = fork();
		if (!child) {
			execl("/bin/sleep", "sleep", "100", (char *)NULL);
			_exit(127);
		}
		_exit(write(told[1], &child, sizeof(child)) != sizeof(child));
	}
	assert_int_equal(read(told[0], &child, sizeof(child)), sizeof(child));
	waitpid(leader, NULL, 0);
	AUTO(free) char *line = xasprintf("%d\t0:PING_OK\tmaster:db1", (int)leader);
	put(line);
	assert_int_equal(judge(&j), STATUS_FILE_LEFTOVER);
	assert_int_equal(j.child, child);
	end(child);
	assert_int_equal(judge(&j), STATUS_FILE_GONE);
	close(told[0]);
	close(told[1]);
}

static void test_ages(void **state)
{
	struct timespec then[2] = { { .tv_sec = time(NULL) - 100 },
		{ .tv_sec = time(NULL) - 100 } };
	struct status_file_reading r;

	(void)state;
	put("4711\t0:PING_OK\tmaster:db1");
	assert_int_equal(utimensat(AT_FDCWD, path, then, 0), 0);
	assert_true(status_file_read(path, &r, &err));
	assert_in_range(r.age_ms, 99000, 110000);
	then[0].tv_sec = then[1].tv_sec = time(NULL) + 1000;
	assert_int_equal(utimensat(AT_FDCWD, path, then, 0), 0);
	assert_true(status_file_read(path, &r, &err));
	assert_true(r.age_ms < 0);
}

/* A reader sees one whole line or another, whatever their lengths. */
static void test_readers_see_whole_lines(void **state)
{
	struct status_file *f = status_file_claim(dir, "app1", getpid(), &err);
	pid_t reader;
	int status;

	(void)state;
	reader = fork();
	if (!reader) {
		struct status_file_reading r;

		for (int i = 0; i < 3000; i++) {
			if (!status_file_read(path, &r, NULL) || r.line.pid != getppid() ||
			        !(str_is(r.line.master, "") || str_is(r.line.master, "db1") ||
			                str_is(r.line.master, "a-longer-name.example.org")))
				_exit(1);
		}
		_exit(0);
	}
	while (!waitpid(reader, &status, WNOHANG)) {
		assert_true(status_file_set(f, STATUS_FILE_PING_OK, "db1", &err));
		assert_true(status_file_set(
		        f, STATUS_FILE_PING_FAILED, "a-longer-name.example.org", &err));
		usleep(50); /* who never pauses is never read twice alike */
	}
	assert_int_equal(status, 0);
	status_file_release(f);
}

/* Many begin at once: one gets it. */
static void test_one_of_many(void **state)
{
	enum { MANY = 8, ROUNDS = 10 };

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		pid_t pids[MANY];
		int won = 0, go[2];

		if (round % 2)
			put("999999999\t0:PING_OK\tmaster:x");
		assert_int_equal(pipe(go), 0);
		for (int i = 0; i < MANY; i++) {
			pids[i] = fork();
			if (!pids[i]) {
				char byte;

				close(go[1]);
				(void)!read(go[0], &byte, 1);
				if (!status_file_claim(dir, "app1", getpid(), &err))
					_exit(err.kind == ERR_PRECOND ? 1 : 2);
				pause(); /* with the claim, until the end of the round */
			}
		}
		close(go[0]);
		close(go[1]);
		for (int left = MANY, status; left > 1; left--) {
			pid_t pid = waitpid(-1, &status, 0);

			assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
			for (int i = 0; i < MANY; i++)
				pids[i] = pids[i] == pid ? 0 : pids[i];
		}
		for (int i = 0; i < MANY; i++) {
			if (!pids[i])
				continue;
			assert_true(status_file_is_held(path));
			assert_int_equal(waitpid(pids[i], NULL, WNOHANG), 0);
			end(pids[i]);
			won++;
		}
		assert_int_equal(won, 1);
		unlink(path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
		T(test_lines_that_mha_writes),
		T(test_lines_that_are_none),
		T(test_life_of_a_file),
		T(test_the_directory_is_made),
		T(test_the_second_is_refused_and_told),
		T(test_a_dead_managers_file_is_taken_over),
		T(test_mhas_own_manager_is_respected),
		T(test_a_removed_file_comes_back),
		T(test_a_file_that_is_not_ours_any_more_stays),
		T(test_somebody_elses_manager_in_our_place),
		T(test_a_forked_child_lets_go),
		T(test_links_are_not_followed),
		T(test_pipes_and_directories),
		T(test_locks_of_readers_hold_nobody_up),
		T(test_files_of_other_users),
		T(test_judging),
		T(test_held_is_enough),
		T(test_never_init),
		T(test_children_left_over),
		T(test_ages),
		T(test_readers_see_whole_lines),
		T(test_one_of_many),
	};

	if (getenv("MHAD_TEST_WAITS"))
		return pause();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
