/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mem - allocation that cannot fail, and wiping.
 * Runs on: any thread.
 */
#include "mem.h"
#include <errno.h>
#include <stdio.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *or_die(void *p)
{
	static const char msg[] = "out of memory, giving up\n";

	if (p)
		return p;
	if (write(STDERR_FILENO, msg, sizeof(msg) - 1) < 0)
		abort();
	abort();
}

void *xmalloc(size_t n)
{
	return or_die(malloc(n ? n : 1));
}

void *xzalloc(size_t n)
{
	return or_die(calloc(1, n ? n : 1));
}

void *xrealloc(void *p, size_t n)
{
	return or_die(realloc(p, n ? n : 1));
}

char *xstrdup(const char *s)
{
	return s ? or_die(strdup(s)) : NULL;
}

char *xstrndup(const char *s, size_t n)
{
	return or_die(strndup(s, n));
}

char *xasprintf(const char *fmt, ...)
{
	char *s;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	return or_die(s);
}

void mem_wipe(void *p, size_t n)
{
	explicit_bzero(p, n);
}

void mem_free_secret(char *secret)
{
	if (secret)
		mem_wipe(secret, strlen(secret));
	free(secret);
}

void cleanup_free(void *pp)
{
	free(*(void **)pp);
}

void cleanup_fd(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

void mem_free_wiping(void *p)
{
	if (p)
		mem_wipe(p, malloc_usable_size(p));
	free(p);
}
