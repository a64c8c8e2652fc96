/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frame - the messages between the manager and `mha-node session`: packing and unpacking.  Pure: no
 * descriptors, no JSON.  Runs on: any thread.  Logs: never.
 *
 * Each direction begins with FRAME_PREAMBLE; behind it come frames: type (1 byte), three zero
 * bytes, request id (4), length of the payload (4), both little endian, payload.  Id 0 is the
 * session itself; the manager numbers its requests upwards from 1.
 *
 *   type     who   id  payload
 *   HELLO    both  0   JSON object; the first frame.  "protocol": FRAME_PROTOCOL, "program",
 *                      "version"; the node adds "max_requests", "verbs" (names) and "pid"
 *   REQUEST  mgr   n   JSON object: "verb", "args" (object: option names without dashes; values
 *                      are texts, whole numbers or true; "words": array of texts),
 *                      "deadline_ms" (from now), "input": true if DATA will follow
 *   DATA     both  n   bulk bytes
 *   END      mgr   n   empty: its DATA is complete (the node's is with RESULT)
 *   GRANT    both  n   4 bytes: so many more bytes of DATA may be sent.  Each direction of each
 *                      request begins with a grant of FRAME_WINDOW, and never has more: one
 *                      slow stream fills no memory and holds up no other
 *   LINE     node  n   one line for people, without its end
 *   RESULT   node  n   JSON object: "status" (the exit status), "error" (object: kind, code,
 *                      host, text, hint; or null), "value" (what the verb answered, or null).
 *                      The last frame of a request
 *   CANCEL   mgr   n   empty: end it; its RESULT still comes, if it had not been sent
 *   PING     both  0   up to 64 bytes, which PONG gives back
 *   PONG     both  0
 *   ERROR    both  0   text: the peer broke the rules; nothing follows
 *
 * Who sees the other's stream end, ends too and sends nothing more.  Types not listed, a type that
 * the sender may not send, lengths beyond the type's limit, are errors.  What the manager still
 * sends for a request whose RESULT is under way is dropped.
 */
#pragma once
#include <stdint.h>
#include "str.h"

#define FRAME_PROTOCOL 1
#define FRAME_PREAMBLE "\nMHAD/1\n"

enum {
	FRAME_PREAMBLE_LEN = sizeof(FRAME_PREAMBLE) - 1,
	FRAME_HEADER = 12,
	FRAME_WINDOW = 1 << 20,
	FRAME_DATA_MAX = 64 << 10,
	FRAME_REQUEST_MAX = 1 << 20,
	FRAME_RESULT_MAX = 4 << 20,
};

enum frame_type {
	FRAME_HELLO = 1,
	FRAME_REQUEST,
	FRAME_DATA,
	FRAME_END,
	FRAME_GRANT,
	FRAME_LINE,
	FRAME_RESULT,
	FRAME_CANCEL,
	FRAME_PING,
	FRAME_PONG,
	FRAME_ERROR,
	FRAME_TYPES
};

enum frame_side { FRAME_MANAGER, FRAME_NODE };

struct frame {
	enum frame_type type;
	uint32_t id;
	const unsigned char *p; /* borrowed until the reader is touched again */
	uint32_t len;
};

/* Write header bytes; the caller sends `len` bytes of payload behind them. */
void frame_header(unsigned char to[FRAME_HEADER], enum frame_type type, uint32_t id, uint32_t len);

/* Append a whole frame. */
void frame_add(struct str *to, enum frame_type type, uint32_t id, const void *p, size_t len);
void frame_add_grant(struct str *to, uint32_t id, uint32_t bytes);

/* The number in a GRANT. */
uint32_t frame_grant(const struct frame *f);

const char *frame_name(enum frame_type type); /* "REQUEST" */

/* What `from` sends, unpacked.  Holds at most one frame of the greatest size, and lets go of large
 * ones. */
struct frame_reader {
	enum frame_side from;
	size_t noise; /* bytes that may still stand before the preamble */
	bool begun;   /* the preamble has been seen */
	bool bad;
	struct str buf;
	size_t at; /* in buf: what stands before has been handed out */
};

/* `noise`: how many bytes may come before the preamble (what a login shell says); 0 for none. */
void frame_reader_init(struct frame_reader *r, enum frame_side from, size_t noise);
void frame_reader_done(struct frame_reader *r);

/* Where the next bytes go, and how many; then say how many came. */
void *frame_reader_room(struct frame_reader *r, size_t *ret_size);
void frame_reader_filled(struct frame_reader *r, size_t n);

/* The next frame.  FRAME_MORE: more bytes are needed first.  FRAME_BAD: ERR_PARSE, and so for ever.
 */
enum frame_next { FRAME_MORE, FRAME_READY, FRAME_BAD };
enum frame_next frame_next(struct frame_reader *r, struct frame *ret, struct err *e) MUST_USE;
