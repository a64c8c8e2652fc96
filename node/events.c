/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * events - prints events.
 * Runs on: any thread.
 */
#include "events.h"
#include <ctype.h>
#include <string.h>
#include <unistd.h>
#include "binlog_payload.h"
#include "binlog_rows.h"
#include "binlog_txn.h"
#include "dir.h"
#include "str.h"

#define TEXT_MAX 100 /* of a statement */

static const char *const places[] = {
	[BINLOG_APART] = "-",
	[BINLOG_FIRST] = "first",
	[BINLOG_INSIDE] = "inside",
	[BINLOG_LAST] = "last",
	[BINLOG_ONLY] = "only",
};

static void add_text(struct str *to, struct binlog_bytes b)
{
	for (size_t i = 0; i < b.len && i < TEXT_MAX; i++)
		str_addc(to, isprint((unsigned char)b.p[i]) ? b.p[i] : ' ');
}

static void add_query(struct str *to, const struct binlog_query *q)
{
	char text[TEXT_MAX];

	if (q->db.len) {
		add_text(to, q->db);
		str_add(to, ": ");
	}
	add_text(to, (struct binlog_bytes){ text, binlog_payload_query(q, text, sizeof(text)) });
}

static void add_gtid_list(struct str *to, const struct binlog_event *ev)
{
	AUTO(gtid) struct gtid_set *s = binlog_view_gtid_list(ev);
	AUTO(free) char *text = s ? gtid_set_format(s) : xstrdup("?");

	str_add(to, text);
}

static void add_rows(struct str *to, struct binlog_counter *counter, const struct binlog_rows *r)
{
	struct binlog_bytes db, table;
	uint64_t n;

	if (binlog_rows_count(counter, r, &n, &db, &table))
		str_addf(to, "%llu rows of ", (unsigned long long)n);
	else
		str_add(to, "rows of ");
	str_addf(to, "%.*s.%.*s%s", (int)db.len, db.p, (int)table.len, table.p,
	        r->ends_statement ? ", end of statement" : "");
}

/* What tells most about the event; nothing for types that nothing is decided by. */
static void add_info(struct str *to, struct binlog_counter *counter, const struct binlog_format *f,
        const struct binlog_event *ev)
{
	struct binlog_gtid g;
	struct binlog_query q;
	struct binlog_rotate rot;
	struct binlog_table_map t;
	struct binlog_rows rows;
	struct binlog_incident inc;
	uint64_t xid;
	char buf[BINLOG_GTID_TEXT];

	if (ev->type == BINLOG_FORMAT)
		str_addf(to, "%s%s%s", f->server_version, f->crc ? ", CRC32" : "",
		        f->created ? ", start" : "");
	else if (binlog_view_is_gtid(ev->type) && binlog_view_gtid(ev, &g))
		str_add(to, binlog_view_gtid_text(&g, buf));
	else if ((ev->type == BINLOG_QUERY || ev->type == BINLOG_QUERY_COMPRESSED ||
	                 ev->type == BINLOG_EXECUTE_LOAD_QUERY) &&
	         binlog_view_query(f, ev, &q))
		add_query(to, &q);
	else if (ev->type == BINLOG_PREVIOUS_GTIDS || ev->type == BINLOG_GTID_LIST)
		add_gtid_list(to, ev);
	else if (ev->type == BINLOG_XID && binlog_view_xid(ev, &xid))
		str_addf(to, "xid=%llu", (unsigned long long)xid);
	else if (ev->type == BINLOG_TABLE_MAP && binlog_view_table_map(f, ev, &t)) {
		binlog_rows_map(counter, &t);
		str_addf(to, "%.*s.%.*s", (int)t.db.len, t.db.p, (int)t.table.len, t.table.p);
	} else if (binlog_view_is_rows(ev->type) && binlog_view_rows(f, ev, &rows))
		add_rows(to, counter, &rows);
	else if (ev->type == BINLOG_ROTATE && binlog_view_rotate(ev, &rot))
		str_addf(to, "%.*s;pos=%llu", (int)rot.file.len, rot.file.p,
		        (unsigned long long)rot.pos);
	else if (ev->type == BINLOG_INCIDENT && binlog_view_incident(ev, &inc))
		str_addf(to, "#%u %.*s", inc.number, (int)inc.message.len, inc.message.p);
}

static void print_event(FILE *out, struct binlog_counter *counter, const char *offset_mark,
        const struct binlog_format *f, const struct binlog_event *ev, const char *place)
{
	AUTO_STR struct str info = STR_INIT;

	add_info(&info, counter, f, ev);
	fprintf(out, "%s%llu\t%llu\t%u\t%s\t%u\t%s\t%s\n", offset_mark,
	        (unsigned long long)ev->offset, (unsigned long long)ev->end_pos, ev->size,
	        binlog_type_name(ev->type), ev->server_id, place, info.p);
}

static bool print_payload(FILE *out, struct binlog_counter *counter, const struct binlog *outer,
        const struct binlog_event *ev, struct err *e)
{
	AUTO(binlog) struct binlog *b = binlog_payload_open(outer, ev, e);
	struct binlog_event inner;
	enum binlog_next n;

	if (!b)
		return false;
	while ((n = binlog_next(b, &inner, e)) == BINLOG_EVENT)
		print_event(out, counter, "+", binlog_format(b), &inner, places[BINLOG_INSIDE]);
	return n == BINLOG_END ||
	       err_ctx(e, "transaction payload at offset %llu", (unsigned long long)ev->offset);
}

static void print_end(FILE *out, const struct binlog_txn *t, uint64_t whole_end,
        enum binlog_next why, const struct err *e)
{
	char gtid[BINLOG_GTID_TEXT];

	fprintf(out, "#\t%llu\t%s\t%s", (unsigned long long)whole_end, binlog_next_name(why),
	        why == BINLOG_END ? "" : e->text);
	if (binlog_txn_is_open(t))
		fprintf(out, "\topen transaction from offset %llu %s",
		        (unsigned long long)t->offset, binlog_view_gtid_text(&t->gtid, gtid));
	fputc('\n', out);
}

static bool show(struct binlog *b, struct binlog_txn *t, struct verb_io *io, struct err *e)
{
	AUTO(binlog_counter) struct binlog_counter *counter = binlog_rows_new();
	struct binlog_event ev;
	enum binlog_place place;
	enum binlog_next n;
	struct err why = { 0 };
	uint64_t whole_end = 0;

	while ((n = binlog_next(b, &ev, &why)) == BINLOG_EVENT) {
		if (!verb_go_on(io, e) || !binlog_txn_feed(t, binlog_format(b), &ev, &place, e))
			return false;
		print_event(io->out, counter, "", binlog_format(b), &ev, places[place]);
		if (ev.type == BINLOG_TRANSACTION_PAYLOAD &&
		        !print_payload(io->out, counter, b, &ev, e))
			return false;
		if (!binlog_txn_is_open(t))
			whole_end = ev.offset + ev.size;
	}
	print_end(io->out, t, whole_end, n, &why);
	if (n != BINLOG_END && e)
		*e = why;
	return n == BINLOG_END;
}

static bool show_file(const char *path, struct binlog_txn *t, struct verb_io *io, struct err *e)
{
	AUTO_FD int fd = str_is(path, "-") ? dup(STDIN_FILENO) : dir_open_file(path, e);
	AUTO(binlog) struct binlog *b = fd < 0 ? NULL : binlog_new_fd(fd);

	return b && (show(b, t, io, e) || err_ctx(e, "%s", path));
}

int events_show(const struct args *a, struct verb_io *io, struct err *e)
{
	struct binlog_txn t = BINLOG_TXN_INIT;

	if (!a->word_count) {
		err_set(e, ERR_CONFIG, 0, "which files?");
		return 1;
	}
	for (int i = 0; i < a->word_count; i++)
		if (!show_file(a->words[i], &t, io, e))
			return 1;
	return 0;
}
