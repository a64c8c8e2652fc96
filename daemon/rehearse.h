/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rehearse - a failover of a cluster that is well, up to the point where it would change something.
 * Runs on: loop (what blocks on workers); judging and files on any thread.  Logs: never.
 *
 * Everything that a failover needs is tried for real: the servers are read and the plan is made as if the master
 * died now (failover.h), each host is logged in to anew and its node tools and its disk are asked, the hooks
 * are called with --command=status, the account's rights are read.  Nothing is changed.
 *
 * A result is one JSON object:
 *
 *	"format" 1, "cluster", "at" (seconds since 1970), "by", "took_ms"
 *	"result"	"ready", "warnings", "refused"
 *	"master", "new_master" (null: nobody), "refusal" (an error, or null)
 *	"lost"		what could not be saved if the master's server died now; "" nothing
 *	"only_the_master_has"	transactions and bytes, or null when its disk cannot be read
 *	"expected"	{"detect_ms","look_ms","hooks_ms","apply_ms"}: what is known of the time until writes go
 *			on; "expected_ms" their sum
 *	"problems"	[{"code","severity","server","text","hint"}]
 *	"worse", "better"	texts: what has changed since the one before
 *
 * The last two are <state_dir>/<cluster>/rehearsal.json and rehearsal.1.json.
 */
#pragma once
#include <jansson.h>
#include "conf.h"
#include "str.h"

struct job_pool;
struct link_room;
struct loop;
struct rehearse;

struct rehearse_env {
	struct loop *loop;
	struct job_pool *jobs;
	struct link_room *links;
};

struct rehearse_opts { /* servers as `c`, all else for the call */
	const struct conf_server *master;
	const struct conf_server *absent; /* the master of before, not back yet; NULL */
	const char *by;
	bool semisync;  /* its commits were acknowledged when it was last asked */
	json_t *before; /* the last result; NULL: there is none */
};

/* `result` is borrowed for the call; NULL: it was broken off. */
typedef void (*rehearse_done_fn)(void *arg, json_t *result);

/*
 * `c` is borrowed until `done`, and as long as jobs may hold it that were given up on by then.  `done` once, on
 * the loop, never from inside of this function; REHEARSE_MS bounds each part, and all run at once.
 */
enum { REHEARSE_MS = 120000 };
struct rehearse *rehearse_start(const struct rehearse_env *env, const struct conf *c,
        const struct rehearse_opts *o, rehearse_done_fn done, void *arg);

/* Its result does not matter any more: the master is ill, a person acts.  `done` comes soon. */
void rehearse_cancel(struct rehearse *r);
/* `done` is not called; what still runs ends by itself.  NULL is fine. */
void rehearse_forget(struct rehearse *r);

/* ---- results ---- */

/* Adds result, expected_ms, worse and better to what was found.  `before` may be NULL. */
void rehearse_judge(json_t *result, const json_t *before);

/* What was the last one becomes the one before.  Blocks; synced. */
bool rehearse_keep(
        const char *state_dir, const char *cluster, const json_t *result, struct err *e) MUST_USE;
/* A new reference; NULL: there is none that can be read. */
json_t *rehearse_load(const char *state_dir, const char *cluster);

/* One line: "ready, in about 1.2 s: db2(10.0.0.2:3306)". */
void rehearse_line(struct str *to, const json_t *result);
/* All of it, for people. */
void rehearse_text(struct str *to, const json_t *result);
