/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_mem - allocation, scoped cleanup, wiping.  Wiping is seen by standing in for libc's
 * explicit_bzero(), since freed memory cannot be looked at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "mem.h"

static size_t wiped;

void explicit_bzero(void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((volatile char *)p)[i] = 0;
	wiped += n;
}

/* The name by which fortified programs call it. */
void __explicit_bzero_chk(void *p, size_t n, size_t room);
void __explicit_bzero_chk(void *p, size_t n, size_t room)
{
	assert_true(n <= room);
	explicit_bzero(p, n);
}

static void allocates(void **state)
{
	AUTO(free) char *none = xmalloc(0), *zero = xzalloc(1000), *grown = xrealloc(NULL, 10);

	(void)state;
	assert_non_null(none);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(zero[i], 0);
	memcpy(grown, "123456789", 10);
	grown = xrealloc(grown, 100000);
	assert_string_equal(grown, "123456789");
	grown = xrealloc(grown, 0);
	assert_non_null(grown);
}

static void copies(void **state)
{
	AUTO(free) char *a = xstrdup("text"), *b = xstrdup(NULL), *c = xstrndup("text", 2);
	AUTO(free)
	char *d = xstrndup("text", 100), *e = xasprintf("%d-%s", 7, "x"), *f = xasprintf("%s", "");

	(void)state;
	assert_string_equal(a, "text");
	assert_null(b);
	assert_string_equal(c, "te");
	assert_string_equal(d, "text");
	assert_string_equal(e, "7-x");
	assert_string_equal(f, "");
}

static void wipes(void **state)
{
	char secret[] = "secret";

	(void)state;
	wiped = 0;
	mem_wipe(secret, sizeof(secret));
	assert_memory_equal(secret, "\0\0\0\0\0\0", 7);
	assert_int_equal(wiped, 7);
	mem_free_secret(NULL);
	mem_free_secret(xstrdup(""));
	assert_int_equal(wiped, 7);
	mem_free_secret(xstrdup("password"));
	assert_int_equal(wiped, 15);
}

static int freed;

static void count_free(int *p)
{
	freed += *p;
}
CLEANUP_FN(counted, int *, count_free)

static int *scoped(int *value, bool keep)
{
	AUTO(counted) int *p = value;
	AUTO(counted) int *none = NULL;

	(void)none;
	if (keep)
		return TAKE(p);
	return NULL;
}

static void scopes(void **state)
{
	int value = 3;

	(void)state;
	assert_null(scoped(&value, false));
	assert_int_equal(freed, 3);
	assert_ptr_equal(scoped(&value, true), &value);
	assert_int_equal(freed, 3);
}

static void closes(void **state)
{
	int seen;

	(void)state;
	errno = EXDEV;
	{
		AUTO_FD int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		AUTO_FD int none = -1;

		assert_true(fd >= 0);
		(void)none;
		seen = fd;
		errno = EXDEV;
	}
	assert_int_equal(errno, EXDEV);
	assert_int_equal(fcntl(seen, F_GETFD), -1);
}

static void gives_up_without_memory(void **state)
{
	volatile size_t much = SIZE_MAX / 4;
	char said[4096] = "";
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(fds[1], STDERR_FILENO);
		xmalloc(much);
		_exit(0);
	}
	close(fds[1]);
	n = read(fds[0], said, sizeof(said) - 1);
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(n > 0 && strlen(said) > 0);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	assert_string_equal(said, "out of memory, giving up\n");
	assert_int_equal(WTERMSIG(status), SIGABRT);
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allocates),
		cmocka_unit_test(copies),
		cmocka_unit_test(wipes),
		cmocka_unit_test(scopes),
		cmocka_unit_test(closes),
		cmocka_unit_test(gives_up_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
