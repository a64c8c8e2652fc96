/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe_impl - what probe.c (the attempt) and probe_sql.c (what is asked, and what the answers mean)
 * share.  Runs on: loop.
 */
#pragma once
#include "dbloop.h"
#include "probe.h"

#define PROBE_SQL_LOCK    "SELECT GET_LOCK('" PROBE_LOCK_NAME "', 0) AS v"
#define PROBE_SQL_RELEASE "DO RELEASE_LOCK('" PROBE_LOCK_NAME "')"

/* MHA's table, and its row: the time, which must also change when there are several pings in a second, as a row that
 * stays the same is not written. */
#define PROBE_SQL_WRITE                                                                            \
	"INSERT INTO infra.chk_masterha VALUES (1, UNIX_TIMESTAMP()) ON DUPLICATE KEY UPDATE"      \
	" val = IF(val = UNIX_TIMESTAMP(), val - 1, UNIX_TIMESTAMP())"
#define PROBE_SQL_DATABASE "CREATE DATABASE IF NOT EXISTS infra"
#define PROBE_SQL_TABLE                                                                            \
	"CREATE TABLE IF NOT EXISTS infra.chk_masterha (`key` TINYINT NOT NULL PRIMARY KEY,"       \
	" val INT UNSIGNED NOT NULL DEFAULT 0)"

enum { PROBE_NO_DATABASE = 1049, PROBE_NO_TABLE = 1146 };

/* Who holds the lock: columns id, who ("root@10.0.0.9:41234"; NULL without PROCESS). */
extern const char probe_sql_holder[];
/* "root@10.0.0.9 connection 55" into `ret`; its connection, 0 = nobody. */
uint64_t probe_read_holder(const struct db_result *r, char *ret, size_t size);

/* Who the server is; each returns owned. */
char *probe_sql_identity(const struct dialect *d);
void probe_read_identity(
        const struct db_result *r, const struct dialect *d, struct probe_server *ret);
extern const char probe_sql_uptime[];
void probe_read_uptime(const struct db_result *r, int64_t now, struct probe_server *ret);

char *probe_sql_semisync_status(const struct dialect *d);
void probe_read_semisync_status(
        const struct db_result *r, const struct dialect *d, struct probe_facts *ret);
char *probe_sql_semisync_vars(const struct dialect *d);
void probe_read_semisync_vars(
        const struct db_result *r, const struct dialect *d, struct probe_facts *ret);
extern const char probe_sql_waiting[];
void probe_read_waiting(const struct db_result *r, struct probe_facts *ret);

/* What a failure says about the server.  `sys`: errno of the connection. */
enum probe_how probe_how_of(const struct err *e, bool late, int sys, enum db_layer layer);
