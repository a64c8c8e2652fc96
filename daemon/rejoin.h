/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rejoin - a returned old master, or a new server, becomes a slave of the master that there is now.
 * Runs on: loop (its steps on workers).  Logs: yes.
 *
 * First all is looked at: who the server is, whether its history is part of the master's, where it has to go on, and
 * whether the master still has what it lacks.  What cannot be proved is refused, and nothing was changed then.
 * What is its own is shown, and saved here before anything of it is dropped.
 *
 * A rejoin keeps its journal apart from the failover's, in <state_dir>/<cluster>/rejoin: a copy that takes hours
 * holds up no failover.
 */
#pragma once
#include <jansson.h>
#include "conf.h"
#include "provision.h"
#include "run.h"

struct link_room;
struct rejoin;

struct rejoin_env { /* all of it outlives the rejoin */
	struct loop *loop;
	struct job_pool *jobs;
	struct link_room *links;
	const char *state_dir;
};

/* What shall become of transactions that only the server itself has. */
enum rejoin_errant {
	REJOIN_ERRANT_REFUSE,
	/* They are kept: the master gets empty ones in their place (MySQL's GTIDs); or they are left out of
	 * the history (else).  For those that change no rows, unless forced. */
	REJOIN_ERRANT_INJECT,
	/* Their rows are taken back, where the binlog has them whole; then they are left out of the history. */
	REJOIN_ERRANT_FLASHBACK,
};

struct rejoin_opts { /* all borrowed until rejoin_free() */
	const struct conf_server *target;
	const struct conf_server *master; /* NULL: whom the others follow */
	const struct conf_server *donor;  /* for `clone`; NULL: a slave */
	enum rejoin_errant errant;
	bool clone; /* its data is replaced by a copy of the donor's */
	enum provision_how how;
	bool force;      /* refusals that a person may overrule; each says so */
	bool only_clean; /* nobody was asked: only where nothing is in doubt */
	bool dry;        /* only look */
};

/* What came of it: valid from `done` to rejoin_free(). */
struct rejoin_report {
	enum run_result result;
	const struct conf_server *target, *master; /* master NULL: not found */
	const struct err *error;
	bool already; /* it was a slave of it, and replicates: nothing was to do */
};

typedef void (*rejoin_done_fn)(void *arg, struct rejoin *r, const struct rejoin_report *report);

/*
 * Begin, or take up what was killed (about the same server).  Returns owned; NULL when the journal says no.
 */
struct rejoin *rejoin_start(const struct rejoin_env *env, const struct conf *c,
        const struct rejoin_opts *o, rejoin_done_fn done, void *arg, struct err *e) MUST_USE;
void rejoin_cancel(struct rejoin *r, const char *why);
void rejoin_free(struct rejoin *r); /* after `done`, also from inside of it */

/* A rejoin of this cluster was killed and waits to be taken up. */
bool rejoin_is_unfinished(const char *state_dir, const char *cluster);

/* What was found and what is to be done, for people (owned) and machines (a new reference). */
char *rejoin_text(struct rejoin *r);
json_t *rejoin_json(const struct rejoin *r);

/* The table, for tests. */
const struct run_plan *rejoin_plan(void);
