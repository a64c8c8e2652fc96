/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repl_impl - what the parts of repl share.  Runs on: worker.
 */
#pragma once
#include "channel.h"
#include "repl.h"
#include "str.h"

enum { REPL_AGAIN_MS = 10 }; /* between two looks at something that is about to happen */

struct repl {
	const struct conf_server *server; /* borrowed */
	char *wanted;                     /* channel; NULL: the one there is */
	struct db *db;                    /* NULL: not logged in */
	const struct dialect *dialect;    /* as of the last login */
	char channel[200];
	bool locked; /* by FLUSH TABLES WITH READ LOCK, in this session */
	bool placed; /* CHANGE named a relay log: the executed position may not be true yet */
};

/* A session with the server; statements may take until its deadline.  Returns owned. */
struct db *repl_login(const struct conf_server *s, int64_t deadline, struct err *e) MUST_USE;

/* The session of `r`, with a deadline. */
bool repl_ready(struct repl *r, int64_t deadline, struct err *e) MUST_USE;

/* A deed: never repeated.  A session that was lost over it is closed. */
bool repl_exec(struct repl *r, const char *sql, int64_t deadline, struct err *e) MUST_USE;
/* The same for the channel's verbs and its CHANGE. */
bool repl_verb(struct repl *r, const char *verb, const char *tail, int64_t deadline,
        struct err *e) MUST_USE;
bool repl_change(struct repl *r, const char *options, int64_t deadline, struct err *e) MUST_USE;

/* A question: asked again in a new session when the first one was lost.  Returns owned. */
struct db_result *repl_ask(
        struct repl *r, const char *sql, int64_t deadline, struct err *e) MUST_USE;

/* The row of the channel, likewise; `ret_retrieved` as channel_read()'s. */
bool repl_status(struct repl *r, int64_t deadline, struct channel_status *ret,
        struct gtid_set **ret_retrieved, struct err *e) MUST_USE;
struct gtid_set *repl_gtids(
        struct repl *r, enum dialect_var what, int64_t deadline, struct err *e) MUST_USE;
/* All it has: MySQL's executed set, MariaDB's two positions joined.  Returns owned. */
struct gtid_set *repl_executed(struct repl *r, int64_t deadline, struct err *e) MUST_USE;

/* After ERR_LOST and the like the session is of no use. */
void repl_note(struct repl *r, const struct err *why);

/* Copies `why` if somebody wants it; returns false. */
bool repl_fail(const struct err *why, struct err *e);

/* Sleep a little; false when there is no time left for another look. */
bool repl_nap(int ms, int64_t deadline);

/* An error that names the server as db's do.  Returns false. */
bool repl_error(const struct repl *r, struct err *e, enum err_kind kind, int code, const char *fmt,
        ...) PRINTF_LIKE(5, 6);

/* What stopped the applier, as an error of ours.  Returns false. */
bool repl_applier_error(struct repl *r, const struct channel_status *st, struct err *e);

/* The applier's threads, those of all channels. */
struct repl_threads {
	int readers; /* have read all relay logs, and wait for more */
	int waiting; /* workers without work, or with half a transaction */
	int busy;    /* all others */
};
/* `end_waiting`: the waiting ones are killed. */
bool repl_count_threads(struct repl *r, bool end_waiting, int64_t deadline,
        struct repl_threads *ret, struct err *e) MUST_USE;
/* Whether a thread in this state has read all relay logs. */
bool repl_has_read_all(const char *state);
