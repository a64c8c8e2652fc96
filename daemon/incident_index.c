/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * incident_index - reads the records below the state directory.  Runs on: worker.
 */
#include "incident_index.h"
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "arena.h"
#include "incident.h"
#include "str.h"
#include "vec.h"

enum { KEPT = 200 }; /* of one cluster, the newest; older ones stay on disk */

struct incident_index {
	struct arena *arena;
	_Atomic unsigned holders;
	struct incident_entry *all; /* the newest first */
	const struct incident_entry **by_id;
	size_t n;
	struct incident_sum *sums; /* in the order of clusters */
	size_t n_sums;
};

struct reading {
	const char *state_dir;
	const struct incident_index *before;
	struct arena *arena;
	VEC(struct incident_entry) all;
	VEC(struct incident_sum) sums;
};

struct incident_index *incident_index_hold(struct incident_index *x)
{
	x->holders++;
	return x;
}

void incident_index_free(struct incident_index *x)
{
	if (x && !--x->holders)
		arena_free(x->arena);
}

/* ---- one record ---- */

static const char *text_of(struct arena *a, const json_t *j, const char *name, const char *none)
{
	const char *s = json_string_value(json_object_get(j, name));

	return s ? arena_strdup(a, s) : none;
}

static int64_t number_of(const json_t *j, const char *name, int64_t none)
{
	const json_t *n = json_object_get(j, name);

	return json_is_number(n) ? (int64_t)json_number_value(n) : none;
}

/* A planned switch has from and to, and how long writes were refused. */
static void fill(struct arena *a, const json_t *j, struct incident_entry *e)
{
	bool planned = json_object_get(j, "from");

	e->plan = text_of(a, j, "plan", planned ? "switch" : "failover");
	e->result = text_of(a, j, "result", "");
	e->dead = text_of(a, j, planned ? "from" : "dead", "");
	e->fresh = text_of(a, j, planned ? "to" : "new_master", "");
	e->lost = text_of(a, j, "lost", "");
	e->fenced = text_of(a, j, "fenced", "");
	e->why = text_of(a, j, "why", "");
	e->at = number_of(j, "at", 0);
	e->opened_ms = number_of(j, planned ? "refused_ms" : "opened_ms", -1);
}

static void copy(struct arena *a, const struct incident_entry *from, struct incident_entry *e)
{
	e->plan = arena_strdup(a, from->plan);
	e->result = arena_strdup(a, from->result);
	e->dead = arena_strdup(a, from->dead);
	e->fresh = arena_strdup(a, from->fresh);
	e->lost = arena_strdup(a, from->lost);
	e->fenced = arena_strdup(a, from->fenced);
	e->why = arena_strdup(a, from->why);
	e->at = from->at;
	e->opened_ms = from->opened_ms;
}

static void add_record(struct reading *r, const char *cluster, const char *run)
{
	struct incident_entry e = { .cluster = cluster, .run = run };
	const struct incident_entry *known;
	struct err ignored = { 0 };
	json_t *j;

	e.id = arena_printf(r->arena, "%s-%s", cluster, run);
	known = r->before ? incident_index_find(r->before, e.id) : NULL;
	if (known) {
		copy(r->arena, known, &e);
	} else {
		j = incident_load(r->state_dir, cluster, run, &ignored);
		if (!j)
			return;
		fill(r->arena, j, &e);
		json_decref(j);
	}
	vec_push(&r->all, e);
}

/* ---- one cluster ---- */

/* strcmp() and not the locale decides: it is looked up the same way. */
static int plain_order(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_record(const struct dirent *d)
{
	return d->d_name[0] != '.' && str_ends(d->d_name, ".json");
}

static void count(struct incident_sum *sum, const struct incident_entry *e)
{
	uint64_t *of = str_is(e->plan, "switch") ? sum->switches : sum->failovers;

	if (!str_is(e->plan, "switch") && !str_is(e->plan, "failover"))
		return;
	for (int i = 0; i < INCIDENT_RESULTS; i++)
		of[i] += str_is(e->result, run_result_name((enum run_result)i));
	sum->with_loss += *e->lost != '\0';
}

static void add_cluster(struct reading *r, const char *name)
{
	AUTO(free) char *dir = xasprintf("%s/%s/incidents", r->state_dir, name);
	AUTO(free) char *journal = xasprintf("%s/%s/journal", r->state_dir, name);
	const char *cluster = arena_strdup(r->arena, name);
	struct incident_sum sum = { .cluster = cluster, .journal_open = !access(journal, F_OK) };
	struct dirent **found = NULL;
	int n = scandir(dir, &found, is_record, plain_order);
	size_t first = r->all.len;

	for (int i = 0; i < n; i++) {
		if (i >= n - KEPT)
			add_record(r, cluster,
			        arena_strndup(r->arena, found[i]->d_name,
			                strlen(found[i]->d_name) - strlen(".json")));
		free(found[i]);
	}
	free(found);
	for (size_t i = first; i < r->all.len; i++)
		count(&sum, &r->all.items[i]);
	if (n > 0 || sum.journal_open)
		vec_push(&r->sums, sum);
}

/* ---- all ---- */

static int newest_first(const void *a, const void *b)
{
	const struct incident_entry *x = a, *y = b;

	return x->at != y->at ? (x->at < y->at) - (x->at > y->at) : strcmp(y->id, x->id);
}

static int by_id(const void *a, const void *b)
{
	const struct incident_entry *const *x = a, *const *y = b;

	return strcmp((*x)->id, (*y)->id);
}

static struct incident_sum *sum_of(const struct incident_index *x, const char *cluster)
{
	size_t low = 0, high = x->n_sums;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(x->sums[middle].cluster, cluster);

		if (!order)
			return &x->sums[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static struct incident_index *finish(struct reading *r)
{
	struct incident_index *x = ARENA_NEW(r->arena, struct incident_index);

	x->arena = r->arena;
	x->holders = 1;
	x->n = r->all.len;
	x->all = ARENA_ARRAY(r->arena, struct incident_entry, x->n + 1);
	x->by_id = ARENA_ARRAY(r->arena, const struct incident_entry *, x->n + 1);
	x->n_sums = r->sums.len;
	x->sums = ARENA_ARRAY(r->arena, struct incident_sum, x->n_sums + 1);
	if (x->n_sums)
		memcpy(x->sums, r->sums.items, x->n_sums * sizeof(*x->sums));
	if (x->n)
		memcpy(x->all, r->all.items, x->n * sizeof(*x->all));
	qsort(x->all, x->n, sizeof(*x->all), newest_first);
	for (size_t i = x->n; i-- > 0;) {
		x->by_id[i] = &x->all[i];
		sum_of(x, x->all[i].cluster)->last = &x->all[i];
	}
	qsort(x->by_id, x->n, sizeof(*x->by_id), by_id);
	return x;
}

static int is_visible(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

struct incident_index *incident_index_read(
        const char *state_dir, const struct incident_index *before, struct err *e)
{
	struct reading r = { .state_dir = state_dir, .before = before };
	struct dirent **found = NULL;
	int n = state_dir ? scandir(state_dir, &found, is_visible, plain_order) : 0;
	struct incident_index *x;

	if (n < 0 && errno != ENOENT) {
		err_sys(e, "read directory %s", state_dir);
		return NULL;
	}
	r.arena = arena_new();
	for (int i = 0; i < n; i++) {
		if (found[i]->d_type == DT_DIR || found[i]->d_type == DT_UNKNOWN)
			add_cluster(&r, found[i]->d_name);
		free(found[i]);
	}
	free(found);
	x = finish(&r);
	vec_done(&r.all);
	vec_done(&r.sums);
	return x;
}

const struct incident_entry *incident_index_all(const struct incident_index *x, size_t *ret_n)
{
	*ret_n = x->n;
	return x->all;
}

const struct incident_entry *incident_index_find(const struct incident_index *x, const char *id)
{
	size_t low = 0, high = x->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(x->by_id[middle]->id, id);

		if (!order)
			return x->by_id[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const struct incident_sum *incident_index_of(const struct incident_index *x, const char *cluster)
{
	return sum_of(x, cluster);
}
