/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_conf_edit - a block into and out of any bytes: the reader of .cnf files finds one block more or
 * less, and every other setting as it was.
 */
#include "conf_edit.h"
#include "conf_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE_MAX_BYTES = 3000 }; /* fewer sections than the reader takes */

static const struct conf_edit_param params[] = { { "hostname", "db9" }, { "port", "3307" } };

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "violated: %s\n", what);
	abort();
}

struct reading {
	struct arena *arena;
	struct conf_report report;
	struct conf_reader r;
};

static void read_start(struct reading *ret, const char *bytes, size_t n)
{
	*ret = (struct reading){ .arena = arena_new() };
	ret->r = (struct conf_reader){
		.arena = ret->arena, .report = &ret->report, .file = "fuzz.cnf", .format = CONF_MHA
	};
	conf_mha_read(&ret->r, bytes, n);
}

static void read_done(struct reading *r)
{
	vec_done(&r->r.blocks);
	conf_report_done(&r->report);
	arena_free(r->arena);
}

static bool is_it(const struct conf_block *b, const char *name)
{
	return b->kind == CONF_KIND_SERVER && str_is(b->name, name);
}

static const struct conf_block *find(const struct reading *r, const char *name)
{
	vec_each (struct conf_block *, b, &r->r.blocks) {
		if (is_it(*b, name))
			return *b;
	}
	return NULL;
}

/* The next block from *i on that is not called `name`. */
static const struct conf_block *next(const struct reading *r, size_t *i, const char *name)
{
	while (*i < r->r.blocks.len) {
		const struct conf_block *b = r->r.blocks.items[(*i)++];

		if (!is_it(b, name))
			return b;
	}
	return NULL;
}

static void must_be_same_but_for(const struct reading *a, const struct reading *b, const char *name)
{
	size_t i = 0, j = 0;

	for (;;) {
		const struct conf_block *x = next(a, &i, name), *y = next(b, &j, name);

		must(!x == !y, "as many other blocks");
		if (!x)
			return;
		must(x->kind == y->kind && str_is(x->name, y->name), "the same other blocks");
		for (int k = 0; k < CONF_KEY_COUNT; k++)
			must(str_is(x->text[k], y->text[k]), "the same settings in them");
	}
}

static void check_add(const struct reading *before, const char *bytes, size_t n)
{
	AUTO_STR struct str more = STR_INIT, back = STR_INIT;
	const struct conf_block *b;
	struct reading after;

	conf_edit_add(&more, bytes, n, "server9", params, ARRAY_LEN(params));
	must(conf_edit_has(more.p, more.len, "server9"), "what was added is there");
	must(more.len > n && !memcmp(more.p, bytes, n), "what was there stays");
	read_start(&after, more.p, more.len);
	b = find(&after, "server9");
	must(b && str_is(b->text[CONF_hostname], "db9") && str_is(b->text[CONF_port], "3307"),
	        "the reader finds it");
	must_be_same_but_for(before, &after, "server9");
	read_done(&after);
	if (n < 2 || memchr(bytes, '\r', n) || bytes[n - 1] != '\n' ||
	        strchr(" \t\v\f\n", bytes[n - 2]))
		return;
	conf_edit_remove(&back, more.p, more.len, "server9");
	must(back.len == n && !memcmp(back.p, bytes, n), "and back again");
}

static void check_remove(const struct reading *before, const char *bytes, size_t n)
{
	AUTO_STR struct str less = STR_INIT;
	struct reading after;

	must(conf_edit_has(bytes, n, "server1") == (find(before, "server1") != NULL),
	        "the reader sees the same sections");
	conf_edit_remove(&less, bytes, n, "server1");
	must(!conf_edit_has(less.p, less.len, "server1"), "what was removed is gone");
	read_start(&after, less.p, less.len);
	must(!find(&after, "server1"), "for the reader too");
	must_be_same_but_for(before, &after, "server1");
	read_done(&after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = (const char *)data;
	struct reading before;

	if (size > SIZE_MAX_BYTES || (size && memchr(data, '\0', size)))
		return 0; /* a file with a NUL byte is never loaded */
	read_start(&before, bytes, size);
	if (!find(&before, "server9"))
		check_add(&before, bytes, size);
	check_remove(&before, bytes, size);
	read_done(&before);
	return 0;
}
