/* SPDX-License-Identifier: BSD-2-Clause */
/* test_vec - growable arrays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "vec.h"

struct point {
	int x, y;
};

static void empty(void **state)
{
	VEC(struct point) v = VEC_INIT;
	int seen = 0;

	(void)state;
	vec_each (struct point, p, &v)
		seen += 1 + p->x;
	assert_int_equal(seen, 0);
	vec_done(&v);
	vec_done(&v);
}

static void keeps_order(void **state)
{
	VEC(struct point) v = VEC_INIT;
	int at = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		vec_push(&v, (struct point){ i, -i });
		assert_int_equal(v.len, i + 1);
		assert_true(v.cap >= v.len);
	}
	vec_each (struct point, p, &v) {
		assert_int_equal(p->x, at);
		assert_int_equal(p->y, -at);
		at++;
	}
	assert_int_equal(at, 1000);
	vec_done(&v);
	assert_null(v.items);
	assert_int_equal(v.len + v.cap, 0);
	vec_push(&v, (struct point){ 1, 2 });
	assert_int_equal(v.items[0].y, 2);
	vec_done(&v);
}

static void nests(void **state)
{
	VEC(int) v = VEC_INIT;
	int pairs = 0;

	(void)state;
	for (int i = 0; i < 9; i++)
		vec_push(&v, i);
	vec_each (int, a, &v) {
		vec_each (int, b, &v) {
			if (*b > *a)
				break;
			pairs++;
		}
	}
	assert_int_equal(pairs, 45);
	if (v.len)
		vec_push(&v, 9);
	else
		fail();
	assert_int_equal(v.items[9], 9);
	vec_done(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty),
		cmocka_unit_test(keeps_order),
		cmocka_unit_test(nests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
