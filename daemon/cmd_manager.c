/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_manager - MHA's monitor commands: the checks of a start, then one watch in a loop of its own.  Where a
 * running mhad watches the same file, cmd_attach.c takes over.  Runs on: loop.
 */
#include "cmd_manager.h"
#include "act.h"
#include "clock.h"
#include "guard.h"
#include "job.h"
#include "link.h"
#include "log.h"
#include "loop.h"
#include "str.h"
#include "watch.h"
#include "watch_self.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINKS = 64 };

static const char state_dir[] = CMD_STATE_DIR; /* so that mhad can go on where this ended */

struct session {
	struct manager *m;
	struct loop *loop;
	struct watch *watch;
	struct act *act; /* NULL: masterha_master_monitor */
	bool told;
	bool over;     /* the failover is */
	bool unproven; /* ... and the old master was not seen to end */
	int code;
};

/* ---- the end ---- */

int cmd_manager_dead(
        const struct manager *m, const char *hostname, const char *ip, int port, const char *gate)
{
	log_info("Terminating monitoring script.");
	log_info("Got exit code 20 (Master dead).");
	if (m->monitor) {
		printf("Master %s is dead!\nIP Address: %s Port: %d\n", hostname, ip, port);
		fflush(stdout);
		return MANAGER_DEAD;
	}
	log_error("There is no failover: %s", gate ? gate : "nobody is there to carry it out");
	return CMD_FAILED;
}

/* A signal ends it, and not the process: what is to be cleaned up still is. */
static void wait_for_signal(int64_t seconds)
{
	const struct timespec t = { .tv_sec = (time_t)seconds };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (sigtimedwait(&set, NULL, &t) > 0)
		log_info("Got terminate signal. Exit.");
}

/* MHA leaves its status for a while, so that whoever looks sees what happened. */
static int give_up(struct manager *m, enum status_file_state state)
{
	log_info("Got exit code 1 (Not master dead).");
	if (m->status)
		status_file_set(m->status, state, NULL, NULL);
	if (m->wait_on_error > 0) {
		log_info("Waiting for %lld seconds before exit..", (long long)m->wait_on_error);
		wait_for_signal(m->wait_on_error);
	}
	m->status = status_file_release(m->status);
	return CMD_FAILED;
}

/* ---- the start ---- */

static bool check(struct manager *m)
{
	struct cmd_repl *r = &m->repl;

	*r = (struct cmd_repl){ .cmd = m->cmd,
		.conf = m->conf,
		.max_delay = -1,
		.stops = TOPOLOGY_STOPS_START,
		.skip_ssh = true, /* a master without SSH is bearable at this moment */
		.ignore_fail_on_start = m->ignore_fail_on_start };
	cmd_repl_gather(r);
	cmd_repl_judge(r);
	cmd_repl_log(r);
	return r->topology->master && !check_count_stops(&r->findings);
}

/* Only a person can say what a dead master at the start means. */
static bool may_proceed(const struct manager *m)
{
	char line[16] = "";

	if (!m->repl.topology->master->is_dead || !m->interactive)
		return true;
	printf("Master is not currently alive. Proceed? (yes/NO): ");
	fflush(stdout);
	return fgets(line, sizeof(line), stdin) && str_starts(line, "yes");
}

/* ---- the watch ---- */

static void finish(struct session *s, int code)
{
	s->code = code;
	loop_stop(s->loop);
}

/* The files are read again, as MHA does: what was edited meanwhile counts, and what was broken stops it. */
static bool conf_is_good(const struct manager *m)
{
	const struct conf_opts o = { .path = m->conf->path,
		.global_path = m->cmd->global_path,
		.force_format = -1,
		.deadline = clock_in(5000) };
	struct err e = { 0 };
	struct conf *c;

	log_info("Reading server configuration from %s..", m->conf->path);
	c = conf_load(&o, NULL, &e);
	if (!c)
		log_err(LOG_LV_ERROR, &e);
	conf_free(c);
	return c;
}

static void on_dead(void *arg, struct watch *w)
{
	struct session *s = arg;
	const struct conf_server *master = watch_master(w);
	struct watch_gate_view v = { .text = "" };
	enum watch_gate g;

	watch_gate(w, GATE_TOPOLOGY, &v);
	if (!conf_is_good(s->m) || v.blocks) {
		if (v.blocks)
			log_error("%s", v.text);
		finish(s, CMD_FAILED);
		return;
	}
	if (s->over || (s->act && act_dead(s->act)))
		return;
	g = watch_blocked(w);
	if (g != GATE_COUNT)
		watch_gate(w, g, &v);
	finish(s, cmd_manager_dead(s->m, master->hostname, master->ip, master->port, v.text));
}

/* As MHA: one failover, then the end. */
static void failed_over(void *arg, const struct failover_report *r)
{
	struct session *s = arg;

	s->code = r->exit;
	s->over = true;
	s->unproven = r->opened && r->fenced != FENCE_DONE;
}

static void end_now(void *arg)
{
	struct session *s = arg;

	loop_stop(s->loop);
}

static void act_ended(void *arg)
{
	struct session *s = arg;

	if (s->code && s->m->wait_on_failover_error > 0) {
		log_info("Waiting for %lld seconds before exit..",
		        (long long)s->m->wait_on_failover_error);
		sleep((unsigned)s->m->wait_on_failover_error);
	}
	if (!s->unproven) {
		loop_stop(s->loop);
		return;
	}
	log_info("The old master was not seen to end: for %d more seconds it is closed if it comes "
	         "back.",
	        GUARD_LINGER_MS / 1000);
	loop_timer_new(s->loop, clock_in(GUARD_LINGER_MS), end_now, s);
}

static void on_failed(void *arg, struct watch *w, const struct err *e)
{
	struct session *s = arg;

	(void)w;
	log_error("%s", e->text);
	log_info("Got exit code 1 (Not master dead).");
	finish(s, CMD_FAILED);
}

static void on_signal(void *arg, int signo)
{
	(void)signo;
	struct session *s = arg;

	/* A failover is brought to an end that is one: undone, or done. */
	if (act_is_running(s->act) && !s->told) {
		s->told = true;
		log_warning(
		        "Got terminate signal during failover. It ends after this step; a second "
		        "signal ends it here, and the same command takes it up again.");
		act_cancel(s->act, "Got terminate signal during failover. Exit.");
		return;
	}
	log_info("Got terminate signal. Exit.");
	finish(s, CMD_FAILED);
}

static void stood_still(void *arg, int64_t gap_ms)
{
	struct session *s = arg;

	(void)gap_ms;
	if (s->watch)
		watch_void(s->watch);
}

static int watch(struct manager *m)
{
	struct session s = { .m = m, .loop = m->repl.loop, .code = CMD_FAILED };
	const struct watch_env env = { .loop = s.loop,
		.jobs = m->repl.pool,
		.links = link_room_new(s.loop, LINKS),
		.self = watch_self_new(s.loop, stood_still, &s),
		.state_dir = access(state_dir, W_OK) ? NULL : state_dir,
		.arg = &s,
		.dead = on_dead,
		.failed = on_failed };
	struct watch_opts o = { .acts = !m->monitor,
		.ignore_fail_on_start = m->ignore_fail_on_start,
		.ignore_last_failover = m->ignore_last_failover,
		.failover_interval =
		        m->last_failover_minute >= 0 ? m->last_failover_minute * 60000 : -1,
		.master = m->repl.topology->master->snap->conf,
		.workdir = m->workdir,
		.status_pid = getpid() };

	cmd_on_end(s.loop, on_signal, &s);
	o.status = TAKE(m->status);
	s.watch = watch_new(&env, m->conf, &o);
	if (!m->monitor)
		s.act = act_new(s.watch,
		        &(struct act_opts){ .env = { s.loop, env.jobs, env.links, env.state_dir },
		                .by = "masterha_manager",
		                .failover = m->failover,
		                .done = failed_over,
		                .ended = act_ended,
		                .arg = &s });
	if (s.act)
		act_resume(s.act);
	loop_run(s.loop);
	act_free(s.act);
	watch_free(s.watch); /* the status file goes; the process ends without more */
	return s.code;
}

/* ---- the command ---- */

/* As MHA: the log goes to the file, and masterha_stop finds a process group of our own. */
static bool settle(struct manager *m, int *ret_code)
{
	const char *file = m->log ? m->log : m->conf->servers[0]->manager_log;
	const char *dir = m->workdir ? m->workdir : m->conf->servers[0]->manager_workdir;
	struct err e = { 0 };

	if (!m->interactive && getpgrp() != getpid())
		setpgid(0, 0);
	if (file && *file && !log_open_file(file, &e)) {
		*ret_code = cmd_fail(m->cmd, CMD_CONFIG, &e);
		return false;
	}
	log_set_level(
	        m->cmd->debug ? LOG_LV_DEBUG : (enum log_level)m->conf->servers[0]->log_level);
	*ret_code = cmd_manager_attach(m);
	if (*ret_code != MANAGER_ELSEWHERE)
		return false;
	m->status = status_file_claim(dir, m->conf->name, getpid(), &e);
	if (m->status)
		return true;
	log_err(LOG_LV_ERROR, &e);
	*ret_code = CMD_FAILED;
	return false;
}

static int manage(struct manager *m)
{
	int code;

	if (!settle(m, &code))
		return code;
	log_info("MHA::MasterMonitor version " MHA_COMPAT_VERSION ".");
	if (!check(m)) {
		log_error("Error happened on checking configurations.");
		return give_up(m, STATUS_FILE_CONFIG_ERROR);
	}
	if (!may_proceed(m))
		return give_up(m, STATUS_FILE_CONFIG_ERROR);
	return watch(m);
}

/* Options of the failover that follows. */
#define FAILOVER_OPTS(m)                                                                           \
	{ "skip_save_master_binlog", OPT_FLAG, .to = &(m)->failover.skip_save },                   \
	        { "remove_dead_master_conf|remove_orig_master_conf", OPT_FLAG,                     \
		        .to = &(m)->failover.remove_dead_conf,                                     \
		        .help = "take the dead master's block out of the file" },                  \
	        { "skip_change_master", OPT_FLAG, .to = &(m)->failover.skip_change_master },       \
	        { "skip_disable_read_only", OPT_FLAG,                                              \
		        .to = &(m)->failover.skip_disable_read_only },                             \
	        { "ignore_binlog_server_error", OPT_FLAG,                                          \
		        .to = &(m)->failover.ignore_binlog_server_error },                         \
	        { "wait_on_failover_error", OPT_INT, .to = &(m)->wait_on_failover_error,           \
		        .arg = "SECONDS", .min = 0, .max = INT32_MAX,                              \
		        .help = "wait so long before an exit by a failover's error (0)" },         \
	        { "wait_until_gtid_in_sync", OPT_INT, .to = &(m)->wait_gtid, .min = 0, .max = 1 }, \
	        { "new_master_host", OPT_STR, .to = &(m)->new_host, .arg = "HOST",                 \
		        .help = "this one becomes the master, or none" },                          \
	        { "new_master_port", OPT_INT, .to = &(m)->new_port, .min = 1, .max = 65535 },      \
	{                                                                                          \
		"dead_master_host|dead_master_ip|dead_master_port", OPT_STR, .to = NULL            \
	}

static bool find_new_master(struct manager *m, int *ret_code)
{
	struct err e = { 0 };

	for (size_t i = 0; m->new_host && i < m->conf->n_servers; i++) {
		const struct conf_server *s = m->conf->servers[i];

		if (str_is(s->hostname, m->new_host) && s->port == m->new_port)
			m->failover.new_master = s;
	}
	if (!m->new_host || m->failover.new_master)
		return true;
	err_set(&e, ERR_CONFIG, 0, "--new_master_host=%s: no server of the file is %s:%lld",
	        m->new_host, m->new_host, (long long)m->new_port);
	*ret_code = cmd_fail(m->cmd, CMD_USAGE, &e);
	return false;
}

static int start(struct cmd *c, int argc, char **argv, bool monitor)
{
	struct manager m = { .cmd = c,
		.monitor = monitor,
		.interactive = monitor,
		.last_failover_minute = -1,
		.new_port = 3306,
		.wait_gtid = 1,
		.failover = { .failover_interval = -1, .ssh_reachable = 2 } };
	const struct opt opts[] = {
		CMD_OPTS_CLUSTER(c),
		{ "manager_workdir|workdir", OPT_STR, .to = &m.workdir, .arg = "DIR",
		        .help = "for status and saved files, instead of the setting's" },
		{ "manager_log|log_output", OPT_STR, .to = &m.log, .arg = "FILE",
		        .help = "log file, instead of the setting's" },
		{ "interactive", OPT_INT, .to = monitor ? &m.interactive : NULL, .min = 0, .max = 1,
		        .help = monitor ? "0: do not ask, be a process group of its own (1)"
		                        : NULL },
		{ "wait_on_monitor_error", OPT_INT, .to = &m.wait_on_error, .arg = "SECONDS",
		        .min = 0, .max = INT32_MAX,
		        .help = "wait so long before an exit by error (0)" },
		{ "ignore_fail_on_start", OPT_FLAG, .to = &m.ignore_fail_on_start,
		        .help = "dead servers with ignore_fail=1 are fine" },
		{ "ignore_last_failover", OPT_FLAG, .to = &m.ignore_last_failover,
		        .help = "an earlier failover does not stand against the next" },
		{ "last_failover_minute", OPT_INT, .to = &m.last_failover_minute, .arg = "MINUTES",
		        .min = 0, .max = 43200, .help = "... for so long (480)" },
		{ "skip_check_ssh|skip_ssh_check", OPT_FLAG, .to = NULL },
		{ "monitor_only|check_only|check_repl_health", OPT_FLAG, .to = NULL },
		{ "socket", OPT_STR, .to = &m.socket, .arg = "PATH",
		        .help = "of a running mhad, which is asked whether it watches the file" },
		FAILOVER_OPTS(&m),
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	struct conf *conf;
	int code;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	conf = cmd_load(c, &code);
	m.conf = conf;
	if (!conf || !find_new_master(&m, &code))
		return code;
	conf_use_workdir(conf, m.workdir);
	m.failover.ignore_last_failover = m.ignore_last_failover;
	m.failover.no_gtid_wait = !m.wait_gtid;
	if (m.last_failover_minute >= 0)
		m.failover.failover_interval = m.last_failover_minute * 60000;
	return manage(&m);
}

int cmd_manager(struct cmd *c, int argc, char **argv)
{
	return start(c, argc, argv, false);
}

int cmd_master_monitor(struct cmd *c, int argc, char **argv)
{
	return start(c, argc, argv, true);
}
