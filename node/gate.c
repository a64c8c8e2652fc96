/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gate - the host's own list of what the manager's key may do.
 * Runs on: any thread.
 */
#include "gate.h"
#include <arpa/inet.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>
#include "dir.h"
#include "line.h"
#include "reach.h"
#include "str.h"
#include "vec.h"

#define CONF_MAX     (64 << 10)
#define DEFAULT_PORT 3306

typedef VEC(char *) texts;

struct gate {
	texts directories; /* as the kernel knows them */
	texts addresses;
	texts verbs; /* empty: all */
	VEC(int64_t) ports;
	struct err shut; /* why nothing at all is admitted */
};

/* How the value of an option is looked at.  Flags carry none. */
enum rule {
	RULE_NONE,
	RULE_PLAIN, /* means nothing outside of the verb, which checks it */
	RULE_NAME,  /* of a file in a folder that another option names */
	RULE_PATH,  /* in an allowed folder, or the folder; "-" is our own input or output */
	RULE_PATHS, /* comma list of them */
	RULE_PORT,
	RULE_ADDRESS,   /* with an optional /prefix */
	RULE_FORBIDDEN, /* commands for other programs, or ways to other hosts */
};

static const struct {
	enum rule rule;
	const char *options; /* between blanks */
} rules[] = {
	{ RULE_PLAIN,
	        " command manager_version target_version timeout token label user password host "
	        "splay"
	        " slave_user slave_pass slave_host slave_ip channel applier have previous_gtids"
	        " keep_open handle_raw_binlog disable_log_bin start_pos target_rmlp server_id"
	        " apply_timeout scp_user scp_port timeout_ms from bytes crc " },
	{ RULE_NAME, " start_file binlog_prefix current_relay_log latest_mlf target_mlf device " },
	{ RULE_PATH,
	        " output_file index relay_dir relay_log_info datadir workdir write-test-dir socket"
	        " defaults_file diff_file_readtolatest " },
	{ RULE_PATHS, " binlog_dir apply_files " },
	{ RULE_PORT, " port slave_port " },
	{ RULE_ADDRESS, " address " },
	{ RULE_FORBIDDEN, " scp_host ssh_options conf " },
};

static enum rule rule_of(const char *option)
{
	AUTO(free) char *word = xasprintf(" %s ", option);

	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (strstr(rules[i].options, word))
			return rules[i].rule;
	return RULE_NONE;
}

bool gate_knows(const char *option)
{
	return rule_of(option) != RULE_NONE;
}

static void texts_free(texts *t)
{
	vec_each (char *, p, t)
		free(*p);
	vec_done(t);
}

void gate_free(struct gate *g)
{
	if (!g)
		return;
	texts_free(&g->directories);
	texts_free(&g->addresses);
	texts_free(&g->verbs);
	vec_done(&g->ports);
	free(g);
}

static bool has(const texts *t, const char *text)
{
	vec_each (char *, p, t)
		if (str_is(*p, text))
			return true;
	return false;
}

static bool is_address(const char *text)
{
	unsigned char to[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, text, to) == 1 || inet_pton(AF_INET6, text, to) == 1;
}

static bool add_setting(struct gate *g, const char *key, const char *value, struct err *e)
{
	char real[PATH_MAX];
	long long port;

	if (str_is(key, "directory")) {
		if (value[0] != '/')
			return err_set(e, ERR_CONFIG, 0, "\"%s\" is not an absolute path", value);
		/* One that is not there yet is kept as it is written. */
		vec_push(&g->directories, xstrdup(realpath(value, real) ? real : value));
	} else if (str_is(key, "port")) {
		if (!str_to_int(value, 1, 65535, &port))
			return err_set(e, ERR_CONFIG, 0, "\"%s\" is not a port", value);
		vec_push(&g->ports, port);
	} else if (str_is(key, "address")) {
		if (!is_address(value))
			return err_set(e, ERR_CONFIG, 0, "\"%s\" is not an IP address", value);
		vec_push(&g->addresses, xstrdup(value));
	} else if (str_is(key, "verb")) {
		if (!verb_by_name(value))
			return err_set(e, ERR_CONFIG, 0, "there is no verb \"%s\"", value);
		vec_push(&g->verbs, xstrdup(value));
	} else {
		err_set(e, ERR_CONFIG, 0, "unknown setting \"%s\"", key);
		return err_hint(e, "known are directory, port, address and verb");
	}
	return true;
}

static bool add_line(struct gate *g, char *line, struct err *e)
{
	char *key = str_trim(line), *value = strchr(key, '=');

	if (!*key || *key == '#')
		return true;
	if (!value)
		return err_set(e, ERR_CONFIG, 0, "\"%s\" is not <setting> = <value>", key);
	*value++ = '\0';
	return add_setting(g, str_trim(key), str_trim(value), e);
}

struct gate *gate_parse(const char *text, struct err *e)
{
	AUTO(gate) struct gate *g = xzalloc(sizeof(*g));
	AUTO(free) char *copy = xstrdup(text);
	char *rest = copy, *line;

	for (int n = 1; (line = strsep(&rest, "\n")); n++)
		if (!add_line(g, line, e)) {
			err_ctx(e, "line %d", n);
			return NULL;
		}
	return TAKE(g);
}

static bool check_owner(int fd, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, "look at it");
	if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return err_set(e, ERR_CONFIG, 0, "others than root can write to it");
	return true;
}

static struct gate *load(const char *path, struct err *e)
{
	AUTO_FD int fd = dir_open_file(path, e);
	char text[CONF_MAX + 1];
	ssize_t n;

	if (fd < 0 || !check_owner(fd, e))
		return NULL;
	n = read(fd, text, sizeof(text));
	if (n < 0) {
		err_sys(e, "read");
		return NULL;
	}
	if (n > CONF_MAX || memchr(text, 0, (size_t)n)) {
		err_set(e, ERR_CONFIG, 0, "longer than %d bytes, or no text", CONF_MAX);
		return NULL;
	}
	text[n] = '\0';
	return gate_parse(text, e);
}

struct gate *gate_load(const char *path, struct err *e)
{
	struct gate *g = load(path, e);

	if (!g)
		err_ctx(e, "%s", path);
	return g;
}

/* What the path leads to, its last parts not necessarily there: false if it is not absolute, or has
 * "..". */
static bool resolve(const char *path, char ret[PATH_MAX])
{
	AUTO(free) char *head = xstrdup(path);
	char *end = head + strlen(head);
	int n;

	if (path[0] != '/' || strlen(path) >= PATH_MAX || strstr(path, "/../") ||
	        str_ends(path, "/.."))
		return false;
	while (!realpath(*head ? head : "/", ret)) {
		struct stat st;

		/* A link that leads nowhere yet could lead anywhere later. */
		if (!*head || lstat(head, &st) == 0)
			return false;
		while (end > head && *end != '/')
			end--;
		*end = '\0';
	}
	n = (int)strlen(ret);
	if (str_is(ret, "/"))
		n = 0;
	return snprintf(ret + n, (size_t)(PATH_MAX - n), "%s", path + strlen(head)) < PATH_MAX - n;
}

static bool may_path(const struct gate *g, const char *path)
{
	char real[PATH_MAX];

	if (str_is(path, "-"))
		return true;
	if (!resolve(path, real))
		return false;
	vec_each (char *, d, &g->directories) {
		size_t n = strlen(*d);

		while (n && (*d)[n - 1] == '/')
			n--;
		if (strncmp(real, *d, n) == 0 && (!real[n] || real[n] == '/'))
			return true;
	}
	return false;
}

static bool may_paths(const struct gate *g, const char *list)
{
	AUTO(free) char *copy = xstrdup(list);
	char *rest = copy, *one;

	while ((one = strsep(&rest, ",")))
		if (!may_path(g, str_trim(one)))
			return false;
	return true;
}

static bool may_port(const struct gate *g, int64_t port)
{
	vec_each (int64_t, p, &g->ports)
		if (*p == port)
			return true;
	return false;
}

static bool may_address(const struct gate *g, const char *address)
{
	AUTO(free) char *bare = xstrndup(address, strcspn(address, "/"));

	return has(&g->addresses, bare);
}

static bool is_name(const char *name)
{
	return *name && !strchr(name, '/') && !str_is(name, ".") && !str_is(name, "..");
}

static bool admit_text(const struct gate *g, const char *option, const char *value, struct err *e)
{
	switch (rule_of(option)) {
	case RULE_PLAIN: return true;
	case RULE_NAME:
		return is_name(value) ||
		       err_set(e, ERR_REFUSED, 0, "--%s=%s is not a bare name", option, value);
	case RULE_PATH:
	case RULE_PATHS:
		if (rule_of(option) == RULE_PATH ? may_path(g, value) : may_paths(g, value))
			return true;
		return err_set(e, ERR_REFUSED, 0, "--%s=%s is in no folder that is allowed here",
		        option, value);
	case RULE_ADDRESS:
		return may_address(g, value) ||
		       err_set(e, ERR_REFUSED, 0, "--%s=%s is not allowed here", option, value);
	default: return err_set(e, ERR_REFUSED, 0, "--%s is not allowed here", option);
	}
}

static bool admit_port(const struct gate *g, const char *option, int64_t port, struct err *e)
{
	return may_port(g, port) ||
	       err_set(e, ERR_REFUSED, 0, "--%s=%lld is not allowed here", option, (long long)port);
}

static bool admit_option(
        void *arg, const char *option, enum opt_type type, const void *value, struct err *e)
{
	const struct gate *g = arg;
	int64_t number;

	switch (type) {
	case OPT_FLAG: return true;
	case OPT_INT:
		number = *(const int64_t *)value;
		if (rule_of(option) == RULE_PORT)
			return !number || admit_port(g, option, number, e);
		return rule_of(option) == RULE_PLAIN ||
		       err_set(e, ERR_REFUSED, 0, "--%s is not allowed here", option);
	default: return !*(char *const *)value || admit_text(g, option, *(char *const *)value, e);
	}
}

/* The port of a server that the verb would log in to without being told one. */
static bool admit_default_port(
        const struct gate *g, const struct verb *v, const struct args *a, struct err *e)
{
	bool logs_in = v->program == ARGS_PURGE || str_is(v->name, "apply");

	if (!logs_in || a->port)
		return true;
	return admit_port(g, "port", DEFAULT_PORT, e);
}

/* Other hosts are what it is for, and no list of ours names them: just what a server says to
 * everybody, and no other port scanner. */
static bool admit_reach(const struct args *a, struct err *e)
{
	if (!a->mysql)
		return err_set(e, ERR_REFUSED, 0, "without --mysql it is not allowed here");
	if (a->host && !reach_is_host(a->host))
		return err_set(e, ERR_REFUSED, 0, "--host is neither name nor address");
	return !a->from || is_address(a->from) ||
	       err_set(e, ERR_REFUSED, 0, "--from is not an address");
}

static bool admit_words(const struct gate *g, const struct args *a, struct err *e)
{
	for (int i = 0; i < a->word_count; i++)
		if (!may_path(g, a->words[i]))
			return err_set(e, ERR_REFUSED, 0, "%s is in no folder that is allowed here",
			        a->words[i]);
	return true;
}

bool gate_admits(const struct gate *g, const struct verb *v, const struct args *a, struct err *e)
{
	struct err why = { 0 };
	bool ok;

	if (g->shut.kind != ERR_NONE)
		ok = err_set(&why, ERR_REFUSED, 0, "%s", g->shut.text);
	else if ((v->flags & VERB_LOCAL) || (g->verbs.len && !has(&g->verbs, v->name)))
		ok = err_set(&why, ERR_REFUSED, 0, "it is not allowed here");
	else if (v->program == ARGS_REACH)
		ok = admit_reach(a, &why);
	else
		ok = args_each(v->program, a, admit_option, (void *)(uintptr_t)g, &why) &&
		     admit_default_port(g, v, a, &why) && admit_words(g, a, &why);
	if (ok)
		return true;
	err_ctx(&why, "%s refused", v->name);
	err_hint(&why, "the host's own list is %s/node.conf", MHAD_SYSCONFDIR);
	gate_log_refusal(&why);
	if (e)
		*e = why;
	return false;
}

void gate_log_refusal(const struct err *e)
{
	openlog("mha-node", LOG_PID, LOG_AUTHPRIV);
	syslog(LOG_WARNING, "gate: %s", e->text);
}

/* Never NULL: without a list nothing is on it. */
static struct gate *load_or_shut(const char *path)
{
	struct err why = { 0 };
	struct gate *g = gate_load(path, &why);

	if (!g) {
		g = xzalloc(sizeof(*g));
		g->shut = why;
	}
	return g;
}

static int run_line(struct gate_line *l, const char *conf)
{
	AUTO(gate) struct gate *g = load_or_shut(conf ? conf : MHAD_SYSCONFDIR "/node.conf");

	return l->argc ? line_run(l->argc, l->argv, g) : 0;
}

int gate_verb(const struct args *a, struct verb_io *io, struct err *e)
{
	AUTO(free) char *command = xstrdup(getenv("SSH_ORIGINAL_COMMAND"));
	struct gate_line line;
	int rc;

	(void)io;
	clearenv();
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	umask(077);
	if (!command)
		err_set(e, ERR_REFUSED, 0,
		        "this key is for commands of the manager, not for logins");
	if (!command || !gate_line_read(command, &line, e)) {
		gate_log_refusal(e);
		return GATE_REFUSED;
	}
	mem_wipe(command, strlen(command));
	rc = run_line(&line, a->conf);
	gate_line_done(&line);
	return rc;
}
