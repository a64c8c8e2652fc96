/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fleet_glance - what metrics, pages and the API are told of all clusters.  Runs on: loop, and workers for files.
 *
 * A glance at a thousand clusters takes several milliseconds, and looks at masters are not to wait for them: it is
 * taken in slices, and whatever is due is served in between.  What lies in files (incidents, history) is read by
 * jobs; an index of them that is some seconds old is good enough for figures.
 */
#include "fleet_impl.h"
#include "clock.h"
#include "flap.h"
#include "glance.h"
#include "history.h"
#include "http.h"
#include "incident.h"
#include "incident_index.h"
#include "job.h"
#include "link.h"
#include "loop.h"
#include "watch_self.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	SLICE_US = 300,
	ROOM = 32,       /* clusters that may be added while a glance is taken */
	FILES_MS = 4500, /* less than those wait who ask */
	INDEX_MS = 5000, /* an index serves figures for so long */
	HISTORY = 30,
};

_Static_assert((int)GLANCE_RESULTS == (int)INCIDENT_RESULTS, "one set of results");

struct fleet_glances {
	struct fleet *fleet; /* NULL: it is gone, and only jobs hold this */
	unsigned holders;
	struct loop_timer *timer; /* the next slice */
	struct glance *taking;    /* NULL: none is being taken */
	size_t room;
	VEC(struct http_ask *) waiting, later; /* for this one, for the next */
	struct incident_index *index;          /* NULL: not read yet */
	int64_t index_at; /* when the reading of it began; 0: it is out of date */
	bool reading;
	VEC(struct http_ask *) index_waiting;
};

/* ---- files ---- */

/* One reading, by a job that may outlive the fleet. */
struct files {
	struct fleet_glances *glances; /* the loop's */
	struct http_ask *ask;          /* likewise */
	char *state_dir, *name;
	json_t *detail; /* begun on the loop */
	struct incident_index *before, *index;
	char *text;
};

static void files_free(void *arg)
{
	struct files *x = arg;

	incident_index_free(x->before);
	incident_index_free(x->index);
	json_decref(x->detail);
	free(x->state_dir);
	free(x->name);
	free(x->text);
	free(x);
}

static void let_go(struct fleet_glances *g)
{
	if (--g->holders)
		return;
	incident_index_free(g->index);
	free(g);
}

static struct files *files_new(struct fleet_glances *g, struct http_ask *ask)
{
	struct files *x = xzalloc(sizeof(*x));

	g->holders++;
	x->glances = g;
	x->ask = ask;
	x->state_dir = xstrdup(g->fleet->opts.state_dir);
	x->name = ask ? xstrdup(ask->name) : NULL;
	return x;
}

static void start(const char *what, job_run_fn run, job_done_fn done, struct files *x)
{
	job_start(x->glances->fleet->jobs,
	        job_new(what, clock_in(FILES_MS), run, done, files_free, x));
}

/* ---- the index of incidents ---- */

static bool read_index(struct job *j, void *arg, struct err *e)
{
	struct files *x = arg;

	(void)j;
	x->index = incident_index_read(x->state_dir, x->before, e);
	return x->index;
}

static void index_read(struct job *j, void *arg, const struct err *e)
{
	struct files *x = arg;
	struct fleet_glances *g = x->glances;

	(void)j;
	g->reading = false;
	if (!e) {
		incident_index_free(g->index);
		g->index = TAKE(x->index);
	}
	vec_each (struct http_ask *, ask, &g->index_waiting) {
		if (e)
			(*ask)->err = *e;
		else
			(*ask)->index = incident_index_hold(g->index);
		http_answer(*ask);
	}
	g->index_waiting.len = 0;
	let_go(g);
}

static void begin_index(struct fleet_glances *g)
{
	struct files *x;

	if (g->reading)
		return;
	x = files_new(g, NULL);
	x->before = g->index ? incident_index_hold(g->index) : NULL;
	g->reading = true;
	g->index_at = clock_ms();
	start("list incidents", read_index, index_read, x);
}

static void keep_index(struct fleet_glances *g)
{
	if (!g->index_at || clock_ms() - g->index_at > INDEX_MS)
		begin_index(g);
}

void fleet_glance_stale(struct fleet *f)
{
	if (f->glances) {
		f->glances->index_at = 0;
		keep_index(f->glances);
	}
}

/* ---- one cluster's history, one incident ---- */

static void answer_files(struct job *j, void *arg, const struct err *e)
{
	struct files *x = arg;

	(void)j;
	if (e) {
		x->ask->err = *e;
	} else {
		x->ask->json = TAKE(x->text);
		x->ask->index = TAKE(x->index);
	}
	http_answer(x->ask);
	let_go(x->glances);
}

static bool read_history(struct job *j, void *arg, struct err *e)
{
	struct files *x = arg;
	json_t *entries = history_read(x->state_dir, x->name, HISTORY, e);

	(void)j;
	if (!entries)
		return false;
	json_object_set_new(x->detail, "history", entries);
	x->text = json_dumps(x->detail, JSON_COMPACT);
	return x->text || err_set(e, ERR_PARSE, 0, "the history of %s is no JSON", x->name);
}

static void tell_cluster(struct fleet *f, struct http_ask *ask)
{
	const struct fleet_cluster *c = fleet_find(f, ask->name);
	struct files *x;
	json_t *why;

	if (!c) {
		http_answer(ask);
		return;
	}
	x = files_new(f->glances, ask);
	x->detail = json_object();
	why = c->watch ? watch_why_json(c->watch, false) : NULL;
	json_object_set(x->detail, "evidence", json_object_get(why, "evidence"));
	if (!json_object_get(x->detail, "evidence"))
		json_object_set_new(x->detail, "evidence", json_array());
	json_decref(why);
	start("read history", read_history, answer_files, x);
}

/* Only names that the index has become names of files. */
static bool read_incident(struct job *j, void *arg, struct err *e)
{
	struct files *x = arg;
	const struct incident_entry *entry;
	json_t *record;

	(void)j;
	x->index = incident_index_read(x->state_dir, x->before, e);
	if (!x->index)
		return false;
	entry = incident_index_find(x->index, x->name);
	if (!entry)
		return true;
	record = incident_load(x->state_dir, entry->cluster, entry->run, e);
	if (!record)
		return false;
	x->text = json_dumps(record, JSON_COMPACT);
	json_decref(record);
	return x->text;
}

static void tell_incident(struct fleet *f, struct http_ask *ask)
{
	struct files *x = files_new(f->glances, ask);

	x->before = f->glances->index ? incident_index_hold(f->glances->index) : NULL;
	start("read incident", read_incident, answer_files, x);
}

/* ---- a glance ---- */

static void add_from_files(const struct fleet_glances *g, struct glance_cluster *to)
{
	const struct incident_sum *sum = g->index ? incident_index_of(g->index, to->name) : NULL;

	to->last_opened_ms = -1;
	if (!sum)
		return;
	to->journal_open = sum->journal_open;
	memcpy(to->failovers, sum->failovers, sizeof(to->failovers));
	memcpy(to->switches, sum->switches, sizeof(to->switches));
	to->with_loss = sum->with_loss;
	to->last_at = sum->last ? sum->last->at : 0;
	to->last_opened_ms = sum->last ? sum->last->opened_ms : -1;
}

static void add_broken(const struct fleet_cluster *c, struct arena *a, struct glance_cluster *to)
{
	to->state = "config_error";
	to->verdict = verdict_name(VERDICT_UNKNOWN);
	to->kind = verdict_kind_name(VERDICT_WAIT);
	to->sentence = arena_strdup(a, c->problem ? c->problem : "its file cannot be used");
	to->why = to->pause_reason = to->paused_by = "";
	to->took_us = to->acks_waiting = to->master = to->blocked_by = -1;
}

static void add_cluster(struct fleet_glances *g, const struct fleet_cluster *c)
{
	struct glance *t = g->taking;
	struct glance_cluster *to = &t->clusters[t->n_clusters++];

	to->name = arena_strdup(t->arena, c->name);
	to->path = arena_strdup(t->arena, c->path);
	to->problem = arena_strdup(t->arena, c->problem);
	if (c->watch)
		watch_glance(c->watch, t->arena, to);
	else
		add_broken(c, t->arena, to);
	add_from_files(g, to);
	fleet_rehearsal_glance(c, t->arena, &to->rehearsal);
}

static void add_histogram(
        struct glance_histogram *h, const struct watch_self *self, enum watch_self_count what)
{
	h->bounds_us = watch_self_bounds_us;
	memcpy(h->counts, watch_self_counts(self, what), sizeof(h->counts));
	h->sum_us = watch_self_sum(self, what);
}

static void add_process(const struct fleet *f, struct glance *t)
{
	struct loop_stats l = loop_stats(f->loop);
	struct link_room_stats k = link_room_stats(f->env.links);

	t->wall_ms = flap_now_ms();
	t->at = clock_ms();
	t->version = MHAD_VERSION;
	t->pid = getpid();
	t->uptime_ms = t->at - f->born;
	t->tilt = arena_strdup(t->arena, fleet_tilt(f));
	t->loop_turns = l.turns;
	t->loop_slow = l.slow_turns;
	t->loop_longest_us = l.longest_us;
	t->loop_busy_us = l.busy_us;
	t->loop_late_ms = l.late_ms;
	t->links_most = k.most;
	t->links_hosts = k.hosts;
	t->links_up = k.up;
	t->links_waiting = k.waiting;
	add_histogram(&t->looks_late, f->self, WATCH_SELF_LATE);
}

static void begin_glance(struct fleet_glances *g)
{
	static const char *gates[GATE_COUNT], *results[INCIDENT_RESULTS];
	char host[256] = "";
	struct glance *t = glance_new();

	for (enum watch_gate i = 0; i < GATE_COUNT; i++)
		gates[i] = watch_gate_name(i);
	for (int i = 0; i < INCIDENT_RESULTS; i++)
		results[i] = run_result_name((enum run_result)i);
	gethostname(host, sizeof(host) - 1);
	t->host = arena_strdup(t->arena, host);
	t->gate_names = gates;
	t->n_gates = GATE_COUNT;
	t->result_names = results;
	g->room = g->fleet->clusters.len + ROOM;
	t->clusters = ARENA_ARRAY(t->arena, struct glance_cluster, g->room);
	add_process(g->fleet, t);
	g->taking = t;
	keep_index(g);
	loop_timer_move(g->timer, clock_ms());
}

/* The first cluster that was not looked at: some may have come or gone since the last slice. */
static size_t next_cluster(const struct fleet_glances *g)
{
	const struct fleet *f = g->fleet;
	const struct glance *t = g->taking;
	size_t i = t->n_clusters;
	const char *last = i ? t->clusters[i - 1].name : NULL;

	if (!last)
		return 0;
	if (i <= f->clusters.len && str_is(f->clusters.items[i - 1]->name, last))
		return i;
	for (i = 0; i < f->clusters.len && strcmp(f->clusters.items[i]->name, last) <= 0; i++)
		;
	return i;
}

static void end_glance(struct fleet_glances *g)
{
	struct glance *t = TAKE(g->taking);

	glance_publish(t);
	vec_each (struct http_ask *, ask, &g->waiting) {
		(*ask)->glance = glance_hold(t);
		http_answer(*ask);
	}
	g->waiting.len = 0;
	glance_free(t);
	vec_each (struct http_ask *, ask, &g->later)
		vec_push(&g->waiting, *ask);
	g->later.len = 0;
	if (g->waiting.len)
		begin_glance(g);
}

static void slice(void *arg)
{
	struct fleet_glances *g = arg;
	const struct fleet *f = g->fleet;
	int64_t until = clock_us() + SLICE_US;
	size_t i = next_cluster(g);

	for (; i < f->clusters.len && g->taking->n_clusters < g->room; i++) {
		if (clock_us() >= until) {
			loop_timer_move(g->timer, clock_ms());
			return;
		}
		add_cluster(g, f->clusters.items[i]);
	}
	end_glance(g);
}

/* ---- questions ---- */

void fleet_glance(void *fleet, struct http_ask *ask)
{
	struct fleet *f = fleet;
	struct fleet_glances *g = f->glances;

	switch (ask->want) {
	case HTTP_GLANCE:
		if (g->taking) {
			vec_push(&g->later, ask);
			return;
		}
		vec_push(&g->waiting, ask);
		begin_glance(g);
		return;
	case HTTP_CLUSTER: tell_cluster(f, ask); return;
	case HTTP_INCIDENTS:
		vec_push(&g->index_waiting, ask);
		begin_index(g);
		return;
	case HTTP_INCIDENT: tell_incident(f, ask); return;
	}
}

void fleet_glance_start(struct fleet *f)
{
	f->glances = xzalloc(sizeof(*f->glances));
	f->glances->fleet = f;
	f->glances->holders = 1;
	f->glances->timer = loop_timer_new(f->loop, CLOCK_NEVER, slice, f->glances);
}

/* Who still waits is answered, with nothing. */
static void dismiss(struct fleet_glances *g)
{
	vec_each (struct http_ask *, ask, &g->waiting)
		http_answer(*ask);
	vec_each (struct http_ask *, ask, &g->later)
		http_answer(*ask);
	vec_each (struct http_ask *, ask, &g->index_waiting)
		http_answer(*ask);
	vec_done(&g->waiting);
	vec_done(&g->later);
	vec_done(&g->index_waiting);
}

void fleet_glance_end(struct fleet *f)
{
	struct fleet_glances *g = TAKE(f->glances);

	if (!g)
		return;
	dismiss(g);
	loop_timer_free(g->timer);
	glance_free(g->taking);
	g->fleet = NULL;
	let_go(g);
}
