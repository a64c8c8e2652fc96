/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flashback - rows events, turned round.
 * Runs on: any thread.
 */
#include "flashback.h"
#include <stdlib.h>
#include <string.h>
#include "binlog_rows.h"
#include "binlog_sql.h"
#include "crc.h"
#include "dir.h"
#include "json.h"
#include "logs.h"
#include "str.h"
#include "vec.h"

enum { AT_TYPE = 4, AT_FLAGS = 17, AT_ROW_FLAGS = BINLOG_HEADER_SIZE + 6, END_OF_STATEMENT = 1 };

struct map {
	uint64_t id;
	struct str event;
};

struct flash {
	struct verb_io *io;
	struct binlog_counter *counter;
	VEC(struct map) maps;
	VEC(struct str) all; /* statements, in the order of the log */
	struct str format;
	VEC(struct binlog_bytes) rows; /* of the event at hand: both images, one behind the other */
	uint64_t bytes;
};

/* ---- one event ---- */

static uint8_t reverse_of(uint8_t type)
{
	switch (type) {
	case BINLOG_WRITE_ROWS: return BINLOG_DELETE_ROWS;
	case BINLOG_WRITE_ROWS_V1: return BINLOG_DELETE_ROWS_V1;
	case BINLOG_DELETE_ROWS: return BINLOG_WRITE_ROWS;
	case BINLOG_DELETE_ROWS_V1: return BINLOG_WRITE_ROWS_V1;
	default: return type;
	}
}

static void keep_row(void *ctx, struct binlog_bytes before, struct binlog_bytes after)
{
	struct flash *x = ctx;

	vec_push(&x->rows, before);
	vec_push(&x->rows, after);
}

static bool is_whole(const uint8_t *bits, uint64_t columns)
{
	for (uint64_t i = 0; bits && i < columns; i++)
		if (!(bits[i / 8] >> i % 8 & 1))
			return false;
	return true;
}

static void put_crc(struct str *event, const struct binlog_format *f)
{
	uint32_t crc;

	if (!f->crc)
		return;
	crc = crc_add(0, event->p, event->len);
	for (int i = 0; i < BINLOG_CRC_SIZE; i++)
		str_addc(event, (char)(crc >> 8 * i));
}

/* All up to the images stays as it is. */
static void turn_round(struct flash *x, const struct binlog_format *f,
        const struct binlog_event *ev, const struct binlog_rows *r, struct str *to)
{
	str_addn(to, ev->bytes, (size_t)((const uint8_t *)r->images.p - ev->bytes));
	to->p[AT_TYPE] = (char)reverse_of(ev->type);
	to->p[AT_ROW_FLAGS] |= END_OF_STATEMENT;
	for (size_t i = x->rows.len; i >= 2; i -= 2) {
		const struct binlog_bytes *before = &x->rows.items[i - 2], *after = before + 1;

		str_addn(to, after->p, after->len);
		str_addn(to, before->p, before->len);
	}
	put_crc(to, f);
}

static struct map *map_of(const struct flash *x, uint64_t id)
{
	vec_each (struct map, m, &x->maps)
		if (m->id == id)
			return m;
	return NULL;
}

static void keep_map(
        struct flash *x, const struct binlog_event *ev, const struct binlog_table_map *t)
{
	struct map *to = map_of(x, t->table_id);

	binlog_rows_map(x->counter, t);
	if (!to) {
		vec_push(&x->maps, (struct map){ .id = t->table_id, .event = STR_INIT });
		to = &x->maps.items[x->maps.len - 1];
	}
	str_clear(&to->event);
	str_addn(&to->event, ev->bytes, ev->have);
}

static bool cannot(const struct binlog_event *ev, const char *why, struct err *e)
{
	return err_set(
	        e, ERR_PRECOND, 0, "the event at %llu: %s", (unsigned long long)ev->offset, why);
}

static bool add_rows(struct flash *x, const struct binlog_format *f, const struct binlog_event *ev,
        struct err *e)
{
	AUTO_STR struct str both = STR_INIT, event = STR_INIT;
	struct str sql = STR_INIT;
	struct binlog_rows r;
	const struct map *m;

	if (!binlog_view_rows(f, ev, &r) ||
	        (f->post_header[ev->type] != 8 && f->post_header[ev->type] != 10))
		return cannot(ev, "it is not understood", e);
	m = map_of(x, r.table_id);
	x->rows.len = 0;
	if (!m || ev->have < ev->size || !binlog_rows_each(x->counter, &r, keep_row, x))
		return cannot(ev, "its rows cannot be told from each other", e);
	if (!is_whole(r.before, r.columns) || !is_whole(r.after, r.columns))
		return cannot(ev, "its rows are not whole (binlog_row_image)", e);
	turn_round(x, f, ev, &r, &event);
	str_addn(&both, m->event.p, m->event.len);
	str_addn(&both, event.p, event.len);
	str_add(&sql, "BINLOG '");
	binlog_sql_base64(&sql, (const uint8_t *)both.p, both.len);
	str_add(&sql, "'\n");
	x->bytes += sql.len;
	vec_push(&x->all, sql);
	return x->bytes <= FLASHBACK_MOST || cannot(ev, "it is too much to be taken back", e);
}

/* The mark of a file in use is not part of its checksum. */
static void keep_format(struct flash *x, const struct binlog_event *ev)
{
	AUTO_STR struct str event = STR_INIT;

	if (x->format.len)
		return;
	str_addn(&event, ev->bytes, ev->have);
	event.p[AT_FLAGS] &= (char)~BINLOG_F_IN_USE;
	str_add(&x->format, "BINLOG '");
	binlog_sql_base64(&x->format, (const uint8_t *)event.p, event.len);
	str_add(&x->format, "'\n");
}

static bool add(struct flash *x, const struct binlog_format *f, const struct binlog_event *ev,
        struct err *e)
{
	struct binlog_table_map t;

	if (ev->type == BINLOG_FORMAT)
		keep_format(x, ev);
	else if (ev->type == BINLOG_TABLE_MAP && binlog_view_table_map(f, ev, &t))
		keep_map(x, ev, &t);
	else if (ev->type == BINLOG_TRANSACTION_PAYLOAD)
		return cannot(ev, "it is compressed", e);
	else if (binlog_view_is_rows(ev->type))
		return add_rows(x, f, ev, e);
	return true;
}

/* ---- the log ---- */

static bool read_file(struct flash *x, int fd, uint64_t start, struct err *e)
{
	AUTO(binlog) struct binlog *b = binlog_new_fd(fd);
	struct binlog_event ev;
	struct err why = { 0 };
	enum binlog_next n;
	bool begun = start <= BINLOG_MAGIC_SIZE;

	while ((n = binlog_next(b, &ev, &why)) == BINLOG_EVENT) {
		if (!verb_go_on(x->io, e) || !add(x, binlog_format(b), &ev, e))
			return false;
		if (!begun && ev.type == BINLOG_FORMAT) {
			begun = true;
			if (!binlog_seek(b, start, e))
				return false;
		}
	}
	if (n == BINLOG_END)
		return true;
	if (e)
		*e = why;
	return false;
}

static bool put(struct flash *x, struct err *e)
{
	if (!verb_write(x->io, x->format.p, x->format.len, e))
		return false;
	for (size_t i = x->all.len; i-- > 0;)
		if (!verb_write(x->io, x->all.items[i].p, x->all.items[i].len, e))
			return false;
	return true;
}

static bool run(struct flash *x, const struct args *a, struct err *e)
{
	AUTO(free) char *prefix = NULL;
	struct logs logs;
	size_t n, first = 0;
	uint64_t number;
	bool fine;

	if (!a->start_file || !dir_log_split(a->start_file, &n, &number))
		return err_set(e, ERR_CONFIG, 0, "Set --start_file=<starting_binlog_filename>");
	prefix = xstrndup(a->start_file, n);
	if (!logs_in_folders(a->binlog_dir, prefix, a->start_file, &logs, e))
		return false;
	fine = logs_find(&logs, a->start_file, &first) && logs_have_no_gap(&logs, first, e);
	for (size_t i = first; fine && i < logs.files.len; i++) {
		AUTO_FD int fd = logs_open(&logs, i, e);

		fine = fd >= 0 &&
		       (read_file(x, fd,
		                i == first && a->start_pos > 0 ? (uint64_t)a->start_pos : 0, e) ||
		               err_ctx(e, "%s", logs.files.items[i].path));
	}
	logs_done(&logs);
	return fine && put(x, e);
}

static void tell(const struct flash *x)
{
	AUTO_JSON struct json j = JSON_INIT;

	json_open(&j, NULL, '{');
	json_int(&j, "events", (int64_t)x->all.len);
	json_close(&j, '}');
	verb_result(x->io, j.text.p);
}

int flashback_serve(const struct args *a, struct verb_io *io, struct err *e)
{
	struct flash x = { .io = io, .counter = binlog_rows_new(), .format = STR_INIT };
	bool fine;

	verb_write_begin(io);
	fine = run(&x, a, e);
	if (fine)
		tell(&x);
	vec_each (struct map, m, &x.maps)
		str_done(&m->event);
	vec_each (struct str, s, &x.all)
		str_done(s);
	vec_done(&x.maps);
	vec_done(&x.all);
	vec_done(&x.rows);
	str_done(&x.format);
	binlog_rows_free(x.counter);
	return fine ? 0 : 1;
}
