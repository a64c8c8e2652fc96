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
	ROLE_APART,     /* says nothing about transactions */
	ROLE_RESTART,   /* a server's start: what was open is void */
	ROLE_GTID,      /* leads a transaction; its first statement decides the rest */
	ROLE_GTID_OPEN, /* leads one that ends with a commit */
	ROLE_BEGIN,     /* opens one, unless a GTID did */
	ROLE_PREFIX,    /* comes before a statement */
	ROLE_STATEMENT, /* a whole transaction, unless one is open */
	ROLE_END,       /* ends one in any case */
	ROLE_UNKNOWN,   /* belongs to an open one */
};

static enum role role_of_text(const struct binlog_query *q)
{
	/* Nearly all statements are told by their first letter. */
	if (!q->text.len || !strchr("BbCcRrXx", q->text.p[0]))
		return ROLE_STATEMENT;
	if (binlog_view_query_is(q, "BEGIN", true) || binlog_view_query_is(q, "XA START", false))
		return ROLE_BEGIN;
	if (binlog_view_query_is(q, "COMMIT", true) || binlog_view_query_is(q, "ROLLBACK", true) ||
	        binlog_view_query_is(q, "XA COMMIT", false) ||
	        binlog_view_query_is(q, "XA ROLLBACK", false))
		return ROLE_END;
	return ROLE_STATEMENT;
}

static enum role role_of_query(const struct binlog_query *q)
{
	char text[16];
	struct binlog_query plain = { .compressed = false };

	if (!q->compressed)
		return role_of_text(q);
	/* Only XA's words are long enough to be compressed, and then they do not stand alone. */
	plain.text = (struct binlog_bytes){ text, binlog_payload_query(q, text, sizeof(text)) };
	plain.text_size = sizeof(text) + 1;
	return role_of_text(&plain);
}

/* By type alone; 0 is ROLE_APART, so what is not named here is set in role_of(). */
static const uint8_t roles[256] = {
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
};

static bool is_apart(uint8_t type)
{
	switch (type) {
	case BINLOG_START_V3:
	case BINLOG_STOP:
	case BINLOG_ROTATE:
	case BINLOG_SLAVE:
	case BINLOG_HEARTBEAT:
	case BINLOG_HEARTBEAT_V2:
	case BINLOG_PREVIOUS_GTIDS:
	case BINLOG_TRANSACTION_CONTEXT:
	case BINLOG_LARGE_TRANSACTION_HEADER:
	case BINLOG_CHECKPOINT:
	case BINLOG_GTID_LIST: return true;
	default: return false;
	}
}

static bool role_of(const struct binlog_format *f, const struct binlog_event *ev,
        struct binlog_gtid *gtid, bool *rollback, enum role *ret)
{
	struct binlog_query q;
	struct binlog_rows r;

	*ret = roles[ev->type];
	if (*ret != ROLE_APART || is_apart(ev->type))
		return true;
	if (ev->type == BINLOG_FORMAT) {
		*ret = f->created && !(ev->flags & BINLOG_F_RELAY_LOG) ? ROLE_RESTART : ROLE_APART;
		return true;
	}
	if (binlog_view_is_gtid(ev->type)) {
		if (!binlog_view_gtid(ev, gtid))
			return false;
		*ret = gtid->kind == BINLOG_GTID_MARIADB && !(gtid->flags & BINLOG_GTID_STANDALONE)
		               ? ROLE_GTID_OPEN
		               : ROLE_GTID;
		return true;
	}
	if (ev->type == BINLOG_QUERY || ev->type == BINLOG_QUERY_COMPRESSED) {
		if (!binlog_view_query(f, ev, &q))
			return false;
		*rollback = binlog_view_query_is(&q, "ROLLBACK", true);
		*ret = role_of_query(&q);
		return true;
	}
	if (binlog_view_is_rows(ev->type)) {
		if (!binlog_view_rows(f, ev, &r))
			return false;
		*ret = r.ends_statement ? ROLE_STATEMENT : ROLE_PREFIX;
		return true;
	}
	*ret = ROLE_UNKNOWN;
	return true;
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
	*t = (struct binlog_txn){
		.offset = ev->offset, .timestamp = ev->timestamp, .voided = t->voided
	};
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
	case ROLE_END: break;
	}
	if (!binlog_txn_is_open(t))
		begin(t, ev);
	switch (role) {
	case ROLE_BEGIN: return add(t, ev, BINLOG_TXN_OPEN);
	case ROLE_PREFIX:
		return add(t, ev, t->state == BINLOG_TXN_NONE ? BINLOG_TXN_PREPARED : t->state);
	case ROLE_STATEMENT:
		return add(t, ev, t->state == BINLOG_TXN_OPEN ? BINLOG_TXN_OPEN : BINLOG_TXN_NONE);
	default: return add(t, ev, BINLOG_TXN_NONE);
	}
}

bool binlog_txn_feed(struct binlog_txn *t, const struct binlog_format *f,
        const struct binlog_event *ev, enum binlog_place *ret, struct err *e)
{
	struct binlog_gtid gtid = { .kind = BINLOG_GTID_NONE };
	bool rollback = false;
	enum role role;

	if (!role_of(f, ev, &gtid, &rollback, &role))
		return err_set(e, ERR_PARSE, 0, "at offset %llu: malformed %s event",
		        (unsigned long long)ev->offset, binlog_type_name(ev->type));
	*ret = apply(t, ev, role);
	if (gtid.kind != BINLOG_GTID_NONE)
		t->gtid = gtid;
	if (*ret == BINLOG_LAST || *ret == BINLOG_ONLY)
		t->rolled_back = rollback;
	return true;
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
