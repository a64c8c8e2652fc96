/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_switch_hold - the mhad that watches a cluster is paused while its master is switched.  Runs on: the
 * main thread, outside of its loop.
 */
#include <stdlib.h>
#include "ask.h"
#include "clock.h"
#include "cmd_switch.h"
#include "control.h"
#include "log.h"
#include "str.h"

enum {
	ASK_MS = 3000,
	HOLD_MS = 30 * 60000, /* should we be killed, it acts again after so long */
};

#define REASON "its master is being switched"

static json_t *call(struct ask *a, const char *verb, json_t *args, struct err *e)
{
	return ask_call(a, verb, args, clock_in(ASK_MS), e);
}

static bool is_this(const json_t *cluster, const struct conf *c)
{
	const char *path = json_string_value(json_object_get(cluster, "conf"));
	AUTO(free) char *real = path ? realpath(path, NULL) : NULL;

	return real && c->real_path && str_is(real, c->real_path);
}

static const json_t *find(const json_t *status, const struct conf *c)
{
	const json_t *one;
	size_t i;

	json_array_foreach (json_object_get(status, "clusters"), i, one)
		if (is_this(one, c))
			return one;
	return NULL;
}

static bool pause_it(struct cmd_hold *h, struct ask *a, const json_t *cluster, struct err *e)
{
	const char *state = json_string_value(json_object_get(cluster, "state"));
	const json_t *paused = json_object_get(cluster, "paused");
	json_t *got;

	if (state && str_is(state, "failing_over"))
		return err_set(e, ERR_PRECOND, 0, "mhad is failing %s over just now", h->cluster);
	if (json_is_object(paused)) {
		/* A person's stays; that of a switch that was killed is ours now. */
		h->held = str_is(json_string_value(json_object_get(paused, "reason")), REASON);
		return true;
	}
	got = call(a, "pause",
	        json_pack("{s:s, s:I, s:s}", "cluster", h->cluster, "for_ms", (json_int_t)HOLD_MS,
	                "reason", REASON),
	        e);
	h->held = got;
	json_decref(got);
	return h->held || err_ctx(e, "mhad could not be paused");
}

/* No mhad, or none that tells us anything: then it is not ours to pause, and its lock on the master will show. */
bool cmd_hold_begin(struct cmd_hold *h, const struct conf *c, struct err *e)
{
	struct err why = { 0 };
	AUTO(ask) struct ask *a = ask_open(ask_path(h->socket), clock_in(ASK_MS), &why);
	json_t *status = a ? call(a, "status", NULL, &why) : NULL;
	const json_t *mine = status ? find(status, c) : NULL;
	const char *name = json_string_value(json_object_get(mine, "name"));
	bool fine = true;

	if (name && !str_is(json_string_value(json_object_get(mine, "state")), "locked")) {
		h->cluster = xstrdup(name);
		fine = pause_it(h, a, mine, e);
	}
	json_decref(status);
	return fine;
}

void cmd_hold_end(struct cmd_hold *h)
{
	struct err e = { 0 };
	AUTO(ask) struct ask *a = NULL;
	json_t *got = NULL;

	if (h->held) {
		a = ask_open(ask_path(h->socket), clock_in(ASK_MS), &e);
		got = a ? call(a, "resume", json_pack("{s:s}", "cluster", h->cluster), &e) : NULL;
		if (!got)
			log_warning("mhad stays paused (mhactl resume %s): %s", h->cluster, e.text);
		json_decref(got);
	}
	free(TAKE(h->cluster));
	h->held = false;
}
