/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * job - a queue, its worker threads, and who frees what.  One lock per pool guards all that both
 * sides see.  A job is held by the loop until done() has returned, and by its worker until run()
 * has; a pool by its owner, by each thread, and by a posted message. Runs on: loop and workers.
 */
#include "job.h"
#include "clock.h"
#include "loop.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum { STACK_SIZE = 512 * 1024 };

enum state { NEW, QUEUED, RUNNING, RAN };

struct job {
	char *name;
	int64_t started, deadline;
	job_run_fn run;
	job_done_fn done;
	job_free_fn free_arg;
	void *arg;
	struct job_pool *pool;
	struct job *next;          /* in queue or ran, under lock */
	struct job *newer, *older; /* all that have not ended; loop */
	struct loop_timer *timer;  /* loop */
	enum state state;          /* under lock */
	int holders;               /* under lock */
	_Atomic bool abandoned;
	bool ok;
	struct err err;
};

struct fifo {
	struct job *head, **tail;
};

struct job_pool {
	struct loop *loop;
	struct job *alive; /* loop: neither ended nor new */
	bool waiting;      /* loop: in job_wait_all() */
	int most;
	pthread_mutex_t lock;
	pthread_cond_t more;
	/* under lock: */
	int holders, threads, idle;
	bool closed, posted;
	struct fifo queue, ran;
};

static void fifo_put(struct fifo *f, struct job *j)
{
	j->next = NULL;
	*f->tail = j;
	f->tail = &j->next;
}

static struct job *fifo_take(struct fifo *f)
{
	struct job *j = f->head;

	if (j && !(f->head = j->next))
		f->tail = &f->head;
	return j;
}

static void fifo_remove(struct fifo *f, struct job *j)
{
	struct job **at = &f->head;

	while (*at != j)
		at = &(*at)->next;
	if (!(*at = j->next))
		f->tail = at;
}

static void job_free(struct job *j)
{
	if (j->free_arg)
		j->free_arg(j->arg);
	free(j->name);
	free(j);
}

/* Unlock, and free the pool if that was its last holder. */
static void pool_let_go(struct job_pool *p)
{
	bool last = --p->holders == 0;

	pthread_mutex_unlock(&p->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->more);
	free(p);
}

static void job_let_go(struct job *j)
{
	struct job_pool *p = j->pool;
	bool last;

	pthread_mutex_lock(&p->lock);
	last = --j->holders == 0;
	pthread_mutex_unlock(&p->lock);
	if (last)
		job_free(j);
}

/* Loop: the job ends, with what e says. */
static void end(struct job *j, const struct err *e)
{
	struct job_pool *p = j->pool;

	loop_timer_free(TAKE(j->timer));
	if (j->newer)
		j->newer->older = j->older;
	else
		p->alive = j->older;
	if (j->older)
		j->older->newer = j->newer;
	if (j->done)
		j->done(j, j->arg, e);
	job_let_go(j);
	if (p->waiting && !p->alive)
		loop_stop(p->loop);
}

/* Loop: all that workers have finished. */
static void collect(void *arg)
{
	struct job_pool *p = arg;
	struct job *j;

	pthread_mutex_lock(&p->lock);
	p->posted = false;
	while (!p->closed && (j = fifo_take(&p->ran))) {
		pthread_mutex_unlock(&p->lock);
		end(j, j->ok ? NULL : &j->err);
		pthread_mutex_lock(&p->lock);
	}
	pool_let_go(p);
}

/* Worker, with the lock held around it: run one job and hand it back.  False: this thread is
 * written off. */
static bool work(struct job_pool *p, struct job *j)
{
	struct err e = { 0 };
	bool ok;

	j->state = RUNNING;
	j->holders++;
	pthread_mutex_unlock(&p->lock);
	ok = j->run(j, j->arg, &e);
	pthread_mutex_lock(&p->lock);
	if (j->abandoned) {
		bool last = --j->holders == 0;

		pthread_mutex_unlock(&p->lock);
		if (last)
			job_free(j);
		pthread_mutex_lock(&p->lock);
		return false;
	}
	j->holders--;
	j->state = RAN;
	j->ok = ok;
	j->err = e;
	fifo_put(&p->ran, j);
	if (!p->posted) {
		p->posted = true;
		p->holders++;
		loop_post(p->loop, collect, p);
	}
	return true;
}

static void *worker(void *arg)
{
	struct job_pool *p = arg;
	struct job *j;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (!(j = fifo_take(&p->queue)) && !p->closed) {
			p->idle++;
			pthread_cond_wait(&p->more, &p->lock);
			p->idle--;
		}
		if (!j || !work(p, j))
			break;
	}
	pool_let_go(p);
	return NULL;
}

/* With the lock held.  Signals are for the loop's thread. */
static bool add_thread(struct job_pool *p)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t t;
	int rc;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&t, &attr, worker, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (rc)
		return false;
	p->threads++;
	p->holders++;
	return true;
}

/* With the lock held: see that the head of the queue has somebody to take it. */
static void find_worker(struct job_pool *p, int waiting)
{
	if (p->idle < waiting && p->threads < p->most)
		add_thread(p);
	pthread_cond_signal(&p->more);
}

static int queue_len(const struct job_pool *p)
{
	int n = 0;

	for (const struct job *j = p->queue.head; j && n <= p->most; j = j->next)
		n++;
	return n;
}

/* With the lock held: why it ends without a result. */
static void explain(const struct job *j, struct err *e)
{
	long long ms = (long long)(j->deadline - j->started);

	if (j->pool->closed)
		err_set(e, ERR_CANCELED, 0, "%s: given up", j->name);
	else if (j->state == RUNNING)
		err_set(e, ERR_LOST, 0, "%s: no answer within %lld ms", j->name, ms);
	else
		err_set(e, ERR_SYSTEM, EAGAIN, "%s: not begun within %lld ms, all workers are busy",
		        j->name, ms);
}

/* Loop: end a job at its deadline or with its pool.  Its worker, if it has one, is written off and
 * replaced. */
static void give_up(void *arg)
{
	struct job *j = arg;
	struct job_pool *p = j->pool;
	struct err e = { 0 };
	bool in_time;

	pthread_mutex_lock(&p->lock);
	in_time = j->state == RAN && !p->closed; /* collect() is on its way */
	if (!in_time) {
		explain(j, &e);
		j->abandoned = true;
		if (j->state == QUEUED)
			fifo_remove(&p->queue, j);
		if (j->state == RUNNING) {
			p->threads--;
			if (p->queue.head && !p->closed)
				find_worker(p, queue_len(p));
		}
	}
	pthread_mutex_unlock(&p->lock);
	if (!in_time)
		end(j, &e);
}

struct job_pool *job_pool_new(struct loop *l, int most)
{
	struct job_pool *p = xzalloc(sizeof(*p));

	p->loop = l;
	p->most = most;
	p->holders = 1;
	p->queue.tail = &p->queue.head;
	p->ran.tail = &p->ran.head;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	return p;
}

void job_pool_free(struct job_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->closed = true;
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
	/* Each call takes the job out of the list, which the analyzer does not see. */
	while (p->alive)
		give_up(p->alive); /* NOLINT(clang-analyzer-unix.Malloc) */
	pthread_mutex_lock(&p->lock);
	pool_let_go(p);
}

struct job *job_new(const char *name, int64_t deadline, job_run_fn run, job_done_fn done,
        job_free_fn free_arg, void *arg)
{
	struct job *j = xzalloc(sizeof(*j));

	j->name = xstrdup(name);
	j->deadline = deadline;
	j->run = run;
	j->done = done;
	j->free_arg = free_arg;
	j->arg = arg;
	return j;
}

void job_start(struct job_pool *p, struct job *j)
{
	if (p->closed) {
		job_free(j);
		return;
	}
	j->pool = p;
	j->holders = 1;
	j->started = clock_ms();
	j->older = p->alive;
	if (j->older)
		j->older->newer = j;
	p->alive = j;
	if (j->deadline != CLOCK_NEVER)
		j->timer = loop_timer_new(p->loop, j->deadline, give_up, j);
	pthread_mutex_lock(&p->lock);
	j->state = QUEUED;
	fifo_put(&p->queue, j);
	find_worker(p, queue_len(p));
	pthread_mutex_unlock(&p->lock);
}

const char *job_name(const struct job *j)
{
	return j->name;
}

int64_t job_deadline(const struct job *j)
{
	return j->deadline;
}

bool job_is_late(const struct job *j)
{
	return j->abandoned;
}

bool job_is_abandoned(const struct job *j)
{
	return j->abandoned;
}

void job_wait_all(struct job_pool *p)
{
	if (!p->alive)
		return;
	p->waiting = true;
	loop_run(p->loop);
	p->waiting = false;
}
