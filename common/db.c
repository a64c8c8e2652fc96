/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * db - sessions through MariaDB Connector/C, and blocking statements.  Runs on: any thread.
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
#include <sys/socket.h>
#include "clock.h"
#include "dialect.h"
#include "fdguard.h"
#include "str.h"

/*
 * Quoting counts on backslash escapes, and without autocommit every read would leave a transaction open that
 * blocks others.  Servers hardly ever have it otherwise, and the login's answer says so: no round trip.
 */
const char db_settle_sql[] = "SET SESSION autocommit=1, sql_mode=''";

static void init_library(void)
{
	struct sigaction sa;
	unsigned long first =
	        1024; /* of the packet buffer, which grows; thousands of sessions have one each */

	mysql_library_init(0, NULL, NULL);
	mysql_options(NULL, MYSQL_OPT_NET_BUFFER_LENGTH, &first);
	/* OpenSSL writes without MSG_NOSIGNAL. */
	if (sigaction(SIGPIPE, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
}

struct db *db_new(const char *name)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct db *db = xzalloc(sizeof(*db));

	pthread_once(&once, init_library);
	db->name = xstrdup(name);
	db->deadline = CLOCK_NEVER;
	db->m = mysql_init(NULL);
	return db;
}

bool db_learn(struct db *db, const struct db_opts *o, struct err *e)
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
	return db->dialect != NULL;
}

bool db_is_settled(const struct db *db)
{
	unsigned status = db->m->server_status;

	return (status & SERVER_STATUS_AUTOCOMMIT) &&
	       !(status & SERVER_STATUS_NO_BACKSLASH_ESCAPES);
}

bool db_settle_failed(const struct err *why, struct err *e)
{
	return err_set(e, why->kind == ERR_SQL ? ERR_REFUSED : ERR_UNREACHABLE, why->code, "%s",
	        why->text);
}

bool db_settle(struct db *db, struct err *e)
{
	struct err why = { .kind = ERR_NONE };

	return db_is_settled(db) || db_exec(db, db_settle_sql, &why) || db_settle_failed(&why, e);
}

static bool log_in(struct db *db, const struct db_opts *o, struct err *e)
{
	struct db_login l = { .may_block = true };
	enum db_login_state state = db_login_start(&l, db, o);

	return db_login_run(&l, state, db->deadline, e) && db_learn(db, o, e) && db_settle(db, e);
}

struct db *db_open(const struct db_opts *o, struct err *e)
{
	AUTO(db) struct db *db = NULL;

	if (!db_login_check(o, e)) {
		err_at(e, o->name);
		return NULL;
	}
	db = db_new(o->name);
	db->query_ms = o->query_ms;
	db->deadline = clock_in(o->connect_ms);
	if (!log_in(db, o, e)) {
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
	if (db->dead) /* mysql_close() would say goodbye, and wait until there is room for it */
		shutdown((int)mysql_get_socket(db->m), SHUT_RDWR);
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
		return err_set(e, ERR_PRECOND, 0, "no time left for \"%.*s\"", DB_SHOWN_SQL, shown);
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

bool db_sql_failed(struct db *db, const char *sql, const char *shown, struct err *e)
{
	int code = (int)mysql_errno(db->m);
	const char *why = mysql_error(db->m);

	if (!code || db_code_is_ours(code))
		return false;
	if (db_text_leaks(sql, code, why))
		why = "the server's words are withheld, they may repeat a password";
	err_set(e, ERR_SQL, code, "\"%.*s\": %s", DB_SHOWN_SQL, shown, why);
	return true;
}

static bool failed(struct db *db, const char *sql, const char *shown, struct err *e)
{
	int code = (int)mysql_errno(db->m);
	bool late = fdguard_disarm(db->guard);
	const char *why = mysql_error(db->m);

	if (db_sql_failed(db, sql, shown, e))
		return false;
	give_up(db);
	return err_set(e, ERR_LOST, code ? code : DB_CODE_LOST, "\"%.*s\": %s", DB_SHOWN_SQL, shown,
	        late ? "no answer in time" : why);
}

static bool too_big(struct db *db, const char *shown, struct err *e)
{
	give_up(db);
	return err_set(e, ERR_LOST, 0, "\"%.*s\": a result of more than %d MiB", DB_SHOWN_SQL,
	        shown, DB_RESULT_MAX >> 20);
}

/* Take all rows off the wire, into `r` unless it is NULL.  Whether they fit. */
static bool fetch(struct db_result *r, MYSQL_RES *res)
{
	MYSQL_ROW row;

	if (r)
		db_result_columns(r, res);
	while ((row = mysql_fetch_row(res)))
		if (r && !db_result_add(r, res, row))
			return false;
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
	AUTO(db_result) struct db_result *r = db_result_new();

	if (run(db, sql, r, e))
		return TAKE(r);
	err_at(e, db->name);
	return NULL;
}
