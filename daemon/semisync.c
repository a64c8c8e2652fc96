/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * semisync - reading it, and doing what mends it.  Runs on: worker.
 */
#include "semisync.h"
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "db.h"
#include "fan.h"
#include "vars.h"

enum {
	REGISTER_MS = 5000, /* so long a receiver may take to connect */
	NAP_MS = 20,
	ER_PLUGIN_IS_THERE = 1125,
	ER_PLUGIN_INSTALLED = 1968, /* MariaDB's word for it */
};

static bool is_on(const char *text)
{
	return text && (str_is(text, "ON") || str_is(text, "1"));
}

static int64_t number(const char *text)
{
	return text ? atoll(text) : -1;
}

static enum semisync_plugin plugin_of(
        const struct repl *r, const struct vars *v, enum dialect_var what)
{
	const char *name = vars_name(v, what);

	if (!name)
		return SEMISYNC_NONE;
	if (repl_is_mariadb(r))
		return SEMISYNC_BUILT_IN;
	return strstr(name, "_source_") || strstr(name, "_replica_") ? SEMISYNC_NEW : SEMISYNC_OLD;
}

static struct vars *read_vars(struct repl *r, int64_t deadline, struct err *e)
{
	struct db *db = repl_db(r, deadline, e);

	return db ? vars_read(db, e) : NULL;
}

bool semisync_read(struct repl *r, int64_t deadline, struct semisync_now *ret, struct err *e)
{
	AUTO(vars) struct vars *v = read_vars(r, deadline, e);
	struct repl_now now;

	if (!v || !repl_look(r, deadline, &now, e))
		return err_ctx(e, "read semi-sync");
	*ret = (struct semisync_now){
		.known = true,
		.source = plugin_of(r, v, VAR_SEMISYNC_SOURCE_ENABLED),
		.replica = plugin_of(r, v, VAR_SEMISYNC_REPLICA_ENABLED),
		.source_enabled = is_on(vars_get(v, VAR_SEMISYNC_SOURCE_ENABLED)),
		.replica_enabled = is_on(vars_get(v, VAR_SEMISYNC_REPLICA_ENABLED)),
		.source_on = is_on(vars_status(v, STAT_SEMISYNC_SOURCE_STATUS)),
		.replica_on = is_on(vars_status(v, STAT_SEMISYNC_REPLICA_STATUS)) &&
		              now.is_replica && now.io == IO_YES,
		.clients = number(vars_status(v, STAT_SEMISYNC_CLIENTS)),
		.wait_count = number(vars_get(v, VAR_SEMISYNC_WAIT_COUNT)),
		.timeout_ms = number(vars_get(v, VAR_SEMISYNC_TIMEOUT)),
	};
	ret->has_wait_count = ret->wait_count >= 0;
	if (!ret->has_wait_count)
		ret->wait_count = 1;
	ret->source_on = ret->source_on && ret->source_enabled;
	return true;
}

struct all {
	const struct topology *t;
	struct semisync_now *now;
	int64_t deadline;
};

static bool read_one(void *arg, size_t i, struct err *e)
{
	struct all *a = arg;
	const struct topology_server *v = &a->t->servers[i];
	AUTO(repl) struct repl *r = NULL;

	a->now[i] = (struct semisync_now){ .known = false };
	if (!v->snap->was_read || v->snap->state != SNAPSHOT_ALIVE)
		return true;
	r = repl_open(v->snap->conf, v->channel ? v->channel->name : NULL, a->deadline, e);
	return r && semisync_read(r, a->deadline, &a->now[i], e);
}

void semisync_read_all(const struct topology *t, int64_t deadline, struct semisync_now *ret)
{
	fan_run(t->n_servers, 0, read_one, &(struct all){ t, ret, deadline }, NULL);
}

/*
 * ---- deeds -------------------------------------------------------------------------------------
 */

static bool exec(struct repl *r, const char *sql, int64_t deadline, struct err *e)
{
	struct db *db = repl_db(r, deadline, e);

	return db && db_exec(db, sql, e);
}

static bool install(struct repl *r, bool source, int64_t deadline, struct err *e)
{
	static const char *const new_names[] = {
		"rpl_semi_sync_replica SONAME 'semisync_replica.so'",
		"rpl_semi_sync_source SONAME 'semisync_source.so'"
	};
	static const char *const old_names[] = { "rpl_semi_sync_slave SONAME 'semisync_slave.so'",
		"rpl_semi_sync_master SONAME 'semisync_master.so'" };
	bool is_new = str_is(dialect_var(repl_dialect(r), VAR_SEMISYNC_SOURCE_ENABLED),
	        "rpl_semi_sync_source_enabled");
	AUTO(free)
	char *sql = xasprintf("INSTALL PLUGIN %s", is_new ? new_names[source] : old_names[source]);
	struct err why = { .kind = ERR_NONE };

	if (exec(r, sql, deadline, &why) || why.code == ER_PLUGIN_IS_THERE ||
	        why.code == ER_PLUGIN_INSTALLED)
		return true;
	if (e)
		*e = why;
	err_ctx(e, "install the semi-sync plug-in");
	return err_hint(e, "see that the server's plugin_dir has the file");
}

/* A receiver says at its start whether it acknowledges, and never again. */
static bool reconnect(struct repl *r, int64_t deadline, struct err *e)
{
	int64_t end = clock_sooner(deadline, clock_in(REGISTER_MS));
	struct semisync_now now = { .known = false };

	if (!repl_stop_io(r, deadline, e) || !repl_start_io(r, deadline, e))
		return false;
	do {
		if (!semisync_read(r, deadline, &now, e))
			return false;
		if (now.replica_on)
			return true;
		poll(NULL, 0, NAP_MS);
	} while (clock_left(end) > 0);
	return err_set(
	        e, ERR_PRECOND, 0, "%s did not register as one that acknowledges", repl_name(r));
}

/* Off and on: waiting begins anew, and with it the count of those who acknowledge. */
static bool rearm(struct repl *r, int64_t deadline, struct err *e)
{
	return repl_set_semisync(r, TRI_NO, TRI_UNKNOWN, deadline, e) &&
	       repl_set_semisync(r, TRI_YES, TRI_UNKNOWN, deadline, e);
}

/* What has mended itself meanwhile is left alone. */
static bool rearm_if_asynchronous(struct repl *r, int64_t deadline, struct err *e)
{
	struct semisync_now now;

	if (!semisync_read(r, deadline, &now, e))
		return false;
	return now.source_on || rearm(r, deadline, e);
}

bool semisync_do(struct repl *r, const struct semisync_deed *d, int64_t deadline, struct err *e)
{
	switch (d->kind) {
	case SEMISYNC_INSTALL_SOURCE: return install(r, true, deadline, e);
	case SEMISYNC_INSTALL_REPLICA: return install(r, false, deadline, e);
	case SEMISYNC_REPLICA_ON: return repl_set_semisync(r, TRI_UNKNOWN, TRI_YES, deadline, e);
	case SEMISYNC_REPLICA_OFF: return repl_set_semisync(r, TRI_UNKNOWN, TRI_NO, deadline, e);
	case SEMISYNC_SOURCE_OFF: return repl_set_semisync(r, TRI_NO, TRI_UNKNOWN, deadline, e);
	case SEMISYNC_SOURCE_ON: return repl_set_semisync(r, TRI_YES, TRI_UNKNOWN, deadline, e);
	case SEMISYNC_RECONNECT: return reconnect(r, deadline, e);
	case SEMISYNC_COUNT: return repl_set_semisync_wait(r, d->count, deadline, e);
	case SEMISYNC_REARM: return rearm_if_asynchronous(r, deadline, e);
	}
	return err_set(e, ERR_PRECOND, 0, "no such deed");
}

bool semisync_meet_count(
        struct repl *r, int64_t ackers, int64_t deadline, int64_t *ret_count, struct err *e)
{
	struct semisync_now now;

	if (!semisync_read(r, deadline, &now, e))
		return false;
	if (ret_count)
		*ret_count = now.source_enabled && now.wait_count > ackers ? now.wait_count : 0;
	if (!now.source_enabled || now.wait_count <= ackers)
		return true;
	if (ackers <= 0)
		return repl_set_semisync(r, TRI_NO, TRI_UNKNOWN, deadline, e);
	return repl_set_semisync_wait(r, ackers, deadline, e);
}
