/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch_semisync - whether the master's commits are acknowledged as asked for; told when that changes.  Owned by
 * watch; runs on: loop.
 *
 * A master that fell back is no reason to fail over: it takes writes.  But what it acknowledges to clients may be
 * nowhere else, which somebody should know before it dies.
 */
#include "watch_impl.h"
#include "control.h"
#include <stdio.h>
#include <string.h>

static void describe(struct watch_semisync *s, bool on)
{
	long long clients = s->clients < 0 ? 0 : s->clients, count = s->count;

	s->text[0] = '\0';
	if (s->enabled && !on)
		snprintf(s->text, sizeof(s->text),
		        "the master has fallen back to asynchronous: %lld slave%s acknowledge%s, "
		        "%lld "
		        "must",
		        clients, clients == 1 ? "" : "s", clients == 1 ? "s" : "", count);
	else if (s->enabled && s->clients >= 0 && s->clients < s->count)
		snprintf(s->text, sizeof(s->text),
		        "commits wait for %lld acknowledgements, and only %lld slave%s can give "
		        "one",
		        count, clients, clients == 1 ? "" : "s");
}

static void report(struct watch *w, const char *text)
{
	AUTO(free) char *subject = xasprintf("%s: semi-sync is lost", w->conf->name);
	AUTO(free)
	char *body =
	        xasprintf("%s\n\nmhactl check semisync %s tells more, mhactl semisync repair %s "
	                  "mends it.\n",
	                text, w->conf->name, w->conf->name);

	if (w->master && w->master->report_on == CONF_REPORT_ALL)
		watch_report(w, subject, body);
}

static void tell(struct watch *w, const struct watch_semisync *before)
{
	const struct watch_semisync *s = &w->semisync;

	if (str_is(s->text, before->text))
		return;
	if (s->fallen) {
		evidence_say(w->evidence, "semisync", "%s", s->text);
		watch_log_event(w, LOG_EV_SEMISYNC_LOST,
		        "semi-sync: %s  Hint: mhactl semisync repair %s", s->text, w->conf->name);
		watch_note(w, "semisync", "mhad", "%s", s->text);
		report(w, s->text);
	} else {
		evidence_say(w->evidence, "semisync", "commits are acknowledged again");
		watch_log_event(w, LOG_EV_SEMISYNC_BACK, "semi-sync: %s.",
		        s->enabled ? "commits are acknowledged again" : "it was switched off");
		watch_note(w, "semisync", "mhad", "%s",
		        s->enabled ? "commits are acknowledged again" : "it was switched off");
	}
	if (w->env.changed)
		w->env.changed(w->env.arg, w);
}

void watch_semisync_seen(struct watch *w, const struct probe_facts *f)
{
	struct watch_semisync before = w->semisync, *s = &w->semisync;
	bool off = f->semisync_enabled != PROBE_YES;

	/* Whoever mends it switches it off and on. */
	if (before.enabled && off && !before.off_once) {
		s->off_once = true;
		return;
	}
	s->off_once = false;
	s->used = s->used || !off;
	s->enabled = f->semisync_enabled == PROBE_YES;
	s->clients = f->semisync_clients;
	s->count = f->semisync_wait_count;
	describe(s, f->semisync_on == PROBE_YES);
	s->fallen = s->text[0];
	tell(w, &before);
}

json_t *watch_semisync_json(const struct watch *w)
{
	const struct watch_semisync *s = &w->semisync;

	if (!s->enabled)
		return json_null();
	return json_pack("{s:b, s:I, s:I, s:o}", "ok", !s->fallen, "ackers",
	        (json_int_t)(s->clients < 0 ? 0 : s->clients), "needed", (json_int_t)s->count,
	        "text", s->fallen ? control_text(s->text) : json_null());
}
