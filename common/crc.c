/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crc - by carry-less multiplication where the processor has it (folding, as in Intel's paper "Fast
 * CRC Computation for Generic Polynomials"), else by zlib.
 * Runs on: any thread.
 */
#include "crc.h"
#include <stdbool.h>
#include <zlib.h>

#ifdef __x86_64__
#include <immintrin.h>

#define POLYNOMIAL 0xedb88320u
#define STEP       16

static uint32_t table[256];
static bool can_fold;

__attribute__((constructor)) static void prepare(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t v = i;

		for (int bit = 0; bit < 8; bit++)
			v = v >> 1 ^ (v & 1 ? POLYNOMIAL : 0);
		table[i] = v;
	}
	can_fold = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}

/* Less than a step. */
static uint32_t by_table(uint32_t crc, const uint8_t *p, size_t n)
{
	for (crc = ~crc; n; n--, p++)
		crc = crc >> 8 ^ table[(crc ^ *p) & 0xff];
	return ~crc;
}

/* Sixteen bytes from [at] on shift a register by 16 - at bytes, filling up with zeros. */
#define NONE 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80
static const uint8_t shifts[3 * STEP] = { NONE, NONE, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
	14, 15, NONE, NONE };

#define LOAD(p) _mm_loadu_si128((const __m128i *)(const void *)(p))

/*
 * At least sixteen bytes.  Zeros in front change nothing, so what is more than whole steps goes first,
 * with zeros before it; the sum so far is added to the first four bytes, wherever those are.
 */
__attribute__((target("pclmul,sse4.1"))) static uint32_t by_folding(
        uint32_t crc, const uint8_t *p, size_t n)
{
	const __m128i fold = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
	const __m128i last = _mm_set_epi64x(0, 0x0163cd6124);
	const __m128i reduce = _mm_set_epi64x(0x01f7011641, 0x01db710641);
	const __m128i low = _mm_setr_epi32(-1, 0, -1, 0);
	size_t rest = n % STEP;
	__m128i sum = _mm_cvtsi32_si128((int)~crc), x, t;

	x = _mm_shuffle_epi8(_mm_xor_si128(LOAD(p), sum), LOAD(shifts + rest));
	sum = _mm_shuffle_epi8(sum, LOAD(shifts + STEP + rest));
	p += rest;
	t = _mm_xor_si128(_mm_clmulepi64_si128(x, fold, 0x00), LOAD(p));
	x = _mm_xor_si128(_mm_clmulepi64_si128(x, fold, 0x11), _mm_xor_si128(t, sum));
	for (const uint8_t *end = p + n - rest; (p += STEP) < end;) {
		t = _mm_xor_si128(_mm_clmulepi64_si128(x, fold, 0x00), LOAD(p));
		x = _mm_xor_si128(_mm_clmulepi64_si128(x, fold, 0x11), t);
	}
	x = _mm_xor_si128(_mm_srli_si128(x, 8), _mm_clmulepi64_si128(x, fold, 0x10));
	t = _mm_srli_si128(x, 4);
	x = _mm_xor_si128(_mm_clmulepi64_si128(_mm_and_si128(x, low), last, 0x00), t);
	t = _mm_clmulepi64_si128(_mm_and_si128(x, low), reduce, 0x10);
	t = _mm_clmulepi64_si128(_mm_and_si128(t, low), reduce, 0x00);
	return ~(uint32_t)_mm_extract_epi32(_mm_xor_si128(x, t), 1);
}

uint32_t crc_add(uint32_t crc, const void *p, size_t n)
{
	if (!can_fold)
		return (uint32_t)crc32_z(crc, p, n);
	return n < STEP ? by_table(crc, p, n) : by_folding(crc, p, n);
}
#else
uint32_t crc_add(uint32_t crc, const void *p, size_t n)
{
	return (uint32_t)crc32_z(crc, p, n);
}
#endif
