/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elect - which slave becomes the master, and why no other.  Runs on: any thread.  Logs: never.
 *
 * Pure: a const topology in, an election out.  MHA's rules in MHA's order, with these differences:
 * who has received most is told by GTID sets where there are GTIDs, and file names are compared as
 * numbers; a mere change of files makes nobody late; within one rule a server without errant
 * transactions comes before one with them; servers that replicate with an error, or were set aside
 * by the caller, are not elected, but do not block; nor is a server elected that nobody could follow
 * since it has purged what it wrote by itself.
 */
#pragma once
#include "topology.h"

struct elect_opts {                       /* all borrowed */
	const struct conf_server *forced; /* --new_master_host: this one or nobody; NULL usually */
	/* A planned switch: everybody is brought level anyway, so all are latest and none is late. */
	bool planned;
	/* Set aside: broken in this run. */
	const struct conf_server *const *without;
	size_t n_without;
	/* Also who has purged transactions of its own, after which no other slave can follow it. */
	bool purged_too;
};

/* X(number, what the rule says) */
#define ELECT_RULES(X)                                                                             \
	X(0, "it was named")                                                                       \
	X(1, "no server is preferred or excluded, and it has received most")                       \
	X(2, "it is a candidate and has received most")                                            \
	X(3, "it is the first candidate")                                                          \
	X(4, "it has received most")                                                               \
	X(5, "it is the first slave that can be")

struct elect_candidate {
	const struct topology_server *server;
	bool latest;      /* nobody has received more */
	bool candidate;   /* candidate_master */
	const char *bad;  /* why it must not become the master; NULL: it may */
	const char *note; /* why another one comes first, although it may; NULL: nothing to say */
};

struct election {
	const struct topology_server *chosen; /* NULL: nobody, and `refusal` says why */
	int rule;                             /* that decided; -1: nobody */
	const char *reason;                   /* its text */
	const char *refusal, *hint;

	/* Live slaves of the dead master, in the order of the file. */
	const struct elect_candidate *all;
	size_t n;

	/* First of those who have received most, and least; NULL when there is nobody. */
	const struct topology_server *latest, *oldest;
	struct arena *arena; /* owns all of this */
};

/* `t` is borrowed for the life of the result; `o` may be NULL.  Returns owned, never NULL. */
struct election *elect(const struct topology *t, const struct elect_opts *o);
void election_free(struct election *e); /* NULL is fine */
CLEANUP_FN(election, struct election *, election_free)

/*
 * Who has received more of the master's transactions, executed or not: negative, 0, positive.  By
 * GTID sets without what is errant, else by position in the master's binlogs.
 */
int elect_received_cmp(
        const struct topology *t, const struct topology_server *a, const struct topology_server *b);
