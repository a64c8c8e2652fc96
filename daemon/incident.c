/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * incident - files below the cluster's state, and the page made of a record.  Runs on: any thread.
 */
#include "incident.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "history.h"

static const char *text_of(const json_t *j, const char *name)
{
	const char *s = json_string_value(json_object_get(j, name));

	return s ? s : "";
}

static long long number_of(const json_t *j, const char *name)
{
	return (long long)json_integer_value(json_object_get(j, name));
}

/* ---- files ---- */

static char *dir_of(const char *state_dir, const char *cluster, bool make, struct err *e)
{
	AUTO(free)
	char *base =
	        make ? history_dir(state_dir, cluster, e) : xasprintf("%s/%s", state_dir, cluster);
	AUTO(free) char *dir = base ? xasprintf("%s/incidents", base) : NULL;

	if (dir && make && mkdir(dir, 0750) != 0 && errno != EEXIST) {
		err_sys(e, "make directory %s", dir);
		return NULL;
	}
	return TAKE(dir);
}

static bool write_whole(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t did = write(fd, p, n);

		if (did < 0 && errno != EINTR)
			return false;
		if (did > 0) {
			p += did;
			n -= (size_t)did;
		}
	}
	return true;
}

static bool write_file(
        const char *dir, const char *run, const char *suffix, const struct str *text, struct err *e)
{
	AUTO(free) char *path = xasprintf("%s/%s.%s", dir, run, suffix);
	AUTO(free) char *part = xasprintf("%s.part", path);
	AUTO_FD int fd = -1;

	unlink(part);
	fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return err_sys(e, "create %s", part);
	if (!write_whole(fd, text->p, text->len) || fsync(fd) != 0)
		return err_sys(e, "write %s", part);
	return rename(part, path) == 0 || err_sys(e, "rename %s", part);
}

bool incident_save(const char *state_dir, const char *cluster, const json_t *record, struct err *e)
{
	AUTO_STR struct str json = STR_INIT, page = STR_INIT;
	AUTO(free) char *dir = NULL, *dump = NULL;

	if (!state_dir)
		return true;
	dir = dir_of(state_dir, cluster, true, e);
	dump = json_dumps(record, JSON_INDENT(1));
	if (!dir || !dump)
		return dir && err_set(e, ERR_PARSE, 0, "the incident is no JSON");
	str_addf(&json, "%s\n", dump);
	incident_text(record, &page);
	return write_file(dir, text_of(record, "run"), "json", &json, e) &&
	       write_file(dir, text_of(record, "run"), "txt", &page, e);
}

static char *last_in(const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *entry;
	char *best = NULL;

	while (d && (entry = readdir(d))) {
		const char *dot = strrchr(entry->d_name, '.');

		if (!dot || !str_is(dot, ".json") || (best && strcmp(entry->d_name, best) < 0))
			continue;
		free(best);
		best = xstrndup(entry->d_name, (size_t)(dot - entry->d_name));
	}
	if (d)
		closedir(d);
	return best;
}

json_t *incident_load(const char *state_dir, const char *cluster, const char *run, struct err *e)
{
	AUTO(free) char *dir = dir_of(state_dir, cluster, false, e);
	AUTO(free) char *name = run ? xstrdup(run) : last_in(dir);
	AUTO(free) char *path = NULL;
	json_error_t why;
	json_t *record;

	if (!name) {
		err_set(e, ERR_PRECOND, 0, "no incident of %s is kept in %s", cluster, dir);
		return NULL;
	}
	if (strchr(name, '/')) {
		err_set(e, ERR_CONFIG, 0, "\"%s\" is no name of a run", name);
		return NULL;
	}
	path = xasprintf("%s/%s.json", dir, name);
	if (access(path, R_OK) != 0) {
		err_sys(e, "%s", path);
		return NULL;
	}
	record = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
	if (!record)
		err_set(e, ERR_PARSE, 0, "%s:%d: %s", path, why.line, why.text);
	return record;
}

/* ---- the page ---- */

static bool is_switch(const json_t *r)
{
	return str_is(text_of(r, "plan"), "switch");
}

static void add_ms(const json_t *r, const char *name, const char *title, struct str *to)
{
	const json_t *ms = json_object_get(r, name);

	if (json_is_number(ms))
		str_addf(to, "  %-13s %.1f ms\n", title, json_number_value(ms));
}

static void add_switch(const json_t *r, struct str *to)
{
	str_addf(to, "  old master    %s\n", text_of(r, "from"));
	str_addf(to, "  new master    %s\n", text_of(r, "to"));
	add_ms(r, "refused_ms", "no writes for", to);
	add_ms(r, "moved_ms", "moved after", to);
}

static void add_failover(const json_t *r, struct str *to)
{
	const char *fresh = text_of(r, "new_master"), *why = text_of(r, "why");

	str_addf(to, "  old master    %s\n", text_of(r, "dead"));
	str_addf(to, "  new master    %s\n", *fresh ? fresh : "none");
	if (*why)
		str_addf(to, "  why           %s\n", why);
	str_addf(to, "  fencing       %s%s%s\n", text_of(r, "fenced"),
	        *text_of(r, "fenced_why") ? ": " : "", text_of(r, "fenced_why"));
	str_addf(to, "  lost          %s\n",
	        *text_of(r, "lost") ? text_of(r, "lost") : "nothing that is known of");
	if (number_of(r, "opened_ms") >= 0)
		str_addf(to, "  open after    %lld ms\n", number_of(r, "opened_ms"));
}

static void add_head(const json_t *r, struct str *to)
{
	time_t at = (time_t)number_of(r, "at");
	const json_t *error = json_object_get(r, "error");
	char when[64] = "";
	struct tm tm;

	localtime_r(&at, &tm);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S %z", &tm);
	str_addf(to, "%s of %s: %s\n\n", is_switch(r) ? "Switch" : "Failover",
	        text_of(r, "cluster"), text_of(r, "result"));
	str_addf(to, "  ended         %s, run %s\n", when, text_of(r, "run"));
	if (is_switch(r))
		add_switch(r, to);
	else
		add_failover(r, to);
	if (json_is_object(error))
		str_addf(to, "  error         %s\n", text_of(error, "text"));
	if (*text_of(error, "hint"))
		str_addf(to, "                %s\n", text_of(error, "hint"));
}

static void add_timeline(const json_t *r, struct str *to)
{
	const json_t *step;
	size_t i;

	str_add(to, "\nTimeline (ms)\n\n     from     took  step\n");
	json_array_foreach (json_object_get(r, "timeline"), i, step) {
		const char *state = text_of(step, "state");

		str_addf(to, "  %7lld  %7lld  %-10s %s%s%s\n", number_of(step, "from_ms"),
		        number_of(step, "ms"), text_of(step, "step"), text_of(step, "title"),
		        str_is(state, "done") ? "" : ": ", str_is(state, "done") ? "" : state);
	}
}

static void add_list(const json_t *list, const char *title, struct str *to)
{
	const json_t *one;
	size_t i;

	if (json_array_size(list))
		str_addf(to, "\n%s\n\n", title);
	json_array_foreach (list, i, one) {
		str_addf(to, "  %s\n", json_string_value(one));
	}
}

void incident_text(const json_t *r, struct str *to)
{
	add_head(r, to);
	add_timeline(r, to);
	add_list(json_object_get(r, "notes"), "Notes", to);
	add_list(json_object_get(r, "commands"), "To do by hand", to);
	str_addf(to, "\nReport\n\n%s", text_of(r, "report"));
}
