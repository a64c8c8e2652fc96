/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repl - do to one server what the arguments say, for the lab.
 *
 *	repl HOST PORT CHANNEL [STEP...]
 *
 * CHANNEL "-": the one there is.  The account is mha; its password comes from DB_PASSWORD.  A STEP is name[:argument], see
 * steps[] below; those of follow are key=value pairs with commas between them.  @deadline:MS sets the time for each later step
 * (5000), @sleep:MS waits, @tell:FILE makes a file and @wait:FILE waits for one.  Each step, the login being the first, prints
 * one line of JSON.  Exit status 1 when one of them failed.
 */
#include "repl.h"
#include "clock.h"
#include "db.h"
#include "str.h"
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool all_fine = true;
static int64_t budget_ms = 5000;
static struct conf_server server;
static struct repl_lock *held;

static void print(const char *step, bool ok, int64_t since_us, const struct err *e, json_t *j)
{
	json_object_set_new(j, "step", json_string(step));
	json_object_set_new(j, "ok", json_boolean(ok));
	json_object_set_new(j, "ms", json_real((double)(clock_us() - since_us) / 1000));
	if (!ok) {
		json_object_set_new(j, "kind", json_string(err_kind_name(e->kind)));
		json_object_set_new(j, "code", json_integer(e->code));
		json_object_set_new(j, "text", json_string(e->text));
		all_fine = false;
	}
	json_dumpf(j, stdout, JSON_SORT_KEYS);
	puts("");
	fflush(stdout);
	json_decref(j);
}

static void put_text(json_t *j, const char *name, const char *text)
{
	json_object_set_new(j, name, json_string(text));
}

static void put_number(json_t *j, const char *name, int64_t n)
{
	json_object_set_new(j, name, json_integer(n));
}

static void put_now(json_t *j, const struct repl_now *n)
{
	put_number(j, "is_replica", n->is_replica);
	put_text(j, "io", snapshot_io_name(n->io));
	put_number(j, "sql_running", n->sql_running);
	put_number(j, "io_errno", n->io_errno);
	put_number(j, "sql_errno", n->sql_errno);
	put_text(j, "source_host", n->source_host);
	put_number(j, "source_port", n->source_port);
	put_text(j, "source_user", n->source_user);
	put_text(j, "read_file", n->read_file);
	put_number(j, "read_pos", (int64_t)n->read_pos);
	put_text(j, "exec_file", n->exec_file);
	put_number(j, "exec_pos", (int64_t)n->exec_pos);
	put_number(j, "by", repl_by_of(n));
	put_number(j, "delay", n->delay);
	put_number(j, "heartbeat_ms", n->heartbeat_ms);
	put_number(j, "gtid_only", n->gtid_only);
	put_number(j, "auto_failover", n->auto_failover);
	put_number(j, "channels", n->channels);
}

/* "host=db2,port=3306,by=auto,..." */
static void parse_source(char *text, struct repl_source *s, struct snapshot_channel *like)
{
	static const char *const bys[] = { "position", "auto", "slave_pos", "current_pos" };

	*s = (struct repl_source){ .port = 3306 };
	for (char *p = strtok(text, ","); p; p = strtok(NULL, ",")) {
		char *eq = strchr(p, '='), *v = eq ? eq + 1 : p;

		if (!eq)
			exit(2);
		*eq = 0;
		for (size_t i = 0; str_is(p, "by") && i < ARRAY_LEN(bys); i++)
			if (str_is(v, bys[i]))
				s->by = (enum repl_by)i;
		if (str_is(p, "host"))
			s->host = v;
		else if (str_is(p, "port"))
			s->port = (unsigned)atoi(v);
		else if (str_is(p, "user"))
			s->user = v;
		else if (str_is(p, "password"))
			s->password = v;
		else if (str_is(p, "file"))
			s->file = v;
		else if (str_is(p, "pos"))
			s->pos = strtoull(v, NULL, 10);
		else if (str_is(p, "get_public_key"))
			s->get_public_key = atoi(v);
		else if (str_is(p, "was_source"))
			s->was_source = atoi(v);
		else if (str_is(p, "leave_stopped"))
			s->leave_stopped = atoi(v);
		else if (str_is(p, "like_heartbeat")) {
			like->heartbeat_ms = atoll(v);
			like->sql_delay = 1;
			like->connect_retry = 7;
			like->retry_count = 77;
			s->like = like;
		}
	}
}

static enum snapshot_tri tri_of(char c)
{
	return c == '1' ? TRI_YES : c == '0' ? TRI_NO : TRI_UNKNOWN;
}

static bool do_look(struct repl *r, char *arg, int64_t d, json_t *j, struct err *e)
{
	struct repl_now n;

	(void)arg;
	if (!repl_look(r, d, &n, e))
		return false;
	put_now(j, &n);
	put_number(j, "half", repl_has_half(&n));
	return true;
}

static bool do_position(struct repl *r, char *arg, int64_t d, json_t *j, struct err *e)
{
	struct repl_position p;
	bool ok = repl_position(r, d, &p, e);
	AUTO(free) char *set = ok ? gtid_set_format(p.executed) : NULL;

	(void)arg;
	if (ok) {
		put_text(j, "file", p.file);
		put_number(j, "pos", (int64_t)p.pos);
		put_text(j, "executed", set);
	}
	repl_position_done(&p);
	return ok;
}

#define PLAIN(name, call)                                                                          \
	static bool name(struct repl *r, char *arg, int64_t d, json_t *j, struct err *e)           \
	{                                                                                          \
		(void)r;                                                                           \
		(void)arg;                                                                         \
		(void)j;                                                                           \
		return call;                                                                       \
	}
PLAIN(do_stop_io, repl_stop_io(r, d, e))
PLAIN(do_start_io, repl_start_io(r, d, e))
PLAIN(do_stop_sql, repl_stop_sql(r, d, e))
PLAIN(do_start_sql, repl_start_sql(r, d, e))
PLAIN(do_gaps, repl_fill_gaps(r, d, e))
PLAIN(do_delay, repl_set_delay(r, atoll(arg), d, e))
PLAIN(do_flush, repl_flush_relay_logs(r, d, e))
PLAIN(do_purge, repl_set_relay_purge(r, *arg == '1', d, e))
PLAIN(do_forget, repl_forget(r, d, e))
PLAIN(do_read_only, repl_set_read_only(r, *arg == '1', d, e))
PLAIN(do_lock_tables, repl_lock_tables(r, d, e))
PLAIN(do_unlock_tables, repl_unlock_tables(r, d, e))
PLAIN(do_semisync, repl_set_semisync(r, tri_of(arg[0]), tri_of(arg[1]), d, e))
PLAIN(do_semisync_wait, repl_set_semisync_wait(r, atoll(arg), d, e))
PLAIN(do_held, repl_lock_is_held(held, d, e))

/* "", "FILE:POS", or a GTID set behind "=" */
static bool do_wait(struct repl *r, char *arg, int64_t d, json_t *j, struct err *e)
{
	struct repl_whole w = { .pos = 0 };
	AUTO(gtid) struct gtid_set *set = NULL;
	char *colon = strchr(arg, ':');
	struct repl_now n;

	if (*arg == '=') {
		set = gtid_set_parse(repl_is_mariadb(r) ? GTID_MARIADB : GTID_MYSQL, arg + 1, e);
		w.gtids = set;
	} else if (colon) {
		*colon = 0;
		w.file = arg;
		w.pos = strtoull(colon + 1, NULL, 10);
	}
	if (!repl_wait_applied(r, *arg ? &w : NULL, d, e) || !repl_look(r, d, &n, e))
		return false;
	put_now(j, &n);
	return true;
}

static bool do_follow(struct repl *r, char *arg, int64_t d, json_t *j, struct err *e)
{
	struct snapshot_channel like = { .heartbeat_ms = -1 };
	struct repl_source s;
	AUTO(free) char *text = NULL;

	parse_source(arg, &s, &like);
	text = repl_change_text(repl_dialect(r), repl_channel(r), &s);
	put_text(j, "statement", text);
	return repl_follow(r, &s, d, e);
}

static bool do_following(struct repl *r, char *arg, int64_t d, json_t *j, struct err *e)
{
	struct snapshot_channel like = { .heartbeat_ms = -1 };
	struct repl_source s;

	(void)j;
	parse_source(arg, &s, &like);
	return repl_is_following(r, &s, d, e);
}

static bool do_is_read_only(struct repl *r, char *arg, int64_t d, json_t *j, struct err *e)
{
	bool on, super;

	(void)arg;
	if (!repl_read_only(r, d, &on, &super, e))
		return false;
	put_number(j, "on", on);
	put_number(j, "super", super);
	return true;
}

static bool do_kill(struct repl *r, char *arg, int64_t d, json_t *j, struct err *e)
{
	int killed, left;

	if (!repl_kill_clients(r, *arg ? arg : NULL, d, &killed, &left, e))
		return false;
	put_number(j, "killed", killed);
	put_number(j, "left", left);
	return true;
}

static bool do_is_semisync(struct repl *r, char *arg, int64_t d, json_t *j, struct err *e)
{
	enum snapshot_tri source, replica;

	(void)arg;
	if (!repl_semisync(r, d, &source, &replica, e))
		return false;
	put_text(j, "source", snapshot_tri_name(source));
	put_text(j, "replica", snapshot_tri_name(replica));
	return true;
}

/* Those that are switched on here. */
static bool do_events(struct repl *r, char *arg, int64_t d, json_t *j, struct err *e)
{
	struct repl_events v;
	json_t *names = json_array();

	(void)arg;
	json_object_set_new(j, "names", names);
	if (!repl_events(r, d, &v, e))
		return false;
	for (size_t i = 0; i < v.n; i++)
		json_array_append_new(names, json_string(v.names[i]));
	repl_events_done(&v);
	return true;
}

/* "" for all, or one name. */
static bool do_enable_events(struct repl *r, char *arg, int64_t d, json_t *j, struct err *e)
{
	struct repl_events only = { &arg, 1 };
	int n, left;

	if (!repl_enable_events(r, *arg ? &only : NULL, d, &n, &left, e))
		return false;
	put_number(j, "n", n);
	put_number(j, "left", left);
	return true;
}

static bool do_token(struct repl *r, char *arg, int64_t d, json_t *j, struct err *e)
{
	uint64_t token;

	if (!repl_token(r, arg, d, &token, e))
		return false;
	put_number(j, "token", (int64_t)token);
	return true;
}

/* "CLUSTER:N" */
static bool do_set_token(struct repl *r, char *arg, int64_t d, json_t *j, struct err *e)
{
	char *colon = strchr(arg, ':');

	(void)j;
	*colon = 0;
	return repl_set_token(r, arg, strtoull(colon + 1, NULL, 10), d, e);
}

/* "WAIT_MS" */
static bool do_lock(struct repl *r, char *arg, int64_t d, json_t *j, struct err *e)
{
	(void)r;
	(void)j;
	held = repl_lock(&server, REPL_FAILOVER_LOCK, atoll(arg), d, e);
	return held != NULL;
}

static bool do_unlock(struct repl *r, char *arg, int64_t d, json_t *j, struct err *e)
{
	(void)r;
	(void)arg;
	(void)d;
	(void)j;
	(void)e;
	repl_unlock(TAKE(held));
	return true;
}

static const struct {
	const char *name;
	bool (*fn)(struct repl *r, char *arg, int64_t deadline, json_t *j, struct err *e);
} steps[] = {
	{ "look", do_look },
	{ "position", do_position },
	{ "stop_io", do_stop_io },
	{ "start_io", do_start_io },
	{ "stop_sql", do_stop_sql },
	{ "start_sql", do_start_sql },
	{ "wait", do_wait },
	{ "gaps", do_gaps },
	{ "delay", do_delay },
	{ "flush", do_flush },
	{ "purge", do_purge },
	{ "follow", do_follow },
	{ "following", do_following },
	{ "forget", do_forget },
	{ "read_only", do_read_only },
	{ "is_read_only", do_is_read_only },
	{ "kill", do_kill },
	{ "lock_tables", do_lock_tables },
	{ "unlock_tables", do_unlock_tables },
	{ "semisync", do_semisync },
	{ "is_semisync", do_is_semisync },
	{ "semisync_wait", do_semisync_wait },
	{ "events", do_events },
	{ "enable_events", do_enable_events },
	{ "token", do_token },
	{ "set_token", do_set_token },
	{ "lock", do_lock },
	{ "held", do_held },
	{ "unlock", do_unlock },
};

static void tell(const char *file)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
}

static bool do_meta(const char *step)
{
	if (str_starts(step, "@deadline:"))
		budget_ms = atoll(step + 10);
	else if (str_starts(step, "@sleep:"))
		usleep((useconds_t)atoll(step + 7) * 1000);
	else if (str_starts(step, "@tell:"))
		tell(step + 6);
	else if (str_starts(step, "@wait:"))
		while (access(step + 6, F_OK) != 0)
			usleep(2000);
	else
		return false;
	return true;
}

static void do_step(struct repl *r, const char *step)
{
	AUTO(free) char *text = xstrdup(step);
	char *arg = strchr(text, ':'), empty[1] = "";
	int64_t t = clock_us();
	struct err e = { .kind = ERR_NONE };
	json_t *j = json_object();
	bool ok;

	if (arg)
		*arg++ = 0;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		if (str_is(text, steps[i].name)) {
			ok = steps[i].fn(r, arg ? arg : empty, clock_in(budget_ms), j, &e);
			print(text, ok, t, &e, j);
			return;
		}
	fprintf(stderr, "no such step: %s\n", text);
	exit(2);
}

int main(int argc, char **argv)
{
	struct err e = { .kind = ERR_NONE };
	AUTO(repl) struct repl *r = NULL;
	int64_t t = clock_us();

	if (argc < 4)
		return 2;
	server = (struct conf_server){ .hostname = argv[1],
		.ip = argv[1],
		.port = atoi(argv[2]),
		.user = getenv("DB_USER") ? getenv("DB_USER") : "mha",
		.password = getenv("DB_PASSWORD"),
		.tls = DB_TLS_PREFERRED,
		.connect_timeout = 2000,
		.query_timeout = 2000 };
	r = repl_open(&server, str_is(argv[3], "-") ? NULL : argv[3], clock_in(budget_ms), &e);
	print("open", r != NULL, t, &e, json_object());
	for (int i = 4; r && i < argc; i++)
		if (!do_meta(argv[i]))
			do_step(r, argv[i]);
	repl_unlock(held);
	return all_fine ? 0 : 1;
}
