/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * apply_join - saved parts of binlogs and relay logs as one row of whole transactions.  Runs on:
 * any thread (blocks on the disk).  Logs: never.
 *
 * The parts follow each other in the source's order.  A transaction may begin in one and end in the
 * next.  What belongs to files rather than to transactions (their heads, the rotations of a
 * replica's relay logs) is left out, so that the whole reads as if it had been received in one go.
 * What does not end, or was begun anew, is cut off and told.
 *
 * Positions are the source's.  Which of its files they are in is known from Rotate events.
 */
#pragma once
#include <stdint.h>
#include "binlog_txn.h"
#include "gtid.h"

struct join_parts { /* borrowed */
	char **paths;
	size_t count;
	const char *begin; /* join_facts.begin, or NULL */
};

/* What all parts together hold. */
struct join_facts {
	uint64_t transactions; /* whole ones */
	uint64_t bytes;
	bool mariadb;
	bool gtids;      /* each transaction has a GTID */
	char begin[512]; /* the file in which it begins; "": they do not say */
	char file[512];  /* where the last whole transaction ends; "": no file was named */
	uint64_t end_pos;
	struct gtid_set *set; /* of the whole ones; owned */
	uint64_t cut;         /* transactions begun that do not end */
	char cut_why[200];    /* "" unless the last part ends torn or inside of a transaction */
	char last_gtid[BINLOG_GTID_TEXT];
};

/* Read through all parts.  ERR_PARSE names part and offset.  Call join_facts_done() on success. */
bool join_scan(const struct join_parts *p, struct join_facts *ret, struct err *e) MUST_USE;
void join_facts_done(struct join_facts *f);

/* What a server has of them. */
struct join_have {
	/* By position, in the source's files: all before it.  NULL: not by position. */
	const char *file;
	uint64_t pos;
	/* By GTID: these.  NULL: not by GTID. */
	const struct gtid_set *gtids;
	/*
	 * MariaDB: GTIDs that it is known to have, "0-1-5,0-1-5".  Each counts, with all before it
	 * in its domain, if it is the GTID of one of the transactions.  NULL: none.
	 */
	const char *logged;
};

/* What is missing there. */
struct join_missing {
	uint64_t transactions, bytes;
	uint64_t had; /* transactions it has */
	/* Of the first missing one */
	char gtid[BINLOG_GTID_TEXT];
	char file[512];
	uint64_t start;
};

/*
 * Find the missing ones, and with fd >= 0 write them there as a file of the server's own format:
 * magic, the source's format description, with `previous` an empty Previous_gtids event, a Rotate
 * to where the first one begins, and they.  Nothing is written when nothing is missing.
 * ERR_PRECOND when the position is not where one of the transactions begins or the last one ends:
 * something between is not there.
 */
bool join_write(const struct join_parts *p, const struct join_have *have, int fd, bool previous,
        struct join_missing *ret, struct err *e) MUST_USE;

/* The order of two binlog names of one server: by their numbers. */
int join_cmp_files(const char *a, const char *b);
