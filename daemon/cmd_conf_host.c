/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_conf_host - masterha_conf_host: a server's block into or out of an MHA .cnf file.  Runs on: the
 * main thread.
 */
#include "cmd_mha.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conf_edit.h"

struct host {
	const char *command, *block, *hostname;
	char *params;
};

static int usage(const struct cmd *c, const char *text, const char *hint)
{
	struct err e = { 0 };

	err_set(&e, ERR_CONFIG, 0, "%s", text);
	err_hint(&e, "%s", hint);
	return cmd_fail(c, CMD_USAGE, &e);
}

/* "9" and "server9" are the same.  Returns owned. */
static char *block_name(const struct host *h)
{
	if (!h->block)
		return xasprintf("server_%s", h->hostname);
	return xasprintf("%s%s", str_starts(h->block, "server") ? "" : "server", h->block);
}

static int add(const struct cmd *c, const struct host *h, const char *path, const char *block)
{
	AUTO(free) struct conf_edit_param *given = NULL, *all = NULL;
	struct err e = { 0 };
	bool added = false;
	size_t n = 0;

	given = conf_edit_params(h->params, &n, &e);
	if (!given)
		return cmd_fail(c, CMD_USAGE, &e);
	all = xmalloc((n + 1) * sizeof(*all));
	all[0] = (struct conf_edit_param){ "hostname", h->hostname };
	memcpy(all + 1, given, n * sizeof(*all));
	if (!conf_edit_add_block(path, block, all, n + 1, &added, &e))
		return cmd_fail(c, CMD_FAILED, &e);
	if (!added) {
		fprintf(stderr, "Entry %s already exists on %s .\n", block, c->conf_path);
		return cmd_exit(c, CMD_FAILED);
	}
	printf("Wrote %s entry to %s .\n", block, c->conf_path);
	return CMD_OK;
}

static int delete (const struct cmd *c, const char *path, const char *block)
{
	struct err e = { 0 };
	bool removed = false;

	if (!conf_edit_remove_block(path, block, &removed, &e))
		return cmd_fail(c, CMD_FAILED, &e);
	printf(removed ? "Deleted %s entry from %s .\n" : "Entry %s not found from %s .\n", block,
	        c->conf_path);
	return CMD_OK;
}

static int edit(const struct cmd *c, const struct host *h, bool adds)
{
	struct err e = { 0 };
	AUTO(free) char *path = cmd_find_conf(c->conf_path, &e), *block = block_name(h);

	if (!path)
		return cmd_fail(c, CMD_CONFIG, &e);
	return adds ? add(c, h, path, block) : delete (c, path, block);
}

static int check_and_edit(const struct cmd *c, const struct host *h)
{
	bool adds = str_is(h->command, "add");

	if (!adds && !str_is(h->command, "delete") && !str_is(h->command, "remove"))
		return usage(c,
		        h->command ? "no such command" : "--command=<add|delete> must be set.",
		        "--command=add, --command=delete or --command=remove");
	if (!c->conf_path) { /* where MHA says it */
		printf("--conf=<server_config_file> must be set.\n");
		return cmd_exit(c, CMD_USAGE);
	}
	if (adds && (!h->hostname || !*h->hostname))
		return usage(c, "--hostname=<hostname> must be set.", "--hostname=db9.example.org");
	if (!h->block && (!h->hostname || !*h->hostname))
		return usage(c, "which block?", "--block=9, or --hostname=HOST for server_HOST");
	return edit(c, h, adds);
}

int cmd_conf_host(struct cmd *c, int argc, char **argv)
{
	struct host h = { .params = NULL };
	const struct opt opts[] = {
		{ "command", OPT_STR, .to = &h.command, .arg = "add|delete|remove",
		        .help = "what to do" },
		{ "conf", OPT_STR, .to = &c->conf_path, .arg = "FILE",
		        .help = "MHA .cnf file to be edited" },
		{ "block", OPT_STR, .to = &h.block, .arg = "N",
		        .help = "its block: 9 or server9 (default: server_HOST)" },
		{ "hostname", OPT_STR, .to = &h.hostname, .arg = "HOST",
		        .help = "the server's host name; needed to add it" },
		{ "params", OPT_SECRET, .to = &h.params, .arg = "\"k=v;k2=v2\"",
		        .help = "more settings for the block" },
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	int code;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code)) {
		mem_free_secret(h.params);
		return code;
	}
	if (!h.params)
		h.params = xstrdup("");
	code = check_and_edit(c, &h);
	mem_free_secret(h.params);
	return code;
}
