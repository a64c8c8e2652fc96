/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_edit_text - the text of an MHA .cnf file with a block more or less.  Called by conf_edit.c and
 * a fuzzer.  Runs on: any thread.
 *
 * Lines are told apart as conf_mha.c does; what it would make of the result is tried before a file is
 * replaced.
 */
#include "conf_edit.h"
#include <stdlib.h>
#include <string.h>
#include "vec.h"

#define BLANKS " \t\r\n\v\f"

enum kind { BLANK, COMMENT, SECTION, SETTING };

struct line {
	const char *p;
	size_t len; /* with its end */
	enum kind kind;
	bool wanted; /* SECTION: the one that is looked for */
	bool gone;
};

struct lines {
	VEC(struct line) v;
};

static size_t line_end(const char *p, const char *end)
{
	size_t left = (size_t)(end - p);

	if (*p == '\n')
		return 1;
	if (*p != '\r')
		return 0;
	if (left > 1 && p[1] == '\n')
		return 2;
	return left > 2 && p[1] == '\r' && p[2] == '\n' ? 3 : 1;
}

static bool is_blank(char c)
{
	return c && strchr(BLANKS, c);
}

static void cut_comment(char *text)
{
	for (char *p = text; *p; p++) {
		if (is_blank(p[0]) && p[1] == ';' && is_blank(p[2]) && p[3]) {
			*p = '\0';
			return;
		}
	}
}

/* `text`: one line without its end, to be changed. */
static enum kind kind_of(char *text, const char *block, bool *ret_wanted)
{
	size_t n;

	*ret_wanted = false;
	text += strspn(text, BLANKS);
	if (!*text)
		return BLANK;
	if (*text == '#' || *text == ';')
		return COMMENT;
	cut_comment(text);
	text = str_trim(text);
	n = strlen(text);
	if (n < 3 || text[0] != '[' || text[n - 1] != ']')
		return SETTING;
	text[n - 1] = '\0';
	*ret_wanted = str_is(str_trim(text + 1), block);
	return SECTION;
}

static void split(struct lines *ret, const char *bytes, size_t n, const char *block)
{
	const char *p = bytes, *end = bytes + n;

	while (p < end) {
		struct line l = { .p = p };
		char *text;

		while (p < end && !line_end(p, end))
			p++;
		text = xstrndup(l.p, (size_t)(p - l.p));
		p += p < end ? line_end(p, end) : 0;
		l.len = (size_t)(p - l.p);
		l.kind = kind_of(text, block, &l.wanted);
		mem_free_secret(text);
		vec_push(&ret->v, l);
	}
}

bool conf_edit_has(const char *bytes, size_t n, const char *block)
{
	struct lines lines = { VEC_INIT };
	bool found = false;

	split(&lines, bytes, n, block);
	vec_each (struct line, l, &lines.v)
		found = found || l->wanted;
	vec_done(&lines.v);
	return found;
}

/* How the file ends its lines. */
static const char *end_in_use(const char *bytes, size_t n)
{
	for (const char *p = bytes, *end = bytes + n; p < end; p++) {
		switch (line_end(p, end)) {
		case 1: return *p == '\n' ? "\n" : "\r";
		case 2: return "\r\n";
		case 3: return "\r\r\n";
		default: break;
		}
	}
	return "\n";
}

void conf_edit_add(struct str *ret, const char *bytes, size_t n, const char *block,
        const struct conf_edit_param *params, size_t n_params)
{
	const char *eol = end_in_use(bytes, n);
	struct lines lines = { VEC_INIT };
	const struct line *last;

	split(&lines, bytes, n, block);
	last = lines.v.len ? &lines.v.items[lines.v.len - 1] : NULL;
	str_addn(ret, bytes, n);
	if (n && bytes[n - 1] != '\n' && bytes[n - 1] != '\r')
		str_add(ret, eol);
	if (last && last->kind != BLANK)
		str_add(ret, eol);
	str_addf(ret, "[%s]%s", block, eol);
	for (size_t i = 0; i < n_params; i++)
		str_addf(ret, "%s=%s%s", params[i].name, params[i].value, eol);
	vec_done(&lines.v);
}

/* First line from `i` on that is not of this kind. */
static size_t skip(const struct lines *lines, size_t i, enum kind kind)
{
	while (i < lines->v.len && lines->v.items[i].kind == kind)
		i++;
	return i;
}

/* Behind the block: its last setting, and comments right below it unless they head the next section. */
static size_t block_end(const struct lines *lines, size_t first)
{
	size_t end = first + 1, after;

	for (size_t i = first + 1; i < lines->v.len && lines->v.items[i].kind != SECTION; i++) {
		if (lines->v.items[i].kind == SETTING)
			end = i + 1;
	}
	after = skip(lines, end, COMMENT);
	return after < lines->v.len && lines->v.items[after].kind == SECTION ? end : after;
}

/* One of the blank lines around the block stays, none at the end of the file. */
static void drop(struct lines *lines, size_t first)
{
	struct line *items = lines->v.items;
	size_t end = block_end(lines, first), next = skip(lines, end, BLANK);
	bool blank_before = first > 0 && items[first - 1].kind == BLANK;

	if (first == 0 || blank_before || next == lines->v.len)
		end = next;
	if (blank_before && end == lines->v.len)
		first--;
	for (size_t i = first; i < end; i++)
		items[i].gone = true;
}

void conf_edit_remove(struct str *ret, const char *bytes, size_t n, const char *block)
{
	struct lines lines = { VEC_INIT };

	split(&lines, bytes, n, block);
	for (size_t i = 0; i < lines.v.len; i++) {
		if (lines.v.items[i].wanted)
			drop(&lines, i);
	}
	vec_each (struct line, l, &lines.v) {
		if (!l->gone)
			str_addn(ret, l->p, l->len);
	}
	vec_done(&lines.v);
}
