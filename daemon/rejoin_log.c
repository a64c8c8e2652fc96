/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rejoin_log - asks mha-node, reads its lines.  Runs on: worker.
 */
#include "rejoin_log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "str.h"

enum { PIECE = 64 << 10 };

/* ---- lines ---- */

static bool read_txn(struct rejoin_log *l, char *line)
{
	char *tab = strchr(line, '\t');
	struct rejoin_txn t = { .file = (uint32_t)l->files.len - 1 };
	char gtid[128];
	unsigned long long mark, end, time;

	if (tab)
		*tab++ = '\0';
	if (!l->files.len || sscanf(line, "T %llx %llu %llu %u %c %127s", &mark, &end, &time,
	                             &t.server, &t.kind, gtid) != 6)
		return false;
	t.mark = mark;
	t.end = end;
	t.time = (int64_t)time;
	t.gtid = str_is(gtid, "-") ? NULL : xstrdup(gtid);
	t.details = tab ? xstrdup(tab) : NULL;
	vec_push(&l->all, t);
	return true;
}

bool rejoin_log_line(struct rejoin_log *l, char *line)
{
	if (str_starts(line, "T "))
		return read_txn(l, line);
	if (!str_starts(line, "F ") || !line[2])
		return false;
	vec_push(&l->files, xstrdup(line + 2));
	return true;
}

void rejoin_log_done(struct rejoin_log *l)
{
	vec_each (struct rejoin_txn, t, &l->all) {
		free(t->gtid);
		free(t->details);
	}
	vec_each (char *, f, &l->files)
		free(*f);
	vec_done(&l->all);
	vec_done(&l->files);
	free(l->before);
	*l = (struct rejoin_log){ .before = NULL };
}

bool rejoin_txn_is_empty(const struct rejoin_txn *t)
{
	return t->kind == '-' || t->kind == 'a';
}

/* ---- fetching ---- */

static bool take_lines(struct rejoin_log *l, struct str *s, struct err *e)
{
	char *line = s->p, *end;

	while ((end = memchr(line, '\n', s->len - (size_t)(line - s->p))) != NULL) {
		*end = '\0';
		if (!rejoin_log_line(l, line))
			return err_set(e, ERR_PARSE, 0, "mha-node look said \"%.80s\"", line);
		line = end + 1;
	}
	if (line > s->p) {
		size_t rest = s->len - (size_t)(line - s->p);

		memmove(s->p, line, rest);
		str_cut(s, rest);
	}
	return true;
}

static bool receive(struct link_stream *s, struct rejoin_log *l, struct err *e)
{
	AUTO(free) char *buf = xmalloc(PIECE);
	AUTO_STR struct str text = STR_INIT;
	ssize_t n;

	while ((n = link_read(s, buf, PIECE, e)) > 0) {
		str_addn(&text, buf, (size_t)n);
		if (!take_lines(l, &text, e))
			return false;
	}
	return n == 0;
}

static void read_end(struct rejoin_log *l, const json_t *j)
{
	const json_t *end = json_object_get(j, "end");
	const char *before = json_string_value(json_object_get(j, "before"));
	const char *file = json_string_value(json_object_get(end, "file"));

	l->before = xstrdup(before);
	snprintf(l->end_file, sizeof(l->end_file), "%s", file ? file : "");
	l->end_pos = (uint64_t)json_integer_value(json_object_get(end, "pos"));
	l->booted = json_integer_value(json_object_get(j, "booted"));
}

bool rejoin_log_fetch(
        const struct rejoin_log_ask *a, int64_t deadline, struct rejoin_log *ret, struct err *e)
{
	json_t *args = json_pack("{s:s, s:s, s:s*}", "binlog_dir", a->server->master_binlog_dir,
	        "start_file", a->file, "have", a->have);
	AUTO(link_stream) struct link_stream *s = NULL;
	struct link_result r = { .status = -1 };
	bool fine;

	*ret = (struct rejoin_log){ .before = NULL };
	if (a->details)
		json_object_set_new(args, "json", json_true());
	s = link_open(a->door, "look", args, false, deadline, e);
	if (!s || !receive(s, ret, e))
		return err_ctx(e, "look into the binlogs of %s", a->server->hostinfo);
	fine = link_close(TAKE(s), &r, e);
	if (fine)
		read_end(ret, r.value);
	link_result_done(&r);
	return fine || err_ctx(e, "look into the binlogs of %s", a->server->hostinfo);
}
