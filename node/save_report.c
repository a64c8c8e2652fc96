/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * save_report - the report as JSON.
 * Runs on: any thread.
 */
#include "save.h"
#include "json.h"

static void json_gtid(struct json *j, const char *key, const struct binlog_gtid *g)
{
	char text[BINLOG_GTID_TEXT];

	json_str(j, key, binlog_view_gtid_text(g, text));
}

static void json_place(struct json *j, const char *key, const struct save_place *p)
{
	json_open(j, key, '{');
	json_str(j, "file", p->file);
	json_int(j, "pos", (int64_t)p->pos);
	json_close(j, '}');
}

void save_report_json(const struct save_report *r, struct json *j)
{
	json_int(j, "transactions", (int64_t)r->transactions);
	json_int(j, "had", (int64_t)r->had);
	json_int(j, "bytes", (int64_t)r->bytes);
	json_int(j, "crc32", r->crc);
	json_gtid(j, "first_gtid", &r->first);
	json_gtid(j, "last_gtid", &r->last);
	json_int(j, "first_time", r->first_time);
	json_int(j, "last_time", r->last_time);
	json_place(j, "start", &r->start);
	json_place(j, "end", &r->end);
	json_str(j, "server_version", r->server_version);
	json_bool(j, "mariadb", r->mariadb);
	json_bool(j, "relay", r->relay);
	json_bool(j, "starts_inside", r->starts_inside);
	json_bool(j, "ends_inside", r->ends_inside);
	json_open(j, "cut", '{');
	json_str(j, "why", binlog_next_name(r->why));
	json_str(j, "text", r->why_text);
	json_bool(j, "open", r->open);
	json_gtid(j, "open_gtid", &r->open_gtid);
	json_place(j, "at", &r->cut);
	json_int(j, "bytes", (int64_t)r->cut_bytes);
	json_int(j, "files_left", (int64_t)r->files_left);
	json_close(j, '}');
}
