/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hookline - the road of hooks to the hosts of a cluster: mhad's warm sessions, so that a script
 * needs no login of its own.  Runs on: loop, except hookline_equip().  Logs: never.
 *
 * It is a control socket (control.h) of its own, in a folder that only we and root may enter; others
 * are turned away by their credentials too.  There is one verb:
 *
 *	{"id":1,"verb":"via","args":{"host":"db1","verb":"vip","args":{"show":true},"timeout_ms":5000}}
 *	{"id":1,"ok":true,"value":{"status":0,"out":"...","error":"...","value":...}}
 *
 * The host is one of that cluster, by its name, its address or its id, and what it can be asked is
 * vip, fence, probe and reach.  An error instead of a value: there was no answer from the host, with
 * link.h's kinds.  `mhactl via HOST VERB --OPTION...` asks for scripts.
 */
#pragma once
#include "conf.h"

struct hook;
struct hookline;
struct link;
struct loop;

/* The link to that server's host, or NULL.  Called for each request; what it returns outlives the line. */
typedef struct link *(*hookline_link_fn)(void *arg, const struct conf_server *s);

/* `conf` is borrowed as long as it lives.  The socket is made below $TMPDIR, else /tmp.  Returns owned. */
struct hookline *hookline_new(struct loop *l, const struct conf *conf, hookline_link_fn link,
        void *arg, struct err *e) MUST_USE;

/* Requests that wait are canceled, the socket goes away.  NULL is fine. */
void hookline_free(struct hookline *line);

/* Any thread: MHAD_CHANNEL (the socket), MHAD_HOSTS (names, separated by blanks) and MHAD_CLUSTER for
 * this call.  NULL: the script has to log in by itself. */
void hookline_equip(const struct hookline *line, struct hook *h);
/* Any thread: its whole host is known to be silent; what is asked of it is not waited for long. */
void hookline_expect_silence(struct hookline *line, const struct conf_server *s);
const char *hookline_path(const struct hookline *line); /* borrowed */
