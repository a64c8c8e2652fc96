/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reach - does a server answer, seen from this host?  Runs on: any thread.  Logs: never.
 *
 * A TCP connection, and with --mysql the wait for the server's greeting.  Nothing is ever sent.  The
 * connection is closed as soon as the greeting is there; all the same the server counts it as one
 * that was given up before login: after max_connect_errors (100) of them in a row it shuts this host
 * out with error 1129, until somebody logs in from here in between or FLUSH HOSTS is said (all families; not with
 * host_cache_size=0).  So a living server is not to be asked every second.
 *
 * The answer: {"host", "port", "address", "result", "ms", "errno", "code", "text"}, where result is
 *	greeting	the server speaks; text is its version
 *	error		it speaks an error packet, code and text: it lives
 *	open		the port accepts connections, but no greeting came: hung, or no such server
 *	refused		the host answers, nothing listens there
 *	timeout		silence
 *	unreachable	the network says so: errno and text
 * The exit status is 0 if the check could be made, whatever it found.
 */
#pragma once
#include "verb.h"

int reach_serve(const struct args *a, struct verb_io *io, struct err *e);

enum reach_result {
	REACH_GREETING,
	REACH_ERROR,
	REACH_OPEN,
	REACH_REFUSED,
	REACH_TIMEOUT,
	REACH_UNREACHABLE,
};
const char *reach_name(enum reach_result r);

/* The first bytes of a server.  False: more are needed.  `text` gets the version or the message. */
bool reach_parse(const unsigned char *p, size_t n, enum reach_result *ret, int *ret_code,
        char *text, size_t size);

/* What a failed connect() means; false: it says nothing about the other side. */
bool reach_of_errno(int error, enum reach_result *ret);

/* Is it a host name or an address, and nothing else? */
bool reach_is_host(const char *text);
