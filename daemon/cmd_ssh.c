/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_ssh - `masterha_check_ssh` and `mhactl check ssh`: can every host be reached that must be?
 *
 * All pairs, as MHA: on each host, `ssh <other host> exit 0`, hosts in parallel, and within one
 * host one after the other, each host beginning with another target, so that no sshd meets a crowd
 * of new connections (it drops them at random from ten on).  mhad itself needs the way from here to
 * each host only: --manager-only.
 */
#include "cmds.h"
#include "check.h"
#include "clock.h"
#include "job.h"
#include "log.h"
#include "loop.h"
#include "show.h"
#include "vec.h"
#include <stdio.h>
#include <stdlib.h>

/* The far ssh gets its own ConnectTimeout; this much more is allowed for its login. */
enum { LOGIN_MS = 3000, MOST_SOURCES = 128 };

/* One server of a host stands for the host. */
struct spot {
	const struct conf_server *server;
};

struct check {
	struct cmd *cmd;
	const struct conf *conf;
	bool all_pairs;
	VEC(struct spot) hosts;
	struct check_findings findings;
	size_t n_tests, n_failed;
};

struct source {
	struct check *check;
	const struct conf_server *host;
	VEC(struct spot) targets;
};

static void add_host(struct check *k, const struct conf_server *s)
{
	for (size_t i = 0; i < k->hosts.len; i++) {
		if (host_same(k->hosts.items[i].server, s))
			return;
	}
	vec_push(&k->hosts, (struct spot){ s });
}

static void find_hosts(struct check *k)
{
	for (size_t i = 0; i < k->conf->n_servers; i++) {
		if (!k->all_pairs || !k->conf->servers[i]->skip_init_ssh_check)
			add_host(k, k->conf->servers[i]);
	}
	for (size_t i = 0; !k->all_pairs && i < k->conf->n_binlogs; i++)
		add_host(k, k->conf->binlogs[i]);
}

/* `ssh <check options> -p PORT USER@ADDRESS exit 0`, for the shell of the source. */
static char *pair_cmd(const struct conf_server *target)
{
	struct str line = STR_INIT;
	AUTO(free) char *options = hook_ssh_options(HOOK_SSH_CHECK, target);

	str_addf(&line, "ssh %s -p %d ", options, target->ssh_port);
	str_add_shell(&line, target->ssh_user);
	str_add(&line, "@");
	str_add_shell(&line, target->ssh_address);
	str_add(&line, " exit 0");
	return str_take(&line);
}

static void log_pair(const char *from, const char *to, bool ok)
{
	log_debug(" Connecting via SSH from %s to %s..", from, to);
	if (ok)
		log_debug("  ok.");
}

static void judge_pair(
        struct source *src, const struct conf_server *target, const struct host_answer *a)
{
	AUTO(free) char *from = host_login(src->host), *to = host_login(target);
	bool ok = a->err.kind == ERR_NONE && a->status == 0;
	AUTO(free) char *said = check_last_line(a);

	src->check->n_tests++;
	log_pair(from, to, ok);
	if (ok)
		return;
	src->check->n_failed++;
	if (a->err.kind != ERR_NONE)
		check_add(&src->check->findings, TOPOLOGY_ERROR, CHECK_SSH_PAIR,
		        src->host->ssh_host, a->err.hint, "SSH connection from %s to %s failed: %s",
		        from, to, a->err.text);
	else
		check_add(&src->check->findings, TOPOLOGY_ERROR, CHECK_SSH_PAIR,
		        src->host->ssh_host, NULL, "SSH connection from %s to %s failed: %s", from,
		        to, *said ? said : "no reason given");
}

/* From here: `exit 0` shows that the account may run commands, as the far ends of the pairs do. */
static void judge_login(struct check *k, const char *login, const struct host_result *r)
{
	const struct host_answer *a = r->n ? &r->answers[0] : NULL;

	k->n_tests++;
	log_pair("here", login, a && a->status == 0);
	if (!a)
		return;
	if (a->status == 0) {
		log_debug("  logged in with %s in %lld ms.", r->transport, (long long)r->open_ms);
		return;
	}
	k->n_failed++;
	check_add(&k->findings, TOPOLOGY_ERROR, CHECK_SSH_REFUSED, login, a->err.hint,
	        "login to %s works, but \"exit 0\" there does not: %s", login,
	        a->err.kind != ERR_NONE ? a->err.text : "another exit status");
}

static void source_done(void *arg, struct host_result *r)
{
	struct source *src = arg;
	struct check *k = src->check;
	AUTO(free) char *login = host_login(src->host);

	if (!k->all_pairs)
		judge_login(k, login, r);
	if (r->err.kind != ERR_NONE) {
		k->n_failed++;
		check_add_ssh(&k->findings, TOPOLOGY_ERROR, login, &r->err,
		        src->targets.len ? "; connections from there were not tested" : NULL);
	}
	for (size_t i = 0; k->all_pairs && i < r->n; i++)
		judge_pair(src, src->targets.items[i].server, &r->answers[i]);
}

static void start_source(struct check *k, struct job_pool *pool, size_t at)
{
	struct source *src = xzalloc(sizeof(*src));
	VEC(struct host_cmd) cmds = VEC_INIT;

	src->check = k;
	src->host = k->hosts.items[at].server;
	if (!k->all_pairs)
		vec_push(&cmds,
		        (struct host_cmd){ .line = xstrdup("exit 0"), .limit_ms = LOGIN_MS });
	for (size_t i = 1; k->all_pairs && i < k->hosts.len; i++) {
		const struct conf_server *target = k->hosts.items[(at + i) % k->hosts.len].server;

		vec_push(&src->targets, (struct spot){ target });
		vec_push(&cmds, (struct host_cmd){ .line = pair_cmd(target),
		                        .limit_ms = target->ssh_connection_timeout + LOGIN_MS });
	}
	host_run(pool, src->host, NULL, cmds.items, cmds.len, source_done, src);
}

static void run(struct check *k)
{
	struct loop *loop = loop_new();
	struct job_pool *pool = job_pool_new(loop, MOST_SOURCES);

	find_hosts(k);
	for (size_t i = 0; i < k->hosts.len; i++)
		start_source(k, pool, i);
	job_wait_all(pool);
}

static void report(struct check *k, int64_t began)
{
	bool ok = !k->n_failed;

	if (k->cmd->json) {
		AUTO_STR struct str out = STR_INIT;

		show_check_json(&out, k->conf, ok, &k->findings, NULL);
		cmd_print(&out);
		return;
	}
	check_log_findings(&k->findings);
	log_info("%zu connections tested in %lld ms, %zu failed.", k->n_tests,
	        (long long)(clock_ms() - began), k->n_failed);
	if (ok)
		log_info("All SSH connection tests passed successfully.");
	else
		log_error("SSH Configuration Check Failed!");
}

int cmd_check_ssh(struct cmd *c, int argc, char **argv)
{
	bool manager_only = false, all_pairs = false;
	const struct opt opts[] = {
		CMD_OPTS_CLUSTER(c),
		{ "manager_only", OPT_FLAG, .to = &manager_only,
		        .help = "only from here to each host: all that mhad itself needs" },
		{ "all_pairs", OPT_FLAG, .to = &all_pairs,
		        .help = "from each host to each other host, as MHA needs it" },
		CMD_OPT_JSON(c),
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	struct check k = { .cmd = c };
	int64_t began = clock_ms();
	struct conf *conf;
	int code;

	log_set_level(LOG_LV_DEBUG);
	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	if (c->json)
		log_set_level(LOG_LV_ERROR);
	conf = cmd_load(c, &code);
	if (!conf)
		return code;
	k.conf = conf;
	k.all_pairs = all_pairs || (c->verb->mha && !manager_only);
	log_info("Starting SSH connection tests..");
	run(&k);
	report(&k, began);
	return cmd_exit(c, k.n_failed ? CMD_FAILED : CMD_OK);
}
