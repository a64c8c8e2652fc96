/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http - serves made-up clusters, for tests of pages and metrics: no servers, no mhad.
 *
 *	http --listen=127.0.0.1:0 --clusters=1000 --ill=5 [--state-dir=DIR] [--config-dir=DIR]
 *
 * SIGUSR1: the first cluster dies; SIGUSR2: it is well again; SIGHUP: settings are read again.  With --stuck the loop
 * stops turning at SIGUSR1.
 */
#include "clock.h"
#include "flap.h"
#include "glance.h"
#include "http.h"
#include "incident.h"
#include "incident_index.h"
#include "log.h"
#include "loop.h"
#include "opt.h"
#include "str.h"
#include "watch.h"
#include "watch_self.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct tool {
	const char *listen, *state_dir, *confdir;
	int64_t clusters, ill;
	bool stuck, dead;
	struct loop *loop;
	struct http *http;
	int64_t born;
} tool = { .listen = "127.0.0.1:9780", .clusters = 3 };

struct kind {
	const char *state, *verdict, *kind, *sentence, *why;
	int lag;
};

static const struct kind kinds[] = {
	{ "monitoring", "healthy", "good", "the master answers", "a read was answered", 0 },
	{ "blocked", "process_dead", "dead", "the server's process is gone",
	        "refused by db1(10.0.0.1:3306); its host has no mysqld of port 3306 & says <so>",
	        0 },
	{ "monitoring", "disk_full", "choice", "the master answers but its disk is full",
	        "1021 (Disk full (/srv/mysql/tmp); waiting for someone to free some space...)", 0 },
	{ "suspect", "suspect", "wait", "the master does not answer; evidence is being gathered",
	        "no answer for 1.2 s", 0 },
	{ "monitoring", "healthy", "good", "the master answers", "a read was answered", 4711 },
	{ "monitoring", "manager_cut", "alarm",
	        "this host is cut off: the master does not answer it, but others hear it, or "
	        "nobody "
	        "else answers either",
	        "2 of 2 replicas hear it", 0 },
	{ "config_error", "unknown", "wait", "app.conf:12: Parameter name hostnam is invalid!", "",
	        0 },
};

static struct glance_server server(
        struct arena *a, int i, int n, enum glance_role role, const struct kind *k)
{
	struct glance_server s = { .name = arena_printf(a, "db%d(10.%d.%d.%d:3306)", n + 1, i / 250,
		                           i % 250, n + 1),
		.id = arena_printf(a, "db%d", n + 1),
		.role = role,
		.source = -1,
		.state = "",
		.io_text = "",
		.behind_s = -1,
		.error = "" };

	if (role != GLANCE_REPLICA)
		return s;
	s.state = "up";
	s.up = s.sql = s.io = true;
	s.io_text = "Yes";
	s.source = n == 4 ? 1 : 0;
	s.behind_s = n == 2 ? k->lag : 0;
	s.heard = clock_ms() - 200;
	if (k->lag && n == 1) {
		s.sql = false;
		s.error =
		        "Error 'Duplicate entry '7' for key 'PRIMARY'' on query. Default database: "
		        "'shop'. Query: 'insert into t values (7)'";
	}
	return s;
}

static void add_gates(struct arena *a, const struct kind *k, struct glance_cluster *c)
{
	struct glance_gate *g = ARENA_ARRAY(a, struct glance_gate, GATE_COUNT);

	c->blocked_by = -1;
	for (int i = GATE_COUNT - 1; i >= 0; i--) {
		g[i] = (struct glance_gate){ .text = "nothing stands against it", .hint = "" };
		if (i == GATE_VERDICT && !str_is(k->kind, "dead"))
			g[i] = (struct glance_gate){ true,
				arena_printf(a, "%s: %s", k->verdict, k->why), "" };
		if (i == GATE_RECENT && str_is(k->kind, "dead"))
			g[i] = (struct glance_gate){ true,
				"a failover ended 2 h ago, failover_interval is 8h",
				"mhactl ack c0001 --reason=..." };
		if (g[i].blocks)
			c->blocked_by = i;
	}
	c->gates = g;
	c->would_fail_over = c->blocked_by < 0;
}

static void add_looks(struct glance_cluster *c, int i)
{
	c->looks.bounds_us = watch_self_bounds_us;
	for (int b = 0; b < GLANCE_BINS; b++)
		c->looks.counts[b] = b < 5 ? (uint64_t)(100 * b + i) : 0;
	c->looks.sum_us = 12345 * (i + 1);
	c->looks_failed = (uint64_t)i;
}

static struct glance_rehearsal rehearsal(int i)
{
	static const char *const problems[] = {
		"SSH to root@db3(10.0.0.13:22) does not work: connection refused",
		"the disk of db2(10.0.0.12:3306) has 120 MB left",
	};
	bool worse = i % 5 == 1;

	return (struct glance_rehearsal){ .result = worse ? "warnings" : "ready",
		.text = "db2(10.0.0.12:3306) would be the new master, in 1.4 s or more",
		.worse = worse ? problems[0] : NULL,
		.at = 1795140999,
		.expected_ms = 1400,
		.n_problems = worse ? ARRAY_LEN(problems) : 0,
		.problems = problems,
		.skipped = i % 5 == 2 ? "it is paused, or somebody changes it" : NULL };
}

static void fill(struct arena *a, int i, const struct kind *k, struct glance_cluster *c)
{
	int n = 3 + i % 3;
	struct glance_server *all = ARENA_ARRAY(a, struct glance_server, (size_t)n);

	*c = (struct glance_cluster){ .name = arena_printf(
		                              a, i % 7 == 3 ? "eu-west-orders-%04d" : "c%04d", i),
		.path = arena_printf(a, "/etc/mhad/clusters.d/c%04d.conf", i),
		.watched = !str_is(k->state, "config_error"),
		.state = k->state,
		.verdict = k->verdict,
		.kind = k->kind,
		.sentence = k->sentence,
		.why = k->why,
		.detection = "corroborated",
		.since = tool.born - 1000 * (int64_t)i,
		.took_us = 420,
		.last_good = clock_ms() - 300,
		.pause_reason = "",
		.paused_by = "",
		.acks_waiting = i % 2 ? 0 : -1,
		.semisync = i % 2,
		.ackers = i % 3,
		.acks_needed = 1,
		.semisync_text = i == 9 && tool.ill ? "the master has fallen back to asynchronous: "
		                                      "no slave acknowledges"
		                                    : NULL,
		.blocked_by = -1,
		.master = -1,
		.last_opened_ms = -1 };
	if (!c->watched) {
		c->problem = k->sentence;
		return;
	}
	for (int s = 0; s < n; s++)
		all[s] = server(a, i, s, s ? GLANCE_REPLICA : GLANCE_MASTER, k);
	if (i % 3)
		c->rehearsal = rehearsal(i);
	c->servers = all;
	c->n_servers = (size_t)n;
	c->master = 0;
	add_gates(a, k, c);
	add_looks(c, i);
}

static int by_name(const void *a, const void *b)
{
	const struct glance_cluster *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static const struct kind *kind_of(int i)
{
	if (i == 1 || tool.clusters == 1)
		return &kinds[tool.dead ? 1 : 0];
	return i > 1 && i - 2 < tool.ill ? &kinds[1 + (i - 1) % (int)(ARRAY_LEN(kinds) - 1)]
	                                 : &kinds[0];
}

static struct glance *made_up(void)
{
	static const char *gates[GATE_COUNT], *results[INCIDENT_RESULTS];
	struct glance *g = glance_new();

	for (int i = 0; i < GATE_COUNT; i++)
		gates[i] = watch_gate_name((enum watch_gate)i);
	for (int i = 0; i < INCIDENT_RESULTS; i++)
		results[i] = run_result_name((enum run_result)i);
	g->gate_names = gates;
	g->n_gates = GATE_COUNT;
	g->result_names = results;
	g->version = MHAD_VERSION;
	g->host = "mgr1.example.org";
	g->pid = getpid();
	g->uptime_ms = clock_ms() - tool.born + 86400000;
	g->wall_ms = flap_now_ms();
	g->looks_late.bounds_us = watch_self_bounds_us;
	g->n_clusters = (size_t)tool.clusters;
	g->clusters = ARENA_ARRAY(g->arena, struct glance_cluster, g->n_clusters + 1);
	for (int i = 0; i < tool.clusters; i++)
		fill(g->arena, i, kind_of(i), &g->clusters[i]);
	qsort(g->clusters, g->n_clusters, sizeof(*g->clusters), by_name);
	glance_publish(g);
	return g;
}

static void tell_incident(struct http_ask *ask)
{
	const struct incident_entry *e;
	json_t *j;

	ask->index = incident_index_read(tool.state_dir, NULL, &ask->err);
	e = ask->index ? incident_index_find(ask->index, ask->name) : NULL;
	j = e ? incident_load(tool.state_dir, e->cluster, e->run, &ask->err) : NULL;
	ask->json = j ? json_dumps(j, 0) : NULL;
	json_decref(j);
}

static void answer(void *arg, struct http_ask *ask)
{
	json_t *detail;

	(void)arg;
	switch (ask->want) {
	case HTTP_GLANCE: ask->glance = made_up(); break;
	case HTTP_CLUSTER:
		detail = json_pack("{s:[{s:I, s:s, s:s}], s:[{s:s, s:s, s:s, s:s}]}", "evidence",
		        "at", (json_int_t)flap_now_ms() - 2000, "who", "probe", "text",
		        "a read was answered in 0.4 ms", "history", "at",
		        "2026-11-20T03:12:09+0100", "what", "state", "text",
		        "monitoring -> suspect", "by", "mhad");
		ask->json = json_dumps(detail, 0);
		json_decref(detail);
		break;
	case HTTP_INCIDENTS:
		ask->index = incident_index_read(tool.state_dir, NULL, &ask->err);
		break;
	case HTTP_INCIDENT: tell_incident(ask); break;
	}
	http_answer(ask);
}

static void configure(void)
{
	struct http_conf c = { 0 };
	struct err e = { 0 };

	if (!tool.confdir)
		c.listen = xstrdup(tool.listen);
	else if (!http_conf_read(tool.confdir, &c, &e))
		log_err(LOG_LV_ERROR, &e);
	http_configure(tool.http, &c);
}

static void on_signal(void *arg, int signo)
{
	(void)arg;
	if (signo == SIGTERM)
		loop_stop(tool.loop);
	else if (signo == SIGHUP)
		configure();
	else if (signo == SIGUSR1 && tool.stuck)
		sleep(60);
	tool.dead = signo == SIGUSR1;
	http_changed(tool.http);
}

int main(int argc, char **argv)
{
	const struct opt opts[] = { { "listen", OPT_STR, .to = &tool.listen },
		{ "clusters", OPT_INT, .to = &tool.clusters, .max = 100000 },
		{ "ill", OPT_INT, .to = &tool.ill, .max = 100000 },
		{ "state-dir", OPT_STR, .to = &tool.state_dir },
		{ "config-dir", OPT_STR, .to = &tool.confdir },
		{ "stuck", OPT_FLAG, .to = &tool.stuck }, { 0 } };
	static const int signals[] = { SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };
	struct loop_signal *s[ARRAY_LEN(signals)];
	struct err e = { 0 };

	signal(SIGPIPE, SIG_IGN);
	if (!opt_parse(opts, argc, argv, NULL, &e)) {
		fprintf(stderr, "%s\n", e.text);
		return 2;
	}
	tool.born = clock_ms();
	tool.loop = loop_new();
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		s[i] = loop_signal_new(tool.loop, signals[i], on_signal, NULL);
	tool.http = http_new(tool.loop, -1, answer, NULL, &e);
	configure();
	log_info("ready");
	loop_run(tool.loop);
	http_free(tool.http);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		loop_signal_free(s[i]);
	loop_free(tool.loop);
	return 0;
}
