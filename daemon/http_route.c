/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_route - which address means what.  Runs on: the HTTP thread.
 */
#include "http_impl.h"
#include "incident_index.h"
#include "metrics.h"
#include "page.h"
#include <stdlib.h>
#include <string.h>

static const struct http_reply html = { .status = 200, .type = "text/html; charset=utf-8" };

static bool not_found(struct http_request *r, const char *what)
{
	return http_reply_error(r, 404, "Not found", what);
}

/* ---- for machines ---- */

/* Without the loop: it is what is asked about. */
static bool healthz(struct http_request *r)
{
	AUTO_STR struct str body = STR_INIT;
	bool turns = http_loop_turns(r->http);

	str_add(&body, turns ? "ok\n" : "the event loop does not turn\n");
	return http_reply(r,
	        &(struct http_reply){
	                .status = turns ? 200 : 503, .type = "text/plain; charset=utf-8" },
	        &body);
}

/* The answers mean something: every cluster that can be watched has been looked at. */
static bool readyz(struct http_request *r)
{
	AUTO_STR struct str body = STR_INIT;
	struct glance *g = http_glance(r);
	size_t starting = 0;

	if (!g)
		return false;
	for (size_t i = 0; i < g->n_clusters; i++)
		starting += str_is(g->clusters[i].state, "starting");
	if (starting)
		str_addf(&body, "%zu of %zu clusters were not looked at yet\n", starting,
		        g->n_clusters);
	else
		str_add(&body, "ready\n");
	return http_reply(r,
	        &(struct http_reply){
	                .status = starting ? 503 : 200, .type = "text/plain; charset=utf-8" },
	        &body);
}

static bool metrics(struct http_request *r)
{
	AUTO_STR struct str body = STR_INIT;
	struct glance *g = http_glance(r);

	if (!g)
		return false;
	str_grow(&body, 4096 + g->n_clusters * 4096);
	metrics_text(&body, g);
	return http_reply(r,
	        &(struct http_reply){
	                .status = 200, .type = "text/plain; version=0.0.4; charset=utf-8" },
	        &body);
}

/* ---- for people ---- */

static int rank_of(const char *word)
{
	for (int i = 0; word && i < GLANCE_RANKS; i++) {
		if (str_is(word, glance_rank_name((enum glance_rank)i)))
			return i;
	}
	return -1;
}

static bool overview(struct http_request *r)
{
	const struct page_filter f = { http_query(r, "q"), rank_of(http_query(r, "show")) };
	AUTO_STR struct str body = STR_INIT;
	struct glance *g = http_glance(r);

	if (!g)
		return false;
	page_overview(&body, g, &f);
	return http_reply(r, &html, &body);
}

static bool cluster(struct http_request *r, const char *name)
{
	AUTO_STR struct str body = STR_INIT;
	const struct glance_cluster *c;
	struct glance *g = http_glance(r);
	const struct http_ask *detail;
	json_t *j;

	if (!g)
		return false;
	c = glance_find(g, name);
	if (!c)
		return not_found(r, "There is no cluster of this name.");
	detail = http_ask_for(r, HTTP_CLUSTER, name);
	if (!detail)
		return false;
	j = detail->json ? json_loads(detail->json, 0, NULL) : NULL;
	page_cluster(&body, g, c, j);
	json_decref(j);
	return http_reply(r, &html, &body);
}

static bool failed(struct http_request *r, const struct http_ask *a)
{
	return http_reply_error(r, 503, "Not now", a->err.text);
}

static bool incidents(struct http_request *r)
{
	AUTO_STR struct str body = STR_INIT;
	struct glance *g = http_glance(r);
	const struct http_ask *a = g ? http_ask_for(r, HTTP_INCIDENTS, NULL) : NULL;

	if (!a)
		return false;
	if (!a->index)
		return failed(r, a);
	page_incidents(&body, g, a->index, http_query(r, "cluster"));
	return http_reply(r, &html, &body);
}

static bool incident(struct http_request *r, const char *id)
{
	AUTO_STR struct str body = STR_INIT;
	struct glance *g = http_glance(r);
	const struct http_ask *a = g ? http_ask_for(r, HTTP_INCIDENT, id) : NULL;
	const struct incident_entry *e;
	json_t *j;

	if (!a)
		return false;
	if (a->err.kind != ERR_NONE)
		return failed(r, a);
	e = a->index ? incident_index_find(a->index, id) : NULL;
	j = a->json ? json_loads(a->json, 0, NULL) : NULL;
	if (!e || !j) {
		json_decref(j);
		return not_found(r, "No such incident is kept.");
	}
	page_incident(&body, g, e, j);
	json_decref(j);
	return http_reply(r, &html, &body);
}

/* ---- the table ---- */

static bool api_clusters(struct http_request *r)
{
	return http_api_clusters(r, NULL);
}

static bool api_incidents(struct http_request *r)
{
	return http_api_incidents(r, NULL);
}

static bool api_events(struct http_request *r)
{
	return http_live_begin(r, HTTP_LIVE_API);
}

static bool live(struct http_request *r)
{
	return http_live_begin(r, HTTP_LIVE_PAGE);
}

static bool schema(struct http_request *r)
{
	return http_static(r, "api.schema.json");
}

static bool favicon(struct http_request *r)
{
	return http_static(r, "well.svg");
}

bool http_route(struct http_request *r)
{
	static const struct {
		const char *path;
		bool (*whole)(struct http_request *r);
		bool (*below)(struct http_request *r, const char *rest); /* path ends in a slash */
	} routes[] = {
		{ "/", overview, NULL },
		{ "/clusters/", NULL, cluster },
		{ "/incidents", incidents, NULL },
		{ "/incidents/", NULL, incident },
		{ "/live", live, NULL },
		{ "/static/", NULL, http_static },
		{ "/favicon.ico", favicon, NULL },
		{ "/metrics", metrics, NULL },
		{ "/healthz", healthz, NULL },
		{ "/readyz", readyz, NULL },
		{ "/api/v1/clusters", api_clusters, NULL },
		{ "/api/v1/clusters/", NULL, http_api_clusters },
		{ "/api/v1/incidents", api_incidents, NULL },
		{ "/api/v1/incidents/", NULL, http_api_incidents },
		{ "/api/v1/events", api_events, NULL },
		{ "/api/v1/schema", schema, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		const char *rest = r->path + strlen(routes[i].path);

		if (routes[i].whole && str_is(r->path, routes[i].path))
			return routes[i].whole(r);
		if (routes[i].below && str_starts(r->path, routes[i].path) && *rest)
			return routes[i].below(r, rest);
	}
	return not_found(r, "There is nothing at this address.");
}
