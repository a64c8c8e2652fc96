/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link_stream - blocking calls over a wire.  Runs on: workers; link_door() and link_wire_nudge() on the
 * loop.
 *
 * The worker and the wire's thread meet in struct link_stream, under the wire's lock.  Each waits for
 * the other by conditions here, by the wire's eventfd there.
 */
#include "link_impl.h"
#include "clock.h"
#include "loop.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { OUT_MAX = 256 << 10 };

struct link_door {
	struct link_wire *w; /* held */
};

struct link_door *link_door_of(struct link_wire *w)
{
	struct link_door *d = xzalloc(sizeof(*d));

	link_wire_ref(w);
	d->w = w;
	return d;
}

void link_door_free(struct link_door *d)
{
	if (!d)
		return;
	link_wire_unref(d->w);
	free(d);
}

static void stream_free(struct link_stream *s)
{
	pthread_cond_destroy(&s->changed);
	str_done(&s->in);
	mem_wipe(s->out.p, s->out.len);
	str_done(&s->out);
	str_done(&s->lines);
	json_decref(s->value);
	free(s);
}

void link_stream_unref(struct link_stream *s)
{
	if (--s->holders == 0)
		stream_free(s);
}

/* The worker lets go of the stream, and of the wire. */
static void let_go(struct link_stream *s)
{
	struct link_wire *w = s->w;

	w->streams--;
	pthread_mutex_lock(&w->lock);
	link_stream_unref(s);
	pthread_mutex_unlock(&w->lock);
	link_wire_unref(w);
}

/* Why a stream cannot begin just now; ERR_NONE: it can.  With the lock held. */
static bool may_begin(struct link_wire *w, struct err *e)
{
	if (w->closed)
		return err_set(e, ERR_CANCELED, 0, "given up") || err_at(e, w->name);
	if (!w->up)
		return false;
	if (!w->has_node)
		*e = w->why;
	return w->has_node;
}

/* With the lock held.  Somebody who waits is a reason to try at once. */
static bool wait_up(struct link_wire *w, int64_t deadline, struct err *e)
{
	unsigned failures = w->failures;
	struct err why = { 0 };

	if (!w->up && !w->closed) {
		w->holders++;
		loop_post(w->loop, link_wire_nudge, w);
	}
	while (!may_begin(w, &why)) {
		if (why.kind == ERR_NONE && w->failures != failures)
			why = w->why;
		if (why.kind == ERR_NONE && !link_wait(&w->changed, &w->lock, deadline)) {
			err_set(&why, ERR_UNREACHABLE, ETIMEDOUT, "no connection in time");
			err_at(&why, w->name);
		}
		if (why.kind != ERR_NONE) {
			if (e)
				*e = why;
			return false;
		}
	}
	return true;
}

static struct link_stream *stream_new(struct link_wire *w, bool input, int64_t deadline)
{
	struct link_stream *s = xzalloc(sizeof(*s));

	*s = (struct link_stream){ .w = w,
		.holders = 1,
		.deadline = deadline,
		.in = STR_INIT,
		.out = STR_INIT,
		.lines = STR_INIT,
		.input = input,
		.ended = !input,
		.status = -1 };
	link_cond_init(&s->changed);
	link_wire_ref(w);
	w->streams++;
	return s;
}

struct link_stream *link_open(struct link_door *d, const char *verb, json_t *args, bool input,
        int64_t deadline, struct err *e)
{
	struct link_wire *w = d->w;
	struct link_ask *a =
	        link_ask_new(LINK_ASK_STREAM, 0, link_request_text(verb, args), deadline);
	struct link_stream *s = stream_new(w, input, deadline);
	bool ok;

	pthread_mutex_lock(&w->lock);
	ok = wait_up(w, deadline, e);
	if (ok) {
		a->stream = s;
		s->holders++;
		ok = link_wire_put(w, TAKE(a));
	}
	pthread_mutex_unlock(&w->lock);
	link_ask_free(a);
	if (ok)
		return s;
	let_go(s);
	return NULL;
}

/* With the lock held: wait for a change.  False: too late, and what was asked for is told to end. */
static bool wait_change(struct link_stream *s, struct err *e)
{
	if (s->w->closed && !s->finished) {
		err_set(e, ERR_CANCELED, 0, "given up");
		return err_at(e, s->w->name);
	}
	if (link_wait(&s->changed, &s->w->lock, s->deadline))
		return true;
	s->canceled = true;
	link_wire_wake(s->w);
	err_set(e, ERR_LOST, ETIMEDOUT, "not finished in time");
	return err_at(e, s->w->name);
}

static size_t take(struct link_stream *s, void *buf, size_t size)
{
	size_t n = s->in.len - s->in_at;

	n = n < size ? n : size;
	memcpy(buf, s->in.p + s->in_at, n);
	s->in_at += n;
	s->taken += n;
	if (s->taken >= FRAME_WINDOW / 2)
		link_wire_wake(s->w);
	return n;
}

ssize_t link_read(struct link_stream *s, void *buf, size_t size, struct err *e)
{
	ssize_t n = 0;

	pthread_mutex_lock(&s->w->lock);
	while (!n && s->in_at == s->in.len && !s->finished)
		n = wait_change(s, e) ? 0 : -1;
	if (!n)
		n = (ssize_t)take(s, buf, size);
	if (!n && s->cut) {
		if (e)
			*e = s->err;
		n = -1;
	}
	pthread_mutex_unlock(&s->w->lock);
	return n;
}

static bool write_some(struct link_stream *s, const char **p, size_t *n, struct err *e)
{
	size_t room;

	while (s->out.len >= OUT_MAX && !s->finished)
		if (!wait_change(s, e))
			return false;
	if (s->cut) {
		if (e)
			*e = s->err;
		return false;
	}
	if (s->finished) {
		err_set(e, ERR_REMOTE, EPIPE, "it ended without taking all of its input");
		return err_at(e, s->w->name);
	}
	room = OUT_MAX - s->out.len;
	room = room < *n ? room : *n;
	str_addn(&s->out, *p, room);
	*p += room;
	*n -= room;
	link_wire_wake(s->w);
	return true;
}

bool link_write(struct link_stream *s, const void *buf, size_t n, struct err *e)
{
	const char *p = buf;
	bool ok = true;

	pthread_mutex_lock(&s->w->lock);
	while (ok && n)
		ok = write_some(s, &p, &n, e);
	pthread_mutex_unlock(&s->w->lock);
	return ok;
}

void link_end(struct link_stream *s)
{
	pthread_mutex_lock(&s->w->lock);
	s->ended = true;
	link_wire_wake(s->w);
	pthread_mutex_unlock(&s->w->lock);
}

void link_result_done(struct link_result *r)
{
	json_decref(r->value);
	free(r->out);
	*r = (struct link_result){ .status = -1 };
}

static void discard(struct link_stream *s, struct err *e)
{
	char buf[16 << 10];

	while (link_read(s, buf, sizeof(buf), e) > 0)
		;
}

static bool fill_result(struct link_stream *s, struct link_result *ret, struct err *e)
{
	json_t *value;
	bool ok;

	pthread_mutex_lock(&s->w->lock);
	value = TAKE(s->value);
	*ret = (struct link_result){ s->status, value, str_take(&s->lines) };
	ok = s->status == 0;
	if (!ok && e && s->finished) {
		*e = s->err;
		if (e->kind == ERR_NONE)
			err_set(e, ERR_REMOTE, s->status, "exit status %d", s->status);
		err_at(e, s->w->name);
	}
	if (!s->finished) {
		s->canceled = true;
		link_wire_wake(s->w);
	}
	pthread_mutex_unlock(&s->w->lock);
	return ok;
}

bool link_close(struct link_stream *s, struct link_result *ret, struct err *e)
{
	bool ok;

	link_end(s);
	discard(s, e);
	ok = fill_result(s, ret, e);
	let_go(s);
	return ok;
}

void link_abandon(struct link_stream *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->w->lock);
	s->canceled = true;
	link_wire_wake(s->w);
	pthread_mutex_unlock(&s->w->lock);
	let_go(s);
}

bool link_run(struct link_door *d, const char *verb, json_t *args, int64_t deadline,
        struct link_result *ret, struct err *e)
{
	struct link_stream *s = link_open(d, verb, args, false, deadline, e);

	*ret = (struct link_result){ .status = -1 };
	return s && link_close(s, ret, e);
}
