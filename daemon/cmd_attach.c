/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_attach - `masterha_manager` of a cluster that a running mhad watches: shows what mhad says of it, and
 * stands for it as the process that people end.  Runs on: loop.
 */
#include "ask.h"
#include "clock.h"
#include "cmd_manager.h"
#include "log.h"
#include "loop.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { CONNECT_MS = 3000 };

struct attach {
	struct manager *m;
	struct ask *ask;
	struct loop *loop;
	bool accepted; /* mhad has said something: it is ours */
	int code;
};

static void end(struct attach *a, int code)
{
	a->code = code;
	loop_stop(a->loop);
}

static void show(struct attach *a, const json_t *event)
{
	const char *text = json_string_value(json_object_get(event, "text"));
	const char *name = json_string_value(json_object_get(event, "level"));
	enum log_level level = LOG_LV_INFO;

	a->accepted = true;
	if (name && !log_level_parse(name, &level))
		level = LOG_LV_INFO;
	if (text)
		log_at(level, "%s", text);
}

/* The last word: mhad knows the master by then, the file's first server need not be it. */
static void finish(struct attach *a, const json_t *value)
{
	const char *how = json_string_value(json_object_get(value, "how"));
	const char *text = json_string_value(json_object_get(value, "text"));
	const char *host = json_string_value(json_object_get(value, "master"));
	const char *ip = json_string_value(json_object_get(value, "ip"));
	const char *gate = json_string_value(json_object_get(value, "gate"));

	if (str_is(how, "failover")) {
		end(a, (int)json_integer_value(json_object_get(value, "exit")));
		return;
	}
	if (str_is(how, "dead")) {
		end(a, cmd_manager_dead(a->m, host ? host : "?", ip ? ip : "?",
		               (int)json_integer_value(json_object_get(value, "port")), gate));
		return;
	}
	log_error("%s", text ? text : "mhad no longer watches this cluster.");
	log_info("Got exit code 1 (Not master dead).");
	end(a, CMD_FAILED);
}

static void refused(struct attach *a, const struct err *e)
{
	if (!a->accepted && e->kind == ERR_PRECOND && e->code == ENOENT) {
		end(a, MANAGER_ELSEWHERE);
		return;
	}
	log_err(LOG_LV_ERROR, e);
	end(a, CMD_FAILED);
}

static void on_answer(void *arg, int events)
{
	struct attach *a = arg;

	(void)events;
	for (;;) {
		struct err e = { 0 };
		json_t *j = NULL;
		enum ask_next next = ask_next(a->ask, &j, &e);

		if (next == ASK_MORE)
			return;
		if (next == ASK_EVENT)
			show(a, j);
		else if (next == ASK_VALUE)
			finish(a, j);
		else
			refused(a, &e);
		json_decref(j);
		if (next != ASK_EVENT)
			return;
	}
}

static void on_signal(void *arg, int signo)
{
	(void)signo;
	log_info("Got terminate signal. Exit.");
	end(arg, CMD_FAILED);
}

static int run(struct attach *a)
{
	static const int signals[] = { SIGINT, SIGHUP, SIGQUIT, SIGTERM };
	struct loop_signal *s[ARRAY_LEN(signals)];
	struct loop_io *io;

	a->loop = loop_new();
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		s[i] = loop_signal_new(a->loop, signals[i], on_signal, a);
	io = loop_io_new(a->loop, ask_fd(a->ask), LOOP_READ, on_answer, a);
	loop_run(a->loop);
	loop_io_free(io);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		loop_signal_free(s[i]);
	loop_free(a->loop);
	return a->code;
}

int cmd_manager_attach(struct manager *m)
{
	struct attach a = { .m = m };
	struct err e = { 0 };
	int code = MANAGER_ELSEWHERE;

	/* Nobody there, or not for us to ask: a manager of its own needs no mhad. */
	a.ask = ask_open(ask_path(m->socket), clock_in(CONNECT_MS), &e);
	if (a.ask &&
	        ask_send(a.ask, "attach",
	                json_pack("{s:s, s:b}", "conf", m->conf->real_path, "monitor", m->monitor),
	                &e))
		code = run(&a);
	ask_free(a.ask);
	return code;
}
