/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * completion - what a shell needs to complete command lines, out of the table of commands.  Runs on: any
 * thread.  Logs: never.
 *
 * The commands are in the script; options and settings are asked of the programs themselves when they are
 * needed, so that no second list of them can become wrong.
 */
#pragma once
#include <stddef.h>
#include "str.h"
#include "err.h"

struct cmd_verb;

/* Add the script for "bash" or "zsh"; ERR_CONFIG for another shell. */
bool completion_script(const char *shell, const struct cmd_verb *verbs, size_t n, struct str *out,
        struct err *e) MUST_USE;
