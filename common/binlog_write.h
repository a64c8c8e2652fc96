/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * binlog_write - makes one valid binlog stream out of parts of others.  Runs on: any thread (blocks
 * on its sink).  Logs: never.
 *
 * A stream is the magic bytes, a format description, and events that look as it says; another
 * format description rules from where it stands.  So events are handed on byte by byte, whatever
 * server version or checksums they were written with: before events of another format goes theirs.
 * Where the events of another source file begin, a Rotate event names the file and the position, as
 * a server that sends its binlog puts one there: a replica that executes the stream then counts its
 * position in the source's coordinates.
 *
 *	struct binlog_writer w = { .sink = &sink };
 *
 *	binlog_write_format(&w, fde, n, BINLOG_CREATED_NO, e) &&
 *	        binlog_write_rotate(&w, "mysql-bin.000007", 4711, e) &&
 *	        binlog_write_range(&w, fd, 4711, 100000, e) && binlog_write_flush(&w, e);
 *	binlog_writer_done(&w);
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "gtid.h"

/* What takes the bytes, in portions of up to 256 KiB.  All of them, or false. */
struct binlog_sink {
	bool (*put)(void *ctx, const void *bytes, size_t n, struct err *e);
	void *ctx;
	bool gathers; /* small portions are as good as large ones */
};

/* Start with zeros, `sink` and `sum`; end with binlog_writer_done(). */
struct binlog_writer {
	const struct binlog_sink *sink; /* NULL: only counts */
	bool sum;                       /* add up `crc` */
	uint64_t bytes;                 /* given to it so far */
	uint32_t crc;                   /* CRC32 of those that the sink has got */
	bool crc_events;                /* events of the format in force end in a checksum */
	uint32_t server_id;             /* of the server whose format description is in force */
	uint8_t *buf;                   /* owned: what the sink shall get next */
	size_t used;
};
void binlog_writer_done(struct binlog_writer *w);

/* Give the sink what it has not got yet; to be called at the end. */
bool binlog_write_flush(struct binlog_writer *w, struct err *e) MUST_USE;

/*
 * Whether the format description tells replicas that the server began anew there: then they drop
 * the temporary tables that they have opened for it, and roll back what is open.  A server that
 * sends from the middle of a file says no.
 */
enum binlog_created { BINLOG_CREATED_NO, BINLOG_CREATED_AS_IS };

/*
 * A format description event of n bytes, as a reader returned it (of a known version, whole); in
 * front of the first one go the magic bytes.  Position, in-use flag and marks of a relay log are
 * taken out, the checksum is made anew.
 */
bool binlog_write_format(struct binlog_writer *w, const uint8_t *event, size_t n,
        enum binlog_created created, struct err *e) MUST_USE;

/* Whether two format descriptions say the same of the events behind them. */
bool binlog_same_format(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size);

/* "What follows stands in that file of the source, from that position on." */
bool binlog_write_rotate(
        struct binlog_writer *w, const char *file, uint64_t pos, struct err *e) MUST_USE;

/* "These transactions were before", of MySQL's dialect (asserted). */
bool binlog_write_previous_gtids(
        struct binlog_writer *w, const struct gtid_set *s, struct err *e) MUST_USE;

/* Whole events of the format in force, from memory or from a file. */
bool binlog_write_events(
        struct binlog_writer *w, const void *bytes, size_t n, struct err *e) MUST_USE;
bool binlog_write_range(
        struct binlog_writer *w, int fd, uint64_t offset, uint64_t n, struct err *e) MUST_USE;
