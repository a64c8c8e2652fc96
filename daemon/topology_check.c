/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * topology_check - everything that is wrong with a cluster, one small check per subject, in the
 * order of MHA's. Runs on: any thread.  Pure.
 */
#include "topology.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "str.h"
#include "topology_internal.h"

enum {
	CHECK = TOPOLOGY_STOPS_CHECK,
	START = TOPOLOGY_STOPS_START,
	FAILOVER = TOPOLOGY_STOPS_FAILOVER,
	SWITCH = TOPOLOGY_STOPS_SWITCH,
};

static const struct {
	int check;
	enum topology_severity severity;
	unsigned stops;
} codes[] = {
#define ROW(sym, name, number, level, what) [TOPOLOGY_##sym] = { number, TOPOLOGY_##level, what },
	TOPOLOGY_CODES(ROW)
#undef ROW
};

/* Calls `fn` for each server. */
static void for_each(struct topology_work *w,
        void (*fn)(struct topology_work *w, const struct topology_server *v))
{
	for (size_t i = 0; i < w->t->n_servers; i++)
		fn(w, &w->t->servers[i]);
}

/* `hint` may be NULL and is copied; the finding can still be changed through the result, until the
 * next one. */
static struct topology_finding *add(struct topology_work *w, enum topology_code code,
        const struct topology_server *v, const char *hint, const char *fmt, ...) PRINTF_LIKE(5, 6);

static struct topology_finding *add(struct topology_work *w, enum topology_code code,
        const struct topology_server *v, const char *hint, const char *fmt, ...)
{
	AUTO_STR struct str text = STR_INIT;
	va_list ap;
	va_start(ap, fmt);
	str_vaddf(&text, fmt, ap);
	va_end(ap);
	vec_push(&w->findings, (struct topology_finding){
	                               .severity = codes[code].severity,
	                               .code = code,
	                               .check = codes[code].check,
	                               .stops = codes[code].stops,
	                               .server = v,
	                               .text = arena_strdup(w->t->arena, text.p),
	                               .hint = arena_strdup(w->t->arena, hint),
	                       });
	return &w->findings.items[w->findings.len - 1];
}

/* Servers marked ignore_fail do not stop a failover; with ignore_fail_on_start not the start
 * either. */
static void relieve(const struct topology_work *w, struct topology_finding *f)
{
	if (!f->server->snap->conf->ignore_fail)
		return;
	f->stops &= ~(unsigned)FAILOVER;
	if (w->o.ignore_fail_on_start)
		f->stops &= ~(unsigned)(CHECK | START);
	if (!(f->stops & CHECK))
		f->severity = TOPOLOGY_WARNING;
}

static bool is_master(const struct topology_work *w, const struct topology_server *v)
{
	return v == w->t->master;
}

static const char *master_host(const struct topology_work *w)
{
	return w->t->master ? topology_host(w->t->master) : "the master";
}

/* A master that hangs is what failovers are for: it stops them as little as a dead one. */
static void check_silent(struct topology_work *w, const struct topology_server *v)
{
	struct topology_finding *f =
	        add(w, TOPOLOGY_SERVER_LOST, v, *v->snap->err.hint ? v->snap->err.hint : NULL,
	                "Server %s accepted the connection, then did not answer: %s",
	                topology_host(v), v->snap->err.text);
	if (is_master(w, v))
		f->stops &= ~(unsigned)(START | FAILOVER);
	else
		relieve(w, f);
}

static void check_answers(struct topology_work *w, const struct topology_server *v)
{
	const struct err *e = &v->snap->err;
	const char *hint = *e->hint ? e->hint : NULL, *host = topology_host(v);
	switch (v->snap->state) {
	case SNAPSHOT_REFUSED:
		if (!hint)
			hint = "check user and password, and the limits of connections, on that "
			       "server";
		relieve(w, add(w, TOPOLOGY_SERVER_REFUSED, v, hint,
		                   "Server %s is alive, but refuses the connection: %s", host,
		                   e->text));
		return;
	case SNAPSHOT_LOST: check_silent(w, v); return;
	case SNAPSHOT_UNUSABLE:
		if (e->kind == ERR_SQL)
			relieve(w,
			        add(w, TOPOLOGY_STATUS_DENIED, v, hint,
			                "Checking slave status on %s failed: %s", host, e->text));
		else
			relieve(w, add(w, TOPOLOGY_SERVER_UNUSABLE, v, hint,
			                   "Server %s is alive, but cannot be used: %s", host,
			                   e->text));
		return;
	default: return;
	}
}

static void check_counts(struct topology_work *w)
{
	const struct topology *t = w->t;
	size_t n_others = 0;
	for (size_t i = 0; i < t->n_servers; i++)
		n_others += topology_is_live(&t->servers[i]) && !t->servers[i].is_slave;
	if (!t->n_alive)
		add(w, TOPOLOGY_NO_ALIVE_SERVER, NULL,
		        "check the addresses in the file and this host's network",
		        "None of the %zu servers is alive.", t->n_servers);
	if (n_others > 1)
		add(w, TOPOLOGY_SEVERAL_NON_SLAVES, NULL,
		        "let all but the master replicate from it, or take them out of the file",
		        "There are %zu non-slave servers! There may be at most one non-slave "
		        "server.",
		        n_others);
	if (t->n_alive && !t->n_alive_slaves)
		add(w, TOPOLOGY_NO_ALIVE_SLAVE, NULL, NULL, "There is no alive slave.");
}

/* "db1(10.0.0.1:3306) writable, db2(10.0.0.2:3306) dead": all that could be the master. */
static char *describe_roots(const struct topology_work *w)
{
	struct str list = STR_INIT;
	for (size_t i = 0; i < w->t->n_servers; i++) {
		const struct topology_server *v = &w->t->servers[i];
		bool rival = w->answer == MASTER_AMBIGUOUS && topology_is_live(v) &&
		             v->n_replicas && v->snap->read_only != TRI_YES;
		if (!w->is_root[i] && !rival)
			continue;
		const char *what = v->snap->read_only == TRI_YES ? "read-only" : "writable";
		str_addf(&list, "%s%s %s", list.len ? ", " : "", topology_host(v),
		        topology_is_live(v) ? what : snapshot_state_name(v->snap->state));
	}
	return str_take(&list);
}

static bool is_any_unread(const struct topology *t)
{
	for (size_t i = 0; i < t->n_servers; i++)
		if (snapshot_is_up(t->servers[i].snap) && !topology_is_live(&t->servers[i]))
			return true;
	return false;
}

static void check_master_is_known(struct topology_work *w)
{
	AUTO(free) char *roots = describe_roots(w);
	switch (w->answer) {
	case MASTER_TWO_WRITABLE:
		add(w, TOPOLOGY_TWO_WRITABLE_MASTERS, NULL,
		        "SET GLOBAL read_only=1 on all masters but one",
		        "Multi-master configuration is detected, but two or more masters are "
		        "either writable "
		        "(read-only is not set) or dead! %s",
		        roots);
		return;
	case MASTER_NONE_WRITABLE:
		add(w, TOPOLOGY_NO_WRITABLE_MASTER, NULL,
		        "SET GLOBAL read_only=0 on the one that is to be the master",
		        "Multi-master configuration is detected, but no master is writable: %s",
		        roots);
		return;
	case MASTER_AMBIGUOUS:
		add(w, TOPOLOGY_NO_MASTER, NULL,
		        "SET GLOBAL read_only=1 on those that are not the master; set "
		        "multi_tier_slave=1 for slaves of slaves",
		        "Multi-master configuration is detected, but two or more masters are "
		        "either writable "
		        "(read-only is not set) or dead! Which is the current master cannot be "
		        "told: %s",
		        roots);
		return;
	case MASTER_NO_SLAVES:
		if (!w->t->master && w->t->n_alive)
			add(w, TOPOLOGY_NO_MASTER, NULL, NULL,
			        "The current master cannot be told: %s.",
			        is_any_unread(w->t) ? "not all servers say what they replicate"
			                            : "no server replicates from another");
		return;
	default: return;
	}
}

static void check_place(struct topology_work *w, const struct topology_server *v)
{
	const char *host = topology_host(v);
	bool may_be_outside = v->role == TOPOLOGY_UNMANAGED;
	if (!topology_is_live(v))
		return;
	if (v->is_slave && !v->source && !may_be_outside)
		add(w, TOPOLOGY_MASTER_NOT_IN_FILE, v,
		        "add that server to the file, or correct its hostname, ip and port",
		        "Master %s from which slave %s replicates is not defined in the "
		        "configuration file!",
		        v->source_name, host);
	else if (v->role == TOPOLOGY_OUTSIDER && v->is_slave)
		relieve(w, add(w, TOPOLOGY_SLAVE_OF_ANOTHER, v,
		                   "point it to the master, or take it out of the file",
		                   "Server %s is alive, but does not work as a slave! It "
		                   "replicates from %s, not from %s.",
		                   host, v->source_name, master_host(w)));
	else if (v->role == TOPOLOGY_OUTSIDER)
		relieve(w, add(w, TOPOLOGY_NOT_A_SLAVE, v,
		                   "make it a slave of the master, or take it out of the file",
		                   "Server %s is alive, but does not work as a slave! It has no "
		                   "replication settings.",
		                   host));
	else if (v->role == TOPOLOGY_SLAVE && v->tier > 1)
		add(w, TOPOLOGY_MULTI_TIER, v,
		        "set multi_tier_slave=1 for it, or let it replicate from the master",
		        "Server %s is alive, but does not work as a slave! It replicates from %s, "
		        "which is not the master.",
		        host, topology_host(v->source));
	else if (v->role == TOPOLOGY_UNMANAGED)
		add(w, TOPOLOGY_UNMANAGED_SLAVE, v, NULL,
		        "Server %s replicates from %s and is not managed (multi_tier_slave).", host,
		        v->source_name);
}

/* A dead server between the master and slaves of slaves. */
static void check_intermediate(struct topology_work *w, const struct topology_server *v)
{
	if (topology_is_live(v) || is_master(w, v) || !v->n_replicas || !w->t->master)
		return;
	relieve(w, add(w, TOPOLOGY_INTERMEDIATE_DEAD, v,
	                   "point its slaves to the master, or bring it back",
	                   "Server %s is %s, and %zu slave%s replicate%s from it.",
	                   topology_host(v), snapshot_state_name(v->snap->state), v->n_replicas,
	                   v->n_replicas == 1 ? "" : "s", v->n_replicas == 1 ? "s" : ""));
}

static void check_channel(struct topology_work *w, const struct topology_server *v)
{
	if (!topology_is_member(v) || is_master(w, v) || !v->is_slave)
		return;
	const struct snapshot_channel *ch = v->channel;
	if (!ch->sql_running && ch->sql_errno)
		relieve(w, add(w, TOPOLOGY_SQL_STOPPED_BY_ERROR, v,
		                   "repair it there, then START SLAVE",
		                   "Server %s is alive, but does not work as a slave! SQL thread "
		                   "stopped with error %d: %s",
		                   topology_host(v), ch->sql_errno,
		                   ch->sql_error ? ch->sql_error : ""));
	else if (!ch->read_file && ch->io_running != IO_YES)
		relieve(w, add(w, TOPOLOGY_NOT_A_SLAVE, v, NULL,
		                   "Server %s is alive, but does not work as a slave! It has never "
		                   "received anything from %s.",
		                   topology_host(v), v->source_name));
	if (v->snap->n_channels > 1)
		add(w, TOPOLOGY_MULTI_SOURCE, v, NULL,
		        "Server %s replicates from %zu masters; channel \"%s\" is the one from %s.",
		        topology_host(v), v->snap->n_channels, ch->name, v->source_name);
}

static void check_settings(struct topology_work *w, const struct topology_server *v)
{
	const struct snapshot_server *s = v->snap;
	const char *host = topology_host(v);
	if (is_master(w, v) && topology_is_live(v) && s->read_only == TRI_YES)
		add(w, TOPOLOGY_MASTER_READ_ONLY, v,
		        "SET GLOBAL read_only=0, if it is meant to take writes",
		        "The master %s is read-only.", host);
	if (!topology_is_direct(v))
		return;
	if (s->read_only == TRI_NO)
		add(w, TOPOLOGY_SLAVE_WRITABLE, v, "SET GLOBAL read_only=1, and in its my.cnf",
		        " read_only=1 is not set on slave %s.", host);
	else if (s->read_only == TRI_YES && s->super_read_only == TRI_NO)
		add(w, TOPOLOGY_NO_SUPER_READ_ONLY, v, "SET GLOBAL super_read_only=1",
		        "Privileged accounts may write on slave %s: super_read_only is off.", host);
	if (s->relay_log_purge == TRI_YES &&
	        (w->t->mode == TOPOLOGY_POSITION || w->t->mode == TOPOLOGY_POSITION_ON_GTID))
		add(w, TOPOLOGY_RELAY_LOG_PURGE, v,
		        "SET GLOBAL relay_log_purge=0, and purge with purge_relay_logs",
		        " relay_log_purge=0 is not set on slave %s.", host);
	if (s->log_bin == TRI_NO) {
		struct topology_finding *f = add(w, TOPOLOGY_LOG_BIN_OFF, v, NULL,
		        " log-bin is not set on slave %s. This host cannot be a master.", host);
		if (!s->conf->candidate_master)
			f->severity = TOPOLOGY_INFO;
	}
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "b, a,b" is "a,b". */
static char *canonical_list(const char *text)
{
	VEC(char *) items = VEC_INIT;
	AUTO(free) char *copy = xstrdup(text ? text : "");
	char *save = NULL;
	for (char *p = strtok_r(copy, ",", &save); p; p = strtok_r(NULL, ",", &save))
		vec_push(&items, str_trim(p));
	if (items.len)
		qsort(items.items, items.len, sizeof(char *), compare_texts);
	struct str out = STR_INIT;
	for (size_t i = 0; i < items.len; i++)
		if (*items.items[i] && (!i || strcmp(items.items[i], items.items[i - 1])))
			str_addf(&out, "%s%s", out.len ? "," : "", items.items[i]);
	vec_done(&items);
	return str_take(&out);
}

static bool lists_differ(const char *a, const char *b)
{
	AUTO(free) char *one = canonical_list(a);
	AUTO(free) char *two = canonical_list(b);
	return strcmp(one, two) != 0;
}

/* All slaves replicate the same: MHA's six fields; differing rewrites, which MHA does not know,
 * only warn. */
static void compare_replicate_filters(struct topology_work *w, const struct topology_server *first,
        const struct topology_server *v)
{
	for (int f = 0; f < FILTER_COUNT; f++) {
		const char *a = v->channel->filter[f], *b = first->channel->filter[f];
		if (!lists_differ(a, b))
			continue;
		struct topology_finding *found = add(w, TOPOLOGY_REPLICATE_FILTERS_DIFFER, v,
		        "give all slaves the same filters, or set check_repl_filter=0",
		        "Replication filtering check failed on %s! All slaves must have same "
		        "replication filtering rules. "
		        "%s is \"%s\", on %s it is \"%s\".",
		        topology_host(v), snapshot_filter_name(f), a, topology_host(first), b);
		if (f == FILTER_REWRITE_DB) {
			found->severity = TOPOLOGY_WARNING;
			found->stops = 0;
		}
	}
}

static void compare_binlog_filters(struct topology_work *w, const struct topology_server *first,
        const struct topology_server *v)
{
	const struct snapshot_server *a = v->snap, *b = first->snap;
	if (lists_differ(a->binlog_do_db, b->binlog_do_db) ||
	        lists_differ(a->binlog_ignore_db, b->binlog_ignore_db))
		add(w, TOPOLOGY_BINLOG_FILTERS_DIFFER, v,
		        "give them the same filters in my.cnf, or set check_repl_filter=0",
		        "Binlog filtering check failed on %s! All log-bin enabled servers must "
		        "have same binlog "
		        "filtering rules. do: \"%s\", ignore: \"%s\"; on %s do: \"%s\", ignore: "
		        "\"%s\".",
		        topology_host(v), a->binlog_do_db, a->binlog_ignore_db,
		        topology_host(first), b->binlog_do_db, b->binlog_ignore_db);
}

static void compare_both_filters(struct topology_work *w, const struct topology_server *logs,
        const struct topology_server *v, const char *what, const char *binlog,
        const char *replicate)
{
	if (binlog && *binlog && *replicate && lists_differ(binlog, replicate))
		add(w, TOPOLOGY_FILTERS_CONTRADICT, v,
		        "make both lists the same, or set check_repl_filter=0",
		        "Replication filtering check failed on %s! replicate-%s-db=\"%s\" is not "
		        "binlog-%s-db=\"%s\" of %s.",
		        topology_host(v), what, replicate, what, binlog, topology_host(logs));
}

static void check_filters(struct topology_work *w)
{
	const struct topology_server *first_slave = NULL, *first_log = NULL;
	if (!w->t->n_servers || !w->t->servers[0].snap->conf->check_repl_filter)
		return;
	for (size_t i = 0; i < w->t->n_servers; i++) {
		const struct topology_server *v = &w->t->servers[i];
		if (topology_is_member(v) && v->snap->binlog_do_db) {
			if (first_log)
				compare_binlog_filters(w, first_log, v);
			else
				first_log = v;
		}
		if (topology_is_direct(v)) {
			if (first_slave)
				compare_replicate_filters(w, first_slave, v);
			else
				first_slave = v;
		}
	}
	if (!first_slave || !first_log)
		return;
	compare_both_filters(w, first_log, first_slave, "do", first_log->snap->binlog_do_db,
	        first_slave->channel->filter[FILTER_DO_DB]);
	compare_both_filters(w, first_log, first_slave, "ignore", first_log->snap->binlog_ignore_db,
	        first_slave->channel->filter[FILTER_IGNORE_DB]);
}

static void check_candidates(struct topology_work *w)
{
	AUTO_STR struct str why = STR_INIT;
	for (size_t i = 0; i < w->t->n_servers; i++) {
		const struct topology_server *v = &w->t->servers[i];
		if (!topology_is_direct(v))
			continue;
		if (!v->unfit)
			return;
		str_addf(&why, "%s%s: %s", why.len ? "; " : "", topology_host(v), v->unfit);
	}
	if (why.len)
		add(w, TOPOLOGY_NO_CANDIDATE, NULL,
		        "see no_master in the file and log-bin in my.cnf",
		        "None of slaves can be master. Check failover configuration file or "
		        "log-bin settings in my.cnf. %s",
		        why.p);
}

static void check_repl_user(struct topology_work *w, const struct topology_server *v)
{
	const struct snapshot_repl_user *u = &v->snap->repl_user;
	const char *host = topology_host(v), *name = u->user ? u->user : "?";
	AUTO(free)
	char *grant = xasprintf(
	        "CREATE USER and GRANT REPLICATION SLAVE ON *.* TO '%s' on the master", name);
	if (!topology_is_direct(v) || v->unfit)
		return;
	if (!u->user)
		add(w, TOPOLOGY_REPL_USER_UNKNOWN, v, "set repl_user and repl_password",
		        "No replication user is known for %s.", host);
	else if (u->exists == TRI_NO)
		add(w, TOPOLOGY_REPL_USER_MISSING, v, grant,
		        "User %s does not exist on %s! Other slaves can not start replication from "
		        "this host.",
		        name, host);
	else if (u->granted == TRI_NO)
		add(w, TOPOLOGY_REPL_USER_NO_PRIVILEGE, v, grant,
		        "User %s does not have REPLICATION SLAVE privilege on %s! Other slaves can "
		        "not start "
		        "replication from this host.",
		        name, host);
	else if (u->granted == TRI_UNKNOWN)
		add(w, TOPOLOGY_REPL_USER_UNKNOWN, v, "GRANT SELECT ON mysql.* to mhad's account",
		        "Cannot tell whether user %s may replicate from %s: mysql.user cannot be "
		        "read.",
		        name, host);
}

static void check_dead(struct topology_work *w, const struct topology_server *v)
{
	enum snapshot_state state = v->snap->state;
	if ((state != SNAPSHOT_DEAD && state != SNAPSHOT_SKIPPED) || is_master(w, v))
		return;
	if (w->t->master && v->n_replicas)
		return; /* said as intermediate-dead */
	relieve(w, add(w, TOPOLOGY_SERVER_DEAD, v,
	                   "bring it back, take it out of the file, or set ignore_fail=1",
	                   "Server %s is dead, but must be alive! Check server settings. %s",
	                   topology_host(v), v->snap->err.text));
}

static void check_master_lives(struct topology_work *w)
{
	const struct topology_server *m = w->t->master;
	if (m && (m->snap->state == SNAPSHOT_DEAD || m->snap->state == SNAPSHOT_SKIPPED))
		add(w, TOPOLOGY_MASTER_DEAD, m, NULL, "The master %s is dead! %s", topology_host(m),
		        m->snap->err.text);
}

static void check_io(struct topology_work *w, const struct topology_server *v)
{
	const struct snapshot_channel *ch = v->channel;
	const char *state =
	        ch->io_running == IO_CONNECTING ? "is still connecting" : "is not running";
	if (ch->io_running == IO_YES || (!ch->read_file && ch->io_running != IO_YES))
		return;
	if (ch->io_errno)
		add(w, TOPOLOGY_IO_STOPPED, v, NULL, "Slave IO thread %s on %s. Error %d: %s",
		        state, topology_host(v), ch->io_errno, ch->io_error ? ch->io_error : "");
	else
		add(w, TOPOLOGY_IO_STOPPED, v, "START SLAVE", "Slave IO thread %s on %s.", state,
		        topology_host(v));
}

/* A slave that is delayed on purpose may be behind by that much. */
static void check_delay(struct topology_work *w, const struct topology_server *v)
{
	const struct snapshot_channel *ch = v->channel;
	int64_t on_purpose = ch->sql_delay > 0 ? ch->sql_delay : 0;
	if (ch->io_running == IO_YES && ch->sql_running && ch->seconds_behind < 0)
		add(w, TOPOLOGY_DELAY_UNKNOWN, v, NULL,
		        "Slave %s does not say how far it is behind: Seconds_Behind_Master is "
		        "NULL.",
		        topology_host(v));
	if (ch->seconds_behind > w->o.max_delay + on_purpose)
		add(w, TOPOLOGY_DELAY_TOO_LONG, v, NULL,
		        "Slave %s is %lld seconds behind the master; %lld are allowed.",
		        topology_host(v), (long long)ch->seconds_behind,
		        (long long)w->o.max_delay + (long long)on_purpose);
	if (on_purpose)
		add(w, TOPOLOGY_DELAYED_SLAVE, v, "no_master=1 keeps it from being chosen",
		        "Slave %s is delayed by %lld seconds on purpose.", topology_host(v),
		        (long long)on_purpose);
}

static void check_health(struct topology_work *w, const struct topology_server *v)
{
	if (!topology_is_direct(v))
		return;
	check_io(w, v);
	if (!v->channel->sql_running && !v->channel->sql_errno)
		add(w, TOPOLOGY_SQL_STOPPED, v, "START SLAVE SQL_THREAD",
		        "Slave SQL thread is not running on %s.", topology_host(v));
	check_delay(w, v);
}

/* Each pair once, the later one in the file named first. */
static void check_duplicates(struct topology_work *w, const struct topology_server *v)
{
	const struct snapshot_server *s = v->snap;
	for (const struct topology_server *o = w->t->servers; o < v && s->was_read; o++) {
		if (!o->snap->was_read)
			continue;
		if (s->server_id && s->server_id == o->snap->server_id)
			add(w, TOPOLOGY_DUPLICATE_SERVER_ID, v,
			        "give each server its own server_id in my.cnf",
			        "%s and %s have the same server_id %u.", topology_host(v),
			        topology_host(o), s->server_id);
		if (s->uuid && str_is(s->uuid, o->snap->uuid))
			add(w, TOPOLOGY_DUPLICATE_SERVER_UUID, v,
			        "stop one, remove auto.cnf from its datadir, start it",
			        "%s and %s have the same server_uuid %s.", topology_host(v),
			        topology_host(o), s->uuid);
	}
}

static void check_version(struct topology_work *w, const struct topology_server *v)
{
	const struct topology_server *m = w->t->master;
	const struct snapshot_server *s = v->snap;
	if (!topology_is_member(v) || !s->dialect)
		return;
	if (dialect_is_newer(s->dialect))
		add(w, TOPOLOGY_VERSION_UNTESTED, v, NULL,
		        "%s runs %s, which is newer than all that was tested.", topology_host(v),
		        s->version);
	if (!m || v == m || !topology_is_live(m) || !m->snap->dialect)
		return;
	unsigned own = s->version_number / 100, of_master = m->snap->version_number / 100;
	if (dialect_family(s->dialect) != dialect_family(m->snap->dialect))
		add(w, TOPOLOGY_FAMILIES_MIXED, v, "set no_master=1 for it",
		        "%s runs %s, the master %s runs %s: they are of different families.",
		        topology_host(v), s->version, topology_host(m), m->snap->version);
	else if (own < of_master)
		add(w, TOPOLOGY_VERSION_OLDER_THAN_MASTER, v, "upgrade slaves before the master",
		        "Slave %s runs %s, which is older than %s of its master %s.",
		        topology_host(v), s->version, m->snap->version, topology_host(m));
	else if (own > of_master)
		add(w, TOPOLOGY_VERSIONS_MIXED, v, NULL, "Slave %s runs %s, the master %s runs %s.",
		        topology_host(v), s->version, topology_host(m), m->snap->version);
}

static void check_logging(struct topology_work *w, const struct topology_server *v)
{
	const struct snapshot_server *s = v->snap;
	if (!topology_is_member(v) || s->log_bin != TRI_YES)
		return;
	if (s->binlog_format && strcasecmp(s->binlog_format, "ROW"))
		add(w, TOPOLOGY_BINLOG_FORMAT, v, "binlog_format=ROW",
		        "%s writes its binlog in the format %s.", topology_host(v),
		        s->binlog_format);
	if (!is_master(w, v) && !v->unfit && s->log_replica_updates == TRI_NO)
		add(w, TOPOLOGY_NO_REPLICA_UPDATES, v,
		        "log_slave_updates=1 in my.cnf, or no_master=1",
		        "%s may become master, but does not log what it replicates "
		        "(log_slave_updates): other "
		        "slaves cannot get missing transactions from it.",
		        topology_host(v));
}

static void check_gtid_modes(struct topology_work *w)
{
	const struct topology_server *first = NULL, *first_slave = NULL;
	for (size_t i = 0; i < w->t->n_servers; i++) {
		const struct topology_server *v = &w->t->servers[i];
		if (!topology_is_member(v))
			continue;
		if (!first)
			first = v;
		else if (v->snap->gtid_mode && first->snap->gtid_mode &&
		         strcasecmp(v->snap->gtid_mode, first->snap->gtid_mode))
			add(w, TOPOLOGY_GTID_MODE_MIXED, v, "the same gtid_mode on all servers",
			        "gtid_mode is %s on %s, but %s on %s.", v->snap->gtid_mode,
			        topology_host(v), first->snap->gtid_mode, topology_host(first));
		if (w->t->mode == TOPOLOGY_GTID_MARIADB && v->snap->gtid_strict == TRI_NO)
			add(w, TOPOLOGY_GTID_NOT_STRICT, v, "gtid_strict_mode=1",
			        "gtid_strict_mode is off on %s: errant transactions get in "
			        "unnoticed.",
			        topology_host(v));
		if (!topology_is_direct(v))
			continue;
		const struct snapshot_channel *a = v->channel,
		                              *b = first_slave ? first_slave->channel : a;
		if (a->auto_position != b->auto_position ||
		        (a->using_gtid == USING_GTID_NO) != (b->using_gtid == USING_GTID_NO))
			add(w, TOPOLOGY_GTID_POSITION_MIXED, v, "use GTIDs on all slaves",
			        "Some slaves position themselves by GTID and some do not: %s and "
			        "%s differ.",
			        topology_host(v), topology_host(first_slave));
		if (!first_slave)
			first_slave = v;
	}
}

static void check_errant(struct topology_work *w, const struct topology_server *v)
{
	if (!v->errant)
		return;
	add(w, TOPOLOGY_ERRANT_TRANSACTIONS, v,
	        "see what they did; then commit empty ones of the same GTID on the master, or make "
	        "the server anew",
	        "%s has %llu transaction%s that the master %s does not have: %s", topology_host(v),
	        (unsigned long long)v->n_errant, v->n_errant == 1 ? "" : "s", master_host(w),
	        v->errant_text);
	if (!v->snap->purged)
		return;
	AUTO(gtid) struct gtid_set *gone = gtid_set_intersect(v->errant, v->snap->purged);
	AUTO(free) char *text = gtid_set_format(gone);
	if (!gtid_set_is_empty(gone))
		add(w, TOPOLOGY_ERRANT_PURGED, v,
		        "no_master=1, or copy these transactions to the other servers",
		        "%s has purged errant transactions from its binlogs: if it becomes master, "
		        "all slaves stop with "
		        "error 1236: %s",
		        topology_host(v), text);
}

/* What an automatic position asks for and the master can no longer send. */
static void check_purged(struct topology_work *w, const struct topology_server *v)
{
	const struct topology_server *m = w->t->master;
	if (!topology_is_direct(v) || !v->channel->auto_position || !m->snap->purged ||
	        !v->snap->executed)
		return;
	AUTO(gtid)
	struct gtid_set *has = v->channel->retrieved
	                               ? gtid_set_union(v->snap->executed, v->channel->retrieved)
	                               : gtid_set_dup(v->snap->executed);
	if (gtid_set_contains(has, m->snap->purged))
		return;
	AUTO(gtid) struct gtid_set *missing = gtid_set_subtract(m->snap->purged, has);
	AUTO(free) char *text = gtid_set_format(missing);
	add(w, TOPOLOGY_PURGED_ON_MASTER, v, "make it anew from a copy of another server",
	        "Slave %s lacks transactions that the master %s has purged from its binlogs: %s",
	        topology_host(v), topology_host(m), text);
}

/* GTIDs of the master itself that it does not know any more, though it has begun a new binlog
 * since. */
static bool has_forgotten_gtids(const struct topology_server *v, const struct snapshot_server *m)
{
	uint8_t uuid[16];
	if (!m->executed_late || !v->snap->executed || !m->uuid || !gtid_uuid_parse(m->uuid, uuid))
		return false;
	if (!v->channel->read_file ||
	        snapshot_pos_cmp(m->binlog_late_file, 0, v->channel->read_file, 0) <= 0)
		return false;
	AUTO(gtid) struct gtid_set *own = gtid_set_only_source(v->snap->executed, uuid);
	return !gtid_set_contains(m->executed_late, own);
}

/* The file that it reads is shorter than what it has read of it. */
static bool is_cut(const struct snapshot_channel *ch, const struct snapshot_server *m)
{
	for (size_t i = 0; i < m->n_logs_late; i++)
		if (str_is(m->logs_late[i].file, ch->read_file))
			return m->logs_late[i].size < ch->read_pos;
	return false;
}

/* Sure only with a reading of the master that is younger than the slave's. */
static void check_rewound(struct topology_work *w, const struct topology_server *v)
{
	const struct topology_server *m = w->t->master;
	if (!topology_is_direct(v) || !topology_is_live(m) || !m->snap->binlog_late_file)
		return;
	const struct snapshot_channel *ch = v->channel;
	bool behind = snapshot_pos_cmp(ch->read_file, ch->read_pos, m->snap->binlog_late_file,
	                      m->snap->binlog_late_pos) > 0;
	if (behind || is_cut(ch, m->snap) || has_forgotten_gtids(v, m->snap))
		add(w, TOPOLOGY_MASTER_HAS_LESS, v,
		        "do not let it go on as master: it will use these positions and GTIDs "
		        "again",
		        "Slave %s has received up to %s:%llu, but the master %s ends at %s:%llu: "
		        "the master has lost "
		        "transactions.",
		        topology_host(v), ch->read_file, (unsigned long long)ch->read_pos,
		        topology_host(m), m->snap->binlog_late_file,
		        (unsigned long long)m->snap->binlog_late_pos);
}

static void check_semisync_master(struct topology_work *w)
{
	const struct topology_server *m = w->t->master;
	if (!m || !topology_is_live(m) || m->snap->semisync_source_enabled != TRI_YES)
		return;
	const struct snapshot_server *s = m->snap;
	if (s->semisync_clients == 0)
		add(w, TOPOLOGY_SEMISYNC_NO_ACKER, m,
		        "switch the semi-sync replica side on, on slaves, and restart their IO "
		        "threads",
		        "Semi-sync is on at %s, but no slave acknowledges.", topology_host(m));
	else if (s->semisync_clients > 0 && s->semisync_wait_count > s->semisync_clients)
		add(w, TOPOLOGY_SEMISYNC_FEW_ACKERS, m,
		        "switch semi-sync on, on more slaves, or lower the count",
		        "%s waits for %lld semi-sync acknowledgements, but only %lld can come.",
		        topology_host(m), (long long)s->semisync_wait_count,
		        (long long)s->semisync_clients);
	else if (s->semisync_source_on == TRI_NO)
		add(w, TOPOLOGY_SEMISYNC_OFF, m, NULL,
		        "Semi-sync is enabled at %s, but it has fallen back to asynchronous.",
		        topology_host(m));
}

static void check_semisync_slave(struct topology_work *w, const struct topology_server *v)
{
	const struct topology_server *m = w->t->master;
	const struct snapshot_server *s = v->snap;
	if (!topology_is_direct(v) || !topology_is_live(m))
		return;
	bool on_master = m->snap->semisync_source_enabled == TRI_YES;
	bool on_slave = s->semisync_replica_enabled == TRI_YES;
	if (on_slave && !on_master)
		add(w, TOPOLOGY_SEMISYNC_ONE_SIDED, v, NULL,
		        "Slave %s would acknowledge (semi-sync), but the master %s does not ask.",
		        topology_host(v), topology_host(m));
	else if (on_master && !on_slave && s->conf->candidate_master)
		add(w, TOPOLOGY_SEMISYNC_ONE_SIDED, v, NULL,
		        "The master %s waits for acknowledgements (semi-sync), but %s, a "
		        "candidate, gives none.",
		        topology_host(m), topology_host(v));
	if (s->semisync_source_enabled == TRI_YES && s->semisync_clients <= 0)
		add(w, TOPOLOGY_SEMISYNC_SOURCE_ON_SLAVE, v,
		        "switch the source side off there until it is master",
		        "Semi-sync's source side is on at slave %s, where nobody acknowledges: its "
		        "applier may stall.",
		        topology_host(v));
}

/* The half of a ring that matters only once the other one is the master. */
static void check_ring(struct topology_work *w, const struct topology_server *v)
{
	const struct topology_server *m = w->t->master;
	if (v->role != TOPOLOGY_CO_MASTER || !topology_is_live(v) || !topology_is_live(m) ||
	        m->source != v)
		return;
	const struct snapshot_channel *ch = m->channel;
	if (ch->io_running == IO_YES && ch->sql_running)
		return;
	add(w, TOPOLOGY_RING_BROKEN, m, "repair it there, then START SLAVE",
	        "Master %s and co-master %s follow each other, but %s does not replicate: its %s. "
	        "After a "
	        "switch it would miss what %s writes.",
	        topology_host(m), topology_host(v), topology_host(m),
	        !ch->sql_running ? "applier is stopped" : "receiver is not connected",
	        topology_host(v));
}

/* Ids that both could give: while one takes writes nothing happens, but what of it is on its way at a
 * promotion clashes. */
static void check_ids(struct topology_work *w, const struct topology_server *v)
{
	const struct topology_server *m = w->t->master;
	if (v->role != TOPOLOGY_CO_MASTER || !topology_is_live(v) || !topology_is_live(m))
		return;
	const struct snapshot_server *a = m->snap, *b = v->snap;
	if (a->auto_increment < 1 || b->auto_increment < 1)
		return;
	if (a->auto_increment > 1 && a->auto_increment == b->auto_increment &&
	        a->auto_offset % a->auto_increment != b->auto_offset % b->auto_increment)
		return;
	add(w, TOPOLOGY_AUTO_INCREMENT, v,
	        "auto_increment_increment=2 on both, auto_increment_offset=1 and 2",
	        "Masters %s and %s may give the same ids: auto_increment_increment and offset are "
	        "%lld "
	        "and %lld, and %lld and %lld.",
	        topology_host(m), topology_host(v), (long long)a->auto_increment,
	        (long long)a->auto_offset, (long long)b->auto_increment, (long long)b->auto_offset);
}

static void check_file(struct topology_work *w, const struct topology_server *v)
{
	const struct conf_server *c = v->snap->conf;
	if (c->candidate_master && c->no_master)
		add(w, TOPOLOGY_CANDIDATE_CONTRADICTION, v, "remove one of them",
		        "%s has both candidate_master and no_master: it will never be master.",
		        topology_host(v));
}

static void check_account(struct topology_work *w, const struct topology_server *v)
{
	AUTO_STR struct str list = STR_INIT;
	for (size_t i = 0; i < v->snap->n_denied; i++)
		str_addf(&list, "%s%s", i ? "; " : "", v->snap->denied[i]);
	if (list.len && v->snap->state == SNAPSHOT_ALIVE)
		add(w, TOPOLOGY_ACCOUNT_DENIED, v, "grant it to mhad's account",
		        "%s refuses to tell some things to user %s: %s", topology_host(v),
		        v->snap->conf->user ? v->snap->conf->user : "", list.p);
}

static void check_strangers(struct topology_work *w)
{
	for (size_t i = 0; i < w->strangers.len; i++)
		add(w, TOPOLOGY_UNKNOWN_SLAVE, w->strangers.items[i].source,
		        "add it to the file (multi_tier_slave=1 or no_master=1 keep it apart)",
		        "%s replicates from %s and is not defined in the configuration file.",
		        w->strangers.items[i].name, topology_host(w->strangers.items[i].source));
}

void topology_check(struct topology_work *w)
{
	for_each(w, check_answers);
	check_counts(w);
	check_master_is_known(w);
	for_each(w, check_place);
	for_each(w, check_intermediate);
	for_each(w, check_channel);
	for_each(w, check_settings);
	check_filters(w);
	check_candidates(w);
	for_each(w, check_repl_user);
	for_each(w, check_dead);
	check_master_lives(w);
	for_each(w, check_health);
	for_each(w, check_duplicates);
	for_each(w, check_version);
	for_each(w, check_logging);
	check_gtid_modes(w);
	for_each(w, check_errant);
	for_each(w, check_purged);
	for_each(w, check_rewound);
	check_semisync_master(w);
	for_each(w, check_semisync_slave);
	for_each(w, check_ring);
	for_each(w, check_ids);
	for_each(w, check_file);
	for_each(w, check_account);
	check_strangers(w);
}
