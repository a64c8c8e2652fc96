/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * db - blocking sessions with MySQL and MariaDB servers, for workers.  Runs on: any thread, one at a time per
 * session.  Logs: never; db_set_tracer() sees every statement.
 *
 * No call outlives its deadline, the login included: a watchdog (fdguard.h) shuts the socket down on the millisecond,
 * so a server that is silent, stops in the middle of a result or drips bytes cannot hold a worker.  Nor can one fill
 * the memory with rows: a result may have 64 MiB.  Names are never looked up.  No option files are read; LOAD DATA
 * LOCAL and several statements in one call are off.  The first login makes the process ignore SIGPIPE.
 *
 * Kinds of errors, which all name the server and carry its native code:
 *   ERR_UNREACHABLE  no login, because nobody answered (in time) or the login was cut; or the session had been lost
 *                    before: nothing ran
 *   ERR_REFUSED      the server answered and turned us away: 1040, 1045, 1129, 1226...
 *   ERR_LOST         cut or late after the statement was sent, or a result beyond the cap: it may have happened
 *   ERR_SQL          the statement was answered with an error
 *   ERR_CONFIG       an address that is not numeric; key, certificate or CA files of ours
 *   ERR_PARSE        whoever listens there does not speak MySQL's protocol, or names no version
 *   ERR_PRECOND      TLS was asked for and the server has none or is not the right one; a version that is not
 *                    supported; the deadline had passed before anything was sent
 * After ERR_LOST the session is of no more use.
 *
 * What TLS guarantees.  REQUIRED, VERIFY_* and a fingerprint: when the server's greeting does not offer TLS, nothing
 * at all is sent.  Without verification or fingerprint a server may be an impostor; it never gets the password in
 * clear text by other means than caching_sha2_password's own (inside TLS, or encrypted with the key that it sends:
 * `public_key` pins that one), as plug-ins that send it are only allowed to verified servers and over a socket.
 */
#pragma once
#include <stdint.h>
#include "mem.h"

struct dialect;
struct db;
struct db_result;

enum db_tls {
	DB_TLS_OFF,       /* never; the tls_ fields are not looked at */
	DB_TLS_PREFERRED, /* if the server can */
	DB_TLS_REQUIRED,  /* or no login */
	DB_TLS_VERIFY_CA, /* and `tls_ca` has signed its certificate (Connector/C 3.4: as VERIFY_IDENTITY) */
	DB_TLS_VERIFY_IDENTITY, /* and it is made out to `address` */
};

/* All borrowed for the call of db_open(). */
struct db_opts {
	const char *name;    /* how errors call this server: "db1(10.0.0.1:3306)" */
	const char *address; /* numeric: db never asks a resolver */
	unsigned port;
	const char *socket; /* Unix socket instead of address and port; NULL usually */
	const char *user, *password;

	/* PEM files.  The CA's is for VERIFY_* only: the system's are never asked.  Certificate and key are ours. */
	enum db_tls tls;
	const char *tls_ca, *tls_cert, *tls_key;

	/* SHA-1, 40 hex digits: pins a self-made certificate, implies REQUIRED. */
	const char *tls_fingerprint;

	/* PEM file of the server's RSA key, for caching_sha2_password without TLS; NULL: ask the server for it. */
	const char *public_key;

	int64_t connect_ms; /* for reaching the server and logging in */
	int64_t query_ms;   /* for each later call, unless db_deadline() is sooner */
};

/* Returns owned. */
struct db *db_open(const struct db_opts *o, struct err *e) MUST_USE;
void db_close(struct db *db); /* NULL is fine; never waits for the server */
CLEANUP_FN(db, struct db *, db_close)

/* No call of this session waits beyond this instant (see clock.h); CLOCK_NEVER lifts it. */
void db_deadline(struct db *db, int64_t deadline);

const char *db_name(const struct db *db); /* borrowed from the session */
/* VERSION() as the greeting gave it, MariaDB's 5.5.5- prefix removed. */
const char *db_server_version(const struct db *db);
const struct dialect *db_dialect(const struct db *db);
const char *db_cipher(const struct db *db); /* NULL: not encrypted */
uint64_t db_connection_id(const struct db *db);

/* A statement whose rows, if any, are thrown away. */
bool db_exec(struct db *db, const char *sql, struct err *e) MUST_USE;

/* A statement with rows, all of them in memory.  Returns owned; valid after db_close(). */
struct db_result *db_query(struct db *db, const char *sql, struct err *e) MUST_USE;
void db_result_free(struct db_result *r);
CLEANUP_FN(db_result, struct db_result *, db_result_free)

size_t db_rows(const struct db_result *r);
/* Borrowed from the result; NULL for SQL NULL, for a row or column that is not there, and for a NULL column name.
 * Column names are compared without regard to case, as servers do. */
const char *db_get(const struct db_result *r, size_t row, const char *column);
bool db_has_column(const struct db_result *r, const char *column);
/* First column of the first row, copied; NULL without an error when there is no row or it is NULL. */
bool db_value(struct db *db, const char *sql, char **ret_value, struct err *e) MUST_USE;

/* `text` as a quoted SQL string literal.  db_open() sees to it that sessions read backslashes as escapes and
 * speak utf8mb4, so it is safe whatever sql_mode the server is set to.  Returns owned. */
char *db_quote(const char *text);
/* `name` as `quoted` identifier.  Returns owned. */
char *db_quote_name(const char *name);

/* See every statement as it is sent, with literals behind PASSWORD/IDENTIFIED BY replaced by 'xxx'. */
typedef void (*db_tracer_fn)(void *arg, const char *server, const char *sql);
void db_set_tracer(struct db *db, db_tracer_fn fn, void *arg);

/* The sql text with such literals replaced; what the tracer and all error texts show.  Returns owned. */
char *db_redact(const char *sql);

/* Whether a native error number means "it lives, but refuses" (MHA's alive codes and their kin). */
bool db_code_is_alive(int code);
