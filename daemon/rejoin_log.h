/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rejoin_log - the transactions in a server's binlogs, as `mha-node look` lists them, and where two lists are
 * the same history.  Runs on: worker (rejoin_log_fetch() blocks), any thread (all else).  Logs: never.
 *
 * A transaction is known again by its mark (see mha-node's look), which is made of what it says and not of where it
 * stands; where servers number transactions, the number must be the same too.
 */
#pragma once
#include <stdint.h>
#include "link.h"
#include "vec.h"

struct rejoin_txn {
	uint64_t mark;
	uint64_t end; /* offset behind it, in files[file] */
	int64_t time;
	uint32_t server, file;
	char kind; /* see mha-node's look: '-' empty, 'a' changes no rows, 'r' rows, 's' a statement */
	char *gtid;    /* owned; NULL: none */
	char *details; /* owned JSON; NULL: not asked for */
};

struct rejoin_log {
	VEC(struct rejoin_txn) all; /* oldest first */
	VEC(char *) files;
	char *before; /* what the first file says was before it; NULL: it does not say */
	char end_file[256];
	uint64_t end_pos; /* behind the last whole one */
	int64_t booted;   /* when that host was booted, in seconds since 1970; 0 not known */
};

struct rejoin_log_ask { /* all borrowed */
	const struct conf_server *server;
	struct link_door *door;
	const char *file; /* the first one */
	const char *have; /* MySQL: leave these out; NULL: nothing */
	bool details;
};

/* *ret is to be given to rejoin_log_done() in any case.  Errors are those of link.h and of the verb. */
bool rejoin_log_fetch(const struct rejoin_log_ask *a, int64_t deadline, struct rejoin_log *ret,
        struct err *e) MUST_USE;
void rejoin_log_done(struct rejoin_log *l);

/* One line of the verb's; false: it is none.  For tests too. */
bool rejoin_log_line(struct rejoin_log *l, char *line) MUST_USE;

/* Whether a transaction changes nothing that is there to stay. */
bool rejoin_txn_is_empty(const struct rejoin_txn *t);

struct rejoin_match {
	size_t ours, theirs; /* the last that both have */
	size_t proven;       /* how many in a row, up to it, are the same */
};

/*
 * Where our list leaves theirs: the last transaction of ours that is theirs too, with all before it the same
 * as far as both lists go (or a good many).  Behind it in ours is what they never had.
 *
 * ERR_PRECOND, code REJOIN_APART: nothing in common; REJOIN_UNCLEAR: what is the same is not in one order, or says
 * too little, or could be at more than one place.
 */
enum { REJOIN_APART = 1, REJOIN_UNCLEAR };
bool rejoin_log_match(const struct rejoin_log *ours, const struct rejoin_log *theirs,
        struct rejoin_match *ret, struct err *e) MUST_USE;
