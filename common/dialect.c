/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dialect - the tables of what servers of each family and version understand.
 * Runs on: any thread.
 *
 * One table lists the series; the others give, per meaning, MySQL's spelling from some version on and MariaDB's.
 * A version that renames something must also begin a series.
 */
#include "dialect.h"
#include <ctype.h>
#include <string.h>
#include "mem.h"
#include "str.h"

#define V(x, y, z) ((x)*10000 + (y)*100 + (z))

struct dialect {
	enum dialect_family family;
	unsigned from;
	const char *name;
	bool newer; /* nobody has tried it: treated as the row before */
};

#define MYSQL(x, y, z)                                                                             \
	{                                                                                          \
		FAMILY_MYSQL, V(x, y, z), "MySQL " #x "." #y, false                                \
	}
#define MARIADB(x, y)                                                                              \
	{                                                                                          \
		FAMILY_MARIADB, V(x, y, 0), "MariaDB " #x "." #y, false                            \
	}

/* Ascending within a family. */
static const struct dialect series[] = {
	MYSQL(5, 6, 0),
	MYSQL(5, 7, 0),
	MYSQL(8, 0, 0),
	MYSQL(8, 0, 17),
	MYSQL(8, 0, 22),
	MYSQL(8, 0, 23),
	MYSQL(8, 0, 26),
	MYSQL(8, 1, 0),
	MYSQL(8, 2, 0),
	MYSQL(8, 3, 0),
	MYSQL(8, 4, 0),
	MYSQL(9, 0, 0),
	MYSQL(9, 1, 0),
	MYSQL(9, 2, 0),
	MYSQL(9, 3, 0),
	MYSQL(9, 4, 0),
	MYSQL(9, 5, 0),
	MYSQL(9, 6, 0),
	MYSQL(9, 7, 0),
	{ FAMILY_MYSQL, V(9, 8, 0), "MySQL after 9.7", true },
	MARIADB(10, 5),
	MARIADB(10, 6),
	MARIADB(10, 7),
	MARIADB(10, 8),
	MARIADB(10, 9),
	MARIADB(10, 10),
	MARIADB(10, 11),
	MARIADB(11, 0),
	MARIADB(11, 1),
	MARIADB(11, 2),
	MARIADB(11, 3),
	MARIADB(11, 4),
	MARIADB(11, 5),
	MARIADB(11, 6),
	MARIADB(11, 7),
	MARIADB(11, 8),
	{ FAMILY_MARIADB, V(11, 9, 0), "MariaDB after 11.8", true },
};

/* One meaning.  MySQL's spellings ascend; one without text says that the thing is gone from there on. */
struct item {
	struct {
		unsigned from;
		const char *text;
	} mysql[3];
	const char *mariadb;
};

#define ITEM(ma, ...)                                                                              \
	{                                                                                          \
		{ __VA_ARGS__ }, ma                                                                \
	}
#define FROM(x, y, z, s)                                                                           \
	{                                                                                          \
		V(x, y, z), s                                                                      \
	}
#define EVER(s)         FROM(5, 6, 0, s)
#define SAME(s)         ITEM(s, EVER(s))
#define BOTH(my, ma)    ITEM(ma, EVER(my))
#define ONLY_MYSQL(s)   ITEM(NULL, EVER(s))
#define ONLY_MARIADB(s) ITEM(s, FROM(0, 0, 0, NULL))
/* From 8.0.22 (statements, columns) or 8.0.26 (variables, counters) on, MySQL says source and replica. */
#define RENAMED_22(old, new, ma) ITEM(ma, EVER(old), FROM(8, 0, 22, new))
#define RENAMED_26(old, new, ma) ITEM(ma, EVER(old), FROM(8, 0, 26, new))

static const struct item sqls[SQL_COUNT] = {
	[SQL_REPLICA_STATUS] =
	        RENAMED_22("SHOW SLAVE STATUS", "SHOW REPLICA STATUS", "SHOW ALL SLAVES STATUS"),
	[SQL_BINLOG_STATUS] = ITEM("SHOW MASTER STATUS", EVER("SHOW MASTER STATUS"),
	        FROM(8, 2, 0, "SHOW BINARY LOG STATUS")),
	[SQL_BINLOG_LIST] = SAME("SHOW BINARY LOGS"),
	[SQL_REPLICA_HOSTS] = RENAMED_22("SHOW SLAVE HOSTS", "SHOW REPLICAS", "SHOW SLAVE HOSTS"),
};

#define COL_RENAMED(old, new) RENAMED_22(old, new, old)

static const struct item cols[COL_COUNT] = {
	[COL_CHANNEL] = ITEM("Connection_name", FROM(5, 7, 0, "Channel_Name")),
	[COL_SOURCE_HOST] = COL_RENAMED("Master_Host", "Source_Host"),
	[COL_SOURCE_PORT] = COL_RENAMED("Master_Port", "Source_Port"),
	[COL_SOURCE_USER] = COL_RENAMED("Master_User", "Source_User"),
	[COL_SOURCE_UUID] = RENAMED_22("Master_UUID", "Source_UUID", NULL),
	[COL_SOURCE_SERVER_ID] = COL_RENAMED("Master_Server_Id", "Source_Server_Id"),
	[COL_IO_STATE] = COL_RENAMED("Slave_IO_State", "Replica_IO_State"),
	[COL_SQL_STATE] = COL_RENAMED("Slave_SQL_Running_State", "Replica_SQL_Running_State"),
	[COL_IO_RUNNING] = COL_RENAMED("Slave_IO_Running", "Replica_IO_Running"),
	[COL_SQL_RUNNING] = COL_RENAMED("Slave_SQL_Running", "Replica_SQL_Running"),
	[COL_READ_FILE] = COL_RENAMED("Master_Log_File", "Source_Log_File"),
	[COL_READ_POS] = COL_RENAMED("Read_Master_Log_Pos", "Read_Source_Log_Pos"),
	[COL_EXEC_FILE] = COL_RENAMED("Relay_Master_Log_File", "Relay_Source_Log_File"),
	[COL_EXEC_POS] = COL_RENAMED("Exec_Master_Log_Pos", "Exec_Source_Log_Pos"),
	[COL_RELAY_FILE] = SAME("Relay_Log_File"),
	[COL_RELAY_POS] = SAME("Relay_Log_Pos"),
	[COL_SECONDS_BEHIND] = COL_RENAMED("Seconds_Behind_Master", "Seconds_Behind_Source"),
	[COL_LAST_IO_ERRNO] = SAME("Last_IO_Errno"),
	[COL_LAST_IO_ERROR] = SAME("Last_IO_Error"),
	[COL_LAST_SQL_ERRNO] = SAME("Last_SQL_Errno"),
	[COL_LAST_SQL_ERROR] = SAME("Last_SQL_Error"),
	[COL_RETRIEVED_GTID] = ONLY_MYSQL("Retrieved_Gtid_Set"),
	[COL_EXECUTED_GTID] = ONLY_MYSQL("Executed_Gtid_Set"),
	[COL_AUTO_POSITION] = ONLY_MYSQL("Auto_Position"),
	[COL_USING_GTID] = ONLY_MARIADB("Using_Gtid"),
	[COL_GTID_IO_POS] = ONLY_MARIADB("Gtid_IO_Pos"),
	[COL_DO_DB] = SAME("Replicate_Do_DB"),
	[COL_IGNORE_DB] = SAME("Replicate_Ignore_DB"),
	[COL_DO_TABLE] = SAME("Replicate_Do_Table"),
	[COL_IGNORE_TABLE] = SAME("Replicate_Ignore_Table"),
	[COL_WILD_DO_TABLE] = SAME("Replicate_Wild_Do_Table"),
	[COL_WILD_IGNORE_TABLE] = SAME("Replicate_Wild_Ignore_Table"),
	[COL_REWRITE_DB] = ITEM("Replicate_Rewrite_DB", FROM(5, 7, 0, "Replicate_Rewrite_DB")),
	[COL_SQL_DELAY] = SAME("SQL_Delay"),
	[COL_CONNECT_RETRY] = SAME("Connect_Retry"),
	[COL_RETRY_COUNT] = RENAMED_22("Master_Retry_Count", "Source_Retry_Count", NULL),
	[COL_SSL_ALLOWED] = COL_RENAMED("Master_SSL_Allowed", "Source_SSL_Allowed"),
	[COL_SSL_CA] = COL_RENAMED("Master_SSL_CA_File", "Source_SSL_CA_File"),
	[COL_SSL_CERT] = COL_RENAMED("Master_SSL_Cert", "Source_SSL_Cert"),
	[COL_SSL_KEY] = COL_RENAMED("Master_SSL_Key", "Source_SSL_Key"),
	[COL_SSL_VERIFY] =
	        COL_RENAMED("Master_SSL_Verify_Server_Cert", "Source_SSL_Verify_Server_Cert"),
	[COL_PUBLIC_KEY_PATH] = ITEM(NULL, FROM(8, 0, 0, "Master_public_key_path"),
	        FROM(8, 0, 22, "Source_public_key_path")),
	[COL_GET_PUBLIC_KEY] = ITEM(NULL, FROM(8, 0, 0, "Get_master_public_key"),
	        FROM(8, 0, 22, "Get_Source_public_key")),
	[COL_HEARTBEAT_PERIOD] = ONLY_MARIADB("Slave_heartbeat_period"),
	[COL_HEARTBEATS] = ONLY_MARIADB("Slave_received_heartbeats"),
	[COL_GTID_REPLICA_POS] = ONLY_MARIADB("Gtid_Slave_Pos"),
};

static const struct item vars[VAR_COUNT] = {
	[VAR_SERVER_ID] = SAME("server_id"),
	[VAR_SERVER_UUID] = ONLY_MYSQL("server_uuid"),
	[VAR_READ_ONLY] = SAME("read_only"),
	[VAR_SUPER_READ_ONLY] = ITEM(NULL, FROM(5, 7, 0, "super_read_only")),
	[VAR_LOG_BIN] = SAME("log_bin"),
	[VAR_LOG_REPLICA_UPDATES] =
	        RENAMED_26("log_slave_updates", "log_replica_updates", "log_slave_updates"),
	[VAR_BINLOG_FORMAT] = SAME("binlog_format"),
	[VAR_GTID_MODE] = ONLY_MYSQL("gtid_mode"),
	[VAR_GTID_EXECUTED] = BOTH("gtid_executed", "gtid_binlog_pos"),
	[VAR_GTID_PURGED] = ONLY_MYSQL("gtid_purged"),
	[VAR_GTID_REPLICA_POS] = ONLY_MARIADB("gtid_slave_pos"),
	[VAR_GTID_CURRENT_POS] = ONLY_MARIADB("gtid_current_pos"),
	[VAR_GTID_STRICT] = ONLY_MARIADB("gtid_strict_mode"),
	[VAR_GTID_DOMAIN] = ONLY_MARIADB("gtid_domain_id"),
	[VAR_DATADIR] = SAME("datadir"),
	[VAR_LOG_BIN_BASENAME] = SAME("log_bin_basename"),
	[VAR_RELAY_LOG_BASENAME] = SAME("relay_log_basename"),
	[VAR_RELAY_LOG_INDEX] = SAME("relay_log_index"),
	[VAR_RELAY_LOG_PURGE] = SAME("relay_log_purge"),
	[VAR_RELAY_LOG_INFO_REPOSITORY] =
	        ITEM(NULL, EVER("relay_log_info_repository"), FROM(8, 3, 0, NULL)),
	[VAR_RELAY_LOG_INFO_FILE] =
	        ITEM("relay_log_info_file", EVER("relay_log_info_file"), FROM(8, 3, 0, NULL)),
	[VAR_PARALLEL_WORKERS] = RENAMED_26(
	        "slave_parallel_workers", "replica_parallel_workers", "slave_parallel_threads"),
	[VAR_CHECKPOINT_PERIOD] =
	        RENAMED_26("slave_checkpoint_period", "replica_checkpoint_period", NULL),
	[VAR_SEMISYNC_SOURCE_ENABLED] = RENAMED_26("rpl_semi_sync_master_enabled",
	        "rpl_semi_sync_source_enabled", "rpl_semi_sync_master_enabled"),
	[VAR_SEMISYNC_REPLICA_ENABLED] = RENAMED_26("rpl_semi_sync_slave_enabled",
	        "rpl_semi_sync_replica_enabled", "rpl_semi_sync_slave_enabled"),
	[VAR_SEMISYNC_WAIT_COUNT] =
	        ITEM(NULL, FROM(5, 7, 0, "rpl_semi_sync_master_wait_for_slave_count"),
	                FROM(8, 0, 26, "rpl_semi_sync_source_wait_for_replica_count")),
	[VAR_SEMISYNC_TIMEOUT] = RENAMED_26("rpl_semi_sync_master_timeout",
	        "rpl_semi_sync_source_timeout", "rpl_semi_sync_master_timeout"),
	[VAR_MAX_ALLOWED_PACKET] = SAME("max_allowed_packet"),
	[VAR_AUTO_INCREMENT] = SAME("auto_increment_increment"),
	[VAR_AUTO_OFFSET] = SAME("auto_increment_offset"),
	[VAR_HAVE_SSL] = ITEM("have_ssl", EVER("have_ssl"), FROM(8, 4, 0, NULL)),
	[VAR_PORT] = SAME("port"),
};

static const struct item statuses[STAT_COUNT] = {
	[STAT_SEMISYNC_SOURCE_STATUS] = RENAMED_26("Rpl_semi_sync_master_status",
	        "Rpl_semi_sync_source_status", "Rpl_semi_sync_master_status"),
	[STAT_SEMISYNC_REPLICA_STATUS] = RENAMED_26("Rpl_semi_sync_slave_status",
	        "Rpl_semi_sync_replica_status", "Rpl_semi_sync_slave_status"),
	[STAT_SEMISYNC_CLIENTS] = RENAMED_26("Rpl_semi_sync_master_clients",
	        "Rpl_semi_sync_source_clients", "Rpl_semi_sync_master_clients"),
	[STAT_SEMISYNC_WAIT_SESSIONS] = RENAMED_26("Rpl_semi_sync_master_wait_sessions",
	        "Rpl_semi_sync_source_wait_sessions", "Rpl_semi_sync_master_wait_sessions"),
};

static const struct item words[WORD_COUNT] = {
	[WORD_REPLICA] = RENAMED_22("SLAVE", "REPLICA", "SLAVE"),
	[WORD_SOURCE] = ITEM("MASTER", EVER("MASTER"), FROM(8, 0, 23, "SOURCE")),
	[WORD_CHANGE_SOURCE] = ITEM("CHANGE MASTER", EVER("CHANGE MASTER"),
	        FROM(8, 0, 23, "CHANGE REPLICATION SOURCE")),
	[WORD_POS_WAIT] = RENAMED_26("MASTER_POS_WAIT", "SOURCE_POS_WAIT", "MASTER_POS_WAIT"),
	[WORD_GTID_WAIT] = ITEM("MASTER_GTID_WAIT", EVER("WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS"),
	        FROM(5, 7, 0, "WAIT_FOR_EXECUTED_GTID_SET")),
};

/* The text does not matter, only that there is one. */
static const struct item caps[CAP_COUNT] = {
	[CAP_GTID_TAGS] = ITEM(NULL, FROM(8, 3, 0, "yes")),
	[CAP_CHANNELS] = ITEM("yes", FROM(5, 7, 0, "yes")),
	[CAP_SUPER_READ_ONLY] = ITEM(NULL, FROM(5, 7, 0, "yes")),
	[CAP_PFS_REPLICATION] = ITEM(NULL, FROM(5, 7, 0, "yes")),
	[CAP_CLONE] = ITEM(NULL, FROM(8, 0, 17, "yes")),
};

/* The spelling in force, and the one before it. */
static const char *spell(const struct dialect *d, const struct item *it, const char **ret_old)
{
	const char *now = NULL, *old = NULL;

	if (d->family == FAMILY_MARIADB) {
		now = it->mariadb;
	} else {
		for (size_t i = 0; i < ARRAY_LEN(it->mysql) && it->mysql[i].from; i++) {
			if (it->mysql[i].from > d->from)
				break;
			old = now;
			now = it->mysql[i].text;
		}
	}
	if (ret_old)
		*ret_old = old;
	return now;
}

/* One of the three numbers; NULL when there is none.  Beyond 99 it could not be ordered, so it counts as 99. */
static const char *number(const char *s, unsigned *ret)
{
	unsigned n = 0;

	if (!isdigit((unsigned char)*s))
		return NULL;
	for (; isdigit((unsigned char)*s); s++)
		if (n <= 99)
			n = n * 10 + (unsigned)(*s - '0');
	*ret = n > 99 ? 99 : n;
	return s;
}

/* MariaDB 10 pretends to be 5.5.5 to old replicas. */
static const char *without_pretence(const char *version)
{
	static const char fake[] = "5.5.5-";

	if (str_starts(version, fake) && isdigit((unsigned char)version[sizeof(fake) - 1]))
		return version + sizeof(fake) - 1;
	return version;
}

/* Within a series of releases (8.0, 10.11) order does not matter. */
static unsigned release(const struct dialect *d)
{
	return d->from / 100;
}

bool dialect_can_follow(
        const struct dialect *replica, const struct dialect *source, const char **ret_why)
{
	if (release(replica) < release(source)) {
		*ret_why = "an older replica may not understand what a newer source logs";
		return false;
	}
	if (replica->family == FAMILY_MYSQL && release(source) < 800 && release(replica) > 800) {
		*ret_why = "so new a replica does not replicate from so old a source";
		return false;
	}
	return true;
}

unsigned dialect_version_number(const char *version)
{
	unsigned x, y, z;
	const char *s = number(without_pretence(version), &x);

	s = s && *s == '.' ? number(s + 1, &y) : NULL;
	s = s && *s == '.' ? number(s + 1, &z) : NULL;
	return s ? V(x, y, z) : 0;
}

const struct dialect *dialect_of(const char *version, struct err *e)
{
	unsigned number = dialect_version_number(version);
	enum dialect_family family = strcasestr(version, "mariadb") ? FAMILY_MARIADB : FAMILY_MYSQL;
	const struct dialect *best = NULL;

	if (!number) {
		err_set(e, ERR_PARSE, 0, "\"%.60s\" is no server version", version);
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_LEN(series); i++)
		if (series[i].family == family && series[i].from <= number)
			best = &series[i];
	if (!best)
		err_set(e, ERR_PRECOND, 0,
		        "server version %.60s is too old: MySQL 5.6 or MariaDB 10.5 is the least",
		        version);
	return best;
}

enum dialect_family dialect_family(const struct dialect *d)
{
	return d->family;
}

const char *dialect_name(const struct dialect *d)
{
	return d->name;
}

bool dialect_is_newer(const struct dialect *d)
{
	return d->newer;
}

const char *dialect_sql(const struct dialect *d, enum dialect_sql what)
{
	return spell(d, &sqls[what], NULL);
}

const char *dialect_col(const struct dialect *d, enum dialect_col what)
{
	return spell(d, &cols[what], NULL);
}

const char *dialect_var(const struct dialect *d, enum dialect_var what)
{
	return spell(d, &vars[what], NULL);
}

const char *dialect_status(const struct dialect *d, enum dialect_status what)
{
	return spell(d, &statuses[what], NULL);
}

const char *dialect_word(const struct dialect *d, enum dialect_word what)
{
	return spell(d, &words[what], NULL);
}

bool dialect_can(const struct dialect *d, enum dialect_cap what)
{
	return spell(d, &caps[what], NULL) != NULL;
}

const char *dialect_old_var(const struct dialect *d, enum dialect_var what)
{
	const char *old;

	spell(d, &vars[what], &old);
	return old;
}

const char *dialect_old_status(const struct dialect *d, enum dialect_status what)
{
	const char *old;

	spell(d, &statuses[what], &old);
	return old;
}

bool dialect_var_is_long(enum dialect_var what)
{
	return what == VAR_GTID_EXECUTED || what == VAR_GTID_PURGED ||
	       what == VAR_GTID_REPLICA_POS || what == VAR_GTID_CURRENT_POS;
}
