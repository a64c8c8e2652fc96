/* SPDX-License-Identifier: BSD-2-Clause */
/* control: requests meet handlers; what is malformed, too much, too slow or not allowed changes nothing. */
#include "control.h"
#include "clock.h"
#include "control_line.h"
#include "loop.h"
#include "str.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { PATIENCE_MS = 10000 };

static struct loop *l;
static struct control *control;
static char dir[64], path[100];
static int acts, echoes, cancels;
static struct control_call *kept[64];
static int n_kept;
static char who[128];

/* ---- handlers --------------------------------------------------------------------------------- */

static void echo(struct control_call *call, const json_t *args)
{
	echoes++;
	control_answer(call, json_deep_copy(args));
}

static void act(struct control_call *call, const json_t *args)
{
	(void)args;
	acts++;
	snprintf(who, sizeof(who), "%s", control_peer(call)->who);
	assert_string_equal(control_verb_name(call), "act");
	assert_ptr_equal(control_arg(call), &acts);
	control_answer(call, NULL);
}

static void keep(struct control_call *call, const json_t *args)
{
	(void)args;
	kept[n_kept++] = call;
}

static void canceled(struct control_call *call, void *arg)
{
	assert_ptr_equal(arg, &cancels);
	for (int i = 0; i < n_kept; i++) {
		if (kept[i] == call)
			kept[i] = NULL;
	}
	cancels++;
}

static void stream(struct control_call *call, const json_t *args)
{
	control_on_cancel(call, canceled, &cancels);
	keep(call, args);
}

static void big(struct control_call *call, const json_t *args)
{
	json_int_t n = 0;
	struct err e = { 0 };
	AUTO_STR struct str text = STR_INIT;

	if (!control_args(args, &e, "{s:I}", "bytes", &n)) {
		control_refuse(call, &e);
		return;
	}
	for (json_int_t i = 0; i < n; i++)
		str_addc(&text, 'x');
	control_answer(call, json_string(text.p));
}

static void refuse(struct control_call *call, const json_t *args)
{
	struct err e = { 0 };

	(void)args;
	err_set(&e, ERR_PRECOND, 5, "no \"cluster\"\n\xff here");
	err_at(&e, "db1");
	err_hint(&e, "type something else");
	control_refuse(call, &e);
}

static void unwritable(struct control_call *call, const json_t *args)
{
	(void)args;
	control_answer(call, json_stringn_nocheck("\xff\xfe", 2));
}

static const struct control_verb verbs[] = {
	{ "echo", CONTROL_READ, echo },
	{ "act", CONTROL_ADMIN, act },
	{ "keep", CONTROL_READ, keep },
	{ "stream", CONTROL_READ, stream },
	{ "big", CONTROL_READ, big },
	{ "fail", CONTROL_READ, refuse },
	{ "unwritable", CONTROL_READ, unwritable },
	{ 0 },
};

/* ---- a client of few words -------------------------------------------------------------------- */

struct client {
	int fd;
	struct str in;
	bool end;
};

static void start(const struct control_opts *o)
{
	struct err e = { 0 };

	control = control_new(l, -1, path, o, verbs, &acts, &e);
	if (!control)
		print_error("%s\n", e.text);
	assert_non_null(control);
}

static int setup(void **state)
{
	(void)state;
	l = loop_new();
	control = NULL;
	acts = echoes = cancels = n_kept = 0;
	memset(kept, 0, sizeof(kept));
	snprintf(dir, sizeof(dir), "/tmp/test_control.XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0755), 0);
	snprintf(path, sizeof(path), "%s/control", dir);
	return 0;
}

static int teardown(void **state)
{
	char lock[128];

	(void)state;
	control_free(control);
	loop_free(l);
	snprintf(lock, sizeof(lock), "%s.lock", path);
	unlink(lock);
	unlink(path);
	return rmdir(dir);
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

static int dial(const char *to)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", to);
	if (!connect(fd, (const struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	close(fd);
	return -1;
}

static void on_client(void *arg, int events)
{
	(void)arg;
	(void)events;
	loop_stop(l);
}

/* Let the loop run until the client can be read. */
static void wait_readable(int fd, int64_t deadline)
{
	struct loop_io *io = loop_io_new(l, fd, LOOP_READ, on_client, NULL);
	struct loop_timer *t = loop_timer_new(l, deadline, stop, NULL);

	loop_run(l);
	loop_timer_free(t);
	loop_io_free(io);
}

/* The next line, owned; NULL at the end of the connection. */
static char *line_of(struct client *c)
{
	int64_t deadline = clock_in(PATIENCE_MS);

	for (;;) {
		char *end = strchr(c->in.p, '\n'), *line;
		char buf[8192];
		ssize_t n;

		if (end) {
			line = xstrndup(c->in.p, (size_t)(end - c->in.p));
			memmove(c->in.p, end + 1, strlen(end + 1) + 1);
			c->in.len = strlen(c->in.p);
			return line;
		}
		if (c->end)
			return NULL;
		assert_true(clock_left(deadline) > 0);
		n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			wait_readable(c->fd, deadline);
		else if (n <= 0)
			c->end = true;
		else
			str_addn(&c->in, buf, (size_t)n);
	}
}

static void expect(struct client *c, const char *wanted)
{
	AUTO(free) char *line = line_of(c);

	assert_non_null(line);
	assert_string_equal(line, wanted);
}

/* An error with this id ("null" or digits) whose line contains `part`. */
static void expect_error(struct client *c, const char *id, const char *part)
{
	AUTO(free) char *line = line_of(c);
	AUTO(free) char *begin = xasprintf("{\"id\":%s,\"ok\":false,\"error\":{\"kind\":\"", id);

	assert_non_null(line);
	if (!str_starts(line, begin) || !strstr(line, part))
		fail_msg("%s: no %s with %s", line, begin, part);
}

static void expect_end(struct client *c)
{
	AUTO(free) char *line = line_of(c);

	assert_null(line);
}

static void meet(struct client *c)
{
	AUTO(free) char *line = NULL;

	c->fd = dial(path);
	assert_true(c->fd >= 0);
	c->end = false;
	str_init(&c->in);
	line = line_of(c);
	assert_string_equal(line, "{\"mhad\":\"" MHAD_VERSION "\",\"protocol\":1}");
}

static void sendn(struct client *c, const void *bytes, size_t n)
{
	const char *p = bytes;

	while (n) {
		ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0) {
			assert_int_equal(errno, EAGAIN);
			run_for(1);
			continue;
		}
		p += sent;
		n -= (size_t)sent;
	}
}

static void say(struct client *c, const char *text)
{
	sendn(c, text, strlen(text));
}

static void leave(struct client *c)
{
	close(c->fd);
	str_done(&c->in);
}

static void wait_count(const int *what, int n)
{
	for (int64_t deadline = clock_in(PATIENCE_MS); *what < n && clock_left(deadline);)
		run_for(2);
	assert_int_equal(*what, n);
}

/* ---- requests --------------------------------------------------------------------------------- */

static void a_request_is_answered(void **state)
{
	struct client c;

	(void)state;
	start(&(struct control_opts){ 0 });
	meet(&c);
	say(&c, "{\"id\":7,\"verb\":\"echo\",\"args\":{\"a\":[1,\"\xc3\xa9\"]}}\n");
	expect(&c, "{\"id\":7,\"ok\":true,\"value\":{\"a\":[1,\"\xc3\xa9\"]}}");
	say(&c, " {\"verb\":\"act\",\"id\":0} \r\n");
	expect(&c, "{\"id\":0,\"ok\":true,\"value\":null}");
	assert_int_equal(acts, 1);
	assert_non_null(strstr(who, "(uid "));
	leave(&c);
}

static void bytes_may_come_one_by_one(void **state)
{
	static const char text[] = "{\"id\":1,\"verb\":\"act\"}\n{\"id\":2,\"verb\":\"echo\"}\n";
	struct client c;

	(void)state;
	start(&(struct control_opts){ 0 });
	meet(&c);
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		sendn(&c, text + i, 1);
		run_for(1);
	}
	expect(&c, "{\"id\":1,\"ok\":true,\"value\":null}");
	expect(&c, "{\"id\":2,\"ok\":true,\"value\":{}}");
	leave(&c);
}

static void errors_are_answered(void **state)
{
	struct client c;

	(void)state;
	start(&(struct control_opts){ 0 });
	meet(&c);
	say(&c, "{\"id\":1,\"verb\":\"fail\"}\n");
	expect(&c,
	        "{\"id\":1,\"ok\":false,\"error\":{\"kind\":\"precondition\",\"code\":5,\"host\":"
	        "\"db1\","
	        "\"text\":\"no \\\"cluster\\\" \\ufffd here\",\"hint\":\"type something "
	        "else\"}}");
	say(&c, "{\"id\":2,\"verb\":\"unwritable\"}\n");
	expect_error(&c, "2", "cannot be written");
	say(&c, "{\"id\":3,\"verb\":\"pauze\"}\n");
	expect_error(&c, "3", "it knows echo, act, ");
	say(&c, "{\"id\":4,\"verb\":\"big\",\"args\":{\"bytes\":3,\"bits\":1}}\n");
	expect_error(&c, "4", "bits");
	say(&c, "{\"id\":5,\"verb\":\"big\",\"args\":{\"bytes\":3}}\n");
	expect(&c, "{\"id\":5,\"ok\":true,\"value\":\"xxx\"}");
	leave(&c);
}

static const struct {
	const char *line, *id, *part;
	size_t n; /* 0: up to the NUL */
} bad_lines[] = {
	{ "", "null", "not JSON", 0 },
	{ "status", "null", "not JSON", 0 },
	{ "GET / HTTP/1.1", "null", "not JSON", 0 },
	{ "{\"id\":1,\"verb\":\"act\"} {}", "null", "not JSON", 0 },
	{ "{\"id\":1,\"verb\":\"act\"", "null", "not JSON", 0 },
	{ "{\"id\":1,\"id\":2,\"verb\":\"act\"}", "null", "duplicate", 0 },
	{ "{\"id\":1,\"verb\":\"act\",\"args\":{\"a\":1,\"a\":2}}", "null", "duplicate", 0 },
	{ "{\"id\":1,\"verb\":\"act\",\"args\":{\"a\":\"\xff\"}}", "null", "not JSON", 0 },
	{ "{\"id\":1,\"verb\":\"act\",\"args\":{\"a\":\"\xed\xa0\x80\"}}", "null", "not JSON", 0 },
	{ "{\"id\":1,\"verb\":\"act\",\"args\":{\"a\":\"\\u0000\"}}", "null", "not JSON", 0 },
	{ "{\"id\":1,\"verb\":\"act\0\"}", "null", "not JSON", 22 },
	{ "{\"id\":1,\"verb\":\"act\"}\0", "null", "not JSON", 22 },
	{ "\0\1\2\3\xff\xfe\0", "null", "not JSON", 7 },
	{ "[{\"id\":1,\"verb\":\"act\"}]", "null", "object", 0 },
	{ "null", "null", "not JSON", 0 },
	{ "7", "null", "not JSON", 0 },
	{ "{\"verb\":\"act\"}", "null", "\\\"id\\\"", 0 },
	{ "{\"id\":-1,\"verb\":\"act\"}", "null", "\\\"id\\\"", 0 },
	{ "{\"id\":1.5,\"verb\":\"act\"}", "null", "\\\"id\\\"", 0 },
	{ "{\"id\":\"1\",\"verb\":\"act\"}", "null", "\\\"id\\\"", 0 },
	{ "{\"id\":9007199254740993,\"verb\":\"act\"}", "null", "\\\"id\\\"", 0 },
	{ "{\"id\":99999999999999999999,\"verb\":\"act\"}", "null", "not JSON", 0 },
	{ "{\"id\":1}", "1", "\\\"verb\\\"", 0 },
	{ "{\"id\":1,\"verb\":7}", "1", "\\\"verb\\\"", 0 },
	{ "{\"id\":1,\"verb\":\"\"}", "1", "\\\"verb\\\"", 0 },
	{ "{\"id\":1,\"verb\":\"ACT\"}", "1", "\\\"verb\\\"", 0 },
	{ "{\"id\":1,\"verb\":\"act\\n\"}", "1", "\\\"verb\\\"", 0 },
	{ "{\"id\":1,\"verb\":\"act\",\"args\":[]}", "1", "\\\"args\\\"", 0 },
	{ "{\"id\":1,\"verb\":\"act\",\"args\":null}", "1", "\\\"args\\\"", 0 },
	{ "{\"id\":1,\"verb\":\"act\",\"arg\":{}}", "1", "not \\\"arg\\\"", 0 },
	{ "{\"id\":1,\"verb\":\"acts\"}", "1", "no verb", 0 },
};

static void malformed_lines_change_nothing(void **state)
{
	struct client c;

	(void)state;
	start(&(struct control_opts){ 0 });
	meet(&c);
	for (size_t i = 0; i < ARRAY_LEN(bad_lines); i++) {
		size_t n = bad_lines[i].n ? bad_lines[i].n : strlen(bad_lines[i].line);

		sendn(&c, bad_lines[i].line, n);
		say(&c, "\n");
		expect_error(&c, bad_lines[i].id, bad_lines[i].part);
	}
	assert_int_equal(acts, 0);
	say(&c, "{\"id\":1,\"verb\":\"act\"}\n");
	expect(&c, "{\"id\":1,\"ok\":true,\"value\":null}");
	leave(&c);
}

static void add_nested(struct str *s, int levels)
{
	str_add(s, "{\"id\":1,\"verb\":\"echo\",\"args\":{\"a[\":\"\\\"[{\",\"a\":");
	for (int i = 2; i < levels; i++)
		str_addc(s, '[');
	for (int i = 2; i < levels; i++)
		str_addc(s, ']');
	str_add(s, "}}\n");
}

static void depth_is_bounded(void **state)
{
	AUTO_STR struct str s = STR_INIT;
	struct client c;

	(void)state;
	start(&(struct control_opts){ 0 });
	meet(&c);
	add_nested(&s, 17);
	add_nested(&s, 16);
	add_nested(&s, 20000);
	say(&c, s.p);
	expect_error(&c, "null", "levels");
	free(line_of(&c));
	assert_int_equal(echoes, 1);
	expect_error(&c, "null", "levels");
	leave(&c);
}

static void a_long_line_ends_the_connection(void **state)
{
	AUTO_STR struct str s = STR_INIT;
	struct client c, d;

	(void)state;
	start(&(struct control_opts){ .max_line = 1000 });
	meet(&c);
	meet(&d);
	str_add(&s, "{\"id\":1,\"verb\":\"act\"");
	while (s.len < 999)
		str_addc(&s, ' ');
	str_add(&s, "}\n"); /* 1000 bytes and the newline */
	say(&c, s.p);
	expect(&c, "{\"id\":1,\"ok\":true,\"value\":null}");
	str_cut(&s, s.len - 2);
	str_add(&s, " }\n{\"id\":2,\"verb\":\"act\"}\n");
	say(&c, s.p);
	expect_error(&c, "null", "too long");
	expect_end(&c);
	for (int i = 0; i < 100; i++) {
		if (send(d.fd, s.p, 900, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
		run_for(1);
	}
	expect_error(&d, "null", "too long");
	expect_end(&d);
	assert_int_equal(acts, 1);
	leave(&c);
	leave(&d);
}

/* ---- many at once ----------------------------------------------------------------------------- */

static void a_flood_lets_others_pass(void **state)
{
	AUTO_STR struct str s = STR_INIT;
	struct client c, d;

	(void)state;
	start(&(struct control_opts){ 0 });
	meet(&c);
	meet(&d);
	for (int i = 0; i < 500; i++)
		str_addf(&s, "{\"id\":%d,\"verb\":\"act\"}\n", i);
	say(&c, s.p);
	say(&d, "{\"id\":1,\"verb\":\"echo\"}\n");
	expect(&d, "{\"id\":1,\"ok\":true,\"value\":{}}");
	assert_true(acts < 100);
	for (int i = 0; i < 500; i++) {
		AUTO(free) char *wanted = xasprintf("{\"id\":%d,\"ok\":true,\"value\":null}", i);

		expect(&c, wanted);
	}
	assert_int_equal(acts, 500);
	leave(&c);
	leave(&d);
}

static void answers_may_come_later_in_any_order(void **state)
{
	struct client c;

	(void)state;
	start(&(struct control_opts){ .max_requests = 3 });
	meet(&c);
	say(&c, "{\"id\":1,\"verb\":\"keep\"}\n{\"id\":2,\"verb\":\"stream\"}\n"
	        "{\"id\":3,\"verb\":\"keep\"}\n{\"id\":4,\"verb\":\"act\"}\n");
	expect_error(&c, "4", "not answered yet");
	assert_int_equal(acts, 0);
	assert_true(control_event(kept[1], json_integer(1)));
	control_answer(kept[2], json_integer(30));
	assert_true(control_event(kept[1], json_integer(2)));
	control_answer(kept[1], NULL);
	control_answer(kept[0], json_true());
	expect(&c, "{\"id\":2,\"event\":1}");
	expect(&c, "{\"id\":3,\"ok\":true,\"value\":30}");
	expect(&c, "{\"id\":2,\"event\":2}");
	expect(&c, "{\"id\":2,\"ok\":true,\"value\":null}");
	expect(&c, "{\"id\":1,\"ok\":true,\"value\":true}");
	say(&c, "{\"id\":4,\"verb\":\"act\"}\n");
	expect(&c, "{\"id\":4,\"ok\":true,\"value\":null}");
	leave(&c);
	run_for(20);
	assert_int_equal(cancels, 0);
}

static void a_client_that_leaves_cancels(void **state)
{
	struct client c;

	(void)state;
	start(&(struct control_opts){ 0 });
	meet(&c);
	say(&c, "{\"id\":1,\"verb\":\"stream\"}\n{\"id\":2,\"verb\":\"keep\"}\n"
	        "{\"id\":3,\"verb\":\"stream\"}\n{\"id\":4,\"verb\":\"echo\"}\n");
	expect(&c, "{\"id\":4,\"ok\":true,\"value\":{}}");
	leave(&c);
	wait_count(&cancels, 2);
	assert_null(kept[0]);
	assert_null(kept[2]);
	/* This one answers in any case: nobody hears it. */
	assert_false(control_event(kept[1], json_integer(1)));
	assert_int_equal(control_peer(kept[1])->pid, getpid());
	control_answer(kept[1], json_integer(2));
}

static void freeing_cancels(void **state)
{
	struct client c;

	(void)state;
	start(&(struct control_opts){ 0 });
	meet(&c);
	say(&c, "{\"id\":1,\"verb\":\"stream\"}\n{\"id\":2,\"verb\":\"keep\"}\n"
	        "{\"id\":3,\"verb\":\"keep\"}\n{\"id\":4,\"verb\":\"echo\"}\n");
	expect(&c, "{\"id\":4,\"ok\":true,\"value\":{}}");
	control_free(control);
	control = NULL;
	assert_int_equal(cancels, 1);
	assert_false(control_event(kept[2], json_integer(1)));
	control_answer(kept[1], NULL);
	control_answer(kept[2], NULL);
	expect_end(&c);
	leave(&c);
}

static void who_has_said_all_still_hears(void **state)
{
	struct client c, d;

	(void)state;
	start(&(struct control_opts){ 0 });
	meet(&c);
	say(&c, "{\"id\":1,\"verb\":\"stream\"}\n{\"id\":2,\"verb\":\"act\"}");
	shutdown(c.fd, SHUT_WR);
	expect_error(&c, "null", "no end");
	assert_int_equal(acts, 0);
	leave(&c);

	meet(&d);
	say(&d, "{\"id\":1,\"verb\":\"stream\"}\n");
	shutdown(d.fd, SHUT_WR);
	wait_count(&n_kept, 2);
	run_for(50);
	control_answer(TAKE(kept[1]), json_integer(5));
	expect(&d, "{\"id\":1,\"ok\":true,\"value\":5}");
	expect_end(&d);
	leave(&d);

	meet(&d);
	say(&d, "{\"id\":1,\"verb\":\"stream\"}\n");
	shutdown(d.fd, SHUT_WR);
	wait_count(&n_kept, 3);
	cancels = 0;
	leave(&d);
	wait_count(&cancels, 1);
}

static void clients_are_counted(void **state)
{
	struct client c[3], late;

	(void)state;
	start(&(struct control_opts){ .max_clients = 3 });
	for (int i = 0; i < 3; i++)
		meet(&c[i]);
	meet(&late);
	expect_error(&late, "null", "3 clients");
	expect_end(&late);
	leave(&late);
	leave(&c[1]);
	run_for(20);
	meet(&c[1]);
	say(&c[1], "{\"id\":1,\"verb\":\"echo\"}\n");
	expect(&c[1], "{\"id\":1,\"ok\":true,\"value\":{}}");
	for (int i = 0; i < 3; i++)
		leave(&c[i]);
}

static void clients_that_vanish(void **state)
{
	struct client c;

	(void)state;
	start(&(struct control_opts){ 0 });
	for (int i = 0; i < 300; i++) {
		int fd = dial(path);

		if (i % 3 == 1)
			assert_true(send(fd, "{\"id\":1,\"verb\":\"act\"", 20, MSG_NOSIGNAL) > 0);
		if (i % 3 == 2)
			assert_true(send(fd, "\0\0\n", 3, MSG_NOSIGNAL) > 0);
		if (i % 20 == 0)
			run_for(1);
		close(fd);
	}
	meet(&c);
	say(&c, "{\"id\":1,\"verb\":\"echo\"}\n");
	expect(&c, "{\"id\":1,\"ok\":true,\"value\":{}}");
	assert_int_equal(acts, 0);
	leave(&c);
}

/* ---- slow ------------------------------------------------------------------------------------- */

static void half_a_line_has_a_deadline(void **state)
{
	struct client c;
	int64_t begin;

	(void)state;
	start(&(struct control_opts){ .half_line_ms = 100 });
	meet(&c);
	begin = clock_ms();
	/* Drops of it do not move the deadline. */
	for (int i = 0; i < 1000; i++) {
		if (send(c.fd, " ", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
		run_for(5);
	}
	assert_true(clock_ms() - begin >= 100 && clock_ms() - begin < 4000);
	expect_error(&c, "null", "the rest of a line");
	expect_end(&c);
	leave(&c);
}

static void silence_has_a_deadline(void **state)
{
	struct client c, waits;

	(void)state;
	start(&(struct control_opts){ .idle_ms = 100 });
	meet(&waits);
	say(&waits, "{\"id\":1,\"verb\":\"keep\"}\n");
	wait_count(&n_kept, 1);
	meet(&c);
	expect_error(&c, "null", "no request");
	expect_end(&c);
	control_answer(kept[0], NULL);
	expect(&waits, "{\"id\":1,\"ok\":true,\"value\":null}");
	expect_error(&waits, "null", "no request");
	leave(&c);
	leave(&waits);
}

static void a_slow_reader_of_events_is_cut_off(void **state)
{
	AUTO_STR struct str s = STR_INIT;
	struct client slow, other;
	int n = 0;

	(void)state;
	start(&(struct control_opts){ .max_output = 100000 });
	meet(&slow);
	meet(&other);
	say(&slow, "{\"id\":1,\"verb\":\"stream\"}\n");
	wait_count(&n_kept, 1);
	while (s.len < 1000)
		str_addc(&s, 'e');
	while (kept[0] && control_event(kept[0], json_string(s.p)) && ++n < 100000) {
		if (n % 10 == 0)
			run_for(1);
	}
	/* What the kernel holds for a socket, and what may wait. */
	assert_in_range(n, 100, 2000);
	wait_count(&cancels, 1);
	say(&other, "{\"id\":1,\"verb\":\"echo\"}\n");
	expect(&other, "{\"id\":1,\"ok\":true,\"value\":{}}");
	leave(&slow);
	leave(&other);
}

static void who_never_reads_gets_no_more_done(void **state)
{
	AUTO_STR struct str s = STR_INIT;
	struct client c, other;

	(void)state;
	start(&(struct control_opts){ .stuck_ms = 300 });
	meet(&c);
	meet(&other);
	for (int i = 0; i < 400; i++)
		str_add(&s, "{\"id\":1,\"verb\":\"big\",\"args\":{\"bytes\":20000}}\n"
		            "{\"id\":2,\"verb\":\"act\"}\n");
	sendn(&c, s.p, 20000);
	run_for(100);
	/* The kernel's buffer and 256 KiB behind it, then no further request is begun. */
	assert_in_range(acts, 5, 60);
	say(&other, "{\"id\":1,\"verb\":\"echo\"}\n");
	expect(&other, "{\"id\":1,\"ok\":true,\"value\":{}}");
	run_for(500);
	acts = 0;
	while (!c.end)
		free(line_of(&c));
	assert_int_equal(acts, 0);
	leave(&c);
	leave(&other);
}

static void an_answer_may_be_large_and_not_too_large(void **state)
{
	AUTO(free) char *line = NULL;
	struct client c;

	(void)state;
	start(&(struct control_opts){ .max_output = 2 << 20 });
	meet(&c);
	say(&c, "{\"id\":1,\"verb\":\"big\",\"args\":{\"bytes\":2000000}}\n");
	line = line_of(&c);
	assert_int_equal(strlen(line), strlen("{\"id\":1,\"ok\":true,\"value\":\"\"}") + 2000000);
	say(&c, "{\"id\":2,\"verb\":\"big\",\"args\":{\"bytes\":3000000}}\n");
	expect_error(&c, "2", "larger than may wait");
	say(&c, "{\"id\":3,\"verb\":\"echo\"}\n");
	expect(&c, "{\"id\":3,\"ok\":true,\"value\":{}}");
	leave(&c);
}

/* ---- who -------------------------------------------------------------------------------------- */

enum { SOMEBODY = 41003 };

/* In a process with these rights: a line and its answer, or what was said at the door. */
static void ask_as(gid_t gid, gid_t extra, const char *line, char *buf, size_t size)
{
	int pipes[2], status;
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		bool ok = !setgroups(extra ? 1 : 0, &extra) && !setresgid(gid, gid, gid) &&
		          !setresuid(SOMEBODY, SOMEBODY, SOMEBODY);
		int fd = ok ? dial(path) : -1;
		char in[4096];

		if (fd < 0)
			dprintf(pipes[1], "cannot connect: %s", strerror(errno));
		else if (send(fd, line, strlen(line), MSG_NOSIGNAL) > 0)
			shutdown(fd, SHUT_WR);
		while (fd >= 0 && (got = read(fd, in, sizeof(in))) > 0) {
			if (write(pipes[1], in, (size_t)got) < 0)
				break;
		}
		_exit(0);
	}
	close(pipes[1]);
	fcntl(pipes[0], F_SETFL, O_NONBLOCK);
	for (int64_t deadline = clock_in(PATIENCE_MS); clock_left(deadline);) {
		got = read(pipes[0], buf + n, size - 1 - n);
		if (got == 0)
			break;
		if (got > 0)
			n += (size_t)got;
		else
			wait_readable(pipes[0], deadline);
	}
	buf[n] = '\0';
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* One of this machine's groups, neither root's nor `other`. */
static const char *group_name(int slot, gid_t other, gid_t *ret)
{
	static char name[2][64];
	char *to = name[slot];
	const struct group *g;

	setgrent();
	while ((g = getgrent())) {
		if (g->gr_gid > 0 && g->gr_gid != other) {
			snprintf(to, sizeof(name[0]), "%s", g->gr_name);
			*ret = g->gr_gid;
			endgrent();
			return to;
		}
	}
	endgrent();
	return NULL;
}

static void rights_come_from_credentials(void **state)
{
	static const char act_line[] = "{\"id\":1,\"verb\":\"act\"}\n";
	static const char echo_line[] = "{\"id\":1,\"verb\":\"echo\"}\n";
	struct control_opts o = { 0 };
	gid_t readers = 0, admins = 0;
	char said[8192];

	(void)state;
	if (geteuid())
		skip();
	o.read_group = group_name(0, 0, &readers);
	o.admin_group = group_name(1, readers, &admins);
	assert_non_null(o.read_group);
	assert_non_null(o.admin_group);
	start(&o);

	ask_as(SOMEBODY, 0, act_line, said, sizeof(said));
	assert_non_null(strstr(said, "{\"id\":null,\"ok\":false,\"error\":{\"kind\":\"refused\""));
	assert_non_null(strstr(said, o.read_group));
	assert_int_equal(acts, 0);

	ask_as(SOMEBODY, readers, echo_line, said, sizeof(said));
	assert_non_null(strstr(said, "{\"id\":1,\"ok\":true"));
	ask_as(readers, 0, echo_line, said, sizeof(said));
	assert_non_null(strstr(said, "{\"id\":1,\"ok\":true"));
	ask_as(readers, 0, act_line, said, sizeof(said));
	assert_non_null(strstr(said, "{\"id\":1,\"ok\":false,\"error\":{\"kind\":\"refused\""));
	assert_non_null(strstr(said, "not allowed for uid 41003"));
	assert_non_null(strstr(said, o.admin_group));
	assert_int_equal(acts, 0);

	ask_as(SOMEBODY, admins, act_line, said, sizeof(said));
	assert_non_null(strstr(said, "{\"id\":1,\"ok\":true"));
	ask_as(admins, readers, act_line, said, sizeof(said));
	assert_non_null(strstr(said, "{\"id\":1,\"ok\":true"));
	assert_int_equal(acts, 2);
}

static void readers_leave_room_for_admins(void **state)
{
	struct control_opts o = { .max_clients = 4 };
	gid_t readers;
	struct client c, root;
	pid_t pid;
	int ready[2];
	char byte;

	(void)state;
	if (geteuid())
		skip();
	o.read_group = group_name(0, 0, &readers);
	start(&o);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		bool ok = !setgroups(0, NULL) && !setresgid(readers, readers, readers) &&
		          !setresuid(SOMEBODY, SOMEBODY, SOMEBODY);

		for (int i = 0; ok && i < 6; i++)
			dial(path);
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(0);
	}
	wait_readable(ready[0], clock_in(PATIENCE_MS));
	assert_int_equal(read(ready[0], &byte, 1), 1);
	run_for(50);
	meet(&root);
	say(&root, "{\"id\":1,\"verb\":\"act\"}\n");
	expect(&root, "{\"id\":1,\"ok\":true,\"value\":null}");
	meet(&c);
	expect_error(&c, "null", "4 clients");
	leave(&c);
	leave(&root);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ready[0]);
	close(ready[1]);
}

static void one_group_keeps_the_file_shut(void **state)
{
	struct control_opts o = { 0 };
	gid_t readers = 0;
	struct stat st;
	char said[8192];

	(void)state;
	if (geteuid())
		skip();
	o.admin_group = group_name(0, 0, &readers);
	start(&o);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(st.st_gid, readers);
	ask_as(SOMEBODY, 0, "{\"id\":1,\"verb\":\"act\"}\n", said, sizeof(said));
	assert_string_equal(said, "cannot connect: Permission denied");
	ask_as(SOMEBODY, readers, "{\"id\":1,\"verb\":\"act\"}\n", said, sizeof(said));
	assert_non_null(strstr(said, "\"ok\":true"));
	assert_int_equal(acts, 1);
}

/* ---- the socket ------------------------------------------------------------------------------- */

static struct control *try_new(int fd, const char *at, const char *group, struct err *e)
{
	struct control_opts o = { .read_group = group };

	*e = (struct err){ 0 };
	return control_new(l, fd, at, &o, verbs, &acts, e);
}

static void a_dead_socket_is_replaced_a_living_one_not(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct client c;
	struct stat st;
	struct err e;

	(void)state;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_null(try_new(-1, path, NULL, &e));
	assert_int_equal(e.kind, ERR_PRECOND);
	assert_non_null(strstr(e.text, "somebody listens"));
	close(fd);
	start(&(struct control_opts){ 0 });
	meet(&c);
	leave(&c);
	assert_null(try_new(-1, path, NULL, &e));
	assert_int_equal(e.kind, ERR_PRECOND);
	assert_non_null(strstr(e.text, "another mhad"));
	meet(&c);
	leave(&c);
	control_free(control);
	control = NULL;
	assert_int_equal(stat(path, &st), -1);
	start(&(struct control_opts){ 0 });
}

/* Its owner is stopped and its queue full: it is not dead. */
static void a_busy_socket_is_not_dead(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), waiting[8], n = 0;
	struct err e;

	(void)state;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 0), 0);
	do {
		waiting[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	} while (!connect(waiting[n++], (const struct sockaddr *)&addr, sizeof(addr)) && n < 8);
	assert_in_range(n, 2, 7);
	assert_null(try_new(-1, path, NULL, &e));
	assert_non_null(strstr(e.text, "somebody listens"));
	while (n)
		close(waiting[--n]);
	close(fd);
}

static void what_is_no_socket_stays(void **state)
{
	struct stat st;
	struct err e;
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	close(fd);
	assert_null(try_new(-1, path, NULL, &e));
	assert_non_null(strstr(e.text, "not a socket"));
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
}

static void what_cannot_be_made_is_told(void **state)
{
	char longer[200];
	struct err e;

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_null(try_new(-1, longer, NULL, &e));
	assert_int_equal(e.kind, ERR_CONFIG);
	assert_null(try_new(-1, "/nowhere/at/all", NULL, &e));
	assert_int_equal(e.kind, ERR_SYSTEM);
	assert_null(try_new(-1, path, "no-such-group-here", &e));
	assert_int_equal(e.kind, ERR_CONFIG);
	assert_non_null(strstr(e.text, "no-such-group-here"));
}

static void a_given_socket_is_used(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct client c;
	struct stat st;
	struct err e;

	(void)state;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_null(try_new(dup(fd), path, NULL, &e));
	assert_int_equal(e.kind, ERR_CONFIG);
	assert_int_equal(listen(fd, 5), 0);
	control = try_new(fd, path, NULL, &e);
	assert_non_null(control);
	meet(&c);
	say(&c, "{\"id\":1,\"verb\":\"act\"}\n");
	expect(&c, "{\"id\":1,\"ok\":true,\"value\":null}");
	leave(&c);
	control_free(control);
	control = NULL;
	assert_int_equal(stat(path, &st), 0); /* it is systemd's */
}

static void text_of_any_bytes(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = { { NULL, "null" }, { "", "\"\"" }, { "a\"b\n", "\"a\\\"b\\n\"" },
		{ "x\xff", "\"x\xef\xbf\xbd\"" }, { "\xc3\xa9", "\"\xc3\xa9\"" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *j = control_text(cases[i].in);
		AUTO(free) char *text = json_dumps(j, JSON_ENCODE_ANY);

		assert_string_equal(text, cases[i].out);
		json_decref(j);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_request_is_answered),
		TEST(bytes_may_come_one_by_one),
		TEST(errors_are_answered),
		TEST(malformed_lines_change_nothing),
		TEST(depth_is_bounded),
		TEST(a_long_line_ends_the_connection),
		TEST(a_flood_lets_others_pass),
		TEST(answers_may_come_later_in_any_order),
		TEST(a_client_that_leaves_cancels),
		TEST(freeing_cancels),
		TEST(who_has_said_all_still_hears),
		TEST(clients_are_counted),
		TEST(clients_that_vanish),
		TEST(half_a_line_has_a_deadline),
		TEST(silence_has_a_deadline),
		TEST(a_slow_reader_of_events_is_cut_off),
		TEST(who_never_reads_gets_no_more_done),
		TEST(an_answer_may_be_large_and_not_too_large),
		TEST(rights_come_from_credentials),
		TEST(readers_leave_room_for_admins),
		TEST(one_group_keeps_the_file_shut),
		TEST(a_dead_socket_is_replaced_a_living_one_not),
		TEST(a_busy_socket_is_not_dead),
		TEST(what_is_no_socket_stays),
		TEST(what_cannot_be_made_is_told),
		TEST(a_given_socket_is_used),
		TEST(text_of_any_bytes),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
