/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ssh_impl - what the files of ssh share, and its pure parts, which have tests.  Nobody else includes it.
 */
#pragma once
#include "ssh.h"

/* A transport; its session and channel begin with these two. */
struct ssh_ops {
	const char *name;
	void (*close)(struct ssh *s);
	bool (*is_alive)(struct ssh *s, int64_t deadline);
	struct ssh_chan *(*chan_open)(
	        struct ssh *s, const char *command, int64_t deadline, struct err *e);
	ssize_t (*read)(struct ssh_chan *c, bool from_err, void *buf, size_t size, struct err *e);
	ssize_t (*write)(struct ssh_chan *c, const void *buf, size_t n, struct err *e);
	bool (*send_eof)(struct ssh_chan *c, struct err *e);
	bool (*eof)(struct ssh_chan *c);
	/* `only` NULL: any channel.  With an `fd` (else -1) the deadline is no error. */
	bool (*wait)(struct ssh *s, struct ssh_chan *only, int fd, int64_t deadline, struct err *e);
	bool (*finish)(struct ssh_chan *c, int64_t deadline, int *ret_status, struct err *e);
	void (*chan_free)(struct ssh_chan *c);
};
struct ssh {
	const struct ssh_ops *ops;
	char *name;
	_Atomic int64_t *heard;
};
struct ssh_chan {
	struct ssh *s;
};

/* The host has shown a sign of life. */
void ssh_note_heard(_Atomic int64_t *heard);

/* The libssh2 transport.  *ret_other_may_help: it failed where ssh(1) need not (RSA keys, algorithms). */
struct ssh *ssh_lib2_open(
        const struct ssh_target *t, int64_t deadline, bool *ret_other_may_help, struct err *e);
bool ssh_lib2_has_rsa_sha2(void);

/* The ssh(1) transport; `dest` is the name that ~/.ssh/config is asked for. */
struct ssh *ssh_cli_open(
        const struct ssh_target *t, const char *dest, int64_t deadline, struct err *e);

/*
 * Does ~/.ssh/config change how this host is reached?  Then *ret_dest (borrowed from t) is the name it knows
 * the host by.
 */
bool ssh_cli_config_speaks(const struct ssh_target *t, int64_t deadline, const char **ret_dest);

/* ---- texts (ssh_text.c) ---- */

/*
 * Split a line of command line options as sh does (blanks, quotes, backslash, leading ~/), but expand and run nothing: what
 * would need a shell is ERR_CONFIG.  Returns owned, NULL-terminated.
 */
char **ssh_split(const char *text, const char *home, struct err *e) MUST_USE;
void ssh_split_free(char **words);
CLEANUP_FN(ssh_split, char **, ssh_split_free)

struct ssh_key_info {
	char type
	        [64]; /* "ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"...; "" when the file does not say */
	bool encrypted; /* needs a passphrase */
};
/* From a file; false with errno, EINVAL when it is not a private key. */
bool ssh_key_read(const char *path, struct ssh_key_info *ret) MUST_USE;
bool ssh_key_look(
        const char *file_text, struct ssh_key_info *ret) MUST_USE; /* false: not a private key */

void ssh_add_base64(struct str *s, const void *bytes, size_t n);
char *ssh_home(
        void); /* of the effective user, as ssh(1) sees it; returns owned, NULL when unknown */

/* The first name in an SSH key blob: its type.  False when the blob is none. */
bool ssh_blob_type(const void *blob, size_t n, char *ret, size_t size) MUST_USE;

/* ---- known_hosts (ssh_hosts.c) ---- */

enum ssh_verdict { SSH_KEY_UNKNOWN, SSH_KEY_CHANGED, SSH_KEY_KNOWN, SSH_KEY_REVOKED };
struct ssh_known {
	enum ssh_verdict verdict;
	char where[300];  /* "FILE line N" of the entry that made the verdict */
	struct str types; /* key types with an entry, comma-separated, in the file's order */
	bool has_ca;      /* a @cert-authority stands for the host */
};
void ssh_known_done(struct ssh_known *k);

/* "db1", or "[db1]:2222" when the port is not 22.  Returns owned. */
char *ssh_known_name(const struct ssh_target *t);

/* Add what one file says about a name; type and key64 may be NULL (only types and has_ca are wanted). */
void ssh_known_scan(struct ssh_known *k, const char *file, const char *text, const char *name,
        const char *type, const char *key64);

/* What both files (the target's and /etc/ssh/ssh_known_hosts) say. */
void ssh_known_read(
        const struct ssh_target *t, const char *type, const char *key64, struct ssh_known *ret);

/* May we talk to a host that shows this key?  Pins it if the target says so. */
bool ssh_known_accept(const struct ssh_target *t, const void *blob, size_t n, const void *sha256,
        struct err *e) MUST_USE;

/* The target's file, or ~/.ssh/known_hosts.  Returns owned. */
char *ssh_known_file(const struct ssh_target *t);

/* Open a known_hosts file for pinning; made with mode 0600 in a folder of 0700.  -1 and errno. */
int ssh_known_open(const char *file);

/* The errors of both transports; `text` says what is wrong. */
void ssh_known_hint_changed(const struct ssh_target *t, struct err *e);
void ssh_known_hint_unknown(
        const struct ssh_target *t, const char *type, const char *fingerprint, struct err *e);
bool ssh_err_locked(const struct ssh_target *t, const char *keys, struct err *e);
void ssh_hint_key_refused(const struct ssh_target *t, const char *pub, struct err *e);

/* Is the hashed host field ("|1|salt|hash") this name? (libssh2 does the arithmetic) */
struct ssh_hashed;
struct ssh_hashed *ssh_hashed_new(void);
bool ssh_hashed_is(struct ssh_hashed *h, const char *field, const char *name);
void ssh_hashed_free(struct ssh_hashed *h);
