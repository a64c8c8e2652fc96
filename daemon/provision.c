/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * provision - which way, and what the ways share.  Runs on: worker.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "db.h"
#include "proc.h"
#include "provision_impl.h"
#include "str.h"

enum { PROBE_MS = 5000, SQL_MS = 60000 };

const char *provision_name(enum provision_how how)
{
	static const char *const names[] = { "any way", "clone", "dump", "backup" };

	return names[how];
}

void provision_place_done(struct provision_place *p)
{
	free(p->gtids);
	*p = (struct provision_place){ .gtids = NULL };
}

bool prov_goes_on(const struct provision *p, struct err *e)
{
	if (p->go_on && !p->go_on(p->arg))
		return err_set(e, ERR_CANCELED, 0, "ended");
	return clock_left(p->deadline) > 0 || err_set(e, ERR_LOST, 0, "the time is over");
}

bool prov_exec(struct repl *r, const char *sql, int64_t deadline, struct err *e)
{
	struct db *db = repl_db(r, deadline, e);

	return db && db_exec(db, sql, e);
}

/* ---- programs of this host ---- */

/* MariaDB's programs also go by MySQL's names. */
static bool is_program(const char *name, bool mariadb)
{
	const char *const argv[] = { name, "--version", NULL };
	struct proc_result r;
	bool is;

	if (!proc_run(
	            &(struct proc_opts){ .argv = argv, .deadline = clock_in(PROBE_MS) }, &r, NULL))
		return false;
	is = r.status == 0 && (strstr(r.out.p, "MariaDB") != NULL) == mariadb;
	proc_done(&r);
	return is;
}

/* Those of the other family do not know all that this one has, or ask for what it has not. */
bool prov_programs(
        const struct dialect *d, const char **ret_dump, const char **ret_client, struct err *e)
{
	static const struct {
		const char *dump, *client;
		bool mariadb;
	} pairs[] = { { "mysqldump", "mysql", false }, { "mariadb-dump", "mariadb", true },
		{ "mysqldump", "mysql", true } };
	bool mariadb = dialect_family(d) == FAMILY_MARIADB;

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		if (pairs[i].mariadb != mariadb || !is_program(pairs[i].dump, mariadb) ||
		        !is_program(pairs[i].client, mariadb))
			continue;
		*ret_dump = pairs[i].dump;
		*ret_client = pairs[i].client;
		return true;
	}
	err_set(e, ERR_PRECOND, 0, "this host has no %s of %s for a server of %s",
	        mariadb ? "mariadb-dump and mariadb" : "mysqldump and mysql",
	        mariadb ? "MariaDB" : "MySQL", dialect_name(d));
	return err_hint(e, "install %s here", mariadb ? "mariadb-client" : "mysql-client");
}

/* The newer word is understood by the newer servers only. */
static bool reset_log(struct repl *target, struct err *e)
{
	struct err why = { 0 };
	int64_t deadline = clock_in(SQL_MS);

	return prov_exec(target, "RESET BINARY LOGS AND GTIDS", deadline, &why) ||
	       prov_exec(target, "RESET MASTER", deadline, e);
}

bool prov_begin_log(struct repl *target, const char *gtids, struct err *e)
{
	AUTO(free) char *sql = NULL;

	if (!reset_log(target, e))
		return false;
	if (!gtids || (!*gtids && !repl_is_mariadb(target)))
		return true;
	sql = xasprintf("SET GLOBAL %s='%s'",
	        repl_is_mariadb(target) ? "gtid_slave_pos" : "gtid_purged", gtids);
	return prov_exec(target, sql, clock_in(SQL_MS), e);
}

bool provision_choose(enum provision_how want, const struct provision_end *donor,
        const struct provision_end *target, enum provision_how *ret, struct err *e)
{
	bool can_clone = dialect_can(donor->dialect, CAP_CLONE) &&
	                 dialect_can(target->dialect, CAP_CLONE) &&
	                 donor->dialect == target->dialect;
	struct err why = { 0 };
	const char *a, *b;

	if (want == PROVISION_CLONE && !can_clone) {
		err_set(e, ERR_PRECOND, 0, "%s and %s have no clone plug-in in common",
		        dialect_name(donor->dialect), dialect_name(target->dialect));
		return err_hint(e, "--by-dump");
	}
	*ret = PROVISION_CLONE;
	if (want == PROVISION_CLONE || (want == PROVISION_ANY && can_clone))
		return true;
	*ret = PROVISION_BACKUP;
	if (want == PROVISION_BACKUP)
		return prov_can_backup(donor, target, e);
	if (want == PROVISION_ANY && prov_can_backup(donor, target, &why))
		return true;
	*ret = PROVISION_DUMP;
	return prov_programs(target->dialect, &a, &b, e);
}

bool provision_run(enum provision_how how, const struct provision *p, struct provision_place *ret,
        struct err *e)
{
	*ret = (struct provision_place){ .gtids = NULL };
	if (how == PROVISION_CLONE        ? prov_clone(p, ret, e)
	        : how == PROVISION_BACKUP ? prov_backup(p, ret, e)
	                                  : prov_dump(p, ret, e))
		return true;
	return err_ctx(e, "copy %s to %s", p->donor->hostinfo, p->target->hostinfo);
}
