/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ask - mhactl's end of the control socket (control.h has the protocol).  Runs on: the main thread of
 * a command; every wait has a deadline.
 *
 * Errors say what to type: ERR_UNREACHABLE (no mhad there: nothing happened), ERR_REFUSED (not for
 * this user), ERR_LOST (no answer in time or cut off: an action may have been done), ERR_PARSE
 * (that is not mhad).  What mhad itself answers as an error comes with mhad's kind.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>
#include "mem.h"

struct ask;

#define ASK_PATH "/run/mhad/control"

/* The socket: `given` if it is not NULL, else $MHAD_SOCKET, else ASK_PATH.  Returns borrowed. */
const char *ask_path(const char *given);

/* Connect and read the greeting.  Returns owned. */
struct ask *ask_open(const char *path, int64_t deadline, struct err *e) MUST_USE;
void ask_free(struct ask *a); /* NULL is fine */
CLEANUP_FN(ask, struct ask *, ask_free)

/* mhad's version, from its greeting.  Borrowed. */
const char *ask_version(const struct ask *a);

/* One request, one answer.  `args` is taken, NULL is none.  Returns owned. */
json_t *ask_call(
        struct ask *a, const char *verb, json_t *args, int64_t deadline, struct err *e) MUST_USE;

/* Called for each event of a stream; false ends it. */
typedef bool (*ask_event_fn)(void *arg, const json_t *event);

/* As ask_call(), for a verb with events.  Where fn ends it, the result is null and `a` is used up. */
json_t *ask_stream(struct ask *a, const char *verb, json_t *args, ask_event_fn fn, void *arg,
        int64_t deadline, struct err *e) MUST_USE;

/*
 * The same in pieces, for whoever has other things to wait for: send, wait until ask_fd() can be
 * read, see what came.  ASK_MORE: nothing whole yet.  After ASK_BAD that is ERR_LOST or ERR_PARSE
 * the connection is of no use any more; other errors are mhad's answer.
 */
enum ask_next { ASK_MORE, ASK_EVENT, ASK_VALUE, ASK_BAD };
bool ask_send(struct ask *a, const char *verb, json_t *args, struct err *e) MUST_USE;
int ask_fd(const struct ask *a);
enum ask_next ask_next(struct ask *a, json_t **ret, struct err *e) MUST_USE;
bool ask_is_over(const struct ask *a); /* of no use any more */
