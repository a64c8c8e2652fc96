/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rehearse - asks servers, hosts and hooks, and has the plan made, all at once.  Runs on: loop, and a worker for
 * what blocks.
 */
#include "rehearse.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "check.h"
#include "clock.h"
#include "control.h"
#include "failover.h"
#include "job.h"
#include "migrate.h"
#include "vec.h"

enum {
	NODE_MS = 10000,
	READ_MS = 30000, /* all servers */
	LEAST_FREE = 20, /* a disk has to have one part in so many left */
};

struct rehearse {
	struct rehearse_env env;
	const struct conf *conf;
	struct rehearse_opts o;
	struct failover_opts fo;
	rehearse_done_fn done;
	void *arg;
	struct failover *plan; /* NULL: it has ended */
	int pending;           /* what is under way */
	bool canceled, forgotten;
	int64_t began;
	json_t *result, *problems, *expected, *before;
	json_t *lags; /* hostinfo -> seconds behind */
};

/* ---- problems ---- */

/* Texts come from servers and scripts: any bytes. */
static void add_problem(struct rehearse *r, const char *code, const char *severity,
        const char *server, const char *text, const char *hint)
{
	json_array_append_new(r->problems,
	        json_pack("{s:s, s:s, s:o, s:o, s:o}", "code", code, "severity", severity, "server",
	                control_text(server), "text", control_text(text), "hint",
	                control_text(hint && *hint ? hint : NULL)));
}

/* Errors and warnings; what is only worth knowing is no problem, nor that mhad holds its own lock. */
static void add_findings(struct rehearse *r, const struct check_findings *f)
{
	for (size_t i = 0; i < f->len; i++) {
		const struct check_finding *one = &f->items[i];

		if (one->severity != TOPOLOGY_INFO && !str_is(one->code, "old-manager"))
			add_problem(r, one->code, topology_severity_name(one->severity),
			        one->server, one->text, one->hint);
	}
}

/* ---- the end ---- */

static void release(struct rehearse *r)
{
	json_decref(r->result);
	json_decref(r->problems);
	json_decref(r->expected);
	json_decref(r->before);
	json_decref(r->lags);
	free(r);
}

/* The new master has to execute what it has received. */
static void expect_apply(struct rehearse *r)
{
	const char *name = json_string_value(json_object_get(r->result, "new_master"));
	json_int_t behind = name ? json_integer_value(json_object_get(r->lags, name)) : 0;

	json_object_set_new(r->expected, "apply_ms", json_integer(behind > 0 ? behind * 1000 : 0));
}

/* MHA's way is four looks that fail. */
static void expect_detection(struct rehearse *r)
{
	const struct conf_server *m = r->o.master;
	int64_t looks = m->detection == CONF_DETECT_MHA ? 4 : 1;

	json_object_set_new(r->expected, "detect_ms",
	        json_integer(looks * m->ping_interval + m->restart_grace));
}

static void one_less(struct rehearse *r)
{
	if (--r->pending)
		return;
	if (r->forgotten) {
		release(r);
		return;
	}
	expect_detection(r);
	expect_apply(r);
	json_object_set(r->result, "problems", r->problems);
	json_object_set(r->result, "expected", r->expected);
	json_object_set_new(r->result, "took_ms", json_integer(clock_ms() - r->began));
	rehearse_judge(r->result, r->before);
	r->done(r->arg, r->canceled ? NULL : r->result);
	release(r);
}

/* ---- the plan ---- */

static int64_t length_of(const struct run *run)
{
	size_t n;
	const struct run_record *all = run_records(run, &n);
	int64_t end = run_begun(run);

	for (size_t i = 0; i < n; i++)
		end = all[i].ended > end ? all[i].ended : end;
	return end - run_begun(run);
}

static void take_plan(struct rehearse *r, const struct failover *f)
{
	json_t *plan = failover_plan_json(f), *refusal = json_object_get(plan, "refusal");
	static const char *const kept[] = { "master", "new_master", "refusal", "lost",
		"only_the_master_has" };
	const char *lost = json_string_value(json_object_get(plan, "lost"));
	size_t n;
	const char *const *warnings = run_warnings(failover_run(f), &n);

	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		json_object_set(r->result, kept[i], json_object_get(plan, kept[i]));
	if (json_is_object(refusal))
		add_problem(r, "refusal", "error", NULL,
		        json_string_value(json_object_get(refusal, "text")),
		        json_string_value(json_object_get(refusal, "hint")));
	if (lost && *lost)
		add_problem(r, "loss", "warning", NULL, lost, NULL);
	for (size_t i = 0; i < n; i++)
		if (!str_is(warnings[i], lost))
			add_problem(r, "note", "warning", NULL, warnings[i], NULL);
	json_decref(plan);
}

static void planned(void *arg, struct failover *f, const struct failover_report *p)
{
	struct rehearse *r = arg;

	(void)p;
	if (!r->forgotten) {
		take_plan(r, f);
		json_object_set_new(
		        r->expected, "look_ms", json_integer(length_of(failover_run(f))));
	}
	r->plan = NULL;
	failover_free(f);
	one_less(r);
}

static void make_plan(struct rehearse *r)
{
	const struct failover_env env = { r->env.loop, r->env.jobs, r->env.links, NULL };
	struct err e = { 0 };

	r->fo = (struct failover_opts){ .dead = r->o.master,
		.by = "mhad",
		.verdict = VERDICT_HEALTHY,
		.why = "a rehearsal",
		.absent = r->o.absent,
		.semisync = r->o.semisync,
		.dry = true,
		.what_if = true,
		.quiet = true,
		.failover_interval = -1,
		.ssh_reachable = 2 };
	r->plan = failover_start(&env, r->conf, &r->fo, planned, r, &e);
	if (r->plan)
		r->pending++;
	else
		add_problem(r, "refusal", "error", NULL, e.text, e.hint);
}

/* ---- servers and hooks: one worker, one after the other ---- */

struct look {
	struct rehearse *r; /* for the loop */
	const struct conf *conf;
	const struct conf_server *master;
	struct check_findings findings;
	json_t *lags;
	int64_t hooks_ms;
};

static void look_free(void *arg)
{
	struct look *x = arg;

	check_findings_done(&x->findings);
	json_decref(x->lags);
	free(x);
}

static void read_servers(struct look *x, int64_t deadline)
{
	AUTO(snapshot)
	struct snapshot *s = snapshot_take(x->conf,
	        &(struct snapshot_opts){ .deadline = clock_sooner(deadline, clock_in(READ_MS)) });
	struct topology *t = topology_classify(s, NULL);

	check_add_topology(&x->findings, t);
	for (size_t i = 0; i < t->n_servers; i++) {
		const struct topology_server *one = &t->servers[i];

		if (one->channel)
			json_object_set_new(x->lags, one->snap->conf->hostinfo,
			        json_integer(one->channel->seconds_behind));
	}
	topology_free(t);
}

/* What a script says last is why it failed. */
static const char *last_line(struct str *output)
{
	char *text = str_trim(output->p), *line = strrchr(text, '\n');

	return line ? line + 1 : text;
}

/* Takes the hook; it is called `times` times in a failover. */
static void ask_hook(struct look *x, struct hook *h, int times, int64_t deadline)
{
	AUTO_STR struct str output = STR_INIT;
	int64_t since = clock_ms();
	struct err why = { 0 };
	const char *said;

	if (!h)
		return;
	deadline = clock_sooner(deadline, clock_in(x->master->hook_timeout));
	if (!hook_run(h, deadline, &output, &why)) {
		said = last_line(&output);
		check_add(&x->findings, TOPOLOGY_ERROR, CHECK_HOOK_FAILED, NULL, why.hint,
		        "%s (--command=status)%s%.200s", why.text, *said ? ": " : "", said);
	}
	x->hooks_ms += times * (clock_ms() - since);
	hook_free(h);
}

static bool look(struct job *j, void *arg, struct err *e)
{
	struct look *x = arg;

	(void)e;
	read_servers(x, job_deadline(j));
	if (!job_is_abandoned(j))
		migrate_servers(
		        x->conf, clock_sooner(job_deadline(j), clock_in(READ_MS)), &x->findings);
	if (!job_is_abandoned(j))
		ask_hook(x, hook_ip_failover_status(x->master), 2, job_deadline(j));
	if (!job_is_abandoned(j))
		ask_hook(x, hook_shutdown_status(x->master), 1, job_deadline(j));
	return true;
}

static void looked(struct job *j, void *arg, const struct err *e)
{
	struct look *x = arg;
	struct rehearse *r = x->r;

	(void)j;
	if (e) { /* what it found so far is its worker's */
		add_problem(r, "late", "error", NULL, e->text, e->hint);
	} else {
		add_findings(r, &x->findings);
		json_object_set_new(r->expected, "hooks_ms", json_integer(x->hooks_ms));
		json_object_update(r->lags, x->lags);
	}
	one_less(r);
}

static void start_look(struct rehearse *r)
{
	struct look *x = xzalloc(sizeof(*x));

	*x = (struct look){ .r = r, .conf = r->conf, .master = r->o.master, .lags = json_object() };
	r->pending++;
	job_start(r->env.jobs,
	        job_new("rehearsal", clock_in(REHEARSE_MS), look, looked, look_free, x));
}

/* ---- hosts ---- */

struct host_look {
	struct rehearse *r;
	const struct conf_server *first;
	VEC(const struct conf_server *) servers;
};

static void judge_disk(
        struct check_findings *f, const struct conf_server *s, const struct host_answer *a)
{
	json_t *j = a->err.kind == ERR_NONE && !a->status ? json_loads(a->out, 0, NULL) : NULL;
	const json_t *disk = json_object_get(j, "disk"), *test = json_object_get(j, "write_test");
	const char *wrote = json_string_value(json_object_get(test, "result"));
	const char *why = json_string_value(json_object_get(test, "error"));
	json_int_t all = json_integer_value(json_object_get(disk, "total_bytes"));
	json_int_t left = json_integer_value(json_object_get(disk, "available_bytes"));

	if (wrote && !str_is(wrote, "ok") && !str_is(wrote, "untried") && !str_is(wrote, "busy"))
		check_add(f, TOPOLOGY_ERROR, CHECK_DISK, s->hostinfo, NULL,
		        "the data directory of %s cannot be written to: %s", s->hostinfo,
		        why ? why : wrote);
	else if (all > 0 && left < all / LEAST_FREE)
		check_add(f, TOPOLOGY_WARNING, CHECK_DISK, s->hostinfo, NULL,
		        "the disk of %s has %lld MB left", s->hostinfo, (long long)left >> 20);
	json_decref(j);
}

static void judge_host(struct host_look *h, const struct host_result *res, struct check_findings *f)
{
	AUTO(free) char *login = host_login(h->first);
	enum check_code code = CHECK_NODE_UNKNOWN;
	struct check_node node;
	struct err why = { 0 };

	if (res->err.kind != ERR_NONE || !res->n) {
		check_add_ssh(f, TOPOLOGY_ERROR, login, &res->err,
		        "; binlogs cannot be saved from there, nor can it be fenced");
		return;
	}
	if (!check_node_version(&res->answers[0], &node, &code, &why)) {
		check_add(f, TOPOLOGY_ERROR, code, login, why.hint,
		        "%s: %s; binlogs cannot be saved from there, nor can it be fenced", login,
		        why.text);
		return;
	}
	for (size_t i = 0; i < h->servers.len && i + 1 < res->n; i++)
		judge_disk(f, h->servers.items[i], &res->answers[i + 1]);
}

static void host_asked(void *arg, struct host_result *res)
{
	struct host_look *h = arg;
	struct rehearse *r = h->r;
	struct check_findings f = { 0 };

	if (!r->forgotten) {
		judge_host(h, res, &f);
		add_findings(r, &f);
	}
	check_findings_done(&f);
	vec_done(&h->servers);
	free(h);
	one_less(r);
}

static bool is_first_of_host(const struct conf *c, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (host_same(c->servers[i], c->servers[at]))
			return false;
	return true;
}

static void ask_host(struct rehearse *r, const struct conf_server *first)
{
	struct host_look *h = xzalloc(sizeof(*h));
	struct host_cmd *cmds = xzalloc(sizeof(*cmds) * (r->conf->n_servers + 1));
	size_t n = 0;

	h->r = r;
	h->first = first;
	cmds[n++] = (struct host_cmd){ check_node_version_cmd(first), NODE_MS };
	for (size_t i = 0; i < r->conf->n_servers; i++) {
		const struct conf_server *s = r->conf->servers[i];

		if (s == r->o.absent || !host_same(first, s))
			continue;
		vec_push(&h->servers, s);
		cmds[n++] = (struct host_cmd){ check_probe_cmd(s), NODE_MS };
	}
	r->pending++;
	host_run(r->env.jobs, first, NULL, cmds, n, host_asked, h);
}

/* ---- begin, and orders ---- */

static void ask_hosts(struct rehearse *r)
{
	for (size_t i = 0; i < r->conf->n_servers; i++)
		if (r->conf->servers[i] != r->o.absent && is_first_of_host(r->conf, i))
			ask_host(r, r->conf->servers[i]);
}

struct rehearse *rehearse_start(const struct rehearse_env *env, const struct conf *c,
        const struct rehearse_opts *o, rehearse_done_fn done, void *arg)
{
	struct rehearse *r = xzalloc(sizeof(*r));

	*r = (struct rehearse){ .env = *env,
		.conf = c,
		.o = *o,
		.done = done,
		.arg = arg,
		.began = clock_ms(),
		.problems = json_array(),
		.expected = json_object(),
		.before = json_incref(o->before),
		.lags = json_object() };
	r->result = json_pack("{s:i, s:s, s:I, s:s}", "format", 1, "cluster", c->name, "at",
	        (json_int_t)time(NULL), "by", o->by);
	start_look(r);
	ask_hosts(r);
	make_plan(r);
	return r;
}

void rehearse_cancel(struct rehearse *r)
{
	if (r->plan && !r->canceled)
		failover_cancel(r->plan, "the rehearsal was broken off");
	r->canceled = true;
}

void rehearse_forget(struct rehearse *r)
{
	if (!r)
		return;
	rehearse_cancel(r);
	r->forgotten = true;
}
