/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_native - mhad's own files (conf.h shows one), parsed by libconfig.  Called by conf.c and a
 * fuzzer. Runs on: any thread.
 *
 * A number has to be written as a number and a text as a text: a password = 0123 without quotes
 * would else silently become another password.
 */
#include "conf_internal.h"
#include <libconfig.h>
#include <stdint.h>
#include <string.h>

static const char *const top_names[] = { "defaults", "servers", "binlog_servers" };

static struct conf_origin at_setting(const struct conf_reader *r, const config_setting_t *s)
{
	return (struct conf_origin){ r->file, (int)config_setting_source_line(s) };
}

static const char *wanted(enum conf_type type)
{
	switch (type) {
	case CONF_TYPE_INT: return "a number without quotes is wanted";
	case CONF_TYPE_BOOL:
	case CONF_TYPE_COUNT: return "true or false is wanted, without quotes";
	case CONF_TYPE_MSEC: return "a number of seconds or a duration like \"250ms\" is wanted";
	default: return "a text in quotes is wanted";
	}
}

/* The value as text; NULL when a setting of that type is not written so. */
static const char *value_text(struct arena *a, enum conf_type want, const config_setting_t *s)
{
	int have = config_setting_type(s);

	if (have == CONFIG_TYPE_INT64 || have == CONFIG_TYPE_INT) {
		long long n = config_setting_get_int64(s);

		if (want == CONF_TYPE_INT || want == CONF_TYPE_MSEC ||
		        ((want == CONF_TYPE_BOOL || want == CONF_TYPE_COUNT) && (n == 0 || n == 1)))
			return arena_printf(a, "%lld", n);
	} else if (have == CONFIG_TYPE_BOOL) {
		if (want == CONF_TYPE_BOOL || want == CONF_TYPE_COUNT)
			return config_setting_get_bool(s) ? "1" : "0";
	} else if (have == CONFIG_TYPE_STRING) {
		if (want != CONF_TYPE_INT && want != CONF_TYPE_BOOL && want != CONF_TYPE_COUNT)
			return arena_strdup(a, config_setting_get_string(s));
	}
	return NULL;
}

static void read_setting(struct conf_reader *r, struct conf_block *b, const config_setting_t *s)
{
	const char *name = config_setting_name(s), *text = "";
	enum conf_key k;

	if (conf_key_find(name, &k)) {
		text = value_text(r->arena, conf_row(k)->type, s);
		if (!text) {
			conf_tell(r->report, true, at_setting(r, s), NULL, "%s: %s", name,
			        wanted(conf_row(k)->type));
			return;
		}
	}
	conf_block_set(r, b, name, text, (int)config_setting_source_line(s));
}

static void read_group(struct conf_reader *r, struct conf_block *b, const config_setting_t *group)
{
	for (int i = 0; b && i < config_setting_length(group); i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);

		if (b->kind == CONF_KIND_DEFAULTS || !str_is(config_setting_name(s), "name"))
			read_setting(r, b, s);
	}
}

/* `name`, or else the hostname: a plain list of hosts needs no names. */
static const char *server_name(struct conf_reader *r, const config_setting_t *group)
{
	const config_setting_t *given = config_setting_get_member(group, "name");
	const config_setting_t *s = given ? given : config_setting_get_member(group, "hostname");
	const char *text = s ? config_setting_get_string(s) : NULL;

	if (given && (!text || !*text))
		conf_tell(r->report, true, at_setting(r, given), NULL,
		        "name: a text in quotes is wanted");
	if (text && *text)
		return arena_strdup(r->arena, text);
	return arena_printf(r->arena, "in line %d", (int)config_setting_source_line(group));
}

static void read_server(struct conf_reader *r, enum conf_kind kind, const config_setting_t *group)
{
	struct conf_origin at = at_setting(r, group);
	const char *name;
	size_t before = r->blocks.len;
	struct conf_block *b;

	if (!config_setting_is_group(group)) {
		conf_tell(r->report, true, at, NULL,
		        "a server is written { hostname = \"...\"; ... }");
		return;
	}
	name = server_name(r, group);
	b = conf_block_get(r, kind, name, at.line);
	if (b && r->blocks.len == before) {
		conf_tell(r->report, true, at, "give each a name of its own: name = \"...\";",
		        "Two servers are called \"%.80s\"", name);
		return;
	}
	read_group(r, b, group);
}

static void read_servers(struct conf_reader *r, enum conf_kind kind, const config_setting_t *list)
{
	if (r->is_global) {
		conf_tell(r->report, true, at_setting(r, list),
		        "servers belong in the files of clusters",
		        "%s: the global file holds only defaults", config_setting_name(list));
		return;
	}
	if (!config_setting_is_list(list)) {
		conf_tell(r->report, true, at_setting(r, list), NULL,
		        "%s is written ( { ... }, { ... } )", config_setting_name(list));
		return;
	}
	for (int i = 0; i < config_setting_length(list); i++)
		read_server(r, kind, config_setting_get_elem(list, (unsigned)i));
}

static void tell_unknown_top(struct conf_reader *r, const config_setting_t *s)
{
	const char *name = config_setting_name(s);
	char hint[120] = "";
	enum conf_key k;

	for (size_t i = 0; i < ARRAY_LEN(top_names); i++) {
		if (str_distance(name, top_names[i]) <= 3)
			snprintf(hint, sizeof(hint), "did you mean %s?", top_names[i]);
	}
	if (conf_key_find(name, &k))
		snprintf(hint, sizeof(hint), "write it inside defaults = { ... };");
	conf_tell(
	        r->report, true, at_setting(r, s), hint, "Parameter name %.80s is invalid!", name);
}

static void read_top(struct conf_reader *r, const config_setting_t *s)
{
	const char *name = config_setting_name(s);

	if (str_is(name, "servers"))
		read_servers(r, CONF_KIND_SERVER, s);
	else if (str_is(name, "binlog_servers"))
		read_servers(r, CONF_KIND_BINLOG, s);
	else if (!str_is(name, "defaults"))
		tell_unknown_top(r, s);
	else if (!config_setting_is_group(s))
		conf_tell(r->report, true, at_setting(r, s), NULL, "defaults is written { ... }");
	else
		read_group(
		        r, conf_block_get(r, CONF_KIND_DEFAULTS, name, at_setting(r, s).line), s);
}

/*
 * libconfig's @include is refused: an included file would escape the checks of modes and the
 * reload's notion of what belongs to a cluster, and the global file is the one thing to share.  It
 * is only known at the start of a line.
 */
static bool refuse_include(struct conf_reader *r, const char *bytes)
{
	int line = 1;

	for (const char *p = bytes; p; p = strchr(p, '\n'), line++) {
		p += *p == '\n';
		p += strspn(p, " \t");
		if (str_starts(p, "@include")) {
			conf_tell(r->report, true, (struct conf_origin){ r->file, line },
			        "put what clusters share into the global file",
			        "@include is not supported");
			return true;
		}
	}
	return false;
}

/* config_destroy() frees the strings as they are; passwords are among them. */
static void wipe_strings(const config_setting_t *s)
{
	const char *text;

	for (int i = 0; config_setting_is_aggregate(s) && i < config_setting_length(s); i++)
		wipe_strings(config_setting_get_elem(s, (unsigned)i));
	text = config_setting_type(s) == CONFIG_TYPE_STRING ? config_setting_get_string(s) : NULL;
	if (text)
		mem_wipe((char *)(uintptr_t)text, strlen(text));
}

void conf_native_read(struct conf_reader *r, const char *bytes, size_t n)
{
	const config_setting_t *root;
	config_t config;

	if (strlen(bytes) != n) {
		conf_tell(r->report, true, (struct conf_origin){ r->file, 0 }, NULL,
		        "The file holds a NUL byte");
		return;
	}
	if (refuse_include(r, bytes))
		return;
	config_init(&config);
	if (!config_read_string(&config, bytes))
		conf_tell(r->report, true,
		        (struct conf_origin){ r->file, config_error_line(&config) },
		        "settings look like: name = \"text\"; or name = 5;", "%s",
		        config_error_text(&config));
	root = config_root_setting(&config);
	for (int i = 0; i < config_setting_length(root); i++)
		read_top(r, config_setting_get_elem(root, (unsigned)i));
	wipe_strings(root);
	config_destroy(&config);
}
