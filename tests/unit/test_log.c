/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_log - the shape of lines, where they go (file, rotated file, stderr), and that lines of many
 * threads stay whole.  stderr is a file of the test's own folder while a test runs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "log.h"
#include "str.h"

#define STAMP                                                                                      \
	"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "         \
	"[ 0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-6][0-9] 20[0-9][0-9] - "

static char dir[64], log_path[128], old_path[128], err_path[128];
static int real_stderr;

static int begin(void **state)
{
	int fd;

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/test_log.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(log_path, sizeof(log_path), "%s/log", dir);
	snprintf(old_path, sizeof(old_path), "%s/old", dir);
	snprintf(err_path, sizeof(err_path), "%s/stderr", dir);
	real_stderr = dup(STDERR_FILENO);
	fd = open(err_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	dup2(fd, STDERR_FILENO);
	close(fd);
	return 0;
}

static int end(void **state)
{
	(void)state;
	unsetenv("JOURNAL_STREAM");
	log_open_journal();
	log_set_level(LOG_LV_INFO);
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	unlink(log_path);
	unlink(old_path);
	unlink(err_path);
	return !log_open_file(NULL, NULL) || rmdir(dir);
}

static char *slurp(const char *path)
{
	struct str s = STR_INIT;
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	char buf[4096];
	ssize_t n;

	while (fd >= 0 && (n = read(fd, buf, sizeof(buf))) > 0)
		str_addn(&s, buf, (size_t)n);
	return str_take(&s);
}

/* The whole file matches, from its first to its last byte. */
static void expect_file(const char *path, const char *pattern)
{
	AUTO(free) char *text = slurp(path), *whole = xasprintf("^%s$", pattern);
	regmatch_t m;
	regex_t re;

	assert_int_equal(regcomp(&re, whole, REG_EXTENDED), 0);
	if (regexec(&re, text, 1, &m, 0) || m.rm_eo != (regoff_t)strlen(text))
		fail_msg("%s: wanted /%s/, has: %s", path, whole, text);
	regfree(&re);
}

static void to_file(void)
{
	struct err e = { 0 };

	if (!log_open_file(log_path, &e))
		fail_msg("%s", e.text);
}

static void shape(void **state)
{
	(void)state;
	to_file();
	log_set_level(LOG_LV_DEBUG);
	log_debug("d %d", 1);
	log_info("* Phase 3.1: Getting Latest Slaves Phase..");
	log_notice("n");
	log_warning("w");
	log_error("%s", "e 100%");
	expect_file(log_path,
	        STAMP "\\[debug\\] d 1\n" STAMP
	              "\\[info\\] \\* Phase 3\\.1: Getting Latest Slaves Phase\\.\\.\n" STAMP
	              "\\[notice\\] n\n" STAMP "\\[warning\\] w\n" STAMP "\\[error\\] e 100%\n");
	expect_file(err_path, "");
}

static void threshold(void **state)
{
	(void)state;
	to_file();
	log_info("yes");
	log_debug("no");
	assert_int_equal(log_get_level(), LOG_LV_INFO);
	log_set_level(LOG_LV_ERROR);
	assert_int_equal(log_get_level(), LOG_LV_ERROR);
	log_warning("no");
	log_error("yes");
	expect_file(log_path, STAMP "\\[info\\] yes\n" STAMP "\\[error\\] yes\n");
}

static void level_names(void **state)
{
	static const struct {
		const char *name;
		enum log_level level;
	} good[] = { { "debug", LOG_LV_DEBUG }, { "INFO", LOG_LV_INFO },
		{ "notice", LOG_LV_NOTICE }, { "warning", LOG_LV_WARNING },
		{ "warn", LOG_LV_WARNING }, { "Error", LOG_LV_ERROR }, { "err", LOG_LV_ERROR },
		{ "critical", LOG_LV_ERROR }, { "emergency", LOG_LV_ERROR } };
	static const char *const bad[] = { "", "inf", "infos", " info", "trace", "3" };
	enum log_level got = LOG_LV_NOTICE;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(log_level_parse(bad[i], &got));
	assert_int_equal(got, LOG_LV_NOTICE);
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(log_level_parse(good[i].name, &got));
		assert_int_equal(got, good[i].level);
	}
	for (int i = LOG_LV_DEBUG; i <= LOG_LV_ERROR; i++) {
		assert_true(log_level_parse(log_level_name((enum log_level)i), &got));
		assert_int_equal(got, i);
	}
}

static void long_line(void **state)
{
	AUTO(free) char *text = xzalloc(200001);

	(void)state;
	memset(text, 'x', 200000);
	to_file();
	log_info("%s", text);
	log_info("%s", "");
	expect_file(log_path, STAMP "\\[info\\] x+\n" STAMP "\\[info\\] \n");
}

static void rotated(void **state)
{
	(void)state;
	to_file();
	log_info("one");
	assert_int_equal(rename(log_path, old_path), 0);
	log_info("two");
	log_info("three");
	expect_file(old_path, STAMP "\\[info\\] one\n");
	expect_file(log_path, STAMP "\\[info\\] two\n" STAMP "\\[info\\] three\n");
	assert_int_equal(truncate(log_path, 0), 0);
	log_info("four");
	expect_file(log_path, STAMP "\\[info\\] four\n");
}

static void to_stderr_and_back(void **state)
{
	(void)state;
	log_info("one");
	to_file();
	log_info("two");
	assert_true(log_open_file(NULL, NULL));
	log_info("three");
	expect_file(err_path, STAMP "\\[info\\] one\n" STAMP "\\[info\\] three\n");
	expect_file(log_path, STAMP "\\[info\\] two\n");
}

/* An error says so once, nothing is lost, and the file is used again as soon as it can be. */
static void unwritable(void **state)
{
	(void)state;
	to_file();
	log_info("one");
	assert_int_equal(rename(log_path, old_path), 0);
	assert_int_equal(mkdir(log_path, 0700), 0);
	log_info("two");
	log_info("three");
	assert_int_equal(rmdir(log_path), 0);
	log_info("four");
	assert_int_equal(unlink(log_path), 0);
	assert_int_equal(mkdir(log_path, 0700), 0);
	log_info("five");
	assert_int_equal(rmdir(log_path), 0);
	expect_file(err_path,
	        "cannot write log file [^\n]*/log: Is a directory[^\n]*\n" STAMP
	        "\\[info\\] two\n" STAMP "\\[info\\] three\ncannot write log file [^\n]*\n" STAMP
	        "\\[info\\] five\n");
}

static void cannot_open(void **state)
{
	AUTO(free) char *nowhere = xasprintf("%s/no/log", dir);
	struct err e = { 0 };

	(void)state;
	to_file();
	assert_false(log_open_file(nowhere, &e));
	assert_int_equal(e.kind, ERR_SYSTEM);
	assert_int_equal(e.code, ENOENT);
	assert_non_null(strstr(e.text, nowhere));
	log_info("stays");
	expect_file(log_path, STAMP "\\[info\\] stays\n");
}

static void file_mode(void **state)
{
	struct stat st;
	int fd;

	(void)state;
	to_file();
	assert_int_equal(stat(log_path, &st), 0);
	assert_int_equal(st.st_mode & 0133, 0);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	log_info("x");
	assert_int_equal(
	        open("/dev/null", O_RDONLY | O_CLOEXEC), fd + 1); /* the log left nothing open */
	close(fd);
	close(fd + 1);
}

static void errors(void **state)
{
	struct err e = { 0 };

	(void)state;
	to_file();
	err_set(&e, ERR_SQL, 1, "stop: no");
	log_err(LOG_LV_WARNING, &e);
	err_at(&e, "db1");
	err_hint(&e, "do it");
	log_err(LOG_LV_ERROR, &e);
	expect_file(log_path,
	        STAMP "\\[warning\\] stop: no\n" STAMP "\\[error\\] db1: stop: no  Hint: do it\n");
}

static void raw_bytes(void **state)
{
	(void)state;
	to_file();
	log_raw("", 0);
	log_raw("half a li", 9);
	log_raw("ne\n\nand more\nx", 5);
	expect_file(log_path, "half a line\n\na");
}

static void fields(void **state)
{
	struct log_ctx mine = { .cluster = "shop", .phase = "3.1" }, old = log_set_ctx(mine), back;

	(void)state;
	assert_null(old.cluster);
	log_info("to stderr, unchanged by fields");
	back = log_set_ctx(old);
	assert_string_equal(back.cluster, "shop");
	assert_string_equal(back.phase, "3.1");
	assert_null(back.host);
	assert_null(log_set_ctx(old).cluster);
	expect_file(err_path, STAMP "\\[info\\] to stderr, unchanged by fields\n");
}

/* Only the very stream that JOURNAL_STREAM names is the journal. */
static void no_journal(void **state)
{
	static const char *const other[] = { "", "x", "1", "1:", ":1", "0:0", "1:2" };
	struct stat st;
	char text[64];

	(void)state;
	unsetenv("JOURNAL_STREAM");
	assert_false(log_open_journal());
	for (size_t i = 0; i < ARRAY_LEN(other); i++) {
		setenv("JOURNAL_STREAM", other[i], 1);
		assert_false(log_open_journal());
	}
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)st.st_dev,
	        (unsigned long long)st.st_ino + 1);
	setenv("JOURNAL_STREAM", text, 1);
	assert_false(log_open_journal());
	log_info("plain");
	snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)st.st_dev,
	        (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", text, 1);
	assert_true(log_open_journal());
	to_file();
	log_info("file wins");
	expect_file(err_path, STAMP "\\[info\\] plain\n");
	expect_file(log_path, STAMP "\\[info\\] file wins\n");
}

enum { THREADS = 8, LINES = 300 };

static void *chatter(void *arg)
{
	const char *name = arg;
	struct log_ctx ctx = { .host = name };

	for (int i = 0; i < LINES; i++) {
		log_set_ctx(ctx);
		log_info("%s %d %s.", name, i, name);
		if (i % 50 == 0)
			log_set_level(i % 100 ? LOG_LV_INFO : LOG_LV_DEBUG);
	}
	return NULL;
}

/* Lines of eight threads, while the file is moved away and the destination is set anew. */
static void threads(void **state)
{
	static char names[THREADS][3] = { "aa", "bb", "cc", "dd", "ee", "ff", "gg", "hh" };
	AUTO(free) char *one = NULL, *two = NULL, *all = NULL;
	pthread_t thread[THREADS];
	int next[THREADS] = { 0 }, lines = 0;

	(void)state;
	to_file();
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, chatter, names[i]), 0);
	rename(log_path, old_path);
	for (int i = 0; i < 100; i++)
		to_file();
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	one = slurp(old_path);
	two = slurp(log_path);
	all = xasprintf("%s%s", one, two);
	for (char *rest = all, *line; (line = strsep(&rest, "\n")) && rest; lines++) {
		char a[3], b[4];
		int n, len = 0;

		assert_int_equal(
		        sscanf(line, "%*s %*s %*s %*s %*s - [info] %2s %d %3s%n", a, &n, b, &len),
		        3);
		assert_int_equal(line[len], '\0');
		assert_memory_equal(a, b, 2);
		assert_int_equal(b[2], '.');
		assert_int_equal(n, next[a[0] - 'a']++);
	}
	assert_int_equal(lines, THREADS * LINES);
	expect_file(err_path, "");
}

static void nothing_to_do(int sig)
{
	(void)sig;
}

static void *one_line(void *arg)
{
	(void)arg;
	log_info("whole");
	return NULL;
}

static void drain(int fd, struct str *ret)
{
	char buf[4096];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		str_addn(ret, buf, (size_t)n);
}

/* A signal while stderr is a full pipe must not cost the line. */
static void interrupted(void **state)
{
	struct sigaction act = { .sa_handler = nothing_to_do }, old;
	struct timespec nap = { 0, 2 * 1000 * 1000 };
	AUTO_STR struct str got = STR_INIT;
	char buf[4096];
	int fds[2];
	pthread_t thread;

	(void)state;
	memset(buf, '.', sizeof(buf));
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	while (write(fds[1], buf, sizeof(buf)) > 0)
		;
	assert_int_equal(fcntl(fds[1], F_SETFL, 0), 0);
	assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
	sigaction(SIGUSR1, &act, &old);
	assert_int_equal(pthread_create(&thread, NULL, one_line, NULL), 0);
	for (int i = 0; i < 25; i++) {
		nanosleep(&nap, NULL);
		pthread_kill(thread, SIGUSR1);
	}
	drain(fds[0], &got);
	pthread_join(thread, NULL);
	drain(fds[0], &got);
	sigaction(SIGUSR1, &old, NULL);
	close(fds[0]);
	close(fds[1]);
	assert_true(str_ends(got.p, "[info] whole\n"));
}

#define LOG_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOG_TEST(shape),
		LOG_TEST(threshold),
		LOG_TEST(level_names),
		LOG_TEST(long_line),
		LOG_TEST(rotated),
		LOG_TEST(to_stderr_and_back),
		LOG_TEST(unwritable),
		LOG_TEST(cannot_open),
		LOG_TEST(file_mode),
		LOG_TEST(errors),
		LOG_TEST(raw_bytes),
		LOG_TEST(fields),
		LOG_TEST(no_journal),
		LOG_TEST(threads),
		LOG_TEST(interrupted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
