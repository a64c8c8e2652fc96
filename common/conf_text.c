/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_text - what is printed about settings: explanations, samples, the manual's list, the native
 * form of a loaded configuration.  All of it comes from the rows of conf_table.h.  Runs on: any
 * thread.
 */
#include <stdio.h>
#include <string.h>
#include "conf_internal.h"

enum { WIDTH = 90, MDOC_WIDTH = 72 };

static const char *type_text(enum conf_type type)
{
	switch (type) {
	case CONF_TYPE_STR:
	case CONF_TYPE_ENUM:
	case CONF_TYPE_LEVEL: return "text";
	case CONF_TYPE_SECRET: return "text, never shown";
	case CONF_TYPE_DIRS: return "directories with commas between them";
	case CONF_TYPE_INT: return "number";
	case CONF_TYPE_BOOL:
	case CONF_TYPE_COUNT: return "yes or no";
	case CONF_TYPE_MSEC: return "duration: 3 or \"3s\", \"250ms\", \"5m\", \"1h\"";
	}
	return "";
}

static const char *reach_text(enum conf_reach reach)
{
	switch (reach) {
	case CONF_REACH_LOCAL: return "blocks of servers";
	case CONF_REACH_DEFAULTS: return "defaults";
	case CONF_REACH_GLOBAL: return "mhad.conf";
	case CONF_REACH_INHERIT: return "defaults and blocks of servers";
	}
	return "";
}

/* A default as people read it: "root", "none", "hostname, looked up", "true". */
static void add_default(struct str *out, enum conf_key k, enum conf_format f)
{
	const struct conf_row *row = conf_row(k);
	const char *text = row->defaults[f];

	if (!text)
		str_add(out, k == CONF_hostname ? "must be set" : "none");
	else if (*text == '<')
		str_addf(out, "%.*s", (int)strlen(text) - 2, text + 1);
	else if (f == CONF_NATIVE && (row->type == CONF_TYPE_BOOL || row->type == CONF_TYPE_COUNT))
		str_add(out, *text == '1' ? "true" : "false");
	else
		str_add(out, text);
}

static bool differs(const struct conf_server *a, const struct conf_server *b, enum conf_key k)
{
	AUTO_STR struct str x = STR_INIT;
	AUTO_STR struct str y = STR_INIT;
	bool differ;

	conf_value_raw(a, k, &x);
	conf_value_raw(b, k, &y);
	differ = !str_is(x.p, y.p);
	mem_wipe(x.p, x.len);
	mem_wipe(y.p, y.len);
	return differ;
}

/* Both formats' defaults, in one when they are the same thing. */
static void add_defaults(struct str *out, enum conf_key k)
{
	AUTO(arena) struct arena *arena = arena_new();
	struct conf_server native = { 0 }, mha = { 0 };

	conf_server_builtin(arena, CONF_NATIVE, &native);
	conf_server_builtin(arena, CONF_MHA, &mha);
	add_default(out, k, CONF_NATIVE);
	if (differs(&native, &mha, k)) {
		str_add(out, "; in MHA's format ");
		add_default(out, k, CONF_MHA);
	}
}

char *conf_explain(enum conf_key k)
{
	struct str out = STR_INIT;
	AUTO_STR struct str allowed = STR_INIT;

	conf_allowed_text(k, CONF_NATIVE, &allowed);
	str_addf(&out, "%s\n  %s\n\n  type      %s\n", conf_key_name(k), conf_key_help(k),
	        type_text(conf_row(k)->type));
	if (allowed.len)
		str_addf(&out, "  allowed   %s\n", allowed.p);
	str_add(&out, "  default   ");
	add_defaults(&out, k);
	str_addf(&out, "\n  set in    %s\n", reach_text(conf_row(k)->reach));
	return str_take(&out);
}

/* `text` as comment lines behind `indent`, broken at blanks. */
static void add_comment(struct str *out, const char *indent, const char *text)
{
	while (*text) {
		size_t n = strlen(text);

		if (n > WIDTH) {
			for (n = WIDTH; n > 1 && text[n] != ' '; n--)
				;
		}
		str_addf(out, "%s# %.*s\n", indent, (int)n, text);
		text += n;
		text += strspn(text, " ");
	}
}

/* A text as libconfig wants it. */
static void add_quoted(struct str *out, const char *text)
{
	str_addc(out, '"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			str_addf(out, "\\%c", *text);
		else if ((unsigned char)*text < 0x20 || *text == 0x7f)
			str_addf(out, "\\x%02x", (unsigned char)*text);
		else
			str_addc(out, *text);
	}
	str_addc(out, '"');
}

static void add_native(struct str *out, enum conf_key k, const char *text)
{
	str_addf(out, "%s = ", conf_key_name(k));
	switch (conf_row(k)->type) {
	case CONF_TYPE_INT: str_add(out, text); break;
	case CONF_TYPE_BOOL:
	case CONF_TYPE_COUNT: str_add(out, *text == '1' ? "true" : "false"); break;
	default: add_quoted(out, text);
	}
	str_addc(out, ';');
}

static void add_sample_setting(struct str *out, enum conf_key k, enum conf_format f)
{
	const char *indent = f == CONF_NATIVE ? "\t" : "", *text = conf_default(k, f);
	AUTO_STR struct str note = STR_INIT;

	str_add(&note, "Default: ");
	add_default(&note, k, f);
	if (conf_row(k)->allowed.max || conf_row(k)->allowed.words) {
		str_add(&note, "; allowed: ");
		conf_allowed_text(k, f, &note);
	}
	str_addc(out, '\n');
	add_comment(out, indent, conf_key_help(k));
	add_comment(out, indent, note.p);
	str_addf(out, "%s#", indent);
	if (f == CONF_NATIVE)
		add_native(out, k, text ? text : "");
	else
		str_addf(out, "%s=%s", conf_key_name(k), text ? text : "");
	str_addc(out, '\n');
}

static void add_sample_settings(struct str *out, enum conf_format f, enum conf_reach most, bool local)
{
	for (int k = 0; k < CONF_KEY_COUNT; k++) {
		enum conf_reach reach = conf_row((enum conf_key)k)->reach;

		if (k != CONF_hostname && reach <= most && (reach == CONF_REACH_LOCAL) == local)
			add_sample_setting(out, (enum conf_key)k, f);
	}
}

static void add_sample_servers(struct str *out, enum conf_format f)
{
	bool native = f == CONF_NATIVE;

	str_add(out,
	        native ? "\n# The order is the order of election.\nservers = (\n{\n\thostname = "
	                 "\"db1\";\n"
	               : "\n# The number is the order of election.\n[server1]\nhostname=db1\n");
	add_sample_settings(out, f, CONF_REACH_LOCAL, true);
	str_add(out, native ? "},\n{\n\thostname = \"db2\";\n\tcandidate_master = true;\n}\n);\n"
	                    : "\n[server2]\nhostname=db2\ncandidate_master=1\n");
	str_add(out,
	        native ? "\n# Servers that only collect binlogs.\n#binlog_servers = ( { hostname = "
	                 "\"log1\"; } );\n"
	               : "\n# Servers that only collect binlogs.\n#[binlog1]\n#hostname=log1\n");
}

char *conf_sample(enum conf_format f, bool global)
{
	struct str out = STR_INIT;

	str_addf(&out, "# mhad: %s.\n# Settings that begin with # show their defaults.\n",
	        global ? "what all clusters share" : "one cluster");
	if (!global)
		str_add(&out, "# They are weaker here than in the block of a server, and stronger "
		              "than in the global file.\n");
	str_add(&out, f == CONF_NATIVE ? "\ndefaults = {" : "\n[server default]\n");
	if (f == CONF_NATIVE)
		str_addc(&out, '\n');
	add_sample_settings(&out, f,
	        global && f == CONF_NATIVE ? CONF_REACH_GLOBAL : CONF_REACH_DEFAULTS, false);
	if (f == CONF_NATIVE)
		str_add(&out, "};\n");
	if (!global)
		add_sample_servers(&out, f);
	return str_take(&out);
}

static void add_mdoc_word(struct str *out, const char *word, size_t n)
{
	if (n && strchr(".'", *word))
		str_add(out, "\\&"); /* else a request at the beginning of a line */
	for (size_t i = 0; i < n; i++) {
		if (word[i] == '\\')
			str_add(out, "\\e");
		else if (word[i] == '-')
			str_add(out, "\\-");
		else
			str_addc(out, word[i]);
	}
}

/* Lines of mdoc: short ones, and a new one for each sentence. */
static void add_mdoc(struct str *out, const char *text)
{
	size_t column = 0;

	for (; *text; text += strspn(text, " ")) {
		size_t n = strcspn(text, " ");
		bool ends = n && text[n - 1] == '.';

		if (column && column + n > MDOC_WIDTH) {
			str_addc(out, '\n');
			column = 0;
		}
		str_add(out, column ? " " : "");
		add_mdoc_word(out, text, n);
		column = ends ? 0 : column + n + 1;
		text += n;
		str_add(out, ends || !*text ? "\n" : "");
	}
}

char *conf_manual(void)
{
	struct str out = STR_INIT;

	str_add(&out, ".Bl -tag -width Ds\n");
	for (int i = 0; i < CONF_KEY_COUNT; i++) {
		enum conf_key k = (enum conf_key)i;
		AUTO_STR struct str text = STR_INIT;

		str_addf(&text, "%s Allowed: ", conf_key_help(k));
		conf_allowed_text(k, CONF_NATIVE, &text);
		if (str_ends(text.p, "Allowed: "))
			str_cut(&text, text.len - strlen(" Allowed: "));
		else
			str_addc(&text, '.');
		str_add(&text, " Default: ");
		add_defaults(&text, k);
		str_addf(&text, ". Set in %s.", reach_text(conf_row(k)->reach));
		str_addf(&out, ".It Cm %s\n", conf_key_name(k));
		add_mdoc(&out, text.p);
	}
	str_add(&out, ".El\n");
	return str_take(&out);
}

/* The file that brings this secret; NULL when it is no secret or stands in clear. */
static const char *secret_file(const struct conf_server *s, enum conf_key k)
{
	return k == CONF_password        ? s->password_file
	       : k == CONF_repl_password ? s->repl_password_file
	                                 : NULL;
}

/* Whether `s` has to say something to have its value of `k`, when it gets those of `base` else. */
static bool has_to_say(const struct conf_server *s, const struct conf_server *base, enum conf_key k)
{
	if (secret_file(s, k) || conf_row(k)->reach == CONF_REACH_GLOBAL)
		return false;
	if (s->origin[k].file && str_starts(s->origin[k].file, CONF_SCRIPT_ORIGIN))
		return false;
	if (conf_row(k)->reach == CONF_REACH_LOCAL && !s->origin[k].file)
		return false; /* found out, and will be again */
	/* The built-in one is whoever runs the program: not the same for the daemon as for who converts. */
	if (k == CONF_ssh_user && s->origin[k].file && !base->origin[k].file)
		return true;
	return differs(s, base, k) || secret_file(base, k);
}

static void add_values(struct str *out, const char *indent, const struct conf_server *s,
        const struct conf_server *base)
{
	for (int i = 0; i < CONF_KEY_COUNT; i++) {
		enum conf_key k = (enum conf_key)i;
		AUTO_STR struct str text = STR_INIT;

		if (!has_to_say(s, base, k))
			continue;
		conf_value_raw(s, k, &text);
		str_add(out, indent);
		add_native(out, k, text.p);
		str_addc(out, '\n');
		mem_wipe(text.p, text.len);
	}
}

static void add_servers(struct str *out, const char *name, const struct conf_server *const *servers,
        size_t n, const struct conf_server *base)
{
	if (!n)
		return;
	str_addf(out, "\n%s = (\n", name);
	for (size_t i = 0; i < n; i++) {
		str_add(out, "\t{\n");
		if (!str_is(servers[i]->id, servers[i]->hostname)) {
			str_add(out, "\t\tname = ");
			add_quoted(out, servers[i]->id);
			str_add(out, ";\n");
		}
		add_values(out, "\t\t", servers[i], base);
		str_addf(out, "\t}%s\n", i + 1 < n ? "," : "");
	}
	str_add(out, ");\n");
}

char *conf_to_native(const struct conf *c)
{
	AUTO(arena) struct arena *a = arena_new();
	struct conf_server builtin = { 0 };
	struct str out = STR_INIT;

	conf_server_builtin(a, CONF_NATIVE, &builtin);
	str_add(&out, "defaults = {\n");
	add_values(&out, "\t", c->defaults, &builtin);
	str_add(&out, "};\n");
	add_servers(&out, "servers", c->servers, c->n_servers, c->defaults);
	add_servers(&out, "binlog_servers", c->binlogs, c->n_binlogs, c->defaults);
	return str_take(&out);
}
