/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link_room - which wires there are, and which of them are open.  Runs on: loop; references and the
 * count of threads on any.
 *
 * There may be thousands of wires, and places are given after every call: so they are found by a hash, and
 * those that wait and those that are open stand in one queue for each rank.  Hosts that were silent the last
 * time hold their place for seconds and for nothing: many of them at once must not keep it from those who can
 * answer, so they have queues of their own and a part of the places.
 */
#include "link_impl.h"
#include "clock.h"
#include "host.h"
#include "loop.h"
#include "vec.h"
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	PING_MS = 2000,
	SILENCE_MS = 3000,
	PAUSE_MIN_MS = 1000,
	PAUSE_MAX_MS = 30000,
	STEADY_MS = 10000, /* up for so long: the next loss is the first one again */
	URGENT = 0,        /* rank of a wire that is asked something; the others are 1 + priority */
	RANKS = 8,
	CHAINS = 1024,
	DOUBTS = 4, /* the part of the places that silent hosts get: one of so many */
};

struct link_wires {
	struct link_wire *first, *last;
};

struct link_room {
	struct loop *loop;
	/* loop: */
	int most, running;
	int wanting; /* wires that wait for a place */
	int leaving; /* told to make room, and not yet ended */
	int doubts;  /* being opened though they were silent the last time */
	struct link_wires waiting[RANKS], silent[RANKS], open[RANKS];
	struct link_wire *chains[CHAINS];
	pthread_mutex_t lock;
	pthread_cond_t ended;
	/* under lock: */
	int threads, holders;
	VEC(pthread_t) dead; /* threads that have ended, or are about to: to be joined */
};

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

void link_room_began(struct link_room *r)
{
	pthread_mutex_lock(&r->lock);
	r->threads++;
	pthread_mutex_unlock(&r->lock);
}

void link_room_not_begun(struct link_room *r)
{
	pthread_mutex_lock(&r->lock);
	r->threads--;
	pthread_mutex_unlock(&r->lock);
}

void link_room_ended(struct link_room *r)
{
	pthread_mutex_lock(&r->lock);
	r->threads--;
	vec_push(&r->dead, pthread_self());
	pthread_cond_broadcast(&r->ended);
	pthread_mutex_unlock(&r->lock);
}

struct link_room_stats link_room_stats(const struct link_room *r)
{
	struct link_room_stats s = { .most = r->most, .waiting = r->wanting };

	for (size_t i = 0; i < CHAINS; i++) {
		for (const struct link_wire *w = r->chains[i]; w; w = w->next) {
			s.hosts++;
			s.up += w->view.state == LINK_UP;
		}
	}
	return s;
}

/* They have nothing left to do but what libraries do at a thread's end; not waited for, that would
 * meet the end of the process. */
void link_room_reap(struct link_room *r)
{
	pthread_mutex_lock(&r->lock);
	while (r->dead.len) {
		pthread_t t = r->dead.items[--r->dead.len];

		pthread_mutex_unlock(&r->lock);
		pthread_join(t, NULL);
		pthread_mutex_lock(&r->lock);
	}
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
	vec_each (pthread_t, t, &r->dead)
		pthread_detach(*t);
	vec_done(&r->dead);
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
	link_room_reap(r);
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

static struct link_wire **chain(struct link_room *r, const char *address, unsigned port)
{
	uint32_t h = 2166136261u ^ port;

	for (; address && *address; address++)
		h = (h ^ (unsigned char)*address) * 16777619u;
	return &r->chains[h % CHAINS];
}

static struct link_wire *wire_new(
        struct link_room *r, const struct conf_server *s, const struct link_opts *o)
{
	struct link_wire **head = chain(r, s->ssh_address, (unsigned)s->ssh_port);
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
	w->next = *head;
	*head = w;
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

/* ---- opening ---- */

static int rank_of(const struct link_wire *w)
{
	int best = RANKS - 2;

	/* Streams begin and end on other threads: those of an open wire are looked at when it matters. */
	if (w->calls || (w->wants && w->streams))
		return URGENT;
	for (const struct link *l = w->links; l; l = l->next)
		best = l->priority < best ? l->priority : best;
	return 1 + (best < 0 ? 0 : best);
}

static void stand(struct link_wire *w, struct link_wires *at)
{
	if (w->at) {
		*(w->ahead ? &w->ahead->behind : &w->at->first) = w->behind;
		*(w->behind ? &w->behind->ahead : &w->at->last) = w->ahead;
	}
	w->at = at;
	w->ahead = at ? at->last : NULL;
	w->behind = NULL;
	if (!at)
		return;
	*(at->last ? &at->last->behind : &at->first) = w;
	at->last = w;
}

/* Behind those that are there already, so that equals have their turns. */
void link_wire_rank(struct link_wire *w)
{
	struct link_wires *at = NULL;

	if (w->wants && w->view.why == LINK_SILENT)
		at = &w->room->silent[rank_of(w)];
	else if (w->wants)
		at = &w->room->waiting[rank_of(w)];
	else if (w->running && !w->stop)
		at = &w->room->open[rank_of(w)];
	if (at != w->at)
		stand(w, at);
}

static void set_wants(struct link_wire *w, bool wants)
{
	w->room->wanting += (int)wants - (int)w->wants;
	w->wants = w->view.waits_for_room = wants;
	link_wire_rank(w);
}

static void stop(struct link_wire *w)
{
	uint64_t one = 1;

	w->stop = true;
	link_wire_rank(w);
	if (write(w->stop_fd, &one, sizeof(one)) < 0)
		return; /* it is readable already */
	link_wire_wake(w);
}

static void retry_now(void *arg)
{
	struct link_wire *w = arg;

	loop_timer_free(TAKE(w->retry));
	set_wants(w, true);
	link_room_schedule(w->room);
}

static void retry_later(struct link_wire *w)
{
	w->pause_ms = w->pause_ms ? w->pause_ms * 2 : PAUSE_MIN_MS;
	if (w->pause_ms > PAUSE_MAX_MS)
		w->pause_ms = PAUSE_MAX_MS;
	w->retry = loop_timer_new(w->loop, clock_in(w->pause_ms), retry_now, w);
}

/* Have it opened, if it is not and nobody is at it. */
void link_wire_want(struct link_wire *w)
{
	if (w->running || w->wants) {
		link_wire_rank(w);
		return;
	}
	loop_timer_free(TAKE(w->retry));
	set_wants(w, true);
	link_room_schedule(w->room);
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

	w->doubtful = w->view.why == LINK_SILENT;
	w->room->doubts += w->doubtful;
	w->running = true;
	w->stop = false;
	w->evicted = false;
	set_wants(w, false);
	w->room->running++;
	if (read(w->stop_fd, &n, sizeof(n)) < 0)
		n = 0; /* it was not set */
	if (!link_wire_start(w, &e))
		post_failure(w, &e);
}

static struct link_wire *best_waiting(struct link_room *r)
{
	const bool may_doubt = r->doubts * DOUBTS < r->most;

	for (size_t rank = 0; rank < RANKS; rank++) {
		if (r->waiting[rank].first)
			return r->waiting[rank].first;
		if (may_doubt && r->silent[rank].first)
			return r->silent[rank].first;
	}
	return NULL;
}

void link_wire_trusted(struct link_wire *w)
{
	w->room->doubts -= w->doubtful;
	w->doubtful = false;
}

/* One with nothing to do that is less important than `than`.  Who is being opened comes to its end first: else, when many
 * are asked at once, nobody would ever. */
static struct link_wire *least_needed(struct link_room *r, const struct link_wire *than)
{
	for (int rank = RANKS - 1; rank > rank_of(than); rank--) {
		for (struct link_wire *w = r->open[rank].first; w; w = w->behind) {
			if (!w->streams && (w->view.state == LINK_UP || w->doubtful))
				return w;
		}
	}
	return NULL;
}

/* Give places to those who want one. */
void link_room_schedule(struct link_room *r)
{
	struct link_wire *w, *least;

	while (r->running < r->most && (w = best_waiting(r)))
		open_wire(w);
	/* One at a time: its place will be free when it has ended. */
	w = r->leaving ? NULL : best_waiting(r);
	least = w ? least_needed(r, w) : NULL;
	if (!least)
		return;
	r->leaving++;
	least->evicted = true;
	stop(least);
}

void link_wire_nudge(void *wire)
{
	struct link_wire *w = wire;

	if (w->links)
		link_wire_want(w);
	link_wire_unref(w);
}

/* The wire's thread has ended: what next? */
void link_wire_ended(struct link_wire *w, bool was_up)
{
	int64_t was_up_ms = w->view.state == LINK_UP ? clock_ms() - w->view.since : 0;
	bool first;

	w->running = false;
	w->room->running--;
	w->room->leaving -= w->evicted;
	link_wire_trusted(w);
	link_wire_rank(w);
	if (was_up_ms >= STEADY_MS)
		w->pause_ms = 0;
	first = was_up && !w->pause_ms;
	if (w->evicted || first)
		set_wants(w, true);
	else
		retry_later(w);
	if (first && !w->evicted)
		w->pause_ms = PAUSE_MIN_MS / 2; /* at once, once */
}

/* ---- hosts ---- */

bool link_wire_is_at(const struct link_wire *w, const struct conf_server *s)
{
	const struct ssh_target *t = &w->target;

	return str_is(t->address, s->ssh_address) && t->port == (unsigned)s->ssh_port &&
	       str_is(t->user, s->ssh_user);
}

/* The same host, reached in the same way. */
static bool serves(const struct link_wire *w, const struct conf_server *s)
{
	const struct ssh_target *t = &w->target;
	AUTO(free) char *line = NULL;

	if (!link_wire_is_at(w, s))
		return false;
	line = session_line(s);
	return str_is(t->key, s->ssh_key) && str_is(t->options, s->ssh_options) &&
	       str_is(t->known_hosts, s->ssh_known_hosts) && str_is(w->session_line, line) &&
	       t->host_keys == (enum ssh_host_keys)s->ssh_host_keys &&
	       t->transport == (enum ssh_transport)s->ssh_transport;
}

struct link_wire *link_wire_for(
        struct link_room *r, const struct conf_server *s, const struct link_opts *o)
{
	struct link_wire *w = *chain(r, s->ssh_address, (unsigned)s->ssh_port);

	while (w && !serves(w, s))
		w = w->next;
	return w ? w : wire_new(r, s, o);
}

void link_wire_close(struct link_wire *w)
{
	struct link_room *r = w->room;
	struct link_wire **at = chain(r, w->target.address, w->target.port);

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
		r->leaving -= w->evicted;
		link_wire_trusted(w);
		stop(w);
	}
	set_wants(w, false);
	link_room_schedule(r);
	link_wire_unref(w);
}
