/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sd - datagrams to systemd's notify socket, and what it handed us.  Runs on: loop.
 *
 * The datagrams are sent here and not by sd_notify(), which wants its variable in the environment
 * for as long as mhad runs; every hook would inherit it then.
 */
#include "sd.h"
#include "clock.h"
#include "loop.h"
#include "str.h"
#include "vec.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

struct passed {
	char *name;
	int fd;
};

struct sd {
	int fd;            /* connected to the notify socket; -1: nobody listens */
	struct loop_io *w; /* waits for room in its queue */
	char *state;       /* "READY=1\n", not sent yet; or NULL */
	char *status;      /* said last */
	bool unsaid;       /* state and status are still to be sent */
	struct loop_timer *feeder;
	int64_t feed_ms;
	VEC(struct passed) sockets;
};

/* "/run/systemd/notify", or "@name" of the abstract kind. */
static int connect_notify(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t n = path ? strlen(path) : 0;
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	int fd;

	if (n < 2 || n >= sizeof(a.sun_path) || (*path != '/' && *path != '@'))
		return -1;
	memcpy(a.sun_path, path, n);
	if (*path == '@')
		a.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, len)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* A status line is one line, whatever an error message holds. */
static void add_status(struct str *text, const char *status)
{
	size_t at = text->len;

	str_addf(text, "STATUS=%s", status);
	for (char *p = text->p + at; *p; p++)
		if (*p == '\n')
			*p = ' ';
}

/* The loop does not wait while systemd is busy: what does not fit is said when there is room. */
static void flush(struct sd *s)
{
	AUTO_STR struct str text = STR_INIT;

	if (s->fd < 0 || !s->unsaid)
		return;
	str_add(&text, s->state ? s->state : "");
	add_status(&text, s->status ? s->status : "");
	if (send(s->fd, text.p, text.len, MSG_NOSIGNAL) < 0 && errno == EAGAIN) {
		loop_io_set(s->w, LOOP_WRITE);
		return;
	}
	loop_io_set(s->w, 0);
	s->unsaid = false;
	free(TAKE(s->state));
}

static void on_room(void *arg, int events)
{
	(void)events;
	flush(arg);
}

static void feed(void *arg)
{
	static const char text[] = "WATCHDOG=1";
	struct sd *s = arg;

	(void)!send(s->fd, text, sizeof(text) - 1, MSG_NOSIGNAL);
	loop_timer_move(s->feeder, clock_in(s->feed_ms));
}

/* Three times as often as asked for: one late turn is no reason to die. */
static void start_watchdog(struct sd *s, struct loop *l)
{
	uint64_t us = 0;

	if (sd_watchdog_enabled(1, &us) <= 0 || s->fd < 0)
		return;
	s->feed_ms = us < 3000 ? 1 : (int64_t)us / 3000;
	s->feeder = loop_timer_new(l, clock_ms(), feed, s);
}

static void take_sockets(struct sd *s)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);

	for (int i = 0; i < n; i++) {
		int fd = SD_LISTEN_FDS_START + i;

		fcntl(fd, F_SETFD, FD_CLOEXEC);
		vec_push(&s->sockets, (struct passed){ names[i], fd });
	}
	free(names);
}

struct sd *sd_new(struct loop *l)
{
	struct sd *s = xzalloc(sizeof(*s));

	s->fd = connect_notify(getenv("NOTIFY_SOCKET"));
	unsetenv("NOTIFY_SOCKET");
	if (s->fd >= 0)
		s->w = loop_io_new(l, s->fd, 0, on_room, s);
	take_sockets(s);
	start_watchdog(s, l);
	return s;
}

void sd_free(struct sd *s)
{
	if (!s)
		return;
	loop_timer_free(s->feeder);
	loop_io_free(s->w);
	vec_each (struct passed, p, &s->sockets) {
		cleanup_fd(&p->fd);
		free(p->name);
	}
	vec_done(&s->sockets);
	cleanup_fd(&s->fd);
	free(s->state);
	free(s->status);
	free(s);
}

bool sd_is_service(const struct sd *s)
{
	return s->fd >= 0;
}

int sd_listen_fd(struct sd *s, const char *name)
{
	vec_each (struct passed, p, &s->sockets) {
		int fd = p->fd;

		if (fd < 0 || !str_is(p->name, name) || sd_is_socket(fd, 0, SOCK_STREAM, 1) <= 0)
			continue;
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		p->fd = -1;
		return fd;
	}
	return -1;
}

/* Both are taken; NULL: as it was. */
static void say(struct sd *s, char *state, char *status)
{
	if (state) {
		free(s->state);
		s->state = state;
	}
	if (status) {
		free(s->status);
		s->status = status;
	}
	s->unsaid = true;
	flush(s);
}

static char *format(const char *fmt, va_list ap)
{
	struct str text = STR_INIT;

	str_vaddf(&text, fmt, ap);
	return str_take(&text);
}

void sd_ready(struct sd *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(s, xstrdup("READY=1\n"), format(fmt, ap));
	va_end(ap);
}

void sd_status(struct sd *s, const char *fmt, ...)
{
	AUTO(free) char *status = NULL;
	va_list ap;

	va_start(ap, fmt);
	status = format(fmt, ap);
	va_end(ap);
	if (!str_is(s->status, status))
		say(s, NULL, TAKE(status));
}

void sd_stopping(struct sd *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(s, xstrdup("STOPPING=1\n"), format(fmt, ap));
	va_end(ap);
}

/* MONOTONIC_USEC is by systemd's clock, which stands still while the machine is suspended. */
void sd_reloading(struct sd *s)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	say(s,
	        xasprintf("RELOADING=1\nMONOTONIC_USEC=%lld\n",
	                (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000),
	        NULL);
}

void sd_failed(struct sd *s, const struct err *e)
{
	char *errno_line = NULL;

	if (e->kind == ERR_SYSTEM && e->code > 0)
		errno_line = xasprintf("ERRNO=%d\n", e->code);
	say(s, errno_line, xstrdup(e->text));
}
