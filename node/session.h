/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session - one long-lived channel on stdin and stdout that serves the verbs of verb.h without a
 * new process or login. Runs on: main thread, with one thread for each running request.  Logs:
 * never.
 *
 * frame.h is the protocol.  The main thread alone reads and writes the channel, without ever
 * waiting in a write: a peer that reads slowly holds up verbs (each waits for its own bytes to go),
 * but takes no memory, and its end is seen all the same.
 *
 * It ends with its peer: end of input, a closed output, the death of the parent, SIGTERM, SIGHUP or
 * SIGINT.  Running verbs are told to end, those inside verb_hold() are waited for, and nothing more
 * is sent.  A verb that cannot end (a disk that hangs) is left behind after some seconds.
 */
#pragma once
#include "verb.h"

struct gate;

/* How many requests may run at once; further ones are answered with an error. */
#define SESSION_REQUESTS 16

/* `mha-node session`. */
int session_verb(const struct args *a, struct verb_io *io, struct err *e);

/*
 * Serve until the peer has gone.  Requests must pass `gate` if there is one (borrowed).  Returns
 * the exit status: 0 for an orderly end.  1 with an error: the peer broke the rules, or is a
 * terminal.  Does not return while verbs are left behind: the process ends then.
 */
int session_run(const struct gate *gate, struct err *e);
