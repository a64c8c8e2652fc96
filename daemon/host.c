/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * host - a session and a list of commands as one job.  Everything a worker needs is copied into the
 * job: it may outlive whoever asked.  Runs on: loop and worker, see host.h.
 */
#include "host.h"
#include "arena.h"
#include "clock.h"
#include "job.h"
#include <stdlib.h>
#include <string.h>

enum {
	ALIVE_MS = 1000, /* for the question whether a session survived a lost command */
	SPARE_MS = 500,  /* the job's own deadline lies behind those of its parts */
};

struct run {
	struct arena *arena;
	struct ssh_target target;
	int64_t open_limit_ms;
	struct host_cmd *cmds;
	size_t n;
	struct host_result result;
	host_done_fn done;
	void *arg;
};

bool host_same(const struct conf_server *a, const struct conf_server *b)
{
	return a == b || (str_is(a->ssh_address, b->ssh_address) && a->ssh_port == b->ssh_port &&
	                         str_is(a->ssh_user, b->ssh_user));
}

char *host_login(const struct conf_server *s)
{
	return xasprintf("%s@%s(%s:%d)", s->ssh_user, s->ssh_host, s->ssh_address, s->ssh_port);
}

static void copy_target(struct run *r, const struct conf_server *s)
{
	struct arena *a = r->arena;

	r->target = (struct ssh_target){
		.name = arena_printf(
		        a, "%s@%s(%s:%d)", s->ssh_user, s->ssh_host, s->ssh_address, s->ssh_port),
		.address = arena_strdup(a, s->ssh_address),
		.host_key_name = arena_strdup(a, s->ssh_host),
		.port = (unsigned)s->ssh_port,
		.user = arena_strdup(a, s->ssh_user),
		.key = arena_strdup(a, s->ssh_key),
		.options = arena_strdup(a, s->ssh_options),
		.host_keys = (enum ssh_host_keys)s->ssh_host_keys,
		.known_hosts = arena_strdup(a, s->ssh_known_hosts),
		.transport = (enum ssh_transport)s->ssh_transport,
	};
	r->open_limit_ms = s->ssh_connection_timeout;
}

static void free_run(void *arg)
{
	struct run *r = arg;

	for (size_t i = 0; i < r->n; i++)
		mem_free_secret(r->cmds[i].line);
	free(r->cmds);
	ssh_close(r->result.session);
	arena_free(r->arena);
	free(r);
}

/* Copy what a command wrote, without line ends at its end. */
static const char *keep(struct arena *a, const struct str *s)
{
	size_t n = s->len;

	while (n && (s->p[n - 1] == '\n' || s->p[n - 1] == '\r'))
		n--;
	return arena_strndup(a, s->p, n);
}

static void run_one(struct run *r, const struct host_cmd *cmd, struct host_answer *ret)
{
	struct ssh_result res = { .out = STR_INIT, .err = STR_INIT };

	ret->status = -1;
	ret->out = ret->err_out = "";
	if (!r->result.session) {
		err_set(&ret->err, ERR_CANCELED, 0, "not tried, the session was lost before");
		return;
	}
	if (ssh_exec(r->result.session, cmd->line, NULL, 0, clock_in(cmd->limit_ms), &res,
	            &ret->err)) {
		ret->status = res.status;
		ret->out = keep(r->arena, &res.out);
		ret->err_out = keep(r->arena, &res.err);
		ssh_result_done(&res);
	} else if (!ssh_is_alive(r->result.session, clock_in(ALIVE_MS))) {
		ssh_close(r->result.session);
		r->result.session = NULL;
	}
}

static bool work(struct job *j, void *arg, struct err *e)
{
	struct run *r = arg;
	int64_t began = clock_ms();

	if (!r->result.session) {
		r->result.session = ssh_open(&r->target, clock_in(r->open_limit_ms), e);
		if (!r->result.session)
			return false;
		r->result.open_ms = clock_ms() - began;
	}
	r->result.transport = ssh_transport_name(r->result.session);
	r->result.answers = ARENA_ARRAY(r->arena, struct host_answer, r->n + 1);
	r->result.n = r->n;
	for (size_t i = 0; i < r->n && !job_is_abandoned(j); i++)
		run_one(r, &r->cmds[i], &r->result.answers[i]);
	return true;
}

static void ended(struct job *j, void *arg, const struct err *e)
{
	struct run *r = arg;
	struct host_result failed = { 0 };

	if (!e) {
		r->done(r->arg, &r->result);
		return;
	}
	failed.err = *e; /* a late worker still owns r->result */
	if (!failed.err.host[0])
		err_at(&failed.err, r->target.name);
	(void)j;
	r->done(r->arg, &failed);
}

void host_run(struct job_pool *p, const struct conf_server *s, struct ssh *session,
        struct host_cmd *cmds, size_t n, host_done_fn done, void *arg)
{
	struct run *r = xzalloc(sizeof(*r));
	int64_t limit = SPARE_MS;
	AUTO(free) char *name = NULL;

	r->arena = arena_new();
	r->cmds = cmds;
	r->n = n;
	r->done = done;
	r->arg = arg;
	r->result.session = session;
	copy_target(r, s);
	limit += session ? 0 : r->open_limit_ms;
	for (size_t i = 0; i < n; i++)
		limit += cmds[i].limit_ms + ALIVE_MS;
	name = xasprintf("ssh %s", r->target.name);
	job_start(p, job_new(name, clock_in(limit), work, ended, free_run, r));
}
