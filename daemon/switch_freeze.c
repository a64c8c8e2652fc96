/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * switch_freeze - phase 2: nobody writes to the old master, and how it gets its writes back.  Runs on:
 * worker.
 *
 * super_read_only stops everybody.  Where there is none, read_only does not stop who has SUPER (5.6) or
 * READ_ONLY ADMIN (MariaDB), so all tables are locked, and stay so until nobody is led to that server any
 * more.  Both wait for what runs; who waits behind them cannot write.  So it is a matter of a second at
 * most, and then ended from a second session.
 */
#include "switch_impl.h"
#include <poll.h>
#include <stdlib.h>
#include "clock.h"
#include "db.h"
#include "hook.h"
#include "log.h"

enum {
	HOOK_PROCEED = 10,
	BACK_MS = 5000, /* to give writes back */
	STILL_MS = 200,
	GONE_MS = 2000, /* so long a session that was killed may need to go */
};

/* ---- the script ---- */

SW_STEP(sw_stop_hook)
{
	struct planned *p = ctx;
	AUTO(hook)
	struct hook *h =
	        hook_online_change(true, p->orig->conf, p->fresh->conf, p->o.orig_is_new_slave);
	struct err why = { 0 };

	if (!h)
		return p->stop_called = true;
	log_info(
	        "Executing master ip online change script to disable write on the current master:");
	if (sw_call_hook(p, h, io, &why))
		return p->stop_called = true;
	if (hook_status(&why) == HOOK_PROCEED) {
		run_warn(io, "master_ip_online_change_script stop ended with 10. Proceeding.");
		return p->stop_called = true;
	}
	if (e)
		*e = why;
	return err_ctx(e, "master_ip_online_change_script could not stop the clients");
}

SW_STEP(sw_hook_said)
{
	struct planned *p = ctx;

	(void)io;
	return p->stop_called || err_set(e, ERR_PRECOND, 0, "the script has not said so");
}

/* The same script knows how clients are led to a master: to the old one, which stays it. */
SW_STEP(sw_back_hook)
{
	struct planned *p = ctx;
	AUTO(hook)
	struct hook *h = p->orig && p->fresh
	                         ? hook_online_change(false, p->fresh->conf, p->orig->conf, false)
	                         : NULL;

	if (!h)
		return true;
	log_info("Executing master ip online change script to allow write on the current master "
	         "again:");
	if (sw_call_hook(p, h, io, e))
		return true;
	err_ctx(e, "the clients may not be led to %s any more", p->orig->conf->hostinfo);
	return err_hint(e, "give it the service address by hand");
}

/* ---- freeze ---- */

SW_WHEN(sw_locks)
{
	const struct planned *p = ctx;

	return !p->o.skip_lock;
}

static bool exec(struct repl *r, const char *sql, int64_t deadline, struct err *e)
{
	struct db *db = repl_db(r, deadline, e);

	return db && db_exec(db, sql, e);
}

/* Events write with the rights of their definers. */
static bool stop_scheduler(const struct planned *p, struct repl *r, int64_t deadline, struct err *e)
{
	return !p->scheduler_was_on || !p->events.n ||
	       exec(r, "SET GLOBAL event_scheduler=OFF", deadline, e);
}

/*
 * The lock goes with our session, and that one with our process: whoever waits behind it with SUPER would
 * write then.  So who is there now is ended before the new master opens (sw_level), and who comes later
 * begins with transactions that only read, whatever his rights.
 */
static bool lock_tables(struct planned *p, struct repl *r, int64_t deadline, struct err *e)
{
	p->last_session = p->orig->ids[0] > p->orig->ids[1] ? p->orig->ids[0] : p->orig->ids[1];
	log_info("Executing FLUSH TABLES WITH READ LOCK..");
	return exec(r, "SET GLOBAL tx_read_only=1", deadline, e) &&
	       repl_lock_tables(r, deadline, e) && exec(r, "SET GLOBAL read_only=1", deadline, e);
}

static bool shut(struct planned *p, struct repl *r, int64_t deadline, struct err *e)
{
	if (!stop_scheduler(p, r, deadline, e))
		return false;
	p->frozen_us = clock_us();
	return p->orig_super ? exec(r, "SET GLOBAL super_read_only=1", deadline, e)
	                     : lock_tables(p, r, deadline, e);
}

/* Sessions that came while it was set keep it: they have to come again. */
bool sw_free_transactions(struct planned *p, struct repl *r, int64_t deadline, struct err *e)
{
	struct err why = { 0 };

	if (p->orig_super || p->tx_was_on)
		return true;
	if (!exec(r, "SET GLOBAL tx_read_only=0", deadline, e))
		return false;
	if (!sw_end_clients(p, r, p->last_session, deadline, &why))
		log_err(LOG_LV_WARNING, &why);
	return true;
}

/* A statement of ours that waits for others is in everybody's way until it is ended. */
static void end_session(struct planned *p, uint64_t id)
{
	int64_t deadline = clock_in(GONE_MS);
	AUTO(free) char *sql = xasprintf("KILL %llu", (unsigned long long)id), *ask = NULL;
	struct repl *r = sw_other(p->orig, deadline, NULL);
	struct db *db = r ? repl_db(r, deadline, NULL) : NULL;

	ask = xasprintf("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID=%llu",
	        (unsigned long long)id);
	if (!db || (!db_exec(db, sql, NULL) && clock_left(deadline) == 0))
		return;
	for (;;) {
		AUTO(free) char *left = NULL;

		if (!db_value(db, ask, &left, NULL) || str_is(left, "0") ||
		        clock_left(deadline) == 0)
			break;
	}
	if (!p->orig_super)
		sw_end_readers(p, r, clock_in(GONE_MS));
}

SW_STEP(sw_freeze)
{
	struct planned *p = ctx;
	int64_t deadline = sw_until(io, p->o.block_ms / 2);
	struct repl *r = sw_repl(p->orig, deadline, e);
	struct db *db = r ? repl_db(r, deadline, e) : NULL;
	uint64_t id = db ? db_connection_id(db) : 0;

	log_info("Locking all tables on the orig master to reject updates from everybody "
	         "(including root):");
	if (db && shut(p, r, deadline, e)) {
		p->frozen = true;
		log_info(" ok.");
		return true;
	}
	if (id)
		end_session(p, id);
	repl_close(TAKE(p->orig->repl)); /* nothing is locked by it any more */
	err_ctx(e, "writes to %s could not be stopped in time", p->orig->conf->hostinfo);
	return err_hint(e, "a statement or a commit stands in the way: SHOW PROCESSLIST on %s",
	        p->orig->conf->hostname);
}

/* Asked of the server only where somebody else has done it: each question is a time without writes. */
SW_STEP(sw_is_frozen)
{
	struct planned *p = ctx;
	bool on = false, super = false;
	struct repl *r;

	if (p->frozen)
		return true;
	r = p->orig ? sw_repl(p->orig, run_deadline(io), e) : NULL;
	if (!r || !repl_read_only(r, run_deadline(io), &on, &super, e))
		return false;
	return (p->orig_super && super) ||
	       err_set(e, ERR_PRECOND, 0, "%s takes writes", p->orig->conf->hostinfo);
}

/* ---- and back ---- */

/* Its machine lost power with the line of `open` not on disk: then the new master tells. */
static bool is_fresh_shut(struct planned *p, int64_t deadline, struct err *e)
{
	struct repl *r = sw_other(p->fresh, deadline, e);
	bool on = false;

	if (!p->resumed)
		return true;
	if (!r || !repl_read_only(r, deadline, &on, NULL, e))
		return err_ctx(
		        e, "whether %s is open already must be known", p->fresh->conf->hostinfo);
	return on || sw_refuse(e,
	                     "point the slaves to it by hand (mhactl move), and the old master "
	                     "with mhactl rejoin",
	                     "%s takes writes already: they are not given back to %s",
	                     p->fresh->conf->hostinfo, p->orig->conf->hostinfo);
}

static bool open_again(struct planned *p, int64_t deadline, struct err *e)
{
	bool locked = p->orig->repl && repl_tables_are_locked(p->orig->repl);
	struct repl *r = locked ? p->orig->repl : sw_other(p->orig, deadline, e);

	if (!r || !exec(r, "SET GLOBAL read_only=0", deadline, e) ||
	        (locked && !repl_unlock_tables(r, deadline, e)))
		return false;
	p->back_us = clock_us();
	if (!sw_free_transactions(p, r, deadline, e))
		return false;
	return !p->scheduler_was_on || !p->events.n ||
	       exec(r, "SET GLOBAL event_scheduler=ON", deadline, e);
}

SW_STEP(sw_unfreeze)
{
	struct planned *p = ctx;
	int64_t deadline = sw_until(io, BACK_MS);
	bool on = true;

	if (!p->orig || !p->fresh)
		return true;
	if (!is_fresh_shut(p, deadline, e) || !open_again(p, deadline, e)) {
		err_ctx(e, "writes could not be given back to %s", p->orig->conf->hostinfo);
		return err_hint(e,
		        "there: UNLOCK TABLES (end the session that holds them); SET GLOBAL "
		        "read_only=0; SET GLOBAL event_scheduler as it was");
	}
	if (!repl_read_only(sw_other(p->orig, deadline, e), deadline, &on, NULL, e))
		return false;
	if (on)
		return err_set(e, ERR_PRECOND, 0, "%s stays read-only", p->orig->conf->hostinfo);
	log_warning("Writes are given back to %s.", p->orig->conf->hostinfo);
	return true;
}

/* ---- level ---- */

/* Stopped by other means: then it does not move. */
static bool stands_still(struct planned *p, struct repl *r, int64_t deadline, struct err *e)
{
	struct repl_position later;
	bool same;

	poll(NULL, 0, STILL_MS);
	if (!repl_position(r, deadline, &later, e))
		return false;
	same = later.pos == p->end.pos && str_is(later.file, p->end.file);
	repl_position_done(&later);
	return same ||
	       sw_refuse(e, "stop the clients, or switch without --skip_lock_all_tables",
	               "Binlog is not stopped! Somebody writes to %s", p->orig->conf->hostinfo);
}

static bool read_end(struct planned *p, int64_t deadline, struct err *e)
{
	struct repl *r = sw_repl(p->orig, deadline, e);

	repl_position_done(&p->end);
	if (!r || !repl_position(r, deadline, &p->end, e))
		return false;
	if (p->frozen && !p->orig_super && !repl_tables_are_locked(r))
		return err_set(e, ERR_LOST, 0, "%s: the session with the lock was lost",
		        p->orig->conf->hostinfo);
	return !p->o.skip_lock || stands_still(p, r, deadline, e);
}

static bool become_level(struct planned *p, int64_t deadline, struct err *e)
{
	struct repl *r = sw_repl(p->fresh, deadline, e);

	if (!r || !read_end(p, deadline, e) || !sw_wait_level(p, r, p->fresh, &p->end, deadline, e))
		return false;
	repl_position_done(&p->position);
	return repl_position(r, deadline, &p->position, e);
}

struct leveling {
	struct planned *p;
	int64_t deadline;
};

static bool level_part(void *arg, size_t i, struct err *e)
{
	const struct leveling *l = arg;
	struct repl *r;

	if (i == 0)
		return become_level(l->p, l->deadline, e);
	r = sw_other(l->p->orig, l->deadline, e);
	return r && sw_end_clients(l->p, r, 0, l->deadline, e);
}

/* Where a lock holds them, those who wait behind it go meanwhile. */
static bool level_and_end(struct planned *p, int64_t deadline, struct err *e)
{
	struct leveling l = { p, deadline };
	struct err errs[2];

	if (!p->frozen || p->orig_super)
		return become_level(p, deadline, e);
	if (fan_run(2, 0, level_part, &l, errs) == 0)
		return true;
	*e = errs[0].kind != ERR_NONE ? errs[0] : errs[1];
	return false;
}

/* The others begin where the new master's log stands now: read once, before it opens. */
SW_STEP(sw_level)
{
	struct planned *p = ctx;
	int64_t refused = p->frozen_us ? (clock_us() - p->frozen_us) / 1000 : 0;
	int64_t left = p->o.block_ms > refused ? p->o.block_ms - refused : 1;

	if (p->past)
		return true;
	if (!level_and_end(p, sw_until(io, left), e))
		return err_ctx(
		        e, "the new master could not be brought level while writes were stopped");
	p->has_position = true;
	sw_note_position(p, io);
	return true;
}
