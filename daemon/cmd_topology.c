/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_topology - `mhactl topology`: read all servers, show the tree and what is wrong.
 */
#include "cmds.h"
#include "log.h"
#include "show.h"

int cmd_topology(struct cmd *c, int argc, char **argv)
{
	const struct opt opts[] = { CMD_OPTS_CLUSTER(c), CMD_OPT_JSON(c), CMD_OPTS_COMMON(c),
		{ 0 } };
	AUTO_STR struct str out = STR_INIT;
	const struct topology *t;
	struct conf *conf;
	int code;
	bool ok;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	log_set_level(c->debug ? LOG_LV_DEBUG : LOG_LV_ERROR);
	conf = cmd_load(c, &code);
	if (!conf)
		return code;
	t = topology_classify(snapshot_take(conf, NULL), NULL);
	if (c->json)
		show_topology_json(&out, t);
	else
		show_topology(&out, t);
	ok = cmd_print(&out) && t->master;
	return cmd_exit(c, ok ? CMD_OK : CMD_FAILED);
}
