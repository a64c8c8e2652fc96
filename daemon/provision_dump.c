/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * provision_dump - a server's schemas become those of another, by dump.  Runs on: worker.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"
#include "db.h"
#include "log.h"
#include "provision_impl.h"
#include "str.h"
#include "vec.h"

enum { SQL_MS = 60000, HOLD_MS = 30000 };

/* Schemas of people. */
#define SCHEMAS                                                                                    \
	"information_schema.schemata WHERE schema_name NOT IN "                                    \
	"('mysql', 'information_schema', 'performance_schema', 'sys')"

struct dump {
	const struct provision *p;
	struct repl *donor, *target;
	VEC(char *) schemas;
	char *donor_file, *target_file; /* option files */
	bool held, stopped;             /* the donor stands still for us */
	uint64_t expected;
	const char *dump, *client; /* programs */
};

/* ---- option files: passwords go by no other way ---- */

static void add_quoted(struct str *s, const char *name, const char *value)
{
	if (!value || !*value)
		return;
	str_addf(s, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			str_addc(s, '\\');
		str_addc(s, *value);
	}
	str_add(s, "\"\n");
}

static void add_tls(struct str *s, const struct conf_server *c, bool mariadb)
{
	bool verify = c->tls >= DB_TLS_VERIFY_CA;

	if (mariadb)
		str_add(s, verify ? "ssl-verify-server-cert\n" : "skip-ssl-verify-server-cert\n");
	if (c->tls >= DB_TLS_REQUIRED)
		str_add(s, mariadb  ? "ssl\n"
		           : verify ? "ssl-mode=VERIFY_CA\n"
		                    : "ssl-mode=REQUIRED\n");
	add_quoted(s, "ssl-ca", verify ? c->tls_ca : NULL);
	add_quoted(s, "ssl-cert", c->tls_cert);
	add_quoted(s, "ssl-key", c->tls_key);
}

/* What MySQL's programs of all versions need to be told. */
static const char mysql_options[] =
        "loose-get-server-public-key\n[mysqldump]\nset-gtid-purged=OFF\n"
        "loose-column-statistics=0\nno-tablespaces\n";

static char *options(
        const struct dump *d, const struct conf_server *c, const char *name, struct err *e)
{
	AUTO(free) char *path = xasprintf("%s/%s.%d.cnf", d->p->dir, name, (int)getpid());
	bool mariadb = repl_is_mariadb(d->target);
	AUTO_STR struct str s = STR_INIT;
	AUTO_FD int fd = -1;
	bool fine;

	str_addf(&s, "[client]\nhost=%s\nport=%d\nprotocol=tcp\n", c->ip, c->port);
	add_quoted(&s, "user", c->user);
	add_quoted(&s, "password", c->password);
	add_tls(&s, c, mariadb);
	str_addf(&s, "default-character-set=utf8mb4\nmax-allowed-packet=1G\n%s",
	        mariadb ? "" : mysql_options);
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	fine = fd >= 0 && write(fd, s.p, s.len) == (ssize_t)s.len;
	mem_wipe(s.p, s.len);
	if (!fine) {
		err_sys(e, "%s", path);
		return NULL;
	}
	return TAKE(path);
}

static void remove_file(char **path)
{
	if (*path)
		unlink(*path);
	free(*path);
	*path = NULL;
}

/* ---- the donor stands still until the dump has begun ---- */

static bool let_go(struct dump *d, struct err *e)
{
	bool fine = true;

	if (d->held)
		fine = repl_unlock_tables(d->donor, clock_in(HOLD_MS), e);
	d->held = false;
	if (d->stopped)
		fine = repl_start_sql(d->donor, clock_in(HOLD_MS), e) && fine;
	d->stopped = false;
	return fine;
}

static bool begun(void *arg, struct err *e)
{
	return let_go(arg, e);
}

static bool slave_place(
        struct dump *d, struct provision_place *ret, int64_t deadline, struct err *e)
{
	struct repl_now now;

	if (!repl_stop_sql(d->donor, deadline, e))
		return false;
	d->stopped = true;
	if (!repl_fill_gaps(d->donor, deadline, e) || !repl_stop_sql(d->donor, deadline, e) ||
	        !repl_look(d->donor, deadline, &now, e))
		return false;
	snprintf(ret->file, sizeof(ret->file), "%.255s", now.exec_file);
	ret->pos = now.exec_pos;
	return true;
}

static bool hold(struct dump *d, struct provision_place *ret, struct err *e)
{
	int64_t deadline = clock_in(HOLD_MS);
	struct repl_position pos = { .pos = 0 };
	bool fine;

	if (d->p->donor_is_master)
		fine = d->held = repl_lock_tables(d->donor, deadline, e);
	else
		fine = slave_place(d, ret, deadline, e);
	fine = fine && repl_position(d->donor, deadline, &pos, e);
	if (fine && d->p->donor_is_master) {
		snprintf(ret->file, sizeof(ret->file), "%s", pos.file);
		ret->pos = pos.pos;
	}
	if (fine && pos.executed)
		ret->gtids = gtid_set_format(pos.executed);
	repl_position_done(&pos);
	return fine;
}

/* ---- what is copied, what is dropped ---- */

static bool read_schemas(struct dump *d, struct err *e)
{
	struct db *db = repl_db(d->donor, clock_in(SQL_MS), e);
	AUTO(db_result)
	struct db_result *res =
	        db ? db_query(db, "SELECT schema_name AS v FROM " SCHEMAS, e) : NULL;
	AUTO(free) char *size = NULL;

	for (size_t i = 0; res && i < db_rows(res); i++)
		vec_push(&d->schemas, xstrdup(db_get(res, i, "v")));
	if (res &&
	        db_value(db,
	                "SELECT CAST(SUM(data_length) AS UNSIGNED) FROM information_schema.tables",
	                &size, NULL))
		d->expected = size ? strtoull(size, NULL, 10) : 0;
	return res;
}

/* Its own log is to begin anew, so that nothing of this needs to be in it. */
static bool drop_all(struct dump *d, struct err *e)
{
	struct db *db = repl_db(d->target, clock_in(SQL_MS), e);
	AUTO(db_result) struct db_result *res = NULL;

	if (!db || !db_exec(db, "SET SESSION sql_log_bin=0", e) ||
	        !db_exec(db, "SET SESSION foreign_key_checks=0", e))
		return false;
	res = db_query(db, "SELECT schema_name AS v FROM " SCHEMAS, e);
	for (size_t i = 0; res && i < db_rows(res); i++) {
		AUTO(free) char *name = db_quote_name(db_get(res, i, "v"));
		AUTO(free) char *sql = xasprintf("DROP DATABASE %s", name);

		db_deadline(db, d->p->deadline);
		if (!db_exec(db, sql, e))
			return false;
		log_info("%s: %s", d->p->target->hostinfo, sql);
	}
	return res && db_exec(db, "SET SESSION sql_log_bin=1", e);
}

/* Where there is such a thing it keeps us out, too. */
static bool let_us_write(struct dump *d, struct err *e)
{
	return !dialect_can(repl_dialect(d->target), CAP_SUPER_READ_ONLY) ||
	       prov_exec(d->target, "SET GLOBAL super_read_only=0", clock_in(SQL_MS), e);
}

static bool stop_target(struct dump *d, struct err *e)
{
	int64_t deadline = clock_in(HOLD_MS);

	return repl_stop_io(d->target, deadline, e) && repl_stop_sql(d->target, deadline, e);
}

/* ---- copying ---- */

static bool feed(struct dump *d, struct err *e)
{
	AUTO(free) char *from_opt = xasprintf("--defaults-file=%s", d->donor_file);
	AUTO(free) char *to_opt = xasprintf("--defaults-file=%s", d->target_file);
	const char *const to[] = { d->client, to_opt, "--batch",
		"--init-command=SET SESSION sql_log_bin=0", NULL };
	VEC(const char *) from = VEC_INIT;
	static const char *const fixed[] = { "--single-transaction", "--quick", "--routines",
		"--events", "--triggers", "--hex-blob", "--skip-lock-tables", "--databases" };
	bool fine;

	vec_push(&from, d->dump);
	vec_push(&from, from_opt);
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		vec_push(&from, fixed[i]);
	vec_each (char *, s, &d->schemas)
		vec_push(&from, *s);
	vec_push(&from, NULL);
	fine = prov_feed(d->p,
	        &(struct prov_feed){ .from = from.items,
	                .to = to,
	                .expected = d->expected,
	                .begun = begun,
	                .arg = d },
	        e);
	vec_done(&from);
	return fine;
}

static bool copy(struct dump *d, struct provision_place *ret, struct err *e)
{
	if (!prov_programs(repl_dialect(d->target), &d->dump, &d->client, e) || !read_schemas(d, e))
		return false;
	d->donor_file = options(d, d->p->donor, "donor", e);
	d->target_file = d->donor_file ? options(d, d->p->target, "target", e) : NULL;
	if (!d->target_file || !stop_target(d, e) || !let_us_write(d, e) || !drop_all(d, e) ||
	        !hold(d, ret, e))
		return false;
	log_info("Copying %zu schemas with %s.", d->schemas.len, d->dump);
	if (d->schemas.len && !feed(d, e))
		return false;
	return let_go(d, e) && prov_begin_log(d->target, ret->gtids, e) &&
	       repl_set_read_only(d->target, true, clock_in(SQL_MS), e);
}

bool prov_dump(const struct provision *p, struct provision_place *ret, struct err *e)
{
	struct dump d = { .p = p };
	bool fine;

	d.donor = repl_open(p->donor, NULL, clock_in(SQL_MS), e);
	d.target = d.donor ? repl_open(p->target, NULL, clock_in(SQL_MS), e) : NULL;
	fine = d.target && copy(&d, ret, e);
	if (d.donor)
		(void)!let_go(&d, NULL);
	remove_file(&d.donor_file);
	remove_file(&d.target_file);
	vec_each (char *, s, &d.schemas)
		free(*s);
	vec_done(&d.schemas);
	repl_close(d.donor);
	repl_close(d.target);
	return fine;
}
