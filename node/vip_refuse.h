/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vip_refuse - says no, for a while, to those who have not heard yet that an address has left this host.
 * Runs on: any thread (forks).  Logs: never.
 *
 * Whoever connects while an address is on its way sends to the host that had it last.  That host is silent
 * then, and the client tries again a second later, at the earliest.  An answer (a TCP reset) makes it try again
 * at once, and ends sessions that would otherwise wait for their timeouts.
 *
 * It is a process of its own that ends by itself.  All of this is a courtesy: where it cannot be, nothing fails.
 */
#pragma once
#include "vip_wire.h"

struct vip_refuse {
	struct vip_wire wire;
	struct vip_addr addr;
};

/* Before the address goes, so that nothing that comes in between is missed.  False: it cannot be. */
bool vip_refuse_open(const char *device, const struct vip_addr *a, struct vip_refuse *ret) MUST_USE;
void vip_refuse_close(struct vip_refuse *v);

/* The address has gone: go on aside, instead of one that does so already.  Closes it. */
void vip_refuse_leave(struct vip_refuse *v);

/* The address comes back: nobody refuses for it any more when this returns. */
void vip_refuse_end(const struct vip_addr *a);

/* Exposed for tests: the answer to a received frame; returns its length, 0: there is none. */
size_t vip_refuse_frame(const unsigned char *frame, size_t n, const struct vip_addr *a,
        const unsigned char mac[6], unsigned char to[128]);
