/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * binlog_write - the few events that are made here (format description, Rotate, Previous_gtids), and
 * the copying of all others.
 * Runs on: any thread.
 */
#include "binlog_write.h"
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "binlog.h"
#include "crc.h"
#include "str.h"

#define CHUNK       (256u << 10)
#define AT_TYPE     4
#define AT_SERVER   5
#define AT_SIZE     9
#define AT_LOG_POS  13
#define AT_FLAGS    17
#define AT_CREATED  (BINLOG_HEADER_SIZE + 2 + 50)
#define AT_TYPES    (AT_CREATED + 4 + 1)
#define FORMAT_BODY 57 /* without the list of types */

static void put_uint(uint8_t *to, uint64_t v, size_t n)
{
	for (; n; n--, v >>= 8)
		*to++ = (uint8_t)v;
}

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* ---- the stream --------------------------------------------------------------------------------
 */

void binlog_writer_done(struct binlog_writer *w)
{
	free(w->buf);
	w->buf = NULL;
	w->used = 0;
}

static bool put(struct binlog_writer *w, const void *bytes, size_t n, struct err *e)
{
	if (w->sum)
		w->crc = crc_add(w->crc, bytes, n);
	return w->sink->put(w->sink->ctx, bytes, n, e);
}

bool binlog_write_flush(struct binlog_writer *w, struct err *e)
{
	size_t n = w->used;

	w->used = 0;
	return !n || put(w, w->buf, n, e);
}

/* Room for some bytes more, at most `n` of them, at w->buf + w->used; 0 with `e` set. */
static size_t room(struct binlog_writer *w, uint64_t n, struct err *e)
{
	if (!w->buf)
		w->buf = xmalloc(CHUNK);
	if (w->used == CHUNK && !binlog_write_flush(w, e))
		return 0;
	return n < CHUNK - w->used ? (size_t)n : CHUNK - w->used;
}

bool binlog_write_events(struct binlog_writer *w, const void *bytes, size_t n, struct err *e)
{
	const uint8_t *p = bytes;
	size_t part;

	w->bytes += n;
	if (w->sink && w->sink->gathers)
		return binlog_write_flush(w, e) && put(w, bytes, n, e);
	for (; w->sink && n; n -= part, p += part) {
		part = room(w, n, e);
		if (!part)
			return false;
		memcpy(w->buf + w->used, p, part);
		w->used += part;
	}
	return true;
}

bool binlog_write_range(struct binlog_writer *w, int fd, uint64_t offset, uint64_t n, struct err *e)
{
	w->bytes += n;
	while (w->sink && n) {
		size_t part = room(w, n, e);
		ssize_t got = part ? pread(fd, w->buf + w->used, part, (off_t)offset) : 0;

		if (!part)
			return false;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(e, "read");
		if (got == 0)
			return err_set(e, ERR_SYSTEM, ENODATA, "read: the file has become shorter");
		w->used += (size_t)got;
		offset += (uint64_t)got;
		n -= (uint64_t)got;
	}
	return true;
}

/* ---- format descriptions -----------------------------------------------------------------------
 */

/* The list of types runs up to the end, or to the checksum algorithm and a checksum: its entry for
 * this very event says which. */
static bool format_has_crc(const uint8_t *event, size_t n)
{
	size_t types = n - AT_TYPES - 1 - BINLOG_CRC_SIZE;

	return event[AT_TYPES + BINLOG_FORMAT - 1] == (uint8_t)(FORMAT_BODY + types);
}

static bool is_format(const uint8_t *event, size_t n)
{
	return n > AT_TYPES + BINLOG_FORMAT + 1 + BINLOG_CRC_SIZE &&
	       event[AT_TYPE] == BINLOG_FORMAT;
}

bool binlog_same_format(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
	size_t end = a_size - (format_has_crc(a, a_size) ? BINLOG_CRC_SIZE : 0);

	return a_size == b_size &&
	       memcmp(a + BINLOG_HEADER_SIZE, b + BINLOG_HEADER_SIZE,
	               AT_CREATED - BINLOG_HEADER_SIZE) == 0 &&
	       memcmp(a + AT_CREATED + 4, b + AT_CREATED + 4, end - AT_CREATED - 4) == 0;
}

bool binlog_write_format(struct binlog_writer *w, const uint8_t *event, size_t n,
        enum binlog_created created, struct err *e)
{
	static const uint8_t magic[BINLOG_MAGIC_SIZE] = { 0xfe, 'b', 'i', 'n' };
	AUTO(free) uint8_t *made = NULL;

	assert(is_format(event, n));
	made = xmalloc(n);
	memcpy(made, event, n);
	put_uint(made + AT_LOG_POS, 0, 4);
	made[AT_FLAGS] &= (uint8_t) ~(BINLOG_F_IN_USE | BINLOG_F_RELAY_LOG | BINLOG_F_ARTIFICIAL);
	if (created == BINLOG_CREATED_NO)
		put_uint(made + AT_CREATED, 0, 4);
	w->server_id = get_u32(made + AT_SERVER);
	w->crc_events = false;
	if (format_has_crc(made, n)) {
		w->crc_events = made[n - BINLOG_CRC_SIZE - 1] != 0;
		put_uint(made + n - BINLOG_CRC_SIZE, crc_add(0, made, n - BINLOG_CRC_SIZE),
		        BINLOG_CRC_SIZE);
	}
	return (w->bytes || binlog_write_events(w, magic, sizeof(magic), e)) &&
	       binlog_write_events(w, made, n, e);
}

/* ---- events of our own -------------------------------------------------------------------------
 */

static bool put_event(struct binlog_writer *w, uint8_t type, uint16_t flags, const void *body,
        size_t n, struct err *e)
{
	size_t size = BINLOG_HEADER_SIZE + n + (w->crc_events ? BINLOG_CRC_SIZE : 0);
	AUTO(free) uint8_t *event = xzalloc(size);

	event[AT_TYPE] = type;
	put_uint(event + AT_SERVER, w->server_id, 4);
	put_uint(event + AT_SIZE, size, 4);
	put_uint(event + AT_FLAGS, flags, 2);
	memcpy(event + BINLOG_HEADER_SIZE, body, n);
	if (w->crc_events)
		put_uint(event + size - BINLOG_CRC_SIZE, crc_add(0, event, size - BINLOG_CRC_SIZE),
		        BINLOG_CRC_SIZE);
	return binlog_write_events(w, event, size, e);
}

bool binlog_write_rotate(struct binlog_writer *w, const char *file, uint64_t pos, struct err *e)
{
	size_t n = strlen(file);
	AUTO(free) uint8_t *body = xmalloc(8 + n);

	put_uint(body, pos, 8);
	memcpy(body + 8, file, n);
	return put_event(w, BINLOG_ROTATE, BINLOG_F_ARTIFICIAL, body, 8 + n, e);
}

static void add_uint(struct str *to, uint64_t v)
{
	uint8_t b[8];

	put_uint(b, v, sizeof(b));
	str_addn(to, b, sizeof(b));
}

/* ":1-5:7", up to a tag or another source; returns what is behind. */
static const char *add_intervals(struct str *to, const char *p)
{
	size_t at = to->len;
	uint64_t n = 0;

	for (add_uint(to, 0); p[0] == ':' && isdigit((unsigned char)p[1]); n++) {
		char *end;
		uint64_t first = strtoull(p + 1, &end, 10), last = first;

		if (*end == '-')
			last = strtoull(end + 1, &end, 10);
		add_uint(to, first);
		add_uint(to, last + 1);
		p = end;
	}
	put_uint((uint8_t *)to->p + at, n, 8);
	return p;
}

/* One source of a set's text, with all its tags: an entry for each.  Returns what is behind. */
static const char *add_source(struct str *to, const char *p, bool tags, uint64_t *entries)
{
	char text[37] = "";
	uint8_t uuid[16];
	bool good;

	memcpy(text, p, sizeof(text) - 1);
	good = gtid_uuid_parse(text, uuid);
	assert(good);
	(void)good;
	for (p += 36; *p == ':'; (*entries)++) {
		size_t n = isdigit((unsigned char)p[1]) ? 0 : strcspn(p + 1, ":");

		str_addn(to, uuid, sizeof(uuid));
		if (tags) {
			str_addc(to, (char)(n << 1));
			str_addn(to, p + 1, n);
		}
		p = add_intervals(to, n ? p + 1 + n : p);
	}
	return p;
}

static bool has_tags(const char *text)
{
	for (const char *p = text; (p = strchr(p, ':')); p++)
		if (!isdigit((unsigned char)p[1]))
			return true;
	return false;
}

bool binlog_write_previous_gtids(struct binlog_writer *w, const struct gtid_set *s, struct err *e)
{
	AUTO(free) char *text = gtid_set_format(s);
	AUTO_STR struct str body = STR_INIT;
	bool tags = has_tags(text);
	uint64_t entries = 0;

	assert(gtid_set_dialect(s) == GTID_MYSQL);
	add_uint(&body, 0);
	for (const char *p = text; *p;) {
		p = add_source(&body, p, tags, &entries);
		p += *p == ',';
	}
	if (tags) /* the format's number in the first and in the last byte */
		entries = (uint64_t)1 << 56 | entries << 8 | 1;
	put_uint((uint8_t *)body.p, entries, 8);
	return put_event(w, BINLOG_PREVIOUS_GTIDS, BINLOG_F_IGNORABLE, body.p, body.len, e);
}
