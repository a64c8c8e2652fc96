/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mem - the one allocator, and cleanup by scope.  Runs on: any thread.
 *
 * Out of memory ends the process with a line on stderr: mhad must survive `kill -9` at any line anyway,
 * so this is one tested path instead of a thousand untested ones.
 *
 * Fixed words in comments of all headers: *borrows* (valid for the call), *takes* (ownership moves in),
 * *returns owned* (caller frees), *returns borrowed until ...*.
 */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include "err.h"

void *xmalloc(size_t n) __attribute__((malloc, returns_nonnull));
void *xzalloc(size_t n) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t n) __attribute__((returns_nonnull));
char *xstrdup(const char *s); /* NULL gives NULL */
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Overwrite `n` bytes in a way that compilers keep. */
void mem_wipe(void *p, size_t n);

/* Wipe and free a secret; NULL is fine. */
void mem_free_secret(char *secret);
/* free() that overwrites the whole block first: for libraries that may hold secrets, jansson for one. */
void mem_free_wiping(void *p);

/* Scoped cleanup: `AUTO(free) char *p = ...;`, `AUTO_FD int fd = ...;`.
 * A type's module declares its own with CLEANUP_FN(name, type *, free_function). */
#define CLEANUP_FN(name, type, func)                                                               \
	static inline __attribute__((unused)) void cleanup_##name(type *p)                         \
	{                                                                                          \
		if (*p)                                                                            \
			func(*p);                                                                  \
	}
#define AUTO(name) __attribute__((cleanup(cleanup_##name)))

void cleanup_free(void *pp);
void cleanup_fd(int *fd);
#define AUTO_FD __attribute__((cleanup(cleanup_fd)))

/* Move ownership out of a scope-cleaned variable. */
#define TAKE(p)                                                                                    \
	__extension__({                                                                            \
		__typeof__(p) take_tmp_ = (p);                                                     \
		(p) = NULL;                                                                        \
		take_tmp_;                                                                         \
	})

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
