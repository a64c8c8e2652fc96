/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mysqld - finds the MySQL or MariaDB server of a given port among a host's processes.
 * Runs on: any thread (may block on a process that is stuck in the kernel: run it aside).
 * Logs: never.
 *
 * A process is a server by what it runs, never by its name alone, and it is *the* server when it
 * listens on the port, or, listening nowhere (it starts, recovers, or shuts down), when its options
 * or its data directory say so.  A server that listens on other ports only is another one, whatever
 * its options look like.  Servers in other network namespaces (containers) are others too.
 */
#pragma once
#include "mysqld_opts.h"
#include "procfs.h"

enum mysqld_seen {
	MYSQLD_ABSENT, /* all was looked at, and no such server runs */
	MYSQLD_HERE,
	MYSQLD_UNKNOWN, /* not found, but not everything could be looked at */
};

enum { /* how a server is known to be the one, best first */
	MYSQLD_BY_SOCKET = 1 << 0,
	MYSQLD_BY_COMMAND_LINE = 1 << 1,
	MYSQLD_BY_OPTION_FILE = 1 << 2,
	MYSQLD_BY_DEFAULT_PORT = 1 << 3, /* says nothing of ports, and 3306 was asked for */
	MYSQLD_BY_DATADIR = 1 << 4,      /* works in the data directory that was named */
	MYSQLD_BY_PID_FILE = 1 << 5,     /* named by a pid file in it */
};

struct mysqld { /* plain memory, as all below */
	pid_t pid, parent;
	uint64_t start_ticks;
	char state;
	int threads;
	unsigned known_by; /* bits */
	char program[256]; /* what it runs */
	char datadir[512]; /* as it sees it; empty: unknown */
	char datadir_by[24];
	char access[576]; /* the data directory for us; differs when it has another root */
};

struct mysqld_query {
	const char *proc; /* PROCFS */
	const char *etc;  /* put before names of option files when no process runs; "" */
	int port;
	const char *datadir; /* or NULL: of the asker */
};

enum { MYSQLD_MOST = 4, MYSQLD_SOCKETS_MOST = 8, MYSQLD_NOTES_MOST = 6 };

struct mysqld_found {
	enum mysqld_seen seen;
	struct mysqld servers
	        [MYSQLD_MOST]; /* the one, or several during a change-over; best known first */
	int count;
	struct mysqld safes[MYSQLD_MOST]; /* mysqld_safe processes for that port */
	int safe_count;
	struct procfs_socket sockets[MYSQLD_SOCKETS_MOST]; /* that listen on the port */
	int socket_count;
	pid_t stranger; /* listens on the port and is no server; 0: nobody */
	char stranger_name[64];
	bool foreign;      /* a server of that port runs in another network namespace */
	char datadir[512]; /* asked for, a server's, or else from the option files; may be empty */
	char datadir_by[24];
	char access[576];
	char unseen[MYSQLD_NOTES_MOST][160]; /* what could not be looked at, and why it matters */
	int unseen_count;
};

void mysqld_find(const struct mysqld_query *q, struct mysqld_found *ret);

/* Whether a process is a server.  `exe` is what it runs, NULL if that cannot be read. Points
 * *ret_program to the program's name in either. */
bool mysqld_is_server(const char *exe, char *const *words, const char **ret_program) MUST_USE;

/* Whether a command line is mysqld_safe's or mariadbd-safe's; the index of that word. */
bool mysqld_is_safe(char *const *words, int *ret_at) MUST_USE;

/* "listening socket", "command line"...: the best of the bits. */
const char *mysqld_known_by(unsigned bits);
