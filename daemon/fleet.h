/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fleet - all clusters of one mhad: their files, their watches, their stand-ins, and what mhad knows of
 * itself.  Runs on: loop.  Logs: yes.
 *
 * Each <confdir>/clusters.d/ *.conf or *.cnf is one cluster, named after the file.  A file that cannot be
 * used costs only its own cluster: at the start it is shown with its error, at a reload the cluster goes on
 * with what it had.  A watch whose configuration did not change is not touched by a reload.
 */
#pragma once
#include <jansson.h>
#include <sys/types.h>
#include "control.h"

struct fleet;
struct http_ask;
struct job_pool;
struct link_room;
struct loop;
struct standins;

struct fleet_opts {
	const char *confdir;       /* /etc/mhad; borrowed for ever, as all here */
	const char *state_dir;     /* /var/lib/mhad; NULL: nothing is kept */
	struct standins *standins; /* NULL: .cnf clusters have no status file */
	/* What `systemctl status` shows has changed; may be NULL. */
	void (*changed)(void *arg);
	void *arg;
};

struct fleet *fleet_new(
        struct loop *l, struct job_pool *p, struct link_room *room, const struct fleet_opts *o);
/* All watches end, status files are removed, replication is left alone.  NULL is fine. */
void fleet_free(struct fleet *f);

/*
 * Read all files, by jobs, and follow them.  `done` is called on the loop, never from within; a call
 * while one is under way is served after it.
 */
struct fleet_loaded {
	size_t clusters;  /* watched now */
	bool again;       /* names could not be looked up: it will be tried again by itself */
	json_t *changed;  /* texts: "app1: added"; borrowed */
	json_t *problems; /* texts: "app1.cnf:12: ..." */
};
typedef void (*fleet_loaded_fn)(void *arg, const struct fleet_loaded *r);
void fleet_load(struct fleet *f, fleet_loaded_fn done, void *arg);

/* "watching 12 clusters, 1 not well" */
void fleet_line(const struct fleet *f, char *buf, size_t size);

/* The verbs of the control socket; their control_arg() is the fleet. */
const struct control_verb *fleet_verbs(void);

/* What pages and metrics show: the source of http.h.  `fleet` is a struct fleet. */
void fleet_glance(void *fleet, struct http_ask *ask);

/* Name of a cluster that is being failed over; NULL: none is. */
const char *fleet_acting(const struct fleet *f);
