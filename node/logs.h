/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * logs - the binlogs or relay logs of a server, in their order.  Runs on: any thread (blocks on the
 * disk).  Logs: never.
 *
 * Found in a folder by their common prefix, or in an index file.  Order and gaps go by their
 * numbers: behind .999999 comes .1000000.
 */
#pragma once
#include <stdint.h>
#include "mem.h"
#include "vec.h"

struct log_file {
	char *path;       /* owned */
	const char *name; /* its last part */
	uint64_t number;
};

struct logs {
	VEC(struct log_file) files; /* oldest first; at least one */
};

/*
 * All "<prefix>.<number>" of the first folder of the comma list that holds `must` (a bare name), or
 * any if that is NULL.  ERR_PRECOND "Binlog not found from ...".  Call logs_done() on success.
 */
bool logs_in_folders(const char *folders, const char *prefix, const char *must, struct logs *ret,
        struct err *e) MUST_USE;

/* The same of one folder.  ERR_SYSTEM, ERR_PRECOND. */
bool logs_in_folder(
        const char *folder, const char *prefix, struct logs *ret, struct err *e) MUST_USE;

/* All that an index lists; relative names are under `datadir`, or the index's own folder if that is
 * NULL. */
bool logs_of_index(
        const char *index, const char *datadir, struct logs *ret, struct err *e) MUST_USE;
void logs_done(struct logs *l);

/* Which one has that (bare) name; false if none. */
bool logs_find(const struct logs *l, const char *name, size_t *ret) MUST_USE;

/* ERR_PRECOND that names the first missing file behind `first`. */
bool logs_have_no_gap(const struct logs *l, size_t first, struct err *e) MUST_USE;

/* As dir_open_linked(). */
int logs_open(const struct logs *l, size_t i, struct err *e) MUST_USE;
