/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http - metrics, health, the API and the status page over HTTP (libmicrohttpd).  Runs on: a thread of its own;
 * the functions here on the loop, unless they say otherwise.  Logs: yes.
 *
 * Read-only.  Nothing that an HTTP client does may delay a look at a master, so the loop does not serve them: all
 * sockets, TLS, rendering and slow peers live on one thread of lower priority, which shares nothing with the loop.
 * It asks the loop for a picture (struct http_ask, over loop_post()), the loop copies figures and texts in slices
 * of well under a millisecond (or has a job read files) and hands over something that nobody changes any more.
 * So libmicrohttpd never runs in the loop: rendering a thousand clusters takes milliseconds, and a look that comes
 * due just then would have waited for them.
 *
 * Requests wait for at most HTTP_PATIENCE_MS for the loop; then the answer is 503, also of /healthz, which tells a
 * loop that is stuck from one that turns.  Connections, streams, header sizes and idle times are bounded.
 *
 * Without a token only names that mean this host are served ("localhost" or an address as Host:), as long as it
 * listens on loopback: a page of somebody else's cannot read this one through a browser here.
 */
#pragma once
#include <stdint.h>
#include "err.h"

struct glance;
struct http;
struct incident_index;
struct loop;

enum { HTTP_PATIENCE_MS = 5000 };

/* What the thread wants to know. */
enum http_want {
	HTTP_GLANCE,    /* -> glance */
	HTTP_CLUSTER,   /* evidence and history of the cluster `name` -> json */
	HTTP_INCIDENTS, /* -> index */
	HTTP_INCIDENT,  /* the record of the incident whose id is `name` -> json, index */
};

struct http_ask {
	enum http_want want;
	const char *name; /* or NULL */

	/* The answer, each taken by http: a held glance or index, JSON text (malloc).  With none of them
	 * there is no such thing, unless `err` says what went wrong. */
	struct glance *glance;
	struct incident_index *index;
	char *json;
	struct err err;
};

/* On the loop: sooner or later http_answer() has to follow, for each ask. */
typedef void (*http_source_fn)(void *arg, struct http_ask *ask);
void http_answer(struct http_ask *ask);

/* Settings, as http_conf_read() found them. */
struct http_conf {
	char *listen;     /* "127.0.0.1:9780", "[::1]:9780", "*:9780"; NULL: off */
	char *cert, *key; /* PEM; NULL: no TLS */
	char *token;      /* NULL: none is asked for */
};

/* Worker: from <confdir>/mhad.conf and the files that it names.  ERR_CONFIG, ERR_SYSTEM. */
bool http_conf_read(const char *confdir, struct http_conf *ret, struct err *e) MUST_USE;
void http_conf_done(struct http_conf *c);

/* `listen_fd` is a listening socket from the service manager, or -1; taken.  Serves nothing before
 * http_configure().  NULL with ERR_SYSTEM: no thread. */
struct http *http_new(
        struct loop *l, int listen_fd, http_source_fn source, void *arg, struct err *e) MUST_USE;
/* Takes what is in `c`.  An address that cannot be had is logged, and tried again. */
void http_configure(struct http *h, struct http_conf *c);
/* Something that pages show has changed: who listens is told soon. */
void http_changed(struct http *h); /* NULL is fine */
/* Connections are cut; what was asked and not answered yet may still be answered, once.  Waits for the thread,
 * which ends at once.  NULL is fine. */
void http_free(struct http *h);
