/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * act - between a watch and the failover engine.  Runs on: loop; closing the old master on a worker.
 */
#include "act.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "aftermath.h"
#include "clock.h"
#include "history.h"
#include "job.h"
#include "log.h"
#include "loop.h"
#include "replica.h"
#include "repl.h"
#include "str.h"

enum {
	GUARD_MS = 200,       /* between two looks at the old master while it may be back */
	GUARD_CALM_MS = 2000, /* ... once the failover is over for a while */
	CALM_AFTER_MS = 60000,
	LOOK_MS = 1000,
	CLOSE_MS = 5000,
};

/* A worker may still be at it when the act is gone: it has the configuration, and nothing else. */
struct closing {
	struct act *act; /* NULL: gone */
	const struct conf_server *old;
	int killed, left;
	bool was_open, is_slave;
};

struct act {
	struct watch *w;
	struct act_opts o;
	struct failover *run;
	struct failover_opts fo;
	char why[400];
	bool running;
	bool orphan; /* act_free() while it ran: the process ends, and the journal has all */
	const struct conf_server *old; /* who is guarded; NULL: nobody */
	struct replica *guard;
	int64_t guarded_since;
	bool closed;
	struct closing *closing;
};

/* ---- the old master is back ---- */

static bool close_it(struct job *j, void *arg, struct err *e)
{
	struct closing *c = arg;
	int64_t deadline = job_deadline(j);
	AUTO(repl) struct repl *r = repl_open(c->old, NULL, deadline, e);
	struct repl_now now;
	bool on = false;

	if (!r || !repl_look(r, deadline, &now, e) || !repl_read_only(r, deadline, &on, NULL, e))
		return false;
	c->is_slave = now.is_replica;
	c->was_open = !on;
	if (c->is_slave && on)
		return true;
	return repl_set_read_only(r, true, deadline, e) &&
	       repl_kill_clients(r, NULL, deadline, &c->killed, &c->left, e);
}

static void closed(struct job *j, void *arg, const struct err *e)
{
	struct closing *c = arg;
	struct act *a = job_is_late(j) ? NULL : c->act;

	if (c->act)
		c->act->closing = NULL;
	if (!a)
		return;
	if (e) {
		log_warning("%s: the old master %s is back and could not be closed: %s",
		        watch_conf(a->w)->name, c->old->hostinfo, e->text);
		return;
	}
	a->closed = true;
	if (c->is_slave && !c->was_open)
		return;
	log_event(LOG_EV_ALARM, NULL,
	        "%s: the old master %s is back%s: it was made read-only, %d clients were ended. "
	        "What it "
	        "has of its own is still there: mhactl rejoin",
	        watch_conf(a->w)->name, c->old->hostinfo, c->was_open ? ", and took writes" : "",
	        c->killed);
	history_add(a->o.env.state_dir, watch_conf(a->w)->name, "old-master", a->o.by, NULL,
	        "%s is back%s; it was closed", c->old->hostinfo,
	        c->was_open ? ", and took writes" : "");
}

static void start_closing(struct act *a)
{
	struct closing *c = xzalloc(sizeof(*c));

	c->act = a;
	c->old = a->old;
	a->closing = c;
	job_start(a->o.env.jobs,
	        job_new("close the old master", clock_in(CLOSE_MS), close_it, closed, free, c));
}

/* Only behind the point of no return is an open old master one too many. */
static bool must_be_closed(const struct act *a)
{
	size_t n;
	const struct run_record *all;

	if (!a->run)
		return true;
	all = run_records(failover_run(a->run), &n);
	for (size_t i = 0; i < n; i++)
		if (all[i].step->no_return)
			return all[i].state != RUN_NOT_YET;
	return false;
}

static void looked(void *arg, const struct replica *r)
{
	struct act *a = arg;
	const struct replica_view *v = replica_view(r);

	if (!v->up) {
		a->closed = false;
		return;
	}
	if (clock_ms() - a->guarded_since > CALM_AFTER_MS)
		replica_set_poll(a->guard, GUARD_CALM_MS);
	if (!a->closed && !a->closing && must_be_closed(a))
		start_closing(a);
}

static void guard(struct act *a, const struct conf_server *old)
{
	const struct replica_opts o = {
		.poll_ms = GUARD_MS, .timeout_ms = LOOK_MS, .changed = looked, .arg = a
	};

	if (a->old == old)
		return;
	replica_free(TAKE(a->guard));
	a->old = old;
	a->closed = false;
	a->guarded_since = clock_ms();
	if (old)
		a->guard = replica_new(a->o.env.loop, a->o.env.jobs, old, &o);
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
	        &(struct aftermath_opts){ a->o.env.state_dir, c->path, a->o.by }, over, a);
	if (a->o.done)
		a->o.done(a->o.arg, r);
	watch_end(a->w, now, now ? NULL : r->error);
	a->run = NULL;
	failover_free(f);
	log_set_ctx(old);
}

static bool begin(struct act *a)
{
	struct log_ctx old = log_set_ctx((struct log_ctx){ .cluster = watch_conf(a->w)->name });
	struct err e = { 0 };

	a->run = failover_start(&a->o.env, watch_conf(a->w), &a->fo, failed_over, a, &e);
	a->running = a->run;
	if (a->run)
		guard(a, a->fo.dead);
	else
		log_err(LOG_LV_ERROR, &e);
	log_set_ctx(old);
	return a->run;
}

static void fill_in(struct act *a)
{
	const struct verdict *v = watch_verdict(a->w);

	a->fo = a->o.failover;
	a->fo.dead = watch_master(a->w);
	a->fo.verdict = v->code;
	snprintf(a->why, sizeof(a->why), "%s: %.360s", verdict_name(v->code), v->why);
	a->fo.why = a->why;
	a->fo.seen = watch_first_sign(a->w);
	a->fo.semisync = watch_was_acked(a->w);
	a->fo.absent = watch_absent(a->w);
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
	return a;
}

bool act_is_running(const struct act *a)
{
	return a && a->running;
}

void act_cancel(struct act *a, const char *why)
{
	if (a->run)
		failover_cancel(a->run, why);
}

void act_free(struct act *a)
{
	if (!a)
		return;
	if (a->closing)
		a->closing->act = NULL;
	replica_free(TAKE(a->guard));
	a->orphan = a->running;
	if (!a->orphan)
		free(a);
}
