/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * apply_state - what an apply must find again if it is killed: settings of the server that it has
 * changed, and the names of what it has made.  Runs on: any thread (blocks on the disk).  Logs:
 * never.
 *
 * A folder of its own in the work directory, for us alone: one per server and channel.  It holds a
 * small file of names and values, written anew as a whole and seen to the disk at each change.
 * What the server or the disk can tell is asked there instead.
 */
#pragma once
#include "str.h"

struct apply_state {
	char *dir; /* owned; its path */
	int fd;    /* of the folder */
	struct str text;
	bool found; /* left by an apply that did not end */
};

/*
 * Open or make it; one apply at a time per folder.  ERR_PRECOND: it is somebody else's, or in use.
 */
bool apply_state_open(
        struct apply_state *s, const char *workdir, const char *name, struct err *e) MUST_USE;
void apply_state_close(struct apply_state *s);

/* Returns owned; NULL: not there. */
char *apply_state_get(const struct apply_state *s, const char *name);
bool apply_state_set(
        struct apply_state *s, const char *name, const char *value, struct err *e) MUST_USE;
bool apply_state_forget(struct apply_state *s, struct err *e) MUST_USE; /* all of it */

/* Make a file in the folder anew, for us alone.  -1 with ERR_SYSTEM. */
int apply_state_create(struct apply_state *s, const char *name, struct err *e) MUST_USE;
