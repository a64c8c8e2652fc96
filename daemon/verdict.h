/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verdict - what the evidence says of a master.  Runs on: any thread.  Logs: never.
 *
 * Pure: facts in, a verdict with its sentence out; no I/O, no clock.  The rows stand in verdict.c in
 * the order in which they are tried, and the first that fits is the verdict.  Facts are plain data
 * that can be saved and judged again later (evidence.h).
 *
 * Instants are those of clock.h; 0 means never.
 *
 * What counts for what:
 *
 * - Life beats death.  A sign of life counts when it is surely newer than the moment from which the
 *   master was deaf to us (the later one of probe.silent_since and probe.first_failed), and until the
 *   same observer says otherwise later, or the host says that the process is gone.  An arrival at a
 *   slave, or a greeting met from a slave's host, needs nobody else, wherever that slave lives: one
 *   on the master's own host says nothing about the network, but it says that the server lives.
 * - Witnesses that see the master must be at least half of the healthy observers; an ill one has no
 *   voice; one on the master's host has none at all.  Against a host that says "no such process"
 *   they have none either: they may look at a proxy or at an address that has moved.
 * - Signs of death count when they are newer than probe.silent_since, and only from other hosts
 *   than the master's.  "down" is said by the majority of the healthy observers, or by the slaves'
 *   receivers.  Accepted but silent (OPEN) is a sign of death.
 * - Together with the master fell silent: who is silent now and was not yet so well before the
 *   master was.  Everybody did: we are cut off.  A slave did that follows the master and matters: it
 *   may still follow it (split_view).  A witness alone leads nowhere and does not block.  And a
 *   slave that matters must have answered since, before silence alone is called death.
 * - A slave that fell silent together with the master and is back says that a cut has healed just now:
 *   what failed until then says nothing of the master, and is counted anew.
 * - A host that answers settles it: "no such process" is proof (no split, no tilt), and a server
 *   that listens there while nobody confirms our silence means that our road is cut.
 */
#pragma once
#include <stdint.h>
#include "err.h"
#include "str.h"

enum verdict_kind {
	VERDICT_GOOD,   /* nothing to do */
	VERDICT_WAIT,   /* not enough is known: look again */
	VERDICT_ALARM,  /* something is wrong that a failover does not mend, or that forbids one */
	VERDICT_CHOICE, /* it lives, after a fashion: a failover only where `failover_on` names it */
	VERDICT_DEAD,   /* a failover is the answer */
};

/*
 * X(symbol, name, kind, the sentence for people: what it means).  What was seen in the case at hand
 * is added by verdict.why.
 */
#define VERDICTS(X)                                                                                \
	X(UNKNOWN, "unknown", WAIT, "nothing is known of the master yet")                          \
	X(HEALTHY, "healthy", GOOD, "the master answers")                                          \
	X(SUSPECT, "suspect", WAIT, "the master does not answer; evidence is being gathered")      \
	X(RESTARTING, "restarting", WAIT,                                                          \
	        "the server's process is there or may come back: it is given time")                \
	X(SATURATED, "saturated", ALARM,                                                           \
	        "the master lives but takes no more connections: a failover would not help")       \
	X(REFUSING, "refusing", ALARM, "the master lives but turns mhad's account or host away")   \
	X(LOCKED, "locked", ALARM, "another manager watches this master")                          \
	X(READ_ONLY, "read_only", ALARM,                                                           \
	        "the master answers but takes no writes: it is read-only")                         \
	X(DISK_FULL, "disk_full", CHOICE, "the master answers but its disk is full")               \
	X(STALLED, "stalled", CHOICE, "the master answers reads, but commits do not end")          \
	X(ACK_STARVED, "ack_starved", ALARM,                                                       \
	        "commits wait for a semi-sync acknowledgement that does not come")                 \
	X(REPLICATION_CUT, "replication_cut", ALARM,                                               \
	        "the master is fine, but its slaves cannot reach it")                              \
	X(REWOUND, "rewound", CHOICE,                                                              \
	        "the master came back with less than its slaves have: it will use positions and "  \
	        "GTIDs a second time")                                                             \
	X(MANAGER_ILL, "manager_ill", ALARM,                                                       \
	        "mhad's own host was ill a moment ago: nothing is decided before it has looked "   \
	        "again")                                                                           \
	X(MANAGER_CUT, "manager_cut", ALARM,                                                       \
	        "this host is cut off: the master does not answer it, but others hear it, or "     \
	        "nobody else answers either")                                                      \
	X(SPLIT_VIEW, "split_view", ALARM,                                                         \
	        "slaves or witnesses fell silent together with the master: they may still follow " \
	        "it on the other side of a cut")                                                   \
	X(WITNESS_VETO, "witness_veto", ALARM,                                                     \
	        "the secondary check does not confirm that the master is down")                    \
	X(HUNG, "hung", DEAD, "the server is there, but nothing answers any more")                 \
	X(PROCESS_DEAD, "process_dead", DEAD, "the server's process is gone")                      \
	X(HOST_DEAD, "host_dead", DEAD, "the master's host is silent to everybody")

enum verdict_code {
#define VERDICT_ENUM(sym, ...) VERDICT_##sym,
	VERDICTS(VERDICT_ENUM)
#undef VERDICT_ENUM
	        VERDICT_COUNT
};

/*
 * How deep the latest look got by itself, and how it ended.  Each layer was answered: LATE at READ
 * means that the write is late.  What an earlier look built does not count: a query without answer
 * on an old connection got to NOTHING.
 */
#define FACT_LAYERS(X)                                                                             \
	X(NOTHING, "nothing")                                                                      \
	X(TCP, "tcp")           /* a connection was accepted */                                    \
	X(GREETING, "greeting") /* the server spoke */                                             \
	X(LOGIN, "login")                                                                          \
	X(READ, "read")                                                                            \
	X(WRITE, "write") /* a write was committed; ping_type INSERT only */
enum fact_layer {
#define FACT_LAYER_ENUM(sym, ...) LAYER_##sym,
	FACT_LAYERS(FACT_LAYER_ENUM)
#undef FACT_LAYER_ENUM
};

#define FACT_HOWS(X)                                                                               \
	X(NEVER, "never") /* no look has ended yet */                                              \
	X(FINE, "fine")                                                                            \
	X(REFUSED, "refused")         /* RST: nobody listens there */                              \
	X(CUT, "cut")                 /* EOF or RST on a living connection */                      \
	X(LATE, "late")               /* no answer by the deadline */                              \
	X(UNREACHABLE, "unreachable") /* no route, ICMP, our own network */                        \
	X(ALIVE, "alive")   /* it answered that it does not want us: 1040, 1045, 1129... */        \
	X(ERROR, "error")   /* a statement failed: 1290, 1021... */                                \
	X(LOCKED, "locked") /* the advisory lock is somebody else's */
enum fact_how {
#define FACT_HOW_ENUM(sym, ...) HOW_##sym,
	FACT_HOWS(FACT_HOW_ENUM)
#undef FACT_HOW_ENUM
};

struct fact_probe {
	enum fact_how how;
	enum fact_layer layer;
	int code;          /* native error code of the latest look */
	char text[120];    /* its text */
	int64_t last_good; /* end of the last good look */
	/* Nothing came from the server after this: the last bytes, or the EOF that a killed server's
	 * host sent; 0: it is not silent. */
	int64_t silent_since;
	int64_t first_failed; /* when the first look of the failures in a row began (CUT: the EOF) */
	int failures;         /* looks in a row that failed; alive answers do not count */
	int failed_connects;  /* those of them that could not even log in */
	bool was_good;        /* there was a good look since mhad watches it */
	bool restarted;       /* it came back from a restart and was not compared yet */
	bool rewound;         /* it was compared, and has less than its slaves */
	bool open;            /* the look that would count next is still on its way */
	int acks_waiting;     /* sessions that wait for a semi-sync acknowledgement; -1 not known */
	int ackers;           /* semi-sync slaves connected; -1 not known */
};

/* The master's host as mha-node on it says. */
#define FACT_REACHES(X)                                                                            \
	X(UNKNOWN, "unknown")                                                                      \
	X(UP, "up")                                                                                \
	X(SILENT, "silent")                                                                        \
	X(TROUBLE, "trouble") /* it answers, but SSH does not work */
enum fact_reach {
#define FACT_REACH_ENUM(sym, ...) REACH_##sym,
	FACT_REACHES(FACT_REACH_ENUM)
#undef FACT_REACH_ENUM
};

#define FACT_PROCESSES(X)                                                                          \
	X(UNKNOWN, "unknown")                                                                      \
	X(ABSENT, "absent")                                                                        \
	X(THERE, "there") /* and not listening */                                                  \
	X(LISTENING, "listening")
enum fact_process {
#define FACT_PROCESS_ENUM(sym, ...) PROCESS_##sym,
	FACT_PROCESSES(FACT_PROCESS_ENUM)
#undef FACT_PROCESS_ENUM
};

struct fact_host {
	enum fact_reach reach;
	int64_t heard;        /* last bytes from it */
	int64_t silent_since; /* 0: not silent */
	int64_t asked;        /* when the answer below was asked for: what it says is newer */
	enum fact_process process;
	char state;       /* of the process in /proc: R S D T Z; 0 not known */
	bool young;       /* the process is younger than the silence */
	int accept_queue; /* connections that wait there to be accepted; 0 also if not known */
	bool disk_full, disk_stuck;
};

/* Somebody's own look at the master: made from his host, or by a witness. */
#define FACT_SIGHTS(X)                                                                             \
	X(NONE, "none")       /* not asked, or no answer yet */                                    \
	X(SEES, "sees")       /* the server's greeting or an error from it: it lives */            \
	X(OPEN, "open")       /* accepted, but silent: what a hung server looks like */            \
	X(REFUSED, "refused") /* nobody listens there; the host lives */                           \
	X(CANNOT, "cannot")   /* silence */                                                        \
	X(ILL, "ill")         /* he could not look, or could not be asked */
enum fact_sight {
#define FACT_SIGHT_ENUM(sym, ...) SIGHT_##sym,
	FACT_SIGHTS(FACT_SIGHT_ENUM)
#undef FACT_SIGHT_ENUM
};

enum { FACT_NAME = 64, FACT_REPLICAS = 64, FACT_WITNESSES = 16 };
struct fact_replica {
	char name[FACT_NAME];
	bool ignore_fail, on_master_host;
	bool up;                  /* its server answers us */
	int64_t looked;           /* when the latest poll that it answered, or refused, was asked */
	int64_t silent_since;     /* its last sign of life; 0: it answers, or refuses */
	int64_t missed;           /* when the first poll without an answer was asked; 0: none */
	int64_t was_missed, back; /* the same of its last silence that ended, and when that ended */
	/*
	 * Something from the master arrived there in (between, heard]: an event or a heartbeat.
	 * `between` is when the earlier poll was asked, `heard` when the later one was answered.
	 */
	int64_t between, heard;
	int64_t heartbeat; /* ms: if the master is idle, one comes so often; 0 none or not known */
	bool follows;      /* its source is this master, by what it said last */
	bool io_running;   /* only ever a hint */
	int io_errno;      /* of the receiver: 2003, 2013... */
	int64_t io_error_seen; /* when that error was first seen; 0 none */
	enum fact_sight sight; /* of a check made from its host */
	int64_t sight_asked;
};

struct fact_witness {
	char name[FACT_NAME];
	bool on_master_host;
	enum fact_sight sight;
	int64_t asked;
	int64_t silent_since; /* of the witness itself towards us: its last sign of life */
	int64_t missed;       /* as of replicas */
};

/* secondary_check_script */
#define FACT_SCRIPTS(X)                                                                            \
	X(NONE, "none") /* not configured */                                                       \
	X(IDLE, "idle") /* configured, not asked in this series */                                 \
	X(RUNNING, "running")                                                                      \
	X(DOWN, "down")           /* 0: really down */                                             \
	X(ILL, "ill")             /* 2: a monitoring host is unreachable */                        \
	X(REACHABLE, "reachable") /* 3: others reach the master */                                 \
	X(ODD, "odd")             /* anything else, or late */
enum fact_script {
#define FACT_SCRIPT_ENUM(sym, ...) SCRIPT_##sym,
	FACT_SCRIPTS(FACT_SCRIPT_ENUM)
#undef FACT_SCRIPT_ENUM
};

struct fact_self {
	bool tilt; /* decisions are held */
	/* "the clock stepped", "mhad stood still for 60 s", "12 of 40 clusters..." */
	char tilt_why[80];
};

#define FACT_DETECTIONS(X)                                                                         \
	X(MHA, "mha")                                                                              \
	X(CORROBORATED, "corroborated")
enum fact_detection {
#define FACT_DETECTION_ENUM(sym, ...) DETECT_##sym,
	FACT_DETECTIONS(FACT_DETECTION_ENUM)
#undef FACT_DETECTION_ENUM
};

struct facts {
	int64_t now;
	char master[FACT_NAME]; /* "db1:3306"; for people */
	enum fact_detection detection;
	int64_t interval, restart_grace; /* ms */
	struct fact_probe probe;
	struct fact_host host;
	struct fact_self self;
	enum fact_script script;
	int64_t script_asked;
	int n_replicas, n_witnesses;
	struct fact_replica replicas[FACT_REPLICAS];
	struct fact_witness witnesses[FACT_WITNESSES];
};

struct verdict {
	enum verdict_code code;
	enum verdict_kind kind;
	char why[400]; /* what was seen, by whom: one line */
	/* When time alone may change the verdict: look again then at the latest; CLOCK_NEVER: only
	 * new facts change it. */
	int64_t again;
};

struct verdict verdict_of(const struct facts *f);

const char *verdict_name(enum verdict_code c);     /* "process_dead" */
const char *verdict_sentence(enum verdict_code c); /* what it means */
enum verdict_kind verdict_kind_of(enum verdict_code c);
const char *verdict_kind_name(enum verdict_kind k); /* "good", "wait", "alarm", "choice", "dead" */
bool verdict_by_name(const char *name, enum verdict_code *ret);

/* Make a text fit for facts, for verdicts and for JSON: one line of valid UTF-8.  In place. */
void verdict_clean(char *text);
