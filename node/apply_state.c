/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * apply_state - the folder of an apply under way.
 * Runs on: any thread.
 */
#include "apply_state.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "dir.h"

#define STATE     "state"
#define STATE_NEW "state.new"
#define STATE_MAX (1 << 20)

/* Anybody may have put something there: the work directory may be everybody's. */
static bool check_ours(const struct apply_state *s, struct err *e)
{
	struct stat st;

	if (fstat(s->fd, &st) < 0)
		return err_sys(e, "look at %s", s->dir);
	if (st.st_uid != geteuid() || (st.st_mode & 077)) {
		err_set(e, ERR_PRECOND, 0, "%s belongs to uid %u, mode %04o: not made by us",
		        s->dir, (unsigned)st.st_uid, (unsigned)st.st_mode & 07777);
		return err_hint(e, "remove it, or give another --workdir");
	}
	if (flock(s->fd, LOCK_EX | LOCK_NB) == 0)
		return true;
	if (errno == EWOULDBLOCK)
		return err_set(
		        e, ERR_PRECOND, 0, "another apply for this server is at work (%s)", s->dir);
	return err_sys(e, "lock %s", s->dir);
}

static bool read_state(struct apply_state *s, struct err *e)
{
	AUTO_FD int fd = openat(s->fd, STATE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char buf[4096];
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT || err_sys(e, "open %s/" STATE, s->dir);
	s->found = true;
	while ((n = read(fd, buf, sizeof(buf))) > 0 && s->text.len < STATE_MAX)
		str_addn(&s->text, buf, (size_t)n);
	return n >= 0 || err_sys(e, "read %s/" STATE, s->dir);
}

bool apply_state_open(struct apply_state *s, const char *workdir, const char *name, struct err *e)
{
	*s = (struct apply_state){ .fd = -1, .text = STR_INIT };
	if (!dir_make(workdir, e))
		return false;
	s->dir = xasprintf("%s/mha-node-apply-%s", workdir, name);
	if (mkdir(s->dir, 0700) < 0 && errno != EEXIST)
		return err_sys(e, "make folder %s", s->dir);
	s->fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->fd < 0)
		return err_sys(e, "open folder %s", s->dir);
	return check_ours(s, e) && read_state(s, e);
}

void apply_state_close(struct apply_state *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	free(s->dir);
	s->dir = NULL;
	str_done(&s->text);
}

/* The line "name=value", up to its end. */
static char *find(const struct apply_state *s, const char *name)
{
	size_t n = strlen(name);

	for (char *p = s->text.p; *p; p += strcspn(p, "\n"), p += *p == '\n')
		if (strncmp(p, name, n) == 0 && p[n] == '=')
			return p;
	return NULL;
}

char *apply_state_get(const struct apply_state *s, const char *name)
{
	const char *p = find(s, name);

	if (!p)
		return NULL;
	p += strlen(name) + 1;
	return xstrndup(p, strcspn(p, "\n"));
}

static bool write_all(int fd, const struct str *t)
{
	ssize_t n = write(fd, t->p, t->len);

	if (n >= 0 && (size_t)n < t->len)
		errno = ENOSPC;
	return n >= 0 && (size_t)n == t->len && fsync(fd) == 0;
}

static bool save(struct apply_state *s, struct err *e)
{
	AUTO_FD int fd = apply_state_create(s, STATE_NEW, e);

	if (fd < 0)
		return false;
	if (!write_all(fd, &s->text) || renameat(s->fd, STATE_NEW, s->fd, STATE) < 0 ||
	        fsync(s->fd) < 0)
		return err_sys(e, "write %s/" STATE, s->dir);
	return true;
}

bool apply_state_set(struct apply_state *s, const char *name, const char *value, struct err *e)
{
	char *old = find(s, name);

	if (old) {
		size_t at = (size_t)(old - s->text.p), n = strcspn(old, "\n") + 1;

		memmove(old, old + n, s->text.len - at - n + 1);
		s->text.len -= n;
	}
	str_addf(&s->text, "%s=%s\n", name, value);
	return save(s, e);
}

bool apply_state_forget(struct apply_state *s, struct err *e)
{
	str_clear(&s->text);
	s->found = false;
	if ((unlinkat(s->fd, STATE, 0) < 0 && errno != ENOENT) || fsync(s->fd) < 0)
		return err_sys(e, "remove %s/" STATE, s->dir);
	return true;
}

int apply_state_create(struct apply_state *s, const char *name, struct err *e)
{
	int fd;

	if (unlinkat(s->fd, name, 0) < 0 && errno != ENOENT) {
		err_sys(e, "remove %s/%s", s->dir, name);
		return -1;
	}
	fd = openat(s->fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		err_sys(e, "make %s/%s", s->dir, name);
	return fd;
}
