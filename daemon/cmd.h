/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd - what all commands of mhactl share: common options, the cluster's file, exit codes, output.
 * Runs on: the main thread.
 *
 * A command is a function behind one row of the table in mhactl.c.  Its argv[0] is the last word of
 * its name.  MHA's names (masterha_*) are rows of the same table; with them `mha` is set, and exit
 * codes are MHA's.
 */
#pragma once
#include <jansson.h>
#include "conf.h"
#include "loop.h"
#include "opt.h"

/* Exit codes of all commands; `mhactl help exit-codes` and the manual print this list. */
#define CMD_EXITS(X)                                                                               \
	X(OK, 0, "it worked; for checks: healthy")                                                 \
	X(FAILED, 1,                                                                               \
	        "it did not work; for checks: not healthy. MHA's names use it for every failure")  \
	X(USAGE, 2, "the command line is wrong, nothing was done")                                 \
	X(CONFIG, 3, "the configuration cannot be used, nothing was done")                         \
	X(NO_DAEMON, 4, "mhad does not run, does not answer, or not to this user")                 \
	X(REFUSED, 5, "a failover was refused, or would be: nothing was changed")                  \
	X(PARTIAL, 10, "a failover is done, but something is left to a person")

enum cmd_exit {
#define CMD_EXIT_ENUM(name, code, text) CMD_##name = (code),
	CMD_EXITS(CMD_EXIT_ENUM)
#undef CMD_EXIT_ENUM
};

struct cmd;
typedef int (*cmd_fn)(struct cmd *c, int argc, char **argv); /* returns the exit code */

struct cmd_verb {
	const char *name; /* "check repl" */
	cmd_fn run;
	bool mha;            /* one of MHA's names */
	const char *args;    /* for the usage line: "[--json] CLUSTER" */
	const char *summary; /* one line */
	const char *details; /* more for its own --help; NULL = none */
};

struct cmd {
	const struct cmd_verb *verb;
	const char *conf_path; /* --conf, or the cluster's name; borrowed from argv */
	const char *global_path;
	bool json, debug, help, version;
	bool workers; /* threads were started, see cmd_load() */
};

/* Rows for an option table. */
#define CMD_OPTS_COMMON(c)                                                                         \
	{ "help|h|?", OPT_FLAG, .to = &(c)->help, .help = "this text" },                           \
	{                                                                                          \
		"version", OPT_FLAG, .to = &(c)->version                                           \
	}
#define CMD_OPTS_CLUSTER(c)                                                                        \
	{ "conf", OPT_STR, .to = &(c)->conf_path, .arg = "FILE",                                   \
		.help = "the cluster's file, or its name: " MHAD_SYSCONFDIR                        \
		        "/clusters.d/NAME.conf or .cnf" },                                         \
	        { "global_conf", OPT_STR, .to = &(c)->global_path, .arg = "FILE",                  \
		        .help = "other file for settings of all clusters" },                       \
	{                                                                                          \
		"debug", OPT_FLAG, .to = &(c)->debug, .help = "say more"                           \
	}
#define CMD_OPT_JSON(c)                                                                            \
	{                                                                                          \
		"json", OPT_FLAG, .to = &(c)->json, .help = "print JSON"                           \
	}

/*
 * Read the command line.  False: the command is over, with *ret_exit (help and version were
 * printed, or what is wrong was said).  Words are left in argv[1..*ret_words]; with ret_words NULL
 * there may be none, except one that names the cluster when the command has CMD_OPTS_CLUSTER.
 */
bool cmd_parse(struct cmd *c, const struct opt *opts, int argc, char **argv, int *ret_words,
        int *ret_exit) MUST_USE;

/* Code of this kind of failure for this command: MHA's names know only 1. */
int cmd_exit(const struct cmd *c, enum cmd_exit code);

/* Complain on stderr and return cmd_exit(). */
int cmd_fail(const struct cmd *c, enum cmd_exit code, const struct err *e);

/* The file meant by --conf FILE or by a name.  Returns owned; ERR_CONFIG says where was looked. */
char *cmd_find_conf(const char *name_or_path, struct err *e) MUST_USE;

/*
 * Load the cluster's configuration and log what is wrong with it, as MHA does.  Returns a
 * configuration that is never freed, or NULL with *ret_exit.
 *
 * A command that goes on from here starts workers, and one that was written off may be inside a
 * library, with this configuration in its hands, when the command is over.  So with `workers` set
 * nothing is torn down: what such a command holds lives until the process ends, and it ends
 * without exit handlers.
 */
struct conf *cmd_load(struct cmd *c, int *ret_exit) MUST_USE;

/* "file:line: text".  Returns owned. */
char *cmd_problem_text(const struct conf_problem *p);

/* Write all of it to stdout; false (with a complaint) when that fails. */
bool cmd_print(const struct str *s);

/* The server of that host name; port 0: any.  NULL: there is none. */
const struct conf_server *cmd_server_named(const struct conf *c, const char *host, int64_t port);

/* A question on stdout, and the line that a person types; false at the end of input. */
bool cmd_ask(char *line, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool cmd_says_yes(const char *line);   /* as MHA: whatever begins with a y */
bool cmd_agrees(const char *question); /* "QUESTION (yes/NO): " */

/* MHA's questions to who did not like the new master that was chosen.  NULL: he wants none. */
const struct conf_server *cmd_ask_new_master(const struct conf *c);

/* Who types this, for the history. */
const char *cmd_who(void);

/* Print it, indented.  Takes `j`. */
bool cmd_print_json(json_t *j);

/* Signals that end a command, told to `fn` on its loop. */
void cmd_on_end(struct loop *l, loop_signal_fn fn, void *arg);

/* Where journals, history and incidents are, unless --state_dir says otherwise. */
#define CMD_STATE_DIR "/var/lib/mhad"
