/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * failover_close - phase 2: the old master is closed before the slaves stop listening to it.  Runs on:
 * worker.
 */
#include "failover_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "clock.h"
#include "guard.h"
#include "hook.h"
#include "hookline.h"
#include "log.h"
#include "str.h"

enum {
	CLOSE_MS = 1500,
	FENCE_MS = 20000,
	FENCE_BLIND_MS = 2000 /* it did not answer a moment ago */,
	HOOK_PROCEED = 10
};

/* ---- the service address ---- */

static void set_facts(const struct failover *f, struct hook *h)
{
	AUTO(free) char *token = xasprintf("%llu", (unsigned long long)f->token);

	hook_set_env(h, "MHAD_CLUSTER", f->conf->name);
	hook_set_env(h, "MHAD_RUN", f->run_name);
	if (f->token)
		hook_set_env(h, "MHAD_TOKEN", token);
}

bool fo_call_hook(
        struct failover *f, struct hook *h, struct run_io *io, int64_t limit_ms, struct err *e)
{
	AUTO_STR struct str out = STR_INIT;
	AUTO(free) char *text = NULL;
	bool fine;

	set_facts(f, h);
	if (f->line)
		hookline_equip(f->line, h);
	text = hook_text(h);
	log_info("Executing %s", text);
	fine = hook_run(h, fo_until(io, limit_ms), &out, e);
	if (out.len)
		log_raw(out.p, out.len);
	return fine;
}

FO_WHEN(fo_any_time)
{
	(void)ctx;
	return true;
}

/*
 * Nobody is there who could be told to close: then the slaves may be frozen at once, while it is seen to
 * that none comes.  A server that answers is closed first, step by step.
 */
FO_WHEN(fo_is_down)
{
	const struct failover *f = ctx;

	return f->cannot_close || f->o.verdict == VERDICT_PROCESS_DEAD ||
	       f->o.verdict == VERDICT_HOST_DEAD;
}

/*
 * One that hangs may take its time to answer, and may wake up at any moment: it is ended while it is still
 * asked to close.
 */
FO_WHEN(fo_is_stuck)
{
	struct failover *f = ctx;

	return fo_is_down(f) || f->o.verdict == VERDICT_HUNG;
}

/* MHA's reading of exit codes: 10 is a failure that does not stop anything. */
FO_STEP(fo_vip_off)
{
	struct failover *f = ctx;
	AUTO(hook) struct hook *h = hook_ip_failover_stop(f->dead->conf, f->ssh);
	struct err why = { 0 };
	char code[HOOK_CODE_MAX];

	if (!h) {
		log_warning("master_ip_failover_script is not set. Skipping invalidating dead "
		            "master IP address.");
		run_untouched(io);
		return f->vip_off = true;
	}
	f->vip_called = true;
	if (fo_call_hook(f, h, io, f->dead->conf->hook_timeout, &why)) {
		f->vip_off = f->vip_is_gone = true;
		fo_report(f, "Invalidated master IP address on %s", f->dead->conf->hostinfo);
		return true;
	}
	fo_report(f, "Failed to deactivate master IP with return code %s", hook_code(&why, code));
	if (hook_status(&why) == HOOK_PROCEED) {
		run_warn(io, "Failed to deactivate master IP with return code 10:0. Proceeding.");
		return f->vip_off = true;
	}
	if (e)
		*e = why;
	return err_ctx(e, "master_ip_failover_script could not take the service address away");
}

/* Where it is now, nobody can say but the script, which has said it by its exit code. */
FO_STEP(fo_vip_is_off)
{
	struct failover *f = ctx;

	(void)io;
	return f->vip_off || err_set(e, ERR_PRECOND, 0, "the script has not said so");
}

/* The script knows no way back: nobody has the address now, and somebody has to know that. */
FO_STEP(fo_vip_stays_off)
{
	struct failover *f = ctx;

	(void)io;
	if (!f->vip_called)
		return true;
	err_set(e, ERR_PRECOND, 0,
	        f->vip_off ? "the service address was taken from %s, and nobody has it now"
	                   : "whether %s still has the service address is not known",
	        f->dead->conf->hostinfo);
	return err_hint(e, "the next failover gives it to the new master; by hand: the script's "
	                   "--command=start");
}

/* ---- a server that still answers ---- */

static bool answers(struct failover *f, struct run_io *io)
{
	return !fo_is_down(f) && fo_repl(f->dead, fo_until(io, CLOSE_MS), NULL) != NULL;
}

FO_STEP(fo_close)
{
	struct failover *f = ctx;
	int killed = 0, left = 0;
	bool on = false, super = false;

	f->close_done = true;
	f->closed = false;
	if (!answers(f, io)) {
		run_untouched(io);
		return true;
	}
	log_info("%s answers: refusing its writes", f->dead->conf->hostinfo);
	if (repl_read_only(f->dead->repl, fo_until(io, CLOSE_MS), &on, &super, NULL) && !on)
		f->was_writable = true;
	run_note(io, "was_writable", json_boolean(f->was_writable));
	if (!repl_set_read_only(f->dead->repl, true, fo_until(io, CLOSE_MS), e))
		return err_ctx(e, "%s could not be made read-only", f->dead->conf->hostinfo);
	f->closed = true;
	if (!repl_kill_clients(f->dead->repl, NULL, fo_until(io, CLOSE_MS), &killed, &left, e))
		return false;
	log_info("%d clients of %s were ended, %d are left", killed, f->dead->conf->hostinfo, left);
	return true;
}

FO_STEP(fo_closed)
{
	struct failover *f = ctx;
	bool on = false, super = false;

	if (!f->closed)
		return f->close_done || err_set(e, ERR_PRECOND, 0, "not tried");
	return repl_read_only(f->dead->repl, fo_until(io, CLOSE_MS), &on, &super, e) &&
	       (on || err_set(e, ERR_PRECOND, 0, "%s is not read-only", f->dead->conf->hostinfo));
}

FO_STEP(fo_unclose)
{
	struct failover *f = ctx;

	while (guard_is_closing(f->guard) && clock_left(run_deadline(io)) > 0)
		nanosleep(&(struct timespec){ .tv_nsec = 10 * 1000 * 1000 }, NULL);
	if (!f->was_writable)
		return true;
	return fo_repl(f->dead, fo_until(io, CLOSE_MS), e) &&
	       repl_set_read_only(f->dead->repl, false, fo_until(io, CLOSE_MS), e);
}

/* ---- fence ---- */

/* What mha-node has seen, in a line. */
static void add_facts(const json_t *answer, struct str *to)
{
	const json_t *fact;
	size_t i;

	json_array_foreach (json_object_get(answer, "facts"), i, fact)
		str_addf(to, "%s%s", i ? "; " : "", json_string_value(fact));
}

static void take_fence(struct failover *f, const struct link_result *r, const struct err *why)
{
	const char *result = json_string_value(json_object_get(r->value, "result"));
	AUTO_STR struct str facts = STR_INIT;

	add_facts(r->value, &facts);

	if (str_is(result, "fenced"))
		f->fenced = FENCE_DONE;
	else
		f->fenced = str_is(result, "failed") ? FENCE_FAILED : FENCE_UNPROVEN;
	if (f->fenced == FENCE_DONE)
		snprintf(f->fenced_why, sizeof(f->fenced_why),
		        "mha-node on its host has seen its processes end and holds it down%s%.200s",
		        facts.len ? ": " : "", facts.len ? facts.p : "");
	else
		snprintf(f->fenced_why, sizeof(f->fenced_why), "%.280s",
		        facts.len               ? facts.p
		        : why->kind != ERR_NONE ? why->text
		                                : "mha-node could not show it");
}

static bool ask_fence(
        struct failover *f, bool settle, struct run_io *io, struct link_result *ret, struct err *e)
{
	json_t *args = json_pack("{s:i, s:b, s:s, s:i}", "port", f->dead->conf->port, "hold", 1,
	        "token", f->run_name, "timeout", FENCE_MS - 2000);

	if (!settle)
		json_object_set_new(args, "no-settle", json_true());
	return link_run(f->dead->door, "fence", args,
	        fo_until(io, f->ssh ? FENCE_MS : FENCE_BLIND_MS), ret, e);
}

/*
 * Nobody but a power switch can close a host that is silent: whether it may be done without is the
 * setting's word, once the switch has had its turn (fo_power_off).
 */
FO_STEP(fo_fence)
{
	struct failover *f = ctx;
	struct link_result r = { .status = -1 };
	struct err why = { 0 };

	(void)e;
	if (f->o.ssh_reachable == 0 || f->host_silent)
		err_set(&why, ERR_UNREACHABLE, 0, "%s", f->ssh_why);
	else if (ask_fence(f, false, io, &r, &why))
		why.kind = ERR_NONE;
	take_fence(f, &r, &why);
	link_result_done(&r);
	if (f->fenced == FENCE_UNPROVEN)
		run_untouched(io);
	run_note(io, "fenced", json_integer(f->fenced));
	run_note(io, "fenced_why", json_string(f->fenced_why));
	log_info("Fencing %s: %s (%s)", f->dead->conf->hostinfo, fence_result_name(f->fenced),
	        f->fenced_why);
	return true;
}

FO_WHEN(fo_is_fenced)
{
	const struct failover *f = ctx;

	return f->fenced == FENCE_DONE && !f->powered_off;
}

/* A supervisor that nobody knows of takes a moment to bring a server back. */
FO_STEP(fo_stays_down)
{
	struct failover *f = ctx;
	struct link_result r = { .status = -1 };
	struct err why = { 0 };
	long long back;

	if (ask_fence(f, true, io, &r, &why))
		why.kind = ERR_NONE;
	back = (long long)json_integer_value(json_object_get(r.value, "came_back"));
	if (r.value)
		take_fence(f, &r, &why);
	link_result_done(&r);
	if (back)
		run_warn(io, "%s was started again %lld times by something on its host, and ended",
		        f->dead->conf->hostinfo, back);
	if (why.kind != ERR_NONE && e)
		*e = why;
	return why.kind == ERR_NONE;
}

FO_STEP(fo_fenced)
{
	struct failover *f = ctx;

	(void)io;
	if (f->fenced == FENCE_NOT_YET)
		return err_set(e, ERR_PRECOND, 0, "not tried");
	if (f->fenced == FENCE_FAILED && !f->o.force) {
		err_set(e, ERR_PRECOND, 0, "%s goes on running: %s", f->dead->conf->hostinfo,
		        f->fenced_why);
		return err_hint(e, "stop it by hand, then fail over again; --force overrides");
	}
	if (f->fenced == FENCE_DONE || f->o.force ||
	        f->dead->conf->fence == CONF_FENCE_BEST_EFFORT ||
	        hook_is_set(f->dead->conf->shutdown_script))
		return true;
	err_set(e, ERR_PRECOND, 0, "it is not proven that %s is closed (%s), and fence=required",
	        f->dead->conf->hostinfo, f->fenced_why);
	return err_hint(e,
	        "set up a shutdown_script that switches its power, or fence=best_effort; "
	        "mhactl failover --force overrides");
}

FO_STEP(fo_unfence)
{
	struct failover *f = ctx;
	struct link_result r = { .status = -1 };
	bool fine;

	if (f->fenced == FENCE_NOT_YET || f->fenced == FENCE_UNPROVEN)
		return true;
	fine = link_run(f->dead->door, "release", json_pack("{s:i}", "port", f->dead->conf->port),
	        fo_until(io, FENCE_MS), &r, e);
	link_result_done(&r);
	if (fine) {
		f->fenced = FENCE_NOT_YET;
		snprintf(f->fenced_why, sizeof(f->fenced_why),
		        "it was held down, and let go when the failover broke off");
	}
	return fine;
}

/* ---- the slaves keep what they have ---- */

static bool freeze_one(struct failover *f, struct fo_server *s, struct run_io *io, struct err *e)
{
	int64_t deadline = fo_until(io, 30000);
	struct repl *r = fo_repl(s, deadline, e);

	(void)f;
	s->frozen = true;
	if (!r)
		return false;
	if (s->purge_was_on && !repl_set_relay_purge(r, false, deadline, e))
		return false;
	/* With the source's side on and nobody to acknowledge, a slave stalls in its own applier. */
	if (s->semisync_source_was == TRI_YES &&
	        !repl_set_semisync(r, TRI_NO, TRI_UNKNOWN, deadline, e))
		return false;
	return repl_stop_io(r, deadline, e);
}

/* As MHA: who cannot be stopped stops the failover, unless it is marked. */
static bool judge_aside(struct failover *f, struct run_io *io, struct err *e)
{
	for (size_t i = 0; i < f->n; i++) {
		struct fo_server *s = &f->servers[i];

		if (!s->aside || !s->frozen || s->conf->ignore_fail || f->o.force)
			continue;
		(void)io;
		fo_report(f, "Stopping IO thread failed.");
		err_set(e, ERR_PRECOND, 0, "the receiver of %s could not be stopped: %s",
		        s->conf->hostinfo, s->why);
		return err_hint(e, "set ignore_fail=1 for it, or --force");
	}
	return true;
}

FO_STEP(fo_freeze)
{
	struct failover *f = ctx;

	fo_each_slave(f, io, NULL, freeze_one, true, NULL);
	return judge_aside(f, io, e);
}

static bool frozen_one(struct failover *f, struct fo_server *s, struct run_io *io, struct err *e)
{
	struct repl_now now;
	struct repl *r = fo_repl(s, run_deadline(io), e);

	(void)f;
	if (!r || !repl_look(r, fo_until(io, 5000), &now, e))
		return false;
	return !now.is_replica || now.io == IO_NO ||
	       err_set(e, ERR_PRECOND, 0, "its receiver runs");
}

FO_STEP(fo_frozen)
{
	return !fo_each_slave(ctx, io, NULL, frozen_one, false, e);
}

static bool thaw_one(struct failover *f, struct fo_server *s, struct run_io *io, struct err *e)
{
	int64_t deadline = fo_until(io, 10000);
	struct repl *r = fo_repl(s, deadline, e);
	bool fine = r != NULL;

	(void)f;
	if (!fine || !s->frozen)
		return fine;
	if (s->purge_was_on)
		fine = repl_set_relay_purge(r, true, deadline, e);
	if (s->semisync_source_was == TRI_YES)
		fine = repl_set_semisync(r, TRI_YES, TRI_UNKNOWN, deadline, e) && fine;
	if (s->received)
		fine = repl_start_io(r, deadline, e) && fine;
	return fine;
}

/* Who was set aside is put back too, if it is there. */
static void thaw_aside(struct failover *f, struct run_io *io)
{
	for (size_t i = 0; i < f->n; i++) {
		struct fo_server *s = &f->servers[i];
		struct err why = { 0 };

		if (s->aside && s->frozen && !thaw_one(f, s, io, &why))
			run_warn(io, "%s stays with relay_log_purge=0 and a stopped receiver: %s",
			        s->conf->hostinfo, why.text);
	}
}

FO_STEP(fo_thaw)
{
	thaw_aside(ctx, io);
	return !fo_each_slave(ctx, io, NULL, thaw_one, false, e);
}
