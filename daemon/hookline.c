/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hookline - requests of hooks, handed on to links.  Runs on: loop.
 */
#include "hookline.h"
#include "clock.h"
#include "control.h"
#include "hook.h"
#include "link.h"
#include "str.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	DEFAULT_MS = 10000,
	SILENT_MS = 200, /* for one more try at a host that is known to be silent */
	MOST_MS = 120000,
};

struct hookline {
	struct control *control;
	const struct conf *conf;
	hookline_link_fn link;
	void *arg;
	char *dir, *path, *hosts;
	_Atomic(const struct conf_server *) silent;
};

/* One request of a hook that a host has not answered yet. */
struct asked {
	struct control_call *call;
	struct link_call *link_call;
};

static const char *const verbs[] = { "vip", "fence", "probe", "reach" };

static bool is_allowed(const char *verb)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (str_is(verb, verbs[i]))
			return true;
	return false;
}

static bool is_named(const struct conf_server *s, const char *host)
{
	return str_is(s->hostname, host) || str_is(s->ip, host) || str_is(s->ssh_host, host) ||
	       str_is(s->ssh_address, host) || str_is(s->id, host);
}

/* Servers on one host share their session: any of them will do. */
static struct link *find_link(const struct hookline *line, const char *host, struct err *e)
{
	bool known = false;

	for (size_t i = 0; i < line->conf->n_servers; i++) {
		const struct conf_server *s = line->conf->servers[i];
		struct link *l = is_named(s, host) ? line->link(line->arg, s) : NULL;

		if (l)
			return l;
		known |= is_named(s, host);
	}
	if (known)
		err_set(e, ERR_PRECOND, 0, "there is no session with %s", host);
	else
		err_set(e, ERR_PRECOND, 0, "%s has no host \"%.80s\"", line->conf->name, host);
	return NULL;
}

static void answered(void *arg, const struct link_answer *a)
{
	struct asked *asked = arg;
	json_t *value;

	if (a->status < 0) {
		control_refuse(asked->call, &a->err);
	} else {
		value = json_pack("{s:i, s:o, s:o}", "status", a->status, "out",
		        control_text(a->out ? a->out : ""), "error",
		        control_text(a->err.kind == ERR_NONE ? "" : a->err.text));
		json_object_set_new(value, "value", a->value ? json_incref(a->value) : json_null());
		control_answer(asked->call, value);
	}
	free(asked);
}

static void hung_up(struct control_call *call, void *arg)
{
	struct asked *asked = arg;

	(void)call;
	link_cancel(asked->link_call);
	free(asked);
}

static int64_t deadline_for(
        const struct hookline *line, const char *host, struct link *l, int64_t ms)
{
	const struct link_view *v = link_view(l);
	const struct conf_server *s = atomic_load(&line->silent);
	bool silent = (v->state == LINK_DOWN && v->why == LINK_SILENT) || (s && is_named(s, host));

	return clock_in(silent && ms > SILENT_MS ? SILENT_MS : ms);
}

static bool start(struct control_call *call, const json_t *args, struct err *e)
{
	const struct hookline *line = control_arg(call);
	const char *host, *verb;
	json_int_t ms = DEFAULT_MS;
	json_t *words = NULL;
	struct asked *asked;
	struct link *l;

	if (!control_args(args, e, "{s:s, s:s, s?o, s?I}", "host", &host, "verb", &verb, "args",
	            &words, "timeout_ms", &ms))
		return false;
	if (!is_allowed(verb))
		return err_set(e, ERR_REFUSED, 0,
		        "hooks may ask hosts for vip, fence, probe and "
		        "reach only");
	if (ms < 1 || ms > MOST_MS || (words && !json_is_object(words)))
		return err_set(e, ERR_PRECOND, 0, "timeout_ms is 1 to %d, args is an object",
		        (int)MOST_MS);
	l = find_link(line, host, e);
	if (!l)
		return false;
	asked = xzalloc(sizeof(*asked));
	asked->call = call;
	asked->link_call = link_call(l, verb, words ? json_incref(words) : NULL,
	        deadline_for(line, host, l, ms), answered, asked);
	control_on_cancel(call, hung_up, asked);
	return true;
}

static void via(struct control_call *call, const json_t *args)
{
	struct err e = { 0 };

	if (!start(call, args, &e))
		control_refuse(call, &e);
}

static const struct control_verb table[] = {
	{ "via", CONTROL_ADMIN, via },
	{ NULL, CONTROL_NONE, NULL },
};

static char *names_of(const struct conf *c)
{
	struct str s = STR_INIT;

	for (size_t i = 0; i < c->n_servers; i++)
		str_addf(&s, "%s%s", s.len ? " " : "", c->servers[i]->hostname);
	return str_take(&s);
}

static bool make_dir(struct hookline *line, struct err *e)
{
	const char *tmp = getenv("TMPDIR");

	line->dir = xasprintf("%s/mhad-hook.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (mkdtemp(line->dir)) {
		line->path = xasprintf("%s/line", line->dir);
		return true;
	}
	err_sys(e, "make a folder for the socket of hooks, %s", line->dir);
	free(line->dir);
	line->dir = NULL;
	return false;
}

struct hookline *hookline_new(
        struct loop *l, const struct conf *conf, hookline_link_fn link, void *arg, struct err *e)
{
	/* Thirty hosts, each asked for several things at once, by one script. */
	static const struct control_opts opts = { .max_clients = 64, .max_requests = 4 };
	struct hookline *line = xzalloc(sizeof(*line));

	line->conf = conf;
	line->link = link;
	line->arg = arg;
	if (make_dir(line, e))
		line->control = control_new(l, -1, line->path, &opts, table, line, e);
	if (!line->control) {
		hookline_free(line);
		return NULL;
	}
	line->hosts = names_of(conf);
	return line;
}

void hookline_free(struct hookline *line)
{
	if (!line)
		return;
	control_free(line->control);
	if (line->dir) {
		AUTO(free) char *lock = xasprintf("%s.lock", line->path);

		unlink(lock);
		rmdir(line->dir);
	}
	free(line->dir);
	free(line->path);
	free(line->hosts);
	free(line);
}

void hookline_equip(const struct hookline *line, struct hook *h)
{
	if (!line)
		return;
	hook_set_env(h, "MHAD_CHANNEL", line->path);
	hook_set_env(h, "MHAD_HOSTS", line->hosts);
	hook_set_env(h, "MHAD_CLUSTER", line->conf->name);
}

void hookline_expect_silence(struct hookline *line, const struct conf_server *s)
{
	if (line)
		atomic_store(&line->silent, s);
}

const char *hookline_path(const struct hookline *line)
{
	return line->path;
}
