/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_verdict - every row of the table under both policies, its limits in time, and what must hold for any
 * facts whatever.  Scenarios that take several looks are in tests/cases/verdict (test_evidence).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "clock.h"
#include "verdict.h"
#include "verdict_impl.h"

enum { NOW = 1000000, SECOND = 1000 };

static bool reached[100]; /* rows */

/* A quiet cluster: two slaves, a witness that was never asked. */
static struct facts *quiet(void)
{
	static struct facts f;

	memset(&f, 0, sizeof(f));
	f.now = NOW;
	snprintf(f.master, sizeof(f.master), "db1:3306");
	f.detection = DETECT_CORROBORATED;
	f.interval = SECOND;
	f.probe = (struct fact_probe){ .how = HOW_FINE,
		.layer = LAYER_READ,
		.last_good = NOW - 200,
		.was_good = true,
		.acks_waiting = -1,
		.ackers = -1 };
	f.host = (struct fact_host){ .reach = REACH_UP, .heard = NOW - 700, .asked = NOW - 5700 };
	f.host.process = PROCESS_LISTENING;
	f.host.state = 'S';
	f.n_replicas = 2;
	for (int i = 0; i < 2; i++) {
		struct fact_replica *r = &f.replicas[i];

		snprintf(r->name, sizeof(r->name), "db%d", i + 2);
		r->up = r->follows = r->io_running = true;
		r->looked = NOW - 7005;
		r->between = NOW - 17000;
		r->heard = NOW - 7000;
	}
	f.n_witnesses = 1;
	snprintf(f.witnesses[0].name, sizeof(f.witnesses[0].name), "w1");
	return &f;
}

/* The master has not answered since a look that began `age` ago; the host and the slaves' pictures are old. */
static struct facts *deaf(enum fact_how how, enum fact_layer layer, int64_t age)
{
	struct facts *f = quiet();
	struct fact_probe *p = &f->probe;

	p->how = how;
	p->layer = layer;
	p->first_failed = NOW - age;
	p->silent_since = how == HOW_CUT || how == HOW_REFUSED ? p->first_failed : NOW - age - 900;
	p->last_good = NOW - age - 900;
	p->failures = 1 + (int)(age / SECOND);
	p->failed_connects = p->failures;
	f->host.heard = NOW - age - 2000;
	f->host.asked = NOW - age - 9000;
	for (int i = 0; i < f->n_replicas; i++) {
		f->replicas[i].looked = NOW - age - 7005;
		f->replicas[i].heard = NOW - age - 7000;
		f->replicas[i].between = NOW - age - 17000;
	}
	return f;
}

static void host_says(struct facts *f, enum fact_process process, char state)
{
	f->host.reach = REACH_UP;
	f->host.heard = NOW - 5;
	f->host.asked = NOW - 10;
	f->host.process = process;
	f->host.state = state;
}

static void host_is_silent(struct facts *f)
{
	f->host.reach = REACH_SILENT;
	f->host.silent_since = f->probe.silent_since;
}

/* They answer our polls, and a check from their hosts ends so. */
static void slaves_say(struct facts *f, enum fact_sight sight)
{
	for (int i = 0; i < f->n_replicas; i++) {
		f->replicas[i].looked = NOW - 50;
		f->replicas[i].sight = sight;
		f->replicas[i].sight_asked = NOW - 40;
	}
}

static void witness_says(struct facts *f, enum fact_sight sight)
{
	f->witnesses[0].sight = sight;
	f->witnesses[0].asked = NOW - 30;
}

static void falls_silent(struct facts *f, int replica)
{
	f->replicas[replica].silent_since = f->probe.silent_since - 100;
	f->replicas[replica].missed = f->probe.silent_since + 700;
	f->replicas[replica].up = false;
	f->replicas[replica].sight = SIGHT_NONE;
}

static const char *named(const struct facts *f)
{
	reached[verdict_row_of(f)] = true;
	return verdict_name(verdict_of(f).code);
}

/* The whole facts under one policy; what is left in them is the caller's. */
static const char *under(struct facts *f, enum fact_detection d)
{
	f->detection = d;
	return named(f);
}

#define BOTH(f, want)                                                                              \
	do {                                                                                       \
		assert_string_equal(under(f, DETECT_MHA), want);                                   \
		assert_string_equal(under(f, DETECT_CORROBORATED), want);                          \
	} while (0)
#define EACH(f, mha, corroborated)                                                                 \
	do {                                                                                       \
		assert_string_equal(under(f, DETECT_MHA), mha);                                    \
		assert_string_equal(under(f, DETECT_CORROBORATED), corroborated);                  \
	} while (0)

/* ---- it answers ---- */

static void test_answers(void **state)
{
	(void)state;
	struct facts *f = quiet();

	BOTH(f, "healthy");
	f->probe.how = HOW_NEVER;
	BOTH(f, "unknown");
	f->probe.how = HOW_LOCKED;
	BOTH(f, "locked");
	f = quiet();
	f->probe.last_good = NOW - 3999;
	BOTH(f, "healthy");
	f->probe.last_good = NOW - 4000;
	BOTH(f, "suspect");
}

static void test_alive_codes(void **state)
{
	(void)state;
	static const int full[] = { 1040, 1203, 1226 };
	static const int unwanted[] = { 1042, 1043, 1044, 1045, 1129, 1130, 1251, 1275, 1862, 3118,
		4151, 1698, 0 };

	for (size_t i = 0; i < ARRAY_LEN(full); i++) {
		struct facts *f = deaf(HOW_ALIVE, LAYER_GREETING, 60 * SECOND);

		f->probe.code = full[i];
		host_is_silent(f);
		slaves_say(f, SIGHT_CANNOT);
		BOTH(f, "saturated");
	}
	for (size_t i = 0; i < ARRAY_LEN(unwanted); i++) {
		struct facts *f = deaf(HOW_ALIVE, LAYER_GREETING, 60 * SECOND);

		f->probe.code = unwanted[i];
		slaves_say(f, SIGHT_CANNOT);
		BOTH(f, "refusing");
	}
}

static void test_shutting_down(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_ALIVE, LAYER_TCP, 2999);

	f->probe.code = 1053;
	BOTH(f, "restarting");
	assert_int_equal(verdict_of(f).again, NOW + 1);
	f = deaf(HOW_ALIVE, LAYER_TCP, 3000);
	f->probe.code = 1053;
	BOTH(f, "refusing");
	f->restart_grace = 10 * SECOND;
	BOTH(f, "restarting");
}

static void test_failed_write(void **state)
{
	(void)state;
	static const struct {
		int code;
		const char *want;
	} cases[] = { { 1290, "read_only" }, { 1836, "read_only" }, { 1792, "read_only" },
		{ 1021, "disk_full" }, { 1114, "disk_full" }, { 3, "disk_full" },
		{ 1142, "refusing" }, { 1044, "refusing" } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct facts *f = deaf(HOW_ERROR, LAYER_READ, 0);

		f->probe.code = cases[i].code;
		BOTH(f, cases[i].want);
	}
}

static void test_odd_error_needs_time(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_ERROR, LAYER_READ, 2019);

	f->probe.code = 1205;
	BOTH(f, "suspect");
	f = deaf(HOW_ERROR, LAYER_READ, 2020);
	f->probe.code = 1205;
	BOTH(f, "stalled");
	f->probe.layer = LAYER_LOGIN;
	BOTH(f, "refusing");
	f->host.disk_full = true;
	f->probe.layer = LAYER_READ;
	BOTH(f, "disk_full");
}

static void test_late_write(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_LATE, LAYER_READ, 2019);

	BOTH(f, "suspect");
	assert_int_equal(verdict_of(f).again, NOW + 1);
	f = deaf(HOW_LATE, LAYER_READ, 2020);
	BOTH(f, "stalled");
	f->probe.acks_waiting = f->probe.ackers = 0;
	BOTH(f, "stalled");
	f->host.disk_stuck = true;
	assert_non_null(strstr(verdict_of(f).why, "disk"));
	f->host.disk_full = true;
	BOTH(f, "disk_full");
	f->host.disk_full = false;
	f->probe.acks_waiting = 3;
	BOTH(f, "ack_starved");
	f->probe.rewound = true;
	BOTH(f, "rewound");
}

/* The last look was good, but not all is well: the worst first. */
static void test_fine_but(void **state)
{
	(void)state;
	struct facts *f = quiet();

	f->probe.restarted = true;
	BOTH(f, "restarting");
	for (int i = 0; i < 2; i++) {
		f->replicas[i].io_errno = 2003;
		f->replicas[i].io_error_seen = NOW - 2001;
	}
	BOTH(f, "replication_cut");
	f->host.disk_full = true;
	BOTH(f, "disk_full");
	f->probe.acks_waiting = 0;
	f->probe.ackers = 0;
	BOTH(f, "disk_full");
	f->probe.acks_waiting = 1;
	BOTH(f, "ack_starved");
	f->probe.ackers = 1; /* commits wait as they always do for a moment */
	BOTH(f, "disk_full");
	f->probe.rewound = true;
	BOTH(f, "rewound");
}

static void test_replication_cut(void **state)
{
	(void)state;
	struct facts *f = quiet();

	f->replicas[0].io_errno = 2003;
	f->replicas[0].io_error_seen = NOW - 60 * SECOND;
	BOTH(f, "healthy"); /* the other one has no trouble */
	f->replicas[1].follows = false;
	BOTH(f, "replication_cut");
	f->replicas[1].follows = true;
	f->replicas[1].up = false;
	BOTH(f, "replication_cut");
	f->replicas[1].up = true;
	f->replicas[1].io_errno = 1045;
	f->replicas[1].io_error_seen = NOW - 2000;
	BOTH(f, "healthy"); /* for two intervals: it may be connecting again */
	assert_int_equal(verdict_of(f).again, NOW + 1);
	f->replicas[1].io_error_seen = NOW - 2001;
	BOTH(f, "replication_cut");
	f->replicas[0].follows = f->replicas[1].follows = false;
	BOTH(f, "healthy"); /* nobody to be cut off */
}

/* Cut without a word: the receivers notice after a minute, heartbeats that do not come say it sooner. */
static void test_heartbeats_overdue(void **state)
{
	(void)state;
	struct facts *f = quiet();

	for (int i = 0; i < 2; i++) {
		f->replicas[i].heartbeat = 2000;
		f->replicas[i].heard = NOW - 6000;
		f->replicas[i].looked = NOW - 1000;
	}
	BOTH(f, "healthy");
	for (int i = 0; i < 2; i++)
		f->replicas[i].looked = NOW - 999;
	BOTH(f, "replication_cut");
}

/* ---- the process is gone ---- */

static void test_process_gone(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_CUT, LAYER_NOTHING, 5);

	f->probe.failed_connects = 0;
	host_says(f, PROCESS_ABSENT, 0);
	f->host.asked = NOW - 3;
	BOTH(f, "suspect"); /* no connection was tried since */
	f->probe.how = HOW_REFUSED;
	f->probe.failures = 2;
	f->probe.failed_connects = 1;
	EACH(f, "suspect", "process_dead");
	/* What the host said before is about another time. */
	f->host.asked = f->probe.silent_since - 1;
	BOTH(f, "suspect");
}

/* MHA decides with the fourth failure, three intervals after the first. */
static void test_process_gone_mha(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_REFUSED, LAYER_NOTHING, 2979);

	f->probe.failures = 4; /* looks that were closer together do not hurry it */
	host_says(f, PROCESS_ABSENT, 0);
	EACH(f, "suspect", "process_dead");
	f->detection = DETECT_MHA;
	assert_int_equal(verdict_of(f).again, NOW + 1);
	f = deaf(HOW_REFUSED, LAYER_NOTHING, 2980);
	host_says(f, PROCESS_ABSENT, 0);
	f->probe.failures = 3;
	EACH(f, "suspect", "process_dead");
	f->probe.failures = 4;
	BOTH(f, "process_dead");
	/* Silence whose reason is that a filter swallows refusals. */
	f->probe.how = HOW_LATE;
	BOTH(f, "process_dead");
}

static void test_grace(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_REFUSED, LAYER_NOTHING, 29999);

	f->restart_grace = 30 * SECOND;
	host_says(f, PROCESS_ABSENT, 0);
	BOTH(f, "restarting");
	assert_int_equal(verdict_of(f).again, NOW + 1);
	host_is_silent(f); /* also if only the refusal says that it ended */
	f->host.process = PROCESS_UNKNOWN;
	slaves_say(f, SIGHT_REFUSED);
	BOTH(f, "restarting");
	f = deaf(HOW_REFUSED, LAYER_NOTHING, 30000);
	f->restart_grace = 30 * SECOND;
	host_says(f, PROCESS_ABSENT, 0);
	BOTH(f, "process_dead");
}

static void test_process_returns(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_REFUSED, LAYER_NOTHING, 2999);

	host_says(f, PROCESS_THERE, 'R');
	f->host.young = true;
	slaves_say(f, SIGHT_REFUSED);
	BOTH(f, "restarting");
	f->host.young = false; /* it shuts down, and its port is closed already */
	BOTH(f, "restarting");
	f->host.process = PROCESS_LISTENING;
	f->host.young = true;
	BOTH(f, "restarting");
	f = deaf(HOW_REFUSED, LAYER_NOTHING, 3000);
	host_says(f, PROCESS_THERE, 'R');
	f->host.young = true;
	f->probe.failed_connects = 2;
	BOTH(f, "hung");
	f->probe.failed_connects = 1;
	f->probe.failures = 3;
	BOTH(f, "suspect");
	f->restart_grace = 3001;
	BOTH(f, "restarting");
}

/* Nobody can be asked on the host: a refusal alone is one kind of evidence. */
static void test_refused_without_host(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_REFUSED, LAYER_NOTHING, 1500);

	f->host = (struct fact_host){ .reach = REACH_UNKNOWN };
	f->probe.failures = f->probe.failed_connects = 2;
	for (int i = 0; i < 2; i++)
		f->replicas[i].looked = NOW - 50;
	BOTH(f, "suspect");
	f->replicas[1].io_errno = 2003;
	f->replicas[1].io_error_seen = NOW - 60;
	EACH(f, "suspect", "process_dead");
	f->replicas[1].io_errno = 1045; /* only a living master says that */
	BOTH(f, "suspect");
	f->replicas[1].io_errno = 2013;
	f->replicas[1].io_error_seen = f->probe.silent_since - 1;
	BOTH(f, "suspect"); /* it had lost it before */
	f->replicas[1].io_errno = 0;
	slaves_say(f, SIGHT_REFUSED);
	witness_says(f, SIGHT_ILL);
	EACH(f, "suspect", "process_dead");
	f->probe.failed_connects = 1;
	BOTH(f, "suspect");
}

/* Without any other evidence only MHA's way of counting leads to a verdict. */
static void test_refused_and_nobody_else(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_REFUSED, LAYER_NOTHING, 60 * SECOND);

	f->n_replicas = f->n_witnesses = 0;
	f->host.reach = REACH_UNKNOWN;
	EACH(f, "process_dead", "suspect");
	assert_non_null(strstr(verdict_of(f).why, "second kind"));
	f = deaf(HOW_LATE, LAYER_NOTHING, 60 * SECOND);
	f->n_replicas = f->n_witnesses = 0;
	host_is_silent(f);
	EACH(f, "host_dead", "suspect");
}

/* The quickest answer may be the liar's. */
static void test_votes_wait_for_the_others(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_REFUSED, LAYER_NOTHING, 1500);

	f->host.reach = REACH_UNKNOWN;
	for (int i = 0; i < 2; i++)
		f->replicas[i].looked = NOW - 50;
	witness_says(f, SIGHT_REFUSED);
	BOTH(f, "suspect");
	f->replicas[0].sight = SIGHT_REFUSED;
	f->replicas[0].sight_asked = NOW - 20;
	EACH(f, "suspect", "process_dead"); /* two of three, whatever the third says */
	f->replicas[0].sight = SIGHT_NONE;
	f->probe.first_failed = NOW - 2000;
	EACH(f, "suspect", "process_dead"); /* he has had his time */
}

static void test_votes_of_two(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_REFUSED, LAYER_NOTHING, 1500);

	f->host.reach = REACH_UNKNOWN;
	f->n_replicas = 1;
	slaves_say(f, SIGHT_REFUSED);
	BOTH(f, "suspect"); /* the witness has not answered */
	witness_says(f, SIGHT_ILL);
	EACH(f, "suspect", "process_dead"); /* nothing will come from him */
	f = deaf(HOW_LATE, LAYER_NOTHING, 4 * SECOND);
	host_is_silent(f);
	slaves_say(f, SIGHT_CANNOT);
	f->replicas[1].sight = SIGHT_REFUSED;
	BOTH(f, "host_dead"); /* one of two is no majority for the process alone */
}

/* Whose receiver counts: one that follows the master, answers us, and is not on its host. */
static void test_receivers(void **state)
{
	(void)state;
	static const int codes[] = { 2002, 2003, 2005, 2006, 2013, 1158, 1161 };
	struct facts *f = deaf(HOW_REFUSED, LAYER_NOTHING, 1500);
	struct fact_replica *r = &f->replicas[0];

	f->host.reach = REACH_UNKNOWN;
	for (int i = 0; i < 2; i++)
		f->replicas[i].looked = f->probe.first_failed;
	r->io_error_seen = f->probe.silent_since;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		r->io_errno = codes[i];
		EACH(f, "suspect", "process_dead");
	}
	r->follows = false;
	BOTH(f, "suspect");
	r->follows = true;
	r->up = false;
	BOTH(f, "suspect");
	r->up = true;
	r->on_master_host = true;
	BOTH(f, "suspect");
}

/* "Since" includes the moment itself: an EOF and the questions that it causes have one instant. */
static void test_at_the_same_instant(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_REFUSED, LAYER_NOTHING, 4 * SECOND);

	f->script = SCRIPT_DOWN;
	f->script_asked = f->probe.silent_since;
	host_says(f, PROCESS_ABSENT, 0);
	f->host.asked = f->probe.silent_since;
	BOTH(f, "process_dead");
	f->script = SCRIPT_REACHABLE;
	BOTH(f, "manager_cut");
	f->script = SCRIPT_NONE;
	f->host.process = PROCESS_THERE;
	BOTH(f, "hung");
	f = deaf(HOW_LATE, LAYER_NOTHING, 4 * SECOND);
	slaves_say(f, SIGHT_CANNOT);
	for (int i = 0; i < 2; i++)
		f->replicas[i].sight_asked = f->probe.silent_since;
	f->host = (struct fact_host){ .reach = REACH_TROUBLE, .heard = f->probe.first_failed };
	BOTH(f, "hung");
	f->host.heard--;
	BOTH(f, "host_dead");
}

/* What was known of the server while it answered says nothing once it does not. */
static void test_old_troubles(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_REFUSED, LAYER_NOTHING, 4 * SECOND);

	host_says(f, PROCESS_ABSENT, 0);
	f->probe.rewound = f->probe.restarted = true;
	f->probe.code = 1053;
	f->restart_grace = 3 * SECOND;
	BOTH(f, "process_dead");
	f = deaf(HOW_LATE, LAYER_NOTHING, 4 * SECOND);
	host_is_silent(f);
	slaves_say(f, SIGHT_CANNOT);
	f->restart_grace = 30 * SECOND; /* of a process, not of a host */
	BOTH(f, "host_dead");
}

/* ---- hung ---- */

static void test_hung(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_LATE, LAYER_TCP, 2019);

	host_says(f, PROCESS_LISTENING, 'T');
	slaves_say(f, SIGHT_OPEN);
	BOTH(f, "suspect"); /* a standstill of two intervals is none */
	assert_int_equal(verdict_of(f).again, NOW + 1);
	f = deaf(HOW_LATE, LAYER_TCP, 2020);
	host_says(f, PROCESS_LISTENING, 'S');
	EACH(f, "suspect", "hung"); /* MHA's fourth look has not failed yet */
	f->host = (struct fact_host){ .reach = REACH_UNKNOWN };
	for (int i = 0; i < 2; i++)
		f->replicas[i].looked = NOW - 50;
	BOTH(f, "suspect");
	slaves_say(f, SIGHT_OPEN);
	EACH(f, "suspect", "hung");
	f = deaf(HOW_LATE, LAYER_LOGIN, 4 * SECOND);
	host_says(f, PROCESS_LISTENING, 'S');
	BOTH(f, "hung");
	f->host.reach = REACH_UNKNOWN;
	f->host.asked = 0;
	for (int i = 0; i < 2; i++)
		f->replicas[i].looked = NOW - 50;
	EACH(f, "hung", "suspect");
}

/* When its queue is full, a hung server looks like a filtered port. */
static void test_hung_or_filtered(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_LATE, LAYER_NOTHING, 4 * SECOND);

	host_says(f, PROCESS_LISTENING, 'S');
	BOTH(f, "manager_cut");
	f->host.state = 'D';
	BOTH(f, "manager_cut");
	f->host.disk_stuck = true;
	BOTH(f, "hung");
	f->host.disk_stuck = false;
	f->host.state = 'T';
	BOTH(f, "hung");
	f->host.state = 'S';
	f->host.accept_queue = 81;
	BOTH(f, "hung");
	f->host.accept_queue = 0;
	slaves_say(f, SIGHT_CANNOT);
	BOTH(f, "hung");
	slaves_say(f, SIGHT_SEES);
	BOTH(f, "manager_cut");
	f = deaf(HOW_LATE, LAYER_NOTHING, 2019);
	host_says(f, PROCESS_LISTENING, 'S');
	BOTH(f, "suspect");
}

/* Refused here, while it listens there: who refuses? */
static void test_refused_but_listening(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_REFUSED, LAYER_NOTHING, 4 * SECOND);

	host_says(f, PROCESS_LISTENING, 'S');
	BOTH(f, "manager_cut");
	slaves_say(f, SIGHT_REFUSED);
	BOTH(f, "hung");
}

static void test_host_without_ssh(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_LATE, LAYER_NOTHING, 4 * SECOND);

	f->host = (struct fact_host){ .reach = REACH_TROUBLE, .heard = NOW - 100 };
	EACH(f, "hung", "suspect");
	slaves_say(f, SIGHT_CANNOT);
	BOTH(f, "hung");
	f->host.heard = f->probe.first_failed - 1;
	BOTH(f, "host_dead");
	slaves_say(f, SIGHT_OPEN);
	BOTH(f, "hung");
	slaves_say(f, SIGHT_REFUSED);
	BOTH(f, "process_dead");
}

/* ---- the host is dead ---- */

static void test_host_dead(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_LATE, LAYER_NOTHING, 2019);

	host_is_silent(f);
	slaves_say(f, SIGHT_CANNOT);
	BOTH(f, "suspect");
	f = deaf(HOW_LATE, LAYER_NOTHING, 2020);
	host_is_silent(f);
	slaves_say(f, SIGHT_CANNOT);
	EACH(f, "suspect", "host_dead");
	f->host.reach = REACH_UP; /* a link stays up for seconds after its host died */
	EACH(f, "suspect", "host_dead");
	f = deaf(HOW_UNREACHABLE, LAYER_NOTHING, 4 * SECOND);
	host_is_silent(f);
	slaves_say(f, SIGHT_CANNOT);
	BOTH(f, "host_dead");
	slaves_say(f, SIGHT_ILL);
	EACH(f, "host_dead", "suspect");
	for (int i = 0; i < 2; i++) {
		f->replicas[i].heartbeat = SECOND;
		f->replicas[i].looked = NOW - 50;
		f->replicas[i].heard = f->probe.silent_since - 100;
	}
	BOTH(f, "host_dead"); /* by the heartbeats that do not come */
}

/* A slave that has not been heard yet may be found on the far side of a cut. */
static void test_host_dead_waits_for_slaves(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_LATE, LAYER_NOTHING, 4 * SECOND);
	struct fact_replica *r = &f->replicas[1];

	host_is_silent(f);
	slaves_say(f, SIGHT_CANNOT);
	r->sight = SIGHT_NONE;
	r->looked = f->probe.first_failed - 1;
	BOTH(f, "suspect");
	r->ignore_fail = true;
	BOTH(f, "host_dead");
	r->ignore_fail = false;
	r->follows = false;
	BOTH(f, "host_dead");
	r->looked = 0; /* not heard in this life of mhad: it may follow whom it likes */
	BOTH(f, "suspect");
	r->silent_since = r->missed = NOW - 1000;
	BOTH(f, "split_view");
	r->silent_since = r->missed = 0;
	r->follows = true;
	r->looked = NOW - 50;
	BOTH(f, "host_dead");
}

/* ---- what forbids it ---- */

static void test_arrival_beats_death(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_LATE, LAYER_NOTHING, 60 * SECOND);
	struct fact_replica *r = &f->replicas[0];

	host_is_silent(f);
	slaves_say(f, SIGHT_ILL);
	r->heard = NOW - 50;
	r->between = f->probe.first_failed - 1;
	EACH(f, "host_dead", "suspect"); /* it may have come before */
	r->between = f->probe.first_failed;
	BOTH(f, "manager_cut");
	assert_non_null(strstr(verdict_of(f).why, "db2"));
	r->on_master_host = true; /* it says nothing of the network, but the server lives */
	BOTH(f, "manager_cut");
	r->on_master_host = false;
	r->io_errno = 2013; /* what lay in its socket came in after the death */
	r->io_error_seen = r->heard;
	EACH(f, "host_dead", "suspect");
	r->io_error_seen = r->heard - 1; /* an old error that was mended */
	BOTH(f, "manager_cut");
	r->io_errno = 0;
	r->sight = SIGHT_CANNOT;
	r->sight_asked = r->heard + SECOND;
	BOTH(f, "manager_cut");
	r->sight_asked++;
	r->heard -= 2 * SECOND;
	r->sight_asked -= 2 * SECOND;
	BOTH(f, "host_dead");
	r->sight = SIGHT_ILL;
	r->heartbeat = 500;
	BOTH(f, "manager_cut");
	r->heartbeat = 450;
	r->looked = NOW;
	EACH(f, "host_dead", "suspect"); /* it should have heard it again */
}

static void test_checks_beat_death(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_LATE, LAYER_NOTHING, 60 * SECOND);
	struct fact_replica *r = &f->replicas[1];

	host_is_silent(f);
	slaves_say(f, SIGHT_CANNOT);
	r->sight = SIGHT_SEES;
	BOTH(f, "manager_cut");
	r->sight_asked = f->probe.first_failed - 1;
	BOTH(f, "host_dead"); /* that was before */
	r->sight_asked = NOW - 20;
	host_says(f, PROCESS_ABSENT, 0);
	f->host.asked = NOW - 20;
	BOTH(f, "manager_cut");
	f->host.asked = NOW - 19;
	BOTH(f, "process_dead"); /* it was there, and is gone since */
}

/* One lies: he says that he sees it, or that he does not. */
static void test_lying_witness(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_LATE, LAYER_NOTHING, 60 * SECOND);

	host_is_silent(f);
	slaves_say(f, SIGHT_CANNOT);
	witness_says(f, SIGHT_SEES);
	BOTH(f, "host_dead");
	f->replicas[1].sight = SIGHT_ILL;
	BOTH(f, "manager_cut"); /* one of two: nobody knows which */
	f->witnesses[0].on_master_host = true;
	BOTH(f, "host_dead");
	f->witnesses[0].on_master_host = false;
	host_says(f, PROCESS_ABSENT, 0);
	f->host.asked = NOW - 100;
	BOTH(f, "process_dead");
	f = deaf(HOW_LATE, LAYER_NOTHING, 60 * SECOND);
	host_is_silent(f);
	slaves_say(f, SIGHT_SEES);
	witness_says(f, SIGHT_CANNOT);
	BOTH(f, "manager_cut");
}

static void test_script(void **state)
{
	(void)state;
	static const struct {
		enum fact_script script;
		const char *want;
	} cases[] = { { SCRIPT_NONE, "process_dead" }, { SCRIPT_IDLE, "suspect" },
		{ SCRIPT_RUNNING, "suspect" }, { SCRIPT_DOWN, "process_dead" },
		{ SCRIPT_ILL, "witness_veto" }, { SCRIPT_REACHABLE, "manager_cut" },
		{ SCRIPT_ODD, "witness_veto" } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct facts *f = deaf(HOW_REFUSED, LAYER_NOTHING, 4 * SECOND);

		host_says(f, PROCESS_ABSENT, 0);
		f->script = cases[i].script;
		f->script_asked = NOW - 3900;
		BOTH(f, cases[i].want);
		if (f->script == SCRIPT_NONE)
			continue;
		f->script_asked = f->probe.silent_since - 1; /* of an earlier series */
		BOTH(f, "suspect");
	}
}

static void test_tilt(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_LATE, LAYER_NOTHING, 4 * SECOND);

	f->self.tilt = true;
	snprintf(f->self.tilt_why, sizeof(f->self.tilt_why), "mhad stood still for 60 s");
	host_is_silent(f);
	BOTH(f, "manager_ill");
	assert_non_null(strstr(verdict_of(f).why, "60 s"));
	slaves_say(f, SIGHT_CANNOT);
	BOTH(f, "host_dead"); /* lifted: others looked, and agree */
	slaves_say(f, SIGHT_ILL);
	BOTH(f, "manager_ill");
	host_says(f, PROCESS_LISTENING, 'T');
	BOTH(f, "manager_ill");
	f->probe.how = HOW_REFUSED;
	host_says(f, PROCESS_ABSENT, 0);
	BOTH(f, "process_dead"); /* lifted: the host itself says so */
	f = quiet();
	f->self.tilt = true;
	BOTH(f, "healthy");
}

static void test_alone(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_LATE, LAYER_NOTHING, 60 * SECOND);

	host_is_silent(f);
	falls_silent(f, 0);
	falls_silent(f, 1);
	f->witnesses[0].silent_since = f->probe.silent_since;
	BOTH(f, "manager_cut");
	f->witnesses[0].silent_since = 0;
	witness_says(f, SIGHT_CANNOT); /* we are not alone, the slaves are elsewhere */
	BOTH(f, "split_view");
}

static void test_split(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_LATE, LAYER_NOTHING, 4 * SECOND);
	struct fact_replica *r = &f->replicas[1];

	host_is_silent(f);
	slaves_say(f, SIGHT_CANNOT);
	witness_says(f, SIGHT_CANNOT);
	falls_silent(f, 1);
	BOTH(f, "split_view");
	assert_non_null(strstr(verdict_of(f).why, "db3"));
	r->ignore_fail = true;
	BOTH(f, "host_dead");
	r->ignore_fail = false;
	r->on_master_host = true; /* of course it is silent */
	BOTH(f, "host_dead");
	r->on_master_host = false;
	r->follows = false;
	BOTH(f, "host_dead");
	r->follows = true;
	r->silent_since = r->missed = f->probe.silent_since + 3 * SECOND; /* later: still */
	BOTH(f, "split_view");
	r->missed = f->probe.silent_since - 2000;
	r->silent_since = r->missed - 9 * SECOND;
	BOTH(f, "split_view");
	r->missed--; /* it was dead while the master still lived */
	BOTH(f, "host_dead");
	r->missed = 0;
	BOTH(f, "host_dead");
	r->missed = f->probe.silent_since;
	host_says(f, PROCESS_ABSENT, 0); /* proof: nobody can follow it */
	BOTH(f, "process_dead");
	host_says(f, PROCESS_LISTENING, 'T');
	BOTH(f, "hung");
}

/* It is back before the master has been looked at again: the cut healed, and not half of it. */
static void test_cut_heals(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_LATE, LAYER_NOTHING, 20 * SECOND);
	struct fact_replica *r = &f->replicas[1];

	host_is_silent(f);
	slaves_say(f, SIGHT_CANNOT);
	BOTH(f, "host_dead");
	r->was_missed = f->probe.silent_since + 700;
	r->back = NOW - 2019;
	BOTH(f, "suspect");
	assert_int_equal(verdict_of(f).again, NOW + 1);
	r->back--;
	EACH(f, "suspect", "host_dead");
	r->back = NOW - 2979;
	EACH(f, "suspect", "host_dead");
	r->back--;
	BOTH(f, "host_dead");
	r->back = NOW - 50;
	BOTH(f, "suspect");
	r->on_master_host = true; /* it says nothing of the network */
	BOTH(f, "host_dead");
	r->on_master_host = false;
	r->was_missed =
	        f->probe.silent_since + 5 * SECOND; /* a trouble of its own, later or earlier */
	BOTH(f, "host_dead");
	r->was_missed = f->probe.silent_since - 2001;
	BOTH(f, "host_dead");
	r->was_missed++;
	BOTH(f, "suspect");
	host_says(f, PROCESS_ABSENT, 0); /* proof needs no count; MHA counts */
	EACH(f, "suspect", "process_dead");
	/* The first that comes through is our connection, the next the host's answer. */
	f = deaf(HOW_LATE, LAYER_TCP, 20 * SECOND);
	falls_silent(f, 0);
	falls_silent(f, 1);
	f->host.heard = NOW - 5;
	BOTH(f, "suspect");
	host_says(f, PROCESS_LISTENING, 'S');
	BOTH(f, "suspect");
	witness_says(f, SIGHT_OPEN); /* not all are away, and its host can be asked */
	BOTH(f, "hung");
	f->host.process = PROCESS_UNKNOWN;
	BOTH(f, "suspect");
	f->replicas[0].silent_since = f->replicas[1].silent_since = 0;
	slaves_say(f, SIGHT_OPEN);
	BOTH(f, "hung");
}

/* Until all have answered or fallen silent, nobody is said to be split off; but not for ever. */
static void test_split_waits(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_LATE, LAYER_NOTHING, 2999);

	host_is_silent(f);
	falls_silent(f, 1);
	BOTH(f, "suspect");
	assert_int_equal(verdict_of(f).again, NOW + 1);
	f->replicas[0].looked = NOW - 50;
	BOTH(f, "suspect"); /* the witness */
	witness_says(f, SIGHT_CANNOT);
	BOTH(f, "split_view");
	f = deaf(HOW_LATE, LAYER_NOTHING, 3000);
	host_is_silent(f);
	falls_silent(f, 1);
	BOTH(f, "split_view");
}

/* Powered off together with the master, it leads nowhere: it does not block. */
static void test_silent_witness(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_LATE, LAYER_NOTHING, 4 * SECOND);

	host_is_silent(f);
	slaves_say(f, SIGHT_CANNOT);
	f->witnesses[0].silent_since = f->probe.silent_since;
	f->witnesses[0].missed = f->probe.silent_since + 500;
	BOTH(f, "host_dead");
	f->witnesses[0].sight = SIGHT_ILL;
	f->witnesses[0].asked = NOW - 100;
	BOTH(f, "host_dead");
}

/* ---- words ---- */

static void test_why(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_REFUSED, LAYER_NOTHING, 20);

	f->probe.failures = 2;
	host_says(f, PROCESS_ABSENT, 0);
	assert_string_equal(verdict_of(f).why,
	        "connection refused (2 looks failed in 0.02 s); mha-node on the host of db1:3306: "
	        "no "
	        "such process (asked 0.01 s ago); last answer 0.92 s ago");
	f = deaf(HOW_LATE, LAYER_NOTHING, 12400);
	host_is_silent(f);
	slaves_say(f, SIGHT_SEES);
	f->n_replicas = 1;
	assert_string_equal(verdict_of(f).why, "the host of db2 still reaches it; no answer (13 "
	                                       "looks failed in 12 s); its host is "
	                                       "silent, last heard 13 s ago; db2's host reaches it "
	                                       "(asked 0.04 s ago); last answer "
	                                       "13 s ago");
}

/* Whatever foreign servers say, it is one line of valid text that ends well. */
static void test_why_of_many(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_UNREACHABLE, LAYER_NOTHING, 4 * SECOND);
	struct verdict v;

	snprintf(f->probe.text, sizeof(f->probe.text), "a\nb\xff\xc3\xa4");
	f->n_replicas = FACT_REPLICAS;
	for (int i = 0; i < FACT_REPLICAS; i++) {
		f->replicas[i] = f->replicas[0];
		snprintf(f->replicas[i].name, FACT_NAME, "s\xc3\xa4ule%d", i);
	}
	slaves_say(f, SIGHT_CANNOT);
	v = verdict_of(f);
	assert_non_null(strstr(v.why, "(a b?\xc3\xa4)"));
	assert_non_null(strstr(v.why, "...; last answer 4.9 s ago"));
	assert_int_equal(strlen(v.why), sizeof(v.why) - 1);
	assert_null(strchr(v.why, '\n'));
}

/* What is missing, when nothing can be said yet. */
static void test_why_it_waits(void **state)
{
	(void)state;
	struct facts *f = deaf(HOW_CUT, LAYER_NOTHING, 3 * SECOND);

	f->host.reach = REACH_UNKNOWN;
	for (int i = 0; i < 2; i++)
		f->replicas[i].looked = NOW - 50;
	f->probe.failed_connects = 1;
	assert_non_null(strstr(verdict_of(f).why, "no connection was tried since; "));
	f->probe.failed_connects = 2;
	assert_non_null(strstr(verdict_of(f).why, "no other evidence confirms that it is dead; "));
	f->n_replicas = 0;
	witness_says(f, SIGHT_ILL);
	assert_non_null(strstr(verdict_of(f).why, "a second kind of evidence is missing; "));
	f->detection = DETECT_MHA;
	f->probe.failures = 3;
	assert_non_null(strstr(verdict_of(f).why, "it is looked at again; "));
}

static void test_clean(void **state)
{
	(void)state;
	char text[] =
	        "a\x01\x7f\xc3\xa4\xc0\x80\xe2\x82\xac\xed\xa0\x80\xf0\x9f\x98\x80\xf4\x90\x80\x80"
	        "\xe2\x82";

	verdict_clean(text);
	assert_string_equal(text, "a  \xc3\xa4??\xe2\x82\xac???\xf0\x9f\x98\x80??????");
}

static void test_names(void **state)
{
	(void)state;
	enum verdict_code c;

	for (int i = 0; i < VERDICT_COUNT; i++) {
		assert_true(verdict_by_name(verdict_name((enum verdict_code)i), &c));
		assert_int_equal(c, i);
		assert_true(*verdict_sentence(c));
	}
	assert_false(verdict_by_name("dead", &c));
	assert_string_equal(verdict_kind_name(verdict_kind_of(VERDICT_HUNG)), "dead");
	assert_string_equal(verdict_kind_name(verdict_kind_of(VERDICT_STALLED)), "choice");
}

/* ---- whatever the facts ---- */

static uint64_t dice_state;

static unsigned dice(unsigned n)
{
	dice_state = dice_state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(dice_state >> 33) % n;
}

/* Now and then nothing, else one of the last seconds: close together, so that orders and limits mix. */
static int64_t instant(void)
{
	return dice(5) ? NOW - dice(60) * 100 : 0;
}

static enum fact_sight sight(void)
{
	static const enum fact_sight all[] = { SIGHT_NONE, SIGHT_SEES, SIGHT_OPEN, SIGHT_REFUSED,
		SIGHT_CANNOT, SIGHT_CANNOT, SIGHT_CANNOT, SIGHT_ILL };

	return all[dice(ARRAY_LEN(all))];
}

static void random_replica(struct fact_replica *r, int i)
{
	static const int errors[] = { 0, 0, 0, 2003, 2013, 1236 };

	memset(r, 0, sizeof(*r));
	snprintf(r->name, sizeof(r->name), "db%d", i + 2);
	r->ignore_fail = !dice(5);
	r->on_master_host = !dice(5);
	r->up = dice(4);
	r->looked = instant();
	r->silent_since = dice(4) ? 0 : instant();
	r->missed = r->silent_since && dice(2) ? r->silent_since + dice(20) * 100 : 0;
	r->heard = dice(2) ? instant() : NOW - 20000;
	r->between = r->heard ? r->heard - 100 * (1 + dice(10)) : 0;
	r->heartbeat = dice(3) ? 0 : 500 * dice(5);
	r->follows = dice(5);
	r->io_errno = errors[dice(ARRAY_LEN(errors))];
	r->io_error_seen = r->io_errno ? instant() : 0;
	r->sight = sight();
	r->sight_asked = instant();
}

static void random_probe(struct fact_probe *p)
{
	static const int codes[] = { 0, 1040, 1045, 1053, 1205, 1290, 1021 };
	static const enum fact_how hows[] = { HOW_NEVER, HOW_FINE, HOW_ALIVE, HOW_ERROR, HOW_LOCKED,
		HOW_REFUSED, HOW_CUT, HOW_LATE, HOW_UNREACHABLE, HOW_REFUSED, HOW_LATE, HOW_LATE };

	memset(p, 0, sizeof(*p));
	p->how = hows[dice(ARRAY_LEN(hows))];
	p->layer = dice(2) ? LAYER_NOTHING : (enum fact_layer)dice(6);
	p->code = codes[dice(ARRAY_LEN(codes))];
	p->last_good = instant();
	p->silent_since = instant();
	p->first_failed = dice(8) ? p->silent_since + dice(15) * 100 : 0;
	p->failures = (int)dice(7);
	p->failed_connects = (int)dice(7);
	p->restarted = !dice(9);
	p->rewound = !dice(9);
	p->acks_waiting = (int)dice(4) - 1;
	p->ackers = (int)dice(3) - 1;
}

static void random_facts(struct facts *f)
{
	memset(f, 0, sizeof(*f));
	f->now = NOW;
	f->detection = (enum fact_detection)dice(2);
	f->interval = 100 * (1 + dice(10));
	f->restart_grace = dice(3) ? 0 : 500 * dice(10);
	random_probe(&f->probe);
	f->host = (struct fact_host){ .reach = (enum fact_reach)dice(4),
		.heard = instant(),
		.silent_since = instant(),
		.asked = instant(),
		.process = (enum fact_process)dice(4),
		.state = "SSRDT"[dice(5)],
		.young = !dice(3),
		.accept_queue = dice(4) ? 0 : 3,
		.disk_full = !dice(8),
		.disk_stuck = !dice(8) };
	f->self.tilt = !dice(5);
	f->script = dice(2) ? SCRIPT_NONE : (enum fact_script)dice(7);
	f->script_asked = instant();
	f->n_replicas = (int)dice(4);
	for (int i = 0; i < f->n_replicas; i++)
		random_replica(&f->replicas[i], i);
	f->n_witnesses = (int)dice(3);
	for (int i = 0; i < f->n_witnesses; i++)
		f->witnesses[i] = (struct fact_witness){ .on_master_host = !dice(6),
			.sight = sight(),
			.asked = instant(),
			.silent_since = dice(4) ? 0 : instant() };
}

static int64_t deaf_since(const struct facts *f)
{
	const struct fact_probe *p = &f->probe;

	return p->first_failed > p->silent_since ? p->first_failed : p->silent_since;
}

static bool is_proven(const struct facts *f)
{
	return f->host.process == PROCESS_ABSENT && f->host.asked &&
	       f->host.asked >= f->probe.silent_since;
}

static bool says_down(const struct facts *f, enum fact_sight s, int64_t asked)
{
	return (s == SIGHT_OPEN || s == SIGHT_REFUSED || s == SIGHT_CANNOT) && asked &&
	       asked >= f->probe.silent_since;
}

static int downs(const struct facts *f)
{
	int n = 0;

	for (int i = 0; i < f->n_replicas; i++)
		n += !f->replicas[i].on_master_host &&
		     says_down(f, f->replicas[i].sight, f->replicas[i].sight_asked);
	for (int i = 0; i < f->n_witnesses; i++)
		n += !f->witnesses[i].on_master_host &&
		     says_down(f, f->witnesses[i].sight, f->witnesses[i].asked);
	return n;
}

/* What must never be called dead, said again in other words than those of the table. */
static void check_dead(const struct facts *f)
{
	const struct fact_probe *p = &f->probe;
	bool second = is_proven(f) || downs(f) > 0 || f->host.asked >= deaf_since(f);

	assert_true(p->how == HOW_REFUSED || p->how == HOW_CUT || p->how == HOW_UNREACHABLE ||
	            (p->how == HOW_LATE && p->layer < LAYER_READ));
	assert_true(f->script == SCRIPT_NONE ||
	            (f->script == SCRIPT_DOWN && f->script_asked >= p->silent_since));
	assert_true(!f->self.tilt || is_proven(f) || downs(f) > 0);
	for (int i = 0; i < f->n_replicas; i++) {
		const struct fact_replica *r = &f->replicas[i];
		bool arrived = r->follows && r->heard && r->between >= deaf_since(f);
		bool contradicted = r->io_errno || r->heartbeat || is_proven(f) ||
		                    says_down(f, r->sight, r->sight_asked);

		assert_false(arrived && !contradicted);
		assert_false(
		        r->sight == SIGHT_SEES && r->sight_asked >= deaf_since(f) && !is_proven(f));
		/* The host is silent, and so is a slave since the master's last word. */
		assert_false(!is_proven(f) && f->host.heard < deaf_since(f) && r->follows &&
		             !r->ignore_fail && !r->on_master_host &&
		             r->silent_since >= p->silent_since && r->silent_since);
		second = second || r->io_errno || r->heartbeat;
	}
	assert_true(second || f->detection == DETECT_MHA);
	assert_true(f->detection == DETECT_CORROBORATED || p->failures >= 4);
}

/* Between now and `again` time changes nothing; nor ever, if there is no `again`. */
static void check_again(struct facts *f, const struct verdict *v)
{
	int64_t last = v->again == CLOCK_NEVER ? NOW + 1000000000 : v->again - 1;

	assert_true(v->again > NOW);
	for (int i = 0; i < 3; i++) {
		f->now = i ? NOW + (last - NOW) / i : NOW + 1;
		if (f->now <= last)
			assert_int_equal(verdict_of(f).code, v->code);
	}
	f->now = NOW;
}

/* Each sign of life by itself ends any verdict of death. */
static void check_life(struct facts *f)
{
	struct facts *g = xmalloc(sizeof(*g));

	*g = *f;
	g->n_replicas = f->n_replicas + 1;
	random_replica(&g->replicas[f->n_replicas], 9);
	g->replicas[f->n_replicas].sight = SIGHT_SEES;
	g->replicas[f->n_replicas].sight_asked = NOW;
	if (f->probe.first_failed <= NOW)
		assert_int_equal(verdict_of(g).code, VERDICT_MANAGER_CUT);
	*g = *f;
	g->probe.how = HOW_FINE;
	assert_int_not_equal(verdict_of(g).kind, VERDICT_DEAD);
	*g = *f;
	g->self.tilt = true;
	if (!is_proven(f) && !downs(f))
		assert_int_equal(verdict_of(g).code, VERDICT_MANAGER_ILL);
	free(g);
}

static void test_any_facts(void **state)
{
	(void)state;
	struct facts *f = xmalloc(sizeof(*f));
	int dead = 0;

	for (int i = 0; i < 100000; i++) {
		struct verdict v;

		dice_state = (uint64_t)i * 977 + 1;
		dice(2);
		random_facts(f);
		v = verdict_of(f);
		reached[verdict_row_of(f)] = true;
		assert_true(*v.why);
		assert_int_equal(v.kind, verdict_kind_of(v.code));
		check_again(f, &v);
		if (v.kind != VERDICT_DEAD)
			continue;
		dead++;
		check_dead(f);
		check_life(f);
	}
	assert_true(dead > 1000); /* else the dice do not test much */
	free(f);
}

/* The last of all: no row is there for nothing. */
static void test_all_rows_were_reached(void **state)
{
	(void)state;
	for (int i = 0; i < verdict_rows(); i++)
		if (!reached[i])
			fail_msg("nothing reaches row \"%s\"", verdict_row_name(i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_alive_codes),
		cmocka_unit_test(test_shutting_down),
		cmocka_unit_test(test_failed_write),
		cmocka_unit_test(test_odd_error_needs_time),
		cmocka_unit_test(test_late_write),
		cmocka_unit_test(test_fine_but),
		cmocka_unit_test(test_replication_cut),
		cmocka_unit_test(test_heartbeats_overdue),
		cmocka_unit_test(test_process_gone),
		cmocka_unit_test(test_process_gone_mha),
		cmocka_unit_test(test_grace),
		cmocka_unit_test(test_process_returns),
		cmocka_unit_test(test_refused_without_host),
		cmocka_unit_test(test_refused_and_nobody_else),
		cmocka_unit_test(test_votes_wait_for_the_others),
		cmocka_unit_test(test_votes_of_two),
		cmocka_unit_test(test_receivers),
		cmocka_unit_test(test_at_the_same_instant),
		cmocka_unit_test(test_old_troubles),
		cmocka_unit_test(test_hung),
		cmocka_unit_test(test_hung_or_filtered),
		cmocka_unit_test(test_refused_but_listening),
		cmocka_unit_test(test_host_without_ssh),
		cmocka_unit_test(test_host_dead),
		cmocka_unit_test(test_host_dead_waits_for_slaves),
		cmocka_unit_test(test_arrival_beats_death),
		cmocka_unit_test(test_checks_beat_death),
		cmocka_unit_test(test_lying_witness),
		cmocka_unit_test(test_script),
		cmocka_unit_test(test_tilt),
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_cut_heals),
		cmocka_unit_test(test_split_waits),
		cmocka_unit_test(test_silent_witness),
		cmocka_unit_test(test_why),
		cmocka_unit_test(test_why_of_many),
		cmocka_unit_test(test_why_it_waits),
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_all_rows_were_reached), /* without the dice's help */
		cmocka_unit_test(test_any_facts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
