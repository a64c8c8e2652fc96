/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link_frames - requests and streams over the channel of `mha-node session`.  Runs on: the wire's
 * thread; streams are shared with workers under the wire's lock.
 */
#include "link_impl.h"
#include "clock.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NOISE_MAX = 64 << 10, /* what a login shell may say first */
	OUT_MAX = 256 << 10,  /* not yet taken by SSH: streams wait */
	LINES_MAX = 64 << 10,
	TAIL_MAX = 2000,
};

struct link_request {
	struct link_request *next;
	uint32_t id, call;
	struct link_stream *stream; /* held; NULL: a call of the loop */
	size_t window;              /* so much DATA may be sent */
	bool end_sent, cancel_sent;
	struct str lines;
};

static struct link_request *find(const struct link_frames *f, uint32_t id)
{
	struct link_request *r = f->requests;

	while (r && r->id != id)
		r = r->next;
	return r;
}

static void request_free(struct link_frames *f, struct link_request *r)
{
	struct link_request **at = &f->requests;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	f->running--;
	str_done(&r->lines);
	free(r);
}

void link_frames_begin(struct link_frames *f, struct link_wire *w, struct ssh_chan *c)
{
	static const char hello[] =
	        "{\"protocol\":1,\"program\":\"mhad\",\"version\":\"" MHAD_VERSION "\"}";

	*f = (struct link_frames){ .w = w, .c = c, .out = STR_INIT, .err_tail = STR_INIT };
	frame_reader_init(&f->in, FRAME_NODE, NOISE_MAX);
	str_add(&f->out, FRAME_PREAMBLE);
	frame_add(&f->out, FRAME_HELLO, 0, hello, sizeof(hello) - 1);
}

/* The stream's end, for its worker; lets go of it. */
static void end_stream(struct link_request *r, int status, const struct err *e, json_t *value)
{
	struct link_stream *s = r->stream;

	s->status = status;
	s->err = *e;
	s->value = value;
	s->finished = true;
	str_addn(&s->lines, r->lines.p, r->lines.len);
	pthread_cond_broadcast(&s->changed);
	link_stream_unref(s);
	r->stream = NULL;
}

void link_frames_done(struct link_frames *f, const struct err *why)
{
	while (f->requests) {
		struct link_request *r = f->requests;

		if (r->stream) {
			struct err e = *why;

			e.kind = ERR_LOST;
			pthread_mutex_lock(&f->w->lock);
			r->stream->cut = true;
			end_stream(r, -1, &e, NULL);
			pthread_mutex_unlock(&f->w->lock);
		}
		request_free(f, r);
	}
	ssh_chan_free(TAKE(f->c));
	frame_reader_done(&f->in);
	mem_wipe(f->out.p, f->out.len);
	str_done(&f->out);
	str_done(&f->err_tail);
}

static void cancel(struct link_frames *f, uint32_t call)
{
	for (struct link_request *r = f->requests; r; r = r->next) {
		if (r->stream || r->call != call || r->cancel_sent)
			continue;
		r->cancel_sent = true;
		frame_add(&f->out, FRAME_CANCEL, r->id, NULL, 0);
	}
}

static void add_request(struct link_frames *f, struct link_ask *a)
{
	struct link_request *r = xmalloc(sizeof(*r));
	AUTO_STR struct str text = STR_INIT;
	int64_t left = clock_left(a->deadline);
	struct link_stream *s = TAKE(a->stream);

	str_add(&text, a->text);
	if (left != CLOCK_NEVER)
		str_addf(&text, ",\"deadline_ms\":%lld", left > 0 ? (long long)left : 1LL);
	if (s && s->input)
		str_add(&text, ",\"input\":true");
	str_add(&text, "}");
	*r = (struct link_request){ .id = ++f->last_id,
		.call = a->call,
		.stream = s,
		.window = FRAME_WINDOW,
		.lines = STR_INIT,
		.next = f->requests };
	f->requests = r;
	f->running++;
	frame_add(&f->out, FRAME_REQUEST, r->id, text.p, text.len);
	mem_wipe(text.p, text.len);
}

/* As many as the node takes at once. */
static void start_waiting(struct link_frames *f)
{
	while (f->waiting && f->running < f->most) {
		struct link_ask *a = f->waiting;

		f->waiting = a->next;
		add_request(f, a);
		link_ask_free(a);
	}
}

static void forget_waiting(struct link_frames *f, uint32_t call)
{
	for (struct link_ask **at = &f->waiting, *a; (a = *at); at = &a->next) {
		if (a->stream || a->call != call)
			continue;
		*at = a->next;
		link_ask_free(a);
		return;
	}
}

void link_frames_ask(struct link_frames *f, struct link_ask *a)
{
	struct link_ask **end = &f->waiting;

	if (a->kind == LINK_ASK_CANCEL) {
		forget_waiting(f, a->call);
		cancel(f, a->call);
		link_ask_free(a);
		return;
	}
	while (*end)
		end = &(*end)->next;
	a->next = NULL;
	*end = a;
	start_waiting(f);
}

struct link_ask *link_frames_take_waiting(struct link_frames *f)
{
	return TAKE(f->waiting);
}

void link_frames_ping(struct link_frames *f)
{
	frame_add(&f->out, FRAME_PING, 0, NULL, 0);
	f->pinged = clock_ms();
}

/* ---- what comes ---- */

static bool read_hello(struct link_frames *f, const struct frame *fr, struct err *e)
{
	json_t *j = json_loadb((const char *)fr->p, fr->len, 0, NULL);
	json_int_t protocol = json_integer_value(json_object_get(j, "protocol"));
	const char *version = json_string_value(json_object_get(j, "version"));

	json_int_t most = json_integer_value(json_object_get(j, "max_requests"));

	snprintf(f->version, sizeof(f->version), "%s", version ? version : "");
	f->most = most > 1 ? (size_t)most : 1;
	json_decref(j);
	f->greeted = protocol == FRAME_PROTOCOL;
	return f->greeted ||
	       err_set(e, ERR_PRECOND, 0, "its mha-node speaks protocol %lld, this program %d",
	               (long long)protocol, FRAME_PROTOCOL);
}

static void add_line(struct link_request *r, const struct frame *fr)
{
	if (r->lines.len + fr->len >= LINES_MAX)
		return;
	str_addn(&r->lines, fr->p, fr->len);
	str_addc(&r->lines, '\n');
}

static void add_data(struct link_frames *f, struct link_request *r, const struct frame *fr)
{
	struct link_stream *s = r->stream;

	if (!s || s->input) { /* nobody wants it: let it flow */
		frame_add_grant(&f->out, r->id, fr->len);
		return;
	}
	pthread_mutex_lock(&f->w->lock);
	if (s->in_at == s->in.len) {
		str_clear(&s->in);
		s->in_at = 0;
	}
	str_addn(&s->in, fr->p, fr->len);
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&f->w->lock);
}

static enum err_kind kind_of(const char *name)
{
	for (enum err_kind k = ERR_UNREACHABLE; k <= ERR_CANCELED; k++)
		if (str_is(name, err_kind_name(k)))
			return k;
	return ERR_REMOTE;
}

static void copy(char *to, size_t size, const json_t *text)
{
	const char *p = json_string_value(text);

	snprintf(to, size, "%s", p ? p : "");
}

static void read_error(const struct link_frames *f, const json_t *j, struct err *ret)
{
	*ret = (struct err){ 0 };
	if (!json_is_object(j))
		return;
	ret->kind = kind_of(json_string_value(json_object_get(j, "kind")));
	ret->code = (int)json_integer_value(json_object_get(j, "code"));
	copy(ret->host, sizeof(ret->host), json_object_get(j, "host"));
	copy(ret->text, sizeof(ret->text), json_object_get(j, "text"));
	copy(ret->hint, sizeof(ret->hint), json_object_get(j, "hint"));
	err_at(ret, f->w->name);
}

static void add_result(struct link_frames *f, struct link_request *r, const struct frame *fr)
{
	json_t *j = json_loadb((const char *)fr->p, fr->len, 0, NULL);
	json_t *status = json_object_get(j, "status"), *value = json_object_get(j, "value");
	int code = json_is_integer(status) ? (int)json_integer_value(status) : -1;
	struct err e;

	read_error(f, json_object_get(j, "error"), &e);
	if (!json_is_integer(status)) {
		err_set(&e, ERR_PARSE, 0, "the result is not what it should be");
		err_at(&e, f->w->name);
	}
	value = json_is_null(value) ? NULL : json_incref(value);
	json_decref(j);
	if (r->stream) {
		pthread_mutex_lock(&f->w->lock);
		end_stream(r, code, &e, value);
		pthread_mutex_unlock(&f->w->lock);
	} else {
		struct link_event *ev = xzalloc(sizeof(*ev));

		ev->kind = LINK_EV_ANSWER;
		ev->call = r->call;
		ev->answer = (struct link_answer){
			.status = code, .err = e, .value = value, .out = str_take(&r->lines)
		};
		link_wire_post(f->w, ev);
	}
	request_free(f, r);
	start_waiting(f);
}

static void add_grant(struct link_request *r, const struct frame *fr)
{
	uint32_t more = frame_grant(fr);

	if (more <= FRAME_WINDOW - r->window)
		r->window += more;
}

static bool handle(struct link_frames *f, const struct frame *fr, struct err *e)
{
	struct link_request *r = fr->id ? find(f, fr->id) : NULL;

	if (!f->greeted && fr->type != FRAME_HELLO && fr->type != FRAME_ERROR)
		return err_set(e, ERR_PARSE, 0, "%s before HELLO", frame_name(fr->type));
	switch (fr->type) {
	case FRAME_HELLO: return f->greeted || read_hello(f, fr, e);
	case FRAME_PING: frame_add(&f->out, FRAME_PONG, 0, fr->p, fr->len); return true;
	case FRAME_PONG: f->pinged = 0; return true;
	case FRAME_ERROR:
		return err_set(e, ERR_PARSE, 0, "mha-node ended the session: %.*s", (int)fr->len,
		        (const char *)fr->p);
	case FRAME_LINE:
		if (r)
			add_line(r, fr);
		return true;
	case FRAME_DATA:
		if (r)
			add_data(f, r, fr);
		return true;
	case FRAME_GRANT:
		if (r)
			add_grant(r, fr);
		return true;
	case FRAME_RESULT:
		if (r)
			add_result(f, r, fr);
		return true;
	default: return true;
	}
}

static void keep_tail(struct str *s, const char *p, size_t n)
{
	str_addn(s, p, n);
	if (s->len <= TAIL_MAX)
		return;
	memmove(s->p, s->p + s->len - TAIL_MAX, TAIL_MAX);
	str_cut(s, TAIL_MAX);
}

static bool receive(struct link_frames *f, struct err *e)
{
	char words[1024];
	ssize_t n, m;

	do {
		enum frame_next next;
		struct frame fr;
		size_t room;
		void *to = frame_reader_room(&f->in, &room);

		n = ssh_chan_read(f->c, to, room, e);
		if (n > 0)
			frame_reader_filled(&f->in, (size_t)n);
		while (n > 0 && (next = frame_next(&f->in, &fr, e)) != FRAME_MORE)
			if (next == FRAME_BAD || !handle(f, &fr, e))
				return false;
		m = n < 0 ? -1 : ssh_chan_read_err(f->c, words, sizeof(words), e);
		if (m > 0)
			keep_tail(&f->err_tail, words, (size_t)m);
	} while (n > 0 || m > 0);
	return n == 0 && m == 0;
}

/* ---- what goes ---- */

static bool send_some(struct link_frames *f, struct err *e)
{
	size_t at = 0;
	ssize_t n = 1;

	while (at < f->out.len && n > 0) {
		n = ssh_chan_write(f->c, f->out.p + at, f->out.len - at, e);
		at += n > 0 ? (size_t)n : 0;
	}
	if (!at)
		return n >= 0;
	if (at < f->out.len)
		memmove(f->out.p, f->out.p + at, f->out.len - at);
	else
		mem_wipe(f->out.p, at);
	str_cut(&f->out, f->out.len - at);
	return n >= 0;
}

static void send_data(struct link_frames *f, struct link_request *r)
{
	struct str *from = &r->stream->out;
	size_t at = 0;

	while (at < from->len && r->window && f->out.len < OUT_MAX) {
		size_t n = from->len - at;

		n = n < FRAME_DATA_MAX ? n : FRAME_DATA_MAX;
		n = n < r->window ? n : r->window;
		frame_add(&f->out, FRAME_DATA, r->id, from->p + at, n);
		r->window -= n;
		at += n;
	}
	if (!at)
		return;
	memmove(from->p, from->p + at, from->len - at);
	str_cut(from, from->len - at);
	pthread_cond_broadcast(&r->stream->changed);
}

/* With the lock held: what the worker wants to be sent. */
static void serve_stream(struct link_frames *f, struct link_request *r)
{
	struct link_stream *s = r->stream;

	if (s->taken >= FRAME_WINDOW / 2) { /* in large parts */
		frame_add_grant(&f->out, r->id, (uint32_t)s->taken);
		s->taken = 0;
	}
	send_data(f, r);
	if (s->input && s->ended && !s->out.len && !r->end_sent) {
		frame_add(&f->out, FRAME_END, r->id, NULL, 0);
		r->end_sent = true;
	}
	if (s->canceled && !r->cancel_sent) {
		frame_add(&f->out, FRAME_CANCEL, r->id, NULL, 0);
		r->cancel_sent = true;
	}
}

/* True: something was added to the output. */
static bool serve_streams(struct link_frames *f)
{
	size_t before = f->out.len;

	pthread_mutex_lock(&f->w->lock);
	for (struct link_request *r = f->requests; r; r = r->next)
		if (r->stream)
			serve_stream(f, r);
	pthread_mutex_unlock(&f->w->lock);
	return f->out.len > before;
}

static bool ended(struct link_frames *f, struct err *e)
{
	AUTO(free) char *words = xstrdup(f->err_tail.p);
	int status = -1;

	if (!ssh_chan_finish(TAKE(f->c), clock_in(500), &status, e))
		return false;
	err_set(e, f->greeted ? ERR_LOST : ERR_PRECOND, status,
	        f->greeted ? "mha-node session has ended (exit status %d)%s%s"
	                   : "no mha-node session there (exit status %d)%s%s",
	        status, *words ? ": " : "", str_trim(words));
	return err_hint(e, "install mhad's node part there, or say with node_bindir where it is");
}

bool link_frames_pump(struct link_frames *f, struct err *e)
{
	do {
		struct err why = { 0 };

		if (!receive(f, e))
			return false;
		if (ssh_chan_eof(f->c))
			return ended(f, e);
		serve_streams(f);
		/* A command that takes no more is about to end, and then says why. */
		if (!send_some(f, &why) && why.kind != ERR_REMOTE) {
			*e = why;
			return false;
		}
	} while (!f->out.len && serve_streams(f));
	return true;
}
