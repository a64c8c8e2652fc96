/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hookd - hooks with rights that mhad itself does not have.  Runs on: hookd_call() on a worker,
 * hookd_serve() in a process of its own.  Logs: never.
 *
 * mhad runs as its own user, shut in; users' hooks expect to be root.  So systemd listens on a socket
 * that only mhad may connect to and starts one `mhad hook` for each connection, in a cgroup of its own
 * and with the rights of mhad-hook@.service.  One request, one answer:
 *
 *	{"protocol":1,"conf":PATH,"server":ID,"setting":NAME,"args":[...],"env":["MHAD_X=..."],
 *	 "deadline_ms":N}\n
 *	{"status":N,"signal":N,"late":BOOL,"cut":BOOL,"took_ms":N,"output":LENGTH}\n and the bytes, or
 *	{"error":{"kind":N,"code":N,"text":...,"hint":...}}\n: nothing ran
 *
 * What runs is never said by mhad: the helper reads the setting itself, from the file of that cluster,
 * which must be one that nobody but root can change.  mhad chooses the moment and the arguments; those
 * that scripts hand to ssh(1) must look like what they are (a host is no option, --ssh_options are
 * the configuration's), and variables must be named MHAD_*.
 *
 * When mhad hangs up, or at the deadline, the hook's process group gets TERM, then KILL; what left the
 * group ends with the service's cgroup.
 */
#pragma once
#include <stdint.h>
#include "proc.h"

#define HOOKD_PATH "/run/mhad/hook"

struct hookd_call {                           /* all borrowed */
	const char *conf;                     /* absolute path of the cluster's file */
	const char *server;                   /* id of the server whose setting it is */
	const char *setting;                  /* "shutdown_script" */
	const char *const *args, *const *env; /* NULL-terminated; env may be NULL */
	int64_t deadline;
};

/*
 * Have it run; blocks until its end.  ERR_UNREACHABLE: the helper cannot be reached, nothing ran.
 * ERR_LOST: no answer, it may have run.  Other kinds are the helper's: it refused, or the hook could not
 * be started; nothing ran.  On success proc_done() the result.
 */
bool hookd_call(const char *socket, const struct hookd_call *c, struct proc_result *ret,
        struct err *e) MUST_USE;

/*
 * Serve the one connection `fd` (borrowed): uid 0, our own uid and `user` (NULL: nobody else) may ask.
 * False: it was refused or could not be answered; the peer has been told if that was possible.
 */
bool hookd_serve(int fd, const char *user, struct err *e);
