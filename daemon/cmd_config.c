/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_config - `mhactl check config` and `mhactl config show|explain|convert|sample|manual`: no server and
 * no host is asked.
 */
#include "cmds.h"
#include "check.h"
#include "clock.h"
#include "log.h"
#include "migrate.h"
#include "show.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOOKUP_MS = 20000 };

/* Load quietly: problems go to the report. */
static struct conf *load(struct cmd *c, bool look_up, struct conf_report *report, int *ret_exit)
{
	struct conf_opts o = { .global_path = c->global_path,
		.force_format = -1,
		.no_resolve = !look_up,
		.no_script = !look_up,
		.deadline = clock_in(LOOKUP_MS) };
	AUTO(free) char *path = NULL;
	struct err e = { 0 };
	struct conf *conf;

	if (!c->conf_path) {
		err_set(&e, ERR_CONFIG, 0, "which cluster? Give --conf=FILE or a name");
		*ret_exit = cmd_fail(c, CMD_USAGE, &e);
		return NULL;
	}
	path = cmd_find_conf(c->conf_path, &e);
	o.path = path;
	c->workers = look_up; /* for names */
	conf = path ? conf_load(&o, report, &e) : NULL;
	if (!conf && !report->len)
		*ret_exit = cmd_fail(c, CMD_CONFIG, &e);
	else if (!conf)
		*ret_exit = cmd_exit(c, CMD_CONFIG);
	return conf;
}

static void add_problems(struct check_findings *f, const struct conf_report *r)
{
	for (size_t i = 0; i < r->len; i++) {
		const struct conf_problem *p = &r->items[i];
		AUTO(free) char *text = cmd_problem_text(p);

		check_add(f, p->fatal ? TOPOLOGY_ERROR : TOPOLOGY_WARNING, CHECK_CONFIG, NULL,
		        p->hint, "%s", text);
	}
}

int cmd_check_config(struct cmd *c, int argc, char **argv)
{
	const struct opt opts[] = { CMD_OPTS_CLUSTER(c), CMD_OPT_JSON(c), CMD_OPTS_COMMON(c),
		{ 0 } };
	struct conf_report report = { 0 };
	struct check_findings f = { 0 };
	AUTO_STR struct str out = STR_INIT;
	struct conf *conf;
	int code;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	conf = load(c, true, &report, &code);
	if (!conf && !report.len)
		return code;
	add_problems(&f, &report);
	if (c->json) {
		show_check_json(&out, conf, conf != NULL, &f, NULL);
	} else {
		show_findings(&out, &f);
		str_addf(&out,
		        conf ? "The configuration is fine: cluster %s, %zu servers.\n"
		             : "The configuration cannot be used.\n",
		        conf ? conf->name : "", conf ? conf->n_servers : 0);
	}
	code = cmd_print(&out) && conf ? CMD_OK : CMD_FAILED;
	check_findings_done(&f);
	conf_report_done(&report);
	conf_free(conf);
	return cmd_exit(c, (enum cmd_exit)code);
}

/* Load for the other commands: problems to stderr, as text. */
static struct conf *load_or_say(struct cmd *c, int *ret_exit)
{
	struct conf_report report = { 0 };
	struct check_findings f = { 0 };
	AUTO_STR struct str out = STR_INIT;
	struct conf *conf = load(c, false, &report, ret_exit);

	add_problems(&f, &report);
	show_findings(&out, &f);
	fputs(out.p, stderr);
	check_findings_done(&f);
	conf_report_done(&report);
	return conf;
}

static char *origin_text(const struct conf_origin *o)
{
	if (!o->file)
		return xstrdup("built-in default");
	return o->line ? xasprintf("%s:%d", o->file, o->line) : xstrdup(o->file);
}

static bool same_everywhere(const struct conf *conf, enum conf_key k)
{
	AUTO(free) char *first = conf_value_text(conf->servers[0], k);
	AUTO(free) char *from = origin_text(&conf->servers[0]->origin[k]);

	for (size_t i = 1; i < conf->n_servers; i++) {
		AUTO(free) char *value = conf_value_text(conf->servers[i], k);
		AUTO(free) char *origin = origin_text(&conf->servers[i]->origin[k]);

		if (!str_is(first, value) || !str_is(from, origin))
			return false;
	}
	return conf->n_servers > 1;
}

static void show_value(struct str *out, const struct conf_server *s, enum conf_key k)
{
	AUTO(free) char *value = conf_value_text(s, k);
	AUTO(free) char *origin = origin_text(&s->origin[k]);

	str_addf(out, "  %-31s %-32s %s\n", conf_key_name(k), *value ? value : "-", origin);
}

static void show_block(struct str *out, const struct conf *conf, const struct conf_server *s)
{
	str_addf(out, "\n%s  (%s:%d)\n", s->id, s->block_file, s->block_line);
	for (int k = 0; k < CONF_KEY_COUNT; k++) {
		if (s->is_binlog_server ? s->origin[k].file != NULL
		                        : !same_everywhere(conf, (enum conf_key)k))
			show_value(out, s, (enum conf_key)k);
	}
}

static void show_text(struct str *out, const struct conf *conf)
{
	str_addf(out, "%s  (%s format, %s)\n\nall servers\n", conf->name,
	        conf->format == CONF_MHA ? "MHA's" : "native", conf->path);
	for (int k = 0; k < CONF_KEY_COUNT; k++) {
		if (same_everywhere(conf, (enum conf_key)k))
			show_value(out, conf->servers[0], (enum conf_key)k);
	}
	for (size_t i = 0; i < conf->n_servers; i++)
		show_block(out, conf, conf->servers[i]);
	for (size_t i = 0; i < conf->n_binlogs; i++)
		show_block(out, conf, conf->binlogs[i]);
}

int cmd_config_show(struct cmd *c, int argc, char **argv)
{
	const struct opt opts[] = { CMD_OPTS_CLUSTER(c), CMD_OPT_JSON(c), CMD_OPTS_COMMON(c),
		{ 0 } };
	AUTO_STR struct str out = STR_INIT;
	struct conf *conf;
	int code;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	conf = load_or_say(c, &code);
	if (!conf)
		return code;
	if (c->json)
		show_conf_json(&out, conf);
	else
		show_text(&out, conf);
	code = cmd_print(&out) ? CMD_OK : CMD_FAILED;
	conf_free(conf);
	return cmd_exit(c, (enum cmd_exit)code);
}

static void list_keys(struct str *out)
{
	for (int k = 0; k < CONF_KEY_COUNT; k++) {
		const char *help = conf_key_help((enum conf_key)k);
		const char *stop = strstr(help, ". ");

		str_addf(out, "%-31s %.*s\n", conf_key_name((enum conf_key)k),
		        stop ? (int)(stop - help) + 1 : (int)strlen(help), help);
	}
}

int cmd_config_explain(struct cmd *c, int argc, char **argv)
{
	const struct opt opts[] = { CMD_OPTS_COMMON(c), { 0 } };
	AUTO_STR struct str out = STR_INIT;
	struct err e = { 0 };
	int words, code;

	if (!cmd_parse(c, opts, argc, argv, &words, &code))
		return code;
	if (!words)
		list_keys(&out);
	for (int i = 1; i <= words; i++) {
		enum conf_key k;
		AUTO(free) char *text = NULL;
		const char *nearest = conf_key_nearest(argv[i]);

		if (!conf_key_find(argv[i], &k)) {
			err_set(&e, ERR_CONFIG, 0, "there is no setting \"%s\"", argv[i]);
			if (nearest)
				err_hint(&e, "did you mean %s?", nearest);
			else
				err_hint(&e, "without a name, all are listed");
			return cmd_fail(c, CMD_USAGE, &e);
		}
		text = conf_explain(k);
		str_addf(&out, "%s%s%s", i > 1 ? "\n" : "", text, str_ends(text, "\n") ? "" : "\n");
	}
	return cmd_exit(c, cmd_print(&out) ? CMD_OK : CMD_FAILED);
}

/* New and 0600 from the first byte on: there are passwords in it. */
static bool write_private(const char *path, const char *text, struct err *e)
{
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	size_t n = strlen(text);

	if (fd < 0)
		return err_sys(e, "create %s", path);
	while (n) {
		ssize_t w = write(fd, text, n);

		if (w < 0)
			return err_sys(e, "write %s", path);
		text += w;
		n -= (size_t)w;
	}
	if (fsync(fd))
		return err_sys(e, "write %s", path);
	return true;
}

/* What was written says what was read, or nothing is written. */
static bool is_the_same(
        const struct cmd *c, const struct conf *conf, const char *text, struct err *e)
{
	struct check_findings f = { 0 };
	AUTO_STR struct str out = STR_INIT;
	bool ok = migrate_read_back(
	        conf, text, conf->format == CONF_NATIVE ? c->global_path : NULL, &f, e);

	show_findings(&out, &f);
	fputs(out.p, stderr);
	check_findings_done(&f);
	return ok;
}

int cmd_config_convert(struct cmd *c, int argc, char **argv)
{
	const char *output = NULL;
	const struct opt opts[] = {
		CMD_OPTS_CLUSTER(c),
		{ "output", OPT_STR, .to = &output, .arg = "FILE",
		        .help = "write this file (mode 0600; it must not be there yet)" },
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	struct err e = { 0 };
	struct conf *conf;
	char *text;
	int code;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	conf = load_or_say(c, &code);
	if (!conf)
		return code;
	text = conf_to_native(conf);
	code = CMD_OK;
	if (!is_the_same(c, conf, text, &e) || (output && !write_private(output, text, &e)))
		code = cmd_fail(c, CMD_FAILED, &e);
	else if (!output && (fputs(text, stdout) < 0 || fflush(stdout)))
		code = cmd_exit(c, CMD_FAILED);
	mem_free_secret(text);
	conf_free(conf);
	return code;
}

static int print_text(const struct cmd *c, const char *text)
{
	return cmd_exit(c, fputs(text, stdout) < 0 || fflush(stdout) ? CMD_FAILED : CMD_OK);
}

int cmd_config_sample(struct cmd *c, int argc, char **argv)
{
	bool mha = false, global = false;
	const struct opt opts[] = {
		{ "mha", OPT_FLAG, .to = &mha, .help = "in MHA's format" },
		{ "global", OPT_FLAG, .to = &global,
		        .help = "the file for settings of all clusters" },
		CMD_OPTS_COMMON(c),
		{ 0 },
	};
	AUTO(free) char *text = NULL;
	int code;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	text = conf_sample(mha ? CONF_MHA : CONF_NATIVE, global);
	return print_text(c, text);
}

int cmd_config_manual(struct cmd *c, int argc, char **argv)
{
	const struct opt opts[] = { CMD_OPTS_COMMON(c), { 0 } };
	AUTO(free) char *text = NULL;
	int code;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	text = conf_manual();
	return print_text(c, text);
}
