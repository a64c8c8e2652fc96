/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * show - text and JSON of clusters and check results.  Runs on: any thread.
 */
#include "show.h"
#include "vec.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum {
	COL_SERVER,
	COL_ROLE,
	COL_VERSION,
	COL_MODE,
	COL_WRITES,
	COL_LAG,
	COL_SEMISYNC,
	COL_STATE,
	COLS
};

struct row {
	char *cell[COLS];
};

struct table {
	struct row *items;
	size_t len, cap;
};

static const char *const titles[COLS] = { "SERVER", "ROLE", "VERSION", "MODE", "WRITES", "LAG",
	"SEMI-SYNC", "STATE" };

static void add_label(struct str *out, const struct topology_server *s)
{
	const struct conf_server *c = s->snap->conf;

	str_add(out, c->hostinfo);
	if (c->node_label && *c->node_label)
		str_addf(out, " (%s)", c->node_label);
}

static void add_mha_replicas(struct str *out, const struct topology_server *s, int depth)
{
	for (size_t i = 0; i < s->n_replicas; i++) {
		str_addf(out, "%*s+--", 1 + 4 * depth, "");
		add_label(out, s->replicas[i]);
		str_addc(out, '\n');
		add_mha_replicas(out, s->replicas[i], depth + 1);
	}
}

void show_mha_tree(struct str *out, const struct topology *t)
{
	if (!t->master)
		return;
	add_label(out, t->master);
	str_add(out, " (current master)\n");
	add_mha_replicas(out, t->master, 0);
}

char *show_version(const struct snapshot_server *s)
{
	const char *family;

	if (!s->version)
		return NULL;
	family = s->dialect && dialect_family(s->dialect) == FAMILY_MARIADB ? "MariaDB" : "MySQL";
	return xasprintf("%s %u.%u.%u", family, s->version_number / 10000,
	        s->version_number / 100 % 100, s->version_number % 100);
}

/* How this server's own replication finds its place; of one without a source, whether it has GTIDs.
 */
static const char *mode_of(const struct topology_server *s)
{
	if (!s->snap->was_read)
		return "-";
	if (s->channel)
		return s->channel->auto_position || s->channel->using_gtid != USING_GTID_NO
		               ? "GTID"
		               : "position";
	if (s->snap->gtid_mode)
		return str_is(s->snap->gtid_mode, "ON") ? "GTID" : "position";
	return "-";
}

static const char *writes_of(const struct snapshot_server *s)
{
	if (s->super_read_only == TRI_YES)
		return "super_read_only";
	if (s->read_only == TRI_YES)
		return "read_only";
	return s->read_only == TRI_NO ? "open" : "-";
}

static char *lag_of(const struct topology_server *s)
{
	if (!s->channel)
		return xstrdup("-");
	if (s->channel->seconds_behind < 0)
		return xstrdup("unknown");
	return xasprintf("%lld s", (long long)s->channel->seconds_behind);
}

static char *semisync_of(const struct snapshot_server *s)
{
	struct str out = STR_INIT;

	if (s->semisync_source_enabled == TRI_YES)
		str_addf(&out, "source %s, %lld acker%s",
		        s->semisync_source_on == TRI_YES ? "on" : "OFF",
		        (long long)(s->semisync_clients < 0 ? 0 : s->semisync_clients),
		        s->semisync_clients == 1 ? "" : "s");
	if (s->semisync_replica_enabled == TRI_YES && s->semisync_replica_on == TRI_YES)
		str_addf(&out, "%sreplica on", out.len ? "; " : "");
	if (!out.len)
		str_add(&out, "-");
	return str_take(&out);
}

static void add_threads(struct str *out, const struct snapshot_channel *c)
{
	if (c->io_running != IO_YES)
		str_addf(out, "%sIO %s", out->len ? ", " : "",
		        c->io_running == IO_CONNECTING ? "connecting" : "stopped");
	if (c->io_errno)
		str_addf(out, " (%d)", c->io_errno);
	if (!c->sql_running)
		str_addf(out, "%sSQL stopped", out->len ? ", " : "");
	if (c->sql_errno)
		str_addf(out, " (%d)", c->sql_errno);
}

/* "ok", or all that is not. */
static char *state_of(const struct topology_server *s)
{
	struct str out = STR_INIT;

	if (s->snap->state != SNAPSHOT_ALIVE)
		str_add(&out, snapshot_state_name(s->snap->state));
	if (s->channel)
		add_threads(&out, s->channel);
	if (s->n_errant)
		str_addf(&out, "%s%llu errant transactions", out.len ? ", " : "",
		        (unsigned long long)s->n_errant);
	if (!out.len)
		str_add(&out, "ok");
	return str_take(&out);
}

static void add_row(struct table *table, const struct topology_server *s, int depth)
{
	struct row r = { 0 };
	struct str name = STR_INIT;

	if (depth)
		str_addf(&name, "%*s+--", 1 + 4 * (depth - 1), "");
	add_label(&name, s);
	r.cell[COL_SERVER] = str_take(&name);
	r.cell[COL_ROLE] = xstrdup(topology_role_name(s->role));
	r.cell[COL_VERSION] = show_version(s->snap);
	r.cell[COL_MODE] = xstrdup(mode_of(s));
	r.cell[COL_WRITES] = xstrdup(writes_of(s->snap));
	r.cell[COL_LAG] = lag_of(s);
	r.cell[COL_SEMISYNC] = semisync_of(s->snap);
	r.cell[COL_STATE] = state_of(s);
	vec_push(table, r);
	for (size_t i = 0; depth >= 0 && i < s->n_replicas; i++)
		add_row(table, s->replicas[i], depth + 1);
}

static void print_row(struct str *out, const char *const cell[COLS], const size_t width[COLS])
{
	for (int c = 0; c < COLS - 1; c++)
		str_addf(out, "%-*s  ", (int)width[c], cell[c]);
	str_addf(out, "%s\n", cell[COLS - 1]);
}

static void print_table(struct str *out, struct table *table)
{
	size_t width[COLS];

	for (int c = 0; c < COLS; c++) {
		width[c] = strlen(titles[c]);
		vec_each (struct row, r, table) {
			if (!r->cell[c])
				r->cell[c] = xstrdup("-");
			if (strlen(r->cell[c]) > width[c])
				width[c] = strlen(r->cell[c]);
		}
	}
	print_row(out, titles, width);
	vec_each (struct row, r, table)
		print_row(out, (const char *const *)r->cell, width);
}

static void free_table(struct table *table)
{
	vec_each (struct row, r, table) {
		for (int c = 0; c < COLS; c++)
			free(r->cell[c]);
	}
	vec_done(table);
}

static const char *mode_sentence(enum topology_mode m)
{
	static const char *const sentences[] = {
		[TOPOLOGY_POSITION] = "by positions",
		[TOPOLOGY_POSITION_ON_GTID] = "by positions, though all servers have GTIDs",
		[TOPOLOGY_GTID_MYSQL] = "by GTIDs",
		[TOPOLOGY_GTID_MARIADB] = "by GTIDs",
	};

	return sentences[m];
}

static void add_strangers(struct str *out, const struct topology *t)
{
	for (size_t i = 0; i < t->n_strangers; i++)
		str_addf(out, "%s%s replicates from %s and is not in the file.\n", i ? "" : "\n",
		        t->strangers[i].name, t->strangers[i].source->snap->conf->hostinfo);
}

static void add_summary(struct str *out, const struct topology *t)
{
	str_addf(out, "Cluster %s: %zu servers, %zu up, %zu down; a failover would go %s.\n",
	        t->snapshot->conf->name, t->n_servers, t->n_alive, t->n_dead,
	        mode_sentence(t->mode));
	if (!t->master)
		str_addf(out, "No server can be called the master%s%s%s.\n",
		        t->master_not_in_file ? ": the slaves follow " : "",
		        t->master_not_in_file ? t->master_not_in_file : "",
		        t->master_not_in_file ? ", which is not in the file" : "");
	str_addc(out, '\n');
}

void show_topology(struct str *out, const struct topology *t)
{
	struct table table = { 0 };
	struct check_findings f = { 0 };

	add_summary(out, t);
	if (t->master)
		add_row(&table, t->master, 0);
	for (size_t i = 0; i < t->n_servers; i++) {
		if (&t->servers[i] != t->master && t->servers[i].tier < 0)
			add_row(&table, &t->servers[i], -1);
	}
	print_table(out, &table);
	free_table(&table);
	add_strangers(out, t);
	check_add_topology(&f, t);
	if (f.len)
		str_addc(out, '\n');
	show_findings(out, &f);
	check_findings_done(&f);
}

void show_findings(struct str *out, const struct check_findings *f)
{
	static const enum topology_severity by_weight[] = { TOPOLOGY_ERROR, TOPOLOGY_WARNING,
		TOPOLOGY_INFO };

	for (size_t w = 0; w < ARRAY_LEN(by_weight); w++) {
		for (size_t i = 0; i < f->len; i++) {
			const struct check_finding *one = &f->items[i];

			if (one->severity != by_weight[w])
				continue;
			str_addf(out, "%-9s%s\n", topology_severity_name(one->severity), one->text);
			if (one->hint)
				str_addf(out, "%-9s-> %s\n", "", one->hint);
		}
	}
}

static json_t *text_or_null(const char *text)
{
	json_t *j = text ? json_stringn_nocheck(text, strlen(text)) : NULL;

	return j ? j : json_null();
}

static json_t *tri(enum snapshot_tri t)
{
	return t == TRI_UNKNOWN ? json_null() : json_boolean(t == TRI_YES);
}

static json_t *number_or_null(int64_t n)
{
	return n < 0 ? json_null() : json_integer(n);
}

static json_t *channel_json(const struct topology_server *s)
{
	const struct snapshot_channel *c = s->channel;
	json_t *j;

	if (!c)
		return json_null();
	j = json_object();
	json_object_set_new(j, "source", text_or_null(s->source_name));
	json_object_set_new(
	        j, "source_id", text_or_null(s->source ? s->source->snap->conf->id : NULL));
	json_object_set_new(j, "io", text_or_null(snapshot_io_name(c->io_running)));
	json_object_set_new(j, "sql", json_string(c->sql_running ? "Yes" : "No"));
	json_object_set_new(j, "io_error", text_or_null(c->io_error));
	json_object_set_new(j, "sql_error", text_or_null(c->sql_error));
	json_object_set_new(j, "seconds_behind", number_or_null(c->seconds_behind));
	json_object_set_new(j, "received_file", text_or_null(c->read_file));
	json_object_set_new(j, "received_pos", json_integer((json_int_t)c->read_pos));
	json_object_set_new(j, "executed_file", text_or_null(c->exec_file));
	json_object_set_new(j, "executed_pos", json_integer((json_int_t)c->exec_pos));
	json_object_set_new(j, "delay", number_or_null(c->sql_delay));
	return j;
}

static json_t *semisync_json(const struct snapshot_server *s)
{
	json_t *j = json_object();

	json_object_set_new(j, "source_enabled", tri(s->semisync_source_enabled));
	json_object_set_new(j, "source_on", tri(s->semisync_source_on));
	json_object_set_new(j, "ackers", number_or_null(s->semisync_clients));
	json_object_set_new(j, "replica_enabled", tri(s->semisync_replica_enabled));
	json_object_set_new(j, "replica_on", tri(s->semisync_replica_on));
	return j;
}

static json_t *server_json(const struct topology_server *s)
{
	const struct snapshot_server *snap = s->snap;
	json_t *j = json_object();

	json_object_set_new(j, "id", text_or_null(snap->conf->id));
	json_object_set_new(j, "host", text_or_null(snap->conf->hostname));
	json_object_set_new(j, "ip", text_or_null(snap->conf->ip));
	json_object_set_new(j, "port", json_integer(snap->conf->port));
	json_object_set_new(j, "role", text_or_null(topology_role_name(s->role)));
	json_object_set_new(j, "tier", number_or_null(s->tier));
	json_object_set_new(j, "state", text_or_null(snapshot_state_name(snap->state)));
	json_object_set_new(
	        j, "error", text_or_null(snap->err.kind != ERR_NONE ? snap->err.text : NULL));
	json_object_set_new(j, "version", text_or_null(snap->version));
	json_object_set_new(
	        j, "dialect", text_or_null(snap->dialect ? dialect_name(snap->dialect) : NULL));
	json_object_set_new(j, "mode", text_or_null(mode_of(s)));
	json_object_set_new(j, "read_only", tri(snap->read_only));
	json_object_set_new(j, "super_read_only", tri(snap->super_read_only));
	json_object_set_new(j, "log_bin", tri(snap->log_bin));
	json_object_set_new(j, "binlog_file", text_or_null(snap->binlog_file));
	json_object_set_new(j, "binlog_pos", json_integer((json_int_t)snap->binlog_pos));
	json_object_set_new(j, "gtid_executed", text_or_null(snap->executed_text));
	json_object_set_new(j, "errant", text_or_null(s->errant_text));
	json_object_set_new(j, "unfit", text_or_null(s->unfit));
	json_object_set_new(j, "semisync", semisync_json(snap));
	json_object_set_new(j, "replication", channel_json(s));
	return j;
}

static json_t *findings_json(const struct check_findings *f)
{
	json_t *all = json_array();

	for (size_t i = 0; i < f->len; i++) {
		const struct check_finding *one = &f->items[i];
		json_t *j = json_object();

		json_object_set_new(
		        j, "severity", text_or_null(topology_severity_name(one->severity)));
		json_object_set_new(j, "code", text_or_null(one->code));
		json_object_set_new(j, "stops", json_boolean(one->stops));
		json_object_set_new(j, "server", text_or_null(one->server));
		json_object_set_new(j, "text", text_or_null(one->text));
		json_object_set_new(j, "hint", text_or_null(one->hint));
		json_array_append_new(all, j);
	}
	return all;
}

static void set_topology(json_t *j, const struct topology *t)
{
	json_t *servers = json_array(), *strangers = json_array();

	json_object_set_new(j, "mode", text_or_null(topology_mode_name(t->mode)));
	json_object_set_new(
	        j, "master", text_or_null(t->master ? t->master->snap->conf->id : NULL));
	json_object_set_new(j, "master_not_in_file", text_or_null(t->master_not_in_file));
	for (size_t i = 0; i < t->n_servers; i++)
		json_array_append_new(servers, server_json(&t->servers[i]));
	json_object_set_new(j, "servers", servers);
	for (size_t i = 0; i < t->n_strangers; i++)
		json_array_append_new(strangers, text_or_null(t->strangers[i].name));
	json_object_set_new(j, "strangers", strangers);
}

static void put_json(struct str *out, json_t *j)
{
	char *text = json_dumps(j, JSON_INDENT(2) | JSON_PRESERVE_ORDER);

	str_addf(out, "%s\n", text ? text : "null");
	free(text);
	json_decref(j);
}

void show_topology_json(struct str *out, const struct topology *t)
{
	struct check_findings f = { 0 };
	json_t *j = json_object();

	check_add_topology(&f, t);
	json_object_set_new(j, "cluster", text_or_null(t->snapshot->conf->name));
	set_topology(j, t);
	json_object_set_new(j, "findings", findings_json(&f));
	check_findings_done(&f);
	put_json(out, j);
}

void show_check_json(struct str *out, const struct conf *c, bool ok, const struct check_findings *f,
        const struct topology *t)
{
	json_t *j = json_object();

	json_object_set_new(j, "cluster", text_or_null(c ? c->name : NULL));
	json_object_set_new(j, "ok", json_boolean(ok));
	json_object_set_new(j, "findings", findings_json(f));
	if (t)
		set_topology(j, t);
	put_json(out, j);
}

static json_t *settings_json(const struct conf_server *s)
{
	json_t *all = json_object();

	for (int k = 0; k < CONF_KEY_COUNT; k++) {
		AUTO(free) char *value = conf_value_text(s, (enum conf_key)k);
		json_t *j = json_object();

		json_object_set_new(j, "value", text_or_null(*value ? value : NULL));
		json_object_set_new(j, "file", text_or_null(s->origin[k].file));
		json_object_set_new(j, "line",
		        s->origin[k].line ? json_integer(s->origin[k].line) : json_null());
		json_object_set_new(all, conf_key_name((enum conf_key)k), j);
	}
	return all;
}

void show_conf_json(struct str *out, const struct conf *c)
{
	json_t *j = json_object(), *servers = json_object();

	json_object_set_new(j, "cluster", text_or_null(c->name));
	json_object_set_new(j, "path", text_or_null(c->path));
	json_object_set_new(j, "format", json_string(c->format == CONF_MHA ? "mha" : "native"));
	for (size_t i = 0; i < c->n_servers; i++)
		json_object_set_new(servers, c->servers[i]->id, settings_json(c->servers[i]));
	for (size_t i = 0; i < c->n_binlogs; i++)
		json_object_set_new(servers, c->binlogs[i]->id, settings_json(c->binlogs[i]));
	json_object_set_new(j, "servers", servers);
	put_json(out, j);
}
