/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_live - `mhactl status`, `why`, `pause`, `resume`, `reload`, `history`, `ack`: what is asked of the
 * mhad that runs.
 */
#include "cmd_live.h"
#include "clock.h"
#include "cmds.h"
#include "control.h"
#include "live.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RELOAD_MS = 60000 }; /* files are read and names looked up */

/* What these commands are told. */
struct live {
	const char *socket, *cluster;
	bool all;
};

int cmd_live_fail(const struct cmd *c, const struct err *e)
{
	switch (e->kind) {
	case ERR_UNREACHABLE:
	case ERR_REFUSED:
	case ERR_LOST:
	case ERR_PARSE: return cmd_fail(c, CMD_NO_DAEMON, e);
	default: return cmd_fail(c, CMD_FAILED, e);
	}
}

static json_t *ask_once(const struct cmd *c, const struct live *o, const char *verb, json_t *args,
        int64_t ms, int *ret_exit)
{
	int64_t deadline = clock_in(ms);
	struct err e = { 0 };
	AUTO(ask) struct ask *a = ask_open(ask_path(o->socket), deadline, &e);
	json_t *value = NULL;

	if (a)
		value = ask_call(a, verb, args, deadline, &e);
	else
		json_decref(args);
	if (!value)
		*ret_exit = cmd_live_fail(c, &e);
	return value;
}

static bool print_json(const json_t *j)
{
	AUTO(free) char *text = json_dumps(j, JSON_INDENT(2) | JSON_ENCODE_ANY);
	AUTO_STR struct str out = STR_INIT;

	str_addf(&out, "%s\n", text ? text : "null");
	return cmd_print(&out);
}

/* One cluster as the only word; it may be left out with --all, or when `otherwise` is NULL. */
static bool take_cluster(const struct cmd *c, struct live *o, int words, char **argv,
        const char *otherwise, int *ret_exit)
{
	struct err e = { 0 };

	o->cluster = words ? argv[1] : NULL;
	if (words > 1)
		err_set(&e, ERR_CONFIG, 0, "one cluster at a time: what is \"%s\"?", argv[2]);
	else if (words && o->all)
		err_set(&e, ERR_CONFIG, 0, "%s or --all, not both", argv[1]);
	else if (!words && !o->all && otherwise)
		err_set(&e, ERR_CONFIG, 0, "which cluster?%s", otherwise);
	else
		return true;
	err_hint(&e, "mhactl status lists the clusters");
	*ret_exit = cmd_fail(c, CMD_USAGE, &e);
	return false;
}

static json_t *cluster_args(const struct live *o)
{
	json_t *args = json_object();

	if (o->all)
		json_object_set_new(args, "all", json_true());
	else
		json_object_set_new(args, "cluster", control_text(o->cluster));
	return args;
}

static void set_text(json_t *args, const char *name, const char *text)
{
	if (text)
		json_object_set_new(args, name, control_text(text));
}

/* ---- status ----------------------------------------------------------------------------------- */

static int unknown_cluster(const struct cmd *c, const char *name, const json_t *status)
{
	AUTO_STR struct str all = STR_INIT;
	struct err e = { 0 };
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(status, "clusters"), i, one)
	{
		str_add(&all, all.len ? ", " : "");
		live_add(&all, one, "name");
	}
	err_set(&e, ERR_CONFIG, 0, "mhad watches no cluster \"%s\"", name);
	if (all.len)
		err_hint(&e, "it watches %s", all.p);
	return cmd_fail(c, CMD_USAGE, &e);
}

static int show_status(const struct cmd *c, const json_t *status)
{
	AUTO_STR struct str out = STR_INIT;

	if (c->json) {
		if (!print_json(status))
			return CMD_FAILED;
	} else {
		live_status(&out, status);
		if (!cmd_print(&out))
			return CMD_FAILED;
	}
	return live_all_well(status) ? CMD_OK : CMD_FAILED;
}

static int show_cluster(const struct cmd *c, const char *name, const json_t *status)
{
	const json_t *cluster = live_find(status, name);
	AUTO_STR struct str out = STR_INIT;

	if (!cluster)
		return unknown_cluster(c, name, status);
	live_cluster(&out, cluster);
	if (c->json ? !print_json(cluster) : !cmd_print(&out))
		return CMD_FAILED;
	return live_is_well(cluster, NULL) ? CMD_OK : CMD_FAILED;
}

int cmd_status(struct cmd *c, int argc, char **argv)
{
	struct live o = { 0 };
	bool watch = false;
	const struct opt opts[] = { { "watch", OPT_FLAG, .to = &watch,
		                            .help = "a live screen, until q is typed" },
		CMD_OPT_JSON(c), CMD_OPT_SOCKET(o.socket), CMD_OPTS_COMMON(c), { 0 } };
	json_t *status;
	int words, code;

	if (!cmd_parse(c, opts, argc, argv, &words, &code) ||
	        !take_cluster(c, &o, words, argv, NULL, &code))
		return code;
	if (watch && !c->json)
		return cmd_screen(c, o.socket, o.cluster);
	status = ask_once(c, &o, "status", NULL, LIVE_ASK_MS, &code);
	if (!status)
		return code;
	code = o.cluster ? show_cluster(c, o.cluster, status) : show_status(c, status);
	json_decref(status);
	return code;
}

/* ---- why -------------------------------------------------------------------------------------- */

static bool write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t wrote = write(fd, p, n);

		if (wrote < 0 && errno != EINTR)
			return false;
		if (wrote > 0) {
			p += wrote;
			n -= (size_t)wrote;
		}
	}
	return true;
}

/* Whole or not at all, and what was there before stays until then. */
static bool save(const char *path, const json_t *j, struct err *e)
{
	AUTO(free) char *text = json_dumps(j, JSON_INDENT(1) | JSON_ENCODE_ANY);
	AUTO(free) char *tmp = xasprintf("%s.XXXXXX", path);
	AUTO_FD int fd = mkostemp(tmp, O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return err_sys(e, "cannot make a file beside %s", path);
	ok = text && write_all(fd, text, strlen(text)) && write_all(fd, "\n", 1) && !fsync(fd) &&
	     !rename(tmp, path);
	if (ok)
		return true;
	err_sys(e, "cannot write %s", path);
	unlink(tmp);
	return false;
}

static int save_ring(const struct cmd *c, const char *path, const json_t *why)
{
	const json_t *ring = json_object_get(why, "ring");
	struct err e = { 0 };

	if (!ring)
		err_set(&e, ERR_PRECOND, 0, "this mhad gave no ring to save");
	else if (save(path, ring, &e))
		return CMD_OK;
	return cmd_fail(c, CMD_FAILED, &e);
}

int cmd_why(struct cmd *c, int argc, char **argv)
{
	struct live o = { 0 };
	const char *file = NULL;
	bool ring = false;
	const struct opt opts[] = {
		{ "ring", OPT_FLAG, .to = &ring,
		        .help = "what was known in each of the last seconds, too" },
		{ "save", OPT_STR, .to = &file, .arg = "FILE",
		        .help = "write the ring to FILE as JSON, to be judged again in a test" },
		CMD_OPT_JSON(c), CMD_OPT_SOCKET(o.socket), CMD_OPTS_COMMON(c), { 0 }
	};
	AUTO_STR struct str out = STR_INIT;
	json_t *why;
	int words, code;

	if (!cmd_parse(c, opts, argc, argv, &words, &code) ||
	        !take_cluster(c, &o, words, argv, "", &code))
		return code;
	why = ask_once(c, &o, "why", cluster_args(&o), LIVE_ASK_MS, &code);
	if (!why)
		return code;
	code = file ? save_ring(c, file, why) : CMD_OK;
	if (c->json && !ring)
		json_object_del(why, "ring");
	live_why(&out, why, ring);
	if (c->json ? !print_json(why) : !cmd_print(&out))
		code = CMD_FAILED;
	json_decref(why);
	return code;
}

/* ---- actions ---------------------------------------------------------------------------------- */

/* "30m", "90s", "2h", "1d", "500ms". */
static bool read_span(const char *text, int64_t *ret_ms, struct err *e)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "min", 60000 }, { "m", 60000 },
		{ "h", 3600000 }, { "d", 86400000 } };
	AUTO(free) char *digits = xstrndup(text, strspn(text, "0123456789"));
	const char *unit = text + strlen(digits);
	long long n;

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (!str_is(unit, units[i].unit) || !str_to_int(digits, 1, 100000000, &n))
			continue;
		*ret_ms = (int64_t)n * units[i].ms;
		return true;
	}
	err_set(e, ERR_CONFIG, 0, "--for=%s is no time span", text);
	return err_hint(e, "30m, 90s, 2h or 1d");
}

/* What mhad said, or our own words for it. */
static int done(const struct cmd *c, json_t *value, const char *text)
{
	const char *said = json_string_value(json_object_get(value, "text"));
	AUTO_STR struct str out = STR_INIT;
	bool ok;

	live_add_clean(&out, said ? said : text);
	str_addc(&out, '\n');
	ok = c->json ? print_json(value) : cmd_print(&out);
	json_decref(value);
	return ok ? CMD_OK : CMD_FAILED;
}

int cmd_pause(struct cmd *c, int argc, char **argv)
{
	struct live o = { 0 };
	const char *span = NULL, *reason = NULL;
	const struct opt opts[] = { { "all", OPT_FLAG, .to = &o.all, .help = "all clusters" },
		{ "for", OPT_STR, .to = &span, .arg = "TIME",
		        .help = "30m, 90s, 2h, 1d; without it until mhactl resume" },
		{ "reason", OPT_STR, .to = &reason, .arg = "TEXT",
		        .help = "shown by status, kept in the history" },
		CMD_OPT_JSON(c), CMD_OPT_SOCKET(o.socket), CMD_OPTS_COMMON(c), { 0 } };
	AUTO_STR struct str text = STR_INIT;
	struct err e = { 0 };
	int64_t ms = 0;
	json_t *args, *value;
	int words, code;

	if (!cmd_parse(c, opts, argc, argv, &words, &code) ||
	        !take_cluster(c, &o, words, argv, " Give its name, or --all", &code))
		return code;
	if (span && !read_span(span, &ms, &e))
		return cmd_fail(c, CMD_USAGE, &e);
	args = cluster_args(&o);
	if (span)
		json_object_set_new(args, "for_ms", json_integer(ms));
	set_text(args, "reason", reason);
	value = ask_once(c, &o, "pause", args, LIVE_ASK_MS, &code);
	if (!value)
		return code;
	str_addf(&text, "%s paused ", o.all ? "All clusters are" : o.cluster);
	if (span) {
		str_add(&text, "for ");
		live_add_span(&text, ms);
	}
	str_addf(&text, "%s: they are watched, but nothing is failed over",
	        span ? "" : "until mhactl resume");
	return done(c, value, text.p);
}

int cmd_resume(struct cmd *c, int argc, char **argv)
{
	struct live o = { 0 };
	const struct opt opts[] = { { "all", OPT_FLAG, .to = &o.all, .help = "all clusters" },
		CMD_OPT_JSON(c), CMD_OPT_SOCKET(o.socket), CMD_OPTS_COMMON(c), { 0 } };
	AUTO_STR struct str text = STR_INIT;
	json_t *value;
	int words, code;

	if (!cmd_parse(c, opts, argc, argv, &words, &code) ||
	        !take_cluster(c, &o, words, argv, " Give its name, or --all", &code))
		return code;
	value = ask_once(c, &o, "resume", cluster_args(&o), LIVE_ASK_MS, &code);
	if (!value)
		return code;
	str_addf(&text, "%s resumed", o.all ? "All clusters are" : o.cluster);
	return done(c, value, text.p);
}

int cmd_ack(struct cmd *c, int argc, char **argv)
{
	struct live o = { 0 };
	const char *reason = NULL;
	const struct opt opts[] = { { "reason", OPT_STR, .to = &reason, .arg = "TEXT",
		                            .help = "why another failover is all right; kept" },
		CMD_OPT_JSON(c), CMD_OPT_SOCKET(o.socket), CMD_OPTS_COMMON(c), { 0 } };
	AUTO_STR struct str text = STR_INIT;
	struct err e = { 0 };
	json_t *args, *value;
	int words, code;

	if (!cmd_parse(c, opts, argc, argv, &words, &code) ||
	        !take_cluster(c, &o, words, argv, "", &code))
		return code;
	if (!reason || !*reason) {
		err_set(&e, ERR_CONFIG, 0, "say why: --reason=TEXT; it is kept in the history");
		return cmd_fail(c, CMD_USAGE, &e);
	}
	args = cluster_args(&o);
	set_text(args, "reason", reason);
	value = ask_once(c, &o, "ack", args, LIVE_ASK_MS, &code);
	if (!value)
		return code;
	str_addf(&text, "%s may fail over again", o.cluster);
	return done(c, value, text.p);
}

/* ---- reload, history -------------------------------------------------------------------------- */

static void add_list(struct str *out, const char *title, const json_t *list)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		const char *text = json_string_value(one);
		AUTO(free) char *whole = text ? NULL : json_dumps(one, JSON_COMPACT);

		str_addf(out, "%s", title);
		live_add_clean(out, text ? text : whole ? whole : "-");
		str_addc(out, '\n');
	}
}

int cmd_reload(struct cmd *c, int argc, char **argv)
{
	struct live o = { 0 };
	const struct opt opts[] = { CMD_OPT_JSON(c), CMD_OPT_SOCKET(o.socket), CMD_OPTS_COMMON(c),
		{ 0 } };
	AUTO_STR struct str out = STR_INIT;
	const json_t *problems;
	json_t *value;
	int code;

	if (!cmd_parse(c, opts, argc, argv, NULL, &code))
		return code;
	value = ask_once(c, &o, "reload", NULL, RELOAD_MS, &code);
	if (!value)
		return code;
	problems = json_object_get(value, "problems");
	str_add(&out, "Clusters watched: ");
	live_add(&out, value, "clusters");
	str_addc(&out, '\n');
	add_list(&out, "changed: ", json_object_get(value, "changed"));
	add_list(&out, "problem: ", problems);
	if (c->json ? !print_json(value) : !cmd_print(&out))
		code = CMD_FAILED;
	else
		code = json_array_size(problems) ? CMD_FAILED : CMD_OK;
	json_decref(value);
	return code;
}

int cmd_history(struct cmd *c, int argc, char **argv)
{
	struct live o = { 0 };
	int64_t limit = 0;
	const struct opt opts[] = { { "limit", OPT_INT, .to = &limit, .arg = "N",
		                            .help = "so many of the last entries", .min = 1,
		                            .max = 10000 },
		CMD_OPT_JSON(c), CMD_OPT_SOCKET(o.socket), CMD_OPTS_COMMON(c), { 0 } };
	AUTO_STR struct str out = STR_INIT;
	json_t *args, *value;
	int words, code;

	if (!cmd_parse(c, opts, argc, argv, &words, &code) ||
	        !take_cluster(c, &o, words, argv, "", &code))
		return code;
	args = cluster_args(&o);
	if (limit)
		json_object_set_new(args, "limit", json_integer(limit));
	value = ask_once(c, &o, "history", args, LIVE_ASK_MS, &code);
	if (!value)
		return code;
	live_history(&out, value);
	code = (c->json ? print_json(value) : cmd_print(&out)) ? CMD_OK : CMD_FAILED;
	json_decref(value);
	return code;
}
