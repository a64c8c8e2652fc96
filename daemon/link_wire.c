/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link_wire - the thread of one connection: opens it, keeps it alive, runs commands, hands requests to
 * link_frames, and ends when the connection does or when it is told to.  Runs on: that thread; what
 * link_impl.h says, elsewhere.
 *
 * Nobody waits for this thread before it has nothing left to do: it holds its wire.  What it may
 * still be inside of when it is told to end has a deadline.
 */
#include "link_impl.h"
#include "clock.h"
#include "loop.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	STACK_SIZE = 256 << 10,
	KEEP_MAX = 64 << 10,
	NODE_AGAIN_MS = 60000, /* a host without mha-node: look again */
	PLAIN_PINGS = 4,       /* there a sign of life costs more: every so many pings */
	CHAN_MS = 5000,        /* to open a channel */
	REQUEST_MAX = FRAME_REQUEST_MAX - 100,
	STATUS_MS = 1000, /* for the exit status of a command that has closed its output */
};

struct exec {
	struct exec *next;
	uint32_t call;
	struct ssh_chan *c;
	struct str out, err;
};

struct serve {
	struct link_wire *w;
	struct ssh *ssh;
	struct link_frames frames; /* frames.c NULL: no node */
	struct exec *execs;
	int64_t ping_at, node_again_at;
};

/* ---- what others call ---- */

void link_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

bool link_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t deadline)
{
	int64_t left = clock_left(deadline);
	struct timespec t;

	if (left == CLOCK_NEVER)
		return !pthread_cond_wait(cond, lock);
	if (left <= 0)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += left / 1000;
	t.tv_nsec += left % 1000 * 1000000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	pthread_cond_timedwait(cond, lock, &t);
	return true;
}

static void raise_fd(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		return; /* full: it is readable already */
}

void link_wire_wake(struct link_wire *w)
{
	raise_fd(w->wake);
}

bool link_wire_put(struct link_wire *w, struct link_ask *a)
{
	a->next = NULL;
	*w->asks_end = a;
	w->asks_end = &a->next;
	link_wire_wake(w);
	return true;
}

struct link_ask *link_ask_new(enum link_ask_kind kind, uint32_t call, char *text, int64_t deadline)
{
	struct link_ask *a = xzalloc(sizeof(*a));

	*a = (struct link_ask){ .kind = kind, .call = call, .text = text, .deadline = deadline };
	return a;
}

void link_ask_free(struct link_ask *a)
{
	if (!a)
		return;
	mem_free_secret(a->text);
	free(a);
}

/* ---- events ---- */

static void post_plain(struct link_wire *w, enum link_event_kind kind, uint32_t call)
{
	struct link_event *ev = xzalloc(sizeof(*ev));

	ev->kind = kind;
	ev->call = call;
	link_wire_post(w, ev);
}

static void answer_error(struct link_wire *w, uint32_t call, const struct err *e)
{
	struct link_event *ev = xzalloc(sizeof(*ev));

	ev->kind = LINK_EV_ANSWER;
	ev->call = call;
	ev->answer.status = -1;
	ev->answer.err = *e;
	link_wire_post(w, ev);
}

/* ---- commands ---- */

static void exec_free(struct serve *s, struct exec *x)
{
	struct exec **at = &s->execs;

	while (*at != x)
		at = &(*at)->next;
	*at = x->next;
	ssh_chan_free(x->c);
	str_done(&x->out);
	str_done(&x->err);
	free(x);
}

static void exec_start(struct serve *s, const struct link_ask *a)
{
	int64_t deadline = clock_sooner(a->deadline, clock_in(CHAN_MS));
	struct err e = { 0 };
	struct exec *x;
	struct ssh_chan *c = ssh_chan_open(s->ssh, a->text, deadline, &e);

	if (c && !ssh_chan_send_eof(c, &e))
		ssh_chan_free(TAKE(c));
	if (!c) {
		answer_error(s->w, a->call, &e);
		return;
	}
	x = xzalloc(sizeof(*x));
	*x = (struct exec){ s->execs, a->call, c, STR_INIT, STR_INIT };
	s->execs = x;
}

static void exec_cancel(struct serve *s, uint32_t call)
{
	for (struct exec *x = s->execs; x; x = x->next) {
		if (x->call == call) {
			exec_free(s, x);
			return;
		}
	}
}

static void keep(struct str *to, const char *p, size_t n)
{
	size_t room = KEEP_MAX - to->len;

	str_addn(to, p, n < room ? n : room);
}

static bool exec_read(struct exec *x, struct err *e)
{
	char buf[16 << 10];
	ssize_t n, m;

	do {
		n = ssh_chan_read(x->c, buf, sizeof(buf), e);
		if (n > 0)
			keep(&x->out, buf, (size_t)n);
		m = n < 0 ? -1 : ssh_chan_read_err(x->c, buf, sizeof(buf), e);
		if (m > 0)
			keep(&x->err, buf, (size_t)m);
	} while (n > 0 || m > 0);
	return n == 0 && m == 0;
}

static void exec_end(struct serve *s, struct exec *x)
{
	struct link_event *ev = xzalloc(sizeof(*ev));
	struct link_answer *a = &ev->answer;

	ev->kind = LINK_EV_ANSWER;
	ev->call = x->call;
	if (!ssh_chan_finish(TAKE(x->c), clock_in(STATUS_MS), &a->status, &a->err))
		a->status = -1;
	a->out = str_take(&x->out);
	a->err_out = str_take(&x->err);
	link_wire_post(s->w, ev);
	exec_free(s, x);
}

static bool exec_pump(struct serve *s, struct err *e)
{
	for (struct exec *x = s->execs, *next; x; x = next) {
		next = x->next;
		if (!exec_read(x, e))
			return false;
		if (ssh_chan_eof(x->c))
			exec_end(s, x);
	}
	return true;
}

/* ---- the queue ---- */

static struct link_ask *take_asks(struct link_wire *w)
{
	struct link_ask *a;
	uint64_t n;

	if (read(w->wake, &n, sizeof(n)) < 0)
		n = 0; /* nobody had woken us */
	pthread_mutex_lock(&w->lock);
	a = w->asks;
	w->asks = NULL;
	w->asks_end = &w->asks;
	pthread_mutex_unlock(&w->lock);
	return a;
}

/* What came too late to be sent: streams fail, calls of the loop wait for the next connection. */
static void refuse(struct link_wire *w, struct link_ask *a, const struct err *why)
{
	if (a->stream) {
		pthread_mutex_lock(&w->lock);
		a->stream->err = *why;
		if (why->kind == ERR_LOST)
			a->stream->err.kind = ERR_UNREACHABLE;
		a->stream->cut = a->stream->finished = true;
		pthread_cond_broadcast(&a->stream->changed);
		link_stream_unref(a->stream);
		pthread_mutex_unlock(&w->lock);
	} else if (a->kind != LINK_ASK_CANCEL) {
		post_plain(w, LINK_EV_UNSENT, a->call);
	}
	link_ask_free(a);
}

static void obey(struct serve *s, struct link_ask *a)
{
	struct err e = { 0 };

	if (a->kind == LINK_ASK_EXEC) {
		exec_start(s, a);
		link_ask_free(a);
		return;
	}
	if (a->kind == LINK_ASK_CANCEL)
		exec_cancel(s, a->call);
	if (!s->frames.c)
		err_set(&e, ERR_PRECOND, 0, "mha-node is not there");
	else if (a->text && strlen(a->text) > REQUEST_MAX)
		err_set(&e, ERR_PRECOND, E2BIG, "the question is too long");
	if (e.kind == ERR_NONE) {
		link_frames_ask(&s->frames, a);
		return;
	}
	err_at(&e, s->w->name);
	if (a->kind == LINK_ASK_CALL) {
		answer_error(s->w, a->call, &e);
		link_ask_free(a);
	} else {
		refuse(s->w, a, &e);
	}
}

static void obey_all(struct serve *s)
{
	for (struct link_ask *a = take_asks(s->w), *next; a; a = next) {
		next = a->next;
		obey(s, a);
	}
}

/* ---- mha-node ---- */

/* Until it has said hello.  ERR_PRECOND: it is not there; others: the connection is no good. */
static bool meet(struct serve *s, struct err *e)
{
	struct link_wire *w = s->w;
	int64_t deadline = clock_in(w->open_ms);

	while (!s->frames.greeted) {
		if (w->stop)
			return err_set(e, ERR_CANCELED, 0, "given up");
		if (!clock_left(deadline)) {
			err_set(e, ERR_LOST, ETIME, "mha-node session: no hello within %lld ms",
			        (long long)w->open_ms);
			return err_at(e, w->name);
		}
		if (!link_frames_pump(&s->frames, e))
			return false;
		if (!s->frames.greeted && !ssh_wait_fd(s->ssh, w->stop_fd, deadline, e))
			return false;
	}
	return true;
}

/* False: the connection is no good.  Without mha-node it is true, with the reason. */
static bool find_node(struct serve *s, struct err *why_not, struct err *e)
{
	struct err why = { 0 };
	struct ssh_chan *c = ssh_chan_open(s->ssh, s->w->session_line, clock_in(CHAN_MS), &why);

	s->node_again_at = clock_in(NODE_AGAIN_MS);
	s->ping_at = clock_in(s->w->ping_ms);
	if (c) {
		link_frames_begin(&s->frames, s->w, c);
		if (meet(s, &why)) {
			s->node_again_at = CLOCK_NEVER;
			return true;
		}
		link_frames_done(&s->frames, &why);
	}
	/* It speaks no language that we know, or the host gives us no channel. */
	if (why.kind == ERR_PRECOND || why.kind == ERR_PARSE || why.kind == ERR_REFUSED) {
		why.kind = ERR_PRECOND;
		err_at(&why, s->w->name);
		*why_not = why;
		return true;
	}
	*e = why;
	return false;
}

/* ---- life ---- */

static void announce(struct serve *s, const struct err *why_not)
{
	struct link_wire *w = s->w;
	struct link_event *ev = xzalloc(sizeof(*ev));

	ev->kind = LINK_EV_UP;
	ev->has_node = s->frames.c != NULL;
	ev->err = *why_not;
	snprintf(ev->version, sizeof(ev->version), "%s", ev->has_node ? s->frames.version : "");
	snprintf(ev->transport, sizeof(ev->transport), "%s", ssh_transport_name(s->ssh));
	pthread_mutex_lock(&w->lock);
	w->up = true;
	w->has_node = ev->has_node;
	w->why = *why_not;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
	link_wire_post(w, ev);
}

static bool look_for_node_again(struct serve *s, struct err *e)
{
	struct err why = { 0 };

	if (!find_node(s, &why, e))
		return false;
	if (s->frames.c)
		announce(s, &why);
	return true;
}

/* An unanswered ping is forgiven as long as anything else comes. */
static bool is_silent(const struct serve *s)
{
	int64_t since = s->frames.pinged, heard = s->w->heard;

	if (!s->frames.c || !since)
		return false;
	since = heard > since ? heard : since;
	return clock_ms() - since >= s->w->silence_ms;
}

static bool silent(const struct serve *s, struct err *e)
{
	err_set(e, ERR_LOST, ETIMEDOUT, "nothing has come for %lld ms",
	        (long long)(clock_ms() - s->w->heard));
	return err_at(e, s->w->name);
}

/* What the clock says has to be done. */
static bool keep_alive(struct serve *s, struct err *e)
{
	struct link_wire *w = s->w;

	if (is_silent(s))
		return silent(s, e);
	if (clock_left(s->ping_at))
		return true;
	s->ping_at = clock_in(w->ping_ms);
	if (s->frames.c && !s->frames.pinged)
		link_frames_ping(&s->frames);
	if (s->frames.c)
		return true;
	if (!clock_left(s->node_again_at))
		return look_for_node_again(s, e);
	s->ping_at = clock_in(w->ping_ms * PLAIN_PINGS);
	return ssh_is_alive(s->ssh, clock_in(w->silence_ms)) || silent(s, e);
}

static int64_t next_look(const struct serve *s)
{
	int64_t at = s->ping_at;

	if (s->frames.c && s->frames.pinged)
		at = clock_sooner(at, clock_in(s->w->silence_ms / 4 + 1));
	return at;
}

static bool pump(struct serve *s, struct err *e)
{
	return !s->frames.c || link_frames_pump(&s->frames, e);
}

static void serve(struct serve *s, struct err *e)
{
	for (;;) {
		obey_all(s);
		if (s->w->stop) {
			err_set(e, ERR_CANCELED, 0, "given up");
			return;
		}
		/* What has come is read before anybody is called silent: we may have slept. */
		if (!pump(s, e) || !exec_pump(s, e) || !keep_alive(s, e) ||
		        (s->frames.out.len && !pump(s, e)) ||
		        !ssh_wait_fd(s->ssh, s->w->wake, next_look(s), e))
			return;
	}
}

static void refuse_all(struct link_wire *w, struct link_ask *a, const struct err *why)
{
	for (struct link_ask *next; a; a = next) {
		next = a->next;
		refuse(w, a, why);
	}
}

static void close_all(struct serve *s, const struct err *e)
{
	refuse_all(s->w, link_frames_take_waiting(&s->frames), e);
	while (s->execs)
		exec_free(s, s->execs);
	if (s->frames.c || s->frames.requests)
		link_frames_done(&s->frames, e);
	ssh_close(s->ssh);
}

/* Tell the workers, and hand back what nobody will do. */
static void end(struct link_wire *w, bool was_up, const struct err *e)
{
	struct link_event *ev = xzalloc(sizeof(*ev));

	pthread_mutex_lock(&w->lock);
	w->up = false;
	w->has_node = false;
	w->failures++;
	w->why = *e;
	if (was_up && w->why.kind == ERR_LOST)
		w->why.kind = ERR_UNREACHABLE; /* for who comes now, nothing ran */
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
	refuse_all(w, take_asks(w), e);
	ev->kind = LINK_EV_ENDED;
	ev->was_up = was_up;
	ev->err = *e;
	link_wire_post(w, ev);
}

static void *run(void *arg)
{
	struct link_wire *w = arg;
	struct link_room *room = w->room;
	struct serve s = { .w = w };
	struct err e = { 0 }, why_not = { 0 };
	bool was_up = false;

	link_room_ref(room);
	s.ssh = ssh_open(&w->target, clock_in(w->open_ms), &e);
	if (s.ssh && find_node(&s, &why_not, &e)) {
		was_up = true;
		announce(&s, &why_not);
		serve(&s, &e);
	}
	close_all(&s, &e);
	err_at(&e, w->name);
	end(w, was_up, &e);
	link_wire_unref(w);
	link_room_ended(room);
	link_room_unref(room);
	return NULL;
}

/* Signals are for the loop's thread. */
bool link_wire_start(struct link_wire *w, struct err *e)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t t;
	int rc;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);

	link_wire_ref(w);
	link_room_began(w->room);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&t, &attr, run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (!rc)
		return true;
	link_room_not_begun(w->room);
	link_wire_unref(w);
	err_set(e, ERR_SYSTEM, rc, "start a thread: %s", strerror(rc));
	return err_at(e, w->name);
}
