/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control_client - one client of the control socket: its lines in, its calls, its lines out.  Runs on:
 * loop.
 *
 * Only on_io() and on_timer() let a client go: whatever else finds that it is over says so
 * (`is_dead`) and has the timer look at once, so that no function pulls a client or a call away
 * under its caller.
 */
#include "control_impl.h"
#include "clock.h"
#include "control_line.h"
#include "log.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	READ_PIECE = 16 << 10,
	TURN_REQUESTS = 16,         /* of one client before others get their turn */
	CALLS_MAX = 1024,           /* of all clients, with those that are gone */
	OUTPUT_ENOUGH = 256 << 10,  /* no new request while so much waits to be taken */
	KEEP_BUFFER = 64 << 10,     /* an empty buffer larger than this is given back */
	HALF_CLOSED_LOOK_MS = 1000, /* is a client that has said all still there? */
};

struct control_client {
	struct control *owner;
	struct control_client *prev, *next;
	int fd;
	struct loop_io *io;
	struct loop_timer *timer;
	struct control_peer peer;
	struct str in, out;
	size_t done, sent; /* of them: served, and sent */
	int n_calls;
	int64_t line_since; /* when the half line at the end of `in` began; 0 = there is none */
	int64_t stirred_at; /* last request or answer */
	int64_t took_at;    /* last time that it took something */
	bool has_said_all;  /* it closed its side */
	bool closing;       /* after what waits has been sent */
	bool is_dead;       /* at once */
};

/* ---- lines out -------------------------------------------------------------------------------- */

static size_t waiting(const struct control_client *cl)
{
	return cl->out.len - cl->sent;
}

static bool is_full(const struct control_client *cl)
{
	return waiting(cl) > cl->owner->o.max_output;
}

static void cut_off(struct control_client *cl, const char *why)
{
	if (!cl->is_dead && why)
		control_note(cl->owner, &cl->peer, why);
	cl->is_dead = true;
}

/* What was sent makes room before more is added. */
static void compact(struct control_client *cl)
{
	if (cl->sent < cl->out.len && cl->sent < cl->out.cap / 2)
		return;
	memmove(cl->out.p, cl->out.p + cl->sent, waiting(cl));
	str_cut(&cl->out, waiting(cl));
	cl->sent = 0;
	if (!cl->out.len && cl->out.cap > KEEP_BUFFER)
		str_done(&cl->out);
}

static void flush(struct control_client *cl)
{
	while (!cl->is_dead && waiting(cl)) {
		ssize_t n = send(
		        cl->fd, cl->out.p + cl->sent, waiting(cl), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			cl->is_dead = true;
		if (n <= 0)
			return;
		cl->sent += (size_t)n;
		cl->took_at = clock_ms();
	}
	if (!cl->is_dead && cl->out.len)
		compact(cl);
}

static int add_chunk(const char *bytes, size_t n, void *arg)
{
	struct control_client *cl = arg;

	str_addn(&cl->out, bytes, n);
	return is_full(cl) ? -1 : 0;
}

/* `{"id":N,<key><value>}`; false: it cannot be written, or there is no room, and nothing was added. */
static bool add_value(
        struct control_client *cl, json_int_t id, const char *key, const json_t *value)
{
	size_t mark;

	compact(cl);
	mark = cl->out.len;
	if (!waiting(cl))
		cl->took_at = clock_ms();
	control_add_id(&cl->out, id);
	str_add(&cl->out, key);
	if (!json_dump_callback(value, add_chunk, cl, JSON_COMPACT | JSON_ENCODE_ANY)) {
		str_add(&cl->out, "}\n");
		return true;
	}
	str_cut(&cl->out, mark);
	return false;
}

static void add_error(struct control_client *cl, json_int_t id, const struct err *e)
{
	compact(cl);
	if (!waiting(cl))
		cl->took_at = clock_ms();
	control_add_error(&cl->out, id, e);
	if (is_full(cl))
		cut_off(cl, "does not take its answers");
}

/* ---- what it waits for ------------------------------------------------------------------------ */

static bool has_line(const struct control_client *cl)
{
	return memchr(cl->in.p + cl->done, '\n', cl->in.len - cl->done);
}

static bool wants_lines(const struct control_client *cl)
{
	return !cl->closing && !cl->is_dead && waiting(cl) <= OUTPUT_ENOUGH;
}

static bool wants_bytes(const struct control_client *cl)
{
	return wants_lines(cl) && !cl->has_said_all &&
	       cl->in.len - cl->done <= cl->owner->o.max_line;
}

static bool is_over(const struct control_client *cl)
{
	if (cl->is_dead || (cl->closing && !waiting(cl)))
		return true;
	return cl->has_said_all && !cl->n_calls && !waiting(cl) && cl->in.len == cl->done;
}

/* When has the timer something to do or to say? */
static int64_t next_look(const struct control_client *cl)
{
	const struct control_opts *o = &cl->owner->o;
	int64_t at = CLOCK_NEVER;

	if (is_over(cl) || (wants_lines(cl) && has_line(cl)))
		return clock_ms();
	if (waiting(cl))
		at = cl->took_at + o->stuck_ms;
	else if (cl->line_since)
		at = cl->line_since + o->half_line_ms;
	else if (!cl->n_calls)
		at = cl->stirred_at + o->idle_ms;
	if (cl->has_said_all)
		at = clock_sooner(at, clock_in(HALF_CLOSED_LOOK_MS));
	return at;
}

static void arrange(struct control_client *cl)
{
	bool half = cl->in.len > cl->done && !has_line(cl) && wants_bytes(cl);

	if (!half)
		cl->line_since = 0;
	else if (!cl->line_since)
		cl->line_since = clock_ms();
	loop_io_set(cl->io, (wants_bytes(cl) ? LOOP_READ : 0) | (waiting(cl) ? LOOP_WRITE : 0));
	loop_timer_move(cl->timer, next_look(cl));
}

/* ---- calls ------------------------------------------------------------------------------------ */

static struct control_call *new_call(
        struct control_client *cl, const struct control_verb *verb, json_int_t id)
{
	struct control_call *call = xzalloc(sizeof(*call));
	struct control *c = cl->owner;

	call->owner = c;
	call->client = cl;
	call->verb = verb;
	call->id = id;
	call->arg = c->arg;
	call->peer = cl->peer;
	call->next = c->calls;
	if (c->calls)
		c->calls->prev = call;
	c->calls = call;
	c->n_calls++;
	cl->n_calls++;
	return call;
}

static void unlink_call(struct control *c, struct control_call *call)
{
	*(call->prev ? &call->prev->next : &c->calls) = call->next;
	if (call->next)
		call->next->prev = call->prev;
	c->n_calls--;
}

static void end_call(struct control_call *call)
{
	struct control_client *cl = call->client;

	if (call->owner)
		unlink_call(call->owner, call);
	free(call);
	if (!cl)
		return;
	cl->n_calls--;
	cl->stirred_at = clock_ms();
	flush(cl);
	arrange(cl);
}

void control_answer(struct control_call *call, json_t *value)
{
	struct control_client *cl = call->client;
	struct err e = { 0 };

	if (!value)
		value = json_null();
	if (cl && !cl->is_dead && !add_value(cl, call->id, ",\"ok\":true,\"value\":", value)) {
		err_set(&e, ERR_SYSTEM, 0,
		        "the answer to \"%s\" cannot be written, or is larger than may wait for "
		        "one client (%zu bytes)",
		        call->verb->name, cl->owner->o.max_output);
		add_error(cl, call->id, &e);
	}
	json_decref(value);
	end_call(call);
}

void control_refuse(struct control_call *call, const struct err *e)
{
	if (call->client && !call->client->is_dead)
		add_error(call->client, call->id, e);
	end_call(call);
}

bool control_event(struct control_call *call, json_t *event)
{
	struct control_client *cl = call->client;

	if (cl && !cl->is_dead) {
		if (add_value(cl, call->id, ",\"event\":", event))
			flush(cl);
		else
			cut_off(cl, "does not keep up with its events");
		arrange(cl);
	}
	json_decref(event);
	return cl && !cl->is_dead;
}

/* ---- lines in --------------------------------------------------------------------------------- */

static const struct control_verb *find_verb(const struct control *c, const char *name)
{
	for (const struct control_verb *v = c->table; v->name; v++) {
		if (str_is(v->name, name))
			return v;
	}
	return NULL;
}

static void unknown_verb(const struct control *c, const char *name, struct err *e)
{
	AUTO_STR struct str all = STR_INIT;

	for (const struct control_verb *v = c->table; v->name; v++)
		str_addf(&all, "%s%s", all.len ? ", " : "", v->name);
	err_set(e, ERR_PRECOND, 0, "mhad %s knows no verb \"%s\"", MHAD_VERSION, name);
	err_hint(e, "it knows %s", all.p);
}

static bool may_call(const struct control_client *cl, const struct control_verb *v, struct err *e)
{
	const struct control *c = cl->owner;

	if (cl->peer.level < v->level) {
		err_set(e, ERR_REFUSED, 0, "\"%s\" is not allowed for %s", v->name, cl->peer.user);
		control_peer_hint(e, &cl->peer, &c->groups, v->level);
		return false;
	}
	if (cl->n_calls >= c->o.max_requests)
		return err_set(e, ERR_PRECOND, 0, "%d requests of this client are not answered yet",
		        cl->n_calls);
	if (c->n_calls >= CALLS_MAX)
		return err_set(e, ERR_PRECOND, 0, "%d requests are not answered yet", c->n_calls);
	return true;
}

static void serve_line(struct control_client *cl, const char *line, size_t n)
{
	const struct control_verb *verb;
	struct control_request r;
	struct err e = { 0 };
	json_int_t id;

	if (!control_line_parse(line, n, &r, &id, &e)) {
		add_error(cl, id, &e);
		return;
	}
	verb = find_verb(cl->owner, r.verb);
	if (!verb)
		unknown_verb(cl->owner, r.verb, &e);
	if (verb && may_call(cl, verb, &e))
		verb->run(new_call(cl, verb, r.id), r.args);
	else
		add_error(cl, r.id, &e);
	json_decref(r.root);
}

/* Nothing that follows can be trusted to begin where a line begins. */
static void close_with(struct control_client *cl, enum err_kind kind, const char *text)
{
	struct err e = { 0 };

	err_set(&e, kind, 0, "%s; the connection is closed", text);
	add_error(cl, -1, &e);
	cl->closing = true;
	cl->done = cl->in.len;
}

static void serve_lines(struct control_client *cl)
{
	size_t max = cl->owner->o.max_line;

	for (int i = 0; i < TURN_REQUESTS && wants_lines(cl); i++) {
		char *line = cl->in.p + cl->done, *end = memchr(line, '\n', cl->in.len - cl->done);
		size_t n = end ? (size_t)(end - line) : cl->in.len - cl->done;

		if (n > max) {
			close_with(cl, ERR_PARSE, "the line is too long for a request");
			break;
		}
		if (!end) {
			if (n && cl->has_said_all)
				close_with(cl, ERR_PARSE,
				        "the last line has no end and was not looked at");
			break;
		}
		cl->done += n + 1;
		cl->stirred_at = clock_ms();
		cl->line_since = 0;
		serve_line(cl, line, n);
	}
	memmove(cl->in.p, cl->in.p + cl->done, cl->in.len - cl->done);
	str_cut(&cl->in, cl->in.len - cl->done);
	cl->done = 0;
	if (!cl->in.len)
		str_done(&cl->in); /* who waits for answers or events needs no room */
}

/* A client that closed both sides has left; one that only said all may wait for answers. */
static bool has_left(const struct control_client *cl)
{
	struct pollfd p = { .fd = cl->fd };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

static void read_bytes(struct control_client *cl)
{
	ssize_t n;

	str_grow(&cl->in, READ_PIECE);
	n = recv(cl->fd, cl->in.p + cl->in.len, READ_PIECE, MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		cl->is_dead = true;
	if (n < 0)
		return;
	if (n == 0) {
		cl->has_said_all = true;
		cl->is_dead = has_left(cl);
		return;
	}
	cl->in.len += (size_t)n;
	cl->in.p[cl->in.len] = '\0';
}

/* ---- life ------------------------------------------------------------------------------------- */

static void finish_turn(struct control_client *cl)
{
	flush(cl);
	if (is_over(cl))
		control_client_drop(cl);
	else
		arrange(cl);
}

static void on_io(void *arg, int events)
{
	struct control_client *cl = arg;

	if (events & LOOP_WRITE)
		flush(cl);
	if ((events & LOOP_READ) && wants_bytes(cl))
		read_bytes(cl);
	if (!cl->is_dead)
		serve_lines(cl);
	finish_turn(cl);
}

static void look_at_deadlines(struct control_client *cl)
{
	const struct control_opts *o = &cl->owner->o;
	int64_t now = clock_ms();

	if (cl->has_said_all && has_left(cl))
		cl->is_dead = true;
	else if (waiting(cl) && now >= cl->took_at + o->stuck_ms)
		cut_off(cl, "does not take what waits for it");
	else if (!waiting(cl) && cl->line_since && now >= cl->line_since + o->half_line_ms)
		close_with(cl, ERR_PARSE, "the rest of a line did not come");
	else if (!waiting(cl) && !cl->line_since && !cl->n_calls &&
	         now >= cl->stirred_at + o->idle_ms)
		close_with(cl, ERR_CANCELED, "no request for a long time");
}

static void on_timer(void *arg)
{
	struct control_client *cl = arg;

	if (!is_over(cl))
		look_at_deadlines(cl);
	if (!cl->is_dead)
		serve_lines(cl);
	finish_turn(cl);
}

void control_client_new(struct control *c, int fd, const struct control_peer *peer)
{
	struct control_client *cl = xzalloc(sizeof(*cl));

	cl->owner = c;
	cl->fd = fd;
	cl->peer = *peer;
	cl->stirred_at = cl->took_at = clock_ms();
	str_init(&cl->in);
	str_init(&cl->out);
	cl->next = c->clients;
	if (c->clients)
		c->clients->prev = cl;
	c->clients = cl;
	c->n_clients++;
	c->n_readers += peer->level == CONTROL_READ;
	cl->io = loop_io_new(c->l, fd, LOOP_READ, on_io, cl);
	cl->timer = loop_timer_new(c->l, CLOCK_NEVER, on_timer, cl);
	control_add_greeting(&cl->out);
	flush(cl);
	arrange(cl);
}

static struct control_call *call_of(const struct control_client *cl)
{
	for (struct control_call *call = cl->owner->calls; call; call = call->next) {
		if (call->client == cl)
			return call;
	}
	return NULL;
}

/* A cancel function may end other calls, so the list is looked through anew each time. */
static void cancel_calls(struct control_client *cl)
{
	struct control_call *call;

	while ((call = call_of(cl))) {
		call->client = NULL;
		cl->n_calls--;
		if (!call->cancel)
			continue;
		call->cancel(call, call->cancel_arg);
		unlink_call(cl->owner, call);
		free(call);
	}
}

void control_client_drop(struct control_client *cl)
{
	struct control *c = cl->owner;

	cl->is_dead = true;
	loop_io_free(cl->io);
	loop_timer_free(cl->timer);
	close(cl->fd);
	*(cl->prev ? &cl->prev->next : &c->clients) = cl->next;
	if (cl->next)
		cl->next->prev = cl->prev;
	c->n_clients--;
	c->n_readers -= cl->peer.level == CONTROL_READ;
	cancel_calls(cl);
	str_done(&cl->in);
	str_done(&cl->out);
	free(cl);
}
