/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rejoin_match - where two histories part.  Runs on: any thread.
 */
#include <stdlib.h>
#include "rejoin_log.h"
#include "str.h"

enum { ENOUGH = 1000 }; /* so many in a row need not be looked behind */

/* ---- two transactions ---- */

/* A slave may log as rows what was a statement: then their time and maker must do. */
static bool are_alike(const struct rejoin_txn *a, const struct rejoin_txn *b)
{
	return ((a->kind == 's' && b->kind == 'r') || (a->kind == 'r' && b->kind == 's')) &&
	       a->time == b->time && a->server == b->server;
}

static bool are_same(const struct rejoin_txn *a, const struct rejoin_txn *b)
{
	if (a->gtid && b->gtid && !str_is(a->gtid, b->gtid))
		return false;
	return a->mark == b->mark || are_alike(a, b);
}

/* ---- finding a mark in a list ---- */

struct place {
	uint64_t mark;
	size_t at;
};

static int cmp_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->mark != y->mark)
		return x->mark < y->mark ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

static struct place *sorted(const struct rejoin_log *l)
{
	struct place *all = xmalloc(sizeof(*all) * (l->all.len + 1));

	for (size_t i = 0; i < l->all.len; i++)
		all[i] = (struct place){ l->all.items[i].mark, i };
	qsort(all, l->all.len, sizeof(*all), cmp_place);
	return all;
}

static size_t first_of(const struct place *all, size_t n, uint64_t mark)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (all[mid].mark < mark)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* ---- how far back it is the same ---- */

/* 0: it is not, before the lists end or enough was seen. */
static size_t proven_at(
        const struct rejoin_log *ours, const struct rejoin_log *theirs, size_t i, size_t j)
{
	bool says = false;
	size_t n = 0;

	for (;; i--, j--) {
		const struct rejoin_txn *a = &ours->all.items[i];

		if (!are_same(a, &theirs->all.items[j]))
			return 0;
		says = says || !rejoin_txn_is_empty(a);
		n++;
		if (!i || !j || n == ENOUGH)
			return says ? n : 0;
	}
}

struct found {
	size_t theirs, proven, places;
	bool seen; /* somewhere, but in another order */
};

static struct found find(const struct rejoin_log *ours, const struct rejoin_log *theirs,
        const struct place *all, size_t i)
{
	struct found f = { .places = 0 };
	uint64_t mark = ours->all.items[i].mark;
	size_t n = theirs->all.len;

	for (size_t k = first_of(all, n, mark); k < n && all[k].mark == mark; k++) {
		size_t proven = proven_at(ours, theirs, i, all[k].at);

		f.seen = true;
		f.places += proven != 0;
		if (proven) {
			f.theirs = all[k].at;
			f.proven = proven;
		}
	}
	return f;
}

/* What a slave logged in another form has no mark of ours: it follows in both. */
static void extend(
        const struct rejoin_log *ours, const struct rejoin_log *theirs, struct rejoin_match *m)
{
	while (m->ours + 1 < ours->all.len && m->theirs + 1 < theirs->all.len &&
	        are_same(&ours->all.items[m->ours + 1], &theirs->all.items[m->theirs + 1])) {
		m->ours++;
		m->theirs++;
		m->proven++;
	}
}

bool rejoin_log_match(const struct rejoin_log *ours, const struct rejoin_log *theirs,
        struct rejoin_match *ret, struct err *e)
{
	AUTO(free) struct place *all = sorted(theirs);

	for (size_t i = ours->all.len; i-- > 0;) {
		const struct rejoin_txn *t = &ours->all.items[i];
		struct found f = find(ours, theirs, all, i);

		if (f.places == 1) {
			*ret = (struct rejoin_match){ i, f.theirs, f.proven };
			extend(ours, theirs, ret);
			return true;
		}
		if (f.places || (f.seen && !rejoin_txn_is_empty(t)))
			return err_set(e, ERR_PRECOND, REJOIN_UNCLEAR,
			        "the transaction that ends at %s:%llu is found %s there",
			        ours->files.items[t->file], (unsigned long long)t->end,
			        f.places ? "more than once" : "with others before it");
	}
	return err_set(
	        e, ERR_PRECOND, REJOIN_APART, "no transaction in its binlogs is found there");
}
