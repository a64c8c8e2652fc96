/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * login - how to get into the database server of this host.  Runs on: any thread (blocks).  Logs:
 * never.
 *
 * Passwords need never stand in a command line: an option file or the environment
 * (MHA_NODE_PASSWORD, MYSQL_PWD) or standard input gives them.  What is said outright comes first,
 * then the option file, then the environment.
 */
#pragma once
#include "db.h"
#include "verb.h"

struct login { /* all owned */
	char *user, *password;
	char *address; /* numeric, of this host */
	char *socket;  /* or NULL */
	unsigned port;
};

/*
 * Of --user, --password, --host, --port, --socket, --defaults_file, --password_stdin.  ERR_CONFIG:
 * the file cannot be read, or the host is not this one.  Call login_done() on success.
 */
bool login_read(
        const struct args *a, struct verb_io *io, struct login *ret, struct err *e) MUST_USE;
void login_done(struct login *l); /* wipes */

/* Returns owned; the errors are db_open()'s. */
struct db *login_open(const struct login *l, int64_t query_ms, struct err *e) MUST_USE;

/* What the sections [client], [client-server] and [client-mariadb] of an option file say; what they
 * do not say is left as it was.  Pure. */
void login_parse_file(const char *text, struct login *l);

/* Whether the numeric address is one of this host's. */
bool login_is_local(const char *address);
