/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * switch_open - the point of no return: the new master takes writes, the clients come to it.  Runs on:
 * worker.
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
	AGAIN_MS = 50,    /* whoever comes again at once costs more time than he loses */
	LINGER_MS = 1000, /* so long those that were told to go may need for it */
};

/* ---- open ---- */

/* Waiting before there is anybody to acknowledge would hang the first commits: only where that is wanted. */
static bool take_semisync(struct planned *p, struct repl *r, int64_t deadline, struct err *e)
{
	return !p->semisync || p->fresh->conf->open_without_acker ||
	       repl_set_semisync(r, TRI_YES, TRI_NO, deadline, e);
}

SW_STEP(sw_open)
{
	struct planned *p = ctx;
	int64_t deadline = sw_until(io, 10000);
	struct repl *r = sw_repl(p->fresh, deadline, e);
	struct db *db = NULL;

	if (!r || !take_semisync(p, r, deadline, e))
		return false;
	db = repl_db(r, deadline, e);
	log_info("Setting read_only=0 on %s..", p->fresh->conf->hostinfo);
	if (!db || !db_exec(db, "SET GLOBAL read_only=0", e))
		return false;
	p->opened_us = clock_us();
	p->is_open = true;
	log_info(" ok.");
	return true;
}

SW_STEP(sw_is_open)
{
	struct planned *p = ctx;
	int64_t deadline = sw_until(io, 5000);
	struct repl *r = sw_repl(p->fresh, deadline, e);
	bool on = true;

	if (!r || !repl_read_only(r, deadline, &on, NULL, e))
		return false;
	if (!on && !p->is_open)
		p->is_open = true;
	return !on || err_set(e, ERR_PRECOND, 0, "%s is read-only", p->fresh->conf->hostinfo);
}

/* ---- the script ---- */

static bool start_hook(struct planned *p, struct run_io *io, struct err *e)
{
	AUTO(hook)
	struct hook *h =
	        hook_online_change(false, p->orig->conf, p->fresh->conf, p->o.orig_is_new_slave);
	struct err why = { 0 };

	log_info("Executing master ip online change script to allow write on the new master:");
	if (!h || sw_call_hook(p, h, io, &why)) {
		p->moved_us = clock_us();
		return true;
	}
	if (hook_status(&why) == HOOK_PROCEED) {
		run_warn(io, "master_ip_online_change_script start ended with 10. Proceeding.");
		p->moved_us = clock_us();
		return true;
	}
	if (e)
		*e = why;
	err_ctx(e, "the clients could not be brought to %s", p->fresh->conf->hostinfo);
	return err_hint(e, "the new master is open: give it the service address by hand");
}

SW_STEP(sw_start_hook)
{
	struct planned *p = ctx;
	bool fine = start_hook(p, io, e);

	atomic_store(&p->vip_done, true);
	return fine;
}

SW_STEP(sw_start_said)
{
	struct planned *p = ctx;

	(void)io;
	return p->moved_us || err_set(e, ERR_PRECOND, 0, "the script has not said so");
}

/* ---- nobody stays at the old one ---- */

/*
 * Until the clients are led to the new master they come again to the old one; there they are refused or, with
 * all tables locked, wait, and would write as soon as that lock goes.
 */
SW_STEP(sw_clear)
{
	struct planned *p = ctx;
	struct repl *r = sw_other(p->orig, sw_until(io, 5000), e);
	struct err why = { 0 };
	int left = 0;

	while (r && sw_has_hook(p) && !p->resumed && !atomic_load(&p->vip_done)) {
		if (!sw_kill_clients(p, r, sw_until(io, 5000), &left, e))
			return false;
		poll(NULL, 0, AGAIN_MS);
	}
	if (r && !sw_end_clients(p, r, 0, sw_until(io, LINGER_MS), &why))
		run_warn(io, "%s", why.text);
	return r;
}

/* ---- nobody's slave ---- */

SW_WHEN(sw_detaches)
{
	const struct planned *p = ctx;

	return !p->ring;
}

/* skip_reset_slave keeps the settings, but what it followed is a slave of its own now. */
SW_STEP(sw_detach)
{
	struct planned *p = ctx;
	int64_t deadline = sw_until(io, 25000);
	struct repl *r = sw_repl(p->fresh, deadline, e);

	if (r && p->fresh->conf->skip_reset_slave)
		return repl_stop_io(r, deadline, e) && repl_stop_sql(r, deadline, e);
	return r && repl_forget(r, deadline, e);
}

SW_STEP(sw_is_detached)
{
	struct planned *p = ctx;
	struct repl *r = sw_repl(p->fresh, run_deadline(io), e);
	struct repl_now now;
	bool kept = p->fresh->conf->skip_reset_slave;

	if (!r || !repl_look(r, sw_until(io, 5000), &now, e))
		return false;
	if (!now.is_replica || (kept && now.io == IO_NO && !now.sql_running))
		return true;
	return err_set(e, ERR_PRECOND, 0, "%s is still a slave of %s:%u", p->fresh->conf->hostinfo,
	        now.source_host, now.source_port);
}
