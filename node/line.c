/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * line - command lines, help and versions.
 * Runs on: main thread.
 */
#include "line.h"
#include <stdio.h>
#include <string.h>
#include "args.h"
#include "gate.h"
#include "str.h"
#include "verb.h"

static void print_version(const char *program)
{
	if (program)
		printf("%s version " MHA_COMPAT_VERSION ".\n", program);
	else
		puts("mha-node " MHAD_VERSION
		     ", compatible with MHA node version " MHA_COMPAT_VERSION ".");
}

/* `v` is NULL when the program was called by MHA's name. */
static void usage_of(FILE *to, unsigned program, const struct verb *v)
{
	if (v) {
		fprintf(to, "Usage: mha-node %s [options]\n  %s\n", v->name,
		        v->help ? v->help : "");
	} else if ((v = verb_by_command(program, NULL))) {
		fprintf(to, "Usage: %s [options]\n  %s\n", verb_program_name(program), v->help);
	} else {
		fprintf(to, "Usage: %s --command=... [options]\n\nCommands:\n",
		        verb_program_name(program));
		for (size_t i = 0; (v = verb_at(i)); i++)
			if (v->program == program && v->command)
				fprintf(to, "  %-10s %s\n", v->command, v->help);
	}
	fputs("\nOptions:\n", to);
	args_print(program, to);
}

static void usage(FILE *to)
{
	const struct verb *v;

	fputs("Usage: mha-node <verb> [options]\n\nVerbs (with MHA's name):\n", to);
	for (size_t i = 0; (v = verb_at(i)); i++) {
		if (v->help)
			fprintf(to, "  %-18s %s\n", v->name, v->help);
		if (!v->command && verb_program_name(v->program))
			fprintf(to, "%21s(%s)\n", "", verb_program_name(v->program));
		if (v->command)
			fprintf(to, "%21s(%s --command=%s)\n", "", verb_program_name(v->program),
			        v->command);
	}
	fputs("  version            print the version\n"
	      "  help               this text; `mha-node <verb> --help` for the options of a "
	      "verb\n\nexamples:\n  mha-node probe --port=3306\n"
	      "  mha-node events /var/lib/mysql/mysql-bin.000001\n",
	        to);
}

static int fail(const struct err *e)
{
	fflush(stdout);
	fprintf(stderr, "%s\n", e->text);
	if (e->hint[0])
		fprintf(stderr, "%s\n", e->hint);
	return 1;
}

static int run(const struct verb *v, const struct args *a, const struct gate *gate)
{
	struct verb_io io;
	struct err e = { 0 };
	int rc = GATE_REFUSED;

	verb_io_std(&io, v);
	io.gate = gate;
	if (!gate || gate_admits(gate, v, a, &e))
		rc = verb_call(v, a, &io, &e);
	if (e.kind != ERR_NONE)
		fail(&e);
	return rc;
}

/* `v` is NULL when the program was called by MHA's name: then --command names the verb. */
static int run_parsed(
        unsigned program, const struct verb *v, const struct args *a, const struct gate *gate)
{
	struct err e = { 0 };

	if (a->help) {
		usage_of(stdout, program, v);
		return 0;
	}
	if (a->version) {
		print_version(v ? NULL : verb_program_name(program));
		return 0;
	}
	if (!v)
		v = verb_by_command(program, a->command);
	if (v)
		return run(v, a, gate);
	if (a->command)
		err_set(&e, ERR_CONFIG, 0, "%s: unknown command: %s", verb_program_name(program),
		        a->command);
	else
		err_set(&e, ERR_CONFIG, 0, "--command=<...> must be set.");
	if (!a->command)
		usage_of(stderr, program, v);
	return fail(&e);
}

static int run_program(
        unsigned program, const struct verb *v, int argc, char **argv, const struct gate *gate)
{
	struct args a;
	struct err e = { 0 };
	int rc;

	if (!args_parse(program, argc, argv, &a, &e)) {
		usage_of(stderr, program, v);
		return fail(&e);
	}
	rc = run_parsed(program, v, &a, gate);
	args_done(&a);
	return rc;
}

static int run_node(int argc, char **argv, const struct gate *gate)
{
	const char *name = argc > 1 ? argv[1] : NULL;
	const struct verb *v = name ? verb_by_name(name) : NULL;
	unsigned program = name ? verb_program_of(name) : 0;

	if (v || program)
		return run_program(v ? v->program : program, v, argc - 1, argv + 1, gate);
	if (str_is(name, "version") || str_is(name, "--version")) {
		print_version(NULL);
		return 0;
	}
	if (str_is(name, "help") || str_is(name, "--help")) {
		usage(stdout);
		return 0;
	}
	if (name)
		fprintf(stderr, "mha-node: unknown command: %s\n", name);
	else
		usage(stderr);
	return 1;
}

int line_run(int argc, char **argv, const struct gate *gate)
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *self = slash ? slash + 1 : argc > 0 ? argv[0] : "";
	unsigned program = verb_program_of(self);

	return program ? run_program(program, NULL, argc, argv, gate) : run_node(argc, argv, gate);
}
