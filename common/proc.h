/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc - run a program and wait for it, with a deadline.  Runs on: worker (blocks).  Logs: never.
 *
 * The child gets its own process group, only fds 0, 1 and 2, default signal actions and an empty signal mask.  At
 * the deadline the group gets TERM, and KILL after a grace time; the call returns soon after even when a grandchild
 * keeps a pipe open.  Output beyond the cap is thrown away (and said so), never blocks the child.
 *
 * No SIGCHLD handler is needed and nobody else's children are waited for.  The first use makes the process
 * ignore SIGPIPE, and undoes an inherited "ignore SIGCHLD" (with it exit statuses would be lost).
 */
#pragma once
#include <stdint.h>
#include <sys/types.h>
#include "str.h"

struct proc_opts {                  /* all borrowed */
	const char *const *argv;    /* NULL-terminated; argv[0] is looked up in PATH */
	const char *const *env_add; /* "NAME=value" entries added or replaced; NULL = none */
	const char *cwd;            /* NULL: ours */
	const void *input;          /* written to its stdin, then closed; NULL: /dev/null */
	size_t input_len;
	size_t output_max; /* bytes kept of each stream; 0 = 64 KiB */
	bool merge;        /* stderr goes where stdout goes */
	int64_t deadline;  /* instant */
	int64_t grace_ms;  /* between TERM and KILL; 0 = 1000 */
	int cancel_fd;     /* readable or hung up: as if the deadline were now; 0 = none */
};

struct proc_result {
	int status; /* exit status, or -1 when a signal ended it */
	int signal; /* the signal, or 0 */
	bool late;  /* it was ended by us at the deadline */
	bool cut;   /* output was longer than the cap */
	int64_t took_ms;
	struct str out, err;
};

/*
 * False only if the program could not be started (ERR_SYSTEM, code ENOENT when there is none): then nothing ran.  A failing
 * or late program is a result, not an error.  Call proc_done() on success.
 */
bool proc_run(const struct proc_opts *o, struct proc_result *ret, struct err *e) MUST_USE;
void proc_done(struct proc_result *r);

/*
 * A program that the caller talks to: our ends of its pipes, non-blocking.  Close (and set to -1) what is not
 * needed any more; `exit_fd` is readable when it has ended (-1 where the kernel has no such thing).
 */
struct proc_child {
	pid_t pid;
	int exit_fd;
	int in, out, err; /* in: -1 without `input`, err: -1 with `merge` */
};

/* Start only: of `o`, input (not NULL: make a pipe), merge, argv, env_add and cwd count. */
bool proc_start(const struct proc_opts *o, struct proc_child *ret, struct err *e) MUST_USE;
bool proc_reap(struct proc_child *c, int64_t deadline, int *ret_status,
        int *ret_signal) MUST_USE;          /* waits for its end */
void proc_child_done(struct proc_child *c); /* KILLs the group if it still runs, closes all */
