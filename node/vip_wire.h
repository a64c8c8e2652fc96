/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vip_wire - asks and tells the neighbours who has an address: ARP, and neighbour discovery for
 * IPv6, as raw Ethernet frames.  Runs on: any thread (blocks up to a deadline).  Logs: never.
 */
#pragma once
#include <stdint.h>
#include "vip_link.h"

struct vip_wire {
	int fd;
	int device;
	unsigned char mac[6];
};

/*
 * Open the wire of an interface.  ERR_PRECOND when nobody can be asked there: no Ethernet (*ret_none is set), or down,
 * or without a carrier.
 */
bool vip_wire_open(
        const char *device, struct vip_wire *ret, bool *ret_none, struct err *e) MUST_USE;
void vip_wire_close(struct vip_wire *w);

/*
 * Ask who has the address, several times until the deadline.  *ret_mac is filled with the first answer
 * that is not our own; *ret_answered says whether there was one.
 */
bool vip_wire_ask(const struct vip_wire *w, const struct vip_addr *a, int64_t deadline,
        bool *ret_answered, unsigned char ret_mac[6], struct err *e) MUST_USE;

/* Tell everybody that it is here, `times` times with `every_ms` between. */
bool vip_wire_tell(const struct vip_wire *w, const struct vip_addr *a, int times, int every_ms,
        struct err *e) MUST_USE;

/* Exposed for tests: a frame of at most 128 bytes; returns its length. */
enum vip_frame { VIP_FRAME_ASK, VIP_FRAME_TELL, VIP_FRAME_TELL_REPLY };
size_t vip_wire_frame(enum vip_frame kind, const unsigned char mac[6], const struct vip_addr *a,
        unsigned char to[128]);

/* Whether a received frame says that somebody has the address, and who. */
bool vip_wire_is_answer(const unsigned char *frame, size_t n, const struct vip_addr *a,
        unsigned char ret_mac[6]) MUST_USE;
