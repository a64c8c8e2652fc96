/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * db - sessions through MariaDB Connector/C: statements and results.  Runs on: any thread.
 *
 * Statements go through the library's blocking calls under an armed fdguard.  The library has no thread state of
 * its own (mysql_thread_init() is empty there), so that workers need not announce themselves.
 */
#include "db_impl.h"
#include <mysql.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "arena.h"
#include "clock.h"
#include "dialect.h"
#include "fdguard.h"
#include "str.h"
#include "vec.h"

enum { SHOWN_SQL = 300 }; /* of a statement, in errors */

struct db_result {
	struct arena *arena;
	const char **columns;
	unsigned n_columns;
	VEC(const char **) rows;
};

static void init_library(void)
{
	struct sigaction sa;

	mysql_library_init(0, NULL, NULL);
	/* OpenSSL writes without MSG_NOSIGNAL. */
	if (sigaction(SIGPIPE, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
}

/*
 * Quoting counts on backslash escapes, and without autocommit every read would leave a transaction open that
 * blocks others.  Servers hardly ever have it otherwise, and the login's answer says so: no round trip.
 */
static bool settle_mode(struct db *db, struct err *e)
{
	unsigned status = db->m->server_status;
	struct err why = { .kind = ERR_NONE };

	if ((status & SERVER_STATUS_AUTOCOMMIT) && !(status & SERVER_STATUS_NO_BACKSLASH_ESCAPES))
		return true;
	if (db_exec(db, "SET SESSION autocommit=1, sql_mode=''", &why))
		return true;
	return err_set(
	        e, why.kind == ERR_SQL ? ERR_REFUSED : ERR_UNREACHABLE, why.code, "%s", why.text);
}

static bool learn(struct db *db, const struct db_opts *o, struct err *e)
{
	const char *version = mysql_get_server_info(db->m);
	const char *cipher = mysql_get_ssl_cipher(db->m);

	if (!cipher && db_login_wants_tls(o))
		return err_set(e, ERR_PRECOND, DB_CODE_TLS, "TLS is required, but was not used");
	if (str_starts(version, "5.5.5-") && strcasestr(version, "mariadb"))
		version += strlen("5.5.5-");
	db->version = xstrdup(version);
	db->cipher = xstrdup(cipher);
	db->dialect = dialect_of(version, e);
	return db->dialect && settle_mode(db, e);
}

struct db *db_open(const struct db_opts *o, struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	AUTO(db) struct db *db = NULL;

	if (!db_login_check(o, e)) {
		err_at(e, o->name);
		return NULL;
	}
	pthread_once(&once, init_library);
	db = xzalloc(sizeof(*db));
	db->name = xstrdup(o->name);
	db->query_ms = o->query_ms;
	db->deadline = clock_in(o->connect_ms);
	db->m = mysql_init(NULL);
	if (!db_login(db, o, db->deadline, e) || !learn(db, o, e)) {
		err_at(e, o->name);
		return NULL;
	}
	db->deadline = CLOCK_NEVER;
	return TAKE(db);
}

void db_close(struct db *db)
{
	if (!db)
		return;
	if (db->dead && db->guard)
		fdguard_cut(db->guard);
	mysql_close(db->m);
	fdguard_free(db->guard);
	free(db->name);
	free(db->version);
	free(db->cipher);
	free(db);
}

void db_deadline(struct db *db, int64_t deadline)
{
	db->deadline = deadline;
}

const char *db_name(const struct db *db)
{
	return db->name;
}

const char *db_server_version(const struct db *db)
{
	return db->version;
}

const struct dialect *db_dialect(const struct db *db)
{
	return db->dialect;
}

const char *db_cipher(const struct db *db)
{
	return db->cipher;
}

uint64_t db_connection_id(const struct db *db)
{
	return mysql_thread_id(db->m);
}

void db_set_tracer(struct db *db, db_tracer_fn fn, void *arg)
{
	db->tracer = fn;
	db->tracer_arg = arg;
}

static bool begin(struct db *db, const char *shown, struct err *e)
{
	int64_t deadline = clock_sooner(db->deadline, clock_in(db->query_ms));

	if (db->dead)
		return err_set(e, ERR_UNREACHABLE, DB_CODE_LOST, "the session was lost before");
	if (clock_left(deadline) == 0)
		return err_set(e, ERR_PRECOND, 0, "no time left for \"%.*s\"", SHOWN_SQL, shown);
	if (db->tracer)
		db->tracer(db->tracer_arg, db->name, shown);
	fdguard_arm(db->guard, deadline);
	return true;
}

/* Never again: what is still under way must not be taken for the answer to the next statement. */
static void give_up(struct db *db)
{
	db->dead = true;
	fdguard_cut(db->guard);
}

static bool failed(struct db *db, const char *sql, const char *shown, struct err *e)
{
	int code = (int)mysql_errno(db->m);
	bool late = fdguard_disarm(db->guard);
	const char *why = mysql_error(db->m);

	if (code && !db_code_is_ours(code)) {
		if (db_text_leaks(sql, code, why))
			why = "the server's words are withheld, they may repeat a password";
		return err_set(e, ERR_SQL, code, "\"%.*s\": %s", SHOWN_SQL, shown, why);
	}
	give_up(db);
	return err_set(e, ERR_LOST, code ? code : DB_CODE_LOST, "\"%.*s\": %s", SHOWN_SQL, shown,
	        late ? "no answer in time" : why);
}

static bool too_big(struct db *db, const char *shown, struct err *e)
{
	give_up(db);
	return err_set(e, ERR_LOST, 0, "\"%.*s\": a result of more than %d MiB", SHOWN_SQL, shown,
	        DB_RESULT_MAX >> 20);
}

static void keep_columns(struct db_result *r, MYSQL_RES *res)
{
	const MYSQL_FIELD *f = mysql_fetch_fields(res);

	r->n_columns = mysql_num_fields(res);
	r->columns = ARENA_ARRAY(r->arena, const char *, r->n_columns);
	for (unsigned i = 0; i < r->n_columns; i++)
		r->columns[i] = arena_strndup(r->arena, f[i].name, f[i].name_length);
}

static void keep_row(struct db_result *r, MYSQL_ROW row, const unsigned long *len)
{
	const char **mine = ARENA_ARRAY(r->arena, const char *, r->n_columns);

	for (unsigned i = 0; i < r->n_columns; i++)
		mine[i] = row[i] ? arena_strndup(r->arena, row[i], len[i]) : NULL;
	vec_push(&r->rows, mine);
}

static size_t row_size(MYSQL_RES *res, const unsigned long *len)
{
	const unsigned columns = mysql_num_fields(res);
	size_t n = columns * sizeof(char *) + sizeof(char **);

	for (unsigned i = 0; i < columns; i++)
		n += len[i] + 1;
	return n;
}

/* Take all rows off the wire, into `r` unless it is NULL.  Whether they fit. */
static bool fetch(struct db_result *r, MYSQL_RES *res)
{
	size_t total = 0;
	MYSQL_ROW row;

	if (r)
		keep_columns(r, res);
	while ((row = mysql_fetch_row(res))) {
		const unsigned long *len = mysql_fetch_lengths(res);

		total += row_size(res, len);
		if (r && total > DB_RESULT_MAX)
			return false;
		if (r)
			keep_row(r, row, len);
	}
	return true;
}

static bool run(struct db *db, const char *sql, struct db_result *r, struct err *e)
{
	AUTO(free) char *shown = db_redact(sql);
	MYSQL_RES *res;
	bool fits = true;

	if (!begin(db, shown, e))
		return false;
	if (mysql_real_query(db->m, sql, strlen(sql)) != 0)
		return failed(db, sql, shown, e);
	res = mysql_use_result(db->m);
	if (res) {
		fits = fetch(r, res);
		if (!fits)
			too_big(db, shown, e);
		mysql_free_result(res);
	}
	if (!fits)
		return false;
	if (mysql_errno(db->m))
		return failed(db, sql, shown, e);
	if (fdguard_disarm(db->guard))
		db->dead = true; /* answered in time, cut right after */
	return true;
}

bool db_exec(struct db *db, const char *sql, struct err *e)
{
	return run(db, sql, NULL, e) || err_at(e, db->name);
}

struct db_result *db_query(struct db *db, const char *sql, struct err *e)
{
	AUTO(db_result) struct db_result *r = xzalloc(sizeof(*r));

	r->arena = arena_new();
	if (run(db, sql, r, e))
		return TAKE(r);
	err_at(e, db->name);
	return NULL;
}

void db_result_free(struct db_result *r)
{
	if (!r)
		return;
	vec_done(&r->rows);
	arena_free(r->arena);
	free(r);
}

size_t db_rows(const struct db_result *r)
{
	return r->rows.len;
}

static int column_index(const struct db_result *r, const char *column)
{
	for (unsigned i = 0; column && i < r->n_columns; i++)
		if (strcasecmp(r->columns[i], column) == 0)
			return (int)i;
	return -1;
}

const char *db_get(const struct db_result *r, size_t row, const char *column)
{
	int i = column_index(r, column);

	return i < 0 || row >= r->rows.len ? NULL : r->rows.items[row][i];
}

bool db_has_column(const struct db_result *r, const char *column)
{
	return column_index(r, column) >= 0;
}

bool db_value(struct db *db, const char *sql, char **ret_value, struct err *e)
{
	AUTO(db_result) struct db_result *r = db_query(db, sql, e);

	if (!r)
		return false;
	*ret_value = r->rows.len && r->n_columns ? xstrdup(r->rows.items[0][0]) : NULL;
	return true;
}
