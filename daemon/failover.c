/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * failover - the table of steps, and a run's begin and end.  Runs on: loop.
 */
#include "failover_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include "clock.h"
#include "flap.h"
#include "guard.h"
#include "history.h"
#include "hookline.h"
#include "job.h"
#include "journal.h"
#include "link.h"
#include "log.h"
#include "loop.h"

#define SECOND 1000

/*
 * The order is the safety of it.  Nothing is changed before all has been looked at; the old master is
 * closed before the slaves stop listening to it, since a semi-sync master whose slaves are gone hangs
 * with its commits; its disk is read before the power goes; and the new master opens when it has all
 * there is.
 */
static const struct run_step steps[] = {
	{ "read", "Phase 1: Configuration Check Phase", "read all servers but the dead master",
	        .act = fo_read, .budget_ms = 20 * SECOND, .reads = true },
	{ "confirm", .title = "see that the dead master does not answer", .act = fo_confirm,
	        .budget_ms = 10 * SECOND, .reads = true, .beside = fo_any_time },
	{ "check", .title = "look for reasons not to fail over", .act = fo_check,
	        .budget_ms = 10 * SECOND, .reads = true },
	{ "lock", .title = "take the failover lock on every slave", .act = fo_lock,
	        .verify = fo_locked, .undo = fo_unlock, .budget_ms = 10 * SECOND },
	{ "count", .title = "count what only the dead master has", .act = fo_count,
	        .budget_ms = 600 * SECOND, .reads = true, .beside = fo_any_time },
	{ "elect", .title = "choose the new master", .act = fo_elect, .budget_ms = 5 * SECOND,
	        .reads = true },

	{ "vip_off", "Phase 2: Dead Master Shutdown Phase",
	        "take the service address from the dead master", .act = fo_vip_off,
	        .verify = fo_vip_is_off, .undo = fo_vip_stays_off, .budget_ms = 3600 * SECOND,
	        .changes = true },
	{ "close", .title = "if it still answers: refuse writes, end its clients", .act = fo_close,
	        .verify = fo_closed, .undo = fo_unclose, .budget_ms = 10 * SECOND,
	        .on_fail = RUN_WARN, .beside = fo_is_down },
	{ "fence", .title = "stop its server and hold it down", .act = fo_fence,
	        .verify = fo_fenced, .undo = fo_unfence, .budget_ms = 60 * SECOND,
	        .beside = fo_is_stuck },
	{ "freeze", .title = "stop the slaves' receivers, keep their relay logs", .act = fo_freeze,
	        .verify = fo_frozen, .undo = fo_thaw, .budget_ms = 60 * SECOND,
	        .beside = fo_is_down },

	{ "latest", "Phase 3: Master Recovery Phase\nPhase 3.1: Getting Latest Slaves Phase",
	        "see who has received most", .act = fo_latest, .budget_ms = 600 * SECOND,
	        .reads = true },
	{ "save", "Phase 3.2: Saving Dead Master's Binlog Phase",
	        "save what only the dead master has", .when = fo_has_log, .act = fo_save,
	        .verify = fo_is_saved, .budget_ms = 3600 * SECOND },
	{ "power_off", .title = "switch the dead master off", .when = fo_has_shutdown,
	        .act = fo_power_off, .verify = fo_is_powered_off, .budget_ms = 3600 * SECOND },
	{ "diff", "Phase 3.3: Determining New Master Phase",
	        "fetch what the new master lacks of another slave's relay logs",
	        .when = fo_needs_diff, .act = fo_diff, .verify = fo_has_diff,
	        .budget_ms = 3600 * SECOND },
	{ "apply", "Phase 3.5: Master Log Apply Phase", "bring the new master level",
	        .act = fo_apply, .verify = fo_is_level, .undo = fo_unapply,
	        .budget_ms = 7 * 24 * 3600 * SECOND },
	{ "seen", .title = "see that the dead master's log has not grown", .when = fo_may_save,
	        .act = fo_seen, .budget_ms = 600 * SECOND, .reads = true },
	{ "record", .title = "note where the new master's own log stands", .act = fo_record,
	        .budget_ms = 10 * SECOND, .reads = true },

	{ "detach", .title = "the new master is nobody's slave any more", .act = fo_detach,
	        .verify = fo_is_detached, .budget_ms = 30 * SECOND, .no_return = true },
	{ "open", .title = "the new master takes writes", .act = fo_open, .verify = fo_is_open,
	        .budget_ms = 60 * SECOND },
	{ "vip_on", .title = "give the service address to the new master", .act = fo_vip_on,
	        .verify = fo_vip_is_on, .budget_ms = 3600 * SECOND, .on_fail = RUN_GO_ON,
	        .beside = fo_any_time },
	{ "slaves", "Phase 4: Slaves Recovery Phase", "the other slaves follow the new master",
	        .when = fo_has_slaves, .act = fo_slaves, .verify = fo_all_follow,
	        .budget_ms = 7 * 24 * 3600 * SECOND, .on_fail = RUN_GO_ON, .beside = fo_any_time },
	{ "stays", .title = "see that the dead master stays down", .when = fo_is_fenced,
	        .act = fo_stays_down, .budget_ms = 60 * SECOND, .on_fail = RUN_WARN,
	        .beside = fo_any_time },

	{ "cleanup", "Phase 5: New master cleanup phase", "put settings back, leave marks",
	        .act = fo_cleanup, .verify = fo_is_clean, .budget_ms = 60 * SECOND,
	        .on_fail = RUN_GO_ON },
};

static const struct run_plan plan = { "failover", steps, ARRAY_LEN(steps) };

/* A dry run is what comes before the first change, without the locks. */
static const struct run_step dry_steps[] = {
	{ "read", .title = "read all servers but the dead master", .act = fo_read,
	        .budget_ms = 20 * SECOND, .reads = true },
	{ "confirm", .title = "see that the dead master does not answer", .act = fo_confirm,
	        .budget_ms = 10 * SECOND, .reads = true, .beside = fo_any_time },
	{ "check", .title = "look for reasons not to fail over", .act = fo_check,
	        .budget_ms = 10 * SECOND, .reads = true },
	{ "count", .title = "count what only the dead master has", .act = fo_count,
	        .budget_ms = 600 * SECOND, .reads = true },
	{ "elect", .title = "choose the new master", .act = fo_elect, .budget_ms = 5 * SECOND,
	        .reads = true },
};
static const struct run_plan dry_plan = { "failover", dry_steps, ARRAY_LEN(dry_steps) };

const struct run_plan *failover_plan(void)
{
	return &plan;
}

const char *fence_result_name(enum fence_result r)
{
	static const char *const names[] = { "not tried", "fenced", "unproven", "failed" };

	return names[r];
}

/* ---- begin ---- */

/* Masters first: of many links only so many are open. */
static void set_up_server(struct failover *f, struct fo_server *s, const struct conf_server *c)
{
	s->conf = c;
	s->semisync_source_was = TRI_UNKNOWN;
	s->link = link_new(f->env.links, c, &(struct link_opts){ .priority = 0 }, NULL, NULL);
	s->door = link_door(s->link);
}

static void set_up_servers(struct failover *f)
{
	f->n = f->conf->n_servers;
	f->servers = xzalloc(sizeof(*f->servers) * (f->n + 1));
	for (size_t i = 0; i < f->n; i++)
		set_up_server(f, &f->servers[i], f->conf->servers[i]);
	f->n_binlogs = f->conf->n_binlogs;
	f->binlogs = xzalloc(sizeof(*f->binlogs) * (f->n_binlogs + 1));
	for (size_t i = 0; i < f->n_binlogs; i++) {
		f->binlogs[i] = xzalloc(sizeof(**f->binlogs));
		set_up_server(f, f->binlogs[i], f->conf->binlogs[i]);
	}
	f->dead = fo_of(f, f->o.dead);
}

static struct link *link_of(void *arg, const struct conf_server *c)
{
	struct fo_server *s = fo_of(arg, c);

	return s ? s->link : NULL;
}

/* As MHA's manager did: made if it is missing, with all that is above it. */
static bool make_folder(const char *path)
{
	AUTO(free) char *part = xstrdup(path);

	for (char *p = part + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		mkdir(part, 0755);
		*p = '/';
	}
	mkdir(part, 0755);
	return access(part, W_OK) == 0;
}

/*
 * MHA's name for the saved events, so that people find them where they look for them; what cannot be
 * written there is kept with the journal: it must not be lost for want of a folder.
 */
static void name_files(struct failover *f)
{
	const struct conf_server *d = f->dead->conf;
	const char *dir = f->conf->servers[0]->manager_workdir;
	AUTO(free) char *own = NULL;
	char when[32];

	if (!f->o.dry && !make_folder(dir) && f->env.state_dir) {
		own = history_dir(f->env.state_dir, f->conf->name, NULL);
		dir = own ? own : dir;
	}
	clock_file_time(when, sizeof(when));
	f->saved_path = xasprintf(
	        "%s/saved_master_binlog_from_%s_%d_%s.binlog", dir, d->hostname, d->port, when);
	f->diff_path = xasprintf(
	        "%s/relay_from_read_to_latest_%s_%d_%s.binlog", dir, d->hostname, d->port, when);
}

static void close_server(struct fo_server *s)
{
	repl_close(s->repl);
	repl_unlock(s->lock);
	link_door_free(s->door);
	link_free(s->link);
	catchup_applied_done(&s->applied);
}

void failover_free(struct failover *f)
{
	if (!f)
		return;
	run_free(f->run);
	hookline_free(f->line);
	journal_close(f->journal);
	guard_free(f->guard);
	for (size_t i = 0; i < f->n; i++)
		close_server(&f->servers[i]);
	for (size_t i = 0; i < f->n_binlogs; i++) {
		close_server(f->binlogs[i]);
		free(f->binlogs[i]);
	}
	free(f->servers);
	free(f->binlogs);
	election_free(f->election);
	topology_free(f->topology);
	snapshot_free(f->snapshot);
	repl_position_done(&f->position);
	str_done(&f->subject);
	str_done(&f->body);
	free(f->saved_path);
	free(f->diff_path);
	free(f->run_name);
	pthread_mutex_destroy(&f->telling);
	free(f);
}

/*
 * Before anything is changed a master that is back is a reason to stop, and nothing else; from then on it is
 * closed, unless all of it is taken back.
 */
static bool may_be_closed(void *arg)
{
	const struct failover *f = arg;

	return f->guarding && !run_is_undoing(f->run);
}

static void was_closed(void *arg, bool was_open, const char *text)
{
	struct failover *f = arg;

	if (was_open)
		f->was_writable = true;
	if (*text)
		run_remark(f->run, text);
}

static void set_guard(struct failover *f)
{
	const struct guard_opts o = { .cluster = f->conf->name,
		.state_dir = f->env.state_dir,
		.by = f->o.by ? f->o.by : "failover",
		.may_close = may_be_closed,
		.closed = was_closed,
		.arg = f };

	f->guarding = run_state_of(f->run, "vip_off") != RUN_NOT_YET; /* taken up */
	f->guard = guard_new(f->env.loop, f->env.jobs, f->dead->conf, &o);
}

static void on_done(void *arg, struct run *r, enum run_result result)
{
	struct failover *f = arg;

	f->run = r;
	fo_finish_report(f, result);
	f->done(f->arg, f, &f->report);
}

static json_t *facts_of(const struct failover *f)
{
	return json_pack("{s:s, s:s, s:s, s:s*}", "dead", f->dead->conf->id, "saved", f->saved_path,
	        "diff", f->diff_path, "why", f->o.why);
}

/* What is unfinished must be about the same dead master. */
static bool is_same_dead(const struct journal *j, const struct conf_server *dead, struct err *e)
{
	const json_t *facts = json_object_get(json_array_get(journal_unfinished(j), 0), "facts");
	const char *id = json_string_value(json_object_get(facts, "dead"));

	if (!id || str_is(id, dead->id))
		return true;
	err_set(e, ERR_PRECOND, 0, "a failover of [%s] was begun and not finished", id);
	return err_hint(e, "take that one up first: name it with --dead_master_host");
}

bool failover_is_unfinished(const char *state_dir, const char *cluster)
{
	struct journal *j = state_dir ? journal_open(state_dir, cluster, NULL) : NULL;
	bool is = j && journal_unfinished(j);

	journal_close(j);
	return is;
}

const struct conf_server *failover_unfinished(const char *state_dir, const struct conf *c)
{
	struct journal *j = state_dir ? journal_open(state_dir, c->name, NULL) : NULL;
	const json_t *head = j ? json_array_get(journal_unfinished(j), 0) : NULL;
	const char *id = json_string_value(json_object_get(json_object_get(head, "facts"), "dead"));
	const struct conf_server *found = NULL;

	for (size_t i = 0; id && i < c->n_servers; i++)
		if (str_is(c->servers[i]->id, id))
			found = c->servers[i];
	journal_close(j);
	return found;
}

struct failover *failover_start(const struct failover_env *env, const struct conf *c,
        const struct failover_opts *o, failover_done_fn done, void *arg, struct err *e)
{
	struct failover *f = xzalloc(sizeof(*f));

	pthread_mutex_init(&f->telling, NULL);
	f->env = *env;
	f->o = *o;
	f->conf = c;
	f->done = done;
	f->arg = arg;
	if (env->state_dir && !o->dry) {
		f->journal = journal_open(env->state_dir, c->name, e);
		if (!f->journal) {
			failover_free(f);
			return NULL;
		}
	}
	if (f->journal && !is_same_dead(f->journal, o->dead, e)) {
		failover_free(f);
		return NULL;
	}
	f->run_name = journal_run_name();
	set_up_servers(f);
	name_files(f);
	if (!o->dry)
		f->line = hookline_new(env->loop, c, link_of, f, NULL);
	f->run = run_start(o->dry ? &dry_plan : &plan,
	        &(struct run_opts){ .loop = env->loop,
	                .jobs = env->jobs,
	                .journal = f->journal,
	                .run = f->run_name,
	                .cluster = c->name,
	                .facts = facts_of(f),
	                .quiet = o->quiet,
	                .done = on_done,
	                .arg = f },
	        f, fo_restore);
	if (!o->dry)
		set_guard(f);
	return f;
}

void failover_cancel(struct failover *f, const char *why)
{
	run_cancel(f->run, why);
}

const struct run *failover_run(const struct failover *f)
{
	return f->run;
}

const struct conf_server *failover_elected(const struct failover *f)
{
	return f->fresh ? f->fresh->conf : NULL;
}

char *failover_slave_hosts(const struct failover *f)
{
	AUTO_STR struct str s = STR_INIT;

	for (size_t i = 0; i < f->n; i++)
		if (f->servers[i].follows)
			str_addf(&s, "%s%s", s.len ? "," : "", f->servers[i].conf->hostname);
	return str_take(&s);
}

/* ---- what the steps share ---- */

struct fo_server *fo_of(struct failover *f, const struct conf_server *c)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->servers[i].conf == c)
			return &f->servers[i];
	return NULL;
}

bool fo_is_slave(const struct fo_server *s)
{
	const struct topology_server *t = s->topo;

	if (!t || s->aside || t->snap->state != SNAPSHOT_ALIVE)
		return false;
	if (s->past)
		return s->was_slave && t->channel;
	return !t->is_dead && t->is_slave && t->tier == 1 && t->role != TOPOLOGY_UNMANAGED;
}

bool fo_by_gtid(const struct failover *f)
{
	return f->topology && (f->topology->mode == TOPOLOGY_GTID_MYSQL ||
	                              f->topology->mode == TOPOLOGY_GTID_MARIADB);
}

void fo_set_aside(struct failover *f, struct fo_server *s, struct run_io *io, const char *fmt, ...)
{
	va_list ap;

	(void)f;
	va_start(ap, fmt);
	vsnprintf(s->why, sizeof(s->why), fmt, ap);
	va_end(ap);
	s->aside = true;
	run_warn(io, "%s is set aside: %s", s->conf->hostinfo, s->why);
}

void fo_report(struct failover *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	pthread_mutex_lock(&f->telling);
	str_vaddf(&f->body, fmt, ap);
	str_addc(&f->body, '\n');
	pthread_mutex_unlock(&f->telling);
	va_end(ap);
}

int64_t fo_until(const struct run_io *io, int64_t ms)
{
	return clock_sooner(run_deadline(io), clock_in(ms));
}

struct repl *fo_repl(struct fo_server *s, int64_t deadline, struct err *e)
{
	if (!s->repl)
		s->repl = repl_open(s->conf,
		        s->topo && s->topo->channel ? s->topo->channel->name : NULL, deadline, e);
	return s->repl;
}

struct each {
	struct failover *f;
	struct run_io *io;
	fo_each_fn fn;
	struct fo_server **items;
};

static bool each_one(void *arg, size_t i, struct err *e)
{
	struct each *a = arg;
	int64_t since = clock_ms();
	bool fine = a->fn(a->f, a->items[i], a->io, e);

	a->items[i]->took_ms = clock_ms() - since;
	return fine;
}

size_t fo_each_slave(struct failover *f, struct run_io *io, const struct fo_server *but,
        fo_each_fn fn, bool set_aside, struct err *e)
{
	AUTO(free) struct fo_server **items = xzalloc(sizeof(*items) * (f->n + 1));
	AUTO(free) struct err *errs = xzalloc(sizeof(*errs) * (f->n + 1));
	struct each a = { f, io, fn, items };
	size_t n = 0, failed;

	for (size_t i = 0; i < f->n; i++)
		if (fo_is_slave(&f->servers[i]) && &f->servers[i] != but)
			items[n++] = &f->servers[i];
	failed = fan_run(n, 0, each_one, &a, errs);
	for (size_t i = 0, first = 1; i < n && failed; i++) {
		if (errs[i].kind == ERR_NONE)
			continue;
		err_at(&errs[i], items[i]->conf->hostinfo);
		if (set_aside)
			fo_set_aside(f, items[i], io, "%s", errs[i].text);
		if (first && e)
			*e = errs[i];
		first = 0;
	}
	return failed;
}
