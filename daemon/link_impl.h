/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link_impl - what the files of link share.  Nobody else includes it.
 *
 *	link.c		the loop's side: links, their state, events
 *	link_call.c	their calls
 *	link_room.c	wires, and which of them are open
 *	link_wire.c	a connection's thread: opening, keeping alive, commands
 *	link_frames.c	the same thread: requests and streams over the session's channel
 *	link_stream.c	workers: blocking calls
 *
 * A wire is the connection that links to one host share.  It outlives its thread: each attempt to
 * open it has one of its own, never two at once.  The loop and the workers tell the thread what to do by
 * a queue; it answers with events, posted to the loop.  Held by the loop while it has links, by its
 * thread, by doors, streams and events.
 */
#pragma once
#include <pthread.h>
#include "frame.h"
#include "link.h"
#include "ssh.h"

struct link_wire;

/* What the thread is asked to do. */
enum link_ask_kind { LINK_ASK_CALL, LINK_ASK_EXEC, LINK_ASK_STREAM, LINK_ASK_CANCEL };
struct link_ask {
	enum link_ask_kind kind;
	uint32_t call; /* of the loop's numbering; LINK_ASK_STREAM: 0 */
	char *text;    /* begin of a REQUEST without its closing brace, or a shell line; wiped */
	int64_t deadline;
	struct link_stream *stream; /* held */
	struct link_ask *next;
};
struct link_ask *link_ask_new(enum link_ask_kind kind, uint32_t call, char *text, int64_t deadline);
void link_ask_free(struct link_ask *a);

/* {"verb":...,"args":... and no closing brace; takes args.  Returns owned. */
char *link_request_text(const char *verb, json_t *args);

/* What the thread tells the loop. */
enum link_event_kind { LINK_EV_UP, LINK_EV_ANSWER, LINK_EV_UNSENT, LINK_EV_ENDED };
struct link_event {
	struct link_wire *w;
	enum link_event_kind kind;
	uint32_t call;
	bool has_node, was_up;
	char version[24], transport[12];
	struct link_answer answer; /* out and err_out are owned here */
	struct err err;
};

struct link_stream { /* all under the wire's lock */
	struct link_wire *w;
	int holders; /* worker, and its ask or request */
	pthread_cond_t changed;
	int64_t deadline;
	struct str in;
	size_t in_at, taken; /* read by the worker; of this not yet granted again */
	struct str out;      /* not yet on its way */
	bool input, ended, canceled;
	bool cut;      /* no result will come: err says why */
	bool finished; /* the result is there, or cut */
	int status;
	struct err err;
	json_t *value;
	struct str lines;
};
void link_stream_unref(struct link_stream *s); /* with the lock held */

struct link {
	struct link_wire *w;
	struct link *next; /* of the wire */
	int priority;
	link_state_fn changed;
	void *arg;
	bool told; /* of the present change */
};

struct link_wire {
	struct link_room *room;
	struct loop *loop;
	struct ssh_target target; /* its texts are owned */
	char *name, *session_line;
	int64_t open_ms, ping_ms, silence_ms;
	int wake, stop_fd; /* eventfds */
	_Atomic int64_t heard;
	_Atomic bool stop;
	_Atomic int streams; /* of workers, open or waiting */

	/* loop */
	struct link *links;
	struct link_call *calls;
	struct link_wire *next; /* of the room, with the same hash */
	/* Among its equals; `at` NULL: it neither waits for a place nor has one. */
	struct link_wires *at;
	struct link_wire *ahead, *behind;
	struct link_view view;
	struct loop_timer *retry;
	int64_t pause_ms;
	uint32_t last_call;
	bool running, evicted, wants;
	bool doubtful; /* being opened, and it was silent the last time */

	pthread_mutex_t lock;
	pthread_cond_t changed; /* up, closed, failures */
	/* under lock: */
	int holders;
	bool closed; /* no links any more: no events */
	bool up, has_node;
	unsigned failures;
	struct err why; /* of the last failure; up without node: why there is none */
	struct link_ask *asks, **asks_end;
};

void link_wire_ref(struct link_wire *w);
void link_wire_unref(struct link_wire *w);
void link_wire_wake(struct link_wire *w);                        /* any thread: look at the queue */
bool link_wire_put(struct link_wire *w, struct link_ask *a);     /* takes; with the lock held */
void link_wire_post(struct link_wire *w, struct link_event *ev); /* takes; any thread */
bool link_wire_start(struct link_wire *w, struct err *e) MUST_USE; /* loop: its thread */
void link_event_free(struct link_event *ev);

/* ---- loop ---- */

void link_room_schedule(struct link_room *r); /* give places to those who want one */
void link_wire_rank(struct link_wire *w);     /* its calls, priorities or state have changed */
void link_wire_trusted(struct link_wire *w);  /* it is open, or it is over */
void link_room_reap(struct link_room *r);     /* threads that have ended */
/* The wire that serves this host, made if there is none. */
struct link_wire *link_wire_for(
        struct link_room *r, const struct conf_server *s, const struct link_opts *o);
bool link_wire_is_at(const struct link_wire *w, const struct conf_server *s);
void link_wire_close(struct link_wire *w); /* its last link has gone */
void link_wire_want(struct link_wire *w);  /* have it opened, if it is not and nobody is at it */
void link_wire_ended(struct link_wire *w, bool was_up); /* its thread has: see to the next one */
void link_calls_send(struct link_wire *w);              /* those that wait for the connection */
void link_calls_answer(struct link_wire *w, const struct link_event *ev);
void link_calls_unsent(struct link_wire *w, uint32_t id);
void link_calls_fail(struct link_wire *w, const struct err *e, bool was_up);
void link_calls_drop(struct link *l);
void link_wire_nudge(void *wire); /* loop: somebody waits; lets go of the wire */

struct link_door *link_door_of(struct link_wire *w); /* any thread; returns owned */

/* Wait on a condition of the wire, lock held; false at the deadline. */
bool link_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t deadline);
void link_cond_init(pthread_cond_t *cond);

/* Any thread: one begins; could not be made; is about to end itself. */
void link_room_began(struct link_room *r);
void link_room_not_begun(struct link_room *r);
void link_room_ended(struct link_room *r);
void link_room_ref(struct link_room *r);
void link_room_unref(struct link_room *r);

/* ---- the thread's own ---- */

struct link_request;
struct link_frames {
	struct link_wire *w;
	struct ssh_chan *c; /* the session; NULL: no node */
	struct frame_reader in;
	struct str out, err_tail;
	bool greeted;
	char version[24];
	uint32_t last_id;
	struct link_request *requests;
	size_t running, most; /* requests; the node takes so many at once */
	struct link_ask *waiting;
	int64_t pinged; /* unanswered since; 0: nothing to answer */
};

/* Say hello on the open channel, which belongs to `f` from here on. */
void link_frames_begin(struct link_frames *f, struct link_wire *w, struct ssh_chan *c);
/* Requests without a result end as ERR_LOST (streams here; the loop knows its calls). */
void link_frames_done(struct link_frames *f, const struct err *why);
void link_frames_ask(struct link_frames *f, struct link_ask *a); /* takes */
/* What has not been sent; before link_frames_done().  Returns owned. */
struct link_ask *link_frames_take_waiting(struct link_frames *f);
void link_frames_ping(struct link_frames *f);
/* Move what can be moved.  False: the channel is of no use any more. */
bool link_frames_pump(struct link_frames *f, struct err *e) MUST_USE;
