/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * move_level - two servers stand still at one same place, and that is shown.  Runs on: worker.
 */
#include "move_impl.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "channel.h"
#include "clock.h"
#include "db.h"
#include "log.h"
#include "str.h"

enum {
	AGAIN_MS = 10,
	SOURCE_EVERY_MS = 1000, /* between two looks whether the master is there */
	NUDGE_MS = 200, /* an applier that has reached its place may not notice without an event */
	LOOK_MS = 10000,
};

static void nap(void)
{
	poll(NULL, 0, AGAIN_MS);
}

/* ---- stop ---- */

static bool keeps_commit_order(struct repl *r, int64_t deadline, bool *ret, struct err *e)
{
	struct db *db = repl_db(r, deadline, e);
	AUTO(db_result)
	struct db_result *res =
	        db ? db_query(db,
	                     "SHOW GLOBAL VARIABLES WHERE Variable_name IN "
	                     "('slave_preserve_commit_order', 'replica_preserve_commit_order')",
	                     e)
	           : NULL;

	*ret = res && db_rows(res) && str_is(db_get(res, 0, "Value"), "ON");
	return res;
}

/*
 * A parallel applier that commits out of order leaves gaps behind its position when it is stopped: without
 * these the position is the whole truth.
 */
static bool stop_applier(struct move *m, struct move_side *s, struct run_io *io, struct err *e)
{
	const struct topology_server *v = topology_find(m->topology, s->conf);
	int64_t deadline = move_until(io, 50000);
	struct repl *r = move_repl(s, deadline, e);
	bool ordered;

	if (!r || !repl_stop_sql(r, deadline, e))
		return false;
	if (repl_is_mariadb(r) || !v || v->snap->parallel_workers < 1)
		return true;
	return keeps_commit_order(r, deadline, &ordered, e) &&
	       (ordered || repl_fill_gaps(r, deadline, e));
}

MOVE_STEP(move_stop)
{
	struct move *m = ctx;

	m->stopped = true;
	m->stood_since = clock_ms();
	switch (m->kind) {
	case FLATTEN_UP: return stop_applier(m, &m->from, io, e);
	case FLATTEN_DOWN:
		return stop_applier(m, &m->to, io, e) && stop_applier(m, &m->child, io, e);
	case FLATTEN_GTID: break;
	}
	return move_stop_both(&m->child, move_until(io, 50000), e);
}

/* By GTIDs an error that the stop itself has made does not matter: all is received anew. */
static bool is_stopped(struct move_side *s, bool both, int64_t deadline, struct err *e)
{
	struct repl *r = move_repl(s, deadline, e);
	struct repl_now now;

	if (!r || !repl_look(r, deadline, &now, e))
		return false;
	if (now.sql_running || (both && now.io != IO_NO))
		return err_set(e, ERR_PRECOND, 0, "%s still replicates", s->conf->hostinfo);
	return now.auto_position || now.using_gtid != USING_GTID_NO || !now.sql_errno ||
	       err_set(e, ERR_PRECOND, now.sql_errno, "%s stopped by itself: %s", s->conf->hostinfo,
	               now.sql_error);
}

MOVE_STEP(move_stopped)
{
	struct move *m = ctx;
	int64_t deadline = move_until(io, LOOK_MS);

	switch (m->kind) {
	case FLATTEN_UP: return is_stopped(&m->from, false, deadline, e);
	case FLATTEN_DOWN:
		return is_stopped(&m->to, false, deadline, e) &&
		       is_stopped(&m->child, false, deadline, e);
	case FLATTEN_GTID: break;
	}
	return is_stopped(&m->child, true, deadline, e);
}

/* All of them ran before: a move of what does not replicate is refused. */
MOVE_STEP(move_unstop)
{
	struct move *m = ctx;
	struct move_side *still = move_still(m);
	struct err ignored = { .kind = ERR_NONE };
	bool ok = true;

	if (!m->stopped)
		return true;
	if (still)
		ok = move_start_both(still, move_until(io, 20000), e);
	ok = move_start_both(&m->child, move_until(io, 20000), ok ? e : &ignored) && ok;
	if (m->stood_since)
		m->stood_ms = clock_ms() - m->stood_since;
	return ok;
}

/* ---- level ---- */

struct wait {
	struct move *m;
	struct run_io *io;
	int64_t deadline;
	int64_t look_at; /* next look at the receiver of who stands still */
};

static struct wait wait_for(struct move *m, struct run_io *io)
{
	return (struct wait){ m, io, move_until(io, m->o.max_wait_ms), clock_in(SOURCE_EVERY_MS) };
}

/* A master that is gone wants a failover: the locks must not stand in its way. */
static bool may_wait(struct wait *w, struct err *e)
{
	struct move_side *s = move_still(w->m) ? move_still(w->m) : &w->m->to;
	struct repl_now now;

	if (run_is_canceled(w->io))
		return err_set(e, ERR_CANCELED, 0, "ended by a signal");
	if (clock_left(w->deadline) == 0)
		return err_set(e, ERR_LOST, 0, "not level within %lld ms (--max_wait)",
		        (long long)w->m->o.max_wait_ms);
	if (!s->is_slave || clock_left(w->look_at) > 0)
		return true;
	w->look_at = clock_in(SOURCE_EVERY_MS);
	if (!repl_look(s->repl, move_until(w->io, LOOK_MS), &now, e))
		return false;
	return !now.is_replica || now.io == IO_YES ||
	       err_set(e, ERR_PRECOND, now.io_errno, "%s does not hear its source any more: %s",
	               s->conf->hostinfo, now.io_error);
}

static bool receives(struct move *m, const struct repl_now *now, struct err *e)
{
	const char *host = m->child.conf->hostinfo;

	if (now->io == IO_NO)
		return err_set(e, ERR_PRECOND, now->io_errno, "the receiver of %s stopped: %s",
		        host, now->io_error);
	if (!now->sql_running)
		return err_set(e, ERR_PRECOND, now->sql_errno, "the applier of %s stopped: %s",
		        host, now->sql_error);
	return true;
}

/* Until the slave has received all that its source, which stands still, has written. */
static bool receive_all(struct wait *w, const struct repl_position *end, struct err *e)
{
	struct repl_now now;

	for (;;) {
		if (!repl_look(w->m->child.repl, move_until(w->io, LOOK_MS), &now, e) ||
		        !receives(w->m, &now, e))
			return false;
		if (snapshot_pos_cmp(now.read_file, now.read_pos, end->file, end->pos) >= 0)
			return true;
		if (!may_wait(w, e))
			return false;
		nap();
	}
}

static bool level_up(struct move *m, struct run_io *io, struct err *e)
{
	struct wait w = wait_for(m, io);
	struct repl *from = move_repl(&m->from, w.deadline, e);
	struct repl_position end = { .pos = 0 };
	bool ok = from && move_start_both(&m->child, move_until(io, 20000), e) &&
	          repl_position(from, move_until(io, LOOK_MS), &end, e) &&
	          receive_all(&w, &end, e) &&
	          repl_stop_io(m->child.repl, move_until(io, 20000), e) &&
	          repl_wait_applied(m->child.repl, NULL, w.deadline, e) &&
	          repl_stop_sql(m->child.repl, move_until(io, 50000), e);

	repl_position_done(&end);
	return ok;
}

/* Its applier goes on until a place of its source's binlog, and stops there. */
static bool apply_until(
        struct wait *w, struct move_side *s, const struct repl_now *there, struct err *e)
{
	struct db *db = repl_db(s->repl, move_until(w->io, LOOK_MS), e);
	AUTO(free) char *file = db_quote(there->exec_file), *tail = NULL;
	int64_t nudge = clock_in(NUDGE_MS);
	const char *word;
	struct repl_now now;

	if (!db)
		return false;
	word = dialect_word(repl_dialect(s->repl), WORD_SOURCE);
	tail = xasprintf("SQL_THREAD UNTIL %s_LOG_FILE=%s, %s_LOG_POS=%llu", word, file, word,
	        (unsigned long long)there->exec_pos);
	if (!channel_verb(&(struct channel){ db, repl_channel(s->repl) }, "START", tail, e))
		return err_ctx(e, "start %s until %s:%llu", s->conf->hostinfo, there->exec_file,
		        (unsigned long long)there->exec_pos);
	for (;;) {
		if (!repl_look(s->repl, move_until(w->io, LOOK_MS), &now, e))
			return false;
		if (!now.sql_running)
			return true;
		if (!may_wait(w, e))
			return false;
		if (clock_left(nudge) == 0) {
			if (!repl_flush_relay_logs(s->repl, move_until(w->io, LOOK_MS), e))
				return false;
			nudge = clock_in(NUDGE_MS);
		}
		nap();
	}
}

static bool look_at_both(struct move *m, int64_t deadline, struct repl_now *ret_child,
        struct repl_now *ret_to, struct err *e)
{
	struct repl *child = move_repl(&m->child, deadline, e);
	struct repl *to = child ? move_repl(&m->to, deadline, e) : NULL;

	return to && repl_look(child, deadline, ret_child, e) && repl_look(to, deadline, ret_to, e);
}

/* Who is behind goes on to where the other one stands. */
static bool level_down(struct move *m, struct run_io *io, struct err *e)
{
	struct wait w = wait_for(m, io);
	struct repl_now child, to;

	for (;;) {
		int cmp;

		if (!look_at_both(m, move_until(io, LOOK_MS), &child, &to, e))
			return false;
		cmp = snapshot_pos_cmp(child.exec_file, child.exec_pos, to.exec_file, to.exec_pos);
		if (cmp == 0)
			return true;
		if (child.sql_errno || to.sql_errno)
			return err_set(e, ERR_PRECOND, 0, "an applier stopped: %s%s",
			        child.sql_error, to.sql_error);
		if (!may_wait(&w, e) ||
		        !apply_until(&w, cmp < 0 ? &m->child : &m->to, cmp < 0 ? &to : &child, e))
			return false;
	}
}

/* *ret: whether the new source has executed all that the slave has. */
static bool source_has_all(struct move *m, int64_t deadline, bool *ret, struct err *e)
{
	struct repl *child = move_repl(&m->child, deadline, e);
	struct repl *to = child ? move_repl(&m->to, deadline, e) : NULL;
	struct repl_position a = { .pos = 0 }, b = { .pos = 0 };
	bool ok = to && repl_position(child, deadline, &a, e) && repl_position(to, deadline, &b, e);

	*ret = ok && gtid_set_contains(b.executed, a.executed);
	repl_position_done(&a);
	repl_position_done(&b);
	return ok;
}

static bool level_by_gtid(struct move *m, struct run_io *io, struct err *e)
{
	struct wait w = wait_for(m, io);
	bool done;

	for (;;) {
		if (!source_has_all(m, move_until(io, LOOK_MS), &done, e))
			return false;
		if (done)
			return true;
		if (!may_wait(&w, e))
			return false;
		nap();
	}
}

MOVE_STEP(move_level)
{
	struct move *m = ctx;

	switch (m->kind) {
	case FLATTEN_UP: return level_up(m, io, e);
	case FLATTEN_DOWN: return level_down(m, io, e);
	case FLATTEN_GTID: break;
	}
	return level_by_gtid(m, io, e);
}

/* ---- the proof ---- */

static bool not_level(const struct repl_now *now, const char *file, uint64_t pos,
        const struct move_side *s, struct err *e)
{
	return err_set(e, ERR_PRECOND, 0, "%s has executed up to %s:%llu, and not to %s:%llu",
	        s->conf->hostinfo, now->exec_file, (unsigned long long)now->exec_pos, file,
	        (unsigned long long)pos);
}

/* The old source stands at the place, the slave at the end of the old source's binlog, and nobody moves. */
static bool prove_up(struct move *m, int64_t deadline, struct move_place *ret_place,
        struct move_place *ret_back, struct err *e)
{
	struct repl *from = move_repl(&m->from, deadline, e);
	struct repl_position end = { .pos = 0 };
	struct repl_now now, source;
	bool ok = is_stopped(&m->child, true, deadline, e) &&
	          is_stopped(&m->from, false, deadline, e) &&
	          repl_look(m->child.repl, deadline, &now, e) && from &&
	          repl_look(from, deadline, &source, e) && repl_position(from, deadline, &end, e);

	if (ok && snapshot_pos_cmp(now.exec_file, now.exec_pos, end.file, end.pos) != 0)
		ok = not_level(&now, end.file, end.pos, &m->child, e);
	if (ok) {
		snprintf(ret_place->file, sizeof(ret_place->file), "%s", source.exec_file);
		ret_place->pos = source.exec_pos;
		snprintf(ret_back->file, sizeof(ret_back->file), "%s", end.file);
		ret_back->pos = end.pos;
	}
	repl_position_done(&end);
	return ok;
}

static bool prove_down(struct move *m, int64_t deadline, struct move_place *ret_place,
        struct move_place *ret_back, struct err *e)
{
	struct repl_position end = { .pos = 0 };
	struct repl_now child, to;
	bool ok = is_stopped(&m->child, false, deadline, e) &&
	          is_stopped(&m->to, false, deadline, e) &&
	          look_at_both(m, deadline, &child, &to, e) &&
	          repl_position(m->to.repl, deadline, &end, e);

	if (ok && snapshot_pos_cmp(child.exec_file, child.exec_pos, to.exec_file, to.exec_pos) != 0)
		ok = not_level(&child, to.exec_file, to.exec_pos, &m->child, e);
	if (ok) {
		snprintf(ret_place->file, sizeof(ret_place->file), "%s", end.file);
		ret_place->pos = end.pos;
		snprintf(ret_back->file, sizeof(ret_back->file), "%s", child.exec_file);
		ret_back->pos = child.exec_pos;
	}
	repl_position_done(&end);
	return ok;
}

static bool prove_place(struct move *m, int64_t deadline, struct move_place *ret_place,
        struct move_place *ret_back, struct err *e)
{
	bool has_all;

	*ret_place = *ret_back = (struct move_place){ .pos = 0 };
	if (m->kind == FLATTEN_UP)
		return prove_up(m, deadline, ret_place, ret_back, e);
	if (m->kind == FLATTEN_DOWN)
		return prove_down(m, deadline, ret_place, ret_back, e);
	return is_stopped(&m->child, true, deadline, e) &&
	       source_has_all(m, deadline, &has_all, e) &&
	       (has_all || err_set(e, ERR_PRECOND, 0, "%s has what %s lacks",
	                           m->child.conf->hostinfo, m->to.conf->hostinfo));
}

MOVE_STEP(move_is_level)
{
	struct move_place place, back;

	return prove_place(ctx, move_until(io, LOOK_MS), &place, &back, e);
}

/*
 * A temporary table that was made by statements lives in the applier of each slave under the name of its source:
 * the statements that use it would not find it.
 */
static bool has_no_temp_tables(struct move_side *s, int64_t deadline, struct err *e)
{
	struct repl *r = move_repl(s, deadline, e);
	struct db *db = r ? repl_db(r, deadline, e) : NULL;
	AUTO(db_result)
	struct db_result *res =
	        db ? db_query(db,
	                     "SHOW GLOBAL STATUS WHERE Variable_name IN "
	                     "('Slave_open_temp_tables', 'Replica_open_temp_tables')",
	                     e)
	           : NULL;
	const char *n = res ? db_get(res, 0, "Value") : NULL;

	if (!res || !n || str_is(n, "0"))
		return res;
	err_set(e, ERR_PRECOND, 0, "%s has %s temporary table%s open that statements made",
	        s->conf->hostinfo, n, str_is(n, "1") ? "" : "s");
	return err_hint(e, "try again when they are gone, or use binlog_format=ROW on the master");
}

/* The new source can still send from there. */
static bool has_binlog(struct move *m, int64_t deadline, struct err *e)
{
	struct repl *r = move_repl(&m->to, deadline, e);
	struct db *db = r ? repl_db(r, deadline, e) : NULL;
	AUTO(db_result)
	struct db_result *res = db ? db_query(db, "SHOW BINARY LOGS", e) : NULL;

	for (size_t i = 0; res && i < db_rows(res); i++)
		if (str_is(db_get(res, i, "Log_name"), m->place.file))
			return true;
	if (!res)
		return false;
	err_set(e, ERR_PRECOND, 0, "%s has purged %s already", m->to.conf->hostinfo, m->place.file);
	return err_hint(e, "let its slaves catch up first");
}

static json_t *place_json(const struct move_place *p)
{
	return json_pack("{s:s, s:I}", "file", p->file, "pos", (json_int_t)p->pos);
}

MOVE_STEP(move_prove)
{
	struct move *m = ctx;
	int64_t deadline = move_until(io, LOOK_MS);

	if (!prove_place(m, deadline, &m->place, &m->back, e))
		return false;
	if (m->kind == FLATTEN_GTID)
		return true;
	if (!has_no_temp_tables(&m->child, deadline, e) ||
	        !has_no_temp_tables(move_still(m), deadline, e) || !has_binlog(m, deadline, e))
		return false;
	log_info("%s stands at %s:%llu of %s, which is %s:%llu of %s.", m->child.conf->hostinfo,
	        m->back.file, (unsigned long long)m->back.pos, m->from.conf->hostinfo,
	        m->place.file, (unsigned long long)m->place.pos, m->to.conf->hostinfo);
	run_note(io, "place", place_json(&m->place));
	run_note(io, "back", place_json(&m->back));
	return true;
}
