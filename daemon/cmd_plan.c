/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_plan - `mhactl plan failover`, which changes nothing, and `mhactl report`.  Runs on: loop.
 */
#include "cmd_failover.h"
#include <stdio.h>
#include <stdlib.h>
#include "incident.h"
#include "log.h"

static bool print_plan(const struct cmd *c, const struct failover *f)
{
	AUTO_STR struct str out = STR_INIT;
	AUTO(free) char *text = NULL;

	if (c->json)
		return cmd_print_json(failover_plan_json(f));
	text = failover_plan_text(f);
	str_add(&out, text);
	return cmd_print(&out);
}

int cmd_plan_failover(struct cmd *c, int argc, char **argv)
{
	struct failover_cmd s = { .cmd = c, .ssh_reachable = 2 };
	const struct opt opts[] = {
		CMD_OPTS_CLUSTER(c),
		{ "dead_master_host", OPT_STR, .to = &s.dead_host, .arg = "HOST",
		        .help = "which server is or would be dead (the master)" },
		{ "dead_master_port", OPT_INT, .to = &s.dead_port, .min = 1, .max = 65535 },
		{ "new_master_host|new_master", OPT_STR, .to = &s.new_host, .arg = "HOST",
		        .help = "with this server as the new master" },
		{ "new_master_port", OPT_INT, .to = &s.new_port, .min = 1, .max = 65535 },
		{ "ssh_reachable", OPT_INT, .to = &s.ssh_reachable, .min = 0, .max = 2,
		        .help = "0: as if its host could not be reached" },
		CMD_OPT_JSON(c),
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	struct err e = { 0 };
	struct failover *f;
	int code;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	log_set_level(c->debug ? LOG_LV_DEBUG : LOG_LV_ERROR);
	s.conf = cmd_load(c, &code);
	if (!s.conf)
		return code;
	failover_cmd_begin(&s);
	if (!failover_cmd_servers(&s, &code))
		return code;
	s.o.dry = s.o.what_if = true;
	s.o.failover_interval = -1;
	s.o.ssh_reachable = (int)s.ssh_reachable;
	s.o.why = "a plan was asked for";
	f = failover_cmd_run(&s, &e);
	if (!f)
		return cmd_fail(c, CMD_FAILED, &e);
	if (!print_plan(c, f))
		return CMD_FAILED;
	return s.report.result == RUN_SUCCESS ? CMD_OK : CMD_REFUSED;
}

int cmd_report(struct cmd *c, int argc, char **argv)
{
	AUTO_STR struct str out = STR_INIT;
	const char *state_dir = CMD_STATE_DIR;
	const struct opt opts[] = {
		{ "state_dir", OPT_STR, .to = &state_dir, .arg = "DIR",
		        .help = "where incidents are kept (" CMD_STATE_DIR ")" },
		CMD_OPT_JSON(c),
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	struct err e = { 0 };
	json_t *record;
	int words, code;

	if (!cmd_parse(c, opts, argc, argv, &words, &code))
		return code;
	if (words < 1 || words > 2) {
		err_set(&e, ERR_CONFIG, 0, "which cluster? mhactl report CLUSTER [RUN]");
		return cmd_fail(c, CMD_USAGE, &e);
	}
	record = incident_load(state_dir, argv[1], words > 1 ? argv[2] : NULL, &e);
	if (!record)
		return cmd_fail(c, CMD_FAILED, &e);
	if (c->json)
		return cmd_print_json(record) ? CMD_OK : CMD_FAILED;
	incident_text(record, &out);
	json_decref(record);
	return cmd_print(&out) ? CMD_OK : CMD_FAILED;
}
