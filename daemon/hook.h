/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hook - users' scripts, called as MHA calls them.  Runs on: builders anywhere, hook_run() on a
 * worker, hook_start() on the loop.  Logs: never.
 *
 * A hook is configured as a shell command prefix.  It runs as `sh -c '<prefix> "$@"'`, so that the
 * prefix may carry its own arguments and each of ours arrives byte for byte (MHA's arrive with
 * stray backslashes), in the directory the command was started in, in its own process group,
 * without a terminal.  In mhad it runs in the folder of the cluster's file, and, where mhad is not
 * root, by the helper (hookd.h); nothing else differs.
 *
 * The argument lists are a contract with scripts that reject what they do not know: names, order
 * and number are MHA's.
 */
#pragma once
#include <stdint.h>
#include "conf.h"
#include "proc.h"

struct hook; /* one call, ready to run: owns copies of all it needs */

/*
 * MHA's calls.  Each returns owned, or NULL when the script is not configured.
 */

/* `--command=status` for the current master. */
struct hook *hook_ip_failover_status(const struct conf_server *master);
struct hook *hook_shutdown_status(const struct conf_server *master);

/* `ssh`: the host takes logins (--command=stopssh), else --command=stop.  The dead master's script.
 * Exit status 10: it failed, go on all the same; other: stop. */
struct hook *hook_ip_failover_stop(const struct conf_server *dead, bool ssh);
/* The new master's script; exit status as above. */
struct hook *hook_ip_failover_start(
        const struct conf_server *dead, const struct conf_server *fresh);

/* Exit status 0: the host is off (nothing can be read there any more); 10: its mysqld was killed and
 * the host is up; other: stop. */
struct hook *hook_shutdown(const struct conf_server *dead, bool ssh);

/* secondary_check_script: 0 = really down, 2 = a monitoring host is unreachable, 3 = it is reachable. */
struct hook *hook_secondary_check(const struct conf_server *master);

/* report_script, of a master that is not replaced by a new one. */
struct hook *hook_report(const struct conf_server *master, const char *conf_path,
        const char *subject, const char *body);
/* The same after a failover.  `fresh` is NULL when no new master was opened; `new_slave_hosts` are the
 * host names of slaves that follow it: "h1,h2", may be empty. */
struct hook *hook_report_failover(const struct conf_server *dead, const struct conf_server *fresh,
        const char *new_slave_hosts, const char *conf_path, const char *subject, const char *body);

/* A call of report_script with arguments that an earlier one had. */
struct hook *hook_report_again(const struct conf_server *s, const char *const *args);

/* master_ip_online_change_script.  `stop` is the old master's script, and called only when the new one
 * has one too.  `orig_is_new_slave`: the old master becomes a slave of the new one. */
struct hook *hook_online_change(bool stop, const struct conf_server *orig,
        const struct conf_server *fresh, bool orig_is_new_slave);

/* Any call: `setting` is one of the program's own texts, the rest is copied.  Returns owned. */
struct hook *hook_new(const char *setting, const char *prefix, const char *const *args);
void hook_free(struct hook *h); /* NULL is fine */
CLEANUP_FN(hook, struct hook *, hook_free)

/*
 * A fact for the script's environment, instead of an earlier one of that name: what is not in MHA's lists
 * of arguments.  The shipped scripts know MHAD_CHANNEL, MHAD_HOSTS and MHAD_CLUSTER (hookline.h),
 * MHAD_TOKEN (whose fence it is), MHAD_VIP_OFF ("yes" for `start`: the failover's own `stop` ended
 * with 0, so that the network need not be asked for long) and MHAD_SWITCH ("frozen": a planned switch that
 * stops writes itself; "unlocked": one that does not).
 */
void hook_set_env(struct hook *h, const char *name, const char *value);

/* mhad says so at its start, before there are workers.  `socket` (borrowed for ever) is the helper's;
 * NULL: hooks run here. */
void hook_use_helper(const char *socket);

/* Whether a script setting has a command: "" switches an inherited one off. */
bool hook_is_set(const char *prefix);

const char *hook_setting(
        const struct hook *h); /* "master_ip_failover_script"; borrowed from the program */
const char *const *hook_args(
        const struct hook *h); /* NULL-terminated, without the prefix; borrowed from the hook */

/* The call as one line for the log, passwords as xxx.  Returns owned. */
char *hook_text(const struct hook *h);

/*
 * Run and wait, at most until the deadline.  Success is exit status 0.  ERR_REMOTE: another status
 * (code), a signal (code is minus its number) or late (minus SIGTERM, or SIGKILL); ERR_SYSTEM: it could
 * not be started.  The helper's: see hookd_call().  `ret_output` (may be NULL) gets what it wrote, both
 * streams, also when it failed.
 */
bool hook_run(
        const struct hook *h, int64_t deadline, struct str *ret_output, struct err *e) MUST_USE;

/* The exit status of a failed hook_run(): 1 to 255; -1: there is none (a signal, late, or it did not
 * run).  Status 10 of a hook that was ended by us is none. */
int hook_status(const struct err *e);

/* MHA's "high:low", exit status and signal, for logs and reports: "10:0", "0:9"; "none" when nothing
 * is known.  NULL is success, "0:0". */
#define HOOK_CODE_MAX 24
const char *hook_code(const struct err *e, char buf[HOOK_CODE_MAX]);

/*
 * Run here and now, whatever hook_use_helper() said, and do not judge.  False only if it could not
 * be started.  `cancel_fd` as in proc.h.
 */
bool hook_exec(const struct hook *h, int64_t deadline, int cancel_fd, struct proc_result *ret,
        struct err *e) MUST_USE;

/*
 * The same as a job: takes the hook; `done` is called once, on the loop, with what it wrote (empty
 * if it is late beyond all means) and NULL or the error.
 */
struct job_pool;
typedef void (*hook_done_fn)(
        void *arg, const struct hook *h, const struct str *output, const struct err *e);
void hook_start(
        struct job_pool *p, struct hook *h, int64_t timeout_ms, hook_done_fn done, void *arg);

/* The ssh option string that MHA hands to scripts and node tools: its check set (4 options), or the
 * one for long sessions. */
enum hook_ssh_set { HOOK_SSH_CHECK, HOOK_SSH_LONG };
char *hook_ssh_options(enum hook_ssh_set set, const struct conf_server *s);
