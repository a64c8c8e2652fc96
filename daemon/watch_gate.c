/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch_gate - what forbids a failover, in the order in which it is named.  Runs on: loop; MHA's marks
 * are read by a job.
 */
#include "watch_impl.h"
#include "clock.h"
#include "job.h"
#include "watch_self.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FLAP_MS = 10000 };

static void set(struct watch_gate_view *v, bool blocks, const char *hint, const char *fmt, ...)
        PRINTF_LIKE(4, 5);
static void set(struct watch_gate_view *v, bool blocks, const char *hint, const char *fmt, ...)
{
	va_list ap;

	v->blocks = blocks;
	va_start(ap, fmt);
	vsnprintf(v->text, sizeof(v->text), fmt, ap);
	va_end(ap);
	snprintf(v->hint, sizeof(v->hint), "%s", hint ? hint : "");
}

static void gate_verdict(const struct watch *w, struct watch_gate_view *v)
{
	const struct verdict *d = &w->verdict;

	if (!w->master)
		set(v, true, "mhactl topology", "no master is known: %s",
		        w->tree.why_unknown[0] ? w->tree.why_unknown : "not looked yet");
	else if (watch_is_deadly(w))
		set(v, false, NULL, "%s: %s", verdict_name(d->code), d->why);
	else if (d->kind == VERDICT_CHOICE)
		set(v, true, "failover_on names such conditions",
		        "%s, and failover_on does not name it: %s", verdict_name(d->code), d->why);
	else
		set(v, true, NULL, "%s: %s", verdict_name(d->code),
		        d->why[0] ? d->why : verdict_sentence(d->code));
}

static void gate_paused(const struct watch *w, struct watch_gate_view *v)
{
	AUTO(free) char *hint = xasprintf("mhactl resume %s", w->conf->name);

	if (!w->pause.on)
		set(v, false, NULL, "not paused");
	else
		set(v, true, hint, "paused by %s: %s", w->pause.by, w->pause.reason);
}

static void gate_tilt(const struct watch *w, struct watch_gate_view *v)
{
	const char *why = w->master ? watch_self_why(w->env.self, w->master->tilt_hold) : NULL;

	if (why)
		set(v, !watch_is_deadly(w), NULL, "%s", why);
	else
		set(v, false, NULL, "this host is well");
}

static void gate_lock(const struct watch *w, struct watch_gate_view *v)
{
	if (w->probe.how == HOW_LOCKED)
		set(v, true, "stop the other manager", "the lock is held by %s", w->look.holder);
	else if (w->master && !w->master->advisory_lock)
		set(v, false, NULL, "advisory_lock is off");
	else
		set(v, false, NULL, w->opts.no_lock ? "no lock is taken" : "no other manager");
}

static void gate_recent(const struct watch *w, struct watch_gate_view *v)
{
	bool blocks = w->flap.why == FLAP_RECENT || w->flap.why == FLAP_ERROR ||
	              w->flap.why == FLAP_UNKNOWN;

	if (w->opts.ignore_last_failover)
		set(v, false, NULL, "earlier failovers are not looked at (ignore_last_failover)");
	else if (!w->flap_known)
		set(v, true, NULL, "the marks of earlier failovers were not read yet");
	else
		set(v, blocks, w->flap.hint, "%s",
		        w->flap.text[0] ? w->flap.text : "no earlier failover stands against it");
}

static void gate_topology(const struct watch *w, struct watch_gate_view *v)
{
	if (!w->tree.read_at)
		set(v, true, NULL, "the topology was not read yet");
	else if (w->tree.text[0])
		set(v, true, w->tree.hint, "%s", w->tree.text);
	else
		set(v, false, NULL, "nothing in the topology stands against it");
}

static void gate_manual(const struct watch *w, struct watch_gate_view *v)
{
	if (w->master && !w->master->auto_failover)
		set(v, true, "mhactl failover, by a person", "auto_failover is off");
	else
		set(v, false, NULL, "auto_failover is on");
}

static void gate_refused(const struct watch *w, struct watch_gate_view *v)
{
	int64_t left = w->refused_until ? clock_left(w->refused_until) : 0;

	if (left > 0)
		set(v, true, w->refused_hint[0] ? w->refused_hint : "mhactl failover tries at once",
		        "the last attempt was refused: %s; the next one is in %lld s", w->refused,
		        (long long)(left + 999) / 1000);
	else
		set(v, false, NULL, "no attempt was refused a moment ago");
}

static void gate_engine(const struct watch *w, struct watch_gate_view *v)
{
	if (w->opts.acts)
		set(v, false, NULL, "failovers are carried out here");
	else
		set(v, true, "mhactl failover, or masterha_manager", "this watch does not act");
}

void watch_gate(const struct watch *w, enum watch_gate g, struct watch_gate_view *ret)
{
	static void (*const gates[GATE_COUNT])(const struct watch *, struct watch_gate_view *) = {
		[GATE_VERDICT] = gate_verdict,
		[GATE_PAUSED] = gate_paused,
		[GATE_TILT] = gate_tilt,
		[GATE_LOCK] = gate_lock,
		[GATE_RECENT] = gate_recent,
		[GATE_TOPOLOGY] = gate_topology,
		[GATE_MANUAL] = gate_manual,
		[GATE_REFUSED] = gate_refused,
		[GATE_ENGINE] = gate_engine,
	};

	gates[g](w, ret);
}

enum watch_gate watch_blocked(const struct watch *w)
{
	struct watch_gate_view v;

	for (enum watch_gate g = 0; g < GATE_COUNT; g++) {
		watch_gate(w, g, &v);
		if (v.blocks)
			return g;
	}
	return GATE_COUNT;
}

/* ---- MHA's marks ---- */

struct marks {
	struct watch_anchor *anchor;
	char *workdir, *app, *state_dir;
	int64_t window;
	struct flap flap;
};

static struct flap_at flap_at(const struct watch *w)
{
	const struct conf_server *s = w->master ? w->master : w->conf->servers[0];

	return (struct flap_at){ .workdir = w->opts.workdir ? w->opts.workdir : s->manager_workdir,
		.app = w->conf->name,
		.state_dir = w->env.state_dir };
}

static bool read_marks(struct job *j, void *arg, struct err *e)
{
	struct marks *m = arg;
	const struct flap_at at = { m->workdir, m->app, m->state_dir };

	(void)j;
	(void)e;
	flap_check(&at, m->window, flap_now_ms(), &m->flap);
	return true;
}

static void marks_read(struct job *j, void *arg, const struct err *e)
{
	struct marks *m = arg;
	struct watch *w = m->anchor->w;

	if (w) {
		w->flap_running = false;
		if (!e) {
			w->flap = m->flap;
			w->flap_known = true;
		}
		watch_judge(w);
	}
	watch_let_go(m->anchor);
	m->anchor = NULL;
	(void)j;
}

static void marks_free(void *arg)
{
	struct marks *m = arg;

	if (m->anchor) /* never begun: the pool is closed */
		watch_let_go(m->anchor);
	free(m->workdir);
	free(m->app);
	free(m->state_dir);
	free(m);
}

void watch_gate_refresh(struct watch *w)
{
	const struct flap_at at = flap_at(w);
	struct marks *m;

	if (w->flap_running)
		return;
	w->flap_running = true;
	m = xzalloc(sizeof(*m));
	m->anchor = watch_hold(w);
	m->workdir = xstrdup(at.workdir);
	m->app = xstrdup(at.app);
	m->state_dir = xstrdup(at.state_dir);
	m->window = w->opts.failover_interval >= 0 ? w->opts.failover_interval
	            : w->master                    ? w->master->failover_interval
	                                           : w->conf->servers[0]->failover_interval;
	job_start(w->env.jobs, job_new("read marks of failovers", clock_in(FLAP_MS), read_marks,
	                               marks_read, marks_free, m));
}

bool watch_ack(struct watch *w, const char *reason, const char *by, bool *ret_lifted, struct err *e)
{
	const struct flap_at at = flap_at(w);

	if (!flap_ack(&at, reason, by, ret_lifted, e))
		return false;
	watch_note(w, "ack", by, "%s", reason);
	watch_gate_refresh(w);
	return true;
}
