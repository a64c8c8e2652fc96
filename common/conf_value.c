/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_value - the rows of conf_table.h, and the way between a setting's text and its field.
 * Used by the readers, conf.c and conf_text.c.  Runs on: any thread.
 */
#include "conf_internal.h"
#include <ctype.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "log.h"

static const struct conf_row rows[CONF_KEY_COUNT] = {
#define ROW(key, type_, reach_, allowed_, native, mha, help_)                                      \
	[CONF_##key] = {                                                                           \
		.name = #key,                                                                      \
		.type = CONF_TYPE_##type_,                                                         \
		.reach = CONF_REACH_##reach_,                                                      \
		.allowed = allowed_,                                                               \
		.defaults = { [CONF_NATIVE] = native, [CONF_MHA] = mha },                          \
		.help = help_,                                                                     \
		.offset = offsetof(struct conf_server, key),                                       \
	},
	CONF_SETTINGS(ROW)
#undef ROW
};

static const struct {
	const char *suffix;
	int64_t ms;
} units[] = { { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 }, { "", 1000 } };

const struct conf_row *conf_row(enum conf_key k)
{
	return &rows[k];
}

const char *conf_default(enum conf_key k, enum conf_format f)
{
	const char *text = rows[k].defaults[f];

	return text && *text != '<' ? text : NULL;
}

const char *conf_key_name(enum conf_key k)
{
	return rows[k].name;
}

const char *conf_key_help(enum conf_key k)
{
	return rows[k].help;
}

bool conf_key_is_secret(enum conf_key k)
{
	return rows[k].type == CONF_TYPE_SECRET;
}

bool conf_key_find(const char *name, enum conf_key *ret)
{
	for (int k = 0; k < CONF_KEY_COUNT; k++) {
		if (str_is(rows[k].name, name)) {
			*ret = (enum conf_key)k;
			return true;
		}
	}
	return false;
}

/* Few typing errors, another case, or the beginning of a long name. */
const char *conf_key_nearest(const char *name)
{
	const char *found = NULL, *begun = NULL;
	char lower[64];
	size_t len = strlen(name);
	int best = len < 4 ? 1 : len < 7 ? 2 : 3;

	if (len >= sizeof(lower))
		return NULL;
	for (size_t i = 0; i <= len; i++)
		lower[i] = (char)tolower((unsigned char)name[i]);
	for (int k = 0; k < CONF_KEY_COUNT; k++) {
		int longer = abs((int)len - (int)strlen(rows[k].name));
		int d = longer > best ? longer : str_distance(lower, rows[k].name);

		if (d < best || (d == best && !found)) {
			best = d;
			found = rows[k].name;
		}
		if (!begun && len >= 6 && str_starts(rows[k].name, lower))
			begun = rows[k].name;
	}
	return found ? found : begun;
}

static bool parse_msec(const char *text, int64_t *ret)
{
	size_t digits = strspn(text, "0123456789");

	if (!digits || digits > 9)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (str_is(text + digits, units[i].suffix)) {
			*ret = strtoll(text, NULL, 10) * units[i].ms;
			return true;
		}
	}
	return false;
}

static void format_msec(int64_t ms, struct str *ret)
{
	size_t i = 0;

	while (ms % units[i].ms)
		i++;
	str_addf(ret, "%" PRId64 "%s", ms / units[i].ms, units[i].suffix);
}

static bool find_word(const char *const *words, const char *text, int *ret)
{
	for (int i = 0; words[i]; i++) {
		if (!strcasecmp(words[i], text)) {
			*ret = i;
			return true;
		}
	}
	return false;
}

/* `text` without the bytes that stand in `drop`. */
static const char *without(struct arena *a, const char *text, const char *drop)
{
	char *copy = arena_strdup(a, text), *to = copy;

	for (; *text; text++) {
		if (!strchr(drop, *text))
			*to++ = *text;
	}
	*to = '\0';
	return copy;
}

static const char *clean(struct arena *a, enum conf_format f, enum conf_key k, const char *text)
{
	if (f == CONF_MHA && rows[k].type == CONF_TYPE_DIRS)
		text = without(a, text, " \t\f\v");
	if (f == CONF_MHA && k == CONF_ssh_options)
		text = without(a, text, "'\"");
	/* An empty user in a server's own block is one; every other empty text means "not set". */
	return *text || k == CONF_user || k == CONF_ssh_user ? text : NULL;
}

static bool parse_bool(enum conf_format f, const char *text, bool *ret)
{
	bool yes = str_is(text, "1") || str_is(text, "true"),
	     no = str_is(text, "0") || str_is(text, "false");

	if (f == CONF_MHA)
		*ret = *text && !str_is(text, "0");
	else if (yes || no)
		*ret = yes;
	return f == CONF_MHA || yes || no;
}

static bool parse_count(enum conf_format f, const char *text, bool *ret)
{
	long long n = 0;

	if (f == CONF_NATIVE)
		return parse_bool(f, text, ret);
	if (*text && !str_to_int(text, -1000000, 1000000, &n))
		return false;
	*ret = n >= 1;
	return true;
}

static bool parse_int(const struct conf_allowed *allowed, const char *text, int *ret)
{
	long long n;

	if (!str_to_int(text, allowed->min, allowed->max, &n))
		return false;
	*ret = (int)n;
	return true;
}

static bool parse_level(const char *text, int *ret)
{
	enum log_level level;

	if (!log_level_parse(text, &level))
		return false;
	*ret = (int)level;
	return true;
}

static bool parse_range_msec(const struct conf_allowed *allowed, const char *text, int64_t *ret)
{
	int64_t ms;

	if (!parse_msec(text, &ms) || ms < allowed->min || ms > allowed->max)
		return false;
	*ret = ms;
	return true;
}

bool conf_value_parse(struct arena *a, enum conf_format f, enum conf_key k, const char *text,
        struct conf_server *s)
{
	const struct conf_row *row = &rows[k];
	void *field = (char *)s + row->offset;

	switch (row->type) {
	case CONF_TYPE_STR:
	case CONF_TYPE_DIRS:
	case CONF_TYPE_SECRET: *(const char **)field = clean(a, f, k, text); return true;
	case CONF_TYPE_INT: return parse_int(&row->allowed, text, field);
	case CONF_TYPE_BOOL: return parse_bool(f, text, field);
	case CONF_TYPE_COUNT: return parse_count(f, text, field);
	case CONF_TYPE_MSEC: return parse_range_msec(&row->allowed, text, field);
	case CONF_TYPE_ENUM: return find_word(row->allowed.words, text, field);
	case CONF_TYPE_LEVEL: return parse_level(text, field);
	}
	return false;
}

bool conf_value_raw(const struct conf_server *s, enum conf_key k, struct str *ret)
{
	const struct conf_row *row = &rows[k];
	const void *field = (const char *)s + row->offset;

	switch (row->type) {
	case CONF_TYPE_STR:
	case CONF_TYPE_DIRS:
	case CONF_TYPE_SECRET: {
		const char *text = *(const char *const *)field;

		str_add(ret, text ? text : "");
		return text;
	}
	case CONF_TYPE_INT: str_addf(ret, "%d", *(const int *)field); break;
	case CONF_TYPE_BOOL:
	case CONF_TYPE_COUNT: str_add(ret, *(const bool *)field ? "1" : "0"); break;
	case CONF_TYPE_MSEC: format_msec(*(const int64_t *)field, ret); break;
	case CONF_TYPE_ENUM:
	case CONF_TYPE_LEVEL: str_add(ret, row->allowed.words[*(const int *)field]); break;
	}
	return true;
}

char *conf_value_text(const struct conf_server *s, enum conf_key k)
{
	struct str text = STR_INIT;

	if (conf_value_raw(s, k, &text) && conf_key_is_secret(k)) {
		mem_wipe(text.p, text.len);
		str_clear(&text);
		str_add(&text, "***");
	}
	return str_take(&text);
}

void conf_allowed_text(enum conf_key k, enum conf_format f, struct str *ret)
{
	const struct conf_row *row = &rows[k];

	switch (row->type) {
	case CONF_TYPE_BOOL:
	case CONF_TYPE_COUNT: str_add(ret, f == CONF_MHA ? "0 or 1" : "true or false"); break;
	case CONF_TYPE_INT:
		str_addf(ret, "%lld to %lld", row->allowed.min, row->allowed.max);
		break;
	case CONF_TYPE_MSEC:
		format_msec(row->allowed.min, ret);
		str_add(ret, " to ");
		format_msec(row->allowed.max, ret);
		break;
	case CONF_TYPE_ENUM:
	case CONF_TYPE_LEVEL:
		for (const char *const *w = row->allowed.words; *w; w++)
			str_addf(ret, "%s%s", w == row->allowed.words ? "" : ", ", *w);
		break;
	default: break;
	}
}

/* The name of the effective user, as MHA takes it for ssh_user. */
static const char *os_user(struct arena *a)
{
	char buf[4096];
	struct passwd pw, *found;

	if (!getpwuid_r(geteuid(), &pw, buf, sizeof(buf), &found) && found)
		return arena_strdup(a, pw.pw_name);
	return arena_printf(a, "%u", (unsigned)geteuid());
}

void conf_server_builtin(struct arena *a, enum conf_format f, struct conf_server *s)
{
	for (int k = 0; k < CONF_KEY_COUNT; k++) {
		const char *text = conf_default((enum conf_key)k, f);

		if (text && !conf_value_parse(a, f, (enum conf_key)k, text, s))
			abort(); /* a row of the table contradicts itself */
	}
	s->ssh_user = os_user(a);
}
