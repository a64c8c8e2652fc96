/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arena - a list of blocks, filled from the front.  Large requests get a block of their own.
 * Runs on: one thread at a time.
 */
#include "arena.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 8192, ALIGN = _Alignof(max_align_t) };

struct block {
	struct block *next;
	size_t size, used;
	max_align_t data[];
};

struct arena {
	struct block *blocks; /* the first one is being filled */
	bool secrets;
};

struct arena *arena_new(void)
{
	return xzalloc(sizeof(struct arena));
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	while (a->blocks) {
		struct block *b = a->blocks;

		a->blocks = b->next;
		if (a->secrets)
			mem_wipe(b->data, b->used);
		free(b);
	}
	free(a);
}

void arena_hold_secrets(struct arena *a)
{
	a->secrets = true;
}

static struct block *add_block(struct arena *a, size_t size)
{
	struct block *b = xzalloc(sizeof(*b) + size);

	b->size = size;
	/* A block made for one large thing is full: it goes behind the one being filled. */
	if (a->blocks && size != BLOCK) {
		b->next = a->blocks->next;
		a->blocks->next = b;
	} else {
		b->next = a->blocks;
		a->blocks = b;
	}
	return b;
}

void *arena_alloc(struct arena *a, size_t n)
{
	struct block *b = a->blocks;
	void *p;

	n = (n + ALIGN - 1) / ALIGN * ALIGN;
	if (n > BLOCK / 4)
		b = add_block(a, n);
	else if (!b || b->size - b->used < n)
		b = add_block(a, BLOCK);
	p = (char *)b->data + b->used;
	b->used += n;
	return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *p = arena_alloc(a, len + 1);

	memcpy(p, s, len);
	return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return s ? arena_strndup(a, s, strlen(s)) : NULL;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	char *p;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	p = arena_alloc(a, (size_t)n + 1);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}
