/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_control - bytes as one line of the control socket: a request that keeps the rules, or an error
 * that is one line of JSON and finds its request.
 */
#include "control_line.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "violated: %s\n", what);
	abort();
}

static void check_request(const struct control_request *r, json_int_t id)
{
	must(r->id >= 0 && r->id == id, "a request has an id");
	must(r->verb[0] && strlen(r->verb) <= 32, "verbs are words");
	must(strspn(r->verb, "abcdefghijklmnopqrstuvwxyz_-") == strlen(r->verb),
	        "verbs have small letters only");
	must(json_is_object(r->args), "arguments are an object");
	must(json_object_get(r->root, "args") == r->args, "arguments live with the request");
}

/* The same request, written anew, is the same. */
static void check_again(const struct control_request *r)
{
	AUTO(free) char *text = json_dumps(r->root, JSON_COMPACT);
	struct control_request again;
	json_int_t id;

	must(text, "a request can be written");
	must(control_line_parse(text, strlen(text), &again, &id, NULL), "and read again");
	must(again.id == r->id && str_is(again.verb, r->verb) && json_equal(again.args, r->args),
	        "and says the same");
	json_decref(again.root);
}

static void check_error(json_int_t id, const struct err *e)
{
	AUTO_STR struct str line = STR_INIT;
	json_t *j;

	must(e->kind == ERR_PARSE && e->text[0], "what is no request has a reason");
	control_add_error(&line, id, e);
	must(strchr(line.p, '\n') == line.p + line.len - 1, "an error is one line");
	j = json_loadb(line.p, line.len, JSON_REJECT_DUPLICATES, NULL);
	must(j, "an error is JSON");
	must(json_is_false(json_object_get(j, "ok")), "an error is not ok");
	must(id < 0 ? json_is_null(json_object_get(j, "id"))
	            : json_integer_value(json_object_get(j, "id")) == id,
	        "an error has the request's id");
	json_decref(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_request r = { 0 };
	struct err e = { 0 };
	json_int_t id = 0;

	if (control_line_parse((const char *)data, size, &r, &id, &e)) {
		check_request(&r, id);
		check_again(&r);
		json_decref(r.root);
	} else {
		check_error(id, &e);
	}
	return 0;
}
