/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * move_impl - what the files of move share: its context, and the functions of its steps.
 *
 * move.c (the table, begin and end), move_look.c (looking, locks, the proof), move_level.c (standing still at one place),
 * move_point.c (the new source, and what comes after).
 *
 * The context belongs to the step that runs.
 */
#pragma once
#include "move.h"
#include "repl.h"
#include "semisync.h"

struct move_side {
	const struct conf_server *conf;
	struct repl *repl; /* NULL: not logged in */
	struct repl_lock *lock;
	char channel[200]; /* by which it follows its source */
	bool is_slave;
};

struct move_place {
	char file[512]; /* "" none */
	uint64_t pos;
};

struct move {
	struct move_env env;
	struct move_opts o;
	const struct conf *conf;
	move_done_fn done;
	void *arg;
	struct journal *journal;
	struct run *run;
	char *run_name, *journal_dir;
	struct move_report report;
	char place_text[560];

	struct move_side child, from, to;
	enum flatten_kind kind;
	struct snapshot *snapshot;
	struct topology *topology;
	const struct topology_server *topo; /* the child's */

	bool resumed; /* taken up */
	bool pointed; /* the child has the new source */
	bool lost;    /* taken up, and it follows neither */
	bool stopped; /* something was asked to stand still, perhaps by a run that was killed */
	struct move_place place; /* in the new source's binlog: there it begins */
	struct move_place back;  /* in the old one's: there it stood */
	int64_t stood_since, stood_ms;

	int64_t count_was;    /* the old source's wait count, before it was lowered; 0 it was not */
	bool source_was_on;   /* ... its waiting side was switched off */
	bool replica_was_off; /* the child's acknowledging side was switched on */
};

#define MOVE_STEP(name) bool name(void *ctx, struct run_io *io, struct err *e)
#define MOVE_WHEN(name) bool name(void *ctx)

MOVE_STEP(move_read);
MOVE_STEP(move_check);
MOVE_STEP(move_lock);
MOVE_STEP(move_locked);
MOVE_STEP(move_unlock);
MOVE_STEP(move_acks);
MOVE_STEP(move_acks_fit);
MOVE_STEP(move_unacks);
MOVE_STEP(move_stop);
MOVE_STEP(move_stopped);
MOVE_STEP(move_unstop);
MOVE_STEP(move_level);
MOVE_STEP(move_is_level);
MOVE_STEP(move_prove);
MOVE_STEP(move_point);
MOVE_STEP(move_is_pointed);
MOVE_STEP(move_unpoint);
MOVE_STEP(move_resume);
MOVE_STEP(move_resumed);
MOVE_STEP(move_unresume);
MOVE_STEP(move_follow);
MOVE_STEP(move_follows);
MOVE_STEP(move_unfollow);
MOVE_STEP(move_roles);

MOVE_WHEN(move_is_here);  /* the child has its old source */
MOVE_WHEN(move_is_acker); /* ... and acknowledges to it */

/* The session of one side, logged in if it is not. */
struct repl *move_repl(struct move_side *s, int64_t deadline, struct err *e);
int64_t move_until(const struct run_io *io, int64_t ms);
/* Both threads, or what of them does not run; a server that is no slave is fine. */
bool move_start_both(struct move_side *s, int64_t deadline, struct err *e);
/* The applier first: of a transaction that is received by half the rest may come. */
bool move_stop_both(struct move_side *s, int64_t deadline, struct err *e);
bool move_is_at(const char *file, uint64_t pos, const struct move_place *p);
/* Who stands still while it is found out where: the old source (up), the new one (down), nobody. */
struct move_side *move_still(struct move *m);
/* The child's channel names this one of the two, by the topology's rules. */
bool move_names(const struct repl_now *now, const struct conf_server *s);
