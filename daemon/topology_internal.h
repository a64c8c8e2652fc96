/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * topology_internal - what topology.c (the shape) hands to topology_check.c (what is wrong with
 * it).  Runs on: any thread.
 */
#pragma once
#include "topology.h"
#include "vec.h"

enum topology_answer {
	MASTER_FOUND,
	MASTER_NO_SLAVES, /* nobody replicates: the only server that is no slave is taken, if there
	                     is one */
	MASTER_UNLISTED,  /* all that replicate do it from somewhere else */
	MASTER_TWO_WRITABLE,
	MASTER_NONE_WRITABLE,
	MASTER_AMBIGUOUS, /* dead servers and writable ones: either may be it */
};

struct topology_work {
	struct topology *t;
	struct topology_opts o;
	enum topology_answer answer;
	bool *is_root; /* by server: slaves lead to it, and it leads nowhere else */
	VEC(struct topology_finding) findings;
	VEC(struct topology_stranger) strangers;
};

void topology_check(struct topology_work *w);

/* Its own facts are known and it answers. */
bool topology_is_live(const struct topology_server *v);
/* A live slave or co-master directly below the master: what MHA calls an alive slave. */
bool topology_is_direct(const struct topology_server *v);
/* Live, and not set aside: the master, co-masters and slaves. */
bool topology_is_member(const struct topology_server *v);

static inline const char *topology_host(const struct topology_server *v)
{
	return v->snap->conf->hostinfo;
}
