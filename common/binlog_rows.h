/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * binlog_rows - how many rows of which table a rows event changes.  Runs on: any thread.  Logs:
 * never.
 *
 * For reports ("12 rows of shop.orders were lost"), not for decisions: where an event cannot be
 * counted (a column type that is not known, images beyond the window), the answer is that it is not
 * known.
 *
 * The columns stand in the Table_map events before: show them all to the counter, in the order of
 * the log.
 */
#pragma once
#include "binlog_view.h"

#define BINLOG_ROWS_TABLES 256 /* maps kept; a statement that needs more is not counted in full */

struct binlog_counter; /* one reading of a log; one thread at a time */

struct binlog_counter *binlog_rows_new(void); /* returns owned */
void binlog_rows_free(struct binlog_counter *c);
CLEANUP_FN(binlog_counter, struct binlog_counter *, binlog_rows_free)

/* Remember a Table_map; what it points to is copied. */
void binlog_rows_map(struct binlog_counter *c, const struct binlog_table_map *t);

/*
 * The number of rows; false if it is not known.  ret_db and ret_table are set in any case, borrowed
 * until the next call: empty when the event's table was never shown.
 */
bool binlog_rows_count(struct binlog_counter *c, const struct binlog_rows *r, uint64_t *ret_rows,
        struct binlog_bytes *ret_db, struct binlog_bytes *ret_table) MUST_USE;

/*
 * One row after the other: its image in r->images, or for updates both of them.  False: it is not known where they end,
 * or they are compressed, partial, or beyond the window.
 */
typedef void binlog_row_fn(void *ctx, struct binlog_bytes before, struct binlog_bytes after);
bool binlog_rows_each(struct binlog_counter *c, const struct binlog_rows *r, binlog_row_fn *fn,
        void *ctx) MUST_USE;
