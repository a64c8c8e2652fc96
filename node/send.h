/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * send - copies a file to another host with ssh(1) and scp(1), as MHA's node tools did.  Runs on: any
 * thread (blocks).
 *
 * Kept for managers that ask for generate_and_send; mhad's own passes files through itself.
 */
#pragma once
#include "verb.h"

/*
 * To the same path on --scp_host: makes the folder, copies up to three times, and compares what
 * md5sum says on both sides.  ERR_REMOTE, ERR_LOST; ERR_CONFIG when names hold what a remote shell
 * would act on.
 */
bool send_file(const struct args *a, const char *path, struct verb_io *io, struct err *e) MUST_USE;
