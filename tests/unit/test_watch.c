/* SPDX-License-Identifier: BSD-2-Clause */
/* test_watch - the table of states, and a watch that is ended at any moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "clock.h"
#include "job.h"
#include "link.h"
#include "log.h"
#include "loop.h"
#include "watch.h"
#include "watch_self.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the table ---- */

/* What a verdict can say may come in every state; the rest has its place. */
static bool is_legal(enum watch_state s, enum watch_event ev)
{
	if (s == WATCH_STOPPED)
		return false;
	switch (ev) {
	case WATCH_EV_CONFIRMED: return s == WATCH_CONFIRMING;
	case WATCH_EV_FORBIDDEN:
	case WATCH_EV_BEGUN: return s == WATCH_DEAD;
	case WATCH_EV_ALLOWED: return s == WATCH_BLOCKED;
	case WATCH_EV_ENDED: return s == WATCH_FAILING_OVER;
	default: return true;
	}
}

static void test_table_is_complete(void **state)
{
	(void)state;
	for (enum watch_state s = 0; s < WATCH_STATE_COUNT; s++) {
		for (enum watch_event ev = 0; ev < WATCH_EVENT_COUNT; ev++) {
			enum watch_state to = WATCH_STATE_COUNT;
			bool there = watch_next(s, ev, &to);

			if (there != is_legal(s, ev))
				fail_msg("%s in %s is %s", watch_event_name(ev),
				        watch_state_name(s), there ? "listed" : "not listed");
			assert_true(!there || to < WATCH_STATE_COUNT);
		}
	}
}

static bool is_verdict(enum watch_event ev)
{
	return ev == WATCH_EV_UNCLEAR || ev == WATCH_EV_TAKEN || ev == WATCH_EV_ANSWERS ||
	       ev == WATCH_EV_DOUBT || ev == WATCH_EV_ILL || ev == WATCH_EV_DEADLY ||
	       ev == WATCH_EV_HELD;
}

/* Whatever comes: DEAD and what follows it stand only while the last verdict was a deadly one. */
static void test_no_death_without_a_deadly_verdict(void **state)
{
	unsigned seed = 20261120;
	size_t deaths = 0, runs = 0;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		enum watch_state s = WATCH_STARTING;
		enum watch_event verdict = WATCH_EV_UNCLEAR;

		for (int i = 0; i < 200 && s != WATCH_STOPPED; i++) {
			enum watch_event ev =
			        (enum watch_event)(rand_r(&seed) % (int)WATCH_EVENT_COUNT);
			enum watch_state to;

			if (ev == WATCH_EV_STOP || !watch_next(s, ev, &to))
				continue;
			if (is_verdict(ev))
				verdict = ev;
			if (to == WATCH_DEAD && s != WATCH_DEAD) {
				assert_int_equal(s, WATCH_CONFIRMING);
				assert_int_equal(ev, WATCH_EV_CONFIRMED);
				deaths++;
			}
			if (to == WATCH_FAILING_OVER && s != to) {
				assert_int_equal(s, WATCH_DEAD);
				runs++;
			}
			if (to == WATCH_CONFIRMING || to == WATCH_DEAD || to == WATCH_BLOCKED)
				assert_int_equal(verdict, WATCH_EV_DEADLY);
			s = to;
		}
	}
	assert_true(deaths > 100 && runs > 100);
}

/* ---- a living watch ---- */

struct world {
	char dir[64];
	struct loop *loop;
	struct job_pool *jobs;
	struct link_room *links;
	struct watch_self *self;
	struct conf *conf;
	struct watch_env env;
	unsigned deaths, failures, changes;
};

static void dead(void *arg, struct watch *w)
{
	struct world *x = arg;

	x->deaths++;
	assert_int_equal(watch_verdict(w)->kind, VERDICT_DEAD);
	assert_int_equal(watch_state(w), WATCH_DEAD);
}

static void failed(void *arg, struct watch *w, const struct err *e)
{
	struct world *x = arg;

	(void)w;
	assert_int_equal(e->kind, ERR_CONFIG);
	x->failures++;
}

static void changed(void *arg, struct watch *w)
{
	struct world *x = arg;

	(void)w;
	x->changes++;
}

/* Servers that refuse: nothing listens on these ports. */
static const char conf_text[] =
        "defaults = { user = \"u\"; password = \"p\"; ping_interval = \"100ms\"; replica_interval "
        "= "
        "\"500ms\"; ssh_port = 1; connect_timeout = \"200ms\"; ssh_connection_timeout = \"200ms\"; "
        "};\n"
        "servers = ( { name = \"a\"; hostname = \"127.0.0.1\"; port = 1; },\n"
        "            { name = \"b\"; hostname = \"127.0.0.1\"; port = 2; },\n"
        "            { name = \"c\"; hostname = \"127.0.0.1\"; port = 3; } );\n";

static struct conf *load(const struct world *x)
{
	AUTO(free) char *path = xasprintf("%s/c.conf", x->dir);
	AUTO(free) char *global = xasprintf("%s/none.conf", x->dir);
	struct conf_opts o = {
		.path = path, .global_path = global, .deadline = clock_in(5000), .force_format = -1
	};
	struct err e = { 0 };
	FILE *f = fopen(path, "w");
	struct conf *c;

	assert_non_null(f);
	fputs(conf_text, f);
	fclose(f);
	assert_int_equal(chmod(path, 0600), 0);
	c = conf_load(&o, NULL, &e);
	if (!c)
		fail_msg("%s", e.text);
	return c;
}

static int setup(void **state)
{
	struct world *x = xzalloc(sizeof(*x));

	snprintf(x->dir, sizeof(x->dir), "/tmp/test_watch.XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	log_set_level(LOG_LV_ERROR);
	x->loop = loop_new();
	x->jobs = job_pool_new(x->loop, 16);
	x->links = link_room_new(x->loop, 8);
	x->self = watch_self_new(x->loop, NULL, NULL);
	x->conf = load(x);
	x->env = (struct watch_env){ .loop = x->loop,
		.jobs = x->jobs,
		.links = x->links,
		.self = x->self,
		.state_dir = x->dir,
		.arg = x,
		.changed = changed,
		.dead = dead,
		.failed = failed };
	*state = x;
	return 0;
}

static void stop(void *arg)
{
	loop_stop(arg);
}

static void run_for(struct world *x, int64_t ms)
{
	struct loop_timer *t = loop_timer_new(x->loop, clock_in(ms), stop, x->loop);

	loop_run(x->loop);
	loop_timer_free(t);
}

static int teardown(void **state)
{
	struct world *x = *state;
	AUTO(free) char *rm = xasprintf("rm -rf %s", x->dir);

	assert_true(link_room_free(x->links, clock_in(5000)));
	run_for(x, 50);
	job_pool_free(x->jobs);
	watch_self_free(x->self);
	loop_free(x->loop);
	conf_free(x->conf);
	assert_int_equal(system(rm), 0);
	free(x);
	return 0;
}

static struct watch *begin(struct world *x, const struct conf_server *master)
{
	struct watch_opts o = { .failover_interval = -1, .master = master };

	return watch_new(&x->env, x->conf, &o);
}

static void test_nobody_answers(void **state)
{
	struct world *x = *state;
	struct watch *w = begin(x, NULL);

	assert_int_equal(watch_state(w), WATCH_STARTING);
	for (int i = 0; i < 100 && watch_state(w) != WATCH_NO_MASTER; i++)
		run_for(x, 50);
	assert_int_equal(watch_state(w), WATCH_NO_MASTER);
	assert_int_equal(x->failures, 1);
	assert_null(watch_master(w));
	assert_int_equal(watch_blocked(w), GATE_VERDICT);
	watch_free(w);
}

/* A refusal alone is never enough for `corroborated`. */
static void test_refused_is_not_dead(void **state)
{
	struct world *x = *state;
	struct watch *w = begin(x, x->conf->servers[0]);
	json_t *j;

	run_for(x, 1500);
	assert_int_equal(x->deaths, 0);
	assert_int_equal(watch_state(w), WATCH_SUSPECT);
	assert_true(watch_is_silent(w));
	j = watch_status_json(w);
	assert_string_equal(json_string_value(json_object_get(j, "state")), "suspect");
	json_decref(j);
	j = watch_why_json(w, true);
	assert_true(json_array_size(json_object_get(j, "evidence")) > 2);
	assert_int_equal(json_array_size(json_object_get(j, "gates")), GATE_COUNT);
	json_decref(j);
	watch_free(w);
}

/* Looks, jobs, links, hooks may all be under way. */
static void test_ended_at_any_moment(void **state)
{
	struct world *x = *state;

	for (int ms = 0; ms < 400; ms += 9) {
		struct watch *w = begin(x, ms % 2 ? x->conf->servers[ms % 3] : NULL);

		run_for(x, ms);
		if (ms % 4 == 1)
			watch_void(w);
		if (ms % 4 == 2)
			watch_look(w);
		watch_free(w);
	}
	run_for(x, 1000);
}

static void test_pause_survives(void **state)
{
	struct world *x = *state;
	struct watch *w = begin(x, x->conf->servers[0]);

	run_for(x, 50);
	watch_pause(w, CLOCK_NEVER, "a reason", "me");
	run_for(x, 500);
	assert_int_equal(watch_state(w), WATCH_PAUSED);
	assert_int_equal(watch_blocked(w), GATE_VERDICT);
	watch_free(w);
	w = begin(x, x->conf->servers[0]);
	assert_true(watch_is_paused(w));
	assert_true(watch_resume(w, "me"));
	assert_false(watch_resume(w, "me"));
	run_for(x, 300);
	assert_int_equal(watch_state(w), WATCH_SUSPECT);
	watch_pause(w, 200, "short", "me");
	run_for(x, 100);
	assert_int_equal(watch_state(w), WATCH_PAUSED);
	run_for(x, 500);
	assert_int_equal(watch_state(w), WATCH_SUSPECT);
	watch_free(w);
}

/* ---- this host's own health ---- */

static void count(void *arg, int64_t gap_ms)
{
	assert_true(gap_ms >= WATCH_SELF_GAP_MS);
	++*(int *)arg;
}

static void test_standing_still(void **state)
{
	struct world *x = *state;
	int seen = 0;
	struct watch_self *s = watch_self_new(x->loop, count, &seen);

	assert_null(watch_self_why(s, 10000));
	run_for(x, 300);
	assert_false(watch_self_check(s));
	usleep((WATCH_SELF_GAP_MS + 200) * 1000);
	assert_true(watch_self_check(s));
	assert_false(watch_self_check(s));
	assert_int_equal(seen, 1);
	assert_non_null(strstr(watch_self_why(s, 10000), "stood still"));
	run_for(x, 200);
	assert_int_equal(seen, 1);
	assert_null(watch_self_why(s, 100));
	watch_self_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_is_complete),
		cmocka_unit_test(test_no_death_without_a_deadly_verdict),
		cmocka_unit_test_setup_teardown(test_nobody_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_is_not_dead, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ended_at_any_moment, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pause_survives, setup, teardown),
		cmocka_unit_test_setup_teardown(test_standing_still, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
