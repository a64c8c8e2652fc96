/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mha-node's small parts: command lines, relay-log.info files, folders of numbered logs.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "args.h"
#include "dir.h"
#include "relay.h"
#include "str.h"

/* A command line in memory that may be written to, as the kernel gives it. */
struct line {
	char text[8][80];
	char *argv[9];
	int argc;
};

static void line_of(struct line *l, const char *const *words)
{
	*l = (struct line){ 0 };
	for (; *words; words++) {
		snprintf(l->text[l->argc], sizeof(l->text[0]), "%s", *words);
		l->argv[l->argc] = l->text[l->argc];
		l->argc++;
	}
}
#define LINE(l, ...) line_of(l, (const char *const[]){ "program", __VA_ARGS__, NULL })

static void test_managers_test_line_of_save_binary_logs(void **state)
{
	(void)state;
	struct line l;
	struct args a;
	struct err e = { 0 };

	LINE(&l, "--command=test", "--start_pos=4", "--binlog_dir=/a,/b",
	        "--output_file=/w/save_binary_logs_test", "--manager_version=0.58",
	        "--start_file=mysql-bin.000001");
	assert_true(args_parse(ARGS_SAVE, l.argc, l.argv, &a, &e));
	assert_string_equal(a.command, "test");
	assert_string_equal(a.binlog_dir, "/a,/b");
	assert_string_equal(a.start_file, "mysql-bin.000001");
	assert_string_equal(a.output_file, "/w/save_binary_logs_test");
	assert_null(a.binlog_prefix);
	assert_true(args_check_manager(&a, &e));
}

static void test_password_is_gone_from_the_command_line(void **state)
{
	(void)state;
	struct line l;
	struct args a;
	struct err e = { 0 };

	LINE(&l, "--command=test", "--slave_pass=secret1", "-SLAVE-PA", "secret2", "--workd=/w");
	assert_true(args_parse(ARGS_DIFF, l.argc, l.argv, &a, &e));
	assert_string_equal(a.workdir, "/w");
	assert_null(strstr(l.text[2], "secret"));
	assert_null(strstr(l.text[4], "secret"));
	args_done(&a);
	/* Nor is it kept, when what follows is wrong: the sanitizer would see it. */
	LINE(&l, "--slave_pass=secret1", "--frobnicate");
	assert_false(args_parse(ARGS_DIFF, l.argc, l.argv, &a, &e));
	assert_null(strstr(l.text[1], "secret"));
}

static void test_each_program_has_its_own_options(void **state)
{
	(void)state;
	struct line l;
	struct args a;
	struct err e = { 0 };

	LINE(&l, "--slave_host=h");
	assert_true(args_parse(ARGS_DIFF, l.argc, l.argv, &a, &e));
	assert_string_equal(a.workdir, "/var/tmp");
	assert_false(args_parse(ARGS_SAVE, l.argc, l.argv, &a, &e));
	assert_int_equal(e.kind, ERR_CONFIG);
	LINE(&l, "--start_pos=-1");
	assert_false(args_parse(ARGS_SAVE, l.argc, l.argv, &a, &e));
}

static void test_managers_from_0_54_on(void **state)
{
	(void)state;
	static const struct {
		const char *version;
		bool good;
	} cases[] = { { NULL, true }, { "0.54", true }, { "0.58", true }, { "0.100", true },
		{ "1.0", true }, { "0.53", false }, { "0.9", false }, { "x", false },
		{ "58", false }, { "", false } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct args a = { .manager_version = cases[i].version };

		assert_int_equal(args_check_manager(&a, NULL), cases[i].good);
	}
}

static void assert_info(const char *text, const char *want)
{
	struct err e = { 0 };
	AUTO(free) char *got = relay_info_parse(text, "/data", &e);

	if (want) {
		assert_non_null(got);
		assert_string_equal(got, want);
	} else {
		assert_null(got);
		assert_int_equal(e.kind, ERR_PARSE);
	}
}

static void test_relay_log_info(void **state)
{
	(void)state;
	assert_info("./relay-bin.000002\n254\nmysql-bin.000001\n4\n", "/data/relay-bin.000002");
	assert_info("7\n./relay-bin.000002\n254\n", "/data/relay-bin.000002");
	assert_info("7\r\n./relay-bin.000002\r\n254\r\n", "/data/relay-bin.000002");
	assert_info("7\n/logs/relay-bin.1000000\n254\n", "/logs/relay-bin.1000000");
	assert_info("relay-bin.000002", "/data/relay-bin.000002");
	assert_info("sub/relay-bin.000002\n", "/data/sub/relay-bin.000002");
	assert_info("", NULL);
	assert_info("\n./relay-bin.000002\n", NULL);
	assert_info("7\n", NULL);
	assert_info("7", NULL);
	assert_info("7\n\nx\n", NULL);
}

static void assert_split(const char *name, bool good, size_t prefix, uint64_t number)
{
	size_t n = 0;
	uint64_t got = 0;

	assert_int_equal(dir_log_split(name, &n, &got), good);
	if (good) {
		assert_int_equal(n, prefix);
		assert_int_equal(got, number);
	}
}

static void test_log_names(void **state)
{
	(void)state;
	assert_split("mysql-bin.000003", true, 9, 3);
	assert_split("a.b.1000000", true, 3, 1000000);
	assert_split("a.2147483647", true, 1, 2147483647);
	assert_split("a.2147483648", false, 0, 0);
	assert_split("a.18446744073709551615", false, 0, 0);
	assert_split("mysql-bin.index", false, 0, 0);
	assert_split("mysql-bin.", false, 0, 0);
	assert_split("mysql-bin", false, 0, 0);
	assert_split(".000001", false, 0, 0);
	assert_split("mysql-bin.00x", false, 0, 0);
}

static void put(const char *dir, const char *name, const char *text)
{
	AUTO(free) char *path = xasprintf("%s/%s", dir, name);
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static int new_dir(void **state)
{
	char name[] = "/tmp/mhad-unit.XXXXXX";

	if (!mkdtemp(name))
		return 1;
	*state = xstrdup(name);
	return 0;
}

static int remove_dir(void **state)
{
	AUTO(free) char *command = xasprintf("rm -r '%s'", (char *)*state);
	int rc = system(command);

	free(*state);
	return rc;
}

static void test_last_log_by_number(void **state)
{
	const char *dir = *state;
	struct err e = { 0 };

	put(dir, "bin.999999", "");
	put(dir, "bin.1000000", "");
	put(dir, "bin.index", "");
	put(dir, "bin2.2000000", "");
	put(dir, "bi.2000000", "");
	{
		AUTO(free) char *last = dir_last_log(dir, "bin", &e);

		assert_non_null(last);
		assert_string_equal(last, "bin.1000000");
	}
	assert_null(dir_last_log(dir, "other", &e));
	assert_int_equal(e.kind, ERR_PRECOND);
	assert_null(dir_last_log("/nonexistent", "bin", &e));
	assert_int_equal(e.kind, ERR_SYSTEM);
}

static void test_can_write_leaves_nothing(void **state)
{
	const char *dir = *state;
	AUTO(free) char *deep = xasprintf("%s/a/b/c", dir);
	struct err e = { 0 };

	assert_false(dir_can_write(deep, &e));
	assert_true(dir_make(deep, &e));
	assert_true(dir_make(deep, &e));
	assert_true(dir_can_write(deep, &e));
	assert_int_equal(rmdir(deep), 0); /* fails if anything was left in it */
}

static void test_open_file_takes_files_only(void **state)
{
	const char *dir = *state;
	AUTO(free)
	char *file = xasprintf("%s/f", dir), *link = xasprintf("%s/l", dir),
	     *fifo = xasprintf("%s/p", dir);
	struct err e = { 0 };
	int fd;

	put(dir, "f", "x");
	assert_int_equal(symlink("f", link), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	fd = dir_open_file(file, &e);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(dir_open_file(link, &e), -1);
	assert_int_equal(dir_open_file(fifo, &e), -1);
	assert_int_equal(dir_open_file(dir, &e), -1);
}

static void opens_linked(const char *path, int code)
{
	struct err e = { 0 };
	int fd = dir_open_linked(path, &e);

	assert_int_equal(fd >= 0 ? 0 : e.code, code);
	if (fd >= 0)
		close(fd);
}

/* Where logs were moved to another disk, links lead to them. */
static void test_open_linked_stays_with_the_folders_owner(void **state)
{
	const char *dir = *state;
	AUTO(free)
	char *file = xasprintf("%s/o", dir), *link = xasprintf("%s/ol", dir),
	     *again = xasprintf("%s/oll", dir), *folder = xasprintf("%s/op", dir),
	     *nowhere = xasprintf("%s/on", dir), *round = xasprintf("%s/or", dir),
	     *theirs = xasprintf("%s/ot", dir);

	put(dir, "o", "x");
	assert_int_equal(symlink("o", link), 0);
	assert_int_equal(symlink(link, again), 0);
	assert_int_equal(symlink(".", folder), 0);
	assert_int_equal(symlink("gone", nowhere), 0);
	assert_int_equal(symlink("or", round), 0);
	assert_int_equal(symlink(geteuid() ? "/etc/passwd" : "o", theirs), 0);
	opens_linked(file, 0);
	opens_linked(link, 0);
	opens_linked(again, 0);
	opens_linked(folder, EINVAL);
	opens_linked(nowhere, ENOENT);
	opens_linked(round, ELOOP);
	if (geteuid() == 0)
		assert_int_equal(chown(file, 12345, (gid_t)-1), 0);
	opens_linked(theirs, EPERM);
	opens_linked(file, 0);
}

static void test_relay_index_is_found_by_name_or_content(void **state)
{
	const char *dir = *state;
	AUTO(free)
	char *current = xasprintf("%s/relay.000001", dir), *want = xasprintf("%s/other.index", dir),
	     *usual = xasprintf("%s/relay.index", dir);
	struct relay r;
	struct err e = { 0 };

	put(dir, "relay.000001", "");
	put(dir, "relay.000002", "");
	assert_true(relay_open(current, &r, &e));
	assert_true(str_ends(r.last, "/relay.000002"));
	assert_string_equal(r.prefix, "relay");
	assert_int_equal(r.uid, geteuid());
	assert_null(relay_find_index(&r, &e));
	assert_int_equal(e.kind, ERR_PRECOND);

	put(dir, "a.index", "./norelay.000002\n./relay.0000021\n");
	put(dir, "other.index", "./relay.000001\n./relay.000002\n");
	{
		AUTO(free) char *index = relay_find_index(&r, &e);

		assert_non_null(index);
		assert_string_equal(index, want);
	}
	put(dir, "relay.index", "");
	{
		AUTO(free) char *index = relay_find_index(&r, &e);

		assert_non_null(index);
		assert_string_equal(index, usual);
	}
	relay_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_managers_test_line_of_save_binary_logs),
		cmocka_unit_test(test_password_is_gone_from_the_command_line),
		cmocka_unit_test(test_each_program_has_its_own_options),
		cmocka_unit_test(test_managers_from_0_54_on),
		cmocka_unit_test(test_relay_log_info),
		cmocka_unit_test(test_log_names),
		cmocka_unit_test_setup_teardown(test_last_log_by_number, new_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_can_write_leaves_nothing, new_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
		        test_open_file_takes_files_only, new_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
		        test_open_linked_stays_with_the_folders_owner, new_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
		        test_relay_index_is_found_by_name_or_content, new_dir, remove_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
