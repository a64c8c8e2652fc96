/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The same sums as zlib's, for all lengths and beginnings, in one go or in parts.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <zlib.h>
#include "crc.h"

static uint8_t bytes[5000];

static int fill(void **state)
{
	uint32_t v = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		v = v * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(v >> 24);
	}
	return 0;
}

static void test_as_zlib(void **state)
{
	static const uint32_t begins[] = { 0, 1, 0xffffffff, 0x12345678 };

	(void)state;
	for (size_t at = 0; at < 20; at++)
		for (size_t n = 0; n < 600; n++)
			for (size_t k = 0; k < 4; k++)
				assert_int_equal(crc_add(begins[k], bytes + at, n),
				        crc32_z(begins[k], bytes + at, n));
	assert_int_equal(crc_add(0, bytes, sizeof(bytes)), crc32_z(0, bytes, sizeof(bytes)));
}

static void test_in_parts(void **state)
{
	(void)state;
	for (size_t n = 0; n <= 200; n++)
		assert_int_equal(
		        crc_add(crc_add(0, bytes, n), bytes + n, 200 - n), crc32_z(0, bytes, 200));
}

static void test_known_value(void **state)
{
	(void)state;
	assert_int_equal(crc_add(0, "123456789", 9), 0xcbf43926);
	assert_int_equal(crc_add(0, "1234567890123456789", 19),
	        crc32_z(0, (const uint8_t *)"1234567890123456789", 19));
	assert_int_equal(crc_add(0, "", 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_zlib),
		cmocka_unit_test(test_in_parts),
		cmocka_unit_test(test_known_value),
	};

	return cmocka_run_group_tests(tests, fill, NULL);
}
