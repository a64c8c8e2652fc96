/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_script - init_conf_load_script: a command whose output is a level of the configuration, so
 * that passwords can be kept out of files.  Called by conf.c.  Runs on: any thread (blocks, until
 * the deadline).
 *
 * The output is in MHA's form for both file formats, since the scripts are MHA's.
 */
#include "conf_internal.h"
#include <string.h>
#include "proc.h"

/* One line name=value.  Everything behind a second '=' is lost, as in MHA. */
static void read_script_line(struct conf_reader *r, struct conf_block *b, char *line, int no)
{
	struct conf_origin at = { r->file, no };
	char *value, *rest;

	line = str_trim(line);
	value = strchr(line, '=');
	if (!value || value == line) {
		conf_tell(r->report, true, at, "it has to print name=value lines and nothing else",
		        "The line is not name=value");
		return;
	}
	*value++ = '\0';
	rest = strchr(value, '=');
	if (rest) {
		*rest = '\0';
		conf_tell(r->report, false, at, "use password_file for such a password",
		        "%.80s: the value is cut at its \"=\", as MHA does", line);
	}
	conf_block_set(r, b, str_trim(line), conf_mha_unquote(r->arena, str_trim(value)), no);
}

static void read_script_output(struct conf_reader *r, struct conf_block *b, char *out)
{
	int no = 1;

	for (char *line = strsep(&out, "\n"); line; line = strsep(&out, "\n"), no++) {
		if (out || *line) /* nothing behind the last newline is no line */
			read_script_line(r, b, line, no);
	}
}

static void tell_script_failed(struct conf_reader *r, const struct proc_result *p)
{
	struct conf_origin at = { r->file, 0 };

	if (p->late)
		conf_tell(r->report, true, at, NULL, "The script did not end in time");
	else if (p->signal)
		conf_tell(
		        r->report, true, at, NULL, "The script was ended by signal %d", p->signal);
	else if (p->status)
		conf_tell(r->report, true, at, NULL,
		        "The script failed with exit status %d: %.200s", p->status, p->err.p);
	else if (p->cut)
		conf_tell(r->report, true, at, NULL, "The script printed too much");
}

struct conf_block *conf_script_run(struct conf_reader *r, const char *command, int64_t deadline)
{
	const char *const argv[] = { "sh", "-c", command, NULL };
	struct proc_opts o = { .argv = argv, .deadline = deadline };
	struct conf_block *b;
	struct proc_result p;
	struct err e = { 0 };

	r->file = arena_printf(r->arena, CONF_SCRIPT_ORIGIN "%s", command);
	b = conf_block_get(r, CONF_KIND_DEFAULTS, "script", 0);
	if (!proc_run(&o, &p, &e)) {
		conf_tell(
		        r->report, true, (struct conf_origin){ r->file, 0 }, e.hint, "%s", e.text);
		return b;
	}
	if (p.late || p.signal || p.status || p.cut)
		tell_script_failed(r, &p);
	else
		read_script_output(r, b, p.out.p);
	mem_wipe(p.out.p, p.out.len);
	proc_done(&p);
	return b;
}
