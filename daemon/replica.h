/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replica - what one replica says of itself and of its source, kept up to date over one session.
 * Runs on: loop.  Logs: never.
 *
 * It is asked every so often, or at once by replica_poll_now().  Nothing is ever changed on it.
 *
 * Whether a replica hears its source is not for its threads to say ("IO_Running: Yes" outlives a
 * source by hours): what counts is that between two polls the received position moved, or the
 * counter of heartbeats.  What was new in a poll arrived after the poll before had been *sent*, and
 * before the answer of this one was here: in (between, heard_at].
 */
#pragma once
#include <stdint.h>
#include "conf.h"

struct loop;
struct job_pool;
struct replica;

enum replica_io { REPLICA_IO_NO, REPLICA_IO_CONNECTING, REPLICA_IO_YES };

/* One channel.  Texts are never NULL; "" is none. */
struct replica_channel {
	const char *name; /* "" = the default channel */
	const char *source_host;
	unsigned source_port;
	const char *source_uuid; /* MySQL, once connected */
	uint32_t source_server_id;

	enum replica_io io_running;
	bool sql_running;
	int io_errno, sql_errno; /* 0 = no error */
	const char *io_error, *sql_error;
	int64_t io_error_seen; /* instant of the poll that first saw io_errno as it is; 0 = none */

	const char *read_file, *exec_file; /* in the source's binlogs: received, executed up to */
	uint64_t read_pos, exec_pos;
	const char *received_gtids; /* Retrieved_Gtid_Set; MariaDB: Gtid_IO_Pos */
	const char *executed_gtids; /* Executed_Gtid_Set; MariaDB: gtid_slave_pos */
	int64_t seconds_behind;     /* -1 = NULL */
	int64_t heartbeat_ms;       /* period; -1 = not known, 0 = none are sent */
	int64_t heartbeats;         /* received so far; -1 = not known */

	/* Something of the source arrived in (between, heard_at]; 0 = not seen since the source is as it
	 * is, or since the replica was first asked. */
	int64_t between, heard_at;
};

struct replica_view {
	const struct conf_server *conf; /* borrowed from the caller of replica_new() */
	bool up;                        /* it answered the last poll */
	bool refuses;   /* it did not, but it lives: 1040, 1045..., or the status was refused */
	struct err err; /* of the last poll; ERR_NONE when up; ERR_SYSTEM: our own fault */
	int64_t silent_since; /* instant at which the first unanswered poll was sent, or the session cut; 0 = it is not silent */
	int64_t was_silent, back; /* when its last silence began and ended; 0 = there was none */
	int64_t asked,
	        answered; /* instants of the last poll that ended well; 0 = none did.  What is below is of then */
	int64_t heard;  /* of the last bytes from it, polls that failed included */
	uint64_t polls; /* ended so far, well or not */
	char version[64];
	const struct replica_channel *channels; /* none: it is no replica (any more) */
	size_t n_channels;
};

struct replica_opts {
	int64_t poll_ms; /* from the begin of one poll to the next; it can be changed, see below */
	int64_t timeout_ms; /* of one poll, the login included */
	int64_t first_ms;   /* the first poll is so much later: spreads many over time */
	void (*changed)(void *arg, const struct replica *r); /* each poll that ended; may be NULL */
	void *arg;
};

/* Borrows `s` until replica_free().  Returns owned. */
struct replica *replica_new(struct loop *l, struct job_pool *p, const struct conf_server *s,
        const struct replica_opts *o);
void replica_free(struct replica *r); /* NULL is fine */

/* As soon as the poll under way, if there is one, has ended: the answer is newer than this call. */
void replica_poll_now(struct replica *r);
void replica_set_poll(struct replica *r, int64_t poll_ms); /* counts from now on */

/* Plain data, never NULL; borrowed: changes with each poll, after which texts are other ones. */
const struct replica_view *replica_view(const struct replica *r);
