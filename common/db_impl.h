/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * db_impl - what the files of db share: db.c (statements), db_login.c (logins), db_text.c (texts and numbers).
 */
#pragma once
#include "db.h"

struct dialect;
struct fdguard;
struct st_mysql; /* the library's MYSQL */

enum {
	DB_RESULT_MAX = 64 << 20, /* bytes of rows; also of one packet */
	DB_CODE_LOST = 2013,
	DB_CODE_TLS = 2026,
};

struct db {
	struct st_mysql *m;
	struct fdguard *guard;
	char *name, *version, *cipher;
	const struct dialect *dialect;
	int64_t query_ms, deadline;
	bool dead;
	db_tracer_fn tracer;
	void *tracer_arg;
};

/* db_login.c: whether the options can be meant; log in on db->m and guard its socket. */
bool db_login_check(const struct db_opts *o, struct err *e);
bool db_login(struct db *db, const struct db_opts *o, int64_t deadline, struct err *e);
bool db_login_wants_tls(const struct db_opts *o); /* or no login */

/* db_text.c: whether `message`, a server's words about `sql`, may repeat a literal that db_redact() hides. */
bool db_text_leaks(const char *sql, int code, const char *message);

/* Numbers of the client library, as opposed to the server's. */
bool db_code_is_ours(int code);

/* What a login that ended with this number means. */
enum err_kind db_login_kind(int code);
