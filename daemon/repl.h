/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repl - what a run does with one server: its replication threads, its source, its role.  Runs on:
 * worker (blocks), one thread at a time for each `struct repl`.  Logs: never.
 *
 * Each function does its deed, asks the server whether it is done, ends by its deadline, and is
 * harmless when done twice.  When the session is lost the next function logs in anew; so does a
 * function that only asks.  What was sent when a deadline passed may still happen: the next call
 * finds out.
 *
 * CHANGE and START may discard relay logs, applied or not: callers of repl_follow(), repl_forget() and
 * repl_set_delay() have seen to it that all is applied, or kept aside (repl.h never needs them again).
 *
 * Errors are db.h's, and also:
 *   ERR_LOST     the deadline passed while the server is still at it
 *   ERR_PRECOND  the server is not as it has to be; text says how it is.  When a replication thread
 *                stopped with an error, code is that error's number and text has its words
 */
#pragma once
#include <stdint.h>
#include "conf.h"
#include "dialect.h"
#include "gtid.h"
#include "snapshot.h"

struct db;
struct repl;

/*
 * Log in.  `channel`: the name of the replication channel that all of this is about; "" is the one
 * without a name; NULL: the only one there is, or else the one without a name.  The server need not be a
 * slave.  `s` is borrowed for the whole life.  Returns owned.
 */
struct repl *repl_open(
        const struct conf_server *s, const char *channel, int64_t deadline, struct err *e) MUST_USE;
void repl_close(struct repl *r); /* NULL is fine; never waits for the server */
CLEANUP_FN(repl, struct repl *, repl_close)

const struct conf_server *repl_server(const struct repl *r);
const char *repl_name(const struct repl *r);    /* "db1(10.0.0.1:3306)" */
const char *repl_channel(const struct repl *r); /* never NULL */
const struct dialect *repl_dialect(const struct repl *r);
bool repl_is_mariadb(const struct repl *r);

/* The session, for statements of the caller's, with this deadline set; logs in anew if it has to.
 * Borrowed until the next call with `r`.  NULL: no login. */
struct db *repl_db(struct repl *r, int64_t deadline, struct err *e) MUST_USE;

/* ---- looking ---- */

/* The channel as it is now: plain memory. */
struct repl_now {
	bool is_replica; /* it has a source; all else is empty if not */
	enum snapshot_io io;
	bool sql_running;
	int io_errno, sql_errno;
	char io_error[600], sql_error[600];
	char source_host[256], source_user[128];
	unsigned source_port;
	char read_file[512], exec_file[512], relay_file[512];
	uint64_t read_pos, exec_pos,
	        relay_pos;                   /* exec and relay lag while a parallel applier runs */
	bool auto_position;                  /* MySQL */
	enum snapshot_using_gtid using_gtid; /* MariaDB */
	int64_t delay;                       /* seconds; 0 none */
	int64_t heartbeat_ms;                /* -1: not known (5.6) */
	bool gtid_only, auto_failover;       /* MySQL 8: GTID_ONLY, connection auto-failover */
	int channels;                        /* how many the server has in all */
};
bool repl_look(struct repl *r, int64_t deadline, struct repl_now *ret, struct err *e) MUST_USE;

/* Where the server's own binlog ends, and what it has executed. */
struct repl_position {
	char file[256]; /* "" = it writes none */
	uint64_t pos;
	struct gtid_set *executed; /* owned; NULL: no GTIDs.  MariaDB: gtid_binlog_pos joined with
	                              gtid_slave_pos */
};
/* *ret is to be given to repl_position_done() in any case. */
bool repl_position(
        struct repl *r, int64_t deadline, struct repl_position *ret, struct err *e) MUST_USE;
void repl_position_done(struct repl_position *p);

/* ---- threads ---- */

/*
 * A receiver that waits for a silent source to greet it takes 2 s on MySQL 9.7, and on MariaDB 11.8 until its
 * network timeout (a minute) or until the source's process is gone; killing it does not help.  One that is
 * connected stops at once.
 */
bool repl_stop_io(struct repl *r, int64_t deadline, struct err *e) MUST_USE;
bool repl_start_io(
        struct repl *r, int64_t deadline, struct err *e) MUST_USE; /* started, not: connected */

/*
 * MariaDB in a GTID mode with both threads stopped: START would delete all relay logs, applied or not.
 * So it leaves that mode first (MASTER_USE_GTID=no), naming the place; the next repl_follow() says anyhow.
 */
bool repl_start_sql(struct repl *r, int64_t deadline, struct err *e) MUST_USE;

/*
 * A parallel applier that waits for the rest of a transaction that was received by half takes a minute:
 * workers that wait for such a thing are killed, which rolls that half back.  (Not if the server has several
 * channels, whose workers look alike, and 5.6's do not mind: there it is a minute, in which 5.6 does not even
 * answer questions about its replication.)
 */
bool repl_stop_sql(struct repl *r, int64_t deadline, struct err *e) MUST_USE;

/*
 * Until the applier has done all whole transactions that were received; the receiver must be stopped,
 * and stay so.  ERR_PRECOND: it receives; or the applier does not run, with its error if it has one
 * (only `whole->gtids` can be seen to be done then); or a delay keeps it from applying.
 *
 * `whole` (may be NULL) is what is known from elsewhere, say from the relay logs: where the last whole
 * transaction ends.  Without it the server's own words count: all that was received is executed, or the
 * applier has read all there is and its threads have been idle for a while.
 */
struct repl_whole {       /* borrowed */
	const char *file; /* in the source's coordinates; NULL: not known */
	uint64_t pos;
	const struct gtid_set *gtids; /* NULL: not known */
};
bool repl_wait_applied(
        struct repl *r, const struct repl_whole *whole, int64_t deadline, struct err *e) MUST_USE;

/*
 * Whether half a transaction was received behind the executed position.  Only true of an applier that was
 * stopped: the position of one that runs may lag (MySQL 9.7 showed the beginning with all applied).
 */
bool repl_has_half(const struct repl_now *stopped);

/* MySQL: let the parallel applier, stopped, fill its gaps (error 1802): afterwards the executed
 * position says all.  Nothing to do elsewhere. */
bool repl_fill_gaps(struct repl *r, int64_t deadline, struct err *e) MUST_USE;

/*
 * The applier's delay, in seconds; the receiver must be stopped (ERR_PRECOND), the applier runs afterwards
 * if it did.  Relay logs stay.  Servers keep them only when they are told the place, and GTID modes forbid
 * that: so it costs the automatic position (MASTER_USE_GTID), which the next repl_follow() gives back.
 * Refused by servers with GTID_ONLY (4067) or connection auto-failover (3993).
 */
bool repl_set_delay(struct repl *r, int64_t seconds, int64_t deadline, struct err *e) MUST_USE;

/* Without a GTID of its own. */
bool repl_flush_relay_logs(struct repl *r, int64_t deadline, struct err *e) MUST_USE;
bool repl_set_relay_purge(struct repl *r, bool on, int64_t deadline, struct err *e) MUST_USE;
bool repl_relay_purge(struct repl *r, int64_t deadline, bool *ret_on, struct err *e) MUST_USE;

/* ---- source ---- */

/* How a slave knows where to go on. */
enum repl_by { REPL_BY_POSITION, REPL_BY_AUTO, REPL_BY_SLAVE_POS, REPL_BY_CURRENT_POS };
/* What the channel has now. */
enum repl_by repl_by_of(const struct repl_now *now);

struct repl_source { /* all borrowed */
	const char *host;
	unsigned port;
	const char *user, *password; /* NULL: the slave keeps what it has */
	enum repl_by by;
	const char *file; /* BY_POSITION */
	uint64_t pos;

	/*
	 * A channel keeps its own options: TLS, keys, delay, heartbeat, retries, compression, ignored
	 * servers, the privileges' user, GTID_ONLY, filters... What CHANGE would reset is carried over.
	 * A server that has no such channel takes TLS, public key, delay, heartbeat and retries of this
	 * one.  NULL: the server's defaults.
	 */
	const struct snapshot_channel *like;

	/* Also ask the source for its public key (caching_sha2 without TLS), where servers know how. */
	bool get_public_key;

	/*
	 * MariaDB, BY_SLAVE_POS: it was the source until now, so what it wrote itself is part of the history.
	 * (What came from others is always made part of gtid_slave_pos.)
	 */
	bool was_source;

	bool leave_stopped; /* only CHANGE */
};

/*
 * Stop both threads, CHANGE, start both, and see them run: the receiver connected, the applier without an
 * error.  A slave that already follows that source (BY_POSITION: and has gone on from there or beyond) is
 * left as it is.
 *
 * ERR_REFUSED, code 1045 and the like: the source turned the slave's login away.
 * ERR_PRECOND, code 2061: the account needs TLS or the public key; 1236: the source lacks what the slave
 *   needs, or the slave has more; all other errors of the threads.
 * ERR_UNREACHABLE: at the deadline the slave still could not connect; code and text are its last error.
 * ERR_LOST: at the deadline it was still connecting, without an error.
 */
bool repl_follow(
        struct repl *r, const struct repl_source *s, int64_t deadline, struct err *e) MUST_USE;

/* The threads as repl_follow() wants them, looked at until the deadline.  For verifying. */
bool repl_is_following(
        struct repl *r, const struct repl_source *s, int64_t deadline, struct err *e) MUST_USE;

/*
 * The CHANGE statement, ending in ";", with the password as 'xxx': for logs and plans.  What a server
 * would carry over is not in it.  `d`: the slaves' dialect; `channel` "" or NULL: none.  Returns owned.
 */
char *repl_change_text(const struct dialect *d, const char *channel, const struct repl_source *s);

/* The channel's source is gone: STOP, RESET ALL.  A server that has none is fine. */
bool repl_forget(struct repl *r, int64_t deadline, struct err *e) MUST_USE;

/* ---- writes ---- */

/*
 * On: super_read_only where there is such a thing; off: both off.  Waits for running commits, which may
 * themselves wait for an acknowledgement that never comes: ERR_LOST at the deadline, and the server may
 * still be at it.
 */
bool repl_set_read_only(struct repl *r, bool on, int64_t deadline, struct err *e) MUST_USE;
/* *ret_super: nobody at all can write; false where there is no such thing.  May be NULL. */
bool repl_read_only(
        struct repl *r, int64_t deadline, bool *ret_on, bool *ret_super, struct err *e) MUST_USE;

/*
 * Ordinary clients' sessions: all but ours, those of `spare` (a user, NULL: nobody), replication's and the
 * server's own.  Waits until they are gone.  *ret_killed: how many there were.  *ret_left: those that would
 * not go (not allowed to kill them, or they wait in a commit), which is no error.  Both may be NULL.
 */
bool repl_kill_clients(struct repl *r, const char *spare, int64_t deadline, int *ret_killed,
        int *ret_left, struct err *e) MUST_USE;

/*
 * FLUSH TABLES WITH READ LOCK, held by this session: nobody writes, whatever his rights.  It goes with
 * repl_unlock_tables(), repl_close(), or the loss of the session (repl_tables_are_locked() tells).
 */
bool repl_lock_tables(struct repl *r, int64_t deadline, struct err *e) MUST_USE;
bool repl_tables_are_locked(const struct repl *r);
bool repl_unlock_tables(struct repl *r, int64_t deadline, struct err *e) MUST_USE;

/* ---- semi-sync ---- */

/* Each side.  TRI_UNKNOWN leaves it; a side whose plug-in is not there is left, too. */
bool repl_set_semisync(struct repl *r, enum snapshot_tri source, enum snapshot_tri replica,
        int64_t deadline, struct err *e) MUST_USE;
/* TRI_UNKNOWN: no plug-in.  Each may be NULL. */
bool repl_semisync(struct repl *r, int64_t deadline, enum snapshot_tri *ret_source,
        enum snapshot_tri *ret_replica, struct err *e) MUST_USE;
/* How many acknowledgements a commit waits for; nothing to do where there is no such setting. */
bool repl_set_semisync_wait(
        struct repl *r, int64_t count, int64_t deadline, struct err *e) MUST_USE;

/* ---- the rest of a role ---- */

/*
 * Events of the scheduler.  On a slave each one that came from its master is switched off (SLAVESIDE_DISABLED,
 * REPLICA_SIDE_DISABLED), on all flavours also those that are switched off on the master: which of them ran
 * can only be said by the master.
 *
 * repl_events(): those that are switched on here; each name is quoted and has its schema.
 * repl_enable_events(): on the new master, when it may be written to: those of `only` that are off for being a
 * slave's, or all of these (NULL).  That is written to the binlog, as it must be; the definers stay.
 * *ret_n: how many were switched on; *ret_left: how many are left off.  Both may be NULL.
 */
struct repl_events {
	char **names; /* owned, as are they */
	size_t n;
};
bool repl_events(struct repl *r, int64_t deadline, struct repl_events *ret, struct err *e) MUST_USE;
void repl_events_done(struct repl_events *v);
bool repl_enable_events(struct repl *r, const struct repl_events *only, int64_t deadline,
        int *ret_n, int *ret_left, struct err *e) MUST_USE;

/*
 * The cluster's fencing token, which grows with every promotion, in table mhad.fencing of the master.
 * Reading: 0 when there is none.  Storing: ERR_PRECOND on a server that is read-only, or that has a greater
 * one (code 1; *a later promotion happened*); it makes schema and table where they are missing.
 */
bool repl_token(struct repl *r, const char *cluster, int64_t deadline, uint64_t *ret,
        struct err *e) MUST_USE;
bool repl_set_token(struct repl *r, const char *cluster, uint64_t token, int64_t deadline,
        struct err *e) MUST_USE;

/* ---- advisory locks ---- */

#define REPL_FAILOVER_LOCK "MHA_Master_High_Availability_Failover"
#define REPL_MONITOR_LOCK  "MHA_Master_High_Availability_Monitor"

/*
 * A lock of the server's, in a session of its own, since 5.6's have one at most: held until it is released
 * or the session breaks.  Waits for `wait_ms` at most (and the deadline).  ERR_PRECOND: somebody else has
 * it; code is the number of his session, text says who.  Returns owned.
 */
struct repl_lock;
struct repl_lock *repl_lock(const struct conf_server *s, const char *name, int64_t wait_ms,
        int64_t deadline, struct err *e) MUST_USE;
bool repl_lock_is_held(struct repl_lock *l, int64_t deadline, struct err *e) MUST_USE; /* asks */
void repl_unlock(struct repl_lock *l); /* NULL is fine; ends the session, never waits */
CLEANUP_FN(repl_lock, struct repl_lock *, repl_unlock)
