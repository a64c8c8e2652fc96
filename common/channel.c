/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * channel - statements about one replication channel.
 * Runs on: any thread.
 */
#include "channel.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "str.h"

enum { AGAIN_MS = 100 };

static bool is_mariadb(const struct db *db)
{
	return dialect_family(db_dialect(db)) == FAMILY_MARIADB;
}

static const char *text_of(const char *s)
{
	return s ? s : "";
}

static uint64_t number_of(const char *s)
{
	return s ? strtoull(s, NULL, 10) : 0;
}

/* What several tables and versions say for yes. */
static bool is_true(const char *s)
{
	return s && (strcasecmp(s, "Yes") == 0 || number_of(s) != 0);
}

static int64_t seconds_to_ms(const char *s)
{
	return s && *s ? (int64_t)(strtod(s, NULL) * 1000 + 0.5) : -1;
}

/*
 * ---- status ------------------------------------------------------------------------------------
 */

struct row {
	struct db *db;
	const struct db_result *res;
	size_t i;
};

static const char *col(const struct row *w, enum dialect_col c)
{
	return text_of(db_get(w->res, w->i, dialect_col(db_dialect(w->db), c)));
}

/* Which row is meant; the number of rows if none is. */
static size_t find_row(struct db *db, const struct db_result *res, const char *wanted)
{
	size_t n = db_rows(res), i = 0;

	while (i < n && !str_is(col(&(struct row){ db, res, i }, COL_CHANNEL), text_of(wanted)))
		i++;
	return i == n && n == 1 && !wanted ? 0 : i;
}

static enum channel_io io_of(const char *text)
{
	if (strcasecmp(text, "Yes") == 0)
		return CHANNEL_IO_YES;
	return !*text || strcasecmp(text, "No") == 0 ? CHANNEL_IO_NO : CHANNEL_IO_CONNECTING;
}

static enum channel_gtid gtid_of(const struct row *w)
{
	const char *using = col(w, COL_USING_GTID);

	if (is_true(col(w, COL_AUTO_POSITION)))
		return CHANNEL_GTID_AUTO;
	if (strcasecmp(using, "Slave_Pos") == 0)
		return CHANNEL_GTID_SLAVE_POS;
	return strcasecmp(using, "Current_Pos") == 0 ? CHANNEL_GTID_CURRENT_POS : CHANNEL_GTID_NO;
}

#define TEXT(field, c) snprintf(s->field, sizeof(s->field), "%s", col(w, c))

static void fill_positions(const struct row *w, struct channel_status *s)
{
	TEXT(read_file, COL_READ_FILE);
	TEXT(exec_file, COL_EXEC_FILE);
	TEXT(relay_file, COL_RELAY_FILE);
	s->read_pos = number_of(col(w, COL_READ_POS));
	s->exec_pos = number_of(col(w, COL_EXEC_POS));
	s->relay_pos = number_of(col(w, COL_RELAY_POS));
	s->gtid = gtid_of(w);
}

static void fill(const struct row *w, struct channel_status *s)
{
	s->is_replica = true;
	s->io = io_of(col(w, COL_IO_RUNNING));
	s->sql_running = is_true(col(w, COL_SQL_RUNNING));
	s->io_errno = (int)number_of(col(w, COL_LAST_IO_ERRNO));
	s->sql_errno = (int)number_of(col(w, COL_LAST_SQL_ERRNO));
	TEXT(sql_state, COL_SQL_STATE);
	TEXT(io_error, COL_LAST_IO_ERROR);
	TEXT(sql_error, COL_LAST_SQL_ERROR);
	TEXT(source_host, COL_SOURCE_HOST);
	TEXT(source_user, COL_SOURCE_USER);
	s->source_port = (unsigned)number_of(col(w, COL_SOURCE_PORT));
	s->delay = (int64_t)number_of(col(w, COL_SQL_DELAY));
	s->heartbeat_ms = seconds_to_ms(col(w, COL_HEARTBEAT_PERIOD));
	fill_positions(w, s);
}

/* ERR_SQL of a question whose answer can be done without: no right to look, no such table. */
static bool do_without(const struct err *why, struct err *e)
{
	if (why->kind == ERR_SQL)
		return true;
	if (e)
		*e = *why;
	return false;
}

/* Of servers with one channel only there is a counter. */
static bool fill_heartbeat(struct db *db, struct channel_status *s, struct err *e)
{
	struct err why = { .kind = ERR_NONE };
	AUTO(db_result)
	struct db_result *r =
	        db_query(db, "SHOW GLOBAL STATUS LIKE 'Slave_heartbeat_period'", &why);

	if (!r)
		return do_without(&why, e);
	s->heartbeat_ms = seconds_to_ms(db_get(r, 0, "Value"));
	return true;
}

/* What the status row does not show. */
static bool fill_more(struct db *db, struct channel_status *s, struct err *e)
{
	AUTO(free) char *name = db_quote(s->name);
	AUTO(free)
	char *sql = xasprintf("SELECT * FROM performance_schema."
	                      "replication_connection_configuration WHERE CHANNEL_NAME=%s",
	        name);
	AUTO(db_result) struct db_result *r = NULL;
	struct err why = { .kind = ERR_NONE };

	if (is_mariadb(db))
		return true;
	if (!dialect_can(db_dialect(db), CAP_PFS_REPLICATION))
		return fill_heartbeat(db, s, e);
	r = db_query(db, sql, &why);
	if (!r)
		return do_without(&why, e);
	s->gtid_only = is_true(db_get(r, 0, "GTID_ONLY"));
	s->auto_failover = is_true(db_get(r, 0, "SOURCE_CONNECTION_AUTO_FAILOVER"));
	s->heartbeat_ms = seconds_to_ms(db_get(r, 0, "HEARTBEAT_INTERVAL"));
	return true;
}

static bool parse_retrieved(const struct row *w, struct gtid_set **ret, struct err *e)
{
	bool mariadb = is_mariadb(w->db);
	const char *text = col(w, mariadb ? COL_GTID_IO_POS : COL_RETRIEVED_GTID);

	*ret = gtid_set_parse(mariadb ? GTID_MARIADB : GTID_MYSQL, text, e);
	return *ret != NULL;
}

bool channel_read(struct db *db, const char *wanted, struct channel_status *ret,
        struct gtid_set **ret_retrieved, struct err *e)
{
	AUTO(db_result)
	struct db_result *res = db_query(db, dialect_sql(db_dialect(db), SQL_REPLICA_STATUS), e);
	AUTO(gtid) struct gtid_set *retrieved = NULL;
	struct channel_status st = { .heartbeat_ms = -1 }, *s = &st;
	struct row row = { db, res, 0 }, *w = &row;

	if (!res)
		return false;
	w->i = find_row(db, res, wanted);
	s->channels = db_rows(res);
	snprintf(s->name, sizeof(s->name), "%s", text_of(wanted));
	if (w->i < s->channels) {
		TEXT(name, COL_CHANNEL);
		fill(w, s);
		if (!fill_more(db, s, e) || (ret_retrieved && !parse_retrieved(w, &retrieved, e)))
			return false;
	}
	*ret = st;
	if (ret_retrieved)
		*ret_retrieved = TAKE(retrieved);
	return true;
}

struct gtid_set *channel_gtids(struct db *db, enum dialect_var what, struct err *e)
{
	const char *name = dialect_var(db_dialect(db), what);
	enum gtid_dialect family = is_mariadb(db) ? GTID_MARIADB : GTID_MYSQL;
	AUTO(free) char *sql = NULL, *text = NULL;

	if (!name)
		return gtid_set_new(family);
	sql = xasprintf("SELECT @@GLOBAL.%s", name);
	if (!db_value(db, sql, &text, e))
		return NULL;
	return gtid_set_parse(family, text_of(text), e);
}

/*
 * ---- statements --------------------------------------------------------------------------------
 */

/* How a channel is named: behind the verb, or at the end. */
static void add_name(const struct dialect *d, const char *name, struct str *behind, struct str *end)
{
	AUTO(free) char *quoted = db_quote(name);

	if (!dialect_can(d, CAP_CHANNELS))
		return;
	if (dialect_family(d) != FAMILY_MARIADB)
		str_addf(end, " FOR CHANNEL %s", quoted);
	else if (*name)
		str_addf(behind, " %s", quoted);
}

bool channel_verb(const struct channel *c, const char *verb, const char *tail, struct err *e)
{
	const struct dialect *d = db_dialect(c->db);
	AUTO_STR struct str sql = STR_INIT, end = STR_INIT;

	str_addf(&sql, "%s %s", verb, dialect_word(d, WORD_REPLICA));
	add_name(d, c->name, &sql, &end);
	str_addf(&sql, "%s%s%s", *tail ? " " : "", tail, end.p);
	return db_exec(c->db, sql.p, e);
}

char *channel_change_sql(const struct dialect *d, const char *name, const char *options)
{
	static const char mark[] = "%SOURCE%";
	AUTO_STR struct str sql = STR_INIT, end = STR_INIT;

	str_add(&sql, dialect_word(d, WORD_CHANGE_SOURCE));
	add_name(d, name, &sql, &end);
	str_add(&sql, " TO ");
	for (const char *p; (p = strstr(options, mark)); options = p + sizeof(mark) - 1) {
		str_addn(&sql, options, (size_t)(p - options));
		str_add(&sql, dialect_word(d, WORD_SOURCE));
	}
	str_add(&sql, options);
	str_add(&sql, end.p);
	return str_take(&sql);
}

bool channel_change(const struct channel *c, const char *options, struct err *e)
{
	char *sql = channel_change_sql(db_dialect(c->db), c->name, options);
	bool ok = db_exec(c->db, sql, e);

	mem_free_secret(sql);
	return ok;
}

bool channel_flush_relay_logs(const struct channel *c, struct err *e)
{
	AUTO_STR struct str sql = STR_INIT, end = STR_INIT;

	str_add(&sql, "FLUSH NO_WRITE_TO_BINLOG RELAY LOGS");
	add_name(db_dialect(c->db), c->name, &sql, &end);
	str_add(&sql, end.p);
	return db_exec(c->db, sql.p, e);
}

bool channel_kill_appliers(struct db *db, struct err *e)
{
	AUTO(db_result) struct db_result *r = db_query(db, "SHOW PROCESSLIST", e);

	if (!r)
		return false;
	for (size_t i = 0; i < db_rows(r); i++) {
		AUTO(free) char *sql = NULL;
		struct err why = { .kind = ERR_NONE };

		if (!str_is(db_get(r, i, "User"), "system user"))
			continue;
		sql = xasprintf("KILL %s", text_of(db_get(r, i, "Id")));
		if (!db_exec(db, sql, &why) && !do_without(&why, e))
			return false;
	}
	return true;
}

/* It looks whether it is done when an event comes: the end of a relay log is one. */
static bool nudge_until_stopped(
        const struct channel *c, int64_t deadline, struct channel_status *ret, struct err *e)
{
	do {
		if (!channel_flush_relay_logs(c, e))
			return false;
		poll(NULL, 0, AGAIN_MS);
		if (!channel_read(c->db, c->name, ret, NULL, e))
			return false;
	} while (ret->sql_running && clock_left(deadline) > 0);
	return true;
}

bool channel_fill_gaps(const struct channel *c, int64_t deadline, struct err *e)
{
	struct channel_status st;

	if (is_mariadb(c->db))
		return true;
	if (!channel_verb(c, "START", "SQL_THREAD UNTIL SQL_AFTER_MTS_GAPS", e)) {
		err_hint(e, "if the server crashed and has relay_log_recovery=1: restart it with "
		            "relay_log_recovery=0, and run the same command again");
		return err_ctx(e, "fill the gaps of the parallel applier");
	}
	if (!nudge_until_stopped(c, deadline, &st, e))
		return false;
	if (st.sql_running)
		return err_set(e, ERR_LOST, 0, "%s: the gaps of its parallel applier do not fill",
		        db_name(c->db));
	if (st.sql_errno)
		return err_set(e, ERR_SQL, st.sql_errno,
		        "%s: fill the gaps of the parallel applier: %s", db_name(c->db),
		        st.sql_error);
	return true;
}
