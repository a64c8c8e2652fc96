/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch_keep - what is remembered over a restart of mhad (<state_dir>/<cluster>/state.json), and MHA's
 * status file.  Owned by watch; runs on: loop; state.json is written by a job, with fsync.
 */
#include "watch_impl.h"
#include "str.h"
#include "clock.h"
#include "history.h"
#include "job.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	SAVE_MS = 30000,
	CLAIM_AGAIN_MS = 10000, /* somebody else has the status file */
};

/* ---- state.json ---- */

struct saving {
	struct watch_anchor *anchor;
	char *state_dir, *cluster, *text;
};

/* On disk when it returns, whole or not at all. */
static bool write_file(const char *path, const char *text, struct err *e)
{
	AUTO(free) char *new = xasprintf("%s.new", path);
	AUTO_FD int fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	size_t n = strlen(text);

	if (fd < 0)
		return err_sys(e, "open %s", new);
	if (write(fd, text, n) != (ssize_t)n || fsync(fd))
		return err_sys(e, "write %s", new);
	if (rename(new, path))
		return err_sys(e, "rename %s", new);
	return true;
}

static bool save(struct job *j, void *arg, struct err *e)
{
	struct saving *s = arg;
	AUTO(free) char *dir = history_dir(s->state_dir, s->cluster, e);
	AUTO(free) char *path = dir ? xasprintf("%s/state.json", dir) : NULL;

	(void)j;
	return path && write_file(path, s->text, e);
}

static void saved(struct job *j, void *arg, const struct err *e)
{
	struct saving *s = arg;
	struct watch *w = s->anchor->w;

	(void)j;
	if (w) {
		w->save_running = false;
		if (e)
			watch_log(w, LOG_LV_WARNING, "the master's name could not be kept: %s",
			        e->text);
		if (w->save_again)
			watch_keep_save(w);
	}
	watch_let_go(s->anchor);
	s->anchor = NULL;
}

static void saving_free(void *arg)
{
	struct saving *s = arg;

	if (s->anchor) /* never begun: the pool is closed */
		watch_let_go(s->anchor);
	free(s->state_dir);
	free(s->cluster);
	free(s->text);
	free(s);
}

static json_t *keep_json(const struct watch *w)
{
	json_t *j = json_pack("{s:i}", "format", 1);

	if (w->master)
		json_object_set_new(j, "master",
		        json_pack("{s:s, s:s, s:s}", "id", w->master->id, "hostinfo",
		                w->master->hostinfo, "server_uuid", w->look.server_uuid));
	else if (w->remembered)
		json_object_set_new(j, "master",
		        json_pack("{s:s, s:s}", "id", w->remembered, "server_uuid",
		                w->remembered_uuid));
	if (w->absent)
		json_object_set_new(j, "absent", json_string(w->absent->id));
	if (w->pause.on)
		json_object_set_new(j, "paused",
		        json_pack("{s:I, s:s, s:s}", "until",
		                w->pause.until == CLOCK_NEVER
		                        ? (json_int_t)-1
		                        : (json_int_t)(flap_now_ms() + clock_left(w->pause.until)),
		                "reason", w->pause.reason, "by", w->pause.by));
	return j;
}

void watch_keep_save(struct watch *w)
{
	json_t *j;
	struct saving *s;

	if (w->master) {
		free(w->remembered);
		w->remembered = xstrdup(w->master->id);
		if (w->look.server_uuid[0])
			snprintf(w->remembered_uuid, sizeof(w->remembered_uuid), "%s",
			        w->look.server_uuid);
	}
	if (!w->env.state_dir)
		return;
	w->save_again = w->save_running;
	if (w->save_running)
		return;
	w->save_running = true;
	j = keep_json(w);
	s = xzalloc(sizeof(*s));
	s->anchor = watch_hold(w);
	s->state_dir = xstrdup(w->env.state_dir);
	s->cluster = xstrdup(w->conf->name);
	s->text = json_dumps(j, JSON_INDENT(1));
	json_decref(j);
	job_start(w->env.jobs,
	        job_new("keep the state", clock_in(SAVE_MS), save, saved, saving_free, s));
}

static void load_pause(struct watch *w, const json_t *j)
{
	json_int_t until = json_integer_value(json_object_get(j, "until"));
	const char *reason = json_string_value(json_object_get(j, "reason"));
	const char *by = json_string_value(json_object_get(j, "by"));
	int64_t left = until - flap_now_ms();

	if (!json_is_object(j) || (until >= 0 && left <= 0))
		return;
	w->pause.on = true;
	w->pause.until = until < 0 ? CLOCK_NEVER : clock_in(left);
	snprintf(w->pause.reason, sizeof(w->pause.reason), "%s", reason ? reason : "");
	snprintf(w->pause.by, sizeof(w->pause.by), "%s", by ? by : "");
}

static void load_absent(struct watch *w, const char *id)
{
	for (size_t i = 0; id && i < w->conf->n_servers; i++)
		if (str_is(w->conf->servers[i]->id, id))
			w->absent = w->conf->servers[i];
}

/* What cannot be read is not remembered: nothing depends on it. */
void watch_keep_load(struct watch *w)
{
	AUTO(free) char *path = NULL;
	const json_t *master;
	const char *id, *uuid;
	json_t *j;

	if (!w->env.state_dir)
		return;
	path = xasprintf("%s/%s/state.json", w->env.state_dir, w->conf->name);
	j = json_load_file(path, 0, NULL);
	master = json_object_get(j, "master");
	id = json_string_value(json_object_get(master, "id"));
	uuid = json_string_value(json_object_get(master, "server_uuid"));
	w->remembered = xstrdup(id);
	snprintf(w->remembered_uuid, sizeof(w->remembered_uuid), "%s", uuid ? uuid : "");
	load_absent(w, json_string_value(json_object_get(j, "absent")));
	load_pause(w, json_object_get(j, "paused"));
	json_decref(j);
}

/* ---- MHA's status file ---- */

static bool claim(struct watch *w)
{
	const char *dir = w->opts.workdir ? w->opts.workdir : w->conf->servers[0]->manager_workdir;
	struct err e = { 0 };

	if (w->status || !w->opts.status_pid)
		return w->status;
	if (w->status_tried && clock_ms() - w->status_tried < CLAIM_AGAIN_MS)
		return false;
	w->status = status_file_claim(dir, w->conf->name, w->opts.status_pid, &e);
	if (!w->status && !w->status_tried)
		watch_log(w, LOG_LV_WARNING, "no status file is kept for now: %s", e.text);
	w->status_tried = w->status ? 0 : clock_ms();
	return w->status;
}

void watch_status(struct watch *w, enum status_file_state s)
{
	w->status_state = s;
	if (claim(w))
		status_file_set(w->status, s, w->master ? w->master->hostname : NULL, NULL);
}

/* As MHA: a ping that went well is told by the time of the file alone. */
void watch_status_good(struct watch *w)
{
	if (w->status_state != STATUS_FILE_PING_OK || !w->status)
		watch_status(w, STATUS_FILE_PING_OK);
	else
		status_file_touch(w->status, NULL);
}

void watch_status_end(struct watch *w)
{
	w->status = status_file_release(w->status);
	w->status_tried = 0;
}

void watch_set_status_pid(struct watch *w, pid_t pid)
{
	w->opts.status_pid = pid;
	if (!pid) {
		watch_status_end(w);
		return;
	}
	if (w->status)
		status_file_set_pid(w->status, pid);
	watch_status(w, w->status_state);
}
