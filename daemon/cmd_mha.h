/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_mha - MHA's commands that look after a running manager: masterha_check_status, masterha_stop,
 * and masterha_conf_host.  What the first two share is how they find a status file.  Runs on: the main
 * thread.
 */
#pragma once
#include "cmd.h"

int cmd_check_status(struct cmd *c, int argc, char **argv); /* cmd_check_status.c */
int cmd_stop(struct cmd *c, int argc, char **argv);         /* cmd_stop.c */
int cmd_conf_host(struct cmd *c, int argc, char **argv);    /* cmd_conf_host.c */

/* Codes that no status file holds. */
enum { CMD_MHA_NOT_RUNNING = 2, CMD_MHA_PARTIALLY_RUNNING = 3, CMD_MHA_TIMESTAMP_OLD = 32 };

/* Command line of both; borrowed. */
struct cmd_mha {
	const char *app, *workdir, *basedir, *service_dir, *log;
	bool all;
	int64_t ping_limit;
};

#define CMD_MHA_OPTS(c, m)                                                                         \
	CMD_OPTS_CLUSTER(c),                                                                       \
	        { "manager_workdir|workdir|status_dir", OPT_STR, .to = &(m)->workdir,              \
		        .arg = "DIR",                                                              \
		        .help = "directory of the status file; then no configuration is read" },   \
	        { "app", OPT_STR, .to = &(m)->app, .arg = "NAME",                                  \
		        .help = "name of the cluster (default: that of the file)" },               \
	        { "all", OPT_FLAG, .to = &(m)->all,                                                \
		        .help = "every masterha_NAME of the service directory" },                  \
	        { "service_dir", OPT_STR, .to = &(m)->service_dir, .arg = "DIR",                   \
		        .help = "that directory (default: /service)" },                            \
	        { "basedir", OPT_STR, .to = &(m)->basedir, .arg = "DIR",                           \
		        .help = "where conf/NAME.cnf is, with --app or --all alone (default: "     \
		                "/usr/local/masterha)" },                                          \
	        { "manager_log|log_output", OPT_STR, .to = &(m)->log, .arg = "FILE",               \
		        .help = "log file to point at" },                                          \
	        { "ping_limit", OPT_INT, .to = &(m)->ping_limit, .arg = "SECONDS",                 \
		        .help = "age from which the last good ping is too old (default: 10)",      \
		        .max = INT32_MAX },                                                        \
	{                                                                                          \
		"baselog", OPT_STR, .to = NULL                                                     \
	}

/* One manager: where its status is. */
struct cmd_mha_target {
	char *app, *path; /* of the status file */
	char *log;        /* NULL: not known */
};

/*
 * Find the status file by what was given and call `each` for it, or, with --all, for every one that
 * there is.  Returns the exit code: that of `each`; with --all 1 if any was not 0.
 */
int cmd_mha_each(struct cmd *c, const struct cmd_mha *m,
        int (*each)(const struct cmd_mha_target *t, void *arg), void *arg);
