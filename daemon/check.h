/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check - all that a check found, whatever it came from, and the questions to the node tools on a
 * host.  Runs on: any thread. Logs: check_log_findings() only.
 *
 * Findings about servers come from topology; those about hosts, node tools and hooks are added by
 * the commands, out of the table below.
 */
#pragma once
#include "hook.h"
#include "host.h"
#include "topology.h"

/* Name (JSON, tests), number of MHA's check. */
#define CHECK_CODES(X)                                                                             \
	X(CONFIG, "config", 1)                                                                     \
	X(SSH_UNREACHABLE, "ssh-unreachable", 8)                                                   \
	X(SSH_REFUSED, "ssh-refused", 8)                                                           \
	X(SSH_LOST, "ssh-lost", 8)                                                                 \
	X(SSH_PAIR, "ssh-between-hosts", 8)                                                        \
	X(NODE_MISSING, "node-missing", 8)                                                         \
	X(NODE_TOO_OLD, "node-too-old", 8)                                                         \
	X(NODE_UNKNOWN, "node-unknown", 8)                                                         \
	X(BINLOG_SERVER, "binlog-server", 8)                                                       \
	X(BINLOG_TEST, "binlog-test", 10)                                                          \
	X(RELAY_TEST, "relay-test", 11)                                                            \
	X(HOOK_FAILED, "hook-failed", 13)                                                          \
	X(HOOK_MISSING, "hook-missing", 13)                                                        \
	X(HOOK_UNDEFINED, "hook-undefined", 13)                                                    \
	X(HOOK_MODULES, "hook-needs-mha", 0)                                                       \
	X(DISK, "disk", 0)                                                                         \
	X(MIGRATE, "migrate", 0)                                                                   \
	X(OLD_MANAGER, "old-manager", 0)                                                           \
	X(PRIVILEGE, "privilege-missing", 0)

enum check_code {
#define CHECK_CODE_ENUM(sym, ...) CHECK_##sym,
	CHECK_CODES(CHECK_CODE_ENUM)
#undef CHECK_CODE_ENUM
	        CHECK_CODE_COUNT
};

struct check_finding {
	enum topology_severity severity;
	const char *code;  /* a topology or check code's name */
	int check;         /* number of MHA's check, 0 = mhad's own */
	bool stops;        /* the cluster is not healthy because of it */
	char *server;      /* host or server it is about; NULL = the cluster */
	char *text, *hint; /* hint: NULL = nothing to say */
};

struct check_findings {
	struct check_finding *items;
	size_t len, cap;
};
void check_findings_done(struct check_findings *f);

/* `hint` may be NULL or empty; an ERROR stops. */
void check_add(struct check_findings *f, enum topology_severity severity, enum check_code code,
        const char *server, const char *hint, const char *fmt, ...) PRINTF_LIKE(6, 7);

/* An SSH error of a host, with the code by its kind. */
void check_add_ssh(struct check_findings *f, enum topology_severity severity, const char *server,
        const struct err *err, const char *consequence);
void check_add_topology(struct check_findings *f, const struct topology *t);
void check_sort(
        struct check_findings *f); /* into the order of MHA's checks, mhad's own last; stable */
size_t check_count_stops(const struct check_findings *f); /* 0 = healthy */
void check_log_findings(const struct check_findings *f);

/* Commands for the node tools: MHA's names, options and order, so that either generation may
 * answer.  Each returns owned. */
char *check_node_version_cmd(const struct conf_server *s);
/* `start_file` NULL: whatever is there with this prefix. */
char *check_binlog_test_cmd(
        const struct conf_server *s, const char *start_file, const char *prefix);
/* `with_password`: MHA's scripts log in to the server; the line is then a secret. */
char *check_relay_test_cmd(
        const struct snapshot_server *s, const char *relay_log, bool with_password);

/* What the host knows of this server: JSON on stdout; mha-node only. */
char *check_probe_cmd(const struct conf_server *s);

/* What check_node_version_cmd() was answered with. */
struct check_node {
	char version[24]; /* MHA's: "0.58" */
	bool is_ours;     /* mha-node, not MHA's scripts: it needs no password for its tests */
};
bool check_node_version(const struct host_answer *a, struct check_node *ret,
        enum check_code *ret_code, struct err *e) MUST_USE;

/* The line of a failed program that says most: the last one on stderr, else on stdout.  Returns
 * owned. */
char *check_last_line(const struct host_answer *a);
