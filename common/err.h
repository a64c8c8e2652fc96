/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * err - what went wrong, as a value.  Runs on: any thread.  Logs: never.
 *
 * Fallible actions return bool, constructors return a pointer; both take `struct err *e` as their very
 * last parameter and leave it untouched on success.  The value holds no pointers: it is copied between
 * threads, nothing has to be freed, and it works when memory does not.  `e` may be NULL everywhere.
 *
 * The kind answers the question a failover asks, "did it happen?".  Code branches on kinds and native
 * codes, never on text.
 */
#pragma once
#include <stdbool.h>
#include <stdarg.h>

#define MUST_USE          __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

enum err_kind {
	ERR_NONE,
	ERR_UNREACHABLE, /* never connected: nothing ran */
	ERR_LOST,        /* cut or late after something was sent: it may have happened */
	ERR_REFUSED,     /* the peer answered and said no to us (login, limit): it lives */
	ERR_SQL,         /* a statement was answered with an error: it did not happen */
	ERR_REMOTE,      /* a program ran and failed: exit status in code, tail of stderr in text */
	ERR_PRECOND,     /* refused by us, nothing was tried */
	ERR_PARSE,       /* foreign bytes are not what they should be */
	ERR_CONFIG,      /* the operator's configuration or command line is wrong */
	ERR_SYSTEM,      /* a system call failed; code is errno */
	ERR_CANCELED,    /* given up on request */
};

struct err {
	enum err_kind kind;
	int code;       /* errno, server error number or exit status, by kind; 0 = none */
	char host[96];  /* where, when it is one host or server; else empty */
	char text[800]; /* what and why: one line, no secrets */
	char hint[320]; /* what to type or change next; may be empty */
};

/* Set the error at its origin.  Always returns false, so that failure reads in one line. */
bool err_set(struct err *e, enum err_kind kind, int code, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* As err_set() with kind ERR_SYSTEM, errno as the code and its text behind ": ". */
bool err_sys(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Put "<context>: " before the text on the way up.  Always returns false. */
bool err_ctx(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Say where it happened, unless a deeper level already did.  Always returns false. */
bool err_at(struct err *e, const char *host);

/* Say what to do next, unless a deeper level already did.  Always returns false. */
bool err_hint(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* "unreachable", "lost"...: one lower-case word per kind, for JSON and tests. */
const char *err_kind_name(enum err_kind kind);
