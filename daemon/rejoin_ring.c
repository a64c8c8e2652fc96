/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rejoin_ring - double masters: the old one is a slave again, and the new one follows it as before.  Runs on: worker.
 *
 * What a returned master did by itself must not come back through the ring.  Who went through all of a rejoin is
 * proven; who was found replicating is so by its GTIDs only, which move_ring looks at: without them nothing says
 * what its binlog has in the middle, and a person closes the ring.
 */
#include "clock.h"
#include "log.h"
#include "move_ring.h"
#include "rejoin_impl.h"

enum { RING_MS = 60000, LOCK_WAIT_MS = 1000 };

static bool is_pair(const struct rejoin *r)
{
	return r->master && r->master->conf != r->o.target && r->o.target->double_master &&
	       r->master->conf->double_master;
}

/* As the master was when all began. */
static bool is_whole(const struct rejoin *r)
{
	const struct snapshot_server *m = r->master->at;
	const struct conf_server *x = r->o.target;

	for (size_t i = 0; m && i < m->n_channels; i++) {
		const struct snapshot_channel *ch = &m->channels[i];

		if (ch->source_port == (unsigned)x->port &&
		        (str_is(ch->source_host, x->hostname) || str_is(ch->source_host, x->ip)))
			return ch->io_running == IO_YES && ch->sql_running;
	}
	return false;
}

RJ_WHEN(rj_will_close_ring)
{
	const struct rejoin *r = ctx;

	return is_pair(r) && (r->acted || !is_whole(r));
}

static bool close_ring(struct rejoin *r, int64_t deadline, struct err *e)
{
	const struct snapshot_opts o = { .deadline = deadline };
	AUTO(snapshot) struct snapshot *s = NULL;
	AUTO(topology) struct topology *t = NULL;
	const struct topology_server *co;
	AUTO(repl_lock)
	struct repl_lock *l =
	        repl_lock(r->master->conf, REPL_FAILOVER_LOCK, LOCK_WAIT_MS, deadline, e);

	if (!l)
		return false;
	s = snapshot_take(r->conf, &o);
	t = topology_classify(s, NULL);
	co = topology_find(t, r->o.target);
	if (!t->master || t->master->snap->conf != r->master->conf || !co)
		return err_set(e, ERR_PRECOND, 0, "%s is not seen to be the master",
		        r->master->conf->hostinfo);
	return move_ring_close(t, co, deadline, e);
}

/* Replicating by position, its log may have anything in the middle. */
static bool is_proven(struct rejoin *r, struct err *e)
{
	if (rj_has_work(r) || rj_by_gtid(r))
		return true;
	err_set(e, ERR_PRECOND, 0,
	        "%s replicated already, and without GTIDs nothing proves that it wrote nothing "
	        "itself",
	        r->o.target->hostinfo);
	return err_hint(e, "if you know that it did not: mhactl ring close --with=%s",
	        r->o.target->hostname);
}

RJ_STEP(rj_ring)
{
	struct rejoin *r = ctx;
	const struct conf_server *m = r->master->conf, *x = r->o.target;

	if (!is_proven(r, e) || !close_ring(r, rj_until(io, RING_MS), e))
		return err_ctx(e, "the ring of %s and %s stays open", m->hostinfo, x->hostinfo);
	log_info("%s and %s follow each other.", m->hostinfo, x->hostinfo);
	return true;
}

RJ_STEP(rj_ring_is_closed)
{
	struct rejoin *r = ctx;
	const struct conf_server *x = r->o.target;
	struct repl *m = rj_repl(r->master, rj_until(io, 5000), e);
	struct repl_now now;

	return m && repl_look(m, rj_until(io, 5000), &now, e) &&
	       ((now.is_replica && now.io == IO_YES && now.sql_running &&
	                now.source_port == (unsigned)x->port &&
	                (str_is(now.source_host, x->hostname) || str_is(now.source_host, x->ip))) ||
	               err_set(e, ERR_PRECOND, 0, "%s does not follow %s",
	                       r->master->conf->hostinfo, x->hostinfo));
}
