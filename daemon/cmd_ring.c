/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_ring - `mhactl ring close` and `ring open`: double masters.  Runs on: the main thread.
 */
#include "cmd_move.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "clock.h"
#include "history.h"
#include "log.h"
#include "move_ring.h"

enum { RING_MS = 60000 };

struct ring {
	struct cmd *cmd;
	struct conf *conf;
	const char *with, *socket, *state_dir;
	bool yes, close;
};

/* The only slave there is need not be named. */
static const struct topology_server *partner(
        const struct ring *w, const struct topology *t, struct err *e)
{
	const struct conf_server *c = w->with ? cmd_server_named(w->conf, w->with, 0) : NULL;
	const struct topology_server *found = c ? topology_find(t, c) : NULL;

	if (w->with && !found)
		err_set(e, ERR_CONFIG, 0, "%s is not among the servers of %s", w->with,
		        w->conf->path);
	for (size_t i = 0; !w->with && i < t->n_servers; i++) {
		if (t->servers[i].tier != 1)
			continue;
		if (found) {
			err_set(e, ERR_CONFIG, 0, "with which slave? --with=HOST");
			return NULL;
		}
		found = &t->servers[i];
	}
	if (!found && !w->with)
		err_set(e, ERR_PRECOND, 0, "the master has no slave");
	return found;
}

static bool is_wanted(const struct ring *w, const struct topology *t)
{
	AUTO(free)
	char *question = xasprintf("%s: the master %s %s. Go on?", w->conf->name,
	        t->master->snap->conf->hostinfo,
	        w->close ? "will follow one of its slaves" : "will follow nobody");

	return w->yes || cmd_agrees(question);
}

static int act(struct ring *w)
{
	const struct cmd_move_ask a = { w->socket, w->conf->name };
	struct err e = { 0 };
	AUTO(snapshot) struct snapshot *s = snapshot_take(w->conf, NULL);
	AUTO(topology) struct topology *t = topology_classify(s, NULL);
	const struct topology_server *co = w->close ? partner(w, t, &e) : NULL;
	bool ok;

	if (w->close && (!co || !move_ring_may(t, co, &e)))
		return cmd_fail(w->cmd, e.kind == ERR_CONFIG ? CMD_USAGE : CMD_REFUSED, &e);
	if (!cmd_move_may_begin(&a, &e))
		return cmd_fail(w->cmd, CMD_REFUSED, &e);
	if (t->master && !is_wanted(w, t))
		return CMD_FAILED;
	ok = w->close ? move_ring_close(t, co, clock_in(RING_MS), &e)
	              : move_ring_open(t, clock_in(RING_MS), &e);
	if (!ok)
		return cmd_fail(w->cmd, e.kind == ERR_PRECOND ? CMD_REFUSED : CMD_FAILED, &e);
	log_info("%s %s.", t->master->snap->conf->hostinfo,
	        w->close ? "and its slave follow each other" : "follows nobody");
	if (!history_add(w->state_dir, w->conf->name, "ring", cmd_who(), &e, "%s",
	            w->close ? "closed" : "opened"))
		log_warning("the history cannot be written: %s", e.text);
	cmd_move_tell(&a);
	return CMD_OK;
}

static int run(struct cmd *c, int argc, char **argv, bool close)
{
	struct ring w = { .cmd = c,
		.close = close,
		.state_dir = CMD_STATE_DIR,
		.yes = !isatty(STDIN_FILENO) };
	const struct opt opts[] = {
		{ "with", OPT_STR, .to = &w.with, .arg = "HOST",
		        .help = "the slave that the master shall follow" },
		{ "yes|y", OPT_FLAG, .to = &w.yes, .help = "do not ask" },
		{ "state_dir", OPT_STR, .to = &w.state_dir, .arg = "DIR",
		        .help = "where the history is kept (" CMD_STATE_DIR ")" },
		{ "socket", OPT_STR, .to = &w.socket, .arg = "PATH",
		        .help = "mhad's control socket" },
		CMD_OPTS_CLUSTER(c),
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	int code;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	log_set_level(c->debug ? LOG_LV_DEBUG : LOG_LV_INFO);
	w.conf = cmd_load(c, &code);
	return w.conf ? act(&w) : code;
}

int cmd_ring_close(struct cmd *c, int argc, char **argv)
{
	return run(c, argc, argv, true);
}

int cmd_ring_open(struct cmd *c, int argc, char **argv)
{
	return run(c, argc, argv, false);
}
