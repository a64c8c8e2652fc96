/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arena - many small things with one lifetime (a configuration, a snapshot, a run).  Runs on: one thread
 * at a time.
 *
 * What an arena gave is valid until arena_free() and never freed alone.  Memory comes zeroed and aligned
 * for any type.
 */
#pragma once
#include <stddef.h>
#include "mem.h"

struct arena;

struct arena *arena_new(void);    /* returns owned */
void arena_free(struct arena *a); /* NULL is fine; wipes if arena_hold_secrets() was called */
CLEANUP_FN(arena, struct arena *, arena_free)

void *arena_alloc(struct arena *a, size_t n) __attribute__((returns_nonnull));
char *arena_strdup(struct arena *a, const char *s); /* NULL gives NULL */
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Have every block overwritten before it is given back to the system. */
void arena_hold_secrets(struct arena *a);

#define ARENA_NEW(a, type)      ((type *)arena_alloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, n) ((type *)arena_alloc((a), sizeof(type) * (n)))
