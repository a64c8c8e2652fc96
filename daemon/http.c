/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http - the thread, its mailbox, and the questions to the loop.  Runs on: loop and the HTTP thread, as said.
 */
#include "http_impl.h"
#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>
#include "clock.h"
#include "incident_index.h"
#include "log.h"
#include "loop.h"
#include "page.h"

enum {
	STACK = 256 * 1024,
	NICE = 5,
	TURN_MS = 500,     /* how often the loop says that it turns */
	STUCK_MS = 3000,   /* it does not turn */
	RETRY_MS = 5000,   /* of an address that cannot be had */
	OLD_MS = 5000,     /* a glance that nobody needs any more: some megabytes */
	LONGEST_MS = 1000, /* of one wait */
};

/* ---- any thread ---- */

void http_asked_free(struct http_asked *a)
{
	if (!a)
		return;
	glance_free(a->ask.glance);
	incident_index_free(a->ask.index);
	free(a->ask.json);
	free(a->name);
	free(a);
}

static void let_go(struct http *h)
{
	if (--h->holders)
		return;
	vec_each (struct http_asked *, a, &h->mail)
		http_asked_free(*a);
	vec_done(&h->mail);
	close(h->wake);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

static void wake(struct http *h)
{
	uint64_t one = 1;

	while (write(h->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* ---- loop ---- */

void http_answer(struct http_ask *ask)
{
	struct http_asked *a = (struct http_asked *)ask;
	struct http *h = a->http;

	pthread_mutex_lock(&h->lock);
	vec_push(&h->mail, a);
	pthread_mutex_unlock(&h->lock);
	wake(h);
	let_go(h);
}

static void serve_question(void *arg)
{
	struct http_asked *a = arg;
	struct http *h = a->http;

	if (h->clock)
		h->source(h->arg, &a->ask);
	else
		http_answer(&a->ask);
}

static void say_it_turns(void *arg)
{
	struct http *h = arg;

	h->turned = clock_ms();
	loop_timer_move(h->clock, clock_in(TURN_MS));
}

void http_configure(struct http *h, struct http_conf *c)
{
	struct http_conf *next = xzalloc(sizeof(*next));

	*next = *c;
	*c = (struct http_conf){ 0 };
	pthread_mutex_lock(&h->lock);
	if (h->next_conf)
		http_conf_done(h->next_conf);
	free(h->next_conf);
	h->next_conf = next;
	pthread_mutex_unlock(&h->lock);
	wake(h);
}

void http_changed(struct http *h)
{
	bool first;

	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	first = !h->poked;
	h->poked = true;
	pthread_mutex_unlock(&h->lock);
	if (first)
		wake(h);
}

/* ---- the HTTP thread: questions ---- */

static struct http_asked *ask(
        struct http *h, enum http_want want, const char *name, struct http_request *r)
{
	struct http_asked *a = xzalloc(sizeof(*a));

	a->name = xstrdup(name);
	a->ask = (struct http_ask){ .want = want, .name = a->name };
	a->http = h;
	a->request = r;
	h->holders++;
	loop_post(h->loop, serve_question, a);
	return a;
}

static void ask_for_glance(struct http *h)
{
	if (!h->glance_asked)
		h->glance_asked = ask(h, HTTP_GLANCE, NULL, NULL);
}

static void wait_for(struct http_request *r)
{
	if (!r->deadline)
		r->deadline = clock_in(HTTP_PATIENCE_MS);
	http_suspend(r);
}

struct glance *http_glance(struct http_request *r)
{
	struct http *h = r->http;

	if (h->glance && h->glance->at >= r->since - HTTP_FRESH_MS)
		return h->glance;
	r->wants_glance = true;
	ask_for_glance(h);
	wait_for(r);
	return NULL;
}

const struct http_ask *http_ask_for(struct http_request *r, enum http_want want, const char *name)
{
	if (r->answered && r->answered->ask.want == want)
		return &r->answered->ask;
	if (!r->asked)
		r->asked = ask(r->http, want, name, r);
	wait_for(r);
	return NULL;
}

bool http_loop_turns(const struct http *h)
{
	return clock_ms() - h->turned < STUCK_MS;
}

void http_forget(struct http_request *r)
{
	if (r->asked)
		r->asked->request = NULL;
	r->asked = NULL;
	http_asked_free(TAKE(r->answered));
}

/* ---- the HTTP thread: mail ---- */

static void take_glance(struct http *h, struct http_asked *a)
{
	h->glance_asked = NULL;
	if (a->ask.glance) {
		glance_free(h->glance);
		h->glance = TAKE(a->ask.glance);
	}
	http_asked_free(a);
	for (struct http_request *r = h->requests; r; r = r->next) {
		if (!r->wants_glance || !h->glance)
			continue;
		/* Begun before the request came: a newer one, if it is too old. */
		if (h->glance->at < r->since - HTTP_FRESH_MS) {
			ask_for_glance(h);
			continue;
		}
		r->wants_glance = false;
		http_resume(r);
	}
	h->feed_now = true;
}

static void take_answer(struct http *h, struct http_asked *a)
{
	struct http_request *r = a->request;

	if (a == h->glance_asked) {
		take_glance(h, a);
		return;
	}
	if (!r) {
		http_asked_free(a);
		return;
	}
	r->asked = NULL;
	http_asked_free(r->answered);
	r->answered = a;
	http_resume(r);
}

/* What is told when it changes, not with every try. */
static void complain(struct http *h, const struct err *e)
{
	if (str_is(h->complained, e->text))
		return;
	snprintf(h->complained, sizeof(h->complained), "%s", e->text);
	log_warning("HTTP: %s; tried again every %d s.", e->text, RETRY_MS / 1000);
}

static void open_up(struct http *h)
{
	struct err e = { 0 };

	h->retry = CLOCK_NEVER;
	if (!h->conf.listen)
		return;
	if (!http_start(h, &e)) {
		complain(h, &e);
		h->retry = clock_in(RETRY_MS);
		return;
	}
	h->complained[0] = '\0';
	log_info("HTTP: listening on %s%s%s.", h->conf.listen, h->conf.cert ? ", TLS" : "",
	        h->conf.token ? ", with a token" : "");
	if (!h->loopback && (!h->conf.token || !h->conf.cert))
		log_warning("HTTP: %s can be reached from elsewhere, %s", h->conf.listen,
		        h->conf.token ? "and the token travels in clear text: see http_tls_cert."
		                      : "and everybody may look: see http_token_file.");
}

static bool same_conf(const struct http_conf *a, const struct http_conf *b)
{
	return str_is(a->listen, b->listen) && str_is(a->cert, b->cert) && str_is(a->key, b->key) &&
	       str_is(a->token, b->token);
}

static void use_conf(struct http *h, struct http_conf *c)
{
	if (h->mhd && same_conf(&h->conf, c)) {
		http_conf_done(c);
		return;
	}
	http_stop(h);
	http_conf_done(&h->conf);
	h->conf = *c;
	open_up(h);
}

/* False: the end. */
static bool take_mail(struct http *h)
{
	struct http_conf *next;
	struct http_asked **mail;
	size_t n;
	bool stop;

	pthread_mutex_lock(&h->lock);
	next = TAKE(h->next_conf);
	mail = h->mail.items;
	n = h->mail.len;
	h->mail.items = NULL;
	h->mail.len = h->mail.cap = 0;
	stop = h->stop;
	if (h->poked)
		h->feed_at = clock_sooner(h->feed_at, clock_in(HTTP_FEED_SOON_MS));
	h->poked = false;
	pthread_mutex_unlock(&h->lock);
	for (size_t i = 0; i < n; i++)
		take_answer(h, mail[i]);
	free(mail);
	if (next && !stop)
		use_conf(h, next);
	else if (next)
		http_conf_done(next);
	free(next);
	return !stop;
}

/* ---- the HTTP thread: its life ---- */

/* Those that waited too long for the loop are told so. */
static void expire(struct http *h)
{
	for (struct http_request *r = h->requests; r; r = r->next) {
		if (!r->suspended || !r->deadline || clock_left(r->deadline))
			continue;
		r->late = true;
		r->wants_glance = false;
		http_resume(r);
	}
}

static void feed(struct http *h)
{
	if (h->feed_now || !clock_left(http_live_due(h)))
		http_live_feed(h);
	h->feed_now = false;
	if (h->glance && !h->n_lives && clock_ms() - h->glance->at > OLD_MS)
		glance_free(TAKE(h->glance));
	if (h->n_lives && !clock_left(h->feed_at)) {
		h->feed_at = clock_in(HTTP_FEED_MS);
		ask_for_glance(h);
	}
}

static int patience(const struct http *h)
{
	MHD_UNSIGNED_LONG_LONG mhd;
	int64_t at = clock_sooner(clock_in(LONGEST_MS), h->retry);

	if (h->n_lives)
		at = clock_sooner(at, h->feed_at);
	at = clock_sooner(at, http_live_due(h));
	for (const struct http_request *r = h->requests; r; r = r->next) {
		if (r->suspended && r->deadline)
			at = clock_sooner(at, r->deadline);
	}
	if (h->mhd && MHD_get_timeout(h->mhd, &mhd) == MHD_YES && mhd < LONGEST_MS)
		at = clock_sooner(at, clock_in((int64_t)mhd));
	return clock_left_poll(at);
}

static void rest(struct http *h)
{
	struct pollfd fds[2] = { { .fd = h->wake, .events = POLLIN },
		{ .fd = h->mhd ? h->epoll : -1, .events = POLLIN } };
	uint64_t n;

	if (poll(fds, 2, patience(h)) > 0 && fds[0].revents && read(h->wake, &n, sizeof(n)) < 0)
		return;
}

/* Looks at masters come first: also where mhad runs with real-time priority. */
static void step_back(void)
{
	const struct sched_param plain = { 0 };

	pthread_setschedparam(pthread_self(), SCHED_OTHER, &plain);
	setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
}

static void *serve(void *arg)
{
	struct http *h = arg;

	pthread_setname_np(pthread_self(), "http");
	step_back();
	page_set_tag(http_static_tag());
	h->retry = CLOCK_NEVER;
	while (take_mail(h)) {
		if (!clock_left(h->retry))
			open_up(h);
		expire(h);
		feed(h);
		if (h->mhd)
			MHD_run(h->mhd);
		rest(h);
	}
	http_stop(h);
	http_conf_done(&h->conf);
	glance_free(h->glance);
	if (h->listen_fd >= 0)
		close(h->listen_fd);
	let_go(h);
	return NULL;
}

static bool start_thread(struct http *h, struct err *e)
{
	pthread_attr_t a;
	int code;

	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, STACK);
	code = pthread_create(&h->thread, &a, serve, h);
	pthread_attr_destroy(&a);
	errno = code;
	return !code || err_sys(e, "start a thread for HTTP");
}

struct http *http_new(
        struct loop *l, int listen_fd, http_source_fn source, void *arg, struct err *e)
{
	struct http *h = xzalloc(sizeof(*h));

	h->loop = l;
	h->source = source;
	h->arg = arg;
	h->listen_fd = listen_fd;
	h->holders = 2;
	h->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	h->turned = clock_ms();
	pthread_mutex_init(&h->lock, NULL);
	if (h->wake < 0 || !start_thread(h, e)) {
		if (h->wake < 0)
			err_sys(e, "make an eventfd");
		h->holders = 1;
		let_go(h);
		return NULL;
	}
	h->clock = loop_timer_new(l, clock_in(TURN_MS), say_it_turns, h);
	return h;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	loop_timer_free(TAKE(h->clock));
	pthread_mutex_lock(&h->lock);
	h->stop = true;
	pthread_mutex_unlock(&h->lock);
	wake(h);
	pthread_join(h->thread, NULL);
	let_go(h);
}
