/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * switch_tell - what came of it: MHA's trees and last lines, the plan, JSON.  Runs on: loop and worker.
 */
#include "switch_impl.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "clock.h"
#include "log.h"

/* MHA's exit codes: 0, 10 for "done, but something is left", 1. */
static int exit_of(enum run_result r)
{
	return r == RUN_SUCCESS ? 0 : r == RUN_PARTIAL ? 10 : 1;
}

static bool has_left_out(const struct planned *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->servers[i].aside)
			return true;
	return false;
}

static int64_t refused_us(const struct planned *p)
{
	if (p->frozen_us && p->opened_us)
		return p->opened_us - p->frozen_us;
	return p->frozen_us && p->back_us ? p->back_us - p->frozen_us : -1;
}

static void say_window(const struct planned *p, const struct switch_report *r)
{
	if (r->refused_us < 0)
		return;
	if (!p->opened_us)
		log_info("Writes were refused for %.1f ms, then given back.",
		        (double)r->refused_us / 1000);
	else if (r->moved_us < 0)
		log_info("Writes were refused for %.1f ms.", (double)r->refused_us / 1000);
	else
		log_info("Writes were refused for %.1f ms; after %.1f ms the script had moved the "
		         "clients.",
		        (double)r->refused_us / 1000, (double)r->moved_us / 1000);
}

static void say_end(const struct planned *p, const struct switch_report *r)
{
	const char *who = p->fresh ? p->fresh->conf->hostinfo : "?";

	if (p->o.dry)
		return;
	say_window(p, r);
	if (r->result == RUN_SUCCESS)
		log_info("Switching master to %s completed successfully.", who);
	else if (r->result == RUN_PARTIAL)
		log_info(
		        "Switching master to %s done, but switching slaves partially failed.", who);
	else if (r->given_back)
		log_info("What was left of a switch that was killed is undone: the master is %s.",
		        p->orig ? p->orig->conf->hostinfo : "as it was");
	else if (r->result == RUN_UNDONE || r->result == RUN_REFUSED)
		log_error("Switching master failed, the master is %s as before.",
		        p->orig ? p->orig->conf->hostinfo : "?");
	else
		log_error(
		        "Switching master failed and needs a person: mhactl switch %s takes it up, "
		        "mhactl topology %s shows how it is.",
		        p->conf->name, p->conf->name);
}

void sw_finish_report(struct planned *p, enum run_result result)
{
	struct switch_report *r = &p->report;

	if (result == RUN_SUCCESS && has_left_out(p))
		result = RUN_PARTIAL;
	*r = (struct switch_report){ .result = result,
		.orig = switch_orig(p),
		.fresh = switch_fresh(p),
		.error = run_error(p->run),
		.exit = exit_of(result),
		.opened = p->is_open,
		.given_back =
		        p->resumed && !p->past && (result == RUN_UNDONE || result == RUN_REFUSED),
		.refused_us = refused_us(p),
		.moved_us = p->frozen_us && p->moved_us && sw_has_hook(p)
		                    ? p->moved_us - p->frozen_us
		                    : -1 };
	say_end(p, r);
}

/* ---- trees ---- */

static bool will_follow(const struct planned *p, const struct sw_server *s)
{
	return s->is_slave || (s == p->orig && (p->o.orig_is_new_slave || p->ring));
}

char *switch_trees(const struct planned *p)
{
	AUTO_STR struct str s = STR_INIT;

	str_addf(&s, "From:\n%s (current master)\n", p->orig->conf->hostinfo);
	for (size_t i = 0; i < p->n; i++)
		if (p->servers[i].is_slave || &p->servers[i] == p->fresh)
			str_addf(&s, " +--%s\n", p->servers[i].conf->hostinfo);
	str_addf(&s, "\nTo:\n%s (new master)\n", p->fresh->conf->hostinfo);
	for (size_t i = 0; i < p->n; i++)
		if (will_follow(p, &p->servers[i]))
			str_addf(&s, " +--%s\n", p->servers[i].conf->hostinfo);
	str_addc(&s, '\n');
	return str_take(&s);
}

/* ---- the plan ---- */

static const char *text_of(const char *s)
{
	return s ? s : "";
}

static void plan_servers(const struct planned *p, struct str *to)
{
	const struct election *v = p->election;

	for (size_t i = 0; v && i < v->n; i++) {
		const struct elect_candidate *c = &v->all[i];

		str_addf(to, "  %-28s%s%s%s%s\n", c->server->snap->conf->hostinfo,
		        c->candidate ? " candidate" : "",
		        c->server == v->chosen ? " would be the new master" : "",
		        c->bad ? " not eligible: " : "", text_of(c->bad));
		if (c->note)
			str_addf(to, "    %s\n", c->note);
	}
}

char *switch_plan_text(const struct planned *p)
{
	AUTO_STR struct str s = STR_INIT;
	AUTO(free) char *trees = p->orig && p->fresh ? switch_trees(p) : NULL;
	const struct err *e = run_error(p->run);

	str_addf(&s, "Switch of %s, master %s\n", p->conf->name,
	        p->orig ? p->orig->conf->hostinfo : "not known");
	if (e->kind != ERR_NONE) {
		str_addf(&s, "It would be refused: %s\n", e->text);
		if (e->hint[0])
			str_addf(&s, "  %s\n", e->hint);
	}
	if (p->fresh)
		str_addf(
		        &s, "New master: %s (%s)\n", p->fresh->conf->hostinfo, p->election->reason);
	plan_servers(p, &s);
	if (trees)
		str_addf(&s, "%s", trees);
	str_add(&s, "Steps:\n");
	for (size_t i = 0; i < switch_plan()->n; i++) {
		const struct run_step *step = &switch_plan()->steps[i];

		if (step->no_return)
			str_add(&s, "  -- point of no return --\n");
		str_addf(&s, "  %-10s %s\n", step->name, text_of(step->title));
	}
	return str_take(&s);
}

static json_t *servers_json(const struct planned *p)
{
	json_t *list = json_array();
	const struct election *v = p->election;

	for (size_t i = 0; v && i < v->n; i++) {
		const struct elect_candidate *c = &v->all[i];

		json_array_append_new(
		        list, json_pack("{s:s, s:b, s:s?, s:s?}", "server",
		                      c->server->snap->conf->hostinfo, "chosen",
		                      c->server == v->chosen, "bad", c->bad, "note", c->note));
	}
	return list;
}

static json_t *error_json(const struct err *e)
{
	if (e->kind == ERR_NONE)
		return json_null();
	return json_pack("{s:s, s:i, s:s, s:s}", "kind", err_kind_name(e->kind), "code", e->code,
	        "text", e->text, "hint", e->hint);
}

static const char *hostinfo_of(const struct conf_server *c)
{
	return c ? c->hostinfo : NULL;
}

json_t *switch_plan_json(const struct planned *p)
{
	json_t *steps = json_array();

	for (size_t i = 0; i < switch_plan()->n; i++)
		json_array_append_new(
		        steps, json_pack("{s:s, s:s}", "name", switch_plan()->steps[i].name,
		                       "title", text_of(switch_plan()->steps[i].title)));
	return json_pack("{s:s, s:s?, s:s?, s:o, s:o, s:o}", "cluster", p->conf->name, "master",
	        hostinfo_of(switch_orig(p)), "new_master", hostinfo_of(switch_fresh(p)), "refusal",
	        error_json(run_error(p->run)), "slaves", servers_json(p), "steps", steps);
}

/* ---- what was ---- */

static json_t *timeline(const struct planned *p)
{
	size_t n;
	const struct run_record *all = run_records(p->run, &n);
	int64_t zero = run_begun(p->run);
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		if (all[i].state == RUN_NOT_YET || all[i].state == RUN_SKIPPED)
			continue;
		json_array_append_new(
		        list, json_pack("{s:s, s:s, s:s, s:I, s:I, s:o}", "step", all[i].step->name,
		                      "title", text_of(all[i].step->title), "state",
		                      run_state_name(all[i].state), "from_ms",
		                      (json_int_t)(all[i].begun - zero), "ms",
		                      (json_int_t)(all[i].ended - all[i].begun), "error",
		                      error_json(&all[i].err)));
	}
	return list;
}

static json_t *ms_json(int64_t us)
{
	return us < 0 ? json_null() : json_real((double)us / 1000);
}

json_t *switch_json(const struct planned *p)
{
	const struct switch_report *r = &p->report;
	size_t n;
	const char *const *warnings = run_warnings(p->run, &n);
	json_t *notes = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(notes, json_string(warnings[i]));
	return json_pack("{s:i, s:s, s:s, s:s, s:I, s:s?, s:s?, s:s, s:b, s:o, s:o, s:o, s:o, s:o}",
	        "format", 1, "plan", "switch", "cluster", p->conf->name, "run", run_name(p->run),
	        "at", (json_int_t)time(NULL), "from", hostinfo_of(r->orig), "to",
	        hostinfo_of(r->fresh), "result", run_result_name(r->result), "given_back",
	        r->given_back, "error", error_json(r->error), "refused_ms", ms_json(r->refused_us),
	        "moved_ms", ms_json(r->moved_us), "timeline", timeline(p), "notes", notes);
}
