/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * db - log in to one server and do what the arguments say, for the lab.
 *
 *	db HOST PORT USER SETTINGS [STEP...]
 *
 * The password comes from DB_PASSWORD.  SETTINGS are name=value pairs with commas between them: tls=off|preferred|required|
 * verify-ca|verify-identity, ca, cert, key, fingerprint, public-key, connect-ms, query-ms, socket.  A STEP is a statement,
 * or @vars (variables and counters), @dialect (columns of the replica status that the tables expect), @exec:SQL,
 * @quote:TEXT (SELECT of the quoted text), @deadline:MS (for all later steps), @sleep:MS (do nothing).  Each step, the login being the first and the closing the last, prints
 * one line of JSON.  Exit status 1 when one of them failed.
 */
#include "clock.h"
#include "db.h"
#include "dialect.h"
#include "str.h"
#include "vars.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool all_fine = true;

static void print(const char *step, bool ok, int64_t since_us, const struct err *e, json_t *more)
{
	json_t *j = more ? more : json_object();

	json_object_set_new(j, "step", json_string(step));
	json_object_set_new(j, "ok", json_boolean(ok));
	json_object_set_new(j, "ms", json_real((double)(clock_us() - since_us) / 1000));
	if (!ok) {
		json_object_set_new(j, "kind", json_string(err_kind_name(e->kind)));
		json_object_set_new(j, "code", json_integer(e->code));
		json_object_set_new(j, "text", json_string(e->text));
		json_object_set_new(j, "host", json_string(e->host));
		all_fine = false;
	}
	json_dumpf(j, stdout, JSON_SORT_KEYS | JSON_ENCODE_ANY);
	puts("");
	fflush(stdout);
	json_decref(j);
}

static enum db_tls tls_mode(const char *s)
{
	static const char *const names[] = { [DB_TLS_OFF] = "off",
		[DB_TLS_PREFERRED] = "preferred",
		[DB_TLS_REQUIRED] = "required",
		[DB_TLS_VERIFY_CA] = "verify-ca",
		[DB_TLS_VERIFY_IDENTITY] = "verify-identity" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_is(names[i], s))
			return (enum db_tls)i;
	fprintf(stderr, "no such tls mode: %s\n", s);
	exit(2);
}

static void set(struct db_opts *o, const char *name, const char *value)
{
	if (str_is(name, "tls"))
		o->tls = tls_mode(value);
	else if (str_is(name, "ca"))
		o->tls_ca = value;
	else if (str_is(name, "cert"))
		o->tls_cert = value;
	else if (str_is(name, "key"))
		o->tls_key = value;
	else if (str_is(name, "fingerprint"))
		o->tls_fingerprint = value;
	else if (str_is(name, "public-key"))
		o->public_key = value;
	else if (str_is(name, "socket"))
		o->socket = value;
	else if (str_is(name, "connect-ms"))
		o->connect_ms = atoll(value);
	else if (str_is(name, "query-ms"))
		o->query_ms = atoll(value);
	else {
		fprintf(stderr, "no such setting: %s\n", name);
		exit(2);
	}
}

static json_t *rows_of(const struct db_result *r, const char *column)
{
	json_t *j = json_object();

	json_object_set_new(j, "rows", json_integer((json_int_t)db_rows(r)));
	if (db_rows(r) && db_get(r, 0, column))
		json_object_set_new(j, "value", json_string(db_get(r, 0, column)));
	return j;
}

static void do_vars(struct db *db)
{
	int64_t t = clock_us();
	struct err e = { 0 };
	AUTO(vars) struct vars *v = vars_read(db, &e);
	json_t *vars = json_object(), *stats = json_object(), *j = json_object();

	for (int i = 0; v && i < VAR_COUNT; i++)
		if (vars_get(v, i))
			json_object_set_new(vars, vars_name(v, i), json_string(vars_get(v, i)));
	for (int i = 0; v && i < STAT_COUNT; i++)
		if (vars_status(v, i))
			json_object_set_new(stats, dialect_status(db_dialect(db), i),
			        json_string(vars_status(v, i)));
	json_object_set_new(j, "vars", vars);
	json_object_set_new(j, "status", stats);
	print("@vars", v != NULL, t, &e, j);
}

/* Every statement is accepted, and every column that the tables name is there. */
static void do_dialect(struct db *db)
{
	const struct dialect *d = db_dialect(db);
	int64_t t = clock_us();
	struct err e = { 0 };
	AUTO(db_result) struct db_result *r = NULL;
	json_t *missing = json_array(), *j = json_object();
	bool ok = true;

	for (int i = 0; ok && i < SQL_COUNT; i++) {
		AUTO(db_result) struct db_result *one = db_query(db, dialect_sql(d, i), &e);

		ok = one != NULL;
	}
	r = ok ? db_query(db, dialect_sql(d, SQL_REPLICA_STATUS), &e) : NULL;
	for (int i = 0; r && i < COL_COUNT; i++)
		if (dialect_col(d, i) && !db_has_column(r, dialect_col(d, i)))
			json_array_append_new(missing, json_string(dialect_col(d, i)));
	json_object_set_new(j, "name", json_string(dialect_name(d)));
	json_object_set_new(j, "newer", json_boolean(dialect_is_newer(d)));
	json_object_set_new(j, "missing", missing);
	print("@dialect", r != NULL, t, &e, j);
}

static void do_query(struct db *db, const char *sql)
{
	int64_t t = clock_us();
	struct err e = { 0 };
	AUTO(db_result) struct db_result *r = db_query(db, sql, &e);

	print(sql, r != NULL, t, &e, r ? rows_of(r, "v") : NULL);
}

static void do_quote(struct db *db, const char *text)
{
	AUTO(free) char *quoted = db_quote(text);
	AUTO(free) char *name = db_quote_name("v");
	AUTO(free) char *sql = xasprintf("SELECT %s AS %s", quoted, name);

	do_query(db, sql);
}

static void do_step(struct db *db, const char *step)
{
	int64_t t = clock_us();
	struct err e = { 0 };

	if (str_is(step, "@vars"))
		do_vars(db);
	else if (str_is(step, "@dialect"))
		do_dialect(db);
	else if (str_starts(step, "@exec:"))
		print(step, db_exec(db, step + 6, &e), t, &e, NULL);
	else if (str_starts(step, "@quote:"))
		do_quote(db, step + 7);
	else if (str_starts(step, "@deadline:"))
		db_deadline(db, clock_in(atoll(step + 10)));
	else if (str_starts(step, "@sleep:"))
		usleep((useconds_t)atoll(step + 7) * 1000);
	else
		do_query(db, step);
}

static void trace(void *arg, const char *server, const char *sql)
{
	if (arg)
		fprintf(stderr, "%s: %s\n", server, sql);
}

int main(int argc, char **argv)
{
	struct db_opts o = { .connect_ms = 5000, .query_ms = 5000 };
	struct err e = { 0 };
	AUTO(db) struct db *db = NULL;
	json_t *j = json_object();
	int64_t t;

	if (argc < 5)
		return 2;
	o.name = o.address = argv[1];
	o.port = (unsigned)atoi(argv[2]);
	o.user = argv[3];
	o.password = getenv("DB_PASSWORD");
	for (char *p = strtok(argv[4], ","); p; p = strtok(NULL, ",")) {
		char *eq = strchr(p, '=');

		if (!eq)
			return 2;
		*eq = 0;
		set(&o, p, eq + 1);
	}
	t = clock_us();
	db = db_open(&o, &e);
	if (db) {
		json_object_set_new(j, "version", json_string(db_server_version(db)));
		json_object_set_new(j, "cipher", json_string(db_cipher(db) ? db_cipher(db) : ""));
		json_object_set_new(j, "id", json_integer((json_int_t)db_connection_id(db)));
	}
	print("login", db != NULL, t, &e, j);
	if (!db)
		return 1;
	db_set_tracer(db, trace, getenv("DB_TRACE"));
	for (int i = 5; i < argc; i++)
		do_step(db, argv[i]);
	t = clock_us();
	db_close(TAKE(db));
	print("close", true, t, NULL, NULL);
	return all_fine ? 0 : 1;
}
