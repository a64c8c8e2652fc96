/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control - listening, admitting, and the small functions for handlers.  Runs on: loop.
 */
#include "control_impl.h"
#include "clock.h"
#include "control_line.h"
#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	TURN_ACCEPTS = 16,
	REST_MS = 1000, /* without descriptors there is nothing to do but to wait */
	NOTE_MS = 1000,
};

void control_note(struct control *c, const struct control_peer *peer, const char *what)
{
	if (c->noted_at && clock_ms() < c->noted_at + NOTE_MS) {
		c->unnoted++;
		return;
	}
	if (c->unnoted)
		log_notice("control: %d such lines were left out", c->unnoted);
	c->unnoted = 0;
	c->noted_at = clock_ms();
	log_notice("control: %s %s", peer->who, what);
}

/* The greeting, why not, and out.  A new socket has room for that. */
static void show_out(int fd, const struct err *e)
{
	AUTO_STR struct str out = STR_INIT;

	control_add_greeting(&out);
	control_add_error(&out, -1, e);
	if (send(fd, out.p, out.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("control: a client left before it was told why it is not admitted");
	close(fd);
}

static bool may_stay(struct control *c, const struct control_peer *p, struct err *e)
{
	int most = c->o.max_clients;

	if (p->level == CONTROL_NONE) {
		control_note(c, p, "was not admitted");
		err_set(e, ERR_REFUSED, 0, "mhad does not talk to %s", p->user);
		control_peer_hint(e, p, &c->groups, CONTROL_READ);
		return false;
	}
	if (c->n_clients < most && (p->level == CONTROL_ADMIN || c->n_readers < most * 3 / 4))
		return true;
	control_note(c, p, "was not admitted: too many clients");
	return err_set(
	        e, ERR_PRECOND, 0, "mhad has %d clients and takes no more for now", c->n_clients);
}

static void admit(struct control *c, int fd)
{
	struct control_peer peer = { 0 };
	struct err e = { 0 };

	if (control_peer_read(&peer, fd, &c->groups, &e) && may_stay(c, &peer, &e))
		control_client_new(c, fd, &peer);
	else
		show_out(fd, &e);
}

static void on_listen(void *arg, int events)
{
	struct control *c = arg;

	(void)events;
	for (int i = 0; i < TURN_ACCEPTS; i++) {
		int fd = accept4(c->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			admit(c, fd);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
		           errno == ENOBUFS) {
			log_warning("control: cannot take a client: %m; trying again in %d ms",
			        (int)REST_MS);
			loop_io_set(c->io, 0);
			loop_timer_move(c->rest, clock_in(REST_MS));
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			return;
		}
	}
}

static void on_rested(void *arg)
{
	struct control *c = arg;

	loop_io_set(c->io, LOOP_READ);
}

static void set_bounds(struct control_opts *o)
{
#define DEFAULT(name, value) o->name = o->name ? o->name : (value)
	DEFAULT(max_clients, 64);
	DEFAULT(max_requests, 16);
	DEFAULT(max_line, 64 << 10);
	DEFAULT(max_output, 4 << 20);
	DEFAULT(idle_ms, 300000);
	DEFAULT(half_line_ms, 10000);
	DEFAULT(stuck_ms, 10000);
#undef DEFAULT
}

static bool use_given(struct control *c, int fd, struct err *e)
{
	int on = 0;
	socklen_t size = sizeof(on);

	c->fd = fd;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size) || !on)
		return err_set(e, ERR_CONFIG, 0, "descriptor %d is not a listening socket", fd);
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0 ||
	        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_sys(e, "cannot set up descriptor %d", fd);
	return true;
}

struct control *control_new(struct loop *l, int listen_fd, const char *path,
        const struct control_opts *o, const struct control_verb *table, void *arg, struct err *e)
{
	struct control *c = xzalloc(sizeof(*c));

	c->l = l;
	c->o = *o;
	c->table = table;
	c->arg = arg;
	c->fd = c->lock_fd = -1;
	c->path = xstrdup(path);
	set_bounds(&c->o);
	c->groups.read = c->groups.admin = CONTROL_NO_GROUP;
	if (!(listen_fd >= 0 ? use_given(c, listen_fd, e) : true) ||
	        !control_groups_find(&c->groups, o->read_group, o->admin_group, e) ||
	        !(listen_fd >= 0 ? true : control_socket_make(c, e))) {
		control_free(c);
		return NULL;
	}
	c->io = loop_io_new(l, c->fd, LOOP_READ, on_listen, c);
	c->rest = loop_timer_new(l, CLOCK_NEVER, on_rested, c);
	return c;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	loop_io_free(c->io);
	loop_timer_free(c->rest);
	while (c->clients)
		control_client_drop(c->clients);
	/* Handlers that answer in any case will do so later. */
	for (struct control_call *call = c->calls; call; call = call->next)
		call->owner = NULL;
	control_socket_remove(c);
	control_groups_done(&c->groups);
	free(c->path);
	free(c);
}

const struct control_peer *control_peer(const struct control_call *call)
{
	return &call->peer;
}

const char *control_verb_name(const struct control_call *call)
{
	return call->verb->name;
}

void *control_arg(const struct control_call *call)
{
	return call->arg;
}

void control_on_cancel(struct control_call *call, control_cancel_fn fn, void *arg)
{
	call->cancel = fn;
	call->cancel_arg = arg;
}

bool control_args(const json_t *args, struct err *e, const char *fmt, ...)
{
	json_error_t je;
	va_list ap;
	int rc;

	va_start(ap, fmt);
	/* Unpacking reads only; the type is what jansson wants. */
	rc = json_vunpack_ex((json_t *)(uintptr_t)args, &je, JSON_STRICT, fmt, ap);
	va_end(ap);
	return rc == 0 || err_set(e, ERR_PRECOND, 0, "arguments: %s", je.text);
}

json_t *control_text(const char *text)
{
	AUTO_STR struct str quoted = STR_INIT;
	json_t *j;

	if (!text)
		return json_null();
	j = json_string(text);
	if (j)
		return j;
	str_addc(&quoted, '"');
	str_add_json(&quoted, text);
	str_addc(&quoted, '"');
	j = json_loadb(quoted.p, quoted.len, JSON_DECODE_ANY, NULL);
	return j ? j : json_null();
}
