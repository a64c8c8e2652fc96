/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * logs - lists log files.
 * Runs on: any thread.
 */
#include "logs.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "dir.h"
#include "str.h"

static void close_dir(DIR *d)
{
	closedir(d);
}
CLEANUP_FN(dir, DIR *, close_dir)

static int by_number(const void *a, const void *b)
{
	const struct log_file *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

static void sort(struct logs *l)
{
	if (l->files.len)
		qsort(l->files.items, l->files.len, sizeof(l->files.items[0]), by_number);
}

/* Takes `path`. */
static void add(struct logs *l, char *path, uint64_t number)
{
	const char *slash = strrchr(path, '/');

	vec_push(&l->files, (struct log_file){ path, slash ? slash + 1 : path, number });
}

void logs_done(struct logs *l)
{
	vec_each (struct log_file, f, &l->files)
		free(f->path);
	vec_done(&l->files);
}

static bool list_folder(const char *folder, const char *prefix, struct logs *ret, struct err *e)
{
	AUTO(dir) DIR *d = opendir(folder);

	if (!d)
		return err_sys(e, "open folder %s", folder);
	for (struct dirent *de; (de = readdir(d));) {
		size_t n;
		uint64_t number;

		if (dir_log_split(de->d_name, &n, &number) && n == strlen(prefix) &&
		        memcmp(de->d_name, prefix, n) == 0)
			add(ret, xasprintf("%s/%s", folder, de->d_name), number);
	}
	sort(ret);
	return ret->files.len > 0 ||
	       err_set(e, ERR_PRECOND, 0, "no file %s.<number> in it", prefix);
}

bool logs_in_folder(const char *folder, const char *prefix, struct logs *ret, struct err *e)
{
	struct logs l = { VEC_INIT };

	if (list_folder(folder, prefix, &l, e)) {
		*ret = l;
		return true;
	}
	logs_done(&l);
	return err_ctx(e, "%s", folder);
}

bool logs_in_folders(
        const char *folders, const char *prefix, const char *must, struct logs *ret, struct err *e)
{
	struct err why = { 0 };

	for (const char *p = folders; *p;) {
		size_t n = strcspn(p, ","), at;
		AUTO(free) char *part = xstrndup(p, n);
		struct logs l = { VEC_INIT };

		p += n + (p[n] == ',');
		if (list_folder(str_trim(part), prefix, &l, &why) &&
		        (!must || logs_find(&l, must, &at))) {
			*ret = l;
			return true;
		}
		logs_done(&l);
	}
	err_set(e, ERR_PRECOND, 0, "Binlog not found from %s!%s%s", folders, why.text[0] ? " " : "",
	        why.text);
	return err_hint(e, "set master_binlog_dir to the folder of the master's binlogs in the "
	                   "configuration, and let the SSH user read it");
}

/* One line of an index. */
static bool add_line(struct logs *l, const char *line, const char *datadir, struct err *e)
{
	AUTO(free) char *path = NULL;
	const char *name;
	size_t n;
	uint64_t number;

	while (str_starts(line, "./"))
		line += 2;
	path = line[0] == '/' ? xstrdup(line) : xasprintf("%s/%s", datadir, line);
	name = strrchr(path, '/') + 1;
	if (!dir_log_split(name, &n, &number))
		return err_set(e, ERR_PARSE, 0, "\"%s\" is not the name of a log file", name);
	add(l, TAKE(path), number);
	return true;
}

static void close_file(FILE *f)
{
	fclose(f);
}
CLEANUP_FN(file, FILE *, close_file)

bool logs_of_index(const char *index, const char *datadir, struct logs *ret, struct err *e)
{
	int fd = dir_open_file(index, e);
	AUTO(file) FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	AUTO(free) char *own = dir_of(index);
	AUTO(free) char *line = NULL;
	struct logs l = { VEC_INIT };
	size_t cap = 0;
	bool ok = f != NULL;

	while (ok && getline(&line, &cap, f) >= 0) {
		line[strcspn(line, "\r\n")] = '\0';
		ok = !line[0] || add_line(&l, line, datadir ? datadir : own, e);
	}
	if (ok && !l.files.len)
		ok = err_set(e, ERR_PRECOND, 0, "it lists no file");
	if (!ok) {
		logs_done(&l);
		return f ? err_ctx(e, "index %s", index) : false;
	}
	sort(&l);
	*ret = l;
	return true;
}

bool logs_find(const struct logs *l, const char *name, size_t *ret)
{
	for (size_t i = 0; i < l->files.len; i++) {
		if (!str_is(l->files.items[i].name, name))
			continue;
		*ret = i;
		return true;
	}
	return false;
}

bool logs_have_no_gap(const struct logs *l, size_t first, struct err *e)
{
	for (size_t i = first + 1; i < l->files.len; i++) {
		const struct log_file *f = &l->files.items[i];
		uint64_t want = f[-1].number + 1;
		size_t n = (size_t)(strrchr(f->name, '.') - f->name);

		if (f->number != want)
			return err_set(e, ERR_PRECOND, ENOENT,
			        "%.*s.%06llu is missing, but %s is there", (int)n, f->name,
			        (unsigned long long)want, f->name);
	}
	return true;
}

int logs_open(const struct logs *l, size_t i, struct err *e)
{
	return dir_open_linked(l->files.items[i].path, e);
}
