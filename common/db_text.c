/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * db_text - the part of db that needs no server: quoting, redaction, error numbers.  Runs on: any thread.
 */
#include "db_impl.h"
#include <ctype.h>
#include <string.h>
#include <strings.h>
#include "str.h"

char *db_quote(const char *text)
{
	AUTO_STR struct str s = STR_INIT;

	str_addc(&s, '\'');
	for (; *text; text++) {
		if (*text == '\'' || *text == '\\')
			str_addc(&s, *text);
		str_addc(&s, *text);
	}
	str_addc(&s, '\'');
	return str_take(&s);
}

char *db_quote_name(const char *name)
{
	AUTO_STR struct str s = STR_INIT;

	str_addc(&s, '`');
	for (; *name; name++) {
		if (*name == '`')
			str_addc(&s, '`');
		str_addc(&s, *name);
	}
	str_addc(&s, '`');
	return str_take(&s);
}

/*
 * Walks over a statement.  Behind IDENTIFIED or a word that ends in PASSWORD every literal counts as secret, up
 * to the next comma or semicolon of the same nesting: rather one too many than one too few.
 */
struct scan {
	const char *at;
	int depth;
	int secret_depth; /* -1: not behind such a word */
};

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

static void scan_word(struct scan *s)
{
	static const char by[] = "identified", password[] = "password";
	const size_t lby = sizeof(by) - 1, lpw = sizeof(password) - 1;
	const char *from = s->at;
	size_t n;

	while (is_word(*s->at))
		s->at++;
	n = (size_t)(s->at - from);
	if (s->secret_depth < 0 &&
	        ((n == lby && strncasecmp(from, by, n) == 0) ||
	                (n >= lpw && strncasecmp(s->at - lpw, password, lpw) == 0)))
		s->secret_depth = s->depth;
}

/* Behind the closing quote, or at the end of the text when there is none. */
static void scan_quoted(struct scan *s)
{
	char quote = *s->at++;

	for (; *s->at; s->at++) {
		if (*s->at == '\\' && quote != '`' && s->at[1]) {
			s->at++;
		} else if (*s->at == quote) {
			s->at++;
			if (*s->at != quote)
				return;
		}
	}
}

static void scan_past(struct scan *s, const char *end)
{
	const char *found = strstr(s->at, end);

	s->at = found ? found + strlen(end) : s->at + strlen(s->at);
}

/* What an executable comment holds is read as any other text. */
static bool scan_comment(struct scan *s)
{
	const char *p = s->at;

	if (*p == '#' || (p[0] == '-' && p[1] == '-' && (!p[2] || isspace((unsigned char)p[2]))))
		scan_past(s, "\n");
	else if (p[0] == '/' && p[1] == '*' && p[2] != '!' && p[2] != 'M')
		scan_past(s, "*/");
	else
		return false;
	return true;
}

static void scan_sign(struct scan *s)
{
	char c = *s->at++;

	if (c == '(')
		s->depth++;
	if (c == ')' && s->depth > 0)
		s->depth--;
	if (s->depth < s->secret_depth || ((c == ',' || c == ';') && s->depth == s->secret_depth))
		s->secret_depth = -1;
}

/* The next secret literal with its quotes. */
static bool scan_secret(struct scan *s, const char **ret_from, const char **ret_to)
{
	while (*s->at) {
		const char *from = s->at;

		if (is_word(*from)) {
			scan_word(s);
		} else if (*from == '\'' || *from == '"' || *from == '`') {
			scan_quoted(s);
			if (*from != '`' && s->secret_depth >= 0) {
				*ret_from = from;
				*ret_to = s->at;
				return true;
			}
		} else if (!scan_comment(s)) {
			scan_sign(s);
		}
	}
	return false;
}

char *db_redact(const char *sql)
{
	struct scan s = { sql, 0, -1 };
	AUTO_STR struct str out = STR_INIT;
	const char *from, *to, *done = sql;

	while (scan_secret(&s, &from, &to)) {
		str_addn(&out, done, (size_t)(from - done));
		str_add(&out, "'xxx'");
		done = to;
	}
	str_add(&out, done);
	return str_take(&out);
}

/* A syntax error quotes the statement from anywhere; other errors may quote a value. */
bool db_text_leaks(const char *sql, int code, const char *message)
{
	const int syntax = 1064;
	struct scan s = { sql, 0, -1 };
	const char *from, *to;

	while (scan_secret(&s, &from, &to)) {
		size_t n = (size_t)(to - from);

		if (code == syntax || (n > 2 && memmem(message, strlen(message), from + 1, n - 2)))
			return true;
	}
	return false;
}

bool db_code_is_alive(int code)
{
	static const int alive[] = {
		1040, /* too many connections */
		1042, /* cannot resolve our name */
		1043, /* bad handshake */
		1044, /* access to the database denied */
		1045, /* access denied */
		1129, /* host blocked after many errors */
		1130, /* host not allowed */
		1203, /* too many connections of this user */
		1226, /* resource limit of this user */
		1251, /* old authentication protocol */
		1275, /* the same, refused by the server */
		1524, /* authentication plug-in not loaded */
		1698, /* access denied, no password wanted */
		1820, /* password must be changed first */
		1862, /* password expired */
		3032, /* offline mode */
		3118, /* account locked */
		3159, /* only over TLS */
		3955, /* account blocked after wrong passwords */
		4150, /* MariaDB: the same */
		4151, /* MariaDB: account locked */
	};

	for (size_t i = 0; i < ARRAY_LEN(alive); i++)
		if (alive[i] == code)
			return true;
	return false;
}

bool db_code_is_ours(int code)
{
	return (code >= 2000 && code <= 2999) || (code >= 5000 && code <= 5999);
}

enum err_kind db_login_kind(int code)
{
	switch (code) {
	case 2026: /* TLS */
	case 5010: /* the server wants a plug-in that we do not allow */ return ERR_PRECOND;
	case 2059: /* a plug-in of ours is not installed */
	case 5012: /* the same */
	case 5004: /* a file of ours is not there */
	case 5005: /* or cannot be read */ return ERR_CONFIG;
	case 2000: /* a plug-in of ours cannot make sense of the server's answer */
	case 2007: /* another protocol version */
	case 2012: /* not MySQL's handshake at all */
	case 2027: /* malformed packet */ return ERR_PARSE;
	default: return !code || db_code_is_ours(code) ? ERR_UNREACHABLE : ERR_REFUSED;
	}
}
