/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_via - `mhactl via`: a hook asks a host, over the session that mhad keeps with it.  Runs on: the main
 * thread.
 *
 * It stands between a script and every move of an address: nothing is done here that takes time.
 */
#include "ask.h"
#include "clock.h"
#include "cmds.h"
#include "str.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NO_LINE = 254,   /* nobody at the socket: nothing was asked */
	NO_ANSWER = 255, /* as ssh(1): the host did not answer, or not in time */
	TIMEOUT_MS = 10000,
	MORE_MS = 500, /* for mhad's own answer about a host that is late */
};

/* "--name=value" and "--flag" become members.  Takes nothing; returns owned, NULL: it is neither. */
static json_t *words(int n, char **argv, struct err *e)
{
	json_t *args = json_object();

	for (int i = 0; i < n; i++) {
		const char *word = argv[i], *eq = strchr(word, '=');
		AUTO(free) char *name = NULL;

		if (!str_starts(word, "--") || !word[2] || eq == word + 2) {
			err_set(e, ERR_CONFIG, 0, "\"%s\" is not --OPTION or --OPTION=VALUE", word);
			json_decref(args);
			return NULL;
		}
		name = eq ? xstrndup(word + 2, (size_t)(eq - word - 2)) : xstrdup(word + 2);
		json_object_set_new(args, name, eq ? json_string(eq + 1) : json_true());
	}
	return args;
}

static int complain(int code, const struct err *e)
{
	fprintf(stderr, "mhactl via: %s\n", e->text);
	return code;
}

static int show(const json_t *value)
{
	const char *out = json_string_value(json_object_get(value, "out"));
	const char *error = json_string_value(json_object_get(value, "error"));
	const json_t *status = json_object_get(value, "status"),
	             *v = json_object_get(value, "value");
	AUTO(free) char *text = json_is_object(v) ? json_dumps(v, JSON_COMPACT) : NULL;

	if (out)
		fputs(out, stdout);
	if (text && (!out || !*out) && (!error || !*error))
		puts(text);
	if (error && *error)
		fprintf(stderr, "%s\n", error);
	return json_is_integer(status) && !fflush(stdout) ? (int)json_integer_value(status)
	                                                  : NO_ANSWER;
}

static int ask_host(const char *path, json_t *args, int64_t ms)
{
	int64_t deadline = clock_in(ms + MORE_MS);
	struct err e = { 0 };
	AUTO(ask) struct ask *a = ask_open(path, deadline, &e);
	json_t *value;
	int code;

	if (!a) {
		json_decref(args);
		return complain(NO_LINE, &e);
	}
	value = ask_call(a, "via", args, deadline, &e);
	if (!value)
		return complain(NO_ANSWER, &e);
	code = show(value);
	json_decref(value);
	return code;
}

int cmd_via(struct cmd *c, int argc, char **argv)
{
	int64_t ms = TIMEOUT_MS;
	const char *path = getenv("MHAD_CHANNEL");
	const struct opt opts[] = {
		{ "timeout", OPT_INT, .to = &ms, .arg = "MS", .min = 1, .max = 120000,
		        .help = "milliseconds that the host may take (10000)" },
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	int own = 1, rc;
	struct err e = { 0 };
	json_t *args;

	while (own < argc && argv[own][0] == '-')
		own++;
	if (!cmd_parse(c, opts, own, argv, NULL, &rc))
		return rc;
	if (argc - own < 2) {
		err_set(&e, ERR_CONFIG, 0, "a host and what it is asked for are needed");
		return cmd_fail(c, CMD_USAGE, &e);
	}
	args = words(argc - own - 2, argv + own + 2, &e);
	if (!args)
		return cmd_fail(c, CMD_USAGE, &e);
	if (!path || !*path) {
		json_decref(args);
		err_set(&e, ERR_PRECOND, 0,
		        "MHAD_CHANNEL is not set: this is for scripts that mhad "
		        "runs");
		return complain(NO_LINE, &e);
	}
	return ask_host(path,
	        json_pack("{s:s, s:s, s:o, s:I}", "host", argv[own], "verb", argv[own + 1], "args",
	                args, "timeout_ms", (json_int_t)ms),
	        ms);
}
