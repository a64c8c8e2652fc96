/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * live_page - whole pages: tables of clusters, replicas, gates, evidence, history.  Runs on: any thread.
 */
#include "live.h"
#include "vec.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_COLS = LIVE_COLS };

struct table {
	int cols;
	VEC(char *) cells; /* row by row */
};

static void add_cell(struct table *t, struct str *text)
{
	vec_push(&t->cells, str_take(text));
}

static void add_titles(struct table *t, const char *const *titles)
{
	for (int c = 0; c < t->cols; c++)
		vec_push(&t->cells, xstrdup(titles[c]));
}

static void print_table(struct str *out, const struct table *t, const char *indent)
{
	size_t width[MOST_COLS] = { 0 };

	for (size_t i = 0; i < t->cells.len; i++) {
		size_t w = live_width(t->cells.items[i]), *widest = &width[i % (size_t)t->cols];

		*widest = w > *widest ? w : *widest;
	}
	for (size_t i = 0; i < t->cells.len; i++) {
		size_t c = i % (size_t)t->cols;
		const char *text = t->cells.items[i];
		bool last = c + 1 == (size_t)t->cols;

		str_addf(out, "%s%s", c ? "  " : indent, text);
		if (last)
			str_addc(out, '\n');
		else
			str_addf(out, "%*s", (int)(width[c] - live_width(text)), "");
	}
}

static void free_table(struct table *t)
{
	vec_each (char *, cell, &t->cells)
		free(*cell);
	vec_done(&t->cells);
}

/* Rows of an array of objects whose members are texts. */
static void add_rows(struct table *t, const json_t *array, const char *const *names)
{
	AUTO_STR struct str text = STR_INIT;
	const json_t *one;
	size_t i;

	json_array_foreach(array, i, one)
	{
		for (int c = 0; c < t->cols; c++) {
			live_add(&text, one, names[c]);
			add_cell(t, &text);
		}
	}
}

static bool is_healthy(const json_t *cluster)
{
	return str_is(json_string_value(json_object_get(cluster, "verdict")), "healthy");
}

/* ---- status ----------------------------------------------------------------------------------- */

static void add_clusters(struct str *out, const json_t *clusters)
{
	struct table t = { .cols = LIVE_COLS };
	AUTO_STR struct str text = STR_INIT;
	const json_t *one;
	size_t i;

	add_titles(&t, live_titles);
	json_array_foreach(clusters, i, one)
	{
		for (int c = 0; c < LIVE_COLS; c++) {
			live_cell(&text, one, (enum live_col)c);
			add_cell(&t, &text);
		}
	}
	print_table(out, &t, "");
	free_table(&t);
}

static void add_troubles(struct str *out, const json_t *clusters)
{
	const json_t *one;
	bool first = true;
	size_t i;

	json_array_foreach(clusters, i, one)
	{
		AUTO_STR struct str why = STR_INIT;

		if (live_is_well(one, &why))
			continue;
		str_add(out, first ? "\n" : "");
		live_add(out, one, "name");
		str_addf(out, ": %s\n", why.p);
		first = false;
	}
}

void live_status(struct str *out, const json_t *status)
{
	const json_t *clusters = json_object_get(status, "clusters");

	if (json_array_size(clusters))
		add_clusters(out, clusters);
	else
		str_add(out, "mhad watches no cluster. Put a cluster's file into " MHAD_SYSCONFDIR
		             "/clusters.d, then: mhactl reload\n");
	add_troubles(out, clusters);
	if (json_is_string(json_object_get(status, "tilt"))) {
		str_add(out, "\nNothing is decided at the moment: ");
		live_add(out, status, "tilt");
		str_addc(out, '\n');
	}
	str_addc(out, '\n');
	live_add_daemon(out, status);
	str_addc(out, '\n');
}

/* ---- one cluster ------------------------------------------------------------------------------ */

static void add_replicas(struct str *out, const json_t *replicas)
{
	struct table t = { .cols = LIVE_R_COLS };
	AUTO_STR struct str text = STR_INIT;
	const json_t *one;
	size_t i;

	if (!json_array_size(replicas))
		return;
	str_addc(out, '\n');
	add_titles(&t, live_replica_titles);
	json_array_foreach(replicas, i, one)
	{
		for (int c = 0; c < LIVE_R_COLS; c++) {
			live_replica_cell(&text, one, (enum live_replica_col)c);
			add_cell(&t, &text);
		}
	}
	print_table(out, &t, "  ");
	free_table(&t);
}

static void add_master(struct str *out, const json_t *cluster)
{
	const json_t *good = json_object_get(cluster, "last_good_ms");

	str_add(out, "  master      ");
	live_add(out, cluster, "master");
	str_add(out, ", probe ");
	live_cell(out, cluster, LIVE_PROBE);
	if (json_is_number(good)) {
		str_add(out, ", last good answer ");
		live_add_span(out, (int64_t)json_number_value(good));
		str_add(out, " ago");
	}
}

static void add_rehearsal(struct str *out, const json_t *rehearsal)
{
	const char *skipped =
	        json_string_value(json_object_get(json_object_get(rehearsal, "skipped"), "why"));
	int64_t at = json_integer_value(json_object_get(rehearsal, "at"));

	if (at) {
		str_add(out, "  rehearsed ");
		live_add_span(out, ((int64_t)time(NULL) - at) * 1000);
		str_add(out, " ago: ");
		live_add(out, rehearsal, "text");
		str_addc(out, '\n');
	}
	if (skipped) {
		str_add(out, "  not rehearsed: ");
		live_add_clean(out, skipped);
		str_addc(out, '\n');
	}
}

void live_cluster(struct str *out, const json_t *cluster)
{
	AUTO_STR struct str why = STR_INIT;

	str_add(out, "Cluster ");
	live_add(out, cluster, "name");
	str_add(out, ": ");
	live_add(out, cluster, "state");
	str_add(out, " for ");
	live_cell(out, cluster, LIVE_SINCE);
	str_add(out, ", verdict ");
	live_add(out, cluster, "verdict");
	str_add(out, "\n  ");
	live_add_sentence(out, cluster);
	str_add(out, "\n\n");
	add_master(out, cluster);
	str_add(out, "\n  detection   ");
	live_add(out, cluster, "detection");
	str_add(out, "\n  fail over?  ");
	live_add_would(out, cluster);
	str_addc(out, '\n');
	if (json_is_object(json_object_get(cluster, "paused"))) {
		str_add(out, "  paused      ");
		live_add_pause(out, cluster);
		str_addc(out, '\n');
	}
	if (json_is_object(json_object_get(cluster, "semisync"))) {
		str_add(out, "  ");
		live_add_semisync(out, cluster);
		str_addc(out, '\n');
	}
	add_rehearsal(out, json_object_get(cluster, "rehearsal"));
	add_replicas(out, json_object_get(cluster, "replicas"));
	/* Another verdict than healthy has said so above. */
	if (!live_is_well(cluster, &why) && is_healthy(cluster))
		str_addf(out, "\nNot well: %s\n", why.p);
}

/* ---- why -------------------------------------------------------------------------------------- */

/* The first gate that blocks; `but` is left out (NULL: none). */
static const json_t *blocking(const json_t *gates, const char *but)
{
	const json_t *one;
	size_t i;

	json_array_foreach(gates, i, one)
	{
		const char *name = json_string_value(json_object_get(one, "name"));

		if (json_is_true(json_object_get(one, "blocks")) && !(but && str_is(name, but)))
			return one;
	}
	return NULL;
}

static void add_answer(struct str *out, const char *question, const json_t *gate)
{
	str_addf(out, "%s%s", question, gate ? "no: " : "yes");
	if (gate)
		live_add(out, gate, "text");
	str_addc(out, '\n');
}

/* While all is well, what matters is whether something would stand in the way. */
static void add_would(struct str *out, const json_t *why)
{
	const json_t *gates = json_object_get(why, "gates");

	if (!json_is_array(gates)) {
		str_add(out, "Would mhad fail over now?  -\n");
	} else if (is_healthy(why)) {
		str_add(out, "Would mhad fail over now?  no: the master is healthy\n");
		if (json_is_object(json_object_get(why, "semisync"))) {
			live_add_semisync(out, why);
			str_addc(out, '\n');
		}
		add_answer(out, "And if the master died?    ", blocking(gates, "verdict"));
	} else {
		add_answer(out, "Would mhad fail over now?  ", blocking(gates, NULL));
	}
}

void live_gates(struct str *out, const json_t *why)
{
	const json_t *gates = json_object_get(why, "gates");
	const json_t *one;
	size_t i;

	str_add(out, "\nGates\n");
	json_array_foreach(gates, i, one)
	{
		AUTO_STR struct str name = STR_INIT;
		const char *hint = json_string_value(json_object_get(one, "hint"));
		const json_t *blocks = json_object_get(one, "blocks");

		live_add(&name, one, "name");
		str_addf(out, "  %-7s%-12s",
		        json_is_true(blocks)    ? "blocks"
		        : json_is_false(blocks) ? "open"
		                                : "-",
		        name.p);
		live_add(out, one, "text");
		str_addc(out, '\n');
		if (hint && *hint) {
			str_addf(out, "  %*s-> ", 19, "");
			live_add_clean(out, hint);
			str_addc(out, '\n');
		}
	}
}

/* Wall time in ms as local time, or a text as it is. */
static void add_time(struct str *out, const json_t *j)
{
	time_t at = (time_t)(json_integer_value(j) / 1000);
	struct tm tm;
	char text[32];

	if (json_is_integer(j) && localtime_r(&at, &tm) &&
	        strftime(text, sizeof(text), "%H:%M:%S", &tm))
		str_addf(out, "%s.%03d", text, (int)(json_integer_value(j) % 1000));
	else
		live_add_clean(out, json_is_string(j) ? json_string_value(j) : "-");
}

static void add_age(struct str *out, const json_t *j)
{
	if (json_is_number(j))
		live_add_span(out, (int64_t)json_number_value(j));
	else
		str_addc(out, '-');
}

void live_evidence(struct str *out, const json_t *why)
{
	const json_t *lines = json_object_get(why, "evidence"), *one;
	struct table t = { .cols = 4 };
	AUTO_STR struct str text = STR_INIT;
	size_t i;

	str_add(out, "\nEvidence\n");
	json_array_foreach(lines, i, one)
	{
		add_time(&text, json_object_get(one, "at"));
		add_cell(&t, &text);
		add_age(&text, json_object_get(one, "age_ms"));
		add_cell(&t, &text);
		live_add(&text, one, "who");
		add_cell(&t, &text);
		live_add(&text, one, "text");
		add_cell(&t, &text);
	}
	if (!t.cells.len)
		str_add(out, "  nothing was noted yet\n");
	print_table(out, &t, "  ");
	free_table(&t);
}

/* One stretch of time in which the same was known. */
static void add_picture(struct str *out, const json_t *one)
{
	const json_t *verdict = json_object_get(one, "verdict"),
	             *gate = json_object_get(one, "gate");

	str_add(out, "  ");
	add_age(out, json_object_get(one, "from_ago"));
	str_add(out, " to ");
	add_age(out, json_object_get(one, "until_ago"));
	str_add(out, " ago: ");
	live_add(out, one, "state");
	str_add(out, ", ");
	live_add(out, verdict, "code");
	str_add(out, "; fail over: ");
	if (json_is_string(gate) && !json_string_length(gate))
		str_add(out, "yes");
	else
		live_add(out, one, "gate");
	str_addc(out, '\n');
}

static void add_ring(struct str *out, const json_t *ring)
{
	const json_t *all = json_object_get(ring, "pictures"), *one;
	size_t i;

	str_add(out, "\nRing\n");
	json_array_foreach(all, i, one)
	{
		add_picture(out, one);
	}
	if (!json_array_size(all))
		str_add(out, "  nothing is in it yet\n");
}

void live_why(struct str *out, const json_t *why, bool ring)
{
	str_add(out, "Cluster ");
	live_add(out, why, "name");
	str_add(out, ": ");
	live_add(out, why, "state");
	str_add(out, ", verdict ");
	live_add(out, why, "verdict");
	str_add(out, "\n  ");
	live_add_sentence(out, why);
	str_add(out, "\n\n");
	add_would(out, why);
	live_gates(out, why);
	live_evidence(out, why);
	if (ring)
		add_ring(out, json_object_get(why, "ring"));
}

/* ---- history ---------------------------------------------------------------------------------- */

void live_history(struct str *out, const json_t *history)
{
	static const char *const titles[] = { "AT", "WHAT", "BY", "TEXT" };
	static const char *const names[] = { "at", "what", "by", "text" };
	struct table t = { .cols = ARRAY_LEN(names) };
	const json_t *entries = json_object_get(history, "entries");

	if (!json_array_size(entries)) {
		str_add(out, "Nothing has happened yet that was written down.\n");
		return;
	}
	add_titles(&t, titles);
	add_rows(&t, entries, names);
	print_table(out, &t, "");
	free_table(&t);
}
