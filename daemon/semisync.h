/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * semisync - who waits for whom, whether it can be had, and what would mend it.  Runs on: any thread; what takes
 * a `struct repl` or a configuration on a worker (blocks).  Logs: never.
 *
 * Each side of semi-sync has a switch, but for being at work a slave must have *connected* with its switch on,
 * and a master that once waited for its whole timeout is asynchronous until somebody acknowledges again, at
 * the next commit.  So switches are looked at together with what the servers say of the moment.
 */
#pragma once
#include <jansson.h>
#include "repl.h"
#include "str.h"
#include "topology.h"

/* What there is for one side. */
enum semisync_plugin {
	SEMISYNC_NONE,
	SEMISYNC_OLD,     /* rpl_semi_sync_master, rpl_semi_sync_slave */
	SEMISYNC_NEW,     /* rpl_semi_sync_source, rpl_semi_sync_replica */
	SEMISYNC_BUILT_IN /* MariaDB */
};

/* One server, now: plain memory. */
struct semisync_now {
	bool known; /* it answered */
	enum semisync_plugin source, replica;
	bool source_enabled, replica_enabled; /* switches */
	bool source_on;     /* it waits for acknowledgements; no: not enabled, or fallen back */
	bool replica_on;    /* connected as one that acknowledges, and its receiver runs */
	int64_t clients;    /* who acknowledges to it; -1: not known, as all here */
	int64_t wait_count; /* how many a commit needs: 1 where there is no such setting */
	int64_t timeout_ms;
	bool has_wait_count; /* there is such a setting */
};

bool semisync_read(
        struct repl *r, int64_t deadline, struct semisync_now *ret, struct err *e) MUST_USE;

/* All servers of the topology that answer, in its order, at once. */
void semisync_read_all(const struct topology *t, int64_t deadline, struct semisync_now *ret);

/* Something that mends it.  X(symbol, name) */
#define SEMISYNC_DEEDS(X)                                                                          \
	X(INSTALL_SOURCE, "install-source")   /* only when asked for */                            \
	X(INSTALL_REPLICA, "install-replica") /* only when asked for */                            \
	X(REPLICA_ON, "replica-on")                                                                \
	X(REPLICA_OFF, "replica-off")                                                              \
	X(SOURCE_OFF, "source-off")                                                                \
	X(RECONNECT, "reconnect") /* stop and start the receiver: so it registers */               \
	X(COUNT, "wait-count")                                                                     \
	X(SOURCE_ON, "source-on")                                                                  \
	X(REARM, "rearm") /* switched off and on: it waits again from now on */
enum semisync_deed_kind {
#define SEMISYNC_DEED_ENUM(sym, ...) SEMISYNC_##sym,
	SEMISYNC_DEEDS(SEMISYNC_DEED_ENUM)
#undef SEMISYNC_DEED_ENUM
};
const char *semisync_deed_name(enum semisync_deed_kind k);

struct semisync_deed {
	enum semisync_deed_kind kind;
	const struct topology_server *server;
	int64_t count; /* COUNT */
};

struct semisync_trouble {
	const struct topology_server *server;
	bool error; /* commits are not, or will not be, acknowledged as asked for */
	char text[300], hint[120];
};

/* Owned; semisync_plan_done() in any case. */
struct semisync_plan {
	bool used; /* somebody has it switched on */
	struct semisync_trouble *troubles;
	size_t n_troubles, n_errors;
	struct semisync_deed *deeds; /* in the order in which they are to be done */
	size_t n_deeds;
};

/*
 * What is wrong, and what mends it.  With `enable` the aim is that the master waits and all its slaves
 * acknowledge (but those that are no_master), plug-ins included; without it, that what is switched on works, and
 * that the wait count can be met.
 */
void semisync_judge(const struct topology *t, const struct semisync_now *now, bool enable,
        struct semisync_plan *ret);
void semisync_plan_done(struct semisync_plan *p);

/* One deed on its server; done twice it does no harm. */
bool semisync_do(
        struct repl *r, const struct semisync_deed *d, int64_t deadline, struct err *e) MUST_USE;
char *semisync_deed_text(const struct semisync_deed *d); /* for people; returns owned */

/*
 * After a promotion or a move, on whoever commits wait at: no more acknowledgements are asked for than
 * `ackers` can give; with none of them its waiting is switched off.  *ret_count: what it was before; 0: nothing
 * was changed.  May be NULL.
 */
bool semisync_meet_count(struct repl *r, int64_t ackers, int64_t deadline, int64_t *ret_count,
        struct err *e) MUST_USE;

const char *semisync_plugin_name(
        enum semisync_plugin p, bool source); /* "rpl_semi_sync_source", "built-in", "none" */
json_t *semisync_json(const struct topology *t, const struct semisync_now *now,
        const struct semisync_plan *p); /* a new reference */
void semisync_text(const struct topology *t, const struct semisync_now *now,
        const struct semisync_plan *p, struct str *to);
