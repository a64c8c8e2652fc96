/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * topology - the shape of a cluster and all that is wrong with it, out of a snapshot.  Runs on: any
 * thread.  Logs: never.
 *
 * Pure: a const snapshot in, roles, tree, mode and findings out; no I/O, no clock.  MHA's rules
 * (start-up checks 2 to 7, 9 and 12) are kept where they can be decided from the picture; all
 * findings are reported at once, in the order of MHA's checks, so that the first error is MHA's
 * error.
 *
 * The master is the server at the root of the replication: what all alive slaves lead to.  Where
 * there are several roots (double masters, a dead one among them) MHA's rule decides: exactly one
 * that is dead or not read-only.
 */
#pragma once
#include "snapshot.h"

enum topology_role {
	TOPOLOGY_UNKNOWN,   /* dead or refused, and nobody says what it was */
	TOPOLOGY_MASTER,    /* the current master, dead or alive */
	TOPOLOGY_CO_MASTER, /* master and this one replicate from each other; it takes no writes */
	TOPOLOGY_SLAVE,     /* replicates from the master, directly or (tier 2...) not */
	TOPOLOGY_UNMANAGED, /* slave of a slave with multi_tier_slave=1: watched, never touched */
	TOPOLOGY_OUTSIDER,  /* in the file, answers, but is no part of this replication */
};

/* How a failover would catch up and re-point. */
enum topology_mode {
	TOPOLOGY_POSITION,         /* some server has no GTIDs: MHA's mode 0 */
	TOPOLOGY_POSITION_ON_GTID, /* all have, but use_gtid_auto_pos=0: MHA's mode 2 */
	TOPOLOGY_GTID_MYSQL,       /* MHA's mode 1 */
	TOPOLOGY_GTID_MARIADB,     /* every slave says Using_Gtid other than No */
};

enum topology_severity { TOPOLOGY_INFO, TOPOLOGY_WARNING, TOPOLOGY_ERROR };

/* What a finding forbids; an error for masterha_check_repl need not stop a failover, and the
 * reverse. */
enum {
	TOPOLOGY_STOPS_CHECK = 1,    /* masterha_check_repl says NOT OK */
	TOPOLOGY_STOPS_START = 2,    /* manager start, without ignore_fail_on_start */
	TOPOLOGY_STOPS_FAILOVER = 4, /* failover of a dead master */
	TOPOLOGY_STOPS_SWITCH = 8,   /* planned switch */
};

/* Every kind of finding: enum, stable name (JSON, `mhactl why`, tests), number of MHA's check (0 =
 * mhad's own), severity, what it stops. */
#define TOPOLOGY_CODES(X)                                                                          \
	X(SERVER_REFUSED, "server-refused", 2, ERROR, CHECK | START | FAILOVER | SWITCH)           \
	X(SERVER_UNUSABLE, "server-unusable", 3, ERROR, CHECK | START | FAILOVER | SWITCH)         \
	X(SERVER_LOST, "server-lost", 2, ERROR, CHECK | START | FAILOVER | SWITCH)                 \
	X(STATUS_DENIED, "status-denied", 3, ERROR, CHECK | START | FAILOVER | SWITCH)             \
	X(NO_ALIVE_SERVER, "no-alive-server", 4, ERROR, CHECK | START | FAILOVER | SWITCH)         \
	X(NO_ALIVE_SLAVE, "no-alive-slave", 4, ERROR, CHECK | START | FAILOVER | SWITCH)           \
	X(SEVERAL_NON_SLAVES, "several-non-slaves", 4, ERROR, CHECK | START | FAILOVER | SWITCH)   \
	X(NO_MASTER, "no-master", 4, ERROR, CHECK | START | FAILOVER | SWITCH)                     \
	X(MASTER_NOT_IN_FILE, "master-not-in-file", 4, ERROR, CHECK | START | FAILOVER | SWITCH)   \
	X(TWO_WRITABLE_MASTERS, "two-writable-masters", 4, ERROR,                                  \
	        CHECK | START | FAILOVER | SWITCH)                                                 \
	X(NO_WRITABLE_MASTER, "no-writable-master", 4, ERROR, CHECK | START | FAILOVER | SWITCH)   \
	X(NOT_A_SLAVE, "not-a-slave", 4, ERROR, CHECK | START | FAILOVER | SWITCH)                 \
	X(SLAVE_OF_ANOTHER, "slave-of-another", 4, ERROR, CHECK | START | FAILOVER | SWITCH)       \
	X(MULTI_TIER, "multi-tier", 4, ERROR, CHECK | START | FAILOVER | SWITCH)                   \
	X(INTERMEDIATE_DEAD, "intermediate-dead", 4, ERROR, CHECK | START | SWITCH)                \
	X(SQL_STOPPED_BY_ERROR, "sql-stopped-by-error", 4, ERROR,                                  \
	        CHECK | START | FAILOVER | SWITCH)                                                 \
	X(UNMANAGED_SLAVE, "unmanaged-slave", 4, INFO, 0)                                          \
	X(MULTI_SOURCE, "multi-source", 4, INFO, 0)                                                \
	X(MASTER_READ_ONLY, "master-read-only", 0, WARNING, 0)                                     \
	X(SLAVE_WRITABLE, "slave-writable", 5, WARNING, 0)                                         \
	X(NO_SUPER_READ_ONLY, "no-super-read-only", 0, INFO, 0)                                    \
	X(RELAY_LOG_PURGE, "relay-log-purge", 5, INFO, 0)                                          \
	X(LOG_BIN_OFF, "log-bin-off", 5, WARNING, 0)                                               \
	X(REPLICATE_FILTERS_DIFFER, "replicate-filters-differ", 6, ERROR,                          \
	        CHECK | START | FAILOVER)                                                          \
	X(BINLOG_FILTERS_DIFFER, "binlog-filters-differ", 6, ERROR,                                \
	        CHECK | START | FAILOVER | SWITCH)                                                 \
	X(FILTERS_CONTRADICT, "filters-contradict", 6, ERROR, CHECK | START | FAILOVER)            \
	X(NO_CANDIDATE, "no-candidate", 6, ERROR, CHECK | START | FAILOVER | SWITCH)               \
	X(REPL_USER_MISSING, "repl-user-missing", 7, ERROR, CHECK | START | SWITCH)                \
	X(REPL_USER_NO_PRIVILEGE, "repl-user-no-privilege", 7, ERROR, CHECK | START | SWITCH)      \
	X(REPL_USER_UNKNOWN, "repl-user-unknown", 7, WARNING, 0)                                   \
	X(SERVER_DEAD, "server-dead", 9, ERROR, CHECK | START | FAILOVER | SWITCH)                 \
	X(MASTER_DEAD, "master-dead", 12, ERROR, CHECK | SWITCH)                                   \
	X(IO_STOPPED, "io-stopped", 12, ERROR, CHECK | SWITCH)                                     \
	X(SQL_STOPPED, "sql-stopped", 12, ERROR, CHECK | SWITCH)                                   \
	X(DELAY_UNKNOWN, "delay-unknown", 12, ERROR, CHECK | SWITCH)                               \
	X(DELAY_TOO_LONG, "delay-too-long", 12, ERROR, CHECK | SWITCH)                             \
	X(DELAYED_SLAVE, "delayed-slave", 0, WARNING, 0)                                           \
	X(DUPLICATE_SERVER_ID, "duplicate-server-id", 0, ERROR, CHECK)                             \
	X(DUPLICATE_SERVER_UUID, "duplicate-server-uuid", 0, ERROR, CHECK)                         \
	X(VERSION_OLDER_THAN_MASTER, "version-older-than-master", 0, WARNING, 0)                   \
	X(VERSIONS_MIXED, "versions-mixed", 0, INFO, 0)                                            \
	X(FAMILIES_MIXED, "families-mixed", 0, WARNING, 0)                                         \
	X(VERSION_UNTESTED, "version-untested", 0, INFO, 0)                                        \
	X(BINLOG_FORMAT, "binlog-format", 0, INFO, 0)                                              \
	X(NO_REPLICA_UPDATES, "no-replica-updates", 0, WARNING, 0)                                 \
	X(GTID_MODE_MIXED, "gtid-mode-mixed", 0, WARNING, 0)                                       \
	X(GTID_POSITION_MIXED, "gtid-position-mixed", 0, WARNING, 0)                               \
	X(GTID_NOT_STRICT, "gtid-not-strict", 0, INFO, 0)                                          \
	X(ERRANT_TRANSACTIONS, "errant-transactions", 0, WARNING, 0)                               \
	X(ERRANT_PURGED, "errant-purged", 0, WARNING, 0)                                           \
	X(PURGED_ON_MASTER, "purged-on-master", 0, WARNING, 0)                                     \
	X(MASTER_HAS_LESS, "master-has-less", 0, WARNING, 0)                                       \
	X(SEMISYNC_NO_ACKER, "semisync-no-acker", 0, WARNING, 0)                                   \
	X(SEMISYNC_FEW_ACKERS, "semisync-few-ackers", 0, WARNING, 0)                               \
	X(SEMISYNC_OFF, "semisync-off", 0, WARNING, 0)                                             \
	X(SEMISYNC_ONE_SIDED, "semisync-one-sided", 0, INFO, 0)                                    \
	X(SEMISYNC_SOURCE_ON_SLAVE, "semisync-source-on-slave", 0, INFO, 0)                        \
	X(RING_BROKEN, "ring-broken", 0, WARNING, 0)                                               \
	X(AUTO_INCREMENT, "auto-increment", 0, WARNING, 0)                                         \
	X(CANDIDATE_CONTRADICTION, "candidate-contradiction", 0, WARNING, 0)                       \
	X(UNKNOWN_SLAVE, "unknown-slave", 0, WARNING, 0)                                           \
	X(ACCOUNT_DENIED, "account-denied", 0, WARNING, 0)

enum topology_code {
#define TOPOLOGY_CODE_ENUM(sym, ...) TOPOLOGY_##sym,
	TOPOLOGY_CODES(TOPOLOGY_CODE_ENUM)
#undef TOPOLOGY_CODE_ENUM
	        TOPOLOGY_CODE_COUNT
};

struct topology_server {
	const struct snapshot_server *snap; /* borrowed; ->conf is its configuration */
	enum topology_role role;
	int tier;      /* 0 master, 1 its slaves, 2 their slaves...; -1 = not in the tree */
	bool is_slave; /* it has a channel with a source */
	bool is_dead;  /* MHA's dead: unreachable, skipped or lost */

	/* The channel by which it belongs to the cluster, and the server in the file at its other
	 * end; NULL = none. */
	const struct snapshot_channel *channel;
	const struct topology_server *source;
	const char *source_name; /* "host:port" that the channel names */

	/* Children in the tree, in file order.  A circle (co-masters) is cut: no server is above
	 * itself. */
	struct topology_server **replicas;
	size_t n_replicas;

	/* Why it must not become master (MHA's "bad"); NULL = it may, or it is the master. */
	const char *unfit;

	/* Transactions that are surely not the master's; NULL = none, or not known. */
	struct gtid_set *errant;
	const char *errant_text;
	uint64_t n_errant;
};

struct topology_finding {
	enum topology_severity severity;
	enum topology_code code;
	int check;                            /* number of MHA's check, 0 = mhad's own */
	unsigned stops;                       /* TOPOLOGY_STOPS_* */
	const struct topology_server *server; /* NULL = the cluster */
	const char *text;                     /* one MHA-shaped sentence */
	const char *hint;                     /* what to type or change; NULL = nothing to say */
};

/* A slave that reads some server's binlog and is not in the file. */
struct topology_stranger {
	const struct topology_server *source;
	const char *name; /* "10.0.0.9:3306", "server_id 7", "10.0.0.9" */
	const struct snapshot_client *client;
};

struct topology {
	const struct snapshot *snapshot; /* borrowed */
	struct topology_server *servers; /* in the order of the snapshot's servers */
	size_t n_servers;
	const struct topology_server *master; /* dead or alive; NULL = cannot be told */
	const char *master_not_in_file; /* "host:port" that all slaves follow and the file lacks */
	enum topology_mode mode;
	const struct topology_finding *findings;
	size_t n_findings, n_errors, n_warnings;
	const struct topology_stranger *strangers;
	size_t n_strangers;
	size_t n_alive, n_dead;
	size_t n_alive_slaves; /* direct ones of the master */
	struct arena *arena;
};

struct topology_opts {
	int64_t max_delay;         /* seconds, for check_repl and switch; -1 = the default, 30 */
	bool ignore_fail_on_start; /* dead servers with ignore_fail are warnings, not errors */
};

/* `s` is borrowed for the life of the result; `o` may be NULL.  Returns owned, never NULL. */
struct topology *topology_classify(const struct snapshot *s, const struct topology_opts *o);
void topology_free(struct topology *t); /* NULL is fine */
CLEANUP_FN(topology, struct topology *, topology_free)

/* Whether something stops this (one TOPOLOGY_STOPS_* bit); the first such finding in *ret_first
 * (may be NULL). */
bool topology_stops(
        const struct topology *t, unsigned what, const struct topology_finding **ret_first);

/* The same server in another picture or file: by its id in the file.  NULL = not there. */
const struct topology_server *topology_find(const struct topology *t, const struct conf_server *c);

/* "unknown", "master", "co-master", "slave", "unmanaged", "outsider" */
const char *topology_role_name(enum topology_role r);
/* "position", "position-on-gtid", "gtid-mysql", "gtid-mariadb" */
const char *topology_mode_name(enum topology_mode m);
const char *topology_severity_name(enum topology_severity s); /* "error", "warning", "info" */
const char *topology_code_name(enum topology_code c);         /* "two-writable-masters" */
int topology_mha_mode(enum topology_mode m);                  /* 0, 2, 1 and 1 */
