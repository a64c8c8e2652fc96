/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_impl - what the parts of http share.  Runs on: the HTTP thread, where nothing else is said.
 *
 *	http.c		the thread, and what it exchanges with the loop
 *	http_conf.c	settings, and the listening socket
 *	http_serve.c	libmicrohttpd; requests from their first line to their answer
 *	http_route.c	which address means what
 *	http_api.c	clusters and incidents as JSON
 *	http_live.c	server-sent events
 *	http_static.c	compiled-in files
 */
#pragma once
#include <jansson.h>
#include <pthread.h>
#include "glance.h"
#include "http.h"
#include "str.h"
#include "vec.h"

struct MHD_Connection;
struct MHD_Daemon;
struct http_live;

enum {
	HTTP_CONNECTIONS = 128,
	HTTP_STREAMS = 64, /* of them: others find a place */
	HTTP_IDLE_S = 15,  /* a peer that neither sends nor takes a byte */
	HTTP_FRESH_MS = 250,
	HTTP_FEED_MS = 1000,     /* streams: how often all is looked at */
	HTTP_FEED_SOON_MS = 100, /* ... after something has changed */
	HTTP_PING_MS = 15000,
};

/* A question on its way to the loop and back. */
struct http_asked {
	struct http_ask ask;
	char *name;
	struct http *http;
	struct http_request *request; /* who waits; NULL: nobody any more, or for everybody */
};

struct http_request {
	struct http *http;
	struct MHD_Connection *peer;
	char *path;
	bool is_head;
	bool suspended;
	int64_t since;               /* instant */
	int64_t deadline;            /* while it waits for the loop */
	bool wants_glance;           /* one that is younger than `since` */
	struct http_asked *asked;    /* under way */
	struct http_asked *answered; /* owned */
	bool late;
	struct http_request *prev, *next;
};

struct http {
	struct loop *loop;
	http_source_fn source;
	void *arg;
	pthread_t thread;
	_Atomic unsigned holders; /* the owner, the thread, questions under way */
	int wake;                 /* eventfd */
	_Atomic int64_t turned;   /* instant at which the loop was seen to turn */
	struct loop_timer *clock; /* loop: keeps `turned` */

	/* Mail, under lock. */
	pthread_mutex_t lock;
	VEC(struct http_asked *) mail;
	struct http_conf *next_conf; /* NULL: none */
	bool stop, poked;

	/* The thread's own. */
	struct http_conf conf;
	int listen_fd; /* given by the service manager; -1 */
	int64_t retry; /* of listening */
	char complained[sizeof(((struct err *)0)->text)];
	bool loopback; /* nobody else can come */
	struct MHD_Daemon *mhd;
	int epoll;
	struct glance *glance; /* the last one; NULL */
	struct http_asked *glance_asked;
	int64_t feed_at;
	bool feed_now;
	struct http_request *requests;
	struct http_live *lives;
	unsigned n_lives;
};

/* ---- http.c: what a request may need.  NULL: it waits, and is routed anew when the answer is there. */
struct glance *http_glance(struct http_request *r);
/* The answer, owned by the request; NULL: it waits. */
const struct http_ask *http_ask_for(struct http_request *r, enum http_want want, const char *name);
void http_forget(struct http_request *r); /* it ends: nothing is handed to it any more */
void http_asked_free(struct http_asked *a);
bool http_loop_turns(const struct http *h);

/* ---- http_conf.c */
/* A listening socket, closed on exec and non-blocking, or -1. */
int http_listen(const char *where, bool *ret_loopback, struct err *e);
bool http_is_loopback(int fd);

/* ---- http_serve.c */
bool http_start(struct http *h, struct err *e); /* conf and a socket are there: serve */
void http_stop(struct http *h);
void http_suspend(struct http_request *r);
void http_resume(struct http_request *r);

struct http_reply {
	int status;
	const char *type;
	const char *etag; /* NULL: must not be kept by anybody */
	const char *location;
};
/* Takes the text of `body`. */
bool http_reply(struct http_request *r, const struct http_reply *as, struct str *body);
bool http_reply_static(
        struct http_request *r, const char *type, const char *etag, const void *bytes, size_t n);
/* For people or for programs, by the path. */
bool http_reply_error(struct http_request *r, int status, const char *title, const char *text);
const char *http_query(const struct http_request *r, const char *name); /* NULL: not there */
const char *http_header(const struct http_request *r, const char *name);

/* ---- http_route.c: one answer, or false when the request waits */
bool http_route(struct http_request *r);

/* ---- http_api.c */
json_t *http_cluster_json(const struct glance *g, const struct glance_cluster *c);
bool http_api_clusters(struct http_request *r, const char *name); /* NULL: all */
bool http_api_incidents(struct http_request *r, const char *id);

/* ---- http_live.c */
enum http_live_kind { HTTP_LIVE_API, HTTP_LIVE_PAGE };
bool http_live_begin(struct http_request *r, enum http_live_kind kind);
void http_live_feed(struct http *h);         /* a new glance is there, or time for a ping */
int64_t http_live_due(const struct http *h); /* instant of the next feed */
void http_live_end_all(struct http *h);

/* ---- http_static.c */
const char *http_static_tag(void);
/* `name` is what follows /static/.  False: there is no such file. */
bool http_static(struct http_request *r, const char *name);
