/* SPDX-License-Identifier: BSD-2-Clause */
/* test_err - error values: layering, one line, cutting of overlong texts, NULL everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "err.h"
#include "mem.h"

static void layers(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_false(err_set(&e, ERR_SQL, 1062, "duplicate %s", "key"));
	assert_int_equal(e.kind, ERR_SQL);
	assert_int_equal(e.code, 1062);
	assert_string_equal(e.text, "duplicate key");
	assert_false(err_ctx(&e, "insert into %s", "t1"));
	assert_false(err_ctx(&e, "db%d", 2));
	assert_string_equal(e.text, "db2: insert into t1: duplicate key");
	assert_int_equal(e.kind, ERR_SQL);
	assert_int_equal(e.code, 1062);
}

static void the_deepest_knows_where(void **state)
{
	struct err e = { 0 };

	(void)state;
	err_set(&e, ERR_LOST, 0, "gone");
	assert_false(err_at(&e, "db1:3306"));
	assert_false(err_at(&e, "manager"));
	assert_false(err_hint(&e, "type %s", "this"));
	assert_false(err_hint(&e, "type that"));
	err_ctx(&e, "stop");
	assert_string_equal(e.host, "db1:3306");
	assert_string_equal(e.hint, "type this");
	assert_string_equal(e.text, "stop: gone");
	err_set(&e, ERR_PARSE, 0, "new");
	assert_string_equal(e.host, "");
	assert_string_equal(e.hint, "");
}

static void system_errors(void **state)
{
	struct err e = { 0 };

	(void)state;
	errno = ENOENT;
	assert_false(err_sys(&e, "open %s", "x"));
	assert_int_equal(e.kind, ERR_SYSTEM);
	assert_int_equal(e.code, ENOENT);
	assert_string_equal(e.text, "open x: No such file or directory");
}

static void one_line(void **state)
{
	struct err e = { 0 };

	(void)state;
	err_set(&e, ERR_REMOTE, 1, "tail:\r\n\tline\n");
	assert_null(strpbrk(e.text, "\r\n\t"));
	err_ctx(&e, "ran\n%s", "x");
	assert_null(strpbrk(e.text, "\r\n\t"));
	err_hint(&e, "look at\n%s", "y");
	assert_null(strpbrk(e.hint, "\r\n\t"));
}

static void overlong(void **state)
{
	AUTO(free) char *big = xzalloc(5000);
	struct err e = { 0 };

	(void)state;
	memset(big, 'x', 4999);
	err_set(&e, ERR_SQL, 1, "begin %s", big);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	assert_memory_equal(e.text, "begin xx", 8);
	err_ctx(&e, "outer");
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	assert_memory_equal(e.text, "outer: begin xx", 15);
	err_ctx(&e, "%s", big);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	err_at(&e, big);
	assert_int_equal(strlen(e.host), sizeof(e.host) - 1);
	err_hint(&e, "%s", big);
	assert_int_equal(strlen(e.hint), sizeof(e.hint) - 1);
	errno = ENOENT;
	err_sys(&e, "%s", big);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
}

/* An error may be turned into another one that quotes it. */
static void quotes_itself(void **state)
{
	struct err e = { 0 };

	(void)state;
	err_set(&e, ERR_SQL, 1045, "denied");
	err_at(&e, "db1");
	err_set(&e, ERR_PRECOND, 0, "cannot look at %s (%s)", e.host, e.text);
	assert_string_equal(e.text, "cannot look at db1 (denied)");
	assert_int_equal(e.kind, ERR_PRECOND);
	err_ctx(&e, "%s says", "db1");
	assert_string_equal(e.text, "db1 says: cannot look at db1 (denied)");
}

static void nobody_asks(void **state)
{
	(void)state;
	assert_false(err_set(NULL, ERR_SQL, 1, "x"));
	assert_false(err_sys(NULL, "x"));
	assert_false(err_ctx(NULL, "x"));
	assert_false(err_at(NULL, "x"));
	assert_false(err_hint(NULL, "x"));
}

static void kinds_have_names(void **state)
{
	(void)state;
	for (int a = ERR_NONE; a <= ERR_CANCELED; a++) {
		const char *name = err_kind_name((enum err_kind)a);

		assert_non_null(name);
		assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz"), strlen(name));
		for (int b = ERR_NONE; b < a; b++)
			assert_string_not_equal(name, err_kind_name((enum err_kind)b));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layers),
		cmocka_unit_test(the_deepest_knows_where),
		cmocka_unit_test(system_errors),
		cmocka_unit_test(one_line),
		cmocka_unit_test(overlong),
		cmocka_unit_test(quotes_itself),
		cmocka_unit_test(nobody_asks),
		cmocka_unit_test(kinds_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
