/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * relay_index - the file that tells a server which relay logs it has, oldest first.  Runs on: any
 * thread (blocks on the disk).  Logs: never.
 *
 * The server reads it when it starts, and on FLUSH RELAY LOGS.  A line is added while it runs with
 * its receiver stopped; nothing here ever removes or moves one.
 */
#pragma once
#include <sys/types.h>
#include "mem.h"
#include "vec.h"

struct relay_index {
	char *path;        /* of the index; owned */
	char *dir;         /* folder of the relay logs, for us; owned */
	VEC(char *) lines; /* as they stand there: "./relay-bin.000003"; owned */
	bool torn;         /* its last line has no end */
	uid_t uid;         /* whose it is: what is made for the server is made for the same */
	gid_t gid;
	mode_t mode;
};

/* Read it.  ERR_SYSTEM, ERR_PARSE.  Call relay_index_done() on success. */
bool relay_index_read(const char *path, struct relay_index *ret, struct err *e) MUST_USE;
void relay_index_done(struct relay_index *x);

/* Whether it names the file, with whatever folder in front. */
bool relay_index_has(const struct relay_index *x, const char *name);

/* The path of a line's file, for us; returns owned. */
char *relay_index_file(const struct relay_index *x, size_t line);

/*
 * The name for a relay log behind all that are listed or lie in the folder.  Returns owned, NULL
 * with ERR_PRECOND when the index has no line to go by.
 */
char *relay_index_next(const struct relay_index *x, struct err *e) MUST_USE;

/* Append a line for the file, written like the others, and see it to the disk. */
bool relay_index_add(const struct relay_index *x, const char *name, struct err *e) MUST_USE;
