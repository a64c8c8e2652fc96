/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * apply_relay - hands a relay log to the server. Runs on: any thread.
 *
 * apply_relay() repeats attempt() until it says that nothing is missing: each attempt begins with
 * what the server says, so that a server that restarted (and started replication, or threw relay
 * logs away) in the middle of one is nothing special.
 */
#include "apply_relay.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "clock.h"
#include "dir.h"
#include "relay_index.h"

enum {
	ATTEMPTS = 20,
	CODE_GAPS = 1802,         /* CHANGE while a parallel applier has gaps */
	WAIT_S = 1,               /* one look at progress */
	ASIDE_KEPT_S = 7 * 86400, /* how long links of earlier applies stay */
};
#define ASIDE ".mha-aside"
/*
 * A parallel applier shows its position so often.  Every 300 ms, as by default, would hold up a new
 * master.
 */
#define CHECKPOINT_MS "20"

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/*
 * ---- the server's relay logs
 * ---------------------------------------------------------------------
 */

/* The folder of its relay logs; where the server does not say, they are in its data directory. */
static char *relay_folder(struct apply *a)
{
	const char *base = vars_get(a->target.vars, VAR_RELAY_LOG_BASENAME);
	const char *data = vars_get(a->target.vars, VAR_DATADIR);

	if (a->args->relay_dir)
		return xstrdup(a->args->relay_dir);
	if (base && base[0] == '/')
		return dir_of(base);
	return xstrdup(data ? data : ".");
}

static char *index_path(struct apply *a, const char *relay_file)
{
	const char *named = vars_get(a->target.vars, VAR_RELAY_LOG_INDEX);
	AUTO(free) char *dir = relay_folder(a), *usual = NULL;
	size_t n;
	uint64_t number;

	if (!dir_log_split(relay_file, &n, &number))
		n = strlen(relay_file);
	usual = xasprintf("%s/%.*s.index", dir, (int)n, relay_file);
	if (access(usual, F_OK) == 0 || !named || named[0] != '/')
		return TAKE(usual);
	return xstrdup(named);
}

static bool read_index(
        struct apply *a, const struct target_status *st, struct relay_index *ret, struct err *e)
{
	const char *file = base_name(st->relay_file);
	AUTO(free) char *path = NULL;
	struct relay_index x;

	if (!file[0])
		return err_set(e, ERR_PRECOND, 0, "%s has no relay log", a->target.name);
	path = index_path(a, file);
	if (!relay_index_read(path, &x, e))
		return false;
	if (relay_index_has(&x, file)) {
		*ret = x;
		return true;
	}
	relay_index_done(&x);
	return err_set(e, ERR_PRECOND, 0, "%s does not list %s, the relay log of %s", path, file,
	        a->target.name);
}

bool apply_relay_can(struct apply *a, struct err *e)
{
	struct relay_index x;
	struct target_status st;
	bool ok;

	if (!target_status(&a->target, &st, e))
		return false;
	if (!st.is_replica)
		return err_set(e, ERR_PRECOND, 0, "%s is no replica", a->target.name);
	if (!read_index(a, &st, &x, e))
		return false;
	ok = geteuid() == 0 || geteuid() == x.uid;
	if (!ok)
		err_set(e, ERR_PRECOND, EPERM, "relay logs of uid %u cannot be made by uid %u",
		        (unsigned)x.uid, (unsigned)geteuid());
	else if (faccessat(AT_FDCWD, x.path, R_OK | W_OK, AT_EACCESS) < 0)
		ok = err_sys(e, "write to %s", x.path);
	else
		ok = dir_can_write(x.dir, e);
	relay_index_done(&x);
	return ok;
}

/* One relay log: where the last whole transaction ends in it. */
static bool read_tail(const char *path, struct binlog_txn *t, struct target_half *half)
{
	AUTO_FD int fd = dir_open_file(path, NULL);
	AUTO(binlog) struct binlog *b = fd < 0 ? NULL : binlog_new_fd(fd);
	struct binlog_tail tail;

	if (!b || !binlog_txn_find_tail(b, t, &tail, NULL))
		return false;
	if (tail.transactions || !half->file[0]) {
		snprintf(half->file, sizeof(half->file), "%s", base_name(path));
		half->from = tail.open ? t->offset : tail.whole_end;
	}
	half->open = tail.open;
	return true;
}

void apply_relay_find_half(void *apply, const struct target_status *st, struct target_half *ret)
{
	struct apply *a = apply;
	struct target_half half = { .open = false };
	struct binlog_txn t = BINLOG_TXN_INIT;
	struct relay_index x;
	bool here = false, ok = true;

	if (!read_index(a, st, &x, NULL))
		return;
	for (size_t i = 0; i < x.lines.len && ok; i++) {
		AUTO(free) char *path = relay_index_file(&x, i);

		here |= str_is(base_name(path), base_name(st->relay_file));
		ok = !here || read_tail(path, &t, &half);
	}
	relay_index_done(&x);
	if (ok && here)
		*ret = half;
}

/*
 * ---- linking aside
 * -------------------------------------------------------------------------------
 */

static bool is_same_file(int dir, const char *a, const struct stat *b)
{
	struct stat st;

	return fstatat(dir, a, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == b->st_dev &&
	       st.st_ino == b->st_ino;
}

/* A second name for the file; under the first free of a row of names. */
static bool link_aside(int dir, const char *path, const char *name, struct err *e)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT || err_sys(e, "look at %s", path);
	for (unsigned i = 0; i < 1000; i++) {
		AUTO(free)
		char *to = i ? xasprintf("%s.%u" ASIDE, name, i) : xasprintf("%s" ASIDE, name);

		if (linkat(AT_FDCWD, path, dir, to, 0) == 0 || is_same_file(dir, to, &st))
			return true;
		if (errno != EEXIST)
			return err_sys(e, "link %s aside", path);
	}
	return err_set(e, ERR_SYSTEM, EEXIST, "link %s aside: too many links of that name", path);
}

/* The links of applies of long ago. */
static void forget_old_links(int dir)
{
	struct dirent **names = NULL;
	int n = -1;
	time_t now = time(NULL);

	n = scandirat(dir, ".", &names, NULL, NULL);
	for (int i = 0; i < n; i++) {
		struct stat st;

		if (str_ends(names[i]->d_name, ASIDE) &&
		        fstatat(dir, names[i]->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		        S_ISREG(st.st_mode) && now - st.st_ctime > ASIDE_KEPT_S)
			unlinkat(dir, names[i]->d_name, 0);
		free(names[i]);
	}
	free(names);
}

/*
 * START and CHANGE may delete relay logs, which other replicas may need.  The links are kept in our
 * folder, or beside the files where that is another file system.
 */
static bool keep_aside(struct apply *a, const struct relay_index *x, struct err *e)
{
	AUTO_FD int beside = open(x->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat here, there;
	bool same;
	int to;

	if (beside < 0 || fstat(beside, &there) < 0 || fstat(a->state.fd, &here) < 0)
		return err_sys(e, "open folder %s", x->dir);
	same = here.st_dev == there.st_dev;
	to = same ? a->state.fd : beside;
	forget_old_links(to);
	for (size_t i = 0; i < x->lines.len; i++) {
		AUTO(free) char *path = relay_index_file(x, i);

		if (!link_aside(to, path, base_name(path), e))
			return false;
	}
	snprintf(a->aside, sizeof(a->aside), "%s/*%s", same ? a->state.dir : x->dir, ASIDE);
	return true;
}

/*
 * ---- handing over
 * --------------------------------------------------------------------------------
 */

/*
 * A server that restarts by itself goes through its index: what it has not applied of its own relay
 * logs, and then ours, which begins with the same transactions.  So until it has been told to begin
 * with ours, there is only the head of it: a relay log without transactions.
 */
struct parcel {
	int fd;        /* all of it, in a file without a name */
	uint64_t head; /* how much is the head */
	char *name;    /* the relay log's; owned, NULL: not made yet */
	char *path;    /* owned */
};

static void parcel_done(struct parcel *p)
{
	if (p->fd >= 0)
		close(p->fd);
	free(p->name);
	free(p->path);
}

/* On the server's disk, whose space is meant for such things. */
static int open_nameless(const char *dir, struct err *e)
{
	AUTO(free) char *path = xasprintf("%s/mha-node-XXXXXX", dir);
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0)
		err_sys(e, "make a file in %s", dir);
	else
		unlink(path);
	return fd;
}

/* Format description, and Previous_gtids if there is one. */
static bool find_head(struct parcel *p, struct err *e)
{
	AUTO(binlog) struct binlog *b = NULL;
	struct binlog_event ev;

	if (lseek(p->fd, 0, SEEK_SET) < 0)
		return err_sys(e, "read the missing transactions");
	b = binlog_new_fd(p->fd);
	while (binlog_next(b, &ev, e) == BINLOG_EVENT &&
	        (ev.type == BINLOG_FORMAT || ev.type == BINLOG_PREVIOUS_GTIDS))
		p->head = ev.offset + ev.size;
	return p->head > 0;
}

static bool copy_part(const struct parcel *p, int to, uint64_t from, struct err *e)
{
	char buf[64 << 10];
	ssize_t n = 1;
	off_t at = (off_t)from;

	while (n > 0) {
		size_t most = from ? sizeof(buf) : (size_t)(p->head - (uint64_t)at);

		n = most ? pread(p->fd, buf, most < sizeof(buf) ? most : sizeof(buf), at) : 0;
		if (n > 0 && pwrite(to, buf, (size_t)n, at) != n)
			n = -1;
		at += n;
	}
	if (n < 0 || fsync(to) < 0)
		return err_sys(e, "write %s", p->path);
	return true;
}

static bool sync_folder(const char *dir, struct err *e)
{
	AUTO_FD int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return err_sys(e, "sync folder %s", dir);
	return true;
}

/*
 * A file of the server's with the head.  A name that is taken is an error: somebody else is at
 * work.
 */
static bool make_file(const struct parcel *p, const struct relay_index *x, struct err *e)
{
	AUTO_FD int fd = open(p->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_sys(e, "make %s", p->path);
	if ((fchown(fd, x->uid, x->gid) < 0 && geteuid() == 0) || fchmod(fd, x->mode) < 0)
		return err_sys(e, "give %s to the server", p->path);
	return copy_part(p, fd, 0, e) && sync_folder(x->dir, e);
}

static bool add_to_index(
        struct apply *a, const struct relay_index *x, struct parcel *p, struct err *e)
{
	p->name = relay_index_next(x, e);
	if (!p->name)
		return false;
	p->path = xasprintf("%s/%s", x->dir, p->name);
	if (!apply_state_set(&a->state, "relay_log", p->path, e) || !make_file(p, x, e))
		return false;
	apply_failpoint("made");
	if (!relay_index_add(x, p->name, e))
		return false;
	apply_failpoint("indexed");
	return true;
}

static bool fill(const struct parcel *p, struct err *e)
{
	AUTO_FD int fd = open(p->path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "open %s", p->path);
	return copy_part(p, fd, p->head, e);
}

/* What an apply before this one has made, and did not come to list. */
static void remove_orphan(struct apply *a, const struct relay_index *x)
{
	AUTO(free) char *path = apply_state_get(&a->state, "relay_log");

	if (path && !relay_index_has(x, base_name(path)))
		unlink(path);
}

/* Write what is missing, and list the file for it.  Without a name: nothing is missing. */
static bool make_relay_log(
        struct apply *a, const struct relay_index *x, struct parcel *p, struct err *e)
{
	struct join_missing m;

	p->fd = open_nameless(x->dir, e);
	if (p->fd < 0 || !apply_look(a, p->fd, &m, e))
		return false;
	apply_failpoint("written");
	return !m.transactions || (find_head(p, e) && add_to_index(a, x, p, e));
}

/*
 * ---- settings of the channel
 * ---------------------------------------------------------------------
 */

/*
 * `name` has what the server had before us: kept, unless the server shows a value that is not ours.
 */
static bool remember(struct apply *a, const char *name, int64_t now, int64_t ours, struct err *e)
{
	AUTO(free) char *kept = apply_state_get(&a->state, name), *text = NULL;

	if (kept && now == ours)
		return true;
	text = xasprintf("%lld", (long long)now);
	return str_is(kept, text) || apply_state_set(&a->state, name, text, e);
}

static int64_t remembered(const struct apply *a, const char *name)
{
	AUTO(free) char *text = apply_state_get(&a->state, name);

	return text ? strtoll(text, NULL, 10) : 0;
}

static bool remember_channel(struct apply *a, const struct target_status *st, struct err *e)
{
	return remember(a, "gtid", st->gtid, TARGET_GTID_NO, e) &&
	       remember(a, "delay", st->delay, 0, e) &&
	       remember(a, "gtid_only", st->gtid_only, 0, e) &&
	       remember(a, "auto_failover", st->auto_failover, 0, e);
}

/*
 * What forbids to name a relay log.  Makes the server forget its relay logs: they are aside by now.
 */
static bool leave_strict_modes(struct apply *a, const struct target_status *st, struct err *e)
{
	if (!st->gtid_only && !st->auto_failover)
		return true;
	return target_change(&a->target,
	        "SOURCE_CONNECTION_AUTO_FAILOVER=0, GTID_ONLY=0, %SOURCE%_AUTO_POSITION=0", e);
}

static bool point_at(struct apply *a, const char *name, struct err *e)
{
	AUTO_STR struct str s = STR_INIT;
	AUTO(free) char *quoted = db_quote(name);

	str_addf(&s, "RELAY_LOG_FILE=%s, RELAY_LOG_POS=%d", quoted, BINLOG_MAGIC_SIZE);
	str_add(&s, target_is_mariadb(&a->target) ? ", MASTER_USE_GTID=no"
	                                          : ", %SOURCE%_AUTO_POSITION=0");
	if (a->st.delay)
		str_add(&s, ", %SOURCE%_DELAY=0");
	return target_change(&a->target, s.p, e);
}

/*
 * The channel as it was.  By position its relay logs stay where the executed position survives
 * that; in GTID modes CHANGE drops them.
 */
static bool restore_channel(struct apply *a, struct err *e)
{
	static const char *const modes[] = { "", "%SOURCE%_AUTO_POSITION=1",
		"MASTER_USE_GTID=slave_pos", "MASTER_USE_GTID=current_pos" };
	int64_t gtid = remembered(a, "gtid"), delay = remembered(a, "delay");
	AUTO_STR struct str s = STR_INIT;
	AUTO(free) char *relay_file = db_quote(base_name(a->st.relay_file));
	AUTO(free) char *exec_file = db_quote(a->st.exec_file);

	if (gtid > 0 && gtid < (int64_t)ARRAY_LEN(modes) && gtid != (int64_t)a->st.gtid)
		str_add(&s, modes[gtid]);
	if (delay != a->st.delay)
		str_addf(&s, "%s%%SOURCE%%_DELAY=%lld", s.len ? ", " : "", (long long)delay);
	if (remembered(a, "gtid_only"))
		str_addf(&s, "%sGTID_ONLY=1", s.len ? ", " : "");
	if (remembered(a, "auto_failover"))
		str_addf(&s, "%sSOURCE_CONNECTION_AUTO_FAILOVER=1", s.len ? ", " : "");
	if (s.len && gtid == TARGET_GTID_NO && target_is_mariadb(&a->target))
		str_addf(&s, ", MASTER_LOG_FILE=%s, MASTER_LOG_POS=%llu", exec_file,
		        (unsigned long long)a->st.exec_pos);
	else if (s.len && gtid == TARGET_GTID_NO)
		str_addf(&s, ", RELAY_LOG_FILE=%s, RELAY_LOG_POS=%llu", relay_file,
		        (unsigned long long)a->st.relay_pos);
	return !s.len || target_change(&a->target, s.p, e);
}

/*
 * ---- waiting
 * -------------------------------------------------------------------------------------
 */

/* One wait of at most WAIT_S; true in *ret when the end is reached. */
static bool wait_once(struct apply *a, const char *sql, bool *ret, struct err *e)
{
	AUTO(free) char *got = NULL;

	if (!db_value(a->target.db, sql, &got, e))
		return false;
	/*
	 * One function answers 1 when it is late, the others -1; they count what they waited for.
	 */
	*ret = got && got[0] != '-' && (!strstr(sql, "WAIT_FOR_EXECUTED") || str_is(got, "0"));
	return true;
}

static char *wait_statement(struct apply *a)
{
	const struct dialect *d = db_dialect(a->target.db);
	bool mariadb = target_is_mariadb(&a->target);
	AUTO(free) char *set = gtid_set_format(a->facts.set);
	AUTO(free) char *gtids = db_quote(set), *channel = db_quote(a->target.channel);
	AUTO(free) char *file = db_quote(a->facts.file[0] ? a->facts.file : a->st.exec_file);

	if (a->by_gtid)
		return xasprintf(
		        "SELECT %s(%s,%d)", dialect_word(d, WORD_GTID_WAIT), gtids, WAIT_S);
	return xasprintf("SELECT %s(%s,%llu,%d%s%s)", dialect_word(d, WORD_POS_WAIT), file,
	        (unsigned long long)a->facts.end_pos, WAIT_S,
	        dialect_can(d, CAP_CHANNELS) && (!mariadb || a->target.channel[0]) ? "," : "",
	        dialect_can(d, CAP_CHANNELS) && (!mariadb || a->target.channel[0]) ? channel : "");
}

static bool show_progress(struct apply *a, const struct target_status *st, struct err *e)
{
	AUTO(gtid) struct gtid_set *have = NULL;

	if (!a->by_gtid) {
		fprintf(a->io->out, "  Applied up to %s:%llu of %s:%llu\n", st->exec_file,
		        (unsigned long long)st->exec_pos,
		        a->facts.file[0] ? a->facts.file : st->exec_file,
		        (unsigned long long)a->facts.end_pos);
		return true;
	}
	have = target_gtids(&a->target, e);
	if (!have)
		return false;
	fprintf(a->io->out, "  %llu of %llu transactions to go\n",
	        (unsigned long long)gtid_set_count_missing(a->facts.set, have),
	        (unsigned long long)a->facts.transactions);
	return true;
}

static bool wait_for_end(struct apply *a, struct err *e)
{
	AUTO(free) char *sql = wait_statement(a);
	struct target_status st;
	bool reached = false;

	for (;;) {
		if (!verb_go_on(a->io, e) || !wait_once(a, sql, &reached, e))
			return false;
		if (reached)
			return true;
		if (!target_status(&a->target, &st, e))
			return false;
		if (!st.sql_running) /* what it has by then is looked at afterwards */
			return !st.sql_errno ||
			       err_set(e, ERR_SQL, st.sql_errno, "%s", st.sql_error);
		if (!show_progress(a, &st, e))
			return false;
		if (clock_left(a->target.deadline) == 0)
			return err_set(e, ERR_LOST, 0, "not applied in time");
	}
}

/*
 * ---- in order
 * ------------------------------------------------------------------------------------
 */

static bool stop_all(struct apply *a, struct err *e)
{
	return target_verb(&a->target, "STOP", "IO_THREAD", "", e) &&
	       target_stop_applier(&a->target, apply_relay_find_half, a, e);
}

/* Nothing can get lost, nothing stands in the way. */
static bool prepare(struct apply *a, struct relay_index *ret, struct err *e)
{
	struct relay_index x;

	if (!apply_override(a, VAR_RELAY_LOG_PURGE, "0", e) ||
	        !apply_override(a, VAR_SEMISYNC_SOURCE_ENABLED, "0", e) ||
	        !apply_override(a, VAR_CHECKPOINT_PERIOD, CHECKPOINT_MS, e) ||
	        !remember_channel(a, &a->st, e) || !read_index(a, &a->st, &x, e))
		return false;
	apply_failpoint("stopped");
	remove_orphan(a, &x);
	if (!keep_aside(a, &x, e) || !leave_strict_modes(a, &a->st, e)) {
		relay_index_done(&x);
		return false;
	}
	relay_index_done(&x);
	return target_status(&a->target, &a->st, e) && read_index(a, &a->st, ret, e);
}

/*
 * FLUSH writes the index anew: from what the server had read of it before, if our line came too
 * late.
 */
static bool check_index(struct apply *a, const char *name, struct err *e)
{
	struct relay_index x;
	bool ok;

	if (!read_index(a, &a->st, &x, e))
		return false;
	ok = relay_index_has(&x, name);
	relay_index_done(&x);
	return ok ||
	       err_set(e, ERR_LOST, 0, "%s did not take %s into its index", a->target.name, name);
}

static bool hand_over(struct apply *a, const struct parcel *p, struct err *e)
{
	fprintf(a->io->out, "  Added %s to the relay logs of %s.\n", p->name, a->target.name);
	if (!target_flush_relay_logs(&a->target, e) || !check_index(a, p->name, e))
		return false;
	apply_failpoint("flushed");
	if (!apply_note_executed(a, e))
		return false;
	if (!point_at(a, p->name, e))
		return false;
	apply_failpoint("changed");
	if (!fill(p, e))
		return false;
	apply_failpoint("filled");
	/*
	 * MariaDB has noted at CHANGE how long this one is, as the newest: with a newer one it
	 * reads it to its end.
	 */
	if (target_is_mariadb(&a->target) && !target_flush_relay_logs(&a->target, e))
		return false;
	fprintf(a->io->out, "  The server is told to apply %s.\n", p->name);
	if (!target_verb(&a->target, "START", "SQL_THREAD", "", e))
		return false;
	apply_failpoint("started");
	return true;
}

/* A parallel applier tells where to look instead of what happened. */
static bool add_worker_error(struct apply *a, struct err *e)
{
	AUTO(db_result) struct db_result *r = NULL;
	const char *text;

	if (!dialect_can(db_dialect(a->target.db), CAP_PFS_REPLICATION))
		return false;
	r = db_query(a->target.db,
	        "SELECT LAST_ERROR_NUMBER, LAST_ERROR_MESSAGE FROM "
	        "performance_schema.replication_applier_status_by_worker WHERE "
	        "LAST_ERROR_NUMBER<>0 "
	        "ORDER BY LAST_ERROR_TIMESTAMP LIMIT 1",
	        NULL);
	text = r ? db_get(r, 0, "LAST_ERROR_MESSAGE") : NULL;
	if (text)
		err_set(e, ERR_SQL, atoi(db_get(r, 0, "LAST_ERROR_NUMBER")), "%s", text);
	return false;
}

/* Errors of the applier name the transaction: the first that is missing. */
static bool tell_what_stopped(struct apply *a, struct err *e)
{
	struct join_missing m;
	char first[700];

	if (!e)
		return false;
	add_worker_error(a, e);
	if (!stop_all(a, NULL) || !apply_look(a, -1, &m, NULL) || !m.transactions)
		return false;
	apply_name_first(&m, first, sizeof(first));
	return err_ctx(e, "%s: not applied from transaction %s on: error %d", a->target.name, first,
	        e->code);
}

/* *ret_done: nothing is missing. */
static bool attempt(struct apply *a, bool *ret_done, struct err *e)
{
	struct relay_index x;
	struct parcel p = { .fd = -1 };
	struct join_missing m;
	bool ok;

	if (!stop_all(a, e) || !apply_look(a, -1, &m, e))
		return false;
	*ret_done = !m.transactions;
	if (*ret_done)
		return true;
	if (!prepare(a, &x, e))
		return false;
	ok = make_relay_log(a, &x, &p, e) && (!p.name || hand_over(a, &p, e));
	relay_index_done(&x);
	*ret_done = ok && !p.name;
	ok = ok && (!p.name || wait_for_end(a, e) ||
	                   (e && e->kind == ERR_SQL && tell_what_stopped(a, e)));
	parcel_done(&p);
	if (!ok || *ret_done)
		return ok;
	apply_failpoint("applied");
	if (!stop_all(a, e) || !apply_look(a, -1, &m, e))
		return false;
	*ret_done = !m.transactions;
	return true;
}

/* Whether another attempt may help; makes the server ready for it. */
static bool can_go_on(struct apply *a, struct err *why)
{
	if (why->kind == ERR_SQL && why->code == CODE_GAPS) {
		fprintf(a->io->out, "  The parallel applier has gaps: they are filled first.\n");
		why->kind = ERR_NONE;
		return target_fill_gaps(&a->target, why);
	}
	if (!target_is_gone(why) || clock_left(a->target.deadline) == 0)
		return false;
	fprintf(a->io->out, "  %s. Beginning anew.\n", why->text);
	why->kind = ERR_NONE;
	return verb_go_on(a->io, why) && target_reopen(&a->target, why);
}

static bool fail(const struct err *why, struct err *e)
{
	if (e)
		*e = *why;
	return false;
}

bool apply_relay(struct apply *a, struct err *e)
{
	for (int i = 0; i < ATTEMPTS; i++) {
		struct err why = { .kind = ERR_NONE };
		bool done = false;

		if (attempt(a, &done, &why) && done && restore_channel(a, &why))
			return true;
		if (why.kind != ERR_NONE && !can_go_on(a, &why))
			return fail(&why, e);
	}
	return err_set(e, ERR_LOST, 0, "%s does not come to the end: %d attempts", a->target.name,
	        ATTEMPTS);
}
