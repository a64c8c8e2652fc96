/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * login - option files, and which addresses are this host's own.
 * Runs on: any thread.
 */
#include "login.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "dir.h"
#include "str.h"

#define FILE_MAX     (1 << 20)
#define DEFAULT_PORT 3306
#define CONNECT_MS   10000

static void free_addrs(struct addrinfo *a)
{
	freeaddrinfo(a);
}
CLEANUP_FN(addrs, struct addrinfo *, free_addrs)

static void set(char **to, const char *value)
{
	mem_free_secret(*to);
	*to = xstrdup(value);
}

void login_done(struct login *l)
{
	free(l->user);
	mem_free_secret(l->password);
	free(l->address);
	free(l->socket);
	*l = (struct login){ 0 };
}

static char unescape(char c)
{
	switch (c) {
	case 'n': return '\n';
	case 't': return '\t';
	case 'r': return '\r';
	case 'b': return '\b';
	case 's': return ' ';
	default: return c;
	}
}

/* In place: quotes off, escapes resolved, a comment at its end removed. */
static char *clean_value(char *value)
{
	char *start = str_trim(value), *to = start, quote = 0;

	if (*start == '\'' || *start == '"')
		quote = *start;
	for (const char *p = start + !!quote; *p; p++) {
		if (quote ? *p == quote : *p == '#')
			break;
		if (*p == '\\' && p[1])
			*to++ = unescape(*++p);
		else
			*to++ = *p;
	}
	*to = '\0';
	return quote ? start : str_trim(start);
}

static bool is_ours(const char *section)
{
	return !strcasecmp(section, "[client]") || !strcasecmp(section, "[client-server]") ||
	       !strcasecmp(section, "[client-mariadb]");
}

static void take_setting(struct login *l, const char *key, const char *value)
{
	long long port;

	if (!strcasecmp(key, "user"))
		set(&l->user, value);
	else if (!strcasecmp(key, "password"))
		set(&l->password, value);
	else if (!strcasecmp(key, "host"))
		set(&l->address, value);
	else if (!strcasecmp(key, "socket"))
		set(&l->socket, value);
	else if (!strcasecmp(key, "port") && str_to_int(value, 1, 65535, &port))
		l->port = (unsigned)port;
}

void login_parse_file(const char *text, struct login *l)
{
	char *copy = xstrdup(text), *rest = copy, *line;
	bool ours = false;

	while ((line = strsep(&rest, "\n"))) {
		char *key = str_trim(line), *value = strchr(key, '=');

		if (*key == '[')
			ours = is_ours(key);
		if (!ours || !value || !isalpha((unsigned char)*key))
			continue;
		*value++ = '\0';
		take_setting(l, str_trim(key), clean_value(value));
	}
	mem_free_secret(copy);
}

static bool read_file(const char *path, struct login *l, struct err *e)
{
	AUTO_FD int fd = dir_open_file(path, e);
	char *text;
	size_t len = 0;
	ssize_t n = 1;

	if (fd < 0)
		return false;
	text = xmalloc(FILE_MAX + 1);
	while (len < FILE_MAX && (n = read(fd, text + len, FILE_MAX - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	if (n == 0)
		login_parse_file(text, l);
	mem_free_secret(text);
	return n == 0 || err_set(e, ERR_CONFIG, 0, "%s cannot be read, or is no option file", path);
}

/* The first line of standard input. */
static bool read_stdin(struct verb_io *io, struct login *l, struct err *e)
{
	char text[1024] = "";
	size_t len = 0;
	ssize_t n = 1;

	while (len < sizeof(text) - 1 && !memchr(text, '\n', len) &&
	        (n = verb_read(io, text + len, sizeof(text) - 1 - len, e)) > 0)
		len += (size_t)n;
	if (n < 0)
		return false;
	text[len] = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	set(&l->password, text);
	mem_wipe(text, sizeof(text));
	return true;
}

static bool is_own_interface(const char *address)
{
	struct ifaddrs *all = NULL;
	bool found = false;

	if (getifaddrs(&all) < 0)
		return false;
	for (const struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
		char text[INET6_ADDRSTRLEN];
		int family = i->ifa_addr ? i->ifa_addr->sa_family : AF_UNSPEC;
		const void *p = NULL;

		if (family == AF_INET)
			p = &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr;
		else if (family == AF_INET6)
			p = &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr;
		found = p && inet_ntop(family, p, text, sizeof(text)) && str_is(text, address);
	}
	freeifaddrs(all);
	return found;
}

bool login_is_local(const char *address)
{
	return str_starts(address, "127.") || str_is(address, "::1") || is_own_interface(address);
}

/* The first address of the name that is ours, IPv4 before IPv6; NULL if there is none. */
static char *own_address(const char *host)
{
	static const int families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		struct addrinfo hints = { .ai_family = families[i], .ai_socktype = SOCK_STREAM };
		AUTO(addrs) struct addrinfo *all = NULL;

		if (getaddrinfo(host, NULL, &hints, &all) != 0)
			continue;
		for (const struct addrinfo *a = all; a; a = a->ai_next) {
			char text[NI_MAXHOST];

			if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text), NULL, 0,
			            NI_NUMERICHOST) == 0 &&
			        login_is_local(text))
				return xstrdup(text);
		}
	}
	return NULL;
}

/* A socket is local by nature. */
static bool find_address(struct login *l, struct err *e)
{
	AUTO(free) char *host = TAKE(l->address);

	if (l->socket)
		return true;
	l->address = own_address(host ? host : "127.0.0.1");
	return l->address || err_set(e, ERR_CONFIG, 0,
	                             "--host(%s) must be local address (localhost, "
	                             "127.0.0.1, etc)!",
	                             host ? host : "127.0.0.1");
}

/* Where the host was said outright, a socket of the file is another server's. */
static void take_args(const struct args *a, struct login *l)
{
	if (a->user)
		set(&l->user, a->user);
	if (a->password)
		set(&l->password, a->password);
	if (a->host || a->port) {
		free(TAKE(l->socket));
		if (a->host)
			set(&l->address, a->host);
	}
	if (a->port)
		l->port = (unsigned)a->port;
	if (a->socket)
		set(&l->socket, a->socket);
}

static bool read_all(const struct args *a, struct verb_io *io, struct login *l, struct err *e)
{
	const char *env = getenv("MHA_NODE_PASSWORD");

	if (!env)
		env = getenv("MYSQL_PWD");
	if (env)
		set(&l->password, env);
	if (a->defaults_file && !read_file(a->defaults_file, l, e))
		return false;
	take_args(a, l);
	if (a->password_stdin && !read_stdin(io, l, e))
		return false;
	if (!l->user)
		l->user = xstrdup("root");
	if (!l->port)
		l->port = DEFAULT_PORT;
	return find_address(l, e);
}

bool login_read(const struct args *a, struct verb_io *io, struct login *ret, struct err *e)
{
	struct login l = { 0 };

	if (!read_all(a, io, &l, e)) {
		login_done(&l);
		return false;
	}
	*ret = l;
	return true;
}

struct db *login_open(const struct login *l, int64_t query_ms, struct err *e)
{
	struct db_opts o = { .address = l->address,
		.port = l->port,
		.socket = l->socket,
		.user = l->user,
		.password = l->password,
		.tls = l->socket ? DB_TLS_OFF : DB_TLS_PREFERRED,
		.connect_ms = CONNECT_MS,
		.query_ms = query_ms };
	AUTO(free)
	char *name = l->socket ? xstrdup(l->socket) : xasprintf("%s:%u", l->address, l->port);

	struct db *db;

	o.name = name;
	db = db_open(&o, e);
	if (!db)
		err_ctx(e, "%s", name);
	return db;
}
