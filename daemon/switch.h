/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * switch - from a living master to another one.  Runs on: loop (its steps on workers).  Logs: yes.
 *
 * The steps stand in one table (switch.c); run.h carries it out.  All that can stand against a switch is
 * looked at while writes go on; then they are refused, for a few round trips:
 *
 *	look, lock, open all sessions -> `stop` hook -> freeze the old master -> the new one has all ->
 *	point of no return -> open it, `start` hook -> the slaves and the old master follow
 *
 * Whatever fails before the point of no return gives the writes back to the old master, and the service
 * address with them.  A switch that was killed before it is given back too, by the next one of that
 * cluster; behind it, it is finished.
 */
#pragma once
#include <jansson.h>
#include "conf.h"
#include "run.h"

struct link_room;
struct planned;

struct switch_env { /* all of it outlives the switch */
	struct loop *loop;
	struct job_pool *jobs;
	struct link_room *links;
	const char *state_dir; /* NULL: no journal is kept, which only a person may want */
};

/* MHA's --flush_tables, its question answered. */
enum switch_flush { SWITCH_FLUSH_NO, SWITCH_FLUSH_YES, SWITCH_FLUSH_IF_NEEDED };

struct switch_opts {                          /* all borrowed until switch_free() */
	const struct conf_server *new_master; /* NULL: elect */
	bool dry;                             /* only look: nothing is changed */
	bool check_only;                      /* ...and end after the checks of phase 1 */
	bool orig_is_new_slave;
	bool skip_lock;          /* --skip_lock_all_tables: writes were stopped by other means */
	bool remove_orig_conf;   /* ...from the file, on full success */
	int64_t updates_limit_s; /* a statement or transaction that writes, on the old master */
	int64_t seconds_limit_s; /* any statement on the new one */
	int64_t delay_limit_s;   /* of every slave */
	int64_t block_ms;        /* writes are given back when they were refused for so long */
	bool kill; /* what goes over the limits on the old master is ended, not waited for */
	enum switch_flush flush;
	bool watched; /* the mhad that watches the cluster was told: its lock on the master is fine */
	const char *why;
};

#define SWITCH_BLOCK_MS 900 /* the default of block_ms */

/* What came of it: valid from `done` to switch_free(). */
struct switch_report {
	enum run_result result;
	const struct conf_server *orig, *fresh; /* NULL: not known */
	const struct err *error;
	int exit;        /* MHA's exit code: 0, 10, 1 */
	bool opened;     /* the new master takes writes */
	bool given_back; /* nothing was switched: what a killed switch had left was undone */
	int64_t refused_us; /* how long nobody could write: to the open new master, or until they were given
	                       back; -1: never */
	int64_t moved_us; /* ... to the end of the `start` hook; -1: there was none */
};

typedef void (*switch_done_fn)(void *arg, struct planned *p, const struct switch_report *r);

/*
 * Begin, or end what the journal of this cluster has unfinished.  `c` is borrowed until switch_free().
 * Returns owned; NULL when the journal says no (ERR_PRECOND, ERR_SYSTEM): nothing was done.
 */
struct planned *switch_start(const struct switch_env *env, const struct conf *c,
        const struct switch_opts *o, switch_done_fn done, void *arg, struct err *e) MUST_USE;
void switch_cancel(struct planned *p, const char *why);
void switch_free(struct planned *p); /* after `done`, also from inside of it */

const struct conf_server *switch_orig(const struct planned *p); /* NULL: not known (yet) */
const struct conf_server *switch_fresh(
        const struct planned *p); /* whom it chose; NULL: nobody (yet) */

/* A switch of this cluster was killed and waits to be ended.  False also when nobody can tell. */
bool switch_is_unfinished(const char *state_dir, const char *cluster);

/* What a dry run found: for people, and as JSON (a new reference). */
char *switch_plan_text(const struct planned *p);
json_t *switch_plan_json(const struct planned *p);

/* All of it, with the timeline in ms.  A new reference. */
json_t *switch_json(const struct planned *p);

/* MHA's two trees, `From:` and `To:`.  Returns owned. */
char *switch_trees(const struct planned *p);

/* The table, for tests and documents. */
const struct run_plan *switch_plan(void);
