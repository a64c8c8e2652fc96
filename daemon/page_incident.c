/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page_incident - what has happened: a list, and each incident with its timeline drawn.  Runs on: any thread.
 */
#include "page_impl.h"
#include <inttypes.h>
#include "incident_index.h"

static enum glance_rank rank_of(const char *result)
{
	if (str_is(result, "success"))
		return GLANCE_WELL;
	if (str_is(result, "partial") || str_is(result, "undone"))
		return GLANCE_ODD;
	return str_is(result, "refused") ? GLANCE_ILL : GLANCE_DOWN;
}

static void add_host(struct str *out, const char *server)
{
	AUTO(free) char *host = xstrndup(server, page_host_len(server));

	page_text(out, *host ? host : "none");
}

/* ---- the list ---- */

static void add_row(struct str *out, const struct incident_entry *e)
{
	str_add(out, "<tr><td data-label=\"When\"><a href=\"/incidents/");
	page_segment(out, e->id);
	str_add(out, "\">");
	page_when(out, e->at);
	str_add(out, "</a></td><td data-label=\"Cluster\">");
	page_text(out, e->cluster);
	str_add(out, "</td><td data-label=\"What\">");
	page_text(out, e->plan);
	str_add(out, "</td><td data-label=\"Result\">");
	page_badge(out, rank_of(e->result), e->result);
	str_add(out, "</td><td data-label=\"Master\">");
	add_host(out, e->dead);
	str_add(out, " <span aria-hidden=\"true\">→</span><span class=\"hide\"> then </span> ");
	add_host(out, e->fresh);
	str_add(out, "</td><td data-label=\"No writes\">");
	if (e->opened_ms >= 0)
		page_exact(out, e->opened_ms);
	else
		str_add(out, "–");
	str_add(out, "</td><td data-label=\"Lost\">");
	page_text(out, *e->lost ? e->lost : "nothing");
	str_add(out, "</td></tr>\n");
}

void page_incidents(struct str *out, const struct glance *g, const struct incident_index *x,
        const char *cluster)
{
	size_t n, shown = 0;
	const struct incident_entry *all = incident_index_all(x, &n);

	page_begin(out, g, &(struct page_head){ .title = "Incidents", .where = "/incidents" });
	str_add(out, "<h1>Incidents");
	if (cluster) {
		str_add(out, " of ");
		page_text(out, cluster);
	}
	str_add(out, "</h1>\n");
	if (cluster)
		str_add(out, "<p><a href=\"/incidents\">Of all clusters</a></p>\n");
	for (size_t i = 0; i < n && shown < 500; i++) {
		if (cluster && !str_is(all[i].cluster, cluster))
			continue;
		if (!shown++)
			str_add(out,
			        "<table class=\"list\">\n<thead><tr><th scope=\"col\">When</th>"
			        "<th scope=\"col\">Cluster</th><th scope=\"col\">What</th>"
			        "<th scope=\"col\">Result</th><th scope=\"col\">Master</th>"
			        "<th scope=\"col\">No writes for</th><th "
			        "scope=\"col\">Lost</th></tr></thead>\n"
			        "<tbody>\n");
		add_row(out, &all[i]);
	}
	str_add(out, shown ? "</tbody>\n</table>\n" : "<p>Nothing has happened yet.</p>\n");
	page_end(out, g);
}

/* ---- one ---- */

static const char *text_of(const json_t *j, const char *name)
{
	const char *s = json_string_value(json_object_get(j, name));

	return s ? s : "";
}

static int64_t number_of(const json_t *j, const char *name)
{
	return json_integer_value(json_object_get(j, name));
}

static void add_fact(struct str *out, const char *name, const char *text)
{
	if (!*text)
		return;
	str_addf(out, "<div><dt>%s</dt><dd>", name);
	page_text(out, text);
	str_add(out, "</dd></div>\n");
}

static void add_facts(struct str *out, const struct incident_entry *e, const json_t *r)
{
	const json_t *error = json_object_get(r, "error");
	AUTO(free)
	char *fence = xasprintf("%s%s%s", text_of(r, "fenced"),
	        *text_of(r, "fenced_why") ? ": " : "", text_of(r, "fenced_why"));

	str_add(out, "<dl class=\"facts\">\n<div><dt>Ended</dt><dd>");
	page_when(out, e->at);
	str_add(out, "</dd></div>\n");
	add_fact(out, "Old master", e->dead);
	add_fact(out, "New master", *e->fresh ? e->fresh : "none");
	add_fact(out, "Why", e->why);
	add_fact(out, "Fencing", fence);
	if (str_is(e->plan, "failover"))
		add_fact(out, "Lost", *e->lost ? e->lost : "nothing that is known of");
	add_fact(out, "Error", text_of(error, "text"));
	add_fact(out, "To do", text_of(error, "hint"));
	add_fact(out, "Run", e->run);
	str_add(out, "</dl>\n");
}

/* Steps that ran for an instant are drawn two units wide, of a thousand, to be seen. */
static void add_bar(
        struct str *out, int64_t from, int64_t ms, int64_t first, int64_t last, const char *state)
{
	double all = last > first ? (double)(last - first) : 1;
	double x = (double)(from - first) / all * 1000, w = (double)ms / all * 1000;

	if (w < 4)
		w = 4;
	if (x > 1000 - w)
		x = 1000 - w;
	str_addf(out,
	        "<svg class=\"bar\" viewBox=\"0 0 1000 16\" preserveAspectRatio=\"none\" "
	        "aria-hidden=\"true\" focusable=\"false\"><rect class=\"rail\" x=\"0\" y=\"7\" "
	        "width=\"1000\" height=\"2\"/><rect class=\"span %s\" x=\"%.1f\" y=\"2\" "
	        "width=\"%.1f\" height=\"12\"/></svg>",
	        str_is(state, "done") ? "good" : "bad", x, w);
}

static void ends_of(const json_t *steps, int64_t *first, int64_t *last)
{
	const json_t *one;
	size_t i;

	*first = *last = 0;
	json_array_foreach (steps, i, one) {
		int64_t from = number_of(one, "from_ms"), end = from + number_of(one, "ms");

		if (from < *first)
			*first = from;
		if (end > *last)
			*last = end;
	}
}

static void add_step(struct str *out, const json_t *step, int64_t first, int64_t last)
{
	int64_t from = number_of(step, "from_ms"), ms = number_of(step, "ms");
	const char *state = text_of(step, "state");
	const char *error = text_of(json_object_get(step, "error"), "text");

	str_add(out, "<tr><th scope=\"row\"><code>");
	page_text(out, text_of(step, "step"));
	str_add(out, "</code> ");
	page_text(out, text_of(step, "title"));
	if (!str_is(state, "done")) {
		str_add(out, " ");
		page_badge(out, GLANCE_ILL, state);
	}
	if (*error) {
		str_add(out, "<p class=\"error\">");
		page_text(out, error);
		str_add(out, "</p>");
	}
	str_addf(out,
	        "</th><td data-label=\"from\">%" PRId64 "<span class=\"unit\"> ms</span></td>"
	        "<td data-label=\"took\">%" PRId64
	        "<span class=\"unit\"> ms</span></td><td class=\"drawn\">",
	        from, ms);
	add_bar(out, from, ms, first, last, state);
	str_add(out, "</td></tr>\n");
}

static void add_timeline(struct str *out, const json_t *r)
{
	const json_t *steps = json_object_get(r, "timeline"), *one;
	int64_t first, last;
	size_t i;

	if (!json_array_size(steps))
		return;
	ends_of(steps, &first, &last);
	str_add(out, "<section aria-labelledby=\"h-line\">\n<h2 id=\"h-line\">Timeline</h2>\n"
	             "<p class=\"muted\">Milliseconds from the begin, or from the first sign that "
	             "something was wrong; ");
	page_exact(out, last - first);
	str_add(out,
	        " in all.</p>\n<table class=\"timeline\">\n<thead><tr><th scope=\"col\">Step</th>"
	        "<th scope=\"col\">From</th><th scope=\"col\">Took</th>"
	        "<th scope=\"col\"><span class=\"hide\">Drawn</span></th></tr></thead>\n<tbody>\n");
	json_array_foreach (steps, i, one) {
		add_step(out, one, first, last);
	}
	str_add(out, "</tbody>\n</table>\n</section>\n");
}

static void add_texts(
        struct str *out, const json_t *list, const char *title, const char *id, bool code)
{
	const json_t *one;
	size_t i;

	if (!json_array_size(list))
		return;
	str_addf(out, "<section aria-labelledby=\"h-%s\">\n<h2 id=\"h-%s\">%s</h2>\n<ul>\n", id, id,
	        title);
	json_array_foreach (list, i, one) {
		str_add(out, code ? "<li><code>" : "<li>");
		page_text(out, json_string_value(one));
		str_add(out, code ? "</code></li>\n" : "</li>\n");
	}
	str_add(out, "</ul>\n</section>\n");
}

static void add_hero(struct str *out, const struct incident_entry *e)
{
	enum glance_rank rank = rank_of(e->result);

	str_addf(out,
	        "<section class=\"hero %s\" aria-labelledby=\"name\">\n<div class=\"top\"><h1 "
	        "id=\"name\">",
	        glance_rank_name(rank));
	page_text(out, e->plan);
	str_add(out, " of ");
	page_text(out, e->cluster);
	str_add(out, "</h1>");
	page_badge(out, rank, e->result);
	str_add(out, "</div>\n<p class=\"verdict\"><b>");
	add_host(out, e->dead);
	str_add(out, " <span aria-hidden=\"true\">→</span><span class=\"hide\"> then </span> ");
	add_host(out, e->fresh);
	str_add(out, "</b> ");
	if (e->opened_ms >= 0) {
		str_add(out, str_is(e->plan, "switch") ? "writes were refused for "
		                                       : "took writes again after ");
		page_exact(out, e->opened_ms);
	}
	str_add(out, "</p>\n</section>\n");
}

void page_incident(struct str *out, const struct glance *g, const struct incident_entry *e,
        const json_t *record)
{
	AUTO(free) char *title = xasprintf("%s of %s: %s", e->plan, e->cluster, e->result);

	page_begin(out, g, &(struct page_head){ .title = title, .rank = rank_of(e->result) });
	str_add(out, "<nav class=\"crumbs\" aria-label=\"You are here\"><a "
	             "href=\"/incidents\">Incidents</a> "
	             "<span aria-hidden=\"true\">/</span> <a href=\"/clusters/");
	page_segment(out, e->cluster);
	str_add(out, "\">");
	page_text(out, e->cluster);
	str_add(out, "</a></nav>\n");
	add_hero(out, e);
	add_facts(out, e, record);
	add_texts(out, json_object_get(record, "commands"), "To do by hand", "todo", true);
	add_timeline(out, record);
	add_texts(out, json_object_get(record, "notes"), "Notes", "notes", false);
	if (*text_of(record, "report")) {
		str_add(out,
		        "<section aria-labelledby=\"h-report\">\n<h2 id=\"h-report\">Report</h2>\n"
		        "<pre tabindex=\"0\" aria-label=\"Report\">");
		page_text(out, text_of(record, "report"));
		str_add(out, "</pre>\n</section>\n");
	}
	page_end(out, g);
}
