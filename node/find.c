/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * find - looks at the heads of relay logs, newest first, for one that begins at or before the
 * position, and reads on from there.
 * Runs on: any thread.
 */
#include "find.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "binlog_view.h"
#include "dir.h"
#include "str.h"

#define ASK_EVERY 1024

/* A position of the source. */
struct at {
	char file[256]; /* "": not known */
	uint64_t pos;
};

/* A relay log that is being read. */
struct relay_log {
	int fd;
	struct binlog *b;
};

static void close_log(struct relay_log *l)
{
	binlog_free(l->b);
	cleanup_fd(&l->fd);
}

static bool open_log(const struct find_spec *s, size_t i, struct relay_log *ret, struct err *e)
{
	ret->fd = logs_open(s->logs, i, e);
	ret->b = ret->fd < 0 ? NULL : binlog_new_fd(ret->fd);
	return ret->b;
}

/* Whether the event is of the source, rather than made by the replica for its relay log. */
static bool of_source(const struct find_spec *s, const struct binlog_event *ev)
{
	if (ev->flags & BINLOG_F_RELAY_LOG)
		return false;
	return ev->type != BINLOG_ROTATE || !s->server_id || ev->server_id != s->server_id;
}

/* A Rotate of the source; where it leads to is written to `at`. */
static bool rotates(const struct find_spec *s, const struct binlog_event *ev, struct at *at)
{
	struct binlog_rotate rot;

	if (ev->type != BINLOG_ROTATE || !of_source(s, ev) || !binlog_view_rotate(ev, &rot))
		return false;
	snprintf(at->file, sizeof(at->file), "%.*s", (int)rot.file.len, rot.file.p);
	at->pos = rot.pos;
	return true;
}

/* Negative, 0 or positive; `same` tells whether they are of one row of binlogs at all. */
static int cmp(const struct at *a, const char *file, uint64_t pos, bool *same)
{
	size_t an, bn;
	uint64_t a_number, b_number;

	*same = dir_log_split(a->file, &an, &a_number) && dir_log_split(file, &bn, &b_number) &&
	        an == bn && memcmp(a->file, file, an) == 0;
	if (!*same)
		return 0;
	if (a_number != b_number)
		return a_number < b_number ? -1 : 1;
	return (a->pos > pos) - (a->pos < pos);
}

/* Where in the source a relay log begins, by the first Rotate in its head; file "" if none tells. */
static bool read_head(const struct find_spec *s, size_t i, struct at *ret, struct err *e)
{
	struct relay_log l;
	struct binlog_event ev;
	bool ok = open_log(s, i, &l, e);

	*ret = (struct at){ .pos = 0 };
	while (ok && binlog_next(l.b, &ev, NULL) == BINLOG_EVENT && !rotates(s, &ev, ret))
		if (ev.end_pos && ev.type != BINLOG_FORMAT && of_source(s, &ev))
			break;
	close_log(&l);
	return ok;
}

/*
 * The source's binlog at the beginning of the oldest relay log, when that does not name it: the
 * first Rotate behind leads out of it, or into it again after the replica had to reconnect.
 */
static bool guess_first(const struct find_spec *s, struct at *ret, struct err *e)
{
	struct at at = { .pos = 0 };
	struct binlog_event ev;
	bool found = false;

	for (size_t i = 0; i < s->logs->files.len && !found; i++) {
		struct relay_log l;

		if (!open_log(s, i, &l, e))
			return false;
		while (!found && binlog_next(l.b, &ev, NULL) == BINLOG_EVENT)
			found = rotates(s, &ev, &at);
		close_log(&l);
	}
	*ret = (struct at){ .pos = 0 };
	if (!found) {
		snprintf(ret->file, sizeof(ret->file), "%s", s->newest ? s->newest : "");
	} else if (at.pos > BINLOG_MAGIC_SIZE) {
		memcpy(ret->file, at.file, sizeof(ret->file));
	} else {
		size_t n;
		uint64_t number;

		if (dir_log_split(at.file, &n, &number) && number > 1)
			snprintf(ret->file, sizeof(ret->file), "%.*s.%06llu", (int)n, at.file,
			        (unsigned long long)number - 1);
	}
	return true;
}

/* The walk. */
struct walk {
	const struct find_spec *s;
	struct at at;
	uint64_t events;
	bool inside;  /* an event in front of the position has been seen */
	bool guess;   /* `at` was added up */
	bool guessed; /* so was the place that was found, and no event behind it has proved it yet */
	bool found;
	struct find_place place;
};

/* Where the source is behind the event; false for what says nothing of that. */
static bool moves(struct walk *w, const struct binlog_event *ev)
{
	w->guess = false;
	if (rotates(w->s, ev, &w->at))
		return true;
	if (ev->type == BINLOG_FORMAT || ev->type == BINLOG_ROTATE || !of_source(w->s, ev))
		return false;
	if (ev->type == BINLOG_GTID_LIST && !ev->end_pos)
		return false;
	/*
	 * MariaDB 11 writes no position inside of a transaction.  Added up it is wrong where the source
	 * compresses events: replicas keep them unpacked.
	 */
	w->guess = !ev->end_pos;
	w->at.pos = ev->end_pos ? ev->end_pos : w->at.pos + ev->size;
	return true;
}

/* What a master sends in front of the place where it goes on, if that was asked for by GTID. */
static bool is_preface(const struct binlog_event *ev)
{
	switch (ev->type) {
	case BINLOG_ROTATE:
	case BINLOG_PREVIOUS_GTIDS:
	case BINLOG_GTID_LIST:
	case BINLOG_CHECKPOINT:
	case BINLOG_HEARTBEAT:
	case BINLOG_HEARTBEAT_V2: return true;
	default: return false;
	}
}

/* An event that goes beyond the position; when there is none in front of it, that is in an older
 * relay log. */
static bool passed(const struct walk *w, size_t i, struct err *e)
{
	return err_set(e, ERR_PRECOND, w->inside ? FIND_NO_EVENT : FIND_PURGED,
	        "%s: no event ends at %s:%llu, but one goes on to %llu",
	        w->s->logs->files.items[i].path, w->s->file, (unsigned long long)w->s->pos,
	        (unsigned long long)w->at.pos);
}

static bool look_at(struct walk *w, size_t i, const struct binlog_event *ev, struct err *e)
{
	bool same;
	int c;

	if (w->s->go_on && ++w->events % ASK_EVERY == 0 && !w->s->go_on(w->s->go_on_ctx, e))
		return false;
	if (!moves(w, ev))
		return true;
	c = cmp(&w->at, w->s->file, w->s->pos, &same);
	if (w->found && w->guessed && !w->guess && same && c <= 0)
		w->found = false;
	if (same && c == 0 && !w->found) {
		w->found = true;
		w->guessed = w->guess;
		w->place.index = i;
		w->place.offset = ev->offset + ev->size;
		w->place.nothing_follows = true;
	} else if (is_preface(ev)) {
		return true;
	} else if (w->found) {
		w->place.nothing_follows = false;
		w->guessed &= w->guess;
	} else if (same && c > 0 && !w->guess) {
		return passed(w, i, e);
	}
	w->inside = true;
	return true;
}

/* Up to the event behind the place, or to the end of the relay log. */
static bool walk_log(struct walk *w, size_t i, struct err *e)
{
	struct relay_log l;
	struct binlog_event ev;
	enum binlog_next n = BINLOG_EVENT;
	struct err why = { 0 };
	bool ok = open_log(w->s, i, &l, e);

	while (ok && !(w->found && !w->place.nothing_follows && !w->guessed) &&
	        (n = binlog_next(l.b, &ev, &why)) == BINLOG_EVENT)
		ok = look_at(w, i, &ev, e);
	close_log(&l);
	if (!ok || w->found || n == BINLOG_END)
		return ok;
	if (e)
		*e = why;
	return err_ctx(e, "%s", w->s->logs->files.items[i].path);
}

/* From relay log i on, which begins there in the source. */
static bool walk_from(struct walk *w, size_t i, const struct at *begins, struct err *e)
{
	const struct logs *logs = w->s->logs;

	*w = (struct walk){ .s = w->s, .at = *begins, .events = w->events };
	w->place.from = i;
	memcpy(w->place.source_file, begins->file, sizeof(w->place.source_file));
	if (!logs_have_no_gap(logs, i, e))
		return false;
	for (; i < logs->files.len && (!w->found || w->place.nothing_follows || w->guessed); i++)
		if (!walk_log(w, i, e))
			return false;
	return w->found ||
	       err_set(e, ERR_PRECOND, FIND_NOT_YET,
	               "the relay logs end at %s:%llu, before %s:%llu", w->at.file,
	               (unsigned long long)w->at.pos, w->s->file, (unsigned long long)w->s->pos);
}

/* The newest relay log that begins at or before the position, unless its first event is beyond. */
bool find_place(const struct find_spec *s, struct find_place *ret, struct err *e)
{
	struct walk w = { .s = s };
	struct at begins = { .pos = 0 };
	bool same;

	for (size_t i = s->logs->files.len; i-- > 0;) {
		struct err why = { 0 };

		if (!read_head(s, i, &begins, e) ||
		        (i == 0 && !begins.file[0] && !guess_first(s, &begins, e)))
			return false;
		if (!begins.file[0] || cmp(&begins, s->file, s->pos, &same) > 0 || !same)
			continue;
		if (walk_from(&w, i, &begins, &why)) {
			*ret = w.place;
			return true;
		}
		if (why.code != FIND_PURGED) {
			if (e)
				*e = why;
			return false;
		}
	}
	return err_set(e, ERR_PRECOND, FIND_PURGED,
	        "no relay log reaches back to %s:%llu: the oldest, %s, begins at %s:%llu", s->file,
	        (unsigned long long)s->pos, s->logs->files.items[0].name,
	        begins.file[0] ? begins.file : "?", (unsigned long long)begins.pos);
}
