/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_conf_mha - any bytes as a .cnf file: what is read and what is told stay within bounds, the
 * order of servers is an order, and a value that is accepted is printed in a form that means the
 * same.
 */
#include "conf_internal.h"
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

static void check_report(const struct conf_report *r, int lines)
{
	for (size_t i = 0; i < r->len; i++) {
		const struct conf_problem *p = &r->items[i];

		must(p->line >= 1 && p->line <= lines, "problems have a line of the file");
		must(*p->text && !strpbrk(p->text, "\n\r\x1b"), "problems are printable");
	}
}

/* What comes out of a setting goes in again, and is the same. */
static void check_value(struct arena *a, enum conf_key k, const char *text)
{
	struct conf_server one = { 0 }, two = { 0 };
	AUTO_STR struct str first = STR_INIT;
	AUTO_STR struct str again = STR_INIT;

	if (!conf_value_parse(a, CONF_MHA, k, text, &one))
		return;
	if (!conf_value_raw(&one, k, &first))
		return;
	must(conf_value_parse(a, CONF_MHA, k, first.p, &two), "own text is accepted");
	must(conf_value_raw(&two, k, &again) && str_is(first.p, again.p),
	        "own text means the same");
}

static void check_block(struct arena *a, const struct conf_block *b, int lines)
{
	must(b->at.line >= 1 && b->at.line <= lines, "blocks have a line");
	for (int k = 0; k < CONF_KEY_COUNT; k++) {
		const char *text = b->text[k], *bare = text ? conf_mha_unquote(a, text) : NULL;

		if (!text)
			continue;
		must(b->kind != CONF_KIND_UNUSED, "unused blocks stay empty");
		must(b->origin[k].line >= 1 && b->origin[k].line <= lines, "values have a line");
		must(strlen(bare) + 2 >= strlen(text) && strstr(text, bare),
		        "quotes go one layer at a time");
		check_value(a, (enum conf_key)k, bare);
	}
}

static void check_order(struct conf_reader *r)
{
	struct conf_block **servers = ARENA_ARRAY(r->arena, struct conf_block *, r->blocks.len + 1);
	struct conf_block **again = ARENA_ARRAY(r->arena, struct conf_block *, r->blocks.len + 1);
	size_t n = 0;

	vec_each (struct conf_block *, b, &r->blocks) {
		if ((*b)->kind == CONF_KIND_SERVER)
			servers[n++] = *b;
	}
	for (size_t i = 0; i < n; i++)
		again[i] = servers[n - 1 - i];
	conf_mha_sort(servers, n);
	conf_mha_sort(again, n);
	must(!n || !memcmp(servers, again, n * sizeof(*servers)),
	        "the order does not depend on the file's");
}

static void read_as(const uint8_t *data, size_t size, bool global)
{
	AUTO(arena) struct arena *a = arena_new();
	struct conf_report report = { 0 };
	struct conf_reader r = { .arena = a,
		.report = &report,
		.file = "fuzz.cnf",
		.format = CONF_MHA,
		.is_global = global };
	char *bytes = xmalloc(size + 1);
	int lines = 1;

	memcpy(bytes, data, size);
	bytes[size] = '\0';
	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n' || data[i] == '\r';
	conf_mha_read(&r, bytes, size);
	free(bytes);
	check_report(&report, lines);
	vec_each (struct conf_block *, b, &r.blocks)
		check_block(a, *b, lines);
	check_order(&r);
	vec_done(&r.blocks);
	conf_report_done(&report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_as(data, size, false);
	read_as(data, size, true);
	return 0;
}
