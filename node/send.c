/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * send - runs ssh and scp without a shell on this side, and with plain words only on the other.
 * Runs on: any thread.
 */
#include "send.h"
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "dir.h"
#include "proc.h"
#include "str.h"
#include "vec.h"

#define TRIES      3
#define COMMAND_MS 60000
#define COPY_MS    3600000
#define MD5_TEXT   32
#define USUAL_OPTIONS                                                                              \
	"-o StrictHostKeyChecking=accept-new -o PasswordAuthentication=no -o BatchMode=yes "       \
	"-o ConnectionAttempts=5 -o ServerAliveInterval=60 -o ServerAliveCountMax=20"

/* A command line in the making; its words are owned. */
struct words {
	VEC(char *) v;
};

static void words_done(struct words *w)
{
	vec_each (char *, p, &w->v)
		free(*p);
	vec_done(&w->v);
}

static void add(struct words *w, const char *word)
{
	vec_push(&w->v, word ? xstrdup(word) : NULL);
}

/* Blank-separated words, as the manager writes them: none holds blanks. */
static void add_words(struct words *w, const char *text)
{
	AUTO(free) char *copy = xstrdup(text);
	char *rest = copy, *word;

	while ((word = strsep(&rest, " \t")))
		if (*word)
			add(w, word);
}

static void begin(
        struct words *w, const struct args *a, const char *program, const char *port_option)
{
	AUTO(free) char *port = xasprintf("%lld", (long long)a->scp_port);

	*w = (struct words){ VEC_INIT };
	add(w, program);
	add_words(w, a->ssh_options ? a->ssh_options : USUAL_OPTIONS);
	add(w, port_option);
	add(w, port);
}

/* Run it and take its words apart; its first bytes of output go to `out` (may be NULL). */
static bool run(struct words *w, int64_t ms, struct verb_io *io, struct str *out, struct err *e)
{
	struct proc_opts o = { .deadline = clock_sooner(clock_in(ms), io->deadline) };
	struct proc_result r;
	bool ok;

	add(w, NULL);
	o.argv = (const char *const *)w->v.items;
	if (!proc_run(&o, &r, e))
		return false;
	ok = r.status == 0;
	if (r.late)
		err_set(e, ERR_LOST, 0, "%s: not finished in time", o.argv[0]);
	else if (!ok)
		err_set(e, ERR_REMOTE, r.status, "%s: exit status %d: %s", o.argv[0], r.status,
		        str_trim(r.err.p));
	if (ok && out)
		str_add(out, r.out.p);
	proc_done(&r);
	return ok;
}

static bool ssh(const struct args *a, const char *user_host, const char *program, const char *arg,
        struct verb_io *io, struct str *out, struct err *e)
{
	struct words w;
	bool ok;

	begin(&w, a, "ssh", "-p");
	add(&w, user_host);
	add_words(&w, program);
	add(&w, arg);
	ok = run(&w, COMMAND_MS, io, out, e);
	words_done(&w);
	return ok;
}

static bool scp(const struct args *a, const char *user_host, const char *path, struct verb_io *io,
        struct err *e)
{
	AUTO(free) char *to = xasprintf("%s:%s", user_host, path);
	struct words w;
	bool ok;

	begin(&w, a, "scp", "-P");
	add(&w, path);
	add(&w, to);
	ok = run(&w, COPY_MS, io, NULL, e);
	words_done(&w);
	return ok;
}

static bool same_sum(const struct args *a, const char *user_host, const char *path,
        struct verb_io *io, struct err *e)
{
	AUTO_STR struct str here = STR_INIT, there = STR_INIT;
	struct words w = { VEC_INIT };
	bool ok;

	add(&w, "md5sum");
	add(&w, path);
	ok = run(&w, COPY_MS, io, &here, e);
	words_done(&w);
	if (!ok || !ssh(a, user_host, "md5sum", path, io, &there, e))
		return false;
	if (here.len >= MD5_TEXT && there.len >= MD5_TEXT && memcmp(here.p, there.p, MD5_TEXT) == 0)
		return true;
	return err_set(e, ERR_REMOTE, 0, "the checksums of %s differ", path);
}

static bool is_plain(const char *text)
{
	return text[0] && text[0] != '-' &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	                    "_./-+=,@:%") == strlen(text);
}

static bool copy(const struct args *a, const char *user_host, const char *path, struct verb_io *io,
        struct err *e)
{
	for (int i = 0; i < TRIES; i++) {
		if (!verb_go_on(io, e))
			return false;
		if (scp(a, user_host, path, io, e) && same_sum(a, user_host, path, io, e))
			return true;
		fprintf(io->out, "Failed copy or checksum. Retrying..\n");
	}
	return err_ctx(
	        e, "ERROR: scp %s to %s(%lld) failed", path, user_host, (long long)a->scp_port);
}

bool send_file(const struct args *a, const char *path, struct verb_io *io, struct err *e)
{
	AUTO(free) char *user_host = xasprintf("%s@%s", a->scp_user, a->scp_host);
	AUTO(free)
	char *bracketed = strchr(a->scp_host, ':') ? xasprintf("%s@[%s]", a->scp_user, a->scp_host)
	                                           : xstrdup(user_host);
	AUTO(free) char *dir = dir_of(path);

	if (!is_plain(path) || !is_plain(user_host))
		return err_set(e, ERR_CONFIG, 0,
		        "%s, %s: names with other than letters, digits and _./-+=,@:%% are not "
		        "sent",
		        path, user_host);
	if (!ssh(a, user_host, "mkdir -p", dir, io, NULL, e))
		return err_ctx(e, "ssh %s for mkdir %s failed", user_host, dir);
	if (!copy(a, bracketed, path, io, e))
		return false;
	fprintf(io->out, " scp %s to %s(%lld) succeeded.\n", path, user_host,
	        (long long)a->scp_port);
	return true;
}
