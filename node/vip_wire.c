/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vip_wire - ARP and neighbour discovery frames.  Runs on: any thread.
 */
#include "vip_wire.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"

#define ASK_EVERY_MS 40

enum { ETHER = 14, ARP = 28, IP6 = 40, NEIGHBOUR = 24, LINK_OPTION = 8 }; /* sizes */
enum { SOLICIT = 135, ADVERTISE = 136, HOP_LIMIT = 255 };

static const unsigned char all_nodes[16] = { 0xff, 0x02, [15] = 1 };

/* ---- frames ---- */

static unsigned char *put(unsigned char *p, const void *bytes, size_t n)
{
	memcpy(p, bytes, n);
	return p + n;
}

static unsigned char *put_ether(
        unsigned char *p, const unsigned char to[6], const unsigned char from[6], uint16_t type)
{
	uint16_t t = htons(type);

	return put(put(put(p, to, 6), from, 6), &t, 2);
}

/*
 * A question with an empty sender (a probe) changes nobody's table.  The announcement is sent as request
 * and as reply, since some neighbours mind only one of them.
 */
static size_t arp_frame(enum vip_frame kind, const unsigned char mac[6], const struct vip_addr *a,
        unsigned char *to)
{
	static const unsigned char everybody[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	static const unsigned char start[6] = { 0, 1, 8, 0, 6, 4 }, nobody[6] = { 0 };
	uint16_t operation = htons(kind == VIP_FRAME_TELL_REPLY ? ARPOP_REPLY : ARPOP_REQUEST);
	unsigned char *p = put_ether(to, everybody, mac, ETH_P_ARP);

	p = put(put(p, start, 6), &operation, 2);
	p = put(put(p, mac, 6), kind == VIP_FRAME_ASK ? nobody : a->bytes, 4);
	p = put(put(p, kind == VIP_FRAME_TELL_REPLY ? mac : nobody, 6), a->bytes, 4);
	return (size_t)(p - to);
}

static uint32_t add_words(uint32_t sum, const unsigned char *p, size_t n)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	return sum;
}

/* Of ICMPv6: both addresses (right before `payload`), length and protocol count too. */
static uint16_t checksum(const unsigned char *payload, size_t n)
{
	uint32_t sum = add_words((uint32_t)n + IPPROTO_ICMPV6, payload - 32, 32);

	sum = add_words(sum, payload, n);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static size_t neighbour_frame(enum vip_frame kind, const unsigned char mac[6],
        const struct vip_addr *a, unsigned char *to)
{
	bool ask = kind == VIP_FRAME_ASK;
	size_t length = ask ? NEIGHBOUR : NEIGHBOUR + LINK_OPTION;
	const unsigned char ip[8] = { 0x60, 0, 0, 0, 0, (unsigned char)length, IPPROTO_ICMPV6,
		HOP_LIMIT };
	const unsigned char head[8] = { ask ? SOLICIT : ADVERTISE, 0, 0, 0,
		ask ? 0 : 0x20 /* override */ };
	const unsigned char option[2] = { 2, 1 }; /* target's link address */
	unsigned char group[16] = { 0xff, 0x02, [11] = 1, [12] = 0xff }, ether[6] = { 0x33, 0x33 };
	static const unsigned char nobody[16] = { 0 };
	unsigned char *p, *payload;
	uint16_t sum;

	if (ask)
		memcpy(group + 13, a->bytes + 13, 3);
	else
		memcpy(group, all_nodes, 16);
	memcpy(ether + 2, group + 12, 4);
	p = put(put_ether(to, ether, mac, ETH_P_IPV6), ip, 8);
	payload = put(put(p, ask ? nobody : a->bytes, 16), group, 16);
	p = put(put(payload, head, 8), a->bytes, 16);
	if (!ask)
		p = put(put(p, option, 2), mac, 6);
	sum = checksum(payload, length);
	memcpy(payload + 2, &sum, 2);
	return (size_t)(p - to);
}

size_t vip_wire_frame(enum vip_frame kind, const unsigned char mac[6], const struct vip_addr *a,
        unsigned char to[128])
{
	return a->family == AF_INET ? arp_frame(kind, mac, a, to)
	                            : neighbour_frame(kind, mac, a, to);
}

/* Anybody who claims the address counts, in a reply or in a request of its own. */
static bool is_arp_answer(
        const unsigned char *f, size_t n, const struct vip_addr *a, unsigned char mac[6])
{
	if (n < ETHER + ARP || f[12] != 8 || f[13] != 6 || memcmp(f + ETHER + 14, a->bytes, 4) != 0)
		return false;
	memcpy(mac, f + ETHER + 8, 6);
	return true;
}

static bool is_advertisement(
        const unsigned char *f, size_t n, const struct vip_addr *a, unsigned char mac[6])
{
	const unsigned char *payload = f + ETHER + IP6;

	if (n < ETHER + IP6 + NEIGHBOUR || f[12] != 0x86 || f[13] != 0xdd ||
	        f[ETHER + 6] != IPPROTO_ICMPV6 || payload[0] != ADVERTISE ||
	        memcmp(payload + 8, a->bytes, 16) != 0)
		return false;
	memcpy(mac, f + 6, 6);
	return true;
}

bool vip_wire_is_answer(
        const unsigned char *frame, size_t n, const struct vip_addr *a, unsigned char ret_mac[6])
{
	return a->family == AF_INET ? is_arp_answer(frame, n, a, ret_mac)
	                            : is_advertisement(frame, n, a, ret_mac);
}

/* ---- the wire ---- */

static bool look_at_device(
        int fd, const char *device, struct vip_wire *w, bool *ret_none, struct err *e)
{
	struct ifreq r = { 0 };

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", device);
	if (ioctl(fd, SIOCGIFINDEX, &r) < 0)
		return err_sys(e, "find interface %s", device);
	w->device = r.ifr_ifindex;
	if (ioctl(fd, SIOCGIFHWADDR, &r) < 0)
		return err_sys(e, "look at interface %s", device);
	*ret_none = r.ifr_hwaddr.sa_family != ARPHRD_ETHER;
	memcpy(w->mac, r.ifr_hwaddr.sa_data, 6);
	if (ioctl(fd, SIOCGIFFLAGS, &r) < 0)
		return err_sys(e, "look at interface %s", device);
	*ret_none |= (r.ifr_flags & (IFF_LOOPBACK | IFF_NOARP)) != 0;
	if (*ret_none)
		return err_set(e, ERR_PRECOND, 0, "interface %s has no neighbours to ask", device);
	if (!(r.ifr_flags & IFF_UP))
		return err_set(e, ERR_PRECOND, ENETDOWN, "interface %s is down", device);
	if (!(r.ifr_flags & IFF_RUNNING))
		return err_set(e, ERR_PRECOND, ENETDOWN, "interface %s has no carrier", device);
	return true;
}

bool vip_wire_open(const char *device, struct vip_wire *ret, bool *ret_none, struct err *e)
{
	struct vip_wire w = { 0 };
	struct sockaddr_ll here = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	AUTO_FD int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	*ret_none = false;
	if (fd < 0)
		return err_sys(e, "open a packet socket");
	if (!look_at_device(fd, device, &w, ret_none, e))
		return false;
	here.sll_ifindex = w.device;
	if (bind(fd, (struct sockaddr *)&here, sizeof(here)) < 0)
		return err_sys(e, "open the wire of %s", device);
	w.fd = fd;
	fd = -1; /* NOLINT(clang-analyzer-deadcode.DeadStores): its cleanup looks at it */
	*ret = w;
	return true;
}

void vip_wire_close(struct vip_wire *w)
{
	close(w->fd);
	w->fd = -1;
}

static bool send_frame(
        const struct vip_wire *w, const unsigned char *frame, size_t n, struct err *e)
{
	if (send(w->fd, frame, n, 0) != (ssize_t)n)
		return err_sys(e, "send to the neighbours");
	return true;
}

/* Answers that have come in until `until`. */
static bool receive(
        const struct vip_wire *w, const struct vip_addr *a, int64_t until, unsigned char mac[6])
{
	struct pollfd p = { .fd = w->fd, .events = POLLIN };
	unsigned char frame[256];

	while (clock_left(until) > 0 && poll(&p, 1, clock_left_poll(until)) > 0) {
		struct sockaddr_ll from = { 0 };
		socklen_t len = sizeof(from);
		ssize_t n =
		        recvfrom(w->fd, frame, sizeof(frame), 0, (struct sockaddr *)&from, &len);

		if (n > 0 && from.sll_pkttype != PACKET_OUTGOING &&
		        vip_wire_is_answer(frame, (size_t)n, a, mac) && memcmp(mac, w->mac, 6) != 0)
			return true;
	}
	return false;
}

bool vip_wire_ask(const struct vip_wire *w, const struct vip_addr *a, int64_t deadline,
        bool *ret_answered, unsigned char ret_mac[6], struct err *e)
{
	unsigned char frame[128];
	size_t n = vip_wire_frame(VIP_FRAME_ASK, w->mac, a, frame);

	*ret_answered = false;
	while (!*ret_answered && clock_left(deadline) > 0) {
		if (!send_frame(w, frame, n, e))
			return false;
		*ret_answered =
		        receive(w, a, clock_sooner(deadline, clock_in(ASK_EVERY_MS)), ret_mac);
	}
	return true;
}

bool vip_wire_tell(
        const struct vip_wire *w, const struct vip_addr *a, int times, int every_ms, struct err *e)
{
	unsigned char frame[128];

	for (int i = 0; i < times; i++) {
		if (i > 0)
			usleep((unsigned)every_ms * 1000);
		if (!send_frame(w, frame, vip_wire_frame(VIP_FRAME_TELL, w->mac, a, frame), e))
			return false;
		if (a->family == AF_INET &&
		        !send_frame(w, frame,
		                vip_wire_frame(VIP_FRAME_TELL_REPLY, w->mac, a, frame), e))
			return false;
	}
	return true;
}
