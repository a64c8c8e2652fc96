/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * job - everything slow runs in a worker thread.  Runs on: loop, except the run function.
 *
 * A job has one owner at a time: the loop, then a worker, then the loop again.  A worker holds one
 * job and sees nothing else: no locks in business code.  At its deadline a job ends on the loop as
 * ERR_LOST, whatever its worker does ("<name>: no answer within N ms"); the worker is written off,
 * never waited for, another takes its place, and the job's memory is released when the last of the
 * two lets go.  A job that no worker had begun by its deadline ends as ERR_SYSTEM with code EAGAIN:
 * nothing ran, and it says nothing about any host.
 *
 *	struct job *j = job_new("read db3", clock_in(5000), read_server, read_done, free_arg, arg);
 *	job_start(pool, j);		// takes j
 *
 * run() derives its own timeouts from job_deadline(); after the deadline its result is thrown away.
 * Its stack has 512 KiB.
 */
#pragma once
#include <stdint.h>
#include "mem.h"

struct loop;
struct job;
struct job_pool;

typedef bool (*job_run_fn)(struct job *j, void *arg, struct err *e); /* worker; may block */
/* Loop; exactly once; e is NULL on success.  May start other jobs. */
typedef void (*job_done_fn)(struct job *j, void *arg, const struct err *e);
typedef void (*job_free_fn)(void *arg); /* any thread: whoever holds it last */

/* Threads are made when needed, up to `most` busy ones (more jobs wait, their deadlines run), and kept. */
struct job_pool *job_pool_new(struct loop *l, int most);

/*
 * Jobs that have not ended end now, as ERR_CANCELED; what their done functions start is freed
 * without being run.  Idle workers end; written-off ones are left to the process's end.  Not
 * from a done function.
 */
void job_pool_free(struct job_pool *p); /* NULL is fine */

/*
 * `done` and `free_arg` may be NULL.  When a job is late (or canceled), `arg` still belongs to the
 * worker while done() runs: done() must then use only what run() does not touch (job_is_late()).
 */
struct job *job_new(const char *name, int64_t deadline, job_run_fn run, job_done_fn done,
        job_free_fn free_arg, void *arg);
void job_start(struct job_pool *p, struct job *j); /* takes j */

const char *job_name(const struct job *j);
int64_t job_deadline(const struct job *j);
bool job_is_late(const struct job *j);      /* loop: it ended, the worker may still be at it */
bool job_is_abandoned(const struct job *j); /* worker: nobody waits any more, stop early */

/* For commands: run the loop until all jobs started in this pool have ended, or loop_stop(). */
void job_wait_all(struct job_pool *p);
