/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rejoin_flash - what the server changed by itself is taken back, in one transaction.  Runs on: worker.
 *
 * That transaction also leaves a mark, in a table that is gone when all is over: a run that was killed sees by it
 * whether the rows were taken back already.  Nothing of it goes into the binlog.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "db.h"
#include "log.h"
#include "rejoin_impl.h"

enum { PIECE = 64 << 10, SQL_MS = 60000 };

RJ_WHEN(rj_will_flash)
{
	const struct rejoin *r = ctx;

	return rj_has_work(ctx) && r->n_errant && !r->o.clone &&
	       r->o.errant == REJOIN_ERRANT_FLASHBACK;
}

/* Where the statements go. */
struct way {
	struct db *db; /* NULL: it is only looked whether there is a way back */
	char *mark;    /* statement */
	bool mariadb;
	uint64_t n; /* statements so far */
};

/* MySQL does not take the log's format inside of a transaction, and knows no GTID behind it. */
static bool begin(struct way *w, struct err *e)
{
	return (w->mariadb || db_exec(w->db, "SET SESSION gtid_next='AUTOMATIC'", e)) &&
	       db_exec(w->db, "BEGIN", e) && db_exec(w->db, w->mark, e);
}

static bool run_line(struct way *w, const char *line, struct err *e)
{
	bool first = !w->n++;

	if (!w->db)
		return true;
	return (db_exec(w->db, line, e) && (!first || begin(w, e))) ||
	       err_ctx(e, "take back change %llu from the end", (unsigned long long)w->n - 1);
}

static bool run_lines(struct way *w, struct str *s, struct err *e)
{
	char *line = s->p, *end;
	size_t rest;

	while ((end = memchr(line, '\n', s->len - (size_t)(line - s->p))) != NULL) {
		*end = '\0';
		if (!run_line(w, line, e))
			return false;
		line = end + 1;
	}
	rest = s->len - (size_t)(line - s->p);
	memmove(s->p, line, rest);
	str_cut(s, rest);
	return true;
}

static bool run_all(struct rejoin *r, struct way *w, int64_t deadline, struct err *e)
{
	AUTO(link_stream)
	struct link_stream *s = link_open(r->target->door, "flashback",
	        json_pack("{s:s, s:s, s:I}", "binlog_dir", r->o.target->master_binlog_dir,
	                "start_file", r->saved_from.file, "start_pos",
	                (json_int_t)r->saved_from.pos),
	        false, deadline, e);
	AUTO(free) char *buf = xmalloc(PIECE);
	AUTO_STR struct str text = STR_INIT;
	struct link_result res = { .status = -1 };
	ssize_t got = 0;
	bool fine = s;

	while (fine && (got = link_read(s, buf, PIECE, e)) > 0) {
		str_addn(&text, buf, (size_t)got);
		fine = run_lines(w, &text, e);
	}
	fine = fine && got == 0 && link_close(TAKE(s), &res, e);
	link_result_done(&res);
	return fine;
}

bool rj_can_flash(struct rejoin *r, int64_t deadline, struct err *e)
{
	struct way nowhere = { .n = 0 };
	bool begun = false;

	for (size_t i = 0; i < r->own.all.len; i++) {
		const struct rejoin_txn *t = &r->own.all.items[i];

		if (begun && !r->errant[i])
			return rj_refuse(e, "--clone makes it a copy",
			        "what is its own does not all stand behind what both have");
		begun = begun || r->errant[i];
		if (begun && t->kind == 's')
			return rj_refuse(e, "--clone makes it a copy",
			        "statements cannot be taken back, only rows: see the list");
	}
	if (!r->own_known)
		return rj_refuse(e, "--clone makes it a copy", "not all of it could be looked at");
	return run_all(r, &nowhere, deadline, e) || err_hint(e, "--clone makes it a copy");
}

static bool all_of(struct db *db, const char *const *sql, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (!db_exec(db, sql[i], e))
			return false;
	return true;
}

#define MARKS "mhad.rejoin_marks"

static bool prepare(struct db *db, struct err *e)
{
	static const char *const sql[] = { "SET SESSION sql_log_bin=0",
		"CREATE DATABASE IF NOT EXISTS mhad",
		"CREATE TABLE IF NOT EXISTS " MARKS
		" (run VARCHAR(64) PRIMARY KEY) ENGINE=InnoDB" };

	return all_of(db, sql, ARRAY_LEN(sql), e);
}

/* Where even we could not write as it stands closed. */
static bool set_super(struct rj_end *s, const char *value, struct db *db, struct err *e)
{
	AUTO(free) char *sql = xasprintf("SET GLOBAL super_read_only=%s", value);

	return !dialect_can(repl_dialect(s->repl), CAP_SUPER_READ_ONLY) || db_exec(db, sql, e);
}

static bool take_back(struct rejoin *r, struct db *db, int64_t deadline, struct err *e)
{
	AUTO(free)
	char *mark = xasprintf("INSERT INTO " MARKS " VALUES ('%s')", run_name(r->run));
	struct way w = { .db = db, .mark = mark, .mariadb = repl_is_mariadb(r->target->repl) };

	if (prepare(db, e) && run_all(r, &w, deadline, e) && db_exec(db, "COMMIT", e)) {
		log_info("%llu changes of rows were taken back on %s.", (unsigned long long)w.n - 1,
		        r->o.target->hostinfo);
		return true;
	}
	(void)!db_exec(db, "ROLLBACK", NULL);
	return false;
}

RJ_STEP(rj_flash)
{
	struct rejoin *r = ctx;
	struct repl *x = rj_repl(r->target, run_deadline(io), e);
	struct db *db = x ? repl_db(x, run_deadline(io), e) : NULL;
	bool fine;

	if (!db || !set_super(r->target, "0", db, e))
		return false;
	r->acted = true;
	fine = take_back(r, db, run_deadline(io), e);
	(void)!db_exec(db, "SET SESSION sql_log_bin=1", NULL);
	return set_super(r->target, "1", db, fine ? e : NULL) && fine;
}

RJ_STEP(rj_is_flashed)
{
	struct rejoin *r = ctx;
	struct repl *x = rj_repl(r->target, rj_until(io, SQL_MS), e);
	struct db *db = x ? repl_db(x, rj_until(io, SQL_MS), e) : NULL;
	AUTO(free)
	char *sql = xasprintf("SELECT COUNT(*) FROM " MARKS " WHERE run='%s'", run_name(r->run));
	AUTO(free) char *n = NULL;

	return db && db_value(db, sql, &n, e) &&
	       (str_is(n, "1") || err_set(e, ERR_PRECOND, 0, "nothing was taken back yet"));
}

/* When its log begins anew, so that nothing is left that would be gone with a rejoin killed now. */
bool rj_flash_forget(struct rejoin *r, int64_t deadline, struct err *e)
{
	static const char *const sql[] = { "SET SESSION sql_log_bin=0",
		("DROP TABLE IF EXISTS " MARKS), "SET SESSION sql_log_bin=1" };
	struct repl *x = rj_repl(r->target, deadline, e);
	struct db *db = x ? repl_db(x, deadline, e) : NULL;
	bool fine;

	if (!db || !set_super(r->target, "0", db, e))
		return false;
	fine = all_of(db, sql, ARRAY_LEN(sql), e);
	return set_super(r->target, "1", db, fine ? e : NULL) && fine;
}
