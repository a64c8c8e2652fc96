/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * binlog_sql - binlog events as statements for a client session.  Runs on: any thread.  Logs:
 * never.
 *
 * Each statement of the source is given with what it found in its session then: database, time,
 * modes, character sets, counters, variables.  Changed rows become BINLOG statements, one for each
 * statement of the source.  GTIDs are kept.  The target should be of the family of the source.
 *
 * Fed with the events of whole transactions in their order.  What was set for one transaction is
 * known to be there for the next: a new session needs a new binlog_sql.
 */
#pragma once
#include "binlog_view.h"
#include "str.h"

struct binlog_sql;

enum binlog_sql_kind {
	BINLOG_SQL_STATEMENT,
	BINLOG_SQL_COMMIT,  /* ends the transaction; DDL too */
	BINLOG_SQL_PREPARE, /* so does this: XA PREPARE, after which the session is of no more use */
};

struct binlog_sql_out {
	enum binlog_sql_kind kind;
	const char *sql; /* borrowed; no NUL bytes in it, and none behind it */
	size_t len;
	unsigned error; /* what it met on the source and must meet again; 0: nothing */
};

/* False: stop, `e` is set. */
typedef bool binlog_sql_fn(void *ctx, const struct binlog_sql_out *o, struct err *e);

struct binlog_sql_target {
	bool mariadb;
	unsigned version; /* x*10000 + y*100 + z */
	bool gtids;       /* it has GTIDs (MySQL: gtid_mode is not OFF) */
	size_t longest;   /* statement that it takes */
	/*
	 * The name of a collation and of its character set by number, NULL if there is none: for
	 * user variables.
	 */
	const char *(*collation)(void *ctx, unsigned id, const char **ret_charset);
	void *collation_ctx;
};

struct binlog_sql *binlog_sql_new(
        const struct binlog_sql_target *t, binlog_sql_fn *fn, void *ctx); /* returns owned */
void binlog_sql_free(struct binlog_sql *s);
CLEANUP_FN(binlog_sql, struct binlog_sql *, binlog_sql_free)

/*
 * One more event, which `b` has just returned.  ERR_PRECOND says what cannot be said in statements,
 * ERR_PARSE what is malformed; else the errors of the function.
 */
bool binlog_sql_event(struct binlog_sql *s, const struct binlog *b, const struct binlog_event *ev,
        struct err *e) MUST_USE;

/* `n` bytes in base64, appended. */
void binlog_sql_base64(struct str *to, const uint8_t *p, size_t n);
