/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_repl_gather - all servers are read and all hosts are logged in to at once.  When the picture is
 * there and a host's session too, the node tools on it are tested over that session; hooks run
 * meanwhile.  Runs on: loop.
 */
#include "cmd_repl.h"
#include "clock.h"
#include "job.h"
#include "loop.h"
#include <stdlib.h>
#include <string.h>

enum {
	NODE_MS = 10000,    /* one question to the node tools; MHA's own scripts are slow */
	MOST_WORKERS = 256, /* one for each server and each host, of any cluster there is */
};

static void one_less(struct cmd_repl *r)
{
	if (!--r->pending)
		loop_stop(r->loop);
}

/* The password is the last option of the lines that have one. */
static char *without_password(const char *line)
{
	const char *pass = strstr(line, " --slave_pass=");

	return pass ? xasprintf("%.*s --slave_pass=xxx", (int)(pass - line), line) : xstrdup(line);
}

/* What is tested where: MHA's tests, on the master, its slaves, and binlog servers. */
static void add_test(struct cmd_repl_host *h, enum cmd_repl_kind kind, const struct conf_server *s,
        char *line, struct host_cmd *cmds)
{
	cmds[h->tests.len] = (struct host_cmd){ .line = line, .limit_ms = NODE_MS };
	vec_push(&h->tests, (struct cmd_repl_test){
	                            .kind = kind, .server = s, .shown = without_password(line) });
}

static const char *base_of(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path;
}

static void add_server_test(
        struct cmd_repl_host *h, const struct topology_server *s, struct host_cmd *cmds)
{
	const struct snapshot_server *snap = s->snap;

	if (snap->state != SNAPSHOT_ALIVE)
		return;
	if (s == h->repl->topology->master && snap->binlog_file)
		add_test(h, TEST_BINLOG, snap->conf,
		        check_binlog_test_cmd(snap->conf, snap->binlog_file, NULL), cmds);
	else if (s != h->repl->topology->master && s->channel && s->channel->relay_file)
		add_test(h, TEST_RELAY, snap->conf,
		        check_relay_test_cmd(snap, s->channel->relay_file, !h->node.is_ours), cmds);
}

static void test_ended(void *arg, struct host_result *res)
{
	struct cmd_repl_host *h = arg;

	for (size_t i = 0; i < h->tests.len; i++) {
		struct cmd_repl_test *t = &h->tests.items[i];
		const struct host_answer *a = i < res->n ? &res->answers[i] : NULL;

		if (!a || a->err.kind != ERR_NONE) {
			t->err = a ? a->err : res->err;
			continue;
		}
		t->output =
		        xasprintf("%s%s%s", a->out, *a->out && *a->err_out ? "\n" : "", a->err_out);
		if (a->status) {
			AUTO(free) char *said = check_last_line(a);

			err_set(&t->err, ERR_REMOTE, a->status, "%s",
			        *said ? said : "no reason given");
		}
	}
	one_less(h->repl);
}

/* Once both the picture and this host's session are there. */
static void test_host(struct cmd_repl_host *h)
{
	struct cmd_repl *r = h->repl;
	const struct topology *t = r->topology;
	struct host_cmd *cmds;

	if (!t || !h->asked || !h->session || h->node_err.kind != ERR_NONE)
		return;
	cmds = xzalloc((t->n_servers + r->conf->n_binlogs + 1) * sizeof(*cmds));
	for (size_t i = 0; i < t->n_servers; i++) {
		if (host_same(h->first, t->servers[i].snap->conf))
			add_server_test(h, &t->servers[i], cmds);
	}
	for (size_t i = 0; i < r->conf->n_binlogs; i++) {
		const struct conf_server *b = r->conf->binlogs[i];
		const char *prefix = t->master ? base_of(t->master->snap->binlog_basename) : NULL;

		if (prefix && host_same(h->first, b))
			add_test(h, TEST_BINLOG_SERVER, b, check_binlog_test_cmd(b, NULL, prefix),
			        cmds);
	}
	if (!h->tests.len) {
		free(cmds);
		return;
	}
	r->pending++;
	host_run(r->pool, h->first, TAKE(h->session), cmds, h->tests.len, test_ended, h);
}

static void host_asked(void *arg, struct host_result *res)
{
	struct cmd_repl_host *h = arg;

	h->asked = true;
	h->ssh_err = res->err;
	if (res->n &&
	        !check_node_version(&res->answers[0], &h->node, &h->node_code, &h->node_err) &&
	        res->answers[0].err.kind != ERR_NONE)
		h->ssh_err = res->answers[0].err;
	h->session = TAKE(res->session);
	test_host(h);
	one_less(h->repl);
}

static void hook_ended(
        void *arg, const struct hook *hook, const struct str *output, const struct err *e)
{
	struct cmd_repl_hook *call = arg;

	(void)hook;
	call->output = xstrdup(output->p);
	if (e)
		call->err = *e;
	one_less(call->repl);
}

static void start_hook(struct cmd_repl *r, struct hook *hook, const struct conf_server *master)
{
	struct cmd_repl_hook *call = &r->hooks[r->n_hooks];

	if (!hook)
		return;
	r->n_hooks++;
	*call = (struct cmd_repl_hook){
		.repl = r, .setting = hook_setting(hook), .shown = hook_text(hook)
	};
	r->pending++;
	hook_start(r->pool, hook, master->hook_timeout, hook_ended, call);
}

static void snapshot_ended(void *arg, struct snapshot *s)
{
	struct cmd_repl *r = arg;
	struct topology_opts o = { .max_delay = r->max_delay,
		.ignore_fail_on_start = r->ignore_fail_on_start };

	r->snapshot = s;
	r->topology = topology_classify(s, &o);
	for (size_t i = 0; i < r->n_hosts; i++)
		test_host(&r->hosts[i]);
	if (r->topology->master) {
		const struct conf_server *master = r->topology->master->snap->conf;

		start_hook(r, hook_ip_failover_status(master), master);
		start_hook(r, hook_shutdown_status(master), master);
	}
	cmd_repl_log_picture(r->topology);
	one_less(r);
}

static void add_host(struct cmd_repl *r, const struct conf_server *s)
{
	for (size_t i = 0; i < r->n_hosts; i++) {
		if (host_same(r->hosts[i].first, s))
			return;
	}
	r->hosts[r->n_hosts++] = (struct cmd_repl_host){ .repl = r, .first = s };
}

static void ask_hosts(struct cmd_repl *r)
{
	for (size_t i = 0; i < r->conf->n_servers; i++)
		add_host(r, r->conf->servers[i]);
	for (size_t i = 0; i < r->conf->n_binlogs; i++)
		add_host(r, r->conf->binlogs[i]);
	for (size_t i = 0; i < r->n_hosts; i++) {
		struct host_cmd *version = xzalloc(sizeof(*version));

		version->line = check_node_version_cmd(r->hosts[i].first);
		version->limit_ms = NODE_MS;
		r->pending++;
		host_run(r->pool, r->hosts[i].first, NULL, version, 1, host_asked, &r->hosts[i]);
	}
}

void cmd_repl_gather(struct cmd_repl *r)
{
	r->loop = loop_new();
	r->pool = job_pool_new(r->loop, MOST_WORKERS);
	r->hosts = xzalloc((r->conf->n_servers + r->conf->n_binlogs) * sizeof(*r->hosts));
	r->pending = 1;
	snapshot_start(r->loop, r->pool, r->conf, NULL, snapshot_ended, r);
	ask_hosts(r);
	loop_run(r->loop);
}
