/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Foreign bytes as statements: nothing that stands in a binlog makes binlog_sql crash, read beyond,
 * or say a statement with NUL bytes or longer than the target takes.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include "binlog_sql.h"

enum { LONGEST = 1 << 20 };

static bool take(void *ctx, const struct binlog_sql_out *o, struct err *e)
{
	(void)ctx;
	(void)e;
	assert(o->len <= LONGEST && !memchr(o->sql, 0, o->len));
	return true;
}

static const char *collation(void *ctx, unsigned id, const char **ret_charset)
{
	(void)ctx;
	*ret_charset = "utf8";
	return id < 1000 ? "utf8_general_ci" : NULL;
}

static void say_all(const uint8_t *bytes, size_t n, uint8_t flags)
{
	struct binlog_sql_target t = { .longest = LONGEST,
		.collation = collation,
		.mariadb = flags & 1,
		.gtids = flags & 2,
		.version = flags & 4 ? 90700 : 50600 };
	AUTO(binlog) struct binlog *b = binlog_new_mem(bytes, n);
	AUTO(binlog_sql) struct binlog_sql *s = binlog_sql_new(&t, take, NULL);
	struct binlog_event ev;

	while (binlog_next(b, &ev, NULL) == BINLOG_EVENT)
		if (!binlog_sql_event(s, b, &ev, NULL))
			break;
}

/*
 * Once as it is, and once as if its events had no checksums, so that damaged bytes get past them.
 */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	AUTO(free) uint8_t *copy = xmalloc(n + 1);
	uint32_t size;

	if (n < 4 + BINLOG_HEADER_SIZE + 5)
		return 0;
	say_all(bytes, n, bytes[n - 1]);
	memcpy(copy, bytes, n);
	memcpy(&size, copy + 4 + 9, sizeof(size));
	if (size > n - 4 || size < BINLOG_HEADER_SIZE + 62)
		return 0;
	memset(copy + 4 + size - 5, 0, 5); /* no checksums, */
	memset(copy + 4 + 71, 0, 4);       /* nor one of its own */
	say_all(copy, n, bytes[n - 1]);
	return 0;
}
