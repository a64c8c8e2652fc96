/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crc - sixteen bytes at a time by as many tables: what each byte adds to the sum when so many
 * others follow it.  Long runs are left to zlib, which is as quick there.
 * Runs on: any thread.
 */
#include "crc.h"
#include <string.h>
#include <zlib.h>

#define POLYNOMIAL 0xedb88320u
#define STEP       16
#define LONG_RUN   4096

static uint32_t tables[STEP][256];

__attribute__((constructor)) static void make_tables(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t v = i;

		for (int bit = 0; bit < 8; bit++)
			v = v >> 1 ^ (v & 1 ? POLYNOMIAL : 0);
		tables[0][i] = v;
	}
	for (int t = 1; t < STEP; t++)
		for (int i = 0; i < 256; i++)
			tables[t][i] = tables[t - 1][i] >> 8 ^ tables[0][tables[t - 1][i] & 0xff];
}

/* Four bytes, as a number, that `behind` others follow in the step. */
static inline uint32_t word(uint32_t v, int behind)
{
	return tables[behind + 3][v & 0xff] ^ tables[behind + 2][v >> 8 & 0xff] ^
	       tables[behind + 1][v >> 16 & 0xff] ^ tables[behind][v >> 24];
}

static inline uint32_t number(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint32_t crc_add(uint32_t crc, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	if (n >= LONG_RUN)
		return (uint32_t)crc32_z(crc, p, n);
	crc = ~crc;
	for (; n >= STEP; n -= STEP, p += STEP)
		crc = word(number(p) ^ crc, 12) ^ word(number(p + 4), 8) ^ word(number(p + 8), 4) ^
		      word(number(p + 12), 0);
	for (; n >= 4; n -= 4, p += 4)
		crc = word(number(p) ^ crc, 0);
	for (; n; n--, p++)
		crc = crc >> 8 ^ tables[0][(crc ^ *p) & 0xff];
	return ~crc;
}
