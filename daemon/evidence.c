/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * evidence - the ring of pictures and lines of one cluster.  Runs on: loop.
 *
 * There is one ring for each of very many clusters, and nearly all of them are quiet.  So pictures are kept
 * packed: the used part of everything, in one piece of memory.
 */
#include "evidence.h"
#include <stdio.h>
#include <string.h>
#include "clock.h"
#include "evidence_impl.h"
#include "str.h"
#include "vec.h"

#define FACTS_HEAD offsetof(struct facts, replicas)
#define WHO_MAX    80
#define TEXT_MAX   240

struct picture {
	struct evidence_picture *view; /* unpacked for a reader; NULL: not */
	int64_t from, until, again;
	unsigned looks;
	enum verdict_code code;
	int n_replicas, n_witnesses;
	/* The head of struct facts, replicas, witnesses, then why, state and gate. */
	_Alignas(8) char bytes[];
};

struct evidence {
	VEC(struct picture *) pictures; /* the oldest first */
	VEC(struct evidence_line *) lines;
};

struct evidence *evidence_new(void)
{
	return xzalloc(sizeof(struct evidence));
}

static void free_picture(struct picture *p)
{
	free(p->view);
	free(p);
}

void evidence_free(struct evidence *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->pictures.len; i++)
		free_picture(v->pictures.items[i]);
	for (size_t i = 0; i < v->lines.len; i++)
		free(v->lines.items[i]);
	vec_done(&v->pictures);
	vec_done(&v->lines);
	free(v);
}

/* ---- packing ---- */

static char *put(char *to, const void *bytes, size_t n)
{
	memcpy(to, bytes, n);
	return to + n;
}

static size_t size_replicas(int n)
{
	return (size_t)n * sizeof(struct fact_replica);
}

static size_t size_witnesses(int n)
{
	return (size_t)n * sizeof(struct fact_witness);
}

static struct picture *pack(
        const struct facts *f, const struct verdict *d, const char *state, const char *gate)
{
	size_t n_why = strlen(d->why) + 1, n_state = strlen(state) + 1, n_gate = strlen(gate) + 1;
	struct picture *k = xmalloc(sizeof(*k) + FACTS_HEAD + size_replicas(f->n_replicas) +
	                            size_witnesses(f->n_witnesses) + n_why + n_state + n_gate);
	char *to = k->bytes;

	*k = (struct picture){ .from = f->now,
		.until = f->now,
		.again = d->again,
		.looks = 1,
		.code = d->code,
		.n_replicas = f->n_replicas,
		.n_witnesses = f->n_witnesses };
	to = put(to, f, FACTS_HEAD);
	to = put(to, f->replicas, size_replicas(f->n_replicas));
	to = put(to, f->witnesses, size_witnesses(f->n_witnesses));
	to = put(to, d->why, n_why);
	to = put(to, state, n_state);
	put(to, gate, n_gate);
	return k;
}

static struct facts_parts parts(const struct picture *k)
{
	const char *replicas = k->bytes + FACTS_HEAD;

	return (struct facts_parts){ .head = k->bytes,
		.n_replicas = k->n_replicas,
		.n_witnesses = k->n_witnesses,
		.replicas = (const void *)replicas,
		.witnesses = (const void *)(replicas + size_replicas(k->n_replicas)) };
}

static const char *why_of(const struct picture *k)
{
	return k->bytes + FACTS_HEAD + size_replicas(k->n_replicas) +
	       size_witnesses(k->n_witnesses);
}

static const char *next_text(const char *text)
{
	return text + strlen(text) + 1;
}

static struct evidence_picture *unpack(const struct picture *k)
{
	struct evidence_picture *p = xzalloc(sizeof(*p));
	struct facts_parts from = parts(k);
	const char *why = why_of(k);

	memcpy(&p->facts, from.head, FACTS_HEAD);
	memcpy(p->facts.replicas, from.replicas, size_replicas(k->n_replicas));
	memcpy(p->facts.witnesses, from.witnesses, size_witnesses(k->n_witnesses));
	memcpy(p->verdict.why, why, strlen(why) + 1);
	p->state = next_text(why);
	p->gate = next_text(p->state);
	p->from = k->from;
	p->until = k->until;
	p->looks = k->looks;
	p->verdict.code = k->code;
	p->verdict.kind = verdict_kind_of(k->code);
	p->verdict.again = k->again;
	return p;
}

/* ---- pictures ---- */

static void drop_views(struct evidence *v)
{
	for (size_t i = 0; i < v->pictures.len; i++) {
		free(v->pictures.items[i]->view);
		v->pictures.items[i]->view = NULL;
	}
}

static void push(struct evidence *v, struct picture *k)
{
	if (v->pictures.len == EVIDENCE_PICTURES) {
		free_picture(v->pictures.items[0]);
		v->pictures.len--;
		memmove(v->pictures.items, v->pictures.items + 1,
		        v->pictures.len * sizeof(v->pictures.items[0]));
	}
	vec_push(&v->pictures, k);
}

void evidence_put(struct evidence *v, const struct evidence_picture *p)
{
	struct picture *k = pack(&p->facts, &p->verdict, p->state, p->gate);

	k->from = p->from;
	k->until = p->until;
	k->looks = p->looks;
	drop_views(v);
	push(v, k);
}

static bool is_same(const struct picture *a, const struct picture *b)
{
	struct facts_parts x = parts(a), y = parts(b);
	const char *state_a = next_text(why_of(a)), *state_b = next_text(why_of(b));

	return a->code == b->code && str_is(state_a, state_b) &&
	       str_is(next_text(state_a), next_text(state_b)) && facts_same(&x, &y);
}

void evidence_add(struct evidence *v, const struct facts *f, const struct verdict *d,
        const char *state, const char *gate)
{
	struct picture *k = pack(f, d, state, gate);
	size_t n = v->pictures.len;

	drop_views(v);
	if (n && is_same(v->pictures.items[n - 1], k)) {
		struct picture *last = v->pictures.items[n - 1];

		k->from = last->from;
		k->looks = last->looks + 1;
		v->pictures.items[n - 1] = k;
		free_picture(last);
		return;
	}
	push(v, k);
}

size_t evidence_pictures(const struct evidence *v)
{
	return v->pictures.len;
}

const struct evidence_picture *evidence_picture(const struct evidence *v, size_t i)
{
	struct picture *k = v->pictures.items[v->pictures.len - 1 - i];

	if (!k->view)
		k->view = unpack(k);
	return k->view;
}

/* ---- lines ---- */

void evidence_put_line(struct evidence *v, int64_t at, const char *who, const char *text)
{
	size_t n_who = strnlen(who, WHO_MAX - 1), n_text = strnlen(text, TEXT_MAX - 1);
	struct evidence_line *l = xmalloc(sizeof(*l) + n_who + n_text + 2);
	char *to = (char *)(l + 1);

	l->at = at;
	l->who = to;
	l->text = to + n_who + 1;
	memcpy(to, who, n_who);
	to[n_who] = '\0';
	verdict_clean(to);
	to += n_who + 1;
	memcpy(to, text, n_text);
	to[n_text] = '\0';
	verdict_clean(to);
	if (v->lines.len == EVIDENCE_LINES) {
		free(v->lines.items[0]);
		v->lines.len--;
		memmove(v->lines.items, v->lines.items + 1,
		        v->lines.len * sizeof(v->lines.items[0]));
	}
	vec_push(&v->lines, l);
}

void evidence_say(struct evidence *v, const char *who, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	evidence_put_line(v, clock_ms(), who, text);
}

size_t evidence_lines(const struct evidence *v)
{
	return v->lines.len;
}

const struct evidence_line *evidence_line(const struct evidence *v, size_t i)
{
	return v->lines.items[v->lines.len - 1 - i];
}
