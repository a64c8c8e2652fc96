/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * journal - what a run was about to do and what it did, on disk before and after it is done.  Runs on:
 * worker, main thread; lines may come from several threads.  Logs: never.
 *
 * <state_dir>/<cluster>/journal, one JSON object per line:
 *
 *	{"run":"20261120-031209-4711","plan":"failover","at":...,"pid":...,"facts":{...}}
 *	{"begin":"fence","at":...}
 *	{"end":"fence","ok":true,"ms":12,"facts":{...}}
 *	{"end":"fence","ok":false,"ms":12,"error":"..."}
 *	{"undo":"fence","ok":true}
 *	{"done":"success","at":...}
 *
 * The file is there as long as the run is not done; then it goes to runs/<run>.  So a file that is
 * there tells of a process that was killed: a step that was begun and not ended may have happened.
 * While a run goes on, its process holds a lock on it, so that nobody else takes it for dead.
 */
#pragma once
#include <jansson.h>
#include "err.h"

struct journal;

/*
 * Take the cluster's journal.  ERR_PRECOND: another process has it (the text says which), or the file
 * is damaged (but for a torn last line, which a crash leaves).  ERR_SYSTEM: it cannot be written.
 * Returns owned.
 */
struct journal *journal_open(const char *state_dir, const char *cluster, struct err *e) MUST_USE;
void journal_close(struct journal *j); /* the file stays as it is; NULL is fine */

/* The lines of an unfinished run, oldest first; NULL: there is none.  Borrowed. */
const json_t *journal_unfinished(const struct journal *j);

/* A new run; there must be no unfinished one.  `facts` is taken, NULL is none. */
bool journal_begin(struct journal *j, const char *run, const char *plan, json_t *facts,
        struct err *e) MUST_USE;

/*
 * One line; `line` is taken.  With `sync` it is on disk when the call returns, and so are all before it:
 * what is about to be done has to be, while what was looked at, or is done, may wait for the next such
 * line, since a step that is not known to be done is verified.  A killed process loses neither.
 */
bool journal_add(struct journal *j, json_t *line, bool sync, struct err *e) MUST_USE;

/* The run is over; the file moves to runs/<run>. */
bool journal_end(struct journal *j, const char *result, struct err *e) MUST_USE;

/* "20261120-031209-4711": wall time and pid.  Returns owned. */
char *journal_run_name(void);
