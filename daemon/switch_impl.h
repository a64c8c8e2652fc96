/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * switch_impl - what the files of switch share: its context, and the functions of its steps.
 *
 * switch.c (the table, begin and end), switch_look.c and switch_ready.c (phase 1), switch_busy.c (who is at work on the servers),
 * switch_freeze.c (phase 2: no more writes, and back), switch_open.c (the new master), switch_follow.c (the
 * slaves, the old master, roles), switch_resume.c (what the journal knows), switch_tell.c (plan, report).
 *
 * The context belongs to the step that runs; what fans out over servers touches its own server only.
 */
#pragma once
#include "elect.h"
#include "fan.h"
#include "repl.h"
#include "switch.h"
#include <stdatomic.h>

struct sw_server {
	const struct conf_server *conf;
	const struct topology_server *topo; /* in the picture of now; NULL: not read */
	struct link *link;                  /* ours, freed on the loop; NULL: no hook needs it */
	struct link_door *door;
	struct repl *repl;  /* NULL: not logged in */
	struct repl *other; /* with the masters a second session, for when the first one hangs */
	uint64_t ids[2];    /* numbers of the two, for whoever must not end them */
	struct repl_lock *lock;

	bool is_slave; /* it shall follow the new master */
	bool by_current_pos;
	bool level; /* it has all of the old master's */
	bool follows;
	bool aside; /* it failed: left to a person */
	char why[240];
};

struct planned {
	struct switch_env env;
	struct switch_opts o;
	const struct conf *conf;
	switch_done_fn done;
	void *arg;

	struct journal *journal;
	struct run *run;
	char *run_name;
	struct hookline *line;
	struct switch_report report;

	struct sw_server *servers; /* as in conf->servers */
	size_t n;
	struct sw_server *orig, *fresh;
	struct snapshot *snapshot;
	struct topology *topology;
	struct election *election;
	enum topology_mode mode;
	bool ring; /* the new master is the old one's source too, and stays it */

	/* What was, to be put back; of a run that was killed, from the journal. */
	bool resumed, past; /* ... before or behind the point of no return */
	bool fresh_was_open, scheduler_was_on;
	uint64_t last_session;  /* there, before the freeze; 0 not known */
	bool tx_was_on;         /* tx_read_only of the old master */
	bool orig_super;        /* super_read_only exists there */
	int64_t checkpoint_was; /* -1: not touched */
	bool semisync;
	int64_t semisync_wait;
	struct repl_events events; /* that ran on the old master */
	uint64_t token;
	struct repl_lock *monitor;

	bool stop_called, frozen, is_open, cleaned;
	atomic_bool vip_done;          /* set by one step, read by the one beside it */
	struct repl_position end;      /* of the old master */
	struct repl_position position; /* of the new one: where the others begin */
	bool has_position;
	int64_t frozen_us, opened_us, moved_us, back_us;
	int events_on;
};

/* ---- shared helpers ---- */

struct sw_server *sw_of(const struct planned *p, const struct conf_server *c);
struct sw_server *sw_named(const struct planned *p, const char *id);
void sw_set_aside(struct sw_server *s, struct run_io *io, const char *fmt, ...) PRINTF_LIKE(3, 4);
int64_t sw_until(const struct run_io *io, int64_t ms);
/* Its sessions, logged in if they are not. */
struct repl *sw_repl(struct sw_server *s, int64_t deadline, struct err *e);
struct repl *sw_other(struct sw_server *s, int64_t deadline, struct err *e);
bool sw_by_gtid(const struct planned *p);
bool sw_refuse(struct err *e, const char *hint, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Each slave that shall follow, in parallel; how many failed, the first error in `e`. */
typedef bool (*sw_each_fn)(
        struct planned *p, struct sw_server *s, struct run_io *io, struct err *e);
size_t sw_each_slave(
        struct planned *p, struct run_io *io, sw_each_fn fn, bool set_aside, struct err *e);

bool sw_free_transactions(struct planned *p, struct repl *r, int64_t deadline, struct err *e);

struct hook;
bool sw_has_hook(const struct planned *p);
bool sw_call_hook(struct planned *p, struct hook *h, struct run_io *io, struct err *e);

/* Wait until `s` has what `end` says of the old master's binlog. */
bool sw_wait_level(const struct planned *p, struct repl *r, const struct sw_server *s,
        const struct repl_position *end, int64_t deadline, struct err *e);

bool sw_set_checkpoint(struct repl *r, int64_t ms, int64_t deadline, struct err *e);

/* switch_busy.c */
bool sw_check_busy(struct planned *p, struct run_io *io, struct err *e);
/* One round of KILL for all clients of the old master: *ret_left were there. */
bool sw_kill_clients(
        struct planned *p, struct repl *by, int64_t deadline, int *ret_left, struct err *e);
/*
 * The clients that the old master has now, of sessions with greater numbers than that: they are gone when
 * this returns.
 */
bool sw_end_clients(
        struct planned *p, struct repl *by, uint64_t above, int64_t deadline, struct err *e);
/* After a lock of all tables that did not come in time: those who held it up, where that must be. */
void sw_end_readers(struct planned *p, struct repl *r, int64_t deadline);
bool sw_is_ours(const struct planned *p, unsigned long long id);

/* ---- steps ---- */

#define SW_STEP(name) bool name(void *ctx, struct run_io *io, struct err *e)
#define SW_WHEN(name) bool name(void *ctx)

SW_STEP(sw_look_back);
SW_STEP(sw_read);
SW_STEP(sw_check);
SW_STEP(sw_elect);
SW_STEP(sw_lock);
SW_STEP(sw_locked);
SW_STEP(sw_unlock);
SW_STEP(sw_sessions);
SW_STEP(sw_hosts);
SW_STEP(sw_prepare);
SW_STEP(sw_is_prepared);
SW_STEP(sw_unprepare);
SW_STEP(sw_flush);
SW_STEP(sw_near);

SW_STEP(sw_stop_hook);
SW_STEP(sw_hook_said);
SW_STEP(sw_back_hook);
SW_STEP(sw_freeze);
SW_STEP(sw_is_frozen);
SW_STEP(sw_unfreeze);
SW_STEP(sw_level);

SW_STEP(sw_open);
SW_STEP(sw_is_open);
SW_STEP(sw_start_hook);
SW_STEP(sw_start_said);
SW_STEP(sw_clear);
SW_STEP(sw_detach);
SW_STEP(sw_is_detached);

SW_STEP(sw_slaves);
SW_STEP(sw_all_follow);
SW_STEP(sw_release);
SW_STEP(sw_orig);
SW_STEP(sw_orig_follows);
SW_STEP(sw_role);
SW_STEP(sw_cleanup);
SW_STEP(sw_is_clean);

SW_WHEN(sw_any_time);
SW_WHEN(sw_with_hook);
SW_WHEN(sw_has_slaves);
SW_WHEN(sw_may_flush);
SW_WHEN(sw_locks);
SW_WHEN(sw_keeps_orig);
SW_WHEN(sw_detaches);

/* switch_resume.c */
void sw_restore(void *ctx, const char *step, enum run_line line, const json_t *facts);
void sw_note_roles(struct planned *p, struct run_io *io);
void sw_note_position(struct planned *p, struct run_io *io);

/* switch_tell.c */
void sw_finish_report(struct planned *p, enum run_result result);
