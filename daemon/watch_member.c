/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch_member - the servers and witnesses of a watch: their links, and the views of the slaves.  Owned by watch;
 * runs on: loop, looking names up on a worker.
 */
#include "watch_impl.h"
#include "clock.h"
#include "job.h"
#include "loop.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	REPLICA_LEAST_MS = 500, /* for one look at a slave */
	REPLICA_MOST_MS = 3000,
	NAMES_MS = 10000, /* for the names in `witnesses` */
};

struct watch_member *watch_member(const struct watch *w, const struct conf_server *s)
{
	for (size_t i = 0; i < w->conf->n_servers; i++) {
		if (w->members[i].conf == s)
			return &w->members[i];
	}
	return NULL;
}

/* ---- slaves ---- */

static void replica_changed(void *arg, const struct replica *r)
{
	struct watch_member *m = arg;
	const struct replica_view *v = replica_view(r);
	char who[80];

	if (v->up != m->was_up || (v->silent_since != 0) != m->was_silent) {
		snprintf(who, sizeof(who), "replica %s:%d", m->conf->hostname, m->conf->port);
		evidence_say(m->w->evidence, who, "%s", v->up ? "it answers" : v->err.text);
	}
	m->was_up = v->up;
	m->was_silent = v->silent_since != 0;
	watch_judge(m->w);
}

void watch_member_follow(struct watch_member *m, size_t i)
{
	struct watch *w = m->w;
	int64_t timeout = watch_interval(w);
	struct replica_opts o = {
		.poll_ms = w->master->replica_interval, .changed = replica_changed, .arg = m
	};

	timeout = timeout < REPLICA_LEAST_MS ? REPLICA_LEAST_MS : timeout;
	o.timeout_ms = timeout > REPLICA_MOST_MS ? REPLICA_MOST_MS : timeout;
	o.first_ms = w->opts.spread_ms + 50 * (int64_t)i;
	m->was_up = m->was_silent = false;
	m->replica = replica_new(w->env.loop, w->env.jobs, m->conf, &o);
}

int watch_member_priority(const struct watch *w, const struct conf_server *s)
{
	return s == w->master ? 0 : s->candidate_master ? 1 : 2;
}

/* ---- witnesses ---- */

struct names {
	struct watch_anchor *anchor;
	const struct conf *conf;
	const char *text;
	struct witness_hosts hosts;
};

static bool find_witnesses(struct job *j, void *arg, struct err *e)
{
	struct names *n = arg;

	return witness_parse(n->text, n->conf->defaults, job_deadline(j), &n->hosts, e);
}

static void link_changed(void *arg, struct link *l)
{
	(void)l;
	watch_judge(arg);
}

static void use_witnesses(struct watch *w)
{
	w->n_extras = w->hosts.len;
	w->extras = xzalloc((w->n_extras + 1) * sizeof(*w->extras));
	for (size_t i = 0; i < w->n_extras; i++) {
		const struct link_opts o = { .priority = 1 };
		struct watch_extra *x = &w->extras[i];

		x->conf = w->hosts.items[i];
		x->link = link_new(w->env.links, x->conf, &o, link_changed, w);
	}
	if (w->master)
		watch_gather_witnesses(w);
}

static void witnesses_found(struct job *j, void *arg, const struct err *e)
{
	struct names *n = arg;
	struct watch *w = n->anchor->w;

	(void)j;
	if (w && e) {
		watch_log(w, LOG_LV_ERROR, "witnesses: %s", e->text);
		evidence_say(w->evidence, "manager", "witnesses: %s", e->text);
	} else if (w) {
		w->hosts = n->hosts;
		n->hosts = (struct witness_hosts){ 0 };
		use_witnesses(w);
	}
	watch_let_go(n->anchor);
	n->anchor = NULL;
}

static void names_free(void *arg)
{
	struct names *n = arg;

	if (n->anchor) /* never begun: the pool is closed */
		watch_let_go(n->anchor);
	witness_hosts_done(&n->hosts);
	free(n);
}

void watch_witnesses_start(struct watch *w)
{
	const char *text = w->conf->servers[0]->witnesses;
	struct names *n;

	if (!text || !*text)
		return;
	n = xzalloc(sizeof(*n));
	n->anchor = watch_hold(w);
	n->conf = w->conf;
	n->text = text;
	job_start(w->env.jobs, job_new("look up witnesses", clock_in(NAMES_MS), find_witnesses,
	                               witnesses_found, names_free, n));
}

void watch_members_start(struct watch *w)
{
	w->members = xzalloc(w->conf->n_servers * sizeof(*w->members));
	for (size_t i = 0; i < w->conf->n_servers; i++) {
		struct watch_member *m = &w->members[i];
		const struct link_opts o = { .priority = watch_member_priority(
			                             w, w->conf->servers[i]) };

		m->w = w;
		m->conf = w->conf->servers[i];
		m->link = link_new(w->env.links, m->conf, &o, link_changed, w);
	}
}
