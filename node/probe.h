/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe - what this host knows of the server of one port: evidence for the manager's verdict.
 * Runs on: any thread (forks).
 *
 * The result is one JSON object.  "found" is "yes", "no" or "unknown": "no" is said only when
 * everything was looked at.  All members that could not be found out are null, and "unseen" says why.
 * Whatever hangs, the answer comes by the deadline (--timeout), and is otherwise a matter of
 * milliseconds.
 */
#pragma once
#include "verb.h"

int probe_serve(const struct args *a, struct verb_io *io, struct err *e); /* exit status 0 */
