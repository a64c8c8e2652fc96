/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * evidence_facts - facts as JSON and back, and whether two say the same: tables of their members.
 * Runs on: any thread.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include "evidence_impl.h"

/* Where a text names no instant of its own; large enough for old things. */
#define NOW_UNSAID  1000000000LL
#define INSTANT_MAX 1000000000000000LL
#define SPAN_MAX    1000000000000LL

enum type { AGE, SPAN, INT, BOOL, TEXT, WORD, LETTER };

/* How a member counts for "the same picture". */
enum same {
	EXACT,
	NEVER, /* it moves by itself */
	SET,   /* only whether there is something */
	FEW,   /* up to the number that decides */
	STOPPED,
};

struct field {
	const char *name;
	enum type type;
	enum same same;
	size_t offset, size;
	const char *const *words; /* WORD: ends with NULL */
	int unsaid;               /* INT: what it is when it is left out */
};

#define FIELD(type, same, st, member)                                                              \
	{                                                                                          \
#member, type, same, offsetof(struct st, member),                                  \
		        sizeof(((struct st *)0)->member), NULL, 0                                  \
	}
#define FIELD_AGE(st, member)                                                                      \
	{                                                                                          \
#member "_ago", AGE, NEVER, offsetof(struct st, member), sizeof(int64_t), NULL, 0  \
	}
#define FIELD_AGE_SET(st, member)                                                                  \
	{                                                                                          \
#member "_ago", AGE, SET, offsetof(struct st, member), sizeof(int64_t), NULL, 0    \
	}
#define FIELD_OR(same, st, member, unsaid)                                                         \
	{                                                                                          \
#member, INT, same, offsetof(struct st, member), sizeof(int), NULL, unsaid         \
	}
#define FIELD_WORD(st, member, words)                                                              \
	{                                                                                          \
#member, WORD, EXACT, offsetof(struct st, member), sizeof(int), words, 0           \
	}
#define FIELD_END                                                                                  \
	{                                                                                          \
		NULL, INT, EXACT, 0, 0, NULL, 0                                                    \
	}

static_assert(sizeof(enum fact_how) == sizeof(int), "words are read and written as int");

#define WORD_NAME(sym, name) name,
static const char *const layers[] = { FACT_LAYERS(WORD_NAME) NULL };
static const char *const hows[] = { FACT_HOWS(WORD_NAME) NULL };
static const char *const reaches[] = { FACT_REACHES(WORD_NAME) NULL };
static const char *const processes[] = { FACT_PROCESSES(WORD_NAME) NULL };
static const char *const sights[] = { FACT_SIGHTS(WORD_NAME) NULL };
static const char *const scripts[] = { FACT_SCRIPTS(WORD_NAME) NULL };
static const char *const detections[] = { FACT_DETECTIONS(WORD_NAME) NULL };
#undef WORD_NAME

static const struct field top_fields[] = {
	FIELD(TEXT, EXACT, facts, master),
	FIELD_WORD(facts, detection, detections),
	FIELD(SPAN, EXACT, facts, interval),
	FIELD(SPAN, EXACT, facts, restart_grace),
	FIELD_WORD(facts, script, scripts),
	FIELD_AGE(facts, script_asked),
	FIELD_END,
};

static const struct field probe_fields[] = {
	FIELD_WORD(fact_probe, how, hows),
	FIELD_WORD(fact_probe, layer, layers),
	FIELD(INT, EXACT, fact_probe, code),
	FIELD(TEXT, EXACT, fact_probe, text),
	FIELD_AGE(fact_probe, last_good),
	FIELD_AGE_SET(fact_probe, silent_since),
	FIELD_AGE_SET(fact_probe, first_failed),
	FIELD(INT, FEW, fact_probe, failures),
	FIELD(INT, FEW, fact_probe, failed_connects),
	FIELD(BOOL, EXACT, fact_probe, was_good),
	FIELD(BOOL, EXACT, fact_probe, restarted),
	FIELD(BOOL, EXACT, fact_probe, rewound),
	FIELD(BOOL, NEVER, fact_probe, open),
	FIELD_OR(FEW, fact_probe, acks_waiting, -1),
	FIELD_OR(FEW, fact_probe, ackers, -1),
	FIELD_END,
};

static const struct field host_fields[] = {
	FIELD_WORD(fact_host, reach, reaches),
	FIELD_AGE(fact_host, heard),
	FIELD_AGE_SET(fact_host, silent_since),
	FIELD_AGE(fact_host, asked),
	FIELD_WORD(fact_host, process, processes),
	FIELD(LETTER, STOPPED, fact_host, state),
	FIELD(BOOL, EXACT, fact_host, young),
	FIELD(INT, SET, fact_host, accept_queue),
	FIELD(BOOL, EXACT, fact_host, disk_full),
	FIELD(BOOL, EXACT, fact_host, disk_stuck),
	FIELD_END,
};

static const struct field self_fields[] = {
	FIELD(BOOL, EXACT, fact_self, tilt),
	FIELD(TEXT, EXACT, fact_self, tilt_why),
	FIELD_END,
};

static const struct field replica_fields[] = {
	FIELD(TEXT, EXACT, fact_replica, name),
	FIELD(BOOL, EXACT, fact_replica, ignore_fail),
	FIELD(BOOL, EXACT, fact_replica, on_master_host),
	FIELD(BOOL, EXACT, fact_replica, up),
	FIELD_AGE(fact_replica, looked),
	FIELD_AGE_SET(fact_replica, silent_since),
	FIELD_AGE(fact_replica, missed),
	FIELD_AGE(fact_replica, was_missed),
	FIELD_AGE(fact_replica, back),
	FIELD_AGE(fact_replica, between),
	FIELD_AGE(fact_replica, heard),
	FIELD(SPAN, EXACT, fact_replica, heartbeat),
	FIELD(BOOL, EXACT, fact_replica, follows),
	FIELD(BOOL, EXACT, fact_replica, io_running),
	FIELD(INT, EXACT, fact_replica, io_errno),
	FIELD_AGE_SET(fact_replica, io_error_seen),
	FIELD_WORD(fact_replica, sight, sights),
	FIELD_AGE(fact_replica, sight_asked),
	FIELD_END,
};

static const struct field witness_fields[] = {
	FIELD(TEXT, EXACT, fact_witness, name),
	FIELD(BOOL, EXACT, fact_witness, on_master_host),
	FIELD_WORD(fact_witness, sight, sights),
	FIELD_AGE(fact_witness, asked),
	FIELD_AGE_SET(fact_witness, silent_since),
	FIELD_AGE(fact_witness, missed),
	FIELD_END,
};

/* ---- single members ---- */

static int64_t get_long(const struct field *f, const void *base)
{
	int64_t v;

	memcpy(&v, (const char *)base + f->offset, sizeof(v));
	return v;
}

static int get_int(const struct field *f, const void *base)
{
	int v;

	memcpy(&v, (const char *)base + f->offset, sizeof(v));
	return v;
}

static const char *get_text(const struct field *f, const void *base)
{
	return (const char *)base + f->offset;
}

/* What JSON says of it; NULL: it is left out. */
static json_t *field_json(const struct field *f, const void *base, int64_t now)
{
	char letter[2] = { *get_text(f, base), '\0' };

	switch (f->type) {
	case AGE: return get_long(f, base) ? json_integer(now - get_long(f, base)) : NULL;
	case SPAN: return get_long(f, base) ? json_integer(get_long(f, base)) : NULL;
	case INT: return get_int(f, base) != f->unsaid ? json_integer(get_int(f, base)) : NULL;
	case BOOL: return *(const bool *)get_text(f, base) ? json_true() : NULL;
	case WORD: return get_int(f, base) ? json_string(f->words[get_int(f, base)]) : NULL;
	case LETTER: return *letter ? json_string(letter) : NULL;
	case TEXT: break;
	}
	if (!*get_text(f, base))
		return NULL;
	AUTO(free) char *text = xstrdup(get_text(f, base));
	verdict_clean(text);
	return json_string(text);
}

static void put(const struct field *f, void *base, const void *value, size_t size)
{
	memcpy((char *)base + f->offset, value, size);
}

static bool put_long(const struct field *f, void *base, int64_t v, int64_t min, int64_t max)
{
	if (v < min || v > max)
		return false;
	put(f, base, &v, sizeof(v));
	return true;
}

static bool put_int(const struct field *f, void *base, json_int_t v)
{
	int i = (int)v;

	if (v < INT32_MIN || v > INT32_MAX)
		return false;
	put(f, base, &i, sizeof(i));
	return true;
}

static bool put_word(const struct field *f, void *base, const char *word)
{
	for (int i = 0; word && f->words[i]; i++)
		if (str_is(f->words[i], word))
			return put_int(f, base, i);
	return false;
}

/* Exactly what field_json() writes, so that what was read is written again as it was. */
static bool put_text(const struct field *f, void *base, const json_t *v)
{
	const char *text = json_string_value(v);

	if (!text || strlen(text) != json_string_length(v) || strlen(text) >= f->size)
		return false;
	put(f, base, text, strlen(text) + 1);
	verdict_clean((char *)base + f->offset);
	return true;
}

static bool put_letter(const struct field *f, void *base, const json_t *v)
{
	const char *text = json_string_value(v);

	if (!text || json_string_length(v) != 1 || *text <= ' ' || *text > '~')
		return false;
	put(f, base, text, 1);
	return true;
}

static bool put_age(const struct field *f, void *base, int64_t age, int64_t now)
{
	return age >= -SPAN_MAX && age < now && put_long(f, base, now - age, 1, INT64_MAX);
}

static bool field_read(const struct field *f, void *base, int64_t now, const json_t *v)
{
	json_int_t n = json_integer_value(v);
	bool yes = json_is_true(v);

	switch (f->type) {
	case AGE: return json_is_integer(v) && put_age(f, base, n, now);
	case SPAN: return json_is_integer(v) && put_long(f, base, n, 0, SPAN_MAX);
	case INT: return json_is_integer(v) && put_int(f, base, n);
	case BOOL: put(f, base, &yes, sizeof(yes)); return json_is_boolean(v);
	case WORD: return put_word(f, base, json_string_value(v));
	case LETTER: return put_letter(f, base, v);
	case TEXT: return put_text(f, base, v);
	}
	return false;
}

/* ---- structures ---- */

static void write_fields(json_t *to, const struct field *fields, const void *base, int64_t now)
{
	for (const struct field *f = fields; f->name; f++) {
		json_t *v = field_json(f, base, now);

		if (v)
			json_object_set_new(to, f->name, v);
	}
}

static json_t *struct_json(const struct field *fields, const void *base, int64_t now)
{
	json_t *o = json_object();

	write_fields(o, fields, base, now);
	return o;
}

static const struct field *find(const struct field *fields, const char *name)
{
	for (const struct field *f = fields; f->name; f++)
		if (str_is(f->name, name))
			return f;
	return NULL;
}

/* All members must be known: what cannot be judged again must not be judged differently. */
static bool read_fields(const json_t *o, const struct field *fields, void *base, int64_t now,
        bool (*skip)(const char *key), struct err *e)
{
	const char *key;
	json_t *v;

	if (!json_is_object(o))
		return err_set(e, ERR_PARSE, 0, "an object is expected");
	json_object_foreach ((json_t *)(uintptr_t)o, key, v) {
		const struct field *f = find(fields, key);

		if (skip && skip(key))
			continue;
		if (!f)
			return err_set(e, ERR_PARSE, 0, "unknown member \"%.40s\"", key);
		if (!field_read(f, base, now, v))
			return err_set(e, ERR_PARSE, 0, "\"%s\" has no proper value", key);
	}
	return true;
}

static bool same_field(const struct field *f, const void *a, const void *b)
{
	static const char stopped[] = "TDZ";
	int x, y;

	switch (f->same) {
	case NEVER: return true;
	case SET:
		return f->type == AGE ? !get_long(f, a) == !get_long(f, b)
		                      : !get_int(f, a) == !get_int(f, b);
	case FEW:
		x = get_int(f, a);
		y = get_int(f, b);
		return (x > 4 ? 4 : x) == (y > 4 ? 4 : y);
	case STOPPED:
		return !memchr(stopped, *get_text(f, a), 3) == !memchr(stopped, *get_text(f, b), 3);
	case EXACT: break;
	}
	if (f->type == TEXT)
		return str_is(get_text(f, a), get_text(f, b));
	return memcmp(get_text(f, a), get_text(f, b), f->size) == 0;
}

static bool same_fields(const struct field *fields, const void *a, const void *b)
{
	for (const struct field *f = fields; f->name; f++)
		if (!same_field(f, a, b))
			return false;
	return true;
}

static const void *within(const struct facts_parts *p, size_t offset)
{
	return (const char *)p->head + offset;
}

bool facts_same(const struct facts_parts *a, const struct facts_parts *b)
{
	static const struct {
		const struct field *fields;
		size_t offset;
	} heads[] = { { top_fields, 0 }, { probe_fields, offsetof(struct facts, probe) },
		{ host_fields, offsetof(struct facts, host) },
		{ self_fields, offsetof(struct facts, self) } };

	if (a->n_replicas != b->n_replicas || a->n_witnesses != b->n_witnesses)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++)
		if (!same_fields(heads[i].fields, within(a, heads[i].offset),
		            within(b, heads[i].offset)))
			return false;
	for (int i = 0; i < a->n_replicas; i++)
		if (!same_fields(replica_fields, &a->replicas[i], &b->replicas[i]))
			return false;
	for (int i = 0; i < a->n_witnesses; i++)
		if (!same_fields(witness_fields, &a->witnesses[i], &b->witnesses[i]))
			return false;
	return true;
}

json_t *facts_json(const struct facts *f)
{
	json_t *o = json_object(), *replicas = json_array(), *witnesses = json_array();

	json_object_set_new(o, "now", json_integer(f->now));
	write_fields(o, top_fields, f, f->now);
	json_object_set_new(o, "probe", struct_json(probe_fields, &f->probe, f->now));
	json_object_set_new(o, "host", struct_json(host_fields, &f->host, f->now));
	json_object_set_new(o, "self", struct_json(self_fields, &f->self, f->now));
	for (int i = 0; i < f->n_replicas; i++)
		json_array_append_new(
		        replicas, struct_json(replica_fields, &f->replicas[i], f->now));
	for (int i = 0; i < f->n_witnesses; i++)
		json_array_append_new(
		        witnesses, struct_json(witness_fields, &f->witnesses[i], f->now));
	json_object_set_new(o, "replicas", replicas);
	json_object_set_new(o, "witnesses", witnesses);
	return o;
}

/* ---- reading ---- */

static bool read_part(const json_t *o, const char *name, const struct field *fields, void *base,
        int64_t now, struct err *e)
{
	const json_t *part = json_object_get(o, name);

	return !part || read_fields(part, fields, base, now, NULL, e) || err_ctx(e, "%s", name);
}

/* An array of structures of `size` bytes, `most` at most. */
static bool read_list(const json_t *o, const char *name, const struct field *fields, void *base,
        size_t size, int most, int64_t now, int *ret, struct err *e)
{
	const json_t *list = json_object_get(o, name);
	size_t n = json_array_size(list);

	if (list && (!json_is_array(list) || n > (size_t)most))
		return err_set(
		        e, ERR_PARSE, 0, "%s: an array of at most %d is expected", name, most);
	for (size_t i = 0; i < n; i++)
		if (!read_fields(
		            json_array_get(list, i), fields, (char *)base + i * size, now, NULL, e))
			return err_ctx(e, "%s %zu", name, i);
	*ret = (int)n;
	return true;
}

static bool is_part(const char *key)
{
	return str_is(key, "now") || str_is(key, "probe") || str_is(key, "host") ||
	       str_is(key, "self") || str_is(key, "replicas") || str_is(key, "witnesses");
}

static bool read_now(const json_t *o, int64_t *ret, struct err *e)
{
	const json_t *now = json_object_get(o, "now");

	*ret = now ? json_integer_value(now) : NOW_UNSAID;
	return (*ret > 0 && *ret <= INSTANT_MAX) ||
	       err_set(e, ERR_PARSE, 0, "\"now\" has no proper value");
}

bool facts_read(const json_t *j, struct facts *ret, struct err *e)
{
	AUTO(free) struct facts *f = xzalloc(sizeof(*f));

	f->probe.acks_waiting = f->probe.ackers = -1;
	if (!read_now(j, &f->now, e) || !read_fields(j, top_fields, f, f->now, is_part, e) ||
	        !read_part(j, "probe", probe_fields, &f->probe, f->now, e) ||
	        !read_part(j, "host", host_fields, &f->host, f->now, e) ||
	        !read_part(j, "self", self_fields, &f->self, f->now, e) ||
	        !read_list(j, "replicas", replica_fields, f->replicas, sizeof(f->replicas[0]),
	                FACT_REPLICAS, f->now, &f->n_replicas, e) ||
	        !read_list(j, "witnesses", witness_fields, f->witnesses, sizeof(f->witnesses[0]),
	                FACT_WITNESSES, f->now, &f->n_witnesses, e))
		return false;
	*ret = *f;
	return true;
}
