/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fleet - clusters, their watches and stand-ins, and this host's own health.  Owned by main; runs on: loop.
 */
#include "fleet_impl.h"
#include "clock.h"
#include "log.h"
#include "loop.h"
#include "notify.h"
#include "watch_self.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TICK_MS = 1000,
	OLD_MS = 15 * 60000, /* no worker lives longer */
	SILENCE_MS = 2500,   /* clusters that fall silent within this have one cause */
	SILENT_LEAST = 3,
	ENDED_MS = 500, /* a stand-in that ends with all of mhad is no order of a person */
};

struct fleet_cluster *fleet_find(const struct fleet *f, const char *name)
{
	vec_each (struct fleet_cluster *, c, &f->clusters) {
		if (str_is((*c)->name, name))
			return *c;
	}
	return NULL;
}

static void changed(void *arg, struct watch *w)
{
	struct fleet *f = arg;

	(void)w;
	if (f->opts.changed)
		f->opts.changed(f->opts.arg);
}

static struct fleet_cluster *cluster_of(const struct fleet *f, const struct watch *w)
{
	vec_each (struct fleet_cluster *, c, &f->clusters) {
		if ((*c)->watch == w)
			return *c;
	}
	return NULL;
}

/* As MHA, each cluster has its own log file, if its own file says so. */
static void said(void *arg, struct watch *w, enum log_level level, const char *text)
{
	struct fleet_cluster *c = cluster_of(arg, w);
	const char *file = watch_conf(w)->servers[0]->manager_log;
	struct err e = { 0 };

	if (!c)
		return;
	if (c->attached) {
		fleet_attached_line(c, level, text);
		return;
	}
	if (!file || !*file || (int)level < watch_conf(w)->servers[0]->log_level)
		return;
	if (!log_append(file, level, text, &e) && !c->log_complained)
		log_warning("%s: %s", c->name, e.text);
	c->log_complained = e.kind != ERR_NONE;
}

static void dead(void *arg, struct watch *w)
{
	struct fleet_cluster *c = cluster_of(arg, w);

	if (!c)
		return;
	if (c->attached && c->attached_monitor)
		fleet_attached_end(c, "dead", NULL);
	if (!act_dead(c->act) && c->attached)
		fleet_attached_end(c, "dead", NULL);
}

/* A foreground manager ends with its failover, as MHA's does. */
static void failed_over(void *arg, const struct failover_report *r)
{
	struct fleet_cluster *c = arg;

	c->exit = r->exit;
}

static void act_ended(void *arg)
{
	struct fleet_cluster *c = arg;

	fleet_glance_stale(c->fleet);
	if (c->attached)
		fleet_attached_failover(c, c->exit);
}

static void failed(void *arg, struct watch *w, const struct err *e)
{
	struct fleet_cluster *c = cluster_of(arg, w);

	if (c && c->attached)
		fleet_attached_end(c, "failed", e);
}

/* ---- many clusters silent at once ---- */

/* Those that fell silent just now, among those that were fine until then. */
static void count_silence(struct fleet *f)
{
	int64_t now = clock_ms();
	size_t silent = 0, fine = 0;

	vec_each (struct fleet_cluster *, c, &f->clusters) {
		bool just = (*c)->silent_at && now - (*c)->silent_at <= SILENCE_MS;

		silent += just;
		fine += just ||
		        ((*c)->watch && !watch_is_silent((*c)->watch) && watch_master((*c)->watch));
	}
	if (silent >= SILENT_LEAST && 3 * silent > fine)
		watch_self_tilt(f->self, "%zu of %zu clusters fell silent at once", silent, fine);
}

static void silent(void *arg, struct watch *w, bool is_silent)
{
	struct fleet *f = arg;
	struct fleet_cluster *c = cluster_of(f, w);

	if (!c)
		return;
	c->silent_at = is_silent ? clock_ms() : 0;
	if (is_silent)
		count_silence(f);
}

static void stood_still(void *arg, int64_t gap_ms)
{
	struct fleet *f = arg;

	(void)gap_ms;
	vec_each (struct fleet_cluster *, c, &f->clusters) {
		if ((*c)->watch)
			watch_void((*c)->watch);
	}
}

/* ---- stand-ins ---- */

void fleet_stand_in(struct fleet_cluster *c)
{
	struct fleet *f = c->fleet;

	if (!f->opts.standins || !c->watch || c->conf->format != CONF_MHA || c->standin ||
	        c->attached)
		return;
	if (standin_make(f->opts.standins, f->next_standin, c->conf->real_path))
		c->standin = f->next_standin++;
}

static struct fleet_cluster *by_standin(const struct fleet *f, uint64_t id)
{
	vec_each (struct fleet_cluster *, c, &f->clusters) {
		if ((*c)->standin == id)
			return *c;
	}
	return NULL;
}

static void standin_made(void *arg, uint64_t id, pid_t pid)
{
	struct fleet_cluster *c = by_standin(arg, id);

	if (!c)
		return;
	c->standin_pid = pid;
	if (!pid)
		c->standin = 0; /* tried again with the next tick */
	else
		watch_set_status_pid(c->watch, pid);
}

static void follow_end(void *arg)
{
	struct fleet_cluster *c = arg;
	char reason[120];

	loop_timer_free(TAKE(c->ended));
	if (!c->watch)
		return;
	snprintf(reason, sizeof(reason), "its process %ld was ended by SIG%s", (long)c->standin_pid,
	        sigabbrev_np(c->ended_by));
	c->standin_pid = 0;
	watch_pause(c->watch, CLOCK_NEVER, reason, "a signal");
}

/* The status file goes at once, as MHA's manager removes its own; the pause follows if mhad lives on. */
static void standin_ended(void *arg, uint64_t id, pid_t pid, int signo)
{
	struct fleet *f = arg;
	struct fleet_cluster *c = by_standin(f, id);

	(void)pid;
	if (!c)
		return;
	c->standin = 0;
	watch_set_status_pid(c->watch, 0);
	if (!signo)
		return;
	c->ended_by = signo;
	loop_timer_free(c->ended);
	c->ended = loop_timer_new(f->loop, clock_in(ENDED_MS), follow_end, c);
}

void fleet_end_standin(struct fleet_cluster *c)
{
	loop_timer_free(TAKE(c->ended));
	if (c->standin)
		standin_end(c->fleet->opts.standins, c->standin);
	c->standin = 0;
	c->standin_pid = 0;
}

/* ---- clusters ---- */

static void bury(struct fleet *f, struct conf *conf)
{
	if (conf)
		vec_push(&f->old, (struct fleet_old){ conf, clock_in(OLD_MS) });
}

static void dig_up(struct fleet *f, int64_t now)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->old.len; i++) {
		if (now >= f->old.items[i].at)
			conf_free(f->old.items[i].conf);
		else
			f->old.items[kept++] = f->old.items[i];
	}
	f->old.len = kept;
}

static void stop(struct fleet_cluster *c)
{
	fleet_rehearse_stop(c);
	fleet_end_standin(c);
	act_free(TAKE(c->act));
	watch_free(TAKE(c->watch));
	bury(c->fleet, TAKE(c->conf));
	c->silent_at = 0;
}

static const struct conf_server *who_reports(void *arg, const char *cluster, const char *server)
{
	const struct fleet_cluster *c = fleet_find(arg, cluster);

	for (size_t i = 0; c && c->conf && i < c->conf->n_servers; i++)
		if (str_is(c->conf->servers[i]->id, server))
			return c->conf->servers[i];
	return NULL;
}

static void cluster_free(struct fleet_cluster *c)
{
	if (c->attached)
		fleet_attached_end(c, "stopped", NULL);
	stop(c);
	fleet_rehearse_free(c);
	free(c->name);
	free(c->path);
	free(c->problem);
	free(c);
}

/* Looks are spread over the interval, by the name: the same cluster always has the same place. */
static uint32_t spread(const struct conf *conf)
{
	uint32_t h = 2166136261u;

	for (const char *p = conf->name; *p; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	return h % (uint32_t)(conf->servers[0]->ping_interval > 10000
	                              ? 10000
	                              : conf->servers[0]->ping_interval);
}

static void start(struct fleet_cluster *c, struct conf *conf)
{
	const struct fleet *f = c->fleet;
	struct watch_opts o = { .failover_interval = -1 };

	c->conf = conf;
	fleet_rehearse_begin(c);
	if (!c->taken_up)
		notify_take_up(f->notify, c->name);
	c->taken_up = true;
	/* A single cluster has nobody to keep out of the way of. */
	o.spread_ms = c->fleet->clusters.len > 8 ? spread(conf) : 0;
	o.acts = true;
	c->watch = watch_new(&c->fleet->env, conf, &o);
	c->act = act_new(c->watch,
	        &(struct act_opts){ .env = { f->loop, f->jobs, f->env.links, f->env.state_dir },
	                .by = "mhad",
	                .notify = f->notify,
	                .failover = { .failover_interval = -1, .ssh_reachable = 2 },
	                .done = failed_over,
	                .ended = act_ended,
	                .arg = c });
	if (!act_resume(c->act))
		act_guard(c->act);
	if (!watch_is_paused(c->watch))
		fleet_stand_in(c);
}

static int by_name(const void *a, const void *b)
{
	const struct fleet_cluster *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static struct fleet_cluster *add(struct fleet *f, const char *name, const char *path)
{
	struct fleet_cluster *c = xzalloc(sizeof(*c));
	size_t n;

	c->fleet = f;
	c->name = xstrdup(name);
	c->path = xstrdup(path);
	vec_push(&f->clusters, c);
	n = f->clusters.len;
	if (n > 1 && by_name(&f->clusters.items[n - 2], &f->clusters.items[n - 1]) > 0)
		qsort(f->clusters.items, n, sizeof(struct fleet_cluster *), by_name);
	return c;
}

static void say_changed(json_t *changed, const char *name, const char *what)
{
	json_array_append_new(changed, json_sprintf("%s: %s", name, what));
}

void fleet_use(struct fleet *f, const char *name, struct conf *conf, json_t *changed_)
{
	struct fleet_cluster *c = fleet_find(f, name);
	bool is_new = !c;

	if (!c)
		c = add(f, name, conf->path);
	c->found = true;
	free(TAKE(c->problem));
	if (c->watch && fleet_same_conf(c->conf, conf)) {
		conf_free(conf);
		return;
	}
	if (act_is_running(c->act)) {
		c->problem = xstrdup("a failover runs: its file is read by the next reload");
		conf_free(conf);
		return;
	}
	stop(c);
	start(c, conf);
	if (c->attached)
		watch_set_status_pid(c->watch, c->attached_pid);
	say_changed(changed_, name, is_new ? "added" : "changed");
}

void fleet_refuse(struct fleet *f, const char *name, const char *path, const char *text)
{
	struct fleet_cluster *c = fleet_find(f, name);
	struct log_ctx old = log_set_ctx((struct log_ctx){ .cluster = name });

	if (!c)
		c = add(f, name, path);
	c->found = true;
	free(c->problem);
	c->problem = xstrdup(text);
	log_event(LOG_EV_CONFIG_ERROR, NULL, "%s%s", text,
	        c->watch ? "; it goes on with what it had" : "; it is NOT watched");
	log_set_ctx(old);
}

void fleet_drop_unfound(struct fleet *f, json_t *changed_)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->clusters.len; i++) {
		struct fleet_cluster *c = f->clusters.items[i];

		/* What is being failed over is not dropped in the middle of it. */
		if (c->found || act_is_running(c->act)) {
			c->found = false;
			f->clusters.items[kept++] = c;
			continue;
		}
		say_changed(changed_, c->name, "removed");
		cluster_free(c);
	}
	f->clusters.len = kept;
	watch_self_set_pace(f->self, kept);
}

const char *fleet_acting(const struct fleet *f)
{
	vec_each (struct fleet_cluster *, c, &f->clusters)
		if (act_is_running((*c)->act))
			return (*c)->name;
	return NULL;
}

/* ---- life ---- */

static void tick(void *arg)
{
	struct fleet *f = arg;

	dig_up(f, clock_ms());
	fleet_rehearse_tick(f);
	vec_each (struct fleet_cluster *, c, &f->clusters) {
		if ((*c)->watch && !(*c)->standin && !(*c)->ended && !watch_is_paused((*c)->watch))
			fleet_stand_in(*c);
	}
	loop_timer_move(f->tick, clock_in(TICK_MS));
}

struct fleet *fleet_new(
        struct loop *l, struct job_pool *p, struct link_room *room, const struct fleet_opts *o)
{
	struct fleet *f = xzalloc(sizeof(*f));

	f->loop = l;
	f->jobs = p;
	f->opts = *o;
	f->born = clock_ms();
	f->next_standin = 1;
	f->self = watch_self_new(l, stood_still, f);
	f->notify = notify_new(l, p, o->state_dir, who_reports, f);
	f->env = (struct watch_env){ .loop = l,
		.jobs = p,
		.links = room,
		.self = f->self,
		.state_dir = o->state_dir,
		.notify = f->notify,
		.arg = f,
		.changed = changed,
		.silent = silent,
		.dead = dead,
		.failed = failed,
		.said = said };
	f->tick = loop_timer_new(l, clock_in(TICK_MS), tick, f);
	fleet_glance_start(f);
	if (o->standins)
		standins_attach(o->standins, l, standin_made, standin_ended, f);
	return f;
}

void fleet_free(struct fleet *f)
{
	if (!f)
		return;
	fleet_free_reading(f);
	fleet_glance_end(f);
	/* A rehearsal that runs reads its configuration until the process ends. */
	vec_each (struct fleet_cluster *, c, &f->clusters) {
		if (fleet_rehearse_stop(*c))
			(*c)->conf = NULL;
	}
	vec_each (struct fleet_cluster *, c, &f->clusters)
		cluster_free(*c);
	vec_done(&f->clusters);
	dig_up(f, CLOCK_NEVER);
	vec_done(&f->old);
	loop_timer_free(f->tick);
	watch_self_free(f->self);
	notify_free(f->notify);
	free(f);
}

void fleet_line(const struct fleet *f, char *buf, size_t size)
{
	size_t watched = 0, ill = 0;

	vec_each (struct fleet_cluster *, c, &f->clusters) {
		watched += (*c)->watch != NULL;
		ill += !(*c)->watch || watch_verdict((*c)->watch)->kind != VERDICT_GOOD;
	}
	if (ill)
		snprintf(buf, size, "watching %zu clusters, %zu not well", watched, ill);
	else
		snprintf(buf, size, "watching %zu clusters", watched);
}
