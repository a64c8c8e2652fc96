/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vars - the global variables and counters of dialect.h as one server has them now, in three round trips.
 * Runs on: any thread (blocks).  Logs: never.
 *
 * Variables are found under their new or their old name: which one exists depends on the version and, for
 * semi-sync, on the plug-in that is installed.  Asking for one that does not exist is no error.
 */
#pragma once
#include "db.h"
#include "dialect.h"

struct vars;

/* Returns owned; NULL with db's errors. */
struct vars *vars_read(struct db *db, struct err *e) MUST_USE;
void vars_free(struct vars *v); /* NULL is fine */
CLEANUP_FN(vars, struct vars *, vars_free)

/* Borrowed from `v`; NULL: the server has no such variable or counter.  Switches read "ON" and "OFF". */
const char *vars_get(const struct vars *v, enum dialect_var what);
const char *vars_status(const struct vars *v, enum dialect_status what);

/* The name that the server knows it by, for statements and messages; NULL as above. */
const char *vars_name(const struct vars *v, enum dialect_var what);
