/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * standin - one small process for each cluster that has a status file, so that whoever kills the pid in that
 * file, or its process group, ends the watch of that cluster and nothing else.  Runs on: loop, but
 * standins_fork().  Logs: never.
 *
 * MHA runs one manager per cluster, and people end it by its pid.  A stand-in does nothing but live: it is
 * called `masterha_manager --conf=<path>`, leads a process group of its own, and ends with mhad.
 * All are forked from a process that was forked from mhad before it had threads or memory.
 */
#pragma once
#include <stdint.h>
#include <sys/types.h>
#include "mem.h"

struct loop;
struct standins;

/* First thing in main, before threads: `argv` is what the children's names are written over.  NULL with
 * ERR_SYSTEM. */
struct standins *standins_fork(char **argv, struct err *e) MUST_USE;

/* `made`: it lives, or pid 0 and it could not be made.  `ended`: it is gone, by this signal (0: it ended by
 * itself).  Both on the loop, never from inside of a function of this header. */
typedef void (*standin_made_fn)(void *arg, uint64_t id, pid_t pid);
typedef void (*standin_ended_fn)(void *arg, uint64_t id, pid_t pid, int signo);
void standins_attach(struct standins *s, struct loop *l, standin_made_fn made,
        standin_ended_fn ended, void *arg);
void standins_free(struct standins *s); /* all end; NULL is fine */

/* Have one made; `id` is the caller's, who may not use it twice.  False: there is nobody to make one any more. */
bool standin_make(struct standins *s, uint64_t id, const char *conf_path);
/* End it; `ended` is not called for it. */
void standin_end(struct standins *s, uint64_t id);
