/* SPDX-License-Identifier: BSD-2-Clause */
/* test_fleet - files come, change, break and go; watches that nobody touched go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "clock.h"
#include "fleet_impl.h"
#include "job.h"
#include "link.h"
#include "log.h"
#include "loop.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct world {
	char dir[64];
	char state_dir[80];
	struct loop *loop;
	struct job_pool *jobs;
	struct link_room *links;
	struct fleet *fleet;
	size_t clusters;
	struct str changed, problems; /* of the last reading */
	bool loaded;
};

static void put(const struct world *x, const char *file, const char *text)
{
	AUTO(free) char *path = xasprintf("%s/clusters.d/%s", x->dir, file);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, 0600), 0);
}

static void take_away(const struct world *x, const char *file)
{
	AUTO(free) char *path = xasprintf("%s/clusters.d/%s", x->dir, file);

	assert_int_equal(unlink(path), 0);
}

/* Nothing listens there. */
static void put_cluster(const struct world *x, const char *file, int interval_ms)
{
	AUTO(free)
	char *text =
	        xasprintf("defaults = { user = \"u\"; password = \"p\"; ping_interval = \"%dms\"; "
	                  "ssh_port = 1; };\n"
	                  "servers = ( { name = \"a\"; hostname = \"127.0.0.1\"; port = 1; },\n"
	                  "            { name = \"b\"; hostname = \"127.0.0.1\"; port = 2; } );\n",
	                interval_ms);

	put(x, file, text);
}

static void join(struct str *s, const json_t *list)
{
	const json_t *one;
	size_t i;

	str_clear(s);
	json_array_foreach(list, i, one) str_addf(s, "%s%s", i ? "; " : "", json_string_value(one));
}

static void on_loaded(void *arg, const struct fleet_loaded *r)
{
	struct world *x = arg;

	x->clusters = r->clusters;
	x->loaded = true;
	join(&x->changed, r->changed);
	join(&x->problems, r->problems);
	loop_stop(x->loop);
}

static void load(struct world *x)
{
	x->loaded = false;
	fleet_load(x->fleet, on_loaded, x);
	assert_false(x->loaded);
	while (!x->loaded)
		loop_run(x->loop);
}

static int setup(void **state)
{
	struct world *x = xzalloc(sizeof(*x));
	AUTO(free) char *sub = NULL;
	struct fleet_opts o = { .confdir = x->dir, .state_dir = x->state_dir };

	snprintf(x->dir, sizeof(x->dir), "/tmp/test_fleet.XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	snprintf(x->state_dir, sizeof(x->state_dir), "%s/state", x->dir);
	sub = xasprintf("%s/clusters.d", x->dir);
	assert_int_equal(mkdir(sub, 0700) | mkdir(x->state_dir, 0700), 0);
	str_init(&x->changed);
	str_init(&x->problems);
	log_set_level(LOG_LV_ERROR);
	assert_true(log_open_file("/dev/null", NULL));
	x->loop = loop_new();
	x->jobs = job_pool_new(x->loop, 16);
	x->links = link_room_new(x->loop, 8);
	x->fleet = fleet_new(x->loop, x->jobs, x->links, &o);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct world *x = *state;
	AUTO(free) char *rm = xasprintf("rm -rf %s", x->dir);

	fleet_free(x->fleet);
	assert_true(link_room_free(x->links, clock_in(5000)));
	job_pool_free(x->jobs);
	loop_free(x->loop);
	str_done(&x->changed);
	str_done(&x->problems);
	assert_int_equal(system(rm), 0);
	free(x);
	return 0;
}

static void test_empty(void **state)
{
	struct world *x = *state;
	char line[80];

	load(x);
	assert_int_equal(x->clusters, 0);
	fleet_line(x->fleet, line, sizeof(line));
	assert_string_equal(line, "watching 0 clusters");
}

static void test_files_come_change_and_go(void **state)
{
	struct world *x = *state;
	const struct watch *a, *b;

	put_cluster(x, "b.conf", 1000);
	put_cluster(x, "a.conf", 1000);
	put_cluster(x, ".hidden.conf", 1000);
	put_cluster(x, "a.conf.bak", 1000);
	load(x);
	assert_int_equal(x->clusters, 2);
	assert_string_equal(x->changed.p, "a: added; b: added");
	assert_string_equal(x->problems.p, "");
	a = fleet_find(x->fleet, "a")->watch;
	b = fleet_find(x->fleet, "b")->watch;

	put_cluster(x, "b.conf", 2000);
	load(x);
	assert_string_equal(x->changed.p, "b: changed");
	assert_ptr_equal(fleet_find(x->fleet, "a")->watch, a);
	assert_int_equal(
	        watch_conf(fleet_find(x->fleet, "b")->watch)->servers[0]->ping_interval, 2000);
	(void)b;

	take_away(x, "a.conf");
	load(x);
	assert_string_equal(x->changed.p, "a: removed");
	assert_null(fleet_find(x->fleet, "a"));
	assert_int_equal(x->clusters, 1);
}

static void test_broken_file(void **state)
{
	struct world *x = *state;
	const struct watch *good;

	put_cluster(x, "good.conf", 1000);
	put(x, "bad.conf", "nonsense = 1;\n");
	load(x);
	assert_int_equal(x->clusters, 1);
	assert_non_null(strstr(x->problems.p, "bad.conf"));
	assert_null(fleet_find(x->fleet, "bad")->watch);
	assert_non_null(fleet_find(x->fleet, "bad")->problem);

	/* Broken later: it goes on with what it had, and picks up when mended. */
	good = fleet_find(x->fleet, "good")->watch;
	put(x, "good.conf", "defaults = {");
	put_cluster(x, "bad.conf", 1000);
	load(x);
	assert_string_equal(x->changed.p, "bad: changed");
	assert_ptr_equal(fleet_find(x->fleet, "good")->watch, good);
	assert_non_null(fleet_find(x->fleet, "good")->problem);
	put_cluster(x, "good.conf", 1000);
	load(x);
	assert_string_equal(x->changed.p, "");
	assert_ptr_equal(fleet_find(x->fleet, "good")->watch, good);
	assert_null(fleet_find(x->fleet, "good")->problem);
}

static void test_two_files_of_one_name(void **state)
{
	struct world *x = *state;

	put_cluster(x, "a.conf", 1000);
	put(x, "a.cnf",
	        "[server1]\nhostname=127.0.0.1\nport=1\n[server2]\nhostname=127.0.0.1\nport=2\n");
	load(x);
	assert_int_equal(x->clusters, 1);
	assert_non_null(strstr(x->problems.p, "another file of this name"));
}

/* Two at once: the second is served after the first, and sees what came meanwhile. */
static void test_two_readings(void **state)
{
	struct world *x = *state;

	put_cluster(x, "a.conf", 1000);
	fleet_load(x->fleet, on_loaded, x);
	fleet_load(x->fleet, on_loaded, x);
	loop_run(x->loop);
	assert_string_equal(x->changed.p, "a: added");
	put_cluster(x, "b.conf", 1000);
	loop_run(x->loop);
	assert_string_equal(x->changed.p, "b: added");
}

static void test_ended_while_reading(void **state)
{
	struct world *x = *state;

	put_cluster(x, "a.conf", 1000);
	fleet_load(x->fleet, on_loaded, x);
	(void)x;
}

static void stop(void *arg)
{
	loop_stop(arg);
}

static void test_ended_in_the_middle_of_reading(void **state)
{
	struct world *x = *state;
	struct loop_timer *t;

	for (int i = 0; i < 40; i++) {
		AUTO(free) char *file = xasprintf("c%d.conf", i);

		put_cluster(x, file, 1000);
	}
	fleet_load(x->fleet, on_loaded, x);
	t = loop_timer_new(x->loop, clock_in(3), stop, x->loop);
	loop_run(x->loop);
	loop_timer_free(t);
}

static void test_same_conf_sees_each_setting(void **state)
{
	struct world *x = *state;
	struct conf_server s, *servers[1] = { &s };
	struct conf c, d;
	const struct conf *old;

	put_cluster(x, "a.conf", 1000);
	load(x);
	old = fleet_find(x->fleet, "a")->conf;
	c = d = *old;
	assert_true(fleet_same_conf(&c, &d));
	s = *old->servers[0];
	d.n_servers = c.n_servers = 1;
	d.servers = (const struct conf_server *const *)servers;
	assert_true(fleet_same_conf(&c, &d));
	s.password = "other";
	assert_false(fleet_same_conf(&c, &d));
	s = *old->servers[0];
	s.candidate_master = !s.candidate_master;
	assert_false(fleet_same_conf(&c, &d));
	s = *old->servers[0];
	s.witnesses = "w1";
	assert_false(fleet_same_conf(&c, &d));
	d = *old;
	d.n_servers = 1;
	assert_false(fleet_same_conf(old, &d));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_empty),
		TEST(test_files_come_change_and_go),
		TEST(test_broken_file),
		TEST(test_two_files_of_one_name),
		TEST(test_two_readings),
		TEST(test_ended_while_reading),
		TEST(test_ended_in_the_middle_of_reading),
		TEST(test_same_conf_sees_each_setting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
