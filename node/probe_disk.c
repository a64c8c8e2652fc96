/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe_disk - asks a file system, aside, since it may not answer.  Runs on: any thread.
 */
#include "probe_disk.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>
#include "aside.h"
#include "clock.h"

static void look_at_space(const void *arg, void *ret)
{
	struct probe_space *s = ret;
	struct statvfs fs;
	struct stat st;

	if (stat(arg, &st) < 0 || statvfs(arg, &fs) < 0) {
		s->error = errno;
		return;
	}
	s->total = fs.f_blocks * fs.f_frsize;
	s->free = fs.f_bfree * fs.f_frsize;
	s->available = fs.f_bavail * fs.f_frsize;
	s->inodes = fs.f_files;
	s->inodes_free = fs.f_favail;
	s->read_only = fs.f_flag & ST_RDONLY;
	s->owner = st.st_uid;
	s->group = st.st_gid;
}

bool probe_space(const char *dir, int64_t deadline, struct probe_space *ret, struct err *e)
{
	if (!aside_run(look_at_space, dir, ret, sizeof(*ret), deadline, e))
		return err_ctx(e, "look at %s", dir);
	if (ret->error) {
		errno = ret->error;
		return err_sys(e, "look at %s", dir);
	}
	return true;
}

struct write_query {
	const char *dir;
	int64_t deadline;
};

/*
 * A name in the abstract name space that lives as long as the process that took it.  It promises
 * nothing (any user could take it): "busy" makes no claim about the disk.
 */
static bool take_turn(const char *dir, int64_t deadline)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t hash = 14695981039346656037U;
	size_t len;

	for (const char *p = dir; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 1099511628211U;
	len = offsetof(struct sockaddr_un, sun_path) + 1 +
	      (size_t)snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1,
	              "mha-node-write-test-%u-%016llx", (unsigned)geteuid(),
	              (unsigned long long)hash);
	while (fd >= 0 && bind(fd, (struct sockaddr *)&name, (socklen_t)len) < 0) {
		if (errno != EADDRINUSE)
			return true;
		if (clock_left(deadline) <= 5)
			return false;
		usleep(2000);
	}
	return true; /* held until this process ends */
}

static bool become(uid_t uid, gid_t gid)
{
	if (geteuid() != 0 || uid == 0)
		return true;
	return setgroups(0, NULL) == 0 && setgid(gid) == 0 && setuid(uid) == 0;
}

static int make_file(int dir)
{
	unsigned long long random;
	char name[64];
	int fd;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = (unsigned long long)clock_us();
	snprintf(name, sizeof(name), ".mha-node-%016llx", random);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0)
		unlinkat(dir, name, 0);
	return fd;
}

/* The name of the call that failed, or NULL. */
static const char *try_write(const char *path)
{
	static const char block[4096];
	AUTO_FD int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	ssize_t n;

	if (dir < 0)
		return "open folder";
	if (fstat(dir, &st) < 0 || !become(st.st_uid, st.st_gid))
		return "become its owner";

	AUTO_FD int fd = make_file(dir);

	if (fd < 0)
		return "create file";
	n = write(fd, block, sizeof(block));
	if (n >= 0 && n < (ssize_t)sizeof(block))
		errno = ENOSPC;
	if (n < (ssize_t)sizeof(block))
		return "write";
	return fsync(fd) < 0 ? "fsync" : NULL;
}

static enum probe_write result_of(int error)
{
	switch (error) {
	case ENOSPC:
	case EDQUOT: return PROBE_WRITE_FULL;
	case EROFS: return PROBE_WRITE_READ_ONLY;
	case EACCES:
	case EPERM: return PROBE_WRITE_DENIED;
	default: return PROBE_WRITE_ERROR;
	}
}

static void run_test(const void *arg, void *ret)
{
	const struct write_query *q = arg;
	struct probe_written *w = ret;
	const char *failed;
	int64_t since;

	if (!take_turn(q->dir, q->deadline)) {
		w->result = PROBE_WRITE_BUSY;
		return;
	}
	since = clock_us();
	failed = try_write(q->dir);
	w->took_us = clock_us() - since;
	w->result = failed ? result_of(errno) : PROBE_WRITE_OK;
	if (failed) {
		w->error = errno;
		snprintf(w->what, sizeof(w->what), "%s", failed);
	}
}

void probe_write(const char *dir, int64_t deadline, struct probe_written *ret)
{
	struct write_query q = { dir, deadline };
	struct err e = { 0 };

	if (aside_run(run_test, &q, ret, sizeof(*ret), deadline, &e))
		return;
	ret->result = e.kind == ERR_LOST ? PROBE_WRITE_TIMEOUT : PROBE_WRITE_ERROR;
	ret->error = e.code;
	snprintf(ret->what, sizeof(ret->what), "test");
}

const char *probe_write_name(enum probe_write w)
{
	static const char *const names[] = { "untried", "ok", "full", "read_only", "denied",
		"timeout", "busy", "error" };

	return names[w];
}
