/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * move_ring - double masters: closing and opening the ring.  Runs on: worker, main thread.
 */
#include "move_ring.h"
#include <stdlib.h>
#include <strings.h>
#include "repl.h"
#include "str.h"

static const char *host(const struct topology_server *v)
{
	return v->snap->conf->hostinfo;
}

static bool no(struct err *e, const char *hint, const char *fmt, ...) PRINTF_LIKE(3, 4);
static bool no(struct err *e, const char *hint, const char *fmt, ...)
{
	AUTO_STR struct str s = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(&s, fmt, ap);
	va_end(ap);
	err_set(e, ERR_PRECOND, 0, "%s", s.p);
	return err_hint(e, "%s", hint);
}

static bool is_slave_of_master(
        const struct topology *t, const struct topology_server *co, struct err *e)
{
	const struct snapshot_channel *ch = co->channel;

	if (co->source != t->master || !ch)
		return no(e, "mhactl move brings it below the master",
		        "%s is no slave of the master %s", host(co), host(t->master));
	if (co->snap->n_channels > 1 || t->master->snap->n_channels > 1)
		return no(e, "take the other channel away", "%s or %s has several sources",
		        host(co), host(t->master));
	if (ch->io_running == IO_YES && ch->sql_running)
		return true;
	return no(e, "repair it there, then START SLAVE", "%s does not replicate", host(co));
}

/* Nothing may be in its binlog that the master lacks, now or later. */
static bool has_nothing_of_its_own(const struct topology_server *co, struct err *e)
{
	const struct snapshot_server *s = co->snap;

	if (s->read_only != TRI_YES)
		return no(e, "SET GLOBAL read_only=1 there", "clients may write to %s", host(co));
	if (s->log_bin != TRI_YES || s->log_replica_updates != TRI_YES)
		return no(e, "log_bin and log_slave_updates=1 in its my.cnf, and a restart",
		        "%s does not log what it replicates", host(co));
	if (co->errant)
		return no(e, "mhactl rejoin shows what they did",
		        "%s has transactions that the master does not have: %s", host(co),
		        co->errant_text);
	return true;
}

bool move_ring_may(const struct topology *t, const struct topology_server *co, struct err *e)
{
	const struct topology_server *m = t->master;

	if (!m || m->snap->state != SNAPSHOT_ALIVE)
		return no(e, "mhactl topology", "the master is not known, or does not answer");
	if (co == m)
		return no(e, "name one of its slaves", "%s is the master", host(co));
	if (co->snap->state != SNAPSHOT_ALIVE)
		return no(e, "bring it back first", "%s does not answer", host(co));
	if (m->channel && m->source != co)
		return no(e, "mhactl ring open ends that", "the master %s follows %s", host(m),
		        m->source_name);
	if (m->snap->server_id && m->snap->server_id == co->snap->server_id)
		return no(e, "give each server its own server_id", "both have the same server_id");
	return is_slave_of_master(t, co, e) && has_nothing_of_its_own(co, e);
}

static enum repl_by by_of(const struct snapshot_channel *ch)
{
	if (ch->auto_position)
		return REPL_BY_AUTO;
	if (ch->using_gtid == USING_GTID_NO)
		return REPL_BY_POSITION;
	return ch->using_gtid == USING_GTID_CURRENT_POS ? REPL_BY_CURRENT_POS : REPL_BY_SLAVE_POS;
}

/* As the slave follows the master: by the same kind of place, name and options. */
static struct repl_source source_of(
        const struct topology *t, const struct topology_server *co, const struct repl_position *at)
{
	const struct conf_server *c = co->snap->conf;
	const struct snapshot_channel *ch = co->channel;

	return (struct repl_source){
		.host = str_is(ch->source_host, t->master->snap->conf->ip) ? c->ip : c->hostname,
		.port = (unsigned)c->port,
		.user = c->repl_user,
		.password = c->repl_password,
		.by = by_of(ch),
		.file = at->file,
		.pos = at->pos,
		.like = ch,
		.get_public_key = true,
		.was_source = true
	};
}

bool move_ring_close(
        const struct topology *t, const struct topology_server *co, int64_t deadline, struct err *e)
{
	const struct conf_server *c = co->snap->conf;
	AUTO(repl) struct repl *slave = NULL, *master = NULL;
	struct repl_position at = { .pos = 0 };
	struct repl_source to;
	bool ok;

	if (!move_ring_may(t, co, e))
		return false;
	if (t->master->source == co && t->master->channel->io_running == IO_YES &&
	        t->master->channel->sql_running)
		return true;
	if (!c->repl_user || !c->repl_password || !*c->repl_password)
		return no(e, "repl_user and repl_password in the cluster's file",
		        "with which account the master shall follow %s is not known", host(co));
	slave = repl_open(c, co->channel->name, deadline, e);
	master = slave ? repl_open(t->master->snap->conf, NULL, deadline, e) : NULL;
	ok = master && repl_position(slave, deadline, &at, e);
	if (ok) {
		to = source_of(t, co, &at);
		ok = repl_follow(master, &to, deadline, e);
	}
	repl_position_done(&at);
	return ok;
}

bool move_ring_open(const struct topology *t, int64_t deadline, struct err *e)
{
	AUTO(repl) struct repl *master = NULL;

	if (!t->master || t->master->snap->state != SNAPSHOT_ALIVE)
		return no(e, "mhactl topology", "the master is not known, or does not answer");
	if (!t->master->channel)
		return true;
	if (t->master->source && t->master->source->source != t->master)
		return no(e, "this is done with double masters only",
		        "the master %s follows %s, which is none of its slaves", host(t->master),
		        t->master->source_name);
	master = repl_open(t->master->snap->conf, t->master->channel->name, deadline, e);
	return master && repl_forget(master, deadline, e);
}
