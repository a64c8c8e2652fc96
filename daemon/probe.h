/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe - one master's ping: the mechanism of one attempt and what came of it, by layer.
 * Runs on: loop.  Logs: never.
 *
 * When to ping, and what an outcome means, is for the caller.  probe_ping() is one attempt:
 *
 *	connect, if there is no session;
 *	take MHA's advisory lock, if wanted and not held by this session;
 *	SELECT 1, or with ping type INSERT write a row and commit it.
 *
 * Ping type CONNECT makes a new session for each attempt.  It is ended by the next ping, or as MHA
 * does 1.5 s before the interval is over (at half an interval if that is short), and the lock with it.
 * Other sessions stay, and `cut` is called as soon as one ends by itself.
 *
 * Every attempt ends in one report, at its deadline at the latest, never from within probe_ping().
 * After a login the server is asked who it is; that comes behind the ping, in the same attempt, and
 * cannot spoil it.  All functions may be called from the callbacks.
 */
#pragma once
#include <stdint.h>
#include "conf.h"

struct loop;
struct job_pool;
struct probe;

#define PROBE_LOCK_NAME "MHA_Master_High_Availability_Monitor"

/* How far it came: in this attempt, or with the session it was made on. */
enum probe_layer {
	PROBE_NOTHING,
	PROBE_TCP,      /* a connection was accepted */
	PROBE_GREETING, /* the server spoke */
	PROBE_LOGIN,
	PROBE_READ, /* it answered a statement */
	PROBE_WRITE /* it committed the ping's row */
};

enum probe_how {
	PROBE_FINE,
	PROBE_REFUSED,     /* RST to the connect: nobody listens */
	PROBE_CUT,         /* EOF or RST later */
	PROBE_LATE,        /* no answer by our deadline */
	PROBE_UNREACHABLE, /* no route, ICMP */
	PROBE_ALIVE, /* it answered that it does not want us: 1040, 1045, 1129, 1203, 1226... */
	PROBE_ERROR, /* another error in answer: disk full, read-only 1290 and 1836, wrong TLS... */
	PROBE_LOCKED, /* it lives, but the advisory lock is somebody else's */
	PROBE_OURS, /* nothing was learned, it is our own fault: no worker, no descriptor, bad file */
};

enum probe_tri { PROBE_UNKNOWN, PROBE_NO, PROBE_YES };

/* Who the server said it is. */
struct probe_server {
	char version[64];
	char uuid[40]; /* "" on MariaDB */
	uint32_t server_id;
	enum probe_tri read_only, super_read_only;
	enum probe_tri is_super; /* our account has SUPER, by itself and not through a role */
	int64_t started; /* instant at which the server started, to about a second; 0 = not known */
};

struct probe_report {
	bool ok; /* the ping did all it should: MHA's "succeeded" */
	enum probe_layer layer;
	enum probe_how how;
	struct err err;         /* kind ERR_NONE when ok */
	int64_t begun, ended;   /* instants of the ping: asked for, and its outcome known */
	int64_t heard;          /* of the last bytes from the server, in any attempt; 0 = never */
	bool connected;         /* a session was made in this attempt */
	bool new_server;        /* `server` is from this attempt */
	uint64_t connection_id; /* 0 = no session */
	bool lock_held;         /* by our session */
	bool lock_is_ours; /* LOCKED, but the holder is an earlier session of this probe that the server has not missed yet */
	char holder[160]; /* LOCKED: "root@10.0.0.9 connection 55" */
	const struct probe_server
	        *server; /* as last seen; NULL = never; borrowed until the next ping */
};

typedef void (*probe_report_fn)(void *arg, const struct probe_report *r);
/* The idle session ended by itself: `err` says what was seen, `at` when.  The lock went with it. */
typedef void (*probe_cut_fn)(void *arg, const struct err *err, int64_t at);

struct probe_opts {
	enum conf_ping_type ping_type;
	int64_t interval_ms; /* between two pings: sessions ask the server to end them after twice that */
	bool take_lock;
	probe_report_fn report;
	probe_cut_fn cut; /* may be NULL */
	void *arg;
};

/* Borrows `s` until probe_free().  Returns owned. */
struct probe *probe_new(struct loop *l, struct job_pool *p, const struct conf_server *s,
        const struct probe_opts *o);
void probe_free(struct probe *p); /* NULL is fine; no more callbacks; gives the lock back */

/* One attempt.  Not while probe_is_busy().  What probe_facts() was waiting for is called off. */
void probe_ping(struct probe *p, int64_t deadline);
bool probe_is_busy(const struct probe *p); /* a report is to come */
bool probe_is_connected(const struct probe *p);

/* End the session, and the attempt without a report. */
void probe_close(struct probe *p);

/* From the next ping on: whether to hold the lock (false gives it back). */
void probe_want_lock(struct probe *p, bool wanted);
bool probe_has_lock(const struct probe *p);

const char *probe_layer_name(
        enum probe_layer l); /* "nothing", "tcp", "greeting", "login", "read", "write" */
const char *probe_how_name(
        enum probe_how h); /* "fine", "refused", "cut", "late", "unreachable", ... */

/* What the source side of semi-sync replication does. */
struct probe_facts {
	enum probe_tri semisync_enabled; /* UNKNOWN: there is no such plug-in */
	enum probe_tri semisync_on;      /* it waits for acknowledgements; NO: fallen back */
	int64_t semisync_clients;       /* replicas that acknowledge; -1 = not known, as all here */
	int64_t semisync_wait_sessions; /* sessions that wait, as the server counts */
	int64_t semisync_waiting_threads; /* threads seen to wait for an acknowledgement */
	int64_t semisync_wait_count;      /* acknowledgements that a commit needs */
	int64_t semisync_timeout_ms;
};
/* `f` is NULL with an error.  The session is closed after an error other than ERR_SQL. */
typedef void (*probe_facts_fn)(void *arg, const struct probe_facts *f, const struct err *e);
/* Ask on the idle session, after probe_report_fn or later.  False: there is none, or it is busy. */
bool probe_facts(struct probe *p, int64_t deadline, probe_facts_fn done) MUST_USE;
