/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch_facts - what is known now, in the form that verdict.c judges.  Nothing is decided here.
 * Runs on: loop.
 */
#include "watch_impl.h"
#include "clock.h"
#include "host.h"
#include "watch_self.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum fact_reach reach_of(const struct watch *w, const struct link_view *v)
{
	if (v->state == LINK_UP) {
		if (!w->gather.call_failed)
			return REACH_UP;
		return v->heard < w->gather.call_failed ? REACH_SILENT : REACH_TROUBLE;
	}
	if (v->state == LINK_OPENING || v->why == LINK_OURS)
		return REACH_UNKNOWN;
	return v->why == LINK_SILENT ? REACH_SILENT : REACH_TROUBLE;
}

static void add_host(const struct watch *w, struct fact_host *h)
{
	struct link *l = watch_member(w, w->master)->link;
	const struct link_view *v = link_view(l);

	*h = w->host;
	h->reach = reach_of(w, v);
	h->heard = v->heard;
	h->silent_since = 0;
	if (h->reach == REACH_SILENT)
		h->silent_since = v->state == LINK_UP ? w->gather.call_failed
		                  : v->heard          ? v->heard
		                                      : v->since;
}

/* The channel by which it follows the master, by what the file or the server itself says of it. */
static const struct replica_channel *channel_of(const struct watch *w, const struct replica_view *v)
{
	const struct conf_server *m = w->master;

	for (size_t i = 0; i < v->n_channels; i++) {
		const struct replica_channel *c = &v->channels[i];

		if (c->source_port == (unsigned)m->port &&
		        (str_is(c->source_host, m->hostname) || str_is(c->source_host, m->ip)))
			return c;
		if (*c->source_uuid && str_is(c->source_uuid, w->look.server_uuid))
			return c;
		if (c->source_server_id && c->source_server_id == w->look.server_id &&
		        !*c->source_uuid)
			return c;
	}
	return NULL;
}

static bool same_host(const struct conf_server *a, const struct conf_server *b)
{
	return str_is(a->ip, b->ip) || host_same(a, b);
}

static void add_replica(const struct watch *w, const struct watch_member *m, struct fact_replica *f)
{
	const struct replica_view *v = replica_view(m->replica);
	const struct replica_channel *c = channel_of(w, v);

	*f = (struct fact_replica){ .ignore_fail = m->conf->ignore_fail,
		.on_master_host = same_host(m->conf, w->master),
		.up = v->up || v->refuses,
		.looked = v->refuses ? v->heard : v->asked,
		.silent_since = v->silent_since && v->heard ? v->heard : v->silent_since,
		.missed = v->silent_since,
		.was_missed = v->was_silent,
		.back = v->back,
		.sight = m->sight,
		.sight_asked = m->sight_asked };
	snprintf(f->name, sizeof(f->name), "%s:%d", m->conf->hostname, m->conf->port);
	if (!c)
		return;
	f->follows = true;
	f->between = c->between;
	f->heard = c->heard_at;
	f->heartbeat = c->heartbeat_ms > 0 ? c->heartbeat_ms : 0;
	f->io_running = c->io_running == REPLICA_IO_YES;
	f->io_errno = c->io_errno;
	f->io_error_seen = c->io_error_seen;
}

static void add_witness(const struct watch *w, const struct watch_extra *x, struct fact_witness *f)
{
	*f = (struct fact_witness){ .on_master_host = str_is(x->conf->ip, w->master->ip),
		.sight = x->sight,
		.asked = x->asked,
		.silent_since = x->silent_since,
		.missed = x->missed };
	snprintf(f->name, sizeof(f->name), "%s", x->conf->hostname);
}

/* Rows of the arrays are written when used: most of this never is. */
const struct facts *watch_facts(const struct watch *w)
{
	static struct facts f;
	const char *ill = watch_self_why(w->env.self, w->master->tilt_hold);

	f.now = clock_ms();
	snprintf(f.master, sizeof(f.master), "%s:%d", w->master->hostname, w->master->port);
	f.detection = w->master->detection == CONF_DETECT_MHA ? DETECT_MHA : DETECT_CORROBORATED;
	f.interval = watch_interval(w);
	f.restart_grace = w->master->restart_grace;
	f.probe = w->probe;
	f.probe.open = probe_is_busy(w->look.probe);
	add_host(w, &f.host);
	f.self = (struct fact_self){ .tilt = ill };
	if (ill)
		snprintf(f.self.tilt_why, sizeof(f.self.tilt_why), "%s", ill);
	f.script = w->script;
	f.script_asked = w->script_asked;
	f.n_replicas = f.n_witnesses = 0;
	for (size_t i = 0; i < w->conf->n_servers && f.n_replicas < FACT_REPLICAS; i++) {
		if (w->members[i].replica)
			add_replica(w, &w->members[i], &f.replicas[f.n_replicas++]);
	}
	for (size_t i = 0; i < w->n_extras && f.n_witnesses < FACT_WITNESSES; i++)
		add_witness(w, &w->extras[i], &f.witnesses[f.n_witnesses++]);
	return &f;
}
