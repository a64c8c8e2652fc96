/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * channel - one replication channel of a server, over a session of the caller's: its row of the
 * replica status, and its statements.  Runs on: any thread (blocks).  Logs: never.
 *
 * A MariaDB "named connection" is a channel, too; MySQL 5.6 has only the one without a name.  Nothing
 * here waits for what a statement began.  Errors are db.h's.
 */
#pragma once
#include <stdint.h>
#include "db.h"
#include "dialect.h"
#include "gtid.h"

struct channel { /* both borrowed */
	struct db *db;
	const char *name; /* "" = the one without a name */
};

enum channel_io { CHANNEL_IO_NO, CHANNEL_IO_CONNECTING, CHANNEL_IO_YES };
enum channel_gtid {
	CHANNEL_GTID_NO,
	CHANNEL_GTID_AUTO, /* MySQL: auto-position */
	CHANNEL_GTID_SLAVE_POS,
	CHANNEL_GTID_CURRENT_POS
};

struct channel_status {  /* plain memory */
	char name[200];  /* of the channel, "" = the one without; also if there is no such row */
	size_t channels; /* how many there are */
	bool is_replica;
	enum channel_io io;
	char sql_state[128]; /* what its (first) thread says that it does */
	bool sql_running;
	char source_host[256], source_user[128];
	unsigned source_port;
	char read_file[512];
	uint64_t read_pos;
	char exec_file[512];
	uint64_t exec_pos;
	char relay_file[512];
	uint64_t relay_pos;
	enum channel_gtid gtid;
	int64_t delay;           /* seconds */
	int64_t heartbeat_ms;    /* -1: not known */
	bool gtid_only;          /* MySQL 8.0.27 */
	bool auto_failover;      /* MySQL 8.0.22: the receiver may choose another source */
	int io_errno, sql_errno; /* 0: no error */
	char io_error[600], sql_error[600];
};

/*
 * Read the row of channel `wanted`; NULL: of the only one there is, or else of the one without a name.
 * A server that has no such row is no replica.  *ret_retrieved (may be NULL) gets the GTIDs that the
 * receiver claims to have, owned: MySQL's Retrieved_Gtid_Set, which names half-received transactions too,
 * MariaDB's Gtid_IO_Pos, which is only kept in GTID modes; NULL if it is no replica.
 */
bool channel_read(struct db *db, const char *wanted, struct channel_status *ret,
        struct gtid_set **ret_retrieved, struct err *e) MUST_USE;

/* A variable that holds GTIDs.  Returns owned; the empty set where there is no such variable. */
struct gtid_set *channel_gtids(struct db *db, enum dialect_var what, struct err *e) MUST_USE;

/* `verb` is START, STOP or RESET, `tail` what follows: "", "SQL_THREAD", "ALL"... */
bool channel_verb(
        const struct channel *c, const char *verb, const char *tail, struct err *e) MUST_USE;

/* CHANGE SOURCE with these options, in which %SOURCE% stands for MASTER or SOURCE. */
bool channel_change(const struct channel *c, const char *options, struct err *e) MUST_USE;
/* That statement.  Returns owned. */
char *channel_change_sql(const struct dialect *d, const char *name, const char *options);

/* Written to the binlog it would be a transaction of its own: it is not. */
bool channel_flush_relay_logs(const struct channel *c, struct err *e) MUST_USE;

/*
 * Kill the server's own replication threads, those of all channels: with the receivers stopped they are
 * the appliers'.
 */
bool channel_kill_appliers(struct db *db, struct err *e) MUST_USE;

/* MySQL: a parallel applier that was cut off fills its gaps, and stops; until `deadline`.  Nothing to do
 * elsewhere. */
bool channel_fill_gaps(const struct channel *c, int64_t deadline, struct err *e) MUST_USE;
