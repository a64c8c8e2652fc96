/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * failover_tell - what came of it: MHA's report, the plan, the incident.  Runs on: loop.
 */
#include "failover_impl.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"
#include "str.h"

/* MHA's exit codes: 0, 10 for "done, but something is left", 1. */
static int exit_of(enum run_result r)
{
	return r == RUN_SUCCESS ? 0 : r == RUN_PARTIAL ? 10 : 1;
}

static bool has_left_out(const struct failover *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->servers[i].aside)
			return true;
	return false;
}

static void head(struct failover *f, struct str *to)
{
	const struct conf_server *d = f->dead->conf;
	const char *log = f->conf->servers[0]->manager_log;
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	str_addf(to, "Master %s is down!\n\nCheck MHA Manager logs at %s%s%s for details.\n\n",
	        d->hostinfo, host, log && *log ? ":" : "", log && *log ? log : "");
	str_addf(to, "Started %s failover.\n",
	        f->o.manual ? "manual(interactive)" : "automated(non-interactive)");
}

static void left_out(struct failover *f)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct fo_server *s = &f->servers[i];

		if (s->aside && !s->frozen)
			fo_report(f, "%s: ERROR: %s", s->conf->hostinfo,
			        s->topo && s->topo->is_dead
			                ? "Could not be reachable so couldn't recover."
			                : "Slave failed so couldn't recover.");
	}
}

static void tail(struct failover *f, enum run_result result)
{
	if (result == RUN_SUCCESS)
		fo_report(f, "Master failover to %s completed successfully.",
		        f->fresh->conf->hostinfo);
	else if (result == RUN_PARTIAL)
		fo_report(f, "Master failover to %s done, but recovery on slave partially failed.",
		        f->fresh->conf->hostinfo);
	else
		fo_report(f, "Got Error so couldn't continue failover from here.");
}

static const char *text_of(const char *s)
{
	return s ? s : "";
}

static bool has_no_way_back(const struct run_record *c)
{
	return (c->state == RUN_DONE || c->state == RUN_BROKEN) && c->step->act &&
	       !c->step->reads && !c->step->undo && !c->untouched;
}

/* Before it broke off something was changed, and this is what is left of that. */
static void not_undone(struct failover *f, enum run_result result)
{
	size_t n;
	const struct run_record *all = run_records(f->run, &n);
	bool back = result == RUN_FAILED || result == RUN_UNDONE;

	for (size_t i = 0; back && i < n && !all[i].step->no_return; i++)
		if (all[i].state == RUN_UNMADE && all[i].err.kind != ERR_NONE)
			fo_report(f, "Not undone: %s%s%s", all[i].err.text,
			        all[i].err.hint[0] ? "; " : "", all[i].err.hint);
		else if (has_no_way_back(&all[i]) && !f->opened)
			fo_report(f, "Not undone: %s", text_of(all[i].step->title));
}

/* What MHA did not say: how it is known that the old master is closed, and what may be lost. */
static void facts(struct failover *f, enum run_result result)
{
	size_t n;
	const char *const *warnings = run_warnings(f->run, &n);

	fo_report(f, "Old master %s: %s%s%s%s.", f->dead->conf->hostinfo,
	        fence_result_name(f->fenced), f->fenced_why[0] ? " (" : "", f->fenced_why,
	        f->fenced_why[0] ? ")" : "");
	fo_report(f, "Lost: %s.", f->loss[0] ? f->loss : "nothing that is known of");
	for (size_t i = 0; i < n; i++)
		if (!str_is(warnings[i], f->loss))
			fo_report(f, "Note: %s", warnings[i]);
	not_undone(f, result);
}

static const struct conf_server *other_half(const struct failover *f)
{
	const struct conf_server *d = f->dead->conf;

	for (size_t i = 0; d->double_master && i < f->n; i++)
		if (f->servers[i].conf != d && f->servers[i].conf->double_master)
			return f->servers[i].conf;
	return d->double_master || f->o.co_master == d ? NULL : f->o.co_master;
}

/* Double masters: what became of their ring, and how it is whole again. */
static void tell_ring(struct failover *f)
{
	const struct conf_server *d = f->dead->conf, *co = other_half(f), *m = f->fresh->conf;

	if (!co)
		return;
	if (co != m)
		fo_report(f,
		        "The ring of %s and %s is open: %s is the master now, and follows nobody. "
		        "For the pair "
		        "as it was: mhactl rejoin %s, mhactl switch --to=%s, mhactl ring close "
		        "--with=%s.",
		        d->hostinfo, co->hostinfo, m->hostinfo, d->hostname, co->hostname,
		        d->hostname);
	else if (!d->double_master || !m->double_master)
		fo_report(f,
		        "The ring of %s and %s is open: %s follows nobody. When the old master is "
		        "back: mhactl "
		        "rejoin %s, then mhactl ring close --with=%s.",
		        d->hostinfo, m->hostinfo, m->hostinfo, d->hostname, d->hostname);
	else
		fo_report(f,
		        "The ring of %s and %s is open: %s follows nobody until the old master is "
		        "its slave. "
		        "When that one is back: mhactl rejoin %s closes the ring, too%s.",
		        d->hostinfo, m->hostinfo, m->hostinfo, d->hostname,
		        d->auto_rejoin == CONF_REJOIN_CLEAN
		                ? "; mhad does so by itself if it is clean"
		                : "");
}

void fo_finish_report(struct failover *f, enum run_result result)
{
	AUTO_STR struct str all = STR_INIT;
	bool opened = f->opened || result == RUN_SUCCESS || result == RUN_PARTIAL;

	if (result == RUN_SUCCESS && has_left_out(f))
		result = RUN_PARTIAL;
	left_out(f);
	if (!f->o.dry)
		tail(f, result);
	facts(f, result);
	if (f->fresh && opened)
		tell_ring(f);
	head(f, &all);
	str_addn(&all, f->body.p, f->body.len);
	str_done(&f->body);
	str_addn(&f->body, all.p, all.len);
	str_addf(&f->subject, "%s: MySQL Master failover %s", f->conf->name,
	        f->dead->conf->hostinfo);
	if (f->fresh && opened)
		str_addf(&f->subject, " to %s", f->fresh->conf->hostinfo);
	if (result == RUN_SUCCESS)
		str_add(&f->subject, " succeeded");
	f->report = (struct failover_report){ .result = result,
		.dead = f->dead->conf,
		.new_master = opened && f->fresh ? f->fresh->conf : NULL,
		.fenced = f->fenced,
		.fenced_why = f->fenced_why,
		.error = run_error(f->run),
		.subject = f->subject.p,
		.body = f->body.p,
		.exit = exit_of(result),
		.begun = result != RUN_REFUSED,
		.opened = f->opened };
}

/* ---- the plan ---- */

static void plan_servers(const struct failover *f, struct str *to)
{
	const struct election *v = f->election;

	for (size_t i = 0; v && i < v->n; i++) {
		const struct elect_candidate *c = &v->all[i];
		const struct snapshot_channel *ch = c->server->channel;

		str_addf(to, "  %-28s %s:%llu%s%s%s%s\n", c->server->snap->conf->hostinfo,
		        ch && ch->read_file ? ch->read_file : "?",
		        ch ? (unsigned long long)ch->read_pos : 0ULL, c->latest ? ", latest" : "",
		        c->server == v->chosen ? ", would be the new master" : "",
		        c->bad ? ", not eligible: " : "", text_of(c->bad));
		if (c->note)
			str_addf(to, "    %s\n", c->note);
	}
}

char *failover_plan_text(const struct failover *f)
{
	AUTO_STR struct str s = STR_INIT;
	AUTO(free) char *tail_text = f->tail_known ? catchup_text(&f->tail) : NULL;
	const struct err *e = run_error(f->run);

	str_addf(&s, "Failover of %s, master %s\n", f->conf->name, f->dead->conf->hostinfo);
	if (e->kind != ERR_NONE) {
		str_addf(&s, "It would be refused: %s\n", e->text);
		if (e->hint[0])
			str_addf(&s, "  %s\n", e->hint);
	}
	if (f->election && f->election->chosen)
		str_addf(&s, "New master: %s (%s)\n", f->election->chosen->snap->conf->hostinfo,
		        f->election->reason);
	plan_servers(f, &s);
	if (tail_text)
		str_addf(&s, "Only the master has: %s\n", tail_text);
	str_addf(&s, "Would be lost: %s\n", f->loss[0] ? f->loss : "nothing that is known of");
	str_add(&s, "Steps:\n");
	for (size_t i = 0; i < failover_plan()->n; i++) {
		const struct run_step *step = &failover_plan()->steps[i];

		if (step->no_return)
			str_add(&s, "  -- point of no return --\n");
		str_addf(&s, "  %-10s %s\n", step->name, text_of(step->title));
	}
	return str_take(&s);
}

static json_t *servers_json(const struct failover *f)
{
	json_t *list = json_array();
	const struct election *v = f->election;

	for (size_t i = 0; v && i < v->n; i++) {
		const struct elect_candidate *c = &v->all[i];

		json_array_append_new(list,
		        json_pack("{s:s, s:b, s:b, s:s?, s:s?}", "server",
		                c->server->snap->conf->hostinfo, "latest", c->latest, "chosen",
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

json_t *failover_plan_json(const struct failover *f)
{
	json_t *steps = json_array();

	for (size_t i = 0; i < failover_plan()->n; i++)
		json_array_append_new(
		        steps, json_pack("{s:s, s:s}", "name", failover_plan()->steps[i].name,
		                       "title", text_of(failover_plan()->steps[i].title)));
	return json_pack("{s:s, s:s, s:s?, s:o, s:o, s:s, s:o, s:o}", "cluster", f->conf->name,
	        "master", f->dead->conf->hostinfo, "new_master",
	        f->election && f->election->chosen ? f->election->chosen->snap->conf->hostinfo
	                                           : NULL,
	        "refusal", error_json(run_error(f->run)), "only_the_master_has",
	        f->tail_known ? catchup_json(&f->tail) : json_null(), "lost", f->loss, "slaves",
	        servers_json(f), "steps", steps);
}

/* ---- the incident ---- */

static json_t *timeline(const struct failover *f)
{
	size_t n;
	const struct run_record *all = run_records(f->run, &n);
	int64_t zero = f->o.seen ? f->o.seen : run_begun(f->run);
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

/* Milliseconds since 1970, for those who put our figures beside others'. */
static json_int_t wall_of(int64_t instant)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (json_int_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 - (clock_ms() - instant);
}

json_t *failover_json(const struct failover *f)
{
	int64_t zero = f->o.seen ? f->o.seen : run_begun(f->run);
	size_t n;
	const char *const *warnings = run_warnings(f->run, &n);
	json_t *notes = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(notes, json_string(warnings[i]));
	return json_pack(
	        "{s:i, s:s, s:s, s:I, s:I, s:s, s:s?, s:s?, s:s, s:o, s:s, s:s, s:I, s:o, s:s, s:o, "
	        "s:o, s:o, s:s}",
	        "format", 1, "cluster", f->conf->name, "run", run_name(f->run), "at",
	        (json_int_t)time(NULL), "seen", wall_of(zero), "dead", f->dead->conf->hostinfo, "new_master",
	        f->report.new_master ? f->report.new_master->hostinfo : NULL, "why", f->o.why,
	        "result", run_result_name(f->report.result), "error", error_json(run_error(f->run)),
	        "fenced", fence_result_name(f->fenced), "fenced_why", f->fenced_why, "opened_ms",
	        f->opened ? (json_int_t)(f->opened - zero) : -1, "saved",
	        f->has_saved ? catchup_json(&f->saved) : json_null(), "lost", f->loss, "timeline",
	        timeline(f), "slaves", servers_json(f), "notes", notes, "report",
	        f->report.body ? f->report.body : "");
}
