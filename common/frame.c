/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frame - packing and unpacking.  Used by mha-node's session and by the manager's side of it.
 * Runs on: any thread.
 */
#include "frame.h"
#include <string.h>

#define READ_SIZE ((size_t)(FRAME_DATA_MAX + FRAME_HEADER))
#define BY(side)  (1u << (side))

static const struct {
	const char *name;
	uint32_t max, min;
	unsigned by; /* who may send it */
	bool whole;  /* concerns the session: id 0; else a request: another id */
} types[FRAME_TYPES] = {
	[FRAME_HELLO] = { "HELLO", FRAME_DATA_MAX, 2, BY(FRAME_MANAGER) | BY(FRAME_NODE), true },
	[FRAME_REQUEST] = { "REQUEST", FRAME_REQUEST_MAX, 2, BY(FRAME_MANAGER), false },
	[FRAME_DATA] = { "DATA", FRAME_DATA_MAX, 1, BY(FRAME_MANAGER) | BY(FRAME_NODE), false },
	[FRAME_END] = { "END", 0, 0, BY(FRAME_MANAGER), false },
	[FRAME_GRANT] = { "GRANT", 4, 4, BY(FRAME_MANAGER) | BY(FRAME_NODE), false },
	[FRAME_LINE] = { "LINE", FRAME_DATA_MAX, 0, BY(FRAME_NODE), false },
	[FRAME_RESULT] = { "RESULT", FRAME_RESULT_MAX, 2, BY(FRAME_NODE), false },
	[FRAME_CANCEL] = { "CANCEL", 0, 0, BY(FRAME_MANAGER), false },
	[FRAME_PING] = { "PING", 64, 0, BY(FRAME_MANAGER) | BY(FRAME_NODE), true },
	[FRAME_PONG] = { "PONG", 64, 0, BY(FRAME_MANAGER) | BY(FRAME_NODE), true },
	[FRAME_ERROR] = { "ERROR", FRAME_DATA_MAX, 0, BY(FRAME_MANAGER) | BY(FRAME_NODE), true },
};

static void put32(unsigned char *to, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		to[i] = (unsigned char)(v >> 8 * i);
}

static uint32_t get32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

const char *frame_name(enum frame_type type)
{
	return types[type].name;
}

void frame_header(unsigned char to[FRAME_HEADER], enum frame_type type, uint32_t id, uint32_t len)
{
	memset(to, 0, FRAME_HEADER);
	to[0] = (unsigned char)type;
	put32(to + 4, id);
	put32(to + 8, len);
}

void frame_add(struct str *to, enum frame_type type, uint32_t id, const void *p, size_t len)
{
	unsigned char header[FRAME_HEADER];

	frame_header(header, type, id, (uint32_t)len);
	str_addn(to, header, sizeof(header));
	str_addn(to, p, len);
}

void frame_add_grant(struct str *to, uint32_t id, uint32_t bytes)
{
	unsigned char number[4];

	put32(number, bytes);
	frame_add(to, FRAME_GRANT, id, number, sizeof(number));
}

uint32_t frame_grant(const struct frame *f)
{
	return get32(f->p);
}

void frame_reader_init(struct frame_reader *r, enum frame_side from, size_t noise)
{
	*r = (struct frame_reader){ .from = from, .noise = noise, .buf = STR_INIT };
}

void frame_reader_done(struct frame_reader *r)
{
	str_done(&r->buf);
	r->at = 0;
}

/* What has been handed out goes; a large frame's memory with it. */
static void compact(struct frame_reader *r)
{
	size_t left = r->buf.len - r->at;

	if (!r->at)
		return;
	if (left <= READ_SIZE && r->buf.cap > 4 * READ_SIZE) {
		struct str small = STR_INIT;

		str_addn(&small, r->buf.p + r->at, left);
		str_done(&r->buf);
		r->buf = small;
	} else {
		memmove(r->buf.p, r->buf.p + r->at, left);
		str_cut(&r->buf, left);
	}
	r->at = 0;
}

/* Little is asked for at a time, so that memory follows what really comes and not what a header
 * promises. */
void *frame_reader_room(struct frame_reader *r, size_t *ret_size)
{
	compact(r);
	str_grow(&r->buf, READ_SIZE);
	*ret_size = READ_SIZE;
	return r->buf.p + r->buf.len;
}

void frame_reader_filled(struct frame_reader *r, size_t n)
{
	r->buf.len += n;
	r->buf.p[r->buf.len] = '\0';
}

static enum frame_next bad(struct frame_reader *r)
{
	r->bad = true;
	return FRAME_BAD;
}

/* Past the preamble, and before that past what a login shell may have said. */
static enum frame_next begin(struct frame_reader *r, struct err *e)
{
	const char *from = r->buf.p + r->at;
	size_t len = r->buf.len - r->at, keep;
	const char *found = memmem(from, len, FRAME_PREAMBLE, FRAME_PREAMBLE_LEN);
	size_t skip = found ? (size_t)(found - from) : 0;

	if (!found) {
		keep = len < FRAME_PREAMBLE_LEN ? len : FRAME_PREAMBLE_LEN - 1;
		while (keep && memcmp(from + len - keep, FRAME_PREAMBLE, keep) != 0)
			keep--;
		skip = len - keep;
	}
	if (skip > r->noise) {
		err_set(e, ERR_PARSE, 0, "the stream does not begin with the preamble");
		return bad(r);
	}
	r->noise -= skip;
	r->at += skip + (found ? FRAME_PREAMBLE_LEN : 0);
	r->begun = found;
	return found ? FRAME_READY : FRAME_MORE;
}

static bool check_header(
        const struct frame_reader *r, const unsigned char *h, const struct frame *f, struct err *e)
{
	unsigned type = h[0];

	if (type == 0 || type >= FRAME_TYPES)
		return err_set(e, ERR_PARSE, 0, "frame of unknown type %u", type);
	if (h[1] || h[2] || h[3])
		return err_set(e, ERR_PARSE, 0, "frame with unknown flags");
	if (!(types[type].by & BY(r->from)))
		return err_set(e, ERR_PARSE, 0, "frame %s from the wrong side", types[type].name);
	if (types[type].whole != (f->id == 0))
		return err_set(e, ERR_PARSE, 0, "frame %s with request id %u", types[type].name,
		        (unsigned)f->id);
	if (f->len < types[type].min || f->len > types[type].max)
		return err_set(e, ERR_PARSE, 0, "frame %s of %u bytes", types[type].name,
		        (unsigned)f->len);
	return true;
}

enum frame_next frame_next(struct frame_reader *r, struct frame *ret, struct err *e)
{
	const unsigned char *h;
	struct frame f;
	enum frame_next n;

	if (r->bad) {
		err_set(e, ERR_PARSE, 0, "the stream was broken before");
		return FRAME_BAD;
	}
	if (!r->begun && (n = begin(r, e)) != FRAME_READY)
		return n;
	if (r->buf.len - r->at < FRAME_HEADER)
		return FRAME_MORE;
	h = (const unsigned char *)r->buf.p + r->at;
	f = (struct frame){ (enum frame_type)h[0], get32(h + 4), h + FRAME_HEADER, get32(h + 8) };
	if (!check_header(r, h, &f, e))
		return bad(r);
	if (r->buf.len - r->at - FRAME_HEADER < f.len)
		return FRAME_MORE;
	r->at += FRAME_HEADER + f.len;
	*ret = f;
	return FRAME_READY;
}
