/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * provision_clone - MySQL's clone plug-in: the server fetches another's files and starts anew with them.
 * Runs on: worker.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"
#include "db.h"
#include "log.h"
#include "provision_impl.h"
#include "str.h"

enum {
	SQL_MS = 60000,
	BACK_MS = 1800000, /* for the server to come back, also by a person's hand */
	TELL_MS = 30000,
	CODE_NO_SUPERVISOR = 3707, /* all is there, but nothing starts the server anew */
	CODE_READ_ONLY = 1290,
};

static bool has_plugin(struct repl *r, struct err *e)
{
	struct db *db = repl_db(r, clock_in(SQL_MS), e);
	AUTO(free) char *status = NULL;

	return db &&
	       db_value(db,
	               "SELECT plugin_status FROM information_schema.plugins WHERE "
	               "plugin_name='clone'",
	               &status, e) &&
	       str_is(status, "ACTIVE");
}

/* A server that nobody can write to cannot note it, either. */
static bool install(struct repl *r, struct err *e)
{
	static const char sql[] = "INSTALL PLUGIN clone SONAME 'mysql_clone.so'";
	struct err why = { 0 };
	bool fine;

	if (has_plugin(r, &why) || prov_exec(r, sql, clock_in(SQL_MS), &why))
		return true;
	if (why.code == CODE_READ_ONLY &&
	        prov_exec(r, "SET GLOBAL super_read_only=0", clock_in(SQL_MS), NULL)) {
		fine = prov_exec(r, sql, clock_in(SQL_MS), e);
		return prov_exec(r, "SET GLOBAL super_read_only=1", clock_in(SQL_MS),
		               fine ? e : NULL) &&
		       fine;
	}
	if (e)
		*e = why;
	return err_ctx(e, "the clone plug-in of %s", repl_name(r));
}

static char *clone_sql(const struct conf_server *d)
{
	char *user = db_quote(d->user), *password = db_quote(d->password ? d->password : ""), *sql;

	sql = xasprintf(
	        "CLONE INSTANCE FROM %s@'%s':%d IDENTIFIED BY %s", user, d->ip, d->port, password);
	free(user);
	mem_free_secret(password);
	return sql;
}

/* The server ends in any case: its session is lost, or it says that nobody will start it. */
static bool fetch(const struct provision *p, struct repl *target, struct err *e)
{
	char *sql = clone_sql(p->donor);
	AUTO(free)
	char *list = xasprintf(
	        "SET GLOBAL clone_valid_donor_list='%s:%d'", p->donor->ip, p->donor->port);
	struct err why = { 0 };
	bool fine = prov_exec(target, list, clock_in(SQL_MS), &why);

	fine = fine && (prov_exec(target, sql, p->deadline, &why) ||
	                       why.code == CODE_NO_SUPERVISOR || why.kind == ERR_LOST);
	mem_free_secret(sql);
	if (!fine && e)
		*e = why;
	return fine;
}

static int64_t uptime_ms(struct repl *r)
{
	struct db *db = repl_db(r, clock_in(2000), NULL);
	AUTO(db_result)
	struct db_result *res = db ? db_query(db, "SHOW GLOBAL STATUS LIKE 'Uptime'", NULL) : NULL;
	const char *v = res ? db_get(res, 0, "Value") : NULL;

	return v ? atoll(v) * 1000 : INT64_MAX;
}

/* It may answer for a moment longer before it ends. */
static struct repl *wait_back(const struct provision *p, int64_t since, struct err *e)
{
	int64_t until = clock_sooner(p->deadline, clock_in(BACK_MS)),
	        told = clock_ms() - TELL_MS / 2;
	AUTO(repl) struct repl *r = NULL;

	while (prov_goes_on(p, e)) {
		usleep(300000);
		r = repl_open(p->target, NULL, clock_in(2000), NULL);
		if (r && uptime_ms(r) <= clock_ms() - since)
			return TAKE(r);
		repl_close(TAKE(r));
		if (clock_left(until) == 0) {
			err_set(e, ERR_LOST, 0, "%s has not come back after it was cloned",
			        p->target->hostinfo);
			return NULL;
		}
		if (clock_ms() - told > TELL_MS) {
			told = clock_ms();
			log_warning("%s has ended, as cloning does; waiting for it: start it there "
			            "if nothing else does",
			        p->target->hostinfo);
		}
	}
	return NULL;
}

static char *executed(struct repl *r, struct err *e)
{
	struct db *db = repl_db(r, clock_in(SQL_MS), e);
	char *text = NULL;

	return db && db_value(db, "SELECT @@GLOBAL.gtid_executed", &text, e) ? text : NULL;
}

/* What the donor had before it began is there now. */
static bool is_copy(
        struct repl *target, const char *had, struct provision_place *ret, struct err *e)
{
	AUTO(gtid) struct gtid_set *want = gtid_set_parse(GTID_MYSQL, had, e), *is = NULL;

	ret->gtids = executed(target, e);
	is = ret->gtids ? gtid_set_parse(GTID_MYSQL, ret->gtids, e) : NULL;
	return want && is &&
	       (gtid_set_contains(is, want) || err_set(e, ERR_PRECOND, 0,
	                                               "cloning has failed: %s has not what the "
	                                               "donor had; its error log says why",
	                                               repl_name(target)));
}

bool prov_clone(const struct provision *p, struct provision_place *ret, struct err *e)
{
	AUTO(repl) struct repl *donor = repl_open(p->donor, NULL, clock_in(SQL_MS), e);
	AUTO(repl)
	struct repl *target = donor ? repl_open(p->target, NULL, clock_in(SQL_MS), e) : NULL;
	AUTO(free) char *had = NULL;
	int64_t since;

	if (!target || !install(donor, e) || !repl_stop_io(target, clock_in(SQL_MS), e) ||
	        !repl_stop_sql(target, clock_in(SQL_MS), e) ||
	        !prov_exec(target, "SET GLOBAL super_read_only=0", clock_in(SQL_MS), e) ||
	        !install(target, e))
		return false;
	had = executed(donor, e);
	log_info("%s fetches the data of %s; it will end and start anew.", p->target->hostinfo,
	        p->donor->hostinfo);
	since = clock_ms();
	if (!had || !fetch(p, target, e))
		return false;
	repl_close(TAKE(target));
	target = wait_back(p, since, e);
	return target && is_copy(target, had, ret, e) &&
	       repl_set_read_only(target, true, clock_in(SQL_MS), e);
}
