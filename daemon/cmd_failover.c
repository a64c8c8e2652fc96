/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_failover - `masterha_master_switch --master_state=dead` and `mhactl failover`: a failover in a loop of
 * its own.  Runs on: loop.
 */
#include "cmd_failover.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "aftermath.h"
#include "ask.h"
#include "clock.h"
#include "guard.h"
#include "cmd_switch.h"
#include "job.h"
#include "link.h"
#include "log.h"
#include "loop.h"
#include "status_file.h"

enum { WORKERS = 64, LINKS = 64, ASK_MS = 3000 };

/* ---- in a loop of its own ---- */

static void on_signal(void *arg, int signo)
{
	struct failover_cmd *s = arg;

	(void)signo;
	log_info("Got terminate signal during failover. Exit.");
	if (s->now)
		failover_cancel(s->now, "ended by a signal");
	else
		loop_stop(s->loop);
}

void failover_cmd_begin(struct failover_cmd *s)
{
	s->loop = loop_new();
	s->jobs = job_pool_new(s->loop, WORKERS);
	s->links = link_room_new(s->loop, LINKS);
	cmd_on_end(s->loop, on_signal, s);
}

static void on_done(void *arg, struct failover *f, const struct failover_report *r)
{
	struct failover_cmd *s = arg;

	(void)f;
	s->report = *r;
	loop_stop(s->loop);
}

struct failover *failover_cmd_run(struct failover_cmd *s, struct err *e)
{
	const struct failover_env env = {
		.loop = s->loop, .jobs = s->jobs, .links = s->links, .state_dir = s->state_dir
	};

	s->now = failover_start(&env, s->conf, &s->o, on_done, s, e);
	if (!s->now)
		return NULL;
	loop_run(s->loop);
	return TAKE(s->now);
}

/* ---- which servers ---- */

static bool no_server(const struct failover_cmd *s, const char *what, const char *host,
        int64_t port, int *ret_exit)
{
	struct err e = { 0 };

	err_set(&e, ERR_CONFIG, 0, "%s %s:%lld is not among the servers of %s", what, host,
	        (long long)port, s->conf->path);
	*ret_exit = cmd_fail(s->cmd, CMD_USAGE, &e);
	return false;
}

/* Nobody was named: whom the slaves follow. */
static const struct conf_server *master_of(const struct failover_cmd *s, struct err *e)
{
	struct topology *t = topology_classify(snapshot_take(s->conf, NULL), NULL);

	if (t->master)
		return t->master->snap->conf;
	err_set(e, ERR_PRECOND, 0, "the servers do not say who the master is");
	err_hint(e, "name it: --dead_master_host=HOST");
	return NULL;
}

static bool find_dead(struct failover_cmd *s, int *ret_exit)
{
	struct err e = { 0 };

	if (s->dead_host)
		s->o.dead = cmd_server_named(s->conf, s->dead_host, s->dead_port);
	else
		s->o.dead = master_of(s, &e);
	if (!s->o.dead && s->dead_host)
		return no_server(s, "the dead master", s->dead_host, s->dead_port, ret_exit);
	if (s->o.dead && s->dead_ip && !str_is(s->o.dead->ip, s->dead_ip)) {
		err_set(&e, ERR_CONFIG, 0, "%s has the address %s, and not %s", s->o.dead->hostname,
		        s->o.dead->ip, s->dead_ip);
		s->o.dead = NULL;
	}
	if (!s->o.dead)
		*ret_exit = cmd_fail(s->cmd, CMD_FAILED, &e);
	return s->o.dead;
}

bool failover_cmd_servers(struct failover_cmd *s, int *ret_exit)
{
	if (!find_dead(s, ret_exit))
		return false;
	if (!s->new_host)
		return true;
	s->o.new_master = cmd_server_named(s->conf, s->new_host, s->new_port);
	return s->o.new_master ||
	       no_server(s, "the new master", s->new_host, s->new_port, ret_exit);
}

/* ---- asking ---- */

/* The questions come before anything is changed: a dry run has shown what there is. */
static bool ask_person(struct failover_cmd *s, const struct conf_server *fresh)
{
	char line[64];

	if (!cmd_ask(line, sizeof(line),
	            "Master %s is dead. Proceed? (yes/NO): ", s->o.dead->hostinfo) ||
	        !cmd_says_yes(line))
		return false;
	if (!cmd_ask(line, sizeof(line), "Starting master switch from %s to %s? (yes/NO): ",
	            s->o.dead->hostinfo, fresh->hostinfo))
		return false;
	if (cmd_says_yes(line))
		return true;
	s->o.new_master = cmd_ask_new_master(s->conf);
	return s->o.new_master;
}

static bool prepare(struct failover_cmd *s, int *ret_exit)
{
	char line[64];
	struct err e = { 0 };
	struct failover *f;
	bool go;

	if (failover_is_unfinished(s->state_dir, s->conf->name)) {
		if (cmd_ask(line, sizeof(line),
		            "A failover of %s was begun and not finished. Take it up? (yes/NO): ",
		            s->conf->name) &&
		        cmd_says_yes(line))
			return true;
		*ret_exit = cmd_exit(s->cmd, CMD_FAILED);
		return false;
	}
	s->o.dry = true;
	f = failover_cmd_run(s, &e);
	s->o.dry = false;
	if (!f) {
		*ret_exit = cmd_fail(s->cmd, CMD_FAILED, &e);
		return false;
	}
	go = failover_elected(f) && ask_person(s, failover_elected(f));
	if (failover_elected(f) && !go)
		log_info("Not proceeded.");
	/* What was shown and agreed to, or nothing: meanwhile it may have changed. */
	if (go && !s->o.new_master)
		s->o.new_master = failover_elected(f);
	failover_free(f);
	*ret_exit = cmd_exit(s->cmd, CMD_FAILED);
	return go;
}

/* ---- acting ---- */

static void after(void *arg)
{
	loop_stop(arg);
}

static void log_report(const struct failover_report *r)
{
	if (!r->begun)
		return;
	log_info("%s", "");
	log_info("----- Failover Report -----");
	log_info("%s", "");
	log_raw(r->subject, strlen(r->subject));
	log_raw("\n\n", 2);
	log_raw(r->body, strlen(r->body));
	log_raw("\n", 1);
}

static void tell(const struct failover_cmd *s, const struct failover *f)
{
	json_t *all;
	AUTO(free) char *text = NULL;

	log_report(&s->report);
	if (!s->cmd->json)
		return;
	all = failover_json(f);
	text = json_dumps(all, JSON_INDENT(1));
	json_decref(all);
	printf("%s\n", text ? text : "{}");
	fflush(stdout);
}

/* Somebody else's file is left alone: his manager may be about to end. */
static struct status_file *claim(const struct failover_cmd *s)
{
	const struct conf_server *first = s->conf->servers[0];
	struct err e = { 0 };
	struct status_file *st =
	        status_file_claim(first->manager_workdir, s->conf->name, getpid(), &e);

	if (!st)
		log_err(LOG_LV_WARNING, &e);
	else
		status_file_set(st, STATUS_FILE_FAILOVER_RUNNING, s->o.dead->hostname, NULL);
	return st;
}

static void linger(const struct failover_cmd *s, struct status_file *st, int code)
{
	if (code == 0 || s->wait_on_error <= 0 || s->interactive)
		return;
	if (st)
		status_file_set(st, STATUS_FILE_FAILOVER_ERROR, s->o.dead->hostname, NULL);
	log_info("Sleeping %lld seconds before exit..", (long long)s->wait_on_error);
	sleep((unsigned)s->wait_on_error);
}

static int refuse(const struct failover_cmd *s, const struct err *e)
{
	log_err(LOG_LV_ERROR, e);
	return cmd_exit(s->cmd, CMD_REFUSED);
}

static int exit_of(const struct failover_cmd *s)
{
	if (s->report.result == RUN_REFUSED)
		return cmd_exit(s->cmd, CMD_REFUSED);
	return s->report.exit;
}

/* It goes on with the new master, and meets the old one. */
static void tell_mhad(const struct failover_cmd *s)
{
	struct err e = { 0 };
	AUTO(ask) struct ask *a = NULL;
	json_t *got;

	if (!s->hold.cluster || !s->report.new_master || !s->report.opened)
		return;
	a = ask_open(ask_path(s->hold.socket), clock_in(ASK_MS), &e);
	got = a ? ask_call(a, "look",
	                  json_pack("{s:s, s:s}", "cluster", s->hold.cluster, "master",
	                          s->report.new_master->id),
	                  clock_in(ASK_MS), &e)
	        : NULL;
	if (!got)
		log_warning("mhad does not know yet that %s is the master (it will when it is "
		            "restarted): %s",
		        s->report.new_master->hostinfo, e.text);
	json_decref(got);
}

/* When this command has ended, nobody looks any more. */
static void linger_as_guard(const struct failover_cmd *s)
{
	struct loop_timer *end;

	if (!s->report.opened || s->report.fenced == FENCE_DONE || s->hold.cluster)
		return;
	log_info("%s was not seen to end: for %d more seconds it is closed if it comes back. "
	         "Afterwards mhad does so, if it watches this cluster.",
	        s->o.dead->hostinfo, GUARD_LINGER_MS / 1000);
	end = loop_timer_new(s->loop, clock_in(GUARD_LINGER_MS), after, s->loop);
	loop_run(s->loop);
	loop_timer_free(end);
}

static int act(struct failover_cmd *s)
{
	/* The status file is mhad's, where it watches. */
	AUTO(status_file) struct status_file *st = s->hold.cluster ? NULL : claim(s);
	struct err e = { 0 };
	struct failover *f = failover_cmd_run(s, &e);
	int code;

	if (!f) {
		code = refuse(s, &e);
	} else {
		aftermath_start(s->jobs, s->conf, f, &s->report,
		        &(struct aftermath_opts){ .state_dir = s->state_dir,
		                .conf_path = s->cmd->conf_path,
		                .by = cmd_who() },
		        after, s->loop);
		tell(s, f);
		loop_run(s->loop);
		tell_mhad(s);
		linger_as_guard(s);
		code = exit_of(s);
		failover_free(f);
	}
	linger(s, st, code);
	return code;
}

/* ---- the command lines ---- */

/* MHA says which of them it makes up. */
static bool check_dead(struct failover_cmd *s, int *ret_exit)
{
	if (!s->dead_host) {
		printf("--dead_master_host=<dead_master_hostname> must be set.\n");
		*ret_exit = cmd_exit(s->cmd, CMD_USAGE);
		return false;
	}
	if (!s->dead_port) {
		s->dead_port = 3306;
		printf("--dead_master_port=<dead_master_port> is not set. Using 3306.\n");
	}
	return true;
}

static bool settle(struct failover_cmd *s, int *ret_exit)
{
	const char *file;
	struct err e = { 0 };

	if (!s->cmd->conf_path && s->cmd->verb->mha) {
		printf("--conf=<server_config_file> must be set.\n");
		*ret_exit = CMD_FAILED;
		return false;
	}
	s->conf = cmd_load(s->cmd, ret_exit);
	if (!s->conf)
		return false;
	conf_use_workdir(s->conf, s->workdir);
	file = s->log ? s->log : s->conf->servers[0]->manager_log;
	if (!s->interactive && file && *file && !log_open_file(file, &e)) {
		*ret_exit = cmd_fail(s->cmd, CMD_CONFIG, &e);
		return false;
	}
	log_set_level(
	        s->cmd->debug ? LOG_LV_DEBUG : (enum log_level)s->conf->servers[0]->log_level);
	if (!s->interactive && s->cmd->verb->mha && getpgrp() != getpid())
		setpgid(0, 0);
	return true;
}

static int run(struct failover_cmd *s)
{
	struct err e = { 0 };
	int code;

	if (!settle(s, &code))
		return code;
	failover_cmd_begin(s);
	if (!failover_cmd_servers(s, &code))
		return code;
	if (s->cmd->verb->mha && !s->dead_ip)
		printf("--dead_master_ip=<dead_master_ip> is not set. Using %s.\n", s->o.dead->ip);
	s->o.manual = s->interactive;
	s->o.by = cmd_who();
	s->o.failover_interval = s->last_failover_minute < 0 ? -1 : s->last_failover_minute * 60000;
	s->o.no_gtid_wait = !s->gtid_wait;
	s->o.ssh_reachable = (int)s->ssh_reachable;
	s->o.global_path = s->cmd->global_path;
	s->o.seen = clock_ms();
	s->o.why = "a person asked for it";
	if (s->o.force && access(s->state_dir, W_OK) != 0) {
		log_warning("%s cannot be written: no journal is kept (forced)", s->state_dir);
		s->state_dir = NULL;
	}
	if (s->interactive && !prepare(s, &code))
		return code;
	if (cmd_hold_begin(&s->hold, s->conf, &e))
		code = act(s);
	else
		code = refuse(s, &e);
	cmd_hold_end(&s->hold);
	return code;
}

#define FAILOVER_OPTS(s)                                                                           \
	{ "new_master_host|new_master", OPT_STR, .to = &(s).new_host, .arg = "HOST",               \
		.help = "this server shall be the new master, or nobody" },                        \
	        { "new_master_port", OPT_INT, .to = &(s).new_port, .arg = "PORT", .min = 1,        \
		        .max = 65535 },                                                            \
	        { "dead_master_host", OPT_STR, .to = &(s).dead_host, .arg = "HOST",                \
		        .help = "the dead master's hostname, as in the file" },                    \
	        { "dead_master_ip", OPT_STR, .to = &(s).dead_ip, .arg = "IP" },                    \
	        { "dead_master_port", OPT_INT, .to = &(s).dead_port, .arg = "PORT", .min = 1,      \
		        .max = 65535 },                                                            \
	        { "interactive", OPT_INT, .to = &(s).interactive, .min = 0, .max = 1,              \
		        .help = "0: do not ask" },                                                 \
	        { "ssh_reachable", OPT_INT, .to = &(s).ssh_reachable, .min = 0, .max = 2,          \
		        .help = "0: do not try SSH to the dead master's host (2: find out)" },     \
	        { "last_failover_minute", OPT_INT, .to = &(s).last_failover_minute,                \
		        .arg = "MINUTES", .min = 0, .max = 43200,                                  \
		        .help = "refuse when the last failover is younger (480)" },                \
	        { "ignore_last_failover", OPT_FLAG, .to = &(s).o.ignore_last_failover,             \
		        .help = "an earlier failover does not stand against it" },                 \
	        { "wait_on_failover_error", OPT_INT, .to = &(s).wait_on_error, .arg = "SECONDS",   \
		        .min = 0, .max = INT32_MAX,                                                \
		        .help = "wait so long before an exit by error (0)" },                      \
	        { "skip_save_master_binlog", OPT_FLAG, .to = &(s).o.skip_save,                     \
		        .help = "leave what only the dead master has" },                           \
	        { "remove_dead_master_conf|remove_orig_master_conf", OPT_FLAG,                     \
		        .to = &(s).o.remove_dead_conf,                                             \
		        .help = "after full success take the dead master out of the file" },       \
	        { "skip_change_master", OPT_FLAG, .to = &(s).o.skip_change_master,                 \
		        .help = "bring the slaves level, but do not point them anywhere" },        \
	        { "skip_disable_read_only", OPT_FLAG, .to = &(s).o.skip_disable_read_only,         \
		        .help = "leave the new master read-only" },                                \
	        { "wait_until_gtid_in_sync", OPT_INT, .to = &(s).gtid_wait, .min = 0, .max = 1,    \
		        .help = "0: do not wait until slaves have caught up" },                    \
	        { "ignore_binlog_server_error", OPT_FLAG, .to = &(s).o.ignore_binlog_server_error, \
		        .help = "go on when no binlog server can be read" },                       \
	        { "allow_loss", OPT_FLAG, .to = &(s).o.allow_loss,                                 \
		        .help = "even if more than max_loss is lost" },                            \
	        { "force", OPT_FLAG, .to = &(s).o.force,                                           \
		        .help = "overrule refusals that a person may overrule; each says so" },    \
	        { "state_dir", OPT_STR, .to = &(s).state_dir, .arg = "DIR",                        \
		        .help = "where the journal is kept (" CMD_STATE_DIR ")" },            \
	        { "manager_workdir|workdir", OPT_STR, .to = &(s).workdir, .arg = "DIR",            \
		        .help = "for status and saved files, instead of the setting's" },                 \
	{                                                                                          \
		"manager_log|log_output", OPT_STR, .to = &(s).log, .arg = "FILE",                  \
		                                   .help = "log file, instead of the setting's"    \
	}

int cmd_master_switch(struct cmd *c, int argc, char **argv)
{
	struct failover_cmd s = { .cmd = c,
		.state_dir = CMD_STATE_DIR,
		.interactive = 1,
		.last_failover_minute = -1,
		.gtid_wait = 1,
		.ssh_reachable = 2 };
	const char *state = NULL;
	const struct opt opts[] = {
		CMD_OPTS_CLUSTER(c),
		{ "master_state", OPT_STR, .to = &state, .arg = "dead|alive",
		        .help = "dead: fail over; alive: switch (its --help tells more)" },
		FAILOVER_OPTS(s),
		{ "socket", OPT_STR, .to = &s.hold.socket, .arg = "PATH",
		        .help = "of a running mhad, which is paused meanwhile if it watches the "
		                "file" },
		{ "skip_check_ssh|skip_ssh_check", OPT_FLAG, .to = NULL },
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	struct err e = { 0 };
	int code;

	if (cmd_switch_is_alive(argc, argv))
		return cmd_switch_alive(c, argc, argv);
	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	if (!state || !str_is(state, "dead")) {
		err_set(&e, ERR_CONFIG, 0,
		        "--master_state=dead or --master_state=alive must be set");
		return cmd_fail(c, CMD_USAGE, &e);
	}
	return check_dead(&s, &code) ? run(&s) : code;
}

int cmd_failover(struct cmd *c, int argc, char **argv)
{
	struct failover_cmd s = { .cmd = c,
		.state_dir = CMD_STATE_DIR,
		.interactive = isatty(STDIN_FILENO),
		.last_failover_minute = -1,
		.gtid_wait = 1,
		.ssh_reachable = 2 };
	bool yes = false;
	const struct opt opts[] = {
		CMD_OPTS_CLUSTER(c),
		{ "yes|y", OPT_FLAG, .to = &yes, .help = "do not ask" },
		FAILOVER_OPTS(s),
		{ "socket", OPT_STR, .to = &s.hold.socket, .arg = "PATH",
		        .help = "of a running mhad, which is paused meanwhile if it watches the "
		                "file" },
		CMD_OPT_JSON(c),
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	int code;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	if (yes || c->json)
		s.interactive = 0;
	return run(&s);
}
