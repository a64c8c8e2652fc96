/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_read - a file to its blocks, and the report of what is wrong with it.  Called by conf.c; the
 * readers of both formats call back here.  Runs on: any thread.
 */
#include "conf_internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS_MAX = 1000, PROBLEMS_MAX = 200 };

/* Foreign bytes go to terminals and logs. */
static void make_printable(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
	}
}

static bool is_told(const struct conf_report *r, const struct conf_problem *p)
{
	for (size_t i = 0; i < r->len; i++) {
		if (r->items[i].line == p->line && str_is(r->items[i].text, p->text) &&
		        str_is(r->items[i].file, p->file))
			return true;
	}
	return false;
}

bool conf_report_is_fatal(const struct conf_report *r)
{
	for (size_t i = 0; i < r->len; i++) {
		if (r->items[i].fatal)
			return true;
	}
	return false;
}

void conf_tell(struct conf_report *r, bool fatal, struct conf_origin at, const char *hint,
        const char *fmt, ...)
{
	struct conf_problem p = { .fatal = fatal, .line = at.line };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p.text, sizeof(p.text), fmt, ap);
	va_end(ap);
	snprintf(p.file, sizeof(p.file), "%s", at.file ? at.file : "");
	snprintf(p.hint, sizeof(p.hint), "%s", hint ? hint : "");
	make_printable(p.text);
	make_printable(p.hint);
	if (is_told(r, &p) || (r->len >= PROBLEMS_MAX && (!fatal || conf_report_is_fatal(r))))
		return;
	vec_push(r, p);
}

void conf_report_done(struct conf_report *r)
{
	vec_done(r);
}

struct conf_block *conf_block_get(
        struct conf_reader *r, enum conf_kind kind, const char *name, int line)
{
	struct conf_block *b;

	vec_each (struct conf_block *, it, &r->blocks) {
		if ((*it)->kind == kind && str_is((*it)->name, name))
			return *it;
	}
	if (r->blocks.len >= BLOCKS_MAX) {
		conf_tell(r->report, true, (struct conf_origin){ r->file, line }, NULL,
		        "More than %d sections", BLOCKS_MAX);
		return NULL;
	}
	b = ARENA_NEW(r->arena, struct conf_block);
	b->kind = kind;
	b->name = arena_strdup(r->arena, name);
	b->at = (struct conf_origin){ r->file, line };
	vec_push(&r->blocks, b);
	return b;
}

/* MHA accepts settings where they do nothing, so its files only get a warning. */
static bool has_effect(struct conf_reader *r, const struct conf_block *b, enum conf_key k, int line)
{
	enum conf_reach reach = conf_row(k)->reach;
	bool in_defaults = b->kind == CONF_KIND_DEFAULTS;

	if (reach == CONF_REACH_GLOBAL) {
		if (r->is_global && r->format == CONF_NATIVE)
			return true;
		conf_tell(r->report, r->format == CONF_NATIVE, (struct conf_origin){ r->file, line },
		        "move it into mhad.conf", "%s has no effect here", conf_key_name(k));
		return false;
	}
	if (reach != (in_defaults ? CONF_REACH_LOCAL : CONF_REACH_DEFAULTS))
		return true;
	conf_tell(r->report, r->format == CONF_NATIVE, (struct conf_origin){ r->file, line },
	        in_defaults ? "move it into the blocks of servers" : "move it into the defaults",
	        "%s has no effect here", conf_key_name(k));
	return false;
}

void conf_block_set(
        struct conf_reader *r, struct conf_block *b, const char *name, const char *text, int line)
{
	struct conf_origin at = { r->file, line };
	const char *nearest;
	char hint[80] = "";
	enum conf_key k;

	if (b->kind == CONF_KIND_UNUSED)
		return;
	if (!conf_key_find(name, &k)) {
		nearest = conf_key_nearest(name);
		if (nearest)
			snprintf(hint, sizeof(hint), "did you mean %s?", nearest);
		conf_tell(r->report, true, at, hint, "Parameter name %.80s is invalid!", name);
	} else if (has_effect(r, b, k, line)) {
		b->text[k] = arena_strdup(r->arena, text);
		b->origin[k] = at;
	}
}

/*
 * Passwords in a file that others can read: MHA's users have such files, mhad's own must be closed.
 * A group may read it: the service is not the owner of its configuration.
 */
static void check_mode(const struct conf_reader *r, mode_t mode)
{
	char hint[200];

	if (!(mode & 0037))
		return;
	snprintf(hint, sizeof(hint), "chmod 600 %s", r->file);
	vec_each (struct conf_block *, b, &r->blocks) {
		for (int k = 0; k < CONF_KEY_COUNT; k++) {
			if (conf_key_is_secret((enum conf_key)k) && (*b)->text[k] && *(*b)->text[k])
				conf_tell(r->report, r->format == CONF_NATIVE,
				        (struct conf_origin){ r->file, 0 }, hint,
				        "The file holds a password, and others may read it or its "
				        "group may change it (mode %04o)",
				        (unsigned)mode);
		}
	}
}

static void tell_unreadable(const struct conf_reader *r, bool may_miss, const struct err *e)
{
	struct conf_origin at = { r->file, 0 };

	if (!may_miss || e->code != ENOENT)
		conf_tell(r->report, true, at, e->hint, "%s", e->text);
	else if (r->format == CONF_MHA)
		conf_tell(r->report, false, at, NULL,
		        "Global configuration file %s not found. Skipping.", r->file);
}

bool conf_read(struct conf_reader *r, bool may_miss)
{
	struct err e = { 0 };
	size_t len = 0;
	mode_t mode = 0;
	char *bytes = conf_file_read(r->file, &len, &mode, &e);

	if (!bytes) {
		tell_unreadable(r, may_miss, &e);
		return false;
	}
	if (r->format == CONF_MHA)
		conf_mha_read(r, bytes, len);
	else
		conf_native_read(r, bytes, len);
	mem_wipe(bytes, len);
	free(bytes);
	check_mode(r, mode);
	return true;
}
