/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aside - runs a function in a process of its own, so that what blocks there cannot hold us.
 * Runs on: any thread (forks).  Logs: never.
 *
 * A process in an uninterruptible wait (a stuck disk, a dead NFS server) cannot be killed, and
 * asking the kernel about another such process may hang as well.  Whatever may meet one runs aside
 * and is left behind when it is late: it has no descriptor of ours and is nobody's child, and ends
 * by itself when the kernel lets it go.
 */
#pragma once
#include <stdint.h>
#include "mem.h"

/* Fills `ret`, which is plain memory without pointers, zeroed.  Only memory and system calls, as after any fork. */
typedef void (*aside_fn)(const void *arg, void *ret);

/*
 * Run fn(arg, ret) aside and copy what it left in `ret` (`size` bytes) back.  ERR_LOST when it did
 * not end by the deadline, ERR_SYSTEM when it could not be started or ended early; `ret` is zeroed
 * then.
 */
bool aside_run(aside_fn fn, const void *arg, void *ret, size_t size, int64_t deadline,
        struct err *e) MUST_USE;

/*
 * Leave fn(arg, fd) behind as a process of its own, which ends when it returns.  It has `fd` (a copy), and no other
 * descriptor; signals end it as they end any program.  `arg` is read by the copy of our memory, so it may go at once.
 */
typedef void (*aside_leave_fn)(const void *arg, int fd);
bool aside_leave(aside_leave_fn fn, const void *arg, int fd, struct err *e) MUST_USE;
