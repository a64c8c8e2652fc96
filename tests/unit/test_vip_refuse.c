/* SPDX-License-Identifier: BSD-2-Clause */
/* vip_refuse: the answer to a segment, byte by byte, and what gets none. */
#include "vip_refuse.h"
#include <netinet/in.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

static const unsigned char mac[6] = { 2, 0x77, 0, 0, 0, 0x0b };

/* From 10.0.0.9 port 0x1234 to 10.77.0.100 port 3306: sequence 0x01020304, acknowledges 0x0a0b0c0d, five bytes. */
static const unsigned char four[] = { 2, 0x77, 0, 0, 0, 0x0b, 2, 9, 9, 9, 9, 9, 8, 0,          /* */
	0x45, 0, 0, 45, 7, 7, 0x40, 0, 60, 6, 0, 0, 10, 0, 0, 9, 10, 77, 0, 100,               /* */
	0x12, 0x34, 0x0c, 0xea, 1, 2, 3, 4, 10, 11, 12, 13, 0x50, ACK | PSH, 1, 0, 0, 0, 0, 0, /* */
	'h', 'e', 'l', 'l', 'o' };
static const unsigned char six[] = { 2, 0x77, 0, 0, 0, 0x0b, 2, 9, 9, 9, 9, 9, 0x86, 0xdd, /* */
	0x60, 0, 0, 0, 0, 20, 6, 64, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9,    /* */
	0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,                                 /* */
	0x12, 0x34, 0x0c, 0xea, 1, 2, 3, 0xff, 0, 0, 0, 0, 0x50, SYN, 1, 0, 0, 0, 0, 0 };

static struct vip_addr parse(const char *text)
{
	struct vip_addr a;

	assert_true(vip_addr_parse(text, &a, NULL));
	return a;
}

static unsigned sum_of(unsigned sum, const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i += 2)
		sum += (unsigned)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void a_session_is_reset(void **state)
{
	static const unsigned char ports[4] = { 0x0c, 0xea, 0x12, 0x34 };
	struct vip_addr a = parse("10.77.0.100");
	unsigned char f[128];

	(void)state;
	assert_int_equal(vip_refuse_frame(four, sizeof(four), &a, mac, f), 54);
	assert_memory_equal(f, four + 6, 6);
	assert_memory_equal(f + 6, mac, 6);
	assert_memory_equal(f + 26, four + 30, 4);
	assert_memory_equal(f + 30, four + 26, 4);
	assert_memory_equal(f + 34, ports, 4);
	assert_memory_equal(f + 38, four + 42, 4); /* it goes on where the peer says that we are */
	assert_int_equal(f[47], RST);
	assert_int_equal(sum_of(0, f + 14, 20), 0xffff);
	assert_int_equal(sum_of(26, f + 26, 28), 0xffff);
}

static void a_first_segment_is_refused(void **state)
{
	static const unsigned char next[4] = { 1, 2, 4, 0 };
	struct vip_addr a = parse("fd00::1");
	unsigned char f[128];

	(void)state;
	assert_int_equal(vip_refuse_frame(six, sizeof(six), &a, mac, f), 74);
	assert_int_equal(f[14 + 40 + 13], RST | ACK);
	assert_memory_equal(f + 14 + 40 + 8, next, 4);
	assert_memory_equal(f + 22, six + 38, 16);
	assert_memory_equal(f + 38, six + 22, 16);
	assert_int_equal(sum_of(26, f + 22, 52), 0xffff);
}

static void without_an_answer(void **state)
{
	struct vip_addr a = parse("10.77.0.100"), other = parse("10.77.0.101"),
	                b = parse("fd00::2");
	unsigned char f[128], in[sizeof(four)];

	(void)state;
	assert_int_equal(vip_refuse_frame(four, sizeof(four), &other, mac, f), 0);
	assert_int_equal(vip_refuse_frame(six, sizeof(six), &b, mac, f), 0);
	assert_int_equal(vip_refuse_frame(six, sizeof(six), &a, mac, f), 0);
	for (size_t n = 0; n < 54; n++)
		assert_int_equal(vip_refuse_frame(four, n, &a, mac, f), 0);
	memcpy(in, four, sizeof(in));
	in[47] = RST; /* resets are not answered: two of us would never end */
	assert_int_equal(vip_refuse_frame(in, sizeof(in), &a, mac, f), 0);
	memcpy(in, four, sizeof(in));
	in[21] = 9; /* not the first part of its packet */
	assert_int_equal(vip_refuse_frame(in, sizeof(in), &a, mac, f), 0);
	memcpy(in, four, sizeof(in));
	in[23] = IPPROTO_UDP;
	assert_int_equal(vip_refuse_frame(in, sizeof(in), &a, mac, f), 0);
	memcpy(in, four, sizeof(in));
	in[14] = 0x4f; /* options up to its end: no port is left */
	assert_int_equal(vip_refuse_frame(in, sizeof(in), &a, mac, f), 0);
}

/* The length of what came may lie: no more than the header is read. */
static void a_lie_about_the_length(void **state)
{
	struct vip_addr a = parse("10.77.0.100");
	unsigned char f[128], in[54];

	(void)state;
	memcpy(in, four, sizeof(in));
	in[16] = in[17] = 0xff;
	in[47] = SYN | FIN;
	assert_int_equal(vip_refuse_frame(in, sizeof(in), &a, mac, f), 54);
	assert_int_equal(f[47], RST | ACK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_is_reset),
		cmocka_unit_test(a_first_segment_is_refused),
		cmocka_unit_test(without_an_answer),
		cmocka_unit_test(a_lie_about_the_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
