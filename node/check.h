/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check - what `mhactl check repl` asks of a database host: could this be done here when it must?
 * Runs on: any thread (blocks).  Prints what it finds, line for line as MHA's tools do.
 *
 * Return the exit status, with the error set when it is not 0.
 */
#pragma once
#include "verb.h"

/* save_binary_logs --command=test: binlogs are found and readable, the output folder can be
 * written. */
int check_binlogs(const struct args *a, struct verb_io *io, struct err *e);

/*
 * apply_diff_relay_logs --command=test: relay logs are found and readable, the work folder can be
 * written. No login to the server is made and no client program is run, since none is needed to
 * recover: instead, whether relay logs could be handed to the server (folder and index writable,
 * files made for their owner).  Where not, a warning says why; that is not a failure, as it was
 * none for MHA.
 */
int check_relay_logs(const struct args *a, struct verb_io *io, struct err *e);
