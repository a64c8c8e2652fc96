/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * purge_guard - the guard's process and the pipe to it.
 * Runs on: any thread.
 */
#include "purge_guard.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"
#include "str.h"

#define START_MS    15000
#define QUERY_MS    10000
#define TRIES       600
#define TRY_WAIT_MS 1000
#define TEXT_MAX    4096

static const char ready = 'r', stand_down = 's';

/* Five texts, each with its NUL. */
static void add_login(struct str *to, const struct login *l)
{
	const char *texts[] = { l->user, l->password, l->address, l->socket };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		str_addn(to, texts[i] ? texts[i] : "", strlen(texts[i] ? texts[i] : "") + 1);
	str_addf(to, "%u", l->port);
	str_addc(to, '\0');
}

static bool await_ready(int fd, struct err *e)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	int64_t deadline = clock_in(START_MS);
	char c;

	while (poll(&pfd, 1, clock_left_poll(deadline)) < 0 && errno == EINTR)
		;
	if (pfd.revents && read(fd, &c, 1) == 1 && c == ready)
		return true;
	return err_set(e, ERR_SYSTEM, 0, "the process that guards relay_log_purge did not start");
}

bool purge_guard_start(struct purge_guard *g, const struct login *l, struct err *e)
{
	static const char *const argv[] = { "/proc/self/exe", "purge-guard", NULL };
	struct proc_opts o = { .argv = argv, .input = "" };
	struct str text = STR_INIT;
	bool ok;

	if (!proc_start(&o, &g->child, e))
		return false;
	add_login(&text, l);
	ok = write(g->child.in, text.p, text.len) == (ssize_t)text.len ||
	     err_sys(e, "talk to the process that guards relay_log_purge");
	mem_wipe(text.p, text.len);
	str_done(&text);
	ok = ok && await_ready(g->child.out, e);
	if (!ok)
		proc_child_done(&g->child);
	return ok;
}

void purge_guard_dismiss(struct purge_guard *g)
{
	int status, sig;

	/* If it does not hear this it sets what is set already. */
	if (write(g->child.in, &stand_down, 1) != 1 ||
	        !proc_reap(&g->child, clock_in(QUERY_MS), &status, &sig))
		return;
	proc_child_done(&g->child);
}

void purge_guard_leave(struct purge_guard *g)
{
	cleanup_fd(&g->child.in);
	cleanup_fd(&g->child.out);
	cleanup_fd(&g->child.err);
	cleanup_fd(&g->child.exit_fd);
}

/* The whole of what add_login() made; false: the other side died. */
static bool read_login(struct login *l)
{
	char text[TEXT_MAX], *part[5], *p = text;
	size_t len = 0, parts = 0;

	while (parts < ARRAY_LEN(part)) {
		ssize_t n = read(STDIN_FILENO, text + len, sizeof(text) - len);

		if (n <= 0)
			return false;
		len += (size_t)n;
		for (char *end;
		        parts < ARRAY_LEN(part) && (end = memchr(p, 0, (size_t)(text + len - p)));
		        p = end + 1)
			part[parts++] = p;
	}
	*l = (struct login){ .user = xstrdup(part[0]),
		.password = xstrdup(part[1]),
		.address = xstrdup(part[2]),
		.socket = *part[3] ? xstrdup(part[3]) : NULL,
		.port = (unsigned)atoi(part[4]) };
	mem_wipe(text, sizeof(text));
	return true;
}

static bool put_back(struct db **db, const struct login *l, struct err *e)
{
	for (int i = 0; i < TRIES; i++) {
		if (*db && db_exec(*db, "SET GLOBAL relay_log_purge=0", e))
			return true;
		db_close(TAKE(*db));
		*db = login_open(l, QUERY_MS, e);
		if (!*db)
			poll(NULL, 0, TRY_WAIT_MS);
	}
	return false;
}

static int guard(const struct login *l, struct err *e)
{
	AUTO(db) struct db *db = login_open(l, QUERY_MS, e);
	char c = 0;
	ssize_t n;

	if (!db || write(STDOUT_FILENO, &ready, 1) != 1)
		return 1;
	do {
		n = read(STDIN_FILENO, &c, 1);
	} while (n < 0 && errno == EINTR);
	if (n == 1 && c == stand_down)
		return 0;
	return put_back(&db, l, e) ? 0 : 1;
}

int purge_guard_verb(const struct args *a, struct verb_io *io, struct err *e)
{
	struct login l;
	int rc;

	(void)a, (void)io;
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	if (!read_login(&l))
		return 0;
	rc = guard(&l, e);
	login_done(&l);
	return rc;
}
