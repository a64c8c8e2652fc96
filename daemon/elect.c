/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elect - MHA's election, by sets and numbers instead of texts.  Runs on: any thread.
 */
#include "elect.h"
#include <string.h>
#include "str.h"

/* MHA's limit: so many bytes behind the latest slave are too many. */
#define TOO_FAR_BEHIND 100000000

struct voter {
	struct elect_candidate c;
	struct gtid_set *errant;   /* what is surely not the master's; NULL: nothing known */
	struct gtid_set *received; /* without that; NULL: by position */
};

struct vote {
	const struct topology *t;
	const struct elect_opts *o;
	struct election *e;
	struct voter *v;
	size_t n;
};

/*
 * With the master's own set not to be had, what a slave wrote by itself shows by its server_uuid and by
 * nobody else having it: what it wrote as a master of former days, the others have too.
 */
static struct gtid_set *errant_set(const struct topology *t, const struct topology_server *s)
{
	AUTO(gtid) struct gtid_set *own = NULL;
	uint8_t uuid[16];

	if (s->errant)
		return gtid_set_dup(s->errant);
	if (t->mode != TOPOLOGY_GTID_MYSQL || !s->snap->executed || !s->snap->uuid ||
	        !gtid_uuid_parse(s->snap->uuid, uuid))
		return NULL;
	own = gtid_set_only_source(s->snap->executed, uuid);
	for (size_t i = 0; i < t->n_servers && !gtid_set_is_empty(own); i++) {
		const struct snapshot_server *other = t->servers[i].snap;
		struct gtid_set *left;

		if (other == s->snap || !other->executed)
			continue;
		left = gtid_set_subtract(own, other->executed);
		gtid_set_free(own);
		own = left;
	}
	return gtid_set_is_empty(own) ? NULL : TAKE(own);
}

/* What is a slave's own must not make it look further than the others. */
static struct gtid_set *received_set(
        const struct topology *t, const struct topology_server *s, const struct gtid_set *errant)
{
	const struct snapshot_server *snap = s->snap;
	const struct gtid_set *more = NULL;
	AUTO(gtid) struct gtid_set *all = NULL;

	if (t->mode == TOPOLOGY_GTID_MYSQL)
		more = s->channel ? s->channel->retrieved : NULL;
	else if (t->mode == TOPOLOGY_GTID_MARIADB)
		more = s->channel ? s->channel->gtid_io_pos : NULL;
	else
		return NULL;
	if (!snap->executed)
		return NULL;
	all = more ? gtid_set_union(snap->executed, more) : gtid_set_dup(snap->executed);
	return errant ? gtid_set_subtract(all, errant) : TAKE(all);
}

static int position_cmp(const struct topology_server *a, const struct topology_server *b)
{
	const struct snapshot_channel *x = a->channel, *y = b->channel;

	if (!x || !y)
		return !!x - !!y;
	return snapshot_pos_cmp(x->read_file, x->read_pos, y->read_file, y->read_pos);
}

/* Sets that have diverged say nothing about more or less; the positions still do. */
static int received_cmp(const struct topology_server *a, const struct gtid_set *a_set,
        const struct topology_server *b, const struct gtid_set *b_set)
{
	if (a_set && b_set) {
		switch (gtid_set_cmp(a_set, b_set)) {
		case GTID_EQUAL: return 0;
		case GTID_AHEAD: return 1;
		case GTID_BEHIND: return -1;
		case GTID_DIVERGED: break;
		}
	}
	return position_cmp(a, b);
}

int elect_received_cmp(
        const struct topology *t, const struct topology_server *a, const struct topology_server *b)
{
	AUTO(gtid) struct gtid_set *a_errant = errant_set(t, a);
	AUTO(gtid) struct gtid_set *b_errant = errant_set(t, b);
	AUTO(gtid) struct gtid_set *x = received_set(t, a, a_errant);
	AUTO(gtid) struct gtid_set *y = received_set(t, b, b_errant);

	return received_cmp(a, x, b, y);
}

static int voter_cmp(const struct voter *a, const struct voter *b)
{
	return received_cmp(a->c.server, a->received, b->c.server, b->received);
}

static bool is_without(const struct elect_opts *o, const struct topology_server *s)
{
	for (size_t i = 0; i < o->n_without; i++)
		if (o->without[i] == s->snap->conf)
			return true;
	return false;
}

/* A direct slave that answers: what MHA elects among. */
static bool may_vote(const struct vote *v, const struct topology_server *s)
{
	return s != v->t->master && !s->is_dead && s->is_slave && s->source == v->t->master &&
	       s->snap->state == SNAPSHOT_ALIVE && s->role != TOPOLOGY_UNMANAGED;
}

static void gather(struct vote *v)
{
	v->v = ARENA_ARRAY(v->e->arena, struct voter, v->t->n_servers + 1);
	for (size_t i = 0; i < v->t->n_servers; i++) {
		const struct topology_server *s = &v->t->servers[i];
		struct voter *to = &v->v[v->n];

		if (!may_vote(v, s))
			continue;
		to->c.server = s;
		to->c.candidate = s->snap->conf->candidate_master;
		to->errant = errant_set(v->t, s);
		to->received = received_set(v->t, s, to->errant);
		v->n++;
	}
}

static void find_latest(struct vote *v)
{
	const struct voter *most = NULL, *least = NULL;

	for (size_t i = 0; i < v->n; i++) {
		if (!most || voter_cmp(&v->v[i], most) > 0)
			most = &v->v[i];
		if (!least || voter_cmp(&v->v[i], least) < 0)
			least = &v->v[i];
	}
	for (size_t i = 0; i < v->n; i++)
		v->v[i].c.latest = v->o->planned || voter_cmp(&v->v[i], most) == 0;
	v->e->latest = most ? most->c.server : NULL;
	v->e->oldest = least ? least->c.server : NULL;
}

/*
 * Bytes that a slave has not executed of what the latest one received.  How long the files in
 * between are is not known here: of each of them nothing is counted, so that a change of files
 * alone makes nobody late.
 */
static uint64_t bytes_behind(
        const struct snapshot_channel *latest, const struct snapshot_channel *s)
{
	if (snapshot_pos_cmp(s->exec_file, s->exec_pos, latest->read_file, latest->read_pos) >= 0)
		return 0;
	if (snapshot_pos_cmp(s->exec_file, 0, latest->read_file, 0) == 0)
		return latest->read_pos - s->exec_pos;
	return latest->read_pos;
}

static const char *too_late(const struct vote *v, const struct topology_server *s)
{
	const struct topology_server *latest = v->e->latest;
	uint64_t bytes;

	if (v->o->planned || !latest || !latest->snap->conf->check_repl_delay || !s->channel)
		return NULL;
	bytes = bytes_behind(latest->channel, s->channel);
	if (bytes <= TOO_FAR_BEHIND)
		return NULL;
	return arena_printf(v->e->arena,
	        "it has at least %llu MB to execute (check_repl_delay; the limit is %d MB)",
	        (unsigned long long)(bytes / 1000000), TOO_FAR_BEHIND / 1000000);
}

/* The others would ask for it and stop with error 1236: then there must be others. */
static const char *purged_own(const struct vote *v, const struct voter *x)
{
	const struct gtid_set *purged = x->c.server->snap->purged;
	AUTO(gtid)
	struct gtid_set *gone = x->errant && purged ? gtid_set_intersect(x->errant, purged) : NULL;
	AUTO(free) char *text = NULL;

	if (!gone || gtid_set_is_empty(gone) || v->n < 2 || v->o->purged_too)
		return NULL;
	text = gtid_set_format(gone);
	return arena_printf(v->e->arena,
	        "it has purged transactions of its own from its binlogs (%s): all slaves would "
	        "stop "
	        "with error 1236",
	        text);
}

static const char *why_bad(const struct vote *v, const struct voter *x)
{
	const struct topology_server *s = x->c.server;
	const char *gone;

	if (is_without(v->o, s))
		return "it failed in this run";
	if (s->unfit)
		return s->unfit;
	if (s->channel && !s->channel->sql_running && s->channel->sql_errno)
		return arena_printf(v->e->arena, "its replication stopped with error %d",
		        s->channel->sql_errno);
	gone = purged_own(v, x);
	return gone ? gone : too_late(v, s);
}

static const char *errant_note(const struct vote *v, const struct gtid_set *errant)
{
	AUTO(free) char *text = gtid_set_format(errant);

	return arena_printf(v->e->arena,
	        "it has %llu transactions of its own (%s): servers without such come first",
	        (unsigned long long)gtid_set_count(errant), text);
}

static void judge(struct vote *v)
{
	for (size_t i = 0; i < v->n; i++) {
		struct voter *x = &v->v[i];

		x->c.bad = why_bad(v, x);
		if (!x->c.bad && x->errant)
			x->c.note = errant_note(v, x->errant);
	}
}

/* The first that fits, one without errant transactions before others. */
static bool choose(struct vote *v, int rule, bool latest, bool candidate)
{
	const struct voter *best = NULL;

	for (size_t i = 0; i < v->n; i++) {
		const struct voter *x = &v->v[i];

		if (x->c.bad || (latest && !x->c.latest) || (candidate && !x->c.candidate))
			continue;
		if (!best || (best->c.note && !x->c.note))
			best = x;
	}
	if (!best)
		return false;
	v->e->chosen = best->c.server;
	v->e->rule = rule;
	return true;
}

static bool nobody(struct vote *v, const char *refusal, const char *hint)
{
	v->e->refusal = refusal;
	v->e->hint = hint;
	return false;
}

static const char *hint_of(const struct vote *v)
{
	for (size_t i = 0; i < v->n; i++)
		if (purged_own(v, &v->v[i]))
			return "copy those transactions to the other servers, or take it all the "
			       "same "
			       "(mhactl failover --force) and make the others anew from it";
	return "check no_master, log_bin and the slaves' replication";
}

static bool choose_named(struct vote *v)
{
	const struct conf_server *want = v->o->forced;

	for (size_t i = 0; i < v->n; i++) {
		const struct elect_candidate *c = &v->v[i].c;

		if (c->server->snap->conf != want)
			continue;
		if (c->bad)
			return nobody(v,
			        arena_printf(v->e->arena, "%s cannot become the master: %s",
			                want->hostinfo, c->bad),
			        purged_own(v, &v->v[i]) ? hint_of(v) : "name another one, or none");
		v->e->chosen = c->server;
		v->e->rule = 0;
		return true;
	}
	return nobody(v,
	        arena_printf(v->e->arena, "%s is not a live slave of the master", want->hostinfo),
	        "name another one, or none");
}

static bool is_plain(const struct vote *v)
{
	for (size_t i = 0; i < v->n; i++)
		if (v->v[i].c.bad || v->v[i].c.candidate)
			return false;
	return true;
}

static const char *all_reasons(const struct vote *v)
{
	AUTO_STR struct str why = STR_INIT;

	if (!v->n)
		return "no slave of the master answers";
	str_add(&why, "none of the slaves can become the master");
	for (size_t i = 0; i < v->n; i++)
		str_addf(&why, "%s %s: %s", i ? ";" : ":", v->v[i].c.server->snap->conf->hostinfo,
		        v->v[i].c.bad);
	return arena_strdup(v->e->arena, why.p);
}

static void decide(struct vote *v)
{
	bool by_latest = v->e->latest && v->e->latest->snap->conf->latest_priority;

	if (v->o->forced) {
		choose_named(v);
		return;
	}
	if ((by_latest && is_plain(v) && choose(v, 1, true, false)) ||
	        (by_latest && choose(v, 2, true, true)) || choose(v, 3, false, true) ||
	        (by_latest && choose(v, 4, true, false)) || choose(v, 5, false, false))
		return;
	nobody(v, all_reasons(v), hint_of(v));
}

static void publish(struct vote *v)
{
	struct elect_candidate *all = ARENA_ARRAY(v->e->arena, struct elect_candidate, v->n + 1);

	for (size_t i = 0; i < v->n; i++) {
		all[i] = v->v[i].c;
		gtid_set_free(v->v[i].errant);
		gtid_set_free(v->v[i].received);
	}
	v->e->all = all;
	v->e->n = v->n;
#define RULE_TEXT(number, text)                                                                    \
	if (v->e->rule == (number))                                                                \
		v->e->reason = text;
	ELECT_RULES(RULE_TEXT)
#undef RULE_TEXT
}

struct election *elect(const struct topology *t, const struct elect_opts *o)
{
	static const struct elect_opts plain = { 0 };
	struct arena *a = arena_new();
	struct election *e = ARENA_NEW(a, struct election);
	struct vote v = { .t = t, .o = o ? o : &plain, .e = e };

	*e = (struct election){ .rule = -1, .arena = a };
	gather(&v);
	find_latest(&v);
	judge(&v);
	decide(&v);
	publish(&v);
	return e;
}

void election_free(struct election *e)
{
	if (e)
		arena_free(e->arena);
}
