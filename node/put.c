/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * put - from the caller's stream into a file.  Runs on: any thread.
 */
#include "put.h"
#include <stdlib.h>
#include "crc.h"
#include "json.h"
#include "out.h"
#include "str.h"

enum { PIECE = 64 << 10 };

struct put {
	struct verb_io *io;
	struct out *to;
	uint64_t bytes, most;
	uint32_t crc;
	unsigned char *buf;
};

static bool receive(struct put *p, struct err *e)
{
	ssize_t n;

	while ((n = verb_read(p->io, p->buf, PIECE, e)) > 0) {
		p->bytes += (uint64_t)n;
		p->crc = crc_add(p->crc, p->buf, (size_t)n);
		if (p->bytes > p->most)
			return err_set(e, ERR_PARSE, 0, "more than the announced %llu bytes came",
			        (unsigned long long)p->most);
		if (!out_write(p->to, p->buf, (size_t)n, e))
			return false;
	}
	return n == 0;
}

static bool is_whole(const struct put *p, uint32_t crc, struct err *e)
{
	if (p->bytes != p->most)
		return err_set(e, ERR_PARSE, 0, "%llu of the announced %llu bytes came",
		        (unsigned long long)p->bytes, (unsigned long long)p->most);
	if (p->crc != crc)
		return err_set(e, ERR_PARSE, 0, "checksum %08x instead of the announced %08x",
		        p->crc, crc);
	return true;
}

static bool read_crc(const char *text, uint32_t *ret, struct err *e)
{
	char *end;
	unsigned long n = strtoul(text ? text : "", &end, 16);

	if (!text || !*text || *end || n > UINT32_MAX)
		return err_set(e, ERR_CONFIG, 0, "--crc is not a checksum of eight hex digits");
	*ret = (uint32_t)n;
	return true;
}

static void tell(const struct put *p, const char *path)
{
	AUTO_JSON struct json j = JSON_INIT;

	json_open(&j, NULL, '{');
	json_str(&j, "path", path);
	json_int(&j, "bytes", (int64_t)p->bytes);
	json_close(&j, '}');
	verb_result(p->io, j.text.p);
}

int put_serve(const struct args *a, struct verb_io *io, struct err *e)
{
	struct put p = { .io = io, .most = (uint64_t)a->bytes };
	uint32_t crc = 0;
	bool fine;

	if (!a->output_file || str_is(a->output_file, "-") || a->bytes < 0) {
		err_set(e, ERR_CONFIG, 0, "--output_file, --bytes and --crc must be set");
		return 1;
	}
	if (!read_crc(a->crc, &crc, e))
		return 1;
	p.to = out_open(a->output_file, e);
	if (!p.to)
		return 1;
	p.buf = xmalloc(PIECE);
	fine = receive(&p, e) && is_whole(&p, crc, e);
	free(p.buf);
	if (!fine) {
		out_drop(p.to);
		err_ctx(e, "%s", a->output_file);
		return 1;
	}
	if (!out_keep(p.to, e))
		return 1;
	tell(&p, a->output_file);
	return 0;
}
