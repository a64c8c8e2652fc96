/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_hooks - `mhactl check hooks`: run the hooks that know --command=status, look whether the
 * other programs are there.
 */
#include "cmds.h"
#include "check.h"
#include "clock.h"
#include "log.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct checked {
	const struct conf *conf;
	bool json;
	struct check_findings findings;
	size_t n_called;
};

static void call(struct checked *k, struct hook *hook, const struct conf_server *master)
{
	AUTO_STR struct str output = STR_INIT;
	AUTO(free) char *text = hook ? hook_text(hook) : NULL;
	struct err e = { 0 };
	bool ok;

	if (!hook)
		return;
	log_info("Checking %s status:", hook_setting(hook));
	log_info("  %s", text);
	ok = hook_run(hook, clock_in(master->hook_timeout), &output, &e);
	if (output.len && !k->json)
		log_raw(output.p, output.len);
	if (output.len && !k->json && output.p[output.len - 1] != '\n')
		log_raw("\n", 1);
	if (ok)
		log_info(" OK.");
	else
		check_add(&k->findings, TOPOLOGY_ERROR, CHECK_HOOK_FAILED, NULL, e.hint,
		        "%s (--command=status)", e.text);
	k->n_called++;
	hook_free(hook);
}

/* The others are called in earnest only: what can be said is whether a program named by its path is
 * there. */
static void look_for(struct checked *k, const struct conf_server *s, enum conf_key key)
{
	AUTO(free) char *text = conf_value_text(s, key);
	AUTO(free) char *program = xstrndup(text, strcspn(text, " \t"));

	if (*program != '/' || !access(program, X_OK))
		return;
	check_add(&k->findings, TOPOLOGY_ERROR, CHECK_HOOK_MISSING, s->hostinfo, NULL,
	        "%s: %s cannot be run: %m", conf_key_name(key), program);
}

static void look_for_all(struct checked *k)
{
	static const enum conf_key scripts[] = { CONF_master_ip_failover_script,
		CONF_shutdown_script, CONF_master_ip_online_change_script, CONF_report_script,
		CONF_secondary_check_script };

	for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
		AUTO(free) char *said = NULL;

		for (size_t j = 0; j < k->conf->n_servers; j++) {
			AUTO(free) char *text = conf_value_text(k->conf->servers[j], scripts[i]);

			if (said && str_is(said, text))
				continue;
			look_for(k, k->conf->servers[j], scripts[i]);
			free(said);
			said = TAKE(text);
		}
	}
}

/* Whose hooks would be called: the master's.  Without one, the first server's settings are the best
 * guess. */
static const struct conf_server *master_of(const struct conf *conf, struct check_findings *f)
{
	const struct topology *t = topology_classify(snapshot_take(conf, NULL), NULL);
	const struct conf_server *master = t->master ? t->master->snap->conf : NULL;

	if (!master) {
		check_add(f, TOPOLOGY_WARNING, CHECK_HOOK_UNDEFINED, NULL, NULL,
		        "no server can be called the master now: hooks are called as for %s",
		        conf->servers[0]->hostinfo);
		master = conf->servers[0];
	}
	return master;
}

int cmd_check_hooks(struct cmd *c, int argc, char **argv)
{
	const struct opt opts[] = { CMD_OPTS_CLUSTER(c), CMD_OPT_JSON(c), CMD_OPTS_COMMON(c),
		{ 0 } };
	const struct conf_server *master;
	struct checked k = { 0 };
	struct conf *conf;
	int code;
	bool ok;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	k.json = c->json;
	log_set_level(c->json ? LOG_LV_ERROR : LOG_LV_INFO);
	conf = cmd_load(c, &code);
	if (!conf)
		return code;
	k.conf = conf;
	look_for_all(&k);
	master = master_of(conf, &k.findings);
	call(&k, hook_ip_failover_status(master), master);
	call(&k, hook_shutdown_status(master), master);
	ok = !check_count_stops(&k.findings);
	if (c->json) {
		AUTO_STR struct str out = STR_INIT;

		show_check_json(&out, conf, ok, &k.findings, NULL);
		cmd_print(&out);
	} else {
		check_log_findings(&k.findings);
		log_info("%zu hooks called, %s.", k.n_called,
		        ok ? "all is well" : "not all is well");
	}
	return cmd_exit(c, ok ? CMD_OK : CMD_FAILED);
}
