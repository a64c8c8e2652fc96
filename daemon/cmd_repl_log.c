/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_repl_log - the story of a check in MHA's words and order, since people and scripts grep it.
 * Runs on: loop.
 */
#include "cmd_repl.h"
#include "log.h"
#include "show.h"
#include <string.h>

static void log_names(const char *title, const struct topology *t, bool dead)
{
	log_info("%s:", title);
	for (size_t i = 0; i < t->n_servers; i++) {
		if (t->servers[i].is_dead == dead)
			log_info("  %s", t->servers[i].snap->conf->hostinfo);
	}
}

static const char *gtid_of(const struct topology_server *s)
{
	if (s->snap->gtid_mode)
		return s->snap->gtid_mode;
	return s->channel && s->channel->using_gtid != USING_GTID_NO ? "ON" : "OFF";
}

static void log_slave(const struct topology_server *s)
{
	const struct conf_server *c = s->snap->conf;

	log_info("  %s  Version=%s log-bin:%s", c->hostinfo, s->snap->version,
	        s->snap->log_bin == TRI_YES ? "enabled" : "disabled");
	log_info("    GTID %s", gtid_of(s));
	if (s->source || s->source_name)
		log_info("    Replicating from %s",
		        s->source ? s->source->snap->conf->hostinfo : s->source_name);
	if (c->candidate_master)
		log_info("    Primary candidate for the new Master (candidate_master is set)");
	if (c->no_master)
		log_info("    Not candidate for the new Master (no_master is set)");
}

void cmd_repl_log_picture(const struct topology *t)
{
	log_info("GTID failover mode = %d", topology_mha_mode(t->mode));
	log_names("Dead Servers", t, true);
	log_names("Alive Servers", t, false);
	log_info("Alive Slaves:");
	for (size_t i = 0; i < t->n_servers; i++) {
		if (t->servers[i].is_slave && t->servers[i].snap->was_read)
			log_slave(&t->servers[i]);
	}
	if (t->master)
		log_info("Current %s Master: %s", t->master->is_dead ? "Dead" : "Alive",
		        t->master->snap->conf->hostinfo);
}

static void log_output(const char *text)
{
	if (!text || !*text)
		return;
	log_raw(text, strlen(text));
	if (!str_ends(text, "\n"))
		log_raw("\n", 1);
}

static void log_host(const struct cmd_repl_host *h)
{
	static const char *const done[] = { [TEST_BINLOG] = "Binlog setting check done.",
		[TEST_RELAY] = "Slave settings check done.",
		[TEST_BINLOG_SERVER] = "Binlog server check done." };
	AUTO(free) char *login = host_login(h->first);

	if (h->ssh_err.kind != ERR_NONE)
		return;
	log_info("HealthCheck: SSH to %s is reachable.", login);
	if (h->node_err.kind == ERR_NONE)
		log_info(" MHA Node version is %s.", h->node.version);
	for (size_t i = 0; i < h->tests.len; i++) {
		const struct cmd_repl_test *t = &h->tests.items[i];

		log_info("  Executing command: %s", t->shown);
		log_output(t->output);
		if (t->err.kind == ERR_NONE)
			log_info(" %s", done[t->kind]);
	}
}

static bool is_lame(const struct cmd_repl *r, const struct topology_server *s)
{
	const struct topology *t = r->topology;

	for (size_t i = 0; i < t->n_findings; i++) {
		if (t->findings[i].server == s && t->findings[i].check == 12 &&
		        (t->findings[i].stops & TOPOLOGY_STOPS_CHECK))
			return true;
	}
	return false;
}

static void log_health(const struct cmd_repl *r)
{
	const struct topology *t = r->topology;

	for (size_t i = 0; i < t->n_servers; i++) {
		const struct topology_server *s = &t->servers[i];

		if (!s->is_slave || s == t->master || s->is_dead)
			continue;
		log_info("Checking replication health on %s..", s->snap->conf->hostname);
		if (!is_lame(r, s))
			log_info(" ok.");
	}
}

static void log_hooks(const struct cmd_repl *r)
{
	for (size_t i = 0; i < r->n_hooks; i++) {
		log_info("Checking %s status:", r->hooks[i].setting);
		log_info("  %s", r->hooks[i].shown);
		log_output(r->hooks[i].output);
		if (r->hooks[i].err.kind == ERR_NONE)
			log_info(" OK.");
	}
}

void cmd_repl_log(const struct cmd_repl *r)
{
	AUTO_STR struct str tree = STR_INIT;
	size_t stops = check_count_stops(&r->findings);

	log_info("mhad needs no SSH from host to host; masterha_check_ssh tests all pairs for "
	         "those who do.");
	for (size_t i = 0; i < r->n_hosts; i++)
		log_host(&r->hosts[i]);
	show_mha_tree(&tree, r->topology);
	if (tree.len)
		log_info("\n%s", tree.p);
	if (!r->stops)
		log_health(r);
	log_hooks(r);
	check_log_findings(&r->findings);
	if (stops)
		log_error("%zu of these stop a failover or are not healthy.", stops);
}
