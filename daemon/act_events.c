/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * act_events - a timer, and a job of one query.  Runs on: loop; asking on a worker.
 */
#include "act_events.h"
#include <stdlib.h>
#include "clock.h"
#include "job.h"
#include "log.h"
#include "loop.h"
#include "watch.h"

enum {
	FIRST_MS = 1000,
	SPREAD_MS = 4000, /* so that many clusters do not ask at once */
	EVERY_MS = 300000,
	AGAIN_MS = 10000, /* after a failure, or while it is not healthy */
	ASK_MS = 5000,
};

struct act_events {
	struct job_pool *jobs;
	struct watch *w;
	struct loop_timer *timer;
	const struct conf_server *of; /* whose; NULL: nobody's */
	struct repl_events all;
	struct question *question; /* under way */
};

/* A worker may still be at it when its owner is gone. */
struct question {
	struct act_events *owner; /* of the loop; NULL: gone */
	const struct conf_server *master;
	struct repl_events got;
};

static bool work(struct job *j, void *arg, struct err *e)
{
	struct question *q = arg;
	AUTO(repl) struct repl *r = repl_open(q->master, NULL, job_deadline(j), e);

	return r && repl_events(r, job_deadline(j), &q->got, e);
}

static void take(struct act_events *v, struct question *q)
{
	if (v->of != q->master || v->all.n != q->got.n)
		log_info("%s: %zu events of the scheduler are switched on on %s",
		        watch_conf(v->w)->name, q->got.n, q->master->hostinfo);
	repl_events_done(&v->all);
	v->all = q->got;
	v->of = q->master;
	q->got = (struct repl_events){ .n = 0 };
}

static void answered(struct job *j, void *arg, const struct err *e)
{
	struct question *q = arg;
	struct act_events *v = q->owner;

	if (!v)
		return;
	v->question = NULL;
	if (!job_is_late(j) && !e)
		take(v, q);
	loop_timer_move(v->timer, clock_in(e ? AGAIN_MS : EVERY_MS));
}

static void question_free(void *arg)
{
	struct question *q = arg;

	repl_events_done(&q->got);
	free(q);
}

static void on_timer(void *arg)
{
	struct act_events *v = arg;
	struct question *q;

	if (!watch_master(v->w) || watch_verdict(v->w)->code != VERDICT_HEALTHY) {
		loop_timer_move(v->timer, clock_in(v->of ? AGAIN_MS : FIRST_MS));
		return;
	}
	q = xzalloc(sizeof(*q));
	q->owner = v;
	q->master = watch_master(v->w);
	v->question = q;
	job_start(v->jobs,
	        job_new("read events", clock_in(ASK_MS), work, answered, question_free, q));
}

static int64_t spread(const char *name)
{
	unsigned sum = 5381;

	for (; *name; name++)
		sum = sum * 33 + (unsigned char)*name;
	return sum % SPREAD_MS;
}

struct act_events *act_events_new(struct loop *l, struct job_pool *jobs, struct watch *w)
{
	struct act_events *v = xzalloc(sizeof(*v));

	v->jobs = jobs;
	v->w = w;
	v->timer = loop_timer_new(l, clock_in(FIRST_MS + spread(watch_conf(w)->name)), on_timer, v);
	return v;
}

void act_events_stop(struct act_events *v)
{
	if (v->question)
		v->question->owner = NULL;
	v->question = NULL;
	loop_timer_free(TAKE(v->timer));
}

void act_events_free(struct act_events *v)
{
	if (!v)
		return;
	act_events_stop(v);
	repl_events_done(&v->all);
	free(v);
}

const struct repl_events *act_events_of(
        const struct act_events *v, const struct conf_server *master)
{
	return v && v->of == master ? &v->all : NULL;
}
