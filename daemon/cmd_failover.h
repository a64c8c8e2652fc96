/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_failover - what the commands around a failover share: cmd_failover.c runs one, cmd_plan.c only
 * looks.  Runs on: the main thread, which is the loop's.
 */
#pragma once
#include "cmd_switch.h"
#include "cmds.h"
#include "failover.h"

struct job_pool;
struct link_room;
struct loop;

/* How a failover is asked for on a command line, and the loop of its own that it runs in. */
struct failover_cmd {
	struct cmd *cmd;
	struct conf *conf;

	const char *dead_host, *dead_ip, *new_host;
	int64_t dead_port, new_port; /* 0: not said */
	const char *state_dir;       /* where the journal is kept */
	const char *workdir, *log;
	int64_t interactive;          /* ask before acting */
	int64_t last_failover_minute; /* -1: the setting's */
	int64_t gtid_wait, ssh_reachable, wait_on_error;
	struct failover_opts o;
	struct cmd_hold hold; /* the mhad that watches this cluster does not act meanwhile */

	struct loop *loop;
	struct job_pool *jobs;
	struct link_room *links;
	struct failover *now; /* under way */
	struct failover_report report;
};

/* Loop, workers and links; to be called once. */
void failover_cmd_begin(struct failover_cmd *s);

/*
 * The servers that were named, or, for the dead one, the master as its slaves say: in s->o.  False with
 * *ret_exit, and it was said why.
 */
bool failover_cmd_servers(struct failover_cmd *s, int *ret_exit);

/* Run with s->o until it is done.  Returns owned, with s->report filled; NULL: it did not begin. */
struct failover *failover_cmd_run(struct failover_cmd *s, struct err *e);
