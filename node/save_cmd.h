/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * save_cmd - the verb `save`, MHA's save_binary_logs --command=save.  Runs on: any thread.
 */
#pragma once
#include "save.h"
#include "verb.h"

/*
 * Save from --start_file:--start_pos (MHA's way; with --relay_log_info they come from there if they
 * are not given), or with --have=GTIDS all that a receiver lacks, into --output_file, or with
 * --output_file=- into the caller's stream.  The result is what save_report_json() tells.
 *
 * Exit status 0: saved.  10: there is nothing to save, "Event not exists.": the log is whole and its
 * last transaction was before the start.  1: failure, also when the start is behind the log's end,
 * which for MHA was nothing to save as well; it means that the log has lost its end.
 */
int save_serve(const struct args *a, struct verb_io *io, struct err *e);

/*
 * For verbs that save: run `spec` into a file, or with "-" into the caller's stream, or with "" only
 * count; tell the result, and in lines what it was.  Where there is nothing to save, no file is left.
 */
bool save_into(struct save_spec *spec, const char *path, bool json, struct verb_io *io,
        struct save_report *ret, struct err *e) MUST_USE;

/* MHA's text mode is not there. */
bool save_check_raw(const struct args *a, struct err *e) MUST_USE;

/* --keep_open, or what is usual. */
enum save_open save_open_of(const struct args *a);
