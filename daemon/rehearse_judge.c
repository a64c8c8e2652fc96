/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rehearse_judge - what a rehearsal comes to, and what is worse than in the one before.  Pure.  Runs on: any
 * thread.
 */
#include "rehearse.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Below that a double is the weather. */
enum { SLOWER_LEAST_MS = 5000 };

static const char *text_of(const json_t *j, const char *name)
{
	const char *s = json_string_value(json_object_get(j, name));

	return s ? s : "";
}

static json_int_t number_of(const json_t *j, const char *name)
{
	return json_integer_value(json_object_get(j, name));
}

/*
 * The same problem of another night: its numbers may differ (seconds, positions, bytes), names with digits in
 * them (db1) are other servers.
 */
static char *key_of(const json_t *problem)
{
	AUTO_STR struct str s = STR_INIT;
	const char *code = text_of(problem, "code"), *p = text_of(problem, "text");
	bool in_word = false;

	str_addf(&s, "%s %s ", code, text_of(problem, "server"));
	for (; *p; p++) {
		bool digit = isdigit((unsigned char)*p);

		if (digit && !in_word) {
			str_addc(&s, '#');
			p += strspn(p, "0123456789.:") - 1;
			continue;
		}
		in_word = isalnum((unsigned char)*p) || *p == '_' || (in_word && *p == '-');
		str_addc(&s, *p);
	}
	return str_take(&s);
}

static json_t *keys_of(const json_t *result)
{
	json_t *keys = json_object();
	const json_t *one;
	size_t i;

	json_array_foreach (json_object_get(result, "problems"), i, one) {
		AUTO(free) char *key = key_of(one);

		json_object_set_new(keys, key, json_true());
	}
	return keys;
}

/* Problems of `in` that `others` does not know. */
static void add_unknown(json_t *to, const json_t *in, const json_t *others, bool errors_only)
{
	json_t *known = keys_of(others);
	const json_t *one;
	size_t i;

	json_array_foreach (json_object_get(in, "problems"), i, one) {
		AUTO(free) char *key = key_of(one);

		if (json_object_get(known, key) ||
		        (errors_only && !str_is(text_of(one, "severity"), "error")))
			continue;
		json_object_set_new(known, key, json_true());
		json_array_append(to, json_object_get(one, "text"));
	}
	json_decref(known);
}

static bool is_slower(const json_t *now, const json_t *before)
{
	json_int_t a = number_of(now, "expected_ms"), b = number_of(before, "expected_ms");

	return before && a >= 2 * b && a - b >= SLOWER_LEAST_MS;
}

static void add_times(json_t *to, const char *word, const json_t *now, const json_t *before)
{
	json_array_append_new(to, json_sprintf("a failover would take %s: %.1f s, it was %.1f s",
	                                  word, (double)number_of(now, "expected_ms") / 1000,
	                                  (double)number_of(before, "expected_ms") / 1000));
}

static void add_sum(json_t *result)
{
	const json_t *part;
	json_int_t sum = 0;
	const char *name;

	json_object_foreach (json_object_get(result, "expected"), name, part)
		sum += json_integer_value(part);
	json_object_set_new(result, "expected_ms", json_integer(sum));
}

void rehearse_judge(json_t *result, const json_t *before)
{
	json_t *worse = json_array(), *better = json_array();
	bool refused = json_is_object(json_object_get(result, "refusal"));
	bool clean = !json_array_size(json_object_get(result, "problems"));

	add_sum(result);
	json_object_set_new(result, "result",
	        json_string(refused ? "refused"
	                    : clean ? "ready"
	                            : "warnings"));
	add_unknown(worse, result, before, !before);
	if (before)
		add_unknown(better, before, result, false);
	if (is_slower(result, before))
		add_times(worse, "longer", result, before);
	else if (before && is_slower(before, result))
		add_times(better, "less", result, before);
	json_object_set_new(result, "worse", worse);
	json_object_set_new(result, "better", better);
}

/* ---- text ---- */

void rehearse_line(struct str *to, const json_t *r)
{
	const char *fresh = text_of(r, "new_master");

	if (str_is(text_of(r, "result"), "refused")) {
		str_addf(to, "a failover would be refused: %s",
		        text_of(json_object_get(r, "refusal"), "text"));
		return;
	}
	str_addf(to, "%s would be the new master, in %.1f s or more", *fresh ? fresh : "nobody",
	        (double)number_of(r, "expected_ms") / 1000);
	if (json_array_size(json_object_get(r, "problems")))
		str_addf(to, "; %zu problem(s)", json_array_size(json_object_get(r, "problems")));
}

static void add_list(struct str *to, const char *title, const json_t *list)
{
	const json_t *one;
	size_t i;

	if (json_array_size(list))
		str_addf(to, "%s:\n", title);
	json_array_foreach (list, i, one) {
		const char *hint = text_of(one, "hint");

		str_addf(to, "  %s\n",
		        json_is_object(one) ? text_of(one, "text") : json_string_value(one));
		if (*hint)
			str_addf(to, "    %s\n", hint);
	}
}

static void add_expected(struct str *to, const json_t *r)
{
	const json_t *e = json_object_get(r, "expected");

	str_addf(to,
	        "Time without writes: at least %.1f s (%.1f to be sure, %.1f to look, %.1f in "
	        "hooks, "
	        "%.1f to apply what was received)\n",
	        (double)number_of(r, "expected_ms") / 1000,
	        (double)number_of(e, "detect_ms") / 1000, (double)number_of(e, "look_ms") / 1000,
	        (double)number_of(e, "hooks_ms") / 1000, (double)number_of(e, "apply_ms") / 1000);
}

void rehearse_text(struct str *to, const json_t *r)
{
	const json_t *tail = json_object_get(r, "only_the_master_has");

	str_addf(to, "Rehearsal of a failover of %s, master %s: %s\n", text_of(r, "cluster"),
	        text_of(r, "master"), text_of(r, "result"));
	if (*text_of(r, "new_master"))
		str_addf(to, "New master: %s\n", text_of(r, "new_master"));
	add_expected(to, r);
	str_addf(to, "Lost, if its server died now: %s\n",
	        *text_of(r, "lost") ? text_of(r, "lost") : "nothing");
	if (json_is_object(tail))
		str_addf(to, "Lost, if its disk died with it: %lld transactions (%lld bytes)\n",
		        (long long)number_of(tail, "transactions"),
		        (long long)number_of(tail, "bytes"));
	add_list(to, "Problems", json_object_get(r, "problems"));
	add_list(to, "Worse than in the rehearsal before", json_object_get(r, "worse"));
	add_list(to, "Better", json_object_get(r, "better"));
}
