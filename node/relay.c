/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * relay - finds relay logs and their index.
 * Runs on: any thread.
 */
#include "relay.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "dir.h"
#include "str.h"

#define TEXT_MAX                                                                                   \
	(16 << 20) /* relay-log.info is a dozen lines, an index may list very many files           \
	            */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

char *relay_info_parse(const char *text, const char *datadir, struct err *e)
{
	size_t n = strcspn(text, "\r\n");

	if (n && strspn(text, "0123456789") == n) {
		text += n;
		text += strspn(text, "\r");
		text += *text == '\n';
		n = strcspn(text, "\r\n");
	}
	if (!n) {
		err_set(e, ERR_PARSE, 0, "it names no relay log");
		return NULL;
	}
	if (text[0] == '/')
		return xstrndup(text, n);
	if (n > 2 && str_starts(text, "./")) {
		text += 2;
		n -= 2;
	}
	return xasprintf("%s/%.*s", datadir, (int)n, text);
}

static bool read_text(const char *path, struct str *to, struct err *e)
{
	AUTO_FD int fd = dir_open_file(path, e);
	char buf[4096];
	ssize_t n;

	if (fd < 0)
		return false;
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		if (to->len > TEXT_MAX)
			return err_set(e, ERR_PARSE, 0, "read %s: longer than any such file", path);
		str_addn(to, buf, (size_t)n);
	}
	return n == 0 || err_sys(e, "read %s", path);
}

char *relay_info_read(const char *path, const char *datadir, struct err *e)
{
	AUTO_STR struct str text = STR_INIT;
	char *ret;

	if (!read_text(path, &text, e))
		return NULL;
	ret = relay_info_parse(text.p, datadir, e);
	if (!ret)
		err_ctx(e, "%s", path);
	return ret;
}

bool relay_open(const char *current, struct relay *ret, struct err *e)
{
	struct relay r = { .dir = dir_of(current) };
	AUTO(free) char *name = NULL;
	struct stat st;
	size_t n;
	uint64_t number;

	if (!dir_log_split(base_name(current), &n, &number)) {
		err_set(e, ERR_PRECOND, 0, "%s is not the name of a relay log (<name>.<number>)",
		        current);
	} else {
		r.prefix = xstrndup(base_name(current), n);
		name = dir_last_log(r.dir, r.prefix, e);
	}
	if (name) {
		r.last = xasprintf("%s/%s", r.dir, name);
		if (stat(r.last, &st) == 0) {
			r.uid = st.st_uid;
			r.gid = st.st_gid;
			r.mode = st.st_mode & 07777;
			*ret = r;
			return true;
		}
		err_sys(e, "look at %s", r.last);
	}
	relay_done(&r);
	return false;
}

void relay_done(struct relay *r)
{
	free(r->dir);
	free(r->prefix);
	free(r->last);
	*r = (struct relay){ 0 };
}

bool relay_is_listed(const char *text, const char *file)
{
	size_t want = strlen(file);

	for (const char *p = text; *p;) {
		size_t n = strcspn(p, "\r\n");

		if (n >= want && memcmp(p + n - want, file, want) == 0 &&
		        (n == want || p[n - want - 1] == '/'))
			return true;
		p += n;
		p += strspn(p, "\r\n");
	}
	return false;
}

static bool index_file_names(const char *path, const char *file)
{
	AUTO_STR struct str text = STR_INIT;

	return read_text(path, &text, NULL) && relay_is_listed(text.p, file);
}

static int is_index(const struct dirent *de)
{
	return str_ends(de->d_name, ".index");
}

char *relay_find_index(const struct relay *r, struct err *e)
{
	AUTO(free) char *usual = xasprintf("%s/%s.index", r->dir, r->prefix);
	struct dirent **names = NULL;
	char *ret = NULL;
	int n;

	if (access(usual, F_OK) == 0)
		return TAKE(usual);
	n = scandir(r->dir, &names, is_index, alphasort);
	for (int i = 0; i < n; i++) {
		AUTO(free) char *path = xasprintf("%s/%s", r->dir, names[i]->d_name);

		if (!ret && index_file_names(path, base_name(r->last)))
			ret = TAKE(path);
		free(names[i]);
	}
	free(names);
	if (!ret)
		err_set(e, ERR_PRECOND, 0, "no index in %s lists %s", r->dir, base_name(r->last));
	return ret;
}
