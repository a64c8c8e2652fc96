/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_arena - many sizes stay apart, zeroed and aligned; secrets are wiped before memory goes
 * back, which is seen by standing in for libc's explicit_bzero().
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "arena.h"

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

/* Around every size at which blocks are chosen differently. */
static const size_t sizes[] = { 0, 1, 15, 16, 17, 100, 2032, 2047, 2048, 2049, 4096, 8175, 8176,
	8192, 8193, 30000, 1000000 };

static void stay_apart(void **state)
{
	enum { ROUNDS = 20 };
	AUTO(arena) struct arena *a = arena_new();
	unsigned char *got[ROUNDS * ARRAY_LEN(sizes)];
	size_t n = 0;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++, n++) {
			size_t size = sizes[(i * 7 + (size_t)round) % ARRAY_LEN(sizes)];

			got[n] = arena_alloc(a, size);
			assert_int_equal((uintptr_t)got[n] % _Alignof(max_align_t), 0);
			for (size_t k = 0; k < size; k++)
				assert_int_equal(got[n][k], 0);
			memset(got[n], (int)(n % 255 + 1), size);
		}
	}
	n = 0;
	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++, n++) {
			size_t size = sizes[(i * 7 + (size_t)round) % ARRAY_LEN(sizes)];

			for (size_t k = 0; k<size; k += size> 64 ? size / 64 : 1)
				assert_int_equal(got[n][k], n % 255 + 1);
		}
	}
}

static void texts(void **state)
{
	AUTO(arena) struct arena *a = arena_new();
	AUTO(free) char *heap = xstrdup("ab"), *big = xzalloc(20001);

	(void)state;
	assert_string_equal(arena_strdup(a, "text"), "text");
	assert_null(arena_strdup(a, NULL));
	assert_string_equal(arena_strndup(a, "text", 2), "te");
	assert_string_equal(arena_strndup(a, "text", 0), "");
	assert_string_equal(arena_strndup(a, heap, 10), "ab");
	assert_string_equal(arena_printf(a, "%d-%s", 7, "x"), "7-x");
	assert_string_equal(arena_printf(a, "%s", ""), "");
	memset(big, 'x', 20000);
	assert_string_equal(arena_printf(a, "%s", big), big);
	assert_string_equal(arena_strdup(a, big), big);
}

struct thing {
	long double number;
	char text[7];
};

static void typed(void **state)
{
	AUTO(arena) struct arena *a = arena_new();
	struct thing *one = ARENA_NEW(a, struct thing), *many = ARENA_ARRAY(a, struct thing, 1000);

	(void)state;
	assert_true(one->number == 0 && !one->text[0]);
	for (int i = 0; i < 1000; i++) {
		assert_true(many[i].number == 0);
		many[i].number = i;
	}
}

static void nothing(void **state)
{
	struct arena *a = arena_new();

	(void)state;
	arena_free(a);
	arena_free(NULL);
}

static void secrets(void **state)
{
	struct arena *open = arena_new(), *closed = arena_new();

	(void)state;
	wiped = 0;
	arena_strdup(open, "not a secret");
	arena_free(open);
	assert_int_equal(wiped, 0);
	arena_strdup(closed, "password");
	arena_alloc(closed, 5000);
	arena_alloc(closed, 50000);
	arena_strdup(closed, "another");
	arena_hold_secrets(closed);
	arena_free(closed);
	assert_true(wiped >= 9 + 5000 + 50000 + 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stay_apart),
		cmocka_unit_test(texts),
		cmocka_unit_test(typed),
		cmocka_unit_test(nothing),
		cmocka_unit_test(secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
