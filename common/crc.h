/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crc - CRC32 as in binlogs (zlib's polynomial), quick for events of a few dozen bytes too, where
 * zlib takes many times as long.  Runs on: any thread.  Logs: never.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Of n more bytes, behind those that gave `crc`; 0 to begin with. */
uint32_t crc_add(uint32_t crc, const void *p, size_t n);
