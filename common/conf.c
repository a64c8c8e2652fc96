/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf - from files to a whole configuration: levels laid over each other, values checked, secrets
 * and names looked up. Runs on: any thread (blocks, until the deadline).
 *
 * A problem never ends the loading: it is told, and the rest is looked at too, so that the operator
 * sees all at once.
 */
#include "conf.h"
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "conf_internal.h"
#include "names.h"

/* Weak to strong. */
enum rank { RANK_BUILTIN, RANK_GLOBAL, RANK_CLUSTER, RANK_SCRIPT, RANK_BLOCK };

/* All levels up to some rank, laid over each other.  text NULL: built-in default. */
struct layer {
	const char *text[CONF_KEY_COUNT];
	struct conf_origin origin[CONF_KEY_COUNT];
	enum rank rank[CONF_KEY_COUNT];
};

struct loading {
	const struct conf_opts *o;
	struct arena *arena;
	struct conf_report *report;
	enum conf_format format;
	struct conf_server builtin;
};

struct loaded { /* what conf_free() gets */
	struct conf conf;
	struct arena *arena;
};

static const struct conf_block *defaults_of(const struct conf_reader *r)
{
	vec_each (struct conf_block *, b, &r->blocks) {
		if ((*b)->kind == CONF_KIND_DEFAULTS)
			return *b;
	}
	return NULL;
}

/* MHA checks these before it removes quotes. */
static bool keeps_quotes(enum conf_key k)
{
	return k == CONF_hostname || k == CONF_ping_type || k == CONF_ping_interval ||
	       k == CONF_ssh_connection_timeout;
}

/* An inherited false text means "the built-in default" for settings that have one and are not a
 * choice. */
static bool falls_back(const struct loading *l, enum conf_key k, const char *text)
{
	enum conf_type t = conf_row(k)->type;

	if (!text || (*text && !(l->format == CONF_MHA && str_is(text, "0"))))
		return false;
	return conf_row(k)->defaults[l->format] &&
	       (t == CONF_TYPE_STR || t == CONF_TYPE_DIRS || t == CONF_TYPE_INT ||
	               t == CONF_TYPE_LEVEL);
}

/* Lay a block (NULL: an empty one) over `y`.  MHA takes a layer of quotes off at every level a
 * value passes. */
static void lay_over(
        const struct loading *l, struct layer *y, const struct conf_block *b, enum rank rank)
{
	for (int i = 0; i < CONF_KEY_COUNT; i++) {
		enum conf_key k = (enum conf_key)i;

		if (b && b->text[k]) {
			y->text[k] = b->text[k];
			y->origin[k] = b->origin[k];
			y->rank[k] = rank;
		} else if (falls_back(l, k, y->text[k])) {
			y->text[k] = NULL;
			y->origin[k] = (struct conf_origin){ 0 };
			y->rank[k] = RANK_BUILTIN;
		}
		if (l->format == CONF_MHA && y->text[k] && !keeps_quotes(k))
			y->text[k] = conf_mha_unquote(l->arena, y->text[k]);
	}
}

static void tell_bad_value(
        const struct loading *l, enum conf_key k, const char *text, struct conf_origin at)
{
	AUTO_STR struct str hint = STR_INIT;

	str_add(&hint, "allowed: ");
	conf_allowed_text(k, l->format, &hint);
	conf_tell(l->report, true, at, hint.p, "%s: \"%.80s\" is not allowed", conf_key_name(k),
	        text);
}

static void warn_of_perl_truth(
        const struct loading *l, enum conf_key k, const char *text, struct conf_origin at)
{
	static const char *const negative[] = { "no", "off", "false", "n" };

	if (l->format != CONF_MHA || conf_row(k)->type != CONF_TYPE_BOOL)
		return;
	for (size_t i = 0; i < ARRAY_LEN(negative); i++) {
		if (!strcasecmp(text, negative[i]))
			conf_tell(l->report, false, at, "write 0 for no",
			        "%s: \"%s\" means yes in this format", conf_key_name(k), text);
	}
}

/* The typed values of a layer; bad ones are told and leave the built-in default. */
static void fill(const struct loading *l, const struct layer *y, struct conf_server *s)
{
	*s = l->builtin;
	for (int i = 0; i < CONF_KEY_COUNT; i++) {
		enum conf_key k = (enum conf_key)i;
		const char *text = y->text[k];

		if (text && !*text && conf_row(k)->reach == CONF_REACH_LOCAL)
			continue; /* nothing to hide */
		s->origin[k] = y->origin[k];
		if (!text ||
		        (!*text && falls_back(l, k, text) && k != CONF_user && k != CONF_ssh_user))
			continue;
		warn_of_perl_truth(l, k, text, y->origin[k]);
		if (!conf_value_parse(l->arena, l->format, k, text, s))
			tell_bad_value(l, k, text, y->origin[k]);
	}
}

/* Values that a stronger level overrides are checked too, as a server would get them: MHA refuses
 * such files as well. */
static void check_layer(const struct loading *l, const struct layer *y)
{
	struct conf_server scratch;
	struct layer as_seen = *y;

	lay_over(l, &as_seen, NULL, RANK_BLOCK);
	fill(l, &as_seen, &scratch);
}

static void forget(struct conf_server *s, enum conf_key k, const char **field)
{
	*field = NULL;
	s->origin[k] = (struct conf_origin){ 0 };
}

/* A secret and the file of one are two ways to set the same thing: the stronger level wins. */
static void take_secret(const struct loading *l, const struct layer *y, struct conf_server *s,
        enum conf_key plain, const char **secret, enum conf_key kept, const char **file)
{
	struct conf_origin at = s->origin[kept];
	struct err e = { 0 };

	if (!*file)
		return;
	if (y->text[plain] && y->rank[plain] > y->rank[kept]) {
		forget(s, kept, file);
		return;
	}
	if (*secret && y->rank[plain] == y->rank[kept])
		conf_tell(l->report, true, at, "keep one of them", "%s and %s are both set",
		        conf_key_name(plain), conf_key_name(kept));
	*secret = conf_secret_read(l->arena, *file, &e);
	if (!*secret)
		conf_tell(l->report, true, at, e.hint, "%s: %s", conf_key_name(kept), e.text);
	s->origin[plain] = (struct conf_origin){ *file, 1 };
}

static void take_secrets(const struct loading *l, const struct layer *y, struct conf_server *s)
{
	take_secret(l, y, s, CONF_password, &s->password, CONF_password_file, &s->password_file);
	take_secret(l, y, s, CONF_repl_password, &s->repl_password, CONF_repl_password_file,
	        &s->repl_password_file);
}

static const char *host_info(const struct loading *l, const struct conf_server *s)
{
	if (!s->ip) /* not looked up */
		return arena_printf(l->arena, "%s:%d", s->hostname, s->port);
	return arena_printf(l->arena, "%s(%s:%d)", s->hostname, s->ip, s->port);
}

static struct conf_server *new_server(
        const struct loading *l, const struct layer *y, const struct conf_block *b)
{
	struct conf_server *s = ARENA_NEW(l->arena, struct conf_server);

	fill(l, y, s);
	take_secrets(l, y, s);
	s->id = b ? b->name : "defaults";
	if (b) {
		s->is_binlog_server = b->kind == CONF_KIND_BINLOG;
		s->block_file = b->at.file;
		s->block_line = b->at.line;
	}
	return s;
}

/* MHA loads a [binlogN] without hostname; such a server is of no use, and now left out. */
static bool has_hostname(const struct loading *l, const struct conf_server *s)
{
	struct conf_origin at = { s->block_file, s->block_line };
	bool ok = s->hostname && !str_is(s->hostname, "0");

	if (ok && strpbrk(s->hostname, "'\"")) {
		conf_tell(l->report, true, s->origin[CONF_hostname], "remove the quotes",
		        "hostname: quotes are part of the name: %.80s", s->hostname);
		return false;
	}
	if (!ok && s->is_binlog_server && l->format == CONF_MHA)
		conf_tell(l->report, false, at, NULL, "[%.80s] has no hostname and is left out",
		        s->id);
	else if (!ok)
		conf_tell(l->report, true, at, "add hostname to the block",
		        "Server %.80s does not have hostname!", s->id);
	return ok;
}

static size_t add_servers(const struct loading *l, const struct conf_reader *r,
        const struct layer *base, enum conf_kind kind, const struct conf_server *const **ret)
{
	struct conf_block **blocks = ARENA_ARRAY(l->arena, struct conf_block *, r->blocks.len + 1);
	const struct conf_server **servers =
	        ARENA_ARRAY(l->arena, const struct conf_server *, r->blocks.len + 1);
	size_t n = 0, kept = 0;

	vec_each (struct conf_block *, b, &r->blocks) {
		if ((*b)->kind == kind)
			blocks[n++] = *b;
	}
	if (l->format == CONF_MHA)
		conf_mha_sort(blocks, n);
	for (size_t i = 0; i < n; i++) {
		struct layer y = *base;
		struct conf_server *s;

		lay_over(l, &y, blocks[i], RANK_BLOCK);
		s = new_server(l, &y, blocks[i]);
		if (has_hostname(l, s))
			servers[kept++] = s;
	}
	*ret = servers;
	return kept;
}

/* Names to be looked up, each once. */
struct name_list {
	VEC(struct names_item) v;
};

static const struct names_item *find_name(const struct name_list *names, const char *name)
{
	vec_each (struct names_item, it, &names->v) {
		if (str_is(it->name, name))
			return it;
	}
	return NULL;
}

static void add_name(struct name_list *names, const char *name)
{
	if (!find_name(names, name))
		vec_push(&names->v, (struct names_item){ .name = name });
}

static const char *ip_name(const struct conf_server *s)
{
	return s->ip ? s->ip : s->hostname;
}

static const char *ssh_name(const struct conf_server *s)
{
	if (s->ssh_ip)
		return s->ssh_ip;
	return s->ssh_host && !str_is(s->ssh_host, s->hostname) ? s->ssh_host : ip_name(s);
}

static const char *address_of(const struct loading *l, const struct name_list *names,
        const char *name, struct conf_origin at)
{
	const struct names_item *found = find_name(names, name);

	if (*found->address)
		return arena_strdup(l->arena, found->address);
	l->report->unresolved = true;
	conf_tell(l->report, true, at,
	        "correct the name, or give the address with ip (ssh_ip for SSH)",
	        "Failed to get IP address on host %.80s: %s", name, found->error);
	return NULL;
}

static struct conf_origin name_origin(const struct conf_server *s, enum conf_key a, enum conf_key b)
{
	return s->origin[a].file   ? s->origin[a]
	       : s->origin[b].file ? s->origin[b]
	                           : s->origin[CONF_hostname];
}

static void set_addresses(
        const struct loading *l, const struct name_list *names, struct conf_server *s)
{
	const char *ip = ip_name(s), *ssh = ssh_name(s);

	s->ip = address_of(l, names, ip, name_origin(s, CONF_ip, CONF_ip));
	s->ssh_ip = address_of(l, names, ssh, name_origin(s, CONF_ssh_ip, CONF_ssh_host));
	s->ssh_address = s->ssh_ip;
}

/* Everybody: servers, then binlog servers. */
static struct conf_server *member(const struct conf *c, size_t i)
{
	const struct conf_server *s =
	        i < c->n_servers ? c->servers[i] : c->binlogs[i - c->n_servers];

	return (struct conf_server *)(uintptr_t)s; /* nobody else has seen it yet */
}

static void look_up_names(const struct loading *l, struct conf *c)
{
	struct name_list names = { VEC_INIT };
	size_t n = c->n_servers + c->n_binlogs;

	for (size_t i = 0; i < n; i++) {
		add_name(&names, ip_name(member(c, i)));
		add_name(&names, ssh_name(member(c, i)));
	}
	if (names.v.len)
		names_look_up(names.v.items, names.v.len, l->o->deadline);
	for (size_t i = 0; i < n; i++)
		set_addresses(l, &names, member(c, i));
	vec_done(&names.v);
}

static void check_duplicates(const struct loading *l, const struct conf *c)
{
	for (size_t i = 0; i < c->n_servers; i++) {
		for (size_t j = 0; j < i; j++) {
			const struct conf_server *a = c->servers[j], *b = c->servers[i];

			if (a->port == b->port && str_is(ip_name(a), ip_name(b)))
				conf_tell(l->report, true,
				        (struct conf_origin){ b->block_file, b->block_line },
				        "each server needs an address or port of its own",
				        "Servers %.80s and %.80s have duplicate ip:port(%s:%d)!",
				        a->id, b->id, ip_name(b), b->port);
		}
	}
}

bool conf_time_of_day(const char *text, int *ret_minutes)
{
	unsigned h, m;
	int end = 0;

	*ret_minutes = -1;
	if (!text || !*text || str_is(text, "off"))
		return true;
	if (strspn(text, "0123456789:") != strlen(text) || strlen(text) > 5 ||
	        sscanf(text, "%2u:%2u%n", &h, &m, &end) != 2 || text[end] || h > 23 || m > 59)
		return false;
	*ret_minutes = (int)(h * 60 + m);
	return true;
}

static void check_times(const struct loading *l, const struct conf *c)
{
	int minutes;

	for (size_t i = 0; i < c->n_servers; i++) {
		const struct conf_server *s = c->servers[i];

		if (!conf_time_of_day(s->rehearse_at, &minutes))
			conf_tell(l->report, true, s->origin[CONF_rehearse_at],
			        "a time of day such as 03:30, or off",
			        "rehearse_at=%.40s is no time of day", s->rehearse_at);
	}
}

static void finish(const struct loading *l, struct conf *c)
{
	if (!l->o->no_resolve)
		look_up_names(l, c);
	check_duplicates(l, c);
	check_times(l, c);
	for (size_t i = 0; i < c->n_servers + c->n_binlogs; i++) {
		struct conf_server *s = member(c, i);

		s->ssh_host = s->ssh_host ? s->ssh_host : s->hostname;
		s->hostinfo = host_info(l, s);
	}
	if (!c->n_servers)
		conf_tell(l->report, true, (struct conf_origin){ c->path, 0 },
		        l->format == CONF_MHA ? "add [server1] with hostname=..."
		                              : "add servers = ( { hostname = \"...\"; } );",
		        "There is no server in the configuration");
}

static const char *global_path(const struct loading *l)
{
	if (l->o->global_path)
		return l->o->global_path;
	return l->format == CONF_MHA ? "/etc/masterha_default.cnf" : MHAD_SYSCONFDIR "/mhad.conf";
}

/* What is for all of mhad is none of a cluster's: when it changes, no cluster does. */
static void forget_global(struct layer *y)
{
	for (int i = 0; i < CONF_KEY_COUNT; i++) {
		if (conf_row((enum conf_key)i)->reach != CONF_REACH_GLOBAL)
			continue;
		y->text[i] = NULL;
		y->origin[i] = (struct conf_origin){ 0 };
		y->rank[i] = RANK_BUILTIN;
	}
}

static void build(const struct loading *l, struct conf *c, const struct conf_reader *global,
        bool have_global, const struct conf_reader *cluster)
{
	struct layer y = { 0 };
	struct conf_reader script_reader = {
		.arena = l->arena, .report = l->report, .format = l->format
	};
	struct conf_block *script = NULL;

	if (have_global) {
		lay_over(l, &y, defaults_of(global), RANK_GLOBAL);
		check_layer(l, &y);
		forget_global(&y);
	}
	lay_over(l, &y, defaults_of(cluster), RANK_CLUSTER);
	check_layer(l, &y);
	if (y.text[CONF_init_conf_load_script] && *y.text[CONF_init_conf_load_script] &&
	        !l->o->no_script)
		script = conf_script_run(
		        &script_reader, y.text[CONF_init_conf_load_script], l->o->deadline);
	if (script) {
		lay_over(l, &y, script, RANK_SCRIPT);
		check_layer(l, &y);
	}
	c->n_servers = add_servers(l, cluster, &y, CONF_KIND_SERVER, &c->servers);
	c->n_binlogs = add_servers(l, cluster, &y, CONF_KIND_BINLOG, &c->binlogs);
	lay_over(l, &y, NULL, RANK_BLOCK);
	c->defaults = new_server(l, &y, NULL);
	vec_done(&script_reader.blocks);
}

/* The name of a cluster: its file's, without folder and last extension. */
static const char *cluster_name(struct arena *a, const char *path)
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path,
	           *dot = strrchr(base, '.');

	return arena_strndup(a, base, dot && dot != base ? (size_t)(dot - base) : strlen(base));
}

static void set_names(const struct loading *l, struct conf *c)
{
	AUTO(free) char *real = realpath(l->o->path, NULL);

	c->path = arena_strdup(l->arena, l->o->path);
	c->real_path = arena_strdup(l->arena, real ? real : l->o->path);
	c->name = cluster_name(l->arena, l->o->path);
	c->format = l->format;
}

static void load(const struct loading *l, struct conf *c)
{
	struct conf_reader global = { .arena = l->arena,
		.report = l->report,
		.format = l->format,
		.file = arena_strdup(l->arena, global_path(l)),
		.is_global = true };
	struct conf_reader cluster = {
		.arena = l->arena, .report = l->report, .format = l->format, .file = c->path
	};
	bool have_global = conf_read(&global, true);

	if (conf_read(&cluster, false)) {
		build(l, c, &global, have_global, &cluster);
		finish(l, c);
	}
	vec_done(&global.blocks);
	vec_done(&cluster.blocks);
}

static void load_global(const struct loading *l, struct conf *c)
{
	struct conf_reader global = { .arena = l->arena,
		.report = l->report,
		.format = l->format,
		.file = c->path,
		.is_global = true };
	struct layer y = { 0 };

	if (conf_read(&global, true))
		lay_over(l, &y, defaults_of(&global), RANK_GLOBAL);
	c->defaults = new_server(l, &y, NULL);
	vec_done(&global.blocks);
}

static bool first_fatal(const struct conf_report *r, struct err *e)
{
	for (size_t i = 0; i < r->len; i++) {
		const struct conf_problem *p = &r->items[i];

		if (!p->fatal)
			continue;
		err_set(e, ERR_CONFIG, 0, "%s", p->text);
		if (*p->hint)
			err_hint(e, "%s", p->hint);
		if (p->line)
			err_ctx(e, "%s:%d", p->file, p->line);
		else if (*p->file)
			err_ctx(e, "%s", p->file);
		return true;
	}
	return false;
}

static struct conf *load_with(const struct conf_opts *o, struct conf_report *ret_report,
        void (*fn)(const struct loading *l, struct conf *c), struct err *e)
{
	struct conf_report report = { 0 };
	enum conf_format by_name = str_ends(o->path, ".cnf") ? CONF_MHA : CONF_NATIVE;
	struct arena *arena = arena_new();
	struct loaded *owned = ARENA_NEW(arena, struct loaded);
	struct loading l = { .o = o,
		.arena = arena,
		.report = &report,
		.format = o->force_format > 0 ? (enum conf_format)o->force_format : by_name };
	bool failed;

	arena_hold_secrets(arena);
	owned->arena = arena;
	conf_server_builtin(arena, l.format, &l.builtin);
	set_names(&l, &owned->conf);
	fn(&l, &owned->conf);
	failed = first_fatal(&report, e);
	if (ret_report)
		*ret_report = report;
	else
		conf_report_done(&report);
	if (failed) {
		arena_free(arena);
		return NULL;
	}
	return &owned->conf;
}

struct conf *conf_load(const struct conf_opts *o, struct conf_report *ret_report, struct err *e)
{
	return load_with(o, ret_report, load, e);
}

struct conf *conf_load_global(const char *path, struct err *e)
{
	const struct conf_opts o = { .path = path, .force_format = CONF_NATIVE };

	return load_with(&o, NULL, load_global, e);
}

/* The servers are ours to write to, as long as nobody else has seen them. */
void conf_use_workdir(struct conf *c, const char *dir)
{
	for (size_t i = 0; dir && i < c->n_servers; i++)
		((struct conf_server *)(uintptr_t)c->servers[i])->manager_workdir = dir;
}

void conf_free(struct conf *c)
{
	if (c)
		arena_free(((struct loaded *)(void *)c)->arena);
}
