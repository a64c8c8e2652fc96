/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rejoin_impl - what the files of rejoin share: its context, and the functions of its steps.
 *
 * rejoin.c (the table, begin and end), rejoin_look.c (who is who, what stands against it), rejoin_compare.c
 * (whose history is whose), rejoin_gtid.c, rejoin_mariadb.c and rejoin_pos.c (the same in each mode), rejoin_do.c
 * (what changes something), rejoin_flash.c (what takes back), rejoin_follow.c, rejoin_ring.c, rejoin_tell.c (texts),
 * rejoin_resume.c (what the journal of a killed run knows).
 */
#pragma once
#include "fan.h"
#include "journal.h"
#include "link.h"
#include "rejoin.h"
#include "rejoin_log.h"
#include "repl.h"
#include "snapshot.h"
#include "str.h"
#include "topology.h"

struct rj_end {
	const struct conf_server *conf; /* NULL: not known yet */
	struct link *link;
	struct link_door *door;
	struct repl *repl;                /* NULL: not logged in */
	const struct snapshot_server *at; /* in the pictures below */
};

struct rj_place { /* "" none */
	char file[256];
	uint64_t pos;
};

struct rejoin {
	struct rejoin_env env;
	struct rejoin_opts o;
	const struct conf *conf;
	rejoin_done_fn done;
	void *arg;
	struct rejoin_report report;

	struct journal *journal;
	struct run *run;
	char *run_name;

	/* Two halves of the configuration: the server, and all others. */
	struct conf one, others;
	const struct conf_server **list;

	struct rj_end *
	        ends; /* as conf->servers; links are made for all, since the master is found later */
	struct rj_end *target, *master;
	struct snapshot *snap_one, *snap_others;
	struct topology *topology;
	const struct topology_server
	        *like; /* a slave of the master: its options are the cluster's; NULL: none */
	enum topology_mode mode;
	enum repl_by by;
	bool already;

	/* What the comparison found. */
	bool compared;
	struct rejoin_log own; /* the end of the server's binlog, if it could be read */
	bool own_known;        /* all errant transactions are in there */
	bool *errant;          /* of own.all: which are errant; owned */
	uint64_t n_errant;
	bool errant_empty;          /* they are shown to change nothing */
	char *errant_gtids;         /* owned; MySQL: the set */
	struct rj_place saved_from; /* in the server's own log: behind it all of them stand */
	struct rj_place start;      /* by position: where it goes on in the master's log */
	char *start_gtid;           /* owned; by GTID: what it has without the errant ones */
	size_t proven;              /* by position: transactions in a row that are the same */
	uint64_t lacking;           /* transactions that it will fetch; 0 also if not known */
	char missing[400];          /* why the master cannot give it what it lacks; "" it can */
	bool in_doubt; /* its host was booted since, and its settings do not outlive that */
	char doubt[300];
	char *seen; /* owned: its GTIDs or its log's end when it was compared */

	/* How it goes on. */
	char saved_path[512], copied_by[20];
	const struct conf_server *donor;
	enum provision_how how;
	struct provision_place place;
	bool saved, reset, provisioned;
	bool acted; /* something was done that comparing again would not see through */
	struct {
		bool clone;
		enum rejoin_errant errant;
	} before;        /* how the run that was killed was asked for */
	uint64_t behind; /* at the end; 0: nothing */
};

/* ---- shared helpers ---- */

struct repl *rj_repl(struct rj_end *s, int64_t deadline, struct err *e);
struct rj_end *rj_of(struct rejoin *r, const struct conf_server *c);
bool rj_by_gtid(const struct rejoin *r);
bool rj_follows_master(const struct rejoin *r, const struct snapshot_channel *ch);
int64_t rj_until(const struct run_io *io, int64_t ms);
bool rj_refuse(struct err *e, const char *hint, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same for what a person may overrule: true, with a warning, when he does. */
bool rj_object(struct rejoin *r, struct run_io *io, struct err *e, const char *hint,
        const char *fmt, ...) PRINTF_LIKE(5, 6);
bool rj_has_host(struct rj_end *s, int64_t deadline, struct err *e); /* mha-node answers there */
char *rj_variable(struct rj_end *s, const char *name, int64_t deadline, struct err *e); /* owned */

/* Names of its binlogs, oldest first; to be freed with rj_names_done(). */
struct rj_names {
	VEC(char *) all;
};
bool rj_names(struct rj_end *s, int64_t deadline, struct rj_names *ret, struct err *e);
void rj_names_done(struct rj_names *n);

/*
 * The end of a server's binlogs: the last file, and more and more of those before it, until `enough` (or all).
 * What was fetched is in *l, which is done with and filled anew for each try.
 */
typedef bool (*rj_enough_fn)(struct rejoin *r, const struct rejoin_log *l, void *arg);
bool rj_look_back(struct rejoin *r, struct rj_end *s, const char *have, bool details,
        int64_t deadline, struct rejoin_log *l, rj_enough_fn enough, void *arg, struct err *e);

/* ---- comparing, by mode ---- */

bool rj_compare_gtid(struct rejoin *r, struct run_io *io, struct err *e);
bool rj_compare_mariadb(struct rejoin *r, struct run_io *io, struct err *e);
bool rj_compare_pos(struct rejoin *r, struct run_io *io, struct err *e);
/* Mark what is errant: `is` is asked for each transaction of r->own. */
typedef bool (*rj_errant_fn)(struct rejoin *r, const struct rejoin_txn *t, size_t i, void *arg);
void rj_mark_errant(struct rejoin *r, rj_errant_fn is, void *arg);
/* Where its own history stands now, as text that changes with every transaction.  Returns owned. */
char *rj_stand(struct rejoin *r, int64_t deadline, struct err *e);

/* ---- taking back (rejoin_flash.c) ---- */

bool rj_can_flash(struct rejoin *r, int64_t deadline, struct err *e); /* ERR_PRECOND says why not */
bool rj_flash_forget(struct rejoin *r, int64_t deadline, struct err *e);

/* ---- telling, resuming ---- */

char *rj_errant_text(const struct rejoin *r); /* owned; one line for each table and statement */
json_t *rj_errant_json(const struct rejoin *r);
void rj_restore(void *ctx, const char *step, enum run_line line, const json_t *facts);
void rj_note(struct rejoin *r, struct run_io *io);

/* ---- steps ---- */

#define RJ_STEP(name) bool name(void *ctx, struct run_io *io, struct err *e)
#define RJ_WHEN(name) bool name(void *ctx)

RJ_STEP(rj_read);
RJ_STEP(rj_check);
RJ_STEP(rj_compare);
RJ_STEP(rj_decide);
RJ_STEP(rj_save);
RJ_STEP(rj_is_saved);
RJ_STEP(rj_close);
RJ_STEP(rj_is_closed);
RJ_STEP(rj_inject);
RJ_STEP(rj_is_injected);
RJ_STEP(rj_flash);
RJ_STEP(rj_is_flashed);
RJ_STEP(rj_reset);
RJ_STEP(rj_is_reset);
RJ_STEP(rj_provision);
RJ_STEP(rj_is_provisioned);
RJ_STEP(rj_follow);
RJ_STEP(rj_follows);
RJ_STEP(rj_catch_up);
RJ_STEP(rj_ring);
RJ_STEP(rj_ring_is_closed);

RJ_WHEN(rj_has_work);
RJ_WHEN(rj_has_errant);
RJ_WHEN(rj_will_inject);
RJ_WHEN(rj_will_flash);
RJ_WHEN(rj_will_reset);
RJ_WHEN(rj_will_provision);
RJ_WHEN(rj_will_close_ring);
