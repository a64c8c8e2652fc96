/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backup - a server's data files as a stream, and such a stream as the data of another.  Runs on: any thread
 * (runs mariadb-backup, mbstream).
 *
 * The copy is unpacked and made ready in .mhad-copy of the data directory while the server there still runs on
 * what it has.  --swap then stops the server, moves what it had to .mhad-old and the copy into its place, and
 * starts it again: by its systemd unit, or by the command line that it had.  What does not start is put
 * back at once.  All of --swap is finished, whoever listens.
 *
 * Of one host at one time, in this order: restore, --swap, then --clean (or --undo).  Renames within one folder
 * are all that --swap needs, so the data directory may be a mount point.
 */
#pragma once
#include "mysqld.h"
#include "verb.h"

/* --count: only tell the program's version, and the sizes. */
int backup_serve(const struct args *a, struct verb_io *io, struct err *e);
int restore_serve(const struct args *a, struct verb_io *io, struct err *e);

/* ---- for restore*.c ---- */

/* The server of --port, whose data directory must be --datadir; `runs`: it must run. */
bool backup_find(const struct args *a, struct verb_io *io, bool runs, struct mysqld_found *ret,
        struct err *e) MUST_USE;
/* Its name, borrowed for good; NULL: there is none. */
const char *backup_program(struct verb_io *io, char ret_version[48], struct err *e) MUST_USE;
/* Run to the end; what it says in an error are its last words. */
bool backup_run(const char *const *argv, struct verb_io *io, struct err *e) MUST_USE;
void backup_last_words(struct str *words);

#define BACKUP_COPY    ".mhad-copy"
#define BACKUP_LEAVING ".mhad-leaving" /* as long as not all has gone there */
#define BACKUP_OLD     ".mhad-old"

/* In restore_swap.c: all of them hold. */
bool restore_swap(const struct args *a, struct verb_io *io, struct err *e) MUST_USE;
bool restore_undo(const struct args *a, struct verb_io *io, struct err *e) MUST_USE;
