/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control_line - one line from a client of the control socket: a request, or why it is none; and the
 * lines to it that are the same for all verbs.  Pure.  Runs on: any thread.  Logs: never.
 */
#pragma once
#include <jansson.h>
#include <stddef.h>
#include "str.h"

enum { CONTROL_DEPTH_MAX = 16 }; /* objects and arrays inside each other */

struct control_request {
	json_int_t id;
	const char *verb; /* borrowed from root */
	json_t *args;     /* an object; borrowed from root */
	json_t *root;     /* owned: json_decref() */
};

/*
 * `line` is without its newline and need not end in NUL.  ERR_PARSE says what is wrong with it;
 * *ret_id is then the id if it could be read, else -1, so that the answer finds its request.
 */
bool control_line_parse(const char *line, size_t n, struct control_request *ret, json_int_t *ret_id,
        struct err *e) MUST_USE;

/* The greeting; the begin of a line about request `id`; a whole line with an error.  Id -1: null. */
void control_add_greeting(struct str *out);
void control_add_id(struct str *out, json_int_t id);
void control_add_error(struct str *out, json_int_t id, const struct err *e);
