/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rejoin_look - who the server is, who its master would be, and what stands against it.  Runs on: worker.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "db.h"
#include "log.h"
#include "rejoin_impl.h"

enum { LOCK_WAIT_MS = 1000 };

/* ---- reading ---- */

static bool read_others(void *arg, size_t i, struct err *e)
{
	struct rejoin *r = arg;
	struct snapshot_opts o = { .deadline = clock_in(20000) };

	(void)e;
	if (i)
		r->snap_others = snapshot_take(&r->others, &o);
	else
		r->snap_one = snapshot_take(&r->one, &o);
	return true;
}

/* The server itself is not in this picture: whom do the others follow? */
static bool find_master(struct rejoin *r, struct err *e)
{
	const struct topology *t = r->topology;
	const struct conf_server *m = r->o.master ? r->o.master
	                              : t->master ? t->master->snap->conf
	                                          : NULL;
	const struct conf_server *x = r->o.target;

	if (m) {
		r->master = rj_of(r, m);
		r->master->at = topology_find(t, m)->snap;
		return true;
	}
	if (t->master_not_in_file)
		return rj_refuse(e, "mhactl switch or failover first: a master is no slave's place",
		        "the others follow %s, which may be %s itself", t->master_not_in_file,
		        x->hostinfo);
	return rj_refuse(
	        e, "name it: --master=HOST", "the other servers do not say who the master is");
}

/* A slave whose options are those of the cluster. */
static const struct topology_server *find_like(const struct rejoin *r)
{
	for (size_t i = 0; i < r->topology->n_servers; i++) {
		const struct topology_server *s = &r->topology->servers[i];

		if (s->channel && s->source && s->source->snap == r->master->at &&
		        s->snap->state == SNAPSHOT_ALIVE)
			return s;
	}
	return NULL;
}

/* Where no slave says how it is done here, the settings do. */
static enum topology_mode mode_of(const struct rejoin *r)
{
	const struct snapshot_server *m = r->master->at;
	bool auto_pos = r->o.target->use_gtid_auto_pos;

	if (r->like)
		return r->topology->mode;
	if (!auto_pos)
		return TOPOLOGY_POSITION;
	if (m->dialect && dialect_family(m->dialect) == FAMILY_MARIADB)
		return TOPOLOGY_GTID_MARIADB;
	return m->gtid_mode && str_is(m->gtid_mode, "ON") ? TOPOLOGY_GTID_MYSQL : TOPOLOGY_POSITION;
}

static enum repl_by by_of(const struct rejoin *r)
{
	if (r->mode == TOPOLOGY_GTID_MYSQL)
		return REPL_BY_AUTO;
	if (r->mode != TOPOLOGY_GTID_MARIADB)
		return REPL_BY_POSITION;
	return r->like && r->like->channel->using_gtid == USING_GTID_CURRENT_POS
	               ? REPL_BY_CURRENT_POS
	               : REPL_BY_SLAVE_POS;
}

static bool is_up(const struct snapshot_server *s, const char *what, struct err *e)
{
	if (s->state == SNAPSHOT_ALIVE)
		return true;
	return rj_refuse(e, "bring it up first; mhactl check repl says what is wrong with it",
	        "%s %s does not answer as it should: %s", what, s->conf->hostinfo,
	        s->err.kind == ERR_NONE ? snapshot_state_name(s->state) : s->err.text);
}

bool rj_follows_master(const struct rejoin *r, const struct snapshot_channel *ch)
{
	const struct conf_server *m = r->master->conf;

	return ch && ch->source_port == (unsigned)m->port &&
	       (str_is(ch->source_host, m->hostname) || str_is(ch->source_host, m->ip));
}

static const struct snapshot_channel *own_channel(const struct rejoin *r)
{
	const struct snapshot_server *t = r->target->at;

	for (size_t i = 0; i < t->n_channels; i++)
		if (rj_follows_master(r, &t->channels[i]))
			return &t->channels[i];
	return NULL;
}

RJ_STEP(rj_read)
{
	struct rejoin *r = ctx;
	const struct snapshot_channel *ch;

	(void)io;
	topology_free(r->topology);
	snapshot_free(r->snap_one);
	snapshot_free(r->snap_others);
	r->topology = NULL;
	r->snap_one = r->snap_others = NULL;
	if (r->others.n_servers)
		fan_run(2, 0, read_others, r, NULL);
	if (!r->snap_others)
		return rj_refuse(e, "add the master to the cluster's file",
		        "there is no other server than %s", r->o.target->hostinfo);
	r->topology = topology_classify(r->snap_others, NULL);
	r->target->at = &r->snap_one->servers[0];
	if (!is_up(r->target->at, "the server", e) || !find_master(r, e) ||
	        !is_up(r->master->at, "the master", e))
		return false;
	r->like = find_like(r);
	r->mode = mode_of(r);
	r->by = by_of(r);
	ch = own_channel(r);
	r->already = ch && ch->io_running == IO_YES && ch->sql_running && !r->o.clone;
	if (r->already)
		log_info("%s is a slave of %s already, and replicates.", r->o.target->hostinfo,
		        r->master->conf->hostinfo);
	else
		log_info("%s shall be a slave of %s, by %s.", r->o.target->hostinfo,
		        r->master->conf->hostinfo, topology_mode_name(r->mode));
	run_note(io, "master", json_string(r->master->conf->id));
	return true;
}

RJ_WHEN(rj_has_work)
{
	const struct rejoin *r = ctx;

	return !r->already || r->acted;
}

/* ---- who is it? ---- */

static bool check_ids(struct rejoin *r, struct err *e)
{
	const struct snapshot_server *t = r->target->at;

	if (!t->server_id)
		return rj_refuse(e, "give it a server_id of its own (my.cnf, SET GLOBAL server_id)",
		        "%s has server_id 0, and could not be a slave", t->conf->hostinfo);
	for (size_t i = 0; i < r->snap_others->n_servers; i++) {
		const struct snapshot_server *s = &r->snap_others->servers[i];

		if (s->was_read && s->server_id == t->server_id)
			return rj_refuse(e,
			        "give it a server_id of its own (my.cnf, SET GLOBAL server_id)",
			        "%s has the server_id %u of %s", t->conf->hostinfo, t->server_id,
			        s->conf->hostinfo);
		if (s->was_read && t->uuid && str_is(s->uuid, t->uuid))
			return rj_refuse(e,
			        "stop it, remove auto.cnf from its data directory, start it: it "
			        "gets a new one",
			        "%s has the server_uuid %s of %s", t->conf->hostinfo, t->uuid,
			        s->conf->hostinfo);
	}
	return true;
}

static bool check_versions(struct rejoin *r, struct run_io *io, struct err *e)
{
	const struct snapshot_server *t = r->target->at, *m = r->master->at;
	const char *why = NULL;

	if (dialect_family(t->dialect) != dialect_family(m->dialect))
		return rj_refuse(e, "use a server of the master's family",
		        "%s is %s and its master would be %s", t->conf->hostinfo, t->version,
		        m->version);
	if (dialect_can_follow(t->dialect, m->dialect, &why))
		return true;
	return rj_object(r, io, e, "upgrade it, or force it (--force) if you know that it works",
	        "%s is %s and its master %s: %s", t->conf->hostinfo, t->version, m->version, why);
}

static bool is_on(const char *gtid_mode)
{
	return gtid_mode && str_starts(gtid_mode, "ON");
}

static bool check_logging(struct rejoin *r, struct run_io *io, struct err *e)
{
	const struct snapshot_server *t = r->target->at, *m = r->master->at;

	if (m->log_bin == TRI_NO)
		return rj_refuse(e, "it needs log_bin", "%s writes no binlog", m->conf->hostinfo);
	if (is_on(m->gtid_mode) != is_on(t->gtid_mode) && t->gtid_mode && m->gtid_mode)
		return rj_refuse(e, "set it as on the master",
		        "gtid_mode is %s on %s and %s on %s: they could not replicate",
		        t->gtid_mode, t->conf->hostinfo, m->gtid_mode, m->conf->hostinfo);
	if (t->log_bin == TRI_NO)
		run_warn(io, "%s writes no binlog: it could not become the master",
		        t->conf->hostinfo);
	else if (t->binlog_format && str_is(t->binlog_format, "STATEMENT") && m->binlog_format &&
	         !str_is(m->binlog_format, "STATEMENT"))
		return rj_refuse(e, "set binlog_format=ROW there",
		        "%s has binlog_format=STATEMENT and could not log rows of %s (%s)",
		        t->conf->hostinfo, m->conf->hostinfo, m->binlog_format);
	if (t->log_bin == TRI_YES && t->log_replica_updates == TRI_NO)
		run_warn(io, "%s has log_slave_updates off: it could not become the master",
		        t->conf->hostinfo);
	return true;
}

static bool check_account(struct rejoin *r, struct err *e)
{
	const struct conf_server *m = r->master->conf;
	const struct snapshot_server *t = r->target->at;

	if (t->n_channels ||
	        (m->repl_user && *m->repl_user && m->repl_password && *m->repl_password))
		return true;
	return rj_refuse(e, "set repl_user and repl_password",
	        "%s has no source yet, and the file does not say which account it shall use",
	        t->conf->hostinfo);
}

/* A source of its own outside of the cluster is somebody's purpose. */
static bool check_sources(struct rejoin *r, struct run_io *io, struct err *e)
{
	const struct snapshot_server *t = r->target->at;

	if (t->n_channels > 1)
		return rj_refuse(e, "rejoin it by hand", "%s has %zu sources", t->conf->hostinfo,
		        t->n_channels);
	for (size_t i = 0; i < t->n_channels; i++) {
		const struct snapshot_channel *ch = &t->channels[i];

		if (ch->io_running != IO_YES || !ch->sql_running || rj_follows_master(r, ch))
			continue;
		return rj_object(r, io, e, "force it (--force) if it shall leave that one",
		        "%s is a slave of %s:%u, and replicates", t->conf->hostinfo,
		        ch->source_host, ch->source_port);
	}
	return true;
}

/* A failover or switch that goes on holds this lock. */
static bool check_lock(struct rejoin *r, int64_t deadline, struct err *e)
{
	AUTO(repl_lock)
	struct repl_lock *l =
	        repl_lock(r->master->conf, REPL_FAILOVER_LOCK, LOCK_WAIT_MS, deadline, e);

	return l || err_hint(e, "another failover, switch or purge may be running there");
}

static void warn_of_followers(struct rejoin *r, struct run_io *io)
{
	const struct snapshot_server *t = r->target->at;

	if (t->n_clients)
		run_warn(io, "%zu slaves read the binlog of %s", t->n_clients, t->conf->hostinfo);
}

RJ_STEP(rj_check)
{
	struct rejoin *r = ctx;

	if (r->acted)
		return true;
	warn_of_followers(r, io);
	return check_ids(r, e) && check_versions(r, io, e) && check_logging(r, io, e) &&
	       check_account(r, e) && check_sources(r, io, e) &&
	       (r->o.dry || check_lock(r, run_deadline(io), e));
}
