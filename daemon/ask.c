/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ask - asking mhad over its control socket.  Runs on: the main thread of a command.
 */
#include "ask.h"
#include "clock.h"
#include "control.h"
#include "str.h"
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	READ_PIECE = 64 << 10,
	LINE_MAX_BYTES = 32 << 20, /* more than any mhad sends */
	TRY_AGAIN_MS = 20,         /* while its queue of new connections is full */
	SEND_MS = 5000,
};

struct ask {
	char *path;
	int fd;
	bool over;
	char version[32];
	json_int_t id; /* of the latest request */
	struct str in;
	size_t done; /* of it */
};

const char *ask_path(const char *given)
{
	const char *env = getenv("MHAD_SOCKET");

	return given ? given : env && *env ? env : ASK_PATH;
}

void ask_free(struct ask *a)
{
	if (!a)
		return;
	if (a->fd >= 0)
		close(a->fd);
	str_done(&a->in);
	free(a->path);
	free(a);
}

const char *ask_version(const struct ask *a)
{
	return a->version;
}

int ask_fd(const struct ask *a)
{
	return a->fd;
}

bool ask_is_over(const struct ask *a)
{
	return a->over;
}

/* ---- connecting ------------------------------------------------------------------------------- */

static bool not_admitted(const char *path, struct err *e)
{
	const struct passwd *me = getpwuid(geteuid());
	const struct group *g;
	struct stat st;

	err_set(e, ERR_REFUSED, EACCES, "you may not talk to mhad (%s: permission denied)", path);
	g = stat(path, &st) || !st.st_gid ? NULL : getgrgid(st.st_gid);
	if (g)
		return err_hint(e, "run it as root, or: usermod -aG %s %s, and log in anew",
		        g->gr_name, me ? me->pw_name : "USER");
	return err_hint(e, "run it as root");
}

static bool not_there(const char *path, int error, struct err *e)
{
	if (error == EACCES || error == EPERM)
		return not_admitted(path, e);
	err_set(e, ERR_UNREACHABLE, error, "mhad does not run here (%s: %s)", path,
	        strerror(error));
	return err_hint(e, "systemctl start mhad; if its socket is elsewhere: --socket=PATH or "
	                   "MHAD_SOCKET=PATH");
}

static bool is_deaf(const char *path, struct err *e)
{
	err_set(e, ERR_UNREACHABLE, 0, "mhad does not answer on %s", path);
	return err_hint(e, "systemctl status mhad");
}

static bool connect_to(struct ask *a, int64_t deadline, struct err *e)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	if (strlen(a->path) >= sizeof(to.sun_path))
		return err_set(e, ERR_CONFIG, 0, "the path is too long for a socket: %s", a->path);
	memcpy(to.sun_path, a->path, strlen(a->path));
	a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (a->fd < 0)
		return err_sys(e, "cannot make a socket");
	while (connect(a->fd, (const struct sockaddr *)&to, sizeof(to))) {
		if (errno != EAGAIN && errno != EINTR)
			return not_there(a->path, errno, e);
		if (!clock_left(deadline))
			return is_deaf(a->path, e);
		poll(NULL, 0, TRY_AGAIN_MS);
	}
	return true;
}

/* ---- lines ------------------------------------------------------------------------------------ */

static bool lost(struct ask *a, const char *text, struct err *e)
{
	a->over = true;
	err_set(e, ERR_LOST, 0, "%s", text);
	return err_hint(e, "mhactl status, to see what mhad does");
}

static bool not_mhad(struct ask *a, const char *why, struct err *e)
{
	a->over = true;
	return err_set(e, ERR_PARSE, 0, "what answers on %s is not mhad: %s", a->path, why);
}

/* What has come, without waiting. */
static bool read_more(struct ask *a, bool *ret_end, struct err *e)
{
	ssize_t n;

	*ret_end = false;
	if (a->done) {
		memmove(a->in.p, a->in.p + a->done, a->in.len - a->done);
		str_cut(&a->in, a->in.len - a->done);
		a->done = 0;
	}
	if (a->in.len > LINE_MAX_BYTES)
		return not_mhad(a, "its line has no end", e);
	str_grow(&a->in, READ_PIECE);
	n = recv(a->fd, a->in.p + a->in.len, READ_PIECE, MSG_DONTWAIT);
	*ret_end = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
	if (n > 0) {
		a->in.len += (size_t)n;
		a->in.p[a->in.len] = '\0';
	}
	return true;
}

/* The next line as an object; NULL and no error: there is no whole one yet. */
static json_t *take_line(struct ask *a, struct err *e)
{
	char *line = a->in.p + a->done, *end = memchr(line, '\n', a->in.len - a->done);
	json_error_t je;
	json_t *j;

	if (!end)
		return NULL;
	a->done = (size_t)(end + 1 - a->in.p);
	j = json_loadb(line, (size_t)(end - line), 0, &je);
	if (json_is_object(j))
		return j;
	not_mhad(a, j ? "a line is no object" : je.text, e);
	json_decref(j);
	return NULL;
}

static json_t *next_line(struct ask *a, struct err *e)
{
	struct err mine = { 0 };
	bool end = false;
	json_t *j;

	for (;;) {
		size_t had;

		j = take_line(a, &mine);
		had = a->in.len - a->done;
		if (!j && mine.kind == ERR_NONE && end)
			lost(a, "mhad closed the connection before it answered", &mine);
		if (!j && mine.kind == ERR_NONE)
			read_more(a, &end, &mine);
		if (mine.kind != ERR_NONE) {
			if (e)
				*e = mine;
			return NULL;
		}
		if (j || (!end && a->in.len == had))
			return j;
	}
}

static void wait_for(const struct ask *a, short events, int64_t deadline)
{
	struct pollfd p = { .fd = a->fd, .events = events };

	poll(&p, 1, clock_left_poll(deadline));
}

/* ---- the greeting ----------------------------------------------------------------------------- */

static bool read_greeting(struct ask *a, const json_t *j, struct err *e)
{
	const char *version = json_string_value(json_object_get(j, "mhad"));
	json_int_t protocol = json_integer_value(json_object_get(j, "protocol"));

	if (!version)
		return not_mhad(a, "it does not greet as mhad does", e);
	snprintf(a->version, sizeof(a->version), "%s", version);
	if (protocol == CONTROL_PROTOCOL)
		return true;
	a->over = true;
	err_set(e, ERR_PRECOND, 0, "mhad %s speaks protocol %d, this mhactl %s speaks %d", version,
	        (int)protocol, MHAD_VERSION, CONTROL_PROTOCOL);
	return err_hint(e, "use the mhactl that came with the mhad that runs, or restart mhad");
}

static bool greet(struct ask *a, int64_t deadline, struct err *e)
{
	struct err mine = { 0 };
	bool ok = false;
	json_t *j;

	while (!(j = next_line(a, &mine)) && mine.kind == ERR_NONE) {
		if (!clock_left(deadline))
			return is_deaf(a->path, e);
		wait_for(a, POLLIN, deadline);
	}
	if (j)
		ok = read_greeting(a, j, e);
	else if (mine.kind == ERR_LOST)
		err_set(e, ERR_UNREACHABLE, 0, "mhad closed the connection on %s at once", a->path);
	else if (e)
		*e = mine;
	json_decref(j);
	return ok;
}

struct ask *ask_open(const char *path, int64_t deadline, struct err *e)
{
	AUTO(ask) struct ask *a = xzalloc(sizeof(*a));

	a->fd = -1;
	a->path = xstrdup(path);
	str_init(&a->in);
	if (!connect_to(a, deadline, e) || !greet(a, deadline, e))
		return NULL;
	return TAKE(a);
}

/* ---- requests --------------------------------------------------------------------------------- */

/* mhad showed us out: what it said on the way, if anything. */
static bool was_shut(struct ask *a, struct err *e)
{
	struct err mine = { 0 };
	json_t *j;

	if (ask_next(a, &j, &mine) != ASK_BAD || mine.kind == ERR_LOST)
		err_set(&mine, ERR_UNREACHABLE, 0, "mhad closed the connection; nothing was asked");
	a->over = true;
	if (e)
		*e = mine;
	return false;
}

static bool send_all(struct ask *a, const char *p, size_t n, struct err *e)
{
	int64_t deadline = clock_in(SEND_MS);

	while (n) {
		ssize_t sent = send(a->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent > 0) {
			p += sent;
			n -= (size_t)sent;
		} else if (errno == EAGAIN && clock_left(deadline)) {
			wait_for(a, POLLOUT, deadline);
		} else if (errno == EAGAIN) {
			a->over = true;
			return is_deaf(a->path, e);
		} else if (errno != EINTR) {
			return was_shut(a, e);
		}
	}
	return true;
}

bool ask_send(struct ask *a, const char *verb, json_t *args, struct err *e)
{
	json_t *j = json_object();
	AUTO(free) char *text = NULL;
	AUTO_STR struct str line = STR_INIT;

	json_object_set_new(j, "id", json_integer(++a->id));
	json_object_set_new(j, "verb", json_string(verb));
	if (args)
		json_object_set_new(j, "args", args);
	text = json_dumps(j, JSON_COMPACT);
	json_decref(j);
	if (!text)
		return err_set(
		        e, ERR_PRECOND, 0, "the arguments of \"%s\" are not valid UTF-8", verb);
	str_addf(&line, "%s\n", text);
	return send_all(a, line.p, line.len, e);
}

static enum err_kind kind_named(const char *name)
{
	for (int k = ERR_NONE + 1; k <= ERR_CANCELED; k++) {
		if (str_is(name, err_kind_name((enum err_kind)k)))
			return (enum err_kind)k;
	}
	return ERR_REMOTE;
}

static void read_error(const json_t *j, struct err *e)
{
	const char *text = json_string_value(json_object_get(j, "text"));
	const char *hint = json_string_value(json_object_get(j, "hint"));
	const char *host = json_string_value(json_object_get(j, "host"));

	err_set(e, kind_named(json_string_value(json_object_get(j, "kind"))),
	        (int)json_integer_value(json_object_get(j, "code")), "%s",
	        text ? text : "mhad did not say why");
	if (host)
		err_at(e, host);
	if (hint && *hint)
		err_hint(e, "%s", hint);
}

/* False: the line is about another request. */
static bool read_answer(
        struct ask *a, const json_t *j, enum ask_next *ret_next, json_t **ret, struct err *e)
{
	const json_t *id = json_object_get(j, "id");
	json_t *event = json_object_get(j, "event");

	if (json_is_integer(id) && json_integer_value(id) != a->id)
		return false;
	if (json_is_integer(id) && event) {
		*ret = json_incref(event);
		*ret_next = ASK_EVENT;
	} else if (json_is_integer(id) && json_is_true(json_object_get(j, "ok"))) {
		*ret = json_incref(json_object_get(j, "value"));
		*ret = *ret ? *ret : json_null();
		*ret_next = ASK_VALUE;
	} else {
		read_error(json_object_get(j, "error"), e);
		a->over = a->over || !json_is_integer(id);
		*ret_next = ASK_BAD;
	}
	return true;
}

enum ask_next ask_next(struct ask *a, json_t **ret, struct err *e)
{
	struct err mine = { 0 };
	enum ask_next next;
	json_t *j;

	while ((j = next_line(a, &mine))) {
		bool ours = read_answer(a, j, &next, ret, e);

		json_decref(j);
		if (ours)
			return next;
	}
	if (mine.kind == ERR_NONE)
		return ASK_MORE;
	if (e)
		*e = mine;
	return ASK_BAD;
}

json_t *ask_stream(struct ask *a, const char *verb, json_t *args, ask_event_fn fn, void *arg,
        int64_t deadline, struct err *e)
{
	enum ask_next next;
	json_t *value;

	if (!ask_send(a, verb, args, e))
		return NULL;
	while ((next = ask_next(a, &value, e)) != ASK_VALUE) {
		if (next == ASK_BAD)
			return NULL;
		if (next == ASK_EVENT) {
			bool go_on = !fn || fn(arg, value);

			json_decref(value);
			if (go_on)
				continue;
			a->over = true;
			return json_null();
		}
		if (!clock_left(deadline)) {
			err_set(e, ERR_LOST, 0, "mhad did not answer \"%s\" in time", verb);
			err_hint(e, "it may have been done: mhactl status");
			return NULL;
		}
		wait_for(a, POLLIN, deadline);
	}
	return value;
}

json_t *ask_call(struct ask *a, const char *verb, json_t *args, int64_t deadline, struct err *e)
{
	return ask_stream(a, verb, args, NULL, NULL, deadline, e);
}
