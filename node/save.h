/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * save - the missing part of a server's log, as one valid binlog stream.  Runs on: any thread
 * (blocks on the disk and on its sink).  Logs: never.
 *
 * From a position, or all that a receiver with a given GTID set lacks, over as many files as there
 * are, up to the end of the last whole transaction.  Works on binlogs and on relay logs; in those,
 * what the replica itself has written is left out and places are told in the source's coordinates.
 * Memory stays the same however large files and transactions are.
 */
#pragma once
#include "binlog_txn.h"
#include "binlog_write.h"
#include "logs.h"
#include "node_code.h"

/* A transaction that is whole as far as it goes, but does not end. */
enum save_open {
	SAVE_OPEN_CUT,
	SAVE_OPEN_KEEP,       /* what is saved from elsewhere goes on with it */
	SAVE_OPEN_KEEP_RELAY, /* the same if these are relay logs, read from a position: as MHA does
	                       */
};

struct save_spec { /* all borrowed */
	const struct logs *logs;
	/*
	 * Where to begin: at an offset of a file; 4 or less is its beginning.  Inside of a
	 * transaction is accepted (the rest of what a replica has half received), inside of an
	 * event is not.
	 */
	size_t first;
	uint64_t start_pos;
	size_t look_from; /* <= first: relay logs: where looking for the name of the source's file
	                     begins */
	const char *source_file; /* its name there, if it is known already; or NULL */
	/* Or what the receiver has: a GTID set of MySQL or a position of MariaDB; "" is nothing. */
	const char *have;

	const char
	        *previous_gtids; /* MySQL: the stream says that these were before; NULL: nothing */
	enum save_open open;
	bool sum; /* add up a checksum of the stream */
	bool (*go_on)(
	        void *ctx, struct err *e); /* asked now and then; false ends it.  May be NULL */
	void *go_on_ctx;
};

struct save_place {
	char file[256]; /* bare name; "" for unknown */
	uint64_t pos;
};

struct save_report {
	uint64_t transactions, had; /* in the stream; seen, but the receiver has them */
	uint64_t bytes;             /* of the stream: 0 if there is nothing to save */
	uint32_t crc;               /* CRC32 of it, if asked for */
	struct binlog_gtid first, last;
	uint32_t first_time, last_time; /* seconds since 1970 */
	struct save_place start, end;   /* in the source's coordinates */
	char server_version[51];
	bool mariadb, relay;
	bool starts_inside, ends_inside; /* of a transaction */

	/* What was cut off, and why: nothing if `why` is BINLOG_END and there is no open
	 * transaction. */
	enum binlog_next why;
	char why_text[200];
	bool open; /* a transaction begins and does not end */
	struct binlog_gtid open_gtid;
	struct save_place cut; /* file that was read, offset up to which it is whole */
	uint64_t cut_bytes;    /* behind that, in that file */
	size_t files_left;     /* and files that were not read at all */
};

/* Refusals that somebody decides by have a code of node_code.h. */

/* With a NULL sink it only counts.  After a failure what the sink got is worth nothing. */
bool save_run(const struct save_spec *spec, const struct binlog_sink *sink, struct save_report *ret,
        struct err *e) MUST_USE;

/* The report as members of an open JSON object. */
struct json;
void save_report_json(const struct save_report *r, struct json *j);
