/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notify - messages for people by report_script: written down before they are sent, sent in their order, by
 * nobody who has anything else to do.  Runs on: loop; files and scripts on workers.  Logs: yes.
 *
 * <state_dir>/<cluster>/messages/<when>-<n>.json holds one message until its script has ended well.  A script that
 * fails is called again, after 10 s and then after longer and longer pauses, for a day; with report_on=end,
 * whose scripts are MHA's and expect one call, it is not.  What was not sent when mhad ended is sent when it is
 * back: a message may come twice (mhad was killed right after its script had ended), but is not lost.
 *
 * The messages of a cluster wait for one another, those of different clusters do not; a few scripts run at once.
 */
#pragma once
#include "conf.h"

struct hook;
struct job_pool;
struct loop;
struct notify;

/* The server whose report_script is meant, as it is configured now; NULL: there is none any more. */
typedef const struct conf_server *(*notify_find_fn)(
        void *arg, const char *cluster, const char *server);

/* state_dir NULL: messages live in memory only. */
struct notify *notify_new(
        struct loop *l, struct job_pool *p, const char *state_dir, notify_find_fn find, void *arg);
void notify_free(struct notify *n); /* what waits stays in its files; NULL is fine */

/* Takes the call of report_script of `s` (NULL: it has none, and nothing happens). */
void notify_put(struct notify *n, const char *cluster, const struct conf_server *s, struct hook *h);

/* Send what an earlier mhad has left of this cluster: once, when it is known. */
void notify_take_up(struct notify *n, const char *cluster);
