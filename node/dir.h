/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dir - folders of numbered log files, and what we may do in them.  Runs on: any thread (blocks on
 * the disk).  Logs: never.
 *
 * Binlogs and relay logs are "<prefix>.<number>".  Numbers are compared as numbers: after .999999
 * comes .1000000, which sorts before it as text.
 */
#pragma once
#include <stdint.h>
#include "mem.h"

/*
 * Split "mysql-bin.000003" into the length of its prefix and the number (of 31 bits, as servers
 * count them); false if it has no such end.
 */
bool dir_log_split(const char *name, size_t *ret_prefix, uint64_t *ret_number) MUST_USE;

/*
 * The log file with the highest number among `dir`/`prefix`.N.  Returns owned (the bare name); NULL
 * with ERR_SYSTEM if the folder cannot be read, ERR_PRECOND if it has none.
 */
char *dir_last_log(const char *dir, const char *prefix, struct err *e) MUST_USE;

/*
 * Open for reading: a regular file, not through a link in its last part, never waiting.  -1 with
 * ERR_SYSTEM.
 */
int dir_open_file(const char *path, struct err *e) MUST_USE;

/*
 * The same, also through a link, if the file belongs to whom the link's folder belongs to: so root
 * reads nothing for a server's user that this one could not.
 */
int dir_open_linked(const char *path, struct err *e) MUST_USE;

/* Whether a file can be made and filled there: really tried, without leaving a name behind. */
bool dir_can_write(const char *dir, struct err *e) MUST_USE;

/* The folder part of a path ("." if it has none); returns owned. */
char *dir_of(const char *path);

/* `mkdir -p`, new folders for us alone. */
bool dir_make(const char *dir, struct err *e) MUST_USE;
