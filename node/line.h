/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * line - one command line of mha-node or of MHA's programs.  Runs on: main thread.
 */
#pragma once

struct gate;

/*
 * Whatever argv asks for: a verb by its own name (`mha-node check-binlogs ...`), an MHA program by
 * argv[0] or by the first argument, help, version.  Prints; returns the exit status.  Secrets in
 * argv are overwritten.  With a gate, verbs must pass it.
 */
int line_run(int argc, char **argv, const struct gate *gate);
