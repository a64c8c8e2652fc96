/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fleet_load - the files of all clusters are read, one job for each, and followed when all are there.
 * Owned by the fleet; runs on: loop, reading on workers.
 */
#include "fleet_impl.h"
#include "clock.h"
#include "job.h"
#include "log.h"
#include "loop.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	FILE_MS = 30000, /* names and init_conf_load_script of one file */
	TURN_MS =
	        10, /* of the loop, for following files: looks are not to wait for a thousand of them */
	AGAIN_MS =
	        5000, /* until a file whose names could not be looked up is read again, doubling */
	AGAIN_MOST_MS = 300000,
};

struct waiting {
	fleet_loaded_fn done;
	void *arg;
};

struct fleet_reading {
	struct fleet *fleet; /* NULL: the fleet is gone */
	bool unresolved;     /* a name of some file could not be looked up */
	size_t pending;
	VEC(struct file *) files;  /* in the order of their names */
	VEC(struct waiting) told;  /* when it is done */
	VEC(struct waiting) later; /* after the next one */
	struct loop_timer *timer;
	json_t *problems, *changed;
	size_t followed; /* so many files */
};

struct file {
	struct fleet_reading *reading;
	char *name, *path, *global;
	struct conf *conf;
	struct conf_report report;
	struct err err;
	_Atomic unsigned holders; /* the reading, and the job */
};

/* ---- the same configuration? ---- */

#define SAME_STR(a, b)    str_is(a, b)
#define SAME_DIRS(a, b)   str_is(a, b)
#define SAME_SECRET(a, b) str_is(a, b)
#define SAME_INT(a, b)    ((a) == (b))
#define SAME_BOOL(a, b)   ((a) == (b))
#define SAME_COUNT(a, b)  ((a) == (b))
#define SAME_MSEC(a, b)   ((a) == (b))
#define SAME_ENUM(a, b)   ((a) == (b))
#define SAME_LEVEL(a, b)  ((a) == (b))

static bool same_server(const struct conf_server *a, const struct conf_server *b)
{
#define SAME_SETTING(name, type, ...)                                                              \
	if (!SAME_##type(a->name, b->name))                                                        \
		return false;
	CONF_SETTINGS(SAME_SETTING)
#undef SAME_SETTING
	return str_is(a->id, b->id) && str_is(a->ssh_address, b->ssh_address);
}

static bool same_servers(
        const struct conf_server *const *a, size_t n, const struct conf_server *const *b, size_t m)
{
	for (size_t i = 0; i < n && n == m; i++) {
		if (!same_server(a[i], b[i]))
			return false;
	}
	return n == m;
}

bool fleet_same_conf(const struct conf *a, const struct conf *b)
{
	return str_is(a->real_path, b->real_path) && same_server(a->defaults, b->defaults) &&
	       same_servers(a->servers, a->n_servers, b->servers, b->n_servers) &&
	       same_servers(a->binlogs, a->n_binlogs, b->binlogs, b->n_binlogs);
}

/* ---- one file ---- */

static void file_free(struct file *x)
{
	if (--x->holders)
		return;
	conf_free(x->conf);
	conf_report_done(&x->report);
	free(x->name);
	free(x->path);
	free(x->global);
	free(x);
}

static bool read_file(struct job *j, void *arg, struct err *e)
{
	struct file *x = arg;
	const struct conf_opts o = { .path = x->path,
		.global_path = x->global,
		.force_format = -1,
		.deadline = job_deadline(j) };

	x->conf = conf_load(&o, &x->report, e);
	return x->conf;
}

static void reading_free(struct fleet_reading *r)
{
	loop_timer_free(r->timer);
	vec_each (struct file *, x, &r->files)
		file_free(*x);
	vec_done(&r->files);
	vec_done(&r->told);
	vec_done(&r->later);
	json_decref(r->problems);
	json_decref(r->changed);
	free(r);
}

static void follow(void *arg);

static void file_read(struct job *j, void *arg, const struct err *e)
{
	struct file *x = arg;
	struct fleet_reading *r = x->reading;

	(void)j;
	if (e)
		x->err = *e;
	if (--r->pending)
		return;
	if (!r->fleet)
		reading_free(r);
	else
		loop_timer_move(r->timer, clock_ms());
}

static void let_go(void *arg)
{
	file_free(arg);
}

/* ---- all files ---- */

static void add_problem(struct fleet_reading *r, const char *text)
{
	json_array_append_new(r->problems, json_string(text));
}

static bool is_cluster_file(const struct dirent *d)
{
	return d->d_name[0] != '.' && (str_ends(d->d_name, ".conf") || str_ends(d->d_name, ".cnf"));
}

static int wanted(const struct dirent *d)
{
	return is_cluster_file(d);
}

static void add_file(struct fleet_reading *r, const char *dir, const char *file)
{
	struct file *x = xzalloc(sizeof(*x));

	x->reading = r;
	x->holders = 1;
	x->path = xasprintf("%s/%s", dir, file);
	x->name = xstrndup(file, (size_t)(strrchr(file, '.') - file));
	if (str_ends(file, ".conf"))
		x->global = xasprintf("%s/mhad.conf", r->fleet->opts.confdir);
	vec_push(&r->files, x);
}

static void begin(void *arg)
{
	struct fleet_reading *r = arg;
	AUTO(free) char *dir = xasprintf("%s/clusters.d", r->fleet->opts.confdir);
	struct dirent **found = NULL;
	int n = scandir(dir, &found, wanted, alphasort);

	if (n < 0 && errno != ENOENT) {
		AUTO(free) char *text = xasprintf("%s: %s", dir, strerror(errno));

		log_error("%s", text);
		add_problem(r, text);
	}
	for (int i = 0; i < n; i++) {
		add_file(r, dir, found[i]->d_name);
		free(found[i]);
	}
	free(found);
	loop_timer_free(r->timer);
	r->timer =
	        loop_timer_new(r->fleet->loop, r->files.len ? CLOCK_NEVER : clock_ms(), follow, r);
	r->pending = r->files.len;
	vec_each (struct file *, x, &r->files) {
		(*x)->holders++;
		job_start(r->fleet->jobs,
		        job_new((*x)->path, clock_in(FILE_MS), read_file, file_read, let_go, *x));
	}
}

static char *problem_text(const struct conf_problem *p)
{
	if (p->line)
		return xasprintf("%s:%d: %s", p->file, p->line, p->text);
	return xasprintf("%s%s%s", p->file, p->file[0] ? ": " : "", p->text);
}

static void tell_problems(struct fleet_reading *r, struct file *x)
{
	struct log_ctx old;

	if (x->err.kind == ERR_LOST) /* its worker may still be at it */
		return;
	old = log_set_ctx((struct log_ctx){ .cluster = x->name });
	for (size_t i = 0; x->conf && i < x->report.len; i++) {
		AUTO(free) char *text = problem_text(&x->report.items[i]);

		log_warning("%s%s%s", text, x->report.items[i].hint[0] ? "  Hint: " : "",
		        x->report.items[i].hint);
	}
	log_set_ctx(old);
	for (size_t i = 0; !x->conf && i < x->report.len; i++) {
		AUTO(free) char *text = problem_text(&x->report.items[i]);

		if (x->report.items[i].fatal)
			add_problem(r, text);
	}
}

/* Two files of one name would be one cluster with two masters. */
static bool is_second(const struct fleet_reading *r, size_t i)
{
	return i && str_is(r->files.items[i]->name, r->files.items[i - 1]->name);
}

static void follow_file(struct fleet_reading *r, size_t i)
{
	struct file *x = r->files.items[i];
	struct fleet *f = r->fleet;

	if (is_second(r, i)) {
		AUTO(free)
		char *text = xasprintf("%s: there is another file of this name, %s: it "
		                       "is not read",
		        x->path, r->files.items[i - 1]->path);

		log_event(LOG_EV_CONFIG_ERROR, NULL, "%s", text);
		add_problem(r, text);
		return;
	}
	tell_problems(r, x);
	r->unresolved |= !x->conf && x->err.kind != ERR_LOST && x->report.unresolved;
	if (x->err.kind == ERR_NONE && x->conf)
		fleet_use(f, x->name, TAKE(x->conf), r->changed);
	else {
		if (x->err.kind == ERR_LOST || !x->report.len)
			add_problem(r, x->err.text);
		fleet_refuse(f, x->name, x->path, x->err.text);
	}
}

static void start_reading(struct fleet *f, const struct waiting *told, size_t n);

static void read_again(void *arg)
{
	struct fleet *f = arg;

	loop_timer_free(TAKE(f->again));
	if (!f->reading)
		start_reading(f, NULL, 0);
}

/* At boot names may be unknown for a while; nobody would ask for a reload then. */
static void plan_again(struct fleet *f, bool wanted)
{
	int64_t ms = f->again_ms ? 2 * f->again_ms : AGAIN_MS;

	loop_timer_free(TAKE(f->again));
	f->again_ms = wanted ? clock_sooner(ms, AGAIN_MOST_MS) : 0;
	if (!wanted)
		return;
	f->again = loop_timer_new(f->loop, clock_in(f->again_ms), read_again, f);
	log_notice("names could not be looked up: the files are read again in %lld s.",
	        (long long)f->again_ms / 1000);
}

static void follow(void *arg)
{
	struct fleet_reading *r = arg;
	struct fleet *f = r->fleet;
	struct fleet_loaded done = { .changed = r->changed, .problems = r->problems };
	int64_t until = clock_in(TURN_MS);

	while (r->followed < r->files.len && clock_left(until))
		follow_file(r, r->followed++);
	if (r->followed < r->files.len) {
		loop_timer_move(r->timer, clock_ms());
		return;
	}
	done.again = r->unresolved;
	plan_again(f, r->unresolved);
	fleet_drop_unfound(f, r->changed);
	vec_each (struct fleet_cluster *, c, &f->clusters)
		done.clusters += (*c)->watch != NULL;
	f->reading = NULL;
	vec_each (struct waiting, w, &r->told)
		w->done(w->arg, &done);
	if (r->later.len)
		start_reading(f, r->later.items, r->later.len);
	reading_free(r);
}

static void start_reading(struct fleet *f, const struct waiting *told, size_t n)
{
	struct fleet_reading *r = xzalloc(sizeof(*r));

	r->fleet = f;
	r->problems = json_array();
	r->changed = json_array();
	for (size_t i = 0; i < n; i++)
		vec_push(&r->told, told[i]);
	f->reading = r;
	r->timer = loop_timer_new(f->loop, clock_ms(), begin, r);
}

void fleet_load(struct fleet *f, fleet_loaded_fn done, void *arg)
{
	const struct waiting me = { done, arg };

	if (f->reading)
		vec_push(&f->reading->later, me);
	else
		start_reading(f, &me, 1);
}

/* Its jobs end with the pool, and the last of them frees it. */
void fleet_free_reading(struct fleet *f)
{
	struct fleet_reading *r = f->reading;

	loop_timer_free(TAKE(f->again));
	if (!r)
		return;
	f->reading = NULL;
	r->fleet = NULL;
	loop_timer_free(TAKE(r->timer));
	if (!r->pending)
		reading_free(r);
}
