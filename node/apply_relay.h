/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * apply_relay - lets the server itself apply what is missing: as one more relay log. Runs on: any
 * thread (blocks).  Logs: progress, to io->out.
 *
 * Both replication threads are stopped; a file with the missing transactions, from the executed
 * position on, gets the next number of the relay log index; the server is told to execute it, and
 * nothing else.  So it is as parallel as replication is there, every type of event works, and GTIDs
 * are kept.  The server's own relay logs that it has not executed yet are skipped thereby (the
 * parts hold them too); all of them are hard-linked aside first.  At the end both threads are
 * stopped, all settings are as they were.
 *
 * Whatever happens on the way, also a kill of this program or of the server: begun again, it looks
 * what the server has now, and hands over what is missing then.
 */
#pragma once
#include "apply_impl.h"

/* Whether it can be done here; ERR_PRECOND says why not. */
bool apply_relay_can(struct apply *a, struct err *e) MUST_USE;

/*
 * For target_stop_applier(); `apply` is the struct apply.  Says nothing where the relay logs cannot
 * be read.
 */
void apply_relay_find_half(void *apply, const struct target_status *st, struct target_half *ret);

/* Do it.  On success nothing is missing any more. */
bool apply_relay(struct apply *a, struct err *e) MUST_USE;
