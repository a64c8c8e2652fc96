/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_rehearse - `mhactl rehearse`: the mhad that runs rehearses a failover of one cluster now.  Runs on: the main
 * thread.
 */
#include "clock.h"
#include "cmd_live.h"
#include "cmds.h"
#include "control.h"
#include "live.h"
#include "rehearse.h"
#include <stdlib.h>
#include <string.h>

static bool print(const struct cmd *c, const json_t *result)
{
	AUTO_STR struct str out = STR_INIT, text = STR_INIT;
	AUTO(free) char *json = c->json ? json_dumps(result, JSON_INDENT(2)) : NULL;
	char *save = NULL;

	if (c->json) {
		str_addf(&out, "%s\n", json ? json : "null");
		return cmd_print(&out);
	}
	rehearse_text(&text, result);
	for (char *p = strtok_r(text.p, "\n", &save); p; p = strtok_r(NULL, "\n", &save)) {
		live_add_clean(&out, p);
		str_addc(&out, '\n');
	}
	return cmd_print(&out);
}

int cmd_rehearse(struct cmd *c, int argc, char **argv)
{
	const char *socket = NULL, *word;
	const struct opt opts[] = { CMD_OPT_JSON(c), CMD_OPT_SOCKET(socket), CMD_OPTS_COMMON(c),
		{ 0 } };
	int64_t deadline = clock_in(REHEARSE_MS + LIVE_ASK_MS);
	AUTO(ask) struct ask *a = NULL;
	struct err e = { 0 };
	json_t *result;
	int words, code;

	if (!cmd_parse(c, opts, argc, argv, &words, &code))
		return code;
	if (words != 1) {
		err_set(&e, ERR_CONFIG, 0, "which cluster? One at a time");
		err_hint(&e, "mhactl status lists the clusters");
		return cmd_fail(c, CMD_USAGE, &e);
	}
	a = ask_open(ask_path(socket), deadline, &e);
	result = a ? ask_call(a, "rehearse", json_pack("{s:o}", "cluster", control_text(argv[1])),
	                     deadline, &e)
	           : NULL;
	if (!result)
		return cmd_live_fail(c, &e);
	word = json_string_value(json_object_get(result, "result"));
	code = word && str_is(word, "refused") ? CMD_REFUSED
	       : word && str_is(word, "ready") ? CMD_OK
	                                       : CMD_FAILED;
	if (!print(c, result))
		code = CMD_FAILED;
	json_decref(result);
	return code;
}
