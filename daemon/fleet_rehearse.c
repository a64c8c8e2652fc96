/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fleet_rehearse - when each cluster's failover is rehearsed, and what is made of the result.  Runs on: loop.
 *
 * Each cluster has a moment of its own in the hour that follows rehearse_at, so that a thousand do not begin at
 * once; a cluster that cannot be rehearsed then (it is not well, somebody acts) is tried again for a while, and so
 * is one whose moment passed while mhad was not there.  The moment is one of the wall clock, since it is chosen
 * for people; nothing else depends on it.
 */
#include "fleet_impl.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "clock.h"
#include "glance.h"
#include "history.h"
#include "hook.h"
#include "job.h"
#include "log.h"
#include "notify.h"
#include "rehearse.h"

enum {
	MOST = 2, /* at once, people's orders apart */
	SPREAD_S = 3600,
	SPREAD_FROM = 8,   /* fewer clusters are in nobody's way */
	LATE_S = 2 * 3600, /* so long after its moment one is still made up for */
	AGAIN_S = 300,
	EACH_S = 5, /* between two looks at the clock */
	FILES_MS = 10000,
	MOST_PROBLEMS = 20,
};

/* ---- may it be? ---- */

/* NULL: it may.  A change that a command makes shows as a pause. */
static const char *why_not(const struct fleet_cluster *c)
{
	const char *tilt = fleet_tilt(c->fleet);

	if (!c->watch)
		return "it is not watched";
	if (act_is_running(c->act))
		return "a failover runs";
	if (watch_is_paused(c->watch))
		return "it is paused, or somebody changes it";
	if (watch_state(c->watch) != WATCH_MONITORING || !watch_master(c->watch))
		return "it is not monitored just now";
	if (watch_verdict(c->watch)->code != VERDICT_HEALTHY)
		return "its master is not healthy";
	return tilt ? "this host was ill a moment ago" : NULL;
}

static void skip(struct fleet_cluster *c, const char *why)
{
	struct fleet_rehearsal *x = &c->rehearsal;

	if (!str_is(x->skipped, why))
		log_notice("%s: the failover was not rehearsed: %s", c->name, why);
	free(x->skipped);
	x->skipped = xstrdup(why);
	x->skipped_at = time(NULL);
}

/* ---- the result ---- */

struct keeping {
	char *state_dir, *cluster;
	json_t *result;
};

static void keeping_free(void *arg)
{
	struct keeping *k = arg;

	free(k->state_dir);
	free(k->cluster);
	json_decref(k->result);
	free(k);
}

static bool keep(struct job *j, void *arg, struct err *e)
{
	struct keeping *k = arg;

	(void)j;
	return rehearse_keep(k->state_dir, k->cluster, k->result, e);
}

static void kept(struct job *j, void *arg, const struct err *e)
{
	(void)j;
	(void)arg;
	if (e)
		log_err(LOG_LV_WARNING, e);
}

/* The job has a copy: reference counts belong to one thread. */
static void keep_result(const struct fleet_cluster *c, const json_t *result)
{
	struct keeping *k;

	if (!c->fleet->opts.state_dir)
		return;
	k = xzalloc(sizeof(*k));
	*k = (struct keeping){ xstrdup(c->fleet->opts.state_dir), xstrdup(c->name),
		json_deep_copy(result) };
	job_start(c->fleet->jobs,
	        job_new("keep rehearsal", clock_in(FILES_MS), keep, kept, keeping_free, k));
}

static char *list_of(const json_t *texts, const char *between)
{
	struct str s = STR_INIT;
	const json_t *one;
	size_t i;

	json_array_foreach (texts, i, one)
		str_addf(&s, "%s%s", i ? between : "", json_string_value(one));
	return str_take(&s);
}

static void report(const struct fleet_cluster *c, const json_t *result)
{
	const struct conf_server *m = watch_master(c->watch);
	AUTO_STR struct str body = STR_INIT;
	AUTO(free) char *subject = xasprintf("%s: the rehearsal of a failover is worse", c->name);

	if (!m || m->report_on != CONF_REPORT_ALL)
		return;
	rehearse_text(&body, result);
	notify_put(c->fleet->notify, c->name, m, hook_report(m, c->conf->path, subject, body.p));
}

static void tell(const struct fleet_cluster *c, const json_t *result)
{
	AUTO(free) char *worse = list_of(json_object_get(result, "worse"), "; ");
	AUTO(free) char *better = list_of(json_object_get(result, "better"), "; ");
	AUTO_STR struct str line = STR_INIT;
	const char *dir = c->fleet->opts.state_dir;

	rehearse_line(&line, result);
	if (*worse) {
		log_event(LOG_EV_REHEARSAL_WORSE, NULL, "rehearsal: %s: %s", line.p, worse);
		history_add(
		        dir, c->name, "rehearsal", "mhad", NULL, "worse: %s (%s)", worse, line.p);
		report(c, result);
	} else {
		log_info("rehearsal: %s", line.p);
	}
	if (*better)
		history_add(dir, c->name, "rehearsal", "mhad", NULL, "better: %s", better);
}

static void answer_all(struct fleet_rehearsal *x, const json_t *result)
{
	struct err e = { 0 };

	err_set(&e, ERR_CANCELED, 0,
	        "the rehearsal was broken off: the cluster is not well, or changed");
	vec_each (struct control_call *, call, &x->waiting) {
		if (result)
			control_answer(*call, json_deep_copy(result));
		else
			control_refuse(*call, &e);
	}
	x->waiting.len = 0;
}

static void rehearsed(void *arg, json_t *result)
{
	struct fleet_cluster *c = arg;
	struct fleet_rehearsal *x = &c->rehearsal;
	struct log_ctx old = log_set_ctx((struct log_ctx){ .cluster = c->name });

	x->run = NULL;
	x->ordered = false;
	if (why_not(c)) /* it fell ill meanwhile: what was seen is neither the one nor the other */
		result = NULL;
	if (result) {
		json_decref(x->last);
		x->last = json_incref(result);
		free(TAKE(x->skipped));
		keep_result(c, result);
		tell(c, result);
	} else {
		skip(c, "it was broken off: the cluster is not well any more, or changed");
	}
	answer_all(x, result);
	log_set_ctx(old);
}

static void begin(struct fleet_cluster *c, const char *by)
{
	const struct fleet *f = c->fleet;
	const struct rehearse_env env = { f->loop, f->jobs, f->env.links };
	struct fleet_rehearsal *x = &c->rehearsal;

	x->tried_at = time(NULL);
	x->run = rehearse_start(&env, c->conf,
	        &(struct rehearse_opts){ .master = watch_master(c->watch),
	                .absent = watch_absent(c->watch),
	                .by = by,
	                .semisync = watch_was_acked(c->watch),
	                .before = x->last },
	        rehearsed, c);
}

/* ---- when ---- */

static uint32_t hash(const char *p)
{
	uint32_t h = 2166136261u;

	for (; *p; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	return h;
}

/* Its last moment that has passed; 0: it has none. */
static time_t last_moment(const struct fleet_cluster *c, time_t now)
{
	int minutes, later;
	struct tm tm;
	time_t at;

	if (!c->conf || !conf_time_of_day(c->conf->servers[0]->rehearse_at, &minutes) ||
	        minutes < 0)
		return 0;
	later = c->fleet->clusters.len > SPREAD_FROM ? (int)(hash(c->name) % SPREAD_S) : 0;
	localtime_r(&now, &tm);
	tm.tm_hour = minutes / 60;
	tm.tm_min = minutes % 60;
	tm.tm_sec = later;
	tm.tm_isdst = -1;
	at = mktime(&tm);
	if (at > now) {
		localtime_r(&now, &tm);
		tm.tm_mday--;
		tm.tm_hour = minutes / 60;
		tm.tm_min = minutes % 60;
		tm.tm_sec = later;
		tm.tm_isdst = -1;
		at = mktime(&tm);
	}
	return at;
}

/* A moment before the first rehearsal ever, and before mhad began, was none. */
static bool is_due(const struct fleet_cluster *c, time_t now)
{
	const struct fleet_rehearsal *x = &c->rehearsal;
	time_t at = last_moment(c, now),
	       last = (time_t)json_integer_value(json_object_get(x->last, "at")),
	       born = now - (time_t)((clock_ms() - c->fleet->born) / 1000);

	if (!at || now - at > LATE_S || last >= at || now - x->tried_at < AGAIN_S)
		return false;
	return last || at >= born;
}

static size_t count_running(const struct fleet *f)
{
	size_t n = 0;

	vec_each (struct fleet_cluster *, c, &f->clusters)
		n += (*c)->rehearsal.run && !(*c)->rehearsal.ordered;
	return n;
}

static void look_at(struct fleet_cluster *c, time_t now, size_t *running)
{
	const char *no;

	if (*running >= MOST || !is_due(c, now))
		return;
	no = why_not(c);
	if (no) {
		c->rehearsal.tried_at = now;
		skip(c, no);
		return;
	}
	begin(c, "mhad");
	++*running;
}

void fleet_rehearse_tick(struct fleet *f)
{
	time_t now = time(NULL);
	bool look = now < f->rehearse_looked || now - f->rehearse_looked >= EACH_S;
	size_t running = look ? count_running(f) : 0;

	if (look)
		f->rehearse_looked = now;
	vec_each (struct fleet_cluster *, c, &f->clusters) {
		if ((*c)->rehearsal.run) {
			if (why_not(*c))
				rehearse_cancel((*c)->rehearsal.run);
		} else if (look) {
			look_at(*c, now, &running);
		}
	}
}

/* ---- a cluster's life ---- */

void fleet_rehearse_begin(struct fleet_cluster *c)
{
	struct fleet_rehearsal *x = &c->rehearsal;

	if (!x->last && c->fleet->opts.state_dir)
		x->last = rehearse_load(c->fleet->opts.state_dir, c->name);
}

bool fleet_rehearse_stop(struct fleet_cluster *c)
{
	struct fleet_rehearsal *x = &c->rehearsal;
	bool ran = x->run;

	rehearse_forget(TAKE(x->run));
	answer_all(x, NULL);
	return ran;
}

void fleet_rehearse_free(struct fleet_cluster *c)
{
	struct fleet_rehearsal *x = &c->rehearsal;

	vec_done(&x->waiting);
	json_decref(x->last);
	free(x->skipped);
}

/* ---- what is told ---- */

/* A thousand of them go into one answer: the texts of the problems, and not too many. */
static json_t *brief(const json_t *last)
{
	static const char *const kept[] = { "at", "by", "result", "new_master", "expected_ms",
		"lost", "worse", "better" };
	const json_t *all = json_object_get(last, "problems");
	json_t *j = json_object(), *texts = json_array();
	AUTO_STR struct str line = STR_INIT;

	if (!last) {
		json_decref(texts);
		return j;
	}
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		json_object_set(j, kept[i], json_object_get(last, kept[i]));
	for (size_t i = 0; i < json_array_size(all) && i < MOST_PROBLEMS; i++)
		json_array_append(texts, json_object_get(json_array_get(all, i), "text"));
	rehearse_line(&line, last);
	json_object_set_new(j, "text", control_text(line.p));
	json_object_set_new(j, "problems", texts);
	return j;
}

json_t *fleet_rehearsal_json(const struct fleet_cluster *c)
{
	const struct fleet_rehearsal *x = &c->rehearsal;
	json_t *j = brief(x->last);

	json_object_set_new(j, "running", json_boolean(x->run));
	json_object_set_new(j, "skipped",
	        x->skipped ? json_pack("{s:I, s:s}", "at", (json_int_t)x->skipped_at, "why",
	                             x->skipped)
	                   : json_null());
	return j;
}

static const char *text_of(const json_t *j, const char *name, struct arena *a)
{
	return arena_strdup(a, json_string_value(json_object_get(j, name)));
}

void fleet_rehearsal_glance(
        const struct fleet_cluster *c, struct arena *a, struct glance_rehearsal *ret)
{
	const struct fleet_rehearsal *x = &c->rehearsal;
	const json_t *all = json_object_get(x->last, "problems"), *one;
	AUTO(free) char *worse = list_of(json_object_get(x->last, "worse"), "; ");
	AUTO_STR struct str line = STR_INIT;
	const char **problems;
	size_t i;

	ret->skipped = arena_strdup(a, x->skipped);
	if (!x->last)
		return;
	rehearse_line(&line, x->last);
	ret->result = text_of(x->last, "result", a);
	ret->text = arena_strdup(a, line.p);
	ret->worse = *worse ? arena_strdup(a, worse) : NULL;
	ret->at = json_integer_value(json_object_get(x->last, "at"));
	ret->expected_ms = json_integer_value(json_object_get(x->last, "expected_ms"));
	problems = ARENA_ARRAY(a, const char *, json_array_size(all) + 1);
	json_array_foreach (all, i, one)
		problems[ret->n_problems++] = text_of(one, "text", a);
	ret->problems = problems;
}

void fleet_verb_rehearse(struct control_call *call, const json_t *args)
{
	struct fleet *f = control_arg(call);
	const char *name = NULL, *no;
	struct fleet_cluster *c;
	struct err e = { 0 };

	if (!control_args(args, &e, "{s:s}", "cluster", &name)) {
		control_refuse(call, &e);
		return;
	}
	c = fleet_find(f, name);
	no = c ? why_not(c) : "there is no such cluster";
	if (no) {
		err_set(&e, ERR_PRECOND, 0, "%s is not rehearsed: %s", name, no);
		err_hint(&e, c ? "mhactl why %s tells more" : "mhactl status lists them, not %s",
		        name);
		control_refuse(call, &e);
		return;
	}
	vec_push(&c->rehearsal.waiting, call);
	if (c->rehearsal.run)
		return;
	log_info("A rehearsal of %s was asked for by %s.", name, control_peer(call)->who);
	c->rehearsal.ordered = true;
	begin(c, control_peer(call)->user);
}
