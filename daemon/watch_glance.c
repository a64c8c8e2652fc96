/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch_glance - what one watch shows of itself in metrics and on pages.  Runs on: loop, for a thousand watches
 * in a row: no JSON, nothing but copies.
 */
#include "watch_impl.h"
#include "clock.h"
#include "glance.h"
#include <string.h>

_Static_assert((int)GLANCE_BINS == (int)WATCH_SELF_BINS, "one set of bounds");

static const char *state_of(const struct replica_view *v)
{
	if (v->up)
		return v->n_channels ? "up" : "no_replica";
	if (v->refuses)
		return "refuses";
	return v->silent_since ? "silent" : v->polls ? "down" : "unknown";
}

static bool is_at(const struct conf_server *s, const char *host, unsigned port)
{
	return (unsigned)s->port == port &&
	       (str_is(s->hostname, host) || str_is(s->ip, host) || str_is(s->ssh_address, host));
}

static int source_of(const struct watch *w, const struct replica_channel *c)
{
	for (size_t i = 0; i < w->conf->n_servers; i++) {
		if (is_at(w->conf->servers[i], c->source_host, c->source_port))
			return (int)i;
	}
	return -1;
}

static const char *error_of(const struct replica_view *v, const struct replica_channel *c)
{
	if (!v->up)
		return v->polls ? v->err.text : "";
	if (!c)
		return "";
	return *c->io_error ? c->io_error : c->sql_error;
}

static void add_channel(
        const struct watch *w, const struct replica_channel *c, struct glance_server *ret)
{
	static const char *const io[] = { [REPLICA_IO_NO] = "No",
		[REPLICA_IO_CONNECTING] = "Connecting",
		[REPLICA_IO_YES] = "Yes" };

	ret->source = source_of(w, c);
	ret->io = c->io_running == REPLICA_IO_YES;
	ret->io_text = io[c->io_running];
	ret->sql = c->sql_running;
	ret->behind_s = c->seconds_behind;
	ret->heard = c->heard_at;
}

static enum glance_role role_of(const struct watch *w, const struct watch_member *m)
{
	if (m->conf == w->master)
		return GLANCE_MASTER;
	if (watch_is_absent(w, m->conf))
		return GLANCE_ABSENT;
	return m->replica ? GLANCE_REPLICA : GLANCE_OTHER;
}

static void add_server(const struct watch *w, const struct watch_member *m, struct arena *a,
        struct glance_server *ret)
{
	const struct replica_view *v = m->replica ? replica_view(m->replica) : NULL;

	*ret = (struct glance_server){ .name = arena_strdup(a, m->conf->hostinfo),
		.id = arena_strdup(a, m->conf->id),
		.role = role_of(w, m),
		.source = -1,
		.state = "",
		.io_text = "",
		.behind_s = -1,
		.error = "" };
	if (!v)
		return;
	ret->state = state_of(v);
	ret->up = v->up && v->n_channels;
	ret->error = arena_strdup(a, error_of(v, v->n_channels ? v->channels : NULL));
	if (v->n_channels)
		add_channel(w, &v->channels[0], ret);
}

static void add_servers(const struct watch *w, struct arena *a, struct glance_cluster *ret)
{
	struct glance_server *all = ARENA_ARRAY(a, struct glance_server, w->conf->n_servers);

	ret->master = -1;
	for (size_t i = 0; i < w->conf->n_servers; i++) {
		add_server(w, &w->members[i], a, &all[i]);
		if (all[i].role == GLANCE_MASTER)
			ret->master = (int)i;
	}
	ret->servers = all;
	ret->n_servers = w->conf->n_servers;
}

static void add_gates(const struct watch *w, struct arena *a, struct glance_cluster *ret)
{
	struct glance_gate *all = ARENA_ARRAY(a, struct glance_gate, GATE_COUNT);
	struct watch_gate_view v;

	ret->blocked_by = -1;
	for (enum watch_gate g = 0; g < GATE_COUNT; g++) {
		watch_gate(w, g, &v);
		if (v.blocks && ret->blocked_by < 0)
			ret->blocked_by = (int)g;
		all[g] = (struct glance_gate){ .blocks = v.blocks,
			.text = arena_strdup(a, v.text),
			.hint = arena_strdup(a, v.hint) };
	}
	ret->would_fail_over = ret->blocked_by < 0;
	ret->gates = all;
}

static void add_figures(const struct watch *w, struct arena *a, struct glance_cluster *ret)
{
	ret->looks.bounds_us = watch_self_bounds_us;
	memcpy(ret->looks.counts, w->figures.counts, sizeof(ret->looks.counts));
	ret->looks.sum_us = w->figures.sum_us;
	ret->looks_failed = w->figures.failed;
	ret->took_us = w->look.took_us;
	ret->last_good = w->probe.last_good;
	ret->acks_waiting = w->probe.acks_waiting;
	ret->semisync = w->semisync.enabled;
	ret->ackers = w->semisync.clients < 0 ? 0 : (int)w->semisync.clients;
	ret->acks_needed = (int)w->semisync.count;
	ret->semisync_text = w->semisync.enabled && w->semisync.fallen
	                             ? arena_strdup(a, w->semisync.text)
	                             : NULL;
}

void watch_glance(const struct watch *w, struct arena *a, struct glance_cluster *ret)
{
	const struct conf_server *m = w->master ? w->master : w->conf->servers[0];
	bool unknown = !w->master && w->tree.why_unknown[0];

	ret->watched = true;
	ret->state = watch_state_name(w->state);
	ret->verdict = verdict_name(w->verdict.code);
	ret->kind = verdict_kind_name(w->verdict.kind);
	ret->sentence =
	        unknown ? arena_strdup(a, w->tree.why_unknown) : verdict_sentence(w->verdict.code);
	ret->why = arena_strdup(a, w->verdict.why);
	ret->detection = m->detection == CONF_DETECT_MHA ? "mha" : "corroborated";
	ret->since = w->since;
	ret->paused = w->pause.on;
	ret->paused_until = w->pause.on ? w->pause.until : 0;
	ret->pause_reason = w->pause.on ? arena_strdup(a, w->pause.reason) : "";
	ret->paused_by = w->pause.on ? arena_strdup(a, w->pause.by) : "";
	add_figures(w, a, ret);
	add_gates(w, a, ret);
	add_servers(w, a, ret);
}
