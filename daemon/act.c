/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * act - between a watch and the failover engine.  Runs on: loop.
 */
#include "act.h"
#include "act_events.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "aftermath.h"
#include "guard.h"
#include "history.h"
#include "hook.h"
#include "log.h"
#include "notify.h"
#include "rejoin.h"
#include "str.h"

struct act {
	struct watch *w;
	struct act_opts o;
	struct failover *run;
	struct failover_opts fo;
	char why[400];
	bool running;
	bool orphan; /* act_free() while it ran: the process ends, and the journal has all */
	const struct conf_server *old; /* who is guarded; NULL: nobody */
	struct guard *guard;           /* NULL while a run has its own */
	struct act_events *events;
	struct rejoin *rejoin; /* of the old master, that is back; NULL: none runs */
	struct rejoin_opts rejoin_opts;
};

/* ---- the old master is back ---- */

static void rejoined(void *arg, struct rejoin *r, const struct rejoin_report *p)
{
	struct act *a = arg;
	bool fine = p->result == RUN_SUCCESS || p->result == RUN_PARTIAL;

	if (a->orphan)
		return;
	if (fine && !p->already)
		log_notice("%s: the old master %s is a slave of %s now", watch_conf(a->w)->name,
		        p->target->hostinfo, p->master->hostinfo);
	else if (!fine)
		log_event(LOG_EV_ALARM, NULL, "%s: the old master %s was not made a slave: %s",
		        watch_conf(a->w)->name, p->target->hostinfo, p->error->text);
	history_add(a->o.env.state_dir, watch_conf(a->w)->name, "rejoin", a->o.by, NULL,
	        "%s: %s%s%s", p->target->hostinfo, run_result_name(p->result), fine ? "" : ": ",
	        fine ? "" : p->error->text);
	a->rejoin = NULL;
	rejoin_free(r);
}

/* Closed, it is looked at whether it can be a slave without anybody's word. */
static void old_is_closed(void *arg, bool was_open, const char *text)
{
	struct act *a = arg;
	const struct rejoin_env env = { a->o.env.loop, a->o.env.jobs, a->o.env.links,
		a->o.env.state_dir };
	struct err e = { 0 };

	(void)was_open;
	(void)text;
	if (a->old->auto_rejoin != CONF_REJOIN_CLEAN || a->rejoin || a->running ||
	        !a->o.env.state_dir)
		return;
	a->rejoin_opts = (struct rejoin_opts){
		.target = a->old, .master = watch_master(a->w), .only_clean = true
	};
	if (a->rejoin_opts.master == a->old)
		return;
	a->rejoin = rejoin_start(&env, watch_conf(a->w), &a->rejoin_opts, rejoined, a, &e);
	if (!a->rejoin)
		log_err(LOG_LV_WARNING, &e);
}

static void guard(struct act *a, const struct conf_server *old)
{
	const struct guard_opts o = { .cluster = watch_conf(a->w)->name,
		.state_dir = a->o.env.state_dir,
		.by = a->o.by,
		.closed = old_is_closed,
		.arg = a };

	if (a->old == old)
		return;
	guard_free(TAKE(a->guard));
	a->old = old;
	if (old)
		a->guard = guard_new(a->o.env.loop, a->o.env.jobs, old, &o);
}

void act_guard(struct act *a)
{
	if (!a->running)
		guard(a, watch_absent(a->w));
}

/* ---- the failover ---- */

static void over(void *arg)
{
	struct act *a = arg;

	a->running = false;
	if (a->orphan)
		return;
	act_guard(a);
	if (a->o.ended)
		a->o.ended(a->o.arg);
}

static bool is_open(const struct failover_report *r)
{
	return r->new_master && (r->result == RUN_SUCCESS || r->result == RUN_PARTIAL || r->opened);
}

static void failed_over(void *arg, struct failover *f, const struct failover_report *r)
{
	struct act *a = arg;
	const struct conf *c = a->orphan ? NULL : watch_conf(a->w);
	const struct conf_server *now = is_open(r) ? r->new_master : NULL;
	struct log_ctx old;

	if (!c)
		return;
	old = log_set_ctx((struct log_ctx){ .cluster = c->name });
	log_info("%s", "");
	log_info("----- Failover Report -----");
	log_info("%s", "");
	for (const char *p = r->body; *p; p += strcspn(p, "\n"), p += *p == '\n')
		log_info("%.*s", (int)strcspn(p, "\n"), p);
	aftermath_start(a->o.env.jobs, c, f, r,
	        &(struct aftermath_opts){ a->o.env.state_dir, c->path, a->o.by, a->o.notify }, over,
	        a);
	if (a->o.done)
		a->o.done(a->o.arg, r);
	watch_end(a->w, now, now ? NULL : r->error);
	a->run = NULL;
	if (is_open(r)) /* before the run's own guard goes */
		guard(a, r->dead);
	failover_free(f);
	log_set_ctx(old);
}

/* For those who want to know before it is over. */
static void tell_begin(const struct act *a)
{
	const struct conf_server *d = a->fo.dead;
	const struct conf *c = watch_conf(a->w);
	AUTO(free) char *subject = NULL, *body = NULL;

	if (!a->o.notify || d->report_on != CONF_REPORT_ALL)
		return;
	subject = xasprintf("%s: MySQL Master failover %s begins", c->name, d->hostinfo);
	body = xasprintf("Master %s is failed over.\n\n%s\n", d->hostinfo, a->fo.why);
	notify_put(a->o.notify, c->name, d, hook_report(d, c->path, subject, body));
}

static bool begin(struct act *a)
{
	struct log_ctx old = log_set_ctx((struct log_ctx){ .cluster = watch_conf(a->w)->name });
	struct err e = { 0 };

	a->run = failover_start(&a->o.env, watch_conf(a->w), &a->fo, failed_over, a, &e);
	a->running = a->run;
	if (a->run)
		tell_begin(a);
	if (a->run)
		guard(a, NULL);
	if (a->run && a->rejoin)
		rejoin_cancel(a->rejoin, "a failover begins");
	if (!a->run)
		log_err(LOG_LV_ERROR, &e);
	log_set_ctx(old);
	return a->run;
}

static void fill_in(struct act *a)
{
	const struct verdict *v = watch_verdict(a->w);

	a->fo = a->o.failover;
	a->fo.dead = watch_master(a->w);
	a->fo.by = a->o.by;
	a->fo.events = act_events_of(a->events, a->fo.dead);
	a->fo.verdict = v->code;
	snprintf(a->why, sizeof(a->why), "%s: %.360s", verdict_name(v->code), v->why);
	a->fo.why = a->why;
	a->fo.seen = watch_first_sign(a->w);
	a->fo.semisync = watch_was_acked(a->w);
	a->fo.absent = watch_absent(a->w);
	a->fo.co_master = watch_co_master(a->w);
	a->fo.ssh_reachable = a->o.failover.ssh_reachable;
}

bool act_dead(struct act *a)
{
	if (a->running || watch_blocked(a->w) != GATE_COUNT)
		return false;
	fill_in(a);
	watch_begin(a->w);
	if (begin(a))
		return true;
	watch_end(a->w, NULL, &(struct err){ .kind = ERR_PRECOND, .text = "it could not begin" });
	return false;
}

bool act_resume(struct act *a)
{
	const struct conf_server *dead =
	        a->running ? NULL : failover_unfinished(a->o.env.state_dir, watch_conf(a->w));

	if (!dead)
		return false;
	fill_in(a);
	a->fo.dead = dead;
	log_warning("%s: a failover was killed in the middle: it is taken up again",
	        watch_conf(a->w)->name);
	return begin(a);
}

/* ---- life ---- */

struct act *act_new(struct watch *w, const struct act_opts *o)
{
	struct act *a = xzalloc(sizeof(*a));

	a->w = w;
	a->o = *o;
	a->events = act_events_new(o->env.loop, o->env.jobs, w);
	return a;
}

bool act_is_running(const struct act *a)
{
	return a && (a->running || a->rejoin);
}

void act_cancel(struct act *a, const char *why)
{
	if (a->run)
		failover_cancel(a->run, why);
	if (a->rejoin)
		rejoin_cancel(a->rejoin, why);
}

void act_free(struct act *a)
{
	if (!a)
		return;
	guard_free(TAKE(a->guard));
	a->orphan = a->running || a->rejoin;
	if (a->orphan) { /* a run reads them until its end */
		act_events_stop(a->events);
		return;
	}
	act_events_free(a->events);
	free(a);
}
