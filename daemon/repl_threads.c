/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repl_threads - the receiver and the applier of a channel.  Runs on: worker.
 *
 * A parallel applier in the middle of a transaction cannot be told by positions or sets from one that waits
 * for the rest of it: what its threads say in the process list tells.
 */
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "db.h"
#include "repl_impl.h"
#include "vars.h"

enum {
	STOP_PATIENCE_MS = 200, /* for STOP, before it is asked what it waits for */
	LOOK_MS = 1000,         /* one look at a server that is busy stopping */
	KILL_EVERY_MS = 300,
	ER_CHANNEL_DOES_NOT_EXIST = 3074,
	ER_NOT_A_SLAVE = 1200,
};

/*
 * ---- what its threads do -----------------------------------------------------------------------
 */

static bool is_worker_waiting(const char *state)
{
	return str_starts(state, "Waiting for an event from Coordinator") ||
	       str_starts(state, "Waiting for work from SQL thread");
}

bool repl_has_read_all(const char *state)
{
	return strstr(state, "has read all relay log") != NULL;
}

/* Receivers, which are none of the applier's threads. */
static bool is_receiver(const char *command, const char *state)
{
	static const char *const states[] = { "Waiting for master to send event",
		"Waiting for source to send event", "Queueing ", "Connecting to ", "Reconnecting ",
		"Waiting to reconnect", "Requesting binlog dump", "Registering ", "Checking " };

	if (str_is(command, "Slave_IO"))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		if (str_starts(state, states[i]))
			return true;
	return false;
}

/* MariaDB keeps some threads of its own under that name. */
static bool is_other(const char *command)
{
	return str_is(command, "Daemon") || str_starts(command, "InnoDB");
}

static bool count_threads(struct db *db, bool end_waiting, struct repl_threads *ret, struct err *e)
{
	AUTO(db_result) struct db_result *res = db_query(db, "SHOW PROCESSLIST", e);

	*ret = (struct repl_threads){ .busy = 0 };
	if (!res)
		return false;
	for (size_t i = 0; i < db_rows(res); i++) {
		const char *state = db_get(res, i, "State"), *command = db_get(res, i, "Command");
		AUTO(free) char *kill = NULL;

		state = state ? state : "";
		if (!str_is(db_get(res, i, "User"), "system user") || is_other(command) ||
		        is_receiver(command, state))
			continue;
		if (!is_worker_waiting(state)) {
			if (repl_has_read_all(state))
				ret->readers++;
			else
				ret->busy++;
			continue;
		}
		ret->waiting++;
		kill = xasprintf("KILL %s", db_get(res, i, "Id"));
		if (end_waiting && !db_exec(db, kill, NULL))
			continue; /* it has ended by itself */
	}
	return true;
}

bool repl_count_threads(
        struct repl *r, bool end_waiting, int64_t deadline, struct repl_threads *ret, struct err *e)
{
	struct err why = { .kind = ERR_NONE };

	if (!repl_ready(r, deadline, e))
		return false;
	if (count_threads(r->db, end_waiting, ret, &why))
		return true;
	repl_note(r, &why);
	return repl_fail(&why, e);
}

/*
 * ---- the receiver ------------------------------------------------------------------------------
 */

typedef bool (*seen_fn)(const struct channel_status *st);

static bool io_is_stopped(const struct channel_status *st)
{
	return st->io == CHANNEL_IO_NO;
}

static bool io_is_started(const struct channel_status *st)
{
	return st->io != CHANNEL_IO_NO;
}

static bool sql_is_stopped(const struct channel_status *st)
{
	return !st->sql_running;
}

static bool sql_is_started(const struct channel_status *st)
{
	return st->sql_running;
}

static bool wait_for(
        struct repl *r, seen_fn seen, const char *what, int64_t deadline, struct err *e)
{
	struct err why = { .kind = ERR_NONE };
	struct channel_status st;

	do {
		if (!repl_status(r, deadline, &st, NULL, &why)) {
			if (clock_left(deadline) == 0)
				break;
			return repl_fail(&why, e) || err_ctx(e, "%s", what);
		}
		if (seen(&st))
			return true;
		if (seen == io_is_started && st.io_errno)
			return repl_error(r, e, ERR_PRECOND, st.io_errno,
			        "the receiver stopped: %s", st.io_error);
		if (seen == sql_is_started && st.sql_errno)
			return repl_applier_error(r, &st, e);
	} while (repl_nap(REPL_AGAIN_MS, deadline));
	return repl_error(r, e, ERR_LOST, 0, "%s", what);
}

/* Verb and look, unless it is so already. */
static bool make(struct repl *r, const char *verb, const char *thread, seen_fn seen,
        const char *what, int64_t deadline, struct err *e)
{
	struct channel_status st;

	if (!repl_status(r, deadline, &st, NULL, e))
		return false;
	if (!st.is_replica && str_is(verb, "START"))
		return repl_error(r, e, ERR_PRECOND, ER_NOT_A_SLAVE, "it has no source");
	if (!st.is_replica || seen(&st))
		return true;
	return (repl_verb(r, verb, thread, deadline, e) || err_ctx(e, "%s", what)) &&
	       wait_for(r, seen, what, deadline, e);
}

bool repl_stop_io(struct repl *r, int64_t deadline, struct err *e)
{
	return make(
	        r, "STOP", "IO_THREAD", io_is_stopped, "the receiver does not stop", deadline, e);
}

bool repl_start_io(struct repl *r, int64_t deadline, struct err *e)
{
	return make(
	        r, "START", "IO_THREAD", io_is_started, "the receiver does not start", deadline, e);
}

/*
 * ---- the applier -------------------------------------------------------------------------------
 */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Name where the applier stands, so that CHANGE keeps the relay logs; GTID modes forbid that. */
static bool keep_place(struct repl *r, const struct channel_status *st, const char *more,
        int64_t deadline, struct err *e)
{
	AUTO(free) char *file = db_quote(base_name(st->relay_file));
	AUTO_STR struct str s = STR_INIT;

	str_addf(&s, "RELAY_LOG_FILE=%s, RELAY_LOG_POS=%llu", file,
	        (unsigned long long)st->relay_pos);
	if (st->gtid != CHANNEL_GTID_NO)
		str_add(&s,
		        repl_is_mariadb(r) ? ", MASTER_USE_GTID=no" : ", %SOURCE%_AUTO_POSITION=0");
	str_add(&s, more);
	r->placed = true;
	return repl_change(r, s.p, deadline, e);
}

bool repl_start_sql(struct repl *r, int64_t deadline, struct err *e)
{
	struct channel_status st;

	if (!repl_status(r, deadline, &st, NULL, e))
		return false;
	if (st.is_replica && repl_is_mariadb(r) && st.gtid != CHANNEL_GTID_NO &&
	        st.io == CHANNEL_IO_NO && !st.sql_running && !keep_place(r, &st, "", deadline, e))
		return err_ctx(e, "keep the relay logs");
	return make(r, "START", "SQL_THREAD", sql_is_started, "the applier does not start",
	        deadline, e);
}

/* STOP was said in a session that waits.  Meanwhile workers that wait for what never comes are ended. */
static bool push(struct repl *r, int64_t deadline, struct err *e)
{
	int64_t next_kill = clock_in(REPL_AGAIN_MS);
	struct channel_status st;

	for (;;) {
		int64_t look = clock_sooner(deadline, clock_in(LOOK_MS));
		struct err why = { .kind = ERR_NONE };
		struct repl_threads t;

		/* 5.6 does not answer this while it stops. */
		if (repl_status(r, look, &st, NULL, &why) && !st.sql_running)
			return true;
		if (why.kind == ERR_NONE && st.channels == 1 && clock_ms() >= next_kill) {
			if (repl_ready(r, look, &why) && !count_threads(r->db, r->db, &t, &why))
				repl_note(r, &why);
			next_kill = clock_in(KILL_EVERY_MS);
		}
		if (why.kind != ERR_NONE && why.kind != ERR_LOST && clock_left(deadline) > 0)
			return repl_fail(&why, e);
		if (!repl_nap(REPL_AGAIN_MS, deadline))
			return repl_error(r, e, ERR_LOST, 0, "the applier does not stop");
	}
}

bool repl_stop_sql(struct repl *r, int64_t deadline, struct err *e)
{
	struct err why = { .kind = ERR_NONE };
	struct channel_status st;
	int64_t patience = clock_sooner(deadline, clock_in(STOP_PATIENCE_MS));

	if (!repl_status(r, deadline, &st, NULL, e))
		return false;
	if (!st.is_replica || !st.sql_running)
		return true;
	if (repl_verb(r, "STOP", "SQL_THREAD", patience, &why))
		return wait_for(r, sql_is_stopped, "the applier does not stop", deadline, e);
	if (why.kind != ERR_LOST)
		return repl_fail(&why, e) || err_ctx(e, "stop the applier");
	return push(r, deadline, e);
}

/*
 * ---- gaps, delay, relay logs -------------------------------------------------------------------
 */

bool repl_fill_gaps(struct repl *r, int64_t deadline, struct err *e)
{
	struct err why = { .kind = ERR_NONE };
	struct channel c;

	if (!repl_stop_sql(r, deadline, e) || !repl_ready(r, deadline, e))
		return false;
	c = (struct channel){ r->db, r->channel };
	if (channel_fill_gaps(&c, deadline, &why))
		return true;
	repl_note(r, &why);
	return repl_fail(&why, e);
}

bool repl_set_delay(struct repl *r, int64_t seconds, int64_t deadline, struct err *e)
{
	AUTO(free) char *delay = xasprintf(", %%SOURCE%%_DELAY=%lld", (long long)seconds);
	struct channel_status st;
	bool ran;

	if (!repl_status(r, deadline, &st, NULL, e))
		return false;
	if (st.delay == seconds)
		return true;
	if (!st.is_replica || st.io != CHANNEL_IO_NO)
		return repl_error(r, e, ERR_PRECOND, 0, "%s",
		        st.is_replica ? "its receiver runs" : "it has no source");
	ran = st.sql_running;
	if (!repl_stop_sql(r, deadline, e) || !repl_status(r, deadline, &st, NULL, e) ||
	        !keep_place(r, &st, delay, deadline, e))
		return err_ctx(e, "set the delay");
	return !ran || repl_start_sql(r, deadline, e);
}

bool repl_flush_relay_logs(struct repl *r, int64_t deadline, struct err *e)
{
	struct err why = { .kind = ERR_NONE };
	struct channel c;

	if (!repl_ready(r, deadline, e))
		return false;
	c = (struct channel){ r->db, r->channel };
	if (channel_flush_relay_logs(&c, &why) || why.code == ER_CHANNEL_DOES_NOT_EXIST)
		return true;
	repl_note(r, &why);
	return repl_fail(&why, e);
}

bool repl_relay_purge(struct repl *r, int64_t deadline, bool *ret_on, struct err *e)
{
	AUTO(db_result)
	struct db_result *res = repl_ask(r, "SELECT @@GLOBAL.relay_log_purge AS v", deadline, e);

	if (res)
		*ret_on = str_is(db_get(res, 0, "v"), "1");
	return res != NULL;
}

bool repl_set_relay_purge(struct repl *r, bool on, int64_t deadline, struct err *e)
{
	bool now;

	return repl_relay_purge(r, deadline, &now, e) &&
	       (now == on ||
	               repl_exec(r,
	                       on ? "SET GLOBAL relay_log_purge=1" : "SET GLOBAL relay_log_purge=0",
	                       deadline, e));
}
