/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_move - `mhactl move`, `mhactl flatten`, and their plans.  Runs on: loop.
 */
#include "cmd_move.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "ask.h"
#include "clock.h"
#include "flatten.h"
#include "history.h"
#include "job.h"
#include "log.h"
#include "loop.h"
#include "move.h"

enum { WORKERS = 16, ASK_MS = 2000 };

/* ---- the mhad that runs ---- */

/* Verdicts come and go; what it does about them takes a while, and wants the slaves as they are. */
bool cmd_move_may_begin(const struct cmd_move_ask *a, struct err *e)
{
	static const char *const busy[] = { "confirming", "dead", "failing_over" };
	int64_t deadline = clock_in(ASK_MS);
	AUTO(ask) struct ask *to = ask_open(ask_path(a->socket), deadline, NULL);
	json_t *all = to ? ask_call(to, "status", json_pack("{s:s}", "cluster", a->cluster),
	                           deadline, NULL)
	                 : NULL;
	const char *state = json_string_value(
	        json_object_get(json_array_get(json_object_get(all, "clusters"), 0), "state"));
	bool ok = true;

	for (size_t i = 0; ok && state && i < ARRAY_LEN(busy); i++)
		if (str_is(state, busy[i])) {
			err_set(e, ERR_PRECOND, 0, "mhad is about to act on %s: %s", a->cluster,
			        state);
			err_hint(e, "mhactl why %s", a->cluster);
			ok = false;
		}
	json_decref(all);
	return ok;
}

void cmd_move_tell(const struct cmd_move_ask *a)
{
	int64_t deadline = clock_in(ASK_MS);
	AUTO(ask) struct ask *to = ask_open(ask_path(a->socket), deadline, NULL);

	if (to)
		json_decref(ask_call(
		        to, "look", json_pack("{s:s}", "cluster", a->cluster), deadline, NULL));
}

/* ---- one command ---- */

struct mover {
	struct cmd *cmd;
	struct conf *conf;
	const char *below, *socket, *state_dir, *slave;
	int64_t max_wait; /* seconds */
	bool yes, force, all, dry;

	struct loop *loop;
	struct job_pool *jobs;
	struct snapshot *snapshot;
	struct topology *topology;
	struct flatten_hop *hops;
	size_t n;
	char **refusals; /* of each hop; NULL none */
	bool refused;    /* one that --force does not overrule */

	struct move *now;
	struct move_report report;
	json_t *done;
	int code;
};

static struct cmd_move_ask asker(const struct mover *w)
{
	return (struct cmd_move_ask){ w->socket, w->conf->name };
}

static void on_signal(void *arg, int signo)
{
	struct mover *w = arg;

	(void)signo;
	if (w->now)
		move_cancel(w->now, "ended by a signal");
	else
		loop_stop(w->loop);
}

static void begin(struct mover *w)
{
	w->loop = loop_new();
	w->jobs = job_pool_new(w->loop, WORKERS);
	w->done = json_array();
	cmd_on_end(w->loop, on_signal, w);
}

/* ---- which way ---- */

/* By host name, by address, by its block's name, with or without a port. */
static bool is_named(const struct conf_server *s, const char *name)
{
	const char *colon = strrchr(name, ':');
	AUTO(free)
	char *host = xstrndup(name, colon ? (size_t)(colon - name) : strlen(name));

	if (str_is(s->id, name) || !strcasecmp(s->hostname, name) || str_is(s->ip, name))
		return true;
	return colon && s->port == atoi(colon + 1) &&
	       (!strcasecmp(s->hostname, host) || str_is(s->ip, host));
}

static const struct topology_server *server_named(
        const struct mover *w, const char *name, struct err *e)
{
	const struct topology_server *found = NULL;

	for (size_t i = 0; i < w->topology->n_servers; i++) {
		const struct topology_server *v = &w->topology->servers[i];

		if (!is_named(v->snap->conf, name))
			continue;
		if (found) {
			err_set(e, ERR_CONFIG, 0, "%s is more than one server: say %s:PORT", name,
			        name);
			return NULL;
		}
		found = v;
	}
	if (!found)
		err_set(e, ERR_CONFIG, 0, "%s is not among the servers of %s", name, w->conf->path);
	return found;
}

static bool find_way(struct mover *w, struct err *e)
{
	const struct topology_server *child, *to;

	topology_free(w->topology);
	snapshot_free(w->snapshot);
	w->snapshot = snapshot_take(w->conf, NULL);
	w->topology = topology_classify(w->snapshot, NULL);
	if (w->all)
		return flatten_all(w->topology, &w->hops, &w->n, e);
	child = server_named(w, w->slave, e);
	to = child ? server_named(w, w->below, e) : NULL;
	return to && flatten_route(w->topology, child, to, &w->hops, &w->n, e);
}

/* All of it is judged before the first one: half a flattened cascade is nobody's wish. */
static void judge(struct mover *w)
{
	w->refusals = xzalloc(sizeof(*w->refusals) * (w->n + 1));
	for (size_t i = 0; i < w->n; i++) {
		struct err why = { .kind = ERR_NONE };
		bool force = false;

		if (flatten_may(&w->hops[i], w->max_wait * 1000, &force, &why))
			continue;
		w->refusals[i] =
		        xasprintf("%s%s%s", why.text, why.hint[0] ? "  Hint: " : "", why.hint);
		w->refused = w->refused || !force || !w->force;
	}
}

static json_t *hop_json(const struct mover *w, size_t i)
{
	const struct flatten_hop *h = &w->hops[i];

	return json_pack("{s:s, s:s, s:s, s:s, s:s*}", "child", h->child->snap->conf->hostinfo,
	        "from", h->from->snap->conf->hostinfo, "to", h->to->snap->conf->hostinfo, "how",
	        flatten_kind_name(h->kind), "refused", w->refusals[i]);
}

static void add_hops(const struct mover *w, struct str *out)
{
	if (!w->n)
		str_add(out, "Nothing is to be moved.\n");
	for (size_t i = 0; i < w->n; i++) {
		AUTO(free) char *text = flatten_text(&w->hops[i]);

		str_addf(out, "%zu. %s\n", i + 1, text);
		if (w->refusals[i])
			str_addf(out, "   [%s] %s\n", w->refused ? "refused" : "forced",
			        w->refusals[i]);
	}
}

static bool print_plan(const struct mover *w)
{
	AUTO_STR struct str out = STR_INIT;
	json_t *moves;

	if (!w->cmd->json) {
		add_hops(w, &out);
		return cmd_print(&out);
	}
	moves = json_array();
	for (size_t i = 0; i < w->n; i++)
		json_array_append_new(moves, hop_json(w, i));
	return cmd_print_json(
	        json_pack("{s:b, s:o}", "would_be_refused", w->refused, "moves", moves));
}

/* ---- moving ---- */

static void on_done(void *arg, struct move *m, const struct move_report *r)
{
	struct mover *w = arg;

	(void)m;
	w->report = *r;
	loop_stop(w->loop);
}

static void tell_result(struct mover *w)
{
	const struct move_report *r = &w->report;
	struct cmd_move_ask a = asker(w);
	struct err ignored = { .kind = ERR_NONE };
	AUTO_STR struct str s = STR_INIT;

	if (r->moved)
		str_addf(&s, "%s follows %s now%s%s; it followed %s", r->child->hostinfo,
		        r->to->hostinfo, r->place[0] ? ", from " : "", r->place, r->from->hostinfo);
	else
		str_addf(&s, "%s was not moved from %s to %s (%s)%s%s", r->child->hostinfo,
		        r->from->hostinfo, r->to->hostinfo, run_result_name(r->result),
		        r->error ? ": " : "", r->error ? r->error->text : "");
	log_at(r->moved ? LOG_LV_INFO : LOG_LV_ERROR, "%s.", s.p);
	if (r->moved)
		log_info("It took %lld ms; what had to stand still did so for %lld ms.",
		        (long long)r->took_ms, (long long)r->stood_ms);
	if (r->result != RUN_REFUSED && !history_add(w->state_dir, w->conf->name, "move",
	                                        cmd_who(), &ignored, "%s", s.p))
		log_warning("the history cannot be written: %s", ignored.text);
	cmd_move_tell(&a);
	json_array_append_new(w->done, move_json(w->now));
}

static int code_of(enum run_result r)
{
	return r == RUN_SUCCESS   ? CMD_OK
	       : r == RUN_PARTIAL ? CMD_PARTIAL
	       : r == RUN_REFUSED ? CMD_REFUSED
	                          : CMD_FAILED;
}

static bool move_one(struct mover *w, const struct conf_server *child,
        const struct conf_server *from, const struct conf_server *to, enum flatten_kind kind)
{
	const struct move_env env = { w->loop, w->jobs, w->state_dir };
	const struct move_opts o = { child, from, to, kind, w->max_wait * 1000, w->force };
	struct err e = { 0 };
	int code;

	w->now = move_start(&env, w->conf, &o, on_done, w, &e);
	if (!w->now) {
		w->code = cmd_fail(w->cmd, CMD_REFUSED, &e);
		return false;
	}
	loop_run(w->loop);
	tell_result(w);
	code = code_of(w->report.result);
	move_free(TAKE(w->now));
	if (w->code == CMD_OK || (code != CMD_OK && code != CMD_PARTIAL))
		w->code = code;
	return code == CMD_OK || code == CMD_PARTIAL;
}

/* What was killed comes first: what it has left in the middle is no tree to plan on.  One that could not be
 * finished and was undone is no reason not to begin anew. */
static bool finish_unfinished(struct mover *w)
{
	const struct conf_server *any = w->conf->servers[0];

	if (!move_is_unfinished(w->state_dir, w->conf->name))
		return true;
	log_warning(
	        "A move of %s was begun and not finished: it is taken up first.", w->conf->name);
	if (move_one(w, any, any, any, FLATTEN_UP))
		return true;
	if (w->report.result != RUN_UNDONE)
		return false;
	w->code = CMD_OK;
	return true;
}

static bool prepare(struct mover *w)
{
	struct cmd_move_ask a = asker(w);
	struct err e = { 0 };

	if (!cmd_move_may_begin(&a, &e)) {
		w->code = cmd_fail(w->cmd, CMD_REFUSED, &e);
		return false;
	}
	if (!finish_unfinished(w))
		return false;
	if (!find_way(w, &e)) {
		w->code = cmd_fail(w->cmd, e.kind == ERR_CONFIG ? CMD_USAGE : CMD_REFUSED, &e);
		return false;
	}
	judge(w);
	return true;
}

static void print_done(struct mover *w)
{
	if (w->cmd->json && !cmd_print_json(json_pack(
	                            "{s:b, s:O}", "ok", w->code == CMD_OK, "moves", w->done)))
		w->code = CMD_FAILED;
}

static bool is_wanted(struct mover *w)
{
	AUTO_STR struct str out = STR_INIT;

	add_hops(w, &out);
	if (w->refused) {
		fputs(out.p, stderr);
		w->code = CMD_REFUSED;
		return false;
	}
	if (!w->n) {
		if (!w->cmd->json)
			fputs(out.p, stdout);
		return true;
	}
	if (w->yes || w->cmd->json)
		return true;
	fputs(out.p, stdout);
	if (cmd_agrees("Go on?"))
		return true;
	w->code = CMD_FAILED;
	return false;
}

static int carry_out(struct mover *w)
{
	if (!prepare(w) || !is_wanted(w)) {
		print_done(w);
		return w->code;
	}
	for (size_t i = 0; i < w->n; i++)
		if (!move_one(w, w->hops[i].child->snap->conf, w->hops[i].from->snap->conf,
		            w->hops[i].to->snap->conf, w->hops[i].kind))
			break;
	print_done(w);
	return w->code;
}

static int show(struct mover *w)
{
	struct err e = { 0 };

	if (!find_way(w, &e))
		return cmd_fail(w->cmd, e.kind == ERR_CONFIG ? CMD_USAGE : CMD_REFUSED, &e);
	judge(w);
	if (!print_plan(w))
		return CMD_FAILED;
	return w->refused ? CMD_REFUSED : CMD_OK;
}

static int run(struct mover *w)
{
	int code;

	log_set_level(w->cmd->debug ? LOG_LV_DEBUG : w->dry ? LOG_LV_ERROR : LOG_LV_INFO);
	w->conf = cmd_load(w->cmd, &code);
	if (!w->conf)
		return code;
	begin(w);
	return w->dry ? show(w) : carry_out(w);
}

/* ---- the command lines ---- */

#define MOVE_OPTS(w)                                                                               \
	{ "max_wait", OPT_INT, .to = &(w).max_wait, .arg = "SECONDS", .min = 1, .max = 86400,      \
		.help = "so long one server may stand still (60)" },                               \
	{                                                                                          \
		"force", OPT_FLAG,                                                                 \
		        .to = &(w).force,                                                          \
		        .help = "overrule refusals that a person may overrule; each says so"       \
	}
#define MOVE_ACT_OPTS(w)                                                                           \
	{ "yes|y", OPT_FLAG, .to = &(w).yes, .help = "do not ask" },                               \
	        { "state_dir", OPT_STR, .to = &(w).state_dir, .arg = "DIR",                        \
		        .help = "where the journal is kept (" CMD_STATE_DIR ")" },            \
	{                                                                                          \
		"socket", OPT_STR, .to = &(w).socket, .arg = "PATH",                               \
		                   .help = "mhad's control socket"                                 \
	}
#define MOVE_BELOW_OPT(w)                                                                          \
	{                                                                                          \
		"below", OPT_STR, .to = &(w).below, .arg = "HOST",                                 \
		                  .help = "the server that it shall follow"                        \
	}

static struct mover new_mover(struct cmd *c)
{
	return (struct mover){ .cmd = c,
		.state_dir = CMD_STATE_DIR,
		.max_wait = 60,
		.yes = !isatty(STDIN_FILENO) };
}

/* SLAVE, and the cluster unless --conf has named it. */
static bool take_words(struct mover *w, int words, char **argv, int *ret_exit)
{
	struct err e = { 0 };

	if (words >= 1)
		w->slave = argv[1];
	if (words == 2 && !w->cmd->conf_path)
		w->cmd->conf_path = argv[2];
	else if (words != 1)
		err_set(&e, ERR_CONFIG, 0, "which slave of which cluster?");
	if (e.kind == ERR_NONE && !w->below)
		err_set(&e, ERR_CONFIG, 0, "--below=HOST must say whom it shall follow");
	if (e.kind == ERR_NONE)
		return true;
	err_hint(&e, "mhactl %s SLAVE --below=MASTER CLUSTER", w->cmd->verb->name);
	*ret_exit = cmd_fail(w->cmd, CMD_USAGE, &e);
	return false;
}

int cmd_move(struct cmd *c, int argc, char **argv)
{
	struct mover w = new_mover(c);
	const struct opt opts[] = {
		MOVE_BELOW_OPT(w),
		MOVE_OPTS(w),
		MOVE_ACT_OPTS(w),
		CMD_OPTS_CLUSTER(c),
		CMD_OPT_JSON(c),
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	int words, code;

	if (!cmd_parse(c, opts, argc, argv, &words, &code) || !take_words(&w, words, argv, &code))
		return code;
	return run(&w);
}

int cmd_plan_move(struct cmd *c, int argc, char **argv)
{
	struct mover w = new_mover(c);
	const struct opt opts[] = {
		MOVE_BELOW_OPT(w),
		MOVE_OPTS(w),
		CMD_OPTS_CLUSTER(c),
		CMD_OPT_JSON(c),
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	int words, code;

	if (!cmd_parse(c, opts, argc, argv, &words, &code) || !take_words(&w, words, argv, &code))
		return code;
	w.dry = true;
	return run(&w);
}

int cmd_flatten(struct cmd *c, int argc, char **argv)
{
	struct mover w = new_mover(c);
	const struct opt opts[] = {
		MOVE_OPTS(w),
		MOVE_ACT_OPTS(w),
		CMD_OPTS_CLUSTER(c),
		CMD_OPT_JSON(c),
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	int code;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	w.all = true;
	return run(&w);
}

int cmd_plan_flatten(struct cmd *c, int argc, char **argv)
{
	struct mover w = new_mover(c);
	const struct opt opts[] = {
		MOVE_OPTS(w),
		CMD_OPTS_CLUSTER(c),
		CMD_OPT_JSON(c),
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	int code;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	w.all = w.dry = true;
	return run(&w);
}
