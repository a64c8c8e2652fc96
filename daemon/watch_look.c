/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch_look - looks at the master: when, and what came of them.  Owned by watch; runs on: loop.
 *
 * One look at a time, begun once per interval, with the interval as its deadline, as MHA's.  Under
 * `corroborated` a session that breaks, and the first look that fails, are followed by another look at
 * once; under `mha` the cadence stays MHA's, since four failures of it are the measure there.
 */
#include "watch_impl.h"
#include "clock.h"
#include "loop.h"
#include "watch_self.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	RESTART_MS = 2500,   /* the server's start is known to about a second */
	OUR_FAULT_MS = 1000, /* most until a look that failed by our own fault is repeated */
	LOCK_AGAIN_MS = 250, /* until the server has missed our own earlier session */
	CONFIRM_LEAST_MS = 50,
	CONFIRM_MOST_MS = 250,
	LOGGED_FAILURES = 10, /* then a line per look says nothing new */
};

int64_t watch_interval(const struct watch *w)
{
	return w->master->ping_interval;
}

static bool is_mha(const struct watch *w)
{
	return w->master->detection == CONF_DETECT_MHA;
}

static const char *ping_word(const struct watch *w)
{
	static const char *const words[] = { [CONF_PING_CONNECT] = "CONNECT",
		[CONF_PING_SELECT] = "SELECT",
		[CONF_PING_INSERT] = "INSERT" };

	return words[w->master->ping_type];
}

static void schedule(struct watch *w, int64_t at)
{
	w->look.due = at;
	loop_timer_move(w->look.timer, at);
}

void watch_look_now(struct watch *w, int64_t deadline)
{
	struct watch_look *k = &w->look;
	int64_t now = clock_ms();

	if (probe_is_busy(k->probe)) {
		schedule(w, k->deadline + 1);
		return;
	}
	k->begun_us = clock_us();
	k->deadline = deadline;
	k->cut_at = 0;
	schedule(w, CLOCK_NEVER);
	loop_timer_move(k->half, now + (deadline - now) / 2);
	probe_ping(k->probe, deadline);
}

static void on_timer(void *arg)
{
	struct watch *w = arg;

	watch_self_count(w->env.self, WATCH_SELF_LATE, clock_us() - w->look.due * 1000);
	watch_look_now(w, clock_in(watch_interval(w)));
}

/* Half its time is over: if it is going to fail, others should have been asked already. */
static void on_half(void *arg)
{
	struct watch *w = arg;

	if (probe_is_busy(w->look.probe) && !watch_self_check(w->env.self))
		watch_gather_start(w);
}

/* ---- what came of it ---- */

static enum fact_how how_of(enum probe_how h)
{
	static const enum fact_how map[] = { [PROBE_FINE] = HOW_FINE,
		[PROBE_REFUSED] = HOW_REFUSED,
		[PROBE_CUT] = HOW_CUT,
		[PROBE_LATE] = HOW_LATE,
		[PROBE_UNREACHABLE] = HOW_UNREACHABLE,
		[PROBE_ALIVE] = HOW_ALIVE,
		[PROBE_ERROR] = HOW_ERROR,
		[PROBE_LOCKED] = HOW_LOCKED };

	return map[h];
}

static bool is_silence(enum fact_how h)
{
	return h == HOW_REFUSED || h == HOW_CUT || h == HOW_LATE || h == HOW_UNREACHABLE;
}

static void put_text(char *to, size_t size, const char *text)
{
	size_t n = strnlen(text, size - 1);

	memcpy(to, text, n);
	to[n] = '\0';
	verdict_clean(to);
}

static void set_how(struct watch *w, enum fact_how how, enum fact_layer layer, const struct err *e)
{
	struct fact_probe *p = &w->probe;

	if (how != p->how || e->code != p->code)
		evidence_say(w->evidence, "probe", "%s%s%s",
		        how == HOW_FINE ? "it answers" : e->text, e->hint[0] ? "; " : "", e->hint);
	p->how = how;
	p->layer = layer;
	p->code = e->code;
	put_text(p->text, sizeof(p->text), e->text);
}

/* It speaks again, whatever it says: what was counted ends. */
static void end_silence(struct watch *w)
{
	w->probe.failures = w->probe.failed_connects = 0;
	w->probe.silent_since = w->probe.first_failed = 0;
	w->script = w->script == SCRIPT_NONE ? SCRIPT_NONE : SCRIPT_IDLE;
	watch_gather_stop(w);
	if (w->told_silent) {
		w->told_silent = false;
		if (w->env.silent)
			w->env.silent(w->env.arg, w, false);
	}
}

/* A server that started later than when it was last asked was away: has it all that it had? */
static void look_for_restart(struct watch *w, const struct probe_server *s)
{
	struct watch_look *k = &w->look;
	bool other = k->server_uuid[0] && strcmp(k->server_uuid, s->uuid) != 0;
	int64_t later = s->started - k->server_started;

	if (k->version[0] && (other || (k->server_started && s->started && later > RESTART_MS))) {
		evidence_say(w->evidence, "probe", "%s",
		        other ? "another server answers there now" : "the server was restarted");
		watch_note(w, "restart", "mhad", "%s was restarted", w->master->hostinfo);
		w->probe.restarted = true;
		watch_tree_read(w);
	}
	k->server_started = s->started;
	k->server_id = s->server_id;
	snprintf(k->server_uuid, sizeof(k->server_uuid), "%s", s->uuid);
	snprintf(k->version, sizeof(k->version), "%s", s->version);
	if (s->uuid[0] && strcmp(s->uuid, w->remembered_uuid) != 0)
		watch_keep_save(w);
}

static void got_facts(void *arg, const struct probe_facts *f, const struct err *e)
{
	struct watch *w = arg;
	struct fact_probe *p = &w->probe;
	int64_t waiting;

	(void)e;
	p->acks_waiting = p->ackers = -1;
	/* A master whose last slave that acknowledges has gone waits; what was acknowledged lies there. */
	if (f)
		w->acked = f->semisync_on == PROBE_YES &&
		           (f->semisync_clients > 0 || (w->acked && f->semisync_clients == 0));
	if (f && f->semisync_enabled == PROBE_YES) {
		waiting = f->semisync_wait_sessions > f->semisync_waiting_threads
		                  ? f->semisync_wait_sessions
		                  : f->semisync_waiting_threads;
		p->acks_waiting = (int)waiting;
		p->ackers = (int)f->semisync_clients;
	}
	if (f)
		watch_semisync_seen(w, f);
	watch_judge(w);
}

/* Semi-sync is asked for now and then, and at each look where it is switched on. */
static void ask_facts(struct watch *w)
{
	struct watch_look *k = &w->look;
	int64_t now = clock_ms();

	if (!w->semisync.used && now - k->facts_at < w->master->replica_interval)
		return;
	if (probe_facts(k->probe, clock_in(watch_interval(w) / 2), got_facts))
		k->facts_at = now;
}

static void count_trip(struct watch *w, int64_t us)
{
	w->look.took_us = us;
	w->figures.counts[watch_self_bin(us)]++;
	w->figures.sum_us += us;
	watch_self_count(w->env.self, WATCH_SELF_TRIP, us);
}

static void went_well(struct watch *w, const struct probe_report *r)
{
	struct watch_look *k = &w->look;

	set_how(w, HOW_FINE, (enum fact_layer)r->layer, &r->err);
	w->probe.last_good = r->ended;
	w->probe.was_good = true;
	k->took_ms = r->ended - r->begun;
	if (!r->connected)
		count_trip(w, clock_us() - k->begun_us);
	k->lock_since = 0;
	end_silence(w);
	if (!k->said_good)
		watch_log(w, LOG_LV_INFO,
		        "Ping(%s) succeeded, waiting until MySQL doesn't respond..", ping_word(w));
	k->said_good = true;
	if (r->new_server && r->server)
		look_for_restart(w, r->server);
	watch_status_good(w);
	ask_facts(w);
}

/* Somebody else's, or ours of before: a server misses a session that was cut off only after a while. */
static void found_locked(struct watch *w, const struct probe_report *r)
{
	struct watch_look *k = &w->look;

	end_silence(w);
	if (!k->lock_since)
		k->lock_since = r->ended;
	snprintf(k->holder, sizeof(k->holder), "%s", r->holder);
	if (r->lock_is_ours || r->ended - k->lock_since < 4 * watch_interval(w))
		return;
	set_how(w, HOW_LOCKED, (enum fact_layer)r->layer, &r->err);
	put_text(w->probe.text, sizeof(w->probe.text), r->holder);
}

static void log_failure(struct watch *w, const struct probe_report *r, bool connecting)
{
	w->look.said_good = false;
	if (w->probe.failures > LOGGED_FAILURES)
		return;
	if (connecting)
		watch_log(w, LOG_LV_WARNING, "Got error on MySQL connect: %d (%s)", r->err.code,
		        r->err.text);
	else
		watch_log(w, LOG_LV_WARNING, "Got error on MySQL %s ping: %d (%s)",
		        w->master->ping_type == CONF_PING_INSERT ? "insert" : "select", r->err.code,
		        r->err.text);
	if (connecting && w->probe.failures > 1)
		watch_log(w, LOG_LV_WARNING, "Connection failed %d time(s)..", w->probe.failures);
}

static void fell_silent(struct watch *w, const struct probe_report *r)
{
	struct fact_probe *p = &w->probe;

	if (!p->silent_since || r->heard > p->silent_since)
		p->silent_since = r->heard ? r->heard : r->begun;
	if (r->how != PROBE_REFUSED && !w->told_silent && p->was_good) {
		w->told_silent = true;
		if (w->env.silent)
			w->env.silent(w->env.arg, w, true);
	}
}

/* What an earlier look built does not count. */
static enum fact_layer layer_of(const struct probe_report *r)
{
	return r->connected || r->how != PROBE_LATE ? (enum fact_layer)r->layer : LAYER_NOTHING;
}

static void failed(struct watch *w, const struct probe_report *r)
{
	struct fact_probe *p = &w->probe;
	bool connecting = r->layer < PROBE_LOGIN;

	w->figures.failed++;
	if (!p->failures++ && !p->first_failed)
		p->first_failed = r->begun;
	p->failed_connects += connecting;
	set_how(w, how_of(r->how), layer_of(r), &r->err);
	log_failure(w, r, connecting);
	if (is_silence(p->how)) {
		fell_silent(w, r);
		watch_gather_start(w);
	} else {
		p->silent_since = 0;
		watch_gather_host(w);
	}
}

/* Alive answers leave MHA's counter as it is, and its status file without a sign of life. */
static void was_turned_away(struct watch *w, const struct probe_report *r)
{
	int failures = w->probe.failures, connects = w->probe.failed_connects;
	int64_t first = w->probe.first_failed;

	set_how(w, HOW_ALIVE, (enum fact_layer)r->layer, &r->err);
	if (w->look.said_good)
		watch_log(w, LOG_LV_WARNING,
		        "Got MySQL error %d, but this is not a MySQL crash. "
		        "Continue health check.. (%s)",
		        r->err.code, r->err.text);
	w->look.said_good = false;
	end_silence(w);
	w->probe.failures = failures;
	w->probe.failed_connects = connects;
	w->probe.first_failed = first;
}

static int64_t next_look(const struct watch *w, const struct probe_report *r)
{
	int64_t now = clock_ms(), beat = r->begun + watch_interval(w);

	if (r->how == PROBE_OURS)
		return clock_sooner(now + OUR_FAULT_MS, now + watch_interval(w));
	if (r->how == PROBE_LOCKED && r->lock_is_ours)
		return clock_sooner(now + LOCK_AGAIN_MS, now + watch_interval(w));
	if (!is_mha(w) && is_silence(w->probe.how) && w->probe.failures == 1)
		return now;
	return beat > now ? beat : now;
}

static void on_report(void *arg, const struct probe_report *r)
{
	struct watch *w = arg;

	loop_timer_move(w->look.half, CLOCK_NEVER);
	w->probe.open = false;
	if (!r->ok && watch_self_check(w->env.self)) {
		schedule(w, clock_ms());
		return;
	}
	if (r->how == PROBE_FINE)
		went_well(w, r);
	else if (r->how == PROBE_LOCKED)
		found_locked(w, r);
	else if (r->how == PROBE_ALIVE)
		was_turned_away(w, r);
	else if (r->how == PROBE_OURS)
		evidence_say(
		        w->evidence, "manager", "a look failed by our own fault: %s", r->err.text);
	else
		failed(w, r);
	if (w->state == WATCH_CONFIRMING && r->how != PROBE_OURS && r->begun >= w->confirm_from)
		w->confirmed = true;
	schedule(w, next_look(w, r));
	watch_judge_now(w);
}

/* The session ended while idle: what a killed server does first. */
static void on_cut(void *arg, const struct err *e, int64_t at)
{
	struct watch *w = arg;

	evidence_say(w->evidence, "probe", "the idle session ended: %s", e->text);
	if (watch_self_check(w->env.self)) {
		schedule(w, clock_ms());
		return;
	}
	w->look.cut_at = at;
	w->look.said_good = false;
	if (!w->probe.failures)
		w->probe.silent_since = w->probe.first_failed = at;
	set_how(w, HOW_CUT, LAYER_NOTHING, e);
	watch_log(w, LOG_LV_WARNING, "Got error on MySQL select ping: %d (%s)", e->code, e->text);
	watch_gather_start(w);
	if (!is_mha(w))
		watch_look_now(w, clock_in(watch_interval(w)));
	watch_judge(w);
}

/* The moment of decision: a look that begins now, and is short. */
void watch_look_confirm(struct watch *w)
{
	int64_t ms = watch_interval(w) / 5;

	if (ms < CONFIRM_LEAST_MS)
		ms = CONFIRM_LEAST_MS;
	if (ms > CONFIRM_MOST_MS)
		ms = CONFIRM_MOST_MS;
	if (probe_is_busy(w->look.probe))
		probe_close(w->look.probe);
	w->confirm_from = clock_ms();
	watch_look_now(w, clock_in(ms));
}

void watch_look_void(struct watch *w)
{
	if (!w->look.probe || !probe_is_busy(w->look.probe))
		return;
	probe_close(w->look.probe);
	loop_timer_move(w->look.half, CLOCK_NEVER);
	schedule(w, clock_ms());
}

void watch_look_start(struct watch *w)
{
	const struct probe_opts o = { .ping_type = (enum conf_ping_type)w->master->ping_type,
		.interval_ms = watch_interval(w),
		.take_lock = !w->opts.no_lock && w->master->advisory_lock,
		.report = on_report,
		.cut = on_cut,
		.arg = w };
	struct watch_look *k = &w->look;

	memset(&w->probe, 0, sizeof(w->probe));
	w->probe.acks_waiting = w->probe.ackers = -1;
	*k = (struct watch_look){ .took_ms = -1, .took_us = -1, .due = w->born + w->opts.spread_ms };
	k->probe = probe_new(w->env.loop, w->env.jobs, w->master, &o);
	k->half = loop_timer_new(w->env.loop, CLOCK_NEVER, on_half, w);
	if (k->due < clock_ms())
		k->due = clock_ms();
	k->timer = loop_timer_new(w->env.loop, k->due, on_timer, w);
}

void watch_look_stop(struct watch *w)
{
	struct watch_look *k = &w->look;

	probe_free(TAKE(k->probe));
	loop_timer_free(TAKE(k->timer));
	loop_timer_free(TAKE(k->half));
}
