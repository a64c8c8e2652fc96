/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loop - the one event loop (libev behind it).  Runs on: loop, except loop_post().
 *
 * The loop thread owns all daemon state and never blocks.  Whatever a callback may still reach is
 * freed one turn later with loop_defer_free().
 */
#pragma once
#include <stdint.h>
#include "mem.h"

struct loop;
struct loop_timer;
struct loop_io;
struct loop_signal;
typedef void (*loop_fn)(void *arg);

struct loop *loop_new(void);
/* Timers, ios and signals must be gone.  What was posted and not yet called is called now. */
void loop_free(struct loop *l);
CLEANUP_FN(loop, struct loop *, loop_free)
void loop_run(struct loop *l); /* until loop_stop() */
void loop_stop(struct loop *l);

/*
 * One-shot timer at an instant (clock.h), never before it.  Returns owned, released by
 * loop_timer_free(), also from its callback.
 */
struct loop_timer *loop_timer_new(struct loop *l, int64_t at, loop_fn fn, void *arg);
void loop_timer_move(
        struct loop_timer *t, int64_t at);  /* arm again or elsewhere; CLOCK_NEVER disarms */
void loop_timer_free(struct loop_timer *t); /* NULL is fine */

enum { LOOP_READ = 1, LOOP_WRITE = 2 };
typedef void (*loop_io_fn)(void *arg, int events);
struct loop_io *loop_io_new(struct loop *l, int fd, int events, loop_io_fn fn, void *arg);
void loop_io_set(struct loop_io *w, int events); /* 0 pauses it */
void loop_io_free(struct loop_io *w);            /* before the fd is closed; NULL is fine */

typedef void (*loop_signal_fn)(void *arg, int signo);
struct loop_signal *loop_signal_new(struct loop *l, int signo, loop_signal_fn fn, void *arg);
void loop_signal_free(struct loop_signal *s); /* NULL is fine */

/* From any thread: have fn(arg) called on the loop, exactly once, in order. */
void loop_post(struct loop *l, loop_fn fn, void *arg);

/* free(p) after the current turn. */
void loop_defer_free(struct loop *l, void *p);

/*
 * What the loop measures of itself.  A turn is the time from waking up until it sleeps again: during
 * it nothing else is served.
 */
struct loop_stats {
	uint64_t turns, slow_turns;
	int64_t longest_us; /* of a turn */
	int64_t busy_us;    /* all turns together */
	int64_t late_ms; /* most that a timer came too late, by a busy loop or a frozen process */
};
struct loop_stats loop_stats(const struct loop *l);

/*
 * The instant at which the present turn began.  A callback that runs every N ms and finds much more
 * than that between two of these was not served meanwhile: the process was frozen, or the machine.
 */
int64_t loop_turn_started(const struct loop *l);

/*
 * Called at the end of each turn of more than LOOP_SLOW_MS, with its length and the kind of callback
 * that took most of it ("timer", "io", "signal", "post").
 */
enum { LOOP_SLOW_MS = 100 };
typedef void (*loop_slow_fn)(void *arg, const char *kind, int64_t turn_ms, int64_t callback_ms);
void loop_on_slow(struct loop *l, loop_slow_fn fn, void *arg); /* NULL ends it */
