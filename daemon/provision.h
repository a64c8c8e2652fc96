/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * provision - a server's data becomes a copy of another's.  Runs on: worker (blocks, for hours if need be).
 * Logs: yes, how far it is.
 *
 * Three ways:
 *   mariadb-backup, the program, on both hosts: the donor's files go through here, are made ready beside those that the
 *     server still runs on, and take their place while it is down for a moment.  What does not start is put back
 *   the clone plug-in of MySQL: the server fetches the donor's files and starts anew with them
 *   a logical dump: a client program of this host (mysqldump, mariadb-dump) reads the donor's schemas in one
 *     transaction, another feeds them to the server.  Accounts and other things of the mysql schema stay as they are
 * All drop what the server had.  Done again after a kill they begin anew.
 */
#pragma once
#include <stdint.h>
#include "conf.h"
#include "link.h"
#include "repl.h"

enum provision_how { PROVISION_ANY, PROVISION_CLONE, PROVISION_DUMP, PROVISION_BACKUP };

struct provision_end { /* all borrowed */
	const struct conf_server *conf;
	const struct dialect *dialect;
	struct link_door *door; /* to its host; NULL: none */
};

struct provision { /* all borrowed */
	const struct conf_server *donor, *target;
	struct link_door *donor_door, *target_door;
	bool donor_is_master; /* else a slave of the master whose log the positions are of */
	bool by_gtid;
	const char *dir; /* folder here for option files, which hold passwords */
	int64_t deadline;
	bool (*go_on)(void *arg); /* asked now and then; may be NULL */
	void *arg;
};

/* Where the copy stands. */
struct provision_place {
	char file[256]; /* in the master's binlogs; "" not known */
	uint64_t pos;
	char *gtids; /* owned; NULL: none */
};
void provision_place_done(struct provision_place *p);

/*
 * Which way could be gone with these two, PROVISION_ANY: the best.  ERR_PRECOND: none, or not this one, and
 * which package would help.  Asks servers and hosts.
 */
bool provision_choose(enum provision_how want, const struct provision_end *donor,
        const struct provision_end *target, enum provision_how *ret, struct err *e) MUST_USE;

/* *ret is to be given to provision_place_done() in any case. */
bool provision_run(enum provision_how how, const struct provision *p, struct provision_place *ret,
        struct err *e) MUST_USE;

const char *provision_name(enum provision_how how); /* "clone", "dump", "backup" */
