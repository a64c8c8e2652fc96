/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run - carries a plan out: steps in their order, each with its deadline, its proof and its way back.
 * Runs on: loop; the steps themselves on a worker.  Logs: yes, MHA's phases and what the steps say.
 *
 * A plan is a table.  A step does, then verifies: what was done is never believed, the world is
 * asked.  Before and after each step a line goes to the journal (journal.h), synced, so that a run
 * that was killed can be taken up again: its steps are then verified first, and done only if they
 * are not done.  So each step must be harmless when done twice.
 *
 * Up to the point of no return a step that fails ends the run, and what was done is undone in
 * reverse; behind it the run goes on to the end and what failed is a line of the report.  A run that
 * was killed behind that point is never undone: when it cannot be taken up, it stays in the journal.
 *
 * The steps of one run share a context that belongs to them alone while the run goes on: one step
 * at a time, on one worker, but for those that run beside each other, which keep to their own parts.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>
#include "str.h"

struct job_pool;
struct journal;
struct loop;
struct run;
struct run_io;

enum run_on_fail {
	RUN_STOP,  /* end, and undo what was done (behind the point of no return: go on) */
	RUN_GO_ON, /* a line in the report, and the result is RUN_PARTIAL */
	RUN_WARN,  /* a line in the report, nothing else */
};

struct run_step {
	const char *name;  /* in the journal, reports and failpoints: "stop_io" */
	const char *phase; /* it begins a phase: "Phase 2: Dead Master Shutdown Phase" */
	const char *title; /* what it does, for plans and reports: "stop the slaves' IO threads" */
	bool (*when)(void *ctx);                                  /* NULL: always */
	bool (*act)(void *ctx, struct run_io *io, struct err *e); /* NULL: only to verify */
	bool (*verify)(
	        void *ctx, struct run_io *io, struct err *e); /* NULL: only if it changes nothing */
	bool (*undo)(void *ctx, struct run_io *io, struct err *e); /* NULL: nothing to undo */
	int64_t budget_ms;
	enum run_on_fail on_fail;
	bool reads;   /* it only fills the context: done anew when a run is taken up */
	bool changes; /* from here on the world is changed: before, a failure is a refusal */
	/* Asked when the step before it begins: may it run beside that one?  NULL: no. */
	bool (*beside)(void *ctx);
	bool no_return; /* the point of no return is before this step */
	/*
	 * Its line of the journal is written and not waited for: a process that is killed keeps it, a
	 * machine that loses power may not.  For steps in the middle of something where each millisecond
	 * counts, after a synced line that tells of all of it.
	 */
	bool quick;
};

struct run_plan {
	const char *name; /* "failover" */
	const struct run_step *steps;
	size_t n;
};

/* Complains about a table that cannot be right: names twice, undo behind the point of no return, a
 * step that changes the world and has no verify...  For tests. */
bool run_plan_check(const struct run_plan *p, struct err *e) MUST_USE;

enum run_result {
	RUN_SUCCESS, /* all steps */
	RUN_PARTIAL, /* the aim is reached, something is left to a person: MHA's exit code 10 */
	RUN_REFUSED, /* nothing was changed */
	RUN_UNDONE,  /* it failed, and all is as it was */
	RUN_FAILED,  /* it failed, and something was changed and not undone */
};

enum run_state { RUN_NOT_YET, RUN_SKIPPED, RUN_RUNNING, RUN_DONE, RUN_BROKEN, RUN_UNMADE };

/* How a step went: the timeline of a report. */
struct run_record {
	const struct run_step *step;
	enum run_state state;
	bool was_done;        /* found done when the run was taken up */
	bool untouched;       /* it changed nothing */
	int64_t begun, ended; /* instants; of its undo if UNMADE */
	struct err err;       /* BROKEN, or its undo failed */
};

struct run_opts {
	struct loop *loop;
	struct job_pool *jobs;
	struct journal
	        *journal;    /* borrowed; NULL: none is kept (dry runs, or forced by a person) */
	const char *run;     /* its name; borrowed */
	const char *cluster; /* for the log; borrowed */
	json_t *facts;       /* of the run, for the journal's first line; taken */
	bool quiet;          /* its log lines are debug: somebody only asks what would be done */

	/* Called on the loop.  `step` may be NULL; `done` once, and never from inside of run_start(). */
	void (*step)(void *arg, const struct run *r, const struct run_record *s);
	void (*done)(void *arg, struct run *r, enum run_result result);
	void *arg;
};

/*
 * What the journal knows of a run that is taken up: the facts of the run (`step` is ""), and for each line
 * of a step whether it began, ended well or ended badly, with what it had noted (may be NULL).
 */
enum run_line { RUN_BEGAN, RUN_ENDED_WELL, RUN_ENDED_BADLY };
typedef void (*run_restore_fn)(
        void *ctx, const char *step, enum run_line line, const json_t *facts);

/*
 * Begin, or take up what the journal has unfinished (its plan must be this one).  When it is taken
 * up, `restore` (may be NULL) is told all of it in order, before anything runs.
 * Plan, context and options are borrowed until run_free().  Returns owned.
 */
struct run *run_start(
        const struct run_plan *p, const struct run_opts *o, void *ctx, run_restore_fn restore);

/* End after the step that runs now, as if it had failed. */
void run_cancel(struct run *r, const char *why);

/* What somebody else has seen that belongs to its warnings. */
void run_remark(struct run *r, const char *text);

/* After `done`, also from inside of it. */
void run_free(struct run *r);

const struct run_record *run_records(const struct run *r, size_t *ret_n);
const struct err *run_error(const struct run *r); /* why it ended; kind ERR_NONE: nothing failed */
const char *run_name(const struct run *r);
bool run_was_resumed(const struct run *r);
int64_t run_begun(const struct run *r); /* instant */
/* What was done is being undone, or has been. */
bool run_is_undoing(const struct run *r);
/* How it goes with the step of that name; RUN_NOT_YET: there is none. */
enum run_state run_state_of(const struct run *r, const char *step);

/* ---- for the steps, on their worker ---- */

int64_t run_deadline(const struct run_io *io); /* instant: whatever the step waits for ends then */
bool run_is_canceled(struct run_io *io);
/* In a verify: is it what a killed run has left that is looked at?  Then there is nothing to wait for. */
bool run_is_first_look(const struct run_io *io);
/* The step has found that there was nothing to change, or failed before it changed anything. */
void run_untouched(struct run_io *io);
/* Facts that the journal keeps with the end of this step; later ones of one name win.  Takes `value`. */
void run_note(struct run_io *io, const char *name, json_t *value);
/* A line for the report's "needs a person" list, and the log. */
void run_warn(struct run_io *io, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* All of them, in order.  Borrowed. */
const char *const *run_warnings(const struct run *r, size_t *ret_n);

const char *run_result_name(
        enum run_result r); /* "success", "partial", "refused", "undone", "failed" */
const char *run_state_name(enum run_state s);

/*
 * Failpoints, for tests: $MHAD_FAILPOINT is a list, with commas between, of STEP:WHERE=WHAT.  WHERE is begin
 * (before the journal knows), act (before it is done), verify (before it is verified), end (before the
 * journal knows), undo.  WHAT is kill (the process kills itself), error, or sleep:MS.  Not there in release
 * builds (-DMHAD_RELEASE).
 */
