/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rejoin_tell - what was found, what is to be done, what came of it.  Runs on: loop, worker.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "rejoin_impl.h"

enum { SHOWN = 20 }; /* lines of tables and statements */

/* ---- errant transactions, gathered ---- */

static void add_to(json_t *sum, const char *what, const json_t *d)
{
	static const char *const kinds[] = { "insert", "update", "delete" };
	json_t *at = json_object_get(sum, what);

	if (!at) {
		at = json_pack("{s:i, s:i, s:i, s:i}", "transactions", 0, "insert", 0, "update", 0,
		        "delete", 0);
		json_object_set_new(sum, what, at);
	}
	json_object_set_new(at, "transactions",
	        json_integer(json_integer_value(json_object_get(at, "transactions")) + 1));
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		json_object_set_new(at, kinds[i],
		        json_integer(json_integer_value(json_object_get(at, kinds[i])) +
		                     json_integer_value(json_object_get(d, kinds[i]))));
}

static void add_details(json_t *tables, json_t *statements, const struct rejoin_txn *t)
{
	json_t *all = t->details ? json_loads(t->details, 0, NULL) : NULL;
	const json_t *d;
	size_t i;

	json_array_foreach (all, i, d) {
		const char *table = json_string_value(json_object_get(d, "table"));
		const char *sql = json_string_value(json_object_get(d, "statement"));

		if (table)
			add_to(tables, table, d);
		else if (sql)
			add_to(statements, sql, d);
	}
	json_decref(all);
}

/* "2026-11-20 12:03:04" */
static const char *time_text(int64_t at, char *buf, size_t size)
{
	time_t t = (time_t)at;
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(buf, size, "%Y-%m-%d %H:%M:%S", &tm);
	return buf;
}

static void times_of(const struct rejoin *r, int64_t *first, int64_t *last)
{
	*first = *last = 0;
	for (size_t i = 0; r->errant && i < r->own.all.len; i++) {
		int64_t at = r->own.all.items[i].time;

		if (!r->errant[i])
			continue;
		if (!*first || at < *first)
			*first = at;
		if (at > *last)
			*last = at;
	}
}

static void gather(const struct rejoin *r, json_t *tables, json_t *statements)
{
	for (size_t i = 0; r->errant && i < r->own.all.len; i++)
		if (r->errant[i])
			add_details(tables, statements, &r->own.all.items[i]);
}

static void table_lines(json_t *tables, struct str *to)
{
	const char *name;
	const json_t *t;
	size_t n = 0;

	json_object_foreach (tables, name, t)
		if (n++ < SHOWN)
			str_addf(to,
			        "%s: %lld inserted, %lld updated, %lld deleted, in %lld "
			        "transactions\n",
			        name, json_integer_value(json_object_get(t, "insert")),
			        json_integer_value(json_object_get(t, "update")),
			        json_integer_value(json_object_get(t, "delete")),
			        json_integer_value(json_object_get(t, "transactions")));
	if (n > SHOWN)
		str_addf(to, "and %zu more tables\n", n - SHOWN);
}

static void statement_lines(json_t *statements, struct str *to)
{
	const char *sql;
	const json_t *t;
	size_t n = 0;

	json_object_foreach (statements, sql, t)
		if (n++ < SHOWN)
			str_addf(to, "%lld x %s\n",
			        json_integer_value(json_object_get(t, "transactions")), sql);
	if (n > SHOWN)
		str_addf(to, "and %zu more statements\n", n - SHOWN);
}

char *rj_errant_text(const struct rejoin *r)
{
	AUTO_STR struct str s = STR_INIT;
	json_t *tables = json_object(), *statements = json_object();
	int64_t first, last;
	char a[32], b[32];

	gather(r, tables, statements);
	table_lines(tables, &s);
	statement_lines(statements, &s);
	json_decref(tables);
	json_decref(statements);
	times_of(r, &first, &last);
	if (first)
		str_addf(&s, "from %s to %s\n", time_text(first, a, sizeof(a)),
		        time_text(last, b, sizeof(b)));
	if (r->errant_gtids && *r->errant_gtids)
		str_addf(&s, "%.300s\n", r->errant_gtids);
	if (!r->own_known)
		str_add(&s, "not all of them could be looked at\n");
	else if (r->errant_empty)
		str_add(&s, "they change no rows\n");
	return str_take(&s);
}

static json_t *list_json(const struct rejoin *r)
{
	json_t *list = json_array();

	for (size_t i = 0; r->errant && i < r->own.all.len; i++) {
		const struct rejoin_txn *t = &r->own.all.items[i];

		if (r->errant[i])
			json_array_append_new(list,
			        json_pack("{s:s?, s:s, s:I, s:I, s:o*}", "gtid", t->gtid, "file",
			                r->own.files.items[t->file], "end", (json_int_t)t->end,
			                "time", (json_int_t)t->time, "touches",
			                t->details ? json_loads(t->details, 0, NULL) : NULL));
	}
	return list;
}

json_t *rj_errant_json(const struct rejoin *r)
{
	json_t *tables = json_object(), *statements = json_object();
	int64_t first, last;

	gather(r, tables, statements);
	times_of(r, &first, &last);
	return json_pack("{s:I, s:b, s:b, s:s, s:I, s:I, s:o, s:o, s:o}", "count",
	        (json_int_t)r->n_errant, "known", r->own_known, "change_no_rows",
	        r->own_known && r->errant_empty, "gtids", r->errant_gtids ? r->errant_gtids : "",
	        "first_time", (json_int_t)first, "last_time", (json_int_t)last, "tables", tables,
	        "statements", statements, "transactions", list_json(r));
}

/* ---- the whole ---- */

static void text_errant(const struct rejoin *r, struct str *to)
{
	AUTO(free) char *all = NULL;

	if (!r->n_errant)
		return;
	all = rj_errant_text(r);
	str_addf(to, "Transactions of its own: %llu\n", (unsigned long long)r->n_errant);
	for (const char *p = all; *p; p += strcspn(p, "\n"), p += *p == '\n')
		str_addf(to, "  %.*s\n", (int)strcspn(p, "\n"), p);
	if (r->saved && r->saved_path[0])
		str_addf(to, "  saved: %s\n", r->saved_path);
}

static void text_place(const struct rejoin *r, struct str *to)
{
	if (r->mode == TOPOLOGY_GTID_MYSQL)
		str_add(to, "Goes on: by auto-position\n");
	else if (r->start_gtid)
		str_addf(to, "Goes on: behind %s\n", *r->start_gtid ? r->start_gtid : "nothing");
	else if (r->start.file[0])
		str_addf(to, "Goes on: at %s:%llu%s\n", r->start.file,
		        (unsigned long long)r->start.pos,
		        r->proven ? ", proven by the logs of both" : "");
	if (r->lacking)
		str_addf(to, "Lacks: %llu transactions\n", (unsigned long long)r->lacking);
	if (r->o.clone && r->donor)
		str_addf(to, "Its data: a copy of %s, by %s\n", r->donor->hostinfo,
		        provision_name(r->how));
}

static void text_steps(struct rejoin *r, struct str *to)
{
	size_t n = rejoin_plan()->n;

	if (!r->o.dry || r->already)
		return;
	str_add(to, "Steps:\n");
	for (size_t i = 0; i < n; i++) {
		const struct run_step *s = &rejoin_plan()->steps[i];

		if (r->compared && s->when && !s->when(r))
			continue;
		str_addf(to, "  %-10s %s\n", s->name, s->title);
	}
}

char *rejoin_text(struct rejoin *r)
{
	AUTO_STR struct str s = STR_INIT;
	const struct err *e = run_error(r->run);

	str_addf(&s, "Rejoin of %s", r->o.target->hostinfo);
	if (r->master)
		str_addf(&s, " as a slave of %s", r->master->conf->hostinfo);
	str_addc(&s, '\n');
	if (e->kind != ERR_NONE) {
		str_addf(&s, "%s: %s\n", r->o.dry ? "It would be refused" : "It ended with",
		        e->text);
		if (e->hint[0])
			str_addf(&s, "  %s\n", e->hint);
	} else if (r->already) {
		str_addf(&s, "It is that already, and replicates: %s.\n",
		        r->report.already ? "there is nothing to do"
		                          : "only the ring is left to be closed");
	}
	text_errant(r, &s);
	text_place(r, &s);
	text_steps(r, &s);
	return str_take(&s);
}

static json_t *error_json(const struct err *e)
{
	if (e->kind == ERR_NONE)
		return json_null();
	return json_pack("{s:s, s:i, s:s, s:s}", "kind", err_kind_name(e->kind), "code", e->code,
	        "text", e->text, "hint", e->hint);
}

static json_t *steps_json(const struct rejoin *r)
{
	json_t *list = json_array();
	size_t n;
	const struct run_record *all = run_records(r->run, &n);

	for (size_t i = 0; i < n; i++)
		json_array_append_new(
		        list, json_pack("{s:s, s:s, s:s, s:I}", "name", all[i].step->name, "title",
		                      all[i].step->title, "state", run_state_name(all[i].state),
		                      "ms", (json_int_t)(all[i].ended - all[i].begun)));
	return list;
}

json_t *rejoin_json(const struct rejoin *r)
{
	size_t n;
	const char *const *warnings = run_warnings(r->run, &n);
	json_t *notes = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(notes, json_string(warnings[i]));
	return json_pack("{s:s, s:s, s:s?, s:s, s:s?, s:b, s:o, s:o, s:s, s:I, s:{s:s, s:I}, s:s, "
	                 "s:I, s:s, s:s?, s:s?, s:o, s:o}",
	        "cluster", r->conf->name, "server", r->o.target->hostinfo, "master",
	        r->master ? r->master->conf->hostinfo : NULL, "mode", topology_mode_name(r->mode),
	        "result", r->o.dry ? NULL : run_result_name(r->report.result), "already",
	        r->already, "error", error_json(run_error(r->run)), "errant", rj_errant_json(r),
	        "missing", r->missing, "lacking", (json_int_t)r->lacking, "start", "file",
	        r->start.file, "pos", (json_int_t)r->start.pos, "start_gtid",
	        r->start_gtid ? r->start_gtid : "", "proven", (json_int_t)r->proven, "doubt",
	        r->doubt, "saved", r->saved ? r->saved_path : NULL, "donor",
	        r->donor ? r->donor->hostinfo : NULL, "steps", steps_json(r), "notes", notes);
}
