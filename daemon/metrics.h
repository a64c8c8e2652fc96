/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * metrics - a glance as Prometheus reads it (text format 0.0.4).  Pure.  Runs on: any thread.  Logs: never.
 *
 * One table in metrics.c has all names; the manual page mhad-http(7) lists the same, and a unit test compares them.
 * Names and meanings stay as they are: dashboards and alerts outlive versions.
 */
#pragma once
#include "glance.h"
#include "str.h"

void metrics_text(struct str *out, const struct glance *g);

/* For the manual and its test. */
struct metrics_row {
	const char *name, *type, *labels, *help; /* labels: "cluster, gate", "" none */
};
size_t metrics_rows(void);
struct metrics_row metrics_row(size_t i);
