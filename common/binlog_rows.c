/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * binlog_rows - walks over row images by the lengths of their columns.
 * Runs on: any thread.
 */
#include "binlog_rows.h"
#include <stdlib.h>
#include <string.h>
#include "binlog_cur.h"
#include "binlog_payload.h"
#include "str.h"

#define IMAGES_MAX (16u << 20) /* of compressed images, uncompressed */

enum column_type {
	T_TINY = 1,
	T_SHORT = 2,
	T_LONG = 3,
	T_FLOAT = 4,
	T_DOUBLE = 5,
	T_NULL = 6,
	T_TIMESTAMP = 7,
	T_LONGLONG = 8,
	T_INT24 = 9,
	T_DATE = 10,
	T_TIME = 11,
	T_DATETIME = 12,
	T_YEAR = 13,
	T_NEWDATE = 14,
	T_VARCHAR = 15,
	T_BIT = 16,
	T_TIMESTAMP2 = 17,
	T_DATETIME2 = 18,
	T_TIME2 = 19,
	T_BLOB_COMPRESSED = 140, /* MariaDB */
	T_VARCHAR_COMPRESSED = 141,
	T_VECTOR = 242,
	T_JSON = 245,
	T_NEWDECIMAL = 246,
	T_ENUM = 247,
	T_SET = 248,
	T_BLOB = 252,
	T_VAR_STRING = 253,
	T_STRING = 254,
	T_GEOMETRY = 255,
};

/* How the length of a value is found. */
enum shape {
	SHAPE_UNKNOWN,
	SHAPE_FIXED,    /* `size` bytes */
	SHAPE_FRACTION, /* `size` and half as many as the metadata's digits */
	SHAPE_VARCHAR,  /* metadata: longest length; a length of 1 or 2 bytes in front */
	SHAPE_BLOB,     /* metadata: size of the length in front */
	SHAPE_STRING,   /* CHAR, ENUM or SET, told apart by the metadata */
	SHAPE_BIT,
	SHAPE_DECIMAL,
};

static const struct type_row {
	uint8_t shape, size, metadata; /* metadata: bytes in the Table_map */
} types[256] = {
	[T_TINY] = { SHAPE_FIXED, 1, 0 },
	[T_SHORT] = { SHAPE_FIXED, 2, 0 },
	[T_LONG] = { SHAPE_FIXED, 4, 0 },
	[T_FLOAT] = { SHAPE_FIXED, 4, 1 },
	[T_DOUBLE] = { SHAPE_FIXED, 8, 1 },
	[T_NULL] = { SHAPE_FIXED, 0, 0 },
	[T_TIMESTAMP] = { SHAPE_FIXED, 4, 0 },
	[T_LONGLONG] = { SHAPE_FIXED, 8, 0 },
	[T_INT24] = { SHAPE_FIXED, 3, 0 },
	[T_DATE] = { SHAPE_FIXED, 3, 0 },
	[T_TIME] = { SHAPE_FIXED, 3, 0 },
	[T_DATETIME] = { SHAPE_FIXED, 8, 0 },
	[T_YEAR] = { SHAPE_FIXED, 1, 0 },
	[T_NEWDATE] = { SHAPE_FIXED, 3, 0 },
	[T_VARCHAR] = { SHAPE_VARCHAR, 0, 2 },
	[T_BIT] = { SHAPE_BIT, 0, 2 },
	[T_TIMESTAMP2] = { SHAPE_FRACTION, 4, 1 },
	[T_DATETIME2] = { SHAPE_FRACTION, 5, 1 },
	[T_TIME2] = { SHAPE_FRACTION, 3, 1 },
	[T_BLOB_COMPRESSED] = { SHAPE_BLOB, 0, 1 },
	[T_VARCHAR_COMPRESSED] = { SHAPE_VARCHAR, 0, 2 },
	[T_VECTOR] = { SHAPE_BLOB, 0, 1 },
	[T_JSON] = { SHAPE_BLOB, 0, 1 },
	[T_NEWDECIMAL] = { SHAPE_DECIMAL, 0, 2 },
	[T_ENUM] = { SHAPE_STRING, 0, 2 },
	[T_SET] = { SHAPE_STRING, 0, 2 },
	[T_BLOB] = { SHAPE_BLOB, 0, 1 },
	[T_VAR_STRING] = { SHAPE_VARCHAR, 0, 2 },
	[T_STRING] = { SHAPE_STRING, 0, 2 },
	[T_GEOMETRY] = { SHAPE_BLOB, 0, 1 },
};

struct table {
	uint64_t id;
	char *names; /* owned: database, table, types and metadata one after the other */
	size_t db_len, table_len, columns, metadata_len;
};

struct binlog_counter {
	struct table tables[BINLOG_ROWS_TABLES]; /* a ring */
	size_t used, next;
	struct str images; /* uncompressed */
};

struct binlog_counter *binlog_rows_new(void)
{
	struct binlog_counter *c = xzalloc(sizeof(*c));

	str_init(&c->images);
	return c;
}

void binlog_rows_free(struct binlog_counter *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->used; i++)
		free(c->tables[i].names);
	str_done(&c->images);
	free(c);
}

static struct table *find(struct binlog_counter *c, uint64_t id)
{
	for (size_t i = 0; i < c->used; i++)
		if (c->tables[i].id == id)
			return &c->tables[i];
	return NULL;
}

void binlog_rows_map(struct binlog_counter *c, const struct binlog_table_map *t)
{
	struct table *to = find(c, t->table_id);
	AUTO_STR struct str all = STR_INIT;

	if (!to) {
		to = &c->tables[c->next];
		c->next = (c->next + 1) % BINLOG_ROWS_TABLES;
		if (c->used < BINLOG_ROWS_TABLES)
			c->used++;
	}
	free(to->names);
	str_addn(&all, t->db.p, t->db.len);
	str_addn(&all, t->table.p, t->table.len);
	str_addn(&all, t->types, t->columns);
	str_addn(&all, t->metadata.p, t->metadata.len);
	*to = (struct table){ t->table_id, NULL, t->db.len, t->table.len, (size_t)t->columns,
		t->metadata.len };
	to->names = str_take(&all);
}

/* Nine decimal digits take four bytes, fewer take as many as they need. */
static size_t decimal_size(unsigned precision, unsigned scale)
{
	static const uint8_t part[] = { 0, 1, 1, 2, 2, 3, 3, 4, 4 };
	unsigned whole = precision - scale;

	return whole / 9 * 4 + part[whole % 9] + scale / 9 * 4 + part[scale % 9];
}

/* ENUM and SET say so in the first byte; of a CHAR's length two bits are hidden in it. */
static void skip_string(struct cur *c, uint8_t first, uint8_t second)
{
	unsigned longest = (((first >> 4 & 3) ^ 3) << 8) + second;

	if (first == T_ENUM || first == T_SET)
		cur_take(c, second);
	else
		cur_take(c, cur_uint(c, longest > 255 ? 2 : 1));
}

static bool skip_value(struct cur *c, uint8_t type, const uint8_t *meta)
{
	const struct type_row *t = &types[type];

	switch ((enum shape)t->shape) {
	case SHAPE_UNKNOWN: return false;
	case SHAPE_FIXED: cur_take(c, t->size); break;
	case SHAPE_FRACTION: cur_take(c, t->size + (meta[0] + 1u) / 2); break;
	case SHAPE_VARCHAR: cur_take(c, cur_uint(c, meta[1] ? 2 : 1)); break;
	case SHAPE_BLOB: cur_take(c, cur_uint(c, meta[0] <= 4 ? meta[0] : 4)); break;
	case SHAPE_STRING: skip_string(c, meta[0], meta[1]); break;
	case SHAPE_BIT: cur_take(c, meta[1] + (meta[0] != 0)); break;
	case SHAPE_DECIMAL:
		if (meta[1] > meta[0])
			return false;
		cur_take(c, decimal_size(meta[0], meta[1]));
		break;
	}
	return !c->bad;
}

static bool bit(const uint8_t *bits, size_t i)
{
	return bits[i / 8] >> i % 8 & 1;
}

/* One image: a bit for each column in it that is NULL, then the values of the others. */
static bool skip_image(struct cur *c, const struct table *t, const uint8_t *present)
{
	const uint8_t *type = (const uint8_t *)t->names + t->db_len + t->table_len;
	struct cur meta = { type + t->columns, t->metadata_len, false };
	size_t n = 0, at = 0;
	const uint8_t *nulls;

	for (size_t i = 0; i < t->columns; i++)
		n += bit(present, i);
	nulls = cur_take(c, (n + 7) / 8);
	for (size_t i = 0; nulls && i < t->columns; i++) {
		const uint8_t *m = cur_take(&meta, types[type[i]].metadata);

		if (!m)
			return false;
		if (bit(present, i) && !bit(nulls, at++) && !skip_value(c, type[i], m))
			return false;
	}
	return nulls != NULL;
}

/*
 * Before an after-image that may hold partial JSON: options, and a bit for each JSON column if they
 * say so.
 */
static void skip_partial_head(struct cur *c, const struct table *t)
{
	const uint8_t *type = (const uint8_t *)t->names + t->db_len + t->table_len;
	size_t n = 0;

	if (!(cur_packed(c) & 1))
		return;
	for (size_t i = 0; i < t->columns; i++)
		n += type[i] == T_JSON;
	cur_take(c, (n + 7) / 8);
}

static bool count_images(
        const struct table *t, const struct binlog_rows *r, struct cur c, uint64_t *ret)
{
	uint64_t n = 0;

	for (; c.left; n++) {
		size_t before = c.left;

		if (!skip_image(&c, t, r->before))
			return false;
		if (r->partial)
			skip_partial_head(&c, t);
		if (r->after && !skip_image(&c, t, r->after))
			return false;
		if (c.left == before) /* a table of no columns: no end would come */
			return false;
	}
	*ret = n;
	return true;
}

bool binlog_rows_count(struct binlog_counter *c, const struct binlog_rows *r, uint64_t *ret_rows,
        struct binlog_bytes *ret_db, struct binlog_bytes *ret_table)
{
	const struct table *t = find(c, r->table_id);
	struct cur images = { (const uint8_t *)r->images.p, r->images.len, false };

	*ret_db = *ret_table = (struct binlog_bytes){ "", 0 };
	if (!t)
		return false;
	*ret_db = (struct binlog_bytes){ t->names, t->db_len };
	*ret_table = (struct binlog_bytes){ t->names + t->db_len, t->table_len };
	if (r->columns != t->columns || r->images.len < r->images_size)
		return false;
	if (r->compressed) {
		if (!binlog_payload_inflate(r->images, IMAGES_MAX, &c->images))
			return false;
		images = (struct cur){ (const uint8_t *)c->images.p, c->images.len, false };
	}
	return count_images(t, r, images, ret_rows);
}

bool binlog_rows_each(
        struct binlog_counter *c, const struct binlog_rows *r, binlog_row_fn *fn, void *ctx)
{
	const struct table *t = find(c, r->table_id);
	struct cur at = { (const uint8_t *)r->images.p, r->images.len, false };

	if (!t || r->columns != t->columns || r->images.len < r->images_size || r->compressed ||
	        r->partial)
		return false;
	while (at.left) {
		struct binlog_bytes one[2] = { { (const char *)at.p, 0 }, { NULL, 0 } };

		if (!skip_image(&at, t, r->before))
			return false;
		one[0].len = (size_t)((const char *)at.p - one[0].p);
		one[1].p = (const char *)at.p;
		if (r->after && !skip_image(&at, t, r->after))
			return false;
		one[1].len = (size_t)((const char *)at.p - one[1].p);
		if (!one[0].len)
			return false;
		fn(ctx, one[0], one[1]);
	}
	return true;
}
