/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flatten - by which moves a slave gets below another server, and a cascade becomes one master with its slaves;
 * and which moves cannot be proved to lose or repeat nothing.  Runs on: any thread.  Logs: never.
 *
 * Pure: a topology in, hops out.  A hop is one slave that changes its source once:
 *
 *	up	from its source to the source of that: by position; its old source is stopped for a moment
 *	down	from its source to another slave of that: by position; both are stopped at one same place
 *	by GTID	to wherever; only the slave itself is stopped
 *
 * A longer way by position is several hops, each proved by itself.
 */
#pragma once
#include "topology.h"

enum flatten_kind { FLATTEN_UP, FLATTEN_DOWN, FLATTEN_GTID };

struct flatten_hop { /* all borrowed from the topology */
	const struct topology_server *child, *from, *to;
	enum flatten_kind kind;
};

/*
 * The hops that bring `child` below `to`, in order; none if it is there.  ERR_PRECOND: there is no such way
 * (it is the master, it would follow itself...).  *ret is owned.
 */
bool flatten_route(const struct topology *t, const struct topology_server *child,
        const struct topology_server *to, struct flatten_hop **ret, size_t *ret_n,
        struct err *e) MUST_USE;

/* Those that make all slaves of slaves slaves of the master: upper tiers first, one each. */
bool flatten_all(
        const struct topology *t, struct flatten_hop **ret, size_t *ret_n, struct err *e) MUST_USE;

/*
 * Whether it can be proved that the slave neither skips nor repeats anything, as far as settings and the state
 * of now can tell; ERR_PRECOND says why not.  *ret_force: a person may overrule it (--force), since what is
 * feared is seen when it happens.
 */
bool flatten_may(
        const struct flatten_hop *h, int64_t max_wait_ms, bool *ret_force, struct err *e) MUST_USE;

const char *flatten_kind_name(enum flatten_kind k); /* "up", "down", "gtid" */
/* "db4(10.0.0.4:3306): from db2(...) to its source db1(...), by position".  Returns owned. */
char *flatten_text(const struct flatten_hop *h);
