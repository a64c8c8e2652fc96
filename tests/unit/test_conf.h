/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of conf share: files in a throw-away folder, loaded, with all problems at hand.
 */
#pragma once
#include "conf.h"
#include "clock.h"
#include "str.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define UNUSED __attribute__((unused))

static char dir[64], global_file[96];
static struct conf *c;
static struct conf_report report;
static struct err err;
static struct conf_opts opts;

/* Returns a text that lives until the fourth next call. */
static const char *path_of(const char *name)
{
	static char paths[4][128];
	static int next;
	char *p = paths[next++ % 4];

	snprintf(p, sizeof(paths[0]), "%s/%s", dir, name);
	return p;
}

static UNUSED void write_bytes(const char *name, const void *bytes, size_t n, mode_t mode)
{
	AUTO_FD int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	assert_int_equal(fchmod(fd, mode), 0);
}

static UNUSED void write_text(const char *name, const char *text)
{
	write_bytes(name, text, strlen(text), 0600);
}

static void forget_conf(void)
{
	conf_free(c);
	c = NULL;
	conf_report_done(&report);
	memset(&err, 0, sizeof(err));
}

static bool load(const char *name)
{
	forget_conf();
	opts.path = path_of(name);
	c = conf_load(&opts, &report, &err);
	assert_true(c ? err.kind == ERR_NONE : err.kind == ERR_CONFIG);
	return c;
}

/* Line of the first problem whose text or hint has `text`; -1 when there is none. */
static UNUSED int problem_line(bool fatal, const char *file, const char *text)
{
	for (size_t i = 0; i < report.len; i++) {
		const struct conf_problem *p = &report.items[i];

		if (p->fatal == fatal && strstr(p->file, file) &&
		        (strstr(p->text, text) || strstr(p->hint, text)))
			return p->line;
	}
	return -1;
}

static UNUSED void print_report(void)
{
	for (size_t i = 0; i < report.len; i++)
		print_message("%s %s:%d: %s (%s)\n", report.items[i].fatal ? "fatal" : "warning",
		        report.items[i].file, report.items[i].line, report.items[i].text,
		        report.items[i].hint);
}

static UNUSED const struct conf_server *server(const char *id)
{
	for (size_t i = 0; c && i < c->n_servers; i++) {
		if (str_is(c->servers[i]->id, id))
			return c->servers[i];
	}
	fail_msg("no server %s", id);
	return NULL;
}

/* Up to four values at a time. */
static UNUSED const char *value(const char *id, enum conf_key k)
{
	static char values[4][256];
	static int next;
	char *p = values[next++ % 4];
	AUTO(free) char *text = conf_value_text(server(id), k);

	snprintf(p, sizeof(values[0]), "%s", text);
	return p;
}

static int start(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/mhad-test-conf-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(global_file, sizeof(global_file), "%s/global.cnf", dir);
	opts = (struct conf_opts){
		.global_path = global_file, .no_resolve = true, .deadline = clock_in(20000)
	};
	return 0;
}

static int stop(void **state)
{
	AUTO(free) char *command = xasprintf("rm -rf %s", dir);

	(void)state;
	forget_conf();
	return system(command);
}
