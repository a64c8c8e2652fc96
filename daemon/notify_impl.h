/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notify_impl - one message, for the files of notify.  Runs on: any thread.
 */
#pragma once
#include <jansson.h>
#include "notify.h"

struct notify_msg {
	char *cluster, *server; /* whose report_script */
	char *path;             /* NULL: it is in memory only */
	char **args;            /* as the script gets them; ends with NULL */
	int64_t at;             /* wall clock, ms since 1970 */
	int64_t next;           /* instant of the next try */
	int tries;
	bool once; /* a script that fails is not called again */
	bool kept; /* its file is there, or cannot be: it may be sent */
};

struct notify_msg *notify_msg_new(const char *cluster, const char *server, const char *const *args);
struct notify_msg *notify_msg_copy(const struct notify_msg *m);
void notify_msg_free(struct notify_msg *m); /* NULL is fine */

/* Both block.  _read: NULL when it is no message. */
bool notify_msg_write(const char *state_dir, const struct notify_msg *m, struct err *e) MUST_USE;
struct notify_msg *notify_msg_read(const char *cluster, const char *path);
/* Paths of all messages, in their order.  Returns owned, ends with NULL. */
char **notify_msg_list(const char *state_dir, const char *cluster);
/* "<state_dir>/<cluster>/messages/..." of a new message.  Returns owned. */
char *notify_msg_path(const char *state_dir, const struct notify_msg *m, unsigned number);
