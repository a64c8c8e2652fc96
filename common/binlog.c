/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * binlog - the event reader.  A window slides over the source; events up to its size lie in it as a
 * whole, of larger ones the first half of the window is kept and the rest flows through the other
 * half. Runs on: any thread.
 */
#include "binlog.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "binlog_cur.h"
#include "clock.h"
#include "crc.h"

#define WINDOW_MIN       64u
#define FORMAT_MAX       4096 /* a format description is about 120 to 250 bytes */
#define FORMAT_FIXED     57   /* version 2, server version 50, created 4, header length 1 */
#define FORMAT_IN_USE_AT 17   /* the flags in the event header */
#define AT_TYPE          4
#define AT_SIZE          9
#define CHECK_AHEAD      (16 << 10) /* bytes: they stay in the fastest cache */
#define KEPT_BEHIND      (20u << 10)

static const uint8_t magic[BINLOG_MAGIC_SIZE] = { 0xfe, 'b', 'i', 'n' };
static const uint8_t magic_encrypted[BINLOG_MAGIC_SIZE] = { 0xfd, 'b', 'i', 'n' };

struct binlog {
	binlog_read_fn *read;
	void (*done)(void *);
	void *ctx;
	int fd;
	int64_t deadline;
	bool mem; /* the window is the caller's memory, all of it */
	bool source_ended;

	uint8_t *buf; /* owned, unless mem */
	size_t cap, begin, end;
	uint64_t offset; /* of buf[begin] in the source */
	size_t from;     /* from here to begin lies what was read before, without a gap */
	size_t checked;  /* behind the last event known to be right: see check_ahead() */

	bool begun, has_format;
	struct binlog_format format;
	uint64_t
	        source_pos; /* end_pos of the last event that had one: the upper half of the next */

	enum binlog_next over; /* != BINLOG_EVENT: what every further call says */
	struct err why;
};

static ssize_t read_fd(void *ctx, void *to, size_t n, struct err *e)
{
	struct binlog *b = ctx;
	struct pollfd p = { .fd = b->fd, .events = POLLIN };
	ssize_t got;

	for (;;) {
		if (b->deadline != CLOCK_NEVER && poll(&p, 1, clock_left_poll(b->deadline)) == 0 &&
		        clock_left(b->deadline) == 0) {
			err_set(e, ERR_LOST, 0, "read: nothing came in time");
			return -1;
		}
		got = read(b->fd, to, n);
		if (got >= 0)
			return got;
		if (errno != EINTR) {
			err_sys(e, "read");
			return -1;
		}
	}
}

static struct binlog *new_reader(size_t cap)
{
	struct binlog *b = xzalloc(sizeof(*b));

	b->fd = -1;
	b->deadline = CLOCK_NEVER;
	b->source_pos = BINLOG_MAGIC_SIZE;
	if (cap)
		b->buf = xmalloc(cap);
	b->cap = cap;
	return b;
}

struct binlog *binlog_new_fd(int fd)
{
	struct binlog *b = new_reader(BINLOG_WINDOW);

	b->fd = fd;
	b->read = read_fd;
	b->ctx = b;
	return b;
}

struct binlog *binlog_new_mem(const void *bytes, size_t n)
{
	struct binlog *b = new_reader(0);

	b->mem = b->source_ended = true;
	b->buf = (uint8_t *)(uintptr_t)bytes; /* never written to: see need() */
	b->cap = b->end = n;
	return b;
}

struct binlog *binlog_new_source(
        binlog_read_fn *read, void (*done)(void *ctx), void *ctx, const struct binlog_format *f)
{
	struct binlog *b = new_reader(BINLOG_WINDOW);

	b->read = read;
	b->done = done;
	b->ctx = ctx;
	if (f) {
		b->format = *f;
		b->has_format = b->begun = true;
	}
	return b;
}

void binlog_free(struct binlog *b)
{
	if (!b)
		return;
	if (b->done)
		b->done(b->ctx);
	if (!b->mem)
		free(b->buf);
	free(b);
}

void binlog_set_window(struct binlog *b, size_t n)
{
	if (b->mem || b->end)
		return;
	b->cap = n < WINDOW_MIN ? WINDOW_MIN : n;
	b->buf = xrealloc(b->buf, b->cap);
}

void binlog_set_deadline(struct binlog *b, int64_t deadline)
{
	b->deadline = deadline;
}

static size_t at_hand(const struct binlog *b)
{
	return b->end - b->begin;
}

static const uint8_t *here(const struct binlog *b)
{
	return b->buf + b->begin;
}

static void advance(struct binlog *b, size_t n)
{
	b->begin += n;
	b->offset += n;
}

/* How much is kept of an event that is larger than the window. */
static size_t head_size(const struct binlog *b)
{
	return b->cap / 2;
}

/*
 * One read behind the window's content.  False at the end of the source, or when it failed (then
 * `over` is set).
 */
static bool read_more(struct binlog *b)
{
	ssize_t n;

	if (b->source_ended)
		return false;
	n = b->read(b->ctx, b->buf + b->end, b->cap - b->end, &b->why);
	if (n <= 0) {
		b->source_ended = true;
		if (n < 0)
			b->over = BINLOG_UNREADABLE;
		return false;
	}
	b->end += (size_t)n;
	return true;
}

/* Make room for n bytes from here on; some of what was read before stays: see binlog_behind(). */
static void slide(struct binlog *b, size_t n)
{
	size_t keep = b->begin - b->from,
	       most = b->cap - n < KEPT_BEHIND ? b->cap - n : KEPT_BEHIND;

	keep = keep < most ? keep : most;
	memmove(b->buf, here(b) - keep, keep + at_hand(b));
	b->end -= b->begin - keep;
	b->begin = b->checked = keep;
	b->from = 0;
}

/* Have n (at most the window's size) bytes at hand; false if the source ends or fails before. */
static bool need(struct binlog *b, size_t n)
{
	if (at_hand(b) >= n)
		return true;
	if (!b->mem && b->begin + n > b->cap)
		slide(b, n);
	while (at_hand(b) < n)
		if (!read_more(b))
			return false;
	return true;
}

/* Make the window larger, for what must be at hand as a whole. */
static void widen(struct binlog *b, size_t cap)
{
	uint8_t *wider = xmalloc(cap);

	memcpy(wider, here(b), at_hand(b));
	free(b->buf);
	b->buf = wider;
	b->end -= b->begin;
	b->begin = b->from = b->checked = 0;
	b->cap = cap;
}

static enum binlog_next over(struct binlog *b, enum binlog_next n, const char *fmt, ...)
        PRINTF_LIKE(3, 4);

static enum binlog_next over(struct binlog *b, enum binlog_next n, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (b->over != BINLOG_EVENT) /* the source has failed: that is the reason */
		return b->over;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	b->over = n;
	err_set(&b->why, n == BINLOG_ENCRYPTED ? ERR_PRECOND : ERR_PARSE, 0, "at offset %llu: %s",
	        (unsigned long long)b->offset, text);
	return n;
}

static enum binlog_next encrypted(struct binlog *b)
{
	over(b, BINLOG_ENCRYPTED, "it is encrypted");
	err_hint(&b->why,
	        "only its own server can read it: fetch it from there as a replica does, and set "
	        "binlog_encryption (MariaDB: encrypt_binlog) to OFF on servers that are to be "
	        "recovered from files");
	return b->over;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* Whether all of the rest is zeros; looks through the source to its end. */
static bool rest_is_zero(struct binlog *b)
{
	do {
		if (!all_zero(here(b), at_hand(b)))
			return false;
		if (!b->mem)
			b->begin = b->end = b->checked = 0;
	} while (read_more(b));
	return b->over == BINLOG_EVENT;
}

/* Less than an event, or something that is none. */
static enum binlog_next not_an_event(struct binlog *b, const char *what)
{
	uint64_t at = b->offset;
	bool zeros = rest_is_zero(b);

	b->offset = at;
	return zeros ? over(b, BINLOG_ZEROS, "zero bytes up to its end")
	             : over(b, BINLOG_GARBAGE, "%s", what);
}

static enum binlog_next torn(struct binlog *b)
{
	if (at_hand(b) && all_zero(here(b), at_hand(b) < BINLOG_HEADER_SIZE ? at_hand(b)
	                                                                    : BINLOG_HEADER_SIZE))
		return not_an_event(b, "an event header of zeros");
	return over(b, BINLOG_TORN, "it ends inside of an event (%zu bytes of it are there)",
	        at_hand(b));
}

static unsigned version_number(const char *text)
{
	unsigned v[3] = { 0, 0, 0 };

	if (sscanf(text, "%3u.%3u.%3u", &v[0], &v[1], &v[2]) < 2)
		return 0;
	return v[0] * 10000 + v[1] * 100 + v[2];
}

/*
 * The list of lengths runs to the end of the body, or up to the checksum algorithm and a checksum,
 * which servers that know of checksums write even if there are no others.  Its entry for this very
 * event tells which, whatever the version text says.
 */
static bool split_format(const struct cur *c, size_t *ret_types, bool *ret_crc)
{
	size_t with = c->left, without = with - 1 - BINLOG_CRC_SIZE;

	if (with < BINLOG_FORMAT + 1 + BINLOG_CRC_SIZE)
		return false;
	*ret_crc = c->p[BINLOG_FORMAT - 1] == (uint8_t)(FORMAT_FIXED + without);
	*ret_types = *ret_crc ? without : with;
	return *ret_crc || c->p[BINLOG_FORMAT - 1] == (uint8_t)(FORMAT_FIXED + with);
}

static const char *parse_format(
        const struct binlog_event *ev, struct binlog_format *ret, bool *ret_crc)
{
	struct binlog_format f = { .created = 0 };
	struct cur c = { ev->bytes + BINLOG_HEADER_SIZE, ev->size - BINLOG_HEADER_SIZE, false };
	unsigned version = cur_u16(&c);
	const uint8_t *text = cur_take(&c, 50);
	size_t types;
	bool crc;

	f.created = cur_u32(&c);
	if (version != 4 || cur_u8(&c) != BINLOG_HEADER_SIZE || c.bad)
		return "a format description of another version than 4 (a server before 5.0?)";
	memcpy(f.server_version, text, 50);
	f.version_number = version_number(f.server_version);
	f.mariadb = strstr(f.server_version, "MariaDB") != NULL;
	if (!split_format(&c, &types, &crc) || types > sizeof(f.post_header) - 1)
		return "a malformed format description";
	memcpy(f.post_header + 1, c.p, types);
	if (crc) {
		if (c.p[types] > 1)
			return "a checksum algorithm that is not known";
		f.crc = c.p[types] == 1;
	}
	*ret_crc = crc;
	*ret = f;
	return NULL;
}

static uint32_t stored_crc(const uint8_t *end)
{
	struct cur c = { end - BINLOG_CRC_SIZE, BINLOG_CRC_SIZE, false };

	return cur_u32(&c);
}

/*
 * It is computed without the in-use flag, which changes when the file is closed.  A server without
 * checksums that sends its format description for reading in mid-file sets `created` to 0 and
 * leaves the old checksum.
 */
static bool format_crc_is_right(
        const struct binlog_event *ev, const struct binlog_format *f, bool has_crc)
{
	uint8_t header[BINLOG_HEADER_SIZE];
	uint32_t crc;

	if (!has_crc || (!f->crc && !f->created && !(ev->flags & BINLOG_F_RELAY_LOG)))
		return true;
	memcpy(header, ev->bytes, sizeof(header));
	header[FORMAT_IN_USE_AT] &= (uint8_t)~BINLOG_F_IN_USE;
	crc = crc_add(crc_add(0, header, sizeof(header)), ev->bytes + sizeof(header),
	        ev->size - sizeof(header) - BINLOG_CRC_SIZE);
	return crc == stored_crc(ev->bytes + ev->size);
}

__attribute__((always_inline)) static inline void parse_header(
        const uint8_t *p, struct binlog_event *ev)
{
	struct cur c = { p, BINLOG_HEADER_SIZE, false };

	ev->timestamp = cur_u32(&c);
	ev->type = cur_u8(&c);
	ev->server_id = cur_u32(&c);
	ev->size = cur_u32(&c);
	ev->log_pos = cur_u32(&c);
	ev->flags = cur_u16(&c);
}

/* All 64 bits of a position of which 32 were written. */
static uint64_t full_pos(uint64_t last, uint32_t low)
{
	uint64_t pos = (last & ~(uint64_t)UINT32_MAX) | low;

	return pos < last && last - pos > UINT32_MAX / 2 ? pos + ((uint64_t)1 << 32) : pos;
}

__attribute__((always_inline)) static inline void set_position(
        struct binlog *b, struct binlog_event *ev)
{
	ev->end_pos = 0;
	if (ev->type == BINLOG_FORMAT) { /* may be sent again in mid-file: moves nothing */
		if (!(ev->flags & BINLOG_F_RELAY_LOG))
			ev->end_pos = ev->log_pos;
	} else if (ev->type == BINLOG_ROTATE && ev->body_have >= 8 &&
	           !(ev->flags & BINLOG_F_RELAY_LOG)) {
		struct cur c = { ev->body, 8, false };

		/*
		 * Server 0: made by a 5.6 replica for its relay log, which counts its own position
		 * into it.
		 */
		if (ev->log_pos && ev->server_id && !(ev->flags & BINLOG_F_ARTIFICIAL))
			ev->end_pos = full_pos(b->source_pos, ev->log_pos);
		b->source_pos = cur_u64(&c); /* where the next file is read from */
	} else if (ev->log_pos && !(ev->flags & (BINLOG_F_RELAY_LOG | BINLOG_F_ARTIFICIAL))) {
		ev->end_pos = b->source_pos = full_pos(b->source_pos, ev->log_pos);
	}
}

/* Read an event larger than the window to its end; returns whether it was all there. */
static bool flow_through(struct binlog *b, const struct binlog_event *ev, uint32_t *crc,
        uint8_t tail[BINLOG_CRC_SIZE])
{
	size_t head = head_size(b), tail_size = b->format.crc ? BINLOG_CRC_SIZE : 0;
	size_t left = ev->size - tail_size - head;

	*crc = b->format.crc ? crc_add(0, b->buf, head) : 0;
	b->begin = head;
	while (left + tail_size > 0) {
		size_t n;

		if (b->begin == b->end) {
			b->begin = b->end = head;
			if (!read_more(b))
				return false;
		}
		n = at_hand(b);
		if (left) {
			n = n < left ? n : left;
			if (b->format.crc)
				*crc = crc_add(*crc, here(b), n);
			left -= n;
		} else {
			n = n < tail_size ? n : tail_size;
			memcpy(tail + BINLOG_CRC_SIZE - tail_size, here(b), n);
			tail_size -= n;
		}
		b->begin += n;
	}
	return true;
}

static void set_extent(struct binlog_event *ev, const uint8_t *bytes, size_t have, bool crc)
{
	ev->bytes = bytes;
	ev->have = have;
	ev->body = bytes + BINLOG_HEADER_SIZE;
	ev->body_size = ev->size - BINLOG_HEADER_SIZE - (crc ? BINLOG_CRC_SIZE : 0);
	ev->body_have = have - BINLOG_HEADER_SIZE;
	if (ev->body_have > ev->body_size)
		ev->body_have = ev->body_size;
}

static enum binlog_next next_large(struct binlog *b, struct binlog_event *ev)
{
	uint8_t tail[BINLOG_CRC_SIZE] = { 0 };
	uint32_t crc;
	uint64_t at = b->offset;

	if (!need(b, head_size(b)))
		return torn(b);
	if (b->begin) { /* the event's head to the front, where it stays */
		memmove(b->buf, here(b), at_hand(b));
		b->end -= b->begin;
		b->begin = 0;
	}
	if (!flow_through(b, ev, &crc, tail))
		return over(b, BINLOG_TORN, "it ends inside of an event of %u bytes", ev->size);
	if (b->format.crc && crc != stored_crc(tail + BINLOG_CRC_SIZE))
		return over(b, BINLOG_BAD_CRC, "the event's checksum is wrong");
	b->offset = at + ev->size;
	b->from = b->checked = b->begin;
	set_extent(ev, b->buf, head_size(b), b->format.crc);
	return BINLOG_EVENT;
}

static enum binlog_next next_format(struct binlog *b, struct binlog_event *ev)
{
	struct binlog_format f;
	const char *wrong;
	bool has_crc;

	if (ev->size > FORMAT_MAX)
		return not_an_event(b, "a format description that is too long");
	if (!b->mem && ev->size > b->cap)
		widen(b, ev->size);
	if (!need(b, ev->size))
		return torn(b);
	set_extent(ev, here(b), ev->size, false);
	wrong = parse_format(ev, &f, &has_crc);
	if (wrong)
		return not_an_event(b, wrong);
	if (!format_crc_is_right(ev, &f, has_crc))
		return over(b, BINLOG_BAD_CRC, "the format description's checksum is wrong");
	set_extent(ev, ev->bytes, ev->size, f.crc);
	b->format = f;
	b->has_format = true;
	advance(b, ev->size);
	return BINLOG_EVENT;
}

static enum binlog_next next_small(struct binlog *b, struct binlog_event *ev)
{
	if (!need(b, ev->size))
		return torn(b);
	if (b->format.crc &&
	        crc_add(0, here(b), ev->size - BINLOG_CRC_SIZE) != stored_crc(here(b) + ev->size))
		return over(b, BINLOG_BAD_CRC, "the event's checksum is wrong");
	set_extent(ev, here(b), ev->size, b->format.crc);
	advance(b, ev->size);
	return BINLOG_EVENT;
}

static enum binlog_next next_event(struct binlog *b, struct binlog_event *ev)
{
	if (!need(b, BINLOG_HEADER_SIZE)) {
		if (at_hand(b))
			return torn(b);
		return over(b, BINLOG_END, "end");
	}
	parse_header(here(b), ev);
	ev->offset = b->offset;
	if (ev->size < BINLOG_HEADER_SIZE + (b->format.crc ? BINLOG_CRC_SIZE : 0))
		return not_an_event(b, "an event that is smaller than its header");
	if (ev->type == BINLOG_FORMAT)
		return next_format(b, ev);
	if (!b->has_format)
		return not_an_event(b, "it does not begin with a format description");
	if (b->mem || ev->size <= b->cap)
		return next_small(b, ev);
	if ((ev->type == BINLOG_PREVIOUS_GTIDS || ev->type == BINLOG_GTID_LIST) &&
	        ev->size <= BINLOG_WHOLE_MAX) {
		widen(b, ev->size);
		return next_small(b, ev);
	}
	return next_large(b, ev);
}

static enum binlog_next check_magic(struct binlog *b)
{
	b->begun = true;
	if (!need(b, BINLOG_MAGIC_SIZE))
		return over(b, BINLOG_TORN, "it ends inside of its first four bytes");
	if (memcmp(here(b), magic_encrypted, BINLOG_MAGIC_SIZE) == 0)
		return encrypted(b);
	if (memcmp(here(b), magic, BINLOG_MAGIC_SIZE) != 0)
		return not_an_event(b, "it is not a binlog");
	advance(b, BINLOG_MAGIC_SIZE);
	return BINLOG_EVENT;
}

/* Whatever is more to do with than to hand it out. */
static bool is_special(uint8_t type)
{
	return type == BINLOG_FORMAT || type == BINLOG_ROTATE || type == BINLOG_START_ENCRYPTION;
}

static uint32_t size_of(const uint8_t *event)
{
	struct cur c = { event + AT_SIZE, 4, false };

	return cur_u32(&c);
}

/*
 * The usual case, for the sake of speed: events that lie in the window as a whole and are as they
 * should be.  Many in a row are looked at before the first is handed out: the processor has several
 * checksums under way then.  Whatever is not right ends the row, and is seen by next_event();
 * returns whether there is one at least.
 */
__attribute__((noinline)) static bool check_ahead(struct binlog *b)
{
	size_t tail = b->format.crc ? BINLOG_CRC_SIZE : 0;
	const uint8_t *p, *end;

	if (b->over != BINLOG_EVENT || !b->has_format)
		return false;
	p = here(b);
	end = b->buf + b->end;
	if (end - p > CHECK_AHEAD)
		end = p + CHECK_AHEAD;
	while (end - p >= BINLOG_HEADER_SIZE && !is_special(p[AT_TYPE])) {
		uint32_t size = size_of(p);

		if (size > (size_t)(end - p) || size < BINLOG_HEADER_SIZE + tail ||
		        (tail && crc_add(0, p, size - tail) != stored_crc(p + size)))
			break;
		p += size;
	}
	b->checked = (size_t)(p - b->buf);
	return b->checked > b->begin;
}

static inline void next_checked(struct binlog *b, struct binlog_event *ret)
{
	const uint8_t *p = here(b);

	parse_header(p, ret);
	ret->offset = b->offset;
	ret->bytes = p;
	ret->have = ret->size;
	ret->body = p + BINLOG_HEADER_SIZE;
	ret->body_size = ret->size - BINLOG_HEADER_SIZE - (b->format.crc ? BINLOG_CRC_SIZE : 0);
	ret->body_have = ret->body_size;
	set_position(b, ret);
	advance(b, ret->size);
}

/* Any case; apart, because what it needs on the stack would make the usual one slower. */
__attribute__((noinline)) static enum binlog_next next_in_full(
        struct binlog *b, struct binlog_event *ret, struct err *e)
{
	struct binlog_event ev = { 0 };
	enum binlog_next n = b->over;

	if (n == BINLOG_EVENT && !b->begun)
		n = check_magic(b);
	if (n == BINLOG_EVENT)
		n = next_event(b, &ev);
	if (n == BINLOG_EVENT && ev.type == BINLOG_START_ENCRYPTION)
		n = encrypted(b);
	if (n == BINLOG_EVENT) {
		set_position(b, &ev);
		*ret = ev;
	} else if (n != BINLOG_END && e) {
		*e = b->why;
	}
	return n;
}

enum binlog_next binlog_next(struct binlog *b, struct binlog_event *ret, struct err *e)
{
	if (b->begin >= b->checked && !check_ahead(b))
		return next_in_full(b, ret, e);
	next_checked(b, ret);
	return BINLOG_EVENT;
}

bool binlog_seek(struct binlog *b, uint64_t offset, struct err *e)
{
	off_t size;

	if (!b->has_format)
		return err_set(
		        e, ERR_PRECOND, 0, "seek: the format description has not been read yet");
	size = b->mem ? (off_t)b->end : b->fd < 0 ? -1 : lseek(b->fd, 0, SEEK_END);
	if (size < 0)
		return err_set(e, ERR_PRECOND, 0, "seek: only files can be read from the middle");
	if (offset > (uint64_t)size)
		return err_set(e, ERR_PRECOND, 0, "offset %llu is behind the end (%lld)",
		        (unsigned long long)offset, (long long)size);
	if (b->mem) {
		b->begin = (size_t)offset;
	} else {
		if (lseek(b->fd, (off_t)offset, SEEK_SET) < 0)
			return err_sys(e, "seek to offset %llu", (unsigned long long)offset);
		b->begin = b->end = 0;
		b->source_ended = false;
	}
	b->from = b->checked = b->begin;
	b->offset = b->source_pos = offset;
	b->over = BINLOG_EVENT;
	return true;
}

uint64_t binlog_offset(const struct binlog *b)
{
	return b->offset;
}

const uint8_t *binlog_behind(const struct binlog *b, uint64_t offset)
{
	uint64_t n = b->offset - offset;

	if (b->over != BINLOG_EVENT || offset > b->offset || n > b->begin - b->from)
		return NULL;
	return here(b) - n;
}

const struct binlog_format *binlog_format(const struct binlog *b)
{
	return b->has_format ? &b->format : NULL;
}

int binlog_fd(const struct binlog *b)
{
	return b->fd;
}
