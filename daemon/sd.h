/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sd - what mhad and systemd tell each other: readiness, status, watchdog, sockets.  Runs on: loop
 * (sd_listen_fd() before there are threads).  Logs: never.
 *
 * Without systemd everything here does nothing, silently.  The variables that systemd sets are taken
 * out of the environment by sd_new(), so that no hook or ssh(1) can speak in our name.
 *
 *	struct sd *sd = sd_new(loop);		// first thing in main, before threads
 *	int fd = sd_listen_fd(sd, "control");	// -1: make the socket yourself
 *	... load the configuration, start watching ...
 *	sd_ready(sd, "watching %zu clusters", n);	// systemctl start returns now
 *	... on SIGHUP: sd_reloading(sd); load; sd_ready(sd, ...);
 *	... on SIGTERM: sd_stopping(sd, "..."); loop_stop(loop);
 *
 * The watchdog is fed by a timer of the loop and by nothing else: a loop that is stuck in a callback,
 * a deadlock or SIGSTOP does not feed it, and systemd restarts mhad after WatchdogSec.  Feeding begins
 * with sd_new(), so a long start-up must happen on the loop too, or be short.
 */
#pragma once
#include <stdint.h>
#include "mem.h"

struct loop;
struct sd;

/* Names of what the units and the package define. */
#define SD_USER        "mhad"
#define SD_GROUP_READ  "mhad-read"  /* may ask */
#define SD_GROUP_ADMIN "mhad-admin" /* may act */
#define SD_CONTROL     "control"    /* FileDescriptorName= of mhad.socket */
#define SD_HTTP        "http"

/* Never NULL.  Before threads: changes the environment. */
struct sd *sd_new(struct loop *l);
void sd_free(struct sd *s); /* before the loop; closes sockets that nobody took.  NULL is fine */
CLEANUP_FN(sd, struct sd *, sd_free)

bool sd_is_service(const struct sd *s); /* somebody listens to what we say */

/* The listening stream socket of this name, or -1; non-blocking and close-on-exec.  Taken by the
 * caller, so the second call gives -1 (or the next one of the same name). */
int sd_listen_fd(struct sd *s, const char *name);

/* READY=1 with the line that `systemctl status` shows: also the end of a reload. */
void sd_ready(struct sd *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A new status line; said only when it differs from the last, so it may be called often. */
void sd_status(struct sd *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void sd_reloading(struct sd *s);
void sd_stopping(struct sd *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Start-up failed: the line that `systemctl status` shows beside the exit status. */
void sd_failed(struct sd *s, const struct err *e);
