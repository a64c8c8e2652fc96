/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * filter - MHA's filter_mysqlbinlog: the text of mysqlbinlog without the ROLLBACKs that it adds by
 * itself.  Runs on: any thread.
 *
 * From the caller's stream to the caller's stream.  In the first ten events, what follows a "Start:
 * binlog v... created" comment (ROLLBACK, BINLOG) becomes a comment; so does the ROLLBACK behind
 * "End of log file", where that is the text's end.  Obsolete, as it was in MHA: nothing here uses
 * text.
 */
#pragma once
#include "verb.h"

int filter_serve(const struct args *a, struct verb_io *io, struct err *e);
