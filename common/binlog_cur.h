/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * binlog_cur - a cursor over foreign bytes that cannot leave them.  Runs on: any thread.  Logs:
 * never. Used by the binlog modules only.
 *
 * Reading behind the end gives 0 (or NULL) and sets `bad`, which stays set: read all fields, then
 * ask once. All numbers are little-endian.
 */
#pragma once
#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cur {
	const uint8_t *p;
	size_t left;
	bool bad;
};

/* The next n bytes, or NULL. */
static inline const uint8_t *cur_take(struct cur *c, size_t n)
{
	const uint8_t *p = c->p;

	if (c->bad || n > c->left) {
		c->bad = true;
		return NULL;
	}
	c->p += n;
	c->left -= n;
	return p;
}

static inline uint64_t cur_load4(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t cur_load2(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

/* A number of n (at most 8) bytes: its first and its last ones, which may be the same in part. */
static inline uint64_t cur_uint(struct cur *c, size_t n)
{
	const uint8_t *p = cur_take(c, n);

	if (!p || !n)
		return 0;
	if (n >= 4)
		return cur_load4(p) | cur_load4(p + n - 4) << (n - 4) * 8;
	return n == 1 ? *p : cur_load2(p) | cur_load2(p + n - 2) << (n - 2) * 8;
}

#define cur_u8(c)  ((uint8_t)cur_uint((c), 1))
#define cur_u16(c) ((uint16_t)cur_uint((c), 2))
#define cur_u32(c) ((uint32_t)cur_uint((c), 4))
#define cur_u64(c) cur_uint((c), 8)

/*
 * A number as in the client protocol: one byte up to 250, else 0xfc, 0xfd or 0xfe and 2, 3 or 8
 * bytes.
 */
static inline uint64_t cur_packed(struct cur *c)
{
	uint8_t first = cur_u8(c);

	if (first < 251)
		return first;
	if (first == 252)
		return cur_u16(c);
	if (first == 253)
		return cur_uint(c, 3);
	if (first == 254)
		return cur_u64(c);
	c->bad = true;
	return 0;
}

/*
 * A number of MySQL's serialization library: as many bytes follow the first as that has low one
 * bits.
 */
static inline uint64_t cur_varint(struct cur *c)
{
	uint8_t first = cur_u8(c);
	unsigned more = (unsigned)__builtin_ctz(~(unsigned)first);
	uint64_t rest = cur_uint(c, more);

	if (more >= 7)
		return rest;
	return rest << (7 - more) | first >> (more + 1);
}
