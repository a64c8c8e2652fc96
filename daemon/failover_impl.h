/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * failover_impl - what the files of failover share: its context, and the functions of its steps.
 *
 * failover.c (the table, begin and end), failover_look.c (phase 1), failover_close.c (phase 2),
 * failover_level.c and failover_received.c (phase 3), failover_open.c (opening, slaves, cleanup), failover_tell.c (report, plan).
 *
 * The context belongs to the step that runs; what fans out over servers touches its own server only.
 */
#pragma once
#include "failover.h"
#include "fan.h"
#include "repl.h"
#include "snapshot.h"
#include "topology.h"
#include <pthread.h>
#include <stdatomic.h>

struct fo_place { /* in the dead master's binlogs; "" none */
	char file[256];
	uint64_t pos;
};

struct fo_server {
	const struct conf_server *conf;
	const struct topology_server *topo; /* in the topology of now; NULL: not read yet */
	struct link *link;                  /* ours, freed on the loop */
	struct link_door *door;
	struct repl *repl; /* NULL: not logged in */
	struct repl_lock *lock;

	struct fo_place read; /* it had received up to here when it was first looked at */
	struct fo_place held; /* its relay logs go up to here, if it may not know that; "" nothing */

	bool aside;                            /* broken in this run: left to a person */
	char why[240];                         /* why it is */
	bool frozen;                           /* its receiver was stopped by us */
	bool received;                         /* its receiver ran before */
	bool by_current_pos;                   /* MariaDB: it used that */
	bool was_slave;                        /* of the dead master, before anything was changed */
	bool past;                             /* then the tree of now says nothing of it */
	bool purge_was_on;                     /* relay_log_purge before we touched it */
	enum snapshot_tri semisync_source_was; /* before we switched it off */

	bool leveled; /* it has all that could be saved */
	bool uneven;  /* by position: it does not stand where the new master does */
	bool follows; /* the new master */
	struct catchup_applied applied;
	int64_t took_ms; /* of its last step */
};

struct guard;

struct failover {
	struct failover_env env;
	struct failover_opts o;
	const struct conf *conf;
	failover_done_fn done;
	void *arg;

	struct journal *journal;
	struct run *run;
	char *run_name;
	struct hookline *line; /* hooks reach the hosts by our sessions; NULL: by themselves */
	struct guard *guard;   /* closes the old master if it comes back; NULL: a dry run */
	atomic_bool guarding;  /* ... from here on */
	struct failover_report report;
	pthread_mutex_t telling; /* of the body: steps may run beside each other */
	struct str subject, body;

	struct fo_server *servers; /* as in conf->servers */
	size_t n;
	struct fo_server **binlogs; /* as in conf->binlogs */
	size_t n_binlogs;
	struct fo_server *dead, *fresh; /* fresh: the new master, once elected */

	struct snapshot *snapshot;
	struct topology *topology;
	struct election *election;
	/* From the journal: who was elected, and, once he was touched, who it stays. */
	char elected[128], pinned[128];
	bool past;         /* ... and he may be nobody's slave any more */
	bool has_settings; /* how the slaves were set is known, perhaps from the journal */
	bool has_mode;
	enum topology_mode mode; /* as it was when all began: mending changes it */

	bool cannot_close; /* nobody answers at the dead master's port: nobody is there to be told */
	bool host_silent;  /* its whole host, as the watch has seen and one more try says */
	bool ssh;          /* mha-node on the dead master's host answers */
	char ssh_why[240];
	bool rewound;               /* the dead master's log ends before what a slave received */
	bool tail_known;            /* its end could be looked at */
	struct catchup_found tail;  /* what no slave has received */
	struct catchup_found saved; /* what lies in `saved_path` */
	struct catchup_found diff;  /* ... in `diff_path` */
	char *saved_path, *diff_path;
	struct fo_place saved_from, diff_from; /* position mode: both begin there */
	bool save_done, has_saved, diff_done, has_diff;
	bool saved_copy;  /* what was saved comes from a binlog server, and may end early */
	char loss[400];   /* what cannot be had, in words; "" nothing */
	bool vip_is_gone; /* the stop hook has said so, in this process */
	bool vip_called;  /* it was asked to */
	bool vip_off, vip_on, power_done, powered_off, close_done, closed, cleaned;
	atomic_bool
	        was_writable; /* the old master, when it was closed, by a step or by the guard */
	enum fence_result fenced;
	char fenced_why[300];
	struct repl_position position; /* of the new master: where the others begin */
	bool has_position;
	struct fo_place level; /* by position: what the new master has executed; "" not known */
	struct fo_place known; /* ... and what the newest slave had received by then */
	uint64_t token;
	int64_t opened;
	int events;
};

/* ---- shared helpers ---- */

struct fo_server *fo_of(struct failover *f, const struct conf_server *c);
bool fo_is_slave(
        const struct fo_server *s); /* a live slave of the dead master that is not set aside */
void fo_set_aside(struct failover *f, struct fo_server *s, struct run_io *io, const char *fmt, ...)
        PRINTF_LIKE(4, 5);

/* What is wrong with it is not that it has ended: it is closed by us. */
bool fo_may_live(const struct failover *f);

/* Each slave (fo_is_slave) in parallel, but `but` (NULL: all); how many failed, the first error in `e`. */
typedef bool (*fo_each_fn)(
        struct failover *f, struct fo_server *s, struct run_io *io, struct err *e);
size_t fo_each_slave(struct failover *f, struct run_io *io, const struct fo_server *but,
        fo_each_fn fn, bool set_aside, struct err *e);

/* Its session, logged in if it is not. */
struct repl *fo_repl(struct fo_server *s, int64_t deadline, struct err *e);
bool fo_by_gtid(const struct failover *f);
struct hook;
bool fo_call_hook(
        struct failover *f, struct hook *h, struct run_io *io, int64_t limit_ms, struct err *e);
/* A line of MHA's report. */
void fo_report(struct failover *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* No later than this. */
int64_t fo_until(const struct run_io *io, int64_t ms);

/* ---- steps ---- */

#define FO_STEP(name) bool name(void *ctx, struct run_io *io, struct err *e)
#define FO_WHEN(name) bool name(void *ctx)

FO_STEP(fo_read);
FO_STEP(fo_confirm);
FO_STEP(fo_check);
FO_STEP(fo_lock);
/* The last look at it, before the point of no return. */
bool fo_still_locked(struct failover *f, struct run_io *io, struct err *e);
FO_STEP(fo_unlock);
FO_STEP(fo_locked);
FO_STEP(fo_count);
FO_STEP(fo_elect);

FO_STEP(fo_vip_off);
FO_STEP(fo_vip_is_off);
FO_STEP(fo_vip_stays_off);
FO_STEP(fo_close);
FO_STEP(fo_closed);
FO_STEP(fo_unclose);
FO_STEP(fo_fence);
FO_STEP(fo_fenced);
FO_STEP(fo_unfence);
FO_STEP(fo_stays_down);
FO_STEP(fo_freeze);
FO_STEP(fo_frozen);
FO_STEP(fo_thaw);

FO_STEP(fo_latest);
FO_STEP(fo_save);
FO_STEP(fo_is_saved);
FO_STEP(fo_power_off);
FO_STEP(fo_is_powered_off);
FO_STEP(fo_diff);
FO_STEP(fo_has_diff);
FO_STEP(fo_apply);
FO_STEP(fo_unapply);
FO_STEP(fo_is_level);
FO_STEP(fo_seen);
FO_STEP(fo_record);

FO_STEP(fo_detach);
FO_STEP(fo_is_detached);
FO_STEP(fo_open);
FO_STEP(fo_is_open);
FO_STEP(fo_vip_on);
FO_STEP(fo_vip_is_on);
FO_STEP(fo_slaves);
FO_STEP(fo_all_follow);
FO_STEP(fo_cleanup);
FO_STEP(fo_is_clean);

FO_WHEN(fo_any_time);
FO_WHEN(fo_is_down);
FO_WHEN(fo_is_fenced);
FO_WHEN(fo_is_stuck);
FO_WHEN(fo_may_save); /* the dead master's disk can be read and believed */
FO_WHEN(fo_has_log);  /* ... or a binlog server has a copy */
FO_WHEN(fo_has_shutdown);
FO_WHEN(fo_needs_diff);
FO_WHEN(fo_has_slaves);

/* Whether every slave is brought level with files, and not by reading from the new master. */
bool fo_levels_all(const struct failover *f);
bool fo_level(struct failover *f, struct fo_server *s, struct run_io *io, struct err *e);
const struct topology_server *fo_latest_slave(const struct failover *f);
struct catchup_place fo_disk(const struct failover *f);

/* failover_received.c: by position, what was received, and who stands where. */
/* What a slave executed, or has in its relay logs, it has received: the picture of now is mended. */
void fo_correct_received(struct failover *f, struct run_io *io);
bool fo_note_level(struct failover *f, struct run_io *io, struct err *e);
bool fo_is_below_level(const struct failover *f, const struct fo_server *s);
/* Made level, and not pointed yet: it has executed just what the new master has. */
bool fo_is_even(struct failover *f, struct fo_server *s, struct run_io *io, struct err *e);

/* failover_resume.c: what the journal of a killed run knows. */
void fo_restore(void *ctx, const char *step, enum run_line line, const json_t *facts);
void fo_note_settings(struct failover *f, struct run_io *io);

/* failover_tell.c: subject and body as MHA words them, when all is over. */
void fo_finish_report(struct failover *f, enum run_result result);
