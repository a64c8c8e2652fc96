/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repl - the session with the server, and looking.  Runs on: worker.
 *
 * A session whose statement did not come back in time is given up: the server goes on with that statement,
 * and answers questions in another session.
 */
#include "repl_impl.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "db.h"
#include "dbloop.h"

/* Statements end by the caller's deadline, never by the setting for looks at a server. */
enum { QUERY_MS = 24 * 3600 * 1000 };

struct db *repl_login(const struct conf_server *s, int64_t deadline, struct err *e)
{
	struct db_opts o = dbloop_options(s);
	int64_t left = clock_left(deadline);
	struct db *db;

	if (left == 0) {
		err_set(e, ERR_PRECOND, 0, "no time is left to log in");
		err_at(e, o.name);
		return NULL;
	}
	if (left < o.connect_ms)
		o.connect_ms = left;
	o.query_ms = QUERY_MS;
	db = db_open(&o, e);
	if (db)
		db_deadline(db, deadline);
	return db;
}

struct repl *repl_open(
        const struct conf_server *s, const char *channel, int64_t deadline, struct err *e)
{
	AUTO(repl) struct repl *r = xzalloc(sizeof(*r));
	struct channel_status st;

	r->server = s;
	r->wanted = xstrdup(channel);
	snprintf(r->channel, sizeof(r->channel), "%s", channel ? channel : "");
	if (!repl_ready(r, deadline, e))
		return NULL;
	/* Who may not see the replica status can do nothing of all this. */
	if (!channel && !repl_status(r, deadline, &st, NULL, e))
		return NULL;
	return TAKE(r);
}

static void close_session(struct repl *r)
{
	db_close(TAKE(r->db));
	r->locked = false;
}

void repl_close(struct repl *r)
{
	if (!r)
		return;
	close_session(r);
	free(r->wanted);
	free(r);
}

const struct conf_server *repl_server(const struct repl *r)
{
	return r->server;
}

const char *repl_name(const struct repl *r)
{
	return r->server->hostinfo ? r->server->hostinfo : r->server->hostname;
}

const char *repl_channel(const struct repl *r)
{
	return r->channel;
}

const struct dialect *repl_dialect(const struct repl *r)
{
	return r->dialect;
}

bool repl_is_mariadb(const struct repl *r)
{
	return dialect_family(r->dialect) == FAMILY_MARIADB;
}

bool repl_ready(struct repl *r, int64_t deadline, struct err *e)
{
	if (r->db) {
		db_deadline(r->db, deadline);
		return true;
	}
	r->db = repl_login(r->server, deadline, e);
	if (r->db)
		r->dialect = db_dialect(r->db);
	return r->db != NULL;
}

struct db *repl_db(struct repl *r, int64_t deadline, struct err *e)
{
	return repl_ready(r, deadline, e) ? r->db : NULL;
}

static bool is_gone(const struct err *why)
{
	return why->kind == ERR_LOST || why->kind == ERR_UNREACHABLE;
}

void repl_note(struct repl *r, const struct err *why)
{
	if (is_gone(why))
		close_session(r);
}

bool repl_fail(const struct err *why, struct err *e)
{
	if (e)
		*e = *why;
	return false;
}

bool repl_nap(int ms, int64_t deadline)
{
	int64_t left = clock_left(deadline);

	poll(NULL, 0, left < ms ? (int)left : ms);
	return left > ms;
}

bool repl_error(
        const struct repl *r, struct err *e, enum err_kind kind, int code, const char *fmt, ...)
{
	char text[sizeof(e->text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err_set(e, kind, code, "%s", text);
	return err_at(e, repl_name(r));
}

/* A parallel applier tells where to look instead of what happened. */
static void add_worker_error(struct repl *r, struct err *e)
{
	AUTO(free) char *channel = db_quote(r->channel);
	AUTO(free)
	char *sql = xasprintf("SELECT LAST_ERROR_MESSAGE AS t FROM performance_schema."
	                      "replication_applier_status_by_worker WHERE LAST_ERROR_NUMBER<>0 AND "
	                      "CHANNEL_NAME=%s ORDER BY LAST_ERROR_TIMESTAMP LIMIT 1",
	        channel);
	AUTO(db_result) struct db_result *res = NULL;

	if (!r->db || repl_is_mariadb(r) || !dialect_can(r->dialect, CAP_PFS_REPLICATION))
		return;
	res = db_query(r->db, sql, NULL);
	if (res && db_get(res, 0, "t"))
		repl_error(
		        r, e, ERR_PRECOND, e->code, "the applier stopped: %s", db_get(res, 0, "t"));
}

bool repl_applier_error(struct repl *r, const struct channel_status *st, struct err *e)
{
	if (!e)
		return false;
	repl_error(r, e, ERR_PRECOND, st->sql_errno, "the applier stopped: %s", st->sql_error);
	add_worker_error(r, e);
	return false;
}

/*
 * ---- deeds and questions -----------------------------------------------------------------------
 */

static struct channel channel_of(struct repl *r)
{
	return (struct channel){ r->db, r->channel };
}

static bool noted(struct repl *r, bool ok, const struct err *why, struct err *e)
{
	if (ok)
		return true;
	repl_note(r, why);
	return repl_fail(why, e);
}

bool repl_exec(struct repl *r, const char *sql, int64_t deadline, struct err *e)
{
	struct err why = { .kind = ERR_NONE };

	return repl_ready(r, deadline, e) && noted(r, db_exec(r->db, sql, &why), &why, e);
}

bool repl_verb(struct repl *r, const char *verb, const char *tail, int64_t deadline, struct err *e)
{
	struct err why = { .kind = ERR_NONE };
	struct channel c;

	if (!repl_ready(r, deadline, e))
		return false;
	c = channel_of(r);
	return noted(r, channel_verb(&c, verb, tail, &why), &why, e);
}

bool repl_change(struct repl *r, const char *options, int64_t deadline, struct err *e)
{
	struct err why = { .kind = ERR_NONE };
	struct channel c;

	if (!repl_ready(r, deadline, e))
		return false;
	c = channel_of(r);
	return noted(r, channel_change(&c, options, &why), &why, e);
}

typedef bool (*ask_fn)(struct repl *r, void *arg, struct err *e);

/* Twice, if the session breaks over it the first time: it may have been broken for long. */
static bool ask(struct repl *r, ask_fn fn, void *arg, int64_t deadline, struct err *e)
{
	struct err why = { .kind = ERR_NONE };

	for (int i = 0; i < 2; i++) {
		why = (struct err){ .kind = ERR_NONE };
		if (!repl_ready(r, deadline, &why))
			break;
		if (fn(r, arg, &why))
			return true;
		repl_note(r, &why);
		if (!is_gone(&why) || clock_left(deadline) == 0)
			break;
	}
	return repl_fail(&why, e);
}

struct question {
	const char *sql;
	enum dialect_var what;
	struct db_result *rows;
	struct channel_status *status;
	struct gtid_set **retrieved, *set;
};

static bool ask_rows(struct repl *r, void *arg, struct err *e)
{
	struct question *q = arg;

	q->rows = db_query(r->db, q->sql, e);
	return q->rows != NULL;
}

static bool ask_status(struct repl *r, void *arg, struct err *e)
{
	struct question *q = arg;

	return channel_read(r->db, r->wanted, q->status, q->retrieved, e);
}

static bool ask_gtids(struct repl *r, void *arg, struct err *e)
{
	struct question *q = arg;

	q->set = channel_gtids(r->db, q->what, e);
	return q->set != NULL;
}

struct db_result *repl_ask(struct repl *r, const char *sql, int64_t deadline, struct err *e)
{
	struct question q = { .sql = sql };

	return ask(r, ask_rows, &q, deadline, e) ? q.rows : NULL;
}

bool repl_status(struct repl *r, int64_t deadline, struct channel_status *ret,
        struct gtid_set **ret_retrieved, struct err *e)
{
	struct question q = { .status = ret, .retrieved = ret_retrieved };

	if (!ask(r, ask_status, &q, deadline, e))
		return err_ctx(e, "read the replica status");
	snprintf(r->channel, sizeof(r->channel), "%s", ret->name);
	return true;
}

struct gtid_set *repl_gtids(struct repl *r, enum dialect_var what, int64_t deadline, struct err *e)
{
	struct question q = { .what = what };

	return ask(r, ask_gtids, &q, deadline, e) ? q.set : NULL;
}

struct gtid_set *repl_executed(struct repl *r, int64_t deadline, struct err *e)
{
	AUTO(gtid) struct gtid_set *logged = repl_gtids(r, VAR_GTID_EXECUTED, deadline, e);
	AUTO(gtid) struct gtid_set *applied = NULL;

	if (!logged || !repl_is_mariadb(r))
		return TAKE(logged);
	applied = repl_gtids(r, VAR_GTID_REPLICA_POS, deadline, e);
	return applied ? gtid_set_union(logged, applied) : NULL;
}

/*
 * ---- looking -----------------------------------------------------------------------------------
 */

static enum snapshot_io io_of(enum channel_io io)
{
	return io == CHANNEL_IO_YES ? IO_YES : io == CHANNEL_IO_CONNECTING ? IO_CONNECTING : IO_NO;
}

static enum snapshot_using_gtid using_of(enum channel_gtid gtid)
{
	return gtid == CHANNEL_GTID_SLAVE_POS     ? USING_GTID_SLAVE_POS
	       : gtid == CHANNEL_GTID_CURRENT_POS ? USING_GTID_CURRENT_POS
	                                          : USING_GTID_NO;
}

#define COPY(field)                                                                                \
	_Static_assert(sizeof(ret->field) == sizeof(st.field), "same size");                       \
	memcpy(ret->field, st.field, sizeof(ret->field))

bool repl_look(struct repl *r, int64_t deadline, struct repl_now *ret, struct err *e)
{
	struct channel_status st;

	if (!repl_status(r, deadline, &st, NULL, e))
		return false;
	*ret = (struct repl_now){
		.is_replica = st.is_replica && *st.source_host,
		.io = io_of(st.io),
		.sql_running = st.sql_running,
		.io_errno = st.io_errno,
		.sql_errno = st.sql_errno,
		.source_port = st.source_port,
		.read_pos = st.read_pos,
		.exec_pos = st.exec_pos,
		.relay_pos = st.relay_pos,
		.auto_position = st.gtid == CHANNEL_GTID_AUTO,
		.using_gtid = using_of(st.gtid),
		.delay = st.delay,
		.heartbeat_ms = st.heartbeat_ms,
		.gtid_only = st.gtid_only,
		.auto_failover = st.auto_failover,
		.channels = (int)st.channels,
	};
	COPY(io_error);
	COPY(sql_error);
	COPY(source_host);
	COPY(source_user);
	COPY(read_file);
	COPY(exec_file);
	COPY(relay_file);
	return true;
}

bool repl_position(struct repl *r, int64_t deadline, struct repl_position *ret, struct err *e)
{
	AUTO(db_result) struct db_result *res = NULL;
	const char *file, *pos;

	*ret = (struct repl_position){ .pos = 0 };
	if (!repl_ready(r, deadline, e))
		return false;
	res = repl_ask(r, dialect_sql(r->dialect, SQL_BINLOG_STATUS), deadline, e);
	if (!res)
		return err_ctx(e, "read the end of the binlog");
	file = db_get(res, 0, "File");
	pos = db_get(res, 0, "Position");
	snprintf(ret->file, sizeof(ret->file), "%s", file ? file : "");
	ret->pos = pos ? strtoull(pos, NULL, 10) : 0;
	ret->executed = repl_executed(r, deadline, e);
	return ret->executed || err_ctx(e, "read the executed GTIDs");
}

void repl_position_done(struct repl_position *p)
{
	gtid_set_free(p->executed);
	*p = (struct repl_position){ .pos = 0 };
}
