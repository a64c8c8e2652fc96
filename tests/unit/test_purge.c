/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * purge's parts that need no server: option files, own addresses, statements, held files.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "clock.h"
#include "dialect.h"
#include "login.h"
#include "purge.h"
#include "purge_files.h"
#include "str.h"

static void test_option_files(void **state)
{
	static const struct {
		const char *text, *user, *password, *socket;
		unsigned port;
	} cases[] = {
		{ "", NULL, NULL, NULL, 0 },
		{ "user=x\n", NULL, NULL, NULL, 0 },
		{ "[client]\nuser=u\npassword = p\nport=3307\nsocket=/s", "u", "p", "/s", 3307 },
		{ "[mysqld]\nuser=x\n[Client]\r\nuser=u\r\n[mysql]\nuser=y", "u", NULL, NULL, 0 },
		{ "[client-server]\nuser=a\n[client-mariadb]\nuser=b", "b", NULL, NULL, 0 },
		{ "[client]\npassword='a b # c' # d\nuser=u # e", "u", "a b # c", NULL, 0 },
		{ "[client]\npassword=\"a'b\"\nuser='q\"r'", "q\"r", "a'b", NULL, 0 },
		{ "[client]\npassword=a\\sb\\\\c\\td", NULL, "a b\\c\td", NULL, 0 },
		{ "[client]\n#user=x\n;user=y\n!include /x\nuser\n= z\n", NULL, NULL, NULL, 0 },
		{ "[client]\nport=0\nport=70000\nport=x\n", NULL, NULL, NULL, 0 },
		{ "[client]\nUSER=u\npassword=\n", "u", "", NULL, 0 },
		{ "[client]\npassword='unfinished\\", NULL, "unfinished\\", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct login l = { 0 };

		login_parse_file(cases[i].text, &l);
		if (!str_is(l.user, cases[i].user) || !str_is(l.password, cases[i].password) ||
		        !str_is(l.socket, cases[i].socket) || l.port != cases[i].port)
			fail_msg("%s: %s %s %s %u", cases[i].text, l.user, l.password, l.socket,
			        l.port);
		login_done(&l);
	}
}

static void test_own_addresses(void **state)
{
	(void)state;
	assert_true(login_is_local("127.0.0.1"));
	assert_true(login_is_local("127.0.0.53"));
	assert_true(login_is_local("::1"));
	assert_false(login_is_local("203.0.113.1"));
	assert_false(login_is_local("2001:db8::1"));
	assert_false(login_is_local(""));
}

static void check_flush(const char *version, const char *channel, const char *want)
{
	const struct dialect *d = dialect_of(version, NULL);
	AUTO(free) char *sql = purge_flush_sql(d, channel);

	assert_string_equal(sql, want);
}

static void test_statements(void **state)
{
	(void)state;
	check_flush("5.6.24-log", NULL, "FLUSH NO_WRITE_TO_BINLOG RELAY LOGS");
	check_flush("9.7.0", "", "FLUSH NO_WRITE_TO_BINLOG RELAY LOGS FOR CHANNEL ''");
	check_flush("9.7.0", "it's", "FLUSH NO_WRITE_TO_BINLOG RELAY LOGS FOR CHANNEL 'it''s'");
	check_flush("10.11.6-MariaDB", "a", "FLUSH NO_WRITE_TO_BINLOG RELAY LOGS 'a'");
}

static void make(const char *dir, const char *name, off_t size)
{
	AUTO(free) char *path = xasprintf("%s/%s", dir, name);
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
}

static off_t size_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_size;
}

/* Only what has lost its last name, and is open nowhere else, is made shorter. */
static void test_held_files(void **state)
{
	char dir[] = "/var/tmp/mha-node-purge-XXXXXX";
	struct purge_files f = { VEC_INIT };
	static const char *const names[] = { "r.000009", "r.000010", "r.000011", "r.000012" };
	struct verb_io io;
	uint64_t bytes;
	FILE *out = fopen("/dev/null", "w");

	(void)state;
	verb_io_std(&io, NULL);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		make(dir, names[i], 100 << 20);
	make(dir, "other.000001", 10);
	assert_true(purge_files_hold(&f, dir, "r", out, NULL));
	assert_int_equal(f.items.len, 4);

	int fd = open(names[2], O_RDONLY), fd0 = dup(f.items.items[0].fd);

	assert_int_equal(link(names[1], "aside"), 0);
	assert_int_equal(unlink(names[0]) | unlink(names[1]) | unlink(names[2]), 0);
	assert_false(purge_files_are_gone(&f));
	assert_int_equal(purge_files_count_gone(&f, &bytes), 2);
	purge_files_release(&f, &io);
	assert_int_equal(f.items.len, 0);
	assert_true(size_of(fd0) <= 32 << 20);
	assert_int_equal(size_of(fd), 100 << 20);
	struct stat st;
	assert_int_equal(stat("aside", &st), 0);
	assert_int_equal(st.st_size, 100 << 20);
	assert_int_equal(stat(names[3], &st), 0);
	assert_int_equal(st.st_size, 100 << 20);

	close(fd);
	close(fd0);
	fclose(out);
	assert_int_equal(unlink("aside") | unlink(names[3]) | unlink("other.000001"), 0);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_option_files),
		cmocka_unit_test(test_own_addresses),
		cmocka_unit_test(test_statements),
		cmocka_unit_test(test_held_files),
	};

	return cmocka_run_group_tests_name("purge", tests, NULL, NULL);
}
