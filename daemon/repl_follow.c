/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repl_follow - a slave gets another source, or none.  Runs on: worker.
 *
 * CHANGE keeps all options of a channel that it does not name, but for one: servers of all versions reset the
 * heartbeat period, so that one is always named.
 */
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "db.h"
#include "repl_impl.h"

enum {
	SETTLE_MS = 150, /* so long both threads must run before it is believed */
	CODE_GAPS = 1802,
	CODE_FATAL_READING = 13114, /* what newer servers call 1236 */
	CODE_LOST_POSITION = 1236,
	CODE_NEEDS_TLS = 2061,
	CODE_BEHIND_BINLOG = 1947, /* a position that lacks what the binlog has... */
	CODE_MISSES_DOMAIN = 1948, /* ...of a whole domain */
};

/*
 * ---- the statement -----------------------------------------------------------------------------
 */

static void add(struct str *s, const char *option)
{
	str_addf(s, "%s%s", s->len ? ", " : "", option);
}

static void add_text(struct str *s, const char *option, const char *value)
{
	char *quoted = db_quote(value);

	str_addf(s, "%s%s=%s", s->len ? ", " : "", option, quoted);
	mem_free_secret(quoted);
}

static void add_number(struct str *s, const char *option, int64_t value)
{
	str_addf(s, "%s%s=%lld", s->len ? ", " : "", option, (long long)value);
}

static bool is_mariadb(const struct dialect *d)
{
	return dialect_family(d) == FAMILY_MARIADB;
}

static void add_place(struct str *s, const struct repl_source *src)
{
	if (src->by == REPL_BY_POSITION) {
		add_text(s, "%SOURCE%_LOG_FILE", src->file ? src->file : "");
		add_number(s, "%SOURCE%_LOG_POS", (int64_t)src->pos);
	} else if (src->by == REPL_BY_AUTO) {
		add_number(s, "%SOURCE%_AUTO_POSITION", 1);
	} else {
		add(s, src->by == REPL_BY_SLAVE_POS ? "MASTER_USE_GTID=slave_pos"
		                                    : "MASTER_USE_GTID=current_pos");
	}
}

/* In MHA's order, which people's scripts read. */
static void add_source(struct str *s, const struct repl_source *src, const char *password)
{
	add_text(s, "%SOURCE%_HOST", src->host);
	add_number(s, "%SOURCE%_PORT", src->port);
	add_place(s, src);
	if (src->user)
		add_text(s, "%SOURCE%_USER", src->user);
	if (password)
		add_text(s, "%SOURCE%_PASSWORD", password);
}

char *repl_change_text(const struct dialect *d, const char *channel, const struct repl_source *src)
{
	AUTO_STR struct str s = STR_INIT;
	AUTO(free) char *sql = NULL;

	add_source(&s, src, src->password ? "xxx" : NULL);
	sql = channel_change_sql(d, channel ? channel : "", s.p);
	return xasprintf("%s;", sql);
}

/* What forbids the mode that is asked for: positions while the channel is told to go by itself. */
static void add_mode(struct str *s, const struct repl *r, const struct repl_source *src,
        const struct channel_status *st)
{
	if (src->by != REPL_BY_POSITION)
		return;
	if (is_mariadb(r->dialect)) {
		add(s, "MASTER_USE_GTID=no");
		return;
	}
	if (st->auto_failover)
		add(s, "SOURCE_CONNECTION_AUTO_FAILOVER=0");
	if (st->gtid_only)
		add(s, "GTID_ONLY=0");
	/* Always: it may be left over from a channel that was forgotten. */
	add(s, "%SOURCE%_AUTO_POSITION=0");
}

static void add_tls(struct str *s, const struct snapshot_channel *like)
{
	add_number(s, "%SOURCE%_SSL", like->ssl_allowed);
	if (like->ssl_ca)
		add_text(s, "%SOURCE%_SSL_CA", like->ssl_ca);
	if (like->ssl_cert)
		add_text(s, "%SOURCE%_SSL_CERT", like->ssl_cert);
	if (like->ssl_key)
		add_text(s, "%SOURCE%_SSL_KEY", like->ssl_key);
	if (like->ssl_allowed)
		add_number(s, "%SOURCE%_SSL_VERIFY_SERVER_CERT", like->ssl_verify);
}

/* Of a channel that is made anew. */
static void add_like(struct str *s, const struct repl *r, const struct snapshot_channel *like)
{
	add_tls(s, like);
	if (like->public_key_path && dialect_col(r->dialect, COL_PUBLIC_KEY_PATH))
		add_text(s, "%SOURCE%_PUBLIC_KEY_PATH", like->public_key_path);
	if (like->get_public_key && dialect_col(r->dialect, COL_GET_PUBLIC_KEY))
		add_number(s, "GET_%SOURCE%_PUBLIC_KEY", 1);
	if (like->connect_retry > 0)
		add_number(s, "%SOURCE%_CONNECT_RETRY", like->connect_retry);
	if (like->retry_count >= 0 && dialect_col(r->dialect, COL_RETRY_COUNT))
		add_number(s, "%SOURCE%_RETRY_COUNT", like->retry_count);
	if (like->sql_delay > 0)
		add_number(s, "%SOURCE%_DELAY", like->sql_delay);
}

static void add_heartbeat(struct str *s, int64_t ms)
{
	if (ms >= 0)
		str_addf(s, ", %%SOURCE%%_HEARTBEAT_PERIOD=%lld.%03lld", (long long)(ms / 1000),
		        (long long)(ms % 1000));
}

static bool change(struct repl *r, const struct repl_source *src, const struct channel_status *st,
        int64_t deadline, struct err *e)
{
	AUTO_STR struct str s = STR_INIT;
	bool fresh = !st->is_replica || !*st->source_host, ok;
	int64_t heartbeat = st->heartbeat_ms;

	add_source(&s, src, src->password);
	add_mode(&s, r, src, st);
	if (fresh)
		heartbeat = -1;
	if (fresh && src->like) {
		add_like(&s, r, src->like);
		heartbeat = src->like->heartbeat_ms;
	}
	add_heartbeat(&s, heartbeat);
	if (src->get_public_key && dialect_col(r->dialect, COL_GET_PUBLIC_KEY) &&
	        !(fresh && src->like && src->like->get_public_key))
		add_number(&s, "GET_%SOURCE%_PUBLIC_KEY", 1);
	ok = repl_change(r, s.p, deadline, e);
	mem_wipe(s.p, s.len);
	return ok;
}

/*
 * ---- MariaDB's position ------------------------------------------------------------------------
 */

/* What of the binlog's end came from others; all of it if `own` counts, too. */
static struct gtid_set *part_of_history(
        struct repl *r, const struct gtid_set *logged, bool own, int64_t deadline, struct err *e)
{
	AUTO(db_result) struct db_result *res = NULL;
	AUTO(free) char *text = gtid_set_format(logged), *suffix = NULL;
	AUTO_STR struct str s = STR_INIT;
	char *rest = text;

	if (own)
		return gtid_set_dup(logged);
	res = repl_ask(r, "SELECT @@GLOBAL.server_id AS v", deadline, e);
	if (!res)
		return NULL;
	suffix = xasprintf("-%s-", db_get(res, 0, "v") ? db_get(res, 0, "v") : "");
	for (char *one; (one = strsep(&rest, ",")) != NULL;) {
		const char *server = strchr(one, '-');

		if (server && !str_starts(server, suffix))
			add(&s, one);
	}
	return gtid_set_parse(GTID_MARIADB, s.p, e);
}

static bool set_position(struct repl *r, const struct gtid_set *pos, const struct gtid_set *more,
        int64_t deadline, struct err *e)
{
	AUTO(gtid) struct gtid_set *both = gtid_set_union(pos, more);
	AUTO(free) char *text = gtid_set_format(both);
	AUTO(free) char *sql = xasprintf("SET GLOBAL gtid_slave_pos='%s'", text);

	return gtid_set_contains(pos, more) || repl_exec(r, sql, deadline, e);
}

/*
 * What was applied by a client's session is in the binlog, and not in gtid_slave_pos: a slave that goes by that
 * one would ask for it again.  What the server wrote itself is left out, unless its strict mode forbids that.
 */
static bool join_positions(
        struct repl *r, const struct repl_source *src, int64_t deadline, struct err *e)
{
	AUTO(gtid) struct gtid_set *logged = repl_gtids(r, VAR_GTID_EXECUTED, deadline, e);
	AUTO(gtid)
	struct gtid_set *pos = logged ? repl_gtids(r, VAR_GTID_REPLICA_POS, deadline, e) : NULL;
	AUTO(gtid)
	struct gtid_set *ours =
	        pos ? part_of_history(r, logged, src->was_source, deadline, e) : NULL;
	struct err why = { .kind = ERR_NONE };

	if (!ours)
		return false;
	if (set_position(r, pos, ours, deadline, &why) ||
	        ((why.code == CODE_MISSES_DOMAIN || why.code == CODE_BEHIND_BINLOG) &&
	                set_position(r, pos, logged, deadline, &why)))
		return true;
	return repl_fail(&why, e) || err_ctx(e, "set gtid_slave_pos");
}

/*
 * ---- does it follow? ---------------------------------------------------------------------------
 */

enum repl_by repl_by_of(const struct repl_now *now)
{
	if (now->auto_position)
		return REPL_BY_AUTO;
	if (now->using_gtid == USING_GTID_SLAVE_POS)
		return REPL_BY_SLAVE_POS;
	return now->using_gtid == USING_GTID_CURRENT_POS ? REPL_BY_CURRENT_POS : REPL_BY_POSITION;
}

static bool is_of(const struct repl_now *n, const struct repl_source *src)
{
	return n->is_replica && str_is(n->source_host, src->host) && n->source_port == src->port &&
	       repl_by_of(n) == src->by &&
	       (src->by != REPL_BY_POSITION ||
	               snapshot_pos_cmp(n->read_file, n->read_pos, src->file, src->pos) >= 0);
}

/* A login that no time mends. */
static bool is_turned_away(int code)
{
	return code != 1040 && code != 1203 && db_code_is_alive(code);
}

static bool receiver_failed(struct repl *r, const struct channel_status *st, struct err *e)
{
	int code = st->io_errno == CODE_FATAL_READING ? CODE_LOST_POSITION : st->io_errno;

	if (!code)
		return false;
	if (is_turned_away(code)) {
		repl_error(r, e, ERR_REFUSED, code, "its source turns it away: %s", st->io_error);
		return true;
	}
	/* It keeps trying where the fault may pass. */
	if (st->io == CHANNEL_IO_CONNECTING && code != CODE_NEEDS_TLS)
		return false;
	repl_error(r, e, ERR_PRECOND, code, "the receiver stopped: %s", st->io_error);
	if (code == CODE_NEEDS_TLS)
		err_hint(e, "give the channel TLS or GET_SOURCE_PUBLIC_KEY=1");
	return true;
}

static bool has_failed(struct repl *r, const struct channel_status *st, struct err *e)
{
	if (!st->is_replica)
		return !repl_error(r, e, ERR_PRECOND, 0, "it has no source");
	if (!st->sql_running && st->sql_errno)
		return !repl_applier_error(r, st, e);
	return receiver_failed(r, st, e);
}

/* In GTID modes the name of a binlog comes with the source's first answer. */
static bool is_answered(const struct channel_status *st)
{
	return st->gtid == CHANNEL_GTID_NO || *st->read_file;
}

static bool is_too_late(struct repl *r, const struct channel_status *st, struct err *e)
{
	if (st->io == CHANNEL_IO_CONNECTING && st->io_errno)
		return repl_error(r, e, ERR_UNREACHABLE, st->io_errno,
		        "it does not reach its source: %s", st->io_error);
	return repl_error(r, e, ERR_LOST, 0, "%s in time",
	        st->io == CHANNEL_IO_NO           ? "its receiver did not start"
	        : st->io == CHANNEL_IO_CONNECTING ? "its receiver did not connect"
	        : !st->sql_running                ? "its applier did not start"
	                                          : "it was not seen to receive");
}

static bool wait_following(struct repl *r, int64_t deadline, struct err *e)
{
	struct channel_status st = { .is_replica = false };
	struct err why = { .kind = ERR_NONE };
	int64_t since = 0;

	do {
		if (!repl_status(r, deadline, &st, NULL, &why))
			return st.is_replica && clock_left(deadline) == 0 ? is_too_late(r, &st, e)
			                                                  : repl_fail(&why, e);
		if (has_failed(r, &st, e))
			return false;
		if (st.io != CHANNEL_IO_YES || !st.sql_running)
			since = 0;
		else if (!since)
			since = clock_ms();
		if (since && is_answered(&st) && clock_ms() - since >= SETTLE_MS)
			return true;
	} while (repl_nap(REPL_AGAIN_MS, deadline));
	return is_too_late(r, &st, e);
}

bool repl_is_following(struct repl *r, const struct repl_source *s, int64_t deadline, struct err *e)
{
	struct repl_now n;

	if (!repl_look(r, deadline, &n, e))
		return false;
	if (!is_of(&n, s))
		return repl_error(r, e, ERR_PRECOND, 0, "it follows %s:%u",
		        n.is_replica ? n.source_host : "nobody", n.source_port);
	return s->leave_stopped || wait_following(r, deadline, e);
}

/*
 * ---- in order ----------------------------------------------------------------------------------
 */

static bool stop_both(struct repl *r, int64_t deadline, struct err *e)
{
	return repl_stop_io(r, deadline, e) && repl_stop_sql(r, deadline, e);
}

/* By GTIDs nothing of the old relay logs is needed, should a parallel applier's gaps not fill. */
static bool change_anyhow(struct repl *r, const struct repl_source *src,
        const struct channel_status *st, int64_t deadline, struct err *e)
{
	struct err why = { .kind = ERR_NONE };

	if (change(r, src, st, deadline, &why))
		return true;
	if (why.code != CODE_GAPS || src->by == REPL_BY_POSITION)
		return repl_fail(&why, e);
	why = (struct err){ .kind = ERR_NONE };
	if (!repl_fill_gaps(r, deadline, &why) && why.kind != ERR_SQL)
		return repl_fail(&why, e);
	return stop_both(r, deadline, e) &&
	       (why.kind == ERR_NONE || repl_verb(r, "RESET", "", deadline, e)) &&
	       change(r, src, st, deadline, e);
}

static bool point(struct repl *r, const struct repl_source *src, int64_t deadline, struct err *e)
{
	struct channel_status st;

	if (!stop_both(r, deadline, e) || !repl_status(r, deadline, &st, NULL, e))
		return false;
	if (src->by == REPL_BY_SLAVE_POS && !join_positions(r, src, deadline, e))
		return false;
	return change_anyhow(r, src, &st, deadline, e);
}

bool repl_follow(struct repl *r, const struct repl_source *src, int64_t deadline, struct err *e)
{
	struct repl_now n;

	if (!repl_look(r, deadline, &n, e))
		return err_ctx(e, "re-point");
	if (is_of(&n, src) && n.io == IO_YES && n.sql_running && !src->leave_stopped &&
	        (!src->user || str_is(src->user, n.source_user)))
		return wait_following(r, deadline, e);
	if (!point(r, src, deadline, e))
		return err_ctx(e, "re-point");
	if (src->leave_stopped)
		return true;
	return (repl_verb(r, "START", "", deadline, e) || err_ctx(e, "start replication")) &&
	       wait_following(r, deadline, e);
}

bool repl_forget(struct repl *r, int64_t deadline, struct err *e)
{
	struct repl_now n;

	if (!repl_look(r, deadline, &n, e))
		return err_ctx(e, "forget the source");
	if (!n.is_replica)
		return true;
	if (!stop_both(r, deadline, e) || !repl_verb(r, "RESET", "ALL", deadline, e) ||
	        !repl_look(r, deadline, &n, e))
		return err_ctx(e, "forget the source");
	if (n.is_replica)
		return repl_error(r, e, ERR_PRECOND, 0, "it still has a source: %s:%u",
		        n.source_host, n.source_port);
	return true;
}
