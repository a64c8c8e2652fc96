/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hook - argument lists in MHA's order, and running them.  Runs on: builders anywhere, hook_run()
 * on a worker.
 */
#include "hook.h"
#include "clock.h"
#include "job.h"
#include "vec.h"
#include <stdlib.h>
#include <string.h>

struct hook {
	const char *setting;
	char *prefix;
	VEC(char *) args; /* ends with NULL */
};

bool hook_is_set(const char *prefix)
{
	return prefix && *prefix;
}

static struct hook *start(const char *setting, const char *prefix)
{
	struct hook *h;

	if (!hook_is_set(prefix))
		return NULL;
	h = xzalloc(sizeof(*h));
	h->setting = setting;
	h->prefix = xstrdup(prefix);
	return h;
}

static void arg(struct hook *h, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void arg(struct hook *h, const char *fmt, ...)
{
	struct str s = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_vaddf(&s, fmt, ap);
	va_end(ap);
	vec_push(&h->args, str_take(&s));
}

char *hook_ssh_options(enum hook_ssh_set set, const struct conf_server *s)
{
	struct str o = STR_INIT;

	if (set == HOOK_SSH_CHECK)
		str_addf(&o,
		        "-o StrictHostKeyChecking=no -o PasswordAuthentication=no -o BatchMode=yes "
		        "-o ConnectTimeout=%lld",
		        (long long)(s->ssh_connection_timeout + 999) / 1000);
	else
		str_add(&o,
		        "-o ServerAliveInterval=60 -o ServerAliveCountMax=20 -o "
		        "StrictHostKeyChecking=no "
		        "-o ConnectionAttempts=5 -o PasswordAuthentication=no -o BatchMode=yes");
	if (s->ssh_options && *s->ssh_options)
		str_addf(&o, " %s", s->ssh_options);
	return str_take(&o);
}

/* Only what differs from plain SSH to the server's own address is said. */
static void ssh_args(struct hook *h, const char *who, const struct conf_server *s)
{
	if (!str_is(s->ssh_host, s->hostname) || !str_is(s->ssh_address, s->ip)) {
		arg(h, "--%sssh_host=%s", who, s->ssh_host);
		arg(h, "--%sssh_ip=%s", who, s->ssh_address);
	}
	if (s->ssh_port != 22)
		arg(h, "--%sssh_port=%d", who, s->ssh_port);
}

static void ssh_options_arg(struct hook *h, enum hook_ssh_set set, const struct conf_server *s)
{
	AUTO(free) char *options = NULL;

	if (!s->ssh_options || !*s->ssh_options)
		return;
	options = hook_ssh_options(set, s);
	arg(h, "--ssh_options=%s", options);
}

static struct hook *finish(struct hook *h)
{
	vec_push(&h->args, NULL);
	return h;
}

struct hook *hook_ip_failover_status(const struct conf_server *master)
{
	struct hook *h = start("master_ip_failover_script", master->master_ip_failover_script);

	if (!h)
		return NULL;
	arg(h, "--command=status");
	arg(h, "--ssh_user=%s", master->ssh_user);
	arg(h, "--orig_master_host=%s", master->hostname);
	arg(h, "--orig_master_ip=%s", master->ip);
	arg(h, "--orig_master_port=%d", master->port);
	ssh_args(h, "orig_master_", master);
	ssh_options_arg(h, HOOK_SSH_CHECK, master);
	return finish(h);
}

struct hook *hook_shutdown_status(const struct conf_server *master)
{
	struct hook *h = start("shutdown_script", master->shutdown_script);

	if (!h)
		return NULL;
	arg(h, "--command=status");
	arg(h, "--ssh_user=%s", master->ssh_user);
	arg(h, "--host=%s", master->hostname);
	arg(h, "--ip=%s", master->ip);
	ssh_args(h, "", master);
	ssh_options_arg(h, HOOK_SSH_CHECK, master);
	return finish(h);
}

void hook_free(struct hook *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->args.len; i++)
		free(h->args.items[i]);
	vec_done(&h->args);
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

char *hook_text(const struct hook *h)
{
	struct str s = STR_INIT;

	str_add(&s, h->prefix);
	for (const char *const *a = hook_args(h); *a; a++) {
		str_addc(&s, ' ');
		if ((*a)[strcspn(*a, " \t\n'\"\\$&;|<>()*?!#~`[]{}^")])
			str_add_shell(&s, *a);
		else
			str_add(&s, *a);
	}
	return str_take(&s);
}

static bool judge(const struct hook *h, const struct proc_result *r, struct err *e)
{
	if (r->late)
		return err_set(e, ERR_REMOTE, 0, "%s did not end within %lld s and was stopped",
		        h->setting, (long long)r->took_ms / 1000);
	if (r->signal)
		return err_set(
		        e, ERR_REMOTE, 0, "%s was ended by signal %d", h->setting, r->signal);
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

bool hook_run(const struct hook *h, int64_t deadline, struct str *ret_output, struct err *e)
{
	AUTO(free) char *script = xasprintf("%s \"$@\"", h->prefix);
	VEC(const char *) argv = VEC_INIT;
	struct proc_opts o = { .merge = true, .deadline = deadline };
	struct proc_result r;
	bool ok;

	vec_push(&argv, "sh");
	vec_push(&argv, "-c");
	vec_push(&argv, script);
	vec_push(&argv, h->setting); /* $0: how the shell names itself in its own errors */
	for (const char *const *a = hook_args(h); *a; a++)
		vec_push(&argv, *a);
	vec_push(&argv, NULL);
	o.argv = argv.items;
	ok = proc_run(&o, &r, e);
	vec_done(&argv);
	if (!ok)
		return err_ctx(e, "%s", h->setting);
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
