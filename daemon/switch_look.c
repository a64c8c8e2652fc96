/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * switch_look - phase 1: look at everything, refuse while writes go on.  Runs on: worker.
 */
#include "switch_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "db.h"
#include "hook.h"
#include "link.h"
#include "log.h"
#include "vars.h"

/*
 * What was killed before the new master opened is not gone on with: meanwhile everything may be
 * different, and clients have waited long enough.
 */
SW_STEP(sw_look_back)
{
	struct planned *p = ctx;

	(void)io;
	if (!p->resumed || p->past)
		return true;
	log_warning("A switch to %s was killed before that one took writes: writes are given back.",
	        p->fresh ? p->fresh->conf->hostinfo : "another master");
	return err_set(e, ERR_CANCELED, 0, "the switch before this one was killed");
}

/* ---- reading ---- */

static void keep(struct planned *p, struct snapshot *s, struct topology *t)
{
	election_free(TAKE(p->election));
	topology_free(p->topology);
	snapshot_free(p->snapshot);
	p->snapshot = s;
	p->topology = t;
	for (size_t i = 0; i < p->n; i++)
		p->servers[i].topo = topology_find(t, p->servers[i].conf);
}

static const char *mode_text(enum topology_mode m)
{
	return m == TOPOLOGY_GTID_MYSQL || m == TOPOLOGY_GTID_MARIADB ? "GTID" : "Non-GTID";
}

static bool has_roles(const struct planned *p, struct err *e)
{
	if (p->orig && p->fresh)
		return true;
	return sw_refuse(e, "bring it back into the file, and say it again",
	        "a server of the switch that was killed is not configured any more");
}

/* Taken up behind the point of no return the roles are known, and the picture may be of any shape. */
SW_STEP(sw_read)
{
	struct planned *p = ctx;
	const struct topology_opts o = { .max_delay = p->o.delay_limit_s };
	struct snapshot *s =
	        snapshot_take(p->conf, &(struct snapshot_opts){ .deadline = sw_until(io, 15000) });
	struct topology *t = topology_classify(s, &o);

	keep(p, s, t);
	if (p->past)
		return has_roles(p, e);
	if (!t->master || t->master->snap->state != SNAPSHOT_ALIVE) {
		const struct topology_finding *f = NULL;

		if (topology_stops(t, TOPOLOGY_STOPS_SWITCH, &f))
			return sw_refuse(e,
			        f->hint ? f->hint : "mhactl topology shows who follows whom", "%s",
			        f->text);
		return sw_refuse(e, "mhactl topology shows who follows whom",
		        "no living server can be called the master");
	}
	p->orig = sw_of(p, t->master->snap->conf);
	p->mode = t->mode;
	log_info("GTID failover mode = %d (%s)", topology_mha_mode(t->mode), mode_text(t->mode));
	log_info("Current Alive Master: %s", p->orig->conf->hostinfo);
	return true;
}

/* ---- reasons not to ---- */

/* Whoever is behind must be able to read who has what: broken slaves are mended first. */
static bool check_findings(const struct planned *p, struct err *e)
{
	const struct topology *t = p->topology;

	for (size_t i = 0; i < t->n_findings; i++) {
		const struct topology_finding *f = &t->findings[i];
		bool filters = f->code == TOPOLOGY_REPLICATE_FILTERS_DIFFER ||
		               f->code == TOPOLOGY_FILTERS_CONTRADICT;

		if ((f->stops & TOPOLOGY_STOPS_SWITCH) ||
		        (filters && f->severity == TOPOLOGY_ERROR))
			return sw_refuse(e, f->hint ? f->hint : "mhactl check repl shows all of it",
			        "%s", f->text);
	}
	if (t->master->snap->read_only == TRI_YES)
		return sw_refuse(e, "open it (SET GLOBAL read_only=0), or make it a slave by hand",
		        "the master %s is read-only: writes could not be given back to it",
		        p->orig->conf->hostinfo);
	return true;
}

/* A freeze waits for commits, which wait for acknowledgements. */
static bool check_semisync(struct planned *p, struct err *e)
{
	const struct snapshot_server *m = p->orig->topo->snap;

	p->semisync = m->semisync_source_enabled == TRI_YES;
	p->semisync_wait = m->semisync_wait_count;
	if (!p->semisync || m->semisync_source_on != TRI_YES || m->semisync_clients < 0)
		return true;
	if (m->semisync_clients >= (m->semisync_wait_count > 0 ? m->semisync_wait_count : 1))
		return true;
	return sw_refuse(e, "mend the slaves' semi-sync first, or switch it off on the master",
	        "%s waits for %lld semi-sync acknowledgements and has %lld slaves that give them: "
	        "commits hang, and stopping writes would too",
	        p->orig->conf->hostinfo, (long long)m->semisync_wait_count,
	        (long long)m->semisync_clients);
}

static bool is_filtered(const struct snapshot_channel *ch)
{
	for (int i = 0; ch && i < FILTER_COUNT; i++)
		if (ch->filter[i] && *ch->filter[i])
			return true;
	return false;
}

/* As a slave the old master would need the same filters, and those of servers nobody can set by replication. */
static bool check_filters(const struct planned *p, struct err *e)
{
	const struct snapshot_channel *ch = p->fresh->topo->channel;

	if (!p->orig->conf->check_repl_filter || !is_filtered(ch))
		return true;
	return sw_refuse(e, "take the filters away, or set check_repl_filter=0",
	        "%s replicates with filters, so it does not have all of %s's data",
	        p->fresh->conf->hostinfo, p->orig->conf->hostinfo);
}

SW_STEP(sw_check)
{
	struct planned *p = ctx;

	(void)io;
	if (p->past)
		return true;
	log_info("Checking replication health..");
	if (!check_findings(p, e) || !check_semisync(p, e))
		return false;
	log_info(" ok.");
	return true;
}

/* ---- who ---- */

static void find_roles(struct planned *p)
{
	for (size_t i = 0; i < p->n; i++) {
		struct sw_server *s = &p->servers[i];
		const struct topology_server *t = s->topo;

		s->is_slave = t && s != p->orig && s != p->fresh && t->is_slave &&
		              t->source == p->orig->topo && t->role != TOPOLOGY_UNMANAGED &&
		              t->snap->state == SNAPSHOT_ALIVE;
		s->by_current_pos =
		        t && t->channel && t->channel->using_gtid == USING_GTID_CURRENT_POS;
	}
	p->ring = p->orig->topo->channel && p->orig->topo->source == p->fresh->topo;
	p->fresh_was_open = p->fresh->topo->snap->read_only == TRI_NO;
}

static void log_election(const struct planned *p)
{
	const struct election *v = p->election;

	for (size_t i = 0; i < v->n; i++) {
		const struct elect_candidate *c = &v->all[i];

		log_info("  %s%s%s%s", c->server->snap->conf->hostinfo,
		        c->candidate ? " candidate master" : "", c->bad ? ", not eligible: " : "",
		        c->bad ? c->bad : "");
		if (c->note)
			log_info("    %s", c->note);
	}
}

static bool elect_one(struct planned *p, struct err *e)
{
	const struct elect_opts o = { .forced = p->o.new_master, .planned = true };

	log_info("Searching new master from slaves..");
	p->election = elect(p->topology, &o);
	log_election(p);
	if (p->election->chosen) {
		p->fresh = sw_of(p, p->election->chosen->snap->conf);
		return true;
	}
	log_error("None of existing slaves matches as a new master. Maybe preferred node is "
	          "misconfigured or all slaves are too far behind.");
	return sw_refuse(e, p->election->hint, "%s", p->election->refusal);
}

static bool check_password(const struct planned *p, struct err *e)
{
	const struct conf_server *m = p->fresh->conf;

	if (!p->o.orig_is_new_slave || p->ring || (m->repl_password && *m->repl_password))
		return true;
	return sw_refuse(e,
	        "set repl_user and repl_password, or switch without --orig_master_is_new_slave",
	        "%s cannot follow the new master: no repl_password is set, and as a master it has "
	        "none of its own",
	        p->orig->conf->hostinfo);
}

SW_STEP(sw_elect)
{
	struct planned *p = ctx;
	AUTO(free) char *trees = NULL;

	if (p->past)
		return true;
	if (!elect_one(p, e))
		return false;
	find_roles(p);
	if (!check_filters(p, e) || !check_password(p, e))
		return false;
	trees = switch_trees(p);
	log_info("%s", "");
	log_raw(trees, strlen(trees));
	log_info("Checking whether %s is ok for the new master..", p->fresh->conf->hostinfo);
	if (!sw_check_busy(p, io, e))
		return false;
	log_info(" ok.");
	return true;
}

/* ---- locks ---- */

static bool lock_one(struct planned *p, struct sw_server *s, struct run_io *io, struct err *e)
{
	(void)p;
	if (!s->lock)
		s->lock = repl_lock(s->conf, REPL_FAILOVER_LOCK, 0, run_deadline(io), e);
	return s->lock;
}

/* Whoever watches the master holds its lock; where he was told, that is as it should be. */
static bool lock_monitor(struct planned *p, struct run_io *io, struct err *e)
{
	struct err why = { 0 };

	if (p->o.watched || !p->orig->conf->advisory_lock)
		return true;
	p->monitor = repl_lock(p->orig->conf, REPL_MONITOR_LOCK, 0, run_deadline(io), &why);
	if (p->monitor)
		return true;
	if (e)
		*e = why;
	err_ctx(e, "another manager watches the master");
	return err_hint(e, "stop it first (masterha_stop, or mhactl pause where it is an mhad)");
}

SW_STEP(sw_lock)
{
	struct planned *p = ctx;

	log_info("Checking MHA is not monitoring or doing failover..");
	if (!lock_monitor(p, io, e))
		return false;
	if (sw_each_slave(p, io, lock_one, false, e) || !lock_one(p, p->fresh, io, e))
		return err_hint(
		        e, "a failover, another switch or purge_relay_logs may be running there");
	return true;
}

static bool locked_one(struct planned *p, struct sw_server *s, struct run_io *io, struct err *e)
{
	(void)p;
	return s->lock ? repl_lock_is_held(s->lock, run_deadline(io), e)
	               : err_set(e, ERR_PRECOND, 0, "the failover lock is not held");
}

SW_STEP(sw_locked)
{
	struct planned *p = ctx;

	return p->fresh && !sw_each_slave(p, io, locked_one, false, e) &&
	       locked_one(p, p->fresh, io, e);
}

SW_STEP(sw_unlock)
{
	struct planned *p = ctx;

	(void)io;
	(void)e;
	for (size_t i = 0; i < p->n; i++)
		repl_unlock(TAKE(p->servers[i].lock));
	repl_unlock(TAKE(p->monitor));
	return true;
}
