/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_switch - the table of a planned switch, and which command lines mean one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "cmd_switch.h"
#include "switch.h"

static size_t at(const char *name)
{
	const struct run_plan *p = switch_plan();

	for (size_t i = 0; i < p->n; i++)
		if (str_is(p->steps[i].name, name))
			return i;
	fail_msg("no step %s", name);
	return 0;
}

static void test_table(void **state)
{
	const struct run_plan *p = switch_plan();
	struct err e = { 0 };

	(void)state;
	assert_true(run_plan_check(p, &e));
	assert_true(p->steps[at("open")].no_return);
	for (size_t i = 0; i < at("prepare"); i++)
		assert_false(p->steps[i].changes);
	assert_true(p->steps[at("prepare")].changes);
}

/* Between the last write here and the first one there nothing waits for a disk, but freeze is on it. */
static void test_nothing_waits_in_between(void **state)
{
	const struct run_plan *p = switch_plan();

	(void)state;
	assert_false(p->steps[at("freeze")].quick || p->steps[at("freeze")].reads);
	for (size_t i = at("freeze") + 1; i <= at("clear"); i++)
		assert_true(p->steps[i].quick || p->steps[i].reads);
	assert_int_equal(at("freeze") + 1, at("level"));
	assert_int_equal(at("level") + 1, at("open"));
}

/* What is changed before the point of no return can be taken back. */
static void test_all_can_be_undone(void **state)
{
	const struct run_plan *p = switch_plan();

	(void)state;
	for (size_t i = at("prepare"); i < at("open"); i++)
		assert_true(p->steps[i].undo || p->steps[i].reads);
}

static bool is_alive(char *a, char *b)
{
	static char name[] = "masterha_master_switch";
	char *argv[] = { name, a, b, NULL };

	return cmd_switch_is_alive(b ? 3 : 2, argv);
}

static void test_command_lines(void **state)
{
	char alive[] = "--master_state=alive", dead[] = "--master_state=dead",
	     one[] = "-Master-State", word[] = "alive", other[] = "--master_statement=alive",
	     host[] = "--new_master_host=alive";

	(void)state;
	assert_true(is_alive(alive, NULL));
	assert_true(is_alive(one, word));
	assert_true(is_alive(host, alive));
	assert_false(is_alive(dead, NULL));
	assert_false(is_alive(dead, word));
	assert_false(is_alive(other, NULL));
	assert_false(is_alive(host, NULL));
	assert_false(is_alive(one, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_nothing_waits_in_between),
		cmocka_unit_test(test_all_can_be_undone),
		cmocka_unit_test(test_command_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
