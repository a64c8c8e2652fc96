/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch_tree - the topology is read at the start, every minute or so, after a restart of the master, and at
 * once before a decision.  Owned by watch; runs on: loop.
 *
 * Pictures are not kept: what matters is who the master is, and what would stop a failover.
 */
#include "watch_impl.h"
#include "clock.h"
#include "loop.h"
#include "topology.h"
#include "watch_self.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	FULL_MS = 200,     /* too many clusters are being read: tried again */
	BACKOFF_MS = 1000, /* no master: doubling */
	BACKOFF_MOST_MS = 60000,
	DEATH_MS = 5000, /* what has not answered by then is left out of the decision */
	READ_MS = 20000,
};

static void ended(void *arg, struct snapshot *s);

static void leave(struct watch *w)
{
	if (w->tree.entered)
		watch_self_leave(w->env.self);
	w->tree.entered = false;
}

static void start(struct watch *w, bool for_death)
{
	struct watch_tree *t = &w->tree;
	const struct snapshot_opts o = { .deadline = clock_in(for_death ? DEATH_MS : READ_MS),
		.assume_dead = for_death ? w->master : NULL };

	t->entered = true;
	t->urgent = t->again = false;
	t->for_death = for_death;
	t->run = snapshot_start(w->env.loop, w->env.jobs, w->conf, &o, ended, w);
}

static void on_timer(void *arg)
{
	struct watch *w = arg;
	struct watch_tree *t = &w->tree;
	bool quiet = w->master && w->probe.silent_since;

	if (t->run)
		return;
	if (quiet && !t->urgent && w->state != WATCH_BLOCKED) {
		/* It would wait for the silent server, and say nothing new. */
		loop_timer_move(t->timer, clock_in(BACKOFF_MS));
		return;
	}
	if (!watch_self_enter(w->env.self, t->urgent, t->failures > 0)) {
		loop_timer_move(t->timer, clock_in(FULL_MS));
		return;
	}
	/* While a death stands, what would stop a failover may be mended. */
	start(w, w->state == WATCH_BLOCKED);
}

static int64_t next_reading(const struct watch *w)
{
	unsigned doublings = w->tree.failures < 7 ? w->tree.failures : 7;
	int64_t ms = (int64_t)BACKOFF_MS << doublings;

	if (w->master)
		return clock_in(watch_self_pace(w->env.self));
	return clock_in(ms < BACKOFF_MOST_MS ? ms : BACKOFF_MOST_MS);
}

/* ---- what is kept of a picture ---- */

static const struct topology_finding *finding_of(
        const struct watch *w, const struct topology *t, unsigned stops, bool master_is_dead)
{
	for (size_t i = 0; i < t->n_findings; i++) {
		const struct topology_finding *f = &t->findings[i];

		if (!(f->stops & stops))
			continue;
		if (master_is_dead && t->master && f->server == t->master)
			continue;
		if (f->server && watch_is_absent(w, f->server->snap->conf))
			continue;
		return f;
	}
	return NULL;
}

static void keep_findings(struct watch *w, const struct topology *t)
{
	struct watch_tree *k = &w->tree;
	const struct topology_finding *f = finding_of(w, t, TOPOLOGY_STOPS_FAILOVER, k->for_death);
	const struct topology_finding *s = finding_of(w, t, TOPOLOGY_STOPS_START, k->for_death);
	const char *text = f ? f->text : "";

	if (strncmp(k->text, text, sizeof(k->text) - 1) != 0)
		evidence_say(w->evidence, "topology", "%s",
		        f ? text : "nothing in it would stop a failover");
	snprintf(k->text, sizeof(k->text), "%s", text);
	snprintf(k->hint, sizeof(k->hint), "%s", f && f->hint ? f->hint : "");
	snprintf(k->start_text, sizeof(k->start_text), "%s", s ? s->text : "");
	snprintf(k->mode, sizeof(k->mode), "%s", topology_mode_name(t->mode));
}

/* Only a master that was really read can be found to have less. */
static void keep_rewound(struct watch *w, const struct topology *t)
{
	bool rewound = false;

	if (w->tree.for_death || !w->master || !t->master || t->master->snap->conf != w->master ||
	        t->master->snap->state != SNAPSHOT_ALIVE)
		return;
	for (size_t i = 0; i < t->n_findings; i++)
		rewound |= t->findings[i].code == TOPOLOGY_MASTER_HAS_LESS;
	if (rewound != w->probe.rewound)
		evidence_say(w->evidence, "topology", "%s",
		        rewound ? "the master has less than its slaves"
		                : "the master has all that its slaves have");
	w->probe.rewound = rewound;
	w->probe.restarted = false;
}

/* Of a master that is seen, and only then, it can be told whom it follows. */
static void keep_co_master(struct watch *w, const struct topology *t)
{
	if (!w->master || !t->master || t->master->snap->conf != w->master ||
	        t->master->snap->state != SNAPSHOT_ALIVE)
		return;
	w->co_master = NULL;
	for (size_t i = 0; i < t->n_servers; i++)
		if (t->servers[i].role == TOPOLOGY_CO_MASTER)
			w->co_master = t->servers[i].snap->conf;
}

static const struct conf_server *remembered(const struct watch *w)
{
	for (size_t i = 0; w->remembered && i < w->conf->n_servers; i++) {
		if (str_is(w->conf->servers[i]->id, w->remembered))
			return w->conf->servers[i];
	}
	return NULL;
}

/* What cannot be told is left as it was; nobody is taken for the master while the present one is silent. */
static void choose_master(struct watch *w, const struct topology *t)
{
	const struct conf_server *now = t->master ? t->master->snap->conf : NULL;

	if (!now && !w->master && t->n_alive_slaves == 0)
		now = remembered(w);
	if (!now || now == w->master || (w->master && w->probe.silent_since))
		return;
	if (w->master) {
		watch_log_event(w, LOG_EV_MASTER_CHANGED, "the master is %s now, it was %s.",
		        now->hostinfo, w->master->hostinfo);
		watch_note(
		        w, "master", "mhad", "%s, it was %s", now->hostinfo, w->master->hostinfo);
	}
	watch_set_master(w, now);
}

static void complain(struct watch *w, const struct topology *t)
{
	const struct topology_finding *f = finding_of(w, t, TOPOLOGY_STOPS_START, false);
	struct err e = { 0 };

	snprintf(w->tree.why_unknown, sizeof(w->tree.why_unknown), "%s",
	        f ? f->text : "no server can be called the master");
	if (w->told_failed)
		return;
	w->told_failed = true;
	watch_log_event(w, LOG_EV_NO_MASTER, "%s", w->tree.why_unknown);
	err_set(&e, ERR_CONFIG, 0, "%s", w->tree.why_unknown);
	if (w->env.failed)
		w->env.failed(w->env.arg, w, &e);
}

static void ended(void *arg, struct snapshot *s)
{
	struct watch *w = arg;
	struct watch_tree *k = &w->tree;
	const struct topology_opts o = { .max_delay = -1,
		.ignore_fail_on_start = w->opts.ignore_fail_on_start };
	AUTO(snapshot) struct snapshot *mine = s;
	AUTO(topology) struct topology *t = topology_classify(mine, &o);
	bool for_death = k->for_death;

	k->run = NULL;
	leave(w);
	k->read_at = clock_ms();
	watch_absent_seen(w, t);
	keep_findings(w, t);
	keep_rewound(w, t);
	if (!for_death)
		choose_master(w, t);
	keep_co_master(w, t);
	k->failures = w->master ? 0 : k->failures + 1;
	if (!w->master) {
		complain(w, t);
		watch_event(w, WATCH_EV_UNCLEAR);
	}
	loop_timer_move(k->timer, k->again ? clock_ms() : next_reading(w));
	watch_gate_refresh(w);
	if (for_death)
		watch_decided(w);
	else
		watch_judge(w);
}

void watch_tree_read(struct watch *w)
{
	struct watch_tree *t = &w->tree;

	t->urgent = true;
	if (t->run)
		t->again = true;
	else
		loop_timer_move(t->timer, clock_ms());
}

void watch_tree_death(struct watch *w)
{
	snapshot_cancel(TAKE(w->tree.run));
	leave(w);
	watch_self_enter(w->env.self, true, false);
	start(w, true);
}

void watch_tree_start(struct watch *w)
{
	w->tree.timer = loop_timer_new(w->env.loop,
	        w->master ? next_reading(w) : w->born + w->opts.spread_ms, on_timer, w);
}

void watch_tree_stop(struct watch *w)
{
	snapshot_cancel(TAKE(w->tree.run));
	leave(w);
	loop_timer_free(TAKE(w->tree.timer));
}
