/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * binlog_payload - decompression, as a source for another reader.
 * Runs on: any thread.
 */
#include "binlog_payload.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include "binlog_cur.h"

#define CHUNK      (64u << 10)
#define WINDOW_LOG 27 /* what the highest compression level asks for: 128 MiB */

enum { FIELD_END, FIELD_SIZE, FIELD_COMPRESSION, FIELD_UNCOMPRESSED_SIZE };
enum { COMPRESSION_ZSTD = 0, COMPRESSION_NONE = 255 };

struct payload {
	ZSTD_DStream *z; /* NULL: not compressed */
	ZSTD_inBuffer in;
	int fd;            /* -1: all is in `in` */
	uint64_t at, left; /* what has not been read from fd yet */
	uint8_t *chunk;
};

static void payload_free(void *ctx)
{
	struct payload *p = ctx;

	if (!p)
		return;
	ZSTD_freeDStream(p->z);
	free(p->chunk);
	free(p);
}
CLEANUP_FN(payload, struct payload *, payload_free)

/* More compressed bytes; false at their end and on failure (then `e` is set). */
static bool refill(struct payload *p, struct err *e)
{
	ssize_t n;

	if (p->fd < 0 || !p->left)
		return false;
	n = pread(p->fd, p->chunk, p->left < CHUNK ? (size_t)p->left : CHUNK, (off_t)p->at);
	if (n < 0)
		return err_sys(e, "read");
	if (n == 0)
		return err_set(e, ERR_PARSE, 0, "the file has become shorter");
	p->in = (ZSTD_inBuffer){ p->chunk, (size_t)n, 0 };
	p->at += (uint64_t)n;
	p->left -= (uint64_t)n;
	return true;
}

static ssize_t copy_out(struct payload *p, void *to, size_t n)
{
	size_t have = p->in.size - p->in.pos;

	n = n < have ? n : have;
	memcpy(to, (const uint8_t *)p->in.src + p->in.pos, n);
	p->in.pos += n;
	return (ssize_t)n;
}

static ssize_t payload_read(void *ctx, void *to, size_t n, struct err *e)
{
	struct payload *p = ctx;
	ZSTD_outBuffer out = { to, n, 0 };
	struct err why = { 0 };

	for (;;) {
		size_t rc, before;

		if (p->in.pos == p->in.size && !refill(p, &why) && why.kind != ERR_NONE) {
			if (e)
				*e = why;
			return -1;
		}
		before = p->in.pos;
		if (!p->z)
			return copy_out(p, to, n);
		rc = ZSTD_decompressStream(p->z, &out, &p->in);
		if (ZSTD_isError(rc)) {
			err_set(e, ERR_PARSE, 0, "transaction payload: %s", ZSTD_getErrorName(rc));
			return -1;
		}
		if (out.pos || p->in.pos == before)
			return (ssize_t)out.pos;
	}
}

/* The fields in front of the payload; `c` stands at the payload afterwards. */
static bool parse_head(struct cur *c, uint64_t *ret_size, uint64_t *ret_compression)
{
	uint64_t size = 0, compression = COMPRESSION_NONE;
	bool sized = false;

	for (;;) {
		uint64_t field = cur_packed(c), len;
		struct cur value = { NULL, 0, false };

		if (c->bad)
			return false;
		if (field == FIELD_END)
			break;
		len = cur_packed(c);
		value.p = cur_take(c, len);
		value.left = len;
		if (c->bad)
			return false;
		if (field == FIELD_SIZE) {
			size = cur_packed(&value);
			sized = true;
		} else if (field == FIELD_COMPRESSION) {
			compression = cur_packed(&value);
		}
		if (value.bad)
			return false;
	}
	*ret_size = size;
	*ret_compression = compression;
	return sized;
}

static struct payload *new_payload(bool zstd)
{
	struct payload *p = xzalloc(sizeof(*p));

	p->fd = -1;
	if (zstd) {
		p->z = ZSTD_createDStream();
		if (!p->z ||
		        ZSTD_isError(ZSTD_DCtx_setParameter(p->z, ZSTD_d_windowLogMax, WINDOW_LOG)))
			abort(); /* out of memory; the parameter is in its range */
	}
	return p;
}

struct binlog *binlog_payload_open(
        const struct binlog *outer, const struct binlog_event *ev, struct err *e)
{
	struct cur c = { ev->body, ev->body_have, false };
	struct binlog_format f = *binlog_format(outer);
	uint64_t size, compression;
	size_t head;

	if (!parse_head(&c, &size, &compression)) {
		err_set(e, ERR_PARSE, 0, "transaction payload: malformed");
		return NULL;
	}
	if (compression != COMPRESSION_ZSTD && compression != COMPRESSION_NONE) {
		err_set(e, ERR_PRECOND, 0, "transaction payload: unknown compression %llu",
		        (unsigned long long)compression);
		return NULL;
	}
	head = (size_t)(c.p - ev->body);
	if (size > ev->body_size - head) {
		err_set(e, ERR_PARSE, 0, "transaction payload: longer than its event");
		return NULL;
	}
	AUTO(payload) struct payload *p = new_payload(compression == COMPRESSION_ZSTD);

	if (size <= c.left) {
		p->in = (ZSTD_inBuffer){ c.p, (size_t)size, 0 };
	} else if (binlog_fd(outer) >= 0 && lseek(binlog_fd(outer), 0, SEEK_CUR) >= 0) {
		p->fd = binlog_fd(outer);
		p->at = ev->offset + BINLOG_HEADER_SIZE + head;
		p->left = size;
		p->chunk = xmalloc(CHUNK);
	} else {
		err_set(e, ERR_PRECOND, 0,
		        "transaction payload of %llu bytes: too large to look into on a pipe",
		        (unsigned long long)size);
		return NULL;
	}
	f.crc = false;
	return binlog_new_source(payload_read, payload_free, TAKE(p), &f);
}

/*
 * MariaDB: one byte with algorithm (0x70; only 0, zlib, exists) and size of the length (0x07), the
 * length, the data.  The length is not believed.
 */
static bool inflate_begin(struct binlog_bytes from, z_stream *z)
{
	struct cur c = { (const uint8_t *)from.p, from.len, false };
	uint8_t first = cur_u8(&c);

	cur_take(&c, first & 0x07);
	if (c.bad || first & 0x70)
		return false;
	*z = (z_stream){ .next_in = (Bytef *)(uintptr_t)c.p, .avail_in = (uInt)c.left };
	return inflateInit(z) == Z_OK;
}

static size_t inflate_head(struct binlog_bytes from, char *buf, size_t size)
{
	z_stream z;
	int rc;

	if (!inflate_begin(from, &z))
		return 0;
	z.next_out = (Bytef *)buf;
	z.avail_out = (uInt)size;
	rc = inflate(&z, Z_SYNC_FLUSH);
	inflateEnd(&z);
	return rc == Z_OK || rc == Z_STREAM_END ? size - z.avail_out : 0;
}

size_t binlog_payload_query(const struct binlog_query *q, char *buf, size_t size)
{
	size_t n = q->text.len < size ? q->text.len : size;

	if (q->compressed)
		return inflate_head(q->text, buf, size);
	memcpy(buf, q->text.p, n);
	return n;
}

bool binlog_payload_inflate(struct binlog_bytes from, size_t max, struct str *to)
{
	z_stream z;
	char buf[16384];
	int rc;

	str_clear(to);
	if (!inflate_begin(from, &z))
		return false;
	do {
		z.next_out = (Bytef *)buf;
		z.avail_out = sizeof(buf);
		rc = inflate(&z, Z_NO_FLUSH);
		str_addn(to, buf, sizeof(buf) - z.avail_out);
	} while (rc == Z_OK && to->len <= max);
	inflateEnd(&z);
	return rc == Z_STREAM_END && to->len <= max;
}
