/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page_impl - what the parts of page share.  Runs on: any thread.
 *
 *	page.c		frame, texts, times
 *	page_overview.c	all clusters
 *	page_cluster.c	one cluster
 *	page_tree.c	a topology, drawn as nested lists
 *	page_incident.c	incidents, and the timeline of one
 */
#pragma once
#include "page.h"

/* Text between tags or in "...". */
void page_text(struct str *out, const char *text);
/* ... percent-encoded, as one segment of a path. */
void page_segment(struct str *out, const char *text);

/* The frame around <main>; `where` is the entry of the navigation that is the present one. */
struct page_head {
	const char *title;
	enum glance_rank rank; /* shown by the icon */
	const char *where;     /* "/", "/incidents" */
	const char *live;      /* address of the stream for this page; NULL: it does not change */
};
void page_begin(struct str *out, const struct glance *g, const struct page_head *h);
void page_end(struct str *out, const struct glance *g);

/* How long ago an instant was: goes on by itself where scripts run.  "never" for 0. */
void page_age(struct str *out, const struct glance *g, int64_t instant);
void page_when(struct str *out, int64_t wall_s); /* date and time here */
void page_span(struct str *out, int64_t ms);
void page_exact(struct str *out, int64_t ms); /* "1.492 s" */

/* "Down", "Alarm"...: a badge with a sign that does not depend on colours. */
void page_badge(struct str *out, enum glance_rank r, const char *text);
const char *page_rank_title(enum glance_rank r);

/* "db1" of "db1(10.0.0.1:3306)" and the rest, "10.0.0.1:3306"; returns the length of the first. */
size_t page_host_len(const char *server);
const char *page_address(const char *server, size_t *ret_len);

void page_tree(struct str *out, const struct glance_cluster *c, bool large);
void page_errors(struct str *out, const struct glance_cluster *c); /* of its servers */
/* "No failover now: ..." */
void page_would(struct str *out, const struct glance *g, const struct glance_cluster *c);
