/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * apply - brings what was saved of a dead master to a slave's server.  Runs on: any thread.
 *
 * apply_diff_relay_logs --command=apply: --apply_files, in the order of the master, are joined to
 * one row of transactions; what the server has of them is left out; the rest is applied by one of
 * two appliers (apply_relay.h, apply_sql.h), and then it is looked again.  Applied twice it is
 * applied once. What was killed on the way is taken up again by the same command.
 */
#pragma once
#include "verb.h"

/* Exit status: 0 all is there; 22 it could not be applied; 1 nothing was tried. */
int apply_verb(const struct args *a, struct verb_io *io, struct err *e);

/*
 * Remove the backslashes that MHA's manager puts before characters that mean something to a shell.
 * In place.
 */
void apply_unescape(char *text);
