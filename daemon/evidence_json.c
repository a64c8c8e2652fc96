/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * evidence_json - a ring as JSON and back.  Runs on: any thread.  A saved ring is foreign bytes: everything in
 * it is checked.
 */
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include "clock.h"
#include "evidence_impl.h"
#include "str.h"

#define FORMAT      1
#define NOW_UNSAID  1000000000LL /* as of facts */
#define INSTANT_MAX 1000000000000000LL

/* ---- writing ---- */

static json_t *text_json(const char *text)
{
	AUTO(free) char *clean = xstrdup(text);

	verdict_clean(clean);
	return json_string(clean);
}

static json_t *verdict_json(const struct verdict *d, int64_t now)
{
	json_t *o = json_object();

	json_object_set_new(o, "code", json_string(verdict_name(d->code)));
	json_object_set_new(o, "kind", json_string(verdict_kind_name(d->kind)));
	json_object_set_new(o, "why", text_json(d->why));
	if (d->again != CLOCK_NEVER)
		json_object_set_new(o, "again_ago", json_integer(now - d->again));
	return o;
}

static json_t *picture_json(const struct evidence_picture *p, int64_t now)
{
	json_t *o = json_object();

	json_object_set_new(o, "from_ago", json_integer(now - p->from));
	json_object_set_new(o, "until_ago", json_integer(now - p->until));
	json_object_set_new(o, "looks", json_integer(p->looks));
	json_object_set_new(o, "state", text_json(p->state));
	json_object_set_new(o, "gate", text_json(p->gate));
	json_object_set_new(o, "verdict", verdict_json(&p->verdict, now));
	json_object_set_new(o, "facts", facts_json(&p->facts));
	return o;
}

json_t *evidence_json(const struct evidence *v, const char *cluster, int64_t now)
{
	json_t *o = json_object(), *pictures = json_array(), *lines = json_array();

	json_object_set_new(o, "format", json_integer(FORMAT));
	json_object_set_new(o, "cluster", text_json(cluster));
	json_object_set_new(o, "saved", json_integer((json_int_t)time(NULL)));
	json_object_set_new(o, "now", json_integer(now));
	for (size_t i = evidence_pictures(v); i-- > 0;)
		json_array_append_new(pictures, picture_json(evidence_picture(v, i), now));
	for (size_t i = evidence_lines(v); i-- > 0;) {
		const struct evidence_line *l = evidence_line(v, i);
		json_t *line = json_object();

		json_object_set_new(line, "at_ago", json_integer(now - l->at));
		json_object_set_new(line, "who", json_string(l->who));
		json_object_set_new(line, "text", json_string(l->text));
		json_array_append_new(lines, line);
	}
	json_object_set_new(o, "pictures", pictures);
	json_object_set_new(o, "lines", lines);
	return o;
}

/* ---- reading ---- */

static bool known_keys(const json_t *o, const char *const *keys, struct err *e)
{
	const char *key;
	json_t *v;

	if (!json_is_object(o))
		return err_set(e, ERR_PARSE, 0, "an object is expected");
	json_object_foreach ((json_t *)(uintptr_t)o, key, v) {
		size_t i = 0;

		while (keys[i] && !str_is(keys[i], key))
			i++;
		if (!keys[i])
			return err_set(e, ERR_PARSE, 0, "unknown member \"%.40s\"", key);
	}
	return true;
}

static bool read_int(const json_t *o, const char *key, int64_t min, int64_t max, int64_t unsaid,
        int64_t *ret, struct err *e)
{
	const json_t *v = json_object_get(o, key);
	int64_t n = v ? json_integer_value(v) : unsaid;

	if ((v && !json_is_integer(v)) || n < min || n > max)
		return err_set(e, ERR_PARSE, 0, "\"%s\" has no proper value", key);
	*ret = n;
	return true;
}

/* "" when it is not there.  Borrowed from o. */
static bool read_text(const json_t *o, const char *key, size_t max, const char **ret, struct err *e)
{
	const json_t *v = json_object_get(o, key);
	const char *text = v ? json_string_value(v) : "";

	if (!text || strlen(text) > max || (v && strlen(text) != json_string_length(v)))
		return err_set(e, ERR_PARSE, 0, "\"%s\" has no proper value", key);
	*ret = text;
	return true;
}

static bool read_instant(
        const json_t *o, const char *key, int64_t now, int64_t unsaid, int64_t *ret, struct err *e)
{
	int64_t age;

	if (!json_object_get(o, key)) {
		*ret = unsaid;
		return true;
	}
	if (!read_int(o, key, -INSTANT_MAX, INSTANT_MAX, 0, &age, e))
		return false;
	*ret = now - age;
	return true;
}

static bool read_verdict(const json_t *o, int64_t now, struct verdict *ret, struct err *e)
{
	static const char *const keys[] = { "code", "kind", "why", "again_ago", NULL };
	const char *code = "", *kind = "", *why = "";

	if (!known_keys(o, keys, e) || !read_text(o, "code", 40, &code, e) ||
	        !read_text(o, "kind", 40, &kind, e) ||
	        !read_text(o, "why", sizeof(ret->why) - 1, &why, e) ||
	        !read_instant(o, "again_ago", now, CLOCK_NEVER, &ret->again, e))
		return false;
	if (!verdict_by_name(code, &ret->code))
		return err_set(e, ERR_PARSE, 0, "there is no verdict \"%.40s\"", code);
	ret->kind = verdict_kind_of(ret->code);
	if (*kind && !str_is(kind, verdict_kind_name(ret->kind)))
		return err_set(e, ERR_PARSE, 0, "%s is not of kind \"%.40s\"", code, kind);
	memcpy(ret->why, why, strlen(why) + 1);
	verdict_clean(ret->why);
	return true;
}

/* State and gate stay borrowed from o. */
static bool read_picture(const json_t *o, int64_t now, struct evidence_picture *p, struct err *e)
{
	static const char *const keys[] = { "from_ago", "until_ago", "looks", "state", "gate",
		"verdict", "facts", NULL };
	int64_t looks;

	if (!known_keys(o, keys, e) || !read_int(o, "looks", 1, UINT_MAX, 1, &looks, e) ||
	        !read_text(o, "state", 40, &p->state, e) || !read_text(o, "gate", 240, &p->gate, e))
		return false;
	p->looks = (unsigned)looks;
	return (facts_read(json_object_get(o, "facts"), &p->facts, e) || err_ctx(e, "facts")) &&
	       read_instant(o, "until_ago", now, p->facts.now, &p->until, e) &&
	       read_instant(o, "from_ago", now, p->until, &p->from, e) &&
	       (read_verdict(json_object_get(o, "verdict"), now, &p->verdict, e) ||
	               err_ctx(e, "verdict"));
}

static bool read_pictures(const json_t *list, int64_t now, struct evidence *v, struct err *e)
{
	AUTO(free) struct evidence_picture *p = xzalloc(sizeof(*p));
	size_t i;
	json_t *o;

	if (list && (!json_is_array(list) || json_array_size(list) > EVIDENCE_PICTURES))
		return err_set(e, ERR_PARSE, 0, "pictures: an array of at most %d is expected",
		        EVIDENCE_PICTURES);
	json_array_foreach (list, i, o) {
		if (!read_picture(o, now, p, e))
			return err_ctx(e, "picture %zu", i);
		evidence_put(v, p);
	}
	return true;
}

static bool read_lines(const json_t *list, int64_t now, struct evidence *v, struct err *e)
{
	static const char *const keys[] = { "at_ago", "who", "text", NULL };
	const char *who, *text;
	int64_t at;
	size_t i;
	json_t *o;

	if (list && (!json_is_array(list) || json_array_size(list) > EVIDENCE_LINES))
		return err_set(e, ERR_PARSE, 0, "lines: an array of at most %d is expected",
		        EVIDENCE_LINES);
	json_array_foreach (list, i, o) {
		if (!known_keys(o, keys, e) || !read_instant(o, "at_ago", now, now, &at, e) ||
		        !read_text(o, "who", 79, &who, e) || !read_text(o, "text", 239, &text, e))
			return err_ctx(e, "line %zu", i);
		evidence_put_line(v, at, who, text);
	}
	return true;
}

struct evidence *evidence_read(const json_t *j, struct err *e)
{
	static const char *const keys[] = { "format", "cluster", "about", "saved", "now",
		"pictures", "lines", NULL };
	AUTO(evidence) struct evidence *v = evidence_new();
	int64_t format, now;
	const char *text;

	if (!known_keys(j, keys, e) || !read_int(j, "format", FORMAT, FORMAT, 0, &format, e) ||
	        !read_int(j, "now", 1, INSTANT_MAX, NOW_UNSAID, &now, e) ||
	        !read_text(j, "cluster", 1000, &text, e) ||
	        !read_text(j, "about", 10000, &text, e) ||
	        !read_pictures(json_object_get(j, "pictures"), now, v, e) ||
	        !read_lines(json_object_get(j, "lines"), now, v, e)) {
		err_ctx(e, "saved evidence");
		return NULL;
	}
	return TAKE(v);
}
