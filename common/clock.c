/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock - CLOCK_BOOTTIME, so that a suspended machine sees its deadlines pass.
 * Runs on: any thread.
 */
#include "clock.h"
#include <time.h>

enum { HOUR_MS = 3600 * 1000 };

int64_t clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_ms(void)
{
	return clock_us() / 1000;
}

int64_t clock_in(int64_t ms)
{
	int64_t now = clock_ms();

	return ms >= CLOCK_NEVER - now ? CLOCK_NEVER : now + ms;
}

int64_t clock_left(int64_t deadline)
{
	int64_t now;

	if (deadline == CLOCK_NEVER)
		return CLOCK_NEVER;
	now = clock_ms();
	return deadline > now ? deadline - now : 0;
}

int64_t clock_sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int clock_left_poll(int64_t deadline)
{
	int64_t left = clock_left(deadline);

	if (left == CLOCK_NEVER)
		return -1;
	return left > HOUR_MS ? HOUR_MS : (int)left;
}

static char *stamp(char *buf, size_t size, const char *fmt)
{
	struct tm tm;
	time_t now = time(NULL);

	if (!size || !localtime_r(&now, &tm) || !strftime(buf, size, fmt, &tm))
		return size ? (buf[0] = '\0', buf) : buf;
	return buf;
}

char *clock_log_time(char *buf, size_t size)
{
	return stamp(buf, size, "%a %b %e %H:%M:%S %Y");
}

char *clock_file_time(char *buf, size_t size)
{
	return stamp(buf, size, "%Y%m%d%H%M%S");
}
