/* SPDX-License-Identifier: BSD-2-Clause */
/* fdguard: sockets are shut down when they should be, and only then. */
#include "fdguard.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "clock.h"

static void make_pair(int fd[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
}

static struct fdguard *guard(int fd)
{
	struct err e = { 0 };
	struct fdguard *g = fdguard_new(fd, &e);

	assert_non_null(g);
	return g;
}

static void test_ends_a_blocking_read(void **state)
{
	int fd[2];
	char c;
	int64_t from = clock_ms();
	struct fdguard *g;

	(void)state;
	make_pair(fd);
	g = guard(fd[0]);
	fdguard_arm(g, clock_in(100));
	assert_int_equal(read(fd[0], &c, 1), 0);
	assert_in_range(clock_ms() - from, 99, 2000);
	assert_true(fdguard_disarm(g));
	fdguard_free(g);
	close(fd[0]);
	close(fd[1]);
}

static void test_disarmed_and_moved(void **state)
{
	int fd[2];
	char c = 'x';
	struct fdguard *g;

	(void)state;
	make_pair(fd);
	g = guard(fd[0]);
	fdguard_arm(g, clock_in(30));
	fdguard_arm(g, clock_in(5000));
	usleep(60000);
	fdguard_arm(g, CLOCK_NEVER);
	assert_false(fdguard_disarm(g));
	fdguard_arm(g, clock_in(20));
	assert_false(fdguard_disarm(g));
	usleep(50000);
	assert_int_equal(write(fd[1], &c, 1), 1);
	assert_int_equal(read(fd[0], &c, 1), 1);
	fdguard_free(g);
	assert_int_equal(write(fd[1], &c, 1), 1);
	close(fd[0]);
	close(fd[1]);
}

static void test_cut_and_past(void **state)
{
	int fd[2], other[2];
	char c;
	struct fdguard *g, *h;

	(void)state;
	make_pair(fd);
	make_pair(other);
	g = guard(fd[0]);
	h = guard(other[0]);
	fdguard_cut(g);
	assert_int_equal(read(fd[0], &c, 1), 0);
	assert_true(fdguard_disarm(g));
	fdguard_arm(h, clock_ms() - 1);
	assert_int_equal(read(other[0], &c, 1), 0);
	assert_true(fdguard_disarm(h));
	fdguard_free(g);
	fdguard_free(h);
	for (int i = 0; i < 2; i++) {
		close(fd[i]);
		close(other[i]);
	}
}

/* The library may have closed its descriptor, and somebody else got the number. */
static void test_reused_number(void **state)
{
	int fd[2], other[2];
	char c = 'x';
	struct fdguard *g;

	(void)state;
	make_pair(fd);
	g = guard(fd[0]);
	close(fd[0]);
	make_pair(other);
	assert_int_equal(other[0], fd[0]);
	fdguard_cut(g);
	assert_int_equal(write(other[1], &c, 1), 1);
	assert_int_equal(read(other[0], &c, 1), 1);
	fdguard_free(g);
	close(fd[1]);
	close(other[0]);
	close(other[1]);
}

static void *reader(void *arg)
{
	int64_t wait = *(int64_t *)arg, from = clock_ms();
	int fd[2];
	char c;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0) {
		struct fdguard *g = fdguard_new(fd[0], NULL);

		fdguard_arm(g, clock_in(wait));
		if (read(fd[0], &c, 1) == 0)
			*(int64_t *)arg = clock_ms() - from - wait;
		fdguard_free(g);
		close(fd[0]);
		close(fd[1]);
	}
	return NULL;
}

static void test_many_at_once(void **state)
{
	enum { N = 16 };
	pthread_t t[N];
	int64_t late[N];

	(void)state;
	for (int i = 0; i < N; i++) {
		late[i] = 50 + 10 * ((i * 7) % N);
		assert_int_equal(pthread_create(&t[i], NULL, reader, &late[i]), 0);
	}
	for (int i = 0; i < N; i++) {
		pthread_join(t[i], NULL);
		assert_in_range(late[i] + 1, 0, 1000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends_a_blocking_read),
		cmocka_unit_test(test_disarmed_and_moved),
		cmocka_unit_test(test_cut_and_past),
		cmocka_unit_test(test_reused_number),
		cmocka_unit_test(test_many_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
