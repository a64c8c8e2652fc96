/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Command lines that come through the gate: whatever is taken is one program of ours and its words, and, quoted
 * again, means the same; no byte that a shell would act on was taken for one outside of quotes; and what is admitted
 * names no file outside of the allowed folder.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include "args.h"
#include "gate.h"
#include "str.h"

#define ALLOWED "/no/such/folder"

enum { LINE_LONGEST = 64 << 10 };

static struct gate *gate;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "violated: %s\n", what);
	abort();
}

/* Refusals are told to it. */
void openlog(const char *ident, int option, int facility)
{
	(void)ident, (void)option, (void)facility;
}

void syslog(int priority, const char *format, ...)
{
	must((priority & LOG_PRIMASK) == LOG_WARNING && format[0], "refusals are warnings");
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	gate = gate_parse("directory = " ALLOWED "\nport = 3306\naddress = 192.0.2.1\n", NULL);
	return gate ? 0 : 1;
}

static void again(const struct gate_line *l)
{
	AUTO_STR struct str line = STR_INIT;
	struct gate_line two;

	for (int i = 0; i < l->argc; i++) {
		str_add(&line, i ? " " : "");
		str_add_shell(&line, l->argv[i]);
	}
	if (line.len > LINE_LONGEST)
		return;
	must(gate_line_read(line.p, &two, NULL), "quoted again, it is taken");
	must(two.argc == l->argc, "as many words");
	for (int i = 0; i < l->argc; i++)
		must(str_is(two.argv[i], l->argv[i]), "the same words");
	gate_line_done(&two);
}

/* Empty parts and "." lead nowhere else; ".." would. */
static bool is_inside(const char *path)
{
	AUTO(free) char *copy = xstrdup(path);
	AUTO_STR struct str plain = STR_INIT;
	char *rest = copy, *part;
	size_t n = strlen(ALLOWED);

	while ((part = strsep(&rest, "/"))) {
		if (str_is(part, ".."))
			return false;
		if (*part && !str_is(part, "."))
			str_addf(&plain, "/%s", part);
	}
	return str_is(path, "-") || (path[0] == '/' && strncmp(plain.p, ALLOWED, n) == 0 &&
	                                    (!plain.p[n] || plain.p[n] == '/'));
}

static bool check_option(
        void *arg, const char *option, enum opt_type type, const void *value, struct err *e)
{
	static const char paths[] = " output_file index relay_dir relay_log_info datadir workdir"
	                            " write-test-dir socket defaults_file diff_file_readtolatest"
	                            " conf ",
	                  lists[] = " binlog_dir apply_files ";
	AUTO(free) char *word = xasprintf(" %s ", option);
	AUTO(free) char *list = NULL;
	char *rest, *one;

	(void)arg, (void)e;
	if (type != OPT_STR || !*(char *const *)value)
		return true;
	must(!strstr(paths, word) || is_inside(*(char *const *)value), "a file in the folder");
	rest = list = strstr(lists, word) ? xstrdup(*(char *const *)value) : NULL;
	while ((one = strsep(&rest, ",")))
		must(is_inside(str_trim(one)), "files in the folder");
	return true;
}

static void check_admitted(const struct verb *v, const struct args *a)
{
	must(!(v->flags & VERB_LOCAL), "a verb for others");
	must(!a->port || a->port == 3306 || v->program == ARGS_REACH, "an allowed port");
	must(!a->scp_host && !a->ssh_options, "no way to other hosts");
	(void)!args_each(v->program, a, check_option, NULL, NULL);
	for (int i = 0; i < a->word_count; i++)
		must(is_inside(a->words[i]), "words are in the allowed folder");
}

/* As line_run() does, without running it. */
static void try_it(struct gate_line *l)
{
	unsigned program = verb_program_of(l->argv[0]);
	const struct verb *v = NULL;
	struct args a;
	struct err e = { 0 };
	int first = program ? 0 : 1;

	if (!program && l->argc > 1 && (v = verb_by_name(l->argv[1])))
		program = v->program;
	if (!program || !args_parse(program, l->argc - first, l->argv + first, &a, NULL))
		return;
	if (!v)
		v = verb_by_command(program, a.command);
	if (v && gate_admits(gate, v, &a, &e))
		check_admitted(v, &a);
	else
		must(!v || (e.kind == ERR_REFUSED && e.text[0]), "refusals have a reason");
	args_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(free) char *line = xstrndup((const char *)data, size);
	struct err e = { 0 };
	struct gate_line l;

	if (!gate_line_read(line, &l, &e)) {
		must(e.kind == ERR_REFUSED && e.text[0], "refusals have a reason");
		return 0;
	}
	must(e.kind == ERR_NONE, "no error without refusal");
	must(!l.argc || str_is(l.argv[0], "mha-node") || verb_program_of(l.argv[0]),
	        "a program of ours");
	if (!strchr(line, '\''))
		must(!strpbrk(line, ";&|<>()$`\"*?[]{}~#!\n") || strchr(line, '\\'),
		        "nothing for a shell");
	if (l.argc) {
		again(&l);
		try_it(&l);
	}
	gate_line_done(&l);
	return 0;
}
