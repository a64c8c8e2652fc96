/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * status_file - the line, and the manager's side: claim, write, touch, remove.  Reading and judging
 * is in status_file_judge.c.  Runs on: any thread.
 */
#include "status_file.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 512, CLAIM_TRIES = 8 };

struct status_file {
	char *path, *app;
	int fd;                       /* -1: lost, to be claimed again */
	bool written;                 /* the file holds `line` */
	struct status_file_line line; /* what the file says, or shall say */
};

const char *status_file_state_name(int state)
{
	switch (state) {
#define STATE_NAME(name, code)                                                                     \
	case code: return #name;
		STATUS_FILE_STATES(STATE_NAME)
#undef STATE_NAME
	default: return NULL;
	}
}

char *status_file_path(const char *dir, const char *app)
{
	return xasprintf("%s/%s.master_status.health", dir, app);
}

/* ---- the line */

void status_file_format(const struct status_file_line *l, struct str *ret)
{
	str_addf(ret, "%d\t%d:%s", (int)l->pid, (int)l->state, status_file_state_name(l->state));
	if (l->master[0])
		str_addf(ret, "\tmaster:%s", l->master);
}

static bool parse_state(const char *text, enum status_file_state *ret)
{
	const char *colon = strchr(text, ':'), *name;
	AUTO(free) char *digits = colon ? xstrndup(text, (size_t)(colon - text)) : NULL;
	long long n;

	if (!digits || !str_to_int(digits, 0, 99, &n))
		return false;
	name = status_file_state_name((int)n);
	if (!name || !str_is(name, colon + 1))
		return false;
	*ret = (enum status_file_state)n;
	return true;
}

/* What is shown on terminals later on has to be a plain word. */
static bool is_host_name(const char *s, size_t max)
{
	for (const char *p = s; *p; p++) {
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return false;
	}
	return strlen(s) <= max;
}

bool status_file_parse(const char *bytes, size_t n, struct status_file_line *ret, struct err *e)
{
	AUTO(free) char *text = xstrndup(bytes, n);
	struct status_file_line l = { 0 };
	char *state, *master;
	long long pid;

	if (memchr(bytes, '\0', n))
		return err_set(e, ERR_PARSE, 0, "it holds a NUL byte");
	if (n && text[n - 1] == '\n')
		text[n - 1] = '\0';
	if (!*text)
		return err_set(e, ERR_PARSE, 0, "it is empty");
	state = strchr(text, '\t');
	if (state)
		*state++ = '\0';
	master = state ? strchr(state, '\t') : NULL;
	if (master)
		*master++ = '\0';
	if (!str_to_int(text, 1, INT32_MAX, &pid))
		return err_set(e, ERR_PARSE, 0, "it does not begin with a process id");
	if (!state || !parse_state(state, &l.state))
		return err_set(e, ERR_PARSE, 0, "it names no known state");
	if (master && (!str_starts(master, "master:") ||
	                      !is_host_name(master + strlen("master:"), sizeof(l.master) - 1)))
		return err_set(e, ERR_PARSE, 0, "its third field is not master:HOSTNAME");
	if (master)
		snprintf(l.master, sizeof(l.master), "%s", master + strlen("master:"));
	l.pid = (pid_t)pid;
	*ret = l;
	return true;
}

/* ---- the claim */

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool is_at(const char *path, int fd)
{
	struct stat mine, there;

	return fd >= 0 && !fstat(fd, &mine) && !lstat(path, &there) && same_file(&mine, &there);
}

enum locking { LOCKED, LOCK_BUSY, LOCK_FAILED };

static enum locking lock(int fd, const char *path, struct err *e)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (!fcntl(fd, F_OFD_SETLK, &l))
		return LOCKED;
	if (errno == EAGAIN || errno == EACCES)
		return LOCK_BUSY;
	err_sys(e, "cannot lock %s", path);
	return LOCK_FAILED;
}

static bool say_taken(
        const char *path, const char *app, const struct status_file_reading *r, struct err *e)
{
	if (r)
		err_set(e, ERR_PRECOND, 0,
		        "a manager of %s is running already: process %d (%s, uid %u) has %s", app,
		        (int)r->line.pid, status_file_state_name(r->line.state), (unsigned)r->owner,
		        path);
	else
		err_set(e, ERR_PRECOND, 0, "another process is about to watch %s: it has %s", app,
		        path);
	err_hint(e, "masterha_check_status tells how it is, masterha_stop stops it");
	return true;
}

/* Does a manager of this cluster, other than the process `self`, have the file? */
static bool is_taken(const char *path, const char *app, pid_t self, struct err *e)
{
	bool held = status_file_is_held(path), readable;
	struct status_file_reading r;
	struct status_file_judgement j;

	readable = status_file_read(path, &r, NULL);
	if (held)
		return say_taken(path, app, readable ? &r : NULL, e);
	if (!readable || r.line.pid == self || (kill(r.line.pid, 0) && errno == ESRCH))
		return false;
	status_file_judge(&r, app, &j);
	return j.verdict == STATUS_FILE_RUNNING && say_taken(path, app, &r, e);
}

/* Out of an AUTO_FD. */
static int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

static int create(const char *path, struct err *e)
{
	/* Closed to others until it is locked: whoever could open it could also lock it. */
	AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0) {
		if (errno != EEXIST)
			err_sys(e, "cannot create %s", path);
		return -1;
	}
	switch (lock(fd, path, e)) {
	case LOCKED: return take_fd(&fd);
	case LOCK_FAILED: unlink(path); return -1;
	default: return -1; /* somebody was quicker */
	}
}

/* A link, a file of somebody else, or one that strangers hold locked: nothing to write to. */
static void replace(const char *path, const struct stat *st, struct err *e)
{
	if (!unlink(path) || errno == ENOENT)
		return;
	err_sys(e, "cannot replace %s, which belongs to uid %u", path, (unsigned)st->st_uid);
	err_hint(e, "remove it, or use a manager_workdir of your own");
}

/* A plain file of our own.  -1: see try_grab(). */
static int take(const char *path, const char *app, pid_t pid, const struct stat *st, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	if (fd < 0) {
		if (errno != ENOENT && errno != ELOOP)
			err_sys(e, "cannot open %s", path);
		return -1;
	}
	switch (lock(fd, path, e)) {
	case LOCK_FAILED: return -1;
	case LOCK_BUSY: /* a reader's lock, or a manager that came just now */
		if (!is_taken(path, app, pid, e))
			replace(path, st, e);
		return -1;
	default: break;
	}
	return is_at(path, fd) ? take_fd(&fd) : -1;
}

/* One try.  -1 with e->kind set: give up; else look again, the world has changed. */
static int try_grab(const char *path, const char *app, pid_t pid, struct err *e)
{
	struct stat st;

	if (lstat(path, &st) < 0) {
		if (errno == ENOENT)
			return create(path, e);
		err_sys(e, "cannot look at %s", path);
		return -1;
	}
	if (is_taken(path, app, pid, e))
		return -1;
	if (S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_nlink == 1)
		return take(path, app, pid, &st, e);
	replace(path, &st, e);
	return -1;
}

static bool grab(const char *path, const char *app, pid_t pid, int *ret_fd, struct err *e)
{
	for (int i = 0; i < CLAIM_TRIES; i++) {
		struct err why = { 0 };
		int fd = try_grab(path, app, pid, &why);

		if (fd >= 0) {
			(void)!fchmod(fd, 0644); /* it is ours */
			*ret_fd = fd;
			return true;
		}
		if (why.kind != ERR_NONE) {
			if (e)
				*e = why;
			return false;
		}
	}
	return err_set(e, ERR_PRECOND, 0, "somebody keeps putting a file of his own at %s", path);
}

/* The file again, when somebody has removed it. */
static bool hold(struct status_file *f, struct err *e)
{
	int fd;

	if (is_at(f->path, f->fd))
		return true;
	if (!grab(f->path, f->app, f->line.pid, &fd, e))
		return false;
	if (f->fd >= 0)
		close(f->fd);
	f->fd = fd;
	f->written = false;
	return true;
}

/*
 * In place, so that it works on a full disk; under flock(), as MHA does, but without waiting: anybody
 * may hold a lock on a file that all may read.  What is left of a longer line becomes NUL before it is
 * cut off, which no reader takes for a line.
 */
static bool write_bytes(int fd, struct str *text)
{
	size_t len = text->len;
	struct stat st;

	if (fstat(fd, &st) < 0 || (st.st_size > LINE_MAX_BYTES && ftruncate(fd, 0) < 0))
		return false;
	while (st.st_size <= LINE_MAX_BYTES && text->len < (size_t)st.st_size)
		str_addc(text, '\0');
	return pwrite(fd, text->p, text->len, 0) == (ssize_t)text->len &&
	       !ftruncate(fd, (off_t)len);
}

static bool write_line(struct status_file *f, struct err *e)
{
	AUTO_STR struct str text = STR_INIT;
	bool locked = !flock(f->fd, LOCK_EX | LOCK_NB);

	status_file_format(&f->line, &text);
	f->written = write_bytes(f->fd, &text);
	if (!f->written)
		err_sys(e, "cannot write %s", f->path);
	if (locked)
		flock(f->fd, LOCK_UN);
	return f->written;
}

struct status_file *status_file_claim(const char *dir, const char *app, pid_t pid, struct err *e)
{
	struct status_file *f;

	if (mkdir(dir, 0755) && errno != EEXIST) {
		err_sys(e, "cannot make %s", dir);
		return NULL;
	}
	f = xzalloc(sizeof(*f));
	*f = (struct status_file){ .path = status_file_path(dir, app),
		.app = xstrdup(app),
		.fd = -1,
		.line = { .pid = pid, .state = STATUS_FILE_INITIALIZING_MONITOR } };
	if (!grab(f->path, app, pid, &f->fd, e))
		return status_file_abandon(f);
	return write_line(f, e) ? f : status_file_release(f);
}

void status_file_set_pid(struct status_file *f, pid_t pid)
{
	f->line.pid = pid;
	f->written = false;
}

bool status_file_set(
        struct status_file *f, enum status_file_state state, const char *master, struct err *e)
{
	f->line.state = state;
	f->written = false;
	if (master)
		snprintf(f->line.master, sizeof(f->line.master), "%s", master);
	return hold(f, e) && write_line(f, e);
}

bool status_file_touch(struct status_file *f, struct err *e)
{
	if (!hold(f, e))
		return false;
	if (!f->written)
		return write_line(f, e);
	return !futimens(f->fd, NULL) || err_sys(e, "cannot touch %s", f->path);
}

struct status_file *status_file_release(struct status_file *f)
{
	if (f && is_at(f->path, f->fd))
		unlink(f->path);
	return status_file_abandon(f);
}

struct status_file *status_file_abandon(struct status_file *f)
{
	if (!f)
		return NULL;
	if (f->fd >= 0)
		close(f->fd);
	free(f->path);
	free(f->app);
	free(f);
	return NULL;
}
