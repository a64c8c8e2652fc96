/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vip - an address that moves between hosts: taken, given up, looked for.
 * Runs on: any thread (blocks up to --timeout, default 200 ms, while it asks the network).
 *
 * --add asks the network first and refuses when another host answers; then adds the address, and
 * tells all neighbours (gratuitous ARP, or an unsolicited neighbour advertisement).  When the address is here already,
 * only the neighbours are told.  --drop of an address that is not here is fine.
 *
 * Exit status: 0 done, or (--show) it is here; 1 error; 3 another host has it; 4 (--show) it is not here and
 * nobody answers for it, or nobody could be asked.
 */
#pragma once
#include "verb.h"

int vip_serve(const struct args *a, struct verb_io *io, struct err *e);
