/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aside - a function in a process that may be left behind.  Runs on: any thread.
 */
#include "aside.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "clock.h"

#define GIVE_UP_S          60   /* for waits that a signal can end */
#define FDS_OF_OLD_KERNELS 4096 /* that have to be closed one by one */

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

static void close_range_of(unsigned first, unsigned last)
{
	if (syscall(SYS_close_range, first, last, 0) == 0)
		return;
	for (unsigned fd = first; fd <= last && fd < FDS_OF_OLD_KERNELS; fd++)
		close((int)fd);
}

/* Nobody who reads our output shall wait for a process that hangs. */
static void drop_descriptors(int keep)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd <= 2; fd++)
		if (null >= 0)
			dup2(null, fd);
	if (keep > 3)
		close_range_of(3, (unsigned)keep - 1);
	close_range_of((unsigned)keep + 1, ~0U);
}

static bool send_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		p += done;
		n -= (size_t)done;
	}
	return true;
}

struct task {
	aside_fn fn;
	aside_leave_fn leave; /* instead of it */
	const void *arg;
	void *ret;
	size_t size;
	int fd; /* all that it keeps */
};

static _Noreturn void run_grandchild(const struct task *t)
{
	int fd = fcntl(t->fd, F_DUPFD, 3);
	sigset_t none;

	if (fd < 0)
		_exit(1);
	drop_descriptors(fd);
	if (t->leave) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGTERM, SIG_DFL);
		t->leave(t->arg, fd);
		_exit(0);
	}
	signal(SIGALRM, SIG_DFL);
	alarm(GIVE_UP_S);
	t->fn(t->arg, t->ret);
	_exit(send_all(fd, t->ret, t->size) ? 0 : 1);
}

/* Twice, so that what is left behind is not our zombie. */
static bool fork_twice(const struct task *t, struct err *e)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		return err_sys(e, "start a process");
	if (child == 0) {
		pid_t grandchild = fork();

		if (grandchild == 0)
			run_grandchild(t);
		_exit(grandchild < 0);
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(e, "wait for a process");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(e, ERR_SYSTEM, EAGAIN, "start a process: no more can be had");
	return true;
}

static bool receive(int fd, char *p, size_t n, int64_t deadline, struct err *e)
{
	while (n) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		ssize_t got;

		if (clock_left(deadline) == 0 || poll(&pfd, 1, clock_left_poll(deadline)) == 0)
			return err_set(e, ERR_LOST, 0, "not finished in time");
		got = read(fd, p, n);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got <= 0)
			return err_set(e, ERR_SYSTEM, EPIPE, "the process that looked has died");
		p += got;
		n -= (size_t)got;
	}
	return true;
}

bool aside_run(
        aside_fn fn, const void *arg, void *ret, size_t size, int64_t deadline, struct err *e)
{
	int fds[2];
	bool ok;

	memset(ret, 0, size);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, "make a pipe");
	ok = fork_twice(
	        &(struct task){ .fn = fn, .arg = arg, .ret = ret, .size = size, .fd = fds[1] }, e);
	close(fds[1]);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	ok = ok && receive(fds[0], ret, size, deadline, e);
	close(fds[0]);
	if (!ok)
		memset(ret, 0, size);
	return ok;
}

bool aside_leave(aside_leave_fn fn, const void *arg, int fd, struct err *e)
{
	return fork_twice(&(struct task){ .leave = fn, .arg = arg, .fd = fd }, e);
}
