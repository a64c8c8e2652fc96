/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_snapshot - the values of a snapshot, and how it treats servers that do not work: closed
 * ports, silence, refusals, garbage.  The peers are sockets of this process; real servers are the
 * lab's business.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "clock.h"
#include "job.h"
#include "loop.h"
#include "snapshot.h"
#include "str.h"

enum { N = 4 };

struct fixture {
	struct conf conf;
	struct conf_server server[N];
	const struct conf_server *list[N];
	int fd[N]; /* listening, -1 = the port is closed again */
};

static int listen_somewhere(int *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

/* `n` servers that listen and say nothing. */
static void fixture_init(struct fixture *f, size_t n)
{
	static const char *const names[N] = { "db1", "db2", "db3", "db4" };
	*f = (struct fixture){ .conf = { .name = "test", .servers = f->list, .n_servers = n } };
	for (size_t i = 0; i < n; i++) {
		int port;
		f->fd[i] = listen_somewhere(&port);
		f->list[i] = &f->server[i];
		f->server[i] = (struct conf_server){ .id = names[i],
			.hostname = names[i],
			.hostinfo = names[i],
			.ip = "127.0.0.1",
			.port = port,
			.user = "mha",
			.password = "secret",
			.connect_timeout = 1000,
			.query_timeout = 1000 };
	}
}

static void fixture_done(struct fixture *f)
{
	for (size_t i = 0; i < f->conf.n_servers; i++)
		if (f->fd[i] >= 0)
			close(f->fd[i]);
}

static void close_port(struct fixture *f, size_t i)
{
	close(f->fd[i]);
	f->fd[i] = -1;
}

struct peer {
	int fd;
	const char *greeting, *answer; /* `answer` to the login; NULL = silence */
	size_t n_greeting, n_answer;
	pthread_t thread;
};

static void *peer_run(void *arg)
{
	struct peer *p = arg;
	char sink[256];
	int fd = accept(p->fd, NULL, NULL);
	if (fd < 0)
		return NULL;
	ssize_t n = write(fd, p->greeting, p->n_greeting);
	if (n > 0 && read(fd, sink, sizeof(sink)) > 0 && p->answer)
		n = write(fd, p->answer, p->n_answer);
	while (n > 0)
		n = read(fd, sink, sizeof(sink));
	close(fd);
	return NULL;
}

static void peer_start(struct peer *p)
{
	assert_int_equal(pthread_create(&p->thread, NULL, peer_run, p), 0);
}

/* 1040 instead of a greeting. */
static const char too_many[] = "\x17\x00\x00\x00\xff\x10\x04Too many connections";
/* A server's greeting, and its word that the login is good. */
static const char greeting[] = "\x4f\x00\x00\x00\x0a"
                               "8.0.36-test\0"
                               "\x07\x00\x00\x00"
                               "abcdefgh\0"
                               "\xff\xf7\x2d\x02\x00\xff\x81\x15"
                               "\0\0\0\0\0\0\0\0\0\0"
                               "ijklmnopqrst\0"
                               "mysql_native_password";
static const char welcome[] = "\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00";

static void test_dead_and_silent(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 3);
	close_port(&f, 0);
	struct snapshot_opts o = { .assume_dead = f.list[2] };
	int64_t begin = clock_ms();
	struct snapshot *s = snapshot_take(&f.conf, &o);
	assert_true(clock_ms() - begin < 5000);
	assert_int_equal(s->n_servers, 3);
	assert_int_equal(s->servers[0].state, SNAPSHOT_DEAD);
	assert_int_equal(s->servers[0].err.kind, ERR_UNREACHABLE);
	assert_int_equal(s->servers[1].state, SNAPSHOT_DEAD);
	assert_int_equal(s->servers[2].state, SNAPSHOT_SKIPPED);
	for (size_t i = 0; i < 3; i++) {
		assert_false(s->servers[i].was_read);
		assert_false(snapshot_is_up(&s->servers[i]));
		assert_ptr_equal(s->servers[i].conf, f.list[i]);
		assert_null(strstr(s->servers[i].err.text, "secret"));
	}
	snapshot_free(s);
	fixture_done(&f);
}

/* One refuses, one falls silent at the login, one after it: only the last was in the session. */
static void test_refused_and_stuck(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 3);
	struct peer peers[3] = {
		{ .fd = f.fd[0], .greeting = too_many, .n_greeting = sizeof(too_many) - 1 },
		{ .fd = f.fd[1], .greeting = greeting, .n_greeting = sizeof(greeting) },
		{ .fd = f.fd[2],
		        .greeting = greeting,
		        .n_greeting = sizeof(greeting),
		        .answer = welcome,
		        .n_answer = sizeof(welcome) - 1 },
	};
	for (int i = 0; i < 3; i++)
		peer_start(&peers[i]);
	int64_t begin = clock_ms();
	struct snapshot *s = snapshot_take(&f.conf, NULL);
	assert_true(clock_ms() - begin < 5000);
	assert_int_equal(s->servers[0].state, SNAPSHOT_REFUSED);
	assert_int_equal(s->servers[0].err.code, 1040);
	assert_true(snapshot_is_up(&s->servers[0]));
	assert_int_equal(s->servers[1].state, SNAPSHOT_DEAD);
	assert_int_equal(s->servers[2].state, SNAPSHOT_LOST);
	assert_int_equal(s->servers[2].err.kind, ERR_LOST);
	assert_string_equal(s->servers[2].version, "8.0.36-test");
	assert_false(s->servers[2].was_read);
	snapshot_free(s);
	for (int i = 0; i < 3; i++)
		pthread_join(peers[i].thread, NULL);
	fixture_done(&f);
}

/* The whole ends at its own deadline, sooner than the servers' timeouts. */
static void test_deadline(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 2);
	f.server[0].connect_timeout = f.server[1].connect_timeout = 30000;
	struct snapshot_opts o = { .deadline = clock_in(700) };
	int64_t begin = clock_ms();
	struct snapshot *s = snapshot_take(&f.conf, &o);
	assert_true(clock_ms() - begin < 3000);
	assert_false(snapshot_is_up(&s->servers[0]));
	assert_false(snapshot_is_up(&s->servers[1]));
	snapshot_free(s);
	fixture_done(&f);
}

struct waiting {
	struct loop *loop;
	struct snapshot *s;
	int calls;
};

static void got(void *arg, struct snapshot *s)
{
	struct waiting *w = arg;
	w->s = s;
	w->calls++;
	loop_stop(w->loop);
}

static void stop(void *arg)
{
	struct waiting *w = arg;
	loop_stop(w->loop);
}

/* done() comes from the loop, also when there is nothing to ask; after a cancel it does not come.
 */
static void test_start_and_cancel(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	close_port(&f, 0);
	struct waiting w = { .loop = loop_new() };
	struct job_pool *p = job_pool_new(w.loop, 4);
	struct snapshot_opts o = { .assume_dead = f.list[0] };
	snapshot_start(w.loop, p, &f.conf, &o, got, &w);
	assert_int_equal(w.calls, 0);
	loop_run(w.loop);
	assert_int_equal(w.calls, 1);
	assert_int_equal(w.s->servers[0].state, SNAPSHOT_SKIPPED);
	snapshot_free(w.s);

	snapshot_cancel(snapshot_start(w.loop, p, &f.conf, NULL, got, &w));
	struct loop_timer *t = loop_timer_new(w.loop, clock_in(300), stop, &w);
	loop_run(w.loop);
	assert_int_equal(w.calls, 1);
	loop_timer_free(t);
	snapshot_cancel(NULL);
	job_pool_free(p);
	loop_free(w.loop);
	fixture_done(&f);
}

static void test_pos_cmp(void **state)
{
	(void)state;
	static const struct {
		const char *a;
		uint64_t pos_a;
		const char *b;
		uint64_t pos_b;
		int want;
	} rows[] = {
		{ "bin.000001", 5, "bin.000001", 5, 0 },
		{ "bin.000001", 6, "bin.000001", 5, 1 },
		{ "bin.000002", 4, "bin.000001", 900, 1 },
		{ "bin.999999", 900, "bin.1000000", 4, -1 },
		{ "db.bin.000010", 4, "other.000009", 4, 1 },
		{ NULL, 0, "bin.000001", 4, -1 },
		{ "bin.000001", 4, "", 9, 1 },
		{ NULL, 7, NULL, 3, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(
		        snapshot_pos_cmp(rows[i].a, rows[i].pos_a, rows[i].b, rows[i].pos_b),
		        rows[i].want);
		assert_int_equal(
		        snapshot_pos_cmp(rows[i].b, rows[i].pos_b, rows[i].a, rows[i].pos_a),
		        -rows[i].want);
	}
}

/* Address and port first, then uuid; a uuid or id that two servers have says nothing. */
static void test_find_source(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 3);
	struct snapshot *s = snapshot_new(&f.conf);
	static const char *const addresses[] = { "10.1.1.1", "127.0.0.1", NULL };
	struct snapshot_channel ch = { .source_host = "db2",
		.source_port = (unsigned)f.server[1].port };
	s->servers[0].uuid = "u-1";
	s->servers[0].server_id = 7;
	s->servers[2].uuid = "u-3";
	s->servers[2].server_id = 7;

	assert_ptr_equal(snapshot_find_source(s, &ch), &s->servers[1]);
	ch.source_uuid = "u-3";
	assert_ptr_equal(snapshot_find_source(s, &ch), &s->servers[1]);
	ch.source_port++;
	assert_ptr_equal(snapshot_find_source(s, &ch), &s->servers[2]);
	ch.source_uuid = NULL;
	ch.source_server_id = 7;
	assert_null(snapshot_find_source(s, &ch));
	s->servers[2].server_id = 8;
	assert_ptr_equal(snapshot_find_source(s, &ch), &s->servers[0]);
	ch = (struct snapshot_channel){ .source_host = "alias",
		.source_port = (unsigned)f.server[2].port };
	assert_null(snapshot_find_source(s, &ch));
	ch.source_addresses = addresses;
	assert_ptr_equal(snapshot_find_source(s, &ch), &s->servers[2]);
	ch.source_host = "";
	assert_null(snapshot_find_source(s, &ch));
	snapshot_free(s);
	snapshot_free(NULL);
	fixture_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dead_and_silent),
		cmocka_unit_test(test_refused_and_stuck),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_start_and_cancel),
		cmocka_unit_test(test_pos_cmp),
		cmocka_unit_test(test_find_source),
	};
	return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
