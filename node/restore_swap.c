/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * restore_swap - a server ends, its files and a copy change places, and it starts again.  Runs on: any thread.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "aside.h"
#include "backup.h"
#include "clock.h"
#include "fence.h"
#include "str.h"

enum { STOP_MS = 120000, START_MS = 300000, LOOK_EVERY_MS = 200, GONE_MS = 3000 };

/* ---- files ---- */

/* What belongs to the host and not to the data. */
static bool stays(const char *name)
{
	static const char *const ends[] = { ".pem", ".key", ".cnf", ".flag", ".err", ".pid",
		".sock", ".lock" };

	if (str_starts(name, ".mhad-") || str_is(name, ".") || str_is(name, "..") ||
	        str_is(name, "lost+found"))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (str_ends(name, ends[i]))
			return true;
	return false;
}

static bool move_all(const char *from, const char *to, struct err *e)
{
	DIR *d = opendir(from);
	struct dirent *ent;
	bool fine = true;

	if (!d)
		return err_sys(e, "%s", from);
	while (fine && (ent = readdir(d))) {
		AUTO(free) char *a = xasprintf("%s/%s", from, ent->d_name);
		AUTO(free) char *b = xasprintf("%s/%s", to, ent->d_name);

		if (!stays(ent->d_name) && rename(a, b) < 0)
			fine = err_sys(e, "move %s", a);
	}
	(void)!fsync(dirfd(d));
	closedir(d);
	return fine;
}

/* Out goes what is here, in comes what is in `in`.  What was cut in the middle is known by BACKUP_LEAVING. */
static bool exchange(const char *dir, const char *in, const char *out, struct err *e)
{
	AUTO(free) char *leaving = xasprintf("%s/" BACKUP_LEAVING, dir);
	AUTO(free) char *from = xasprintf("%s/%s", dir, in);
	AUTO(free) char *to = xasprintf("%s/%s", dir, out);

	if (mkdir(leaving, 0700) < 0)
		return err_sys(e, "%s", leaving);
	if (!move_all(dir, leaving, e))
		return false;
	if (rename(leaving, to) < 0)
		return err_sys(e, "%s", to);
	return move_all(from, dir, e) && (rmdir(from) == 0 || err_sys(e, "%s", from));
}

/* The server is down.  Nothing is to do where nothing was exchanged. */
static bool put_back(const char *dir, struct err *e)
{
	AUTO(free) char *leaving = xasprintf("%s/" BACKUP_LEAVING, dir);
	AUTO(free) char *old = xasprintf("%s/" BACKUP_OLD, dir);
	AUTO(free) char *copy = xasprintf("%s/" BACKUP_COPY, dir);

	if (access(leaving, F_OK) == 0 &&
	        (!move_all(leaving, dir, e) || (rmdir(leaving) < 0 && !err_sys(e, "%s", leaving))))
		return false;
	if (access(old, F_OK) < 0)
		return true;
	/* Half of the copy may still be in there. */
	if (access(copy, F_OK) == 0 && !move_all(copy, dir, e))
		return false;
	(void)!rmdir(copy);
	return exchange(dir, BACKUP_OLD, BACKUP_COPY, e);
}

/* ---- how it is started ---- */

struct start {
	char unit[256]; /* "" none: by what follows */
	char *program, *cwd, *env, *log;
	struct procfs_words words, vars;
	uid_t uid;
	gid_t gid;
	struct rlimit files;
};

static void start_done(struct start *s)
{
	free(s->program);
	free(s->cwd);
	free(s->log);
	procfs_words_done(&s->words);
	procfs_words_done(&s->vars);
}

/* Where its error output goes, if that is a file. */
static char *log_of(pid_t pid)
{
	AUTO(free) char *log = procfs_link(PROCFS, pid, "fd/2");
	struct stat st;

	return log && stat(log, &st) == 0 && S_ISREG(st.st_mode) ? TAKE(log) : xstrdup("/dev/null");
}

/* As it runs now; mysqld_safe instead of the server that it watches. */
static bool remember(const struct mysqld_found *found, struct start *ret, struct err *e)
{
	const struct mysqld *m = found->safe_count ? &found->safes[0] : &found->servers[0];
	AUTO(free) char *self = xasprintf(PROCFS "/%d", (int)m->pid);
	size_t len = 0;
	char *env;
	struct stat st;

	if (stat(self, &st) < 0 || !procfs_words(PROCFS, m->pid, &ret->words))
		return err_sys(e, "how process %d was started", (int)m->pid);
	env = procfs_read_of(PROCFS, m->pid, "environ", &len);
	if (env)
		procfs_words_init(&ret->vars, env, len);
	ret->cwd = procfs_link(PROCFS, m->pid, "cwd");
	ret->program = ret->words.count && strchr(ret->words.words[0], '/')
	                       ? xstrdup(ret->words.words[0])
	                       : procfs_link(PROCFS, m->pid, "exe");
	ret->log = log_of(m->pid);
	ret->uid = st.st_uid;
	ret->gid = st.st_gid;
	/* Both are its own affair where we may not see them. */
	if (prlimit(m->pid, RLIMIT_NOFILE, NULL, &ret->files) < 0)
		(void)!getrlimit(RLIMIT_NOFILE, &ret->files);
	if (!env)
		procfs_words_init(&ret->vars, xstrdup(""), 0);
	if (!ret->cwd || !ret->program)
		return err_sys(e, "how process %d was started", (int)m->pid);
	return true;
}

static void become(const void *arg, int fd)
{
	const struct start *s = arg;

	setsid();
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	close(fd);
	umask(022);
	(void)!setrlimit(RLIMIT_NOFILE, &s->files);
	if (geteuid() == 0 && s->uid != 0 &&
	        (setgroups(1, &s->gid) < 0 || setgid(s->gid) < 0 || setuid(s->uid) < 0))
		_exit(1);
	if (chdir(s->cwd) == 0)
		execve(s->program, s->words.words, s->vars.words);
}

/* ---- the server ---- */

static void no_begin(struct verb_io *io)
{
	(void)io;
}

static bool no_write(struct verb_io *io, const void *bytes, size_t n, struct err *e)
{
	(void)io, (void)bytes, (void)n, (void)e;
	return true;
}

static ssize_t no_read(struct verb_io *io, void *buf, size_t size, struct err *e)
{
	(void)io, (void)buf, (void)size, (void)e;
	return 0;
}

static void keep_result(struct verb_io *io, const char *json)
{
	str_add(io->arg, json);
}

static void no_hold(struct verb_io *io, int by)
{
	(void)io, (void)by;
}

/* A fence without a hold; it says which unit it is. */
static bool stop(const struct args *a, struct verb_io *io, char unit[256], struct err *e)
{
	static const struct verb_ops ops = { no_begin, no_write, no_read, keep_result, no_hold };
	const struct args f = { .port = a->port, .datadir = a->datadir, .timeout = STOP_MS };
	AUTO_STR struct str answer = STR_INIT;
	struct verb_io inner = { .out = io->out,
		.deadline = clock_in(STOP_MS),
		.cancel_fd = -1,
		.ops = &ops,
		.arg = &answer };
	const char *at;

	if (fence_serve(&f, &inner, e) != 0)
		return err_set(e, ERR_REMOTE, 0, "the server was not stopped: %.600s", answer.p);
	at = strstr(answer.p, "\"unit\":\"");
	if (at)
		snprintf(unit, 256, "%.*s", (int)strcspn(at + 8, "\""), at + 8);
	return true;
}

static bool launch(const struct start *s, struct err *e)
{
	AUTO_FD int fd = -1;
	struct verb_io io = { .deadline = clock_in(START_MS), .cancel_fd = -1 };
	const char *const argv[] = { "systemctl", "start", s->unit, NULL };

	if (s->unit[0])
		return backup_run(argv, &io, e);
	if (!s->program) {
		err_set(e, ERR_PRECOND, 0, "how the server is started is not known");
		return err_hint(e, "start it");
	}
	fd = open(s->log, O_WRONLY | O_APPEND | O_CLOEXEC);
	return fd < 0 ? err_sys(e, "%s", s->log) : aside_leave(become, s, fd, e);
}

static bool wait_up(const struct args *a, struct verb_io *io, struct err *e)
{
	int64_t until = clock_in(START_MS), seen = clock_ms();
	struct verb_io mine = *io;
	struct mysqld_found found;

	mine.deadline = until;
	while (clock_left(until) > 0) {
		usleep(LOOK_EVERY_MS * 1000);
		found.count = 0;
		if (!backup_find(a, &mine, false, &found, NULL) || found.count)
			seen = clock_ms();
		if (found.count && (found.servers[0].known_by & MYSQLD_BY_SOCKET))
			return true;
		if (clock_ms() - seen > GONE_MS)
			return err_set(e, ERR_REMOTE, 0,
			        "the server has ended after its start: its error log says why");
	}
	return err_set(e, ERR_LOST, 0, "the server does not listen");
}

static bool start(const struct args *a, const struct start *s, struct verb_io *io, struct err *e)
{
	return launch(s, e) && wait_up(a, io, e);
}

/* ---- both ways ---- */

static bool go_back(
        const struct args *a, struct start *s, struct verb_io *io, const char *why, struct err *e)
{
	struct err second = { 0 };

	if (stop(a, io, s->unit, &second) && put_back(a->datadir, &second) &&
	        start(a, s, io, &second))
		return err_set(e, ERR_REMOTE, 0,
		        "%.300s; the data that it had was put back, and it runs with that", why);
	err_set(e, ERR_REMOTE, 0, "%.300s; and putting back what it had failed: %.300s", why,
	        second.text);
	return err_hint(e, "mha-node restore --undo there, and start it");
}

static bool swap(const struct args *a, struct start *s, struct verb_io *io, struct err *e)
{
	struct err why = { 0 };

	if (stop(a, io, s->unit, &why) && exchange(a->datadir, BACKUP_COPY, BACKUP_OLD, &why) &&
	        start(a, s, io, &why))
		return true;
	return go_back(a, s, io, why.text, e);
}

static bool is_ready(const struct args *a, struct err *e)
{
	AUTO(free) char *copy = xasprintf("%s/" BACKUP_COPY "/mysql", a->datadir);
	AUTO(free) char *old = xasprintf("%s/" BACKUP_OLD, a->datadir);

	if (access(copy, F_OK) < 0 || access(old, F_OK) == 0)
		return err_set(e, ERR_PRECOND, 0, "%s holds no copy, or one is exchanged already",
		        a->datadir);
	return true;
}

bool restore_swap(const struct args *a, struct verb_io *io, struct err *e)
{
	struct start s = { .uid = 0 };
	struct mysqld_found found;
	bool fine;

	if (!is_ready(a, e) || !backup_find(a, io, true, &found, e))
		return false;
	verb_hold(io);
	fine = remember(&found, &s, e) && swap(a, &s, io, e);
	verb_unhold(io);
	start_done(&s);
	return fine;
}

/* One that is down is left so. */
bool restore_undo(const struct args *a, struct verb_io *io, struct err *e)
{
	struct start s = { .uid = 0 };
	struct mysqld_found found;
	bool fine, runs;

	if (!backup_find(a, io, false, &found, e))
		return false;
	runs = found.count > 0;
	verb_hold(io);
	fine = (!runs || remember(&found, &s, e)) && stop(a, io, s.unit, e) &&
	       put_back(a->datadir, e) && (!runs || start(a, &s, io, e));
	verb_unhold(io);
	start_done(&s);
	return fine;
}
