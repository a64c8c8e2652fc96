/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * act - carries out what a watch has decided: the failover, what comes after it, and closing an old
 * master that comes back.  Runs on: loop.  Logs: yes.
 *
 * One act per watch, for mhad and for masterha_manager alike.
 */
#pragma once
#include "failover.h"
#include "watch.h"

struct act;
struct notify;

struct act_opts { /* all borrowed until act_free() */
	struct failover_env env;
	const char *by; /* for the history: "mhad" */
	struct notify *
	        notify; /* report_script is called by it; NULL: when a failover has ended, at once */
	/* What the command line says of the failover; dead, verdict, why... are filled in. */
	struct failover_opts failover;
	/* The failover is over: `r` is borrowed for the call.  Then, when report_script and all files are done
	 * with, `ended`; both may be NULL.  act_free() is allowed one turn after `ended`. */
	void (*done)(void *arg, const struct failover_report *r);
	void (*ended)(void *arg);
	void *arg;
};

struct act *act_new(struct watch *w, const struct act_opts *o);
/* A failover that runs is canceled; the old master is not looked after any more.  NULL is fine. */
void act_free(struct act *a);

/* env.dead of the watch: fail over if all gates are open.  Whether it has begun. */
bool act_dead(struct act *a);
/* A run that was killed is taken up; false: there is none, or it cannot be (logged). */
bool act_resume(struct act *a);
/* Until `ended`, and while an old master that came back is made a slave (auto_rejoin). */
bool act_is_running(const struct act *a);
void act_cancel(struct act *a, const char *why);

/* Look after the watch's absent old master (watch_absent()): call it when that may have changed. */
void act_guard(struct act *a);
