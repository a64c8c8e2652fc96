/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mysqld_opts - the few options of a server that tell which one it is, from its command line and its
 * option files.  Runs on: any thread (reads files).  Logs: never.
 *
 * Precedence is the servers': a later file beats an earlier one, the command line beats all files.
 * The same words are understood from mysqld_safe and from a systemd unit's ExecStart.
 */
#pragma once
#include "mem.h"

#define MYSQLD_DEFAULT_PORT 3306

enum mysqld_source { /* how an option is known */
	MYSQLD_OPT_DEFAULT,
	MYSQLD_OPT_FILE,
	MYSQLD_OPT_COMMAND_LINE,
};

struct mysqld_opts { /* plain memory */
	int port;
	enum mysqld_source port_by, datadir_by;
	char datadir[512];  /* empty: not said */
	char pid_file[512]; /* empty: not said; may be relative to datadir */
	bool incomplete; /* an option file that matters could not be read: only the command line is sure */
};

/*
 * The options of a command line (words[0] is the program, NULL ends it).  `root` is put before the
 * names of option files (the process's own root folder; "" for ours).
 */
void mysqld_opts_read(const char *root, char *const *words, struct mysqld_opts *ret);

/*
 * The options of the server that would use this port, when none runs: from the usual option files,
 * with groups such as [mysqld2] and [mysqld@b] looked at as well.  False when no group has that
 * port.
 */
bool mysqld_opts_of_port(const char *root, int port, struct mysqld_opts *ret) MUST_USE;
