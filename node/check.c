/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check - the test commands of MHA's node tools.
 * Runs on: any thread.
 */
#include "check.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "dialect.h"
#include "dir.h"
#include "relay.h"
#include "str.h"

static const unsigned char magic_plain[4] = { 0xfe, 'b', 'i', 'n' },
                           magic_encrypted[4] = { 0xfd, 'b', 'i', 'n' };

/* Whether it can be read and begins as a binlog does. */
static bool check_log_file(const char *path, struct err *e)
{
	AUTO_FD int fd = dir_open_linked(path, e);
	unsigned char magic[4];
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, magic, sizeof(magic));
	if (n < 0)
		return err_sys(e, "read %s", path);
	if (n == 4 && memcmp(magic, magic_plain, 4) == 0)
		return true;
	if (n == 4 && memcmp(magic, magic_encrypted, 4) == 0) {
		err_set(e, ERR_PRECOND, 0, "%s is encrypted", path);
		return err_hint(
		        e, "set binlog_encryption=OFF there: only that server can read its logs");
	}
	return err_set(e, ERR_PARSE, 0, "%s is not a binlog", path);
}

static bool check_output_dir(const char *dir, FILE *out, struct err *e)
{
	fprintf(out, "  Creating %s if not exists.. ", dir);
	if (!dir_make(dir, e)) {
		fprintf(out, "failed.\n");
		return false;
	}
	fprintf(out, "   ok.\n  Checking output directory is accessible or not..\n");
	if (!dir_can_write(dir, e))
		return false;
	fprintf(out, "   ok.\n");
	return true;
}

/* The newest binlog of `prefix` in `dir`; the file named `must` (or NULL) has to be there too. */
static char *find_binlogs(const char *dir, const char *prefix, const char *must, struct err *e)
{
	AUTO(free) char *last = dir_last_log(dir, prefix, e);

	if (!last || !must)
		return TAKE(last);

	AUTO(free) char *path = xasprintf("%s/%s", dir, must);

	if (access(path, F_OK) < 0) {
		err_sys(e, "look for %s", path);
		return NULL;
	}
	return check_log_file(path, e) ? TAKE(last) : NULL;
}

/* The first folder of the comma list that holds them. */
static bool check_binlog_dirs(
        const char *list, const char *prefix, const char *must, FILE *out, struct err *e)
{
	for (const char *p = list; *p;) {
		size_t n = strcspn(p, ",");
		AUTO(free) char *part = xstrndup(p, n);
		const char *dir = str_trim(part);
		struct err why = { 0 };
		AUTO(free) char *last = find_binlogs(dir, prefix, must, &why);

		p += n + (p[n] == ',');
		if (last) {
			AUTO(free) char *path = xasprintf("%s/%s", dir, last);

			if (!check_log_file(path, e))
				return false;
			fprintf(out, "  Binlog found at %s, up to %s\n", dir, last);
			return true;
		}
		fprintf(out, "  Not in %s: %s\n", dir, why.text);
	}
	err_set(e, ERR_PRECOND, 0, "Binlog not found from %s!", list);
	return err_hint(e, "set master_binlog_dir to the folder of the master's binlogs in the "
	                   "configuration, and "
	                   "let the SSH user read it");
}

static bool check_binlogs_of(const struct args *a, FILE *out, struct err *e)
{
	AUTO(free) char *prefix = NULL, *relay = NULL, *to = NULL, *relay_dir = NULL;
	size_t n;
	uint64_t number;

	if (!a->output_file || (!a->start_file && !a->binlog_prefix))
		return err_set(e, ERR_CONFIG, 0, "%s must be set.",
		        a->output_file ? "--start_file=<...> or --binlog_prefix=<...>"
		                       : "--output_file=<...>");
	if (!args_check_manager(a, e))
		return false;
	if (a->start_file && !dir_log_split(a->start_file, &n, &number))
		return err_set(
		        e, ERR_CONFIG, 0, "--start_file=%s is not <name>.<number>", a->start_file);
	prefix = a->start_file ? xstrndup(a->start_file, n) : xstrdup(a->binlog_prefix);
	if (a->relay_log_info) {
		relay = relay_info_read(
		        a->relay_log_info, a->datadir ? a->datadir : a->binlog_dir, e);
		if (!relay)
			return false;
		relay_dir = dir_of(relay);
	}
	to = dir_of(a->output_file);
	return check_output_dir(to, out, e) &&
	       check_binlog_dirs(
	               relay_dir ? relay_dir : a->binlog_dir, prefix, a->start_file, out, e);
}

int check_binlogs(const struct args *a, struct verb_io *io, struct err *e)
{
	if (check_binlogs_of(a, io->out, e))
		return 0;
	err_ctx(e, "Failed to save binary log");
	return 1;
}

/* Path of the relay log in use, as told or as its info file says. */
static char *current_relay_log(const struct args *a, FILE *out, struct err *e)
{
	if (a->relay_dir && a->current_relay_log)
		return xasprintf("%s/%s", a->relay_dir, a->current_relay_log);
	if (!a->relay_log_info || !(a->datadir || a->relay_dir)) {
		err_set(e, ERR_CONFIG, 0,
		        "--relay_log_info=<...> with --relay_dir=<...>, or --relay_dir=<...> with "
		        "--current_relay_log=<...> must be set.");
		return NULL;
	}
	fprintf(out, "    Opening %s ...", a->relay_log_info);

	char *path = relay_info_read(a->relay_log_info, a->datadir ? a->datadir : a->relay_dir, e);

	fprintf(out, "%s\n", path ? " ok." : " failed.");
	return path;
}

/* Whether files can be made in the name of the server's user. */
static bool check_owner(const struct relay *r, FILE *out, struct err *e)
{
	uid_t me = geteuid();

	fprintf(out, "    Relay logs belong to uid %u, gid %u, mode %04o.\n", (unsigned)r->uid,
	        (unsigned)r->gid, (unsigned)r->mode);
	if (me == 0 || me == r->uid)
		return true;
	return err_set(e, ERR_PRECOND, EPERM,
	        "files made by uid %u would not belong to the server (uid %u)", (unsigned)me,
	        (unsigned)r->uid);
}

/* What it takes to give the server a relay log of ours. */
static bool check_hand_over(const struct relay *r, FILE *out, struct err *e)
{
	AUTO(free) char *index = relay_find_index(r, e);

	if (!index)
		return false;
	if (faccessat(AT_FDCWD, index, R_OK | W_OK, AT_EACCESS) < 0)
		return err_sys(e, "write to %s", index);
	return dir_can_write(r->dir, e) && check_owner(r, out, e);
}

static bool check_relay_of(const struct args *a, struct relay *r, FILE *out, struct err *e)
{
	AUTO(free) char *current = NULL;

	if (!a->target_version)
		return err_set(e, ERR_CONFIG, 0, "--target_version=<...> must be set.");
	if (!args_check_manager(a, e) || !dialect_of(a->target_version, e))
		return false;
	fprintf(out, "  Checking slave recovery environment settings..\n");
	current = current_relay_log(a, out, e);
	if (!current || !relay_open(current, r, e))
		return false;
	fprintf(out, "    Relay log found at %s, up to %s\n", r->dir, strrchr(r->last, '/') + 1);
	return check_log_file(r->last, e) && check_output_dir(a->workdir, out, e);
}

int check_relay_logs(const struct args *a, struct verb_io *io, struct err *e)
{
	struct relay r = { 0 };
	struct err why = { 0 };
	bool ok = check_relay_of(a, &r, io->out, e);

	if (ok) {
		fprintf(io->out, "    Checking that relay logs can be handed to the server..\n");
		if (check_hand_over(&r, io->out, &why))
			fprintf(io->out, "    ok.\n");
		else
			fprintf(io->out, "    WARNING: they cannot: %s.\n", why.text);
	}
	relay_done(&r);
	return ok ? 0 : 1;
}
