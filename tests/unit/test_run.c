/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_run - a small world that steps change, and an engine that is let down, canceled and killed in
 * every place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <ftw.h>
#include <pthread.h>
#include <spawn.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"
#include "job.h"
#include "journal.h"
#include "log.h"
#include "loop.h"
#include "run.h"
#include "vec.h"

/* The world is a folder: a file per thing that was changed, so that it outlives the process. */
struct world {
	const char *dir;
	const char *breaks; /* name of the step whose act fails, or "NAME!" whose verify does */
	const char *stuck;  /* name of the undo that fails */
	char log[1000];
	int reads;
	bool blind;     /* reading fails */
	bool untouched; /* "close" fails before it has changed anything, and says so */
	int remembered; /* by restore() */
};

static bool is_set(struct world *w, const char *name)
{
	AUTO(free) char *path = xasprintf("%s/%s", w->dir, name);

	return access(path, F_OK) == 0;
}

static bool put(struct world *w, const char *name, bool on, struct err *e)
{
	AUTO(free) char *path = xasprintf("%s/%s", w->dir, name);
	FILE *f;

	if (!on)
		return unlink(path) == 0 || err_sys(e, "unlink %s", path);
	f = fopen(path, "we");
	return (f && fclose(f) == 0) || err_sys(e, "write %s", path);
}

static void say(struct world *w, const char *what, const char *name)
{
	size_t n = strlen(w->log);

	snprintf(w->log + n, sizeof(w->log) - n, "%s%s:%s", n ? " " : "", what, name);
}

static bool act(struct world *w, const char *name, struct err *e)
{
	say(w, "do", name);
	if (w->breaks && str_is(w->breaks, name))
		return err_set(e, ERR_SQL, 7, "%s is broken", name);
	return put(w, name, true, e);
}

static bool verify(struct world *w, const char *name, struct err *e)
{
	AUTO(free) char *broken = xasprintf("%s!", name);

	say(w, "see", name);
	if (w->breaks && str_is(w->breaks, broken))
		return err_set(e, ERR_SQL, 8, "%s is not done", name);
	return is_set(w, name) || err_set(e, ERR_PRECOND, 0, "%s is not set", name);
}

static bool undo(struct world *w, const char *name, struct err *e)
{
	say(w, "undo", name);
	if (w->stuck && str_is(w->stuck, name))
		return err_set(e, ERR_SQL, 9, "cannot undo %s", name);
	return !is_set(w, name) || put(w, name, false, e);
}

#define STEP_FUNCTION(kind, name)                                                                  \
	static bool kind##_##name(void *c, struct run_io *io, struct err *e)                       \
	{                                                                                          \
		if (((struct world *)c)->untouched && str_is(#kind, "act"))                        \
			run_untouched(io);                                                         \
		return kind(c, #name, e);                                                          \
	}
STEP_FUNCTION(act, lock)
STEP_FUNCTION(verify, lock)
STEP_FUNCTION(undo, lock)
STEP_FUNCTION(act, close)
STEP_FUNCTION(verify, close)
STEP_FUNCTION(undo, close)
STEP_FUNCTION(act, open)
STEP_FUNCTION(verify, open)
STEP_FUNCTION(act, slaves)
STEP_FUNCTION(verify, slaves)

static bool look(void *c, struct run_io *io, struct err *e)
{
	struct world *w = c;

	if (w->blind)
		return err_set(e, ERR_UNREACHABLE, 0, "nobody answers");
	w->reads++;
	run_note(io, "answer", json_integer(42));
	return true;
}

static bool never(void *c)
{
	(void)c;
	return false;
}

static const struct run_step steps[] = {
	{ "look", "Phase 1: Looking", .act = look, .budget_ms = 1000, .reads = true },
	{ "lock", .act = act_lock, .verify = verify_lock, .undo = undo_lock, .budget_ms = 1000 },
	{ "close", "Phase 2: Closing", .act = act_close, .verify = verify_close, .undo = undo_close,
	        .budget_ms = 1000, .changes = true },
	{ "not", .when = never, .act = act_lock, .verify = verify_lock, .budget_ms = 1000 },
	{ "open", "Phase 3: Opening\nPhase 3.1: Doors", .act = act_open, .verify = verify_open,
	        .budget_ms = 1000, .no_return = true },
	{ "slaves", .act = act_slaves, .verify = verify_slaves, .budget_ms = 1000,
	        .on_fail = RUN_GO_ON },
};
static const struct run_plan plan = { "test", steps, ARRAY_LEN(steps) };

struct fixture {
	char dir[64], state[72], world[72];
	struct world w;
	enum run_result result;
	struct err err;
	enum run_state states[ARRAY_LEN(steps)];
	struct loop *loop;
	bool resumed;
};

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void set_up_in(struct fixture *f)
{
	snprintf(f->state, sizeof(f->state), "%s/state", f->dir);
	snprintf(f->world, sizeof(f->world), "%s/world", f->dir);
	mkdir(f->state, 0700);
	mkdir(f->world, 0700);
	f->w.dir = f->world;
}

static int setup(void **state)
{
	struct fixture *f = xzalloc(sizeof(*f));

	strcpy(f->dir, "/tmp/test_run.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	set_up_in(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	unsetenv("MHAD_FAILPOINT");
	nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

static void on_done(void *arg, struct run *r, enum run_result result)
{
	struct fixture *f = arg;
	size_t n;
	const struct run_record *records = run_records(r, &n);

	f->result = result;
	f->err = *run_error(r);
	f->resumed = run_was_resumed(r);
	for (size_t i = 0; i < n; i++)
		f->states[i] = records[i].state;
	loop_stop(f->loop);
}

static void restore(void *ctx, const char *step, enum run_line line, const json_t *facts)
{
	struct world *w = ctx;

	if (str_is(step, "look") && line == RUN_ENDED_WELL)
		w->remembered = (int)json_integer_value(json_object_get(facts, "answer"));
}

static void cancel_at_once(void *arg, const struct run *r, const struct run_record *s)
{
	(void)arg;
	if (str_is(s->step->name, "lock"))
		run_cancel((struct run *)(uintptr_t)r, "somebody said stop");
}

static void go_with(
        struct fixture *f, void (*step)(void *, const struct run *, const struct run_record *))
{
	struct loop *l = loop_new();
	struct job_pool *pool = job_pool_new(l, 2);
	struct err e = { 0 };
	struct journal *j = journal_open(f->state, "c1", &e);
	struct run *r;

	if (!j)
		fail_msg("%s", e.text);
	f->loop = l;
	f->w.log[0] = '\0';
	r = run_start(&plan,
	        &(struct run_opts){ .loop = l,
	                .jobs = pool,
	                .journal = j,
	                .run = "r1",
	                .cluster = "c1",
	                .step = step,
	                .done = on_done,
	                .arg = f },
	        &f->w, restore);
	loop_run(l);
	run_free(r);
	journal_close(j);
	job_pool_free(pool);
	loop_free(l);
}

static void go(struct fixture *f)
{
	go_with(f, NULL);
}

static void test_all_well(void **state)
{
	struct fixture *f = *state;

	go(f);
	assert_int_equal(f->result, RUN_SUCCESS);
	assert_string_equal(f->w.log, "do:lock see:lock do:close see:close do:open see:open "
	                              "do:slaves see:slaves");
	assert_int_equal(f->states[3], RUN_SKIPPED);
	assert_false(f->resumed);
}

static void test_refused_before_changes(void **state)
{
	struct fixture *f = *state;

	f->w.breaks = "lock";
	go(f);
	assert_int_equal(f->result, RUN_REFUSED);
	assert_string_equal(f->w.log, "do:lock undo:lock");
	assert_string_equal(f->err.text, "lock is broken");
}

static void test_undone(void **state)
{
	struct fixture *f = *state;

	f->w.breaks = "close!";
	go(f);
	assert_int_equal(f->result, RUN_UNDONE);
	assert_string_equal(f->w.log, "do:lock see:lock do:close see:close undo:close undo:lock");
	assert_false(is_set(&f->w, "close"));
	assert_int_equal(f->states[2], RUN_UNMADE);
}

static void test_undo_fails(void **state)
{
	struct fixture *f = *state;

	f->w.breaks = "close!";
	f->w.stuck = "close";
	go(f);
	assert_int_equal(f->result, RUN_FAILED);
	assert_string_equal(f->w.log, "do:lock see:lock do:close see:close undo:close undo:lock");
}

static void test_behind_the_point_of_no_return(void **state)
{
	struct fixture *f = *state;

	f->w.breaks = "open";
	go(f);
	assert_int_equal(f->result, RUN_FAILED);
	assert_string_equal(f->w.log, "do:lock see:lock do:close see:close do:open do:slaves "
	                              "see:slaves");
	f->w.breaks = "slaves!";
	go(f);
	assert_int_equal(f->result, RUN_PARTIAL);
}

static void test_canceled(void **state)
{
	struct fixture *f = *state;

	go_with(f, cancel_at_once);
	assert_int_equal(f->result, RUN_REFUSED);
	assert_int_equal(f->err.kind, ERR_CANCELED);
	assert_string_equal(f->w.log, "do:lock see:lock undo:lock");
}

/* In a process of its own, which the failpoint kills; nothing of it is left but journal and world. */
static void go_and_die(struct fixture *f, const char *failpoint)
{
	const char *argv[] = { "test_run", f->dir, failpoint, f->w.breaks ? f->w.breaks : "",
		NULL };
	int status;
	pid_t pid;

	assert_int_equal(
	        posix_spawn(&pid, "/proc/self/exe", NULL, NULL, (char **)(uintptr_t)argv, environ),
	        0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static int die(char **argv)
{
	struct fixture f = { .w.breaks = *argv[3] ? argv[3] : NULL };

	snprintf(f.dir, sizeof(f.dir), "%s", argv[1]);
	set_up_in(&f);
	setenv("MHAD_FAILPOINT", argv[2], 1);
	go(&f);
	return 0;
}

static void test_killed_everywhere(void **state)
{
	static const char *const where[] = { "begin", "act", "verify", "end" };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		if (str_is(steps[i].name, "not"))
			continue;
		for (size_t k = 0; k < ARRAY_LEN(where); k++) {
			AUTO(free) char *at = xasprintf("%s:%s=kill", steps[i].name, where[k]);

			go_and_die(f, at);
			f->w.remembered = 0;
			go(f);
			assert_int_equal(f->result, RUN_SUCCESS);
			assert_true(f->resumed);
			assert_int_equal(f->w.remembered, i == 0 ? 0 : 42);
			assert_true(is_set(&f->w, "slaves") && is_set(&f->w, "open"));
			/* What the journal knows to be done is looked at, not done again. */
			if (i >= 2)
				assert_null(strstr(f->w.log, "do:lock"));
			assert_true(put(&f->w, "lock", false, NULL) &&
			            put(&f->w, "close", false, NULL) &&
			            put(&f->w, "open", false, NULL) &&
			            put(&f->w, "slaves", false, NULL));
		}
	}
}

static void test_killed_while_undoing(void **state)
{
	struct fixture *f = *state;

	f->w.breaks = "close!";
	go_and_die(f, "close:undo=kill");
	go(f);
	assert_int_equal(f->result, RUN_UNDONE);
	assert_false(is_set(&f->w, "close"));
	assert_false(is_set(&f->w, "lock"));
}

static void test_failpoints_that_do_not_kill(void **state)
{
	struct fixture *f = *state;

	setenv("MHAD_FAILPOINT", "nothing:begin=kill,look:end=sleep:1,close:verify=error", 1);
	go(f);
	assert_int_equal(f->result, RUN_UNDONE);
	assert_string_equal(f->err.text, "failpoint close:verify");
}

static void test_untouched(void **state)
{
	struct fixture *f = *state;

	f->w.breaks = "close";
	f->w.stuck = "close";
	f->w.untouched = true;
	go(f);
	assert_int_equal(f->result, RUN_FAILED); /* its undo says that it could not */
	f->w.stuck = NULL;
	go(f);
	assert_int_equal(f->result, RUN_UNDONE);
}

/* Behind the point of no return a look that fails ends nothing: the run waits to be taken up. */
static void test_blind_when_taken_up(void **state)
{
	struct fixture *f = *state;

	go_and_die(f, "open:verify=kill");
	f->w.blind = true;
	go(f);
	assert_int_equal(f->result, RUN_FAILED);
	assert_string_equal(f->w.log, "");
	assert_true(is_set(&f->w, "lock") && is_set(&f->w, "open"));
	f->w.blind = false;
	go(f);
	assert_true(f->resumed);
	assert_int_equal(f->result, RUN_SUCCESS);
	assert_string_equal(f->w.log, "see:open do:slaves see:slaves");
}

/* Before it too, since nothing can be undone blindly; a later failure undoes all that may be done. */
static void test_undone_when_taken_up(void **state)
{
	struct fixture *f = *state;

	go_and_die(f, "close:verify=kill");
	f->w.blind = true;
	go(f);
	assert_int_equal(f->result, RUN_FAILED);
	assert_string_equal(f->w.log, "");
	f->w.blind = false;
	f->w.breaks = "lock!";
	go(f);
	assert_int_equal(f->result, RUN_UNDONE);
	assert_string_equal(f->w.log, "see:lock do:lock see:lock undo:close undo:lock");
	assert_false(is_set(&f->w, "close") || is_set(&f->w, "lock"));
}

/* ---- beside each other ---- */

struct pair {
	pthread_mutex_t lock;
	int in, after, failed_in;
	atomic_int most;
	const char *breaks;
	struct loop *loop;
	enum run_result result;
};

static bool together(void *c, struct run_io *io, struct err *e)
{
	struct pair *p = c;

	(void)io;
	(void)e;
	pthread_mutex_lock(&p->lock);
	if (++p->in > p->most)
		p->most = p->in;
	pthread_mutex_unlock(&p->lock);
	for (int i = 0; i < 200 && p->most < 2; i++)
		nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	pthread_mutex_lock(&p->lock);
	p->in--;
	pthread_mutex_unlock(&p->lock);
	return true;
}

static bool together_badly(void *c, struct run_io *io, struct err *e)
{
	struct pair *p = c;

	return together(c, io, e) && !p->breaks ? true : err_set(e, ERR_SQL, 1, "%s", p->breaks);
}

static bool afterwards(void *c, struct run_io *io, struct err *e)
{
	struct pair *p = c;

	(void)io;
	(void)e;
	p->after += p->in == 0;
	return true;
}

static bool take_back(void *c, struct run_io *io, struct err *e)
{
	struct pair *p = c;

	(void)io;
	(void)e;
	p->failed_in += 1;
	return true;
}

static bool yes(void *c)
{
	(void)c;
	return true;
}

static void pair_done(void *arg, struct run *r, enum run_result result)
{
	struct pair *p = arg;

	(void)r;
	p->result = result;
	loop_stop(p->loop);
}

static void go_in_pairs(struct pair *p, const char *breaks)
{
	static const struct run_step pair_steps[] = {
		{ "one", .act = together, .verify = afterwards, .undo = take_back,
		        .budget_ms = 5000, .changes = true },
		{ "two", .act = together_badly, .verify = afterwards, .undo = take_back,
		        .budget_ms = 5000, .beside = yes },
		{ "three", .act = afterwards, .verify = afterwards, .budget_ms = 1000 },
	};
	static const struct run_plan pairs = { "pairs", pair_steps, ARRAY_LEN(pair_steps) };
	struct loop *l = loop_new();
	struct job_pool *pool = job_pool_new(l, 4);
	struct run *r;

	*p = (struct pair){ .breaks = breaks, .loop = l };
	pthread_mutex_init(&p->lock, NULL);
	r = run_start(&pairs,
	        &(struct run_opts){ .loop = l,
	                .jobs = pool,
	                .run = "r1",
	                .cluster = "c1",
	                .done = pair_done,
	                .arg = p },
	        p, NULL);
	loop_run(l);
	run_free(r);
	job_pool_free(pool);
	loop_free(l);
	pthread_mutex_destroy(&p->lock);
}

static void test_beside(void **state)
{
	struct pair p;

	(void)state;
	go_in_pairs(&p, NULL);
	assert_int_equal(p.result, RUN_SUCCESS);
	assert_int_equal(p.most, 2);
	assert_true(p.after >= 2); /* the third one begins when both have ended */
	go_in_pairs(&p, "two is broken");
	assert_int_equal(p.result, RUN_UNDONE);
	assert_int_equal(p.failed_in, 2); /* both are undone */
}

static void test_journal_of_another(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };
	struct journal *mine = journal_open(f->state, "c1", &e), *other;

	assert_non_null(mine);
	other = journal_open(f->state, "c1", &e);
	assert_null(other);
	assert_int_equal(e.kind, ERR_PRECOND);
	assert_non_null(strstr(e.text, "pid"));
	journal_close(mine);
}

static void write_journal(struct fixture *f, const char *text)
{
	AUTO(free) char *dir = xasprintf("%s/c1", f->state);
	AUTO(free) char *path = xasprintf("%s/journal", dir);
	FILE *to;

	mkdir(dir, 0700);
	to = fopen(path, "we");
	assert_non_null(to);
	fputs(text, to);
	fclose(to);
}

static void test_journal_that_is_damaged(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };
	struct journal *j;

	write_journal(f, "{\"run\":\"r0\",\"plan\":\"test\"}\nrubbish\n{\"begin\":\"look\"}\n");
	assert_null(journal_open(f->state, "c1", &e));
	assert_int_equal(e.kind, ERR_PRECOND);
	assert_non_null(strstr(e.text, "journal:2: damaged"));

	write_journal(f, "{\"run\":\"r0\",\"plan\":\"test\"}\n{\"begin\":\"lo");
	j = journal_open(f->state, "c1", &e);
	assert_non_null(j);
	assert_int_equal(json_array_size(journal_unfinished(j)), 1);
	journal_close(j);

	/* Killed between the last line and the renaming: there is nothing left to do. */
	write_journal(f, "{\"run\":\"r0\",\"plan\":\"test\"}\n{\"done\":\"success\"}\n");
	j = journal_open(f->state, "c1", &e);
	assert_non_null(j);
	assert_null(journal_unfinished(j));
	journal_close(j);
}

static void test_journal_of_another_plan(void **state)
{
	struct fixture *f = *state;

	write_journal(f, "{\"run\":\"r0\",\"plan\":\"switch\"}\n{\"begin\":\"look\"}\n");
	go(f);
	assert_int_equal(f->result, RUN_REFUSED);
	assert_non_null(strstr(f->err.text, "run r0 in the journal is a switch"));
	assert_string_equal(f->w.log, "");
}

static void test_tables_that_cannot_be_right(void **state)
{
	struct run_step s[2] = { steps[1], steps[1] };
	struct run_plan p = { "x", s, 2 };
	struct err e = { 0 };

	(void)state;
	assert_true(run_plan_check(&plan, &e));
	assert_false(run_plan_check(&p, &e));
	s[1].name = "other";
	assert_true(run_plan_check(&p, &e));
	s[0].no_return = true;
	assert_false(run_plan_check(&p, &e));
	s[0].no_return = false;
	s[0].changes = true;
	s[1].verify = NULL;
	assert_false(run_plan_check(&p, &e));
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_all_well),
		TEST(test_refused_before_changes),
		TEST(test_undone),
		TEST(test_undo_fails),
		TEST(test_behind_the_point_of_no_return),
		TEST(test_canceled),
		TEST(test_killed_everywhere),
		TEST(test_killed_while_undoing),
		TEST(test_failpoints_that_do_not_kill),
		TEST(test_untouched),
		TEST(test_blind_when_taken_up),
		TEST(test_undone_when_taken_up),
		cmocka_unit_test(test_beside),
		TEST(test_journal_of_another),
		TEST(test_journal_that_is_damaged),
		TEST(test_journal_of_another_plan),
		cmocka_unit_test(test_tables_that_cannot_be_right),
	};

	log_set_level(LOG_LV_ERROR);
	if (argc == 4)
		return die(argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
