/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verb - calls verbs, and carries what they give to the terminal of a command line.
 * Runs on: any thread.
 */
#include "verb.h"
#include <errno.h>
#include <poll.h>
#include <unistd.h>
#include "clock.h"

bool verb_go_on(struct verb_io *io, struct err *e)
{
	struct pollfd pfd = { .fd = io->cancel_fd, .events = POLLIN };

	if (clock_left(io->deadline) == 0)
		return err_set(e, ERR_LOST, 0, "not finished in time");
	if (io->cancel_fd >= 0 && poll(&pfd, 1, 0) > 0)
		return err_set(e, ERR_CANCELED, 0, "told to end");
	return true;
}

void verb_write_begin(struct verb_io *io)
{
	io->ops->write_begin(io);
}

bool verb_write(struct verb_io *io, const void *bytes, size_t n, struct err *e)
{
	return io->ops->write(io, bytes, n, e);
}

ssize_t verb_read(struct verb_io *io, void *buf, size_t size, struct err *e)
{
	return io->ops->read(io, buf, size, e);
}

void verb_result(struct verb_io *io, const char *json)
{
	io->ops->result(io, json);
}

void verb_hold(struct verb_io *io)
{
	io->ops->hold(io, 1);
}

void verb_unhold(struct verb_io *io)
{
	io->ops->hold(io, -1);
}

int verb_call(const struct verb *v, const struct args *a, struct verb_io *io, struct err *e)
{
	int rc = v->serve(a, io, e);

	if ((fflush(io->out) != 0 || ferror(io->out)) && rc == 0) {
		err_sys(e, "write the output");
		rc = 1;
	}
	return rc;
}

static void std_write_begin(struct verb_io *io)
{
	io->out = stderr;
}

static bool std_write(struct verb_io *io, const void *bytes, size_t n, struct err *e)
{
	const char *p = bytes;

	while (n) {
		ssize_t done;

		if (!verb_go_on(io, e))
			return false;
		done = write(STDOUT_FILENO, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_sys(e, "write to standard output");
		p += done;
		n -= (size_t)done;
	}
	return true;
}

static ssize_t std_read(struct verb_io *io, void *buf, size_t size, struct err *e)
{
	ssize_t n;

	do {
		if (!verb_go_on(io, e))
			return -1;
		n = read(STDIN_FILENO, buf, size);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		err_sys(e, "read from standard input");
	return n;
}

static void std_result(struct verb_io *io, const char *json)
{
	const struct verb *v = io->arg;

	if (v->flags & VERB_JSON)
		fprintf(io->out, "%s\n", json);
}

static void std_hold(struct verb_io *io, int by)
{
	(void)io, (void)by;
}

void verb_io_std(struct verb_io *ret, const struct verb *v)
{
	static const struct verb_ops ops = {
		.write_begin = std_write_begin,
		.write = std_write,
		.read = std_read,
		.result = std_result,
		.hold = std_hold,
	};

	*ret = (struct verb_io){
		.out = stdout,
		.deadline = CLOCK_NEVER,
		.cancel_fd = -1,
		.ops = &ops,
		.arg = (void *)(uintptr_t)v,
	};
}
