/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Glances: ranks and lags, finding, what is the same to a page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "glance.h"
#include "str.h"

static struct glance_cluster cluster(const char *state, const char *kind)
{
	return (struct glance_cluster){ .name = "c",
		.watched = true,
		.state = state,
		.verdict = "v",
		.kind = kind,
		.sentence = "s",
		.why = "w",
		.blocked_by = 0,
		.master = -1 };
}

static enum glance_rank rank_of(struct glance_cluster c)
{
	AUTO(glance) struct glance *g = glance_new();

	g->clusters = ARENA_NEW(g->arena, struct glance_cluster);
	g->clusters[0] = c;
	g->n_clusters = 1;
	glance_publish(g);
	assert_int_equal(g->count[g->clusters[0].rank], 1);
	return g->clusters[0].rank;
}

static void ranks(void **state)
{
	struct glance_cluster c = cluster("monitoring", "good");
	struct glance_server s[2] = {
		{ .name = "m", .role = GLANCE_MASTER, .behind_s = -1 },
		{ .name = "r", .role = GLANCE_REPLICA, .up = true, .io = true, .sql = true },
	};

	(void)state;
	assert_int_equal(rank_of(c), GLANCE_WELL);
	assert_int_equal(rank_of(cluster("suspect", "wait")), GLANCE_ODD);
	assert_int_equal(rank_of(cluster("monitoring", "alarm")), GLANCE_ILL);
	assert_int_equal(rank_of(cluster("monitoring", "choice")), GLANCE_ILL);
	assert_int_equal(rank_of(cluster("locked", "good")), GLANCE_ILL);
	assert_int_equal(rank_of(cluster("config_error", "wait")), GLANCE_ILL);
	assert_int_equal(rank_of(cluster("suspect", "dead")), GLANCE_DOWN);
	assert_int_equal(rank_of(cluster("blocked", "wait")), GLANCE_DOWN);
	assert_int_equal(rank_of(cluster("failing_over", "good")), GLANCE_DOWN);
	c.servers = s;
	c.n_servers = 2;
	assert_int_equal(rank_of(c), GLANCE_WELL);
	s[1].sql = false;
	assert_int_equal(rank_of(c), GLANCE_ODD);
	s[1].sql = true;
	c.paused = true;
	assert_int_equal(rank_of(c), GLANCE_ODD);
	c.paused = false;
	c.semisync_text = "fallen back";
	assert_int_equal(rank_of(c), GLANCE_ODD);
}

static void lag_is_that_of_the_worst_replica(void **state)
{
	AUTO(glance) struct glance *g = glance_new();
	const struct glance_server s[] = {
		{ .role = GLANCE_MASTER, .behind_s = 99 },
		{ .role = GLANCE_REPLICA, .behind_s = -1, .up = true, .io = true, .sql = true },
		{ .role = GLANCE_REPLICA, .behind_s = 7, .up = true, .io = true, .sql = true },
		{ .role = GLANCE_REPLICA, .behind_s = 3, .up = true, .io = true, .sql = true },
		{ .role = GLANCE_ABSENT, .behind_s = 100 },
	};

	(void)state;
	g->clusters = ARENA_ARRAY(g->arena, struct glance_cluster, 2);
	g->n_clusters = 2;
	g->clusters[0] = g->clusters[1] = cluster("monitoring", "good");
	g->clusters[0].servers = s;
	g->clusters[0].n_servers = ARRAY_LEN(s);
	glance_publish(g);
	assert_int_equal(g->clusters[0].lag_s, 7);
	assert_int_equal(g->clusters[0].n_replicas, 3);
	assert_int_equal(g->clusters[0].n_ill, 0);
	assert_int_equal(g->clusters[1].lag_s, -1);
}

static void found_by_name(void **state)
{
	static const char *const names[] = { "a", "app1", "app10", "app2", "z" };
	AUTO(glance) struct glance *g = glance_new();

	(void)state;
	assert_null(glance_find(g, "a"));
	g->clusters = ARENA_ARRAY(g->arena, struct glance_cluster, ARRAY_LEN(names));
	g->n_clusters = ARRAY_LEN(names);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		g->clusters[i].name = names[i];
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_ptr_equal(glance_find(g, names[i]), &g->clusters[i]);
	assert_null(glance_find(g, ""));
	assert_null(glance_find(g, "app"));
	assert_null(glance_find(g, "zz"));
}

static void time_alone_is_no_difference(void **state)
{
	struct glance_server s = {
		.name = "r", .role = GLANCE_REPLICA, .state = "up", .io_text = "Yes", .error = ""
	};
	struct glance_server other = s;
	struct glance_cluster a = cluster("monitoring", "good"), b = a;

	(void)state;
	a.servers = &s;
	b.servers = &other;
	a.n_servers = b.n_servers = 1;
	b.since = b.last_good = b.took_us = 5;
	b.looks_failed = 9;
	other.heard = 77;
	assert_true(glance_same(&a, &b));
	other.behind_s = 1;
	assert_false(glance_same(&a, &b));
	other.behind_s = s.behind_s;
	b.why = "last answer 0.3 s ago";
	assert_true(glance_same(&a, &b));
	a.kind = b.kind = "alarm";
	assert_false(glance_same(&a, &b));
	b.why = a.why;
	b.semisync_text = "fallen back";
	assert_false(glance_same(&a, &b));
	b.semisync_text = NULL;
	b.n_servers = 0;
	assert_false(glance_same(&a, &b));
}

static void lives_as_long_as_it_is_held(void **state)
{
	struct glance *g = glance_new();

	(void)state;
	assert_ptr_equal(glance_hold(g), g);
	glance_free(g);
	g->host = arena_strdup(g->arena, "still here");
	assert_string_equal(g->host, "still here");
	glance_free(g);
	glance_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranks),
		cmocka_unit_test(lag_is_that_of_the_worst_replica),
		cmocka_unit_test(found_by_name),
		cmocka_unit_test(time_alone_is_no_difference),
		cmocka_unit_test(lives_as_long_as_it_is_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
