/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mhad - the daemon: wires loop, jobs, links, fleet and control socket together, and lives until it is
 * told to stop.  Runs on: the main thread, which is the loop's.
 */
#include "clock.h"
#include "cmd.h"
#include "control.h"
#include "fleet.h"
#include "hook.h"
#include "hookd.h"
#include "http.h"
#include "job.h"
#include "link.h"
#include "log.h"
#include "loop.h"
#include "opt.h"
#include "sd.h"
#include "standin.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	WAIT_MS = 100,
	WORKERS = 96,
	LINKS = 256,            /* connections to hosts at once; about 150 kB each */
	MMAP_FROM = 128 * 1024, /* stacks of sessions, which would leave holes in the heap */
	HTTP_CONF_MS = 10000,
	LAST_MS = 1000,         /* at the end, for what is being written */
};

struct mhad {
	const char *confdir, *state_dir, *socket, *read_group, *admin_group;
	bool foreground, debug, help, version;
	int lock;
	struct loop *loop;
	struct sd *sd;
	struct job_pool *jobs;
	struct link_room *links;
	struct standins *standins;
	struct fleet *fleet;
	struct control *control;
	struct http *http; /* NULL: not yet, or never */
	struct loop_signal *signals[3];
	struct loop_timer *waits; /* told to end while a failover ran */
	bool ready;
	int exit;
};

static bool make_dir(const char *path, mode_t mode, struct err *e)
{
	return !mkdir(path, mode) || errno == EEXIST || err_sys(e, "make directory %s", path);
}

/* One mhad per state directory: two would write one history, and fight over status files. */
static bool lock_state(struct mhad *m, struct err *e)
{
	AUTO(free) char *path = xasprintf("%s/mhad.lock", m->state_dir);
	char pid[32] = "";
	ssize_t n;

	if (!make_dir(m->state_dir, 0750, e))
		return false;
	m->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (m->lock < 0)
		return err_sys(e, "open %s", path);
	if (flock(m->lock, LOCK_EX | LOCK_NB)) {
		n = pread(m->lock, pid, sizeof(pid) - 1, 0);
		if (n > 0)
			pid[strcspn(pid, "\n")] = '\0';
		err_set(e, ERR_PRECOND, 0, "another mhad (pid %s) works with %s",
		        n > 0 ? pid : "unknown", m->state_dir);
		return err_hint(e, "stop it, or give this one its own --state-dir and --socket");
	}
	snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	if (ftruncate(m->lock, 0) || pwrite(m->lock, pid, strlen(pid), 0) < 0)
		return err_sys(e, "write %s", path);
	return true;
}

/* So that a failover needs no page from a disk that hangs.  Where memory is limited, a locked one would be
 * missing later. */
static void lock_memory(void)
{
	struct rlimit r;

	if (geteuid() && (getrlimit(RLIMIT_MEMLOCK, &r) || r.rlim_cur != RLIM_INFINITY))
		return;
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
		log_debug("memory is not locked: %s", strerror(errno));
}

/* Thousands of sessions: their descriptors, and memory that goes back when they end. */
static void make_room(void)
{
	struct rlimit r;

	if (!getrlimit(RLIMIT_NOFILE, &r) && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &r))
			log_debug("the limit of open files stays: %s", strerror(errno));
	}
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_MMAP_THRESHOLD, MMAP_FROM);
}

/* ---- what the loop calls ---- */

static void status_changed(void *arg)
{
	struct mhad *m = arg;
	char line[120];

	http_changed(m->http);
	if (!m->ready)
		return;
	fleet_line(m->fleet, line, sizeof(line));
	sd_status(m->sd, "%s", line);
}

/* A group that no package made is nobody's; one that was asked for must be there. */
static const char *group(const char *given, const char *usual)
{
	if (given)
		return given;
	return getgrnam(usual) ? usual : NULL;
}

static bool open_control(struct mhad *m, struct err *e)
{
	const struct control_opts o = { .read_group = group(m->read_group, SD_GROUP_READ),
		.admin_group = group(m->admin_group, SD_GROUP_ADMIN) };
	AUTO(free) char *dir = xstrdup(m->socket);
	char *slash = strrchr(dir, '/');
	int fd = sd_listen_fd(m->sd, SD_CONTROL);

	if (slash && slash != dir)
		*slash = '\0';
	if (fd < 0 && slash && slash != dir && !make_dir(dir, 0755, e))
		return false;
	m->control = control_new(m->loop, fd, m->socket, &o, fleet_verbs(), m->fleet, e);
	return m->control;
}

/* ---- HTTP ---- */

struct http_reading {
	struct mhad *mhad;
	struct http_conf conf;
};

static bool read_http(struct job *j, void *arg, struct err *e)
{
	struct http_reading *x = arg;

	(void)j;
	return http_conf_read(x->mhad->confdir, &x->conf, e);
}

static void http_read(struct job *j, void *arg, const struct err *e)
{
	struct http_reading *x = arg;

	(void)j;
	if (e)
		log_err(LOG_LV_WARNING, e);
	else if (x->mhad->http)
		http_configure(x->mhad->http, &x->conf);
}

static void http_reading_free(void *arg)
{
	struct http_reading *x = arg;

	http_conf_done(&x->conf);
	free(x);
}

/* A page that cannot be served is no reason not to watch. */
static void open_http(struct mhad *m)
{
	struct http_reading *x;
	struct err e = { 0 };

	if (!m->http)
		m->http = http_new(m->loop, sd_listen_fd(m->sd, SD_HTTP), fleet_glance, m->fleet, &e);
	if (!m->http) {
		log_err(LOG_LV_WARNING, &e);
		return;
	}
	x = xzalloc(sizeof(*x));
	x->mhad = m;
	job_start(m->jobs,
	        job_new("read mhad.conf", clock_in(HTTP_CONF_MS), read_http, http_read, http_reading_free, x));
}

static void give_up(struct mhad *m, const struct err *e)
{
	log_err(LOG_LV_ERROR, e);
	sd_failed(m->sd, e);
	m->exit = e->kind == ERR_CONFIG ? CMD_CONFIG : CMD_FAILED;
	loop_stop(m->loop);
}

/*
 * With nothing at all to watch the start has failed, and says so to whoever waits for it; one bad file
 * among others is no reason to leave the others alone.  Questions are answered from here on: before,
 * the answer would be that there are no clusters.
 */
static bool first_loaded(struct mhad *m, const struct fleet_loaded *r, struct err *e)
{
	if (!r->clusters && !r->again && json_array_size(r->problems))
		return err_set(e, ERR_CONFIG, 0, "No cluster can be watched: %s",
		        json_string_value(json_array_get(r->problems, 0)));
	return open_control(m, e);
}

static void loaded(void *arg, const struct fleet_loaded *r)
{
	struct mhad *m = arg;
	struct err e = { 0 };
	char line[120];

	if (!m->ready && !first_loaded(m, r, &e)) {
		give_up(m, &e);
		return;
	}
	fleet_line(m->fleet, line, sizeof(line));
	log_info("%s: %zu clusters, %zu problems.", m->ready ? "Reloaded" : "Ready", r->clusters,
	        json_array_size(r->problems));
	m->ready = true;
	open_http(m);
	malloc_trim(0);
	sd_ready(m->sd, "%s", line);
}

static void wait_for_acts(void *arg)
{
	struct mhad *m = arg;

	if (fleet_acting(m->fleet)) {
		loop_timer_move(m->waits, clock_in(WAIT_MS));
		return;
	}
	log_info("The failover is over. Exit.");
	loop_stop(m->loop);
}

static void on_signal(void *arg, int signo)
{
	struct mhad *m = arg;

	if (signo == SIGHUP) {
		log_info("Got SIGHUP: reading the configuration.");
		sd_reloading(m->sd);
		fleet_load(m->fleet, loaded, m);
		return;
	}
	if (fleet_acting(m->fleet) && !m->waits) {
		m->waits = loop_timer_new(m->loop, clock_in(WAIT_MS), wait_for_acts, m);
		log_warning("Got terminate signal while %s is failed over: waiting for its end. A "
		            "second signal ends it here, and the next start takes it up again.",
		        fleet_acting(m->fleet));
		sd_stopping(m->sd, "a failover is brought to its end");
		return;
	}
	log_info("Got terminate signal. Exit.");
	sd_stopping(m->sd, "stopping; replication is left alone");
	loop_stop(m->loop);
}

static void on_slow(void *arg, const char *kind, int64_t turn_ms, int64_t callback_ms)
{
	(void)arg;
	log_debug("the loop was busy for %lld ms, one %s of it for %lld ms", (long long)turn_ms,
	        kind, (long long)callback_ms);
}

static void stop_loop(void *arg)
{
	loop_stop(arg);
}

/* ---- start and end ---- */

static bool start(struct mhad *m, struct err *e)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	const struct fleet_opts o = { .confdir = m->confdir,
		.state_dir = m->state_dir,
		.standins = m->standins,
		.changed = status_changed,
		.arg = m };

	if (!lock_state(m, e))
		return false;
	lock_memory();
	hook_use_helper(geteuid() && !access(HOOKD_PATH, W_OK) ? HOOKD_PATH : NULL);
	m->jobs = job_pool_new(m->loop, WORKERS);
	m->links = link_room_new(m->loop, LINKS);
	m->fleet = fleet_new(m->loop, m->jobs, m->links, &o);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		m->signals[i] = loop_signal_new(m->loop, signals[i], on_signal, m);
	loop_on_slow(m->loop, on_slow, m);
	log_info("mhad %s is starting.", MHAD_VERSION);
	fleet_load(m->fleet, loaded, m);
	return true;
}

/* Workers that were written off may be inside a library: nothing is torn down below their feet, the
 * process ends without exit handlers. */
static void finish(struct mhad *m)
{
	struct loop_timer *t;

	for (size_t i = 0; i < ARRAY_LEN(m->signals); i++)
		loop_signal_free(m->signals[i]);
	control_free(m->control);
	http_free(TAKE(m->http));
	fleet_free(m->fleet);
	t = loop_timer_new(m->loop, clock_in(LAST_MS), stop_loop, m->loop);
	job_wait_all(m->jobs);
	loop_timer_free(t);
	if (!link_room_free(m->links, clock_in(LAST_MS)))
		log_debug("a session with a host did not end in time");
	job_pool_free(m->jobs);
	standins_free(m->standins);
	sd_free(m->sd);
}

static int run(struct mhad *m)
{
	struct err e = { 0 };

	if (!start(m, &e)) {
		log_err(LOG_LV_ERROR, &e);
		sd_failed(m->sd, &e);
		return e.kind == ERR_CONFIG ? CMD_CONFIG : CMD_FAILED;
	}
	loop_run(m->loop);
	finish(m);
	log_info("mhad has ended.");
	return m->exit;
}

static int serve_hook(void)
{
	struct err e = { 0 };

	log_open_journal();
	if (hookd_serve(STDIN_FILENO, SD_USER, &e))
		return CMD_OK;
	log_err(LOG_LV_ERROR, &e);
	return CMD_FAILED;
}

static void print_help(const struct opt *opts)
{
	AUTO_STR struct str out = STR_INIT;

	str_add(&out,
	        "usage: mhad [options]\n\nThe daemon that watches MySQL and MariaDB clusters. "
	        "mhactl(1) talks to it.\n\n");
	opt_help(&out, opts);
	str_add(&out, "\nexamples:\n  systemctl enable --now mhad\n  mhad --config-dir=/etc/mhad "
	              "--state-dir=/var/lib/mhad --debug\n");
	cmd_print(&out);
}

static bool parse(struct mhad *m, int argc, char **argv, int *ret_exit)
{
	const struct opt opts[] = {
		{ "config-dir", OPT_STR, .to = &m->confdir, .arg = "DIR",
		        .help = "configuration (" MHAD_SYSCONFDIR "): mhad.conf, clusters.d/" },
		{ "state-dir", OPT_STR, .to = &m->state_dir, .arg = "DIR",
		        .help = "what is remembered (/var/lib/mhad)" },
		{ "socket", OPT_STR, .to = &m->socket, .arg = "PATH",
		        .help = "control socket (/run/mhad/control)" },
		{ "read-group", OPT_STR, .to = &m->read_group, .arg = "GROUP",
		        .help = "who may ask (" SD_GROUP_READ ", if there is one)" },
		{ "admin-group", OPT_STR, .to = &m->admin_group, .arg = "GROUP",
		        .help = "who may act (" SD_GROUP_ADMIN ", if there is one)" },
		{ "foreground", OPT_FLAG, .to = &m->foreground,
		        .help = "as always: it never goes into the background by itself" },
		{ "debug", OPT_FLAG, .to = &m->debug, .help = "say more" },
		{ "help|h", OPT_FLAG, .to = &m->help, .help = "this text" },
		{ "version", OPT_FLAG, .to = &m->version },
		{ 0 },
	};
	struct err e = { 0 };
	bool ok = opt_parse(opts, argc, argv, NULL, &e);

	*ret_exit = CMD_OK;
	if (m->help)
		print_help(opts);
	else if (m->version)
		printf("mhad %s\n", MHAD_VERSION);
	else if (!ok) {
		fprintf(stderr, "mhad: %s\n", e.text);
		*ret_exit = CMD_USAGE;
	}
	return ok && !m->help && !m->version;
}

int main(int argc, char **argv)
{
	struct mhad m = { .confdir = MHAD_SYSCONFDIR,
		.state_dir = "/var/lib/mhad",
		.socket = "/run/mhad/control",
		.lock = -1 };
	struct err e = { 0 };
	int code;

	json_set_alloc_funcs(malloc, mem_free_wiping); /* passwords travel in JSON to mha-node */
	signal(SIGPIPE, SIG_IGN); /* a peer that goes away is an error of one call, not our end */
	if (argc > 1 && str_is(argv[1], "hook"))
		return serve_hook();
	if (!parse(&m, argc, argv, &code))
		return code;
	m.standins = standins_fork(argv, &e);
	make_room();
	if (!m.standins)
		log_err(LOG_LV_WARNING, &e);
	log_open_journal();
	log_name_clusters(true);
	if (m.debug)
		log_set_level(LOG_LV_DEBUG);
	m.loop = loop_new();
	m.sd = sd_new(m.loop);
	code = run(&m);
	fflush(NULL);
	_exit(code);
}
