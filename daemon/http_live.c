/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_live - server-sent events.  Each stream holds the glance that it has told; when a newer one is there, what
 * differs is told.  So a slow reader misses steps in between and never makes anything grow.  Runs on: the HTTP
 * thread.
 *
 * /api/v1/events gives each cluster as JSON (event cluster, then gone when it goes; ready after the first round),
 * /live what page.js needs: parts of the overview, or "stale" where the page is best asked for again.
 */
#include "http_impl.h"
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "page.h"

enum { BLOCK = 16 * 1024, RETRY_MS = 2000 };

struct http_live {
	struct http *http;
	struct http_request *request;
	enum http_live_kind kind;
	char *query, *cluster; /* of the page */
	int rank;
	struct glance *told;
	struct str out;
	size_t at; /* so much of it was taken */
	int64_t ping_at;
	bool ended;
	struct http_live *prev, *next;
};

/* ---- events ---- */

static void add_data(struct http_live *l, const char *event, const char *text)
{
	str_addf(&l->out, "event: %s\n", event);
	for (;;) {
		size_t n = strcspn(text, "\n");

		str_add(&l->out, "data: ");
		str_addn(&l->out, text, n);
		str_addc(&l->out, '\n');
		text += n;
		if (!*text || !text[1])
			break;
		text++;
	}
	str_addc(&l->out, '\n');
}

static void add_json(struct http_live *l, const char *event, json_t *j)
{
	char *text = json_dumps(j, JSON_COMPACT);

	add_data(l, event, text ? text : "{}");
	free(text);
	json_decref(j);
}

static void tell_api(struct http_live *l, const struct glance *g, const struct glance_cluster *c)
{
	add_json(l, "cluster",
	        json_pack("{s:I, s:o}", "at", (json_int_t)g->wall_ms, "cluster",
	                http_cluster_json(g, c)));
}

static void tell_gone(struct http_live *l, const struct glance *g, const char *name)
{
	add_json(l, "gone", json_pack("{s:I, s:s}", "at", (json_int_t)g->wall_ms, "name", name));
}

static void tell_card(struct http_live *l, const struct glance *g, const struct glance_cluster *c)
{
	AUTO_STR struct str part = STR_INIT;

	page_card(&part, g, c);
	add_data(l, "part", part.p);
}

/* ---- what differs ---- */

typedef void (*pair_fn)(struct http_live *l, const struct glance *now,
        const struct glance_cluster *before, const struct glance_cluster *after);

/* Both are in the order of names; either of a pair may be NULL. */
static void each_pair(struct http_live *l, const struct glance *now, pair_fn fn)
{
	const struct glance *then = l->told;
	size_t i = 0, k = 0, n = then ? then->n_clusters : 0;

	while (i < n || k < now->n_clusters) {
		int order = i == n ? 1
		            : k == now->n_clusters
		                    ? -1
		                    : strcmp(then->clusters[i].name, now->clusters[k].name);

		fn(l, now, order <= 0 ? &then->clusters[i] : NULL,
		        order >= 0 ? &now->clusters[k] : NULL);
		i += order <= 0;
		k += order >= 0;
	}
}

static void pair_api(struct http_live *l, const struct glance *now,
        const struct glance_cluster *before, const struct glance_cluster *after)
{
	if (before && !after)
		tell_gone(l, now, before->name);
	else if (after && (!before || !glance_same(before, after)))
		tell_api(l, now, after);
}

static void pair_page(struct http_live *l, const struct glance *now,
        const struct glance_cluster *before, const struct glance_cluster *after)
{
	const struct page_filter f = { l->query, l->rank };
	bool was = before && page_is_shown(&f, before), is = after && page_is_shown(&f, after);

	if (!was && !is)
		return;
	if (was != is || before->rank != after->rank)
		add_data(l, "stale", after ? after->name : before->name);
	else if (!glance_same(before, after))
		tell_card(l, now, after);
}

static bool same_counts(const struct glance *a, const struct glance *b)
{
	return !memcmp(a->count, b->count, sizeof(a->count)) && str_is(a->tilt, b->tilt) &&
	       a->n_clusters == b->n_clusters;
}

static void tell_counts(struct http_live *l, const struct glance *now)
{
	AUTO_STR struct str part = STR_INIT;

	if (same_counts(l->told, now))
		return;
	page_counts(&part, now);
	add_data(l, "part", part.p);
}

/* The page of one cluster has more than a glance: it is asked for again. */
static void tell_cluster(struct http_live *l, const struct glance *now)
{
	const struct glance_cluster *a = glance_find(l->told, l->cluster);
	const struct glance_cluster *b = glance_find(now, l->cluster);

	if (!a != !b || (a && !glance_same(a, b)) || now->wall_ms / 5000 != l->told->wall_ms / 5000)
		add_data(l, "stale", l->cluster);
}

static void tell(struct http_live *l, struct glance *now)
{
	bool first = !l->told;

	if (l->kind == HTTP_LIVE_API)
		each_pair(l, now, pair_api);
	else if (!first && l->cluster)
		tell_cluster(l, now);
	else if (!first) {
		tell_counts(l, now);
		each_pair(l, now, pair_page);
	}
	if (first)
		add_json(l, "ready", json_pack("{s:I}", "at", (json_int_t)now->wall_ms));
	else if (l->kind == HTTP_LIVE_PAGE)
		add_json(l, "now", json_pack("{s:I}", "at", (json_int_t)now->wall_ms));
	glance_free(l->told);
	l->told = glance_hold(now);
}

/* ---- the stream ---- */

/* Something is there to be taken afterwards, or the stream rests. */
static void refill(struct http_live *l)
{
	struct http *h = l->http;

	if (l->at < l->out.len)
		return;
	str_clear(&l->out);
	l->at = 0;
	if (h->glance && h->glance != l->told)
		tell(l, h->glance);
	if (!l->out.len && !clock_left(l->ping_at))
		str_add(&l->out, ": still here\n\n");
	if (l->out.len)
		l->ping_at = clock_in(HTTP_PING_MS);
}

static ssize_t take(void *cls, uint64_t pos, char *buf, size_t most)
{
	struct http_live *l = cls;
	size_t n;

	(void)pos;
	if (l->ended)
		return MHD_CONTENT_READER_END_OF_STREAM;
	refill(l);
	n = l->out.len - l->at;
	if (!n) {
		http_suspend(l->request);
		return 0;
	}
	n = n < most ? n : most;
	memcpy(buf, l->out.p + l->at, n);
	l->at += n;
	return (ssize_t)n;
}

static void live_free(void *cls)
{
	struct http_live *l = cls;
	struct http *h = l->http;

	if (l->prev)
		l->prev->next = l->next;
	else
		h->lives = l->next;
	if (l->next)
		l->next->prev = l->prev;
	h->n_lives--;
	glance_free(l->told);
	str_done(&l->out);
	free(l->query);
	free(l->cluster);
	free(l);
}

static int rank_of(const char *word)
{
	for (int i = 0; word && i < GLANCE_RANKS; i++) {
		if (str_is(word, glance_rank_name((enum glance_rank)i)))
			return i;
	}
	return -1;
}

static struct http_live *live_new(struct http_request *r, enum http_live_kind kind)
{
	struct http_live *l = xzalloc(sizeof(*l));
	struct http *h = r->http;

	l->http = h;
	l->request = r;
	l->kind = kind;
	l->query = xstrdup(http_query(r, "q"));
	l->cluster = xstrdup(http_query(r, "cluster"));
	l->rank = rank_of(http_query(r, "show"));
	l->ping_at = clock_in(HTTP_PING_MS);
	l->next = h->lives;
	if (l->next)
		l->next->prev = l;
	h->lives = l;
	if (!h->n_lives++)
		h->feed_at = clock_in(HTTP_FEED_MS);
	str_addf(&l->out, "retry: %d\n\n", RETRY_MS);
	return l;
}

bool http_live_begin(struct http_request *r, enum http_live_kind kind)
{
	struct MHD_Response *m;
	bool fine;

	if (r->http->n_lives >= HTTP_STREAMS)
		return http_reply_error(r, 503, "Too many", "Too many streams are open.");
	if (!http_glance(r))
		return false;
	r->deadline = 0;
	m = MHD_create_response_from_callback(
	        MHD_SIZE_UNKNOWN, BLOCK, take, live_new(r, kind), live_free);
	if (!m)
		return false;
	MHD_add_response_header(m, "Content-Type", "text/event-stream; charset=utf-8");
	MHD_add_response_header(m, "Cache-Control", "no-store");
	MHD_add_response_header(m, "X-Accel-Buffering", "no"); /* a proxy must not collect them */
	MHD_add_response_header(m, "X-Content-Type-Options", "nosniff");
	fine = MHD_queue_response(r->peer, 200, m) == MHD_YES;
	MHD_destroy_response(m);
	return fine;
}

void http_live_feed(struct http *h)
{
	for (struct http_live *l = h->lives; l; l = l->next) {
		if (!l->request->suspended)
			continue;
		refill(l);
		if (l->out.len > l->at)
			http_resume(l->request);
	}
}

int64_t http_live_due(const struct http *h)
{
	int64_t at = CLOCK_NEVER;

	for (const struct http_live *l = h->lives; l; l = l->next) {
		if (l->request->suspended)
			at = clock_sooner(at, l->ping_at);
	}
	return at;
}

void http_live_end_all(struct http *h)
{
	for (struct http_live *l = h->lives; l; l = l->next)
		l->ended = true;
}
