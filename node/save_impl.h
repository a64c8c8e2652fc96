/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * save_impl - what save.c (reading), save_have.c (what the receiver has) and save_hold.c (events that
 * wait for the end of their transaction) share; nobody else includes it.
 */
#pragma once
#include "save.h"
#include "str.h"
#include "vec.h"

/* A format description, as it was read. */
struct save_form {
	uint8_t *bytes; /* owned */
	size_t n;
	bool restart; /* of the source, since the receiver's place */
};

#define NOWHERE UINT64_MAX

/* Part of a transaction: a range of a file. */
struct save_piece {
	size_t file;
	uint64_t at, len;
	uint64_t form; /* number of the format that its events have */
};

struct save {
	const struct save_spec *spec;
	struct save_report r;
	struct binlog_writer w;
	struct gtid_set *have, *known; /* owned; known: have and what was seen since */
	struct gtid_set *previous;     /* owned */

	size_t i; /* file that is being read */
	int fd;
	struct binlog *b;
	struct binlog_txn txn;
	struct save_place at; /* in the source, behind the last event */
	unsigned at_name;     /* changes with at.file */
	uint64_t events;
	bool started;       /* behind the start position */
	bool unproven;      /* nothing tells what the files before the first one held */
	uint64_t whole_end; /* offset in this file */
	uint64_t anonymous; /* transactions without GTID since the last one that the receiver has */

	VEC(struct save_form)
	forms; /* since the first that a held event needs; the last one is in force */
	uint64_t forms_gone,
	        form_written;   /* numbers; form_written: behind the one in force there */
	unsigned named;         /* at_name of the file that the stream named last */
	struct save_place from; /* where the reading began; from_name is its at_name */
	unsigned from_name;

	/* The open transaction, if it is wanted. */
	bool wanted;
	struct save_place begins;
	unsigned begins_name, end_name; /* at_name of begins.file and of r.end.file */
	VEC(struct save_piece) pieces;
	uint64_t held_end;       /* of the last piece, in the file that is being read; or NOWHERE */
	struct save_piece ready; /* goes into the stream next, so that it gets few large portions */
};

/* save.c */
bool save_open_file(struct save *s, size_t i, struct err *e);

/* save_hold.c */

/* A format description; to be told before the events that it rules. */
void save_form_seen(struct save *s, const struct binlog_event *ev);
void save_forget_forms(struct save *s);

/* The names are compared by number: this is done for each transaction. */
void save_copy_place(
        struct save_place *to, unsigned *to_name, const struct save_place *from, unsigned name);

/* A transaction begins, at s->at: what was held of another is dropped. */
void save_begin(struct save *s, bool wanted);
bool save_hold_apart(struct save *s, const struct binlog_event *ev, struct err *e) MUST_USE;

/* An event of it; nearly always right behind the one before. */
static inline bool save_hold(struct save *s, const struct binlog_event *ev, struct err *e)
{
	if (ev->offset != s->held_end)
		return save_hold_apart(s, ev, e);
	s->pieces.items[s->pieces.len - 1].len += ev->size;
	s->held_end += ev->size;
	return true;
}

/* What is held is to be in the stream: all of the transaction has been seen, or nothing more can be. */
bool save_write_held(struct save *s, struct err *e) MUST_USE;
bool save_write_ready(struct save *s, struct err *e) MUST_USE; /* and at once */

/* save_have.c */

/* The sets of the specification, in the dialect of the open file. */
bool save_read_sets(struct save *s, struct err *e) MUST_USE;

/* What was before the first transaction of the open file: the last list in front of it, or NULL.
 * Returns owned. */
struct gtid_set *save_list_at_head(struct save *s);

/*
 * The newest file before which there was nothing that the receiver lacks.  A file that has no list
 * says nothing; a list that the receiver does not cover sends us to the file before.
 */
bool save_choose_first(struct save *s, size_t *ret, struct err *e) MUST_USE;

/* A transaction begins: is it wanted? */
bool save_decide(struct save *s, struct err *e) MUST_USE;

/* For transactions without GTID behind the last one that the receiver has.  Always false. */
bool save_refuse_anonymous(const struct save *s, struct err *e);
