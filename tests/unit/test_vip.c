/* SPDX-License-Identifier: BSD-2-Clause */
/* vip: addresses and frames, byte by byte. */
#include "vip_wire.h"
#include <setjmp.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

static const unsigned char mac[6] = { 2, 0x77, 0, 0, 0, 0x0b };

static struct vip_addr parse(const char *text)
{
	struct err e = { 0 };
	struct vip_addr a;

	if (!vip_addr_parse(text, &a, &e))
		fail_msg("%s", e.text);
	return a;
}

static void addresses(void **state)
{
	static const char *const bad[] = { "", "x", "10.0.0", "10.0.0.1/0", "10.0.0.1/33",
		"10.0.0.1/", "fe80::/129", "10.0.0.1/2x" };
	struct vip_addr a;

	(void)state;
	assert_int_equal(parse("10.0.0.1").prefix, -1);
	assert_int_equal(parse("10.0.0.1/24").prefix, 24);
	assert_int_equal(parse("fd00:0::1/64").family, AF_INET6);
	assert_string_equal(parse("fd00:0::1/64").text, "fd00::1");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(vip_addr_parse(bad[i], &a, NULL));
}

static void arp_probe(void **state)
{
	static const unsigned char want[42] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0x77, 0, 0,
		0, 0x0b, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0x77, 0, 0, 0, 0x0b, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 10, 77, 0, 100 };
	struct vip_addr a = parse("10.77.0.100");
	unsigned char f[128];

	(void)state;
	assert_int_equal(vip_wire_frame(VIP_FRAME_ASK, mac, &a, f), 42);
	assert_memory_equal(f, want, 42);
	assert_int_equal(vip_wire_frame(VIP_FRAME_TELL, mac, &a, f), 42);
	assert_memory_equal(f + 28, want + 38, 4); /* the sender is the address now */
	assert_int_equal(vip_wire_frame(VIP_FRAME_TELL_REPLY, mac, &a, f), 42);
	assert_int_equal(f[21], 2);
}

/* The checksum of a packet with its checksum in place is all ones. */
static unsigned sum_of(const unsigned char *ip, size_t length)
{
	unsigned sum = (unsigned)length + 58;

	for (size_t i = 8; i < 40 + length; i += 2)
		sum += (unsigned)ip[i] << 8 | ip[i + 1];
	return (sum & 0xffff) + (sum >> 16);
}

static void neighbour_frames(void **state)
{
	static const unsigned char group[16] = { 0xff, 2, [11] = 1, [12] = 0xff, 0x12, 0x34, 0x56 };
	struct vip_addr a = parse("fd00::ab12:3456");
	unsigned char f[128];

	(void)state;
	assert_int_equal(vip_wire_frame(VIP_FRAME_ASK, mac, &a, f), 14 + 40 + 24);
	assert_memory_equal(f, "\x33\x33\xff\x12\x34\x56", 6);
	assert_memory_equal(f + 14 + 24, group, 16);
	assert_int_equal(sum_of(f + 14, 24), 0xffff);
	assert_int_equal(vip_wire_frame(VIP_FRAME_TELL, mac, &a, f), 14 + 40 + 32);
	assert_memory_equal(f, "\x33\x33\0\0\0\1", 6);
	assert_int_equal(f[14 + 40], 136);
	assert_memory_equal(f + 14 + 40 + 26, mac, 6);
	assert_int_equal(sum_of(f + 14, 32), 0xffff);
}

static void answers(void **state)
{
	static const char *const texts[] = { "10.77.0.100", "fd00::1" };
	unsigned char f[128], who[6];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct vip_addr a = parse(texts[i]), other = parse(i ? "fd00::2" : "10.77.0.101");
		size_t n = vip_wire_frame(VIP_FRAME_TELL, mac, &a, f);

		assert_true(vip_wire_is_answer(f, n, &a, who));
		assert_memory_equal(who, mac, 6);
		assert_false(vip_wire_is_answer(f, n, &other, who));
		for (size_t cut = 0; cut < (i ? 14 + 40 + 24 : n); cut++)
			assert_false(vip_wire_is_answer(f, cut, &a, who));
		n = vip_wire_frame(VIP_FRAME_ASK, mac, &a, f);
		assert_false(vip_wire_is_answer(f, n, &a, who)); /* somebody else only asks */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(arp_probe),
		cmocka_unit_test(neighbour_frames),
		cmocka_unit_test(answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
