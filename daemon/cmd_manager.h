/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_manager - `masterha_manager` and `masterha_master_monitor`: one cluster is watched in the
 * foreground, with MHA's options, lines and exit codes.  Runs on: the main thread.
 */
#pragma once
#include "cmd_repl.h"
#include "failover.h"
#include "status_file.h"

enum {
	MANAGER_DEAD = 20,      /* masterha_master_monitor: the master is dead */
	MANAGER_ELSEWHERE = -1, /* no mhad watches this file: do it here */
};

struct manager {
	struct cmd *cmd;
	const struct conf *conf;
	bool monitor; /* masterha_master_monitor: no failover follows */
	const char *workdir, *log, *socket;
	bool ignore_fail_on_start, ignore_last_failover;
	int64_t interactive, wait_on_error, last_failover_minute;
	/* Of the failover that follows. */
	struct failover_opts failover;
	const char *new_host;
	int64_t new_port, wait_on_failover_error, wait_gtid;
	struct cmd_repl repl;
	struct status_file *status;
};

/* Ask a running mhad for this file, and stand for the cluster there.  Returns the exit code, or
 * MANAGER_ELSEWHERE. */
int cmd_manager_attach(struct manager *m);

/* What follows a death: says so as MHA does and returns the exit code. */
int cmd_manager_dead(
        const struct manager *m, const char *hostname, const char *ip, int port, const char *gate);
