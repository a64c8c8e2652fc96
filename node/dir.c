/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dir - looks into folders of log files.
 * Runs on: any thread.
 */
#include "dir.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "str.h"

#define NUMBER_MAX INT32_MAX /* servers make none behind it */

static void close_dir(DIR *d)
{
	closedir(d);
}
CLEANUP_FN(dir, DIR *, close_dir)

bool dir_log_split(const char *name, size_t *ret_prefix, uint64_t *ret_number)
{
	const char *dot = strrchr(name, '.');
	unsigned long long n;

	if (!dot || dot == name || !str_to_u64(dot + 1, &n) || n > NUMBER_MAX)
		return false;
	*ret_prefix = (size_t)(dot - name);
	*ret_number = n;
	return true;
}

char *dir_last_log(const char *dir, const char *prefix, struct err *e)
{
	AUTO(dir) DIR *d = opendir(dir);
	AUTO(free) char *best = NULL;
	uint64_t best_number = 0;

	if (!d) {
		err_sys(e, "open folder %s", dir);
		return NULL;
	}
	for (struct dirent *de; (de = readdir(d));) {
		size_t n;
		uint64_t number;

		if (!dir_log_split(de->d_name, &n, &number) || n != strlen(prefix) ||
		        memcmp(de->d_name, prefix, n) != 0 || (best && number < best_number))
			continue;
		free(best);
		best = xstrdup(de->d_name);
		best_number = number;
	}
	if (!best)
		err_set(e, ERR_PRECOND, 0, "no file %s.<number> in %s", prefix, dir);
	return TAKE(best);
}

static int open_regular(const char *path, int more_flags, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | more_flags);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		err_sys(e, "open %s", path);
	} else if (!S_ISREG(st.st_mode)) {
		err_set(e, ERR_SYSTEM, EINVAL, "open %s: not a regular file", path);
	} else {
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

int dir_open_file(const char *path, struct err *e)
{
	return open_regular(path, O_NOFOLLOW, e);
}

int dir_open_linked(const char *path, struct err *e)
{
	AUTO(free) char *folder = dir_of(path);
	struct err why = { 0 };
	struct stat st, own;
	int fd = open_regular(path, O_NOFOLLOW, &why);

	if (fd < 0 && why.code != ELOOP && e)
		*e = why;
	if (fd >= 0 || why.code != ELOOP)
		return fd;
	fd = open_regular(path, 0, e);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && stat(folder, &own) == 0 && st.st_uid == own.st_uid)
		return fd;
	err_set(e, ERR_SYSTEM, EPERM,
	        "open %s: the link leads to a file that is not the folder's owner's", path);
	close(fd);
	return -1;
}

/* A file without a name where the file system can, else one that is removed at once. */
static int open_scratch(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd;

	AUTO(free) char *name = xasprintf("%s/.mha-node.XXXXXX", dir);

	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0)
		unlink(name);
	return fd;
}

bool dir_can_write(const char *dir, struct err *e)
{
	static const char block[4096];
	AUTO_FD int fd = open_scratch(dir);
	ssize_t n;

	if (fd < 0)
		return err_sys(e, "write to folder %s", dir);
	n = write(fd, block, sizeof(block));
	if (n < 0)
		return err_sys(e, "write to folder %s", dir);
	if ((size_t)n < sizeof(block)) {
		errno = ENOSPC;
		return err_sys(e, "write to folder %s", dir);
	}
	return true;
}

char *dir_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return xstrdup(".");
	return xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
}

bool dir_make(const char *dir, struct err *e)
{
	AUTO(free) char *path = xstrdup(dir);

	for (char *p = path + 1;; p++) {
		char c = *p;

		if (c && c != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return err_sys(e, "make folder %s", path);
		*p = c;
		if (!c)
			return true;
	}
}
