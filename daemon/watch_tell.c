/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch_tell - what people and their scripts are told: log lines in MHA's words, events, alarms by
 * report_script, the history.  Owned by watch; runs on: loop.
 */
#include "watch_impl.h"
#include "clock.h"
#include "history.h"
#include "hook.h"
#include "loop.h"
#include "notify.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALARM_LEAST_MS = 2000 }; /* what passes sooner disturbs nobody */

static struct log_ctx enter(const struct watch *w)
{
	return log_set_ctx((struct log_ctx){
	        .cluster = w->conf->name, .host = w->master ? w->master->hostname : NULL });
}

static void said(const struct watch *w, enum log_level level, const char *text)
{
	if (w->env.said)
		w->env.said(w->env.arg, w->anchor->w, level, text);
}

void watch_log(const struct watch *w, enum log_level level, const char *fmt, ...)
{
	struct log_ctx old = enter(w);
	AUTO_STR struct str s = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(&s, fmt, ap);
	va_end(ap);
	log_at(level, "%s", s.p);
	log_set_ctx(old);
	said(w, level, s.p);
}

void watch_log_event(const struct watch *w, enum log_event ev, const char *fmt, ...)
{
	struct log_ctx old = enter(w);
	AUTO_STR struct str s = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(&s, fmt, ap);
	va_end(ap);
	log_event(ev, verdict_name(w->verdict.code), "%s", s.p);
	log_set_ctx(old);
	said(w, log_event_level(ev), s.p);
}

void watch_note(const struct watch *w, const char *what, const char *by, const char *fmt, ...)
{
	AUTO_STR struct str s = STR_INIT;
	struct err e = { 0 };
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(&s, fmt, ap);
	va_end(ap);
	if (!history_add(w->env.state_dir, w->conf->name, what, by, &e, "%s", s.p))
		watch_log(w, LOG_LV_WARNING, "the history cannot be written: %s", e.text);
}

/* ---- alarms ---- */

struct report {
	struct watch_anchor *anchor;
};

static void reported(void *arg, const struct hook *h, const struct str *output, const struct err *e)
{
	struct report *r = arg;
	struct watch *w = r->anchor->w;

	(void)h;
	if (w && output->len)
		log_raw(output->p, output->len);
	if (w && e)
		watch_log(w, LOG_LV_ERROR, "report_script: %s", e->text);
	watch_let_go(r->anchor);
	free(r);
}

static char *report_body(const struct watch *w)
{
	AUTO_STR struct str s = STR_INIT;
	struct watch_gate_view v;
	enum watch_gate g = watch_blocked(w);

	str_addf(&s, "Master %s: %s.\n\n%s\n\n", w->master->hostinfo,
	        verdict_sentence(w->verdict.code), w->verdict.why);
	if (g != GATE_COUNT) {
		watch_gate(w, g, &v);
		str_addf(&s, "There is no failover now (%s): %s\n", watch_gate_name(g), v.text);
		if (v.hint[0])
			str_addf(&s, "%s\n", v.hint);
	}
	str_addf(&s, "\nmhactl why %s tells what was seen.\n", w->conf->name);
	return str_take(&s);
}

void watch_report(struct watch *w, const char *subject, const char *body)
{
	struct hook *h = hook_report(w->master, w->conf->path, subject, body);
	struct report *r;

	if (!h)
		return;
	if (w->env.notify) {
		notify_put(w->env.notify, w->conf->name, w->master, h);
		return;
	}
	r = xzalloc(sizeof(*r));
	r->anchor = watch_hold(w);
	hook_start(w->env.jobs, h, w->master->hook_timeout, reported, r);
}

/* MHA's scripts expect to be called when a failover is over, not before too. */
static bool is_wanted(const struct watch *w)
{
	return w->master->report_on == CONF_REPORT_ALL ||
	       (w->state != WATCH_DEAD && w->state != WATCH_FAILING_OVER);
}

static void send_report(struct watch *w)
{
	AUTO(free)
	char *subject = xasprintf("%s: MySQL Master %s(%s:%d) %s", w->conf->name,
	        w->master->hostname, w->master->ip, w->master->port, verdict_name(w->verdict.code));
	AUTO(free) char *body = report_body(w);

	w->report_due = !is_wanted(w);
	if (!w->report_due)
		watch_report(w, subject, body);
}

static bool is_alarming(const struct watch *w)
{
	return w->master &&
	       (w->verdict.kind == VERDICT_ALARM || w->verdict.kind == VERDICT_CHOICE ||
	               w->verdict.kind == VERDICT_DEAD);
}

static void alarm_now(struct watch *w)
{
	const struct verdict *v = &w->verdict;

	if (!is_alarming(w) || w->alarmed == v->code)
		return;
	w->alarmed = v->code;
	watch_log_event(w, v->kind == VERDICT_DEAD ? LOG_EV_MASTER_DEAD : LOG_EV_ALARM,
	        "%s: %s (%s)", verdict_name(v->code), verdict_sentence(v->code), v->why);
	watch_note(w, "alarm", "mhad", "%s: %s", verdict_name(v->code), v->why);
	send_report(w);
}

static void on_alarm(void *arg)
{
	alarm_now(arg);
}

static void end_alarm(struct watch *w)
{
	if (w->alarmed == VERDICT_HEALTHY)
		return;
	watch_log_event(w, LOG_EV_RECOVERED, "the master answers again, it was %s.",
	        verdict_name(w->alarmed));
	watch_note(w, "recovered", "mhad", "it was %s", verdict_name(w->alarmed));
	w->alarmed = VERDICT_HEALTHY;
	w->report_due = false;
}

void watch_tell_verdict(struct watch *w, enum verdict_code before)
{
	const struct verdict *v = &w->verdict;
	int64_t wait = 2 * (w->master ? watch_interval(w) : 0);

	if (v->code == before)
		return;
	evidence_say(w->evidence, "verdict", "%s: %s", verdict_name(v->code),
	        v->why[0] ? v->why : verdict_sentence(v->code));
	if (v->kind == VERDICT_GOOD)
		end_alarm(w);
	if (!w->alarm)
		w->alarm = loop_timer_new(w->env.loop, CLOCK_NEVER, on_alarm, w);
	loop_timer_move(w->alarm, is_alarming(w)
	                                  ? clock_in(wait > ALARM_LEAST_MS ? wait : ALARM_LEAST_MS)
	                                  : CLOCK_NEVER);
	if (v->kind == VERDICT_ALARM && v->code != VERDICT_MANAGER_ILL)
		watch_log(w, LOG_LV_WARNING, "%s: %s", verdict_name(v->code), v->why);
}

/* ---- states ---- */

static void tell_blocked(struct watch *w)
{
	struct watch_gate_view v;
	enum watch_gate g = watch_blocked(w);

	alarm_now(w);
	if (w->report_due && is_alarming(w))
		send_report(w);
	if (g == GATE_COUNT)
		return;
	watch_gate(w, g, &v);
	watch_log_event(w, LOG_EV_BLOCKED, "there is no failover (%s): %s%s%s", watch_gate_name(g),
	        v.text, v.hint[0] ? "  Hint: " : "", v.hint);
	watch_note(w, "blocked", "mhad", "%s: %s", watch_gate_name(g), v.text);
}

static void tell_status(struct watch *w)
{
	static const enum status_file_state map[] = {
		[WATCH_STARTING] = STATUS_FILE_INITIALIZING_MONITOR,
		[WATCH_NO_MASTER] = STATUS_FILE_CONFIG_ERROR,
		[WATCH_LOCKED] = STATUS_FILE_CONFIG_ERROR,
		[WATCH_MONITORING] = STATUS_FILE_PING_OK,
		[WATCH_SUSPECT] = STATUS_FILE_PING_FAILING,
		[WATCH_CONFIRMING] = STATUS_FILE_PING_FAILING,
		[WATCH_DEAD] = STATUS_FILE_PING_FAILED,
		[WATCH_FAILING_OVER] = STATUS_FILE_FAILOVER_RUNNING,
		[WATCH_BLOCKED] = STATUS_FILE_PING_FAILED,
		[WATCH_TILT] = STATUS_FILE_PING_FAILING,
	};

	/* A turned away ping leaves MHA's file as it was, so that it grows old. */
	if (w->state == WATCH_STOPPED || w->state == WATCH_PAUSED ||
	        (w->state == WATCH_MONITORING && w->probe.how != HOW_FINE))
		return;
	if (map[w->state] != w->status_state || !w->status)
		watch_status(w, map[w->state]);
}

void watch_tell_state(struct watch *w, enum watch_state before)
{
	bool trivial = before == WATCH_STARTING || w->state == WATCH_STOPPED;

	evidence_say(w->evidence, "state", "%s -> %s", watch_state_name(before),
	        watch_state_name(w->state));
	tell_status(w);
	if (w->state == WATCH_MONITORING &&
	        (trivial || before == WATCH_NO_MASTER || before == WATCH_LOCKED))
		watch_log_event(w, LOG_EV_WATCHING, "the master is %s.", w->master->hostinfo);
	if (w->state == WATCH_SUSPECT && before == WATCH_MONITORING)
		watch_log_event(
		        w, LOG_EV_SUSPECT, "%s: %s", verdict_name(w->verdict.code), w->verdict.why);
	if (w->state == WATCH_LOCKED)
		watch_log_event(w, LOG_EV_LOCKED,
		        "Target master's advisory lock is already held by someone. It is %s.",
		        w->look.holder);
	if (w->state == WATCH_BLOCKED)
		tell_blocked(w);
	if (!trivial)
		watch_note(w, "state", "mhad", "%s -> %s (%s)", watch_state_name(before),
		        watch_state_name(w->state), verdict_name(w->verdict.code));
}

/* MHA's lines, which people and scripts wait for. */
void watch_tell_death(struct watch *w)
{
	watch_log(w, LOG_LV_WARNING, "Master is not reachable from health checker!");
	watch_log(w, LOG_LV_WARNING, "Master %s is not reachable!", w->master->hostinfo);
	watch_log(w, LOG_LV_WARNING, "SSH is %s.",
	        watch_ssh_works(w) ? "reachable" : "NOT reachable");
}
