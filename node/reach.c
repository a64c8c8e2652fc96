/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reach - connects, listens, tells.  Runs on: any thread.
 */
#include "reach.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "clock.h"
#include "json.h"
#include "names.h"
#include "str.h"

enum {
	DEFAULT_TIMEOUT_MS = 2000,
	GREETING_MAX = 1024, /* longer ones are looked at no further */
	PROTOCOL = 10,
	ERROR_PACKET = 0xff,
	HEADER = 4,
};

struct check {
	struct verb_io *io;
	int64_t deadline;
	char address[64];
	enum reach_result result;
	int error, code;
	char text[256];
};

const char *reach_name(enum reach_result r)
{
	static const char *const names[] = { "greeting", "error", "open", "refused", "timeout",
		"unreachable" };

	return names[r];
}

bool reach_is_host(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                              "0123456789.-_:%";

	return *text && *text != '-' && strlen(text) < 256 && !text[strspn(text, allowed)];
}

bool reach_of_errno(int error, enum reach_result *ret)
{
	switch (error) {
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE: *ret = REACH_REFUSED; return true;
	case ETIMEDOUT: *ret = REACH_TIMEOUT; return true;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
	case ENETDOWN:
	case EACCES:
	case EPERM: *ret = REACH_UNREACHABLE; return true;
	default: return false;
	}
}

/* Printable text of at most n bytes. */
static void copy_text(char *to, size_t size, const unsigned char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n && i + 1 < size && p[i]; i++)
		to[i] = p[i] < ' ' || p[i] == 0x7f ? '?' : (char)p[i];
	to[i] = '\0';
}

bool reach_parse(const unsigned char *p, size_t n, enum reach_result *ret, int *ret_code,
        char *text, size_t size)
{
	size_t len, skip;

	if (n < HEADER + 1)
		return false;
	len = p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16;
	p += HEADER;
	n -= HEADER;
	*ret_code = 0;
	*ret = *p == PROTOCOL ? REACH_GREETING : *p == ERROR_PACKET ? REACH_ERROR : REACH_OPEN;
	if (*ret == REACH_OPEN || len < 4 || len > GREETING_MAX) {
		*ret = REACH_OPEN;
		snprintf(text, size, "what answers there is no MySQL server");
		return true;
	}
	if (n < len)
		return false;
	if (*ret == REACH_GREETING) {
		copy_text(text, size, p + 1, len - 1);
		return true;
	}
	*ret_code = p[1] | p[2] << 8;
	skip = len > 9 && p[3] == '#' ? 9 : 3;
	copy_text(text, size, p + skip, len - skip);
	return true;
}

/* 1: the socket is ready, 0: the time is over, -1: told to end. */
static int wait_for(struct check *c, int fd, short events)
{
	struct pollfd p[2] = { { fd, events, 0 }, { c->io->cancel_fd, POLLIN, 0 } };
	int rc;

	do {
		rc = poll(p, c->io->cancel_fd >= 0 ? 2 : 1, clock_left_poll(c->deadline));
	} while (rc < 0 && errno == EINTR);
	if (p[1].revents && c->io->cancel_fd >= 0)
		return -1;
	return rc > 0 ? 1 : 0;
}

static bool found(struct check *c, enum reach_result result, int error)
{
	c->result = result;
	c->error = error;
	return true;
}

static bool canceled(struct check *c, struct err *e)
{
	if (verb_go_on(c->io, e))
		err_set(e, ERR_CANCELED, 0, "told to end");
	return false;
}

static bool failed(struct check *c, int error, const char *doing, struct err *e)
{
	enum reach_result r;

	if (reach_of_errno(error, &r))
		return found(c, r, error);
	return err_set(e, ERR_SYSTEM, error, "%s: %s", doing, strerror(error));
}

static bool listen_to(struct check *c, int fd, struct err *e)
{
	unsigned char buf[HEADER + GREETING_MAX];
	size_t have = 0;

	for (;;) {
		int rc = wait_for(c, fd, POLLIN);
		ssize_t n;

		if (rc < 0)
			return canceled(c, e);
		if (!rc)
			return found(c, REACH_OPEN, 0);
		n = recv(fd, buf + have, sizeof(buf) - have, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return failed(c, errno, "read", e);
		if (!n) {
			snprintf(c->text, sizeof(c->text), "closed without a greeting");
			return found(c, REACH_OPEN, 0);
		}
		have += (size_t)n;
		if (reach_parse(buf, have, &c->result, &c->code, c->text, sizeof(c->text)))
			return true;
	}
}

static bool connect_to(
        struct check *c, int fd, const struct addrinfo *ai, bool mysql, struct err *e)
{
	int error = 0, rc;
	socklen_t len = sizeof(error);

	if (connect(fd, ai->ai_addr, ai->ai_addrlen)) {
		if (errno != EINPROGRESS)
			return failed(c, errno, "connect", e);
		rc = wait_for(c, fd, POLLOUT);
		if (rc < 0)
			return canceled(c, e);
		if (!rc)
			return found(c, REACH_TIMEOUT, ETIMEDOUT);
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error)
			return failed(c, error, "connect", e);
	}
	return mysql ? listen_to(c, fd, e) : found(c, REACH_OPEN, 0);
}

static bool numeric(const char *address, const char *port, struct addrinfo **ret, struct err *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	int rc = getaddrinfo(address, port, &hints, ret);

	return !rc ||
	       err_set(e, ERR_CONFIG, 0, "%s is not an address: %s", address, gai_strerror(rc));
}

static bool bind_to(int fd, const char *from, struct err *e)
{
	struct addrinfo *ai = NULL;
	bool ok = numeric(from, "0", &ai, e);

	if (ok && bind(fd, ai->ai_addr, ai->ai_addrlen))
		ok = err_sys(e, "use %s as our address", from);
	if (ai)
		freeaddrinfo(ai);
	return ok;
}

static bool try_it(struct check *c, const struct args *a, struct err *e)
{
	struct addrinfo *ai = NULL;
	char port[16];
	AUTO_FD int fd = -1;
	bool ok;

	snprintf(port, sizeof(port), "%d", (int)a->port);
	if (!numeric(c->address, port, &ai, e))
		return false;
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ok = fd >= 0 || err_sys(e, "make a socket");
	ok = ok && (!a->from || bind_to(fd, a->from, e)) && connect_to(c, fd, ai, a->mysql, e);
	freeaddrinfo(ai);
	return ok;
}

static bool look_up(struct check *c, const char *host, struct err *e)
{
	struct names_item name = { .name = host };

	names_look_up(&name, 1, c->deadline);
	if (!name.address[0])
		return err_set(e, ERR_CONFIG, 0, "%s is not known here: %s", host, name.error);
	memcpy(c->address, name.address, sizeof(c->address));
	return true;
}

static bool check_args(const struct args *a, struct err *e)
{
	if (!a->host)
		return err_set(e, ERR_CONFIG, 0, "--host=<...> must be set.");
	if (!a->port)
		return err_set(e, ERR_CONFIG, 0, "--port=<...> must be set.");
	return reach_is_host(a->host) ||
	       err_set(e, ERR_CONFIG, 0, "\"%.80s\" is not a host", a->host);
}

static void tell(const struct check *c, const struct args *a, int64_t since, struct verb_io *io)
{
	AUTO_JSON struct json j = JSON_INIT;
	char why[128];

	json_open(&j, NULL, '{');
	json_str(&j, "host", a->host);
	json_int(&j, "port", a->port);
	json_str(&j, "address", c->address);
	json_str(&j, "result", reach_name(c->result));
	json_num(&j, "ms", (double)(clock_us() - since) / 1000, 2);
	json_int(&j, "errno", c->error);
	json_int(&j, "code", c->code);
	json_str(&j, "text",
	        c->text[0] || !c->error ? c->text : strerror_r(c->error, why, sizeof(why)));
	json_close(&j, '}');
	verb_result(io, j.text.p);
}

int reach_serve(const struct args *a, struct verb_io *io, struct err *e)
{
	int64_t since = clock_us(), timeout = a->timeout ? a->timeout : DEFAULT_TIMEOUT_MS;
	struct check c = { .io = io, .deadline = clock_sooner(clock_in(timeout), io->deadline) };

	if (!check_args(a, e) || !look_up(&c, a->host, e) || !try_it(&c, a, e))
		return 1;
	tell(&c, a, since, io);
	return 0;
}
