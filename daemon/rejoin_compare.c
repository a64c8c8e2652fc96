/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rejoin_compare - what each side has that the other lacks, and whether that stands against it.  Runs on: worker.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "clock.h"
#include "db.h"
#include "log.h"
#include "rejoin_impl.h"

/* ---- binlogs of a server ---- */

void rj_names_done(struct rj_names *n)
{
	vec_each (char *, p, &n->all)
		free(*p);
	vec_done(&n->all);
}

bool rj_names(struct rj_end *s, int64_t deadline, struct rj_names *ret, struct err *e)
{
	struct repl *r = rj_repl(s, deadline, e);
	struct db *db = r ? repl_db(r, deadline, e) : NULL;
	AUTO(db_result)
	struct db_result *res =
	        db ? db_query(db, dialect_sql(repl_dialect(r), SQL_BINLOG_LIST), e) : NULL;

	*ret = (struct rj_names){ VEC_INIT };
	for (size_t i = 0; res && i < db_rows(res); i++)
		if (db_get(res, i, "Log_name"))
			vec_push(&ret->all, xstrdup(db_get(res, i, "Log_name")));
	return res;
}

bool rj_has_host(struct rj_end *s, int64_t deadline, struct err *e)
{
	struct link_result res = { .status = -1 };
	bool fine = link_run(
	        s->door, "probe", json_pack("{s:i}", "port", s->conf->port), deadline, &res, e);

	link_result_done(&res);
	return fine;
}

bool rj_look_back(struct rejoin *r, struct rj_end *s, const char *have, bool details,
        int64_t deadline, struct rejoin_log *l, rj_enough_fn enough, void *arg, struct err *e)
{
	struct rejoin_log_ask ask = { s->conf, s->door, NULL, have, details };
	struct rj_names names;
	bool fine = rj_names(s, deadline, &names, e);
	size_t n = names.all.len;

	if (fine && !n)
		fine = err_set(e, ERR_PRECOND, 0, "%s has no binlogs", s->conf->hostinfo);
	for (size_t back = 1; fine; back *= 4) {
		size_t first = n > back ? n - back : 0;

		rejoin_log_done(l);
		ask.file = names.all.items[first];
		fine = rejoin_log_fetch(&ask, deadline, l, e);
		if (!fine || !first || enough(r, l, arg))
			break;
	}
	rj_names_done(&names);
	return fine;
}

/* ---- marking ---- */

/* Where the first of them begins: the end of what stands before it. */
static struct rj_place place_before(const struct rejoin_log *l, size_t i)
{
	const struct rejoin_txn *t = &l->all.items[i];
	struct rj_place p = { .pos = 4 };

	snprintf(p.file, sizeof(p.file), "%s", l->files.items[t->file]);
	if (i && t[-1].file == t->file)
		p.pos = t[-1].end;
	return p;
}

void rj_mark_errant(struct rejoin *r, rj_errant_fn is, void *arg)
{
	size_t n = r->own.all.len;

	free(r->errant);
	r->errant = xzalloc(n + 1);
	r->errant_empty = true;
	for (size_t i = 0; i < n; i++) {
		const struct rejoin_txn *t = &r->own.all.items[i];

		r->errant[i] = is(r, t, i, arg);
		if (!r->errant[i])
			continue;
		if (!r->saved_from.file[0])
			r->saved_from = place_before(&r->own, i);
		r->errant_empty = r->errant_empty && rejoin_txn_is_empty(t);
	}
}

char *rj_stand(struct rejoin *r, int64_t deadline, struct err *e)
{
	struct repl *x = rj_repl(r->target, deadline, e);
	struct repl_position p = { .pos = 0 };
	char *text = NULL;

	if (x && repl_position(x, deadline, &p, e)) {
		AUTO(free) char *gtids = p.executed ? gtid_set_format(p.executed) : xstrdup("");

		text = rj_by_gtid(r) ? xstrdup(gtids)
		                     : xasprintf("%s:%llu", p.file, (unsigned long long)p.pos);
	}
	repl_position_done(&p);
	return text;
}

/* ---- did it outlive what happened to it? ---- */

/* The last transaction that both have. */
static int64_t last_common(const struct rejoin *r)
{
	for (size_t i = r->own.all.len; i-- > 0;)
		if (!r->errant || !r->errant[i])
			return r->own.all.items[i].time;
	return 0;
}

static bool is_durable(struct rejoin *r, int64_t deadline)
{
	AUTO(free) char *binlog = rj_variable(r->target, "sync_binlog", deadline, NULL);
	AUTO(free)
	char *redo = rj_variable(r->target, "innodb_flush_log_at_trx_commit", deadline, NULL);

	return str_is(binlog, "1") && str_is(redo, "1");
}

/*
 * A binlog and the data can each be ahead of the other when the host went down: equal GTIDs say nothing then.
 */
static void look_for_doubt(struct rejoin *r, int64_t deadline)
{
	int64_t last = last_common(r);
	char when[32];
	struct tm tm;

	if (is_durable(r, deadline) || r->target->at->n_channels)
		return;
	if (!r->own.booted || !last) {
		r->in_doubt = r->o.only_clean;
		snprintf(r->doubt, sizeof(r->doubt),
		        "it is not known whether the host of %s went down since its last "
		        "transaction (sync_binlog and innodb_flush_log_at_trx_commit are not both "
		        "1)",
		        r->o.target->hostinfo);
		return;
	}
	if (r->own.booted <= last)
		return;
	r->in_doubt = true;
	localtime_r(&r->own.booted, &tm);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(r->doubt, sizeof(r->doubt),
	        "the host of %s was booted at %s, after its last transaction, and sync_binlog and "
	        "innodb_flush_log_at_trx_commit are not both 1: its data and its binlog need not "
	        "agree",
	        r->o.target->hostinfo, when);
}

static void forget(struct rejoin *r)
{
	rejoin_log_done(&r->own);
	free(TAKE(r->errant));
	free(TAKE(r->errant_gtids));
	free(TAKE(r->start_gtid));
	free(TAKE(r->seen));
	r->saved_from = r->start = (struct rj_place){ .pos = 0 };
	r->n_errant = r->lacking = r->proven = 0;
	r->own_known = r->errant_empty = r->in_doubt = false;
	r->missing[0] = r->doubt[0] = '\0';
}

static bool compare(struct rejoin *r, struct run_io *io, struct err *e)
{
	if (r->mode == TOPOLOGY_GTID_MYSQL)
		return rj_compare_gtid(r, io, e);
	if (r->mode == TOPOLOGY_GTID_MARIADB)
		return rj_compare_mariadb(r, io, e);
	return rj_compare_pos(r, io, e);
}

/* With its data to be replaced, what it has matters only for being saved. */
static bool may_be_unknown(
        struct rejoin *r, struct run_io *io, const struct err *why, struct err *e)
{
	if (!r->o.clone) {
		if (e)
			*e = *why;
		return false;
	}
	run_warn(io, "what %s has of its own is not known: %s", r->o.target->hostinfo, why->text);
	return true;
}

static void say(const struct rejoin *r)
{
	AUTO(free) char *text = NULL;

	if (r->n_errant) {
		text = rj_errant_text(r);
		log_warning("%s has %llu transactions of its own:", r->o.target->hostinfo,
		        (unsigned long long)r->n_errant);
		for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n')
			log_warning("  %.*s", (int)strcspn(p, "\n"), p);
	} else if (r->compared) {
		log_info("%s has nothing that the master lacks.", r->o.target->hostinfo);
	}
	if (r->proven)
		log_info("It goes on at %s:%llu of %s: the last %zu transactions of its own log "
		         "stand before that, one by one.",
		        r->start.file, (unsigned long long)r->start.pos, r->master->conf->hostinfo,
		        r->proven);
	if (r->lacking)
		log_info("It lacks %llu transactions.", (unsigned long long)r->lacking);
	if (r->missing[0])
		log_warning("%s", r->missing);
	if (r->doubt[0])
		log_warning("%s", r->doubt);
}

RJ_STEP(rj_compare)
{
	struct rejoin *r = ctx;
	struct err why = { 0 };

	if (r->acted)
		return true;
	forget(r);
	r->seen = rj_stand(r, rj_until(io, 10000), e);
	if (!r->seen)
		return false;
	r->compared = compare(r, io, &why);
	if (!r->compared && !may_be_unknown(r, io, &why, e))
		return false;
	look_for_doubt(r, rj_until(io, 10000));
	say(r);
	rj_note(r, io);
	return true;
}

/* ---- what stands against it ---- */

static bool decide_errant(struct rejoin *r, struct run_io *io, struct err *e)
{
	const char *host = r->o.target->hostname;
	char hint[300];

	if (!r->n_errant || r->o.clone)
		return true;
	if (r->o.errant == REJOIN_ERRANT_FLASHBACK)
		return rj_can_flash(r, run_deadline(io), e);
	if (r->o.errant == REJOIN_ERRANT_INJECT && (r->errant_empty && r->own_known))
		return true;
	if (r->o.errant == REJOIN_ERRANT_INJECT)
		return rj_object(r, io, e,
		        "--errant=inject --force keeps them here and nowhere else; --clone drops "
		        "them "
		        "(they are saved first)",
		        r->own_known
		                ? "the %llu transactions that only %s has change rows: %s would "
		                  "differ from its master"
		                : "the %llu transactions that only %s has cannot all be looked "
		                  "at: %s may differ from its master",
		        (unsigned long long)r->n_errant, host, host);
	snprintf(hint, sizeof(hint), "%s",
	        r->errant_empty && r->own_known
	                ? "they change no rows: --errant=inject leaves them"
	                : "--errant=flashback takes their rows back, --clone replaces its data "
	                  "(they "
	                  "are saved here first); --errant=inject --force keeps them on it alone");
	return rj_refuse(e, hint, "%s has %llu transactions that the master never had",
	        r->o.target->hostinfo, (unsigned long long)r->n_errant);
}

/* Of a cloned slave nobody says which position of its master it stands for. */
static enum provision_how how_wanted(const struct rejoin *r)
{
	bool clones = dialect_can(r->target->at->dialect, CAP_CLONE);

	return r->o.how == PROVISION_ANY && clones && !rj_by_gtid(r) ? PROVISION_DUMP : r->o.how;
}

static struct provision_end end_of(struct rejoin *r, const struct snapshot_server *s)
{
	return (struct provision_end){ s->conf, s->dialect, rj_of(r, s->conf)->door };
}

static bool decide_missing(struct rejoin *r, struct err *e)
{
	struct provision_end donor, target;
	enum provision_how how;
	struct err why = { 0 };
	char hint[300];

	if (!r->missing[0] || r->o.clone)
		return true;
	donor = end_of(r, r->master->at);
	target = end_of(r, r->target->at);
	if (provision_choose(how_wanted(r), &donor, &target, &how, &why))
		snprintf(
		        hint, sizeof(hint), "--clone makes it a copy (by %s)", provision_name(how));
	else
		snprintf(hint, sizeof(hint), "--clone would make it a copy, but: %.200s", why.text);
	return rj_refuse(e, hint, "%s", r->missing);
}

static bool is_donor(const struct rejoin *r, const struct topology_server *s)
{
	const struct snapshot_channel *ch = s->channel;

	return s->snap->state == SNAPSHOT_ALIVE && ch && s->source &&
	       s->source->snap == r->master->at && ch->io_running == IO_YES && ch->sql_running &&
	       ch->sql_delay <= 0;
}

/* A slave, so that the master goes on undisturbed; the master alone only if a person says so. */
static bool choose_donor(struct rejoin *r, struct err *e)
{
	r->donor = r->o.donor;
	for (size_t i = 0; !r->donor && i < r->topology->n_servers; i++)
		if (is_donor(r, &r->topology->servers[i]))
			r->donor = r->topology->servers[i].snap->conf;
	if (r->donor)
		return true;
	return rj_refuse(e, "name it, if it may be burdened with that: --donor=HOST",
	        "no slave that replicates could be the donor: %s is the only healthy server",
	        r->master->conf->hostinfo);
}

static bool decide_clone(struct rejoin *r, struct err *e)
{
	const struct snapshot_server *d = NULL;
	struct provision_end donor, target;

	if (!r->o.clone)
		return true;
	if (r->o.how == PROVISION_CLONE && !rj_by_gtid(r))
		return rj_refuse(e, "--by-dump", "the clone plug-in needs GTIDs");
	if (!choose_donor(r, e))
		return false;
	for (size_t i = 0; i < r->snap_others->n_servers; i++)
		if (r->snap_others->servers[i].conf == r->donor)
			d = &r->snap_others->servers[i];
	if (!d || d->state != SNAPSHOT_ALIVE)
		return rj_refuse(e, "name another one: --donor=HOST",
		        "the donor %s does not answer", r->donor->hostinfo);
	donor = end_of(r, d);
	target = end_of(r, r->target->at);
	if (!provision_choose(how_wanted(r), &donor, &target, &r->how, e))
		return false;
	log_info("Its data will be replaced by a copy of %s, by %s.", r->donor->hostinfo,
	        provision_name(r->how));
	return true;
}

RJ_STEP(rj_decide)
{
	struct rejoin *r = ctx;

	if (r->acted)
		return r->provisioned || decide_clone(r, e);
	if (r->in_doubt && !r->o.clone &&
	        !rj_object(r, io, e,
	                "--clone makes its data a copy; --force if you have compared it", "%s",
	                r->doubt))
		return false;
	return decide_errant(r, io, e) && decide_missing(r, e) && decide_clone(r, e) &&
	       (!r->o.only_clean || (!r->n_errant && !r->in_doubt) ||
	               rj_refuse(e, "mhactl rejoin", "%s is not clean", r->o.target->hostinfo));
}
