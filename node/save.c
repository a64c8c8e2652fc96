/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * save - one pass over the files.
 * Runs on: any thread.
 */
#include "save.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "save_impl.h"

#define ASK_EVERY 1024 /* events: whether to go on */

/* ---- places ----------------------------------------------------------------------------------- */

static void set_place(struct save_place *p, const char *file, size_t n, uint64_t pos)
{
	snprintf(p->file, sizeof(p->file), "%.*s", (int)n, file);
	p->pos = pos;
}

static void set_at(struct save *s, const char *file, size_t n, uint64_t pos)
{
	s->at.pos = pos;
	if (strlen(s->at.file) == n && memcmp(s->at.file, file, n) == 0)
		return;
	set_place(&s->at, file, n, pos);
	s->at_name++;
}

static void advance_in_relay_log(struct save *s, const struct binlog_event *ev)
{
	struct binlog_rotate rot;

	if (ev->type == BINLOG_ROTATE) {
		if (!(ev->flags & BINLOG_F_RELAY_LOG) && binlog_view_rotate(ev, &rot))
			set_at(s, rot.file.p, rot.file.len, rot.pos);
	} else if (ev->type != BINLOG_FORMAT) {
		/* MariaDB 11 writes no positions inside of a transaction. */
		if (ev->end_pos)
			s->at.pos = ev->end_pos;
		else if (binlog_txn_is_open(&s->txn))
			s->at.pos += ev->size;
	}
}

/* Where the source is behind this event. */
static inline void advance(struct save *s, const struct binlog_event *ev)
{
	if (s->r.relay)
		advance_in_relay_log(s, ev);
	else
		s->at.pos = ev->offset + ev->size;
}

/* ---- transactions ------------------------------------------------------------------------------
 */

static bool finish(struct save *s, const struct binlog_event *ev, struct err *e)
{
	struct save_report *r = &s->r;

	if (!r->transactions++) {
		r->first = s->txn.gtid;
		r->first_time = s->txn.timestamp;
		r->start = s->begins;
	}
	r->last = s->txn.gtid;
	r->last_time = ev->timestamp;
	save_copy_place(&r->end, &s->end_name, &s->at, s->at_name);
	return save_write_held(s, e);
}

/* Events between transactions are left out, unless nobody here knows what they are. */
static bool is_carried(uint8_t type)
{
	return str_is(binlog_type_name(type), "Unknown");
}

static bool between(struct save *s, const struct binlog_event *ev, struct err *e)
{
	if (binlog_txn_is_open(&s->txn))
		return true;
	save_begin(s, true);
	if (!is_carried(ev->type) || (s->have && !s->r.transactions))
		return true;
	return save_hold(s, ev, e) && save_write_held(s, e);
}

/*
 * What a replica asks for by GTID goes on further behind than the events in front of it end.  Sizes
 * may differ by a checksum from those in the source.
 */
static void jumped_to(struct save *s, const struct binlog_event *ev)
{
	if (s->r.relay && ev->end_pos > s->at.pos + ev->size + BINLOG_CRC_SIZE)
		s->at.pos = ev->end_pos - ev->size;
}

static bool take(
        struct save *s, const struct binlog_event *ev, enum binlog_place place, struct err *e)
{
	if (place == BINLOG_INSIDE) {
		advance(s, ev);
		return !s->wanted || save_hold(s, ev, e);
	}
	if (place == BINLOG_APART) {
		advance(s, ev);
		return between(s, ev, e);
	}
	if (place == BINLOG_FIRST || place == BINLOG_ONLY) {
		jumped_to(s, ev);
		if (!save_decide(s, e))
			return false;
	}
	advance(s, ev);
	if (!s->wanted)
		return true;
	return save_hold(s, ev, e) &&
	       ((place != BINLOG_LAST && place != BINLOG_ONLY) || finish(s, ev, e));
}

/* ---- reading -----------------------------------------------------------------------------------
 */

static bool not_an_event(struct save *s, uint64_t before, uint64_t behind, struct err *e)
{
	return err_set(e, ERR_PRECOND, SAVE_NO_EVENT,
	        "no event begins at %llu: there are events from %llu and from %llu on",
	        (unsigned long long)s->spec->start_pos, (unsigned long long)before,
	        (unsigned long long)behind);
}

static void start_here(struct save *s)
{
	s->started = true;
	save_begin(s, true);
	save_copy_place(&s->from, &s->from_name, &s->at, s->at_name);
	s->r.starts_inside = binlog_txn_is_open(&s->txn);
}

/* False when the start position is inside of this event. */
static bool look_for_start(struct save *s, const struct binlog_event *ev, struct err *e)
{
	bool at_start = s->i > s->spec->first || ev->offset >= s->spec->start_pos;

	if (s->i < s->spec->first || !at_start) {
		uint64_t behind = ev->offset + ev->size;

		if (s->i == s->spec->first && behind > s->spec->start_pos &&
		        s->spec->start_pos > BINLOG_MAGIC_SIZE)
			return not_an_event(s, ev->offset, behind, e);
		return true;
	}
	start_here(s);
	return true;
}

/* An event that was understood. */
static bool one_event(
        struct save *s, const struct binlog_event *ev, enum binlog_place place, struct err *e)
{
	if (!s->started)
		advance(s, ev);
	else if (!take(s, ev, place, e))
		return false;
	if (!binlog_txn_is_open(&s->txn))
		s->whole_end = ev->offset + ev->size;
	return true;
}

/* The first event decides what kind of file it is. */
static void first_event(struct save *s, const struct binlog_event *ev)
{
	const struct log_file *f = &s->spec->logs->files.items[s->i];

	s->r.relay = ev->flags & BINLOG_F_RELAY_LOG;
	if (!s->r.relay)
		set_at(s, f->name, strlen(f->name), BINLOG_MAGIC_SIZE);
}

/*
 * To a start position far behind the beginning at once, where it can be known that a transaction
 * begins there: by a GTID event with a right checksum.  Else all before has to be read.
 */
static bool jump(struct save *s, struct err *e)
{
	uint64_t start = s->spec->start_pos, here = binlog_offset(s->b);
	struct binlog_event ev;
	struct stat st;
	bool good;

	if (s->started || s->r.relay || s->i != s->spec->first || start <= here)
		return true;
	if (fstat(s->fd, &st) == 0 && start > (uint64_t)st.st_size)
		return true; /* reading to the end tells more */
	good = binlog_format(s->b)->crc && binlog_seek(s->b, start, NULL) &&
	       binlog_next(s->b, &ev, NULL) == BINLOG_EVENT && binlog_view_is_gtid(ev.type);
	if (good)
		s->at.pos = start;
	return binlog_seek(s->b, good ? start : here, e);
}

static bool may_go_on(struct save *s, struct err *e)
{
	return !s->spec->go_on || ++s->events % ASK_EVERY || s->spec->go_on(s->spec->go_on_ctx, e);
}

/* All events of one file, and why there are no more of them: `how` in words. */
static bool read_events(struct save *s, enum binlog_next *why, struct err *how, struct err *e)
{
	const struct binlog_format *f = NULL;
	struct binlog_event ev;
	enum binlog_place place;
	bool first = true;

	while ((*why = binlog_next(s->b, &ev, how)) == BINLOG_EVENT) {
		if (!may_go_on(s, e))
			return false;
		if (first)
			first_event(s, &ev);
		if (!s->started && !look_for_start(s, &ev, e))
			return false;
		if (first || ev.type == BINLOG_FORMAT)
			f = binlog_format(s->b);
		if (ev.type == BINLOG_FORMAT)
			save_form_seen(s, &ev);
		if (!binlog_txn_feed(&s->txn, f, &ev, &place, how)) {
			*why = BINLOG_GARBAGE;
			return true;
		}
		if (!one_event(s, &ev, place, e) || (first && !jump(s, e)))
			return false;
		first = false;
	}
	if (e && (*why == BINLOG_UNREADABLE || *why == BINLOG_ENCRYPTED))
		*e = *how;
	return *why != BINLOG_UNREADABLE && *why != BINLOG_ENCRYPTED;
}

static void close_file(struct save *s)
{
	binlog_free(s->b);
	s->b = NULL;
	cleanup_fd(&s->fd);
	s->fd = -1;
}

bool save_open_file(struct save *s, size_t i, struct err *e)
{
	close_file(s);
	s->i = i;
	s->whole_end = 0;
	s->held_end = NOWHERE;
	s->fd = logs_open(s->spec->logs, i, e);
	if (s->fd >= 0)
		s->b = binlog_new_fd(s->fd);
	return s->fd >= 0;
}

/* ---- all of it ---------------------------------------------------------------------------------
 */

/* Whether a server began anew with that file: then what the one before it lacks never was. */
static bool is_restart(struct save *s, size_t i)
{
	AUTO_FD int fd = logs_open(s->spec->logs, i, NULL);
	AUTO(binlog) struct binlog *b = fd < 0 ? NULL : binlog_new_fd(fd);
	struct binlog_event ev;

	return b && binlog_next(b, &ev, NULL) == BINLOG_EVENT && binlog_format(b)->created &&
	       !(ev.flags & BINLOG_F_RELAY_LOG);
}

static bool is_shorter(struct save *s, enum binlog_next why, struct err *e)
{
	err_set(e, ERR_PRECOND, SAVE_SHORTER,
	        "the log is shorter than what was received from it: it ends at %llu%s%s, and the "
	        "start position is %llu",
	        (unsigned long long)binlog_offset(s->b), why == BINLOG_END ? "" : ", ",
	        why == BINLOG_END ? "" : binlog_next_name(why),
	        (unsigned long long)s->spec->start_pos);
	return err_hint(e,
	        "it lost its end in a crash (sync_binlog), or it is not the log that was "
	        "received");
}

/* The file has been read to its end; whether the next one may follow. */
static bool file_ends(
        struct save *s, enum binlog_next why, const struct err *how, bool *more, struct err *e)
{
	size_t next = s->i + 1;
	bool last = next == s->spec->logs->files.len;

	if (!s->started && s->i == s->spec->first) {
		if (s->spec->start_pos > BINLOG_MAGIC_SIZE &&
		        binlog_offset(s->b) != s->spec->start_pos)
			return is_shorter(s, why, e);
		start_here(s);
	}
	*more = !last && (why == BINLOG_END || is_restart(s, next));
	if (*more)
		return true;
	s->r.why = why;
	if (why != BINLOG_END)
		snprintf(s->r.why_text, sizeof(s->r.why_text), "%.*s",
		        (int)sizeof(s->r.why_text) - 1, how->text);
	s->r.files_left = s->spec->logs->files.len - next;
	return true;
}

static bool keeps_open(const struct save *s)
{
	enum save_open open = s->spec->open;

	return s->pieces.len &&
	       (open == SAVE_OPEN_KEEP || (open == SAVE_OPEN_KEEP_RELAY && s->r.relay && !s->have));
}

/* The transaction that does not end is in the stream all the same. */
static bool keep_open(struct save *s, struct err *e)
{
	s->r.ends_inside = true;
	s->r.end = s->at;
	if (!s->r.transactions)
		s->r.start = s->begins;
	s->r.cut.pos = binlog_offset(s->b);
	return save_write_held(s, e);
}

static bool end_of_all(struct save *s, struct err *e)
{
	const struct log_file *f = &s->spec->logs->files.items[s->i];
	struct stat st;

	if (s->anonymous && s->have && !save_refuse_anonymous(s, e))
		return false;
	s->r.open = binlog_txn_is_open(&s->txn) && s->wanted;
	set_place(&s->r.cut, f->name, strlen(f->name), s->whole_end);
	if (s->r.open)
		s->r.open_gtid = s->txn.gtid;
	if (s->r.open && keeps_open(s) && !keep_open(s, e))
		return false;
	if (fstat(s->fd, &st) == 0 && (uint64_t)st.st_size > s->r.cut.pos)
		s->r.cut_bytes = (uint64_t)st.st_size - s->r.cut.pos;
	return save_write_ready(s, e) && binlog_write_flush(&s->w, e);
}

static bool read_all(struct save *s, size_t from, struct err *e)
{
	bool more = true;

	for (size_t i = from; more; i++) {
		enum binlog_next why = BINLOG_EVENT;
		struct err how = { 0 };

		if (!save_open_file(s, i, e))
			return false;
		if (!read_events(s, &why, &how, e))
			return err_ctx(e, "%s", s->spec->logs->files.items[i].path);
		if (!file_ends(s, why, &how, &more, e))
			return err_ctx(e, "%s", s->spec->logs->files.items[i].path);
	}
	return true;
}

static bool run(struct save *s, struct err *e)
{
	const struct save_spec *spec = s->spec;
	size_t first = spec->have ? 0 : spec->look_from;

	if (spec->source_file)
		set_at(s, spec->source_file, strlen(spec->source_file), 0);
	if (spec->have) {
		s->started = true;
		if (!save_choose_first(s, &first, e))
			return false;
	} else if (spec->previous_gtids) {
		if (!save_open_file(s, spec->first, e))
			return false;
		gtid_set_free(save_list_at_head(s));
		if (binlog_format(s->b) && !save_read_sets(s, e))
			return false;
	}
	if (!logs_have_no_gap(spec->logs, first, e))
		return false;
	return read_all(s, first, e) && end_of_all(s, e);
}

bool save_run(const struct save_spec *spec, const struct binlog_sink *sink, struct save_report *ret,
        struct err *e)
{
	struct save s = { .spec = spec,
		.fd = -1,
		.w = { .sink = sink, .sum = spec->sum },
		.txn = BINLOG_TXN_INIT,
		.held_end = NOWHERE };
	bool ok = run(&s, e);

	if (ok) {
		s.r.bytes = s.w.bytes;
		s.r.crc = s.w.crc;
		*ret = s.r;
	}
	close_file(&s);
	save_forget_forms(&s);
	vec_done(&s.forms);
	vec_done(&s.pieces);
	binlog_writer_done(&s.w);
	gtid_set_free(s.have);
	gtid_set_free(s.known);
	gtid_set_free(s.previous);
	return ok;
}
