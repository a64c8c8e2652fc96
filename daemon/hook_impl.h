/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hook_impl - one call of a hook, for the files of hook.  Runs on: anywhere.
 */
#pragma once
#include "hook.h"
#include "vec.h"

struct hook {
	const char *setting;
	char *prefix;
	char *conf, *server; /* whose setting it is; NULL: nobody's */
	VEC(char *) args;    /* ends with NULL */
	VEC(char *) env;     /* ends with NULL, or is empty */
};

/* An empty call of that server's setting; NULL when it has no command.  Returns owned. */
struct hook *hook_begin(const char *setting, const char *prefix, const struct conf_server *s);

/* After the last argument. */
struct hook *hook_finish(struct hook *h);
