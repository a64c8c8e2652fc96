/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_migrate - `mhactl check migrate`: what will be different for a cluster that comes from MHA, and what has
 * to be put right first.  Nothing is changed.
 */
#include "cmds.h"
#include "clock.h"
#include "log.h"
#include "migrate.h"
#include "show.h"

enum { SERVERS_MS = 60000 };

static void tell(const struct cmd *c, const struct conf *conf, const struct check_findings *f)
{
	AUTO_STR struct str out = STR_INIT;
	size_t stops = check_count_stops(f);

	if (c->json) {
		show_check_json(&out, conf, !stops, f, NULL);
	} else {
		show_findings(&out, f);
		str_addf(&out,
		        stops ? "%s: %zu findings must be put right before mhad takes over.\n"
		              : "%s: mhad can take over.\n",
		        conf->name, stops);
	}
	cmd_print(&out);
}

int cmd_check_migrate(struct cmd *c, int argc, char **argv)
{
	const struct opt opts[] = { CMD_OPTS_CLUSTER(c), CMD_OPT_JSON(c), CMD_OPTS_COMMON(c),
		{ 0 } };
	struct check_findings f = { 0 };
	struct conf *conf;
	int code;
	bool ok;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	log_set_level(LOG_LV_ERROR);
	conf = cmd_load(c, &code);
	if (!conf)
		return code;
	migrate_old_manager(conf, &f);
	migrate_hooks(conf, &f);
	migrate_servers(conf, clock_in(SERVERS_MS), &f);
	migrate_changes(conf, &f);
	tell(c, conf, &f);
	ok = !check_count_stops(&f);
	check_findings_done(&f);
	return cmd_exit(c, ok ? CMD_OK : CMD_FAILED);
}
