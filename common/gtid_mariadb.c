/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gtid_mariadb - positions per domain.  A few entries as a rule; all work is sorting and looking
 * up. Runs on: any thread.
 */
#include "gtid_impl.h"
#include <assert.h>
#include <stdlib.h>

/* By domain, the highest sequence number first, then by server. */
static int by_rank(const void *pa, const void *pb)
{
	const struct gtid_head *a = pa, *b = pb;

	if (a->domain != b->domain)
		return a->domain < b->domain ? -1 : 1;
	if (a->seq != b->seq)
		return a->seq > b->seq ? -1 : 1;
	return (a->server > b->server) - (a->server < b->server);
}

/* Whatever was collected becomes canonical: of each domain only what has its highest number, once.
 */
static void canonicalize(struct gtid_set *s)
{
	struct gtid_head *h = s->heads.items;
	size_t n = 0;

	if (!s->heads.len)
		return;
	qsort(h, s->heads.len, sizeof(*h), by_rank);
	for (size_t i = 1; i < s->heads.len; i++)
		if (h[i].domain != h[n].domain ||
		        (h[i].seq == h[n].seq && h[i].server != h[n].server))
			h[++n] = h[i];
	s->heads.len = n + 1;
}

bool gtid_mariadb_parse(struct gtid_set *s, struct gtid_text *t)
{
	uint64_t domain, server, seq;

	while (*t->p) {
		if (!gtid_number(t, 0, UINT32_MAX, &domain))
			return false;
		if (!gtid_accept(t, '-'))
			return gtid_bad(t, "\"-\"");
		if (!gtid_number(t, 0, UINT32_MAX, &server))
			return false;
		if (!gtid_accept(t, '-'))
			return gtid_bad(t, "\"-\"");
		if (!gtid_number(t, 0, UINT64_MAX, &seq))
			return false;
		if (seq)
			vec_push(&s->heads,
			        (struct gtid_head){ (uint32_t)domain, (uint32_t)server, seq });
		if (*t->p && (!gtid_accept(t, ',') || !*t->p))
			return gtid_bad(t, *t->p ? "\",\" or the end" : "a position");
	}
	canonicalize(s);
	return true;
}

void gtid_mariadb_format(const struct gtid_set *s, struct str *ret)
{
	vec_each (struct gtid_head, h, &s->heads)
		str_addf(ret, "%s%u-%u-%llu", h == s->heads.items ? "" : ",", h->domain, h->server,
		        (unsigned long long)h->seq);
}

/* The first head of that domain, or NULL. */
static struct gtid_head *find_domain(const struct gtid_set *s, uint32_t domain)
{
	size_t low = 0, high = s->heads.len;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->heads.items[mid].domain < domain)
			low = mid + 1;
		else
			high = mid;
	}
	return low < s->heads.len && s->heads.items[low].domain == domain ? &s->heads.items[low]
	                                                                  : NULL;
}

static bool has(const struct gtid_set *s, const struct gtid_head *x)
{
	const struct gtid_head *h = find_domain(s, x->domain);

	if (!h || h->seq != x->seq)
		return h && h->seq > x->seq;
	for (; h < s->heads.items + s->heads.len && h->domain == x->domain; h++)
		if (h->server == x->server)
			return true;
	return false;
}

/* Append those heads of `from` that `other` has, or those that it lacks. */
static void add_heads(
        struct gtid_set *ret, const struct gtid_set *from, const struct gtid_set *other, bool had)
{
	vec_each (struct gtid_head, h, &from->heads)
		if (has(other, h) == had)
			vec_push(&ret->heads, *h);
}

struct gtid_set *gtid_mariadb_combine(
        const struct gtid_set *a, const struct gtid_set *b, enum gtid_op op)
{
	struct gtid_set *ret = gtid_set_new(GTID_MARIADB);

	switch (op) {
	case GTID_SUBTRACT: add_heads(ret, a, b, false); break;
	case GTID_INTERSECT:
		add_heads(ret, a, b, true);
		add_heads(ret, b, a, true);
		break;
	case GTID_UNION:
		add_heads(ret, a, b, true);
		add_heads(ret, a, b, false);
		add_heads(ret, b, a, false);
		break;
	}
	canonicalize(ret);
	return ret;
}

/* A domain's first missing head stands for all numbers from b's position up to it, further ones for
 * themselves. */
uint64_t gtid_mariadb_count_missing(const struct gtid_set *a, const struct gtid_set *b)
{
	uint64_t n = 0;

	vec_each (struct gtid_head, h, &a->heads) {
		const struct gtid_head *base = find_domain(b, h->domain);
		bool first = h == a->heads.items || h[-1].domain != h->domain;
		uint64_t from = base ? base->seq : 0;

		if (!has(b, h))
			n = gtid_add_saturated(n, first && h->seq > from ? h->seq - from : 1);
	}
	return n;
}

bool gtid_set_has_mariadb(const struct gtid_set *s, uint32_t domain, uint32_t server, uint64_t seq)
{
	assert(s->dialect == GTID_MARIADB);
	return has(s, &(struct gtid_head){ domain, server, seq });
}

void gtid_set_add_mariadb(struct gtid_set *s, uint32_t domain, uint32_t server, uint64_t seq)
{
	struct gtid_head add = { domain, server, seq }, *h = find_domain(s, domain);

	assert(s->dialect == GTID_MARIADB);
	if (!seq || has(s, &add))
		return;
	if (h && h->seq < seq &&
	        (h + 1 == s->heads.items + s->heads.len || h[1].domain != domain)) {
		*h = add;
		return;
	}
	vec_push(&s->heads, add);
	canonicalize(s);
}
