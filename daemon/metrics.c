/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * metrics - the table of all metrics, and their text.  A thousand clusters are some fifty thousand lines, so lines
 * are put together by hand.  Runs on: any thread.
 */
#include "metrics.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"

struct metric;
struct scrape {
	struct str *out;
	const struct glance *g;
	const struct metric *m;
	char **labels; /* of each cluster: cluster="shop" */
	struct bounds *bounds;
};

/* le="0.001"...: made once for all histograms with these bounds. */
struct bounds {
	const int64_t *of;
	char text[GLANCE_BINS - 1][32];
};

/* One number; false: it is not known, and left out.  `c` is NULL for rows without labels. */
typedef bool (*value_fn)(const struct glance *g, const struct glance_cluster *c, double *ret);
/* Lines of one cluster, or of the process, that are not one number. */
typedef void (*lines_fn)(const struct scrape *s, const struct glance_cluster *c, const char *label);

struct metric {
	struct metrics_row row;
	value_fn value;
	lines_fn lines;
};

/* ---- lines ---- */

static void add_number(struct str *out, double v)
{
	char text[32], *p = text + sizeof(text);
	uint64_t n;

	if (v < 0 || v != floor(v) || v > 1e15) {
		str_addf(out, "%.9g", v);
		return;
	}
	n = (uint64_t)v;
	do {
		*--p = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	str_addn(out, p, (size_t)(text + sizeof(text) - p));
}

static void add_label_text(struct str *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\\' || *text == '"')
			str_addc(out, '\\');
		if (*text == '\n')
			str_add(out, "\\n");
		else
			str_addc(out, *text);
	}
}

/* name<suffix>{<label>,<more>} value */
static void add_line(
        const struct scrape *s, const char *suffix, const char *label, const char *more, double v)
{
	struct str *out = s->out;

	str_add(out, s->m->row.name);
	str_add(out, suffix);
	if (*label || *more) {
		str_addc(out, '{');
		str_add(out, label);
		str_add(out, *label && *more ? "," : "");
		str_add(out, more);
		str_addc(out, '}');
	}
	str_addc(out, ' ');
	add_number(out, v);
	str_addc(out, '\n');
}

static void add_named(
        const struct scrape *s, const char *label, const char *name, const char *text, double v)
{
	struct str *out = s->out;

	str_add(out, s->m->row.name);
	str_addc(out, '{');
	str_add(out, label);
	str_add(out, *label ? "," : "");
	str_add(out, name);
	str_add(out, "=\"");
	add_label_text(out, text);
	str_add(out, "\"} ");
	add_number(out, v);
	str_addc(out, '\n');
}

static void use_bounds(struct bounds *b, const int64_t *of)
{
	if (b->of == of)
		return;
	b->of = of;
	for (size_t i = 0; i < GLANCE_BINS - 1; i++)
		snprintf(b->text[i], sizeof(b->text[i]), "le=\"%g\"", (double)of[i] / 1e6);
}

static void add_histogram(
        const struct scrape *s, const char *label, const struct glance_histogram *h)
{
	uint64_t n = 0;

	use_bounds(s->bounds, h->bounds_us);
	for (size_t i = 0; i < GLANCE_BINS - 1; i++) {
		n += h->counts[i];
		add_line(s, "_bucket", label, s->bounds->text[i], (double)n);
	}
	n += h->counts[GLANCE_BINS - 1];
	add_line(s, "_bucket", label, "le=\"+Inf\"", (double)n);
	add_line(s, "_sum", label, "", (double)h->sum_us / 1e6);
	add_line(s, "_count", label, "", (double)n);
}

/* ---- of this process ---- */

#define PROCESS(name, expression)                                                                  \
	static bool name(const struct glance *g, const struct glance_cluster *c, double *ret)      \
	{                                                                                          \
		(void)c;                                                                           \
		*ret = (double)(expression);                                                       \
		return true;                                                                       \
	}

PROCESS(uptime, g->uptime_ms / 1e3)
PROCESS(tilt, g->tilt != NULL)
PROCESS(turns, g->loop_turns)
PROCESS(slow_turns, g->loop_slow)
PROCESS(busy, g->loop_busy_us / 1e6)
PROCESS(longest, g->loop_longest_us / 1e6)
PROCESS(timer_late, g->loop_late_ms / 1e3)
PROCESS(links_up, g->links_up)
PROCESS(links_hosts, g->links_hosts)
PROCESS(links_waiting, g->links_waiting)
PROCESS(links_most, g->links_most)

static void build_info(const struct scrape *s, const struct glance_cluster *c, const char *label)
{
	(void)c;
	add_named(s, label, "version", s->g->version, 1);
}

static void clusters(const struct scrape *s, const struct glance_cluster *c, const char *label)
{
	(void)c;
	for (int r = 0; r < GLANCE_RANKS; r++)
		add_named(s, label, "rank", glance_rank_name((enum glance_rank)r),
		        (double)s->g->count[r]);
}

static void looks_late(const struct scrape *s, const struct glance_cluster *c, const char *label)
{
	(void)c;
	add_histogram(s, label, &s->g->looks_late);
}

/* ---- of a cluster ---- */

#define CLUSTER(name, known, expression)                                                           \
	static bool name(const struct glance *g, const struct glance_cluster *c, double *ret)      \
	{                                                                                          \
		(void)g;                                                                           \
		if (!(known))                                                                      \
			return false;                                                              \
		*ret = (double)(expression);                                                       \
		return true;                                                                       \
	}

/* Instants as Prometheus wants them. */
static double wall(const struct glance *g, int64_t instant)
{
	return (double)(g->wall_ms - (g->at - instant)) / 1e3;
}

CLUSTER(rank, true, c->rank)
CLUSTER(watched, true, c->watched)
CLUSTER(config_error, true, c->problem != NULL)
CLUSTER(since, c->since, wall(g, c->since))
CLUSTER(paused, c->watched, c->paused)
CLUSTER(would_fail_over, c->watched, c->would_fail_over)
CLUSTER(last_good, c->last_good, wall(g, c->last_good))
CLUSTER(looks_failed, c->watched, c->looks_failed)
CLUSTER(semisync_ok, c->semisync, !c->semisync_text)
CLUSTER(ackers, c->semisync, c->ackers)
CLUSTER(acks_needed, c->semisync, c->acks_needed)
CLUSTER(acks_waiting, c->semisync && c->acks_waiting >= 0, c->acks_waiting)
CLUSTER(replicas, c->watched, c->n_replicas)
CLUSTER(replicas_broken, c->watched, c->n_ill)
CLUSTER(lag, c->watched && c->lag_s >= 0, c->lag_s)
CLUSTER(journal_open, c->watched, c->journal_open)
CLUSTER(with_loss, c->watched, c->with_loss)
CLUSTER(last_failover, c->last_at, c->last_at)
CLUSTER(last_opened, c->last_at && c->last_opened_ms >= 0, c->last_opened_ms / 1e3)

CLUSTER(rehearsed_at, c->rehearsal.result, c->rehearsal.at)
CLUSTER(rehearsal_expected, c->rehearsal.result, c->rehearsal.expected_ms / 1e3)
CLUSTER(rehearsal_problems, c->rehearsal.result, c->rehearsal.n_problems)
CLUSTER(rehearsal_worse, c->rehearsal.result, c->rehearsal.worse != NULL)

static void rehearsal_result(
        const struct scrape *s, const struct glance_cluster *c, const char *label)
{
	if (c->rehearsal.result)
		add_named(s, label, "result", c->rehearsal.result, 1);
}

static void state(const struct scrape *s, const struct glance_cluster *c, const char *label)
{
	add_named(s, label, "state", c->state, 1);
}

static void verdict(const struct scrape *s, const struct glance_cluster *c, const char *label)
{
	AUTO(free) char *more = xasprintf("verdict=\"%s\",kind=\"%s\"", c->verdict, c->kind);

	add_line(s, "", label, more, 1);
}

static void gates(const struct scrape *s, const struct glance_cluster *c, const char *label)
{
	for (size_t i = 0; c->gates && i < s->g->n_gates; i++)
		add_named(s, label, "gate", s->g->gate_names[i], c->gates[i].blocks);
}

static void looks(const struct scrape *s, const struct glance_cluster *c, const char *label)
{
	if (c->watched)
		add_histogram(s, label, &c->looks);
}

static void results(const struct scrape *s, const struct glance_cluster *c, const char *label,
        const uint64_t *counts)
{
	for (size_t i = 0; c->watched && i < GLANCE_RESULTS; i++)
		add_named(s, label, "result", s->g->result_names[i], (double)counts[i]);
}

static void failovers(const struct scrape *s, const struct glance_cluster *c, const char *label)
{
	results(s, c, label, c->failovers);
}

static void switches(const struct scrape *s, const struct glance_cluster *c, const char *label)
{
	results(s, c, label, c->switches);
}

/* ---- of a replica ---- */

#define each_replica(c, x)                                                                         \
	for (const struct glance_server *x = (c)->servers; x && x < (c)->servers + (c)->n_servers; \
	        x++)                                                                               \
		if (x->role == GLANCE_REPLICA)

static void replica_up(const struct scrape *s, const struct glance_cluster *c, const char *label)
{
	each_replica(c, x) add_named(s, label, "server", x->name, x->up);
}

static void replica_lag(const struct scrape *s, const struct glance_cluster *c, const char *label)
{
	each_replica(c, x) if (x->behind_s >= 0)
	        add_named(s, label, "server", x->name, (double)x->behind_s);
}

static void replica_io(const struct scrape *s, const struct glance_cluster *c, const char *label)
{
	each_replica(c, x) add_named(s, label, "server", x->name, x->io);
}

static void replica_sql(const struct scrape *s, const struct glance_cluster *c, const char *label)
{
	each_replica(c, x) add_named(s, label, "server", x->name, x->sql);
}

/* ---- the table ---- */

#define ONE(name, type, fn, help)                                                                  \
	{                                                                                          \
		{ name, type, "", help }, fn, NULL                                                 \
	}
#define SOME(name, type, labels, fn, help)                                                         \
	{                                                                                          \
		{ name, type, labels, help }, NULL, fn                                             \
	}
#define EACH(name, type, fn, help)                                                                 \
	{                                                                                          \
		{ name, type, "cluster", help }, fn, NULL                                          \
	}

/* Rows read better as they are. */
/* clang-format off */
static const struct metric table[] = {
	SOME("mhad_build_info", "gauge", "version", build_info, "Always 1; the label says which mhad this is."),
	ONE("mhad_uptime_seconds", "gauge", uptime, "Time since mhad started."),
	SOME("mhad_clusters", "gauge", "rank", clusters,
		"Clusters by how much they need a person: well, odd, ill (an alarm), down."),
	ONE("mhad_tilt", "gauge", tilt,
		"1 while nothing is decided because the manager's own host was ill a moment ago."),
	ONE("mhad_loop_turns_total", "counter", turns, "Turns of the event loop."),
	ONE("mhad_loop_slow_turns_total", "counter", slow_turns, "Turns that took more than 100 ms."),
	ONE("mhad_loop_busy_seconds_total", "counter", busy, "Time that the event loop was not asleep."),
	ONE("mhad_loop_longest_turn_seconds", "gauge", longest, "The longest turn since mhad started."),
	ONE("mhad_loop_timer_late_seconds", "gauge", timer_late, "The most that a timer came too late since mhad started."),
	SOME("mhad_look_late_seconds", "histogram", "", looks_late,
		"How late looks at masters began, all clusters: mhad's own jitter."),
	ONE("mhad_links_up", "gauge", links_up, "SSH sessions with hosts that are open and warm."),
	ONE("mhad_links_hosts", "gauge", links_hosts, "Hosts that mhad wants a session with."),
	ONE("mhad_links_waiting", "gauge", links_waiting, "Hosts that wait for a place among the sessions."),
	ONE("mhad_links_most", "gauge", links_most, "Sessions that may be open at once."),

	SOME("mhad_cluster_state", "gauge", "cluster, state", state,
		"Always 1; the label is the state of the watch. config_error: the file cannot be used, nobody watches."),
	SOME("mhad_cluster_verdict", "gauge", "cluster, verdict, kind", verdict,
		"Always 1; the labels are what the evidence says of the master, and its kind: good, wait, alarm, choice, dead."),
	EACH("mhad_cluster_rank", "gauge", rank, "0 well, 1 odd, 2 ill (an alarm), 3 down."),
	EACH("mhad_cluster_watched", "gauge", watched, "1 if the cluster is watched."),
	EACH("mhad_cluster_config_error", "gauge", config_error,
		"1 if its file cannot be used as it is now; it may still be watched with what it had."),
	EACH("mhad_cluster_state_timestamp_seconds", "gauge", since, "When the state last changed."),
	EACH("mhad_cluster_paused", "gauge", paused, "1 while a person has forbidden to act."),
	EACH("mhad_cluster_would_fail_over", "gauge", would_fail_over, "1 if no gate is shut: a failover would start now."),
	SOME("mhad_cluster_gate_blocked", "gauge", "cluster, gate", gates,
		"1 for each gate that forbids a failover now; verdict is shut as long as the master lives."),
	EACH("mhad_cluster_last_good_look_timestamp_seconds", "gauge", last_good, "When the master last answered as it should."),
	EACH("mhad_cluster_looks_failed_total", "counter", looks_failed, "Looks at the master that failed."),
	SOME("mhad_look_seconds", "histogram", "cluster", looks,
		"Time that the master took to answer, on a session that was there already."),
	EACH("mhad_cluster_semisync_ok", "gauge", semisync_ok,
		"Where semi-sync is on: 1 if commits are acknowledged as asked for, 0 if the master has fallen back or cannot."),
	EACH("mhad_cluster_semisync_ackers", "gauge", ackers, "Slaves that acknowledge, where semi-sync is on."),
	EACH("mhad_cluster_semisync_needed", "gauge", acks_needed, "Acknowledgements that a commit needs."),
	EACH("mhad_cluster_semisync_waiting", "gauge", acks_waiting, "Sessions that wait for a semi-sync acknowledgement."),
	EACH("mhad_cluster_replicas", "gauge", replicas, "Slaves that are watched."),
	EACH("mhad_cluster_replicas_broken", "gauge", replicas_broken, "Slaves that do not answer or do not replicate."),
	EACH("mhad_cluster_lag_seconds", "gauge", lag, "Seconds_Behind_Master of the slave that is most behind."),
	SOME("mhad_replica_up", "gauge", "cluster, server", replica_up, "1 if the slave answered its last poll, and is one."),
	SOME("mhad_replica_lag_seconds", "gauge", "cluster, server", replica_lag, "Its Seconds_Behind_Master, where it says one."),
	SOME("mhad_replica_io_running", "gauge", "cluster, server", replica_io, "1 if its receiver is connected."),
	SOME("mhad_replica_sql_running", "gauge", "cluster, server", replica_sql, "1 if its applier runs."),
	EACH("mhad_cluster_journal_open", "gauge", journal_open,
		"1 if a run stands in the journal: it goes on, or was killed and not brought to its end."),
	SOME("mhad_failovers_total", "counter", "cluster, result", failovers,
		"Failovers of which the record is kept, by result: success, partial, refused, undone, failed."),
	SOME("mhad_switches_total", "counter", "cluster, result", switches, "The same of planned switches."),
	EACH("mhad_failovers_with_loss_total", "counter", with_loss, "Those of them that could not save everything."),
	EACH("mhad_failover_last_timestamp_seconds", "gauge", last_failover, "When the last failover or switch ended."),
	EACH("mhad_failover_last_seconds", "gauge", last_opened,
		"Time from its first sign of trouble until the new master took writes."),
	EACH("mhad_rehearsal_timestamp_seconds", "gauge", rehearsed_at, "When a failover was last rehearsed."),
	SOME("mhad_rehearsal_result", "gauge", "cluster, result", rehearsal_result,
		"Always 1; the label is what it came to: ready, warnings, refused."),
	EACH("mhad_rehearsal_expected_seconds", "gauge", rehearsal_expected,
		"The least time without writes that it found for a failover."),
	EACH("mhad_rehearsal_problems", "gauge", rehearsal_problems, "Errors and warnings that it found."),
	EACH("mhad_rehearsal_worse", "gauge", rehearsal_worse, "1 if something was worse than in the one before."),
};
/* clang-format on */

size_t metrics_rows(void)
{
	return ARRAY_LEN(table);
}

struct metrics_row metrics_row(size_t i)
{
	return table[i].row;
}

/* ---- all ---- */

static void add_one(const struct scrape *s, const struct glance_cluster *c, const char *label)
{
	double v;

	if (s->m->lines)
		s->m->lines(s, c, label);
	else if (s->m->value(s->g, c, &v))
		add_line(s, "", label, "", v);
}

static void add_metric(const struct scrape *s)
{
	const struct metrics_row *r = &s->m->row;

	str_addf(s->out, "# HELP %s %s\n# TYPE %s %s\n", r->name, r->help, r->name, r->type);
	if (!str_starts(r->labels, "cluster")) {
		add_one(s, NULL, "");
		return;
	}
	for (size_t i = 0; i < s->g->n_clusters; i++)
		add_one(s, &s->g->clusters[i], s->labels[i]);
}

void metrics_text(struct str *out, const struct glance *g)
{
	struct bounds bounds = { 0 };
	struct scrape s = { .out = out, .g = g, .bounds = &bounds };

	s.labels = xzalloc((g->n_clusters + 1) * sizeof(*s.labels));
	for (size_t i = 0; i < g->n_clusters; i++) {
		struct str label = STR_INIT;

		str_add(&label, "cluster=\"");
		add_label_text(&label, g->clusters[i].name);
		str_addc(&label, '"');
		s.labels[i] = str_take(&label);
	}
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		s.m = &table[i];
		add_metric(&s);
	}
	for (size_t i = 0; i < g->n_clusters; i++)
		free(s.labels[i]);
	free(s.labels);
}
