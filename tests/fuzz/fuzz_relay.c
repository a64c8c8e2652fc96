/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Texts that mha-node finds in a data directory: relay-log.info, relay log indexes, and the names of log files.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "dir.h"
#include "relay.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	AUTO(free) char *text = xstrndup((const char *)p, n);
	AUTO(free) char *path = relay_info_parse(text, "/data", NULL);
	size_t prefix;
	uint64_t number;

	if (path && (path[0] != '/' || strpbrk(path, "\r\n")))
		abort();
	if (dir_log_split(text, &prefix, &number) && (prefix == 0 || prefix >= strlen(text)))
		abort();
	relay_is_listed(text, "relay-bin.000002");
	return 0;
}
