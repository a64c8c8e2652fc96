/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snapshot_read - reads one server for snapshot.c, straight-line and in few round trips.  Runs on:
 * worker.
 *
 * Statements, in this order: variables and counters (vars.h, three round trips), replica status,
 * own binlog status, who reads our binlog, the replication account; on replicas of newer MySQL the
 * heartbeat period, on MariaDB the binlog's state.  A refused statement costs its own facts, not
 * the reading; only a lost session or a refused replica status ends it.
 */
#include "snapshot_read.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "clock.h"
#include "str.h"
#include "vars.h"
#include "vec.h"

enum {
	SQL_DENIED_DB = 1044,
	SQL_DENIED_TABLE = 1142,
	SQL_DENIED_COLUMN = 1143,
	SQL_DENIED_PRIVILEGE = 1227
};

typedef VEC(const char *) texts;

struct reader {
	struct snapshot_server *out;
	struct arena *a;
	struct db *db;
	const struct dialect *d;
	struct vars *vars;
	texts denied;
	struct err err; /* of the last statement */
};

static const char *copy(struct reader *r, const char *text)
{
	return text && *text ? arena_strdup(r->a, text) : NULL;
}

static int64_t number(const char *text)
{
	long long n;
	return text && str_to_int(text, 0, INT64_MAX, &n) ? n : -1;
}

static uint64_t unsigned_number(const char *text)
{
	unsigned long long n;
	return text && str_to_u64(text, &n) ? n : 0;
}

static enum snapshot_tri tri(const char *text)
{
	if (!text)
		return TRI_UNKNOWN;
	if (!*text || !strcasecmp(text, "OFF") || !strcasecmp(text, "NO") || str_is(text, "0"))
		return TRI_NO;
	return TRI_YES;
}

static bool is_yes(const char *text)
{
	return tri(text) == TRI_YES;
}

static bool is_denied(const struct err *e)
{
	return e->kind == ERR_SQL &&
	       (e->code == SQL_DENIED_DB || e->code == SQL_DENIED_TABLE ||
	               e->code == SQL_DENIED_COLUMN || e->code == SQL_DENIED_PRIVILEGE);
}

/* After the login, db also says "no time left" (ERR_PRECOND) and "lost before" (ERR_UNREACHABLE).
 */
static bool is_lost(const struct reader *r)
{
	return r->err.kind == ERR_LOST || r->err.kind == ERR_UNREACHABLE ||
	       r->err.kind == ERR_PRECOND;
}

/* The privilege if the server names it, else its words without our statement. */
static void note_denied(struct reader *r, const char *what)
{
	static const char before[] = "need (at least one of) the ", after[] = " privilege(s)";
	const char *why = strstr(r->err.text, before), *end = NULL;
	if (why) {
		why += sizeof(before) - 1;
		end = strstr(why, after);
	} else {
		why = strstr(r->err.text, "\": ");
		why = why ? why + 3 : r->err.text;
	}
	int n = end ? (int)(end - why) : (int)strlen(why);
	vec_push(&r->denied, arena_printf(r->a, "%s: %.*s", what, n, why));
}

/* NULL when it failed; `what` names the facts that are then missing. */
static struct db_result *ask(struct reader *r, const char *what, const char *sql)
{
	r->err = (struct err){ 0 };
	struct db_result *res = db_query(r->db, sql, &r->err);
	if (!res && what && is_denied(&r->err))
		note_denied(r, what);
	return res;
}

static const char *var(const struct reader *r, enum dialect_var v)
{
	return vars_get(r->vars, v);
}

static bool read_variables(struct reader *r)
{
	r->err = (struct err){ 0 };
	r->vars = vars_read(r->db, &r->err);
	return r->vars != NULL;
}

static void take_identity(struct reader *r)
{
	struct snapshot_server *s = r->out;
	s->server_id = (uint32_t)unsigned_number(var(r, VAR_SERVER_ID));
	s->uuid = copy(r, var(r, VAR_SERVER_UUID));
	s->read_only = tri(var(r, VAR_READ_ONLY));
	s->super_read_only = tri(var(r, VAR_SUPER_READ_ONLY));
	s->log_bin = tri(var(r, VAR_LOG_BIN));
	s->log_replica_updates = tri(var(r, VAR_LOG_REPLICA_UPDATES));
	s->relay_log_purge = tri(var(r, VAR_RELAY_LOG_PURGE));
	s->binlog_format = copy(r, var(r, VAR_BINLOG_FORMAT));
	s->gtid_mode = copy(r, var(r, VAR_GTID_MODE));
	s->gtid_strict = tri(var(r, VAR_GTID_STRICT));
	s->gtid_domain = (uint32_t)unsigned_number(var(r, VAR_GTID_DOMAIN));
	s->parallel_workers = number(var(r, VAR_PARALLEL_WORKERS));
	s->auto_increment = number(var(r, VAR_AUTO_INCREMENT));
	s->auto_offset = number(var(r, VAR_AUTO_OFFSET));
	s->max_allowed_packet = number(var(r, VAR_MAX_ALLOWED_PACKET));
	s->semisync_source_enabled = tri(var(r, VAR_SEMISYNC_SOURCE_ENABLED));
	s->semisync_replica_enabled = tri(var(r, VAR_SEMISYNC_REPLICA_ENABLED));
	s->semisync_wait_count = number(var(r, VAR_SEMISYNC_WAIT_COUNT));
	s->semisync_timeout_ms = number(var(r, VAR_SEMISYNC_TIMEOUT));
	s->semisync_source_on = tri(vars_status(r->vars, STAT_SEMISYNC_SOURCE_STATUS));
	s->semisync_replica_on = tri(vars_status(r->vars, STAT_SEMISYNC_REPLICA_STATUS));
	s->semisync_clients = number(vars_status(r->vars, STAT_SEMISYNC_CLIENTS));
	s->was_read = true;
}

/* `file` below `dir` unless it is absolute. */
static const char *path_in(struct reader *r, const char *dir, const char *file)
{
	if (!file || !*file || *file == '/' || !dir)
		return copy(r, file);
	return arena_printf(r->a, "%s%s%s", dir, str_ends(dir, "/") ? "" : "/", file);
}

static void take_paths(struct reader *r)
{
	struct snapshot_server *s = r->out;
	s->datadir = copy(r, var(r, VAR_DATADIR));
	s->binlog_basename = path_in(r, s->datadir, var(r, VAR_LOG_BIN_BASENAME));
	s->relay_basename = path_in(r, s->datadir, var(r, VAR_RELAY_LOG_BASENAME));
	const char *in_relay_dir = s->relay_basename;
	if (!in_relay_dir)
		in_relay_dir = path_in(r, s->datadir, var(r, VAR_RELAY_LOG_INDEX));
	const char *slash = in_relay_dir ? strrchr(in_relay_dir, '/') : NULL;
	s->relay_dir = slash ? arena_strndup(r->a, in_relay_dir, (size_t)(slash - in_relay_dir))
	                     : s->datadir;
	const char *repository = var(r, VAR_RELAY_LOG_INFO_REPOSITORY);
	if (!repository)
		repository = dialect_family(r->d) == FAMILY_MARIADB ? "FILE" : "TABLE";
	s->relay_info_repository = copy(r, repository);
	if (!strcasecmp(repository, "FILE"))
		s->relay_info_file = path_in(r, s->datadir, var(r, VAR_RELAY_LOG_INFO_FILE));
}

static struct gtid_set *parse_set(struct reader *r, const char *text)
{
	enum gtid_dialect d = dialect_family(r->d) == FAMILY_MARIADB ? GTID_MARIADB : GTID_MYSQL;
	return text ? gtid_set_parse(d, text, NULL) : NULL;
}

static const char *keep_text(struct reader *r, const struct gtid_set *set)
{
	if (!set)
		return NULL;
	AUTO(free) char *text = gtid_set_format(set);
	return arena_strdup(r->a, text);
}

/* MariaDB splits "executed" in what is in the binlog and what came in as a replica. */
static struct gtid_set *executed_now(struct reader *r)
{
	struct gtid_set *binlog = parse_set(r, var(r, VAR_GTID_EXECUTED));
	struct gtid_set *replica = parse_set(r, var(r, VAR_GTID_REPLICA_POS));
	if (!binlog || !replica)
		return binlog ? binlog : replica;
	struct gtid_set *both = gtid_set_union(binlog, replica);
	gtid_set_free(binlog);
	gtid_set_free(replica);
	return both;
}

static void take_sets(struct reader *r)
{
	struct snapshot_server *s = r->out;
	s->executed = executed_now(r);
	s->purged = parse_set(r, var(r, VAR_GTID_PURGED));
	if (dialect_family(r->d) == FAMILY_MARIADB) {
		s->binlog_gtids = parse_set(r, var(r, VAR_GTID_EXECUTED));
		s->replica_gtids = parse_set(r, var(r, VAR_GTID_REPLICA_POS));
	}
	s->executed_text = keep_text(r, s->executed);
	s->purged_text = keep_text(r, s->purged);
	s->binlog_gtids_text = keep_text(r, s->binlog_gtids);
	s->replica_gtids_text = keep_text(r, s->replica_gtids);
}

struct row {
	const struct db_result *res;
	size_t i;
	const struct dialect *d;
};

static const char *col(const struct row *w, enum dialect_col c)
{
	return db_get(w->res, w->i, dialect_col(w->d, c));
}

static enum snapshot_io io_of(const char *text)
{
	if (text && !strcasecmp(text, "Yes"))
		return IO_YES;
	return text && (!strcasecmp(text, "Connecting") || !strcasecmp(text, "Preparing"))
	               ? IO_CONNECTING
	               : IO_NO;
}

static enum snapshot_using_gtid using_gtid_of(const char *text)
{
	if (!text || !strcasecmp(text, "No"))
		return USING_GTID_NO;
	return !strcasecmp(text, "Current_Pos") ? USING_GTID_CURRENT_POS : USING_GTID_SLAVE_POS;
}

static int64_t seconds_to_ms(const char *text)
{
	return text && *text ? (int64_t)(strtod(text, NULL) * 1000 + 0.5) : -1;
}

static void take_source(struct reader *r, const struct row *w, struct snapshot_channel *ch)
{
	ch->name = arena_strdup(r->a, col(w, COL_CHANNEL) ? col(w, COL_CHANNEL) : "");
	ch->source_host =
	        arena_strdup(r->a, col(w, COL_SOURCE_HOST) ? col(w, COL_SOURCE_HOST) : "");
	ch->source_port = (unsigned)unsigned_number(col(w, COL_SOURCE_PORT));
	ch->source_user = copy(r, col(w, COL_SOURCE_USER));
	ch->source_uuid = copy(r, col(w, COL_SOURCE_UUID));
	ch->source_server_id = (uint32_t)unsigned_number(col(w, COL_SOURCE_SERVER_ID));
	ch->sql_delay = number(col(w, COL_SQL_DELAY));
	ch->connect_retry = number(col(w, COL_CONNECT_RETRY));
	ch->retry_count = number(col(w, COL_RETRY_COUNT));
	ch->heartbeat_ms = seconds_to_ms(db_get(w->res, w->i, "Slave_heartbeat_period"));
	ch->ssl_allowed = is_yes(col(w, COL_SSL_ALLOWED));
	ch->ssl_verify = is_yes(col(w, COL_SSL_VERIFY));
	ch->ssl_ca = copy(r, col(w, COL_SSL_CA));
	ch->ssl_cert = copy(r, col(w, COL_SSL_CERT));
	ch->ssl_key = copy(r, col(w, COL_SSL_KEY));
	ch->public_key_path = copy(r, col(w, COL_PUBLIC_KEY_PATH));
	ch->get_public_key = is_yes(col(w, COL_GET_PUBLIC_KEY));
}

static void take_threads(struct reader *r, const struct row *w, struct snapshot_channel *ch)
{
	ch->io_running = io_of(col(w, COL_IO_RUNNING));
	ch->sql_running = is_yes(col(w, COL_SQL_RUNNING));
	ch->io_state = copy(r, col(w, COL_IO_STATE));
	ch->io_errno = (int)unsigned_number(col(w, COL_LAST_IO_ERRNO));
	ch->io_error = copy(r, col(w, COL_LAST_IO_ERROR));
	ch->sql_errno = (int)unsigned_number(col(w, COL_LAST_SQL_ERRNO));
	ch->sql_error = copy(r, col(w, COL_LAST_SQL_ERROR));
	ch->seconds_behind = number(col(w, COL_SECONDS_BEHIND));
}

static void take_positions(struct reader *r, const struct row *w, struct snapshot_channel *ch)
{
	ch->read_file = copy(r, col(w, COL_READ_FILE));
	ch->read_pos = unsigned_number(col(w, COL_READ_POS));
	ch->exec_file = copy(r, col(w, COL_EXEC_FILE));
	ch->exec_pos = unsigned_number(col(w, COL_EXEC_POS));
	ch->relay_file = copy(r, col(w, COL_RELAY_FILE));
	ch->relay_pos = unsigned_number(col(w, COL_RELAY_POS));
	ch->auto_position = is_yes(col(w, COL_AUTO_POSITION));
	ch->using_gtid = using_gtid_of(col(w, COL_USING_GTID));
	ch->retrieved = parse_set(r, col(w, COL_RETRIEVED_GTID));
	ch->gtid_io_pos = parse_set(r, col(w, COL_GTID_IO_POS));
	ch->retrieved_text = keep_text(r, ch->retrieved);
	ch->gtid_io_pos_text = keep_text(r, ch->gtid_io_pos);
}

static void take_filters(struct reader *r, const struct row *w, struct snapshot_channel *ch)
{
	static const enum dialect_col cols[FILTER_COUNT] = {
		[FILTER_DO_DB] = COL_DO_DB,
		[FILTER_IGNORE_DB] = COL_IGNORE_DB,
		[FILTER_DO_TABLE] = COL_DO_TABLE,
		[FILTER_IGNORE_TABLE] = COL_IGNORE_TABLE,
		[FILTER_WILD_DO_TABLE] = COL_WILD_DO_TABLE,
		[FILTER_WILD_IGNORE_TABLE] = COL_WILD_IGNORE_TABLE,
		[FILTER_REWRITE_DB] = COL_REWRITE_DB,
	};
	for (int f = 0; f < FILTER_COUNT; f++) {
		const char *text = col(w, cols[f]);
		ch->filter[f] = text ? arena_strdup(r->a, text) : "";
	}
}

static bool read_channels(struct reader *r)
{
	AUTO(db_result)
	struct db_result *res = ask(r, "replica status", dialect_sql(r->d, SQL_REPLICA_STATUS));
	if (!res)
		return false;
	r->out->n_channels = db_rows(res);
	r->out->channels = ARENA_ARRAY(r->a, struct snapshot_channel, r->out->n_channels);
	for (size_t i = 0; i < r->out->n_channels; i++) {
		struct row w = { res, i, r->d };
		take_source(r, &w, &r->out->channels[i]);
		take_threads(r, &w, &r->out->channels[i]);
		take_positions(r, &w, &r->out->channels[i]);
		take_filters(r, &w, &r->out->channels[i]);
	}
	return true;
}

static void set_heartbeat(struct snapshot_server *s, const char *channel, const char *seconds)
{
	for (size_t i = 0; channel && i < s->n_channels; i++)
		if (!strcmp(s->channels[i].name, channel))
			s->channels[i].heartbeat_ms = seconds_to_ms(seconds);
}

/* MariaDB has it in the status row, MySQL in performance_schema. */
static void read_heartbeats(struct reader *r)
{
	AUTO(db_result) struct db_result *res = NULL;
	if (!r->out->n_channels || !dialect_can(r->d, CAP_PFS_REPLICATION))
		return;
	res = ask(r, NULL,
	        "SELECT CHANNEL_NAME, HEARTBEAT_INTERVAL"
	        " FROM performance_schema.replication_connection_configuration");
	for (size_t i = 0; res && i < db_rows(res); i++)
		set_heartbeat(r->out, db_get(res, i, "CHANNEL_NAME"),
		        db_get(res, i, "HEARTBEAT_INTERVAL"));
}

static void read_binlog_status(struct reader *r)
{
	struct snapshot_server *s = r->out;
	if (s->log_bin == TRI_NO)
		return;
	AUTO(db_result)
	struct db_result *res = ask(r, "binlog status", dialect_sql(r->d, SQL_BINLOG_STATUS));
	if (!res || !db_rows(res))
		return;
	s->binlog_file = copy(r, db_get(res, 0, "File"));
	s->binlog_pos = unsigned_number(db_get(res, 0, "Position"));
	const char *do_db = db_get(res, 0, "Binlog_Do_DB"),
	           *ignore_db = db_get(res, 0, "Binlog_Ignore_DB");
	s->binlog_do_db = arena_strdup(r->a, do_db ? do_db : "");
	s->binlog_ignore_db = arena_strdup(r->a, ignore_db ? ignore_db : "");
}

static void read_logs(struct reader *r)
{
	if (r->out->log_bin == TRI_NO)
		return;
	AUTO(db_result) struct db_result *res = ask(r, NULL, "SHOW BINARY LOGS");
	size_t n = res ? db_rows(res) : 0;
	struct snapshot_log *logs = ARENA_ARRAY(r->a, struct snapshot_log, n + 1);
	for (size_t i = 0; i < n; i++)
		logs[i] = (struct snapshot_log){ copy(r, db_get(res, i, "Log_name")),
			unsigned_number(db_get(res, i, "File_size")) };
	r->out->logs_late = logs;
	r->out->n_logs_late = n;
}

/* Says more than gtid_binlog_pos: also what a server wrote itself before it went on with its
 * master's. */
static void read_binlog_state(struct reader *r)
{
	if (r->out->log_bin == TRI_NO || dialect_family(r->d) != FAMILY_MARIADB)
		return;
	AUTO(db_result)
	struct db_result *res = ask(r, NULL, "SELECT @@GLOBAL.gtid_binlog_state AS state");
	if (res && db_rows(res))
		r->out->binlog_state_text = copy(r, db_get(res, 0, "state"));
}

static const char *either(const struct db_result *res, size_t row, const char *a, const char *b)
{
	const char *value = db_get(res, row, a);
	return value ? value : db_get(res, row, b);
}

static void take_listed_clients(struct reader *r, const struct db_result *res)
{
	struct snapshot_client *all = ARENA_ARRAY(r->a, struct snapshot_client, db_rows(res));
	for (size_t i = 0; i < db_rows(res); i++) {
		all[i].server_id =
		        (uint32_t)unsigned_number(either(res, i, "Server_Id", "Server_id"));
		all[i].uuid = copy(r, either(res, i, "Replica_UUID", "Slave_UUID"));
		all[i].host = copy(r, db_get(res, i, "Host"));
		all[i].port = (unsigned)unsigned_number(db_get(res, i, "Port"));
	}
	r->out->clients = all;
	r->out->n_clients = db_rows(res);
}

/* "10.0.0.7:51234" without the port. */
static void take_dump_threads(struct reader *r, const struct db_result *res)
{
	struct snapshot_client *all = ARENA_ARRAY(r->a, struct snapshot_client, db_rows(res));
	for (size_t i = 0; i < db_rows(res); i++) {
		const char *host = db_get(res, i, "HOST");
		const char *colon = host ? strrchr(host, ':') : NULL;
		all[i].address =
		        colon ? arena_strndup(r->a, host, (size_t)(colon - host)) : copy(r, host);
	}
	r->out->clients = all;
	r->out->n_clients = db_rows(res);
}

/* The list of replicas knows their ids; where our account may not see it, the process list knows
 * addresses. */
static void read_clients(struct reader *r)
{
	if (r->out->log_bin == TRI_NO)
		return;
	AUTO(db_result)
	struct db_result *listed = ask(r, NULL, dialect_sql(r->d, SQL_REPLICA_HOSTS));
	if (listed) {
		take_listed_clients(r, listed);
		return;
	}
	if (is_lost(r))
		return;
	if (is_denied(&r->err))
		note_denied(r, "list of replicas");
	AUTO(db_result)
	struct db_result *threads = ask(r, NULL,
	        "SELECT HOST FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog "
	        "Dump%'");
	if (threads)
		take_dump_threads(r, threads);
}

/* Roles that are active after a login, and what they contain.  %s is the user as a literal. */
static const char mysql_roles[] =
        "WITH RECURSIVE r(u) AS (SELECT e.FROM_USER FROM mysql.role_edges e WHERE e.TO_USER=%s"
        " AND (@@GLOBAL.activate_all_roles_on_login OR EXISTS (SELECT 1 FROM mysql.default_roles d"
        " WHERE d.USER=e.TO_USER AND d.DEFAULT_ROLE_USER=e.FROM_USER))"
        " UNION SELECT e.FROM_USER FROM mysql.role_edges e JOIN r ON e.TO_USER=r.u)"
        " SELECT r.u FROM r JOIN mysql.user m ON m.User=r.u WHERE m.Repl_slave_priv='Y' LIMIT 1";
static const char mariadb_roles[] =
        "WITH RECURSIVE r(u) AS (SELECT default_role FROM mysql.user WHERE User=%s AND "
        "default_role<>''"
        " UNION SELECT m.Role FROM mysql.roles_mapping m JOIN r ON m.User=r.u AND m.Host='')"
        " SELECT r.u FROM r JOIN mysql.user m ON m.User=r.u WHERE m.Repl_slave_priv='Y' LIMIT 1";

/* Servers that know no roles answer with a syntax error or a missing table: then there are none. */
static void read_roles(struct reader *r, const char *quoted)
{
	const char *by_role = dialect_family(r->d) == FAMILY_MARIADB ? mariadb_roles : mysql_roles;
	AUTO(free) char *sql = xasprintf(by_role, quoted);
	AUTO(db_result) struct db_result *res = ask(r, NULL, sql);
	struct snapshot_repl_user *u = &r->out->repl_user;
	if (res && db_rows(res)) {
		u->granted = TRI_YES;
		u->via_role = copy(r, db_get(res, 0, "u"));
	} else {
		u->granted = res || !is_denied(&r->err) ? TRI_NO : TRI_UNKNOWN;
	}
}

static void read_repl_user(struct reader *r)
{
	struct snapshot_repl_user *u = &r->out->repl_user;
	if (!u->user && r->out->n_channels)
		u->user = r->out->channels[0].source_user;
	if (!u->user)
		return;
	AUTO(free) char *quoted = db_quote(u->user);
	AUTO(free)
	char *sql =
	        xasprintf("SELECT COUNT(*) AS n, COALESCE(SUM(Repl_slave_priv='Y'),0) AS granted"
	                  " FROM mysql.user WHERE User=%s",
	                quoted);
	AUTO(db_result) struct db_result *res = ask(r, "replication account", sql);
	if (!res || !db_rows(res))
		return;
	u->exists = number(db_get(res, 0, "n")) > 0 ? TRI_YES : TRI_NO;
	u->granted = number(db_get(res, 0, "granted")) > 0 ? TRI_YES : TRI_NO;
	if (u->exists == TRI_YES && u->granted == TRI_NO)
		read_roles(r, quoted);
}

static enum snapshot_state state_of(enum err_kind kind)
{
	switch (kind) {
	case ERR_NONE: return SNAPSHOT_ALIVE;
	case ERR_UNREACHABLE: return SNAPSHOT_DEAD;
	case ERR_REFUSED: return SNAPSHOT_REFUSED;
	case ERR_LOST: return SNAPSHOT_LOST;
	default: return SNAPSHOT_UNUSABLE;
	}
}

static void fail(struct reader *r)
{
	if (r->db && is_lost(r))
		r->err.kind = ERR_LOST;
	r->out->err = r->err;
	r->out->state = state_of(r->err.kind);
}

static bool open_session(struct reader *r, struct snapshot_reading *g, int64_t deadline)
{
	int64_t left = clock_left(deadline);
	if (g->db.connect_ms > left)
		g->db.connect_ms = left > 0 ? left : 1;
	r->db = db_open(&g->db, &r->err);
	if (!r->db)
		return false;
	db_deadline(r->db, deadline);
	r->d = db_dialect(r->db);
	r->out->dialect = r->d;
	r->out->version = copy(r, db_server_version(r->db));
	r->out->version_number = r->out->version ? dialect_version_number(r->out->version) : 0;
	return true;
}

/* In order; the first two matter so much that a server without them cannot be used. */
static bool read_essentials(struct reader *r)
{
	if (!read_variables(r))
		return false;
	take_identity(r);
	take_paths(r);
	take_sets(r);
	return read_channels(r);
}

static bool read_details(struct reader *r)
{
	static void (*const details[])(struct reader *) = {
		read_binlog_status,
		read_binlog_state,
		read_clients,
		read_repl_user,
		read_heartbeats,
	};
	for (size_t i = 0; i < ARRAY_LEN(details); i++) {
		r->err = (struct err){ 0 };
		details[i](r);
		if (is_lost(r))
			return false;
	}
	return true;
}

static struct reader reader_of(struct snapshot_reading *g)
{
	return (struct reader){ .out = &g->out, .a = g->out.arena, .denied = VEC_INIT };
}

static void reader_done(struct reader *r)
{
	const char **denied = ARENA_ARRAY(r->a, const char *, r->denied.len + 1);
	for (size_t i = 0; i < r->denied.len; i++)
		denied[i] = r->denied.items[i];
	r->out->denied = denied;
	r->out->n_denied = r->denied.len;
	vec_done(&r->denied);
	vars_free(r->vars);
	db_close(r->db);
}

void snapshot_read_all(struct snapshot_reading *g, int64_t deadline)
{
	struct reader r = reader_of(g);
	int64_t begin = clock_ms();
	g->out.repl_user.user = g->repl_user;
	if (open_session(&r, g, deadline) && read_essentials(&r) && read_details(&r))
		g->out.state = SNAPSHOT_ALIVE;
	else
		fail(&r);
	g->out.read_at = clock_ms();
	g->out.took_ms = g->out.read_at - begin;
	reader_done(&r);
}

void snapshot_read_late(struct snapshot_reading *g, int64_t deadline)
{
	struct reader r = reader_of(g);
	if (open_session(&r, g, deadline)) {
		read_binlog_status(&r);
		if (read_variables(&r))
			g->out.executed_late = executed_now(&r);
		g->out.binlog_late_file = g->out.binlog_file;
		g->out.binlog_late_pos = g->out.binlog_pos;
		read_logs(&r);
	}
	reader_done(&r);
}

void snapshot_read_addresses(struct snapshot_reading *g, const char *name)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
	if (getaddrinfo(name, NULL, &hints, &found))
		return;
	VEC(const char *) all = VEC_INIT;
	for (struct addrinfo *ai = found; ai; ai = ai->ai_next) {
		char text[NI_MAXHOST];
		if (!getnameinfo(ai->ai_addr, ai->ai_addrlen, text, sizeof(text), NULL, 0,
		            NI_NUMERICHOST))
			vec_push(&all, arena_strdup(g->out.arena, text));
	}
	freeaddrinfo(found);
	const char **list = ARENA_ARRAY(g->out.arena, const char *, all.len + 1);
	for (size_t i = 0; i < all.len; i++)
		list[i] = all.items[i];
	g->addresses = list;
	vec_done(&all);
}

struct snapshot_reading *snapshot_reading_new(const struct conf_server *c)
{
	struct snapshot_reading *g = xzalloc(sizeof(*g));
	struct arena *a = g->out.arena = arena_new();
	g->password = xstrdup(c->password);
	g->repl_user = c->repl_user && *c->repl_user ? arena_strdup(a, c->repl_user) : NULL;
	g->db = (struct db_opts){
		.name = arena_strdup(a, c->hostinfo ? c->hostinfo : c->hostname),
		.address = arena_strdup(a, c->ip),
		.port = (unsigned)c->port,
		.user = arena_strdup(a, c->user),
		.password = g->password,
		.tls = (enum db_tls)c->tls,
		.tls_ca = arena_strdup(a, c->tls_ca),
		.tls_cert = arena_strdup(a, c->tls_cert),
		.tls_key = arena_strdup(a, c->tls_key),
		.tls_fingerprint = arena_strdup(a, c->tls_fingerprint),
		.public_key = arena_strdup(a, c->public_key),
		.connect_ms = c->connect_timeout,
		.query_ms = c->query_timeout,
	};
	return g;
}

void snapshot_server_done(struct snapshot_server *s)
{
	gtid_set_free(s->executed);
	gtid_set_free(s->executed_late);
	gtid_set_free(s->purged);
	gtid_set_free(s->binlog_gtids);
	gtid_set_free(s->replica_gtids);
	for (size_t i = 0; i < s->n_channels; i++) {
		gtid_set_free(s->channels[i].retrieved);
		gtid_set_free(s->channels[i].gtid_io_pos);
	}
	arena_free(s->arena);
}

void snapshot_reading_free(void *p)
{
	struct snapshot_reading *g = p;
	snapshot_server_done(&g->out);
	mem_free_secret(g->password);
	free(g);
}
