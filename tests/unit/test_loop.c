/* SPDX-License-Identifier: BSD-2-Clause */
/* loop: timers at their instants, posts in order, nothing used after it is freed. */
#include "loop.h"
#include "clock.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static struct loop *l;
static char order[64];

static int setup(void **state)
{
	(void)state;
	l = loop_new();
	memset(order, 0, sizeof(order));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	loop_free(l);
	return 0;
}

#define CH(c) ((void *)(uintptr_t)(c))

static void note(void *arg)
{
	order[strlen(order)] = (char)(uintptr_t)arg;
}

static void stop(void *arg)
{
	(void)arg;
	loop_stop(l);
}

static void run_for(int64_t ms)
{
	struct loop_timer *t = loop_timer_new(l, clock_in(ms), stop, NULL);

	loop_run(l);
	loop_timer_free(t);
}

static int64_t fired_at;

static void note_time(void *arg)
{
	(void)arg;
	fired_at = clock_ms();
	loop_stop(l);
}

static void timer_is_exact(void **state)
{
	int64_t worst = 0;

	(void)state;
	for (int ms = 0; ms < 40; ms += 3) {
		int64_t at = clock_in(ms);
		struct loop_timer *t = loop_timer_new(l, at, note_time, NULL);

		loop_run(l);
		assert_true(fired_at >= at);
		worst = fired_at - at > worst ? fired_at - at : worst;
		loop_timer_free(t);
	}
	assert_in_range(worst, 0, 250);
}

/* A turn that took long must not make timers early or late. */
static void timer_after_a_slow_turn(void **state)
{
	struct loop_timer *t = loop_timer_new(l, CLOCK_NEVER, note_time, NULL);
	int64_t at;

	(void)state;
	run_for(1);
	usleep(60000);
	at = clock_in(30);
	loop_timer_move(t, at);
	loop_run(l);
	assert_in_range(fired_at, at, at + 250);
	loop_timer_free(t);
}

static void timer_moves(void **state)
{
	struct loop_timer *a = loop_timer_new(l, clock_in(20), note, CH('a'));
	struct loop_timer *b = loop_timer_new(l, clock_in(40), note, CH('b'));
	struct loop_timer *c = loop_timer_new(l, clock_in(30), note, CH('c'));
	struct loop_timer *past = loop_timer_new(l, clock_in(-500), note, CH('p'));

	(void)state;
	loop_timer_move(a, clock_in(60));
	loop_timer_move(c, CLOCK_NEVER);
	run_for(90);
	assert_string_equal(order, "pba");
	loop_timer_move(c, clock_in(5));
	run_for(30);
	assert_string_equal(order, "pbac");
	loop_timer_free(a);
	loop_timer_free(b);
	loop_timer_free(c);
	loop_timer_free(past);
	loop_timer_free(NULL);
}

static struct loop_timer *own;

static void free_myself(void *arg)
{
	note(arg);
	loop_timer_free(own);
}

static void timer_freed_by_its_callback(void **state)
{
	(void)state;
	own = loop_timer_new(l, clock_in(1), free_myself, CH('x'));
	run_for(10);
	assert_string_equal(order, "x");
}

static int fds[2];

static void on_io(void *arg, int events)
{
	char c;

	(void)arg;
	if (events & LOOP_WRITE)
		note(CH('w'));
	if (events & LOOP_READ && read(fds[0], &c, 1) == 1)
		note(CH('r'));
	loop_stop(l);
}

static void io_events(void **state)
{
	struct loop_io *r, *w;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	r = loop_io_new(l, fds[0], LOOP_READ, on_io, NULL);
	w = loop_io_new(l, fds[1], LOOP_WRITE, on_io, NULL);
	loop_run(l);
	loop_io_set(w, 0);
	assert_int_equal(write(fds[1], "1", 1), 1);
	loop_run(l);
	assert_string_equal(order, "wr");
	loop_io_set(r, 0);
	assert_int_equal(write(fds[1], "2", 1), 1);
	run_for(10);
	assert_string_equal(order, "wr");
	loop_io_set(r, LOOP_READ);
	loop_run(l);
	assert_string_equal(order, "wrr");
	loop_io_free(r);
	loop_io_free(w);
	loop_io_free(NULL);
	close(fds[0]);
	close(fds[1]);
}

static void on_signal(void *arg, int signo)
{
	assert_int_equal(signo, SIGUSR1);
	note(arg);
	loop_stop(l);
}

static void signals(void **state)
{
	struct loop_signal *s = loop_signal_new(l, SIGUSR1, on_signal, CH('s'));

	(void)state;
	kill(getpid(), SIGUSR1);
	loop_run(l);
	assert_string_equal(order, "s");
	loop_signal_free(s);
	loop_signal_free(NULL);
}

enum { POSTS = 2000, POSTERS = 4 };
static size_t seen[POSTERS], total;

struct posted {
	size_t from, number;
};

static void on_post(void *arg)
{
	struct posted *p = arg;

	assert_int_equal(seen[p->from], p->number);
	seen[p->from]++;
	loop_defer_free(l, p);
	if (++total == (size_t)POSTS * POSTERS)
		loop_stop(l);
}

static void *poster(void *arg)
{
	for (size_t i = 0; i < POSTS; i++) {
		struct posted *p = xmalloc(sizeof(*p));

		*p = (struct posted){ (size_t)(uintptr_t)arg, i };
		loop_post(l, on_post, p);
	}
	return NULL;
}

static void posts_in_order(void **state)
{
	pthread_t t[POSTERS];

	(void)state;
	for (size_t i = 0; i < POSTERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, poster, (void *)i), 0);
	loop_run(l);
	for (size_t i = 0; i < POSTERS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(total, POSTS * POSTERS);
}

static void post_again(void *arg)
{
	note(CH('1'));
	loop_post(l, note, arg);
}

/* Arguments of posts belong to somebody: they are delivered even when nobody runs the loop any
 * more. */
static void posts_survive_the_loop(void **state)
{
	(void)state;
	loop_post(l, post_again, CH('2'));
	loop_free(l);
	assert_string_equal(order, "12");
	l = loop_new();
}

static void defer_then_use(void *arg)
{
	loop_defer_free(l, arg);
	strcpy(arg, "still there");
	note(CH('d'));
}

static void deferred_free(void **state)
{
	(void)state;
	loop_post(l, defer_then_use, xmalloc(64));
	run_for(5);
	loop_defer_free(l, xmalloc(64));
	assert_string_equal(order, "d");
}

/* libev's default loop would reap this child. */
static void children_are_left_alone(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (!pid)
		_exit(3);
	run_for(30);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 3);
}

static void be_slow(void *arg)
{
	note(arg);
	usleep((LOOP_SLOW_MS + 30) * 1000);
}

static char slow_kind[16];
static int64_t slow_turn, slow_callback;

static void on_slow(void *arg, const char *kind, int64_t turn_ms, int64_t callback_ms)
{
	note(arg);
	strcpy(slow_kind, kind);
	slow_turn = turn_ms;
	slow_callback = callback_ms;
}

/* Other callbacks of the turn have their own time; the slow one is named. */
static void slow_turns_are_told(void **state)
{
	struct loop_timer *t = loop_timer_new(l, clock_in(10), be_slow, CH('t')), *late;

	(void)state;
	loop_on_slow(l, on_slow, CH('!'));
	run_for(200);
	assert_string_equal(order, "t!");
	assert_string_equal(slow_kind, "timer");
	assert_true(slow_callback >= LOOP_SLOW_MS + 30 && slow_turn >= slow_callback);
	assert_int_equal(loop_stats(l).slow_turns, 1);
	assert_true(loop_stats(l).longest_us >= slow_turn * 1000);
	loop_post(l, be_slow, CH('p'));
	late = loop_timer_new(l, clock_in(20), note, CH('l'));
	run_for(200);
	assert_string_equal(slow_kind, "post");
	assert_int_equal(loop_stats(l).slow_turns, 2);
	assert_true(loop_stats(l).late_ms >= LOOP_SLOW_MS);
	loop_on_slow(l, NULL, NULL);
	loop_timer_free(t);
	loop_timer_free(late);
}

static int64_t turn_of_callback;

static void look_at_turn(void *arg)
{
	(void)arg;
	turn_of_callback = loop_turn_started(l);
}

/* A stopped process, as its loop sees it: far from one turn to the next. */
static void a_gap_between_turns_shows(void **state)
{
	struct loop_timer *t = loop_timer_new(l, clock_in(5), look_at_turn, NULL);
	pid_t me = getpid(), helper;
	int64_t before;

	(void)state;
	run_for(20);
	before = turn_of_callback;
	assert_true(before > 0 && before <= clock_ms());
	helper = fork();
	if (!helper) {
		usleep(20000);
		kill(me, SIGSTOP);
		usleep(300000);
		kill(me, SIGCONT);
		_exit(0);
	}
	loop_timer_move(t, clock_in(100));
	run_for(150);
	waitpid(helper, NULL, 0);
	assert_true(turn_of_callback - before >= 300);
	assert_true(loop_stats(l).late_ms >= 100);
	assert_true(loop_stats(l).turns >= 3);
	loop_timer_free(t);
}

/* What was due before it was asked for is not late. */
static void a_timer_of_the_past_is_not_late(void **state)
{
	struct loop_timer *t = loop_timer_new(l, clock_in(-60000), note, CH('t'));

	(void)state;
	run_for(10);
	assert_string_equal(order, "t");
	assert_in_range(loop_stats(l).late_ms, 0, 1000);
	loop_timer_free(t);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(timer_is_exact),
		TEST(timer_after_a_slow_turn),
		TEST(timer_moves),
		TEST(timer_freed_by_its_callback),
		TEST(io_events),
		TEST(signals),
		TEST(posts_in_order),
		TEST(posts_survive_the_loop),
		TEST(deferred_free),
		TEST(children_are_left_alone),
		TEST(slow_turns_are_told),
		TEST(a_gap_between_turns_shows),
		TEST(a_timer_of_the_past_is_not_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
