/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch_act - a failover begins and ends, and the master of before is absent for a while.  Owned by watch;
 * runs on: loop.
 */
#include "watch_impl.h"
#include <stdio.h>
#include <string.h>
#include "clock.h"
#include "loop.h"
#include "str.h"

enum { REFUSED_MS = 5000, REFUSED_MOST_MS = 300000 };

bool watch_was_acked(const struct watch *w)
{
	return w->acked;
}

int64_t watch_first_sign(const struct watch *w)
{
	int64_t silent = w->probe.silent_since, failed = w->probe.first_failed;

	if (!silent || !failed)
		return silent ? silent : failed;
	return silent > failed ? silent : failed;
}

const struct conf_server *watch_absent(const struct watch *w)
{
	return w->absent;
}

const struct conf_server *watch_co_master(const struct watch *w)
{
	return w->co_master;
}

bool watch_is_absent(const struct watch *w, const struct conf_server *s)
{
	return s && s == w->absent;
}

/* A slave of the master again: from now on it counts like the others. */
void watch_absent_seen(struct watch *w, const struct topology *t)
{
	const struct topology_server *s = w->absent ? topology_find(t, w->absent) : NULL;

	if (!s || !s->snap->was_read || s->is_dead || !s->is_slave)
		return;
	evidence_say(w->evidence, "topology", "%s is back, as a slave", w->absent->hostinfo);
	watch_note(w, "back", "mhad", "%s is back, as a slave", w->absent->hostinfo);
	w->absent = NULL;
	watch_keep_save(w);
}

void watch_begin(struct watch *w)
{
	watch_log_event(w, LOG_EV_MASTER_DEAD, "%s: %s (%.300s)", verdict_name(w->verdict.code),
	        verdict_sentence(w->verdict.code), w->verdict.why);
	watch_event(w, WATCH_EV_BEGUN);
	watch_status(w, STATUS_FILE_FAILOVER_RUNNING);
}

/* What was refused is not asked for again each second, but what is mended is seen soon. */
static void hold_back(struct watch *w, const struct err *why)
{
	if (!why || why->kind == ERR_NONE)
		return;
	w->refused_for = w->refused_for ? 2 * w->refused_for : REFUSED_MS;
	if (w->refused_for > REFUSED_MOST_MS)
		w->refused_for = REFUSED_MOST_MS;
	w->refused_until = clock_in(w->refused_for);
	snprintf(w->refused, sizeof(w->refused), "%.230s", why->text);
	snprintf(w->refused_hint, sizeof(w->refused_hint), "%.300s", why->hint);
}

void watch_end(struct watch *w, const struct conf_server *now, const struct err *why)
{
	const struct conf_server *old = w->master;

	w->flap_known = false; /* the marks have changed */
	if (now) {
		w->absent = old;
		w->refused[0] = '\0';
		w->refused_for = w->refused_until = 0;
		watch_event(w, WATCH_EV_ENDED);
		watch_set_master(w, now);
		watch_keep_save(w);
	} else {
		hold_back(w, why);
		watch_status(w, STATUS_FILE_FAILOVER_ERROR);
		watch_event(w, WATCH_EV_ENDED);
	}
	watch_gate_refresh(w);
	watch_tree_read(w);
	watch_judge(w);
}

void watch_adopt(struct watch *w, const struct conf_server *now, const char *by)
{
	const struct conf_server *old = w->master;

	if (now == old || w->state == WATCH_FAILING_OVER)
		return;
	watch_log_event(w, LOG_EV_MASTER_CHANGED, "the master is %s now, by a failover of %s.",
	        now->hostinfo, by);
	watch_note(w, "master", by, "%s, it was %s", now->hostinfo, old ? old->hostinfo : "?");
	w->flap_known = false;
	w->absent = old;
	watch_set_master(w, now);
	watch_keep_save(w);
	watch_gate_refresh(w);
	watch_tree_read(w);
	watch_judge(w);
}
