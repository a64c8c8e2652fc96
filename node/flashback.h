/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flashback - what takes back the rows that a server's binlog changed behind a place, last first.  Runs on: any
 * thread.
 *
 * Bulk output: one BINLOG statement a line.  The first names the log's format, each other one holds one rows event with
 * its table: an insert become a delete, a delete an insert, an update with its images exchanged, and the rows of
 * each in reverse order.  They are for a session that writes no binlog, in one transaction.
 *
 * Only rows can be taken back: statements are left out here, so whoever asks has seen (with look) that there are
 * none.  ERR_PRECOND: images that are not whole (binlog_row_image), compressed or partial ones, or more of it than
 * FLASHBACK_MOST.
 */
#pragma once
#include "verb.h"

#define FLASHBACK_MOST (256u << 20)

int flashback_serve(const struct args *a, struct verb_io *io, struct err *e);
