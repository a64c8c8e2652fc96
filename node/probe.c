/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe - looks at the host's side of a server.  Runs on: any thread.
 */
#include "probe.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "aside.h"
#include "clock.h"
#include "fence.h"
#include "json.h"
#include "mysqld.h"
#include "probe_disk.h"

#define DEFAULT_TIMEOUT_MS 2000
#define THREADS_MOST       500 /* looked at one by one; a server may have thousands */

struct look { /* plain memory: what is found aside */
	struct mysqld_found found;
	uid_t user;
	bool has_user;
	int stuck, stuck_of;
};

static void look(const void *arg, void *ret)
{
	const struct mysqld_query *q = arg;
	struct look *l = ret;
	struct stat st;

	mysqld_find(q, &l->found);
	if (l->found.count) {
		const struct mysqld *m = &l->found.servers[0];
		AUTO(free) char *path = xasprintf("%s/%d", q->proc, (int)m->pid);

		l->has_user = stat(path, &st) == 0;
		l->user = st.st_uid;
		l->stuck = procfs_stuck_threads(q->proc, m->pid, THREADS_MOST, &l->stuck_of);
	}
}

static double seconds(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void add_time(struct json *j, const char *key, double unix_time)
{
	time_t t = (time_t)unix_time;
	char text[48];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	json_str(j, key, text);
}

static void add_process(struct json *j, const struct look *l)
{
	const struct mysqld *m = &l->found.servers[0];
	double started = (double)m->start_ticks / (double)sysconf(_SC_CLK_TCK);
	double age = seconds(CLOCK_BOOTTIME) - started;
	char state[2] = { m->state, '\0' };

	json_open(j, "process", '{');
	json_int(j, "pid", m->pid);
	json_str(j, "known_by", mysqld_known_by(m->known_by));
	json_str(j, "program", m->program);
	if (l->has_user)
		json_int(j, "uid", l->user);
	else
		json_str(j, "uid", NULL);
	add_time(j, "started", seconds(CLOCK_REALTIME) - age);
	json_num(j, "age_s", age, 2);
	json_int(j, "start_ticks", (int64_t)m->start_ticks);
	json_str(j, "state", state);
	json_int(j, "threads", m->threads);
	json_int(j, "threads_stuck", l->stuck);
	json_int(j, "threads_seen", l->stuck_of);
	json_close(j, '}');
}

static void add_listening(struct json *j, const struct mysqld_found *f)
{
	json_bool(j, "listening", f->socket_count > 0);
	json_open(j, "sockets", '[');
	for (int i = 0; i < f->socket_count; i++) {
		json_open(j, NULL, '{');
		json_str(j, "address", f->sockets[i].address);
		json_int(j, "port", f->sockets[i].port);
		json_int(j, "accept_queue", f->sockets[i].queue);
		json_close(j, '}');
	}
	json_close(j, ']');
	if (f->stranger) {
		json_open(j, "stranger", '{');
		json_int(j, "pid", f->stranger);
		json_str(j, "name", f->stranger_name);
		json_close(j, '}');
	}
}

static void add_others(struct json *j, const struct mysqld_found *f)
{
	json_open(j, "also", '[');
	for (int i = 1; i < f->count; i++)
		json_int(j, NULL, f->servers[i].pid);
	json_close(j, ']');
	json_open(j, "supervisors", '[');
	for (int i = 0; i < f->safe_count; i++)
		json_int(j, NULL, f->safes[i].pid);
	json_close(j, ']');
}

static void add_server(struct json *j, const struct look *l)
{
	static const char *const words[] = { "no", "yes", "unknown" };
	const struct mysqld_found *f = &l->found;

	json_str(j, "found", words[f->seen]);
	if (f->count)
		add_process(j, l);
	else
		json_str(j, "process", NULL);
	add_listening(j, f);
	add_others(j, f);
	json_str(j, "datadir", f->datadir);
	json_str(j, "datadir_by", f->datadir_by);
}

static void add_space(struct json *j, const char *dir, int64_t deadline, struct err *e)
{
	struct probe_space s;

	if (!*dir || !probe_space(dir, deadline, &s, e)) {
		json_str(j, "disk", NULL);
		return;
	}
	json_open(j, "disk", '{');
	json_int(j, "total_bytes", (int64_t)s.total);
	json_int(j, "free_bytes", (int64_t)s.free);
	json_int(j, "available_bytes", (int64_t)s.available);
	json_int(j, "inodes", (int64_t)s.inodes);
	json_int(j, "inodes_free", (int64_t)s.inodes_free);
	json_bool(j, "read_only", s.read_only);
	json_close(j, '}');
}

static void add_write_test(struct json *j, const char *dir, bool stuck, int64_t deadline)
{
	struct probe_written w = { 0 };

	/* A file system that does not even say how full it is would only keep one more process. */
	if (stuck)
		w.result = PROBE_WRITE_TIMEOUT;
	else if (*dir)
		probe_write(dir, deadline, &w);
	json_open(j, "write_test", '{');
	json_str(j, "result", probe_write_name(w.result));
	json_str(j, "dir", dir);
	if (w.result == PROBE_WRITE_OK)
		json_num(j, "took_ms", (double)w.took_us / 1000, 2);
	if (w.error) {
		AUTO(free) char *text = xasprintf("%s: %s", w.what, strerror(w.error));

		json_str(j, "error", text);
	}
	json_close(j, '}');
}

static void add_host(struct json *j)
{
	AUTO(free) char *boot = procfs_read(PROCFS, "sys/kernel/random/boot_id", NULL);
	char name[HOST_NAME_MAX + 1] = "";
	double load[3];

	gethostname(name, sizeof(name) - 1);
	json_open(j, "host", '{');
	json_str(j, "name", name);
	json_str(j, "boot_id", boot ? str_trim(boot) : NULL);
	json_num(j, "uptime_s", seconds(CLOCK_BOOTTIME), 2);
	json_num(j, "clock", seconds(CLOCK_REALTIME), 3);
	if (getloadavg(load, 3) == 3) {
		json_open(j, "load", '[');
		for (int i = 0; i < 3; i++)
			json_num(j, NULL, load[i], 2);
		json_close(j, ']');
	} else {
		json_str(j, "load", NULL);
	}
	json_close(j, '}');
}

static void add_unseen(struct json *j, const struct mysqld_found *f, const struct err *late,
        const struct err *disk)
{
	json_open(j, "unseen", '[');
	for (int i = 0; i < f->unseen_count; i++)
		json_str(j, NULL, f->unseen[i]);
	if (late->kind != ERR_NONE)
		json_str(j, NULL, late->text);
	if (disk->kind != ERR_NONE)
		json_str(j, NULL, disk->text);
	json_close(j, ']');
}

/* Half of the time at most, so that a stuck process still leaves some for the disk. */
static void look_in_time(
        const struct mysqld_query *q, int64_t deadline, struct look *l, struct err *e)
{
	struct mysqld_found *f = &l->found;

	if (aside_run(look, q, l, sizeof(*l), clock_in(clock_left(deadline) / 2), e))
		return;
	err_ctx(e, "look at the processes");
	f->seen = MYSQLD_UNKNOWN;
	if (q->datadir && strlen(q->datadir) < sizeof(f->datadir)) {
		memcpy(f->datadir, q->datadir, strlen(q->datadir) + 1);
		memcpy(f->access, q->datadir, strlen(q->datadir) + 1);
	}
}

int probe_serve(const struct args *a, struct verb_io *io, struct err *e)
{
	struct mysqld_query q = { PROCFS, "", (int)a->port, a->datadir };
	int64_t since = clock_us(), timeout = a->timeout ? a->timeout : DEFAULT_TIMEOUT_MS;
	int64_t deadline = clock_sooner(clock_in(timeout), io->deadline);
	AUTO(free) struct look *l = xzalloc(sizeof(*l));
	AUTO_JSON struct json j = JSON_INIT;
	struct err late = { 0 }, disk = { 0 };
	const char *dir;

	if (!a->port) {
		err_set(e, ERR_CONFIG, 0, "--port=<...> must be set.");
		return 1;
	}
	look_in_time(&q, deadline, l, &late);
	dir = a->write_test_dir ? a->write_test_dir : l->found.access;
	json_open(&j, NULL, '{');
	json_int(&j, "port", a->port);
	add_server(&j, l);
	add_space(&j, l->found.access, clock_in(clock_left(deadline) / 2), &disk);
	add_write_test(&j, dir, disk.kind == ERR_LOST && dir == l->found.access, deadline);
	json_bool(&j, "fence_record", fence_is_recorded((int)a->port));
	add_host(&j);
	add_unseen(&j, &l->found, &late, &disk);
	json_num(&j, "took_ms", (double)(clock_us() - since) / 1000, 2);
	json_close(&j, '}');
	verb_result(io, j.text.p);
	return 0;
}
