/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch_json - what the control socket tells of one watch.  Runs on: loop.
 */
#include "watch_impl.h"
#include "clock.h"
#include "control.h"
#include "watch_self.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *age(int64_t instant)
{
	return instant ? json_integer(clock_ms() - instant) : json_null();
}

static const char *server_state(const struct replica_view *v)
{
	if (v->up)
		return v->n_channels ? "up" : "no_replica";
	if (v->refuses)
		return "refuses";
	return v->silent_since ? "silent" : v->polls ? "down" : "unknown";
}

static const struct replica_channel *main_channel(const struct replica_view *v)
{
	return v->n_channels ? &v->channels[0] : NULL;
}

static json_t *replica_json(const struct watch_member *m)
{
	static const char *const io[] = { [REPLICA_IO_NO] = "No",
		[REPLICA_IO_CONNECTING] = "Connecting",
		[REPLICA_IO_YES] = "Yes" };
	const struct replica_view *v = replica_view(m->replica);
	const struct replica_channel *c = main_channel(v);
	json_t *j = json_object();

	json_object_set_new(j, "server", control_text(m->conf->hostinfo));
	json_object_set_new(j, "state", json_string(server_state(v)));
	json_object_set_new(j, "behind_s",
	        c && c->seconds_behind >= 0 ? json_integer(c->seconds_behind) : json_null());
	json_object_set_new(j, "io", c ? json_string(io[c->io_running]) : json_null());
	json_object_set_new(j, "sql", c ? json_string(c->sql_running ? "Yes" : "No") : json_null());
	json_object_set_new(j, "heard_ms", age(c ? c->heard_at : 0));
	json_object_set_new(
	        j, "error", v->up ? json_null() : control_text(v->polls ? v->err.text : ""));
	return j;
}

static json_t *replicas_json(const struct watch *w)
{
	json_t *a = json_array();

	for (size_t i = 0; i < w->conf->n_servers; i++) {
		if (w->members[i].replica)
			json_array_append_new(a, replica_json(&w->members[i]));
	}
	return a;
}

static json_t *pause_json(const struct watch *w)
{
	json_t *j;

	if (!w->pause.on)
		return json_null();
	j = json_object();
	json_object_set_new(j, "until_ms",
	        w->pause.until == CLOCK_NEVER ? json_null()
	                                      : json_integer(clock_left(w->pause.until)));
	json_object_set_new(j, "reason", control_text(w->pause.reason));
	json_object_set_new(j, "by", control_text(w->pause.by));
	return j;
}

static void add_gate(const struct watch *w, json_t *j)
{
	enum watch_gate g = watch_blocked(w);
	struct watch_gate_view v;

	json_object_set_new(j, "would_fail_over", json_boolean(g == GATE_COUNT));
	if (g == GATE_COUNT) {
		json_object_set_new(j, "gate", json_null());
		return;
	}
	watch_gate(w, g, &v);
	json_object_set_new(j, "gate", control_text(v.text));
}

static const char *sentence(const struct watch *w)
{
	if (!w->master && w->tree.why_unknown[0])
		return w->tree.why_unknown;
	return verdict_sentence(w->verdict.code);
}

static void add_head(const struct watch *w, json_t *j)
{
	json_object_set_new(j, "name", control_text(w->conf->name));
	json_object_set_new(j, "state", json_string(watch_state_name(w->state)));
	json_object_set_new(j, "since_ms", age(w->since));
	json_object_set_new(j, "verdict", json_string(verdict_name(w->verdict.code)));
	json_object_set_new(j, "kind", json_string(verdict_kind_name(w->verdict.kind)));
	json_object_set_new(j, "sentence", control_text(sentence(w)));
	json_object_set_new(j, "why", control_text(w->verdict.why));
}

json_t *watch_status_json(const struct watch *w)
{
	const struct conf_server *m = w->master ? w->master : w->conf->servers[0];
	json_t *j = json_object();

	add_head(w, j);
	add_gate(w, j);
	json_object_set_new(
	        j, "master", w->master ? control_text(w->master->hostinfo) : json_null());
	json_object_set_new(
	        j, "probe_ms", w->look.took_ms < 0 ? json_null() : json_integer(w->look.took_ms));
	json_object_set_new(j, "last_good_ms", age(w->probe.last_good));
	json_object_set_new(j, "replicas", replicas_json(w));
	json_object_set_new(j, "detection",
	        json_string(m->detection == CONF_DETECT_MHA ? "mha" : "corroborated"));
	json_object_set_new(j, "conf", control_text(w->conf->path));
	json_object_set_new(j, "paused", pause_json(w));
	json_object_set_new(j, "semisync", watch_semisync_json(w));
	return j;
}

static json_t *gates_json(const struct watch *w)
{
	json_t *a = json_array(), *j;
	struct watch_gate_view v;

	for (enum watch_gate g = 0; g < GATE_COUNT; g++) {
		watch_gate(w, g, &v);
		j = json_object();
		json_object_set_new(j, "name", json_string(watch_gate_name(g)));
		json_object_set_new(j, "blocks", json_boolean(v.blocks));
		json_object_set_new(j, "text", control_text(v.text));
		json_object_set_new(j, "hint", v.hint[0] ? control_text(v.hint) : json_null());
		json_array_append_new(a, j);
	}
	return a;
}

static json_t *lines_json(const struct watch *w)
{
	json_t *a = json_array(), *j;
	int64_t now = clock_ms();

	for (size_t i = 0; i < evidence_lines(w->evidence); i++) {
		const struct evidence_line *l = evidence_line(w->evidence, i);

		j = json_object();
		json_object_set_new(j, "at", json_integer(flap_now_ms() - (now - l->at)));
		json_object_set_new(j, "age_ms", json_integer(now - l->at));
		json_object_set_new(j, "who", control_text(l->who));
		json_object_set_new(j, "text", control_text(l->text));
		json_array_append_new(a, j);
	}
	return a;
}

json_t *watch_why_json(const struct watch *w, bool with_ring)
{
	json_t *j = json_object();

	add_head(w, j);
	json_object_set_new(j, "gates", gates_json(w));
	json_object_set_new(j, "semisync", watch_semisync_json(w));
	json_object_set_new(j, "evidence", lines_json(w));
	if (with_ring)
		json_object_set_new(
		        j, "ring", evidence_json(w->evidence, w->conf->name, clock_ms()));
	return j;
}
