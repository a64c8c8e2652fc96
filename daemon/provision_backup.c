/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * provision_backup - mariadb-backup on the donor's host, its stream through here to the server's host, where it is
 * unpacked, made ready and put in the place of what the server had.  Runs on: worker.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"
#include "db.h"
#include "log.h"
#include "provision_impl.h"
#include "str.h"

enum {
	SQL_MS = 60000,
	LOOK_MS = 60000,
	SWAP_MS = 900000, /* stop, start, and both once more when it must be undone */
	BACK_MS = 60000,
	CLEAN_MS = 600000,
	TELL_MS = 10000,
	PIECE = 256 << 10,
};

struct side {
	const struct conf_server *conf;
	struct link_door *door;
	char *datadir;           /* owned */
	char version[48];        /* of the server */
	char program[48];        /* of mariadb-backup there */
	uint64_t used, free_now; /* bytes */
};

static void side_done(struct side *s)
{
	free(s->datadir);
}

/* ---- whether it can be done ---- */

/* The same folder, whatever slashes it ends with. */
static bool is_there(const char *dir, const char *datadir)
{
	size_t n = strlen(datadir);

	while (n && datadir[n - 1] == '/')
		n--;
	return !*dir || str_is(dir, ".") || str_is(dir, "./") ||
	       (strncmp(dir, datadir, n) == 0 && strspn(dir + n, "/") == strlen(dir + n));
}

/* What lies elsewhere would stay there, and not fit. */
static bool is_in_one_place(struct side *s, struct repl *r, struct err *e)
{
	static const char *const names[] = { "innodb_data_home_dir", "innodb_log_group_home_dir",
		"innodb_undo_directory", "aria_log_dir_path" };
	struct db *db = repl_db(r, clock_in(SQL_MS), e);
	bool fine = db;

	for (size_t i = 0; fine && i < ARRAY_LEN(names); i++) {
		AUTO(free) char *sql = xasprintf("SELECT COALESCE(@@GLOBAL.%s, '')", names[i]);
		AUTO(free) char *v = NULL;

		fine = db_value(db, sql, &v, e) &&
		       (is_there(v ? v : "", s->datadir) ||
		               err_set(e, ERR_PRECOND, 0, "%s of %s is not its data directory",
		                       names[i], s->conf->hostinfo));
	}
	return fine;
}

static bool ask_server(struct side *s, struct err *e)
{
	AUTO(repl) struct repl *r = repl_open(s->conf, NULL, clock_in(SQL_MS), e);
	struct db *db = r ? repl_db(r, clock_in(SQL_MS), e) : NULL;
	AUTO(free) char *version = NULL;

	if (!db || !db_value(db, "SELECT @@GLOBAL.datadir", &s->datadir, e) ||
	        !db_value(db, "SELECT VERSION()", &version, e))
		return false;
	snprintf(s->version, sizeof(s->version), "%s", version);
	return is_in_one_place(s, r, e);
}

static json_t *words(const struct side *s, const char *flag)
{
	json_t *args = json_pack("{s:i,s:s}", "port", s->conf->port, "datadir", s->datadir);

	if (flag)
		json_object_set_new(args, flag, json_true());
	return args;
}

static bool ask_host(struct side *s, const char *verb, struct err *e)
{
	struct link_result r = { .status = -1 };
	const char *version = "";
	json_int_t used = 0, free_now = 0;
	bool fine;

	if (!s->door)
		return err_set(e, ERR_PRECOND, 0, "no way to the host of %s", s->conf->hostinfo);
	fine = link_run(s->door, verb, words(s, "count"), clock_in(LOOK_MS), &r, e) &&
	       (json_unpack(r.value, "{s:s,s:I,s:I}", "version", &version, "used", &used, "free",
	                &free_now) == 0 ||
	               err_set(e, ERR_PARSE, 0, "mha-node's answer is not understood"));
	snprintf(s->program, sizeof(s->program), "%s", version);
	s->used = (uint64_t)used;
	s->free_now = (uint64_t)free_now;
	link_result_done(&r);
	return fine || err_ctx(e, "the host of %s", s->conf->hostinfo);
}

/* "10.11." of "10.11.19-MariaDB": files and programs of one series fit each other. */
static bool same_series(const char *a, const char *b)
{
	size_t n = strcspn(a, ".");

	n += a[n] ? 1 + strcspn(a + n + 1, ".") : 0;
	return n && strncmp(a, b, n) == 0 && b[n] == '.' && a[n] == '.';
}

static bool fits(const struct side *d, const struct side *t, struct err *e)
{
	if (!same_series(d->version, t->version) || !same_series(d->version, d->program) ||
	        !same_series(d->version, t->program))
		return err_set(e, ERR_PRECOND, 0,
		        "they are not of one series: servers %s and %s, mariadb-backup %s and %s",
		        d->version, t->version, d->program, t->program);
	/* Some room for the redo log that is written meanwhile. */
	if (t->free_now < d->used + d->used / 10)
		return err_set(e, ERR_PRECOND, 0,
		        "%s of %s has %llu MB free, and the copy takes %llu MB beside what is "
		        "there",
		        t->datadir, t->conf->hostinfo, (unsigned long long)(t->free_now >> 20),
		        (unsigned long long)((d->used + d->used / 10) >> 20));
	return true;
}

static bool look(struct side *d, struct side *t, struct err *e)
{
	return ask_server(d, e) && ask_server(t, e) && ask_host(d, "backup", e) &&
	       ask_host(t, "restore", e) && fits(d, t, e);
}

bool prov_can_backup(
        const struct provision_end *donor, const struct provision_end *target, struct err *e)
{
	struct side d = { .conf = donor->conf, .door = donor->door };
	struct side t = { .conf = target->conf, .door = target->door };
	bool fine;

	if (dialect_family(donor->dialect) != FAMILY_MARIADB ||
	        dialect_family(target->dialect) != FAMILY_MARIADB) {
		err_set(e, ERR_PRECOND, 0, "mariadb-backup copies MariaDB to MariaDB only");
		return err_hint(e, "--by-clone or --by-dump");
	}
	fine = look(&d, &t, e);
	side_done(&d);
	side_done(&t);
	if (!fine)
		err_ctx(e, "mariadb-backup");
	return fine || err_hint(e, "--by-dump");
}

/* ---- the stream ---- */

static void tell(uint64_t bytes, uint64_t expected, int64_t *told)
{
	if (clock_ms() - *told < TELL_MS)
		return;
	*told = clock_ms();
	log_info("%llu MB copied, of about %llu.", (unsigned long long)(bytes >> 20),
	        (unsigned long long)(expected >> 20));
}

static bool pump(const struct provision *p, struct link_stream *from, struct link_stream *to,
        uint64_t expected, struct err *e)
{
	AUTO(free) char *buf = xmalloc(PIECE);
	int64_t told = clock_ms();
	uint64_t bytes = 0;
	ssize_t n = 0;

	while (prov_goes_on(p, e) && (n = link_read(from, buf, PIECE, e)) > 0) {
		if (!link_write(to, buf, (size_t)n, e))
			return false;
		bytes += (uint64_t)n;
		tell(bytes, expected, &told);
	}
	if (n == 0 && prov_goes_on(p, e)) {
		log_info("%llu MB copied; they are made ready.", (unsigned long long)(bytes >> 20));
		return true;
	}
	return false;
}

static json_t *login_words(const struct provision *p, const struct side *d)
{
	json_t *args = words(d, !p->donor_is_master && !p->by_gtid ? "steady" : NULL);

	json_object_set_new(args, "host", json_string(p->donor->ip));
	json_object_set_new(args, "user", json_string(p->donor->user));
	if (p->donor->password)
		json_object_set_new(args, "password", json_string(p->donor->password));
	return args;
}

/* The donor's word that all is there comes before the end of the target's input. */
static bool transfer(const struct provision *p, const struct side *d, const struct side *t,
        struct link_result *ret, struct err *e)
{
	AUTO(link_stream)
	struct link_stream *from =
	        link_open(d->door, "backup", login_words(p, d), false, p->deadline, e);
	AUTO(link_stream)
	struct link_stream *to =
	        from ? link_open(t->door, "restore", words(t, NULL), true, p->deadline, e) : NULL;
	struct link_result sent = { .status = -1 };
	struct err why = { 0 };
	bool fine;

	if (!to)
		return false;
	if (!pump(p, from, to, d->used, &why)) {
		/* Who took no more says better why. */
		if (why.kind == ERR_REMOTE)
			return link_close(TAKE(to), ret, e) &&
			       err_set(e, ERR_REMOTE, 0, "the copy was not taken whole");
		if (e)
			*e = why;
		return false;
	}
	fine = link_close(TAKE(from), &sent, e);
	link_result_done(&sent);
	return fine && link_close(TAKE(to), ret, e);
}

/* ---- where the copy stands ---- */

static const char *text_of(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : "";
}

/* "CHANGE MASTER TO MASTER_LOG_FILE='mysql-bin.000003', MASTER_LOG_POS=4711;" */
static void slave_place(const char *text, struct provision_place *ret)
{
	const char *file = strcasestr(text, "MASTER_LOG_FILE='");
	const char *pos = strcasestr(text, "MASTER_LOG_POS=");

	if (!file || !pos)
		return;
	file += strlen("MASTER_LOG_FILE='");
	snprintf(ret->file, sizeof(ret->file), "%.*s", (int)strcspn(file, "'"), file);
	ret->pos = strtoull(pos + strlen("MASTER_LOG_POS="), NULL, 10);
}

static bool read_place(
        const struct provision *p, const json_t *answer, struct provision_place *ret, struct err *e)
{
	if (p->donor_is_master) {
		snprintf(ret->file, sizeof(ret->file), "%s", text_of(answer, "file"));
		ret->pos = strtoull(text_of(answer, "pos"), NULL, 10);
	} else {
		slave_place(text_of(answer, "slave"), ret);
	}
	ret->gtids = xstrdup(text_of(answer, "gtids"));
	if (p->by_gtid ? *ret->gtids != '\0' : ret->file[0] && ret->pos)
		return true;
	return err_set(e, ERR_PARSE, 0, "mariadb-backup has not noted where the copy stands");
}

/* ---- in the server's place ---- */

static bool on_target(const struct side *t, const char *flag, int64_t ms, struct err *e)
{
	struct link_result r = { .status = -1 };
	bool fine = link_run(t->door, "restore", words(t, flag), clock_in(ms), &r, e);

	link_result_done(&r);
	return fine;
}

static struct repl *wait_back(const struct provision *p, struct err *e)
{
	int64_t until = clock_in(BACK_MS);
	struct repl *r = NULL;

	while (!r && clock_left(until) > 0) {
		r = repl_open(p->target, NULL, clock_in(2000), e);
		if (!r)
			usleep(300000);
	}
	return r;
}

static bool take_over(const struct provision *p, const struct provision_place *at, struct err *e)
{
	AUTO(repl) struct repl *target = wait_back(p, e);

	return target && repl_set_read_only(target, true, clock_in(SQL_MS), e) &&
	       prov_begin_log(target, at->gtids, e);
}

static bool put_in_place(const struct provision *p, const struct side *t,
        const struct provision_place *at, struct err *e)
{
	struct err second = { 0 };

	log_info(
	        "%s is stopped, gets the copy as its data, and starts again.", p->target->hostinfo);
	if (!on_target(t, "swap", SWAP_MS, e))
		return false;
	if (!take_over(p, at, e)) {
		if (!on_target(t, "undo", SWAP_MS, &second))
			log_warning("what %s had was not put back: %s", p->target->hostinfo,
			        second.text);
		return false;
	}
	if (!on_target(t, "clean", CLEAN_MS, &second))
		log_warning(
		        "what %s had before was not removed: %s", p->target->hostinfo, second.text);
	return true;
}

static bool copy(const struct provision *p, struct side *d, struct side *t,
        struct provision_place *ret, struct err *e)
{
	struct link_result r = { .status = -1 };
	bool fine;

	if (!look(d, t, e))
		return false;
	log_info("Copying about %llu MB with mariadb-backup.", (unsigned long long)(d->used >> 20));
	fine = transfer(p, d, t, &r, e) && read_place(p, r.value, ret, e) && prov_goes_on(p, e) &&
	       put_in_place(p, t, ret, e);
	link_result_done(&r);
	return fine;
}

/* The program may have been ended while the applier stood still for it. */
static void start_applier(const struct provision *p)
{
	AUTO(repl) struct repl *donor = repl_open(p->donor, NULL, clock_in(SQL_MS), NULL);

	if (donor)
		(void)!repl_start_sql(donor, clock_in(SQL_MS), NULL);
}

bool prov_backup(const struct provision *p, struct provision_place *ret, struct err *e)
{
	struct side d = { .conf = p->donor, .door = p->donor_door };
	struct side t = { .conf = p->target, .door = p->target_door };
	bool fine = copy(p, &d, &t, ret, e);

	if (!fine && !p->donor_is_master && !p->by_gtid)
		start_applier(p);
	side_done(&d);
	side_done(&t);
	return fine;
}
