/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * binlog_txn - groups events into transactions.  What an event does to the group is decided by its
 * type and, for queries, its text alone (role_of()); what comes of it depends on the state
 * (apply()). Runs on: any thread.
 */
#include "binlog_txn.h"
#include <string.h>
#include "binlog_payload.h"

enum role {
	ROLE_UNKNOWN,   /* belongs to an open one */
	ROLE_APART,     /* says nothing about transactions */
	ROLE_RESTART,   /* a server's start: what was open is void */
	ROLE_GTID,      /* leads a transaction; its first statement decides the rest */
	ROLE_GTID_OPEN, /* leads one that ends with a commit */
	ROLE_BEGIN,     /* opens one, unless a GTID did */
	ROLE_PREFIX,    /* comes before a statement */
	ROLE_STATEMENT, /* a whole transaction, unless one is open */
	ROLE_END,       /* ends one in any case */
	ROLE_ROLLBACK,  /* the same, without effect */
	ROLE_BAD,       /* malformed */
	LOOK_FORMAT,
	LOOK_GTID,
	LOOK_QUERY,
	LOOK_ROWS,
};

static enum role role_of_text(const struct binlog_query *q)
{
	if (q->text_size == 5 && q->text.len == 5 && memcmp(q->text.p, "BEGIN", 5) == 0)
		return ROLE_BEGIN;
	/* Nearly all others are told by their first letter. */
	if (!q->text.len || !strchr("BbCcRrXx", q->text.p[0]))
		return ROLE_STATEMENT;
	if (binlog_view_query_is(q, "BEGIN", true) || binlog_view_query_is(q, "XA START", false))
		return ROLE_BEGIN;
	if (binlog_view_query_is(q, "ROLLBACK", true))
		return ROLE_ROLLBACK;
	if (binlog_view_query_is(q, "COMMIT", true) ||
	        binlog_view_query_is(q, "XA COMMIT", false) ||
	        binlog_view_query_is(q, "XA ROLLBACK", false))
		return ROLE_END;
	return ROLE_STATEMENT;
}

static enum role role_of_compressed(const struct binlog_query *q)
{
	char text[16];
	struct binlog_query plain = { .compressed = false };

	/* Only XA's words are long enough to be compressed, and then they do not stand alone. */
	plain.text = (struct binlog_bytes){ text, binlog_payload_query(q, text, sizeof(text)) };
	plain.text_size = sizeof(text) + 1;
	return role_of_text(&plain);
}

/* By type alone; LOOK: the event has to be looked into.  Types that nobody here knows: 0. */
static const uint8_t roles[256] = {
	[BINLOG_START_V3] = ROLE_APART,
	[BINLOG_STOP] = ROLE_APART,
	[BINLOG_ROTATE] = ROLE_APART,
	[BINLOG_SLAVE] = ROLE_APART,
	[BINLOG_HEARTBEAT] = ROLE_APART,
	[BINLOG_HEARTBEAT_V2] = ROLE_APART,
	[BINLOG_PREVIOUS_GTIDS] = ROLE_APART,
	[BINLOG_TRANSACTION_CONTEXT] = ROLE_APART,
	[BINLOG_LARGE_TRANSACTION_HEADER] = ROLE_APART,
	[BINLOG_CHECKPOINT] = ROLE_APART,
	[BINLOG_GTID_LIST] = ROLE_APART,
	[BINLOG_XID] = ROLE_END,
	[BINLOG_XA_PREPARE] = ROLE_END,
	[BINLOG_TRANSACTION_PAYLOAD] = ROLE_STATEMENT,
	[BINLOG_EXECUTE_LOAD_QUERY] = ROLE_STATEMENT,
	[BINLOG_DELETE_FILE] = ROLE_STATEMENT,
	[BINLOG_INCIDENT] = ROLE_STATEMENT,
	[BINLOG_INTVAR] = ROLE_PREFIX,
	[BINLOG_RAND] = ROLE_PREFIX,
	[BINLOG_USER_VAR] = ROLE_PREFIX,
	[BINLOG_BEGIN_LOAD_QUERY] = ROLE_PREFIX,
	[BINLOG_APPEND_BLOCK] = ROLE_PREFIX,
	[BINLOG_TABLE_MAP] = ROLE_PREFIX,
	[BINLOG_ROWS_QUERY] = ROLE_PREFIX,
	[BINLOG_ANNOTATE_ROWS] = ROLE_PREFIX,
	[BINLOG_VIEW_CHANGE] = ROLE_PREFIX,
	[BINLOG_FORMAT] = LOOK_FORMAT,
	[BINLOG_GTID] = LOOK_GTID,
	[BINLOG_ANONYMOUS_GTID] = LOOK_GTID,
	[BINLOG_GTID_TAGGED] = LOOK_GTID,
	[BINLOG_MARIADB_GTID] = LOOK_GTID,
	[BINLOG_QUERY] = LOOK_QUERY,
	[BINLOG_QUERY_COMPRESSED] = LOOK_QUERY,
	[BINLOG_WRITE_ROWS_V1] = LOOK_ROWS,
	[BINLOG_UPDATE_ROWS_V1] = LOOK_ROWS,
	[BINLOG_DELETE_ROWS_V1] = LOOK_ROWS,
	[BINLOG_WRITE_ROWS] = LOOK_ROWS,
	[BINLOG_UPDATE_ROWS] = LOOK_ROWS,
	[BINLOG_DELETE_ROWS] = LOOK_ROWS,
	[BINLOG_PARTIAL_UPDATE_ROWS] = LOOK_ROWS,
	[BINLOG_WRITE_ROWS_COMPRESSED_V1] = LOOK_ROWS,
	[BINLOG_UPDATE_ROWS_COMPRESSED_V1] = LOOK_ROWS,
	[BINLOG_DELETE_ROWS_COMPRESSED_V1] = LOOK_ROWS,
	[BINLOG_WRITE_ROWS_COMPRESSED] = LOOK_ROWS,
	[BINLOG_UPDATE_ROWS_COMPRESSED] = LOOK_ROWS,
	[BINLOG_DELETE_ROWS_COMPRESSED] = LOOK_ROWS,
};

static enum role look_at_format(const struct binlog_format *f, const struct binlog_event *ev)
{
	return f->created && !(ev->flags & BINLOG_F_RELAY_LOG) ? ROLE_RESTART : ROLE_APART;
}

static enum role look_at_gtid(const struct binlog_event *ev, struct binlog_gtid *ret)
{
	if (!binlog_view_gtid(ev, ret))
		return ROLE_BAD;
	return ret->kind == BINLOG_GTID_MARIADB && !(ret->flags & BINLOG_GTID_STANDALONE)
	               ? ROLE_GTID_OPEN
	               : ROLE_GTID;
}

static enum role look_at_query(const struct binlog_format *f, const struct binlog_event *ev)
{
	struct binlog_query q;

	if (!binlog_view_query(f, ev, &q))
		return ROLE_BAD;
	return q.compressed ? role_of_compressed(&q) : role_of_text(&q);
}

static enum role look_at_rows(const struct binlog_format *f, const struct binlog_event *ev)
{
	struct binlog_rows r;

	if (!binlog_view_rows(f, ev, &r))
		return ROLE_BAD;
	return r.ends_statement ? ROLE_STATEMENT : ROLE_PREFIX;
}

static enum role role_of(
        const struct binlog_format *f, const struct binlog_event *ev, struct binlog_gtid *ret_gtid)
{
	enum role role = roles[ev->type];

	switch (role) {
	case LOOK_FORMAT: return look_at_format(f, ev);
	case LOOK_GTID: return look_at_gtid(ev, ret_gtid);
	case LOOK_QUERY: return look_at_query(f, ev);
	case LOOK_ROWS: return look_at_rows(f, ev);
	default: return role;
	}
}

static void void_open(struct binlog_txn *t)
{
	if (binlog_txn_is_open(t))
		t->voided++;
	t->state = BINLOG_TXN_NONE;
}

static void begin(struct binlog_txn *t, const struct binlog_event *ev)
{
	void_open(t);
	t->offset = ev->offset;
	t->timestamp = ev->timestamp;
	t->events = t->bytes = 0;
	t->rolled_back = false;
}

/* One event more; ends the transaction where `state` says so. */
static enum binlog_place add(
        struct binlog_txn *t, const struct binlog_event *ev, enum binlog_txn_state state)
{
	bool first = t->events == 0;

	t->events++;
	t->bytes += ev->size;
	t->state = state;
	if (state == BINLOG_TXN_NONE)
		return first ? BINLOG_ONLY : BINLOG_LAST;
	return first ? BINLOG_FIRST : BINLOG_INSIDE;
}

static enum binlog_place apply(struct binlog_txn *t, const struct binlog_event *ev, enum role role)
{
	/*
	 * A BEGIN behind a GTID of its own is part of it; behind a statement of an open one it
	 * begins another.
	 */
	bool opened_by_gtid = t->gtid.kind != BINLOG_GTID_NONE && t->events == 1;

	switch (role) {
	case ROLE_RESTART: void_open(t); return BINLOG_APART;
	case ROLE_APART: return BINLOG_APART;
	case ROLE_GTID:
	case ROLE_GTID_OPEN:
		begin(t, ev);
		return add(t, ev, role == ROLE_GTID ? BINLOG_TXN_PREPARED : BINLOG_TXN_OPEN);
	case ROLE_UNKNOWN:
		if (!binlog_txn_is_open(t))
			return BINLOG_APART;
		return add(t, ev, t->state);
	case ROLE_BEGIN:
		if (t->state == BINLOG_TXN_OPEN && !opened_by_gtid)
			void_open(t);
		break;
	case ROLE_PREFIX:
	case ROLE_STATEMENT:
	default: break;
	}
	if (!binlog_txn_is_open(t)) {
		begin(t, ev);
		t->gtid = (struct binlog_gtid){ .kind = BINLOG_GTID_NONE };
	}
	switch (role) {
	case ROLE_BEGIN: return add(t, ev, BINLOG_TXN_OPEN);
	case ROLE_PREFIX:
		return add(t, ev, t->state == BINLOG_TXN_NONE ? BINLOG_TXN_PREPARED : t->state);
	case ROLE_STATEMENT:
		return add(t, ev, t->state == BINLOG_TXN_OPEN ? BINLOG_TXN_OPEN : BINLOG_TXN_NONE);
	default: return add(t, ev, BINLOG_TXN_NONE);
	}
}

/* Any event. */
__attribute__((noinline)) static bool feed(struct binlog_txn *t, const struct binlog_format *f,
        const struct binlog_event *ev, enum binlog_place *ret, struct err *e)
{
	enum role role = role_of(f, ev, &t->gtid);

	if (role == ROLE_BAD)
		return err_set(e, ERR_PARSE, 0, "at offset %llu: malformed %s event",
		        (unsigned long long)ev->offset, binlog_type_name(ev->type));
	*ret = apply(t, ev, role);
	if (*ret == BINLOG_LAST || *ret == BINLOG_ONLY)
		t->rolled_back = role == ROLE_ROLLBACK;
	return true;
}

bool binlog_txn_feed(struct binlog_txn *t, const struct binlog_format *f,
        const struct binlog_event *ev, enum binlog_place *ret, struct err *e)
{
	/* The most frequent case, for the sake of speed. */
	if (t->state == BINLOG_TXN_OPEN && roles[ev->type] == ROLE_PREFIX) {
		t->events++;
		t->bytes += ev->size;
		*ret = BINLOG_INSIDE;
		return true;
	}
	return feed(t, f, ev, ret, e);
}

static void count_whole(
        struct binlog_tail *tail, const struct binlog_txn *t, const struct binlog_event *ev)
{
	if (!tail->transactions++)
		tail->first = t->gtid;
	tail->last = t->gtid;
	tail->last_timestamp = ev->timestamp;
}

bool binlog_txn_find_tail(
        struct binlog *b, struct binlog_txn *t, struct binlog_tail *ret, struct err *e)
{
	struct binlog_tail tail = { .why = BINLOG_EVENT };
	struct binlog_event ev;
	enum binlog_place place = BINLOG_APART;
	enum binlog_next n;

	while ((n = binlog_next(b, &ev, &tail.error)) == BINLOG_EVENT) {
		if (!binlog_txn_feed(t, binlog_format(b), &ev, &place, e))
			return false;
		tail.seen_end = ev.offset + ev.size;
		if (place == BINLOG_LAST || place == BINLOG_ONLY)
			count_whole(&tail, t, &ev);
		if (!binlog_txn_is_open(t)) {
			tail.whole_end = tail.seen_end;
			if (ev.end_pos)
				tail.end_pos = ev.end_pos;
		}
	}
	if (n == BINLOG_UNREADABLE || n == BINLOG_ENCRYPTED) {
		if (e)
			*e = tail.error;
		return false;
	}
	tail.why = n;
	tail.open = binlog_txn_is_open(t);
	*ret = tail;
	return true;
}
