/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * catchup - what a server lacks of a dead master's transactions: where it lies, how much it is, and how
 * it gets there.  Runs on: worker (blocks).  Logs: never.
 *
 * It lies in binlogs (of the dead master itself, or on a binlog server) or in the relay logs of another
 * slave.  mha-node on that host reads it; it comes here as one stream into a file, synced, and goes from
 * here to the host of the server that lacks it, whose mha-node applies it and looks at the end.  No
 * host talks to another, and a manager that was killed finds the files again.
 */
#pragma once
#include <jansson.h>
#include "link.h"
#include "node_code.h"
#include "snapshot.h"

/* Where to look. */
enum catchup_kind {
	CATCHUP_BINLOG, /* binlogs of the dead master, or copies of them */
	CATCHUP_RELAY,  /* relay logs of a slave */
};

struct catchup_place { /* all borrowed */
	enum catchup_kind kind;
	const struct conf_server *server;
	struct link_door *door; /* to its host */
	/* CATCHUP_RELAY: the slave, with the paths of its relay logs, and the channel. */
	const struct snapshot_server *snap;
	const struct snapshot_channel *channel;
};

/* What the receiver has: a position in the dead master's binlogs, or its GTIDs. */
struct catchup_have {
	const char *file; /* NULL: by GTIDs */
	uint64_t pos;
	const char *gtids; /* "" is nothing at all */
	/*
	 * By GTIDs, in binlogs: the file to begin with, if it is known to be early enough; NULL: it is
	 * found out.  In binlogs without GTIDs in them this is never right.
	 */
	const char *newest; /* name of a binlog of the dead master: says how they are called */
};

/* What was found, or saved. */
struct catchup_found {
	uint64_t transactions, bytes;
	uint32_t crc;
	char first[80], last[80];            /* GTIDs; "" without */
	int64_t first_time, last_time;       /* seconds since 1970; 0 not known */
	char start_file[256], end_file[256]; /* in the dead master's coordinates */
	uint64_t start_pos, end_pos;
	/* The end was not clean: a torn event, or a transaction that does not end.  "" if it was. */
	char cut[400];
	uint64_t cut_bytes;
	bool cut_open; /* a transaction begins and does not end: it was never committed, or torn */
};

/*
 * Look only: nothing is written anywhere.  transactions 0: there is nothing that the receiver lacks.
 * ERR_PRECOND with SAVE_SHORTER: that log ends before what the receiver has (`rewound`); SAVE_NO_EVENT,
 * SAVE_DIVERGED, SAVE_PURGED, FIND_*: see node_code.h.
 */
bool catchup_count(const struct catchup_place *p, const struct catchup_have *h, int64_t deadline,
        struct catchup_found *ret, struct err *e) MUST_USE;

/* The same into the file `path` here (0600, there whole or not at all).  No file with 0 transactions. */
bool catchup_save(const struct catchup_place *p, const struct catchup_have *h, const char *path,
        int64_t deadline, struct catchup_found *ret, struct err *e) MUST_USE;

/* Whom to bring it to. */
struct catchup_target { /* all borrowed */
	const struct conf_server *server;
	struct link_door *door;
	const char *channel; /* of replication; "" the default one */
	const char *run;     /* name of the run, for file names over there */
};

struct catchup_applied {
	char applier[16];           /* "relay", "sql" */
	uint64_t transactions, had; /* applied; were there already */
	char file[256];             /* executed up to, in the dead master's coordinates */
	uint64_t pos;
	char *gtids; /* owned */
};

/*
 * Hand the files (paths here, in the order of the dead master) over and have them applied.  The applier is
 * stopped by it and may be left stopped.  ERR_LOST: it may be going on over there; doing it again is
 * safe, and what was applied is not applied twice.
 */
bool catchup_bring(const struct catchup_target *t, const char *const *paths, size_t n,
        int64_t deadline, struct catchup_applied *ret, struct err *e) MUST_USE;
void catchup_applied_done(struct catchup_applied *a);

/* "3 transactions, 1,204 bytes, 3e11..:101-103, last of 12:03:04".  Returns owned. */
char *catchup_text(const struct catchup_found *f);
json_t *catchup_json(const struct catchup_found *f); /* new reference */
bool catchup_of_json(const json_t *j, struct catchup_found *ret);
