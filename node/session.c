/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session - the channel: reading frames, sending those of the running requests in turn, ending.
 * Runs on: main thread.
 */
#include "session.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/uio.h>
#include <unistd.h>
#include "clock.h"
#include "session_impl.h"

#define BACKLOG_MAX   (64 << 10) /* of own frames that the peer has not taken: stop reading then */
#define END_WAIT_MS   5000       /* for verbs that were told to end */
#define ERROR_WAIT_MS 1000       /* for the last word to a peer that broke the rules */

void session_wake(struct session *s)
{
	uint64_t one = 1;

	if (write(s->wake, &one, sizeof(one)) < 0)
		return; /* it is awake already: the counter is full */
}

static bool take_descriptors(struct session *s, struct err *e)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	s->in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	s->out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (null < 0 || s->in < 0 || s->out < 0 || s->wake < 0)
		return err_sys(e, "set up the channel");
	/* What a library prints by mistake must not end up between frames. */
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	close(null);
	fcntl(s->in, F_SETFL, fcntl(s->in, F_GETFL) | O_NONBLOCK);
	fcntl(s->out, F_SETFL, fcntl(s->out, F_GETFL) | O_NONBLOCK);
	return true;
}

static bool take_signals(struct session *s, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals >= 0 || err_sys(e, "take signals");
}

/* One write of what is due: the rest of a begun piece, else our own frames, else the next piece. */
static ssize_t write_some(struct session *s)
{
	struct session_piece *p = s->first;
	struct iovec iov[2];

	if (s->own.len && !(p && p->sent))
		return write(s->out, s->own.p, s->own.len);
	if (p->sent < FRAME_HEADER) {
		iov[0] = (struct iovec){ p->header + p->sent, FRAME_HEADER - p->sent };
		iov[1] = (struct iovec){ (void *)(uintptr_t)p->p, p->len };
	} else {
		iov[0] = (struct iovec){ (char *)(uintptr_t)p->p + (p->sent - FRAME_HEADER),
			p->len - (p->sent - FRAME_HEADER) };
		iov[1] = (struct iovec){ 0 };
	}
	return writev(s->out, iov, 2);
}

/* Account for bytes that went out. */
static void wrote(struct session *s, size_t n)
{
	struct session_piece *p = s->first;

	if (s->own.len && !(p && p->sent)) {
		memmove(s->own.p, s->own.p + n, s->own.len - n);
		str_cut(&s->own, s->own.len - n);
		return;
	}
	p->sent += n;
	if (p->sent == FRAME_HEADER + p->len) {
		s->first = p->next;
		p->done = true;
		pthread_cond_broadcast(&p->r->changed);
	}
}

static bool has_output(const struct session *s)
{
	return s->own.len || s->first;
}

/* Send what the channel takes.  False: it is closed. */
static bool send_some(struct session *s)
{
	bool ok = true;

	pthread_mutex_lock(&s->lock);
	while (ok && has_output(s)) {
		ssize_t n = write_some(s);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			ok = false;
		else
			wrote(s, (size_t)n);
	}
	pthread_mutex_unlock(&s->lock);
	return ok;
}

/* No more output of requests: whoever waits to send something is let go, but for a frame of which a
 * part has gone already, if it shall be finished. */
static void close_output(struct session *s, bool finish)
{
	struct session_piece **at = &s->first;

	pthread_mutex_lock(&s->lock);
	s->closed = true;
	if (finish && *at && (*at)->sent)
		at = &(*at)->next;
	while (*at) {
		(*at)->done = true;
		*at = (*at)->next;
	}
	for (struct request *r = s->requests; r; r = r->next)
		pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&s->lock);
}

/* The window that verbs have read, given back to the peer in large parts. */
static void send_grants(struct session *s)
{
	pthread_mutex_lock(&s->lock);
	for (struct request *r = s->requests; r; r = r->next) {
		if (r->in_taken < FRAME_WINDOW / 2 || r->in_ended)
			continue;
		frame_add_grant(&s->own, r->id, (uint32_t)r->in_taken);
		r->in_window += r->in_taken;
		r->in_taken = 0;
	}
	pthread_mutex_unlock(&s->lock);
}

static void say_hello(struct session *s)
{
	AUTO_JSON struct json j = JSON_INIT;
	const struct verb *v;

	json_open(&j, NULL, '{');
	json_int(&j, "protocol", FRAME_PROTOCOL);
	json_str(&j, "program", "mha-node");
	json_str(&j, "version", MHAD_VERSION);
	json_str(&j, "mha_version", MHA_COMPAT_VERSION);
	json_int(&j, "pid", getpid());
	json_int(&j, "max_requests", SESSION_REQUESTS);
	json_open(&j, "verbs", '[');
	for (size_t i = 0; (v = verb_at(i)); i++)
		if (!(v->flags & VERB_ALONE))
			json_str(&j, NULL, v->name);
	json_close(&j, ']');
	json_close(&j, '}');
	str_add(&s->own, FRAME_PREAMBLE);
	frame_add(&s->own, FRAME_HELLO, 0, j.text.p, j.text.len);
}

static bool handle_whole(struct session *s, const struct frame *f, struct err *e)
{
	switch (f->type) {
	case FRAME_HELLO:
		if (s->greeted)
			return err_set(e, ERR_PARSE, 0, "a second HELLO");
		s->greeted = true;
		return session_check_hello(f, e);
	case FRAME_PING: frame_add(&s->own, FRAME_PONG, 0, f->p, f->len); return true;
	case FRAME_ERROR:
		return err_set(e, ERR_REMOTE, 0, "the manager ended the session: %.*s", (int)f->len,
		        (const char *)f->p);
	default: return true;
	}
}

static bool handle(struct session *s, const struct frame *f, struct err *e)
{
	if (!s->greeted && f->type != FRAME_HELLO)
		return err_set(e, ERR_PARSE, 0, "%s before HELLO", frame_name(f->type));
	if (f->id == 0)
		return handle_whole(s, f, e);
	if (f->type == FRAME_REQUEST)
		return session_start(s, f, e);
	return session_feed(s, f, e);
}

/* What has come.  False: the channel is to end; with an error if the peer broke the rules. */
static bool receive(struct session *s, struct err *e)
{
	size_t room;
	void *to = frame_reader_room(&s->reader, &room);
	ssize_t n = read(s->in, to, room);
	struct frame f;
	enum frame_next next;

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (n == 0)
		return false;
	frame_reader_filled(&s->reader, (size_t)n);
	while ((next = frame_next(&s->reader, &f, e)) == FRAME_READY)
		if (!handle(s, &f, e))
			return false;
	return next == FRAME_MORE;
}

static void drain_wake(struct session *s)
{
	uint64_t n;

	if (read(s->wake, &n, sizeof(n)) < 0)
		return; /* nobody had woken us */
}

/* One turn.  False: the end, as for receive(). */
static bool turn(struct session *s, struct err *e)
{
	bool may_read = s->own.len < BACKLOG_MAX;
	bool wants_write;
	struct pollfd pfd[4];

	pthread_mutex_lock(&s->lock);
	wants_write = has_output(s);
	pthread_mutex_unlock(&s->lock);
	pfd[0] = (struct pollfd){ s->in, (short)(POLLRDHUP | (may_read ? POLLIN : 0)), 0 };
	pfd[1] = (struct pollfd){ s->out, wants_write ? POLLOUT : 0, 0 };
	pfd[2] = (struct pollfd){ s->wake, POLLIN, 0 };
	pfd[3] = (struct pollfd){ s->signals, POLLIN, 0 };
	if (poll(pfd, 4, clock_left_poll(session_reap(s))) < 0 && errno != EINTR)
		return err_sys(e, "wait for the peer");
	if (pfd[3].revents || (pfd[1].revents & (POLLERR | POLLHUP)))
		return false;
	if (pfd[2].revents)
		drain_wake(s);
	if (pfd[0].revents) {
		if (!(pfd[0].revents & POLLIN) || !may_read)
			return !(pfd[0].revents & (POLLHUP | POLLRDHUP | POLLERR));
		if (!receive(s, e))
			return false;
	}
	send_grants(s);
	return send_some(s);
}

/* The last word: what was wrong. */
static void send_error(struct session *s, const struct err *e)
{
	int64_t deadline = clock_in(ERROR_WAIT_MS);

	close_output(s, true);
	frame_add(&s->own, FRAME_ERROR, 0, e->text, strlen(e->text));
	while (send_some(s) && s->own.len && clock_left(deadline) > 0) {
		struct pollfd pfd = { s->out, POLLOUT, 0 };

		poll(&pfd, 1, clock_left_poll(deadline));
	}
}

/* Whether verbs may still be waited for, and is any there? */
static bool must_wait(struct session *s, int64_t deadline, bool *ret_left)
{
	bool held;

	pthread_mutex_lock(&s->lock);
	held = s->holds > 0;
	pthread_mutex_unlock(&s->lock);
	session_reap(s);
	*ret_left = s->requests != NULL;
	return s->requests && (held || clock_left(deadline) > 0);
}

static void end(struct session *s, int rc)
{
	int64_t deadline = clock_in(END_WAIT_MS);
	bool left;

	close_output(s, false);
	session_cancel_all(s);
	while (must_wait(s, deadline, &left)) {
		struct pollfd pfd = { s->wake, POLLIN, 0 };

		poll(&pfd, 1, clock_left(deadline) ? clock_left_poll(deadline) : 100);
		drain_wake(s);
	}
	/* Threads that hang still use what a return would take away. */
	if (left)
		_exit(rc ? rc : 1);
}

static void done(struct session *s)
{
	cleanup_fd(&s->in);
	cleanup_fd(&s->out);
	cleanup_fd(&s->wake);
	cleanup_fd(&s->signals);
	str_done(&s->own);
	frame_reader_done(&s->reader);
	pthread_mutex_destroy(&s->lock);
}

int session_run(const struct gate *gate, struct err *e)
{
	struct session s = { .gate = gate,
		.in = -1,
		.out = -1,
		.wake = -1,
		.signals = -1,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.own = STR_INIT };
	struct err why = { 0 };
	bool ok;

	if (isatty(STDIN_FILENO)) {
		err_set(e, ERR_CONFIG, 0, "a session speaks with the manager, not with a terminal");
		return 1;
	}
	frame_reader_init(&s.reader, FRAME_MANAGER, 0);
	ok = take_descriptors(&s, &why) && take_signals(&s, &why);
	if (ok) {
		session_begin();
		say_hello(&s);
		while (turn(&s, &why))
			;
		ok = why.kind == ERR_NONE;
		if (why.kind == ERR_PARSE)
			send_error(&s, &why);
		end(&s, ok ? 0 : 1);
	}
	done(&s);
	if (!ok && e)
		*e = why;
	return ok ? 0 : 1;
}

int session_verb(const struct args *a, struct verb_io *io, struct err *e)
{
	(void)a;
	return session_run(io->gate, e);
}
