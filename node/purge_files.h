/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * purge_files - the relay logs while the server removes them.  Runs on: any thread (blocks on the
 * disk).  Logs: never.
 *
 * A file is gone for the server as soon as its name is, if somebody else still has it open: held
 * here, its space is not freed while the server holds its locks, but afterwards, and in steps that
 * leave the disk time for others.  No name is made or removed here.
 */
#pragma once
#include <stdio.h>
#include "verb.h"
#include "vec.h"

struct purge_file {
	int fd;
	bool writable; /* can be made shorter */
};

struct purge_files {
	VEC(struct purge_file) items;
};

/* Open <dir>/<prefix>.N, oldest first, and say so as MHA does; up to a limit of files.  ERR_SYSTEM.
 */
bool purge_files_hold(struct purge_files *f, const char *dir, const char *prefix, FILE *out,
        struct err *e) MUST_USE;

/* Whether all of them have lost their names. */
bool purge_files_are_gone(const struct purge_files *f);

/* How many have, and their bytes on disk. */
size_t purge_files_count_gone(const struct purge_files *f, uint64_t *ret_bytes);

/*
 * Close them.  Large ones that have no name any more, and that nobody else reads, are made shorter
 * step by step before; when told to end, the rest is freed at once.
 */
void purge_files_release(struct purge_files *f, struct verb_io *io);
