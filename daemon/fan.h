/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fan - the same thing for several servers at once.  Runs on: worker (blocks).  Logs: never.
 *
 *	struct err errs[8];
 *	if (fan_run(n, 0, stop_one, me, errs))		// bool stop_one(void *me, size_t i, struct err *e)
 *		...errs[i].kind != ERR_NONE: that one failed
 *
 * All have ended when it returns: each function keeps its own deadline, fan has none.
 */
#pragma once
#include <stddef.h>
#include "err.h"

/* Any thread, several at a time: item `i` of `arg` is its own, all else only to be read. */
typedef bool (*fan_fn)(void *arg, size_t i, struct err *e);

/*
 * fn(arg, 0) ... fn(arg, n - 1), at most `most` of them at a time (0: 32; the caller's thread is one
 * of them), each in a stack of 512 KiB.  Returns how many failed.  `ret_errs` (n of them, or NULL)
 * gets ERR_NONE for those that did not.
 */
size_t fan_run(size_t n, size_t most, fan_fn fn, void *arg, struct err *ret_errs);
