/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * standin - the process that forks stand-ins, and mhad's end of the socket to it.  Owned by the fleet.
 */
#include "standin.h"
#include "loop.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum op { MAKE, END, MADE, ENDED };

struct message {
	enum op op;
	uint64_t id;
	pid_t pid;
	int signo;
	char path[PATH_MAX];
};
/* Answers have no path. */
#define ANSWER_SIZE offsetof(struct message, path)

struct standins {
	int fd;
	pid_t parent;
	struct loop_io *io;
	standin_made_fn made;
	standin_ended_fn ended;
	void *arg;
};

/* ---- in the process that forks: no heap but this list, no threads ---- */

struct child {
	pid_t pid;
	uint64_t id;
};

struct nursery {
	int fd, signals;
	char **argv;
	struct child *children;
	size_t n, room;
};

/* Over argv and what follows it: the kernel shows that much as the command line. */
static void set_name(char **argv, const char *path)
{
	char *end = argv[0] + strlen(argv[0]) + 1;
	size_t room;
	int n;

	for (char **a = argv + 1; *a && *a == end; a++)
		end = *a + strlen(*a) + 1;
	for (char **v = environ; v && *v && *v == end; v++)
		end = *v + strlen(*v) + 1;
	room = (size_t)(end - argv[0]);
	memset(argv[0], 0, room);
	n = snprintf(argv[0], room, "masterha_manager --conf=%s", path);
	(void)n;
	prctl(PR_SET_NAME, "masterha_manager");
}

static _Noreturn void stand_in(struct nursery *n, pid_t parent, const char *path)
{
	sigset_t none;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	close(n->fd);
	close(n->signals);
	set_name(n->argv, path);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (;;)
		pause();
}

static void answer(const struct nursery *n, enum op op, uint64_t id, pid_t pid, int signo)
{
	const struct message m = { .op = op, .id = id, .pid = pid, .signo = signo };

	if (send(n->fd, &m, ANSWER_SIZE, MSG_NOSIGNAL) < 0)
		_exit(1); /* mhad is gone; children follow by their own signal */
}

static void make(struct nursery *n, const struct message *m)
{
	pid_t me = getpid(), pid;

	if (n->n == n->room) {
		n->room = n->room ? 2 * n->room : 16;
		n->children = xrealloc(n->children, n->room * sizeof(*n->children));
	}
	pid = fork();
	if (pid == 0)
		stand_in(n, me, m->path);
	if (pid > 0) {
		setpgid(pid, pid);
		n->children[n->n++] = (struct child){ pid, m->id };
	}
	answer(n, MADE, m->id, pid > 0 ? pid : 0, 0);
}

static void end(struct nursery *n, uint64_t id)
{
	for (size_t i = 0; i < n->n; i++) {
		if (n->children[i].id != id)
			continue;
		n->children[i].id = 0; /* nobody is told */
		kill(n->children[i].pid, SIGKILL);
	}
}

static void reap(struct nursery *n)
{
	struct signalfd_siginfo info;
	ssize_t got = read(n->signals, &info, sizeof(info));
	int status;
	pid_t pid;

	(void)got;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < n->n; i++) {
			if (n->children[i].pid != pid)
				continue;
			if (n->children[i].id)
				answer(n, ENDED, n->children[i].id, pid,
				        WIFSIGNALED(status) ? WTERMSIG(status) : 0);
			n->children[i] = n->children[--n->n];
			break;
		}
	}
}

static _Noreturn void nurse(int fd, char **argv)
{
	struct nursery n = { .fd = fd, .argv = argv };
	static struct message m;
	sigset_t chld;

	setpgid(0, 0);
	prctl(PR_SET_NAME, "mhad-standins");
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	signal(SIGPIPE, SIG_IGN);
	n.signals = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
	for (;;) {
		struct pollfd p[] = { { fd, POLLIN, 0 }, { n.signals, POLLIN, 0 } };
		ssize_t got;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			_exit(1);
		if (p[1].revents)
			reap(&n);
		if (!p[0].revents)
			continue;
		got = recv(fd, &m, sizeof(m), 0);
		if (got <= 0)
			_exit(0); /* mhad has ended */
		if (m.op == MAKE && m.id)
			make(&n, &m);
		else
			end(&n, m.id);
	}
}

/* Sockets that systemd handed to mhad must not live on here. */
static void close_others(int keep)
{
	if (keep > 3)
		close_range(3, (unsigned)keep - 1, 0);
	close_range((unsigned)keep + 1, ~0U, 0);
}

/* ---- in mhad ---- */

struct standins *standins_fork(char **argv, struct err *e)
{
	struct standins *s;
	int fds[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds)) {
		err_sys(e, "make a socket for stand-ins");
		return NULL;
	}
	pid = fork();
	if (pid == 0) {
		close_others(fds[1]);
		nurse(fds[1], argv);
	}
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		err_sys(e, "fork");
		return NULL;
	}
	s = xzalloc(sizeof(*s));
	s->fd = fds[0];
	s->parent = pid;
	return s;
}

static void gone(struct standins *s)
{
	loop_io_free(TAKE(s->io));
	close(s->fd);
	s->fd = -1;
	waitpid(s->parent, NULL, WNOHANG);
}

static void on_answer(void *arg, int events)
{
	struct standins *s = arg;
	struct message m;
	ssize_t n = recv(s->fd, &m, sizeof(m), MSG_DONTWAIT);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < (ssize_t)ANSWER_SIZE)
		gone(s);
	else if (m.op == MADE)
		s->made(s->arg, m.id, m.pid);
	else if (m.op == ENDED)
		s->ended(s->arg, m.id, m.pid, m.signo);
}

void standins_attach(
        struct standins *s, struct loop *l, standin_made_fn made, standin_ended_fn ended, void *arg)
{
	s->made = made;
	s->ended = ended;
	s->arg = arg;
	s->io = loop_io_new(l, s->fd, LOOP_READ, on_answer, s);
}

void standins_free(struct standins *s)
{
	if (!s)
		return;
	loop_io_free(s->io);
	if (s->fd >= 0) {
		close(s->fd); /* which ends the others */
		waitpid(s->parent, NULL, 0);
	}
	free(s);
}

bool standin_make(struct standins *s, uint64_t id, const char *conf_path)
{
	struct message m = { .op = MAKE, .id = id };

	snprintf(m.path, sizeof(m.path), "%s", conf_path);
	return s->fd >= 0 &&
	       send(s->fd, &m, ANSWER_SIZE + strlen(m.path) + 1, MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
}

void standin_end(struct standins *s, uint64_t id)
{
	const struct message m = { .op = END, .id = id };

	if (s->fd >= 0)
		send(s->fd, &m, ANSWER_SIZE, MSG_NOSIGNAL | MSG_DONTWAIT);
}
