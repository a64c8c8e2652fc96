/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control_impl - inside the control socket: control.c listens and admits, control_socket.c makes the
 * socket, control_peer.c knows who it is, control_client.c serves one client.  Runs on: loop.
 */
#pragma once
#include <stdint.h>
#include "control.h"
#include "loop.h"
#include "str.h"

#define CONTROL_NO_GROUP ((gid_t)-1)

struct control_client;

struct control_groups {
	gid_t read, admin; /* CONTROL_NO_GROUP = none */
	char *read_name, *admin_name;
};

struct control_call {
	struct control *owner;         /* NULL: freed meanwhile */
	struct control_client *client; /* NULL: gone meanwhile */
	struct control_call *prev, *next;
	const struct control_verb *verb;
	json_int_t id;
	void *arg;
	control_cancel_fn cancel;
	void *cancel_arg;
	struct control_peer peer;
};

struct control {
	struct loop *l;
	struct control_opts o; /* bounds filled in; the names are in `groups` */
	struct control_groups groups;
	const struct control_verb *table;
	void *arg;
	int fd, lock_fd; /* lock_fd is -1 when the socket was not made here */
	char *path;
	struct loop_io *io;
	struct loop_timer *rest; /* no descriptors: stop accepting for a moment */
	struct control_client *clients;
	int n_clients, n_readers;
	struct control_call *calls; /* all, also those whose client is gone */
	int n_calls;
	int64_t noted_at; /* last line about a misbehaving client */
	int unnoted;
};

/* control_socket.c: the listening socket at c->path, lock held; fills fd and lock_fd. */
bool control_socket_make(struct control *c, struct err *e) MUST_USE;
void control_socket_remove(struct control *c);

/* control_peer.c: names to groups; blocks.  The names are copied. */
bool control_groups_find(
        struct control_groups *g, const char *read, const char *admin, struct err *e) MUST_USE;
void control_groups_done(struct control_groups *g);
/* Who is at the other end of fd, and what may it do? */
bool control_peer_read(
        struct control_peer *ret, int fd, const struct control_groups *g, struct err *e) MUST_USE;
/* "run it as root, or have bob added to the group mhad-admin" */
void control_peer_hint(struct err *e, const struct control_peer *p, const struct control_groups *g,
        enum control_level needed);

/* control_client.c: serve `fd` (taken). */
void control_client_new(struct control *c, int fd, const struct control_peer *peer);
void control_client_drop(struct control_client *cl);

/* A line about a client for the log, one a second at most. */
void control_note(struct control *c, const struct control_peer *peer, const char *what);
