/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_repl - `masterha_check_repl` and `mhactl check repl`: would a failover work, and is replication
 * healthy now?  Everything that is wrong is reported, in the order of MHA's checks, instead of the
 * first thing only.  Runs on: loop.
 */
#include "cmd_repl.h"
#include "log.h"
#include "show.h"
#include <stdio.h>
#include <stdlib.h>

/*
 * What a failing host means.  Without SSH or node tools a failover by GTIDs still works, only less
 * can be saved and fenced; one by positions needs them.  A host whose server is dead, or the
 * master's when SSH checks were waived, does not stop MHA either.
 */
static enum topology_severity weight(const struct cmd_repl *r, const struct conf_server *s)
{
	const struct topology *t = r->topology;
	const struct topology_server *in = topology_find(t, s);

	if (t->mode == TOPOLOGY_GTID_MYSQL || t->mode == TOPOLOGY_GTID_MARIADB)
		return TOPOLOGY_WARNING;
	if (s->is_binlog_server || (in && in->is_dead) || (in && in == t->master && r->skip_ssh))
		return TOPOLOGY_WARNING;
	return TOPOLOGY_ERROR;
}

static enum topology_severity host_weight(const struct cmd_repl_host *h)
{
	const struct conf *c = h->repl->conf;
	enum topology_severity most = weight(h->repl, h->first);

	for (size_t i = 0; i < c->n_servers; i++) {
		if (host_same(h->first, c->servers[i]) && weight(h->repl, c->servers[i]) > most)
			most = weight(h->repl, c->servers[i]);
	}
	return most;
}

static void judge_test(struct cmd_repl_host *h, const struct cmd_repl_test *t)
{
	struct check_findings *f = &h->repl->findings;
	const struct topology_server *s = topology_find(h->repl->topology, t->server);
	AUTO(free) char *hint = NULL;

	if (t->err.kind == ERR_NONE)
		return;
	if (t->kind == TEST_BINLOG_SERVER) {
		check_add(f, TOPOLOGY_ERROR, CHECK_BINLOG_SERVER, t->server->id, NULL,
		        "binlogs of binlog server %s cannot be used: %s", t->server->hostname,
		        t->err.text);
	} else if (t->kind == TEST_RELAY) {
		check_add(f, weight(h->repl, t->server), CHECK_RELAY_TEST, t->server->hostinfo,
		        NULL, "relay logs of %s cannot be used for recovery: %s",
		        t->server->hostinfo, t->err.text);
	} else {
		if (s->snap->binlog_basename)
			hint = xasprintf("this server's binlogs are %s.*; master_binlog_dir=%s",
			        s->snap->binlog_basename, t->server->master_binlog_dir);
		check_add(f, weight(h->repl, t->server), CHECK_BINLOG_TEST, t->server->hostinfo,
		        hint, "binlogs of %s could not be saved if it died: %s",
		        t->server->hostinfo, t->err.text);
	}
}

static void judge_host(struct cmd_repl_host *h)
{
	struct check_findings *f = &h->repl->findings;
	AUTO(free) char *login = host_login(h->first);
	enum topology_severity severity = host_weight(h);

	if (h->ssh_err.kind != ERR_NONE)
		check_add_ssh(f, severity, login, &h->ssh_err,
		        severity == TOPOLOGY_WARNING
		                ? "; binlogs cannot be saved from there, nor can it be fenced"
		                : NULL);
	else if (h->node_err.kind != ERR_NONE)
		check_add(f, severity, h->node_code, login, h->node_err.hint, "%s: %s%s", login,
		        h->node_err.text,
		        severity == TOPOLOGY_WARNING
		                ? "; binlogs cannot be saved from there, nor can it be fenced"
		                : "");
	for (size_t i = 0; i < h->tests.len; i++)
		judge_test(h, &h->tests.items[i]);
}

/* As MHA: one binlog server that cannot be reached is bearable, all of them are not. */
static void judge_binlog_servers(struct cmd_repl *r)
{
	size_t usable = 0;

	for (size_t i = 0; i < r->conf->n_binlogs; i++) {
		for (size_t j = 0; j < r->n_hosts; j++) {
			const struct cmd_repl_host *h = &r->hosts[j];

			usable += host_same(h->first, r->conf->binlogs[i]) &&
			          h->ssh_err.kind == ERR_NONE && h->node_err.kind == ERR_NONE;
		}
	}
	if (r->conf->n_binlogs && !usable)
		check_add(&r->findings, TOPOLOGY_ERROR, CHECK_BINLOG_SERVER, NULL, NULL,
		        "none of the %zu binlog servers can be used", r->conf->n_binlogs);
}

static void judge_hooks(struct cmd_repl *r)
{
	const struct topology_server *m = r->topology->master;

	for (size_t i = 0; i < r->n_hooks; i++) {
		const struct cmd_repl_hook *call = &r->hooks[i];

		if (call->err.kind != ERR_NONE)
			check_add(&r->findings, TOPOLOGY_ERROR, CHECK_HOOK_FAILED, NULL,
			        call->err.hint, "%s (--command=status)", call->err.text);
	}
	if (m && !hook_is_set(m->snap->conf->master_ip_failover_script))
		check_add(&r->findings, TOPOLOGY_WARNING, CHECK_HOOK_UNDEFINED, NULL, NULL,
		        "master_ip_failover_script is not defined.");
	if (m && !hook_is_set(m->snap->conf->shutdown_script))
		check_add(&r->findings, TOPOLOGY_WARNING, CHECK_HOOK_UNDEFINED, NULL, NULL,
		        "shutdown_script is not defined.");
}

/* A manager starts with slaves that lag, and with a master that is dead. */
static void use_stops(struct cmd_repl *r)
{
	for (size_t i = 0; r->stops && i < r->topology->n_findings; i++)
		r->findings.items[i].stops = (r->topology->findings[i].stops & r->stops) != 0;
}

void cmd_repl_judge(struct cmd_repl *r)
{
	check_add_topology(&r->findings, r->topology);
	use_stops(r);
	for (size_t i = 0; i < r->n_hosts; i++)
		judge_host(&r->hosts[i]);
	judge_binlog_servers(r);
	judge_hooks(r);
	check_sort(&r->findings);
}

static void report_json(const struct cmd_repl *r, bool ok)
{
	AUTO_STR struct str out = STR_INIT;

	show_check_json(&out, r->conf, ok, &r->findings, r->topology);
	cmd_print(&out);
}

static void report(const struct cmd_repl *r, bool ok)
{
	cmd_repl_log(r);
	log_info("Got exit code %d (Not master dead).", !ok);
	printf("\nMySQL Replication Health is %s\n", ok ? "OK." : "NOT OK!");
	fflush(stdout);
}

int cmd_check_repl(struct cmd *c, int argc, char **argv)
{
	struct cmd_repl r = { .cmd = c, .max_delay = -1 };
	const struct opt opts[] = {
		CMD_OPTS_CLUSTER(c),
		{ "seconds_behind_master", OPT_INT, .to = &r.max_delay, .arg = "N", .min = 0,
		        .max = INT32_MAX,
		        .help = "a slave that is further behind is not healthy (30)" },
		{ "skip_check_ssh|skip_ssh_check", OPT_FLAG, .to = &r.skip_ssh,
		        .help = "SSH to the master need not work" },
		{ "ignore_fail_on_start", OPT_FLAG, .to = &r.ignore_fail_on_start,
		        .help = "dead servers with ignore_fail=1 are fine" },
		CMD_OPT_JSON(c),
		CMD_OPTS_COMMON(c),
		/* Of MHA's monitor: without a meaning in a check that only looks. */
		{ "manager_log|log_output", OPT_STR, .to = NULL },
		{ "workdir|manager_workdir", OPT_STR, .to = NULL },
		{ "interactive", OPT_INT, .to = NULL, .min = 0, .max = 1 },
		{ "wait_on_monitor_error", OPT_INT, .to = NULL, .min = 0, .max = INT32_MAX },
		{ "check_only", OPT_FLAG, .to = NULL },
		{ "check_repl_health", OPT_FLAG, .to = NULL },
		{ 0 },
	};
	struct conf *conf;
	int code;
	bool ok;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	if (c->json)
		log_set_level(LOG_LV_ERROR);
	conf = cmd_load(c, &code);
	if (!conf) {
		if (c->verb->mha && c->conf_path)
			printf("\nMySQL Replication Health is NOT OK!\n");
		return code;
	}
	if (!c->json)
		log_set_level(
		        c->debug ? LOG_LV_DEBUG : (enum log_level)conf->servers[0]->log_level);
	r.conf = conf;
	if (c->verb->mha)
		log_info("MHA::MasterMonitor version " MHA_COMPAT_VERSION ".");
	cmd_repl_gather(&r);
	cmd_repl_judge(&r);
	ok = !check_count_stops(&r.findings);
	if (c->json)
		report_json(&r, ok);
	else
		report(&r, ok);
	return cmd_exit(c, ok ? CMD_OK : CMD_FAILED);
}
