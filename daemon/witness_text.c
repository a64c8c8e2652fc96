/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * witness_text - the shell line that looks for a server where there may be no mha-node, its answers,
 * and the setting `witnesses`.  Runs on: any thread; witness_parse() blocks.
 */
#include "witness.h"
#include "names.h"
#include "str.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER "mhad-reach "
#define OPENED "=open="

const char *witness_word_name(enum witness_word w)
{
	static const char *const names[] = { "sees", "cannot", "ill" };

	return names[w];
}

static const char *const reach_names[] = { "", "greeting", "error", "open", "refused", "timeout",
	"unreachable", "no name" };

const char *witness_reach_name(enum witness_reach r)
{
	return reach_names[r];
}

static void set_reach(struct witness_answer *a, enum witness_reach r)
{
	a->reach = r;
	a->word = r == WITNESS_GREETING || r == WITNESS_ERROR ? WITNESS_SEES : WITNESS_CANNOT;
	if (r == WITNESS_REACH_NONE || r == WITNESS_NO_NAME)
		a->word = WITNESS_ILL;
}

/* ---- asking ---- */

/*
 * $1 host, $2 port, $3 seconds, $4 milliseconds, $5 folder of mha-node with its slash.  One line, without
 * single quotes or exclamation marks, since the login shell may be of any kind.  The first seven
 * bytes of a server tell a greeting from an error packet, and its number.
 */
static const char script[] =
        "set -f; h=$1; p=$2; t=$3; "
        "r=$(\"${5}mha-node\" reach --host=\"$h\" --port=\"$p\" --timeout_ms=\"$4\" --mysql "
        "2>/dev/null) && { echo \"" ANSWER "mha-node 0 $r\"; exit 0; }; "
        "b=\"dd bs=1 count=7 2>/dev/null | od -An -tx1\"; "
        "say() { case \"$2 $3\" in 124*|*" OPENED "*|*efused*|*imed*out*|*imeout*|*oute*|"
        "*nreachable*|*eset*|*not*known*|*esolution*|*ostname*|*ddress*) "
        "echo \"" ANSWER "$1\" $2 $3; exit 0;; esac; }; "
        "if command -v bash >/dev/null 2>&1 && command -v timeout >/dev/null 2>&1; then "
        "r=$(LC_ALL=C timeout \"$t\" bash -c "
        "\"exec 3<>/dev/tcp/$h/$p && echo " OPENED " && { $b; } <&3\" 2>&1); "
        "say bash $? \"$r\"; fi; "
        "if command -v perl >/dev/null 2>&1; then "
        "r=$(LC_ALL=C perl -e \"use IO::Socket::INET; \\$|=1; \\$SIG{ALRM}=sub{exit 124}; "
        "alarm $t; \\$s=IO::Socket::INET->new(PeerAddr=>q($h),PeerPort=>$p,Proto=>q(tcp)); "
        "unless(\\$s){print \\$@;exit 9} print qq(" OPENED " ); "
        "while(length(\\$b)<7){sysread(\\$s,\\$b,7,length(\\$b)) or last} "
        "print unpack(q(H*),\\$b)\" 2>&1); "
        "say perl $? \"$r\"; fi; "
        "if command -v nc >/dev/null 2>&1; then "
        "r=$({ LC_ALL=C nc -v -w \"$t\" \"$h\" \"$p\" </dev/null | eval \"$b\" | "
        "sed \"s/^/ " OPENED "/\"; } 2>&1); "
        "case \"$r\" in *" OPENED "*) ;; *ucceeded*|*\" open\"*) say nc 124 " OPENED ";; esac; "
        "say nc 0 \"$r\"; fi; "
        "echo \"" ANSWER "none 1 no mha-node, bash, perl or nc that could look\"";

/* It becomes part of other programs' texts. */
static bool is_plain(const char *host)
{
	return *host && *host != '-' &&
	       !host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                          "0123456789.-_:%")];
}

char *witness_line(const char *host, int port, int64_t timeout_ms, const char *node_bindir)
{
	struct str line = STR_INIT;
	AUTO(free)
	char *dir = node_bindir && *node_bindir ? xasprintf("%s/", node_bindir) : xstrdup("");

	str_add(&line, "sh -c ");
	str_add_shell(&line, script);
	str_add(&line, " sh ");
	str_add_shell(&line, is_plain(host) ? host : "invalid.");
	/* Whole seconds are what alarm and nc know. */
	str_addf(&line, " %d %lld %lld ", port,
	        timeout_ms < 2000 ? 1LL : (long long)timeout_ms / 1000, (long long)timeout_ms);
	str_add_shell(&line, dir);
	return str_take(&line);
}

/* ---- reading ---- */

bool witness_read_value(const json_t *value, struct witness_answer *a)
{
	const char *result = json_string_value(json_object_get(value, "result"));
	const char *text = json_string_value(json_object_get(value, "text"));
	const char *address = json_string_value(json_object_get(value, "address"));
	int code = (int)json_integer_value(json_object_get(value, "code"));
	int port = (int)json_integer_value(json_object_get(value, "port"));

	for (size_t i = WITNESS_GREETING; result && i < WITNESS_NO_NAME; i++) {
		if (!str_is(result, reach_names[i]))
			continue;
		set_reach(a, (enum witness_reach)i);
		a->took_ms = (int64_t)json_number_value(json_object_get(value, "ms"));
		snprintf(a->how, sizeof(a->how), "mha-node");
		snprintf(a->detail, sizeof(a->detail), "%s:%d: %s", address ? address : "", port,
		        result);
		if (code)
			snprintf(a->detail + strlen(a->detail),
			        sizeof(a->detail) - strlen(a->detail), " %d", code);
		if (text && *text)
			snprintf(a->detail + strlen(a->detail),
			        sizeof(a->detail) - strlen(a->detail), ": %s", text);
		return true;
	}
	return false;
}

/* Hex digits, blanks between them or not. */
static size_t read_hex(const char *p, unsigned char *to, size_t size)
{
	size_t n = 0;
	char pair[3] = "";

	while (n < size) {
		p += strspn(p, " ");
		if (!isxdigit((unsigned char)p[0]) || !isxdigit((unsigned char)p[1]))
			break;
		memcpy(pair, p, 2);
		to[n++] = (unsigned char)strtoul(pair, NULL, 16);
		p += 2;
	}
	return n;
}

static void read_bytes(struct witness_answer *a, int status, const char *hex)
{
	unsigned char b[7];
	size_t n = read_hex(hex, b, sizeof(b));

	if (n >= 5 && b[4] == 10) {
		set_reach(a, WITNESS_GREETING);
		snprintf(a->detail, sizeof(a->detail), "it greets");
	} else if (n == 7 && b[4] == 0xff) {
		set_reach(a, WITNESS_ERROR);
		snprintf(a->detail, sizeof(a->detail), "error %d", b[5] | b[6] << 8);
	} else {
		set_reach(a, WITNESS_OPEN);
		snprintf(a->detail, sizeof(a->detail), "%s",
		        n               ? "what answers there is no MySQL server"
		        : status == 124 ? "the port accepts, no greeting comes"
		                        : "closed without a greeting");
	}
}

static enum witness_reach reach_of_words(int status, const char *text)
{
	static const struct {
		const char *word;
		enum witness_reach reach;
	} words[] = {
		{ "efused", WITNESS_REFUSED },
		{ "eset", WITNESS_REFUSED },
		{ "oute", WITNESS_UNREACHABLE },
		{ "nreachable", WITNESS_UNREACHABLE },
		{ "not known", WITNESS_NO_NAME },
		{ "esolution", WITNESS_NO_NAME },
		{ "ostname", WITNESS_NO_NAME },
		{ "ddress", WITNESS_NO_NAME },
		{ "imed out", WITNESS_TIMEOUT },
		{ "imeout", WITNESS_TIMEOUT },
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strstr(text, words[i].word))
			return words[i].reach;
	return status == 124 ? WITNESS_TIMEOUT : WITNESS_REACH_NONE;
}

static bool read_words(struct witness_answer *a, const char *how, int status, const char *text)
{
	const char *opened = strstr(text, OPENED);

	snprintf(a->how, sizeof(a->how), "%s", how);
	a->took_ms = -1;
	if (opened) {
		read_bytes(a, status, opened + strlen(OPENED));
		return true;
	}
	set_reach(a, str_is(how, "none") ? WITNESS_REACH_NONE : reach_of_words(status, text));
	snprintf(a->detail, sizeof(a->detail), "%s",
	        a->reach == WITNESS_TIMEOUT ? "no answer in time" : text);
	return true;
}

bool witness_read(const char *out, struct witness_answer *a)
{
	const char *p = strstr(out, ANSWER);
	char how[12] = "";
	int status = 0, used = 0;
	AUTO(free) char *text = NULL;

	if (!p || sscanf(p + strlen(ANSWER), "%11s %d%n", how, &status, &used) != 2)
		return false;
	p += strlen(ANSWER) + used;
	text = xstrndup(p, strcspn(p, "\n"));
	if (str_is(how, "mha-node")) {
		json_t *value = json_loads(text, 0, NULL);
		bool ok = witness_read_value(value, a);

		json_decref(value);
		return ok;
	}
	return read_words(a, how, status, str_trim(text));
}

/* ---- the setting ---- */

static bool split_port(char *host, int *port, struct err *e)
{
	char *colon = strrchr(host, ':'), *close = strrchr(host, ']');
	long long n;

	if (*host == '[') {
		if (!close || (close[1] && close[1] != ':'))
			return err_set(e, ERR_CONFIG, 0, "\"%s\" is not [address]:port", host);
		colon = close[1] ? close + 1 : NULL;
	} else if (colon && strchr(host, ':') != colon) {
		colon = NULL; /* an IPv6 address without brackets */
	}
	if (colon) {
		if (!str_to_int(colon + 1, 1, 65535, &n))
			return err_set(e, ERR_CONFIG, 0, "\"%s\" is not a port", colon + 1);
		*port = (int)n;
		*colon = '\0';
	}
	if (close)
		*close = '\0';
	return true;
}

/* "user@host:port"; fills what is there. */
static bool read_one(char *text, struct conf_server *s, struct err *e)
{
	char *at = strrchr(text, '@'), *host = at ? at + 1 : text;
	int port = s->ssh_port;

	if (at)
		*at = '\0';
	if ((at && !*text) || !*host || strpbrk(host, " \t/;'\"") || (at && strpbrk(text, " \t")))
		return err_set(e, ERR_CONFIG, 0, "\"%s%s%s\" is not user@host:port", at ? text : "",
		        at ? "@" : "", host);
	if (!split_port(host, &port, e))
		return false;
	host += *host == '[';
	if (!*host)
		return err_set(e, ERR_CONFIG, 0, "a witness without a host");
	s->ssh_port = port;
	s->ssh_user = at ? xstrdup(text) : s->ssh_user ? xstrdup(s->ssh_user) : NULL;
	s->hostname = s->ssh_host = xstrdup(host);
	return true;
}

static void free_one(struct conf_server *s, const struct conf_server *defaults)
{
	(void)defaults;
	free((void *)(uintptr_t)s->ssh_user);
	free((void *)(uintptr_t)s->hostname);
	free((void *)(uintptr_t)s->ssh_address);
	free((void *)(uintptr_t)s->hostinfo);
	free(s);
}

void witness_hosts_done(struct witness_hosts *h)
{
	for (size_t i = 0; i < h->len; i++)
		free_one(h->items[i], NULL);
	free(h->items);
	*h = (struct witness_hosts){ 0 };
}

static bool look_up(struct witness_hosts *h, int64_t deadline, struct err *e)
{
	AUTO(free) struct names_item *names = xzalloc((h->len + 1) * sizeof(*names));
	bool ok = true;

	for (size_t i = 0; i < h->len; i++)
		names[i].name = h->items[i]->hostname;
	names_look_up(names, h->len, deadline);
	for (size_t i = 0; i < h->len; i++) {
		struct conf_server *s = h->items[i];

		for (size_t j = 0; j < h->len && !s->ssh_address; j++)
			if (names[j].name == s->hostname && names[j].address[0])
				s->ssh_address = s->ssh_ip = s->ip = xstrdup(names[j].address);
			else if (names[j].name == s->hostname && ok)
				ok = err_set(e, ERR_CONFIG, 0, "witness %s cannot be looked up: %s",
				        s->hostname, names[j].error);
		if (s->ssh_address)
			s->hostinfo =
			        xasprintf("%s(%s:%d)", s->hostname, s->ssh_address, s->ssh_port);
	}
	return ok;
}

static bool add_one(
        struct witness_hosts *h, char *text, const struct conf_server *defaults, struct err *e)
{
	struct conf_server *s = xmalloc(sizeof(*s));

	*s = *defaults;
	s->id = "";
	s->is_binlog_server = false;
	s->hostname = s->ssh_host = s->ssh_user = s->ssh_address = NULL;
	s->hostinfo = s->ip = s->ssh_ip = s->node_label = NULL;
	s->ssh_user = defaults->ssh_user;
	if (!read_one(text, s, e)) {
		free(s);
		return false;
	}
	h->items = xrealloc(h->items, (h->len + 1) * sizeof(struct conf_server *));
	h->items[h->len++] = s;
	return true;
}

bool witness_parse(const char *text, const struct conf_server *defaults, int64_t deadline,
        struct witness_hosts *ret, struct err *e)
{
	AUTO(free) char *copy = xstrdup(text ? text : "");
	struct witness_hosts h = { 0 };
	char *rest = copy, *one;
	bool ok = true;

	while (ok && (one = strsep(&rest, ","))) {
		one = str_trim(one);
		ok = !*one || add_one(&h, one, defaults, e);
	}
	ok = ok && look_up(&h, deadline, e);
	if (!ok) {
		witness_hosts_done(&h);
		return err_ctx(e, "witnesses");
	}
	*ret = h;
	return true;
}
