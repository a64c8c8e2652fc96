/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rejoin_follow - the server follows its master, and catches up.  Runs on: worker.
 */
#include <stdlib.h>
#include <unistd.h>
#include "clock.h"
#include "log.h"
#include "rejoin_impl.h"

enum { FOLLOW_MS = 60000, TELL_MS = 5000, LOOK_MS = 200 };

/* ---- following ---- */

/* A cluster whose slaves name their master by address goes on to do so. */
static const char *name_for(const struct rejoin *r)
{
	const struct conf_server *m = r->master->conf;

	return r->like && str_is(r->like->channel->source_host, m->ip) ? m->ip : m->hostname;
}

static struct repl_source source_of(const struct rejoin *r)
{
	const struct conf_server *m = r->master->conf;
	struct repl_source to = { .host = name_for(r),
		.port = (unsigned)m->port,
		.user = m->repl_user,
		.password = m->repl_password,
		.by = r->by,
		.like = r->like ? r->like->channel : NULL,
		.get_public_key = true,
		.was_source = true };

	if (!to.password || !*to.password)
		to.user = to.password = NULL;
	if (to.by == REPL_BY_POSITION) {
		to.file = r->start.file;
		to.pos = r->start.pos;
	}
	return to;
}

/* Before its receiver starts: it says then whether it acknowledges.  Waiting for others is a master's. */
static void take_role(struct rejoin *r, struct repl *x, struct run_io *io)
{
	struct err why = { 0 };
	bool used = (r->like && r->like->snap->semisync_replica_enabled == TRI_YES) ||
	            r->master->at->semisync_source_enabled == TRI_YES;

	if (!repl_set_semisync(x, TRI_NO, used ? TRI_YES : TRI_UNKNOWN, rj_until(io, 5000), &why))
		run_warn(io, "semi-sync of %s: %s", r->o.target->hostinfo, why.text);
}

RJ_STEP(rj_follow)
{
	struct rejoin *r = ctx;
	struct repl_source to = source_of(r);
	struct repl *x = rj_repl(r->target, rj_until(io, 10000), e);
	AUTO(free) char *text = NULL;

	if (!x)
		return false;
	r->acted = true;
	take_role(r, x, io);
	text = repl_change_text(repl_dialect(x), repl_channel(x), &to);
	log_info("%s", text);
	return repl_follow(x, &to, rj_until(io, FOLLOW_MS), e);
}

RJ_STEP(rj_follows)
{
	struct rejoin *r = ctx;
	struct repl_source to = source_of(r);
	struct repl *x = rj_repl(r->target, rj_until(io, 10000), e);

	return x && repl_is_following(x, &to, rj_until(io, run_is_first_look(io) ? 300 : 10000), e);
}

/* ---- catching up ---- */

struct aim {
	struct repl_position place; /* of the master when the wait began */
};

static bool is_there(
        struct rejoin *r, const struct aim *a, int64_t deadline, bool *ret, struct err *e)
{
	struct repl *x = rj_repl(r->target, deadline, e);
	struct repl_position own = { .pos = 0 };
	struct repl_now now;

	if (!x || !repl_look(x, deadline, &now, e))
		return false;
	if (!now.is_replica || !now.sql_running || (now.io == IO_NO))
		return err_set(e, ERR_PRECOND, now.sql_errno ? now.sql_errno : now.io_errno,
		        "replication of %s has stopped: %s%s", r->o.target->hostinfo, now.sql_error,
		        now.io_error);
	*ret = !rj_by_gtid(r) &&
	       snapshot_pos_cmp(now.exec_file, now.exec_pos, a->place.file, a->place.pos) >= 0;
	if (!rj_by_gtid(r))
		return true;
	if (!repl_position(x, deadline, &own, e)) {
		repl_position_done(&own);
		return false;
	}
	r->behind = gtid_set_count_missing(a->place.executed, own.executed);
	*ret = !r->behind;
	repl_position_done(&own);
	return true;
}

static bool wait_for(struct rejoin *r, const struct aim *a, struct run_io *io, struct err *e)
{
	int64_t told = clock_ms(), until = rj_until(io, r->o.target->catchup_timeout);
	bool there = false;

	while (is_there(r, a, clock_sooner(until, clock_in(10000)), &there, e)) {
		if (there)
			return true;
		if (clock_left(until) == 0 || run_is_canceled(io))
			return err_set(e, ERR_LOST, 0, "%s goes on to catch up by itself",
			        r->o.target->hostinfo);
		if (clock_ms() - told > TELL_MS) {
			told = clock_ms();
			log_info("%s still lacks %llu transactions.", r->o.target->hostinfo,
			        (unsigned long long)r->behind);
		}
		usleep(LOOK_MS * 1000);
	}
	return false;
}

RJ_STEP(rj_catch_up)
{
	struct rejoin *r = ctx;
	struct aim a = { .place = { .pos = 0 } };
	struct repl *m = rj_repl(r->master, rj_until(io, 10000), e);
	bool fine =
	        m && repl_position(m, rj_until(io, 10000), &a.place, e) && wait_for(r, &a, io, e);

	repl_position_done(&a.place);
	if (fine)
		log_info("%s has all that %s had.", r->o.target->hostinfo,
		        r->master->conf->hostinfo);
	return fine;
}
