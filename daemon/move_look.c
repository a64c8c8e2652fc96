/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * move_look - what is there, what speaks against it, and the locks.  Runs on: worker.
 */
#include "move_impl.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "clock.h"
#include "fan.h"
#include "log.h"
#include "str.h"

enum { LOCK_WAIT_MS = 1000 };

/* ---- reading ---- */

static void take_side(struct move *m, struct move_side *s)
{
	const struct topology_server *v = topology_find(m->topology, s->conf);

	s->is_slave = v && v->channel;
	if (s->is_slave)
		snprintf(s->channel, sizeof(s->channel), "%s", v->channel->name);
}

bool move_names(const struct repl_now *now, const struct conf_server *s)
{
	return now->is_replica && now->source_port == (unsigned)s->port &&
	       (!strcasecmp(now->source_host, s->hostname) || str_is(now->source_host, s->ip));
}

/* By the picture, which knows names and addresses of all kinds. */
static bool follows(const struct move *m, const struct move_side *s)
{
	return m->topo && m->topo->source && str_is(m->topo->source->snap->conf->id, s->conf->id);
}

MOVE_STEP(move_read)
{
	struct move *m = ctx;
	struct snapshot *s = snapshot_take(
	        m->conf, &(struct snapshot_opts){ .deadline = move_until(io, 15000) });

	topology_free(m->topology);
	snapshot_free(m->snapshot);
	m->snapshot = s;
	m->topology = topology_classify(s, NULL);
	m->topo = topology_find(m->topology, m->child.conf);
	take_side(m, &m->child);
	take_side(m, &m->from);
	take_side(m, &m->to);
	if (!m->topo || m->topo->snap->state != SNAPSHOT_ALIVE)
		return err_set(e, ERR_PRECOND, 0, "%s does not answer", m->child.conf->hostinfo);
	m->pointed = follows(m, &m->to);
	m->lost = !m->pointed && !follows(m, &m->from);
	return true;
}

/* ---- may it be? ---- */

/* In the same process it may have been that a hop before it has changed the tree. */
static bool is_as_asked(struct move *m, struct err *e)
{
	if (!m->lost && (m->resumed || !m->pointed))
		return true;
	err_set(e, ERR_PRECOND, 0, "%s follows %s, and not %s", m->child.conf->hostinfo,
	        m->topo->source_name ? m->topo->source_name : "nobody", m->from.conf->hostinfo);
	return err_hint(e, "mhactl topology shows who follows whom");
}

/* What clients write there stays there: where the slave stands is known all the same. */
static void warn_of_writers(struct move *m, struct run_io *io)
{
	const struct move_side *sides[] = { &m->from, &m->to };

	for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
		const struct topology_server *v = topology_find(m->topology, sides[i]->conf);

		if (v && v->tier > 0 && v->snap->read_only == TRI_NO)
			run_warn(io, "clients may write to %s, which is a slave: read_only is off",
			        sides[i]->conf->hostinfo);
	}
}

MOVE_STEP(move_check)
{
	struct move *m = ctx;
	const struct flatten_hop h = { m->topo, topology_find(m->topology, m->from.conf),
		topology_find(m->topology, m->to.conf), m->kind };
	AUTO(free) char *text = flatten_text(&h);
	struct err why = { .kind = ERR_NONE };
	bool force = false;

	if (!is_as_asked(m, e))
		return false;
	warn_of_writers(m, io);
	log_info("%s%s", m->resumed ? "Taken up: " : "", text);
	/* What a killed run has left stands still: that is no reason now. */
	if (m->resumed || flatten_may(&h, m->o.max_wait_ms, &force, &why))
		return true;
	if (force && m->o.force) {
		run_warn(io, "%s (forced)", why.text);
		return true;
	}
	if (e)
		*e = why;
	return false;
}

/* ---- locks ---- */

static bool lock_one(void *arg, size_t i, struct err *e)
{
	struct move_side **sides = arg;

	if (!sides[i]->lock)
		sides[i]->lock = repl_lock(
		        sides[i]->conf, REPL_FAILOVER_LOCK, LOCK_WAIT_MS, clock_in(5000), e);
	return sides[i]->lock && move_repl(sides[i], clock_in(5000), e);
}

/* The master is spared: purges and switches lock slaves, and so do failovers. */
static size_t to_lock(struct move *m, struct move_side *ret[3])
{
	size_t n = 0;

	ret[n++] = &m->child;
	if (m->from.is_slave)
		ret[n++] = &m->from;
	if (m->to.is_slave)
		ret[n++] = &m->to;
	return n;
}

MOVE_STEP(move_lock)
{
	struct move *m = ctx;
	struct move_side *sides[3];
	struct err errs[3];
	size_t n = to_lock(m, sides);

	(void)io;
	if (!fan_run(n, 0, lock_one, sides, errs))
		return true;
	for (size_t i = 0; i < n; i++) {
		if (errs[i].kind == ERR_NONE)
			continue;
		if (e)
			*e = errs[i];
		return err_hint(e, "a failover, switch, purge or other move may be running there");
	}
	return false;
}

MOVE_STEP(move_locked)
{
	struct move *m = ctx;
	struct move_side *sides[3];
	size_t n = to_lock(m, sides);

	for (size_t i = 0; i < n; i++)
		if (!sides[i]->lock)
			return err_set(e, ERR_PRECOND, 0, "the failover lock is not held on %s",
			        sides[i]->conf->hostinfo);
		else if (!repl_lock_is_held(sides[i]->lock, move_until(io, 5000), e))
			return false;
	return true;
}

MOVE_STEP(move_unlock)
{
	struct move *m = ctx;
	struct move_side *sides[] = { &m->child, &m->from, &m->to };

	(void)io;
	(void)e;
	for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
		repl_unlock(sides[i]->lock);
		sides[i]->lock = NULL;
	}
	return true;
}

/* ---- acknowledgements ---- */

MOVE_WHEN(move_is_here)
{
	const struct move *m = ctx;

	return !m->pointed;
}

/* On the way up the old source's own slaves matter to nobody while its applier stands still. */
MOVE_WHEN(move_is_acker)
{
	const struct move *m = ctx;
	const struct topology_server *from = topology_find(m->topology, m->from.conf);

	return !m->pointed && m->kind != FLATTEN_UP && from &&
	       from->snap->semisync_source_enabled == TRI_YES &&
	       m->topo->snap->semisync_replica_on == TRI_YES;
}

static bool ackers_left(struct move *m, int64_t deadline, int64_t *ret, struct err *e)
{
	struct repl *r = move_repl(&m->from, deadline, e);
	struct semisync_now now;

	if (!r || !semisync_read(r, deadline, &now, e))
		return false;
	*ret = now.clients > 0 ? now.clients - 1 : 0;
	return true;
}

/* With nobody left its waiting stays on: that was forced, and it falls back by itself. */
MOVE_STEP(move_acks)
{
	struct move *m = ctx;
	int64_t left, was = 0, deadline = move_until(io, 8000);

	if (!ackers_left(m, deadline, &left, e))
		return false;
	if (left > 0 && !semisync_meet_count(m->from.repl, left, deadline, &was, e))
		return false;
	if (!was) {
		run_untouched(io);
		return true;
	}
	m->count_was = was;
	run_note(io, "count_was", json_integer(was));
	run_warn(io, "%s waited for %lld acknowledgements: now for %lld, more cannot come",
	        m->from.conf->hostinfo, (long long)was, (long long)left);
	return true;
}

MOVE_STEP(move_acks_fit)
{
	struct move *m = ctx;
	struct semisync_now now;
	struct repl *r = move_repl(&m->from, move_until(io, 5000), e);

	if (!r || !semisync_read(r, move_until(io, 5000), &now, e))
		return false;
	return now.clients <= 1 || now.wait_count <= now.clients - 1 ||
	       err_set(e, ERR_PRECOND, 0, "%s still waits for %lld acknowledgements",
	               m->from.conf->hostinfo, (long long)now.wait_count);
}

MOVE_STEP(move_unacks)
{
	struct move *m = ctx;
	struct repl *r = m->count_was ? move_repl(&m->from, move_until(io, 5000), e) : NULL;

	return !m->count_was ||
	       (r && repl_set_semisync_wait(r, m->count_was, move_until(io, 5000), e));
}
