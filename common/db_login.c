/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * db_login - the options of a session, and the way to a logged-in one.  Runs on: any thread.
 *
 * Here the library's non-blocking calls are used, as only these tell the socket in time to guard it, and let
 * us look at the server's greeting first; inside a TLS handshake they block all the same.
 */
#include "db_impl.h"
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
	FIBER_STACK = 256 << 10, /* TLS and RSA run on it during the login */
	CODE_UNKNOWN = 2000,     /* an authentication plug-in gave up without a word */
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
	size_t stack = FIBER_STACK;

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

/* As soon as there is a socket. */
static bool guard_socket(struct db *db, int64_t deadline, struct err *e)
{
	int fd = (int)mysql_get_socket(db->m);

	if (db->guard || fd < 0)
		return true;
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	db->guard = fdguard_new(fd, e);
	if (!db->guard)
		return false;
	fdguard_arm(db->guard, deadline);
	return true;
}

/* Wait for what the library waits for; at the deadline it is told that all is over. */
static int wait_for(struct db *db, int status, int64_t deadline)
{
	struct pollfd p = { .fd = (int)mysql_get_socket(db->m) };
	int events = 0, n;

	if (status & MYSQL_WAIT_READ)
		p.events |= POLLIN;
	if (status & MYSQL_WAIT_WRITE)
		p.events |= POLLOUT;
	do
		n = poll(&p, 1, clock_left_poll(deadline));
	while (n <= 0 && clock_left(deadline) > 0);
	if (n <= 0)
		return MYSQL_WAIT_TIMEOUT;
	if (p.revents & (POLLIN | POLLHUP | POLLERR))
		events |= MYSQL_WAIT_READ;
	if (p.revents & (POLLOUT | POLLHUP | POLLERR))
		events |= MYSQL_WAIT_WRITE;
	return events;
}

/*
 * Whether the first `n` bytes of what a server sends are enough to say if it offers TLS.  Anything that is no
 * greeting, an error packet for one, offers none, which is for the library to find out.
 */
static bool read_offer(const unsigned char *b, size_t n, bool *ret_offers)
{
	const unsigned char *end;
	size_t at = 5; /* behind the packet's header and the protocol's number comes the version */

	*ret_offers = false;
	if (n < at)
		return false;
	if (b[4] != 10)
		return true;
	end = memchr(b + at, 0, n - at);
	if (!end)
		return n == GREETING_MAX;
	at = (size_t)(end - b) + 1 + 4 + 8 + 1; /* thread, salt, filler */
	if (n < at + 2)
		return n == GREETING_MAX;
	*ret_offers = (b[at] | b[at + 1] << 8) & CLIENT_SSL;
	return true;
}

/* Look at the greeting without taking it.  False when none comes or the connection is bad: the library will see. */
static bool peek_offer(int fd, int64_t deadline, bool *ret_offers)
{
	unsigned char b[GREETING_MAX];
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLRDHUP };

	while (clock_left(deadline) > 0) {
		ssize_t n;

		if (poll(&p, 1, clock_left_poll(deadline)) <= 0)
			continue;
		if (p.revents & (POLLERR | POLLHUP)) /* recv() would take the error away */
			return false;
		n = recv(fd, b, sizeof(b), MSG_PEEK | MSG_DONTWAIT);
		if (n > 0 && read_offer(b, (size_t)n, ret_offers))
			return true;
		if (n == 0 || (p.revents & POLLRDHUP))
			return false;
		poll(NULL, 0, 1); /* part of it is here, so poll() does not wait for more */
	}
	return false;
}

/*
 * Left alone, the library falls back to clear text in silence when the server has no TLS, and then takes the
 * connection for safe and hands caching_sha2_password's password over.  So the greeting is looked at first.
 */
static bool settle_tls(struct db *db, const struct db_opts *o, int64_t deadline, struct err *e)
{
	my_bool no = 0;
	bool offers;

	if (!peek_offer((int)mysql_get_socket(db->m), deadline, &offers) || offers)
		return true;
	if (db_login_wants_tls(o)) {
		err_set(e, ERR_PRECOND, DB_CODE_TLS, "TLS is required, but the server offers none");
		return err_hint(e, "give the server a certificate, or allow it to do without TLS");
	}
	mysql_options(db->m, MYSQL_OPT_SSL_ENFORCE, &no);
	return true;
}

static bool login_failed(struct db *db, bool late, const struct db_opts *o, struct err *e)
{
	int code = (int)mysql_errno(db->m);
	enum err_kind kind = db_login_kind(code);

	if (late && (!code || db_code_is_ours(code)))
		return err_set(e, ERR_UNREACHABLE, code, "no login within %lld ms: %s",
		        (long long)o->connect_ms, mysql_error(db->m));
	if (code == CODE_UNKNOWN && o->public_key)
		return err_set(e, ERR_CONFIG, code, "login as %s: public key file %s is of no use",
		        o->user, o->public_key);
	if (code == CODE_PLUGIN_FORBIDDEN) /* the library has no text for it */
		return err_set(e, kind, code,
		        "login as %s: the server wants a way to log in that is only allowed when "
		        "its certificate is verified",
		        o->user);
	err_set(e, kind, code, "login as %s: %s", o->user, mysql_error(db->m));
	if (code == DB_CODE_TLS && wants_proof(o))
		err_hint(e, "check which certificate the server shows");
	return false;
}

/* False when we do not want to go on; the library must be told, or it would leak what it is about. */
static bool connect_to(
        struct db *db, const struct db_opts *o, int64_t deadline, MYSQL **ret_done, struct err *e)
{
	bool fine = true, settled = o->tls == DB_TLS_OFF || o->socket;
	int st = mysql_real_connect_start(ret_done, db->m, o->socket ? NULL : o->address, o->user,
	        o->password, NULL, o->port, o->socket, 0);

	while (st) {
		int events = MYSQL_WAIT_TIMEOUT;

		fine = fine && guard_socket(db, deadline, e);
		if (fine)
			events = wait_for(db, st, deadline);
		if (fine && !settled && events != MYSQL_WAIT_TIMEOUT) {
			settled = true;
			fine = settle_tls(db, o, deadline, e);
		}
		if (!fine) {
			shutdown((int)mysql_get_socket(db->m), SHUT_RDWR);
			events = MYSQL_WAIT_TIMEOUT;
		}
		st = mysql_real_connect_cont(ret_done, db->m, events);
	}
	return fine && (!*ret_done || guard_socket(db, deadline, e));
}

bool db_login(struct db *db, const struct db_opts *o, int64_t deadline, struct err *e)
{
	MYSQL *done = NULL;
	bool fine, late;

	set_options(db->m, o);
	fine = connect_to(db, o, deadline, &done, e);
	mysql_options(db->m, MYSQL_SERVER_PUBLIC_KEY, NULL); /* mysql_close() leaks it */
	if (!fine)
		return false;
	late = (db->guard && fdguard_disarm(db->guard)) || clock_left(deadline) == 0;
	if (!done || late)
		return login_failed(db, late, o, e);
	return true;
}
