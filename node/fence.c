/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fence - closes a server for good.  Runs on: any thread.
 *
 * The order matters: supervisors first, else they win the race; the hold before the wait, so that
 * nobody slips in between; the look at the end asks the kernel again instead of trusting what was
 * done.
 */
#include "fence.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "aside.h"
#include "clock.h"
#include "fence_unit.h"
#include "json.h"
#include "mysqld.h"

#define DEFAULT_TIMEOUT_MS 10000
#define LOOK_EVERY_MS      20
#define ENDING_MS          2000 /* from its last sign as a server until the kernel has done with it */
#define SETTLE_MS          200  /* nobody is known who would bring it back */
#define SETTLE_UNSURE_MS   1500 /* somebody may: it has a parent that we do not know, or came back */
#define SYSTEMCTL_MS       3000

enum verdict { FENCED, FAILED, UNPROVEN };
static const char *const verdict_names[] = { "fenced", "failed", "unproven" };

struct victim {
	struct mysqld m;
	const char *role; /* "server" or "supervisor" */
	int fd;           /* of the process; -1: the kernel has no such thing */
	int64_t since;    /* first signal */
	bool killed;      /* KILL was sent */
	bool gone;
	int64_t took_ms;
};

struct fence {
	const struct args *a;
	struct verb_io *io;
	struct mysqld_query q;
	int64_t since, deadline, kill_at;
	struct mysqld_found first, now;
	VEC(struct victim) victims;
	struct json facts; /* members of an array */
	char *unit;        /* NULL: none */
	bool held, unsure, doubt, unexplained;
	int came_back;
	char *respawner; /* left alone; NULL: none seen */
};

/* ---- facts ---- */

static void PRINTF_LIKE(2, 3) fact(struct fence *f, const char *fmt, ...)
{
	AUTO_STR struct str s = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(&s, fmt, ap);
	va_end(ap);
	json_str(&f->facts, NULL, s.p);
}

/* A fact that keeps us from saying "fenced". */
#define doubt(f, ...) ((f)->doubt = true, fact((f), __VA_ARGS__))

/* ---- looking ---- */

static void look_aside(const void *arg, void *ret)
{
	mysqld_find(arg, ret);
}

/* False when the processes could not be looked at in time. */
static bool look(struct fence *f, struct err *e)
{
	int64_t left = clock_left(f->deadline);

	return aside_run(look_aside, &f->q, &f->now, sizeof(f->now),
	        clock_in(left > 500 ? left / 2 : 250), e);
}

/* ---- signals ---- */

static int open_process(const struct mysqld *m)
{
	int fd = (int)syscall(SYS_pidfd_open, m->pid, 0);
	struct procfs_stat st;

	/* The pid may have gone to another process since we looked; once the descriptor is there it cannot. */
	if (fd >= 0 && (!procfs_stat(PROCFS, m->pid, &st) || st.start_ticks != m->start_ticks)) {
		close(fd);
		errno = ESRCH;
		return -1;
	}
	return fd;
}

static bool is_alive(const struct victim *v)
{
	struct pollfd p = { .fd = v->fd, .events = POLLIN };
	struct procfs_stat st;

	if (v->fd >= 0)
		return poll(&p, 1, 0) == 0;
	return procfs_stat(PROCFS, v->m.pid, &st) && st.start_ticks == v->m.start_ticks &&
	       (st.state != 'Z' || st.threads > 1);
}

static bool send_signal(struct fence *f, struct victim *v, int sig)
{
	int rc = v->fd >= 0    ? (int)syscall(SYS_pidfd_send_signal, v->fd, sig, NULL, 0)
	         : is_alive(v) ? kill(v->m.pid, sig)
	                       : 0;

	v->killed |= sig == SIGKILL;
	if (rc == 0 || errno == ESRCH)
		return true;
	doubt(f, "process %d cannot be signalled: %s", (int)v->m.pid, strerror(errno));
	return false;
}

static struct victim *find_victim(struct fence *f, const struct mysqld *m)
{
	vec_each (struct victim, v, &f->victims)
		if (v->m.pid == m->pid && v->m.start_ticks == m->start_ticks)
			return v;
	return NULL;
}

static struct victim *add_victim(struct fence *f, const struct mysqld *m, const char *role)
{
	struct victim v = { .m = *m, .role = role, .fd = open_process(m), .since = clock_ms() };

	if (v.fd < 0 && errno == ESRCH)
		v.gone = true;
	vec_push(&f->victims, v);
	return &f->victims.items[f->victims.len - 1];
}

static void note_the_gone(struct fence *f)
{
	vec_each (struct victim, v, &f->victims) {
		if (v->gone || is_alive(v))
			continue;
		v->gone = true;
		v->took_ms = clock_ms() - v->since;
		fact(f, "%s %d (%s) ended %d ms after %s", v->role, (int)v->m.pid, v->m.program,
		        (int)v->took_ms, v->killed ? "KILL" : "TERM");
	}
}

/* ---- supervisors ---- */

/* Several servers in one unit (mysqld_multi): stopping it would stop them all. */
static bool unit_is_shared(const struct fence *f, const char *cgroup)
{
	struct procfs_pids pids = VEC_INIT;
	bool shared = false;

	if (!procfs_pids(PROCFS, &pids, NULL))
		return true;
	vec_each (pid_t, pid, &pids) {
		AUTO(free) char *its = procfs_read_of(PROCFS, *pid, "cgroup", NULL);
		bool ours = false;

		for (int i = 0; i < f->now.count; i++)
			ours |= f->now.servers[i].pid == *pid;
		if (ours || !str_is(its, cgroup))
			continue;

		AUTO(free) char *exe = procfs_link(PROCFS, *pid, "exe");
		struct procfs_words w;
		const char *program;

		if (procfs_words(PROCFS, *pid, &w)) {
			shared |= mysqld_is_server(exe, w.words, &program);
			procfs_words_done(&w);
		}
	}
	vec_done(&pids);
	return shared;
}

static char *unit_of_process(struct fence *f, pid_t pid)
{
	AUTO(free) char *cgroup = procfs_read_of(PROCFS, pid, "cgroup", NULL);
	AUTO(free) char *unit = cgroup ? fence_unit_of_cgroup(cgroup) : NULL;
	AUTO(free) char *show = NULL;
	struct err e = { 0 };

	if (!unit)
		return NULL;
	show = fence_unit_show(unit, clock_in(SYSTEMCTL_MS), &e);
	if (!show)
		doubt(f, "%s", e.text);
	else if (!fence_unit_is_own(show, unit, pid))
		fact(f, "process %d lives in unit %s, which is not its own", (int)pid, unit);
	else if (unit_is_shared(f, cgroup))
		doubt(f, "unit %s runs other servers too: it is not stopped", unit);
	else
		return TAKE(unit);
	return NULL;
}

/* Also when no process is there: systemd may be about to start it again. */
static char *find_unit(struct fence *f)
{
	const struct mysqld *m = f->now.count        ? &f->now.servers[0]
	                         : f->now.safe_count ? &f->now.safes[0]
	                                             : NULL;
	AUTO(free) char *show = NULL;
	struct err e = { 0 };

	if (!fence_unit_booted())
		return NULL;
	if (m)
		return unit_of_process(f, m->pid);
	show = fence_unit_show(NULL, clock_in(SYSTEMCTL_MS), &e);
	if (!show)
		doubt(f, "%s", e.text);
	return show ? fence_unit_of_port(show, "", f->q.port) : NULL;
}

static void stop_unit(struct fence *f)
{
	struct err e = { 0 };

	if (f->unit && !fence_unit_stop(f->unit, clock_in(SYSTEMCTL_MS), &e))
		doubt(f, "%s", e.text);
}

static void stop_safes(struct fence *f)
{
	for (int i = 0; i < f->now.safe_count; i++) {
		if (find_victim(f, &f->now.safes[i]))
			continue;

		struct victim *v = add_victim(f, &f->now.safes[i], "supervisor");

		if (!v->gone)
			send_signal(f, v, SIGKILL); /* it ignores TERM */
	}
}

static bool is_shell(const char *exe)
{
	static const char *const names[] = { "sh", "dash", "bash", "ash", "ksh", "busybox" };
	const char *slash = exe ? strrchr(exe, '/') : NULL;

	for (size_t i = 0; slash && i < ARRAY_LEN(names); i++)
		if (str_is(slash + 1, names[i]))
			return true;
	return false;
}

static void name_respawner(struct fence *f, const struct mysqld *parent)
{
	free(f->respawner);
	f->respawner = xasprintf("process %d (%s)", (int)parent->pid, parent->program);
}

/* A server that is new, with the same parent as one that we have ended: that parent supervises. */
static void meet_respawner(struct fence *f, const struct mysqld *m)
{
	struct mysqld parent = { .pid = m->parent };
	struct procfs_stat st;
	bool same = false;

	vec_each (struct victim, v, &f->victims)
		same |= v->m.parent == m->parent && str_is(v->role, "server");
	if (!same || m->parent <= 1 || !procfs_stat(PROCFS, m->parent, &st))
		return;
	parent.start_ticks = st.start_ticks;
	parent.parent = st.parent;
	snprintf(parent.program, sizeof(parent.program), "%s", st.comm);

	AUTO(free) char *exe = procfs_link(PROCFS, m->parent, "exe");

	if (!is_shell(exe)) {
		name_respawner(f, &parent);
		return;
	}
	if (!find_victim(f, &parent)) {
		struct victim *v = add_victim(f, &parent, "supervisor");

		if (!v->gone)
			send_signal(f, v, SIGKILL);
	}
}

/* ---- hold ---- */

static char *record_path(int port)
{
	return xasprintf(FENCE_DIR "/fence-%d.json", port);
}

bool fence_is_recorded(int port)
{
	AUTO(free) char *path = record_path(port);

	return access(path, F_OK) == 0;
}

static void put_record(const struct fence *f, struct json *j)
{
	AUTO(free) char *boot = procfs_read(PROCFS, "sys/kernel/random/boot_id", NULL);
	time_t now = time(NULL);
	char when[48];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	json_open(j, NULL, '{');
	json_int(j, "port", f->q.port);
	json_str(j, "token", f->a->token);
	json_str(j, "fenced_at", when);
	json_str(j, "boot_id", boot ? str_trim(boot) : NULL);
	json_str(j, "by", getenv("SSH_CONNECTION"));
	json_str(j, "datadir", f->now.datadir);
	json_str(j, "unit", f->unit);
	json_close(j, '}');
	str_addc(&j->text, '\n');
}

static bool write_record(const struct fence *f, struct err *e)
{
	AUTO_JSON struct json j = JSON_INIT;
	AUTO(free) char *path = record_path(f->q.port);
	AUTO(free) char *part = xasprintf("%s.%d", path, (int)getpid());
	AUTO_FD int fd = -1;

	put_record(f, &j);
	if (mkdir(FENCE_DIR, 0755) < 0 && errno != EEXIST)
		return err_sys(e, "make folder " FENCE_DIR);
	if (unlink(part) < 0 && errno != ENOENT)
		return err_sys(e, "replace %s", part);
	fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, "make %s", part);
	if (write(fd, j.text.p, j.text.len) != (ssize_t)j.text.len || rename(part, path) < 0) {
		err_sys(e, "write %s", path);
		unlink(part);
		return false;
	}
	return true;
}

static void hold(struct fence *f)
{
	AUTO(free) char *path = record_path(f->q.port);
	struct err e = { 0 };

	if (!write_record(f, &e) ||
	        (f->unit && (!fence_unit_hold(f->unit, f->q.port, path, &e) ||
	                            !fence_unit_reload(clock_in(SYSTEMCTL_MS), &e)))) {
		doubt(f, "it could not be held: %s", e.text);
		return;
	}
	f->held = f->unit != NULL;
	if (f->held)
		fact(f, "unit %s refuses to start until it is released", f->unit);
	else
		fact(f, "nothing on this host would keep a person or a program from starting it "
		        "again");
}

/* ---- the servers ---- */

/* TERM reaches no stopped process, and what is already ending needs no asking. */
static bool may_ask(const struct fence *f, const struct mysqld *m)
{
	return !f->a->no_stop && !f->came_back && clock_ms() < f->kill_at &&
	       !strchr("TtZX", m->state);
}

static bool has_victim(const struct fence *f, const char *role, bool gone_only)
{
	vec_each (const struct victim, v, &f->victims)
		if (str_is(v->role, role) && (v->gone || !gone_only))
			return true;
	return false;
}

static void meet_server(struct fence *f, const struct mysqld *m)
{
	struct victim *v;

	if (has_victim(f, "server", true)) {
		f->came_back++;
		meet_respawner(f, m);
		f->unexplained |= !f->unit && !has_victim(f, "supervisor", false);
	}
	f->unsure |= !f->unit && !f->now.safe_count && m->parent > 1;
	v = add_victim(f, m, "server");
	if (!v->gone)
		send_signal(f, v, may_ask(f, m) ? SIGTERM : SIGKILL);
}

static void end_servers(struct fence *f)
{
	for (int i = 0; i < f->now.count; i++) {
		struct victim *v = find_victim(f, &f->now.servers[i]);

		if (!v)
			meet_server(f, &f->now.servers[i]);
		else if (!v->gone && !v->killed && clock_ms() >= f->kill_at)
			send_signal(f, v, SIGKILL);
	}
}

static int64_t settle_time(const struct fence *f)
{
	if (f->a->no_settle)
		return 0;
	return f->unsure || f->came_back ? SETTLE_UNSURE_MS : SETTLE_MS;
}

/* A process that ends has no command line any more, and still has its sockets: it is no server, and not gone. */
static bool is_ending(const struct fence *f, int64_t quiet_since)
{
	bool ends = f->victims.len && (f->now.socket_count || f->now.unseen_count);

	vec_each (const struct victim, v, &f->victims)
		ends |= !v->gone;
	return ends && clock_ms() - quiet_since < ENDING_MS;
}

/* Until nothing has been seen for the settle time, or the deadline. */
static void end_all(struct fence *f)
{
	int64_t quiet_since = clock_ms();
	struct err e = { 0 };

	for (;;) {
		note_the_gone(f);
		stop_safes(f);
		end_servers(f);
		if (f->now.count)
			quiet_since = clock_ms();
		else if (clock_ms() - quiet_since >= settle_time(f) && !is_ending(f, quiet_since))
			return;
		if (clock_left(f->deadline) <= LOOK_EVERY_MS)
			return;
		usleep(LOOK_EVERY_MS * 1000);
		if (!look(f, &e)) {
			doubt(f, "look at the processes: %s", e.text);
			return;
		}
	}
}

/* ---- proof ---- */

struct locks { /* plain memory */
	pid_t holder;
	bool held, seen;
	char file[32];
};

/* Servers lock these files as long as they live. */
static void look_at_locks(const void *arg, void *ret)
{
	static const char *const files[] = { "ibdata1", "aria_log_control" };
	struct locks *l = ret;

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		AUTO(free) char *path = xasprintf("%s/%s", (const char *)arg, files[i]);
		AUTO_FD int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
		struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

		if (fd < 0 || fcntl(fd, F_GETLK, &lock) < 0)
			continue;
		l->seen = true;
		if (lock.l_type == F_UNLCK)
			continue;
		l->held = true;
		l->holder = lock.l_pid;
		snprintf(l->file, sizeof(l->file), "%s", files[i]);
		return;
	}
}

static void prove_locks(struct fence *f)
{
	const char *dir = f->first.access[0] ? f->first.access : f->now.access;
	struct err e = { 0 };
	struct locks l;

	/* The root folder of a process that is gone cannot be entered any more. */
	if (str_starts(dir, PROCFS "/") && f->first.count)
		dir = "";
	if (!*dir)
		fact(f, "its data directory is not known here: locks were not looked at");
	else if (!aside_run(look_at_locks, dir, &l, sizeof(l), clock_in(1000), &e))
		doubt(f, "the locks of %s: %s", dir, e.text);
	else if (l.held)
		doubt(f, "%s/%s is still locked by process %d", dir, l.file, (int)l.holder);
	else if (l.seen)
		fact(f, "no process holds the locks of %s", dir);
	else
		fact(f, "no lockable file in %s", dir);
}

static void prove_port(struct fence *f)
{
	if (f->now.stranger)
		doubt(f,
		        "port %d is held by process %d (%s), which is no MySQL or MariaDB server: "
		        "left alone",
		        f->q.port, (int)f->now.stranger, f->now.stranger_name);
	else if (f->now.socket_count)
		doubt(f, "something listens on port %d", f->q.port);
	else
		fact(f, "nothing listens on port %d", f->q.port);
}

static void prove_unit(struct fence *f)
{
	struct err e = { 0 };

	while (f->unit) {
		AUTO(free) char *show = fence_unit_show(f->unit, clock_in(SYSTEMCTL_MS), &e);
		AUTO(free)
		char *state = show ? fence_unit_property(show, f->unit, "ActiveState") : NULL;

		if (!show) {
			doubt(f, "%s", e.text);
			return;
		}
		if (str_is(state, "inactive") || str_is(state, "failed")) {
			fact(f, "unit %s is %s", f->unit, state);
			return;
		}
		if (clock_left(f->deadline) == 0) { /* its stop commands may take a moment more */
			doubt(f, "unit %s is %s", f->unit, state ? state : "not known");
			return;
		}
		usleep(LOOK_EVERY_MS * 1000);
	}
}

static void prove_processes(struct fence *f)
{
	for (int i = 0; i < f->now.unseen_count; i++)
		doubt(f, "%s", f->now.unseen[i]);
	if (f->now.foreign && !f->first.count)
		doubt(f, "a server of that port runs in another network namespace (a container?)");
	if (!f->first.count && f->now.seen == MYSQLD_ABSENT && !f->victims.len)
		fact(f, "no server of that port runs");
	if (f->came_back)
		fact(f, "it came back %d times and was killed again", f->came_back);
	if (f->respawner)
		doubt(f, "it is started again by %s, which is left alone", f->respawner);
	else if (f->unexplained)
		doubt(f, "who starts it again is not known");
}

static enum verdict prove(struct fence *f)
{
	bool alive = false;

	prove_processes(f);
	for (int i = 0; i < f->now.count; i++) {
		const struct mysqld *m = &f->now.servers[i];
		const struct victim *v = find_victim(f, m);
		bool dying = v && v->killed && strchr("DZX", m->state);

		alive |= !dying;
		doubt(f,
		        dying ? "server %d was killed and is stuck in the kernel (state %c): it "
		                "executes nothing more"
		              : "server %d runs (state %c)",
		        (int)m->pid, m->state);
	}
	prove_port(f);
	prove_locks(f);
	prove_unit(f);
	return alive ? FAILED : f->doubt ? UNPROVEN : FENCED;
}

/* ---- answer ---- */

static void print_killed(const struct fence *f, struct json *j)
{
	json_open(j, "ended", '[');
	vec_each (struct victim, v, &f->victims) {
		json_open(j, NULL, '{');
		json_int(j, "pid", v->m.pid);
		json_str(j, "role", v->role);
		json_str(j, "program", v->m.program);
		json_str(j, "known_by", mysqld_known_by(v->m.known_by));
		json_str(j, "signal", v->killed ? "KILL" : "TERM");
		json_bool(j, "gone", v->gone);
		json_int(j, "took_ms", v->took_ms);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void print_answer(const struct fence *f, enum verdict verdict)
{
	static const char *const words[] = { "no", "yes", "unknown" };
	AUTO_JSON struct json j = JSON_INIT;

	json_open(&j, NULL, '{');
	json_str(&j, "result", verdict_names[verdict]);
	json_int(&j, "port", f->q.port);
	json_str(&j, "token", f->a->token);
	json_str(&j, "found", words[f->first.seen]);
	print_killed(f, &j);
	json_int(&j, "came_back", f->came_back);
	json_str(&j, "unit", f->unit);
	json_bool(&j, "held", f->held);
	json_bool(&j, "recorded", fence_is_recorded(f->q.port));
	json_str(&j, "datadir", f->first.datadir);
	json_open(&j, "facts", '[');
	if (f->facts.text.len) {
		str_add(&j.text, f->facts.text.p);
		j.more = true;
	}
	json_close(&j, ']');
	json_int(&j, "took_ms", clock_ms() - f->since);
	json_close(&j, '}');
	verb_result(f->io, j.text.p);
}

static void fence_free(struct fence *f)
{
	vec_each (struct victim, v, &f->victims)
		if (v->fd >= 0)
			close(v->fd);
	vec_done(&f->victims);
	json_done(&f->facts);
	free(f->unit);
	free(f->respawner);
	free(f);
}

static enum verdict fence(struct fence *f)
{
	struct err e = { 0 };

	if (!look(f, &e)) {
		f->first.seen = MYSQLD_UNKNOWN;
		doubt(f, "look at the processes: %s", e.text);
		return UNPROVEN;
	}
	f->first = f->now;
	f->unit = find_unit(f);
	stop_unit(f);
	if (f->a->hold)
		hold(f);
	end_all(f);
	return prove(f);
}

int fence_serve(const struct args *a, struct verb_io *io, struct err *e)
{
	int64_t timeout = a->timeout ? a->timeout : DEFAULT_TIMEOUT_MS;
	struct fence *f = xzalloc(sizeof(*f));
	enum verdict verdict = FAILED;

	f->a = a;
	f->io = io;
	f->q = (struct mysqld_query){ PROCFS, "", (int)a->port, a->datadir };
	f->since = clock_ms();
	f->deadline = clock_sooner(clock_in(timeout), io->deadline);
	f->kill_at = clock_in(clock_left(f->deadline) / 2);
	str_init(&f->facts.text);
	if (a->port) {
		verb_hold(io); /* half a fence is none: it is finished, whoever listens */
		verdict = fence(f);
		verb_unhold(io);
		print_answer(f, verdict);
	} else {
		err_set(e, ERR_CONFIG, 0, "--port=<...> must be set.");
	}
	fence_free(f);
	return (int)verdict;
}

static bool release(const struct args *a, bool *ret_recorded, int *ret_units, struct err *e)
{
	AUTO(free) char *path = record_path((int)a->port);
	int64_t timeout = a->timeout ? a->timeout : DEFAULT_TIMEOUT_MS;

	/* The record first: without it a drop-in that stays behind is without effect. */
	*ret_recorded = unlink(path) == 0;
	if (!*ret_recorded && errno != ENOENT)
		return err_sys(e, "remove %s", path);
	if (!fence_unit_unhold((int)a->port, ret_units, e))
		return false;
	return *ret_units == 0 || !fence_unit_booted() || fence_unit_reload(clock_in(timeout), e);
}

int fence_release_serve(const struct args *a, struct verb_io *io, struct err *e)
{
	AUTO_JSON struct json j = JSON_INIT;
	bool recorded = false;
	int units = 0;

	if (!a->port) {
		err_set(e, ERR_CONFIG, 0, "--port=<...> must be set.");
		return 1;
	}
	if (!release(a, &recorded, &units, e))
		return 1;
	json_open(&j, NULL, '{');
	json_str(&j, "result", "released");
	json_int(&j, "port", a->port);
	json_bool(&j, "was_recorded", recorded);
	json_int(&j, "units_released", units);
	json_close(&j, '}');
	verb_result(io, j.text.p);
	return 0;
}
