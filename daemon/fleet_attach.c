/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fleet_attach - `masterha_manager --conf=F` for a cluster that mhad watches: it runs in the foreground as
 * MHA's did, shows what mhad says of that cluster, and its pid is the one in the status file.  Whoever ends it
 * ends the watch of its cluster.  Runs on: loop.
 *
 *	attach {"conf":PATH, "monitor":true if it only watches}	events {"level":"info","text":...}, at the end
 *				{"how":"dead","master":NAME,"ip":...,"port":N,"ssh":true,"gate":TEXT|null} or {"how":"failed","text":...} or
 *				{"how":"stopped"} or {"how":"failover","exit":0}
 */
#include "fleet_impl.h"
#include "clock.h"
#include <errno.h>
#include <stdio.h>

static void detached(struct control_call *call, void *arg)
{
	struct fleet_cluster *c = arg;
	char reason[120];

	(void)call;
	snprintf(reason, sizeof(reason), "its manager in the foreground, process %ld, was ended",
	        (long)c->attached_pid);
	c->attached = NULL;
	c->attached_pid = 0;
	watch_set_status_pid(c->watch, 0);
	watch_pause(c->watch, CLOCK_NEVER, reason, "a signal");
}

static struct fleet_cluster *by_path(const struct fleet *f, const char *path)
{
	vec_each (struct fleet_cluster *, c, &f->clusters) {
		if ((*c)->watch && str_is((*c)->conf->real_path, path))
			return *c;
	}
	return NULL;
}

static bool check(const struct fleet_cluster *c, const char *path, struct err *e)
{
	if (!c)
		return err_set(e, ERR_PRECOND, ENOENT, "mhad does not watch %s", path);
	if (c->attached)
		return err_set(e, ERR_PRECOND, EBUSY, "%s has a manager already: process %ld",
		        c->name, (long)c->attached_pid);
	return true;
}

void fleet_verb_attach(struct control_call *call, const json_t *args)
{
	const struct control_peer *peer = control_peer(call);
	struct fleet_cluster *c;
	const char *path = NULL;
	int monitor = 0;
	struct err e = { 0 };

	if (!control_args(args, &e, "{s:s, s?b}", "conf", &path, "monitor", &monitor)) {
		control_refuse(call, &e);
		return;
	}
	c = by_path(control_arg(call), path);
	if (!check(c, path, &e)) {
		control_refuse(call, &e);
		return;
	}
	fleet_end_standin(c);
	c->attached = call;
	c->attached_pid = peer->pid;
	c->attached_monitor = monitor;
	control_on_cancel(call, detached, c);
	watch_resume(c->watch, peer->user);
	watch_set_status_pid(c->watch, peer->pid);
	fleet_attached_line(
	        c, LOG_LV_INFO, "mhad watches this cluster; this process stands for it.");
}

void fleet_attached_line(struct fleet_cluster *c, enum log_level level, const char *text)
{
	json_t *j = json_object();

	json_object_set_new(j, "level", json_string(log_level_name(level)));
	json_object_set_new(j, "text", control_text(text));
	control_event(c->attached, j);
}

void fleet_attached_failover(struct fleet_cluster *c, int code)
{
	struct control_call *call = c->attached;

	c->attached = NULL;
	c->attached_pid = 0;
	watch_set_status_pid(c->watch, 0); /* until its stand-in is there again */
	control_answer(call, json_pack("{s:s, s:i}", "how", "failover", "exit", code));
}

static json_t *gate_json(const struct watch *w)
{
	enum watch_gate g = watch_blocked(w);
	struct watch_gate_view v;

	if (g == GATE_COUNT)
		return json_null();
	watch_gate(w, g, &v);
	return control_text(v.text);
}

void fleet_attached_end(struct fleet_cluster *c, const char *how, const struct err *e)
{
	const struct conf_server *master = c->watch ? watch_master(c->watch) : NULL;
	struct control_call *call = c->attached;
	json_t *j = json_object();

	json_object_set_new(j, "how", json_string(how));
	json_object_set_new(j, "text", e ? control_text(e->text) : json_null());
	json_object_set_new(j, "ssh", json_boolean(c->watch && watch_ssh_works(c->watch)));
	if (master) {
		json_object_set_new(j, "master", control_text(master->hostname));
		json_object_set_new(j, "ip", control_text(master->ip));
		json_object_set_new(j, "port", json_integer(master->port));
	}
	json_object_set_new(j, "gate", c->watch ? gate_json(c->watch) : json_null());
	c->attached = NULL;
	c->attached_pid = 0;
	if (c->watch)
		watch_set_status_pid(c->watch, 0); /* until its stand-in is there again */
	control_answer(call, j);
}
