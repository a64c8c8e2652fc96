/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gtid_impl - what gtid.c, gtid_mysql.c and gtid_mariadb.c share; nobody else includes it.
 */
#pragma once
#include "gtid.h"
#include "str.h"
#include "vec.h"

struct gtid_ival {
	uint64_t first, last; /* both included */
};

struct gtid_source {
	uint8_t uuid[16];
	char tag[GTID_TAG_MAX + 1]; /* lower case; "" = none */
	size_t at, n;               /* its intervals: ivals.items[at] to [at + n - 1] */
};

struct gtid_head {
	uint32_t domain, server;
	uint64_t seq;
};

/*
 * Always canonical, except within parsing.  Sources are sorted by UUID and tag and have intervals;
 * those lie one source behind the other, sorted and never touching within one.  Heads are sorted by
 * domain and server; all heads of a domain have one sequence number, which is not 0.
 */
struct gtid_set {
	enum gtid_dialect dialect;
	VEC(struct gtid_source) sources; /* MySQL */
	VEC(struct gtid_ival) ivals;     /* MySQL */
	VEC(struct gtid_head) heads;     /* MariaDB */
};

/* Truth tables: bit (in a) + 2 * (in b) says whether the result has it. */
enum gtid_op { GTID_SUBTRACT = 0x2, GTID_INTERSECT = 0x8, GTID_UNION = 0xe };

/* A text being parsed. */
struct gtid_text {
	const char *start, *p;
	struct err *e;
};

void gtid_skip_blanks(struct gtid_text *t);

/* Eat `c` and the blanks behind it. */
bool gtid_accept(struct gtid_text *t, char c);

/* A decimal number and the blanks behind it; the error names what was expected. */
bool gtid_number(struct gtid_text *t, uint64_t min, uint64_t max, uint64_t *ret);

/* Set the error "expected <what> at offset <here>"; returns false. */
bool gtid_bad(struct gtid_text *t, const char *what);

uint64_t gtid_add_saturated(uint64_t a, uint64_t b);

bool gtid_mysql_parse(struct gtid_set *s, struct gtid_text *t);
void gtid_mysql_format(const struct gtid_set *s, struct str *ret);
struct gtid_set *gtid_mysql_combine(
        const struct gtid_set *a, const struct gtid_set *b, enum gtid_op op);
uint64_t gtid_mysql_count(const struct gtid_set *s);

bool gtid_mariadb_parse(struct gtid_set *s, struct gtid_text *t);
void gtid_mariadb_format(const struct gtid_set *s, struct str *ret);
struct gtid_set *gtid_mariadb_combine(
        const struct gtid_set *a, const struct gtid_set *b, enum gtid_op op);
uint64_t gtid_mariadb_count_missing(const struct gtid_set *a, const struct gtid_set *b);
