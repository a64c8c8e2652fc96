/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repl_writes - who may write to the server, and the sessions that do.  Runs on: worker.
 */
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "db.h"
#include "repl_impl.h"
#include "vec.h"

enum {
	LEFT_MS = 500, /* so long after the last one went, those that are left stay */
	ER_NO_SUCH_THREAD = 1094,
};

/*
 * ---- read_only ---------------------------------------------------------------------------------
 */

bool repl_read_only(struct repl *r, int64_t deadline, bool *ret_on, bool *ret_super, struct err *e)
{
	AUTO(free) char *sql = NULL;
	AUTO(db_result) struct db_result *res = NULL;
	const char *super;

	if (!repl_ready(r, deadline, e))
		return false;
	super = dialect_var(r->dialect, VAR_SUPER_READ_ONLY);
	sql = xasprintf("SELECT @@GLOBAL.read_only AS v, %s%s AS s", super ? "@@GLOBAL." : "",
	        super ? super : "0");
	res = repl_ask(r, sql, deadline, e);
	if (!res)
		return err_ctx(e, "read read_only");
	if (ret_on)
		*ret_on = !str_is(db_get(res, 0, "v"), "0");
	if (ret_super)
		*ret_super = str_is(db_get(res, 0, "s"), "1");
	return true;
}

static bool is_set(struct repl *r, bool on, bool super, int64_t deadline, bool *ret, struct err *e)
{
	bool now, now_super;

	if (!repl_read_only(r, deadline, &now, &now_super, e))
		return false;
	*ret = now == on && (!super || now_super == on);
	return true;
}

bool repl_set_read_only(struct repl *r, bool on, int64_t deadline, struct err *e)
{
	AUTO(free) char *sql = NULL;
	bool super, done;

	if (!repl_ready(r, deadline, e))
		return false;
	super = dialect_can(r->dialect, CAP_SUPER_READ_ONLY);
	if (!is_set(r, on, super, deadline, &done, e))
		return false;
	if (done)
		return true;
	/* On sets both, and so does the other one's off. */
	sql = xasprintf("SET GLOBAL %s=%d",
	        on && super ? dialect_var(r->dialect, VAR_SUPER_READ_ONLY) : "read_only", on);
	if (!repl_exec(r, sql, deadline, e) || !is_set(r, on, super, deadline, &done, e))
		return err_ctx(e, "set read_only");
	return done ||
	       repl_error(r, e, ERR_PRECOND, 0, "read_only does not stay %s", on ? "on" : "off");
}

/*
 * ---- clients -----------------------------------------------------------------------------------
 */

typedef VEC(unsigned long long) ids;

static bool has_id(const ids *v, unsigned long long id)
{
	for (size_t i = 0; i < v->len; i++)
		if (v->items[i] == id)
			return true;
	return false;
}

static bool is_client(const struct db_result *res, size_t i, const char *spare)
{
	static const char *const users[] = { "system user", "event_scheduler",
		"unauthenticated user" };
	const char *user = db_get(res, i, "User"), *command = db_get(res, i, "Command");

	if (!user || !command || str_is(user, spare) || str_starts(command, "Binlog Dump") ||
	        str_is(command, "Daemon"))
		return false;
	for (size_t k = 0; k < ARRAY_LEN(users); k++)
		if (str_is(user, users[k]))
			return false;
	return true;
}

/* One round.  *ret_left: clients that are there; *ret_new: of those how many were told to go just now. */
static bool kill_round(struct repl *r, const char *spare, ids *killed, int64_t deadline,
        int *ret_left, int *ret_new, struct err *e)
{
	AUTO(db_result) struct db_result *res = repl_ask(r, "SHOW PROCESSLIST", deadline, e);

	*ret_left = *ret_new = 0;
	for (size_t i = 0; res && i < db_rows(res); i++) {
		unsigned long long id = strtoull(db_get(res, i, "Id"), NULL, 10);
		struct err why = { .kind = ERR_NONE };
		AUTO(free) char *sql = NULL;

		if ((r->db && id == db_connection_id(r->db)) || !is_client(res, i, spare))
			continue;
		++*ret_left;
		if (has_id(killed, id))
			continue;
		sql = xasprintf("KILL %llu", id);
		if (repl_exec(r, sql, deadline, &why)) {
			vec_push(killed, id);
			++*ret_new;
		} else if (why.kind != ERR_SQL) {
			return repl_fail(&why, e);
		} else if (why.code == ER_NO_SUCH_THREAD) {
			--*ret_left;
		}
	}
	return res != NULL;
}

static bool kill_all(struct repl *r, const char *spare, ids *killed, int64_t deadline,
        int *ret_left, struct err *e)
{
	int64_t since = clock_ms();
	int left, before = -1, fresh;

	for (;;) {
		if (!kill_round(r, spare, killed, deadline, &left, &fresh, e))
			return err_ctx(e, "end the clients' sessions");
		if (fresh || left != before)
			since = clock_ms();
		before = left;
		*ret_left = left;
		if (!left || clock_ms() - since >= LEFT_MS || !repl_nap(REPL_AGAIN_MS, deadline))
			return true;
	}
}

bool repl_kill_clients(struct repl *r, const char *spare, int64_t deadline, int *ret_killed,
        int *ret_left, struct err *e)
{
	ids killed = VEC_INIT;
	int left = 0;
	bool ok = kill_all(r, spare, &killed, deadline, &left, e);

	if (ok && ret_killed)
		*ret_killed = (int)killed.len;
	if (ok && ret_left)
		*ret_left = left;
	vec_done(&killed);
	return ok;
}

/*
 * ---- the lock on all tables --------------------------------------------------------------------
 */

bool repl_lock_tables(struct repl *r, int64_t deadline, struct err *e)
{
	if (r->locked)
		return true;
	if (!repl_exec(r, "FLUSH TABLES WITH READ LOCK", deadline, e))
		return err_ctx(e, "lock all tables");
	r->locked = true;
	return true;
}

bool repl_tables_are_locked(const struct repl *r)
{
	return r->locked;
}

bool repl_unlock_tables(struct repl *r, int64_t deadline, struct err *e)
{
	if (r->locked && !repl_exec(r, "UNLOCK TABLES", deadline, e))
		return err_ctx(e, "unlock all tables");
	r->locked = false;
	return true;
}
