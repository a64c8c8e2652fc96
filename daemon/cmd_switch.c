/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_switch - `mhactl switch`, `mhactl plan switch` and `masterha_master_switch --master_state=alive`: a
 * planned switch in a loop of its own.  Runs on: loop.
 */
#include "cmd_switch.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cmds.h"
#include "history.h"
#include "hook.h"
#include "incident.h"
#include "job.h"
#include "link.h"
#include "log.h"
#include "loop.h"
#include "move.h"
#include "switch.h"

enum { WORKERS = 16, LINKS = 64 };

struct switch_cmd {
	struct cmd *cmd;
	struct conf *conf;

	const char *new_host, *state_dir, *workdir, *log;
	int64_t new_port;    /* 0: not said */
	int64_t interactive; /* ask before acting */
	int64_t flush;
	bool leave_orig, force, no_guard;
	struct switch_opts o;
	struct cmd_hold hold;

	struct loop *loop;
	struct job_pool *jobs;
	struct link_room *links;
	struct planned *now; /* under way */
	struct switch_report report;
};

/* ---- in a loop of its own ---- */

static void on_signal(void *arg, int signo)
{
	struct switch_cmd *s = arg;

	(void)signo;
	log_info("Got terminate signal. Exit.");
	if (s->now)
		switch_cancel(s->now, "ended by a signal");
	else
		loop_stop(s->loop);
}

static void begin_loop(struct switch_cmd *s)
{
	s->loop = loop_new();
	s->jobs = job_pool_new(s->loop, WORKERS);
	s->links = link_room_new(s->loop, LINKS);
	cmd_on_end(s->loop, on_signal, s);
}

static void on_done(void *arg, struct planned *p, const struct switch_report *r)
{
	struct switch_cmd *s = arg;

	(void)p;
	s->report = *r;
	loop_stop(s->loop);
}

static struct planned *run_it(struct switch_cmd *s, struct err *e)
{
	const struct switch_env env = {
		.loop = s->loop, .jobs = s->jobs, .links = s->links, .state_dir = s->state_dir
	};

	s->now = switch_start(&env, s->conf, &s->o, on_done, s, e);
	if (!s->now)
		return NULL;
	loop_run(s->loop);
	return TAKE(s->now);
}

/* ---- asking ---- */

/* MHA's one question whose default is yes. */
static void ask_flush(struct switch_cmd *s, const struct conf_server *orig)
{
	char line[64];

	if (s->flush != SWITCH_FLUSH_IF_NEEDED || !s->cmd->verb->mha)
		return;
	if (cmd_ask(line, sizeof(line),
	            "It is better to execute FLUSH NO_WRITE_TO_BINLOG TABLES on the master before "
	            "switching. Is it ok to execute on %s? (YES/no): ",
	            orig->hostinfo) &&
	        (line[0] == 'n' || line[0] == 'N'))
		s->o.flush = SWITCH_FLUSH_NO;
}

static bool ask_script(const struct switch_cmd *s, const struct conf_server *fresh)
{
	char line[64];

	if (hook_is_set(fresh->master_ip_online_change_script) || !s->cmd->verb->mha)
		return true;
	return cmd_ask(line, sizeof(line),
	               "master_ip_online_change_script is not defined. If you do not disable "
	               "writes on the current master manually, applications keep writing on the "
	               "current master. Is it ok to proceed? (yes/NO): ") &&
	       cmd_says_yes(line);
}

static bool ask_person(
        struct switch_cmd *s, const struct conf_server *orig, const struct conf_server *fresh)
{
	char line[64];

	ask_flush(s, orig);
	if (!cmd_ask(line, sizeof(line), "Starting master switch from %s to %s? (yes/NO): ",
	            orig->hostinfo, fresh->hostinfo))
		return false;
	/* What is agreed to counts, whatever happens meanwhile. */
	if (!cmd_says_yes(line))
		s->o.new_master = cmd_ask_new_master(s->conf);
	else if (!s->o.new_master)
		s->o.new_master = fresh;
	if (!s->o.new_master)
		return false;
	return ask_script(s, s->o.new_master);
}

/* The questions come before anything is changed: a dry run has shown what there is. */
static bool prepare(struct switch_cmd *s, int *ret_exit)
{
	struct err e = { 0 };
	struct planned *p;
	bool go;

	if (switch_is_unfinished(s->state_dir, s->conf->name))
		return true;
	s->o.dry = true;
	p = run_it(s, &e);
	s->o.dry = false;
	if (!p) {
		*ret_exit = cmd_fail(s->cmd, CMD_FAILED, &e);
		return false;
	}
	*ret_exit = cmd_exit(s->cmd, s->report.result == RUN_SUCCESS ? CMD_FAILED : CMD_REFUSED);
	go = s->report.result == RUN_SUCCESS && ask_person(s, switch_orig(p), switch_fresh(p));
	if (s->report.result == RUN_SUCCESS && !go)
		log_info("Not proceeded.");
	switch_free(p);
	return go;
}

/* ---- acting ---- */

/* A line of history, and a record for `mhactl report`; of a refusal nothing but what was said. */
static void remember(const struct switch_cmd *s, const struct planned *p)
{
	const struct switch_report *r = &s->report;
	struct err e = { 0 };
	json_t *record;

	if (r->result == RUN_REFUSED && !r->given_back)
		return;
	if (!history_add(s->state_dir, s->conf->name, "switch", cmd_who(), &e, "%s -> %s: %s%s%s",
	            r->orig ? r->orig->hostinfo : "?", r->fresh ? r->fresh->hostinfo : "?",
	            run_result_name(r->result), r->error->kind != ERR_NONE ? ": " : "",
	            r->error->kind != ERR_NONE ? r->error->text : ""))
		log_err(LOG_LV_WARNING, &e);
	record = switch_json(p);
	if (!incident_save(s->state_dir, s->conf->name, record, &e))
		log_err(LOG_LV_WARNING, &e);
	json_decref(record);
}

static int exit_of(const struct switch_cmd *s)
{
	const struct switch_report *r = &s->report;

	if (r->result == RUN_SUCCESS)
		return CMD_OK;
	if (r->result == RUN_PARTIAL)
		return CMD_PARTIAL;
	return cmd_exit(
	        s->cmd, r->result == RUN_REFUSED && !r->given_back ? CMD_REFUSED : CMD_FAILED);
}

/* A slave that a move has left half way would be taken for a broken one, or worse, for a good one. */
static bool check_moves(const struct switch_cmd *s, struct err *e)
{
	if (!s->state_dir || !move_is_unfinished(s->state_dir, s->conf->name))
		return true;
	err_set(e, ERR_PRECOND, 0, "a move of a slave of %s was begun and not finished",
	        s->conf->name);
	return err_hint(e, "say the same mhactl move or flatten again first");
}

static int act(struct switch_cmd *s)
{
	struct cmd_guard guard = { .fd = -1 };
	struct err e = { 0 };
	struct planned *p;
	int code;

	if (!check_moves(s, &e) || !cmd_hold_begin(&s->hold, s->conf, &e)) {
		log_err(LOG_LV_ERROR, &e);
		cmd_hold_end(&s->hold);
		return cmd_exit(s->cmd, CMD_REFUSED);
	}
	s->o.watched = s->hold.cluster;
	if (!s->no_guard && s->state_dir)
		cmd_guard_begin(&guard, s->cmd, s->state_dir);
	log_info("%s", "");
	log_info("Starting online master switch..");
	p = run_it(s, &e);
	cmd_guard_end(&guard);
	cmd_hold_end(&s->hold);
	if (!p) {
		log_err(LOG_LV_ERROR, &e);
		return cmd_exit(s->cmd, CMD_REFUSED);
	}
	remember(s, p);
	code = exit_of(s);
	if (s->cmd->json && !cmd_print_json(switch_json(p)))
		code = code ? code : CMD_FAILED;
	switch_free(p);
	return code;
}

/* ---- the command lines ---- */

static bool settle(struct switch_cmd *s, int *ret_exit)
{
	struct err e = { 0 };

	if (!s->cmd->conf_path && s->cmd->verb->mha) {
		printf("--conf=<server_config_file> must be set.\n");
		*ret_exit = CMD_FAILED;
		return false;
	}
	s->conf = cmd_load(s->cmd, ret_exit);
	if (!s->conf)
		return false;
	log_set_level(
	        s->cmd->debug ? LOG_LV_DEBUG : (enum log_level)s->conf->servers[0]->log_level);
	if (!s->new_host)
		return true;
	s->o.new_master = cmd_server_named(s->conf, s->new_host, s->new_port);
	if (s->o.new_master)
		return true;
	err_set(&e, ERR_CONFIG, 0, "the new master %s:%lld is not among the servers of %s",
	        s->new_host, (long long)s->new_port, s->conf->path);
	*ret_exit = cmd_fail(s->cmd, CMD_USAGE, &e);
	return false;
}

static void settle_options(struct switch_cmd *s)
{
	s->o.flush = (enum switch_flush)s->flush;
	s->o.why = "a person asked for it";
	if (s->o.check_only)
		s->interactive = 0;
}

static int check_only(struct switch_cmd *s)
{
	struct err e = { 0 };
	struct planned *p;

	s->o.dry = true;
	p = run_it(s, &e);
	if (!p)
		return cmd_fail(s->cmd, CMD_FAILED, &e);
	switch_free(p);
	return s->report.result == RUN_SUCCESS ? CMD_OK : cmd_exit(s->cmd, CMD_REFUSED);
}

static int run(struct switch_cmd *s)
{
	int code;

	if (!settle(s, &code))
		return code;
	begin_loop(s);
	settle_options(s);
	if (s->o.check_only)
		return check_only(s);
	if (s->force && access(s->state_dir, W_OK) != 0) {
		log_warning("%s cannot be written: no journal is kept (forced)", s->state_dir);
		s->state_dir = NULL;
	}
	if (s->interactive && !prepare(s, &code))
		return code;
	return act(s);
}

static struct switch_cmd fresh_cmd(struct cmd *c)
{
	return (struct switch_cmd){ .cmd = c,
		.state_dir = CMD_STATE_DIR,
		.flush = SWITCH_FLUSH_IF_NEEDED,
		.o = { .updates_limit_s = 1,
		        .seconds_limit_s = 10,
		        .delay_limit_s = 30,
		        .block_ms = SWITCH_BLOCK_MS } };
}

#define LIMIT_OPTS(s)                                                                              \
	{ "new_master_port", OPT_INT, .to = &(s).new_port, .arg = "PORT", .min = 1,                \
		.max = 65535 },                                                                    \
	        { "running_updates_limit", OPT_INT, .to = &(s).o.updates_limit_s,                  \
		        .arg = "SECONDS", .min = 0, .max = INT32_MAX,                              \
		        .help = "refuse when a statement or transaction that writes runs longer "  \
		                "on the old master (1)" },                                         \
	        { "running_seconds_limit", OPT_INT, .to = &(s).o.seconds_limit_s,                  \
		        .arg = "SECONDS", .min = 1, .max = INT32_MAX,                              \
		        .help = "refuse when any statement runs as long on the new master (10)" }, \
	{                                                                                          \
		"seconds_behind_master", OPT_INT,                                                  \
		        .to = &(s).o.delay_limit_s, .arg = "SECONDS", .min = 0, .max = INT32_MAX,  \
		        .help = "refuse when a slave is further behind (30)"                       \
	}

#define ACT_OPTS(s)                                                                                \
	{ "skip_lock_all_tables", OPT_FLAG, .to = &(s).o.skip_lock,                                \
		.help = "writes were stopped by other means: only see that they were" },           \
	        { "flush_tables", OPT_INT, .to = &(s).flush, .min = 0, .max = 2,                   \
		        .help = "FLUSH TABLES before: 0 no, 1 yes, 2 where tables are locked" },   \
	        { "remove_orig_master_conf|remove_dead_master_conf", OPT_FLAG,                     \
		        .to = &(s).o.remove_orig_conf,                                             \
		        .help = "after full success take the old master out of the file" },        \
	        { "kill", OPT_FLAG, .to = &(s).o.kill,                                             \
		        .help = "end what is over running_updates_limit, instead of refusing" },   \
	        { "max_block", OPT_INT, .to = &(s).o.block_ms, .arg = "MS", .min = 50,             \
		        .max = 3600000,                                                            \
		        .help = "give writes back when they were refused for so long (900)" },     \
	        { "no_guard", OPT_FLAG, .to = &(s).no_guard,                                       \
		        .help = "no second process that ends the switch if this one is killed" },  \
	        { "force", OPT_FLAG, .to = &(s).force,                                             \
		        .help = "also when no journal can be kept" },                              \
	{                                                                                          \
		"state_dir", OPT_STR, .to = &(s).state_dir, .arg = "DIR",                          \
		                      .help = "where the journal is kept (" CMD_STATE_DIR ")"          \
	}

/* Any letter case, one or two dashes, `_` or `-`: as opt.h reads them. */
static bool is_state(const char *word)
{
	static const char name[] = "master_state";
	size_t i = 0;

	while (*word == '-')
		word++;
	for (; name[i] && word[i]; i++)
		if ((word[i] == '-' ? '_' : word[i] | (word[i] == '_' ? 0 : 0x20)) != name[i])
			return false;
	return !name[i] && (!word[i] || word[i] == '=');
}

bool cmd_switch_is_alive(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *eq = strchr(argv[i], '=');

		if (argv[i][0] == '-' && is_state(argv[i]) &&
		        str_is(eq              ? eq + 1
		                : i + 1 < argc ? argv[i + 1]
		                               : NULL,
		                "alive"))
			return true;
	}
	return false;
}

int cmd_switch_alive(struct cmd *c, int argc, char **argv)
{
	struct switch_cmd s = fresh_cmd(c);
	const char *state = NULL;
	const struct opt opts[] = {
		CMD_OPTS_CLUSTER(c),
		{ "master_state", OPT_STR, .to = &state, .arg = "alive",
		        .help = "the master lives: switch to another one" },
		{ "new_master_host|new_master", OPT_STR, .to = &s.new_host, .arg = "HOST",
		        .help = "this server shall be the new master, or nobody" },
		LIMIT_OPTS(s),
		{ "orig_master_is_new_slave", OPT_FLAG, .to = &s.o.orig_is_new_slave,
		        .help = "the old master follows the new one" },
		{ "interactive", OPT_INT, .to = &s.interactive, .min = 0, .max = 1,
		        .help = "0: do not ask" },
		{ "check_only", OPT_FLAG, .to = &s.o.check_only, .help = "end after the checks" },
		ACT_OPTS(s),
		{ "manager_workdir|workdir", OPT_STR, .to = &s.workdir, .arg = "DIR" },
		{ "manager_log|log_output", OPT_STR, .to = &s.log, .arg = "FILE" },
		{ "skip_check_ssh|skip_ssh_check", OPT_FLAG, .to = NULL },
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	int code;

	s.interactive = 1;
	s.new_port = 3306;
	return cmd_parse(c, opts, argc, argv, NULL, &code) ? run(&s) : code;
}

int cmd_switch(struct cmd *c, int argc, char **argv)
{
	struct switch_cmd s = fresh_cmd(c);
	bool yes = false;
	const struct opt opts[] = {
		CMD_OPTS_CLUSTER(c),
		{ "to|new_master_host|new_master", OPT_STR, .to = &s.new_host, .arg = "HOST",
		        .help = "this server shall be the new master, or nobody" },
		LIMIT_OPTS(s),
		{ "orig_master_is_new_slave", OPT_FLAG, .to = NULL },
		{ "leave_orig_master", OPT_FLAG, .to = &s.leave_orig,
		        .help = "the old master does not follow the new one; it stays read-only" },
		{ "yes|y", OPT_FLAG, .to = &yes, .help = "do not ask" },
		{ "interactive", OPT_INT, .to = &s.interactive, .min = 0, .max = 1 },
		ACT_OPTS(s),
		{ "socket", OPT_STR, .to = &s.hold.socket, .arg = "PATH",
		        .help = "mhad's control socket" },
		CMD_OPT_JSON(c),
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	int code;

	s.interactive = isatty(STDIN_FILENO);
	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	s.interactive = s.interactive && !yes;
	s.o.orig_is_new_slave = !s.leave_orig;
	return run(&s);
}

/* ---- only looking ---- */

static bool print_plan(const struct cmd *c, const struct planned *p)
{
	AUTO_STR struct str out = STR_INIT;
	AUTO(free) char *text = NULL;

	if (c->json)
		return cmd_print_json(switch_plan_json(p));
	text = switch_plan_text(p);
	str_add(&out, text);
	return cmd_print(&out);
}

int cmd_plan_switch(struct cmd *c, int argc, char **argv)
{
	struct switch_cmd s = fresh_cmd(c);
	const struct opt opts[] = {
		CMD_OPTS_CLUSTER(c),
		{ "to|new_master_host|new_master", OPT_STR, .to = &s.new_host, .arg = "HOST",
		        .help = "with this server as the new master" },
		LIMIT_OPTS(s),
		{ "leave_orig_master", OPT_FLAG, .to = &s.leave_orig },
		CMD_OPT_JSON(c),
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	struct err e = { 0 };
	struct planned *p;
	int code;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	if (!settle(&s, &code))
		return code;
	log_set_level(c->debug ? LOG_LV_DEBUG : LOG_LV_ERROR);
	begin_loop(&s);
	settle_options(&s);
	s.o.dry = true;
	s.o.orig_is_new_slave = !s.leave_orig;
	p = run_it(&s, &e);
	if (!p)
		return cmd_fail(c, CMD_FAILED, &e);
	if (!print_plan(c, p))
		return CMD_FAILED;
	return s.report.result == RUN_SUCCESS ? CMD_OK : CMD_REFUSED;
}
