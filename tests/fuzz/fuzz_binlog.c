/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The binlog reader, what decodes its events, and the grouping into transactions. The input is a
 * file; it is read from memory and through a small window, which must agree, and once more with its
 * checksums ignored, so that damaged bytes get past them.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "binlog_payload.h"
#include "binlog_rows.h"
#include "binlog_txn.h"

#define INNER_MAX 1000 /* events looked at inside of a payload: it may decompress to very many */

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* Read every byte that a view points to: the sanitizer sees those that are not ours. */
static unsigned touch(struct binlog_bytes b)
{
	unsigned sum = 0;

	for (size_t i = 0; i < b.len; i++)
		sum += (unsigned char)b.p[i];
	return sum;
}

static unsigned look_at_rows(struct binlog_counter *counter, const struct binlog_format *f,
        const struct binlog_event *ev)
{
	struct binlog_table_map t;
	struct binlog_rows r;
	struct binlog_bytes db, table;
	uint64_t rows;
	unsigned sum = 0;

	if (binlog_view_table_map(f, ev, &t)) {
		sum += touch(t.db) + touch(t.table) + touch(t.metadata) +
		       touch((struct binlog_bytes){ (const char *)t.types, t.columns });
		t.table_id %= 4; /* so that rows meet the maps of others */
		binlog_rows_map(counter, &t);
	}
	if (binlog_view_rows(f, ev, &r)) {
		size_t n = (r.columns + 7) / 8;

		sum += touch(r.images) + touch((struct binlog_bytes){ (const char *)r.before, n });
		if (r.after)
			sum += touch((struct binlog_bytes){ (const char *)r.after, n });
		r.table_id %= 4;
		if (binlog_rows_count(counter, &r, &rows, &db, &table))
			sum += (unsigned)rows;
		sum += touch(db) + touch(table);
	}
	return sum;
}

/* Every view on every event, whatever its type says. */
static unsigned look_at(struct binlog_counter *counter, const struct binlog_format *f,
        const struct binlog_event *ev)
{
	struct binlog_gtid g;
	struct binlog_rotate rotate;
	struct binlog_query q;
	struct binlog_xa xa;
	struct binlog_incident inc;
	uint64_t xid;
	char text[BINLOG_GTID_TEXT], head[64];
	unsigned sum = look_at_rows(counter, f, ev);

	if (binlog_view_gtid(ev, &g))
		sum += (unsigned)strlen(binlog_view_gtid_text(&g, text));
	if (binlog_view_rotate(ev, &rotate))
		sum += touch(rotate.file);
	if (binlog_view_query(f, ev, &q)) {
		sum += touch(q.db) + touch(q.text) + touch(q.status);
		must(q.text.len <= q.text_size);
		must(binlog_payload_query(&q, head, sizeof(head)) <= sizeof(head));
	}
	if (binlog_view_xid(ev, &xid))
		sum += (unsigned)xid;
	if (binlog_view_xa_prepare(ev, &xa))
		sum += touch(xa.gtrid) + touch(xa.bqual);
	if (binlog_view_incident(ev, &inc))
		sum += touch(inc.message);
	gtid_set_free(binlog_view_gtid_list(ev));
	return sum;
}

static void look_into(
        struct binlog_counter *counter, const struct binlog *outer, const struct binlog_event *ev)
{
	AUTO(binlog) struct binlog *b = binlog_payload_open(outer, ev, NULL);
	struct binlog_event inner;

	for (int i = 0; b && i < INNER_MAX && binlog_next(b, &inner, NULL) == BINLOG_EVENT; i++)
		look_at(counter, binlog_format(b), &inner);
}

static void read_all(struct binlog *b)
{
	AUTO(binlog_counter) struct binlog_counter *counter = binlog_rows_new();
	struct binlog_txn t = BINLOG_TXN_INIT;
	struct binlog_event ev;
	enum binlog_place place;
	uint64_t at = binlog_offset(b);
	bool grouping = true;

	while (binlog_next(b, &ev, NULL) == BINLOG_EVENT) {
		const struct binlog_format *f = binlog_format(b);

		must(ev.offset >= at && ev.size >= BINLOG_HEADER_SIZE && ev.have <= ev.size);
		must(ev.body_have <= ev.body_size && ev.body_size < ev.size);
		at = ev.offset + ev.size;
		must(binlog_offset(b) == at);
		grouping = grouping && binlog_txn_feed(&t, f, &ev, &place, NULL);
		look_at(counter, f, &ev);
		if (ev.type == BINLOG_TRANSACTION_PAYLOAD)
			look_into(counter, b, &ev);
	}
}

struct rest {
	const uint8_t *p;
	size_t n;
};

/* A few bytes at a time. */
static ssize_t drip(void *ctx, void *to, size_t n, struct err *e)
{
	struct rest *r = ctx;
	size_t k = r->n % 61 + 1;

	(void)e;
	k = k < n ? k : n;
	k = k < r->n ? k : r->n;
	memcpy(to, r->p, k);
	r->p += k;
	r->n -= k;
	return (ssize_t)k;
}

/* Both ways of reading see the same. */
static void compare(const uint8_t *p, size_t n, struct binlog_format *ret, size_t *ret_head)
{
	struct rest r = { p, n };
	AUTO(binlog)
	struct binlog *a = binlog_new_mem(p, n), *b = binlog_new_source(drip, NULL, &r, NULL);
	struct binlog_event x, y;
	enum binlog_next why;
	const uint8_t *behind;
	uint64_t before = 0;

	binlog_set_window(b, 64);
	do {
		why = binlog_next(a, &x, NULL);
		must(why == binlog_next(b, &y, NULL));
		must(binlog_offset(a) == binlog_offset(b));
		if (why != BINLOG_EVENT)
			break;
		must(x.size == y.size && x.type == y.type && x.end_pos == y.end_pos &&
		        x.body_size == y.body_size);
		must(y.have <= x.have && memcmp(x.bytes, y.bytes, y.have) == 0);
		behind = binlog_behind(b, before);
		must(!behind || memcmp(behind, p + before, binlog_offset(b) - before) == 0);
		if (!behind || y.type % 4 == 0)
			before = binlog_offset(b);
		if (!*ret_head) {
			*ret = *binlog_format(a);
			*ret_head = binlog_offset(a);
		}
	} while (why == BINLOG_EVENT);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct binlog_format f = { .crc = false };
	size_t head = 0;

	compare(p, n, &f, &head);
	AUTO(binlog) struct binlog *whole = binlog_new_mem(p, n);

	read_all(whole);
	struct rest r = { p + head, n - head };

	f.crc = false;
	AUTO(binlog) struct binlog *lax = binlog_new_source(drip, NULL, &r, &f);

	if (n % 2)
		binlog_set_window(lax, 512);
	read_all(lax);
	return 0;
}
