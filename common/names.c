/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * names - looking names up in threads that may be left behind.  Runs on: any thread (blocks).
 *
 * getaddrinfo() cannot be interrupted, so it runs in detached threads that share a batch with the
 * caller.  At the deadline the caller takes what is there and leaves; the last one out frees the
 * batch.
 */
#include "names.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "clock.h"
#include "mem.h"

enum { THREADS_MAX = 16, STACK = 256 * 1024 };

struct batch {
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct names_item *names; /* owned, names too: the caller may be gone */
	size_t n, next, finished;
	int holders;
};

static void batch_unref(struct batch *b)
{
	int left;

	pthread_mutex_lock(&b->lock);
	left = --b->holders;
	pthread_mutex_unlock(&b->lock);
	if (left)
		return;
	for (size_t i = 0; i < b->n; i++)
		free((char *)(uintptr_t)b->names[i].name);
	free(b->names);
	pthread_cond_destroy(&b->done);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

static struct batch *batch_new(const struct names_item *names, size_t n)
{
	struct batch *b = xzalloc(sizeof(*b));
	pthread_condattr_t attr;

	pthread_mutex_init(&b->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&b->done, &attr);
	pthread_condattr_destroy(&attr);
	b->names = xzalloc(n * sizeof(*names));
	b->n = n;
	b->holders = 1;
	for (size_t i = 0; i < n; i++) {
		b->names[i].name = xstrdup(names[i].name);
		snprintf(b->names[i].error, sizeof(b->names[i].error),
		        "no answer from the resolver in time");
	}
	return b;
}

/* The first address is the one to use, as in MHA; it may be IPv6. */
static void look_up(struct names_item *name)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
	int rc = getaddrinfo(name->name, NULL, &hints, &found);

	if (!rc) {
		rc = getnameinfo(found->ai_addr, found->ai_addrlen, name->address,
		        sizeof(name->address), NULL, 0, NI_NUMERICHOST);
		freeaddrinfo(found);
	}
	snprintf(name->error, sizeof(name->error), "%s", rc ? gai_strerror(rc) : "");
}

static void *worker(void *arg)
{
	struct batch *b = arg;

	pthread_mutex_lock(&b->lock);
	while (b->next < b->n) {
		struct names_item *slot = &b->names[b->next++], name = { .name = slot->name };

		pthread_mutex_unlock(&b->lock);
		look_up(&name);
		pthread_mutex_lock(&b->lock);
		*slot = name;
		b->finished++;
		pthread_cond_signal(&b->done);
	}
	pthread_mutex_unlock(&b->lock);
	batch_unref(b);
	return NULL;
}

static void start_workers(struct batch *b)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK);
	/* The caller is a holder too: NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
	for (size_t i = 0; i < b->n && i < THREADS_MAX; i++) {
		pthread_mutex_lock(&b->lock);
		b->holders++;
		pthread_mutex_unlock(&b->lock);
		if (pthread_create(&thread, &attr, worker, b))
			batch_unref(b);
	}
	pthread_attr_destroy(&attr);
}

/* `deadline` as an instant of CLOCK_MONOTONIC, at most an hour from now. */
static struct timespec wake_at(int64_t deadline)
{
	int64_t left = clock_left_poll(deadline);
	struct timespec t;

	if (left < 0)
		left = 3600000;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += left / 1000;
	t.tv_nsec += left % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

static bool is_numeric(const char *name)
{
	unsigned char addr[16];

	return inet_pton(AF_INET, name, addr) == 1 || inet_pton(AF_INET6, name, addr) == 1;
}

static void look_up_batch(struct names_item *names, size_t n, int64_t deadline)
{
	struct batch *b = batch_new(names, n);
	struct timespec until = wake_at(deadline);
	int rc = 0;

	start_workers(b);
	pthread_mutex_lock(&b->lock);
	while (b->finished < n && b->holders > 1 && !rc)
		rc = pthread_cond_timedwait(&b->done, &b->lock, &until);
	b->next = n; /* nobody waits for the rest */
	for (size_t i = 0; i < n; i++) {
		const char *name = names[i].name;

		names[i] = b->names[i];
		names[i].name = name;
	}
	pthread_mutex_unlock(&b->lock);
	batch_unref(b);
}

void names_look_up(struct names_item *names, size_t n, int64_t deadline)
{
	size_t others = 0;

	for (size_t i = 0; i < n; i++) {
		if (is_numeric(names[i].name)) {
			snprintf(names[i].address, sizeof(names[i].address), "%s", names[i].name);
		} else {
			struct names_item swap = names[others];

			names[others++] = names[i];
			names[i] = swap;
		}
	}
	if (others)
		look_up_batch(names, others, deadline);
}
