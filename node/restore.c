/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * restore - a stream of mariadb-backup becomes files that a server could start with.  Runs on: any thread.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "backup.h"
#include "clock.h"
#include "dir.h"
#include "json.h"
#include "proc.h"
#include "str.h"

enum { PIECE = 64 << 10, TURN_MS = 1000, WORDS_MAX = 8000, REMOVE_MS = 600000, FILE_MAX = 4096 };

static char *below(const struct args *a, const char *name)
{
	return xasprintf("%s/%s", a->datadir, name);
}

/* Also when we have been told to end. */
static bool drop(const struct args *a, const char *name, struct verb_io *io, struct err *e)
{
	AUTO(free) char *path = below(a, name);
	const char *const argv[] = { "rm", "-rf", "--one-file-system", "--", path, NULL };
	struct verb_io last = *io;

	last.deadline = clock_in(REMOVE_MS);
	last.cancel_fd = -1;
	verb_hold(io);

	bool fine = backup_run(argv, &last, e);

	verb_unhold(io);
	return fine;
}

/* ---- unpacking ---- */

static void drain(int *fd, struct str *words)
{
	char buf[4096];
	ssize_t n = read(*fd, buf, sizeof(buf));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close(*fd);
		*fd = -1;
	} else if (words->len < WORDS_MAX) {
		str_addn(words, buf, (size_t)n);
	}
}

static bool feed(struct verb_io *io, struct proc_child *c, const char *p, size_t n,
        struct str *words, struct err *e)
{
	while (n) {
		struct pollfd fds[] = { { c->in, POLLOUT, 0 }, { c->out, POLLIN, 0 },
			{ io->cancel_fd, POLLIN, 0 } };
		ssize_t done;

		if (!verb_go_on(io, e))
			return false;
		if (poll(fds, ARRAY_LEN(fds), TURN_MS) < 0 && errno != EINTR)
			return err_sys(e, "poll");
		if (fds[1].revents)
			drain(&c->out, words);
		if (!fds[0].revents)
			continue;
		done = write(c->in, p, n);
		if (done < 0 && errno != EAGAIN && errno != EINTR)
			return err_sys(e, "mbstream");
		if (done > 0) {
			p += done;
			n -= (size_t)done;
		}
	}
	return true;
}

static bool receive(struct verb_io *io, struct proc_child *c, struct str *words, struct err *e)
{
	AUTO(free) char *buf = xmalloc(PIECE);
	ssize_t n;

	while ((n = verb_read(io, buf, PIECE, e)) > 0)
		if (!feed(io, c, buf, (size_t)n, words, e))
			return false;
	close(c->in);
	c->in = -1;
	while (n == 0 && c->out >= 0) {
		struct pollfd p = { c->out, POLLIN, 0 };

		if (!verb_go_on(io, e))
			return false;
		if (poll(&p, 1, TURN_MS) > 0)
			drain(&c->out, words);
	}
	return n == 0;
}

static bool unpack(const char *dir, struct verb_io *io, struct err *e)
{
	const char *const argv[] = { "mbstream", "-x", "-C", dir, NULL };
	AUTO_STR struct str words = STR_INIT;
	struct proc_child c;
	struct err why = { 0 };
	int status = -1, sig = 0;
	bool fine;

	if (!proc_start(&(struct proc_opts){ .argv = argv, .input = "", .merge = true }, &c, e))
		return false;
	fine = receive(io, &c, &words, &why);
	if ((fine || why.kind == ERR_SYSTEM) && proc_reap(&c, clock_in(TURN_MS), &status, &sig) &&
	        status != 0) {
		backup_last_words(&words);
		err_set(&why, ERR_REMOTE, status, "mbstream: %s", words.len ? words.p : "failed");
	} else if (fine && status != 0) {
		err_set(&why, ERR_LOST, 0, "mbstream does not end");
	}
	proc_child_done(&c);
	if (why.kind && e)
		*e = why;
	return !why.kind;
}

/* ---- making it ready ---- */

/* Tables that live elsewhere would meet the files of the server that is here. */
static bool is_in_one_place(const char *dir, struct verb_io *io, struct err *e)
{
	const char *const argv[] = { "find", dir, "-name", "*.isl", "-print", "-quit", NULL };
	struct proc_result r;
	bool fine;

	if (!proc_run(&(struct proc_opts){ .argv = argv, .deadline = io->deadline }, &r, e))
		return false;
	fine = r.status == 0 && !r.out.len;
	if (!fine) {
		err_set(e, ERR_PRECOND, 0,
		        "the donor has tables with a DATA DIRECTORY of their own");
		err_hint(e, "--by-dump");
	}
	proc_done(&r);
	return fine;
}

static bool prepare(const char *dir, struct verb_io *io, struct err *e)
{
	AUTO(free) char *target = xasprintf("--target-dir=%s", dir);
	char version[48];
	const char *program = backup_program(io, version, e);
	const char *const argv[] = { program, "--prepare", target, NULL };

	return program && backup_run(argv, io, e);
}

static bool give_away(const struct args *a, const char *dir, struct verb_io *io, struct err *e)
{
	struct stat st;
	AUTO(free) char *owner = NULL;

	if (stat(a->datadir, &st) < 0)
		return err_sys(e, "%s", a->datadir);
	owner = xasprintf("%u:%u", (unsigned)st.st_uid, (unsigned)st.st_gid);

	const char *const argv[] = { "chown", "-R", "-h", owner, dir, NULL };

	return backup_run(argv, io, e);
}

/* ---- where it stands ---- */

/* One of its two names, the older last; removes it.  "" where there is none. */
static void read_note(const char *dir, const char *name, char ret[FILE_MAX])
{
	static const char *const prefixes[] = { "mariadb_backup", "xtrabackup" };

	ret[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(prefixes) && !ret[0]; i++) {
		AUTO(free) char *path = xasprintf("%s/%s_%s", dir, prefixes[i], name);
		AUTO_FD int fd = dir_open_file(path, NULL);
		ssize_t n = fd >= 0 ? read(fd, ret, FILE_MAX - 1) : 0;

		ret[n > 0 ? n : 0] = '\0';
	}
}

static void tell(const char *dir, struct verb_io *io)
{
	AUTO_JSON struct json j = JSON_INIT;
	char text[FILE_MAX], *rest = text;

	json_open(&j, NULL, '{');
	read_note(dir, "binlog_info", text);
	text[strcspn(text, "\n")] = '\0';
	json_str(&j, "file", strsep(&rest, "\t"));
	json_str(&j, "pos", rest ? strsep(&rest, "\t") : NULL);
	json_str(&j, "gtids", rest);
	read_note(dir, "slave_info", text);
	json_str(&j, "slave", text);
	json_close(&j, '}');
	verb_result(io, j.text.p);
}

static bool drop_notes(const char *dir, struct verb_io *io, struct err *e)
{
	const char *const argv[] = { "find", dir, "-maxdepth", "1", "-type", "f", "(", "-name",
		"xtrabackup_*", "-o", "-name", "mariadb_backup_*", "-o", "-name", "backup-my.cnf",
		")", "-delete", NULL };

	return backup_run(argv, io, e);
}

static bool make(const struct args *a, struct verb_io *io, struct err *e)
{
	AUTO(free) char *dir = below(a, BACKUP_COPY);
	AUTO(free) char *half = below(a, BACKUP_LEAVING);

	if (access(half, F_OK) == 0) {
		err_set(e, ERR_PRECOND, 0, "%s is there: an exchange was cut in the middle", half);
		return err_hint(e, "mha-node restore --undo");
	}
	if (!drop(a, BACKUP_COPY, io, e) || !drop(a, BACKUP_OLD, io, e))
		return false;
	if (mkdir(dir, 0700) < 0)
		return err_sys(e, "%s", dir);
	if (!unpack(dir, io, e) || !is_in_one_place(dir, io, e) || !prepare(dir, io, e))
		return false;
	tell(dir, io);
	return drop_notes(dir, io, e) && give_away(a, dir, io, e);
}

/* What was put back leaves a copy that is of no use; where that failed, too, all stays. */
static bool swap(const struct args *a, struct verb_io *io, struct err *e)
{
	AUTO(free) char *half = below(a, BACKUP_LEAVING);
	AUTO(free) char *old = below(a, BACKUP_OLD);

	if (restore_swap(a, io, e))
		return true;
	if (access(half, F_OK) < 0 && access(old, F_OK) < 0)
		(void)!drop(a, BACKUP_COPY, io, NULL);
	return false;
}

static bool serve(const struct args *a, struct verb_io *io, struct err *e)
{
	if (a->swap)
		return swap(a, io, e);
	if (a->undo)
		return restore_undo(a, io, e) && drop(a, BACKUP_COPY, io, e);
	if (a->clean)
		return drop(a, BACKUP_COPY, io, e) && drop(a, BACKUP_OLD, io, e);
	if (make(a, io, e))
		return true;
	(void)!drop(a, BACKUP_COPY, io, NULL);
	return false;
}

int restore_serve(const struct args *a, struct verb_io *io, struct err *e)
{
	struct mysqld_found found;

	if (a->count)
		return backup_serve(a, io, e);
	return backup_find(a, io, !a->undo, &found, e) && serve(a, io, e) ? 0 : 1;
}
