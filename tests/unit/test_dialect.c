/* SPDX-License-Identifier: BSD-2-Clause */
/* dialect: which version speaks how, at each boundary. */
#include "dialect.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "mem.h"
#include "str.h"

static const struct dialect *of(const char *version)
{
	struct err e = { 0 };
	const struct dialect *d = dialect_of(version, &e);

	if (!d)
		fail_msg("%s: %s", version, e.text);
	return d;
}

static void test_names(void **state)
{
	static const struct {
		const char *version, *name;
		bool newer;
	} cases[] = {
		{ "5.6.24-log", "MySQL 5.6", false },
		{ "5.7.44", "MySQL 5.7", false },
		{ "8.0.21", "MySQL 8.0", false },
		{ "8.0.45-0ubuntu0.22.04.1", "MySQL 8.0", false },
		{ "8.0.36-28", "MySQL 8.0", false },
		{ "8.4.0", "MySQL 8.4", false },
		{ "8.9.1", "MySQL 8.4", false },
		{ "9.7.4-2", "MySQL 9.7", false },
		{ "9.8.0", "MySQL after 9.7", true },
		{ "10.0.0", "MySQL after 9.7", true },
		{ "10.5.29-MariaDB", "MariaDB 10.5", false },
		{ "5.5.5-10.6.12-MariaDB-log", "MariaDB 10.6", false },
		{ "10.11.19-MariaDB-0+deb12u1-log", "MariaDB 10.11", false },
		{ "11.8.6-MariaDB-0+deb13u1 from Debian-log", "MariaDB 11.8", false },
		{ "12.0.2-mariadb", "MariaDB after 11.8", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct dialect *d = of(cases[i].version);

		assert_string_equal(dialect_name(d), cases[i].name);
		assert_int_equal(dialect_is_newer(d), cases[i].newer);
		assert_int_equal(dialect_family(d),
		        strstr(cases[i].name, "MariaDB") ? FAMILY_MARIADB : FAMILY_MYSQL);
	}
}

static void test_too_old(void **state)
{
	static const char *const versions[] = { "5.5.62-log", "5.1.73", "4.0.0", "10.4.34-MariaDB",
		"5.5.5-10.3.39-MariaDB", "5.5.68-MariaDB" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		struct err e = { 0 };

		assert_null(dialect_of(versions[i], &e));
		assert_int_equal(e.kind, ERR_PRECOND);
		assert_non_null(strstr(e.text, versions[i]));
		assert_non_null(strstr(e.text, "5.6"));
	}
}

static void test_no_version(void **state)
{
	static const char *const versions[] = { "", "8", "8.0", "8.0.", "8..0", "x8.0.1", "-8.0.1",
		" 8.0.1", "MariaDB" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		struct err e = { 0 };

		assert_int_equal(dialect_version_number(versions[i]), 0);
		assert_null(dialect_of(versions[i], &e));
		assert_int_equal(e.kind, ERR_PARSE);
	}
	/* Without a second version behind it, 5.5.5 is what it says. */
	assert_int_equal(dialect_version_number("5.5.5-"), 50505);
	assert_int_equal(dialect_version_number("5.5.5-MariaDB"), 50505);
}

static void test_number(void **state)
{
	(void)state;
	assert_int_equal(dialect_version_number("8.0.45"), 80045);
	assert_int_equal(dialect_version_number("10.11.19-MariaDB"), 101119);
	assert_int_equal(dialect_version_number("5.5.5-10.11.19-MariaDB"), 101119);
	assert_int_equal(dialect_version_number("5.6.100"), 50699);
	assert_int_equal(dialect_version_number("99999999999999999999.1.1"), 990101);
}

static void test_statements(void **state)
{
	static const struct {
		const char *version, *replica, *binlog, *hosts;
	} cases[] = {
		{ "5.6.0", "SHOW SLAVE STATUS", "SHOW MASTER STATUS", "SHOW SLAVE HOSTS" },
		{ "8.0.21", "SHOW SLAVE STATUS", "SHOW MASTER STATUS", "SHOW SLAVE HOSTS" },
		{ "8.0.22", "SHOW REPLICA STATUS", "SHOW MASTER STATUS", "SHOW REPLICAS" },
		{ "8.1.0", "SHOW REPLICA STATUS", "SHOW MASTER STATUS", "SHOW REPLICAS" },
		{ "8.2.0", "SHOW REPLICA STATUS", "SHOW BINARY LOG STATUS", "SHOW REPLICAS" },
		{ "9.9.9", "SHOW REPLICA STATUS", "SHOW BINARY LOG STATUS", "SHOW REPLICAS" },
		{ "10.5.0-MariaDB", "SHOW ALL SLAVES STATUS", "SHOW MASTER STATUS",
		        "SHOW SLAVE HOSTS" },
		{ "12.3.1-MariaDB", "SHOW ALL SLAVES STATUS", "SHOW MASTER STATUS",
		        "SHOW SLAVE HOSTS" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct dialect *d = of(cases[i].version);

		assert_string_equal(dialect_sql(d, SQL_REPLICA_STATUS), cases[i].replica);
		assert_string_equal(dialect_sql(d, SQL_BINLOG_STATUS), cases[i].binlog);
		assert_string_equal(dialect_sql(d, SQL_BINLOG_LIST), "SHOW BINARY LOGS");
		assert_string_equal(dialect_sql(d, SQL_REPLICA_HOSTS), cases[i].hosts);
	}
}

static void test_columns(void **state)
{
	const struct dialect *my56 = of("5.6.24"), *my57 = of("5.7.9"), *my80 = of("8.0.21"),
	                     *my97 = of("9.7.4"), *ma = of("10.11.19-MariaDB");

	(void)state;
	assert_null(dialect_col(my56, COL_CHANNEL));
	assert_string_equal(dialect_col(my57, COL_CHANNEL), "Channel_Name");
	assert_string_equal(dialect_col(ma, COL_CHANNEL), "Connection_name");
	assert_string_equal(dialect_col(my80, COL_EXEC_FILE), "Relay_Master_Log_File");
	assert_string_equal(dialect_col(my97, COL_EXEC_FILE), "Relay_Source_Log_File");
	assert_string_equal(dialect_col(ma, COL_EXEC_FILE), "Relay_Master_Log_File");
	assert_null(dialect_col(my57, COL_PUBLIC_KEY_PATH));
	assert_string_equal(dialect_col(my80, COL_PUBLIC_KEY_PATH), "Master_public_key_path");
	assert_string_equal(dialect_col(my97, COL_PUBLIC_KEY_PATH), "Source_public_key_path");
	assert_null(dialect_col(ma, COL_PUBLIC_KEY_PATH));
	assert_null(dialect_col(my97, COL_USING_GTID));
	assert_string_equal(dialect_col(ma, COL_USING_GTID), "Using_Gtid");
	assert_null(dialect_col(ma, COL_AUTO_POSITION));
}

static void test_variables(void **state)
{
	const struct dialect *my56 = of("5.6.24"), *my25 = of("8.0.25"), *my26 = of("8.0.26"),
	                     *my97 = of("9.7.4"), *ma = of("11.8.6-MariaDB");

	(void)state;
	assert_null(dialect_var(my56, VAR_SUPER_READ_ONLY));
	assert_string_equal(dialect_var(my25, VAR_SUPER_READ_ONLY), "super_read_only");
	assert_null(dialect_var(ma, VAR_SUPER_READ_ONLY));
	assert_string_equal(dialect_var(my25, VAR_LOG_REPLICA_UPDATES), "log_slave_updates");
	assert_null(dialect_old_var(my25, VAR_LOG_REPLICA_UPDATES));
	assert_string_equal(dialect_var(my26, VAR_LOG_REPLICA_UPDATES), "log_replica_updates");
	assert_string_equal(dialect_old_var(my26, VAR_LOG_REPLICA_UPDATES), "log_slave_updates");
	assert_null(dialect_old_var(ma, VAR_LOG_REPLICA_UPDATES));
	assert_string_equal(dialect_old_var(my97, VAR_SEMISYNC_WAIT_COUNT),
	        "rpl_semi_sync_master_wait_for_slave_count");
	assert_null(dialect_var(ma, VAR_SERVER_UUID));
	assert_string_equal(dialect_var(ma, VAR_GTID_EXECUTED), "gtid_binlog_pos");
	assert_string_equal(dialect_var(my56, VAR_GTID_EXECUTED), "gtid_executed");
	assert_string_equal(
	        dialect_var(of("8.2.0"), VAR_RELAY_LOG_INFO_FILE), "relay_log_info_file");
	assert_null(dialect_var(of("8.3.0"), VAR_RELAY_LOG_INFO_FILE));
	assert_string_equal(dialect_var(ma, VAR_RELAY_LOG_INFO_FILE), "relay_log_info_file");
	assert_string_equal(dialect_var(of("8.3.0"), VAR_HAVE_SSL), "have_ssl");
	assert_null(dialect_var(of("8.4.0"), VAR_HAVE_SSL));
	assert_string_equal(
	        dialect_status(my25, STAT_SEMISYNC_CLIENTS), "Rpl_semi_sync_master_clients");
	assert_string_equal(
	        dialect_status(my26, STAT_SEMISYNC_CLIENTS), "Rpl_semi_sync_source_clients");
	assert_string_equal(
	        dialect_old_status(my26, STAT_SEMISYNC_CLIENTS), "Rpl_semi_sync_master_clients");
}

/* Nothing that all servers have is missing from a table. */
static void test_tables_are_filled(void **state)
{
	static const char *const versions[] = { "5.6.0", "5.7.0", "8.0.0", "8.4.0", "9.9.0",
		"10.5.0-MariaDB", "12.0.0-MariaDB" };
	static const enum dialect_var everywhere[] = { VAR_SERVER_ID, VAR_READ_ONLY, VAR_LOG_BIN,
		VAR_LOG_REPLICA_UPDATES, VAR_BINLOG_FORMAT, VAR_GTID_EXECUTED, VAR_DATADIR,
		VAR_LOG_BIN_BASENAME, VAR_RELAY_LOG_BASENAME, VAR_RELAY_LOG_INDEX,
		VAR_RELAY_LOG_PURGE, VAR_PARALLEL_WORKERS, VAR_SEMISYNC_SOURCE_ENABLED,
		VAR_SEMISYNC_REPLICA_ENABLED, VAR_SEMISYNC_TIMEOUT, VAR_MAX_ALLOWED_PACKET,
		VAR_PORT };

	(void)state;
	for (size_t v = 0; v < ARRAY_LEN(versions); v++) {
		const struct dialect *d = of(versions[v]);

		for (int i = 0; i < SQL_COUNT; i++)
			assert_non_null(dialect_sql(d, i));
		for (int i = 0; i < STAT_COUNT; i++)
			assert_non_null(dialect_status(d, i));
		for (size_t i = 0; i < ARRAY_LEN(everywhere); i++)
			assert_non_null(dialect_var(d, everywhere[i]));
		for (int i = COL_IO_STATE; i <= COL_LAST_SQL_ERROR; i++)
			assert_non_null(dialect_col(d, i));
	}
	for (int i = 0; i < COL_COUNT; i++)
		assert_true(dialect_col(of("9.7.0"), i) || dialect_col(of("11.8.0-MariaDB"), i));
	for (int i = 0; i < VAR_COUNT; i++)
		assert_true(dialect_var(of("5.7.0"), i) || dialect_var(of("11.8.0-MariaDB"), i));
}

static void test_capabilities(void **state)
{
	static const struct {
		const char *version;
		bool can[CAP_COUNT];
	} cases[] = {
		{ "5.6.51", { false } },
		{ "5.7.9", { [CAP_CHANNELS] = true,
		                   [CAP_SUPER_READ_ONLY] = true,
		                   [CAP_PFS_REPLICATION] = true } },
		{ "8.0.16", { [CAP_CHANNELS] = true,
		                    [CAP_SUPER_READ_ONLY] = true,
		                    [CAP_PFS_REPLICATION] = true } },
		{ "8.0.17", { [CAP_CHANNELS] = true,
		                    [CAP_SUPER_READ_ONLY] = true,
		                    [CAP_PFS_REPLICATION] = true,
		                    [CAP_CLONE] = true } },
		{ "8.3.0", { [CAP_CHANNELS] = true,
		                   [CAP_SUPER_READ_ONLY] = true,
		                   [CAP_PFS_REPLICATION] = true,
		                   [CAP_CLONE] = true,
		                   [CAP_GTID_TAGS] = true } },
		{ "10.5.1-MariaDB", { [CAP_CHANNELS] = true } },
		{ "12.1.1-MariaDB", { [CAP_CHANNELS] = true } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (int c = 0; c < CAP_COUNT; c++)
			assert_int_equal(dialect_can(of(cases[i].version), c), cases[i].can[c]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_too_old),
		cmocka_unit_test(test_no_version),
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_statements),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_variables),
		cmocka_unit_test(test_tables_are_filled),
		cmocka_unit_test(test_capabilities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
