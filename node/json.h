/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json - writes one JSON value, for answers that programs read.  Runs on: any thread.
 *
 * The caller keeps opens and closes in pairs; commas come by themselves.  `key` is NULL inside of
 * an array.
 */
#pragma once
#include <stdint.h>
#include "str.h"

struct json {
	struct str text;
	bool more; /* the next member needs a comma */
};
#define JSON_INIT                                                                                  \
	{                                                                                          \
		STR_INIT, false                                                                    \
	}
#define AUTO_JSON __attribute__((cleanup(json_done)))

void json_done(struct json *j);
void json_open(struct json *j, const char *key, char bracket);     /* '{' or '[' */
void json_close(struct json *j, char bracket);                     /* '}' or ']' */
void json_str(struct json *j, const char *key, const char *value); /* NULL and "" give null */
void json_int(struct json *j, const char *key, int64_t value);
void json_num(struct json *j, const char *key, double value, int decimals);
void json_bool(struct json *j, const char *key, bool value);
