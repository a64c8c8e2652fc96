/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * events - shows what stands in binlogs and relay logs of any server.  Runs on: any thread.
 */
#pragma once
#include "verb.h"

/*
 * mha-node events FILE...: one line for each event, tabs between its fields: offset, end position
 * in the source's binlog, size, type, server id, place in its transaction, and GTID, statement or
 * whatever tells most. Events inside a compressed payload follow it with offset "+N".  Behind each
 * file one line "#" says where the last whole transaction ends and why.  "-" is standard input.
 * Exit status 1 if a file cannot be read or ends torn.
 */
int events_show(const struct args *a, struct verb_io *io, struct err *e);
