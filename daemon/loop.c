/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loop - libev behind a small face.  Not the default loop: that one reaps every child of the
 * process, also those that proc waits for. Runs on: loop; loop_post() on any thread.
 */
#include "loop.h"
#include "clock.h"
#include "vec.h"
#include <ev.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct post {
	loop_fn fn;
	void *arg;
};

struct loop {
	struct ev_loop *ev;
	ev_async wake;
	ev_check turn_begin;
	ev_prepare turn_end;
	struct loop_stats stats;
	int64_t began_us, mark_us; /* this turn; the end of the callback before */
	int64_t worst_us;          /* longest callback of this turn */
	const char *worst;         /* its kind */
	loop_slow_fn slow;
	void *slow_arg;
	pthread_mutex_t lock;
	VEC(struct post) posts; /* under lock */
	VEC(void *) deferred;
};

struct loop_timer {
	ev_timer w;
	struct loop *l;
	int64_t at, due; /* due: not before it was armed */
	loop_fn fn;
	void *arg;
};

struct loop_io {
	ev_io w;
	struct loop *l;
	loop_io_fn fn;
	void *arg;
};

struct loop_signal {
	ev_signal w;
	struct loop *l;
	loop_signal_fn fn;
	void *arg;
};

/* Called when a callback has returned. */
static void took(struct loop *l, const char *kind)
{
	int64_t now = clock_us(), us = now - l->mark_us;

	l->mark_us = now;
	if (us > l->worst_us) {
		l->worst_us = us;
		l->worst = kind;
	}
}

/* What is posted meanwhile wakes the loop again: other events get their turn in between. */
static void call_posts(struct loop *l)
{
	struct post *items;
	size_t n;

	pthread_mutex_lock(&l->lock);
	items = l->posts.items;
	n = l->posts.len;
	l->posts.items = NULL;
	l->posts.len = l->posts.cap = 0;
	pthread_mutex_unlock(&l->lock);
	for (size_t i = 0; i < n; i++)
		items[i].fn(items[i].arg);
	free(items);
}

static void on_wake(struct ev_loop *ev, ev_async *w, int events)
{
	(void)w;
	(void)events;
	call_posts(ev_userdata(ev));
	took(ev_userdata(ev), "post");
}

static void free_deferred(struct loop *l)
{
	vec_each (void *, p, &l->deferred)
		free(*p);
	l->deferred.len = 0;
}

/* Check watchers of this priority run before everything else when the loop wakes up. */
static void on_turn_begin(struct ev_loop *ev, ev_check *w, int events)
{
	struct loop *l = ev_userdata(ev);

	(void)w;
	(void)events;
	l->began_us = l->mark_us = clock_us();
	l->worst_us = 0;
	l->worst = "loop";
}

static void end_turn(struct loop *l)
{
	int64_t us = clock_us() - l->began_us;

	l->stats.turns++;
	l->stats.busy_us += us;
	if (us > l->stats.longest_us)
		l->stats.longest_us = us;
	if (us < (int64_t)LOOP_SLOW_MS * 1000)
		return;
	l->stats.slow_turns++;
	if (l->slow)
		l->slow(l->slow_arg, l->worst, us / 1000, l->worst_us / 1000);
}

/* Prepare watchers run before the loop sleeps: all callbacks of the turn have returned. */
static void on_turn_end(struct ev_loop *ev, ev_prepare *w, int events)
{
	struct loop *l = ev_userdata(ev);

	(void)w;
	(void)events;
	free_deferred(l);
	end_turn(l);
}

struct loop *loop_new(void)
{
	struct loop *l = xzalloc(sizeof(*l));

	l->ev = ev_loop_new(EVFLAG_AUTO);
	if (!l->ev) {
		fputs("cannot make an event loop\n", stderr);
		abort();
	}
	ev_set_userdata(l->ev, l);
	pthread_mutex_init(&l->lock, NULL);
	ev_async_init(&l->wake, on_wake);
	ev_async_start(l->ev, &l->wake);
	ev_check_init(&l->turn_begin, on_turn_begin);
	ev_set_priority(&l->turn_begin, EV_MAXPRI);
	ev_check_start(l->ev, &l->turn_begin);
	ev_prepare_init(&l->turn_end, on_turn_end);
	ev_prepare_start(l->ev, &l->turn_end);
	return l;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	while (l->posts.len)
		call_posts(l);
	free_deferred(l);
	vec_done(&l->posts);
	vec_done(&l->deferred);
	ev_loop_destroy(l->ev);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

void loop_run(struct loop *l)
{
	on_turn_begin(l->ev, NULL, 0);
	ev_run(l->ev, 0);
}

void loop_stop(struct loop *l)
{
	ev_break(l->ev, EVBREAK_ONE);
}

/* libev's clock stands still while the machine is suspended and may round: ours has the last word.
 */
static void on_timer(struct ev_loop *ev, ev_timer *w, int events)
{
	struct loop_timer *t = w->data;
	struct loop *l = t->l;
	int64_t now = clock_ms();

	(void)ev;
	(void)events;
	if (now < t->at) {
		loop_timer_move(t, t->at);
		return;
	}
	if (now - t->due > l->stats.late_ms)
		l->stats.late_ms = now - t->due;
	t->fn(t->arg);
	took(l, "timer");
}

struct loop_timer *loop_timer_new(struct loop *l, int64_t at, loop_fn fn, void *arg)
{
	struct loop_timer *t = xzalloc(sizeof(*t));

	t->l = l;
	t->fn = fn;
	t->arg = arg;
	ev_init(&t->w, on_timer);
	t->w.data = t;
	loop_timer_move(t, at);
	return t;
}

void loop_timer_move(struct loop_timer *t, int64_t at)
{
	int64_t left;

	t->at = at;
	ev_timer_stop(t->l->ev, &t->w);
	if (at == CLOCK_NEVER)
		return;
	/* libev counts from the begin of its turn, which may be long ago. */
	ev_now_update(t->l->ev);
	left = clock_left(at);
	t->due = clock_in(left);
	ev_timer_set(&t->w, (double)left / 1000, 0);
	ev_timer_start(t->l->ev, &t->w);
}

void loop_timer_free(struct loop_timer *t)
{
	if (!t)
		return;
	ev_timer_stop(t->l->ev, &t->w);
	free(t);
}

static void on_io(struct ev_loop *ev, ev_io *w, int events)
{
	struct loop_io *io = w->data;

	io->fn(io->arg, (events & EV_READ ? LOOP_READ : 0) | (events & EV_WRITE ? LOOP_WRITE : 0));
	took(ev_userdata(ev), "io");
}

struct loop_io *loop_io_new(struct loop *l, int fd, int events, loop_io_fn fn, void *arg)
{
	struct loop_io *w = xzalloc(sizeof(*w));

	w->l = l;
	w->fn = fn;
	w->arg = arg;
	ev_io_init(&w->w, on_io, fd, 0);
	w->w.data = w;
	loop_io_set(w, events);
	return w;
}

void loop_io_set(struct loop_io *w, int events)
{
	int ev = (events & LOOP_READ ? EV_READ : 0) | (events & LOOP_WRITE ? EV_WRITE : 0);

	ev_io_stop(w->l->ev, &w->w);
	ev_io_set(&w->w, w->w.fd, ev);
	if (ev)
		ev_io_start(w->l->ev, &w->w);
}

void loop_io_free(struct loop_io *w)
{
	if (!w)
		return;
	ev_io_stop(w->l->ev, &w->w);
	free(w);
}

static void on_signal(struct ev_loop *ev, ev_signal *w, int events)
{
	struct loop_signal *s = w->data;

	(void)events;
	s->fn(s->arg, w->signum);
	took(ev_userdata(ev), "signal");
}

struct loop_signal *loop_signal_new(struct loop *l, int signo, loop_signal_fn fn, void *arg)
{
	struct loop_signal *s = xzalloc(sizeof(*s));

	s->l = l;
	s->fn = fn;
	s->arg = arg;
	ev_signal_init(&s->w, on_signal, signo);
	s->w.data = s;
	ev_signal_start(l->ev, &s->w);
	return s;
}

void loop_signal_free(struct loop_signal *s)
{
	if (!s)
		return;
	ev_signal_stop(s->l->ev, &s->w);
	free(s);
}

void loop_post(struct loop *l, loop_fn fn, void *arg)
{
	pthread_mutex_lock(&l->lock);
	vec_push(&l->posts, (struct post){ fn, arg });
	/* Under the lock: once it is released, the loop may call fn, be done and freed. */
	ev_async_send(l->ev, &l->wake);
	pthread_mutex_unlock(&l->lock);
}

void loop_defer_free(struct loop *l, void *p)
{
	vec_push(&l->deferred, p);
}

struct loop_stats loop_stats(const struct loop *l)
{
	return l->stats;
}

int64_t loop_turn_started(const struct loop *l)
{
	return l->began_us / 1000;
}

void loop_on_slow(struct loop *l, loop_slow_fn fn, void *arg)
{
	l->slow = fn;
	l->slow_arg = arg;
}
