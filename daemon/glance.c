/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * glance - holders, ranks and comparison of glances.  Runs on: any thread.
 */
#include "glance.h"
#include <string.h>
#include "clock.h"
#include "str.h"

struct glance *glance_new(void)
{
	struct arena *a = arena_new();
	struct glance *g = ARENA_NEW(a, struct glance);

	g->arena = a;
	g->holders = 1;
	g->at = clock_ms();
	return g;
}

struct glance *glance_hold(struct glance *g)
{
	g->holders++;
	return g;
}

void glance_free(struct glance *g)
{
	if (g && !--g->holders)
		arena_free(g->arena);
}

/* ---- what follows from the rest ---- */

static bool replicates(const struct glance_server *s)
{
	return s->up && s->io && s->sql;
}

static bool is_any(const char *word, const char *const *of)
{
	for (; *of; of++) {
		if (str_is(word, *of))
			return true;
	}
	return false;
}

static enum glance_rank rank_of(const struct glance_cluster *c)
{
	static const char *const down[] = { "dead", "failing_over", "blocked", NULL };
	static const char *const ill[] = { "config_error", "no_master", "locked", NULL };

	if (is_any(c->state, down) || str_is(c->kind, "dead"))
		return GLANCE_DOWN;
	if (is_any(c->state, ill) || str_is(c->kind, "alarm") || str_is(c->kind, "choice"))
		return GLANCE_ILL;
	if (!str_is(c->kind, "good") || c->n_ill || c->problem || c->paused || c->semisync_text)
		return GLANCE_ODD;
	return GLANCE_WELL;
}

static void finish(struct glance_cluster *c)
{
	c->lag_s = -1;
	for (size_t i = 0; i < c->n_servers; i++) {
		const struct glance_server *s = &c->servers[i];

		if (s->role != GLANCE_REPLICA)
			continue;
		c->n_replicas++;
		c->n_ill += !replicates(s);
		if (s->behind_s > c->lag_s)
			c->lag_s = s->behind_s;
	}
	c->rank = rank_of(c);
}

void glance_publish(struct glance *g)
{
	for (size_t i = 0; i < g->n_clusters; i++) {
		finish(&g->clusters[i]);
		g->count[g->clusters[i].rank]++;
	}
}

const struct glance_cluster *glance_find(const struct glance *g, const char *name)
{
	size_t low = 0, high = g->n_clusters;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(g->clusters[middle].name, name);

		if (!order)
			return &g->clusters[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* ---- comparison ---- */

static bool same_server(const struct glance_server *a, const struct glance_server *b)
{
	return str_is(a->name, b->name) && a->role == b->role && a->source == b->source &&
	       str_is(a->state, b->state) && a->up == b->up && str_is(a->io_text, b->io_text) &&
	       a->sql == b->sql && a->behind_s == b->behind_s && str_is(a->error, b->error);
}

/* While all is well it only says how long ago the last answer was. */
static bool same_why(const struct glance_cluster *a, const struct glance_cluster *b)
{
	return str_is(a->kind, "good") || str_is(a->why, b->why);
}

static bool same_heads(const struct glance_cluster *a, const struct glance_cluster *b)
{
	return str_is(a->name, b->name) && str_is(a->problem, b->problem) &&
	       str_is(a->state, b->state) && str_is(a->verdict, b->verdict) &&
	       str_is(a->sentence, b->sentence) && same_why(a, b) &&
	       a->would_fail_over == b->would_fail_over && a->blocked_by == b->blocked_by &&
	       a->paused == b->paused && str_is(a->pause_reason, b->pause_reason) &&
	       a->master == b->master && a->rank == b->rank && a->last_at == b->last_at &&
	       a->journal_open == b->journal_open && a->semisync == b->semisync &&
	       a->rehearsal.at == b->rehearsal.at &&
	       str_is(a->rehearsal.skipped, b->rehearsal.skipped) &&
	       a->ackers == b->ackers && str_is(a->semisync_text, b->semisync_text);
}

bool glance_same(const struct glance_cluster *a, const struct glance_cluster *b)
{
	if (!same_heads(a, b) || a->n_servers != b->n_servers)
		return false;
	for (size_t i = 0; i < a->n_servers; i++) {
		if (!same_server(&a->servers[i], &b->servers[i]))
			return false;
	}
	return true;
}

const char *glance_rank_name(enum glance_rank r)
{
	static const char *const names[] = { "well", "odd", "ill", "down" };

	return names[r];
}
