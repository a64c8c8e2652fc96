/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rejoin_do - the steps that change something.  Runs on: worker.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "catchup.h"
#include "clock.h"
#include "db.h"
#include "log.h"
#include "rejoin_impl.h"

static bool exec(struct rj_end *s, const char *sql, int64_t deadline, struct err *e)
{
	struct repl *r = rj_repl(s, deadline, e);
	struct db *db = r ? repl_db(r, deadline, e) : NULL;

	return db && db_exec(db, sql, e);
}

/* ---- saving what is its own ---- */

RJ_WHEN(rj_has_errant)
{
	const struct rejoin *r = ctx;

	return rj_has_work(ctx) && !r->acted &&
	       (r->n_errant || (r->o.clone && !r->compared && r->own.all.len));
}

/* Where the histories part is not known: then it is the last file with anything in it that may be its own. */
static void save_last_file(struct rejoin *r)
{
	const struct rejoin_txn *last = r->own.all.items + r->own.all.len - 1;

	if (r->compared || !r->own.all.len)
		return;
	snprintf(r->saved_from.file, sizeof(r->saved_from.file), "%s",
	        r->own.files.items[last->file]);
	r->saved_from.pos = 4;
}

static bool write_list(const struct rejoin *r, struct err *e)
{
	AUTO(free) char *path = xasprintf("%s.json", r->saved_path);
	json_t *all = rj_errant_json(r);
	bool fine = json_dump_file(all, path, JSON_INDENT(1)) == 0;

	json_decref(all);
	return fine || err_set(e, ERR_SYSTEM, errno, "%s cannot be written", path);
}

static bool save_events(struct rejoin *r, int64_t deadline, struct err *e)
{
	const struct catchup_place from = {
		.kind = CATCHUP_BINLOG, .server = r->o.target, .door = r->target->door
	};
	const struct catchup_have have = { .file = r->saved_from.file, .pos = r->saved_from.pos };
	struct catchup_found found;

	if (!catchup_save(&from, &have, r->saved_path, deadline, &found, e))
		return false;
	log_info("Saved %llu transactions to %s.", (unsigned long long)found.transactions,
	        r->saved_path);
	return true;
}

/* Only what is about to be dropped must be saved: empty ones stay where they are. */
RJ_STEP(rj_save)
{
	struct rejoin *r = ctx;
	struct err why = { 0 };

	save_last_file(r);
	if (r->saved_from.file[0] && save_events(r, run_deadline(io), &why) &&
	        write_list(r, &why)) {
		r->saved = true;
		run_note(io, "saved", json_string(r->saved_path));
		return true;
	}
	if (!why.kind)
		err_set(&why, ERR_PRECOND, 0, "they are not in its binlogs any more");
	if (!rj_object(r, io, e, "--force goes on without",
	            "what %s has of its own could not be saved: %s", r->o.target->hostinfo,
	            why.text))
		return false;
	return r->saved = true;
}

RJ_STEP(rj_is_saved)
{
	struct rejoin *r = ctx;

	(void)io;
	return r->saved || err_set(e, ERR_PRECOND, 0, "not saved yet");
}

/* ---- closing ---- */

/* Events of the scheduler that ran here are a master's. */
static void stop_events(struct rejoin *r, struct run_io *io)
{
	struct repl *x = rj_repl(r->target, rj_until(io, 5000), NULL);
	struct repl_events v = { .n = 0 };
	struct err why = { 0 };

	if (!x || !repl_events(x, rj_until(io, 5000), &v, NULL) || !v.n)
		return;
	(void)!exec(r->target, "SET SESSION sql_log_bin=0", rj_until(io, 5000), NULL);
	for (size_t i = 0; i < v.n && !why.kind; i++) {
		AUTO(free)
		char *sql = xasprintf("ALTER EVENT %s DISABLE ON %s", v.names[i],
		        dialect_word(repl_dialect(x), WORD_REPLICA));

		(void)!exec(r->target, sql, rj_until(io, 5000), &why);
	}
	(void)!exec(r->target, "SET SESSION sql_log_bin=1", rj_until(io, 5000), NULL);
	if (why.kind)
		run_warn(io, "events of the scheduler on %s: %s", r->o.target->hostinfo, why.text);
	repl_events_done(&v);
}

/* It had been looked at while it may have taken writes. */
static bool is_as_seen(struct rejoin *r, int64_t deadline, struct err *e)
{
	AUTO(free) char *now = rj_stand(r, deadline, e);

	if (!now || r->acted || r->o.clone || !r->seen || str_is(now, r->seen))
		return now;
	return rj_refuse(e, "it takes no more now: run the same command again",
	        "%s has taken writes while it was looked at (%s, now %s)", r->o.target->hostinfo,
	        r->seen, now);
}

RJ_STEP(rj_close)
{
	struct rejoin *r = ctx;
	int64_t deadline = rj_until(io, 30000);
	struct repl *x = rj_repl(r->target, deadline, e);
	bool on = false;
	int killed = 0;

	if (!x || !repl_read_only(x, deadline, &on, NULL, e))
		return false;
	if (on)
		run_untouched(io);
	stop_events(r, io);
	/* What it still received would be called its own writes. */
	if (r->target->at->n_channels &&
	        (!repl_stop_io(x, deadline, e) || !repl_stop_sql(x, deadline, e)))
		return false;
	if (!repl_set_read_only(x, true, deadline, e) ||
	        !repl_kill_clients(x, NULL, deadline, &killed, NULL, e))
		return false;
	if (killed)
		log_info("%d clients of %s were ended.", killed, r->o.target->hostinfo);
	return true;
}

RJ_STEP(rj_is_closed)
{
	struct rejoin *r = ctx;
	struct repl *x = rj_repl(r->target, rj_until(io, 5000), e);
	bool on = false;

	if (r->provisioned)
		return true;
	if (!x || !repl_read_only(x, rj_until(io, 5000), &on, NULL, e))
		return false;
	return on ? is_as_seen(r, rj_until(io, 5000), e)
	          : err_set(e, ERR_PRECOND, 0, "%s takes writes", r->o.target->hostinfo);
}

/* ---- empty transactions ---- */

RJ_WHEN(rj_will_inject)
{
	const struct rejoin *r = ctx;

	return rj_has_work(ctx) && r->n_errant && !r->o.clone &&
	       r->o.errant == REJOIN_ERRANT_INJECT && r->mode == TOPOLOGY_GTID_MYSQL;
}

static bool inject_one(struct db *db, const char *gtid, struct err *e)
{
	AUTO(free) char *sql = xasprintf("SET GTID_NEXT='%s'", gtid);

	return db_exec(db, sql, e) && db_exec(db, "BEGIN", e) && db_exec(db, "COMMIT", e);
}

/* "uuid:1-3:7:tag:2,uuid2:9": `fn` for each transaction. */
static bool each_gtid(const char *set, struct db *db, struct run_io *io, struct err *e)
{
	AUTO(free) char *copy = xstrdup(set);
	char *rest = copy, *one;

	while ((one = strsep(&rest, ",")) != NULL) {
		char *uuid = strsep(&one, ":"), *part;
		AUTO(free) char *head = xstrdup(uuid);

		while (one && (part = strsep(&one, ":")) != NULL) {
			unsigned long long first, last;
			int n = sscanf(part, "%llu-%llu", &first, &last);

			if (n < 1) {
				free(head);
				head = xasprintf("%s:%s", uuid, part);
				continue;
			}
			for (last = n < 2 ? first : last; first <= last; first++) {
				AUTO(free) char *gtid = xasprintf("%s:%llu", head, first);

				if (run_is_canceled(io))
					return err_set(e, ERR_CANCELED, 0, "ended");
				if (!inject_one(db, gtid, e))
					return err_ctx(e, "an empty transaction for %s", gtid);
			}
		}
	}
	return true;
}

RJ_STEP(rj_inject)
{
	struct rejoin *r = ctx;
	struct repl *x = rj_repl(r->master, run_deadline(io), e);
	struct db *db = x ? repl_db(x, run_deadline(io), e) : NULL;
	bool fine;

	if (!db)
		return false;
	r->acted = true;
	fine = each_gtid(r->errant_gtids, db, io, e);
	(void)!db_exec(db, "SET GTID_NEXT='AUTOMATIC'", NULL);
	if (fine)
		log_info("%llu empty transactions were written on %s.",
		        (unsigned long long)r->n_errant, r->master->conf->hostinfo);
	return fine;
}

RJ_STEP(rj_is_injected)
{
	struct rejoin *r = ctx;
	AUTO(free) char *text = rj_variable(r->master, "gtid_executed", rj_until(io, 5000), e);
	AUTO(gtid) struct gtid_set *has = text ? gtid_set_parse(GTID_MYSQL, text, e) : NULL;
	AUTO(gtid)
	struct gtid_set *want = has ? gtid_set_parse(GTID_MYSQL, r->errant_gtids, e) : NULL;

	return want && (gtid_set_contains(has, want) ||
	                       err_set(e, ERR_PRECOND, 0, "%s has not all of %s",
	                               r->master->conf->hostinfo, r->errant_gtids));
}

/* ---- a log that begins anew ---- */

/*
 * MariaDB: what it wrote behind the place where the histories part stands in the way of what comes.  What was taken back
 * is to be forgotten, too.
 */
RJ_WHEN(rj_will_reset)
{
	const struct rejoin *r = ctx;

	return rj_has_work(ctx) && r->n_errant && !r->o.clone &&
	       (r->mode == TOPOLOGY_GTID_MARIADB || r->o.errant == REJOIN_ERRANT_FLASHBACK);
}

/* The newer word is understood by the newer servers only. */
static bool empty_log(struct rejoin *r, int64_t deadline, struct err *e)
{
	struct err why = { 0 };

	return exec(r->target, "RESET BINARY LOGS AND GTIDS", deadline, &why) ||
	       exec(r->target, "RESET MASTER", deadline, e);
}

static bool set_history(struct rejoin *r, int64_t deadline, struct err *e)
{
	bool mariadb = r->mode == TOPOLOGY_GTID_MARIADB;
	AUTO(free)
	char *sql = xasprintf("SET GLOBAL %s='%s'", mariadb ? "gtid_slave_pos" : "gtid_purged",
	        r->start_gtid ? r->start_gtid : "");

	return !rj_by_gtid(r) || exec(r->target, sql, deadline, e);
}

RJ_STEP(rj_reset)
{
	struct rejoin *r = ctx;
	int64_t deadline = rj_until(io, 30000);
	struct repl *x = rj_repl(r->target, deadline, e);

	r->acted = true;
	if (!x || !repl_stop_io(x, deadline, e) || !repl_stop_sql(x, deadline, e) ||
	        !empty_log(r, deadline, e) || !set_history(r, deadline, e))
		return false;
	return r->reset = r->o.errant != REJOIN_ERRANT_FLASHBACK || rj_flash_forget(r, deadline, e);
}

static bool is_history(
        struct rejoin *r, const char *name, enum gtid_dialect d, int64_t deadline, struct err *e)
{
	AUTO(free) char *text = rj_variable(r->target, name, deadline, e);
	AUTO(gtid) struct gtid_set *is = text ? gtid_set_parse(d, text, e) : NULL;
	AUTO(gtid) struct gtid_set *want = is ? gtid_set_parse(d, r->start_gtid, e) : NULL;

	return want &&
	       (gtid_set_cmp(is, want) == GTID_EQUAL || err_set(e, ERR_PRECOND, 0, "%s of %s is %s",
	                                                        name, r->o.target->hostinfo, text));
}

RJ_STEP(rj_is_reset)
{
	struct rejoin *r = ctx;
	int64_t deadline = rj_until(io, 5000);
	AUTO(free) char *logged = NULL;

	if (r->o.errant == REJOIN_ERRANT_FLASHBACK && !r->reset)
		return err_set(e, ERR_PRECOND, 0, "not done yet");
	if (r->mode == TOPOLOGY_GTID_MYSQL)
		return is_history(r, "gtid_executed", GTID_MYSQL, deadline, e);
	if (r->mode != TOPOLOGY_GTID_MARIADB)
		return true;
	logged = rj_variable(r->target, "gtid_binlog_pos", deadline, e);
	return logged && (!*logged || err_set(e, ERR_PRECOND, 0, "its log is not empty")) &&
	       is_history(r, "gtid_slave_pos", GTID_MARIADB, deadline, e);
}

/* ---- a copy ---- */

RJ_WHEN(rj_will_provision)
{
	const struct rejoin *r = ctx;

	return rj_has_work(ctx) && r->o.clone;
}

static bool goes_on(void *arg)
{
	return !run_is_canceled(arg);
}

RJ_STEP(rj_provision)
{
	struct rejoin *r = ctx;
	AUTO(free) char *dir = xasprintf("%s/%s/rejoin", r->env.state_dir, r->conf->name);
	const struct provision p = { .donor = r->donor,
		.target = r->o.target,
		.donor_door = rj_of(r, r->donor)->door,
		.target_door = r->target->door,
		.donor_is_master = r->donor == r->master->conf,
		.by_gtid = rj_by_gtid(r),
		.dir = dir,
		.deadline = run_deadline(io),
		.go_on = goes_on,
		.arg = io };

	r->acted = true;
	provision_place_done(&r->place);
	repl_close(TAKE(r->target->repl));
	if (!provision_run(r->how, &p, &r->place, e))
		return err_hint(e, "run the same command again: it begins anew");
	r->provisioned = true;
	snprintf(r->start.file, sizeof(r->start.file), "%s", r->place.file);
	r->start.pos = r->place.pos;
	free(r->start_gtid);
	r->start_gtid = xstrdup(r->place.gtids);
	run_note(io, "file", json_string(r->start.file));
	run_note(io, "pos", json_integer((json_int_t)r->start.pos));
	return true;
}

RJ_STEP(rj_is_provisioned)
{
	struct rejoin *r = ctx;

	(void)io;
	return r->provisioned ||
	       err_set(e, ERR_PRECOND, 0, "%s is no copy yet", r->o.target->hostinfo);
}
