/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_screen - `mhactl status --watch`: the terminal, the clock and the socket around screen.c.
 *
 * The terminal is put back however this ends: by key, by signal, by a crash, and while it is stopped.
 */
#include "clock.h"
#include "cmd_live.h"
#include "screen.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

enum {
	PERIOD_MS = 1000,  /* from one picture to the next */
	CONNECT_MS = 250,  /* keys wait so long */
	ANSWER_MS = 10000, /* after that it is asked anew */
	STALE_MS = 3000,   /* a picture older than this is called so */
	NOTE_MS = 15000,
};

/* What crash handlers need too. */
static struct {
	struct termios before;
	volatile sig_atomic_t is_changed;
} term;

struct watch_screen {
	const char *socket;
	struct ask *ask;
	bool asked;     /* a request is on its way */
	bool asked_why; /* which one */
	int64_t asked_at, next_at, picture_at;
	json_t *status, *why;
	struct err problem; /* kind ERR_NONE: connected */
	char note[128];     /* shown until note_until */
	int64_t note_until;
	struct screen_view v;
	struct str last; /* what is on the terminal */
	int signals;
	bool over;
	int ended_by; /* a signal that shall end us after all is put back */
};

/* ---- terminal --------------------------------------------------------------------------------- */

/* Alternate screen, no cursor, long lines are cut; and back. */
#define ENTER_SCREEN "\033[?1049h\033[?25l\033[?7l\033[2J"
#define LEAVE_SCREEN "\033[0m\033[?7h\033[?25h\033[?1049l"

static bool write_terminal(const char *p, size_t n)
{
	while (n) {
		ssize_t wrote = write(STDOUT_FILENO, p, n);

		if (wrote < 0 && errno != EINTR && errno != EAGAIN)
			return false;
		if (wrote < 0 && errno == EAGAIN)
			poll(&(struct pollfd){ .fd = STDOUT_FILENO, .events = POLLOUT }, 1, 1000);
		if (wrote > 0) {
			p += wrote;
			n -= (size_t)wrote;
		}
	}
	return true;
}

/* Only what a signal handler may call. */
static void leave_terminal(void)
{
	static const char bytes[] = LEAVE_SCREEN;

	if (!term.is_changed)
		return;
	term.is_changed = 0;
	write_terminal(bytes, sizeof(bytes) - 1);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &term.before);
}

static void on_crash(int signo)
{
	leave_terminal();
	raise(signo); /* the default again: SA_RESETHAND */
}

static bool enter_terminal(struct err *e)
{
	struct termios raw = term.before;

	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_iflag &= ~(tcflag_t)(IXON | ICRNL);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	term.is_changed = 1;
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) ||
	        !write_terminal(ENTER_SCREEN, strlen(ENTER_SCREEN))) {
		err_sys(e, "cannot set up the terminal");
		leave_terminal();
		return false;
	}
	return true;
}

static void read_size(struct watch_screen *s)
{
	struct winsize size = { 0 };

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_row || !size.ws_col)
		size = (struct winsize){ .ws_row = 24, .ws_col = 80 };
	s->v.rows = size.ws_row;
	s->v.cols = size.ws_col;
}

/* One write for one frame, none for one that is there already. */
static void draw(struct watch_screen *s)
{
	AUTO_STR struct str frame = STR_INIT;

	s->v.age_ms = s->status ? clock_ms() - s->picture_at : -1;
	/* Ages between two pictures are no news. */
	if (s->v.age_ms < STALE_MS && s->v.age_ms >= 0)
		s->v.age_ms = 0;
	s->v.problem = s->problem.kind == ERR_NONE ? NULL : s->problem.text;
	s->v.note = clock_left(s->note_until) ? s->note : NULL;
	screen_draw(&frame, s->status, s->why, &s->v);
	if (frame.len == s->last.len && !memcmp(frame.p, s->last.p, frame.len))
		return;
	str_clear(&s->last);
	str_addn(&s->last, frame.p, frame.len);
	if (!write_terminal(frame.p, frame.len))
		s->over = true;
}

static void redraw(struct watch_screen *s)
{
	str_clear(&s->last);
	read_size(s);
	if (!write_terminal("\033[2J", 4))
		s->over = true;
}

/* ---- mhad ------------------------------------------------------------------------------------- */

static void disconnect(struct watch_screen *s)
{
	ask_free(s->ask);
	s->ask = NULL;
	s->asked = false;
	s->next_at = clock_in(PERIOD_MS);
}

static void send_request(struct watch_screen *s, bool why)
{
	struct err e = { 0 };
	json_t *args = NULL;

	if (why) {
		args = json_object();
		json_object_set_new(args, "cluster", json_string(s->v.selected));
	}
	s->asked = ask_send(s->ask, why ? "why" : "status", args, &e);
	s->asked_why = why;
	s->asked_at = clock_ms();
	if (!s->asked) {
		s->problem = e;
		disconnect(s);
	}
}

static void connect_and_ask(struct watch_screen *s)
{
	struct err e = { 0 };

	if (!s->ask)
		s->ask = ask_open(s->socket, clock_in(CONNECT_MS), &e);
	if (s->ask) {
		send_request(s, false);
		return;
	}
	s->problem = e;
	s->next_at = clock_in(PERIOD_MS);
}

/* A process other than the one before: what it forgot is explained by that. */
static void notice_restart(struct watch_screen *s, const json_t *now)
{
	json_int_t was = json_integer_value(json_object_get(s->status, "pid"));
	json_int_t is = json_integer_value(json_object_get(now, "pid"));

	if (!was || !is || was == is)
		return;
	snprintf(s->note, sizeof(s->note),
	        "mhad was restarted: it was pid %" JSON_INTEGER_FORMAT
	        " and is pid %" JSON_INTEGER_FORMAT " now",
	        was, is);
	s->note_until = clock_in(NOTE_MS);
}

static void take_value(struct watch_screen *s, json_t *value)
{
	json_t **to = s->asked_why ? &s->why : &s->status;

	if (!s->asked_why)
		notice_restart(s, value);
	json_decref(*to);
	*to = value;
	s->asked = false;
	s->problem = (struct err){ 0 };
	if (!s->asked_why)
		s->picture_at = clock_ms();
	if (!s->asked_why && s->v.detail)
		send_request(s, true);
	else
		s->next_at = s->picture_at + PERIOD_MS;
}

static void take_refusal(struct watch_screen *s, const struct err *e)
{
	s->asked = false;
	if (ask_is_over(s->ask) || !s->asked_why) {
		s->problem = *e;
		disconnect(s);
		return;
	}
	/* The cluster is gone: the next picture will say so. */
	json_decref(s->why);
	s->why = NULL;
	s->next_at = s->picture_at + PERIOD_MS;
}

static void read_answers(struct watch_screen *s)
{
	while (s->ask && s->asked) {
		struct err e = { 0 };
		json_t *value = NULL;

		switch (ask_next(s->ask, &value, &e)) {
		case ASK_VALUE: take_value(s, value); break;
		case ASK_EVENT: json_decref(value); break;
		case ASK_BAD: take_refusal(s, &e); break;
		case ASK_MORE: return;
		}
	}
}

static void ask_when_due(struct watch_screen *s)
{
	if (s->asked && clock_ms() >= s->asked_at + ANSWER_MS)
		disconnect(s);
	else if (s->asked && clock_ms() >= s->asked_at + STALE_MS)
		err_set(&s->problem, ERR_LOST, 0, "mhad does not answer");
	else if (!s->asked && clock_ms() >= s->next_at)
		connect_and_ask(s);
}

/* ---- keys and signals ------------------------------------------------------------------------- */

static void press(struct watch_screen *s, enum screen_key key)
{
	bool was_detail = s->v.detail;

	if (key == SCREEN_QUIT) {
		s->over = true;
		return;
	}
	screen_key(&s->v, key, s->status);
	/* What one cluster's page needs is asked for now, not in a second. */
	if (s->v.detail && !was_detail && s->ask && !s->asked)
		send_request(s, true);
}

static void read_keys(struct watch_screen *s)
{
	char buf[256];
	ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));
	enum screen_key key;

	if (n <= 0) {
		s->over = n == 0 || (errno != EINTR && errno != EAGAIN);
		return;
	}
	for (size_t at = 0; at < (size_t)n && !s->over;) {
		at += screen_key_parse(buf + at, (size_t)n - at, &key);
		press(s, key);
	}
}

/* Ctrl-Z: a terminal as it was while we are stopped. */
static void stop_here(struct watch_screen *s)
{
	struct err e = { 0 };

	leave_terminal();
	kill(getpid(), SIGSTOP);
	if (!enter_terminal(&e))
		s->over = true;
	redraw(s);
}

static void read_signals(struct watch_screen *s)
{
	struct signalfd_siginfo info;

	if (read(s->signals, &info, sizeof(info)) != sizeof(info))
		return;
	switch ((int)info.ssi_signo) {
	case SIGWINCH: redraw(s); break;
	case SIGTSTP: stop_here(s); break;
	case SIGINT: s->over = true; break;
	default: s->ended_by = (int)info.ssi_signo; s->over = true;
	}
}

/* ---- all of it -------------------------------------------------------------------------------- */

static void wait_for_anything(struct watch_screen *s)
{
	int64_t until = clock_sooner(clock_in(PERIOD_MS), s->asked ? CLOCK_NEVER : s->next_at);
	struct pollfd p[] = {
		{ .fd = s->signals, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = s->ask ? ask_fd(s->ask) : -1, .events = POLLIN },
	};

	if (poll(p, ARRAY_LEN(p), clock_left_poll(until)) <= 0)
		return;
	if (p[0].revents)
		read_signals(s);
	if (p[1].revents && !s->over)
		read_keys(s);
	if (!p[2].revents || !s->ask)
		return;
	if (s->asked) {
		read_answers(s);
		return;
	}
	/* It said something unasked. */
	err_set(&s->problem, ERR_LOST, 0, "mhad closed the connection");
	disconnect(s);
}

static void run(struct watch_screen *s)
{
	while (!s->over) {
		ask_when_due(s);
		draw(s);
		wait_for_anything(s);
	}
}

static void catch_signals(struct watch_screen *s, sigset_t *ret_before)
{
	static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	static const int handled[] = { SIGWINCH, SIGTSTP, SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction on = { .sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND };
	sigset_t set;

	for (size_t i = 0; i < ARRAY_LEN(crashes); i++)
		sigaction(crashes[i], &on, NULL);
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(handled); i++)
		sigaddset(&set, handled[i]);
	sigprocmask(SIG_BLOCK, &set, ret_before);
	s->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static bool is_terminal(struct err *e)
{
	const char *kind = getenv("TERM");

	if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && kind && *kind &&
	        !str_is(kind, "dumb") && !tcgetattr(STDIN_FILENO, &term.before))
		return true;
	err_set(e, ERR_CONFIG, 0, "--watch needs a terminal");
	return err_hint(e, "mhactl status --json is for programs");
}

int cmd_screen(struct cmd *c, const char *socket, const char *cluster)
{
	struct watch_screen s = { .socket = ask_path(socket), .last = STR_INIT, .signals = -1 };
	const char *no_colour = getenv("NO_COLOR");
	struct err e = { 0 };
	sigset_t before;

	if (!is_terminal(&e))
		return cmd_fail(c, CMD_USAGE, &e);
	s.v.colour = !(no_colour && *no_colour);
	s.v.detail = cluster;
	snprintf(s.v.selected, sizeof(s.v.selected), "%s", cluster ? cluster : "");
	catch_signals(&s, &before);
	atexit(leave_terminal);
	read_size(&s);
	if (!enter_terminal(&e)) {
		sigprocmask(SIG_SETMASK, &before, NULL);
		return cmd_fail(c, CMD_FAILED, &e);
	}
	run(&s);
	leave_terminal();
	ask_free(s.ask);
	json_decref(s.status);
	json_decref(s.why);
	str_done(&s.last);
	close(s.signals);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (s.ended_by)
		raise(s.ended_by);
	return CMD_OK;
}
