/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames: what is packed is unpacked, however it is cut; what breaks the rules is refused, for
 * ever.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "frame.h"

static void feed(struct frame_reader *r, const void *p, size_t n)
{
	const char *from = p;

	while (n) {
		size_t room;
		void *to = frame_reader_room(r, &room);
		size_t part = n < room ? n : room;

		memcpy(to, from, part);
		frame_reader_filled(r, part);
		from += part;
		n -= part;
	}
}

static void expect(
        struct frame_reader *r, enum frame_type type, uint32_t id, const char *p, size_t len)
{
	struct frame f;
	struct err e = { 0 };

	assert_int_equal(frame_next(r, &f, &e), FRAME_READY);
	assert_int_equal(f.type, type);
	assert_int_equal(f.id, id);
	assert_int_equal(f.len, len);
	assert_memory_equal(f.p, p, len);
}

static void expect_more(struct frame_reader *r)
{
	struct frame f;

	assert_int_equal(frame_next(r, &f, NULL), FRAME_MORE);
}

static void expect_bad(struct frame_reader *r, const char *why)
{
	struct frame f;
	struct err e = { 0 };

	assert_int_equal(frame_next(r, &f, &e), FRAME_BAD);
	assert_int_equal(e.kind, ERR_PARSE);
	assert_non_null(strstr(e.text, why));
	feed(r, "more", 4);
	assert_int_equal(frame_next(r, &f, NULL), FRAME_BAD);
}

static void test_bytes_one_by_one(void **state)
{
	AUTO_STR struct str s = STR_INIT;
	struct frame_reader r;

	(void)state;
	str_add(&s, FRAME_PREAMBLE);
	frame_add(&s, FRAME_HELLO, 0, "{}", 2);
	frame_add(&s, FRAME_REQUEST, 7, "{\"verb\":1}", 10);
	frame_add(&s, FRAME_END, 7, NULL, 0);
	frame_reader_init(&r, FRAME_MANAGER, 0);
	for (size_t i = 0; i + 1 < s.len; i++) {
		struct frame f;

		feed(&r, s.p + i, 1);
		while (frame_next(&r, &f, NULL) == FRAME_READY)
			assert_true(f.type == FRAME_HELLO || f.type == FRAME_REQUEST);
	}
	feed(&r, s.p + s.len - 1, 1);
	expect(&r, FRAME_END, 7, "", 0);
	expect_more(&r);
	frame_reader_done(&r);
}

static void test_grant(void **state)
{
	AUTO_STR struct str s = STR_INIT;
	struct frame_reader r;
	struct frame f;

	(void)state;
	str_add(&s, FRAME_PREAMBLE);
	frame_add_grant(&s, 3, 0x01020304);
	frame_reader_init(&r, FRAME_MANAGER, 0);
	feed(&r, s.p, s.len);
	assert_int_equal(frame_next(&r, &f, NULL), FRAME_READY);
	assert_int_equal(frame_grant(&f), 0x01020304);
	frame_reader_done(&r);
}

static void test_large_frames_are_let_go(void **state)
{
	AUTO_STR struct str s = STR_INIT;
	char *big = xzalloc(FRAME_RESULT_MAX);
	struct frame_reader r;

	(void)state;
	str_add(&s, FRAME_PREAMBLE);
	frame_add(&s, FRAME_RESULT, 1, big, FRAME_RESULT_MAX);
	frame_add(&s, FRAME_LINE, 1, "hello", 5);
	frame_reader_init(&r, FRAME_NODE, 0);
	feed(&r, s.p, s.len);
	expect(&r, FRAME_RESULT, 1, big, FRAME_RESULT_MAX);
	expect(&r, FRAME_LINE, 1, "hello", 5);
	feed(&r, "", 1);
	assert_true(r.buf.cap < 1 << 20);
	frame_reader_done(&r);
	free(big);
}

static void test_noise_of_a_login_shell(void **state)
{
	static const char said[] = "Welcome!\n\nMHAD\nLast login: never\n";
	struct frame_reader r;

	(void)state;
	frame_reader_init(&r, FRAME_NODE, 100);
	for (size_t i = 0; i < strlen(said); i++) {
		feed(&r, said + i, 1);
		expect_more(&r);
	}
	feed(&r, FRAME_PREAMBLE, FRAME_PREAMBLE_LEN);
	expect_more(&r);
	assert_true(r.begun);
	frame_reader_done(&r);

	frame_reader_init(&r, FRAME_NODE, 10);
	feed(&r, said, strlen(said));
	expect_bad(&r, "preamble");
	frame_reader_done(&r);

	frame_reader_init(&r, FRAME_MANAGER, 0);
	feed(&r, "\nMHAX", 5);
	expect_bad(&r, "preamble");
	frame_reader_done(&r);
}

static void check_refused(enum frame_side from, const unsigned char *header, const char *why)
{
	struct frame_reader r;

	frame_reader_init(&r, from, 0);
	feed(&r, FRAME_PREAMBLE, FRAME_PREAMBLE_LEN);
	feed(&r, header, FRAME_HEADER);
	expect_bad(&r, why);
	frame_reader_done(&r);
}

static void test_refusals(void **state)
{
	static const struct {
		enum frame_side from;
		unsigned type, id, len;
		const char *why;
	} cases[] = {
		{ FRAME_MANAGER, 0, 0, 0, "unknown type 0" },
		{ FRAME_MANAGER, FRAME_TYPES, 0, 0, "unknown type" },
		{ FRAME_MANAGER, 255, 0, 0, "unknown type 255" },
		{ FRAME_MANAGER, FRAME_RESULT, 1, 2, "RESULT from the wrong side" },
		{ FRAME_NODE, FRAME_REQUEST, 1, 2, "REQUEST from the wrong side" },
		{ FRAME_MANAGER, FRAME_REQUEST, 0, 2, "REQUEST with request id 0" },
		{ FRAME_MANAGER, FRAME_PING, 9, 0, "PING with request id 9" },
		{ FRAME_MANAGER, FRAME_DATA, 1, 0, "DATA of 0 bytes" },
		{ FRAME_MANAGER, FRAME_DATA, 1, FRAME_DATA_MAX + 1, "DATA of 65537 bytes" },
		{ FRAME_MANAGER, FRAME_REQUEST, 1, UINT32_MAX, "REQUEST of 4294967295 bytes" },
		{ FRAME_MANAGER, FRAME_GRANT, 1, 3, "GRANT of 3 bytes" },
		{ FRAME_MANAGER, FRAME_CANCEL, 1, 1, "CANCEL of 1 bytes" },
	};
	unsigned char header[FRAME_HEADER];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		frame_header(header, (enum frame_type)cases[i].type, cases[i].id, cases[i].len);
		check_refused(cases[i].from, header, cases[i].why);
	}
	frame_header(header, FRAME_PING, 0, 0);
	header[2] = 1;
	check_refused(FRAME_MANAGER, header, "flags");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_one_by_one),
		cmocka_unit_test(test_grant),
		cmocka_unit_test(test_large_frames_are_let_go),
		cmocka_unit_test(test_noise_of_a_login_shell),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
