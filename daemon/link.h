/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link - a warm session with each host: `mha-node session` over one SSH connection, opened while
 * all is well, so that a question in an emergency is one round trip.  Runs on: loop; what is said to
 * block, on a worker.  Logs: never.
 *
 * A link opens in the background, is pinged, and reopens after a loss: at once, then with growing
 * pauses (1 s doubling to 30 s), at once again after link_wake() or with the next call.  Links to
 * the same host (address, port, user) within one room share one connection: just make one for each
 * server.
 *
 * Where the host has no `mha-node` the link is UP with has_node false: link_exec() alone works then.
 * It is looked for again each minute.
 *
 *	struct link_room *room = link_room_new(loop, 500);
 *	struct link *l = link_new(room, server, &(struct link_opts){ .priority = 1 }, changed, me);
 *	link_call(l, "probe", json_pack("{s:i}", "port", 3306), clock_in(2000), probed, me);
 */
#pragma once
#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>
#include "conf.h"

struct loop;
struct link;
struct link_call;
struct link_room;

/* ---- the room: how many connections at most ---- */

/*
 * At most `most` connections are open or being opened at once; further links wait their turn in
 * state OPENING with `waits_for_room`, the most important first.  One that is more important (also
 * one that is asked something) takes the place of the least important that has nothing to do.
 */
struct link_room *link_room_new(struct loop *l, int most);

/* All links must be gone.  Waits for their threads, at most until the deadline: false, some are left
 * (in a library that hangs) and clean up after themselves.  NULL is fine. */
bool link_room_free(struct link_room *room, int64_t deadline);

struct link_room_stats {
	int most;    /* connections at once */
	int hosts;   /* that there are links to */
	int up;      /* connected */
	int waiting; /* for room */
};
struct link_room_stats link_room_stats(const struct link_room *room); /* loop */

/* ---- links ---- */

enum link_state {
	LINK_OPENING, /* never up so far and nothing known against it, or waiting for room */
	LINK_UP,
	LINK_DOWN, /* the last attempt failed or the connection was lost; tried again and again */
};

/* Why it is DOWN: what the host itself does. */
enum link_why {
	LINK_FINE,     /* it is not down */
	LINK_SILENT,   /* nothing comes from the host: off, cut off */
	LINK_REFUSED,  /* the host answers, but there is no SSH server on that port, or it cut us */
	LINK_STALLED,  /* it accepts connections, but no answer comes in time */
	LINK_LOGIN,    /* none of our keys is accepted */
	LINK_HOST_KEY, /* it shows an unknown or a CHANGED host key: perhaps another machine */
	LINK_OURS,     /* our own configuration or machine: key file, options, memory */
};

struct link_view {
	enum link_state state;
	enum link_why why;
	int64_t since; /* instant; how long it has been in this state.  Failed attempts do not move it */
	/* Instant of the last sign of life: bytes, or an answer of its kernel to our connecting; 0:
	 * never.  `silent` is `heard` when nothing has come for longer than a ping takes. */
	int64_t heard;
	bool waits_for_room;
	bool has_node;      /* UP: mha-node answers; else link_exec() only, and `err` says why */
	char version[24];   /* UP and has_node: mhad's version over there */
	char transport[12]; /* UP: "libssh2" or "openssh" */
	struct err err;     /* DOWN: the last failure, with host and hint */
};

struct link_opts {
	int priority;       /* 0 is the most important: masters 0, candidates 1, others 2... */
	int64_t ping_ms;    /* 0: 2000 */
	int64_t silence_ms; /* unanswered for so long: lost; 0: 3000 */
};

/* The state, cause or has_node has changed since link_new() or the last such call; see link_view().  Never from inside of a function of
 * this module that the owner calls. */
typedef void (*link_state_fn)(void *arg, struct link *l);

/* `host` and `opts` are borrowed for the call.  Returns owned.  Threads, sockets and look-ups are not
 * waited for, here or in link_free(). */
struct link *link_new(struct link_room *room, const struct conf_server *host,
        const struct link_opts *opts, link_state_fn changed, void *arg);

/* Its calls are forgotten: their functions are not called.  NULL is fine.  Allowed in callbacks. */
void link_free(struct link *l);

void link_set_priority(struct link *l, int priority);
void link_wake(struct link *l); /* if it is down: try again now */

/* Borrowed until the loop's next turn. */
const struct link_view *link_view(struct link *l);
const char *link_name(const struct link *l); /* "root@db1(10.0.0.1:22)" */

/* Would it be the same connection? */
bool link_same_host(const struct link *l, const struct conf_server *s);

const char *link_state_name(enum link_state s); /* "opening", "up", "down" */
const char *link_why_name(enum link_why w);     /* "silent", "refused"...; LINK_FINE: "" */

/* ---- questions, on the loop ---- */

struct link_answer {
	/* Exit status of the verb or command; -1: there is none, and `err` says why (ERR_LOST: it may
	 * have run).  A verb that failed has both; a command that failed only the status. */
	int status;
	struct err err;
	json_t *value;       /* what the verb answered, or NULL; json_incref() to keep it */
	const char *out;     /* lines for people; of a command: its stdout.  At most 64 KiB */
	const char *err_out; /* of a command: its stderr */
};
typedef void (*link_done_fn)(void *arg, const struct link_answer *a);

/*
 * Have the host run a verb; takes `args` (object, or NULL).  `done` is called exactly once, on the
 * loop, never from inside of link_call(), at the deadline at the latest.  A link that is not up is
 * tried at once; when that fails, so does the call.  ERR_UNREACHABLE (no connection), ERR_REFUSED
 * (login; too many requests there), ERR_PRECOND (no mha-node there): nothing ran.  ERR_LOST: late, or
 * cut in the middle.  Other kinds are the verb's.  The handle is valid until `done` is called.
 */
struct link_call *link_call(struct link *l, const char *verb, json_t *args, int64_t deadline,
        link_done_fn done, void *arg);

/* The same with a line for the login shell. */
struct link_call *link_exec(
        struct link *l, const char *shell_line, int64_t deadline, link_done_fn done, void *arg);

/* Forget it: `done` will not be called; the host is told to end it.  NULL is fine. */
void link_cancel(struct link_call *c);

/* ---- from workers: blocking, with streams ---- */

/*
 * A door to a link's connection for other threads, usable as long as it is held, by one thread at a
 * time.  When the link is freed its calls fail with ERR_CANCELED.
 */
struct link_door;
struct link_door *link_door(struct link *l); /* loop; returns owned */
void link_door_free(struct link_door *d);    /* any thread; NULL is fine */
CLEANUP_FN(link_door, struct link_door *, link_door_free)

/*
 * A running verb with its streams.  From one host to another, with flat memory at any speed:
 *
 *	struct link_stream *from = link_open(a, "save", args, false, deadline, e);
 *	struct link_stream *to = link_open(b, "apply", args2, true, deadline, e);
 *	while ((n = link_read(from, buf, sizeof(buf), e)) > 0 && link_write(to, buf, n, e))
 *		;
 *	link_close(from, &answer, e), link_close(to, &answer2, e);
 */
struct link_stream;

/*
 * Takes `args`.  A stream goes one way: with `input` by link_write(), and what the verb puts out is
 * thrown away; else by link_read().  The deadline is that of the whole stream.  Errors here and below
 * as of link_call(), and ERR_CANCELED.
 */
struct link_stream *link_open(struct link_door *d, const char *verb, json_t *args, bool input,
        int64_t deadline, struct err *e) MUST_USE;

/* Waits for some bytes; 0 at the end (the verb has ended), -1 on failure. */
ssize_t link_read(struct link_stream *s, void *buf, size_t size, struct err *e) MUST_USE;

/* Waits until all is on its way.  False with ERR_REMOTE: the verb ended without taking it all, and
 * link_close() says why. */
bool link_write(struct link_stream *s, const void *buf, size_t n, struct err *e) MUST_USE;

/* End of input: no more link_write(). */
void link_end(struct link_stream *s);

struct link_result {
	int status;
	json_t *value; /* owned; NULL: none */
	char *out;     /* owned: its lines for people */
};
void link_result_done(struct link_result *r);

/*
 * End of input, throw unread output away, wait for the result; frees `s`.  True: the verb ended with
 * status 0.  False: with its error, or ERR_LOST at the deadline; `ret` is filled in any case.
 */
bool link_close(struct link_stream *s, struct link_result *ret, struct err *e) MUST_USE;
void link_abandon(struct link_stream *s); /* tell it to end, wait for nothing; NULL is fine */
CLEANUP_FN(link_stream, struct link_stream *, link_abandon)

/* One verb without streams: open and close. */
bool link_run(struct link_door *d, const char *verb, json_t *args, int64_t deadline,
        struct link_result *ret, struct err *e) MUST_USE;
