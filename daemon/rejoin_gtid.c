/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rejoin_gtid - comparing by MySQL's GTIDs.  Runs on: worker.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "db.h"
#include "rejoin_impl.h"

struct sets {
	struct gtid_set *ours, *theirs, *errant, *lacking, *purged;
};

static void sets_done(struct sets *s)
{
	gtid_set_free(s->ours);
	gtid_set_free(s->theirs);
	gtid_set_free(s->errant);
	gtid_set_free(s->lacking);
	gtid_set_free(s->purged);
}

static struct gtid_set *read_set(
        struct rj_end *s, const char *name, int64_t deadline, struct err *e)
{
	AUTO(free) char *text = rj_variable(s, name, deadline, e);

	return text ? gtid_set_parse(GTID_MYSQL, text, e) : NULL;
}

/* The master is asked last: what it has meanwhile got from us is no difference. */
static bool read_sets(struct rejoin *r, int64_t deadline, struct sets *s, struct err *e)
{
	*s = (struct sets){ .ours = read_set(r->target, "gtid_executed", deadline, e) };
	s->theirs = s->ours ? read_set(r->master, "gtid_executed", deadline, e) : NULL;
	s->purged = s->theirs ? read_set(r->master, "gtid_purged", deadline, e) : NULL;
	if (!s->purged)
		return false;
	s->errant = gtid_set_subtract(s->ours, s->theirs);
	s->lacking = gtid_set_subtract(s->theirs, s->ours);
	return true;
}

static bool in_set(const struct rejoin_txn *t, const struct gtid_set *s)
{
	AUTO(gtid)
	struct gtid_set *one = t->gtid ? gtid_set_parse(GTID_MYSQL, t->gtid, NULL) : NULL;

	return one && gtid_set_contains(s, one);
}

static bool is_errant(struct rejoin *r, const struct rejoin_txn *t, size_t i, void *arg)
{
	const struct sets *s = arg;

	(void)r;
	(void)i;
	return in_set(t, s->errant);
}

/* All errant ones are in it, and one more that is not. */
static bool has_all(struct rejoin *r, const struct rejoin_log *l, void *arg)
{
	const struct sets *s = arg;
	AUTO(gtid)
	struct gtid_set *before = l->before ? gtid_set_parse(GTID_MYSQL, l->before, NULL) : NULL;
	bool common = false;

	(void)r;
	for (size_t i = l->all.len; i-- > 0 && !common;)
		common = !in_set(&l->all.items[i], s->errant);
	return common && before && gtid_set_contains(s->theirs, before);
}

static void look_at_own(struct rejoin *r, struct run_io *io, struct sets *s)
{
	struct err why = { 0 };
	uint64_t n = 0;

	if (!rj_look_back(r, r->target, NULL, true, run_deadline(io), &r->own, has_all, s, &why)) {
		rejoin_log_done(&r->own);
		if (r->n_errant || why.kind != ERR_PRECOND)
			run_warn(io, "%s", why.text);
		return;
	}
	rj_mark_errant(r, is_errant, s);
	for (size_t i = 0; i < r->own.all.len; i++)
		n += r->errant[i];
	r->own_known = n == r->n_errant;
}

/* ---- what it will fetch ---- */

static bool has_lacking(struct rejoin *r, const struct rejoin_log *l, void *arg)
{
	const struct sets *s = arg;
	AUTO(gtid)
	struct gtid_set *before = l->before ? gtid_set_parse(GTID_MYSQL, l->before, NULL) : NULL;

	(void)r;
	return before && gtid_set_contains(s->ours, before);
}

/*
 * Slaves leave out what carries their own server_id: what it once had and has lost would never come back.
 */
static void look_for_lost(struct rejoin *r, struct run_io *io, struct sets *s)
{
	AUTO(free) char *have = gtid_set_format(s->ours);
	struct rejoin_log l = { .before = NULL };
	struct err why = { 0 };
	uint64_t n = 0;

	if (gtid_set_is_empty(s->lacking))
		return;
	if (!rj_look_back(r, r->master, have, false, run_deadline(io), &l, has_lacking, s, &why))
		run_warn(io, "it was not looked whether %s has lost what it once wrote: %s",
		        r->o.target->hostinfo, why.text);
	for (size_t i = 0; i < l.all.len; i++)
		n += l.all.items[i].server == r->target->at->server_id;
	rejoin_log_done(&l);
	if (n)
		snprintf(r->missing, sizeof(r->missing),
		        "%s lacks %llu transactions that carry its own server_id %u: it would "
		        "leave them "
		        "out when they come",
		        r->o.target->hostinfo, (unsigned long long)n, r->target->at->server_id);
}

static void look_for_purged(struct rejoin *r, const struct sets *s)
{
	AUTO(gtid) struct gtid_set *gone = gtid_set_subtract(s->purged, s->ours);
	AUTO(free) char *text = gtid_set_format(gone);

	if (!gtid_set_is_empty(gone))
		snprintf(r->missing, sizeof(r->missing),
		        "%s has purged what %s lacks (%llu transactions: %.200s): replication "
		        "would stop "
		        "with error 1236",
		        r->master->conf->hostinfo, r->o.target->hostinfo,
		        (unsigned long long)gtid_set_count(gone), text);
}

static char *without(const struct gtid_set *all, const struct gtid_set *some)
{
	AUTO(gtid) struct gtid_set *rest = gtid_set_subtract(all, some);

	return gtid_set_format(rest);
}

bool rj_compare_gtid(struct rejoin *r, struct run_io *io, struct err *e)
{
	struct sets s;
	bool fine = read_sets(r, rj_until(io, 10000), &s, e);

	if (fine) {
		r->n_errant = gtid_set_count(s.errant);
		r->lacking = gtid_set_count(s.lacking);
		r->errant_gtids = gtid_set_format(s.errant);
		r->start_gtid = without(s.ours, s.errant);
		look_at_own(r, io, &s);
		look_for_purged(r, &s);
		if (!r->missing[0])
			look_for_lost(r, io, &s);
	}
	sets_done(&s);
	return fine;
}
