/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * opt - command lines, read as MHA's users type them.  Runs on: any thread.  Logs: never.
 *
 * Long options with one or two dashes, in any letter case, with `_` or `-` between the words,
 * shortened as long as they stay unique; `--name=value` and `--name value` (the next word, whatever
 * it looks like); `--` ends the options; options and other words may be mixed.  Unlike MHA's, a
 * command line with an unknown option, or with a value for a flag, is refused: in MHA a mistyped
 * `--ignore_last_failover=1` was silently not there.
 *
 *	struct opt opts[] = {
 *		{ "conf", OPT_STR, .to = &o.conf, .arg = "FILE", .help = "cluster file" },
 *		{ "workdir|manager_workdir", OPT_STR, .to = &o.workdir }, // with an alias
 *		{ "start_pos", OPT_INT, .to = &o.start_pos, .min = 4, .max = INT64_MAX },
 *		{ "master_server_id", OPT_INT, .to = NULL }, // accepted, not used
 *		{ "json", OPT_FLAG, .to = &o.json, .help = "machine-readable output" },
 *		{ 0 },
 *	};
 */
#pragma once
#include <stdint.h>
#include "str.h"

enum opt_type {
	OPT_FLAG, /* bool *: set to true; takes no value */
	OPT_STR,  /* const char **: borrowed from argv; may be empty */
	OPT_INT,  /* int64_t *: decimal, within min..max (no check of the range when both are 0) */
	OPT_SECRET, /* char **: an owned copy (free with mem_free_secret()); the bytes in argv
	               become 'x', so that ps no longer shows them */
};

struct opt {
	const char *names; /* "name|alias|alias"; NULL ends the table */
	enum opt_type type;
	void *to;         /* by type; NULL: accepted and ignored.  The last of several wins */
	const char *arg;  /* word for the value in the help; NULL = VALUE */
	const char *help; /* NULL: not listed in the help */
	int64_t min, max;
};

/*
 * Read argv[1..argc).  Words that are no options are moved to argv[1..*ret_words], in their order;
 * with ret_words NULL they are errors.  ERR_CONFIG names the first bad option, with the nearest
 * known one as the hint.
 */
bool opt_parse(
        const struct opt *opts, int argc, char **argv, int *ret_words, struct err *e) MUST_USE;

/* One line for each option that has a help text, aligned. */
void opt_help(struct str *out, const struct opt *opts);
