/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * out - a file that is there whole or not at all.  Runs on: any thread (blocks on the disk), with a
 * thread of its own for each file that is being written.  Logs: never.
 *
 * Made anew under its final name, for us alone (0600), never through a link; what had the name
 * before is removed.  It belongs to whom its folder belongs to, as far as we may give it away.
 *
 * The own thread writes while the caller goes on reading: both take about as long.  It writes past
 * the page cache where the file system lets it: copying into it took more time than all else here.
 */
#pragma once
#include "mem.h"

struct out; /* opaque */

/* Makes the folder too.  Then call out_keep() or out_drop().  Returns owned; NULL with ERR_SYSTEM. */
struct out *out_open(const char *path, struct err *e) MUST_USE;

/* Bytes to be written, or false: a failure may be of bytes given earlier. */
bool out_write(struct out *o, const void *bytes, size_t n, struct err *e) MUST_USE;

/* See it to the disk and close it; a file of which that fails is removed.  Frees `o`. */
bool out_keep(struct out *o, struct err *e) MUST_USE;

/* Remove it.  Frees `o`. */
void out_drop(struct out *o);
