/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fleet_impl - what the parts of fleet share: fleet.c clusters and their watches, fleet_load.c reading
 * and comparing files, fleet_verbs.c the control socket, fleet_glance.c metrics and pages,
 * fleet_attach.c managers in the foreground, fleet_rehearse.c rehearsals.  Runs on: loop.
 */
#pragma once
#include "act.h"
#include "conf.h"
#include "fleet.h"
#include "standin.h"
#include "vec.h"
#include "watch.h"

struct arena;
struct glance_rehearsal;
struct notify;
struct rehearse;

struct fleet_rehearsal {
	struct rehearse *run; /* NULL: none runs */
	bool ordered;         /* ... which a person wants */
	json_t *last;         /* NULL: there was none */
	int64_t tried_at;     /* wall clock, seconds, as all here */
	char *skipped;        /* why the last one was not made; NULL: it was */
	int64_t skipped_at;
	VEC(struct control_call *) waiting;
};

struct fleet_cluster {
	struct fleet *fleet;
	char *name, *path;
	struct conf *conf;        /* NULL: its file could never be used */
	struct watch *watch;      /* NULL with it */
	struct act *act;          /* likewise */
	char *problem;            /* of its file as it is now; NULL: none */
	uint64_t standin;         /* id of its stand-in; 0: none */
	pid_t standin_pid;        /* 0: not there yet */
	struct loop_timer *ended; /* its stand-in was ended: soon followed by a pause */
	int ended_by;
	struct control_call *attached; /* a masterha_manager in the foreground; NULL: none */
	pid_t attached_pid;
	bool attached_monitor; /* it ends with the death, whatever follows */
	int exit;              /* of the last failover, as MHA counts */
	bool log_complained;   /* its manager_log cannot be written */
	int64_t silent_at;     /* its master fell silent; 0: it is not */
	bool found;            /* by the reading under way */
	bool taken_up;         /* messages that an earlier mhad has left */
	struct fleet_rehearsal rehearsal;
};

struct fleet_glances;

struct fleet_old {
	struct conf *conf;
	int64_t at;
};

struct fleet {
	struct loop *loop;
	struct job_pool *jobs;
	struct fleet_opts opts;
	struct watch_env env;
	struct watch_self *self;
	VEC(struct fleet_cluster *) clusters; /* in the order of their names */
	VEC(struct fleet_old) old;            /* configurations that a late worker may still hold */
	struct loop_timer *tick;
	uint64_t next_standin;
	int64_t born;
	struct fleet_reading *reading;
	struct loop_timer *again; /* names could not be looked up */
	int64_t again_ms;         /* the pause before that; 0: all could */
	struct fleet_glances *glances;
	struct notify *notify;
	int64_t rehearse_looked; /* wall clock, seconds */
};

struct fleet_cluster *fleet_find(const struct fleet *f, const char *name);
/* Add, change or leave; takes `conf`. */
void fleet_use(struct fleet *f, const char *name, struct conf *conf, json_t *changed);
/* A file that cannot be used.  `text` is borrowed. */
void fleet_refuse(struct fleet *f, const char *name, const char *path, const char *text);
void fleet_drop_unfound(struct fleet *f, json_t *changed);
void fleet_free_reading(struct fleet *f);

/* fleet_glance.c; _stale: a run has ended. */
void fleet_glance_start(struct fleet *f);
void fleet_glance_stale(struct fleet *f);
void fleet_glance_end(struct fleet *f);
/* fleet_verbs.c: why nothing is decided just now; NULL. */
const char *fleet_tilt(const struct fleet *f);

/* The same for all that matters. */
bool fleet_same_conf(const struct conf *a, const struct conf *b);
/* fleet_attach.c: the foreground manager that is attached is told, and let go. */
void fleet_verb_attach(struct control_call *call, const json_t *args);
void fleet_attached_line(struct fleet_cluster *c, enum log_level level, const char *text);
void fleet_attached_failover(struct fleet_cluster *c, int code); /* it is over */
void fleet_attached_end(struct fleet_cluster *c, const char *how, const struct err *e);

/* fleet_rehearse.c; _stop: whether one ran, which may read the configuration for a while yet. */
void fleet_rehearse_tick(struct fleet *f);
void fleet_rehearse_begin(struct fleet_cluster *c);
bool fleet_rehearse_stop(struct fleet_cluster *c);
void fleet_rehearse_free(struct fleet_cluster *c);
json_t *fleet_rehearsal_json(const struct fleet_cluster *c);
void fleet_rehearsal_glance(
        const struct fleet_cluster *c, struct arena *a, struct glance_rehearsal *ret);
void fleet_verb_rehearse(struct control_call *call, const json_t *args);

void fleet_end_standin(struct fleet_cluster *c);
/* Its stand-in is made again, if it should have one. */
void fleet_stand_in(struct fleet_cluster *c);
