/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snapshot - orders the readings of all servers and puts them together.
 * Runs on: loop, except snapshot_take() and the values at the end (any thread).  The workers' part
 * is snapshot_read.c.
 *
 * Two rounds: everything about every server; then what only shows when all answers are there (names
 * to look up, sources to be read again after their replicas).  Each reading belongs to its job
 * until the job is done on time; from a late one nothing is taken, since its worker may still be
 * writing.
 */
#include "snapshot.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "clock.h"
#include "job.h"
#include "loop.h"
#include "snapshot_read.h"
#include "str.h"

enum { DEFAULT_WORKERS = 32, RETURN_MS = 30, STATEMENTS_MS = 500, RESOLVE_MS = 2000 };

struct snapshot_run {
	struct loop *loop;
	struct job_pool *pool;
	struct snapshot *s;
	int64_t deadline;
	snapshot_done_fn done; /* NULL: cancelled */
	void *arg;
	size_t pending;
	bool second_round;
};

/* One job's view: where its result goes.  Freed by whoever lets go last. */
struct errand {
	struct snapshot_run *run; /* loop only */
	struct snapshot_reading *g;
	void (*work)(struct snapshot_reading *g, int64_t deadline);
	size_t server;
	struct snapshot_channel *channel; /* loop only */
	char *name;                       /* to resolve */
};

static void errand_free(void *p)
{
	struct errand *q = p;
	snapshot_reading_free(q->g);
	free(q->name);
	free(q);
}

/* The worker comes back by itself shortly before the loop would write it off. */
static bool errand_run(struct job *j, void *arg, struct err *e)
{
	(void)e;
	struct errand *q = arg;
	int64_t deadline = job_deadline(j);
	if (q->name)
		snapshot_read_addresses(q->g, q->name);
	else
		q->work(q->g, deadline == CLOCK_NEVER ? deadline : deadline - RETURN_MS);
	return true;
}

static struct errand *errand_new(struct snapshot_run *r, size_t server)
{
	struct errand *q = xzalloc(sizeof(*q));
	q->run = r;
	q->server = server;
	q->g = snapshot_reading_new(r->s->conf->servers[server]);
	return q;
}

static void errand_start(
        struct snapshot_run *r, struct errand *q, const char *what, job_done_fn done)
{
	const struct conf_server *c = r->s->conf->servers[q->server];
	int64_t own = clock_in(
	        q->name ? RESOLVE_MS : c->connect_timeout + c->query_timeout + STATEMENTS_MS);
	AUTO(free) char *name = xasprintf("%s %s", what, c->hostinfo);
	r->pending++;
	job_start(r->pool,
	        job_new(name, clock_sooner(own, r->deadline), errand_run, done, errand_free, q));
}

static void finish(void *arg)
{
	struct snapshot_run *r = arg;
	r->s->ended = clock_ms();
	if (r->done)
		r->done(r->arg, r->s);
	else
		snapshot_free(r->s);
	free(r);
}

static void start_second_round(struct snapshot_run *r);

static void one_less(struct snapshot_run *r)
{
	if (--r->pending)
		return;
	if (!r->second_round && r->done) {
		r->second_round = true;
		start_second_round(r);
	}
	if (!r->pending)
		finish(r);
}

static void set_late(struct snapshot_server *s, const struct err *e)
{
	s->state = SNAPSHOT_LOST;
	err_set(&s->err, ERR_LOST, 0, "%s", e ? e->text : "no answer in time");
	err_at(&s->err, s->conf->hostinfo);
}

static void read_done(struct job *j, void *arg, const struct err *e)
{
	struct errand *q = arg;
	struct snapshot_run *r = q->run;
	struct snapshot_server *s = &r->s->servers[q->server];
	if (!r->done) {
		/* cancelled: the configuration may be gone */
	} else if (job_is_late(j) || e) {
		set_late(s, e);
	} else {
		const struct conf_server *c = s->conf;
		*s = q->g->out;
		s->conf = c;
		q->g->out = (struct snapshot_server){ 0 };
	}
	one_less(r);
}

static void copy_logs(
        struct arena *a, const struct snapshot_server *from, struct snapshot_server *to)
{
	size_t n = from->n_logs_late;
	struct snapshot_log *logs = ARENA_ARRAY(a, struct snapshot_log, n + 1);
	for (size_t i = 0; i < n; i++)
		logs[i] = (struct snapshot_log){ arena_strdup(a, from->logs_late[i].file),
			from->logs_late[i].size };
	to->logs_late = logs;
	to->n_logs_late = n;
}

static void late_done(struct job *j, void *arg, const struct err *e)
{
	struct errand *q = arg;
	struct snapshot_run *r = q->run;
	struct snapshot_server *s = &r->s->servers[q->server];
	if (!job_is_late(j) && !e) {
		s->executed_late = TAKE(q->g->out.executed_late);
		s->binlog_late_file = arena_strdup(r->s->arena, q->g->out.binlog_late_file);
		s->binlog_late_pos = q->g->out.binlog_late_pos;
		copy_logs(r->s->arena, &q->g->out, s);
	}
	one_less(r);
}

static const char *const *copy_list(struct arena *a, const char *const *list)
{
	size_t n = 0;
	while (list && list[n])
		n++;
	if (!n)
		return NULL;
	const char **copy = ARENA_ARRAY(a, const char *, n + 1);
	for (size_t i = 0; i < n; i++)
		copy[i] = arena_strdup(a, list[i]);
	return copy;
}

static void addresses_done(struct job *j, void *arg, const struct err *e)
{
	struct errand *q = arg;
	struct snapshot_run *r = q->run;
	if (!job_is_late(j) && !e)
		q->channel->source_addresses = copy_list(r->s->arena, q->g->addresses);
	one_less(r);
}

/* By what a person wrote, without any guess. */
static bool is_configured_as(const struct conf_server *c, const char *host)
{
	return (c->hostname && !strcasecmp(c->hostname, host)) || str_is(c->ip, host);
}

static const struct snapshot_server *find_configured(
        const struct snapshot *s, const char *host, unsigned port)
{
	for (size_t i = 0; i < s->n_servers; i++)
		if ((unsigned)s->servers[i].conf->port == port &&
		        is_configured_as(s->servers[i].conf, host))
			return &s->servers[i];
	return NULL;
}

static void resolve_sources_of(struct snapshot_run *r, size_t i)
{
	struct snapshot_server *s = &r->s->servers[i];
	for (size_t k = 0; k < s->n_channels; k++) {
		struct snapshot_channel *ch = &s->channels[k];
		if (!*ch->source_host || find_configured(r->s, ch->source_host, ch->source_port))
			continue;
		struct errand *q = errand_new(r, i);
		q->name = xstrdup(ch->source_host);
		q->channel = ch;
		errand_start(r, q, "resolve the master of", addresses_done);
	}
}

static bool is_same_kind(const struct gtid_set *a, const struct gtid_set *b)
{
	return a && b && gtid_set_dialect(a) == gtid_set_dialect(b);
}

/* In an older file, and its receiver does not get on: that file may be shorter than it was. */
static bool is_stuck(const struct snapshot_channel *ch, const struct snapshot_server *source)
{
	return ch->io_running != IO_YES && ch->read_file && *ch->read_file &&
	       snapshot_pos_cmp(ch->read_file, 0, source->binlog_file, 0) < 0;
}

static bool seems_ahead(
        const struct snapshot *s, const struct snapshot_server *a, const struct snapshot_server *b)
{
	if (is_same_kind(a->executed, b->executed) && !gtid_set_contains(b->executed, a->executed))
		return true;
	for (size_t i = 0; i < a->n_channels; i++)
		if (snapshot_find_source(s, &a->channels[i]) == b && b->binlog_file &&
		        (is_stuck(&a->channels[i], b) ||
		                snapshot_pos_cmp(a->channels[i].read_file, a->channels[i].read_pos,
		                        b->binlog_file, b->binlog_pos) > 0))
			return true;
	return false;
}

static bool has_source(const struct snapshot *s, const struct snapshot_server *a,
        const struct snapshot_server *source)
{
	for (size_t i = 0; i < a->n_channels; i++)
		if (snapshot_find_source(s, &a->channels[i]) == source)
			return true;
	return false;
}

/* A source, and somebody other than its own source shows more than it had: it may just have been
 * read too early. */
static bool needs_late_reading(const struct snapshot *s, const struct snapshot_server *source)
{
	bool is_source = false, is_behind = false;
	for (size_t i = 0; i < s->n_servers; i++) {
		const struct snapshot_server *a = &s->servers[i];
		if (a == source || !a->was_read)
			continue;
		is_source = is_source || has_source(s, a, source);
		is_behind = is_behind || seems_ahead(s, a, source);
	}
	return is_source && is_behind;
}

static void start_second_round(struct snapshot_run *r)
{
	for (size_t i = 0; i < r->s->n_servers; i++) {
		resolve_sources_of(r, i);
		if (r->s->servers[i].state != SNAPSHOT_ALIVE ||
		        !needs_late_reading(r->s, &r->s->servers[i]))
			continue;
		struct errand *q = errand_new(r, i);
		q->work = snapshot_read_late;
		errand_start(r, q, "read again", late_done);
	}
}

static void start_first_round(struct snapshot_run *r, const struct conf_server *assume_dead)
{
	for (size_t i = 0; i < r->s->n_servers; i++) {
		if (r->s->servers[i].conf == assume_dead)
			continue;
		struct errand *q = errand_new(r, i);
		q->work = snapshot_read_all;
		errand_start(r, q, "read", read_done);
	}
}

struct snapshot_run *snapshot_start(struct loop *l, struct job_pool *p, const struct conf *c,
        const struct snapshot_opts *o, snapshot_done_fn done, void *arg)
{
	struct snapshot_run *r = xzalloc(sizeof(*r));
	r->loop = l;
	r->pool = p;
	r->s = snapshot_new(c);
	r->s->started = clock_ms();
	r->deadline = o && o->deadline ? o->deadline : CLOCK_NEVER;
	r->done = done;
	r->arg = arg;
	start_first_round(r, o ? o->assume_dead : NULL);
	if (!r->pending)
		loop_post(l, finish, r);
	return r;
}

void snapshot_cancel(struct snapshot_run *r)
{
	if (r)
		r->done = NULL;
}

struct taken {
	struct loop *loop;
	struct snapshot *s;
};

static void take_done(void *arg, struct snapshot *s)
{
	struct taken *t = arg;
	t->s = s;
	loop_stop(t->loop);
}

struct snapshot *snapshot_take(const struct conf *c, const struct snapshot_opts *o)
{
	AUTO(loop) struct loop *l = loop_new();
	int most = o && o->most_workers ? o->most_workers : DEFAULT_WORKERS;
	struct job_pool *p = job_pool_new(l, most);
	struct taken t = { .loop = l };
	snapshot_start(l, p, c, o, take_done, &t);
	loop_run(l);
	job_pool_free(p);
	return t.s;
}

struct snapshot *snapshot_new(const struct conf *c)
{
	struct arena *a = arena_new();
	struct snapshot *s = ARENA_NEW(a, struct snapshot);
	s->arena = a;
	s->conf = c;
	s->n_servers = c->n_servers;
	s->servers = ARENA_ARRAY(a, struct snapshot_server, c->n_servers);
	for (size_t i = 0; i < c->n_servers; i++) {
		struct snapshot_server *v = &s->servers[i];
		v->conf = c->servers[i];
		v->state = SNAPSHOT_SKIPPED;
		v->parallel_workers = v->max_allowed_packet = -1;
		v->auto_increment = v->auto_offset = -1;
		v->semisync_wait_count = v->semisync_timeout_ms = v->semisync_clients = -1;
	}
	return s;
}

void snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_servers; i++)
		snapshot_server_done(&s->servers[i]);
	arena_free(s->arena);
}

static bool is_address_of(const struct conf_server *c, const struct snapshot_channel *ch)
{
	for (size_t i = 0; ch->source_addresses && ch->source_addresses[i]; i++)
		if (is_configured_as(c, ch->source_addresses[i]))
			return true;
	return false;
}

static const struct snapshot_server *find_by_address(
        const struct snapshot *s, const struct snapshot_channel *ch)
{
	for (size_t i = 0; i < s->n_servers; i++)
		if ((unsigned)s->servers[i].conf->port == ch->source_port &&
		        is_address_of(s->servers[i].conf, ch))
			return &s->servers[i];
	return NULL;
}

/* The only server with that uuid or, without one, that server_id; NULL if several have it. */
static const struct snapshot_server *find_by_identity(
        const struct snapshot *s, const struct snapshot_channel *ch)
{
	const struct snapshot_server *found = NULL;
	for (size_t i = 0; i < s->n_servers; i++) {
		const struct snapshot_server *v = &s->servers[i];
		bool same = ch->source_uuid
		                    ? v->uuid && !strcasecmp(v->uuid, ch->source_uuid)
		                    : ch->source_server_id && v->server_id == ch->source_server_id;
		if (!same)
			continue;
		if (found)
			return NULL;
		found = v;
	}
	return found;
}

const struct snapshot_server *snapshot_find_source(
        const struct snapshot *s, const struct snapshot_channel *ch)
{
	if (!*ch->source_host)
		return NULL;
	const struct snapshot_server *found = find_configured(s, ch->source_host, ch->source_port);
	if (!found)
		found = find_by_address(s, ch);
	return found ? found : find_by_identity(s, ch);
}

/* The number behind the last dot; names without one count as 0. */
static unsigned long long file_number(const char *file)
{
	const char *dot = strrchr(file, '.');
	unsigned long long n;
	return dot && str_to_u64(dot + 1, &n) ? n : 0;
}

int snapshot_pos_cmp(const char *file_a, uint64_t pos_a, const char *file_b, uint64_t pos_b)
{
	bool has_a = file_a && *file_a, has_b = file_b && *file_b;
	if (!has_a || !has_b)
		return (int)has_a - (int)has_b;
	unsigned long long a = file_number(file_a), b = file_number(file_b);
	if (a == b) {
		a = pos_a;
		b = pos_b;
	}
	return (a > b) - (a < b);
}

bool snapshot_is_up(const struct snapshot_server *s)
{
	return s->state == SNAPSHOT_ALIVE || s->state == SNAPSHOT_REFUSED ||
	       s->state == SNAPSHOT_UNUSABLE;
}

const char *snapshot_filter_name(enum snapshot_filter f)
{
	static const char *const names[FILTER_COUNT] = { "Replicate_Do_DB", "Replicate_Ignore_DB",
		"Replicate_Do_Table", "Replicate_Ignore_Table", "Replicate_Wild_Do_Table",
		"Replicate_Wild_Ignore_Table", "Replicate_Rewrite_DB" };
	return names[f];
}

const char *snapshot_state_name(enum snapshot_state s)
{
	static const char *const names[] = { "alive", "refused", "dead", "lost", "unusable",
		"skipped" };
	return names[s];
}

const char *snapshot_tri_name(enum snapshot_tri t)
{
	static const char *const names[] = { "unknown", "no", "yes" };
	return names[t];
}

const char *snapshot_io_name(enum snapshot_io io)
{
	static const char *const names[] = { "No", "Connecting", "Yes" };
	return names[io];
}

const char *snapshot_using_gtid_name(enum snapshot_using_gtid u)
{
	static const char *const names[] = { "No", "Slave_Pos", "Current_Pos" };
	return names[u];
}
