/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * history - one line per event at the end of a file.  Called by watch and fleet; runs on: loop.
 */
#include "history.h"
#include "str.h"
#include "vec.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	FILE_MAX = 1024 * 1024,
	TEXT_MAX = 2000,
};

char *history_dir(const char *state_dir, const char *cluster, struct err *e)
{
	AUTO(free) char *dir = xasprintf("%s/%s", state_dir, cluster);

	if (mkdir(dir, 0750) && errno != EEXIST) {
		err_sys(e, "make directory %s", dir);
		return NULL;
	}
	return TAKE(dir);
}

static void add_member(struct str *s, const char *name, const char *value)
{
	str_addf(s, "%s\"%s\":\"", s->len > 1 ? "," : "", name);
	str_add_json(s, value);
	str_addc(s, '"');
}

/* Local time with its offset: people read it, and it sorts within one zone. */
static void add_time(struct str *s)
{
	time_t now = time(NULL);
	struct tm tm;
	char text[40] = "";

	localtime_r(&now, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S%z", &tm);
	add_member(s, "at", text);
}

/* Append one line; a file that has become too long is put aside first. */
static bool append(const char *path, const struct str *line, struct err *e)
{
	AUTO_FD int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	struct stat st;

	if (fd >= 0 && !fstat(fd, &st) && st.st_size >= FILE_MAX) {
		AUTO(free) char *old = xasprintf("%s.1", path);

		if (rename(path, old))
			return err_sys(e, "rename %s", path);
		close(fd);
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	}
	if (fd < 0)
		return err_sys(e, "open %s", path);
	if (write(fd, line->p, line->len) != (ssize_t)line->len)
		return err_sys(e, "write %s", path);
	return true;
}

bool history_add(const char *state_dir, const char *cluster, const char *what, const char *by,
        struct err *e, const char *fmt, ...)
{
	AUTO_STR struct str line = STR_INIT;
	AUTO(free) char *dir = NULL;
	AUTO(free) char *path = NULL;
	char text[TEXT_MAX];
	va_list ap;

	if (!state_dir)
		return true;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	dir = history_dir(state_dir, cluster, e);
	if (!dir)
		return false;
	str_addc(&line, '{');
	add_time(&line);
	add_member(&line, "what", what);
	add_member(&line, "text", text);
	add_member(&line, "by", by);
	str_add(&line, "}\n");
	path = xasprintf("%s/history", dir);
	return append(path, &line, e);
}

/* Its whole text is added to `ret`; a file that is not there adds nothing. */
static bool slurp(const char *path, struct str *ret, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char buf[16384];
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT || err_sys(e, "open %s", path);
	while ((n = read(fd, buf, sizeof(buf))) > 0 && ret->len < 4 * (size_t)FILE_MAX)
		str_addn(ret, buf, (size_t)n);
	return n >= 0 || err_sys(e, "read %s", path);
}

/* The last `limit` lines of the text, newest first, into `out` in their own order. */
static void add_lines(struct str *text, size_t limit, json_t *out)
{
	while (text->len && json_array_size(out) < limit) {
		char *from;
		json_t *j;

		if (text->p[text->len - 1] == '\n')
			str_cut(text, text->len - 1);
		from = memrchr(text->p, '\n', text->len);
		from = from ? from + 1 : text->p;
		j = json_loadb(from, text->len - (size_t)(from - text->p), 0, NULL);
		if (json_is_object(j))
			json_array_insert_new(out, 0, j);
		else
			json_decref(j);
		str_cut(text, (size_t)(from - text->p));
	}
}

json_t *history_read(const char *state_dir, const char *cluster, size_t limit, struct err *e)
{
	AUTO_STR struct str text = STR_INIT;
	AUTO(free) char *now = NULL;
	AUTO(free) char *old = NULL;
	json_t *out;

	if (!state_dir)
		return json_array();
	now = xasprintf("%s/%s/history", state_dir, cluster);
	old = xasprintf("%s.1", now);
	if (!slurp(old, &text, e) || !slurp(now, &text, e))
		return NULL;
	out = json_array();
	add_lines(&text, limit, out);
	return out;
}
