/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ssh - daemon/ssh.h for scripts.  Opens the session that the options describe, then obeys lines of
 *stdin; each is answered with one line of JSON, the opening too.  Times are in milliseconds.
 *
 *	exec MS COMMAND		one command, collected
 *	feed MS N COMMAND	the same with N bytes of input
 *	ok MS COMMAND		through ssh_exec_ok()
 *	alive MS
 *	many MS N COMMAND	N channels at once
 *	pump MS IN OUT COMMAND	file IN to its input, its output to file OUT
 *	cold MS N COMMAND	N times open, command, close: the times
 *	warm MS N COMMAND	N commands on this session: the times
 */
#include "ssh.h"
#include "clock.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct ssh_target target = {
	.name = "host", .address = "127.0.0.1", .port = 22, .user = "root"
};
static struct ssh *session;

static void print_text(const char *name, const char *text)
{
	AUTO_STR struct str s = STR_INIT;

	str_add_json(&s, text);
	printf(", \"%s\": \"%s\"", name, s.p);
}

static void print_error(const struct err *e)
{
	printf("\"kind\": \"%s\", \"code\": %d", err_kind_name(e->kind), e->code);
	print_text("host", e->host);
	print_text("text", e->text);
	print_text("hint", e->hint);
}

static void print_result(bool ok, const struct ssh_result *r, const struct err *e)
{
	if (!ok) {
		print_error(e);
		return;
	}
	printf("\"status\": %d", r->status);
	print_text("out", r->out.p);
	print_text("err", r->err.p);
	printf(", \"out_len\": %zu, \"err_len\": %zu", r->out.len, r->err.len);
}

static void do_exec(int64_t ms, size_t input_len, const char *command)
{
	AUTO(free) char *input = xzalloc(input_len);
	struct ssh_result r;
	struct err e = { 0 };
	bool ok = ssh_exec(session, command, input, input_len, clock_in(ms), &r, &e);

	print_result(ok, &r, &e);
	if (ok)
		ssh_result_done(&r);
}

static void do_ok(int64_t ms, const char *command)
{
	AUTO_STR struct str out = STR_INIT;
	struct err e = { 0 };

	if (!ssh_exec_ok(session, command, clock_in(ms), &out, &e)) {
		print_error(&e);
		return;
	}
	printf("\"status\": 0");
	print_text("out", out.p);
}

static bool read_some(struct ssh_chan *c, struct str *out, struct err *e)
{
	char buf[4096];
	ssize_t n = ssh_chan_read(c, buf, sizeof(buf), e);

	if (n > 0)
		str_addn(out, buf, (size_t)n);
	return n >= 0 && ssh_chan_read_err(c, buf, sizeof(buf), e) >= 0;
}

static bool run_many(int64_t deadline, struct ssh_chan **c, size_t n, const char *command,
        struct str *out, struct err *e)
{
	size_t ended = 0;

	for (size_t i = 0; i < n; i++)
		if (!(c[i] = ssh_chan_open(session, command, deadline, e)))
			return false;
	while (ended < n) {
		ended = 0;
		for (size_t i = 0; i < n; i++) {
			if (!read_some(c[i], &out[i], e))
				return false;
			ended += ssh_chan_eof(c[i]);
		}
		if (ended < n && !ssh_wait(session, deadline, e))
			return false;
	}
	return true;
}

static void do_many(int64_t ms, size_t n, const char *command)
{
	AUTO(free) struct ssh_chan **c = xzalloc(n * sizeof(struct ssh_chan *));
	AUTO(free) struct str *out = xmalloc(n * sizeof(*out));
	int64_t deadline = clock_in(ms);
	struct err e = { 0 };
	int status = 0, all = 0;
	bool ok;

	for (size_t i = 0; i < n; i++)
		str_init(&out[i]);
	ok = run_many(deadline, c, n, command, out, &e);
	for (size_t i = 0; i < n && ok; i++) {
		ok = ssh_chan_finish(TAKE(c[i]), deadline, &status, &e);
		all |= status;
	}
	if (ok)
		printf("\"status\": %d, \"outs\": [", all);
	else
		print_error(&e);
	for (size_t i = 0; i < n; i++) {
		AUTO_STR struct str s = STR_INIT;

		str_add_json(&s, out[i].p);
		if (ok)
			printf("%s\"%s\"", i ? ", " : "", s.p);
		str_done(&out[i]);
		ssh_chan_free(c[i]);
	}
	if (ok)
		printf("]");
}

struct pump {
	struct ssh_chan *c;
	int in, out;
	char buf[65536];
	size_t have, sent;
	bool ended;
};

static bool pump_in(struct pump *p, struct err *e)
{
	for (;;) {
		ssize_t n;

		if (p->sent == p->have) {
			n = p->ended ? 0 : read(p->in, p->buf, sizeof(p->buf));
			if (n <= 0 && !p->ended) {
				p->ended = true;
				return ssh_chan_send_eof(p->c, e);
			}
			if (n <= 0)
				return true;
			p->have = (size_t)n;
			p->sent = 0;
		}
		n = ssh_chan_write(p->c, p->buf + p->sent, p->have - p->sent, e);
		if (n <= 0)
			return n == 0;
		p->sent += (size_t)n;
	}
}

static bool pump_out(struct pump *p, struct err *e)
{
	char buf[65536];
	ssize_t n, m;

	do {
		n = ssh_chan_read(p->c, buf, sizeof(buf), e);
		if (n > 0 && write(p->out, buf, (size_t)n) != n)
			return err_sys(e, "write");
		m = n < 0 ? -1 : ssh_chan_read_err(p->c, buf, sizeof(buf), e);
	} while (n > 0 || m > 0);
	return n == 0 && m == 0;
}

static bool pump_all(struct pump *p, int64_t deadline, int *ret_status, struct err *e)
{
	for (;;) {
		if (!pump_in(p, e) || !pump_out(p, e))
			return false;
		if (ssh_chan_eof(p->c))
			return ssh_chan_finish(TAKE(p->c), deadline, ret_status, e);
		if (!ssh_wait(session, deadline, e))
			return false;
	}
}

static void do_pump(int64_t ms, char *rest)
{
	const char *in = strsep(&rest, " "), *out = strsep(&rest, " ");
	int64_t deadline = clock_in(ms);
	struct pump p = { .in = open(in, O_RDONLY),
		.out = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600) };
	struct err e = { 0 };
	int status = -1;

	p.c = ssh_chan_open(session, rest, deadline, &e);
	if (p.c && pump_all(&p, deadline, &status, &e))
		printf("\"status\": %d", status);
	else
		print_error(&e);
	ssh_chan_free(p.c);
	close(p.in);
	close(p.out);
}

static bool once(bool cold, int64_t ms, const char *command, struct err *e)
{
	struct ssh *s = cold ? ssh_open(&target, clock_in(ms), e) : session;
	bool ok = s && ssh_exec_ok(s, command, clock_in(ms), NULL, e);

	if (cold)
		ssh_close(s);
	return ok;
}

static void do_times(bool cold, int64_t ms, size_t n, const char *command)
{
	struct err e = { 0 };
	bool ok = true;

	printf("\"times\": [");
	for (size_t i = 0; i < n && ok; i++) {
		int64_t began = clock_us();

		ok = once(cold, ms, command, &e);
		printf("%s%.3f", i ? ", " : "", (double)(clock_us() - began) / 1000);
	}
	printf("]");
	if (!ok) {
		printf(", ");
		print_error(&e);
	}
}

static void obey(char *line)
{
	char *rest = line;
	const char *verb = strsep(&rest, " ");
	int64_t ms = atoi(strsep(&rest, " "));
	bool counted = str_is(verb, "feed") || str_is(verb, "many") || str_is(verb, "cold") ||
	               str_is(verb, "warm");
	size_t n = counted ? (size_t)atoi(strsep(&rest, " ")) : 0;

	if (str_is(verb, "exec") || str_is(verb, "feed"))
		do_exec(ms, n, rest);
	else if (str_is(verb, "ok"))
		do_ok(ms, rest);
	else if (str_is(verb, "alive"))
		printf("\"alive\": %s", ssh_is_alive(session, clock_in(ms)) ? "true" : "false");
	else if (str_is(verb, "many"))
		do_many(ms, n, rest);
	else if (str_is(verb, "pump"))
		do_pump(ms, rest);
	else if (str_is(verb, "cold") || str_is(verb, "warm"))
		do_times(str_is(verb, "cold"), ms, n, rest);
	else
		printf("\"kind\": \"usage\"");
}

static void answer(char *line)
{
	int64_t began = clock_ms();

	printf("{");
	obey(line);
	printf(", \"ms\": %lld}\n", (long long)(clock_ms() - began));
	fflush(stdout);
}

static bool set(const char *name, const char *value)
{
	if (str_is(name, "address"))
		target.address = value;
	else if (str_is(name, "port"))
		target.port = (unsigned)atoi(value);
	else if (str_is(name, "user"))
		target.user = value;
	else if (str_is(name, "key"))
		target.key = value;
	else if (str_is(name, "options"))
		target.options = value;
	else if (str_is(name, "host_key_name"))
		target.host_key_name = value;
	else if (str_is(name, "known_hosts"))
		target.known_hosts = value;
	else if (str_is(name, "host_keys"))
		target.host_keys =
		        str_is(value, "strict") ? SSH_HOST_KEYS_STRICT : SSH_HOST_KEYS_ACCEPT_NEW;
	else if (str_is(name, "transport"))
		target.transport = str_is(value, "libssh2")   ? SSH_TRANSPORT_LIBSSH2
		                   : str_is(value, "openssh") ? SSH_TRANSPORT_OPENSSH
		                                              : SSH_TRANSPORT_AUTO;
	else
		return false;
	return true;
}

int main(int argc, char **argv)
{
	char line[8192];
	struct err e = { 0 };
	int64_t began = clock_ms(), ms = 10000;

	for (int i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (value)
			*value++ = '\0';
		if (value && str_is(argv[i], "deadline")) {
			ms = atoi(value);
		} else if (!value || !set(argv[i], value)) {
			fprintf(stderr, "ssh: %s?\n", argv[i]);
			return 2;
		}
	}
	session = ssh_open(&target, clock_in(ms), &e);
	printf("{");
	if (session)
		printf("\"transport\": \"%s\"", ssh_transport_name(session));
	else
		print_error(&e);
	printf(", \"ms\": %lld}\n", (long long)(clock_ms() - began));
	fflush(stdout);
	while (session && fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		answer(line);
	}
	ssh_close(session);
	return session ? 0 : 1;
}
