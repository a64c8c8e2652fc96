/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * look - binlogs as lists of transactions.
 * Runs on: any thread.
 */
#include "look.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include "binlog_payload.h"
#include "binlog_rows.h"
#include "binlog_txn.h"
#include "clock.h"
#include "dir.h"
#include "json.h"
#include "logs.h"
#include "str.h"
#include "vec.h"

#define PIECE     (64u << 10)
#define SHOWN     120 /* of a statement */
#define MOST      50  /* tables and statements told of one transaction */
#define ROWS_MAX  (16u << 20)
#define MARK_INIT 0xcbf29ce484222325u
#define MARK_STEP 0x100000001b3u

struct touched {
	char *name; /* owned: table, or NULL */
	char *db, *statement;
	uint64_t n[3]; /* by binlog_row_change */
};

/* The transaction that is being read. */
struct one {
	uint64_t mark;
	char *run; /* owned: table and change of the rows that come one after the other */
	char kind;
	uint32_t server;
	bool timed;
	VEC(struct touched) all;
	size_t more; /* not told */
};

struct look {
	struct verb_io *io;
	struct gtid_set *have; /* what is left out; NULL: nothing */
	bool detailed;
	struct binlog_counter *counter;
	struct binlog_txn txn;
	struct one one;
	struct str out, text;
	uint64_t transactions, end;
	const char *end_file;
	char *before; /* owned */
	enum binlog_next why;
};

/* ---- the mark ---- */

static void mark(struct one *t, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < n; i++)
		t->mark = (t->mark ^ p[i]) * MARK_STEP;
}

static void mark_number(struct one *t, uint64_t n)
{
	mark(t, &n, sizeof(n));
}

static void mark_bytes(struct one *t, struct binlog_bytes b)
{
	mark_number(t, b.len);
	mark(t, b.p, b.len);
}

static void mark_time(struct one *t, const struct binlog_event *ev)
{
	if (!t->timed)
		mark_number(t, ev->timestamp);
	t->timed = true;
}

static void one_clear(struct one *t)
{
	vec_each (struct touched, x, &t->all) {
		free(x->name);
		free(x->db);
		free(x->statement);
	}
	t->all.len = 0;
	free(t->run);
	t->run = NULL;
	t->mark = MARK_INIT;
	t->kind = '-';
	t->timed = false;
	t->more = 0;
}

/* ---- what it touches ---- */

static struct touched *touch(struct look *l, const char *table)
{
	vec_each (struct touched, x, &l->one.all)
		if (x->name && str_is(x->name, table))
			return x;
	if (l->one.all.len >= MOST) {
		l->one.more++;
		return NULL;
	}
	vec_push(&l->one.all, (struct touched){ .name = xstrdup(table) });
	return &l->one.all.items[l->one.all.len - 1];
}

static void add_statement(struct look *l, const struct binlog_query *q, const struct str *sql)
{
	if (!l->detailed)
		return;
	if (l->one.all.len >= MOST) {
		l->one.more++;
		return;
	}
	vec_push(&l->one.all,
	        (struct touched){ .db = xstrndup(q->db.p, q->db.len),
	                .statement = xstrndup(sql->p, sql->len < SHOWN ? sql->len : SHOWN) });
}

/* What servers write into the binlog though it changes no rows of any table that is there to stay. */
static bool changes_nothing(const char *sql)
{
	static const char *const words[] = { "FLUSH ", "ANALYZE ", "OPTIMIZE ", "DROP TEMPORARY ",
		"DROP /*!40005 TEMPORARY */ ", "CREATE TEMPORARY " };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strncasecmp(sql, words[i], strlen(words[i])) == 0)
			return true;
	return false;
}

static bool is_frame(const struct binlog_query *q)
{
	return binlog_view_query_is(q, "BEGIN", true) || binlog_view_query_is(q, "COMMIT", true) ||
	       binlog_view_query_is(q, "ROLLBACK", true) ||
	       binlog_view_query_is(q, "SAVEPOINT", false);
}

static void add_query(struct look *l, const struct binlog_format *f, const struct binlog_event *ev)
{
	struct binlog_query q;

	if (!binlog_view_query(f, ev, &q) || (!q.compressed && is_frame(&q)))
		return;
	str_clear(&l->text);
	if (q.compressed) {
		if (!binlog_payload_inflate(q.text, ROWS_MAX, &l->text))
			return;
	} else {
		str_addn(&l->text, q.text.p, q.text.len);
	}
	mark_time(&l->one, ev);
	mark_bytes(&l->one, q.db);
	mark_bytes(&l->one, (struct binlog_bytes){ l->text.p, l->text.len });
	mark_number(&l->one, q.error_code);
	if (!changes_nothing(l->text.p))
		l->one.kind = 's';
	else if (l->one.kind == '-')
		l->one.kind = 'a';
	add_statement(l, &q, &l->text);
}

/*
 * Servers cut the rows of a statement into events as they please: so rows of one table and one kind are
 * one run of bytes.
 */
static void mark_rows(struct look *l, const struct binlog_rows *r, const char *table)
{
	size_t bits = (size_t)(r->columns + 7) / 8;
	AUTO(free) char *run = xasprintf("%s %d", table, r->change);

	if (!str_is(run, l->one.run)) {
		free(l->one.run);
		l->one.run = TAKE(run);
		mark(&l->one, l->one.run, strlen(l->one.run));
		mark_number(&l->one, r->columns);
		mark(&l->one, r->before, bits);
		if (r->after)
			mark(&l->one, r->after, bits);
	}
	if (r->compressed && binlog_payload_inflate(r->images, ROWS_MAX, &l->text))
		mark(&l->one, l->text.p, l->text.len);
	else
		mark(&l->one, r->images.p, r->images.len);
}

static void add_rows(struct look *l, const struct binlog_format *f, const struct binlog_event *ev)
{
	struct binlog_rows r;
	struct binlog_bytes db, table;
	AUTO(free) char *name = NULL;
	struct touched *x;
	uint64_t n = 0;

	if (!binlog_view_rows(f, ev, &r))
		return;
	(void)!binlog_rows_count(l->counter, &r, &n, &db, &table);
	name = xasprintf("%.*s.%.*s", (int)db.len, db.p, (int)table.len, table.p);
	mark_time(&l->one, ev);
	mark_rows(l, &r, name);
	if (l->one.kind != 's')
		l->one.kind = 'r';
	x = l->detailed ? touch(l, name) : NULL;
	if (x)
		x->n[r.change] += n;
}

/* Parts of a statement that is logged as such: its counters and variables. */
static bool is_part(uint8_t type)
{
	return type == BINLOG_INTVAR || type == BINLOG_RAND || type == BINLOG_USER_VAR;
}

static bool add_event(
        struct look *l, const struct binlog *b, const struct binlog_event *ev, struct err *e);

static bool add_payload(
        struct look *l, const struct binlog *outer, const struct binlog_event *ev, struct err *e)
{
	AUTO(binlog) struct binlog *b = binlog_payload_open(outer, ev, e);
	struct binlog_event inner;
	enum binlog_next n;

	if (!b)
		return false;
	while ((n = binlog_next(b, &inner, e)) == BINLOG_EVENT)
		if (!add_event(l, b, &inner, e))
			return false;
	return n == BINLOG_END;
}

static bool add_event(
        struct look *l, const struct binlog *b, const struct binlog_event *ev, struct err *e)
{
	const struct binlog_format *f = binlog_format(b);
	struct binlog_table_map map;
	struct binlog_gtid g;

	if (ev->type == BINLOG_TRANSACTION_PAYLOAD)
		return add_payload(l, b, ev, e);
	if (ev->type == BINLOG_TABLE_MAP && binlog_view_table_map(f, ev, &map))
		binlog_rows_map(l->counter, &map);
	else if (binlog_view_is_rows(ev->type))
		add_rows(l, f, ev);
	else if (ev->type == BINLOG_QUERY || ev->type == BINLOG_QUERY_COMPRESSED ||
	         ev->type == BINLOG_EXECUTE_LOAD_QUERY)
		add_query(l, f, ev);
	else if (is_part(ev->type))
		mark(&l->one, ev->body, ev->body_have);
	else if (binlog_view_is_gtid(ev->type) && binlog_view_gtid(ev, &g) &&
	         g.kind != BINLOG_GTID_MARIADB)
		mark_number(&l->one, g.original_us);
	return true;
}

/* ---- telling ---- */

static bool flush(struct look *l, size_t at_least, struct err *e)
{
	bool fine = l->out.len < at_least || verb_write(l->io, l->out.p, l->out.len, e);

	if (l->out.len >= at_least)
		str_clear(&l->out);
	return fine;
}

static void add_details(struct look *l)
{
	AUTO_JSON struct json j = JSON_INIT;

	json_open(&j, NULL, '[');
	vec_each (struct touched, x, &l->one.all) {
		json_open(&j, NULL, '{');
		if (x->name) {
			json_str(&j, "table", x->name);
			json_int(&j, "insert", (int64_t)x->n[BINLOG_ROWS_WRITE]);
			json_int(&j, "update", (int64_t)x->n[BINLOG_ROWS_UPDATE]);
			json_int(&j, "delete", (int64_t)x->n[BINLOG_ROWS_DELETE]);
		} else {
			json_str(&j, "db", x->db);
			json_str(&j, "statement", x->statement);
		}
		json_close(&j, '}');
	}
	if (l->one.more) {
		json_open(&j, NULL, '{');
		json_int(&j, "more", (int64_t)l->one.more);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	str_addf(&l->out, "\t%s", j.text.p);
}

static bool tell(struct look *l, uint64_t end, struct err *e)
{
	char gtid[BINLOG_GTID_TEXT];
	bool has = l->txn.gtid.kind == BINLOG_GTID_MYSQL || l->txn.gtid.kind == BINLOG_GTID_MARIADB;

	if (l->have && has && binlog_view_gtid_in(&l->txn.gtid, l->have))
		return true;
	if (l->txn.rolled_back && l->one.kind != 's')
		l->one.kind = '-';
	l->transactions++;
	str_addf(&l->out, "T %016llx %llu %u %u %c %s", (unsigned long long)l->one.mark,
	        (unsigned long long)end, l->txn.timestamp, l->one.server, l->one.kind,
	        has ? binlog_view_gtid_text(&l->txn.gtid, gtid) : "-");
	if (l->detailed)
		add_details(l);
	str_addc(&l->out, '\n');
	return flush(l, PIECE, e);
}

/* ---- reading ---- */

static void keep_before(struct look *l, const struct binlog_event *ev)
{
	AUTO(gtid) struct gtid_set *s = l->before ? NULL : binlog_view_gtid_list(ev);

	if (s)
		l->before = gtid_set_format(s);
}

static bool feed(
        struct look *l, const struct binlog *b, const struct binlog_event *ev, struct err *e)
{
	enum binlog_place place;

	if (ev->type == BINLOG_PREVIOUS_GTIDS || ev->type == BINLOG_GTID_LIST)
		keep_before(l, ev);
	if (!binlog_txn_feed(&l->txn, binlog_format(b), ev, &place, e))
		return false;
	if (place == BINLOG_APART)
		return true;
	if (place == BINLOG_FIRST || place == BINLOG_ONLY) {
		one_clear(&l->one);
		l->one.server = ev->server_id;
	}
	if (!add_event(l, b, ev, e))
		return false;
	if (place == BINLOG_FIRST || place == BINLOG_INSIDE)
		return true;
	l->end = ev->offset + ev->size;
	return tell(l, l->end, e);
}

/* A log that is being written to may end in the middle of an event: what is whole counts. */
static bool is_end(enum binlog_next n)
{
	return n == BINLOG_END || n == BINLOG_TORN || n == BINLOG_ZEROS;
}

static bool read_file(
        struct look *l, const struct log_file *f, int fd, uint64_t start, struct err *e)
{
	AUTO(binlog) struct binlog *b = binlog_new_fd(fd);
	struct binlog_event ev;
	bool begun = start <= BINLOG_MAGIC_SIZE;

	str_addf(&l->out, "F %s\n", f->name);
	l->end_file = f->name;
	l->end = BINLOG_MAGIC_SIZE;
	while ((l->why = binlog_next(b, &ev, e)) == BINLOG_EVENT) {
		if (!verb_go_on(l->io, e) || !feed(l, b, &ev, e))
			return false;
		if (!begun && ev.type == BINLOG_FORMAT) {
			begun = true;
			if (!binlog_seek(b, start, e))
				return false;
		}
	}
	return is_end(l->why);
}

static bool read_all(
        struct look *l, const struct logs *logs, size_t first, uint64_t start, struct err *e)
{
	for (size_t i = first; i < logs->files.len; i++) {
		AUTO_FD int fd = logs_open(logs, i, e);
		struct err why = { 0 };

		if (fd < 0)
			return false;
		if (!read_file(l, &logs->files.items[i], fd, i == first ? start : 0, &why)) {
			if (e)
				*e = why;
			return err_ctx(e, "%s", logs->files.items[i].path);
		}
	}
	return flush(l, 0, e);
}

static int64_t booted(void)
{
	struct timespec now, up;

	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_BOOTTIME, &up);
	return now.tv_sec - up.tv_sec;
}

static void tell_end(struct look *l)
{
	AUTO_JSON struct json j = JSON_INIT;

	json_open(&j, NULL, '{');
	json_int(&j, "transactions", (int64_t)l->transactions);
	json_str(&j, "before", l->before);
	json_open(&j, "end", '{');
	json_str(&j, "file", l->end_file);
	json_int(&j, "pos", (int64_t)l->end);
	json_close(&j, '}');
	json_str(&j, "why", binlog_next_name(l->why));
	json_int(&j, "booted", booted());
	json_close(&j, '}');
	verb_result(l->io, j.text.p);
}

/* MariaDB's sets are positions, which say nothing of what two servers wrote side by side: only MySQL's leave out. */
static bool leave_out(struct look *l, const char *have, struct err *e)
{
	if (have && *have)
		l->have = gtid_set_parse(GTID_MYSQL, have, e);
	return !have || !*have || l->have;
}

static bool look(const struct args *a, struct look *l, struct err *e)
{
	AUTO(free) char *prefix = NULL;
	struct logs logs;
	size_t n, first = 0;
	uint64_t number;
	bool fine;

	if (!a->start_file || !dir_log_split(a->start_file, &n, &number))
		return err_set(e, ERR_CONFIG, 0, "Set --start_file=<starting_binlog_filename>");
	prefix = xstrndup(a->start_file, n);
	if (!leave_out(l, a->have, e) ||
	        !logs_in_folders(a->binlog_dir, prefix, a->start_file, &logs, e))
		return false;
	fine = logs_find(&logs, a->start_file, &first) && logs_have_no_gap(&logs, first, e) &&
	       read_all(l, &logs, first, a->start_pos < 0 ? 0 : (uint64_t)a->start_pos, e);
	if (fine)
		tell_end(l);
	logs_done(&logs);
	return fine;
}

int look_serve(const struct args *a, struct verb_io *io, struct err *e)
{
	struct look l = { .io = io, .detailed = a->json, .txn = BINLOG_TXN_INIT };
	bool fine;

	str_init(&l.out);
	str_init(&l.text);
	l.counter = binlog_rows_new();
	verb_write_begin(io);
	fine = look(a, &l, e);
	one_clear(&l.one);
	vec_done(&l.one.all);
	binlog_rows_free(l.counter);
	gtid_set_free(l.have);
	str_done(&l.out);
	str_done(&l.text);
	free(l.before);
	return fine ? 0 : 1;
}
