/* SPDX-License-Identifier: BSD-2-Clause */
/* test_notify - messages outlive mhad, come in their order, and do not wait for those of other clusters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "clock.h"
#include "hook.h"
#include "job.h"
#include "log.h"
#include "loop.h"
#include "notify_impl.h"
#include "str.h"

struct world {
	char dir[32], script[64], out[64];
	struct loop *loop;
	struct job_pool *jobs;
	struct notify *notify;
	struct conf_server server;
	int64_t until;
	size_t wanted; /* bytes of the output */
};

static const struct conf_server *find(void *arg, const char *cluster, const char *server)
{
	struct world *w = arg;

	(void)cluster;
	return str_is(server, "server1") ? &w->server : NULL;
}

static int set_up(void **state)
{
	struct world *w = xzalloc(sizeof(*w));
	FILE *f;

	log_set_level(LOG_LV_ERROR + 1);
	strcpy(w->dir, "/tmp/notify-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->script, sizeof(w->script), "%s/script", w->dir);
	snprintf(w->out, sizeof(w->out), "%s/out", w->dir);
	f = fopen(w->script, "w");
	assert_non_null(f);
	fprintf(f,
	        "#!/bin/sh\n[ ! -e %s/no ] || exit 3\nfor a; do printf '%%s|' \"$a\"; done >>%s\n",
	        w->dir, w->out);
	fclose(f);
	chmod(w->script, 0755);
	w->server = (struct conf_server){ .id = "server1",
		.hostname = "db1",
		.block_file = "/f",
		.report_script = w->script,
		.report_on = CONF_REPORT_ALL,
		.hook_timeout = 5000 };
	w->loop = loop_new();
	w->jobs = job_pool_new(w->loop, 4);
	w->notify = notify_new(w->loop, w->jobs, w->dir, find, w);
	*state = w;
	return 0;
}

static void end_queue(struct world *w)
{
	notify_free(w->notify);
	job_wait_all(w->jobs);
	w->notify = NULL;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	AUTO(free) char *command = xasprintf("rm -r %s", w->dir);

	end_queue(w);
	job_pool_free(w->jobs);
	loop_free(w->loop);
	free(w);
	return system(command);
}

static char *read_out(const struct world *w)
{
	char *text = xzalloc(4096);
	FILE *f = fopen(w->out, "r");
	size_t n = f ? fread(text, 1, 4095, f) : 0;

	text[n] = '\0';
	if (f)
		fclose(f);
	return text;
}

static void put(struct world *w, const char *cluster, const char *subject)
{
	notify_put(
	        w->notify, cluster, &w->server, hook_report(&w->server, "c", subject, "b\xff\n"));
}

static size_t count_left(const struct world *w, const char *cluster)
{
	char **all = notify_msg_list(w->dir, cluster);
	size_t n = 0;

	for (; all[n]; n++)
		free(all[n]);
	free(all);
	return n;
}

/* Until so many files are left of c1. */
struct waiting {
	struct world *w;
	size_t left;
	int64_t until;
	struct loop_timer *timer;
};

static void look(void *arg)
{
	struct waiting *x = arg;

	if (count_left(x->w, "c1") == x->left || clock_ms() > x->until)
		loop_stop(x->w->loop);
	else
		loop_timer_move(x->timer, clock_in(10));
}

static void wait_for(struct world *w, size_t left, int64_t least_ms)
{
	struct waiting x = { .w = w, .left = left, .until = clock_in(5000) };

	x.timer = loop_timer_new(w->loop, clock_in(least_ms), look, &x);
	loop_run(w->loop);
	loop_timer_free(x.timer);
	assert_int_equal(count_left(w, "c1"), left);
}

#define SENT(subject) "--orig_master_host=db1|--conf=c|--subject=" subject "|--body=b\xff\n|"

static void in_their_order(void **state)
{
	struct world *w = *state;
	AUTO(free) char *text = NULL;

	put(w, "c1", "one");
	put(w, "c1", "two");
	put(w, "c1", "three");
	wait_for(w, 0, 300);
	text = read_out(w);
	assert_string_equal(text, SENT("one") SENT("two") SENT("three"));
}

/* The script fails; a queue of another process sends both, byte for byte. */
static void they_outlive_a_process(void **state)
{
	struct world *w = *state;
	AUTO(free) char *text = NULL, *no = xasprintf("%s/no", w->dir);
	FILE *f = fopen(no, "w");

	assert_non_null(f);
	fclose(f);
	put(w, "c1", "one");
	put(w, "c1", "two");
	wait_for(w, 2, 300);
	end_queue(w);
	assert_int_equal(unlink(no), 0);
	w->notify = notify_new(w->loop, w->jobs, w->dir, find, w);
	notify_take_up(w->notify, "c1");
	wait_for(w, 0, 10);
	text = read_out(w);
	assert_string_equal(text, SENT("one") SENT("two"));
}

static void one_call_for_a_script_of_mha(void **state)
{
	struct world *w = *state;
	AUTO(free) char *no = xasprintf("%s/no", w->dir);
	FILE *f = fopen(no, "w");

	assert_non_null(f);
	fclose(f);
	w->server.report_on = CONF_REPORT_END;
	put(w, "c1", "one");
	wait_for(w, 0, 200);
}

/* c1 waits for its script; c2 does not wait for c1. */
static void clusters_do_not_wait_for_one_another(void **state)
{
	struct world *w = *state;
	AUTO(free) char *text = NULL;
	FILE *f = fopen(w->script, "w");

	assert_non_null(f);
	fprintf(f, "#!/bin/sh\ncase $3 in *slow) sleep 1;; esac\nprintf '%%s ' \"$3\" >>%s\n",
	        w->out);
	fclose(f);
	put(w, "c1", "slow");
	put(w, "c1", "second");
	put(w, "c2", "other");
	wait_for(w, 0, 300);
	text = read_out(w);
	assert_string_equal(text, "--subject=other --subject=slow --subject=second ");
}

static void a_script_that_is_gone(void **state)
{
	struct world *w = *state;

	w->server.id = "server9";
	put(w, "c1", "one");
	wait_for(w, 0, 200);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(in_their_order),
		T(they_outlive_a_process),
		T(one_call_for_a_script_of_mha),
		T(clusters_do_not_wait_for_one_another),
		T(a_script_that_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
