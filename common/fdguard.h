/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fdguard - shuts a socket down at an instant, whoever is blocked in it.  Runs on: any thread.  Logs: never.
 *
 * For libraries that block inside recv() or TLS with timeouts of their own, or none: the one thread of this module
 * ends their wait on the millisecond by shutting the connection down, and they return with an error.  A guard
 * holds its own duplicate of the descriptor, so it is harmless that a library closes its socket meanwhile.
 */
#pragma once
#include <stdint.h>
#include "mem.h"

struct fdguard;

/* Guard socket `fd`, which stays the caller's.  Returns owned; NULL with ERR_SYSTEM when there is no descriptor or
 * no thread to be had. */
struct fdguard *fdguard_new(int fd, struct err *e) MUST_USE;
void fdguard_free(struct fdguard *g); /* NULL is fine; disarms, does not shut anything down */
CLEANUP_FN(fdguard, struct fdguard *, fdguard_free)

/* Shut the socket down at `deadline` (at once when it has passed, never for CLOCK_NEVER); replaces an earlier one. */
void fdguard_arm(struct fdguard *g, int64_t deadline);

/* Call the shutdown off.  Whether it had happened. */
bool fdguard_disarm(struct fdguard *g);

/* Shut it down now. */
void fdguard_cut(struct fdguard *g);
