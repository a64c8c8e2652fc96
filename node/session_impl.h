/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session_impl - what session.c (the channel) and session_request.c (the requests) share.
 * Runs on: main thread, and the threads of requests where said.
 */
#pragma once
#include <pthread.h>
#include "frame.h"
#include "gate.h"
#include "json.h"
#include "session.h"
#include "vec.h"

struct session;

/* A frame on its way, on the stack of the thread that waits for it to have gone. */
struct session_piece {
	unsigned char header[FRAME_HEADER];
	const void *p;
	size_t len, sent; /* sent counts the header too */
	bool done;
	struct request *r;
	struct session_piece *next;
};

struct request {
	struct session *s;
	struct request *next;
	uint32_t id;
	const struct verb *verb;
	struct args args;
	VEC(char *) words; /* what args borrows from; owned */
	char **argv;       /* the same; reading options changes the order */
	bool has_args;
	struct verb_io io;
	pthread_t thread;
	pthread_cond_t changed; /* anything below, under the session's lock */

	struct str in;    /* DATA that has come... */
	size_t in_at;     /* ...and what of it has been read */
	size_t in_window; /* the peer may send so much more */
	size_t in_taken;  /* read, and not granted again yet */
	bool in_ended;
	size_t out_window; /* we may send so much more */
	bool canceled, answered, finished;

	/* of its own thread alone */
	struct str line;
	char *value;
};

struct session {
	const struct gate *gate;
	int in, out, wake, signals;
	bool greeted;
	uint32_t last_id;
	struct frame_reader reader;
	struct str own; /* frames of the main thread, to be sent */

	pthread_mutex_t lock;
	struct session_piece *first; /* frames of requests, to be sent in this order */
	struct request *requests;
	int holds;
	bool closed; /* no more output */
};

/* session.c */
void session_wake(struct session *s); /* any thread: look again */

/* session_request.c.  A false means that the peer broke the rules. */
void session_begin(void); /* once per process: JSON that held secrets is wiped when freed */
bool session_check_hello(const struct frame *f, struct err *e) MUST_USE;
bool session_start(struct session *s, const struct frame *f, struct err *e) MUST_USE;
bool session_feed(struct session *s, const struct frame *f, struct err *e) MUST_USE;
void session_cancel_all(struct session *s);

/* Frees finished requests, cancels late ones; returns the next one's deadline. */
int64_t session_reap(struct session *s);
