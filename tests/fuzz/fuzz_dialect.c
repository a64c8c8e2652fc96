/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_dialect - any bytes as a version string: either an error that says which kind, or a dialect whose tables
 * answer and that agrees with the version's number.
 */
#include "dialect.h"
#include "str.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "violated: %s\n", what);
	abort();
}

static void ask_all(const struct dialect *d)
{
	for (int i = 0; i < SQL_COUNT; i++)
		must(str_starts(dialect_sql(d, i), "SHOW "), "every statement is there");
	for (int i = 0; i < COL_COUNT; i++)
		must(!dialect_col(d, i) || *dialect_col(d, i), "no column has an empty name");
	for (int i = 0; i < VAR_COUNT; i++)
		must(!dialect_old_var(d, i) || !str_is(dialect_old_var(d, i), dialect_var(d, i)),
		        "an old name differs from the new one");
	for (int i = 0; i < STAT_COUNT; i++)
		must(dialect_status(d, i) != NULL, "every counter has a name");
	must(dialect_family(d) == FAMILY_MYSQL || !dialect_can(d, CAP_SUPER_READ_ONLY),
	        "MariaDB has no super_read_only");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(free) char *version = xstrndup((const char *)data, size);
	unsigned number = dialect_version_number(version);
	struct err e = { 0 };
	const struct dialect *d = dialect_of(version, &e);

	if (d) {
		must(e.kind == ERR_NONE, "success leaves the error alone");
		must(number >= 50600, "what is supported has a number");
		ask_all(d);
	} else {
		must(e.kind == (number ? ERR_PRECOND : ERR_PARSE), "kind of the refusal");
		must(number < 100500, "nothing new is too old");
	}
	return 0;
}
