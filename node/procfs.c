/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * procfs - readers of /proc.  Runs on: any thread.
 */
#include "procfs.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "str.h"

#define FILE_MAX (1 << 20) /* no file that we read whole is longer, unless somebody plays with us */
#define LISTEN   0x0a

static void close_dir(DIR *d)
{
	closedir(d);
}
CLEANUP_FN(dir, DIR *, close_dir)
static void close_file(FILE *f)
{
	fclose(f);
}
CLEANUP_FN(file, FILE *, close_file)

char *procfs_read(const char *proc, const char *name, size_t *ret_len)
{
	AUTO(free) char *path = xasprintf("%s/%s", proc, name);
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	AUTO_STR struct str text = STR_INIT;
	ssize_t n;

	if (fd < 0)
		return NULL;
	do {
		str_grow(&text, 4096);
		n = read(fd, text.p + text.len, 4096);
		if (n > 0)
			text.len += (size_t)n;
	} while ((n > 0 && text.len < FILE_MAX) || (n < 0 && errno == EINTR));
	if (n < 0)
		return NULL;
	text.p[text.len] = '\0';
	if (ret_len)
		*ret_len = text.len;
	return str_take(&text);
}

char *procfs_read_of(const char *proc, pid_t pid, const char *name, size_t *ret_len)
{
	AUTO(free) char *path = xasprintf("%d/%s", (int)pid, name);

	return procfs_read(proc, path, ret_len);
}

char *procfs_link(const char *proc, pid_t pid, const char *name)
{
	AUTO(free) char *path = xasprintf("%s/%d/%s", proc, (int)pid, name);
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target));

	if (n == (ssize_t)sizeof(target))
		errno = ENAMETOOLONG;
	return n < 0 || n == (ssize_t)sizeof(target) ? NULL : xstrndup(target, (size_t)n);
}

/* The name stands in parentheses and may hold any byte, spaces and parentheses included. */
bool procfs_stat_parse(const char *text, struct procfs_stat *ret)
{
	const char *open = strchr(text, '('), *close = strrchr(text, ')');
	struct procfs_stat s = { 0 };
	int parent;
	size_t n;

	if (!open || !close || close < open)
		return false;
	n = (size_t)(close - open - 1);
	if (n >= sizeof(s.comm))
		n = sizeof(s.comm) - 1;
	memcpy(s.comm, open + 1, n);
	if (sscanf(close + 1,
	            " %c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %d %*s "
	            "%" SCNu64,
	            &s.state, &parent, &s.threads, &s.start_ticks) != 4)
		return false;
	s.parent = parent;
	*ret = s;
	return true;
}

bool procfs_stat(const char *proc, pid_t pid, struct procfs_stat *ret)
{
	AUTO(free) char *text = procfs_read_of(proc, pid, "stat", NULL);

	if (!text)
		return false;
	if (procfs_stat_parse(text, ret))
		return true;
	errno = EBADMSG;
	return false;
}

void procfs_words_init(struct procfs_words *w, char *bytes, size_t len)
{
	VEC(char *) words = VEC_INIT;

	for (char *p = bytes; p < bytes + len; p += strlen(p) + 1)
		vec_push(&words, p);
	vec_push(&words, NULL);
	*w = (struct procfs_words){ bytes, words.items, words.len - 1 };
}

bool procfs_words(const char *proc, pid_t pid, struct procfs_words *ret)
{
	size_t len;
	char *bytes = procfs_read_of(proc, pid, "cmdline", &len);

	if (!bytes)
		return false;
	procfs_words_init(ret, bytes, len);
	return true;
}

void procfs_words_done(struct procfs_words *w)
{
	free(w->bytes);
	free(w->words);
	*w = (struct procfs_words){ 0 };
}

bool procfs_pids(const char *proc, struct procfs_pids *ret, struct err *e)
{
	AUTO(dir) DIR *d = opendir(proc);

	if (!d)
		return err_sys(e, "open folder %s", proc);
	for (struct dirent *de; (de = readdir(d));) {
		long long pid;

		if (str_to_int(de->d_name, 1, INT_MAX, &pid))
			vec_push(ret, (pid_t)pid);
	}
	return true;
}

/* Addresses are printed as the machine words they are kept in. */
static bool parse_address(const char *hex, bool v6, char to[INET6_ADDRSTRLEN])
{
	uint32_t words[4];
	size_t count = v6 ? 4 : 1;

	for (size_t i = 0; i < count; i++)
		if (sscanf(hex + 8 * i, "%8" SCNx32, &words[i]) != 1)
			return false;
	return inet_ntop(v6 ? AF_INET6 : AF_INET, words, to, INET6_ADDRSTRLEN) != NULL;
}

bool procfs_socket_parse(const char *line, bool v6, struct procfs_socket *ret)
{
	struct procfs_socket s = { 0 };
	char address[33];
	unsigned port, state;

	if (sscanf(line, " %*d: %32[0-9A-Fa-f]:%4x %*s %2x %*8x:%8x %*s %*s %*s %*s %" SCNu64,
	            address, &port, &state, &s.queue, &s.inode) != 5 ||
	        state != LISTEN || strlen(address) != (v6 ? 32 : 8) ||
	        !parse_address(address, v6, s.address))
		return false;
	s.port = (int)port;
	*ret = s;
	return true;
}

/*
 * The listening ones come first: the file is left as soon as they end, since on a busy server the
 * connections behind them are many thousand lines.
 */
static bool add_listeners(const char *proc, const char *name, struct procfs_sockets *ret)
{
	AUTO(free) char *path = xasprintf("%s/net/%s", proc, name);
	AUTO(file) FILE *f = fopen(path, "re");
	AUTO(free) char *line = NULL;
	struct procfs_socket s;
	size_t size = 0;

	if (!f)
		return false;
	setvbuf(f, NULL, _IOFBF, 4096);
	if (getline(&line, &size, f) < 0) /* titles */
		return !ferror(f);
	while (getline(&line, &size, f) > 0 && procfs_socket_parse(line, str_is(name, "tcp6"), &s))
		vec_push(ret, s);
	return !ferror(f);
}

bool procfs_listeners(const char *proc, struct procfs_sockets *ret, struct err *e)
{
	if (!add_listeners(proc, "tcp", ret))
		return err_sys(e, "read %s/net/tcp", proc);
	if (!add_listeners(proc, "tcp6", ret) && errno != ENOENT) /* no IPv6 here */
		return err_sys(e, "read %s/net/tcp6", proc);
	return true;
}

static bool each_socket_in(const char *folder, procfs_inode_fn fn, void *arg)
{
	AUTO(dir) DIR *d = opendir(folder);
	char target[64];
	uint64_t inode;

	if (!d)
		return false;
	for (struct dirent *de; (de = readdir(d));) {
		ssize_t n = readlinkat(dirfd(d), de->d_name, target, sizeof(target) - 1);

		if (n <= 0)
			continue;
		target[n] = '\0';
		if (sscanf(target, "socket:[%" SCNu64 "]", &inode) == 1 && !fn(arg, inode))
			break;
	}
	return true;
}

/* A leader that has ended (Z) shows no descriptors, although its other threads may still hold them. */
bool procfs_each_socket(const char *proc, pid_t pid, procfs_inode_fn fn, void *arg)
{
	AUTO(free) char *tasks = xasprintf("%s/%d/task", proc, (int)pid);
	AUTO(free) char *folder = xasprintf("%s/%d/fd", proc, (int)pid);
	struct procfs_stat s;
	struct procfs_pids ids = VEC_INIT;

	if (!procfs_stat(proc, pid, &s))
		return false;
	if (s.state != 'Z' || s.threads <= 1)
		return each_socket_in(folder, fn, arg);
	if (!procfs_pids(tasks, &ids, NULL))
		return false;
	vec_each (pid_t, id, &ids) {
		AUTO(free) char *of = xasprintf("%s/%d/fd", tasks, (int)*id);

		if (*id != pid && each_socket_in(of, fn, arg))
			break;
	}
	vec_done(&ids);
	return true;
}

int procfs_stuck_threads(const char *proc, pid_t pid, int most, int *ret_seen)
{
	AUTO(free) char *tasks = xasprintf("%s/%d/task", proc, (int)pid);
	struct procfs_pids ids = VEC_INIT;
	struct procfs_stat s;
	int stuck = 0, seen = 0;

	if (procfs_pids(tasks, &ids, NULL))
		vec_each (pid_t, id, &ids) {
			if (seen == most)
				break;
			if (!procfs_stat(tasks, *id, &s))
				continue;
			seen++;
			stuck += s.state == 'D';
		}
	vec_done(&ids);
	*ret_seen = seen;
	return stuck;
}
