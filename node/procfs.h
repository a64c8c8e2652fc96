/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * procfs - what the kernel tells about processes and listening sockets.  Runs on: any thread (may
 * block on a process that is stuck in the kernel: see aside.h).  Logs: never.
 *
 * `proc` is "/proc", or a folder that looks like it.  Where nothing can be read errno says why:
 * EACCES (not ours to see) is another thing than ENOENT (no such process).
 */
#pragma once
#include <netinet/in.h>
#include <stdint.h>
#include <sys/types.h>
#include "mem.h"
#include "vec.h"

#define PROCFS "/proc"

struct procfs_stat {
	char comm[64]; /* the kernel's name of the program, up to 15 bytes for a process */
	char state;    /* R S D T Z ... */
	pid_t parent;
	int threads;
	uint64_t start_ticks; /* since boot; with the pid it names one process for good */
};

struct procfs_socket { /* one that listens */
	char address[INET6_ADDRSTRLEN];
	int port;
	uint64_t inode;
	unsigned queue; /* connections that wait to be accepted */
};

struct procfs_words { /* a command line */
	char *bytes;
	char **words; /* NULL-terminated */
	size_t count;
};

struct procfs_pids {
	pid_t *items;
	size_t len, cap;
};
struct procfs_sockets {
	struct procfs_socket *items;
	size_t len, cap;
};

/* Any file below `proc`; returns owned, ended by a NUL that does not count. NULL with errno. */
char *procfs_read(const char *proc, const char *name, size_t *ret_len) MUST_USE;
char *procfs_read_of(const char *proc, pid_t pid, const char *name, size_t *ret_len) MUST_USE;

/* Where a link of a process points to (exe, cwd, root, ns/net, fd/3); returns owned, NULL with errno. */
char *procfs_link(const char *proc, pid_t pid, const char *name) MUST_USE;

bool procfs_stat_parse(const char *text, struct procfs_stat *ret) MUST_USE;
bool procfs_stat(const char *proc, pid_t pid, struct procfs_stat *ret) MUST_USE; /* errno */

/* The words of a NUL-separated command line; takes `bytes`. */
void procfs_words_init(struct procfs_words *w, char *bytes, size_t len);
bool procfs_words(const char *proc, pid_t pid, struct procfs_words *ret) MUST_USE; /* errno */
void procfs_words_done(struct procfs_words *w);

bool procfs_pids(const char *proc, struct procfs_pids *ret, struct err *e) MUST_USE;

/* A line of net/tcp or net/tcp6; false when it is none or does not listen. */
bool procfs_socket_parse(const char *line, bool v6, struct procfs_socket *ret) MUST_USE;

/* All listening TCP sockets of our network namespace. False when they could not be read. */
bool procfs_listeners(const char *proc, struct procfs_sockets *ret, struct err *e) MUST_USE;

/*
 * Call `fn` with the inode of each socket of a process until it returns false.  False with errno when the
 * descriptors could not be read.
 */
typedef bool (*procfs_inode_fn)(void *arg, uint64_t inode);
bool procfs_each_socket(const char *proc, pid_t pid, procfs_inode_fn fn, void *arg) MUST_USE;

/* How many threads of a process are in uninterruptible sleep; looks at no more than `most`. */
int procfs_stuck_threads(const char *proc, pid_t pid, int most, int *ret_seen);
