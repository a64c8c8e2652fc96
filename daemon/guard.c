/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guard - polls, and one job when the old master is up.  Runs on: loop; closing on a worker.
 */
#include "guard.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "clock.h"
#include "history.h"
#include "job.h"
#include "log.h"
#include "repl.h"
#include "replica.h"
#include "str.h"

enum {
	LOOK_EVERY_MS = 100,  /* while it may be back at any moment */
	CALM_EVERY_MS = 2000, /* ... once that has been so for a while */
	CALM_AFTER_MS = 60000,
	LOOK_MS = 1000,
	CLOSE_MS = 5000,
};

/* A worker may still be at it when the guard is gone: it has the configuration, and copies. */
struct closing {
	struct guard *guard; /* of the loop; NULL: gone */
	const struct conf_server *old;
	char *cluster, *state_dir, *by;
	int killed, left;
	bool was_open, is_slave;
	char text[400]; /* "": there was nothing to close */
};

struct guard {
	struct guard_opts o;
	struct job_pool *jobs;
	const struct conf_server *old;
	struct replica *replica;
	int64_t since;
	bool closed;
	atomic_bool up;
	struct closing *closing;
	atomic_bool is_closing;
};

/* ---- on a worker ---- */

static bool close_it(struct closing *c, int64_t deadline, struct err *e)
{
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

static bool work(struct job *j, void *arg, struct err *e)
{
	struct closing *c = arg;
	bool fine = close_it(c, job_deadline(j), e);

	if (!fine) {
		log_warning("%s: the old master %s is back and could not be closed: %s", c->cluster,
		        c->old->hostinfo, e->text);
		return false;
	}
	if (c->is_slave && !c->was_open)
		return true;
	snprintf(c->text, sizeof(c->text),
	        "the old master %s is back%s: it was made read-only, %d clients were ended. What "
	        "it "
	        "has of its own is still there: mhactl rejoin",
	        c->old->hostinfo, c->was_open ? ", and took writes" : "", c->killed);
	log_event(LOG_EV_ALARM, NULL, "%s: %s", c->cluster, c->text);
	if (c->state_dir)
		history_add(c->state_dir, c->cluster, "old-master", c->by, NULL,
		        "%s is back%s; it was closed", c->old->hostinfo,
		        c->was_open ? ", and took writes" : "");
	return true;
}

static void closing_free(void *arg)
{
	struct closing *c = arg;

	free(c->cluster);
	free(c->state_dir);
	free(c->by);
	free(c);
}

/* ---- on the loop ---- */

static void ended(struct job *j, void *arg, const struct err *e)
{
	struct closing *c = arg;
	struct guard *g = c->guard;

	if (!g)
		return;
	g->closing = NULL;
	atomic_store(&g->is_closing, false);
	if (job_is_late(j) || e)
		return;
	g->closed = true;
	if ((c->text[0] || g->old->double_master) && g->o.closed)
		g->o.closed(g->o.arg, c->was_open, c->text);
}

static void start_closing(struct guard *g)
{
	struct closing *c = xzalloc(sizeof(*c));

	c->guard = g;
	c->old = g->old;
	c->cluster = xstrdup(g->o.cluster);
	c->state_dir = g->o.state_dir ? xstrdup(g->o.state_dir) : NULL;
	c->by = g->o.by ? xstrdup(g->o.by) : NULL;
	g->closing = c;
	atomic_store(&g->is_closing, true);
	job_start(g->jobs,
	        job_new("close the old master", clock_in(CLOSE_MS), work, ended, closing_free, c));
}

static void looked(void *arg, const struct replica *r)
{
	struct guard *g = arg;
	bool up = replica_view(r)->up;

	atomic_store(&g->up, up);
	if (!up) {
		g->closed = false;
		return;
	}
	if (clock_ms() - g->since > CALM_AFTER_MS)
		replica_set_poll(g->replica, CALM_EVERY_MS);
	if (!g->closed && !g->closing && (!g->o.may_close || g->o.may_close(g->o.arg)))
		start_closing(g);
}

struct guard *guard_new(struct loop *l, struct job_pool *jobs, const struct conf_server *old,
        const struct guard_opts *o)
{
	struct guard *g = xzalloc(sizeof(*g));

	g->o = *o;
	g->jobs = jobs;
	g->old = old;
	g->since = clock_ms();
	g->replica = replica_new(l, jobs, old,
	        &(struct replica_opts){ .poll_ms = LOOK_EVERY_MS,
	                .timeout_ms = LOOK_MS,
	                .changed = looked,
	                .arg = g });
	return g;
}

void guard_free(struct guard *g)
{
	if (!g)
		return;
	if (g->closing)
		g->closing->guard = NULL;
	replica_free(g->replica);
	free(g);
}

bool guard_is_up(const struct guard *g)
{
	return g && atomic_load(&g->up);
}

bool guard_is_closing(const struct guard *g)
{
	return g && atomic_load(&g->is_closing);
}
