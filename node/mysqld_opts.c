/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mysqld_opts - reads my.cnf and mysqld's command line.  Runs on: any thread.
 */
#include "mysqld_opts.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "str.h"

#define FILES_MAX       200       /* of one server */
#define DEPTH_MAX       10        /* files that include files; the servers' own limit */
#define LINES_MAX       (1 << 17) /* nobody's my.cnf is longer */
#define DATADIR_DEFAULT "/var/lib/mysql"

static const char *const usual_files[] = { "/etc/my.cnf", "/etc/mysql/my.cnf", "/usr/etc/my.cnf" };

struct reader {
	const char *root;
	const char *group;  /* NULL: the groups of every server; else one group alone */
	const char *suffix; /* of --defaults-group-suffix, or "" */
	int files, depth;
	struct mysqld_opts *to;
	/* For mysqld_opts_of_port(): names of all groups "mysqld..." that are met. */
	struct str *groups;
};

/* ---- one option ---- */

static void set_text(
        char to[512], enum mysqld_source *ret_by, const char *value, enum mysqld_source by)
{
	if (strlen(value) < 512)
		memcpy(to, value, strlen(value) + 1);
	else
		to[0] = '\0'; /* better unknown than wrong */
	if (ret_by)
		*ret_by = by;
}

/* `name` as typed, without its dashes. */
static bool is_option(const char *name, size_t len, const char *option)
{
	if (len >= 6 && strncmp(name, "loose", 5) == 0 && (name[5] == '-' || name[5] == '_')) {
		name += 6;
		len -= 6;
	}
	if (len != strlen(option))
		return false;
	for (size_t i = 0; i < len; i++)
		if ((name[i] == '_' ? '-' : name[i]) != option[i])
			return false;
	return true;
}

static bool wants_value(const char *name, size_t len)
{
	return is_option(name, len, "port") || is_option(name, len, "datadir") ||
	       is_option(name, len, "pid-file");
}

static void take(struct mysqld_opts *o, const char *name, size_t len, const char *value,
        enum mysqld_source by)
{
	long long port;

	if (is_option(name, len, "port")) {
		if (str_to_int(value, 0, 65535, &port)) {
			o->port = port ? (int)port : MYSQLD_DEFAULT_PORT;
			o->port_by = by;
		}
	} else if (is_option(name, len, "datadir")) {
		set_text(o->datadir, &o->datadir_by, value, by);
	} else if (is_option(name, len, "pid-file")) {
		set_text(o->pid_file, NULL, value, by);
	}
}

/* ---- option files ---- */

static const char *const server_groups[] = { "mysqld", "server", "mariadb", "mariadbd",
	"client-server", "galera" };

/* "mysqld", "mysqld-8.0" (any version: a group of another one is rare, and of the same host). */
static bool is_server_group(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(server_groups); i++) {
		size_t n = strlen(server_groups[i]);

		if (len < n || strncmp(name, server_groups[i], n) != 0)
			continue;
		if (len == n ||
		        (name[n] == '-' && len > n + 1 && isdigit((unsigned char)name[n + 1])))
			return true;
	}
	return false;
}

static bool reads_group(struct reader *r, const char *name)
{
	size_t len = strlen(name), suffix = strlen(r->suffix);

	if (r->groups && str_starts(name, "mysqld") && !is_server_group(name, len))
		str_addn(r->groups, name, len + 1);
	if (r->group)
		return str_is(name, r->group);
	if (is_server_group(name, len))
		return true;
	return suffix && str_ends(name, r->suffix) && is_server_group(name, len - suffix);
}

static char *unquote(char *value)
{
	size_t n = strlen(value);

	if (n >= 2 && (*value == '"' || *value == '\'') && value[n - 1] == *value) {
		value[n - 1] = '\0';
		return value + 1;
	}
	return value;
}

/* A '#' ends a line unless it is quoted. */
static void cut_comment(char *line)
{
	char quote = 0;

	for (char *p = line; *p; p++) {
		if (quote) {
			quote = *p == quote ? 0 : quote;
		} else if (*p == '"' || *p == '\'') {
			quote = *p;
		} else if (*p == '#') {
			*p = '\0';
			return;
		}
	}
}

static void read_option(struct reader *r, char *line)
{
	char *value, *name;

	cut_comment(line);
	value = strchr(line, '=');
	if (!value)
		return;
	*value++ = '\0';
	name = str_trim(line);
	take(r->to, name, strlen(name), unquote(str_trim(value)), MYSQLD_OPT_FILE);
}

static void read_file(struct reader *r, const char *path, bool must);

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_cnf(const struct dirent *d)
{
	return str_ends(d->d_name, ".cnf");
}

static void read_folder(struct reader *r, const char *path)
{
	AUTO(free) char *full = xasprintf("%s%s", r->root, path);
	struct dirent **names;
	int n = scandir(full, &names, is_cnf, by_name);

	if (n < 0) {
		r->to->incomplete |= errno != ENOENT;
		return;
	}
	for (int i = 0; i < n; i++) {
		AUTO(free) char *file = xasprintf("%s/%s", path, names[i]->d_name);

		read_file(r, file, true);
		free(names[i]);
	}
	free(names);
}

/* Whether the following lines are ours. */
static bool read_line(struct reader *r, char *line, bool ours)
{
	if (*line == '[') {
		line[strcspn(line, "]")] = '\0';
		return reads_group(r, str_trim(line + 1));
	}
	if (str_starts(line, "!includedir"))
		read_folder(r, str_trim(line + strlen("!includedir")));
	else if (str_starts(line, "!include"))
		read_file(r, str_trim(line + strlen("!include")), true);
	else if (ours && *line != '#' && *line != ';' && *line != '!')
		read_option(r, line);
	return ours;
}

/* Never waits: a pipe in place of a file would. */
static FILE *open_file(const char *root, const char *path)
{
	AUTO(free) char *full = xasprintf("%s%s", root, path);
	int fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	FILE *f;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (f = fdopen(fd, "r")))
		return f;
	close(fd);
	errno = EINVAL;
	return NULL;
}

/* `must`: it is named by somebody, so that its absence means that we do not know all. */
static void read_file(struct reader *r, const char *path, bool must)
{
	AUTO(free) char *line = NULL;
	size_t size = 0;
	bool ours = false;
	FILE *f;

	if (++r->files > FILES_MAX || r->depth >= DEPTH_MAX) {
		r->to->incomplete = true;
		return;
	}
	if (*path != '/' || !(f = open_file(r->root, path))) {
		r->to->incomplete |= must || (*path == '/' && errno != ENOENT);
		return;
	}
	r->depth++;
	for (int n = 0; n < LINES_MAX && getline(&line, &size, f) > 0; n++)
		ours = read_line(r, str_trim(line), ours);
	r->depth--;
	fclose(f);
}

static void read_usual_files(struct reader *r)
{
	for (size_t i = 0; i < ARRAY_LEN(usual_files); i++)
		read_file(r, usual_files[i], false);
}

/* ---- command line ---- */

/* The value of "--name=value"; NULL when `word` is something else. */
static const char *value_of(const char *word, const char *option)
{
	size_t len = strcspn(word, "=");

	if (!str_starts(word, "--") || word[len] != '=' || !is_option(word + 2, len - 2, option))
		return NULL;
	return word + len + 1;
}

static void read_files_of(const char *root, char *const *words, struct mysqld_opts *o)
{
	const char *only = NULL, *extra = NULL, *suffix = "";
	struct reader r = { .root = root, .to = o };
	bool none = false;

	for (char *const *w = words + 1; words[0] && *w; w++) {
		const char *v;

		if ((v = value_of(*w, "defaults-file")))
			only = v;
		else if ((v = value_of(*w, "defaults-extra-file")))
			extra = v;
		else if ((v = value_of(*w, "defaults-group-suffix")))
			suffix = v;
		none |= str_is(*w, "--no-defaults");
	}
	r.suffix = suffix;
	if (none)
		return;
	if (only) {
		read_file(&r, only, true);
		return;
	}
	read_usual_files(&r);
	if (extra)
		read_file(&r, extra, true);
}

/* How many words it takes. */
static int read_word(struct mysqld_opts *o, const char *word, const char *next)
{
	enum mysqld_source by = MYSQLD_OPT_COMMAND_LINE;

	if (str_starts(word, "--")) {
		size_t len = strcspn(word + 2, "=");

		if (word[2 + len] == '=')
			take(o, word + 2, len, word + 3 + len, by);
		else if (next && wants_value(word + 2, len)) {
			take(o, word + 2, len, next, by);
			return 2;
		}
	} else if (str_starts(word, "-P") || str_starts(word, "-h")) {
		const char *name = word[1] == 'P' ? "port" : "datadir";

		if (word[2])
			take(o, name, strlen(name), word + 2, by);
		else if (next) {
			take(o, name, strlen(name), next, by);
			return 2;
		}
	}
	return 1;
}

void mysqld_opts_read(const char *root, char *const *words, struct mysqld_opts *ret)
{
	struct mysqld_opts o = { .port = MYSQLD_DEFAULT_PORT };

	read_files_of(root, words, &o);
	for (char *const *w = words; words[0] && *++w;)
		w += read_word(&o, *w, w[1]) - 1;
	*ret = o;
}

bool mysqld_opts_of_port(const char *root, int port, struct mysqld_opts *ret)
{
	AUTO_STR struct str groups = STR_INIT;
	struct mysqld_opts all = { .port = MYSQLD_DEFAULT_PORT };
	struct reader r = { .root = root, .suffix = "", .to = &all, .groups = &groups };

	read_usual_files(&r);
	if (all.port == port) {
		if (!all.datadir[0])
			strcpy(all.datadir, DATADIR_DEFAULT);
		*ret = all;
		return true;
	}
	for (const char *g = groups.p; g < groups.p + groups.len; g += strlen(g) + 1) {
		struct mysqld_opts one = all;
		struct reader again = { .root = root, .group = g, .suffix = "", .to = &one };

		one.port = 0;
		read_usual_files(&again);
		if (one.port == port) {
			*ret = one;
			return true;
		}
	}
	return false;
}
