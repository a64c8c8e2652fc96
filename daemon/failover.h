/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * failover - from a dead master to an open new one.  Runs on: loop (its steps on workers).  Logs: yes.
 *
 * The steps stand in one table (failover.c), which says in which order what is done, how it is proved
 * and how it is undone; run.h carries it out.  Before anything is changed everything is looked at, so
 * that a refusal leaves the cluster as it was; a dry run is just that part.
 *
 *	count what would be lost -> take the address away, close, fence -> freeze the slaves -> save what the
 *	dead master's disk has -> power off -> bring the new master level -> point of no return -> open it ->
 *	the slaves follow
 */
#pragma once
#include <jansson.h>
#include "catchup.h"
#include "conf.h"
#include "elect.h"
#include "run.h"
#include "verdict.h"

struct failover;
struct link;
struct link_room;
struct repl_events;

struct failover_env { /* all of it outlives the failover */
	struct loop *loop;
	struct job_pool *jobs;
	struct link_room *links;
	const char *state_dir; /* NULL: no journal is kept, which only a person may want */
};

struct failover_opts {                        /* all borrowed until failover_free() */
	const struct conf_server *dead;       /* which server is the dead master */
	const struct conf_server *new_master; /* --new_master_host; NULL: elect */

	const char *by; /* who acts, for the history: "mhad" */

	/* Why: for the report and for what may be done without asking. */
	enum verdict_code verdict;
	const char *why;
	int64_t seen; /* instant of the first sign of it; 0 not known */

	/* The old master of a failover before, not back yet: that it is dead is no reason to refuse.  NULL. */
	const struct conf_server *absent;

	/* Double masters: who followed it, and it that one, when it was last seen.  NULL: nobody, or not known. */
	const struct conf_server *co_master;

	bool semisync; /* it waited for acknowledgements when it was last seen, and got them */

	bool manual;     /* a person asked for it: MHA's "manual(interactive)" */
	bool dry;        /* only look: nothing is changed */
	bool what_if;    /* with `dry`: it may live, as if it died now */
	bool quiet;      /* with `dry`: it leaves no lines in the log */
	bool allow_loss; /* more than max_loss */
	bool force;      /* refusals that a person may overrule: see failover_refusal.forceable */
	bool ignore_last_failover;
	int64_t failover_interval; /* ms; -1: the setting's */
	int ssh_reachable;         /* 0 no, 1 yes, 2: find out */
	bool skip_save;            /* --skip_save_master_binlog */
	bool skip_change_master, skip_disable_read_only;
	bool no_gtid_wait; /* --wait_until_gtid_in_sync=0 */
	bool ignore_binlog_server_error;
	bool remove_dead_conf;
	const char *global_path; /* to say in hints which files were used; may be NULL */
	/* Of the scheduler, that ran on the old master when it lived; NULL: not known. */
	const struct repl_events *events;
};

enum fence_result { FENCE_NOT_YET, FENCE_DONE, FENCE_UNPROVEN, FENCE_FAILED };

/* What came of it: valid from `done` to failover_free(). */
struct failover_report {
	enum run_result result;
	const struct conf_server *dead;
	const struct conf_server *new_master; /* NULL: none was opened */
	enum fence_result fenced;
	const char *fenced_why;
	const struct err *error;
	const char *subject, *body; /* MHA's report; `body` has its lines */
	int exit;                   /* MHA's exit code: 0, 10, 1 */
	bool begun;     /* something was changed: it counts for the rule against flapping */
	int64_t opened; /* instant at which the new master took writes; 0 never */
};

typedef void (*failover_done_fn)(void *arg, struct failover *f, const struct failover_report *r);

/*
 * Begin, or take up what the journal of this cluster has unfinished.  `c` is borrowed until failover_free().
 * Returns owned; NULL when the journal says no (ERR_PRECOND, ERR_SYSTEM): nothing was done.
 */
struct failover *failover_start(const struct failover_env *env, const struct conf *c,
        const struct failover_opts *o, failover_done_fn done, void *arg, struct err *e) MUST_USE;
void failover_cancel(struct failover *f, const char *why);
void failover_free(struct failover *f); /* after `done`, also from inside of it */

const struct run *failover_run(const struct failover *f);

/* Whom it chose; NULL: nobody (yet). */
const struct conf_server *failover_elected(const struct failover *f);
/* "h1,h2": hosts of the slaves that follow the new master, for report_script.  Returns owned. */
char *failover_slave_hosts(const struct failover *f);

/* A run of this cluster was killed and waits to be taken up.  False also when nobody can tell. */
bool failover_is_unfinished(const char *state_dir, const char *cluster);
/* ... and whose: the dead master of that run.  NULL: there is none, or it is not configured any more. */
const struct conf_server *failover_unfinished(const char *state_dir, const struct conf *c);

/* What a dry run found: the plan as text for people, and as JSON (a new reference). */
char *failover_plan_text(const struct failover *f);
json_t *failover_plan_json(const struct failover *f);

/* The incident as JSON: everything, with the timeline in ms.  A new reference. */
json_t *failover_json(const struct failover *f);

const char *fence_result_name(
        enum fence_result r); /* "not tried", "fenced", "unproven", "failed" */

/* The table, for tests and documents. */
const struct run_plan *failover_plan(void);
