/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * aftermath - all that is needed is copied, then a worker writes files and calls the script.  Runs on:
 * loop and worker.
 */
#include "aftermath.h"
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "flap.h"
#include "history.h"
#include "hook.h"
#include "incident.h"
#include "job.h"
#include "log.h"
#include "notify.h"

enum { FILES_MS = 10000 };

struct aftermath {
	char *state_dir, *cluster, *workdir, *by;
	char *line; /* of the history */
	bool begun, failed;
	json_t *record;
	struct hook *hook; /* NULL: no report_script */
	const struct conf_server *dead;
	struct notify *notify; /* NULL: the worker calls the script */
	bool known;            /* a refusal for the reason of before */
	int64_t hook_ms;
	aftermath_done_fn done;
	void *arg;
};

static void aftermath_free(void *arg)
{
	struct aftermath *a = arg;

	free(a->state_dir);
	free(a->cluster);
	free(a->workdir);
	free(a->by);
	free(a->line);
	json_decref(a->record);
	hook_free(a->hook);
	free(a);
}

static void call_report(struct aftermath *a)
{
	AUTO_STR struct str out = STR_INIT;
	struct err e = { 0 };
	bool fine;

	log_info("%s", "");
	log_info("Executing report_script");
	fine = hook_run(a->hook, clock_in(a->hook_ms), &out, &e);
	if (out.len)
		log_raw(out.p, out.len);
	if (!fine)
		log_err(LOG_LV_ERROR, &e);
}

static const char *refusal_of(const json_t *record)
{
	const char *result = json_string_value(json_object_get(record, "result"));

	return result && str_is(result, run_result_name(RUN_REFUSED))
	               ? json_string_value(
	                         json_object_get(json_object_get(record, "error"), "text"))
	               : NULL;
}

/* What is refused is tried again and again: the first of a row of equal refusals is kept. */
static bool is_known(const struct aftermath *a)
{
	json_t *last = a->state_dir ? incident_load(a->state_dir, a->cluster, NULL, NULL) : NULL;
	const char *then = refusal_of(last), *now = refusal_of(a->record);
	bool known = then && now && str_is(then, now);

	json_decref(last);
	return known;
}

static bool work(struct job *j, void *arg, struct err *e)
{
	struct aftermath *a = arg;
	struct flap_at at = { a->workdir, a->cluster, a->state_dir };
	struct err why = { 0 };

	(void)j;
	(void)e;
	if (a->begun && a->failed && !flap_mark_error(&at, &why))
		log_err(LOG_LV_ERROR, &why);
	a->known = !a->begun && is_known(a);
	if (!a->known && !incident_save(a->state_dir, a->cluster, a->record, &why))
		log_err(LOG_LV_ERROR, &why);
	if (!history_add(a->state_dir, a->cluster, "failover", a->by, &why, "%s", a->line))
		log_err(LOG_LV_WARNING, &why);
	if (a->begun && a->hook && !a->notify)
		call_report(a);
	return true;
}

static void ended(struct job *j, void *arg, const struct err *e)
{
	struct aftermath *a = arg;

	if (e)
		log_err(LOG_LV_ERROR, e);
	if (a->notify && !job_is_late(j) &&
	        (a->begun || (!a->known && a->dead->report_on == CONF_REPORT_ALL)))
		notify_put(a->notify, a->cluster, a->dead, TAKE(a->hook));
	a->done(a->arg);
}

static char *line_of(const struct failover_report *r)
{
	const struct err *e = r->error;

	return xasprintf("%s: %s%s%s%s%s", r->dead->hostinfo, run_result_name(r->result),
	        r->new_master ? ", the new master is " : "",
	        r->new_master ? r->new_master->hostinfo : "", e->kind != ERR_NONE ? ": " : "",
	        e->kind != ERR_NONE ? e->text : "");
}

void aftermath_start(struct job_pool *jobs, const struct conf *c, const struct failover *f,
        const struct failover_report *r, const struct aftermath_opts *o, aftermath_done_fn done,
        void *arg)
{
	struct aftermath *a = xzalloc(sizeof(*a));
	AUTO(free) char *slaves = failover_slave_hosts(f);

	*a = (struct aftermath){ .state_dir = o->state_dir ? xstrdup(o->state_dir) : NULL,
		.cluster = xstrdup(c->name),
		.workdir = xstrdup(c->servers[0]->manager_workdir),
		.by = xstrdup(o->by),
		.line = line_of(r),
		.begun = r->begun,
		.failed = r->exit == 1,
		.record = failover_json(f),
		.hook = hook_report_failover(
		        r->dead, r->new_master, slaves, o->conf_path, r->subject, r->body),
		.hook_ms = r->dead->hook_timeout,
		.dead = r->dead,
		.notify = o->notify,
		.done = done,
		.arg = arg };
	job_start(jobs, job_new("aftermath", clock_in(a->hook_ms + FILES_MS), work, ended,
	                        aftermath_free, a));
}
