/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * db_steps - a session moved in steps by an event loop.  Runs on: one thread at a time, which may be
 * another one for each step.  Logs: never.
 *
 * The counterpart of db.h, with its settings, its errors and its promises, for callers that must not
 * block.  Deadlines are the caller's: it calls db_steps_late() when one has passed.
 *
 *	s = db_steps_new(&opts);
 *	state = db_steps_login(s, &e);
 *	... state == DB_STEPS_WAIT: when db_steps_fd() is as db_steps_events() wants it:
 *		state = db_steps_go(s, events, &e);
 *	... state == DB_STEPS_WORKER: on a worker:	state = db_steps_finish(s, deadline, &e);
 *	... DB_STEPS_READY:	state = db_steps_query(s, "SELECT 1", &e);	and so on
 *
 * One attempt is one TCP connection; servers count those that end before the login.  Addresses are
 * numeric.  An idle session costs about 4 KiB, one with TLS what OpenSSL keeps for it on top.
 */
#pragma once
#include "db.h"

/* How far an attempt came. */
enum db_layer {
	DB_LAYER_NOTHING,
	DB_LAYER_TCP,      /* connected */
	DB_LAYER_GREETING, /* it said something in MySQL's protocol */
	DB_LAYER_LOGIN,    /* it let us in */
};

enum db_steps_state {
	DB_STEPS_WAIT,    /* for the socket */
	DB_STEPS_WORKER,  /* db_steps_finish() has to come next, on a thread that may block */
	DB_STEPS_READY,   /* logged in, idle; after a query: db_steps_result() is there */
	DB_STEPS_REFUSED, /* the statement failed with ERR_SQL, and the session is ready for more */
	DB_STEPS_FAILED,  /* over; only db_steps_free() and questions are left */
};

enum { DB_STEPS_READ = 1, DB_STEPS_WRITE = 2 };

struct db_steps;

/* Copies what it needs of `o`; connect_ms and query_ms only appear in messages.  Returns owned. */
struct db_steps *db_steps_new(const struct db_opts *o);
void db_steps_free(struct db_steps *s); /* NULL is fine; never waits for the server */
CLEANUP_FN(db_steps, struct db_steps *, db_steps_free)

enum db_steps_state db_steps_login(struct db_steps *s, struct err *e) MUST_USE;
enum db_steps_state db_steps_query(struct db_steps *s, const char *sql, struct err *e) MUST_USE;
/* `events`: DB_STEPS_READ, DB_STEPS_WRITE; 0 is fine. */
enum db_steps_state db_steps_go(struct db_steps *s, int events, struct err *e) MUST_USE;
/* Blocks until the login is done, at most until `deadline`. */
enum db_steps_state db_steps_finish(struct db_steps *s, int64_t deadline, struct err *e) MUST_USE;

/* Our deadline has passed: says what was waited for, and ends the session (DB_STEPS_FAILED). */
void db_steps_late(struct db_steps *s, struct err *e);

/*
 * The socket of an idle session has become readable, which no server makes happen but to end it:
 * always DB_STEPS_FAILED, with ERR_LOST and, if the server said why, its code; or DB_STEPS_READY
 * when there is nothing to be read after all.
 */
enum db_steps_state db_steps_idle(struct db_steps *s, struct err *e) MUST_USE;

int db_steps_fd(const struct db_steps *s);     /* -1: none (any more) */
int db_steps_events(const struct db_steps *s); /* what it waits for */
enum db_layer db_steps_layer(const struct db_steps *s);
int64_t db_steps_heard(const struct db_steps *s); /* instant of the last bytes seen; 0 = none */
int db_steps_errno(const struct db_steps *s);     /* of the connection; 0 = none, or a plain end */

/* The rows of the last statement, empty for one that has none.  Returns owned, once. */
struct db_result *db_steps_result(struct db_steps *s);

/* The session itself, for db_dialect() and the like; borrowed.  Only when logged in; none of db.h's
 * statements may be used on it. */
const struct db *db_steps_db(const struct db_steps *s);
