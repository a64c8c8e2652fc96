/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * save_cmd - from options to a saved file and a report.
 * Runs on: any thread.
 */
#include "save_cmd.h"
#include <stdlib.h>
#include <string.h>
#include "dir.h"
#include "json.h"
#include "out.h"
#include "relay.h"
#include "str.h"

#define NOTHING_TO_SAVE 10

bool save_check_raw(const struct args *a, struct err *e)
{
	if (a->handle_raw_binlog)
		return true;
	err_set(e, ERR_CONFIG, 0,
	        "--handle_raw_binlog=0: text mode needs mysqlbinlog, and is not there");
	return err_hint(e, "use raw mode (handle_raw_binlog=1, the default)");
}

enum save_open save_open_of(const struct args *a)
{
	if (a->keep_open < 0)
		return SAVE_OPEN_KEEP_RELAY;
	return a->keep_open ? SAVE_OPEN_KEEP : SAVE_OPEN_CUT;
}

/* ---- telling -----------------------------------------------------------------------------------
 */

static void tell_cut(const struct save_report *r, FILE *out)
{
	char gtid[BINLOG_GTID_TEXT];

	if (r->why != BINLOG_END)
		fprintf(out, "  Cut off behind %s:%llu: %llu bytes: %s\n", r->cut.file,
		        (unsigned long long)r->cut.pos, (unsigned long long)r->cut_bytes,
		        r->why_text);
	if (r->open)
		fprintf(out, "  %s behind %s:%llu: a transaction that does not end %s\n",
		        r->ends_inside ? "Kept" : "Cut off", r->end.file,
		        (unsigned long long)r->end.pos, binlog_view_gtid_text(&r->open_gtid, gtid));
	if (r->files_left)
		fprintf(out, "  WARNING: %zu files behind %s were not read.\n", r->files_left,
		        r->cut.file);
}

static void tell(const struct save_report *r, const char *path, bool json, struct verb_io *io)
{
	AUTO_JSON struct json j = JSON_INIT;
	bool into = *path && !str_is(path, "-");

	if (r->bytes)
		fprintf(io->out,
		        "  %s %llu transactions (%llu bytes) from %s:%llu to %s:%llu%s%s\n",
		        *path ? "Saved" : "There are", (unsigned long long)r->transactions,
		        (unsigned long long)r->bytes, r->start.file,
		        (unsigned long long)r->start.pos, r->end.file,
		        (unsigned long long)r->end.pos, into ? " into " : "", into ? path : "");
	tell_cut(r, io->out);
	json_open(&j, NULL, '{');
	save_report_json(r, &j);
	json_close(&j, '}');
	if (json)
		fprintf(io->out, "%s\n", j.text.p);
	verb_result(io, j.text.p);
}

/* ---- where to --------------------------------------------------------------------------------- */

static bool put_caller(void *ctx, const void *bytes, size_t n, struct err *e)
{
	return verb_write(ctx, bytes, n, e);
}

static bool go_on(void *ctx, struct err *e)
{
	return verb_go_on(ctx, e);
}

static bool into_caller(
        const struct save_spec *spec, struct verb_io *io, struct save_report *ret, struct err *e)
{
	struct binlog_sink sink = { .put = put_caller, .ctx = io };

	verb_write_begin(io);
	return save_run(spec, &sink, ret, e);
}

static bool put_file(void *ctx, const void *bytes, size_t n, struct err *e)
{
	return out_write(ctx, bytes, n, e);
}

static bool into_file(
        const struct save_spec *spec, const char *path, struct save_report *ret, struct err *e)
{
	struct out *o = out_open(path, e);
	struct binlog_sink sink = { .put = put_file, .ctx = o, .gathers = true };
	bool ok;

	if (!o)
		return false;
	ok = save_run(spec, &sink, ret, e);
	if (ok && ret->bytes)
		return out_keep(o, e);
	out_drop(o);
	return ok;
}

bool save_into(struct save_spec *spec, const char *path, bool json, struct verb_io *io,
        struct save_report *ret, struct err *e)
{
	bool caller = str_is(path, "-");
	bool fine;

	spec->go_on = go_on;
	spec->go_on_ctx = io;
	spec->sum = caller || json;
	if (!*path)
		fine = save_run(spec, NULL, ret, e);
	else
		fine = caller ? into_caller(spec, io, ret, e) : into_file(spec, path, ret, e);
	if (!fine)
		return false;
	tell(ret, path, json, io);
	return true;
}

/* ---- where from ------------------------------------------------------------------------------- */

/* What to begin with, as told by the options or by relay-log.info. */
struct begin {
	char *dirs, *file, *prefix; /* owned */
	uint64_t pos;
};

static void begin_done(struct begin *b)
{
	free(b->dirs);
	free(b->file);
	free(b->prefix);
}

static void close_file(FILE *f)
{
	fclose(f);
}
CLEANUP_FN(file, FILE *, close_file)

/* The line behind the one that names the relay log, which is the first that is no number. */
static bool pos_in_info(const char *path, uint64_t *ret, struct err *e)
{
	int fd = dir_open_file(path, e);
	AUTO(file) FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	AUTO(free) char *line = NULL;
	size_t cap = 0;
	unsigned long long n;
	bool named = false, found = false;

	if (!f)
		return false;
	for (int i = 0; i < 3 && !found && getline(&line, &cap, f) >= 0; i++) {
		bool number = str_to_u64(str_trim(line), &n);

		found = number && named;
		named = named || !number;
	}
	if (!found)
		return err_set(e, ERR_PARSE, 0, "%s: it has no relay log position", path);
	*ret = n;
	return true;
}

static bool begin_at_info(const struct args *a, struct begin *b, struct err *e)
{
	AUTO(free)
	char *path = relay_info_read(a->relay_log_info, a->datadir ? a->datadir : a->binlog_dir, e);

	if (!path)
		return false;
	b->dirs = dir_of(path);
	if (a->start_file)
		return true;
	b->file = xstrdup(strrchr(path, '/') + 1);
	return a->start_pos >= 0 || pos_in_info(a->relay_log_info, &b->pos, e);
}

static bool begin_of(const struct args *a, struct begin *b, struct err *e)
{
	size_t n;
	uint64_t number;

	b->file = xstrdup(a->start_file);
	b->pos = a->start_pos < 0 ? 0 : (uint64_t)a->start_pos;
	if (a->relay_log_info && !begin_at_info(a, b, e))
		return false;
	if (!b->dirs)
		b->dirs = xstrdup(a->binlog_dir);
	if (!b->file && a->have && a->binlog_prefix) {
		b->prefix = xstrdup(a->binlog_prefix);
		return true;
	}
	if (!b->file)
		return a->index ||
		       err_set(e, ERR_CONFIG, 0, "Set --start_file=<starting_binlog_filename>");
	if (!a->have && a->start_file && a->start_pos < 0)
		return err_set(e, ERR_CONFIG, 0, "Set --start_pos=<starting_binlog_pos>");
	if (!dir_log_split(b->file, &n, &number))
		return err_set(e, ERR_CONFIG, 0, "--start_file=%s is not <name>.<number>", b->file);
	b->prefix = xstrndup(b->file, n);
	return true;
}

static bool list_logs(
        const struct args *a, const struct begin *b, struct logs *ret, size_t *first, struct err *e)
{
	*first = 0;
	if (!a->index)
		return logs_in_folders(b->dirs, b->prefix, b->file, ret, e) &&
		       (!b->file || logs_find(ret, b->file, first));
	if (!a->have && !b->file)
		return err_set(e, ERR_CONFIG, 0, "Set --start_file=<starting_binlog_filename>");
	if (!logs_of_index(a->index, a->datadir, ret, e))
		return false;
	if (!b->file || logs_find(ret, b->file, first))
		return true;
	logs_done(ret);
	return err_set(e, ERR_PRECOND, 0, "%s is not in %s", b->file, a->index);
}

static bool save(const struct args *a, const struct begin *b, struct verb_io *io,
        struct save_report *ret, struct err *e)
{
	struct save_spec spec = { .start_pos = b->pos,
		.have = a->have,
		.previous_gtids = a->previous_gtids,
		.open = save_open_of(a) };
	struct logs logs;
	bool ok;

	if (!list_logs(a, b, &logs, &spec.first, e))
		return false;
	spec.logs = &logs;
	spec.look_from = spec.first;
	ok = save_into(&spec, a->count ? "" : a->output_file, a->json, io, ret, e);
	logs_done(&logs);
	return ok;
}

int save_serve(const struct args *a, struct verb_io *io, struct err *e)
{
	struct begin b = { 0 };
	struct save_report r;
	bool ok = args_check_manager(a, e) && save_check_raw(a, e);

	if (ok && !a->output_file && !a->count)
		ok = err_set(e, ERR_CONFIG, 0, "Set --output_file=<output_file_path>");
	ok = ok && begin_of(a, &b, e) && save(a, &b, io, &r, e);
	begin_done(&b);
	if (!ok) {
		err_ctx(e, "Failed to save binary log");
		return 1;
	}
	if (r.bytes)
		return 0;
	fprintf(io->out, "Event not exists.\n");
	return NOTHING_TO_SAVE;
}
