/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_save - `mha-node save` of binlogs of small transactions (one row each, five events), of MySQL and of MariaDB, by
 * GTID, beside cp of that file; in turns, medians.  The program is taken from $MHAD_BIN (default build/bin), files are made in $TMPDIR (default
 * /var/tmp).  Arguments: size in MB (default 500), rounds (default 7).
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "clock.h"
#include "crc.h"
#include "mem.h"
#include "str.h"

#define UUID       "07070707-0707-0707-0707-070707070707"
#define MAX_ROUNDS 99

struct file {
	FILE *f;
	uint64_t pos;
};

static void put_le(unsigned char *to, uint64_t v, int n)
{
	for (; n; n--, v >>= 8)
		*to++ = (unsigned char)v;
}

static void event(struct file *f, unsigned char type, const void *body, size_t n)
{
	unsigned char b[256];
	size_t size = 19 + n + 4;

	put_le(b, 1700000000, 4);
	b[4] = type;
	put_le(b + 5, 1, 4);
	put_le(b + 9, size, 4);
	put_le(b + 13, f->pos + size, 4);
	put_le(b + 17, 0, 2);
	memcpy(b + 19, body, n);
	put_le(b + 19 + n, crc_add(0, b, 19 + n), 4);
	if (fwrite(b, 1, size, f->f) != size) {
		perror("write");
		exit(1);
	}
	f->pos += size;
}

/* A format description of the server version, with lengths of `n` types. */
static void format(struct file *f, const char *version, const unsigned char *types, size_t n)
{
	unsigned char b[256] = { 4, 0 };

	memcpy(b + 2, version, strlen(version));
	b[56] = 19;
	memcpy(b + 57, types, n);
	b[57 + n] = 1;
	event(f, 15, b, 57 + n + 1);
}

/* One row (int, int, char(60)) and the commit behind it, the same in both dialects. */
static void row_and_xid(struct file *f, unsigned char type, size_t fixed)
{
	unsigned char map[42] = { 9 }, rows[100] = { 9 }, xid[8] = { 1 };

	memcpy(map + 6, "\1\0\5shopx\0\6orders\0\3\3\3\xfe\2\xfe\xf0\0", 25);
	rows[6] = 1;
	rows[8] = 2; /* in the longer one: of the fixed part itself */
	rows[fixed] = 3;
	rows[fixed + 1] = 0xff;
	rows[fixed + 3 + 8] = 60;
	event(f, 19, map, 31);
	event(f, type, rows, fixed + 3 + 8 + 61);
	event(f, 16, xid, sizeof(xid));
}

/* As of MySQL 8.0: GTID, BEGIN, Table_map, Write_rows, Xid. */
static void mysql_transaction(struct file *f, uint64_t gno)
{
	unsigned char gtid[56] = { 1 }, query[59] = { 8 };

	memset(gtid + 1, 7, 16);
	put_le(gtid + 17, gno, 8);
	gtid[25] = 2;
	put_le(gtid + 26, gno - 1, 8);
	put_le(gtid + 34, gno, 8);
	put_le(gtid + 42, 1700000000000000, 7);
	put_le(gtid + 49, 0xfc, 1);
	put_le(gtid + 50, 351, 2);
	put_le(gtid + 52, 80036, 4);
	query[8] = 5;
	query[11] = 35;
	memcpy(query + 48, "shopx\0BEGIN", 11);
	event(f, 33, gtid, sizeof(gtid));
	event(f, 2, query, sizeof(query));
	row_and_xid(f, 30, 10);
}

/* As of MariaDB 10.11: GTID, Annotate_rows, Table_map, Write_rows_v1, Xid. */
static void mariadb_transaction(struct file *f, uint64_t seq)
{
	static const char text[] =
	        "INSERT INTO orders VALUES (1234567, 42, 'a customer and his address')";
	unsigned char gtid[19] = { 0 };

	put_le(gtid, seq, 8);
	gtid[12] = 4;
	event(f, 162, gtid, sizeof(gtid));
	event(f, 160, text, sizeof(text) - 1);
	row_and_xid(f, 23, 8);
}

static void mysql_head(struct file *f)
{
	static const unsigned char types[] = { 56, 13, 0, 8, 0, 18, 0, 4, 4, 4, 4, 18, 0, 0, 98, 0,
		4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0, 0, 0, 10, 10, 10, 42, 42, 0, 18, 52, 0, 10, 40,
		0 };
	static const unsigned char nothing[8];

	format(f, "8.0.36", types, sizeof(types));
	event(f, 35, nothing, sizeof(nothing));
}

static void mariadb_head(struct file *f)
{
	static const unsigned char nothing[4];
	unsigned char types[171] = { 56, 13, 0, 8, 0, 18, 0, 4, 4, 4, 4, 18, 0, 0, 228, 0, 4, 26, 8,
		0, 0, 0, 8, 8, 8, 2, 0, 0, 0, 10, 10, 10 };

	types[161] = 19;
	types[162] = 4;
	format(f, "10.11.6-MariaDB-log", types, sizeof(types));
	event(f, 163, nothing, sizeof(nothing));
}

static const struct dialect {
	const char *name, *have; /* have: of all up to a number */
	void (*head)(struct file *f);
	void (*transaction)(struct file *f, uint64_t number);
} dialects[] = {
	{ "MySQL", "--have=" UUID ":1-%llu", mysql_head, mysql_transaction },
	{ "MariaDB", "--have=0-1-%llu", mariadb_head, mariadb_transaction },
};

/* Returns the number of transactions. */
static uint64_t make(const struct dialect *d, const char *path, uint64_t size)
{
	struct file f = { fopen(path, "we"), 4 };
	uint64_t n = 0;

	if (!f.f) {
		perror(path);
		exit(1);
	}
	fwrite("\xfe"
	       "bin",
	        1, 4, f.f);
	d->head(&f);
	while (f.pos < size)
		d->transaction(&f, ++n);
	if (fclose(f.f) != 0) {
		perror(path);
		exit(1);
	}
	return n;
}

/* Run it; its exit status must be one of those for "done" and "nothing to do". */
static void run(const char *const *argv, long *ret_kb)
{
	struct rusage use;
	int status, null;
	pid_t pid = fork();

	if (pid == 0) {
		null = open("/dev/null", O_WRONLY);
		dup2(null, 1);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &use) < 0 || !WIFEXITED(status) ||
	        (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 10)) {
		fprintf(stderr, "%s failed\n", argv[0]);
		exit(1);
	}
	*ret_kb = use.ru_maxrss;
}

enum what { CP, CP_SYNCED, SAVE_ALL, SAVE_HALF, SAVE_NONE, WHATS };
static const char *const names[] = { "cp", "cp, fsync", "save all", "save the second half",
	"nothing to save" };

static int64_t once(const struct dialect *d, enum what what, const char *dir, uint64_t transactions,
        long *ret_kb)
{
	const char *bin = getenv("MHAD_BIN");
	AUTO(free) char *node = xasprintf("%s/mha-node", bin ? bin : "build/bin");
	AUTO(free) char *from = xasprintf("%s/bin.000001", dir), *to = xasprintf("%s/copy", dir);
	AUTO(free)
	char *folder = xasprintf("--binlog_dir=%s", dir), *out = xasprintf("--output_file=%s", to);
	uint64_t had = what == SAVE_ALL ? 0 : what == SAVE_HALF ? transactions / 2 : transactions;
	AUTO(free)
	char *have = had ? xasprintf(d->have, (unsigned long long)had) : xstrdup("--have=");
	const char *cp[] = { "cp", from, to, NULL };
	const char *save[] = { node, "save", "--binlog_prefix=bin", folder, have, out, NULL };
	int64_t start;

	unlink(to);
	start = clock_us();
	run(what <= CP_SYNCED ? cp : save, ret_kb);
	if (what == CP_SYNCED) {
		AUTO_FD int fd = open(to, O_RDONLY | O_CLOEXEC);

		fsync(fd);
	}
	return clock_us() - start;
}

static int by_value(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void bench(const struct dialect *d, const char *dir, uint64_t size, int rounds)
{
	AUTO(free) char *path = xasprintf("%s/bin.000001", dir);
	int64_t us[WHATS][MAX_ROUNDS];
	uint64_t transactions = make(d, path, size);
	long kb[WHATS] = { 0 };

	printf("save: a binlog of %s, %llu bytes, %llu transactions, %d rounds\n", d->name,
	        (unsigned long long)size, (unsigned long long)transactions, rounds);
	sync();
	for (int i = -1; i < rounds; i++) /* the first round is for warming up */
		for (enum what w = 0; w < WHATS; w++) {
			long used;
			int64_t took = once(d, w, dir, transactions, &used);

			us[w][i < 0 ? 0 : i] = took;
			kb[w] = used > kb[w] ? used : kb[w];
		}
	for (enum what w = 0; w < WHATS; w++)
		qsort(us[w], (size_t)rounds, sizeof(us[w][0]), by_value);
	for (enum what w = 0; w < WHATS; w++) {
		double ms = (double)us[w][rounds / 2] / 1000,
		       cp = (double)us[CP][rounds / 2] / 1000,
		       synced = (double)us[CP_SYNCED][rounds / 2] / 1000;

		printf("  %-22s median %6.0f ms  best %6.0f ms  %4.1f times cp  %4.1f times cp, "
		       "fsync"
		       "  %5ld kB\n",
		        names[w], ms, (double)us[w][0] / 1000, ms / cp, ms / synced, kb[w]);
	}
}

int main(int argc, char **argv)
{
	const char *tmp = getenv("TMPDIR");
	AUTO(free) char *dir = xasprintf("%s/mhad-bench.XXXXXX", tmp ? tmp : "/var/tmp");
	AUTO(free) char *file = NULL, *copy = NULL;
	long long mb = 500, rounds = 7;

	if (argc > 3 || (argc > 1 && !str_to_int(argv[1], 1, 100000, &mb)) ||
	        (argc > 2 && !str_to_int(argv[2], 1, MAX_ROUNDS, &rounds))) {
		fprintf(stderr, "usage: bench_save [MB [ROUNDS]]\n");
		return 2;
	}
	if (!mkdtemp(dir)) {
		perror(dir);
		return 1;
	}
	file = xasprintf("%s/bin.000001", dir);
	copy = xasprintf("%s/copy", dir);
	for (size_t i = 0; i < sizeof(dialects) / sizeof(dialects[0]); i++)
		bench(&dialects[i], dir, (uint64_t)mb * 1000000, (int)rounds);
	unlink(file);
	unlink(copy);
	rmdir(dir);
	return 0;
}
