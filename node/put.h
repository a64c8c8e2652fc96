/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * put - the verb `put`: what the manager sends, as a file of this host.  Runs on: any thread.
 *
 * For saved events that an `apply` shall find.  The file is there whole, with the announced length and
 * checksum, or not at all.
 */
#pragma once
#include "verb.h"

/* --output_file, --bytes and --crc say what must have come.  Exit status 0 or 1. */
int put_serve(const struct args *a, struct verb_io *io, struct err *e);
