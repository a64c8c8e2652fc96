/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_rejoin - `mhactl rejoin HOST` and `mhactl plan rejoin HOST`, in a loop of its own.  Runs on: the main
 * thread, which is the loop's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cmd_failover.h"
#include "history.h"
#include "job.h"
#include "link.h"
#include "log.h"
#include "loop.h"
#include "rejoin.h"

enum { WORKERS = 16, LINKS = 64 };

struct rejoin_cmd {
	struct cmd *cmd;
	struct conf *conf;
	const char *host, *master, *donor, *errant, *state_dir;
	bool yes, by_dump, by_clone, by_backup;
	struct rejoin_opts o;

	struct loop *loop;
	struct job_pool *jobs;
	struct link_room *links;
	struct rejoin *now; /* under way */
	struct rejoin_report report;
};

/* ---- in a loop of its own ---- */

static void on_signal(void *arg, int signo)
{
	struct rejoin_cmd *s = arg;

	(void)signo;
	log_info("Got a signal to end.");
	if (s->now)
		rejoin_cancel(s->now, "ended by a signal");
	else
		loop_stop(s->loop);
}

static void begin(struct rejoin_cmd *s)
{
	s->loop = loop_new();
	s->jobs = job_pool_new(s->loop, WORKERS);
	s->links = link_room_new(s->loop, LINKS);
	cmd_on_end(s->loop, on_signal, s);
}

static void on_done(void *arg, struct rejoin *r, const struct rejoin_report *report)
{
	struct rejoin_cmd *s = arg;

	(void)r;
	s->report = *report;
	loop_stop(s->loop);
}

/* Until it is done.  Returns owned; NULL: it did not begin. */
static struct rejoin *run(struct rejoin_cmd *s, struct err *e)
{
	const struct rejoin_env env = {
		.loop = s->loop, .jobs = s->jobs, .links = s->links, .state_dir = s->state_dir
	};

	s->now = rejoin_start(&env, s->conf, &s->o, on_done, s, e);
	if (!s->now)
		return NULL;
	loop_run(s->loop);
	return TAKE(s->now);
}

/* ---- what is meant ---- */

/* "db1", its address, either with ":3307", or its name in the file. */
static const struct conf_server *server_named(const struct conf *c, const char *name)
{
	const char *colon = strrchr(name, ':');
	AUTO(free) char *host = colon ? xstrndup(name, (size_t)(colon - name)) : xstrdup(name);
	const struct conf_server *found = NULL;

	for (size_t i = 0; i < c->n_servers; i++) {
		const struct conf_server *s = c->servers[i];

		if (str_is(s->id, name))
			return s;
		if (!str_is(s->hostname, host) && !str_is(s->ip, host))
			continue;
		if (colon ? s->port == atoi(colon + 1) : !found || s->port == 3306)
			found = s;
	}
	return found;
}

static bool find(const struct rejoin_cmd *s, const char *what, const char *name,
        const struct conf_server **ret, struct err *e)
{
	if (name)
		*ret = server_named(s->conf, name);
	return !name || *ret ||
	       err_set(e, ERR_CONFIG, 0, "%s %s is not among the servers of %s", what, name,
	               s->conf->path);
}

static bool settle(struct rejoin_cmd *s, struct err *e)
{
	if (s->errant && str_is(s->errant, "inject"))
		s->o.errant = REJOIN_ERRANT_INJECT;
	else if (s->errant && str_is(s->errant, "flashback"))
		s->o.errant = REJOIN_ERRANT_FLASHBACK;
	else if (s->errant)
		return err_set(
		        e, ERR_CONFIG, 0, "--errant=%s: it is inject or flashback", s->errant);
	if (s->by_dump + s->by_clone + s->by_backup > 1)
		return err_set(e, ERR_CONFIG, 0,
		        "--by-dump, --by-clone and --by-backup exclude each other");
	s->o.how = s->by_dump     ? PROVISION_DUMP
	           : s->by_clone  ? PROVISION_CLONE
	           : s->by_backup ? PROVISION_BACKUP
	                          : PROVISION_ANY;
	s->o.clone = s->o.clone || s->o.how != PROVISION_ANY;
	return find(s, "the server", s->host, &s->o.target, e) &&
	       find(s, "the master", s->master, &s->o.master, e) &&
	       find(s, "the donor", s->donor, &s->o.donor, e) &&
	       ((s->o.target != s->o.master && s->o.target != s->o.donor) ||
	               err_set(e, ERR_CONFIG, 0, "%s cannot be its own master or donor", s->host));
}

/* ---- telling ---- */

static bool tell(const struct rejoin_cmd *s, struct rejoin *r)
{
	AUTO_STR struct str out = STR_INIT;
	AUTO(free) char *text = NULL;

	if (s->cmd->json)
		return cmd_print_json(rejoin_json(r));
	text = rejoin_text(r);
	str_add(&out, text);
	return cmd_print(&out);
}

static int exit_of(const struct rejoin_cmd *s)
{
	switch (s->report.result) {
	case RUN_SUCCESS: return CMD_OK;
	case RUN_PARTIAL: return CMD_PARTIAL;
	case RUN_REFUSED: return CMD_REFUSED;
	case RUN_UNDONE:
	case RUN_FAILED: return CMD_FAILED;
	}
	return CMD_FAILED;
}

/* ---- asking ---- */

/* Before anything is changed a dry run has shown what there is. */
static bool ask(struct rejoin_cmd *s, int *ret_exit)
{
	struct err e = { 0 };
	struct rejoin *r;
	bool go;

	if (rejoin_is_unfinished(s->state_dir, s->conf->name)) {
		*ret_exit = CMD_FAILED;
		return cmd_agrees("A rejoin was begun and not finished. Take it up?");
	}
	s->o.dry = true;
	r = run(s, &e);
	s->o.dry = false;
	if (!r) {
		*ret_exit = cmd_fail(s->cmd, CMD_FAILED, &e);
		return false;
	}
	go = tell(s, r) && s->report.result == RUN_SUCCESS;
	*ret_exit = s->report.result != RUN_SUCCESS ? CMD_REFUSED : CMD_OK;
	if (go && !s->report.already) {
		*ret_exit = CMD_FAILED;
		go = cmd_agrees("Proceed?");
	} else {
		go = false;
	}
	rejoin_free(r);
	return go;
}

static void remember(const struct rejoin_cmd *s)
{
	const struct rejoin_report *r = &s->report;

	if (r->already)
		return;
	history_add(s->state_dir, s->conf->name, "rejoin", cmd_who(), NULL,
	        "%s as a slave of %s: %s%s%s", r->target->hostinfo,
	        r->master ? r->master->hostinfo : "?", run_result_name(r->result),
	        r->error->kind ? ": " : "", r->error->kind ? r->error->text : "");
}

static int act(struct rejoin_cmd *s)
{
	struct err e = { 0 };
	struct rejoin *r;
	int code;

	if (!s->yes && !ask(s, &code))
		return code;
	r = run(s, &e);
	if (!r)
		return cmd_fail(s->cmd, CMD_REFUSED, &e);
	remember(s);
	code = tell(s, r) ? exit_of(s) : CMD_FAILED;
	rejoin_free(r);
	return code;
}

static int plan(struct rejoin_cmd *s)
{
	struct err e = { 0 };
	struct rejoin *r;
	int code;

	s->o.dry = true;
	r = run(s, &e);
	if (!r)
		return cmd_fail(s->cmd, CMD_FAILED, &e);
	code = tell(s, r) ? s->report.result == RUN_SUCCESS ? CMD_OK : CMD_REFUSED : CMD_FAILED;
	rejoin_free(r);
	return code;
}

/* ---- the command lines ---- */

#define REJOIN_OPTS(s)                                                                             \
	{ "master", OPT_STR, .to = &(s).master, .arg = "HOST",                                     \
		.help = "the master it shall follow (default: whom the others follow)" },          \
	        { "errant", OPT_STR, .to = &(s).errant, .arg = "WAY",                              \
		        .help = "transactions of its own that change no rows: keep them, with "    \
		                "empty "                                                           \
		                "flashback takes rows back" },                                     \
	        { "clone", OPT_FLAG, .to = &(s).o.clone,                                           \
		        .help = "replace its data by a copy of another server's" },                \
	        { "by-dump", OPT_FLAG, .to = &(s).by_dump,                                         \
		        .help = "--clone with a logical dump" },                                   \
	        { "by-clone", OPT_FLAG, .to = &(s).by_clone,                                       \
		        .help = "--clone with MySQL's clone plug-in" },                            \
	        { "by-backup", OPT_FLAG, .to = &(s).by_backup,                                     \
		        .help = "--clone with mariadb-backup on both hosts" },                     \
	        { "donor", OPT_STR, .to = &(s).donor, .arg = "HOST",                               \
		        .help = "copy this one (default: a slave that replicates)" },              \
	        { "force", OPT_FLAG, .to = &(s).o.force,                                           \
		        .help = "overrule refusals that a person may overrule; each says so" },    \
	{                                                                                          \
		"state_dir", OPT_STR, .to = &(s).state_dir, .arg = "DIR",                          \
		                      .help = "where journal and saved transactions are kept "     \
		                              "(" CMD_STATE_DIR ")"                           \
	}

/* HOST, and the cluster unless --conf names it. */
static bool words_of(struct rejoin_cmd *s, char **argv, int n, struct err *e)
{
	if (n >= 1)
		s->host = argv[1];
	if (n == 2 && !s->cmd->conf_path)
		s->cmd->conf_path = argv[2];
	else if (n != 1)
		return err_set(e, ERR_CONFIG, 0,
		        "which server of which cluster? mhactl rejoin HOST CLUSTER");
	return true;
}

static int start(struct rejoin_cmd *s, const struct opt *opts, int argc, char **argv, bool dry)
{
	struct err e = { 0 };
	int words, code;

	if (!cmd_parse(s->cmd, opts, argc, argv, &words, &code))
		return code;
	if (!words_of(s, argv, words, &e))
		return cmd_fail(s->cmd, CMD_USAGE, &e);
	s->conf = cmd_load(s->cmd, &code);
	if (!s->conf)
		return code;
	log_set_level(s->cmd->debug ? LOG_LV_DEBUG
	              : dry         ? LOG_LV_ERROR
	                            : (enum log_level)s->conf->servers[0]->log_level);
	if (!settle(s, &e))
		return cmd_fail(s->cmd, CMD_USAGE, &e);
	begin(s);
	return dry ? plan(s) : act(s);
}

int cmd_rejoin(struct cmd *c, int argc, char **argv)
{
	struct rejoin_cmd s = {
		.cmd = c, .state_dir = CMD_STATE_DIR, .yes = !isatty(STDIN_FILENO)
	};
	const struct opt opts[] = {
		CMD_OPTS_CLUSTER(c),
		{ "yes|y", OPT_FLAG, .to = &s.yes, .help = "do not ask" },
		REJOIN_OPTS(s),
		CMD_OPT_JSON(c),
		CMD_OPTS_COMMON(c),
		{ 0 },
	};

	return start(&s, opts, argc, argv, false);
}

int cmd_plan_rejoin(struct cmd *c, int argc, char **argv)
{
	struct rejoin_cmd s = { .cmd = c, .state_dir = CMD_STATE_DIR };
	const struct opt opts[] = {
		CMD_OPTS_CLUSTER(c),
		REJOIN_OPTS(s),
		CMD_OPT_JSON(c),
		CMD_OPTS_COMMON(c),
		{ 0 },
	};

	return start(&s, opts, argc, argv, true);
}
