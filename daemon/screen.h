/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * screen - one frame of `mhactl status --watch`, and what keys do to it.  Pure: values of the control
 * socket and a size in, bytes for a terminal out.  Runs on: any thread.  Logs: never.
 *
 * A frame has exactly `rows` lines of at most `cols` characters, begins at the upper left corner and
 * erases what it does not fill, so that it is written over the one before without a flicker.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>
#include "str.h"

struct screen_view {
	int rows, cols;
	bool colour;
	bool detail;         /* one cluster instead of the table */
	char selected[128];  /* its name; "" = the first */
	size_t top;          /* first line shown of what may be longer than the screen */
	int64_t age_ms;      /* of the picture, 0 = it is fresh; -1: there is none yet */
	const char *problem; /* mhad cannot be asked now: why; NULL = it can */
	const char *note;    /* something else to be told; NULL = nothing */
};

/* `status` and `why` may be NULL: not known yet.  Moves `top` so that what is selected is seen. */
void screen_draw(struct str *out, const json_t *status, const json_t *why, struct screen_view *v);

enum screen_key {
	SCREEN_NONE,
	SCREEN_UP,
	SCREEN_DOWN,
	SCREEN_PAGE_UP,
	SCREEN_PAGE_DOWN,
	SCREEN_HOME,
	SCREEN_END,
	SCREEN_ENTER,
	SCREEN_BACK,
	SCREEN_QUIT
};
/* The first key in these bytes; returns how many it takes, 0 when n is 0. */
size_t screen_key_parse(const char *bytes, size_t n, enum screen_key *ret);
void screen_key(struct screen_view *v, enum screen_key key, const json_t *status);
