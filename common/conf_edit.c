/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_edit - the file around the text: lock, check, replace.  Called by masterha_conf_host and at the
 * end of a failover.  Runs on: worker, main thread.
 */
#include "conf_edit.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "clock.h"
#include "conf.h"

enum { FILE_MAX = 1 << 20, ADDED_MAX = 4096, WAIT_MS = 10000, POLL_US = 10000, LOAD_MS = 10000 };

/* A file being edited: its lock is held. */
struct edit {
	const char *path; /* as given, for messages */
	char *real, *tmp;
	int fd;
	struct stat st;
	char *bytes;
	size_t n;
};

static void edit_done(struct edit *d)
{
	if (d->bytes)
		mem_wipe(d->bytes, d->n);
	free(d->bytes);
	free(d->real);
	free(d->tmp);
	if (d->fd >= 0)
		close(d->fd);
}

/* ---- what may be written */

static bool is_word(const char *s)
{
	return *s && !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	                          "_.:-")];
}

static bool check_block(const char *block, struct err *e)
{
	if (str_starts(block, "server") && block[strlen("server")] && is_word(block))
		return true;
	err_set(e, ERR_CONFIG, 0, "\"%.80s\" is no name for a block", block);
	return err_hint(e, "server and then letters, digits, and _ . : -");
}

/* What the file's reader would take for something else. */
static bool check_value(const struct conf_edit_param *p, struct err *e)
{
	for (const char *c = p->value; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return err_set(e, ERR_CONFIG, 0, "%s: the value holds a control character",
			        p->name);
		if (c[0] == ' ' && c[1] == ';' && c[2] == ' ' && c[3])
			return err_set(e, ERR_CONFIG, 0,
			        "%s: \" ; \" in the value would begin a comment", p->name);
	}
	return true;
}

static bool check_param(const struct conf_edit_param *p, struct err *e)
{
	const char *nearest = conf_key_nearest(p->name);
	enum conf_key k;

	if (conf_key_find(p->name, &k))
		return check_value(p, e);
	err_set(e, ERR_CONFIG, 0, "Parameter name %.80s is invalid!", p->name);
	return nearest ? err_hint(e, "did you mean %s?", nearest)
	               : err_hint(e, "mhactl config explain lists them all");
}

static bool check_params(const struct conf_edit_param *params, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		if (!check_param(&params[i], e))
			return false;
		for (size_t j = 0; j < i; j++) {
			if (str_is(params[i].name, params[j].name))
				return err_set(
				        e, ERR_CONFIG, 0, "%s is given twice", params[i].name);
		}
	}
	return true;
}

struct conf_edit_param *conf_edit_params(char *text, size_t *ret_n, struct err *e)
{
	struct conf_edit_param *params = xmalloc((strlen(text) + 1) * sizeof(*params));
	char *next = text, *word;
	size_t n = 0;

	while ((word = strsep(&next, ";")) != NULL) {
		char *value = strchr(word, '=');

		if (!*str_trim(word))
			continue;
		if (!value || value == word) {
			err_set(e, ERR_CONFIG, 0, "\"%.80s\" is not name=value", word);
			free(params);
			return NULL;
		}
		*value++ = '\0';
		params[n].name = str_trim(word);
		params[n++].value = str_trim(value);
	}
	*ret_n = n;
	return params;
}

/* ---- lock and read */

static bool wait_for_lock(int fd, const char *path, int64_t deadline, struct err *e)
{
	while (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(e, "cannot lock %s", path);
		if (!clock_left(deadline))
			return err_set(e, ERR_PRECOND, 0, "another program is editing %s", path);
		usleep(POLL_US);
	}
	return true;
}

/* The one before us has put another file in its place: then that one is to be locked. */
static bool lock_file(struct edit *d, struct err *e)
{
	int64_t deadline = clock_in(WAIT_MS);
	struct stat there;

	for (;;) {
		d->fd = open(d->real, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
		if (d->fd < 0 || fstat(d->fd, &d->st) < 0)
			return err_sys(e, "cannot open %s", d->path);
		if (!S_ISREG(d->st.st_mode))
			return err_set(e, ERR_CONFIG, 0, "%s is not a regular file", d->path);
		if (!wait_for_lock(d->fd, d->path, deadline, e))
			return false;
		if (!stat(d->real, &there) && there.st_dev == d->st.st_dev &&
		        there.st_ino == d->st.st_ino && !fstat(d->fd, &d->st))
			return true;
		close(d->fd);
	}
}

static bool read_file(struct edit *d, struct err *e)
{
	ssize_t n;

	if (d->st.st_size > FILE_MAX)
		return err_set(e, ERR_CONFIG, 0, "%s is longer than %d bytes", d->path, FILE_MAX);
	d->bytes = xzalloc(FILE_MAX + 1);
	while ((n = read(d->fd, d->bytes + d->n, FILE_MAX + 1 - d->n)) > 0)
		d->n += (size_t)n;
	return !n || err_sys(e, "cannot read %s", d->path);
}

/* The same name for everybody: only who holds the lock uses it, and what a crash left is found again. */
static char *tmp_path(const char *real)
{
	const char *base = strrchr(real, '/') + 1;

	return xasprintf("%.*s.%s.mhad-edit", (int)(base - real), real, base);
}

static bool edit_start(struct edit *d, const char *path, struct err *e)
{
	AUTO(free) char *real = realpath(path, NULL);

	*d = (struct edit){ .path = path, .fd = -1 };
	if (!real) {
		err_sys(e, "cannot open %s", path);
		return false;
	}
	d->tmp = tmp_path(real);
	d->real = TAKE(real);
	if (!str_ends(path, ".cnf")) {
		err_set(e, ERR_PRECOND, 0, "%s is not in MHA's format (.cnf)", path);
		return err_hint(e, "edit mhad's own files by hand; mhactl check config tests them");
	}
	return lock_file(d, e) && read_file(d, e);
}

/* ---- check and replace */

static bool write_all(int fd, const struct str *text)
{
	size_t done = 0;
	ssize_t n;

	while (done < text->len) {
		n = write(fd, text->p + done, text->len - done);
		if (n < 0 && errno != EINTR)
			return false;
		done += n > 0 ? (size_t)n : 0;
	}
	return true;
}

static bool write_tmp(const struct edit *d, const struct str *text, struct err *e)
{
	AUTO_FD int fd = -1;

	unlink(d->tmp);
	fd = open(d->tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || !write_all(fd, text))
		return err_sys(e, "cannot write %s", d->tmp);
	if (fchown(fd, d->st.st_uid, d->st.st_gid))
		return err_sys(e, "cannot keep the owner of %s", d->path);
	if (fchmod(fd, d->st.st_mode & 07777) || fsync(fd))
		return err_sys(e, "cannot write %s", d->tmp);
	return true;
}

static bool has_server(const struct conf *c, const char *id)
{
	for (size_t i = 0; i < c->n_servers; i++) {
		if (str_is(c->servers[i]->id, id))
			return true;
	}
	return false;
}

static bool would_not_load(const struct edit *d, const struct conf_report *r, struct err *e)
{
	for (size_t i = 0; i < r->len; i++) {
		const struct conf_problem *p = &r->items[i];

		if (!p->fatal)
			continue;
		err_set(e, ERR_CONFIG, 0,
		        "%s stays as it is; with the change it would not load: %s", d->path,
		        p->text);
		if (*p->hint)
			err_hint(e, "%s", p->hint);
		break;
	}
	return false;
}

/* As the cluster's file alone: the global file is not what is changed here. */
static bool loads(const struct edit *d, const char *block, bool wanted, struct err *e)
{
	struct conf_opts o = { .path = d->tmp,
		.global_path = "",
		.no_resolve = true,
		.no_script = true,
		.force_format = CONF_MHA,
		.deadline = clock_in(LOAD_MS) };
	struct conf_report report = { 0 };
	AUTO(conf) struct conf *c = conf_load(&o, &report, e);
	bool ok;

	if (!c)
		ok = would_not_load(d, &report, e);
	else
		ok = has_server(c, block) == wanted ||
		     err_set(e, ERR_CONFIG, 0, "%s stays as it is: its [%s] cannot be %s", d->path,
		             block, wanted ? "added" : "removed");
	conf_report_done(&report);
	return ok;
}

static bool is_unchanged(const struct edit *d, struct err *e)
{
	struct stat st;

	if (!stat(d->real, &st) && st.st_dev == d->st.st_dev && st.st_ino == d->st.st_ino &&
	        st.st_size == d->st.st_size && st.st_mtim.tv_sec == d->st.st_mtim.tv_sec &&
	        st.st_mtim.tv_nsec == d->st.st_mtim.tv_nsec)
		return true;
	return err_set(e, ERR_PRECOND, 0, "%s was changed by another program just now", d->path) ||
	       err_hint(e, "try again");
}

static bool sync_folder(const struct edit *d, struct err *e)
{
	AUTO(free) char *dir = xstrndup(d->real, (size_t)(strrchr(d->real, '/') - d->real) + 1);
	AUTO_FD int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return (fd >= 0 && !fsync(fd)) || err_sys(e, "cannot sync %s", dir);
}

static bool replace(
        const struct edit *d, const struct str *text, const char *block, bool wanted, struct err *e)
{
	if (!write_tmp(d, text, e) || !loads(d, block, wanted, e) || !is_unchanged(d, e)) {
		unlink(d->tmp);
		return false;
	}
	if (rename(d->tmp, d->real)) {
		err_sys(e, "cannot replace %s", d->path);
		unlink(d->tmp);
		return false;
	}
	return sync_folder(d, e);
}

static void wipe(struct str *text)
{
	mem_wipe(text->p, text->len);
	str_done(text);
}

bool conf_edit_add_block(const char *path, const char *block, const struct conf_edit_param *params,
        size_t n_params, bool *ret_added, struct err *e)
{
	struct str text = STR_INIT;
	struct edit d;
	bool there = false, ok;

	if (!check_block(block, e) || !check_params(params, n_params, e))
		return false;
	ok = edit_start(&d, path, e);
	if (ok)
		there = conf_edit_has(d.bytes, d.n, block);
	if (ok && !there) {
		str_grow(&text, d.n + ADDED_MAX); /* in one piece, to be wiped */
		conf_edit_add(&text, d.bytes, d.n, block, params, n_params);
		ok = replace(&d, &text, block, true, e);
	}
	wipe(&text);
	edit_done(&d);
	if (ok)
		*ret_added = !there;
	return ok;
}

bool conf_edit_remove_block(const char *path, const char *block, bool *ret_removed, struct err *e)
{
	struct str text = STR_INIT;
	struct edit d;
	bool there = false, ok;

	if (str_is(block, "server default"))
		return err_set(e, ERR_CONFIG, 0, "[server default] is no server");
	ok = edit_start(&d, path, e);
	if (ok)
		there = conf_edit_has(d.bytes, d.n, block);
	if (there) {
		str_grow(&text, d.n);
		conf_edit_remove(&text, d.bytes, d.n, block);
		ok = replace(&d, &text, block, false, e);
	}
	wipe(&text);
	edit_done(&d);
	if (ok)
		*ret_removed = there;
	return ok;
}
