/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snapshot - one immutable picture of all servers of a cluster.  Runs on: loop (snapshot_start and
 * what it calls back) or any one thread (snapshot_take); the reading itself on workers.  Logs:
 * never.
 *
 * One job per configured server logs in and reads in a few round trips; every wait has a deadline
 * and the whole has one. A server that fails is part of the picture: its `state`, its `err`, and
 * whatever was read before.  When all have ended, at most one more round follows: names of masters
 * that match no configured server are resolved, and masters whose replicas seem to have more than
 * they have their position and GTID set read once more, *after* all others.
 *
 * Published snapshots never change.  All strings, sets and servers in it belong to the snapshot and
 * live until snapshot_free(); `conf` is borrowed and must live as long.
 *
 * Text that a server did not give is NULL (never ""), except where a comment says otherwise;
 * numbers are then -1 or 0 as noted, and switches TRI_UNKNOWN.
 */
#pragma once
#include <stdint.h>
#include "arena.h"
#include "conf.h"
#include "dialect.h"
#include "gtid.h"

struct loop;
struct job_pool;

enum snapshot_state {
	SNAPSHOT_ALIVE,   /* logged in and all that matters was read */
	SNAPSHOT_REFUSED, /* it turned us away (ERR_REFUSED): alive for MHA, fatal for its checks */
	SNAPSHOT_DEAD,    /* no connection, or no login in time (ERR_UNREACHABLE) */
	SNAPSHOT_LOST,    /* cut or silent after the login (ERR_LOST): hung, or just too slow */
	SNAPSHOT_UNUSABLE, /* it lives: version not supported, status refused (ERR_SQL), no TLS */
	SNAPSHOT_SKIPPED,  /* taken for dead without asking, see snapshot_opts.assume_dead */
};

enum snapshot_tri { TRI_UNKNOWN, TRI_NO, TRI_YES };
enum snapshot_io { IO_NO, IO_CONNECTING, IO_YES };
/* MariaDB */
enum snapshot_using_gtid { USING_GTID_NO, USING_GTID_SLAVE_POS, USING_GTID_CURRENT_POS };

/* Lists as the server prints them; "" = none.  Replicate_* are those of one channel. */
enum snapshot_filter {
	FILTER_DO_DB,
	FILTER_IGNORE_DB,
	FILTER_DO_TABLE,
	FILTER_IGNORE_TABLE,
	FILTER_WILD_DO_TABLE,
	FILTER_WILD_IGNORE_TABLE,
	FILTER_REWRITE_DB,
	FILTER_COUNT
};
/* "Replicate_Do_DB", ... as in the status row. */
const char *snapshot_filter_name(enum snapshot_filter f);

/* One row of the replica status. */
struct snapshot_channel {
	const char *name;        /* "" = the default channel */
	const char *source_host; /* never NULL; "" = not set */
	unsigned source_port;
	const char *source_user;
	const char *source_uuid;             /* MySQL, once connected */
	uint32_t source_server_id;           /* 0 = not known */
	const char *const *source_addresses; /* NULL-ended; NULL = not needed, or not known */

	enum snapshot_io io_running;
	bool sql_running;
	const char *io_state;
	int io_errno, sql_errno; /* 0 = no error */
	const char *io_error, *sql_error;
	int64_t seconds_behind; /* -1 = NULL */

	const char *read_file; /* position in the source's binlogs up to which was received */
	uint64_t read_pos;
	const char *exec_file; /* ... up to which was executed */
	uint64_t exec_pos;
	const char *relay_file; /* where the applier stands in its own relay logs */
	uint64_t relay_pos;

	bool auto_position;                  /* MySQL */
	enum snapshot_using_gtid using_gtid; /* MariaDB */
	struct gtid_set *retrieved;          /* MySQL; names half-received transactions too */
	struct gtid_set *gtid_io_pos;        /* MariaDB */
	const char *retrieved_text, *gtid_io_pos_text;

	const char *filter[FILTER_COUNT]; /* as printed; never NULL */

	int64_t sql_delay;     /* seconds, 0 = none, -1 = not known */
	int64_t connect_retry; /* seconds, -1 = not known */
	int64_t retry_count;   /* -1 = not known */
	int64_t heartbeat_ms;  /* -1 = not known */
	bool ssl_allowed, ssl_verify;
	const char *ssl_ca, *ssl_cert, *ssl_key;
	const char *public_key_path;
	bool get_public_key;
};

/* Somebody who reads this server's binlog. */
struct snapshot_client {
	uint32_t server_id;  /* 0 = not known */
	const char *uuid;    /* MySQL */
	const char *host;    /* report_host; NULL = none set (then `address` may help) */
	unsigned port;       /* report_port; 0 = not known */
	const char *address; /* of the dump thread, where the list of replicas may not be read */
};

/* The account that the others would replicate with, as stored on this server. */
struct snapshot_repl_user {
	const char *user; /* repl_user, or the user in the server's own status; NULL: not known */
	enum snapshot_tri exists;  /* TRI_UNKNOWN: mysql.user cannot be read */
	enum snapshot_tri granted; /* REPLICATION SLAVE on any row of that name, or by a role */
	const char *via_role;      /* the role that grants it */
};

struct snapshot_log {
	const char *file;
	uint64_t size;
};

struct snapshot_server {
	const struct conf_server *conf; /* borrowed */
	struct arena *arena;            /* owns its texts; NULL = the snapshot's arena does */
	enum snapshot_state state;
	struct err err;  /* kind ERR_NONE when alive */
	int64_t read_at; /* instant at which its positions were read; 0 = never */
	int64_t took_ms; /* login to last answer */
	bool was_read;   /* identity and variables below are filled (also if state is LOST) */

	/* identity */
	const char *version;           /* VERSION(), as the greeting gave it */
	unsigned version_number;       /* dialect_version_number() */
	const struct dialect *dialect; /* NULL = not known; static */
	uint32_t server_id;            /* 0 = not known, or really 0 */
	const char *uuid;              /* MySQL */

	/* switches and settings */
	enum snapshot_tri read_only, super_read_only, log_bin, log_replica_updates, relay_log_purge,
	        gtid_strict;
	const char *binlog_format;
	const char *gtid_mode; /* MySQL: OFF, OFF_PERMISSIVE, ON_PERMISSIVE, ON; NULL on MariaDB */
	uint32_t gtid_domain;  /* MariaDB */
	int64_t parallel_workers;   /* -1 = not known */
	int64_t max_allowed_packet; /* -1 = not known */
	int64_t auto_increment, auto_offset; /* step and first value of new ids; -1 = not known */
	const char *datadir;
	const char *binlog_basename;       /* "/var/lib/mysql/mysql-bin": always a whole path */
	const char *relay_basename;        /* likewise */
	const char *relay_dir;             /* folder of the relay logs */
	const char *relay_info_repository; /* "FILE" or "TABLE"; "TABLE" where only that exists */
	const char *relay_info_file;       /* full path; NULL for TABLE */

	/* semi-sync, each side: switched on (TRI_UNKNOWN: no plug-in), and really working now */
	enum snapshot_tri semisync_source_enabled, semisync_replica_enabled;
	enum snapshot_tri semisync_source_on, semisync_replica_on;
	int64_t semisync_wait_count, semisync_timeout_ms, semisync_clients; /* -1 = not known */

	/* own binlog */
	const char *binlog_file; /* NULL = log_bin is off or may not be asked */
	uint64_t binlog_pos;
	const char *binlog_do_db, *binlog_ignore_db; /* "" = none; NULL = not known */

	/* GTIDs; NULL = none of that kind here, or not known */
	struct gtid_set *executed;      /* MariaDB: gtid_binlog_pos joined with gtid_slave_pos */
	struct gtid_set *purged;        /* MySQL */
	struct gtid_set *binlog_gtids;  /* MariaDB gtid_binlog_pos */
	struct gtid_set *replica_gtids; /* MariaDB gtid_slave_pos */
	const char *executed_text, *purged_text, *binlog_gtids_text, *replica_gtids_text;
	const char *binlog_state_text; /* MariaDB: last GTID of each domain and server it logged */

	/* Read again after all other servers, where that was needed; else NULL. */
	struct gtid_set *executed_late;
	const char *binlog_late_file;
	uint64_t binlog_late_pos;
	const struct snapshot_log *logs_late; /* its binlogs, oldest first */
	size_t n_logs_late;

	/* replication */
	struct snapshot_channel *channels; /* all of them; a server without any is no replica */
	size_t n_channels;
	const struct snapshot_client *clients; /* who reads its binlog */
	size_t n_clients;
	struct snapshot_repl_user repl_user;

	/* What our own account was refused (1142, 1227...): "replica status: SLAVE MONITOR". */
	const char *const *denied;
	size_t n_denied;
};

struct snapshot {
	const struct conf *conf;         /* borrowed */
	struct snapshot_server *servers; /* in the order of conf->servers, one each */
	size_t n_servers;
	int64_t started, ended; /* instants */
	struct arena *arena;    /* owns everything in it */
};

struct snapshot_opts {
	int64_t deadline; /* the whole ends then; 0 = by the servers' own timeouts */
	int most_workers; /* snapshot_take() only; 0 = 32 */

	/* Not connected to: the named dead master of a failover.  NULL usually. */
	const struct conf_server *assume_dead;
};

/*
 * Read all servers and wait for it.  `o` may be NULL.  Never fails as a whole: each server has its
 * own state. Returns owned.  Not to be called on a loop's thread.
 */
struct snapshot *snapshot_take(const struct conf *c, const struct snapshot_opts *o);

/*
 * The same without waiting.  `done` is called on the loop exactly once, never from within
 * snapshot_start(), and gets the snapshot (takes).  snapshot_cancel() before that: `done` is not
 * called.  The handle is gone after either.  The pool must live until then, and `c` until then or,
 * if it is longer, as long as the snapshot.
 */
struct snapshot_run;
typedef void (*snapshot_done_fn)(void *arg, struct snapshot *s);
struct snapshot_run *snapshot_start(struct loop *l, struct job_pool *p, const struct conf *c,
        const struct snapshot_opts *o, snapshot_done_fn done, void *arg);
void snapshot_cancel(struct snapshot_run *r); /* NULL is fine */

void snapshot_free(struct snapshot *s); /* NULL is fine */
CLEANUP_FN(snapshot, struct snapshot *, snapshot_free)

/* An empty picture with every server SKIPPED, to be filled by tests and replays.  Returns owned. */
struct snapshot *snapshot_new(const struct conf *c);

/* "alive", "refused", "dead", "lost", "unusable", "skipped"; "yes", "no", "unknown"; "Yes", "No",
 * "Connecting". */
const char *snapshot_state_name(enum snapshot_state s);
const char *snapshot_tri_name(enum snapshot_tri t);
const char *snapshot_io_name(enum snapshot_io io);
/* "No", "Slave_Pos", "Current_Pos" */
const char *snapshot_using_gtid_name(enum snapshot_using_gtid u);

/*
 * Which configured server a channel's source is; NULL = none of them.  First hit wins: host name or
 * ip as configured, the addresses that the name resolves to, always with the port; then server_uuid
 * and server_id where only one has it.
 */
const struct snapshot_server *snapshot_find_source(
        const struct snapshot *s, const struct snapshot_channel *ch);

/* Whether it answered at all (alive, refused, unusable): what MHA calls alive. */
bool snapshot_is_up(const struct snapshot_server *s);

/* Later position in the same source's binlogs: negative, 0, positive.  Files compare by their
 * number, not as text; NULL or "" comes first. */
int snapshot_pos_cmp(const char *file_a, uint64_t pos_a, const char *file_b, uint64_t pos_b);
