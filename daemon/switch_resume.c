/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * switch_resume - what is known of a switch that was killed: the roles, what was before, how far it came.
 * Runs on: loop, but the sw_note functions on a worker.
 */
#include "switch_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include "clock.h"

/* ---- notes ---- */

static json_t *ids_of(const struct planned *p, bool (*is)(const struct sw_server *s))
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->n; i++)
		if (is(&p->servers[i]))
			json_array_append_new(list, json_string(p->servers[i].conf->id));
	return list;
}

static bool is_slave(const struct sw_server *s)
{
	return s->is_slave;
}

static bool is_by_current_pos(const struct sw_server *s)
{
	return s->by_current_pos;
}

static json_t *events_json(const struct planned *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->events.n; i++)
		json_array_append_new(list, json_string(p->events.names[i]));
	return list;
}

/*
 * Everything that a later process needs, in one place, before anything is changed.  The end of this step is
 * on disk when the next one, which changes something, begins.
 */
void sw_note_roles(struct planned *p, struct run_io *io)
{
	run_note(io, "orig", json_string(p->orig->conf->id));
	run_note(io, "fresh", json_string(p->fresh->conf->id));
	run_note(io, "slaves", ids_of(p, is_slave));
	run_note(io, "current_pos", ids_of(p, is_by_current_pos));
	run_note(io, "mode", json_integer(p->mode));
	run_note(io, "ring", json_boolean(p->ring));
	run_note(io, "fresh_was_open", json_boolean(p->fresh_was_open));
	run_note(io, "tx_was_on", json_boolean(p->tx_was_on));
	run_note(io, "orig_super", json_boolean(p->orig_super));
	run_note(io, "scheduler", json_boolean(p->scheduler_was_on));
	run_note(io, "checkpoint", json_integer(p->checkpoint_was));
	run_note(io, "semisync", json_boolean(p->semisync));
	run_note(io, "semisync_wait", json_integer(p->semisync_wait));
	run_note(io, "events", events_json(p));
	run_note(io, "token", json_integer((json_int_t)p->token));
}

static void note_place(struct run_io *io, const char *file, const char *pos, const char *gtids,
        const struct repl_position *at)
{
	AUTO(free) char *text = at->executed ? gtid_set_format(at->executed) : NULL;

	run_note(io, file, json_string(at->file));
	run_note(io, pos, json_integer((json_int_t)at->pos));
	run_note(io, gtids, json_string(text ? text : ""));
}

void sw_note_position(struct planned *p, struct run_io *io)
{
	note_place(io, "end_file", "end_pos", "end_gtids", &p->end);
	note_place(io, "file", "pos", "gtids", &p->position);
}

/* ---- and back ---- */

static bool is_in(const json_t *list, const char *id)
{
	const json_t *item;
	size_t i;

	json_array_foreach (list, i, item)
		if (str_is(json_string_value(item), id))
			return true;
	return false;
}

static bool is_true(const json_t *facts, const char *name)
{
	return json_is_true(json_object_get(facts, name));
}

static int64_t number(const json_t *facts, const char *name)
{
	return json_integer_value(json_object_get(facts, name));
}

static void restore_run(struct planned *p, const json_t *facts)
{
	p->resumed = true;
	p->o.orig_is_new_slave = is_true(facts, "orig_is_new_slave");
	p->o.skip_lock = is_true(facts, "skip_lock");
	p->o.remove_orig_conf = is_true(facts, "remove_orig_conf");
}

static void restore_events(struct planned *p, const json_t *list)
{
	const json_t *item;
	size_t i;

	repl_events_done(&p->events);
	p->events.names = xzalloc(sizeof(*p->events.names) * (json_array_size(list) + 1));
	json_array_foreach (list, i, item) {
		p->events.names[p->events.n++] = xstrdup(json_string_value(item));
	}
}

static void restore_roles(struct planned *p, const json_t *facts)
{
	if (!json_object_get(facts, "orig"))
		return;
	p->orig = sw_named(p, json_string_value(json_object_get(facts, "orig")));
	p->fresh = sw_named(p, json_string_value(json_object_get(facts, "fresh")));
	for (size_t i = 0; i < p->n; i++) {
		struct sw_server *s = &p->servers[i];

		s->is_slave = is_in(json_object_get(facts, "slaves"), s->conf->id);
		s->by_current_pos = is_in(json_object_get(facts, "current_pos"), s->conf->id);
	}
	p->mode = (enum topology_mode)number(facts, "mode");
	p->ring = is_true(facts, "ring");
	p->fresh_was_open = is_true(facts, "fresh_was_open");
	p->tx_was_on = is_true(facts, "tx_was_on");
	p->orig_super = is_true(facts, "orig_super");
	p->scheduler_was_on = is_true(facts, "scheduler");
	p->checkpoint_was = number(facts, "checkpoint");
	p->semisync = is_true(facts, "semisync");
	p->semisync_wait = number(facts, "semisync_wait");
	p->token = (uint64_t)number(facts, "token");
	restore_events(p, json_object_get(facts, "events"));
}

static void restore_place(struct planned *p, const json_t *facts, const char *file, const char *pos,
        const char *gtids, struct repl_position *at)
{
	const char *text = json_string_value(json_object_get(facts, gtids));
	const char *name = json_string_value(json_object_get(facts, file));

	repl_position_done(at);
	snprintf(at->file, sizeof(at->file), "%s", name ? name : "");
	at->pos = (uint64_t)number(facts, pos);
	at->executed = gtid_set_parse(
	        p->mode == TOPOLOGY_GTID_MYSQL ? GTID_MYSQL : GTID_MARIADB, text ? text : "", NULL);
}

static void restore_level(struct planned *p, const json_t *facts)
{
	if (!json_object_get(facts, "file"))
		return;
	restore_place(p, facts, "end_file", "end_pos", "end_gtids", &p->end);
	restore_place(p, facts, "file", "pos", "gtids", &p->position);
	p->has_position = true;
}

void sw_restore(void *ctx, const char *step, enum run_line line, const json_t *facts)
{
	static const char *const past[] = { "open", "start_hook", "clear", "detach", "slaves",
		"release", "orig", "role", "cleanup" };
	struct planned *p = ctx;

	if (!*step)
		restore_run(p, facts);
	else if (str_is(step, "sessions"))
		restore_roles(p, facts);
	else if (str_is(step, "level"))
		restore_level(p, facts);
	else if (str_is(step, "start_hook") && line == RUN_ENDED_WELL)
		p->moved_us = clock_us();
	for (size_t i = 0; i < ARRAY_LEN(past); i++)
		p->past |= str_is(step, past[i]);
}
