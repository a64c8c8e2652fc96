/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * apply_sql - runs the statements that binlog_sql makes of the missing transactions. Runs on: any
 * thread.
 *
 * What a cut-off apply has done is known afterwards from the GTIDs that the server has; where
 * transactions have none, from a mark in our folder: before each commit it says how far the
 * server's own binlog was, so that it can be seen later whether the commit has happened.
 */
#include "apply_sql.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "apply_relay.h"
#include "binlog_sql.h"
#include "clock.h"

enum { ATTEMPTS = 20, MARK_SIZE = 2048, PROGRESS_MS = 1000 };
#define MARK       "mark"
#define BLIND      "blind" /* in the state: where it began */
#define MISSING    "missing"
#define PACKET_MAX "1073741824"
#define LONGEST    ((size_t)1073741824 - 1024)

struct session {
	struct apply *a;
	struct target *t; /* the apply's own: one session at a time */
	struct binlog_sql *sql;
	struct binlog_event fde; /* last format description; size 0: none yet */
	int mark_fd;             /* -1: no marks */
	char own[600];           /* its own binlog's position, before the transaction */
	bool own_known;
	bool spent;             /* after XA PREPARE it is of no more use */
	struct binlog_event ev; /* of which statements are made */
	char gtid[BINLOG_GTID_TEXT];
	/* The source's position. */
	char file[512];
	uint64_t pos;  /* up to which all is applied */
	uint64_t done; /* transactions */
	int64_t next_progress;
	char *charset, *collation; /* last looked up; owned */
};

/*
 * ---- how it is known what was done
 * ---------------------------------------------------------------
 */

static bool logs(struct apply *a)
{
	return !a->args->disable_log_bin && str_is(vars_get(a->target.vars, VAR_LOG_BIN), "ON");
}

static bool marks(struct apply *a)
{
	return !a->by_gtid && !target_is_mariadb(&a->target) && logs(a);
}

/* Nothing would tell after a kill. */
static bool is_blind(struct apply *a)
{
	if (target_is_mariadb(&a->target))
		return !logs(a) || !a->facts.mariadb;
	return !a->by_gtid && !logs(a);
}

static bool own_position(struct target *t, char *buf, size_t size, struct err *e)
{
	AUTO(db_result)
	struct db_result *r = db_query(t->db, dialect_sql(db_dialect(t->db), SQL_BINLOG_STATUS), e);

	if (!r)
		return false;
	snprintf(buf, size, "%s:%s", db_rows(r) ? db_get(r, 0, "File") : "-",
	        db_rows(r) ? db_get(r, 0, "Position") : "-");
	return true;
}

/*
 * "<executed when it began> <done up to> <with the next one> <own binlog before that>"; the last is
 * "-" when all is done.  One write of less than a disk's block.
 */
static bool write_mark(struct session *s, uint64_t end, const char *own, struct err *e)
{
	const struct target_status *st = &s->a->st;
	char text[MARK_SIZE];
	int n = snprintf(text, sizeof(text), "%s:%llu %s:%llu %s:%llu %s\n", st->exec_file,
	        (unsigned long long)st->exec_pos, s->file, (unsigned long long)s->pos, s->file,
	        (unsigned long long)end, own);

	if (n < 0 || (size_t)n >= sizeof(text))
		return err_set(e, ERR_PARSE, 0, "names of binlogs that are too long");
	memset(text + n, 0, sizeof(text) - (size_t)n);
	if (pwrite(s->mark_fd, text, sizeof(text), 0) != (ssize_t)sizeof(text) ||
	        fdatasync(s->mark_fd) < 0)
		return err_sys(e, "write %s/" MARK, s->a->state.dir);
	return true;
}

bool apply_sql_mark(struct apply *a, char *file, size_t size, uint64_t *pos, struct err *e)
{
	AUTO_FD int fd = openat(a->state.fd, MARK, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[MARK_SIZE + 1] = "", here[600], own[600], *rest = text, *word[4];
	bool done;

	if (fd < 0 || pread(fd, text, MARK_SIZE, 0) <= 0)
		return true;
	text[strcspn(text, "\n")] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(word); i++)
		word[i] = strsep(&rest, " ");
	snprintf(
	        here, sizeof(here), "%s:%llu", a->st.exec_file, (unsigned long long)a->st.exec_pos);
	if (!word[3] || !str_is(word[0], here)) /* of another time */
		return true;
	if (!own_position(&a->target, own, sizeof(own), e))
		return false;
	done = str_is(word[3], "-") || !str_is(word[3], own);
	return apply_place(done ? word[2] : word[1], file, size, pos) ||
	       err_set(e, ERR_PARSE, 0, "%s/" MARK " is damaged", a->state.dir);
}

/*
 * ---- the session
 * ---------------------------------------------------------------------------------
 */

static const char *find_collation(void *ctx, unsigned id, const char **ret_charset)
{
	struct session *s = ctx;
	static const char *const tables[] = {
		"COLLATION_NAME FROM information_schema.COLLATIONS",
		"FULL_COLLATION_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY"
	};

	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		AUTO(free)
		char *sql = xasprintf("SELECT CHARACTER_SET_NAME, %s WHERE ID=%u", tables[i], id);
		AUTO(db_result) struct db_result *r = db_query(s->t->db, sql, NULL);
		const char *name =
		        r ? db_get(r, 0, i ? "FULL_COLLATION_NAME" : "COLLATION_NAME") : NULL;

		if (!name)
			continue;
		free(s->charset);
		free(s->collation);
		s->charset = xstrdup(db_get(r, 0, "CHARACTER_SET_NAME"));
		s->collation = xstrdup(name);
		*ret_charset = s->charset;
		return s->collation;
	}
	return NULL;
}

static bool name_it(struct session *s, struct err *e)
{
	return err_ctx(e, "transaction %s%sthat ends at %s:%llu or behind, %s event", s->gtid,
	        s->gtid[0] ? ", " : "", s->file[0] ? s->file : "?",
	        (unsigned long long)(s->ev.end_pos ? s->ev.end_pos : s->pos),
	        binlog_type_name(s->ev.type));
}

static bool before_commit(struct session *s, struct err *e)
{
	apply_failpoint("before-commit");
	if (s->mark_fd < 0)
		return true;
	s->own_known = false;
	return write_mark(s, s->ev.end_pos ? s->ev.end_pos : s->pos, s->own, e);
}

static bool after_commit(struct session *s, struct err *e)
{
	apply_failpoint("after-commit");
	s->done++;
	if (s->ev.end_pos)
		s->pos = s->ev.end_pos;
	if (clock_ms() >= s->next_progress) {
		s->next_progress = clock_in(PROGRESS_MS);
		fprintf(s->a->io->out, "  %llu transactions applied\n",
		        (unsigned long long)s->done);
	}
	return verb_go_on(s->a->io, e);
}

/* The statement met an error on the source; here it must meet the same. */
static bool run_failing(struct session *s, const char *sql, unsigned error, struct err *e)
{
	struct err why = { .kind = ERR_NONE };

	if (!db_exec(s->t->db, sql, &why)) {
		if (why.kind == ERR_SQL && why.code == (int)error)
			return true;
		if (e)
			*e = why;
		return false;
	}
	return err_set(e, ERR_PRECOND, (int)error,
	        "the source met error %u in this statement, and here it worked: \"%.200s\"", error,
	        sql);
}

static bool run_statement(void *ctx, const struct binlog_sql_out *o, struct err *e)
{
	struct session *s = ctx;
	AUTO(free) char *sql = NULL;

	if (o->kind != BINLOG_SQL_STATEMENT && !before_commit(s, e))
		return false;
	sql = xstrndup(o->sql, o->len);
	if (o->error ? !run_failing(s, sql, o->error, e) : !db_exec(s->t->db, sql, e))
		return false;
	s->spent = o->kind == BINLOG_SQL_PREPARE;
	return o->kind == BINLOG_SQL_STATEMENT || after_commit(s, e);
}

static bool prepare_session(struct session *s, struct err *e)
{
	if (s->a->args->disable_log_bin && !db_exec(s->t->db, "SET SESSION sql_log_bin=0", e))
		return false;
	/* Lets the server take events as a replica does; not needed where it may not be set. */
	(void)!db_exec(s->t->db, "SET SESSION pseudo_slave_mode=1", NULL);
	return true;
}

/* Log in, anew after XA PREPARE; the session then has to hear of the format again. */
static bool open_session(struct session *s, const struct binlog *b, struct err *e)
{
	struct binlog_sql_target to;

	binlog_sql_free(s->sql);
	s->sql = NULL;
	s->spent = false;
	s->t->query_ms = clock_left(s->t->deadline);
	if (!target_reopen(s->t, e) || !prepare_session(s, e))
		return false;
	to = (struct binlog_sql_target){
		.mariadb = target_is_mariadb(s->t),
		.version = dialect_version_number(db_server_version(s->t->db)),
		.gtids = str_starts(vars_get(s->t->vars, VAR_GTID_MODE)
		                            ? vars_get(s->t->vars, VAR_GTID_MODE)
		                            : "OFF",
		        "ON"),
		.longest = LONGEST,
		.collation = find_collation,
		.collation_ctx = s,
	};
	s->sql = binlog_sql_new(&to, run_statement, s);
	return !s->fde.size || binlog_sql_event(s->sql, b, &s->fde, e);
}

/*
 * ---- the row
 * -------------------------------------------------------------------------------------
 */

static void note_place(struct session *s, const struct binlog_event *ev)
{
	struct binlog_rotate r;
	struct binlog_gtid g;

	if (ev->type == BINLOG_ROTATE && binlog_view_rotate(ev, &r)) {
		snprintf(s->file, sizeof(s->file), "%.*s", (int)r.file.len, r.file.p);
		s->pos = r.pos;
	}
	if (binlog_view_is_gtid(ev->type) && binlog_view_gtid(ev, &g))
		binlog_view_gtid_text(&g, s->gtid);
}

static bool run_events(struct session *s, struct binlog *b, struct err *e)
{
	enum binlog_next n;

	while ((n = binlog_next(b, &s->ev, e)) == BINLOG_EVENT) {
		if (s->spent && !open_session(s, b, e))
			return false;
		note_place(s, &s->ev);
		/*
		 * Not before the commit itself: there may be transactions that admit nothing else.
		 */
		if (s->mark_fd >= 0 && !s->own_known &&
		        !own_position(s->t, s->own, sizeof(s->own), e))
			return false;
		s->own_known = true;
		if (s->ev.type == BINLOG_FORMAT) /* its bytes stay: all is in memory */
			s->fde = s->ev;
		if (!binlog_sql_event(s->sql, b, &s->ev, e))
			return name_it(s, e);
	}
	return n == BINLOG_END;
}

static bool run_file(struct session *s, int fd, struct err *e)
{
	struct stat st;
	void *p;
	bool ok;
	AUTO(binlog) struct binlog *b = NULL;

	if (fstat(fd, &st) < 0)
		return err_sys(e, "look at %s/" MISSING, s->a->state.dir);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, "map %s/" MISSING, s->a->state.dir);
	b = binlog_new_mem(p, (size_t)st.st_size);
	ok = open_session(s, b, e) && run_events(s, b, e);
	if (ok && s->mark_fd >= 0)
		ok = write_mark(s, s->pos, "-", e);
	munmap(p, (size_t)st.st_size);
	return ok;
}

static bool open_mark(struct session *s, struct err *e)
{
	s->mark_fd = openat(s->a->state.fd, MARK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return s->mark_fd >= 0 || err_sys(e, "open %s/" MARK, s->a->state.dir);
}

/*
 * An apply that leaves no trace on the server has ended, in one way or the other: here it is known
 * how far it came.
 */
static bool note_end(struct session *s, struct err *e)
{
	if (target_is_mariadb(s->t) && s->a->facts.mariadb)
		return true;
	return open_mark(s, e) && write_mark(s, s->pos, "-", e) &&
	       apply_state_set(&s->a->state, BLIND, "", e);
}

static bool run_missing(struct apply *a, int fd, struct err *e)
{
	struct session s = { .a = a,
		.t = &a->target,
		.mark_fd = -1,
		.pos = a->st.exec_pos,
		.next_progress = clock_in(PROGRESS_MS) };
	struct err why = { .kind = ERR_NONE };
	bool ok;

	snprintf(s.file, sizeof(s.file), "%s", a->st.exec_file);
	ok = (!marks(a) || open_mark(&s, &why)) && run_file(&s, fd, &why);
	if (is_blind(a) && (ok || !target_is_gone(&why)))
		ok = note_end(&s, ok ? &why : NULL) && ok;
	if (!ok && e)
		*e = why;
	if (s.mark_fd >= 0)
		close(s.mark_fd);
	binlog_sql_free(s.sql);
	free(s.charset);
	free(s.collation);
	a->target.query_ms = 0;
	return ok && target_reopen(&a->target, e); /* one without all those settings */
}

/*
 * ---- in order
 * ------------------------------------------------------------------------------------
 */

static bool has_filters(struct apply *a, struct err *e)
{
	static const enum dialect_col filters[] = { COL_DO_DB, COL_IGNORE_DB, COL_DO_TABLE,
		COL_IGNORE_TABLE, COL_WILD_DO_TABLE, COL_WILD_IGNORE_TABLE, COL_REWRITE_DB };
	const struct dialect *d = db_dialect(a->target.db);
	AUTO(db_result)
	struct db_result *r = db_query(a->target.db, dialect_sql(d, SQL_REPLICA_STATUS), e);

	if (!r)
		return true;
	for (size_t row = 0; row < db_rows(r); row++)
		for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
			const char *v = db_get(r, row, dialect_col(d, filters[i]));

			if (v && v[0])
				return !err_set(e, ERR_PRECOND, 0,
				        "%s has replication filters, which statements do not pass",
				        a->target.name);
		}
	return false;
}

bool apply_sql_left_traces(struct apply *a, struct err *e)
{
	AUTO(free) char *blind = apply_state_get(&a->state, BLIND);

	if (!blind || !blind[0])
		return true;
	err_set(e, ERR_PRECOND, 0,
	        "an apply without binlog was cut off at %s: what it has done is not known", blind);
	return err_hint(e, "compare the data, then remove %s", a->state.dir);
}

bool apply_sql_can(struct apply *a, struct err *e)
{
	unsigned version = dialect_version_number(db_server_version(a->target.db));

	if (has_filters(a, e))
		return false;
	if (a->by_gtid && a->args->disable_log_bin && !target_is_mariadb(&a->target) &&
	        version < 50700)
		return err_set(e, ERR_PRECOND, 0,
		        "%s forgets GTIDs that it does not log (disable_log_bin)", a->target.name);
	if (a->by_gtid && a->target.others && target_is_mariadb(&a->target))
		return err_set(e, ERR_PRECOND, 0,
		        "%s has other channels: while they run, gtid_slave_pos cannot be set",
		        a->target.name);
	if (a->by_gtid && a->args->disable_log_bin && !target_is_mariadb(&a->target))
		fprintf(a->io->out, "  Into its binlog go empty transactions, for their GTIDs.\n");
	return true;
}

static bool stop_replica(struct apply *a, struct err *e)
{
	const char *workers = vars_get(a->target.vars, VAR_PARALLEL_WORKERS);
	struct target_status st;

	if (!target_status(&a->target, &st, e))
		return false;
	if (!st.is_replica)
		return true;
	if (!target_verb(&a->target, "STOP", "IO_THREAD", "", e) ||
	        !target_stop_applier(&a->target, apply_relay_find_half, a, e))
		return false;
	return a->by_gtid || !workers || str_is(workers, "0") || target_fill_gaps(&a->target, e);
}

/* MariaDB's position as a replica does not follow what a client does. */
static bool set_slave_pos(struct apply *a, struct err *e)
{
	AUTO(gtid) struct gtid_set *had = NULL, *all = NULL;
	AUTO(free) char *text = NULL, *quoted = NULL;

	if (!target_is_mariadb(&a->target) || !a->facts.mariadb || !a->facts.gtids)
		return true;
	had = target_gtids(&a->target, e);
	if (!had)
		return false;
	if (gtid_set_contains(had, a->facts.set) || (!a->by_gtid && a->target.others))
		return true;
	all = gtid_set_union(had, a->facts.set);
	text = gtid_set_format(all);
	quoted = db_quote(text);
	return target_set_global(&a->target, "gtid_slave_pos", quoted, e) ||
	       err_ctx(e, "all is applied, but the position as a replica is not set");
}

static bool note_blind(struct apply *a, const struct join_missing *m, struct err *e)
{
	char first[700];

	apply_name_first(m, first, sizeof(first));
	return !is_blind(a) || apply_state_set(&a->state, BLIND, first, e);
}

static bool attempt(struct apply *a, bool *ret_done, struct err *e)
{
	AUTO_FD int fd = -1;
	struct join_missing m;

	if (!stop_replica(a, e) || !apply_override(a, VAR_SUPER_READ_ONLY, "0", e) ||
	        !apply_override(a, VAR_MAX_ALLOWED_PACKET, PACKET_MAX, e))
		return false;
	fd = apply_state_create(&a->state, MISSING, e);
	if (fd < 0 || !apply_look(a, fd, &m, e))
		return false;
	unlinkat(a->state.fd, MISSING, 0);
	if (m.transactions && (!note_blind(a, &m, e) || !run_missing(a, fd, e)))
		return false;
	apply_failpoint("applied");
	if (!set_slave_pos(a, e))
		return false;
	if (is_blind(a)) {
		*ret_done = true;
		return true;
	}
	if (!apply_look(a, -1, &m, e))
		return false;
	*ret_done = !m.transactions;
	return *ret_done ||
	       err_set(e, ERR_PARSE, 0, "%llu transactions are still missing afterwards",
	               (unsigned long long)m.transactions);
}

bool apply_sql(struct apply *a, struct err *e)
{
	for (int i = 0; i < ATTEMPTS; i++) {
		struct err why = { .kind = ERR_NONE };
		bool done = false;

		if (attempt(a, &done, &why) && done)
			return true;
		if (!target_is_gone(&why) || is_blind(a) || clock_left(a->target.deadline) == 0 ||
		        !verb_go_on(a->io, NULL)) {
			if (e)
				*e = why;
			return false;
		}
		fprintf(a->io->out, "  %s. Beginning anew.\n", why.text);
		if (!target_reopen(&a->target, e))
			return false;
	}
	return err_set(e, ERR_LOST, 0, "%s does not come to the end: %d attempts", a->target.name,
	        ATTEMPTS);
}
