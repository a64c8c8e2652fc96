/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link_call - questions of the loop: sent, answered, late, canceled, failed.  Runs on: loop.
 */
#include "link_impl.h"
#include "clock.h"
#include "loop.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- calls ---- */

static void call_free(struct link_call *c)
{
	struct link_call **at = &c->w->calls;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	link_wire_rank(c->w);
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
	link_room_schedule(r); /* its host is less urgent now */
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

void link_calls_send(struct link_wire *w)
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
void link_calls_fail(struct link_wire *w, const struct err *e, bool was_up)
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
	link_wire_rank(w);
	c->timer = loop_timer_new(w->loop, deadline, call_late, c);
	if (w->view.state == LINK_UP && w->running && !w->evicted)
		send_call(c);
	else
		link_wire_want(w);
	if (w->wants) /* it is more urgent than it was */
		link_room_schedule(w->room);
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

void link_calls_answer(struct link_wire *w, const struct link_event *ev)
{
	struct link_call *c = find_call(w, ev->call);

	if (c)
		call_end(c, &ev->answer);
}

void link_calls_unsent(struct link_wire *w, uint32_t id)
{
	struct link_call *c = find_call(w, id);

	if (c)
		c->sent = false;
}

void link_calls_drop(struct link *l)
{
	for (struct link_call *c = l->w->calls, *next; c; c = next) {
		next = c->next;
		if (c->l == l)
			drop_call(c);
	}
}
