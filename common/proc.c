/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc - starting programs and getting rid of them in time.  posix_spawn() does not copy the
 * address space, so it is as quick with locked memory as without, and it may be called beside other
 * threads. Runs on: worker.
 */
#include "proc.h"
#include "clock.h"
#include "vec.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	OUTPUT_MAX = 64 * 1024,
	GRACE_MS = 1000,
	LINGER_MS = 200,    /* for what a grandchild still writes after the child's end */
	NO_EXIT_FD_MS = 10, /* how often to look without a pidfd */
};

extern char **environ;

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void set_signals(void)
{
	struct sigaction a;

	signal(SIGPIPE, SIG_IGN);
	if (!sigaction(SIGCHLD, NULL, &a) && (a.sa_handler == SIG_IGN || a.sa_flags & SA_NOCLDWAIT))
		signal(SIGCHLD, SIG_DFL);
}

static void close_fd(int *fd)
{
	cleanup_fd(fd);
	*fd = -1;
}

static bool same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return n == strcspn(b, "=") && !strncmp(a, b, n);
}

/* Our environment with the additions put over it; strings are borrowed, the array is owned. */
static char **make_env(const char *const *add)
{
	VEC(char *) env = VEC_INIT;

	for (char **v = environ; v && *v; v++) {
		const char *const *a = add;

		while (a && *a && !same_name(*v, *a))
			a++;
		if (!a || !*a)
			vec_push(&env, *v);
	}
	for (; add && *add; add++)
		vec_push(&env, (char *)(uintptr_t)*add);
	vec_push(&env, NULL);
	return env.items;
}

static bool pipe_pair(int *ours, int *theirs, bool we_write, struct err *e)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC))
		return err_sys(e, "make a pipe");
	*ours = fd[we_write ? 1 : 0];
	*theirs = fd[we_write ? 0 : 1];
	fcntl(*ours, F_SETFL, O_NONBLOCK);
	return true;
}

static int spawn(const struct proc_opts *o, const int stdio[3], pid_t *ret)
{
	AUTO(free) char **env = make_env(o->env_add);
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t set;
	int rc;

	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&attr);
	if (stdio[0] < 0)
		posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	for (int i = 0; i < 3; i++)
		if (stdio[i] >= 0)
			posix_spawn_file_actions_adddup2(&fa, stdio[i], i);
	posix_spawn_file_actions_addclosefrom_np(&fa, 3);
	if (o->cwd)
		posix_spawn_file_actions_addchdir_np(&fa, o->cwd);
	posix_spawnattr_setflags(
	        &attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	sigfillset(&set);
	posix_spawnattr_setsigdefault(&attr, &set);
	sigemptyset(&set);
	posix_spawnattr_setsigmask(&attr, &set);
	rc = posix_spawnp(ret, o->argv[0], &fa, &attr, (char *const *)(uintptr_t)o->argv, env);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&attr);
	return rc;
}

bool proc_start(const struct proc_opts *o, struct proc_child *ret, struct err *e)
{
	AUTO_FD int in = -1, out = -1, err = -1;
	struct proc_child c = { .exit_fd = -1, .in = -1, .out = -1, .err = -1 };

	pthread_once(&once, set_signals);
	if ((!o->input || pipe_pair(&c.in, &in, true, e)) && pipe_pair(&c.out, &out, false, e) &&
	        (o->merge || pipe_pair(&c.err, &err, false, e))) {
		errno = spawn(o, (int[]){ in, out, o->merge ? out : err }, &c.pid);
		if (!errno) {
			c.exit_fd = (int)syscall(SYS_pidfd_open, c.pid, 0);
			*ret = c;
			return true;
		}
		err_sys(e, "run %s%s%s", o->argv[0], o->cwd ? " in " : "", o->cwd ? o->cwd : "");
	}
	close_fd(&c.in);
	close_fd(&c.out);
	close_fd(&c.err);
	return false;
}

static bool has_ended(const struct proc_child *c)
{
	siginfo_t si = { .si_pid = 0 };

	return waitid(P_PID, (id_t)c->pid, &si, WEXITED | WNOHANG | WNOWAIT) || si.si_pid;
}

static void reap(struct proc_child *c, int *ret_status, int *ret_signal)
{
	siginfo_t si = { .si_pid = 0 };
	bool known = !waitid(P_PID, (id_t)c->pid, &si, WEXITED | WNOHANG) && si.si_pid;

	*ret_status = known && si.si_code == CLD_EXITED ? si.si_status : -1;
	*ret_signal = known && si.si_code != CLD_EXITED ? si.si_status : 0;
	c->pid = 0;
}

static int poll_ms(const struct proc_child *c, int64_t until)
{
	int ms = clock_left_poll(until);

	return c->exit_fd < 0 && (ms < 0 || ms > NO_EXIT_FD_MS) ? NO_EXIT_FD_MS : ms;
}

bool proc_reap(struct proc_child *c, int64_t deadline, int *ret_status, int *ret_signal)
{
	while (!has_ended(c)) {
		struct pollfd p = { .fd = c->exit_fd, .events = POLLIN };

		if (!clock_left(deadline))
			return false;
		poll(&p, 1, poll_ms(c, deadline));
	}
	reap(c, ret_status, ret_signal);
	return true;
}

/* The group, and the leader too in case it went to another group. */
static void send_signal(const struct proc_child *c, int signo)
{
	kill(-c->pid, signo);
	kill(c->pid, signo);
}

void proc_child_done(struct proc_child *c)
{
	int ignored;

	if (c->pid > 0) {
		send_signal(c, SIGKILL);
		/* One that hangs in the kernel stays a zombie-to-be: better than hanging with it.
		 */
		if (!proc_reap(c, clock_in(GRACE_MS), &ignored, &ignored))
			c->pid = 0;
	}
	close_fd(&c->exit_fd);
	close_fd(&c->in);
	close_fd(&c->out);
	close_fd(&c->err);
}

struct run {
	struct proc_child c;
	const struct proc_opts *o;
	struct proc_result *r;
	size_t fed;
	bool ended;
	bool killed;
	int cancel;   /* -1: none, or seen */
	int64_t next; /* when patience with the present state ends */
};

static void feed(struct run *u)
{
	ssize_t n = 0;

	if (u->fed < u->o->input_len)
		n = write(u->c.in, (const char *)u->o->input + u->fed, u->o->input_len - u->fed);
	if (n > 0)
		u->fed += (size_t)n;
	if (u->fed == u->o->input_len || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_fd(&u->c.in);
}

static void drain(struct run *u, int *fd, struct str *to)
{
	size_t max = u->o->output_max ? u->o->output_max : OUTPUT_MAX;
	char buf[16384];
	ssize_t n = read(*fd, buf, sizeof(buf));

	if (n > 0) {
		size_t room = max - to->len, keep = (size_t)n < room ? (size_t)n : room;

		str_addn(to, buf, keep);
		u->r->cut |= keep < (size_t)n;
	} else if (!n || (errno != EAGAIN && errno != EINTR)) {
		close_fd(fd);
	}
}

static void turn(struct run *u)
{
	struct pollfd p[] = {
		{ .fd = u->ended ? -1 : u->c.exit_fd, .events = POLLIN },
		{ .fd = u->c.in, .events = POLLOUT },
		{ .fd = u->c.out, .events = POLLIN },
		{ .fd = u->c.err, .events = POLLIN },
		{ .fd = u->cancel, .events = POLLIN | POLLRDHUP },
	};

	poll(p, ARRAY_LEN(p), poll_ms(&u->c, u->next));
	if (p[1].revents)
		feed(u);
	if (p[2].revents)
		drain(u, &u->c.out, &u->r->out);
	if (p[3].revents)
		drain(u, &u->c.err, &u->r->err);
	if (p[4].revents) {
		u->cancel = -1;
		if (!u->r->late)
			u->next = clock_ms();
	}
}

/* TERM, then KILL, then it is over whatever it does; and over when it ended and only lingers. */
static bool escalate(struct run *u)
{
	if (u->killed || (u->ended && !u->r->late))
		return false;
	send_signal(&u->c, u->r->late ? SIGKILL : SIGTERM);
	if (u->r->late) {
		u->killed = true;
		u->next = clock_in(LINGER_MS);
	} else {
		u->r->late = true;
		u->next = clock_in(u->o->grace_ms ? u->o->grace_ms : GRACE_MS);
	}
	return true;
}

/*
 * The ended child stays unreaped until the loop is left: its number, which names the group, cannot
 * be given to others. After a deadline the pipes tell whether others of the group still clean up,
 * so they get the grace time too.
 */
static void watch(struct run *u)
{
	for (;;) {
		if (!u->ended && has_ended(&u->c)) {
			u->ended = true;
			if (!u->r->late)
				u->next = clock_sooner(clock_in(LINGER_MS), u->o->deadline);
		}
		if (u->ended && u->c.out < 0 && u->c.err < 0)
			return;
		if (!clock_left(u->next) && !escalate(u))
			return;
		turn(u);
	}
}

bool proc_run(const struct proc_opts *o, struct proc_result *ret, struct err *e)
{
	struct proc_result r = { .status = -1, .out = STR_INIT, .err = STR_INIT };
	struct run u = {
		.o = o, .r = &r, .cancel = o->cancel_fd ? o->cancel_fd : -1, .next = o->deadline
	};
	int64_t begin = clock_ms();

	if (!proc_start(o, &u.c, e))
		return false;
	watch(&u);
	if (r.late)
		send_signal(&u.c, SIGKILL);
	if (!proc_reap(&u.c, clock_in(GRACE_MS), &r.status, &r.signal)) {
		r.signal = SIGKILL;
		u.c.pid = 0;
	}
	proc_child_done(&u.c);
	r.took_ms = clock_ms() - begin;
	*ret = r;
	return true;
}

void proc_done(struct proc_result *r)
{
	str_done(&r->out);
	str_done(&r->err);
}
