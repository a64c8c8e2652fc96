/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * witness - observers, and one round of asking them.  Runs on: loop.
 */
#include "witness.h"
#include "clock.h"
#include "loop.h"
#include "str.h"
#include "vec.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PURSE = 30,             /* checks that met a living server, of one observer */
	PURSE_FILL_MS = 600000, /* one more after this: far below what a server counts */
	WAY_MS = 300,           /* of the time to the deadline, kept for the way there and back */
};

struct observer {
	enum witness_kind kind;
	char *name, *server, *address, *ip;
	char *node_bindir;
	struct link *link;
	char *target; /* of `last` and the purse */
	int purse;
	int64_t filled;
	struct witness_answer last;
};

struct witness_set {
	struct loop *loop;
	VEC(struct observer *) observers;
	struct witness_ask *asks;
};

/* One observer in one round. */
struct asking {
	struct witness_ask *ask;
	struct observer *o;
	struct link_call *call;
	bool done;
	struct asking *same; /* whose answer is this one's too */
};

struct witness_ask {
	struct witness_set *set;
	struct witness_ask *next;
	char *ip, *name; /* of the target; name: "10.0.0.1:3306" */
	int port;
	int64_t deadline;
	struct asking *askings;
	struct witness_answer *answers;
	size_t n, left;
	struct loop_timer *timer; /* when there is nobody to wait for */
	witness_each_fn each;
	witness_done_fn done;
	void *arg;
};

/* ---- observers ---- */

static void observer_free(struct observer *o)
{
	free(o->name);
	free(o->server);
	free(o->address);
	free(o->ip);
	free(o->node_bindir);
	free(o->target);
	free(o);
}

struct witness_set *witness_new(struct loop *l)
{
	struct witness_set *w = xzalloc(sizeof(*w));

	w->loop = l;
	return w;
}

void witness_add(struct witness_set *w, enum witness_kind kind, const struct conf_server *host,
        struct link *link)
{
	struct observer *o = xzalloc(sizeof(*o));

	*o = (struct observer){ .kind = kind,
		.name = xstrdup(link_name(link)),
		.server = xstrdup(kind == WITNESS_SLAVE && host->id ? host->id : ""),
		.address = xstrdup(host->ssh_address),
		.ip = xstrdup(host->ip),
		.node_bindir = xstrdup(host->node_bindir),
		.link = link };
	vec_push(&w->observers, o);
}

void witness_remove_all(struct witness_set *w)
{
	while (w->asks)
		witness_cancel(w->asks);
	vec_each (struct observer *, o, &w->observers)
		observer_free(*o);
	w->observers.len = 0;
}

void witness_free(struct witness_set *w)
{
	if (!w)
		return;
	witness_remove_all(w);
	vec_done(&w->observers);
	free(w);
}

size_t witness_count(const struct witness_set *w)
{
	return w->observers.len;
}

/* ---- the purse ---- */

static bool purse_is_empty(struct observer *o, const char *target)
{
	int64_t more;

	if (!str_is(o->target, target)) {
		free(o->target);
		o->target = xstrdup(target);
		o->purse = PURSE;
		o->filled = clock_ms();
	}
	more = (clock_ms() - o->filled) / PURSE_FILL_MS;
	o->filled += more * PURSE_FILL_MS;
	o->purse = more > PURSE - o->purse ? PURSE : o->purse + (int)more;
	return o->purse <= 0;
}

/* Whatever made the server's kernel accept a connection, counts. */
static bool has_cost(const struct witness_answer *a)
{
	return a->reach == WITNESS_GREETING || a->reach == WITNESS_OPEN ||
	       a->reach == WITNESS_ERROR;
}

/* ---- one round ---- */

static void ask_free(struct witness_ask *a)
{
	struct witness_ask **at = &a->set->asks;

	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	for (size_t i = 0; i < a->n; i++)
		link_cancel(a->askings[i].call);
	loop_timer_free(a->timer);
	free(a->askings);
	free(a->answers);
	free(a->ip);
	free(a->name);
	free(a);
}

void witness_cancel(struct witness_ask *a)
{
	if (a)
		ask_free(a);
}

static struct witness_answer *answer_of(struct asking *k)
{
	return &k->ask->answers[k - k->ask->askings];
}

static void look_at_link(struct asking *k)
{
	struct witness_answer *a = answer_of(k);
	const struct link_view *v = link_view(k->o->link);

	a->link_state = v->state;
	a->link_why = v->why;
	a->heard = v->heard;
	a->silent = a->word == WITNESS_ILL && v->heard < a->asked;
}

/* All have answered: tell, and end the round.  The caller may free the set in there. */
static void finish(void *arg)
{
	struct witness_ask *a = arg;
	struct witness_answer *answers = TAKE(a->answers);
	witness_done_fn done = a->done;
	void *user = a->arg;
	size_t n = a->n;
	VEC(char *) texts = VEC_INIT;

	for (size_t i = 0; i < n; i++) {
		char *name = xstrdup(answers[i].name), *server = xstrdup(answers[i].server);

		answers[i].name = name;
		answers[i].server = server;
		vec_push(&texts, name);
		vec_push(&texts, server);
	}
	ask_free(a);
	done(user, answers, n);
	vec_each (char *, t, &texts)
		free(*t);
	vec_done(&texts);
	free(answers);
}

static bool still_there(const struct witness_set *w, const struct witness_ask *a)
{
	const struct witness_ask *x = w->asks;

	while (x && x != a)
		x = x->next;
	return x != NULL;
}

/* False: the round was canceled meanwhile. */
static bool tell_each(struct asking *k)
{
	struct witness_ask *a = k->ask;
	struct witness_set *w = a->set;

	k->done = true;
	a->left--;
	if (!a->each)
		return true;
	a->each(a->arg, answer_of(k));
	/* A freed set is an error of the caller's here; a canceled round is not. */
	return still_there(w, a);
}

static void remember(struct asking *k)
{
	struct observer *o = k->o;
	const struct witness_answer *a = answer_of(k);

	if (a->word == WITNESS_ILL)
		return;
	o->last = *a;
	if (has_cost(a))
		o->purse--;
}

/* This one's answer is there; it is also that of others on its host. */
static void settle(struct asking *k)
{
	struct witness_ask *a = k->ask;
	struct witness_answer one;

	look_at_link(k);
	one = *answer_of(k);
	remember(k);
	if (!tell_each(k))
		return;
	for (size_t i = 0; i < a->n; i++) {
		struct asking *x = &a->askings[i];
		struct witness_answer *y = &a->answers[i], mine = *y;

		if (x->same != k || x->done)
			continue;
		*y = one;
		y->name = mine.name;
		y->server = mine.server;
		y->kind = mine.kind;
		y->on_target = mine.on_target;
		if (!tell_each(x))
			return;
	}
	if (!a->left)
		finish(a);
}

static void ill(struct asking *k, const char *why)
{
	struct witness_answer *a = answer_of(k);

	a->word = WITNESS_ILL;
	a->reach = WITNESS_REACH_NONE;
	snprintf(a->detail, sizeof(a->detail), "%.*s", (int)sizeof(a->detail) - 1, why);
}

static int64_t check_ms(const struct witness_ask *a)
{
	int64_t left = clock_left(a->deadline), way = left / 4 < WAY_MS ? left / 4 : WAY_MS;

	left = left == CLOCK_NEVER ? 60000 : left - way;
	return left > 50 ? left : 50;
}

static void line_answered(void *arg, const struct link_answer *r)
{
	struct asking *k = arg;
	struct witness_answer *a = answer_of(k);

	k->call = NULL;
	a->answered = r->status >= 0 ? clock_ms() : 0;
	if (r->status < 0)
		ill(k, r->err.text);
	else if (!witness_read(r->out, a))
		ill(k, *r->err_out ? r->err_out : "it answers something else");
	settle(k);
}

static void by_line(struct asking *k)
{
	struct witness_ask *a = k->ask;
	AUTO(free)
	char *line = witness_line(a->ip, a->port, check_ms(a), k->o->node_bindir);

	k->call = link_exec(k->o->link, line, a->deadline, line_answered, k);
}

/* An older mha-node knows no such verb (ERR_CONFIG). */
static bool may_try_line(const struct link_answer *r)
{
	return r->err.kind == ERR_PRECOND || r->err.kind == ERR_CONFIG;
}

static void verb_answered(void *arg, const struct link_answer *r)
{
	struct asking *k = arg;
	struct witness_answer *a = answer_of(k);

	k->call = NULL;
	if (r->status && may_try_line(r) && clock_left(k->ask->deadline)) {
		by_line(k);
		return;
	}
	a->answered = r->status >= 0 ? clock_ms() : 0;
	if (r->status || !witness_read_value(r->value, a))
		ill(k, r->err.text[0] ? r->err.text : "it answers something else");
	settle(k);
}

static void by_verb(struct asking *k)
{
	struct witness_ask *a = k->ask;
	json_t *args = json_pack("{s:s,s:i,s:I,s:b}", "host", a->ip, "port", a->port, "timeout_ms",
	        (json_int_t)check_ms(a), "mysql", 1);

	k->call = link_call(k->o->link, "reach", args, a->deadline, verb_answered, k);
}

static bool lives_on(const struct observer *o, const struct conf_server *target)
{
	return str_is(o->address, target->ssh_address) || str_is(o->address, target->ip) ||
	       str_is(o->ip, target->ip) || str_is(o->ip, target->ssh_address);
}

static struct asking *asked_already(struct witness_ask *a, const struct observer *o, size_t before)
{
	for (size_t i = 0; i < before; i++)
		if (!a->askings[i].same && str_is(a->askings[i].o->name, o->name))
			return &a->askings[i];
	return NULL;
}

/* An answer of before; it is told with the whole round only. */
static void use_last(struct asking *k, const struct observer *whose)
{
	struct witness_answer *a = answer_of(k), mine = *a;

	*a = whose->last;
	a->name = mine.name;
	a->server = mine.server;
	a->kind = mine.kind;
	a->on_target = mine.on_target;
	a->is_old = true;
	k->done = true;
	k->ask->left--;
}

static void begin(struct witness_ask *a, size_t i, const struct conf_server *target)
{
	struct asking *k = &a->askings[i];
	struct observer *o = a->set->observers.items[i];
	struct witness_answer *r = &a->answers[i];
	const struct link_view *v = link_view(o->link);

	*k = (struct asking){ .ask = a, .o = o };
	*r = (struct witness_answer){ .name = o->name,
		.server = o->server,
		.kind = o->kind,
		.word = WITNESS_ILL,
		.on_target = lives_on(o, target),
		.asked = clock_ms(),
		.took_ms = -1 };
	k->same = asked_already(a, o, i);
	if (k->same && k->same->done) {
		use_last(k, k->same->o);
		return;
	}
	if (k->same)
		return;
	if (purse_is_empty(o, a->name))
		use_last(k, o);
	else if (v->state == LINK_UP && !v->has_node)
		by_line(k);
	else
		by_verb(k);
}

struct witness_ask *witness_ask(struct witness_set *w, const struct conf_server *target,
        int64_t deadline, witness_each_fn each, witness_done_fn done, void *arg)
{
	struct witness_ask *a = xzalloc(sizeof(*a));
	size_t n = w->observers.len;

	*a = (struct witness_ask){ .set = w,
		.next = w->asks,
		.ip = xstrdup(target->ip),
		.name = xasprintf("%s:%d", target->ip, target->port),
		.port = target->port,
		.deadline = deadline,
		.askings = xzalloc((n + 1) * sizeof(*a->askings)),
		.answers = xzalloc((n + 1) * sizeof(*a->answers)),
		.n = n,
		.left = n,
		.each = each,
		.done = done,
		.arg = arg };
	w->asks = a;
	for (size_t i = 0; i < n; i++)
		begin(a, i, target);
	if (!a->left)
		a->timer = loop_timer_new(w->loop, clock_ms(), finish, a);
	return a;
}
