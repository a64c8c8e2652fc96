/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd - common parts of all commands.  Runs on: the main thread.
 */
#include "cmd.h"
#include "clock.h"
#include "log.h"
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAMES_AND_SCRIPT_MS = 20000 }; /* for name look-ups and init_conf_load_script together */

int cmd_exit(const struct cmd *c, enum cmd_exit code)
{
	return c->verb->mha && code != CMD_OK ? CMD_FAILED : (int)code;
}

static const char *program(const struct cmd *c)
{
	return c->verb->mha ? "" : "mhactl ";
}

int cmd_fail(const struct cmd *c, enum cmd_exit code, const struct err *e)
{
	fprintf(stderr, "%s%s: %s%s%s\n", program(c), c->verb->name, e->host,
	        e->host[0] ? ": " : "", e->text);
	if (e->hint[0])
		fprintf(stderr, "Hint: %s\n", e->hint);
	return cmd_exit(c, code);
}

/* Of the names that are programs of their own; mhactl's stand in its overview. */
static const struct {
	const char *name, *line;
} examples[] = {
	{ "masterha_manager", "--conf=/etc/app1.cnf --ignore_last_failover" },
	{ "masterha_master_monitor", "--conf=/etc/app1.cnf" },
	{ "masterha_check_repl", "--conf=/etc/app1.cnf" },
	{ "masterha_check_ssh", "--conf=/etc/app1.cnf" },
	{ "masterha_check_status", "--conf=/etc/app1.cnf" },
	{ "masterha_stop", "--conf=/etc/app1.cnf" },
	{ "masterha_conf_host", "--command=add --conf=/etc/app1.cnf --hostname=db4" },
	{ "masterha_master_switch",
	        "--master_state=dead --conf=/etc/app1.cnf --dead_master_host=db1" },
};

static void add_example(struct str *out, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(examples); i++)
		if (str_is(examples[i].name, name))
			str_addf(out, "\nexample:\n  %s %s\n", name, examples[i].line);
}

static void print_help(const struct cmd *c, const struct opt *opts)
{
	AUTO_STR struct str out = STR_INIT;

	str_addf(&out, "usage: %s%s %s\n\n%s\n", program(c), c->verb->name, c->verb->args,
	        c->verb->summary);
	if (c->verb->details)
		str_addf(&out, "\n%s\n", c->verb->details);
	str_add(&out, "\n");
	opt_help(&out, opts);
	add_example(&out, c->verb->name);
	cmd_print(&out);
}

static bool has_option(const struct opt *opts, const char *name)
{
	for (; opts->names; opts++) {
		if (str_is(opts->names, name))
			return true;
	}
	return false;
}

/* --help is answered even when the rest of the line is wrong. */
static bool asks_for_help(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (str_is(argv[i], "--help") || str_is(argv[i], "-h") || str_is(argv[i], "-help"))
			return true;
	}
	return false;
}

bool cmd_parse(
        struct cmd *c, const struct opt *opts, int argc, char **argv, int *ret_words, int *ret_exit)
{
	struct err e = { 0 };
	bool ok, names_cluster = !ret_words && !c->verb->mha && has_option(opts, "conf");
	int words = 0;

	ok = opt_parse(opts, argc, argv, ret_words || names_cluster ? &words : NULL, &e);
	if (c->help || asks_for_help(argc, argv)) {
		print_help(c, opts);
		*ret_exit = CMD_OK;
		return false;
	}
	if (c->version) {
		if (c->verb->mha)
			printf("%s version %s.\n", c->verb->name, MHA_COMPAT_VERSION);
		else
			printf("mhactl %s\n", MHAD_VERSION);
		*ret_exit = CMD_OK;
		return false;
	}
	if (ok && names_cluster && words + !!c->conf_path > 1)
		ok = err_set(
		        &e, ERR_CONFIG, 0, "one cluster at a time: what is \"%s\"?", argv[words]);
	if (ok && names_cluster && words)
		c->conf_path = argv[1];
	if (ret_words)
		*ret_words = words;
	if (!ok)
		*ret_exit = cmd_fail(c, CMD_USAGE, &e);
	return ok;
}

char *cmd_find_conf(const char *name_or_path, struct err *e)
{
	static const char *const suffixes[] = { "", ".conf", ".cnf" };

	if (strchr(name_or_path, '/') || !access(name_or_path, F_OK))
		return xstrdup(name_or_path);
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		AUTO(free)
		char *path =
		        xasprintf("%s/clusters.d/%s%s", MHAD_SYSCONFDIR, name_or_path, suffixes[i]);

		if (!access(path, F_OK))
			return TAKE(path);
	}
	err_set(e, ERR_CONFIG, 0, "there is no file %s here, and no %s/clusters.d/%s.conf or .cnf",
	        name_or_path, MHAD_SYSCONFDIR, name_or_path);
	return NULL;
}

char *cmd_problem_text(const struct conf_problem *p)
{
	if (p->line)
		return xasprintf("%s:%d: %s", p->file, p->line, p->text);
	if (!p->file[0] || strstr(p->text, p->file))
		return xstrdup(p->text);
	return xasprintf("%s: %s", p->file, p->text);
}

static void log_problems(const struct conf_report *r)
{
	for (size_t i = 0; i < r->len; i++) {
		const struct conf_problem *p = &r->items[i];
		AUTO(free) char *text = cmd_problem_text(p);

		log_at(p->fatal ? LOG_LV_ERROR : LOG_LV_WARNING, "%s%s%s", text,
		        p->hint[0] ? "  Hint: " : "", p->hint);
	}
}

/* MHA's lines, which people grep. */
static void log_reading(const struct cmd *c, const char *path)
{
	const char *global = c->global_path ? c->global_path : "/etc/masterha_default.cnf";

	if (c->verb->mha && !access(global, F_OK))
		log_info("Reading default configuration from %s..", global);
	if (c->verb->mha)
		log_info("Reading application default configuration from %s..", path);
	log_info("Reading server configuration from %s..", path);
}

struct conf *cmd_load(struct cmd *c, int *ret_exit)
{
	struct conf_report report = { 0 };
	struct conf_opts o = { .global_path = c->global_path,
		.force_format = -1,
		.deadline = clock_in(NAMES_AND_SCRIPT_MS) };
	AUTO(free) char *path = NULL;
	struct err e = { 0 };
	struct conf *conf;

	if (!c->conf_path) {
		if (c->verb->mha) /* where MHA says it, and how */
			printf("--conf=<server_config_file> must be set.\n");
		else
			fprintf(stderr, "mhactl %s: which cluster? Give --conf=FILE or a name.\n",
			        c->verb->name);
		*ret_exit = cmd_exit(c, CMD_USAGE);
		return NULL;
	}
	path = cmd_find_conf(c->conf_path, &e);
	if (!path) {
		*ret_exit = cmd_fail(c, CMD_CONFIG, &e);
		return NULL;
	}
	o.path = path;
	log_reading(c, path);
	c->workers = true;
	conf = conf_load(&o, &report, &e);
	log_problems(&report);
	if (!conf && !report.len)
		log_err(LOG_LV_ERROR, &e);
	conf_report_done(&report);
	if (!conf)
		*ret_exit = cmd_exit(c, CMD_CONFIG);
	return conf;
}

bool cmd_print(const struct str *s)
{
	if (fwrite(s->p, 1, s->len, stdout) == s->len && !fflush(stdout))
		return true;
	fprintf(stderr, "cannot write to standard output: %m\n");
	return false;
}

const struct conf_server *cmd_server_named(const struct conf *c, const char *host, int64_t port)
{
	for (size_t i = 0; i < c->n_servers; i++) {
		const struct conf_server *s = c->servers[i];

		if (str_is(s->hostname, host) && (!port || s->port == port))
			return s;
	}
	return NULL;
}

bool cmd_ask(char *line, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	fflush(stdout);
	if (!fgets(line, (int)size, stdin))
		return false;
	line[strcspn(line, "\r\n")] = '\0';
	return true;
}

bool cmd_says_yes(const char *line)
{
	return line[0] == 'y' || line[0] == 'Y';
}

bool cmd_agrees(const char *question)
{
	char line[64];

	return cmd_ask(line, sizeof(line), "%s (yes/NO): ", question) && cmd_says_yes(line);
}

const struct conf_server *cmd_ask_new_master(const struct conf *c)
{
	const struct conf_server *s;
	char line[256];

	if (!cmd_agrees("Continue?") ||
	        !cmd_ask(line, sizeof(line), "Enter new master host name: "))
		return NULL;
	s = cmd_server_named(c, line, 3306);
	if (!s) {
		printf("%s:3306 is not among the servers of %s\n", line, c->path);
		return NULL;
	}
	return cmd_ask(line, sizeof(line), "Master switch to %s. OK? (yes/NO): ", s->hostinfo) &&
	                       cmd_says_yes(line)
	               ? s
	               : NULL;
}

const char *cmd_who(void)
{
	const struct passwd *p = getpwuid(getuid());

	return p ? p->pw_name : "somebody";
}

bool cmd_print_json(json_t *j)
{
	AUTO_STR struct str out = STR_INIT;
	AUTO(free) char *text = json_dumps(j, JSON_INDENT(1));

	json_decref(j);
	str_addf(&out, "%s\n", text ? text : "{}");
	return cmd_print(&out);
}

void cmd_on_end(struct loop *l, loop_signal_fn fn, void *arg)
{
	static const int signals[] = { SIGINT, SIGHUP, SIGQUIT, SIGTERM };

	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		loop_signal_new(l, signals[i], fn, arg);
}
