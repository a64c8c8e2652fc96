/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * apply_join - reads parts one after the other (struct join), and writes what a server lacks
 * (struct writer).
 * Runs on: any thread.
 */
#include "apply_join.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "binlog_write.h"
#include "dir.h"
#include "str.h"

#define CRC_SLACK 4 /* a receiver may add or take off checksums: sizes differ by them */
/*
 * MariaDB notes checkpoints between transactions, which are not always saved.  Two of them are
 * shorter than any transaction.
 */
#define CHECKPOINTS 90

struct join {
	const struct join_parts *parts;
	size_t part; /* behind the open one */
	int fd;
	struct binlog *b;
	bool in_head;
	struct binlog_txn txn;
	char file[512];    /* the source's, in which `pos` is; "": not known */
	bool named;        /* by a Rotate in the parts */
	uint64_t pos;      /* up to where the row has come; 0: not known */
	bool told;         /* a Rotate said so, and what it leads to has not come yet */
	uint64_t head_end; /* the head of a source's file was seen, up to here; else 0 */
	struct str fde;    /* the format description in force */
	struct err cut;    /* why the last part has no more, if that is no proper end */
};

struct item {
	struct binlog_event ev;
	enum binlog_place place;
	char file[512];   /* in which it begins */
	uint64_t start;   /* 0: not known */
	uint64_t covered; /* nothing is left out between here and `start` */
	bool voided;      /* the transaction that was open before it is void */
	bool keep; /* belongs to the row: a transaction's event, or one that moves the position */
};

static void join_done(struct join *j)
{
	binlog_free(j->b);
	if (j->fd >= 0)
		close(j->fd);
	str_done(&j->fde);
}

static void join_init(struct join *j, const struct join_parts *parts, const char *guess)
{
	const char *file = parts->begin ? parts->begin : guess;

	*j = (struct join){ .parts = parts, .fd = -1, .txn = BINLOG_TXN_INIT, .fde = STR_INIT };
	snprintf(j->file, sizeof(j->file), "%s", file ? file : "");
}

static const char *part_name(const struct join *j)
{
	return j->parts->paths[j->part - 1];
}

/* False with no error set: there are no more. */
static bool next_part(struct join *j, struct err *e)
{
	binlog_free(j->b);
	j->b = NULL;
	if (j->fd >= 0)
		close(j->fd);
	j->fd = -1;
	if (j->part == j->parts->count)
		return false;
	j->fd = dir_open_file(j->parts->paths[j->part++], e);
	if (j->fd < 0)
		return false;
	j->b = binlog_new_fd(j->fd);
	j->in_head = true;
	return true;
}

/* Made by the replica whose relay log it is: says nothing of the source. */
static bool is_replicas_own(const struct binlog_event *ev)
{
	return (ev->flags & BINLOG_F_RELAY_LOG) || (ev->type == BINLOG_ROTATE && !ev->server_id);
}

static bool is_made_up(const struct binlog_event *ev)
{
	return (ev->flags & BINLOG_F_ARTIFICIAL) || !ev->log_pos;
}

static void set_file(struct join *j, const struct binlog_rotate *r)
{
	snprintf(j->file, sizeof(j->file), "%.*s", (int)r->file.len, r->file.p);
	j->pos = r->pos;
	j->told = j->named = true;
}

/* An event of a file, or of a connection, that has no place in the row. */
static bool is_frame(const struct binlog_event *ev)
{
	switch (ev->type) {
	case BINLOG_ROTATE: return is_replicas_own(ev) || is_made_up(ev);
	case BINLOG_FORMAT:
	case BINLOG_PREVIOUS_GTIDS:
	case BINLOG_GTID_LIST:
	case BINLOG_HEARTBEAT:
	case BINLOG_HEARTBEAT_V2:
	case BINLOG_STOP:
	case BINLOG_START_V3:
	case BINLOG_SLAVE: return true;
	default: return false;
	}
}

static void note_frame(struct join *j, struct item *it)
{
	const struct binlog_event *ev = &it->ev;
	struct binlog_rotate r;

	if (ev->type == BINLOG_FORMAT) {
		str_clear(&j->fde);
		str_addn(&j->fde, ev->bytes, ev->size);
		it->keep = !j->in_head && !is_replicas_own(ev);
	} else if (ev->type == BINLOG_ROTATE && !is_replicas_own(ev) &&
	           binlog_view_rotate(ev, &r)) {
		set_file(j, &r);
	}
}

static bool is_near(uint64_t a, uint64_t b)
{
	return (a > b ? a - b : b - a) <= CRC_SLACK;
}

static uint64_t start_by_size(const struct binlog_event *ev)
{
	return ev->end_pos > ev->size ? ev->end_pos - ev->size : 0;
}

/* The format description and the lists behind it: is what follows the file's first event? */
static void note_head(struct join *j, const struct binlog_event *ev)
{
	uint64_t start = start_by_size(ev);

	if (ev->type == BINLOG_FORMAT)
		j->head_end = start == BINLOG_MAGIC_SIZE ? ev->end_pos : 0;
	else if (j->head_end && is_near(start, j->head_end))
		j->head_end = ev->end_pos;
}

/* A source that died leaves no Rotate: its next file has the next number. */
static void to_next_file(struct join *j)
{
	size_t n;
	uint64_t number;

	if (dir_log_split(j->file, &n, &number))
		snprintf(j->file + n, sizeof(j->file) - n, ".%06llu",
		        (unsigned long long)number + 1);
}

static void locate(struct join *j, struct item *it)
{
	uint64_t by_size = start_by_size(&it->ev);
	bool begins = j->head_end && is_near(by_size, j->head_end);

	it->start = by_size;
	it->covered = j->pos;
	if (!it->ev.end_pos || (j->pos && is_near(by_size, j->pos))) {
		it->start = j->pos;
	} else if (!j->told) {
		if (begins && j->pos > by_size)
			to_next_file(j);
		it->covered = begins ? BINLOG_MAGIC_SIZE : by_size;
	}
	if (it->ev.end_pos)
		j->pos = it->ev.end_pos;
	j->told = false;
	j->head_end = 0;
}

static bool classify(struct join *j, struct item *it, struct err *e)
{
	const struct binlog_event *ev = &it->ev;
	uint64_t voided = j->txn.voided;
	bool was_head = j->in_head, frame = is_frame(ev);

	if (frame) {
		note_head(j, ev);
		it->start = it->covered = j->pos;
	} else {
		locate(j, it);
		it->keep = true;
		j->in_head = false;
	}
	snprintf(it->file, sizeof(it->file), "%s", j->file);
	note_frame(j, it);
	/* In the head of a part it only repeats what is in force. */
	if (ev->type == BINLOG_FORMAT && (was_head || is_replicas_own(ev)))
		return true;
	if (!binlog_txn_feed(&j->txn, binlog_format(j->b), ev, &it->place, e))
		return false;
	it->voided = j->txn.voided != voided;
	return true;
}

/* The next event of the row.  False at the end, or with an error. */
static bool join_next(struct join *j, struct item *ret, struct err *e)
{
	struct err why = { .kind = ERR_NONE };

	for (;;) {
		struct item it = { .place = BINLOG_APART };
		enum binlog_next n = j->b ? binlog_next(j->b, &it.ev, &why) : BINLOG_END;

		if (n == BINLOG_EVENT) {
			if (!classify(j, &it, e))
				return err_ctx(e, "%s", part_name(j));
			*ret = it;
			return true;
		}
		if (n == BINLOG_TORN || n == BINLOG_ZEROS) {
			j->cut = why;
		} else if (n != BINLOG_END) {
			if (e)
				*e = why;
			return err_ctx(e, "%s", part_name(j));
		}
		if (!next_part(j, e))
			return false;
		j->cut.kind = ERR_NONE;
	}
}

static bool is_end(enum binlog_place p)
{
	return p == BINLOG_LAST || p == BINLOG_ONLY;
}

static bool is_begin(enum binlog_place p)
{
	return p == BINLOG_FIRST || p == BINLOG_ONLY;
}

/*
 * ---- what there is -----------------------------------------------------------------------------
 */

static bool count_whole(struct join *j, const struct item *it, struct join_facts *f, struct err *e)
{
	const struct binlog_gtid *g = &j->txn.gtid;
	bool mariadb = g->kind == BINLOG_GTID_MARIADB;

	f->transactions++;
	f->bytes += j->txn.bytes;
	binlog_view_gtid_text(g, f->last_gtid);
	if (g->kind == BINLOG_GTID_NONE || g->kind == BINLOG_GTID_ANONYMOUS)
		f->gtids = false;
	else if (!f->set)
		f->set = gtid_set_new(mariadb ? GTID_MARIADB : GTID_MYSQL);
	if (f->set && (gtid_set_dialect(f->set) == GTID_MARIADB) != mariadb &&
	        (mariadb || g->kind == BINLOG_GTID_MYSQL))
		return err_set(e, ERR_PARSE, 0, "%s: GTIDs of MySQL and of MariaDB", part_name(j));
	if (f->set && !binlog_view_gtid_add(g, f->set))
		return err_set(e, ERR_PARSE, 0, "%s, offset %llu: not a GTID", part_name(j),
		        (unsigned long long)it->ev.offset);
	return true;
}

static void note_cut(struct join *j, struct join_facts *f)
{
	bool open = binlog_txn_is_open(&j->txn);
	char gtid[BINLOG_GTID_TEXT];

	f->cut = j->txn.voided + open;
	if (open)
		snprintf(f->cut_why, sizeof(f->cut_why),
		        "the last transaction (%s at offset %llu) does not end",
		        binlog_view_gtid_text(&j->txn.gtid, gtid),
		        (unsigned long long)j->txn.offset);
	else if (j->cut.kind != ERR_NONE)
		snprintf(f->cut_why, sizeof(f->cut_why), "%.190s", j->cut.text);
}

/* The first Rotate tells in which file all begins: a source's files have consecutive numbers. */
static void note_begin(const struct join *j, const struct item *it, struct join_facts *f)
{
	size_t n;
	uint64_t number;

	snprintf(f->begin, sizeof(f->begin), "%s", j->file);
	if (it->keep && dir_log_split(f->begin, &n, &number) && number)
		snprintf(f->begin + n, sizeof(f->begin) - n, ".%06llu",
		        (unsigned long long)number - 1);
}

bool join_scan(const struct join_parts *p, struct join_facts *ret, struct err *e)
{
	struct join_facts f = { .gtids = true };
	struct join j;
	struct item it;
	struct err why = { .kind = ERR_NONE };

	join_init(&j, p, NULL);
	while (why.kind == ERR_NONE && join_next(&j, &it, &why)) {
		if (j.named && !f.begin[0])
			note_begin(&j, &it, &f);
		if (is_end(it.place))
			count_whole(&j, &it, &f, &why);
		if (it.keep && !binlog_txn_is_open(&j.txn) && j.pos) {
			snprintf(f.file, sizeof(f.file), "%s", j.file);
			f.end_pos = j.pos;
		}
		if (j.b)
			f.mariadb = binlog_format(j.b)->mariadb;
	}
	note_cut(&j, &f);
	join_done(&j);
	if (why.kind != ERR_NONE) {
		join_facts_done(&f);
		if (e)
			*e = why;
		return false;
	}
	f.gtids = f.gtids && f.transactions;
	if (!f.set)
		f.set = gtid_set_new(f.mariadb ? GTID_MARIADB : GTID_MYSQL);
	*ret = f;
	return true;
}

void join_facts_done(struct join_facts *f)
{
	gtid_set_free(f->set);
	*f = (struct join_facts){ .set = NULL };
}

/*
 * ---- what is missing ---------------------------------------------------------------------------
 */

int join_cmp_files(const char *a, const char *b)
{
	size_t na, nb;
	uint64_t xa, xb;

	if (!dir_log_split(a, &na, &xa) || !dir_log_split(b, &nb, &xb) || na != nb ||
	        memcmp(a, b, na) != 0)
		return strcmp(a, b);
	return xa < xb ? -1 : xa > xb;
}

/* Whether a list of GTIDs, as text, names this one. */
static bool names(const char *list, const char *gtid)
{
	size_t n = strlen(gtid);

	for (const char *p = list; n && (p = strstr(p, gtid)); p += n)
		if ((p == list || p[-1] == ',') && (p[n] == ',' || !p[n]))
			return true;
	return false;
}

/* What of the list is of this row. */
static bool find_logged(
        const struct join_parts *p, const char *list, struct gtid_set **ret, struct err *e)
{
	AUTO(gtid) struct gtid_set *set = gtid_set_new(GTID_MARIADB);
	struct err why = { .kind = ERR_NONE };
	char text[BINLOG_GTID_TEXT];
	struct join j;
	struct item it;

	join_init(&j, p, NULL);
	while (join_next(&j, &it, &why))
		if (is_end(it.place) && names(list, binlog_view_gtid_text(&j.txn.gtid, text)))
			binlog_view_gtid_add(&j.txn.gtid, set);
	join_done(&j);
	if (why.kind == ERR_NONE) {
		*ret = TAKE(set);
		return true;
	}
	if (e)
		*e = why;
	return false;
}

struct writer {
	int fd; /* -1: nothing is written */
	bool previous;
	struct binlog_sink sink;
	struct binlog_writer make;
	/* What the applier knows at the end of what is written. */
	struct str fde;
	char file[512];
};

static bool put_fd(void *ctx, const void *bytes, size_t n, struct err *e)
{
	const struct writer *w = ctx;
	const char *p = bytes;

	while (n) {
		ssize_t done = write(w->fd, p, n);

		if (done < 0 && errno != EINTR)
			return err_sys(e, "write the missing transactions");
		if (done > 0) {
			p += done;
			n -= (size_t)done;
		}
	}
	return true;
}

/*
 * The format that rules what follows.  In the middle of a transaction it must not claim to be of a
 * server's start, at which that would be rolled back.
 */
static bool put_format(struct writer *w, const struct join *j, bool inside, struct err *e)
{
	str_clear(&w->fde);
	str_addn(&w->fde, j->fde.p, j->fde.len);
	return binlog_write_format(&w->make, (const uint8_t *)j->fde.p, j->fde.len,
	        inside ? BINLOG_CREATED_NO : BINLOG_CREATED_AS_IS, e);
}

static bool put_previous(struct writer *w, struct err *e)
{
	AUTO(gtid) struct gtid_set *none = gtid_set_new(GTID_MYSQL);

	return binlog_write_previous_gtids(&w->make, none, e);
}

static bool put_rotate(struct writer *w, const char *file, uint64_t pos, struct err *e)
{
	snprintf(w->file, sizeof(w->file), "%s", file);
	return binlog_write_rotate(&w->make, file, pos, e);
}

static bool is_same_format(const struct writer *w, const struct join *j)
{
	return binlog_same_format(
	        (const uint8_t *)w->fde.p, w->fde.len, (const uint8_t *)j->fde.p, j->fde.len);
}

/* Tell the applier what it must know before this event. */
static bool put_frame(struct writer *w, const struct join *j, const struct item *it, struct err *e)
{
	bool first = !w->make.bytes, mysql = !binlog_format(j->b)->mariadb;
	bool inside = it->place == BINLOG_INSIDE || it->place == BINLOG_LAST;
	const char *file = it->file[0] ? it->file : w->file;
	bool moved = file[0] && !inside && (first || !str_is(file, w->file));

	if ((first || moved || !is_same_format(w, j)) && !put_format(w, j, inside, e))
		return false;
	if (first && w->previous && mysql && !put_previous(w, e))
		return false;
	return !moved || !it->start || put_rotate(w, file, it->start, e);
}

/* The part of a large event that was not kept in memory. */
static bool put_rest(
        struct writer *w, const struct join *j, const struct binlog_event *ev, struct err *e)
{
	if (ev->have == ev->size)
		return true;
	if (!binlog_write_range(&w->make, j->fd, ev->offset + ev->have, ev->size - ev->have, e))
		return err_ctx(e, "%s", part_name(j));
	return true;
}

static bool put_event(struct writer *w, const struct join *j, const struct item *it, struct err *e)
{
	const struct binlog_event *ev = &it->ev;
	struct binlog_rotate r;

	if (ev->type == BINLOG_FORMAT)
		return put_format(w, j, false, e);
	if (!put_frame(w, j, it, e) || !binlog_write_events(&w->make, ev->bytes, ev->have, e) ||
	        !put_rest(w, j, ev, e))
		return false;
	if (ev->type == BINLOG_ROTATE && binlog_view_rotate(ev, &r))
		snprintf(w->file, sizeof(w->file), "%.*s", (int)r.file.len, r.file.p);
	return true;
}

/* Back to where the file was `size` bytes long. */
static bool take_back(struct writer *w, uint64_t size, struct err *e)
{
	if (!binlog_write_flush(&w->make, e))
		return false;
	if (ftruncate(w->fd, (off_t)size) < 0 || lseek(w->fd, (off_t)size, SEEK_SET) < 0)
		return err_sys(e, "take an unfinished transaction back");
	w->make.bytes = size;
	return true;
}

/* Goes through the row and decides. */
struct chooser {
	const struct join_have *have;
	struct gtid_set *logged; /* owned */
	bool aligned;            /* the server's position lies in the row */
	char file[512];          /* from then on: up to where nothing was left out */
	uint64_t pos;
	bool wanted; /* the transaction that is open is to be written */
	struct join_missing m;
};

/* As join_cmp_files(), and then by position, with the slack for checksums. */
static int cmp_pos(const char *file_a, uint64_t a, const char *file_b, uint64_t b)
{
	int c = join_cmp_files(file_a, file_b);

	if (c || is_near(a, b))
		return c;
	return a < b ? -1 : 1;
}

static bool gap(const struct chooser *c, const struct join *j, const struct item *it, struct err *e)
{
	const struct join_have *h = c->have;

	if (!c->aligned)
		err_set(e, ERR_PRECOND, 0, "the server has executed up to %s:%llu", h->file,
		        (unsigned long long)h->pos);
	else
		err_set(e, ERR_PRECOND, 0, "what was read goes up to %s:%llu", c->file,
		        (unsigned long long)c->pos);
	if (e)
		snprintf(e->text + strlen(e->text), sizeof(e->text) - strlen(e->text),
		        ", but the next transaction in %.200s begins at %.200s:%llu", part_name(j),
		        it->file, (unsigned long long)it->start);
	return err_hint(e,
	        "hand over all that follows what the server has executed, in the order of "
	        "the source and each transaction once");
}

/* Follow the row, and see whether it goes over the server's position. */
static void follow(struct chooser *c, const struct join *j, const struct item *it)
{
	const struct join_have *h = c->have;
	int end;

	if (h->gtids || binlog_txn_is_open(&j->txn))
		return;
	end = cmp_pos(j->file, j->pos, h->file, h->pos);
	if (it->covered && cmp_pos(it->file, it->covered, h->file, h->pos) <= 0 &&
	        (end == 0 || (end > 0 && it->place == BINLOG_APART)))
		c->aligned = true;
	snprintf(c->file, sizeof(c->file), "%s", j->file);
	c->pos = j->pos;
}

/* Whether between a place and where this event's coverage begins there may be a transaction. */
static bool leaves_out(const struct join *j, const struct item *it, const char *file, uint64_t pos)
{
	uint64_t slack = binlog_format(j->b)->mariadb ? CHECKPOINTS : 0;

	if (str_is(it->file, file))
		return cmp_pos(it->file, it->covered, file, pos + slack) > 0;
	return it->covered > BINLOG_MAGIC_SIZE;
}

/* Whether the transaction that begins with this event is missing, by position. */
static bool missing_by_pos(
        struct chooser *c, const struct join *j, const struct item *it, struct err *e)
{
	const struct join_have *h = c->have;

	c->wanted = cmp_pos(it->file, it->start, h->file, h->pos) >= 0;
	if (!c->wanted)
		return true;
	if (!c->aligned)
		return (str_is(it->file, h->file) && !leaves_out(j, it, h->file, h->pos)) ||
		       gap(c, j, it, e);
	if (cmp_pos(it->file, it->start, c->file, c->pos) < 0 || leaves_out(j, it, c->file, c->pos))
		return gap(c, j, it, e);
	return true;
}

static bool decide(struct chooser *c, const struct join *j, const struct item *it, struct err *e)
{
	const struct binlog_gtid *g = &j->txn.gtid;

	if (c->logged && binlog_view_gtid_in(g, c->logged)) {
		/* What it logged by itself is behind its position as a replica. */
		c->aligned = true;
		c->wanted = false;
		return true;
	}
	if (c->have->gtids) {
		c->wanted = !binlog_view_gtid_in(g, c->have->gtids);
		return true;
	}
	if (!missing_by_pos(c, j, it, e))
		return false;
	c->aligned |= c->wanted;
	return true;
}

static void note_first(struct chooser *c, const struct join *j, const struct item *it)
{
	if (c->m.transactions)
		return;
	binlog_view_gtid_text(&j->txn.gtid, c->m.gtid);
	snprintf(c->m.file, sizeof(c->m.file), "%s", it->file);
	c->m.start = it->start;
}

struct output {
	struct writer w;
	/* At the beginning of the open transaction. */
	uint64_t txn_at;
	struct str txn_fde;
	char txn_file[512];
};

static void mark(struct output *o)
{
	o->txn_at = o->w.make.bytes;
	str_clear(&o->txn_fde);
	str_addn(&o->txn_fde, o->w.fde.p, o->w.fde.len);
	snprintf(o->txn_file, sizeof(o->txn_file), "%s", o->w.file);
}

static bool undo(struct output *o, struct err *e)
{
	str_clear(&o->w.fde);
	str_addn(&o->w.fde, o->txn_fde.p, o->txn_fde.len);
	snprintf(o->w.file, sizeof(o->w.file), "%s", o->txn_file);
	return o->w.fd < 0 || take_back(&o->w, o->txn_at, e);
}

static bool choose_item(struct chooser *c, struct output *o, const struct join *j,
        const struct item *it, struct err *e)
{
	bool keep = it->keep;

	if (it->voided && c->wanted && !undo(o, e))
		return false;
	if (it->voided)
		c->wanted = false;
	if (is_begin(it->place)) {
		if (!decide(c, j, it, e))
			return false;
		if (c->wanted) {
			note_first(c, j, it);
			mark(o);
		}
	}
	if (it->place == BINLOG_APART)
		/* In front of the first missing one they say nothing new. */
		keep = keep && c->m.transactions && !binlog_txn_is_open(&j->txn);
	else
		keep = c->wanted;
	if (keep && o->w.fd >= 0 && !put_event(&o->w, j, it, e))
		return false;
	follow(c, j, it);
	if (is_end(it->place)) {
		if (c->wanted) {
			c->m.transactions++;
			c->m.bytes += j->txn.bytes;
		} else {
			c->m.had++;
		}
		c->wanted = false;
	}
	return true;
}

/* All the way through; `why` tells an error from the end. */
static void run_through(
        const struct join_parts *p, struct chooser *c, struct output *o, struct err *why)
{
	struct join j;
	struct item it;

	join_init(&j, p, c->have->gtids ? NULL : c->have->file);
	while (join_next(&j, &it, why))
		if (!choose_item(c, o, &j, &it, why))
			break;
	if (why->kind == ERR_NONE && c->wanted)
		undo(o, why);
	/* Without a name there is no telling whether these are old or of the next file. */
	if (why->kind == ERR_NONE && !c->have->gtids && !c->aligned && c->m.had && !p->begin)
		err_set(why, ERR_PRECOND, 0,
		        "the server has executed up to %s:%llu, which is nowhere in the files, and "
		        "they do not say which of the source's files they are of",
		        c->have->file, (unsigned long long)c->have->pos);
	if (why->kind == ERR_NONE && o->w.fd >= 0)
		(void)!binlog_write_flush(&o->w.make, why);
	join_done(&j);
}

bool join_write(const struct join_parts *p, const struct join_have *have, int fd, bool previous,
        struct join_missing *ret, struct err *e)
{
	struct chooser c = { .have = have };
	struct output o = { .w = { .fd = fd, .previous = previous, .fde = STR_INIT },
		.txn_fde = STR_INIT };
	struct err why = { .kind = ERR_NONE };

	assert(have->gtids || have->file);
	o.w.sink = (struct binlog_sink){ .put = put_fd, .ctx = &o.w };
	o.w.make.sink = &o.w.sink;
	if (have->file && !have->gtids)
		snprintf(o.w.file, sizeof(o.w.file), "%s", have->file);
	if (have->logged && !find_logged(p, have->logged, &c.logged, e))
		return false;
	run_through(p, &c, &o, &why);
	gtid_set_free(c.logged);
	binlog_writer_done(&o.w.make);
	str_done(&o.w.fde);
	str_done(&o.txn_fde);
	if (why.kind != ERR_NONE) {
		if (e)
			*e = why;
		return false;
	}
	*ret = c.m;
	return true;
}
