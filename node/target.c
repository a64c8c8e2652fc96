/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * target - sessions and statements of the appliers.
 * Runs on: any thread.
 */
#include "target.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "str.h"

enum {
	CONNECT_MS = 10000,
	QUERY_MS = 120000, /* a statement; waits are made of short ones */
	AGAIN_MS = 100,
	STOP_MS = 1000,      /* STOP, before it is asked what it waits for */
	LOCK_MS = 120000,    /* for what was left behind to end */
	KILL_EVERY_MS = 500, /* a killed applier may begin anew and be in the way again */
};

bool target_is_gone(const struct err *e)
{
	return e->kind == ERR_LOST || e->kind == ERR_UNREACHABLE;
}

static void nap(struct target *t, int ms)
{
	int64_t left = clock_left(t->deadline);

	poll(NULL, 0, left < ms ? (int)left : ms);
}

static bool open_once(struct target *t, struct err *e)
{
	const struct target_login *l = t->login;
	struct db_opts o = {
		.name = t->name,
		.address = l->address,
		.port = l->port,
		.socket = l->socket,
		.user = l->user,
		.password = l->password,
		.tls = l->socket ? DB_TLS_OFF : DB_TLS_PREFERRED,
		.connect_ms = CONNECT_MS,
		.query_ms = t->query_ms ? t->query_ms : QUERY_MS,
	};

	t->db = db_open(&o, e);
	if (!t->db)
		return false;
	db_deadline(t->db, t->deadline);
	t->vars = vars_read(t->db, e);
	return t->vars != NULL;
}

static bool take_lock(struct target *t, struct err *e)
{
	AUTO(free) char *name = xasprintf("mha-node apply %.40s", t->channel);
	AUTO(free) char *quoted = db_quote(name);
	AUTO(free) char *sql = xasprintf("SELECT GET_LOCK(%s,1)", quoted);
	int64_t end = clock_sooner(t->deadline, clock_in(LOCK_MS));

	do {
		AUTO(free) char *got = NULL;

		if (!db_value(t->db, sql, &got, e))
			return false;
		if (str_is(got, "1"))
			return true;
	} while (clock_left(end) > 0);
	return err_set(e, ERR_PRECOND, 0, "%s: another apply is at work there", t->name);
}

void target_close(struct target *t)
{
	vars_free(t->vars);
	db_close(t->db);
	t->vars = NULL;
	t->db = NULL;
}

static bool open_until(struct target *t, bool patient, bool lock, struct err *e)
{
	for (;;) {
		struct err why = { .kind = ERR_NONE };

		target_close(t);
		if (open_once(t, &why) && (!lock || take_lock(t, &why)))
			return true;
		if (!patient || why.kind == ERR_CONFIG || why.kind == ERR_PRECOND ||
		        clock_left(t->deadline) == 0) {
			if (e)
				*e = why;
			return false;
		}
		nap(t, AGAIN_MS);
	}
}

bool target_open(struct target *t, const struct target_login *l, int64_t deadline, bool patient,
        struct err *e)
{
	*t = (struct target){ .login = l, .deadline = deadline };
	if (l->socket)
		snprintf(t->name, sizeof(t->name), "%s", l->socket);
	else
		snprintf(t->name, sizeof(t->name), "%s:%u", l->address, l->port);
	snprintf(t->channel, sizeof(t->channel), "%s", l->channel ? l->channel : "");
	return open_until(t, patient, true, e);
}

bool target_reopen(struct target *t, struct err *e)
{
	return open_until(t, true, true, e);
}

/*
 * ---- status ------------------------------------------------------------------------------------
 */

static const char *text_of(const char *s)
{
	return s ? s : "";
}

static uint64_t number_of(const char *s)
{
	return s ? strtoull(s, NULL, 10) : 0;
}

static const char *column(
        struct target *t, const struct db_result *r, size_t row, enum dialect_col c)
{
	return db_get(r, row, dialect_col(db_dialect(t->db), c));
}

/* The row of our channel; false if there is none. */
static bool find_row(struct target *t, const struct db_result *r, size_t *ret, struct err *e)
{
	size_t n = db_rows(r), found = n;

	t->others = n > 1;
	for (size_t i = 0; i < n; i++)
		if (str_is(text_of(column(t, r, i, COL_CHANNEL)), t->channel))
			found = i;
	if (found == n && n == 1 && !t->login->channel) {
		found = 0;
		snprintf(t->channel, sizeof(t->channel), "%s",
		        text_of(column(t, r, 0, COL_CHANNEL)));
	}
	if (found == n && (t->login->channel || n))
		return err_set(e, ERR_PRECOND, 0, "%s: no replication channel \"%s\" among %zu",
		        t->name, t->channel, n);
	*ret = found;
	return true;
}

static enum target_gtid gtid_of(struct target *t, const struct db_result *r, size_t row)
{
	const char *using = text_of(column(t, r, row, COL_USING_GTID));

	if (number_of(column(t, r, row, COL_AUTO_POSITION)))
		return TARGET_GTID_AUTO;
	if (strcasecmp(using, "Slave_Pos") == 0)
		return TARGET_GTID_SLAVE_POS;
	return strcasecmp(using, "Current_Pos") == 0 ? TARGET_GTID_CURRENT_POS : TARGET_GTID_NO;
}

static bool is_yes(const char *s)
{
	return s && strcasecmp(s, "No") != 0;
}

static void fill(struct target *t, const struct db_result *r, size_t i, struct target_status *s)
{
	const char *id = vars_get(t->vars, VAR_SERVER_UUID);

	s->is_replica = true;
	s->io_running = is_yes(column(t, r, i, COL_IO_RUNNING));
	s->sql_running = is_yes(column(t, r, i, COL_SQL_RUNNING));
	snprintf(s->read_file, sizeof(s->read_file), "%s", text_of(column(t, r, i, COL_READ_FILE)));
	s->read_pos = number_of(column(t, r, i, COL_READ_POS));
	snprintf(s->exec_file, sizeof(s->exec_file), "%s", text_of(column(t, r, i, COL_EXEC_FILE)));
	s->exec_pos = number_of(column(t, r, i, COL_EXEC_POS));
	snprintf(s->relay_file, sizeof(s->relay_file), "%s",
	        text_of(column(t, r, i, COL_RELAY_FILE)));
	s->relay_pos = number_of(column(t, r, i, COL_RELAY_POS));
	snprintf(s->source, sizeof(s->source), "%s@%s:%s of %s",
	        text_of(column(t, r, i, COL_SOURCE_USER)),
	        text_of(column(t, r, i, COL_SOURCE_HOST)),
	        text_of(column(t, r, i, COL_SOURCE_PORT)),
	        id ? id : text_of(vars_get(t->vars, VAR_SERVER_ID)));
	s->gtid = gtid_of(t, r, i);
	s->delay = (int64_t)number_of(column(t, r, i, COL_SQL_DELAY));
	s->sql_errno = (int)number_of(column(t, r, i, COL_LAST_SQL_ERRNO));
	snprintf(s->sql_error, sizeof(s->sql_error), "%s",
	        text_of(column(t, r, i, COL_LAST_SQL_ERROR)));
}

/* What the status row does not show, of servers that have it. */
static bool fill_more(struct target *t, struct target_status *s, struct err *e)
{
	AUTO(free) char *channel = db_quote(t->channel);
	AUTO(free)
	char *sql = xasprintf("SELECT * FROM performance_schema."
	                      "replication_connection_configuration WHERE CHANNEL_NAME=%s",
	        channel);
	AUTO(db_result) struct db_result *r = NULL;
	struct err why = { .kind = ERR_NONE };

	if (!dialect_can(db_dialect(t->db), CAP_PFS_REPLICATION))
		return true;
	r = db_query(t->db, sql, &why);
	if (!r && why.kind == ERR_SQL) /* no right to look: CHANGE will say if it matters */
		return true;
	if (!r) {
		if (e)
			*e = why;
		return false;
	}
	s->gtid_only = number_of(db_get(r, 0, "GTID_ONLY")) ||
	               strcasecmp(text_of(db_get(r, 0, "GTID_ONLY")), "YES") == 0;
	s->auto_failover = number_of(db_get(r, 0, "SOURCE_CONNECTION_AUTO_FAILOVER")) != 0;
	return true;
}

bool target_status(struct target *t, struct target_status *ret, struct err *e)
{
	AUTO(db_result)
	struct db_result *r =
	        db_query(t->db, dialect_sql(db_dialect(t->db), SQL_REPLICA_STATUS), e);
	struct target_status s = { .is_replica = false };
	size_t row = 0;

	if (!r || !find_row(t, r, &row, e))
		return false;
	if (row < db_rows(r)) {
		fill(t, r, row, &s);
		if (!fill_more(t, &s, e))
			return false;
	}
	*ret = s;
	return true;
}

static struct gtid_set *read_gtids(struct target *t, enum dialect_var what, struct err *e)
{
	AUTO(free)
	char *sql = xasprintf("SELECT @@GLOBAL.%s", dialect_var(db_dialect(t->db), what));
	AUTO(free) char *text = NULL;

	if (!db_value(t->db, sql, &text, e))
		return NULL;
	return gtid_set_parse(target_is_mariadb(t) ? GTID_MARIADB : GTID_MYSQL, text_of(text), e);
}

struct gtid_set *target_gtids(struct target *t, struct err *e)
{
	return read_gtids(t, target_is_mariadb(t) ? VAR_GTID_REPLICA_POS : VAR_GTID_EXECUTED, e);
}

struct gtid_set *target_logged(struct target *t, struct err *e)
{
	return read_gtids(t, VAR_GTID_EXECUTED, e);
}

/*
 * ---- statements --------------------------------------------------------------------------------
 */

/* How the channel is named: behind the verb, or at the end. */
static void add_channel(struct target *t, struct str *behind, struct str *end)
{
	AUTO(free) char *name = db_quote(t->channel);

	if (!dialect_can(db_dialect(t->db), CAP_CHANNELS))
		return;
	if (!target_is_mariadb(t))
		str_addf(end, " FOR CHANNEL %s", name);
	else if (t->channel[0])
		str_addf(behind, " %s", name);
}

bool target_verb(
        struct target *t, const char *verb, const char *thread, const char *tail, struct err *e)
{
	AUTO_STR struct str sql = STR_INIT, end = STR_INIT;

	str_addf(&sql, "%s %s", verb, dialect_word(db_dialect(t->db), WORD_REPLICA));
	add_channel(t, &sql, &end);
	str_addf(&sql, " %s%s%s%s", thread, tail[0] ? " " : "", tail, end.p);
	return db_exec(t->db, sql.p, e);
}

bool target_change(struct target *t, const char *options, struct err *e)
{
	static const char mark[] = "%SOURCE%";
	AUTO_STR struct str sql = STR_INIT, end = STR_INIT;

	str_add(&sql, dialect_word(db_dialect(t->db), WORD_CHANGE_SOURCE));
	add_channel(t, &sql, &end);
	str_add(&sql, " TO ");
	for (const char *p; (p = strstr(options, mark)); options = p + sizeof(mark) - 1) {
		str_addn(&sql, options, (size_t)(p - options));
		str_add(&sql, dialect_word(db_dialect(t->db), WORD_SOURCE));
	}
	str_add(&sql, options);
	str_add(&sql, end.p);
	return db_exec(t->db, sql.p, e);
}

/* Written to the binlog it would be a transaction of its own. */
bool target_flush_relay_logs(struct target *t, struct err *e)
{
	AUTO_STR struct str sql = STR_INIT, end = STR_INIT;

	str_add(&sql, "FLUSH NO_WRITE_TO_BINLOG RELAY LOGS");
	add_channel(t, &sql, &end);
	str_add(&sql, end.p);
	return db_exec(t->db, sql.p, e);
}

bool target_set_global(struct target *t, const char *name, const char *value, struct err *e)
{
	AUTO(free) char *sql = xasprintf("SET GLOBAL %s=%s", name, value);

	return db_exec(t->db, sql, e);
}

/*
 * ---- stopping ----------------------------------------------------------------------------------
 */

/*
 * All of the server's own replication threads: the receiver is stopped, so they are the applier's.
 */
static bool kill_applier(struct target *t, struct err *e)
{
	AUTO(db_result) struct db_result *r = db_query(t->db, "SHOW PROCESSLIST", e);

	if (!r)
		return false;
	for (size_t i = 0; i < db_rows(r); i++) {
		AUTO(free) char *sql = NULL;
		struct err why = { .kind = ERR_NONE };

		if (!str_is(db_get(r, i, "User"), "system user"))
			continue;
		sql = xasprintf("KILL %s", text_of(db_get(r, i, "Id")));
		if (!db_exec(t->db, sql, &why) && why.kind != ERR_SQL) {
			if (e)
				*e = why;
			return false;
		}
	}
	return true;
}

/* Where the applier is; 5.6 answers nothing else of it while it stops. */
static bool is_at_half(
        struct target *t, const struct target_status *st, const struct target_half *half)
{
	AUTO(db_result)
	struct db_result *r = db_query(t->db, "SELECT * FROM mysql.slave_relay_log_info", NULL);
	const char *file = st->relay_file;
	uint64_t pos = st->relay_pos;
	size_t n;

	for (size_t i = 0; r && i < db_rows(r); i++)
		if (str_is(text_of(db_get(r, i, "Channel_name")), t->channel)) {
			file = text_of(db_get(r, i, "Relay_log_name"));
			pos = number_of(db_get(r, i, "Relay_log_pos"));
		}
	n = strlen(half->file);
	return half->open && strlen(file) >= n && str_is(file + strlen(file) - n, half->file) &&
	       pos >= half->from;
}

/* Whether it has stopped, asked for a moment only. */
static bool has_stopped(struct target *t, bool *ret, struct err *e)
{
	struct err why = { .kind = ERR_NONE };
	struct target_status st;
	bool ok;

	db_deadline(t->db, clock_sooner(t->deadline, clock_in(KILL_EVERY_MS)));
	ok = target_status(t, &st, &why);
	db_deadline(t->db, t->deadline);
	if (ok) {
		*ret = !st.sql_running;
		return true;
	}
	*ret = false;
	if (why.kind == ERR_LOST)
		return open_until(t, true, false, e);
	if (e)
		*e = why;
	return false;
}

static bool wait_stopped(struct target *t, const struct target_status *before, target_half_fn *find,
        void *arg, struct err *e)
{
	struct target_half half = { .open = false };
	int64_t next_kill = 0;

	if (!t->others) /* whose threads they are cannot be seen */
		find(arg, before, &half);
	for (;;) {
		bool stopped;

		if (half.open && clock_ms() >= next_kill && is_at_half(t, before, &half)) {
			next_kill = clock_in(KILL_EVERY_MS);
			if (!kill_applier(t, e))
				return false;
		}
		if (!has_stopped(t, &stopped, e))
			return false;
		if (stopped)
			return true;
		if (clock_left(t->deadline) == 0)
			return err_set(e, ERR_LOST, 0, "%s: its applier does not stop", t->name);
		nap(t, AGAIN_MS / 2);
	}
}

bool target_stop_applier(struct target *t, target_half_fn *find, void *arg, struct err *e)
{
	struct err why = { .kind = ERR_NONE };
	struct target_status before;
	bool done;

	if (!target_status(t, &before, e))
		return false;
	if (!before.sql_running)
		return true;
	db_deadline(t->db, clock_sooner(t->deadline, clock_in(STOP_MS)));
	done = target_verb(t, "STOP", "SQL_THREAD", "", &why);
	db_deadline(t->db, t->deadline);
	if (done)
		return true;
	if (why.kind != ERR_LOST) {
		if (e)
			*e = why;
		return false;
	}
	/* The server goes on stopping it, in the session that has the lock. */
	return open_until(t, true, false, e) && wait_stopped(t, &before, find, arg, e) &&
	       take_lock(t, e);
}

bool target_fill_gaps(struct target *t, struct err *e)
{
	struct target_status st;

	if (target_is_mariadb(t))
		return true;
	if (!target_verb(t, "START", "SQL_THREAD", "UNTIL SQL_AFTER_MTS_GAPS", e)) {
		err_hint(e, "if the server crashed and has relay_log_recovery=1: restart it with "
		            "relay_log_recovery=0, and run the same command again");
		return err_ctx(e, "fill the gaps of the parallel applier");
	}
	do {
		/*
		 * It looks whether it is done when an event comes: the end of a relay log is one.
		 */
		if (!target_flush_relay_logs(t, e))
			return false;
		nap(t, AGAIN_MS);
		if (!target_status(t, &st, e))
			return false;
	} while (st.sql_running && clock_left(t->deadline) > 0);
	if (st.sql_running)
		return err_set(e, ERR_LOST, 0, "%s: the gaps of its parallel applier do not fill",
		        t->name);
	if (st.sql_errno)
		return err_set(e, ERR_SQL, st.sql_errno,
		        "%s: fill the gaps of the parallel applier: %s", t->name, st.sql_error);
	return true;
}
