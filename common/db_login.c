/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * db_login - the options of a session, and the way to a logged-in one.  Runs on: any thread.
 *
 * The library's non-blocking calls are used in any case, as only these tell the socket in time to guard it, and let
 * us look at the server's greeting first; inside a TLS handshake they block all the same.
 *
 * Left alone, the library falls back to clear text in silence when the server has no TLS, and then takes the
 * connection for safe and hands caching_sha2_password's password over.  So the greeting is looked at before the library
 * sees it.
 */
#include "db_impl.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <mysql.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "clock.h"
#include "fdguard.h"

enum {
	GREETING_MAX = 512,
	CODE_UNKNOWN = 2000, /* an authentication plug-in gave up without a word */
	CODE_PLUGIN_FORBIDDEN = 5010,
	IS_34 = MARIADB_PACKAGE_VERSION_ID >= 30400,
};

/* Plug-ins that prove the password without handing it over. */
static const char safe_plugins[] = "mysql_native_password,caching_sha2_password,"
                                   "sha256_password,client_ed25519,parsec";

static bool is_numeric(const char *address)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST }, *found;

	if (!address || getaddrinfo(address, NULL, &hints, &found) != 0)
		return false;
	freeaddrinfo(found);
	return true;
}

/* What the library says about a bad file, or a missing one, cannot be told from a server's fault. */
static bool check_pem(const char *what, const char *path, struct err *e)
{
	const size_t max = 64 << 10; /* certificates may have a description in front */
	AUTO(free) char *text = NULL;
	size_t n;
	FILE *f = path ? fopen(path, "re") : NULL;

	if (!path)
		return true;
	if (!f)
		return err_set(e, ERR_CONFIG, errno, "%s %s: %s", what, path, strerror(errno));
	text = xmalloc(max);
	n = fread(text, 1, max, f);
	fclose(f);
	if (!memmem(text, n, "-----BEGIN ", 11))
		return err_set(e, ERR_CONFIG, 0, "%s %s is not in PEM format", what, path);
	return true;
}

static bool check_fingerprint(const char *hex, struct err *e)
{
	size_t n = hex ? strspn(hex, "0123456789abcdefABCDEF") : 0;

	if (!hex || (n == 40 && !hex[n]))
		return true;
	return err_set(e, ERR_CONFIG, 0, "tls_fingerprint is not 40 hex digits (SHA-1, no colons)");
}

static bool check_tls(const struct db_opts *o, struct err *e)
{
	if (o->tls == DB_TLS_OFF)
		return true;
	if (o->tls >= DB_TLS_VERIFY_CA && !o->tls_ca)
		return err_set(
		        e, ERR_CONFIG, 0, "a certificate cannot be verified without a CA file");
	return check_pem("CA file", o->tls_ca, e) &&
	       check_pem("certificate file", o->tls_cert, e) &&
	       check_pem("key file", o->tls_key, e) && check_fingerprint(o->tls_fingerprint, e);
}

bool db_login_check(const struct db_opts *o, struct err *e)
{
	if (!o->socket && !is_numeric(o->address))
		return err_set(e, ERR_CONFIG, 0, "\"%s\" is not a numeric address",
		        o->address ? o->address : "");
	return check_tls(o, e) && check_pem("public key file", o->public_key, e);
}

bool db_login_wants_tls(const struct db_opts *o)
{
	return o->tls >= DB_TLS_REQUIRED || (o->tls == DB_TLS_PREFERRED && o->tls_fingerprint);
}

/* Whether the server has to prove who it is. */
static bool wants_proof(const struct db_opts *o)
{
	return o->tls >= DB_TLS_VERIFY_CA || (o->tls != DB_TLS_OFF && o->tls_fingerprint);
}

/*
 * OpenSSL's function as the library finds it: the program's own symbol comes first.  Without a CA file the library has
 * all of the system's certificates read for each session, 15 ms and 900 KiB, only to ask nobody about them; whoever
 * wants proof names a file or a fingerprint.  The occasion is used to have idle sessions give their buffers back, 34 KiB.
 */
int SSL_CTX_set_default_verify_paths(void *context);
int SSL_CTX_set_default_verify_paths(void *context)
{
	const int ctrl_mode = 33,
	          release_buffers = 0x10; /* SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS */
	long (*ctrl)(void *context, int cmd, long arg, void *more);

	*(void **)&ctrl = dlsym(RTLD_DEFAULT, "SSL_CTX_ctrl");
	if (ctrl)
		ctrl(context, ctrl_mode, release_buffers, NULL);
	return 1;
}

/* 3.4 cannot check the signature alone, so there VERIFY_CA checks the name too. */
static void set_tls(MYSQL *m, const struct db_opts *o)
{
	my_bool use = o->tls != DB_TLS_OFF;
	my_bool verify = o->tls >= (IS_34 ? DB_TLS_VERIFY_CA : DB_TLS_VERIFY_IDENTITY);

	mysql_options(m, MYSQL_OPT_SSL_ENFORCE, &use);
	mysql_options(m, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
	if (!use)
		return;
	if (o->tls >= DB_TLS_VERIFY_CA)
		mysql_options(m, MYSQL_OPT_SSL_CA, o->tls_ca);
	if (o->tls_cert)
		mysql_options(m, MYSQL_OPT_SSL_CERT, o->tls_cert);
	if (o->tls_key)
		mysql_options(m, MYSQL_OPT_SSL_KEY, o->tls_key);
	if (o->tls_fingerprint)
		mysql_options(m, MARIADB_OPT_TLS_PEER_FP, o->tls_fingerprint);
}

static void set_options(MYSQL *m, const struct db_opts *o)
{
	unsigned protocol = o->socket ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
	unsigned seconds = (unsigned)((o->connect_ms + 999) / 1000);
	unsigned no_infile = 0;
	unsigned long packet = DB_RESULT_MAX;
	size_t stack = DB_FIBER_STACK;

	mysql_options(m, MYSQL_OPT_NONBLOCK, &stack);
	mysql_options(m, MYSQL_OPT_PROTOCOL, &protocol);
	mysql_options(m, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
	mysql_options(m, MYSQL_OPT_LOCAL_INFILE, &no_infile);
	mysql_options(m, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet);
	mysql_options(m, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	mysql_options4(m, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", "mhad");
	if (o->public_key)
		mysql_options(m, MYSQL_SERVER_PUBLIC_KEY, o->public_key);
	if (!wants_proof(o) && !o->socket)
		mysql_options(m, MARIADB_OPT_RESTRICTED_AUTH, safe_plugins);
	set_tls(m, o);
}

static int socket_of(const struct db_login *l)
{
	return (int)mysql_get_socket(l->db->m);
}

void db_login_abandon(struct db_login *l)
{
	if (l->waits)
		shutdown(socket_of(l), SHUT_RDWR);
	while (l->waits) /* the library must be told, or it would leak what it is about */
		l->waits = mysql_real_connect_cont(&l->done, l->db->m, MYSQL_WAIT_TIMEOUT);
	l->done = NULL;
}

/* The library does not tell why a connect failed, but in words. */
static bool is_connected(struct db_login *l)
{
	socklen_t size = sizeof(l->sys);

	if (getsockopt(socket_of(l), SOL_SOCKET, SO_ERROR, &l->sys, &size) < 0)
		l->sys = errno;
	/* Before that, a reset is "refused". */
	if (!l->sys || l->sys == ECONNRESET || l->sys == EPIPE)
		l->layer = DB_LAYER_TCP;
	l->stage = DB_LOGIN_GREETS;
	return !l->sys;
}

enum look { LOOK_MORE, LOOK_PLAIN, LOOK_TLS, LOOK_ERROR, LOOK_OTHER };

static bool is_whole(const unsigned char *b, size_t n)
{
	return n >= GREETING_MAX || n >= 4 + (b[0] | (size_t)b[1] << 8 | (size_t)b[2] << 16);
}

/* What the first `n` bytes of a server say.  OTHER is anything that is neither a greeting nor an error packet. */
static enum look read_greeting(const unsigned char *b, size_t n)
{
	const enum look never = n < GREETING_MAX ? LOOK_MORE : LOOK_OTHER;
	const unsigned char *end;
	size_t at = 5; /* behind the packet's header and the protocol's number comes the version */

	if (n < at)
		return LOOK_MORE;
	if (b[4] == 0xff)
		return is_whole(b, n) ? LOOK_ERROR : LOOK_MORE;
	if (b[4] != 10)
		return LOOK_OTHER;
	end = memchr(b + at, 0, n - at);
	if (!end)
		return never == LOOK_MORE ? never : LOOK_PLAIN;
	at = (size_t)(end - b) + 1 + 4 + 8 + 1; /* thread, salt, filler */
	if (n < at + 2)
		return never == LOOK_MORE ? never : LOOK_PLAIN;
	return (b[at] | b[at + 1] << 8) & CLIENT_SSL ? LOOK_TLS : LOOK_PLAIN;
}

/* No event before that many bytes are here, or the other side has ended. */
static void wake_at(struct db_login *l, int bytes)
{
	l->seen = bytes - 1;
	setsockopt(socket_of(l), SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

/* Instead of a greeting: code, perhaps #SQLSTATE, text.  When TLS is wanted the library turns all of these into one
 * error of its own that does not tell a full server from a dead one. */
static void keep_error(struct db_login *l, const unsigned char *b, size_t n)
{
	size_t at = n > 13 && b[7] == '#' ? 13 : 7;

	if (n <= 7)
		return;
	if (n > 4 + (b[0] | (size_t)b[1] << 8 | (size_t)b[2] << 16))
		n = 4 + (b[0] | (size_t)b[1] << 8 | (size_t)b[2] << 16);
	l->code = b[5] | b[6] << 8;
	snprintf(
	        l->text, sizeof(l->text), "%.*s", n > at ? (int)(n - at) : 0, (const char *)b + at);
}

/* Look without taking.  OTHER also for a connection that is bad: the library will see. */
static enum look look(struct db_login *l)
{
	unsigned char b[GREETING_MAX];
	ssize_t n = recv(socket_of(l), b, sizeof(b), MSG_PEEK | MSG_DONTWAIT);
	enum look found = LOOK_OTHER;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return LOOK_MORE;
	if (n < 0)
		l->sys = errno;
	if (n > 0) {
		l->heard = clock_ms();
		found = read_greeting(b, (size_t)n);
	}
	if (n > 4 && (b[4] == 10 || b[4] == 0xff))
		l->layer = DB_LAYER_GREETING;
	if (found == LOOK_MORE && n > l->seen) {
		wake_at(l, (int)n + 1);
		return LOOK_MORE;
	}
	if (l->seen)
		wake_at(l, 1);
	if (found == LOOK_ERROR)
		keep_error(l, b, (size_t)n);
	return found == LOOK_MORE ? LOOK_OTHER : found; /* no more will come */
}

/* Now that it is known what the server can do.  False: it is not enough. */
static bool settle_tls(struct db_login *l, enum look seen)
{
	my_bool no = 0;

	if (seen != LOOK_PLAIN || l->o->tls == DB_TLS_OFF)
		return true;
	l->no_tls = db_login_wants_tls(l->o);
	if (!l->no_tls)
		mysql_options(l->db->m, MYSQL_OPT_SSL_ENFORCE, &no);
	return !l->no_tls;
}

static bool will_block(const struct db_login *l, enum look seen)
{
	return (seen == LOOK_TLS && l->o->tls != DB_TLS_OFF) || l->o->public_key;
}

static enum db_login_state give_up(struct db_login *l)
{
	db_login_abandon(l);
	return DB_LOGIN_OVER;
}

static enum db_login_state go_on(struct db_login *l, int events)
{
	char one;

	if (events & MYSQL_WAIT_READ && recv(socket_of(l), &one, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
		l->heard = clock_ms();
	l->owed = 0;
	l->waits = mysql_real_connect_cont(&l->done, l->db->m, events);
	return l->waits ? DB_LOGIN_WAIT : DB_LOGIN_OVER;
}

static int events_of_library(int waits)
{
	return (waits & MYSQL_WAIT_READ ? DB_STEPS_READ : 0) |
	       (waits & MYSQL_WAIT_WRITE ? DB_STEPS_WRITE : 0);
}

int db_login_events(const struct db_login *l)
{
	if (l->stage == DB_LOGIN_CONNECTS)
		return DB_STEPS_WRITE;
	return l->stage == DB_LOGIN_GREETS ? DB_STEPS_READ : events_of_library(l->waits);
}

enum db_login_state db_login_go(struct db_login *l, int events)
{
	enum look seen;

	if (l->stage == DB_LOGIN_CONNECTS) {
		if (!events)
			return DB_LOGIN_WAIT;
		if (!is_connected(l))
			return give_up(l);
	}
	if (l->stage == DB_LOGIN_GREETS) {
		seen = look(l);
		if (seen == LOOK_MORE)
			return DB_LOGIN_WAIT;
		l->stage = DB_LOGIN_IN_LIBRARY;
		l->owed = l->waits & (MYSQL_WAIT_READ | MYSQL_WAIT_WRITE);
		if (l->code || !settle_tls(l, seen))
			return give_up(l);
		if (will_block(l, seen) && !l->may_block)
			return DB_LOGIN_BLOCKS;
	}
	events = l->owed | (events & DB_STEPS_READ ? MYSQL_WAIT_READ : 0) |
	         (events & DB_STEPS_WRITE ? MYSQL_WAIT_WRITE : 0);
	return events ? go_on(l, events) : DB_LOGIN_WAIT;
}

enum db_login_state db_login_start(struct db_login *l, struct db *db, const struct db_opts *o)
{
	l->db = db;
	l->o = o;
	set_options(db->m, o);
	errno = 0;
	l->waits = mysql_real_connect_start(&l->done, db->m, o->socket ? NULL : o->address, o->user,
	        o->password, NULL, o->port, o->socket, 0);
	if (!l->waits) {
		l->sys = l->done ? 0 : errno;
		return DB_LOGIN_OVER;
	}
	fcntl(socket_of(l), F_SETFD, FD_CLOEXEC);
	l->stage = l->waits & MYSQL_WAIT_WRITE ? DB_LOGIN_CONNECTS : DB_LOGIN_GREETS;
	if (l->stage == DB_LOGIN_GREETS)
		l->layer = DB_LAYER_TCP;
	if (o->socket)
		l->stage = DB_LOGIN_IN_LIBRARY;
	return DB_LOGIN_WAIT;
}

static bool is_late(const struct db_login *l, struct err *e)
{
	static const char *const what[] = { [DB_LOGIN_CONNECTS] = "no answer to the connection",
		[DB_LOGIN_GREETS] = "connected, but the server says nothing",
		[DB_LOGIN_IN_LIBRARY] = "the server did not end the login" };

	return err_set(e, ERR_UNREACHABLE, DB_CODE_LOST, "no login within %lld ms: %s",
	        (long long)l->o->connect_ms, what[l->stage]);
}

static bool has_no_tls(struct err *e)
{
	err_set(e, ERR_PRECOND, DB_CODE_TLS, "TLS is required, but the server offers none");
	return err_hint(e, "give the server a certificate, or allow it to do without TLS");
}

static bool login_failed(const struct db_login *l, bool late, struct err *e)
{
	const struct db_opts *o = l->o;
	int code = (int)mysql_errno(l->db->m);
	enum err_kind kind = db_login_kind(code);

	if (l->no_tls)
		return has_no_tls(e);
	if (l->code)
		return err_set(
		        e, db_login_kind(l->code), l->code, "login as %s: %s", o->user, l->text);
	if (late && (!code || db_code_is_ours(code)))
		return is_late(l, e);
	if (l->sys && l->layer == DB_LAYER_NOTHING)
		return err_set(e, ERR_UNREACHABLE, DB_CODE_CONNECT,
		        "login as %s: cannot connect: %s", o->user, strerror(l->sys));
	if (l->sys && db_code_is_ours(code) && kind == ERR_UNREACHABLE)
		return err_set(e, kind, DB_CODE_LOST, "login as %s: %s", o->user, strerror(l->sys));
	if (code == CODE_UNKNOWN && o->public_key)
		return err_set(e, ERR_CONFIG, code, "login as %s: public key file %s is of no use",
		        o->user, o->public_key);
	if (code == CODE_PLUGIN_FORBIDDEN) /* the library has no text for it */
		return err_set(e, kind, code,
		        "login as %s: the server wants a way to log in that is only allowed when "
		        "its certificate is verified",
		        o->user);
	err_set(e, kind, code, "login as %s: %s", o->user, mysql_error(l->db->m));
	if (code == DB_CODE_TLS && wants_proof(o))
		err_hint(e, "check which certificate the server shows");
	return false;
}

/* Where an attempt ended that the library made alone. */
static void settle_layer(struct db_login *l)
{
	unsigned code = mysql_errno(l->db->m);

	if (l->done)
		l->layer = DB_LAYER_LOGIN;
	else if (code && !db_code_is_ours((int)code) && l->layer < DB_LAYER_GREETING)
		l->layer = DB_LAYER_GREETING;
}

bool db_login_end(struct db_login *l, bool late, struct err *e)
{
	if (late)
		db_login_abandon(l);
	settle_layer(l);
	mysql_options(l->db->m, MYSQL_SERVER_PUBLIC_KEY, NULL);      /* mysql_close() leaks it */
	mysql_options(l->db->m, MYSQL_OPT_CONNECT_ATTR_RESET, NULL); /* 8 KiB */
	l->db->dead = !l->done || late;
	return l->db->dead ? login_failed(l, late, e) : true;
}

/* As soon as there is a socket. */
static bool guard_socket(struct db_login *l, int64_t deadline, struct err *e)
{
	int fd = socket_of(l);

	if (l->db->guard || fd < 0)
		return true;
	l->db->guard = fdguard_new(fd, e);
	if (!l->db->guard)
		return false;
	fdguard_arm(l->db->guard, deadline);
	return true;
}

/* The events that have come; 0 at the deadline. */
static int wait_for(int fd, int events, int64_t deadline)
{
	struct pollfd p = { .fd = fd };
	int n;

	if (events & DB_STEPS_READ)
		p.events |= POLLIN;
	if (events & DB_STEPS_WRITE)
		p.events |= POLLOUT;
	do
		n = poll(&p, 1, clock_left_poll(deadline));
	while (n <= 0 && clock_left(deadline) > 0);
	if (n <= 0)
		return 0;
	if (p.revents & (POLLHUP | POLLERR | POLLNVAL))
		return events;
	return (p.revents & POLLIN ? DB_STEPS_READ : 0) |
	       (p.revents & POLLOUT ? DB_STEPS_WRITE : 0);
}

bool db_login_run(struct db_login *l, enum db_login_state state, int64_t deadline, struct err *e)
{
	bool late = false;

	while (state != DB_LOGIN_OVER && !late) {
		int events = 0;

		if (!guard_socket(l, deadline, e)) {
			db_login_abandon(l);
			db_login_end(l, false, NULL);
			return false;
		}
		if (state == DB_LOGIN_WAIT)
			events = wait_for(socket_of(l), db_login_events(l), deadline);
		late = state == DB_LOGIN_WAIT && !events;
		if (!late)
			state = db_login_go(l, events);
	}
	if (l->done && !guard_socket(l, deadline, e)) {
		db_login_end(l, false, NULL);
		return false;
	}
	late = (l->db->guard && fdguard_disarm(l->db->guard)) || clock_left(deadline) == 0 || late;
	return db_login_end(l, late, e);
}
