/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * switch_ready - the end of phase 1: all that can be done while writes go on is done, and the new master keeps
 * up.  Runs on: worker.
 */
#include "switch_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "db.h"
#include "link.h"
#include "log.h"
#include "vars.h"

enum {
	ASK_MS = 5000,
	HOSTS_MS = 3000,
	NEAR_MS = 10000, /* so long the new master may take to come near */
	NEAR_ENOUGH_MS = 100,
};

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
