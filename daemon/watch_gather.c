/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch_gather - everybody but the master is asked about the master: its host, the slaves, the
 * slaves' hosts, witnesses, the secondary check script.  Owned by watch; runs on: loop.
 *
 * All of it begins with the first sign of silence and goes on while the silence lasts, since only what
 * was asked after the silence began can say anything about it.
 */
#include "watch_impl.h"
#include "clock.h"
#include "hook.h"
#include "loop.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ROUND_LEAST_MS = 100,
	ROUND_MOST_MS = 1000,
	ANSWER_LEAST_MS = 300,
	ANSWER_MOST_MS = 2000,
	SETTLED_ROUNDS =
	        6,   /* while a death waits for a person, hosts are asked in one of so many */
	ROUNDS = 20, /* of a silence that lasts, so many are asked at least while it doubles */
	PAUSE_MS =
	        25, /* a process that ends is there for a moment: asked again after this, doubling */
};

static int64_t clamp(int64_t v, int64_t least, int64_t most)
{
	return v < least ? least : v > most ? most : v;
}

/*
 * Between two rounds of questions.  A death that is settled is not asked after so eagerly, nor is a silence that
 * has lasted long: with hundreds of them that would be all that is done here.
 */
static int64_t round_ms(const struct watch *w)
{
	int64_t eager = clamp(watch_interval(w) / 2, ROUND_LEAST_MS, ROUND_MOST_MS);
	int64_t calm = w->master->replica_interval > eager ? w->master->replica_interval : eager;

	if (w->state == WATCH_BLOCKED || w->state == WATCH_PAUSED)
		return calm;
	if (!w->probe.silent_since)
		return eager;
	return clamp((clock_ms() - w->probe.silent_since) / ROUNDS, eager, calm);
}

static int64_t answer_ms(const struct watch *w)
{
	return clamp(watch_interval(w) * 7 / 10, ANSWER_LEAST_MS, ANSWER_MOST_MS);
}

/* ---- the master's host ---- */

static enum fact_process process_of(const json_t *v)
{
	const char *found = json_string_value(json_object_get(v, "found"));

	if (str_is(found, "no"))
		return PROCESS_ABSENT;
	if (!str_is(found, "yes"))
		return PROCESS_UNKNOWN;
	return json_is_true(json_object_get(v, "listening")) ? PROCESS_LISTENING : PROCESS_THERE;
}

static const char *write_word(const json_t *v)
{
	const char *s =
	        json_string_value(json_object_get(json_object_get(v, "write_test"), "result"));

	return s ? s : "";
}

static int queue_of(const json_t *v)
{
	const json_t *socket;
	json_int_t most = 0;
	size_t i;

	json_array_foreach (json_object_get(v, "sockets"), i, socket) {
		json_int_t n = json_integer_value(json_object_get(socket, "accept_queue"));

		most = n > most ? n : most;
	}
	return (int)most;
}

static void read_host(struct watch *w, const json_t *v)
{
	static const char *const words[] = { [PROCESS_UNKNOWN] =
		                                     "cannot tell whether the server runs",
		[PROCESS_ABSENT] = "the server's process is gone",
		[PROCESS_THERE] = "the server's process is there, and listens not",
		[PROCESS_LISTENING] = "the server's process is there, and listens" };
	const json_t *process = json_object_get(v, "process");
	const char *state = json_string_value(json_object_get(process, "state"));
	const char *wrote = write_word(v);
	double age = json_number_value(json_object_get(process, "age_s"));
	struct fact_host h = {
		.reach = REACH_UP, .heard = clock_ms(), .asked = w->gather.call_asked
	};
	int64_t began = h.heard - (int64_t)(age * 1000);

	h.process = process_of(v);
	h.state = state ? state[0] : 0;
	h.young = w->probe.silent_since && json_is_object(process) && began > w->probe.silent_since;
	h.accept_queue = queue_of(v);
	h.disk_full = str_is(wrote, "full");
	h.disk_stuck = str_is(wrote, "timeout") || str_is(wrote, "busy");
	if (h.process != w->host.process || h.state != w->host.state || !w->host.asked)
		evidence_say(w->evidence, "host", h.state ? "%s (state %c)" : "%s",
		        words[h.process], h.state);
	if (h.disk_full != w->host.disk_full || h.disk_stuck != w->host.disk_stuck)
		evidence_say(w->evidence, "host", "a write to the data directory: %s", wrote);
	w->host = h;
}

static void got_host(void *arg, const struct link_answer *a)
{
	struct watch *w = arg;
	struct watch_gather *g = &w->gather;
	bool leaving;

	g->call = NULL;
	if (a->value && a->status == 0) {
		read_host(w, a->value);
		g->call_failed = 0;
	} else {
		if (!g->call_failed)
			evidence_say(w->evidence, "host", "%s", a->err.text);
		w->host.process = PROCESS_UNKNOWN;
		w->host.asked = g->call_asked;
		g->call_failed = a->err.kind == ERR_PRECOND ? 0 : g->call_asked;
	}
	leaving = g->on && w->probe.how == HOW_REFUSED && w->host.process == PROCESS_THERE;
	if (leaving && g->call_pause < round_ms(w)) {
		loop_timer_move(g->call_timer, clock_in(g->call_pause));
		g->call_pause *= 2;
	}
	watch_judge(w);
}

void watch_gather_host(struct watch *w)
{
	struct watch_gather *g = &w->gather;
	int64_t ms = answer_ms(w);

	if (g->call)
		return;
	g->call_asked = clock_ms();
	g->call = link_call(watch_member(w, w->master)->link, "probe",
	        json_pack(
	                "{s:i, s:I}", "port", w->master->port, "timeout", (json_int_t)ms * 8 / 10),
	        clock_in(ms), got_host, w);
}

static void on_call_timer(void *arg)
{
	watch_gather_host(arg);
}

/* ---- others' own look at the master ---- */

static enum fact_sight sight_of(const struct witness_answer *a)
{
	if (a->word == WITNESS_SEES)
		return SIGHT_SEES;
	if (a->word == WITNESS_ILL)
		return SIGHT_ILL;
	if (a->reach == WITNESS_OPEN)
		return SIGHT_OPEN;
	return a->reach == WITNESS_REFUSED ? SIGHT_REFUSED : SIGHT_CANNOT;
}

static void keep_sight(
        struct watch *w, const struct witness_answer *a, enum fact_sight *sight, int64_t *asked)
{
	enum fact_sight s = sight_of(a);
	char who[80];

	if (s != *sight || !*asked) {
		snprintf(who, sizeof(who), "%s %s",
		        a->kind == WITNESS_EXTRA ? "witness" : "replica's host", a->name);
		evidence_say(w->evidence, who, "%s: %s", witness_word_name(a->word), a->detail);
	}
	*sight = s;
	*asked = a->asked;
}

static void got_sight(void *arg, const struct witness_answer *a)
{
	struct watch *w = arg;

	if (a->kind == WITNESS_SLAVE) {
		for (size_t i = 0; i < w->conf->n_servers; i++) {
			struct watch_member *m = &w->members[i];

			if (str_is(m->conf->id, a->server))
				keep_sight(w, a, &m->sight, &m->sight_asked);
		}
	}
	for (size_t i = 0; a->kind == WITNESS_EXTRA && i < w->n_extras; i++) {
		struct watch_extra *x = &w->extras[i];

		if (!str_is(link_name(x->link), a->name))
			continue;
		keep_sight(w, a, &x->sight, &x->asked);
		if (!a->silent)
			x->missed = 0;
		else if (!x->missed || a->heard > x->missed)
			x->missed = a->asked;
		x->silent_since = a->silent && a->heard ? a->heard : x->missed;
	}
	watch_judge(w);
}

static void all_sights(void *arg, const struct witness_answer *a, size_t n)
{
	struct watch *w = arg;

	(void)a;
	(void)n;
	w->gather.ask = NULL;
}

static void ask_witnesses(struct watch *w)
{
	struct watch_gather *g = &w->gather;

	if (g->ask || !w->witnesses || !witness_count(w->witnesses))
		return;
	g->ask_at = clock_ms();
	g->ask = witness_ask(
	        w->witnesses, w->master, clock_in(answer_ms(w)), got_sight, all_sights, w);
}

void watch_gather_witnesses(struct watch *w)
{
	witness_cancel(TAKE(w->gather.ask));
	if (!w->witnesses)
		w->witnesses = witness_new(w->env.loop);
	witness_remove_all(w->witnesses);
	for (size_t i = 0; w->master && i < w->conf->n_servers; i++) {
		struct watch_member *m = &w->members[i];

		m->sight = SIGHT_NONE;
		m->sight_asked = 0;
		if (m->conf != w->master)
			witness_add(w->witnesses, WITNESS_SLAVE, m->conf, m->link);
	}
	for (size_t i = 0; w->master && i < w->n_extras; i++)
		witness_add(w->witnesses, WITNESS_EXTRA, w->extras[i].conf, w->extras[i].link);
}

/* ---- secondary_check_script ---- */

struct script_call {
	struct watch_anchor *anchor;
	unsigned serial;
};

static void script_ended(
        void *arg, const struct hook *h, const struct str *output, const struct err *e)
{
	struct script_call *c = arg;
	struct watch *w = c->anchor->w;

	(void)h;
	if (w && c->serial == w->gather.script_serial && w->script == SCRIPT_RUNNING) {
		w->script = !e                                      ? SCRIPT_DOWN
		            : e->kind == ERR_REMOTE && e->code == 2 ? SCRIPT_ILL
		            : e->kind == ERR_REMOTE && e->code == 3 ? SCRIPT_REACHABLE
		                                                    : SCRIPT_ODD;
		if (output->len)
			log_raw(output->p, output->len);
		evidence_say(w->evidence, "script", "%s",
		        e ? e->text : "secondary_check_script: the master is down");
		watch_log(w, e ? LOG_LV_WARNING : LOG_LV_INFO, "%s",
		        e ? e->text : "secondary_check_script says that the master is down.");
		watch_judge(w);
	}
	watch_let_go(c->anchor);
	free(c);
}

/* Asked at the first failure of a series, and again if the answer was not "down" and the silence goes on. */
static void ask_script(struct watch *w)
{
	int64_t now = clock_ms();
	struct script_call *c;
	struct hook *h;

	if (w->script == SCRIPT_NONE || w->script == SCRIPT_RUNNING || !w->probe.silent_since)
		return;
	if (w->script != SCRIPT_IDLE && w->script_asked >= w->probe.silent_since &&
	        (w->script == SCRIPT_DOWN || now - w->script_asked < 4 * watch_interval(w)))
		return;
	h = hook_secondary_check(w->master);
	if (!h)
		return;
	c = xzalloc(sizeof(*c));
	c->anchor = watch_hold(w);
	c->serial = ++w->gather.script_serial;
	w->script = SCRIPT_RUNNING;
	w->script_asked = now;
	watch_log(w, LOG_LV_INFO, "Executing secondary network check script: %s",
	        w->master->secondary_check_script);
	hook_start(w->env.jobs, h, w->master->hook_timeout, script_ended, c);
}

/* ---- rounds ---- */

/*
 * There are fewer places for sessions with hosts than there are hosts: with hundreds of deaths that wait for a
 * person each question would be a new login.
 */
static bool are_hosts_due(struct watch *w)
{
	struct watch_gather *g = &w->gather;
	bool settled = w->state == WATCH_BLOCKED || w->state == WATCH_PAUSED;

	if (settled && clock_left(g->hosts_again) > 0)
		return false;
	g->hosts_again = settled ? clock_in(SETTLED_ROUNDS * round_ms(w)) : 0;
	return true;
}

static void ask_all(struct watch *w)
{
	struct watch_gather *g = &w->gather;
	bool hosts = are_hosts_due(w);

	g->polled_at = clock_ms();
	if (hosts)
		watch_gather_host(w);
	for (size_t i = 0; i < w->conf->n_servers; i++) {
		if (w->members[i].replica)
			replica_poll_now(w->members[i].replica);
	}
	if (hosts)
		ask_witnesses(w);
	ask_script(w);
}

static bool host_can_be_asked(const struct watch *w)
{
	const struct link_view *v = link_view(watch_member(w, w->master)->link);

	return v->state == LINK_UP && v->has_node;
}

static void on_timer(void *arg)
{
	struct watch *w = arg;

	if (w->gather.on)
		ask_all(w);
	else if (host_can_be_asked(w))
		watch_gather_host(w);
	loop_timer_move(w->gather.timer,
	        clock_in(w->gather.on ? round_ms(w) : w->master->replica_interval));
}

void watch_gather_start(struct watch *w)
{
	struct watch_gather *g = &w->gather;

	if (g->on) {
		ask_script(w); /* half a look's time was no failure yet */
		return;
	}
	g->on = true;
	g->call_pause = PAUSE_MS;
	ask_all(w);
	loop_timer_move(g->timer, clock_in(round_ms(w)));
}

/* What is on its way may still arrive. */
void watch_gather_stop(struct watch *w)
{
	struct watch_gather *g = &w->gather;

	if (!g->on)
		return;
	g->on = false;
	loop_timer_move(g->call_timer, CLOCK_NEVER);
	loop_timer_move(g->timer, clock_in(w->master->replica_interval));
}

void watch_gather_void(struct watch *w)
{
	struct watch_gather *g = &w->gather;

	link_cancel(TAKE(g->call));
	witness_cancel(TAKE(g->ask));
	if (g->on)
		ask_all(w);
}

void watch_gather_quiet(struct watch *w)
{
	struct watch_gather *g = &w->gather;

	*g = (struct watch_gather){ .script_serial = g->script_serial };
	g->call_timer = loop_timer_new(w->env.loop, CLOCK_NEVER, on_call_timer, w);
	g->timer = loop_timer_new(w->env.loop, clock_in(1000 + w->opts.spread_ms), on_timer, w);
	w->script = hook_is_set(w->master->secondary_check_script) ? SCRIPT_IDLE : SCRIPT_NONE;
	memset(&w->host, 0, sizeof(w->host));
	watch_gather_witnesses(w);
}

void watch_gather_free(struct watch *w)
{
	struct watch_gather *g = &w->gather;

	g->on = false;
	g->script_serial++;
	link_cancel(TAKE(g->call));
	witness_cancel(TAKE(g->ask));
	loop_timer_free(TAKE(g->timer));
	loop_timer_free(TAKE(g->call_timer));
}
