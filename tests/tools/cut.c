/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cut - saves from a binlog that is cut at every byte.  For tests that know from the server itself
 * where its transactions end.
 *
 *	cut FILE <ENDS
 *
 * FILE ("<name>.<number>", alone in its folder) is shortened byte by byte from its end on.  ENDS are the offsets where its
 * transactions end, in order, one per line; the first line is where the first one begins.  For each length what is saved must
 * end with the last transaction that ends within it: from the start of a transaction shortly before, and now and then from
 * the very beginning.  Prints how many cuts were right, or the first that was not.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "dir.h"
#include "logs.h"
#include "save.h"
#include "str.h"

#define NEAR        4  /* transactions before the cut to begin at */
#define WHOLE_EVERY 97 /* cuts: also from the beginning */

struct test {
	struct str whole; /* the file as it was */
	VEC(uint64_t) ends;
	struct logs logs;
	const char *path;
	uint64_t cuts;
};

static void die(const char *what, const struct err *e)
{
	printf("%s: %s\n", what, e ? e->text : "");
	exit(1);
}

static bool keep(void *ctx, const void *bytes, size_t n, struct err *e)
{
	(void)e;
	str_addn(ctx, bytes, n);
	return true;
}

/* The stream ends in the file's own bytes, up to `end`. */
static bool is_right(const struct test *t, const struct str *out, uint64_t start, uint64_t end)
{
	size_t n = (size_t)(end - start);

	if (end <= start)
		return out->len == 0;
	return out->len > n && out->len < n + 1024 &&
	       memcmp(out->p + out->len - n, t->whole.p + start, n) == 0;
}

static void check(struct test *t, uint64_t start, uint64_t size, uint64_t end)
{
	AUTO_STR struct str out = STR_INIT;
	struct binlog_sink sink = { .put = keep, .ctx = &out };
	struct save_spec spec = { .logs = &t->logs, .start_pos = start };
	struct save_report r;
	struct err e = { 0 };

	if (!save_run(&spec, &sink, &r, &e)) {
		printf("cut at %llu, from %llu: ", (unsigned long long)size,
		        (unsigned long long)start);
		die("not saved", &e);
	}
	if (!is_right(t, &out, start, end) || (out.len && r.end.pos != end)) {
		printf("cut at %llu, from %llu: saved %zu bytes up to %llu, wanted up to %llu\n",
		        (unsigned long long)size, (unsigned long long)start, out.len,
		        (unsigned long long)r.end.pos, (unsigned long long)end);
		exit(1);
	}
	t->cuts++;
}

static void read_all(struct test *t)
{
	AUTO_FD int fd = open(t->path, O_RDONLY | O_CLOEXEC);
	char buf[65536], line[64];
	ssize_t n;

	while (fd >= 0 && (n = read(fd, buf, sizeof(buf))) > 0)
		str_addn(&t->whole, buf, (size_t)n);
	while (fgets(line, sizeof(line), stdin))
		vec_push(&t->ends, strtoull(line, NULL, 10));
	if (t->ends.len < 2 || t->whole.len < t->ends.items[t->ends.len - 1])
		die("the list of ends does not fit to the file", NULL);
}

int main(int argc, char **argv)
{
	struct test t = { .whole = STR_INIT, .path = argv[1] };
	AUTO(free) char *dir = argc == 2 ? dir_of(argv[1]) : NULL;
	struct err e = { 0 };
	size_t n, k;
	uint64_t number;

	if (!dir || !dir_log_split(strrchr(argv[1], '/') + 1, &n, &number)) {
		fprintf(stderr, "usage: cut /FOLDER/NAME.NUMBER <ENDS\n");
		return 2;
	}
	read_all(&t);
	k = t.ends.len - 1;
	{
		AUTO(free) char *prefix = xstrndup(strrchr(argv[1], '/') + 1, n);

		if (!logs_in_folder(dir, prefix, &t.logs, &e))
			die("no logs", &e);
	}
	for (uint64_t size = t.whole.len; size >= t.ends.items[0]; size--) {
		if (truncate(t.path, (off_t)size) < 0)
			die("truncate", NULL);
		while (t.ends.items[k] > size)
			k--;
		check(&t, t.ends.items[k > NEAR ? k - NEAR : 0], size, t.ends.items[k]);
		if (size % WHOLE_EVERY == 0)
			check(&t, t.ends.items[0], size, t.ends.items[k]);
	}
	printf("%llu cuts\n", (unsigned long long)t.cuts);
	logs_done(&t.logs);
	vec_done(&t.ends);
	str_done(&t.whole);
	return 0;
}
