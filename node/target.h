/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * target - the server that shall get transactions: a session with it, and its replication (one
 * channel). Runs on: any thread (blocks).  Logs: never.
 *
 * One at a time: a session holds a lock of the server's.  Who was killed may have sent a statement
 * that the server still executes; the lock is free when that is over.
 *
 * Errors are db.h's.  After ERR_LOST or ERR_UNREACHABLE target_reopen() may find the server again;
 * everything that was read before is out of date then.
 */
#pragma once
#include <stdint.h>
#include "channel.h"
#include "db.h"
#include "dialect.h"
#include "gtid.h"
#include "vars.h"

struct target_login {        /* all borrowed */
	const char *address; /* numeric */
	unsigned port;
	const char *socket; /* or NULL */
	const char *user, *password;
	const char *channel; /* NULL: the only one, or the one without a name */
};

struct target {
	const struct target_login *login;
	struct db *db;
	struct vars *vars; /* as of the login */
	char name[300];
	char channel[200];
	bool others;      /* there are other channels */
	int64_t deadline; /* for everything */
	int64_t query_ms; /* the most for one statement of the next session; 0: two minutes */
};

enum target_gtid {
	TARGET_GTID_NO = CHANNEL_GTID_NO,
	TARGET_GTID_AUTO = CHANNEL_GTID_AUTO,
	TARGET_GTID_SLAVE_POS = CHANNEL_GTID_SLAVE_POS,
	TARGET_GTID_CURRENT_POS = CHANNEL_GTID_CURRENT_POS
};

struct target_status { /* plain memory */
	bool is_replica;
	bool io_running, sql_running;
	char read_file[512];
	uint64_t read_pos;
	char exec_file[512];
	uint64_t exec_pos;
	char relay_file[512];
	uint64_t relay_pos;
	char source[800]; /* user@host:port, and the server's own identity */
	enum target_gtid gtid;
	int64_t delay;
	bool gtid_only, auto_failover;
	int sql_errno;
	char sql_error[600];
};

/*
 * Log in, and wait for the lock; retries while nobody answers if `patient`.  Call target_close() in
 * any case.
 */
bool target_open(struct target *t, const struct target_login *l, int64_t deadline, bool patient,
        struct err *e) MUST_USE;
bool target_reopen(struct target *t, struct err *e) MUST_USE; /* patiently */
void target_close(struct target *t);

static inline bool target_is_mariadb(const struct target *t)
{
	return dialect_family(db_dialect(t->db)) == FAMILY_MARIADB;
}

bool target_status(struct target *t, struct target_status *ret, struct err *e) MUST_USE;

/*
 * The transactions it has: MySQL's executed set, MariaDB's position as a replica.  Returns owned.
 */
struct gtid_set *target_gtids(struct target *t, struct err *e) MUST_USE;
/* MariaDB: the newest of each domain in its own binlog.  Returns owned. */
struct gtid_set *target_logged(struct target *t, struct err *e) MUST_USE;

/*
 * "START"/"STOP" "IO_THREAD"/"SQL_THREAD", with what follows ("" or "UNTIL ..."), for the channel.
 */
bool target_verb(struct target *t, const char *verb, const char *thread, const char *tail,
        struct err *e) MUST_USE;

/* CHANGE SOURCE with these options, in which %SOURCE% stands for MASTER or SOURCE. */
bool target_change(struct target *t, const char *options, struct err *e) MUST_USE;
bool target_flush_relay_logs(struct target *t, struct err *e) MUST_USE;
bool target_set_global(
        struct target *t, const char *name, const char *value, struct err *e) MUST_USE;

/*
 * In its relay logs: where the transaction begins that was received by half, and up to where all
 * are whole.
 */
struct target_half {
	bool open;
	char file[512];
	uint64_t from;
};

/*
 * End the applier.  A parallel one waits a minute for the rest of a transaction that was received
 * by half.  `find` (may take long, is asked once and only then) tells where that begins; once all
 * before it is applied, the applier's threads are killed: nothing is lost that could be applied.
 * 5.6's do not mind it, and take the minute.
 */
typedef void target_half_fn(void *arg, const struct target_status *st, struct target_half *ret);
bool target_stop_applier(struct target *t, target_half_fn *find, void *arg, struct err *e) MUST_USE;

/*
 * MySQL: let parallel appliers that were cut off fill their gaps; afterwards the executed position
 * says all.  Nothing to do elsewhere.
 */
bool target_fill_gaps(struct target *t, struct err *e) MUST_USE;

/* Whether an error means that the server went away. */
bool target_is_gone(const struct err *e);
