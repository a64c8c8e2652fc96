/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gtid - what is common to both dialects: life, the pieces of parsers, and all answers that follow
 * from subtraction.  Runs on: any thread.
 */
#include "gtid_impl.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 16 << 20 };

void gtid_skip_blanks(struct gtid_text *t)
{
	while (*t->p == ' ' || (*t->p >= '\t' && *t->p <= '\r'))
		t->p++;
}

bool gtid_accept(struct gtid_text *t, char c)
{
	if (*t->p != c)
		return false;
	t->p++;
	gtid_skip_blanks(t);
	return true;
}

bool gtid_bad(struct gtid_text *t, const char *what)
{
	char found[24];
	size_t n = 0;

	for (; n < sizeof(found) - 1 && t->p[n]; n++)
		found[n] = t->p[n] >= ' ' && t->p[n] <= '~' ? t->p[n] : '?';
	found[n] = '\0';
	return err_set(t->e, ERR_PARSE, 0, "bad GTID set: expected %s at offset %td, found %s%s%s",
	        what, t->p - t->start, n ? "\"" : "its end", found, n ? "\"" : "");
}

bool gtid_number(struct gtid_text *t, uint64_t min, uint64_t max, uint64_t *ret)
{
	const char *p = t->p;
	uint64_t v = 0;
	char what[80];

	for (; *p >= '0' && *p <= '9'; p++) {
		uint64_t digit = (uint64_t)(*p - '0');

		if (v > (max - digit) / 10)
			break;
		v = v * 10 + digit;
	}
	if (p == t->p || (*p >= '0' && *p <= '9') || v < min) {
		snprintf(what, sizeof(what), "a number from %llu to %llu", (unsigned long long)min,
		        (unsigned long long)max);
		return gtid_bad(t, what);
	}
	t->p = p;
	gtid_skip_blanks(t);
	*ret = v;
	return true;
}

uint64_t gtid_add_saturated(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

struct gtid_set *gtid_set_new(enum gtid_dialect d)
{
	struct gtid_set *s = xzalloc(sizeof(*s));

	s->dialect = d;
	return s;
}

void gtid_set_free(struct gtid_set *s)
{
	if (!s)
		return;
	vec_done(&s->sources);
	vec_done(&s->ivals);
	vec_done(&s->heads);
	free(s);
}

struct gtid_set *gtid_set_parse(enum gtid_dialect d, const char *text, struct err *e)
{
	AUTO(gtid) struct gtid_set *s = gtid_set_new(d);
	struct gtid_text t = { text, text, e };

	if (strnlen(text, TEXT_MAX + 1) > TEXT_MAX) {
		t.p += TEXT_MAX;
		gtid_bad(&t, "no more than 16 MiB of text");
		return NULL;
	}
	gtid_skip_blanks(&t);
	if (!(d == GTID_MYSQL ? gtid_mysql_parse : gtid_mariadb_parse)(s, &t))
		return NULL;
	return TAKE(s);
}

char *gtid_set_format(const struct gtid_set *s)
{
	struct str text = STR_INIT;

	(s->dialect == GTID_MYSQL ? gtid_mysql_format : gtid_mariadb_format)(s, &text);
	return str_take(&text);
}

enum gtid_dialect gtid_set_dialect(const struct gtid_set *s)
{
	return s->dialect;
}

bool gtid_set_is_empty(const struct gtid_set *s)
{
	return !s->sources.len && !s->heads.len;
}

static struct gtid_set *combine(const struct gtid_set *a, const struct gtid_set *b, enum gtid_op op)
{
	assert(a->dialect == b->dialect);
	return (a->dialect == GTID_MYSQL ? gtid_mysql_combine : gtid_mariadb_combine)(a, b, op);
}

struct gtid_set *gtid_set_union(const struct gtid_set *a, const struct gtid_set *b)
{
	return combine(a, b, GTID_UNION);
}

struct gtid_set *gtid_set_subtract(const struct gtid_set *a, const struct gtid_set *b)
{
	return combine(a, b, GTID_SUBTRACT);
}

struct gtid_set *gtid_set_intersect(const struct gtid_set *a, const struct gtid_set *b)
{
	return combine(a, b, GTID_INTERSECT);
}

struct gtid_set *gtid_set_dup(const struct gtid_set *s)
{
	return combine(s, s, GTID_INTERSECT);
}

bool gtid_set_contains(const struct gtid_set *a, const struct gtid_set *b)
{
	AUTO(gtid) struct gtid_set *lacks = combine(b, a, GTID_SUBTRACT);

	return gtid_set_is_empty(lacks);
}

enum gtid_order gtid_set_cmp(const struct gtid_set *a, const struct gtid_set *b)
{
	bool a_has_b = gtid_set_contains(a, b), b_has_a = gtid_set_contains(b, a);

	if (a_has_b)
		return b_has_a ? GTID_EQUAL : GTID_AHEAD;
	return b_has_a ? GTID_BEHIND : GTID_DIVERGED;
}

uint64_t gtid_set_count_missing(const struct gtid_set *a, const struct gtid_set *b)
{
	AUTO(gtid) struct gtid_set *none = b ? NULL : gtid_set_new(a->dialect);
	AUTO(gtid) struct gtid_set *missing = NULL;

	if (!b)
		b = none;
	assert(a->dialect == b->dialect);
	if (a->dialect == GTID_MARIADB)
		return gtid_mariadb_count_missing(a, b);
	missing = gtid_set_subtract(a, b);
	return gtid_mysql_count(missing);
}

uint64_t gtid_set_count(const struct gtid_set *s)
{
	return gtid_set_count_missing(s, NULL);
}
