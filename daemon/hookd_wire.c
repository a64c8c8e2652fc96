/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hookd_wire - bytes between mhad and the hook helper.  Runs on: any thread.
 */
#include "hookd_wire.h"
#include "clock.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

static bool wait_for(int fd, short events, int64_t deadline, struct err *e)
{
	struct pollfd p = { .fd = fd, .events = events };
	int n;

	do {
		n = poll(&p, 1, clock_left_poll(deadline));
	} while ((n < 0 && errno == EINTR) || (!n && clock_left(deadline)));
	if (n < 0)
		return err_sys(e, "poll");
	return n > 0 || err_set(e, ERR_LOST, ETIMEDOUT, "no answer in time");
}

static bool send_all(int fd, const char *p, size_t n, int64_t deadline, struct err *e)
{
	while (n) {
		ssize_t w = send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (w < 0 && errno != EAGAIN && errno != EINTR)
			return err_set(e, ERR_LOST, errno, "cannot send: %m");
		if (w < 0 && !wait_for(fd, POLLOUT, deadline, e))
			return false;
		if (w > 0) {
			p += w;
			n -= (size_t)w;
		}
	}
	return true;
}

bool hookd_receive(int fd, struct str *to, size_t max, int64_t deadline, struct err *e)
{
	char buf[16384];
	size_t room = max - to->len;
	ssize_t n;

	if (!room)
		return err_set(e, ERR_PARSE, 0, "more than %zu bytes were sent", max);
	if (!wait_for(fd, POLLIN, deadline, e))
		return false;
	n = recv(fd, buf, room < sizeof(buf) ? room : sizeof(buf), MSG_DONTWAIT);
	if (n > 0)
		str_addn(to, buf, (size_t)n);
	mem_wipe(buf, sizeof(buf));
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return true;
	return err_set(
	        e, ERR_LOST, n ? errno : 0, n ? "cannot read: %m" : "the connection was closed");
}

bool hookd_receive_line(
        int fd, struct str *to, size_t max, int64_t deadline, size_t *ret_len, struct err *e)
{
	const char *end;

	while (!(end = memchr(to->p, '\n', to->len)))
		if (!hookd_receive(fd, to, max, deadline, e))
			return false;
	*ret_len = (size_t)(end - to->p) + 1;
	return true;
}

bool hookd_send_json(
        int fd, json_t *j, const void *more, size_t more_len, int64_t deadline, struct err *e)
{
	char *line = j ? json_dumps(j, JSON_COMPACT) : NULL;
	bool ok;

	json_decref(j);
	if (!line)
		return err_set(e, ERR_PRECOND, 0, "the request cannot be written as JSON");
	ok = send_all(fd, line, strlen(line), deadline, e) && send_all(fd, "\n", 1, deadline, e) &&
	     send_all(fd, more, more_len, deadline, e);
	mem_free_secret(line);
	return ok;
}

json_t *hookd_text(const char *bytes)
{
	AUTO_STR struct str s = STR_INIT;
	json_t *text;

	for (const unsigned char *p = (const unsigned char *)bytes; *p; p++) {
		if (*p < 0x80) {
			str_addc(&s, (char)*p);
		} else {
			str_addc(&s, (char)(0xc0 | *p >> 6));
			str_addc(&s, (char)(0x80 | (*p & 0x3f)));
		}
	}
	text = json_string(s.p);
	mem_wipe(s.p, s.len);
	return text;
}

/* jansson has made sure of valid UTF-8, so that a byte follows where one must. */
char *hookd_bytes(const json_t *text)
{
	const unsigned char *p = (const unsigned char *)json_string_value(text);
	size_t left = p ? json_string_length(text) : 0;
	struct str s = STR_INIT;

	for (; left; left--, p++) {
		if (*p < 0x80 && *p) {
			str_addc(&s, (char)*p);
		} else if (*p == 0xc2 || *p == 0xc3) {
			str_addc(&s, (char)((*p << 6 & 0xc0) | (p[1] & 0x3f)));
			p++;
			left--;
		} else {
			str_done(&s);
			return NULL;
		}
	}
	return p ? str_take(&s) : NULL;
}
