/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fan - threads that share a row of items, and end with it.  Runs on: worker.
 */
#include "fan.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include "mem.h"

enum { MOST = 32, STACK_SIZE = 512 << 10 };

struct fan {
	fan_fn fn;
	void *arg;
	struct err *errs; /* NULL: nobody wants them */
	size_t n;
	atomic_size_t next, failed;
};

static void *work(void *arg)
{
	struct fan *f = arg;
	size_t i;

	while ((i = atomic_fetch_add(&f->next, 1)) < f->n) {
		struct err e = { .kind = ERR_NONE };

		if (f->fn(f->arg, i, &e))
			e.kind = ERR_NONE;
		else
			atomic_fetch_add(&f->failed, 1);
		if (f->errs)
			f->errs[i] = e;
	}
	return NULL;
}

/* Signals are the loop thread's. */
static size_t start(struct fan *f, pthread_t *threads, size_t n)
{
	pthread_attr_t attr;
	sigset_t all, old;
	size_t i = 0;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (i < n && pthread_create(&threads[i], &attr, work, f) == 0)
		i++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return i;
}

/* Without threads (none to be had) the caller's own does all of it. */
size_t fan_run(size_t n, size_t most, fan_fn fn, void *arg, struct err *ret_errs)
{
	struct fan f = { .fn = fn, .arg = arg, .errs = ret_errs, .n = n };
	size_t wanted = most ? most : MOST, started;
	AUTO(free) pthread_t *threads = NULL;

	if (wanted > n)
		wanted = n;
	threads = xmalloc((wanted + 1) * sizeof(*threads));
	started = wanted > 1 ? start(&f, threads, wanted - 1) : 0;
	work(&f);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	return f.failed;
}
