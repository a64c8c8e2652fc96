/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_conf - what mhad.conf says of HTTP, the files that it names, and the socket.  Runs on: worker (settings), the
 * HTTP thread (socket).
 */
#include "http_impl.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "conf.h"

enum { BACKLOG = 128 };

void http_conf_done(struct http_conf *c)
{
	free(c->listen);
	free(c->cert);
	mem_free_secret(c->key);
	mem_free_secret(c->token);
	*c = (struct http_conf){ 0 };
}

static bool read_pem(const char *setting, const char *path, char **ret, struct err *e)
{
	if (!path || !*path)
		return true;
	*ret = conf_file_text(path, e);
	return *ret || err_ctx(e, "%s", setting);
}

static bool read_files(const struct conf_server *s, struct http_conf *ret, struct err *e)
{
	if (!read_pem("http_tls_cert", s->http_tls_cert, &ret->cert, e) ||
	        !read_pem("http_tls_key", s->http_tls_key, &ret->key, e))
		return false;
	if (!ret->cert != !ret->key)
		return err_set(e, ERR_CONFIG, 0,
		        "http_tls_cert and http_tls_key belong together, one is missing");
	if (!s->http_token_file || !*s->http_token_file)
		return true;
	ret->token = conf_secret(s->http_token_file, e);
	return ret->token || err_ctx(e, "http_token_file");
}

bool http_conf_read(const char *confdir, struct http_conf *ret, struct err *e)
{
	AUTO(free) char *path = xasprintf("%s/mhad.conf", confdir);
	AUTO(conf) struct conf *c = conf_load_global(path, e);
	const struct conf_server *s = c ? c->defaults : NULL;
	struct http_conf found = { 0 };

	if (!c)
		return false;
	if (s->http_listen && *s->http_listen && !str_is(s->http_listen, "off"))
		found.listen = xstrdup(s->http_listen);
	if (found.listen && !read_files(s, &found, e)) {
		http_conf_done(&found);
		return false;
	}
	*ret = found;
	return true;
}

/* ---- the socket ---- */

static bool is_loopback(const struct sockaddr_storage *a)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)a;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)a;

	if (a->ss_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	if (a->ss_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
	return a->ss_family == AF_UNIX;
}

bool http_is_loopback(int fd)
{
	struct sockaddr_storage a = { 0 };
	socklen_t len = sizeof(a);

	return !getsockname(fd, (struct sockaddr *)&a, &len) && is_loopback(&a);
}

/* "host:port", "[v6]:port", "*:port".  Addresses only: a name could need a name server. */
static bool parse(const char *where, struct addrinfo **ret, struct err *e)
{
	const struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM };
	AUTO(free) char *text = xstrdup(where);
	char *colon = strrchr(text, ':');
	const char *host = text;
	int code;

	if (!colon || !colon[1])
		return err_set(e, ERR_CONFIG, 0, "http_listen: \"%s\" is no ADDRESS:PORT", where);
	*colon = '\0';
	if (*host == '[' && colon > host && colon[-1] == ']') {
		colon[-1] = '\0';
		host++;
	}
	if (str_is(host, "localhost"))
		host = "127.0.0.1";
	code = getaddrinfo(str_is(host, "*") || !*host ? NULL : host, colon + 1, &hints, ret);
	return !code ||
	       err_set(e, ERR_CONFIG, 0, "http_listen: \"%s\": %s", where, gai_strerror(code));
}

/* An IPv6 socket for every address takes IPv4 as well. */
static int open_socket(const struct addrinfo *a)
{
	const int on = 1, off = 0;
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, BACKLOG)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Where there are two, of "*", the IPv6 one first: it serves both. */
static int open_any(const struct addrinfo *all)
{
	static const int families[] = { AF_INET6, AF_INET };
	int fd = -1;

	for (size_t i = 0; i < ARRAY_LEN(families) && fd < 0; i++) {
		for (const struct addrinfo *a = all; a && fd < 0; a = a->ai_next) {
			if (a->ai_family == families[i])
				fd = open_socket(a);
		}
	}
	return fd;
}

int http_listen(const char *where, bool *ret_loopback, struct err *e)
{
	struct addrinfo *found = NULL;
	int fd;

	if (!parse(where, &found, e))
		return -1;
	fd = open_any(found);
	if (fd < 0)
		err_sys(e, "listen on %s", where);
	else
		*ret_loopback = http_is_loopback(fd);
	freeaddrinfo(found);
	return fd;
}
