/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * target - sessions and statements of the appliers.
 * Runs on: any thread.
 */
#include "target.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "str.h"

enum {
	CONNECT_MS = 10000,
	QUERY_MS = 120000, /* a statement; waits are made of short ones */
	AGAIN_MS = 100,
	STOP_MS = 1000,      /* STOP, before it is asked what it waits for */
	LOCK_MS = 120000,    /* for what was left behind to end */
	KILL_EVERY_MS = 500, /* a killed applier may begin anew and be in the way again */
};

bool target_is_gone(const struct err *e)
{
	return e->kind == ERR_LOST || e->kind == ERR_UNREACHABLE;
}

static void nap(struct target *t, int ms)
{
	int64_t left = clock_left(t->deadline);

	poll(NULL, 0, left < ms ? (int)left : ms);
}

static bool open_once(struct target *t, struct err *e)
{
	const struct target_login *l = t->login;
	struct db_opts o = {
		.name = t->name,
		.address = l->address,
		.port = l->port,
		.socket = l->socket,
		.user = l->user,
		.password = l->password,
		.tls = l->socket ? DB_TLS_OFF : DB_TLS_PREFERRED,
		.connect_ms = CONNECT_MS,
		.query_ms = t->query_ms ? t->query_ms : QUERY_MS,
	};

	t->db = db_open(&o, e);
	if (!t->db)
		return false;
	db_deadline(t->db, t->deadline);
	t->vars = vars_read(t->db, e);
	return t->vars != NULL;
}

static bool take_lock(struct target *t, struct err *e)
{
	AUTO(free) char *name = xasprintf("mha-node apply %.40s", t->channel);
	AUTO(free) char *quoted = db_quote(name);
	AUTO(free) char *sql = xasprintf("SELECT GET_LOCK(%s,1)", quoted);
	int64_t end = clock_sooner(t->deadline, clock_in(LOCK_MS));

	do {
		AUTO(free) char *got = NULL;

		if (!db_value(t->db, sql, &got, e))
			return false;
		if (str_is(got, "1"))
			return true;
	} while (clock_left(end) > 0);
	return err_set(e, ERR_PRECOND, 0, "%s: another apply is at work there", t->name);
}

void target_close(struct target *t)
{
	vars_free(t->vars);
	db_close(t->db);
	t->vars = NULL;
	t->db = NULL;
}

static bool open_until(struct target *t, bool patient, bool lock, struct err *e)
{
	for (;;) {
		struct err why = { .kind = ERR_NONE };

		target_close(t);
		if (open_once(t, &why) && (!lock || take_lock(t, &why)))
			return true;
		if (!patient || why.kind == ERR_CONFIG || why.kind == ERR_PRECOND ||
		        clock_left(t->deadline) == 0) {
			if (e)
				*e = why;
			return false;
		}
		nap(t, AGAIN_MS);
	}
}

bool target_open(struct target *t, const struct target_login *l, int64_t deadline, bool patient,
        struct err *e)
{
	*t = (struct target){ .login = l, .deadline = deadline };
	if (l->socket)
		snprintf(t->name, sizeof(t->name), "%s", l->socket);
	else
		snprintf(t->name, sizeof(t->name), "%s:%u", l->address, l->port);
	snprintf(t->channel, sizeof(t->channel), "%s", l->channel ? l->channel : "");
	return open_until(t, patient, true, e);
}

bool target_reopen(struct target *t, struct err *e)
{
	return open_until(t, true, true, e);
}

/*
 * ---- status ------------------------------------------------------------------------------------
 */

static const char *text_of(const char *s)
{
	return s ? s : "";
}

static uint64_t number_of(const char *s)
{
	return s ? strtoull(s, NULL, 10) : 0;
}

static struct channel channel_of(struct target *t)
{
	return (struct channel){ t->db, t->channel };
}

static void fill(struct target *t, const struct channel_status *ch, struct target_status *s)
{
	const char *id = vars_get(t->vars, VAR_SERVER_UUID);

	s->is_replica = true;
	s->io_running = ch->io != CHANNEL_IO_NO;
	s->sql_running = ch->sql_running;
	memcpy(s->read_file, ch->read_file, sizeof(s->read_file));
	s->read_pos = ch->read_pos;
	memcpy(s->exec_file, ch->exec_file, sizeof(s->exec_file));
	s->exec_pos = ch->exec_pos;
	memcpy(s->relay_file, ch->relay_file, sizeof(s->relay_file));
	s->relay_pos = ch->relay_pos;
	snprintf(s->source, sizeof(s->source), "%s@%s:%u of %s", ch->source_user, ch->source_host,
	        ch->source_port, id ? id : text_of(vars_get(t->vars, VAR_SERVER_ID)));
	s->gtid = (enum target_gtid)ch->gtid;
	s->delay = ch->delay;
	s->gtid_only = ch->gtid_only;
	s->auto_failover = ch->auto_failover;
	s->sql_errno = ch->sql_errno;
	memcpy(s->sql_error, ch->sql_error, sizeof(s->sql_error));
}

bool target_status(struct target *t, struct target_status *ret, struct err *e)
{
	struct target_status s = { .is_replica = false };
	const char *wanted = t->channel[0] ? t->channel : t->login->channel;
	struct channel_status st;

	if (!channel_read(t->db, wanted, &st, NULL, e))
		return false;
	if (!st.is_replica && (t->login->channel || st.channels))
		return err_set(e, ERR_PRECOND, 0, "%s: no replication channel \"%s\" among %zu",
		        t->name, t->channel, st.channels);
	t->others = st.channels > 1;
	memcpy(t->channel, st.name, sizeof(t->channel));
	if (st.is_replica)
		fill(t, &st, &s);
	*ret = s;
	return true;
}

struct gtid_set *target_gtids(struct target *t, struct err *e)
{
	return channel_gtids(
	        t->db, target_is_mariadb(t) ? VAR_GTID_REPLICA_POS : VAR_GTID_EXECUTED, e);
}

struct gtid_set *target_logged(struct target *t, struct err *e)
{
	return channel_gtids(t->db, VAR_GTID_EXECUTED, e);
}

/*
 * ---- statements --------------------------------------------------------------------------------
 */

bool target_verb(
        struct target *t, const char *verb, const char *thread, const char *tail, struct err *e)
{
	struct channel c = channel_of(t);
	AUTO(free) char *what = xasprintf("%s%s%s", thread, tail[0] ? " " : "", tail);

	return channel_verb(&c, verb, what, e);
}

bool target_change(struct target *t, const char *options, struct err *e)
{
	struct channel c = channel_of(t);

	return channel_change(&c, options, e);
}

bool target_flush_relay_logs(struct target *t, struct err *e)
{
	struct channel c = channel_of(t);

	return channel_flush_relay_logs(&c, e);
}

bool target_set_global(struct target *t, const char *name, const char *value, struct err *e)
{
	AUTO(free) char *sql = xasprintf("SET GLOBAL %s=%s", name, value);

	return db_exec(t->db, sql, e);
}

/*
 * ---- stopping ----------------------------------------------------------------------------------
 */

/* Where the applier is; 5.6 answers nothing else of it while it stops. */
static bool is_at_half(
        struct target *t, const struct target_status *st, const struct target_half *half)
{
	AUTO(db_result)
	struct db_result *r = db_query(t->db, "SELECT * FROM mysql.slave_relay_log_info", NULL);
	const char *file = st->relay_file;
	uint64_t pos = st->relay_pos;
	size_t n;

	for (size_t i = 0; r && i < db_rows(r); i++)
		if (str_is(text_of(db_get(r, i, "Channel_name")), t->channel)) {
			file = text_of(db_get(r, i, "Relay_log_name"));
			pos = number_of(db_get(r, i, "Relay_log_pos"));
		}
	n = strlen(half->file);
	return half->open && strlen(file) >= n && str_is(file + strlen(file) - n, half->file) &&
	       pos >= half->from;
}

/* Whether it has stopped, asked for a moment only. */
static bool has_stopped(struct target *t, bool *ret, struct err *e)
{
	struct err why = { .kind = ERR_NONE };
	struct target_status st;
	bool ok;

	db_deadline(t->db, clock_sooner(t->deadline, clock_in(KILL_EVERY_MS)));
	ok = target_status(t, &st, &why);
	db_deadline(t->db, t->deadline);
	if (ok) {
		*ret = !st.sql_running;
		return true;
	}
	*ret = false;
	if (why.kind == ERR_LOST)
		return open_until(t, true, false, e);
	if (e)
		*e = why;
	return false;
}

static bool wait_stopped(struct target *t, const struct target_status *before, target_half_fn *find,
        void *arg, struct err *e)
{
	struct target_half half = { .open = false };
	int64_t next_kill = 0;

	if (!t->others) /* whose threads they are cannot be seen */
		find(arg, before, &half);
	for (;;) {
		bool stopped;

		if (half.open && clock_ms() >= next_kill && is_at_half(t, before, &half)) {
			next_kill = clock_in(KILL_EVERY_MS);
			if (!channel_kill_appliers(t->db, e))
				return false;
		}
		if (!has_stopped(t, &stopped, e))
			return false;
		if (stopped)
			return true;
		if (clock_left(t->deadline) == 0)
			return err_set(e, ERR_LOST, 0, "%s: its applier does not stop", t->name);
		nap(t, AGAIN_MS / 2);
	}
}

bool target_stop_applier(struct target *t, target_half_fn *find, void *arg, struct err *e)
{
	struct err why = { .kind = ERR_NONE };
	struct target_status before;
	bool done;

	if (!target_status(t, &before, e))
		return false;
	if (!before.sql_running)
		return true;
	db_deadline(t->db, clock_sooner(t->deadline, clock_in(STOP_MS)));
	done = target_verb(t, "STOP", "SQL_THREAD", "", &why);
	db_deadline(t->db, t->deadline);
	if (done)
		return true;
	if (why.kind != ERR_LOST) {
		if (e)
			*e = why;
		return false;
	}
	/* The server goes on stopping it, in the session that has the lock. */
	return open_until(t, true, false, e) && wait_stopped(t, &before, find, arg, e) &&
	       take_lock(t, e);
}

bool target_fill_gaps(struct target *t, struct err *e)
{
	struct channel c = channel_of(t);

	return channel_fill_gaps(&c, t->deadline, e);
}
