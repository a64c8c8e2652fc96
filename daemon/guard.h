/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guard - looks whether an old master is back, and closes it at once.  Runs on: loop; closing on a worker.
 * Logs: yes.
 *
 * Closed is: read-only as far as the server can be made so, and its clients ended.  A server that is back as
 * a read-only slave is left alone.  What was done is told as an event, and kept in the history.
 *
 * A run of failover has one from its begin to its end, and whoever goes on watching has one after it.
 */
#pragma once
#include "mem.h"

struct conf_server;
struct guard;
struct job_pool;
struct loop;

/* A command that has failed over and could not prove that the old master is down stays for so long. */
enum { GUARD_LINGER_MS = 15000 };

struct guard_opts { /* all borrowed until guard_free() */
	const char *cluster;
	const char *state_dir; /* of the history; NULL: none is kept */
	const char *by;        /* for the history: "mhad" */
	/* It is up: shall it be closed?  NULL: always. */
	bool (*may_close)(void *arg);
	/* It was closed; `text` says so for reports ("": a double master that was a slave, and closed, already).
	 * `was_open`: it took writes until then.  May be NULL. */
	void (*closed)(void *arg, bool was_open, const char *text);
	void *arg;
};

/* `old` is borrowed until guard_free().  It is looked at now, and every 100 ms; after a minute every two
 * seconds.  Returns owned. */
struct guard *guard_new(struct loop *l, struct job_pool *jobs, const struct conf_server *old,
        const struct guard_opts *o);
/* What is being closed just now still is.  NULL is fine. */
void guard_free(struct guard *g);

/* Any thread: it answered when it was last looked at; it is being closed. */
bool guard_is_up(const struct guard *g);
bool guard_is_closing(const struct guard *g);
