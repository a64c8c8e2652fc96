/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vip_link - the three rtnetlink requests that an address needs.  Runs on: any thread.
 */
#include "vip_link.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "str.h"

/* The macros of the kernel's headers cast const away. */
#pragma GCC diagnostic ignored "-Wcast-qual"

#define ANSWER_S 5 /* the kernel answers at once, or something is very wrong */

struct request {
	struct nlmsghdr head;
	struct ifaddrmsg addr;
	char attributes[128];
};

bool vip_addr_parse(const char *text, struct vip_addr *ret, struct err *e)
{
	AUTO(free) char *host = xstrndup(text, strcspn(text, "/"));
	struct vip_addr a = { .prefix = -1 };
	const char *slash = strchr(text, '/');
	long long prefix;

	a.family = strchr(host, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(a.family, host, a.bytes) != 1)
		return err_set(e, ERR_CONFIG, 0, "\"%s\" is no address", text);
	if (slash) {
		if (!str_to_int(slash + 1, 1, a.family == AF_INET ? 32 : 128, &prefix))
			return err_set(
			        e, ERR_CONFIG, 0, "\"%s\" has no proper prefix length", text);
		a.prefix = (int)prefix;
	}
	inet_ntop(a.family, a.bytes, a.text, sizeof(a.text));
	*ret = a;
	return true;
}

static size_t length_of(const struct vip_addr *a)
{
	return a->family == AF_INET ? 4 : 16;
}

static int open_netlink(struct err *e)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct timeval limit = { .tv_sec = ANSWER_S };

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
		err_sys(e, "open a netlink socket");
	return fd;
}

/* By memcpy: to the compiler, an attribute stored through a cast pointer is no part of the request. */
static void add_attribute(struct request *r, unsigned short type, const void *data, size_t n)
{
	const struct rtattr at = { .rta_type = type, .rta_len = (unsigned short)RTA_LENGTH(n) };
	char *to = (char *)r + NLMSG_ALIGN(r->head.nlmsg_len);

	memcpy(to, &at, sizeof(at));
	memcpy(to + RTA_LENGTH(0), data, n);
	r->head.nlmsg_len = (unsigned)(NLMSG_ALIGN(r->head.nlmsg_len) + RTA_ALIGN(at.rta_len));
}

/* Send a change and wait for its acknowledgement; errno is the kernel's on failure. */
static bool change(struct request *r, struct err *e)
{
	AUTO_FD int fd = open_netlink(e);
	char answer[4096] __attribute__((aligned(4)));
	struct nlmsghdr *h = (struct nlmsghdr *)(void *)answer;
	ssize_t n;

	if (fd < 0)
		return false;
	if (send(fd, r, r->head.nlmsg_len, 0) < 0)
		return err_sys(e, "send to netlink");
	n = recv(fd, answer, sizeof(answer), 0);
	if (n < 0)
		return err_sys(e, "no answer from netlink");
	if (!NLMSG_OK(h, (size_t)n) || h->nlmsg_type != NLMSG_ERROR)
		return err_set(e, ERR_PARSE, 0, "netlink's answer is not understood");
	errno = -((struct nlmsgerr *)NLMSG_DATA(h))->error;
	return errno == 0 || err_sys(e, "the kernel refuses");
}

static struct request make_request(
        unsigned short type, const struct vip_addr *a, int device, int prefix)
{
	struct request r = {
		.head = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
		        .nlmsg_type = type,
		        .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.addr = { .ifa_family = (unsigned char)a->family,
		        .ifa_prefixlen = (unsigned char)prefix,
		        .ifa_index = (unsigned)device },
	};

	add_attribute(&r, IFA_LOCAL, a->bytes, length_of(a));
	add_attribute(&r, IFA_ADDRESS, a->bytes, length_of(a));
	return r;
}

bool vip_link_add(const struct vip_addr *a, int device, const char *label, struct err *e)
{
	int prefix = a->prefix >= 0 ? a->prefix : a->family == AF_INET ? 32 : 128;
	struct request r = make_request(RTM_NEWADDR, a, device, prefix);

	r.head.nlmsg_flags |= NLM_F_CREATE | NLM_F_EXCL;
	if (a->family == AF_INET6)
		r.addr.ifa_flags = IFA_F_NODAD;
	if (label)
		add_attribute(&r, IFA_LABEL, label, strlen(label) + 1);
	if (a->family == AF_INET && prefix < 31) {
		unsigned char broadcast[4];

		for (int i = 0; i < 4; i++) {
			int own = prefix - 8 * i;

			broadcast[i] = a->bytes[i] | (unsigned char)(own >= 8   ? 0
			                                             : own <= 0 ? 0xff
			                                                        : 0xff >> own);
		}
		add_attribute(&r, IFA_BROADCAST, broadcast, 4);
	}
	return change(&r, e) || err_ctx(e, "add %s", a->text);
}

bool vip_link_drop(const struct vip_at *at, struct err *e)
{
	struct request r = make_request(RTM_DELADDR, &at->addr, at->device, at->addr.prefix);
	struct err why = { 0 };

	if (change(&r, &why) || why.code == EADDRNOTAVAIL) /* somebody was faster */
		return true;
	*e = why;
	return err_ctx(e, "drop %s", at->addr.text);
}

/* ---- the list of all addresses ---- */

static void read_address(struct nlmsghdr *h, struct vip_at *ret)
{
	struct ifaddrmsg *m = NLMSG_DATA(h);
	size_t left = IFA_PAYLOAD(h);

	*ret = (struct vip_at){ .device = (int)m->ifa_index,
		.addr = { .family = m->ifa_family, .prefix = m->ifa_prefixlen } };
	for (struct rtattr *at = IFA_RTA(m); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
		size_t n = RTA_PAYLOAD(at);

		/* IFA_LOCAL is the address itself; IFA_ADDRESS the peer's where both are there. */
		if (at->rta_type == IFA_LOCAL ||
		        (at->rta_type == IFA_ADDRESS && m->ifa_family == AF_INET6))
			memcpy(ret->addr.bytes, RTA_DATA(at), n < 16 ? n : 16);
		else if (at->rta_type == IFA_LABEL)
			snprintf(ret->label, sizeof(ret->label), "%.*s", (int)n,
			        (const char *)RTA_DATA(at));
	}
}

static bool is_near(const struct vip_addr *net, const struct vip_addr *a)
{
	int bits = net->prefix, i = 0;

	for (; bits >= 8; bits -= 8, i++)
		if (net->bytes[i] != a->bytes[i])
			return false;
	return bits <= 0 || ((net->bytes[i] ^ a->bytes[i]) >> (8 - bits)) == 0;
}

struct listing {
	const struct vip_addr *wanted;
	bool here;
	struct vip_at at, near;
};

static void take_address(struct listing *l, struct nlmsghdr *h)
{
	struct vip_at at;

	read_address(h, &at);
	if (at.addr.family != l->wanted->family)
		return;
	if (memcmp(at.addr.bytes, l->wanted->bytes, length_of(l->wanted)) == 0) {
		memcpy(at.addr.text, l->wanted->text, sizeof(at.addr.text));
		l->here = true;
		l->at = at;
	} else if (at.addr.prefix > l->near.addr.prefix && is_near(&at.addr, l->wanted)) {
		l->near = at;
	}
}

static bool list_addresses(int fd, struct listing *l, struct err *e)
{
	char answer[32768] __attribute__((aligned(4)));

	for (;;) {
		ssize_t n = recv(fd, answer, sizeof(answer), 0);
		size_t left = n > 0 ? (size_t)n : 0;

		if (n < 0)
			return err_sys(e, "no answer from netlink");
		for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, left);
		        h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return true;
			if (h->nlmsg_type == NLMSG_ERROR)
				return err_set(e, ERR_SYSTEM, 0, "netlink does not list addresses");
			if (h->nlmsg_type == RTM_NEWADDR)
				take_address(l, h);
		}
	}
}

bool vip_link_find(const struct vip_addr *a, bool *ret_here, struct vip_at *ret,
        struct vip_at *ret_near, struct err *e)
{
	AUTO_FD int fd = open_netlink(e);
	struct request r = {
		.head = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
		        .nlmsg_type = RTM_GETADDR,
		        .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.addr = { .ifa_family = (unsigned char)a->family },
	};
	struct listing l = { .wanted = a };

	if (fd < 0)
		return false;
	if (send(fd, &r, r.head.nlmsg_len, 0) < 0)
		return err_sys(e, "send to netlink");
	if (!list_addresses(fd, &l, e))
		return false;
	if_indextoname((unsigned)l.at.device, l.at.name);
	if_indextoname((unsigned)l.near.device, l.near.name);
	*ret_here = l.here;
	*ret = l.at;
	*ret_near = l.near;
	return true;
}
