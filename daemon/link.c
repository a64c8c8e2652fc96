/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link - the loop's side: which wires there are, when they are opened, who waits for what.  Runs on:
 * loop, but what other threads call by link_impl.h.
 */
#include "link_impl.h"
#include "clock.h"
#include "host.h"
#include "loop.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	PING_MS = 2000,
	SILENCE_MS = 3000,
	PAUSE_MIN_MS = 1000,
	PAUSE_MAX_MS = 30000,
	STEADY_MS = 10000, /* up for so long: the next loss is the first one again */
	URGENT = -1,       /* priority of a wire that is asked something */
};

struct link_room {
	struct loop *loop;
	int most, running;       /* loop */
	int wanting;             /* loop: wires that wait for a place */
	struct link_wire *wires; /* loop */
	pthread_mutex_t lock;
	pthread_cond_t ended;
	int threads, holders; /* under lock */
};

struct link {
	struct link_wire *w;
	struct link *next; /* of the wire */
	int priority;
	link_state_fn changed;
	void *arg;
	bool told; /* of the present change */
};

struct link_call {
	struct link_wire *w;
	struct link *l;
	struct link_call *next;
	uint32_t id;
	bool sent;
	enum link_ask_kind kind;
	char *text; /* until sent */
	int64_t started, deadline;
	struct loop_timer *timer;
	link_done_fn done;
	void *arg;
};

static void schedule(struct link_room *r);

/* ---- the room ---- */

struct link_room *link_room_new(struct loop *l, int most)
{
	struct link_room *r = xzalloc(sizeof(*r));

	r->loop = l;
	r->most = most;
	r->holders = 1;
	pthread_mutex_init(&r->lock, NULL);
	link_cond_init(&r->ended);
	return r;
}

void link_room_thread(struct link_room *r, int by)
{
	pthread_mutex_lock(&r->lock);
	r->threads += by;
	if (!r->threads)
		pthread_cond_broadcast(&r->ended);
	pthread_mutex_unlock(&r->lock);
}

void link_room_ref(struct link_room *r)
{
	pthread_mutex_lock(&r->lock);
	r->holders++;
	pthread_mutex_unlock(&r->lock);
}

void link_room_unref(struct link_room *r)
{
	bool last;

	pthread_mutex_lock(&r->lock);
	last = --r->holders == 0;
	pthread_mutex_unlock(&r->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->ended);
	free(r);
}

bool link_room_free(struct link_room *r, int64_t deadline)
{
	bool all;

	if (!r)
		return true;
	pthread_mutex_lock(&r->lock);
	while (r->threads && link_wait(&r->ended, &r->lock, deadline))
		;
	all = !r->threads;
	pthread_mutex_unlock(&r->lock);
	link_room_unref(r);
	return all;
}

/* ---- wires: memory ---- */

static char *own(const char *text)
{
	return text ? xstrdup(text) : NULL;
}

static void own_target(struct link_wire *w, const struct conf_server *s)
{
	w->target = (struct ssh_target){
		.name = w->name,
		.address = own(s->ssh_address),
		.host_key_name = own(s->ssh_host),
		.port = (unsigned)s->ssh_port,
		.user = own(s->ssh_user),
		.key = own(s->ssh_key),
		.options = own(s->ssh_options),
		.host_keys = (enum ssh_host_keys)s->ssh_host_keys,
		.known_hosts = own(s->ssh_known_hosts),
		.transport = (enum ssh_transport)s->ssh_transport,
		.cancel_fd = w->stop_fd,
		.heard = &w->heard,
	};
}

static char *session_line(const struct conf_server *s)
{
	struct str line = STR_INIT;

	if (s->node_bindir && *s->node_bindir) {
		str_add_shell(&line, s->node_bindir);
		str_add(&line, "/");
	}
	str_add(&line, "mha-node session");
	return str_take(&line);
}

static struct link_wire *wire_new(
        struct link_room *r, const struct conf_server *s, const struct link_opts *o)
{
	struct link_wire *w = xzalloc(sizeof(*w));

	w->room = r;
	w->loop = r->loop;
	w->name = host_login(s);
	w->session_line = session_line(s);
	w->open_ms = s->ssh_connection_timeout;
	w->ping_ms = o->ping_ms ? o->ping_ms : PING_MS;
	w->silence_ms = o->silence_ms ? o->silence_ms : SILENCE_MS;
	w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	own_target(w, s);
	w->holders = 1;
	w->asks_end = &w->asks;
	w->view.since = clock_ms();
	pthread_mutex_init(&w->lock, NULL);
	link_cond_init(&w->changed);
	link_room_ref(r);
	w->next = r->wires;
	r->wires = w;
	return w;
}

static void wire_free(struct link_wire *w)
{
	const struct ssh_target *t = &w->target;
	const char *texts[] = { t->address, t->host_key_name, t->user, t->key, t->options,
		t->known_hosts };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free((void *)(uintptr_t)texts[i]);
	for (struct link_ask *a = w->asks, *next; a; a = next) {
		next = a->next;
		link_ask_free(a);
	}
	cleanup_fd(&w->wake);
	cleanup_fd(&w->stop_fd);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->changed);
	link_room_unref(w->room);
	free(w->session_line);
	free(w->name);
	free(w);
}

void link_wire_ref(struct link_wire *w)
{
	pthread_mutex_lock(&w->lock);
	w->holders++;
	pthread_mutex_unlock(&w->lock);
}

void link_wire_unref(struct link_wire *w)
{
	bool last;

	pthread_mutex_lock(&w->lock);
	last = --w->holders == 0;
	pthread_mutex_unlock(&w->lock);
	if (last)
		wire_free(w);
}

/* ---- the state, and who is told ---- */

static enum link_why why_of(const struct err *e)
{
	switch (e->kind) {
	case ERR_REFUSED:
		return e->code == EKEYREJECTED || e->code == ENOKEY ? LINK_HOST_KEY : LINK_LOGIN;
	case ERR_PARSE: return LINK_REFUSED;
	case ERR_UNREACHABLE:
	case ERR_LOST: break;
	default: return LINK_OURS;
	}
	switch (e->code) {
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN: return LINK_SILENT;
	case ETIME: return LINK_STALLED;
	case 0:
	case ECONNREFUSED:
	case EPIPE:
	case ECONNRESET: return LINK_REFUSED;
	default: return e->kind == ERR_LOST ? LINK_REFUSED : LINK_OURS;
	}
}

/* Each link once, whatever the others do in their callbacks. */
static void tell_links(struct link_wire *w)
{
	struct link *l = w->links;

	for (struct link *x = l; x; x = x->next)
		x->told = false;
	while (l) {
		if (l->told) {
			l = l->next;
			continue;
		}
		l->told = true;
		if (l->changed)
			l->changed(l->arg, l);
		l = w->links;
	}
}

static void set_state(
        struct link_wire *w, enum link_state state, const struct err *e, bool has_node)
{
	struct link_view *v = &w->view, old = *v;

	v->state = state;
	v->err = *e;
	v->why = state == LINK_DOWN ? why_of(e) : LINK_FINE;
	v->has_node = has_node;
	if (state != LINK_UP)
		v->version[0] = v->transport[0] = '\0';
	if (v->state != old.state)
		v->since = clock_ms();
	if (v->state != old.state || v->why != old.why || v->has_node != old.has_node)
		tell_links(w);
}

/* ---- opening ---- */

static int importance(const struct link_wire *w)
{
	int best = INT_MAX;

	if (w->calls)
		return URGENT;
	for (const struct link *l = w->links; l; l = l->next)
		best = l->priority < best ? l->priority : best;
	return best;
}

static void set_wants(struct link_wire *w, bool wants)
{
	w->room->wanting += (int)wants - (int)w->wants;
	w->wants = w->view.waits_for_room = wants;
}

static void stop(struct link_wire *w)
{
	uint64_t one = 1;

	w->stop = true;
	if (write(w->stop_fd, &one, sizeof(one)) < 0)
		return; /* it is readable already */
	link_wire_wake(w);
}

static void retry_now(void *arg)
{
	struct link_wire *w = arg;

	loop_timer_free(TAKE(w->retry));
	set_wants(w, true);
	schedule(w->room);
}

static void retry_later(struct link_wire *w)
{
	w->pause_ms = w->pause_ms ? w->pause_ms * 2 : PAUSE_MIN_MS;
	if (w->pause_ms > PAUSE_MAX_MS)
		w->pause_ms = PAUSE_MAX_MS;
	w->retry = loop_timer_new(w->loop, clock_in(w->pause_ms), retry_now, w);
}

/* Have it opened, if it is not and nobody is at it. */
static void want(struct link_wire *w)
{
	if (w->running || w->wants)
		return;
	loop_timer_free(TAKE(w->retry));
	set_wants(w, true);
	schedule(w->room);
}

static void post_failure(struct link_wire *w, const struct err *e)
{
	struct link_event *ev = xzalloc(sizeof(*ev));

	ev->kind = LINK_EV_ENDED;
	ev->err = *e;
	link_wire_post(w, ev);
}

static void open_wire(struct link_wire *w)
{
	struct err e = { 0 };
	uint64_t n;

	set_wants(w, false);
	w->running = true;
	w->stop = false;
	w->evicted = false;
	w->room->running++;
	if (read(w->stop_fd, &n, sizeof(n)) < 0)
		n = 0; /* it was not set */
	if (!link_wire_start(w, &e))
		post_failure(w, &e);
}

static struct link_wire *best_waiting(struct link_room *r)
{
	struct link_wire *best = NULL;

	for (struct link_wire *w = r->wires; w; w = w->next)
		if (w->wants && (!best || importance(w) < importance(best)))
			best = w;
	return best;
}

static struct link_wire *least_needed(struct link_room *r)
{
	struct link_wire *least = NULL;

	for (struct link_wire *w = r->wires; w; w = w->next)
		if (w->running && !w->stop && !w->calls &&
		        (!least || importance(w) > importance(least)))
			least = w;
	return least;
}

/* Places that will be free when those who were told to make room have ended. */
static int coming_free(const struct link_room *r)
{
	int n = 0;

	for (const struct link_wire *w = r->wires; w; w = w->next)
		n += w->running && w->evicted;
	return n;
}

/* Give places to those who want one. */
static void schedule(struct link_room *r)
{
	struct link_wire *w, *least;

	while (r->wanting && r->running < r->most && (w = best_waiting(r)))
		open_wire(w);
	w = r->wanting ? best_waiting(r) : NULL;
	if (!w || coming_free(r))
		return;
	least = least_needed(r);
	if (least && importance(least) > importance(w)) {
		least->evicted = true;
		stop(least);
	}
}

void link_wire_nudge(void *wire)
{
	struct link_wire *w = wire;

	if (w->links)
		want(w);
	link_wire_unref(w);
}

/* ---- calls ---- */

static void call_free(struct link_call *c)
{
	struct link_call **at = &c->w->calls;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	loop_timer_free(c->timer);
	mem_free_secret(c->text);
	free(c);
}

static void call_end(struct link_call *c, const struct link_answer *a)
{
	struct link_answer whole = *a;
	struct link_room *r = c->w->room;
	link_done_fn done = c->done;
	void *arg = c->arg;

	call_free(c);
	schedule(r); /* its host is less urgent now */
	whole.out = whole.out ? whole.out : "";
	whole.err_out = whole.err_out ? whole.err_out : "";
	done(arg, &whole);
}

static void call_fail(struct link_call *c, const struct err *e)
{
	call_end(c, &(struct link_answer){ .status = -1, .err = *e });
}

static struct link_call *find_call(struct link_wire *w, uint32_t id)
{
	struct link_call *c = w->calls;

	while (c && c->id != id)
		c = c->next;
	return c;
}

static void put_ask(struct link_wire *w, struct link_ask *a)
{
	pthread_mutex_lock(&w->lock);
	link_wire_put(w, a);
	pthread_mutex_unlock(&w->lock);
}

static void send_call(struct link_call *c)
{
	c->sent = true;
	put_ask(c->w, link_ask_new(c->kind, c->id, xstrdup(c->text), c->deadline));
}

static void send_waiting(struct link_wire *w)
{
	for (struct link_call *c = w->calls; c; c = c->next)
		if (!c->sent)
			send_call(c);
}

static void drop_call(struct link_call *c)
{
	if (c->sent && c->w->running)
		put_ask(c->w, link_ask_new(LINK_ASK_CANCEL, c->id, NULL, CLOCK_NEVER));
	call_free(c);
}

static void call_late(void *arg)
{
	struct link_call *c = arg;
	struct link_wire *w = c->w;
	struct err e = { 0 };

	if (c->sent)
		put_ask(w, link_ask_new(LINK_ASK_CANCEL, c->id, NULL, CLOCK_NEVER));
	err_set(&e, c->sent ? ERR_LOST : ERR_UNREACHABLE, ETIMEDOUT, "%s within %lld ms",
	        c->sent ? "no answer" : "no connection", (long long)(clock_ms() - c->started));
	err_at(&e, w->name);
	call_fail(c, &e);
}

/* Newest first: all that were made before. */
static void fail_calls(struct link_wire *w, const struct err *e, bool was_up)
{
	struct err why = *e;
	uint32_t limit = w->last_call;

	for (struct link_call *c = w->calls; c;) {
		/* After a loss, what had not been sent waits for the next connection. */
		if (c->id > limit || (was_up && !c->sent)) {
			c = c->next;
			continue;
		}
		why.kind = c->sent ? ERR_LOST : e->kind;
		limit = c->id - 1;
		call_fail(c, &why);
		c = w->calls;
	}
}

char *link_request_text(const char *verb, json_t *args)
{
	json_t *j = json_pack("{s:s, s:o*}", "verb", verb, "args", args);
	char *text = json_dumps(j, JSON_COMPACT), *copy = xstrdup(text ? text : "{");

	json_decref(j);
	mem_free_secret(text);
	copy[strlen(copy) - 1] = '\0';
	return copy;
}

static struct link_call *start_call(struct link *l, enum link_ask_kind kind, char *text,
        int64_t deadline, link_done_fn done, void *arg)
{
	struct link_wire *w = l->w;
	struct link_call *c = xzalloc(sizeof(*c));

	*c = (struct link_call){ .w = w,
		.l = l,
		.next = w->calls,
		.id = ++w->last_call,
		.kind = kind,
		.text = text,
		.started = clock_ms(),
		.deadline = deadline,
		.done = done,
		.arg = arg };
	w->calls = c;
	c->timer = loop_timer_new(w->loop, deadline, call_late, c);
	if (w->view.state == LINK_UP && w->running)
		send_call(c);
	else
		want(w);
	if (w->wants) /* it is more urgent than it was */
		schedule(w->room);
	return c;
}

struct link_call *link_call(struct link *l, const char *verb, json_t *args, int64_t deadline,
        link_done_fn done, void *arg)
{
	return start_call(l, LINK_ASK_CALL, link_request_text(verb, args), deadline, done, arg);
}

struct link_call *link_exec(
        struct link *l, const char *shell_line, int64_t deadline, link_done_fn done, void *arg)
{
	return start_call(l, LINK_ASK_EXEC, xstrdup(shell_line), deadline, done, arg);
}

void link_cancel(struct link_call *c)
{
	if (c)
		drop_call(c);
}

/* ---- events ---- */

void link_event_free(struct link_event *ev)
{
	json_decref(ev->answer.value);
	free((void *)(uintptr_t)ev->answer.out);
	free((void *)(uintptr_t)ev->answer.err_out);
	free(ev);
}

static void on_up(struct link_wire *w, const struct link_event *ev)
{
	if (w->stop)
		return;
	memcpy(w->view.version, ev->version, sizeof(ev->version));
	memcpy(w->view.transport, ev->transport, sizeof(ev->transport));
	send_waiting(w);
	set_state(w, LINK_UP, &ev->err, ev->has_node);
}

static void on_answer(struct link_wire *w, const struct link_event *ev)
{
	struct link_call *c = find_call(w, ev->call);

	if (c)
		call_end(c, &ev->answer);
}

static void on_unsent(struct link_wire *w, uint32_t id)
{
	struct link_call *c = find_call(w, id);

	if (c)
		c->sent = false;
}

static void on_ended(struct link_wire *w, const struct link_event *ev)
{
	int64_t was_up_ms = w->view.state == LINK_UP ? clock_ms() - w->view.since : 0;
	static const struct err none = { 0 };

	w->running = false;
	w->room->running--;
	if (was_up_ms >= STEADY_MS)
		w->pause_ms = 0;
	if (w->evicted || (ev->was_up && !w->pause_ms))
		set_wants(w, true);
	else
		retry_later(w);
	if (ev->was_up && !w->evicted && !w->pause_ms)
		w->pause_ms = PAUSE_MIN_MS / 2; /* at once, once */
	fail_calls(w, &ev->err, ev->was_up);
	if (w->links)
		set_state(w, w->evicted ? LINK_OPENING : LINK_DOWN, w->evicted ? &none : &ev->err,
		        false);
	/* Somebody has asked meanwhile. */
	if (w->links && w->calls && !w->running)
		want(w);
}

static void on_event(void *arg)
{
	struct link_event *ev = arg;
	struct link_wire *w = ev->w;
	struct link_room *r = w->room;

	link_room_ref(r);
	if (w->links) {
		switch (ev->kind) {
		case LINK_EV_UP: on_up(w, ev); break;
		case LINK_EV_ANSWER: on_answer(w, ev); break;
		case LINK_EV_UNSENT: on_unsent(w, ev->call); break;
		case LINK_EV_ENDED: on_ended(w, ev); break;
		}
		if (ev->kind == LINK_EV_ENDED)
			schedule(r);
	}
	link_event_free(ev);
	link_wire_unref(w);
	link_room_unref(r);
}

void link_wire_post(struct link_wire *w, struct link_event *ev)
{
	bool closed;

	ev->w = w;
	pthread_mutex_lock(&w->lock);
	closed = w->closed;
	if (!closed) {
		w->holders++;
		loop_post(w->loop, on_event, ev);
	}
	pthread_mutex_unlock(&w->lock);
	if (closed)
		link_event_free(ev);
}

/* ---- links ---- */

static bool same_host(const struct link_wire *w, const struct conf_server *s)
{
	const struct ssh_target *t = &w->target;

	return str_is(t->address, s->ssh_address) && t->port == (unsigned)s->ssh_port &&
	       str_is(t->user, s->ssh_user);
}

/* The same host, reached in the same way. */
static bool serves(const struct link_wire *w, const struct conf_server *s)
{
	const struct ssh_target *t = &w->target;
	AUTO(free) char *line = session_line(s);

	return same_host(w, s) && str_is(t->key, s->ssh_key) &&
	       str_is(t->options, s->ssh_options) && str_is(t->known_hosts, s->ssh_known_hosts) &&
	       str_is(w->session_line, line) &&
	       t->host_keys == (enum ssh_host_keys)s->ssh_host_keys &&
	       t->transport == (enum ssh_transport)s->ssh_transport;
}

struct link *link_new(struct link_room *r, const struct conf_server *host,
        const struct link_opts *o, link_state_fn changed, void *arg)
{
	struct link *l = xzalloc(sizeof(*l));
	struct link_wire *w = r->wires;

	while (w && !serves(w, host))
		w = w->next;
	if (!w)
		w = wire_new(r, host, o);
	*l = (struct link){ w, w->links, o->priority, changed, arg, true };
	w->links = l;
	if (w->view.state != LINK_UP)
		want(w);
	return l;
}

static void wire_close(struct link_wire *w)
{
	struct link_room *r = w->room;
	struct link_wire **at = &r->wires;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	loop_timer_free(TAKE(w->retry));
	pthread_mutex_lock(&w->lock);
	w->closed = true;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
	if (w->running) {
		r->running--;
		stop(w);
	}
	set_wants(w, false);
	schedule(r);
	link_wire_unref(w);
}

void link_free(struct link *l)
{
	struct link_wire *w;
	struct link **at;

	if (!l)
		return;
	w = l->w;
	for (struct link_call *c = w->calls, *next; c; c = next) {
		next = c->next;
		if (c->l == l)
			drop_call(c);
	}
	for (at = &w->links; *at != l; at = &(*at)->next)
		;
	*at = l->next;
	free(l);
	if (!w->links)
		wire_close(w);
}

void link_set_priority(struct link *l, int priority)
{
	l->priority = priority;
	schedule(l->w->room);
}

void link_wake(struct link *l)
{
	want(l->w);
}

const struct link_view *link_view(struct link *l)
{
	l->w->view.heard = l->w->heard;
	return &l->w->view;
}

const char *link_name(const struct link *l)
{
	return l->w->name;
}

bool link_same_host(const struct link *l, const struct conf_server *s)
{
	return same_host(l->w, s);
}

struct link_door *link_door(struct link *l)
{
	return link_door_of(l->w);
}

const char *link_state_name(enum link_state s)
{
	static const char *const names[] = { "opening", "up", "down" };

	return names[s];
}

const char *link_why_name(enum link_why w)
{
	static const char *const names[] = { "", "silent", "refused", "stalled", "login",
		"host key", "ours" };

	return names[w];
}
