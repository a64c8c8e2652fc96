/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verdict - what the evidence says of a master.  Runs on: any thread.  Logs: never.
 *
 * Pure: facts in, a verdict with its sentence out; no I/O, no clock.  The rows stand in verdict.c in
 * the order in which they are tried, and the first that fits is the verdict.  Facts are plain data
 * that can be saved and judged again later (evidence.h).
 *
 * Instants are those of clock.h; 0 means never.
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
	        "the master is silent to this host, but others hear it, or everything is silent "  \
	        "to this host")                                                                    \
	X(SPLIT_VIEW, "split_view", ALARM,                                                         \
	        "slaves or witnesses fell silent together with the master: they may still follow " \
	        "it on the other side of a cut")                                                   \
	X(WITNESS_VETO, "witness_veto", ALARM,                                                     \
	        "the secondary check does not confirm that the master is down")                    \
	X(HUNG, "hung", DEAD, "connections are accepted, but nothing answers any more")            \
	X(PROCESS_DEAD, "process_dead", DEAD, "the server's process is gone")                      \
	X(HOST_DEAD, "host_dead", DEAD, "the master's host is silent to everybody")

enum verdict_code {
#define VERDICT_ENUM(sym, ...) VERDICT_##sym,
	VERDICTS(VERDICT_ENUM)
#undef VERDICT_ENUM
	        VERDICT_COUNT
};

/* How deep the latest look got, and how it ended. */
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
	int code;             /* native error code of the latest look */
	char text[120];       /* its text */
	int64_t last_good;    /* end of the last good look */
	int64_t silent_since; /* nothing came from the server after this; 0: it is not silent */
	int failures;         /* looks in a row that failed; alive answers do not count */
	int failed_connects;  /* those of them that could not even log in: MHA's counter */
	bool was_good;        /* there was a good look since mhad watches it */
	bool restarted;       /* it came back from a restart and was not compared yet */
	bool rewound;         /* it was compared, and has less than its slaves */
	bool open;            /* the look that would count next is still on its way */
	int acks_waiting;     /* sessions that wait for a semi-sync acknowledgement; -1 not known */
	int ackers;           /* semi-sync slaves connected; -1 not known */
};

/* The master's host as mha-node on it says. */
enum fact_reach {
	REACH_UNKNOWN,
	REACH_UP,
	REACH_SILENT,
	REACH_TROUBLE /* it answers, but SSH does not work */
};
enum fact_process { PROCESS_UNKNOWN, PROCESS_ABSENT, PROCESS_THERE, PROCESS_LISTENING };
struct fact_host {
	enum fact_reach reach;
	int64_t heard;        /* last bytes from it */
	int64_t silent_since; /* 0: not silent */
	int64_t asked;        /* when the answer below was asked for: what it says is newer */
	enum fact_process process;
	char state; /* of the process in /proc: R S D T Z; 0 not known */
	bool young; /* the process is younger than the silence */
	bool disk_full, disk_stuck;
};

/* Somebody's own look at the master: made from his host, or by a witness. */
enum fact_sight {
	SIGHT_NONE,    /* not asked, or no answer yet */
	SIGHT_SEES,    /* the server's greeting or an error from it: it lives */
	SIGHT_OPEN,    /* accepted, but silent: what a hung server looks like */
	SIGHT_REFUSED, /* nobody listens there; the host lives */
	SIGHT_CANNOT,  /* silence */
	SIGHT_ILL,     /* he could not look, or could not be asked */
};

enum { FACT_NAME = 64, FACT_REPLICAS = 64, FACT_WITNESSES = 16 };
struct fact_replica {
	char name[FACT_NAME];
	bool ignore_fail, on_master_host;
	bool up;              /* its server answers us */
	int64_t silent_since; /* 0: it answers, or refuses */
	/* Something from the master arrived there in (between, heard]: an event or a heartbeat. */
	int64_t between, heard;
	bool follows;          /* its source is this master */
	bool io_running;       /* only ever a hint */
	int io_errno;          /* of the receiver: 2003, 2013... */
	int64_t io_error_seen; /* when that error was first seen; 0 none */
	enum fact_sight sight; /* of a check made from its host */
	int64_t sight_asked;
};

struct fact_witness {
	char name[FACT_NAME];
	bool on_master_host;
	enum fact_sight sight;
	int64_t asked;
	int64_t silent_since; /* of the witness itself towards us */
};

/* secondary_check_script */
enum fact_script {
	SCRIPT_NONE, /* not configured */
	SCRIPT_IDLE, /* configured, not asked in this series */
	SCRIPT_RUNNING,
	SCRIPT_DOWN,      /* 0: really down */
	SCRIPT_ILL,       /* 2: a monitoring host is unreachable */
	SCRIPT_REACHABLE, /* 3: others reach the master */
	SCRIPT_ODD,       /* anything else, or late */
};

struct fact_self {
	bool tilt; /* decisions are held */
	char tilt_why
	        [80]; /* "the clock stepped", "mhad stood still for 60 s", "12 of 40 clusters..." */
};

enum fact_detection { DETECT_MHA, DETECT_CORROBORATED };

struct facts {
	int64_t now;
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
