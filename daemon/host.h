/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * host - commands on one host over one session, as a job.  Runs on: loop (host_run() and its
 * callback); the session itself on a worker.  Logs: never.
 *
 * Several servers on one host share its session: host_same() tells them.
 */
#pragma once
#include <stdint.h>
#include "conf.h"
#include "ssh.h"

struct job_pool;

struct host_cmd {
	char *line; /* for the remote shell; wiped and freed with the job */
	int64_t limit_ms;
};

struct host_answer {
	int status; /* exit status; -1: a signal, or no answer at all: then `err` says why */
	const char *out, *err_out; /* trimmed at their end, never NULL */
	struct err err; /* kind ERR_NONE: the command ran to its end, whatever its status */
};

struct host_result {
	const char *transport;       /* "libssh2", "openssh"; NULL when there was no session */
	int64_t open_ms;             /* connect and login; 0 when the session was given */
	struct err err;              /* no session, or late; kind ERR_NONE otherwise */
	struct host_answer *answers; /* one for each command, in order; none if err is set */
	size_t n;
	struct ssh *session; /* still open: the callback may TAKE it */
};

/* `r` and all in it end with the callback. */
typedef void (*host_done_fn)(void *arg, struct host_result *r);

/*
 * Open a session with the host of `s` (or use `session`, takes), run the commands one after the
 * other (takes them and their lines). After a command that got no answer the session is used again
 * only if it still answers.  `done` is called once, on the loop.
 */
void host_run(struct job_pool *p, const struct conf_server *s, struct ssh *session,
        struct host_cmd *cmds, size_t n, host_done_fn done, void *arg);

/* Same host, port and user: one session serves both. */
bool host_same(const struct conf_server *a, const struct conf_server *b);

/* "root@db1(10.0.0.1:22)", as MHA writes it.  Returns owned. */
char *host_login(const struct conf_server *s);
