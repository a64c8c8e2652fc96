/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * move_ring - a master and one of its slaves follow each other (double masters), or do not any more.  Runs on:
 * worker, main thread (blocks).  Logs: never.
 *
 * A failover opens the ring: the new master follows nobody.  When the old one is back as its slave, the ring can be
 * closed again.  That takes no standing still: a slave that nobody writes to has nothing that its master lacks,
 * and what its binlog has from now on are the master's own transactions, which the master knows by its
 * server_id (or by their GTIDs) and leaves out.  So any place at the end of the slave's binlog will do.
 */
#pragma once
#include "topology.h"

/* Why the ring cannot be closed through this slave: ERR_PRECOND.  A closed one is fine. */
bool move_ring_may(
        const struct topology *t, const struct topology_server *co, struct err *e) MUST_USE;

/* The master follows `co` from now on, and is seen to. */
bool move_ring_close(const struct topology *t, const struct topology_server *co, int64_t deadline,
        struct err *e) MUST_USE;

/* The master follows nobody; done already is fine. */
bool move_ring_open(const struct topology *t, int64_t deadline, struct err *e) MUST_USE;
