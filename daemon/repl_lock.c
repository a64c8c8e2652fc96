/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repl_lock - advisory locks of servers, which tell other managers and tools to keep away.  Runs on: worker.
 */
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "db.h"
#include "repl_impl.h"

enum { AGAIN_MS = 50 };

struct repl_lock {
	struct db *db;
	char *name; /* quoted */
};

static bool failed(const struct repl_lock *l, struct err *e, int code, const char *why)
{
	err_set(e, ERR_PRECOND, code, "lock %s %s", l->name, why);
	return err_at(e, db_name(l->db));
}

/* By whom, as far as that can be seen. */
static bool is_taken(struct repl_lock *l, struct err *e)
{
	AUTO(free) char *ask = xasprintf("SELECT IS_USED_LOCK(%s)", l->name), *id = NULL;
	AUTO(free) char *find = NULL, *why = NULL;
	AUTO(db_result) struct db_result *res = NULL;
	const char *user, *host;

	if (!db_value(l->db, ask, &id, NULL) || !id)
		return failed(l, e, 0, "is taken");
	find = xasprintf("SELECT USER, HOST FROM information_schema.PROCESSLIST WHERE ID=%s", id);
	res = db_query(l->db, find, NULL);
	user = res ? db_get(res, 0, "USER") : NULL;
	host = res ? db_get(res, 0, "HOST") : NULL;
	why = xasprintf("is taken by session %s (%s from %s)", id, user ? user : "a user",
	        host ? host : "somewhere");
	return failed(l, e, atoi(id), why);
}

static bool take(struct repl_lock *l, int64_t end, struct err *e)
{
	AUTO(free) char *sql = xasprintf("SELECT GET_LOCK(%s,0)", l->name);

	do {
		AUTO(free) char *got = NULL;

		if (!db_value(l->db, sql, &got, e))
			return err_ctx(e, "take lock %s", l->name);
		if (str_is(got, "1"))
			return true;
	} while (repl_nap(AGAIN_MS, end));
	return is_taken(l, e);
}

struct repl_lock *repl_lock(const struct conf_server *s, const char *name, int64_t wait_ms,
        int64_t deadline, struct err *e)
{
	AUTO(repl_lock) struct repl_lock *l = xzalloc(sizeof(*l));

	l->db = repl_login(s, deadline, e);
	if (!l->db)
		return NULL;
	l->name = db_quote(name);
	/* It lasts as long as a run, which says nothing here. */
	if (!db_exec(l->db, "SET SESSION wait_timeout=86400", e) ||
	        !take(l, clock_sooner(deadline, clock_in(wait_ms)), e))
		return NULL;
	return TAKE(l);
}

bool repl_lock_is_held(struct repl_lock *l, int64_t deadline, struct err *e)
{
	AUTO(free) char *sql = xasprintf("SELECT IS_USED_LOCK(%s)=CONNECTION_ID()", l->name);
	AUTO(free) char *mine = NULL;

	db_deadline(l->db, deadline);
	if (!db_value(l->db, sql, &mine, e))
		return false;
	return str_is(mine, "1") || failed(l, e, 0, "is lost");
}

void repl_unlock(struct repl_lock *l)
{
	if (!l)
		return;
	db_close(l->db);
	free(l->name);
	free(l);
}
