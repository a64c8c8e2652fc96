/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * binlog_view - decodes single events.
 * Runs on: any thread.
 */
#include "binlog_view.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "binlog_cur.h"
#include "str.h"

#define UUID_TEXT          37
#define MARIADB_COUNT_MASK 0x0fffffff /* of a Gtid_list; the upper bits are flags */

static struct cur body_of(const struct binlog_event *ev)
{
	return (struct cur){ ev->body, ev->body_have, false };
}

static struct binlog_bytes take_bytes(struct cur *c, size_t n)
{
	return (struct binlog_bytes){ (const char *)cur_take(c, n), n };
}

static struct binlog_bytes take_rest(struct cur *c)
{
	return take_bytes(c, c->left);
}

/* A name with its length in front and a NUL behind. */
static struct binlog_bytes take_name(struct cur *c)
{
	struct binlog_bytes b = take_bytes(c, cur_u8(c));

	cur_take(c, 1);
	return b;
}

/* The fixed part of the body, as long as the format description says, at least `least`. */
static struct cur take_post_header(
        struct cur *c, const struct binlog_format *f, const struct binlog_event *ev, size_t least)
{
	struct cur post = { NULL, f->post_header[ev->type], false };

	post.p = cur_take(c, post.left);
	if (!post.p || post.left < least)
		c->bad = post.bad = true;
	return post;
}

/* Table ids are of 4 bytes in logs of old servers. */
static uint64_t take_table_id(struct cur *post)
{
	return post->left == 6 ? cur_u32(post) : cur_uint(post, 6);
}

bool binlog_view_is_gtid(uint8_t type)
{
	return type == BINLOG_GTID || type == BINLOG_ANONYMOUS_GTID || type == BINLOG_GTID_TAGGED ||
	       type == BINLOG_MARIADB_GTID;
}

#define HAS_ORIGINAL_TIME ((uint64_t)1 << 55) /* in 7 bytes: 7 more follow */

/* The parts that came with 5.7 (logical clock) and 8.0 (times) may be missing. */
static bool gtid_plain(struct cur c, uint8_t type, struct binlog_gtid *ret)
{
	const uint8_t *uuid;
	uint64_t gno, commit_us, original_us;

	cur_take(&c, 1); /* flags */
	uuid = cur_take(&c, sizeof(ret->uuid));
	gno = cur_u64(&c);
	if (c.bad)
		return false;
	cur_take(&c, 1 + 8 + 8);
	commit_us = original_us = cur_uint(&c, 7);
	if (commit_us & HAS_ORIGINAL_TIME) {
		commit_us &= ~HAS_ORIGINAL_TIME;
		original_us = cur_uint(&c, 7);
	}
	*ret = (struct binlog_gtid){
		.kind = type == BINLOG_GTID ? BINLOG_GTID_MYSQL : BINLOG_GTID_ANONYMOUS,
		.gno = gno,
		.commit_us = c.bad ? 0 : commit_us,
		.original_us = c.bad ? 0 : original_us,
	};
	memcpy(ret->uuid, uuid, sizeof(ret->uuid));
	return true;
}

static uint64_t unfold_sign(uint64_t v)
{
	return v & 1 ? ~(v >> 1) : v >> 1;
}

/*
 * The fields of a tagged GTID event, in the order of their numbers; those behind the times are not
 * needed.
 */
enum {
	TAGGED_FLAGS,
	TAGGED_UUID,
	TAGGED_GNO,
	TAGGED_TAG,
	TAGGED_LAST_COMMITTED,
	TAGGED_SEQUENCE,
	TAGGED_TIME,
	TAGGED_ORIGINAL_TIME,
	TAGGED_ENOUGH
};

static bool tagged_field(struct cur *c, uint64_t number, struct binlog_gtid *g)
{
	size_t n;
	const uint8_t *tag;

	switch (number) {
	case TAGGED_UUID:
		for (size_t i = 0; i < sizeof(g->uuid); i++)
			g->uuid[i] = (uint8_t)cur_varint(c);
		break;
	case TAGGED_GNO: g->gno = unfold_sign(cur_varint(c)); break;
	case TAGGED_TAG:
		n = cur_varint(c);
		tag = cur_take(c, n);
		if (!tag || n >= sizeof(g->tag))
			return false;
		memcpy(g->tag, tag, n);
		break;
	case TAGGED_TIME: g->commit_us = g->original_us = cur_varint(c); break;
	case TAGGED_ORIGINAL_TIME: g->original_us = cur_varint(c); break;
	default: cur_varint(c); break;
	}
	return !c->bad;
}

/*
 * A message of MySQL's serialization library: version, size, last field that matters, then number
 * and value.
 */
static bool gtid_tagged(struct cur c, struct binlog_gtid *ret)
{
	struct binlog_gtid g = { .kind = BINLOG_GTID_MYSQL };
	unsigned seen = 0;

	cur_varint(&c);
	cur_varint(&c);
	cur_varint(&c);
	while (c.left && !c.bad) {
		uint64_t number = cur_varint(&c);

		if (number >= TAGGED_ENOUGH)
			break;
		if (!tagged_field(&c, number, &g))
			return false;
		seen |= 1u << number;
	}
	if (c.bad || !(seen & 1u << TAGGED_UUID) || !(seen & 1u << TAGGED_GNO))
		return false;
	*ret = g;
	return true;
}

static bool gtid_mariadb(struct cur c, const struct binlog_event *ev, struct binlog_gtid *ret)
{
	uint64_t seq = cur_u64(&c), commit_id = 0;
	uint32_t domain = cur_u32(&c);
	uint8_t flags = cur_u8(&c);

	if (flags & BINLOG_GTID_GROUP_COMMIT)
		commit_id = cur_u64(&c);
	if (c.bad)
		return false;
	*ret = (struct binlog_gtid){ .kind = BINLOG_GTID_MARIADB,
		.domain = domain,
		.server = ev->server_id,
		.seq = seq,
		.flags = flags,
		.commit_id = commit_id };
	return true;
}

bool binlog_view_gtid(const struct binlog_event *ev, struct binlog_gtid *ret)
{
	struct cur c = body_of(ev);

	if (ev->type == BINLOG_MARIADB_GTID)
		return gtid_mariadb(c, ev, ret);
	if (ev->type == BINLOG_GTID_TAGGED)
		return gtid_tagged(c, ret);
	return gtid_plain(c, ev->type, ret);
}

static void uuid_text(const uint8_t uuid[16], char buf[UUID_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	char *p = buf;

	for (size_t i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = digits[uuid[i] >> 4];
		*p++ = digits[uuid[i] & 15];
	}
	*p = '\0';
}

char *binlog_view_gtid_text(const struct binlog_gtid *g, char *buf)
{
	char uuid[UUID_TEXT];

	buf[0] = '\0';
	switch (g->kind) {
	case BINLOG_GTID_NONE: break;
	case BINLOG_GTID_ANONYMOUS: snprintf(buf, BINLOG_GTID_TEXT, "ANONYMOUS"); break;
	case BINLOG_GTID_MYSQL:
		uuid_text(g->uuid, uuid);
		snprintf(buf, BINLOG_GTID_TEXT, "%s:%s%s%llu", uuid, g->tag, g->tag[0] ? ":" : "",
		        (unsigned long long)g->gno);
		break;
	case BINLOG_GTID_MARIADB:
		snprintf(buf, BINLOG_GTID_TEXT, "%u-%u-%llu", g->domain, g->server,
		        (unsigned long long)g->seq);
		break;
	}
	return buf;
}

bool binlog_view_gtid_add(const struct binlog_gtid *g, struct gtid_set *to)
{
	if (g->kind == BINLOG_GTID_MYSQL)
		return gtid_set_add_mysql(to, g->uuid, g->tag, g->gno, g->gno);
	if (g->kind == BINLOG_GTID_MARIADB)
		gtid_set_add_mariadb(to, g->domain, g->server, g->seq);
	return true;
}

bool binlog_view_gtid_in(const struct binlog_gtid *g, const struct gtid_set *s)
{
	if (g->kind == BINLOG_GTID_MYSQL)
		return gtid_set_has_mysql(s, g->uuid, g->tag, g->gno);
	return g->kind == BINLOG_GTID_MARIADB &&
	       gtid_set_has_mariadb(s, g->domain, g->server, g->seq);
}

/* Lists become text first: parsing sorts once, however they are ordered. */

static void add_intervals(struct cur *c, struct str *text)
{
	uint64_t n = cur_u64(c);

	for (; n && !c->bad; n--) {
		uint64_t first = cur_u64(c), behind = cur_u64(c);

		if (!c->bad)
			str_addf(text, ":%llu-%llu", (unsigned long long)first,
			        (unsigned long long)behind - 1);
	}
}

/* One source of a Previous_gtids event; with tags in it, each tag of a source is one entry. */
static void add_source(struct cur *c, bool tags, struct str *text)
{
	const uint8_t *uuid = cur_take(c, 16), *tag = NULL;
	size_t tag_len = tags ? cur_varint(c) : 0;
	char buf[UUID_TEXT];

	tag = cur_take(c, tag_len);
	if (c->bad)
		return;
	uuid_text(uuid, buf);
	str_addf(text, "%s%s", text->len ? "," : "", buf);
	if (tag_len) {
		str_addc(text, ':');
		str_addn(text, tag, tag_len);
	}
	add_intervals(c, text);
}

static bool previous_gtids(struct cur *c, struct str *text)
{
	uint64_t head = cur_u64(c), n = head & 0x00ffffffffffffff;
	bool tags = head >> 56 == 1;

	if (head >> 56 > 1)
		return false;
	if (tags)
		n >>= 8;
	for (; n && !c->bad; n--)
		add_source(c, tags, text);
	return !c->bad;
}

static bool gtid_list(struct cur *c, struct str *text)
{
	uint32_t n = cur_u32(c) & MARIADB_COUNT_MASK;

	for (; n && !c->bad; n--) {
		uint32_t domain = cur_u32(c), server = cur_u32(c);
		uint64_t seq = cur_u64(c);

		if (!c->bad && seq)
			str_addf(text, "%s%u-%u-%llu", text->len ? "," : "", domain, server,
			        (unsigned long long)seq);
	}
	return !c->bad;
}

struct gtid_set *binlog_view_gtid_list(const struct binlog_event *ev)
{
	AUTO_STR struct str text = STR_INIT;
	struct cur c = body_of(ev);
	bool mariadb = ev->type == BINLOG_GTID_LIST;

	if (mariadb ? !gtid_list(&c, &text) : !previous_gtids(&c, &text))
		return NULL;
	return gtid_set_parse(mariadb ? GTID_MARIADB : GTID_MYSQL, text.p, NULL);
}

bool binlog_view_rotate(const struct binlog_event *ev, struct binlog_rotate *ret)
{
	struct cur c = body_of(ev);
	struct binlog_rotate r = { .pos = cur_u64(&c) };

	r.file = take_rest(&c);
	if (c.bad || !r.file.len)
		return false;
	*ret = r;
	return true;
}

bool binlog_view_query(
        const struct binlog_format *f, const struct binlog_event *ev, struct binlog_query *ret)
{
	struct cur c = body_of(ev);
	struct cur post = take_post_header(&c, f, ev, 13), status;
	struct binlog_query q = { .compressed = ev->type == BINLOG_QUERY_COMPRESSED };
	size_t db_len;

	q.thread_id = cur_u32(&post);
	cur_take(&post, 4); /* execution time */
	db_len = cur_u8(&post);
	q.error_code = cur_u16(&post);
	q.status = take_bytes(&c, cur_u16(&post));
	q.db = take_bytes(&c, db_len);
	cur_take(&c, 1);
	q.text_size = c.left + ev->body_size - ev->body_have;
	q.text = take_rest(&c);
	if (c.bad || post.bad)
		return false;
	status = (struct cur){ (const uint8_t *)q.status.p, q.status.len, false };
	if (status.left &&
	        cur_u8(&status) == 0) /* 0: flags2, always the first where it is written */
		q.flags2 = cur_u32(&status);
	*ret = q;
	return true;
}

bool binlog_view_query_is(const struct binlog_query *q, const char *word, bool whole)
{
	size_t n = strlen(word);

	if (q->compressed || q->text.len < n || strncasecmp(q->text.p, word, n) != 0)
		return false;
	return q->text_size == n || (!whole && q->text.len > n && q->text.p[n] == ' ');
}

bool binlog_view_xid(const struct binlog_event *ev, uint64_t *ret)
{
	struct cur c = body_of(ev);
	uint64_t v = cur_u64(&c);

	if (!c.bad)
		*ret = v;
	return !c.bad;
}

bool binlog_view_xa_prepare(const struct binlog_event *ev, struct binlog_xa *ret)
{
	struct cur c = body_of(ev);
	struct binlog_xa x;
	uint32_t gtrid, bqual;

	x.one_phase = cur_u8(&c) != 0;
	x.format_id = cur_u32(&c);
	gtrid = cur_u32(&c);
	bqual = cur_u32(&c);
	x.gtrid = take_bytes(&c, gtrid);
	x.bqual = take_bytes(&c, bqual);
	if (!c.bad)
		*ret = x;
	return !c.bad;
}

bool binlog_view_table_map(
        const struct binlog_format *f, const struct binlog_event *ev, struct binlog_table_map *ret)
{
	struct cur c = body_of(ev);
	struct cur post = take_post_header(&c, f, ev, 6);
	struct binlog_table_map t = { .table_id = take_table_id(&post) };

	t.db = take_name(&c);
	t.table = take_name(&c);
	t.columns = cur_packed(&c);
	t.types = cur_take(&c, t.columns);
	t.metadata = take_bytes(&c, cur_packed(&c));
	if (c.bad || post.bad)
		return false;
	*ret = t;
	return true;
}

enum { ROWS_NONE, ROWS_V1, ROWS_V2 };

/* What each of the many types of rows events is. */
static const struct rows_kind {
	uint8_t version;
	enum binlog_row_change change;
	bool partial, compressed;
} rows_kinds[256] = {
	[BINLOG_WRITE_ROWS_V1] = { ROWS_V1, BINLOG_ROWS_WRITE, false, false },
	[BINLOG_UPDATE_ROWS_V1] = { ROWS_V1, BINLOG_ROWS_UPDATE, false, false },
	[BINLOG_DELETE_ROWS_V1] = { ROWS_V1, BINLOG_ROWS_DELETE, false, false },
	[BINLOG_WRITE_ROWS] = { ROWS_V2, BINLOG_ROWS_WRITE, false, false },
	[BINLOG_UPDATE_ROWS] = { ROWS_V2, BINLOG_ROWS_UPDATE, false, false },
	[BINLOG_DELETE_ROWS] = { ROWS_V2, BINLOG_ROWS_DELETE, false, false },
	[BINLOG_PARTIAL_UPDATE_ROWS] = { ROWS_V2, BINLOG_ROWS_UPDATE, true, false },
	[BINLOG_WRITE_ROWS_COMPRESSED_V1] = { ROWS_V1, BINLOG_ROWS_WRITE, false, true },
	[BINLOG_UPDATE_ROWS_COMPRESSED_V1] = { ROWS_V1, BINLOG_ROWS_UPDATE, false, true },
	[BINLOG_DELETE_ROWS_COMPRESSED_V1] = { ROWS_V1, BINLOG_ROWS_DELETE, false, true },
	[BINLOG_WRITE_ROWS_COMPRESSED] = { ROWS_V2, BINLOG_ROWS_WRITE, false, true },
	[BINLOG_UPDATE_ROWS_COMPRESSED] = { ROWS_V2, BINLOG_ROWS_UPDATE, false, true },
	[BINLOG_DELETE_ROWS_COMPRESSED] = { ROWS_V2, BINLOG_ROWS_DELETE, false, true },
};

bool binlog_view_is_rows(uint8_t type)
{
	return rows_kinds[type].version != ROWS_NONE;
}

bool binlog_view_rows(
        const struct binlog_format *f, const struct binlog_event *ev, struct binlog_rows *ret)
{
	const struct rows_kind *kind = &rows_kinds[ev->type];
	struct cur c = body_of(ev);
	struct cur post = take_post_header(&c, f, ev, kind->version == ROWS_V2 ? 10 : 6);
	struct binlog_rows r = {
		.change = kind->change, .partial = kind->partial, .compressed = kind->compressed
	};
	size_t bitmap;

	r.table_id = take_table_id(&post);
	r.ends_statement = cur_u16(&post) & 1;
	if (kind->version == ROWS_V2) {
		uint16_t extra =
		        cur_u16(&post); /* counts its own two bytes, which lie in the post header */

		if (extra < 2)
			return false;
		cur_take(&c, extra - 2u);
	}
	r.columns = cur_packed(&c);
	bitmap = (size_t)(r.columns / 8 + (r.columns % 8 != 0));
	r.before = cur_take(&c, bitmap);
	r.after = r.change == BINLOG_ROWS_UPDATE ? cur_take(&c, bitmap) : NULL;
	r.images_size = c.left + ev->body_size - ev->body_have;
	r.images = take_rest(&c);
	if (c.bad || post.bad || kind->version == ROWS_NONE)
		return false;
	*ret = r;
	return true;
}

bool binlog_view_incident(const struct binlog_event *ev, struct binlog_incident *ret)
{
	struct cur c = body_of(ev);
	struct binlog_incident i = { .number = cur_u16(&c) };

	i.message = take_bytes(&c, cur_u8(&c));
	if (!c.bad)
		*ret = i;
	return !c.bad;
}
