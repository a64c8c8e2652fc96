/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * db_steps - the library's non-blocking calls, one step at a time.  Runs on: any thread, one at a time.
 *
 * With TLS the library wants its socket blocking during the login and non-blocking afterwards, and does neither
 * by itself: the first is why logins with TLS end on a worker, the second is done here.
 *
 * For an idle session the library keeps a read-ahead buffer that is empty then, and a stack that nobody runs on:
 * both are lent to the session while a statement is under way.
 */
#include "db_steps.h"
#include "db_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <mysql.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include "clock.h"
#include "fdguard.h"

typedef unsigned char uchar;
typedef struct st_ma_pvio_tls MARIADB_TLS;
#include <ma_pvio.h>

enum { NO_STACK = 16, PLAIN_STACK = 64 << 10 }; /* PLAIN_STACK: without TLS */

enum stage { NEW, LOGGING_IN, WITH_WORKER, SETTLING, IDLE, SENDING, ROWS, OVER };

struct db_steps {
	struct db *db;
	struct db_opts o; /* owned copies; gone after the login */
	struct db_login login;
	enum stage stage;
	int waits; /* MYSQL_WAIT_* of a statement; 0 = the library has ended */

	/* of a statement */
	char *sql;
	int rc;
	MYSQL_RES *res;
	MYSQL_ROW row;
	struct db_result *result;

	size_t cache; /* size of the library's read-ahead buffer */
	enum db_layer layer;
	int64_t heard;
	int sys;
};

static struct db_opts copy_opts(const struct db_opts *o)
{
	struct db_opts c = *o;

	c.name = NULL;
	c.address = xstrdup(o->address);
	c.socket = xstrdup(o->socket);
	c.user = xstrdup(o->user);
	c.password = xstrdup(o->password);
	c.tls_ca = xstrdup(o->tls_ca);
	c.tls_cert = xstrdup(o->tls_cert);
	c.tls_key = xstrdup(o->tls_key);
	c.tls_fingerprint = xstrdup(o->tls_fingerprint);
	c.public_key = xstrdup(o->public_key);
	return c;
}

static void drop(const char **text)
{
	mem_free_secret((char *)(uintptr_t)*text);
	*text = NULL;
}

static void forget_opts(struct db_opts *o)
{
	drop(&o->address);
	drop(&o->socket);
	drop(&o->user);
	drop(&o->password);
	drop(&o->tls_ca);
	drop(&o->tls_cert);
	drop(&o->tls_key);
	drop(&o->tls_fingerprint);
	drop(&o->public_key);
}

struct db_steps *db_steps_new(const struct db_opts *o)
{
	struct db_steps *s = xzalloc(sizeof(*s));

	s->db = db_new(o->name);
	s->o = copy_opts(o);
	return s;
}

/* Peek for what the library will not tell: when something came, and why nothing more will. */
static void look(struct db_steps *s)
{
	char one;
	int fd = (int)mysql_get_socket(s->db->m);
	ssize_t n = fd < 0 ? 0 : recv(fd, &one, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n > 0)
		s->heard = clock_ms();
	else if (n < 0 && errno != EAGAIN && errno != EINTR && !s->sys)
		s->sys = errno;
}

/* The library came first, and keeps it to itself. */
static void note_errno(struct db_steps *s, int seen)
{
	if (!s->sys && (seen == ECONNRESET || seen == EPIPE || seen == ETIMEDOUT ||
	                       seen == EHOSTUNREACH || seen == ENETUNREACH))
		s->sys = seen;
}

/* The library keeps the stack of a statement for the next one: too much for thousands of idle sessions. */
static void set_stack(struct db_steps *s, size_t size)
{
	mysql_options(s->db->m, MYSQL_OPT_NONBLOCK, &size);
}

static void lend_memory(struct db_steps *s)
{
	MARIADB_PVIO *io = s->db->m->net.pvio;

	set_stack(s, s->db->cipher ? DB_FIBER_STACK : PLAIN_STACK);
	if (!io || io->cache || !s->cache)
		return;
	io->cache = io->cache_pos = xmalloc(s->cache);
	io->cache_size = 0;
}

static void take_memory(struct db_steps *s)
{
	MARIADB_PVIO *io = s->db->m->net.pvio;

	set_stack(s, NO_STACK);
	if (!io || !io->cache || io->cache_pos < io->cache + io->cache_size)
		return;
	if (!s->cache)
		s->cache = malloc_usable_size(io->cache);
	free(io->cache);
	io->cache = io->cache_pos = NULL;
	io->cache_size = 0;
}

static void end_statement(struct db_steps *s)
{
	if (s->res)
		mysql_free_result(TAKE(s->res));
	db_result_free(TAKE(s->result));
	free(TAKE(s->sql));
	s->row = NULL;
}

/* Whatever is under way ends now: a socket that is shut down makes nobody wait. */
static enum db_steps_state give_up(struct db_steps *s)
{
	int fd = (int)mysql_get_socket(s->db->m);

	s->db->dead = true;
	if (fd >= 0)
		shutdown(fd, SHUT_RDWR);
	while (s->waits && s->stage != ROWS)
		s->waits = mysql_real_query_cont(&s->rc, s->db->m, MYSQL_WAIT_TIMEOUT);
	while (s->waits)
		s->waits = mysql_fetch_row_cont(&s->row, s->res, MYSQL_WAIT_TIMEOUT);
	end_statement(s);
	s->stage = OVER;
	return DB_STEPS_FAILED;
}

static void lost(struct db_steps *s, const char *why, struct err *e)
{
	AUTO(free) char *shown = db_redact(s->sql);
	int code = (int)mysql_errno(s->db->m);

	err_set(e, ERR_LOST, code ? code : DB_CODE_LOST, "\"%.*s\": %s", DB_SHOWN_SQL, shown, why);
}

static enum db_steps_state settle_failed(struct db_steps *s, const struct err *why, struct err *e)
{
	db_settle_failed(why, e);
	err_at(e, s->db->name);
	return give_up(s);
}

static enum db_steps_state failed(struct db_steps *s, enum stage was, struct err *e)
{
	AUTO(free) char *shown = db_redact(s->sql);
	struct err why = { .kind = ERR_NONE };
	bool is_sql = db_sql_failed(s->db, s->sql, shown, &why);

	if (is_sql) {
		s->heard = clock_ms();
	} else {
		look(s);
		lost(s, mysql_error(s->db->m), &why);
	}
	if (was == SETTLING)
		return settle_failed(s, &why, e);
	if (e)
		*e = why;
	err_at(e, s->db->name);
	if (!is_sql)
		return give_up(s);
	end_statement(s);
	take_memory(s);
	s->stage = IDLE;
	return DB_STEPS_REFUSED;
}

static enum db_steps_state too_big(struct db_steps *s, struct err *e)
{
	lost(s, "the result is too big", e);
	err_at(e, s->db->name);
	return give_up(s);
}

static enum db_steps_state answered(struct db_steps *s)
{
	struct db_result *r = TAKE(s->result);

	end_statement(s);
	s->result = r;
	take_memory(s);
	s->heard = clock_ms();
	s->stage = IDLE;
	return DB_STEPS_READY;
}

/* As far as it goes without waiting. */
static enum db_steps_state advance(struct db_steps *s, struct err *e)
{
	while (!s->waits) {
		if (s->stage == ROWS && !s->row)
			return mysql_errno(s->db->m) ? failed(s, ROWS, e) : answered(s);
		if (s->stage == ROWS && !db_result_add(s->result, s->res, s->row))
			return too_big(s, e);
		if (s->stage != ROWS) {
			if (s->rc)
				return failed(s, s->stage, e);
			s->res = mysql_use_result(s->db->m);
			if (!s->res)
				return mysql_errno(s->db->m) ? failed(s, s->stage, e) : answered(s);
			db_result_columns(s->result, s->res);
			s->stage = ROWS;
		}
		s->waits = mysql_fetch_row_start(&s->row, s->res);
	}
	return DB_STEPS_WAIT;
}

static enum db_steps_state begin(
        struct db_steps *s, const char *sql, enum stage stage, struct err *e)
{
	db_result_free(s->result);
	s->result = db_result_new();
	s->sql = xstrdup(sql);
	s->stage = stage;
	lend_memory(s);
	errno = 0;
	s->waits = mysql_real_query_start(&s->rc, s->db->m, s->sql, strlen(s->sql));
	if (!s->waits && s->rc)
		note_errno(s, errno);
	return advance(s, e);
}

static enum db_steps_state login_failed(struct db_steps *s, struct err *e)
{
	err_at(e, s->db->name);
	forget_opts(&s->o);
	s->db->dead = true;
	s->stage = OVER;
	return DB_STEPS_FAILED;
}

static void copy_login(struct db_steps *s)
{
	s->layer = s->login.layer;
	s->sys = s->login.sys;
	if (s->login.heard)
		s->heard = s->login.heard;
}

/* The library has ended, and well. */
static enum db_steps_state logged_in(struct db_steps *s, struct err *e)
{
	int fd = (int)mysql_get_socket(s->db->m);

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	forget_opts(&s->o);
	take_memory(s);
	s->heard = clock_ms();
	if (!db_is_settled(s->db))
		return begin(s, db_settle_sql, SETTLING, e);
	s->stage = IDLE;
	return DB_STEPS_READY;
}

static enum db_steps_state login_state(struct db_steps *s, enum db_login_state state, struct err *e)
{
	bool fine;

	if (state != DB_LOGIN_OVER) {
		copy_login(s);
		s->stage = state == DB_LOGIN_BLOCKS ? WITH_WORKER : LOGGING_IN;
		return state == DB_LOGIN_BLOCKS ? DB_STEPS_WORKER : DB_STEPS_WAIT;
	}
	fine = db_login_end(&s->login, false, e) && db_learn(s->db, &s->o, e);
	copy_login(s);
	return fine ? logged_in(s, e) : login_failed(s, e);
}

enum db_steps_state db_steps_login(struct db_steps *s, struct err *e)
{
	/* Files are looked at by the worker that will need them. */
	const struct db_opts plain = { .address = s->o.address, .socket = s->o.socket };

	if (!db_login_check(&plain, e))
		return login_failed(s, e);
	return login_state(s, db_login_start(&s->login, s->db, &s->o), e);
}

/* On a worker, with all that reads files or blocks. */
static bool finish(struct db_steps *s, int64_t deadline, struct err *e)
{
	if (!db_login_check(&s->o, e)) {
		db_login_abandon(&s->login);
		db_login_end(&s->login, false, NULL);
		return false;
	}
	s->login.may_block = true;
	s->db->deadline = deadline;
	s->db->query_ms = CLOCK_NEVER;
	return db_login_run(&s->login, DB_LOGIN_BLOCKS, deadline, e) && db_learn(s->db, &s->o, e) &&
	       db_settle(s->db, e);
}

enum db_steps_state db_steps_finish(struct db_steps *s, int64_t deadline, struct err *e)
{
	bool fine = finish(s, deadline, e);

	copy_login(s);
	fdguard_free(TAKE(s->db->guard));
	return fine ? logged_in(s, e) : login_failed(s, e);
}

enum db_steps_state db_steps_query(struct db_steps *s, const char *sql, struct err *e)
{
	return begin(s, sql, SENDING, e);
}

enum db_steps_state db_steps_go(struct db_steps *s, int events, struct err *e)
{
	int had = (events & DB_STEPS_READ ? MYSQL_WAIT_READ : 0) |
	          (events & DB_STEPS_WRITE ? MYSQL_WAIT_WRITE : 0);

	if (s->stage == LOGGING_IN)
		return login_state(s, db_login_go(&s->login, events), e);
	if (!had || !s->waits)
		return DB_STEPS_WAIT;
	if (events & DB_STEPS_READ)
		look(s);
	if (s->stage == ROWS)
		s->waits = mysql_fetch_row_cont(&s->row, s->res, had);
	else
		s->waits = mysql_real_query_cont(&s->rc, s->db->m, had);
	return advance(s, e);
}

void db_steps_late(struct db_steps *s, struct err *e)
{
	if (s->stage == LOGGING_IN || s->stage == WITH_WORKER) {
		db_login_end(&s->login, true, e);
		copy_login(s);
		login_failed(s, e);
		return;
	}
	if (s->stage == SETTLING)
		err_set(e, ERR_UNREACHABLE, DB_CODE_LOST,
		        "no login within %lld ms: the server did not answer the first statement",
		        (long long)s->o.connect_ms);
	else if (s->sql)
		lost(s, "no answer in time", e);
	err_at(e, s->db->name);
	give_up(s);
}

/* What a server says before it hangs up: an error packet. */
static int code_of_farewell(const unsigned char *b, size_t n)
{
	return n >= 7 && b[4] == 0xff ? b[5] | b[6] << 8 : 0;
}

enum db_steps_state db_steps_idle(struct db_steps *s, struct err *e)
{
	unsigned char b[16];
	ssize_t n = recv(db_steps_fd(s), b, sizeof(b), MSG_PEEK | MSG_DONTWAIT);
	int code = n > 0 && !s->db->cipher ? code_of_farewell(b, (size_t)n) : 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return DB_STEPS_READY;
	if (n > 0)
		s->heard = clock_ms();
	if (n < 0)
		s->sys = errno;
	if (n < 0)
		err_set(e, ERR_LOST, DB_CODE_LOST, "the idle connection broke: %s",
		        strerror(s->sys));
	else if (code)
		err_set(e, ERR_LOST, code, "the server ended the idle session with error %d", code);
	else
		err_set(e, ERR_LOST, DB_CODE_LOST, "the server ended the idle session");
	err_at(e, s->db->name);
	return give_up(s);
}

void db_steps_free(struct db_steps *s)
{
	if (!s)
		return;
	if (s->stage == LOGGING_IN || s->stage == WITH_WORKER) {
		db_login_abandon(&s->login);
		db_login_end(&s->login, false, NULL);
	} else if (s->waits) {
		give_up(s);
	}
	end_statement(s);
	fdguard_free(TAKE(s->db->guard));
	db_close(s->db);
	forget_opts(&s->o);
	free(s);
}

int db_steps_fd(const struct db_steps *s)
{
	return (int)mysql_get_socket(s->db->m);
}

int db_steps_events(const struct db_steps *s)
{
	if (s->stage == LOGGING_IN)
		return db_login_events(&s->login);
	return (s->waits & MYSQL_WAIT_READ ? DB_STEPS_READ : 0) |
	       (s->waits & MYSQL_WAIT_WRITE ? DB_STEPS_WRITE : 0);
}

enum db_layer db_steps_layer(const struct db_steps *s)
{
	return s->layer;
}

int64_t db_steps_heard(const struct db_steps *s)
{
	return s->heard;
}

int db_steps_errno(const struct db_steps *s)
{
	return s->sys;
}

struct db_result *db_steps_result(struct db_steps *s)
{
	return TAKE(s->result);
}

const struct db *db_steps_db(const struct db_steps *s)
{
	return s->db;
}
