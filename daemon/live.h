/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * live - what mhad says of its clusters, as text for people.  Pure.  Runs on: any thread.  Logs: never.
 *
 * Reads the values of the control socket's verbs.  What is missing is "-": an older or newer mhad is
 * shown as far as it goes.  Texts come from servers and users: control characters do not pass.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>
#include "str.h"

/* "340 ms", "3.2 s", "4 min 10 s", "3 h 12 min", "5 d 3 h" */
void live_add_span(struct str *out, int64_t ms);
/* A member as text, "-" when there is none. */
void live_add(struct str *out, const json_t *object, const char *name);
void live_add_clean(struct str *out, const char *text);
/* Characters, not bytes; and the bytes that hold at most so many of them. */
size_t live_width(const char *text);
size_t live_cut(const char *text, size_t width);

/* Columns of one cluster. */
enum live_col {
	LIVE_CLUSTER,
	LIVE_STATE,
	LIVE_VERDICT,
	LIVE_MASTER,
	LIVE_PROBE,
	LIVE_REPLICAS,
	LIVE_LAG,
	LIVE_SINCE,
	LIVE_FAILOVER,
	LIVE_COLS
};
extern const char *const live_titles[LIVE_COLS];
void live_cell(struct str *out, const json_t *cluster, enum live_col col);

/* Columns of one replica. */
enum live_replica_col {
	LIVE_R_SERVER,
	LIVE_R_STATE,
	LIVE_R_BEHIND,
	LIVE_R_IO,
	LIVE_R_SQL,
	LIVE_R_HEARD,
	LIVE_R_COLS
};
extern const char *const live_replica_titles[LIVE_R_COLS];
void live_replica_cell(struct str *out, const json_t *replica, enum live_replica_col col);

/*
 * Is nothing wrong with it: healthy, watched, free to act, all replicas replicating?  If not, the
 * first reason is added to `why` (NULL is fine).
 */
bool live_is_well(const json_t *cluster, struct str *why);
bool live_all_well(const json_t *status);
/* The cluster of this name in a value of `status`; borrowed, NULL when there is none. */
const json_t *live_find(const json_t *status, const char *name);
/* "mhad 0.1.0, pid 4711, up 3 h 12 min" */
void live_add_daemon(struct str *out, const json_t *status);
/* What the verdict means, and what was seen. */
void live_add_sentence(struct str *out, const json_t *cluster);
/* "yes" or "no: <gate>" */
void live_add_would(struct str *out, const json_t *cluster);
/* "semi-sync: 2 slaves acknowledge, 1 must", or what is wrong with it, from a member `semisync` */
void live_add_semisync(struct str *out, const json_t *cluster);
/* "until ... by root: disk change", from a member `paused` */
void live_add_pause(struct str *out, const json_t *cluster);

/* Parts of the page about a value of `why`. */
void live_gates(struct str *out, const json_t *why);
void live_evidence(struct str *out, const json_t *why);

/* Whole pages. */
void live_status(struct str *out, const json_t *status);
void live_cluster(struct str *out, const json_t *cluster);
void live_why(struct str *out, const json_t *why, bool ring);
void live_history(struct str *out, const json_t *history);
