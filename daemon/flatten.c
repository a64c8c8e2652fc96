/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flatten - hops between servers, and what speaks against one.  Runs on: any thread.  Pure.
 */
#include "flatten.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "str.h"
#include "vec.h"

typedef VEC(struct flatten_hop) hops;

/* The tree as it will be: who follows whom, by index. */
struct tree {
	const struct topology *t;
	const struct topology_server **source;
};

static const char *host(const struct topology_server *v)
{
	return v->snap->conf->hostinfo;
}

static size_t index_of(const struct tree *w, const struct topology_server *v)
{
	return (size_t)(v - w->t->servers);
}

/* In a ring the master is where the tree begins. */
static struct tree tree_of(const struct topology *t)
{
	struct tree w = { t, xzalloc(sizeof(*w.source) * (t->n_servers + 1)) };

	for (size_t i = 0; i < t->n_servers; i++)
		w.source[i] = &t->servers[i] == t->master ? NULL : t->servers[i].source;
	return w;
}

static const struct topology_server *source_of(
        const struct tree *w, const struct topology_server *v)
{
	return w->source[index_of(w, v)];
}

/* `top` itself or below it.  Circles away from the master end after as many steps as there are servers. */
static bool is_within(
        const struct tree *w, const struct topology_server *v, const struct topology_server *top)
{
	for (size_t n = 0; v && n <= w->t->n_servers; n++, v = source_of(w, v))
		if (v == top)
			return true;
	return false;
}

static bool goes_by_gtid(const struct topology_server *v)
{
	return v->channel && (v->channel->auto_position || v->channel->using_gtid != USING_GTID_NO);
}

static void add(struct tree *w, hops *v, const struct topology_server *child,
        const struct topology_server *to, enum flatten_kind kind)
{
	vec_push(v, (struct flatten_hop){ child, source_of(w, child), to, kind });
	w->source[index_of(w, child)] = to;
}

/* The slave of `top` by which `v` is below it. */
static const struct topology_server *branch_of(
        const struct tree *w, const struct topology_server *top, const struct topology_server *v)
{
	while (source_of(w, v) != top)
		v = source_of(w, v);
	return v;
}

static bool no_way(const struct topology_server *child, const struct topology_server *from,
        const struct topology_server *to, struct err *e)
{
	if (from->snap->state != SNAPSHOT_ALIVE)
		return err_set(e, ERR_PRECOND, 0,
		        "%s does not answer: without GTIDs only it can tell where %s stands",
		        host(from), host(child));
	return err_set(e, ERR_PRECOND, 0, "%s and %s are not of one tree", host(child), host(to));
}

static bool route(struct tree *w, hops *v, const struct topology_server *child,
        const struct topology_server *to, struct err *e)
{
	const struct topology_server *from;

	for (size_t n = 0; n <= 2 * w->t->n_servers && (from = source_of(w, child)) != to; n++) {
		if (!from)
			return err_set(
			        e, ERR_PRECOND, 0, "%s follows no server of the file", host(child));
		if (goes_by_gtid(child)) {
			add(w, v, child, to, FLATTEN_GTID);
		} else if (is_within(w, to, from)) {
			add(w, v, child, branch_of(w, from, to), FLATTEN_DOWN);
		} else if (source_of(w, from)) {
			add(w, v, child, source_of(w, from), FLATTEN_UP);
		} else {
			return no_way(child, from, to, e);
		}
	}
	return true;
}

static bool is_usable(const struct topology *t, const struct topology_server *child,
        const struct topology_server *to, struct err *e)
{
	if (!t->master) {
		err_set(e, ERR_PRECOND, 0, "the servers do not say who the master is");
		return err_hint(e, "mhactl topology shows who follows whom");
	}
	if (child == t->master)
		return err_set(e, ERR_PRECOND, 0, "%s is the master", host(child));
	if (child->role == TOPOLOGY_CO_MASTER) {
		err_set(e, ERR_PRECOND, 0, "%s and the master follow each other", host(child));
		return err_hint(e, "moving it would break the ring");
	}
	if (!child->is_slave || !child->source)
		return err_set(e, ERR_PRECOND, 0, "%s follows no server of the file", host(child));
	return child != to || err_set(e, ERR_PRECOND, 0, "%s cannot follow itself", host(child));
}

static bool give(hops *v, bool ok, struct flatten_hop **ret, size_t *ret_n)
{
	if (ok) {
		*ret = v->items;
		*ret_n = v->len;
	} else {
		vec_done(v);
	}
	return ok;
}

bool flatten_route(const struct topology *t, const struct topology_server *child,
        const struct topology_server *to, struct flatten_hop **ret, size_t *ret_n, struct err *e)
{
	struct tree w;
	hops v = VEC_INIT;
	bool ok;

	if (!is_usable(t, child, to, e))
		return false;
	w = tree_of(t);
	if (is_within(&w, to, child))
		ok = err_set(
		        e, ERR_PRECOND, 0, "%s follows %s, if not directly", host(to), host(child));
	else
		ok = route(&w, &v, child, to, e);
	free(w.source);
	return give(&v, ok, ret, ret_n);
}

/* Who does not answer may have slaves, or be one of a slave. */
static bool is_whole(const struct topology *t, struct err *e)
{
	for (size_t i = 0; i < t->n_servers; i++) {
		const struct snapshot_server *s = t->servers[i].snap;

		if (s->state == SNAPSHOT_ALIVE || s->conf->ignore_fail)
			continue;
		err_set(e, ERR_PRECOND, 0, "%s does not answer: the tree is not known",
		        host(&t->servers[i]));
		return err_hint(e, "bring it back, take it out of the file, or set ignore_fail=1");
	}
	if (!t->master)
		err_set(e, ERR_PRECOND, 0, "the servers do not say who the master is");
	return t->master;
}

bool flatten_all(const struct topology *t, struct flatten_hop **ret, size_t *ret_n, struct err *e)
{
	struct tree w = tree_of(t);
	hops v = VEC_INIT;
	int deepest = 0;
	bool ok = is_whole(t, e);

	for (size_t i = 0; i < t->n_servers; i++)
		if (t->servers[i].tier > deepest)
			deepest = t->servers[i].tier;
	for (int tier = 2; ok && tier <= deepest; tier++)
		for (size_t i = 0; ok && i < t->n_servers; i++)
			if (t->servers[i].tier == tier)
				ok = route(&w, &v, &t->servers[i], t->master, e);
	free(w.source);
	return give(&v, ok, ret, ret_n);
}

/*
 * ---- what speaks against it ---------------------------------------------------------------------
 */

struct against {
	const struct flatten_hop *h;
	int64_t max_wait_ms;
	bool force;
	struct err *e;
};

static bool no(struct against *a, bool force, const char *hint, const char *fmt, ...)
        PRINTF_LIKE(4, 5);
static bool no(struct against *a, bool force, const char *hint, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	a->force = force;
	err_set(a->e, ERR_PRECOND, 0, "%s", text);
	return err_hint(a->e, "%s%s", hint, force ? "; or overrule it: --force" : "");
}

static bool is_alive(struct against *a, const struct topology_server *v)
{
	if (v->snap->was_read && v->snap->state == SNAPSHOT_ALIVE)
		return true;
	return no(a, false, "all servers of a move must answer", "%s: %s", host(v),
	        v->snap->err.kind == ERR_NONE ? "it does not answer" : v->snap->err.text);
}

/* Its own channel runs, without an error. */
static bool replicates(struct against *a, const struct topology_server *v)
{
	const struct snapshot_channel *ch = v->channel;

	if (!ch)
		return true;
	if (v->snap->n_channels > 1)
		return no(a, false, "take the other channel away for the time of the move",
		        "%s follows %zu sources: what came from which cannot be told apart",
		        host(v), v->snap->n_channels);
	if (ch->io_running == IO_YES && ch->sql_running)
		return true;
	return no(a, false, "repair it there, then START SLAVE", "%s does not replicate: %s%s%s",
	        host(v),
	        !ch->sql_running                  ? "the applier does not run"
	        : ch->io_running == IO_CONNECTING ? "the receiver is connecting"
	                                          : "the receiver does not run",
	        ch->sql_errno || ch->io_errno ? ": " : "",
	        ch->sql_errno && ch->sql_error ? ch->sql_error
	        : ch->io_errno && ch->io_error ? ch->io_error
	                                       : "");
}

static bool logs_what_it_applies(struct against *a, const struct topology_server *v)
{
	if (v->snap->log_bin != TRI_YES)
		return no(a, false, "log_bin in my.cnf", "%s writes no binlog", host(v));
	if (v->channel && v->snap->log_replica_updates != TRI_YES)
		return no(a, false, "log_slave_updates=1 in my.cnf and a restart",
		        "%s does not log what it replicates (log_slave_updates): who follows it "
		        "has not what it has",
		        host(v));
	return true;
}

static char *list_of(const char *text)
{
	AUTO_STR struct str s = STR_INIT;

	for (const char *p = text ? text : ""; *p; p++)
		if (*p != ' ')
			str_addc(&s, *p);
	return str_take(&s);
}

static bool differ(const char *a, const char *b)
{
	AUTO(free) char *one = list_of(a), *two = list_of(b);

	return !str_is(one, two);
}

/*
 * What a server on the way leaves out, the child has not either, and would get (or miss) from now on.  Equal
 * filters on the child leave out the same wherever it comes from.
 */
static bool filters_are_equal(struct against *a, const struct topology_server *between)
{
	const struct topology_server *child = a->h->child;

	for (int f = 0; between->channel && f < FILTER_COUNT; f++) {
		const char *own = child->channel->filter[f], *its = between->channel->filter[f];

		if (*its && differ(own, its))
			return no(a, false, "give both the same filters, or make the slave anew",
			        "%s filters what it replicates (%s is \"%s\", on %s it is \"%s\"): "
			        "what %s has is not what its new source sends",
			        host(between), snapshot_filter_name((enum snapshot_filter)f), its,
			        host(child), own, host(child));
	}
	return true;
}

static bool logs_are_equal(struct against *a)
{
	const struct snapshot_server *x = a->h->from->snap, *y = a->h->to->snap;

	if (!differ(x->binlog_do_db, y->binlog_do_db) &&
	        !differ(x->binlog_ignore_db, y->binlog_ignore_db))
		return true;
	return no(a, false, "give both the same binlog_do_db and binlog_ignore_db",
	        "the binlogs of %s and %s are filtered differently (do \"%s\" and \"%s\", ignore "
	        "\"%s\" and \"%s\")",
	        host(a->h->from), host(a->h->to), x->binlog_do_db ? x->binlog_do_db : "?",
	        y->binlog_do_db ? y->binlog_do_db : "?",
	        x->binlog_ignore_db ? x->binlog_ignore_db : "?",
	        y->binlog_ignore_db ? y->binlog_ignore_db : "?");
}

/* A server that logs statements only cannot log the rows that it gets. */
static bool formats_fit(struct against *a)
{
	const struct snapshot_server *c = a->h->child->snap, *t = a->h->to->snap;

	if (!c->binlog_format || !t->binlog_format || c->log_bin != TRI_YES ||
	        c->log_replica_updates != TRI_YES || strcasecmp(c->binlog_format, "STATEMENT") ||
	        !strcasecmp(t->binlog_format, "STATEMENT"))
		return true;
	return no(a, false, "SET GLOBAL binlog_format=MIXED (or ROW), and in its my.cnf",
	        "%s logs statements only, and %s sends rows: it would stop with error 1666",
	        host(a->h->child), host(a->h->to));
}

static bool versions_fit(struct against *a)
{
	const struct flatten_hop *h = a->h;
	unsigned c = h->child->snap->version_number / 100, t = h->to->snap->version_number / 100;

	if (h->child->snap->dialect && h->to->snap->dialect &&
	        dialect_family(h->child->snap->dialect) != dialect_family(h->to->snap->dialect))
		return no(a, true, "keep it where it is", "%s and %s are of different families",
		        host(h->child), host(h->to));
	if (c >= t || h->from->snap->version_number / 100 >= t)
		return true;
	return no(a, true, "upgrade it first",
	        "%s runs %s, which is older than %s of %s; up to now %s stood between them",
	        host(h->child), h->child->snap->version, h->to->snap->version, host(h->to),
	        host(h->from));
}

static bool is_in_time(struct against *a, const struct topology_server *v)
{
	const struct snapshot_channel *ch = v->channel;

	if (!ch || a->h->kind == FLATTEN_GTID)
		return true;
	if (v == a->h->child && ch->sql_delay > 0)
		return no(a, false, "take its delay away for the time of the move",
		        "%s is delayed by %lld s on purpose: its source would have to stand still "
		        "for so long",
		        host(v), (long long)ch->sql_delay);
	if (ch->seconds_behind * 1000 <= a->max_wait_ms)
		return true;
	return no(a, false, "wait, or give it more time: --max_wait",
	        "%s is %lld s behind its source", host(v), (long long)ch->seconds_behind);
}

/* What it has and the new source lacks would stay its own for ever. */
static bool has_nothing_of_its_own(struct against *a)
{
	const struct topology_server *c = a->h->child;

	if (a->h->kind != FLATTEN_GTID || !c->errant)
		return true;
	return no(a, false, "see what they did: mhactl rejoin shows them",
	        "%s has transactions that the master does not have: %s", host(c), c->errant_text);
}

static bool purged_nothing_it_needs(struct against *a)
{
	const struct snapshot_server *c = a->h->child->snap, *t = a->h->to->snap;

	if (a->h->kind != FLATTEN_GTID || !t->purged || !c->executed ||
	        gtid_set_contains(c->executed, t->purged))
		return true;
	return no(a, false, "make it anew from a copy of another server",
	        "%s has purged transactions that %s still needs", host(a->h->to),
	        host(a->h->child));
}

/* Tiers that nobody knows of stop failovers. */
static bool is_allowed_below(struct against *a)
{
	const struct topology_server *c = a->h->child, *to = a->h->to;

	if (to->role == TOPOLOGY_MASTER || to->tier == 0 || c->snap->conf->multi_tier_slave)
		return true;
	return no(a, true, "set multi_tier_slave=1 for it in the file first (mhactl reload)",
	        "%s would be a slave of a slave, and multi_tier_slave is not set for it: no "
	        "failover of this cluster would be made",
	        host(c));
}

/* A commit of the source that waits for an acknowledgement nobody gives any more. */
static bool leaves_ackers(struct against *a)
{
	const struct snapshot_server *s = a->h->from->snap, *c = a->h->child->snap;

	if (a->h->kind == FLATTEN_UP || a->h->from->tier > 0 || s->semisync_source_on != TRI_YES ||
	        c->semisync_replica_on != TRI_YES || s->semisync_clients > 1)
		return true;
	return no(a, true, "mhactl semisync enable makes more slaves acknowledge",
	        "%s is the only slave that acknowledges (semi-sync) to %s: its commits would wait "
	        "for their timeout",
	        host(a->h->child), host(a->h->from));
}

bool flatten_may(const struct flatten_hop *h, int64_t max_wait_ms, bool *ret_force, struct err *e)
{
	struct err ignored = { 0 };
	struct against a = { h, max_wait_ms, false, e ? e : &ignored };
	/* By GTIDs it can leave a source that is dead. */
	bool orphan = h->kind == FLATTEN_GTID && h->from->snap->state != SNAPSHOT_ALIVE;
	bool up = h->kind == FLATTEN_UP, below_slave = h->to->role != TOPOLOGY_MASTER;
	/* What a person may overrule comes last: all else has been seen to be right then. */
	bool ok = is_alive(&a, h->child) && (orphan || is_alive(&a, h->from)) &&
	          is_alive(&a, h->to) && (orphan || replicates(&a, h->child)) &&
	          (!up || replicates(&a, h->from)) && (!below_slave || replicates(&a, h->to)) &&
	          (!up || logs_what_it_applies(&a, h->from)) && logs_what_it_applies(&a, h->to) &&
	          (h->from->role == TOPOLOGY_MASTER || h->kind == FLATTEN_DOWN || orphan ||
	                  filters_are_equal(&a, h->from)) &&
	          (!below_slave || up || filters_are_equal(&a, h->to)) && logs_are_equal(&a) &&
	          formats_fit(&a) && is_in_time(&a, h->child) &&
	          is_in_time(&a, up ? h->from : h->to) && has_nothing_of_its_own(&a) &&
	          purged_nothing_it_needs(&a) && versions_fit(&a) && is_allowed_below(&a) &&
	          leaves_ackers(&a);

	if (ret_force)
		*ret_force = a.force;
	return ok;
}

const char *flatten_kind_name(enum flatten_kind k)
{
	static const char *const names[] = { "up", "down", "gtid" };

	return names[k];
}

char *flatten_text(const struct flatten_hop *h)
{
	static const char *const how[] = {
		[FLATTEN_UP] = "its source, by position",
		[FLATTEN_DOWN] = "a slave beside it, by position",
		[FLATTEN_GTID] = "by GTIDs",
	};

	return xasprintf(
	        "%s: from %s to %s, %s", host(h->child), host(h->from), host(h->to), how[h->kind]);
}
