/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gtid - GTID sets, MySQL's and MariaDB's.  Runs on: any thread.  Logs: never.
 *
 * A gtid_set is a value: it owns its memory, compares by content, never touches a server.  Every
 * "who has more data" question of mhad ends in gtid_set_cmp().
 *
 * MySQL: "uuid:1-5:7:tag:1-3" (tags from 8.3 on), a set of intervals per source and tag.
 *
 * MariaDB: "0-1-100,1-2-7", one position per domain: it stands for everything below that sequence
 * number in that domain, whoever wrote it, and for that one transaction.  Several positions of one
 * domain (as in gtid_binlog_state) keep the highest sequence number as the domain's position.  Two
 * servers that wrote the same number of one domain have diverged: 0-1-9 and 0-2-9 do not contain
 * each other, their union is "0-1-9,0-2-9" (which no server takes as a position).  A divergence
 * further back does not show in positions.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "mem.h"

struct gtid_set; /* opaque */
enum gtid_dialect { GTID_MYSQL, GTID_MARIADB };
enum gtid_order { GTID_EQUAL, GTID_AHEAD, GTID_BEHIND, GTID_DIVERGED };

/* MySQL numbers transactions from 1 to this. */
#define GTID_GNO_MAX ((uint64_t)INT64_MAX - 1)
enum { GTID_TAG_MAX = 32 };

/*
 * Parse text as printed by a server (blanks and line ends allowed between its parts, upper case
 * too; empty is the empty set; order and overlaps do not matter).  `text` is borrowed.  Returns
 * owned, or NULL with ERR_PARSE that names the offset of the first bad byte.  Stricter than MySQL
 * where that drops what it cannot mean: a UUID or a tag without numbers and an interval that ends
 * before it begins are refused.  So is text of more than 16 MiB or with more than 65536 sources and
 * tags.  MariaDB positions with sequence number 0 (nothing yet) count as absent.
 */
struct gtid_set *gtid_set_parse(enum gtid_dialect d, const char *text, struct err *e) MUST_USE;
struct gtid_set *gtid_set_new(enum gtid_dialect d); /* the empty set; returns owned */
struct gtid_set *gtid_set_dup(const struct gtid_set *s);
void gtid_set_free(struct gtid_set *s); /* NULL is fine */
CLEANUP_FN(gtid, struct gtid_set *, gtid_set_free)

/* Canonical text, as the newest server of that family prints it, on one line.  Returns owned. */
char *gtid_set_format(const struct gtid_set *s);

enum gtid_dialect gtid_set_dialect(const struct gtid_set *s);
bool gtid_set_is_empty(const struct gtid_set *s);

/*
 * Results are owned by the caller.  Both sides must be of one dialect (asserted).  For MariaDB:
 * union = the later position of each domain; intersection = the earlier one of domains in both; a
 * minus b = the domains in which a is ahead, with a's position (the transactions behind b's
 * position up to it).  A domain in which both have one sequence number from different servers is
 * missing in the intersection: no position names what they share.
 */
struct gtid_set *gtid_set_union(const struct gtid_set *a, const struct gtid_set *b);
struct gtid_set *gtid_set_subtract(const struct gtid_set *a, const struct gtid_set *b);
struct gtid_set *gtid_set_intersect(const struct gtid_set *a, const struct gtid_set *b);

/* Whether a has all of b. */
bool gtid_set_contains(const struct gtid_set *a, const struct gtid_set *b);

/* GTID_DIVERGED: each side has something that the other lacks.  Never promote on it. */
enum gtid_order gtid_set_cmp(const struct gtid_set *a, const struct gtid_set *b);

/* Number of transactions in a that b lacks; b may be NULL (= empty).  MariaDB: sum of sequence
 * differences, an upper bound since sequence numbers may have gaps.  Saturates. */
uint64_t gtid_set_count_missing(const struct gtid_set *a, const struct gtid_set *b);
uint64_t gtid_set_count(const struct gtid_set *s);

/*
 * One transaction at a time, for readers of binlogs.  `uuid` is 16 bytes, `tag` "" for none
 * (MySQL); MariaDB uses domain, server and sequence.  Adding behind the last one costs next to
 * nothing, adding into a gap copies the set.  gtid_set_add_mysql() returns false and adds nothing
 * when that cannot be a GTID (numbers out of 1..GTID_GNO_MAX or in the wrong order, a malformed
 * tag): foreign bytes, for the caller to report.
 */
bool gtid_set_has_mysql(
        const struct gtid_set *s, const uint8_t uuid[16], const char *tag, uint64_t gno);
bool gtid_set_add_mysql(
        struct gtid_set *s, const uint8_t uuid[16], const char *tag, uint64_t first, uint64_t last);
bool gtid_set_has_mariadb(const struct gtid_set *s, uint32_t domain, uint32_t server, uint64_t seq);
void gtid_set_add_mariadb(struct gtid_set *s, uint32_t domain, uint32_t server, uint64_t seq);

/* MySQL: the part of s that one source made (all its tags); an empty set when none.  Returns owned.
 */
struct gtid_set *gtid_set_only_source(const struct gtid_set *s, const uint8_t uuid[16]);
bool gtid_uuid_parse(const char *text36, uint8_t ret_uuid[16]) MUST_USE;
