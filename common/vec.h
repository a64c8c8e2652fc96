/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vec - a growable array of any type.  Runs on: one thread at a time.
 *
 *	VEC(struct point) v = VEC_INIT;
 *	vec_push(&v, (struct point){ 1, 2 });
 *	vec_each(struct point, p, &v)
 *		use(p);
 *	vec_done(&v);
 *
 * Pushing may move the items: keep indices, not pointers, across a push.
 */
#pragma once
#include <stddef.h>
#include <stdlib.h>
#include "mem.h"

#define VEC(type)                                                                                  \
	struct {                                                                                   \
		type *items;                                                                       \
		size_t len, cap;                                                                   \
	}
#define VEC_INIT                                                                                   \
	{                                                                                          \
		NULL, 0, 0                                                                         \
	}

#define vec_push(v, ...)                                                                           \
	do {                                                                                       \
		if ((v)->len == (v)->cap) {                                                        \
			(v)->cap = (v)->cap ? (v)->cap * 2 : 8;                                    \
			(v)->items = xrealloc((v)->items, (v)->cap * sizeof(*(v)->items));         \
		}                                                                                  \
		(v)->items[(v)->len] = (__VA_ARGS__);                                              \
		(v)->len++;                                                                        \
	} while (0)

#define vec_each(type, it, v)                                                                      \
	for (type *it = (v)->items; (it) && (it) < (v)->items + (v)->len; (it)++)

#define vec_done(v)                                                                                \
	do {                                                                                       \
		free((v)->items);                                                                  \
		(v)->items = NULL;                                                                 \
		(v)->len = (v)->cap = 0;                                                           \
	} while (0)
