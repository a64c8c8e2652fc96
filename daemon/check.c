/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check - the list of findings, and command lines for the node tools.  Runs on: any thread.
 */
#include "check.h"
#include "log.h"
#include "vec.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OLDEST_NODE_MAJOR = 0, OLDEST_NODE_MINOR = 54 };

static const struct {
	const char *name;
	int check;
} codes[] = {
#define CHECK_CODE_ROW(sym, name, check) [CHECK_##sym] = { name, check },
	CHECK_CODES(CHECK_CODE_ROW)
#undef CHECK_CODE_ROW
};

void check_findings_done(struct check_findings *f)
{
	for (size_t i = 0; i < f->len; i++) {
		free(f->items[i].server);
		free(f->items[i].text);
		free(f->items[i].hint);
	}
	vec_done(f);
}

void check_add(struct check_findings *f, enum topology_severity severity, enum check_code code,
        const char *server, const char *hint, const char *fmt, ...)
{
	struct str text = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(&text, fmt, ap);
	va_end(ap);
	vec_push(f, (struct check_finding){ .severity = severity,
	                    .code = codes[code].name,
	                    .check = codes[code].check,
	                    .stops = severity == TOPOLOGY_ERROR,
	                    .server = xstrdup(server),
	                    .text = str_take(&text),
	                    .hint = hint && *hint ? xstrdup(hint) : NULL });
}

void check_add_ssh(struct check_findings *f, enum topology_severity severity, const char *server,
        const struct err *err, const char *consequence)
{
	enum check_code code = err->kind == ERR_UNREACHABLE ? CHECK_SSH_UNREACHABLE
	                       : err->kind == ERR_LOST      ? CHECK_SSH_LOST
	                                                    : CHECK_SSH_REFUSED;

	check_add(f, severity, code, server, err->hint, "SSH to %s does not work: %s%s", server,
	        err->text, consequence ? consequence : "");
}

void check_add_topology(struct check_findings *f, const struct topology *t)
{
	for (size_t i = 0; i < t->n_findings; i++) {
		const struct topology_finding *one = &t->findings[i];

		vec_push(f,
		        (struct check_finding){ .severity = one->severity,
		                .code = topology_code_name(one->code),
		                .check = one->check,
		                .stops = one->stops & TOPOLOGY_STOPS_CHECK,
		                .server = one->server ? xstrdup(one->server->snap->conf->hostinfo)
		                                      : NULL,
		                .text = xstrdup(one->text),
		                .hint = xstrdup(one->hint) });
	}
}

static int order(const struct check_finding *f)
{
	return f->check ? f->check : INT32_MAX;
}

/* Insertion: few items, and equal ones keep their order. */
void check_sort(struct check_findings *f)
{
	for (size_t i = 1; i < f->len; i++) {
		struct check_finding one = f->items[i];
		size_t at = i;

		for (; at && order(&f->items[at - 1]) > order(&one); at--)
			f->items[at] = f->items[at - 1];
		f->items[at] = one;
	}
}

size_t check_count_stops(const struct check_findings *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->len; i++)
		n += f->items[i].stops;
	return n;
}

void check_log_findings(const struct check_findings *f)
{
	static const enum log_level levels[] = { [TOPOLOGY_INFO] = LOG_LV_INFO,
		[TOPOLOGY_WARNING] = LOG_LV_WARNING,
		[TOPOLOGY_ERROR] = LOG_LV_ERROR };

	for (size_t i = 0; i < f->len; i++) {
		const struct check_finding *one = &f->items[i];

		log_at(levels[one->severity], "%s%s%s", one->text, one->hint ? "  Hint: " : "",
		        one->hint ? one->hint : "");
	}
}

static void add_tool(struct str *line, const struct conf_server *s, const char *tool)
{
	if (s->node_bindir && *s->node_bindir) {
		str_add_shell(line, s->node_bindir);
		str_addc(line, '/');
	}
	str_add(line, tool);
}

static void add_arg(struct str *line, const char *name, const char *value)
{
	str_addf(line, " --%s=", name);
	str_add_shell(line, value);
}

static void add_arg_if(struct str *line, const char *name, const char *value)
{
	if (value && *value)
		add_arg(line, name, value);
}

char *check_probe_cmd(const struct conf_server *s)
{
	struct str line = STR_INIT;

	add_tool(&line, s, "mha-node");
	str_addf(&line, " probe --port=%d", s->port);
	return str_take(&line);
}

/* The login shell may be any; what needs a real one is given to sh. */
char *check_node_version_cmd(const struct conf_server *s)
{
	AUTO_STR struct str script = STR_INIT;
	struct str line = STR_INIT;

	add_tool(&script, s, "mha-node");
	str_add(&script, " version 2>/dev/null || ");
	add_tool(&script, s, "apply_diff_relay_logs");
	str_add(&script, " --version");
	str_add(&line, "sh -c ");
	str_add_shell(&line, script.p);
	return str_take(&line);
}

char *check_binlog_test_cmd(const struct conf_server *s, const char *start_file, const char *prefix)
{
	struct str line = STR_INIT;
	AUTO(free) char *output = xasprintf("%s/save_binary_logs_test", s->remote_workdir);

	add_tool(&line, s, "save_binary_logs");
	str_add(&line, " --command=test --start_pos=4");
	add_arg(&line, "binlog_dir", s->master_binlog_dir);
	add_arg(&line, "output_file", output);
	str_addf(&line, " --manager_version=%s", MHA_COMPAT_VERSION);
	if (start_file)
		add_arg(&line, "start_file", start_file);
	else
		add_arg(&line, "binlog_prefix", prefix);
	if (s->log_level == LOG_LV_DEBUG)
		str_add(&line, " --debug");
	return str_take(&line);
}

/* MHA puts a backslash before what a shell might take badly, inside quotes; node tools of both
 * generations take it off. */
static void add_escaped_arg(struct str *line, const char *name, const char *value)
{
	AUTO_STR struct str escaped = STR_INIT;

	for (const char *p = value; *p; p++) {
		if (strchr("\"!#&;`|*?~<>^()[]{}$, \\", *p))
			str_addc(&escaped, '\\');
		str_addc(&escaped, *p);
	}
	add_arg(line, name, escaped.p);
	mem_wipe(escaped.p, escaped.len);
}

char *check_relay_test_cmd(
        const struct snapshot_server *s, const char *relay_log, bool with_password)
{
	const struct conf_server *c = s->conf;
	struct str line = STR_INIT;

	add_tool(&line, c, "apply_diff_relay_logs");
	str_add(&line, " --command=test");
	add_escaped_arg(&line, "slave_user", c->user);
	add_arg(&line, "slave_host", c->hostname);
	add_arg(&line, "slave_ip", c->ip);
	str_addf(&line, " --slave_port=%d", c->port);
	add_arg(&line, "workdir", c->remote_workdir);
	add_arg(&line, "target_version", s->version);
	str_addf(&line, " --manager_version=%s", MHA_COMPAT_VERSION);
	add_arg_if(&line, "client_bindir", c->client_bindir);
	add_arg_if(&line, "client_libdir", c->client_libdir);
	if (s->relay_info_file) {
		add_arg(&line, "relay_log_info", s->relay_info_file);
		add_arg(&line, "relay_dir", s->datadir);
	} else {
		add_arg(&line, "relay_dir", s->relay_dir);
		add_arg(&line, "current_relay_log", relay_log);
	}
	if (c->log_level == LOG_LV_DEBUG)
		str_add(&line, " --debug");
	if (with_password && c->password)
		add_escaped_arg(&line, "slave_pass", c->password);
	return str_take(&line);
}

char *check_last_line(const struct host_answer *a)
{
	const char *text = *a->err_out ? a->err_out : a->out;
	const char *end = strrchr(text, '\n');

	return xstrdup(end ? end + 1 : text);
}

bool check_node_version(const struct host_answer *a, struct check_node *ret,
        enum check_code *ret_code, struct err *e)
{
	const char *p = strstr(a->out, "version ");
	int major, minor;

	*ret_code = CHECK_NODE_UNKNOWN;
	if (a->err.kind != ERR_NONE)
		return err_set(e, a->err.kind, a->err.code, "%s", a->err.text);
	if (a->status == 127 || a->status == 126) {
		*ret_code = CHECK_NODE_MISSING;
		err_set(e, ERR_REMOTE, a->status,
		        "the node tools are not there (apply_diff_relay_logs cannot be run)");
		return err_hint(
		        e, "install mhad's node part there, or say with node_bindir where it is");
	}
	if (!p || sscanf(p, "version %d.%d", &major, &minor) != 2) {
		AUTO(free) char *said = check_last_line(a);

		return err_set(e, ERR_REMOTE, a->status,
		        "the node tools do not tell their version: \"%.200s\"", said);
	}
	if (major * 1000 + minor < OLDEST_NODE_MAJOR * 1000 + OLDEST_NODE_MINOR) {
		*ret_code = CHECK_NODE_TOO_OLD;
		err_set(e, ERR_REMOTE, 0, "node version %d.%d is too old, %d.%d or later is needed",
		        major, minor, OLDEST_NODE_MAJOR, OLDEST_NODE_MINOR);
		return err_hint(e, "install mhad's node part there");
	}
	snprintf(ret->version, sizeof(ret->version), "%d.%d", major, minor);
	ret->is_ours = str_starts(a->out, "mha-node");
	return true;
}
