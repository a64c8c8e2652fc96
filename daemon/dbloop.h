/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dbloop - one session with one server on the event loop: never blocks, deadlines in milliseconds.
 * Runs on: loop.  Logs: never.
 *
 * A login is one TCP connection.  When it comes to TLS (or to the file of a public key), which the
 * client library does with blocking calls, a worker finishes the login and hands the session back;
 * until the server's greeting is there no worker is needed, so silent servers never hold one.
 *
 *	d = dbloop_new(loop, pool, on_lost, me);
 *	dbloop_open(d, server, clock_in(1000), opened);		// opened(me, NULL)
 *	dbloop_query(d, "SELECT 1", clock_in(1000), answered);	// answered(me, rows, NULL)
 *
 * One thing at a time: while dbloop_is_busy(), neither open nor query.  Each of them ends in exactly
 * one call of its function, never from within dbloop_open() or dbloop_query() itself, unless
 * dbloop_close() or dbloop_free() comes first: then in none.  All functions may be called from all
 * callbacks.
 *
 * An idle session is watched: when the server ends it, or the connection breaks, `lost` is called
 * at once and the session is closed.
 *
 * Errors are db.h's.  After ERR_SQL the session is as good as before; after all others it is closed.
 * ERR_SYSTEM: the fault is ours (no worker free in time: code EAGAIN, no descriptors...), nothing is
 * said about the server.
 */
#pragma once
#include "conf.h"
#include "db.h"
#include "db_steps.h"

struct loop;
struct job_pool;
struct dbloop;

/* `e` is NULL on success, as in all of these. */
typedef void (*dbloop_opened_fn)(void *arg, const struct err *e);
/* `r` is borrowed for the call and never NULL without an error. */
typedef void (*dbloop_answer_fn)(void *arg, const struct db_result *r, const struct err *e);
typedef void (*dbloop_lost_fn)(void *arg, const struct err *e);

/* `pool` is for logins with TLS.  `lost` may be NULL.  Returns owned. */
struct dbloop *dbloop_new(struct loop *l, struct job_pool *p, dbloop_lost_fn lost, void *arg);
void dbloop_free(struct dbloop *d); /* NULL is fine; closes */

/* Log in; a session that is open is closed first.  `s` is borrowed until `done`. */
void dbloop_open(
        struct dbloop *d, const struct conf_server *s, int64_t deadline, dbloop_opened_fn done);
/* Late: ERR_LOST, and the session is closed.  Without a session: ERR_UNREACHABLE. */
void dbloop_query(struct dbloop *d, const char *sql, int64_t deadline, dbloop_answer_fn answer);
/* What is under way has to end by then, if that is sooner than it was told. */
void dbloop_hurry(struct dbloop *d, int64_t deadline);
void dbloop_close(struct dbloop *d); /* at once, without a word to anybody; fine when closed */

bool dbloop_is_open(const struct dbloop *d); /* logged in */
bool dbloop_is_busy(const struct dbloop *d); /* `opened` or `answer` is still to come */

/* Of the session, or of the attempt that failed last. */
enum db_layer dbloop_layer(const struct dbloop *d);
/* errno of the connection; 0: none, it ended in good order or it is us who were late. */
int dbloop_errno(const struct dbloop *d);
/* Whether the last failure was our deadline, as opposed to an end made by the other side. */
bool dbloop_was_late(const struct dbloop *d);
/* Instant of the last bytes from the server; 0: it never sent any.  Survives the session. */
int64_t dbloop_heard(const struct dbloop *d);

/* Only while open: db.h's facts about it. */
uint64_t dbloop_connection_id(const struct dbloop *d);
const char *dbloop_server_version(const struct dbloop *d); /* borrowed until it is closed */
const struct dialect *dbloop_dialect(const struct dbloop *d);
const char *dbloop_cipher(const struct dbloop *d); /* NULL: not encrypted */

/* How to log in to a configured server; all borrowed from `s`. */
struct db_opts dbloop_options(const struct conf_server *s);
