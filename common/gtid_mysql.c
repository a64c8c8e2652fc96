/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gtid_mysql - sets of intervals per source and tag.  All set operations are one linear walk over
 * sorted sources, and for each source one over the edges of sorted intervals.  Runs on: any thread.
 */
#include "gtid_impl.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { SOURCES_MAX = 65536 };

static int by_source(const void *pa, const void *pb)
{
	const struct gtid_source *a = pa, *b = pb;
	int c = memcmp(a->uuid, b->uuid, sizeof(a->uuid));

	return c ? c : strcmp(a->tag, b->tag);
}

static int by_first(const void *pa, const void *pb)
{
	const struct gtid_ival *a = pa, *b = pb;

	return (a->first > b->first) - (a->first < b->first);
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Leaves *p behind the UUID, or on the first byte that is wrong. */
static bool read_uuid(const char **p, uint8_t uuid[16])
{
	memset(uuid, 0, 16);
	for (size_t i = 0, digits = 0; i < 36; i++, (*p)++) {
		int v;

		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (**p != '-')
				return false;
			continue;
		}
		v = hex(**p);
		if (v < 0)
			return false;
		uuid[digits / 2] = (uint8_t)(uuid[digits / 2] << 4 | v);
		digits++;
	}
	return true;
}

bool gtid_uuid_parse(const char *text36, uint8_t ret_uuid[16])
{
	uint8_t uuid[16];

	if (!read_uuid(&text36, uuid) || *text36)
		return false;
	memcpy(ret_uuid, uuid, sizeof(uuid));
	return true;
}

static bool starts_tag(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Leaves *p behind the tag, which is turned to lower case as servers do; false when it is too long.
 */
static bool read_tag(const char **p, char tag[GTID_TAG_MAX + 1])
{
	size_t n = 0;

	for (; starts_tag(**p) || (n && **p >= '0' && **p <= '9'); (*p)++) {
		if (n == GTID_TAG_MAX)
			return false;
		tag[n++] = (char)(**p >= 'A' && **p <= 'Z' ? **p | 0x20 : **p);
	}
	tag[n] = '\0';
	return true;
}

static bool parse_interval(struct gtid_set *s, struct gtid_text *t)
{
	struct gtid_ival iv;

	if (!gtid_number(t, 1, GTID_GNO_MAX, &iv.first))
		return false;
	iv.last = iv.first;
	if (gtid_accept(t, '-') && !gtid_number(t, iv.first, GTID_GNO_MAX, &iv.last))
		return false;
	vec_push(&s->ivals, iv);
	return true;
}

/* "tag:1-5:7" or "1-5:7", up to the next tag or the end of this UUID's part. */
static bool parse_numbers(
        struct gtid_set *s, struct gtid_text *t, const uint8_t uuid[16], bool *ret_more)
{
	struct gtid_source src = { .at = s->ivals.len };

	memcpy(src.uuid, uuid, sizeof(src.uuid));
	if (s->sources.len == SOURCES_MAX)
		return gtid_bad(t, "no more than 65536 sources and tags");
	if (starts_tag(*t->p)) {
		if (!read_tag(&t->p, src.tag))
			return gtid_bad(t, "a tag of no more than 32 characters");
		gtid_skip_blanks(t);
		if (!gtid_accept(t, ':'))
			return gtid_bad(t, "\":\" and a number behind the tag");
	}
	do {
		if (!parse_interval(s, t))
			return false;
		*ret_more = gtid_accept(t, ':');
	} while (*ret_more && !starts_tag(*t->p));
	src.n = s->ivals.len - src.at;
	vec_push(&s->sources, src);
	return true;
}

static bool parse_source(struct gtid_set *s, struct gtid_text *t)
{
	uint8_t uuid[16];
	bool more = false;

	if (!read_uuid(&t->p, uuid))
		return gtid_bad(t, "a server's UUID");
	gtid_skip_blanks(t);
	if (!gtid_accept(t, ':'))
		return gtid_bad(t, "\":\"");
	do {
		if (!parse_numbers(s, t, uuid, &more))
			return false;
	} while (more);
	return true;
}

static bool touches(const struct gtid_ival *before, const struct gtid_ival *next)
{
	return next->first <= before->last + 1;
}

static bool is_canonical(const struct gtid_set *s)
{
	for (size_t i = 0; i < s->sources.len; i++) {
		const struct gtid_source *src = &s->sources.items[i];

		if (i && by_source(src - 1, src) >= 0)
			return false;
		for (size_t k = src->at + 1; k < src->at + src->n; k++)
			if (touches(&s->ivals.items[k - 1], &s->ivals.items[k]))
				return false;
	}
	return true;
}

/* Sort and merge the intervals from `at` on; returns how many are left. */
static size_t merge_tail(struct gtid_set *s, size_t at)
{
	struct gtid_ival *iv = s->ivals.items + at;
	size_t n = 0;

	qsort(iv, s->ivals.len - at, sizeof(*iv), by_first);
	for (size_t i = 1; i < s->ivals.len - at; i++) {
		if (!touches(&iv[n], &iv[i]))
			iv[++n] = iv[i];
		else if (iv[i].last > iv[n].last)
			iv[n].last = iv[i].last;
	}
	s->ivals.len = at + n + 1;
	return n + 1;
}

/* What was read in any order, with sources repeated and intervals overlapping, becomes canonical.
 */
static void canonicalize(struct gtid_set *s)
{
	struct gtid_set raw = *s;

	if (is_canonical(s))
		return;
	*s = (struct gtid_set){ .dialect = raw.dialect };
	qsort(raw.sources.items, raw.sources.len, sizeof(*raw.sources.items), by_source);
	for (size_t i = 0; i < raw.sources.len;) {
		struct gtid_source src = raw.sources.items[i];

		src.at = s->ivals.len;
		for (; i < raw.sources.len && !by_source(&src, &raw.sources.items[i]); i++)
			for (size_t k = 0; k < raw.sources.items[i].n; k++)
				vec_push(&s->ivals, raw.ivals.items[raw.sources.items[i].at + k]);
		src.n = merge_tail(s, src.at);
		vec_push(&s->sources, src);
	}
	vec_done(&raw.sources);
	vec_done(&raw.ivals);
}

bool gtid_mysql_parse(struct gtid_set *s, struct gtid_text *t)
{
	while (*t->p) {
		if (gtid_accept(t, ','))
			continue;
		if (!parse_source(s, t))
			return false;
		if (*t->p && *t->p != ',')
			return gtid_bad(t, "\",\", \":\" or the end");
	}
	canonicalize(s);
	return true;
}

static void format_uuid(const uint8_t uuid[16], struct str *ret)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			str_addc(ret, '-');
		str_addc(ret, digits[uuid[i] >> 4]);
		str_addc(ret, digits[uuid[i] & 0xf]);
	}
}

void gtid_mysql_format(const struct gtid_set *s, struct str *ret)
{
	vec_each (struct gtid_source, src, &s->sources) {
		bool first = src == s->sources.items;

		if (first || memcmp(src[-1].uuid, src->uuid, sizeof(src->uuid)) != 0) {
			str_add(ret, first ? "" : ",");
			format_uuid(src->uuid, ret);
		}
		if (src->tag[0])
			str_addf(ret, ":%s", src->tag);
		for (size_t i = src->at; i < src->at + src->n; i++) {
			const struct gtid_ival *iv = &s->ivals.items[i];

			str_addf(ret, ":%llu", (unsigned long long)iv->first);
			if (iv->last > iv->first)
				str_addf(ret, "-%llu", (unsigned long long)iv->last);
		}
	}
}

/* The i-th edge of n intervals: even ones begin an interval, odd ones lie behind its end. */
static uint64_t edge(const struct gtid_ival *iv, size_t n, size_t i)
{
	if (i >= 2 * n)
		return UINT64_MAX;
	return i & 1 ? iv[i / 2].last + 1 : iv[i / 2].first;
}

/* Walk over the edges of both lists, and note where the truth of "the result has it" changes. */
static void combine_ivals(struct gtid_set *ret, const struct gtid_ival *a, size_t na,
        const struct gtid_ival *b, size_t nb, enum gtid_op op)
{
	size_t i = 0, j = 0;
	uint64_t from = 0;
	bool on = false;

	while (i < 2 * na || j < 2 * nb) {
		uint64_t x = edge(a, na, i), y = edge(b, nb, j), here = x < y ? x : y;
		bool now;

		i += x == here;
		j += y == here;
		now = (unsigned)op >> ((i & 1) | (j & 1) << 1) & 1;
		if (now && !on)
			from = here;
		else if (!now && on)
			vec_push(&ret->ivals, (struct gtid_ival){ from, here - 1 });
		on = now;
	}
}

static const struct gtid_ival *ivals_of(const struct gtid_set *s, const struct gtid_source *src)
{
	return src ? s->ivals.items + src->at : NULL;
}

struct gtid_set *gtid_mysql_combine(
        const struct gtid_set *a, const struct gtid_set *b, enum gtid_op op)
{
	struct gtid_set *ret = gtid_set_new(GTID_MYSQL);
	size_t i = 0, j = 0;

	while (i < a->sources.len || j < b->sources.len) {
		const struct gtid_source *x = i < a->sources.len ? &a->sources.items[i] : NULL;
		const struct gtid_source *y = j < b->sources.len ? &b->sources.items[j] : NULL;
		int c = !x ? 1 : !y ? -1 : by_source(x, y);
		struct gtid_source src = c <= 0 ? *x : *y;

		if (c < 0)
			y = NULL;
		else if (c > 0)
			x = NULL;
		i += x != NULL;
		j += y != NULL;
		src.at = ret->ivals.len;
		combine_ivals(ret, ivals_of(a, x), x ? x->n : 0, ivals_of(b, y), y ? y->n : 0, op);
		src.n = ret->ivals.len - src.at;
		if (src.n)
			vec_push(&ret->sources, src);
	}
	return ret;
}

uint64_t gtid_mysql_count(const struct gtid_set *s)
{
	uint64_t n = 0;

	vec_each (struct gtid_ival, iv, &s->ivals)
		n = gtid_add_saturated(n, iv->last - iv->first + 1);
	return n;
}

static bool make_source(struct gtid_source *src, const uint8_t uuid[16], const char *tag)
{
	*src = (struct gtid_source){ 0 };
	memcpy(src->uuid, uuid, sizeof(src->uuid));
	return read_tag(&tag, src->tag) && !*tag;
}

/* The last interval of that source that begins at or before gno; NULL when there is none. */
static struct gtid_ival *find_ival(
        const struct gtid_set *s, const struct gtid_source *key, uint64_t gno, bool *ret_has_next)
{
	const struct gtid_source *src =
	        s->sources.len
	                ? bsearch(key, s->sources.items, s->sources.len, sizeof(*key), by_source)
	                : NULL;
	size_t low = 0, high = src ? src->n : 0;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->ivals.items[src->at + mid].first <= gno)
			low = mid + 1;
		else
			high = mid;
	}
	*ret_has_next = src && low < src->n;
	return low ? &s->ivals.items[src->at + low - 1] : NULL;
}

bool gtid_set_has_mysql(
        const struct gtid_set *s, const uint8_t uuid[16], const char *tag, uint64_t gno)
{
	struct gtid_source key;
	const struct gtid_ival *iv;
	bool has_next;

	assert(s->dialect == GTID_MYSQL);
	if (!make_source(&key, uuid, tag))
		return false;
	iv = find_ival(s, &key, gno, &has_next);
	return iv && gno <= iv->last;
}

/* The usual case in place: nothing new, or the interval before grows without reaching the next one.
 */
static bool add_in_place(
        struct gtid_set *s, const struct gtid_source *key, const struct gtid_ival *add)
{
	bool has_next;
	struct gtid_ival *iv = find_ival(s, key, add->first, &has_next);

	if (!iv || !touches(iv, add))
		return false;
	if (add->last <= iv->last)
		return true;
	if (has_next && touches(add, iv + 1))
		return false;
	iv->last = add->last;
	return true;
}

bool gtid_set_add_mysql(
        struct gtid_set *s, const uint8_t uuid[16], const char *tag, uint64_t first, uint64_t last)
{
	struct gtid_ival iv = { first, last };
	struct gtid_set one = { .dialect = GTID_MYSQL, .ivals = { &iv, 1, 1 } }, old = *s;
	struct gtid_set *sum;
	struct gtid_source src;

	assert(s->dialect == GTID_MYSQL);
	if (!make_source(&src, uuid, tag) || !first || last > GTID_GNO_MAX || first > last)
		return false;
	if (add_in_place(s, &src, &iv))
		return true;
	src.n = 1;
	one.sources.items = &src;
	one.sources.len = one.sources.cap = 1;
	sum = gtid_mysql_combine(s, &one, GTID_UNION);
	*s = *sum;
	*sum = old;
	gtid_set_free(sum);
	return true;
}

struct gtid_set *gtid_set_only_source(const struct gtid_set *s, const uint8_t uuid[16])
{
	struct gtid_set *ret = gtid_set_new(GTID_MYSQL);

	assert(s->dialect == GTID_MYSQL);
	vec_each (struct gtid_source, src, &s->sources) {
		struct gtid_source copy = *src;

		if (memcmp(src->uuid, uuid, sizeof(src->uuid)) != 0)
			continue;
		copy.at = ret->ivals.len;
		for (size_t i = 0; i < src->n; i++)
			vec_push(&ret->ivals, s->ivals.items[src->at + i]);
		vec_push(&ret->sources, copy);
	}
	return ret;
}
