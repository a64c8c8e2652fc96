/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * binlog - reads the events of a binary log or relay log, one after the other.  Runs on: any thread
 * (blocks on its source).  Logs: never.
 *
 * Format version 4, as MySQL since 5.0 and MariaDB write it, from a file, a pipe or memory:
 *
 *	AUTO(binlog) struct binlog *b = binlog_new_fd(fd);
 *	struct binlog_event ev;
 *
 *	while (binlog_next(b, &ev, e) == BINLOG_EVENT)
 *		...
 *
 * An event is returned only when all of it was there and its checksum was right (where it has one);
 * events of types that nobody here knows are returned like any other.  The source may be a file
 * that its server died over: the reason why there are no more events tells a proper end from a torn
 * one.  What an event means is in binlog_view.h, which events make a transaction in binlog_txn.h,
 * what a compressed one holds in binlog_payload.h.
 *
 * No input makes it crash, loop, read beyond the input, or take more than BINLOG_WHOLE_MAX and a
 * window of memory.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "mem.h"

#define BINLOG_MAGIC_SIZE  4
#define BINLOG_HEADER_SIZE 19
#define BINLOG_CRC_SIZE    4
#define BINLOG_WINDOW      (256u << 10) /* events up to this size are at hand as a whole */
#define BINLOG_WHOLE_MAX   (16u << 20)  /* and lists of GTIDs up to this one */

enum binlog_type {
	BINLOG_UNKNOWN = 0,
	BINLOG_START_V3 = 1,
	BINLOG_QUERY = 2,
	BINLOG_STOP = 3,
	BINLOG_ROTATE = 4,
	BINLOG_INTVAR = 5,
	BINLOG_SLAVE = 7,
	BINLOG_APPEND_BLOCK = 9,
	BINLOG_DELETE_FILE = 11,
	BINLOG_RAND = 13,
	BINLOG_USER_VAR = 14,
	BINLOG_FORMAT = 15,
	BINLOG_XID = 16,
	BINLOG_BEGIN_LOAD_QUERY = 17,
	BINLOG_EXECUTE_LOAD_QUERY = 18,
	BINLOG_TABLE_MAP = 19,
	BINLOG_WRITE_ROWS_V1 = 23,
	BINLOG_UPDATE_ROWS_V1 = 24,
	BINLOG_DELETE_ROWS_V1 = 25,
	BINLOG_INCIDENT = 26,
	BINLOG_HEARTBEAT = 27,
	BINLOG_IGNORABLE = 28,
	BINLOG_ROWS_QUERY = 29,
	BINLOG_WRITE_ROWS = 30,
	BINLOG_UPDATE_ROWS = 31,
	BINLOG_DELETE_ROWS = 32,
	BINLOG_GTID = 33,
	BINLOG_ANONYMOUS_GTID = 34,
	BINLOG_PREVIOUS_GTIDS = 35,
	BINLOG_TRANSACTION_CONTEXT = 36,
	BINLOG_VIEW_CHANGE = 37,
	BINLOG_XA_PREPARE = 38,
	BINLOG_PARTIAL_UPDATE_ROWS = 39,
	BINLOG_TRANSACTION_PAYLOAD = 40,
	BINLOG_HEARTBEAT_V2 = 41,
	BINLOG_GTID_TAGGED = 42,
	BINLOG_LARGE_TRANSACTION_HEADER = 43,
	/* MariaDB's own */
	BINLOG_ANNOTATE_ROWS = 160,
	BINLOG_CHECKPOINT = 161,
	BINLOG_MARIADB_GTID = 162,
	BINLOG_GTID_LIST = 163,
	BINLOG_START_ENCRYPTION = 164,
	BINLOG_QUERY_COMPRESSED = 165,
	BINLOG_WRITE_ROWS_COMPRESSED_V1 = 166,
	BINLOG_UPDATE_ROWS_COMPRESSED_V1 = 167,
	BINLOG_DELETE_ROWS_COMPRESSED_V1 = 168,
	BINLOG_WRITE_ROWS_COMPRESSED = 169,
	BINLOG_UPDATE_ROWS_COMPRESSED = 170,
	BINLOG_DELETE_ROWS_COMPRESSED = 171,
};

enum binlog_flag {
	BINLOG_F_IN_USE = 0x0001, /* format description: the file was not closed properly (yet) */
	BINLOG_F_ARTIFICIAL = 0x0020, /* made up for the connection, stands in no binlog */
	BINLOG_F_RELAY_LOG = 0x0040,  /* made by the replica for its relay log */
	BINLOG_F_IGNORABLE = 0x0080,  /* may be skipped by who does not know the type */
};

/* What the last format description said: how the events behind it look. */
struct binlog_format {
	char server_version[51]; /* of the server that wrote it */
	unsigned version_number; /* x*10000 + y*100 + z */
	bool mariadb;
	bool crc;         /* events end in a CRC32 */
	uint32_t created; /* != 0: begun by a server's start (or the first file): open transactions
	                     are void */
	uint8_t post_header[256]; /* by event type: length of the fixed part of its body */
};

struct binlog_event {
	uint64_t offset; /* of its first byte in the source */
	uint32_t size;   /* all of it: header, body, checksum */
	uint32_t timestamp;
	uint32_t server_id;
	uint16_t flags;
	uint8_t type;
	uint32_t log_pos; /* as written: 32 bits */
	/*
	 * Where it ends in the binlog of the server that replicas read it from, in full: in a
	 * binlog the event's own end, in a relay log a position of the source.  0 where there is
	 * none: made up, by the replica itself, or inside of a transaction of MariaDB 11, of which
	 * only the first and the last event tell.
	 */
	uint64_t end_pos;
	/*
	 * Borrowed until the next call on the reader; shorter than the event only if it is beyond
	 * the window.
	 */
	const uint8_t *bytes; /* from its header on */
	size_t have;          /* how many: all `size`, or at least half a window */
	const uint8_t *body;  /* behind the header, without the checksum */
	size_t body_have;
	size_t body_size; /* what there would be */
};

enum binlog_next {
	BINLOG_EVENT,   /* here is one */
	BINLOG_END,     /* the source ends behind an event: nothing is wrong */
	BINLOG_TORN,    /* it ends inside of an event */
	BINLOG_ZEROS,   /* up to its end there are zero bytes, as a crash of the host leaves them */
	BINLOG_GARBAGE, /* what follows is not an event */
	BINLOG_BAD_CRC, /* there is an event, and its checksum is wrong */
	BINLOG_ENCRYPTED,  /* only its server can read it */
	BINLOG_UNREADABLE, /* the source failed or was too slow: ERR_SYSTEM, ERR_LOST */
};

struct binlog; /* a reader; one thread at a time */

/*
 * From a file or pipe, from where it stands; `fd` is borrowed until binlog_free().  Returns owned.
 */
struct binlog *binlog_new_fd(int fd);

/* From memory, borrowed until binlog_free().  Here every event is at hand as a whole. */
struct binlog *binlog_new_mem(const void *bytes, size_t n);

/*
 * From a function that gives up to n bytes, 0 at the end, -1 on failure (with `e` set).  With `f`
 * the source has no magic bytes and format description of its own.  `ctx` is borrowed until `done`
 * (may be NULL) is called with it by binlog_free().
 */
typedef ssize_t binlog_read_fn(void *ctx, void *to, size_t n, struct err *e);
struct binlog *binlog_new_source(
        binlog_read_fn *read, void (*done)(void *ctx), void *ctx, const struct binlog_format *f);

void binlog_free(struct binlog *b); /* NULL is fine */
CLEANUP_FN(binlog, struct binlog *, binlog_free)

/*
 * Make the window smaller, before the first event is read: for many readers at once, and for tests
 * that want events larger than it.  What must be at hand as a whole still is.
 */
void binlog_set_window(struct binlog *b, size_t n);

/* Give up reading a pipe at this instant (the default is CLOCK_NEVER). */
void binlog_set_deadline(struct binlog *b, int64_t deadline);

/*
 * The next event, or why there is none: then `e` is set (except for BINLOG_END), and further calls
 * say the same.  Format descriptions are returned too, and rule what follows them.
 */
enum binlog_next binlog_next(struct binlog *b, struct binlog_event *ret, struct err *e);

/*
 * Go to an offset where an event begins, in a file or memory; the format description must have been
 * read before.  ERR_PRECOND when the offset is behind the end, or the source is not one to seek in.
 * An offset inside of an event is found out by binlog_next(), for certain only where there are
 * checksums.
 */
bool binlog_seek(struct binlog *b, uint64_t offset, struct err *e) MUST_USE;

/* The offset behind the last event returned (or of the failure). */
uint64_t binlog_offset(const struct binlog *b);

/*
 * The bytes from `offset` to binlog_offset(), if all of them are still at hand, or NULL.  Borrowed
 * until the next call.
 */
const uint8_t *binlog_behind(const struct binlog *b, uint64_t offset);

/* The format in force; borrowed until the next call.  NULL before the first format description. */
const struct binlog_format *binlog_format(const struct binlog *b);

/* The fd it was made with, or -1. */
int binlog_fd(const struct binlog *b);

/* "Format_desc", "Query"...: as SHOW BINLOG EVENTS names them; "Unknown" for others. */
const char *binlog_type_name(uint8_t type);

/* "torn", "zeros"...: one word for reports. */
const char *binlog_next_name(enum binlog_next n);
