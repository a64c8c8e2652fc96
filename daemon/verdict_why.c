/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verdict_why - the line that says what was seen, by whom and how long ago.  Runs on: any thread.  Pure.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "verdict_impl.h"

/* Bytes of the valid UTF-8 sequence at p; 0: it is none. */
static size_t utf8_len(const unsigned char *p)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	/* Overlong forms, surrogates, and what is beyond Unicode. */
	if (p[0] > 0xf4 || (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

void verdict_clean(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p;) {
		size_t n = utf8_len(p);

		if (n == 1 && (*p < ' ' || *p == 0x7f))
			*p = ' ';
		else if (!n)
			*p = '?';
		p += n ? n : 1;
	}
}

/* Starts a new part of the sentence. */
static void part(struct str *s)
{
	if (s->len)
		str_add(s, "; ");
}

static void add_span(struct str *s, int64_t ms)
{
	if (ms < 10000)
		str_addf(s, "%.*f s", ms < 1000 ? 2 : 1, (double)ms / 1000);
	else if (ms < 300000)
		str_addf(s, "%lld s", (long long)ms / 1000);
	else
		str_addf(s, "%lld min", (long long)ms / 60000);
}

static void add_ago(struct str *s, const struct judge *j, const char *before, int64_t at)
{
	str_add(s, before);
	add_span(s, j->f->now - at);
	str_add(s, " ago");
}

/* ---- the probe ---- */

static const char *late_at(enum fact_layer layer)
{
	switch (layer) {
	case LAYER_NOTHING: return "no answer";
	case LAYER_TCP: return "the connection is accepted, but no greeting comes";
	case LAYER_GREETING: return "a greeting, but the login does not end";
	case LAYER_LOGIN: return "a login, but reads are not answered";
	case LAYER_READ:
	case LAYER_WRITE: return "reads are answered, a write does not end";
	}
	return "no answer";
}

static void add_error(struct str *s, const struct fact_probe *p, const char *word)
{
	str_addf(s, "%s", word);
	if (p->code)
		str_addf(s, " %d", p->code);
	if (*p->text)
		str_addf(s, " (%s)", p->text);
}

static void add_how(struct str *s, const struct fact_probe *p)
{
	switch (p->how) {
	case HOW_NEVER: str_add(s, "not looked at yet"); return;
	case HOW_FINE: str_add(s, "it answers"); return;
	case HOW_REFUSED: str_add(s, "connection refused"); return;
	case HOW_CUT: str_add(s, "connection cut"); return;
	case HOW_LATE: str_add(s, late_at(p->layer)); return;
	case HOW_UNREACHABLE: add_error(s, p, "unreachable"); return;
	case HOW_ALIVE:
	case HOW_ERROR: add_error(s, p, "error"); return;
	case HOW_LOCKED: str_add(s, "its advisory lock is held by somebody else"); return;
	}
}

static void add_probe(struct str *s, const struct judge *j)
{
	const struct fact_probe *p = &j->f->probe;

	part(s);
	add_how(s, p);
	if (p->failures) {
		str_addf(s, " (%d look%s failed in ", p->failures, p->failures == 1 ? "" : "s");
		add_span(s, j->f->now - j->since);
		str_addc(s, ')');
	}
	if (p->acks_waiting > 0)
		str_addf(s, ", %d commit%s wait for an acknowledgement, %d semi-sync slaves",
		        p->acks_waiting, p->acks_waiting == 1 ? "" : "s",
		        p->ackers > 0 ? p->ackers : 0);
}

static void add_last_good(struct str *s, const struct judge *j)
{
	const struct fact_probe *p = &j->f->probe;

	if (p->how == HOW_NEVER)
		return;
	part(s);
	if (p->last_good)
		add_ago(s, j, "last answer ", p->last_good);
	else
		str_add(s, "it has not answered since mhad watches it");
}

/* ---- the host ---- */

static void add_process(struct str *s, const struct judge *j)
{
	static const char *const words[] = { "it cannot say", "no such process",
		"the process is there, not listening", "the process is there and listens" };
	const struct fact_host *h = &j->f->host;

	part(s);
	str_addf(s, "mha-node on the host of %s: %s", *j->f->master ? j->f->master : "the master",
	        words[h->process]);
	if (h->state && h->process != PROCESS_ABSENT)
		str_addf(s, ", state %c", h->state);
	if (h->accept_queue > 0)
		str_addf(s, ", %d connections wait to be accepted", h->accept_queue);
	add_ago(s, j, " (asked ", h->asked);
	str_addc(s, ')');
}

static void add_host(struct str *s, const struct judge *j)
{
	const struct fact_host *h = &j->f->host;

	if (h->asked && h->asked >= j->f->probe.silent_since && h->process != PROCESS_UNKNOWN)
		add_process(s, j);
	if (h->disk_full || h->disk_stuck) {
		part(s);
		str_addf(s, "its disk %s", h->disk_full ? "is full" : "takes no write");
	}
	if (h->reach == REACH_SILENT) {
		part(s);
		str_add(s, "its host is silent");
		if (h->silent_since)
			add_ago(s, j, ", last heard ", h->silent_since);
	} else if (h->reach == REACH_TROUBLE) {
		part(s);
		str_add(s, "its host answers, but SSH does not work");
	}
}

/* ---- the others ---- */

static const char *sight_word(enum fact_sight s)
{
	switch (s) {
	case SIGHT_NONE: return "no answer yet";
	case SIGHT_SEES: return "reaches it";
	case SIGHT_OPEN: return "is accepted, but gets no greeting";
	case SIGHT_REFUSED: return "is refused";
	case SIGHT_CANNOT: return "gets no answer";
	case SIGHT_ILL: return "could not look";
	}
	return "";
}

static void add_sight(
        struct str *s, const struct judge *j, const char *who, enum fact_sight sight, int64_t asked)
{
	if (sight == SIGHT_NONE || !asked || asked < j->f->probe.silent_since)
		return;
	part(s);
	str_addf(s, "%s %s", who, sight_word(sight));
	add_ago(s, j, " (asked ", asked);
	str_addc(s, ')');
}

static void add_replica(struct str *s, const struct judge *j, const struct fact_replica *r)
{
	AUTO(free) char *host = xasprintf("%s's host", r->name);

	if (r->silent_since) {
		part(s);
		str_addf(s, "%s is silent", r->name);
		add_ago(s, j, ", last heard ", r->silent_since);
	}
	if (verdict_arrived_since(j->f, r)) {
		part(s);
		str_addf(s, "%s heard the master", r->name);
		add_ago(s, j, " ", r->heard);
	}
	if (r->io_errno && r->io_error_seen) {
		part(s);
		str_addf(s, "%s's receiver: error %d", r->name, r->io_errno);
		add_ago(s, j, ", first seen ", r->io_error_seen);
	}
	add_sight(s, j, host, r->sight, r->sight_asked);
}

static void add_witness(struct str *s, const struct judge *j, const struct fact_witness *w)
{
	AUTO(free) char *who = xasprintf("witness %s", w->name);

	if (w->silent_since) {
		part(s);
		str_addf(s, "%s is silent", who);
		add_ago(s, j, ", last heard ", w->silent_since);
	}
	add_sight(s, j, who, w->sight, w->asked);
}

static void add_script(struct str *s, const struct judge *j)
{
	static const char *const words[] = { "", "", "runs", "says the master is down (0)",
		"could not ask a host (2)", "reaches the master (3)", "gave no proper answer" };
	const struct facts *f = j->f;

	if (f->script <= SCRIPT_IDLE || f->script_asked < f->probe.silent_since)
		return;
	part(s);
	str_addf(s, "secondary_check_script %s", words[f->script]);
}

static bool is_answering(enum fact_how h)
{
	return h == HOW_FINE || h == HOW_ALIVE || h == HOW_LOCKED || h == HOW_NEVER;
}

/* Who lets the table call it dead, or forbids it. */
static void add_others(struct str *s, const struct judge *j)
{
	const struct facts *f = j->f;

	for (int i = 0; i < f->n_replicas; i++)
		add_replica(s, j, &f->replicas[i]);
	for (int i = 0; i < f->n_witnesses; i++)
		add_witness(s, j, &f->witnesses[i]);
	add_script(s, j);
}

/* The same for a master that answers: only what is wrong. */
static void add_receivers(struct str *s, const struct judge *j)
{
	for (int i = 0; i < j->f->n_replicas; i++) {
		const struct fact_replica *r = &j->f->replicas[i];

		if (!r->io_errno || !r->io_error_seen)
			continue;
		part(s);
		str_addf(s, "%s's receiver: error %d", r->name, r->io_errno);
		add_ago(s, j, ", first seen ", r->io_error_seen);
	}
}

void verdict_tell(const struct judge *j, char *ret, size_t size)
{
	AUTO_STR struct str s = STR_INIT, last = STR_INIT;
	size_t room;

	str_add(&s, j->note);
	add_probe(&s, j);
	add_host(&s, j);
	if (is_answering(j->f->probe.how))
		add_receivers(&s, j);
	else
		add_others(&s, j);
	add_last_good(&last, j);
	verdict_clean(s.p);
	/* With very many slaves the list of them is cut, and the end is kept. */
	room = size - 1 - last.len - (last.len ? 2 : 0);
	if (s.len > room) {
		str_cut(&s, room - 3);
		str_add(&s, "...");
		verdict_clean(s.p);
	}
	if (last.len)
		part(&s);
	str_add(&s, last.p);
	snprintf(ret, size, "%s", s.p);
}
