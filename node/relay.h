/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * relay - where a slave keeps its relay logs.  Runs on: any thread (blocks on the disk).  Logs:
 * never.
 *
 * Told by the server (folder and current file, when it keeps its state in tables) or found in its
 * relay-log.info file.
 */
#pragma once
#include <sys/types.h>
#include "mem.h"

struct relay {
	char *dir;    /* owned */
	char *prefix; /* "relay-bin"; owned */
	char *last;   /* path of the file with the highest number; owned */
	uid_t uid;    /* whose it is: new relay logs must be made for the same */
	gid_t gid;
	mode_t mode; /* its permission bits */
};

/*
 * The relay log named by the text of a relay-log.info file: its first line, or the second where the
 * first is a number (5.6 and later).  Relative names are under `datadir`.  Returns owned, or NULL
 * with ERR_PARSE.
 */
char *relay_info_parse(const char *text, const char *datadir, struct err *e) MUST_USE;

/* The same, of a file. */
char *relay_info_read(const char *path, const char *datadir, struct err *e) MUST_USE;

/* Look at the relay logs beside `current` (a path).  Call relay_done() on success. */
bool relay_open(const char *current, struct relay *ret, struct err *e) MUST_USE;
void relay_done(struct relay *r);

/* Whether one line of an index file's text names the file, with whatever folder in front. */
bool relay_is_listed(const char *text, const char *file);

/*
 * The index that lists them: "<prefix>.index", else the one *.index in that folder that names the
 * last file. Returns owned, or NULL with ERR_PRECOND.
 */
char *relay_find_index(const struct relay *r, struct err *e) MUST_USE;
