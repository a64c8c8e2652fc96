/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * failover_resume - what is known of a run that was killed: what it noted, and how far it came.  Runs on:
 * loop, but fo_note_settings() on a worker.
 */
#include "failover_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include "hook.h"
#include "str.h"

/* ---- how the slaves were set ---- */

#define SETTINGS(X)                                                                                \
	X("relay_log_purge", purge_was_on, true, false)                                            \
	X("semisync_source", semisync_source_was, TRI_YES, TRI_UNKNOWN)                            \
	X("slaves", was_slave, true, false)                                                        \
	X("received", received, true, false)                                                       \
	X("current_pos", by_current_pos, true, false)

static void read_settings(struct fo_server *s)
{
	const struct snapshot_channel *ch = s->topo->channel;

	s->was_slave = true;
	s->purge_was_on = s->topo->snap->relay_log_purge == TRI_YES;
	s->semisync_source_was = s->topo->snap->semisync_source_enabled;
	s->received = ch && ch->io_running != IO_NO;
	s->by_current_pos = ch && ch->using_gtid == USING_GTID_CURRENT_POS;
}

/*
 * Before anything is changed, to be put back at the end.  What the journal knows of it is older than what
 * they say now, and counts.
 */
void fo_note_settings(struct failover *f, struct run_io *io)
{
	for (size_t i = 0; i < f->n && !f->has_settings; i++)
		if (fo_is_slave(&f->servers[i]))
			read_settings(&f->servers[i]);
	f->has_settings = true;
#define NOTE(name, member, on, off)                                                                \
	do {                                                                                       \
		json_t *list = json_array();                                                       \
		for (size_t i = 0; i < f->n; i++)                                                  \
			if (f->servers[i].member == (on))                                          \
				json_array_append_new(list, json_string(f->servers[i].conf->id));  \
		run_note(io, name, list);                                                          \
	} while (0);
	SETTINGS(NOTE)
#undef NOTE
}

static bool is_in(const json_t *list, const char *id)
{
	const json_t *item;
	size_t i;

	json_array_foreach (list, i, item)
		if (str_is(json_string_value(item), id))
			return true;
	return false;
}

static void restore_settings(struct failover *f, const json_t *facts)
{
	if (!json_object_get(facts, "relay_log_purge"))
		return;
	for (size_t i = 0; i < f->n; i++) {
		struct fo_server *s = &f->servers[i];

#define RESTORE(name, member, on, off)                                                             \
	s->member = is_in(json_object_get(facts, name), s->conf->id) ? (on) : (off);
		SETTINGS(RESTORE)
#undef RESTORE
	}
	f->has_settings = true;
}

/* ---- facts ---- */

static void restore_path(const json_t *facts, const char *name, char **to)
{
	const char *s = json_string_value(json_object_get(facts, name));

	if (s) {
		free(*to);
		*to = xstrdup(s);
	}
}

static void restore_text(const json_t *facts, const char *name, char *to, size_t size)
{
	const char *s = json_string_value(json_object_get(facts, name));

	if (s)
		snprintf(to, size, "%s", s);
}

static void restore_place(
        const json_t *facts, const char *file, const char *pos, struct fo_place *p)
{
	restore_text(facts, file, p->file, sizeof(p->file));
	p->pos = (uint64_t)json_integer_value(json_object_get(facts, pos));
}

static void restore_run(struct failover *f, enum run_line line, const json_t *facts)
{
	(void)line;
	restore_path(facts, "saved", &f->saved_path);
	restore_path(facts, "diff", &f->diff_path);
}

static void restore_read(struct failover *f, enum run_line line, const json_t *facts)
{
	if (line != RUN_ENDED_WELL || f->has_mode)
		return;
	f->has_mode = true;
	f->mode = (enum topology_mode)json_integer_value(json_object_get(facts, "mode"));
}

static void restore_count(struct failover *f, enum run_line line, const json_t *facts)
{
	if (line != RUN_BEGAN)
		restore_text(facts, "lost", f->loss, sizeof(f->loss));
}

static void restore_elected(struct failover *f, enum run_line line, const json_t *facts)
{
	(void)line;
	restore_settings(f, facts);
	restore_text(facts, "new_master", f->elected, sizeof(f->elected));
}

static void restore_vip_off(struct failover *f, enum run_line line, const json_t *facts)
{
	(void)facts;
	f->vip_called = hook_is_set(f->dead->conf->master_ip_failover_script);
	f->vip_off = line == RUN_ENDED_WELL;
}

static void restore_close(struct failover *f, enum run_line line, const json_t *facts)
{
	(void)line;
	f->was_writable |= json_is_true(json_object_get(facts, "was_writable"));
}

static void restore_fence(struct failover *f, enum run_line line, const json_t *facts)
{
	if (line == RUN_BEGAN)
		return;
	f->fenced = (enum fence_result)json_integer_value(json_object_get(facts, "fenced"));
	restore_text(facts, "fenced_why", f->fenced_why, sizeof(f->fenced_why));
}

/* Who was asked to stop is not known: thawing one that was not is harmless. */
static void restore_freeze(struct failover *f, enum run_line line, const json_t *facts)
{
	(void)line;
	(void)facts;
	for (size_t i = 0; i < f->n; i++)
		f->servers[i].frozen = &f->servers[i] != f->dead;
}

static void restore_save(struct failover *f, enum run_line line, const json_t *facts)
{
	f->save_done = line == RUN_ENDED_WELL &&
	               catchup_of_json(json_object_get(facts, "saved"), &f->saved);
	f->saved_copy = json_is_true(json_object_get(facts, "copy"));
	restore_place(facts, "from_file", "from_pos", &f->saved_from);
	f->has_saved = f->save_done && f->saved.transactions;
}

static void restore_power_off(struct failover *f, enum run_line line, const json_t *facts)
{
	f->power_done = line == RUN_ENDED_WELL;
	f->powered_off = json_is_true(json_object_get(facts, "off"));
	if (f->power_done)
		restore_fence(f, line, facts);
}

static void restore_diff(struct failover *f, enum run_line line, const json_t *facts)
{
	f->diff_done = line == RUN_ENDED_WELL;
	restore_place(facts, "from_file", "from_pos", &f->diff_from);
	f->has_diff = f->diff_done && catchup_of_json(json_object_get(facts, "diff"), &f->diff) &&
	              f->diff.transactions;
}

/* From here on another one would be brought level for nothing, or have less. */
static void restore_apply(struct failover *f, enum run_line line, const json_t *facts)
{
	(void)line;
	(void)facts;
	snprintf(f->pinned, sizeof(f->pinned), "%s", f->elected);
}

static void restore_record(struct failover *f, enum run_line line, const json_t *facts)
{
	if (line != RUN_ENDED_WELL)
		return;
	f->token = (uint64_t)json_integer_value(json_object_get(facts, "token"));
	restore_text(facts, "file", f->position.file, sizeof(f->position.file));
	f->position.pos = (uint64_t)json_integer_value(json_object_get(facts, "pos"));
	f->has_position = f->position.file[0];
	restore_place(facts, "level_file", "level_pos", &f->level);
	restore_place(facts, "known_file", "known_pos", &f->known);
}

static void restore_detach(struct failover *f, enum run_line line, const json_t *facts)
{
	(void)line;
	(void)facts;
	f->past = true;
	for (size_t i = 0; i < f->n; i++)
		f->servers[i].past = true;
}

static void restore_vip_on(struct failover *f, enum run_line line, const json_t *facts)
{
	(void)facts;
	f->vip_on = line == RUN_ENDED_WELL;
}

void fo_restore(void *ctx, const char *step, enum run_line line, const json_t *facts)
{
	static const struct {
		const char *step;
		void (*restore)(struct failover *f, enum run_line line, const json_t *facts);
	} all[] = {
		{ "", restore_run },
		{ "read", restore_read },
		{ "count", restore_count },
		{ "elect", restore_elected },
		{ "vip_off", restore_vip_off },
		{ "close", restore_close },
		{ "fence", restore_fence },
		{ "freeze", restore_freeze },
		{ "latest", restore_elected },
		{ "save", restore_save },
		{ "power_off", restore_power_off },
		{ "diff", restore_diff },
		{ "apply", restore_apply },
		{ "record", restore_record },
		{ "detach", restore_detach },
		{ "vip_on", restore_vip_on },
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (str_is(step, all[i].step))
			all[i].restore(ctx, line, facts);
}
