/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page_tree - a topology as nested lists: read aloud it is a list, on a screen style sheets draw its lines.
 * Runs on: any thread.
 */
#include "page_impl.h"
#include <inttypes.h>

enum { DEEPEST = 8 }; /* a circle ends there */

static const char *look_of(const struct glance_cluster *c, const struct glance_server *s)
{
	if (s->role == GLANCE_MASTER)
		return str_is(c->kind, "dead") ? "down" : str_is(c->kind, "good") ? "well" : "odd";
	if (s->role == GLANCE_REPLICA)
		return !s->up ? "down" : !s->io || !s->sql ? "ill" : "well";
	return "off";
}

static void add_condition(
        struct str *out, const struct glance_cluster *c, const struct glance_server *s, bool large)
{
	switch (s->role) {
	case GLANCE_MASTER: page_text(out, c->verdict); return;
	case GLANCE_ABSENT: str_add(out, "old master, absent"); return;
	case GLANCE_OTHER: str_add(out, "not in the tree"); return;
	case GLANCE_REPLICA: break;
	}
	if (!s->up) {
		page_text(out, s->state);
		return;
	}
	if (!s->io || !s->sql)
		str_add(out, !s->io && !s->sql ? "stopped" : !s->io ? "no receiver" : "no applier");
	else if (s->behind_s < 0)
		str_add(out, "lag unknown");
	else
		str_addf(out,
		        large ? "%" PRId64 " s behind"
		              : "%" PRId64 " s<span class=\"hide\"> behind</span>",
		        s->behind_s);
}

static void add_node(
        struct str *out, const struct glance_cluster *c, const struct glance_server *s, bool large)
{
	size_t len = page_host_len(s->name), n;
	const char *address = page_address(s->name, &n);
	AUTO(free) char *host = xstrndup(s->name, len);
	AUTO(free) char *where = xstrndup(address, n);

	str_addf(out, "<span class=\"node %s%s\"><span class=\"who\">", look_of(c, s),
	        s->role == GLANCE_MASTER ? " master" : "");
	page_text(out, host);
	str_add(out, "</span>");
	if (s->role == GLANCE_MASTER)
		str_add(out, "<span class=\"role\">master</span>");
	str_add(out, "<span class=\"cond\">");
	add_condition(out, c, s, large);
	str_add(out, "</span>");
	if (large) {
		str_add(out, "<span class=\"addr\">");
		page_text(out, where);
		str_add(out, "</span>");
	}
	str_add(out, "</span>");
}

/* Replicas whose source nobody knows are drawn below the master. */
static bool is_below(const struct glance_cluster *c, const struct glance_server *s, int above)
{
	if (s->role != GLANCE_REPLICA)
		return false;
	return s->source == above || (s->source < 0 && above == c->master);
}

static void add_below(struct str *out, const struct glance_cluster *c, int above, bool large,
        unsigned deep, bool *drawn);

static void add_item(struct str *out, const struct glance_cluster *c, size_t i, bool large,
        unsigned deep, bool *drawn)
{
	drawn[i] = true;
	str_add(out, "<li>");
	add_node(out, c, &c->servers[i], large);
	add_below(out, c, (int)i, large, deep + 1, drawn);
	str_add(out, "</li>");
}

static void add_below(struct str *out, const struct glance_cluster *c, int above, bool large,
        unsigned deep, bool *drawn)
{
	bool any = false;

	for (size_t i = 0; i < c->n_servers && deep < DEEPEST; i++) {
		if (drawn[i] || !is_below(c, &c->servers[i], above))
			continue;
		if (!any)
			str_add(out, "<ul>");
		any = true;
		add_item(out, c, i, large, deep, drawn);
	}
	if (any)
		str_add(out, "</ul>");
}

void page_tree(struct str *out, const struct glance_cluster *c, bool large)
{
	AUTO(free) bool *drawn = xzalloc(c->n_servers + 1);

	if (!c->n_servers)
		return;
	str_addf(out, "<ul class=\"tree%s\" aria-label=\"Topology\">", large ? " large" : "");
	if (c->master >= 0)
		add_item(out, c, (size_t)c->master, large, 0, drawn);
	/* Whoever stands beside it: absent ones, and those whose source is not there. */
	for (size_t i = 0; i < c->n_servers; i++) {
		if (!drawn[i])
			add_item(out, c, i, large, 0, drawn);
	}
	str_add(out, "</ul>");
}

void page_errors(struct str *out, const struct glance_cluster *c)
{
	bool any = false;

	for (size_t i = 0; i < c->n_servers; i++) {
		const struct glance_server *s = &c->servers[i];
		AUTO(free) char *host = xstrndup(s->name, page_host_len(s->name));

		if (!*s->error)
			continue;
		str_add(out,
		        any ? "<li><b>" : "<ul class=\"errors\" aria-label=\"Errors\"><li><b>");
		page_text(out, host);
		str_add(out, "</b> ");
		page_text(out, s->error);
		str_add(out, "</li>");
		any = true;
	}
	if (any)
		str_add(out, "</ul>\n");
}
