/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * failover_received - by position: what a slave has really received, and whether it stands where the new
 * master does.  Runs on: worker.
 *
 * A server writes down only now and then how far it has received.  After a crash it names an older place
 * than its relay logs hold, and applies what they hold all the same.
 */
#include "failover_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include "clock.h"
#include "db.h"
#include "log.h"
#include "str.h"

enum { EVEN_MS = 60000, GUESS_MS = 5000 };

static bool is_place(const char *file)
{
	return file && *file;
}

static void set_place(struct fo_place *p, const char *file, uint64_t pos)
{
	snprintf(p->file, sizeof(p->file), "%.255s", file);
	p->pos = pos;
}

/* ---- received ---- */

/* A receiver that has connected since its server started knows what it has; one that has not, has no id. */
static bool may_have_more(const struct failover *f, const struct fo_server *s)
{
	const struct snapshot_channel *ch = fo_is_slave(s) ? s->topo->channel : NULL;

	return ch && !fo_by_gtid(f) && !ch->source_server_id && is_place(ch->exec_file) &&
	       ch->exec_pos;
}

/* With relay_log_recovery a server that starts forgets what it had not applied, though the files may be there. */
static bool keeps_relay_logs(struct fo_server *s, int64_t deadline, bool *ret, struct err *e)
{
	struct repl *r = fo_repl(s, deadline, e);
	struct db *db = r ? repl_db(r, deadline, e) : NULL;
	AUTO(free) char *text = NULL;

	if (!db || !db_value(db, "SELECT @@GLOBAL.relay_log_recovery", &text, e))
		return false;
	*ret = !text || str_is(text, "0");
	return true;
}

static bool count_own(struct fo_server *s, const struct catchup_have *from, int64_t deadline,
        struct catchup_found *ret, struct err *e)
{
	struct catchup_place own = { .kind = CATCHUP_RELAY,
		.server = s->conf,
		.door = s->door,
		.snap = s->topo->snap,
		.channel = s->topo->channel };

	return catchup_count(&own, from, deadline, ret, e);
}

/* How far its relay logs go, in s->held; "" if they have nothing more. */
static bool look_into(struct failover *f, struct fo_server *s, struct run_io *io, struct err *e)
{
	const struct snapshot_channel *ch = s->topo->channel;
	struct catchup_have from = { .file = ch->exec_file, .pos = ch->exec_pos };
	struct catchup_found found;
	struct err why = { 0 };
	bool keeps = false;

	s->held.file[0] = '\0';
	if (!may_have_more(f, s))
		return true;
	if (!keeps_relay_logs(s, fo_until(io, 5000), &keeps, e))
		return false;
	if (!keeps)
		return true;
	if (count_own(s, &from, f->guarding ? run_deadline(io) : fo_until(io, GUESS_MS), &found,
	            &why)) {
		set_place(&s->held, found.end_file, found.end_pos);
		return true;
	}
	if (why.kind == ERR_PRECOND && why.code == FIND_NOT_YET)
		return true;
	if (e)
		*e = why;
	return false;
}

/* The picture is ours alone: nobody else has it yet. */
static struct snapshot_channel *own_channel(struct failover *f, const struct fo_server *s)
{
	for (size_t i = 0; i < f->snapshot->n_servers; i++) {
		struct snapshot_server *v = &f->snapshot->servers[i];

		for (size_t k = 0; k < v->n_channels; k++)
			if (&v->channels[k] == s->topo->channel)
				return &v->channels[k];
	}
	return NULL;
}

/* The first look is a guess, the one after the freeze counts; a dry run has only the first. */
static bool is_to_be_told(const struct failover *f)
{
	return f->guarding || f->o.dry;
}

static void take_larger(struct failover *f, struct fo_server *s, struct run_io *io)
{
	struct snapshot_channel *ch = own_channel(f, s);

	if (!ch)
		return;
	if (snapshot_pos_cmp(ch->exec_file, ch->exec_pos, ch->read_file, ch->read_pos) > 0) {
		ch->read_file = ch->exec_file;
		ch->read_pos = ch->exec_pos;
	}
	if (snapshot_pos_cmp(s->held.file, s->held.pos, ch->read_file, ch->read_pos) <= 0)
		return;
	if (is_to_be_told(f))
		run_warn(io,
		        "%s says that it has received up to %s:%llu, and its relay logs go up to "
		        "%s:%llu: it has crashed, and the latter counts",
		        s->conf->hostinfo, ch->read_file ? ch->read_file : "?",
		        (unsigned long long)ch->read_pos, s->held.file,
		        (unsigned long long)s->held.pos);
	ch->read_file = arena_strdup(f->snapshot->arena, s->held.file);
	ch->read_pos = s->held.pos;
}

void fo_correct_received(struct failover *f, struct run_io *io)
{
	struct err why = { 0 };
	bool doubt = false;

	if (fo_by_gtid(f))
		return;
	for (size_t i = 0; i < f->n; i++)
		doubt |= may_have_more(f, &f->servers[i]);
	if (doubt && fo_each_slave(f, io, NULL, look_into, false, &why) && is_to_be_told(f))
		run_warn(io,
		        "%s has restarted, and may have received more than it says: its relay logs "
		        "cannot be looked at: %s",
		        why.host, why.text);
	for (size_t i = 0; i < f->n; i++)
		if (fo_is_slave(&f->servers[i]) && f->servers[i].topo->channel)
			take_larger(f, &f->servers[i], io);
}

/* ---- even ---- */

static int cmp_to(const struct repl_now *now, const struct fo_place *p)
{
	return snapshot_pos_cmp(now->exec_file, now->exec_pos, p->file, p->pos);
}

/* While a parallel applier runs, the position that is shown lags behind what is done. */
static bool look_stopped(struct repl *r, int64_t deadline, struct repl_now *now, struct err *e)
{
	return !now->sql_running ||
	       (repl_stop_sql(r, deadline, e) && repl_look(r, deadline, now, e));
}

/* Where it stands in the dead master's log with all that it was given: the others must stand there too. */
bool fo_note_level(struct failover *f, struct run_io *io, struct err *e)
{
	const struct topology_server *latest = fo_latest_slave(f);
	int64_t deadline = fo_until(io, 30000);
	struct repl *r = fo_repl(f->fresh, deadline, e);
	struct repl_now now;

	if (fo_by_gtid(f))
		return true;
	if (!r || !repl_look(r, deadline, &now, e))
		return false;
	if (!now.is_replica) /* taken up again, it is nobody's slave any more */
		return true;
	if (snapshot_pos_cmp(now.exec_file, now.exec_pos, now.read_file, now.read_pos) != 0 &&
	        !look_stopped(r, deadline, &now, e))
		return false;
	set_place(&f->level, now.exec_file, now.exec_pos);
	/* Taken up again, the picture is of now, and may have more than he was given. */
	if (!run_was_resumed(f->run) && latest && latest->channel && latest->channel->read_file)
		set_place(&f->known, latest->channel->read_file, latest->channel->read_pos);
	run_note(io, "level_file", json_string(f->level.file));
	run_note(io, "level_pos", json_integer((json_int_t)f->level.pos));
	run_note(io, "known_file", json_string(f->known.file));
	run_note(io, "known_pos", json_integer((json_int_t)f->known.pos));
	return true;
}

/* The new master has executed what this one has not received. */
bool fo_is_below_level(const struct failover *f, const struct fo_server *s)
{
	const struct snapshot_channel *ch = s->topo->channel;

	return is_place(f->level.file) &&
	       snapshot_pos_cmp(ch->read_file, ch->read_pos, f->level.file, f->level.pos) < 0;
}

static bool has_all_of(const struct fo_server *s, const struct repl_now *now, bool fetched,
        const struct fo_place *from, const struct catchup_found *m)
{
	const struct snapshot_channel *ch = s->topo->channel;

	return fetched && is_place(from->file) &&
	       snapshot_pos_cmp(from->file, from->pos, ch->exec_file, ch->exec_pos) <= 0 &&
	       (!m->transactions || snapshot_pos_cmp(now->exec_file, now->exec_pos, m->end_file,
	                                    m->end_pos) >= 0);
}

/* What was fetched, it was given to its end: between that and the new master's place are no transactions. */
static bool was_given_all(
        const struct failover *f, const struct fo_server *s, const struct repl_now *now)
{
	return has_all_of(
	               s, now, f->save_done && f->saved.end_file[0], &f->saved_from, &f->saved) ||
	       has_all_of(s, now, f->diff_done, &f->diff_from, &f->diff);
}

/* No further than the newest slave had received when the new master was made level with it. */
static bool is_known(const struct failover *f, const struct repl_now *now)
{
	return is_place(f->known.file) && cmp_to(now, &f->known) <= 0;
}

static bool say_uneven(const struct failover *f, struct fo_server *s, const struct repl_now *now,
        const char *what, struct err *e)
{
	s->uneven = true;
	return err_set(e, ERR_PRECOND, 0,
	        "it has executed up to %s:%llu, the new master up to %s:%llu: %s. It is left as "
	        "it is; next: mhactl rejoin %s %s",
	        now->exec_file, (unsigned long long)now->exec_pos, f->level.file,
	        (unsigned long long)f->level.pos, what, s->conf->hostname, f->conf->name);
}

/* Places that differ may have nothing but the end of a log between them: the transactions count. */
static bool judge(struct failover *f, struct fo_server *s, const struct repl_now *now,
        struct run_io *io, struct err *e)
{
	bool beyond = cmp_to(now, &f->level) > 0;
	struct catchup_have from = { .file = beyond ? f->level.file : now->exec_file,
		.pos = beyond ? f->level.pos : now->exec_pos };
	struct catchup_found found;
	struct err why = { 0 };
	char what[160];

	if (!beyond && was_given_all(f, s, now))
		return true;
	if (!beyond && fo_is_below_level(f, s))
		return say_uneven(f, s, now, "it lacks what lies in between", e);
	if (count_own(s, &from, fo_until(io, EVEN_MS), &found, &why)) {
		if (!found.transactions)
			return true;
		snprintf(what, sizeof(what), "it has %llu transactions %s",
		        (unsigned long long)found.transactions,
		        beyond ? "that the new master lacks" : "in its relay logs, not executed");
		return say_uneven(f, s, now, what, e);
	}
	log_warning("%s: %s", s->conf->hostinfo, why.text);
	if (beyond && is_known(f, now))
		return true;
	return say_uneven(f, s, now,
	        beyond ? "it has transactions that the new master lacks, nobody can count them"
	               : "whether it lacks something cannot be seen",
	        e);
}

bool fo_is_even(struct failover *f, struct fo_server *s, struct run_io *io, struct err *e)
{
	int64_t deadline = fo_until(io, EVEN_MS);
	struct repl *r = fo_repl(s, deadline, e);
	struct repl_now now;

	s->uneven = false;
	if (fo_by_gtid(f) || !is_place(f->level.file) || !s->topo->channel)
		return true;
	if (!r || !repl_look(r, deadline, &now, e))
		return false;
	if (cmp_to(&now, &f->level) == 0)
		return true;
	if (!look_stopped(r, deadline, &now, e))
		return false;
	return cmp_to(&now, &f->level) == 0 || judge(f, s, &now, io, e);
}
