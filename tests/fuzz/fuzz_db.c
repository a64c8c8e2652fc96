/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_db - any text as a statement, and as a password inside known statements: redaction takes any text, leaves
 * statements without secrets alone, and replaces exactly a password that db_quote() has quoted.
 */
#include "db.h"
#include "db_impl.h"
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

static void hides(const char *format, const char *quoted)
{
	AUTO(free) char *sql = xasprintf(format, quoted);
	AUTO(free) char *want = xasprintf(format, "'xxx'");
	AUTO(free) char *out = db_redact(sql);

	must(str_is(out, want), "exactly the password is replaced");
	must(db_text_leaks(sql, 1064, "near ..."), "a syntax error is not shown");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(free) char *text = xstrndup((const char *)data, size);
	AUTO(free) char *once = db_redact(text);
	AUTO(free) char *quoted = db_quote(text);
	AUTO(free) char *kept = db_redact(quoted);

	must(db_text_leaks(text, 1064, "near ...") || str_is(once, text),
	        "what has no secret is kept");
	must(str_is(quoted, kept), "a literal alone is kept");
	hides("CREATE USER 'a'@'b' IDENTIFIED BY %s REQUIRE NONE", quoted);
	hides("CHANGE MASTER TO MASTER_PASSWORD=%s, MASTER_HOST='h', MASTER_LOG_FILE='f'", quoted);
	hides("SET PASSWORD FOR u = PASSWORD(%s)", quoted);
	return 0;
}
