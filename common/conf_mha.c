/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_mha - MHA's .cnf files: the grammar of Perl's Config::Tiny, MHA's rules for sections, and
 * its order of servers. Called by conf.c and a fuzzer.  Runs on: any thread.
 *
 * All rules are MHA's, however odd, since files in the field rely on them; only the reporting is
 * better: all problems at once, each with its line.
 */
#include "conf_internal.h"
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\r\n\v\f"

static bool is_blank(char c)
{
	return c && strchr(BLANKS, c);
}

/* Cut the line at the first "blank ; blank text".  '#' starts no inline comment, nor does "a;b". */
static void cut_comment(char *line)
{
	for (char *p = line; *p; p++) {
		if (is_blank(p[0]) && p[1] == ';' && is_blank(p[2]) && p[3]) {
			*p = '\0';
			return;
		}
	}
}

/* The first digits behind "server"; "" when there are none. */
static const char *first_digits(const char *id)
{
	id += strlen("server");
	return id + strcspn(id, "0123456789");
}

/* Compare digit runs of any length as numbers. */
static int cmp_digits(const char *a, const char *b)
{
	size_t na, nb;

	a += strspn(a, "0");
	b += strspn(b, "0");
	na = strspn(a, "0123456789");
	nb = strspn(b, "0123456789");
	return na != nb ? (na < nb ? -1 : 1) : strncmp(a, b, na);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(
	        (*(struct conf_block *const *)a)->name, (*(struct conf_block *const *)b)->name);
}

static int by_number(const void *a, const void *b)
{
	int order = cmp_digits(first_digits((*(struct conf_block *const *)a)->name),
	        first_digits((*(struct conf_block *const *)b)->name));

	return order ? order : by_name(a, b);
}

void conf_mha_sort(struct conf_block **blocks, size_t n)
{
	bool numbered = true;

	for (size_t i = 0; i < n; i++)
		numbered = numbered && blocks[i]->kind == CONF_KIND_SERVER &&
		           *first_digits(blocks[i]->name);
	if (n)
		qsort(blocks, n, sizeof(*blocks), numbered ? by_number : by_name);
}

const char *conf_mha_unquote(struct arena *a, const char *text)
{
	size_t n = strlen(text);

	if (!n || !strchr("'\"", text[n - 1]))
		return text;
	n--;
	if (n && strchr("'\"", text[0])) {
		text++;
		n--;
	}
	return arena_strndup(a, text, n);
}

/* "server" or "binlog" and at least one non-blank. */
static bool is_block_name(const char *name, const char *prefix)
{
	const char *rest = name + strlen(prefix);

	return str_starts(name, prefix) && *rest && !is_blank(*rest);
}

static struct conf_block *open_section(struct conf_reader *r, const char *name, int line)
{
	struct conf_origin at = { r->file, line };

	if (str_is(name, "server default"))
		return conf_block_get(r, CONF_KIND_DEFAULTS, name, line);
	if (r->is_global) {
		conf_tell(r->report, false, at, NULL,
		        "Section [%.80s] has no effect: only [server default] counts in the global "
		        "file",
		        name);
		return conf_block_get(r, CONF_KIND_UNUSED, name, line);
	}
	if (is_block_name(name, "server"))
		return conf_block_get(r, CONF_KIND_SERVER, name, line);
	if (is_block_name(name, "binlog"))
		return conf_block_get(r, CONF_KIND_BINLOG, name, line);
	conf_tell(r->report, true, at,
	        str_is(name, "_") ? "put it below [server default] or a [serverN]"
	                          : "sections are [server default], [serverN] and [binlogN]",
	        "Block name \"%.80s\" is invalid.", name);
	return conf_block_get(r, CONF_KIND_UNUSED, name, line);
}

/* "[ name ]" to the name, in place; NULL when it is none.  The name may hold any character, ']'
 * too. */
static char *section_name(char *line)
{
	size_t n = strlen(line);

	if (n < 3 || line[0] != '[' || line[n - 1] != ']')
		return NULL;
	line[n - 1] = '\0';
	return str_trim(line + 1);
}

static void read_property(struct conf_reader *r, struct conf_block **block, char *line, int no)
{
	char *value = strchr(line, '=');

	if (!value || value == line) {
		conf_tell(r->report, true, (struct conf_origin){ r->file, no },
		        "lines are [section], name=value, or comments that begin with # or ;",
		        "Syntax error: neither a section nor name=value");
		return;
	}
	*value++ = '\0';
	if (!*block)
		*block = open_section(r, "_", no);
	if (*block)
		conf_block_set(r, *block, str_trim(line), str_trim(value), no);
}

static void read_line(struct conf_reader *r, struct conf_block **block, char *line, int no)
{
	char *name;

	line += strspn(line, BLANKS);
	if (!*line || *line == '#' || *line == ';')
		return;
	cut_comment(line); /* before the end is trimmed: a blank there may be the comment's text */
	line = str_trim(line);
	name = section_name(line);
	if (name)
		*block = open_section(r, name, no);
	else
		read_property(r, block, line, no);
}

/* Length of the line end at p: LF, CR LF, CR CR LF or CR; 0 when there is none. */
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

void conf_mha_read(struct conf_reader *r, const char *bytes, size_t n)
{
	const char *p = bytes, *end = bytes + n;
	struct conf_block *block = NULL;

	for (int no = 1; p < end; no++) {
		const char *start = p;
		char *line;

		while (p < end && !line_end(p, end))
			p++;
		line = xstrndup(start, (size_t)(p - start));
		if (strlen(line) < (size_t)(p - start))
			conf_tell(r->report, true, (struct conf_origin){ r->file, no }, NULL,
			        "The line holds a NUL byte");
		else
			read_line(r, &block, line, no);
		mem_free_secret(line);
		p += p < end ? line_end(p, end) : 0;
	}
}
