/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * provision_impl - what the parts of provision share: provision.c (which way), provision_dump.c, provision_feed.c (the
 * programs of a dump), provision_clone.c, provision_backup.c.  Runs on: worker.
 */
#pragma once
#include "provision.h"

bool prov_dump(const struct provision *p, struct provision_place *ret, struct err *e);
bool prov_backup(const struct provision *p, struct provision_place *ret, struct err *e);
/* ERR_PRECOND: why not, with these two. */
bool prov_can_backup(
        const struct provision_end *donor, const struct provision_end *target, struct err *e);
bool prov_clone(const struct provision *p, struct provision_place *ret, struct err *e);

/* Not told to end, and there is time left. */
bool prov_goes_on(const struct provision *p, struct err *e);
bool prov_exec(struct repl *r, const char *sql, int64_t deadline, struct err *e);
/* The server's own log begins anew, behind `gtids` (NULL: none). */
bool prov_begin_log(struct repl *target, const char *gtids, struct err *e);
bool prov_programs(
        const struct dialect *d, const char **ret_dump, const char **ret_client, struct err *e);

/* A dump that runs into a client. */
struct prov_feed {                           /* all borrowed */
	const char *const *from, *const *to; /* argv of both */
	uint64_t expected;                   /* bytes, roughly; 0 not known */
	/* Called once, when the dump has begun to read the first schema: from there on it sees one moment. */
	bool (*begun)(void *arg, struct err *e);
	void *arg;
};
bool prov_feed(const struct provision *p, const struct prov_feed *f, struct err *e);
