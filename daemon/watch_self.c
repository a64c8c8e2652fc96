/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch_self - this process's own health.  Owned by the fleet or by the command that runs one watch.
 */
#include "watch_self.h"
#include "clock.h"
#include "log.h"
#include "loop.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
	TICK_MS = 100,
	WALL_STEP_MS = 500,
	PACE_MS = 60000,    /* between two readings of one cluster */
	PACE_EACH_MS = 600, /* ... and so much for each cluster there is */
	READS_AT_ONCE = 16,
	AGAIN_AT_ONCE =
	        8, /* of these, so many that failed before: who is silent must not keep others waiting */
};

struct watch_self {
	struct loop *loop;
	struct loop_timer *timer;
	watch_self_fn stood_still;
	void *arg;
	int64_t ticked; /* instant of the last tick */
	int64_t wall;   /* wall time less instant, then */
	int64_t since;  /* of the last tilt */
	char why[80];
	int64_t pace;
	int reads;
	uint64_t counts[WATCH_SELF_COUNTS][WATCH_SELF_BINS];
	int64_t sums[WATCH_SELF_COUNTS];
};

const int64_t watch_self_bounds_us[WATCH_SELF_BINS - 1] = { 100, 200, 500, 1000, 2000, 5000, 10000,
	20000, 50000, 100000, 200000, 500000, 1000000 };

static int64_t wall_offset(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000 - clock_ms();
}

static void check_wall(struct watch_self *s)
{
	int64_t now = wall_offset(), step = now - s->wall;

	s->wall = now;
	if (step > WALL_STEP_MS || step < -WALL_STEP_MS)
		log_notice("the wall clock was set by %+.1f s; nothing is decided by it.",
		        (double)step / 1000);
}

bool watch_self_check(struct watch_self *s)
{
	int64_t now = clock_ms(), gap = now - s->ticked;

	if (gap <= WATCH_SELF_GAP_MS)
		return false;
	s->ticked = now;
	watch_self_tilt(s, "mhad stood still for %.1f s", (double)gap / 1000);
	if (s->stood_still)
		s->stood_still(s->arg, gap);
	return true;
}

static void tick(void *arg)
{
	struct watch_self *s = arg;

	watch_self_check(s);
	s->ticked = clock_ms();
	check_wall(s);
	loop_timer_move(s->timer, clock_in(TICK_MS));
}

struct watch_self *watch_self_new(struct loop *l, watch_self_fn stood_still, void *arg)
{
	struct watch_self *s = xzalloc(sizeof(*s));

	s->loop = l;
	s->stood_still = stood_still;
	s->arg = arg;
	s->ticked = clock_ms();
	s->wall = wall_offset();
	s->pace = PACE_MS;
	s->timer = loop_timer_new(l, clock_in(TICK_MS), tick, s);
	return s;
}

void watch_self_free(struct watch_self *s)
{
	if (!s)
		return;
	loop_timer_free(s->timer);
	free(s);
}

void watch_self_tilt(struct watch_self *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->why, sizeof(s->why), fmt, ap);
	va_end(ap);
	s->since = clock_ms();
	log_event(LOG_EV_TILT, NULL, "%s: nothing is decided for a moment without fresh evidence.",
	        s->why);
}

const char *watch_self_why(const struct watch_self *s, int64_t hold_ms)
{
	return s->since && clock_ms() - s->since < hold_ms ? s->why : NULL;
}

int64_t watch_self_since(const struct watch_self *s)
{
	return s->since;
}

void watch_self_set_pace(struct watch_self *s, size_t clusters)
{
	int64_t all = (int64_t)clusters * PACE_EACH_MS;

	s->pace = all > PACE_MS ? all : PACE_MS;
}

int64_t watch_self_pace(const struct watch_self *s)
{
	return s->pace;
}

bool watch_self_enter(struct watch_self *s, bool urgent, bool again)
{
	if (!urgent && s->reads >= (again ? AGAIN_AT_ONCE : READS_AT_ONCE))
		return false;
	s->reads++;
	return true;
}

void watch_self_leave(struct watch_self *s)
{
	s->reads--;
}

size_t watch_self_bin(int64_t us)
{
	size_t i = 0;

	while (i < WATCH_SELF_BINS - 1 && us >= watch_self_bounds_us[i])
		i++;
	return i;
}

void watch_self_count(struct watch_self *s, enum watch_self_count what, int64_t us)
{
	s->counts[what][watch_self_bin(us)]++;
	s->sums[what] += us > 0 ? us : 0;
}

int64_t watch_self_sum(const struct watch_self *s, enum watch_self_count what)
{
	return s->sums[what];
}

const uint64_t *watch_self_counts(const struct watch_self *s, enum watch_self_count what)
{
	return s->counts[what];
}
