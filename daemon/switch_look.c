/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * switch_look - phase 1: look at everything, refuse while writes go on.  Runs on: worker.
 */
#include "switch_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "db.h"
#include "hook.h"
#include "link.h"
#include "log.h"
#include "vars.h"

enum {
	ASK_MS = 5000,
	HOSTS_MS = 3000,
	NEAR_MS = 10000, /* so long the new master may take to come near */
	NEAR_ENOUGH_MS = 100,
};

/*
 * What was killed before the new master opened is not gone on with: meanwhile everything may be
 * different, and clients have waited long enough.
 */
SW_STEP(sw_look_back)
{
	struct planned *p = ctx;

	(void)io;
	if (!p->resumed || p->past)
		return true;
	log_warning("A switch to %s was killed before that one took writes: writes are given back.",
	        p->fresh ? p->fresh->conf->hostinfo : "another master");
	return err_set(e, ERR_CANCELED, 0, "the switch before this one was killed");
}

/* ---- reading ---- */

static void keep(struct planned *p, struct snapshot *s, struct topology *t)
{
	election_free(TAKE(p->election));
	topology_free(p->topology);
	snapshot_free(p->snapshot);
	p->snapshot = s;
	p->topology = t;
	for (size_t i = 0; i < p->n; i++)
		p->servers[i].topo = topology_find(t, p->servers[i].conf);
}

static const char *mode_text(enum topology_mode m)
{
	return m == TOPOLOGY_GTID_MYSQL || m == TOPOLOGY_GTID_MARIADB ? "GTID" : "Non-GTID";
}

static bool has_roles(const struct planned *p, struct err *e)
{
	if (p->orig && p->fresh)
		return true;
	return sw_refuse(e, "bring it back into the file, and say it again",
	        "a server of the switch that was killed is not configured any more");
}

/* Taken up behind the point of no return the roles are known, and the picture may be of any shape. */
SW_STEP(sw_read)
{
	struct planned *p = ctx;
	const struct topology_opts o = { .max_delay = p->o.delay_limit_s };
	struct snapshot *s =
	        snapshot_take(p->conf, &(struct snapshot_opts){ .deadline = sw_until(io, 15000) });
	struct topology *t = topology_classify(s, &o);

	keep(p, s, t);
	if (p->past)
		return has_roles(p, e);
	if (!t->master || t->master->snap->state != SNAPSHOT_ALIVE) {
		const struct topology_finding *f = NULL;

		if (topology_stops(t, TOPOLOGY_STOPS_SWITCH, &f))
			return sw_refuse(e,
			        f->hint ? f->hint : "mhactl topology shows who follows whom", "%s",
			        f->text);
		return sw_refuse(e, "mhactl topology shows who follows whom",
		        "no living server can be called the master");
	}
	p->orig = sw_of(p, t->master->snap->conf);
	p->mode = t->mode;
	log_info("GTID failover mode = %d (%s)", topology_mha_mode(t->mode), mode_text(t->mode));
	log_info("Current Alive Master: %s", p->orig->conf->hostinfo);
	return true;
}

/* ---- reasons not to ---- */

/* Whoever is behind must be able to read who has what: broken slaves are mended first. */
static bool check_findings(const struct planned *p, struct err *e)
{
	const struct topology *t = p->topology;

	for (size_t i = 0; i < t->n_findings; i++) {
		const struct topology_finding *f = &t->findings[i];
		bool filters = f->code == TOPOLOGY_REPLICATE_FILTERS_DIFFER ||
		               f->code == TOPOLOGY_FILTERS_CONTRADICT;

		if ((f->stops & TOPOLOGY_STOPS_SWITCH) ||
		        (filters && f->severity == TOPOLOGY_ERROR))
			return sw_refuse(e, f->hint ? f->hint : "mhactl check repl shows all of it",
			        "%s", f->text);
	}
	if (t->master->snap->read_only == TRI_YES)
		return sw_refuse(e, "open it (SET GLOBAL read_only=0), or make it a slave by hand",
		        "the master %s is read-only: writes could not be given back to it",
		        p->orig->conf->hostinfo);
	return true;
}

/* A freeze waits for commits, which wait for acknowledgements. */
static bool check_semisync(struct planned *p, struct err *e)
{
	const struct snapshot_server *m = p->orig->topo->snap;

	p->semisync = m->semisync_source_enabled == TRI_YES;
	p->semisync_wait = m->semisync_wait_count;
	if (!p->semisync || m->semisync_source_on != TRI_YES || m->semisync_clients < 0)
		return true;
	if (m->semisync_clients >= (m->semisync_wait_count > 0 ? m->semisync_wait_count : 1))
		return true;
	return sw_refuse(e, "mend the slaves' semi-sync first, or switch it off on the master",
	        "%s waits for %lld semi-sync acknowledgements and has %lld slaves that give them: "
	        "commits hang, and stopping writes would too",
	        p->orig->conf->hostinfo, (long long)m->semisync_wait_count,
	        (long long)m->semisync_clients);
}

static bool is_filtered(const struct snapshot_channel *ch)
{
	for (int i = 0; ch && i < FILTER_COUNT; i++)
		if (ch->filter[i] && *ch->filter[i])
			return true;
	return false;
}

/* As a slave the old master would need the same filters, and those of servers nobody can set by replication. */
static bool check_filters(const struct planned *p, struct err *e)
{
	const struct snapshot_channel *ch = p->fresh->topo->channel;

	if (!p->orig->conf->check_repl_filter || !is_filtered(ch))
		return true;
	return sw_refuse(e, "take the filters away, or set check_repl_filter=0",
	        "%s replicates with filters, so it does not have all of %s's data",
	        p->fresh->conf->hostinfo, p->orig->conf->hostinfo);
}

SW_STEP(sw_check)
{
	struct planned *p = ctx;

	(void)io;
	if (p->past)
		return true;
	log_info("Checking replication health..");
	if (!check_findings(p, e) || !check_semisync(p, e))
		return false;
	log_info(" ok.");
	return true;
}

/* ---- who ---- */

static void find_roles(struct planned *p)
{
	for (size_t i = 0; i < p->n; i++) {
		struct sw_server *s = &p->servers[i];
		const struct topology_server *t = s->topo;

		s->is_slave = t && s != p->orig && s != p->fresh && t->is_slave &&
		              t->source == p->orig->topo && t->role != TOPOLOGY_UNMANAGED &&
		              t->snap->state == SNAPSHOT_ALIVE;
		s->by_current_pos =
		        t && t->channel && t->channel->using_gtid == USING_GTID_CURRENT_POS;
	}
	p->ring = p->orig->topo->channel && p->orig->topo->source == p->fresh->topo;
	p->fresh_was_open = p->fresh->topo->snap->read_only == TRI_NO;
	p->orig_was_open = true;
}

static void log_election(const struct planned *p)
{
	const struct election *v = p->election;

	for (size_t i = 0; i < v->n; i++) {
		const struct elect_candidate *c = &v->all[i];

		log_info("  %s%s%s%s", c->server->snap->conf->hostinfo,
		        c->candidate ? " candidate master" : "", c->bad ? ", not eligible: " : "",
		        c->bad ? c->bad : "");
		if (c->note)
			log_info("    %s", c->note);
	}
}

static bool elect_one(struct planned *p, struct err *e)
{
	const struct elect_opts o = { .forced = p->o.new_master, .planned = true };

	log_info("Searching new master from slaves..");
	p->election = elect(p->topology, &o);
	log_election(p);
	if (p->election->chosen) {
		p->fresh = sw_of(p, p->election->chosen->snap->conf);
		return true;
	}
	log_error("None of existing slaves matches as a new master. Maybe preferred node is "
	          "misconfigured or all slaves are too far behind.");
	return sw_refuse(e, p->election->hint, "%s", p->election->refusal);
}

static bool check_password(const struct planned *p, struct err *e)
{
	const struct conf_server *m = p->fresh->conf;

	if (!p->o.orig_is_new_slave || p->ring || (m->repl_password && *m->repl_password))
		return true;
	return sw_refuse(e,
	        "set repl_user and repl_password, or switch without --orig_master_is_new_slave",
	        "%s cannot follow the new master: no repl_password is set, and as a master it has "
	        "none of its own",
	        p->orig->conf->hostinfo);
}

SW_STEP(sw_elect)
{
	struct planned *p = ctx;
	AUTO(free) char *trees = NULL;

	if (p->past)
		return true;
	if (!elect_one(p, e))
		return false;
	find_roles(p);
	if (!check_filters(p, e) || !check_password(p, e))
		return false;
	trees = switch_trees(p);
	log_info("%s", "");
	log_raw(trees, strlen(trees));
	log_info("Checking whether %s is ok for the new master..", p->fresh->conf->hostinfo);
	if (!sw_check_busy(p, io, e))
		return false;
	log_info(" ok.");
	return true;
}

/* ---- locks ---- */

static bool lock_one(struct planned *p, struct sw_server *s, struct run_io *io, struct err *e)
{
	(void)p;
	if (!s->lock)
		s->lock = repl_lock(s->conf, REPL_FAILOVER_LOCK, 0, run_deadline(io), e);
	return s->lock;
}

/* Whoever watches the master holds its lock; where he was told, that is as it should be. */
static bool lock_monitor(struct planned *p, struct run_io *io, struct err *e)
{
	struct err why = { 0 };

	if (p->o.watched || !p->orig->conf->advisory_lock)
		return true;
	p->monitor = repl_lock(p->orig->conf, REPL_MONITOR_LOCK, 0, run_deadline(io), &why);
	if (p->monitor)
		return true;
	if (e)
		*e = why;
	err_ctx(e, "another manager watches the master");
	return err_hint(e, "stop it first (masterha_stop, or mhactl pause where it is an mhad)");
}

SW_STEP(sw_lock)
{
	struct planned *p = ctx;

	log_info("Checking MHA is not monitoring or doing failover..");
	if (!lock_monitor(p, io, e))
		return false;
	if (sw_each_slave(p, io, lock_one, false, e) || !lock_one(p, p->fresh, io, e))
		return err_hint(
		        e, "a failover, another switch or purge_relay_logs may be running there");
	return true;
}

static bool locked_one(struct planned *p, struct sw_server *s, struct run_io *io, struct err *e)
{
	(void)p;
	return s->lock ? repl_lock_is_held(s->lock, run_deadline(io), e)
	               : err_set(e, ERR_PRECOND, 0, "the failover lock is not held");
}

SW_STEP(sw_locked)
{
	struct planned *p = ctx;

	return p->fresh && !sw_each_slave(p, io, locked_one, false, e) &&
	       locked_one(p, p->fresh, io, e);
}

SW_STEP(sw_unlock)
{
	struct planned *p = ctx;

	(void)io;
	(void)e;
	for (size_t i = 0; i < p->n; i++)
		repl_unlock(TAKE(p->servers[i].lock));
	repl_unlock(TAKE(p->monitor));
	return true;
}

/* ---- closing tables ---- */

/* super_read_only locks no tables. */
SW_WHEN(sw_may_flush)
{
	const struct planned *p = ctx;
	const struct dialect *d = p->orig->topo ? p->orig->topo->snap->dialect : NULL;

	return p->o.flush != SWITCH_FLUSH_NO &&
	       (p->o.flush == SWITCH_FLUSH_YES || (d && !dialect_can(d, CAP_SUPER_READ_ONLY)));
}

/* With a statement that waits for a table, everybody waits for that table: not for long. */
SW_STEP(sw_flush)
{
	struct planned *p = ctx;
	struct repl *r = sw_repl(p->orig, sw_until(io, ASK_MS), e);
	struct db *db = r ? repl_db(r, sw_until(io, ASK_MS), e) : NULL;

	log_info("Executing FLUSH NO_WRITE_TO_BINLOG TABLES. This may take long time..");
	if (!db || !db_exec(db, "SET SESSION lock_wait_timeout=1", e))
		return false;
	if (db_exec(db, "FLUSH NO_WRITE_TO_BINLOG TABLES", e)) {
		log_info(" ok.");
		return true;
	}
	r = sw_other(p->orig, sw_until(io, ASK_MS), NULL);
	if (r)
		sw_end_readers(p, r, sw_until(io, ASK_MS));
	return false;
}

/* ---- ready ---- */

static bool open_one(struct planned *p, struct sw_server *s, struct run_io *io, struct err *e)
{
	int64_t deadline = sw_until(io, 10000);

	if (!sw_repl(s, deadline, e))
		return false;
	return (s != p->orig && s != p->fresh) || sw_other(s, deadline, e);
}

/*
 * MySQL's parallel applier shows its position once in a while (300 ms): by position that is what would be
 * waited for.
 */
static bool read_checkpoint(struct planned *p, struct repl *r, int64_t deadline, struct err *e)
{
	struct db *db = repl_db(r, deadline, e);
	AUTO(vars) struct vars *v = db ? vars_read(db, e) : NULL;
	const char *now = v ? vars_get(v, VAR_CHECKPOINT_PERIOD) : NULL;

	if (now && !repl_is_mariadb(r) && !sw_by_gtid(p))
		p->checkpoint_was = atoll(now);
	return v;
}

bool sw_set_checkpoint(struct repl *r, int64_t ms, int64_t deadline, struct err *e)
{
	const char *name = dialect_var(repl_dialect(r), VAR_CHECKPOINT_PERIOD);
	AUTO(free) char *sql = xasprintf("SET GLOBAL %s=%lld", name ? name : "", (long long)ms);
	struct db *db = repl_db(r, deadline, e);

	return !name || (db && db_exec(db, sql, e));
}

static bool is_on(struct repl *r, const char *variable, int64_t deadline, bool *ret, struct err *e)
{
	AUTO(free) char *sql = xasprintf("SELECT @@GLOBAL.%s", variable), *on = NULL;
	struct db *db = repl_db(r, deadline, e);

	if (!db || !db_value(db, sql, &on, e))
		return false;
	*ret = str_is(on, "ON") || str_is(on, "1");
	return true;
}

static bool read_switches(struct planned *p, struct repl *r, int64_t deadline, struct err *e)
{
	p->orig_super = dialect_can(repl_dialect(r), CAP_SUPER_READ_ONLY);
	return is_on(r, "event_scheduler", deadline, &p->scheduler_was_on, e) &&
	       (p->orig_super || is_on(r, "tx_read_only", deadline, &p->tx_was_on, e)) &&
	       repl_events(r, deadline, &p->events, e);
}

static bool read_token(struct planned *p, int64_t deadline, struct err *e)
{
	uint64_t a = 0, b = 0;

	if (!repl_token(p->orig->repl, p->conf->name, deadline, &a, e) ||
	        !repl_token(p->fresh->repl, p->conf->name, deadline, &b, e))
		return false;
	p->token = (a > b ? a : b) + 1;
	return true;
}

static bool open_all(struct planned *p, struct run_io *io, struct err *e)
{
	if (!open_one(p, p->orig, io, e) || !open_one(p, p->fresh, io, e))
		return false;
	return !sw_each_slave(p, io, open_one, false, e);
}

/* All that a later process must know of what was, noted before anything is changed. */
SW_STEP(sw_sessions)
{
	struct planned *p = ctx;
	int64_t deadline = sw_until(io, 15000);

	if (p->past)
		return true;
	if (!open_all(p, io, e))
		return false;
	if (!read_switches(p, p->orig->repl, deadline, e) || !read_token(p, deadline, e) ||
	        !read_checkpoint(p, p->fresh->repl, deadline, e))
		return false;
	sw_note_roles(p, io);
	return true;
}

static bool warm_up(void *arg, size_t i, struct err *e)
{
	struct planned *p = arg;
	struct sw_server *s = i ? p->fresh : p->orig;
	struct link_result r = { 0 };
	bool fine = s->door && link_run(s->door, "probe", json_pack("{s:i}", "port", s->conf->port),
	                               clock_in(HOSTS_MS), &r, e);

	link_result_done(&r);
	return fine || !s->door;
}

/* A login takes longer than all the rest: the script must not wait for it when nobody can write. */
SW_STEP(sw_hosts)
{
	struct planned *p = ctx;
	struct err errs[2];

	(void)io;
	if (p->past || !fan_run(2, 0, warm_up, p, errs))
		return true;
	*e = errs[0].kind != ERR_NONE ? errs[0] : errs[1];
	return err_ctx(e, "the script has to log in by itself");
}

/* The new master is shut, so that it is seen when it opens: by everybody, and by a run that was killed. */
SW_STEP(sw_prepare)
{
	struct planned *p = ctx;
	int64_t deadline = sw_until(io, 15000);
	struct repl *r = sw_repl(p->fresh, deadline, e);

	if (!p->fresh_was_open && p->checkpoint_was < 0)
		run_untouched(io);
	return r && (!p->fresh_was_open || repl_set_read_only(r, true, deadline, e)) &&
	       (p->checkpoint_was < 0 || sw_set_checkpoint(r, 1, deadline, e));
}

SW_STEP(sw_is_prepared)
{
	struct planned *p = ctx;
	int64_t deadline = sw_until(io, ASK_MS);
	struct repl *r = p->fresh ? sw_repl(p->fresh, deadline, e) : NULL;
	bool on = false;

	return r && repl_read_only(r, deadline, &on, NULL, e) &&
	       (on || err_set(e, ERR_PRECOND, 0, "%s is not read-only", p->fresh->conf->hostinfo));
}

SW_STEP(sw_unprepare)
{
	struct planned *p = ctx;
	int64_t deadline = sw_until(io, ASK_MS);
	struct repl *r = p->fresh ? sw_other(p->fresh, deadline, e) : NULL;

	if (!p->fresh)
		return true;
	return r &&
	       (p->checkpoint_was < 0 || sw_set_checkpoint(r, p->checkpoint_was, deadline, e)) &&
	       (!p->fresh_was_open || repl_set_read_only(r, false, deadline, e));
}

/* ---- level ---- */

/* The functions differ in what they answer when all is well: none of them says -1 or NULL then. */
static bool ask_wait(struct repl *r, const char *sql, bool zero, int64_t deadline, struct err *e)
{
	struct db *db = repl_db(r, deadline, e);
	AUTO(free) char *got = NULL;

	if (!db || !db_value(db, sql, &got, e))
		return false;
	if (!got)
		return err_set(e, ERR_PRECOND, 0, "%s: its applier has stopped", repl_name(r));
	return (str_is(got, "0") || (!zero && got[0] != '-')) ||
	       err_set(e, ERR_LOST, 0, "%s: not applied in time", repl_name(r));
}

static bool wait_position(
        struct repl *r, const struct repl_position *end, int64_t s, int64_t deadline, struct err *e)
{
	AUTO(free) char *file = db_quote(end->file), *channel = db_quote(repl_channel(r));
	AUTO(free)
	char *sql = xasprintf("SELECT %s(%s,%llu,%lld%s%s)",
	        dialect_word(repl_dialect(r), WORD_POS_WAIT), file, (unsigned long long)end->pos,
	        (long long)s, *repl_channel(r) ? "," : "", *repl_channel(r) ? channel : "");

	return ask_wait(r, sql, false, deadline, e);
}

static bool wait_gtids(struct repl *r, const char *text, int64_t s, int64_t deadline, struct err *e)
{
	const char *fn = dialect_word(repl_dialect(r), WORD_GTID_WAIT);
	AUTO(free) char *sql = xasprintf("SELECT %s('%s',%lld)", fn, text, (long long)s);

	return ask_wait(r, sql, str_starts(fn, "WAIT_FOR"), deadline, e);
}

/* Of MariaDB's "0-1-17,5-1-3" what is in domains that this server knows.  Returns owned. */
static char *known_domains(const struct gtid_set *all, const struct gtid_set *known)
{
	AUTO(free) char *text = gtid_set_format(all), *have = gtid_set_format(known);
	AUTO_STR struct str out = STR_INIT, list = STR_INIT;
	char *rest = text;

	str_addf(&list, ",%s", have);
	for (char *one; (one = strsep(&rest, ",")) != NULL;) {
		AUTO(free) char *domain = xasprintf(",%.*s", (int)strcspn(one, "-") + 1, one);

		if (strstr(list.p, domain))
			str_addf(&out, "%s%s", out.len ? "," : "", one);
	}
	return str_take(&out);
}

/*
 * By position, too, MariaDB keeps GTIDs: workers on several domains do not wait for each other, and the
 * position is that of the foremost.
 */
static bool wait_workers(struct repl *r, const struct sw_server *s, const struct repl_position *end,
        int64_t left, int64_t deadline, struct err *e)
{
	const struct snapshot_server *snap = s->topo ? s->topo->snap : NULL;
	AUTO(free) char *text = NULL;

	if (!repl_is_mariadb(r) || !snap || snap->parallel_workers <= 0 || !snap->executed)
		return true;
	text = known_domains(end->executed, snap->executed);
	return !text || !*text || wait_gtids(r, text, left, deadline, e);
}

bool sw_wait_level(const struct planned *p, struct repl *r, const struct sw_server *s,
        const struct repl_position *end, int64_t deadline, struct err *e)
{
	int64_t left = (clock_left(deadline) + 999) / 1000;
	AUTO(free) char *text = NULL;

	if (!sw_by_gtid(p))
		return wait_position(r, end, left, deadline, e) &&
		       wait_workers(r, s, end, left, deadline, e);
	text = gtid_set_format(end->executed);
	return wait_gtids(r, text, left, deadline, e);
}

/* How long the new master needs from now: what writes would wait for. */
static bool look_near(struct planned *p, int64_t deadline, int64_t *ret_ms, struct err *e)
{
	struct repl_position now;
	int64_t since = clock_ms();
	bool ok = repl_position(p->orig->repl, deadline, &now, e) &&
	          sw_wait_level(p, p->fresh->repl, p->fresh, &now, deadline, e);

	repl_position_done(&now);
	*ret_ms = clock_ms() - since;
	return ok;
}

SW_STEP(sw_near)
{
	struct planned *p = ctx;
	int64_t deadline = sw_until(io, NEAR_MS), took = 0, limit = p->o.block_ms / 3;

	if (p->past)
		return true;
	if (limit > NEAR_ENOUGH_MS)
		limit = NEAR_ENOUGH_MS;
	do {
		if (!look_near(p, deadline, &took, e)) {
			err_ctx(e, "the new master does not keep up");
			return err_hint(e, "wait until it has caught up, or name another one");
		}
	} while (took > limit && clock_left(deadline) > 0);
	if (took <= limit)
		return true;
	return sw_refuse(e, "wait until it has caught up, or name another one",
	        "%s is %lld ms behind and does not come nearer: writes would be refused for longer",
	        p->fresh->conf->hostinfo, (long long)took);
}
