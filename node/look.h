/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * look - what the transactions of a server's binlogs are: where they end, what they touch, and a mark by which
 * the same transaction is known in the log of another server.  Runs on: any thread.
 *
 * The mark is made of what a transaction says: its statements, its rows, its time.  Servers that hand
 * it on write other headers, numbers of tables, sizes of events and a commit of their own around the same
 * content, so none of that counts.
 *
 * Lines for the caller, in the order of the log:
 *
 *	F mysql-bin.000003				what follows stands in this file
 *	T <mark> <end> <time> <server> <kind> <gtid>	a transaction; with --json a tab and an array behind it
 *
 * mark: 16 hex digits; end: offset behind it; time: seconds since 1970; kind: - nothing in it, a changes no rows
 * (FLUSH and the like), r rows, s a statement; gtid: - for none.  The array has an object for each table
 * ("table", "insert", "update", "delete") or statement ("db", "statement").
 *
 * The result: "transactions", "before" (the GTIDs that the first file says were before it), "end" ("file",
 * "pos") behind the last whole one, "why" (how the log ends), "booted" (when this host was, in seconds since 1970).
 */
#pragma once
#include "verb.h"

int look_serve(const struct args *a, struct verb_io *io, struct err *e);
