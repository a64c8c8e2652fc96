/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replica - polls one replica and keeps what it said.  Runs on: loop.
 *
 * A poll is the replica status, and where that does not count heartbeats one more statement.  There
 * are thousands of replicas and little changes from poll to poll: texts are only copied when they
 * differ.
 */
#include "replica.h"
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "clock.h"
#include "dbloop.h"
#include "dialect.h"
#include "loop.h"
#include "str.h"

enum { LEAST_RETRY_MS = 1000 }; /* between polls that a lost session asks for */

enum step { RESTING, OPENING, ASKING_STATUS, ASKING_HEARTBEATS };

/* What a channel was at the poll before. */
struct before {
	int64_t status_sent, heartbeats_sent; /* 0 = nothing to compare with */
	char *file;
	uint64_t pos;
	int64_t heartbeats;
};

struct replica {
	struct loop *loop;
	const struct conf_server *conf;
	struct replica_opts o;
	struct dbloop *db;
	struct loop_timer *timer;
	enum step step;
	bool again; /* poll once more when this poll is over */
	int64_t begun, deadline;
	int64_t sent; /* the statement under way */
	struct replica_view view;
	struct replica_channel *channels;
	struct before *before; /* one for each channel */
};

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

static bool is_yes(const char *text)
{
	return text && strcasecmp(text, "Yes") == 0;
}

static enum replica_io io_of(const char *text)
{
	if (is_yes(text))
		return REPLICA_IO_YES;
	return text && (!strcasecmp(text, "Connecting") || !strcasecmp(text, "Preparing"))
	               ? REPLICA_IO_CONNECTING
	               : REPLICA_IO_NO;
}

static int64_t seconds_to_ms(const char *text)
{
	return text && *text ? (int64_t)(strtod(text, NULL) * 1000 + 0.5) : -1;
}

static void release(const char **field)
{
	free((char *)(uintptr_t)*field);
	*field = NULL;
}

static void set(const char **field, const char *text)
{
	if (!text)
		text = "";
	if (str_is(*field, text))
		return;
	release(field);
	*field = xstrdup(text);
}

/* Later in the same source's binlogs: by the number that a file's name ends in, then by the position. */
static bool is_later(const char *file, uint64_t pos, const char *old_file, uint64_t old_pos)
{
	const char *dot = strrchr(file, '.'), *old_dot = strrchr(old_file, '.');

	if (str_is(file, old_file))
		return pos > old_pos;
	if (!dot || !old_dot || dot - file != old_dot - old_file ||
	        strncmp(file, old_file, (size_t)(dot - file)) != 0)
		return false;
	return unsigned_number(dot + 1) > unsigned_number(old_dot + 1);
}

static void drop_channel(struct replica_channel *c, struct before *b)
{
	release(&c->name);
	release(&c->source_host);
	release(&c->source_uuid);
	release(&c->io_error);
	release(&c->sql_error);
	release(&c->read_file);
	release(&c->exec_file);
	release(&c->received_gtids);
	release(&c->executed_gtids);
	free(b->file);
}

static void drop_channels(struct replica *r)
{
	for (size_t i = 0; i < r->view.n_channels; i++)
		drop_channel(&r->channels[i], &r->before[i]);
	free(TAKE(r->channels));
	free(TAKE(r->before));
	r->view.channels = NULL;
	r->view.n_channels = 0;
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

static bool are_the_same(const struct replica *r, struct row *w)
{
	if (db_rows(w->res) != r->view.n_channels)
		return false;
	for (w->i = 0; w->i < r->view.n_channels; w->i++) {
		const char *name = col(w, COL_CHANNEL);

		if (!str_is(r->channels[w->i].name, name ? name : ""))
			return false;
	}
	return true;
}

/* Other channels than before: nothing can be compared. */
static void make_channels(struct replica *r, size_t n)
{
	drop_channels(r);
	if (!n)
		return;
	r->channels = xzalloc(n * sizeof(*r->channels));
	r->before = xzalloc(n * sizeof(*r->before));
	r->view.channels = r->channels;
	r->view.n_channels = n;
	for (size_t i = 0; i < n; i++)
		r->channels[i].heartbeat_ms = r->channels[i].heartbeats = -1;
}

static void read_source(struct replica_channel *c, struct before *b, const struct row *w)
{
	const char *host = col(w, COL_SOURCE_HOST), *uuid = col(w, COL_SOURCE_UUID);
	unsigned port = (unsigned)unsigned_number(col(w, COL_SOURCE_PORT));

	if (!str_is(c->source_host, host ? host : "") || c->source_port != port ||
	        !str_is(c->source_uuid, uuid ? uuid : "")) {
		b->status_sent = b->heartbeats_sent = 0;
		c->between = c->heard_at = 0;
	}
	set(&c->name, col(w, COL_CHANNEL));
	set(&c->source_host, host);
	set(&c->source_uuid, uuid);
	c->source_port = port;
	c->source_server_id = (uint32_t)unsigned_number(col(w, COL_SOURCE_SERVER_ID));
}

static void read_threads(struct replica_channel *c, const struct row *w)
{
	int io_errno = (int)unsigned_number(col(w, COL_LAST_IO_ERRNO));

	if (io_errno != c->io_errno)
		c->io_error_seen = io_errno ? clock_ms() : 0;
	c->io_errno = io_errno;
	c->sql_errno = (int)unsigned_number(col(w, COL_LAST_SQL_ERRNO));
	c->io_running = io_of(col(w, COL_IO_RUNNING));
	c->sql_running = is_yes(col(w, COL_SQL_RUNNING));
	set(&c->io_error, col(w, COL_LAST_IO_ERROR));
	set(&c->sql_error, col(w, COL_LAST_SQL_ERROR));
	c->seconds_behind = number(col(w, COL_SECONDS_BEHIND));
}

static void read_positions(struct replica_channel *c, const struct row *w)
{
	const char *received = col(w, COL_RETRIEVED_GTID), *executed = col(w, COL_EXECUTED_GTID);

	set(&c->read_file, col(w, COL_READ_FILE));
	set(&c->exec_file, col(w, COL_EXEC_FILE));
	c->read_pos = unsigned_number(col(w, COL_READ_POS));
	c->exec_pos = unsigned_number(col(w, COL_EXEC_POS));
	set(&c->received_gtids, received ? received : col(w, COL_GTID_IO_POS));
	set(&c->executed_gtids, executed ? executed : col(w, COL_GTID_REPLICA_POS));
}

/* Something arrived after the statement before was sent. */
static void hear(struct replica_channel *c, int64_t sent_before)
{
	if (sent_before <= c->between)
		return;
	c->between = sent_before;
	c->heard_at = clock_ms();
}

static void compare_positions(const struct replica *r, struct replica_channel *c, struct before *b)
{
	if (b->status_sent && c->io_running == REPLICA_IO_YES &&
	        is_later(c->read_file, c->read_pos, b->file, b->pos))
		hear(c, b->status_sent);
	b->status_sent = r->sent;
	if (!str_is(b->file, c->read_file)) {
		free(b->file);
		b->file = xstrdup(c->read_file);
	}
	b->pos = c->read_pos;
}

static void count_heartbeats(
        const struct replica *r, size_t i, const char *count, int64_t period_ms)
{
	struct replica_channel *c = &r->channels[i];
	struct before *b = &r->before[i];

	c->heartbeats = number(count);
	c->heartbeat_ms = period_ms;
	if (b->heartbeats_sent && c->heartbeats > b->heartbeats)
		hear(c, b->heartbeats_sent);
	b->heartbeats = c->heartbeats;
	b->heartbeats_sent = c->heartbeats >= 0 ? r->sent : 0;
}

static void read_status(struct replica *r, struct row *w)
{
	if (!are_the_same(r, w))
		make_channels(r, db_rows(w->res));
	for (w->i = 0; w->i < r->view.n_channels; w->i++) {
		struct replica_channel *c = &r->channels[w->i];

		read_source(c, &r->before[w->i], w);
		read_threads(c, w);
		read_positions(c, w);
		compare_positions(r, c, &r->before[w->i]);
		if (dialect_col(w->d, COL_HEARTBEATS))
			count_heartbeats(r, w->i, col(w, COL_HEARTBEATS),
			        seconds_to_ms(col(w, COL_HEARTBEAT_PERIOD)));
	}
}

static const char of_channels[] =
        "SELECT s.CHANNEL_NAME, s.COUNT_RECEIVED_HEARTBEATS, c.HEARTBEAT_INTERVAL"
        " FROM performance_schema.replication_connection_status s"
        " JOIN performance_schema.replication_connection_configuration c"
        " ON c.CHANNEL_NAME = s.CHANNEL_NAME";

/* One channel is all that such servers have. */
static const char of_the_only_one[] = "SHOW GLOBAL STATUS WHERE Variable_name IN"
                                      " ('Slave_received_heartbeats', 'Slave_heartbeat_period')";

static const char *heartbeats_sql(const struct replica *r, const struct dialect *d)
{
	if (!r->view.n_channels || dialect_col(d, COL_HEARTBEATS))
		return NULL;
	return dialect_can(d, CAP_PFS_REPLICATION) ? of_channels : of_the_only_one;
}

static void read_of_channels(const struct replica *r, const struct db_result *res)
{
	for (size_t row = 0; row < db_rows(res); row++)
		for (size_t i = 0; i < r->view.n_channels; i++)
			if (str_is(db_get(res, row, "CHANNEL_NAME"), r->channels[i].name))
				count_heartbeats(r, i,
				        db_get(res, row, "COUNT_RECEIVED_HEARTBEATS"),
				        seconds_to_ms(db_get(res, row, "HEARTBEAT_INTERVAL")));
}

static void read_of_the_only_one(const struct replica *r, const struct db_result *res)
{
	const char *count = NULL, *period = NULL;

	for (size_t row = 0; row < db_rows(res); row++) {
		const char *name = db_get(res, row, "Variable_name");

		if (name && !strcasecmp(name, "Slave_received_heartbeats"))
			count = db_get(res, row, "Value");
		else if (name)
			period = db_get(res, row, "Value");
	}
	count_heartbeats(r, 0, count, seconds_to_ms(period));
}

/* Calls out last of all. */
static void poll_ended(struct replica *r)
{
	r->step = RESTING;
	r->view.polls++;
	if (dbloop_heard(r->db) > r->view.heard)
		r->view.heard = dbloop_heard(r->db);
	loop_timer_move(r->timer, r->again ? clock_ms() : r->begun + r->o.poll_ms);
	r->again = false;
	if (r->o.changed)
		r->o.changed(r->o.arg, r);
}

static void end_silence(struct replica_view *v)
{
	if (!v->silent_since)
		return;
	v->was_silent = v->silent_since;
	v->back = clock_ms();
	v->silent_since = 0;
}

static void poll_failed(struct replica *r, const struct err *e)
{
	struct replica_view *v = &r->view;

	v->up = false;
	v->err = *e;
	v->refuses = e->kind == ERR_REFUSED || e->kind == ERR_SQL || e->kind == ERR_PRECOND;
	if (v->refuses)
		end_silence(v);
	else if (!v->silent_since && (e->kind == ERR_UNREACHABLE || e->kind == ERR_LOST))
		v->silent_since = r->begun;
	poll_ended(r);
}

static void poll_worked(struct replica *r)
{
	struct replica_view *v = &r->view;

	v->up = true;
	v->refuses = false;
	v->err = (struct err){ .kind = ERR_NONE };
	end_silence(v);
	v->asked = r->begun;
	v->answered = clock_ms();
	poll_ended(r);
}

static void on_answer(void *arg, const struct db_result *res, const struct err *e);

static void ask(struct replica *r, enum step step, const char *sql)
{
	r->step = step;
	r->sent = clock_ms();
	dbloop_query(r->db, sql, r->deadline, on_answer);
}

static void status_answered(struct replica *r, const struct db_result *res)
{
	const struct dialect *d = dbloop_dialect(r->db);
	struct row w = { res, 0, d };
	const char *more;

	read_status(r, &w);
	more = heartbeats_sql(r, d);
	if (more)
		ask(r, ASKING_HEARTBEATS, more);
	else
		poll_worked(r);
}

static void heartbeats_answered(struct replica *r, const struct db_result *res)
{
	if (dialect_can(dbloop_dialect(r->db), CAP_PFS_REPLICATION))
		read_of_channels(r, res);
	else
		read_of_the_only_one(r, res);
	poll_worked(r);
}

static void on_answer(void *arg, const struct db_result *res, const struct err *e)
{
	struct replica *r = arg;

	if (!e && r->step == ASKING_STATUS)
		status_answered(r, res);
	else if (!e)
		heartbeats_answered(r, res);
	else if (e->kind == ERR_SQL && r->step == ASKING_HEARTBEATS)
		poll_worked(r); /* they may not be read: positions have to do */
	else
		poll_failed(r, e);
}

static void ask_status(struct replica *r)
{
	ask(r, ASKING_STATUS, dialect_sql(dbloop_dialect(r->db), SQL_REPLICA_STATUS));
}

static void on_open(void *arg, const struct err *e)
{
	struct replica *r = arg;

	if (e) {
		poll_failed(r, e);
		return;
	}
	snprintf(r->view.version, sizeof(r->view.version), "%s", dbloop_server_version(r->db));
	ask_status(r);
}

static void poll_begins(struct replica *r)
{
	loop_timer_move(r->timer, CLOCK_NEVER);
	r->begun = clock_ms();
	r->deadline = r->begun + r->o.timeout_ms;
	if (dbloop_is_open(r->db)) {
		ask_status(r);
		return;
	}
	r->step = OPENING;
	dbloop_open(r->db, r->conf, r->deadline, on_open);
}

static void on_timer(void *arg)
{
	poll_begins(arg);
}

/* Most likely it has gone, and the next poll will know. */
static void on_lost(void *arg, const struct err *e)
{
	struct replica *r = arg;

	(void)e;
	if (!r->view.silent_since)
		r->view.silent_since = clock_ms();
	if (clock_ms() - r->begun >= LEAST_RETRY_MS)
		replica_poll_now(r);
	else
		loop_timer_move(
		        r->timer, clock_sooner(r->begun + LEAST_RETRY_MS, r->begun + r->o.poll_ms));
}

struct replica *replica_new(struct loop *l, struct job_pool *p, const struct conf_server *s,
        const struct replica_opts *o)
{
	struct replica *r = xzalloc(sizeof(*r));

	r->loop = l;
	r->conf = r->view.conf = s;
	r->o = *o;
	r->db = dbloop_new(l, p, on_lost, r);
	r->timer = loop_timer_new(l, clock_in(o->first_ms), on_timer, r);
	return r;
}

void replica_free(struct replica *r)
{
	if (!r)
		return;
	dbloop_free(r->db);
	loop_timer_free(r->timer);
	drop_channels(r);
	free(r);
}

void replica_poll_now(struct replica *r)
{
	if (r->step != RESTING)
		r->again = true;
	else
		loop_timer_move(r->timer, clock_ms());
}

void replica_set_poll(struct replica *r, int64_t poll_ms)
{
	r->o.poll_ms = poll_ms;
	if (r->step == RESTING)
		loop_timer_move(r->timer, clock_in(poll_ms));
}

const struct replica_view *replica_view(const struct replica *r)
{
	return &r->view;
}
