/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verdict - the table of verdicts and the rules of its rows.  Runs on: any thread.  Pure.
 *
 * verdict_others.c has what slaves, witnesses and the host say, verdict_names.c what error codes mean,
 * verdict_why.c the sentence.
 */
#include "verdict.h"
#include <stdio.h>
#include <string.h>
#include "clock.h"
#include "verdict_impl.h"

#define MHA_FAILURES 4 /* MHA decides with the fourth failure in a row */

bool verdict_passed(struct judge *j, int64_t instant)
{
	if (j->f->now >= instant)
		return true;
	j->again = clock_sooner(j->again, instant);
	return false;
}

bool verdict_note(struct judge *j, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(j->note, sizeof(j->note), fmt, ap);
	va_end(ap);
	return true;
}

/* ---- time limits ---- */

/* What failed while we were cut off from others too does not count. */
static int64_t counted_from(const struct judge *j)
{
	int64_t back = verdict_back(j);

	return back > j->since ? back : j->since;
}

/*
 * A server that stands still for two intervals must not be judged, one that stands still for three
 * must be.  Its standstill may have begun any time in the interval before the first look that failed;
 * two intervals from that look on are the only moment that keeps both.  A fiftieth more, so that an
 * answer that comes just then is seen first.
 */
static bool is_long(struct judge *j)
{
	return verdict_passed(j, counted_from(j) + 2 * j->f->interval + j->f->interval / 50);
}

/* How long a server that is starting or stopping is waited for. */
static int64_t patience(const struct judge *j)
{
	int64_t least = 3 * j->f->interval;

	return j->f->restart_grace > least ? j->f->restart_grace : least;
}

/* The fourth failure comes three intervals after the first; looks that are closer do not hurry it. */
static bool mha_counted(struct judge *j)
{
	return j->f->probe.failures >= MHA_FAILURES &&
	       verdict_passed(j, counted_from(j) + 3 * j->f->interval - j->f->interval / 50);
}

static bool is_mha(const struct judge *j)
{
	return j->f->detection == DETECT_MHA;
}

/* ---- how the latest look ended ---- */

static bool is_fine(const struct judge *j)
{
	return j->f->probe.how == HOW_FINE;
}

/* It answered reads, and then not the write. */
static bool is_write_trouble(const struct judge *j)
{
	const struct fact_probe *p = &j->f->probe;

	return (p->how == HOW_ERROR || p->how == HOW_LATE) && p->layer >= LAYER_READ;
}

/* Nobody listens, or who listened is gone: a sign of the host's kernel, not of silence. */
static bool is_closed(const struct judge *j)
{
	return j->f->probe.how == HOW_REFUSED || j->f->probe.how == HOW_CUT;
}

static bool is_open(const struct judge *j)
{
	return j->f->probe.layer >= LAYER_TCP;
}

static bool code_means(const struct judge *j, enum verdict_code c)
{
	return verdict_of_code(j->f->probe.code) == c;
}

/* ---- rows: the server answers ---- */

static bool nothing_yet(struct judge *j)
{
	return j->f->probe.how == HOW_NEVER;
}

static bool locked(struct judge *j)
{
	return j->f->probe.how == HOW_LOCKED;
}

static bool rewound(struct judge *j)
{
	return j->f->probe.rewound &&
	       (is_fine(j) || j->f->probe.how == HOW_ERROR || is_write_trouble(j));
}

static bool going_down(struct judge *j)
{
	const struct fact_probe *p = &j->f->probe;
	int64_t from = p->first_failed ? p->first_failed : p->last_good;

	return (p->how == HOW_ALIVE || p->how == HOW_ERROR) && code_means(j, VERDICT_RESTARTING) &&
	       !verdict_passed(j, from + patience(j)) && verdict_note(j, "it is shutting down");
}

static bool saturated(struct judge *j)
{
	return j->f->probe.how == HOW_ALIVE && code_means(j, VERDICT_SATURATED);
}

/* Whatever it said, it spoke. */
static bool refusing(struct judge *j)
{
	return j->f->probe.how == HOW_ALIVE ||
	       (j->f->probe.how == HOW_ERROR && code_means(j, VERDICT_REFUSING));
}

static bool read_only(struct judge *j)
{
	return j->f->probe.how == HOW_ERROR && code_means(j, VERDICT_READ_ONLY);
}

static bool disk_full_writing(struct judge *j)
{
	return (j->f->probe.how == HOW_ERROR && code_means(j, VERDICT_DISK_FULL)) ||
	       (is_write_trouble(j) && j->f->host.disk_full);
}

static bool ack_starved_writing(struct judge *j)
{
	return is_write_trouble(j) && j->f->probe.how == HOW_LATE && j->f->probe.acks_waiting > 0;
}

static bool stalled(struct judge *j)
{
	return is_write_trouble(j) && is_long(j) &&
	       verdict_note(j, "%s",
	               j->f->host.disk_stuck ? "a write to the disk of its host does not end" : "");
}

/* A read failed, again and again, with an error that says nothing of death. */
static bool read_errors(struct judge *j)
{
	return j->f->probe.how == HOW_ERROR && is_long(j);
}

static bool odd_answer(struct judge *j)
{
	return j->f->probe.how == HOW_ERROR || is_write_trouble(j);
}

/* ---- rows: it is silent, and the look was good ---- */

static bool ack_starved(struct judge *j)
{
	return is_fine(j) && j->f->probe.acks_waiting > 0 && j->f->probe.ackers == 0;
}

static bool disk_full(struct judge *j)
{
	return is_fine(j) && j->f->host.disk_full;
}

static bool replication_cut(struct judge *j)
{
	return is_fine(j) && verdict_replication_cut(j);
}

static bool not_compared(struct judge *j)
{
	return is_fine(j) && j->f->probe.restarted &&
	       verdict_note(
	               j, "it restarted: it is not known yet whether it has what its slaves have");
}

/* A look begins every interval and ends within one: no end of a look for so long is our own fault. */
static bool stale(struct judge *j)
{
	return is_fine(j) && verdict_passed(j, j->f->probe.last_good + 3 * j->f->interval + 1000) &&
	       verdict_note(j, "no look has ended since");
}

static bool healthy(struct judge *j)
{
	return is_fine(j) &&
	       verdict_note(j, "%s",
	               j->f->host.disk_stuck ? "but a write to the disk of its host did not end"
	                                     : "");
}

/* ---- rows: it does not answer.  What forbids a verdict of death ---- */

static bool heard_by_others(struct judge *j)
{
	return verdict_heard(j);
}

/* Lifted by what does not hang on this host's health: positive answers that are newer than the silence. */
static bool tilted(struct judge *j)
{
	return j->f->self.tilt && !verdict_absent(j) && !verdict_majority_down(j) &&
	       verdict_note(j, "%s", j->f->self.tilt_why);
}

static bool is_script_fresh(const struct judge *j)
{
	return j->f->script_asked >= j->f->probe.silent_since;
}

static bool vetoed(struct judge *j)
{
	const struct facts *f = j->f;

	return (f->script == SCRIPT_ILL || f->script == SCRIPT_ODD) && is_script_fresh(j);
}

/* Silence alone is in doubt: neither the host nor its absence of a process speaks. */
static bool is_all_silent(const struct judge *j)
{
	return !verdict_absent(j) && !verdict_host_lives(j);
}

/* Polls end soon: until then nobody is called cut off who only has not answered yet. */
static bool is_company_known(struct judge *j, const struct verdict_company *c)
{
	return !c->unknown || verdict_passed(j, j->since + 3 * j->f->interval);
}

static bool alone(struct judge *j)
{
	struct verdict_company c = verdict_company(j);

	return is_all_silent(j) && c.silent && !c.present && !c.unknown &&
	       verdict_note(j, "all others are silent to this host too");
}

static bool split(struct judge *j)
{
	struct verdict_company c = verdict_company(j);

	return is_all_silent(j) && c.silent_slaves && is_company_known(j, &c) &&
	       verdict_note(j, "%s fell silent together with the master and may still follow it",
	               c.first_slave);
}

/* ---- rows: it does not answer.  What has to be waited for ---- */

static bool in_grace(struct judge *j)
{
	bool gone = verdict_absent(j) || (is_closed(j) && !verdict_there(j));

	return gone && j->f->restart_grace && !verdict_passed(j, j->since + j->f->restart_grace) &&
	       verdict_note(j, "it may come back within %.1f s (restart_grace)",
	               (double)j->f->restart_grace / 1000);
}

static bool starting(struct judge *j)
{
	const struct fact_host *h = &j->f->host;

	return verdict_there(j) && (h->young || h->process == PROCESS_THERE) &&
	       !verdict_passed(j, j->since + patience(j)) &&
	       verdict_note(j, "%s",
	               h->young ? "its process is new: it starts or recovers"
	                        : "its process is there but does not listen: it starts or stops");
}

static bool script_runs(struct judge *j)
{
	enum fact_script s = j->f->script;

	return s != SCRIPT_NONE && (s != SCRIPT_DOWN || !is_script_fresh(j)) &&
	       verdict_note(j, "the secondary check has not answered yet");
}

/* A slave may be about to be found on the far side of a cut. */
static bool slaves_unknown(struct judge *j)
{
	struct verdict_company c = verdict_company(j);

	return is_all_silent(j) && (c.unknown_slaves || c.silent_slaves) &&
	       verdict_note(j, "%s has not been heard since", c.first_slave);
}

/* ---- rows: it is dead ---- */

/* One refused connection confirms the host's word, which is proof by itself. */
static bool process_absent(struct judge *j)
{
	return verdict_absent(j) && (is_mha(j) ? mha_counted(j) : j->f->probe.failed_connects >= 1);
}

/* It was given time to start or stop, and nobody can connect. */
static bool process_closed(struct judge *j)
{
	return verdict_there(j) && j->f->host.process == PROCESS_THERE &&
	       verdict_passed(j, j->since + patience(j)) &&
	       (is_mha(j) ? mha_counted(j) : j->f->probe.failed_connects >= 2) &&
	       verdict_note(j, "its process is there but has not listened for too long");
}

/* The kernel says that the process does not run, or that nobody takes its connections. */
static bool is_stopped(const struct judge *j)
{
	const struct fact_host *h = &j->f->host;

	return verdict_there(j) &&
	       (h->state == 'T' || (h->state == 'D' && h->disk_stuck) || h->accept_queue > 0);
}

static bool others_confirm(struct judge *j)
{
	return verdict_majority_down(j) || verdict_receivers_lost(j);
}

/*
 * Connections are accepted by the kernel of a hung server's host, until the queue is full: then it
 * looks like a filtered port, and it needs more than "the process is there" to be called hung.
 */
static bool is_hung(struct judge *j)
{
	struct verdict_votes v = verdict_votes(j);
	bool there = verdict_there(j);

	if (is_closed(j) && !there)
		return false;
	if (is_stopped(j) || (is_open(j) && !is_closed(j) && there))
		return true;
	if (!there && !is_open(j) && !verdict_host_lives(j) && v.open * 2 <= v.down)
		return false;
	return others_confirm(j);
}

/* MHA counts, and asks nobody; but a server that listens on its host is not dead by our silence. */
static bool is_hung_for_mha(struct judge *j)
{
	if (is_closed(j) || !mha_counted(j))
		return false;
	return is_open(j) || (verdict_host_lives(j) && !verdict_there(j));
}

/*
 * A cut that heals lets a connection through before all else: it looks like a hung server's, while those that
 * were on its far side are still silent.
 */
static bool may_be_healing(const struct judge *j)
{
	struct verdict_company c = verdict_company(j);

	return c.silent && (!c.present || (c.silent_slaves && !verdict_there(j)));
}

static bool hung(struct judge *j)
{
	if (verdict_absent(j) || may_be_healing(j) || !is_long(j))
		return false;
	if (is_mha(j))
		return is_hung_for_mha(j) || (is_hung(j) && mha_counted(j));
	return is_hung(j);
}

/* Somebody between us and the server turns us away. */
static bool road_cut(struct judge *j)
{
	return verdict_there(j) && j->f->host.process == PROCESS_LISTENING && !is_open(j) &&
	       is_long(j) &&
	       verdict_note(j, "the server listens on its host and nobody else misses it");
}

static bool refused_by_all(struct judge *j)
{
	struct verdict_votes v = verdict_votes(j);

	return v.refused * 2 > v.down && verdict_majority_down(j);
}

/* No host to ask: the refusal is one kind of evidence. */
static bool process_refused(struct judge *j)
{
	if (verdict_there(j))
		return false;
	if (!is_closed(j))
		return is_long(j) && refused_by_all(j) && (!is_mha(j) || mha_counted(j));
	if (is_mha(j))
		return mha_counted(j);
	return j->f->probe.failed_connects >= 2 &&
	       (verdict_majority_down(j) || verdict_receivers(j).lost > 0);
}

static bool host_dead(struct judge *j)
{
	return !is_closed(j) && !is_open(j) && is_all_silent(j) && is_long(j) &&
	       (is_mha(j) ? mha_counted(j) : others_confirm(j));
}

/* ---- row: nothing fits ---- */

static bool suspect(struct judge *j)
{
	struct verdict_votes v = verdict_votes(j);

	if (!is_long(j) || is_mha(j))
		return verdict_note(j, "it is looked at again");
	if (is_closed(j) && j->f->probe.failed_connects < 2)
		return verdict_note(j, "no connection was tried since");
	if (!v.healthy && !verdict_receivers(j).n)
		return verdict_note(
		        j, "nobody else can be asked: a second kind of evidence is missing");
	return verdict_note(j, "no other evidence confirms that it is dead");
}

/* ---- the table ---- */

static const struct row {
	enum verdict_code code;
	const char *name;
	bool (*fits)(struct judge *j);
} rows[] = {
	{ VERDICT_UNKNOWN, "no look has ended", nothing_yet },
	/* It answers, but not with what we want. */
	{ VERDICT_LOCKED, "the lock is taken", locked },
	{ VERDICT_REWOUND, "less than its slaves", rewound },
	{ VERDICT_RESTARTING, "shutting down", going_down },
	{ VERDICT_SATURATED, "no connection left", saturated },
	{ VERDICT_REFUSING, "does not want us", refusing },
	{ VERDICT_READ_ONLY, "the write is refused", read_only },
	{ VERDICT_DISK_FULL, "the write finds no space", disk_full_writing },
	{ VERDICT_ACK_STARVED, "the write waits for an ack", ack_starved_writing },
	{ VERDICT_STALLED, "the write does not end", stalled },
	{ VERDICT_REFUSING, "the read fails", read_errors },
	{ VERDICT_SUSPECT, "an odd answer", odd_answer },
	/* The look was good. */
	{ VERDICT_ACK_STARVED, "commits wait for acks", ack_starved },
	{ VERDICT_DISK_FULL, "no space on its host", disk_full },
	{ VERDICT_REPLICATION_CUT, "its slaves miss it", replication_cut },
	{ VERDICT_RESTARTING, "back, not compared", not_compared },
	{ VERDICT_SUSPECT, "no fresh look", stale },
	{ VERDICT_HEALTHY, "good", healthy },
	/* It does not answer: what forbids to call it dead. */
	{ VERDICT_MANAGER_CUT, "others hear it", heard_by_others },
	{ VERDICT_MANAGER_ILL, "tilt", tilted },
	{ VERDICT_WITNESS_VETO, "the script does not confirm", vetoed },
	{ VERDICT_MANAGER_CUT, "all are silent", alone },
	{ VERDICT_SPLIT_VIEW, "a slave is silent too", split },
	/* What has to be waited for. */
	{ VERDICT_RESTARTING, "in grace", in_grace },
	{ VERDICT_RESTARTING, "starting", starting },
	{ VERDICT_SUSPECT, "the script runs", script_runs },
	{ VERDICT_PROCESS_DEAD, "no process", process_absent },
	{ VERDICT_SUSPECT, "slaves have not answered", slaves_unknown },
	/* Dead, by evidence or by count. */
	{ VERDICT_HUNG, "does not listen", process_closed },
	{ VERDICT_HUNG, "does not answer", hung },
	{ VERDICT_MANAGER_CUT, "our road is cut", road_cut },
	{ VERDICT_PROCESS_DEAD, "refused", process_refused },
	{ VERDICT_HOST_DEAD, "silent to all", host_dead },
	{ VERDICT_SUSPECT, "not sure", suspect },
};

static int judge(struct judge *j)
{
	for (int i = 0;; i++) { /* the last row always fits */
		j->note[0] = '\0';
		if (rows[i].fits(j))
			return i;
	}
}

static struct judge begin(const struct facts *f)
{
	const struct fact_probe *p = &f->probe;
	struct judge j = { .f = f, .again = CLOCK_NEVER };

	j.deaf = p->first_failed > p->silent_since ? p->first_failed : p->silent_since;
	j.since = p->first_failed ? p->first_failed : p->silent_since ? p->silent_since : f->now;
	return j;
}

struct verdict verdict_of(const struct facts *f)
{
	struct judge j = begin(f);
	struct verdict v = { .code = rows[judge(&j)].code };

	v.kind = verdict_kind_of(v.code);
	v.again = j.again;
	verdict_tell(&j, v.why, sizeof(v.why));
	return v;
}

int verdict_rows(void)
{
	return (int)ARRAY_LEN(rows);
}

const char *verdict_row_name(int row)
{
	return rows[row].name;
}

int verdict_row_of(const struct facts *f)
{
	struct judge j = begin(f);

	return judge(&j);
}
