/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * diff - the verbs `find` and `diff`: what a replica received that another one did not.  Runs on: any
 * thread.
 *
 * MHA's apply_diff_relay_logs --command=find, generate and generate_and_send.  What the other one has
 * is told by the position up to which it has read (--target_mlf, --target_rmlp), which may be inside
 * of a transaction, or as a GTID set (--have), which gives whole transactions only.
 */
#pragma once
#include "verb.h"

/* Is it in the relay logs?  Exit status 0 or 1. */
int find_serve(const struct args *a, struct verb_io *io, struct err *e);

/* Write it to --diff_file_readtolatest ("-": the caller's stream).  Also 0 when nothing is missing. */
int diff_serve(const struct args *a, struct verb_io *io, struct err *e);

/* And copy that file to --scp_host, with scp(1) and md5sum there, as MHA did. */
int diff_send_serve(const struct args *a, struct verb_io *io, struct err *e);
