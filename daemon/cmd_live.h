/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_live - what the commands that ask a running mhad share.  Runs on: the main thread.
 */
#pragma once
#include "ask.h"
#include "cmd.h"

enum { LIVE_ASK_MS = 5000 };

#define CMD_OPT_SOCKET(to_)                                                                        \
	{                                                                                          \
		"socket", OPT_STR, .to = &(to_), .arg = "PATH",                                    \
		                   .help = "mhad's control socket (or MHAD_SOCKET; " ASK_PATH ")"  \
	}

/* Exit code of a failed question: was there nobody to ask, or was the answer no? */
int cmd_live_fail(const struct cmd *c, const struct err *e);

/* `status --watch` (cmd_screen.c): until the user leaves.  `cluster` may be NULL.  Returns the exit code. */
int cmd_screen(struct cmd *c, const char *socket, const char *cluster);
