/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verdict_impl - between the files of verdict: one judgement under way, what the others say, the
 * words.  Runs on: any thread.
 */
#pragma once
#include "verdict.h"

struct judge {
	const struct facts *f;
	/* From here on the master did not answer us, though it was asked: a sign of life has to be newer. */
	int64_t deaf;
	int64_t since;  /* when its failures began, as time limits count it */
	int64_t again;  /* the soonest instant at which a row that was tried may end differently */
	char note[200]; /* what the row that fits has to say itself; may be empty */
};

/* Every comparison with the time goes through here, so that `again` is right. */
bool verdict_passed(struct judge *j, int64_t instant);

/* Always true: "it fits, and this is why". */
bool verdict_note(struct judge *j, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* ---- what the others say: verdict_others.c ---- */

/* The active checks made from other hosts than the master's, of those that are healthy. */
struct verdict_votes {
	int healthy;
	int sees; /* of witnesses; slaves' are signs of life (verdict_heard) */
	int down; /* sum of the next two, and of those who meet silence */
	int open, refused;
	int pending; /* may still answer */
};
struct verdict_votes verdict_votes(const struct judge *j);
bool verdict_majority_down(struct judge *j);

/* A sign of life that beats everything; `note` says which. */
bool verdict_heard(struct judge *j);

/* The host says that there is no such process. */
bool verdict_absent(const struct judge *j);
/* The host says that the process is there. */
bool verdict_there(const struct judge *j);
/* The host gave a sign of life since the master is deaf. */
bool verdict_host_lives(const struct judge *j);

/* Receivers on other hosts that follow the master. */
struct verdict_receivers {
	int n, lost; /* lost: it broke, or a heartbeat is overdue, after the master's last sign of life */
};
struct verdict_receivers verdict_receivers(const struct judge *j);
bool verdict_receivers_lost(const struct judge *j); /* all of them, and there is one */

/* Who fell silent together with the master. */
struct verdict_company {
	int silent, present, unknown;
	int silent_slaves, unknown_slaves; /* of those that follow the master and matter */
	const char *first_slave;           /* a silent one; else an unknown one */
};
struct verdict_company verdict_company(const struct judge *j);

/* When the latest of those slaves came back that had fallen silent together with the master; 0: none did. */
int64_t verdict_back(const struct judge *j);

/* What a living master's slaves show: all receivers that can be asked are broken, for long enough. */
bool verdict_replication_cut(struct judge *j);

bool verdict_arrived_since(const struct facts *f, const struct fact_replica *r);

/* ---- words: verdict_names.c, verdict_why.c ---- */

/* What an error of the server says of it; UNKNOWN: nothing. */
enum verdict_code verdict_of_code(int code);

/* The one line of `why` into ret[size]: note, then who said what. */
void verdict_tell(const struct judge *j, char *ret, size_t size);

/* For tests: the rows of the table, and which of them fits. */
int verdict_rows(void);
const char *verdict_row_name(int row);
int verdict_row_of(const struct facts *f);
