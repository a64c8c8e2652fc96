/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * args - the words that mha-node's command lines may hold.  Runs on: any thread.  Logs: never.
 *
 * One struct for all programs: a verb reads the fields it needs.  Options of MHA that have lost
 * their use here (client_bindir: no client program is run) are accepted, checked and dropped.
 */
#pragma once
#include <stdint.h>
#include <stdio.h>
#include "mem.h"
#include "opt.h"

/* MHA's programs: sets of options. */
enum { ARGS_SAVE = 1 << 0, ARGS_DIFF = 1 << 1, ARGS_MHA = ARGS_SAVE | ARGS_DIFF };
#define ARGS_FILES (1 << 2) /* a verb that takes words, and no options but --help and --version */
/* The host's side of a server: verbs with options of their own. */
enum { ARGS_PROBE = 1 << 8, ARGS_FENCE = 1 << 9, ARGS_RELEASE = 1 << 10, ARGS_VIP = 1 << 11 };
#define ARGS_PORT (ARGS_PROBE | ARGS_FENCE | ARGS_RELEASE)
#define ARGS_HOST (ARGS_PORT | ARGS_VIP)
enum { ARGS_PURGE = 1 << 12, ARGS_SESSION = 1 << 13, ARGS_GATE = 1 << 14 };
#define ARGS_FILTER (1 << 15)
#define ARGS_REACH  (1 << 16)
#define ARGS_PUT    (1 << 17)
#define ARGS_BACKUP (1 << 18)
#define ARGS_OWN                                                                                   \
	(ARGS_PURGE | ARGS_SESSION | ARGS_GATE | ARGS_FILTER | ARGS_REACH | ARGS_PUT | ARGS_BACKUP)
#define ARGS_ALL (ARGS_MHA | ARGS_FILES | ARGS_HOST | ARGS_OWN)

struct args { /* texts are borrowed from argv; NULL where not given */
	bool help, version;
	char **words; /* ARGS_FILES only */
	int word_count;
	const char *command; /* what the MHA program shall do */
	const char *manager_version;
	const char *workdir;        /* never NULL */
	const char *relay_log_info; /* a relay-log.info file */
	const char *datadir;        /* base of relative names in it */
	/* save_binary_logs */
	const char *start_file, *binlog_prefix;
	const char *binlog_dir; /* comma list; never NULL */
	const char *output_file;
	const char *index;
	int64_t start_pos; /* -1: not given */
	const char *have;  /* also of apply_diff_relay_logs */
	const char *previous_gtids;
	int64_t keep_open; /* -1: not given */
	int64_t handle_raw_binlog;
	/* apply_diff_relay_logs */
	const char *relay_dir, *current_relay_log;
	const char *target_version;
	const char *latest_mlf, *target_mlf;
	int64_t target_rmlp; /* 0: not given */
	int64_t server_id;
	const char *diff_file;
	const char *scp_user, *scp_host, *ssh_options;
	int64_t scp_port;
	const char *slave_ip, *apply_files, *applier,
	        *channel; /* with user, password, host... below */
	bool password_stdin, count;
	int64_t apply_timeout; /* seconds; 0: not given */
	int64_t disable_log_bin;
	/* probe, fence, release, vip */
	int64_t port, timeout; /* 0: not given */
	const char *write_test_dir;
	bool hold, no_stop, no_settle;
	const char *token;
	bool vip_add, vip_drop, vip_show, force, json;
	const char *address, *device, *label;
	/* purge, gate */
	const char *user, *host, *socket, *defaults_file;
	char *password; /* owned */
	bool disable_purge;
	int64_t splay;
	const char *conf;
	/* reach, with host, port, timeout */
	bool mysql;
	const char *from;
	/* put, with output_file */
	int64_t bytes; /* -1: not given */
	const char *crc;
	/* backup, restore, with port, datadir, user, password, host, count */
	bool steady, swap, undo, clean;
};

/* Defaults, then the options of `programs` in argv[1..argc).  ERR_CONFIG: what is wrong with which
 * word. */
bool args_parse(unsigned programs, int argc, char **argv, struct args *ret, struct err *e) MUST_USE;

/* Wipes and frees secrets; nothing else is owned. */
void args_done(struct args *a);

/*
 * Call `fn` for each option of `programs` whose value is used: its name as in the table, its type, and where its value is (see
 * opt.h; NULL if `a` is NULL).  Ends with the first false.
 */
typedef bool (*args_each_fn)(
        void *arg, const char *names, enum opt_type type, const void *value, struct err *e);
bool args_each(unsigned programs, const struct args *a, args_each_fn fn, void *arg,
        struct err *e) MUST_USE;

/* ERR_CONFIG unless the manager that called (if it said so) is one that MHA's node tools accept. */
bool args_check_manager(const struct args *a, struct err *e) MUST_USE;

/* One line for each option of `programs` that has a text. */
void args_print(unsigned programs, FILE *to);
