/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hookd_wire - bytes between mhad and the hook helper, for hookd.c and hookd_call.c.  Runs on: any
 * thread; blocks until the deadline.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>
#include "str.h"

enum {
	HOOKD_PROTOCOL = 1,
	HOOKD_REQUEST_MAX = 512 * 1024,
	HOOKD_HEAD_MAX = 4096,        /* line of the answer */
	HOOKD_OUTPUT_MAX = 64 * 1024, /* what proc keeps of a hook's output */
	HOOKD_DEADLINE_MAX_MS = 24 * 3600 * 1000,
	HOOKD_REQUEST_MS = 5000, /* for the request to arrive, and for the answer to leave */
};

/* Some more bytes, up to `max` in all.  ERR_LOST: none comes, or not in time. */
bool hookd_receive(int fd, struct str *to, size_t max, int64_t deadline, struct err *e) MUST_USE;

/* The length of the first line, its end included, once it is there. */
bool hookd_receive_line(int fd, struct str *to, size_t max, int64_t deadline, size_t *ret_len,
        struct err *e) MUST_USE;

/* One line, and `more` behind it; `j` is taken, NULL is an error. */
bool hookd_send_json(
        int fd, json_t *j, const void *more, size_t more_len, int64_t deadline, struct err *e);

/*
 * Arguments are any bytes, JSON texts are not: a text has one character for each byte, U+0001 to
 * U+00FF.  hookd_bytes() returns owned, or NULL when it is no such text.
 */
json_t *hookd_text(const char *bytes);
char *hookd_bytes(const json_t *text);
