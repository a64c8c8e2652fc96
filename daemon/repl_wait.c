/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repl_wait - until all that was received is applied.  Runs on: worker.
 */
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "repl_impl.h"

enum {
	IDLE_MS = 100, /* so long all must wait for work to be called idle */
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
};

/* *ret: how many of these transactions are not executed. */
static bool count_missing(struct wait *w, const struct gtid_set *want, uint64_t *ret, struct err *e)
{
	AUTO(gtid) struct gtid_set *have = repl_executed(w->r, w->deadline, e);

	if (have)
		*ret = gtid_set_count_missing(want, have);
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

/*
 * By what the receiver claims to have.  *ret_sure: that settles it.  5.6's names a transaction that was received
 * by half, too, so of one that is missing only the threads can tell.
 */
static bool by_retrieved(struct wait *w, bool *ret, bool *ret_sure, struct err *e)
{
	uint64_t missing;

	*ret = *ret_sure = false;
	if (w->st.gtid != CHANNEL_GTID_AUTO || gtid_set_is_empty(w->retrieved))
		return true;
	if (!count_missing(w, w->retrieved, &missing, e))
		return false;
	*ret = missing == 0;
	*ret_sure = missing != 1;
	return true;
}

static bool by_threads(struct wait *w, bool *ret, struct err *e)
{
	const struct repl_whole *k = w->whole;
	bool idle, long_idle;

	if (!is_idle(w, &idle, &long_idle, e))
		return false;
	if (k)
		*ret = is_at(w, k->file, k->pos, idle, long_idle);
	else
		*ret = long_idle || is_at(w, w->st.read_file, w->st.read_pos, idle, long_idle);
	return true;
}

static bool is_applied(struct wait *w, bool *ret, struct err *e)
{
	uint64_t missing;
	bool sure = false;

	*ret = false;
	if (w->whole && w->whole->gtids) {
		if (!count_missing(w, w->whole->gtids, &missing, e))
			return false;
		*ret = missing == 0;
		return true;
	}
	if (!w->st.sql_running)
		return true;
	if (!w->whole && !by_retrieved(w, ret, &sure, e))
		return false;
	return sure || by_threads(w, ret, e);
}

/* It will not come to its end. */
static bool may_go_on(struct wait *w, struct err *e)
{
	const struct channel_status *st = &w->st;

	if (st->io != CHANNEL_IO_NO)
		return repl_error(w->r, e, ERR_PRECOND, 0, "its receiver runs");
	if (!st->sql_running && st->sql_errno)
		return repl_applier_error(w->r, st, e);
	if (!st->sql_running)
		return repl_error(w->r, e, ERR_PRECOND, 0,
		        "the applier does not run, it stands at %s:%llu of %s:%llu", st->exec_file,
		        (unsigned long long)st->exec_pos, st->read_file,
		        (unsigned long long)st->read_pos);
	if (str_starts(st->sql_state, "Waiting until ") &&
	        st->delay * 1000 > clock_left(w->deadline))
		return repl_error(w->r, e, ERR_PRECOND, 0,
		        "its applier waits, it has a delay of %lld s", (long long)st->delay);
	return true;
}

static bool is_late(const struct wait *w, struct err *e)
{
	const struct channel_status *st = &w->st;

	return repl_error(w->r, e, ERR_LOST, 0, "not applied in time: %s:%llu of %s:%llu",
	        st->exec_file, (unsigned long long)st->exec_pos, st->read_file,
	        (unsigned long long)st->read_pos);
}

static bool wait_applied(struct wait *w, struct err *e)
{
	struct err why = { .kind = ERR_NONE };
	bool done;

	for (;;) {
		gtid_set_free(TAKE(w->retrieved));
		if (!repl_status(w->r, w->deadline, &w->st, &w->retrieved, &why))
			return w->st.is_replica && clock_left(w->deadline) == 0
			               ? is_late(w, e)
			               : repl_fail(&why, e);
		if (!w->st.is_replica)
			return repl_error(w->r, e, ERR_PRECOND, ER_NOT_A_SLAVE, "it has no source");
		if (w->st.io == CHANNEL_IO_NO) {
			if (!is_applied(w, &done, &why))
				return clock_left(w->deadline) == 0 ? is_late(w, e)
				                                    : repl_fail(&why, e);
			if (done)
				return true;
		}
		if (!may_go_on(w, e))
			return false;
		if (!repl_nap(REPL_AGAIN_MS, w->deadline))
			return is_late(w, e);
	}
}

bool repl_wait_applied(
        struct repl *r, const struct repl_whole *whole, int64_t deadline, struct err *e)
{
	bool known = whole && (whole->gtids || whole->file);
	struct wait w = { .r = r, .whole = known ? whole : NULL, .deadline = deadline };
	bool ok = wait_applied(&w, e);

	gtid_set_free(w.retrieved);
	return ok;
}

bool repl_has_half(const struct repl_now *n)
{
	return snapshot_pos_cmp(n->exec_file, n->exec_pos, n->read_file, n->read_pos) < 0;
}
