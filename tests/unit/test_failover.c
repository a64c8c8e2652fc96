/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_failover - the table of a failover: that it is a plan at all, and that the order which keeps data
 * safe is the one it has.  What the steps do is shown in the lab.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "failover.h"
#include "str.h"

static size_t at(const char *name)
{
	const struct run_plan *p = failover_plan();

	for (size_t i = 0; i < p->n; i++)
		if (str_is(p->steps[i].name, name))
			return i;
	fail_msg("there is no step %s", name);
	return 0;
}

static void test_is_a_plan(void **state)
{
	struct err e = { 0 };

	(void)state;
	if (!run_plan_check(failover_plan(), &e))
		fail_msg("%s", e.text);
}

/* Each pair: the first must be over, or running, before the second begins. */
static void test_order(void **state)
{
	static const char *const pairs[][2] = {
		{ "confirm", "vip_off" },
		{ "check", "vip_off" },
		{ "lock", "vip_off" },
		{ "count", "vip_off" }, /* a refusal leaves all as it was */
		{ "close",
		        "freeze" }, /* a semi-sync master without slaves hangs with its commits */
		{ "freeze", "latest" },
		{ "latest", "save" },
		{ "save", "power_off" },
		{ "fence", "seen" },
		{ "apply", "seen" },
		{ "seen", "record" },
		{ "record", "detach" },
		{ "detach", "open" },
		{ "detach", "vip_on" },
		{ "open", "slaves" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		if (at(pairs[i][0]) >= at(pairs[i][1]))
			fail_msg("%s does not come before %s", pairs[i][0], pairs[i][1]);
}

/* The way back ends before the service is given to the new master; behind it there is none. */
static void test_point_of_no_return(void **state)
{
	const struct run_plan *p = failover_plan();

	(void)state;
	assert_true(p->steps[at("detach")].no_return);
	for (size_t i = 0; i < p->n; i++) {
		if (i >= at("detach"))
			assert_null(p->steps[i].undo);
		if (i != at("detach"))
			assert_false(p->steps[i].no_return);
		assert_int_equal(p->steps[i].changes, i == at("vip_off"));
	}
	assert_non_null(p->steps[at("lock")].undo);
	assert_non_null(p->steps[at("close")].undo);
	assert_non_null(p->steps[at("fence")].undo);
	assert_non_null(p->steps[at("freeze")].undo);
}

/* What must be over before the next begins stands alone. */
static void test_alone(void **state)
{
	static const char *const alone[] = { "check", "elect", "vip_off", "latest", "save",
		"power_off", "diff", "apply", "seen", "record", "detach", "open", "cleanup" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(alone); i++)
		assert_null(failover_plan()->steps[at(alone[i])].beside);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_is_a_plan),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_point_of_no_return),
		cmocka_unit_test(test_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
