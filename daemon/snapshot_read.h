/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snapshot_read - what one worker does for a snapshot: log in to a server and read it.  Runs on:
 * worker.  Logs: never. Only snapshot.c includes this.
 *
 * A reading owns copies of all it needs: its worker may be written off and outlive the
 * configuration.
 */
#pragma once
#include "db.h"
#include "snapshot.h"

struct snapshot_reading {
	struct snapshot_server
	        out;       /* what was found; its arena owns the texts, `conf` stays NULL */
	struct db_opts db; /* owned copies, in the arena except the password */
	char *password;
	const char *repl_user;        /* in the arena; NULL = find it in the replica status */
	const char *const *addresses; /* snapshot_read_resolve(): the answer */
};

/* Copies what the readings below need.  Returns owned. */
struct snapshot_reading *snapshot_reading_new(const struct conf_server *c);
void snapshot_reading_free(void *r); /* struct snapshot_reading *; wipes the password */

void snapshot_read_all(struct snapshot_reading *r, int64_t deadline);
/* Only the own binlog position and the executed set, into binlog_late_* and executed_late. */
void snapshot_read_late(struct snapshot_reading *r, int64_t deadline);
/* The addresses of a name; blocks as long as the resolver does. */
void snapshot_read_addresses(struct snapshot_reading *r, const char *name);

/* Frees the sets and, if it has one, the arena. */
void snapshot_server_done(struct snapshot_server *s);
