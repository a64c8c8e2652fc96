/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page - the frame of all pages, and how texts, times and ranks look.  Runs on: any thread.
 */
#include "page_impl.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "clock.h"

static const char *tag = "";

void page_set_tag(const char *static_tag)
{
	tag = static_tag;
}

/* ---- texts ---- */

static const char *entity(char c)
{
	switch (c) {
	case '&': return "&amp;";
	case '<': return "&lt;";
	case '>': return "&gt;";
	case '"': return "&quot;";
	case '\'': return "&#39;";
	default: return NULL;
	}
}

void page_text(struct str *out, const char *text)
{
	for (; text && *text; text++) {
		const char *e = entity(*text);

		if (e)
			str_add(out, e);
		else if ((unsigned char)*text < ' ' && *text != '\n')
			str_addc(out, ' ');
		else
			str_addc(out, *text);
	}
}

void page_segment(struct str *out, const char *text)
{
	for (; *text; text++) {
		if (isalnum((unsigned char)*text) || strchr("-_.~", *text))
			str_addc(out, *text);
		else
			str_addf(out, "%%%02X", (unsigned char)*text);
	}
}

/* ---- times ---- */

void page_span(struct str *out, int64_t ms)
{
	int64_t s = ms / 1000;

	if (ms < 1000)
		str_addf(out, "%" PRId64 " ms", ms < 0 ? 0 : ms);
	else if (s < 10)
		str_addf(out, "%" PRId64 ".%" PRId64 " s", s, ms % 1000 / 100);
	else if (s < 120)
		str_addf(out, "%" PRId64 " s", s);
	else if (s < 7200)
		str_addf(out, "%" PRId64 " min", s / 60);
	else if (s < 172800)
		str_addf(out, "%" PRId64 " h", s / 3600);
	else
		str_addf(out, "%" PRId64 " days", s / 86400);
}

void page_exact(struct str *out, int64_t ms)
{
	if (ms < 1000 || ms >= 60000)
		page_span(out, ms);
	else
		str_addf(out, "%" PRId64 ".%03d s", ms / 1000, (int)(ms % 1000));
}

/* As page.js counts on: no tenths. */
void page_age(struct str *out, const struct glance *g, int64_t instant)
{
	int64_t ago = g->at - instant;

	if (!instant) {
		str_add(out, "never");
		return;
	}
	str_addf(out, "<span class=\"age\" data-at=\"%" PRId64 "\">", g->wall_ms - ago);
	if (ago < 1000)
		str_add(out, "0 s");
	else if (ago < 10000)
		str_addf(out, "%" PRId64 " s", ago / 1000);
	else
		page_span(out, ago);
	str_add(out, "</span>");
}

void page_when(struct str *out, int64_t wall_s)
{
	time_t at = (time_t)wall_s;
	char iso[40] = "", here[40] = "";
	struct tm tm;

	gmtime_r(&at, &tm);
	strftime(iso, sizeof(iso), "%Y-%m-%dT%H:%M:%SZ", &tm);
	localtime_r(&at, &tm);
	strftime(here, sizeof(here), "%Y-%m-%d %H:%M:%S %z", &tm);
	str_addf(out, "<time datetime=\"%s\">%s</time>", iso, here);
}

/* ---- ranks and servers ---- */

const char *page_rank_title(enum glance_rank r)
{
	static const char *const titles[] = { "Well", "Attention", "Alarm", "Down" };

	return titles[r];
}

void page_badge(struct str *out, enum glance_rank r, const char *text)
{
	static const char *const signs[] = { "✓", "◆", "▲", "✕" };

	str_addf(out, "<span class=\"badge %s\"><span aria-hidden=\"true\">%s</span> ",
	        glance_rank_name(r), signs[r]);
	page_text(out, text ? text : page_rank_title(r));
	str_add(out, "</span>");
}

size_t page_host_len(const char *server)
{
	return strcspn(server, "(");
}

const char *page_address(const char *server, size_t *ret_len)
{
	const char *p = server + page_host_len(server);

	if (*p == '(')
		p++;
	*ret_len = strcspn(p, ")");
	return p;
}

/* ---- the frame ---- */

static void add_head(struct str *out, const struct page_head *h)
{
	str_add(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	             "<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
	page_text(out, h->title);
	str_addf(out,
	        " · mhad</title>\n<link rel=\"stylesheet\" href=\"/static/page.css?%s\">\n"
	        "<link rel=\"icon\" type=\"image/svg+xml\" href=\"/static/%s.svg?%s\">\n"
	        "<script src=\"/static/page.js?%s\" defer></script>\n",
	        tag, glance_rank_name(h->rank), tag, tag);
	if (h->live)
		str_add(out, "<noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>\n");
	str_add(out, "</head>\n");
}

static void add_link(struct str *out, const char *href, const char *text, const char *where)
{
	str_addf(out, "<a href=\"%s\"%s>%s</a>", href,
	        where && str_is(href, where) ? " aria-current=\"page\"" : "", text);
}

void page_begin(struct str *out, const struct glance *g, const struct page_head *h)
{
	add_head(out, h);
	str_add(out, "<body");
	if (h->live) {
		str_add(out, " data-live=\"");
		page_text(out, h->live);
		str_addf(out, "\" data-now=\"%" PRId64 "\"", g->wall_ms);
	}
	str_add(out, ">\n<a class=\"skip\" href=\"#main\">Skip to the content</a>\n<header>\n"
	             "<a class=\"brand\" href=\"/\">mhad</a>\n<nav aria-label=\"Pages\">");
	add_link(out, "/", "Clusters", h->where);
	add_link(out, "/incidents", "Incidents", h->where);
	str_add(out, "</nav>\n<p class=\"host\">");
	if (g)
		page_text(out, g->host);
	str_add(out, "</p>\n<p id=\"live\" class=\"live\" role=\"status\"");
	str_add(out, h->live ? "></p>\n" : " hidden></p>\n");
	str_add(out, "</header>\n<main id=\"main\" tabindex=\"-1\">\n");
}

void page_end(struct str *out, const struct glance *g)
{
	str_add(out, "</main>\n<footer><p>");
	if (g) {
		str_addf(out, "mhad %s on ", g->version);
		page_text(out, g->host);
		str_add(out, ", up ");
		page_span(out, g->uptime_ms);
		str_add(out, ". As of ");
		page_when(out, g->wall_ms / 1000);
		str_add(out, ". ");
	}
	str_add(out, "This page only shows. To act: <code>mhactl</code> on this host. "
	             "<a href=\"/metrics\">Metrics</a> · <a href=\"/api/v1/clusters\">API</a>"
	             "</p></footer>\n</body>\n</html>\n");
}

void page_error(struct str *out, int status, const char *title, const char *text)
{
	const struct page_head h = { .title = title, .rank = GLANCE_ODD };

	page_begin(out, NULL, &h);
	str_addf(out, "<h1><span class=\"muted\">%d</span> ", status);
	page_text(out, title);
	str_add(out, "</h1>\n<p>");
	page_text(out, text);
	str_add(out, "</p>\n<p><a href=\"/\">All clusters</a></p>\n");
	page_end(out, NULL);
}
