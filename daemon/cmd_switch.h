/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_switch - what the commands around a planned switch share: cmd_switch.c runs one, cmd_switch_hold.c
 * tells the mhad that watches the cluster.  Runs on: the main thread, which is the loop's.
 */
#pragma once
#include "cmd.h"

struct err;

/* `masterha_master_switch --master_state=alive`: is that what this command line says? */
bool cmd_switch_is_alive(int argc, char **argv);
int cmd_switch_alive(struct cmd *c, int argc, char **argv);

/*
 * The mhad that watches this cluster on this host must not take a master that is shut for a dead one: it is
 * paused for the time of the switch, and looks at everything anew afterwards.
 */
struct cmd_hold {
	const char *socket; /* NULL: the usual one */
	char *cluster;      /* as mhad calls it; NULL: nobody watches it here */
	bool held;          /* we have paused it */
};

/* False: mhad is there and at work on it, or does not do as it is told. */
bool cmd_hold_begin(struct cmd_hold *h, const struct conf *c, struct err *e) MUST_USE;
void cmd_hold_end(struct cmd_hold *h);

/*
 * A process of its own that waits: when ours is killed in the middle of a switch, it becomes `mhactl switch` and
 * gives the writes back, or finishes.  Nothing depends on it: the same command does that by hand.
 */
struct cmd_guard {
	int fd; /* -1: there is none */
	int pid;
};
void cmd_guard_begin(struct cmd_guard *g, const struct cmd *c, const char *state_dir);
void cmd_guard_end(struct cmd_guard *g);
