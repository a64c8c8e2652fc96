/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * binlog_payload - looks into what servers compressed: MySQL's transaction payloads (zstd),
 * MariaDB's compressed queries (zlib).  Runs on: any thread.  Logs: never.
 *
 * Only to look: what is handed on stays compressed as it is.
 */
#pragma once
#include "binlog_view.h"
#include "str.h"

/*
 * A reader of the events inside a Transaction_payload event that `outer` has just returned; its
 * offsets are those of the uncompressed bytes.  It must be freed before the next call on `outer`.
 * A payload beyond the window is read from the file itself, so it needs an outer reader of a file.
 * Returns owned, or NULL with ERR_PARSE (malformed), ERR_PRECOND (too large for a pipe, unknown
 * compression).
 */
struct binlog *binlog_payload_open(
        const struct binlog *outer, const struct binlog_event *ev, struct err *e) MUST_USE;

/*
 * The first bytes of a query's statement, uncompressed where it was compressed, into buf.  Returns
 * how many, at most `size`; 0 also when it is malformed.
 */
size_t binlog_payload_query(const struct binlog_query *q, char *buf, size_t size);

/*
 * MariaDB's compressed bytes (statements, row images) in full, replacing what is in `to`; false if
 * malformed or larger than max.
 */
bool binlog_payload_inflate(struct binlog_bytes from, size_t max, struct str *to) MUST_USE;
