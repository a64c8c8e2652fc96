/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * opt - command lines.  Every program's main() calls opt_parse() once with its own table.  Runs on:
 * any thread.
 */
#include "opt.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* One name out of "name|alias". */
struct name {
	const char *p;
	size_t len;
};

static bool next_name(const char **rest, struct name *ret)
{
	if (!*rest || !**rest)
		return false;
	ret->p = *rest;
	ret->len = strcspn(*rest, "|");
	*rest += ret->len + ((*rest)[ret->len] == '|');
	return true;
}

static char fold(char c)
{
	return c == '-' ? '_' : (char)tolower((unsigned char)c);
}

static bool is_start_of(const char *typed, size_t len, struct name full)
{
	if (len > full.len)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (fold(typed[i]) != fold(full.p[i]))
			return false;
	}
	return true;
}

/* Whether `typed` is a whole name of this option, or the start of one. */
static bool matches(const struct opt *o, const char *typed, size_t len, bool *ret_whole)
{
	const char *rest = o->names;
	struct name n;
	bool found = false;

	*ret_whole = false;
	while (next_name(&rest, &n)) {
		if (is_start_of(typed, len, n)) {
			found = true;
			*ret_whole |= len == n.len;
		}
	}
	return found;
}

static bool unknown(const struct opt *opts, const char *typed, size_t len, struct err *e)
{
	AUTO(free) char *word = xstrndup(typed, len);
	AUTO(free) char *best = NULL;
	int best_distance = (int)len / 3 + 2;

	for (char *p = word; *p; p++)
		*p = fold(*p);
	for (const struct opt *o = opts; o->names; o++) {
		const char *rest = o->names;
		struct name n;

		while (next_name(&rest, &n)) {
			AUTO(free) char *known = xstrndup(n.p, n.len);
			int d = str_distance(word, known);

			if (d < best_distance) {
				best_distance = d;
				free(best);
				best = TAKE(known);
			}
		}
	}
	err_set(e, ERR_CONFIG, 0, "unknown option --%.*s", (int)len, typed);
	return best ? err_hint(e, "did you mean --%s?", best)
	            : err_hint(e, "--help lists the options");
}

static bool ambiguous(const struct opt *opts, const char *typed, size_t len, struct err *e)
{
	AUTO_STR struct str all = STR_INIT;
	bool whole;

	for (const struct opt *o = opts; o->names; o++) {
		if (matches(o, typed, len, &whole))
			str_addf(&all, "%s--%.*s", all.len ? ", " : "", (int)strcspn(o->names, "|"),
			        o->names);
	}
	return err_set(e, ERR_CONFIG, 0, "option --%.*s is ambiguous: %s", (int)len, typed, all.p);
}

static const struct opt *find(const struct opt *opts, const char *typed, size_t len, struct err *e)
{
	const struct opt *only = NULL;
	bool whole, several = false;

	for (const struct opt *o = opts; o->names; o++) {
		if (!matches(o, typed, len, &whole))
			continue;
		if (whole)
			return o;
		several |= only != NULL;
		only = o;
	}
	if (several)
		ambiguous(opts, typed, len, e);
	else if (!only)
		unknown(opts, typed, len, e);
	return several ? NULL : only;
}

static bool store_int(const struct opt *o, const char *value, struct err *e)
{
	int name_len = (int)strcspn(o->names, "|");
	bool limited = o->min || o->max;
	long long v;

	if (!str_to_int(value, limited ? o->min : INT64_MIN, limited ? o->max : INT64_MAX, &v)) {
		err_set(e, ERR_CONFIG, 0, "\"%s\" is no proper value for --%.*s", value, name_len,
		        o->names);
		if (!limited)
			return err_hint(e, "a whole number is needed");
		if (o->max == INT64_MAX)
			return err_hint(
			        e, "a whole number of %lld or more is needed", (long long)o->min);
		return err_hint(e, "a whole number from %lld to %lld is needed", (long long)o->min,
		        (long long)o->max);
	}
	if (o->to)
		*(int64_t *)o->to = v;
	return true;
}

static bool store(const struct opt *o, char *value, struct err *e)
{
	switch (o->type) {
	case OPT_FLAG:
		if (o->to)
			*(bool *)o->to = true;
		return true;
	case OPT_STR:
		if (o->to)
			*(const char **)o->to = value;
		return true;
	case OPT_INT: return store_int(o, value, e);
	case OPT_SECRET:
		if (o->to) {
			mem_free_secret(*(char **)o->to);
			*(char **)o->to = xstrdup(value);
		}
		memset(value, 'x', strlen(value));
		return true;
	}
	return false;
}

/* The option at argv[*i]; moves *i on to the value's word when the value stands alone. */
static bool take_option(const struct opt *opts, int argc, char **argv, int *i, struct err *e)
{
	const char *typed = argv[*i] + (argv[*i][1] == '-' ? 2 : 1);
	size_t len = strcspn(typed, "=");
	char *value = typed[len] ? argv[*i] + (typed - argv[*i]) + len + 1 : NULL;
	const struct opt *o = find(opts, typed, len, e);

	if (!o)
		return false;
	if (o->type == OPT_FLAG && value)
		return err_set(e, ERR_CONFIG, 0, "option --%.*s takes no value", (int)len, typed);
	if (o->type != OPT_FLAG && !value) {
		if (*i + 1 >= argc)
			return err_set(
			        e, ERR_CONFIG, 0, "option --%.*s needs a value", (int)len, typed);
		value = argv[++*i];
	}
	return store(o, value, e);
}

bool opt_parse(const struct opt *opts, int argc, char **argv, int *ret_words, struct err *e)
{
	int words = 0;
	bool ended = false;

	for (int i = 1; i < argc; i++) {
		if (!ended && str_is(argv[i], "--")) {
			ended = true;
		} else if (!ended && argv[i][0] == '-' && argv[i][1]) {
			if (!take_option(opts, argc, argv, &i, e))
				return false;
		} else if (ret_words) {
			argv[++words] = argv[i];
		} else {
			/* Not shown: it may be the rest of a password that a shell has cut. */
			err_set(e, ERR_CONFIG, 0, "word %d of the command line is no option", i);
			return err_hint(e, "--help lists the options");
		}
	}
	if (ret_words)
		*ret_words = words;
	return true;
}

static void left_column(struct str *out, const struct opt *o)
{
	str_addf(out, "  --%.*s", (int)strcspn(o->names, "|"), o->names);
	if (o->type != OPT_FLAG)
		str_addf(out, "=%s", o->arg ? o->arg : "VALUE");
}

void opt_help(struct str *out, const struct opt *opts)
{
	enum { WIDEST = 34 };
	size_t width = 0;

	for (const struct opt *o = opts; o->names; o++) {
		AUTO_STR struct str left = STR_INIT;

		left_column(&left, o);
		if (o->help && left.len > width && left.len <= WIDEST)
			width = left.len;
	}
	for (const struct opt *o = opts; o->names; o++) {
		AUTO_STR struct str left = STR_INIT;

		left_column(&left, o);
		if (o->help)
			str_addf(out, "%-*s  %s\n", (int)width, left.p, o->help);
	}
}
