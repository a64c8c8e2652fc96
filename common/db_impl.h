/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * db_impl - what the files of db share: db.c (sessions, blocking statements), db_login.c (logins), db_result.c
 * (rows), db_steps.c (the same for an event loop), db_text.c (texts and numbers).
 */
#pragma once
#include "db.h"
#include "db_steps.h"

struct dialect;
struct fdguard;
struct st_mysql; /* the library's MYSQL */
struct st_mysql_res;

enum {
	DB_RESULT_MAX = 64 << 20, /* bytes of rows; also of one packet */
	DB_SHOWN_SQL = 300,       /* of a statement, in errors */
	/* On which the library runs.  TLS and RSA need that much; so it ends with a page. */
	DB_FIBER_STACK = (256 << 10) - 32,
	DB_CODE_CONNECT = 2002,
	DB_CODE_LOST = 2013,
	DB_CODE_TLS = 2026,
};

struct db {
	struct st_mysql *m;
	struct fdguard *guard; /* NULL: the session is moved in steps */
	char *name, *version, *cipher;
	const struct dialect *dialect;
	int64_t query_ms, deadline;
	bool dead;
	db_tracer_fn tracer;
	void *tracer_arg;
};

/* db.c: a session that is not logged in; what it is to know after the login; whether it reads our literals as they are
 * meant, and the statement that sees to it if not. */
struct db *db_new(const char *name);
bool db_learn(struct db *db, const struct db_opts *o, struct err *e);
bool db_is_settled(const struct db *db);
bool db_settle(struct db *db, struct err *e); /* blocks */
bool db_settle_failed(const struct err *why, struct err *e);
extern const char db_settle_sql[];
/* The library's last error as ERR_SQL, when it is the server's answer to `sql`. */
bool db_sql_failed(struct db *db, const char *sql, const char *shown, struct err *e);

/*
 * db_login.c: one attempt to log in on db->m.  db_login_start(), then db_login_go() whenever the socket is as
 * db_login_events() wants it, until it is over; db_login_end() in any case.
 */
enum db_login_state {
	DB_LOGIN_WAIT,
	DB_LOGIN_BLOCKS, /* from here on it blocks: set may_block where that is fine, and go on */
	DB_LOGIN_OVER,
};

struct db_login {
	struct db *db;
	const struct db_opts *o; /* borrowed until the end */
	struct st_mysql *done;   /* the library's verdict */
	int waits;               /* for what the library waits: MYSQL_WAIT_*; 0 = it has ended */
	enum { DB_LOGIN_CONNECTS, DB_LOGIN_GREETS, DB_LOGIN_IN_LIBRARY } stage;
	bool may_block, no_tls; /* no_tls: demanded, and not to be had */
	int seen;               /* bytes of a greeting that is not whole */
	int owed;               /* events that the library has not been told yet */
	enum db_layer layer;
	int64_t heard;
	int sys;        /* errno of the connection */
	int code;       /* of an error that came instead of a greeting; 0 = none */
	char text[200]; /* its words */
};

bool db_login_check(const struct db_opts *o, struct err *e); /* whether the options can be meant */
bool db_login_wants_tls(const struct db_opts *o);            /* or no login */

enum db_login_state db_login_start(struct db_login *l, struct db *db, const struct db_opts *o);
int db_login_events(const struct db_login *l); /* DB_STEPS_* */
enum db_login_state db_login_go(struct db_login *l, int events);
void db_login_abandon(struct db_login *l); /* over, now */
bool db_login_end(struct db_login *l, bool late, struct err *e);

/* Guard the socket and wait for the rest of it. */
bool db_login_run(struct db_login *l, enum db_login_state state, int64_t deadline, struct err *e);

/* db_result.c */
struct db_result *db_result_new(void);
void db_result_columns(struct db_result *r, struct st_mysql_res *res);
bool db_result_add(struct db_result *r, struct st_mysql_res *res, char **row); /* false: too much */

/* db_text.c: whether `message`, a server's words about `sql`, may repeat a literal that db_redact() hides. */
bool db_text_leaks(const char *sql, int code, const char *message);

/* Numbers of the client library, as opposed to the server's. */
bool db_code_is_ours(int code);

/* What a login that ended with this number means. */
enum err_kind db_login_kind(int code);
