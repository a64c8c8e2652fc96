/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_switch_guard - ends a switch whose process was killed.  Runs on: the main thread; the guard is a process
 * of its own, which waits for the end of a pipe.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cmd_switch.h"
#include "str.h"
#include "vec.h"

extern char **environ;

typedef VEC(char *) words;

static void add(words *v, const char *option, const char *value)
{
	if (value)
		vec_push(v, xasprintf("--%s=%s", option, value));
}

/* Built here: between fork and exec nothing may be allocated, other threads may hold the allocator. */
static words command_line(const struct cmd *c, const char *state_dir)
{
	words v = VEC_INIT;

	vec_push(&v, xstrdup("mhactl"));
	vec_push(&v, xstrdup("switch"));
	vec_push(&v, xstrdup("--yes"));
	vec_push(&v, xstrdup("--no_guard"));
	add(&v, "conf", c->conf_path);
	add(&v, "global_conf", c->global_path);
	add(&v, "state_dir", state_dir);
	vec_push(&v, NULL);
	return v;
}

/* What a test has put in the way of the first is not for the second. */
static words environment(void)
{
	words v = VEC_INIT;

	for (char **e = environ; *e; e++)
		if (!str_starts(*e, "MHAD_FAILPOINT="))
			vec_push(&v, xstrdup(*e));
	vec_push(&v, NULL);
	return v;
}

static void done(words *v)
{
	vec_each (char *, w, v)
		free(*w);
	vec_done(v);
}

static void be_the_guard(int fd, char **argv, char **env) __attribute__((noreturn));
static void be_the_guard(int fd, char **argv, char **env)
{
	static const char text[] = "mhactl: the switch was killed: its guard ends it\n";
	sigset_t none;
	ssize_t n;
	char byte;

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	do
		n = read(fd, &byte, 1);
	while (n < 0);
	if (n > 0)
		_exit(0);
	if (write(STDERR_FILENO, text, sizeof(text) - 1) >= 0)
		execve("/proc/self/exe", argv, env);
	_exit(1);
}

void cmd_guard_begin(struct cmd_guard *g, const struct cmd *c, const char *state_dir)
{
	words argv = command_line(c, state_dir), env = environment();
	int ends[2];

	g->fd = -1;
	if (pipe2(ends, O_CLOEXEC) == 0) {
		g->pid = fork();
		if (g->pid == 0) {
			close(ends[1]);
			be_the_guard(ends[0], argv.items, env.items);
		}
		close(ends[0]);
		g->fd = ends[1];
	}
	done(&argv);
	done(&env);
}

void cmd_guard_end(struct cmd_guard *g)
{
	if (g->fd < 0)
		return;
	if (write(g->fd, "", 1) != 1 && g->pid > 0)
		kill(g->pid, SIGKILL);
	close(g->fd);
	if (g->pid > 0)
		waitpid(g->pid, NULL, 0);
	g->fd = -1;
}
