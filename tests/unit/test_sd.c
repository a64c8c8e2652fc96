/* SPDX-License-Identifier: BSD-2-Clause */
/* sd: what systemd hears, what it handed over, and silence without it. */
#include "sd.h"
#include "clock.h"
#include "loop.h"
#include "str.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static struct loop *l;
static int manager = -1; /* systemd's end */
static char dir[] = "/tmp/test-sd-XXXXXX";

static int listen_at(const char *path, int type)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	memcpy(a.sun_path, path, strlen(path));
	if (*path == '@')
		a.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
	return fd;
}

static char *in_dir(const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

static int setup(void **state)
{
	AUTO(free) char *path = NULL;

	(void)state;
	strcpy(dir, "/tmp/test-sd-XXXXXX");
	assert_non_null(mkdtemp(dir));
	path = in_dir("notify");
	manager = listen_at(path, SOCK_DGRAM);
	setenv("NOTIFY_SOCKET", path, 1);
	l = loop_new();
	return 0;
}

static int teardown(void **state)
{
	AUTO(free) char *path = in_dir("notify");

	(void)state;
	loop_free(l);
	close(manager);
	unlink(path);
	rmdir(dir);
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return 0;
}

static const char *heard(void)
{
	static char buf[2048];
	ssize_t n = recv(manager, buf, sizeof(buf) - 1, MSG_DONTWAIT);

	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static void stop(void *arg)
{
	(void)arg;
	loop_stop(l);
}

static void run_for(int64_t ms)
{
	struct loop_timer *t = loop_timer_new(l, clock_in(ms), stop, NULL);

	loop_run(l);
	loop_timer_free(t);
}

static void a_life(void **state)
{
	AUTO(sd) struct sd *s = sd_new(l);
	long long usec = 0;

	(void)state;
	assert_true(sd_is_service(s));
	assert_null(getenv("NOTIFY_SOCKET"));
	sd_status(s, "reading %d files", 3);
	assert_string_equal(heard(), "STATUS=reading 3 files");
	sd_ready(s, "watching %d clusters", 2);
	assert_string_equal(heard(), "READY=1\nSTATUS=watching 2 clusters");
	sd_reloading(s);
	assert_int_equal(sscanf(heard(), "RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=", &usec), 1);
	assert_true(usec > 0);
	sd_ready(s, "watching %d clusters", 2);
	assert_string_equal(heard(), "READY=1\nSTATUS=watching 2 clusters");
	sd_stopping(s, "stopping");
	assert_string_equal(heard(), "STOPPING=1\nSTATUS=stopping");
}

static void the_same_status_is_said_once(void **state)
{
	AUTO(sd) struct sd *s = sd_new(l);

	(void)state;
	sd_status(s, "all is well");
	assert_string_equal(heard(), "STATUS=all is well");
	sd_status(s, "all is well");
	assert_string_equal(heard(), "");
	sd_status(s, "two lines\nas one");
	assert_string_equal(heard(), "STATUS=two lines as one");
}

static void a_failure_names_itself(void **state)
{
	AUTO(sd) struct sd *s = sd_new(l);
	struct err e = { 0 };

	(void)state;
	err_set(&e, ERR_CONFIG, 7, "app1.conf:3: there is no setting \"pasword\"");
	sd_failed(s, &e);
	assert_string_equal(heard(), "STATUS=app1.conf:3: there is no setting \"pasword\"");
	err_set(&e, ERR_SYSTEM, 13, "no");
	sd_failed(s, &e);
	assert_string_equal(heard(), "ERRNO=13\nSTATUS=no");
}

/* Only the last state counts, and it does arrive. */
static void a_busy_systemd_hears_it_later(void **state)
{
	AUTO(sd) struct sd *s = sd_new(l);
	const char *text;
	int n = 0;

	(void)state;
	for (int i = 0; i < 5000; i++)
		sd_status(s, "turn %d", i);
	sd_ready(s, "at last");
	while (*(text = heard()) && strcmp(text, "READY=1\nSTATUS=at last") != 0)
		n++;
	assert_true(n < 4999);
	run_for(20);
	assert_string_equal(heard(), "READY=1\nSTATUS=at last");
	run_for(20);
	assert_string_equal(heard(), "");
}

static int meals(void)
{
	int n = 0;

	for (const char *t = heard(); *t; t = heard())
		n += str_is(t, "WATCHDOG=1");
	return n;
}

static void the_loop_feeds_the_watchdog(void **state)
{
	struct sd *s;

	(void)state;
	setenv("WATCHDOG_USEC", "90000", 1);
	s = sd_new(l);
	assert_null(getenv("WATCHDOG_USEC"));
	run_for(200);
	assert_in_range(meals(), 3, 8);
	usleep(200000); /* a loop that does not turn */
	assert_int_equal(meals(), 0);
	sd_free(s);
	run_for(50);
	assert_int_equal(meals(), 0);
}

static void another_process_watchdog_is_not_ours(void **state)
{
	AUTO(free) char *pid = xasprintf("%d", (int)getppid());
	AUTO(sd) struct sd *s = NULL;

	(void)state;
	setenv("WATCHDOG_USEC", "30000", 1);
	setenv("WATCHDOG_PID", pid, 1);
	s = sd_new(l);
	run_for(60);
	assert_int_equal(meals(), 0);
}

static void silent_without_systemd(void **state)
{
	static const char *const odd[] = { NULL, "", "@", "relative", "/nonexistent/notify" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		struct sd *s;

		unsetenv("NOTIFY_SOCKET");
		if (odd[i])
			setenv("NOTIFY_SOCKET", odd[i], 1);
		setenv("WATCHDOG_USEC", "10000", 1);
		s = sd_new(l);
		assert_false(sd_is_service(s));
		sd_ready(s, "x");
		sd_reloading(s);
		run_for(10);
		sd_stopping(s, "x");
		assert_int_equal(sd_listen_fd(s, "control"), -1);
		sd_free(s);
	}
	assert_string_equal(heard(), "");
}

static void abstract_sockets(void **state)
{
	AUTO(free) char *name = xasprintf("@test-sd-%d", (int)getpid());
	AUTO(sd) struct sd *s = NULL;

	(void)state;
	close(manager);
	manager = listen_at(name, SOCK_DGRAM);
	setenv("NOTIFY_SOCKET", name, 1);
	s = sd_new(l);
	sd_ready(s, "here");
	assert_string_equal(heard(), "READY=1\nSTATUS=here");
}

/* In a child of its own: the descriptors have fixed numbers.  0: all is as it should be. */
static int take_sockets(void)
{
	AUTO(free) char *pid = xasprintf("%d", (int)getpid()), *path = in_dir("s");
	int stream = listen_at(path, SOCK_STREAM), other = socket(AF_UNIX, SOCK_DGRAM, 0), fd;
	struct sd *s;

	unlink(path);
	listen(stream, 5);
	stream = fcntl(stream, F_DUPFD, 20);
	other = fcntl(other, F_DUPFD, 21);
	dup2(stream, 3);
	dup2(other, 4);
	dup2(stream, 5);
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "3", 1);
	setenv("LISTEN_FDNAMES", "control:odd:http", 1);
	s = sd_new(loop_new());
	if (getenv("LISTEN_FDS") || sd_listen_fd(s, "odd") != -1)
		return 1;
	fd = sd_listen_fd(s, "control");
	if (fd != 3 || !(fcntl(3, F_GETFD) & FD_CLOEXEC) || !(fcntl(3, F_GETFL) & O_NONBLOCK))
		return 2;
	if (sd_listen_fd(s, "control") != -1)
		return 3;
	sd_free(s);
	/* What was taken stays, the rest is closed. */
	return fcntl(3, F_GETFD) < 0 || fcntl(4, F_GETFD) >= 0 || fcntl(5, F_GETFD) >= 0 ? 4 : 0;
}

static void sockets_are_handed_over(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (!pid)
		_exit(take_sockets());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_life),
		TEST(the_same_status_is_said_once),
		TEST(a_failure_names_itself),
		TEST(a_busy_systemd_hears_it_later),
		TEST(the_loop_feeds_the_watchdog),
		TEST(another_process_watchdog_is_not_ours),
		TEST(silent_without_systemd),
		TEST(abstract_sockets),
		TEST(sockets_are_handed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
