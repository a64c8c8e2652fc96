/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_semisync - `mhactl check semisync`, `plan semisync`, `semisync enable` and `semisync repair`.  Runs on: the
 * main thread.
 *
 * What is done is a row of deeds, each harmless when done twice: a command that was killed is given again.
 */
#include "cmd_move.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"
#include "history.h"
#include "log.h"
#include "semisync.h"

enum {
	READ_MS = 15000,
	DEED_MS = 30000,
	SETTLE_MS = 5000, /* so long the servers may take to be as they were made */
	AGAIN_MS = 100,
};

struct semi {
	struct cmd *cmd;
	struct conf *conf;
	const char *socket, *state_dir;
	bool enable, yes;
	struct snapshot *snapshot;
	struct topology *topology;
	struct semisync_now *now;
	struct semisync_plan plan;
	json_t *done;
};

static void forget(struct semi *w)
{
	semisync_plan_done(&w->plan);
	free(TAKE(w->now));
	topology_free(TAKE(w->topology));
	snapshot_free(TAKE(w->snapshot));
}

static void look(struct semi *w)
{
	int64_t deadline = clock_in(READ_MS);

	forget(w);
	w->snapshot = snapshot_take(w->conf, &(struct snapshot_opts){ .deadline = deadline });
	w->topology = topology_classify(w->snapshot, NULL);
	w->now = xzalloc(sizeof(*w->now) * (w->topology->n_servers + 1));
	semisync_read_all(w->topology, deadline, w->now);
	semisync_judge(w->topology, w->now, w->enable, &w->plan);
}

static bool has_master(const struct semi *w, struct err *e)
{
	if (w->topology->master && w->topology->master->snap->state == SNAPSHOT_ALIVE)
		return true;
	err_set(e, ERR_PRECOND, 0, "%s",
	        w->topology->master ? "the master does not answer"
	                            : "the servers do not say who the master is");
	return err_hint(e, "mhactl topology %s", w->conf->name);
}

static bool load(struct semi *w, enum log_level level, int *ret_exit)
{
	log_set_level(w->cmd->debug ? LOG_LV_DEBUG : level);
	w->conf = cmd_load(w->cmd, ret_exit);
	return w->conf;
}

/* ---- looking ---- */

static void add_deeds(const struct semi *w, struct str *out)
{
	for (size_t i = 0; i < w->plan.n_deeds; i++) {
		AUTO(free) char *text = semisync_deed_text(&w->plan.deeds[i]);

		str_addf(out, "%zu. %s\n", i + 1, text);
	}
}

static bool print_state(const struct semi *w, bool deeds)
{
	AUTO_STR struct str out = STR_INIT;

	if (w->cmd->json)
		return cmd_print_json(semisync_json(w->topology, w->now, &w->plan));
	semisync_text(w->topology, w->now, &w->plan, &out);
	if (deeds && !w->plan.n_deeds)
		str_add(&out, "Nothing is to be done.\n");
	if (deeds)
		add_deeds(w, &out);
	else if (!w->plan.used)
		str_add(&out, "Semi-sync is not used.\n");
	else if (!w->plan.n_troubles)
		str_add(&out, "Semi-sync is OK.\n");
	else if (w->plan.n_deeds)
		str_addf(&out, "mhactl semisync repair %s would mend it.\n", w->conf->name);
	return cmd_print(&out);
}

/* Not used at all is as healthy as working. */
static int show(struct semi *w, bool deeds)
{
	struct err e = { 0 };

	look(w);
	if (!has_master(w, &e))
		return cmd_fail(w->cmd, CMD_FAILED, &e);
	if (!print_state(w, deeds))
		return CMD_FAILED;
	return w->plan.n_errors && !deeds ? CMD_FAILED : CMD_OK;
}

int cmd_check_semisync(struct cmd *c, int argc, char **argv)
{
	struct semi w = { .cmd = c };
	const struct opt opts[] = {
		CMD_OPTS_CLUSTER(c),
		CMD_OPT_JSON(c),
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	int code;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code) || !load(&w, LOG_LV_ERROR, &code))
		return code;
	return show(&w, false);
}

int cmd_plan_semisync(struct cmd *c, int argc, char **argv)
{
	struct semi w = { .cmd = c };
	const struct opt opts[] = {
		{ "enable", OPT_FLAG, .to = &w.enable,
		        .help = "what `semisync enable` would do, instead of `repair`" },
		CMD_OPTS_CLUSTER(c),
		CMD_OPT_JSON(c),
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	int code;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code) || !load(&w, LOG_LV_ERROR, &code))
		return code;
	return show(&w, true);
}

/* ---- doing ---- */

static bool do_one(struct semi *w, const struct semisync_deed *d, struct err *e)
{
	const struct topology_server *v = d->server;
	int64_t deadline = clock_in(DEED_MS);
	AUTO(repl)
	struct repl *r =
	        repl_open(v->snap->conf, v->channel ? v->channel->name : NULL, deadline, e);
	AUTO(free) char *text = semisync_deed_text(d);
	bool ok = r && semisync_do(r, d, deadline, e);

	if (ok)
		log_info("%s: done.", text);
	else
		err_ctx(e, "%s", text);
	json_array_append_new(
	        w->done, json_pack("{s:s, s:s, s:b}", "deed", semisync_deed_name(d->kind), "text",
	                         text, "ok", ok));
	return ok;
}

/*
 * A slave that cannot be made to acknowledge leaves the others as good as they are; without the master nothing
 * is gained.
 */
static bool do_all(struct semi *w, struct err *e)
{
	bool ok = true;

	for (size_t i = 0; i < w->plan.n_deeds; i++) {
		const struct semisync_deed *d = &w->plan.deeds[i];
		struct err why = { .kind = ERR_NONE };

		if (do_one(w, d, &why))
			continue;
		log_err(LOG_LV_ERROR, &why);
		if (ok && e)
			*e = why;
		ok = false;
		if (d->server == w->topology->master)
			break;
	}
	return ok;
}

/* A slave says that it is connected a moment before the master counts it. */
static bool all_are_counted(const struct semi *w)
{
	int64_t n = 0;

	for (size_t i = 0; i < w->topology->n_servers; i++)
		n += w->topology->servers[i].tier == 1 && w->now[i].replica_on;
	return w->topology->master &&
	       w->now[w->topology->master - w->topology->servers].clients >= n;
}

/* What was asked for is looked at until it is so. */
static bool settle(struct semi *w)
{
	int64_t end = clock_in(SETTLE_MS);

	for (;;) {
		look(w);
		if (!w->plan.n_errors && !w->plan.n_deeds && all_are_counted(w))
			return true;
		if (clock_left(end) == 0)
			return false;
		poll(NULL, 0, AGAIN_MS);
	}
}

static bool is_wanted(const struct semi *w)
{
	AUTO_STR struct str out = STR_INIT;

	if (w->yes || w->cmd->json)
		return true;
	semisync_text(w->topology, w->now, &w->plan, &out);
	add_deeds(w, &out);
	fputs(out.p, stdout);
	return cmd_agrees("Go on?");
}

static void note(const struct semi *w, bool ok)
{
	struct err e = { .kind = ERR_NONE };
	struct cmd_move_ask a = { w->socket, w->conf->name };

	if (!history_add(w->state_dir, w->conf->name, "semisync", cmd_who(), &e, "%s: %s",
	            w->enable ? "enable" : "repair", ok ? "it works" : "something is left to do"))
		log_warning("the history cannot be written: %s", e.text);
	cmd_move_tell(&a);
}

static int finish(struct semi *w, bool ok)
{
	AUTO_STR struct str out = STR_INIT;
	json_t *all;

	if (w->cmd->json) {
		all = semisync_json(w->topology, w->now, &w->plan);
		json_object_set(all, "done", w->done);
		return cmd_print_json(all) && ok ? CMD_OK : CMD_FAILED;
	}
	semisync_text(w->topology, w->now, &w->plan, &out);
	str_add(&out, ok ? "Semi-sync is OK.\n" : "Semi-sync is NOT OK.\n");
	return cmd_print(&out) && ok ? CMD_OK : CMD_FAILED;
}

static int act(struct semi *w)
{
	const struct cmd_move_ask a = { w->socket, w->conf->name };
	struct err e = { 0 };
	bool ok;

	if (!cmd_move_may_begin(&a, &e))
		return cmd_fail(w->cmd, CMD_REFUSED, &e);
	look(w);
	if (!has_master(w, &e))
		return cmd_fail(w->cmd, CMD_REFUSED, &e);
	if (!w->plan.used && !w->enable) {
		err_set(&e, ERR_PRECOND, 0, "semi-sync is not used in %s", w->conf->name);
		err_hint(&e, "mhactl semisync enable %s", w->conf->name);
		return cmd_fail(w->cmd, CMD_REFUSED, &e);
	}
	w->done = json_array();
	if (!w->plan.n_deeds)
		return finish(w, !w->plan.n_errors);
	if (!is_wanted(w))
		return CMD_FAILED;
	ok = do_all(w, &e);
	ok = settle(w) && ok;
	note(w, ok);
	return finish(w, ok);
}

static int change(struct cmd *c, int argc, char **argv, bool enable)
{
	struct semi w = { .cmd = c,
		.enable = enable,
		.state_dir = CMD_STATE_DIR,
		.yes = !isatty(STDIN_FILENO) };
	const struct opt opts[] = {
		{ "yes|y", OPT_FLAG, .to = &w.yes, .help = "do not ask" },
		{ "state_dir", OPT_STR, .to = &w.state_dir, .arg = "DIR",
		        .help = "where the history is kept (" CMD_STATE_DIR ")" },
		{ "socket", OPT_STR, .to = &w.socket, .arg = "PATH",
		        .help = "mhad's control socket" },
		CMD_OPTS_CLUSTER(c),
		CMD_OPT_JSON(c),
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	int code;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code) || !load(&w, LOG_LV_INFO, &code))
		return code;
	return act(&w);
}

int cmd_semisync_enable(struct cmd *c, int argc, char **argv)
{
	return change(c, argc, argv, true);
}

int cmd_semisync_repair(struct cmd *c, int argc, char **argv)
{
	return change(c, argc, argv, false);
}
