/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * apply_sql - applies what is missing by statements through a client session, as mysqlbinlog and
 * mysql would. Runs on: any thread (blocks).  Logs: progress, to io->out.
 *
 * For slaves whose relay logs cannot be reached or written.  Changed rows go as BINLOG statements,
 * all else as the statement that was logged, each with what it found in its session then; GTIDs are
 * kept.  Refused, with the transaction named, is what needs more than a session: LOAD DATA in
 * statement format, and XA on servers that cannot give a prepared one to another session.
 */
#pragma once
#include "apply_impl.h"

/*
 * False with ERR_PRECOND: one before this was cut off where neither the server nor we can tell what
 * it has done (no binlog, and no GTIDs).
 */
bool apply_sql_left_traces(struct apply *a, struct err *e) MUST_USE;

bool apply_sql_can(struct apply *a, struct err *e) MUST_USE;

/*
 * By position: how far an earlier apply by statements has come, if the server's executed position
 * (a->st) is still where that began.  Else `file` and `pos` stay.
 */
bool apply_sql_mark(
        struct apply *a, char *file, size_t size, uint64_t *pos, struct err *e) MUST_USE;

/* Do it.  On success nothing is missing any more. */
bool apply_sql(struct apply *a, struct err *e) MUST_USE;
