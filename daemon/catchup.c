/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * catchup - asks mha-node, keeps what comes, hands it on.  Runs on: worker.
 */
#include "catchup.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"
#include "crc.h"
#include "str.h"

enum { PIECE = 64 << 10, NOTHING_TO_SAVE = 10 };

/* ---- what is asked ---- */

static void set(json_t *args, const char *name, const char *value)
{
	json_object_set_new(args, name, json_string(value));
}

/* "mysql-bin.000003" of "mysql-bin.000003" is "mysql-bin". */
static char *prefix_of(const char *file)
{
	const char *dot = strrchr(file, '.');

	return xstrndup(file, dot ? (size_t)(dot - file) : strlen(file));
}

static void ask_binlog(json_t *args, const struct catchup_place *p, const struct catchup_have *h)
{
	set(args, "binlog_dir", p->server->master_binlog_dir);
	if (h->file) {
		set(args, "start_file", h->file);
		json_object_set_new(args, "start_pos", json_integer((json_int_t)h->pos));
		return;
	}
	set(args, "have", h->gtids);
	if (h->newest) {
		AUTO(free) char *prefix = prefix_of(h->newest);

		set(args, "binlog_prefix", prefix);
	}
}

static void ask_relay(json_t *args, const struct catchup_place *p, const struct catchup_have *h)
{
	if (p->snap->relay_dir)
		set(args, "relay_dir", p->snap->relay_dir);
	if (p->channel->relay_file)
		set(args, "current_relay_log", p->channel->relay_file);
	if (p->snap->version)
		set(args, "target_version", p->snap->version);
	json_object_set_new(args, "server_id", json_integer(p->snap->server_id));
	set(args, "latest_mlf", p->channel->read_file ? p->channel->read_file : "");
	if (h->file) {
		set(args, "target_mlf", h->file);
		json_object_set_new(args, "target_rmlp", json_integer((json_int_t)h->pos));
		json_object_set_new(args, "keep_open", json_integer(0));
	} else {
		set(args, "have", h->gtids);
	}
}

/* A new reference; the verb in *ret_verb. */
static json_t *question(const struct catchup_place *p, const struct catchup_have *h, bool count,
        const char **ret_verb)
{
	json_t *args = json_object();

	if (p->kind == CATCHUP_BINLOG)
		ask_binlog(args, p, h);
	else
		ask_relay(args, p, h);
	if (count)
		json_object_set_new(args, "count", json_true());
	else
		set(args, p->kind == CATCHUP_BINLOG ? "output_file" : "diff_file_readtolatest",
		        "-");
	*ret_verb = p->kind == CATCHUP_BINLOG ? "save" : "diff";
	return args;
}

/* ---- what is answered ---- */

static uint64_t number(const json_t *j, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(j, name));
}

static void text(const json_t *j, const char *name, char *to, size_t size)
{
	const char *s = json_string_value(json_object_get(j, name));

	snprintf(to, size, "%s", s ? s : "");
}

static void place(const json_t *j, const char *name, char *file, size_t size, uint64_t *pos)
{
	const json_t *p = json_object_get(j, name);

	text(p, "file", file, size);
	*pos = number(p, "pos");
}

/* "mysql-bin.000003:4711: an event of 80 bytes, but 12 are there; transaction 0-1-7 does not end". */
static void name_cut(const json_t *cut, struct catchup_found *f)
{
	const json_t *at = json_object_get(cut, "at");
	const char *why = json_string_value(json_object_get(cut, "text"));
	const char *gtid = json_string_value(json_object_get(cut, "open_gtid"));
	uint64_t left = number(cut, "files_left");
	AUTO_STR struct str s = STR_INIT;

	if (!at) { /* in a journal it stands in words */
		text(cut, "text", f->cut, sizeof(f->cut));
		return;
	}
	if (!f->cut_bytes && !f->cut_open && !left)
		return;
	str_addf(&s, "%llu bytes behind %s:%llu", (unsigned long long)f->cut_bytes,
	        json_string_value(json_object_get(at, "file")),
	        (unsigned long long)number(at, "pos"));
	if (f->cut_open)
		str_addf(&s, ", a transaction that does not end%s%s", gtid && *gtid ? " " : "",
		        gtid ? gtid : "");
	if (why && *why)
		str_addf(&s, " (%s)", why);
	if (left)
		str_addf(&s, ", and %llu more files", (unsigned long long)left);
	snprintf(f->cut, sizeof(f->cut), "%s", s.p);
}

static void read_found(const json_t *j, struct catchup_found *f)
{
	const json_t *cut = json_object_get(j, "cut");

	*f = (struct catchup_found){ .transactions = number(j, "transactions"),
		.bytes = number(j, "bytes"),
		.crc = (uint32_t)number(j, "crc32"),
		.first_time = (int64_t)number(j, "first_time"),
		.last_time = (int64_t)number(j, "last_time"),
		.cut_bytes = number(cut, "bytes"),
		.cut_open = json_is_true(json_object_get(cut, "open")) };
	text(j, "first_gtid", f->first, sizeof(f->first));
	text(j, "last_gtid", f->last, sizeof(f->last));
	place(j, "start", f->start_file, sizeof(f->start_file), &f->start_pos);
	place(j, "end", f->end_file, sizeof(f->end_file), &f->end_pos);
	name_cut(cut, f);
}

bool catchup_count(const struct catchup_place *p, const struct catchup_have *h, int64_t deadline,
        struct catchup_found *ret, struct err *e)
{
	const char *verb;
	json_t *args = question(p, h, true, &verb);
	struct link_result r = { .status = -1 };
	struct err why = { 0 };
	bool fine = link_run(p->door, verb, args, deadline, &r, &why);

	*ret = (struct catchup_found){ .bytes = 0 };
	if (fine || r.status == NOTHING_TO_SAVE) {
		read_found(r.value, ret);
		fine = true;
	} else if (e) {
		*e = why;
	}
	link_result_done(&r);
	return fine ||
	       err_ctx(e, "look into the %s of %s",
	               p->kind == CATCHUP_BINLOG ? "binlogs" : "relay logs", p->server->hostinfo);
}

/* ---- a file here ---- */

struct keep {
	int fd;
	char *tmp;
	uint64_t bytes;
	uint32_t crc;
};

static bool keep_open(struct keep *k, const char *path, struct err *e)
{
	*k = (struct keep){ .fd = -1, .tmp = xasprintf("%s.part", path) };
	unlink(k->tmp);
	k->fd = open(k->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return k->fd >= 0 || err_sys(e, "create %s", k->tmp);
}

static bool keep_write(struct keep *k, const char *p, size_t n, struct err *e)
{
	k->crc = crc_add(k->crc, p, n);
	k->bytes += n;
	while (n) {
		ssize_t did = write(k->fd, p, n);

		if (did < 0 && errno != EINTR)
			return err_sys(e, "write %s", k->tmp);
		if (did > 0) {
			p += did;
			n -= (size_t)did;
		}
	}
	return true;
}

static bool keep_done(struct keep *k, const char *path, struct err *e)
{
	if (fsync(k->fd) != 0)
		return err_sys(e, "sync %s", k->tmp);
	return rename(k->tmp, path) == 0 || err_sys(e, "rename %s", k->tmp);
}

static void keep_close(struct keep *k)
{
	if (k->fd >= 0)
		close(k->fd);
	if (k->tmp)
		unlink(k->tmp);
	free(k->tmp);
}

static bool receive(struct link_stream *s, struct keep *k, struct err *e)
{
	AUTO(free) char *buf = xmalloc(PIECE);
	ssize_t n;

	while ((n = link_read(s, buf, PIECE, e)) > 0)
		if (!keep_write(k, buf, (size_t)n, e))
			return false;
	return n == 0;
}

static bool is_whole(const struct keep *k, const struct catchup_found *f, struct err *e)
{
	if (k->bytes == f->bytes && (!k->bytes || k->crc == f->crc))
		return true;
	return err_set(e, ERR_LOST, 0,
	        "%llu bytes with checksum %08x came instead of %llu with %08x",
	        (unsigned long long)k->bytes, k->crc, (unsigned long long)f->bytes, f->crc);
}

static bool fetch(const struct catchup_place *p, const struct catchup_have *h, struct keep *k,
        int64_t deadline, struct catchup_found *ret, struct err *e)
{
	const char *verb;
	json_t *args = question(p, h, false, &verb);
	AUTO(link_stream)
	struct link_stream *s = link_open(p->door, verb, args, false, deadline, e);
	struct link_result r = { .status = -1 };
	struct err why = { 0 };
	bool fine;

	if (!s || !receive(s, k, e))
		return false;
	fine = link_close(TAKE(s), &r, &why) || r.status == NOTHING_TO_SAVE;
	if (fine)
		read_found(r.value, ret);
	else if (e)
		*e = why;
	link_result_done(&r);
	return fine && is_whole(k, ret, e);
}

bool catchup_save(const struct catchup_place *p, const struct catchup_have *h, const char *path,
        int64_t deadline, struct catchup_found *ret, struct err *e)
{
	struct keep k;
	bool fine;

	*ret = (struct catchup_found){ .bytes = 0 };
	fine = keep_open(&k, path, e) && fetch(p, h, &k, deadline, ret, e) &&
	       (!ret->transactions || keep_done(&k, path, e));
	keep_close(&k);
	return fine || err_ctx(e, "save what is missing from %s", p->server->hostinfo);
}

/* ---- to the host that lacks it ---- */

static bool read_file(const char *path, int *ret_fd, uint64_t *ret_bytes, uint32_t *ret_crc,
        char *buf, struct err *e)
{
	ssize_t n;

	*ret_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (*ret_fd < 0)
		return err_sys(e, "open %s", path);
	*ret_bytes = 0;
	*ret_crc = 0;
	while ((n = read(*ret_fd, buf, PIECE)) > 0) {
		*ret_crc = crc_add(*ret_crc, buf, (size_t)n);
		*ret_bytes += (uint64_t)n;
	}
	if (n < 0 || lseek(*ret_fd, 0, SEEK_SET) != 0)
		return err_sys(e, "read %s", path);
	return true;
}

static bool send(struct link_stream *s, int fd, char *buf, struct err *e)
{
	ssize_t n;

	while ((n = read(fd, buf, PIECE)) > 0)
		if (!link_write(s, buf, (size_t)n, e))
			return false;
	return n == 0 || err_sys(e, "read a saved file");
}

static bool put(const struct catchup_target *t, const char *path, const char *there,
        int64_t deadline, struct err *e)
{
	AUTO(free) char *buf = xmalloc(PIECE);
	AUTO(link_stream) struct link_stream *s = NULL;
	AUTO_FD int fd = -1;
	struct link_result r = { .status = -1 };
	struct err why = { 0 };
	char hex[16];
	uint64_t bytes = 0;
	uint32_t crc = 0;
	bool fine;

	if (!read_file(path, &fd, &bytes, &crc, buf, e))
		return false;
	snprintf(hex, sizeof(hex), "%08x", crc);
	s = link_open(t->door, "put",
	        json_pack("{s:s, s:I, s:s}", "output_file", there, "bytes", (json_int_t)bytes,
	                "crc", hex),
	        true, deadline, e);
	if (!s)
		return false;
	fine = send(s, fd, buf, &why);
	/* A verb that took no more says better why. */
	if (fine || why.kind == ERR_REMOTE) {
		link_end(s);
		fine = link_close(TAKE(s), &r, &why) && fine;
	}
	link_result_done(&r);
	if (!fine && e)
		*e = why;
	return fine;
}

static json_t *apply_question(const struct catchup_target *t, const char *files)
{
	const struct conf_server *s = t->server;
	json_t *args = json_pack("{s:s, s:s, s:s, s:s, s:i, s:b}", "apply_files", files, "workdir",
	        s->remote_workdir, "slave_user", s->user, "slave_ip", s->ip, "slave_port", s->port,
	        "json", 1);

	if (s->password)
		set(args, "slave_pass", s->password);
	if (t->channel && *t->channel)
		set(args, "channel", t->channel);
	if (s->disable_log_bin)
		json_object_set_new(args, "disable_log_bin", json_integer(1));
	return args;
}

static void read_applied(const json_t *j, struct catchup_applied *a)
{
	const char *gtids = json_string_value(json_object_get(j, "gtids"));

	text(j, "applier", a->applier, sizeof(a->applier));
	a->transactions = number(j, "transactions");
	a->had = number(j, "had");
	text(j, "file", a->file, sizeof(a->file));
	a->pos = number(j, "pos");
	a->gtids = xstrdup(gtids ? gtids : "");
}

bool catchup_bring(const struct catchup_target *t, const char *const *paths, size_t n,
        int64_t deadline, struct catchup_applied *ret, struct err *e)
{
	AUTO_STR struct str files = STR_INIT;
	struct link_result r = { .status = -1 };
	bool fine = true;

	*ret = (struct catchup_applied){ .had = 0 };
	for (size_t i = 0; i < n && fine; i++) {
		AUTO(free)
		char *there = xasprintf("%s/mhad_%s_%s_%d_%zu.binlog", t->server->remote_workdir,
		        t->run, t->server->id, t->server->port, i);

		str_addf(&files, "%s%s", i ? "," : "", there);
		fine = put(t, paths[i], there, deadline, e) ||
		       err_ctx(e, "hand saved events to %s", t->server->hostinfo);
	}
	if (!fine)
		return false;
	fine = link_run(t->door, "apply", apply_question(t, files.p), deadline, &r, e);
	if (fine)
		read_applied(r.value, ret);
	link_result_done(&r);
	return fine || err_ctx(e, "apply saved events on %s", t->server->hostinfo);
}

void catchup_applied_done(struct catchup_applied *a)
{
	free(a->gtids);
	a->gtids = NULL;
}

/* ---- telling ---- */

char *catchup_text(const struct catchup_found *f)
{
	AUTO_STR struct str s = STR_INIT;
	char when[32] = "";
	time_t t = (time_t)f->last_time;
	struct tm tm;

	str_addf(&s, "%llu transactions, %llu bytes", (unsigned long long)f->transactions,
	        (unsigned long long)f->bytes);
	if (f->end_file[0])
		str_addf(&s, ", up to %s:%llu", f->end_file, (unsigned long long)f->end_pos);
	if (f->last[0])
		str_addf(&s, ", last %s", f->last);
	if (f->last_time) {
		localtime_r(&t, &tm);
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
		str_addf(&s, " of %s", when);
	}
	if (f->cut[0])
		str_addf(&s, "; left out: %s", f->cut);
	return str_take(&s);
}

json_t *catchup_json(const struct catchup_found *f)
{
	return json_pack("{s:I, s:I, s:I, s:s, s:s, s:I, s:I, s:{s:s, s:I}, s:{s:s, s:I}, s:{s:s, "
	                 "s:I, s:b}}",
	        "transactions", (json_int_t)f->transactions, "bytes", (json_int_t)f->bytes, "crc32",
	        (json_int_t)f->crc, "first_gtid", f->first, "last_gtid", f->last, "first_time",
	        (json_int_t)f->first_time, "last_time", (json_int_t)f->last_time, "start", "file",
	        f->start_file, "pos", (json_int_t)f->start_pos, "end", "file", f->end_file, "pos",
	        (json_int_t)f->end_pos, "cut", "text", f->cut, "bytes", (json_int_t)f->cut_bytes,
	        "open", f->cut_open);
}

bool catchup_of_json(const json_t *j, struct catchup_found *ret)
{
	if (!json_is_object(j))
		return false;
	read_found(j, ret);
	return true;
}
