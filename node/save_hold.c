/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * save_hold - the events of a transaction until its end has been seen: in memory while they are few,
 * else as ranges of the files, to be read a second time; and the formats that they need.
 * Runs on: any thread.
 */
#include "save_impl.h"
#include <stdlib.h>
#include <string.h>

#define HELD_MAX   (128u << 10) /* of one transaction in memory */
#define PIECES_MAX (64u << 10)  /* of one transaction: it is nearly always one for each file */

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
	str_clear(&s->held);
	s->all_held = true;
}

void save_begin(struct save *s, bool wanted)
{
	drop_open(s);
	s->wanted = wanted;
	save_copy_place(&s->begins, &s->begins_name, &s->at, s->at_name);
}

bool save_hold(struct save *s, const struct binlog_event *ev, struct err *e)
{
	struct save_piece *last = s->pieces.len ? &s->pieces.items[s->pieces.len - 1] : NULL;

	if (last && last->file == s->i && last->at + last->len == ev->offset &&
	        last->form == form_in_force(s))
		last->len += ev->size;
	else if (s->pieces.len < PIECES_MAX)
		vec_push(&s->pieces,
		        (struct save_piece){ s->i, ev->offset, ev->size, form_in_force(s) });
	else
		return err_set(e, ERR_PARSE, 0, "a transaction of more than %u pieces", PIECES_MAX);
	if (s->all_held && ev->have == ev->size && s->held.len + ev->size <= HELD_MAX)
		str_addn(&s->held, ev->bytes, ev->size);
	else
		s->all_held = false;
	return true;
}

static bool write_piece(struct save *s, const struct save_piece *p, const char *held, struct err *e)
{
	AUTO_FD int other = -1;

	if (p->form + 1 != s->form_written && !write_form(s, p->form, e))
		return false;
	if (s->begins.file[0] && s->named != s->begins_name) {
		s->named = s->begins_name;
		if (!binlog_write_rotate(&s->w, s->begins.file, s->begins.pos, e))
			return false;
	}
	if (held)
		return binlog_write_events(&s->w, held, p->len, e);
	if (p->file != s->i && (other = logs_open(s->spec->logs, p->file, e)) < 0)
		return false;
	return binlog_write_range(&s->w, other >= 0 ? other : s->fd, p->at, p->len, e) ||
	       err_ctx(e, "%s", s->spec->logs->files.items[p->file].path);
}

/* The open transaction is to be in the stream: all of it has been seen, or nothing more can be. */
bool save_write_held(struct save *s, struct err *e)
{
	const char *held = s->all_held ? s->held.p : NULL;

	vec_each (struct save_piece, p, &s->pieces) {
		if (!write_piece(s, p, held, e))
			return false;
		if (held)
			held += p->len;
	}
	drop_open(s);
	return true;
}
