/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * semisync_judge - what is wrong with a cluster's semi-sync, what mends it, and both in words.  Runs on: any
 * thread.  Pure.
 */
#include "semisync.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vec.h"

struct judge {
	const struct topology *t;
	const struct semisync_now *now;
	bool enable;
	struct semisync_plan *p;
	VEC(struct semisync_trouble) troubles;
	VEC(struct semisync_deed) deeds;
	const struct topology_server *master;
	const struct semisync_now *m; /* the master's */
	int64_t ackers;               /* at work now */
	int64_t will;                 /* when all is done */
};

static const char *host(const struct topology_server *v)
{
	return v->snap->conf->hostinfo;
}

static const struct semisync_now *of(const struct judge *j, const struct topology_server *v)
{
	return &j->now[v - j->t->servers];
}

static void trouble(struct judge *j, const struct topology_server *v, bool error, const char *hint,
        const char *fmt, ...) PRINTF_LIKE(5, 6);
static void trouble(struct judge *j, const struct topology_server *v, bool error, const char *hint,
        const char *fmt, ...)
{
	struct semisync_trouble x = { .server = v, .error = error };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(x.text, sizeof(x.text), fmt, ap);
	va_end(ap);
	snprintf(x.hint, sizeof(x.hint), "%s", hint ? hint : "");
	vec_push(&j->troubles, x);
}

static void deed(struct judge *j, enum semisync_deed_kind kind, const struct topology_server *v,
        int64_t count)
{
	vec_push(&j->deeds, (struct semisync_deed){ kind, v, count });
}

static bool is_direct(const struct judge *j, const struct topology_server *v)
{
	return v != j->master && v->tier == 1 && v->is_slave && of(j, v)->known;
}

static bool is_used(const struct judge *j)
{
	if (j->m->source_enabled)
		return true;
	for (size_t i = 0; i < j->t->n_servers; i++)
		if (is_direct(j, &j->t->servers[i]) && j->now[i].replica_enabled)
			return true;
	return false;
}

/*
 * ---- slaves ------------------------------------------------------------------------------------
 */

/* Shall it acknowledge?  Who does so already shall; others where the aim is all, or where too few do. */
static bool is_wanted(const struct judge *j, const struct topology_server *v, int64_t short_of)
{
	if (of(j, v)->replica_enabled)
		return true;
	if (j->enable)
		return !v->snap->conf->no_master;
	return short_of > 0 && of(j, v)->replica != SEMISYNC_NONE;
}

static const char *receiver_of(const struct topology_server *v)
{
	return v->channel->io_running == IO_YES          ? "runs"
	       : v->channel->io_running == IO_CONNECTING ? "is connecting"
	                                                 : "does not run";
}

static void judge_slave(struct judge *j, const struct topology_server *v, int64_t *short_of)
{
	const struct semisync_now *n = of(j, v);

	if (!is_wanted(j, v, *short_of))
		return;
	if (n->replica_enabled && !n->replica_on)
		trouble(j, v, false, NULL, "%s is to acknowledge, and does not: its receiver %s%s",
		        host(v), receiver_of(v),
		        v->channel->io_running == IO_YES
		                ? ", but connected before it was switched on"
		                : "");
	if (n->replica == SEMISYNC_NONE)
		deed(j, SEMISYNC_INSTALL_REPLICA, v, 0);
	if (!n->replica_enabled) {
		deed(j, SEMISYNC_REPLICA_ON, v, 0);
		--*short_of;
	}
	if (!n->replica_on)
		deed(j, SEMISYNC_RECONNECT, v, 0);
	j->will++;
}

/* Candidates first: they are the ones that should have what was acknowledged. */
static void judge_slaves(struct judge *j)
{
	int64_t enabled = 0, short_of;

	for (size_t i = 0; i < j->t->n_servers; i++) {
		j->ackers += is_direct(j, &j->t->servers[i]) && j->now[i].replica_on;
		enabled += is_direct(j, &j->t->servers[i]) && j->now[i].replica_enabled;
	}
	short_of = j->m->source_enabled ? j->m->wait_count - enabled : 0;
	for (int candidate = 1; candidate >= 0; candidate--)
		for (size_t i = 0; i < j->t->n_servers; i++)
			if (is_direct(j, &j->t->servers[i]) &&
			        j->t->servers[i].snap->conf->candidate_master == candidate)
				judge_slave(j, &j->t->servers[i], &short_of);
}

/* Whose own slaves acknowledge may wait; whoever has none stalls his applier. */
static void judge_idle_source(struct judge *j, const struct topology_server *v)
{
	const struct semisync_now *n = of(j, v);

	if (v == j->master || !n->known || !n->source_enabled || v->tier < 1 || n->clients > 0)
		return;
	trouble(j, v, false, NULL,
	        "the waiting side is on at slave %s, where nobody acknowledges: its applier may "
	        "stall",
	        host(v));
	deed(j, SEMISYNC_SOURCE_OFF, v, 0);
}

/*
 * ---- master ------------------------------------------------------------------------------------
 */

static void tell_of_master(struct judge *j)
{
	const struct semisync_now *m = j->m;
	long long clients = m->clients < 0 ? 0 : m->clients;

	if (!m->source_enabled) {
		trouble(j, j->master, true, NULL,
		        "slaves would acknowledge, and the master %s does not wait for them",
		        host(j->master));
		return;
	}
	if (!m->source_on)
		trouble(j, j->master, true, NULL,
		        "the master %s has fallen back to asynchronous: %lld slave%s "
		        "acknowledge%s, "
		        "%lld must",
		        host(j->master), clients, clients == 1 ? "" : "s", clients == 1 ? "s" : "",
		        (long long)m->wait_count);
	else if (clients < m->wait_count)
		trouble(j, j->master, true, NULL,
		        "the master %s waits for %lld acknowledgements, and only %lld slave%s can "
		        "give one: its next commit hangs for %lld ms",
		        host(j->master), (long long)m->wait_count, clients, clients == 1 ? "" : "s",
		        (long long)m->timeout_ms);
}

static void mend_master(struct judge *j)
{
	const struct semisync_now *m = j->m;

	if (m->replica_enabled && !j->master->is_slave)
		deed(j, SEMISYNC_REPLICA_OFF, j->master, 0);
	if (!j->will) {
		if (m->source_enabled)
			trouble(j, j->master, true, "mhactl semisync enable",
			        "no slave of %s can be made to acknowledge", host(j->master));
		return;
	}
	if (m->source == SEMISYNC_NONE && !j->enable) {
		trouble(j, j->master, true, "mhactl semisync enable",
		        "%s has no plug-in for waiting", host(j->master));
		return;
	}
	if (m->source_enabled && m->wait_count > j->will)
		deed(j, SEMISYNC_COUNT, j->master, j->will);
	if (!m->source_enabled)
		deed(j, SEMISYNC_SOURCE_ON, j->master, 0);
	else if (!m->source_on)
		deed(j, SEMISYNC_REARM, j->master, 0);
}

void semisync_judge(const struct topology *t, const struct semisync_now *now, bool enable,
        struct semisync_plan *ret)
{
	struct judge j = { .t = t, .now = now, .enable = enable, .p = ret, .master = t->master };

	*ret = (struct semisync_plan){ .used = false };
	if (!j.master || !of(&j, j.master)->known)
		return;
	j.m = of(&j, j.master);
	ret->used = is_used(&j);
	if (ret->used)
		tell_of_master(&j);
	if (ret->used || enable) {
		/* A slave does not register with a master that has no such thing. */
		if (enable && j.m->source == SEMISYNC_NONE)
			deed(&j, SEMISYNC_INSTALL_SOURCE, j.master, 0);
		judge_slaves(&j);
		mend_master(&j);
	}
	for (size_t i = 0; i < t->n_servers; i++)
		judge_idle_source(&j, &t->servers[i]);
	ret->troubles = j.troubles.items;
	ret->n_troubles = j.troubles.len;
	ret->deeds = j.deeds.items;
	ret->n_deeds = j.deeds.len;
	for (size_t i = 0; i < ret->n_troubles; i++)
		ret->n_errors += ret->troubles[i].error;
}

void semisync_plan_done(struct semisync_plan *p)
{
	free(p->troubles);
	free(p->deeds);
	*p = (struct semisync_plan){ .used = false };
}

/*
 * ---- in words ----------------------------------------------------------------------------------
 */

const char *semisync_deed_name(enum semisync_deed_kind k)
{
#define SEMISYNC_DEED_NAME(sym, name, ...) name,
	static const char *const names[] = { SEMISYNC_DEEDS(SEMISYNC_DEED_NAME) };
#undef SEMISYNC_DEED_NAME

	return names[k];
}

char *semisync_deed_text(const struct semisync_deed *d)
{
	static const char *const texts[] = {
		[SEMISYNC_INSTALL_SOURCE] = "install the plug-in of the side that waits",
		[SEMISYNC_INSTALL_REPLICA] = "install the plug-in of the side that acknowledges",
		[SEMISYNC_REPLICA_ON] = "switch on that it acknowledges",
		[SEMISYNC_REPLICA_OFF] = "switch off that it acknowledges: it is the master",
		[SEMISYNC_SOURCE_OFF] = "switch off that it waits",
		[SEMISYNC_RECONNECT] = "restart its receiver, so that it registers",
		[SEMISYNC_SOURCE_ON] = "switch on that it waits",
		[SEMISYNC_REARM] = "have it wait again",
	};

	if (d->kind == SEMISYNC_COUNT)
		return xasprintf("%s: wait for %lld acknowledgement%s, more cannot come",
		        host(d->server), (long long)d->count, d->count == 1 ? "" : "s");
	return xasprintf("%s: %s", host(d->server), texts[d->kind]);
}

const char *semisync_plugin_name(enum semisync_plugin p, bool source)
{
	static const char *const names[][2] = {
		[SEMISYNC_NONE] = { "none", "none" },
		[SEMISYNC_OLD] = { "rpl_semi_sync_slave", "rpl_semi_sync_master" },
		[SEMISYNC_NEW] = { "rpl_semi_sync_replica", "rpl_semi_sync_source" },
		[SEMISYNC_BUILT_IN] = { "built-in", "built-in" },
	};

	return names[p][source];
}

/* As the master, as a slave, or both. */
static void add_roles(struct str *s, const struct semisync_now *n)
{
	if (n->source_enabled)
		str_addf(s, ", %s (%lld of %lld acknowledge, timeout %lld ms)",
		        n->source_on ? "waits" : "HAS FALLEN BACK to asynchronous",
		        (long long)(n->clients < 0 ? 0 : n->clients), (long long)n->wait_count,
		        (long long)n->timeout_ms);
	if (n->replica_enabled)
		str_add(s, n->replica_on ? ", acknowledges" : ", does NOT acknowledge");
	if (!n->source_enabled && !n->replica_enabled)
		str_add(s, ", off");
}

static void add_server(struct str *s, const struct topology_server *v, const struct semisync_now *n)
{
	str_addf(s, "%s%s: ", host(v), v->role == TOPOLOGY_MASTER ? " (master)" : "");
	if (!n->known) {
		str_add(s, "does not tell\n");
		return;
	}
	str_addf(s, "plug-ins %s, %s", semisync_plugin_name(n->source, true),
	        semisync_plugin_name(n->replica, false));
	add_roles(s, n);
	str_addc(s, '\n');
}

void semisync_text(const struct topology *t, const struct semisync_now *now,
        const struct semisync_plan *p, struct str *to)
{
	for (size_t i = 0; i < t->n_servers; i++)
		add_server(to, &t->servers[i], &now[i]);
	for (size_t i = 0; i < p->n_troubles; i++)
		str_addf(to, "[%s] %s%s%s\n", p->troubles[i].error ? "error" : "warning",
		        p->troubles[i].text, p->troubles[i].hint[0] ? "  Hint: " : "",
		        p->troubles[i].hint);
}

static json_t *server_json(const struct topology_server *v, const struct semisync_now *n)
{
	return json_pack("{s:s, s:s, s:b, s:s, s:s, s:b, s:b, s:b, s:b, s:I, s:I, s:I}", "id",
	        v->snap->conf->id, "host", host(v), "known", n->known, "source_plugin",
	        semisync_plugin_name(n->source, true), "replica_plugin",
	        semisync_plugin_name(n->replica, false), "source_enabled", n->source_enabled,
	        "source_on", n->source_on, "replica_enabled", n->replica_enabled, "replica_on",
	        n->replica_on, "ackers", (json_int_t)n->clients, "wait_count",
	        (json_int_t)n->wait_count, "timeout_ms", (json_int_t)n->timeout_ms);
}

static json_t *deed_json(const struct semisync_deed *d)
{
	AUTO(free) char *text = semisync_deed_text(d);

	return json_pack("{s:s, s:s, s:s}", "deed", semisync_deed_name(d->kind), "host",
	        host(d->server), "text", text);
}

json_t *semisync_json(
        const struct topology *t, const struct semisync_now *now, const struct semisync_plan *p)
{
	json_t *servers = json_array(), *troubles = json_array(), *deeds = json_array();

	for (size_t i = 0; i < t->n_servers; i++)
		json_array_append_new(servers, server_json(&t->servers[i], &now[i]));
	for (size_t i = 0; i < p->n_troubles; i++)
		json_array_append_new(troubles,
		        json_pack("{s:s, s:b, s:s, s:s}", "host", host(p->troubles[i].server),
		                "error", p->troubles[i].error, "text", p->troubles[i].text, "hint",
		                p->troubles[i].hint));
	for (size_t i = 0; i < p->n_deeds; i++)
		json_array_append_new(deeds, deed_json(&p->deeds[i]));
	return json_pack("{s:b, s:b, s:o, s:o, s:o}", "used", p->used, "ok", p->n_errors == 0,
	        "servers", servers, "troubles", troubles, "deeds", deeds);
}
