/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rejoin - the table of steps, and a run's begin and end.  Runs on: loop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "db.h"
#include "history.h"
#include "job.h"
#include "log.h"
#include "loop.h"
#include "rejoin_impl.h"

#define SECOND 1000
#define HOUR   (3600 * SECOND)

/*
 * Up to `save` nothing is changed anywhere but on this host.  The server is closed before anything else, and what
 * it has is looked at again then: a returned master may have taken writes until that moment.
 */
static const struct run_step steps[] = {
	{ "read", "Phase 1: Looking at the server and its cluster",
	        "read the server, its cluster, and who the master is", .act = rj_read,
	        .budget_ms = 60 * SECOND, .reads = true },
	{ "check", .title = "see whether the server could be a slave of it", .when = rj_has_work,
	        .act = rj_check, .budget_ms = 30 * SECOND, .reads = true },
	{ "compare", .title = "see what each has that the other lacks", .when = rj_has_work,
	        .act = rj_compare, .budget_ms = HOUR, .reads = true },
	{ "decide", .title = "look for reasons not to", .when = rj_has_work, .act = rj_decide,
	        .budget_ms = HOUR, .reads = true },

	{ "save", "Phase 2: Saving what is its own", "save here what only the server has",
	        .when = rj_has_errant, .act = rj_save, .verify = rj_is_saved, .budget_ms = HOUR },

	{ "close", "Phase 3: Making it a slave", "the server takes no writes any more",
	        .when = rj_has_work, .act = rj_close, .verify = rj_is_closed,
	        .budget_ms = 60 * SECOND, .changes = true },
	{ "inject", .title = "the master gets an empty transaction for each of them",
	        .when = rj_will_inject, .act = rj_inject, .verify = rj_is_injected,
	        .budget_ms = HOUR },
	{ "flashback", .title = "what it changed by itself is taken back", .when = rj_will_flash,
	        .act = rj_flash, .verify = rj_is_flashed, .budget_ms = HOUR },
	{ "provision", .title = "its data becomes a copy of the donor's", .when = rj_will_provision,
	        .act = rj_provision, .verify = rj_is_provisioned,
	        .budget_ms = 7 * 24 * (int64_t)HOUR },
	{ "reset", .title = "its log begins anew, where the master's history goes on",
	        .when = rj_will_reset, .act = rj_reset, .verify = rj_is_reset,
	        .budget_ms = 60 * SECOND },
	{ "follow", .title = "it follows the master", .when = rj_has_work, .act = rj_follow,
	        .verify = rj_follows, .budget_ms = 120 * SECOND },
	{ "catch_up", "Phase 4: Catching up", "wait until it has what the master has",
	        .act = rj_catch_up, .budget_ms = 24 * (int64_t)HOUR, .on_fail = RUN_GO_ON,
	        .reads = true },
	{ "ring", .title = "double masters: the master follows it, too", .when = rj_will_close_ring,
	        .act = rj_ring, .verify = rj_ring_is_closed, .budget_ms = 120 * SECOND,
	        .on_fail = RUN_GO_ON },
};
static const struct run_plan plan = { "rejoin", steps, ARRAY_LEN(steps) };

enum { LOOKING = 4 }; /* of them */
static const struct run_plan dry_plan = { "rejoin", steps, LOOKING };

const struct run_plan *rejoin_plan(void)
{
	return &plan;
}

/* ---- begin ---- */

/* The server alone, and all others: whoever reads one half is not held up by the other. */
static void split(struct rejoin *r)
{
	size_t n = r->conf->n_servers, at = 1;

	r->list = xzalloc(sizeof(*r->list) * (n + 1));
	r->list[0] = r->o.target;
	for (size_t i = 0; i < n; i++)
		if (r->conf->servers[i] != r->o.target)
			r->list[at++] = r->conf->servers[i];
	r->one = r->others = *r->conf;
	r->one.servers = r->list;
	r->one.n_servers = 1;
	r->others.servers = r->list + 1;
	r->others.n_servers = at - 1;
}

static void make_ends(struct rejoin *r)
{
	r->ends = xzalloc(sizeof(*r->ends) * (r->conf->n_servers + 1));
	for (size_t i = 0; i < r->conf->n_servers; i++) {
		struct rj_end *s = &r->ends[i];

		s->conf = r->conf->servers[i];
		s->link = link_new(
		        r->env.links, s->conf, &(struct link_opts){ .priority = 0 }, NULL, NULL);
		s->door = link_door(s->link);
	}
	r->target = rj_of(r, r->o.target);
}

bool rejoin_is_unfinished(const char *state_dir, const char *cluster)
{
	AUTO(free) char *dir = history_dir(state_dir, cluster, NULL);
	struct journal *j = dir ? journal_open(dir, "rejoin", NULL) : NULL;
	bool is = j && journal_unfinished(j);

	journal_close(j);
	return is;
}

/* What is unfinished must be about the same server. */
static bool is_same_target(const struct journal *j, const struct conf_server *target, struct err *e)
{
	const json_t *facts = json_object_get(json_array_get(journal_unfinished(j), 0), "facts");
	const char *id = json_string_value(json_object_get(facts, "target"));

	if (!id || str_is(id, target->id))
		return true;
	err_set(e, ERR_PRECOND, 0, "a rejoin of [%s] was begun and not finished", id);
	return err_hint(e, "take that one up first: it is done or refused by mhactl rejoin");
}

static bool take_journal(struct rejoin *r, struct err *e)
{
	AUTO(free) char *dir = history_dir(r->env.state_dir, r->conf->name, e);

	r->journal = dir ? journal_open(dir, "rejoin", e) : NULL;
	return r->journal && is_same_target(r->journal, r->o.target, e);
}

static void on_done(void *arg, struct run *run, enum run_result result)
{
	struct rejoin *r = arg;

	r->run = run;
	r->report = (struct rejoin_report){ .result = result,
		.target = r->o.target,
		.master = r->master ? r->master->conf : NULL,
		.error = run_error(run),
		.already = r->already && !(r->master && rj_will_close_ring(r)) };
	r->done(r->arg, r, &r->report);
}

static void name_files(struct rejoin *r)
{
	const struct conf_server *t = r->o.target;
	char when[32];

	clock_file_time(when, sizeof(when));
	snprintf(r->saved_path, sizeof(r->saved_path), "%s/%s/rejoin/%s_%d_%s.binlog",
	        r->env.state_dir, r->conf->name, t->hostname, t->port, when);
}

struct rejoin *rejoin_start(const struct rejoin_env *env, const struct conf *c,
        const struct rejoin_opts *o, rejoin_done_fn done, void *arg, struct err *e)
{
	struct rejoin *r = xzalloc(sizeof(*r));

	r->env = *env;
	r->o = *o;
	r->conf = c;
	r->done = done;
	r->arg = arg;
	split(r);
	r->run_name = journal_run_name();
	if (!o->dry && !take_journal(r, e)) {
		rejoin_free(r);
		return NULL;
	}
	make_ends(r);
	name_files(r);
	r->run = run_start(o->dry ? &dry_plan : &plan,
	        &(struct run_opts){ .loop = env->loop,
	                .jobs = env->jobs,
	                .journal = r->journal,
	                .run = r->run_name,
	                .cluster = c->name,
	                .facts = json_pack(
	                        "{s:s, s:s}", "target", o->target->id, "saved", r->saved_path),
	                .done = on_done,
	                .arg = r },
	        r, rj_restore);
	return r;
}

void rejoin_cancel(struct rejoin *r, const char *why)
{
	run_cancel(r->run, why);
}

void rejoin_free(struct rejoin *r)
{
	if (!r)
		return;
	run_free(r->run);
	journal_close(r->journal);
	for (size_t i = 0; r->ends && i < r->conf->n_servers; i++) {
		repl_close(r->ends[i].repl);
		link_door_free(r->ends[i].door);
		link_free(r->ends[i].link);
	}
	free(r->ends);
	topology_free(r->topology);
	snapshot_free(r->snap_one);
	snapshot_free(r->snap_others);
	rejoin_log_done(&r->own);
	provision_place_done(&r->place);
	free(r->errant);
	free(r->errant_gtids);
	free(r->start_gtid);
	free(r->seen);
	free(r->list);
	free(r->run_name);
	free(r);
}

/* ---- what the steps share ---- */

struct rj_end *rj_of(struct rejoin *r, const struct conf_server *c)
{
	for (size_t i = 0; i < r->conf->n_servers; i++)
		if (r->ends[i].conf == c)
			return &r->ends[i];
	return NULL;
}

struct repl *rj_repl(struct rj_end *s, int64_t deadline, struct err *e)
{
	if (!s->repl)
		s->repl = repl_open(s->conf, NULL, deadline, e);
	return s->repl;
}

bool rj_by_gtid(const struct rejoin *r)
{
	return r->mode == TOPOLOGY_GTID_MYSQL || r->mode == TOPOLOGY_GTID_MARIADB;
}

int64_t rj_until(const struct run_io *io, int64_t ms)
{
	return clock_sooner(run_deadline(io), clock_in(ms));
}

static void set_refusal(struct err *e, const char *hint, const char *fmt, va_list ap)
{
	char text[700];

	vsnprintf(text, sizeof(text), fmt, ap);
	err_set(e, ERR_PRECOND, 0, "%s", text);
	err_hint(e, "%s", hint);
}

bool rj_refuse(struct err *e, const char *hint, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_refusal(e, hint, fmt, ap);
	va_end(ap);
	return false;
}

bool rj_object(
        struct rejoin *r, struct run_io *io, struct err *e, const char *hint, const char *fmt, ...)
{
	struct err why = { 0 };
	va_list ap;

	va_start(ap, fmt);
	set_refusal(&why, hint, fmt, ap);
	va_end(ap);
	if (r->o.force) {
		run_warn(io, "%s (forced)", why.text);
		return true;
	}
	if (e)
		*e = why;
	return false;
}

char *rj_variable(struct rj_end *s, const char *name, int64_t deadline, struct err *e)
{
	AUTO(free) char *sql = xasprintf("SELECT @@GLOBAL.%s", name);
	struct repl *r = rj_repl(s, deadline, e);
	struct db *db = r ? repl_db(r, deadline, e) : NULL;
	char *value = NULL;

	if (!db || !db_value(db, sql, &value, e))
		return NULL;
	return value ? value : xstrdup("");
}
