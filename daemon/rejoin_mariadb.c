/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rejoin_mariadb - comparing by MariaDB's GTIDs.  Runs on: worker.
 *
 * A position names the last transaction of a domain, whoever wrote it: a master that died at 0-1-105 and one that went
 * on from 0-1-100 to 0-2-110 have parted, though 110 is more than 105.  What each server's binlog has of each writer
 * (gtid_binlog_state) tells.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "db.h"
#include "rejoin_impl.h"

struct point {
	uint32_t domain, server;
	uint64_t seq;
};

struct points {
	VEC(struct point) all;
};

static bool read_point(const char *text, struct point *p)
{
	unsigned long long seq;

	if (!text || sscanf(text, "%u-%u-%llu", &p->domain, &p->server, &seq) != 3)
		return false;
	p->seq = seq;
	return true;
}

static void add_points(struct points *to, const char *text)
{
	AUTO(free) char *copy = xstrdup(text ? text : "");
	struct point p;
	char *rest = copy;

	for (char *one; (one = strsep(&rest, ",\n")) != NULL;)
		if (read_point(one, &p))
			vec_push(&to->all, p);
}

/* Of each domain the last one. */
static void add_last(struct points *to, struct point p)
{
	vec_each (struct point, x, &to->all) {
		if (x->domain != p.domain)
			continue;
		if (p.seq > x->seq)
			*x = p;
		return;
	}
	vec_push(&to->all, p);
}

static uint64_t seq_of(const struct points *v, uint32_t domain)
{
	vec_each (struct point, x, &v->all)
		if (x->domain == domain)
			return x->seq;
	return 0;
}

static char *points_text(const struct points *v)
{
	AUTO_STR struct str s = STR_INIT;

	vec_each (struct point, x, &v->all)
		str_addf(&s, "%s%u-%u-%llu", s.len ? "," : "", x->domain, x->server,
		        (unsigned long long)x->seq);
	return str_take(&s);
}

/* What a server has of each writer: in its binlog, and what it received before that began. */
struct has {
	struct points logged, received;
};

static void has_done(struct has *h)
{
	vec_done(&h->logged.all);
	vec_done(&h->received.all);
}

static bool read_has(struct rj_end *s, int64_t deadline, struct has *h, struct err *e)
{
	AUTO(free) char *state = rj_variable(s, "gtid_binlog_state", deadline, e);
	AUTO(free) char *pos = state ? rj_variable(s, "gtid_slave_pos", deadline, e) : NULL;

	if (!pos)
		return false;
	add_points(&h->logged, state);
	add_points(&h->received, pos);
	return true;
}

static bool has_one(const struct has *h, struct point p)
{
	vec_each (struct point, x, &h->logged.all)
		if (x->domain == p.domain && x->server == p.server && x->seq >= p.seq)
			return true;
	vec_each (struct point, x, &h->received.all)
		if (x->domain == p.domain && x->server == p.server && x->seq >= p.seq)
			return true;
	return false;
}

static bool has_all_of(const struct has *h, const struct points *v)
{
	vec_each (struct point, x, &v->all)
		if (!has_one(h, *x))
			return false;
	return true;
}

struct sides {
	struct has ours, theirs;
	struct points start;
};

/* ---- errant ---- */

static bool is_errant(struct rejoin *r, const struct rejoin_txn *t, size_t i, void *arg)
{
	const struct sides *s = arg;
	struct point p;

	(void)r;
	(void)i;
	return !read_point(t->gtid, &p) || !has_one(&s->theirs, p);
}

static bool before_is_common(const struct rejoin_log *l, const struct sides *s)
{
	struct points before = { VEC_INIT };
	bool is;

	add_points(&before, l->before);
	is = has_all_of(&s->theirs, &before);
	vec_done(&before.all);
	return is;
}

static bool has_enough(struct rejoin *r, const struct rejoin_log *l, void *arg)
{
	bool common = false;

	for (size_t i = l->all.len; i-- > 0 && !common;)
		common = !is_errant(r, &l->all.items[i], i, arg);
	return common && before_is_common(l, arg);
}

/* Without the errant ones: the last of each domain that both have. */
static void find_start(struct rejoin *r, struct sides *s)
{
	struct points before = { VEC_INIT };
	struct point p;

	vec_each (struct point, x, &s->ours.received.all)
		if (has_one(&s->theirs, *x))
			add_last(&s->start, *x);
	add_points(&before, r->own.before);
	vec_each (struct point, x, &before.all)
		if (has_one(&s->theirs, *x))
			add_last(&s->start, *x);
	vec_done(&before.all);
	for (size_t i = 0; i < r->own.all.len; i++)
		if (!r->errant[i] && read_point(r->own.all.items[i].gtid, &p))
			add_last(&s->start, p);
}

static bool look_at_own(
        struct rejoin *r, struct run_io *io, struct sides *s, bool must, struct err *e)
{
	struct err why = { 0 };

	if (!rj_look_back(
	            r, r->target, NULL, true, run_deadline(io), &r->own, has_enough, s, &why)) {
		rejoin_log_done(&r->own);
		if (!must)
			return true;
		if (e)
			*e = why;
		return err_hint(e,
		        "what it has of its own stands in its binlogs: mha-node is needed there");
	}
	rj_mark_errant(r, is_errant, s);
	for (size_t i = 0; i < r->own.all.len; i++)
		r->n_errant += r->errant[i];
	r->own_known = before_is_common(&r->own, s);
	return true;
}

static void take_all(struct points *to, const struct points *from)
{
	vec_each (struct point, x, &from->all)
		add_last(to, *x);
}

static bool compare_own(struct rejoin *r, struct run_io *io, struct sides *s, struct err *e)
{
	bool equal = has_all_of(&s->theirs, &s->ours.logged) &&
	             has_all_of(&s->theirs, &s->ours.received);

	if (!look_at_own(r, io, s, !equal, e))
		return false;
	if (!equal) {
		find_start(r, s);
		return true;
	}
	take_all(&s->start, &s->ours.received);
	take_all(&s->start, &s->ours.logged);
	return true;
}

/* ---- can the master give the rest? ---- */

static void say_missing(struct rejoin *r, uint32_t domain, uint64_t has, uint64_t first)
{
	snprintf(r->missing, sizeof(r->missing),
	        "the binlogs of %s begin with %llu in domain %u, and %s has %llu: what is between "
	        "is "
	        "purged, replication would stop with error 1236",
	        r->master->conf->hostinfo, (unsigned long long)first, domain, r->o.target->hostinfo,
	        (unsigned long long)has);
}

/* The first events of its first binlog: what was before, and the first transaction. */
static bool look_for_purged(
        struct rejoin *r, const struct points *start, int64_t deadline, struct err *e)
{
	struct rj_names names;
	struct repl *x = rj_repl(r->master, deadline, e);
	bool fine = x && rj_names(r->master, deadline, &names, e);
	AUTO(free)
	char *sql = fine && names.all.len
	                    ? xasprintf("SHOW BINLOG EVENTS IN '%s' LIMIT 50", names.all.items[0])
	                    : NULL;
	struct db *db = sql ? repl_db(x, deadline, e) : NULL;
	AUTO(db_result) struct db_result *res = db ? db_query(db, sql, e) : NULL;

	if (fine)
		rj_names_done(&names);
	for (size_t i = 0; res && i < db_rows(res) && !r->missing[0]; i++) {
		const char *type = db_get(res, i, "Event_type"), *info = db_get(res, i, "Info");
		bool list = str_is(type, "Gtid_list"), one = str_is(type, "Gtid");
		struct points seen = { VEC_INIT };
		const char *at = info ? strpbrk(info, one ? "0123456789" : "[") : NULL;

		add_points(&seen, list && at ? at + 1 : one ? at : NULL);
		vec_each (struct point, p, &seen.all)
			if (seq_of(start, p->domain) + one < p->seq)
				say_missing(r, p->domain, seq_of(start, p->domain), p->seq);
		vec_done(&seen.all);
		if (one)
			break;
	}
	return res;
}

/* Slaves leave out what carries their own server_id. */
static void look_for_lost(struct rejoin *r, const struct sides *s)
{
	uint32_t id = r->target->at->server_id;

	vec_each (struct point, x, &s->theirs.logged.all)
		if (x->server == id && x->seq > seq_of(&s->start, x->domain))
			snprintf(r->missing, sizeof(r->missing),
			        "%s lacks transactions up to %u-%u-%llu that it once wrote itself: "
			        "it "
			        "would leave them out when they come",
			        r->o.target->hostinfo, x->domain, x->server,
			        (unsigned long long)x->seq);
}

static void count_lacking(struct rejoin *r, const struct sides *s)
{
	struct points last = { VEC_INIT };

	take_all(&last, &s->theirs.logged);
	vec_each (struct point, x, &last.all)
		if (x->seq > seq_of(&s->start, x->domain))
			r->lacking += x->seq - seq_of(&s->start, x->domain);
	vec_done(&last.all);
}

static bool compare(struct rejoin *r, struct run_io *io, struct sides *s, struct err *e)
{
	int64_t soon = rj_until(io, 10000);

	if (!read_has(r->target, soon, &s->ours, e) || !read_has(r->master, soon, &s->theirs, e) ||
	        !compare_own(r, io, s, e))
		return false;
	r->start_gtid = points_text(&s->start);
	count_lacking(r, s);
	look_for_lost(r, s);
	return r->missing[0] || look_for_purged(r, &s->start, rj_until(io, 10000), e);
}

bool rj_compare_mariadb(struct rejoin *r, struct run_io *io, struct err *e)
{
	struct sides s = { .start = { VEC_INIT } };
	bool fine = compare(r, io, &s, e);

	has_done(&s.ours);
	has_done(&s.theirs);
	vec_done(&s.start.all);
	return fine;
}
