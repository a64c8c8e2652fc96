/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * switch - the table of steps, and a run's begin and end.  Runs on: loop.
 */
#include "switch_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "db.h"
#include "hook.h"
#include "hookline.h"
#include "journal.h"
#include "link.h"
#include "log.h"
#include "loop.h"

#define SECOND INT64_C(1000)

/*
 * The order is the safety of it.  From `freeze` to `open` nobody can write, so that only what must be lies
 * between them: no look at a disk, no new session, and no wait for the journal (the line of `freeze` is
 * synced and tells of all three).  The old master stays shut until nobody is led to it any more.
 */
static const struct run_step steps[] = {
	{ "look_back", .title = "see whether a switch was killed", .act = sw_look_back,
	        .budget_ms = 10 * SECOND },
	{ "read", "Phase 1: Configuration Check Phase", "read all servers", .act = sw_read,
	        .budget_ms = 20 * SECOND, .reads = true },
	{ "check", .title = "look for reasons not to switch", .act = sw_check,
	        .budget_ms = 20 * SECOND, .reads = true },
	{ "elect", .title = "choose the new master", .act = sw_elect, .budget_ms = 10 * SECOND,
	        .reads = true },
	{ "lock", .title = "take the locks of managers and failovers", .act = sw_lock,
	        .verify = sw_locked, .undo = sw_unlock, .budget_ms = 10 * SECOND },
	{ "flush", .title = "close tables, so that they are locked soon", .when = sw_may_flush,
	        .act = sw_flush, .budget_ms = 10 * SECOND, .on_fail = RUN_WARN },
	{ "sessions", .title = "open all sessions, note what is as it is", .act = sw_sessions,
	        .budget_ms = 20 * SECOND, .reads = true },
	{ "hosts", .title = "have sessions with the hosts ready for the script",
	        .when = sw_with_hook, .act = sw_hosts, .budget_ms = 10 * SECOND,
	        .on_fail = RUN_WARN, .reads = true, .beside = sw_any_time },
	{ "prepare", .title = "shut the new master", .act = sw_prepare, .verify = sw_is_prepared,
	        .undo = sw_unprepare, .budget_ms = 20 * SECOND, .changes = true },
	{ "near", .title = "see that the new master keeps up", .act = sw_near,
	        .budget_ms = 30 * SECOND, .reads = true },

	{ "stop_hook", "Phase 2: Rejecting updates Phase", "have the script stop the clients",
	        .when = sw_with_hook, .act = sw_stop_hook, .verify = sw_hook_said,
	        .undo = sw_back_hook, .budget_ms = 3600 * SECOND },
	{ "freeze", .title = "nobody writes to the old master any more", .when = sw_locks,
	        .act = sw_freeze, .verify = sw_is_frozen, .undo = sw_unfreeze,
	        .budget_ms = 20 * SECOND },
	{ "level", .title = "the new master has all of it", .act = sw_level,
	        .budget_ms = 20 * SECOND, .reads = true },

	{ "open", .title = "the new master takes writes", .act = sw_open, .verify = sw_is_open,
	        .budget_ms = 30 * SECOND, .quick = true, .no_return = true },
	{ "start_hook", .title = "have the script bring the clients to the new master",
	        .when = sw_with_hook, .act = sw_start_hook, .verify = sw_start_said,
	        .budget_ms = 3600 * SECOND, .on_fail = RUN_GO_ON, .beside = sw_any_time,
	        .quick = true },
	{ "clear", .title = "end the clients' sessions on the old master", .when = sw_locks,
	        .act = sw_clear, .budget_ms = 3600 * SECOND, .on_fail = RUN_WARN,
	        .beside = sw_any_time, .quick = true },
	{ "detach", .title = "the new master is nobody's slave any more", .when = sw_detaches,
	        .act = sw_detach, .verify = sw_is_detached, .budget_ms = 60 * SECOND,
	        .on_fail = RUN_GO_ON },
	{ "slaves", "Switching slaves in parallel", "the slaves follow the new master",
	        .when = sw_has_slaves, .act = sw_slaves, .verify = sw_all_follow,
	        .budget_ms = SECOND * 7 * 24 * 3600, .on_fail = RUN_GO_ON, .beside = sw_any_time },
	{ "release", .title = "unlock the old master, which stays read-only", .act = sw_release,
	        .budget_ms = 20 * SECOND, .on_fail = RUN_WARN },
	{ "orig", .title = "the old master follows the new one", .when = sw_keeps_orig,
	        .act = sw_orig, .verify = sw_orig_follows, .budget_ms = 120 * SECOND,
	        .on_fail = RUN_GO_ON },
	{ "role", .title = "semi-sync, events and the fencing token", .act = sw_role,
	        .budget_ms = 60 * SECOND, .on_fail = RUN_WARN },
	{ "cleanup", "Phase 5: New master cleanup phase", "put settings back, release locks",
	        .act = sw_cleanup, .verify = sw_is_clean, .budget_ms = 60 * SECOND,
	        .on_fail = RUN_GO_ON },
};

static const struct run_plan plan = { "switch", steps, ARRAY_LEN(steps) };

/* A dry run is what comes before the locks. */
static const struct run_step dry_steps[] = {
	{ "read", "Phase 1: Configuration Check Phase", "read all servers", .act = sw_read,
	        .budget_ms = 20 * SECOND, .reads = true },
	{ "check", .title = "look for reasons not to switch", .act = sw_check,
	        .budget_ms = 20 * SECOND, .reads = true },
	{ "elect", .title = "choose the new master", .act = sw_elect, .budget_ms = 10 * SECOND,
	        .reads = true },
};
static const struct run_plan dry_plan = { "switch", dry_steps, ARRAY_LEN(dry_steps) };

const struct run_plan *switch_plan(void)
{
	return &plan;
}

/* ---- begin ---- */

/* Only hooks need hosts: the sessions are warm when their time has come. */
static bool needs_links(const struct planned *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (hook_is_set(p->servers[i].conf->master_ip_online_change_script))
			return !p->o.dry && p->env.links;
	return false;
}

static void set_up_servers(struct planned *p)
{
	p->n = p->conf->n_servers;
	p->servers = xzalloc(sizeof(*p->servers) * (p->n + 1));
	for (size_t i = 0; i < p->n; i++)
		p->servers[i].conf = p->conf->servers[i];
	for (size_t i = 0; i < p->n && needs_links(p); i++) {
		struct sw_server *s = &p->servers[i];

		s->link = link_new(
		        p->env.links, s->conf, &(struct link_opts){ .priority = 0 }, NULL, NULL);
		s->door = link_door(s->link);
	}
}

static struct link *link_of(void *arg, const struct conf_server *c)
{
	struct sw_server *s = sw_of(arg, c);

	return s ? s->link : NULL;
}

static void close_server(struct sw_server *s)
{
	repl_close(s->repl);
	repl_close(s->other);
	repl_unlock(s->lock);
	link_door_free(s->door);
	link_free(s->link);
}

void switch_free(struct planned *p)
{
	if (!p)
		return;
	run_free(p->run);
	hookline_free(p->line);
	journal_close(p->journal);
	repl_unlock(p->monitor);
	for (size_t i = 0; i < p->n; i++)
		close_server(&p->servers[i]);
	free(p->servers);
	election_free(p->election);
	topology_free(p->topology);
	snapshot_free(p->snapshot);
	repl_events_done(&p->events);
	repl_position_done(&p->end);
	repl_position_done(&p->position);
	free(p->run_name);
	free(p);
}

static void on_done(void *arg, struct run *r, enum run_result result)
{
	struct planned *p = arg;

	p->run = r;
	sw_finish_report(p, result);
	p->done(p->arg, p, &p->report);
}

static json_t *facts_of(const struct planned *p)
{
	return json_pack("{s:b, s:b, s:b, s:s*}", "orig_is_new_slave", p->o.orig_is_new_slave,
	        "skip_lock", p->o.skip_lock, "remove_orig_conf", p->o.remove_orig_conf, "why",
	        p->o.why);
}

static bool is_switch(const json_t *lines)
{
	return str_is(
	        json_string_value(json_object_get(json_array_get(lines, 0), "plan")), "switch");
}

bool switch_is_unfinished(const char *state_dir, const char *cluster)
{
	struct journal *j = state_dir ? journal_open(state_dir, cluster, NULL) : NULL;
	bool is = j && journal_unfinished(j) && is_switch(journal_unfinished(j));

	journal_close(j);
	return is;
}

static bool take_journal(struct planned *p, struct err *e)
{
	const json_t *old;

	if (!p->env.state_dir || p->o.dry)
		return true;
	p->journal = journal_open(p->env.state_dir, p->conf->name, e);
	old = p->journal ? journal_unfinished(p->journal) : NULL;
	if (!old || is_switch(old))
		return p->journal;
	err_set(e, ERR_PRECOND, 0, "a failover of %s was begun and not finished", p->conf->name);
	return err_hint(e, "take that one up first: mhactl failover %s", p->conf->name);
}

struct planned *switch_start(const struct switch_env *env, const struct conf *c,
        const struct switch_opts *o, switch_done_fn done, void *arg, struct err *e)
{
	struct planned *p = xzalloc(sizeof(*p));

	p->env = *env;
	p->o = *o;
	p->conf = c;
	p->done = done;
	p->arg = arg;
	p->checkpoint_was = -1;
	if (!take_journal(p, e)) {
		switch_free(p);
		return NULL;
	}
	p->run_name = journal_run_name();
	set_up_servers(p);
	if (needs_links(p))
		p->line = hookline_new(env->loop, c, link_of, p, NULL);
	p->run = run_start(o->dry ? &dry_plan : &plan,
	        &(struct run_opts){ .loop = env->loop,
	                .jobs = env->jobs,
	                .journal = p->journal,
	                .run = p->run_name,
	                .cluster = c->name,
	                .facts = facts_of(p),
	                .done = on_done,
	                .arg = p },
	        p, sw_restore);
	return p;
}

void switch_cancel(struct planned *p, const char *why)
{
	run_cancel(p->run, why);
}

const struct conf_server *switch_orig(const struct planned *p)
{
	return p->orig ? p->orig->conf : NULL;
}

const struct conf_server *switch_fresh(const struct planned *p)
{
	return p->fresh ? p->fresh->conf : NULL;
}

/* ---- what the steps share ---- */

struct sw_server *sw_of(const struct planned *p, const struct conf_server *c)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->servers[i].conf == c)
			return &p->servers[i];
	return NULL;
}

struct sw_server *sw_named(const struct planned *p, const char *id)
{
	for (size_t i = 0; id && i < p->n; i++)
		if (str_is(p->servers[i].conf->id, id))
			return &p->servers[i];
	return NULL;
}

bool sw_by_gtid(const struct planned *p)
{
	return p->mode == TOPOLOGY_GTID_MYSQL || p->mode == TOPOLOGY_GTID_MARIADB;
}

void sw_set_aside(struct sw_server *s, struct run_io *io, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->why, sizeof(s->why), fmt, ap);
	va_end(ap);
	s->aside = true;
	run_warn(io, "%s is left to a person: %s", s->conf->hostinfo, s->why);
}

bool sw_refuse(struct err *e, const char *hint, const char *fmt, ...)
{
	char text[700];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err_set(e, ERR_PRECOND, 0, "%s", text);
	return err_hint(e, "%s", hint);
}

int64_t sw_until(const struct run_io *io, int64_t ms)
{
	return clock_sooner(run_deadline(io), clock_in(ms));
}

static const char *channel_of(const struct sw_server *s)
{
	return s->topo && s->topo->channel ? s->topo->channel->name : NULL;
}

static struct repl *open_session(
        struct sw_server *s, uint64_t *ret_id, int64_t deadline, struct err *e)
{
	struct repl *r = repl_open(s->conf, channel_of(s), deadline, e);
	struct db *db = r ? repl_db(r, deadline, NULL) : NULL;

	*ret_id = db ? db_connection_id(db) : 0;
	return r;
}

struct repl *sw_repl(struct sw_server *s, int64_t deadline, struct err *e)
{
	if (!s->repl)
		s->repl = open_session(s, &s->ids[0], deadline, e);
	return s->repl;
}

struct repl *sw_other(struct sw_server *s, int64_t deadline, struct err *e)
{
	if (!s->other)
		s->other = open_session(s, &s->ids[1], deadline, e);
	return s->other;
}

struct each {
	struct planned *p;
	struct run_io *io;
	sw_each_fn fn;
	struct sw_server **items;
};

static bool each_one(void *arg, size_t i, struct err *e)
{
	struct each *a = arg;

	return a->fn(a->p, a->items[i], a->io, e);
}

size_t sw_each_slave(
        struct planned *p, struct run_io *io, sw_each_fn fn, bool set_aside, struct err *e)
{
	AUTO(free) struct sw_server **items = xzalloc(sizeof(*items) * (p->n + 1));
	AUTO(free) struct err *errs = xzalloc(sizeof(*errs) * (p->n + 1));
	struct each a = { p, io, fn, items };
	size_t n = 0, failed;
	bool first = true;

	for (size_t i = 0; i < p->n; i++)
		if (p->servers[i].is_slave && !p->servers[i].aside)
			items[n++] = &p->servers[i];
	failed = fan_run(n, 0, each_one, &a, errs);
	for (size_t i = 0; i < n && failed; i++) {
		if (errs[i].kind == ERR_NONE)
			continue;
		err_at(&errs[i], items[i]->conf->hostinfo);
		if (set_aside)
			sw_set_aside(items[i], io, "%s", errs[i].text);
		if (first && e)
			*e = errs[i];
		first = false;
	}
	return failed;
}

SW_WHEN(sw_any_time)
{
	(void)ctx;
	return true;
}

/* ---- hooks ---- */

bool sw_has_hook(const struct planned *p)
{
	return p->fresh && hook_is_set(p->fresh->conf->master_ip_online_change_script);
}

SW_WHEN(sw_with_hook)
{
	return sw_has_hook(ctx);
}

/*
 * The shipped script leaves the address on the old master until `start`: it refuses writes and ends
 * sessions meanwhile, so that clients hear of it, while packets for an address that is nobody's get no
 * answer at all.
 */
static void set_facts(const struct planned *p, struct hook *h)
{
	AUTO(free) char *token = xasprintf("%llu", (unsigned long long)p->token);

	hook_set_env(h, "MHAD_CLUSTER", p->conf->name);
	hook_set_env(h, "MHAD_RUN", p->run_name);
	hook_set_env(h, "MHAD_SWITCH", p->o.skip_lock ? "unlocked" : "frozen");
	if (p->token)
		hook_set_env(h, "MHAD_TOKEN", token);
}

bool sw_call_hook(struct planned *p, struct hook *h, struct run_io *io, struct err *e)
{
	AUTO_STR struct str out = STR_INIT;
	AUTO(free) char *text = hook_text(h);
	bool fine;

	set_facts(p, h);
	if (p->line)
		hookline_equip(p->line, h);
	log_info("  %s", text);
	fine = hook_run(h, sw_until(io, p->fresh->conf->hook_timeout), &out, e);
	if (out.len)
		log_raw(out.p, out.len);
	if (fine)
		log_info(" ok.");
	return fine;
}
