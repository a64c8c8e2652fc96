/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * purge - removes applied relay logs of a slave that keeps them (relay_log_purge=0).  Runs on: any
 * thread (blocks).
 *
 * The server alone removes: relay_log_purge is turned on, relay logs are rotated, and each SQL
 * thread, moving to the new file, lets go of what it has applied; then the setting is turned off
 * again, which a second process sees to if this one is killed (purge_guard.h).  So nothing goes
 * that an applier of any channel still needs.  MHA's lock is held meanwhile: no failover runs, and
 * no second purge.
 */
#pragma once
#include "verb.h"

/* `mha-node purge`, `purge_relay_logs`: MHA's lines and exit status (0: done, or nothing to do). */
int purge_verb(const struct args *a, struct verb_io *io, struct err *e);

/* FLUSH RELAY LOGS for one channel, in the words of the server's family; NULL: it knows no
 * channels.  Returns owned. */
struct dialect;
char *purge_flush_sql(const struct dialect *d, const char *channel);
