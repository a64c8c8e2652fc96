/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch - one cluster's watch: its life, its judgements, its state.  Owned by the fleet, or by the command that
 * watches one cluster.  Runs on: loop.
 */
#include "watch_impl.h"
#include "clock.h"
#include "loop.h"
#include "watch_self.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	RING_MS = 1000,       /* between two pictures of the evidence */
	CHOICE_INTERVALS = 4, /* a condition that failover_on names has to last so long */
};

struct watch_anchor *watch_hold(struct watch *w)
{
	w->anchor->holders++;
	return w->anchor;
}

void watch_let_go(struct watch_anchor *a)
{
	if (!--a->holders)
		free(a);
}

/* ---- judging ---- */

static bool is_named(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; p && *p;) {
		p += strspn(p, ", \t");
		if (strcspn(p, ", \t") == n && !strncmp(p, word, n))
			return true;
		p += strcspn(p, ", \t");
	}
	return false;
}

bool watch_is_deadly(const struct watch *w)
{
	const struct verdict *v = &w->verdict;

	if (v->kind == VERDICT_DEAD)
		return true;
	return v->kind == VERDICT_CHOICE &&
	       is_named(w->master->failover_on, verdict_name(v->code)) &&
	       clock_ms() - w->verdict_since >= CHOICE_INTERVALS * watch_interval(w);
}

static bool event_of(const struct watch *w, enum watch_event *ret)
{
	if (w->pause.on)
		*ret = WATCH_EV_HELD;
	else if (w->probe.how == HOW_NEVER && !w->probe.silent_since)
		return false;
	else if (watch_is_deadly(w))
		*ret = w->state == WATCH_CONFIRMING && w->confirmed ? WATCH_EV_CONFIRMED
		                                                    : WATCH_EV_DEADLY;
	else if (w->verdict.code == VERDICT_LOCKED)
		*ret = WATCH_EV_TAKEN;
	else if (w->verdict.code == VERDICT_MANAGER_ILL)
		*ret = WATCH_EV_ILL;
	else
		*ret = w->probe.silent_since ? WATCH_EV_DOUBT : WATCH_EV_ANSWERS;
	return true;
}

static void enter(struct watch *w)
{
	if (w->state == WATCH_CONFIRMING) {
		w->confirmed = false;
		watch_look_confirm(w);
	}
	if (w->state == WATCH_DEAD) {
		watch_tell_death(w);
		watch_tree_death(w);
	}
	if (w->state == WATCH_MONITORING)
		w->told_failed = false;
}

static void tell_locked(struct watch *w)
{
	struct err e = { 0 };

	if (w->state != WATCH_LOCKED || w->told_failed)
		return;
	w->told_failed = true;
	err_set(&e, ERR_PRECOND, 0,
	        "Target master's advisory lock is already held by someone. It is %s",
	        w->look.holder);
	if (w->env.failed)
		w->env.failed(w->env.arg, w, &e);
}

void watch_event(struct watch *w, enum watch_event ev)
{
	enum watch_state before = w->state;

	if (!watch_next(before, ev, &w->state)) {
		watch_log(w, LOG_LV_ERROR, "BUG: event %s in state %s", watch_event_name(ev),
		        watch_state_name(before));
		return;
	}
	if (w->state == before)
		return;
	w->since = clock_ms();
	enter(w);
	watch_tell_state(w, before);
	w->ring_at = 0;
	if (w->env.changed)
		w->env.changed(w->env.arg, w);
	tell_locked(w);
}

static void add_picture(struct watch *w, const struct facts *f, bool changed)
{
	struct watch_gate_view v = { .text = "" };
	enum watch_gate g;

	if (!changed && w->ring_at && f->now - w->ring_at < RING_MS)
		return;
	w->ring_at = f->now;
	g = watch_blocked(w);
	if (g != GATE_COUNT)
		watch_gate(w, g, &v);
	evidence_add(w->evidence, f, &w->verdict, watch_state_name(w->state), v.text);
}

static bool is_quiet(const struct watch *w)
{
	return w->state == WATCH_MONITORING && w->verdict.code == VERDICT_HEALTHY;
}

static void follow(struct watch *w)
{
	enum watch_event ev;

	if (event_of(w, &ev))
		watch_event(w, ev);
	if (w->state == WATCH_BLOCKED && watch_blocked(w) == GATE_COUNT) {
		watch_event(w, WATCH_EV_ALLOWED);
		watch_gather_void(w); /* the hosts were not asked for a while */
	}
}

void watch_judge_now(struct watch *w)
{
	enum verdict_code before = w->verdict.code;
	enum watch_state was = w->state;
	const struct facts *f;
	bool changed;

	if (!w->master || w->state == WATCH_STOPPED)
		return;
	f = watch_facts(w);
	w->verdict = verdict_of(f);
	changed = w->verdict.code != before;
	if (changed)
		w->verdict_since = f->now;
	watch_tell_verdict(w, before);
	follow(w);
	add_picture(w, f, changed || w->state != was);
	if (changed && w->state == was && w->env.changed)
		w->env.changed(w->env.arg, w);
	loop_timer_move(w->judge,
	        clock_sooner(w->verdict.again, is_quiet(w) ? CLOCK_NEVER : clock_in(RING_MS)));
}

static void on_judge(void *arg)
{
	watch_judge_now(arg);
}

void watch_judge(struct watch *w)
{
	loop_timer_move(w->judge, clock_ms());
}

/* All that can be known is known: what now? */
void watch_decided(struct watch *w)
{
	if (w->state != WATCH_DEAD)
		return;
	watch_log(w, LOG_LV_INFO, "Master is down!");
	if (w->env.dead)
		w->env.dead(w->env.arg, w);
	if (w->state == WATCH_DEAD && watch_blocked(w) != GATE_COUNT)
		watch_event(w, WATCH_EV_FORBIDDEN);
	watch_judge(w);
}

static void stop_master(struct watch *w)
{
	if (!w->master)
		return;
	watch_gather_free(w);
	watch_look_stop(w);
	for (size_t i = 0; i < w->conf->n_servers; i++)
		replica_free(TAKE(w->members[i].replica));
}

void watch_set_master(struct watch *w, const struct conf_server *master)
{
	stop_master(w);
	w->master = master;
	w->acked = false;
	w->semisync = (struct watch_semisync){ .enabled = false };
	memset(&w->verdict, 0, sizeof(w->verdict));
	w->verdict.again = CLOCK_NEVER;
	w->tree.why_unknown[0] = '\0';
	if (!master)
		return;
	for (size_t i = 0; i < w->conf->n_servers; i++) {
		struct watch_member *m = &w->members[i];

		link_set_priority(m->link, watch_member_priority(w, m->conf));
		if (m->conf != master)
			watch_member_follow(m, i);
	}
	watch_look_start(w);
	watch_gather_quiet(w);
	if (!str_is(w->remembered, master->id))
		watch_keep_save(w);
}

/* ---- life ---- */

static void on_pause_end(void *arg)
{
	watch_resume(arg, "the end of its time");
}

struct watch *watch_new(
        const struct watch_env *env, const struct conf *conf, const struct watch_opts *o)
{
	struct watch *w = xzalloc(sizeof(*w));

	w->env = *env;
	w->opts = *o;
	w->conf = conf;
	w->born = w->since = clock_ms();
	w->anchor = xzalloc(sizeof(*w->anchor));
	*w->anchor = (struct watch_anchor){ w, 1 };
	w->evidence = evidence_new();
	w->verdict.again = CLOCK_NEVER;
	w->alarmed = VERDICT_HEALTHY;
	w->status_state = STATUS_FILE_INITIALIZING_MONITOR;
	w->judge = loop_timer_new(env->loop, CLOCK_NEVER, on_judge, w);
	w->status = o->status;
	watch_keep_load(w);
	w->pause_timer = loop_timer_new(
	        env->loop, w->pause.on ? w->pause.until : CLOCK_NEVER, on_pause_end, w);
	watch_members_start(w);
	watch_witnesses_start(w);
	watch_status(w, STATUS_FILE_INITIALIZING_MONITOR);
	if (o->master)
		watch_set_master(w, o->master);
	watch_tree_start(w);
	watch_gate_refresh(w);
	return w;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	w->state = WATCH_STOPPED;
	watch_status_end(w);
	watch_tree_stop(w);
	stop_master(w);
	witness_free(w->witnesses);
	for (size_t i = 0; i < w->conf->n_servers; i++)
		link_free(w->members[i].link);
	for (size_t i = 0; i < w->n_extras; i++)
		link_free(w->extras[i].link);
	witness_hosts_done(&w->hosts);
	loop_timer_free(w->judge);
	loop_timer_free(w->alarm);
	loop_timer_free(w->pause_timer);
	evidence_free(w->evidence);
	free(w->members);
	free(w->extras);
	free(w->remembered);
	w->anchor->w = NULL;
	watch_let_go(w->anchor);
	free(w);
}

const struct conf *watch_conf(const struct watch *w)
{
	return w->conf;
}

enum watch_state watch_state(const struct watch *w)
{
	return w->state;
}

int64_t watch_since(const struct watch *w)
{
	return w->since;
}

const struct verdict *watch_verdict(const struct watch *w)
{
	return &w->verdict;
}

const struct evidence *watch_evidence(const struct watch *w)
{
	return w->evidence;
}

const struct conf_server *watch_master(const struct watch *w)
{
	return w->master;
}

bool watch_is_silent(const struct watch *w)
{
	return w->probe.silent_since != 0;
}

bool watch_ssh_works(const struct watch *w)
{
	const struct link_view *v;

	if (!w->master)
		return false;
	v = link_view(watch_member(w, w->master)->link);
	return v->state == LINK_UP && !w->gather.call_failed;
}

/* ---- orders ---- */

void watch_pause(struct watch *w, int64_t for_ms, const char *reason, const char *by)
{
	w->pause.on = true;
	w->pause.until = clock_in(for_ms);
	snprintf(w->pause.reason, sizeof(w->pause.reason), "%s", reason ? reason : "");
	snprintf(w->pause.by, sizeof(w->pause.by), "%s", by);
	loop_timer_move(w->pause_timer, w->pause.until);
	evidence_say(w->evidence, "person", "paused by %s: %s", by, w->pause.reason);
	watch_log_event(w, LOG_EV_PAUSED, "paused by %s: %s", by, w->pause.reason);
	watch_note(w, "pause", by, "%s", w->pause.reason);
	watch_keep_save(w);
	watch_judge(w);
}

bool watch_resume(struct watch *w, const char *by)
{
	if (!w->pause.on)
		return false;
	w->pause.on = false;
	loop_timer_move(w->pause_timer, CLOCK_NEVER);
	evidence_say(w->evidence, "person", "resumed by %s", by);
	watch_log_event(w, LOG_EV_RESUMED, "resumed by %s", by);
	watch_note(w, "resume", by, "resumed");
	watch_keep_save(w);
	watch_look(w);
	return true;
}

bool watch_is_paused(const struct watch *w)
{
	return w->pause.on;
}

void watch_look(struct watch *w)
{
	watch_tree_read(w);
	if (w->master && w->probe.silent_since)
		watch_gather_start(w);
	watch_judge(w);
}

void watch_void(struct watch *w)
{
	if (!w->master)
		return;
	evidence_say(w->evidence, "manager", "mhad stood still: what was under way is asked again");
	watch_look_void(w);
	watch_gather_void(w);
	for (size_t i = 0; i < w->conf->n_servers; i++) {
		if (w->members[i].replica)
			replica_poll_now(w->members[i].replica);
	}
	watch_judge(w);
}
