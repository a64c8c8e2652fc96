/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page_cluster - one cluster: what is the matter, would it be failed over now and if not why, its topology, what
 * was seen last.  Runs on: any thread.
 */
#include "page_impl.h"
#include <inttypes.h>
#include <string.h>
#include "clock.h"

static void add_hero(struct str *out, const struct glance *g, const struct glance_cluster *c)
{
	str_addf(out,
	        "<section class=\"hero %s\" aria-labelledby=\"name\">\n<div class=\"top\"><h1 "
	        "id=\"name\">",
	        glance_rank_name(c->rank));
	page_text(out, c->name);
	str_add(out, "</h1>");
	page_badge(out, c->rank, NULL);
	str_add(out, "</div>\n<p class=\"verdict\" aria-live=\"polite\"><b>");
	page_text(out, c->verdict);
	str_add(out, "</b> ");
	page_text(out, c->sentence);
	str_add(out, "</p>\n");
	if (*c->why) {
		str_add(out, "<p class=\"why\">");
		page_text(out, c->why);
		str_add(out, "</p>\n");
	}
	if (c->problem) {
		str_add(out, "<p class=\"note\">Its file: ");
		page_text(out, c->problem);
		str_add(out, "</p>\n");
	}
	str_add(out, "<p class=\"would\">");
	page_would(out, g, c);
	str_add(out, "</p>\n</section>\n");
}

static void add_fact(struct str *out, const char *name)
{
	str_addf(out, "<div><dt>%s</dt><dd>", name);
}

static void add_pause(struct str *out, const struct glance *g, const struct glance_cluster *c)
{
	if (!c->paused)
		return;
	add_fact(out, "Paused");
	str_add(out, "by ");
	page_text(out, c->paused_by);
	str_add(out, ": ");
	page_text(out, c->pause_reason);
	if (c->paused_until != CLOCK_NEVER) {
		str_add(out, "; for ");
		page_span(out, c->paused_until - g->at);
	}
	str_add(out, "</dd></div>\n");
}

static void add_semisync(struct str *out, const struct glance_cluster *c)
{
	if (!c->semisync)
		return;
	add_fact(out, "Semi-sync");
	if (c->semisync_text)
		page_text(out, c->semisync_text);
	else
		str_addf(out, "%d %s, %d needed", c->ackers,
		        c->ackers == 1 ? "slave acknowledges" : "slaves acknowledge",
		        c->acks_needed);
	if (c->acks_waiting > 0)
		str_addf(out, ", %d %s waiting", c->acks_waiting,
		        c->acks_waiting == 1 ? "commit" : "commits");
	str_add(out, "</dd></div>\n");
}

static void add_facts(struct str *out, const struct glance *g, const struct glance_cluster *c)
{
	str_add(out, "<section aria-labelledby=\"h-now\">\n<h2 id=\"h-now\">Now</h2>\n<dl "
	             "class=\"facts\">\n");
	add_fact(out, "State");
	page_text(out, c->state);
	str_add(out, ", for ");
	page_age(out, g, c->since);
	str_add(out, "</dd></div>\n");
	add_fact(out, "Last good look");
	page_age(out, g, c->last_good);
	if (c->took_us >= 0)
		str_addf(out, " ago, in %" PRId64 ".%" PRId64 " ms", c->took_us / 1000,
		        c->took_us % 1000 / 100);
	str_add(out, "</dd></div>\n");
	add_fact(out, "Lag");
	if (c->lag_s < 0)
		str_add(out, "not known");
	else
		str_addf(out, "%" PRId64 " s at most", c->lag_s);
	str_add(out, "</dd></div>\n");
	add_semisync(out, c);
	add_pause(out, g, c);
	if (c->detection) {
		add_fact(out, "Detection");
		page_text(out, c->detection);
		str_add(out, "</dd></div>\n");
	}
	if (c->journal_open) {
		add_fact(out, "Journal");
		str_add(out, str_is(c->state, "failing_over") ? "a failover runs"
		                                              : "a run was not brought to its end");
		str_add(out, "</dd></div>\n");
	}
	add_fact(out, "File");
	str_add(out, "<code>");
	page_text(out, c->path);
	str_add(out, "</code></dd></div>\n</dl>\n</section>\n");
}

static void add_gates(struct str *out, const struct glance *g, const struct glance_cluster *c)
{
	if (!c->gates)
		return;
	str_add(out, "<section aria-labelledby=\"h-gates\">\n<h2 id=\"h-gates\">Why not now</h2>\n"
	             "<p class=\"muted\">All of these must be open for a failover by itself.</p>\n"
	             "<ul class=\"gates\">\n");
	for (size_t i = 0; i < g->n_gates; i++) {
		const struct glance_gate *v = &c->gates[i];

		str_addf(out,
		        "<li class=\"%s\"><span class=\"sign\" "
		        "aria-hidden=\"true\">%s</span><div><b>%s</b> "
		        "<span class=\"state\">%s</span><p>",
		        v->blocks ? "shut" : "open", v->blocks ? "✕" : "✓", g->gate_names[i],
		        v->blocks ? "shut" : "open");
		page_text(out, v->text);
		str_add(out, "</p>");
		if (v->blocks && *v->hint) {
			str_add(out, "<p class=\"hint\"><code>");
			page_text(out, v->hint);
			str_add(out, "</code></p>");
		}
		str_add(out, "</div></li>\n");
	}
	str_add(out, "</ul>\n</section>\n");
}

static void add_rehearsal(struct str *out, const struct glance *g, const struct glance_cluster *c)
{
	const struct glance_rehearsal *x = &c->rehearsal;

	if (!x->result && !x->skipped)
		return;
	str_add(out, "<section aria-labelledby=\"h-rehearsal\">\n<h2 "
	             "id=\"h-rehearsal\">Rehearsal</h2>\n");
	if (x->result) {
		str_add(out, "<p><b>");
		page_text(out, x->result);
		str_add(out, "</b> ");
		page_text(out, x->text);
		str_add(out, "; ");
		page_span(out, g->wall_ms - x->at * 1000);
		str_add(out, " ago</p>\n");
	}
	if (x->worse) {
		str_add(out, "<p class=\"note\">Worse than before: ");
		page_text(out, x->worse);
		str_add(out, "</p>\n");
	}
	str_add(out, x->n_problems ? "<ul>\n" : "");
	for (size_t i = 0; i < x->n_problems; i++) {
		str_add(out, "<li>");
		page_text(out, x->problems[i]);
		str_add(out, "</li>\n");
	}
	str_add(out, x->n_problems ? "</ul>\n" : "");
	if (x->skipped) {
		str_add(out, "<p class=\"muted\">The next one was not made: ");
		page_text(out, x->skipped);
		str_add(out, "</p>\n");
	}
	str_add(out, "</section>\n");
}

static const char *text_of(const json_t *j, const char *name)
{
	const char *s = json_string_value(json_object_get(j, name));

	return s ? s : "";
}

static void add_evidence(struct str *out, const struct glance *g, const json_t *detail)
{
	const json_t *all = json_object_get(detail, "evidence"), *one;
	size_t i;

	if (!json_array_size(all))
		return;
	str_add(out, "<section aria-labelledby=\"h-seen\">\n<h2 id=\"h-seen\">Seen last</h2>\n<ol "
	             "class=\"log\">\n");
	json_array_foreach (all, i, one) {
		int64_t at = json_integer_value(json_object_get(one, "at"));

		if (i == 20)
			break;
		str_add(out, "<li><span class=\"at\">");
		page_age(out, g, g->at - (g->wall_ms - at));
		str_add(out, "</span> <b>");
		page_text(out, text_of(one, "who"));
		str_add(out, "</b> <span>");
		page_text(out, text_of(one, "text"));
		str_add(out, "</span></li>\n");
	}
	str_add(out, "</ol>\n</section>\n");
}

/* "2026-11-20T03:12:09+0100" without the letter and the zone, which is ours. */
static void add_time(struct str *out, const char *iso)
{
	AUTO(free) char *day = xstrndup(iso, strcspn(iso, "T"));
	AUTO(free) char *hour = xstrndup(iso + strlen(day) + (iso[strlen(day)] == 'T'), 8);

	page_text(out, day);
	str_addc(out, ' ');
	page_text(out, hour);
}

static void add_history(struct str *out, const struct glance_cluster *c, const json_t *detail)
{
	const json_t *all = json_object_get(detail, "history");
	size_t n = json_array_size(all);

	str_add(out, "<section aria-labelledby=\"h-past\">\n<h2 id=\"h-past\">History</h2>\n<p><a "
	             "href=\"/incidents?cluster=");
	page_segment(out, c->name);
	str_add(out, "\">Incidents of ");
	page_text(out, c->name);
	str_add(out, "</a></p>\n");
	if (n)
		str_add(out, "<ol class=\"log\">\n");
	for (size_t i = n; i-- > 0;) {
		const json_t *one = json_array_get(all, i);

		str_add(out, "<li><span class=\"at\">");
		add_time(out, text_of(one, "at"));
		str_add(out, "</span> <b>");
		page_text(out, text_of(one, "what"));
		str_add(out, "</b> <span>");
		page_text(out, text_of(one, "text"));
		str_add(out, " <span class=\"muted\">");
		page_text(out, text_of(one, "by"));
		str_add(out, "</span></span></li>\n");
	}
	str_add(out, n ? "</ol>\n</section>\n" : "</section>\n");
}

void page_cluster(struct str *out, const struct glance *g, const struct glance_cluster *c,
        const json_t *detail)
{
	AUTO_STR struct str live = STR_INIT, title = STR_INIT;

	str_add(&live, "/live?cluster=");
	page_segment(&live, c->name);
	str_addf(&title, "%s: %s", c->name, c->verdict);
	page_begin(
	        out, g, &(struct page_head){ .title = title.p, .rank = c->rank, .live = live.p });
	str_add(out, "<nav class=\"crumbs\" aria-label=\"You are here\"><a "
	             "href=\"/\">Clusters</a></nav>\n");
	add_hero(out, g, c);
	str_add(out, "<section aria-labelledby=\"h-tree\">\n<h2 id=\"h-tree\">Topology</h2>\n");
	page_tree(out, c, true);
	page_errors(out, c);
	str_add(out, "</section>\n<div class=\"columns\">\n");
	add_facts(out, g, c);
	add_gates(out, g, c);
	add_rehearsal(out, g, c);
	add_evidence(out, g, detail);
	add_history(out, c, detail);
	str_add(out, "</div>\n");
	page_end(out, g);
}
