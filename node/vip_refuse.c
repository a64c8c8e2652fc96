/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vip_refuse - resets for an address that has left.  Runs on: any thread; answering in a process of its own.
 */
#include "vip_refuse.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "aside.h"
#include "clock.h"

enum {
	REFUSE_MS = 30000,
	END_MS = 200, /* for the one that refuses to hear of it */
	ETHER = 14,
	IP4 = 20,
	IP6 = 40,
	TCP = 20,
	FRAME_MAX = 128,
};
enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

/* ---- the answer ---- */

static unsigned char *put(unsigned char *p, const void *bytes, size_t n)
{
	memcpy(p, bytes, n);
	return p + n;
}

static uint32_t add_words(uint32_t sum, const unsigned char *p, size_t n)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	return sum;
}

static void put_sum(unsigned char *at, uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	at[0] = (unsigned char)(~sum >> 8);
	at[1] = (unsigned char)~sum;
}

static uint32_t number_at(const unsigned char *p)
{
	uint32_t n;

	memcpy(&n, p, sizeof(n));
	return ntohl(n);
}

/* Where TCP begins in an IP packet for the address, 0: it is none. */
static size_t tcp_at(const unsigned char *ip, size_t n, const struct vip_addr *a)
{
	size_t head = a->family == AF_INET6 ? IP6 : IP4;

	if (n < head || ip[0] >> 4 != (a->family == AF_INET6 ? 6 : 4))
		return 0;
	if (a->family == AF_INET6)
		return ip[6] == IPPROTO_TCP && !memcmp(ip + 24, a->bytes, 16) ? head : 0;
	head = (size_t)(ip[0] & 15) * 4;
	/* Of a packet in parts only the first one has ports. */
	return head >= IP4 && ip[9] == IPPROTO_TCP && !((ip[6] & 0x1f) | ip[7]) &&
	                       !memcmp(ip + 16, a->bytes, 4)
	               ? head
	               : 0;
}

/* How many numbers of the sender's sequence the packet takes. */
static uint32_t length_of(const unsigned char *ip, size_t head, const unsigned char *tcp, bool six)
{
	uint32_t total =
	        six ? IP6 + (uint32_t)(ip[4] << 8 | ip[5]) : (uint32_t)(ip[2] << 8 | ip[3]);
	uint32_t used = (uint32_t)head + (uint32_t)(tcp[12] >> 4) * 4;

	return (total > used ? total - used : 0) + !!(tcp[13] & SYN) + !!(tcp[13] & FIN);
}

/* As the standard has it for a port where nobody listens. */
static void put_reset(unsigned char *to, const unsigned char *tcp, uint32_t length)
{
	bool acked = tcp[13] & ACK;
	uint32_t seq = acked ? htonl(number_at(tcp + 8)) : 0;
	uint32_t ack = acked ? 0 : htonl(number_at(tcp + 4) + length);

	memset(to, 0, TCP);
	memcpy(to, tcp + 2, 2);
	memcpy(to + 2, tcp, 2);
	memcpy(to + 4, &seq, 4);
	memcpy(to + 8, &ack, 4);
	to[12] = TCP / 4 << 4;
	to[13] = acked ? RST : RST | ACK;
}

static unsigned char *put_ip(unsigned char *to, const unsigned char *ip, bool six)
{
	const unsigned char four[12] = { 0x45, 0, 0, IP4 + TCP, 0, 0, 0x40, 0, 64, IPPROTO_TCP };
	const unsigned char head[8] = { 0x60, 0, 0, 0, 0, TCP, IPPROTO_TCP, 64 };

	if (six)
		return put(put(put(to, head, 8), ip + 24, 16), ip + 8, 16);
	put(put(put(to, four, 12), ip + 16, 4), ip + 12, 4);
	put_sum(to + 10, add_words(0, to, IP4));
	return to + IP4;
}

size_t vip_refuse_frame(const unsigned char *frame, size_t n, const struct vip_addr *a,
        const unsigned char mac[6], unsigned char to[128])
{
	bool six = a->family == AF_INET6;
	const unsigned char *ip = frame + ETHER;
	size_t head = n > ETHER ? tcp_at(ip, n - ETHER, a) : 0;
	const unsigned char *tcp = ip + head;
	unsigned char *p, *addresses;

	if (!head || n < ETHER + head + TCP || tcp[13] & RST)
		return 0;
	p = put(put(put(to, frame + 6, 6), mac, 6), frame + 12, 2);
	p = put_ip(p, ip, six);
	addresses = p - (six ? 32 : 8);
	put_reset(p, tcp, length_of(ip, head, tcp, six));
	put_sum(p + 16, add_words(add_words(TCP + IPPROTO_TCP, addresses, six ? 32 : 8), p, TCP));
	return (size_t)(p + TCP - to);
}

/* ---- what is looked at ---- */

/* In the kernel, so that the rest of the traffic costs nothing: words that must be at their places. */
static bool set_filter(int fd, const struct vip_addr *a)
{
	struct sock_filter code[16];
	unsigned short n = 0, all = a->family == AF_INET6 ? 14 : 8;
	const struct {
		unsigned short size;
		unsigned at, value;
	} four[] = { { BPF_H, 12, ETH_P_IP }, { BPF_W, 30, number_at(a->bytes) },
		{ BPF_B, 23, IPPROTO_TCP } },
	  six[] = { { BPF_H, 12, ETH_P_IPV6 }, { BPF_W, 38, number_at(a->bytes) },
		  { BPF_W, 42, number_at(a->bytes + 4) }, { BPF_W, 46, number_at(a->bytes + 8) },
		  { BPF_W, 50, number_at(a->bytes + 12) }, { BPF_B, 20, IPPROTO_TCP } },
	  *want = a->family == AF_INET6 ? six : four;

	for (; n + 2 < all; want++) {
		code[n++] = (struct sock_filter)BPF_STMT(
		        (unsigned short)(BPF_LD | BPF_ABS | want->size), want->at);
		code[n] = (struct sock_filter)BPF_JUMP(
		        BPF_JMP | BPF_JEQ | BPF_K, want->value, 0, (unsigned char)(all - 2 - n));
		n++;
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, FRAME_MAX);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &(struct sock_fprog){ n, code },
	               sizeof(struct sock_fprog)) == 0;
}

bool vip_refuse_open(const char *device, const struct vip_addr *a, struct vip_refuse *ret)
{
	struct err why = { 0 };
	bool none;

	ret->addr = *a;
	if (!vip_wire_open(device, &ret->wire, &none, &why))
		return false;
	if (set_filter(ret->wire.fd, a))
		return true;
	vip_refuse_close(ret);
	return false;
}

void vip_refuse_close(struct vip_refuse *v)
{
	vip_wire_close(&v->wire);
}

/* ---- the process that answers ---- */

/* A name that all who share this host's network see, and nobody else. */
static socklen_t name_of(const struct vip_addr *a, struct sockaddr_un *ret)
{
	char *to = ret->sun_path + 1;
	size_t n = a->family == AF_INET6 ? 16 : 4;

	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	to += snprintf(to, sizeof(ret->sun_path) - 1, "mha-node refuses for ");
	for (size_t i = 0; i < n; i++)
		to += snprintf(to, 3, "%02x", a->bytes[i]);
	return (socklen_t)(to - (char *)ret);
}

static int listen_for_end(const struct vip_addr *a)
{
	struct sockaddr_un name;
	socklen_t n = name_of(a, &name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&name, n) == 0 && listen(fd, 4) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static void answer_one(const struct vip_refuse *v)
{
	unsigned char frame[FRAME_MAX], to[FRAME_MAX];
	struct sockaddr_ll from = { 0 };
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(
	        v->wire.fd, frame, sizeof(frame), MSG_DONTWAIT, (struct sockaddr *)&from, &len);
	size_t size = n > 0 && from.sll_pkttype == PACKET_HOST
	                      ? vip_refuse_frame(frame, (size_t)n, &v->addr, v->wire.mac, to)
	                      : 0;

	if (size && send(v->wire.fd, to, size, 0) < 0)
		return; /* the link is down: there is nobody to tell */
}

/* Only system calls: it is the child of a process with threads. */
static void answer_all(const void *arg, int wire)
{
	struct vip_refuse v = *(const struct vip_refuse *)arg;
	int64_t deadline = clock_in(REFUSE_MS);
	struct pollfd p[2] = { { .fd = wire, .events = POLLIN },
		{ .fd = listen_for_end(&v.addr), .events = POLLIN } };

	v.wire.fd = wire;
	prctl(PR_SET_NAME, "mha-node refuse");
	while (p[1].fd >= 0 && clock_left(deadline) > 0) {
		if (poll(p, 2, clock_left_poll(deadline)) < 0 && errno != EINTR)
			return;
		if (p[1].revents || p[0].revents & ~POLLIN)
			return;
		if (p[0].revents)
			answer_one(&v);
	}
}

void vip_refuse_end(const struct vip_addr *a)
{
	struct sockaddr_un name;
	socklen_t n = name_of(a, &name);
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&name, n) == 0)
		poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, END_MS);
}

void vip_refuse_leave(struct vip_refuse *v)
{
	vip_refuse_end(&v->addr);
	(void)!aside_leave(answer_all, v, v->wire.fd, NULL);
	vip_refuse_close(v);
}
