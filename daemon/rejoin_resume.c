/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rejoin_resume - what is known of a rejoin that was killed: what it had found, and how far it came.  Runs on:
 * loop, but rj_note() on a worker.
 *
 * Once something was done that comparing again would not see through (empty transactions, a log that began anew,
 * a copy, a new source), what was found before counts.
 */
#include <stdio.h>
#include <stdlib.h>
#include "rejoin_impl.h"

void rj_note(struct rejoin *r, struct run_io *io)
{
	run_note(io, "n_errant", json_integer((json_int_t)r->n_errant));
	run_note(io, "errant_empty", json_boolean(r->errant_empty));
	run_note(io, "own_known", json_boolean(r->own_known));
	run_note(io, "gtids", json_string(r->errant_gtids ? r->errant_gtids : ""));
	run_note(io, "file", json_string(r->start.file));
	run_note(io, "pos", json_integer((json_int_t)r->start.pos));
	run_note(io, "start_gtid", json_string(r->start_gtid ? r->start_gtid : ""));
	run_note(io, "proven", json_integer((json_int_t)r->proven));
	run_note(io, "clone", json_boolean(r->o.clone));
	run_note(io, "errant", json_integer(r->o.errant));
	run_note(io, "own_file", json_string(r->saved_from.file));
	run_note(io, "own_pos", json_integer((json_int_t)r->saved_from.pos));
}

static const char *text(const json_t *facts, const char *name)
{
	const char *s = json_string_value(json_object_get(facts, name));

	return s ? s : "";
}

static void restore_start(struct rejoin *r, const json_t *facts)
{
	snprintf(r->start.file, sizeof(r->start.file), "%s", text(facts, "file"));
	r->start.pos = (uint64_t)json_integer_value(json_object_get(facts, "pos"));
}

static void restore_compare(struct rejoin *r, enum run_line line, const json_t *facts)
{
	if (line != RUN_ENDED_WELL)
		return;
	r->compared = true;
	r->n_errant = (uint64_t)json_integer_value(json_object_get(facts, "n_errant"));
	r->errant_empty = json_is_true(json_object_get(facts, "errant_empty"));
	r->own_known = json_is_true(json_object_get(facts, "own_known"));
	r->before.clone = json_is_true(json_object_get(facts, "clone"));
	r->before.errant = (enum rejoin_errant)json_integer_value(json_object_get(facts, "errant"));
	snprintf(r->saved_from.file, sizeof(r->saved_from.file), "%s", text(facts, "own_file"));
	r->saved_from.pos = (uint64_t)json_integer_value(json_object_get(facts, "own_pos"));
	r->proven = (size_t)json_integer_value(json_object_get(facts, "proven"));
	free(r->errant_gtids);
	r->errant_gtids = xstrdup(text(facts, "gtids"));
	free(r->start_gtid);
	r->start_gtid = xstrdup(text(facts, "start_gtid"));
	restore_start(r, facts);
}

static void restore_save(struct rejoin *r, enum run_line line, const json_t *facts)
{
	(void)facts;
	r->saved = line == RUN_ENDED_WELL;
}

/* What was begun is ended in the way it was asked for then. */
static void go_on_as_before(struct rejoin *r)
{
	r->acted = true;
	r->o.clone = r->before.clone;
	r->o.errant = r->before.errant;
}

static void restore_deed(struct rejoin *r, enum run_line line, const json_t *facts)
{
	(void)line;
	(void)facts;
	go_on_as_before(r);
}

static void restore_provision(struct rejoin *r, enum run_line line, const json_t *facts)
{
	go_on_as_before(r);
	r->provisioned = line == RUN_ENDED_WELL;
	if (r->provisioned)
		restore_start(r, facts);
}

static void restore_run(struct rejoin *r, enum run_line line, const json_t *facts)
{
	(void)line;
	if (*text(facts, "saved"))
		snprintf(r->saved_path, sizeof(r->saved_path), "%s", text(facts, "saved"));
}

void rj_restore(void *ctx, const char *step, enum run_line line, const json_t *facts)
{
	static const struct {
		const char *step;
		void (*restore)(struct rejoin *r, enum run_line line, const json_t *facts);
	} all[] = {
		{ "", restore_run },
		{ "compare", restore_compare },
		{ "save", restore_save },
		{ "inject", restore_deed },
		{ "flashback", restore_deed },
		{ "reset", restore_deed },
		{ "provision", restore_provision },
		{ "follow", restore_deed },
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (str_is(step, all[i].step))
			all[i].restore(ctx, line, facts);
}
