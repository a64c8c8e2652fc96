/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gate - what an SSH key may do that is bound to `mha-node gate` as its forced command.  Runs on:
 * any thread, but gate_verb() on the main one.
 *
 * Nothing of the command line meets a shell: it is split here, and the verbs are called in this
 * process.  Admitted are the verbs of verb.h under their own names and MHA's, version questions and
 * `exit 0`.  A host-side file (etc/node.conf) says which verbs, folders, ports and addresses; it is
 * closed: without the file nothing but version and `exit 0`, and an option that this module does
 * not know is refused.
 *
 * Refusals are told to syslog as well as returned, with what and why but never with values that may
 * be secret.
 */
#pragma once
#include "verb.h"

struct gate;

#define GATE_REFUSED 126 /* exit status */

/* Read the file, which must belong to root or us and be writable for nobody else.  Returns owned;
 * NULL: ERR_CONFIG. */
struct gate *gate_load(const char *path, struct err *e) MUST_USE;
struct gate *gate_parse(const char *text, struct err *e) MUST_USE;
void gate_free(struct gate *g);
CLEANUP_FN(gate, struct gate *, gate_free)

/* Whether the verb may be called with these arguments (after defaults).  ERR_REFUSED. */
bool gate_admits(
        const struct gate *g, const struct verb *v, const struct args *a, struct err *e) MUST_USE;

/* Whether the gate has a rule for the option of that name: for the test that none is forgotten. */
bool gate_knows(const char *option);

struct gate_line {
	int argc;    /* 0: `exit 0` */
	char **argv; /* NULL-terminated; words of `text`, which may be written to */
	char *text;
	size_t size;
};

/*
 * Split a command line as the manager writes it: plain words, '...', and backslashes before single
 * characters.  Whatever else a shell would act on is refused (ERR_REFUSED).  The question for the
 * version of either generation of node tools, which needs a shell, is known and becomes `mha-node
 * version`.  Call gate_line_done() on success.
 */
bool gate_line_read(const char *line, struct gate_line *ret, struct err *e) MUST_USE;
void gate_line_done(struct gate_line *l);

/* Tell syslog. */
void gate_log_refusal(const struct err *e);

/* `mha-node gate [--conf=FILE]`: run SSH_ORIGINAL_COMMAND. */
int gate_verb(const struct args *a, struct verb_io *io, struct err *e);
