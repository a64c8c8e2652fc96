/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page - the status page as HTML, and parts of it for those who have it open.  Pure.  Runs on: any thread.
 * Logs: never.
 *
 * Whole pages without scripts; page.js only puts newer parts in the place of older ones.  All texts from servers
 * and users are escaped here and nowhere else.  No inline style or script: the content security policy forbids it.
 */
#pragma once
#include <jansson.h>
#include "glance.h"
#include "str.h"

struct incident_entry;
struct incident_index;

/* Which clusters the overview shows; both borrowed. */
struct page_filter {
	const char *query; /* a part of the name; NULL or "": all */
	int rank;          /* enum glance_rank; -1: all */
};

/* `static_tag` is what makes the addresses of compiled-in files new when they are; borrowed for ever. */
void page_set_tag(const char *static_tag);

void page_overview(struct str *out, const struct glance *g, const struct page_filter *f);
/* `detail` has "evidence" and "history" and may be NULL. */
void page_cluster(struct str *out, const struct glance *g, const struct glance_cluster *c,
        const json_t *detail);
void page_incidents(struct str *out, const struct glance *g, const struct incident_index *x,
        const char *cluster);
void page_incident(struct str *out, const struct glance *g, const struct incident_entry *e,
        const json_t *record);
void page_error(struct str *out, int status, const char *title, const char *text);

/* Parts: the element with its id, as it stands in the overview. */
bool page_is_shown(const struct page_filter *f, const struct glance_cluster *c);
void page_card(struct str *out, const struct glance *g, const struct glance_cluster *c);
void page_counts(struct str *out, const struct glance *g);
