/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * names - host names to addresses, side by side and in bounded time.  Runs on: any thread (blocks, until
 * its deadline).  Logs: never.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct names_item {
	const char *name; /* borrowed; a numeric address is its own answer */
	char address[64]; /* numeric; "" until found.  The first one that the system names */
	char error[128];  /* why not */
};

/* Look all of them up; changes their order.  What is not answered at the deadline has its error set. */
void names_look_up(struct names_item *names, size_t n, int64_t deadline);
