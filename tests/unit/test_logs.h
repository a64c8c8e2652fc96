/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Binlogs and relay logs made for tests: events put together by hand behind format descriptions
 * that real servers wrote (the fuzzer's seeds), and folders to keep them in.
 */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "binlog_txn.h"
#include "crc.h"
#include "str.h"

#define SEEDS     "tests/fuzz/corpus/binlog/"
#define UNUSED_FN __attribute__((unused))

/* A log in the making. */
struct log {
	struct str s;
	bool crc;
	uint64_t pos; /* end of the last event in the source's binlog; relay logs: set by hand */
	bool relay;   /* pos is not the offset */
	uint32_t server;
};
#define LOG_INIT                                                                                   \
	{                                                                                          \
		STR_INIT, false, 0, false, 42                                                      \
	}

UNUSED_FN static void put_le(void *to, uint64_t v, size_t n)
{
	for (uint8_t *p = to; n; n--, v >>= 8)
		*p++ = (uint8_t)v;
}

UNUSED_FN static void add_le(struct str *to, uint64_t v, size_t n)
{
	uint8_t p[8];

	put_le(p, v, n);
	str_addn(to, p, n);
}

UNUSED_FN static void add_event(
        struct log *l, uint8_t type, uint16_t flags, const void *body, size_t n)
{
	size_t at = l->s.len, size = BINLOG_HEADER_SIZE + n + (l->crc ? BINLOG_CRC_SIZE : 0);
	bool own = flags & (BINLOG_F_RELAY_LOG | BINLOG_F_ARTIFICIAL);

	if (!l->relay)
		l->pos = l->s.len + size;
	else if (!own)
		l->pos += size;
	add_le(&l->s, 1700000000, 4);
	add_le(&l->s, type, 1);
	add_le(&l->s, l->server, 4);
	add_le(&l->s, size, 4);
	add_le(&l->s, flags & BINLOG_F_ARTIFICIAL ? 0 : l->pos, 4);
	add_le(&l->s, flags, 2);
	str_addn(&l->s, body, n);
	if (l->crc)
		add_le(&l->s, crc_add(0, l->s.p + at, size - BINLOG_CRC_SIZE), BINLOG_CRC_SIZE);
}

UNUSED_FN static void load_seed(const char *name, struct str *to)
{
	AUTO(free) char *path = xasprintf(SEEDS "%s", name);
	FILE *f = fopen(path, "re");
	char buf[4096];
	size_t n;

	assert_non_null(f);
	str_clear(to);
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
		str_addn(to, buf, n);
	fclose(f);
	assert_true(to->len > 300);
}

/* The format description of a seed ("my97-gtid", "my97-nocrc"...); in an empty log behind the magic. */
UNUSED_FN static void add_format(struct log *l, const char *seed, uint32_t created, uint16_t flags)
{
	AUTO_STR struct str file = STR_INIT;
	uint8_t *ev;
	size_t size;

	load_seed(seed, &file);
	ev = (uint8_t *)file.p + BINLOG_MAGIC_SIZE;
	size = ev[9] | (size_t)ev[10] << 8;
	if (!l->s.len)
		str_addn(&l->s,
		        "\xfe"
		        "bin",
		        BINLOG_MAGIC_SIZE);
	put_le(ev + 13, flags & BINLOG_F_ARTIFICIAL ? 0 : l->s.len + size, 4);
	put_le(ev + 17, flags & ~(unsigned)BINLOG_F_IN_USE, 2);
	put_le(ev + 19 + 52, created, 4);
	l->crc = ev[size - BINLOG_CRC_SIZE - 1];
	put_le(ev + size - BINLOG_CRC_SIZE, crc_add(0, ev, size - BINLOG_CRC_SIZE),
	        BINLOG_CRC_SIZE);
	put_le(ev + 17, flags, 2);
	str_addn(&l->s, ev, size);
	if (!l->relay)
		l->pos = l->s.len;
}

UNUSED_FN static void add_query(struct log *l, const char *text)
{
	AUTO_STR struct str body = STR_INIT;

	add_le(&body, 7, 4);
	add_le(&body, 0, 4);
	add_le(&body, 4, 1);
	add_le(&body, 0, 2);
	add_le(&body, 0, 2);
	str_addn(&body, "shop", 5);
	str_add(&body, text);
	add_event(l, BINLOG_QUERY, 0, body.p, body.len);
}

UNUSED_FN static void add_rows(struct log *l, size_t image)
{
	AUTO_STR struct str body = STR_INIT;

	add_le(&body, 99, 6);
	add_le(&body, 1, 2);
	add_le(&body, 2, 2);
	add_le(&body, 3, 1);
	add_le(&body, 7, 1);
	for (size_t i = 0; i < image; i++)
		str_addc(&body, (char)('a' + i % 23));
	add_event(l, BINLOG_WRITE_ROWS, 0, body.p, body.len);
}

UNUSED_FN static void add_xid(struct log *l)
{
	add_event(l, BINLOG_XID, 0, "12345678", 8);
}

UNUSED_FN static void add_gtid(struct log *l, uint64_t gno)
{
	uint8_t body[42] = { 1 };

	memset(body + 1, 0xaa, 16);
	put_le(body + 17, gno, 8);
	body[25] = 2;
	add_event(l, gno ? BINLOG_GTID : BINLOG_ANONYMOUS_GTID, 0, body, sizeof(body));
}

UNUSED_FN static void add_mariadb_gtid(struct log *l, uint32_t domain, uint64_t seq)
{
	uint8_t body[19] = { 0 };

	put_le(body, seq, 8);
	put_le(body + 8, domain, 4);
	body[12] = BINLOG_GTID_TRANSACTIONAL;
	add_event(l, BINLOG_MARIADB_GTID, 0, body, sizeof(body));
}

/* A transaction with that number: GTID, BEGIN, rows, Xid.  0: anonymous. */
UNUSED_FN static void add_transaction(struct log *l, uint64_t gno, size_t image)
{
	add_gtid(l, gno);
	add_query(l, "BEGIN");
	add_rows(l, image);
	add_xid(l);
}

UNUSED_FN static void add_mariadb_transaction(struct log *l, uint32_t domain, uint64_t seq)
{
	add_mariadb_gtid(l, domain, seq);
	add_rows(l, 10);
	add_xid(l);
}

/* Of the source aa...: up to `last`; 0: nothing. */
UNUSED_FN static void add_previous(struct log *l, uint64_t last)
{
	AUTO_STR struct str body = STR_INIT;

	add_le(&body, last ? 1 : 0, 8);
	for (int i = 0; last && i < 16; i++)
		str_addc(&body, (char)0xaa);
	if (last) {
		add_le(&body, 1, 8);
		add_le(&body, 1, 8);
		add_le(&body, last + 1, 8);
	}
	add_event(l, BINLOG_PREVIOUS_GTIDS, BINLOG_F_IGNORABLE, body.p, body.len);
}

UNUSED_FN static void add_list(struct log *l, uint32_t domain, uint64_t seq)
{
	AUTO_STR struct str body = STR_INIT;

	add_le(&body, 1, 4);
	add_le(&body, domain, 4);
	add_le(&body, 42, 4);
	add_le(&body, seq, 8);
	add_event(l, BINLOG_GTID_LIST, 0, body.p, body.len);
}

UNUSED_FN static void add_rotate(struct log *l, const char *file, uint64_t pos, uint16_t flags)
{
	AUTO_STR struct str body = STR_INIT;

	add_le(&body, pos, 8);
	str_add(&body, file);
	add_event(l, BINLOG_ROTATE, flags, body.p, body.len);
	if (l->relay && !(flags & BINLOG_F_RELAY_LOG))
		l->pos = pos;
}

/* ---- folders ---------------------------------------------------------------------------------- */

UNUSED_FN static int new_dir(void **state)
{
	char name[] = "/tmp/mhad-unit.XXXXXX";

	if (!mkdtemp(name))
		return 1;
	*state = xstrdup(name);
	return 0;
}

UNUSED_FN static int remove_dir(void **state)
{
	AUTO(free) char *command = xasprintf("rm -r '%s'", (char *)*state);
	int rc = system(command);

	free(*state);
	return rc;
}

UNUSED_FN static void put_file(const char *dir, const char *name, const void *p, size_t n)
{
	AUTO(free) char *path = xasprintf("%s/%s", dir, name);
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

/* Write it; it is empty again. */
UNUSED_FN static void put_log(const char *dir, const char *name, struct log *l)
{
	put_file(dir, name, l->s.p, l->s.len);
	str_clear(&l->s);
}
