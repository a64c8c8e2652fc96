/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * diff - from options to a place in relay logs, and what is behind it.
 * Runs on: any thread.
 */
#include "diff.h"
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "dir.h"
#include "find.h"
#include "json.h"
#include "logs.h"
#include "relay.h"
#include "save_cmd.h"
#include "send.h"
#include "str.h"

/* ---- relay logs -------------------------------------------------------------------------------
 */

/* As MHA's manager names them: by table (folder and file), or by relay-log.info. */
static char *current_relay_log(const struct args *a, struct verb_io *io, struct err *e)
{
	char *path;

	if (a->relay_dir && a->current_relay_log)
		return xasprintf("%s/%s", a->relay_dir, a->current_relay_log);
	if (!a->relay_log_info) {
		err_set(e, ERR_CONFIG, 0,
		        "ERROR: Either (--relay_dir=s, --current_relay_log=s) or "
		        "(--relay_log_info=s) "
		        "must be set.");
		return NULL;
	}
	fprintf(io->out, "    Opening %s ...", a->relay_log_info);
	if (a->datadir || a->relay_dir) {
		path = relay_info_read(
		        a->relay_log_info, a->datadir ? a->datadir : a->relay_dir, e);
	} else {
		AUTO(free) char *dir = dir_of(a->relay_log_info);

		path = relay_info_read(a->relay_log_info, dir, e);
	}
	fprintf(io->out, "%s\n", path ? " ok." : " failed.");
	return path;
}

static bool list_relay_logs(
        const struct args *a, struct verb_io *io, struct logs *ret, struct err *e)
{
	AUTO(free) char *current = current_relay_log(a, io, e);
	AUTO(free) char *dir = NULL, *prefix = NULL;
	size_t n;
	uint64_t number;

	if (!current)
		return false;
	if (!dir_log_split(strrchr(current, '/') + 1, &n, &number))
		return err_set(e, ERR_PRECOND, 0,
		        "%s is not the name of a relay log (<name>.<number>)", current);
	dir = dir_of(current);
	prefix = xstrndup(strrchr(current, '/') + 1, n);
	if (!logs_in_folder(dir, prefix, ret, e))
		return false;
	fprintf(io->out, "    Relay log found at %s, up to %s\n", dir,
	        ret->files.items[ret->files.len - 1].name);
	return true;
}

/* ---- finding ----------------------------------------------------------------------------------
 */

static bool go_on(void *ctx, struct err *e)
{
	return verb_go_on(ctx, e);
}

static bool find(const struct args *a, const struct logs *logs, struct verb_io *io,
        struct find_place *ret, struct err *e)
{
	struct find_spec spec = { .logs = logs,
		.file = a->target_mlf,
		.pos = (uint64_t)a->target_rmlp,
		.newest = a->latest_mlf,
		.server_id = (uint32_t)a->server_id,
		.go_on = go_on,
		.go_on_ctx = io };

	if (!a->target_mlf)
		return err_set(e, ERR_CONFIG, 0,
		        "--target_mlf (target master log file name) must be set.");
	if (!a->target_rmlp)
		return err_set(e, ERR_CONFIG, 0,
		        "--target_rmlp (target master read log pos) must be set.");
	if (!find_place(&spec, ret, e))
		return false;
	fprintf(io->out, " Target relay log file/position found. start_file:%s, start_pos:%llu.\n",
	        logs->files.items[ret->index].name, (unsigned long long)ret->offset);
	return true;
}

/* Is everything there that a receiver with this GTID set lacks? */
static bool count_missing(
        const struct args *a, const struct logs *logs, struct verb_io *io, struct err *e)
{
	struct save_spec spec = { .logs = logs, .have = a->have, .go_on = go_on, .go_on_ctx = io };
	AUTO_JSON struct json j = JSON_INIT;
	struct save_report r;

	if (!save_run(&spec, NULL, &r, e))
		return false;
	fprintf(io->out, " %llu transactions are missing there.\n",
	        (unsigned long long)r.transactions);
	json_open(&j, NULL, '{');
	save_report_json(&r, &j);
	json_close(&j, '}');
	if (a->json)
		fprintf(io->out, "%s\n", j.text.p);
	verb_result(io, j.text.p);
	return true;
}

static void tell_place(const struct args *a, const struct logs *logs, const struct find_place *p,
        struct verb_io *io)
{
	AUTO_JSON struct json j = JSON_INIT;

	json_open(&j, NULL, '{');
	json_str(&j, "file", logs->files.items[p->index].name);
	json_int(&j, "pos", (int64_t)p->offset);
	json_bool(&j, "nothing_follows", p->nothing_follows);
	json_close(&j, '}');
	if (a->json)
		fprintf(io->out, "%s\n", j.text.p);
	verb_result(io, j.text.p);
}

int find_serve(const struct args *a, struct verb_io *io, struct err *e)
{
	struct logs logs;
	struct find_place p;
	bool ok;

	if (!args_check_manager(a, e) || !list_relay_logs(a, io, &logs, e))
		return 1;
	if (a->have) {
		ok = count_missing(a, &logs, io, e);
	} else {
		ok = find(a, &logs, io, &p, e);
		if (ok)
			tell_place(a, &logs, &p, io);
	}
	if (ok)
		fprintf(io->out, "Target relay log FOUND!\n");
	logs_done(&logs);
	return ok ? 0 : 1;
}

/* ---- writing ----------------------------------------------------------------------------------
 */

enum wrote { WROTE_FAILED, WROTE_NOTHING, WROTE_FILE };

static enum wrote generate(
        const struct args *a, const struct logs *logs, struct verb_io *io, struct err *e)
{
	struct save_spec spec = { .logs = logs,
		.have = a->have,
		.previous_gtids = a->previous_gtids,
		.open = save_open_of(a) };
	struct find_place p = { .nothing_follows = false };
	struct save_report r;

	if (!a->have && !find(a, logs, io, &p, e))
		return WROTE_FAILED;
	if (p.nothing_follows)
		return WROTE_NOTHING;
	spec.first = p.index;
	spec.start_pos = p.offset;
	spec.look_from = p.from;
	spec.source_file = p.source_file;
	if (!save_into(&spec, a->count ? "" : a->diff_file, a->json, io, &r, e))
		return WROTE_FAILED;
	if (!r.bytes && a->have)
		return WROTE_NOTHING;
	if (!r.bytes) {
		err_set(e, ERR_PRECOND, 0, "Event not exists.");
		return WROTE_FAILED;
	}
	if (!a->count)
		fprintf(io->out, " Generating diff relay log succeeded. Saved at %s .\n",
		        a->diff_file);
	return WROTE_FILE;
}

static enum wrote diff(const struct args *a, struct verb_io *io, struct err *e)
{
	struct logs logs;
	enum wrote ret;

	if (!args_check_manager(a, e) || !save_check_raw(a, e))
		return WROTE_FAILED;
	if (!a->diff_file && !a->count) {
		err_set(e, ERR_CONFIG, 0,
		        "ERROR: --diff_file_readtolatest=<Diff file name> must be set.");
		return WROTE_FAILED;
	}
	if (!list_relay_logs(a, io, &logs, e))
		return WROTE_FAILED;
	ret = generate(a, &logs, io, e);
	if (ret == WROTE_NOTHING)
		fprintf(io->out, "Target slave has received all relay logs.\n");
	logs_done(&logs);
	return ret;
}

int diff_serve(const struct args *a, struct verb_io *io, struct err *e)
{
	return diff(a, io, e) == WROTE_FAILED;
}

int diff_send_serve(const struct args *a, struct verb_io *io, struct err *e)
{
	enum wrote wrote;

	if (!a->scp_host || !a->scp_user) {
		err_set(e, ERR_CONFIG, 0, "ERROR: --scp_user and --scp_host must be set.");
		return 1;
	}
	wrote = diff(a, io, e);
	if (wrote == WROTE_FILE && !a->count && !send_file(a, a->diff_file, io, e))
		return 1;
	return wrote == WROTE_FAILED;
}
