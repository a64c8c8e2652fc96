/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backup - the donor's side, and what both sides share.  Runs on: any thread.
 */
#include "backup.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "aside.h"
#include "clock.h"
#include "json.h"
#include "proc.h"
#include "str.h"

enum { PIECE = 64 << 10, LOOK_MS = 5000, TURN_MS = 1000, WORDS_MAX = 8000, END_MS = 60000 };

static void look_aside(const void *arg, void *ret)
{
	mysqld_find(arg, ret);
}

bool backup_find(const struct args *a, struct verb_io *io, bool runs, struct mysqld_found *ret,
        struct err *e)
{
	const struct mysqld_query q = { PROCFS, "", (int)a->port, a->datadir };
	char want[PATH_MAX], is[PATH_MAX];

	if (!a->port || !a->datadir)
		return err_set(e, ERR_CONFIG, 0, "--port and --datadir must be set");
	if (!realpath(a->datadir, want))
		return err_sys(e, "%s", a->datadir);
	if (!aside_run(look_aside, &q, ret, sizeof(*ret),
	            clock_sooner(clock_in(LOOK_MS), io->deadline), e))
		return false;
	if (!ret->count)
		return !runs ||
		       err_set(e, ERR_PRECOND, 0, "no server of port %d runs here", q.port);
	if (ret->count > 1 || !realpath(ret->servers[0].access, is) || !str_is(is, want))
		return err_set(e, ERR_PRECOND, 0,
		        "%s is not seen to be the data directory of port %d", a->datadir, q.port);
	return true;
}

const char *backup_program(struct verb_io *io, char ret_version[48], struct err *e)
{
	static const char *const names[] = { "mariadb-backup", "mariabackup" };
	static const char mark[] = "MariaDB server ";

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *const argv[] = { names[i], "--version", NULL }, *at;
		struct proc_result r;
		bool fine;

		if (!proc_run(&(struct proc_opts){ .argv = argv,
		                      .merge = true,
		                      .deadline = clock_sooner(clock_in(LOOK_MS), io->deadline) },
		            &r, NULL))
			continue;
		at = r.status == 0 ? strstr(r.out.p, mark) : NULL;
		fine = at && sscanf(at + strlen(mark), "%47s", ret_version) == 1;
		proc_done(&r);
		if (fine)
			return names[i];
	}
	err_set(e, ERR_PRECOND, 0, "this host has no mariadb-backup");
	err_hint(e, "the package mariadb-backup");
	return NULL;
}

void backup_last_words(struct str *words)
{
	char *p = words->p;
	size_t n;

	while (words->len && (p[words->len - 1] == '\n' || p[words->len - 1] == ' '))
		str_cut(words, words->len - 1);
	n = words->len > 300 ? words->len - 300 : 0;
	if (n) {
		memmove(p, p + n, words->len - n);
		str_cut(words, words->len - n);
	}
	for (size_t i = 0; i < words->len; i++)
		if (words->p[i] == '\n')
			words->p[i] = ' ';
}

bool backup_run(const char *const *argv, struct verb_io *io, struct err *e)
{
	struct proc_result r;
	bool fine;

	if (!proc_run(&(struct proc_opts){ .argv = argv,
	                      .merge = true,
	                      .output_max = 4 << 20,
	                      .deadline = io->deadline,
	                      .cancel_fd = io->cancel_fd > 0 ? io->cancel_fd : 0 },
	            &r, e))
		return false;
	fine = r.status == 0;
	backup_last_words(&r.out);
	if (!fine && verb_go_on(io, e))
		err_set(e, ERR_REMOTE, r.status, "%s: %s", argv[0], r.out.len ? r.out.p : "failed");
	proc_done(&r);
	return fine;
}

/* ---- looking ---- */

/* Bytes without binlogs and relay logs, which are not copied. */
static bool used(const char *dir, struct verb_io *io, uint64_t *ret, struct err *e)
{
	const char *const argv[] = { "du", "-skx", "--exclude=*.[0-9][0-9][0-9][0-9][0-9][0-9]",
		"--exclude=.mhad-*", dir, NULL };
	struct proc_result r;

	if (!proc_run(&(struct proc_opts){ .argv = argv, .deadline = io->deadline }, &r, e))
		return false;
	*ret = strtoull(r.out.p, NULL, 10) << 10;
	proc_done(&r);
	return *ret || err_set(e, ERR_REMOTE, 0, "du says nothing of %s", dir);
}

static int look(const struct args *a, struct verb_io *io, struct err *e)
{
	AUTO_JSON struct json j = JSON_INIT;
	char version[48];
	struct statvfs fs;
	uint64_t bytes;

	if (!backup_program(io, version, e) || !used(a->datadir, io, &bytes, e))
		return 1;
	if (statvfs(a->datadir, &fs) < 0) {
		err_sys(e, "%s", a->datadir);
		return 1;
	}
	json_open(&j, NULL, '{');
	json_str(&j, "version", version);
	json_int(&j, "used", (int64_t)bytes);
	json_int(&j, "free", (int64_t)(fs.f_bavail * fs.f_frsize));
	json_close(&j, '}');
	verb_result(io, j.text.p);
	return 0;
}

/* ---- the stream ---- */

static void drain(int *fd, struct str *words)
{
	char buf[4096];
	ssize_t n = read(*fd, buf, sizeof(buf));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close(*fd);
		*fd = -1;
		return;
	}
	if (words->len > WORDS_MAX)
		str_clear(words);
	str_addn(words, buf, (size_t)n);
}

static bool pass_on(struct verb_io *io, int *fd, char *buf, struct err *e)
{
	ssize_t n = read(*fd, buf, PIECE);

	if (n > 0)
		return verb_write(io, buf, (size_t)n, e);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n < 0)
		return err_sys(e, "read the copy");
	close(*fd);
	*fd = -1;
	return true;
}

static bool pump(struct verb_io *io, struct proc_child *c, struct str *words, struct err *e)
{
	AUTO(free) char *buf = xmalloc(PIECE);

	while (c->out >= 0 || c->err >= 0) {
		struct pollfd p[] = { { c->out, POLLIN, 0 }, { c->err, POLLIN, 0 },
			{ io->cancel_fd, POLLIN, 0 } };

		if (!verb_go_on(io, e))
			return false;
		if (poll(p, ARRAY_LEN(p), TURN_MS) < 0 && errno != EINTR)
			return err_sys(e, "poll");
		if (p[1].revents)
			drain(&c->err, words);
		if (p[0].revents && !pass_on(io, &c->out, buf, e))
			return false;
	}
	return true;
}

static bool stream(
        const char *const *argv, const char *const *env, struct verb_io *io, struct err *e)
{
	AUTO_STR struct str words = STR_INIT;
	struct proc_child c;
	int status = -1, sig = 0;
	bool fine;

	if (!proc_start(&(struct proc_opts){ .argv = argv, .env_add = env }, &c, e))
		return false;
	verb_write_begin(io);
	fine = pump(io, &c, &words, e);
	if (fine && (!proc_reap(&c, clock_sooner(clock_in(END_MS), io->deadline), &status, &sig) ||
	                    status != 0)) {
		backup_last_words(&words);
		fine = err_set(e, ERR_REMOTE, status, "%s: %s", argv[0], words.p);
	}
	proc_child_done(&c);
	return fine;
}

/* The password goes by the environment, which only root and the same user can see; an option file of the person
 * whose account this is shall not name another one. */
static bool send_copy(const struct args *a, struct verb_io *io, struct err *e)
{
	char dir[] = "/tmp/mhad-backup.XXXXXX", version[48];
	const char *program = backup_program(io, version, e);
	AUTO(free) char *host = xasprintf("--host=%s", a->host ? a->host : "127.0.0.1");
	AUTO(free) char *port = xasprintf("--port=%d", (int)a->port);
	AUTO(free) char *user = xasprintf("--user=%s", a->user ? a->user : "root");
	AUTO(free) char *datadir = xasprintf("--datadir=%s", a->datadir);
	AUTO(free) char *target = NULL;
	char *password;
	bool fine;

	if (!program)
		return false;
	if (!mkdtemp(dir))
		return err_sys(e, "%s", dir);
	target = xasprintf("--target-dir=%s", dir);
	password = xasprintf("MYSQL_PWD=%s", a->password ? a->password : "");

	const char *const argv[] = { program, "--backup", "--stream=xbstream", "--slave-info",
		"--protocol=tcp", host, port, user, datadir, target,
		a->steady ? "--safe-slave-backup" : NULL, NULL };
	const char *const env[] = { password, "HOME=/", NULL };

	fine = stream(argv, env, io, e);
	mem_free_secret(password);

	const char *const rm[] = { "rm", "-rf", "--", dir, NULL };
	struct verb_io last = *io;

	last.deadline = clock_in(LOOK_MS);
	last.cancel_fd = -1;
	(void)!backup_run(rm, &last, NULL);
	return fine;
}

int backup_serve(const struct args *a, struct verb_io *io, struct err *e)
{
	struct mysqld_found found;

	if (!backup_find(a, io, true, &found, e))
		return 1;
	if (a->count)
		return look(a, io, e);
	return send_copy(a, io, e) ? 0 : 1;
}
