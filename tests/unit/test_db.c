/* SPDX-License-Identifier: BSD-2-Clause */
/* db: what needs no server: quoting, redaction, kinds of errors, refusals before anything is sent. */
#include "db.h"
#include "db_impl.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>
#include "str.h"

static void test_quote(void **state)
{
	static const struct {
		const char *text, *literal, *name;
	} cases[] = {
		{ "", "''", "``" },
		{ "abc", "'abc'", "`abc`" },
		{ "it's", "'it''s'", "`it's`" },
		{ "a\\b", "'a\\\\b'", "`a\\b`" },
		{ "\\'", "'\\\\'''", "`\\'`" },
		{ "`x`", "'`x`'", "```x```" },
		{ "gr\xc3\xbcn\n", "'gr\xc3\xbcn\n'", "`gr\xc3\xbcn\n`" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(free) char *literal = db_quote(cases[i].text);
		AUTO(free) char *name = db_quote_name(cases[i].text);

		assert_string_equal(literal, cases[i].literal);
		assert_string_equal(name, cases[i].name);
	}
}

static void test_redact(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "SELECT 'a', \"b\"", "SELECT 'a', \"b\"" },
		{ "CREATE USER 'u'@'h' IDENTIFIED BY 's3'",
		        "CREATE USER 'u'@'h' IDENTIFIED BY 'xxx'" },
		{ "create user u identified with caching_sha2_password by 's3' replace \"o\" "
		  "require none",
		        "create user u identified with caching_sha2_password by 'xxx' replace "
		        "'xxx' require none" },
		{ "GRANT ALL ON *.* TO a@b IDENTIFIED BY PASSWORD '*AB'",
		        "GRANT ALL ON *.* TO a@b IDENTIFIED BY PASSWORD 'xxx'" },
		{ "CREATE USER a IDENTIFIED BY 'x', b IDENTIFIED BY 'y'",
		        "CREATE USER a IDENTIFIED BY 'xxx', b IDENTIFIED BY 'xxx'" },
		{ "CHANGE MASTER TO MASTER_HOST='h',MASTER_PASSWORD='s''3\\'x',MASTER_LOG_FILE='f'",
		        "CHANGE MASTER TO "
		        "MASTER_HOST='h',MASTER_PASSWORD='xxx',MASTER_LOG_FILE='f'" },
		{ "CHANGE REPLICATION SOURCE TO SOURCE_PASSWORD = 's3', SOURCE_LOG_POS=4",
		        "CHANGE REPLICATION SOURCE TO SOURCE_PASSWORD = 'xxx', SOURCE_LOG_POS=4" },
		{ "SET PASSWORD = PASSWORD(CONCAT('a', 'b'))",
		        "SET PASSWORD = PASSWORD(CONCAT('xxx', 'xxx'))" },
		{ "SET PASSWORD FOR u = 's3'", "SET PASSWORD FOR u = 'xxx'" },
		{ "SELECT f(PASSWORD('a')), 'b'", "SELECT f(PASSWORD('xxx')), 'b'" },
		{ "SELECT (PASSWORD 'a') 'b'", "SELECT (PASSWORD 'xxx') 'b'" },
		{ "START SLAVE USER='u' PASSWORD='s3'; SELECT 'x'",
		        "START SLAVE USER='u' PASSWORD='xxx'; SELECT 'x'" },
		{ "SET PASSWORD='never closed", "SET PASSWORD='xxx'" },
		{ "SET PASSWORD='ends in backslash\\", "SET PASSWORD='xxx'" },
		{ "/* don't */ SET PASSWORD='s3'", "/* don't */ SET PASSWORD='xxx'" },
		{ "-- don't\nSET PASSWORD='s3'", "-- don't\nSET PASSWORD='xxx'" },
		{ "# don't\nSET PASSWORD='s3'", "# don't\nSET PASSWORD='xxx'" },
		{ "CREATE USER u /*!50000 IDENTIFIED BY 's3' */",
		        "CREATE USER u /*!50000 IDENTIFIED BY 'xxx' */" },
		{ "SELECT 5--'1', PASSWORD('s3')", "SELECT 5--'1', PASSWORD('xxx')" },
		{ "SELECT `password` 'kept`", "SELECT `password` 'kept`" },
		{ "SELECT 'identified by', 'kept'", "SELECT 'identified by', 'kept'" },
		{ "SELECT passwords, 'kept'", "SELECT passwords, 'kept'" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(free) char *out = db_redact(cases[i][0]);

		assert_string_equal(out, cases[i][1]);
	}
}

static void test_leaks(void **state)
{
	const char *sql = "CHANGE MASTER TO MASTER_HOST='h', MASTER_PASSWORD='s3cret'";

	(void)state;
	assert_false(db_text_leaks(
	        sql, 1198, "This operation cannot be performed with a running slave"));
	assert_true(db_text_leaks(sql, 1231, "Variable can't be set to the value of 's3cret'"));
	assert_true(db_text_leaks(sql, 1064, "near '3cret'' at line 1"));
	assert_false(db_text_leaks(sql, 1231, "no such host h"));
	assert_false(db_text_leaks("SELECT 'a'", 1064, "near 'a'"));
	assert_false(db_text_leaks("SET PASSWORD=''", 1372, "a hash should have 41 digits"));
}

static void test_alive(void **state)
{
	/* MHA's own list. */
	static const int mha[] = { 1040, 1042, 1043, 1044, 1045, 1129, 1130, 1203, 1226, 1251,
		1275 };
	static const int not_alive[] = { 0, 1053, 1064, 2002, 2003, 2006, 2013, 2026 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(mha); i++)
		assert_true(db_code_is_alive(mha[i]));
	for (size_t i = 0; i < ARRAY_LEN(not_alive); i++)
		assert_false(db_code_is_alive(not_alive[i]));
	assert_true(db_code_is_alive(3032));
}

static void test_login_kinds(void **state)
{
	static const struct {
		int code;
		enum err_kind kind;
	} cases[] = {
		{ 0, ERR_UNREACHABLE },
		{ 2002, ERR_UNREACHABLE },
		{ 2003, ERR_UNREACHABLE },
		{ 2013, ERR_UNREACHABLE },
		{ 2055, ERR_UNREACHABLE },
		{ 5013, ERR_UNREACHABLE },
		{ 1040, ERR_REFUSED },
		{ 1045, ERR_REFUSED },
		{ 1053, ERR_REFUSED },
		{ 3159, ERR_REFUSED },
		{ 2026, ERR_PRECOND },
		{ 2059, ERR_CONFIG },
		{ 2012, ERR_PARSE },
		{ 2027, ERR_PARSE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(db_login_kind(cases[i].code), cases[i].kind);
}

static void refused(struct db_opts o)
{
	struct err e = { 0 };

	o.name = "db1(10.0.0.1:3306)";
	o.port = 1;
	o.user = "u";
	o.password = "p";
	o.connect_ms = o.query_ms = 1000;
	assert_null(db_open(&o, &e));
	assert_int_equal(e.kind, ERR_CONFIG);
	assert_string_equal(e.host, o.name);
}

static void test_refused_before_connecting(void **state)
{
	(void)state;
	refused((struct db_opts){ .address = NULL });
	refused((struct db_opts){ .address = "" });
	refused((struct db_opts){ .address = "localhost" });
	refused((struct db_opts){ .address = "db1.example.com" });
	refused((struct db_opts){ .address = "10.0.0.1", .public_key = "/nowhere" });
	refused((struct db_opts){ .address = "::1", .public_key = "/etc/passwd" });
	refused((struct db_opts){ .address = "::1", .tls = DB_TLS_VERIFY_CA });
	refused((struct db_opts){
	        .address = "::1", .tls = DB_TLS_REQUIRED, .tls_fingerprint = "ab:cd" });
	refused((struct db_opts){
	        .address = "::1", .tls = DB_TLS_PREFERRED, .tls_cert = "/nowhere" });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quote),
		cmocka_unit_test(test_redact),
		cmocka_unit_test(test_leaks),
		cmocka_unit_test(test_alive),
		cmocka_unit_test(test_login_kinds),
		cmocka_unit_test(test_refused_before_connecting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
