/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hook - argument lists in MHA's order, and running them.  Runs on: builders anywhere, hook_run()
 * on a worker.
 */
#include "hook.h"
#include "clock.h"
#include "hookd.h"
#include "job.h"
#include "vec.h"
#include <stdlib.h>
#include <string.h>

struct hook {
	const char *setting;
	char *prefix;
	char *conf, *server; /* whose setting it is; NULL: nobody's */
	VEC(char *) args;    /* ends with NULL */
	VEC(char *) env;     /* ends with NULL, or is empty */
};

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

static struct hook *start(const char *setting, const char *prefix, const struct conf_server *s)
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
	struct hook *h =
	        start("master_ip_failover_script", master->master_ip_failover_script, master);

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
	struct hook *h = start("shutdown_script", master->shutdown_script, master);

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

/* With the password in argv, as the contract has it; none is logged. */
struct hook *hook_secondary_check(const struct conf_server *master)
{
	static const char *const pings[] = { [CONF_PING_CONNECT] = "CONNECT",
		[CONF_PING_SELECT] = "SELECT",
		[CONF_PING_INSERT] = "INSERT" };
	struct hook *h = start("secondary_check_script", master->secondary_check_script, master);

	if (!h)
		return NULL;
	arg(h, "--user=%s", master->ssh_user);
	arg(h, "--master_host=%s", master->hostname);
	arg(h, "--master_ip=%s", master->ip);
	arg(h, "--master_port=%d", master->port);
	arg(h, "--master_user=%s", master->user);
	arg(h, "--master_password=%s", master->password ? master->password : "");
	arg(h, "--ping_type=%s", pings[master->ping_type]);
	if (master->ssh_options && *master->ssh_options) {
		AUTO(free) char *options = hook_ssh_options(HOOK_SSH_CHECK, master);

		arg(h, "--options=%s", options);
	}
	return finish(h);
}

struct hook *hook_report(const struct conf_server *master, const char *conf_path,
        const char *subject, const char *body)
{
	struct hook *h = start("report_script", master->report_script, master);

	if (!h)
		return NULL;
	arg(h, "--orig_master_host=%s", master->hostname);
	arg(h, "--conf=%s", conf_path);
	arg(h, "--subject=%s", subject);
	arg(h, "--body=%s", body);
	return finish(h);
}

struct hook *hook_new(const char *setting, const char *prefix, const char *const *args)
{
	struct hook *h = start(setting, prefix, NULL);

	if (!h)
		return NULL;
	for (; *args; args++)
		vec_push(&h->args, xstrdup(*args));
	return finish(h);
}

void hook_set_env(struct hook *h, const char *name, const char *value)
{
	if (h->env.len)
		h->env.len--;
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
