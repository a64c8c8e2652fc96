/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_frame - a byte of settings, then a stream, fed whole and cut into pieces: both give the same
 * frames and the same end, frames keep the rules, and memory keeps its bound.
 */
#include "frame.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "violated: %s\n", what);
	abort();
}

static enum frame_next take(struct frame_reader *r, struct str *log)
{
	struct frame f;
	struct err e = { 0 };
	enum frame_next n;

	while ((n = frame_next(r, &f, &e)) == FRAME_READY) {
		must(f.type > 0 && f.type < FRAME_TYPES, "types are known");
		must(f.len <= FRAME_RESULT_MAX, "lengths are bounded");
		must((const char *)f.p + f.len <= r->buf.p + r->buf.len, "the payload has come");
		frame_add(log, f.type, f.id, f.p, f.len);
	}
	must((n == FRAME_BAD) == (e.kind == ERR_PARSE), "bad streams have a reason");
	return n;
}

static enum frame_next read_all(
        const uint8_t *p, size_t size, size_t step, unsigned set, struct str *log)
{
	struct frame_reader r;
	enum frame_next n = FRAME_MORE;

	frame_reader_init(&r, set & 1 ? FRAME_NODE : FRAME_MANAGER, set & 2 ? 64 : 0);
	for (size_t at = 0; at < size && n == FRAME_MORE;) {
		size_t room, part = size - at < step ? size - at : step;
		void *to = frame_reader_room(&r, &room);

		if (part > room)
			part = room;
		memcpy(to, p + at, part);
		frame_reader_filled(&r, part);
		at += part;
		n = take(&r, log);
		must(r.buf.cap <= 8u << 20, "memory is bounded");
	}
	frame_reader_done(&r);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_STR struct str whole = STR_INIT, cut = STR_INIT;

	if (!size)
		return 0;
	enum frame_next a = read_all(data + 1, size - 1, SIZE_MAX, data[0], &whole);
	enum frame_next b = read_all(data + 1, size - 1, 1 + data[0] / 8, data[0], &cut);

	must(a == b && whole.len == cut.len && memcmp(whole.p, cut.p, cut.len) == 0,
	        "cuts do not matter");
	return 0;
}
