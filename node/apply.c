/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * apply - chooses the applier, and tells what came of it.
 * Runs on: any thread.
 */
#include "apply.h"
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "apply_impl.h"
#include "apply_relay.h"
#include "apply_sql.h"
#include "clock.h"
#include "json.h"
#include "login.h"
#include "vec.h"

enum { EXIT_NOT_TRIED = 1, EXIT_FAILED = 22, TIMEOUT_S = 86400 };

void apply_failpoint(const char *name)
{
	const char *want = getenv("MHA_NODE_FAILPOINT");
	size_t n = strlen(name);

	if (!want || strncmp(want, name, n) != 0)
		return;
	if (!want[n])
		raise(SIGKILL);
	if (!str_is(want + n, ":stop"))
		return;
	unsetenv("MHA_NODE_FAILPOINT"); /* once is enough */
	raise(SIGSTOP);
}

void apply_unescape(char *text)
{
	static const char special[] = "\"!#&;`|*?~<>^()[]{}$, '\\";
	char *to = text;

	for (const char *p = text; *p; p++) {
		if (*p == '\\' && p[1] && strchr(special, p[1]))
			p++;
		*to++ = *p;
	}
	*to = '\0';
}

/*
 * ---- looking -----------------------------------------------------------------------------------
 */

struct have {
	struct join_have h;
	struct gtid_set *gtids;
	char *logged;
	char file[512];
};

static void have_done(struct have *h)
{
	gtid_set_free(h->gtids);
	free(h->logged);
}

static bool is_mariadb(struct apply *a)
{
	return target_is_mariadb(&a->target) && a->facts.mariadb;
}

/* MariaDB: the last it has logged, and the last it has executed as a replica. */
static char *read_logged(struct apply *a, struct err *e)
{
	AUTO(gtid) struct gtid_set *logged = target_logged(&a->target, e);
	AUTO(gtid) struct gtid_set *executed = logged ? target_gtids(&a->target, e) : NULL;
	AUTO(free) char *one = NULL, *other = NULL;

	if (!executed)
		return NULL;
	one = gtid_set_format(logged);
	other = gtid_set_format(executed);
	return xasprintf("%s,%s", one, other);
}

bool apply_place(const char *text, char *file, size_t size, uint64_t *ret)
{
	const char *colon = strrchr(text, ':');
	unsigned long long pos;

	if (!colon || (size_t)(colon - text) >= size || !str_to_u64(colon + 1, &pos))
		return false;
	snprintf(file, size, "%.*s", (int)(colon - text), text);
	*ret = pos;
	return true;
}

static bool exec_may_be_lost(struct apply *a)
{
	return target_is_mariadb(&a->target) && !a->by_gtid;
}

bool apply_note_executed(struct apply *a, struct err *e)
{
	AUTO(free) char *text = NULL;

	if (!exec_may_be_lost(a) || a->exec_lost)
		return true;
	text = xasprintf("%s:%llu %s:%llu", a->st.exec_file, (unsigned long long)a->st.exec_pos,
	        a->st.read_file, (unsigned long long)a->st.read_pos);
	return apply_state_set(&a->state, "executed", text, e);
}

/*
 * If the executed position is just what CHANGE makes of it, the one noted before counts.  Should
 * the server have come to the very same place by executing, it does no harm: its GTIDs tell what it
 * has.
 */
static void recall_executed(struct apply *a, struct have *h)
{
	AUTO(free) char *text = exec_may_be_lost(a) ? apply_state_get(&a->state, "executed") : NULL;
	char *read = text ? strchr(text, ' ') : NULL;
	char file[512];
	uint64_t pos;

	a->exec_lost = false;
	if (!read)
		return;
	*read++ = '\0';
	a->exec_lost = apply_place(read, file, sizeof(file), &pos) && pos == a->st.exec_pos &&
	               str_is(file, a->st.exec_file) &&
	               apply_place(text, h->file, sizeof(h->file), &h->h.pos);
}

static bool read_have(struct apply *a, struct have *h, struct err *e)
{
	*h = (struct have){ .gtids = NULL };
	if (!target_status(&a->target, &a->st, e))
		return false;
	if (is_mariadb(a)) {
		h->h.logged = h->logged = read_logged(a, e);
		if (!h->logged)
			return false;
	}
	if (a->by_gtid) {
		h->h.gtids = h->gtids = target_gtids(&a->target, e);
		return h->gtids != NULL;
	}
	snprintf(h->file, sizeof(h->file), "%s", a->st.exec_file);
	h->h.file = h->file;
	h->h.pos = a->st.exec_pos;
	recall_executed(a, h);
	if (!is_mariadb(a) && !apply_sql_mark(a, h->file, sizeof(h->file), &h->h.pos, e))
		return false;
	return a->st.is_replica || err_set(e, ERR_PRECOND, 0,
	                                   "%s is no replica, and the transactions have no GTIDs: "
	                                   "there is no telling what it has",
	                                   a->target.name);
}

bool apply_look(struct apply *a, int fd, struct join_missing *ret, struct err *e)
{
	struct have h;
	bool ok = read_have(a, &h, e) &&
	          join_write(&a->parts, &h.h, fd, a->by_gtid && !a->facts.mariadb, ret, e);

	have_done(&h);
	if (ok && !a->looked) {
		a->missing = *ret;
		a->looked = true;
	}
	return ok;
}

/* MySQL's sets tell exactly.  MariaDB's positions do where replication goes by them. */
static bool goes_by_gtid(struct apply *a, const struct target_status *st)
{
	AUTO(free) char *before = apply_state_get(&a->state, "gtid");

	if (!a->facts.gtids || a->facts.mariadb != target_is_mariadb(&a->target))
		return false;
	return !a->facts.mariadb || !st->is_replica || st->gtid != TARGET_GTID_NO ||
	       (before && !str_is(before, "0"));
}

void apply_name_first(const struct join_missing *m, char *buf, size_t size)
{
	if (m->file[0] || m->start)
		snprintf(buf, size, "%s%s%s:%llu%s", m->gtid, m->gtid[0] ? " (" : "",
		        m->file[0] ? m->file : "?", (unsigned long long)m->start,
		        m->gtid[0] ? ")" : "");
	else
		snprintf(buf, size, "%s", m->gtid);
}

/*
 * ---- settings of the server --------------------------------------------------------------------
 */

static const enum dialect_var overridable[] = {
	VAR_RELAY_LOG_PURGE,
	VAR_SEMISYNC_SOURCE_ENABLED,
	VAR_SUPER_READ_ONLY,
	VAR_CHECKPOINT_PERIOD,
	VAR_MAX_ALLOWED_PACKET,
};

bool apply_override(struct apply *a, enum dialect_var what, const char *value, struct err *e)
{
	const char *name = vars_name(a->target.vars, what);
	AUTO(free) char *sql = NULL, *now = NULL, *kept = NULL;

	if (!name)
		return true;
	sql = xasprintf("SELECT @@GLOBAL.%s", name);
	if (!db_value(a->target.db, sql, &now, e))
		return false;
	if (!now || str_is(now, value))
		return true;
	kept = apply_state_get(&a->state, name);
	if (!str_is(kept, now) && !apply_state_set(&a->state, name, now, e))
		return false;
	return target_set_global(&a->target, name, value, e);
}

bool apply_restore(struct apply *a, struct err *e)
{
	bool ok = true;

	for (size_t i = 0; i < ARRAY_LEN(overridable); i++) {
		const char *name = vars_name(a->target.vars, overridable[i]);
		AUTO(free) char *kept = name ? apply_state_get(&a->state, name) : NULL;

		if (kept)
			ok = target_set_global(&a->target, name, kept, e) && ok;
	}
	return ok;
}

/*
 * ---- the appliers ------------------------------------------------------------------------------
 */

static bool choose(struct apply *a, struct err *e)
{
	const char *wish = a->args->applier ? a->args->applier : "auto";
	bool relay = str_is(wish, "relay"),
	     local = a->target.login->socket || login_is_local(a->target.login->address);
	struct err why = { .kind = ERR_NONE };

	if (!relay && !str_is(wish, "auto") && !str_is(wish, "sql"))
		return err_set(e, ERR_CONFIG, 0, "--applier=%s: auto, relay or sql", wish);
	if (!apply_sql_left_traces(a, e))
		return false;
	if (!str_is(wish, "sql")) {
		if (!local)
			err_set(&why, ERR_PRECOND, 0, "%s is not on this host", a->target.name);
		else if (!relay && a->args->disable_log_bin)
			err_set(&why, ERR_PRECOND, 0, "disable_log_bin is asked for");
		else if (apply_relay_can(a, &why)) {
			snprintf(a->applied_by, sizeof(a->applied_by), "relay");
			return true;
		}
		if (relay || target_is_gone(&why)) {
			if (e)
				*e = why;
			return err_ctx(e, "the server's own applier cannot be used");
		}
		fprintf(a->io->out, "  Not as a relay log: %s.\n", why.text);
	}
	snprintf(a->applied_by, sizeof(a->applied_by), "sql");
	return apply_sql_can(a, e);
}

static bool apply_all(struct apply *a, struct err *e)
{
	struct err why = { .kind = ERR_NONE };
	bool ok = str_is(a->applied_by, "relay") ? apply_relay(a, &why) : apply_sql(a, &why);
	struct err after = { .kind = ERR_NONE };

	if (a->target.db && !apply_restore(a, &after) && ok) {
		why = after;
		ok = err_ctx(&why, "all was applied, but settings are not as they were");
	}
	ok = ok && apply_state_forget(&a->state, &why);
	if (!ok && e)
		*e = why;
	return ok;
}

/*
 * ---- telling -----------------------------------------------------------------------------------
 */

static void tell(struct apply *a)
{
	AUTO(free) char *set = gtid_set_format(a->facts.set);
	AUTO_JSON struct json j = JSON_INIT;

	fprintf(a->io->out, "  %llu transactions applied, %llu were there already.\n",
	        (unsigned long long)a->missing.transactions, (unsigned long long)a->missing.had);
	if (a->st.is_replica)
		fprintf(a->io->out, "  Executed up to %s:%llu%s%s\n", a->st.exec_file,
		        (unsigned long long)a->st.exec_pos, set[0] ? ", with " : "", set);
	if (a->aside[0])
		fprintf(a->io->out, "  The relay logs of before are kept as %s\n", a->aside);
	json_open(&j, NULL, '{');
	json_str(&j, "applier", a->applied_by);
	json_int(&j, "transactions", (int64_t)a->missing.transactions);
	json_int(&j, "had", (int64_t)a->missing.had);
	json_int(&j, "bytes", (int64_t)a->missing.bytes);
	json_int(&j, "cut", (int64_t)a->facts.cut);
	json_str(&j, "cut_why", a->facts.cut_why);
	json_str(&j, "file", a->st.exec_file);
	json_int(&j, "pos", (int64_t)a->st.exec_pos);
	json_str(&j, "gtids", set);
	json_str(&j, "aside", a->aside);
	json_close(&j, '}');
	verb_result(a->io, j.text.p);
	if (a->args->json)
		fprintf(a->io->out, "%s\n", j.text.p);
}

static void tell_parts(struct apply *a)
{
	fprintf(a->io->out,
	        "Applying differential binary/relay log files %s on %s. This may take long "
	        "time...\n",
	        a->args->apply_files, a->target.name);
	fprintf(a->io->out, "  %llu transactions in %zu files.\n",
	        (unsigned long long)a->facts.transactions, a->parts.count);
	if (a->facts.cut_why[0])
		fprintf(a->io->out, "  Cut off: %s.\n", a->facts.cut_why);
}

/*
 * ---- what is asked for -------------------------------------------------------------------------
 */

/* The manager names the slave by an address, which need not be this host's for statements. */
static char *target_address(const struct args *a, struct err *e)
{
	const char *host = a->slave_ip ? a->slave_ip : a->host;
	char text[NI_MAXHOST];
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all = NULL;
	int rc;

	if (!host)
		return xstrdup("127.0.0.1");
	rc = getaddrinfo(host, NULL, &hints, &all);
	if (rc == 0)
		rc = getnameinfo(
		        all->ai_addr, all->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST);
	if (all)
		freeaddrinfo(all);
	if (rc == 0)
		return xstrdup(text);
	err_set(e, ERR_CONFIG, 0, "%s: %s", host, gai_strerror(rc));
	return NULL;
}

static bool read_login(const struct args *a, struct verb_io *io, struct login *ret, struct err *e)
{
	struct args of_login = *a;
	char *address = NULL;

	of_login.host = NULL;
	if (!login_read(&of_login, io, ret, e))
		return false;
	if (!ret->socket) {
		address = target_address(a, e);
		if (!address) {
			login_done(ret);
			return false;
		}
		free(ret->address);
		ret->address = address;
	}
	if (a->user)
		apply_unescape(ret->user);
	if (a->password && ret->password)
		apply_unescape(ret->password);
	return true;
}

/* The folder's name: a server and channel each have their own. */
static char *state_name(const struct login *l, const char *channel)
{
	char *name = xasprintf("%u%s%s", l->port, channel ? "-" : "", channel ? channel : "");

	for (char *p = name; *p; p++)
		if (*p == '/' || (unsigned char)*p < ' ')
			*p = '_';
	return name;
}

/* Servers and channels that have changed since have nothing to do with what was kept. */
static bool check_state(struct apply *a, const struct target_status *st, struct err *e)
{
	AUTO(free) char *source = apply_state_get(&a->state, "source");

	if (a->state.found && str_is(source, st->source)) {
		fprintf(a->io->out, "  An apply before this one did not end: taking it up.\n");
		return true;
	}
	return (!a->state.found || apply_state_forget(&a->state, e)) &&
	       apply_state_set(&a->state, "source", st->source, e);
}

/* *ret_tried: from there on the server is changed. */
static bool run(struct apply *a, const struct login *l, bool *ret_tried, struct err *e)
{
	struct target_login login = { l->address, l->port, l->socket, l->user, l->password,
		a->args->channel };
	AUTO(free) char *name = state_name(l, a->args->channel);
	int64_t seconds = a->args->apply_timeout ? a->args->apply_timeout : TIMEOUT_S;
	int64_t deadline = clock_sooner(a->io->deadline, clock_in(seconds * 1000));
	struct target_status st;

	if (!join_scan(&a->parts, &a->facts, e))
		return false;
	if (a->facts.begin[0])
		a->parts.begin = a->facts.begin;
	if (!target_open(&a->target, &login, deadline, false, e) ||
	        !target_status(&a->target, &st, e) ||
	        !apply_state_open(&a->state, a->args->workdir, name, e) || !check_state(a, &st, e))
		return false;
	a->by_gtid = goes_by_gtid(a, &st);
	tell_parts(a);
	if (!choose(a, e))
		return false;
	*ret_tried = true;
	if (!apply_all(a, e))
		return false;
	tell(a);
	return true;
}

static bool split_files(const char *list, struct join_parts *ret, struct err *e)
{
	VEC(char *) v = VEC_INIT;

	for (const char *p = list ? list : ""; *p;) {
		size_t n = strcspn(p, ",");

		if (n)
			vec_push(&v, xstrndup(p, n));
		p += n + (p[n] == ',');
	}
	*ret = (struct join_parts){ .paths = v.items, .count = v.len };
	return v.len || err_set(e, ERR_CONFIG, 0, "--apply_files=<...> must be set.");
}

static void done(struct apply *a)
{
	for (size_t i = 0; i < a->parts.count; i++)
		free(a->parts.paths[i]);
	free(a->parts.paths);
	join_facts_done(&a->facts);
	target_close(&a->target);
	apply_state_close(&a->state);
}

int apply_verb(const struct args *args, struct verb_io *io, struct err *e)
{
	struct apply *a = xzalloc(sizeof(*a));
	struct login l = { .user = NULL };
	bool tried = false, ok;

	a->args = args;
	a->io = io;
	a->state.fd = -1;
	a->state.text = (struct str)STR_INIT;
	ok = args_check_manager(args, e) && split_files(args->apply_files, &a->parts, e) &&
	     read_login(args, io, &l, e) && run(a, &l, &tried, e);
	login_done(&l);
	done(a);
	free(a);
	if (ok)
		fprintf(io->out, "Applying log files succeeded.\n");
	else if (tried)
		err_ctx(e, "FATAL: applying log files failed");
	return ok ? 0 : tried ? EXIT_FAILED : EXIT_NOT_TRIED;
}
