/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * switch_busy - who is at work on the masters: statements and transactions that a switch would have to end,
 * and ending clients' sessions.  Runs on: worker.
 */
#include "switch_impl.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "clock.h"
#include "db.h"
#include "log.h"

enum { BUSY_MS = 5000, SHOWN = 10, ER_NO_SUCH_THREAD = 1094 };

typedef unsigned long long session_id;

/* ---- whose session it is ---- */

static bool is_session(struct repl *r, session_id id)
{
	struct db *db = repl_db(r, clock_in(BUSY_MS), NULL);

	return db && db_connection_id(db) == id;
}

/* By numbers: the sessions themselves may be in use by another thread. */
bool sw_is_ours(const struct planned *p, session_id id)
{
	return id == p->orig->ids[0] || id == p->orig->ids[1];
}

static bool is_one_of(const char *text, const char *const *words, size_t n)
{
	for (size_t i = 0; text && i < n; i++)
		if (str_is(text, words[i]))
			return true;
	return false;
}

/* Replication's and the server's own sessions are nobody's clients. */
static bool is_client(const struct db_result *r, size_t i)
{
	static const char *const users[] = { "system user", "event_scheduler",
		"unauthenticated user" };
	const char *command = db_get(r, i, "Command");

	return command && !str_starts(command, "Binlog Dump") && !str_is(command, "Daemon") &&
	       !is_one_of(db_get(r, i, "User"), users, ARRAY_LEN(users));
}

static bool is_at_work(const struct db_result *r, size_t i)
{
	static const char *const idle[] = { "Sleep", "Connect" };

	return is_client(r, i) && db_get(r, i, "Info") &&
	       !is_one_of(db_get(r, i, "Command"), idle, ARRAY_LEN(idle));
}

/* MHA's test, by the first word. */
static bool only_reads(const char *sql)
{
	while (*sql == ' ' || *sql == '\t' || *sql == '\n' || *sql == '\r' || *sql == '(')
		sql++;
	return strncasecmp(sql, "select", 6) == 0 || strncasecmp(sql, "show", 4) == 0;
}

/* ---- the limits ---- */

struct busy {
	session_id ids[SHOWN];
	size_t n; /* may be more than were kept */
};

static void note(struct busy *b, session_id id)
{
	if (b->n < SHOWN)
		b->ids[b->n] = id;
	b->n++;
}

static void log_session(const struct db_result *r, size_t i)
{
	const char *info = db_get(r, i, "Info"), *seconds = db_get(r, i, "Time");
	AUTO(free) char *shown = db_redact(info ? info : "");

	log_warning("  session %s, user %s, %s s: %.300s", db_get(r, i, "Id"), db_get(r, i, "User"),
	        seconds ? seconds : "?", shown);
}

static int64_t seconds_of(const struct db_result *r, size_t i, const char *column)
{
	const char *text = db_get(r, i, column);

	return text ? atoll(text) : 0;
}

static struct db_result *ask(struct repl *r, const char *sql, int64_t deadline, struct err *e)
{
	struct db *db = repl_db(r, deadline, e);

	return db ? db_query(db, sql, e) : NULL;
}

static bool find_statements(const struct planned *p, struct repl *r, bool writes, int64_t limit,
        int64_t deadline, struct busy *b, struct err *e)
{
	AUTO(db_result) struct db_result *res = ask(r, "SHOW FULL PROCESSLIST", deadline, e);

	for (size_t i = 0; res && i < db_rows(res); i++) {
		session_id id = strtoull(db_get(res, i, "Id"), NULL, 10);

		if (!is_at_work(res, i) || seconds_of(res, i, "Time") < limit ||
		        is_session(r, id) || sw_is_ours(p, id) ||
		        (writes && only_reads(db_get(res, i, "Info"))))
			continue;
		if (b->n < SHOWN)
			log_session(res, i);
		note(b, id);
	}
	return res != NULL;
}

/* A session that waits between two statements of a transaction that has written is not in MHA's list. */
static bool find_transactions(const struct planned *p, struct repl *r, int64_t limit,
        int64_t deadline, struct busy *b, struct err *e)
{
	AUTO(free)
	char *sql = xasprintf(
	        "SELECT trx_mysql_thread_id AS id, TIMESTAMPDIFF(SECOND, trx_started, NOW()) AS s, "
	        "trx_rows_modified AS n FROM information_schema.INNODB_TRX WHERE "
	        "trx_mysql_thread_id<>0 AND trx_rows_modified>0 AND trx_started <= NOW() - "
	        "INTERVAL %lld SECOND",
	        (long long)limit);
	AUTO(db_result) struct db_result *res = ask(r, sql, deadline, e);

	for (size_t i = 0; res && i < db_rows(res); i++) {
		session_id id = strtoull(db_get(res, i, "id"), NULL, 10);

		if (sw_is_ours(p, id))
			continue;
		if (b->n < SHOWN)
			log_warning("  session %llu has a transaction open for %s s, with %s rows "
			            "changed",
			        id, db_get(res, i, "s"), db_get(res, i, "n"));
		note(b, id);
	}
	return res != NULL;
}

/* ---- ending ---- */

static bool kill_one(struct repl *r, session_id id, int64_t deadline, struct err *e)
{
	AUTO(free) char *sql = xasprintf("KILL %llu", id);
	struct err why = { 0 };
	struct db *db = repl_db(r, deadline, e);

	if (!db)
		return false;
	if (db_exec(db, sql, &why) || (why.kind == ERR_SQL && why.code == ER_NO_SUCH_THREAD))
		return true;
	if (e)
		*e = why;
	return false;
}

static bool kill_found(struct repl *r, const struct busy *b, int64_t deadline, struct err *e)
{
	for (size_t i = 0; i < b->n && i < SHOWN; i++)
		if (!kill_one(r, b->ids[i], deadline, e))
			return false;
	log_warning("%zu sessions that were over the limits were ended, as was asked for.", b->n);
	return true;
}

bool sw_kill_clients(
        struct planned *p, struct repl *by, int64_t deadline, int *ret_left, struct err *e)
{
	AUTO(db_result) struct db_result *res = ask(by, "SHOW PROCESSLIST", deadline, e);

	*ret_left = 0;
	for (size_t i = 0; res && i < db_rows(res); i++) {
		session_id id = strtoull(db_get(res, i, "Id"), NULL, 10);

		if (!is_client(res, i) || is_session(by, id) || sw_is_ours(p, id))
			continue;
		++*ret_left;
		if (!kill_one(by, id, deadline, e) && e->kind != ERR_SQL)
			return false;
	}
	return res != NULL;
}

static bool is_among(const session_id *ids, size_t n, session_id id)
{
	for (size_t i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

/* How many of these are still there. */
static bool count_left(struct repl *by, const session_id *ids, size_t n, int64_t deadline,
        size_t *ret, struct err *e)
{
	AUTO(db_result) struct db_result *res = ask(by, "SHOW PROCESSLIST", deadline, e);

	*ret = 0;
	for (size_t i = 0; res && i < db_rows(res); i++)
		*ret += is_among(ids, n, strtoull(db_get(res, i, "Id"), NULL, 10));
	return res != NULL;
}

bool sw_end_clients(
        struct planned *p, struct repl *by, uint64_t above, int64_t deadline, struct err *e)
{
	AUTO(db_result) struct db_result *res = ask(by, "SHOW PROCESSLIST", deadline, e);
	AUTO(free) session_id *ids = xzalloc(sizeof(*ids) * (res ? db_rows(res) + 1 : 1));
	size_t n = 0, left = 1;

	for (size_t i = 0; res && i < db_rows(res); i++) {
		session_id id = strtoull(db_get(res, i, "Id"), NULL, 10);

		if (id <= above || !is_client(res, i) || is_session(by, id) || sw_is_ours(p, id))
			continue;
		ids[n++] = id;
		if (!kill_one(by, id, deadline, e))
			return false;
	}
	while (res && left && clock_left(deadline) > 0)
		if (!count_left(by, ids, n, deadline, &left, e))
			return false;
	return res && (!left || err_set(e, ERR_LOST, 0, "%zu sessions on %s do not end", left,
	                                p->orig->conf->hostinfo));
}

/*
 * MySQL 5.6 locks all tables by closing them first, which waits for who reads one; and whoever wants that
 * table waits behind, even when the lock was given up, until that reader has ended.
 */
static bool waits_for_reads(const struct repl *r)
{
	return !repl_is_mariadb(r) && !dialect_can(repl_dialect(r), CAP_SUPER_READ_ONLY);
}

void sw_end_readers(struct planned *p, struct repl *r, int64_t deadline)
{
	AUTO(db_result) struct db_result *res = NULL;
	int n = 0;

	if (!waits_for_reads(r))
		return;
	res = ask(r, "SHOW FULL PROCESSLIST", deadline, NULL);
	for (size_t i = 0; res && i < db_rows(res); i++) {
		session_id id = strtoull(db_get(res, i, "Id"), NULL, 10);
		const char *state = db_get(res, i, "State");
		AUTO(free) char *sql = xasprintf("KILL QUERY %llu", id);
		struct db *db = NULL;

		if (!is_at_work(res, i) || is_session(r, id) || sw_is_ours(p, id) ||
		        (state && str_starts(state, "Waiting for ")))
			continue;
		log_session(res, i);
		db = repl_db(r, deadline, NULL);
		n += db && db_exec(db, sql, NULL);
	}
	if (n)
		log_warning("%d statements that held the lock of all tables up were ended: all who "
		            "want those tables would wait for them",
		        n);
}

/* ---- the check ---- */

static bool check_orig(struct planned *p, int64_t deadline, struct err *e)
{
	struct repl *r = sw_repl(p->orig, deadline, e);
	int64_t limit = p->o.updates_limit_s;
	struct busy b = { .n = 0 };

	if (!r || !find_statements(p, r, !waits_for_reads(r), limit + 1, deadline, &b, e) ||
	        !find_transactions(p, r, limit + 1, deadline, &b, e))
		return false;
	if (!b.n)
		return true;
	if (p->o.kill)
		return p->o.dry || kill_found(r, &b, deadline, e);
	return sw_refuse(e,
	        "wait until they have ended, allow more (--running_updates_limit), or end them: "
	        "--kill",
	        "%s: we should not start online master switch when one of connections are running "
	        "long updates on the current master: %zu statements or transactions are older than "
	        "%lld s",
	        p->orig->conf->hostinfo, b.n, (long long)limit);
}

static bool check_fresh(struct planned *p, int64_t deadline, struct err *e)
{
	struct repl *r = sw_repl(p->fresh, deadline, e);
	struct busy b = { .n = 0 };

	if (!r || !find_statements(p, r, false, p->o.seconds_limit_s, deadline, &b, e))
		return false;
	return !b.n ||
	       sw_refuse(e, "wait until they have ended, or allow more (--running_seconds_limit)",
	               "%s: we should not start online master switch when one of connections are "
	               "running long queries on the new master: %zu run for %lld s or longer",
	               p->fresh->conf->hostinfo, b.n, (long long)p->o.seconds_limit_s);
}

bool sw_check_busy(struct planned *p, struct run_io *io, struct err *e)
{
	return check_orig(p, sw_until(io, BUSY_MS), e) && check_fresh(p, sw_until(io, BUSY_MS), e);
}
