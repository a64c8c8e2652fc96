/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vip_link - addresses of network interfaces, through rtnetlink.  Runs on: any thread.  Logs: never.
 *
 * No ip(8) is needed.
 */
#pragma once
#include <netinet/in.h>
#include "mem.h"

struct vip_addr {   /* plain memory */
	int family; /* AF_INET or AF_INET6 */
	int prefix; /* -1: not said */
	unsigned char bytes[16];
	char text[INET6_ADDRSTRLEN];
};

struct vip_at { /* an address on an interface */
	struct vip_addr addr;
	int device; /* index */
	char name[16], label[16];
};

/* "10.0.0.1" or "10.0.0.1/24". */
bool vip_addr_parse(const char *text, struct vip_addr *ret, struct err *e) MUST_USE;

/* Where this host has the address; *ret_here says whether it does.  With none, *ret_near.device is an interface with a
 * network that the address belongs to (0: none). */
bool vip_link_find(const struct vip_addr *a, bool *ret_here, struct vip_at *ret,
        struct vip_at *ret_near, struct err *e) MUST_USE;

/* Add or remove; IPv6 without duplicate address detection, which has been done by then. */
bool vip_link_add(const struct vip_addr *a, int device, const char *label, struct err *e) MUST_USE;
bool vip_link_drop(const struct vip_at *at, struct err *e) MUST_USE;
