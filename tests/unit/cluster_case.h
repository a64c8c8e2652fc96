/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cluster_case - a cluster in a few words, for tests of what is decided by a snapshot.
 *
 * What a text does not say is healthy; a word per fact:
 *
 *	flavour mysql | mysql-position | mariadb | mariadb-position
 *	opts max_delay=10 ignore_fail_on_start=1
 *	server NAME [key=value...]	in the order of the file; "conf.x" keys are settings
 *	channel NAME [key=value...]	one more replication channel of that server
 *	client NAME [key=value...]	somebody who reads its binlog
 *
 * "source=db1" makes it a slave.  In GTID sets a letter stands for the server_uuid of that number:
 * A is the first's.
 */
#pragma once
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "str.h"
#include "topology.h"
#include "vec.h"
enum { MAX_SERVERS = 12, MAX_CHANNELS = 4, MAX_CLIENTS = 8, MAX_WORDS = 64 };

struct fixture {
	struct arena *a;
	struct conf conf;
	struct conf_server conf_server[MAX_SERVERS];
	const struct conf_server *conf_list[MAX_SERVERS];
	struct snapshot *s;
	struct topology_opts opts;
	const char *forced, *without; /* elections: --new_master_host, a server set aside */
	bool mariadb, gtids;
	bool facts; /* second reading of the text: the snapshot exists */
};

/* What a key may set, depending on the line. */
struct target {
	struct fixture *f;
	size_t server;
	struct snapshot_channel *ch;
	struct snapshot_client *client;
};

static const char *uuid_of(struct fixture *f, int letter)
{
	char *uuid = arena_strdup(f->a, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
	for (char *p = uuid; *p; p++)
		if (*p == 'x')
			*p = (char)tolower(letter);
	return uuid;
}

/* "A:1-5,C:7" with whole uuids. */
static const char *expand(struct fixture *f, const char *text)
{
	AUTO_STR struct str out = STR_INIT;
	for (const char *p = text; *p; p++) {
		if (isupper((unsigned char)*p) && p[1] == ':')
			str_add(&out, uuid_of(f, *p));
		else
			str_addc(&out, *p);
	}
	return arena_strdup(f->a, out.p);
}

static struct gtid_set *set_of(struct fixture *f, const char *text)
{
	struct err e = { 0 };
	struct gtid_set *set =
	        gtid_set_parse(f->mariadb ? GTID_MARIADB : GTID_MYSQL, expand(f, text), &e);
	if (!set)
		fail_msg("%s", e.text);
	return set;
}

static void replace_set(struct gtid_set **set, struct gtid_set *with)
{
	gtid_set_free(*set);
	*set = with;
}

static uint64_t num(const char *v)
{
	return strtoull(v, NULL, 10);
}

static enum snapshot_tri tri(const char *v)
{
	return str_is(v, "?") ? TRI_UNKNOWN : str_is(v, "0") ? TRI_NO : TRI_YES;
}

static int server_index(struct fixture *f, const char *name)
{
	for (size_t i = 0; i < f->conf.n_servers; i++)
		if (str_is(f->conf_server[i].id, name))
			return (int)i;
	return -1;
}

static struct snapshot_channel *add_channel(struct fixture *f, struct snapshot_server *s)
{
	struct snapshot_channel *all = s->channels;
	if (!all)
		all = s->channels = ARENA_ARRAY(f->a, struct snapshot_channel, MAX_CHANNELS);
	assert_true(s->n_channels < MAX_CHANNELS);
	struct snapshot_channel *ch = &all[s->n_channels++];
	*ch = (struct snapshot_channel){ .name = "",
		.source_host = "",
		.source_port = 3306,
		.source_user = "repl",
		.io_running = IO_YES,
		.sql_running = true,
		.read_file = "mysql-bin.000003",
		.read_pos = 1000,
		.exec_file = "mysql-bin.000003",
		.exec_pos = 1000,
		.auto_position = f->gtids && !f->mariadb,
		.using_gtid = f->gtids && f->mariadb ? USING_GTID_SLAVE_POS : USING_GTID_NO };
	for (int i = 0; i < FILTER_COUNT; i++)
		ch->filter[i] = "";
	return ch;
}

/* "db1" of the file, or "host:port" of somewhere else. */
static void set_source(struct target *t, const char *v)
{
	int i = server_index(t->f, v);
	if (!t->ch)
		t->ch = add_channel(t->f, &t->f->s->servers[t->server]);
	if (i >= 0) {
		t->ch->source_host = t->f->conf_server[i].hostname;
		t->ch->source_port = (unsigned)t->f->conf_server[i].port;
		return;
	}
	const char *colon = strchr(v, ':');
	t->ch->source_host = colon ? arena_strndup(t->f->a, v, (size_t)(colon - v)) : v;
	if (colon)
		t->ch->source_port = (unsigned)num(colon + 1);
}

static void set_position(struct fixture *f, const char *v, const char **file, uint64_t *pos)
{
	const char *colon = strchr(v, ':');
	*file = colon ? arena_strndup(f->a, v, (size_t)(colon - v)) : NULL;
	*pos = colon ? num(colon + 1) : 0;
}

static bool set_conf(struct conf_server *c, const char *k, const char *v)
{
	bool on = num(v) != 0;
#define IF(name)                                                                                   \
	if (str_is(k, #name)) {                                                                    \
		c->name = on;                                                                      \
		return true;                                                                       \
	}
	IF(candidate_master)
	IF(no_master)
	IF(ignore_fail)
	IF(multi_tier_slave)
	IF(check_repl_filter)
	IF(check_repl_delay)
	IF(latest_priority)
	IF(use_gtid_auto_pos)
#undef IF
	return false;
}

static bool set_channel_key(struct target *t, const char *k, const char *v)
{
	struct snapshot_channel *ch = t->ch;
	if (str_is(k, "source"))
		return set_source(t, v), true;
	if (!ch)
		return false;
	for (int i = 0; i < FILTER_COUNT; i++)
		if (str_is(k, snapshot_filter_name((enum snapshot_filter)i)))
			return ch->filter[i] = v, true;
	if (str_is(k, "channel"))
		ch->name = v;
	else if (str_is(k, "source_uuid"))
		ch->source_uuid = uuid_of(t->f, *v);
	else if (str_is(k, "source_id"))
		ch->source_server_id = (uint32_t)num(v);
	else if (str_is(k, "source_address"))
		ch->source_addresses = memcpy(ARENA_ARRAY(t->f->a, const char *, 2), &v, sizeof(v));
	else if (str_is(k, "io"))
		ch->io_running = str_is(v, "Yes")  ? IO_YES
		                 : str_is(v, "No") ? IO_NO
		                                   : IO_CONNECTING;
	else if (str_is(k, "sql"))
		ch->sql_running = str_is(v, "Yes");
	else if (str_is(k, "io_errno"))
		ch->io_errno = (int)num(v);
	else if (str_is(k, "io_error"))
		ch->io_error = v;
	else if (str_is(k, "sql_errno"))
		ch->sql_errno = (int)num(v);
	else if (str_is(k, "sql_error"))
		ch->sql_error = v;
	else if (str_is(k, "behind"))
		ch->seconds_behind = str_is(v, "NULL") ? -1 : (int64_t)num(v);
	else if (str_is(k, "delay"))
		ch->sql_delay = (int64_t)num(v);
	else if (str_is(k, "read"))
		set_position(t->f, v, &ch->read_file, &ch->read_pos);
	else if (str_is(k, "exec"))
		set_position(t->f, v, &ch->exec_file, &ch->exec_pos);
	else if (str_is(k, "auto_position"))
		ch->auto_position = num(v);
	else if (str_is(k, "using_gtid"))
		ch->using_gtid = str_is(v, "No") ? USING_GTID_NO : USING_GTID_SLAVE_POS;
	else if (str_is(k, "retrieved"))
		replace_set(&ch->retrieved, set_of(t->f, v));
	else
		return false;
	return true;
}

static enum snapshot_state state_of(const char *v, struct err *e)
{
	static const struct {
		enum snapshot_state state;
		enum err_kind kind;
		const char *text;
	} rows[] = {
		{ SNAPSHOT_REFUSED, ERR_REFUSED, "Too many connections" },
		{ SNAPSHOT_DEAD, ERR_UNREACHABLE, "Connection refused" },
		{ SNAPSHOT_LOST, ERR_LOST, "no answer within 4000 ms" },
		{ SNAPSHOT_UNUSABLE, ERR_PRECOND, "MySQL 5.1 is not supported" },
		{ SNAPSHOT_SKIPPED, ERR_NONE, "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (str_is(v, snapshot_state_name(rows[i].state))) {
			err_set(e, rows[i].kind, 0, "%s", rows[i].text);
			return rows[i].state;
		}
	fail_msg("unknown state %s", v);
	return SNAPSHOT_ALIVE;
}

static void set_version(struct fixture *f, struct snapshot_server *s, const char *v)
{
	struct err e = { 0 };
	s->version = arena_strdup(f->a, v);
	s->version_number = dialect_version_number(v);
	s->dialect = dialect_of(v, &e);
	if (!s->dialect)
		fail_msg("%s", e.text);
}

static bool set_server_key(struct target *t, const char *k, const char *v)
{
	struct snapshot_server *s = &t->f->s->servers[t->server];
	if (str_is(k, "state")) {
		s->state = state_of(v, &s->err);
		s->was_read = false;
		s->server_id = 0;
		s->uuid = NULL;
		replace_set(&s->executed, NULL);
	} else if (str_is(k, "denied")) {
		s->denied = memcpy(ARENA_ARRAY(t->f->a, const char *, 1), &v, sizeof(v));
		s->n_denied = 1;
	} else if (str_is(k, "status_denied")) {
		s->state = SNAPSHOT_UNUSABLE;
		err_set(&s->err, ERR_SQL, 1227, "%s", v);
	} else if (str_is(k, "version"))
		set_version(t->f, s, v);
	else if (str_is(k, "id"))
		s->server_id = (uint32_t)num(v);
	else if (str_is(k, "uuid"))
		s->uuid = uuid_of(t->f, *v);
	else if (str_is(k, "read_only"))
		s->read_only = tri(v);
	else if (str_is(k, "super_read_only"))
		s->super_read_only = tri(v);
	else if (str_is(k, "log_bin"))
		s->log_bin = tri(v);
	else if (str_is(k, "log_replica_updates"))
		s->log_replica_updates = tri(v);
	else if (str_is(k, "relay_log_purge"))
		s->relay_log_purge = tri(v);
	else if (str_is(k, "gtid_strict"))
		s->gtid_strict = tri(v);
	else if (str_is(k, "binlog_format"))
		s->binlog_format = v;
	else if (str_is(k, "gtid_mode"))
		s->gtid_mode = v;
	else if (str_is(k, "gtid"))
		replace_set(&s->executed, set_of(t->f, v));
	else if (str_is(k, "gtid_late"))
		replace_set(&s->executed_late, set_of(t->f, v));
	else if (str_is(k, "binlog_late"))
		set_position(t->f, v, &s->binlog_late_file, &s->binlog_late_pos);
	else if (str_is(k, "log_late")) {
		struct snapshot_log *log = ARENA_ARRAY(t->f->a, struct snapshot_log, 1);
		set_position(t->f, v, &log->file, &log->size);
		s->logs_late = log;
		s->n_logs_late = 1;
	} else if (str_is(k, "purged"))
		replace_set(&s->purged, set_of(t->f, v));
	else if (str_is(k, "replica_gtid"))
		s->replica_gtids_text = v;
	else if (str_is(k, "binlog_state"))
		s->binlog_state_text = v;
	else if (str_is(k, "binlog_do_db"))
		s->binlog_do_db = v;
	else if (str_is(k, "binlog_ignore_db"))
		s->binlog_ignore_db = v;
	else if (str_is(k, "semisync_source"))
		s->semisync_source_enabled = s->semisync_source_on = tri(v);
	else if (str_is(k, "semisync_source_on"))
		s->semisync_source_on = tri(v);
	else if (str_is(k, "semisync_replica"))
		s->semisync_replica_enabled = s->semisync_replica_on = tri(v);
	else if (str_is(k, "semisync_clients"))
		s->semisync_clients = (int64_t)num(v);
	else if (str_is(k, "auto_increment"))
		s->auto_increment = (int64_t)num(v);
	else if (str_is(k, "auto_offset"))
		s->auto_offset = (int64_t)num(v);
	else if (str_is(k, "semisync_wait"))
		s->semisync_wait_count = (int64_t)num(v);
	else if (str_is(k, "repl_user"))
		s->repl_user.user = *v ? v : NULL;
	else if (str_is(k, "repl_exists"))
		s->repl_user.exists = s->repl_user.granted = tri(v);
	else if (str_is(k, "repl_granted"))
		s->repl_user.granted = tri(v);
	else
		return false;
	return true;
}

static bool set_client_key(struct target *t, const char *k, const char *v)
{
	if (str_is(k, "id"))
		t->client->server_id = (uint32_t)num(v);
	else if (str_is(k, "host"))
		t->client->host = v;
	else if (str_is(k, "port"))
		t->client->port = (unsigned)num(v);
	else if (str_is(k, "address"))
		t->client->address = v;
	else
		return false;
	return true;
}

static void set_key(struct target *t, const char *k, const char *v)
{
	struct fixture *f = t->f;
	struct conf_server *c = &f->conf_server[t->server];
	if (!f->facts) {
		if (str_is(k, "ip"))
			c->ip = v;
		else if (str_is(k, "host"))
			c->hostname = v;
		else if (str_is(k, "port"))
			c->port = (int)num(v);
		else if (str_starts(k, "conf.") && !set_conf(c, k + 5, v))
			fail_msg("unknown setting %s", k);
		return;
	}
	if (str_starts(k, "conf.") ||
	        (!t->client && (str_is(k, "ip") || str_is(k, "host") || str_is(k, "port"))))
		return;
	if (t->client ? !set_client_key(t, k, v)
	              : !set_channel_key(t, k, v) && !set_server_key(t, k, v))
		fail_msg("unknown key %s", k);
}

static void new_conf_server(struct fixture *f, const char *name)
{
	size_t i = f->conf.n_servers++;
	assert_true(i < MAX_SERVERS);
	f->conf_list[i] = &f->conf_server[i];
	f->conf_server[i] = (struct conf_server){ .id = name,
		.hostname = name,
		.port = 3306,
		.user = "mha",
		.ip = arena_printf(f->a, "10.0.0.%zu", i + 1),
		.check_repl_filter = true,
		.use_gtid_auto_pos = true,
		.check_repl_delay = true,
		.latest_priority = true };
}

/* A healthy server of the case's flavour. */
static void fill_server(struct fixture *f, size_t i, bool is_slave)
{
	struct snapshot_server *s = &f->s->servers[i];
	s->state = SNAPSHOT_ALIVE;
	s->was_read = true;
	set_version(f, s, f->mariadb ? "10.11.6-MariaDB" : "8.0.36");
	s->server_id = (uint32_t)i + 1;
	s->uuid = f->mariadb ? NULL : uuid_of(f, 'A' + (int)i);
	s->read_only = is_slave ? TRI_YES : TRI_NO;
	s->log_bin = s->log_replica_updates = TRI_YES;
	s->relay_log_purge = TRI_NO;
	s->gtid_strict = f->mariadb ? TRI_YES : TRI_UNKNOWN;
	s->super_read_only = f->mariadb ? TRI_UNKNOWN : s->read_only;
	s->binlog_format = "ROW";
	s->gtid_mode = f->mariadb ? NULL : f->gtids ? "ON" : "OFF";
	s->binlog_file = "mysql-bin.000003";
	s->binlog_pos = 1000;
	s->binlog_do_db = s->binlog_ignore_db = "";
	if (f->gtids)
		s->executed = set_of(f, f->mariadb ? "0-1-100" : "A:1-100");
	s->repl_user = (struct snapshot_repl_user){ "repl", TRI_YES, TRI_YES, NULL };
}

/* Blanks part words, except between double quotes. */
static size_t split(struct fixture *f, const char *line, const char **words)
{
	size_t n = 0;
	while (*(line += strspn(line, " \t"))) {
		AUTO_STR struct str word = STR_INIT;
		bool quoted = false;
		for (; *line && (quoted || !strchr(" \t", *line)); line++) {
			if (*line == '"')
				quoted = !quoted;
			else
				str_addc(&word, *line);
		}
		assert_true(n < MAX_WORDS);
		words[n++] = arena_strdup(f->a, word.p);
	}
	return n;
}

static void set_flavour(struct fixture *f, const char *name)
{
	f->mariadb = str_starts(name, "mariadb");
	f->gtids = !str_ends(name, "-position");
}

static void set_opt(struct fixture *f, const char *k, const char *v)
{
	if (str_is(k, "max_delay"))
		f->opts.max_delay = (int64_t)num(v);
	else if (str_is(k, "ignore_fail_on_start"))
		f->opts.ignore_fail_on_start = num(v);
	else if (str_is(k, "forced"))
		f->forced = v;
	else if (str_is(k, "without"))
		f->without = v;
	else
		fail_msg("unknown option %s", k);
}

static bool names_source(const char *const *words, size_t n)
{
	for (size_t i = 2; i < n; i++)
		if (str_starts(words[i], "source="))
			return true;
	return false;
}

static struct target target_of(struct fixture *f, const char *const *words, size_t n)
{
	struct target t = { .f = f };
	if (str_is(words[0], "server") && !f->facts)
		new_conf_server(f, words[1]);
	int i = server_index(f, words[1]);
	if (i < 0)
		fail_msg("no server %s", words[1]);
	t.server = (size_t)i;
	if (!f->facts)
		return t;
	struct snapshot_server *s = &f->s->servers[i];
	if (str_is(words[0], "server"))
		fill_server(f, t.server, names_source(words, n));
	if (str_is(words[0], "channel"))
		t.ch = add_channel(f, s);
	if (str_is(words[0], "client")) {
		struct snapshot_client *all =
		        ARENA_ARRAY(f->a, struct snapshot_client, s->n_clients + 1);
		for (size_t k = 0; k < s->n_clients; k++)
			all[k] = s->clients[k];
		s->clients = all;
		t.client = &all[s->n_clients++];
	}
	return t;
}

static void read_line(struct fixture *f, const char *line)
{
	const char *words[MAX_WORDS];
	size_t n = split(f, line, words);
	if (!n || *words[0] == '#')
		return;
	struct target t = { .f = f };
	size_t first = 1;
	if (str_is(words[0], "flavour")) {
		set_flavour(f, words[1]);
		return;
	}
	if (!str_is(words[0], "opts")) {
		t = target_of(f, words, n);
		first = 2;
	}
	for (size_t i = first; i < n; i++) {
		char *eq = strchr(arena_strdup(f->a, words[i]), '=');
		if (!eq)
			fail_msg("no key=value: %s", words[i]);
		*eq = '\0';
		const char *k = eq - (strchr(words[i], '=') - words[i]);
		if (str_is(words[0], "opts"))
			set_opt(f, k, eq + 1);
		else if (f->facts || str_is(words[0], "server"))
			set_key(&t, k, eq + 1);
	}
}

static __attribute__((unused)) char *read_text(const char *path)
{
	FILE *file = fopen(path, "re");
	if (!file)
		return NULL;
	struct str text = STR_INIT;
	char buf[4096];
	size_t n;
	while ((n = fread(buf, 1, sizeof(buf), file)) > 0)
		str_addn(&text, buf, n);
	fclose(file);
	return str_take(&text);
}

static void read_lines(struct fixture *f, const char *text)
{
	AUTO(free) char *copy = xstrdup(text);
	char *save = NULL;
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		read_line(f, line);
}

/* Twice: the settings first, since the snapshot needs the whole file of servers. */
static void fixture_init(struct fixture *f, const char *text)
{
	*f = (struct fixture){ .a = arena_new(), .opts = { .max_delay = -1 } };
	f->conf.name = "case";
	f->conf.servers = f->conf_list;
	read_lines(f, text);
	for (size_t i = 0; i < f->conf.n_servers; i++) {
		struct conf_server *c = &f->conf_server[i];
		c->hostinfo = arena_printf(f->a, "%s(%s:%d)", c->hostname, c->ip, c->port);
	}
	f->s = snapshot_new(&f->conf);
	f->facts = true;
	read_lines(f, text);
}

static void fixture_done(struct fixture *f)
{
	snapshot_free(f->s);
	arena_free(f->a);
}

