/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verdict_others - what slaves, witnesses and the master's host say: signs of life, votes, silence.
 * Runs on: any thread.  Pure.
 */
#include "verdict_impl.h"
#include "clock.h"

/* Slack for "at the same moment" beyond one interval: polls of different servers do not tick together. */
#define TOGETHER_MS 1000

/* ---- the master's host ---- */

bool verdict_absent(const struct judge *j)
{
	const struct fact_host *h = &j->f->host;

	return h->process == PROCESS_ABSENT && h->asked && h->asked >= j->f->probe.silent_since;
}

bool verdict_there(const struct judge *j)
{
	const struct fact_host *h = &j->f->host;

	return h->reach == REACH_UP && h->asked && h->asked >= j->deaf &&
	       (h->process == PROCESS_THERE || h->process == PROCESS_LISTENING);
}

bool verdict_host_lives(const struct judge *j)
{
	const struct fact_host *h = &j->f->host;

	/* A link stays UP for seconds after its host has died: only what came since counts. */
	return (h->reach == REACH_UP || h->reach == REACH_TROUBLE) && h->heard &&
	       h->heard >= j->deaf;
}

/* Life that was seen before the host said "no such process" is over. */
static bool outlived(const struct judge *j, int64_t instant)
{
	return verdict_absent(j) && instant < j->f->host.asked;
}

/* ---- active checks ---- */

static bool is_down(enum fact_sight s)
{
	return s == SIGHT_OPEN || s == SIGHT_REFUSED || s == SIGHT_CANNOT;
}

/* What counts of a check: an old answer is none. */
static enum fact_sight fresh(
        const struct judge *j, enum fact_sight s, int64_t asked, int64_t silent_since)
{
	if (s == SIGHT_SEES && asked >= j->deaf)
		return s;
	if (is_down(s) && asked && asked >= j->f->probe.silent_since)
		return s;
	/* Nothing is to be expected of who does not answer himself. */
	return s == SIGHT_ILL || silent_since ? SIGHT_ILL : SIGHT_NONE;
}

static enum fact_sight replica_sight(const struct judge *j, const struct fact_replica *r)
{
	return fresh(j, r->sight, r->sight_asked, r->silent_since);
}

static enum fact_sight witness_sight(const struct judge *j, const struct fact_witness *w)
{
	return fresh(j, w->sight, w->asked, w->silent_since);
}

static void count(struct verdict_votes *v, enum fact_sight s, bool is_witness)
{
	v->healthy += s == SIGHT_SEES || is_down(s);
	v->sees += s == SIGHT_SEES && is_witness;
	v->down += is_down(s);
	v->open += s == SIGHT_OPEN;
	v->refused += s == SIGHT_REFUSED;
	v->pending += s == SIGHT_NONE;
}

struct verdict_votes verdict_votes(const struct judge *j)
{
	const struct facts *f = j->f;
	struct verdict_votes v = { 0 };

	for (int i = 0; i < f->n_replicas; i++)
		if (!f->replicas[i].on_master_host)
			count(&v, replica_sight(j, &f->replicas[i]), false);
	for (int i = 0; i < f->n_witnesses; i++)
		if (!f->witnesses[i].on_master_host)
			count(&v, witness_sight(j, &f->witnesses[i]), true);
	return v;
}

/*
 * The quickest answer must not decide alone, it may be the liar's: those that have not answered yet
 * count as doubts, but not for ever.
 */
bool verdict_majority_down(struct judge *j)
{
	struct verdict_votes v = verdict_votes(j);

	if (v.down * 2 <= v.healthy)
		return false;
	return v.down * 2 > v.healthy + v.pending ||
	       verdict_passed(j, j->since + 2 * j->f->interval);
}

/* ---- signs of life ---- */

bool verdict_arrived_since(const struct facts *f, const struct fact_replica *r)
{
	int64_t deaf = f->probe.first_failed > f->probe.silent_since ? f->probe.first_failed
	                                                             : f->probe.silent_since;

	return r->follows && r->heard && r->between >= deaf;
}

static bool overdue(const struct judge *j, const struct fact_replica *r)
{
	int64_t last = r->heard > j->f->probe.silent_since ? r->heard : j->f->probe.silent_since;

	/* Servers send it late by up to one period when something else was sent in between. */
	return r->heartbeat && r->looked > last + 2 * r->heartbeat + j->f->interval;
}

/*
 * Does this slave hear the master?  An arrival proves it, until the slave itself shows the opposite: what
 * lay in its socket when the master died arrives later than the death, and must not veto for ever.
 */
static bool replica_hears(const struct judge *j, const struct fact_replica *r)
{
	if (!verdict_arrived_since(j->f, r) || outlived(j, r->heard) || overdue(j, r))
		return false;
	if (r->io_errno && r->io_error_seen >= r->heard)
		return false;
	/* A check takes a while to say CANNOT, and events may arrive meanwhile. */
	return !(is_down(r->sight) && r->sight_asked > r->heard + j->f->interval);
}

static bool replica_sees(const struct judge *j, const struct fact_replica *r)
{
	return replica_sight(j, r) == SIGHT_SEES && !outlived(j, r->sight_asked);
}

/* Strangers may look at something else (a proxy, an address that has moved): see the header. */
static bool witnesses_see(const struct judge *j)
{
	struct verdict_votes v = verdict_votes(j);

	if (!v.sees || verdict_absent(j))
		return false;
	return v.sees * 2 >= v.healthy;
}

bool verdict_heard(struct judge *j)
{
	const struct facts *f = j->f;

	for (int i = 0; i < f->n_replicas; i++) {
		const struct fact_replica *r = &f->replicas[i];

		if (replica_hears(j, r))
			return verdict_note(j, "%s still hears it", r->name);
		if (replica_sees(j, r))
			return verdict_note(j, "the host of %s still reaches it", r->name);
	}
	if (witnesses_see(j))
		return verdict_note(j, "witnesses still reach it");
	if (f->script == SCRIPT_REACHABLE && f->script_asked >= f->probe.silent_since)
		return verdict_note(j, "the secondary check reaches it");
	return false;
}

/* ---- receivers ---- */

/* Of the network or a server that is gone; 1236 or 1045, say, come from a living master. */
static bool is_lost_code(int code)
{
	return code == 2002 || code == 2003 || code == 2005 || code == 2006 || code == 2013 ||
	       (code >= 1158 && code <= 1161);
}

struct verdict_receivers verdict_receivers(const struct judge *j)
{
	struct verdict_receivers n = { 0 };

	for (int i = 0; i < j->f->n_replicas; i++) {
		const struct fact_replica *r = &j->f->replicas[i];

		if (!r->follows || !r->up || r->on_master_host)
			continue;
		n.n++;
		n.lost += overdue(j, r) || (is_lost_code(r->io_errno) && r->io_error_seen &&
		                                   r->io_error_seen >= j->f->probe.silent_since);
	}
	return n;
}

bool verdict_receivers_lost(const struct judge *j)
{
	struct verdict_receivers n = verdict_receivers(j);

	return n.n && n.lost == n.n;
}

/* No error for a moment is normal while a receiver connects again. */
bool verdict_replication_cut(struct judge *j)
{
	const struct facts *f = j->f;
	int n = 0;

	for (int i = 0; i < f->n_replicas; i++) {
		const struct fact_replica *r = &f->replicas[i];

		if (!r->follows || !r->up)
			continue;
		if (!(r->heartbeat && r->heard &&
		            r->looked > r->heard + 2 * r->heartbeat + f->interval) &&
		        !(r->io_errno && r->io_error_seen &&
		                verdict_passed(j, r->io_error_seen + 2 * f->interval + 1)))
			return false;
		n++;
	}
	return n && verdict_note(j, "no slave's receiver (of %d) hears the master", n);
}

/* ---- who fell silent with it ---- */

static bool long_dead(const struct judge *j, int64_t silent_since, int64_t missed)
{
	int64_t fell = missed ? missed : silent_since;

	return fell + j->f->interval + TOGETHER_MS < j->f->probe.silent_since;
}

static void add_replica(
        const struct judge *j, const struct fact_replica *r, struct verdict_company *c)
{
	/* Of one that never answered nobody knows whom it follows. */
	bool matters = !r->ignore_fail && (r->follows || !r->looked);

	if (r->silent_since && long_dead(j, r->silent_since, r->missed))
		return;
	if (r->silent_since) {
		c->silent++;
		if (matters && !c->silent_slaves++)
			c->first_slave = r->name;
	} else if ((r->looked && r->looked >= j->deaf) || is_down(replica_sight(j, r)) ||
	           replica_sight(j, r) == SIGHT_SEES) {
		c->present++;
	} else {
		c->unknown++;
		if (matters && !c->unknown_slaves++ && !c->silent_slaves)
			c->first_slave = r->name;
	}
}

static void add_witness(
        const struct judge *j, const struct fact_witness *w, struct verdict_company *c)
{
	if (w->silent_since && long_dead(j, w->silent_since, w->missed))
		return;
	if (w->silent_since)
		c->silent++;
	else if (witness_sight(j, w) == SIGHT_NONE)
		c->unknown++;
	else
		c->present++;
}

struct verdict_company verdict_company(const struct judge *j)
{
	const struct facts *f = j->f;
	struct verdict_company c = { 0 };

	for (int i = 0; i < f->n_replicas; i++)
		if (!f->replicas[i].on_master_host)
			add_replica(j, &f->replicas[i], &c);
	for (int i = 0; i < f->n_witnesses; i++)
		if (!f->witnesses[i].on_master_host)
			add_witness(j, &f->witnesses[i], &c);
	return c;
}

/* A slave that falls silent later, and again and again, must not put the verdict off for ever. */
static bool fell_with_it(const struct judge *j, int64_t missed)
{
	return !long_dead(j, 0, missed) &&
	       missed <= j->f->probe.silent_since + 3 * j->f->interval + TOGETHER_MS;
}

int64_t verdict_back(const struct judge *j)
{
	int64_t back = 0;

	for (int i = 0; j->f->probe.silent_since && i < j->f->n_replicas; i++) {
		const struct fact_replica *r = &j->f->replicas[i];

		if (!r->on_master_host && !r->silent_since && r->back > back &&
		        fell_with_it(j, r->was_missed))
			back = r->back;
	}
	return back;
}
