/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * find - the place in relay logs that corresponds to a position of the source.  Runs on: any thread
 * (blocks on the disk).  Logs: never.
 *
 * Events in relay logs carry the position where they end in the source's binlog, and Rotate events
 * name that binlog.  Relay logs that the replica began by itself (FLUSH, a full file) name none:
 * their events go on where the relay log before them ends.
 */
#pragma once
#include "logs.h"
#include "save.h"

struct find_spec {
	const struct logs *logs; /* borrowed, as all */
	const char *file;        /* the source's binlog... */
	uint64_t pos;            /* ...and the end of an event in it */
	const char *newest;      /* the binlog that the replica read last; or NULL */
	uint32_t
	        server_id; /* of the replica: its own Rotate events name relay logs; 0: not known */
	bool (*go_on)(void *ctx, struct err *e); /* as in save_spec */
	void *go_on_ctx;
};

struct find_place {
	size_t index;          /* of the relay log */
	uint64_t offset;       /* behind that event; may be its end */
	size_t from;           /* relay log from which on it was looked for */
	char source_file[256]; /* the source's binlog at the beginning of that one */
	bool nothing_follows;  /* no event of the source is behind it */
};

/*
 * ERR_PRECOND with one of the codes FIND_* (node_code.h) when it is not there, ERR_PARSE when a relay
 * log cannot be read up to it.
 */
bool find_place(const struct find_spec *spec, struct find_place *ret, struct err *e) MUST_USE;
