/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hook_calls - what each script is called with.  Runs on: anywhere.
 *
 * Names, order and what is left out are MHA's: scripts reject what they do not know.
 */
#include "hook_impl.h"
#include <stdlib.h>

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

/* ---- what calls have in common ---- */

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

/* Once in a call, behind the first server's arguments. */
static void ssh_options_arg(
        struct hook *h, const char *name, enum hook_ssh_set set, const struct conf_server *s)
{
	AUTO(free) char *options = NULL;

	if (!s->ssh_options || !*s->ssh_options)
		return;
	options = hook_ssh_options(set, s);
	arg(h, "--%s=%s", name, options);
}

static void address_args(struct hook *h, const char *who, const struct conf_server *s)
{
	arg(h, "--%shost=%s", who, s->hostname);
	arg(h, "--%sip=%s", who, s->ip);
}

static void master_args(struct hook *h, const char *who, const struct conf_server *s)
{
	address_args(h, who, s);
	arg(h, "--%sport=%d", who, s->port);
}

static void user_arg(struct hook *h, const char *who, const struct conf_server *s)
{
	arg(h, "--%suser=%s", who, s->user);
}

static void password_arg(struct hook *h, const char *who, const struct conf_server *s)
{
	if (s->hook_passwords)
		arg(h, "--%spassword=%s", who, s->password ? s->password : "");
}

/* ---- master_ip_failover_script ---- */

static struct hook *ip_failover(const struct conf_server *s)
{
	return hook_begin("master_ip_failover_script", s->master_ip_failover_script, s);
}

struct hook *hook_ip_failover_status(const struct conf_server *master)
{
	struct hook *h = ip_failover(master);

	if (!h)
		return NULL;
	arg(h, "--command=status");
	arg(h, "--ssh_user=%s", master->ssh_user);
	master_args(h, "orig_master_", master);
	ssh_args(h, "orig_master_", master);
	ssh_options_arg(h, "ssh_options", HOOK_SSH_CHECK, master);
	return hook_finish(h);
}

struct hook *hook_ip_failover_stop(const struct conf_server *dead, bool ssh)
{
	struct hook *h = ip_failover(dead);

	if (!h)
		return NULL;
	master_args(h, "orig_master_", dead);
	arg(h, ssh ? "--command=stopssh" : "--command=stop");
	if (ssh)
		arg(h, "--ssh_user=%s", dead->ssh_user);
	ssh_args(h, "orig_master_", dead);
	ssh_options_arg(h, "ssh_options", ssh ? HOOK_SSH_LONG : HOOK_SSH_CHECK, dead);
	return hook_finish(h);
}

struct hook *hook_ip_failover_start(const struct conf_server *dead, const struct conf_server *fresh)
{
	struct hook *h = ip_failover(fresh);

	if (!h)
		return NULL;
	arg(h, "--command=start");
	arg(h, "--ssh_user=%s", fresh->ssh_user);
	master_args(h, "orig_master_", dead);
	master_args(h, "new_master_", fresh);
	user_arg(h, "new_master_", fresh);
	ssh_args(h, "orig_master_", dead);
	ssh_options_arg(h, "ssh_options", HOOK_SSH_LONG, fresh);
	ssh_args(h, "new_master_", fresh);
	password_arg(h, "new_master_", fresh);
	return hook_finish(h);
}

/* ---- master_ip_online_change_script ---- */

/* The new master's setting says whether there is a call at all; stopping is done by the old one's. */
struct hook *hook_online_change(bool stop, const struct conf_server *orig,
        const struct conf_server *fresh, bool orig_is_new_slave)
{
	const struct conf_server *whose = stop ? orig : fresh;
	struct hook *h = !hook_is_set(fresh->master_ip_online_change_script)
	                         ? NULL
	                         : hook_begin("master_ip_online_change_script",
	                                   whose->master_ip_online_change_script, whose);

	if (!h)
		return NULL;
	arg(h, stop ? "--command=stop" : "--command=start");
	master_args(h, "orig_master_", orig);
	user_arg(h, "orig_master_", orig);
	master_args(h, "new_master_", fresh);
	user_arg(h, "new_master_", fresh);
	arg(h, "--orig_master_ssh_user=%s", orig->ssh_user);
	arg(h, "--new_master_ssh_user=%s", fresh->ssh_user);
	ssh_args(h, "orig_master_", orig);
	ssh_options_arg(h, "ssh_options", HOOK_SSH_LONG, whose);
	ssh_args(h, "new_master_", fresh);
	if (orig_is_new_slave)
		arg(h, "--orig_master_is_new_slave");
	password_arg(h, "orig_master_", orig);
	password_arg(h, "new_master_", fresh);
	return hook_finish(h);
}

/* ---- shutdown_script ---- */

struct hook *hook_shutdown_status(const struct conf_server *master)
{
	struct hook *h = hook_begin("shutdown_script", master->shutdown_script, master);

	if (!h)
		return NULL;
	arg(h, "--command=status");
	arg(h, "--ssh_user=%s", master->ssh_user);
	address_args(h, "", master);
	ssh_args(h, "", master);
	ssh_options_arg(h, "ssh_options", HOOK_SSH_CHECK, master);
	return hook_finish(h);
}

struct hook *hook_shutdown(const struct conf_server *dead, bool ssh)
{
	struct hook *h = hook_begin("shutdown_script", dead->shutdown_script, dead);

	if (!h)
		return NULL;
	arg(h, ssh ? "--command=stopssh" : "--command=stop");
	if (ssh)
		arg(h, "--ssh_user=%s", dead->ssh_user);
	master_args(h, "", dead);
	if (dead->master_pid_file && *dead->master_pid_file)
		arg(h, "--pid_file=%s", dead->master_pid_file);
	ssh_args(h, "", dead);
	ssh_options_arg(h, "ssh_options", ssh ? HOOK_SSH_LONG : HOOK_SSH_CHECK, dead);
	return hook_finish(h);
}

/* ---- secondary_check_script, report_script ---- */

/* With the password in argv, as the contract has it; none is logged. */
struct hook *hook_secondary_check(const struct conf_server *master)
{
	static const char *const pings[] = { [CONF_PING_CONNECT] = "CONNECT",
		[CONF_PING_SELECT] = "SELECT",
		[CONF_PING_INSERT] = "INSERT" };
	struct hook *h =
	        hook_begin("secondary_check_script", master->secondary_check_script, master);

	if (!h)
		return NULL;
	arg(h, "--user=%s", master->ssh_user);
	master_args(h, "master_", master);
	user_arg(h, "master_", master);
	password_arg(h, "master_", master);
	arg(h, "--ping_type=%s", pings[master->ping_type]);
	ssh_options_arg(h, "options", HOOK_SSH_CHECK, master);
	return hook_finish(h);
}

struct hook *hook_report(const struct conf_server *master, const char *conf_path,
        const char *subject, const char *body)
{
	return hook_report_failover(master, NULL, NULL, conf_path, subject, body);
}

struct hook *hook_report_failover(const struct conf_server *dead, const struct conf_server *fresh,
        const char *new_slave_hosts, const char *conf_path, const char *subject, const char *body)
{
	struct hook *h = hook_begin("report_script", dead->report_script, dead);

	if (!h)
		return NULL;
	arg(h, "--orig_master_host=%s", dead->hostname);
	if (fresh) {
		arg(h, "--new_master_host=%s", fresh->hostname);
		arg(h, "--new_slave_hosts=%s", new_slave_hosts ? new_slave_hosts : "");
	}
	arg(h, "--conf=%s", conf_path);
	arg(h, "--subject=%s", subject);
	arg(h, "--body=%s", body);
	return hook_finish(h);
}

struct hook *hook_report_again(const struct conf_server *s, const char *const *args)
{
	struct hook *h = hook_begin("report_script", s->report_script, s);

	if (!h)
		return NULL;
	for (; *args; args++)
		arg(h, "%s", *args);
	return hook_finish(h);
}
