/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * switch_follow - behind the switch: the slaves and the old master follow, roles are set right.  Runs on:
 * worker.
 */
#include "switch_impl.h"
#include <stdlib.h>
#include "clock.h"
#include "conf_edit.h"
#include "db.h"
#include "log.h"

enum { FOLLOW_MS = 60000, UNLOCK_MS = 10000 };

/* ---- from where ---- */

/* A slave that named its master by address goes on to do so. */
static const char *name_for(const struct planned *p, const struct snapshot_channel *ch)
{
	const struct conf_server *m = p->fresh->conf;

	return ch && (str_is(ch->source_host, p->orig->conf->ip) || str_is(ch->source_host, m->ip))
	               ? m->ip
	               : m->hostname;
}

static enum repl_by by_of(const struct planned *p, const struct sw_server *s)
{
	if (p->mode == TOPOLOGY_GTID_MYSQL)
		return REPL_BY_AUTO;
	if (p->mode != TOPOLOGY_GTID_MARIADB)
		return REPL_BY_POSITION;
	return s->by_current_pos ? REPL_BY_CURRENT_POS : REPL_BY_SLAVE_POS;
}

/* `like`: whose options a channel that is made anew gets. */
static struct repl_source source_for(
        const struct planned *p, const struct sw_server *s, const struct snapshot_channel *like)
{
	const struct conf_server *m = p->fresh->conf;
	struct repl_source to = { .host = name_for(p, like),
		.port = (unsigned)m->port,
		.user = m->repl_user,
		.password = m->repl_password,
		.by = by_of(p, s),
		.like = like,
		.get_public_key = true,
		.was_source = s == p->orig };

	if (to.password && !*to.password)
		to.password = NULL;
	if (!to.password)
		to.user = NULL; /* it keeps both that it has */
	if (to.by == REPL_BY_POSITION) {
		to.file = p->position.file;
		to.pos = p->position.pos;
	}
	return to;
}

/* ---- the slaves ---- */

SW_WHEN(sw_has_slaves)
{
	const struct planned *p = ctx;

	for (size_t i = 0; i < p->n; i++)
		if (p->servers[i].is_slave)
			return true;
	return false;
}

static const struct snapshot_channel *own_channel(const struct sw_server *s)
{
	return s->topo ? s->topo->channel : NULL;
}

/* Killed since, it may be pointed already: then its positions are the new master's, and it was level before. */
static bool is_pointed(struct repl *r, const struct repl_source *to, int64_t deadline)
{
	struct repl_now now;

	return repl_look(r, deadline, &now, NULL) && now.is_replica &&
	       str_is(now.source_host, to->host) && now.source_port == to->port;
}

/* By GTIDs a slave asks the new master for what it lacks; by position it must lack nothing. */
static bool make_level(struct planned *p, struct sw_server *s, struct repl *r,
        const struct repl_source *to, int64_t deadline, struct err *e)
{
	if (s->level || sw_by_gtid(p) || (p->resumed && is_pointed(r, to, deadline)))
		return true;
	log_info(" Waiting to execute all relay logs on %s..", s->conf->hostinfo);
	if (!sw_wait_level(p, r, s, &p->end, deadline, e))
		return false;
	s->level = true;
	return true;
}

/* Only a manager whose machine lost power in the middle can have lost it. */
static bool is_place_known(const struct planned *p, struct err *e)
{
	return sw_by_gtid(p) || p->has_position ||
	       sw_refuse(e, "find the first transaction of the new master's own in its binlog",
	               "where in the new master's binlog the slaves have to begin was not noted");
}

static bool follow_one(struct planned *p, struct sw_server *s, struct run_io *io, struct err *e)
{
	struct repl_source to = source_for(p, s, own_channel(s));
	struct repl *r = sw_repl(s, sw_until(io, 10000), e);

	if (s->follows)
		return true;
	if (!is_place_known(p, e))
		return false;
	if (!s->lock) /* of a run that was killed they are gone */
		s->lock = repl_lock(s->conf, REPL_FAILOVER_LOCK, 0, sw_until(io, 5000), NULL);
	if (!r || !make_level(p, s, r, &to, sw_until(io, s->conf->catchup_timeout), e) ||
	        !repl_follow(r, &to, sw_until(io, FOLLOW_MS), e))
		return false;
	s->follows = true;
	log_info(" %s: Slave started, replicating from %s.", s->conf->hostinfo,
	        p->fresh->conf->hostinfo);
	return true;
}

SW_STEP(sw_slaves)
{
	return !sw_each_slave(ctx, io, follow_one, true, e);
}

static bool follows_one(struct planned *p, struct sw_server *s, struct run_io *io, struct err *e)
{
	struct repl_source to = source_for(p, s, own_channel(s));
	struct repl *r = sw_repl(s, sw_until(io, 10000), e);
	struct repl_now now;

	if (!s->follows)
		return r && repl_is_following(
		                    r, &to, sw_until(io, run_is_first_look(io) ? 300 : 10000), e);
	return r && repl_look(r, sw_until(io, 10000), &now, e) &&
	       ((now.is_replica && now.io == IO_YES && now.sql_running) ||
	               err_set(e, ERR_PRECOND, 0, "%s does not replicate any more: %s%s",
	                       s->conf->hostinfo, now.io_error, now.sql_error));
}

SW_STEP(sw_all_follow)
{
	return !sw_each_slave(ctx, io, follows_one, false, e);
}

/* ---- the old master ---- */

/* A session of ours that came meanwhile only reads, too: another one goes on. */
static bool release_transactions(struct planned *p, struct repl *r, int64_t deadline, struct err *e)
{
	if (!sw_free_transactions(p, r, deadline, e))
		return false;
	if (p->orig_super || !p->resumed)
		return true;
	repl_close(TAKE(p->orig->repl));
	repl_close(TAKE(p->orig->other));
	return sw_repl(p->orig, deadline, e);
}

/* It was refused writes until nobody was led to it any more; read_only stays. */
SW_STEP(sw_release)
{
	struct planned *p = ctx;
	int64_t deadline = sw_until(io, UNLOCK_MS);
	struct repl *r = sw_repl(p->orig, deadline, e);

	if (!r || !repl_set_read_only(r, true, deadline, e))
		return false;
	if (repl_tables_are_locked(r)) {
		log_info("Unlocking all tables on the orig master:");
		log_info("Executing UNLOCK TABLES..");
		if (!repl_unlock_tables(r, deadline, e))
			return false;
		log_info(" ok.");
	}
	return release_transactions(p, r, deadline, e);
}

SW_WHEN(sw_keeps_orig)
{
	const struct planned *p = ctx;

	return p->o.orig_is_new_slave && !p->ring;
}

/* Some slave's: all options that a channel has but the servers do not tell of a master. */
static const struct snapshot_channel *model(const struct planned *p)
{
	const struct snapshot_channel *ch = own_channel(p->fresh);

	for (size_t i = 0; !ch && i < p->n; i++)
		if (p->servers[i].is_slave)
			ch = own_channel(&p->servers[i]);
	return ch;
}

SW_STEP(sw_orig)
{
	struct planned *p = ctx;
	const struct snapshot_channel *like =
	        own_channel(p->orig) ? own_channel(p->orig) : model(p);
	struct repl_source to = source_for(p, p->orig, like);
	int64_t deadline = sw_until(io, FOLLOW_MS);
	struct repl *r = sw_repl(p->orig, deadline, e);

	log_info("Starting orig master as a new slave..");
	/* A slave whose source side waits for acknowledgements would hang in its own applier. */
	if (!r || !is_place_known(p, e) ||
	        !repl_set_semisync(r, TRI_NO, p->semisync ? TRI_YES : TRI_UNKNOWN, deadline, e) ||
	        !repl_follow(r, &to, deadline, e))
		return false;
	p->orig->follows = true;
	log_info(" %s: Slave started, replicating from %s.", p->orig->conf->hostinfo,
	        p->fresh->conf->hostinfo);
	return true;
}

SW_STEP(sw_orig_follows)
{
	struct planned *p = ctx;
	const struct snapshot_channel *like =
	        own_channel(p->orig) ? own_channel(p->orig) : model(p);
	struct repl_source to = source_for(p, p->orig, like);
	struct repl *r = sw_repl(p->orig, sw_until(io, 10000), e);

	p->orig->follows = r && repl_is_following(r, &to,
	                                sw_until(io, run_is_first_look(io) ? 300 : 10000), e);
	return p->orig->follows;
}

/* ---- roles ---- */

static int64_t ackers(const struct planned *p)
{
	int64_t n = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct sw_server *s = &p->servers[i];

		n += s->follows &&
		     (s == p->orig ||
		             (s->topo && s->topo->snap->semisync_replica_enabled == TRI_YES));
	}
	return n + (p->ring ? 1 : 0);
}

/* The number to wait for is the old master's, as far as there are so many to wait for. */
static void set_semisync(struct planned *p, struct run_io *io)
{
	int64_t deadline = sw_until(io, 10000), n = ackers(p), want = p->semisync_wait;
	struct repl *r = sw_repl(p->fresh, deadline, NULL);
	struct err why = { 0 };

	if (!p->semisync || !r)
		return;
	if (!n)
		run_warn(io, "no slave of %s acknowledges: it is asynchronous",
		        p->fresh->conf->hostinfo);
	if (want > n && n)
		run_warn(io,
		        "%s waits for %lld acknowledgements, not for %lld: there are no more to "
		        "be had",
		        p->fresh->conf->hostinfo, (long long)n, (long long)want);
	if ((want > 0 && n && !repl_set_semisync_wait(r, want < n ? want : n, deadline, &why)) ||
	        (n && !repl_set_semisync(r, TRI_YES, TRI_NO, deadline, &why)))
		run_warn(io, "semi-sync of %s: %s", p->fresh->conf->hostinfo, why.text);
	r = p->ring ? sw_repl(p->orig, deadline, NULL) : NULL;
	if (r && !repl_set_semisync(r, TRI_NO, TRI_YES, deadline, &why))
		run_warn(io, "semi-sync of %s: %s", p->orig->conf->hostinfo, why.text);
}

/* Switched on here, they are switched off on slaves as what comes from a master: also on the old one. */
static void set_events(struct planned *p, struct run_io *io)
{
	struct repl *r = sw_repl(p->fresh, sw_until(io, 5000), NULL);
	struct err why = { 0 };

	if (r && p->events.n &&
	        !repl_enable_events(r, &p->events, sw_until(io, 10000), &p->events_on, NULL, &why))
		run_warn(io, "events of the scheduler on %s: %s", p->fresh->conf->hostinfo,
		        why.text);
}

/* Its events are off once it has what was written on the new master; until then its scheduler stays off. */
static void set_scheduler(struct planned *p, struct run_io *io)
{
	int64_t deadline = sw_until(io, 10000);
	struct repl *r = sw_repl(p->orig, deadline, NULL), *m = sw_repl(p->fresh, deadline, NULL);
	struct repl_position now = { .pos = 0 };
	struct repl_events left = { .n = 1 };
	struct err why = { 0 };
	struct db *db;
	bool fine;

	if (!p->scheduler_was_on || !p->events.n)
		return;
	if (!p->orig->follows && !p->ring) {
		run_warn(io, "the event scheduler of %s stays off: its events would run on both",
		        p->orig->conf->hostinfo);
		return;
	}
	fine = r && m && repl_position(m, deadline, &now, &why) &&
	       sw_wait_level(p, r, p->orig, &now, deadline, &why) &&
	       repl_events(r, deadline, &left, &why);
	repl_position_done(&now);
	db = fine && !left.n ? repl_db(r, deadline, &why) : NULL;
	if (!db || !db_exec(db, "SET GLOBAL event_scheduler=ON", &why))
		run_warn(io, "the event scheduler of %s stays off: %s", p->orig->conf->hostinfo,
		        why.text[0] ? why.text : "its events are still switched on");
	if (fine)
		repl_events_done(&left);
}

static void set_token(struct planned *p, struct run_io *io)
{
	struct repl *r = sw_repl(p->fresh, sw_until(io, 5000), NULL);
	struct err why = { 0 };

	if (r && p->token && !repl_set_token(r, p->conf->name, p->token, sw_until(io, 5000), &why))
		run_warn(io, "the fencing token could not be stored on %s: %s",
		        p->fresh->conf->hostinfo, why.text);
}

SW_STEP(sw_role)
{
	struct planned *p = ctx;

	(void)e;
	set_semisync(p, io);
	set_token(p, io);
	set_events(p, io);
	set_scheduler(p, io);
	return true;
}

/* ---- the end ---- */

static bool has_left_out(const struct planned *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->servers[i].aside)
			return true;
	return false;
}

static void put_back_checkpoint(struct planned *p, struct run_io *io)
{
	int64_t deadline = sw_until(io, 5000);
	struct repl *r = p->checkpoint_was >= 0 ? sw_repl(p->fresh, deadline, NULL) : NULL;
	struct err why = { 0 };

	if (r && !sw_set_checkpoint(r, p->checkpoint_was, deadline, &why))
		run_warn(io, "the applier's checkpoint period of %s was %lld ms and is 1: %s",
		        p->fresh->conf->hostinfo, (long long)p->checkpoint_was, why.text);
}

static bool remove_orig(struct planned *p, struct err *e)
{
	bool removed = false;

	if (!p->o.remove_orig_conf || p->o.orig_is_new_slave || p->ring || has_left_out(p))
		return true;
	if (!conf_edit_remove_block(p->conf->path, p->orig->conf->id, &removed, e))
		return false;
	if (removed)
		log_info("Deleted %s entry from %s .", p->orig->conf->id, p->conf->path);
	return true;
}

SW_STEP(sw_cleanup)
{
	struct planned *p = ctx;

	put_back_checkpoint(p, io);
	sw_unlock(ctx, io, NULL);
	p->cleaned = remove_orig(p, e);
	return p->cleaned;
}

SW_STEP(sw_is_clean)
{
	const struct planned *p = ctx;

	(void)io;
	return p->cleaned || err_set(e, ERR_PRECOND, 0, "not tried");
}
