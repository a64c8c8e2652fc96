/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page_overview - all clusters at a glance: what needs a person first, and large; what is well small when there
 * is much of it.  Runs on: any thread.
 */
#include "page_impl.h"
#include <inttypes.h>
#include <string.h>

enum { CARDS = 60 }; /* from more clusters on, those that are well are tiles */

bool page_is_shown(const struct page_filter *f, const struct glance_cluster *c)
{
	if (f->rank >= 0 && c->rank != (enum glance_rank)f->rank)
		return false;
	return !f->query || !*f->query || strcasestr(c->name, f->query);
}

void page_would(struct str *out, const struct glance *g, const struct glance_cluster *c)
{
	if (!c->watched) {
		str_add(out, "It is not watched.");
		return;
	}
	if (c->would_fail_over) {
		str_add(out, "A failover would start now.");
		return;
	}
	str_add(out, "No failover now: ");
	page_text(out, c->gates[c->blocked_by].text);
	str_addf(out, " <span class=\"muted\">(%s)</span>", g->gate_names[c->blocked_by]);
}

/* ---- one cluster ---- */

static void add_name(struct str *out, const struct glance_cluster *c)
{
	str_add(out, "<a href=\"/clusters/");
	page_segment(out, c->name);
	str_add(out, "\">");
	page_text(out, c->name);
	str_add(out, "</a>");
}

static void add_paused(struct str *out, const struct glance_cluster *c)
{
	if (!c->paused)
		return;
	str_add(out, "<p class=\"note\">Paused by ");
	page_text(out, c->paused_by);
	str_add(out, ": ");
	page_text(out, c->pause_reason);
	str_add(out, "</p>");
}

static void open_item(struct str *out, const struct glance_cluster *c, const char *look)
{
	str_add(out, "<li id=\"c-");
	page_text(out, c->name);
	str_addf(out, "\" class=\"%s %s\" data-rank=\"%d\">", look, glance_rank_name(c->rank),
	        (int)c->rank);
}

/* In one word; NULL: its rank says it. */
static const char *what_is_it(const struct glance_cluster *c)
{
	if (!c->watched)
		return c->state;
	return str_is(c->kind, "good") ? NULL : c->verdict;
}

static void add_sentence(struct str *out, const struct glance_cluster *c)
{
	if (c->rank == GLANCE_WELL)
		return;
	str_add(out, "<p class=\"say\">");
	if (c->problem)
		page_text(out, c->problem);
	else if (!str_is(c->kind, "good"))
		page_text(out, c->sentence);
	else if (c->n_ill)
		str_addf(out,
		        c->n_ill == 1 ? "%zu of %zu slaves does not replicate"
		                      : "%zu of %zu slaves do not replicate",
		        c->n_ill, c->n_replicas);
	else
		page_text(out, c->semisync_text ? c->semisync_text : c->sentence);
	str_add(out, "</p>");
}

static void add_card(struct str *out, const struct glance *g, const struct glance_cluster *c)
{
	open_item(out, c, "card");
	str_add(out, "<div class=\"top\"><h3>");
	add_name(out, c);
	str_add(out, "</h3>");
	page_badge(out, c->rank, what_is_it(c));
	str_add(out, "</div>");
	add_sentence(out, c);
	if (c->rank > GLANCE_ODD && *c->why) {
		str_add(out, "<p class=\"why\">");
		page_text(out, c->why);
		str_add(out, "</p>");
	}
	add_paused(out, c);
	page_tree(out, c, g->n_clusters == 1);
	if (c->rank > GLANCE_ODD) {
		str_add(out, "<p class=\"gate\">");
		page_would(out, g, c);
		str_add(out, "</p>");
	}
	str_addf(out, "<p class=\"foot\"><span>%s for ", c->state);
	page_age(out, g, c->since);
	str_add(out, "</span>");
	if (c->lag_s >= 0)
		str_addf(out, "<span>lag %" PRId64 " s</span>", c->lag_s);
	str_add(out, "</p></li>\n");
}

/* A square for the master and a dot for each replica: the shape says what it is, the colour how. */
static void add_tile(struct str *out, const struct glance_cluster *c)
{
	open_item(out, c, "tile");
	str_add(out, "<span class=\"dots\" aria-hidden=\"true\"><b></b>");
	for (size_t i = 0; i < c->n_replicas && i < 8; i++)
		str_add(out, "<i></i>");
	str_add(out, "</span>");
	add_name(out, c);
	if (c->lag_s > 0)
		str_addf(out, "<span class=\"lag\">%" PRId64 " s</span>", c->lag_s);
	str_add(out, "</li>\n");
}

void page_card(struct str *out, const struct glance *g, const struct glance_cluster *c)
{
	if (g->n_clusters > CARDS && c->rank == GLANCE_WELL)
		add_tile(out, c);
	else
		add_card(out, g, c);
}

/* ---- the head ---- */

static enum glance_rank worst(const struct glance *g)
{
	for (int r = GLANCE_DOWN; r > GLANCE_WELL; r--) {
		if (g->count[r])
			return (enum glance_rank)r;
	}
	return GLANCE_WELL;
}

static void add_headline(struct str *out, const struct glance *g)
{
	static const char *const one[] = { NULL, "needs attention", "has an alarm", "is down" };
	static const char *const more[] = { NULL, "need attention", "have an alarm", "are down" };
	enum glance_rank r = worst(g);
	size_t n = g->n_clusters, k = g->count[r];

	if (!n)
		str_add(out, "No cluster is configured");
	else if (r == GLANCE_WELL)
		str_addf(out, n == 1 ? "The cluster is well" : "All %zu clusters are well", n);
	else if (n == 1)
		str_addf(out, "The cluster %s", one[r]);
	else
		str_addf(out, "%zu of %zu clusters %s", k, n, k == 1 ? one[r] : more[r]);
}

void page_counts(struct str *out, const struct glance *g)
{
	str_addf(out,
	        "<section id=\"counts\" class=\"counts %s\" aria-label=\"Summary\">\n<h1 "
	        "aria-live=\"polite\">",
	        glance_rank_name(worst(g)));
	add_headline(out, g);
	str_add(out, "</h1>\n<ul class=\"ranks\">");
	for (int r = GLANCE_DOWN; r >= GLANCE_WELL; r--) {
		str_addf(out, "<li class=\"%s%s\"><a href=\"/?show=%s\"><b>%zu</b> %s</a></li>",
		        glance_rank_name((enum glance_rank)r), g->count[r] ? "" : " none",
		        glance_rank_name((enum glance_rank)r), g->count[r],
		        page_rank_title((enum glance_rank)r));
	}
	str_add(out, "</ul>\n");
	if (g->tilt) {
		str_add(out, "<p class=\"tilt\">Nothing is decided for a moment: ");
		page_text(out, g->tilt);
		str_add(out, "</p>\n");
	}
	str_add(out, "</section>\n");
}

static void add_search(struct str *out, const struct page_filter *f)
{
	str_add(out,
	        "<form class=\"find\" role=\"search\" action=\"/\"><label for=\"q\">Find a cluster"
	        "</label><input id=\"q\" name=\"q\" type=\"search\" autocomplete=\"off\" value=\"");
	page_text(out, f->query);
	str_add(out, "\">");
	if (f->rank >= 0)
		str_addf(out, "<input type=\"hidden\" name=\"show\" value=\"%s\">",
		        glance_rank_name((enum glance_rank)f->rank));
	str_add(out, "<button>Find</button>");
	if (f->rank >= 0 || (f->query && *f->query))
		str_add(out, "<a href=\"/\">Show all</a>");
	str_add(out, "</form>\n");
}

/* ---- the whole ---- */

struct section {
	const char *id, *title;
	enum glance_rank from, to; /* the worst first */
	const char *look;
};

static void add_section(struct str *out, const struct glance *g, const struct page_filter *f,
        const struct section *s)
{
	bool any = false;

	for (int r = (int)s->from; r >= (int)s->to; r--) {
		for (size_t i = 0; i < g->n_clusters; i++) {
			const struct glance_cluster *c = &g->clusters[i];

			if ((int)c->rank != r || !page_is_shown(f, c))
				continue;
			if (!any)
				str_addf(out,
				        "<section aria-labelledby=\"h-%s\" class=\"bare\">\n"
				        "<h2 id=\"h-%s\">%s</h2>\n<ul class=\"%s\">\n",
				        s->id, s->id, s->title, s->look);
			any = true;
			page_card(out, g, c);
		}
	}
	if (any)
		str_add(out, "</ul>\n</section>\n");
}

static void add_sections(struct str *out, const struct glance *g, const struct page_filter *f)
{
	const char *cards = g->n_clusters == 1 ? "cards one" : "cards";
	const struct section bad = { "bad", "Needs a person", GLANCE_DOWN, GLANCE_ODD, cards };
	const struct section well = { "well", "Well", GLANCE_WELL, GLANCE_WELL,
		g->n_clusters > CARDS ? "tiles" : cards };

	add_section(out, g, f, &bad);
	add_section(out, g, f, &well);
}

static void add_live(struct str *to, const struct page_filter *f)
{
	str_add(to, "/live?q=");
	page_segment(to, f->query ? f->query : "");
	if (f->rank >= 0)
		str_addf(to, "&show=%s", glance_rank_name((enum glance_rank)f->rank));
}

void page_overview(struct str *out, const struct glance *g, const struct page_filter *f)
{
	AUTO_STR struct str title = STR_INIT, live = STR_INIT;
	size_t shown = 0;

	add_headline(&title, g);
	add_live(&live, f);
	page_begin(out, g,
	        &(struct page_head){
	                .title = title.p, .rank = worst(g), .where = "/", .live = live.p });
	page_counts(out, g);
	if (g->n_clusters > 1)
		add_search(out, f);
	add_sections(out, g, f);
	for (size_t i = 0; i < g->n_clusters; i++)
		shown += page_is_shown(f, &g->clusters[i]);
	if (!g->n_clusters)
		str_add(out, "<p>Each file in <code>/etc/mhad/clusters.d</code> is a cluster; "
		             "<code>mhactl reload</code> reads them again.</p>\n");
	else if (!shown)
		str_add(out, "<p>No cluster fits.</p>\n");
	page_end(out, g);
}
