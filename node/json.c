/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json - writes JSON without a library, since mha-node has to start in a few milliseconds.
 * Runs on: any thread.
 */
#include "json.h"
#include <inttypes.h>

void json_done(struct json *j)
{
	str_done(&j->text);
	j->more = false;
}

static void begin(struct json *j, const char *key)
{
	if (j->more)
		str_addc(&j->text, ',');
	j->more = true;
	if (!key)
		return;
	str_addc(&j->text, '"');
	str_add_json(&j->text, key);
	str_add(&j->text, "\":");
}

void json_open(struct json *j, const char *key, char bracket)
{
	begin(j, key);
	str_addc(&j->text, bracket);
	j->more = false;
}

void json_close(struct json *j, char bracket)
{
	str_addc(&j->text, bracket);
	j->more = true;
}

void json_str(struct json *j, const char *key, const char *value)
{
	begin(j, key);
	if (!value || !*value) {
		str_add(&j->text, "null");
		return;
	}
	str_addc(&j->text, '"');
	str_add_json(&j->text, value);
	str_addc(&j->text, '"');
}

void json_int(struct json *j, const char *key, int64_t value)
{
	begin(j, key);
	str_addf(&j->text, "%" PRId64, value);
}

void json_num(struct json *j, const char *key, double value, int decimals)
{
	begin(j, key);
	str_addf(&j->text, "%.*f", decimals, value);
}

void json_bool(struct json *j, const char *key, bool value)
{
	begin(j, key);
	str_add(&j->text, value ? "true" : "false");
}
