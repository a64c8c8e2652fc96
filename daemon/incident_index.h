/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * incident_index - what is kept of all clusters' runs, at a glance: for lists, counts and metrics.  Runs on:
 * worker (it reads files); any thread may look at it.  Logs: never.
 *
 * An index is immutable and lives until its last holder lets it go.  Records never change once they are
 * written, so what an earlier index knows is not read again.
 */
#pragma once
#include <stdint.h>
#include "mem.h"
#include "run.h"

enum { INCIDENT_RESULTS = RUN_FAILED + 1 };

struct incident_entry {
	const char *id; /* fit for a URL, unique: CLUSTER-RUN */
	const char *cluster, *run;
	const char *plan;                               /* "failover", "switch"... */
	const char *result;                             /* run_result_name() */
	const char *dead, *fresh, *lost, *fenced, *why; /* "" none */
	int64_t at;                                     /* wall clock, seconds: its end */
	int64_t opened_ms;                              /* from the first sign to writes; -1 */
};

/* All of one cluster. */
struct incident_sum {
	const char *cluster;
	bool journal_open; /* a run stands in the journal: it goes on, or was killed */
	uint64_t failovers[INCIDENT_RESULTS], switches[INCIDENT_RESULTS];
	uint64_t with_loss;
	const struct incident_entry *last; /* NULL: there is none */
};

struct incident_index;

/* All below state_dir (NULL: nothing is kept, and the index is empty).  `before` (may be NULL) is borrowed.
 * Files that cannot be read are left out.  NULL: ERR_SYSTEM, the directory cannot be read. */
struct incident_index *incident_index_read(
        const char *state_dir, const struct incident_index *before, struct err *e) MUST_USE;
struct incident_index *incident_index_hold(struct incident_index *x);
void incident_index_free(struct incident_index *x); /* lets go; NULL is fine */

/* The newest first. */
const struct incident_entry *incident_index_all(const struct incident_index *x, size_t *ret_n);
const struct incident_entry *incident_index_find(const struct incident_index *x, const char *id);
/* NULL: nothing is kept of it. */
const struct incident_sum *incident_index_of(const struct incident_index *x, const char *cluster);
