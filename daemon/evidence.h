/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * evidence - what was known of one cluster and when: the ring behind `mhactl why`.  Runs on: loop.
 * Logs: never.
 *
 * Two things are kept.  Pictures: the facts with their verdict, once a second; those that say the same as the
 * one before only lengthen it, so that a quiet cluster costs one picture.  Lines: who said what when, for
 * people, on changes.  Both are bounded.  The whole can be written as JSON, read again, and judged
 * anew: a test, or a person, sees the same verdicts.
 */
#pragma once
#include <jansson.h>
#include "mem.h"
#include "verdict.h"

struct evidence;

struct evidence_picture {
	int64_t from, until; /* instants of the first and last look that said this */
	unsigned looks;
	struct verdict verdict;
	const char *state;  /* of the watch: "monitoring"... */
	const char *gate;   /* why there is no failover now; "" = there would be one */
	struct facts facts; /* of the last look */
};

struct evidence_line {
	int64_t at;
	/* "probe", "host", "replica db2", "witness w1", "script", "manager", "person" */
	const char *who;
	const char *text;
};

struct evidence *evidence_new(void);
void evidence_free(struct evidence *v); /* NULL is fine */
CLEANUP_FN(evidence, struct evidence *, evidence_free)

void evidence_add(struct evidence *v, const struct facts *f, const struct verdict *d,
        const char *state, const char *gate);
void evidence_say(struct evidence *v, const char *who, const char *fmt, ...) PRINTF_LIKE(3, 4);

size_t evidence_pictures(const struct evidence *v);
/* 0 is the newest; borrowed until the next evidence_add().  It is unpacked for this: for people, not for
 * every second. */
const struct evidence_picture *evidence_picture(const struct evidence *v, size_t i);
size_t evidence_lines(const struct evidence *v);
/* 0 is the newest; borrowed until the next evidence_say(). */
const struct evidence_line *evidence_line(const struct evidence *v, size_t i);

/*
 * As JSON: {"format":1,"cluster":..,"saved":wall time,"now":..,"pictures":[...],"lines":[...]}, the oldest
 * first.  Members named _ago are ages in ms, negative in the future, against the nearest "now";
 * what is not there is zero, no, none or never.  Returns a new reference.
 */
json_t *evidence_json(const struct evidence *v, const char *cluster, int64_t now);
/*
 * What evidence_json() wrote, or a person: of a picture only verdict.code and facts must be there, "about"
 * may say what it is, and without "now" some time is taken.  Instants are those of the
 * writer's clock.  Returns owned; NULL with ERR_PARSE that names what is wrong.
 */
struct evidence *evidence_read(const json_t *j, struct err *e) MUST_USE;

/* One picture's facts as JSON, and back: what facts_json() wrote is read as it was. */
json_t *facts_json(const struct facts *f);
bool facts_read(const json_t *j, struct facts *ret, struct err *e) MUST_USE;
