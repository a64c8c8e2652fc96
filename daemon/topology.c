/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * topology - finds the master, the tree below it and how the cluster replicates.  Runs on: any
 * thread.  Pure. topology_check.c then says what is wrong.
 */
#include "topology.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "str.h"
#include "topology_internal.h"

bool topology_is_live(const struct topology_server *v)
{
	return v->snap->was_read && v->snap->state == SNAPSHOT_ALIVE;
}

bool topology_is_direct(const struct topology_server *v)
{
	return topology_is_live(v) && v->is_slave && v->tier == 1 &&
	       (v->role == TOPOLOGY_SLAVE || v->role == TOPOLOGY_CO_MASTER);
}

bool topology_is_member(const struct topology_server *v)
{
	return topology_is_live(v) && (v->role == TOPOLOGY_MASTER || v->role == TOPOLOGY_SLAVE ||
	                                      v->role == TOPOLOGY_CO_MASTER);
}

static struct topology_server *at(const struct topology *t, const struct snapshot_server *s)
{
	return s ? &t->servers[s - t->snapshot->servers] : NULL;
}

static size_t index_of(const struct topology *t, const struct topology_server *v)
{
	return (size_t)(v - t->servers);
}

static void set_channel(
        struct topology *t, struct topology_server *v, const struct snapshot_channel *ch)
{
	const struct topology_server *source = at(t, snapshot_find_source(t->snapshot, ch));
	v->channel = ch;
	v->source = source == v ? NULL : source;
	v->source_name = arena_printf(t->arena, "%s:%u", ch->source_host, ch->source_port);
}

/* The first channel from a configured server, else the first one at all. */
static void choose_channel(struct topology *t, struct topology_server *v)
{
	const struct snapshot_server *s = v->snap;
	for (size_t i = 0; s->was_read && i < s->n_channels && !v->source; i++) {
		if (!*s->channels[i].source_host)
			continue;
		if (!v->channel || snapshot_find_source(t->snapshot, &s->channels[i]))
			set_channel(t, v, &s->channels[i]);
	}
	v->is_slave = v->channel != NULL;
}

/* With several channels, the one that comes from the master is the cluster's. */
static void prefer_master_channel(struct topology *t, struct topology_server *v)
{
	for (size_t i = 0; t->master && v->source != t->master && i < v->snap->n_channels; i++)
		if (snapshot_find_source(t->snapshot, &v->snap->channels[i]) == t->master->snap &&
		        v != t->master)
			set_channel(t, v, &v->snap->channels[i]);
}

/* Walk up from a slave: to a server that has no (known) source, or round a circle whose members are
 * all roots. */
static void mark_root(struct topology_work *w, const struct topology_server *v)
{
	for (size_t steps = 0; v->source && steps < w->t->n_servers; steps++)
		v = v->source;
	const struct topology_server *first = v;
	do {
		w->is_root[index_of(w->t, v)] = true;
		v = v->source;
	} while (v && v != first);
}

static bool is_writable(const struct topology_server *v)
{
	return topology_is_live(v) && v->snap->read_only != TRI_YES;
}

/* Who follows `v` and is not set aside by multi_tier_slave. */
static bool has_own_slaves(const struct topology *t, const struct topology_server *v)
{
	for (size_t i = 0; i < t->n_servers; i++)
		if (t->servers[i].source == v && !t->servers[i].snap->conf->multi_tier_slave)
			return true;
	return false;
}

struct roots {
	const struct topology_server *writable, *dead;
	size_t n, n_writable, n_dead;
	bool dead_matters; /* a dead one has slaves of its own */
};

static struct roots count_roots(const struct topology_work *w)
{
	struct roots r = { 0 };
	for (size_t i = 0; i < w->t->n_servers; i++) {
		const struct topology_server *v = &w->t->servers[i];
		if (!w->is_root[i])
			continue;
		r.n++;
		if (!topology_is_live(v)) {
			r.dead = v;
			r.n_dead++;
			r.dead_matters = r.dead_matters || has_own_slaves(w->t, v);
		} else if (is_writable(v)) {
			r.writable = v;
			r.n_writable++;
		}
	}
	return r;
}

/* The dead root may have been the passive one: a writable server below it has slaves of its own. */
static bool has_rival(const struct topology *t, const struct topology_server *root)
{
	if (topology_is_live(root))
		return false;
	for (size_t i = 0; i < t->n_servers; i++)
		if (&t->servers[i] != root && is_writable(&t->servers[i]) &&
		        has_own_slaves(t, &t->servers[i]))
			return true;
	return false;
}

static const struct topology_server *only_root(const struct topology_work *w)
{
	for (size_t i = 0; i < w->t->n_servers; i++)
		if (w->is_root[i])
			return &w->t->servers[i];
	return NULL;
}

/* MHA's rule for several masters: exactly one that is dead or not read-only. */
static const struct topology_server *choose_root(struct topology_work *w)
{
	struct roots r = count_roots(w);
	w->answer = MASTER_FOUND;
	if (r.n == 1) {
		if (!has_rival(w->t, only_root(w)))
			return only_root(w);
		w->answer = MASTER_AMBIGUOUS;
		return NULL;
	}
	if (r.n_writable == 1 && !r.dead_matters)
		return r.writable;
	if (r.n_writable == 0 && r.n_dead == 1)
		return r.dead;
	w->answer = r.n_dead       ? MASTER_AMBIGUOUS
	            : r.n_writable ? MASTER_TWO_WRITABLE
	                           : MASTER_NONE_WRITABLE;
	return NULL;
}

/* Nobody leads anywhere: no slaves at all, or only slaves of servers that are not in the file. */
static const struct topology_server *without_roots(struct topology_work *w)
{
	const struct topology_server *alone = NULL;
	size_t n_slaves = 0, n_others = 0;
	bool same = true;
	const char *name = NULL;
	for (size_t i = 0; i < w->t->n_servers; i++) {
		const struct topology_server *v = &w->t->servers[i];
		/* servers has n_servers items: NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
		if (v->is_slave) {
			same = same && (!name || str_is(name, v->source_name));
			name = v->source_name;
			n_slaves++;
		} else if (topology_is_live(v)) {
			alone = v;
			n_others++;
		}
	}
	w->answer = n_slaves ? MASTER_UNLISTED : MASTER_NO_SLAVES;
	if (n_slaves && same)
		w->t->master_not_in_file = name;
	return !n_slaves && n_others == 1 ? alone : NULL;
}

static void find_master(struct topology_work *w)
{
	struct topology *t = w->t;
	w->is_root = ARENA_ARRAY(t->arena, bool, t->n_servers);
	for (size_t i = 0; i < t->n_servers; i++)
		if (t->servers[i].is_slave && t->servers[i].source)
			mark_root(w, &t->servers[i]);
	t->master = only_root(w) ? choose_root(w) : without_roots(w);
}

/* In a circle the edge that would close it is left out. */
static bool would_close(
        const struct topology_server *child, const bool *linked, const struct topology *t)
{
	const struct topology_server *v = child->source;
	while (v != child && v->source && linked[index_of(t, v)])
		v = v->source;
	return v == child;
}

static void link_tree(struct topology *t)
{
	bool *linked = ARENA_ARRAY(t->arena, bool, t->n_servers);
	for (size_t i = 0; i < t->n_servers; i++) {
		struct topology_server *v = &t->servers[i];
		if (!v->source || v == t->master || would_close(v, linked, t))
			continue;
		struct topology_server *source = &t->servers[index_of(t, v->source)];
		if (!source->replicas)
			source->replicas =
			        ARENA_ARRAY(t->arena, struct topology_server *, t->n_servers);
		source->replicas[source->n_replicas++] = v;
		linked[i] = true;
	}
}

static void set_tiers(struct topology_server *v, int tier)
{
	v->tier = tier;
	for (size_t i = 0; i < v->n_replicas; i++)
		set_tiers(v->replicas[i], tier + 1);
}

static enum topology_role role_of(const struct topology *t, const struct topology_server *v)
{
	bool aside = v->snap->conf->multi_tier_slave;
	if (v == t->master)
		return TOPOLOGY_MASTER;
	if (v->tier == 1 && t->master->source == v)
		return TOPOLOGY_CO_MASTER;
	if (v->tier > 0)
		return v->tier > 1 && aside ? TOPOLOGY_UNMANAGED : TOPOLOGY_SLAVE;
	if (!topology_is_live(v))
		return TOPOLOGY_UNKNOWN;
	if (v->is_slave && aside)
		return TOPOLOGY_UNMANAGED;
	if (!t->master)
		return v->is_slave ? TOPOLOGY_SLAVE : TOPOLOGY_UNKNOWN;
	return TOPOLOGY_OUTSIDER;
}

static void set_roles(struct topology *t)
{
	if (t->master)
		set_tiers(&t->servers[index_of(t, t->master)], 0);
	for (size_t i = 0; i < t->n_servers; i++) {
		struct topology_server *v = &t->servers[i];
		v->role = role_of(t, v);
		v->is_dead = !snapshot_is_up(v->snap);
		t->n_dead += v->is_dead;
		t->n_alive += !v->is_dead;
		if (topology_is_direct(v) || (!t->master && topology_is_live(v) && v->is_slave))
			t->n_alive_slaves++;
	}
}

static bool is_mariadb(const struct topology_server *v)
{
	return v->snap->dialect && dialect_family(v->snap->dialect) == FAMILY_MARIADB;
}

/* For MHA a slave with an empty set has no GTIDs; but with auto-position it has nothing else. */
static bool has_mysql_gtids(const struct topology_server *v)
{
	const struct snapshot_server *s = v->snap;
	if (!s->gtid_mode || strcasecmp(s->gtid_mode, "ON"))
		return false;
	return !v->is_slave || v->channel->auto_position ||
	       (s->executed && !gtid_set_is_empty(s->executed));
}

static enum topology_mode mode_of(const struct topology *t)
{
	size_t n_slaves = 0, n_using = 0, n_mariadb = 0, n_members = 0;
	bool gtids = true, automatic = t->n_servers && t->servers[0].snap->conf->use_gtid_auto_pos;
	for (size_t i = 0; i < t->n_servers; i++) {
		const struct topology_server *v = &t->servers[i];
		if (!topology_is_member(v))
			continue;
		n_members++;
		n_mariadb += is_mariadb(v);
		gtids = gtids && has_mysql_gtids(v);
		if (v == t->master || !v->is_slave)
			continue;
		n_slaves++;
		n_using += v->channel->using_gtid != USING_GTID_NO;
		automatic = automatic || v->channel->auto_position;
	}
	if (n_mariadb)
		return n_mariadb == n_members && n_slaves && n_using == n_slaves
		               ? TOPOLOGY_GTID_MARIADB
		               : TOPOLOGY_POSITION;
	if (!n_members || !gtids)
		return TOPOLOGY_POSITION;
	return automatic ? TOPOLOGY_GTID_MYSQL : TOPOLOGY_POSITION_ON_GTID;
}

/* *set = *set - gone; `gone` is borrowed and may be NULL. */
static void take_away(struct gtid_set **set, const struct gtid_set *gone)
{
	if (!gone || gtid_set_is_empty(*set))
		return;
	struct gtid_set *rest = gtid_set_subtract(*set, gone);
	gtid_set_free(*set);
	*set = rest;
}

static void take_away_source(struct gtid_set **set, const char *uuid_text)
{
	uint8_t uuid[16];
	if (!uuid_text || !gtid_uuid_parse(uuid_text, uuid))
		return;
	AUTO(gtid) struct gtid_set *gone = gtid_set_only_source(*set, uuid);
	take_away(set, gone);
}

/*
 * What the master's own source wrote may be on its way through the master; also a transaction that
 * waits for a semi-sync acknowledgement is on slaves before the master calls it executed.
 */
static bool may_be_on_its_way(const struct snapshot_server *m)
{
	return !m->executed_late || m->semisync_source_on == TRI_YES;
}

static struct gtid_set *errant_mysql(
        const struct topology_server *v, const struct snapshot_server *m)
{
	struct gtid_set *set = gtid_set_subtract(
	        v->snap->executed, m->executed_late ? m->executed_late : m->executed);
	take_away_source(&set, m->uuid);
	for (size_t i = 0; may_be_on_its_way(m) && i < m->n_channels; i++)
		take_away_source(&set, m->channels[i].source_uuid);
	for (size_t i = 0; i < v->snap->n_channels; i++) {
		const struct snapshot_channel *ch = &v->snap->channels[i];
		if (ch == v->channel)
			continue;
		take_away_source(&set, ch->source_uuid);
		take_away(&set, ch->retrieved);
	}
	return set;
}

struct position {
	uint32_t domain, server;
	unsigned long long seq;
};

/* Next of "0-1-100,1-2-7"; false at the end. */
static bool next_position(const char **text, struct position *ret)
{
	unsigned domain, server;
	int used = 0;
	if (sscanf(*text, " %u-%u-%llu%n", &domain, &server, &ret->seq, &used) != 3)
		return false;
	ret->domain = domain;
	ret->server = server;
	*text += used;
	*text += strspn(*text, ", ");
	return true;
}

static bool find_domain(const char *text, uint32_t domain, struct position *ret)
{
	while (next_position(&text, ret))
		if (ret->domain == domain)
			return true;
	return false;
}

/* Ahead of the master: sure if written by itself, or by neither of them and still so when the
 * master was read again. */
static bool is_errant(const struct position *p, const char *master_text,
        const struct topology_server *v, const struct snapshot_server *m)
{
	struct position known;
	bool found = find_domain(master_text, p->domain, &known);
	if (found && p->seq == known.seq)
		return p->server != known.server;
	if (found && p->seq < known.seq)
		return false;
	return p->server == v->snap->server_id || (m->executed_late && p->server != m->server_id);
}

static bool has_logged(const char *state, uint32_t domain, uint32_t server, unsigned long long seq)
{
	struct position p;
	while (next_position(&state, &p))
		if (p.domain == domain && p.server == server && p.seq >= seq)
			return true;
	return false;
}

/* What it wrote itself after its last transaction from a master, and what the master's binlogs
 * never had. */
static void add_own_writes(
        struct gtid_set *set, const struct snapshot_server *s, const struct snapshot_server *m)
{
	const char *state = s->binlog_state_text;
	struct position p, replica;
	while (state && m->binlog_state_text && next_position(&state, &p))
		if (p.server == s->server_id && s->replica_gtids_text &&
		        find_domain(s->replica_gtids_text, p.domain, &replica) &&
		        p.seq > replica.seq &&
		        !has_logged(m->binlog_state_text, p.domain, p.server, p.seq))
			gtid_set_add_mariadb(set, p.domain, p.server, p.seq);
}

static struct gtid_set *errant_mariadb(
        const struct topology_server *v, const struct snapshot_server *m)
{
	struct gtid_set *set = gtid_set_new(GTID_MARIADB);
	if (v->snap->n_channels > 1)
		return set;
	AUTO(free)
	char *of_master = gtid_set_format(m->executed_late ? m->executed_late : m->executed);
	AUTO(free) char *own = gtid_set_format(v->snap->executed);
	const char *text = own;
	struct position p;
	while (next_position(&text, &p))
		if (is_errant(&p, of_master, v, m))
			gtid_set_add_mariadb(set, p.domain, p.server, p.seq);
	add_own_writes(set, v->snap, m);
	return set;
}

/* A co-master's own writes may be on their way to the master. */
static bool can_have_errant(const struct topology *t, const struct topology_server *v)
{
	const struct topology_server *m = t->master;
	if (v->tier < 1 || !topology_is_live(v) || !v->snap->executed || !m->snap->was_read ||
	        !m->snap->executed)
		return false;
	if (gtid_set_dialect(v->snap->executed) != gtid_set_dialect(m->snap->executed))
		return false;
	return !(v->role == TOPOLOGY_CO_MASTER && m->channel->io_running == IO_YES &&
	         m->channel->sql_running);
}

static void set_errant(struct topology *t, struct topology_server *v)
{
	const struct snapshot_server *m = t->master->snap;
	AUTO(gtid) struct gtid_set *set = is_mariadb(v) ? errant_mariadb(v, m) : errant_mysql(v, m);
	if (gtid_set_is_empty(set))
		return;
	AUTO(free) char *text = gtid_set_format(set);
	v->errant_text = arena_strdup(t->arena, text);
	v->n_errant =
	        is_mariadb(v) ? gtid_set_count_missing(set, m->executed) : gtid_set_count(set);
	if (!v->n_errant)
		v->n_errant = 1;
	v->errant = TAKE(set);
}

/* x.y of the oldest live direct slave as x*100 + y. */
static unsigned oldest_series(const struct topology *t)
{
	unsigned oldest = 0;
	for (size_t i = 0; i < t->n_servers; i++) {
		unsigned series = t->servers[i].snap->version_number / 100;
		if (topology_is_direct(&t->servers[i]) && (!oldest || series < oldest))
			oldest = series;
	}
	return oldest;
}

static const char *unfit(const struct topology *t, const struct topology_server *v, unsigned oldest)
{
	const struct snapshot_server *s = v->snap;
	if (v == t->master)
		return NULL;
	if (v->is_dead)
		return s->state == SNAPSHOT_LOST ? "it does not answer" : "it is dead";
	if (!topology_is_live(v))
		return "nothing is known about it";
	if (!t->master)
		return "the master is not known";
	if (!topology_is_direct(v))
		return "it is not a slave of the master";
	if (s->conf->no_master)
		return "no_master is set";
	if (s->log_bin == TRI_NO)
		return "log-bin is off";
	if (s->version_number / 100 > oldest)
		return "a slave is older and could not replicate from it";
	return NULL;
}

static bool is_known_host(const struct snapshot *s, const char *host, unsigned port)
{
	for (size_t i = 0; i < s->conf->n_servers + s->conf->n_binlogs; i++) {
		const struct conf_server *c = i < s->conf->n_servers
		                                      ? s->conf->servers[i]
		                                      : s->conf->binlogs[i - s->conf->n_servers];
		bool same_port = !port || c->is_binlog_server || (unsigned)c->port == port;
		if (same_port &&
		        ((c->hostname && !strcasecmp(c->hostname, host)) || str_is(c->ip, host)))
			return true;
	}
	return false;
}

/* Stays on the safe side: a client that could be a configured server nothing is known about is no
 * stranger. */
static bool is_known_client(const struct snapshot *s, const struct snapshot_client *c)
{
	bool all_read = true;
	for (size_t i = 0; i < s->n_servers; i++) {
		const struct snapshot_server *v = &s->servers[i];
		all_read = all_read && v->was_read;
		if ((c->server_id && v->server_id == c->server_id) ||
		        (c->uuid && str_is(v->uuid, c->uuid)))
			return true;
	}
	if ((c->host && is_known_host(s, c->host, c->port)) ||
	        (c->address && is_known_host(s, c->address, 0)))
		return true;
	return !c->host && !c->address && !all_read;
}

static const char *client_name(struct topology *t, const struct snapshot_client *c)
{
	if (c->host)
		return arena_printf(t->arena, c->port ? "%s:%u" : "%s", c->host, c->port);
	return c->address ? c->address : arena_printf(t->arena, "server_id %u", c->server_id);
}

static void find_strangers(struct topology_work *w)
{
	struct topology *t = w->t;
	for (size_t i = 0; i < t->n_servers; i++)
		for (size_t k = 0; k < t->servers[i].snap->n_clients; k++) {
			const struct snapshot_client *c = &t->servers[i].snap->clients[k];
			if (is_known_client(t->snapshot, c))
				continue;
			vec_push(&w->strangers,
			        (struct topology_stranger){ &t->servers[i], client_name(t, c), c });
		}
}

static struct topology *new_topology(const struct snapshot *s)
{
	struct arena *a = arena_new();
	struct topology *t = ARENA_NEW(a, struct topology);
	t->arena = a;
	t->snapshot = s;
	t->n_servers = s->n_servers;
	t->servers = ARENA_ARRAY(a, struct topology_server, s->n_servers);
	for (size_t i = 0; i < s->n_servers; i++) {
		t->servers[i].snap = &s->servers[i];
		t->servers[i].tier = -1;
	}
	return t;
}

static void set_facts(struct topology_work *w)
{
	struct topology *t = w->t;
	unsigned oldest = oldest_series(t);
	t->mode = mode_of(t);
	for (size_t i = 0; i < t->n_servers; i++) {
		t->servers[i].unfit = unfit(t, &t->servers[i], oldest);
		if (t->master && can_have_errant(t, &t->servers[i]))
			set_errant(t, &t->servers[i]);
	}
	find_strangers(w);
}

/* Move the growing lists into the arena. */
static void publish(struct topology_work *w)
{
	struct topology *t = w->t;
	struct topology_finding *findings =
	        ARENA_ARRAY(t->arena, struct topology_finding, w->findings.len);
	struct topology_stranger *strangers =
	        ARENA_ARRAY(t->arena, struct topology_stranger, w->strangers.len);
	for (size_t i = 0; i < w->findings.len; i++) {
		findings[i] = w->findings.items[i];
		t->n_errors += findings[i].severity == TOPOLOGY_ERROR;
		t->n_warnings += findings[i].severity == TOPOLOGY_WARNING;
	}
	for (size_t i = 0; i < w->strangers.len; i++)
		strangers[i] = w->strangers.items[i];
	t->findings = findings;
	t->n_findings = w->findings.len;
	t->strangers = strangers;
	t->n_strangers = w->strangers.len;
	vec_done(&w->findings);
	vec_done(&w->strangers);
}

struct topology *topology_classify(const struct snapshot *s, const struct topology_opts *o)
{
	struct topology_work w = { .t = new_topology(s),
		.o = o ? *o : (struct topology_opts){ .max_delay = -1 } };
	if (w.o.max_delay < 0)
		w.o.max_delay = 30;
	for (size_t i = 0; i < w.t->n_servers; i++)
		choose_channel(w.t, &w.t->servers[i]);
	find_master(&w);
	for (size_t i = 0; i < w.t->n_servers; i++)
		prefer_master_channel(w.t, &w.t->servers[i]);
	link_tree(w.t);
	set_roles(w.t);
	set_facts(&w);
	topology_check(&w);
	publish(&w);
	return w.t;
}

void topology_free(struct topology *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_servers; i++)
		gtid_set_free(t->servers[i].errant);
	arena_free(t->arena);
}

bool topology_stops(
        const struct topology *t, unsigned what, const struct topology_finding **ret_first)
{
	for (size_t i = 0; i < t->n_findings; i++)
		if (t->findings[i].stops & what) {
			if (ret_first)
				*ret_first = &t->findings[i];
			return true;
		}
	return false;
}

const struct topology_server *topology_find(const struct topology *t, const struct conf_server *c)
{
	for (size_t i = 0; i < t->n_servers; i++)
		if (str_is(t->servers[i].snap->conf->id, c->id))
			return &t->servers[i];
	return NULL;
}

const char *topology_role_name(enum topology_role r)
{
	static const char *const names[] = { "unknown", "master", "co-master", "slave", "unmanaged",
		"outsider" };
	return names[r];
}

const char *topology_mode_name(enum topology_mode m)
{
	static const char *const names[] = { "position", "position-on-gtid", "gtid-mysql",
		"gtid-mariadb" };
	return names[m];
}

const char *topology_severity_name(enum topology_severity s)
{
	static const char *const names[] = { "info", "warning", "error" };
	return names[s];
}

const char *topology_code_name(enum topology_code c)
{
#define NAME(sym, name, ...) [TOPOLOGY_##sym] = name,
	static const char *const names[] = { TOPOLOGY_CODES(NAME) };
#undef NAME
	return names[c];
}

int topology_mha_mode(enum topology_mode m)
{
	static const int modes[] = { 0, 2, 1, 1 };
	return modes[m];
}
