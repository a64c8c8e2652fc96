/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_conf_native - any bytes as a native file, read without harm; and any text as a value, which
 * has to come back from the native form unchanged.
 */
#include "conf_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libconfig loses the string it is in when a file ends there: not ours to mend, and only met with
 * broken files. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig.so";
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "violated: %s\n", what);
	abort();
}

static void read_file(const char *bytes, size_t size)
{
	AUTO(arena) struct arena *a = arena_new();
	struct conf_report report = { 0 };
	struct conf_reader r = {
		.arena = a, .report = &report, .file = "fuzz.conf", .format = CONF_NATIVE
	};

	conf_native_read(&r, bytes, size);
	for (size_t i = 0; i < report.len; i++) {
		must(*report.items[i].text, "problems say something");
		must(!strpbrk(report.items[i].text, "\n\r\x1b"), "problems are printable");
	}
	vec_each (struct conf_block *, b, &r.blocks) {
		must((*b)->kind != CONF_KIND_UNUSED && *(*b)->name, "blocks are of use");
		for (int k = 0; k < CONF_KEY_COUNT; k++)
			must(!(*b)->text[k] || (*b)->origin[k].line > 0, "values have a line");
	}
	vec_done(&r.blocks);
	conf_report_done(&report);
}

static void round_trip(const char *text)
{
	AUTO(arena) struct arena *a = arena_new();
	struct conf_server defaults = { 0 }, server;
	const struct conf_server *servers[] = { &server };
	struct conf c = { .servers = servers, .n_servers = 1, .defaults = &defaults };
	struct conf_report report = { 0 };
	struct conf_reader r = {
		.arena = a, .report = &report, .file = "own.conf", .format = CONF_NATIVE
	};
	AUTO(free) char *native = NULL;

	conf_server_builtin(a, CONF_NATIVE, &defaults);
	server = defaults;
	server.id = server.hostname = "x";
	server.origin[CONF_hostname].file = "x";
	server.user = text;
	native = conf_to_native(&c);
	conf_native_read(&r, native, strlen(native));
	must(!report.len && r.blocks.len == 2, "the native form is read without a problem");
	must(str_is(r.blocks.items[1]->text[CONF_user], str_is(text, "root") ? NULL : text),
	        "values come back unchanged");
	vec_done(&r.blocks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(free) char *bytes = xmalloc(size + 1);

	memcpy(bytes, data, size);
	bytes[size] = '\0';
	read_file(bytes, size);
	round_trip(bytes);
	return 0;
}
