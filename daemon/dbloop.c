/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dbloop - db_steps between the loop's watchers and timers, with a worker where a login blocks.
 * Runs on: loop.
 *
 * A session belongs to the dbloop, or for the time of a job to its handoff.  What is over before
 * dbloop_open() or dbloop_query() have returned is told in the next turn, by the timer.
 */
#include "dbloop.h"
#include <errno.h>
#include <stdlib.h>
#include "clock.h"
#include "job.h"
#include "loop.h"

enum state { CLOSED, OPENING, IDLE, ASKING };

/* A session that a worker logs in. */
struct handoff {
	struct dbloop *owner; /* loop; NULL: nobody waits any more */
	struct db_steps *steps;
	int64_t deadline;
	enum db_steps_state outcome;
};

/* Something that is to be told in the next turn. */
struct news {
	enum db_steps_state outcome;
	struct err err;
};

struct dbloop {
	struct loop *loop;
	struct job_pool *pool;
	dbloop_lost_fn lost;
	dbloop_opened_fn opened;
	dbloop_answer_fn answer;
	void *arg;

	enum state state;
	char *name; /* of the server, for errors */
	struct db_steps *steps;
	struct handoff *away;
	bool leaving; /* to a worker, in the next turn */
	struct news *news;
	struct loop_timer *timer;
	struct loop_io *io;
	int fd, events; /* that io watches */
	int64_t deadline;

	/* of the last attempt */
	enum db_layer layer;
	int64_t heard;
	int sys;
	bool late;
};

struct db_opts dbloop_options(const struct conf_server *s)
{
	return (struct db_opts){
		.name = s->hostinfo ? s->hostinfo : s->hostname,
		.address = s->ip,
		.port = (unsigned)s->port,
		.user = s->user,
		.password = s->password,
		.tls = (enum db_tls)s->tls,
		.tls_ca = s->tls_ca,
		.tls_cert = s->tls_cert,
		.tls_key = s->tls_key,
		.tls_fingerprint = s->tls_fingerprint,
		.public_key = s->public_key,
		.connect_ms = s->connect_timeout,
		.query_ms = s->query_timeout,
	};
}

static void note(struct dbloop *d, const struct db_steps *s)
{
	d->layer = db_steps_layer(s);
	d->sys = db_steps_errno(s);
	if (db_steps_heard(s) > d->heard)
		d->heard = db_steps_heard(s);
}

static void on_io(void *arg, int events);

static void watch(struct dbloop *d, int events)
{
	int fd = db_steps_fd(d->steps);

	if (!d->io || fd != d->fd) {
		loop_io_free(d->io);
		d->io = loop_io_new(d->loop, fd, events, on_io, d);
	} else if (events != d->events) {
		loop_io_set(d->io, events);
	}
	d->fd = fd;
	d->events = events;
}

static int events_of_loop(const struct db_steps *s)
{
	int events = db_steps_events(s);

	return (events & DB_STEPS_READ ? LOOP_READ : 0) |
	       (events & DB_STEPS_WRITE ? LOOP_WRITE : 0);
}

void dbloop_close(struct dbloop *d)
{
	loop_io_free(TAKE(d->io));
	loop_timer_move(d->timer, CLOCK_NEVER);
	if (d->away)
		d->away->owner = NULL;
	d->away = NULL;
	d->leaving = false;
	db_steps_free(TAKE(d->steps));
	free(TAKE(d->news));
	d->state = CLOSED;
}

/* Of our own host: no descriptor, no memory, no port, no permission. */
static bool is_ours(int sys)
{
	return sys == EMFILE || sys == ENFILE || sys == ENOMEM || sys == ENOBUFS ||
	       sys == EADDRNOTAVAIL || sys == EPERM || sys == EACCES || sys == EAFNOSUPPORT;
}

/* What is under way is over.  Calls out last of all: `d` may be gone then. */
static void tell(struct dbloop *d, enum db_steps_state outcome, struct err *e)
{
	struct db_result *r = NULL;
	enum state was = d->state;
	const bool fine = outcome == DB_STEPS_READY;

	if (was == OPENING && e->kind == ERR_UNREACHABLE && is_ours(d->sys)) {
		e->kind = ERR_SYSTEM;
		e->code = d->sys;
	}
	if (outcome == DB_STEPS_FAILED) {
		dbloop_close(d);
	} else {
		r = db_steps_result(d->steps);
		d->state = IDLE;
		watch(d, LOOP_READ);
		loop_timer_move(d->timer, CLOCK_NEVER);
	}
	if (was == OPENING)
		d->opened(d->arg, fine ? NULL : e);
	else
		d->answer(d->arg, fine ? r : NULL, fine ? NULL : e);
	db_result_free(r);
}

/* The same from within dbloop_open() and dbloop_query(). */
static void tell_soon(struct dbloop *d, enum db_steps_state outcome, const struct err *e)
{
	d->news = xmalloc(sizeof(*d->news));
	d->news->outcome = outcome;
	d->news->err = *e;
	if (outcome == DB_STEPS_FAILED) /* the library has closed its socket */
		loop_io_free(TAKE(d->io));
	loop_timer_move(d->timer, clock_ms());
}

static bool do_finish(struct job *j, void *arg, struct err *e)
{
	struct handoff *h = arg;

	(void)j;
	h->outcome = db_steps_finish(h->steps, h->deadline, e);
	return h->outcome != DB_STEPS_FAILED;
}

static void free_handoff(void *arg)
{
	struct handoff *h = arg;

	db_steps_free(h->steps);
	free(h);
}

static void move(struct dbloop *d, enum db_steps_state state, struct err *e);

static void is_late(struct dbloop *d, struct err *e)
{
	d->late = true;
	err_set(e, ERR_UNREACHABLE, 0, "the login did not end in time");
	err_at(e, d->name);
}

static void finished(struct job *j, void *arg, const struct err *e)
{
	struct handoff *h = arg;
	struct dbloop *d = h->owner;
	struct err why = { 0 };

	if (!d)
		return;
	d->away = NULL;
	if (e)
		why = *e;
	if (job_is_late(j) && why.kind == ERR_LOST) { /* else the worker still has the session */
		is_late(d, &why);
	} else {
		note(d, h->steps);
		if (!e)
			d->steps = TAKE(h->steps);
		else if (why.kind != ERR_SYSTEM && clock_left(h->deadline) == 0)
			d->late = true;
	}
	move(d, e ? DB_STEPS_FAILED : h->outcome, &why);
}

static void hand_over(struct dbloop *d)
{
	struct handoff *h = xzalloc(sizeof(*h));
	AUTO(free) char *name = xasprintf("log in to %s", d->name);

	d->leaving = false;
	loop_timer_move(d->timer, CLOCK_NEVER); /* the job has its own */
	h->owner = d;
	h->steps = TAKE(d->steps);
	h->deadline = d->deadline;
	d->away = h;
	job_start(d->pool, job_new(name, h->deadline, do_finish, finished, free_handoff, h));
}

/* Not before the next turn: it takes one for libev to notice that the socket is not watched any more, and to forget it
 * while it is still ours. */
static void hand_over_soon(struct dbloop *d)
{
	d->leaving = true;
	loop_io_free(TAKE(d->io));
	loop_timer_move(d->timer, clock_ms());
}

/* The session has come to `state`. */
static void move(struct dbloop *d, enum db_steps_state state, struct err *e)
{
	if (d->steps)
		note(d, d->steps);
	if (state == DB_STEPS_WAIT)
		watch(d, events_of_loop(d->steps));
	else if (state == DB_STEPS_WORKER)
		hand_over_soon(d);
	else
		tell(d, state, e);
}

/* The same from within dbloop_open() and dbloop_query(). */
static void move_soon(struct dbloop *d, enum db_steps_state state, struct err *e)
{
	if (d->steps)
		note(d, d->steps);
	if (state == DB_STEPS_WAIT || state == DB_STEPS_WORKER) {
		loop_timer_move(d->timer, d->deadline);
		move(d, state, e);
	} else {
		tell_soon(d, state, e);
	}
}

static void watch_idle(struct dbloop *d)
{
	struct err e = { 0 };

	if (db_steps_idle(d->steps, &e) == DB_STEPS_READY)
		return;
	note(d, d->steps);
	dbloop_close(d);
	if (d->lost)
		d->lost(d->arg, &e);
}

static void on_io(void *arg, int got)
{
	struct dbloop *d = arg;
	struct err e = { 0 };
	int events =
	        (got & LOOP_READ ? DB_STEPS_READ : 0) | (got & LOOP_WRITE ? DB_STEPS_WRITE : 0);

	if (d->news) /* first things first */
		return;
	if (d->state == IDLE)
		watch_idle(d);
	else
		move(d, db_steps_go(d->steps, events, &e), &e);
}

static void on_timer(void *arg)
{
	struct dbloop *d = arg;
	struct err e = { 0 };

	if (d->news) {
		struct news *n = TAKE(d->news);

		e = n->err;
		enum db_steps_state outcome = n->outcome;

		free(n);
		tell(d, outcome, &e);
		return;
	}
	if (d->leaving) {
		hand_over(d);
		return;
	}
	d->late = true;
	note(d, d->steps);
	db_steps_late(d->steps, &e);
	tell(d, DB_STEPS_FAILED, &e);
}

struct dbloop *dbloop_new(struct loop *l, struct job_pool *p, dbloop_lost_fn lost, void *arg)
{
	struct dbloop *d = xzalloc(sizeof(*d));

	d->loop = l;
	d->pool = p;
	d->lost = lost;
	d->arg = arg;
	d->timer = loop_timer_new(l, CLOCK_NEVER, on_timer, d);
	return d;
}

void dbloop_free(struct dbloop *d)
{
	if (!d)
		return;
	dbloop_close(d);
	loop_timer_free(d->timer);
	free(d->name);
	free(d);
}

void dbloop_open(
        struct dbloop *d, const struct conf_server *s, int64_t deadline, dbloop_opened_fn done)
{
	struct db_opts o = dbloop_options(s);
	struct err e = { 0 };

	dbloop_close(d);
	o.connect_ms = clock_left(deadline);
	free(d->name);
	d->name = xstrdup(o.name);
	d->steps = db_steps_new(&o);
	d->state = OPENING;
	d->opened = done;
	d->deadline = deadline;
	d->late = false;
	move_soon(d, db_steps_login(d->steps, &e), &e);
}

void dbloop_query(struct dbloop *d, const char *sql, int64_t deadline, dbloop_answer_fn answer)
{
	struct err e = { 0 };

	d->answer = answer;
	d->deadline = deadline;
	d->late = false;
	if (d->state == IDLE) {
		d->state = ASKING;
		move_soon(d, db_steps_query(d->steps, sql, &e), &e);
		return;
	}
	d->state = ASKING;
	err_set(&e, ERR_UNREACHABLE, 0, "there is no session");
	err_at(&e, d->name ? d->name : "");
	tell_soon(d, DB_STEPS_FAILED, &e);
}

void dbloop_hurry(struct dbloop *d, int64_t deadline)
{
	if (!dbloop_is_busy(d) || d->news || d->away || d->leaving || deadline >= d->deadline)
		return;
	d->deadline = deadline;
	loop_timer_move(d->timer, deadline);
}

bool dbloop_is_open(const struct dbloop *d)
{
	return d->state == IDLE || (d->state == ASKING && d->steps);
}

bool dbloop_is_busy(const struct dbloop *d)
{
	return d->state == OPENING || d->state == ASKING;
}

enum db_layer dbloop_layer(const struct dbloop *d)
{
	return d->layer;
}

int dbloop_errno(const struct dbloop *d)
{
	return d->sys;
}

bool dbloop_was_late(const struct dbloop *d)
{
	return d->late;
}

int64_t dbloop_heard(const struct dbloop *d)
{
	return d->heard;
}

uint64_t dbloop_connection_id(const struct dbloop *d)
{
	return db_connection_id(db_steps_db(d->steps));
}

const char *dbloop_server_version(const struct dbloop *d)
{
	return db_server_version(db_steps_db(d->steps));
}

const struct dialect *dbloop_dialect(const struct dbloop *d)
{
	return db_dialect(db_steps_db(d->steps));
}

const char *dbloop_cipher(const struct dbloop *d)
{
	return db_cipher(db_steps_db(d->steps));
}
