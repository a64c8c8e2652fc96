/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hook - one call, and running it.  Runs on: hook_run() on a worker, hook_start() on the loop, the rest
 * anywhere.
 */
#include "hook_impl.h"
#include "clock.h"
#include "hookd.h"
#include "job.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Set before there are workers. */
static bool in_service;
static const char *helper;

void hook_use_helper(const char *socket)
{
	in_service = true;
	helper = socket;
}

bool hook_is_set(const char *prefix)
{
	return prefix && *prefix;
}

struct hook *hook_begin(const char *setting, const char *prefix, const struct conf_server *s)
{
	struct hook *h;

	if (!hook_is_set(prefix))
		return NULL;
	h = xzalloc(sizeof(*h));
	h->setting = setting;
	h->prefix = xstrdup(prefix);
	h->conf = s ? xstrdup(s->block_file) : NULL;
	h->server = s ? xstrdup(s->id) : NULL;
	return h;
}

struct hook *hook_finish(struct hook *h)
{
	vec_push(&h->args, NULL);
	return h;
}

struct hook *hook_new(const char *setting, const char *prefix, const char *const *args)
{
	struct hook *h = hook_begin(setting, prefix, NULL);

	if (!h)
		return NULL;
	for (; *args; args++)
		vec_push(&h->args, xstrdup(*args));
	return hook_finish(h);
}

void hook_set_env(struct hook *h, const char *name, const char *value)
{
	size_t n = strlen(name);

	if (h->env.len)
		h->env.len--;
	vec_each (char *, v, &h->env)
		if (!strncmp(*v, name, n) && (*v)[n] == '=') {
			free(*v);
			*v = xasprintf("%s=%s", name, value);
			vec_push(&h->env, NULL);
			return;
		}
	vec_push(&h->env, xasprintf("%s=%s", name, value));
	vec_push(&h->env, NULL);
}

/* Arguments can hold passwords. */
void hook_free(struct hook *h)
{
	if (!h)
		return;
	vec_each (char *, a, &h->args)
		mem_free_secret(*a);
	vec_each (char *, v, &h->env)
		free(*v);
	vec_done(&h->args);
	vec_done(&h->env);
	free(h->conf);
	free(h->server);
	free(h->prefix);
	free(h);
}

const char *hook_setting(const struct hook *h)
{
	return h->setting;
}

const char *const *hook_args(const struct hook *h)
{
	return (const char *const *)h->args.items;
}

/* Length of "--new_master_password=", or 0: what follows may be shown. */
static size_t secret_at(const char *arg)
{
	static const char word[] = "password=";
	const char *found = strstr(arg, word), *eq = strchr(arg, '=');

	return found && found + strlen(word) - 1 == eq ? (size_t)(eq + 1 - arg) : 0;
}

char *hook_text(const struct hook *h)
{
	struct str s = STR_INIT;

	str_add(&s, h->prefix);
	for (const char *const *a = hook_args(h); *a; a++) {
		size_t secret = secret_at(*a);

		str_addc(&s, ' ');
		if (secret)
			str_addf(&s, "%.*sxxx", (int)secret, *a);
		else if ((*a)[strcspn(*a, " \t\n'\"\\$&;|<>()*?!#~`[]{}^")])
			str_add_shell(&s, *a);
		else
			str_add(&s, *a);
	}
	return str_take(&s);
}

static bool judge(const struct hook *h, const struct proc_result *r, struct err *e)
{
	if (r->late)
		return err_set(e, ERR_REMOTE, -(r->signal ? r->signal : SIGTERM),
		        "%s did not end within %lld s and was stopped", h->setting,
		        (long long)r->took_ms / 1000);
	if (r->signal)
		return err_set(e, ERR_REMOTE, -r->signal, "%s was ended by signal %d", h->setting,
		        r->signal);
	if (r->status == 127) {
		err_set(e, ERR_REMOTE, r->status, "%s: the shell cannot find \"%s\"", h->setting,
		        h->prefix);
		return err_hint(
		        e, "a relative path counts from the directory the command is started in");
	}
	if (r->status > 128 && r->status <= 128 + 64) /* the shell's way to tell of its child */
		return err_set(e, ERR_REMOTE, r->status,
		        "%s returned exit status %d, as when signal %d ends a program", h->setting,
		        r->status, r->status - 128);
	if (r->status)
		return err_set(e, ERR_REMOTE, r->status, "%s returned exit status %d", h->setting,
		        r->status);
	return true;
}

int hook_status(const struct err *e)
{
	return e->kind == ERR_REMOTE && e->code > 0 ? e->code : -1;
}

const char *hook_code(const struct err *e, char buf[HOOK_CODE_MAX])
{
	if (!e)
		snprintf(buf, HOOK_CODE_MAX, "0:0");
	else if (e->kind != ERR_REMOTE)
		snprintf(buf, HOOK_CODE_MAX, "none");
	else
		snprintf(buf, HOOK_CODE_MAX, "%d:%d", e->code > 0 ? e->code : 0,
		        e->code < 0 ? -e->code : 0);
	return buf;
}

/* The folder of the cluster's file, for hooks of the service.  Returns owned, or NULL. */
static char *folder(const struct hook *h)
{
	const char *slash = in_service && h->conf ? strrchr(h->conf, '/') : NULL;

	return slash ? xstrndup(h->conf, slash == h->conf ? 1 : (size_t)(slash - h->conf)) : NULL;
}

bool hook_exec(const struct hook *h, int64_t deadline, int cancel_fd, struct proc_result *ret,
        struct err *e)
{
	AUTO(free) char *script = xasprintf("%s \"$@\"", h->prefix), *cwd = folder(h);
	VEC(const char *) argv = VEC_INIT;
	struct proc_opts o = { .env_add = (const char *const *)h->env.items,
		.cwd = cwd,
		.merge = true,
		.deadline = deadline,
		.cancel_fd = cancel_fd };
	bool ok;

	vec_push(&argv, "sh");
	vec_push(&argv, "-c");
	vec_push(&argv, script);
	vec_push(&argv, h->setting); /* $0: how the shell names itself in its own errors */
	for (const char *const *a = hook_args(h); *a; a++)
		vec_push(&argv, *a);
	vec_push(&argv, NULL);
	o.argv = argv.items;
	ok = proc_run(&o, ret, e);
	vec_done(&argv);
	return ok || err_ctx(e, "%s", h->setting);
}

static bool exec_by_helper(
        const struct hook *h, int64_t deadline, struct proc_result *ret, struct err *e)
{
	const struct hookd_call call = { .conf = h->conf,
		.server = h->server,
		.setting = h->setting,
		.args = hook_args(h),
		.env = (const char *const *)h->env.items,
		.deadline = deadline };

	return hookd_call(helper, &call, ret, e) || err_ctx(e, "%s", h->setting);
}

bool hook_run(const struct hook *h, int64_t deadline, struct str *ret_output, struct err *e)
{
	struct proc_result r;
	bool ok;

	if (helper && h->conf)
		ok = exec_by_helper(h, deadline, &r, e);
	else
		ok = hook_exec(h, deadline, 0, &r, e);
	if (!ok)
		return false;
	if (ret_output)
		str_addn(ret_output, r.out.p, r.out.len);
	ok = judge(h, &r, e);
	proc_done(&r);
	return ok;
}

struct call {
	struct hook *hook;
	int64_t timeout_ms;
	struct str output;
	hook_done_fn done;
	void *arg;
};

static bool call_work(struct job *j, void *arg, struct err *e)
{
	struct call *c = arg;

	(void)j;
	return hook_run(c->hook, clock_in(c->timeout_ms), &c->output, e);
}

static void call_ended(struct job *j, void *arg, const struct err *e)
{
	struct call *c = arg;
	struct str nothing = STR_INIT;

	c->done(c->arg, c->hook, job_is_late(j) ? &nothing : &c->output, e);
}

static void call_free(void *arg)
{
	struct call *c = arg;

	hook_free(c->hook);
	str_done(&c->output);
	free(c);
}

void hook_start(
        struct job_pool *p, struct hook *h, int64_t timeout_ms, hook_done_fn done, void *arg)
{
	enum {
		ENDING_MS = 3000
	}; /* TERM, grace, KILL: the job itself is late only after all of that */
	struct call *c = xzalloc(sizeof(*c));

	*c = (struct call){
		.hook = h, .timeout_ms = timeout_ms, .output = STR_INIT, .done = done, .arg = arg
	};
	job_start(p, job_new(h->setting, clock_in(timeout_ms + ENDING_MS), call_work, call_ended,
	                     call_free, c));
}
