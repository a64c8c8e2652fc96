/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_repl - what the parts of `masterha_check_repl` share: cmd_repl_gather.c asks servers, hosts and
 * hooks, cmd_repl.c judges the answers, cmd_repl_log.c tells them as MHA does.  Runs on: loop.
 */
#pragma once
#include "check.h"
#include "cmds.h"
#include "ssh.h"
#include "vec.h"

struct loop;
struct cmd_repl;

enum cmd_repl_kind { TEST_BINLOG, TEST_RELAY, TEST_BINLOG_SERVER };

struct cmd_repl_test {
	enum cmd_repl_kind kind;
	const struct conf_server *server;
	char *shown;  /* the command as it may be logged */
	char *output; /* NULL: no answer */
	struct err err;
};

/* One host, with all servers of the file that are on it. */
struct cmd_repl_host {
	struct cmd_repl *repl;
	const struct conf_server *first;
	bool asked; /* login and version are in */
	struct ssh *session;
	struct err ssh_err, node_err;
	enum check_code node_code;
	struct check_node node;
	VEC(struct cmd_repl_test) tests;
};

struct cmd_repl_hook {
	struct cmd_repl *repl;
	const char *setting;
	char *shown, *output;
	struct err err;
};

struct cmd_repl {
	struct cmd *cmd;
	const struct conf *conf;
	struct loop *loop;
	struct job_pool *pool;
	int pending; /* things under way; the loop ends with the last */
	bool skip_ssh, ignore_fail_on_start;
	int64_t max_delay;
	unsigned stops; /* TOPOLOGY_STOPS_START: the checks of a manager's start; 0: all checks */
	struct snapshot *snapshot;
	struct topology *topology;
	struct cmd_repl_host *hosts;
	size_t n_hosts;
	struct cmd_repl_hook hooks[2]; /* failover and shutdown script */
	size_t n_hooks;
	struct check_findings findings;
};

/* Ask everybody and wait for all answers: fills the snapshot, topology, hosts and hooks. */
void cmd_repl_gather(struct cmd_repl *r);

/* Findings out of all answers; check_count_stops() tells the result. */
void cmd_repl_judge(struct cmd_repl *r);

/* The servers, as soon as they are known. */
void cmd_repl_log_picture(const struct topology *t);

/* All else, findings included. */
void cmd_repl_log(const struct cmd_repl *r);
