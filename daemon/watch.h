/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch - one cluster is watched: the state machine between evidence and answer.  Runs on: loop.
 * Logs: yes, in the name of its cluster.
 *
 * The watch owns the probe of the master, the views of the slaves, the links to the hosts and the
 * schedule of all of them; it turns what they say into facts (verdict.h), judges, and answers.  It
 * never judges by itself: whatever decides stands in verdict.c or is a gate.
 *
 * One table in watch.c lists which state may follow which on what event; nothing else assigns the
 * state, and a pair that is not listed is a bug that is logged.
 */
#pragma once
#include <jansson.h>
#include "conf.h"
#include "evidence.h"

struct job_pool;
struct link_room;
struct loop;
struct watch;

#define WATCH_STATES(X)                                                                            \
	X(STARTING, "starting", "the servers are looked at for the first time")                    \
	X(NO_MASTER, "no_master", "which server is the master cannot be told, or must be mended")  \
	X(LOCKED, "locked", "another manager holds the master's advisory lock")                    \
	X(MONITORING, "monitoring", "the master is watched")                                       \
	X(SUSPECT, "suspect", "a look failed: evidence is gathered")                               \
	X(CONFIRMING, "confirming", "the evidence says dead: it is looked at once more")           \
	X(DEAD, "dead", "the master is dead")                                                      \
	X(FAILING_OVER, "failing_over", "a failover runs")                                         \
	X(BLOCKED, "blocked", "the master is dead, and a gate forbids to fail over")               \
	X(PAUSED, "paused", "watched, but a person has forbidden to act")                          \
	X(TILT, "tilt", "this host was ill: nothing is decided for a moment")                      \
	X(STOPPED, "stopped", "not watched any more")
enum watch_state {
#define WATCH_STATE_ENUM(sym, ...) WATCH_##sym,
	WATCH_STATES(WATCH_STATE_ENUM)
#undef WATCH_STATE_ENUM
};

/* What may forbid a failover.  X(symbol, name). */
#define WATCH_GATES(X)                                                                             \
	X(VERDICT, "verdict") /* it is not dead, or not surely so */                               \
	X(PAUSED, "paused")   /* mhactl pause, or its manager was ended by a signal */             \
	X(TILT, "tilt")                                                                            \
	X(LOCK, "lock")         /* another manager */                                              \
	X(RECENT, "recent")     /* .failover.complete, .failover.error */                          \
	X(TOPOLOGY, "topology") /* findings that stop a failover */                                \
	X(MANUAL, "manual")     /* auto_failover is off */                                         \
	X(ENGINE, "engine")     /* nobody is there to carry a failover out */
enum watch_gate {
#define WATCH_GATE_ENUM(sym, ...) GATE_##sym,
	WATCH_GATES(WATCH_GATE_ENUM)
#undef WATCH_GATE_ENUM
	        GATE_COUNT
};

struct watch_gate_view {
	bool blocks;
	char text[240]; /* why, or why not */
	char hint[160]; /* what to type; may be empty */
};

/* The process's own health, kept by the fleet; shared by all its watches. */
struct self_view {
	bool tilt;
	int64_t since, until; /* instants; it may be lifted sooner by fresh evidence */
	char why[80];
};

/* What a watch needs of its surroundings; all of it outlives the watch. */
struct watch_env {
	struct loop *loop;
	struct job_pool *jobs;
	struct link_room *links;
	const struct self_view *self;
	const char *state_dir; /* /var/lib/mhad; NULL: nothing is remembered */

	/* Told on the loop; any may be NULL. */
	void *arg;
	void (*changed)(void *arg, struct watch *w); /* state, verdict or gate */
	void (*silent)(
	        void *arg, struct watch *w, bool silent); /* the master fell silent, or speaks */
	void (*dead)(void *arg,
	        struct watch *w); /* state DEAD was reached, all gates but ENGINE are open or not */
	void (*failed)(void *arg, struct watch *w,
	        const struct err *e); /* it cannot be watched: locked, no master */
};

struct watch_opts {
	bool no_lock; /* take no advisory lock (masterha_master_monitor takes it as MHA does) */
	bool ignore_fail_on_start;
	bool ignore_last_failover;
	int64_t failover_interval; /* ms; -1: the setting's */
	uint32_t spread_ms; /* first look is so much later, so that clusters do not tick together */
	bool status_file;   /* keep MHA's <app>.master_status.health */
	pid_t status_pid;   /* the pid in it */
};

/* Borrows `conf` and `env` until watch_free(). */
struct watch *watch_new(
        const struct watch_env *env, const struct conf *conf, const struct watch_opts *o);
void watch_free(struct watch *w); /* NULL is fine; replication is left alone */

const struct conf *watch_conf(const struct watch *w);
enum watch_state watch_state(const struct watch *w);
int64_t watch_since(const struct watch *w); /* instant of the last change of state */
const struct verdict *watch_verdict(const struct watch *w);
const struct evidence *watch_evidence(const struct watch *w);
const struct conf_server *watch_master(const struct watch *w); /* NULL: not known */
bool watch_is_silent(const struct watch *w);
/* The first gate that blocks; GATE_COUNT: a failover would start now. */
enum watch_gate watch_blocked(const struct watch *w);
const struct watch_gate_view *watch_gate(const struct watch *w, enum watch_gate g);

/* Orders of a person.  until: instant, CLOCK_NEVER = until resumed. */
void watch_pause(struct watch *w, int64_t until, const char *reason, const char *by);
void watch_resume(struct watch *w, const char *by);
/* Anti-flap is lifted: `mhactl ack`. */
bool watch_ack(struct watch *w, const char *reason, const char *by, struct err *e);
/* Look at everything now (after a reload, a tilt, by order). */
void watch_look(struct watch *w);
void watch_set_status_pid(struct watch *w, pid_t pid);

/* For the control socket: the objects of "status" and "why".  New references. */
json_t *watch_status_json(const struct watch *w);
json_t *watch_why_json(const struct watch *w, bool with_ring);

const char *watch_state_name(enum watch_state s);
const char *watch_gate_name(enum watch_gate g);
