/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repl_role - what else belongs to being a master: semi-sync, events, the fencing token.  Runs on: worker.
 */
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "db.h"
#include "repl_impl.h"
#include "vars.h"

enum {
	ER_NO_SUCH_DB = 1049,
	ER_NO_SUCH_TABLE = 1146,
	CODE_LATER = 1, /* a greater token is there */
};

/*
 * ---- semi-sync ---------------------------------------------------------------------------------
 */

static struct vars *read_vars(struct repl *r, int64_t deadline, struct err *e)
{
	struct err why = { .kind = ERR_NONE };
	struct vars *v;

	if (!repl_ready(r, deadline, e))
		return NULL;
	v = vars_read(r->db, &why);
	if (!v) {
		repl_note(r, &why);
		repl_fail(&why, e);
	}
	return v;
}

static enum snapshot_tri switch_of(const struct vars *v, enum dialect_var what)
{
	const char *text = vars_get(v, what);

	return !text ? TRI_UNKNOWN : str_is(text, "ON") || str_is(text, "1") ? TRI_YES : TRI_NO;
}

bool repl_semisync(struct repl *r, int64_t deadline, enum snapshot_tri *ret_source,
        enum snapshot_tri *ret_replica, struct err *e)
{
	AUTO(vars) struct vars *v = read_vars(r, deadline, e);

	if (!v)
		return err_ctx(e, "read the semi-sync switches");
	if (ret_source)
		*ret_source = switch_of(v, VAR_SEMISYNC_SOURCE_ENABLED);
	if (ret_replica)
		*ret_replica = switch_of(v, VAR_SEMISYNC_REPLICA_ENABLED);
	return true;
}

static bool set_switch(struct repl *r, const struct vars *v, enum dialect_var what,
        enum snapshot_tri wanted, int64_t deadline, struct err *e)
{
	AUTO(free) char *sql = NULL;
	enum snapshot_tri now = switch_of(v, what);

	if (wanted == TRI_UNKNOWN || now == TRI_UNKNOWN || now == wanted)
		return true;
	sql = xasprintf("SET GLOBAL %s=%d", vars_name(v, what), wanted == TRI_YES);
	return repl_exec(r, sql, deadline, e) || err_ctx(e, "set semi-sync");
}

bool repl_set_semisync(struct repl *r, enum snapshot_tri source, enum snapshot_tri replica,
        int64_t deadline, struct err *e)
{
	AUTO(vars) struct vars *v = read_vars(r, deadline, e);

	return v && set_switch(r, v, VAR_SEMISYNC_SOURCE_ENABLED, source, deadline, e) &&
	       set_switch(r, v, VAR_SEMISYNC_REPLICA_ENABLED, replica, deadline, e);
}

bool repl_set_semisync_wait(struct repl *r, int64_t count, int64_t deadline, struct err *e)
{
	AUTO(vars) struct vars *v = read_vars(r, deadline, e);
	const char *now = v ? vars_get(v, VAR_SEMISYNC_WAIT_COUNT) : NULL;
	AUTO(free) char *sql = NULL;

	if (!now || atoll(now) == count)
		return v != NULL;
	sql = xasprintf(
	        "SET GLOBAL %s=%lld", vars_name(v, VAR_SEMISYNC_WAIT_COUNT), (long long)count);
	return repl_exec(r, sql, deadline, e) || err_ctx(e, "set the semi-sync count");
}

/*
 * ---- events ------------------------------------------------------------------------------------
 */

static struct db_result *read_events(
        struct repl *r, const char *states, int64_t deadline, struct err *e)
{
	AUTO(free)
	char *sql = xasprintf("SELECT EVENT_SCHEMA AS s, EVENT_NAME AS n, DEFINER AS d FROM "
	                      "information_schema.EVENTS WHERE STATUS IN (%s)",
	        states);
	struct db_result *res = repl_ask(r, sql, deadline, e);

	if (!res)
		err_ctx(e, "read the events");
	return res;
}

static char *event_name(const struct db_result *res, size_t i)
{
	AUTO(free) char *schema = db_quote_name(db_get(res, i, "s"));
	AUTO(free) char *event = db_quote_name(db_get(res, i, "n"));

	return xasprintf("%s.%s", schema, event);
}

bool repl_events(struct repl *r, int64_t deadline, struct repl_events *ret, struct err *e)
{
	AUTO(db_result) struct db_result *res = read_events(r, "'ENABLED'", deadline, e);
	struct repl_events v;

	if (!res)
		return false;
	v.n = db_rows(res);
	v.names = xmalloc((v.n + 1) * sizeof(*v.names));
	for (size_t i = 0; i < v.n; i++)
		v.names[i] = event_name(res, i);
	*ret = v;
	return true;
}

void repl_events_done(struct repl_events *v)
{
	for (size_t i = 0; i < v->n; i++)
		free(v->names[i]);
	free(v->names);
	*v = (struct repl_events){ .n = 0 };
}

static bool is_wanted(const struct repl_events *only, const char *name)
{
	for (size_t i = 0; only && i < only->n; i++)
		if (str_is(only->names[i], name))
			return true;
	return !only;
}

/* ALTER would make us the definer, if it were not said. */
static bool enable_event(
        struct repl *r, const char *name, const char *definer, int64_t deadline, struct err *e)
{
	const char *at = definer ? strrchr(definer, '@') : NULL;
	AUTO(free) char *user = xstrndup(definer ? definer : "", at ? (size_t)(at - definer) : 0);
	AUTO(free) char *user_name = db_quote_name(user), *host = db_quote_name(at ? at + 1 : "");
	AUTO(free)
	char *sql = xasprintf("ALTER DEFINER=%s@%s EVENT %s ENABLE", user_name, host, name);

	return repl_exec(r, sql, deadline, e);
}

/* One that cannot be switched on does not keep the others off. */
bool repl_enable_events(struct repl *r, const struct repl_events *only, int64_t deadline,
        int *ret_n, int *ret_left, struct err *e)
{
	AUTO(db_result)
	struct db_result *res =
	        read_events(r, "'SLAVESIDE_DISABLED', 'REPLICA_SIDE_DISABLED'", deadline, e);
	struct err first = { .kind = ERR_NONE };
	int n = 0;

	for (size_t i = 0; res && i < db_rows(res); i++) {
		AUTO(free) char *name = event_name(res, i);
		struct err why = { .kind = ERR_NONE };

		if (!is_wanted(only, name))
			continue;
		if (enable_event(r, name, db_get(res, i, "d"), deadline, &why))
			n++;
		else if (first.kind == ERR_NONE)
			first = why;
		if (why.kind != ERR_NONE && why.kind != ERR_SQL)
			break;
	}
	if (!res)
		return false;
	if (first.kind != ERR_NONE)
		return repl_fail(&first, e) || err_ctx(e, "switch events on");
	if (ret_n)
		*ret_n = n;
	if (ret_left)
		*ret_left = (int)db_rows(res) - n;
	return true;
}

/*
 * ---- the fencing token -------------------------------------------------------------------------
 */

/* *ret_there: whether there is such a table. */
static bool read_token(struct repl *r, const char *cluster, int64_t deadline, uint64_t *ret,
        bool *ret_there, struct err *e)
{
	AUTO(free) char *quoted = db_quote(cluster);
	AUTO(free)
	char *sql = xasprintf("SELECT token AS t FROM mhad.fencing WHERE cluster=%s", quoted);
	struct err why = { .kind = ERR_NONE };
	AUTO(db_result) struct db_result *res = repl_ask(r, sql, deadline, &why);
	const char *text = res ? db_get(res, 0, "t") : NULL;

	*ret = text ? strtoull(text, NULL, 10) : 0;
	*ret_there = res != NULL;
	if (res || (why.kind == ERR_SQL &&
	                   (why.code == ER_NO_SUCH_TABLE || why.code == ER_NO_SUCH_DB)))
		return true;
	return repl_fail(&why, e) || err_ctx(e, "read the fencing token");
}

bool repl_token(struct repl *r, const char *cluster, int64_t deadline, uint64_t *ret, struct err *e)
{
	bool there;

	return read_token(r, cluster, deadline, ret, &there, e);
}

static bool may_be_written(struct repl *r, int64_t deadline, struct err *e)
{
	bool on;

	if (!repl_read_only(r, deadline, &on, NULL, e))
		return false;
	return !on || repl_error(r, e, ERR_PRECOND, 0, "it is read-only");
}

static bool make_table(struct repl *r, int64_t deadline, struct err *e)
{
	return repl_exec(r, "CREATE DATABASE IF NOT EXISTS mhad", deadline, e) &&
	       repl_exec(r,
	               "CREATE TABLE IF NOT EXISTS mhad.fencing (cluster VARCHAR(150) CHARACTER "
	               "SET "
	               "utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, token BIGINT UNSIGNED "
	               "NOT "
	               "NULL, stored_at DATETIME NOT NULL) ENGINE=InnoDB",
	               deadline, e);
}

bool repl_set_token(
        struct repl *r, const char *cluster, uint64_t token, int64_t deadline, struct err *e)
{
	AUTO(free) char *quoted = db_quote(cluster), *sql = NULL;
	unsigned long long n = token;
	uint64_t now;
	bool there;

	if (!read_token(r, cluster, deadline, &now, &there, e))
		return false;
	if (now > token)
		return repl_error(r, e, ERR_PRECOND, CODE_LATER,
		        "it has fencing token %llu, which is later than %llu",
		        (unsigned long long)now, n);
	if (now == token && there)
		return true;
	sql = xasprintf("INSERT INTO mhad.fencing VALUES (%s, %llu, UTC_TIMESTAMP()) ON DUPLICATE "
	                "KEY UPDATE stored_at=IF(token<%llu, UTC_TIMESTAMP(), stored_at), "
	                "token=GREATEST(token, %llu)",
	        quoted, n, n, n);
	return may_be_written(r, deadline, e) &&
	       ((there || make_table(r, deadline, e)) && repl_exec(r, sql, deadline, e)
	                       ? true
	                       : err_ctx(e, "store the fencing token"));
}
