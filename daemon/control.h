/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control - the control socket: who may ask what, and how requests meet their handlers.  Runs on: loop.
 *
 * A Unix stream socket; each line is one JSON object.  The server speaks first:
 *
 *	{"mhad":"0.1.0","protocol":1}
 *	{"id":7,"verb":"status","args":{...}}                     request; args may be left out
 *	{"id":7,"ok":true,"value":...}                            its answer
 *	{"id":7,"ok":false,"error":{"kind":...,"code":N,"text":...,"hint":...}}
 *	{"id":7,"event":...}                                      any number before the answer
 *
 * Answers come in any order.  What cannot be read as a request is answered with id null and changes
 * nothing.  Clients are strangers until SO_PEERCRED and SO_PEERGROUPS say otherwise: uid 0, mhad's
 * own uid and the members of the admin group may all, members of the reading group may read, others
 * are told so and shown out.  No client can hold up the loop or make it grow: lines, depth, requests
 * in flight, waiting output, time and work per turn are bounded, and what goes over is cut off.
 */
#pragma once
#include <jansson.h>
#include <sys/types.h>
#include "err.h"

struct loop;
struct control;
struct control_call;

#define CONTROL_PROTOCOL 1

enum control_level { CONTROL_NONE, CONTROL_READ, CONTROL_ADMIN };

/*
 * Answers now or later; `args` is an object (empty when the request had none), borrowed for the
 * call.  A handler that keeps the call has two ways: it answers in any case, also when the peer is
 * gone by then (the answer is dropped), or it sets control_on_cancel().
 */
typedef void (*control_fn)(struct control_call *call, const json_t *args);

struct control_verb {
	const char *name; /* NULL ends the table */
	enum control_level level;
	control_fn run;
};

struct control_opts {
	const char *read_group, *admin_group; /* NULL or "" = none; borrowed for control_new() */
	/* Bounds; 0 = the default. */
	int max_clients;      /* 64; readers get three quarters of them */
	int max_requests;     /* 16 in flight for each client */
	size_t max_line;      /* 64 KiB */
	size_t max_output;    /* 4 MiB waiting for one client */
	int64_t idle_ms;      /* 300,000 without a request */
	int64_t half_line_ms; /* 10,000 for the rest of a line */
	int64_t stuck_ms;     /* 10,000 without taking a byte of what waits for it */
};

/*
 * Listen on `listen_fd` (taken; from socket activation, where permissions are the unit's), or with
 * -1 make the socket at `path`: mode 0660 and of the reading group, else of the admin group; with
 * two different groups, 0666, since only the credentials can tell both from the rest.  What a dead
 * mhad left behind is removed, under a lock (PATH.lock) and only when nobody answers there.
 * `table` is borrowed and `arg` is what control_arg() gives.  Looks names up: before the loop runs.
 * NULL: ERR_PRECOND (another mhad answers there), ERR_CONFIG (no such group), ERR_SYSTEM.
 */
struct control *control_new(struct loop *l, int listen_fd, const char *path,
        const struct control_opts *o, const struct control_verb *table, void *arg,
        struct err *e) MUST_USE;

/* Peers are cut off, calls canceled, the socket removed if it was made here.  NULL is fine. */
void control_free(struct control *c);

struct control_peer {
	uid_t uid;
	gid_t gid;
	pid_t pid;
	enum control_level level;
	char user[64]; /* "root"; "uid 1234" when the local passwd file does not know it */
	char who[128]; /* "root (uid 0, pid 4711)", for the log */
};

/* Both borrowed until the call is over. */
const struct control_peer *control_peer(const struct control_call *call);
const char *control_verb_name(const struct control_call *call);
void *control_arg(const struct control_call *call);

/*
 * Each ends the call; its handle is gone.  `value` is taken (NULL is null).  What cannot be
 * written as JSON, or is larger than may wait, becomes an error of this one call.
 */
void control_answer(struct control_call *call, json_t *value);
void control_refuse(struct control_call *call, const struct err *e);

/*
 * One event of a stream; `event` is taken.  False: the peer is gone or too slow and is being cut
 * off, more is pointless.  The call still has to be answered, or is canceled soon.
 */
bool control_event(struct control_call *call, json_t *event);

/*
 * When the peer goes away, fn is called once and the call is over when it returns; fn must not
 * answer.  Never called from inside another function of this header except control_free().
 */
typedef void (*control_cancel_fn)(struct control_call *call, void *arg);
void control_on_cancel(struct control_call *call, control_cancel_fn fn, void *arg);

/*
 * json_unpack() for arguments, where every name that is not in `fmt` is refused: a mistyped option
 * must not be taken for one left out.  ERR_PRECOND says which.
 *
 *	control_args(args, &e, "{s:s, s?I}", "cluster", &name, "for_ms", &ms)
 */
bool control_args(const json_t *args, struct err *e, const char *fmt, ...) MUST_USE;

/* A JSON string of any bytes: invalid UTF-8 becomes U+FFFD; NULL is null. */
json_t *control_text(const char *text);
