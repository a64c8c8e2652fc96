/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repl_wait - until all that was received is applied.  Runs on: worker.
 */
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "repl_impl.h"

enum {
	IDLE_MS = 60, /* so long all must wait for work to be called idle */
	ER_NOT_A_SLAVE = 1200,
};

struct wait {
	struct repl *r;
	const struct repl_whole *whole; /* NULL: not known */
	int64_t deadline;
	struct channel_status st;
	struct gtid_set *retrieved;
	int64_t idle_since; /* 0: it is not */
	uint64_t idle_pos;
	bool half;
};

static bool has_gtids(struct wait *w, const struct gtid_set *want, bool *ret, struct err *e)
{
	AUTO(gtid) struct gtid_set *have = repl_executed(w->r, w->deadline, e);

	*ret = have && gtid_set_contains(have, want);
	return have != NULL;
}

/*
 * Nothing is left in its relay logs, and none of its threads has anything to do.  *ret: for so long that no
 * worker has just been given something.
 */
static bool is_idle(struct wait *w, bool *ret_now, bool *ret, struct err *e)
{
	struct repl_threads t = { .busy = 1 };

	*ret = *ret_now = false;
	if (repl_has_read_all(w->st.sql_state) &&
	        !repl_count_threads(w->r, false, w->deadline, &t, e))
		return false;
	*ret_now = !t.busy;
	if (t.busy || w->st.exec_pos != w->idle_pos)
		w->idle_since = 0;
	w->idle_pos = w->st.exec_pos;
	if (t.busy)
		return true;
	if (!w->idle_since)
		w->idle_since = clock_ms();
	*ret = clock_ms() - w->idle_since >= IDLE_MS;
	return true;
}

/*
 * The position alone does not tell: MariaDB's workers on several domains do not wait for each other, and it is
 * that of the foremost; and when CHANGE has named a relay log, all servers show the received position until
 * something is executed.
 */
static bool is_at(const struct wait *w, const char *file, uint64_t pos, bool idle, bool long_idle)
{
	return snapshot_pos_cmp(w->st.exec_file, w->st.exec_pos, file, pos) >= 0 &&
	       (w->st.channels > 1 || (w->r->placed ? long_idle : idle));
}

static bool is_applied(struct wait *w, bool *ret, struct err *e)
{
	const struct repl_whole *k = w->whole;
	bool idle, long_idle;

	*ret = false;
	if (k && k->gtids)
		return has_gtids(w, k->gtids, ret, e);
	if (!w->st.sql_running)
		return true;
	/* A set names a transaction when its first event is here. */
	if (!k && w->st.gtid == CHANNEL_GTID_AUTO && !gtid_set_is_empty(w->retrieved) &&
	        (!has_gtids(w, w->retrieved, ret, e) || *ret))
		return *ret;
	if (!is_idle(w, &idle, &long_idle, e))
		return false;
	if (k && k->file) {
		*ret = is_at(w, k->file, k->pos, idle, long_idle);
		return true;
	}
	*ret = is_at(w, w->st.read_file, w->st.read_pos, idle, long_idle);
	w->half = !*ret;
	*ret = *ret || long_idle;
	return true;
}

/* It will not come to its end. */
static bool may_go_on(struct wait *w, struct err *e)
{
	const struct channel_status *st = &w->st;
	const char *name = repl_name(w->r);

	if (st->io != CHANNEL_IO_NO)
		return err_set(e, ERR_PRECOND, 0, "%s: its receiver runs", name);
	if (!st->sql_running && st->sql_errno)
		return repl_thread_error(
		        w->r, "the applier stopped", st->sql_errno, st->sql_error, e);
	if (!st->sql_running)
		return err_set(e, ERR_PRECOND, 0,
		        "%s: the applier does not run, it stands at %s:%llu of %s:%llu", name,
		        st->exec_file, (unsigned long long)st->exec_pos, st->read_file,
		        (unsigned long long)st->read_pos);
	if (str_starts(st->sql_state, "Waiting until ") &&
	        st->delay * 1000 > clock_left(w->deadline))
		return err_set(e, ERR_PRECOND, 0, "%s: its applier waits, it has a delay of %lld s",
		        name, (long long)st->delay);
	return true;
}

static bool is_late(const struct wait *w, struct err *e)
{
	const struct channel_status *st = &w->st;

	return err_set(e, ERR_LOST, 0, "%s: not applied in time: %s:%llu of %s:%llu",
	        repl_name(w->r), st->exec_file, (unsigned long long)st->exec_pos, st->read_file,
	        (unsigned long long)st->read_pos);
}

static bool wait_applied(struct wait *w, struct err *e)
{
	bool done;

	for (;;) {
		gtid_set_free(TAKE(w->retrieved));
		if (!repl_status(w->r, w->deadline, &w->st, &w->retrieved, e))
			return false;
		if (!w->st.is_replica)
			return err_set(e, ERR_PRECOND, ER_NOT_A_SLAVE, "%s has no source",
			        repl_name(w->r));
		if (w->st.io == CHANNEL_IO_NO) {
			if (!is_applied(w, &done, e))
				return false;
			if (done)
				return true;
		}
		if (!may_go_on(w, e))
			return false;
		if (!repl_nap(REPL_AGAIN_MS, w->deadline))
			return is_late(w, e);
	}
}

bool repl_wait_applied(struct repl *r, const struct repl_whole *whole, int64_t deadline,
        struct repl_applied *ret, struct err *e)
{
	struct wait w = { .r = r, .whole = whole, .deadline = deadline };
	bool ok = wait_applied(&w, e);

	gtid_set_free(w.retrieved);
	if (ok && ret)
		ret->half = w.half;
	return ok && (!ret || repl_look(r, deadline, &ret->at, e));
}
