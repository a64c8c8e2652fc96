/* SPDX-License-Identifier: BSD-2-Clause */
/* fence: which unit runs a server, from the texts of the kernel and of systemctl. */
#include "fence_unit.h"
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "str.h"

static const char show[] =
        "Id=ssh.service\nMainPID=50\nExecStart={ path=/usr/sbin/sshd ; argv[]=/usr/sbin/sshd -D ; "
        "ignore_errors=no }\n"
        "ActiveState=active\nSubState=running\n\n"
        "Id=mariadb.service\nMainPID=100\nExecStart={ path=/usr/sbin/mariadbd ; "
        "argv[]=/usr/sbin/mariadbd $OPTS ; "
        "ignore_errors=no ; pid=100 }\nActiveState=activating\nSubState=auto-restart\n\n"
        "Id=shop.service\nMainPID=0\nExecStart={ path=/usr/bin/mysqld_safe ; "
        "argv[]=/usr/bin/mysqld_safe --port=3307 "
        "; ignore_errors=no }\nActiveState=inactive\nSubState=dead\n";

static void unit_of_cgroup(void **state)
{
	static const struct {
		const char *text, *unit;
	} cases[] = {
		{ "0::/system.slice/mariadb.service\n", "mariadb.service" },
		{ "0::/system.slice/system-mysqld.slice/mysqld@b.service\n", "mysqld@b.service" },
		{ "0::/system.slice/mariadb.service/inner\n", "mariadb.service" },
		{ "4:memory:/other.service\n1:name=systemd:/system.slice/mysql.service\n",
		        "mysql.service" },
		{ "0::/user.slice/user-1000.slice/user@1000.service/app.slice/db.service\n", NULL },
		{ "0::/user.slice/user-0.slice/session-3.scope\n", NULL },
		{ "0::/system.slice/docker-abc.scope\n", NULL },
		{ "0::/\n", NULL },
		{ "0::/x/.service\n", NULL },
		{ "nonsense", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(free) char *unit = fence_unit_of_cgroup(cases[i].text);

		if (cases[i].unit)
			assert_string_equal(unit, cases[i].unit);
		else
			assert_null(unit);
	}
}

static void own_unit(void **state)
{
	(void)state;
	assert_true(fence_unit_is_own(show, "mariadb.service", 100));
	assert_true(fence_unit_is_own(show, "mariadb.service", 999)); /* by its command */
	assert_true(
	        fence_unit_is_own(show, "ssh.service", 50)); /* a wrapper that became the server */
	assert_false(fence_unit_is_own(show, "ssh.service", 100));
	assert_false(fence_unit_is_own(show, "ssh", 50));
	assert_false(fence_unit_is_own("", "ssh.service", 50));
}

static void unit_of_port(void **state)
{
	AUTO(free) char *a = fence_unit_of_port(show, "/nonexistent", 3306);
	AUTO(free) char *b = fence_unit_of_port(show, "/nonexistent", 3307);
	AUTO(free) char *c = fence_unit_of_port(show, "/nonexistent", 3308);

	(void)state;
	assert_string_equal(a, "mariadb.service");
	assert_string_equal(b, "shop.service");
	assert_null(c);
}

static void property(void **state)
{
	AUTO(free) char *a = fence_unit_property(show, "mariadb.service", "ActiveState");
	AUTO(free) char *b = fence_unit_property(show, "shop.service", "SubState");
	AUTO(free) char *c = fence_unit_property(show, "shop.service", "State");

	(void)state;
	assert_string_equal(a, "activating");
	assert_string_equal(b, "dead");
	assert_null(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unit_of_cgroup),
		cmocka_unit_test(own_unit),
		cmocka_unit_test(unit_of_port),
		cmocka_unit_test(property),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
