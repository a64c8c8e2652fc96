/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * failover_look - phase 1: look at everything, refuse in time.  Runs on: worker.
 */
#include "failover_impl.h"
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "clock.h"
#include "db.h"
#include "flap.h"
#include "guard.h"
#include "hookline.h"
#include "log.h"
#include "str.h"

enum { CONFIRM_MS = 1000, SILENT_MS = 200, LOCK_WAIT_MS = 1000 };

/* ---- reading ---- */

static void take_topology(struct failover *f, struct snapshot *s)
{
	struct topology *t = topology_classify(s, NULL);

	if (f->has_mode)
		t->mode = f->mode;
	election_free(f->election);
	f->election = NULL;
	topology_free(f->topology);
	snapshot_free(f->snapshot);
	f->snapshot = s;
	f->topology = t;
	for (size_t i = 0; i < f->n; i++)
		f->servers[i].topo = topology_find(t, f->servers[i].conf);
}

static void read_again(struct failover *f, struct run_io *io)
{
	take_topology(
	        f, snapshot_take(f->conf, &(struct snapshot_opts){ .deadline = fo_until(io, 15000),
	                                          .assume_dead = f->dead->conf }));
}

/*
 * Run again after a kill behind the point of no return, the new master is nobody's slave any more: the
 * picture has no master then, and what the journal knows counts.
 */
static bool check_master(struct failover *f, struct err *e)
{
	const struct topology *t = f->topology;

	if (f->past)
		return true;
	if (t->master && t->master->snap->conf == f->dead->conf)
		return true;
	if (t->master)
		err_set(e, ERR_PRECOND, 0, "%s is not the master: %s is", f->dead->conf->hostinfo,
		        t->master->snap->conf->hostinfo);
	else
		err_set(e, ERR_PRECOND, 0, "the slaves do not say that %s is their master",
		        f->dead->conf->hostinfo);
	return err_hint(e, "mhactl topology %s shows who follows whom", f->conf->name);
}

/* Taken up behind the point of no return: who was to follow and is not there any more is left to a person. */
static void miss(struct failover *f, struct run_io *io)
{
	for (size_t i = 0; i < f->n && f->past; i++) {
		struct fo_server *s = &f->servers[i];

		if (s->was_slave && s != f->dead && !str_is(s->conf->id, f->pinned) &&
		        !fo_is_slave(s))
			fo_set_aside(f, s, io, "it went away in the middle of the failover");
	}
}

static void note_received(struct failover *f)
{
	for (size_t i = 0; i < f->n; i++) {
		struct fo_server *s = &f->servers[i];
		const struct snapshot_channel *ch = fo_is_slave(s) ? s->topo->channel : NULL;

		snprintf(s->read.file, sizeof(s->read.file), "%s",
		        ch && ch->read_file ? ch->read_file : "");
		s->read.pos = ch ? ch->read_pos : 0;
	}
}

FO_STEP(fo_read)
{
	struct failover *f = ctx;

	read_again(f, io);
	if (!check_master(f, e))
		return false;
	f->has_mode = true;
	f->mode = f->topology->mode;
	run_note(io, "mode", json_integer(f->mode));
	fo_correct_received(f, io);
	note_received(f);
	miss(f, io);
	return true;
}

/* ---- is it dead? ---- */

bool fo_may_live(const struct failover *f)
{
	return verdict_kind_of(f->o.verdict) == VERDICT_CHOICE || f->o.verdict == VERDICT_HUNG ||
	       f->dead->conf->ping_type == CONF_PING_INSERT;
}

enum tcp { TCP_REFUSED, TCP_SILENT, TCP_OTHER };

struct tcp_try {
	int fd;
	int why; /* errno of connect() */
};

static struct tcp_try begin_connect(const char *address, int port)
{
	const struct addrinfo want = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM };
	struct tcp_try t = { .fd = -1, .why = EINVAL };
	struct addrinfo *to = NULL;
	char text[16];

	snprintf(text, sizeof(text), "%d", port);
	if (!address || getaddrinfo(address, text, &want, &to) != 0)
		return t;
	t.fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (t.fd >= 0)
		t.why = connect(t.fd, to->ai_addr, to->ai_addrlen) == 0 ? 0 : errno;
	freeaddrinfo(to);
	return t;
}

/* Refused: its host says that nobody listens there.  Silent: nothing comes from there at all. */
static enum tcp end_connect(struct tcp_try *t, int64_t deadline)
{
	struct pollfd p = { .fd = t->fd, .events = POLLOUT };
	socklen_t n = sizeof(t->why);
	bool silent = t->why == EINPROGRESS && poll(&p, 1, clock_left_poll(deadline)) == 0;

	if (t->why == EINPROGRESS && !silent &&
	        getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &t->why, &n) != 0)
		t->why = EINVAL;
	if (t->fd >= 0)
		close(t->fd);
	return silent                                          ? TCP_SILENT
	       : t->why == ECONNREFUSED                        ? TCP_REFUSED
	       : t->why == EHOSTUNREACH || t->why == ETIMEDOUT ? TCP_SILENT
	                                                       : TCP_OTHER;
}

/*
 * Both ports at once.  When the watch has found its host silent as a whole, one more try that is short will
 * do; and what does not answer now is not waited for again by each step that would ask that host.
 */
static void look_at_ports(struct failover *f, struct run_io *io)
{
	const struct conf_server *d = f->dead->conf;
	bool silent = f->o.verdict == VERDICT_HOST_DEAD;
	int64_t deadline = fo_until(io, silent ? SILENT_MS : CONFIRM_MS);
	struct tcp_try sql = begin_connect(d->ip, d->port),
	               ssh = begin_connect(d->ssh_address, d->ssh_port);

	f->cannot_close = end_connect(&sql, deadline) != TCP_OTHER;
	f->host_silent = end_connect(&ssh, silent ? deadline : 0) == TCP_SILENT && silent;
	if (f->host_silent)
		hookline_expect_silence(f->line, d);
}

FO_STEP(fo_confirm)
{
	struct failover *f = ctx;
	const struct conf_server *d = f->dead->conf;
	struct err why = { 0 };
	struct db_opts o = { .name = d->hostinfo,
		.address = d->ip,
		.port = (unsigned)d->port,
		.user = d->user,
		.password = d->password,
		.tls = (enum db_tls)d->tls,
		.tls_ca = d->tls_ca,
		.tls_cert = d->tls_cert,
		.tls_key = d->tls_key,
		.tls_fingerprint = d->tls_fingerprint,
		.public_key = d->public_key,
		.connect_ms = clock_left(fo_until(io, CONFIRM_MS)),
		.query_ms = CONFIRM_MS };
	AUTO(db) struct db *db = NULL;

	if (f->past || f->o.what_if || fo_may_live(f))
		return true;
	look_at_ports(f, io);
	if (f->cannot_close)
		return true;
	db = db_open(&o, &why);
	if (!db && why.kind != ERR_REFUSED)
		return true;
	err_set(e, ERR_PRECOND, why.code,
	        "The master %s is reachable via MySQL (error=%d)! Stop failover.", d->hostinfo,
	        why.code);
	return err_hint(e, "if it shall be replaced all the same: mhactl switch %s", f->conf->name);
}

/* ---- reasons not to ---- */

static bool refuse(struct err *e, const char *hint, const char *fmt, ...) PRINTF_LIKE(3, 4);
static bool refuse(struct err *e, const char *hint, const char *fmt, ...)
{
	char text[700];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err_set(e, ERR_PRECOND, 0, "%s", text);
	return err_hint(e, "%s", hint);
}

static bool check_flap(struct failover *f, struct err *e)
{
	const struct conf_server *first = f->conf->servers[0];
	struct flap_at at = { first->manager_workdir, f->conf->name, f->env.state_dir };
	int64_t window =
	        f->o.failover_interval < 0 ? first->failover_interval : f->o.failover_interval;
	struct flap flap;

	if (run_was_resumed(f->run) || f->o.dry)
		return true;
	if (f->o.ignore_last_failover)
		return flap_forget(&at, e);
	if (flap_check(&at, window, flap_now_ms(), &flap))
		return true;
	if (flap.mha[0])
		log_error("%s", flap.mha);
	return refuse(e, flap.hint, "%s", flap.text);
}

/*
 * MHA's rule: whoever else is dead must be marked ignore_fail, since he may have what nobody else has,
 * or follow the dead master on the other side of a cut.
 */
static bool check_others(struct failover *f, struct run_io *io, struct err *e)
{
	for (size_t i = 0; i < f->n; i++) {
		struct fo_server *s = &f->servers[i];
		const char *why;

		if (s == f->dead || !s->topo || s->topo->snap->state == SNAPSHOT_ALIVE)
			continue;
		why = s->topo->snap->err.kind == ERR_NONE ? "it does not answer"
		                                          : s->topo->snap->err.text;
		if (s->conf == f->o.absent) {
			fo_set_aside(f, s, io, "it is the master of before, and not back yet");
			continue;
		}
		if (s->conf->ignore_fail) {
			fo_set_aside(f, s, io, "%s (ignore_fail)", why);
			continue;
		}
		if (f->o.force) {
			fo_set_aside(f, s, io, "%s (forced)", why);
			continue;
		}
		return refuse(e,
		        "bring it back, or set ignore_fail=1 for it, or force the failover "
		        "(mhactl failover --force): it may have what no other slave has",
		        "Server %s is dead, but must be alive! Check server settings. (%s)",
		        s->conf->hostinfo, why);
	}
	return true;
}

/*
 * Findings that stop a failover, but for those that are handled here one by one: who is dead, and
 * slaves that are broken, which are left out and do not hold the others up.
 */
static bool check_findings(struct failover *f, struct run_io *io, struct err *e)
{
	for (size_t i = 0; i < f->topology->n_findings; i++) {
		const struct topology_finding *x = &f->topology->findings[i];
		struct fo_server *s = x->server ? fo_of(f, x->server->snap->conf) : NULL;

		if (!(x->stops & TOPOLOGY_STOPS_FAILOVER) || x->code == TOPOLOGY_SERVER_DEAD ||
		        x->code == TOPOLOGY_SERVER_LOST || x->code == TOPOLOGY_SERVER_REFUSED ||
		        x->code == TOPOLOGY_SERVER_UNUSABLE || (s && s->aside))
			continue;
		if (s && (x->code == TOPOLOGY_SQL_STOPPED_BY_ERROR ||
		                 x->code == TOPOLOGY_NOT_A_SLAVE ||
		                 x->code == TOPOLOGY_SLAVE_OF_ANOTHER)) {
			fo_set_aside(f, s, io, "%s", x->text);
			continue;
		}
		return refuse(
		        e, x->hint ? x->hint : "mhactl check repl shows all of it", "%s", x->text);
	}
	return true;
}

/* What it acknowledged last is on a server that nobody can ask. */
static bool check_acker(struct failover *f, struct err *e)
{
	if (!f->o.semisync || f->o.force)
		return true;
	for (size_t i = 0; i < f->n; i++)
		if (fo_is_slave(&f->servers[i]) &&
		        f->servers[i].topo->snap->semisync_replica_enabled == TRI_YES)
			return true;
	return refuse(e,
	        "bring the slave back that acknowledged last, or force the failover "
	        "(mhactl failover --force)",
	        "%s waited for semi-sync acknowledgements, and no slave that gives them is left: "
	        "what was acknowledged is on a server that cannot be asked",
	        f->dead->conf->hostinfo);
}

FO_STEP(fo_check)
{
	struct failover *f = ctx;
	size_t alive = 0;

	if (f->past)
		return true;
	if (!check_flap(f, e) || !check_others(f, io, e) || !check_findings(f, io, e) ||
	        !check_acker(f, e))
		return false;
	for (size_t i = 0; i < f->n; i++)
		alive += fo_is_slave(&f->servers[i]);
	if (!alive)
		return refuse(e, "start one, or see what its replication complains about",
		        "no slave of %s can be used", f->dead->conf->hostinfo);
	log_info("Starting %s based failover.", fo_by_gtid(f) ? "GTID" : "Non-GTID");
	return true;
}

/* ---- locks ---- */

static bool lock_one(struct failover *f, struct fo_server *s, struct run_io *io, struct err *e)
{
	(void)f;
	if (!s->lock)
		s->lock = repl_lock(s->conf, REPL_FAILOVER_LOCK, LOCK_WAIT_MS, run_deadline(io), e);
	return s->lock && fo_repl(s, run_deadline(io), e);
}

FO_STEP(fo_lock)
{
	return !fo_each_slave(ctx, io, NULL, lock_one, false, e) ||
	       err_hint(e, "another failover, switch or purge may be running there");
}

static bool locked_one(struct failover *f, struct fo_server *s, struct run_io *io, struct err *e)
{
	(void)f;
	return s->lock ? repl_lock_is_held(s->lock, run_deadline(io), e)
	               : err_set(e, ERR_PRECOND, 0, "the failover lock is not held");
}

FO_STEP(fo_locked)
{
	return !fo_each_slave(ctx, io, NULL, locked_one, false, e);
}

/* Who is gone altogether is no obstacle, but for the new master. */
static bool still_locked(struct failover *f, struct fo_server *s, struct run_io *io, struct err *e)
{
	struct repl_lock *again;
	struct err why = { 0 }, now = { 0 };

	if (s->lock && repl_lock_is_held(s->lock, fo_until(io, 5000), &why))
		return true;
	repl_unlock(TAKE(s->lock));
	again = repl_lock(s->conf, REPL_FAILOVER_LOCK, 0, fo_until(io, 5000), &now);
	if (!again && now.kind != ERR_PRECOND && s != f->fresh) {
		fo_set_aside(f, s, io, "it went away in the middle of the failover");
		return true;
	}
	s->lock = again;
	return refuse(e,
	        "see who else is at work there (another manager, a person), then fail over again",
	        "the failover lock on %s was lost in the middle: %s", s->conf->hostinfo,
	        again ? why.text : now.text);
}

bool fo_still_locked(struct failover *f, struct run_io *io, struct err *e)
{
	return !fo_each_slave(f, io, NULL, still_locked, false, e);
}

FO_STEP(fo_unlock)
{
	struct failover *f = ctx;

	(void)io;
	(void)e;
	for (size_t i = 0; i < f->n; i++) {
		repl_unlock(f->servers[i].lock);
		f->servers[i].lock = NULL;
	}
	return true;
}

/* ---- what would be lost ---- */

/* The disk of the dead master, as a place to look. */
static struct catchup_place disk_of(const struct failover *f)
{
	return (struct catchup_place){
		.kind = CATCHUP_BINLOG, .server = f->dead->conf, .door = f->dead->door
	};
}

static const struct topology_server *latest_of(const struct failover *f)
{
	const struct topology_server *best = NULL;

	for (size_t i = 0; i < f->n; i++) {
		const struct fo_server *s = &f->servers[i];

		if (fo_is_slave(s) && (!best || elect_received_cmp(f->topology, s->topo, best) > 0))
			best = s->topo;
	}
	return best;
}

/* Everything that any slave has received, executed or not. */
static char *received_by_all(const struct failover *f)
{
	enum gtid_dialect d =
	        f->topology->mode == TOPOLOGY_GTID_MARIADB ? GTID_MARIADB : GTID_MYSQL;
	struct gtid_set *all = gtid_set_new(d);
	char *text;

	for (size_t i = 0; i < f->n; i++) {
		const struct fo_server *s = &f->servers[i];
		const struct snapshot_channel *ch = s->topo ? s->topo->channel : NULL;
		const struct gtid_set *more[2] = { s->topo ? s->topo->snap->executed : NULL,
			ch ? (d == GTID_MYSQL ? ch->retrieved : ch->gtid_io_pos) : NULL };

		for (size_t k = 0; k < 2; k++)
			if (more[k]) {
				struct gtid_set *sum = gtid_set_union(all, more[k]);

				gtid_set_free(all);
				all = sum;
			}
	}
	text = gtid_set_format(all);
	gtid_set_free(all);
	return text;
}

/* mha-node was there to say no. */
static bool node_answered(const struct err *why)
{
	return why->kind != ERR_UNREACHABLE && why->kind != ERR_REFUSED && why->kind != ERR_LOST &&
	       why->kind != ERR_CANCELED && !(why->kind == ERR_PRECOND && !why->code);
}

static bool is_rewound(const struct err *why)
{
	return why->kind == ERR_PRECOND &&
	       (why->code == SAVE_SHORTER || why->code == SAVE_DIVERGED ||
	               why->code == SAVE_NO_EVENT);
}

/* By GTID a log that ends early looks like one that has nothing new: the place up to which was received tells. */
static bool lacks_place(const struct failover *f, const struct snapshot_channel *ch,
        struct run_io *io, struct err *ret_why)
{
	struct catchup_place disk = disk_of(f);
	struct catchup_have h = { .file = ch->read_file, .pos = ch->read_pos };
	struct catchup_found found;

	return ch->read_file && *ch->read_file &&
	       !catchup_count(&disk, &h, fo_until(io, 60000), &found, ret_why) &&
	       is_rewound(ret_why);
}

/*
 * Whether the dead master's disk can be read, and what no slave has of it.  A log that ends before what a
 * slave received has lost its end: the slaves then know more than it does.
 */
static void look_at_disk(struct failover *f, struct run_io *io)
{
	struct catchup_place disk = disk_of(f);
	const struct topology_server *latest = latest_of(f);
	const struct snapshot_channel *ch = latest ? latest->channel : NULL;
	AUTO(free) char *have = fo_by_gtid(f) ? received_by_all(f) : NULL;
	struct catchup_have h = { .gtids = have, .newest = ch ? ch->read_file : NULL };
	struct err why = { 0 };

	if (!ch)
		return;
	if (!have) {
		h.file = ch->read_file;
		h.pos = ch->read_pos;
	}
	f->tail_known = catchup_count(&disk, &h, fo_until(io, 60000), &f->tail, &why);
	f->rewound = is_rewound(&why) || (f->tail_known && have && lacks_place(f, ch, io, &why));
	f->ssh = f->tail_known || node_answered(&why);
	snprintf(f->ssh_why, sizeof(f->ssh_why), "%.230s", why.text);
}

static bool read_limit(const char *text, uint64_t *ret_n, bool *ret_bytes)
{
	static const struct {
		char unit;
		uint64_t times;
	} units[] = { { 'k', 1000 }, { 'm', 1000000 }, { 'g', 1000000000 } };
	char *end;
	uint64_t n = strtoull(text, &end, 10);

	*ret_bytes = *end != '\0';
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if ((*end | 0x20) == units[i].unit)
			n *= units[i].times;
	*ret_n = n;
	return end != text;
}

/* Whoever cannot be asked may be the one who acknowledged. */
static bool may_have_acked(const struct failover *f, const struct fo_server *s)
{
	return s != f->dead && s->conf != f->o.absent && s->topo && !fo_is_slave(s) &&
	       (s->topo->snap->state != SNAPSHOT_ALIVE ||
	               s->topo->snap->semisync_replica_enabled == TRI_YES);
}

/* Semi-sync that worked has brought what was acknowledged to a slave that is there. */
static bool is_acked(const struct failover *f)
{
	bool acks = false;

	for (size_t i = 0; i < f->n && f->o.semisync; i++) {
		const struct fo_server *s = &f->servers[i];

		if (may_have_acked(f, s))
			return false;
		acks |= fo_is_slave(s) && s->topo->snap->semisync_replica_enabled == TRI_YES;
	}
	return acks;
}

static void name_loss(struct failover *f)
{
	f->loss[0] = '\0';
	if ((f->rewound && !f->tail.transactions) ||
	        (f->tail_known && !f->o.skip_save && !f->rewound))
		return;
	if (f->rewound)
		snprintf(f->loss, sizeof(f->loss),
		        "%llu transactions (%llu bytes) that the dead master wrote after it had "
		        "lost "
		        "some are left there: they belong to another history",
		        (unsigned long long)f->tail.transactions,
		        (unsigned long long)f->tail.bytes);
	else if (f->tail_known)
		snprintf(f->loss, sizeof(f->loss),
		        "%llu transactions (%llu bytes) that only the dead master has are left "
		        "there, as was asked for",
		        (unsigned long long)f->tail.transactions,
		        (unsigned long long)f->tail.bytes);
	else if (is_acked(f))
		snprintf(f->loss, sizeof(f->loss),
		        "the dead master's disk cannot be read (%.200s): what it had not sent is "
		        "lost; nothing of that was acknowledged, as semi-sync was on",
		        f->ssh_why);
	else
		snprintf(f->loss, sizeof(f->loss),
		        "the dead master's disk cannot be read (%.200s): what it had not sent to a "
		        "slave is lost, and nobody can say how much that is",
		        f->ssh_why);
}

static bool check_loss(struct failover *f, struct err *e)
{
	const char *limit = f->dead->conf->max_loss;
	uint64_t n, lost;
	bool bytes;

	if (!f->loss[0] || !limit || !*limit || f->o.allow_loss)
		return true;
	if (!read_limit(limit, &n, &bytes))
		return refuse(e, "see mhactl config explain max_loss",
		        "max_loss=%s is neither a number of transactions nor of bytes", limit);
	lost = bytes ? f->tail.bytes : f->tail.transactions;
	if (f->tail_known ? lost <= n : is_acked(f))
		return true;
	return refuse(e,
	        "make the dead master's host reachable over SSH, or accept the loss: mhactl "
	        "failover --allow-loss",
	        "max_loss=%s would be exceeded: %s", limit, f->loss);
}

FO_STEP(fo_count)
{
	struct failover *f = ctx;
	AUTO(free) char *text = NULL;

	if (f->past)
		return true;
	if (f->o.ssh_reachable == 0)
		snprintf(f->ssh_why, sizeof(f->ssh_why), "SSH is said not to work");
	else if (f->host_silent)
		snprintf(f->ssh_why, sizeof(f->ssh_why), "its host is silent");
	else
		look_at_disk(f, io);
	log_info("%s", f->ssh ? "SSH is reachable." : "SSH is NOT reachable.");
	name_loss(f);
	if (f->rewound)
		run_warn(io,
		        "%s has less in its binlog than a slave has received (rewound): its host "
		        "crashed without sync_binlog=1. Its log is not used (%s)",
		        f->dead->conf->hostinfo, f->ssh_why);
	if (f->tail_known) {
		text = catchup_text(&f->tail);
		log_info("Only the dead master has: %s", text);
	}
	if (f->loss[0])
		run_warn(io, "%s", f->loss);
	run_note(io, "ssh", json_boolean(f->ssh));
	run_note(io, "lost", json_string(f->loss));
	return check_loss(f, e);
}

/* ---- who ---- */

static void log_election(const struct failover *f)
{
	const struct election *v = f->election;

	for (size_t i = 0; i < v->n; i++) {
		const struct elect_candidate *c = &v->all[i];

		log_info("  %s%s%s%s%s", c->server->snap->conf->hostinfo,
		        c->latest ? ", latest" : "", c->candidate ? ", candidate" : "",
		        c->bad ? ", not eligible: " : "", c->bad ? c->bad : "");
		if (c->note)
			log_info("    %s", c->note);
	}
}

/* What was begun with one new master goes on with that one. */
static const struct conf_server *forced(struct failover *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->pinned[0] && str_is(f->servers[i].conf->id, f->pinned))
			return f->servers[i].conf;
	return f->o.new_master;
}

static bool elect_now(struct failover *f, struct err *e)
{
	AUTO(free) const struct conf_server **aside = xzalloc(sizeof(*aside) * (f->n + 1));
	struct elect_opts o = { .forced = forced(f), .without = aside, .purged_too = f->o.force };

	for (size_t i = 0; i < f->n; i++)
		if (f->servers[i].aside)
			aside[o.n_without++] = f->servers[i].conf;
	election_free(f->election);
	f->election = elect(f->topology, &o);
	if (f->election->chosen) {
		f->fresh = fo_of(f, f->election->chosen->snap->conf);
		return true;
	}
	err_set(e, ERR_PRECOND, 0, "%s", f->election->refusal);
	return err_hint(e, "%s", f->election->hint);
}

/*
 * The last moment to find that it lives.  Who is known to live, and is to be replaced all the same, is closed
 * by the steps that follow.
 */
static bool is_still_dead(const struct failover *f, struct err *e)
{
	if (!guard_is_up(f->guard) || fo_may_live(f) || run_was_resumed(f->run) || f->o.force)
		return true;
	err_set(e, ERR_PRECOND, 0, "%s answers again", f->dead->conf->hostinfo);
	return err_hint(e, "if it shall be replaced all the same: mhactl switch %s", f->conf->name);
}

FO_STEP(fo_elect)
{
	struct failover *f = ctx;

	fo_note_settings(f, io);
	if (f->pinned[0]) {
		f->fresh = fo_of(f, forced(f));
		return f->fresh || err_set(e, ERR_PRECOND, 0,
		                           "%s, which was to be the new master, is not configured "
		                           "any more",
		                           f->pinned);
	}
	if (!elect_now(f, e)) {
		fo_report(f, "None of existing slaves matches as a new master. %s",
		        f->election->refusal);
		return false;
	}
	log_election(f);
	log_info("New master is %s (%s)", f->fresh->conf->hostinfo, f->election->reason);
	run_note(io, "new_master", json_string(f->fresh->conf->id));
	if (!is_still_dead(f, e))
		return false;
	f->guarding = !f->o.dry;
	return true;
}

/* ---- after the freeze ---- */

/* What only it had received lies in the dead master's log, if that can be read; else it is as with those
 * who were dead before. */
static bool check_vanished(struct failover *f, struct run_io *io, struct err *e)
{
	for (size_t i = 0; i < f->n; i++) {
		struct fo_server *s = &f->servers[i];

		if (s == f->dead || !s->frozen || s->aside || fo_is_slave(s))
			continue;
		fo_set_aside(f, s, io, "it went away in the middle of the failover");
		if (s->conf->ignore_fail || f->o.force || fo_may_save(f))
			continue;
		return refuse(e,
		        "bring it back, or set ignore_fail=1 for it, or force the failover "
		        "(mhactl failover --force)",
		        "%s went away in the middle of the failover: it may have what no other "
		        "slave has",
		        s->conf->hostinfo);
	}
	return true;
}

/* A server that restarts with relay_log_recovery=1 drops what it has received and not applied. */
static void note_dropped(struct failover *f, struct run_io *io)
{
	for (size_t i = 0; i < f->n; i++) {
		struct fo_server *s = &f->servers[i];
		const struct snapshot_channel *ch = fo_is_slave(s) ? s->topo->channel : NULL;

		if (!ch || !ch->read_file || !s->read.file[0] ||
		        snapshot_pos_cmp(ch->read_file, ch->read_pos, s->read.file, s->read.pos) >=
		                0)
			continue;
		run_warn(io,
		        "%s had received up to %s:%llu and now only says %s:%llu: it has restarted "
		        "and dropped what it had not applied (relay_log_recovery)",
		        s->conf->hostinfo, s->read.file, (unsigned long long)s->read.pos,
		        ch->read_file, (unsigned long long)ch->read_pos);
	}
}

/* A server that was restarted since receives again, and its end of the lock is gone; nothing was decided yet. */
static bool freeze_again(struct failover *f, struct fo_server *s, struct run_io *io, struct err *e)
{
	const struct snapshot_channel *ch = s->topo->channel;
	int64_t deadline = fo_until(io, 10000);
	struct repl *r;

	(void)f;
	if (!s->frozen || !ch || ch->io_running == IO_NO)
		return true;
	run_warn(io, "%s receives again: its server was restarted, or somebody has started it",
	        s->conf->hostinfo);
	r = fo_repl(s, deadline, e);
	if (!r || !repl_stop_io(r, deadline, e))
		return false;
	if (s->lock && repl_lock_is_held(s->lock, deadline, NULL))
		return true;
	repl_unlock(TAKE(s->lock));
	s->lock = repl_lock(s->conf, REPL_FAILOVER_LOCK, LOCK_WAIT_MS, deadline, e);
	return s->lock != NULL;
}

/*
 * Nobody receives any more, so this is the last word.  Who has restarted since is read anew with all the
 * others.  The choice may change only as long as nobody was made level.
 */
FO_STEP(fo_latest)
{
	struct failover *f = ctx;
	const struct topology_server *latest;

	if (!f->pinned[0]) {
		read_again(f, io);
		fo_correct_received(f, io);
		note_dropped(f, io);
		if (fo_each_slave(f, io, NULL, freeze_again, false, e))
			return false;
		if (!check_vanished(f, io, e) || !elect_now(f, e))
			return false;
	}
	latest = latest_of(f);
	if (latest && latest->channel)
		log_info("The latest slave is %s, at %s:%llu", latest->snap->conf->hostinfo,
		        latest->channel->read_file ? latest->channel->read_file : "?",
		        (unsigned long long)latest->channel->read_pos);
	if (f->fresh) {
		fo_report(f, "Selected %s as a new master.", f->fresh->conf->hostinfo);
		run_note(io, "new_master", json_string(f->fresh->conf->id));
	}
	return true;
}

const struct topology_server *fo_latest_slave(const struct failover *f)
{
	return latest_of(f);
}

struct catchup_place fo_disk(const struct failover *f)
{
	return disk_of(f);
}
