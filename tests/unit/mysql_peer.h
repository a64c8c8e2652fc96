/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mysql_peer - a server in a thread of the test, on loopback, that does what the test says.
 *
 * peer_start() takes what is done with each connection, one after the other; a serving function
 * returns and its connection is closed.  peer_stop() waits for the thread.
 */
#pragma once
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

struct peer;
typedef void (*peer_serve_fn)(struct peer *p, int fd);

struct peer {
	int door;
	int port;
	pthread_t thread;
	peer_serve_fn serve;
	const void *arg;
	_Atomic int connections;
	_Atomic bool stop;
	_Atomic int open_fd; /* of the connection being served; -1 = none */
	char got[1 << 16];   /* what clients sent, behind peer_rest() */
	_Atomic size_t got_len;
};

static inline void *peer_thread(void *arg)
{
	struct peer *p = arg;
	int fd;

	while ((fd = accept(p->door, NULL, NULL)) >= 0 && !p->stop) {
		p->connections++;
		p->open_fd = fd;
		p->serve(p, fd);
		p->open_fd = -1;
		close(fd);
	}
	if (fd >= 0)
		close(fd);
	return NULL;
}

static inline int peer_door(int *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 64), 0);
	getsockname(fd, (struct sockaddr *)&a, &size);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static inline void peer_start(struct peer *p, peer_serve_fn serve, const void *arg)
{
	memset(p, 0, sizeof(*p));
	p->serve = serve;
	p->arg = arg;
	p->open_fd = -1;
	p->door = peer_door(&p->port);
	pthread_create(&p->thread, NULL, peer_thread, p);
}

static inline void peer_stop(struct peer *p)
{
	int fd = p->open_fd;

	p->stop = true;
	if (fd >= 0)
		shutdown(fd, SHUT_RDWR);
	shutdown(p->door, SHUT_RDWR);
	pthread_join(p->thread, NULL);
	close(p->door);
}

static inline void peer_send(int fd, const void *bytes, size_t n)
{
	const char *b = bytes;

	while (n) {
		ssize_t sent = send(fd, b, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		b += sent;
		n -= (size_t)sent;
	}
}

static inline size_t peer_packet(unsigned char *to, int seq, const void *body, size_t n)
{
	to[0] = (unsigned char)n;
	to[1] = (unsigned char)(n >> 8);
	to[2] = (unsigned char)(n >> 16);
	to[3] = (unsigned char)seq;
	memcpy(to + 4, body, n);
	return n + 4;
}

static inline void peer_send_packet(int fd, int seq, const void *body, size_t n)
{
	unsigned char b[4096];

	peer_send(fd, b, peer_packet(b, seq, body, n));
}

/* Everything up to the other side's end, kept. */
static inline void peer_rest(struct peer *p, int fd)
{
	ssize_t n;

	while ((n = recv(fd, p->got + p->got_len, sizeof(p->got) - p->got_len, 0)) > 0)
		p->got_len += (size_t)n;
}

static inline bool peer_read(int fd, void *to, size_t n)
{
	return recv(fd, to, n, MSG_WAITALL) == (ssize_t)n;
}

/* One packet of the client; its body as text.  False: it has ended. */
static inline bool peer_take(int fd, char *body, size_t size)
{
	unsigned char head[4];
	size_t n;

	if (!peer_read(fd, head, 4))
		return false;
	n = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16;
	if (n >= size || !peer_read(fd, body, n))
		return false;
	body[n] = '\0';
	return true;
}

enum { PEER_TLS = 0x0800, PEER_AUTOCOMMIT = 2 };

static inline size_t peer_greeting(unsigned char *to, const char *version, int caps, int status)
{
	unsigned char b[256];
	size_t n = 0;
	const char *plugin = "mysql_native_password";

	caps |= 0x0001 | 0x0200 | 0x2000 | 0x8000 | 0x80000;
	b[n++] = 10;
	memcpy(b + n, version, strlen(version) + 1);
	n += strlen(version) + 1;
	memcpy(b + n, "\7\0\0\0abcdefgh\0", 13);
	n += 13;
	b[n++] = (unsigned char)caps;
	b[n++] = (unsigned char)(caps >> 8);
	b[n++] = 45;
	b[n++] = (unsigned char)status;
	b[n++] = 0;
	b[n++] = (unsigned char)(caps >> 16);
	b[n++] = (unsigned char)(caps >> 24);
	b[n++] = 21;
	memset(b + n, 0, 10);
	n += 10;
	memcpy(b + n, "ijklmnopqrst", 13);
	n += 13;
	memcpy(b + n, plugin, strlen(plugin) + 1);
	n += strlen(plugin) + 1;
	return peer_packet(to, 0, b, n);
}

static inline void peer_greet(int fd)
{
	unsigned char b[300];

	peer_send(fd, b, peer_greeting(b, "10.11.6-MariaDB", 0, PEER_AUTOCOMMIT));
}

static inline void peer_ok(int fd, int seq)
{
	peer_send_packet(fd, seq, "\0\0\0\2\0\0\0", 7);
}

static inline void peer_error(int fd, int seq, int code, const char *text)
{
	char b[300];
	int n = snprintf(b, sizeof(b), "\xff%c%c#HY000%s", code & 255, code >> 8, text);

	if (!(code & 255)) /* snprintf wrote a NUL, and went on */
		b[1] = 0;
	peer_send_packet(fd, seq, b, (size_t)n);
}

/* Let it in. */
static inline bool peer_log_in(int fd)
{
	char login[2000];

	peer_greet(fd);
	if (!peer_take(fd, login, sizeof(login)))
		return false;
	peer_ok(fd, 2);
	return true;
}

/* Columns and rows as one text: "a,b|1,2|3,4"; a value "NULL" is one. */
static inline void peer_rows(int fd, const char *text)
{
	static const char eof[] = "\xfe\0\0\2\0";
	char copy[4000], *row, *keep = NULL;
	unsigned char out[16000];
	size_t n = 0;
	int seq = 1, columns = 1;

	snprintf(copy, sizeof(copy), "%s", text);
	row = strtok_r(copy, "|", &keep);
	for (const char *c = row; *c; c++)
		columns += *c == ',';
	n += peer_packet(out + n, seq++, &(char){ (char)columns }, 1);
	for (bool head = true; row; head = false, row = strtok_r(NULL, "|", &keep)) {
		unsigned char b[4000];
		size_t len = 0;
		char *save = NULL;

		for (char *v = strtok_r(row, ",", &save); v; v = strtok_r(NULL, ",", &save)) {
			if (head) {
				memcpy(b, "\3def\0\0\0", 7);
				len = 7;
			}
			if (!head && strcmp(v, "NULL") == 0) {
				b[len++] = 0xfb;
				continue;
			}
			if (strcmp(v, "''") == 0)
				v[0] = '\0';
			b[len++] = (unsigned char)strlen(v);
			memcpy(b + len, v, strlen(v));
			len += strlen(v);
			if (head) {
				memcpy(b + len, "\0\x0c\x21\0\xff\0\0\0\xfd\0\0\0\0\0", 14);
				n += peer_packet(out + n, seq++, b, len + 14);
			}
		}
		if (head)
			n += peer_packet(out + n, seq++, eof, 5);
		else
			n += peer_packet(out + n, seq++, b, len);
	}
	n += peer_packet(out + n, seq, eof, 5);
	peer_send(fd, out, n);
}

static inline void peer_reset(int fd)
{
	struct linger at_once = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}
