/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_api - clusters and incidents as JSON; etc/api.schema.json says what each member is.  Runs on: the HTTP thread.
 */
#include "http_impl.h"
#include <stdlib.h>
#include "clock.h"
#include "control.h"
#include "incident_index.h"

enum { INCIDENTS = 500 };

static json_t *text_or_null(const char *text)
{
	return text && *text ? control_text(text) : json_null();
}

static json_t *number_or_null(int64_t n)
{
	return n < 0 ? json_null() : json_integer(n);
}

static json_t *age(const struct glance *g, int64_t instant)
{
	return instant ? json_integer(g->at - instant) : json_null();
}

/* ---- clusters ---- */

static json_t *server_json(
        const struct glance *g, const struct glance_cluster *c, const struct glance_server *s)
{
	static const char *const roles[] = { "master", "replica", "absent", "other" };
	bool is_replica = s->role == GLANCE_REPLICA;
	json_t *j = json_object();

	json_object_set_new(j, "server", control_text(s->name));
	json_object_set_new(j, "id", control_text(s->id));
	json_object_set_new(j, "role", json_string(roles[s->role]));
	json_object_set_new(
	        j, "source", s->source < 0 ? json_null() : control_text(c->servers[s->source].id));
	json_object_set_new(j, "state", text_or_null(s->state));
	json_object_set_new(j, "io", text_or_null(s->io_text));
	json_object_set_new(j, "sql",
	        is_replica && *s->io_text ? json_string(s->sql ? "Yes" : "No") : json_null());
	json_object_set_new(j, "behind_s", number_or_null(s->behind_s));
	json_object_set_new(j, "heard_ms", age(g, s->heard));
	json_object_set_new(j, "error", text_or_null(s->error));
	return j;
}

static json_t *servers_json(const struct glance *g, const struct glance_cluster *c)
{
	json_t *a = json_array();

	for (size_t i = 0; i < c->n_servers; i++)
		json_array_append_new(a, server_json(g, c, &c->servers[i]));
	return a;
}

static json_t *pause_json(const struct glance *g, const struct glance_cluster *c)
{
	if (!c->paused)
		return json_null();
	return json_pack("{s:o, s:o, s:o}", "until_ms",
	        c->paused_until == CLOCK_NEVER ? json_null()
	                                       : json_integer(c->paused_until - g->at),
	        "reason", control_text(c->pause_reason), "by", control_text(c->paused_by));
}

static json_t *semisync_json(const struct glance_cluster *c)
{
	if (!c->semisync)
		return json_null();
	return json_pack("{s:b, s:i, s:i, s:o, s:o}", "ok", !c->semisync_text, "ackers", c->ackers,
	        "needed", c->acks_needed, "waiting", number_or_null(c->acks_waiting), "text",
	        text_or_null(c->semisync_text));
}

static json_t *rehearsal_json(const struct glance_rehearsal *x)
{
	json_t *problems = json_array();

	for (size_t i = 0; i < x->n_problems; i++)
		json_array_append_new(problems, control_text(x->problems[i]));
	if (!x->result) {
		json_decref(problems);
		return json_null();
	}
	return json_pack("{s:I, s:s, s:o, s:I, s:o, s:o, s:o}", "at", (json_int_t)x->at, "result",
	        x->result, "text", control_text(x->text), "expected_ms", (json_int_t)x->expected_ms,
	        "problems", problems, "worse", text_or_null(x->worse), "skipped",
	        text_or_null(x->skipped));
}

static json_t *gate_json(const struct glance *g, const struct glance_cluster *c)
{
	if (c->blocked_by < 0)
		return json_null();
	return json_pack("{s:s, s:o}", "name", g->gate_names[c->blocked_by], "text",
	        control_text(c->gates[c->blocked_by].text));
}

static void add_findings(json_t *j, const struct glance_cluster *c)
{
	json_object_set_new(j, "name", control_text(c->name));
	json_object_set_new(j, "rank", json_string(glance_rank_name(c->rank)));
	json_object_set_new(j, "watched", json_boolean(c->watched));
	json_object_set_new(j, "state", json_string(c->state));
	json_object_set_new(j, "verdict", json_string(c->verdict));
	json_object_set_new(j, "kind", json_string(c->kind));
	json_object_set_new(j, "sentence", control_text(c->sentence));
	json_object_set_new(j, "why", text_or_null(c->why));
	json_object_set_new(j, "config_error", text_or_null(c->problem));
	json_object_set_new(j, "conf", control_text(c->path));
	json_object_set_new(j, "detection", text_or_null(c->detection));
}

json_t *http_cluster_json(const struct glance *g, const struct glance_cluster *c)
{
	json_t *j = json_object();

	add_findings(j, c);
	json_object_set_new(j, "since_ms", age(g, c->since));
	json_object_set_new(j, "would_fail_over", json_boolean(c->would_fail_over));
	json_object_set_new(j, "gate", gate_json(g, c));
	json_object_set_new(j, "master",
	        c->master < 0 ? json_null() : control_text(c->servers[c->master].name));
	json_object_set_new(j, "probe_us", number_or_null(c->took_us));
	json_object_set_new(j, "last_good_ms", age(g, c->last_good));
	json_object_set_new(j, "lag_s", number_or_null(c->lag_s));
	json_object_set_new(j, "paused", pause_json(g, c));
	json_object_set_new(j, "semisync", semisync_json(c));
	json_object_set_new(j, "servers", servers_json(g, c));
	json_object_set_new(j, "journal_open", json_boolean(c->journal_open));
	json_object_set_new(j, "rehearsal", rehearsal_json(&c->rehearsal));
	return j;
}

static json_t *gates_json(const struct glance *g, const struct glance_cluster *c)
{
	json_t *a = json_array();

	for (size_t i = 0; c->gates && i < g->n_gates; i++)
		json_array_append_new(
		        a, json_pack("{s:s, s:b, s:o, s:o}", "name", g->gate_names[i], "blocks",
		                   c->gates[i].blocks, "text", control_text(c->gates[i].text),
		                   "hint", text_or_null(c->gates[i].hint)));
	return a;
}

/* Takes `j`. */
static bool reply(struct http_request *r, json_t *j)
{
	static const struct http_reply as = { .status = 200, .type = "application/json" };
	struct str body = STR_INIT;
	char *text = json_dumps(j, JSON_COMPACT);

	json_decref(j);
	if (!text)
		return http_reply_error(r, 500, "Error", "The answer is no JSON.");
	str_addf(&body, "%s\n", text);
	free(text);
	return http_reply(r, &as, &body);
}

static bool all_clusters(struct http_request *r, const struct glance *g)
{
	json_t *a = json_array();

	for (size_t i = 0; i < g->n_clusters; i++)
		json_array_append_new(a, http_cluster_json(g, &g->clusters[i]));
	return reply(
	        r, json_pack("{s:I, s:s, s:o, s:I, s:o, s:o}", "at", (json_int_t)g->wall_ms,
	                   "version", g->version, "host", control_text(g->host), "uptime_ms",
	                   (json_int_t)g->uptime_ms, "tilt", text_or_null(g->tilt), "clusters", a));
}

static bool one_cluster(struct http_request *r, const struct glance *g, const char *name)
{
	const struct glance_cluster *c = glance_find(g, name);
	const struct http_ask *a;
	json_t *j, *detail;

	if (!c)
		return http_reply_error(r, 404, "Not found", "There is no cluster of this name.");
	a = http_ask_for(r, HTTP_CLUSTER, name);
	if (!a)
		return false;
	j = http_cluster_json(g, c);
	json_object_set_new(j, "gates", gates_json(g, c));
	detail = a->json ? json_loads(a->json, 0, NULL) : NULL;
	json_object_update(j, detail);
	json_decref(detail);
	return reply(r, json_pack("{s:I, s:o}", "at", (json_int_t)g->wall_ms, "cluster", j));
}

bool http_api_clusters(struct http_request *r, const char *name)
{
	const struct glance *g = http_glance(r);

	if (!g)
		return false;
	return name ? one_cluster(r, g, name) : all_clusters(r, g);
}

/* ---- incidents ---- */

static json_t *entry_json(const struct incident_entry *e)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "id",
	        control_text(e->id), "cluster", control_text(e->cluster), "run",
	        control_text(e->run), "plan", control_text(e->plan), "result",
	        control_text(e->result), "at", (json_int_t)e->at, "old_master",
	        text_or_null(e->dead), "new_master", text_or_null(e->fresh), "opened_ms",
	        number_or_null(e->opened_ms), "lost", text_or_null(e->lost), "fenced",
	        text_or_null(e->fenced), "why", text_or_null(e->why));
}

static bool all_incidents(struct http_request *r)
{
	const struct http_ask *a = http_ask_for(r, HTTP_INCIDENTS, NULL);
	const char *cluster = http_query(r, "cluster");
	const struct incident_entry *all;
	json_t *list;
	size_t n;

	if (!a)
		return false;
	if (!a->index)
		return http_reply_error(r, 503, "Not now", a->err.text);
	all = incident_index_all(a->index, &n);
	list = json_array();
	for (size_t i = 0; i < n && json_array_size(list) < INCIDENTS; i++) {
		if (!cluster || str_is(cluster, all[i].cluster))
			json_array_append_new(list, entry_json(&all[i]));
	}
	return reply(r, json_pack("{s:o}", "incidents", list));
}

static bool one_incident(struct http_request *r, const char *id)
{
	const struct http_ask *a = http_ask_for(r, HTTP_INCIDENT, id);
	const struct incident_entry *e;
	json_t *record, *j;

	if (!a)
		return false;
	if (a->err.kind != ERR_NONE)
		return http_reply_error(r, 503, "Not now", a->err.text);
	e = a->index ? incident_index_find(a->index, id) : NULL;
	record = a->json ? json_loads(a->json, 0, NULL) : NULL;
	if (!e || !record) {
		json_decref(record);
		return http_reply_error(r, 404, "Not found", "No such incident is kept.");
	}
	j = entry_json(e);
	json_object_set_new(j, "record", record);
	return reply(r, json_pack("{s:o}", "incident", j));
}

bool http_api_incidents(struct http_request *r, const char *id)
{
	return id ? one_incident(r, id) : all_incidents(r);
}
