/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rejoin_pos - comparing without GTIDs: where the server goes on is proven out of what both logs say.  Runs on:
 * worker.
 */
#include <stdio.h>
#include <string.h>
#include "clock.h"
#include "rejoin_impl.h"

struct search {
	struct rejoin_match match;
	struct err why;
	const struct rejoin_log *theirs;
	bool found;
};

static bool is_found(struct rejoin *r, const struct rejoin_log *own, void *arg)
{
	struct search *s = arg;

	(void)r;
	s->why = (struct err){ 0 };
	s->found = rejoin_log_match(own, s->theirs, &s->match, &s->why);
	return s->found;
}

/* Its own log, further and further back, against this much of the master's. */
static bool search_own(struct rejoin *r, struct run_io *io, struct search *s, struct err *e)
{
	if (!rj_look_back(r, r->target, NULL, true, run_deadline(io), &r->own, is_found, s, e))
		return false;
	(void)is_found(r, &r->own, s);
	return true;
}

struct both {
	struct run_io *io;
	struct search search;
	struct err err; /* looking failed */
};

static bool search(struct rejoin *r, const struct rejoin_log *theirs, void *arg)
{
	struct both *b = arg;

	b->search.theirs = theirs;
	return !search_own(r, b->io, &b->search, &b->err) || b->search.found;
}

static bool is_behind(struct rejoin *r, const struct rejoin_txn *t, size_t i, void *arg)
{
	const struct rejoin_match *m = arg;

	(void)r;
	(void)t;
	return i > m->ours;
}

static bool set_start(
        struct rejoin *r, const struct rejoin_log *theirs, struct rejoin_match *m, struct err *e)
{
	const struct rejoin_txn *at = &theirs->all.items[m->theirs];
	uint64_t lost = 0;

	for (size_t i = m->theirs + 1; i < theirs->all.len; i++)
		lost += theirs->all.items[i].server == r->target->at->server_id;
	if (lost)
		return rj_refuse(e,
		        "its log was cut, as by a crash of its host: --clone makes it a copy",
		        "%s has %llu transactions that %s wrote and has lost",
		        r->master->conf->hostinfo, (unsigned long long)lost, r->o.target->hostinfo);
	snprintf(r->start.file, sizeof(r->start.file), "%s", theirs->files.items[at->file]);
	r->start.pos = at->end;
	r->proven = m->proven;
	r->lacking = theirs->all.len - m->theirs - 1;
	rj_mark_errant(r, is_behind, m);
	r->n_errant = r->own.all.len - m->ours - 1;
	r->own_known = true;
	return true;
}

/* Its channel knows the place, if it was a slave of this master before. */
static bool by_channel(struct rejoin *r)
{
	const struct snapshot_server *t = r->target->at;
	const struct snapshot_channel *ch = t->n_channels == 1 ? t->channels : NULL;

	if (!rj_follows_master(r, ch) || !ch->exec_file)
		return false;
	snprintf(r->start.file, sizeof(r->start.file), "%s", ch->exec_file);
	r->start.pos = ch->exec_pos;
	return true;
}

static bool unproven(struct rejoin *r, const struct err *why, struct err *e)
{
	if (why->kind != ERR_PRECOND || !why->code)
		return rj_refuse(e,
		        "without GTIDs the logs themselves must be read: mha-node is needed on "
		        "both "
		        "hosts; or --clone",
		        "where %s would go on cannot be proven: %s", r->o.target->hostinfo,
		        why->text);
	return rj_refuse(e, "--clone makes it a copy",
	        "where %s would go on in the binlogs of %s cannot be proven: %s",
	        r->o.target->hostinfo, r->master->conf->hostinfo, why->text);
}

bool rj_compare_pos(struct rejoin *r, struct run_io *io, struct err *e)
{
	struct both b = { .io = io };
	struct rejoin_log theirs = { .before = NULL };
	struct err why = { 0 };
	bool fine;

	fine = rj_look_back(r, r->master, NULL, false, run_deadline(io), &theirs, search, &b, &why);
	if (fine && !b.search.found)
		(void)search(r, &theirs, &b);
	if (fine && b.search.found)
		fine = set_start(r, &theirs, &b.search.match, e);
	else if (by_channel(r))
		fine = true;
	else
		fine = unproven(r, why.kind ? &why : b.err.kind ? &b.err : &b.search.why, e);
	rejoin_log_done(&theirs);
	return fine;
}
