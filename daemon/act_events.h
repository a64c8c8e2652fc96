/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * act_events - which events of the scheduler run on the master, asked now and then while it lives: when it is
 * dead nobody can tell.  Runs on: loop; asking on a worker.  Logs: what has changed.
 */
#pragma once
#include "repl.h"

struct act_events;
struct job_pool;
struct loop;
struct watch;

/* `w` is borrowed until act_events_free().  Returns owned. */
struct act_events *act_events_new(struct loop *l, struct job_pool *jobs, struct watch *w);
/* Nothing is asked any more, the watch may go; what is known stays. */
void act_events_stop(struct act_events *v);
void act_events_free(struct act_events *v); /* NULL is fine */

/* Those of this master, as last seen; NULL: it was never asked.  Borrowed until the loop's next turn. */
const struct repl_events *act_events_of(
        const struct act_events *v, const struct conf_server *master);
