/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mha-node - the program for database hosts.  Its verbs are the rows of verb_table.c, reached by
 * their own names
 * (`mha-node check-binlogs ...`), by MHA's (`save_binary_logs --command=test ...`, a link to this
 * program or its first argument), and inside a session. Runs on: the database host, started through
 * SSH.
 */
#include <stddef.h>
#include "line.h"

int main(int argc, char **argv)
{
	return line_run(argc, argv, NULL);
}
