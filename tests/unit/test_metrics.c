/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Metrics: the table, the text, and the manual that lists them (MHAD_UPDATE=1 writes the list).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "metrics.h"
#include "clock.h"

#define MANUAL "packaging/man/mhad-http.7"
#define BEGIN  ".\\\" BEGIN METRICS\n"
#define END    ".\\\" END METRICS\n"

static const int64_t bounds[GLANCE_BINS - 1] = { 100, 200, 500, 1000, 2000, 5000, 10000, 20000,
	50000, 100000, 200000, 500000, 1000000 };
static const char *const gates[] = { "verdict", "paused" };
static const char *const results[GLANCE_RESULTS] = { "success", "partial", "refused", "undone",
	"failed" };

static struct glance *glance_with(size_t n)
{
	struct glance *g = glance_new();

	g->version = "1.2.3";
	g->host = "mgr";
	g->gate_names = gates;
	g->n_gates = 2;
	g->result_names = results;
	g->looks_late.bounds_us = bounds;
	g->clusters = ARENA_ARRAY(g->arena, struct glance_cluster, n + 1);
	g->n_clusters = n;
	for (size_t i = 0; i < n; i++)
		g->clusters[i] = (struct glance_cluster){ .name = arena_printf(g->arena, "c%zu", i),
			.path = "/f",
			.watched = true,
			.state = "monitoring",
			.verdict = "healthy",
			.kind = "good",
			.sentence = "",
			.why = "",
			.took_us = -1,
			.acks_waiting = -1,
			.blocked_by = -1,
			.master = -1,
			.last_opened_ms = -1,
			.looks.bounds_us = bounds };
	return g;
}

static char *text_of(struct glance *g)
{
	struct str out = STR_INIT;

	glance_publish(g);
	metrics_text(&out, g);
	glance_free(g);
	return str_take(&out);
}

#define assert_line(text, line) assert_non_null(strstr(text, "\n" line "\n"))
#define assert_no(text, part)   assert_null(strstr(text, part))

static void names_keep_the_rules(void **state)
{
	(void)state;
	for (size_t i = 0; i < metrics_rows(); i++) {
		struct metrics_row r = metrics_row(i);

		assert_true(str_starts(r.name, "mhad_"));
		for (const char *p = r.name; *p; p++)
			assert_true(islower((unsigned char)*p) || *p == '_');
		assert_int_equal(str_is(r.type, "counter"), str_ends(r.name, "_total"));
		if (str_is(r.type, "histogram"))
			assert_true(str_ends(r.name, "_seconds"));
		assert_true(str_ends(r.help, "."));
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(metrics_row(k).name, r.name);
	}
}

static void what_is_not_known_is_left_out(void **state)
{
	AUTO(free) char *text = text_of(glance_with(1));

	(void)state;
	assert_line(text, "mhad_cluster_rank{cluster=\"c0\"} 0");
	assert_no(text, "\nmhad_cluster_semisync_ackers{");
	assert_no(text, "\nmhad_cluster_lag_seconds{");
	assert_no(text, "\nmhad_failover_last_seconds{");
	assert_no(text, "\nmhad_cluster_last_good_look_timestamp_seconds{");
}

static void labels_are_escaped(void **state)
{
	struct glance *g = glance_with(1);
	AUTO(free) char *text = NULL;

	(void)state;
	g->clusters[0].name = "a\"b\\c\nd";
	text = text_of(g);
	assert_line(text, "mhad_cluster_watched{cluster=\"a\\\"b\\\\c\\nd\"} 1");
}

static void a_histogram_is_cumulative(void **state)
{
	struct glance *g = glance_with(1);
	AUTO(free) char *text = NULL;

	(void)state;
	g->clusters[0].looks.counts[0] = 3;
	g->clusters[0].looks.counts[2] = 4;
	g->clusters[0].looks.counts[GLANCE_BINS - 1] = 1;
	g->clusters[0].looks.sum_us = 2500000;
	text = text_of(g);
	assert_line(text, "mhad_look_seconds_bucket{cluster=\"c0\",le=\"0.0001\"} 3");
	assert_line(text, "mhad_look_seconds_bucket{cluster=\"c0\",le=\"0.0005\"} 7");
	assert_line(text, "mhad_look_seconds_bucket{cluster=\"c0\",le=\"1\"} 7");
	assert_line(text, "mhad_look_seconds_bucket{cluster=\"c0\",le=\"+Inf\"} 8");
	assert_line(text, "mhad_look_seconds_sum{cluster=\"c0\"} 2.5");
	assert_line(text, "mhad_look_seconds_count{cluster=\"c0\"} 8");
}

static void figures(void **state)
{
	struct glance *g = glance_with(2);
	struct glance_cluster *c = &g->clusters[1];
	struct glance_gate *v = ARENA_ARRAY(g->arena, struct glance_gate, 2);
	struct glance_server *s = ARENA_ARRAY(g->arena, struct glance_server, 2);
	AUTO(free) char *text = NULL;

	(void)state;
	v[1] = (struct glance_gate){ true, "", "" };
	s[0] = (struct glance_server){ .name = "m", .role = GLANCE_MASTER, .behind_s = -1 };
	s[1] = (struct glance_server){
		.name = "r(1:2)", .role = GLANCE_REPLICA, .up = true, .io = true, .behind_s = 7
	};
	c->gates = v;
	c->servers = s;
	c->n_servers = 2;
	c->semisync = true;
	c->ackers = 2;
	c->acks_needed = 1;
	c->failovers[1] = 5;
	c->last_at = 1795140729;
	c->last_opened_ms = 1492;
	c->kind = "dead";
	g->wall_ms = 1795140730500;
	c->since = g->at - 1500;
	text = text_of(g);
	assert_line(text, "mhad_cluster_gate_blocked{cluster=\"c1\",gate=\"verdict\"} 0");
	assert_line(text, "mhad_cluster_gate_blocked{cluster=\"c1\",gate=\"paused\"} 1");
	assert_line(text, "mhad_replica_lag_seconds{cluster=\"c1\",server=\"r(1:2)\"} 7");
	assert_line(text, "mhad_replica_sql_running{cluster=\"c1\",server=\"r(1:2)\"} 0");
	assert_line(text, "mhad_cluster_replicas_broken{cluster=\"c1\"} 1");
	assert_line(text, "mhad_cluster_lag_seconds{cluster=\"c1\"} 7");
	assert_line(text, "mhad_cluster_semisync_ackers{cluster=\"c1\"} 2");
	assert_line(text, "mhad_cluster_semisync_needed{cluster=\"c1\"} 1");
	assert_line(text, "mhad_cluster_semisync_ok{cluster=\"c1\"} 1");
	assert_line(text, "mhad_failovers_total{cluster=\"c1\",result=\"partial\"} 5");
	assert_line(text, "mhad_switches_total{cluster=\"c1\",result=\"partial\"} 0");
	assert_line(text, "mhad_failover_last_seconds{cluster=\"c1\"} 1.492");
	assert_line(text, "mhad_failover_last_timestamp_seconds{cluster=\"c1\"} 1795140729");
	assert_line(text, "mhad_cluster_state_timestamp_seconds{cluster=\"c1\"} 1795140729");
	assert_line(text, "mhad_clusters{rank=\"down\"} 1");
	assert_line(text, "mhad_cluster_rank{cluster=\"c1\"} 3");
}

static void one_that_is_not_watched(void **state)
{
	struct glance *g = glance_with(1);
	AUTO(free) char *text = NULL;

	(void)state;
	g->clusters[0].watched = false;
	g->clusters[0].state = "config_error";
	g->clusters[0].problem = "line 3";
	text = text_of(g);
	assert_line(text, "mhad_cluster_watched{cluster=\"c0\"} 0");
	assert_line(text, "mhad_cluster_config_error{cluster=\"c0\"} 1");
	assert_line(text, "mhad_cluster_rank{cluster=\"c0\"} 2");
	assert_no(text, "\nmhad_look_seconds_count{");
	assert_no(text, "\nmhad_failovers_total{");
}

/* All lines of one name stand together, below their HELP and TYPE. */
static void lines_stand_together(void **state)
{
	AUTO(free) char *text = text_of(glance_with(3));
	const char *name = "", *line;
	size_t n = 0;

	(void)state;
	for (line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		if (str_starts(line, "# HELP ")) {
			name = line + strlen("# HELP ");
			assert_int_equal(strncmp(name, metrics_row(n).name, strcspn(name, " ")), 0);
			n++;
		} else if (*line != '#') {
			assert_int_equal(strncmp(line, name, strcspn(name, " ")), 0);
		}
	}
	assert_int_equal(n, metrics_rows());
}

/* ---- the manual ---- */

static void add_text(struct str *out, const char *text)
{
	size_t column = 0;

	for (; *text; text += strspn(text, " ")) {
		size_t n = strcspn(text, " ");
		bool ends =
		        text[n - 1] == '.' && isupper((unsigned char)text[n + (text[n] == ' ')]);

		if (column && column + n > 76) {
			str_addc(out, '\n');
			column = 0;
		}
		str_add(out, column ? " " : "");
		str_addn(out, text, n);
		column = ends ? 0 : column + n + 1;
		text += n;
		str_add(out, ends || !*text ? "\n" : "");
	}
}

static char *list(void)
{
	struct str out = STR_INIT;

	str_add(&out, ".Bl -tag -width Ds\n");
	for (size_t i = 0; i < metrics_rows(); i++) {
		struct metrics_row r = metrics_row(i);

		str_addf(&out, ".It Cm %s\n.Pq %s%s%s\n.br\n", r.name, r.type,
		        *r.labels ? "; " : "", r.labels);
		add_text(&out, r.help);
	}
	str_add(&out, ".El\n");
	return str_take(&out);
}

static char *read_all(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = xzalloc(1 << 20);

	assert_non_null(f);
	assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
	fclose(f);
	return text;
}

static void the_manual_lists_them(void **state)
{
	AUTO(free) char *text = read_all(MANUAL);
	AUTO(free) char *wanted = list();
	char *begin = strstr(text, BEGIN), *end = strstr(text, END);
	FILE *f;

	(void)state;
	assert_non_null(begin);
	assert_non_null(end);
	begin += strlen(BEGIN);
	if (getenv("MHAD_UPDATE")) {
		f = fopen(MANUAL, "w");
		fprintf(f, "%.*s%s%s", (int)(begin - text), text, wanted, end);
		assert_int_equal(fclose(f), 0);
		return;
	}
	*end = '\0';
	assert_string_equal(begin, wanted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_keep_the_rules),
		cmocka_unit_test(what_is_not_known_is_left_out),
		cmocka_unit_test(labels_are_escaped),
		cmocka_unit_test(a_histogram_is_cumulative),
		cmocka_unit_test(figures),
		cmocka_unit_test(one_that_is_not_watched),
		cmocka_unit_test(lines_stand_together),
		cmocka_unit_test(the_manual_lists_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
