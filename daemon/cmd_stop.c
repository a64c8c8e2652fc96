/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_stop - masterha_stop: end the manager of one cluster, and nothing else.  Runs on: the main
 * thread.
 *
 * MHA signals the process group of whatever process has the number in the file.  Here it must be a
 * manager of that cluster (status_file_judge()), and its group only if it leads it: a manager started
 * within somebody's script would else take the script along.
 */
#include "cmd_mha.h"
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include "clock.h"
#include "status_file.h"

enum { POLL_US = 100000, KILL_WAIT_MS = 5000 };

struct stop {
	struct cmd_mha m;
	bool abort;
	int64_t timeout_s;
};

struct victim {
	pid_t pid;
	unsigned long long started;
	bool leads; /* its process group */
};

static int not_running(const struct cmd_mha_target *t)
{
	printf("MHA Manager is not running on %s(%d:NOT_RUNNING).\n", t->app, CMD_MHA_NOT_RUNNING);
	return CMD_OK;
}

static int failed(const struct cmd_mha_target *t)
{
	printf("Failed to stop %s.\n", t->app);
	return CMD_FAILED;
}

/* True also if it has gone meanwhile. */
static bool send(const struct victim *v, int sig)
{
	if (!status_file_lives(v->pid, v->started))
		return true;
	return !kill(v->leads ? -v->pid : v->pid, sig) || errno == ESRCH;
}

static bool ends_within(const struct victim *v, int64_t ms)
{
	int64_t deadline = clock_in(ms);

	while (status_file_lives(v->pid, v->started)) {
		if (!clock_left(deadline))
			return false;
		usleep(POLL_US);
	}
	return true;
}

static int end(const struct cmd_mha_target *t, const struct stop *s, const struct victim *v)
{
	if (!send(v, SIGTERM)) {
		fprintf(stderr, "%s: cannot signal process %d: %m\n", t->app, (int)v->pid);
		return failed(t);
	}
	if (ends_within(v, s->timeout_s * 1000)) {
		printf("Stopped %s successfully.\n", t->app);
		return CMD_OK;
	}
	if (s->abort && send(v, SIGKILL) && ends_within(v, KILL_WAIT_MS)) {
		printf("Forced stopped %s.\n", t->app);
		return CMD_OK;
	}
	printf("Manager process %d didn't stop in %" PRId64 " seconds.\n", (int)v->pid,
	        s->timeout_s);
	return failed(t);
}

static int leftover(const struct cmd_mha_target *t, const struct status_file_judgement *j,
        const struct status_file_reading *r)
{
	printf("Main process is not running, but child process is running on %s (child pid: %d) "
	       "(%d:PARTIALLY_RUNNING).\n",
	        t->app, (int)j->child, CMD_MHA_PARTIALLY_RUNNING);
	fprintf(stderr, "Hint: if its group is the manager's: kill -TERM -- -%d\n",
	        (int)r->line.pid);
	return failed(t);
}

static int stop(const struct cmd_mha_target *t, void *arg)
{
	const struct stop *s = arg;
	struct status_file_reading r;
	struct status_file_judgement j;
	struct err e = { 0 };

	if (!status_file_read(t->path, &r, &e)) {
		if (e.kind == ERR_SYSTEM && e.code == ENOENT)
			return not_running(t);
		fprintf(stderr, "%s: %s\n", t->app, e.text);
		return failed(t);
	}
	status_file_judge(&r, t->app, &j);
	if (j.verdict == STATUS_FILE_LEFTOVER)
		return leftover(t, &j, &r);
	if (*j.text)
		fprintf(stderr, "%s: %s It is left alone.\n", t->app, j.text);
	if (j.verdict != STATUS_FILE_RUNNING)
		return not_running(t);
	if (r.line.state == STATUS_FILE_FAILOVER_RUNNING && !s->abort) {
		printf("Currently Failover is running on %s. Should not stop.\n", t->app);
		return CMD_FAILED;
	}
	return end(t, s,
	        &(struct victim){
	                .pid = r.line.pid, .started = j.started, .leads = j.group == r.line.pid });
}

int cmd_stop(struct cmd *c, int argc, char **argv)
{
	struct stop s = { .m = { .ping_limit = 10 }, .timeout_s = 5 };
	const struct opt opts[] = {
		CMD_MHA_OPTS(c, &s.m),
		{ "abort", OPT_FLAG, .to = &s.abort,
		        .help = "also during a failover; kill what does not end by itself" },
		{ "abort_timeout", OPT_INT, .to = &s.timeout_s, .arg = "SECONDS",
		        .help = "time to end by itself (default: 5)", .max = 86400 },
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	int code;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	return cmd_mha_each(c, &s.m, stop, &s);
}
