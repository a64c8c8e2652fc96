/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link - links and their state, and what becomes of the thread's events.  Runs on: loop;
 * link_wire_post() on any thread.
 */
#include "link_impl.h"
#include "clock.h"
#include "loop.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
	link_wire_trusted(w);
	link_calls_send(w);
	set_state(w, LINK_UP, &ev->err, ev->has_node);
}

static void on_ended(struct link_wire *w, const struct link_event *ev)
{
	static const struct err none = { 0 };
	bool evicted = w->evicted;

	link_wire_ended(w, ev->was_up);
	link_calls_fail(w, &ev->err, ev->was_up);
	if (w->links)
		set_state(w, evicted ? LINK_OPENING : LINK_DOWN, evicted ? &none : &ev->err, false);
	link_wire_rank(w);
	/* Somebody has asked meanwhile. */
	if (w->links && w->calls && !w->running)
		link_wire_want(w);
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
		case LINK_EV_ANSWER: link_calls_answer(w, ev); break;
		case LINK_EV_UNSENT: link_calls_unsent(w, ev->call); break;
		case LINK_EV_ENDED: on_ended(w, ev); break;
		}
		if (ev->kind == LINK_EV_ENDED)
			link_room_schedule(r);
	}
	link_event_free(ev);
	link_wire_unref(w);
	link_room_reap(r);
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

struct link *link_new(struct link_room *r, const struct conf_server *host,
        const struct link_opts *o, link_state_fn changed, void *arg)
{
	struct link *l = xzalloc(sizeof(*l));
	struct link_wire *w = link_wire_for(r, host, o);

	*l = (struct link){ w, w->links, o->priority, changed, arg, true };
	w->links = l;
	link_wire_rank(w);
	if (w->view.state != LINK_UP)
		link_wire_want(w);
	return l;
}

void link_free(struct link *l)
{
	struct link_wire *w;
	struct link **at;

	if (!l)
		return;
	w = l->w;
	link_calls_drop(l);
	for (at = &w->links; *at != l; at = &(*at)->next)
		;
	*at = l->next;
	free(l);
	if (w->links)
		link_wire_rank(w);
	else
		link_wire_close(w);
}

void link_set_priority(struct link *l, int priority)
{
	l->priority = priority;
	link_wire_rank(l->w);
	link_room_schedule(l->w->room);
}

void link_wake(struct link *l)
{
	link_wire_want(l->w);
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
	return link_wire_is_at(l->w, s);
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
