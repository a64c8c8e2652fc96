/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * move - one slave changes its source, with nothing skipped and nothing done twice.  Runs on: loop (its steps on
 * workers).  Logs: yes.
 *
 * One run is one hop (flatten.h).  By position all rests on servers that stand still at a place that both
 * binlogs know:
 *
 *	up	stop the applier of the old source, let the slave execute all that the source has written, take
 *		the source's *executed* position, point the slave there, start both
 *	down	stop the appliers of both, start the one that is behind until where the other one stands, take the end of the new
 *		source's binlog, point the slave there, start both
 *	by GTID	stop the slave, wait until the new source has all it has, point it there
 *
 * The old source goes on receiving, so that a semi-sync master does not notice.  Each step before the slave is
 * started is undone when it fails; a slave that has not executed anything of its new source is given back to
 * the old one.  A run that was killed is taken up by the next one, whatever that was meant to move.  Moves have
 * a journal of their own, which never stands in the way of a failover.
 */
#pragma once
#include <jansson.h>
#include "conf.h"
#include "flatten.h"
#include "run.h"

struct move;

struct move_env { /* all of it outlives the move */
	struct loop *loop;
	struct job_pool *jobs;
	const char *state_dir; /* NULL: no journal is kept, which only a person may want */
};

struct move_opts { /* all borrowed until move_free() */
	const struct conf_server *child, *from, *to;
	enum flatten_kind kind;
	int64_t max_wait_ms; /* the old source stands still no longer than this */
	bool force;          /* refusals that a person may overrule */
};

struct move_report {
	enum run_result result;
	const struct conf_server *child, *from, *to;
	enum flatten_kind kind;
	bool resumed;
	bool moved; /* the slave follows the new source */
	const struct err *error;
	int64_t took_ms, stood_ms; /* all of it; while an applier stood still */
	const char *place; /* "mysql-bin.000003:4711" in the new source's binlog; "" by GTID */
};

typedef void (*move_done_fn)(void *arg, struct move *m, const struct move_report *r);

/*
 * Begin.  An unfinished run in the journal is taken up instead, whatever was asked for: see
 * move_report.resumed.  `c` is borrowed until move_free().  Returns owned; NULL: the journal says no
 * (ERR_PRECOND, ERR_SYSTEM), or a failover is under way or unfinished.
 */
struct move *move_start(const struct move_env *env, const struct conf *c, const struct move_opts *o,
        move_done_fn done, void *arg, struct err *e) MUST_USE;
void move_cancel(struct move *m, const char *why);
void move_free(struct move *m); /* after `done`, also from inside of it */

const struct run *move_run(const struct move *m);
json_t *move_json(const struct move *m); /* what happened, step by step; a new reference */

/* A run of this cluster was killed and waits to be taken up. */
bool move_is_unfinished(const char *state_dir, const char *cluster);

/* The table, for tests and documents. */
const struct run_plan *move_plan(void);
