/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_move - what the commands share that change who follows whom, and semi-sync: the mhad that watches the cluster.  Runs on: the main thread, which is the loop's.
 */
#pragma once
#include <jansson.h>
#include "cmds.h"

struct cmd_move_ask {
	const char *socket, *cluster;
};

/* A mhad that watches this cluster must not be about to act; none running is fine. */
bool cmd_move_may_begin(const struct cmd_move_ask *a, struct err *e) MUST_USE;
/* It looks at the tree again, now that it has changed. */
void cmd_move_tell(const struct cmd_move_ask *a);

