/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * out - files that verbs write: a ring of portions between the caller and the thread that writes.
 * Runs on: any thread; write_all() on the file's own.
 */
#include "out.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "dir.h"

#define PORTION  (2u << 20)
#define PORTIONS 3
#define ALIGN    4096
#define STACK    (64u << 10)

struct out {
	int fd;
	char *path; /* owned */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct portion *filling; /* the caller's: of the ring, not given yet; or NULL */
	void *mem;               /* owned */
	bool direct;             /* past the page cache, which the server needs more than we do */
	/* under the lock */
	struct err failed;
	bool ended;            /* nothing more will come */
	unsigned given, taken; /* portions so far */
	struct portion {
		size_t n;
		uint8_t *bytes; /* in `mem` */
	} ring[PORTIONS];
};

static bool give_away(int fd, const char *dir, struct err *e)
{
	struct stat st;

	if (geteuid() != 0)
		return true;
	if (stat(dir, &st) < 0 || fchown(fd, st.st_uid, st.st_gid) < 0)
		return err_sys(e, "give it the owner of %s", dir);
	return true;
}

static int make_file(const char *path, struct err *e)
{
	AUTO(free) char *dir = dir_of(path);
	int fd;

	if (!dir_make(dir, e))
		return -1;
	if (unlink(path) < 0 && errno != ENOENT) {
		err_sys(e, "remove %s", path);
		return -1;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		err_sys(e, "make %s", path);
	} else if (!give_away(fd, dir, e)) {
		err_ctx(e, "make %s", path);
		close(fd);
		unlink(path);
		return -1;
	}
	return fd;
}

static void end_direct(struct out *o)
{
	o->direct = false;
	(void)fcntl(o->fd, F_SETFL, 0);
}

/* The end of the file is seldom aligned; and some file systems refuse only here. */
static bool write_portion(struct out *o, const struct portion *p, struct err *e)
{
	for (size_t at = 0; at < p->n;) {
		ssize_t done;

		if (o->direct && p->n % ALIGN)
			end_direct(o);
		done = write(o->fd, p->bytes + at, p->n - at);
		if (done < 0 && errno == EINVAL && o->direct)
			end_direct(o);
		else if (done < 0 && errno != EINTR)
			return err_sys(e, "write %s", o->path);
		at += done > 0 ? (size_t)done : 0;
	}
	return true;
}

/* The next portion, or NULL when there will be none. */
static struct portion *next_portion(struct out *o)
{
	struct portion *p = NULL;

	pthread_mutex_lock(&o->lock);
	while (o->given == o->taken && !o->ended)
		pthread_cond_wait(&o->changed, &o->lock);
	if (o->given != o->taken)
		p = &o->ring[o->taken % PORTIONS];
	pthread_mutex_unlock(&o->lock);
	return p;
}

static void portion_done(struct out *o, const struct err *e)
{
	pthread_mutex_lock(&o->lock);
	o->taken++;
	if (e->kind != ERR_NONE)
		o->failed = *e;
	pthread_cond_signal(&o->changed);
	pthread_mutex_unlock(&o->lock);
}

static void *write_all(void *arg)
{
	struct out *o = arg;
	struct portion *p;
	struct err e = { 0 };

	while ((p = next_portion(o))) {
		/* Behind a failure the rest is thrown away: the caller hears of it soon. */
		if (e.kind == ERR_NONE)
			(void)!write_portion(o, p, &e);
		portion_done(o, &e);
	}
	return NULL;
}

/* Signals are for the other threads. */
static bool start_thread(struct out *o, struct err *e)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int error;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&o->thread, &attr, write_all, o);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	errno = error;
	return error == 0 || err_sys(e, "start a thread");
}

/* Aligned as direct writing demands. */
static void make_ring(struct out *o)
{
	uint8_t *p;

	o->mem = xmalloc(PORTIONS * PORTION + ALIGN);
	p = (uint8_t *)o->mem + (ALIGN - (uintptr_t)o->mem % ALIGN);
	for (size_t i = 0; i < PORTIONS; i++)
		o->ring[i].bytes = p + i * PORTION;
}

static void free_it(struct out *o)
{
	pthread_cond_destroy(&o->changed);
	pthread_mutex_destroy(&o->lock);
	close(o->fd);
	free(o->mem);
	free(o->path);
	free(o);
}

struct out *out_open(const char *path, struct err *e)
{
	int fd = make_file(path, e);
	struct out *o;

	if (fd < 0)
		return NULL;
	o = xzalloc(sizeof(*o));
	o->fd = fd;
	o->direct = fcntl(fd, F_SETFL, O_DIRECT) == 0;
	o->path = xstrdup(path);
	make_ring(o);
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->changed, NULL);
	if (start_thread(o, e))
		return o;
	unlink(path);
	free_it(o);
	return NULL;
}

/* A free portion; NULL with `e` set when writing has failed. */
static struct portion *free_portion(struct out *o, struct err *e)
{
	struct portion *p = NULL;

	pthread_mutex_lock(&o->lock);
	while (o->given - o->taken == PORTIONS && o->failed.kind == ERR_NONE)
		pthread_cond_wait(&o->changed, &o->lock);
	if (o->failed.kind == ERR_NONE)
		p = &o->ring[o->given % PORTIONS];
	else if (e)
		*e = o->failed;
	pthread_mutex_unlock(&o->lock);
	return p;
}

static void give(struct out *o)
{
	o->filling = NULL;
	pthread_mutex_lock(&o->lock);
	o->given++;
	pthread_cond_signal(&o->changed);
	pthread_mutex_unlock(&o->lock);
}

bool out_write(struct out *o, const void *bytes, size_t n, struct err *e)
{
	const uint8_t *from = bytes;

	while (n) {
		struct portion *p = o->filling ? o->filling : free_portion(o, e);
		size_t part;

		if (!p)
			return false;
		if (!o->filling)
			p->n = 0;
		part = n < PORTION - p->n ? n : PORTION - p->n;
		memcpy(p->bytes + p->n, from, part);
		p->n += part;
		from += part;
		n -= part;
		o->filling = p;
		if (p->n == PORTION)
			give(o);
	}
	return true;
}

/* All that was given has been written, or has failed. */
static bool end_thread(struct out *o, struct err *e)
{
	if (o->filling)
		give(o);
	pthread_mutex_lock(&o->lock);
	o->ended = true;
	pthread_cond_signal(&o->changed);
	pthread_mutex_unlock(&o->lock);
	pthread_join(o->thread, NULL);
	if (o->failed.kind == ERR_NONE)
		return true;
	if (e)
		*e = o->failed;
	return false;
}

/* So that the name is there after a crash as well. */
static bool sync_folder(const char *path, struct err *e)
{
	AUTO(free) char *dir = dir_of(path);
	AUTO_FD int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return (fd >= 0 && fsync(fd) == 0) || err_sys(e, "sync folder %s", dir);
}

bool out_keep(struct out *o, struct err *e)
{
	bool ok = end_thread(o, e) && (fsync(o->fd) == 0 || err_sys(e, "write %s", o->path)) &&
	          sync_folder(o->path, e);

	if (!ok)
		unlink(o->path);
	free_it(o);
	return ok;
}

void out_drop(struct out *o)
{
	end_thread(o, NULL);
	unlink(o->path);
	free_it(o);
}
