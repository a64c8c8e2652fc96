/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run - the engine behind failover, switch and rejoin.  Runs on: loop; steps on a worker.
 *
 * One step is one job.  Only when it is over does the loop look at what it left and starts the next.
 */
#include "run.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"
#include "job.h"
#include "journal.h"
#include "log.h"
#include "loop.h"
#include "vec.h"

/* Steps keep their own deadlines; a worker that is later than this by so much hangs in a library. */
enum { SLACK_MS = 10000 };

struct run_io {
	struct run *r;
	size_t step;
	int64_t deadline;
	bool undo;
	bool verify_first; /* the journal knows of it */
	bool first_look;   /* that is done now */
	bool was_done, untouched;
	json_t *facts;
};

struct run {
	const struct run_plan *plan;
	struct run_opts o;
	void *ctx;
	char *name, *cluster;
	struct run_record *records;
	size_t at;    /* first step that runs */
	size_t upto;  /* behind the last one that runs beside it */
	size_t going; /* how many of them */
	bool resumed, undoing, over;
	bool past;  /* it is taken up behind the point of no return */
	bool kept;  /* it cannot be taken up now: the journal stays open */
	bool stuck; /* a worker hangs with the context in its hands */
	bool partial, failed;
	struct err err;
	atomic_bool canceled;
	char cancel_why[160];
	struct loop_timer *kick;

	pthread_mutex_t lock; /* of the warnings: steps may fan out into threads */
	VEC(char *) warnings;
};

/* ---- names ---- */

const char *run_result_name(enum run_result r)
{
	static const char *const names[] = { "success", "partial", "refused", "undone", "failed" };

	return names[r];
}

const char *run_state_name(enum run_state s)
{
	static const char *const names[] = { "not yet", "skipped", "running", "done", "failed",
		"undone" };

	return names[s];
}

const char *run_name(const struct run *r)
{
	return r->name;
}

bool run_is_undoing(const struct run *r)
{
	return r->undoing;
}

enum run_state run_state_of(const struct run *r, const char *step)
{
	for (size_t i = 0; i < r->plan->n; i++)
		if (str_is(r->plan->steps[i].name, step))
			return r->records[i].state;
	return RUN_NOT_YET;
}

bool run_was_resumed(const struct run *r)
{
	return r->resumed;
}

int64_t run_begun(const struct run *r)
{
	return r->records[0].begun;
}

const struct err *run_error(const struct run *r)
{
	return &r->err;
}

const struct run_record *run_records(const struct run *r, size_t *ret_n)
{
	*ret_n = r->plan->n;
	return r->records;
}

const char *const *run_warnings(const struct run *r, size_t *ret_n)
{
	*ret_n = r->warnings.len;
	return (const char *const *)r->warnings.items;
}

/* ---- the table ---- */

static size_t no_return_at(const struct run_plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->steps[i].no_return)
			return i;
	return p->n;
}

static size_t changes_at(const struct run_plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->steps[i].changes)
			return i;
	return p->n;
}

static bool step_check(const struct run_plan *p, size_t i, struct err *e)
{
	const struct run_step *s = &p->steps[i];

	for (size_t k = 0; k < i; k++)
		if (str_is(p->steps[k].name, s->name))
			return err_set(e, ERR_CONFIG, 0, "two steps are called %s", s->name);
	if (!s->act && !s->verify)
		return err_set(e, ERR_CONFIG, 0, "step %s does nothing", s->name);
	if (s->budget_ms <= 0)
		return err_set(e, ERR_CONFIG, 0, "step %s has no budget", s->name);
	if (s->undo && i >= no_return_at(p))
		return err_set(e, ERR_CONFIG, 0,
		        "step %s can be undone, but is behind the point of no return", s->name);
	if (i >= changes_at(p) && s->act && !s->reads && !s->verify && s->on_fail == RUN_STOP)
		return err_set(
		        e, ERR_CONFIG, 0, "step %s changes something and is not verified", s->name);
	return true;
}

bool run_plan_check(const struct run_plan *p, struct err *e)
{
	for (size_t i = 0; i < p->n; i++)
		if (!step_check(p, i, e))
			return false;
	return p->n > 0 || err_set(e, ERR_CONFIG, 0, "plan %s has no steps", p->name);
}

/* ---- failpoints ---- */

#ifdef MHAD_RELEASE
static bool failpoint(const char *step, const char *where, struct err *e)
{
	(void)step;
	(void)where;
	(void)e;
	return true;
}
#else
static bool fail_as(const char *step, const char *where, const char *what, struct err *e)
{
	if (str_is(what, "kill"))
		kill(getpid(), SIGKILL);
	if (str_starts(what, "sleep:")) {
		int64_t ms = atoll(what + 6);

		nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
		return true;
	}
	return err_set(e, ERR_CANCELED, 0, "failpoint %s:%s", step, where);
}

static bool failpoint(const char *step, const char *where, struct err *e)
{
	const char *list = getenv("MHAD_FAILPOINT");
	AUTO(free) char *want = xasprintf("%s:%s=", step, where);
	AUTO(free) char *copy = list ? xstrdup(list) : NULL;
	char *save = NULL;

	if (!copy)
		return true;
	for (char *p = strtok_r(copy, ",", &save); p; p = strtok_r(NULL, ",", &save))
		if (str_starts(p, want))
			return fail_as(step, where, p + strlen(want), e);
	return true;
}
#endif

/* ---- the worker's side ---- */

int64_t run_deadline(const struct run_io *io)
{
	return io->deadline;
}

bool run_is_canceled(struct run_io *io)
{
	return atomic_load(&io->r->canceled);
}

bool run_is_first_look(const struct run_io *io)
{
	return io->first_look;
}

void run_untouched(struct run_io *io)
{
	io->untouched = true;
}

void run_note(struct run_io *io, const char *name, json_t *value)
{
	pthread_mutex_lock(&io->r->lock);
	if (!io->facts)
		io->facts = json_object();
	json_object_set_new(io->facts, name, value);
	pthread_mutex_unlock(&io->r->lock);
}

void run_warn(struct run_io *io, const char *fmt, ...)
{
	va_list ap;
	char text[800];

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_warning("%s", text);
	run_remark(io->r, text);
}

void run_remark(struct run *r, const char *text)
{
	pthread_mutex_lock(&r->lock);
	vec_push(&r->warnings, xstrdup(text));
	pthread_mutex_unlock(&r->lock);
}

static bool note_line(struct run *r, json_t *line, bool sync, struct err *e)
{
	if (r->o.journal)
		return journal_add(r->o.journal, line, sync, e) || err_ctx(e, "journal");
	json_decref(line);
	return true;
}

static bool do_step(struct run_io *io, const struct run_step *s, struct err *e)
{
	void *ctx = io->r->ctx;

	if (io->verify_first && s->verify && !s->reads) {
		io->first_look = true;
		io->was_done = s->verify(ctx, io, NULL);
		io->first_look = false;
		if (io->was_done)
			return true;
	}
	return failpoint(s->name, "act", e) && (!s->act || s->act(ctx, io, e)) &&
	       failpoint(s->name, "verify", e) && (!s->verify || s->verify(ctx, io, e));
}

static json_t *end_line(struct run_io *io, const char *what, const struct run_step *s, bool fine,
        int64_t since, const struct err *e)
{
	return json_pack("{s:s, s:b, s:I, s:s*, s:O*}", what, s->name, "ok", fine, "ms",
	        (json_int_t)(clock_ms() - since), "error", fine ? NULL : e->text, "facts",
	        io->facts);
}

/* What failed is in the journal too, if it can still be written; the step's own error is the one that counts. */
static bool run_do(struct job *j, void *arg, struct err *e)
{
	struct run_io *io = arg;
	struct run *r = io->r;
	const struct run_step *s = &r->plan->steps[io->step];
	int64_t since = clock_ms();
	struct log_ctx old = log_set_ctx((struct log_ctx){ .cluster = r->cluster,
	        .run = r->name,
	        .phase = s->phase,
	        .step = s->name,
	        .quiet = r->o.quiet });
	bool fine;

	(void)j;
	fine = failpoint(s->name, "begin", e) &&
	       note_line(r, json_pack("{s:s, s:I}", "begin", s->name, "at", (json_int_t)time(NULL)),
	               !s->reads && !s->quick, e) &&
	       do_step(io, s, e) && failpoint(s->name, "end", e);
	fine = note_line(r, end_line(io, "end", s, fine, since, e), false, fine ? e : NULL) && fine;
	log_set_ctx(old);
	return fine;
}

static bool run_undo(struct job *j, void *arg, struct err *e)
{
	struct run_io *io = arg;
	struct run *r = io->r;
	const struct run_step *s = &r->plan->steps[io->step];
	int64_t since = clock_ms();
	struct log_ctx old = log_set_ctx(
	        (struct log_ctx){ .cluster = r->cluster, .run = r->name, .step = s->name });
	bool fine;

	(void)j;
	fine = failpoint(s->name, "undo", e) && s->undo(r->ctx, io, e);
	if (!note_line(r, end_line(io, "undo", s, fine, since, e), false, NULL))
		log_warning(
		        "the journal cannot be written: a restart would undo %s again", s->name);
	log_set_ctx(old);
	return fine;
}

/* ---- the loop's side ---- */

static void next(struct run *r);

static void say_phase(const struct run *r, const struct run_step *s)
{
	AUTO(free) char *lines = NULL;
	char *save = NULL;

	if (!s->phase)
		return;
	lines = xstrdup(s->phase);
	for (char *p = strtok_r(lines, "\n", &save); p; p = strtok_r(NULL, "\n", &save)) {
		log_info("%s", "");
		log_info("* %s..", p);
	}
	(void)r;
}

static void finish(struct run *r, enum run_result result)
{
	struct err e = { 0 };

	r->over = true;
	/* A run that could not be undone stays open only if it hangs or waits to be taken up: a report tells the rest. */
	if (r->o.journal && !r->stuck && !r->kept &&
	        !journal_end(r->o.journal, run_result_name(result), &e))
		log_err(LOG_LV_WARNING, &e);
	r->o.done(r->o.arg, r, result);
}

static bool left_behind(const struct run *r)
{
	for (size_t i = changes_at(r->plan); i < r->plan->n; i++) {
		const struct run_record *c = &r->records[i];

		if (c->state == RUN_UNMADE
		                ? c->err.kind != ERR_NONE
		                : (c->state == RUN_DONE || c->state == RUN_BROKEN) &&
		                          c->step->act && !c->step->reads && !c->untouched)
			return true;
	}
	return false;
}

static enum run_result result_of(const struct run *r)
{
	if (r->stuck || (r->failed && !r->undoing))
		return RUN_FAILED;
	if (!r->undoing)
		return r->partial ? RUN_PARTIAL : RUN_SUCCESS;
	if (left_behind(r))
		return RUN_FAILED;
	for (size_t i = changes_at(r->plan); i < r->plan->n; i++)
		if (r->records[i].state == RUN_UNMADE)
			return RUN_UNDONE;
	return RUN_REFUSED;
}

/* Everything that may have been done, also by the process that was killed, is to be undone. */
static void begin_undo(struct run *r, const struct err *e)
{
	if (r->undoing)
		return;
	r->err = *e;
	r->undoing = true;
	r->at = no_return_at(r->plan);
	while (r->at > 0 && r->records[r->at - 1].state == RUN_NOT_YET)
		r->at--;
}

/*
 * Without a look at the world a killed run can neither go on nor be undone, and behind the point of no
 * return it must not be.
 */
static bool is_kept(const struct run *r, const struct run_record *c)
{
	return r->resumed && c->step->reads && (r->past || c == r->records);
}

/* What became of a step that ran. */
static void judge(struct run *r, struct run_record *c, const struct err *e)
{
	bool before = !r->past && c < r->records + no_return_at(r->plan);

	c->state = e ? RUN_BROKEN : RUN_DONE;
	if (!e)
		return;
	c->err = *e;
	log_err(c->step->on_fail == RUN_WARN ? LOG_LV_WARNING : LOG_LV_ERROR, e);
	if (c->step->on_fail == RUN_WARN)
		return;
	if (c->step->on_fail == RUN_STOP && is_kept(r, c)) {
		r->kept = true;
		r->err = *e;
		return;
	}
	if (c->step->on_fail == RUN_STOP && before) {
		begin_undo(r, e);
		return;
	}
	r->partial = true;
	if (c->step->on_fail == RUN_STOP) {
		r->failed = true;
		if (r->err.kind == ERR_NONE)
			r->err = *e;
	}
}

static void judge_undo(struct run_record *c, const struct err *e)
{
	c->state = RUN_UNMADE;
	c->err = e ? *e : (struct err){ 0 };
	if (e)
		log_err(LOG_LV_ERROR, e);
}

/* Around what the loop says of a quiet run; others speak in the context that they find. */
static struct log_ctx hush(const struct run *r)
{
	struct log_ctx old = log_set_ctx((struct log_ctx){ .cluster = r->cluster, .quiet = true });

	if (!r->o.quiet)
		log_set_ctx(old);
	return old;
}

static void count_step(struct job *j, struct run_io *io, const struct err *e)
{
	struct run *r = io->r;
	struct run_record *c = &r->records[io->step];

	c->ended = clock_ms();
	r->going--;
	if (job_is_late(j)) {
		r->stuck = true;
		c->state = RUN_BROKEN;
		c->err = r->err = *e;
		log_err(LOG_LV_ERROR, e);
	} else {
		c->was_done = io->was_done;
		c->untouched = io->untouched;
		if (io->undo)
			judge_undo(c, e);
		else
			judge(r, c, e);
	}
	if (r->o.step)
		r->o.step(r->o.arg, r, c);
	if (r->going)
		return;
	if (r->stuck || r->kept) {
		finish(r, RUN_FAILED);
		return;
	}
	if (!r->undoing)
		r->at = r->upto;
	next(r);
}

static void step_done(struct job *j, void *arg, const struct err *e)
{
	struct run_io *io = arg;
	struct log_ctx old = hush(io->r);

	count_step(j, io, e);
	log_set_ctx(old);
}

static void io_free(void *arg)
{
	struct run_io *io = arg;

	json_decref(io->facts);
	free(io);
}

static void start(struct run *r, size_t at, bool undo)
{
	const struct run_step *s = &r->plan->steps[at];
	struct run_record *c = &r->records[at];
	struct run_io *io = xzalloc(sizeof(*io));

	io->r = r;
	io->step = at;
	io->undo = undo;
	io->verify_first = c->state != RUN_NOT_YET;
	io->deadline = clock_in(s->budget_ms);
	c->begun = clock_ms();
	c->state = RUN_RUNNING;
	r->going++;
	if (!undo)
		say_phase(r, s);
	job_start(r->o.jobs, job_new(s->name, clock_in(s->budget_ms + SLACK_MS),
	                             undo ? run_undo : run_do, step_done, io_free, io));
}

/* Backwards over what was done, or may have been. */
static void next_undo(struct run *r)
{
	while (r->at > 0) {
		struct run_record *c = &r->records[--r->at];

		if (c->step->undo && (c->state == RUN_DONE || c->state == RUN_BROKEN)) {
			start(r, r->at, true);
			return;
		}
	}
	finish(r, result_of(r));
}

static bool was_canceled(struct run *r)
{
	struct err e = { 0 };

	if (!atomic_load(&r->canceled) || r->past || r->at >= no_return_at(r->plan))
		return false;
	err_set(&e, ERR_CANCELED, 0, "%s", r->cancel_why);
	log_err(LOG_LV_ERROR, &e);
	begin_undo(r, &e);
	return true;
}

/*
 * A run that had passed the point of no return had done all that comes before it, and part of that cannot
 * be seen any more, let alone done.
 */
static bool is_behind_us(const struct run *r, size_t at)
{
	return r->past && at < no_return_at(r->plan) && !r->plan->steps[at].reads;
}

static bool is_wanted(struct run *r, size_t at)
{
	const struct run_step *s = &r->plan->steps[at];
	struct run_record *c = &r->records[at];

	if (!is_behind_us(r, at) && (!s->when || s->when(r->ctx)))
		return true;
	c->was_done = is_behind_us(r, at) && c->state != RUN_NOT_YET;
	c->state = c->was_done ? RUN_DONE : RUN_SKIPPED;
	c->begun = c->ended = clock_ms();
	if (r->o.step)
		r->o.step(r->o.arg, r, c);
	return false;
}

/* The step, and those that may run beside it. */
static void start_all(struct run *r)
{
	start(r, r->at, false);
	for (r->upto = r->at + 1; r->upto < r->plan->n; r->upto++) {
		const struct run_step *s = &r->plan->steps[r->upto];

		if (!s->beside || !s->beside(r->ctx))
			break;
		if (is_wanted(r, r->upto))
			start(r, r->upto, false);
	}
}

static void next(struct run *r)
{
	if (r->undoing || was_canceled(r)) {
		next_undo(r);
		return;
	}
	for (; r->at < r->plan->n; r->at++) {
		if (is_wanted(r, r->at)) {
			start_all(r);
			return;
		}
	}
	finish(r, result_of(r));
}

static struct run_record *find(struct run *r, const char *name)
{
	for (size_t i = 0; i < r->plan->n; i++)
		if (name && str_is(r->plan->steps[i].name, name))
			return &r->records[i];
	return NULL;
}

/* A state other than NOT_YET says that the journal knows of the step. */
static void take_up_line(struct run *r, const json_t *line, run_restore_fn restore)
{
	const char *begin = json_string_value(json_object_get(line, "begin"));
	const char *end = json_string_value(json_object_get(line, "end"));
	struct run_record *c = find(r, begin ? begin : end);

	if (!c)
		return;
	c->state = RUN_BROKEN;
	r->past = r->past || c >= r->records + no_return_at(r->plan);
	if (restore)
		restore(r->ctx, c->step->name,
		        begin                                       ? RUN_BEGAN
		        : json_is_true(json_object_get(line, "ok")) ? RUN_ENDED_WELL
		                                                    : RUN_ENDED_BADLY,
		        json_object_get(line, "facts"));
}

static bool take_up(struct run *r, const json_t *lines, run_restore_fn restore, struct err *e)
{
	const json_t *head = json_array_get(lines, 0);
	const char *plan = json_string_value(json_object_get(head, "plan"));
	const json_t *line;
	size_t i;

	r->resumed = true;
	free(r->name);
	r->name = xstrdup(json_string_value(json_object_get(head, "run")));
	if (!plan || !str_is(plan, r->plan->name)) {
		err_set(e, ERR_PRECOND, 0, "run %s in the journal is a %s", r->name,
		        plan ? plan : "?");
		return err_hint(e, "mhactl %s %s takes it up", plan ? plan : "report", r->cluster);
	}
	if (restore)
		restore(r->ctx, "", RUN_BEGAN, json_object_get(head, "facts"));
	json_array_foreach (lines, i, line)
		take_up_line(r, line, restore);
	return true;
}

/* The first turn of the loop after run_start(). */
static void kick_off(void *arg)
{
	struct run *r = arg;
	struct log_ctx old = hush(r);

	if (r->err.kind != ERR_NONE) {
		log_err(LOG_LV_ERROR, &r->err);
		r->over = true;
		r->o.done(r->o.arg, r, RUN_REFUSED);
	} else {
		next(r);
	}
	log_set_ctx(old);
}

struct run *run_start(
        const struct run_plan *p, const struct run_opts *o, void *ctx, run_restore_fn restore)
{
	struct run *r = xzalloc(sizeof(*r));
	const json_t *old = o->journal ? journal_unfinished(o->journal) : NULL;

	r->plan = p;
	r->o = *o;
	r->ctx = ctx;
	r->name = xstrdup(o->run);
	r->cluster = xstrdup(o->cluster);
	pthread_mutex_init(&r->lock, NULL);
	r->records = xzalloc(sizeof(*r->records) * p->n);
	for (size_t i = 0; i < p->n; i++)
		r->records[i].step = &p->steps[i];
	if (old)
		take_up(r, old, restore, &r->err);
	else if (o->journal)
		(void)!journal_begin(o->journal, r->name, p->name, json_incref(o->facts), &r->err);
	json_decref(o->facts);
	r->records[0].begun = clock_ms();
	r->kick = loop_timer_new(o->loop, clock_ms(), kick_off, r);
	return r;
}

void run_cancel(struct run *r, const char *why)
{
	snprintf(r->cancel_why, sizeof(r->cancel_why), "%s", why);
	atomic_store(&r->canceled, true);
}

/* What hangs in a library keeps the run in its hands. */
void run_free(struct run *r)
{
	if (!r)
		return;
	loop_timer_free(r->kick);
	r->kick = NULL;
	if (r->stuck)
		return;
	vec_each (char *, w, &r->warnings)
		free(*w);
	vec_done(&r->warnings);
	pthread_mutex_destroy(&r->lock);
	free(r->records);
	free(r->name);
	free(r->cluster);
	free(r);
}
