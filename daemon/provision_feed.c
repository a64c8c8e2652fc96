/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * provision_feed - one program's output is another's input, through here.  Runs on: worker.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"
#include "log.h"
#include "proc.h"
#include "provision_impl.h"
#include "str.h"

enum { PIECE = 256 << 10, TELL_MS = 10000, TURN_MS = 1000, WORDS_MAX = 2000, END_MS = 10000 };

struct feed {
	const struct provision *p;
	const struct prov_feed *f;
	struct proc_child from, to;
	char *buf;
	size_t have, at; /* bytes in it, and of these written */
	uint64_t bytes;
	int64_t told;
	bool begun;
	struct str from_err, to_err; /* their last words */
};

static void drain(int *fd, struct str *to)
{
	char buf[4096];
	ssize_t n;

	while (*fd >= 0 && (n = read(*fd, buf, sizeof(buf))) != 0) {
		if (n < 0) {
			if (errno == EAGAIN || errno == EINTR)
				return;
			break;
		}
		if (to->len < WORDS_MAX)
			str_addn(to, buf, (size_t)n);
	}
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Its first schema is named once its transaction has begun. */
static bool look_for_begin(struct feed *x, struct err *e)
{
	if (x->begun || !memmem(x->buf, x->have, "\nUSE `", 6))
		return true;
	x->begun = true;
	return x->f->begun(x->f->arg, e);
}

static bool take(struct feed *x, struct err *e)
{
	ssize_t n = read(x->from.out, x->buf, PIECE);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n < 0)
		return err_sys(e, "read the dump");
	if (n == 0) {
		close(x->from.out);
		x->from.out = -1;
		return true;
	}
	x->have = (size_t)n;
	x->at = 0;
	x->bytes += (uint64_t)n;
	return look_for_begin(x, e);
}

static bool give(struct feed *x, struct err *e)
{
	ssize_t n = write(x->to.in, x->buf + x->at, x->have - x->at);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return err_sys(e, "feed the client");
	if (n > 0)
		x->at += (size_t)n;
	return true;
}

static void tell(struct feed *x)
{
	if (clock_ms() - x->told < TELL_MS)
		return;
	x->told = clock_ms();
	if (x->f->expected)
		log_info("%llu MB copied, of about %llu.", (unsigned long long)(x->bytes >> 20),
		        (unsigned long long)(x->f->expected >> 20));
	else
		log_info("%llu MB copied.", (unsigned long long)(x->bytes >> 20));
}

static bool turn(struct feed *x, struct err *e)
{
	bool full = x->at < x->have;
	struct pollfd p[] = { { full ? -1 : x->from.out, POLLIN, 0 },
		{ full ? x->to.in : -1, POLLOUT, 0 }, { x->from.err, POLLIN, 0 },
		{ x->to.err, POLLIN, 0 }, { x->to.out, POLLIN, 0 } };

	if (!prov_goes_on(x->p, e))
		return false;
	if (poll(p, ARRAY_LEN(p), TURN_MS) < 0 && errno != EINTR)
		return err_sys(e, "poll");
	if (p[2].revents)
		drain(&x->from.err, &x->from_err);
	if (p[3].revents)
		drain(&x->to.err, &x->to_err);
	if (p[4].revents)
		drain(&x->to.out, &x->to_err);
	tell(x);
	if (p[0].revents && !take(x, e))
		return false;
	return !p[1].revents || give(x, e);
}

static bool is_over(const struct feed *x)
{
	return x->from.out < 0 && x->at == x->have;
}

static bool ended_well(
        struct proc_child *c, const char *name, struct str *words, int64_t deadline, struct err *e)
{
	int status = -1, signal = 0;

	if (!proc_reap(c, deadline, &status, &signal))
		return err_set(e, ERR_LOST, 0, "%s does not end", name);
	drain(&c->err, words);
	if (status == 0)
		return true;
	for (char *p = words->p; *p; p++)
		if (*p == '\n')
			*p = ' ';
	return err_set(e, ERR_REMOTE, status, "%s: %s", name, words->len ? words->p : "failed");
}

static bool run(struct feed *x, struct err *e)
{
	struct err why = { 0 };
	bool fine = true;

	while (fine && !is_over(x))
		fine = turn(x, &why);
	if (x->to.in >= 0)
		close(x->to.in);
	x->to.in = -1;
	/* A client that took no more says better why. */
	if (!fine && why.kind == ERR_SYSTEM && why.code == EPIPE)
		fine = ended_well(&x->to, x->f->to[0], &x->to_err, clock_in(END_MS), e) &&
		       err_set(e, ERR_REMOTE, 0, "%s ended too soon", x->f->to[0]);
	else if (!fine && e)
		*e = why;
	return fine && ended_well(&x->from, x->f->from[0], &x->from_err, clock_in(END_MS), e) &&
	       ended_well(&x->to, x->f->to[0], &x->to_err, x->p->deadline, e);
}

bool prov_feed(const struct provision *p, const struct prov_feed *f, struct err *e)
{
	struct feed x = { .p = p, .f = f, .told = clock_ms() };
	const struct proc_opts from = { .argv = f->from };
	const struct proc_opts to = { .argv = f->to, .input = "" };
	bool fine;

	if (!proc_start(&to, &x.to, e))
		return false;
	if (!proc_start(&from, &x.from, e)) {
		proc_child_done(&x.to);
		return false;
	}
	str_init(&x.from_err);
	str_init(&x.to_err);
	x.buf = xmalloc(PIECE);
	fine = run(&x, e) &&
	       (x.begun || err_set(e, ERR_PARSE, 0, "%s wrote no schema", f->from[0]));
	proc_child_done(&x.from);
	proc_child_done(&x.to);
	str_done(&x.from_err);
	str_done(&x.to_err);
	free(x.buf);
	return fine;
}
