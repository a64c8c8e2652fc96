/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fleet_verbs - what may be asked of mhad over its control socket.  Runs on: loop.
 */
#include "fleet_impl.h"
#include "clock.h"
#include "history.h"
#include "link.h"
#include "log.h"
#include "loop.h"
#include "watch_self.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HISTORY_DEFAULT = 50, HISTORY_MOST = 1000 };

/* The named cluster, or NULL after a refusal. */
static struct fleet_cluster *need(struct control_call *call, const char *name)
{
	struct fleet *f = control_arg(call);
	struct fleet_cluster *c = fleet_find(f, name), *near = NULL;
	struct err e = { 0 };
	int best = 4;

	if (c)
		return c;
	vec_each (struct fleet_cluster *, o, &f->clusters) {
		int d = str_distance((*o)->name, name);

		if (d < best) {
			best = d;
			near = *o;
		}
	}
	err_set(&e, ERR_PRECOND, 0, "there is no cluster \"%s\"", name);
	if (near)
		err_hint(&e, "did you mean %s?", near->name);
	else
		err_hint(&e, "mhactl status lists them");
	control_refuse(call, &e);
	return NULL;
}

static struct watch *need_watch(struct control_call *call, const char *name)
{
	struct fleet_cluster *c = need(call, name);
	struct err e = { 0 };

	if (c && !c->watch) {
		err_set(&e, ERR_CONFIG, 0, "%s is not watched: %s", name, c->problem);
		control_refuse(call, &e);
		return NULL;
	}
	return c ? c->watch : NULL;
}

/* ---- reading ---- */

/* A cluster without a usable file, as far as the same members go. */
static json_t *broken_json(const struct fleet_cluster *c)
{
	json_t *j = json_object();

	json_object_set_new(j, "name", control_text(c->name));
	json_object_set_new(j, "state", json_string("config_error"));
	json_object_set_new(j, "verdict", json_string(verdict_name(VERDICT_UNKNOWN)));
	json_object_set_new(j, "sentence", control_text(c->problem));
	json_object_set_new(j, "would_fail_over", json_false());
	json_object_set_new(j, "gate", json_string("its file cannot be used"));
	json_object_set_new(j, "replicas", json_array());
	json_object_set_new(j, "conf", control_text(c->path));
	return j;
}

static json_t *cluster_json(const struct fleet_cluster *c)
{
	json_t *j = c->watch ? watch_status_json(c->watch) : broken_json(c);

	json_object_set_new(j, "config_error", c->problem ? control_text(c->problem) : json_null());
	json_object_set_new(j, "rehearsal", fleet_rehearsal_json(c));
	return j;
}

const char *fleet_tilt(const struct fleet *f)
{
	int64_t hold = 0;

	vec_each (struct fleet_cluster *, c, &f->clusters) {
		const struct conf_server *s = (*c)->conf ? (*c)->conf->servers[0] : NULL;

		if (s && s->tilt_hold > hold)
			hold = s->tilt_hold;
	}
	return watch_self_why(f->self, hold);
}

static json_t *counts_json(const struct fleet *f, enum watch_self_count what)
{
	const uint64_t *counts = watch_self_counts(f->self, what);
	json_t *a = json_array();

	for (size_t i = 0; i < WATCH_SELF_BINS; i++)
		json_array_append_new(a, json_integer((json_int_t)counts[i]));
	return a;
}

static json_t *bounds_json(void)
{
	json_t *a = json_array();

	for (size_t i = 0; i < WATCH_SELF_BINS - 1; i++)
		json_array_append_new(a, json_integer(watch_self_bounds_us[i]));
	return a;
}

/* What mhad measures of itself, counted since its start. */
static json_t *stats_json(const struct fleet *f)
{
	struct loop_stats l = loop_stats(f->loop);
	struct link_room_stats k = link_room_stats(f->env.links);

	return json_pack("{s:o, s:o, s:o, s:{s:I, s:I, s:I}, s:{s:i, s:i, s:i, s:i}}", "bounds_us",
	        bounds_json(), "looks_late", counts_json(f, WATCH_SELF_LATE), "round_trips",
	        counts_json(f, WATCH_SELF_TRIP), "loop", "turns", (json_int_t)l.turns, "slow_turns",
	        (json_int_t)l.slow_turns, "longest_us", (json_int_t)l.longest_us, "links", "most",
	        k.most, "hosts", k.hosts, "up", k.up, "waiting", k.waiting);
}

static void verb_status(struct control_call *call, const json_t *args)
{
	struct fleet *f = control_arg(call);
	const char *name = NULL, *tilt = fleet_tilt(f);
	json_t *all = json_array(), *j;
	struct err e = { 0 };
	struct fleet_cluster *one = NULL;

	if (!control_args(args, &e, "{s?s}", "cluster", &name)) {
		json_decref(all);
		control_refuse(call, &e);
		return;
	}
	if (name && !(one = need(call, name))) {
		json_decref(all);
		return;
	}
	vec_each (struct fleet_cluster *, c, &f->clusters) {
		if (!one || one == *c)
			json_array_append_new(all, cluster_json(*c));
	}
	j = json_object();
	json_object_set_new(j, "clusters", all);
	json_object_set_new(j, "tilt", tilt ? control_text(tilt) : json_null());
	json_object_set_new(j, "pid", json_integer(getpid()));
	json_object_set_new(j, "version", json_string(MHAD_VERSION));
	json_object_set_new(j, "stats", stats_json(f));
	json_object_set_new(j, "uptime_ms", json_integer(clock_ms() - f->born));
	control_answer(call, j);
}

static void verb_stats(struct control_call *call, const json_t *args)
{
	struct err e = { 0 };

	if (!control_args(args, &e, "{}"))
		control_refuse(call, &e);
	else
		control_answer(call, stats_json(control_arg(call)));
}

static void verb_why(struct control_call *call, const json_t *args)
{
	const char *name = NULL;
	struct err e = { 0 };
	struct watch *w;

	if (!control_args(args, &e, "{s:s}", "cluster", &name)) {
		control_refuse(call, &e);
		return;
	}
	w = need_watch(call, name);
	if (w)
		control_answer(call, watch_why_json(w, true));
}

static void verb_history(struct control_call *call, const json_t *args)
{
	struct fleet *f = control_arg(call);
	json_int_t limit = HISTORY_DEFAULT;
	const char *name = NULL;
	struct err e = { 0 };
	json_t *entries, *j;

	if (!control_args(args, &e, "{s:s, s?I}", "cluster", &name, "limit", &limit)) {
		control_refuse(call, &e);
		return;
	}
	if (!need(call, name))
		return;
	limit = limit < 1 ? 1 : limit > HISTORY_MOST ? HISTORY_MOST : limit;
	entries = history_read(f->opts.state_dir, name, (size_t)limit, &e);
	if (!entries) {
		control_refuse(call, &e);
		return;
	}
	j = json_object();
	json_object_set_new(j, "entries", entries);
	control_answer(call, j);
}

/* ---- acting ---- */

/* Who it was, to the process: a name alone may stand for many. */
static void log_asked(const struct control_call *call, const char *what, const char *cluster)
{
	log_info("%s%s%s was asked for by %s.", what, cluster ? " of " : "", cluster ? cluster : "",
	        control_peer(call)->who);
}

/* What is done to one cluster or, with "all", to each that is watched. */
struct order {
	const char *name, *reason;
	int all;
	int64_t for_ms;
	const char *by;
	size_t done;
};

static void order_pause(struct fleet_cluster *c, struct order *o)
{
	watch_pause(c->watch, o->for_ms, o->reason ? o->reason : "no reason given", o->by);
	o->done++;
}

static void order_resume(struct fleet_cluster *c, struct order *o)
{
	o->done += watch_resume(c->watch, o->by);
	fleet_stand_in(c);
}

static bool give(struct control_call *call, struct order *o,
        void (*fn)(struct fleet_cluster *, struct order *))
{
	struct fleet *f = control_arg(call);
	struct err e = { 0 };

	o->by = control_peer(call)->user;
	if (!o->all == !o->name) {
		err_set(&e, ERR_PRECOND, 0, "either \"cluster\" or \"all\"");
		control_refuse(call, &e);
		return false;
	}
	if (o->name && !need_watch(call, o->name))
		return false;
	vec_each (struct fleet_cluster *, c, &f->clusters) {
		if ((*c)->watch && (o->all || str_is((*c)->name, o->name)))
			fn(*c, o);
	}
	return true;
}

static void verb_pause(struct control_call *call, const json_t *args)
{
	struct order o = { 0 };
	json_int_t ms = 0;
	struct err e = { 0 };

	if (!control_args(args, &e, "{s?s, s?b, s?I, s?s}", "cluster", &o.name, "all", &o.all,
	            "for_ms", &ms, "reason", &o.reason)) {
		control_refuse(call, &e);
		return;
	}
	o.for_ms = ms > 0 ? ms : CLOCK_NEVER;
	log_asked(call, "A pause", o.all ? "all clusters" : o.name);
	if (give(call, &o, order_pause))
		control_answer(call, json_pack("{s:I}", "paused", (json_int_t)o.done));
}

static void verb_resume(struct control_call *call, const json_t *args)
{
	struct order o = { 0 };
	struct err e = { 0 };

	if (!control_args(args, &e, "{s?s, s?b, s?s}", "cluster", &o.name, "all", &o.all, "reason",
	            &o.reason)) {
		control_refuse(call, &e);
		return;
	}
	log_asked(call, "The end of the pause", o.all ? "all clusters" : o.name);
	if (give(call, &o, order_resume))
		control_answer(call, json_pack("{s:I, s:s}", "resumed", (json_int_t)o.done, "text",
		                             o.done ? "Resumed." : "Nothing was paused."));
}

static void verb_ack(struct control_call *call, const json_t *args)
{
	const char *name = NULL, *reason = NULL;
	bool lifted = false;
	struct err e = { 0 };
	struct watch *w;

	if (!control_args(args, &e, "{s:s, s?s}", "cluster", &name, "reason", &reason)) {
		control_refuse(call, &e);
		return;
	}
	w = need_watch(call, name);
	if (!w)
		return;
	log_asked(call, "Lifting the block", name);
	if (!watch_ack(w, reason, control_peer(call)->user, &lifted, &e)) {
		control_refuse(call, &e);
		return;
	}
	control_answer(
	        call, json_pack("{s:b, s:s}", "lifted", lifted, "text",
	                      lifted ? "Lifted: an earlier failover no longer blocks the next."
	                             : "There was nothing to lift."));
}

/* A command has failed over: the old master is gone for the time being, and is to be met if it comes back. */
static bool adopt(struct fleet_cluster *c, const char *id, const char *by)
{
	const struct conf *conf = watch_conf(c->watch);

	for (size_t i = 0; i < conf->n_servers; i++) {
		if (!str_is(conf->servers[i]->id, id))
			continue;
		watch_adopt(c->watch, conf->servers[i], by);
		act_guard(c->act);
		return true;
	}
	return false;
}

/* Somebody has changed the tree; `master`: the id of the server that is the master now. */
static void verb_look(struct control_call *call, const json_t *args)
{
	const char *name = NULL, *master = NULL;
	struct fleet_cluster *c;
	struct err e = { 0 };

	if (!control_args(args, &e, "{s:s, s?s}", "cluster", &name, "master", &master)) {
		control_refuse(call, &e);
		return;
	}
	if (!need_watch(call, name))
		return;
	c = need(call, name);
	if (master && !adopt(c, master, control_peer(call)->user)) {
		err_set(&e, ERR_PRECOND, 0, "%s has no server \"%.80s\"", name, master);
		control_refuse(call, &e);
		return;
	}
	watch_look(c->watch);
	control_answer(call, json_object());
}

/* The peer may be gone by then: the answer is dropped. */
static void loaded(void *arg, const struct fleet_loaded *r)
{
	json_t *j = json_object();

	json_object_set_new(j, "clusters", json_integer((json_int_t)r->clusters));
	json_object_set(j, "changed", r->changed);
	json_object_set(j, "problems", r->problems);
	control_answer(arg, j);
}

static void verb_reload(struct control_call *call, const json_t *args)
{
	struct err e = { 0 };

	if (!control_args(args, &e, "{}")) {
		control_refuse(call, &e);
		return;
	}
	log_asked(call, "Reading the configuration", NULL);
	fleet_load(control_arg(call), loaded, call);
}

const struct control_verb *fleet_verbs(void)
{
	static const struct control_verb verbs[] = {
		{ "status", CONTROL_READ, verb_status },
		{ "stats", CONTROL_READ, verb_stats },
		{ "why", CONTROL_READ, verb_why },
		{ "history", CONTROL_READ, verb_history },
		{ "pause", CONTROL_ADMIN, verb_pause },
		{ "resume", CONTROL_ADMIN, verb_resume },
		{ "ack", CONTROL_ADMIN, verb_ack },
		{ "look", CONTROL_ADMIN, verb_look },
		{ "reload", CONTROL_ADMIN, verb_reload },
		{ "rehearse", CONTROL_ADMIN, fleet_verb_rehearse },
		{ "attach", CONTROL_ADMIN, fleet_verb_attach },
		{ NULL, CONTROL_NONE, NULL },
	};

	return verbs;
}
