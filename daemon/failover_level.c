/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * failover_level - phase 3: save what only the dead master has, and bring the new one level.  Runs on:
 * worker.
 */
#include "failover_impl.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "clock.h"
#include "hook.h"
#include "log.h"
#include "str.h"

enum { SHUTDOWN_KILLED = 10 };

/* ---- saving ---- */

FO_WHEN(fo_may_save)
{
	const struct failover *f = ctx;

	return f->ssh && !f->o.skip_save && !f->rewound;
}

FO_WHEN(fo_has_log)
{
	const struct failover *f = ctx;

	return fo_may_save(ctx) || (f->n_binlogs && !f->o.skip_save);
}

/*
 * The earliest place from which on somebody may need the dead master's log.  By GTID only the new master
 * needs it, the others then read from him, if he logs what he applies.
 */
static bool needs_log(const struct failover *f, const struct fo_server *s)
{
	return fo_is_slave(s) && (s == f->fresh || fo_levels_all(f));
}

bool fo_levels_all(const struct failover *f)
{
	return !fo_by_gtid(f) || f->fresh->topo->snap->log_replica_updates == TRI_NO;
}

static bool have_by_position(const struct failover *f, struct catchup_have *h)
{
	const struct snapshot_channel *first = NULL;

	for (size_t i = 0; i < f->n; i++) {
		const struct fo_server *s = &f->servers[i];
		const struct snapshot_channel *ch = s->topo ? s->topo->channel : NULL;

		if (!needs_log(f, s) || !ch || !ch->exec_file)
			continue;
		if (!first || snapshot_pos_cmp(ch->exec_file, ch->exec_pos, first->exec_file,
		                      first->exec_pos) < 0)
			first = ch;
	}
	if (!first)
		return false;
	*h = (struct catchup_have){ .file = first->exec_file, .pos = first->exec_pos };
	return true;
}

/* What each of those who need it has executed: received is not enough, since that may be cut. */
static char *have_by_gtid(const struct failover *f)
{
	struct gtid_set *common = NULL;
	char *text;

	for (size_t i = 0; i < f->n; i++) {
		const struct fo_server *s = &f->servers[i];
		struct gtid_set *both;

		if (!needs_log(f, s) || !s->topo->snap->executed)
			continue;
		both = common ? gtid_set_intersect(common, s->topo->snap->executed)
		              : gtid_set_dup(s->topo->snap->executed);
		gtid_set_free(common);
		common = both;
	}
	text = common ? gtid_set_format(common) : NULL;
	gtid_set_free(common);
	return text;
}

static void note_place(struct run_io *io, const struct catchup_have *h, struct fo_place *ret)
{
	snprintf(ret->file, sizeof(ret->file), "%s", h->file ? h->file : "");
	ret->pos = h->pos;
	run_note(io, "from_file", json_string(ret->file));
	run_note(io, "from_pos", json_integer((json_int_t)ret->pos));
}

/* `h` borrows what *ret_gtids owns. */
static bool what_they_have(
        const struct failover *f, struct catchup_have *h, char **ret_gtids, struct err *e)
{
	const struct topology_server *latest = fo_latest_slave(f);

	*h = (struct catchup_have){ .pos = 0 };
	if (!fo_by_gtid(f))
		return have_by_position(f, h) ||
		       err_set(e, ERR_PRECOND, 0, "where to begin is not known");
	h->gtids = *ret_gtids = have_by_gtid(f);
	h->newest = latest && latest->channel ? latest->channel->read_file : NULL;
	return true;
}

static bool save_from(
        struct failover *f, const struct catchup_place *p, struct run_io *io, struct err *e)
{
	AUTO(free) char *gtids = NULL;
	struct catchup_have h;

	if (!what_they_have(f, &h, &gtids, e))
		return false;
	note_place(io, &h, &f->saved_from);
	return catchup_save(p, &h, f->saved_path, run_deadline(io), &f->saved, e);
}

static struct catchup_place copy_at(const struct fo_server *s)
{
	return (struct catchup_place){ .kind = CATCHUP_BINLOG, .server = s->conf, .door = s->door };
}

/* Whoever of the binlog servers has most; those that cannot be read are told. */
static const struct fo_server *longest_copy(struct failover *f, struct run_io *io)
{
	AUTO(free) char *gtids = NULL;
	const struct fo_server *best = NULL;
	struct catchup_found most = { .bytes = 0 };
	struct catchup_have h;

	if (!what_they_have(f, &h, &gtids, NULL))
		return NULL;
	for (size_t i = 0; i < f->n_binlogs; i++) {
		struct catchup_place p = copy_at(f->binlogs[i]);
		struct catchup_found found;
		struct err why = { 0 };

		if (!catchup_count(&p, &h, run_deadline(io), &found, &why)) {
			run_warn(io, "binlog server %s: %s", p.server->hostname, why.text);
		} else if (!best || (found.end_file[0] &&
		                            (!most.end_file[0] ||
		                                    snapshot_pos_cmp(found.end_file, found.end_pos,
		                                            most.end_file, most.end_pos) > 0))) {
			best = f->binlogs[i];
			most = found;
		}
	}
	return best;
}

/* Copies of the dead master's log on other hosts, when its own cannot be read: the longest is taken. */
static bool save_from_binlog_servers(struct failover *f, struct run_io *io, struct err *e)
{
	const struct fo_server *s = f->n_binlogs ? longest_copy(f, io) : NULL;
	struct err why = { 0 };

	if (s) {
		struct catchup_place p = copy_at(s);

		if (save_from(f, &p, io, &why)) {
			log_info("Saved from binlog server %s", s->conf->hostname);
			f->saved_copy = true;
			run_note(io, "copy", json_true());
			return true;
		}
		run_warn(io, "binlog server %s: %s", s->conf->hostname, why.text);
	}
	if (f->n_binlogs && !f->o.ignore_binlog_server_error)
		return err_set(e, ERR_REMOTE, 0, "none of the binlog servers could be read");
	return true;
}

/* What stands behind the last whole transaction was never committed there, or the crash took its end. */
static void tell_cut(struct failover *f, struct run_io *io)
{
	const struct catchup_found *c = &f->saved;

	if (c->cut[0])
		run_warn(io,
		        "the log of %s ends with what is no whole transaction and is left out: %s",
		        f->dead->conf->hostinfo, c->cut);
}

FO_STEP(fo_save)
{
	struct failover *f = ctx;
	struct catchup_place disk = fo_disk(f);
	AUTO(free) char *text = NULL;
	struct err why = { 0 };

	f->has_saved = f->save_done = f->saved_copy = false;
	run_untouched(io);
	if (!fo_may_save(f) || !save_from(f, &disk, io, &why)) {
		/* It could be read, and it is us who cannot keep it: that is no reason to lose it. */
		if (why.kind == ERR_SYSTEM) {
			if (e)
				*e = why;
			return err_hint(e, "make room or rights for it on this host");
		}
		if (fo_may_save(f))
			run_warn(io, "the dead master's binlog could not be saved: %s", why.text);
		if (!save_from_binlog_servers(f, io, e))
			return false;
		if (!f->saved.transactions && f->dead->conf->max_loss && *f->dead->conf->max_loss &&
		        !f->o.allow_loss) {
			if (e)
				*e = why;
			return err_hint(e, "mhactl failover --allow-loss goes on without it");
		}
	}
	f->save_done = true;
	f->has_saved = f->saved.transactions > 0;
	text = catchup_text(&f->saved);
	log_info("Saved from the dead master: %s%s%s", text, f->has_saved ? ", in " : "",
	        f->has_saved ? f->saved_path : "");
	tell_cut(f, io);
	run_note(io, "saved", catchup_json(&f->saved));
	return true;
}

FO_STEP(fo_is_saved)
{
	struct failover *f = ctx;
	struct stat st;

	(void)io;
	if (!f->has_saved)
		return f->save_done || err_set(e, ERR_PRECOND, 0, "not tried");
	if (stat(f->saved_path, &st) != 0)
		return err_sys(e, "%s", f->saved_path);
	return (uint64_t)st.st_size == f->saved.bytes ||
	       err_set(e, ERR_PRECOND, 0, "%s has %lld bytes instead of %llu", f->saved_path,
	               (long long)st.st_size, (unsigned long long)f->saved.bytes);
}

/* ---- power ---- */

FO_WHEN(fo_has_shutdown)
{
	const struct failover *f = ctx;

	return hook_is_set(f->dead->conf->shutdown_script);
}

FO_STEP(fo_power_off)
{
	struct failover *f = ctx;
	AUTO(hook) struct hook *h = hook_shutdown(f->dead->conf, f->ssh);
	struct err why = { 0 };
	char code[HOOK_CODE_MAX];

	f->power_done = false;
	if (fo_call_hook(f, h, io, f->dead->conf->hook_timeout, &why)) {
		fo_report(f, "Power off %s.", f->dead->conf->hostname);
		f->powered_off = true;
		f->fenced = FENCE_DONE;
		snprintf(f->fenced_why, sizeof(f->fenced_why),
		        "shutdown_script says that its power "
		        "is off");
	} else if (hook_status(&why) == SHUTDOWN_KILLED) {
		fo_report(f, "SSH reachable on %s. Shutting down mysqld done.",
		        f->dead->conf->hostname);
		if (f->fenced != FENCE_DONE) {
			f->fenced = FENCE_DONE;
			snprintf(f->fenced_why, sizeof(f->fenced_why),
			        "shutdown_script says that it ended the server");
		}
	} else {
		fo_report(f, "Failed to execute shutdown_script with return code %s",
		        hook_code(&why, code));
		if (e)
			*e = why;
		return err_ctx(e, "shutdown_script");
	}
	f->power_done = true;
	run_note(io, "off", json_boolean(f->powered_off));
	run_note(io, "fenced", json_integer(f->fenced));
	run_note(io, "fenced_why", json_string(f->fenced_why));
	return true;
}

/* Now is the last chance to ask for proof. */
FO_STEP(fo_is_powered_off)
{
	struct failover *f = ctx;

	(void)io;
	if (!f->power_done)
		return err_set(e, ERR_PRECOND, 0, "the script has not said so");
	if (f->fenced == FENCE_DONE || f->o.force || f->dead->conf->fence == CONF_FENCE_BEST_EFFORT)
		return true;
	err_set(e, ERR_PRECOND, 0, "it is not proven that %s is closed (%s), and fence=required",
	        f->dead->conf->hostinfo, f->fenced_why);
	return err_hint(e, "mhactl failover --force overrides");
}

/* ---- the most advanced slaves' relay logs ---- */

static bool is_behind(const struct failover *f, const struct fo_server *s)
{
	const struct topology_server *latest = fo_latest_slave(f);

	return latest && needs_log(f, s) && elect_received_cmp(f->topology, latest, s->topo) > 0;
}

/* A copy may end before what the most advanced slave has received. */
static bool reaches_latest(const struct failover *f)
{
	const struct topology_server *latest = fo_latest_slave(f);
	const struct snapshot_channel *ch = latest ? latest->channel : NULL;

	return !f->saved_copy || !ch || !ch->read_file ||
	       snapshot_pos_cmp(f->saved.end_file, f->saved.end_pos, ch->read_file, ch->read_pos) >=
	               0;
}

/* With the dead master's log in hand nothing of theirs is needed. */
FO_WHEN(fo_needs_diff)
{
	const struct failover *f = ctx;

	if (f->save_done && f->saved.end_file[0] && reaches_latest(f))
		return false;
	for (size_t i = 0; i < f->n; i++)
		if (is_behind(f, &f->servers[i]))
			return true;
	return false;
}

/* One of those who have received most is enough. */
static bool diff_from_any(
        struct failover *f, const struct catchup_have *h, struct run_io *io, struct err *e)
{
	const struct topology_server *latest = fo_latest_slave(f);
	struct err why = { 0 };

	for (size_t i = 0; i < f->n; i++) {
		struct fo_server *s = &f->servers[i];
		struct catchup_place p = {
			.kind = CATCHUP_RELAY, .server = s->conf, .door = s->door
		};

		if (!fo_is_slave(s) || elect_received_cmp(f->topology, s->topo, latest) != 0)
			continue;
		p.snap = s->topo->snap;
		p.channel = s->topo->channel;
		if (catchup_save(&p, h, f->diff_path, run_deadline(io), &f->diff, &why)) {
			fo_report(f, "The latest slave %s has all relay logs for recovery.",
			        s->conf->hostinfo);
			return true;
		}
		log_warning("%s: %s", s->conf->hostinfo, why.text);
	}
	if (e)
		*e = why;
	return false;
}

/* The earliest place behind `than` (NULL: of all) up to which somebody who needs it has executed. */
static const struct snapshot_channel *next_start(
        const struct failover *f, const struct snapshot_channel *than)
{
	const struct snapshot_channel *best = NULL;

	for (size_t i = 0; i < f->n; i++) {
		const struct fo_server *s = &f->servers[i];
		const struct snapshot_channel *ch = s->topo ? s->topo->channel : NULL;

		if (!needs_log(f, s) || !ch || !ch->exec_file ||
		        (than && snapshot_pos_cmp(ch->exec_file, ch->exec_pos, than->exec_file,
		                         than->exec_pos) <= 0))
			continue;
		if (!best || snapshot_pos_cmp(ch->exec_file, ch->exec_pos, best->exec_file,
		                     best->exec_pos) < 0)
			best = ch;
	}
	return best;
}

/*
 * From the slave on that is furthest behind; when relay logs do not reach back so far, from the next one:
 * whoever is left behind is set aside later.
 */
static bool diff_by_position(struct failover *f, struct run_io *io, struct err *e)
{
	const struct snapshot_channel *ch = NULL;
	struct err why = { 0 };

	while ((ch = next_start(f, ch))) {
		const struct snapshot_channel *mine = f->fresh->topo->channel;
		struct catchup_have h = { .file = ch->exec_file, .pos = ch->exec_pos };

		if (snapshot_pos_cmp(ch->exec_file, ch->exec_pos, mine->exec_file, mine->exec_pos) >
		        0)
			break;
		note_place(io, &h, &f->diff_from);
		if (diff_from_any(f, &h, io, &why))
			return true;
	}
	if (e)
		*e = why;
	return false;
}

static bool diff_by_gtid(struct failover *f, struct run_io *io, struct err *e)
{
	AUTO(free) char *gtids = have_by_gtid(f);

	return diff_from_any(f, &(struct catchup_have){ .gtids = gtids }, io, e);
}

FO_STEP(fo_diff)
{
	struct failover *f = ctx;
	AUTO(free) char *text = NULL;
	struct err why = { 0 };

	run_untouched(io);
	f->has_diff = false;
	f->diff_done = fo_by_gtid(f) ? diff_by_gtid(f, io, &why) : diff_by_position(f, io, &why);
	if (!f->diff_done) {
		fo_report(f, "None of the latest slaves has enough relay logs for recovery.");
		if (is_behind(f, f->fresh)) {
			if (e)
				*e = why;
			return err_hint(e,
			        "--new_master_host=%s makes that slave the master, if it may be",
			        fo_latest_slave(f)->snap->conf->hostname);
		}
		note_place(io, &(struct catchup_have){ .pos = 0 }, &f->diff_from);
		run_warn(
		        io, "slaves that have received less cannot be brought level: %s", why.text);
		return f->diff_done = true;
	}
	f->has_diff = f->diff.transactions > 0;
	run_note(io, "diff", catchup_json(&f->diff));
	text = catchup_text(&f->diff);
	log_info("Fetched from the latest slave's relay logs: %s", text);
	return true;
}

FO_STEP(fo_has_diff)
{
	struct failover *f = ctx;
	struct stat st;

	(void)io;
	if (!f->has_diff)
		return f->diff_done || err_set(e, ERR_PRECOND, 0, "not tried");
	return stat(f->diff_path, &st) == 0 || err_sys(e, "%s", f->diff_path);
}

/* ---- level ---- */

static bool is_before(const char *file, uint64_t pos, const char *than, uint64_t than_pos)
{
	return !*file || snapshot_pos_cmp(file, pos, than, than_pos) < 0;
}

static bool has_gtid(const struct gtid_set *s, const char *gtid)
{
	AUTO(gtid) struct gtid_set *one = gtid_set_parse(gtid_set_dialect(s), gtid, NULL);

	return one && gtid_set_contains(s, one);
}

/*
 * Whether it lacks something of what was fetched, now that its own relay logs are applied: what a file has
 * beyond what it received whole.
 */
static bool lacks(
        struct failover *f, struct repl *r, const struct catchup_found *c, int64_t deadline)
{
	struct repl_now now;
	struct repl_position at = { .pos = 0 };
	bool has;

	if (!repl_look(r, deadline, &now, NULL))
		return true;
	if (!fo_by_gtid(f))
		return !c->end_file[0] || !now.read_file[0] ||
		       is_before(now.read_file, now.read_pos, c->end_file, c->end_pos);
	has = repl_position(r, deadline, &at, NULL) && at.executed && c->last[0] &&
	      has_gtid(at.executed, c->first) && has_gtid(at.executed, c->last);
	repl_position_done(&at);
	return !has;
}

static size_t files_for(
        struct failover *f, struct repl *r, bool all, int64_t deadline, const char **paths)
{
	size_t n = 0;

	if (f->has_diff && (all || lacks(f, r, &f->diff, deadline)))
		paths[n++] = f->diff_path;
	if (f->has_saved && (all || lacks(f, r, &f->saved, deadline)))
		paths[n++] = f->saved_path;
	return n;
}

/*
 * Position mode: what was fetched must begin where it stands, or it must stand where the new master does.
 * All else would leave a hole that nobody sees.
 */
static bool is_covered(const struct failover *f, const struct fo_server *s, struct err *e)
{
	const struct snapshot_channel *ch = s->topo->channel;
	const struct fo_place *p = f->save_done && f->saved.end_file[0] ? &f->saved_from
	                           : f->diff_done                       ? &f->diff_from
	                                                                : NULL;

	if (fo_by_gtid(f) || (!is_behind(f, s) && !fo_is_below_level(f, s)))
		return true;
	if (p && p->file[0] && ch->exec_file &&
	        !is_before(ch->exec_file, ch->exec_pos, p->file, p->pos))
		return true;
	return err_set(e, ERR_PRECOND, 0,
	        "what it lacks, from %s:%llu on, is in no relay log that is left",
	        ch->exec_file ? ch->exec_file : "?", (unsigned long long)ch->exec_pos);
}

static bool bring(struct failover *f, struct fo_server *s, const char *const *paths, size_t n,
        int64_t deadline, struct err *e)
{
	AUTO(free) char *channel = xstrdup(repl_channel(s->repl));
	struct catchup_target t = {
		.server = s->conf, .door = s->door, .channel = channel, .run = f->run_name
	};

	if (!repl_stop_sql(s->repl, deadline, e))
		return false;
	catchup_applied_done(&s->applied);
	if (!catchup_bring(&t, paths, n, deadline, &s->applied, e))
		return false;
	log_info("%s: %llu transactions were applied, %llu were there already (%s)",
	        s->conf->hostinfo, (unsigned long long)s->applied.transactions,
	        (unsigned long long)s->applied.had, s->applied.applier);
	return true;
}

/*
 * First what it has itself, whole transactions only, then what was fetched.  What was fetched may overlap
 * with it: mha-node leaves out what the server has.  A slave that is late on purpose would take its time:
 * what was fetched has all of it.
 */
bool fo_level(struct failover *f, struct fo_server *s, struct run_io *io, struct err *e)
{
	int64_t deadline = fo_until(io, s->conf->catchup_timeout);
	struct repl *r = fo_repl(s, deadline, e);
	const char *paths[2];
	struct repl_now now;
	bool late;
	size_t n;

	if (!r || !is_covered(f, s, e) || !repl_look(r, deadline, &now, e))
		return false;
	/* A server that was restarted since starts it by itself. */
	if (now.is_replica && now.io != IO_NO && !repl_stop_io(r, deadline, e))
		return false;
	late = now.delay > 0 && (f->has_diff || f->has_saved);
	/* Stopped in a crash, a parallel applier has gaps behind its position. */
	if (!late && !now.sql_running && !fo_by_gtid(f) && s->topo->snap->parallel_workers > 0 &&
	        !repl_fill_gaps(r, deadline, e))
		return false;
	if (!late && (!repl_start_sql(r, deadline, e) || !repl_wait_applied(r, NULL, deadline, e)))
		return err_ctx(e, "apply the relay logs it has");
	n = files_for(f, r, late, deadline, paths);
	if (n && !bring(f, s, paths, n, deadline, e))
		return false;
	s->leveled = true;
	return true;
}

FO_STEP(fo_apply)
{
	struct failover *f = ctx;

	if (fo_level(f, f->fresh, io, e)) {
		fo_report(f, "%s: OK: Applying all logs succeeded.", f->fresh->conf->hostinfo);
		return true;
	}
	fo_report(f, "Recovering master server failed.");
	return err_at(e, f->fresh->conf->hostinfo);
}

/* Its applier goes on; what it was given cannot be taken back. */
FO_STEP(fo_unapply)
{
	struct failover *f = ctx;
	unsigned long long n = f->fresh ? f->fresh->applied.transactions : 0;
	int64_t deadline = fo_until(io, 20000);
	struct repl *r = f->fresh ? fo_repl(f->fresh, deadline, e) : NULL;
	struct repl_now now;

	if (!f->fresh)
		return true;
	if (!r || !repl_look(r, deadline, &now, e) ||
	        (now.is_replica && !now.sql_running && !repl_start_sql(r, deadline, e)))
		return err_ctx(e, "the applier of %s", f->fresh->conf->hostinfo);
	return !n ||
	       err_set(e, ERR_PRECOND, 0, "%s was given %llu transactions that it had not received",
	               f->fresh->conf->hostinfo, n);
}

static bool is_at_end(const struct failover *f, const struct repl_now *now)
{
	return snapshot_pos_cmp(
	               now->exec_file, now->exec_pos, f->saved.end_file, f->saved.end_pos) >= 0;
}

/* Whether it has, by the world's word, all that is in our hands. */
FO_STEP(fo_is_level)
{
	struct failover *f = ctx;
	int64_t deadline = fo_until(io, 10000);
	struct repl *r = fo_repl(f->fresh, deadline, e);
	struct repl_now now;

	if (!f->fresh->leveled)
		return err_set(e, ERR_PRECOND, 0, "not tried");
	if (!r || !repl_look(r, deadline, &now, e))
		return false;
	if (!f->has_saved || !f->saved.end_file[0] || fo_by_gtid(f) || !now.is_replica)
		return true;
	/* While a parallel applier runs, MySQL 9 shows a position that lags behind what is done. */
	if (!is_at_end(f, &now) &&
	        (!repl_stop_sql(r, deadline, e) || !repl_look(r, deadline, &now, e)))
		return false;
	if (is_at_end(f, &now))
		return true;
	return err_set(e, ERR_PRECOND, 0, "%s has executed up to %s:%llu, and not up to %s:%llu",
	        f->fresh->conf->hostinfo, now.exec_file, (unsigned long long)now.exec_pos,
	        f->saved.end_file, (unsigned long long)f->saved.end_pos);
}

/* A server that came back in the meantime may have written on, or cut its log. */
FO_STEP(fo_seen)
{
	struct failover *f = ctx;
	struct catchup_place disk = fo_disk(f);
	struct catchup_have h = { .file = f->saved.end_file, .pos = f->saved.end_pos };
	struct catchup_found more;
	struct err why = { 0 };

	if (f->powered_off || !f->saved.end_file[0])
		return true;
	if (!catchup_count(&disk, &h, fo_until(io, 30000), &more, &why)) {
		run_warn(io, "whether the dead master's log has changed could not be seen: %s",
		        why.text);
		return true;
	}
	if (!more.transactions)
		return true;
	log_warning("%s has written %llu more transactions", f->dead->conf->hostinfo,
	        (unsigned long long)more.transactions);
	return fo_save(ctx, io, e) && fo_apply(ctx, io, e) && fo_is_level(ctx, io, e);
}

/* People copy this line to attach the old master again. */
static void say_change(struct failover *f)
{
	const struct conf_server *m = f->fresh->conf;
	struct repl_source to = { .host = m->hostname,
		.port = (unsigned)m->port,
		.user = m->repl_user ? m->repl_user : "repl",
		.password = "xxx",
		.by = f->topology->mode == TOPOLOGY_GTID_MYSQL     ? REPL_BY_AUTO
		      : f->topology->mode == TOPOLOGY_GTID_MARIADB ? REPL_BY_SLAVE_POS
		                                                   : REPL_BY_POSITION,
		.file = f->position.file,
		.pos = f->position.pos };
	AUTO(free) char *text = repl_change_text(repl_dialect(f->fresh->repl), NULL, &to);

	log_info(" All other slaves should start replication from here. Statement should be: %s",
	        text);
}

FO_STEP(fo_record)
{
	struct failover *f = ctx;
	struct repl *r = fo_repl(f->fresh, run_deadline(io), e);
	uint64_t last = 0;

	if (!f->past && !fo_still_locked(f, io, e))
		return false;
	/* Killed since, it may have been opened: what was noted then is where the others begin. */
	if (f->has_position)
		return true;
	repl_position_done(&f->position);
	if (!r || !repl_position(r, fo_until(io, 10000), &f->position, e) ||
	        !repl_token(r, f->conf->name, fo_until(io, 5000), &last, e) ||
	        !fo_note_level(f, io, e))
		return false;
	f->has_position = true;
	if (!f->token)
		f->token = last + 1;
	run_note(io, "token", json_integer((json_int_t)f->token));
	run_note(io, "new_master", json_string(f->fresh->conf->id));
	run_note(io, "file", json_string(f->position.file));
	run_note(io, "pos", json_integer((json_int_t)f->position.pos));
	if (!f->position.file[0])
		return err_set(e, ERR_PRECOND, 0, "%s writes no binlog", f->fresh->conf->hostinfo);
	say_change(f);
	return true;
}
