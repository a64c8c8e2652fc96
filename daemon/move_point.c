/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * move_point - the slave gets its new source, all go on, and semi-sync fits.  Runs on: worker.
 */
#include "move_impl.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "log.h"
#include "str.h"

enum { CONNECT_MS = 30000, REGISTER_MS = 5000, AGAIN_MS = 20 };

/* ---- which source ---- */

/* A slave that named its source by address goes on to do so. */
static const char *name_for(const struct move *m, const struct conf_server *s)
{
	const struct snapshot_channel *ch = m->topo->channel;

	return ch && (str_is(ch->source_host, m->from.conf->ip) ||
	                     str_is(ch->source_host, m->to.conf->ip))
	               ? s->ip
	               : s->hostname;
}

static enum repl_by by_of(const struct move *m)
{
	const struct snapshot_channel *ch = m->topo->channel;

	if (m->kind != FLATTEN_GTID)
		return REPL_BY_POSITION;
	if (ch->auto_position)
		return REPL_BY_AUTO;
	return ch->using_gtid == USING_GTID_CURRENT_POS ? REPL_BY_CURRENT_POS : REPL_BY_SLAVE_POS;
}

static struct repl_source source_of(
        const struct move *m, const struct conf_server *s, const struct move_place *at)
{
	struct repl_source to = { .host = name_for(m, s),
		.port = (unsigned)s->port,
		.user = s->repl_user,
		.password = s->repl_password,
		.by = by_of(m),
		.file = at->file,
		.pos = at->pos,
		.like = m->topo->channel,
		.get_public_key = true };

	if (to.password && !*to.password)
		to.password = NULL;
	if (!to.password)
		to.user = NULL; /* it keeps both that it has */
	return to;
}

/* ---- point ---- */

static bool look_at_child(struct move *m, struct run_io *io, struct repl_now *ret, struct err *e)
{
	struct repl *r = move_repl(&m->child, move_until(io, 5000), e);

	return r && repl_look(r, move_until(io, 5000), ret, e);
}

MOVE_STEP(move_point)
{
	struct move *m = ctx;
	struct repl_source to = source_of(m, m->to.conf, &m->place);
	struct repl *r = move_repl(&m->child, run_deadline(io), e);

	if (m->pointed)
		return true;
	to.leave_stopped = true;
	m->pointed = r && repl_follow(r, &to, run_deadline(io), e);
	return m->pointed;
}

/* By position also: from where was proved, or, taken up, from beyond. */
MOVE_STEP(move_is_pointed)
{
	struct move *m = ctx;
	struct repl_now now;

	if (!look_at_child(m, io, &now, e))
		return false;
	if (!move_names(&now, m->to.conf) && !(m->resumed && m->pointed))
		return err_set(e, ERR_PRECOND, 0, "%s follows %s:%u", m->child.conf->hostinfo,
		        now.is_replica ? now.source_host : "nobody", now.source_port);
	m->pointed = true;
	return m->kind == FLATTEN_GTID ||
	       snapshot_pos_cmp(now.read_file, now.read_pos, m->place.file, m->place.pos) >= 0 ||
	       err_set(e, ERR_PRECOND, 0, "%s begins at %s:%llu", m->child.conf->hostinfo,
	               now.read_file, (unsigned long long)now.read_pos);
}

/* What it has executed since, its old source's binlog has elsewhere: there is no way back then. */
static bool is_untouched(struct move *m, const struct repl_now *now, struct err *e)
{
	if (m->kind == FLATTEN_GTID || move_is_at(now->exec_file, now->exec_pos, &m->place))
		return true;
	err_set(e, ERR_PRECOND, now->sql_errno,
	        "%s has executed up to %s:%llu of its new source: it stays there (%s%s)",
	        m->child.conf->hostinfo, now->exec_file, (unsigned long long)now->exec_pos,
	        now->io_error, now->sql_error);
	return err_hint(e, "see what its replication complains about: mhactl topology");
}

MOVE_STEP(move_unpoint)
{
	struct move *m = ctx;
	struct repl_source back = source_of(m, m->from.conf, &m->back);
	int64_t deadline = run_deadline(io);
	struct repl *r = move_repl(&m->child, deadline, e);
	struct repl_now now;

	if (!r || !repl_look(r, deadline, &now, e))
		return false;
	if (!move_names(&now, m->to.conf))
		return true;
	if (!move_stop_both(&m->child, deadline, e) || !repl_look(r, deadline, &now, e))
		return false;
	if (!is_untouched(m, &now, e)) {
		(void)!move_start_both(&m->child, deadline, NULL);
		return false;
	}
	back.leave_stopped = true;
	if (!repl_follow(r, &back, deadline, e))
		return false;
	m->pointed = false;
	return move_start_both(&m->child, deadline, e);
}

/* ---- go on ---- */

/* Whose slaves acknowledge, the one that leaves left out. */
static int64_t ackers_of(const struct move *m, const struct conf_server *s)
{
	int64_t n = 0;

	for (size_t i = 0; i < m->topology->n_servers; i++) {
		const struct topology_server *v = &m->topology->servers[i];

		n += v != m->topo && v->source && v->source->snap->conf == s &&
		     v->snap->semisync_replica_on == TRI_YES;
	}
	return n;
}

/*
 * An applier on a server that waits for acknowledgements, with nobody left to give one, stalls: it is
 * switched off before that goes on.
 */
static bool free_old_source(struct move *m, struct run_io *io, struct err *e)
{
	const struct topology_server *v = topology_find(m->topology, m->from.conf);
	int64_t deadline = move_until(io, 10000), was = 0, left = ackers_of(m, m->from.conf);
	struct repl *r;

	if (!v || v->snap->semisync_source_enabled != TRI_YES || !m->from.is_slave)
		return true;
	r = move_repl(&m->from, deadline, e);
	if (!r || !semisync_meet_count(r, left, deadline, &was, e))
		return false;
	if (was && !left) {
		m->source_was_on = true;
		run_note(io, "source_was_on", json_true());
		log_info("%s does not wait for acknowledgements any more: it has no slave that "
		         "gives one.",
		        m->from.conf->hostinfo);
	}
	return true;
}

MOVE_STEP(move_resume)
{
	struct move *m = ctx;
	struct move_side *still = move_still(m);

	if (!free_old_source(m, io, e))
		return false;
	if (still && !move_start_both(still, move_until(io, 20000), e))
		return false;
	if (m->stood_since)
		m->stood_ms = clock_ms() - m->stood_since;
	return true;
}

MOVE_STEP(move_resumed)
{
	struct move *m = ctx;
	struct move_side *still = move_still(m);
	struct repl *r = still ? move_repl(still, move_until(io, 5000), e) : NULL;
	struct repl_now now;

	if (!still)
		return true;
	if (!r || !repl_look(r, move_until(io, 5000), &now, e))
		return false;
	return !now.is_replica || (now.sql_running && now.io != IO_NO) ||
	       err_set(e, ERR_PRECOND, 0, "%s does not replicate: %s%s", still->conf->hostinfo,
	               now.io_error, now.sql_error);
}

/* Its slave will be back in a moment. */
MOVE_STEP(move_unresume)
{
	struct move *m = ctx;
	struct repl *r = m->source_was_on ? move_repl(&m->from, move_until(io, 5000), e) : NULL;

	return !m->source_was_on ||
	       (r && repl_set_semisync(r, TRI_YES, TRI_UNKNOWN, move_until(io, 5000), e));
}

/* ---- follow ---- */

/* Below a master that waits it acknowledges, if it can: it says so when it connects. */
static bool set_acker(struct move *m, struct run_io *io, struct err *e)
{
	const struct topology_server *to = topology_find(m->topology, m->to.conf);
	int64_t deadline = move_until(io, 10000);
	struct repl *r = move_repl(&m->child, deadline, e);

	if (!to || to->snap->semisync_source_enabled != TRI_YES ||
	        m->topo->snap->semisync_replica_enabled != TRI_NO || m->child.conf->no_master)
		return r;
	m->replica_was_off = true;
	run_note(io, "replica_was_off", json_true());
	return r && repl_set_semisync(r, TRI_UNKNOWN, TRI_YES, deadline, e);
}

MOVE_STEP(move_follow)
{
	struct move *m = ctx;

	return set_acker(m, io, e) && move_start_both(&m->child, move_until(io, 20000), e);
}

/* The name in its channel is compared to itself: that it is the new source was seen. */
MOVE_STEP(move_follows)
{
	struct move *m = ctx;
	struct repl *r = move_repl(&m->child, run_deadline(io), e);
	struct repl_source to = source_of(m, m->to.conf, &m->place);
	int64_t deadline = move_until(io, run_is_first_look(io) ? 300 : CONNECT_MS);
	struct repl_now now;

	if (!r || !repl_look(r, deadline, &now, e))
		return false;
	if (now.is_replica) {
		to.host = now.source_host;
		to.port = now.source_port;
	}
	return repl_is_following(r, &to, deadline, e);
}

MOVE_STEP(move_unfollow)
{
	struct move *m = ctx;
	int64_t deadline = run_deadline(io);

	return move_stop_both(&m->child, deadline, e) &&
	       (!m->replica_was_off ||
	               repl_set_semisync(m->child.repl, TRI_UNKNOWN, TRI_NO, deadline, e));
}

/* ---- semi-sync ---- */

static bool read_until_registered(struct move *m, struct run_io *io, struct semisync_now *ret_child,
        struct semisync_now *ret_to, struct err *e)
{
	int64_t end = move_until(io, REGISTER_MS);
	struct repl *child = move_repl(&m->child, end, e);
	struct repl *to = child ? move_repl(&m->to, end, e) : NULL;

	if (!to)
		return false;
	for (;;) {
		if (!semisync_read(child, run_deadline(io), ret_child, e) ||
		        !semisync_read(to, run_deadline(io), ret_to, e))
			return false;
		if (!ret_to->source_enabled || !ret_child->replica_enabled ||
		        ret_child->replica_on || clock_left(end) == 0)
			return true;
		poll(NULL, 0, AGAIN_MS);
	}
}

MOVE_STEP(move_roles)
{
	struct move *m = ctx;
	const char *repair = "mhactl semisync repair";
	struct semisync_now child, to;

	if (!read_until_registered(m, io, &child, &to, e))
		return false;
	if (to.source_enabled && child.replica_enabled && !child.replica_on)
		run_warn(io, "%s does not acknowledge to %s: %s %s", m->child.conf->hostinfo,
		        m->to.conf->hostinfo, repair, m->conf->name);
	if (to.source_enabled && to.clients >= 0 && to.clients < to.wait_count)
		run_warn(io, "%s waits for %lld acknowledgements, and %lld can come: %s %s",
		        m->to.conf->hostinfo, (long long)to.wait_count, (long long)to.clients,
		        repair, m->conf->name);
	return true;
}
