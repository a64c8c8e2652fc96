/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of flap: when a failover may follow another, and what lifts a block.
 */
#include "flap.h"
#include "str.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[64], state_dir[96], complete[128], failed[128], acks[160];
static struct flap_at at = { .workdir = dir, .app = "app1", .state_dir = state_dir };
static struct err err;
static struct flap flap;

#define MIN_MS (INT64_C(60) * 1000)

static int start(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/mhad-test-flap-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(state_dir, sizeof(state_dir), "%s/state", dir);
	snprintf(complete, sizeof(complete), "%s/app1.failover.complete", dir);
	snprintf(failed, sizeof(failed), "%s/app1.failover.error", dir);
	snprintf(acks, sizeof(acks), "%s/app1/acks", state_dir);
	at.state_dir = state_dir;
	memset(&err, 0, sizeof(err));
	return mkdir(state_dir, 0755);
}

static int stop(void **state)
{
	AUTO(free) char *command = xasprintf("rm -rf %s", dir);

	(void)state;
	return system(command);
}

static bool check(void)
{
	return flap_check(&at, FLAP_WINDOW_MS, flap_now_ms(), &flap);
}

/* As if done so long ago; below 0: in the future. */
static void age(const char *file, int minutes)
{
	struct timespec t = { .tv_sec = time(NULL) - minutes * 60 };
	struct timespec both[2] = { t, t };

	assert_int_equal(utimensat(AT_FDCWD, file, both, 0), 0);
}

static void test_nothing_happened(void **state)
{
	(void)state;
	assert_true(check());
	assert_int_equal(flap.why, FLAP_FREE);
	assert_string_equal(flap.text, "");
	at.state_dir = NULL;
	assert_true(check());
	assert_true(flap_forget(&at, &err));
}

static void test_soon_after_a_failover(void **state)
{
	AUTO(free)
	char *want = xasprintf(
	        "last failover of app1 was 12 min ago (file %s, window 480 min)", complete);
	struct stat st;

	(void)state;
	assert_true(flap_mark_complete(&at, &err));
	assert_int_equal(stat(complete, &st), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	age(complete, 12);
	assert_false(check());
	assert_int_equal(flap.why, FLAP_RECENT);
	assert_string_equal(flap.text, want);
	assert_non_null(strstr(flap.hint, "mhactl ack app1 --reason="));
	assert_non_null(strstr(flap.hint, "--ignore_last_failover"));
	assert_int_equal(strncmp(flap.mha, "Last failover was done at 20", 28), 0);
	assert_in_range(flap.age_ms, 12 * MIN_MS - 1000, 13 * MIN_MS);
	assert_in_range(flap.left_ms, 467 * MIN_MS, 468 * MIN_MS + 1000);
	age(complete, 479);
	assert_false(check());
	age(complete, 481);
	assert_true(check());
	assert_int_equal(flap.why, FLAP_FREE);
	assert_true(flap_mark_complete(&at, &err)); /* the next one counts anew */
	assert_false(check());
}

static void test_other_windows(void **state)
{
	(void)state;
	assert_true(flap_mark_complete(&at, &err));
	age(complete, 2);
	assert_true(flap_check(&at, 0, flap_now_ms(), &flap));
	assert_true(flap_check(&at, MIN_MS, flap_now_ms(), &flap));
	assert_false(flap_check(&at, 3 * MIN_MS, flap_now_ms(), &flap));
	assert_true(flap_check(&at, 3 * MIN_MS, flap_now_ms() + 2 * MIN_MS, &flap));
}

static void test_after_a_failed_one(void **state)
{
	(void)state;
	assert_true(flap_mark_error(&at, &err));
	age(failed, 100000); /* however long ago, whatever the window */
	assert_false(flap_check(&at, 0, flap_now_ms(), &flap));
	assert_int_equal(flap.why, FLAP_ERROR);
	assert_non_null(strstr(flap.text, failed));
	assert_int_equal(strncmp(flap.mha, "Failover error flag file", 24), 0);
	assert_int_equal(unlink(failed), 0); /* by hand, as with MHA */
	assert_true(check());
}

static void test_ignore_last_failover(void **state)
{
	(void)state;
	assert_true(flap_mark_complete(&at, &err));
	assert_true(flap_mark_error(&at, &err));
	assert_true(flap_forget(&at, &err));
	assert_int_equal(access(complete, F_OK), -1);
	assert_int_equal(access(failed, F_OK), -1);
	assert_true(check());
	assert_int_equal(flap.why, FLAP_FREE);
}

static void test_a_clock_that_was_changed(void **state)
{
	(void)state;
	assert_true(flap_mark_complete(&at, &err));
	age(complete, -60);
	assert_false(check());
	assert_int_equal(flap.why, FLAP_RECENT);
	assert_true(flap.age_ms < 0);
	assert_non_null(strstr(flap.text, " min in the future (file"));
	assert_non_null(strstr(flap.text, "clock changed"));
	assert_true(flap_check(&at, 0, flap_now_ms(), &flap));
	assert_true(flap_ack(&at, "clock", "root", NULL, &err)); /* works for such a time too */
	assert_true(check());
	assert_true(flap_mark_complete(&at, &err)); /* later, yet of an earlier time */
	assert_false(check());
}

static void test_an_ack_lifts_and_is_kept(void **state)
{
	char line[1000] = "";
	bool lifted;

	(void)state;
	assert_true(flap_ack(&at, "nothing yet", "root", &lifted, &err));
	assert_false(lifted);
	assert_int_equal(access(acks, F_OK), -1);
	assert_true(flap_mark_complete(&at, &err));
	assert_true(flap_mark_error(&at, &err));
	assert_false(check());
	assert_true(flap_ack(&at, "disk \"sda\"\nreplaced", "anna (uid 1000)", &lifted, &err));
	assert_true(lifted);
	assert_true(check());
	assert_int_equal(flap.why, FLAP_ACKED);
	assert_non_null(strstr(flap.text, "was lifted by anna (uid 1000): disk"));
	assert_int_equal(access(complete, F_OK), 0); /* for MHA's tools */
	assert_int_equal(access(failed, F_OK), 0);
	assert_true(flap_ack(&at, "again", "anna", &lifted, &err));
	assert_false(lifted);
	AUTO_FD int fd = open(acks, O_RDONLY);
	assert_true(read(fd, line, sizeof(line) - 1) > 0);
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1); /* one line */
	assert_non_null(strstr(line, "disk \\\"sda\\\"\\nreplaced"));
	assert_non_null(strstr(line, "\"by\":\"anna (uid 1000)\""));
	assert_non_null(strstr(line, "\"at\":\"20"));
}

static void test_what_comes_after_an_ack_blocks(void **state)
{
	bool lifted;

	(void)state;
	assert_true(flap_mark_error(&at, &err));
	assert_true(flap_ack(&at, "looked", "root", NULL, &err));
	assert_true(check());
	assert_true(flap_mark_complete(&at, &err));
	assert_false(check());
	assert_int_equal(flap.why, FLAP_RECENT); /* not the failed one, which was acked */
	assert_true(flap.age_ms < MIN_MS);
	assert_true(flap_ack(&at, "fine", "root", &lifted, &err));
	assert_true(lifted);
	assert_true(check());
	assert_true(flap_mark_error(&at, &err));
	assert_false(check());
	assert_int_equal(flap.why, FLAP_ERROR);
}

static void test_acks_need_a_reason_and_a_place(void **state)
{
	(void)state;
	assert_true(flap_mark_error(&at, &err));
	assert_false(flap_ack(&at, " ", "root", NULL, &err));
	assert_int_equal(err.kind, ERR_CONFIG);
	assert_false(flap_ack(&at, NULL, "root", NULL, &err));
	assert_false(flap_ack(&at, "broken \xff text", "root", NULL, &err));
	assert_int_equal(err.kind, ERR_PARSE);
	assert_int_equal(rmdir(state_dir), 0);
	assert_false(flap_ack(&at, "why not", "root", NULL, &err));
	assert_int_equal(err.kind, ERR_SYSTEM);
	at.state_dir = NULL;
	assert_false(flap_ack(&at, "why not", "root", NULL, &err));
	assert_int_equal(err.kind, ERR_PRECOND);
	assert_false(check());
}

static void put(const char *file, const char *text)
{
	AUTO_FD int fd = open(file, O_WRONLY | O_CREAT | O_APPEND, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void test_torn_and_foreign_lines(void **state)
{
	AUTO(free) char *cluster = xasprintf("%s/app1", state_dir);

	(void)state;
	assert_true(flap_mark_error(&at, &err));
	assert_int_equal(mkdir(cluster, 0755), 0);
	put(acks, "{}\n[1]\nnonsense\n{\"error_ns\":\"x\"}\n{\"error_ns\":1}\n{\"at\":\"2026-11");
	assert_false(check());
	assert_true(flap_ack(&at, "looked", "root", NULL, &err));
	assert_true(check());
	put(acks, "{\"torn");
	assert_true(check());
}

static void test_old_acks_are_found_again(void **state)
{
	(void)state;
	assert_true(flap_mark_error(&at, &err));
	for (int i = 0; i < 3000; i++) { /* a file longer than what is read of it */
		static char line[] = "{\"error_ns\":1,\"text\":\"long ago\"}\n";

		if (i == 0) {
			AUTO(free) char *cluster = xasprintf("%s/app1", state_dir);
			assert_int_equal(mkdir(cluster, 0755), 0);
		}
		put(acks, line);
	}
	assert_false(check());
	assert_true(flap_ack(&at, "looked", "root", NULL, &err));
	assert_true(check());
}

static void test_what_cannot_be_looked_at_blocks(void **state)
{
	AUTO(free) char *loop = xasprintf("%s/loop", dir);

	(void)state;
	assert_int_equal(symlink(loop, loop), 0);
	at.workdir = loop;
	assert_false(check());
	assert_int_equal(flap.why, FLAP_UNKNOWN);
	assert_non_null(strstr(flap.text, loop));
	assert_false(flap_mark_error(&at, &err));
	at.workdir = dir;
}

static void test_acks_that_cannot_be_read_do_not_lift(void **state)
{
	(void)state;
	assert_true(flap_mark_error(&at, &err));
	assert_true(flap_ack(&at, "looked", "root", NULL, &err));
	assert_true(check());
	assert_int_equal(unlink(acks), 0);
	assert_int_equal(symlink("elsewhere", acks), 0);
	assert_false(check());
	assert_non_null(strstr(flap.text, "acks cannot be read"));
}

static void test_marks_are_no_way_to_write_elsewhere(void **state)
{
	AUTO(free) char *target = xasprintf("%s/precious", dir);
	struct stat st;

	(void)state;
	put(target, "precious");
	age(target, 1000);
	assert_int_equal(symlink(target, complete), 0);
	assert_int_equal(link(target, failed), 0);
	assert_true(flap_mark_complete(&at, &err));
	assert_true(flap_mark_error(&at, &err));
	assert_int_equal(lstat(complete, &st), 0);
	assert_true(S_ISREG(st.st_mode) && st.st_size == 0);
	assert_int_equal(stat(target, &st), 0);
	assert_int_equal(st.st_size, 8);
	assert_true(time(NULL) - st.st_mtim.tv_sec > 900 * 60);
	assert_int_equal(st.st_nlink, 1);
	assert_false(check());
}

static void test_marks_over_strangers_files(void **state)
{
	struct stat st;

	(void)state;
	if (geteuid())
		skip();
	assert_int_equal(chmod(dir, 01777), 0);
	put(complete, "");
	assert_int_equal(chown(complete, 12345, 12345), 0);
	age(complete, 1000);
	assert_true(flap_mark_complete(&at, &err));
	assert_int_equal(stat(complete, &st), 0);
	assert_int_equal(st.st_uid, 0);
	assert_false(check());
}

/* Acked by root, to be read by the daemon's own user. */
static void test_acks_belong_to_the_state_directory(void **state)
{
	struct stat st;

	(void)state;
	if (geteuid())
		skip();
	assert_int_equal(chown(state_dir, 12345, 12346), 0);
	assert_true(flap_mark_error(&at, &err));
	assert_true(flap_ack(&at, "looked", "root", NULL, &err));
	assert_int_equal(stat(acks, &st), 0);
	assert_int_equal(st.st_uid, 12345);
	assert_int_equal(st.st_gid, 12346);
	assert_int_equal(st.st_mode & 0777, 0640);
	snprintf(acks, sizeof(acks), "%s/app1", state_dir);
	assert_int_equal(stat(acks, &st), 0);
	assert_int_equal(st.st_uid, 12345);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
		T(test_nothing_happened),
		T(test_soon_after_a_failover),
		T(test_other_windows),
		T(test_after_a_failed_one),
		T(test_ignore_last_failover),
		T(test_a_clock_that_was_changed),
		T(test_an_ack_lifts_and_is_kept),
		T(test_what_comes_after_an_ack_blocks),
		T(test_acks_need_a_reason_and_a_place),
		T(test_torn_and_foreign_lines),
		T(test_old_acks_are_found_again),
		T(test_what_cannot_be_looked_at_blocks),
		T(test_acks_that_cannot_be_read_do_not_lift),
		T(test_marks_are_no_way_to_write_elsewhere),
		T(test_marks_over_strangers_files),
		T(test_acks_belong_to_the_state_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
