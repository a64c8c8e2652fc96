/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * relay_index - reads the index of relay logs and appends to it.
 * Runs on: any thread.
 */
#include "relay_index.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "dir.h"
#include "str.h"

#define INDEX_MAX (16 << 20)

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void split_lines(struct relay_index *x, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\r\n");

		if (n)
			vec_push(&x->lines, xstrndup(text, n));
		text += n;
		x->torn = !*text && n;
		text += strspn(text, "\r\n");
	}
}

static bool read_all(int fd, const char *path, struct str *to, struct err *e)
{
	char buf[4096];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		if (to->len > INDEX_MAX)
			return err_set(e, ERR_PARSE, 0, "%s is too long for an index", path);
		str_addn(to, buf, (size_t)n);
	}
	if (n < 0)
		return err_sys(e, "read %s", path);
	if (strlen(to->p) != to->len)
		return err_set(e, ERR_PARSE, 0, "%s is not a text", path);
	return true;
}

bool relay_index_read(const char *path, struct relay_index *ret, struct err *e)
{
	AUTO_STR struct str text = STR_INIT;
	AUTO_FD int fd = dir_open_file(path, e);
	struct relay_index x = { .path = NULL };
	struct stat st;

	if (fd < 0 || !read_all(fd, path, &text, e))
		return false;
	if (fstat(fd, &st) < 0)
		return err_sys(e, "look at %s", path);
	x.path = xstrdup(path);
	x.dir = dir_of(path);
	x.uid = st.st_uid;
	x.gid = st.st_gid;
	x.mode = st.st_mode & 0777;
	split_lines(&x, text.p);
	*ret = x;
	return true;
}

void relay_index_done(struct relay_index *x)
{
	vec_each (char *, line, &x->lines)
		free(*line);
	vec_done(&x->lines);
	free(x->path);
	free(x->dir);
	*x = (struct relay_index){ .path = NULL };
}

bool relay_index_has(const struct relay_index *x, const char *name)
{
	vec_each (char *, line, &x->lines)
		if (str_is(base_name(*line), base_name(name)))
			return true;
	return false;
}

char *relay_index_file(const struct relay_index *x, size_t line)
{
	const char *text = x->lines.items[line];

	/* Its folder is ours: a server in a container sees another path. */
	return xasprintf("%s/%s", x->dir, base_name(text));
}

/* The highest number of that prefix among the lines, or `least`. */
static uint64_t highest(const struct relay_index *x, const char *prefix, uint64_t least)
{
	uint64_t number;
	size_t n;

	vec_each (char *, line, &x->lines)
		if (dir_log_split(base_name(*line), &n, &number) && n == strlen(prefix) &&
		        memcmp(base_name(*line), prefix, n) == 0 && number > least)
			least = number;
	return least;
}

char *relay_index_next(const struct relay_index *x, struct err *e)
{
	const char *last = x->lines.len ? base_name(x->lines.items[x->lines.len - 1]) : "";
	AUTO(free) char *prefix = NULL, *on_disk = NULL;
	uint64_t number;
	size_t n;

	if (!dir_log_split(last, &n, &number)) {
		err_set(e, ERR_PRECOND, 0, "%s lists no relay logs", x->path);
		return NULL;
	}
	prefix = xstrndup(last, n);
	on_disk = dir_last_log(x->dir, prefix, e);
	if (!on_disk || !dir_log_split(on_disk, &n, &number))
		return NULL;
	return xasprintf("%s.%06llu", prefix, (unsigned long long)highest(x, prefix, number) + 1);
}

static bool write_line(int fd, const char *path, const struct str *line, struct err *e)
{
	ssize_t n = write(fd, line->p, line->len);

	if (n >= 0 && (size_t)n < line->len)
		errno = ENOSPC;
	if (n < 0 || (size_t)n < line->len)
		return err_sys(e, "append to %s", path);
	return fsync(fd) == 0 || err_sys(e, "append to %s", path);
}

bool relay_index_add(const struct relay_index *x, const char *name, struct err *e)
{
	const char *model = x->lines.items[x->lines.len - 1];
	AUTO_STR struct str line = STR_INIT;
	AUTO_FD int fd = open(x->path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return err_sys(e, "open %s", x->path);
	if (x->torn)
		str_addc(&line, '\n');
	str_addn(&line, model, (size_t)(base_name(model) - model));
	str_addf(&line, "%s\n", base_name(name));
	return write_line(fd, x->path, &line, e);
}
