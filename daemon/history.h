/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * history - what happened to each cluster, kept for `mhactl history`.  Runs on: loop, or any one thread
 * per cluster.  Logs: never.
 *
 * <state_dir>/<cluster>/history holds one JSON object per line:
 *
 *	{"at":"2026-11-20T03:12:09+0100","what":"state","text":"monitoring -> suspect","by":"mhad"}
 *
 * A line is one write to the end of the file and is not synced: it tells people what was, nothing is
 * decided by it.  At 1 MiB the file becomes history.1 and a new one begins.
 */
#pragma once
#include <jansson.h>
#include "err.h"

/* `what` is one word ("state", "verdict", "pause", "alarm"), `by` who did it.  A state_dir of NULL keeps
 * nothing, which is fine. */
bool history_add(const char *state_dir, const char *cluster, const char *what, const char *by,
        struct err *e, const char *fmt, ...) PRINTF_LIKE(6, 7);

/* The last `limit` entries, oldest first, as the objects of the file.  Lines that cannot be read are left
 * out; no file is an empty list.  Returns a new reference, NULL with ERR_SYSTEM. */
json_t *history_read(
        const char *state_dir, const char *cluster, size_t limit, struct err *e) MUST_USE;

/* "<state_dir>/<cluster>", made if it is missing.  Returns owned, NULL with ERR_SYSTEM. */
char *history_dir(const char *state_dir, const char *cluster, struct err *e) MUST_USE;
