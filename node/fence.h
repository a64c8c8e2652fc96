/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fence - stops, kills and holds down the server of one port, with what supervises it.
 * Runs on: any thread (forks, runs systemctl).
 *
 * The result is one JSON object, in which "result" is
 *	fenced	   shown to be down: the processes have ended, nothing listens on the port, nobody holds the
 *		   data directory's locks, and nothing brought it back within the settle time (with
 *		   --no-settle nobody waits for that: to be asked again later, without it);
 *	unproven   something of this could not be shown: "facts" say what;
 *	failed	   it is known to run on.
 * Only processes that run a MySQL or MariaDB server *and* are known to be the one of this port are
 * signalled; of supervisors: the systemd unit of its own, mysqld_safe, and a shell that was seen to
 * start it again.  Other supervisors are named, not touched.
 *
 * Fencing twice is fine.  With --hold a record, and for a systemd unit a refusal to start, stay
 * until fence_release_serve() or the next boot.
 */
#pragma once
#include "verb.h"

#define FENCE_DIR "/run/mhad"

/* Exit status: 0 fenced, 1 failed, 2 unproven. */
int fence_serve(const struct args *a, struct verb_io *io, struct err *e);

/* Does not start the server. */
int fence_release_serve(const struct args *a, struct verb_io *io, struct err *e);

/* Whether a hold of this port is on record. */
bool fence_is_recorded(int port);
