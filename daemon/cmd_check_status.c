/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_check_status - masterha_check_status: MHA's line and exit code for what a status file says.
 * Runs on: the main thread.
 */
#include "cmd_mha.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include "status_file.h"

struct row {
	enum status_file_state state;
	const char *before, *after; /* around "(20:PING_FAILING)" */
	bool master, log;           /* " master:db1", "Check /var/log/app1.log for details." */
};

/* Without PING_OK, which says more. */
static const struct row rows[] = {
	{ STATUS_FILE_INITIALIZING_MONITOR, "monitoring program is now on initialization phase",
	        " Wait for a while and try checking again.\n", false, false },
	{ STATUS_FILE_PING_FAILING, "master maybe down", "", true, true },
	{ STATUS_FILE_PING_FAILED, "master maybe down", "", true, true },
	{ STATUS_FILE_RETRYING_MONITOR, "monitoring waits for retrying to monitor master again",
	        " Wait for a while and try checking again.", false, false },
	{ STATUS_FILE_CONFIG_ERROR, "servers are not correctly configured", "\n", false, true },
	{ STATUS_FILE_FAILOVER_RUNNING, "master is down and failover is running", "", true, true },
	{ STATUS_FILE_FAILOVER_ERROR, "master is down and failover was not successful", "", true,
	        true },
};

static int say_running(const struct cmd_mha_target *t, const struct cmd_mha *m,
        const struct status_file_reading *r)
{
	int64_t age = r->age_ms / 1000;

	if (age > m->ping_limit) {
		printf("%s behinds %" PRId64 " seconds!\n", t->path, age);
		printf("%s is running, but master_ping.health is too old(%d:TIMESTAMP_OLD). Maybe "
		       "process hangs? master:%s\n",
		        t->app, CMD_MHA_TIMESTAMP_OLD, r->line.master);
		return CMD_MHA_TIMESTAMP_OLD;
	}
	printf("%s (pid:%d) is running(0:PING_OK), master:%s\n", t->app, (int)r->line.pid,
	        r->line.master);
	return STATUS_FILE_PING_OK;
}

static int say_state(const struct cmd_mha_target *t, const struct status_file_line *l)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];

		if (row->state != l->state)
			continue;
		printf("%s %s(%d:%s).%s", t->app, row->before, (int)l->state,
		        status_file_state_name(l->state), row->after);
		if (row->master)
			printf(" master:%s\n", l->master);
		if (row->log && t->log && *t->log)
			printf("Check %s for details.\n", t->log);
	}
	return (int)l->state;
}

static int say_stopped(const struct cmd_mha_target *t)
{
	printf("%s is stopped(%d:NOT_RUNNING).\n", t->app, CMD_MHA_NOT_RUNNING);
	return CMD_MHA_NOT_RUNNING;
}

static int say_leftover(const struct cmd_mha_target *t, const struct status_file_judgement *j)
{
	printf("Main process is not running, but child process is running on %s (child pid: %d) "
	       "(%d:PARTIALLY_RUNNING). Look at the process before you start the manager again.\n",
	        t->app, (int)j->child, CMD_MHA_PARTIALLY_RUNNING);
	return CMD_MHA_PARTIALLY_RUNNING;
}

static int check(const struct cmd_mha_target *t, void *arg)
{
	const struct cmd_mha *m = arg;
	struct status_file_reading r;
	struct status_file_judgement j;
	struct err e = { 0 };

	if (!status_file_read(t->path, &r, &e)) {
		if (e.kind == ERR_SYSTEM && e.code == ENOENT)
			return say_stopped(t);
		fprintf(stderr, "%s: %s\n", t->app, e.text);
		return CMD_FAILED;
	}
	status_file_judge(&r, t->app, &j);
	if (j.verdict == STATUS_FILE_LEFTOVER)
		return say_leftover(t, &j);
	if (*j.text)
		fprintf(stderr, "%s: %s\n", t->app, j.text);
	if (j.verdict != STATUS_FILE_RUNNING)
		return say_stopped(t);
	return r.line.state == STATUS_FILE_PING_OK ? say_running(t, m, &r) : say_state(t, &r.line);
}

int cmd_check_status(struct cmd *c, int argc, char **argv)
{
	struct cmd_mha m = { .ping_limit = 10 };
	const struct opt opts[] = { CMD_MHA_OPTS(c, &m), CMD_OPTS_COMMON(c), { 0 } };
	int code;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	return cmd_mha_each(c, &m, check, &m);
}
