/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch - one cluster is watched: the state machine between evidence and answer.  Runs on: loop.
 * Logs: yes, in the name of its cluster.
 *
 * The watch owns the probe of the master, the views of the slaves, the links to the hosts and the
 * schedule of all of them; it turns what they say into facts (verdict.h), judges, and answers.  It
 * never judges by itself: whatever decides stands in verdict.c or is a gate.
 *
 * One table in watch_state.c lists which state may follow which on what event; nothing else assigns
 * the state, and a pair that is not listed is a bug that is logged.
 */
#pragma once
#include <jansson.h>
#include <sys/types.h>
#include "conf.h"
#include "evidence.h"
#include "log.h"
#include "status_file.h"

struct arena;
struct glance_cluster;
struct job_pool;
struct link_room;
struct loop;
struct notify;
struct watch;
struct watch_self;

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
	        WATCH_STATE_COUNT
};

/* What moves it.  X(symbol, name). */
#define WATCH_EVENTS(X)                                                                            \
	X(UNCLEAR, "unclear")     /* no master can be told */                                      \
	X(TAKEN, "taken")         /* the lock is somebody else's */                                \
	X(ANSWERS, "answers")     /* the master speaks, whatever it says */                        \
	X(DOUBT, "doubt")         /* it does not, and the verdict is not (or no longer) dead */    \
	X(ILL, "ill")             /* the verdict is manager_ill */                                 \
	X(DEADLY, "deadly")       /* the verdict demands a failover */                             \
	X(CONFIRMED, "confirmed") /* ... and still does after one more look */                     \
	X(FORBIDDEN, "forbidden") /* a gate blocks */                                              \
	X(ALLOWED, "allowed")     /* none does any more */                                         \
	X(BEGUN, "begun")         /* a failover begins */                                          \
	X(ENDED, "ended")         /* it has ended, well or not: all is looked at anew */           \
	X(HELD, "held")           /* a person has paused it */                                     \
	X(STOP, "stop")
enum watch_event {
#define WATCH_EVENT_ENUM(sym, ...) WATCH_EV_##sym,
	WATCH_EVENTS(WATCH_EVENT_ENUM)
#undef WATCH_EVENT_ENUM
	        WATCH_EVENT_COUNT
};

/* The table.  False: this event must not come in this state. */
bool watch_next(enum watch_state from, enum watch_event ev, enum watch_state *ret);

/* What may forbid a failover.  X(symbol, name). */
#define WATCH_GATES(X)                                                                             \
	X(VERDICT, "verdict") /* it is not dead, or not surely so */                               \
	X(PAUSED, "paused")   /* mhactl pause, or its manager was ended by a signal */             \
	X(TILT, "tilt")                                                                            \
	X(LOCK, "lock")         /* another manager */                                              \
	X(RECENT, "recent")     /* .failover.complete, .failover.error */                          \
	X(TOPOLOGY, "topology") /* findings that stop a failover */                                \
	X(MANUAL, "manual")     /* auto_failover is off */                                         \
	X(REFUSED, "refused")   /* the last attempt was, a moment ago */                           \
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
	char hint[320]; /* what to type; may be empty */
};

/* What a watch needs of its surroundings; all of it outlives the watch. */
struct watch_env {
	struct loop *loop;
	struct job_pool *jobs;
	struct link_room *links;
	struct watch_self *self; /* this host's own health, shared by all watches */
	const char *state_dir;   /* /var/lib/mhad; NULL: nothing is remembered */
	struct notify *notify;   /* calls report_script; NULL: the watch does */

	/* Told on the loop, never from inside of a function of this header that the owner calls; any
	 * may be NULL.  watch_free() of the watch at hand is allowed only one turn later. */
	void *arg;
	void (*changed)(void *arg, struct watch *w); /* state, verdict or gate */
	/* The master fell silent (it was fine before; a refusal is no silence), or speaks again. */
	void (*silent)(void *arg, struct watch *w, bool silent);
	/* State DEAD was reached and the topology was read again: watch_blocked() says the rest. */
	void (*dead)(void *arg, struct watch *w);
	/* It cannot be watched now: ERR_PRECOND, the lock is somebody else's; ERR_CONFIG, no
	 * master.  Tried again and again; told once per series. */
	void (*failed)(void *arg, struct watch *w, const struct err *e);
	/* It has logged this line. */
	void (*said)(void *arg, struct watch *w, enum log_level level, const char *text);
};

struct watch_opts {
	bool no_lock; /* take no advisory lock */
	bool acts;    /* env.dead carries failovers out: gate ENGINE is open */
	bool ignore_fail_on_start;
	bool ignore_last_failover;
	int64_t failover_interval; /* ms; -1: the setting's */
	uint32_t spread_ms; /* first look is so much later, so that clusters do not tick together */
	const struct conf_server *master; /* told already by who made the watch; NULL: find out */
	const char *workdir; /* instead of the setting manager_workdir; NULL: that.  Borrowed */
	/* Keep MHA's <app>.master_status.health, with this pid; 0: not now, see
	 * watch_set_status_pid(). */
	pid_t status_pid;
	struct status_file *status; /* the claim, where there is one already; taken */
};

/* Borrows `conf` and `env` until watch_free(), and `conf` also as long as jobs may hold it that were
 * given up on by then (until their time is over). */
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
/* Whether SSH to the master's host works now. */
bool watch_ssh_works(const struct watch *w);
/* The first gate that blocks; GATE_COUNT: a failover would start now. */
enum watch_gate watch_blocked(const struct watch *w);
void watch_gate(const struct watch *w, enum watch_gate g, struct watch_gate_view *ret);

/* Whether its commits waited for semi-sync acknowledgements, and got them, when it was last asked. */
bool watch_was_acked(const struct watch *w);
/* Instant of the first sign that something is wrong with the master; 0: nothing is. */
int64_t watch_first_sign(const struct watch *w);
/* Double masters: the other one, as long as both follow each other; NULL: none. */
const struct conf_server *watch_co_master(const struct watch *w);

/* The master of before, which is not back yet: no topology is worse for it.  NULL: there is none. */
const struct conf_server *watch_absent(const struct watch *w);

/*
 * env.dead with all gates open begins a failover, and says so; then it ends it.  `now`: the new master, which
 * is watched from there on, and the old one is absent; NULL: there is none, and `why` (may be NULL)
 * keeps the next attempt away for a while.
 */
void watch_begin(struct watch *w);
void watch_end(struct watch *w, const struct conf_server *now, const struct err *why);

/*
 * A failover that somebody else has carried out: `now` is the master, the one of before is absent.  Nothing
 * happens when it is known already, or while a failover of our own goes on.
 */
void watch_adopt(struct watch *w, const struct conf_server *now, const char *by);

/* Orders of a person.  for_ms: CLOCK_NEVER = until resumed. */
void watch_pause(struct watch *w, int64_t for_ms, const char *reason, const char *by);
bool watch_resume(struct watch *w, const char *by); /* false: it was not paused */
bool watch_is_paused(const struct watch *w);
/* Anti-flap is lifted: `mhactl ack`.  Blocks for a few file operations. */
bool watch_ack(
        struct watch *w, const char *reason, const char *by, bool *ret_lifted, struct err *e);
/* Look at everything now (after a reload, by order). */
void watch_look(struct watch *w);
/* This process stood still: looks under way are thrown away, their lateness is ours. */
void watch_void(struct watch *w);
/* 0: no status file from now on. */
void watch_set_status_pid(struct watch *w, pid_t pid);

/* For the control socket: the objects of "status" and "why".  New references. */
json_t *watch_status_json(const struct watch *w);
json_t *watch_why_json(const struct watch *w, bool with_ring);
/* For metrics and pages: all that belongs to the watch; texts go into the arena. */
void watch_glance(const struct watch *w, struct arena *a, struct glance_cluster *ret);

const char *watch_state_name(enum watch_state s);
const char *watch_event_name(enum watch_event ev);
const char *watch_gate_name(enum watch_gate g);
