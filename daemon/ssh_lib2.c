/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ssh_lib2 - sessions by libssh2, the only file that knows it.  The library runs non-blocking; all
 * waiting is poll() with our deadlines.
 *
 * libssh2 wants a call that could not send all its bytes repeated before anything else is sent on
 * the session, which no user of several channels can promise.  So it never sees a full socket: what
 * the kernel does not take is kept in `out`, and ssh_chan_write() takes no more while that is long.
 * A call can then only wait for the peer; one that is given up half-way leaves the library in the
 * middle of something, and the session is broken. Runs on: worker.
 */
#include "ssh_impl.h"
#include "clock.h"
#include "vec.h"
#include <errno.h>
#include <fcntl.h>
#include <libssh2.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	OUT_MAX = 256 * 1024,  /* bytes kept for the kernel before writes are refused */
	WRITE_MAX = 32 * 1024, /* bytes given to libssh2 at once */
	CLOSE_TRIES = 100,
	AGENT_S = 5,
	HELD_UP_MS = 5,
	RSA_SHA2_SINCE = 0x010b00, /* 1.11.0 */
};

struct chan {
	struct ssh_chan base;
	LIBSSH2_CHANNEL *ch;
	struct chan *next;
	bool eof_wanted, eof_sent;        /* of our direction */
	bool eof_told;                    /* ssh_wait() has returned because of the peer's */
	bool window_closed, out_was_full; /* why the last write moved nothing */
	bool stalled;                     /* a new key exchange held the last write up */
};

struct session {
	struct ssh base;
	LIBSSH2_SESSION *lib;
	int fd;
	struct str out;
	size_t out_sent;
	bool broken;
	int cancel_fd; /* while it is opened; 0: none */
	struct chan *chans;
	VEC(LIBSSH2_CHANNEL *) dying; /* closed by us, not yet by the peer */
};

static const struct ssh_ops ops;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_library(void)
{
	libssh2_init(0);
}

bool ssh_lib2_has_rsa_sha2(void)
{
	return libssh2_version(RSA_SHA2_SINCE) != NULL;
}

/* ---- bytes and waiting ---- */

/* False when the connection is gone. */
static bool flush(struct session *s)
{
	while (s->out_sent < s->out.len) {
		ssize_t n = send(s->fd, s->out.p + s->out_sent, s->out.len - s->out_sent,
		        MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		s->out_sent += (size_t)n;
	}
	str_clear(&s->out);
	s->out_sent = 0;
	return true;
}

/* The library talks to the agent through here too, and waits for its answer: not for ever. */
static ssize_t send_to_agent(int fd, const void *buf, size_t n)
{
	struct timeval patience = { .tv_sec = AGENT_S };
	ssize_t rc;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	rc = send(fd, buf, n, MSG_NOSIGNAL);
	return rc < 0 ? -errno : rc;
}

static LIBSSH2_RECV_FUNC(on_recv)
{
	struct session *s = *abstract;
	ssize_t n = recv(socket, buffer, length, flags);

	if (n > 0 && socket == s->fd)
		ssh_note_heard(s->base.heard);
	return n < 0 ? -errno : n;
}

static LIBSSH2_SEND_FUNC(on_send)
{
	struct session *s = *abstract;

	(void)flags;
	if (socket != s->fd)
		return send_to_agent(socket, buffer, length);
	str_addn(&s->out, buffer, length);
	return flush(s) ? (ssize_t)length : -errno;
}

/*
 * poll() that first sends what acknowledgement is owed: sshd holds its next small packet back until then, and the
 * kernel would delay it by 40 ms.  The kernel forgets the option soon, so it is set each time.
 *
 * A second descriptor, if it is more than 0, ends the waiting too: *ret_other.
 */
static int poll_quick(struct pollfd *p, int other, int ms, bool *ret_other)
{
	struct pollfd both[2] = { *p, { other, POLLIN, 0 } };
	int one = 1, rc;

	setsockopt(p->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one));
	rc = poll(both, other > 0 ? 2 : 1, ms);
	p->revents = rc > 0 ? both[0].revents : 0;
	*ret_other = rc > 0 && other > 0 && both[1].revents;
	return rc;
}

/* Wait for the socket: what is kept goes out, something may have come in. */
static bool wait_io(struct session *s, int64_t deadline)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN };
	bool canceled;
	int rc;

	if (!flush(s))
		return false;
	if (s->out.len)
		p.events |= POLLOUT;
	rc = poll_quick(&p, s->cancel_fd, clock_left_poll(deadline), &canceled);
	if (canceled)
		return false;
	return rc > 0 || (rc < 0 && errno == EINTR) || clock_left(deadline);
}

/* Loop condition around a libssh2 call: shall it be repeated? */
static bool again(struct session *s, int rc, int64_t deadline)
{
	if (rc != LIBSSH2_ERROR_EAGAIN)
		return false;
	if (wait_io(s, deadline))
		return true;
	s->broken = true;
	return false;
}

static bool is_cut(int rc)
{
	return rc == LIBSSH2_ERROR_SOCKET_SEND || rc == LIBSSH2_ERROR_SOCKET_RECV ||
	       rc == LIBSSH2_ERROR_SOCKET_DISCONNECT || rc == LIBSSH2_ERROR_BANNER_RECV;
}

static const char *lib_text(struct session *s)
{
	char *text = NULL;

	libssh2_session_last_error(s->lib, &text, NULL, 0);
	return text && *text ? text : "unknown error";
}

static bool lost(struct session *s, int rc, const char *doing, int64_t began, struct err *e)
{
	if (rc == LIBSSH2_ERROR_EAGAIN)
		return err_set(e, ERR_LOST, ETIMEDOUT, "%s: no answer within %lld ms", doing,
		        (long long)(clock_ms() - began));
	s->broken |= is_cut(rc);
	return err_set(e, ERR_LOST, 0, "%s: connection lost (%s)", doing, lib_text(s));
}

/* ---- connecting ---- */

static bool connect_in_time(
        int fd, const struct addrinfo *ai, const struct ssh_target *t, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof(errno);
	int error = 0, rc;
	bool canceled;

	if (!connect(fd, ai->ai_addr, ai->ai_addrlen))
		return true;
	if (errno != EINPROGRESS)
		return false;
	do {
		rc = poll_quick(&p, t->cancel_fd, clock_left_poll(deadline), &canceled);
	} while (rc < 0 && errno == EINTR);
	if (rc <= 0 || canceled) {
		errno = canceled ? ECANCELED : ETIMEDOUT;
		return false;
	}
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	errno = error;
	return !error;
}

/* The kernel notices a peer that vanished, also while nobody uses the session. */
static void set_keepalive(int fd)
{
	static const struct {
		int level, name, value;
	} set[] = {
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 15 },
		{ IPPROTO_TCP, TCP_KEEPINTVL, 5 },
		{ IPPROTO_TCP, TCP_KEEPCNT, 3 },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, 30000 },
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(set); i++)
		setsockopt(fd, set[i].level, set[i].name, &set[i].value, sizeof(set[i].value));
}

static int tcp_connect(const struct ssh_target *t, int64_t deadline, struct err *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV },
	                *ai = NULL;
	char port[16];
	int fd;

	snprintf(port, sizeof(port), "%u", t->port);
	if (getaddrinfo(t->address, port, &hints, &ai)) {
		err_set(e, ERR_CONFIG, 0, "%s is not a numeric address", t->address);
		return -1;
	}
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || !connect_in_time(fd, ai, t, deadline)) {
		char why[128];
		int code = errno;

		if (code == ECONNREFUSED || code == ECONNRESET)
			ssh_note_heard(t->heard);
		err_set(e, ERR_UNREACHABLE, code, "connect to %s port %u: %s", t->address, t->port,
		        strerror_r(code, why, sizeof(why)));
		if (fd >= 0)
			close(fd);
		fd = -1;
	} else {
		ssh_note_heard(t->heard);
		set_keepalive(fd);
	}
	freeaddrinfo(ai);
	return fd;
}

/* ---- handshake and host key ---- */

static void add_algorithm(struct str *list, const char *name)
{
	AUTO(free) char *comma_name = xasprintf(",%s,", name), *all = xasprintf(",%s,", list->p);

	if (!strstr(all, comma_name))
		str_addf(list, "%s%s", list->len ? "," : "", name);
}

/* Only what the library knows: it removes the rest from the list by copying within overlapping memory. */
static void prefer(struct str *list, const char *name, const char *const *all, int n)
{
	for (int i = 0; i < n; i++)
		if (str_is(all[i], name))
			add_algorithm(list, name);
}

/* Ask first for the key types that known_hosts has for the host: another one would look like a
 * changed key. */
static void prefer_known(struct session *s, const struct ssh_known *k)
{
	AUTO_STR struct str list = STR_INIT;
	AUTO(free) char *types = xstrdup(k->types.p);
	const char **all = NULL;
	char *rest = types, *type;
	int n = k->types.len ? libssh2_session_supported_algs(s->lib, LIBSSH2_METHOD_HOSTKEY, &all)
	                     : 0;

	if (n <= 0)
		return;
	while ((type = strsep(&rest, ","))) {
		if (str_is(type, "ssh-rsa")) {
			prefer(&list, "rsa-sha2-512", all, n);
			prefer(&list, "rsa-sha2-256", all, n);
		}
		prefer(&list, type, all, n);
	}
	for (int i = 0; i < n; i++)
		add_algorithm(&list, all[i]);
	libssh2_free(s->lib, all);
	libssh2_session_method_pref(s->lib, LIBSSH2_METHOD_HOSTKEY, list.p);
}

static bool handshake(struct session *s, const struct ssh_target *t, int64_t deadline,
        bool *ret_other, struct err *e)
{
	__attribute__((cleanup(ssh_known_done))) struct ssh_known k;
	int64_t began = clock_ms();
	int rc;

	ssh_known_read(t, NULL, NULL, &k);
	prefer_known(s, &k);
	do {
		rc = libssh2_session_handshake(s->lib, s->fd);
	} while (again(s, rc, deadline));
	if (!rc)
		return true;
	if (rc == LIBSSH2_ERROR_EAGAIN)
		return err_set(e, ERR_UNREACHABLE, ETIME,
		        "port %u of %s accepts, but no SSH server answers within %lld ms", t->port,
		        t->address, (long long)(clock_ms() - began));
	*ret_other = rc == LIBSSH2_ERROR_KEX_FAILURE || rc == LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE ||
	             rc == LIBSSH2_ERROR_METHOD_NONE;
	return err_set(e, ERR_UNREACHABLE, 0, "SSH handshake with port %u of %s: %s", t->port,
	        t->address, lib_text(s));
}

static bool check_host_key(struct session *s, const struct ssh_target *t, struct err *e)
{
	size_t n = 0;
	int type;
	const char *blob = libssh2_session_hostkey(s->lib, &n, &type);
	const char *sha256 = libssh2_hostkey_hash(s->lib, LIBSSH2_HOSTKEY_HASH_SHA256);

	if (!blob || !sha256)
		return err_set(e, ERR_PARSE, 0, "%s shows no host key", t->name);
	return ssh_known_accept(t, blob, n, sha256, e);
}

/* ---- login ---- */

struct login {
	struct session *s;
	const struct ssh_target *t;
	int64_t deadline;
	struct str tried;     /* for people: "agent, /root/.ssh/id_ed25519" */
	struct str locked;    /* key files that need a passphrase */
	struct str first_pub; /* what to add to authorized_keys */
	bool skipped;         /* a key that only ssh(1) can use */
};

enum outcome { IN, NOT_IN, FAILED };

static enum outcome login_cut(struct login *l, int rc, struct err *e)
{
	bool late = rc == LIBSSH2_ERROR_EAGAIN;

	err_set(e, late ? ERR_UNREACHABLE : ERR_REFUSED, late ? ETIME : EACCES, "login as %s: %s",
	        l->t->user, late ? "no answer in time" : lib_text(l->s));
	return FAILED;
}

static enum outcome login_result(struct login *l, int rc, struct err *e)
{
	if (!rc)
		return IN;
	return rc == LIBSSH2_ERROR_EAGAIN || is_cut(rc) ? login_cut(l, rc, e) : NOT_IN;
}

static void add_name(struct str *list, const char *name)
{
	str_addf(list, "%s%s", list->len ? ", " : "", name);
}

static bool can_use(const char *type)
{
	if (str_is(type, "ssh-rsa"))
		return ssh_lib2_has_rsa_sha2();
	return !*type || str_is(type, "ssh-ed25519") ||
	       (str_starts(type, "ecdsa") && !strstr(type, "-cert-"));
}

/* Look whether a key file can be used at all.  A default one that is missing is nothing to talk about. */
static enum outcome look_at_file(struct login *l, const char *path, struct err *e)
{
	struct ssh_key_info info;
	struct stat st;

	if (stat(path, &st) || !ssh_key_read(path, &info)) {
		if (!l->t->key)
			return NOT_IN;
		if (errno == EINVAL)
			err_set(e, ERR_CONFIG, 0, "%s is not a private key", path);
		else
			err_sys(e, "read key file %s", path);
		e->kind = ERR_CONFIG;
		return FAILED;
	}
	if (st.st_uid == geteuid() && st.st_mode & 077) {
		err_set(e, ERR_CONFIG, 0, "key file %s is open to others (mode %03o)", path,
		        (unsigned)st.st_mode & 0777);
		err_hint(e, "chmod 600 %s", path);
		return FAILED;
	}
	l->skipped |= !can_use(info.type);
	if (info.encrypted)
		add_name(&l->locked, path);
	return can_use(info.type) && !info.encrypted ? IN : NOT_IN;
}

static enum outcome try_file(struct login *l, const char *path, struct err *e)
{
	const char *user = l->t->user;
	enum outcome o = look_at_file(l, path, e);
	int rc;

	if (o != IN)
		return o;
	add_name(&l->tried, path);
	if (!l->first_pub.len)
		str_addf(&l->first_pub, "%s.pub", path);
	do {
		rc = libssh2_userauth_publickey_fromfile_ex(
		        l->s->lib, user, (unsigned)strlen(user), NULL, path, NULL);
	} while (again(l->s, rc, l->deadline));
	if (rc == LIBSSH2_ERROR_FILE && l->t->key) {
		err_set(e, ERR_CONFIG, 0, "key file %s cannot be used: %s", path, lib_text(l->s));
		return FAILED;
	}
	return login_result(l, rc, e);
}

static enum outcome try_agent_keys(struct login *l, LIBSSH2_AGENT *agent, struct err *e)
{
	struct libssh2_agent_publickey *id = NULL;
	enum outcome o = NOT_IN;
	char type[64];
	int n = 0, rc;

	while (o == NOT_IN && !libssh2_agent_get_identity(agent, &id, id)) {
		if (!ssh_blob_type(id->blob, id->blob_len, type, sizeof(type)) || !can_use(type)) {
			l->skipped = true;
			continue;
		}
		n++;
		do {
			rc = libssh2_agent_userauth(agent, l->t->user, id);
		} while (again(l->s, rc, l->deadline));
		o = login_result(l, rc, e);
	}
	if (n)
		str_addf(&l->tried, "%sagent (%d key%s)", l->tried.len ? ", " : "", n,
		        n == 1 ? "" : "s");
	return o;
}

static enum outcome try_agent(struct login *l, struct err *e)
{
	LIBSSH2_AGENT *agent = getenv("SSH_AUTH_SOCK") ? libssh2_agent_init(l->s->lib) : NULL;
	enum outcome o = NOT_IN;

	if (!agent)
		return NOT_IN;
	if (!libssh2_agent_connect(agent) && !libssh2_agent_list_identities(agent))
		o = try_agent_keys(l, agent, e);
	libssh2_agent_disconnect(agent);
	libssh2_agent_free(agent);
	return o;
}

/* A named key is used alone, as "IdentitiesOnly" does; the agent may hold it when the file is
 * locked. */
static enum outcome try_all(struct login *l, struct err *e)
{
	static const char *const names[] = { "id_ed25519", "id_ecdsa", "id_rsa" };
	AUTO(free) char *home = ssh_home();
	enum outcome o;

	if (l->t->key) {
		o = try_file(l, l->t->key, e);
		return o == NOT_IN && l->locked.len ? try_agent(l, e) : o;
	}
	o = try_agent(l, e);
	for (size_t i = 0; home && o == NOT_IN && i < ARRAY_LEN(names); i++) {
		AUTO(free) char *path = xasprintf("%s/.ssh/%s", home, names[i]);

		o = try_file(l, path, e);
	}
	return o;
}

static bool explain_refusal(struct login *l, struct err *e)
{
	if (l->locked.len && !l->tried.len)
		return ssh_err_locked(l->t, l->locked.p, e);
	if (!l->tried.len && l->skipped) {
		err_set(e, ERR_REFUSED, EACCES,
		        "login as %s: only RSA or hardware keys, which this libssh2 cannot use",
		        l->t->user);
		return err_hint(e, "use an ed25519 key, or let ssh(1) be chosen");
	}
	if (!l->tried.len) {
		err_set(e, ERR_CONFIG, 0, "login as %s: no agent, and no key in ~/.ssh",
		        l->t->user);
		return err_hint(e,
		        "ssh-keygen -t ed25519, then add the .pub to ~%s/.ssh/authorized_keys on "
		        "%s",
		        l->t->user, l->t->name);
	}
	err_set(e, ERR_REFUSED, EACCES, "login as %s: no key was accepted (tried %s%s%s)",
	        l->t->user, l->tried.p, l->locked.len ? "; locked: " : "", l->locked.p);
	ssh_hint_key_refused(l->t, l->first_pub.len ? l->first_pub.p : "the public key", e);
	return false;
}

static void login_done(struct login *l)
{
	str_done(&l->tried);
	str_done(&l->locked);
	str_done(&l->first_pub);
}

static bool log_in(struct session *s, const struct ssh_target *t, int64_t deadline, bool *ret_other,
        struct err *e)
{
	__attribute__((cleanup(login_done))) struct login l = { s, t, deadline, STR_INIT, STR_INIT,
		STR_INIT, false };
	enum outcome o;
	int rc;

	/* Asks for the authentication service too; without it no method works. */
	do {
		rc = libssh2_userauth_list(s->lib, t->user, (unsigned)strlen(t->user))
		             ? 0
		             : libssh2_session_last_errno(s->lib);
	} while (again(s, rc, deadline));
	if (libssh2_userauth_authenticated(s->lib))
		return true;
	if (rc == LIBSSH2_ERROR_EAGAIN || is_cut(rc))
		return login_cut(&l, rc, e) == IN;
	o = try_all(&l, e);
	*ret_other = o == NOT_IN && l.skipped;
	return o == IN || (o == NOT_IN && explain_refusal(&l, e));
}

/* ---- session ---- */

/* Nobody is waited for: with the socket shut down, libssh2 sees every channel as closed. */
static void close_session(struct ssh *base)
{
	struct session *s = (struct session *)base;

	if (s->lib) {
		if (!s->broken)
			libssh2_session_disconnect(s->lib, "done");
		shutdown(s->fd, SHUT_RDWR);
		for (int i = 0;
		        i < CLOSE_TRIES && libssh2_session_free(s->lib) == LIBSSH2_ERROR_EAGAIN;
		        i++)
			;
	}
	for (struct chan *c = s->chans, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	cleanup_fd(&s->fd);
	str_done(&s->out);
	vec_done(&s->dying);
	free(s->base.name);
	free(s);
}

struct ssh *ssh_lib2_open(
        const struct ssh_target *t, int64_t deadline, bool *ret_other_may_help, struct err *e)
{
	struct session *s = xzalloc(sizeof(*s));

	pthread_once(&once, init_library);
	*ret_other_may_help = false;
	s->base = (struct ssh){ &ops, xstrdup(t->name), t->heard };
	s->cancel_fd = t->cancel_fd;
	str_init(&s->out);
	s->fd = tcp_connect(t, deadline, e);
	if (s->fd >= 0) {
		s->lib = libssh2_session_init_ex(NULL, NULL, NULL, s);
		libssh2_session_set_blocking(s->lib, 0);
		libssh2_session_callback_set(s->lib, LIBSSH2_CALLBACK_SEND, (void *)on_send);
		libssh2_session_callback_set(s->lib, LIBSSH2_CALLBACK_RECV, (void *)on_recv);
		if (handshake(s, t, deadline, ret_other_may_help, e) && check_host_key(s, t, e) &&
		        log_in(s, t, deadline, ret_other_may_help, e)) {
			s->cancel_fd = 0;
			return &s->base;
		}
	}
	close_session(&s->base);
	return NULL;
}

/* Channels that we closed are forgotten as soon as the peer has closed them too. */
static void bury(struct session *s)
{
	size_t keep = 0;

	for (size_t i = 0; i < s->dying.len; i++)
		if (libssh2_channel_free(s->dying.items[i]) == LIBSSH2_ERROR_EAGAIN)
			s->dying.items[keep++] = s->dying.items[i];
	s->dying.len = keep;
}

static void drop_channel(struct session *s, LIBSSH2_CHANNEL *ch)
{
	if (libssh2_channel_free(ch) == LIBSSH2_ERROR_EAGAIN)
		vec_push(&s->dying, ch);
}

static LIBSSH2_CHANNEL *open_channel(struct session *s, int64_t deadline, int *ret_rc)
{
	LIBSSH2_CHANNEL *ch;

	if (!s->broken)
		bury(s);
	do {
		ch = libssh2_channel_open_session(s->lib);
		*ret_rc = ch ? 0 : libssh2_session_last_errno(s->lib);
	} while (again(s, *ret_rc, deadline));
	return ch;
}

static bool is_alive(struct ssh *base, int64_t deadline)
{
	struct session *s = (struct session *)base;
	LIBSSH2_CHANNEL *ch;
	int rc;

	if (s->broken)
		return false;
	ch = open_channel(s, deadline, &rc);
	if (ch)
		drop_channel(s, ch);
	/* "No more channels" is an answer too. */
	return ch || rc == LIBSSH2_ERROR_CHANNEL_FAILURE;
}

static struct ssh_chan *chan_open(
        struct ssh *base, const char *command, int64_t deadline, struct err *e)
{
	struct session *s = (struct session *)base;
	int64_t began = clock_ms();
	LIBSSH2_CHANNEL *ch;
	struct chan *c;
	int rc;

	if (s->broken) {
		err_set(e, ERR_LOST, 0, "the session is broken");
		return NULL;
	}
	ch = open_channel(s, deadline, &rc);
	if (!ch) {
		if (rc != LIBSSH2_ERROR_CHANNEL_FAILURE)
			return lost(s, rc, "open a channel", began, e), NULL;
		err_set(e, ERR_REFUSED, 0, "open a channel: %s", lib_text(s));
		err_hint(e, "MaxSessions in its sshd_config limits the commands that run at once "
		            "on one connection");
		return NULL;
	}
	do {
		rc = libssh2_channel_process_startup(
		        ch, "exec", 4, command, (unsigned)strlen(command));
	} while (again(s, rc, deadline));
	if (rc) {
		if (rc == LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED)
			err_set(e, ERR_REFUSED, 0, "the SSH server does not let us run commands");
		else
			lost(s, rc, "start a command", began, e);
		if (!s->broken)
			drop_channel(s, ch);
		return NULL;
	}
	c = xzalloc(sizeof(*c));
	c->base.s = base;
	c->ch = ch;
	c->next = s->chans;
	s->chans = c;
	return &c->base;
}

static struct session *session_of(const struct chan *c)
{
	return (struct session *)c->base.s;
}

static bool try_send_eof(struct chan *c, struct err *e)
{
	int rc;

	if (!c->eof_wanted || c->eof_sent)
		return true;
	rc = libssh2_channel_send_eof(c->ch);
	c->eof_sent = rc != LIBSSH2_ERROR_EAGAIN;
	return !is_cut(rc) || lost(session_of(c), rc, "end the input", 0, e);
}

static ssize_t chan_read(
        struct ssh_chan *base, bool from_err, void *buf, size_t size, struct err *e)
{
	struct chan *c = (struct chan *)base;
	struct session *s = session_of(c);
	ssize_t n;

	if (!flush(s))
		return lost(s, LIBSSH2_ERROR_SOCKET_SEND, "read", 0, e), -1;
	if (!try_send_eof(c, e))
		return -1;
	n = libssh2_channel_read_ex(c->ch, from_err ? SSH_EXTENDED_DATA_STDERR : 0, buf, size);
	if (n >= 0 || n == LIBSSH2_ERROR_EAGAIN)
		return n < 0 ? 0 : n;
	lost(s, (int)n, "read", 0, e);
	return -1;
}

static ssize_t chan_write(struct ssh_chan *base, const void *buf, size_t n, struct err *e)
{
	struct chan *c = (struct chan *)base;
	struct session *s = session_of(c);
	ssize_t rc = 0;

	c->window_closed = false;
	c->out_was_full = false;
	c->stalled = false;
	if (!flush(s))
		return lost(s, LIBSSH2_ERROR_SOCKET_SEND, "write", 0, e), -1;
	if (s->out.len >= OUT_MAX) {
		c->out_was_full = true;
		return 0;
	}
	rc = libssh2_channel_write_ex(c->ch, 0, buf, n < WRITE_MAX ? n : WRITE_MAX);
	if (rc > 0)
		return rc;
	if (!rc || rc == LIBSSH2_ERROR_EAGAIN) {
		c->window_closed = !libssh2_channel_window_write(c->ch);
		c->stalled = !c->window_closed;
		return 0;
	}
	if (rc == LIBSSH2_ERROR_CHANNEL_CLOSED || rc == LIBSSH2_ERROR_CHANNEL_EOF_SENT)
		err_set(e, ERR_REMOTE, EPIPE, "the command takes no more input");
	else
		lost(s, (int)rc, "write", 0, e);
	return -1;
}

static bool chan_send_eof(struct ssh_chan *base, struct err *e)
{
	struct chan *c = (struct chan *)base;

	c->eof_wanted = true;
	return try_send_eof(c, e);
}

static bool chan_eof(struct ssh_chan *base)
{
	return libssh2_channel_eof(((struct chan *)base)->ch) == 1;
}

/* Reading one channel may have brought something for another: the socket does not tell of that any
 * more. */
static bool is_ready(struct session *s, struct chan *c)
{
	if (libssh2_poll_channel_read(c->ch, 1) == 1)
		return true;
	if (!c->eof_told && libssh2_channel_eof(c->ch) == 1)
		return c->eof_told = true;
	return (c->window_closed && libssh2_channel_window_write(c->ch)) ||
	       (c->out_was_full && s->out.len < OUT_MAX / 2);
}

/* The end of a key exchange, which any call may bring about, cannot be seen: try again soon. */
static bool is_held_up(const struct chan *c)
{
	return c->stalled || (c->eof_wanted && !c->eof_sent);
}

/* Of `only`, or of all channels: can one go on, or may it be able to soon? */
static bool look_at_channels(
        struct session *s, const struct ssh_chan *only, bool *ret_held_up, struct err *e)
{
	*ret_held_up = false;
	for (struct chan *c = s->chans; c; c = c->next) {
		if (only && only != &c->base)
			continue;
		if (!try_send_eof(c, e) || is_ready(s, c))
			return true;
		*ret_held_up |= is_held_up(c);
	}
	return false;
}

static bool wait_any(
        struct ssh *base, struct ssh_chan *only, int fd, int64_t deadline, struct err *e)
{
	struct session *s = (struct session *)base;
	int64_t began = clock_ms();
	bool held_up = false, other = false;

	while (!held_up) {
		struct pollfd p = { .fd = s->fd, .events = POLLIN };
		int64_t until = deadline;

		if (!flush(s))
			return lost(s, LIBSSH2_ERROR_SOCKET_SEND, "wait", began, e);
		if (look_at_channels(s, only, &held_up, e))
			return true;
		if (s->out.len)
			p.events |= POLLOUT;
		if (held_up)
			until = clock_sooner(deadline, clock_in(HELD_UP_MS));
		if (poll_quick(&p, fd, clock_left_poll(until), &other) > 0 &&
		        (other || p.revents & ~POLLOUT))
			return true;
		if (!clock_left(deadline))
			return fd >= 0 || lost(s, LIBSSH2_ERROR_EAGAIN, "wait", began, e);
	}
	return true;
}

static void chan_free(struct ssh_chan *base)
{
	struct chan *c = (struct chan *)base, **at;
	struct session *s = session_of(c);

	for (at = &s->chans; *at != c; at = &(*at)->next)
		;
	*at = c->next;
	if (!s->broken)
		drop_channel(s, c->ch);
	free(c);
}

/* Read and throw away; 1 at the end, 0 when nothing is there now. */
static int discard(struct chan *c, struct err *e)
{
	char buf[16384];
	ssize_t a, b;

	do {
		a = chan_read(&c->base, false, buf, sizeof(buf), e);
		b = a < 0 ? -1 : chan_read(&c->base, true, buf, sizeof(buf), e);
	} while (a > 0 || b > 0);
	return a < 0 || b < 0 ? -1 : chan_eof(&c->base);
}

static bool wait_end(struct chan *c, int64_t deadline, struct err *e)
{
	struct session *s = session_of(c);
	int64_t began = clock_ms();
	int rc;

	c->eof_wanted = true;
	while (!(rc = discard(c, e)))
		if (!wait_any(&s->base, &c->base, -1, deadline, e))
			return false;
	if (rc < 0)
		return false;
	while ((rc = libssh2_channel_wait_closed(c->ch)) == LIBSSH2_ERROR_EAGAIN)
		if (!wait_io(s, deadline))
			break;
	return !rc || lost(s, rc, "wait for the exit status", began, e);
}

static bool finish(struct ssh_chan *base, int64_t deadline, int *ret_status, struct err *e)
{
	struct chan *c = (struct chan *)base;
	bool ok = wait_end(c, deadline, e);

	if (ok) {
		char *name = NULL;

		libssh2_channel_get_exit_signal(c->ch, &name, NULL, NULL, NULL, NULL, NULL);
		*ret_status = name ? -1 : libssh2_channel_get_exit_status(c->ch);
		if (name)
			libssh2_free(session_of(c)->lib, name);
	}
	chan_free(base);
	return ok;
}

static const struct ssh_ops ops = {
	.name = "libssh2",
	.close = close_session,
	.is_alive = is_alive,
	.chan_open = chan_open,
	.read = chan_read,
	.write = chan_write,
	.send_eof = chan_send_eof,
	.eof = chan_eof,
	.wait = wait_any,
	.finish = finish,
	.chan_free = chan_free,
};

/* ---- hashed names of known_hosts ---- */

struct ssh_hashed {
	LIBSSH2_SESSION *lib;
	LIBSSH2_KNOWNHOSTS *hosts;
};

struct ssh_hashed *ssh_hashed_new(void)
{
	struct ssh_hashed *h = xzalloc(sizeof(*h));

	pthread_once(&once, init_library);
	h->lib = libssh2_session_init();
	h->hosts = libssh2_knownhost_init(h->lib);
	return h;
}

/* The library looks up host and key together, so each field is asked for with a key of our own. */
bool ssh_hashed_is(struct ssh_hashed *h, const char *field, const char *name)
{
	static const char key[] = "AAAAB3NzaC1yc2E=";
	AUTO(free) char *line = xasprintf("%s ssh-rsa %s", field, key);
	struct libssh2_knownhost *entry = NULL;
	int rc = LIBSSH2_KNOWNHOST_CHECK_NOTFOUND;

	if (!libssh2_knownhost_readline(
	            h->hosts, line, strlen(line), LIBSSH2_KNOWNHOST_FILE_OPENSSH))
		rc = libssh2_knownhost_checkp(h->hosts, name, -1, key, strlen(key),
		        LIBSSH2_KNOWNHOST_TYPE_PLAIN | LIBSSH2_KNOWNHOST_KEYENC_BASE64 |
		                LIBSSH2_KNOWNHOST_KEY_SSHRSA,
		        NULL);
	while (!libssh2_knownhost_get(h->hosts, &entry, NULL))
		libssh2_knownhost_del(h->hosts, entry);
	return rc == LIBSSH2_KNOWNHOST_CHECK_MATCH;
}

void ssh_hashed_free(struct ssh_hashed *h)
{
	if (!h)
		return;
	libssh2_knownhost_free(h->hosts);
	libssh2_session_free(h->lib);
	free(h);
}
