/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * failover_open - behind the point of no return: the new master opens, the slaves follow, marks are left.
 * Runs on: worker.
 */
#include "failover_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"
#include "conf_edit.h"
#include "flap.h"
#include "hook.h"
#include "log.h"
#include "semisync.h"
#include "str.h"

enum { HOOK_PROCEED = 10, FOLLOW_MS = 60000, ACKER_MS = 30000 };

/* ---- nobody's slave ---- */

FO_STEP(fo_detach)
{
	struct failover *f = ctx;
	struct repl *r = fo_repl(f->fresh, run_deadline(io), e);
	bool fine = r && repl_forget(r, fo_until(io, 25000), e);

	if (fine)
		fo_report(f, "%s: Resetting slave info succeeded.", f->fresh->conf->hostinfo);
	return fine;
}

FO_STEP(fo_is_detached)
{
	struct failover *f = ctx;
	struct repl *r = fo_repl(f->fresh, run_deadline(io), e);
	struct repl_now now;

	return r && repl_look(r, fo_until(io, 5000), &now, e) &&
	       (!now.is_replica ||
	               err_set(e, ERR_PRECOND, 0, "%s is still a slave of %s:%u",
	                       f->fresh->conf->hostinfo, now.source_host, now.source_port));
}

/* ---- open ---- */

/* It becomes the side that waits, if the cluster does such a thing: then its own receiver's side is off. */
static bool take_semisync_role(struct failover *f, struct repl *r, int64_t deadline, struct err *e)
{
	bool used = f->o.semisync || f->fresh->topo->snap->semisync_replica_enabled == TRI_YES;

	return !used || repl_set_semisync(r, TRI_YES, TRI_NO, deadline, e);
}

static bool open_it(struct failover *f, struct run_io *io, struct err *e)
{
	int64_t deadline = fo_until(io, 30000);
	struct repl *r = fo_repl(f->fresh, deadline, e);

	if (!r)
		return false;
	/* Waiting before there is anybody to acknowledge would hang the first commits. */
	if (f->fresh->conf->open_without_acker || !f->o.semisync)
		(void)!repl_set_semisync(r, TRI_NO, TRI_UNKNOWN, deadline, NULL);
	else if (!take_semisync_role(f, r, deadline, e))
		return false;
	if (f->o.skip_disable_read_only)
		return true;
	log_info("Setting read_only=0 on %s..", f->fresh->conf->hostinfo);
	return repl_set_read_only(r, false, deadline, e);
}

FO_STEP(fo_open)
{
	struct failover *f = ctx;

	if (!open_it(f, io, e))
		return false;
	f->opened = clock_ms();
	log_info("** Finished master recovery successfully.");
	return true;
}

FO_STEP(fo_is_open)
{
	struct failover *f = ctx;
	struct repl *r = fo_repl(f->fresh, run_deadline(io), e);
	bool on = true;

	if (f->o.skip_disable_read_only)
		return true;
	if (!r || !repl_read_only(r, fo_until(io, 5000), &on, NULL, e))
		return false;
	if (!on && !f->opened)
		f->opened = clock_ms();
	return !on || err_set(e, ERR_PRECOND, 0, "%s is read-only", f->fresh->conf->hostinfo);
}

/* ---- the service address ---- */

FO_STEP(fo_vip_on)
{
	struct failover *f = ctx;
	AUTO(hook) struct hook *h = hook_ip_failover_start(f->dead->conf, f->fresh->conf);
	struct err why = { 0 };
	char code[HOOK_CODE_MAX];

	if (!h) {
		log_warning(
		        "master_ip_failover_script is not set. Skipping enabling the new master "
		        "IP address.");
		return f->vip_on = true;
	}
	/* Nobody has it now, by the same script's word: it need not ask around for long. */
	if (f->vip_is_gone)
		hook_set_env(h, "MHAD_VIP_OFF", "yes");
	if (fo_call_hook(f, h, io, f->fresh->conf->hook_timeout, &why)) {
		f->vip_on = true;
		fo_report(f, "%s: OK: Activated master IP address.", f->fresh->conf->hostinfo);
		return true;
	}
	fo_report(f, "Failed to activate master IP address for %s with return code %s",
	        f->fresh->conf->hostinfo, hook_code(&why, code));
	if (hook_status(&why) == HOOK_PROCEED) {
		run_warn(io,
		        "Failed to activate master IP address for %s with return code 10:0. "
		        "Proceeding.",
		        f->fresh->conf->hostinfo);
		return f->vip_on = true;
	}
	if (e)
		*e = why;
	err_ctx(e, "the service address could not be given to %s", f->fresh->conf->hostinfo);
	return err_hint(e, "the new master is open: give it the address by hand");
}

FO_STEP(fo_vip_is_on)
{
	struct failover *f = ctx;

	(void)io;
	return f->vip_on || err_set(e, ERR_PRECOND, 0, "the script has not said so");
}

/* ---- the others ---- */

FO_WHEN(fo_has_slaves)
{
	struct failover *f = ctx;
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		n += fo_is_slave(&f->servers[i]) && &f->servers[i] != f->fresh;
	return n > 0;
}

/* A slave that named its master by address goes on to do so; one that was pointed already stays as it is. */
static const char *name_for(const struct failover *f, const struct fo_server *s)
{
	const struct snapshot_channel *ch = s->topo->channel; /* as slaves have */
	const struct conf_server *m = f->fresh->conf;

	return ch && (str_is(ch->source_host, f->dead->conf->ip) || str_is(ch->source_host, m->ip))
	               ? m->ip
	               : m->hostname;
}

static enum repl_by by_of(const struct failover *f, const struct fo_server *s)
{
	if (f->topology->mode == TOPOLOGY_GTID_MYSQL)
		return REPL_BY_AUTO;
	if (f->topology->mode != TOPOLOGY_GTID_MARIADB)
		return REPL_BY_POSITION;
	return s->by_current_pos ? REPL_BY_CURRENT_POS : REPL_BY_SLAVE_POS;
}

static struct repl_source source_for(const struct failover *f, const struct fo_server *s)
{
	const struct conf_server *m = f->fresh->conf;
	struct repl_source to = { .host = name_for(f, s),
		.port = (unsigned)m->port,
		.user = m->repl_user,
		.password = m->repl_password,
		.by = by_of(f, s),
		.like = s->topo->channel,
		.get_public_key = true };

	if (to.password && !*to.password)
		to.password = NULL;
	if (!to.password)
		to.user = NULL; /* the slave keeps both that it has */
	if (to.by == REPL_BY_POSITION) {
		to.file = f->position.file;
		to.pos = f->position.pos;
	}
	return to;
}

/* Nothing received may be lost by the CHANGE: all whole transactions are applied first. */
static bool finish_own(struct fo_server *s, int64_t deadline, struct err *e)
{
	struct repl *r = fo_repl(s, deadline, e);
	struct repl_now now;

	if (!r || !repl_look(r, deadline, &now, e))
		return false;
	if (!now.sql_running || now.delay > 0)
		return true; /* what it has not applied, the new master has logged: it comes again */
	return repl_wait_applied(r, NULL, deadline, e);
}

/*
 * Killed since, it may have been pointed already: then its positions are those of the new master, and it
 * was level before.
 */
static bool is_pointed(
        struct failover *f, struct fo_server *s, const struct repl_source *to, int64_t deadline)
{
	struct repl *r = run_was_resumed(f->run) ? fo_repl(s, deadline, NULL) : NULL;
	struct repl_now now;

	return r && repl_look(r, deadline, &now, NULL) && now.is_replica &&
	       str_is(now.source_host, to->host) && now.source_port == to->port;
}

static bool make_level(struct failover *f, struct fo_server *s, const struct repl_source *to,
        struct run_io *io, int64_t deadline, struct err *e)
{
	if (s->leveled || is_pointed(f, s, to, deadline))
		return true;
	if (fo_levels_all(f))
		return fo_level(f, s, io, e) && fo_is_even(f, s, io, e);
	return to->by == REPL_BY_AUTO || finish_own(s, deadline, e);
}

static bool follow_one(struct failover *f, struct fo_server *s, struct run_io *io, struct err *e)
{
	struct repl_source to = source_for(f, s);
	int64_t deadline = fo_until(io, s->conf->catchup_timeout);
	struct repl *r;

	if (s->follows)
		return true;
	if (!s->lock) /* of a run that was killed they are gone */
		s->lock = repl_lock(s->conf, REPL_FAILOVER_LOCK, 0, fo_until(io, 5000), NULL);
	if (!make_level(f, s, &to, io, deadline, e)) {
		s->leveled = false;
		return false;
	}
	s->leveled = true;
	if (f->o.skip_change_master)
		return true;
	r = fo_repl(s, deadline, e);
	if (!r || !repl_follow(r, &to, fo_until(io, FOLLOW_MS), e))
		return false;
	s->follows = true;
	if (s->semisync_source_was == TRI_YES)
		(void)!repl_set_semisync(r, TRI_NO, TRI_UNKNOWN, fo_until(io, 5000), NULL);
	return true;
}

static void report_slave(struct failover *f, const struct fo_server *s)
{
	const char *how = fo_by_gtid(f) ? "" : "Applying all logs succeeded. ";

	if (s->follows)
		fo_report(f, "%s: OK: %sSlave started, replicating from %s", s->conf->hostinfo, how,
		        f->fresh->conf->hostinfo);
	else if (!s->aside)
		fo_report(f, "%s: OK: Applying all logs succeeded.", s->conf->hostinfo);
	else if (s->uneven)
		fo_report(f, "%s: ERROR: %s", s->conf->hostinfo, s->why);
	else if (s->leveled)
		fo_report(f, "%s: WARN: Applying all logs succeeded. But starting slave failed.",
		        s->conf->hostinfo);
	else
		fo_report(f, "%s: ERROR: %s", s->conf->hostinfo,
		        fo_by_gtid(f) ? "Starting slave failed." : "Applying logs failed.");
}

FO_STEP(fo_slaves)
{
	struct failover *f = ctx;
	size_t failed;

	failed = fo_each_slave(f, io, f->fresh, follow_one, true, e);
	for (size_t i = 0; i < f->n; i++) {
		const struct fo_server *s = &f->servers[i];

		if (s != f->fresh && s != f->dead && s->topo && s->topo->tier == 1 &&
		        (fo_is_slave(s) || s->frozen))
			report_slave(f, s);
	}
	return !failed;
}

/* Who was seen to follow, for a while, needs one more look and no more. */
static bool still_follows(struct fo_server *s, struct repl *r, struct run_io *io, struct err *e)
{
	struct repl_now now;

	return repl_look(r, fo_until(io, 10000), &now, e) &&
	       ((now.is_replica && now.io == IO_YES && now.sql_running) ||
	               err_set(e, ERR_PRECOND, 0, "%s does not replicate any more: %s%s",
	                       s->conf->hostinfo, now.io_error, now.sql_error));
}

static bool follows_one(struct failover *f, struct fo_server *s, struct run_io *io, struct err *e)
{
	struct repl_source to = source_for(f, s);
	struct repl *r = fo_repl(s, run_deadline(io), e);

	if (f->o.skip_change_master)
		return true;
	if (s->follows)
		return r && still_follows(s, r, io, e);
	s->follows = r && repl_is_following(
	                          r, &to, fo_until(io, run_is_first_look(io) ? 300 : 10000), e);
	return s->follows;
}

FO_STEP(fo_all_follow)
{
	struct failover *f = ctx;

	return !fo_each_slave(f, io, f->fresh, follows_one, false, e);
}

/* ---- the rest ---- */

static void put_back(struct failover *f, struct run_io *io)
{
	for (size_t i = 0; i < f->n; i++) {
		struct fo_server *s = &f->servers[i];
		struct err why = { 0 };

		if (s == f->dead || !s->purge_was_on || s->aside || !s->topo || s->topo->is_dead)
			continue;
		if (!fo_repl(s, fo_until(io, 5000), &why) ||
		        !repl_set_relay_purge(s->repl, true, fo_until(io, 5000), &why))
			run_warn(io, "relay_log_purge of %s stays 0: %s", s->conf->hostinfo,
			        why.text);
	}
}

static int64_t semisync_slaves(const struct failover *f)
{
	int64_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		n += &f->servers[i] != f->fresh && f->servers[i].follows &&
		     f->servers[i].topo->snap->semisync_replica_enabled == TRI_YES;
	return n;
}

/* One slave fewer than before: what cannot come any more is not waited for. */
static void meet_count(struct failover *f, struct repl *r, struct run_io *io)
{
	int64_t n = semisync_slaves(f), was = 0;
	struct err why = { 0 };

	if (n && !semisync_meet_count(r, n, fo_until(io, 5000), &was, &why))
		run_warn(io, "semi-sync of %s: %s", f->fresh->conf->hostinfo, why.text);
	else if (was)
		run_warn(io,
		        "%s was to wait for %lld acknowledgements: now for %lld, more cannot come",
		        f->fresh->conf->hostinfo, (long long)was, (long long)n);
}

/* What the new master does as a master, now that its slaves are there. */
static void finish_role(struct failover *f, struct run_io *io)
{
	struct repl *r = fo_repl(f->fresh, fo_until(io, 10000), NULL);
	struct err why = { 0 };

	if (!r)
		return;
	if (semisync_slaves(f) && !take_semisync_role(f, r, fo_until(io, 5000), &why))
		run_warn(io, "semi-sync of %s: %s", f->fresh->conf->hostinfo, why.text);
	else if (f->o.semisync && !semisync_slaves(f))
		run_warn(io, "no slave of %s acknowledges: it is asynchronous",
		        f->fresh->conf->hostinfo);
	meet_count(f, r, io);
	if (f->o.skip_disable_read_only)
		return;
	if (!repl_enable_events(r, f->o.events, fo_until(io, 10000), &f->events, NULL, &why))
		run_warn(io, "events of the scheduler on %s: %s", f->fresh->conf->hostinfo,
		        why.text);
	else if (f->events && !f->o.events)
		run_warn(io,
		        "%d events of the scheduler were switched on on %s: all that replication "
		        "had "
		        "switched off, since nobody knows which of them ran on the old master",
		        f->events, f->fresh->conf->hostinfo);
	if (!repl_set_token(r, f->conf->name, f->token, fo_until(io, 5000), &why))
		run_warn(io, "the fencing token could not be stored on %s: %s",
		        f->fresh->conf->hostinfo, why.text);
}

static bool has_left_out(const struct failover *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->servers[i].aside)
			return true;
	return false;
}

static bool leave_marks(struct failover *f, struct err *e)
{
	const struct conf_server *first = f->conf->servers[0];
	struct flap_at at = { first->manager_workdir, f->conf->name, f->env.state_dir };
	bool removed = false;

	if (!flap_mark_complete(&at, e))
		return false;
	if (!f->o.remove_dead_conf || has_left_out(f))
		return true;
	if (!conf_edit_remove_block(f->conf->path, f->dead->conf->id, &removed, e))
		return false;
	if (removed)
		log_info("Deleted %s entry from %s .", f->dead->conf->id, f->conf->path);
	return true;
}

FO_STEP(fo_cleanup)
{
	struct failover *f = ctx;

	put_back(f, io);
	finish_role(f, io);
	fo_unlock(ctx, io, NULL);
	f->cleaned = leave_marks(f, e);
	return f->cleaned;
}

FO_STEP(fo_is_clean)
{
	struct failover *f = ctx;
	AUTO(free)
	char *path = xasprintf(
	        "%s/%s.failover.complete", f->conf->servers[0]->manager_workdir, f->conf->name);

	(void)io;
	if (!f->cleaned)
		return err_set(e, ERR_PRECOND, 0, "not tried");
	return access(path, F_OK) == 0 || err_sys(e, "%s", path);
}
