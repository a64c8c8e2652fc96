/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * glance - one look at everything that mhad knows of its clusters and of itself, for those who only show it:
 * metrics, pages, the API.  Runs on: the loop fills it, any thread reads it.  Logs: never.
 *
 * A glance is immutable once it is published (glance_publish()), and lives until its last holder lets it go, on
 * whatever thread that is.  All texts belong to it; those of the tables of names are static.  Texts come from
 * servers and users: any bytes.  Instants are those of clock.h, 0 is never.
 */
#pragma once
#include <stdint.h>
#include "arena.h"

enum { GLANCE_BINS = 14, GLANCE_RESULTS = 5 };

/* Counts of what lasted less than the bound of the same index; the last bin has no bound. */
struct glance_histogram {
	const int64_t *bounds_us; /* GLANCE_BINS - 1 */
	uint64_t counts[GLANCE_BINS];
	int64_t sum_us;
};

/* How much it needs a person: also the order in which clusters are shown. */
enum glance_rank { GLANCE_WELL, GLANCE_ODD, GLANCE_ILL, GLANCE_DOWN, GLANCE_RANKS };

enum glance_role { GLANCE_MASTER, GLANCE_REPLICA, GLANCE_ABSENT, GLANCE_OTHER };

struct glance_server {
	const char *name; /* "db1(10.0.0.1:3306)" */
	const char *id;
	enum glance_role role;
	int source; /* index of the server that it replicates from; -1: none, or not known */
	/* Of a replica, as it was last asked. */
	const char *state; /* "up", "silent"...; of others "" */
	bool up, io, sql;
	const char *io_text; /* "Yes", "Connecting", "No"; "" not known */
	int64_t behind_s;    /* -1: not known */
	int64_t heard;       /* instant of the last sign of its source */
	const char *error;   /* ""; also of its threads */
};

struct glance_gate {
	bool blocks;
	const char *text, *hint;
};

/* The last time that its failover was rehearsed. */
struct glance_rehearsal {
	const char *result; /* "ready", "warnings", "refused"; NULL: there was none */
	const char *text;   /* one line */
	const char *worse;  /* than in the one before; NULL: nothing */
	int64_t at;         /* wall clock, seconds */
	int64_t expected_ms;
	size_t n_problems;
	const char *const *problems;
	const char *skipped; /* why none was made when it was time; NULL: it was */
};

struct glance_cluster {
	const char *name, *path;
	const char *problem; /* of its file; NULL: none */
	bool watched;
	const char *state;    /* "monitoring"; "config_error" when it is not watched */
	const char *verdict;  /* "healthy" */
	const char *kind;     /* "good", "wait", "alarm", "choice", "dead" */
	const char *sentence; /* what the verdict means */
	const char *why;      /* what was seen */
	const char *detection;
	int64_t since;   /* instant of the last change of state */
	int64_t took_us; /* the last good look; -1 */
	int64_t last_good;
	bool would_fail_over;
	int blocked_by;                  /* index of the first gate that blocks; -1 */
	const struct glance_gate *gates; /* glance.n_gates; NULL: it is not watched */
	bool paused;
	int64_t paused_until; /* instant; CLOCK_NEVER: until resumed */
	const char *pause_reason, *paused_by;
	bool semisync;             /* it is on */
	int ackers, acks_needed;   /* slaves that acknowledge, and how many must */
	int acks_waiting;          /* commits that wait for one; -1: not known */
	const char *semisync_text; /* what is wrong with it; NULL: nothing */
	struct glance_histogram looks;
	uint64_t looks_failed;
	int64_t lag_s; /* of the replica that is most behind; -1: not known */
	int master;    /* index of servers; -1: not known */
	const struct glance_server *servers;
	size_t n_servers, n_replicas, n_ill; /* replicas that do not replicate */
	enum glance_rank rank;
	struct glance_rehearsal rehearsal;

	/* From the files of its runs. */
	bool journal_open; /* a run stands in the journal: it goes on, or was killed */
	uint64_t failovers[GLANCE_RESULTS],
	        switches[GLANCE_RESULTS]; /* kept incidents, by result */
	uint64_t with_loss;
	int64_t last_at;        /* wall clock, seconds; 0: there was none */
	int64_t last_opened_ms; /* from the first sign to writes on the new master; -1 */
};

struct glance {
	struct arena *arena;
	_Atomic unsigned holders;
	int64_t at;      /* instant */
	int64_t wall_ms; /* the same by the wall clock */
	const char *version, *host;
	int64_t pid, uptime_ms;
	const char *tilt; /* why nothing is decided just now; NULL */
	const char *const *gate_names;
	const char *const *result_names; /* GLANCE_RESULTS */
	size_t n_gates;
	struct glance_cluster *clusters; /* in the order of their names */
	size_t n_clusters;
	struct glance_histogram looks_late;
	uint64_t loop_turns, loop_slow;
	int64_t loop_longest_us, loop_busy_us, loop_late_ms;
	int links_most, links_hosts, links_up, links_waiting;
	size_t count[GLANCE_RANKS];
};

struct glance *glance_new(void); /* held once */
struct glance *glance_hold(struct glance *g);
void glance_free(struct glance *g); /* lets go; NULL is fine */
CLEANUP_FN(glance, struct glance *, glance_free)

/* Works out what follows from the rest (ranks, counts, lags); from here on nobody changes it. */
void glance_publish(struct glance *g);

/* NULL: there is none. */
const struct glance_cluster *glance_find(const struct glance *g, const char *name);
/* Would a page show the same?  Ages and latencies are no difference. */
bool glance_same(const struct glance_cluster *a, const struct glance_cluster *b);
const char *glance_rank_name(enum glance_rank r); /* "well", "odd", "ill", "down" */
