/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * binlog_view - what an event says, for the types that decisions hang on.  Runs on: any thread.
 * Logs: never.
 *
 * Each function looks at one event of its type(s) and fills a struct; texts and bytes in it are
 * borrowed from the event.  False: the bytes are not what the type promises (or lie beyond what is
 * at hand); nothing is written then. `f` is the format in force, binlog_format().
 */
#pragma once
#include "binlog.h"
#include "gtid.h"

struct binlog_bytes {
	const char *p; /* not NUL-terminated */
	size_t len;
};

enum binlog_gtid_kind {
	BINLOG_GTID_NONE,
	BINLOG_GTID_ANONYMOUS,
	BINLOG_GTID_MYSQL,
	BINLOG_GTID_MARIADB
};

/* MariaDB's flags */
enum {
	BINLOG_GTID_STANDALONE = 0x01,   /* one statement, no COMMIT follows */
	BINLOG_GTID_GROUP_COMMIT = 0x02, /* committed together with others of the same commit_id */
	BINLOG_GTID_TRANSACTIONAL = 0x04,
	BINLOG_GTID_DDL = 0x20,
	BINLOG_GTID_PREPARED_XA = 0x40,
	BINLOG_GTID_COMPLETED_XA = 0x80,
};

struct binlog_gtid {
	enum binlog_gtid_kind kind;
	/* MySQL */
	uint8_t uuid[16];
	char tag[33]; /* "" for none */
	uint64_t gno;
	uint64_t commit_us;   /* microseconds since 1970 when it was committed on the server it was
	                         read from; 0: not known */
	uint64_t original_us; /* the same, on the server where it was made */
	/* MariaDB */
	uint32_t domain, server;
	uint64_t seq;
	uint8_t flags;
	uint64_t commit_id; /* 0: none */
};

bool binlog_view_is_gtid(uint8_t type);
bool binlog_view_gtid(const struct binlog_event *ev, struct binlog_gtid *ret) MUST_USE;

#define BINLOG_GTID_TEXT 96
/*
 * "uuid:gno", "uuid:tag:gno", "domain-server-seq", "ANONYMOUS" or "" into buf[BINLOG_GTID_TEXT];
 * returns buf.
 */
char *binlog_view_gtid_text(const struct binlog_gtid *g, char *buf);

/*
 * Add it to a set of its dialect (asserted); one of kind NONE or ANONYMOUS adds nothing.  False: it
 * cannot be one.
 */
bool binlog_view_gtid_add(const struct binlog_gtid *g, struct gtid_set *to);
bool binlog_view_gtid_in(const struct binlog_gtid *g, const struct gtid_set *s);

/*
 * Previous_gtids or Gtid_list: what was in the logs before this file; returns owned, NULL if
 * malformed.
 */
struct gtid_set *binlog_view_gtid_list(const struct binlog_event *ev) MUST_USE;

struct binlog_rotate {
	uint64_t pos;
	struct binlog_bytes file; /* the next file */
};
bool binlog_view_rotate(const struct binlog_event *ev, struct binlog_rotate *ret) MUST_USE;

/* Query, Query_compressed, and Execute_load_query, which is a query with more in front. */
struct binlog_query {
	struct binlog_bytes db;
	struct binlog_bytes
	        text;     /* as far as it is at hand; compressed: see binlog_payload_query() */
	size_t text_size; /* all of it */
	bool compressed;
	uint32_t thread_id;
	uint16_t error_code;
	struct binlog_bytes status; /* the status variables, undecoded */
	uint32_t flags2;            /* of the session (no foreign keys...); 0 where not written */
};
bool binlog_view_query(const struct binlog_format *f, const struct binlog_event *ev,
        struct binlog_query *ret) MUST_USE;

/*
 * Whether the statement is `word`, or begins with it and a blank (`whole` false), in any letter
 * case.
 */
bool binlog_view_query_is(const struct binlog_query *q, const char *word, bool whole);

bool binlog_view_xid(const struct binlog_event *ev, uint64_t *ret) MUST_USE;

struct binlog_xa {
	bool one_phase; /* committed, not prepared */
	uint32_t format_id;
	struct binlog_bytes gtrid, bqual;
};
bool binlog_view_xa_prepare(const struct binlog_event *ev, struct binlog_xa *ret) MUST_USE;

struct binlog_table_map {
	uint64_t table_id;
	struct binlog_bytes db, table;
	uint64_t columns;
	const uint8_t *types; /* one byte per column */
	struct binlog_bytes metadata;
};
bool binlog_view_table_map(const struct binlog_format *f, const struct binlog_event *ev,
        struct binlog_table_map *ret) MUST_USE;

enum binlog_row_change { BINLOG_ROWS_WRITE, BINLOG_ROWS_UPDATE, BINLOG_ROWS_DELETE };
struct binlog_rows {
	enum binlog_row_change change;
	bool partial;    /* images may hold partial JSON values */
	bool compressed; /* MariaDB: see binlog_payload.h */
	uint64_t table_id;
	bool ends_statement;
	uint64_t columns;
	const uint8_t *before, *after; /* which columns are in the images: (columns + 7) / 8 bytes;
	                                  after: updates only */
	struct binlog_bytes images;    /* as far as at hand */
	size_t images_size;
};
bool binlog_view_is_rows(uint8_t type);
bool binlog_view_rows(const struct binlog_format *f, const struct binlog_event *ev,
        struct binlog_rows *ret) MUST_USE;

struct binlog_incident {
	uint16_t number; /* 1: events were lost */
	struct binlog_bytes message;
};
bool binlog_view_incident(const struct binlog_event *ev, struct binlog_incident *ret) MUST_USE;
