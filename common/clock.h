/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock - instants and deadlines.  Runs on: any thread.
 *
 * Instants are monotonic milliseconds (int64_t); a deadline is such an instant, CLOCK_NEVER means none.
 * Wall time exists for logs and file names only: nothing is decided by it.
 */
#pragma once
#include <stdint.h>
#include <stddef.h>

#define CLOCK_NEVER INT64_MAX

int64_t clock_ms(void);               /* now; goes on while the machine is suspended (boot time) */
int64_t clock_us(void);               /* the same in microseconds, for measuring */
int64_t clock_in(int64_t ms);         /* the instant `ms` from now; CLOCK_NEVER for CLOCK_NEVER */
int64_t clock_left(int64_t deadline); /* milliseconds left, 0 when past, CLOCK_NEVER when none */
int64_t clock_sooner(int64_t a, int64_t b);

/* The same as poll(2) wants it: -1 for no deadline, capped to an hour. */
int clock_left_poll(int64_t deadline);

/* "Fri Nov 20 02:58:47 2026" (local time, as MHA's log) into buf of at least 32 bytes; returns buf. */
char *clock_log_time(char *buf, size_t size);

/* "20261120025847" (local time, as in MHA's file names); returns buf. */
char *clock_file_time(char *buf, size_t size);
