/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe_disk - what a folder's file system says, and whether it still takes writes.
 * Runs on: any thread (forks).  Logs: never.
 */
#pragma once
#include <stdint.h>
#include <sys/types.h>
#include "mem.h"

struct probe_space {                     /* plain memory */
	int error;                       /* errno; 0: the rest is filled */
	uint64_t total, free, available; /* bytes; available: to others than root */
	uint64_t inodes, inodes_free;    /* 0 of 0 where the file system counts none */
	bool read_only;
	uid_t owner;
	gid_t group;
};

enum probe_write {
	PROBE_WRITE_UNTRIED,
	PROBE_WRITE_OK,
	PROBE_WRITE_FULL,      /* ENOSPC, EDQUOT */
	PROBE_WRITE_READ_ONLY, /* EROFS */
	PROBE_WRITE_DENIED,    /* EACCES, EPERM */
	PROBE_WRITE_TIMEOUT,   /* did not end in time: it may hang still */
	PROBE_WRITE_BUSY,      /* an earlier test has not ended */
	PROBE_WRITE_ERROR,     /* anything else */
};

struct probe_written { /* plain memory */
	enum probe_write result;
	int error; /* errno */
	int64_t took_us;
	char what[24]; /* the call that failed */
};

/* False when the file system did not answer by the deadline (ERR_LOST) or could not be asked. */
bool probe_space(
        const char *dir, int64_t deadline, struct probe_space *ret, struct err *e) MUST_USE;

/*
 * Write and fsync a small file in `dir`, with the rights of the folder's owner when we are root, so
 * that reserved blocks count as the server would find them.  The file has a random name, which is
 * gone before the first byte is written.  At most one test per folder is under way on a host, so
 * that a stuck disk does not gather processes.
 */
void probe_write(const char *dir, int64_t deadline, struct probe_written *ret);

const char *probe_write_name(enum probe_write w); /* "ok", "full", "read_only"... */
