/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * save_hold - the events of a transaction until its end has been seen: as ranges of the files, to be
 * read a second time if they are not at hand any more; and the formats that they need.
 * Runs on: any thread.
 */
#include "save_impl.h"
#include <stdlib.h>
#include <string.h>

#define READY_MAX  (16u << 10)
#define PIECES_MAX (64u << 10) /* of one transaction: it is nearly always one for each file */

/* ---- formats -----------------------------------------------------------------------------------
 */

static uint64_t form_in_force(const struct save *s)
{
	return s->forms_gone + s->forms.len - 1;
}

void save_forget_forms(struct save *s)
{
	vec_each (struct save_form, f, &s->forms)
		free(f->bytes);
	s->forms_gone += s->forms.len;
	s->forms.len = 0;
}

/* A replica's own description says nothing of restarts of the source. */
void save_form_seen(struct save *s, const struct binlog_event *ev)
{
	const struct binlog_format *f = binlog_format(s->b);
	const struct save_form *last = s->forms.len ? &s->forms.items[s->forms.len - 1] : NULL;
	bool own = ev->flags & BINLOG_F_RELAY_LOG, restart = f->created && !own && s->started;

	if (!own)
		memcpy(s->r.server_version, f->server_version, sizeof(s->r.server_version));
	s->r.mariadb = f->mariadb;
	if (last && !restart && binlog_same_format(last->bytes, last->n, ev->bytes, ev->size))
		return;
	if (!s->pieces.len)
		save_forget_forms(s);

	struct save_form new = { xmalloc(ev->size), ev->size, restart };

	memcpy(new.bytes, ev->bytes, ev->size);
	vec_push(&s->forms, new);
}

static bool write_form(struct save *s, uint64_t number, struct err *e)
{
	const struct save_form *f = &s->forms.items[number - s->forms_gone];
	bool first = s->w.bytes == 0;

	s->form_written = number + 1;
	return binlog_write_format(&s->w, f->bytes, f->n,
	               f->restart ? BINLOG_CREATED_AS_IS : BINLOG_CREATED_NO, e) &&
	       (!first || !s->previous || binlog_write_previous_gtids(&s->w, s->previous, e));
}

/* ---- the open transaction ----------------------------------------------------------------------
 */

void save_copy_place(
        struct save_place *to, unsigned *to_name, const struct save_place *from, unsigned name)
{
	to->pos = from->pos;
	if (*to_name != name)
		memcpy(to->file, from->file, sizeof(to->file));
	*to_name = name;
}

static void drop_open(struct save *s)
{
	s->pieces.len = 0;
	s->held_end = NOWHERE;
}

void save_begin(struct save *s, bool wanted)
{
	drop_open(s);
	s->wanted = wanted;
	save_copy_place(&s->begins, &s->begins_name, &s->at, s->at_name);
}

bool save_hold_apart(struct save *s, const struct binlog_event *ev, struct err *e)
{
	struct save_piece p = { s->i, ev->offset, ev->size, form_in_force(s) };

	if (s->pieces.len == PIECES_MAX)
		return err_set(e, ERR_PARSE, 0, "a transaction of more than %u pieces", PIECES_MAX);
	vec_push(&s->pieces, p);
	s->held_end = p.at + p.len;
	return true;
}

/* What lay in the reader's window lies there still, as a rule. */
bool save_write_ready(struct save *s, struct err *e)
{
	struct save_piece p = s->ready;
	const uint8_t *at_hand = p.file == s->i ? binlog_behind(s->b, p.at) : NULL;
	AUTO_FD int other = -1;

	s->ready.len = 0;
	if (!p.len)
		return true;
	if (at_hand)
		return binlog_write_events(&s->w, at_hand, p.len, e);
	if (p.file != s->i && (other = logs_open(s->spec->logs, p.file, e)) < 0)
		return false;
	return binlog_write_range(&s->w, other >= 0 ? other : s->fd, p.at, p.len, e) ||
	       err_ctx(e, "%s", s->spec->logs->files.items[p.file].path);
}

/* Whether the stream says already what has to be said before these events. */
static bool is_announced(const struct save *s, const struct save_piece *p)
{
	return p->form + 1 == s->form_written && (s->named == s->begins_name || !s->begins.file[0]);
}

/*
 * Where in the source's files it goes on.  When nothing came out of the first file, its end has to be named
 * too: it says that from the position asked for on nothing was left out.
 */
static bool name_place(struct save *s, struct err *e)
{
	bool skipped = !s->have && !s->named && s->from.file[0] && s->begins_name != s->from_name;

	s->named = s->begins_name;
	if (!skipped)
		return binlog_write_rotate(&s->w, s->begins.file, s->begins.pos, e);
	return binlog_write_rotate(&s->w, s->from.file, s->from.pos, e) &&
	       binlog_write_rotate(&s->w, s->begins.file, BINLOG_MAGIC_SIZE, e);
}

static bool announce(struct save *s, const struct save_piece *p, struct err *e)
{
	if (p->form + 1 != s->form_written && !write_form(s, p->form, e))
		return false;
	return s->named == s->begins_name || !s->begins.file[0] || name_place(s, e);
}

static bool write_piece(struct save *s, const struct save_piece *p, struct err *e)
{
	struct save_piece *r = &s->ready;

	if (r->len && r->file == p->file && r->at + r->len == p->at && is_announced(s, p)) {
		r->len += p->len;
	} else {
		if (!save_write_ready(s, e) || !announce(s, p, e))
			return false;
		*r = *p;
	}
	return r->len < READY_MAX || save_write_ready(s, e);
}

/* The open transaction is to be in the stream: all of it has been seen, or nothing more can be. */
bool save_write_held(struct save *s, struct err *e)
{
	vec_each (struct save_piece, p, &s->pieces)
		if (!write_piece(s, p, e))
			return false;
	drop_open(s);
	return true;
}
