/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * many - three servers look like a thousand clusters: a proxy for measurements.
 *
 *	many PORT HOST1:PORT1 HOST2:PORT2 HOST3:PORT3
 *
 * A connection to 127.1.X.Y goes to server 1 to 3 by (Y - 1) % 3, cluster X * 80 + (Y - 1) / 3.  MHA's advisory lock
 * gets another name of the same length for each cluster, since all share one server.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOCK "MHA_Master_High_Availability_Monitor"

struct side {
	int fd;
	unsigned cluster;
	bool is_client;
	struct side *other;
};

static int ep;
static struct sockaddr_in servers[3];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void watch(struct side *s)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = s };

	if (epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &ev))
		fail("epoll_ctl");
}

static void end(struct side *s)
{
	close(s->fd);
	close(s->other->fd);
	s->fd = s->other->fd =
	        -1; /* both stay until the process ends: events may still name them */
}

static void rename_lock(char *buf, size_t n, unsigned cluster)
{
	char *at = memmem(buf, n, LOCK, strlen(LOCK));
	char number[8];

	while (at) {
		snprintf(number, sizeof(number), "%07u", cluster % 10000000);
		memcpy(at + strlen(LOCK) - 7, number, 7);
		at = memmem(at, n - (size_t)(at - buf), LOCK, strlen(LOCK));
	}
}

/* Small packets on loopback: what does not fit into the socket's buffer is waited for. */
static bool put(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t w = send(fd, p, n, MSG_NOSIGNAL);

		if (w <= 0)
			return false;
		p += w;
		n -= (size_t)w;
	}
	return true;
}

static void pump(struct side *s)
{
	static char buf[1 << 16];
	ssize_t n;

	if (s->fd < 0)
		return;
	n = recv(s->fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n > 0 && s->is_client)
		rename_lock(buf, (size_t)n, s->cluster);
	if (n <= 0 || !put(s->other->fd, buf, (size_t)n))
		end(s);
}

static void admit(int door)
{
	struct sockaddr_in to;
	socklen_t len = sizeof(to);
	struct side *a, *b;
	uint32_t ip;
	int one = 1, fd = accept4(door, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (getsockname(fd, (struct sockaddr *)&to, &len))
		fail("getsockname");
	ip = ntohl(to.sin_addr.s_addr);
	a = calloc(1, sizeof(*a));
	b = calloc(1, sizeof(*b));
	if (!a || !b)
		fail("calloc");
	*a = (struct side){ fd, (ip >> 8 & 255) * 80 + ((ip & 255) - 1) / 3, true, b };
	*b = (struct side){ socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), a->cluster, false, a };
	setsockopt(a->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(b->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(b->fd, (struct sockaddr *)&servers[((ip & 255) - 1) % 3], sizeof(servers[0]))) {
		end(a);
		return;
	}
	watch(a);
	watch(b);
}

static void read_server(const char *text, struct sockaddr_in *ret)
{
	char host[64];
	unsigned port;

	if (sscanf(text, "%63[^:]:%u", host, &port) != 2 ||
	        inet_pton(AF_INET, host, &ret->sin_addr) != 1) {
		fprintf(stderr, "many: %s is no HOST:PORT\n", text);
		exit(2);
	}
	ret->sin_family = AF_INET;
	ret->sin_port = htons((uint16_t)port);
}

int main(int argc, char **argv)
{
	struct rlimit most = { 65536, 65536 };
	struct sockaddr_in at = { .sin_family = AF_INET };
	struct side door = { 0 };
	int one = 1;

	if (argc != 5) {
		fputs("usage: many PORT HOST1:PORT1 HOST2:PORT2 HOST3:PORT3\n", stderr);
		return 2;
	}
	setrlimit(RLIMIT_NOFILE, &most);
	for (int i = 0; i < 3; i++)
		read_server(argv[2 + i], &servers[i]);
	at.sin_port = htons((uint16_t)atoi(argv[1]));
	ep = epoll_create1(EPOLL_CLOEXEC);
	door.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(door.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(door.fd, (struct sockaddr *)&at, sizeof(at)) || listen(door.fd, 4096))
		fail("listen");
	watch(&door);
	puts("ready");
	fflush(stdout);
	for (;;) {
		struct epoll_event ev[64];
		int n = epoll_wait(ep, ev, 64, -1);

		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr == &door)
				admit(door.fd);
			else
				pump(ev[i].data.ptr);
		}
	}
}
