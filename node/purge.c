/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * purge - the steps of a purge, in their order.
 * Runs on: any thread.
 */
#include "purge.h"
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include "clock.h"
#include "dialect.h"
#include "dir.h"
#include "json.h"
#include "login.h"
#include "purge_files.h"
#include "purge_guard.h"
#include "relay.h"
#include "str.h"
#include "vars.h"

#define LOCK       "MHA_Master_High_Availability_Failover"
#define LOCK_S     200
#define QUERY_MS   60000
#define PURGE_MS   3000 /* how long SQL threads get to move on */
#define LOOK_MS    20
#define PUT_BACK_S 30

struct purge {
	const struct args *a;
	struct verb_io *io;
	struct login login;
	struct db *db;
	struct db_result *status;
	char *dir; /* of the relay logs */
	struct purge_files files;
	size_t channels, stopped, removed;
	uint64_t bytes;
	bool purged;
};

static void say_time(struct verb_io *io, const char *what)
{
	char text[32];
	struct tm tm;
	time_t now = time(NULL);

	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", localtime_r(&now, &tm));
	fprintf(io->out, "%s: %s\n", text, what);
}

/* Wait, unless told to end. */
static bool pause_ms(struct verb_io *io, int64_t ms, struct err *e)
{
	struct pollfd pfd = { .fd = io->cancel_fd, .events = POLLIN };

	poll(&pfd, 1, clock_left_poll(clock_sooner(clock_in(ms), io->deadline)));
	return verb_go_on(io, e);
}

/* Many slaves' crons begin in the same second. */
static bool wait_for_turn(struct purge *p, struct err *e)
{
	uint32_t r = 0;
	int64_t ms;

	if (!p->a->splay || getrandom(&r, sizeof(r), 0) != sizeof(r))
		return true;
	ms = (int64_t)(r % (uint64_t)(p->a->splay * 1000 + 1));
	for (int64_t until = clock_in(ms); clock_left(until) > 0;)
		if (!pause_ms(p->io, clock_left(until), e))
			return false;
	return true;
}

static const char *column(const struct purge *p, size_t row, enum dialect_col col)
{
	const char *name = dialect_col(db_dialect(p->db), col);
	const char *value = name ? db_get(p->status, row, name) : NULL;

	return value ? value : "";
}

static bool is_running(const struct purge *p, size_t row)
{
	return str_is(column(p, row, COL_SQL_RUNNING), "Yes");
}

static bool read_status(struct purge *p, struct err *e)
{
	p->status = db_query(p->db, dialect_sql(db_dialect(p->db), SQL_REPLICA_STATUS), e);
	if (!p->status)
		return false;
	p->channels = db_rows(p->status);
	if (!p->channels)
		return err_set(e, ERR_PRECOND, 0,
		        "Target mysql server is not defined as replication slave.");
	for (size_t i = 0; i < p->channels; i++)
		p->stopped += !is_running(p, i);
	return true;
}

/* "disk" tells nothing: relay_log_basename is where they are, and MHA's option comes first. */
static bool find_dir(struct purge *p, const struct vars *v, struct err *e)
{
	const char *base = vars_get(v, VAR_RELAY_LOG_BASENAME), *datadir = vars_get(v, VAR_DATADIR);
	AUTO(free) char *path = NULL;

	if (!datadir)
		datadir = "/var/lib/mysql";
	if (p->a->relay_log_info) {
		path = relay_info_read(p->a->relay_log_info, datadir, e);
		if (!path)
			return false;
		fprintf(p->io->out, " Found relay_log.info: %s\n", p->a->relay_log_info);
	} else if (base && *base == '/') {
		path = xstrdup(base);
	} else {
		path = xasprintf("%s/%s", datadir, base ? base : "");
	}
	p->dir = dir_of(path);
	return true;
}

/* Without them it works too, but then the server frees their space itself, holding its locks. */
static void hold_files(struct purge *p)
{
	struct err why = { 0 };

	for (size_t i = 0; i < p->channels; i++) {
		const char *file = column(p, i, COL_RELAY_FILE);
		uint64_t number;
		size_t n;

		if (!is_running(p, i) || !dir_log_split(file, &n, &number))
			continue;

		AUTO(free) char *prefix = xstrndup(file, n);

		if (!purge_files_hold(&p->files, p->dir, prefix, p->io->out, &why))
			fprintf(p->io->out, " WARNING: %s.\n", why.text);
	}
}

static bool lock(struct purge *p, struct err *e)
{
	for (int i = 0; i < LOCK_S; i++) {
		AUTO(free) char *got = NULL;

		if (!verb_go_on(p->io, e) ||
		        !db_value(p->db, "SELECT GET_LOCK('" LOCK "', 1)", &got, e))
			return false;
		if (str_is(got, "1"))
			return true;
	}
	return err_set(e, ERR_REFUSED, 0,
	        "Getting advisory lock failed. Maybe failover script is running?");
}

char *purge_flush_sql(const struct dialect *d, const char *channel)
{
	AUTO(free) char *name = channel ? db_quote(channel) : NULL;

	return xasprintf("FLUSH NO_WRITE_TO_BINLOG RELAY LOGS%s%s",
	        !name                                 ? ""
	        : dialect_family(d) == FAMILY_MARIADB ? " "
	                                              : " FOR CHANNEL ",
	        name ? name : "");
}

static bool flush(struct purge *p, struct err *e)
{
	const struct dialect *d = db_dialect(p->db);
	bool named = dialect_can(d, CAP_CHANNELS) && dialect_col(d, COL_CHANNEL);

	for (size_t i = 0; i < p->channels; i++) {
		AUTO(free) char *sql = purge_flush_sql(d, named ? column(p, i, COL_CHANNEL) : NULL);

		if (is_running(p, i) && !db_exec(p->db, sql, e))
			return false;
	}
	return true;
}

static bool set_purge(struct purge *p, bool on, struct err *e)
{
	return db_exec(
	        p->db, on ? "SET GLOBAL relay_log_purge=1" : "SET GLOBAL relay_log_purge=0", e);
}

static void wait_until_gone(struct purge *p)
{
	int64_t until = clock_in(PURGE_MS);

	while (clock_left(until) > 0 && pause_ms(p->io, LOOK_MS, NULL))
		if (p->files.items.len && purge_files_are_gone(&p->files))
			return;
}

/* Whatever happened between: off again, if it takes a new login. */
static bool put_back(struct purge *p, struct err *e)
{
	for (int i = 0; i < PUT_BACK_S; i++) {
		if (p->db && set_purge(p, false, e))
			return true;
		db_close(TAKE(p->db));
		p->db = login_open(&p->login, QUERY_MS, e);
		if (!p->db)
			poll(NULL, 0, 1000);
	}
	return err_ctx(e, "relay_log_purge was left on");
}

static bool purge_guarded(struct purge *p, struct err *e)
{
	struct err why = { 0 };
	struct purge_guard guard;
	bool ok, back;

	if (!purge_guard_start(&guard, &p->login, e))
		return false;
	verb_hold(p->io);
	ok = set_purge(p, true, e) && flush(p, e);
	if (ok)
		wait_until_gone(p);
	back = put_back(p, &why);
	if (back)
		purge_guard_dismiss(&guard);
	else
		purge_guard_leave(&guard);
	verb_unhold(p->io);
	p->purged = ok && back;
	if (!back && e)
		*e = why;
	return ok && back;
}

/* Turned on since we looked, by someone who means it. */
static bool still_off(struct purge *p, bool *ret, struct err *e)
{
	AUTO(free) char *now = NULL;

	if (!db_value(p->db, "SELECT @@GLOBAL.relay_log_purge", &now, e))
		return false;
	*ret = str_is(now, "0");
	return true;
}

static bool purge_locked(struct purge *p, struct err *e)
{
	bool off, ok;

	if (!still_off(p, &off, e))
		return false;
	if (!off)
		return err_set(e, ERR_PRECOND, 0, "relay_log_purge was turned on meanwhile");
	fprintf(p->io->out,
	        " Executing SET GLOBAL relay_log_purge=1; FLUSH LOGS; sleeping a few seconds so "
	        "that SQL thread can delete older relay log files (if it keeps up); SET GLOBAL "
	        "relay_log_purge=0; ..");
	ok = purge_guarded(p, e);
	fprintf(p->io->out, ok ? " ok.\n" : " failed.\n");
	return ok;
}

static bool purge_files(struct purge *p, struct err *e)
{
	bool ok;

	if (p->stopped)
		fprintf(p->io->out,
		        " SQL thread is not running in %zu of %zu channels: nothing is removed "
		        "there.\n",
		        p->stopped, p->channels);
	if (p->stopped == p->channels)
		return true;
	hold_files(p);
	if (!lock(p, e))
		return false;
	ok = purge_locked(p, e);
	if (p->db && !db_exec(p->db, "DO RELEASE_LOCK('" LOCK "')", NULL))
		db_close(TAKE(p->db)); /* that releases it, too */
	return ok;
}

static bool is_kept(struct purge *p, const struct vars *v, bool *ret, struct err *e)
{
	*ret = !str_is(vars_get(v, VAR_RELAY_LOG_PURGE), "ON");
	if (*ret)
		return true;
	if (!p->a->disable_purge) {
		fprintf(p->io->out, " relay_log_purge is enabled. Exit.\n");
		return true;
	}
	fprintf(p->io->out, " relay_log_purge is enabled. Disabling..\n");
	*ret = true;
	return set_purge(p, false, e);
}

static bool run(struct purge *p, struct err *e)
{
	AUTO(vars) struct vars *v = NULL;
	bool kept;

	if (!login_read(p->a, p->io, &p->login, e) || !wait_for_turn(p, e))
		return false;
	say_time(p->io, "purge_relay_logs script started.");
	p->db = login_open(&p->login, QUERY_MS, e);
	if (!p->db)
		return false;
	db_deadline(p->db, p->io->deadline);
	if (!read_status(p, e) || !(v = vars_read(p->db, e)) || !is_kept(p, v, &kept, e))
		return false;
	if (!kept)
		return true;
	if (!find_dir(p, v, e) || !purge_files(p, e))
		return false;
	p->removed = purge_files_count_gone(&p->files, &p->bytes);
	say_time(p->io, "All relay log purging operations succeeded.");
	return true;
}

static void answer(const struct purge *p)
{
	AUTO_JSON struct json j = JSON_INIT;

	json_open(&j, NULL, '{');
	json_bool(&j, "purged", p->purged);
	json_int(&j, "channels", (int64_t)p->channels);
	json_int(&j, "stopped", (int64_t)p->stopped);
	json_int(&j, "files", (int64_t)p->removed);
	json_int(&j, "bytes", (int64_t)p->bytes);
	json_close(&j, '}');
	verb_result(p->io, j.text.p);
}

int purge_verb(const struct args *a, struct verb_io *io, struct err *e)
{
	struct purge p = { .a = a, .io = io, .files = { VEC_INIT } };
	bool ok = run(&p, e);

	answer(&p);
	fflush(io->out);
	purge_files_release(&p.files, io);
	db_result_free(p.status);
	db_close(p.db);
	login_done(&p.login);
	free(p.dir);
	return ok ? 0 : 1;
}
