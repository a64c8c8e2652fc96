/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vip_cut - two netlink requests: which sockets are there, and end this one.  Runs on: any thread.
 */
#include "vip_cut.h"
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "vec.h"

#define ANSWER_S 1

#ifndef SOCK_DESTROY
#define SOCK_DESTROY 21
#endif

struct request {
	struct nlmsghdr head;
	struct inet_diag_req_v2 body;
};

struct found {
	unsigned char family;
	struct inet_diag_sockid id;
};

typedef VEC(struct found) found_list;

static struct request make_request(unsigned short type, unsigned short flags, int family)
{
	return (struct request){
		.head = { .nlmsg_len = sizeof(struct request),
		        .nlmsg_type = type,
		        .nlmsg_flags = NLM_F_REQUEST | flags },
		.body = { .sdiag_family = (unsigned char)family,
		        .sdiag_protocol = IPPROTO_TCP,
		        .idiag_states = ~(1U << TCP_LISTEN | 1U << TCP_TIME_WAIT) },
	};
}

/* A server that listens for both families has IPv4's sessions as mapped addresses. */
static bool is_on(const struct inet_diag_msg *m, const struct vip_addr *a)
{
	static const unsigned char mapped[12] = { [10] = 0xff, 0xff };
	const unsigned char *src = (const unsigned char *)m->id.idiag_src;

	if (a->family == AF_INET6)
		return m->idiag_family == AF_INET6 && !memcmp(src, a->bytes, 16);
	if (m->idiag_family == AF_INET6)
		return !memcmp(src, mapped, 12) && !memcmp(src + 12, a->bytes, 4);
	return !memcmp(src, a->bytes, 4);
}

/* One message of the answer; false: it was the last one. */
static bool take(const char *p, size_t n, const struct vip_addr *a, found_list *to)
{
	struct nlmsghdr h;
	struct inet_diag_msg m;

	memcpy(&h, p, sizeof(h));
	if (h.nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return false;
	if (n < NLMSG_HDRLEN + sizeof(m))
		return false;
	memcpy(&m, p + NLMSG_HDRLEN, sizeof(m));
	if (is_on(&m, a))
		vec_push(to, ((struct found){ m.idiag_family, m.id }));
	return true;
}

static void list(int fd, int family, const struct vip_addr *a, found_list *to)
{
	struct request r = make_request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, family);
	char answer[32768];
	ssize_t n;

	if (send(fd, &r, sizeof(r), 0) < 0)
		return;
	while ((n = recv(fd, answer, sizeof(answer), 0)) > 0) {
		size_t at = 0;

		while ((size_t)n - at >= NLMSG_HDRLEN) {
			uint32_t length;

			memcpy(&length, answer + at, sizeof(length));
			if (length < NLMSG_HDRLEN || length > (size_t)n - at ||
			        !take(answer + at, length, a, to))
				return;
			at += NLMSG_ALIGN(length);
			if (at >= (size_t)n)
				break;
		}
	}
}

/* Not waited for: what the kernel says of it changes nothing. */
static void end(int fd, const struct found *f)
{
	struct request r = make_request(SOCK_DESTROY, 0, f->family);

	r.body.id = f->id;
	if (send(fd, &r, sizeof(r), 0) < 0)
		return;
}

void vip_cut(const struct vip_addr *a)
{
	AUTO_FD int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct timeval limit = { .tv_sec = ANSWER_S };
	found_list all = VEC_INIT;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
		return;
	if (a->family == AF_INET)
		list(fd, AF_INET, a, &all);
	list(fd, AF_INET6, a, &all);
	vec_each (struct found, f, &all)
		end(fd, f);
	vec_done(&all);
}
