/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ssh - sessions with hosts, by libssh2 or by ssh(1).  Runs on: worker, one thread at a time per
 * session.  Logs: never.
 *
 * Two transports behind one face.  libssh2 is in the process: a warm command is a few milliseconds.
 * ssh(1) with ControlMaster costs processes, but can all that ssh can.  SSH_TRANSPORT_AUTO takes ssh(1) when
 *  - `options` (MHA's ssh_options) are set;
 *  - ~/.ssh/config is there and changes for the address, or for host_key_name, how the host is reached
 *    (asked with `ssh -G`: HostName, Port, User, keys, proxies, known_hosts file);
 *  - `key` is RSA (or a hardware key) and this libssh2 cannot sign with it for today's servers, or
 *    libssh2 was refused and such a key was left untried;
 *  - known_hosts has but an RSA key or a certificate authority for the host, which libssh2 cannot check;
 *  - the two sides have no algorithm in common.
 *
 * One session carries several channels at once; all are moved by the one thread that owns the
 * session.
 *
 * Host keys: the target's known_hosts file and /etc/ssh/ssh_known_hosts, as ssh(1) reads them.
 * Keys for login: the `key` alone (an agent may hold it if it is locked), else all of the agent and
 * ~/.ssh/id_ed25519, id_ecdsa, id_rsa.  Passwords and passphrases are never asked for.
 *
 * Errors: ERR_UNREACHABLE (no connection, no banner, no login in time: nothing ran; the code is that of
 * connect(), or ETIME: the port accepts and no answer came in time), ERR_REFUSED (code EACCES: no key was
 * accepted; EKEYREJECTED: the host key has changed or is revoked, ENOKEY: it is unknown; the text says which
 * file and the hint what to type; code 0: no more channels), ERR_LOST (deadline or cut in the middle), ERR_CONFIG (a key file or an option that cannot be
 * used), ERR_REMOTE from ssh_exec_ok() and, with code EPIPE, from ssh_chan_write().
 *
 * After ERR_LOST a session may be broken: all further calls fail at once; close it.
 */
#pragma once
#include <stdint.h>
#include <sys/types.h>
#include "str.h"

struct ssh;
struct ssh_chan;

enum ssh_host_keys {
	SSH_HOST_KEYS_STRICT,     /* the key must stand in known_hosts */
	SSH_HOST_KEYS_ACCEPT_NEW, /* the first key is pinned there, a changed one is refused */
};
enum ssh_transport { SSH_TRANSPORT_AUTO, SSH_TRANSPORT_LIBSSH2, SSH_TRANSPORT_OPENSSH };

struct ssh_target {          /* all borrowed for the call of ssh_open() */
	const char *name;    /* how errors call the host */
	const char *address; /* numeric */
	const char *
	        host_key_name; /* looked up in known_hosts (with the port, if not 22); NULL: address */
	unsigned port;
	const char *user;
	const char
	        *key; /* private key file; NULL: agent, then ~/.ssh/id_ed25519, id_ecdsa, id_rsa */
	const char *options; /* MHA's ssh_options; NULL or "" = none */
	enum ssh_host_keys host_keys;
	const char *known_hosts; /* file; NULL: ~/.ssh/known_hosts */
	enum ssh_transport transport;
	int cancel_fd; /* ssh_open() gives up when it is readable; 0: none */
	/* Set to the present instant whenever the host has shown a sign of life, also when opening fails,
	 * as long as the session lives; NULL: not wanted. */
	_Atomic int64_t *heard;
};

/* Connect, check the host key, log in.  Returns owned. */
struct ssh *ssh_open(const struct ssh_target *t, int64_t deadline, struct err *e) MUST_USE;
void ssh_close(struct ssh *s); /* NULL is fine; never waits for the peer; ends all its channels */
CLEANUP_FN(ssh, struct ssh *, ssh_close)
const char *ssh_name(const struct ssh *s);
const char *ssh_transport_name(const struct ssh *s); /* "libssh2" or "openssh" */
bool ssh_is_alive(struct ssh *s, int64_t deadline);  /* a round trip, not a guess */

/*
 * One command with collected output.  `command` is a shell command line for the remote login shell.  What it
 * leaves running in the background must not hold its output: the end is waited for.
 */
struct ssh_result {
	int status;          /* exit status; -1 when a signal ended it (by ssh(1): 255) */
	struct str out, err; /* at most 64 KiB each are kept; err keeps its tail */
};
bool ssh_exec(struct ssh *s, const char *command, const void *input, size_t input_len,
        int64_t deadline, struct ssh_result *ret, struct err *e) MUST_USE;
void ssh_result_done(struct ssh_result *r);

/* As ssh_exec(), and an exit status other than 0 is ERR_REMOTE with the tail of stderr (or stdout). */
bool ssh_exec_ok(struct ssh *s, const char *command, int64_t deadline, struct str *ret_out,
        struct err *e) MUST_USE;

/*
 * Streams: several at once on one session.  read and write move what they can without waiting: 0 = nothing now,
 * -1 = error.  A read that gives 0 may also be at the end: ssh_chan_eof() tells.  Both outputs
 * must be read, or the host stops sending.  A write fails with ERR_REMOTE and EPIPE when the command takes no more:
 * its exit status says why.
 *
 * ssh_wait() waits for any channel of the session to be worth trying again; first try them all,
 * then wait.
 */
struct ssh_chan *ssh_chan_open(
        struct ssh *s, const char *command, int64_t deadline, struct err *e) MUST_USE;
ssize_t ssh_chan_read(struct ssh_chan *c, void *buf, size_t size, struct err *e) MUST_USE;
ssize_t ssh_chan_read_err(struct ssh_chan *c, void *buf, size_t size, struct err *e) MUST_USE;
ssize_t ssh_chan_write(struct ssh_chan *c, const void *buf, size_t n, struct err *e) MUST_USE;
bool ssh_chan_send_eof(struct ssh_chan *c, struct err *e) MUST_USE;
bool ssh_chan_eof(
        struct ssh_chan *c); /* both output streams have ended and are read to their end */
bool ssh_wait(
        struct ssh *s, int64_t deadline, struct err *e) MUST_USE; /* ERR_LOST at the deadline */

/* For those who do other things too: true also when `fd` is readable, or at the instant `until`. */
bool ssh_wait_fd(struct ssh *s, int fd, int64_t until, struct err *e) MUST_USE;

/* Ends its input, throws away unread output, waits for the exit status; frees c in any case. */
bool ssh_chan_finish(struct ssh_chan *c, int64_t deadline, int *ret_status, struct err *e) MUST_USE;
void ssh_chan_free(
        struct ssh_chan *c); /* gives up on it; the command sees its input end; NULL is fine */
