/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * purge_guard - a second process that turns relay_log_purge off again if the first cannot.  Runs
 * on: any thread. Logs: never.
 *
 * Left on by a purge that was killed, the setting would let relay logs vanish that a failover
 * needs.  The guard logs in before it is turned on, in a process group of its own, and waits on a
 * pipe: told to stand down it ends, but when the pipe just closes it sets the variable, trying
 * again for some minutes if the server is away.
 */
#pragma once
#include "login.h"
#include "proc.h"

struct purge_guard {
	struct proc_child child;
};

/* Returns when it is on guard.  Call purge_guard_dismiss() or purge_guard_leave() on success. */
bool purge_guard_start(struct purge_guard *g, const struct login *l, struct err *e) MUST_USE;
void purge_guard_dismiss(struct purge_guard *g); /* it is not needed any more */
void purge_guard_leave(struct purge_guard *g);   /* it shall do its work */

/* `mha-node purge-guard`: the process. */
int purge_guard_verb(const struct args *a, struct verb_io *io, struct err *e);
