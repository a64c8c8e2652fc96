/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * witness - other hosts' answers to "do you see that server?".  Runs on: loop, but witness_parse().
 * Logs: never.
 *
 * Observers are hosts behind links: those of the slaves, and extra ones of the setting `witnesses`.
 * Each connects to the server from there and waits for its greeting, by `mha-node reach`, or where
 * there is none by what the host has (bash, perl, nc).  Nothing is logged in to and nothing is sent.
 *
 * Asking a living server is not free: it counts a connection given up before login against the
 * observer's host, and shuts that host out (error 1129) after max_connect_errors (100) of them without a
 * login in between.  So each observer has a purse of checks that met a living server; when it is
 * empty (it fills slowly), the answer is the last one again, with its own, old instants.
 */
#pragma once
#include <stdint.h>
#include "conf.h"
#include "link.h"

struct witness_set;
struct witness_ask;

enum witness_word {
	WITNESS_SEES,   /* a server answers there: greeting, or an error packet (it lives) */
	WITNESS_CANNOT, /* asked and tried: no server answers.  `reach` says how that looks */
	WITNESS_ILL,    /* could not be asked, or could not check: no evidence */
};

enum witness_reach {        /* what the check met, finer than the word */
	WITNESS_REACH_NONE, /* ILL */
	WITNESS_GREETING,
	WITNESS_ERROR,       /* an error packet: 1040, 1129...: it lives */
	WITNESS_OPEN,        /* the port accepts, no greeting comes: hung */
	WITNESS_REFUSED,     /* the host is there, the server is not */
	WITNESS_TIMEOUT,     /* silence */
	WITNESS_UNREACHABLE, /* no route, host unreachable */
	WITNESS_NO_NAME,     /* ILL: the name is not known over there */
};

enum witness_kind { WITNESS_SLAVE, WITNESS_EXTRA };

struct witness_answer {
	const char *name;   /* of the observer's host; borrowed from the set */
	const char *server; /* conf_server.id of the slave it was added for; "" for an extra one */
	enum witness_kind kind;
	enum witness_word word;
	enum witness_reach reach;
	bool on_target; /* lives on the asked server's own host (same address): leave it out */
	int64_t asked, answered;    /* instants; answered 0: not */
	int64_t took_ms;            /* of the check there; -1 unknown */
	enum link_state link_state; /* as it was when the answer came */
	enum link_why link_why;
	int64_t heard;    /* of its link (link.h): when that host last gave a sign of life */
	bool silent;      /* nothing has been heard from it since before it was asked */
	bool is_old;      /* the purse is empty: an earlier answer */
	char how[12];     /* "mha-node", "bash", "perl", "nc" */
	char detail[200]; /* one line for people: "10.0.0.1:3306: connection refused" */
};

/* Observers are added and removed as the topology changes; those asked just now are not disturbed by
 * additions. */
struct witness_set *witness_new(struct loop *l);
void witness_free(struct witness_set *w); /* its asks are forgotten; links stay; NULL is fine */

/* `host` says where it is (borrowed for the call), `link` is how it is asked (borrowed until removed).
 * Two of one host are asked once for both. */
void witness_add(struct witness_set *w, enum witness_kind kind, const struct conf_server *host,
        struct link *link);
void witness_remove_all(struct witness_set *w); /* running asks end as forgotten */
size_t witness_count(const struct witness_set *w);

/*
 * Ask all of them about the server of `target` (its ip and port; borrowed for the call).  `each` (may be
 * NULL) is called with every answer as it comes, `done` once with all of them, in the order added,
 * when the last one is there, at the deadline at the latest.  Both on the loop, never from inside of
 * witness_ask(); answers are borrowed for the call.  Who has not answered by the deadline is ILL.
 */
typedef void (*witness_each_fn)(void *arg, const struct witness_answer *a);
typedef void (*witness_done_fn)(void *arg, const struct witness_answer *a, size_t n);
struct witness_ask *witness_ask(struct witness_set *w, const struct conf_server *target,
        int64_t deadline, witness_each_fn each, witness_done_fn done, void *arg);
void witness_cancel(struct witness_ask *a); /* NULL is fine; not after `done` */

const char *witness_word_name(enum witness_word w);   /* "sees", "cannot", "ill" */
const char *witness_reach_name(enum witness_reach r); /* "greeting", "refused"...; NONE: "" */

/*
 * The setting `witnesses`: "user@host:port, host, [2001:db8::1]:2222" (user and port may be left out) as
 * servers to make links for: all other values are those of `defaults`.  Names are looked up, so this
 * blocks, until the deadline: for workers and start-up.  ERR_CONFIG names what is wrong; a name that
 * cannot be resolved is one too.  `ret` lives as long as `defaults` and until witness_hosts_done().
 */
struct witness_hosts {
	struct conf_server **items;
	size_t len;
};
bool witness_parse(const char *text, const struct conf_server *defaults, int64_t deadline,
        struct witness_hosts *ret, struct err *e) MUST_USE;
void witness_hosts_done(struct witness_hosts *h);

/*
 * For masterha_secondary_check too: the shell line that answers the same question where there may be no
 * mha-node (it tries mha-node, bash, perl, nc in this order; needs only a POSIX shell), and the reading
 * of what it printed.  `host` may be a name: it is resolved over there (one that can be no name is not known).  Returns owned.
 */
char *witness_line(const char *host, int port, int64_t timeout_ms, const char *node_bindir);
/* Sets word, reach, took_ms, how and detail.  False: there is no answer in it. */
bool witness_read(const char *out, struct witness_answer *ret);
/* The same for the value that the verb `reach` has answered. */
bool witness_read_value(const json_t *value, struct witness_answer *ret);
