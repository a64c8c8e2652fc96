/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_serve - the face of libmicrohttpd: who may ask, how requests wait, how answers leave.  Runs on: the HTTP
 * thread.
 */
#include "http_impl.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"
#include "log.h"
#include "page.h"

enum { MEMORY = 32 * 1024 }; /* of one connection: headers, and a piece of the answer */

/* What a page may load: its own files, and nothing that stands in it. */
#define POLICY                                                                                     \
	"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src "    \
	"'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

/* ---- answers ---- */

static void add_headers(struct MHD_Response *m, const struct http_reply *as)
{
	static const char *const always[][2] = { { "Content-Security-Policy", POLICY },
		{ "X-Content-Type-Options", "nosniff" }, { "Referrer-Policy", "no-referrer" },
		{ "Cross-Origin-Resource-Policy", "same-origin" } };

	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		MHD_add_response_header(m, always[i][0], always[i][1]);
	MHD_add_response_header(m, "Content-Type", as->type);
	MHD_add_response_header(
	        m, "Cache-Control", as->etag ? "private, max-age=86400" : "no-store");
	if (as->etag)
		MHD_add_response_header(m, "ETag", as->etag);
	if (as->location)
		MHD_add_response_header(m, "Location", as->location);
	if (as->status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(m, "Allow", "GET, HEAD");
	if (as->status == MHD_HTTP_UNAUTHORIZED)
		MHD_add_response_header(
		        m, "WWW-Authenticate", "Basic realm=\"mhad\", charset=\"UTF-8\"");
	if (as->status == MHD_HTTP_SERVICE_UNAVAILABLE)
		MHD_add_response_header(m, "Retry-After", "5");
}

static bool send_off(struct http_request *r, const struct http_reply *as, struct MHD_Response *m)
{
	bool fine;

	if (!m)
		return false;
	add_headers(m, as);
	fine = MHD_queue_response(r->peer, (unsigned)as->status, m) == MHD_YES;
	MHD_destroy_response(m);
	return fine;
}

bool http_reply(struct http_request *r, const struct http_reply *as, struct str *body)
{
	size_t n = body->len;

	return send_off(
	        r, as, MHD_create_response_from_buffer(n, str_take(body), MHD_RESPMEM_MUST_FREE));
}

bool http_reply_static(
        struct http_request *r, const char *type, const char *etag, const void *bytes, size_t n)
{
	const char *has = http_header(r, MHD_HTTP_HEADER_IF_NONE_MATCH);
	bool same = has && str_is(has, etag);
	const struct http_reply as = {
		.status = same ? MHD_HTTP_NOT_MODIFIED : MHD_HTTP_OK, .type = type, .etag = etag
	};

	/* It is not changed: the library's type is older than const. */
	return send_off(r, &as,
	        MHD_create_response_from_buffer(
	                same ? 0 : n, (void *)(uintptr_t)bytes, MHD_RESPMEM_PERSISTENT));
}

bool http_reply_error(struct http_request *r, int status, const char *title, const char *text)
{
	struct http_reply as = { .status = status, .type = "text/plain; charset=utf-8" };
	AUTO_STR struct str body = STR_INIT;

	if (str_starts(r->path, "/api/")) {
		as.type = "application/json";
		str_add(&body, "{\"error\":{\"text\":\"");
		str_add_json(&body, text);
		str_add(&body, "\"}}\n");
	} else if (str_is(r->path, "/") || str_starts(r->path, "/clusters") ||
	           str_starts(r->path, "/incidents")) {
		as.type = "text/html; charset=utf-8";
		page_error(&body, status, title, text);
	} else {
		str_addf(&body, "%s\n", text);
	}
	return http_reply(r, &as, &body);
}

const char *http_query(const struct http_request *r, const char *name)
{
	return MHD_lookup_connection_value(r->peer, MHD_GET_ARGUMENT_KIND, name);
}

const char *http_header(const struct http_request *r, const char *name)
{
	return MHD_lookup_connection_value(r->peer, MHD_HEADER_KIND, name);
}

/* ---- who may ask ---- */

/* In a time that does not tell how much of it was right. */
static bool is_token(const char *given, const char *token)
{
	size_t n = strlen(given), m = strlen(token);
	unsigned char differs = n != m;

	for (size_t i = 0; i < n; i++)
		differs |= (unsigned char)(given[i] ^ token[m ? i % m : 0]);
	return !differs;
}

static bool has_token(const struct http_request *r)
{
	const char *token = r->http->conf.token;
	const char *given = http_header(r, MHD_HTTP_HEADER_AUTHORIZATION);
	char *user, *password = NULL;
	bool fine;

	if (!token)
		return true;
	if (given && !strncasecmp(given, "Bearer ", 7))
		return is_token(given + 7, token);
	user = MHD_basic_auth_get_username_password(r->peer, &password);
	fine = password && is_token(password, token);
	MHD_free(user);
	MHD_free(password);
	return fine;
}

/* A name that somebody else's name server may turn into our address is none of ours. */
static bool is_our_name(const char *host)
{
	AUTO(free) char *name = xstrdup(host);
	unsigned char address[16];
	char *end;

	if (*name == '[') {
		end = strchr(name, ']');
		if (!end)
			return false;
		*end = '\0';
		return inet_pton(AF_INET6, name + 1, address) == 1;
	}
	name[strcspn(name, ":")] = '\0';
	return !strcasecmp(name, "localhost") || inet_pton(AF_INET, name, address) == 1;
}

/* 0, or the status that says no. */
static int refusal(const struct http_request *r)
{
	const char *host = http_header(r, MHD_HTTP_HEADER_HOST);

	if (str_is(r->path, "/healthz") || str_is(r->path, "/readyz"))
		return 0;
	if (!has_token(r))
		return MHD_HTTP_UNAUTHORIZED;
	if (r->http->loopback && !r->http->conf.token && host && !is_our_name(host))
		return MHD_HTTP_MISDIRECTED_REQUEST;
	return 0;
}

static bool answer(struct http_request *r)
{
	switch (refusal(r)) {
	case 0: break;
	case MHD_HTTP_UNAUTHORIZED:
		return http_reply_error(r, MHD_HTTP_UNAUTHORIZED, "Who are you?",
		        "A token is needed: as Authorization: Bearer, or as the password of any "
		        "user.");
	default:
		return http_reply_error(r, MHD_HTTP_MISDIRECTED_REQUEST, "Wrong name",
		        "Without a token only localhost and addresses are served as Host.");
	}
	if (r->late)
		return http_reply_error(r, MHD_HTTP_SERVICE_UNAVAILABLE, "mhad is busy",
		        "mhad did not answer in time; its event loop may be stuck.");
	return http_route(r);
}

/* ---- requests ---- */

void http_suspend(struct http_request *r)
{
	if (!r->suspended)
		MHD_suspend_connection(r->peer);
	r->suspended = true;
}

void http_resume(struct http_request *r)
{
	if (r->suspended)
		MHD_resume_connection(r->peer);
	r->suspended = false;
}

static struct http_request *request_new(
        struct http *h, struct MHD_Connection *peer, const char *url, const char *method)
{
	struct http_request *r = xzalloc(sizeof(*r));

	r->http = h;
	r->peer = peer;
	r->path = xstrdup(url);
	r->is_head = str_is(method, MHD_HTTP_METHOD_HEAD);
	r->since = clock_ms();
	r->next = h->requests;
	if (r->next)
		r->next->prev = r;
	h->requests = r;
	return r;
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *peer, const char *url,
        const char *method, const char *version, const char *upload, size_t *upload_size,
        void **con_cls)
{
	struct http_request *r = *con_cls;

	(void)version;
	(void)upload;
	if (!r) {
		r = *con_cls = request_new(cls, peer, url, method);
		if (!r->is_head && !str_is(method, MHD_HTTP_METHOD_GET))
			return http_reply_error(r, MHD_HTTP_METHOD_NOT_ALLOWED, "Read-only",
			               "Nothing can be changed over HTTP: see mhactl(1).")
			               ? MHD_YES
			               : MHD_NO;
		return MHD_YES;
	}
	if (*upload_size) {
		*upload_size = 0;
		return MHD_YES;
	}
	return answer(r) || r->suspended ? MHD_YES : MHD_NO;
}

static void ended(
        void *cls, struct MHD_Connection *peer, void **con_cls, enum MHD_RequestTerminationCode why)
{
	struct http *h = cls;
	struct http_request *r = *con_cls;

	(void)peer;
	(void)why;
	if (!r)
		return;
	http_forget(r);
	if (r->prev)
		r->prev->next = r->next;
	else
		h->requests = r->next;
	if (r->next)
		r->next->prev = r->prev;
	free(r->path);
	free(r);
	*con_cls = NULL;
}

static void library_says(void *cls, const char *fmt, va_list ap)
{
	char text[300];

	(void)cls;
	vsnprintf(text, sizeof(text), fmt, ap);
	text[strcspn(text, "\n")] = '\0';
	log_debug("HTTP: %s", text);
}

/* ---- the daemon ---- */

/* What the service manager gave stays ours, through all changes of settings. */
static int socket_of(struct http *h, struct err *e)
{
	int fd;

	if (h->listen_fd < 0)
		return http_listen(h->conf.listen, &h->loopback, e);
	h->loopback = http_is_loopback(h->listen_fd);
	fd = fcntl(h->listen_fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		err_sys(e, "duplicate the socket");
	return fd;
}

bool http_start(struct http *h, struct err *e)
{
	const unsigned tls = h->conf.cert ? MHD_USE_TLS : 0;
	struct MHD_OptionItem more[] = {
		{ h->conf.cert ? MHD_OPTION_HTTPS_MEM_CERT : MHD_OPTION_END, 0, h->conf.cert },
		{ h->conf.key ? MHD_OPTION_HTTPS_MEM_KEY : MHD_OPTION_END, 0, h->conf.key },
		{ MHD_OPTION_END, 0, NULL }
	};
	const union MHD_DaemonInfo *info;
	int fd = socket_of(h, e);

	if (fd < 0)
		return false;
	h->mhd = MHD_start_daemon(
	        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | tls, 0, NULL, NULL,
	        handle, h, MHD_OPTION_EXTERNAL_LOGGER, library_says, NULL, MHD_OPTION_LISTEN_SOCKET,
	        fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS,
	        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_S,
	        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY, MHD_OPTION_NOTIFY_COMPLETED,
	        ended, h, MHD_OPTION_ARRAY, more, MHD_OPTION_END);
	if (!h->mhd) {
		close(fd);
		return err_set(e, ERR_CONFIG, 0, "cannot serve %s%s", h->conf.listen,
		        tls ? ": are http_tls_cert and http_tls_key a PEM pair?" : "");
	}
	info = MHD_get_daemon_info(h->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	h->epoll = info ? info->epoll_fd : -1;
	return true;
}

void http_stop(struct http *h)
{
	if (!h->mhd)
		return;
	http_live_end_all(h);
	for (struct http_request *r = h->requests; r; r = r->next) {
		r->late = true;
		http_resume(r);
	}
	MHD_run(h->mhd);
	MHD_stop_daemon(h->mhd);
	h->mhd = NULL;
}
