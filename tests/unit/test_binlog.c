/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The binlog reader on files that real servers wrote (the fuzzer's seeds, named after flavour and
 * mode), whole and damaged in every place.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include "binlog_payload.h"
#include "binlog_txn.h"
#include "clock.h"
#include "str.h"
#include "vec.h"

#define SEEDS "tests/fuzz/corpus/binlog/"

static const char *const seeds[] = {
	"my56-gtid",
	"my56-pos",
	"my56-relay",
	"my97-gtid",
	"my97-pos",
	"my97-relay",
	"my97-nocrc",
	"ma1011-gtid",
	"ma1011-pos",
	"ma1011-relay",
	"ma1011-nocrc",
	"ma118-gtid",
	"ma118-pos",
	"ma118-relay",
};

static void load(const char *name, struct str *to)
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
	assert_true(to->len > 500);
}

/*
 * What a whole reading of a file found: for each event its end, and up to where all was whole then.
 */
struct mark {
	uint64_t end, whole;
};
typedef VEC(struct mark) marks;

static void mark_all(const struct str *file, marks *to)
{
	AUTO(binlog) struct binlog *b = binlog_new_mem(file->p, file->len);
	struct binlog_txn t = BINLOG_TXN_INIT;
	struct binlog_event ev;
	enum binlog_place place;
	uint64_t at = BINLOG_MAGIC_SIZE, whole = 0;

	while (binlog_next(b, &ev, NULL) == BINLOG_EVENT) {
		assert_int_equal(ev.offset, at);
		at += ev.size;
		assert_true(binlog_txn_feed(&t, binlog_format(b), &ev, &place, NULL));
		if (!binlog_txn_is_open(&t))
			whole = at;
		vec_push(to, (struct mark){ at, whole });
	}
	assert_int_equal(binlog_next(b, &ev, NULL), BINLOG_END);
	assert_int_equal(at, file->len);
	assert_int_equal(whole, file->len);
}

static uint64_t whole_before(const marks *m, uint64_t offset)
{
	uint64_t whole = 0;

	vec_each (struct mark, k, m)
		if (k->end <= offset)
			whole = k->whole;
	return whole;
}

static struct binlog_tail tail_of(const void *p, size_t n)
{
	AUTO(binlog) struct binlog *b = binlog_new_mem(p, n);
	struct binlog_txn t = BINLOG_TXN_INIT;
	struct binlog_tail tail;

	assert_true(binlog_txn_find_tail(b, &t, &tail, NULL));
	return tail;
}

static void test_every_seed_reads_to_its_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(seeds); i++) {
		AUTO_STR struct str file = STR_INIT;
		marks m = VEC_INIT;

		load(seeds[i], &file);
		mark_all(&file, &m);
		assert_true(m.len > 5);
		vec_done(&m);
	}
}

/* Never half a transaction, never one less than are whole. */
static void test_cut_at_every_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(seeds); i++) {
		AUTO_STR struct str file = STR_INIT;
		marks m = VEC_INIT;

		/* Of one file in three every byte, of the others every ninth, to save time. */
		load(seeds[i], &file);
		mark_all(&file, &m);
		for (size_t n = 0; n < file.len; n += i % 3 ? 9 : 1) {
			struct binlog_tail tail = tail_of(file.p, n);
			bool proper_end = n == BINLOG_MAGIC_SIZE || (n && n == tail.seen_end);

			assert_int_equal(tail.whole_end, whole_before(&m, n));
			assert_int_equal(tail.why == BINLOG_END, proper_end);
			if (!proper_end &&
			        tail.why != BINLOG_TORN) /* a few zero bytes could be either */
				assert_true(tail.why == BINLOG_ZEROS &&
				            n - tail.seen_end < BINLOG_HEADER_SIZE);
			assert_int_equal(tail.open, tail.whole_end != tail.seen_end);
		}
		vec_done(&m);
	}
}

/* As a crash of the host leaves it: right size, the end never written. */
static void test_zeros_from_every_byte(void **state)
{
	(void)state;
	AUTO_STR struct str file = STR_INIT;
	marks m = VEC_INIT;

	load("my97-gtid", &file);
	mark_all(&file, &m);
	for (size_t n = file.len; n-- > BINLOG_MAGIC_SIZE;) {
		struct binlog_tail tail;
		bool was_zero = file.p[n] == 0;

		file.p[n] = 0;
		tail = tail_of(file.p, file.len);
		if (was_zero) /* the byte before decides */
			continue;
		assert_int_equal(tail.whole_end, whole_before(&m, n));
		assert_int_not_equal(tail.why, BINLOG_END);
		if (n == tail.seen_end)
			assert_int_equal(tail.why, BINLOG_ZEROS);
	}
	vec_done(&m);
}

static void test_zeros_behind_the_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(seeds); i++) {
		AUTO_STR struct str file = STR_INIT;
		static const char zeros[70000];
		size_t len;

		load(seeds[i], &file);
		len = file.len;
		for (size_t n = 1; n <= sizeof(zeros); n = n < 40 ? n + 1 : n * 10) {
			str_cut(&file, len);
			str_addn(&file, zeros, n);
			assert_int_equal(tail_of(file.p, file.len).why, BINLOG_ZEROS);
			assert_int_equal(tail_of(file.p, file.len).whole_end, len);
		}
		str_addc(&file, 'x');
		assert_int_equal(tail_of(file.p, file.len).why, BINLOG_GARBAGE);
		assert_int_equal(tail_of(file.p, file.len).whole_end, len);
	}
}

/* Whatever byte is wrong, nothing from its transaction on is believed. */
static void test_damage_in_every_byte(void **state)
{
	(void)state;
	static const char *const with_crc[] = { "my97-gtid", "ma118-gtid" };

	for (size_t i = 0; i < ARRAY_LEN(with_crc); i++) {
		AUTO_STR struct str file = STR_INIT;
		marks m = VEC_INIT;

		load(with_crc[i], &file);
		mark_all(&file, &m);
		for (size_t n = 0; n < file.len; n++) {
			struct binlog_tail tail;
			char was = file.p[n];

			if (n ==
			        21) /* the format description's flags: the in-use bit counts for nothing */
				continue;
			file.p[n] = (char)(was ^ (1 << n % 8));
			if (n == 0 && (uint8_t)file.p[n] == 0xfd)
				file.p[n] = 'x';
			tail = tail_of(file.p, file.len);
			file.p[n] = was;
			assert_int_equal(tail.whole_end, whole_before(&m, n));
			assert_int_not_equal(tail.why, BINLOG_END);
		}
		vec_done(&m);
	}
}

/* A memory file, read from its beginning. */
static int file_of(const struct str *bytes)
{
	int fd = memfd_create("binlog", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes->p, bytes->len), (ssize_t)bytes->len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* Both see the same, the second perhaps less of an event's bytes. */
static void assert_same(struct binlog *a, struct binlog *b)
{
	struct binlog_event x, y;
	enum binlog_next n, k;

	do {
		n = binlog_next(a, &x, NULL);
		k = binlog_next(b, &y, NULL);
		assert_int_equal(n, k);
		assert_int_equal(binlog_offset(a), binlog_offset(b));
		if (n != BINLOG_EVENT)
			break;
		assert_int_equal(x.offset, y.offset);
		assert_int_equal(x.size, y.size);
		assert_int_equal(x.end_pos, y.end_pos);
		assert_int_equal(x.body_size, y.body_size);
		assert_true(y.have <= x.have && y.body_have <= x.body_have);
		assert_memory_equal(x.bytes, y.bytes, y.have);
	} while (n == BINLOG_EVENT);
}

static void test_a_small_window_sees_the_same(void **state)
{
	(void)state;
	static const size_t windows[] = { 64, 100, 257, 5000, BINLOG_WINDOW };

	for (size_t i = 0; i < ARRAY_LEN(seeds); i++) {
		AUTO_STR struct str file = STR_INIT;

		load(seeds[i], &file);
		for (size_t w = 0; w < ARRAY_LEN(windows); w++) {
			AUTO_FD int fd = file_of(&file);
			AUTO(binlog)
			struct binlog *a = binlog_new_mem(file.p, file.len), *b = binlog_new_fd(fd);

			binlog_set_window(b, windows[w]);
			assert_same(a, b);
		}
		str_cut(&file, file.len - 3);
		AUTO_FD int fd = file_of(&file);
		AUTO(binlog)
		struct binlog *a = binlog_new_mem(file.p, file.len), *b = binlog_new_fd(fd);

		binlog_set_window(b, 64);
		assert_same(a, b);
	}
}

struct drip {
	const struct str *file;
	size_t at;
};

/* What is given out as still at hand is what stands in the file, and a small window forgets. */
static void test_what_is_behind_is_what_was_read(void **state)
{
	AUTO_STR struct str file = STR_INIT;

	(void)state;
	load("my97-gtid", &file);
	for (size_t window = 256; window <= 65536; window *= 16) {
		AUTO_FD int fd = file_of(&file);
		AUTO(binlog) struct binlog *b = binlog_new_fd(fd);
		struct binlog_event ev;
		size_t given = 0, forgotten = 0;

		binlog_set_window(b, window);
		while (binlog_next(b, &ev, NULL) == BINLOG_EVENT) {
			uint64_t end = binlog_offset(b);

			for (uint64_t at = BINLOG_MAGIC_SIZE; at < end; at += 97) {
				const uint8_t *p = binlog_behind(b, at);

				given += p != NULL;
				forgotten += p == NULL;
				if (p)
					assert_memory_equal(p, file.p + at, end - at);
			}
		}
		assert_true(given > 0);
		assert_true(window >= file.len || forgotten > 0);
	}
}

static ssize_t drip(void *ctx, void *to, size_t n, struct err *e)
{
	struct drip *d = ctx;
	size_t left = d->file->len - d->at, k = d->at % 7 + 1;

	(void)e;
	k = k < n ? k : n;
	k = k < left ? k : left;
	memcpy(to, d->file->p + d->at, k);
	d->at += k;
	return (ssize_t)k;
}

static void test_a_source_that_drips_sees_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(seeds); i++) {
		AUTO_STR struct str file = STR_INIT;
		struct drip d = { &file, 0 };

		load(seeds[i], &file);
		AUTO(binlog)
		struct binlog *a = binlog_new_mem(file.p, file.len),
		              *b = binlog_new_source(drip, NULL, &d, NULL);

		binlog_set_window(b, 128);
		assert_same(a, b);
	}
}

static ssize_t fail_at_300(void *ctx, void *to, size_t n, struct err *e)
{
	struct drip *d = ctx;

	if (d->at < 300)
		return drip(ctx, to, n, e);
	err_set(e, ERR_SYSTEM, 5, "the disk is gone");
	return -1;
}

static void test_a_source_that_fails_is_no_end(void **state)
{
	(void)state;
	AUTO_STR struct str file = STR_INIT;
	struct drip d = { &file, 0 };
	struct binlog_txn t = BINLOG_TXN_INIT;
	struct binlog_tail tail;
	struct binlog_event ev;
	struct err e = { 0 };

	load("my56-gtid", &file);
	AUTO(binlog) struct binlog *b = binlog_new_source(fail_at_300, NULL, &d, NULL);

	assert_false(binlog_txn_find_tail(b, &t, &tail, &e));
	assert_int_equal(e.kind, ERR_SYSTEM);
	assert_non_null(strstr(e.text, "the disk is gone"));
	assert_int_equal(binlog_next(b, &ev, &e), BINLOG_UNREADABLE);
}

static void test_a_silent_pipe_has_a_deadline(void **state)
{
	(void)state;
	int ends[2];
	struct err e = { 0 };
	struct binlog_event ev;

	assert_int_equal(pipe(ends), 0);
	AUTO_FD int from = ends[0], to = ends[1];
	AUTO(binlog) struct binlog *b = binlog_new_fd(from);

	assert_int_equal(write(to,
	                         "\xfe"
	                         "bin",
	                         4),
	        4);
	binlog_set_deadline(b, clock_in(30));
	assert_int_equal(binlog_next(b, &ev, &e), BINLOG_UNREADABLE);
	assert_int_equal(e.kind, ERR_LOST);
}

static void put_le(uint8_t *p, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static void make_header(uint8_t p[BINLOG_HEADER_SIZE], uint8_t type, uint32_t size,
        uint32_t log_pos, uint16_t flags)
{
	put_le(p, 1700000000, 4);
	p[4] = type;
	put_le(p + 5, 42, 4);
	put_le(p + 9, size, 4);
	put_le(p + 13, log_pos, 4);
	put_le(p + 17, flags, 2);
}

/* A file's head up to and with its format description. */
static size_t head_of(const struct str *file)
{
	AUTO(binlog) struct binlog *b = binlog_new_mem(file->p, file->len);
	struct binlog_event ev;

	assert_int_equal(binlog_next(b, &ev, NULL), BINLOG_EVENT);
	assert_int_equal(ev.type, BINLOG_FORMAT);
	return (size_t)binlog_offset(b);
}

static void add_large(struct str *to, size_t size)
{
	AUTO(free) uint8_t *ev = xmalloc(size);
	uLong crc;

	for (size_t i = 0; i < size; i++)
		ev[i] = (uint8_t)(i * 7);
	make_header(ev, BINLOG_IGNORABLE, (uint32_t)size, (uint32_t)(to->len + size),
	        BINLOG_F_IGNORABLE);
	crc = crc32(0, ev, (uInt)size - 4);
	put_le(ev + size - 4, crc, 4);
	str_addn(to, ev, size);
}

static void test_events_around_the_window(void **state)
{
	(void)state;
	static const size_t sizes[] = { BINLOG_WINDOW - 1, BINLOG_WINDOW, BINLOG_WINDOW + 1,
		BINLOG_WINDOW + 5, 3 * BINLOG_WINDOW / 2, 3 * BINLOG_WINDOW, 10000000 };
	AUTO_STR struct str seed = STR_INIT, file = STR_INIT;

	load("my97-gtid", &seed);
	str_addn(&file, seed.p, head_of(&seed));
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		add_large(&file, sizes[i]);

	AUTO_FD int fd = file_of(&file);
	AUTO(binlog) struct binlog *a = binlog_new_mem(file.p, file.len), *b = binlog_new_fd(fd);

	assert_same(a, b);
	assert_int_equal(binlog_offset(b), file.len);

	/* The last one damaged near its end, then cut there. */
	file.p[file.len - 100] ^= 1;
	AUTO_FD int bad = file_of(&file);
	AUTO(binlog) struct binlog *c = binlog_new_fd(bad);
	struct binlog_event ev;
	enum binlog_next n;

	while ((n = binlog_next(c, &ev, NULL)) == BINLOG_EVENT)
		;
	assert_int_equal(n, BINLOG_BAD_CRC);
	assert_int_equal(binlog_offset(c), file.len - sizes[ARRAY_LEN(sizes) - 1]);
	str_cut(&file, file.len - 100);
	AUTO_FD int torn = file_of(&file);
	AUTO(binlog) struct binlog *d = binlog_new_fd(torn);

	while ((n = binlog_next(d, &ev, NULL)) == BINLOG_EVENT)
		;
	assert_int_equal(n, BINLOG_TORN);
}

/* The seed without checksums, its events moved behind 4.5 GiB of holes. */
static void test_positions_beyond_4_gib(void **state)
{
	(void)state;
	AUTO_STR struct str seed = STR_INIT;
	AUTO_FD int fd = memfd_create("large", MFD_CLOEXEC);
	const uint64_t hole = 0x60000000, shift = 3 * hole;
	uint8_t header[BINLOG_HEADER_SIZE];
	struct binlog_event ev;
	uint64_t first, end = 0;
	unsigned events = 0;

	load("ma1011-nocrc", &seed);
	first = head_of(&seed);
	assert_int_equal(pwrite(fd, seed.p, first, 0), (ssize_t)first);
	for (uint64_t at = first; at < first + shift; at += hole) {
		make_header(header, BINLOG_IGNORABLE, (uint32_t)hole, (uint32_t)(at + hole),
		        BINLOG_F_IGNORABLE);
		assert_int_equal(
		        pwrite(fd, header, sizeof(header), (off_t)at), (ssize_t)sizeof(header));
	}
	AUTO(binlog) struct binlog *plain = binlog_new_mem(seed.p, seed.len);

	while (binlog_next(plain, &ev, NULL) == BINLOG_EVENT) {
		AUTO(free) uint8_t *moved = xmalloc(ev.size);

		if (ev.offset < first)
			continue;
		memcpy(moved, ev.bytes, ev.size);
		put_le(moved + 13, ev.end_pos + shift, 4);
		assert_int_equal(pwrite(fd, moved, ev.size, (off_t)(ev.offset + shift)), ev.size);
	}
	AUTO(binlog) struct binlog *b = binlog_new_fd(fd);

	while (binlog_next(b, &ev, NULL) == BINLOG_EVENT) {
		assert_int_equal(ev.end_pos, ev.offset + ev.size);
		end = ev.end_pos;
		events++;
	}
	assert_int_equal(end, seed.len + shift);
	assert_true(events > 6 && end > UINT32_MAX);
	assert_true(binlog_seek(b, first + shift, NULL));
	assert_int_equal(binlog_next(b, &ev, NULL), BINLOG_EVENT);
	assert_int_equal(ev.end_pos, first + shift + ev.size);
}

static void test_seek_to_every_event(void **state)
{
	(void)state;
	AUTO_STR struct str file = STR_INIT;
	marks m = VEC_INIT;
	struct binlog_event ev;
	struct err e = { 0 };

	load("ma118-gtid", &file);
	mark_all(&file, &m);
	AUTO_FD int fd = file_of(&file);
	AUTO(binlog) struct binlog *b = binlog_new_fd(fd), *k = binlog_new_mem(file.p, file.len);

	assert_false(binlog_seek(b, m.items[0].end, &e));
	assert_int_equal(binlog_next(b, &ev, NULL), BINLOG_EVENT);
	assert_int_equal(binlog_next(k, &ev, NULL), BINLOG_EVENT);
	for (size_t i = m.len - 1; i-- > 0;) {
		assert_true(binlog_seek(b, m.items[i].end, NULL));
		assert_true(binlog_seek(k, m.items[i].end, NULL));
		assert_int_equal(binlog_next(b, &ev, NULL), BINLOG_EVENT);
		assert_int_equal(ev.offset, m.items[i].end);
		assert_int_equal(ev.offset + ev.size, m.items[i + 1].end);
		assert_int_equal(binlog_next(k, &ev, NULL), BINLOG_EVENT);
		assert_int_equal(ev.offset + ev.size, m.items[i + 1].end);
	}
	assert_true(binlog_seek(b, file.len, NULL));
	assert_int_equal(binlog_next(b, &ev, NULL), BINLOG_END);
	assert_false(binlog_seek(b, file.len + 1, &e));
	assert_int_equal(e.kind, ERR_PRECOND);
	assert_false(binlog_seek(k, file.len + 1, &e));
	assert_true(binlog_seek(b, m.items[3].end + 1, NULL));
	assert_int_not_equal(binlog_next(b, &ev, NULL), BINLOG_EVENT);
	vec_done(&m);
}

static enum binlog_next first_of(const void *p, size_t n, struct err *e)
{
	AUTO(binlog) struct binlog *b = binlog_new_mem(p, n);
	struct binlog_event ev;

	return binlog_next(b, &ev, e);
}

static void test_encrypted_ones_are_refused(void **state)
{
	(void)state;
	AUTO_STR struct str file = STR_INIT;
	uint8_t header[BINLOG_HEADER_SIZE + 17] = { 0 };
	struct err e = { 0 };
	struct binlog_txn t = BINLOG_TXN_INIT;
	struct binlog_tail tail;

	assert_int_equal(first_of("\xfd"
	                          "bin\1\2\3",
	                         7, &e),
	        BINLOG_ENCRYPTED);
	assert_int_equal(e.kind, ERR_PRECOND);
	assert_non_null(strstr(e.hint, "binlog_encryption"));

	load("ma1011-nocrc", &file);
	str_cut(&file, head_of(&file));
	make_header(header, BINLOG_START_ENCRYPTION, sizeof(header), 0, 0);
	str_addn(&file, header, sizeof(header));
	AUTO(binlog) struct binlog *b = binlog_new_mem(file.p, file.len);

	assert_false(binlog_txn_find_tail(b, &t, &tail, &e));
	assert_int_equal(e.kind, ERR_PRECOND);
}

static void test_what_is_no_binlog(void **state)
{
	(void)state;
	AUTO_STR struct str file = STR_INIT;
	uint8_t header[BINLOG_HEADER_SIZE];

	assert_int_equal(first_of("", 0, NULL), BINLOG_TORN);
	assert_int_equal(first_of("\xfe"
	                          "bi",
	                         3, NULL),
	        BINLOG_TORN);
	assert_int_equal(first_of("\xfe"
	                          "bin",
	                         4, NULL),
	        BINLOG_END);
	assert_int_equal(first_of("hello world", 11, NULL), BINLOG_GARBAGE);
	assert_int_equal(first_of("\0\0\0\0\0\0\0", 7, NULL), BINLOG_ZEROS);

	str_addn(&file,
	        "\xfe"
	        "bin",
	        4);
	make_header(header, BINLOG_QUERY, sizeof(header), 0, 0);
	str_addn(&file, header, sizeof(header));
	assert_int_equal(first_of(file.p, file.len, NULL), BINLOG_GARBAGE);
}

static void test_the_in_use_flag_does_not_count(void **state)
{
	(void)state;
	AUTO_STR struct str file = STR_INIT;

	load("my56-gtid", &file);
	file.p[21] |= BINLOG_F_IN_USE;
	assert_int_equal(tail_of(file.p, file.len).why, BINLOG_END);
	file.p[21] &= (char)~BINLOG_F_IN_USE;
	assert_int_equal(tail_of(file.p, file.len).why, BINLOG_END);
}

static void test_payloads_open_in_memory_and_from_files(void **state)
{
	(void)state;
	AUTO_STR struct str file = STR_INIT;
	unsigned payloads = 0, inner = 0;
	struct binlog_event ev;

	load("my97-gtid", &file);
	AUTO_FD int fd = file_of(&file);
	AUTO(binlog) struct binlog *a = binlog_new_mem(file.p, file.len), *b = binlog_new_fd(fd);

	binlog_set_window(b, 256);
	for (struct binlog_event ev2; binlog_next(a, &ev, NULL) == BINLOG_EVENT;) {
		assert_int_equal(binlog_next(b, &ev2, NULL), BINLOG_EVENT);
		if (ev.type != BINLOG_TRANSACTION_PAYLOAD)
			continue;
		AUTO(binlog)
		struct binlog *x = binlog_payload_open(a, &ev, NULL),
		              *y = binlog_payload_open(b, &ev2, NULL);

		assert_non_null(x);
		assert_non_null(y);
		payloads++;
		assert_same(x, y);
		AUTO(binlog) struct binlog *z = binlog_payload_open(a, &ev, NULL);

		for (struct binlog_event in; binlog_next(z, &in, NULL) == BINLOG_EVENT;)
			inner++;
	}
	assert_true(payloads >= 3);
	assert_true(inner > 5 * payloads);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_seed_reads_to_its_end),
		cmocka_unit_test(test_cut_at_every_byte),
		cmocka_unit_test(test_zeros_from_every_byte),
		cmocka_unit_test(test_zeros_behind_the_end),
		cmocka_unit_test(test_damage_in_every_byte),
		cmocka_unit_test(test_a_small_window_sees_the_same),
		cmocka_unit_test(test_a_source_that_drips_sees_the_same),
		cmocka_unit_test(test_a_source_that_fails_is_no_end),
		cmocka_unit_test(test_a_silent_pipe_has_a_deadline),
		cmocka_unit_test(test_events_around_the_window),
		cmocka_unit_test(test_positions_beyond_4_gib),
		cmocka_unit_test(test_seek_to_every_event),
		cmocka_unit_test(test_encrypted_ones_are_refused),
		cmocka_unit_test(test_what_is_no_binlog),
		cmocka_unit_test(test_what_is_behind_is_what_was_read),
		cmocka_unit_test(test_the_in_use_flag_does_not_count),
		cmocka_unit_test(test_payloads_open_in_memory_and_from_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
