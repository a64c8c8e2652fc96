/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aftermath - what comes after a failover: the mark against flapping, the incident's files, a line of
 * history, report_script.  Runs on: loop (the files and the script on a worker).  Logs: yes.
 *
 * A run that changed nothing leaves a line of history and, unless the one before was refused for the
 * same reason, its record: it does not count, and nobody is called but by a queue, with report_on=all, when
 * the reason is a new one.
 */
#pragma once
#include "failover.h"

struct notify;

struct aftermath_opts {        /* all borrowed for the call */
	const char *state_dir; /* NULL: no history, no incidents */
	const char *conf_path; /* as the user gave it: report_script is told */
	const char *by;        /* who asked for it: "mhad", "root" */
	/* report_script is called by this queue, and `done` does not wait for it; NULL: called at once. */
	struct notify *notify;
};

typedef void (*aftermath_done_fn)(void *arg);

/* `f` and `r` are borrowed for the call: `f` may be freed at once.  `done` once, on the loop. */
void aftermath_start(struct job_pool *jobs, const struct conf *c, const struct failover *f,
        const struct failover_report *r, const struct aftermath_opts *o, aftermath_done_fn done,
        void *arg);
