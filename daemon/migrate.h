/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * migrate - what somebody should know who brings a cluster from MHA.  Runs on: any thread (all but
 * migrate_changes() block).  Logs: never.
 *
 * Everything becomes a finding: an error is what must be put right first, a warning what will not do what
 * it did, an info what is only different.
 */
#pragma once
#include "check.h"

/* What this file's settings do differently here; pure. */
void migrate_changes(const struct conf *c, struct check_findings *f);

/* Hook scripts that are not there, cannot be run, or need MHA's Perl modules, which go away with its package. */
void migrate_hooks(const struct conf *c, struct check_findings *f);

/* A manager of MHA's that works on this cluster: its status file, its process on this host. */
void migrate_old_manager(const struct conf *c, struct check_findings *f);

/* Logs in to each server, all at most until `deadline`: what the account lacks, and whether somebody holds the
 * lock of managers.  Servers that do not answer are a warning. */
void migrate_servers(const struct conf *c, int64_t deadline, struct check_findings *f);

/*
 * Read the native form `text` of `was` again: each setting of each server must have the value that it had.
 * First without a global file: a difference is ERR_PRECOND, and a bug.  Then with the file `global` (NULL: the
 * usual one): what it would change is added to `f` as warnings.
 */
bool migrate_read_back(const struct conf *was, const char *text, const char *global,
        struct check_findings *f, struct err *e) MUST_USE;
