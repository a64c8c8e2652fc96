/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * binlog_txn - which events make a transaction.  Runs on: any thread.  Logs: never.
 *
 * Fed event by event, a binlog_txn tells where each event stands: the first of a transaction,
 * inside, its last, or apart from all.  It goes on from one file to the next: in relay logs a
 * transaction may begin in one and end in another.
 *
 * A transaction is: what a GTID leads; BEGIN or XA START up to Xid, COMMIT, ROLLBACK or XA_prepare;
 * one statement alone (DDL), with the variables and loaded blocks before it; a transaction payload;
 * in MariaDB what the flags of its GTID say.  It is void, as if it were not there, when the server
 * began anew (a format description of a start) or another transaction begins before its end (a
 * replica that reconnected).
 */
#pragma once
#include "binlog_view.h"

enum binlog_place {
	BINLOG_APART, /* belongs to no transaction: rotate, format description, heartbeat... */
	BINLOG_FIRST,
	BINLOG_INSIDE,
	BINLOG_LAST,
	BINLOG_ONLY, /* first and last */
};

enum binlog_txn_state {
	BINLOG_TXN_NONE,
	BINLOG_TXN_PREPARED, /* begun by a GTID or variables: the next statement decides */
	BINLOG_TXN_OPEN,     /* up to its commit */
};

struct binlog_txn {
	enum binlog_txn_state state;
	/*
	 * Of the transaction the last event belongs or belonged to; valid until the next one
	 * begins.
	 */
	struct binlog_gtid gtid; /* kind NONE: there is none */
	uint64_t offset;         /* of its first event, in the file where that stands */
	uint32_t timestamp;      /* of its first event */
	uint64_t events, bytes;
	bool rolled_back; /* ended by ROLLBACK */
	uint64_t voided;  /* transactions so far that were begun and became void */
};

#define BINLOG_TXN_INIT                                                                            \
	{                                                                                          \
		.state = BINLOG_TXN_NONE                                                           \
	}

/* ERR_PARSE: an event of a known type is malformed; then nothing behind it can be trusted. */
bool binlog_txn_feed(struct binlog_txn *t, const struct binlog_format *f,
        const struct binlog_event *ev, enum binlog_place *ret, struct err *e) MUST_USE;

static inline bool binlog_txn_is_open(const struct binlog_txn *t)
{
	return t->state != BINLOG_TXN_NONE;
}

/* Where the last whole transaction ends, and what is cut off. */
struct binlog_tail {
	uint64_t whole_end; /* offset up to which everything is whole */
	uint64_t end_pos;  /* the same in the source's binlog (as binlog_event.end_pos); 0: no event
	                      told */
	uint64_t seen_end; /* offset up to which there were proper events */
	uint64_t transactions;
	struct binlog_gtid first, last; /* of the whole ones */
	uint32_t last_timestamp;
	bool open; /* a transaction was begun and does not end; what it is stands in the binlog_txn
	            */
	enum binlog_next why; /* why there were no more events: BINLOG_END is a proper end */
	struct err error;     /* in words, unless why is BINLOG_END */
};

/*
 * Read to the end of the source and tell.  `t` is initialised by the caller; to look through
 * several files, pass it on from one to the next.  Cut off is what lies behind whole_end: nothing,
 * an open transaction (`open`), bytes that are no event (`why`), or both.  False only when the
 * source cannot be judged at all: ERR_SYSTEM or ERR_LOST (reading failed), ERR_PRECOND (encrypted),
 * ERR_PARSE (an event is malformed though its checksum is right).
 */
bool binlog_txn_find_tail(
        struct binlog *b, struct binlog_txn *t, struct binlog_tail *ret, struct err *e) MUST_USE;
