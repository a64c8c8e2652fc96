/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dialect - what one server understands.  Runs on: any thread.  Logs: never.
 *
 * Family and version give statements, column names, variable names and capabilities, out of one set of tables in
 * dialect.c.  Nowhere else in mhad is there an `if (version)`: a new server release is one more row there.
 * Only the leading x.y.z of a version string is trusted; what follows ("-28", "-MariaDB-1:10.11...", "-log") only
 * tells MariaDB from MySQL, which Percona's builds also are.
 *
 * Supported: MySQL 5.6 to 9.7, MariaDB 10.5 to 11.8.  Older servers are refused with a reason; newer ones are
 * treated as the newest known (dialect_is_newer()).
 *
 * Names that a version renamed are given as that version prints them.  Some variables exist under the old or the new
 * name depending on which plug-in is installed; to read variables, use vars.h, which knows both.
 */
#pragma once
#include <stddef.h>
#include "err.h"

enum dialect_family { FAMILY_MYSQL, FAMILY_MARIADB };

/* Statements without arguments. */
enum dialect_sql {
	SQL_REPLICA_STATUS, /* one row per channel, all channels */
	SQL_BINLOG_STATUS,  /* own binlog file and position: columns File, Position everywhere */
	SQL_BINLOG_LIST,    /* columns Log_name, File_size everywhere */
	SQL_REPLICA_HOSTS, /* who replicates from this server: columns Server_id, Host, Port everywhere */
	SQL_COUNT
};

/* Columns of the replica status row. */
enum dialect_col {
	COL_CHANNEL, /* none on 5.6 */
	COL_SOURCE_HOST,
	COL_SOURCE_PORT,
	COL_SOURCE_USER,
	COL_SOURCE_UUID,
	COL_SOURCE_SERVER_ID,
	COL_IO_STATE,
	COL_SQL_STATE,
	COL_IO_RUNNING,
	COL_SQL_RUNNING,
	COL_READ_FILE,
	COL_READ_POS,
	COL_EXEC_FILE,
	COL_EXEC_POS,
	COL_RELAY_FILE,
	COL_RELAY_POS,
	COL_SECONDS_BEHIND,
	COL_LAST_IO_ERRNO,
	COL_LAST_IO_ERROR,
	COL_LAST_SQL_ERRNO,
	COL_LAST_SQL_ERROR,
	COL_RETRIEVED_GTID,
	COL_EXECUTED_GTID,
	COL_AUTO_POSITION,
	COL_USING_GTID,  /* MariaDB */
	COL_GTID_IO_POS, /* MariaDB */
	COL_DO_DB,
	COL_IGNORE_DB,
	COL_DO_TABLE,
	COL_IGNORE_TABLE,
	COL_WILD_DO_TABLE,
	COL_WILD_IGNORE_TABLE,
	COL_REWRITE_DB,
	COL_SQL_DELAY,
	COL_CONNECT_RETRY,
	COL_RETRY_COUNT,
	COL_SSL_ALLOWED,
	COL_SSL_CA,
	COL_SSL_CERT,
	COL_SSL_KEY,
	COL_SSL_VERIFY,
	COL_PUBLIC_KEY_PATH,
	COL_GET_PUBLIC_KEY,
	COL_HEARTBEAT_PERIOD, /* MariaDB, as the next two; MySQL has them elsewhere */
	COL_HEARTBEATS,       /* received so far */
	COL_GTID_REPLICA_POS,
	COL_COUNT
};

/* Global variables by meaning. */
enum dialect_var {
	VAR_SERVER_ID,
	VAR_SERVER_UUID,
	VAR_READ_ONLY,
	VAR_SUPER_READ_ONLY,
	VAR_LOG_BIN,
	VAR_LOG_REPLICA_UPDATES,
	VAR_BINLOG_FORMAT,
	VAR_GTID_MODE,
	VAR_GTID_EXECUTED, /* MariaDB: gtid_binlog_pos */
	VAR_GTID_PURGED,
	VAR_GTID_REPLICA_POS, /* MariaDB: gtid_slave_pos */
	VAR_GTID_CURRENT_POS, /* MariaDB: gtid_current_pos */
	VAR_GTID_STRICT,
	VAR_GTID_DOMAIN,
	VAR_DATADIR,
	VAR_LOG_BIN_BASENAME,
	VAR_RELAY_LOG_BASENAME,
	VAR_RELAY_LOG_INDEX,
	VAR_RELAY_LOG_PURGE,
	VAR_RELAY_LOG_INFO_REPOSITORY,
	VAR_RELAY_LOG_INFO_FILE,
	VAR_PARALLEL_WORKERS,
	VAR_CHECKPOINT_PERIOD,
	VAR_SEMISYNC_SOURCE_ENABLED,
	VAR_SEMISYNC_REPLICA_ENABLED,
	VAR_SEMISYNC_WAIT_COUNT,
	VAR_SEMISYNC_TIMEOUT,
	VAR_MAX_ALLOWED_PACKET,
	VAR_AUTO_INCREMENT,
	VAR_AUTO_OFFSET,
	VAR_HAVE_SSL,
	VAR_PORT,
	VAR_COUNT
};

/* Status counters by meaning. */
enum dialect_status {
	STAT_SEMISYNC_SOURCE_STATUS,
	STAT_SEMISYNC_REPLICA_STATUS,
	STAT_SEMISYNC_CLIENTS,
	STAT_SEMISYNC_WAIT_SESSIONS, /* commits that wait for an acknowledgement now */
	STAT_COUNT
};

/* Words that statements are made of. */
enum dialect_word {
	WORD_REPLICA,       /* in START, STOP, RESET: SLAVE or REPLICA */
	WORD_SOURCE,        /* in front of CHANGE's options, and in UNTIL: MASTER or SOURCE */
	WORD_CHANGE_SOURCE, /* CHANGE MASTER or CHANGE REPLICATION SOURCE */
	WORD_POS_WAIT,      /* function (file, position, seconds) */
	WORD_GTID_WAIT,     /* function (GTIDs, seconds) */
	WORD_COUNT
};

enum dialect_cap {
	CAP_GTID_TAGS,
	CAP_CHANNELS, /* several replication channels (MariaDB: named connections) */
	CAP_SUPER_READ_ONLY,
	CAP_PFS_REPLICATION, /* performance_schema.replication_* filled */
	CAP_CLONE,
	CAP_COUNT
};

struct dialect; /* one series of one family: static, shared, never freed */

/*
 * `version` is VERSION() or the greeting's string.  ERR_PRECOND names what is supported; ERR_PARSE if it is no
 * version.
 */
const struct dialect *dialect_of(const char *version, struct err *e) MUST_USE;

enum dialect_family dialect_family(const struct dialect *d);
const char *dialect_name(const struct dialect *d); /* "MySQL 8.4", "MariaDB 10.11" */
bool dialect_is_newer(const struct dialect *d);    /* newer than any version tested */
const char *dialect_sql(const struct dialect *d, enum dialect_sql what); /* never NULL */
const char *dialect_col(const struct dialect *d, enum dialect_col what); /* NULL: no such column */
const char *dialect_var(
        const struct dialect *d, enum dialect_var what); /* NULL: no such variable */
const char *dialect_status(
        const struct dialect *d, enum dialect_status what); /* NULL: no such counter */
const char *dialect_word(const struct dialect *d, enum dialect_word what); /* never NULL */
bool dialect_can(const struct dialect *d, enum dialect_cap what);

/* The name before the last renaming, which may be in force instead; NULL when there is none. */
const char *dialect_old_var(const struct dialect *d, enum dialect_var what);
const char *dialect_old_status(const struct dialect *d, enum dialect_status what);

/* Values without bound (GTID sets): SHOW VARIABLES cuts them at 1024 bytes on MySQL, SELECT @@GLOBAL does not. */
bool dialect_var_is_long(enum dialect_var what);

/*
 * Whether a replica of this series can follow such a source, both of one family: not if it is older, or so much
 * newer that it does not read its log.  *ret_why says so.
 */
bool dialect_can_follow(
        const struct dialect *replica, const struct dialect *source, const char **ret_why);

/* x.y.z of a version string as x*10000 + y*100 + z, 0 when it is none.  For display and order only. */
unsigned dialect_version_number(const char *version);
