/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_mha - which status file is meant.  Called by masterha_check_status and masterha_stop.  Runs on:
 * the main thread.
 */
#include "cmd_mha.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "status_file.h"
#include "vec.h"

#define BASEDIR     "/usr/local/masterha"
#define SERVICE_DIR "/service"
#define PREFIX      "masterha_"

enum { SCRIPT_MS = 20000 };

/* File name without folder and last extension.  Returns owned. */
static char *app_of(const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path,
	           *dot = strrchr(base, '.');

	return xstrndup(base, dot && dot != base ? (size_t)(dot - base) : strlen(base));
}

/* It becomes part of a path. */
static bool is_app(const char *app)
{
	return *app && !strchr(app, '/') && !str_is(app, ".") && !str_is(app, "..");
}

static int bad_conf(const char *path, const struct err *e)
{
	fprintf(stderr, "Got error on conf %s: %s\n", path, e->text);
	if (*e->hint)
		fprintf(stderr, "Hint: %s\n", e->hint);
	fprintf(stderr, "Hint: with --app=NAME --manager_workdir=DIR no configuration is read.\n");
	return CMD_FAILED;
}

/* Names are not looked up: a status is wanted most when name servers do not answer either. */
static bool read_conf(struct cmd *c, const char *path, char **ret_dir, char **ret_log)
{
	struct conf_opts o = { .path = path,
		.global_path = c->global_path,
		.force_format = -1,
		.no_resolve = true,
		.deadline = clock_in(SCRIPT_MS) };
	struct err e = { 0 };
	AUTO(conf) struct conf *conf = conf_load(&o, NULL, &e);

	if (!conf) {
		bad_conf(path, &e);
		return false;
	}
	*ret_dir = xstrdup(conf->servers[0]->manager_workdir);
	*ret_log = xstrdup(conf->servers[0]->manager_log);
	return true;
}

static int with_conf(struct cmd *c, const struct cmd_mha *m, const char *name, const char *app,
        struct cmd_mha_target *t)
{
	struct err e = { 0 };
	AUTO(free) char *path = cmd_find_conf(name, &e), *dir = NULL, *log = NULL;

	if (!path)
		return bad_conf(name, &e);
	t->app = app ? xstrdup(app) : app_of(path);
	if (m->workdir)
		dir = xstrdup(m->workdir);
	else if (!read_conf(c, path, &dir, &log))
		return CMD_FAILED;
	t->log = m->log ? xstrdup(m->log) : TAKE(log);
	t->path = status_file_path(dir, t->app);
	return CMD_OK;
}

static int find(struct cmd *c, const struct cmd_mha *m, const char *app, struct cmd_mha_target *t)
{
	AUTO(free) char *conf = NULL;

	if (app && !is_app(app)) {
		fprintf(stderr, "%s: \"%s\" is no name of a cluster\n", c->verb->name, app);
		return CMD_FAILED;
	}
	if (c->conf_path && !m->all)
		return with_conf(c, m, c->conf_path, app, t);
	if (app && m->workdir) {
		t->app = xstrdup(app);
		t->log = xstrdup(m->log);
		t->path = status_file_path(m->workdir, app);
		return CMD_OK;
	}
	if (!app) {
		fprintf(stderr, "%s\n",
		        m->workdir ? "--app=<name> must be set, too."
		                   : "Either --conf or --status_dir must be set.");
		return CMD_FAILED;
	}
	conf = xasprintf("%s/conf/%s.cnf", m->basedir ? m->basedir : BASEDIR, app);
	return with_conf(c, m, conf, app, t);
}

static int one(struct cmd *c, const struct cmd_mha *m, const char *app,
        int (*each)(const struct cmd_mha_target *t, void *arg), void *arg)
{
	struct cmd_mha_target t = { 0 };
	int code = find(c, m, app, &t);

	if (code == CMD_OK)
		code = each(&t, arg);
	fflush(stdout);
	free(t.app);
	free(t.path);
	free(t.log);
	return code;
}

static int is_service(const struct dirent *entry)
{
	return str_starts(entry->d_name, PREFIX) && entry->d_name[strlen(PREFIX)];
}

int cmd_mha_each(struct cmd *c, const struct cmd_mha *m,
        int (*each)(const struct cmd_mha_target *t, void *arg), void *arg)
{
	const char *dir = m->service_dir ? m->service_dir : SERVICE_DIR;
	struct dirent **entries;
	int n, code = CMD_OK;

	if (!m->all)
		return one(c, m, m->app, each, arg);
	n = scandir(dir, &entries, is_service, alphasort);
	if (n < 0) {
		fprintf(stderr, "%s: --all: cannot read %s: %m\n", c->verb->name, dir);
		return CMD_FAILED;
	}
	for (int i = 0; i < n; i++) {
		if (one(c, m, entries[i]->d_name + strlen(PREFIX), each, arg) != CMD_OK)
			code = CMD_FAILED;
		free(entries[i]);
	}
	free(entries);
	return code;
}
