/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch_impl - what the parts of watch share.  Runs on: loop.
 *
 *	watch.c		life of a watch, judging, the state
 *	watch_member.c	servers and witnesses
 *	watch_look.c	looks at the master: when, and what came of them
 *	watch_gather.c	asking everybody else
 *	watch_facts.c	facts (verdict.h) out of all that
 *	watch_tree.c	reading the topology: who is the master, what would stop a failover
 *	watch_gate.c	what forbids a failover
 *	watch_act.c	a failover begins and ends; the master of before
 *	watch_semisync.c	whether its commits are acknowledged as asked for
 *	watch_keep.c	what is remembered over restarts; MHA's status file
 *	watch_tell.c	log lines, alarms, history
 *	watch_json.c	for the control socket
 *	watch_glance.c	for metrics and pages
 */
#pragma once
#include "flap.h"
#include "log.h"
#include "link.h"
#include "probe.h"
#include "replica.h"
#include "snapshot.h"
#include "status_file.h"
#include "topology.h"
#include "watch.h"
#include "watch_self.h"
#include "witness.h"

/* Jobs outlive the watch that began them: they find it here, or NULL. */
struct watch_anchor {
	struct watch *w;
	unsigned holders;
};

/* One configured server. */
struct watch_member {
	struct watch *w;
	const struct conf_server *conf;
	struct link *link;
	struct replica *replica; /* NULL: it is the master, or none is known */
	enum fact_sight sight;   /* what its host sees of the master */
	int64_t sight_asked;
	bool was_up, was_silent; /* as last told to the evidence */
};

/* One host of the setting `witnesses`. */
struct watch_extra {
	const struct conf_server *conf;
	struct link *link;
	enum fact_sight sight;
	int64_t asked, silent_since, missed;
};

struct watch_look {
	struct probe *probe;
	struct loop_timer *timer; /* the next one */
	struct loop_timer *half;  /* the one under way has no answer at half its time */
	int64_t begun_us;         /* of the last one */
	int64_t deadline;
	int64_t due;            /* of the next one */
	int64_t took_ms;        /* of the last good one; -1 */
	int64_t took_us;        /* ... on a session that was there; -1 */
	int64_t cut_at;         /* the idle session ended; 0: a look came after that */
	int64_t lock_since;     /* the lock is refused since; 0: it is not */
	int64_t facts_at;       /* semi-sync was asked for */
	int64_t server_started; /* as the server said; 0: not known */
	char server_uuid[40];
	uint32_t server_id;
	char version[64];
	char holder[160];
	bool said_good; /* "Ping(SELECT) succeeded" stands since the last failure */
};

/* Of all looks so far: how long the good ones took on a session that was there. */
struct watch_figures {
	uint64_t counts[WATCH_SELF_BINS];
	int64_t sum_us;
	uint64_t failed;
};

struct watch_gather {
	struct loop_timer *timer;
	bool on;
	struct link_call *call; /* probe on the master's host */
	int64_t call_asked, call_pause;
	int64_t call_failed; /* the last one got no answer: when it was asked; 0: it did */
	struct loop_timer *call_timer;
	struct witness_ask *ask;
	int64_t ask_at, polled_at;
	int64_t hosts_again; /* while a death is settled: when hosts are asked again; 0: now */
	unsigned script_serial; /* answers to earlier questions are dropped */
};

struct watch_tree {
	struct snapshot_run *run;
	struct loop_timer *timer;
	bool entered;              /* holds a place in watch_self */
	bool urgent, again;        /* read as soon as possible; once more after this one */
	bool for_death;            /* the run under way takes the master for dead */
	int64_t read_at;           /* last one that ended; 0: none */
	unsigned failures;         /* in a row */
	char text[240], hint[160]; /* first finding that stops a failover; "" none */
	char start_text[240];      /* ... a start of the watch */
	char why_unknown[240];     /* why no master can be told */
	char mode[24];
};

/* As the master said when it was last asked. */
struct watch_semisync {
	bool enabled;
	bool used;     /* it was, at some time: it is asked for at each look */
	bool off_once; /* the last look said that it was switched off */
	bool fallen; /* it does not wait any more, or waits for more than can come */
	int64_t clients, count;
	char text[200]; /* what is wrong; "" nothing */
};

struct watch_pause {
	bool on;
	int64_t until; /* instant; CLOCK_NEVER */
	char reason[200], by[80];
};

struct watch {
	struct watch_env env;
	struct watch_opts opts;
	const struct conf *conf;
	struct watch_anchor *anchor;
	enum watch_state state;
	int64_t since, born;
	const struct conf_server *master;

	struct watch_member *members; /* one for each of conf->servers */
	struct watch_extra *extras;
	size_t n_extras;
	struct witness_hosts hosts;
	struct witness_set *witnesses;

	struct watch_look look;
	struct watch_figures figures;
	struct watch_gather gather;
	struct watch_tree tree;
	struct watch_pause pause;
	struct loop_timer *pause_timer;

	/* facts that are kept; the rest is put together when needed */
	struct fact_probe probe;
	struct fact_host host;
	enum fact_script script;
	int64_t script_asked;

	struct verdict verdict;
	int64_t verdict_since;
	struct evidence *evidence;
	struct loop_timer *judge; /* when time alone may change something */
	int64_t ring_at;          /* last picture */
	bool confirmed;           /* CONFIRMING: the last look failed too */
	int64_t confirm_from;
	bool told_silent, told_failed;

	const struct conf_server *absent; /* the master of before */
	const struct conf_server *co_master; /* of the master, when both were last seen; NULL: none */
	bool acked;                       /* its commits wait for acknowledgements that were given */
	struct watch_semisync semisync;
	char refused[240];                /* why the last attempt was; "" it was not */
	char refused_hint[304];           /* what to do about it */
	int64_t refused_until, refused_for;

	struct flap flap;
	bool flap_known, flap_running;
	int64_t flap_at;

	enum verdict_code alarmed; /* the alarm that stands; VERDICT_HEALTHY: none */
	bool report_due; /* of that, if no failover comes of it */
	struct loop_timer *alarm;

	struct status_file *status;
	enum status_file_state status_state;
	int64_t status_tried;

	bool save_running, save_again;
	char *remembered; /* id of the master in state.json */
	char remembered_uuid[40];
};

/* ---- watch.c */
void watch_judge(struct watch *w); /* soon: once, after the present callback */
void watch_judge_now(struct watch *w);
void watch_event(struct watch *w, enum watch_event ev);
void watch_set_master(struct watch *w, const struct conf_server *master); /* NULL: unknown */
/* Does the verdict demand a failover by the settings, and for long enough? */
bool watch_is_deadly(const struct watch *w);
int64_t watch_interval(const struct watch *w);
struct watch_anchor *watch_hold(struct watch *w);
void watch_let_go(struct watch_anchor *a);

/* ---- watch_member.c */
void watch_members_start(struct watch *w);
struct watch_member *watch_member(const struct watch *w, const struct conf_server *s);
void watch_member_follow(struct watch_member *m, size_t i); /* it is a slave: look at it */
int watch_member_priority(const struct watch *w, const struct conf_server *s);
void watch_witnesses_start(struct watch *w);

/* ---- watch_look.c */
void watch_look_start(struct watch *w); /* a master is known now */
void watch_look_stop(struct watch *w);
void watch_look_now(struct watch *w, int64_t deadline);
void watch_look_void(struct watch *w);
void watch_look_confirm(struct watch *w);

/* ---- watch_gather.c */
void watch_gather_start(struct watch *w); /* the master's silence began: ask everybody */
void watch_gather_stop(struct watch *w);
void watch_gather_void(struct watch *w);
void watch_gather_free(struct watch *w);
void watch_gather_host(struct watch *w);      /* the host alone */
void watch_gather_quiet(struct watch *w);     /* the slow questions of quiet times begin */
void watch_gather_witnesses(struct watch *w); /* who is asked: after a change of the master */

/* ---- watch_facts.c */
/* Borrowed until the next call, of any watch. */
const struct facts *watch_facts(const struct watch *w);

/* ---- watch_tree.c */
void watch_tree_start(struct watch *w);
void watch_tree_stop(struct watch *w);
void watch_tree_read(struct watch *w);  /* as soon as possible */
void watch_tree_death(struct watch *w); /* ... taking the master for dead; then watch_decided() */
void watch_decided(struct watch *w);

/* ---- watch_gate.c */
void watch_gate_refresh(struct watch *w); /* look at MHA's marks again, by a job */

/* ---- watch_semisync.c */
void watch_semisync_seen(struct watch *w, const struct probe_facts *f);
json_t *watch_semisync_json(const struct watch *w); /* null: not switched on there */

/* ---- watch_keep.c */
void watch_keep_load(struct watch *w);
void watch_keep_save(struct watch *w);
void watch_status(struct watch *w, enum status_file_state s);
void watch_status_good(struct watch *w);
void watch_status_end(struct watch *w);

/* ---- watch_tell.c */
void watch_log(const struct watch *w, enum log_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);
void watch_log_event(const struct watch *w, enum log_event ev, const char *fmt, ...)
        PRINTF_LIKE(3, 4);
/* By report_script of the master, which there must be. */
void watch_report(struct watch *w, const char *subject, const char *body);
void watch_note(const struct watch *w, const char *what, const char *by, const char *fmt, ...)
        PRINTF_LIKE(4, 5);
void watch_tell_verdict(struct watch *w, enum verdict_code before);
void watch_tell_state(struct watch *w, enum watch_state before);
void watch_tell_death(struct watch *w); /* MHA's lines */

/* watch_act.c: whether a finding about this server is none, since it is absent; the absent one may be back. */
bool watch_is_absent(const struct watch *w, const struct conf_server *s);
void watch_absent_seen(struct watch *w, const struct topology *t);
