/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * flap - MHA's rule against flapping: no failover soon after the last one, none after one that failed,
 * until somebody has looked.  Runs on: worker, main thread (files; the marks are synced).  Logs: never.
 *
 * MHA's files in manager_workdir, which its tools and people's scripts read and remove:
 *	<app>.failover.complete	its time is that of the last failover; blocks the next one for
 *				last_failover_minute (480), or failover_interval
 *	<app>.failover.error	the last failover broke off after it had begun to change things; blocks
 *				every next one
 * To lift a block: remove the file, start the failover with --ignore_last_failover (flap_forget()), or
 * `mhactl ack` (flap_ack()), which leaves the files to MHA's tools and keeps who lifted it, when and why
 * as a line of JSON in <state_dir>/<app>/acks.
 *
 * An attempt that changed nothing does not count: it is not marked.  So the engine calls
 * flap_mark_complete() when a failover is over (also partly: MHA's exit code 10) and flap_mark_error()
 * when one broke off in or after the phase that shuts the dead master out, and neither when a check
 * before that said no.
 */
#pragma once
#include <stdint.h>
#include "err.h"

/* Which cluster.  All borrowed. */
struct flap_at {
	const char *workdir;   /* manager_workdir */
	const char *app;       /* name of the cluster */
	const char *state_dir; /* where acks are kept, /var/lib/mhad; NULL: there are none */
};

#define FLAP_WINDOW_MS (INT64_C(480) * 60 * 1000) /* MHA's last_failover_minute */

enum flap_why {
	FLAP_FREE,    /* no failover within the window, none failed */
	FLAP_ACKED,   /* there was one, and somebody lifted the block; `text` says who */
	FLAP_RECENT,  /* blocked by .failover.complete */
	FLAP_ERROR,   /* blocked by .failover.error */
	FLAP_UNKNOWN, /* blocked, since a file could not be looked at */
};

struct flap {
	enum flap_why why;
	int64_t age_ms;  /* RECENT, ERROR, ACKED: of the file; below 0: its time is in the future */
	int64_t left_ms; /* RECENT: until the block ends by itself */
	char text[512];  /* why not, in plain words; "" when FREE */
	char hint[320];  /* what to type */
	char mha[512];   /* RECENT, ERROR: the same in MHA's words, for the log */
};

/*
 * May a failover begin?  `window_ms` 0: an earlier success does not matter.  `now_wall_ms` is wall
 * time (milliseconds since 1970), as file times are; a file whose time is in the future counts as just
 * written, and the text says that the clock may have been changed.  Changes nothing.
 */
bool flap_check(const struct flap_at *at, int64_t window_ms, int64_t now_wall_ms, struct flap *ret);

/* Wall time for flap_check(). */
int64_t flap_now_ms(void);

/* --ignore_last_failover: remove both files.  It is fine when there are none. */
bool flap_forget(const struct flap_at *at, struct err *e);

/*
 * Lift the block: what is there now no longer blocks, what comes later does.  `reason` and `who` are
 * kept ("because disk replaced", "root over the socket").  ERR_CONFIG: no reason was given.
 * *ret_lifted (may be NULL): there was something to lift; if not, nothing is kept.
 */
bool flap_ack(const struct flap_at *at, const char *reason, const char *who, bool *ret_lifted,
        struct err *e);

/* The marks, on disk when the call returns.  No link is followed, a stranger's file is replaced. */
bool flap_mark_complete(const struct flap_at *at, struct err *e);
bool flap_mark_error(const struct flap_at *at, struct err *e);
