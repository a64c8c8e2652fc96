/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_gate - command lines that come through the gate: whatever is admitted is one program of ours
 * and its words, and, quoted again, means the same; and no byte that a shell would act on was taken
 * for one outside of quotes. What is tested is included, since fuzzers are linked with common/
 * only.
 */
#include <stdint.h>
#include <stdio.h>
#include "gate_line.c" // NOLINT(bugprone-suspicious-include)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

unsigned verb_program_of(const char *name)
{
	return str_starts(name, "save_") || str_starts(name, "apply_diff_relay_logs");
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "violated: %s\n", what);
	abort();
}

static void again(const struct gate_line *l)
{
	AUTO_STR struct str line = STR_INIT;
	struct gate_line two;

	for (int i = 0; i < l->argc; i++) {
		str_add(&line, i ? " " : "");
		str_add_shell(&line, l->argv[i]);
	}
	must(gate_line_read(line.p, &two, NULL) || line.len > LINE_MAX_BYTES,
	        "quoted again, it is admitted");
	if (line.len > LINE_MAX_BYTES)
		return;
	must(two.argc == l->argc, "as many words");
	for (int i = 0; i < l->argc; i++)
		must(str_is(two.argv[i], l->argv[i]), "the same words");
	gate_line_done(&two);
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
	must(l.argc <= WORDS_MAX && (!l.argc || known_program(l.argv[0])), "a program of ours");
	if (!strchr(line, '\''))
		must(!strpbrk(line, ";&|<>()$`\"*?[]{}~#!\n") || strchr(line, '\\'),
		        "nothing for a shell");
	if (l.argc)
		again(&l);
	gate_line_done(&l);
	return 0;
}
