/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session_request - the requests of a session: their arguments, their threads, their streams.
 * Runs on: main thread; what begins with run_ or io_ on the thread of its request.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "clock.h"
#include "session_impl.h"

#define STACK_SIZE (512 << 10) /* twice what verbs are told */

void session_begin(void)
{
	json_set_alloc_funcs(malloc, mem_free_wiping);
}

static void json_drop(json_t *j)
{
	json_decref(j);
}
CLEANUP_FN(jansson, json_t *, json_drop)

static json_t *parse(const struct frame *f, struct err *e)
{
	json_error_t why;
	json_t *j = json_loadb((const char *)f->p, f->len, JSON_REJECT_DUPLICATES, &why);

	if (json_is_object(j))
		return j;
	err_set(e, ERR_PARSE, 0, "%s is not a JSON object: %s at byte %d", frame_name(f->type),
	        j ? "something else" : why.text, j ? 0 : why.position);
	json_decref(j);
	return NULL;
}

bool session_check_hello(const struct frame *f, struct err *e)
{
	AUTO(jansson) json_t *j = parse(f, e);
	json_int_t protocol;

	if (!j)
		return false;
	protocol = json_integer_value(json_object_get(j, "protocol"));
	return protocol == FRAME_PROTOCOL ||
	       err_set(e, ERR_PARSE, 0, "protocol %d is spoken here, not %lld", FRAME_PROTOCOL,
	               (long long)protocol);
}

/* Send one frame and wait until it has gone.  False: it has not; with `give_up`, also since the
 * request was canceled before it began to go. */
static bool send_locked(
        struct request *r, enum frame_type type, const void *p, size_t len, bool give_up)
{
	struct session *s = r->s;
	struct session_piece piece = { .p = p, .len = len, .r = r }, **at = &s->first;

	if (s->closed)
		return false;
	frame_header(piece.header, type, r->id, (uint32_t)len);
	while (*at)
		at = &(*at)->next;
	*at = &piece;
	session_wake(s);
	while (!piece.done && !(give_up && r->canceled && !piece.sent))
		pthread_cond_wait(&r->changed, &s->lock);
	if (!piece.done) {
		for (at = &s->first; *at != &piece; at = &(*at)->next)
			;
		*at = piece.next;
	}
	return piece.sent == FRAME_HEADER + len;
}

static void io_write_begin(struct verb_io *io)
{
	(void)io;
}

static bool canceled(struct verb_io *io, struct err *e)
{
	if (verb_go_on(io, e))
		err_set(e, ERR_CANCELED, 0, "the manager has gone");
	return false;
}

static bool io_write(struct verb_io *io, const void *bytes, size_t n, struct err *e)
{
	struct request *r = io->arg;
	const char *p = bytes;
	bool ok = true;

	pthread_mutex_lock(&r->s->lock);
	while (ok && n) {
		size_t part;

		while (!r->out_window && !r->canceled && !r->s->closed)
			pthread_cond_wait(&r->changed, &r->s->lock);
		part = n < FRAME_DATA_MAX ? n : FRAME_DATA_MAX;
		if (part > r->out_window)
			part = r->out_window;
		/* Before it goes: the peer may answer with a grant before this thread wakes up. */
		r->out_window -= part;
		ok = !r->canceled && send_locked(r, FRAME_DATA, p, part, true);
		p += part;
		n -= part;
	}
	pthread_mutex_unlock(&r->s->lock);
	return ok || canceled(io, e);
}

static ssize_t io_read(struct verb_io *io, void *buf, size_t size, struct err *e)
{
	struct request *r = io->arg;
	size_t n;
	bool ok;

	pthread_mutex_lock(&r->s->lock);
	while (r->in_at == r->in.len && !r->in_ended && !r->canceled && !r->s->closed)
		pthread_cond_wait(&r->changed, &r->s->lock);
	ok = !r->canceled && !r->s->closed;
	n = r->in.len - r->in_at < size ? r->in.len - r->in_at : size;
	memcpy(buf, r->in.p + r->in_at, n);
	r->in_at += n;
	r->in_taken += n;
	if (r->in_at == r->in.len) {
		str_clear(&r->in);
		r->in_at = 0;
	}
	if (r->in_taken >= FRAME_WINDOW / 2)
		session_wake(r->s);
	pthread_mutex_unlock(&r->s->lock);
	return ok ? (ssize_t)n : (canceled(io, e), -1);
}

static void io_result(struct verb_io *io, const char *json)
{
	struct request *r = io->arg;

	free(r->value);
	r->value = xstrdup(json);
}

static void io_hold(struct verb_io *io, int by)
{
	struct request *r = io->arg;

	pthread_mutex_lock(&r->s->lock);
	r->s->holds += by;
	pthread_mutex_unlock(&r->s->lock);
	session_wake(r->s);
}

static bool io_line(struct request *r)
{
	bool ok;

	pthread_mutex_lock(&r->s->lock);
	ok = send_locked(r, FRAME_LINE, r->line.p, r->line.len, false);
	pthread_mutex_unlock(&r->s->lock);
	str_clear(&r->line);
	return ok;
}

static ssize_t io_print(void *cookie, const char *p, size_t n)
{
	struct request *r = cookie;
	bool ok = true;

	for (size_t i = 0; i < n; i++) {
		if (p[i] != '\n')
			str_addc(&r->line, p[i]);
		if (p[i] == '\n' || r->line.len == FRAME_DATA_MAX)
			ok = io_line(r) && ok;
	}
	return ok ? (ssize_t)n : 0;
}

static const struct verb_ops ops = {
	.write_begin = io_write_begin,
	.write = io_write,
	.read = io_read,
	.result = io_result,
	.hold = io_hold,
};

static void add_result(struct str *to, int status, const struct err *e, const char *value)
{
	AUTO_JSON struct json j = JSON_INIT;

	json_open(&j, NULL, '{');
	json_int(&j, "status", status);
	if (e->kind == ERR_NONE) {
		json_str(&j, "error", NULL);
	} else {
		json_open(&j, "error", '{');
		json_str(&j, "kind", err_kind_name(e->kind));
		json_int(&j, "code", e->code);
		json_str(&j, "host", e->host);
		json_str(&j, "text", e->text);
		json_str(&j, "hint", e->hint);
		json_close(&j, '}');
	}
	str_add(to, j.text.p);
	str_addf(to, ",\"value\":%s}", value ? value : "null");
	if (to->len > FRAME_RESULT_MAX) {
		struct err why = { 0 };

		err_set(&why, ERR_SYSTEM, E2BIG, "the answer is longer than a frame may be");
		str_clear(to);
		add_result(to, 1, &why, NULL);
	}
}

static void *run_request(void *arg)
{
	struct request *r = arg;
	AUTO_STR struct str result = STR_INIT;
	struct err e = { 0 };
	int status = verb_call(r->verb, &r->args, &r->io, &e);

	fclose(TAKE(r->io.out));
	if (r->line.len)
		io_line(r);
	add_result(&result, status, &e, r->value);
	pthread_mutex_lock(&r->s->lock);
	r->answered = true;
	send_locked(r, FRAME_RESULT, result.p, result.len, false);
	r->finished = true;
	session_wake(r->s);
	pthread_mutex_unlock(&r->s->lock);
	return NULL;
}

static void request_free(struct request *r)
{
	cleanup_fd(&r->io.cancel_fd);
	if (r->io.out)
		fclose(r->io.out);
	if (r->has_args)
		args_done(&r->args);
	vec_each (char *, word, &r->words)
		mem_free_secret(*word);
	vec_done(&r->words);
	free(r->argv);
	str_done(&r->in);
	str_done(&r->line);
	free(r->value);
	pthread_cond_destroy(&r->changed);
	free(r);
}
CLEANUP_FN(request, struct request *, request_free)

static bool run_start(struct request *r, struct err *e)
{
	static const cookie_io_functions_t functions = { .write = io_print };
	pthread_attr_t attr;
	int rc;

	r->io.out = fopencookie(r, "w", functions);
	r->io.cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!r->io.out || r->io.cancel_fd < 0)
		return err_sys(e, "start a request");
	setvbuf(r->io.out, NULL, _IOLBF, BUFSIZ);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	rc = pthread_create(&r->thread, &attr, run_request, r);
	pthread_attr_destroy(&attr);
	if (rc)
		return err_set(e, ERR_SYSTEM, rc, "start a thread: %s", strerror(rc));
	return true;
}

static void add_word(struct request *r, char *word)
{
	vec_push(&r->words, word);
	r->argv = xrealloc(r->argv, (r->words.len + 1) * sizeof(*r->argv));
	r->argv[r->words.len - 1] = word;
	r->argv[r->words.len] = NULL;
}

static bool is_option_name(const char *s)
{
	return *s && s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-")] == '\0' && *s != '-';
}

static bool add_option(struct request *r, const char *name, const json_t *value, struct err *e)
{
	if (!is_option_name(name))
		return err_set(e, ERR_CONFIG, 0, "\"%.80s\" is not the name of an option", name);
	if (json_is_string(value))
		add_word(r, xasprintf("--%s=%s", name, json_string_value(value)));
	else if (json_is_integer(value))
		add_word(r, xasprintf("--%s=%lld", name, (long long)json_integer_value(value)));
	else if (json_is_true(value))
		add_word(r, xasprintf("--%s", name));
	else
		return err_set(
		        e, ERR_CONFIG, 0, "option %s is neither text, whole number nor true", name);
	return true;
}

static bool add_words(struct request *r, const json_t *words, struct err *e)
{
	size_t i;
	json_t *word;

	add_word(r, xstrdup("--"));
	json_array_foreach(words, i, word)
	{
		if (!json_is_string(word))
			return err_set(
			        e, ERR_CONFIG, 0, "\"words\" holds something that is no text");
		add_word(r, xstrdup(json_string_value(word)));
	}
	return true;
}

/* Requests become command lines: one table reads both, so that they mean the same. */
static bool read_args(struct request *r, json_t *args, struct err *e)
{
	const char *name;
	json_t *value, *words = json_object_get(args, "words");

	add_word(r, xstrdup(r->verb->name));
	if (args && !json_is_object(args))
		return err_set(e, ERR_CONFIG, 0, "\"args\" is not an object");
	json_object_foreach(args, name,
	        value) if (!str_is(name, "words") && !add_option(r, name, value, e)) return false;
	if (words && !(json_is_array(words) && add_words(r, words, e)))
		return err_set(e, ERR_CONFIG, 0, "\"words\" is not a list of texts");
	if (!args_parse(r->verb->program, (int)r->words.len, r->argv, &r->args, e))
		return false;
	r->has_args = true;
	if (r->args.help || r->args.version)
		return err_set(e, ERR_CONFIG, 0, "help and version are for command lines");
	return true;
}

static bool read_request(struct request *r, const struct frame *f, struct err *e)
{
	AUTO(jansson) json_t *j = parse(f, e);
	const char *verb = json_string_value(json_object_get(j, "verb"));
	json_t *deadline = json_object_get(j, "deadline_ms");

	if (!j)
		return false;
	r->verb = verb ? verb_by_name(verb) : NULL;
	if (!r->verb)
		return err_set(e, ERR_CONFIG, 0, "unknown verb: %.80s", verb ? verb : "none named");
	if (r->verb->flags & VERB_ALONE)
		return err_set(e, ERR_PRECOND, 0, "%s cannot be called in a session", verb);
	if (deadline && (!json_is_integer(deadline) || json_integer_value(deadline) < 1))
		return err_set(e, ERR_CONFIG, 0, "\"deadline_ms\" is not a number of milliseconds");
	if (deadline)
		r->io.deadline = clock_in(json_integer_value(deadline));
	r->in_ended = !json_is_true(json_object_get(j, "input"));
	return read_args(r, json_object_get(j, "args"), e) &&
	       (!r->s->gate || gate_admits(r->s->gate, r->verb, &r->args, e));
}

/* All, and those that have no result yet. */
static size_t count(const struct session *s, size_t *ret_open)
{
	size_t n = 0;

	*ret_open = 0;
	for (const struct request *r = s->requests; r; r = r->next) {
		n++;
		*ret_open += !r->answered;
	}
	return n;
}

static bool prepare(struct request *r, const struct frame *f, struct err *e)
{
	size_t open, all = count(r->s, &open);

	/* Who has read a result may ask again at once, though its thread has not ended yet. */
	if (open >= SESSION_REQUESTS || all >= 2 * SESSION_REQUESTS) {
		err_set(e, ERR_REFUSED, EAGAIN, "%d requests are running already",
		        SESSION_REQUESTS);
		return false;
	}
	return read_request(r, f, e) && run_start(r, e);
}

bool session_start(struct session *s, const struct frame *f, struct err *e)
{
	AUTO(request) struct request *r = NULL;
	AUTO_STR struct str result = STR_INIT;
	struct err why = { 0 };
	bool ok;

	if (f->id <= s->last_id)
		return err_set(e, ERR_PARSE, 0, "request id %u after %u", (unsigned)f->id,
		        (unsigned)s->last_id);
	s->last_id = f->id;
	r = xzalloc(sizeof(*r));
	*r = (struct request){ .s = s,
		.id = f->id,
		.in = STR_INIT,
		.line = STR_INIT,
		.in_window = FRAME_WINDOW,
		.out_window = FRAME_WINDOW,
		.changed = PTHREAD_COND_INITIALIZER,
		.io = { .ops = &ops, .arg = r, .deadline = CLOCK_NEVER, .cancel_fd = -1 } };
	pthread_mutex_lock(&s->lock);
	ok = prepare(r, f, &why);
	if (ok) {
		r->next = s->requests;
		s->requests = TAKE(r);
	}
	pthread_mutex_unlock(&s->lock);
	mem_wipe((void *)(uintptr_t)f->p, f->len); /* it may hold a password */
	if (!ok) {
		add_result(&result, 1, &why, NULL);
		frame_add(&s->own, FRAME_RESULT, f->id, result.p, result.len);
	}
	return true;
}

static void cancel(struct request *r)
{
	uint64_t one = 1;

	r->canceled = true;
	if (write(r->io.cancel_fd, &one, sizeof(one)) == sizeof(one))
		pthread_cond_broadcast(&r->changed);
}

static bool feed_data(struct request *r, const struct frame *f, struct err *e)
{
	if (r->in_ended)
		return err_set(e, ERR_PARSE, 0, "DATA for request %u, which takes no more",
		        (unsigned)f->id);
	if (f->len > r->in_window)
		return err_set(e, ERR_PARSE, 0, "DATA for request %u beyond what was granted",
		        (unsigned)f->id);
	r->in_window -= f->len;
	str_addn(&r->in, f->p, f->len);
	return true;
}

static bool feed_grant(struct request *r, const struct frame *f, struct err *e)
{
	uint32_t more = frame_grant(f);

	if (more > FRAME_WINDOW || r->out_window + more > FRAME_WINDOW)
		return err_set(
		        e, ERR_PARSE, 0, "GRANT for request %u beyond the window", (unsigned)f->id);
	r->out_window += more;
	return true;
}

static bool feed(struct request *r, const struct frame *f, struct err *e)
{
	bool ok = true;

	switch (f->type) {
	case FRAME_DATA: ok = feed_data(r, f, e); break;
	case FRAME_GRANT: ok = feed_grant(r, f, e); break;
	case FRAME_END: r->in_ended = true; break;
	case FRAME_CANCEL: cancel(r); break;
	default: break;
	}
	pthread_cond_broadcast(&r->changed);
	return ok;
}

bool session_feed(struct session *s, const struct frame *f, struct err *e)
{
	struct request *r;
	bool ok = true;

	if (f->id > s->last_id)
		return err_set(e, ERR_PARSE, 0, "%s for request %u, which was not made",
		        frame_name(f->type), (unsigned)f->id);
	pthread_mutex_lock(&s->lock);
	for (r = s->requests; r && r->id != f->id; r = r->next)
		;
	if (r) /* else it has ended while the frame was on its way */
		ok = feed(r, f, e);
	pthread_mutex_unlock(&s->lock);
	return ok;
}

void session_cancel_all(struct session *s)
{
	pthread_mutex_lock(&s->lock);
	for (struct request *r = s->requests; r; r = r->next)
		cancel(r);
	pthread_mutex_unlock(&s->lock);
}

/* Takes what has finished out of the list. */
static struct request *take_finished(struct session *s, int64_t *ret_next)
{
	struct request *gone = NULL;

	*ret_next = CLOCK_NEVER;
	pthread_mutex_lock(&s->lock);
	for (struct request **at = &s->requests, *r; (r = *at);) {
		if (r->finished) {
			*at = r->next;
			r->next = gone;
			gone = r;
			continue;
		}
		if (!r->canceled && clock_left(r->io.deadline) == 0)
			cancel(r);
		if (!r->canceled)
			*ret_next = clock_sooner(*ret_next, r->io.deadline);
		at = &r->next;
	}
	pthread_mutex_unlock(&s->lock);
	return gone;
}

int64_t session_reap(struct session *s)
{
	int64_t next;

	for (struct request *r = take_finished(s, &next), *after; r; r = after) {
		after = r->next;
		pthread_join(r->thread, NULL);
		request_free(r);
	}
	return next;
}
