/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe - ping one server, or poll one as a replica, and print what comes of it, for the lab.
 *
 *	probe HOST PORT USER SETTINGS
 *
 * The password comes from DB_PASSWORD.  SETTINGS are name=value pairs with commas between them:
 * tls=off|preferred|required, fingerprint, public-key; type=CONNECT|SELECT|INSERT, interval, timeout
 * (ms), lock=1, facts=1 (ask for them after each good ping), count (pings, then the end; 0 = until
 * standard input ends), replica=1 (poll instead), quiet=1 (only the last report, for measuring), many
 * (so many more probes, of which is only said how it went when all have ended their first ping).
 *
 * One line of JSON for each report, cut, answer and view; instants are CLOCK_BOOTTIME in ms.
 * "stall" is the longest time since the line before that the loop did not turn.
 */
#include "clock.h"
#include "job.h"
#include "loop.h"
#include "probe.h"
#include "replica.h"
#include "db.h"
#include "str.h"
#include <jansson.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 5 };

static struct conf_server server;
static int64_t interval = 1000, timeout = 1000, count, done;
static bool want_facts, want_lock, as_replica, quiet;
static enum conf_ping_type type = CONF_PING_SELECT;
static int many;

static struct loop *loop;
static struct probe *probe;
static struct replica *replica;
static struct loop_timer *next, *tick;
static int64_t last_tick, stall;
static struct job_pool *pool;
static struct probe **others;
static int others_started, others_ended, others_ok;

static void set(const char *name, const char *value)
{
	static const char *const tls[] = { "off", "preferred", "required" };
	static const char *const types[] = { "CONNECT", "SELECT", "INSERT" };

	for (int i = 0; i < 3; i++) {
		if (str_is(name, "tls") && str_is(value, tls[i]))
			server.tls = i;
		if (str_is(name, "type") && str_is(value, types[i]))
			type = (enum conf_ping_type)i;
	}
	if (str_is(name, "fingerprint"))
		server.tls_fingerprint = value;
	else if (str_is(name, "public-key"))
		server.public_key = value;
	else if (str_is(name, "interval"))
		interval = atoll(value);
	else if (str_is(name, "timeout"))
		timeout = atoll(value);
	else if (str_is(name, "count"))
		count = atoll(value);
	else if (str_is(name, "lock"))
		want_lock = atoi(value);
	else if (str_is(name, "facts"))
		want_facts = atoi(value);
	else if (str_is(name, "replica"))
		as_replica = atoi(value);
	else if (str_is(name, "quiet"))
		quiet = atoi(value);
	else if (str_is(name, "many"))
		many = atoi(value);
	else if (!str_is(name, "tls") && !str_is(name, "type")) {
		fprintf(stderr, "no such setting: %s\n", name);
		exit(2);
	}
}

static long pss_kib(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "re");
	char line[200];
	long kib = -1;

	while (f && fgets(line, sizeof(line), f) && sscanf(line, "Pss: %ld", &kib) != 1)
		;
	if (f)
		fclose(f);
	return kib;
}

static void print(const char *what, json_t *j)
{
	json_object_set_new(j, "what", json_string(what));
	json_object_set_new(j, "now", json_integer(clock_ms()));
	json_object_set_new(j, "stall", json_integer(stall));
	json_dumpf(j, stdout, JSON_SORT_KEYS | JSON_COMPACT);
	puts("");
	fflush(stdout);
	json_decref(j);
	stall = 0;
}

static void put_err(json_t *j, const struct err *e)
{
	json_object_set_new(j, "kind", json_string(err_kind_name(e->kind)));
	json_object_set_new(j, "code", json_integer(e->code));
	json_object_set_new(j, "text", json_string(e->text));
	json_object_set_new(j, "at", json_string(e->host));
}

static void put(json_t *j, const char *name, int64_t n)
{
	json_object_set_new(j, name, json_integer(n));
}

static void put_server(json_t *j, const struct probe_server *s)
{
	json_object_set_new(j, "version", json_string(s->version));
	json_object_set_new(j, "uuid", json_string(s->uuid));
	put(j, "server_id", s->server_id);
	put(j, "read_only", s->read_only);
	put(j, "super_read_only", s->super_read_only);
	put(j, "is_super", s->is_super);
	put(j, "started", s->started);
}

static void on_facts(void *arg, const struct probe_facts *f, const struct err *e)
{
	json_t *j = json_object();

	(void)arg;
	if (e) {
		put_err(j, e);
	} else {
		put(j, "enabled", f->semisync_enabled);
		put(j, "on", f->semisync_on);
		put(j, "clients", f->semisync_clients);
		put(j, "wait_sessions", f->semisync_wait_sessions);
		put(j, "waiting_threads", f->semisync_waiting_threads);
		put(j, "wait_count", f->semisync_wait_count);
		put(j, "timeout_ms", f->semisync_timeout_ms);
	}
	print("facts", j);
	if (count && done == count)
		loop_stop(loop);
}

static void on_report(void *arg, const struct probe_report *r)
{
	json_t *j;
	bool asked = false;

	(void)arg;
	done++;
	if (quiet && (!count || done < count))
		return;
	j = json_object();
	json_object_set_new(j, "ok", json_boolean(r->ok));
	json_object_set_new(j, "layer", json_string(probe_layer_name(r->layer)));
	json_object_set_new(j, "how", json_string(probe_how_name(r->how)));
	put_err(j, &r->err);
	put(j, "begun", r->begun);
	put(j, "ended", r->ended);
	put(j, "heard", r->heard);
	put(j, "id", (int64_t)r->connection_id);
	json_object_set_new(j, "connected", json_boolean(r->connected));
	json_object_set_new(j, "lock_held", json_boolean(r->lock_held));
	json_object_set_new(j, "lock_is_ours", json_boolean(r->lock_is_ours));
	json_object_set_new(j, "holder", json_string(r->holder));
	if (r->new_server)
		put_server(j, r->server);
	if (r->ok && want_facts)
		asked = probe_facts(probe, clock_in(timeout), on_facts);
	print("report", j);
	if (count && done == count && !asked)
		loop_stop(loop);
}

static void on_cut(void *arg, const struct err *e, int64_t at)
{
	json_t *j = json_object();

	(void)arg;
	put_err(j, e);
	put(j, "instant", at);
	print("cut", j);
}

static void on_next(void *arg)
{
	(void)arg;
	loop_timer_move(next, clock_in(interval));
	if (!probe_is_busy(probe))
		probe_ping(probe, clock_in(timeout));
}

static void on_other(void *arg, const struct probe_report *r)
{
	(void)arg;
	others_ended++;
	others_ok += r->ok;
}

/* A few at a time, as a daemon spreads its first looks. */
static void start_others(void)
{
	struct probe_opts o = { .ping_type = type, .interval_ms = 600000, .report = on_other };

	for (int i = 0; i < 8 && others_started < many; i++) {
		others[others_started] = probe_new(loop, pool, &server, &o);
		probe_ping(others[others_started++], clock_in(60000));
	}
}

static void on_tick(void *arg)
{
	int64_t gap = clock_ms() - last_tick - TICK_MS;

	(void)arg;
	if (gap > stall)
		stall = gap;
	last_tick = clock_ms();
	start_others();
	loop_timer_move(tick, clock_in(TICK_MS));
}

static void on_input(void *arg, int events)
{
	char c[64];

	(void)arg;
	(void)events;
	if (read(0, c, sizeof(c)) <= 0)
		loop_stop(loop);
}

static void on_change(void *arg, const struct replica *r)
{
	const struct replica_view *v = replica_view(r);
	json_t *j, *all;

	(void)arg;
	if (quiet && (!count || (int64_t)v->polls < count))
		return;
	j = json_object();
	all = json_array();
	json_object_set_new(j, "up", json_boolean(v->up));
	json_object_set_new(j, "refuses", json_boolean(v->refuses));
	put_err(j, &v->err);
	put(j, "silent_since", v->silent_since);
	put(j, "asked", v->asked);
	put(j, "answered", v->answered);
	put(j, "heard", v->heard);
	for (size_t i = 0; i < v->n_channels; i++) {
		const struct replica_channel *c = &v->channels[i];
		json_t *o = json_pack(
		        "{ss ss si ss sI sb sb si ss ss sI ss sI ss ss sI sI sI sI sI}", "name",
		        c->name, "source_host", c->source_host, "source_port", (int)c->source_port,
		        "source_uuid", c->source_uuid, "source_server_id",
		        (json_int_t)c->source_server_id, "io", c->io_running == REPLICA_IO_YES,
		        "sql", c->sql_running, "io_errno", c->io_errno, "io_error", c->io_error,
		        "read_file", c->read_file, "read_pos", (json_int_t)c->read_pos, "exec_file",
		        c->exec_file, "exec_pos", (json_int_t)c->exec_pos, "received",
		        c->received_gtids, "executed", c->executed_gtids, "behind",
		        (json_int_t)c->seconds_behind, "heartbeat_ms", (json_int_t)c->heartbeat_ms,
		        "heartbeats", (json_int_t)c->heartbeats, "between", (json_int_t)c->between,
		        "heard_at", (json_int_t)c->heard_at);

		put(o, "io_error_seen", c->io_error_seen);
		json_array_append_new(all, o);
	}
	json_object_set_new(j, "channels", all);
	print("view", j);
	if (count && (int64_t)v->polls == count)
		loop_stop(loop);
}

static void wait_for_others(void *arg)
{
	struct loop_timer **t = arg;
	json_t *j = json_object();

	if (others_ended < many) {
		loop_timer_move(*t, clock_in(20));
		return;
	}
	put(j, "ended", others_ended);
	put(j, "ok", others_ok);
	malloc_trim(0); /* the buffers of logins that were under way all at once */
	put(j, "pss_kib", pss_kib());
	print("others", j);
}

static void run(void)
{
	struct probe_opts o = { .ping_type = type,
		.interval_ms = interval,
		.take_lock = want_lock,
		.report = on_report,
		.cut = on_cut };
	struct replica_opts ro = {
		.poll_ms = interval, .timeout_ms = timeout, .changed = on_change
	};
	struct loop_io *input = count ? NULL : loop_io_new(loop, 0, LOOP_READ, on_input, NULL);
	struct loop_timer *look = NULL;
	int64_t cpu;

	others = xzalloc(sizeof(*others) * (size_t)(many + 1));
	last_tick = clock_ms();
	tick = loop_timer_new(loop, clock_in(TICK_MS), on_tick, NULL);
	if (as_replica) {
		replica = replica_new(loop, pool, &server, &ro);
	} else {
		probe = probe_new(loop, pool, &server, &o);
		next = loop_timer_new(loop, clock_ms(), on_next, NULL);
	}
	if (many) {
		fprintf(stderr, "pss %ld KiB without\n", pss_kib());
		look = loop_timer_new(loop, clock_in(20), wait_for_others, &look);
	}
	cpu = clock();
	loop_run(loop);
	fprintf(stderr, "cpu %lld ms\n", (long long)((clock() - cpu) * 1000 / CLOCKS_PER_SEC));
	loop_timer_free(look);
	for (int i = 0; i < others_started; i++)
		probe_free(others[i]);
	free(others);
	probe_free(probe);
	replica_free(replica);
	loop_timer_free(next);
	loop_timer_free(tick);
	loop_io_free(input);
}

int main(int argc, char **argv)
{
	struct rlimit files;

	if (argc != 5)
		return 2;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	server.hostname = server.ip = server.hostinfo = argv[1];
	server.port = atoi(argv[2]);
	server.user = argv[3];
	server.password = getenv("DB_PASSWORD");
	for (char *p = strtok(argv[4], ","); p; p = strtok(NULL, ",")) {
		char *eq = strchr(p, '=');

		if (!eq)
			return 2;
		*eq = 0;
		set(p, eq + 1);
	}
	loop = loop_new();
	pool = job_pool_new(loop, 8);
	run();
	job_pool_free(pool);
	loop_free(loop);
	return 0;
}
