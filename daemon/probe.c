/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe - one attempt, statement by statement.  Runs on: loop.
 *
 * The attempt is a chain: each answer decides on the next statement.  The outcome of the ping is
 * settled before the server is asked who it is, so that what goes wrong there costs only that.
 */
#include "probe_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "loop.h"
#include "str.h"

enum {
	FORMER = 4,             /* sessions of ours that the server may not have missed yet */
	LEAST_WAIT_TIMEOUT = 5, /* seconds */
	CONNECT_PAUSE = 1500,   /* ms; MHA's, between two sessions of ping type CONNECT */
};

/* What the session is asked now. */
enum step {
	RESTING,
	CONNECTING,
	TUNING,
	RELEASING,
	LOCKING,
	FINDING_HOLDER,
	READING,
	WRITING,
	MAKING_DATABASE,
	MAKING_TABLE,
	IDENTIFYING,
	TIMING,
	FACTS_COUNTERS,
	FACTS_SETTINGS,
	FACTS_THREADS,
};

struct probe {
	struct loop *loop;
	const struct conf_server *conf;
	struct probe_opts o;
	struct dbloop *db;
	struct loop_timer *later; /* ends a session of ping type CONNECT, or tells cut_news */
	struct err *cut_news;     /* of a session that ended behind its ping; NULL = none */

	enum step step;
	bool busy; /* with an attempt */
	int64_t deadline;
	bool made_tables;        /* in this attempt */
	bool asked_who;          /* on this session */
	bool lock_held;          /* by this session */
	bool ping_waits;         /* for the answer to a question of probe_facts() */
	uint64_t former[FORMER]; /* 0 = none */
	struct probe_report r;
	struct probe_server server;
	bool server_known;

	struct probe_facts facts;
	probe_facts_fn facts_done;
};

static void on_answer(void *arg, const struct db_result *r, const struct err *e);

static void ask(struct probe *p, enum step step, const char *sql)
{
	p->step = step;
	dbloop_query(p->db, sql, p->deadline, on_answer);
}

static void ask_owned(struct probe *p, enum step step, char *sql)
{
	ask(p, step, sql);
	free(sql);
}

static void reached(struct probe *p, enum probe_layer layer)
{
	if (p->r.layer < layer)
		p->r.layer = layer;
}

static void session_gone(struct probe *p)
{
	p->lock_held = false;
	p->asked_who = false;
	loop_timer_move(p->later, CLOCK_NEVER);
	free(TAKE(p->cut_news));
}

/* The outcome of the ping. */
static void settle(struct probe *p, enum probe_how how, const struct err *e)
{
	p->r.ok = how == PROBE_FINE;
	p->r.how = how;
	p->r.err = e ? *e : (struct err){ .kind = ERR_NONE };
	p->r.ended = clock_ms();
}

/* MHA keeps the session of a CONNECT ping until a while before the next. */
static void hold_session(struct probe *p)
{
	int64_t i = p->o.interval_ms;
	int64_t keep = i >= 2 * CONNECT_PAUSE ? i - CONNECT_PAUSE : i / 2;

	if (p->o.ping_type == CONF_PING_CONNECT && dbloop_is_open(p->db))
		loop_timer_move(p->later, p->r.begun + keep);
}

/* Calls out last of all. */
static void report(struct probe *p)
{
	struct probe_report r;

	p->busy = false;
	p->step = RESTING;
	p->r.heard = dbloop_heard(p->db);
	p->r.connection_id = dbloop_is_open(p->db) ? dbloop_connection_id(p->db) : 0;
	p->r.lock_held = p->lock_held;
	p->r.server = p->server_known ? &p->server : NULL;
	hold_session(p);
	r = p->r;
	p->o.report(p->o.arg, &r);
}

static void failed(struct probe *p, const struct err *e)
{
	settle(p, probe_how_of(e, dbloop_was_late(p->db), dbloop_errno(p->db), dbloop_layer(p->db)),
	        e);
	report(p);
}

static void identify(struct probe *p)
{
	p->asked_who = true;
	snprintf(p->server.version, sizeof(p->server.version), "%s", dbloop_server_version(p->db));
	ask_owned(p, IDENTIFYING, probe_sql_identity(dbloop_dialect(p->db)));
}

/* The ping is over, and the session is there. */
static void conclude(struct probe *p, enum probe_how how, const struct err *e)
{
	settle(p, how, e);
	if (p->asked_who)
		report(p);
	else
		identify(p);
}

static void ping(struct probe *p)
{
	ask(p, READING, "SELECT 1");
}

static void lock_or_ping(struct probe *p)
{
	if (p->o.take_lock && !p->lock_held)
		ask(p, LOCKING, PROBE_SQL_LOCK);
	else if (!p->o.take_lock && p->lock_held)
		ask(p, RELEASING, PROBE_SQL_RELEASE);
	else
		ping(p);
}

static void locking_answered(struct probe *p, const struct db_result *r)
{
	const char *got = db_get(r, 0, "v");
	struct err e;

	if (!str_is(got, "1"))
		reached(p, PROBE_READ); /* it ends here, and this was an answer */
	if (!got) {
		err_set(&e, ERR_SQL, 0, "the server cannot give the advisory lock");
		conclude(p, PROBE_ERROR, &e);
	} else if (str_is(got, "1")) {
		p->lock_held = true;
		ping(p);
	} else {
		ask(p, FINDING_HOLDER, probe_sql_holder);
	}
}

static bool is_former(const struct probe *p, uint64_t id)
{
	for (int i = 0; id && i < FORMER; i++)
		if (p->former[i] == id)
			return true;
	return false;
}

static void holder_answered(struct probe *p, const struct db_result *r)
{
	struct err e;

	if (r)
		p->r.lock_is_ours =
		        is_former(p, probe_read_holder(r, p->r.holder, sizeof(p->r.holder)));
	err_set(&e, ERR_PRECOND, 0, "the advisory lock " PROBE_LOCK_NAME " is held by %s",
	        *p->r.holder ? p->r.holder : "somebody");
	err_at(&e, p->conf->hostinfo);
	conclude(p, PROBE_LOCKED, &e);
}

static void tune(struct probe *p)
{
	int64_t seconds = (2 * p->o.interval_ms + 999) / 1000;
	char sql[64];

	snprintf(sql, sizeof(sql), "SET SESSION wait_timeout=%lld",
	        (long long)(seconds > LEAST_WAIT_TIMEOUT ? seconds : LEAST_WAIT_TIMEOUT));
	ask(p, TUNING, sql);
}

static void note_session(struct probe *p)
{
	memmove(p->former + 1, p->former, sizeof(p->former) - sizeof(*p->former));
	p->former[0] = dbloop_connection_id(p->db);
	p->r.connected = true;
}

static void on_open(void *arg, const struct err *e)
{
	static const enum probe_layer layers[] = { [DB_LAYER_NOTHING] = PROBE_NOTHING,
		[DB_LAYER_TCP] = PROBE_TCP,
		[DB_LAYER_GREETING] = PROBE_GREETING,
		[DB_LAYER_LOGIN] = PROBE_LOGIN };
	struct probe *p = arg;

	reached(p, layers[dbloop_layer(p->db)]);
	if (e) {
		failed(p, e);
		return;
	}
	note_session(p);
	tune(p);
}

static void open_session(struct probe *p)
{
	p->step = CONNECTING;
	session_gone(p);
	dbloop_open(p->db, p->conf, p->deadline, on_open);
}

static void start_ping(struct probe *p)
{
	p->ping_waits = false;
	if (!dbloop_is_open(p->db) || p->o.ping_type == CONF_PING_CONNECT) {
		open_session(p);
		return;
	}
	reached(p, PROBE_LOGIN);
	lock_or_ping(p);
}

static void read_answered(struct probe *p)
{
	reached(p, PROBE_READ);
	if (p->o.ping_type == CONF_PING_INSERT)
		ask(p, WRITING, PROBE_SQL_WRITE);
	else
		conclude(p, PROBE_FINE, NULL);
}

static void write_answered(struct probe *p)
{
	reached(p, PROBE_WRITE);
	conclude(p, PROBE_FINE, NULL);
}

static void uptime_answered(struct probe *p, const struct db_result *r)
{
	if (r)
		probe_read_uptime(r, clock_ms(), &p->server);
	report(p);
}

static void identity_answered(struct probe *p, const struct db_result *r)
{
	if (r) {
		probe_read_identity(r, dbloop_dialect(p->db), &p->server);
		p->server_known = p->r.new_server = true;
	}
	ask(p, TIMING, probe_sql_uptime);
}

/* Calls out last of all. */
static void end_facts(struct probe *p, const struct err *e)
{
	probe_facts_fn done = TAKE(p->facts_done);
	struct probe_facts f = p->facts;

	p->step = RESTING;
	if (done)
		done(p->o.arg, e ? NULL : &f, e);
}

static void facts_answered(struct probe *p, const struct db_result *r)
{
	const struct dialect *d = dbloop_dialect(p->db);

	if (p->ping_waits) {
		start_ping(p);
	} else if (p->step == FACTS_COUNTERS) {
		probe_read_semisync_status(r, d, &p->facts);
		ask_owned(p, FACTS_SETTINGS, probe_sql_semisync_vars(d));
	} else if (p->step == FACTS_SETTINGS) {
		probe_read_semisync_vars(r, d, &p->facts);
		if (p->facts.semisync_enabled == PROBE_YES)
			ask(p, FACTS_THREADS, probe_sql_waiting);
		else
			end_facts(p, NULL);
	} else {
		if (r)
			probe_read_waiting(r, &p->facts);
		end_facts(p, NULL);
	}
}

/* `r` is NULL where the server refused a statement that may be refused. */
static void answered(struct probe *p, const struct db_result *r)
{
	switch (p->step) {
	case TUNING: lock_or_ping(p); break;
	case RELEASING:
		p->lock_held = false;
		ping(p);
		break;
	case LOCKING: locking_answered(p, r); break;
	case FINDING_HOLDER: holder_answered(p, r); break;
	case READING: read_answered(p); break;
	case WRITING: write_answered(p); break;
	case MAKING_DATABASE: ask(p, MAKING_TABLE, PROBE_SQL_TABLE); break;
	case MAKING_TABLE: ask(p, WRITING, PROBE_SQL_WRITE); break;
	case IDENTIFYING: identity_answered(p, r); break;
	case TIMING: uptime_answered(p, r); break;
	case FACTS_COUNTERS:
	case FACTS_SETTINGS:
	case FACTS_THREADS: facts_answered(p, r); break;
	case CONNECTING:
	case RESTING: break;
	}
}

/* MHA makes its table when it is missing. */
static bool can_be_made(struct probe *p, const struct err *e)
{
	if (p->step != WRITING || p->made_tables ||
	        (e->code != PROBE_NO_DATABASE && e->code != PROBE_NO_TABLE))
		return false;
	p->made_tables = true;
	ask(p, MAKING_DATABASE, PROBE_SQL_DATABASE);
	return true;
}

static void refused(struct probe *p, const struct err *e)
{
	switch (p->step) {
	case TUNING: /* it answered: that is what counts */
	case FINDING_HOLDER:
	case IDENTIFYING:
	case TIMING:
	case FACTS_THREADS: answered(p, NULL); break;
	case FACTS_COUNTERS:
	case FACTS_SETTINGS:
		if (p->ping_waits)
			start_ping(p);
		else
			end_facts(p, e);
		break;
	default:
		if (!can_be_made(p, e))
			conclude(p, probe_how_of(e, false, 0, DB_LAYER_LOGIN), e);
	}
}

/* The session ended in the middle of something. */
static void session_failed(struct probe *p, const struct err *e)
{
	session_gone(p);
	if (p->step >= FACTS_COUNTERS && !p->ping_waits) {
		end_facts(p, e);
	} else if (p->step == IDENTIFYING || p->step == TIMING) {
		if (p->o.cut && !dbloop_was_late(p->db)) {
			p->cut_news = xmalloc(sizeof(*e));
			*p->cut_news = *e;
			loop_timer_move(p->later, clock_ms());
		}
		report(p); /* the ping itself was over */
	} else {
		failed(p, e);
	}
}

static void on_answer(void *arg, const struct db_result *r, const struct err *e)
{
	struct probe *p = arg;

	if (!e)
		answered(p, r);
	else if (e->kind == ERR_SQL)
		refused(p, e);
	else
		session_failed(p, e);
}

static void on_lost(void *arg, const struct err *e)
{
	struct probe *p = arg;

	session_gone(p);
	if (p->o.cut)
		p->o.cut(p->o.arg, e, clock_ms());
}

static void on_later(void *arg)
{
	struct probe *p = arg;
	struct err *e = TAKE(p->cut_news);

	if (!e) {
		dbloop_close(p->db);
		session_gone(p);
		return;
	}
	struct err copy = *e;

	free(e);
	p->o.cut(p->o.arg, &copy, clock_ms());
}

struct probe *probe_new(struct loop *l, struct job_pool *pool, const struct conf_server *s,
        const struct probe_opts *o)
{
	struct probe *p = xzalloc(sizeof(*p));

	p->loop = l;
	p->conf = s;
	p->o = *o;
	p->db = dbloop_new(l, pool, on_lost, p);
	p->later = loop_timer_new(l, CLOCK_NEVER, on_later, p);
	return p;
}

void probe_free(struct probe *p)
{
	if (!p)
		return;
	dbloop_free(p->db);
	loop_timer_free(p->later);
	free(p->cut_news);
	free(p);
}

void probe_ping(struct probe *p, int64_t deadline)
{
	const bool asking = p->step != RESTING;

	p->busy = true;
	p->deadline = deadline;
	p->made_tables = false;
	p->facts_done = NULL;
	p->r = (struct probe_report){ .begun = clock_ms() };
	p->ping_waits = asking && p->o.ping_type != CONF_PING_CONNECT;
	if (p->ping_waits) {
		reached(p, PROBE_LOGIN);
		dbloop_hurry(p->db, deadline);
	} else {
		start_ping(p);
	}
}

bool probe_is_busy(const struct probe *p)
{
	return p->busy;
}

bool probe_is_connected(const struct probe *p)
{
	return dbloop_is_open(p->db);
}

void probe_close(struct probe *p)
{
	dbloop_close(p->db);
	session_gone(p);
	p->busy = p->ping_waits = false;
	p->facts_done = NULL;
	p->step = RESTING;
}

void probe_want_lock(struct probe *p, bool wanted)
{
	p->o.take_lock = wanted;
}

bool probe_has_lock(const struct probe *p)
{
	return p->lock_held;
}

bool probe_facts(struct probe *p, int64_t deadline, probe_facts_fn done)
{
	if (p->busy || p->step != RESTING || !dbloop_is_open(p->db))
		return false;
	p->deadline = deadline;
	p->facts = (struct probe_facts){ .semisync_clients = -1,
		.semisync_wait_sessions = -1,
		.semisync_waiting_threads = -1,
		.semisync_wait_count = -1,
		.semisync_timeout_ms = -1 };
	p->facts_done = done;
	ask_owned(p, FACTS_COUNTERS, probe_sql_semisync_status(dbloop_dialect(p->db)));
	return true;
}
