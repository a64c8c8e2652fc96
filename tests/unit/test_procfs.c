/* SPDX-License-Identifier: BSD-2-Clause */
/* procfs: the texts of /proc, tame and wild. */
#include "procfs.h"
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static void stat_line(void **state)
{
	struct procfs_stat s;

	(void)state;
	assert_true(procfs_stat_parse(
	        "1234 (mysqld) S 1 1234 1234 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 37 0 "
	        "987654321 55 66\n",
	        &s));
	assert_string_equal(s.comm, "mysqld");
	assert_int_equal(s.state, 'S');
	assert_int_equal(s.parent, 1);
	assert_int_equal(s.threads, 37);
	assert_int_equal(s.start_ticks, 987654321);
}

static void stat_of_a_name_that_plays_tricks(void **state)
{
	struct procfs_stat s;

	(void)state;
	assert_true(procfs_stat_parse(
	        "7 (a) Z 1 (b c) D 2 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 3 0 42 0", &s));
	assert_string_equal(s.comm, "a) Z 1 (b c");
	assert_int_equal(s.state, 'D');
	assert_int_equal(s.start_ticks, 42);
}

static void stat_broken(void **state)
{
	static const char *const texts[] = { "", "7", "7 (x", "7 x) S 1", ")(", "7 (x) S 1 2 3" };
	struct procfs_stat s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_false(procfs_stat_parse(texts[i], &s));
}

static void listeners(void **state)
{
	struct procfs_socket s;

	(void)state;
	assert_true(procfs_socket_parse(
	        "   0: 0100007F:0CEA 00000000:0000 0A 00000000:00000011 00:00000000 "
	        "00000000  3306        0 37041 1 0000 100 0 0 10 0\n",
	        false, &s));
	assert_string_equal(s.address, "127.0.0.1");
	assert_int_equal(s.port, 3306);
	assert_int_equal(s.inode, 37041);
	assert_int_equal(s.queue, 17);
	assert_true(procfs_socket_parse(
	        "   1: 00000000000000000000000001000000:0CEB "
	        "00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 "
	        "00000000     0        0 99 1 0000\n",
	        true, &s));
	assert_string_equal(s.address, "::1");
	assert_int_equal(s.port, 3307);
}

static void no_listeners(void **state)
{
	static const char *const lines[] = {
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid "
		" timeout inode",
		"   0: 0100007F:0CEA 0100007F:1234 01 00000000:00000000 00:00000000 00000000 0 0 5 "
		"1 0", /* connected */
		"   0: 0100007F:0CEA",
		"",
		"   0: 01:0CEA 0:0 0A 0:0 0:0 0 0 0 5",
	};
	struct procfs_socket s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		assert_false(procfs_socket_parse(lines[i], false, &s));
}

static void words(void **state)
{
	static const char bytes[] = "mysqld\0--port=3306\0\0last";
	char *copy = xmalloc(sizeof(bytes));
	struct procfs_words w;

	(void)state;
	memcpy(copy, bytes, sizeof(bytes));
	procfs_words_init(&w, copy, sizeof(bytes) - 1);
	assert_int_equal(w.count, 4);
	assert_string_equal(w.words[1], "--port=3306");
	assert_string_equal(w.words[2], "");
	assert_string_equal(w.words[3], "last");
	assert_null(w.words[4]);
	procfs_words_done(&w);
}

static void of_ourselves(void **state)
{
	struct procfs_stat s;
	struct procfs_words w;
	int seen;

	(void)state;
	assert_true(procfs_stat(PROCFS, getpid(), &s));
	assert_int_equal(s.parent, getppid());
	assert_int_equal(s.state, 'R');
	assert_true(procfs_words(PROCFS, getpid(), &w));
	assert_non_null(strstr(w.words[0], "test_procfs"));
	procfs_words_done(&w);
	assert_int_equal(procfs_stuck_threads(PROCFS, getpid(), 100, &seen), 0);
	assert_true(seen >= 1);
	assert_false(procfs_stat("/nonexistent", 1, &s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stat_line),
		cmocka_unit_test(stat_of_a_name_that_plays_tricks),
		cmocka_unit_test(stat_broken),
		cmocka_unit_test(listeners),
		cmocka_unit_test(no_listeners),
		cmocka_unit_test(words),
		cmocka_unit_test(of_ourselves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
