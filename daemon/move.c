/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * move - the table of steps, and a run's begin and end.  Runs on: loop.
 */
#include "move_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "history.h"
#include "journal.h"
#include "log.h"
#include "str.h"

#define SECOND 1000

/*
 * Locks come before anything stands still, acknowledgements before anybody leaves, and the slave is pointed
 * before its old source goes on: so the place that was proved cannot move under it.
 */
static const struct run_step steps[] = {
	{ "read", .title = "read all servers", .act = move_read, .budget_ms = 20 * SECOND,
	        .reads = true },
	{ "check", .title = "see that it can be proved to lose and repeat nothing",
	        .act = move_check, .budget_ms = 10 * SECOND, .reads = true },
	{ "lock", .title = "take the failover lock on the servers of the move", .act = move_lock,
	        .verify = move_locked, .undo = move_unlock, .budget_ms = 10 * SECOND },
	{ "acks", .title = "ask for fewer acknowledgements while one slave is away",
	        .when = move_is_acker, .act = move_acks, .verify = move_acks_fit,
	        .undo = move_unacks, .budget_ms = 10 * SECOND, .changes = true },
	{ "stop", .title = "stop what must stand still", .when = move_is_here, .act = move_stop,
	        .verify = move_stopped, .undo = move_unstop, .budget_ms = 60 * SECOND },
	{ "level", .title = "bring both to one same place", .when = move_is_here, .act = move_level,
	        .verify = move_is_level, .undo = move_unstop, .budget_ms = 24 * 3600 * SECOND },
	{ "prove", .title = "see that they are there, and name the place", .when = move_is_here,
	        .act = move_prove, .budget_ms = 20 * SECOND, .reads = true },
	{ "point", .title = "the slave gets its new source", .act = move_point,
	        .verify = move_is_pointed, .undo = move_unpoint, .budget_ms = 60 * SECOND },
	{ "resume", .title = "what stood still goes on", .act = move_resume, .verify = move_resumed,
	        .undo = move_unresume, .budget_ms = 60 * SECOND },
	{ "follow", .title = "the slave replicates from its new source", .act = move_follow,
	        .verify = move_follows, .undo = move_unfollow, .budget_ms = 90 * SECOND },
	{ "roles", .title = "semi-sync fits the new tree", .act = move_roles,
	        .budget_ms = 30 * SECOND, .on_fail = RUN_GO_ON, .no_return = true },
};

static const struct run_plan plan = { "move", steps, ARRAY_LEN(steps) };

const struct run_plan *move_plan(void)
{
	return &plan;
}

/* ---- the journal of before ---- */

static const struct conf_server *server_of(
        const struct move *m, const json_t *facts, const char *what)
{
	const char *id = json_string_value(json_object_get(facts, what));

	for (size_t i = 0; id && i < m->conf->n_servers; i++)
		if (str_is(m->conf->servers[i]->id, id))
			return m->conf->servers[i];
	return NULL;
}

/* What was begun is taken up, whatever is asked for now. */
static bool take_up(struct move *m, struct err *e)
{
	const json_t *head = json_array_get(journal_unfinished(m->journal), 0);
	const json_t *facts = json_object_get(head, "facts");

	m->resumed = m->stopped = true;
	m->child.conf = server_of(m, facts, "child");
	m->from.conf = server_of(m, facts, "from");
	m->to.conf = server_of(m, facts, "to");
	m->kind = (enum flatten_kind)json_integer_value(json_object_get(facts, "kind"));
	if (m->child.conf && m->from.conf && m->to.conf)
		return true;
	err_set(e, ERR_PRECOND, 0,
	        "a move was begun and not finished, and its servers are not configured any more");
	return err_hint(e, "see that all replicate, then move %s/journal away", m->journal_dir);
}

static void restore_place(const json_t *facts, const char *name, struct move_place *to)
{
	const json_t *p = json_object_get(facts, name);
	const char *file = json_string_value(json_object_get(p, "file"));

	if (!file)
		return;
	snprintf(to->file, sizeof(to->file), "%s", file);
	to->pos = (uint64_t)json_integer_value(json_object_get(p, "pos"));
}

static void restore(void *ctx, const char *step, enum run_line line, const json_t *facts)
{
	struct move *m = ctx;

	(void)step;
	(void)line;
	restore_place(facts, "place", &m->place);
	restore_place(facts, "back", &m->back);
	if (json_object_get(facts, "count_was"))
		m->count_was = json_integer_value(json_object_get(facts, "count_was"));
	m->source_was_on |= json_is_true(json_object_get(facts, "source_was_on"));
	m->replica_was_off |= json_is_true(json_object_get(facts, "replica_was_off"));
}

/* Another process may be at it, or one that was killed may have left it in the middle. */
static bool no_failover(const struct move *m, struct err *e)
{
	struct journal *j = journal_open(m->env.state_dir, m->conf->name, e);
	bool busy = j && journal_unfinished(j);

	if (busy) {
		err_set(e, ERR_PRECOND, 0, "a failover or switch of %s was begun and not finished",
		        m->conf->name);
		err_hint(e, "take that one up first, by the same command that began it");
	}
	journal_close(j);
	return j && !busy;
}

static struct journal *open_journal(const char *dir, struct err *e)
{
	return journal_open(dir, "move", e);
}

bool move_is_unfinished(const char *state_dir, const char *cluster)
{
	AUTO(free) char *dir = state_dir ? history_dir(state_dir, cluster, NULL) : NULL;
	struct journal *j = dir ? open_journal(dir, NULL) : NULL;
	bool is = j && journal_unfinished(j);

	journal_close(j);
	return is;
}

static bool set_up_journal(struct move *m, struct err *e)
{
	if (!m->env.state_dir)
		return true;
	if (!no_failover(m, e))
		return false;
	m->journal_dir = history_dir(m->env.state_dir, m->conf->name, e);
	m->journal = m->journal_dir ? open_journal(m->journal_dir, e) : NULL;
	return m->journal && (!journal_unfinished(m->journal) || take_up(m, e));
}

/* ---- begin and end ---- */

static void close_side(struct move_side *s)
{
	repl_close(s->repl);
	repl_unlock(s->lock);
}

void move_free(struct move *m)
{
	if (!m)
		return;
	run_free(m->run);
	journal_close(m->journal);
	close_side(&m->child);
	close_side(&m->from);
	close_side(&m->to);
	topology_free(m->topology);
	snapshot_free(m->snapshot);
	free(m->journal_dir);
	free(m->run_name);
	free(m);
}

static bool has_moved(const struct move *m, enum run_result result)
{
	return result == RUN_SUCCESS || result == RUN_PARTIAL ||
	       (result == RUN_FAILED && m->pointed);
}

static void on_done(void *arg, struct run *r, enum run_result result)
{
	struct move *m = arg;

	if (m->place.file[0])
		snprintf(m->place_text, sizeof(m->place_text), "%s:%llu", m->place.file,
		        (unsigned long long)m->place.pos);
	m->run = r;
	m->report = (struct move_report){ .result = result,
		.child = m->child.conf,
		.from = m->from.conf,
		.to = m->to.conf,
		.kind = m->kind,
		.resumed = m->resumed,
		.moved = has_moved(m, result),
		.error = run_error(r)->kind == ERR_NONE ? NULL : run_error(r),
		.took_ms = clock_ms() - run_begun(r),
		.stood_ms = m->stood_ms,
		.place = m->place_text };
	m->done(m->arg, m, &m->report);
}

static json_t *facts_of(const struct move *m)
{
	return json_pack("{s:s, s:s, s:s, s:i}", "child", m->child.conf->id, "from",
	        m->from.conf->id, "to", m->to.conf->id, "kind", (int)m->kind);
}

struct move *move_start(const struct move_env *env, const struct conf *c, const struct move_opts *o,
        move_done_fn done, void *arg, struct err *e)
{
	struct move *m = xzalloc(sizeof(*m));

	m->env = *env;
	m->o = *o;
	m->conf = c;
	m->done = done;
	m->arg = arg;
	m->child.conf = o->child;
	m->from.conf = o->from;
	m->to.conf = o->to;
	m->kind = o->kind;
	if (!set_up_journal(m, e)) {
		move_free(m);
		return NULL;
	}
	m->run_name = journal_run_name();
	m->run = run_start(&plan,
	        &(struct run_opts){ .loop = env->loop,
	                .jobs = env->jobs,
	                .journal = m->journal,
	                .run = m->run_name,
	                .cluster = c->name,
	                .facts = facts_of(m),
	                .done = on_done,
	                .arg = m },
	        m, restore);
	return m;
}

void move_cancel(struct move *m, const char *why)
{
	run_cancel(m->run, why);
}

const struct run *move_run(const struct move *m)
{
	return m->run;
}

static json_t *timeline(const struct run *r)
{
	size_t n;
	const struct run_record *all = run_records(r, &n);
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++)
		if (all[i].state != RUN_NOT_YET && all[i].state != RUN_SKIPPED)
			json_array_append_new(
			        a, json_pack("{s:s, s:s, s:I, s:s*}", "step", all[i].step->name,
			                   "state", run_state_name(all[i].state), "ms",
			                   (json_int_t)(all[i].ended - all[i].begun), "error",
			                   all[i].err.kind == ERR_NONE ? NULL : all[i].err.text));
	return a;
}

static json_t *warnings(const struct run *r)
{
	size_t n;
	const char *const *all = run_warnings(r, &n);
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(a, json_string(all[i]));
	return a;
}

json_t *move_json(const struct move *m)
{
	const struct move_report *r = &m->report;

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:s, s:I, s:I, s:o, s:o, s:s*}",
	        "result", run_result_name(r->result), "child", r->child->hostinfo, "from",
	        r->from->hostinfo, "to", r->to->hostinfo, "how", flatten_kind_name(r->kind),
	        "resumed", r->resumed, "moved", r->moved, "place", r->place ? r->place : "",
	        "took_ms", (json_int_t)r->took_ms, "stood_ms", (json_int_t)r->stood_ms, "timeline",
	        timeline(m->run), "warnings", warnings(m->run), "error",
	        r->error ? r->error->text : NULL);
}

/* ---- what the steps share ---- */

struct repl *move_repl(struct move_side *s, int64_t deadline, struct err *e)
{
	if (!s->repl)
		s->repl = repl_open(s->conf, s->is_slave ? s->channel : NULL, deadline, e);
	return s->repl;
}

int64_t move_until(const struct run_io *io, int64_t ms)
{
	return clock_sooner(run_deadline(io), clock_in(ms));
}

bool move_start_both(struct move_side *s, int64_t deadline, struct err *e)
{
	struct repl *r = move_repl(s, deadline, e);
	struct repl_now now;

	if (!r || !repl_look(r, deadline, &now, e))
		return false;
	return !now.is_replica || (repl_start_io(r, deadline, e) && repl_start_sql(r, deadline, e));
}

bool move_stop_both(struct move_side *s, int64_t deadline, struct err *e)
{
	struct repl *r = move_repl(s, deadline, e);

	return r && repl_stop_sql(r, deadline, e) && repl_stop_io(r, deadline, e);
}

bool move_is_at(const char *file, uint64_t pos, const struct move_place *p)
{
	return p->file[0] && snapshot_pos_cmp(file, pos, p->file, p->pos) == 0;
}

struct move_side *move_still(struct move *m)
{
	return m->kind == FLATTEN_UP ? &m->from : m->kind == FLATTEN_DOWN ? &m->to : NULL;
}
