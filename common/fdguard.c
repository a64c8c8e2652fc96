/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fdguard - the armed guards, and the thread that waits for the soonest of them.  Runs on: any thread.
 *
 * Sessions come and go in milliseconds, so arming wakes the thread only when it would sleep too long, and
 * disarming never does: an early wake-up with nothing to do costs less.
 */
#include "fdguard.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"

enum { STACK = 128 << 10 };

struct fdguard {
	int fd;
	bool armed, fired;
	int64_t deadline;
	struct fdguard *prev, *next; /* while armed */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t sooner;
static struct fdguard *armed;
static int64_t wakes_at = CLOCK_NEVER;
static int start_errno;

static void leave(struct fdguard *g)
{
	if (!g->armed)
		return;
	if (g->prev)
		g->prev->next = g->next;
	else
		armed = g->next;
	if (g->next)
		g->next->prev = g->prev;
	g->armed = false;
}

static void fire(struct fdguard *g)
{
	leave(g);
	g->fired = true;
	shutdown(g->fd, SHUT_RDWR);
}

/* Shut down all that is due; the soonest instant of the rest. */
static int64_t sweep(void)
{
	int64_t now = clock_ms(), soonest = CLOCK_NEVER;

	for (struct fdguard *g = armed, *next; g; g = next) {
		next = g->next;
		if (g->deadline <= now)
			fire(g);
		else
			soonest = clock_sooner(soonest, g->deadline);
	}
	return soonest;
}

static void sleep_until(int64_t instant)
{
	int64_t left = clock_left(instant);
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += left / 1000;
	t.tv_nsec += left % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(&sooner, &lock, &t);
}

static void *watch(void *unused)
{
	pthread_mutex_lock(&lock);
	for (;;) {
		wakes_at = sweep();
		if (wakes_at == CLOCK_NEVER)
			pthread_cond_wait(&sooner, &lock);
		else
			sleep_until(wakes_at);
	}
	return unused;
}

static void start(void)
{
	pthread_condattr_t mono;
	pthread_attr_t small;
	pthread_t thread;
	sigset_t all, old;

	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&sooner, &mono);
	pthread_condattr_destroy(&mono);

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, STACK);
	pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	start_errno = pthread_create(&thread, &small, watch, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&small);
}

struct fdguard *fdguard_new(int fd, struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct fdguard *g;
	int own;

	pthread_once(&once, start);
	if (start_errno) {
		err_set(e, ERR_SYSTEM, start_errno,
		        "cannot start the thread that enforces deadlines");
		return NULL;
	}
	own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (own < 0) {
		err_sys(e, "duplicate a socket");
		return NULL;
	}
	g = xzalloc(sizeof(*g));
	g->fd = own;
	return g;
}

void fdguard_free(struct fdguard *g)
{
	if (!g)
		return;
	fdguard_disarm(g);
	close(g->fd);
	free(g);
}

void fdguard_arm(struct fdguard *g, int64_t deadline)
{
	pthread_mutex_lock(&lock);
	leave(g);
	if (deadline != CLOCK_NEVER) {
		g->deadline = deadline;
		g->armed = true;
		g->prev = NULL;
		g->next = armed;
		if (armed)
			armed->prev = g;
		armed = g;
		if (deadline < wakes_at)
			pthread_cond_signal(&sooner);
	}
	pthread_mutex_unlock(&lock);
}

bool fdguard_disarm(struct fdguard *g)
{
	bool fired;

	pthread_mutex_lock(&lock);
	leave(g);
	fired = g->fired;
	pthread_mutex_unlock(&lock);
	return fired;
}

void fdguard_cut(struct fdguard *g)
{
	pthread_mutex_lock(&lock);
	fire(g);
	pthread_mutex_unlock(&lock);
}
