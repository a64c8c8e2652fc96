/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vip_cut - ends the TCP sessions that use an address of this host, as the kernel does when a program ends: both
 * ends are told.  Runs on: any thread.  Logs: never.
 *
 * A session does not end when its address goes: the server's answers get lost from then on, and a client that
 * waits for one does so until its own timeout.  Only root can do it, and not every kernel; where it cannot be,
 * nothing fails.
 */
#pragma once
#include "vip_link.h"

void vip_cut(const struct vip_addr *a);
