/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch_self - is it us who are ill?  This process's own health, shared by all watches.  Runs on: loop.
 * Logs: yes.
 *
 * A clock of 100 ms notices that the process stood still (SIGSTOP, a suspended machine, a paused virtual
 * machine, a stuck loop).  Steps of the wall clock are noted; nothing is decided by it.
 */
#pragma once
#include <stdint.h>
#include "mem.h"

struct loop;
struct watch_self;

enum { WATCH_SELF_GAP_MS = 1000 }; /* standing still for longer voids what was under way */

/* `stood_still` is called on the loop, with how long. */
typedef void (*watch_self_fn)(void *arg, int64_t gap_ms);
struct watch_self *watch_self_new(struct loop *l, watch_self_fn stood_still, void *arg);
void watch_self_free(struct watch_self *s); /* NULL is fine */

/*
 * Before anything is concluded from lateness: has the process stood still since the last tick of its
 * clock?  True: `stood_still` was called by this.
 */
bool watch_self_check(struct watch_self *s);

/* Nothing is to be decided for a while without fresh evidence. */
void watch_self_tilt(struct watch_self *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Why decisions are held, if the last tilt is younger than hold_ms; else NULL.  Borrowed. */
const char *watch_self_why(const struct watch_self *s, int64_t hold_ms);
int64_t watch_self_since(const struct watch_self *s); /* of the last tilt; 0: never */

/*
 * What is counted of all looks: how late they began (what delays one delays all), and how long the good
 * ones took on a session that was there already.  Bin i holds what was below watch_self_bounds_us[i], the
 * last one the rest.
 */
enum { WATCH_SELF_BINS = 14 };
extern const int64_t watch_self_bounds_us[WATCH_SELF_BINS - 1];
enum watch_self_count { WATCH_SELF_LATE, WATCH_SELF_TRIP, WATCH_SELF_COUNTS };
size_t watch_self_bin(int64_t us);
void watch_self_count(struct watch_self *s, enum watch_self_count what, int64_t us);
const uint64_t *watch_self_counts(const struct watch_self *s, enum watch_self_count what);
int64_t watch_self_sum(const struct watch_self *s, enum watch_self_count what); /* of them all */

/* Reading whole clusters is what costs most: how often each may (60 s and more), how many at once. */
void watch_self_set_pace(struct watch_self *s, size_t clusters);
int64_t watch_self_pace(const struct watch_self *s);
/* False: too many are read just now.  `again`: it failed before. */
bool watch_self_enter(struct watch_self *s, bool urgent, bool again);
void watch_self_leave(struct watch_self *s);
