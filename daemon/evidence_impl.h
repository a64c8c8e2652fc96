/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * evidence_impl - between the files of evidence.  Runs on: loop.
 */
#pragma once
#include "evidence.h"

enum { EVIDENCE_PICTURES = 64, EVIDENCE_LINES = 100 };

/* Facts, perhaps not in one piece: `head` is struct facts up to its arrays. */
struct facts_parts {
	const void *head;
	int n_replicas, n_witnesses;
	const struct fact_replica *replicas;
	const struct fact_witness *witnesses;
};

/* Do both say the same?  Instants and mere counts that only go on are left out. */
bool facts_same(const struct facts_parts *a, const struct facts_parts *b);

/* As evidence_add() and evidence_say(), with all that is kept given; nothing is joined. */
void evidence_put(struct evidence *v, const struct evidence_picture *p);
void evidence_put_line(struct evidence *v, int64_t at, const char *who, const char *text);
