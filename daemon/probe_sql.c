/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe_sql - the probe's statements and the meaning of their answers.  Runs on: loop.
 */
#include "probe_impl.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "dialect.h"
#include "str.h"

const char probe_sql_holder[] =
        "SELECT IS_USED_LOCK('" PROBE_LOCK_NAME "') AS id,"
        " (SELECT CONCAT(USER, '@', HOST) FROM information_schema.PROCESSLIST"
        " WHERE ID = IS_USED_LOCK('" PROBE_LOCK_NAME "')) AS who";

const char probe_sql_uptime[] = "SHOW GLOBAL STATUS LIKE 'Uptime'";

const char probe_sql_waiting[] = "SELECT COUNT(*) AS v FROM information_schema.PROCESSLIST"
                                 " WHERE STATE LIKE 'Waiting for semi-sync ACK%'";

static int64_t number(const char *text)
{
	long long n;

	return text && str_to_int(text, 0, INT64_MAX, &n) ? n : -1;
}

static enum probe_tri tri(const char *text)
{
	if (!text)
		return PROBE_UNKNOWN;
	return !*text || str_is(text, "0") || !strcasecmp(text, "OFF") || !strcasecmp(text, "NO")
	               ? PROBE_NO
	               : PROBE_YES;
}

uint64_t probe_read_holder(const struct db_result *r, char *ret, size_t size)
{
	const char *id = db_get(r, 0, "id"), *who = db_get(r, 0, "who");
	const char *at = who ? strrchr(who, '@') : NULL, *port = at ? strrchr(at, ':') : NULL;

	if (!id)
		snprintf(ret, size, "nobody any more");
	else if (!who)
		snprintf(ret, size, "connection %s", id);
	else
		snprintf(ret, size, "%.*s connection %s",
		        port ? (int)(port - who) : (int)strlen(who), who, id);
	return id ? (uint64_t)number(id) : 0;
}

static const enum dialect_var identity[] = { VAR_SERVER_ID, VAR_SERVER_UUID, VAR_READ_ONLY,
	VAR_SUPER_READ_ONLY };

char *probe_sql_identity(const struct dialect *d)
{
	struct str sql = STR_INIT;

	str_add(&sql, "SELECT");
	for (size_t i = 0; i < ARRAY_LEN(identity); i++) {
		const char *name = dialect_var(d, identity[i]);

		if (name)
			str_addf(&sql, " @@GLOBAL.%s AS %s,", name, name);
	}
	str_add(&sql, " (SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES"
	              " WHERE PRIVILEGE_TYPE = 'SUPER' AND GRANTEE ="
	              " CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')) AS is_super");
	return str_take(&sql);
}

static void copy(char *to, size_t size, const char *text)
{
	snprintf(to, size, "%s", text ? text : "");
}

void probe_read_identity(
        const struct db_result *r, const struct dialect *d, struct probe_server *ret)
{
	int64_t id = number(db_get(r, 0, dialect_var(d, VAR_SERVER_ID)));

	ret->server_id = id > 0 ? (uint32_t)id : 0;
	copy(ret->uuid, sizeof(ret->uuid), db_get(r, 0, dialect_var(d, VAR_SERVER_UUID)));
	ret->read_only = tri(db_get(r, 0, dialect_var(d, VAR_READ_ONLY)));
	ret->super_read_only = tri(db_get(r, 0, dialect_var(d, VAR_SUPER_READ_ONLY)));
	ret->is_super = tri(db_get(r, 0, "is_super"));
}

void probe_read_uptime(const struct db_result *r, int64_t now, struct probe_server *ret)
{
	int64_t seconds = number(db_get(r, 0, "Value"));

	ret->started = seconds >= 0 ? now - seconds * 1000 : 0;
}

static const enum dialect_status counters[] = { STAT_SEMISYNC_SOURCE_STATUS, STAT_SEMISYNC_CLIENTS,
	STAT_SEMISYNC_WAIT_SESSIONS };
static const enum dialect_var settings[] = { VAR_SEMISYNC_SOURCE_ENABLED, VAR_SEMISYNC_WAIT_COUNT,
	VAR_SEMISYNC_TIMEOUT };

static void add_name(struct str *list, const char *name)
{
	if (name)
		str_addf(list, "%s'%s'", list->len ? "," : "", name);
}

static char *show(const char *what, struct str *names)
{
	char *sql = xasprintf("SHOW GLOBAL %s WHERE Variable_name IN (%s)", what, names->p);

	str_done(names);
	return sql;
}

char *probe_sql_semisync_status(const struct dialect *d)
{
	struct str names = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
		add_name(&names, dialect_status(d, counters[i]));
		add_name(&names, dialect_old_status(d, counters[i]));
	}
	return show("STATUS", &names);
}

char *probe_sql_semisync_vars(const struct dialect *d)
{
	struct str names = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		add_name(&names, dialect_var(d, settings[i]));
		add_name(&names, dialect_old_var(d, settings[i]));
	}
	return show("VARIABLES", &names);
}

static const char *value_of(const struct db_result *r, const char *name, const char *old)
{
	for (size_t i = 0; i < db_rows(r); i++) {
		const char *is = db_get(r, i, "Variable_name");

		if (is && ((name && !strcasecmp(is, name)) || (old && !strcasecmp(is, old))))
			return db_get(r, i, "Value");
	}
	return NULL;
}

static const char *counter(
        const struct db_result *r, const struct dialect *d, enum dialect_status what)
{
	return value_of(r, dialect_status(d, what), dialect_old_status(d, what));
}

static const char *setting(
        const struct db_result *r, const struct dialect *d, enum dialect_var what)
{
	return value_of(r, dialect_var(d, what), dialect_old_var(d, what));
}

void probe_read_semisync_status(
        const struct db_result *r, const struct dialect *d, struct probe_facts *ret)
{
	ret->semisync_on = tri(counter(r, d, STAT_SEMISYNC_SOURCE_STATUS));
	ret->semisync_clients = number(counter(r, d, STAT_SEMISYNC_CLIENTS));
	ret->semisync_wait_sessions = number(counter(r, d, STAT_SEMISYNC_WAIT_SESSIONS));
}

void probe_read_semisync_vars(
        const struct db_result *r, const struct dialect *d, struct probe_facts *ret)
{
	ret->semisync_enabled = tri(setting(r, d, VAR_SEMISYNC_SOURCE_ENABLED));
	ret->semisync_wait_count = number(setting(r, d, VAR_SEMISYNC_WAIT_COUNT));
	ret->semisync_timeout_ms = number(setting(r, d, VAR_SEMISYNC_TIMEOUT));
	/* MariaDB waits for one. */
	if (ret->semisync_enabled != PROBE_UNKNOWN && ret->semisync_wait_count < 0)
		ret->semisync_wait_count = 1;
}

void probe_read_waiting(const struct db_result *r, struct probe_facts *ret)
{
	ret->semisync_waiting_threads = number(db_get(r, 0, "v"));
}

static bool is_unreachable(int sys)
{
	return sys == EHOSTUNREACH || sys == ENETUNREACH || sys == EHOSTDOWN || sys == ENETDOWN ||
	       sys == ENOPROTOOPT;
}

static enum probe_how how_connection_ended(bool late, int sys, enum db_layer layer)
{
	if (late || sys == ETIMEDOUT)
		return PROBE_LATE;
	if (is_unreachable(sys))
		return PROBE_UNREACHABLE;
	return layer == DB_LAYER_NOTHING ? PROBE_REFUSED : PROBE_CUT;
}

enum probe_how probe_how_of(const struct err *e, bool late, int sys, enum db_layer layer)
{
	switch (e->kind) {
	case ERR_NONE: return PROBE_FINE;
	case ERR_UNREACHABLE:
	case ERR_LOST: return how_connection_ended(late, sys, layer);
	case ERR_SQL:
	case ERR_REFUSED: return db_code_is_alive(e->code) ? PROBE_ALIVE : PROBE_ERROR;
	case ERR_PRECOND:
	case ERR_PARSE: return PROBE_ERROR;
	default: return PROBE_OURS;
	}
}

const char *probe_layer_name(enum probe_layer l)
{
	static const char *const names[] = { "nothing", "tcp", "greeting", "login", "read",
		"write" };

	return names[l];
}

const char *probe_how_name(enum probe_how h)
{
	static const char *const names[] = { "fine", "refused", "cut", "late", "unreachable",
		"alive", "error", "locked", "ours" };

	return names[h];
}
